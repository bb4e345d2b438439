import { isUtf8 } from 'node:buffer';
import { type KeyObject, sign, verify } from 'node:crypto';
import { invariant, unreachable } from '../base/invariant.ts';
import { ok, type Result } from '../base/result.ts';
import {
  type BallotItem,
  bundleHash,
  type EpochCertificate,
  type LeaseMessage,
  type LingeringGrant,
  type Refusal,
  type Sealed,
  type VoterMemory,
} from '../core/leases/ballot.ts';
import { maxCounter, maxEpoch } from '../core/leases/fencing-token.ts';
import { type Session, sessionId, type VoterLife } from '../core/leases/session.ts';
import { type Bounds, encodeArray, isCount, isIndex, refuse, sizeOfCount, type WireError } from './codec.ts';

/**
 * Leases on the direct stream for small messages: one type number, and a second one within. Sub-numbers are for ever.
 *
 * ```
 * lease        [12, sub, cell, epoch, …]
 *  1 request   …, session, rid, leaseMs, [item…] | null, listHash, life | null
 *  2 answer    …, session id, rid, [item…], [refusal…], life
 *  3 need-full …, session id, rid
 *  4 freed     …, [item…]                       the counter is the largest that was granted
 *  5 recall    …, life, unborn, round
 *  6 recalled  …, round, life, memory | null
 *  7 seal      …, successor
 *  8 sealed    …, successor, boot, [reborn…], [lingering…], signature
 *  9 epoch     …, successor, [[voter, boot, [reborn…], [lingering…], signature]…]
 * 10 wanted    …
 * 11 floors?   …, round
 * 12 floors    …, round, [counter…]
 * 13 forced    …, document
 * session   [agent, boot, id 32 bytes]       life    [boot, nonce]
 * item      [lease, counter]                 refusal [lease, counter, max counter, freeInMs]
 * lingering [lease, counter, session, remainingMs]
 * memory    [longestMs, [counter…], successor | null, [lingering…]]
 * ```
 * Counters are 12 lower-case hex digits, which every language reads exactly; whole milliseconds, rounded up, since a
 * promise told too short is a broken one. `cell` is 32 bits of its name's hash.
 */
export const leaseType = 12;

/** A portfolio of some 900 leases: far more than a cell of a hundred agents carries. */
export const leaseMaxBytes = 16_384;
/** No cell has more leases than this, whatever its epoch. The core judges each index by the epoch it belongs to. */
const mostLeases = 4096;
const mostVoters = 16;
const mostMs = 2 ** 40;
const idBytes = 32;
const signatureBytes = 64;
const documentBytes = 4096;

const sub = {
  'lease-request': 1,
  'lease-answer': 2,
  'lease-need-full': 3,
  'lease-freed': 4,
  'voter-recall': 5,
  'voter-recalled': 6,
  'lease-seal': 7,
  'lease-sealed': 8,
  'lease-epoch': 9,
  'lease-epoch-wanted': 10,
  'lease-floors-wanted': 11,
  'lease-floors': 12,
  'lease-forced': 13,
} as const satisfies Record<LeaseMessage['kind'], number>;

const kinds: readonly (LeaseMessage['kind'] | undefined)[] = (() => {
  const table: (LeaseMessage['kind'] | undefined)[] = [];
  for (const [kind, number] of Object.entries(sub)) table[number] = kind as LeaseMessage['kind'];
  return table;
})();

export const isLeaseMessage = (message: { readonly kind: string }): message is LeaseMessage => message.kind in sub;

// Writing

const hex = (counter: number): string => counter.toString(16).padStart(12, '0');
const ms = (duration: number): number => Math.max(0, Math.ceil(duration));

function raw(id: string): Uint8Array {
  invariant(/^[0-9a-f]{64}$/.test(id), 'a session or bundle is named by 64 hex digits');
  return Buffer.from(id, 'hex');
}

const fromSession = ({ agent, boot, id }: Session): readonly unknown[] => [agent, boot, raw(id)];
const fromLife = ({ boot, nonce }: VoterLife): readonly number[] => [boot, nonce];
const fromItem = ({ lease, counter }: BallotItem): readonly unknown[] => [lease, hex(counter)];
const fromRefusal = (r: Refusal): readonly unknown[] => [r.lease, hex(r.counter), hex(r.maxCounter), ms(r.freeInMs)];
const fromLingering = (grant: LingeringGrant): readonly unknown[] => [
  grant.lease,
  hex(grant.counter),
  fromSession(grant.session),
  ms(grant.remainingMs),
];
const fromMemory = (memory: VoterMemory): readonly unknown[] => [
  ms(memory.longestMs),
  memory.maxCounters.map(hex),
  memory.sealedFor === undefined ? null : raw(memory.sealedFor),
  memory.lingering.map(fromLingering),
];
/** A seal that nobody signed has an empty signature: well-formed, and believed by nobody. */
const fromSealed = ({ boot, reborn, lingering, signature }: Sealed): readonly unknown[] => [
  boot,
  reborn,
  lingering.map(fromLingering),
  Buffer.from(signature ?? '', 'hex'),
];

