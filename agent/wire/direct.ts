import { bootId } from '../base/ids.ts';
import { invariant, unreachable } from '../base/invariant.ts';
import { ok, type Result } from '../base/result.ts';
import { wallTime } from '../base/time.ts';
import { maxUnable } from '../core/duties/claim.ts';
import type { Checkpoint } from '../core/duties/duty.ts';
import type { DigestVersion } from '../core/health/digest.ts';
import type { DirectMessage } from '../core/input.ts';
import type { LeaseMessage } from '../core/leases/ballot.ts';
import type { MemberUpdate } from '../core/membership/member.ts';
import {
  type Bounds,
  decodeArray,
  encodeArray,
  isCount,
  isIndex,
  isIndexList,
  peekType,
  refuse,
  sizeOfCount,
  type WireError,
} from './codec.ts';
import { isLeaseMessage, leaseFromArray, leaseMaxBytes, leaseSize, leaseToArray, leaseType } from './lease.ts';

/**
 * What two agents tell each other on their direct streams. Type numbers are for ever: a number that is no longer
 * spoken is not given to something else.
 *
 * ```
 * ping         [1, seq, digestVersion, updates?]
 * ack          [2, seq, digestVersion, updates?]
 * ping-request [3, seq, target, updates?]
 * nack         [4, seq, updates?]
 * gossip       [5, updates, [member wanted…]?]
 * hello        [6, boot 16 bytes, bootCounter, incarnation, updates?]
 * claim        [7, bootCounter, seq, [[duty, term, [heard…]]…], stance?, [unable…]?]
 * checkpoint   [8, duty, term, sequence, takenAt, data]
 * handover     [9, duty, term, sequence, takenAt, data]
 * handover-taken [11, duty, term, sequence]   (10 is a digest, which comes on the same stream)
 * lease        [12, …]                        see lease.ts
 * sync         [13, hash, hash of digests?]
 * sync-buckets [14, [hash…]]
 * sync-entries [15, [bucket…], [member wanted…], updates?]
 * digest-buckets  [16, [hash…]]
 * digest-versions [17, [bucket…], [[agent, bootCounter, sequence]…]]
 * digest-wants    [18, [agent…]]
 * update        [member, state, bootCounter, incarnation, origin, signature 64 bytes?]
 * ```
 */
const type = {
  ping: 1,
  ack: 2,
  'ping-request': 3,
  nack: 4,
  gossip: 5,
  hello: 6,
  claim: 7,
  checkpoint: 8,
  handover: 9,
  'handover-taken': 11,
  sync: 13,
  'sync-buckets': 14,
  'sync-entries': 15,
  'digest-buckets': 16,
  'digest-versions': 17,
  'digest-wants': 18,
} as const satisfies Record<Exclude<DirectMessage, LeaseMessage>['kind'], number>;

const states = ['alive', 'suspect', 'dead', 'left'] as const;
const stateCode = { alive: 0, suspect: 1, dead: 2, left: 3 } as const;

const stances = [undefined, 'full', 'draining'] as const;
const stanceCode = { open: 0, full: 1, draining: 2 } as const;

export const checkpointMaxBytes = 65_536;
/** Updates per message that a receiver accepts. The detector sends 16 by default; the room is for later presets. */
const maxUpdates = 64;
/** Buckets of a table that is compared, at most: enough for 25 000 members. */
const maxBuckets = 600;
const signatureBytes = 64;
const hashLimit = 2 ** 32;
const membershipMaxBytes = 4096;
const claimMaxBytes = 16_384;
const checkpointFrameMaxBytes = checkpointMaxBytes + 64;

/** The largest frame of a direct stream for small messages, and of the one for bulk. */
export const probeFrameMaxBytes = claimMaxBytes;
export const bulkFrameMaxBytes = checkpointFrameMaxBytes;

/** Bulk goes by a stream of its own, so that a lost segment of 64 kB does not delay a probe. */
export const isBulk = ({ kind }: DirectMessage): boolean => kind === 'checkpoint' || kind === 'handover';

