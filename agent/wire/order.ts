import { z } from 'zod';
import { err, ok, type Result } from '../base/result.ts';
import { readDocument } from './document.ts';
import { canonicalJson, isSignedBy, openJws, signJws } from './jws.ts';
import type { BundleOperator } from './site-bundle.ts';

/**
 * A person's order to one agent, signed by that person: whatever carries it (broker, coordinator, a stick) can hold it up
 * or lose it, but can neither make one nor change one. The agent knows its people by the site bundle, with their keys and
 * with what they may do, so that an order is judged while everything central is down.
 *
 * One order is for one agent, has an identity of its own, and lives for minutes: it is obeyed at most once, and never late.
 */
export interface Order {
  readonly site: string;
  readonly agent: string;
  /** Name of the person, as in the site file. */
  readonly by: string;
  /** 128 random bits, hex: what is obeyed once. */
  readonly id: string;
  /** ISO 8601 in UTC. */
  readonly issuedAt: string;
  readonly notAfter: string;
  readonly what: OrderedAct;
}

export type OrderedAct =
  /** Gives its duties away and takes none, for so long; null: until it is taken back or started anew. */
  | { readonly verb: 'drain'; readonly forMs: number | null }
  | { readonly verb: 'undrain' }
  /** Runs a workflow, `thing/name`, under all its guards and budgets. */
  | { readonly verb: 'workflow'; readonly workflow: string }
  /** Stops a run. */
  | { readonly verb: 'stop'; readonly run: string }
  /** Holds back the alarms of a thing and lets nobody act on it, for so long. */
  | { readonly verb: 'maintain'; readonly thing: string; readonly forMs: number; readonly why: string }
  /** Ends that before its time. */
  | { readonly verb: 'end-maintenance'; readonly thing: string };

/** What an agent answers to an order that came over the broker, on `ack/<id>`. */
export const orderAnswerSchema = z.object({
  v: z.literal(1),
  id: z.string().regex(/^[0-9a-f]{32}$/),
  ok: z.boolean(),
  /** Why it was not obeyed, as a word and for people. */
  reason: z.string().max(64).optional(),
  text: z.string().max(2_048).optional(),
});

export type OrderAnswer = z.infer<typeof orderAnswerSchema>;

export type OrderRefusal =
  | 'too-large'
  | 'not-an-order'
  | 'wrong-shape'
  | 'newer-format'
  | 'unknown-operator'
  | 'wrong-signature'
  | 'may-not'
  | 'wrong-site'
  | 'other-agent'
  | 'other-verb'
  | 'too-long-lived'
  | 'too-early'
  | 'expired'
  | 'before-memory'
  | 'replayed'
  | 'too-many'
  | 'not-durable'
  | 'nothing-there';

export interface OrderError {
  readonly reason: OrderRefusal;
  /** For people: what, why, and what to do where something can be done. */
  readonly text: string;
}

export const orderMaxBytes = 4_096;
/** From issue to expiry at most: as long an agent remembers what it has obeyed, and longer. */
export const orderMaxLifeMs = 15 * 60_000;
/** How far ahead of an agent's clock a person's may be. */
export const orderSkewMs = 120_000;
/** Thirty days; whoever wants longer means until it is taken back. */
export const drainMaxMs = 30 * 86_400_000;

/** A week: whoever needs longer writes it into the site file. */
export const maintainMaxMs = 7 * 86_400_000;
/** Of a reason, characters. */
export const maintainWhyMax = 200;

const documentType = 'millwright-order+json';
const formatVersion = 1;
const name = z.string().regex(/^[a-z0-9][a-z0-9-]{0,62}$/);
const payloadSchema = z.strictObject({
  format: z.literal(formatVersion),
  site: name,
  agent: name,
  by: name,
  id: z.string().regex(/^[0-9a-f]{32}$/),
  issuedAt: z.iso.datetime(),
  notAfter: z.iso.datetime(),
  what: z.discriminatedUnion('verb', [
    z.strictObject({ verb: z.literal('drain'), forMs: z.int().min(1).max(drainMaxMs).nullable() }),
    z.strictObject({ verb: z.literal('undrain') }),
    z.strictObject({ verb: z.literal('workflow'), workflow: z.string().min(1).max(200) }),
    z.strictObject({ verb: z.literal('stop'), run: z.string().min(1).max(256) }),
    z.strictObject({
      verb: z.literal('maintain'),
      thing: z.string().min(1).max(200),
      forMs: z.int().min(1).max(maintainMaxMs),
      why: z.string().min(1).max(maintainWhyMax),
    }),
    z.strictObject({ verb: z.literal('end-maintenance'), thing: z.string().min(1).max(200) }),
  ]),
});

