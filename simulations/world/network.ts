import type { Random } from '../../agent/base/random.ts';

/** How messages fare on the way. Times in milliseconds, probabilities in 0 … 1. */
export interface NetworkOptions {
  readonly latencyMs: number;
  /** Mean of an exponential tail on top of the latency. */
  readonly jitterMs: number;
  readonly loss: number;
  readonly duplication: number;
  /** Share of messages that may be overtaken; the others keep the order of their stream. */
  readonly reordering: number;
  /** Share of messages held up by `stallMs`, as a lost segment holds up TCP. */
  readonly stalls: number;
  readonly stallMs: number;
}

export const calmNetwork: NetworkOptions = {
  latencyMs: 0.3,
  jitterMs: 0.1,
  loss: 0,
  duplication: 0,
  reordering: 0,
  stalls: 0,
  stallMs: 200,
};

/**
 * The wires: which pairs can reach each other, in each direction, and how long a message takes. Knows nothing of
 * connections; those are the channel's.
 */
export class Network {
  readonly size: number;
  options: NetworkOptions;
  readonly #random: Random;
  /** 1 where `from` cannot reach `to`. */
  readonly #blocked: Uint8Array;
  /** Arrival of the last message in order, per direction; large worlds do without and let jitter reorder. */
  readonly #lastArrival: Float64Array | undefined;
  blockedCount = 0;

  constructor(size: number, options: NetworkOptions, random: Random) {
    this.size = size;
    this.options = options;
    this.#random = random;
    this.#blocked = new Uint8Array(size * size);
    this.#lastArrival = size <= orderedUpTo ? new Float64Array(size * size) : undefined;
  }

  block(from: number, to: number): void {
    if (this.#blocked[from * this.size + to] === 0) this.blockedCount++;
    this.#blocked[from * this.size + to] = 1;
  }

  unblock(from: number, to: number): void {
    if (this.#blocked[from * this.size + to] === 1) this.blockedCount--;
    this.#blocked[from * this.size + to] = 0;
  }

  isBlocked(from: number, to: number): boolean {
    return this.#blocked[from * this.size + to] === 1;
  }

  /** Both directions work. */
  isWhole(a: number, b: number): boolean {
    return !this.isBlocked(a, b) && !this.isBlocked(b, a);
  }

  /** A fresh connection starts a fresh order. */
  reset(from: number, to: number): void {
    if (this.#lastArrival) this.#lastArrival[from * this.size + to] = 0;
  }

  /** When a message sent now arrives; negative when it never does. */
  arrival(now: number, from: number, to: number): number {
    const { latencyMs, jitterMs, loss, reordering, stalls, stallMs } = this.options;
    if (this.isBlocked(from, to)) return -1;
    if (loss > 0 && this.#random.float() < loss) return -1;
    let at = now + latencyMs + (jitterMs > 0 ? this.#random.exponential(jitterMs) : 0);
    if (stalls > 0 && this.#random.float() < stalls) at += stallMs;
    if (this.#lastArrival && !(reordering > 0 && this.#random.float() < reordering)) {
      const link = from * this.size + to;
      if (at < this.#lastArrival[link]!) at = this.#lastArrival[link]!;
      this.#lastArrival[link] = at;
    }
    return at;
  }

  /** True when this message arrives a second time, `arrival` later. */
  duplicates(): boolean {
    const { duplication } = this.options;
    return duplication > 0 && this.#random.float() < duplication;
  }
}

const orderedUpTo = 2048;
