import type { AgentIndex } from '../../base/ids.ts';
import type { Instant } from '../../base/time.ts';

/**
 * How our last probes went, of whomever: the ground on which we doubt ourselves before we doubt a member. A ring of
 * fixed size in time order; what is known dead is struck out, for its silence says nothing about our hearing.
 */
export class Outcomes {
  readonly #at = new Float64Array(capacity);
  /** target·2, plus 1 when it answered; −1 is struck out. */
  readonly #what = new Int32Array(capacity).fill(-1);
  #next = 0;

  record(now: Instant, target: AgentIndex, answered: boolean): void {
    const slot = this.#next;
    this.#at[slot] = now;
    this.#what[slot] = target * 2 + (answered ? 1 : 0);
    this.#next = (slot + 1) % capacity;
  }

  forget(target: AgentIndex): void {
    for (let slot = 0; slot < capacity; slot++) if (this.#what[slot]! >> 1 === target) this.#what[slot] = -1;
  }

  /** Distinct members probed since `since`, without `except`, by their last word. `silent` alone says that we are cut off. */
  since(since: Instant, except: AgentIndex): Surroundings {
    let answered = 0;
    let silent = 0;
    let count = 0;
    for (let back = 1; back <= capacity; back++) {
      const slot = (this.#next - back + capacity) % capacity;
      const what = this.#what[slot]!;
      if (what < 0) continue;
      if (this.#at[slot]! < since) break;
      const target = what >> 1;
      if (target === except || seen.subarray(0, count).includes(target)) continue;
      seen[count++] = target;
      if ((what & 1) === 1) answered++;
      else silent++;
    }
    return { answered, silent };
  }
}

export interface Surroundings {
  readonly answered: number;
  readonly silent: number;
}

const capacity = 64;
/** Scratch space of `since`, which calls nothing that could call it. */
const seen = new Int32Array(capacity);
