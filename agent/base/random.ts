/**
 * Chance from a seed. One generator per purpose, forked by label, so that a new draw in one place does not reshuffle
 * the rest of the world.
 *
 * The generator is sfc32 (Chris Doty-Humphrey, PractRand): 128 bit of state, a cycle of at least 2^32, fast on
 * 32-bit integers. It is not for secrets.
 */
export class Random {
  #a: number;
  #b: number;
  #c: number;
  #d: number;
  readonly #label: string;

  constructor(seed: number | string, label = '') {
    this.#label = `${seed}/${label}`;
    const mix = mixer(this.#label);
    this.#a = mix();
    this.#b = mix();
    this.#c = mix();
    this.#d = 1;
    for (let i = 0; i < 12; i++) this.uint32();
  }

  /** An independent stream: the same seed and label always give the same one, whatever was drawn elsewhere. */
  fork(label: string): Random {
    return new Random(this.#label, label);
  }

  /** Uniform in [0, 2^32). */
  uint32(): number {
    const t = (((this.#a + this.#b) | 0) + this.#d) | 0;
    this.#d = (this.#d + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (this.#c << 21) | (this.#c >>> 11);
    this.#c = (this.#c + t) | 0;
    return t >>> 0;
  }

  /** Uniform in [0, 1). */
  float(): number {
    return this.uint32() / 4_294_967_296;
  }

  /** Uniform integer in [0, n). `n` is at least 1. */
  below(n: number): number {
    return Math.floor(this.float() * n);
  }

  /** Uniform in [lo, hi). */
  between(lo: number, hi: number): number {
    return lo + this.float() * (hi - lo);
  }

  chance(probability: number): boolean {
    return this.float() < probability;
  }

  /** Exponential with the given mean. */
  exponential(mean: number): number {
    return -Math.log(1 - this.float()) * mean;
  }

  /** Standard normal (Box-Muller, one of the pair). */
  normal(): number {
    return Math.sqrt(-2 * Math.log(1 - this.float())) * Math.cos(2 * Math.PI * this.float());
  }

  /** Fisher-Yates in place; returns its argument. */
  shuffle<A extends Int32Array | Uint32Array | unknown[]>(items: A): A {
    const list = items as unknown as { length: number; [i: number]: unknown };
    for (let i = list.length - 1; i > 0; i--) {
      const j = this.below(i + 1);
      const held = list[i];
      list[i] = list[j];
      list[j] = held;
    }
    return items;
  }
}

function mixer(text: string): () => number {
  let h = 1_779_033_703 ^ text.length;
  for (let i = 0; i < text.length; i++) {
    h = Math.imul(h ^ text.charCodeAt(i), 3_432_918_353);
    h = (h << 13) | (h >>> 19);
  }
  return () => {
    h = Math.imul(h ^ (h >>> 16), 2_246_822_507);
    h = Math.imul(h ^ (h >>> 13), 3_266_489_909);
    h ^= h >>> 16;
    return h >>> 0;
  };
}
