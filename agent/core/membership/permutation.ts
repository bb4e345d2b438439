import type { Random } from '../../base/random.ts';

/**
 * A permutation of 0 … n−1 that is computed rather than stored: three rounds of multiply, add and xor-shift, each a
 * bijection of the next power of two, walked until it lands below n (cycle walking; Black and Rogaway 2002, "Ciphers
 * with arbitrary finite domains", §3). On average fewer than two walks. Good enough to spread probes; not for secrets.
 */
export class Permutation {
  readonly #n: number;
  readonly #mask: number;
  readonly #shift: number;
  #a = 1;
  #b = 0;
  #c = 1;
  #d = 0;

  /** `n` at least 1 and at most 2^30. The identity, more or less, until it is shuffled. */
  constructor(n: number) {
    this.#n = n;
    const bits = Math.max(2, 32 - Math.clz32(n - 1));
    this.#mask = (1 << bits) - 1;
    this.#shift = bits >> 1;
  }

  /** Draws a new order. */
  shuffle(random: Random): void {
    this.#a = random.uint32() | 1;
    this.#b = random.uint32();
    this.#c = random.uint32() | 1;
    this.#d = random.uint32();
  }

  /** The element at `index`, which is below n. */
  at(index: number): number {
    let x = index;
    do {
      x = this.#mix(x, this.#a, this.#b);
      x = this.#mix(x, this.#c, this.#d);
      x = this.#mix(x, this.#a ^ (this.#d << 1), this.#c ^ this.#b);
    } while (x >= this.#n);
    return x;
  }

  #mix(value: number, multiplier: number, addend: number): number {
    const x = (Math.imul(value, multiplier) + addend) & this.#mask;
    return x ^ (x >>> this.#shift);
  }
}