/** The largest encoding of a type that a receiver takes. */
export function maxBytesOf(kind: DirectMessage['kind']): number {
  switch (kind) {
    case 'ping':
    case 'ack':
    case 'ping-request':
    case 'nack':
    case 'gossip':
    case 'hello':
    case 'sync':
    case 'sync-buckets':
    case 'sync-entries':
    case 'digest-buckets':
    case 'digest-versions':
    case 'digest-wants':
      return membershipMaxBytes;
    case 'claim':
      return claimMaxBytes;
    case 'checkpoint':
    case 'handover':
      return checkpointFrameMaxBytes;
    default:
      return isLeaseMessage({ kind }) ? leaseMaxBytes : membershipMaxBytes;
  }
}

/** Encodes a message of our own. A message that is too long for its receiver is `too-large`, to be dropped here. */
export function encodeDirect(message: DirectMessage): Result<Uint8Array, WireError> {
  if (isBulk(message) && (message as { checkpoint: Checkpoint }).checkpoint.data.length > checkpointMaxBytes) {
    return refuse('too-large', `a checkpoint has at most ${checkpointMaxBytes} bytes`);
  }
  const bytes = encodeArray(toArray(message));
  const most = maxBytesOf(message.kind);
  return bytes.length > most
    ? refuse('too-large', `${message.kind}: ${bytes.length} bytes, at most ${most}`)
    : ok(bytes);
}

/** Decodes and judges what a peer sent: shape, ranges, every index against the own plan. Never throws. */
export function decodeDirect(bytes: Uint8Array, bounds: Bounds): Result<DirectMessage, WireError> {
  const number = peekType(bytes);
  if (number === leaseType) {
    const lease = decodeArray(bytes, leaseMaxBytes);
    return lease.ok ? leaseFromArray(lease.value, bounds) : lease;
  }
  const kind = kinds[number];
  if (kind === undefined) return refuse('unknown-type', 'not a message that this version knows');
  const decoded = decodeArray(bytes, maxBytesOf(kind));
  return decoded.ok ? fromArray(kind, decoded.value, bounds) : decoded;
}

/** `encodeDirect(message).length` without encoding: plain sums, for the byte counts of the simulator. */
export function encodedSize(message: DirectMessage): number {
  switch (message.kind) {
    case 'ping':
    case 'ack':
      return 2 + sizeOfCount(message.seq) + sizeOfCount(message.digestVersion) + sizeOfUpdates(message.updates);
    case 'ping-request':
      return 2 + sizeOfCount(message.seq) + sizeOfCount(message.target) + sizeOfUpdates(message.updates);
    case 'nack':
      return 2 + sizeOfCount(message.seq) + sizeOfUpdates(message.updates);
    case 'gossip':
      return (
        2 +
        (message.updates.length === 0 ? 1 : sizeOfUpdates(message.updates)) +
        (message.wants === undefined ? 0 : sizeOfCounts(message.wants))
      );
    case 'hello':
      return (
        2 + 17 + sizeOfCount(message.bootCounter) + sizeOfCount(message.incarnation) + sizeOfUpdates(message.updates)
      );
    case 'sync':
      return 2 + sizeOfCount(message.hash) + (message.digests === undefined ? 0 : sizeOfCount(message.digests));
    case 'sync-buckets':
    case 'digest-buckets':
      return 2 + sizeOfCounts(message.hashes);
    case 'digest-versions': {
      let size = 2 + sizeOfCounts(message.buckets) + sizeOfCount(message.versions.length);
      for (const { agent, bootCounter, sequence } of message.versions) {
        size += 1 + sizeOfCount(agent) + sizeOfCount(bootCounter) + sizeOfCount(sequence);
      }
      return size;
    }
    case 'digest-wants':
      return 2 + sizeOfCounts(message.agents);
    case 'sync-entries':
      return 2 + sizeOfCounts(message.buckets) + sizeOfCounts(message.wants) + sizeOfUpdates(message.updates);
    case 'claim': {
      const { stance, unable = [] } = message;
      let size = 2 + sizeOfCount(message.bootCounter) + sizeOfCount(message.seq) + sizeOfCount(message.duties.length);
      for (const { duty, term, heard } of message.duties) {
        size += 1 + sizeOfCount(duty) + sizeOfCount(term) + sizeOfCount(heard.length);
        for (const agent of heard) size += sizeOfCount(agent);
      }
      if (stance === undefined && unable.length === 0) return size;
      size += 1 + sizeOfCount(unable.length);
      for (const duty of unable) size += sizeOfCount(duty);
      return size;
    }
    case 'handover-taken':
      return 2 + sizeOfCount(message.duty) + sizeOfCount(message.term) + sizeOfCount(message.sequence);
    case 'checkpoint':
    case 'handover': {
      const { duty, term, sequence, takenAt, data } = message.checkpoint;
      const stamp = Number.isSafeInteger(takenAt) ? sizeOfCount(takenAt < 0 ? -1 - takenAt : takenAt) : 9;
      const counts = sizeOfCount(duty) + sizeOfCount(term) + sizeOfCount(sequence);
      return 2 + counts + stamp + sizeOfCount(data.length) + data.length;
    }
    default:
      return isLeaseMessage(message) ? leaseSize(message) : unreachable(message);
  }
}

