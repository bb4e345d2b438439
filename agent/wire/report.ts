import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { Result } from '../base/result.ts';
import { err, ok } from '../base/result.ts';
import type { ReportBody } from '../core/reporting/report.ts';

export type {
  AlarmTransition,
  CheckReport,
  EventReport,
  IncidentReport,
  LogLinesReport,
  ReadingsReport,
  ReportBody,
  RunReport,
} from '../core/reporting/report.ts';

/**
 * What travels between an agent's outbox and the coordinator.
 *
 * A record is encoded once, when it enters the outbox; the very bytes are sent, sent again, and hashed. `prev` is the
 * hash of the record before, so one number (`chain` at `upTo`) proves that both sides hold the same past. Because the
 * bytes are the canonical form, no broker and no JSON library can change the chain.
 */
export const WIRE_VERSION = 1;

/** A record beyond this is refused at both ends; the aim is 8 kB. */
export const MAX_RECORD_BYTES = 256 * 1024;
export const MAX_ACK_BYTES = 16 * 1024;
/** How many unacknowledged records may be under way, and how many bytes. The receiver buffers no more either. */
export const WINDOW_RECORDS = 256;
export const WINDOW_BYTES = 1024 * 1024;
export const MAX_WANT = 32;

const HASH = /^[0-9a-f]{32}$/;
const hash = z.string().regex(HASH);
const streamId = z.string().regex(/^[0-9a-f]{32}$/);
const seq = z.int().min(1).max(Number.MAX_SAFE_INTEGER);
const wall = z.number().min(0).max(8.64e15);
const word = z.string().max(256);
const text = z.string().max(64 * 1024);
const detail = z.record(z.string().max(128), z.union([text, z.number(), z.boolean()]));

/** First 128 bit of SHA-256 over the bytes, hex: proof against mix-ups and rollbacks, not against forgery. */
export const hashBytes = (bytes: string | Uint8Array): string =>
  createHash('sha256').update(bytes).digest('hex').slice(0, 32);

/** `prev` of a stream's first record. */
export const genesis = (stream: string): string => hashBytes(`millwright stream ${stream}`);

const alarmBody = z.object({
  alarmId: word,
  thing: word,
  name: word,
  state: z.enum(['on', 'off', 'bad']),
  term: z.int().min(0),
  occurrence: word,
  priority: z.enum(['low', 'medium', 'high', 'urgent']),
  cause: text,
  consequence: text,
  response: text,
  respondWithinMs: z.number().min(0),
  firstSampleAt: wall,
  since: wall,
  evidence: text,
  behind: word.optional(),
  held: word.optional(),
});

const bodies = {
  alarm: alarmBody,
  run: z.object({ run: word, workflow: word, thing: word, entry: word, detail }),
  incident: z.object({
    incident: word,
    run: word,
    workflow: word,
    thing: word,
    symptom: text,
    outcome: word,
    reason: text,
    firstBadAt: wall,
    conditionAt: wall,
    healedAt: wall.optional(),
    mttdMs: z.number().optional(),
    mttaMs: z.number().optional(),
    mttrMs: z.number().optional(),
    relapse: z.boolean(),
    steps: z.array(z.object({ name: word, outcome: word, detail: text, at: wall })).max(256),
  }),
  event: z.object({
    name: word,
    subject: word,
    severity: z.enum(['info', 'notice', 'warning', 'error']),
    text,
    detail,
  }),
  check: z.object({
    check: word,
    thing: word,
    status: z.enum(['ok', 'warn', 'crit', 'unknown', 'idle']),
    was: word,
    flapping: z.boolean(),
    value: z.number().optional(),
    unit: word.optional(),
    text,
  }),
  readings: z.object({
    tag: word,
    unit: word.optional(),
    rows: z
      .array(z.tuple([wall, z.number().nullable(), z.union([z.literal(0), z.literal(1), z.literal(2)])]))
      .max(10_000),
  }),
  lines: z.object({
    duty: word,
    file: z.string().max(4096),
    from: z.int().min(0),
    to: z.int().min(0),
    lines: z.array(z.string().max(64 * 1024)).max(10_000),
  }),
} as const;

