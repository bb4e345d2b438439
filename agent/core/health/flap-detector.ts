import type { Instant } from '../../base/time.ts';
import { after, never } from '../../base/time.ts';

/** Changes within the window that make a flapper: three round trips there and back are no coincidence. */
const startAt = 6;
/** Few enough to believe it again. The gap to `startAt` is the hysteresis: one more change does not bring it back. */
const stopAt = 2;
/** Twenty periods see six changes even of a check that dwells for three readings; a minute keeps fast checks calm. */
const windowPeriods = 20;
const windowAtLeastMs = 60_000;

/**
 * Does this check change its mind too often to be acted upon? State changes are counted in a sliding window of time
 * (Nagios counts over its last 21 results; with results every 100 ms that would be two seconds of memory, so time it
 * is). A flapping check still shows every state; a person gets an alarm, and no workflow is started by it.
 */
export class FlapDetector {
  readonly #windowMs: number;
  /** The last `startAt` changes, oldest first; more are not needed to decide. */
  readonly #changes: Instant[] = [];
  #flapping = false;

  constructor(everyMs: number) {
    this.#windowMs = Math.max(windowAtLeastMs, windowPeriods * everyMs);
  }

  get flapping(): boolean {
    return this.#flapping;
  }

  changed(now: Instant): void {
    this.#changes.push(now);
    if (this.#changes.length > startAt) this.#changes.shift();
    this.tick(now);
  }

  /** When the next change leaves the window; `never` while calm. */
  get deadline(): Instant {
    const oldest = this.#changes[0];
    return this.#flapping && oldest !== undefined ? after(oldest, this.#windowMs) : never;
  }

  /** Returns true when `flapping` changed. */
  tick(now: Instant): boolean {
    while (this.#changes[0] !== undefined && after(this.#changes[0], this.#windowMs) <= now) this.#changes.shift();
    const was = this.#flapping;
    if (!was && this.#changes.length >= startAt) this.#flapping = true;
    else if (was && this.#changes.length <= stopAt) this.#flapping = false;
    return was !== this.#flapping;
  }
}
