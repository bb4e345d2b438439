import { after, type Instant, instant } from '../../base/time.ts';

/** What of a window of time becomes the value. `rate` is the slope of the best line, per `perMs` of time. */
export interface Over {
  readonly ms: number;
  readonly what: 'mean' | 'min' | 'max' | 'range' | 'median' | 'stddev' | 'rate';
  readonly perMs: number;
}

/** The window is kept in at most so many slots of time, whatever comes: 20 kB for one signal. */
const mostSlots = 512;
const fewestSlots = 16;

interface Slot {
  /** Which stretch of time since the epoch of the clock, in widths of a slot; what stood there before is over. */
  number: number;
  covered: number;
  uncertain: number;
  sum: number;
  squares: number;
  min: number;
  max: number;
}

/**
 * The last while of one signal, resampled into slots of equal width. A reading holds until the next one, or until it is
 * stale, and counts by the time for which it held: ten readings in one second and none in the next weigh alike, and a
 * gap is a gap, not a value that stood. What is older than the window falls out by whole slots, at most a 16th of it and
 * in practice a 512th.
 *
 * Rejected: keeping the readings themselves. A signal at 10 ms over an hour would be 360 000 of them, and how many come
 * is not ours to say.
 */
export class OverWindow {
  readonly #over: Over;
  readonly #width: number;
  readonly #holdsMs: number;
  readonly #slots: Slot[];
  #value: number | undefined;
  #uncertain = false;
  /** Until then the last reading is written down, and until then it holds. */
  #writtenUntil: Instant = instant(0);
  #holdsUntil: Instant = instant(0);

  /** `everyMs`: about how often readings come. `holdsMs`: how long one stands at most. */
  constructor(over: Over, everyMs: number, holdsMs: number) {
    this.#over = over;
    this.#holdsMs = holdsMs;
    const count = Math.min(mostSlots, Math.max(fewestSlots, Math.ceil(over.ms / everyMs)));
    this.#width = over.ms / count;
    // One more than the window has: the slot that is being filled.
    this.#slots = Array.from({ length: count + 1 }, () => ({ ...empty }));
  }

  /** A reading, or (undefined) the word that there is none to believe. */
  add(at: Instant, value: number | undefined, uncertain: boolean): void {
    this.#settle(at);
    this.#value = value;
    this.#uncertain = uncertain;
    this.#writtenUntil = at;
    this.#holdsUntil = after(at, this.#holdsMs);
  }

  /**
   * What the window comes to now. `coverage` is the share of it for which there was a value to believe (0 … 1),
   * `uncertain` the share of that with doubtful quality. No value: nothing was covered, or the slope of one slot was asked.
   */
  read(at: Instant): { readonly value: number | undefined; readonly coverage: number; readonly uncertain: number } {
    this.#settle(at);
    const last = Math.floor(at / this.#width);
    const slots = this.#slots.filter((slot) => slot.covered > 0 && slot.number > last - this.#slots.length);
    const covered = total(slots, (slot) => slot.covered);
    const value = covered > 0 ? this.#reckon(slots, covered) : undefined;
    return {
      value: value === undefined || Number.isFinite(value) ? value : undefined,
      coverage: Math.min(1, covered / this.#over.ms),
      uncertain: covered > 0 ? total(slots, (slot) => slot.uncertain) / covered : 0,
    };
  }

  #reckon(slots: readonly Slot[], covered: number): number | undefined {
    const mean = total(slots, (slot) => slot.sum) / covered;
    switch (this.#over.what) {
      case 'mean':
        return mean;
      case 'min':
        return Math.min(...slots.map((slot) => slot.min));
      case 'max':
        return Math.max(...slots.map((slot) => slot.max));
      case 'range':
        return Math.max(...slots.map((slot) => slot.max)) - Math.min(...slots.map((slot) => slot.min));
      case 'stddev':
        return Math.sqrt(Math.max(0, total(slots, (slot) => slot.squares) / covered - mean * mean));
      case 'median': {
        const sorted = slots.map((slot) => ({ value: slot.sum / slot.covered, weight: slot.covered }));
        sorted.sort((a, b) => a.value - b.value);
        let below = 0;
        for (const { value, weight } of sorted) {
          below += weight;
          if (below >= covered / 2) return value;
        }
        return undefined;
      }
      case 'rate': {
        if (slots.length < 2) return undefined;
        const time = (slot: Slot) => (slot.number - slots[0]!.number) * this.#width;
        const middle = total(slots, (slot) => slot.covered * time(slot)) / covered;
        const spread = total(slots, (slot) => slot.covered * (time(slot) - middle) ** 2);
        const together = total(slots, (slot) => (slot.sum - mean * slot.covered) * (time(slot) - middle));
        return spread > 0 ? (together / spread) * this.#over.perMs : undefined;
      }
    }
  }

  /** Writes down for how long the last reading has held. */
  #settle(at: Instant): void {
    const value = this.#value;
    if (value === undefined) return;
    const end = Math.min(at, this.#holdsUntil);
    let from: number = Math.max(this.#writtenUntil, end - this.#over.ms);
    while (from < end) {
      const number = Math.floor(from / this.#width);
      // Never without progress, whatever rounding does at a border.
      const to = Math.max(Math.min(end, (number + 1) * this.#width), from + 1e-6);
      const slot = this.#slotOf(number);
      const held = to - from;
      slot.covered += held;
      if (this.#uncertain) slot.uncertain += held;
      slot.sum += value * held;
      slot.squares += value * value * held;
      slot.min = Math.min(slot.min, value);
      slot.max = Math.max(slot.max, value);
      from = to;
    }
    this.#writtenUntil = instant(Math.max(this.#writtenUntil, end));
  }

  #slotOf(number: number): Slot {
    const slot = this.#slots[number % this.#slots.length]!;
    if (slot.number !== number) Object.assign(slot, empty, { number });
    return slot;
  }
}

const empty: Slot = {
  number: Number.NEGATIVE_INFINITY,
  covered: 0,
  uncertain: 0,
  sum: 0,
  squares: 0,
  min: Number.POSITIVE_INFINITY,
  max: Number.NEGATIVE_INFINITY,
};

const total = (slots: readonly Slot[], of: (slot: Slot) => number): number =>
  slots.reduce((sum, slot) => sum + of(slot), 0);