export function leaseToArray(message: LeaseMessage): readonly unknown[] {
  const head = [leaseType, sub[message.kind], message.cell, message.epoch];
  switch (message.kind) {
    case 'lease-request': {
      const { session, rid, leaseMs, items, listHash, heard } = message;
      const list = items === undefined ? null : items.map(fromItem);
      return [...head, fromSession(session), rid, ms(leaseMs), list, listHash, heard ? fromLife(heard) : null];
    }
    case 'lease-answer': {
      const { session, rid, got, refused, life } = message;
      return [...head, raw(session), rid, got.map(fromItem), refused.map(fromRefusal), fromLife(life)];
    }
    case 'lease-need-full':
      return [...head, raw(message.session), message.rid];
    case 'lease-freed':
      return [...head, message.leases.map(({ lease, maxCounter: counter }) => fromItem({ lease, counter }))];
    case 'voter-recall':
      return [
        ...head,
        fromLife(message.life),
        message.unborn ? 1 : 0,
        message.former ? fromLife(message.former) : null,
        message.round,
      ];
    case 'voter-recalled': {
      const { round, remembered, memory } = message;
      return [...head, round, fromLife(remembered), memory ? fromMemory(memory) : null];
    }
    case 'lease-seal':
      return [...head, raw(message.successor)];
    case 'lease-sealed':
      return [...head, raw(message.successor), ...fromSealed(message)];
    case 'lease-epoch':
      return [
        ...head,
        raw(message.successor),
        message.seals.map(({ voter, sealed }) => [voter, ...fromSealed(sealed)]),
      ];
    case 'lease-epoch-wanted':
      return head;
    case 'lease-floors-wanted':
      return [...head, message.round];
    case 'lease-floors':
      return [...head, message.round, message.maxCounters.map(hex)];
    case 'lease-forced':
      return [...head, Buffer.from(message.document, 'utf8')];
    default:
      return unreachable(message);
  }
}

// Sizes, without writing

const idSize = 2 + idBytes;
const counterSize = 13;
const sizeOfSession = (s: Session): number => 1 + sizeOfCount(s.agent) + sizeOfCount(s.boot) + idSize;
const sizeOfLife = (life: VoterLife): number => 1 + sizeOfCount(life.boot) + sizeOfCount(life.nonce);

function sizeOfList<T>(list: readonly T[], sizeOf: (item: T) => number): number {
  let size = sizeOfCount(list.length);
  for (const item of list) size += sizeOf(item);
  return size;
}

const sizeOfItem = ({ lease }: { readonly lease: number }): number => 1 + sizeOfCount(lease) + counterSize;
const sizeOfRefusal = (r: Refusal): number => 1 + sizeOfCount(r.lease) + 2 * counterSize + sizeOfCount(ms(r.freeInMs));
const sizeOfLingering = (grant: LingeringGrant): number =>
  1 + sizeOfCount(grant.lease) + counterSize + sizeOfSession(grant.session) + sizeOfCount(ms(grant.remainingMs));
function sizeOfSealed({ boot, reborn, lingering, signature }: Sealed): number {
  const length = (signature ?? '').length / 2;
  return (
    sizeOfCount(boot) +
    sizeOfList(reborn, sizeOfCount) +
    sizeOfList(lingering, sizeOfLingering) +
    sizeOfCount(length) +
    length
  );
}

