/**
 * Hard bound on what is said, in bytes per second, with one second of burst. What must be said is always paid, into one
 * second of debt if need be; what can wait asks first whether anything is `available`.
 */
export class ByteBudget {
  readonly #perSecond: number;
  #bytes: number;
  #at = Number.NaN;

  constructor(perSecond: number) {
    this.#perSecond = perSecond;
    this.#bytes = perSecond;
  }

  available(now: number): number {
    if (!(now <= this.#at)) {
      if (!Number.isNaN(this.#at)) {
        this.#bytes = Math.min(this.#perSecond, this.#bytes + ((now - this.#at) / 1000) * this.#perSecond);
      }
      this.#at = now;
    }
    return this.#bytes;
  }

  spend(now: number, bytes: number): void {
    this.#bytes = Math.max(-this.#perSecond, this.available(now) - bytes);
  }
}
