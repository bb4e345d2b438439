import { z } from 'zod';
import { verdictFactSchema } from '../../agent/wire/agent-status.ts';
import { evidenceCurveSchema } from '../../agent/wire/evidence.ts';

/**
 * What the coordinator's API says and takes. The console's client is typed by these, and every answer in a test is
 * parsed by them, so neither side can drift. Times are milliseconds since 1970 (UTC); `null` means unknown or none.
 */
const name = z.string();
const time = z.number();

export const errorSchema = z.object({ code: z.string(), message: z.string(), remedy: z.string() });

export const agentViewSchema = z.object({
  agent: name,
  presence: z.enum(['online', 'offline', 'unknown']),
  presenceSince: time.nullable(),
  /** When the newest of its records was applied. */
  heardAt: time.nullable(),
  boot: name.nullable(),
  version: name.nullable(),
  pid: z.int().nullable(),
  host: name.nullable(),
  api: name.nullable(),
  startedAt: time.nullable(),
  plan: z.object({ version: z.int(), hash: z.string() }).nullable(),
  /** How many of the other online agents see it so. */
  seenBy: z.object({ alive: z.int(), suspect: z.int(), dead: z.int(), left: z.int(), unknown: z.int() }),
  members: z.array(z.object({ agent: name, state: z.enum(['unknown', 'alive', 'suspect', 'dead', 'left']) })),
  duties: z.array(name),
  /** Checks that it judges, as it told them last. */
  checks: z.array(z.object({ check: name, status: z.string(), text: z.string() })),
  anomalous: z.array(name),
  /** Maintenance that it knows to hold; with `by` a person ordered it, else it stands in the site file. */
  maintenance: z.array(
    z.object({
      maintenance: name,
      things: z.array(name),
      why: z.string(),
      by: name.nullable(),
      order: name.nullable(),
      until: time.nullable(),
    }),
  ),
  standing: z.int().nullable(),
  localHealth: z.number().nullable(),
  /** Its journal's disk. */
  store: z.object({ ok: z.boolean(), text: z.string() }).nullable(),
  outbox: z
    .object({ pending: z.int(), bytes: z.number(), refused: z.int(), oldestPendingAt: time.nullable() })
    .nullable(),
  healthAt: time.nullable(),
  stream: z.object({ id: name, highWater: z.int() }).nullable(),
  quarantined: z.int(),
});

/** One thing that is the matter with the site, put together from what the agents say and from who is heard. */
export const siteStatementSchema = z.object({
  /** The same as long as it stands: class and subject. */
  id: name,
  /** `other`: a newer agent says something that has no words here; `text` has its own. */
  class: z.enum(['segment', 'gone', 'i-am-cut', 'coordinator', 'my-uplink', 'link', 'i-am-slow', 'other']),
  /** The box, or the location of a segment; null: the coordinator. */
  subject: name.nullable(),
  /** The other end of a path. */
  other: name.nullable(),
  /** Of a segment, who is missing; of a lost coordinator, who lives without it. */
  members: z.array(name),
  proven: z.boolean(),
  /** First sign of it that anybody told. */
  since: time,
  /** Who says so; none: it follows from who is heard here. */
  saidBy: z.array(name),
  /** How many agents could say so: those that are online and not the subject. */
  witnesses: z.int(),
  text: z.string(),
  /** `facts`: the same as `texts`, in the same order, for other languages; null where an agent tells words only. */
  evidence: z.array(z.object({ by: name, texts: z.array(z.string()), facts: z.array(verdictFactSchema.nullable()) })),
});

export const dutyViewSchema = z.object({
  duty: name,
  kind: name,
  about: z.string(),
  holders: z.array(z.object({ agent: name, term: z.int(), since: time.nullable() })),
});

export const alarmViewSchema = z.object({
  alarmId: name,
  thing: name,
  name,
  state: z.enum(['NORM', 'UNACK', 'ACKED', 'RTNUN']),
  /** The reporter cannot judge any more; the state is the last that was known. */
  blind: z.boolean(),
  /** Since when the reporter of a standing alarm is gone; nobody clears an alarm for a dead agent. */
  sourceLostSince: time.nullable(),
  priority: z.enum(['low', 'medium', 'high', 'urgent']),
  cause: z.string(),
  consequence: z.string(),
  response: z.string(),
  respondWithinMs: z.number(),
  occurrence: name,
  reporter: name,
  firstSampleAt: time,
  since: time,
  evidence: z.string(),
  /** The thing that is down and explains it, and the maintenance that holds it back. */
  behind: z.string().nullable(),
  held: z.string().nullable(),
  receivedAt: time,
  acknowledgedBy: z.string().nullable(),
  acknowledgedAt: time.nullable(),
  reporters: z.array(
    z.object({ reporter: name, term: z.int(), state: z.enum(['on', 'off', 'bad']), occurrence: name }),
  ),
});