/**
 * Two kinds that the outbox itself writes. A `gap` stands in the place of the records `seq … to` that were evicted
 * unread; `end` is the chain after it, so the record behind it still fits. A `loss` counts reports that never became
 * records because the disk refused them.
 */
const gapBody = z.object({
  to: seq,
  end: hash,
  reason: z.enum(['evicted', 'forgotten']),
  lost: z.record(z.string().max(32), z.int().min(0)),
});
const lossBody = z.object({
  reason: word,
  lost: z.record(z.string().max(32), z.int().min(0)),
  from: wall,
  to: wall,
});

export type GapBody = z.infer<typeof gapBody>;
export type LossBody = z.infer<typeof lossBody>;

export const envelopeSchema = z.object({
  v: z.int().min(1),
  type: z.string().min(1).max(32),
  id: z.string().regex(/^[0-9A-HJKMNP-TV-Z]{26}$/),
  stream: streamId,
  seq,
  prev: hash,
  boot: word,
  ts: wall,
  /** Uncertainty of `ts`, milliseconds; the true time is within ts ± u. */
  u: z.number().min(0),
  trace: word.optional(),
  data: z.unknown(),
});

export type Envelope = z.infer<typeof envelopeSchema>;

/** What the agent says first on each connection, and whenever acknowledgements stay away. On the log topic. */
export const helloSchema = z.object({
  v: z.literal(1),
  type: z.literal('hello'),
  stream: streamId,
  /** Oldest record that the agent can still give, 1 above `last` when it holds none. */
  first: seq,
  /** Newest record, 0 when the stream is empty. */
  last: z.int().min(0),
  /** Chain at `last`. */
  chain: hash,
  /** What a store acknowledged last: a store that knows less than this was restored from an older copy. */
  acked: z.object({ store: word, epoch: z.int().min(0), upTo: z.int().min(0) }).optional(),
});

export type Hello = z.infer<typeof helloSchema>;

/** The coordinator's receipt, sent after its commit. */
export const ackSchema = z.object({
  v: z.literal(1),
  store: word,
  epoch: z.int().min(0),
  stream: streamId,
  upTo: z.int().min(0),
  chain: hash,
  want: z.array(seq).max(MAX_WANT),
  quarantined: z.int().min(0),
  sig: z.string().max(256).optional(),
});

export type Ack = z.infer<typeof ackSchema>;

/** Retained, with the Will as its dead form. */
export const presenceSchema = z.object({
  v: z.literal(1),
  state: z.enum(['online', 'offline']),
  boot: word,
  ts: wall,
});

export type Presence = z.infer<typeof presenceSchema>;

/** Everything the coordinator can make of one record. */
export type RecordBody = ReportBody | ({ readonly type: 'gap' } & GapBody) | ({ readonly type: 'loss' } & LossBody);

/** Fields of a record in the order in which they are written; `data` is JSON already. */
export interface RecordFields {
  readonly type: string;
  readonly id: string;
  readonly stream: string;
  readonly seq: number;
  readonly prev: string;
  readonly boot: string;
  readonly ts: number;
  readonly u: number;
  readonly data: string;
}

/** The canonical text of a record: fixed key order, `data` verbatim. The same fields always give the same bytes. */
export const encodeRecord = (r: RecordFields): string =>
  `{"v":${WIRE_VERSION},"type":${JSON.stringify(r.type)},"id":"${r.id}","stream":"${r.stream}","seq":${r.seq},` +
  `"prev":"${r.prev}","boot":${JSON.stringify(r.boot)},"ts":${r.ts},"u":${r.u},"data":${r.data}}`;