type PlainKind = keyof typeof type;

const kinds: readonly (PlainKind | undefined)[] = (() => {
  const table: (PlainKind | undefined)[] = [];
  for (const [kind, number] of Object.entries(type)) table[number] = kind as PlainKind;
  return table;
})();

function sizeOfCounts(counts: readonly number[]): number {
  let size = sizeOfCount(counts.length);
  for (const count of counts) size += sizeOfCount(count);
  return size;
}

function sizeOfUpdates(updates: readonly MemberUpdate[]): number {
  if (updates.length === 0) return 0;
  let size = sizeOfCount(updates.length);
  for (const { member, bootCounter, incarnation, origin, signature } of updates) {
    size += 2 + sizeOfCount(member) + sizeOfCount(bootCounter) + sizeOfCount(incarnation) + sizeOfCount(origin);
    if (signature !== undefined) size += 2 + signatureBytes;
  }
  return size;
}

function toArray(message: DirectMessage): readonly unknown[] {
  switch (message.kind) {
    case 'ping':
    case 'ack':
      return withUpdates([type[message.kind], message.seq, message.digestVersion], message.updates);
    case 'ping-request':
      return withUpdates([type['ping-request'], message.seq, message.target], message.updates);
    case 'nack':
      return withUpdates([type.nack, message.seq], message.updates);
    case 'gossip':
      return message.wants === undefined
        ? [type.gossip, message.updates.map(fromUpdate)]
        : [type.gossip, message.updates.map(fromUpdate), message.wants];
    case 'hello': {
      const boot = Buffer.from(message.boot, 'hex');
      invariant(boot.length === 16, 'a boot id is 32 hex digits');
      return withUpdates([type.hello, boot, message.bootCounter, message.incarnation], message.updates);
    }
    case 'sync':
      return message.digests === undefined ? [type.sync, message.hash] : [type.sync, message.hash, message.digests];
    case 'sync-buckets':
    case 'digest-buckets':
      return [type[message.kind], message.hashes];
    case 'digest-versions':
      return [
        type[message.kind],
        message.buckets,
        message.versions.map(({ agent, bootCounter, sequence }) => [agent, bootCounter, sequence]),
      ];
    case 'digest-wants':
      return [type[message.kind], message.agents];
    case 'sync-entries':
      return withUpdates([type['sync-entries'], message.buckets, message.wants], message.updates);
    case 'claim': {
      const { stance, unable = [] } = message;
      const duties = message.duties.map(({ duty, term, heard }) => [duty, term, heard]);
      const plain = [type.claim, message.bootCounter, message.seq, duties];
      return stance === undefined && unable.length === 0 ? plain : [...plain, stanceCode[stance ?? 'open'], unable];
    }
    case 'handover-taken':
      return [type[message.kind], message.duty, message.term, message.sequence];
    case 'checkpoint':
    case 'handover': {
      const { duty, term, sequence, takenAt, data } = message.checkpoint;
      return [type[message.kind], duty, term, sequence, takenAt, data];
    }
    default:
      return isLeaseMessage(message) ? leaseToArray(message) : unreachable(message);
  }
}

// Nothing to say is said by nothing: the idle ping has no empty list.
function withUpdates(fields: unknown[], updates: readonly MemberUpdate[]): readonly unknown[] {
  if (updates.length > 0) fields.push(updates.map(fromUpdate));
  return fields;
}

const fromUpdate = (u: MemberUpdate): readonly unknown[] => {
  const plain = [u.member, stateCode[u.state], u.bootCounter, u.incarnation, u.origin];
  return u.signature === undefined ? plain : [...plain, u.signature];
};

