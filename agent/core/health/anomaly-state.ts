import { type Instant, instant } from '../../base/time.ts';
import type { Truth } from '../../base/truth.ts';
import { DwellLatch } from './dwell.ts';
import type { Forecast, ModelSpec, Score } from './model.ts';
import { ClassState, ForecastState } from './model-values.ts';

/** A model that has gone quiet for this many of its longest gaps (and at least `silentAtLeastMs`) says nothing. */
const silentGaps = 3;
const silentAtLeastMs = 30_000;

/**
 * Whether a model holds its machine for anomalous: dwell over its scores. A score is bad above the threshold that came
 * with it. No score, a refused model, stale inputs: unknown, which counts for neither side.
 */
export class AnomalyState {
  readonly #latch: DwellLatch;
  readonly #class: ClassState;
  readonly #forecast: ForecastState;
  #score: Score | undefined;
  #scoredAt: Instant | undefined;
  #longestGapMs = 0;
  #refused: string | undefined;
  /** Why the model does not judge now, in its own words: it learns, or its thing is in maintenance. */
  #notNow: string | undefined;
  readonly #silentAtLeastMs: number;

  constructor(spec: ModelSpec) {
    // Who scores once a minute is not silent after half of one.
    this.#silentAtLeastMs = Math.max(silentAtLeastMs, silentGaps * (spec.learn?.rowMs ?? 0));
    this.#latch = new DwellLatch(spec.raise, spec.clear);
    this.#class = new ClassState(spec);
    this.#forecast = new ForecastState(spec);
  }

  get score(): Score | undefined {
    return this.#score;
  }

  get refused(): string | undefined {
    return this.#refused;
  }

  get firstBadAt(): Instant | undefined {
    return this.#latch.active ? this.#latch.firstBadAt : undefined;
  }

  get deadline(): Instant {
    return instant(Math.min(this.#latch.deadline, this.#class.deadline()));
  }

  /** What the model holds its machine for, once that stood for `raise`. */
  get class(): string | undefined {
    return this.#class.current;
  }

  /** What it foresees: the middle of the last ones. */
  get forecast(): Forecast | undefined {
    return this.#forecast.current;
  }

  /** Whether the last window had a score; a model may give classes or forecasts only. */
  get isScored(): boolean {
    return this.#score !== undefined && !Number.isNaN(this.#score.value);
  }

  /** The latch, whatever the inputs are now; `blind` says whether it may be believed. */
  get active(): boolean {
    return this.#latch.active;
  }

  /** Why it cannot be told now; undefined when it can. */
  blind(now: Instant): string | undefined {
    if (this.#refused !== undefined) return `model refused: ${this.#refused}`;
    if (this.#notNow !== undefined) return this.#notNow;
    if (this.#scoredAt === undefined) return 'not scored yet';
    const silent = now - this.#scoredAt;
    return silent > this.silentAfterMs ? `no score for ${Math.round(silent / 1000)} s` : undefined;
  }

  get silentAfterMs(): number {
    return Math.max(this.#silentAtLeastMs, silentGaps * this.#longestGapMs);
  }

  get scoredAt(): Instant | undefined {
    return this.#scoredAt;
  }

  truth(now: Instant): Truth {
    return this.blind(now) !== undefined || !this.isScored ? 'unknown' : this.#latch.active ? 'true' : 'false';
  }

  scored(now: Instant, score: Score): void {
    this.#refused = undefined;
    const bad = Number.isNaN(score.value) ? undefined : score.value > score.threshold;
    if (bad !== undefined || score.class !== undefined || score.forecast !== undefined) {
      // Only the last gap that was no silence teaches: else one long outage would make it patient for ever.
      if (this.#scoredAt !== undefined && now - this.#scoredAt <= this.silentAfterMs) {
        this.#longestGapMs = Math.max(this.#longestGapMs, now - this.#scoredAt);
      }
      this.#notNow = undefined;
      this.#score = score;
      this.#scoredAt = now;
    } else this.#notNow = score.text;
    this.#latch.observe(now, bad);
    this.#class.observe(now, score.class);
    if (score.forecast !== undefined) this.#forecast.observe(now, score.forecast);
  }

  refuse(now: Instant, reason: string): void {
    this.#refused = reason;
    this.#latch.observe(now, undefined);
  }

  tick(now: Instant): void {
    if (this.#refused !== undefined) return;
    this.#latch.tick(now);
    this.#class.tick(now);
  }
}
