/**
 * The last `rows` values of one stream, and two things about them: how high they lie (mean) and how much they move
 * (spread, the standard deviation). Both are summed anew for each row: windows are short, and running sums would
 * carry a rounding error of one huge value for ever.
 */
export class RollingWindow {
  readonly rows: number;
  readonly #values: Float64Array;
  #filled = 0;
  #next = 0;

  constructor(rows: number) {
    this.rows = rows;
    this.#values = new Float64Array(rows);
  }

  get full(): boolean {
    return this.#filled === this.rows;
  }

  push(value: number): void {
    this.#values[this.#next] = value;
    this.#next = (this.#next + 1) % this.rows;
    if (this.#filled < this.rows) this.#filled++;
  }

  get mean(): number {
    let sum = 0;
    for (let i = 0; i < this.#filled; i++) sum += this.#at(i);
    return this.#filled === 0 ? 0 : sum / this.#filled;
  }

  get spread(): number {
    const mean = this.mean;
    let sum = 0;
    for (let i = 0; i < this.#filled; i++) sum += (this.#at(i) - mean) ** 2;
    return this.#filled === 0 ? 0 : Math.sqrt(sum / this.#filled);
  }

  /** Oldest first, so that a restored window sums in the same order and gives the same last digit. */
  #at(i: number): number {
    return this.#values[(this.#next - this.#filled + i + this.rows) % this.rows] ?? 0;
  }

  values(): number[] {
    return Array.from({ length: this.#filled }, (_, i) => this.#at(i));
  }

  clear(): void {
    this.#filled = 0;
    this.#next = 0;
  }
}