function fromArray(kind: PlainKind, array: readonly unknown[], bounds: Bounds): Result<DirectMessage, WireError> {
  switch (kind) {
    case 'ping':
    case 'ack': {
      const [, seq, digestVersion] = array;
      const updates = readUpdates(array, 3, bounds);
      if (!isCount(seq) || !isCount(digestVersion) || updates === undefined) return malformed(kind);
      return ok({ kind, seq, digestVersion, updates });
    }
    case 'ping-request': {
      const [, seq, target] = array;
      const updates = readUpdates(array, 3, bounds);
      if (!isCount(seq) || !isIndex(target, bounds.agents) || updates === undefined) return malformed(kind);
      return ok({ kind, seq, target, updates });
    }
    case 'nack': {
      const [, seq] = array;
      const updates = readUpdates(array, 2, bounds);
      if (!isCount(seq) || updates === undefined) return malformed(kind);
      return ok({ kind, seq, updates });
    }
    case 'gossip': {
      const [, list, wants] = array;
      const updates = readUpdateList(list, bounds);
      if (updates === undefined) return malformed(kind);
      if (array.length === 2) return ok({ kind, updates });
      // Nothing wanted is said by nothing.
      if (array.length !== 3 || !isIndexList(wants, bounds.agents) || wants.length === 0) return malformed(kind);
      return ok({ kind, updates, wants });
    }
    case 'hello': {
      const [, boot, bootCounter, incarnation] = array;
      const updates = readUpdates(array, 4, bounds);
      if (!(boot instanceof Uint8Array) || boot.length !== 16 || !isCount(bootCounter) || !isCount(incarnation)) {
        return malformed(kind);
      }
      if (updates === undefined) return malformed(kind);
      return ok({ kind, boot: bootId(Buffer.from(boot).toString('hex')), bootCounter, incarnation, updates });
    }
    case 'sync': {
      const [, hash, digests] = array;
      if (!isIndex(hash, hashLimit)) return malformed(kind);
      if (array.length === 2) return ok({ kind, hash, updates: [] });
      if (array.length !== 3 || !isIndex(digests, hashLimit)) return malformed(kind);
      return ok({ kind, hash, digests, updates: [] });
    }
    case 'sync-buckets': {
      const [, hashes] = array;
      if (array.length !== 2 || !Array.isArray(hashes) || hashes.length > maxBuckets) return malformed(kind);
      if (!hashes.every((hash) => isIndex(hash, hashLimit))) return malformed(kind);
      return ok({ kind, hashes, updates: [] });
    }
    case 'digest-buckets': {
      const [, hashes] = array;
      if (array.length !== 2 || !Array.isArray(hashes) || hashes.length > maxBuckets) return malformed(kind);
      if (!hashes.every((hash) => isIndex(hash, hashLimit))) return malformed(kind);
      return ok({ kind, hashes });
    }
    case 'digest-versions': {
      const [, buckets, list] = array;
      if (array.length !== 3 || !isIndexList(buckets, maxBuckets)) return malformed(kind);
      const versions = readVersions(list, bounds);
      return versions === undefined ? malformed(kind) : ok({ kind, buckets, versions });
    }
    case 'digest-wants': {
      const [, agents] = array;
      if (array.length !== 2 || !isIndexList(agents, bounds.agents)) return malformed(kind);
      return ok({ kind, agents });
    }
    case 'sync-entries': {
      const [, buckets, wants] = array;
      const updates = readUpdates(array, 3, bounds);
      if (!isIndexList(buckets, maxBuckets) || updates === undefined) return malformed(kind);
      if (!isIndexList(wants, bounds.agents)) return malformed(kind);
      return ok({ kind, buckets, wants, updates });
    }
    case 'claim':
      return readClaim(array, bounds);
    case 'handover-taken': {
      const [, duty, term, sequence] = array;
      if (array.length !== 4 || !isIndex(duty, bounds.duties) || !isCount(term) || !isCount(sequence)) {
        return malformed(kind);
      }
      return ok({ kind, duty, term, sequence });
    }
    case 'checkpoint':
    case 'handover': {
      const [, duty, term, sequence, takenAt, data] = array;
      if (array.length !== 6 || !isIndex(duty, bounds.duties) || !isCount(term) || !isCount(sequence)) {
        return malformed(kind);
      }
      if (typeof takenAt !== 'number' || !Number.isFinite(takenAt)) return malformed(kind);
      if (!(data instanceof Uint8Array) || data.length > checkpointMaxBytes) return malformed(kind);
      // A copy: the decoder's view would keep the whole receive buffer alive for as long as the checkpoint lives.
      const copy = Uint8Array.from(data);
      return ok({ kind, checkpoint: { duty, term, sequence, takenAt: wallTime(takenAt), data: copy } });
    }
    default:
      return unreachable(kind);
  }
}

