import type { AgentIndex } from '../../base/ids.ts';
import { type Instant, instant } from '../../base/time.ts';

/** Who answered us of late, and when: the last `maxContacts` times, a ring. Takes no room before somebody did. */
export class RecentContacts {
  /** Member and time by turns. */
  #ring: Float64Array | undefined;
  #next = 0;

  add(member: AgentIndex, at: Instant): void {
    this.#ring ??= new Float64Array(2 * maxContacts).fill(-1);
    this.#ring[this.#next] = member;
    this.#ring[this.#next + 1] = at;
    this.#next = (this.#next + 2) % (2 * maxContacts);
  }

  /** When it last answered, as far as that is remembered; else long ago. */
  last(member: AgentIndex): Instant {
    const length = 2 * maxContacts;
    for (let back = 2; this.#ring !== undefined && back <= length; back += 2) {
      const at = (this.#next + length - back) % length;
      if (this.#ring[at] === member) return instant(this.#ring[at + 1]!);
    }
    return instant(Number.NEGATIVE_INFINITY);
  }
}

const maxContacts = 64;
