import type { Random } from './random.ts';

/**
 * Exponential back-off with full jitter: attempt n waits a uniform time in [0, min(cap, base * 2^n)]. Jitter is what
 * keeps five hundred agents from returning in the same second (Brooker, "Exponential Backoff And Jitter", 2015).
 */
export class Backoff {
  readonly #baseMs: number;
  readonly #capMs: number;
  readonly #random: Random;
  #attempt = 0;

  constructor(baseMs: number, capMs: number, random: Random) {
    this.#baseMs = baseMs;
    this.#capMs = capMs;
    this.#random = random;
  }

  /** Milliseconds to wait before the next attempt; never zero, so that a broken peer cannot make a hot loop. */
  next(): number {
    const ceiling = Math.min(this.#capMs, this.#baseMs * 2 ** Math.min(this.#attempt, 30));
    this.#attempt++;
    return Math.max(this.#baseMs / 4, this.#random.float() * ceiling);
  }

  reset(): void {
    this.#attempt = 0;
  }
}
