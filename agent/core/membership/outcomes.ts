import type { AgentIndex } from '../../base/ids.ts';
import type { Instant } from '../../base/time.ts';

/**
 * How our last probes went, of whomever: the ground on which we doubt ourselves before we doubt a member. A ring of
 * fixed size in time order; what is known dead is struck out, for its silence says nothing about our hearing.
 */
export class Outcomes {
  /** By turns when, and what: target·2, plus 1 when it answered; −1 is struck out. */
  readonly #ring = new Float64Array(length).fill(-1);
  #next = 0;

  record(now: Instant, target: AgentIndex, answered: boolean): void {
    const slot = this.#next;
    this.#ring[slot] = now;
    this.#ring[slot + 1] = target * 2 + (answered ? 1 : 0);
    this.#next = (slot + 2) % length;
  }

  forget(target: AgentIndex): void {
    for (let slot = 1; slot < length; slot += 2) if (this.#ring[slot]! >> 1 === target) this.#ring[slot] = -1;
  }

  /** Distinct members probed since `since`, without `except`, by their last word. `silent` alone says that we are cut off. */
  since(since: Instant, except: AgentIndex): Surroundings {
    let answered = 0;
    let silent = 0;
    let count = 0;
    for (let back = 2; back <= length; back += 2) {
      const slot = (this.#next - back + length) % length;
      const what = this.#ring[slot + 1]!;
      if (what < 0) continue;
      if (this.#ring[slot]! < since) break;
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
const length = 2 * capacity;
/** Scratch space of `since`, which calls nothing that could call it. */
const seen = new Int32Array(capacity);
