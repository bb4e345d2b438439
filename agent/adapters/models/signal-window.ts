import type { SignalIndex } from '../../base/ids.ts';
import type { Instant, WallTime } from '../../base/time.ts';
import type { Sample } from '../../core/health/signal.ts';

export interface WindowInput {
  readonly signal: SignalIndex;
  readonly acceptUncertain: boolean;
  /** A value that did not come again for this row still counts when it was last received within this. */
  readonly freshMs: number;
  /** How often the signal is read. */
  readonly everyMs: number;
}

export interface SignalWindowOptions {
  /** In the order of the model's channels. */
  readonly inputs: readonly WindowInput[];
  /** The model's period between rows, in source time. */
  readonly everyMs: number;
  /** A step back in time by more than this is a new recording or a set clock: everything starts afresh. */
  readonly maxGapMs: number;
  /** How long a row waits, by receipt, for inputs that have not come. */
  readonly settleMs?: number;
  /** Rows that may wait at once; the oldest is closed as it stands when there are more. */
  readonly maxPending?: number;
}

/** One row of all inputs at one time of the source. */
export interface WindowRow {
  readonly time: WallTime;
  readonly values: Float64Array;
}

interface PendingRow {
  readonly time: number;
  readonly arrived: Instant;
  readonly values: Float64Array;
  /** 0 nothing yet, 1 good, 2 not good. */
  readonly state: Uint8Array;
  missing: number;
}

interface Held {
  value: number;
  good: boolean;
  received: Instant;
  stamp: number;
}

/**
 * Brings samples of several signals into rows by the device's own time stamps, so that a recording played twenty
 * times faster gives the same rows. Subscriptions deliver tag by tag (twenty values of one, then twenty of the next):
 * rows are collected by stamp and closed in order, as soon as a row is whole, or every input has said something
 * newer, or it has waited `settleMs`. Then inputs that are missing keep their last value while it is fresh.
 *
 * A row that holds a value of bad quality, or lacks a fresh one, is left out: rows are never invented. A hole longer
 * than the model allows empties the window (models/window-ring.ts).
 */
export class SignalWindow {
  readonly #inputs: readonly WindowInput[];
  readonly #channels: ReadonlyMap<SignalIndex, readonly number[]>;
  readonly #tolerance: number;
  readonly #spacing: number;
  readonly #maxGapMs: number;
  readonly #settleMs: number;
  readonly #maxPending: number;
  readonly #newest: Float64Array;
  #held: (Held | undefined)[];
  #pending: PendingRow[] = [];
  #closed = Number.NEGATIVE_INFINITY;
  #skipped = 0;
  #late = 0;
  #resets = 0;

  constructor(options: SignalWindowOptions) {
    const { inputs, everyMs, maxGapMs, settleMs = 1_500, maxPending = 512 } = options;
    this.#inputs = inputs;
    const channels = new Map<SignalIndex, number[]>();
    inputs.forEach(({ signal }, channel) => {
      const list = channels.get(signal);
      if (list === undefined) channels.set(signal, [channel]);
      else list.push(channel);
    });
    this.#channels = channels;
    this.#tolerance = everyMs / 2;
    // Signals that come much faster than rows are thinned out; others may jitter without losing every second row.
    this.#spacing = everyMs * (inputs.some((input) => input.everyMs * 2 <= everyMs) ? 0.95 : 0.6);
    this.#maxGapMs = maxGapMs;
    this.#settleMs = settleMs;
    this.#maxPending = maxPending;
    this.#newest = new Float64Array(inputs.length).fill(Number.NEGATIVE_INFINITY);
    this.#held = inputs.map(() => undefined);
  }

  /** Rows left out, samples that came too late or twice, and new beginnings. */
  get counts(): { readonly skipped: number; readonly late: number; readonly resets: number } {
    return { skipped: this.#skipped, late: this.#late, resets: this.#resets };
  }

  /** Takes one sample; rows that are ready are pushed into `out`, in the order of time. */
  take(sample: Sample, out: WindowRow[]): void {
    const channels = this.#channels.get(sample.signal);
    if (channels === undefined || !Number.isFinite(sample.sourceTime)) return;
    for (const channel of channels) this.#place(channel, sample);
    this.#close(sample.receiveTime, out);
  }

  #place(channel: number, sample: Sample): void {
    const input = this.#inputs[channel];
    if (input === undefined) return;
    const time = sample.sourceTime as number;
    const good =
      Number.isFinite(sample.value) &&
      (sample.quality === 'good' || (sample.quality === 'uncertain' && input.acceptUncertain));
    const newest = this.#newest[channel] ?? Number.NEGATIVE_INFINITY;
    if (time < newest - this.#maxGapMs) this.#reset();
    this.#newest[channel] = time;

    const held = this.#held[channel];
    if (held !== undefined && held.stamp === time && held.good === good) {
      // Said again because it did not change: still alive, no news.
      held.received = sample.receiveTime;
      return;
    }
    const row = this.#rowFor(time, sample.receiveTime);
    if (row === undefined) {
      this.#late++;
      if (held === undefined || time > held.stamp) {
        this.#held[channel] = { value: sample.value, good, received: sample.receiveTime, stamp: time };
      }
      return;
    }
    if (row.state[channel] === 0) row.missing--;
    row.values[channel] = sample.value;
    row.state[channel] = good ? 1 : 2;
  }

  #rowFor(time: number, arrived: Instant): PendingRow | undefined {
    let at = this.#pending.length;
    while (at > 0 && (this.#pending[at - 1]?.time ?? 0) > time) at--;
    const before = this.#pending[at - 1];
    const after = this.#pending[at];
    const toBefore = before === undefined ? Number.POSITIVE_INFINITY : time - before.time;
    const toAfter = after === undefined ? Number.POSITIVE_INFINITY : after.time - time;
    if (Math.min(toBefore, toAfter) <= this.#tolerance) return toBefore <= toAfter ? before : after;
    if (time < this.#closed + this.#spacing) return undefined;
    const width = this.#inputs.length;
    const row: PendingRow = {
      time,
      arrived,
      values: new Float64Array(width),
      state: new Uint8Array(width),
      missing: width,
    };
    this.#pending.splice(at, 0, row);
    return row;
  }

  #close(now: Instant, out: WindowRow[]): void {
    while (this.#pending.length > 0) {
      const row = this.#pending[0];
      if (row === undefined) return;
      const ready =
        row.missing === 0 ||
        this.#pending.length > this.#maxPending ||
        now - row.arrived >= this.#settleMs ||
        this.#newest.every((time) => time > row.time + this.#tolerance);
      if (!ready) return;
      this.#pending.shift();
      this.#closed = row.time;
      let whole = true;
      for (let channel = 0; channel < this.#inputs.length; channel++) {
        if (row.state[channel] !== 0) {
          const good = row.state[channel] === 1;
          this.#held[channel] = { value: row.values[channel] ?? 0, good, received: row.arrived, stamp: row.time };
          whole &&= good;
          continue;
        }
        const held = this.#held[channel];
        const fresh = held !== undefined && row.arrived - held.received <= (this.#inputs[channel]?.freshMs ?? 0);
        if (held?.good && fresh) row.values[channel] = held.value;
        else whole = false;
      }
      if (whole) out.push({ time: row.time as WallTime, values: row.values });
      else this.#skipped++;
    }
  }

  #reset(): void {
    this.#pending = [];
    this.#closed = Number.NEGATIVE_INFINITY;
    this.#newest.fill(Number.NEGATIVE_INFINITY);
    this.#held = this.#inputs.map(() => undefined);
    this.#resets++;
  }
}
