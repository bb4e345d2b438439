/**
 * How much a quantity usually varies: its standard deviation over what was seen. Every row counts the same until
 * `horizon` rows; from then on the oldest fade, so that a machine that was rebuilt gets a new scale within about as
 * many rows again. A shorter horizon adapts sooner and forgets rare but healthy states sooner.
 */
export class RunningScale {
  readonly #horizon: number;
  #count = 0;
  #mean = 0;
  #variance = 0;

  constructor(horizon: number) {
    this.#horizon = horizon;
  }

  get deviation(): number {
    return Math.sqrt(this.#variance);
  }

  push(value: number): void {
    if (this.#count < this.#horizon) this.#count++;
    const share = 1 / this.#count;
    const step = value - this.#mean;
    this.#mean += share * step;
    this.#variance = (1 - share) * (this.#variance + share * step * step);
  }

  values(): [number, number, number] {
    return [this.#count, this.#mean, this.#variance];
  }

  restore([count, mean, variance]: readonly [number, number, number]): void {
    this.#count = count;
    this.#mean = mean;
    this.#variance = variance;
  }
}
