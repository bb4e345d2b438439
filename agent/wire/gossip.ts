import { type KeyObject, sign, verify } from 'node:crypto';
import type { AgentIndex } from '../base/ids.ts';
import { ok, type Result } from '../base/result.ts';
import type { DigestVersion, HealthDigest } from '../core/health/digest.ts';
import {
  type Bounds,
  decodeArray,
  encodeArray,
  isCount,
  isIndex,
  isIndexList,
  peekType,
  refuse,
  type WireError,
} from './codec.ts';
import { planStampBytes } from './version.ts';

/**
 * Health digests as they are gossiped. A digest passes through hands that did not write it, and a connection's noise
 * key proves the neighbour only, so each digest is signed by its origin and verified by everyone who takes it in.
 *
 * ```
 * envelope [10, payload bytes, signature 64 bytes]
 * payload  [1, plan 8 bytes, agent, bootCounter, sequence, [[check, status]…], [judges…], [anomalous…],
 *           [[duty, term]…], localHealth, coordinator]
 * ```
 * The signature (Ed25519) covers `millwright digest 1`, the topic, and the payload, so that a digest of one cell
 * cannot be played into another.
 */
export const digestMaxBytes = 16_384;
export const digestEnvelopeType = 10;

/** One topic per cell: everybody's beats on one topic of a large site would cost each agent O(N). */
export const healthTopic = (site: string, cell: string): string => `mw/1/${site}/${cell}/health`;

const statuses = ['warn', 'crit', 'unknown'] as const;
const coordinatorStates = ['connected', 'lost', 'not-heard'] as const;

export function encodeDigest(digest: HealthDigest, plan: Uint8Array, topic: string, key: KeyObject): Uint8Array {
  const payload = encodeArray([
    1,
    plan,
    digest.agent,
    digest.bootCounter,
    digest.sequence,
    digest.checks.map(({ check, status }) => [check, statuses.indexOf(status)]),
    digest.judges,
    digest.anomalous,
    digest.duties.map(({ duty, term }) => [duty, term]),
    digest.localHealth,
    coordinatorStates.indexOf(digest.coordinator),
  ]);
  return encodeArray([digestEnvelopeType, payload, sign(null, signedBytes(topic, payload), key)]);
}

export type DigestError =
  | WireError
  /** An honest agent with another plan: its indices mean other things here. */
  | { readonly reason: 'other-plan'; readonly text: string }
  | { readonly reason: 'wrong-signature'; readonly text: string }
  /** Asked before its signature was looked at: it is known already, or its origin speaks too often. */
  | { readonly reason: 'unwanted'; readonly text: string };

/**
 * Decodes and judges an envelope: shape, plan, ranges, then the origin's signature (the costly part last, about
 * 0.1 ms). `keyOf` gives the key of an agent by the own roster; an agent without one is refused. `isWanted` may spare the
 * signature: it hears what is claimed, not what is proven. Never throws.
 */
export function decodeDigest(
  bytes: Uint8Array,
  plan: Uint8Array,
  topic: string,
  bounds: Bounds,
  keyOf: (agent: AgentIndex) => KeyObject | undefined,
  isWanted: (claimed: DigestVersion) => boolean = () => true,
): Result<HealthDigest, DigestError> {
  if (peekType(bytes) !== digestEnvelopeType) return refuse('unknown-type', 'not a digest');
  const envelope = decodeArray(bytes, digestMaxBytes);
  if (!envelope.ok) return envelope;
  const [, payload, signature] = envelope.value;
  if (envelope.value.length !== 3 || !(payload instanceof Uint8Array)) return malformed();
  if (!(signature instanceof Uint8Array) || signature.length !== 64) return malformed();
  if (peekType(payload) !== 1) return refuse('unknown-type', 'a digest of another version');
  const fields = decodeArray(payload, digestMaxBytes);
  if (!fields.ok) return fields;
  const [, stamp, agent, bootCounter, sequence, checks, judges, anomalous, duties, localHealth, coordinator] =
    fields.value;
  if (fields.value.length !== 11) return malformed();
  if (!(stamp instanceof Uint8Array) || stamp.length !== planStampBytes) return malformed();
  // Before anything else: under another plan every number, the origin's own too, means something else.
  if (Buffer.compare(stamp, plan) !== 0) {
    return { ok: false, error: { reason: 'other-plan', text: 'its origin runs another version of the site file' } };
  }
  if (!isIndex(agent, bounds.agents) || !isCount(bootCounter) || !isCount(sequence)) return malformed();
  if (!isWanted({ agent, bootCounter, sequence })) {
    return { ok: false, error: { reason: 'unwanted', text: 'known already, or too many of one origin' } };
  }
  const key = keyOf(agent);
  if (key === undefined || !verify(null, signedBytes(topic, payload), key, signature)) {
    return { ok: false, error: { reason: 'wrong-signature', text: `not signed by agent ${agent}` } };
  }
  if (!isIndex(localHealth, 256)) return malformed();
  if (!isIndexList(judges, bounds.checks) || !isIndexList(anomalous, bounds.models)) return malformed();
  if (!isIndex(coordinator, coordinatorStates.length)) return malformed();
  const badChecks = readPairs(checks, bounds.checks, statuses.length);
  const held = readPairs(duties, bounds.duties, Number.MAX_SAFE_INTEGER);
  if (badChecks === undefined || held === undefined) return malformed();
  return ok({
    agent,
    bootCounter,
    sequence,
    checks: badChecks.map(([check, status]) => ({ check, status: statuses[status]! })),
    judges,
    anomalous,
    duties: held.map(([duty, term]) => ({ duty, term })),
    localHealth,
    coordinator: coordinatorStates[coordinator]!,
  });
}

// Pairs with distinct first elements.
function readPairs(list: unknown, firstLimit: number, secondLimit: number): [number, number][] | undefined {
  if (!Array.isArray(list) || list.length > firstLimit) return undefined;
  const pairs: [number, number][] = [];
  const seen = new Set<number>();
  for (const item of list as readonly unknown[]) {
    if (!Array.isArray(item) || item.length !== 2) return undefined;
    const [first, second] = item as readonly unknown[];
    if (!isIndex(first, firstLimit) || seen.has(first) || !isIndex(second, secondLimit)) return undefined;
    seen.add(first);
    pairs.push([first, second]);
  }
  return pairs;
}

function signedBytes(topic: string, payload: Uint8Array): Uint8Array {
  return Buffer.concat([Buffer.from(`millwright digest 1\n${topic}\n`, 'utf8'), payload]);
}

const malformed = (): Result<never, WireError> =>
  refuse('wrong-shape', 'digest: a field is missing, of another type, or out of range');
