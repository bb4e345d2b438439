import { hashOfEntry } from '../../base/anti-entropy.ts';
import type { AgentIndex } from '../../base/ids.ts';
import { compareNumbers } from './incarnation.ts';
import type { MemberState } from './member.ts';

/** States as numbers, in the order of their weight from `alive` on. */
export const code = { unknown: 0, alive: 1, suspect: 2, dead: 3, left: 4 } as const;
const states: readonly MemberState[] = ['unknown', 'alive', 'suspect', 'dead', 'left'];

const stateMask = 7;
const aloneFlag = 8;
const toldFlag = 16;

/**
 * What one agent holds of every member, in three bytes each while the numbers are small: five thousand agents that each
 * know five thousand others fit into one process that way. Counters above a byte widen their column, once.
 *
 * Two marks stand beside the state: held dead *alone* (we are the ones cut off, the others are not told), and *told*
 * (the member has answered to our current numbers, so that idle probes need not repeat them).
 */
export class MemberTable {
  readonly #flags: Uint8Array;
  #boots: Uint8Array | Uint32Array;
  #incarnations: Uint8Array | Uint32Array;
  #reachable = 0;
  #hash = 0;

  constructor(size: number) {
    this.#flags = new Uint8Array(size);
    this.#boots = new Uint8Array(size);
    this.#incarnations = new Uint8Array(size);
  }

  /** Members that are alive or suspect in our eyes, ourselves included once set. */
  get reachable(): number {
    return this.#reachable;
  }

  /** Public state as a code, without the verdict of our own that nobody was told. */
  code(member: AgentIndex): number {
    return this.#flags[member]! & stateMask;
  }

  publicState(member: AgentIndex): MemberState {
    return states[(this.#flags[member] ?? 0) & stateMask]!;
  }

  state(member: AgentIndex): MemberState {
    const flags = this.#flags[member] ?? 0;
    return (flags & aloneFlag) !== 0 ? 'dead' : states[flags & stateMask]!;
  }

  /** Alive or suspect, and not held dead by us alone: worth a probe. */
  isReachable(member: AgentIndex): boolean {
    const flags = this.#flags[member]! & (stateMask | aloneFlag);
    return flags === code.alive || flags === code.suspect;
  }

  isAlive(member: AgentIndex): boolean {
    return (this.#flags[member]! & (stateMask | aloneFlag)) === code.alive;
  }

  boot(member: AgentIndex): number {
    return this.#boots[member] ?? 0;
  }

  incarnation(member: AgentIndex): number {
    return this.#incarnations[member] ?? 0;
  }

  /** Below zero when the numbers and state given are older than ours, zero when they are the same, else newer. */
  compare(state: MemberState, bootCounter: number, incarnation: number, member: AgentIndex): number {
    return compareNumbers(
      state,
      bootCounter,
      incarnation,
      this.publicState(member),
      this.#boots[member]!,
      this.#incarnations[member]!,
    );
  }

  /** Of all that is public here: two tables with one hash hold the same, whatever the order in which they heard it. */
  get hash(): number {
    return this.#hash;
  }

  /** Of one member's entry, as whole number below 2³²; 0 while nothing was heard of it. */
  hashOf(member: AgentIndex): number {
    const state = this.#flags[member]! & stateMask;
    if (state === code.unknown) return 0;
    return hashOfEntry(member * 8 + state, this.#boots[member]!, this.#incarnations[member]!);
  }

  set(member: AgentIndex, state: MemberState, bootCounter: number, incarnation: number): void {
    const former = this.hashOf(member);
    this.#counted(member, (this.#flags[member]! & ~(stateMask | aloneFlag)) | code[state]);
    if (bootCounter > 255 && this.#boots instanceof Uint8Array) this.#boots = Uint32Array.from(this.#boots);
    if (incarnation > 255 && this.#incarnations instanceof Uint8Array) {
      this.#incarnations = Uint32Array.from(this.#incarnations);
    }
    this.#boots[member] = bootCounter;
    this.#incarnations[member] = incarnation;
    this.#hash = (this.#hash ^ former ^ this.hashOf(member)) >>> 0;
  }

  isAlone(member: AgentIndex): boolean {
    return (this.#flags[member]! & aloneFlag) !== 0;
  }

  /** True when this changed anything. */
  setAlone(member: AgentIndex, alone: boolean): boolean {
    if (this.isAlone(member) === alone) return false;
    this.#counted(member, this.#flags[member]! ^ aloneFlag);
    return true;
  }

  isTold(member: AgentIndex): boolean {
    return (this.#flags[member]! & toldFlag) !== 0;
  }

  setTold(member: AgentIndex): void {
    this.#flags[member] = this.#flags[member]! | toldFlag;
  }

  /** The member begins anew and knows nothing of us; or, without a member, our own numbers changed. */
  clearTold(member?: AgentIndex): void {
    if (member !== undefined) this.#flags[member] = this.#flags[member]! & ~toldFlag;
    else for (let m = 0; m < this.#flags.length; m++) this.#flags[m] = this.#flags[m]! & ~toldFlag;
  }

  #counted(member: AgentIndex, flags: number): void {
    const before = this.isReachable(member);
    this.#flags[member] = flags;
    const after = this.isReachable(member);
    if (before !== after) this.#reachable += after ? 1 : -1;
  }
}