/** A body without its `type`, which the envelope carries. Numbers that are none (NaN, infinite) are left out. */
export const encodeBody = (body: ReportBody): string => {
  const { type: _, ...data } = body;
  return JSON.stringify(data, (_key, value: unknown) =>
    typeof value === 'number' && !Number.isFinite(value) ? undefined : value,
  );
};

/** Identity of what a record says, whatever stream it travels in: a fork sends the same words under the same id. */
export const contentHash = (e: Pick<Envelope, 'type' | 'boot' | 'ts' | 'data'>): string =>
  hashBytes(JSON.stringify([e.type, e.boot, e.ts, e.data]));

/** Why bytes were not taken, in words for people. */
export interface WireFault {
  readonly reason: string;
  /** Its place in a stream, where at least that could be read: such a record is poison, not garbage. */
  readonly place?: { readonly stream: string; readonly seq: number; readonly prev: string } | undefined;
}

const placeSchema = z.object({ stream: streamId, seq, prev: hash });

const parseJson = (bytes: Uint8Array | string, limit: number): Result<unknown, WireFault> => {
  if (bytes.length > limit) return err({ reason: `too large: ${bytes.length} bytes, at most ${limit}` });
  try {
    const source = typeof bytes === 'string' ? bytes : new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    return ok(JSON.parse(source));
  } catch {
    return err({ reason: 'not JSON in UTF-8' });
  }
};

const why = (error: z.ZodError): string => {
  const first = error.issues[0];
  return first === undefined ? 'does not fit the schema' : `${first.path.join('.') || 'message'}: ${first.message}`;
};

const parsed = <S extends z.ZodType>(
  schema: S,
  bytes: Uint8Array | string,
  limit: number,
): Result<z.infer<S>, WireFault> => {
  const json = parseJson(bytes, limit);
  if (!json.ok) return json;
  const result = schema.safeParse(json.value);
  return result.success ? ok(result.data) : err({ reason: why(result.error) });
};

export const decodeAck = (bytes: Uint8Array): Result<Ack, WireFault> => parsed(ackSchema, bytes, MAX_ACK_BYTES);
export const decodePresence = (bytes: Uint8Array): Result<Presence, WireFault> => parsed(presenceSchema, bytes, 4096);

/** Bytes on a log topic: a hello or an envelope whose body is still unread. Never throws. */
export const decodeLog = (
  bytes: Uint8Array,
): Result<{ readonly hello: Hello } | { readonly envelope: Envelope }, WireFault> => {
  const json = parseJson(bytes, MAX_RECORD_BYTES);
  if (!json.ok) return json;
  if ((json.value as { type?: unknown } | null)?.type === 'hello') {
    const hello = helloSchema.safeParse(json.value);
    return hello.success ? ok({ hello: hello.data }) : err({ reason: why(hello.error) });
  }
  const envelope = envelopeSchema.safeParse(json.value);
  if (envelope.success) return ok({ envelope: envelope.data });
  return err({ reason: why(envelope.error), place: placeSchema.safeParse(json.value).data });
};

/** Reads the body of an envelope. An unknown version or type is a fault: its bytes go to quarantine, replayable. */
export const decodeBody = (envelope: Envelope): Result<RecordBody, WireFault> => {
  if (envelope.v !== WIRE_VERSION) return err({ reason: `unknown version ${envelope.v}` });
  const { type } = envelope;
  const schema =
    type === 'gap'
      ? gapBody
      : type === 'loss'
        ? lossBody
        : Object.hasOwn(bodies, type)
          ? bodies[type as ReportBody['type']]
          : undefined;
  if (schema === undefined) return err({ reason: `unknown type ${type.slice(0, 32)}` });
  const body = schema.safeParse(envelope.data);
  if (!body.success) return err({ reason: why(body.error) });
  if (type === 'gap' && (body.data as GapBody).to < envelope.seq) return err({ reason: 'gap ends before it begins' });
  return ok({ type, ...body.data } as unknown as RecordBody);
};
