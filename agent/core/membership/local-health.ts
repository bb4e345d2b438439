/**
 * Lifeguard's local health multiplier (§IV.A): how much this agent should doubt itself before it doubts others. 0 is
 * healthy; every sign of one's own slowness (a late timer, a helper that did not even say "nack", having to refute a
 * suspicion of oneself) raises it, every answered probe lowers it. Probes of an agent with score s take (1 + s) times
 * as long.
 */
export class LocalHealth {
  readonly #max: number;
  #score = 0;

  constructor(max: number) {
    this.#max = max;
  }

  get score(): number {
    return this.#score;
  }

  /** Factor for intervals and time-outs of one's own probes, 1 … 1 + max. */
  get factor(): number {
    return 1 + this.#score;
  }

  raise(): void {
    if (this.#score < this.#max) this.#score++;
  }

  lower(): void {
    if (this.#score > 0) this.#score--;
  }
}
