import type { AgentIndex } from '../../base/ids.ts';
import type { MembershipMessage, MemberUpdate } from './member.ts';
import type { MembershipOptions } from './options.ts';

interface Queued {
  readonly update: MemberUpdate;
  /** Transmissions so far. */
  sent: number;
  /** Transmissions left; 0 once it is superseded. */
  left: number;
}

/**
 * Updates that wait to ride on probes and gossip (SWIM §4.1). Each is sent retransmitMult·⌈log10(N+1)⌉ times: new ones
 * first, then all in turn. A newer statement about a member replaces the older one; confirmations of one suspicion by
 * different accusers stand beside each other, because the receivers count them.
 *
 * A signed update is eight times as long as its numbers. It is said in full `fullCopies` times; by then most have it, and
 * further copies are its numbers alone, by which who lacks it asks for it. A confirmation beside a first accusation ends
 * there: numbers cannot name it. (Half of 80 members go dark, everything signed, 4 kB/s: all is known after 7 to 9 s; with
 * full copies only, after 10.)
 */
export class Dissemination {
  readonly #limit: number;
  readonly #capacity: number;
  /** Never sent yet, newest last. */
  #fresh: Queued[] = [];
  /** Sent before; a ring, read from `#head`. */
  #turn: Queued[] = [];
  #head = 0;
  readonly #byMember = new Map<AgentIndex, Queued[]>();
  #length = 0;

  constructor(size: number, options: MembershipOptions) {
    this.#limit = options.retransmitMult * Math.ceil(Math.log10(size + 1));
    this.#capacity = Math.max(64, 2 * size);
  }

  get length(): number {
    return this.#length;
  }

  /** `transmissions`: fewer than the usual number, for news that most have first-hand. */
  enqueue(update: MemberUpdate, transmissions = this.#limit): void {
    const about = this.#byMember.get(update.member);
    const kept: Queued[] = [];
    if (about) for (const queued of about) if (staysBeside(queued.update, update)) kept.push(queued);
    if (about) for (const queued of about) if (!kept.includes(queued)) this.#drop(queued);
    while (this.#length >= this.#capacity && this.#discardOldest());
    const queued: Queued = { update, sent: 0, left: Math.max(1, Math.min(transmissions, this.#limit)) };
    kept.push(queued);
    this.#byMember.set(update.member, kept);
    this.#fresh.push(queued);
    this.#length++;
    if (this.#fresh.length + this.#turn.length > 4 * this.#capacity) this.#sweep();
  }

  /** Up to `max` updates for one message; each take counts as one transmission. */
  take(max: number): MemberUpdate[] {
    const updates: MemberUpdate[] = [];
    const again: Queued[] = [];
    while (updates.length < max && this.#length > again.length) {
      const queued = this.#fresh.pop() ?? this.#turn[this.#head++];
      if (!queued) break;
      if (queued.left === 0) continue;
      const full = this.#length > crowd ? 1 : fullCopies;
      const isFull = queued.update.signature === undefined || queued.sent < full;
      updates.push(isFull ? queued.update : bare(queued.update));
      queued.sent++;
      queued.left--;
      if (queued.left > 0 && queued.sent >= full && this.#isConfirmation(queued)) queued.left = 0;
      if (queued.left > 0) again.push(queued);
      else this.#forget(queued);
    }
    this.#turn.push(...again);
    if (this.#head > 64 && this.#head * 2 > this.#turn.length) {
      this.#turn = this.#turn.slice(this.#head);
      this.#head = 0;
    }
    return updates;
  }

  /** Signed, and another accusation of the same member stands before it. */
  #isConfirmation(queued: Queued): boolean {
    const { update } = queued;
    return update.signature !== undefined && this.#byMember.get(update.member)?.[0] !== queued;
  }

  /** Superseded entries go when they are met; if nothing is sent for long, they go here. */
  #sweep(): void {
    this.#fresh = this.#fresh.filter((queued) => queued.left > 0);
    this.#turn = this.#turn.slice(this.#head).filter((queued) => queued.left > 0);
    this.#head = 0;
  }

  #drop(queued: Queued): void {
    queued.left = 0;
    this.#length--;
  }

  #forget(queued: Queued): void {
    this.#length--;
    const about = this.#byMember.get(queued.update.member)?.filter((other) => other !== queued) ?? [];
    if (about.length === 0) this.#byMember.delete(queued.update.member);
    else this.#byMember.set(queued.update.member, about);
  }

  #discardOldest(): boolean {
    const oldest = this.#head < this.#turn.length ? this.#turn[this.#head++] : this.#fresh.shift();
    if (!oldest) return false;
    if (oldest.left > 0) {
      oldest.left = 0;
      this.#forget(oldest);
    }
    return true;
  }
}

/** Without its signature: said by its origin itself, over an authenticated connection, or not to be passed on. */
export function bare({ member, state, bootCounter, incarnation, origin }: MemberUpdate): MemberUpdate {
  return { member, state, bootCounter, incarnation, origin };
}

/** Who hears an update tells three others in full: that alone reaches nearly all … */
export const fullCopies = 3;
/** … and one, where more wait than a message holds: then it is better to say everything once. */
export const crowd = 16;

const staysBeside = (old: MemberUpdate, update: MemberUpdate): boolean =>
  update.state === 'suspect' &&
  old.state === 'suspect' &&
  old.bootCounter === update.bootCounter &&
  old.incarnation === update.incarnation &&
  old.origin !== update.origin;

export const signedUpdateBytes = 75;

/** Bytes of a message on the wire, about: for the token bucket, where an error of a few bytes costs nothing. */
export function approximateBytes(message: MembershipMessage): number {
  // Messages have many shapes, and each look at one of them is a search: what all have is read once.
  const { kind, updates } = message;
  let head = kind === 'hello' ? 28 : 8;
  if (kind === 'sync-buckets') head += 5 * message.hashes.length;
  if (kind === 'gossip' && message.wants !== undefined) head += 2 * message.wants.length;
  if (kind === 'sync-entries') head += 2 * (message.buckets.length + message.wants.length);
  for (let i = 0; i < updates.length; i++) head += updates[i]!.signature === undefined ? 9 : signedUpdateBytes;
  return head;
}
