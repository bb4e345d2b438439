import type { AgentIndex } from '../../base/ids.ts';
import type { Random } from '../../base/random.ts';

/**
 * Whom to probe next: every member once per round, in an order shuffled anew for each round (SWIM §4.3). Random
 * enough that all members probe different targets at any moment, and no target waits longer than two rounds.
 */
export class ProbeSchedule {
  readonly #order: Int32Array;
  readonly #random: Random;
  #next: number;

  constructor(size: number, self: AgentIndex, random: Random) {
    this.#random = random;
    this.#order = new Int32Array(Math.max(0, size - 1));
    for (let i = 0, m = 0; m < size; m++) if (m !== self) this.#order[i++] = m;
    this.#next = this.#order.length;
  }

  /** The next member that qualifies, or undefined when none does. Scans each member at most twice. */
  next(qualifies: (member: AgentIndex) => boolean): AgentIndex | undefined {
    const length = this.#order.length;
    for (let tries = 0; tries < 2 * length; tries++) {
      if (this.#next >= length) {
        this.#random.shuffle(this.#order);
        this.#next = 0;
      }
      const member = this.#order[this.#next++]!;
      if (qualifies(member)) return member;
    }
    return undefined;
  }
}
