import type { Instant } from '../../base/time.ts';
import type { Dwell } from './check.ts';
import { DwellLatch } from './dwell.ts';
import type { Forecast, ModelSpec } from './model.ts';

/** Names of classes that are remembered, and forecasts over which the middle is taken. */
const mostClasses = 64;
const mostForecasts = 64;

/**
 * What a model holds its machine for, slow to change its mind: a class counts once it stood for `raise`, and until
 * another one does. A window of which the model could not tell counts for none.
 */
export class ClassState {
  readonly #spec: Pick<ModelSpec, 'raise'>;
  readonly #latches = new Map<string, DwellLatch>();
  #current: string | undefined;

  constructor(spec: Pick<ModelSpec, 'raise'>) {
    this.#spec = spec;
  }

  get current(): string | undefined {
    return this.#current;
  }

  observe(now: Instant, said: string | undefined): void {
    if (said !== undefined && !this.#latches.has(said) && this.#latches.size < mostClasses) {
      this.#latches.set(said, new DwellLatch(this.#spec.raise, this.#spec.raise));
    }
    for (const [name, latch] of this.#latches) {
      if (latch.observe(now, said === undefined ? undefined : name === said) && latch.active) this.#current = name;
    }
  }

  tick(now: Instant): void {
    for (const [name, latch] of this.#latches) if (latch.tick(now) && latch.active) this.#current = name;
  }

  deadline(): number {
    let next = Number.POSITIVE_INFINITY;
    for (const latch of this.#latches.values()) next = Math.min(next, latch.deadline);
    return next;
  }
}

/**
 * A forecast as it is believed: the middle of those of the last `raise` (so many windows, or so long), so that one odd
 * window starts nothing. Of an even number it is the later one of the two in the middle by size.
 */
export class ForecastState {
  readonly #dwell: Dwell;
  #recent: { readonly at: Instant; readonly forecast: Forecast }[] = [];

  constructor({ raise }: Pick<ModelSpec, 'raise'>) {
    this.#dwell = raise;
  }

  observe(now: Instant, forecast: Forecast): void {
    if (!Number.isFinite(forecast.value)) return;
    // Another model speaks now: its numbers do not mix with the former one's.
    if (this.#recent[0]?.forecast.dimension !== forecast.dimension) this.#recent = [];
    this.#recent.push({ at: now, forecast });
    const dwell = this.#dwell;
    const most = Math.min(mostForecasts, dwell.kind === 'time' ? mostForecasts : dwell.n);
    if (this.#recent.length > most) this.#recent.splice(0, this.#recent.length - most);
    if (dwell.kind === 'time') this.#recent = this.#recent.filter(({ at }) => now - at <= dwell.ms);
  }

  /** Undefined before as many windows told as `raise` asks for. */
  get current(): Forecast | undefined {
    const dwell = this.#dwell;
    const wanted = dwell.kind === 'count' ? dwell.n : dwell.kind === 'of' ? dwell.k : 1;
    if (this.#recent.length < Math.min(wanted, mostForecasts)) return undefined;
    const sorted = this.#recent.map(({ forecast }) => forecast).sort((a, b) => a.value - b.value);
    return sorted[sorted.length >> 1];
  }
}