export const incidentViewSchema = z.object({
  incident: name,
  agent: name,
  run: name,
  workflow: name,
  thing: name,
  symptom: z.string(),
  outcome: z.string(),
  reason: z.string(),
  firstBadAt: time,
  conditionAt: time,
  healedAt: time.nullable(),
  /** Milliseconds, as remediation rule 29 defines them. */
  mttdMs: z.number().nullable(),
  mttaMs: z.number().nullable(),
  mttrMs: z.number().nullable(),
  relapse: z.boolean(),
  steps: z.array(z.object({ name: z.string(), outcome: z.string(), detail: z.string(), at: time })),
  receivedAt: time,
});

const detail = z.record(z.string(), z.union([z.string(), z.number(), z.boolean()]));

export const incidentDetailSchema = incidentViewSchema.extend({
  /** The run's journal, oldest first. */
  entries: z.array(z.object({ entry: z.string(), at: time, agent: name, detail })),
});

/** A remediation run as its last entry left it: what Millwright is doing, or did last, about a thing. */
export const runViewSchema = z.object({
  run: name,
  workflow: name,
  thing: name,
  agent: name,
  startedAt: time,
  /** `open`, `intent`, `done`, `denied`, `doubt`, `verify`, `soak`, `stop` or `end`. */
  entry: name,
  at: time,
  detail,
});

export const eventViewSchema = z.object({
  cursor: z.int(),
  id: name,
  agent: name,
  type: z.enum(['event', 'check']),
  ts: time,
  receivedAt: time,
  name,
  subject: name,
  severity: z.enum(['info', 'notice', 'warning', 'error']),
  text: z.string(),
  detail,
});

/** An order that was carried to an agent from here. `carried`: not answered yet. */
export const orderViewSchema = z.object({
  id: name,
  agent: name,
  by: name,
  verb: name,
  /** The thing, workflow or run. */
  about: name.nullable(),
  state: z.enum(['carried', 'obeyed', 'refused']),
  reason: z.string().nullable(),
  text: z.string().nullable(),
  at: time,
  answeredAt: time.nullable(),
});

/** A thing of the site file; maintenance is ordered for these. */
export const thingViewSchema = z.object({ thing: name });

/** A model on a box, or one of the site's that no box in reach scores (`agent` null). */
export const modelViewSchema = z.object({
  model: name,
  thing: name,
  /** `file` or `learns`. */
  kind: name,
  agent: name.nullable(),
  state: z.enum(['normal', 'anomalous', 'unknown', 'refused', 'shed', 'missing']),
  why: z.string().nullable(),
  file: z.string().nullable(),
  version: z.string().nullable(),
  /** `box`: trained there. */
  from: z.enum(['site', 'box']).nullable(),
  since: time.nullable(),
  /** By whose word it scores. */
  seat: z.enum(['site', 'person', 'reverted', 'other']).nullable(),
  seatWhy: z.string().nullable(),
  /** In two figures. */
  windows: z.number().nullable(),
  /** Shares, 0..1; null: too few windows to tell. */
  falseAlarmRate: z.number().nullable(),
  limit: z.number().nullable(),
  drift: z.enum(['unknown', 'stable', 'moved']),
  moved: z.array(z.object({ name, shift: z.number(), psi: z.number().nullable() })),
  shadow: z
    .object({
      file: z.string(),
      state: name,
      why: z.string().nullable(),
      agreement: z.number().nullable(),
      windows: z.number().nullable(),
      falseAlarmRate: z.number().nullable(),
      onlyIncumbent: z.number().nullable(),
      onlyShadow: z.number().nullable(),
    })
    .nullable(),
  previous: z.object({ file: z.string(), falseAlarmRate: z.number().nullable() }).nullable(),
});

/** The minutes around an alarm or an anomaly, as the box recorded them. */
export const evidenceViewSchema = z.object({
  /** Its name on the box that keeps the whole. */
  evidence: name,
  agent: name,
  thing: name,
  /** Of the alarm that was asked about; empty for a model. */
  occurrence: name,
  /** `begun`: what followed is not told yet. */
  stage: z.enum(['begun', 'kept']),
  toldAt: time,
  from: time,
  to: time,
  /** When it was raised, by the source's clock. */
  at: time,
  /** Of the whole, on the box. */
  bytes: z.int().nullable(),
  sha256: z.string().nullable(),
  /** Seconds of one stretch, of which the smallest and the largest value are shown. */
  step: z.number(),
  /** Empty: none came, or none that could be read. */
  curves: z.array(evidenceCurveSchema),
});

export const readingViewSchema = z.object({
  tag: name,
  at: time,
  value: z.number().nullable(),
  quality: z.int(),
  unit: z.string().nullable(),
});

export const linesViewSchema = z.object({
  duty: name,
  agent: name,
  file: z.string(),
  from: z.int(),
  to: z.int(),
  lines: z.array(z.string()),
});

export const quarantineViewSchema = z.object({
  id: z.int(),
  agent: name,
  topic: z.string(),
  reason: z.string(),
  bytes: z.int(),
  preview: z.string(),
  at: time,
});