/** `encodeArray(leaseToArray(message)).length`, by plain sums. */
export function leaseSize(message: LeaseMessage): number {
  const head = 3 + sizeOfCount(message.cell) + sizeOfCount(message.epoch);
  switch (message.kind) {
    case 'lease-request': {
      const { session, rid, leaseMs, items, listHash, heard } = message;
      const counts = sizeOfCount(rid) + sizeOfCount(ms(leaseMs)) + sizeOfCount(listHash);
      const list = items === undefined ? 1 : sizeOfList(items, sizeOfItem);
      return head + sizeOfSession(session) + counts + list + (heard ? sizeOfLife(heard) : 1);
    }
    case 'lease-answer': {
      const { rid, got, refused, life } = message;
      const lists = sizeOfList(got, sizeOfItem) + sizeOfList(refused, sizeOfRefusal);
      return head + idSize + sizeOfCount(rid) + lists + sizeOfLife(life);
    }
    case 'lease-need-full':
      return head + idSize + sizeOfCount(message.rid);
    case 'lease-freed':
      return head + sizeOfList(message.leases, sizeOfItem);
    case 'voter-recall':
      return (
        head +
        sizeOfLife(message.life) +
        1 +
        (message.former ? sizeOfLife(message.former) : 1) +
        sizeOfCount(message.round)
      );
    case 'voter-recalled': {
      const { round, remembered, memory } = message;
      const told =
        memory === undefined
          ? 1
          : 1 +
            sizeOfCount(ms(memory.longestMs)) +
            sizeOfList(memory.maxCounters, () => counterSize) +
            (memory.sealedFor === undefined ? 1 : idSize) +
            sizeOfList(memory.lingering, sizeOfLingering);
      return head + sizeOfCount(round) + sizeOfLife(remembered) + told;
    }
    case 'lease-seal':
      return head + idSize;
    case 'lease-sealed':
      return head + idSize + sizeOfSealed(message);
    case 'lease-epoch':
      return (
        head + idSize + sizeOfList(message.seals, ({ voter, sealed }) => 1 + sizeOfCount(voter) + sizeOfSealed(sealed))
      );
    case 'lease-epoch-wanted':
      return head;
    case 'lease-floors-wanted':
      return head + sizeOfCount(message.round);
    case 'lease-floors':
      return head + sizeOfCount(message.round) + sizeOfList(message.maxCounters, () => counterSize);
    case 'lease-forced': {
      const length = Buffer.byteLength(message.document);
      return head + sizeOfCount(length) + length;
    }
    default:
      return unreachable(message);
  }
}

// Reading: what a peer sent is judged here by shape and range, and by the core once more.

type Read<T> = T | undefined;

function readCounter(value: unknown): Read<number> {
  if (typeof value !== 'string' || !/^[0-9a-f]{12}$/.test(value)) return undefined;
  const counter = Number.parseInt(value, 16);
  return counter <= maxCounter ? counter : undefined;
}

const readId = (value: unknown): Read<string> =>
  value instanceof Uint8Array && value.length === idBytes ? Buffer.from(value).toString('hex') : undefined;

const isMs = (value: unknown): value is number => isCount(value) && value <= mostMs;

function readList<T>(value: unknown, most: number, read: (item: unknown) => Read<T>): Read<T[]> {
  if (!Array.isArray(value) || value.length > most) return undefined;
  const list: T[] = [];
  for (const item of value as readonly unknown[]) {
    const one = read(item);
    if (one === undefined) return undefined;
    list.push(one);
  }
  return list;
}

const fields = (value: unknown, length: number): Read<readonly unknown[]> =>
  Array.isArray(value) && value.length === length ? value : undefined;

function readLife(value: unknown): Read<VoterLife> {
  const [boot, nonce] = fields(value, 2) ?? [];
  return isCount(boot) && isCount(nonce) && nonce < 2 ** 48 ? { boot, nonce } : undefined;
}

class Reader {
  readonly #agents: number;
  readonly #leases: number;

  constructor(bounds: Bounds) {
    this.#agents = bounds.agents;
    this.#leases = Math.min(bounds.leases ?? mostLeases, mostLeases);
  }

