/**
 * The last W rows of C channels, in the time of the source. A row that comes later than `maxGapMs` after the one
 * before, or not after it, starts the window afresh: a window never bridges a hole, because the shape of what
 * happened in it is unknown.
 */
export class WindowRing {
  readonly rows: number;
  readonly #channels: number;
  readonly #maxGapMs: number;
  readonly #values: Float32Array;
  #next = 0;
  #filled = 0;
  #last = Number.NEGATIVE_INFINITY;
  #restarts = 0;

  constructor(rows: number, channels: number, maxGapMs: number) {
    this.rows = rows;
    this.#channels = channels;
    this.#maxGapMs = maxGapMs;
    this.#values = new Float32Array(rows * channels);
  }

  /** How often a hole emptied a window that had begun. */
  get restarts(): number {
    return this.#restarts;
  }

  /** What comes belongs to another stretch: the window begins afresh. */
  clear(): void {
    if (this.#filled > 0) this.#restarts++;
    this.#filled = 0;
    this.#next = 0;
  }

  /** Adds one row of finite values; returns a copy of the window, oldest row first, when it is full. */
  push(time: number, row: ArrayLike<number>): Float32Array | undefined {
    if (this.#filled > 0 && (time <= this.#last || time - this.#last > this.#maxGapMs)) {
      this.#filled = 0;
      this.#next = 0;
      this.#restarts++;
    }
    this.#last = time;
    for (let c = 0; c < this.#channels; c++) this.#values[this.#next * this.#channels + c] = row[c] ?? Number.NaN;
    this.#next = (this.#next + 1) % this.rows;
    this.#filled = Math.min(this.rows, this.#filled + 1);
    if (this.#filled < this.rows) return undefined;
    const window = new Float32Array(this.#values.length);
    const cut = this.#next * this.#channels;
    window.set(this.#values.subarray(cut), 0);
    window.set(this.#values.subarray(0, cut), this.#values.length - cut);
    return window;
  }
}
