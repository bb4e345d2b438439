import type { Instant } from '../../base/time.ts';
import { after, never } from '../../base/time.ts';

/** Turns within the window that make a flapper: three round trips there and back are no coincidence. */
const startAt = 6;
/** Few enough to believe it again. The gap to `startAt` is the hysteresis: one more turn does not bring it back. */
const stopAt = 2;
/** Twenty periods see six turns even of a check that dwells for three readings; a minute keeps fast checks calm. */
const windowPeriods = 20;
const windowAtLeastMs = 60_000;

/**
 * Does this check change its mind too often to be acted upon? *Turns* are counted, worse to better and back, in a sliding
 * window of time. Nagios counts every change over its last 21 results; with results every 100 ms that would be two
 * seconds of memory, so time it is, and a bearing that wears from ok over warn to crit has not turned once. Moments in
 * which nobody could tell are no turns either.
 *
 * A flapping check still shows every state; a person gets an alarm, and no workflow is started by it.
 */
export class FlapDetector {
  readonly #windowMs: number;
  /** The last `startAt` turns, oldest first; more are not needed to decide. */
  readonly #turns: Instant[] = [];
  #flapping = false;
  #level = 0;
  #direction = 0;

  constructor(everyMs: number) {
    this.#windowMs = Math.max(windowAtLeastMs, windowPeriods * everyMs);
  }

  get flapping(): boolean {
    return this.#flapping;
  }

  /** A known level: 0 ok, 1 warn, 2 crit. The first is where it starts from. */
  moved(now: Instant, level: number): void {
    const direction = Math.sign(level - this.#level);
    this.#level = level;
    if (direction === 0 || direction === this.#direction) return;
    this.#direction = direction;
    this.#turns.push(now);
    if (this.#turns.length > startAt) this.#turns.shift();
    this.tick(now);
  }

  /** When the next turn leaves the window; `never` while calm. */
  get deadline(): Instant {
    const oldest = this.#turns[0];
    return this.#flapping && oldest !== undefined ? after(oldest, this.#windowMs) : never;
  }

  /** Returns true when `flapping` changed. */
  tick(now: Instant): boolean {
    while (this.#turns[0] !== undefined && after(this.#turns[0], this.#windowMs) <= now) this.#turns.shift();
    const was = this.#flapping;
    if (!was && this.#turns.length >= startAt) this.#flapping = true;
    else if (was && this.#turns.length <= stopAt) this.#flapping = false;
    return was !== this.#flapping;
  }
}
