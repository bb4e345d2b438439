/** One row: the mean of what came within one period of the source's time. */
export interface Row {
  /** End of the period, ms of the source's clock. */
  readonly time: number;
  readonly mean: number;
}

/** A silence of this many periods is a hole, and so is a step back by as many: windows must not bridge it. */
const holePeriods = 5;

/**
 * Turns the readings of one quantity into rows of equal length. A row is closed by the first reading of a later
 * period; a period without a good reading gives no row. Readings of a period that is closed already are left out.
 */
export class RowMaker {
  readonly #periodMs: number;
  #period = Number.NEGATIVE_INFINITY;
  #sum = 0;
  #count = 0;
  #late = 0;

  constructor(periodMs: number) {
    this.#periodMs = periodMs;
  }

  /** Readings that came too late. */
  get late(): number {
    return this.#late;
  }

  /** Takes a finite reading; gives the row that it closed, and whether a hole lies before this reading. */
  take(time: number, value: number): { readonly row: Row | undefined; readonly hole: boolean } {
    const period = Math.floor(time / this.#periodMs);
    const ahead = period - this.#period;
    if (ahead < 0 && ahead > -holePeriods) {
      this.#late++;
      return { row: undefined, hole: false };
    }
    let row: Row | undefined;
    if (ahead !== 0) {
      if (this.#count > 0) row = { time: (this.#period + 1) * this.#periodMs, mean: this.#sum / this.#count };
      this.#sum = 0;
      this.#count = 0;
    }
    const hole = Number.isFinite(ahead) && Math.abs(ahead) > holePeriods;
    this.#period = period;
    this.#sum += value;
    this.#count++;
    return { row, hole };
  }

  /** What was gathered of the period under way is forgotten. */
  forget(): void {
    this.#sum = 0;
    this.#count = 0;
  }
}
