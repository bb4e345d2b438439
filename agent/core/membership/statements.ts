import type { AgentIndex } from '../../base/ids.ts';
import type { Instant } from '../../base/time.ts';
import { maxCounter } from './incarnation.ts';
import type { MemberUpdate } from './member.ts';
import { code, type MemberTable } from './member-table.ts';

/**
 * Signs what we say and checks what others are said to have said. In production Ed25519 (RFC 8032), whose signatures
 * follow from the text alone, so that a core that signs stays as predictable as one that does not.
 *
 * A signature covers (site, member, state, boot, incarnation, origin): no plan and no time, because a statement is
 * outdated by a newer one about the same member, and by nothing else.
 */
export interface Voucher {
  /** Of a statement whose origin we are. */
  sign(update: MemberUpdate): Uint8Array;
  /** Its origin belongs to the site, and its signature is that of the origin. False without a signature. */
  verify(update: MemberUpdate): boolean;
}

/**
 * What we may say of each member, and what we believe of what is said. Without a voucher everybody is believed, and
 * everything held may be told as our own.
 *
 * With one, a statement counts if its origin says it to us itself, over its own authenticated connection, or has signed
 * it; that somebody lives or left is only for itself to say. So a member that passes things on cannot invent what
 * another said, nor bring anybody back to life. What it can do is keep silent, and accuse in its own name.
 *
 * Bounded: one signed statement per member, and a few numbers for those who brought forgeries.
 */
export class Statements {
  readonly #voucher: Voucher | undefined;
  readonly #self: AgentIndex;
  readonly #table: MemberTable;
  /** The statement on which an entry of the table rests, where we have it signed. */
  readonly #proofs: (MemberUpdate | undefined)[] = [];
  readonly #forgeries = new Forgeries();

  constructor(voucher: Voucher | undefined, self: AgentIndex, table: MemberTable) {
    this.#voucher = voucher;
    this.#self = self;
    this.#table = table;
  }

  get isSigned(): boolean {
    return this.#voucher !== undefined;
  }

  /** Members of whom forgeries are counted right now. */
  get suspects(): number {
    return this.#forgeries.size;
  }

  /** A statement of our own about a member, at the numbers that we hold. */
  own(member: AgentIndex, state = this.#table.publicState(member) as MemberUpdate['state']): MemberUpdate {
    const [bootCounter, incarnation] = [this.#table.boot(member), this.#table.incarnation(member)];
    const update: MemberUpdate = { member, state, bootCounter, incarnation, origin: this.#self };
    return this.#voucher ? { ...update, signature: this.#voucher.sign(update) } : update;
  }

  /** What we can tell others of a member: undefined if nothing was heard, or nothing that they would believe. */
  of(member: AgentIndex): MemberUpdate | undefined {
    const state = this.#table.code(member);
    if (state === code.unknown) return undefined;
    const proof = this.#proofs[member];
    if (proof) return proof;
    // Doubt may be taken over as our own. That it lives or left, only it can say.
    return !this.#voucher || state === code.suspect || state === code.dead ? this.own(member) : undefined;
  }

  /** What we can tell the member itself, so that it hears at which numbers it is held: in doubt as a doubt of ours. */
  toItself(member: AgentIndex): MemberUpdate {
    return this.of(member) ?? this.own(member, 'suspect');
  }

  /** The same, for its ears alone: unsigned, as a doubt of ours, which nobody can pass on. */
  doubtOf(member: AgentIndex): MemberUpdate {
    const [bootCounter, incarnation] = [this.#table.boot(member), this.#table.incarnation(member)];
    return { member, state: 'suspect', bootCounter, incarnation, origin: this.#self };
  }

  /** The same for a life that counts a boot which another one has used: a doubt of the next boot, above which it jumps. */
  doubtOfNext(member: AgentIndex): MemberUpdate {
    return { ...this.doubtOf(member), bootCounter: Math.min(maxCounter, this.#table.boot(member) + 1) };
  }

  /** An entry of the table rests on this statement from now on. */
  keep(update: MemberUpdate): void {
    if (this.#voucher) this.#proofs[update.member] = update.signature === undefined ? undefined : update;
  }

  /** The entry of this member came without a signature, so that nobody could be told of it. */
  lacksProof(member: AgentIndex): boolean {
    return this.#voucher !== undefined && this.#proofs[member] === undefined;
  }

  /** It can be passed on: its origin signed it. */
  isPortable(update: MemberUpdate): boolean {
    return !this.#voucher || update.signature !== undefined;
  }

  /** Numbers that another said, without its signature: nothing to believe, but something to ask for. */
  isHint({ origin, signature }: MemberUpdate, from: AgentIndex): boolean {
    return this.#voucher !== undefined && signature === undefined && origin !== from;
  }

  /**
   * Why this statement, brought by `from`, must not be believed; undefined when it may. To be asked only of what would
   * change something, because a signature costs a tenth of a millisecond.
   */
  refusal(now: Instant, update: MemberUpdate, from: AgentIndex): string | undefined {
    const { member, state, origin, signature } = update;
    if (!this.#voucher) return undefined;
    if ((state === 'alive' || state === 'left') && origin !== member) {
      return `update: that ${member} is ${state} was said by ${origin}`;
    }
    if (signature === undefined) return origin === from ? undefined : `update: not signed by ${origin}`;
    if (!this.#forgeries.mayLook(now, from)) return 'update: too many bad signatures from here to look at another';
    if (this.#voucher.verify(update)) return undefined;
    this.#forgeries.found(now, from);
    return `update: the signature is not that of ${origin}`;
  }
}

/** Bad signatures per bringer: each costs us time, so who brings many is not looked at for a while. */
class Forgeries {
  readonly #by = new Map<AgentIndex, { left: number; at: Instant }>();

  get size(): number {
    return this.#by.size;
  }

  mayLook(now: Instant, from: AgentIndex): boolean {
    const known = this.#by.get(from);
    return known === undefined || refilled(known, now) >= 1;
  }

  found(now: Instant, from: AgentIndex): void {
    const known = this.#by.get(from);
    const left = (known ? refilled(known, now) : forgeryBurst) - 1;
    this.#by.delete(from);
    if (this.#by.size >= maxForgers) {
      const [oldest] = this.#by.keys();
      if (oldest !== undefined) this.#by.delete(oldest);
    }
    this.#by.set(from, { left, at: now });
  }
}

const refilled = ({ left, at }: { left: number; at: Instant }, now: Instant): number =>
  Math.min(forgeryBurst, left + ((now - at) / 1000) * forgeriesPerSecond);

/** Bad signatures that are looked at per bringer: this many at once … */
export const forgeryBurst = 16;
/** … and this many per second for good. */
export const forgeriesPerSecond = 4;
export const maxForgers = 256;