  session(value: unknown): Read<Session> {
    const [agent, boot, id] = fields(value, 3) ?? [];
    const name = readId(id);
    if (!isIndex(agent, this.#agents) || !isCount(boot) || name === undefined) return undefined;
    return { agent, boot, id: sessionId(name) };
  }

  item(value: unknown): Read<BallotItem> {
    const [lease, counter] = fields(value, 2) ?? [];
    const read = readCounter(counter);
    return isIndex(lease, this.#leases) && read !== undefined ? { lease, counter: read } : undefined;
  }

  /** A token and the one beside it for each lease. */
  items = (value: unknown): Read<BallotItem[]> => readList(value, 2 * this.#leases, (item) => this.item(item));

  refusals(value: unknown): Read<Refusal[]> {
    return readList(value, 2 * this.#leases, (item) => {
      const [lease, counter, max, freeInMs] = fields(item, 4) ?? [];
      const refused = readCounter(counter);
      const most = readCounter(max);
      if (!isIndex(lease, this.#leases) || refused === undefined || most === undefined || !isMs(freeInMs)) {
        return undefined;
      }
      return { lease, counter: refused, maxCounter: most, freeInMs };
    });
  }

  lingering(value: unknown): Read<LingeringGrant[]> {
    return readList(value, this.#leases, (item) => {
      const [lease, counter, session, remainingMs] = fields(item, 4) ?? [];
      const read = readCounter(counter);
      const whose = this.session(session);
      if (!isIndex(lease, this.#leases) || read === undefined || whose === undefined || !isMs(remainingMs)) {
        return undefined;
      }
      return { lease, counter: read, session: whose, remainingMs };
    });
  }

  memory(value: unknown): Read<VoterMemory> {
    const [longestMs, counters, successor, grants] = fields(value, 4) ?? [];
    const maxCounters = readList(counters, this.#leases, readCounter);
    const sealedFor = successor === null ? null : readId(successor);
    const lingering = this.lingering(grants);
    if (!isMs(longestMs) || maxCounters === undefined || sealedFor === undefined || lingering === undefined) {
      return undefined;
    }
    return { longestMs, maxCounters, sealedFor: sealedFor === null ? undefined : bundleHash(sealedFor), lingering };
  }

  counters = (value: unknown): Read<number[]> => readList(value, this.#leases, readCounter);

  sealed(head: { cell: number; epoch: number }, successor: string, rest: readonly unknown[]): Read<Sealed> {
    const [boot, reborn, grants, signature] = rest;
    const boots = readList(reborn, mostVoters, (item) => (isCount(item) ? item : undefined));
    const lingering = this.lingering(grants);
    if (rest.length !== 4 || !isCount(boot) || boots === undefined || lingering === undefined) return undefined;
    if (!(signature instanceof Uint8Array) || ![0, signatureBytes].includes(signature.length)) return undefined;
    const signed = signature.length === 0 ? {} : { signature: Buffer.from(signature).toString('hex') };
    return {
      kind: 'lease-sealed',
      ...head,
      successor: bundleHash(successor),
      boot,
      reborn: boots,
      lingering,
      ...signed,
    };
  }
}

/** Judges a decoded array that began with {@link leaseType}. Never throws. */
export function leaseFromArray(array: readonly unknown[], bounds: Bounds): Result<LeaseMessage, WireError> {
  const [, number, cell, epoch, ...rest] = array;
  const kind = isCount(number) ? kinds[number] : undefined;
  if (kind === undefined) return refuse('unknown-type', 'lease: not a message that this version knows');
  if (!isIndex(cell, 2 ** 32) || !isIndex(epoch, maxEpoch + 1) || epoch === 0) return malformed(kind);
  const message = read(kind, { cell, epoch }, rest, new Reader(bounds));
  return message === undefined ? malformed(kind) : ok(message);
}

function read(
  kind: LeaseMessage['kind'],
  head: { readonly cell: number; readonly epoch: number },
  rest: readonly unknown[],
  reader: Reader,
): Read<LeaseMessage> {
  switch (kind) {
    case 'lease-request': {
      const [whose, rid, leaseMs, list, listHash, life] = rest;
      const session = reader.session(whose);
      const items = list === null ? null : reader.items(list);
      const heard = life === null ? null : readLife(life);
      if (rest.length !== 6 || session === undefined || items === undefined || heard === undefined) return undefined;
      if (!isCount(rid) || !isMs(leaseMs) || !isCount(listHash)) return undefined;
      return {
        kind,
        ...head,
        session,
        rid,
        leaseMs,
        items: items === null ? undefined : items,
        listHash,
        heard: heard === null ? undefined : heard,
      };
    }
    case 'lease-answer': {
      const [id, rid, granted, denied, boot] = rest;
      const session = readId(id);
      const got = reader.items(granted);
      const refused = reader.refusals(denied);
      const life = readLife(boot);
      if (rest.length !== 5 || session === undefined || !isCount(rid)) return undefined;
      if (got === undefined || refused === undefined || life === undefined) return undefined;
      return { kind, ...head, session: sessionId(session), rid, got, refused, life };
    }
    case 'lease-need-full': {
      const [id, rid] = rest;
      const session = readId(id);
      if (rest.length !== 2 || session === undefined || !isCount(rid)) return undefined;
      return { kind, ...head, session: sessionId(session), rid };
    }
    case 'lease-freed': {
      const items = rest.length === 1 ? reader.items(rest[0]) : undefined;
      return items && { kind, ...head, leases: items.map(({ lease, counter }) => ({ lease, maxCounter: counter })) };
    }
    case 'voter-recall': {
      const [boot, unborn, before, round] = rest;
      const life = readLife(boot);
      const former = before === null ? null : readLife(before);
      if (rest.length !== 4 || life === undefined || former === undefined) return undefined;
      if (!isIndex(unborn, 2) || !isCount(round)) return undefined;
      return { kind, ...head, life, unborn: unborn === 1, former: former === null ? undefined : former, round };
    }
    case 'voter-recalled': {
      const [round, life, told] = rest;
      const remembered = readLife(life);
      const memory = told === null ? null : reader.memory(told);
      if (rest.length !== 3 || !isCount(round) || remembered === undefined || memory === undefined) return undefined;
      return { kind, ...head, round, remembered, memory: memory === null ? undefined : memory };
    }
    case 'lease-seal': {
      const successor = rest.length === 1 ? readId(rest[0]) : undefined;
      return successor === undefined ? undefined : { kind, ...head, successor: bundleHash(successor) };
    }
    case 'lease-sealed': {
      const successor = readId(rest[0]);
      return successor === undefined ? undefined : reader.sealed(head, successor, rest.slice(1));
    }
    case 'lease-epoch': {
      const successor = readId(rest[0]);
      if (rest.length !== 2 || successor === undefined) return undefined;
      const seals = readList(rest[1], mostVoters, (item) => {
        if (!Array.isArray(item)) return undefined;
        const [voter, ...body] = item as readonly unknown[];
        const sealed = reader.sealed(head, successor, body);
        return isIndex(voter, mostVoters) && sealed ? { voter, sealed } : undefined;
      });
      return seals && { kind, ...head, successor: bundleHash(successor), seals };
    }
    case 'lease-epoch-wanted':
      return rest.length === 0 ? { kind, ...head } : undefined;
    case 'lease-floors-wanted': {
      const [round] = rest;
      return rest.length === 1 && isCount(round) ? { kind, ...head, round } : undefined;
    }
    case 'lease-floors': {
      const [round, counters] = rest;
      const maxCounters = reader.counters(counters);
      if (rest.length !== 2 || !isCount(round) || maxCounters === undefined) return undefined;
      return { kind, ...head, round, maxCounters };
    }
    case 'lease-forced': {
      const [bytes] = rest;
      if (rest.length !== 1 || !(bytes instanceof Uint8Array) || bytes.length > documentBytes) return undefined;
      // Read loosely, two messages would be one, and a signature over either would be over neither.
      if (!isUtf8(bytes)) return undefined;
      // What it says is read where its signature can be verified.
      const document = Buffer.from(bytes).toString('utf8');
      return { kind, ...head, successor: bundleHash(''), poweredOff: [], document };
    }
    default:
      return unreachable(kind);
  }
}

const malformed = (kind: string): Result<never, WireError> =>
  refuse('wrong-shape', `${kind}: a field is missing, of another type, or out of range`);

// Seals are passed on in certificates, so each carries its voter's signature (Ed25519, RFC 8032).

function sealedBytes(site: string, cell: string, voter: string, sealed: Sealed): Uint8Array {
  const [boot, reborn, lingering] = fromSealed(sealed);
  const body = encodeArray([sealed.epoch, raw(sealed.successor), boot, reborn, lingering]);
  return Buffer.concat([Buffer.from(`millwright seal 1\n${site}\n${cell}\n${voter}\n`, 'utf8'), body]);
}

/** The seal with its voter's signature. `cell` and `voter` by name. */
export function signSealed(sealed: Sealed, site: string, cell: string, voter: string, key: KeyObject): Sealed {
  const signature = sign(null, sealedBytes(site, cell, voter, sealed), key).toString('hex');
  return { ...sealed, signature };
}

export function verifySealed(
  sealed: Sealed,
  site: string,
  cell: string,
  voter: string,
  key: KeyObject | undefined,
): boolean {
  const { signature } = sealed;
  if (key === undefined || signature === undefined || !/^[0-9a-f]{128}$/.test(signature)) return false;
  return verify(null, sealedBytes(site, cell, voter, sealed), key, Buffer.from(signature, 'hex'));
}

/**
 * The certificate less the seals that their voters did not sign; the core counts what remains. `keyOf` gives the key of
 * the voter at a position of the epoch that ended, with its name.
 */
export function verifiedCertificate(
  certificate: EpochCertificate,
  site: string,
  cell: string,
  voterAt: (position: number) => { readonly name: string; readonly key: KeyObject | undefined } | undefined,
): EpochCertificate {
  const seals = certificate.seals.filter(({ voter, sealed }) => {
    const known = voterAt(voter);
    return known !== undefined && verifySealed(sealed, site, cell, known.name, known.key);
  });
  return { ...certificate, seals };
}
