/** A square of bits: a relation between two boxes at one bit per ordered pair, 3 MB for 5000 boxes. */
export class BitMatrix {
  readonly #size: number;
  readonly #words: Uint32Array;

  constructor(size: number) {
    this.#size = size;
    this.#words = new Uint32Array(Math.ceil((size * size) / 32));
  }

  has(a: number, b: number): boolean {
    const at = a * this.#size + b;
    return ((this.#words[at >>> 5]! >>> (at & 31)) & 1) === 1;
  }

  /** True when it was not set before. */
  set(a: number, b: number): boolean {
    const at = a * this.#size + b;
    const mask = 1 << (at & 31);
    const word = this.#words[at >>> 5]!;
    this.#words[at >>> 5] = word | mask;
    return (word & mask) === 0;
  }

  /** True when it was set before. */
  clear(a: number, b: number): boolean {
    const at = a * this.#size + b;
    const mask = 1 << (at & 31);
    const word = this.#words[at >>> 5]!;
    this.#words[at >>> 5] = word & ~mask;
    return (word & mask) !== 0;
  }
}