function readClaim(array: readonly unknown[], bounds: Bounds): Result<DirectMessage, WireError> {
  const [, bootCounter, seq, list, code = 0, unable] = array;
  if ((array.length !== 4 && array.length !== 6) || !isCount(bootCounter) || !isCount(seq)) return malformed('claim');
  if (!Array.isArray(list) || list.length > bounds.duties) return malformed('claim');
  const duties: { duty: number; term: number; heard: readonly number[] }[] = [];
  const seen = new Set<number>();
  for (const item of list as readonly unknown[]) {
    if (!Array.isArray(item) || item.length !== 3) return malformed('claim');
    const [duty, term, heard] = item as readonly unknown[];
    if (!isIndex(duty, bounds.duties) || seen.has(duty) || !isCount(term) || !isIndexList(heard, bounds.agents)) {
      return malformed('claim');
    }
    seen.add(duty);
    duties.push({ duty, term, heard });
  }
  if (array.length === 4) return ok({ kind: 'claim', bootCounter, seq, duties });
  if (!isIndex(code, stances.length) || !isIndexList(unable, bounds.duties)) return malformed('claim');
  // What says nothing more has the short form only.
  if (unable.length > maxUnable || (code === 0 && unable.length === 0)) return malformed('claim');
  const stance = stances[code];
  return ok({
    kind: 'claim',
    bootCounter,
    seq,
    duties,
    ...(stance === undefined ? {} : { stance }),
    ...(unable.length === 0 ? {} : { unable }),
  });
}

// At most one word per agent.
function readVersions(list: unknown, bounds: Bounds): readonly DigestVersion[] | undefined {
  if (!Array.isArray(list) || list.length > bounds.agents) return undefined;
  const versions: DigestVersion[] = [];
  const seen = new Set<number>();
  for (const item of list as readonly unknown[]) {
    if (!Array.isArray(item) || item.length !== 3) return undefined;
    const [agent, bootCounter, sequence] = item as readonly unknown[];
    if (!isIndex(agent, bounds.agents) || seen.has(agent) || !isCount(bootCounter) || !isCount(sequence))
      return undefined;
    seen.add(agent);
    versions.push({ agent, bootCounter, sequence });
  }
  return versions;
}

// The optional last element; a longer array is no message of ours.
function readUpdates(array: readonly unknown[], at: number, bounds: Bounds): readonly MemberUpdate[] | undefined {
  if (array.length === at) return [];
  if (array.length !== at + 1) return undefined;
  const updates = readUpdateList(array[at], bounds);
  return updates?.length === 0 ? undefined : updates;
}

function readUpdateList(list: unknown, bounds: Bounds): readonly MemberUpdate[] | undefined {
  if (!Array.isArray(list) || list.length > maxUpdates) return undefined;
  const updates: MemberUpdate[] = [];
  for (const item of list as readonly unknown[]) {
    if (!Array.isArray(item) || (item.length !== 5 && item.length !== 6)) return undefined;
    const [member, code, bootCounter, incarnation, origin, signature] = item as readonly unknown[];
    if (!isIndex(member, bounds.agents) || !isIndex(origin, bounds.agents)) return undefined;
    if (!isIndex(code, states.length) || !isCount(bootCounter) || !isCount(incarnation)) return undefined;
    const update: MemberUpdate = { member, state: states[code]!, bootCounter, incarnation, origin };
    if (item.length === 5) {
      updates.push(update);
      continue;
    }
    if (!(signature instanceof Uint8Array) || signature.length !== signatureBytes) return undefined;
    // A copy: the decoder's view would keep the whole receive buffer alive for as long as the statement is held.
    updates.push({ ...update, signature: Uint8Array.from(signature) });
  }
  return updates;
}

const malformed = (kind: string): Result<never, WireError> =>
  refuse('wrong-shape', `${kind}: a field is missing, of another type, or out of range`);
