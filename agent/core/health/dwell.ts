import type { Instant } from '../../base/time.ts';
import { after, never } from '../../base/time.ts';
import type { Dwell } from './check.ts';

/**
 * One yes-or-no that is slow to change its mind: bad readings must stand for `raise` before it is active, good ones
 * for `clear` before it is not. On/off delay, n in a row and k of n are the three ways in which plants say that.
 *
 * A reading that nobody could judge counts for neither side: it stops the clock of a time dwell, and leaves counts as
 * they are. The alternative, to let it break the run, would let one lost packet a second hide a broken bearing.
 *
 * Readings stand until the next one, so a time dwell can complete between two readings: `deadline` says when.
 */
export class DwellLatch {
  readonly #raise: Dwell;
  readonly #clear: Dwell;
  #active = false;
  /** Readings against the present state that stand in a row (count) or in the window (of). */
  #run = 0;
  /** Ring of the last n readings, true = against the present state. Only for `of`. */
  readonly #window: boolean[] = [];
  readonly #windowAt: Instant[] = [];
  /** Time dwell: milliseconds stood so far, and since when the clock runs. */
  #stood = 0;
  #runningSince: Instant | undefined;
  #runBegan: Instant | undefined;
  #firstBadAt: Instant | undefined;

  constructor(raise: Dwell, clear: Dwell) {
    this.#raise = raise;
    this.#clear = clear;
  }

  get active(): boolean {
    return this.#active;
  }

  /** The first bad reading of the run that raised it (while active), or of the run that may (while not). */
  get firstBadAt(): Instant | undefined {
    return this.#active ? this.#firstBadAt : this.#runBegan;
  }

  /** When a standing reading completes its time. */
  get deadline(): Instant {
    const dwell = this.#active ? this.#clear : this.#raise;
    if (dwell.kind !== 'time' || this.#runningSince === undefined) return never;
    return after(this.#runningSince, dwell.ms - this.#stood);
  }

  reset(): void {
    this.#active = false;
    this.#firstBadAt = undefined;
    this.#restart();
  }

  /** A reading: bad, good, or unknown. Returns true when `active` changed. */
  observe(now: Instant, bad: boolean | undefined): boolean {
    if (bad === undefined) {
      this.#pause(now);
      return false;
    }
    const against = bad !== this.#active;
    const dwell = this.#active ? this.#clear : this.#raise;
    switch (dwell.kind) {
      case 'count':
        if (!against) {
          this.#restart();
          return false;
        }
        if (this.#run === 0) this.#runBegan = now;
        this.#run++;
        return this.#run >= dwell.n ? this.#flip() : false;
      case 'of': {
        this.#window.push(against);
        this.#windowAt.push(now);
        if (this.#window.length > dwell.n) {
          this.#window.shift();
          this.#windowAt.shift();
        }
        this.#run = 0;
        this.#runBegan = undefined;
        for (let i = 0; i < this.#window.length; i++) {
          if (this.#window[i] !== true) continue;
          this.#run++;
          this.#runBegan ??= this.#windowAt[i];
        }
        return this.#run >= dwell.k ? this.#flip() : false;
      }
      case 'time':
        if (!against) {
          this.#restart();
          return false;
        }
        if (this.#run === 0) this.#runBegan = now;
        this.#run = 1;
        this.#runningSince ??= now;
        return this.tick(now);
    }
  }

  /** Completes a time dwell. Returns true when `active` changed. */
  tick(now: Instant): boolean {
    return this.deadline <= now ? this.#flip() : false;
  }

  #pause(now: Instant): void {
    if (this.#runningSince === undefined) return;
    this.#stood += now - this.#runningSince;
    this.#runningSince = undefined;
  }

  #flip(): boolean {
    this.#firstBadAt = this.#active ? undefined : this.#runBegan;
    this.#active = !this.#active;
    this.#restart();
    return true;
  }

  #restart(): void {
    this.#run = 0;
    this.#window.length = 0;
    this.#windowAt.length = 0;
    this.#stood = 0;
    this.#runningSince = undefined;
    this.#runBegan = undefined;
  }
}
