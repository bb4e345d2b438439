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

/** How far a clock may be ahead of its last tick, milliseconds: the grain in which the box tells it. */
export interface ClockGrain {
  readonly uptimeMs: number;
  readonly wallMs: number;
}

const exact: ClockGrain = { uptimeMs: 0, wallMs: 0 };

/**
 * The holder's clock: monotonic, plus every jump by which uptime (which goes on in suspend) or wall ran ahead of it. By
 * no more than the grain is it less than what any of them says has passed, so a holder that trusts it stops early at
 * worst (rule 6): a VM that slept an hour with a stopped monotonic clock wakes up without its leases. A voter must not
 * use it: too fast a clock there gives the lease away early.
 *
 * What is looked at is the offset of a clock from the monotonic one, with its grain as the width of what is known of it.
 * Not chosen: the sum of the largest advances between readings. A clock of 10 ms grain that is read every millisecond
 * makes that run at nearly twice the speed, and every right ends early.
 */
export class ElapsedClock {
  readonly #grain: ClockGrain;
  /** What each offset was at most, when it was looked at last. */
  #uptimeMost = Number.POSITIVE_INFINITY;
  #wallMost = Number.POSITIVE_INFINITY;
  #origin = Number.NaN;
  #jumped = 0;

  constructor(grain: ClockGrain = exact) {
    this.#grain = grain;
  }

  /** All in milliseconds, each with an origin of its own. */
  read(monotonic: number, uptime: number, wall: number): Instant {
    const elapsed = this.peek(monotonic, uptime, wall);
    if (Number.isNaN(this.#origin)) this.#origin = monotonic;
    this.#jumped = elapsed - (monotonic - this.#origin);
    const uptimeMost = uptime + this.#grain.uptimeMs - monotonic;
    // Uptime is never set back; the wall clock is, and what it then makes good counts again.
    this.#uptimeMost = uptime - monotonic > this.#uptimeMost ? uptimeMost : Math.min(this.#uptimeMost, uptimeMost);
    this.#wallMost = wall + this.#grain.wallMs - monotonic;
    return elapsed;
  }

  /** What `read` would say, without taking note. */
  peek(monotonic: number, uptime: number, wall: number): Instant {
    if (Number.isNaN(this.#origin)) return instant(0);
    const jump = Math.max(0, uptime - monotonic - this.#uptimeMost, wall - monotonic - this.#wallMost);
    return instant(monotonic - this.#origin + this.#jumped + jump);
  }
}
