import { hashUnit } from '../../base/hash.ts';
import type { CheckIndex } from '../../base/ids.ts';
import { after, type Instant, instant, never } from '../../base/time.ts';
import type { CheckSpec } from './check.ts';

/** First looks of a new watcher, and looks that a stall has swallowed, come so far apart and no closer. */
const catchUpSpacingMs = 125;
/** Later than this a look is not done at once: something held this box up, and hundreds are late together. */
const lateMs = 250;
/** Fraction of the golden ratio: each next multiple falls into the largest gap that those before have left. */
const golden = 0.618_033_988_749_894_9;

interface Entry {
  readonly everyMs: number;
  readonly lane: Lane;
  readonly slot: number;
  /** Looks only at each n-th of its times; infinite: at none. */
  factor: number;
  at: Instant;
  /** It was put off once because it was late: it is not put off again. */
  wasLate: boolean;
}

/** All checks of one interval: they share it out among themselves. */
interface Lane {
  readonly offset: number;
  readonly free: number[];
  next: number;
}

/**
 * When each check is due, without bursts: over all checks of an interval the looks are spread evenly, whichever of them
 * run here and whatever comes and goes, so that in any second there are hardly more than in the mean.
 *
 * Each check of an interval gets the next free *slot* of its lane, and slot n the phase n·φ (the golden ratio) of the
 * interval. Drawing phases by chance was rejected: of 1000 checks a minute some second would have twice the mean. Slots
 * follow the order in which checks start, which is the plan's, and `salt` belongs to the box: phases are the same after
 * a restart, and the same check of the site does not run everywhere at once.
 *
 * A new watcher wants its first answers sooner than after a whole interval, and a box that slept wants them again: those
 * looks are made one by one, eight a second, in front of each check's own time. A look that is more than a quarter of a
 * second late counts as swallowed; missed intervals are never made up for, as a burst after a stall would prolong it.
 */
export class CheckSchedule {
  readonly #entries = new Map<CheckIndex, Entry>();
  readonly #lanes = new Map<number, Lane>();
  readonly #salt: number;
  #catchUpAt: Instant = instant(Number.NEGATIVE_INFINITY);
  #next: Instant = never;

  constructor(salt: number) {
    this.#salt = salt;
  }

  get deadline(): Instant {
    return this.#next;
  }

  start(now: Instant, spec: Pick<CheckSpec, 'index' | 'everyMs'>): void {
    this.stop(spec.index);
    const lane = this.#lane(spec.everyMs);
    const slot = lane.free.shift() ?? lane.next++;
    const entry: Entry = { everyMs: spec.everyMs, lane, slot, factor: 1, at: never, wasLate: false };
    this.#entries.set(spec.index, entry);
    this.#soon(now, entry);
  }

  stop(check: CheckIndex): void {
    const entry = this.#entries.get(check);
    if (entry === undefined) return;
    this.#entries.delete(check);
    const { free } = entry.lane;
    // The lowest first, so that what stays is the beginning of the sequence, which is the even one.
    const behind = free.findIndex((slot) => slot > entry.slot);
    free.splice(behind < 0 ? free.length : behind, 0, entry.slot);
  }

  /** Looks at each n-th of its times from now on: 1 at all of them, infinite at none. */
  slow(now: Instant, check: CheckIndex, factor: number): void {
    const entry = this.#entries.get(check);
    if (entry === undefined || entry.factor === factor) return;
    const was = entry.factor;
    entry.factor = factor;
    if (factor === Number.POSITIVE_INFINITY) entry.at = never;
    else if (factor < was) this.#soon(now, entry);
  }

  /** Appends the checks that are due, by index, and plans their next time. */
  take(now: Instant, due: CheckIndex[]): void {
    if (now < this.#next) return;
    let next: Instant = never;
    for (const [check, entry] of this.#entries) {
      if (entry.at <= now) {
        if (now - entry.at > lateMs && !entry.wasLate) {
          entry.wasLate = true;
          this.#soon(now, entry);
        } else {
          due.push(check);
          entry.wasLate = false;
          const time = this.#ownTime(now, entry);
          // Right behind a look that was made ahead of its time there would be nothing new to see.
          const near = time - now < entry.everyMs / 2;
          entry.at = after(time, ((near ? 1 : 0) + entry.factor - 1) * entry.everyMs);
        }
      }
      next = instant(Math.min(next, entry.at));
    }
    this.#next = next;
    due.sort((a, b) => a - b);
  }

  /** At its own time, or before it if there is a place among those that catch up. */
  #soon(now: Instant, entry: Entry): void {
    const own = this.#ownTime(now, entry);
    const first = after(now, hashUnit('first', this.#salt) * catchUpSpacingMs);
    const place = instant(Math.max(first, after(this.#catchUpAt, catchUpSpacingMs)));
    if (place < own) this.#catchUpAt = place;
    entry.at = instant(Math.min(own, place));
    this.#next = instant(Math.min(this.#next, entry.at));
  }

  /** The next of its own times, strictly after `now`. */
  #ownTime(now: Instant, { everyMs, lane, slot }: Entry): Instant {
    const phase = (lane.offset + slot * golden) % 1;
    const time = (Math.floor(now / everyMs - phase) + 1 + phase) * everyMs;
    // Rounding may land on the very moment, or a hair before it.
    return instant(time > now ? time : time + everyMs);
  }

  #lane(everyMs: number): Lane {
    let lane = this.#lanes.get(everyMs);
    if (lane === undefined) {
      lane = { offset: hashUnit(`every ${everyMs}`, this.#salt), free: [], next: 0 };
      this.#lanes.set(everyMs, lane);
    }
    return lane;
  }
}
