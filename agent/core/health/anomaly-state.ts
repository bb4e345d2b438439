import type { Instant } from '../../base/time.ts';
import type { Truth } from '../../base/truth.ts';
import { DwellLatch } from './dwell.ts';
import type { ModelSpec, Score } from './model.ts';

/** A model that has gone quiet for this many of its longest gaps (and at least `silentAtLeastMs`) says nothing. */
const silentGaps = 3;
const silentAtLeastMs = 30_000;

/**
 * Whether a model holds its machine for anomalous: dwell over its scores. A score is bad above the threshold that came
 * with it. No score, a refused model, stale inputs: unknown, which counts for neither side.
 */
export class AnomalyState {
  readonly #latch: DwellLatch;
  #score: Score | undefined;
  #scoredAt: Instant | undefined;
  #longestGapMs = 0;
  #refused: string | undefined;

  constructor(spec: ModelSpec) {
    this.#latch = new DwellLatch(spec.raise, spec.clear);
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
    return this.#latch.deadline;
  }

  /** The latch, whatever the inputs are now; `blind` says whether it may be believed. */
  get active(): boolean {
    return this.#latch.active;
  }

  /** Why it cannot be told now; undefined when it can. */
  blind(now: Instant): string | undefined {
    if (this.#refused !== undefined) return `model refused: ${this.#refused}`;
    if (this.#scoredAt === undefined) return 'not scored yet';
    const silent = now - this.#scoredAt;
    return silent > this.silentAfterMs ? `no score for ${Math.round(silent / 1000)} s` : undefined;
  }

  get silentAfterMs(): number {
    return Math.max(silentAtLeastMs, silentGaps * this.#longestGapMs);
  }

  get scoredAt(): Instant | undefined {
    return this.#scoredAt;
  }

  truth(now: Instant): Truth {
    return this.blind(now) !== undefined ? 'unknown' : this.#latch.active ? 'true' : 'false';
  }

  scored(now: Instant, score: Score): void {
    this.#refused = undefined;
    // Only the last gap that was no silence teaches: else one long outage would make it patient for ever.
    if (this.#scoredAt !== undefined && now - this.#scoredAt <= this.silentAfterMs) {
      this.#longestGapMs = Math.max(this.#longestGapMs, now - this.#scoredAt);
    }
    const bad = Number.isNaN(score.value) ? undefined : score.value > score.threshold;
    if (bad !== undefined) {
      this.#score = score;
      this.#scoredAt = now;
    }
    this.#latch.observe(now, bad);
  }

  refuse(now: Instant, reason: string): void {
    this.#refused = reason;
    this.#latch.observe(now, undefined);
  }

  tick(now: Instant): void {
    if (this.#refused === undefined) this.#latch.tick(now);
  }
}