export const gapViewSchema = z.object({
  agent: name,
  stream: name,
  seq: z.int(),
  to: z.int(),
  reason: z.string(),
  lost: z.record(z.string(), z.int()),
  receivedAt: time,
});

export const statusViewSchema = z.object({
  site: name,
  boot: name,
  version: name,
  now: time,
  startedAt: time,
  store: z.object({ id: name, epoch: z.int(), state: z.enum(['ok', 'trouble']), trouble: z.string().nullable() }),
  broker: z.object({
    mode: z.enum(['embedded', 'external']),
    address: z.string(),
    state: z.enum(['connected', 'connecting']),
    lastError: z.string().nullable(),
    clients: z.int().nullable(),
    /** Refusals at the embedded broker by reason, and `foreign` publishes. Empty for an external broker. */
    refused: z.record(z.string(), z.int()),
    /** The newest refusals, newest first. */
    recent: z.array(z.object({ reason: z.string(), address: z.string(), name: z.string(), at: time })),
  }),
  ingest: z.object({
    applied: z.int(),
    repeated: z.int(),
    buffered: z.int(),
    otherChain: z.int(),
    overflowed: z.int(),
    acks: z.int(),
  }),
  counts: z.object({
    records: z.int(),
    events: z.int(),
    incidents: z.int(),
    readings: z.int(),
    gaps: z.int(),
    quarantined: z.int(),
  }),
});

export const acknowledgeSchema = z.strictObject({
  /** The occurrence on the actor's screen: a newer one is never acknowledged by an old page. */
  occurrence: z.string().min(1).max(256),
  by: z.string().trim().min(1).max(64),
});

export const sessionSchema = z.strictObject({ token: z.string().min(1).max(512) });

const limit = (max: number, standard: number) => z.coerce.number().int().min(1).max(max).default(standard);

export const eventQuerySchema = z.strictObject({
  limit: limit(1_000, 200),
  before: z.coerce.number().int().min(1).optional(),
  agent: z.string().max(64).optional(),
  name: z.string().max(256).optional(),
});

export const readingQuerySchema = z.strictObject({
  tag: z.string().max(256).optional(),
  from: z.coerce.number().optional(),
  to: z.coerce.number().optional(),
  limit: limit(10_000, 1_000),
});

/** `subject`: an alarm's identity, or a model's name. */
export const evidenceQuerySchema = z.strictObject({ subject: z.string().min(1).max(256), limit: limit(20, 5) });
export const listQuerySchema = z.strictObject({ limit: limit(1_000, 200) });
export const linesQuerySchema = z.strictObject({ limit: limit(1_000, 200), duty: z.string().max(256).optional() });

/** Lists come as `{items}`, so that fields can be added beside them. */
export const listOf = <S extends z.ZodType>(item: S) => z.object({ items: z.array(item) });

/**
 * Names of the server-sent events and what each carries. `reset` says that the stream cannot go on where the client
 * stopped: load everything anew.
 */
export const streamSchemas = {
  alarm: alarmViewSchema,
  incident: incidentViewSchema,
  event: eventViewSchema,
  agent: agentViewSchema,
  duties: listOf(dutyViewSchema),
  models: listOf(modelViewSchema),
  order: orderViewSchema,
  /** All that is the matter; empty: nothing. */
  verdict: listOf(siteStatementSchema),
  quarantine: quarantineViewSchema,
  status: statusViewSchema,
  run: z.object({ run: name, thing: name, entry: z.string() }),
  readings: z.object({ tag: name, added: z.int() }),
  /** Every five seconds, without an id: a line that is open and silent is a dead one. */
  beat: z.object({ now: time }),
  reset: z.object({ reason: z.string() }),
} as const;

export type StreamName = keyof typeof streamSchemas;
export type AgentView = z.infer<typeof agentViewSchema>;
export type SiteStatement = z.infer<typeof siteStatementSchema>;
export type DutyView = z.infer<typeof dutyViewSchema>;
export type AlarmView = z.infer<typeof alarmViewSchema>;
export type IncidentView = z.infer<typeof incidentViewSchema>;
export type IncidentDetail = z.infer<typeof incidentDetailSchema>;
export type RunView = z.infer<typeof runViewSchema>;
export type EventView = z.infer<typeof eventViewSchema>;
export type OrderView = z.infer<typeof orderViewSchema>;
export type ModelView = z.infer<typeof modelViewSchema>;
export type EvidenceView = z.infer<typeof evidenceViewSchema>;
export type ReadingView = z.infer<typeof readingViewSchema>;
export type LinesView = z.infer<typeof linesViewSchema>;
export type QuarantineView = z.infer<typeof quarantineViewSchema>;
export type GapView = z.infer<typeof gapViewSchema>;
export type StatusView = z.infer<typeof statusViewSchema>;
export type ApiError = z.infer<typeof errorSchema>;
