import type { SignalIndex } from '../../base/ids.ts';
import { after, type Instant, instant, never, type WallTime, wallTime } from '../../base/time.ts';
import type { Quality, Sample, SignalSpec } from './signal.ts';

const qualities: readonly Quality[] = ['good', 'uncertain', 'bad'];

/**
 * The last reading of every signal, in typed arrays over the plan's indices: bounded by the plan, whatever arrives.
 * Staleness is by our own monotonic clock since receipt; the device's clock decides nothing.
 */
export class SignalState {
  readonly #specs: readonly SignalSpec[];
  readonly #value: Float64Array;
  readonly #quality: Uint8Array;
  readonly #receivedAt: Float64Array;
  readonly #sourceTime: Float64Array;
  readonly #why: (string | undefined)[];
  /** Signals that have been heard and are fresh: who can become stale. */
  readonly #fresh = new Set<SignalIndex>();
  /** Lower bound of the next staleness: samples only move it later, so it is recomputed on arrival there. */
  #nextStale: Instant = never;

  constructor(specs: readonly SignalSpec[]) {
    this.#specs = specs;
    this.#value = new Float64Array(specs.length).fill(Number.NaN);
    this.#quality = new Uint8Array(specs.length).fill(2);
    this.#receivedAt = new Float64Array(specs.length).fill(Number.NEGATIVE_INFINITY);
    this.#sourceTime = new Float64Array(specs.length).fill(Number.NaN);
    this.#why = specs.map(() => undefined);
  }

  get deadline(): Instant {
    return this.#nextStale;
  }

  receive(sample: Sample): boolean {
    const i = sample.signal;
    const spec = this.#specs[i];
    if (spec === undefined) return false;
    this.#value[i] = sample.value;
    this.#quality[i] = Number.isNaN(sample.value) ? 2 : qualities.indexOf(sample.quality);
    this.#receivedAt[i] = sample.receiveTime;
    this.#sourceTime[i] = sample.sourceTime;
    this.#why[i] = sample.why;
    this.#fresh.add(i);
    this.#nextStale = instant(Math.min(this.#nextStale, this.staleAt(i)));
    return true;
  }

  heard(i: SignalIndex): boolean {
    return this.#receivedAt[i] !== Number.NEGATIVE_INFINITY;
  }

  /** From this instant on it is stale, unless a sample comes. */
  staleAt(i: SignalIndex): Instant {
    return after(instant(this.#receivedAt[i] ?? Number.NEGATIVE_INFINITY), this.#specs[i]?.freshMs ?? 0);
  }

  isFresh(now: Instant, i: SignalIndex): boolean {
    return now < this.staleAt(i);
  }

  quality(i: SignalIndex): Quality {
    return qualities[this.#quality[i] ?? 2] ?? 'bad';
  }

  /** Quality, and why it is not good when the source said so. */
  qualityText(i: SignalIndex): string {
    const why = this.#why[i];
    return why === undefined ? `quality ${this.quality(i)}` : `quality ${this.quality(i)}: ${why}`;
  }

  sourceTime(i: SignalIndex): WallTime | undefined {
    const at = this.#sourceTime[i];
    return at === undefined || Number.isNaN(at) ? undefined : wallTime(at);
  }

  /** The last value whatever its quality, for display. */
  raw(i: SignalIndex): number | undefined {
    const value = this.#value[i];
    return value === undefined || Number.isNaN(value) ? undefined : value;
  }

  /** The value if it may be believed now. */
  value(now: Instant, i: SignalIndex): number | undefined {
    return this.blind(now, i) === undefined ? this.raw(i) : undefined;
  }

  /** The state's name, for a signal with `states`; undefined when it cannot be believed or has no name. */
  state(now: Instant, i: SignalIndex): string | undefined {
    const value = this.value(now, i);
    return value === undefined ? undefined : this.#specs[i]?.states?.get(value);
  }

  /** Why the value cannot be believed now ("stale 12 s"); undefined when it can. */
  blind(now: Instant, i: SignalIndex): string | undefined {
    const spec = this.#specs[i];
    if (spec === undefined) return 'no such signal';
    if (!this.heard(i)) return 'never read here';
    if (!this.isFresh(now, i)) return `stale ${seconds(now - (this.#receivedAt[i] ?? 0))}`;
    const quality = this.quality(i);
    if (quality === 'good' || (quality === 'uncertain' && spec.acceptUncertain)) return undefined;
    return this.qualityText(i);
  }

  /** Appends the signals that became stale since the last call. */
  takeStale(now: Instant, stale: SignalIndex[]): void {
    if (now < this.#nextStale) return;
    let next: Instant = never;
    for (const i of this.#fresh) {
      const at = this.staleAt(i);
      if (at <= now) {
        this.#fresh.delete(i);
        stale.push(i);
      } else next = instant(Math.min(next, at));
    }
    this.#nextStale = next;
    stale.sort((a, b) => a - b);
  }
}

const seconds = (ms: number): string => (ms < 10_000 ? `${(ms / 1000).toFixed(1)} s` : `${Math.round(ms / 1000)} s`);
