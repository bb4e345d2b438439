import { z } from 'zod';

/**
 * What an agent keeps retained at the broker for people: `info` changes once per life, `health` every few seconds.
 * Both are caches for display; nothing is decided by them. All fields but the first few are optional, so that old
 * agents and new coordinators understand each other.
 */
const word = z.string().max(256);
const share = z.number().min(0).max(1);
const count = z.number().min(0);

/**
 * One piece of a verdict's evidence, by its kind and what is in it. Kinds: `unanswered` (n probes to a member, whom these
 * agents do not reach either), `told` and `certificate` (of a member), `reached-by-others` (n probes came through these
 * agents), `silence` (none of n peers answered, of those inside do), `uplinks` (n of so many say they lost it),
 * `late-timers` (n of them, the worst by so many ms). One that a reader does not know is said in the words beside it.
 */
export const verdictFactSchema = z.object({
  kind: word,
  member: word.optional(),
  agents: z.array(word).max(8).optional(),
  n: count.optional(),
  of: count.optional(),
  ms: count.optional(),
});

export type VerdictFact = z.infer<typeof verdictFactSchema>;

export const infoSchema = z.object({
  v: z.literal(1),
  boot: word,
  version: word,
  pid: z.int().optional(),
  startedAt: z.number().optional(),
  host: word.optional(),
  plan: z.object({ version: z.int(), hash: word }).optional(),
  /** Address of the agent's own API, for links. */
  api: word.optional(),
  /** All duties of the site, as the plan names them, so that an unheld one is seen too. */
  duties: z
    .array(z.object({ duty: word, kind: word, about: word.optional() }))
    .max(20_000)
    .optional(),
  /** What alarms, checks and maintenance are about. */
  things: z.array(word).max(5_000).optional(),
  /** All models of the site, so that one that nobody scores is seen too. */
  models: z
    .array(z.object({ model: word, kind: word, file: z.string().max(512).optional() }))
    .max(5_000)
    .optional(),
});

export const healthSchema = z.object({
  v: z.literal(1),
  boot: word,
  /** How this agent sees the members of its mesh. */
  members: z
    .array(z.object({ agent: word, state: z.enum(['unknown', 'alive', 'suspect', 'dead', 'left']) }))
    .max(20_000)
    .optional(),
  /** Duties that it carries now. */
  duties: z
    .array(z.object({ duty: word, term: z.int(), since: z.number().optional(), why: z.string().max(1024).optional() }))
    .max(20_000)
    .optional(),
  checks: z
    .array(z.object({ check: word, status: word, text: z.string().max(4096).optional() }))
    .max(20_000)
    .optional(),
  /** Models that it scores, with what it has learned of them. */
  models: z
    .array(
      z.object({
        model: word,
        /** `normal`, `anomalous`, `unknown`, or `shed`: not scored, because the box is over its budget. */
        state: word,
        why: z.string().max(512).optional(),
        file: z.string().max(512).optional(),
        falseAlarmRate: share.optional(),
        drift: word.optional(),
        /** `file` or `learns`; `box`: the file was trained on this box. */
        kind: word.optional(),
        from: word.optional(),
        version: word.optional(),
        /** Since when it scores, and by whose word: `site`, `person`, `reverted` or `other`. */
        since: z.number().optional(),
        seat: word.optional(),
        /** The same in words, with the figures that decided it. */
        seatWhy: z.string().max(512).optional(),
        /** Windows scored, in two figures; how many false alarms are allowed, as a share. */
        windows: count.optional(),
        limit: share.optional(),
        /** Inputs that are not those of its training any more. */
        moved: z
          .array(z.object({ name: word, shift: z.number(), psi: z.number().optional() }))
          .max(16)
          .optional(),
        shadow: z
          .object({
            file: z.string().max(512),
            state: word,
            why: z.string().max(512).optional(),
            agreement: share.optional(),
            windows: count.optional(),
            falseAlarmRate: share.optional(),
            onlyIncumbent: count.optional(),
            onlyShadow: count.optional(),
          })
          .optional(),
        /** It could come back. */
        previous: z.object({ file: z.string().max(512), falseAlarmRate: share.optional() }).optional(),
      }),
    )
    .max(1_000)
    .optional(),
  anomalous: z.array(word).max(20_000).optional(),
  /** Maintenance that holds now. With `by` it was ordered by that person and ends by itself. */
  maintenance: z
    .array(
      z.object({
        maintenance: word,
        things: z.array(word).max(5_000),
        why: z.string().max(1_024),
        by: word.optional(),
        order: word.optional(),
        until: z.number().optional(),
      }),
    )
    .max(256)
    .optional(),
  standing: z.int().min(0).optional(),
  localHealth: z.number().optional(),
  /** What it thinks is the matter, each statement with what it rested on when it was made. */
  verdict: z
    .array(
      z.object({
        class: word,
        text: z.string().max(1024),
        /** The member or the location that it is about; absent: the agent itself, or the coordinator. */
        subject: word.optional(),
        /** Of a segment: who is missing. */
        members: z.array(word).max(64).optional(),
        proven: z.boolean().optional(),
        /** First sign of it, by the agent's clock. */
        since: z.number().optional(),
        evidence: z.array(z.string().max(512)).max(8).optional(),
        /** The same, piece by piece, for whoever says it in another language; in the order of `evidence`. */
        facts: z.array(verdictFactSchema).max(8).optional(),
      }),
    )
    .max(16)
    .optional(),
  /** Whether the journal on its disk takes what is written; in words when it does not. */
  store: z.object({ ok: z.boolean(), text: z.string().max(1024) }).optional(),
  outbox: z
    .object({ pending: z.int(), bytes: z.number(), refused: z.int(), oldestPendingAt: z.number().optional() })
    .optional(),
});

export type AgentInfo = z.infer<typeof infoSchema>;
export type AgentHealth = z.infer<typeof healthSchema>;
