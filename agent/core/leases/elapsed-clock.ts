import { type Instant, instant } from '../../base/time.ts';

/**
 * Now, for a holder. Rights end by the clock that says most has passed. What must have passed before voters are told,
 * though, is counted by the monotonic clock: a wall clock that jumps ahead ends a right at once, but it does not bring
 * an effect home that is still on its way.
 */
export interface HolderTime {
  readonly elapsed: Instant;
  readonly monotonic: Instant;
}

/**
 * The holder's clock. It advances between two readings by the largest advance of three clocks: monotonic, uptime (which
 * goes on in suspend) and wall. Summed over readings this is never less than what any of them says has passed, so a
 * holder that trusts it stops early at worst (rule 6): a VM that slept an hour with a stopped monotonic clock wakes up
 * without its leases. A voter must not use it: too fast a clock there gives the lease away early.
 */
export class ElapsedClock {
  #monotonic = Number.NaN;
  #uptime = Number.NaN;
  #wall = Number.NaN;
  #elapsed = 0;

  /** All in milliseconds, each with an origin of its own. */
  read(monotonic: number, uptime: number, wall: number): Instant {
    this.#elapsed = this.peek(monotonic, uptime, wall);
    this.#monotonic = monotonic;
    this.#uptime = uptime;
    this.#wall = wall;
    return instant(this.#elapsed);
  }

  /** What `read` would say, without taking note. */
  peek(monotonic: number, uptime: number, wall: number): Instant {
    if (Number.isNaN(this.#monotonic)) return instant(this.#elapsed);
    const advance = Math.max(0, monotonic - this.#monotonic, uptime - this.#uptime, wall - this.#wall);
    return instant(this.#elapsed + advance);
  }
}
