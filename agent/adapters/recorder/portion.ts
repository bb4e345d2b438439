/** What a portion may be, and how long one should take. */
export interface PortionLimits {
  readonly least: number;
  readonly most: number;
  readonly aimMs: number;
}

/**
 * How much to do in one go so that it takes about `aimMs`, learnt from how long the last one took: too long, and the next
 * is smaller in proportion; well within, and it grows a little. Never less than `least`: each write has a price of its own,
 * and on a slow disk crumbs would cost more than they save and never come to an end.
 */
export class Portion {
  readonly #limits: PortionLimits;
  #size: number;

  constructor(limits: PortionLimits) {
    this.#limits = limits;
    this.#size = limits.most;
  }

  get size(): number {
    return this.#size;
  }

  /** `n` were done in `ms`. A small rest that was quick says nothing of a whole portion. */
  took(n: number, ms: number): void {
    const { least, most, aimMs } = this.#limits;
    if (n === 0) return;
    if (ms > aimMs) this.#size = Math.max(least, Math.min(this.#size, Math.floor((n * aimMs) / ms)));
    else if (n >= this.#size && ms < aimMs / 2) this.#size = Math.min(most, this.#size + Math.ceil(this.#size / 4));
  }
}