/** Signs with the person's private key (Ed25519, PEM, PKCS8). Throws on what no agent would read. */
export function signOrder(order: Order, privateKeyPem: string): Uint8Array {
  const content = { format: formatVersion, ...order };
  const shape = payloadSchema.safeParse(content);
  if (!shape.success) throw new Error(z.prettifyError(shape.error));
  return signJws(Buffer.from(canonicalJson(content), 'utf8'), documentType, privateKeyPem);
}

/** What it says, whoever signed it: for those who only carry it. Never throws on what the bytes hold. */
export function peekOrder(bytes: Uint8Array): Result<Order, OrderError> {
  const opened = open(bytes);
  return opened.ok ? ok(opened.value.order) : opened;
}

/** Reads it, and verifies that the person whom it names signed it. Never throws on what the bytes hold. */
export function readOrder(bytes: Uint8Array, operators: readonly BundleOperator[]): Result<Order, OrderError> {
  const opened = open(bytes);
  if (!opened.ok) return opened;
  const { order, envelope } = opened.value;
  const operator = operators.find((one) => one.name === order.by);
  if (operator === undefined) {
    return refuse(
      'unknown-operator',
      `the site knows no key of "${order.by}": it stands under people in the site file`,
    );
  }
  if (!isSignedBy(envelope, operator.key)) {
    return refuse('wrong-signature', `"${order.by}" did not sign it, or it was changed after signing`);
  }
  if (!operator.may.includes('order')) {
    return refuse('may-not', `"${order.by}" may ${operator.may.join(', ') || 'nothing'}, and not order`);
  }
  return ok(order);
}

/** Why an order that is genuine is not for this agent and this moment; undefined when it is. */
export function judgeOrder(
  order: Order,
  here: {
    readonly site: string;
    readonly agent: string;
    readonly wallMs: number;
    /** Where it came by a door for one verb. */
    readonly verb?: string | undefined;
  },
): OrderError | undefined {
  const [issuedAt, notAfter] = [Date.parse(order.issuedAt), Date.parse(order.notAfter)];
  if (order.site !== here.site) {
    return { reason: 'wrong-site', text: `it is for site "${order.site}", this agent belongs to "${here.site}"` };
  }
  if (order.agent !== here.agent) {
    return { reason: 'other-agent', text: `it is for ${order.agent}, this is ${here.agent}` };
  }
  if (here.verb !== undefined && here.verb !== order.what.verb) {
    return { reason: 'other-verb', text: `it says ${order.what.verb}, and came as ${here.verb}` };
  }
  if (notAfter <= issuedAt || notAfter - issuedAt > orderMaxLifeMs) {
    return { reason: 'too-long-lived', text: `an order lives for ${orderMaxLifeMs / 60_000} minutes at most` };
  }
  const now = new Date(here.wallMs).toISOString();
  if (issuedAt > here.wallMs + orderSkewMs) {
    return {
      reason: 'too-early',
      text: `issued at ${order.issuedAt}, and here it is ${now}: set the clock of one of the two`,
    };
  }
  if (notAfter < here.wallMs) {
    return { reason: 'expired', text: `it was good until ${order.notAfter}, and here it is ${now}: sign it again` };
  }
  return undefined;
}

function open(
  bytes: Uint8Array,
): Result<{ readonly order: Order; readonly envelope: NonNullable<ReturnType<typeof openJws>> }, OrderError> {
  if (bytes.length > orderMaxBytes) return refuse('too-large', `${bytes.length} bytes, at most ${orderMaxBytes}`);
  const envelope = openJws(bytes, documentType);
  if (envelope === undefined)
    return refuse('not-an-order', 'nobody signed it: orders are signed by whoever gives them');
  const read = readDocument(envelope.payload, payloadSchema, formatVersion);
  if (!read.ok) return refuse(...read.error);
  const { format: _, ...order } = read.value;
  return ok({ order, envelope });
}

function refuse(reason: OrderRefusal, text: string): Result<never, OrderError> {
  return err({ reason, text });
}
