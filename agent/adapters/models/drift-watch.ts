/** What the manifest says of one input's healthy values. */
export interface HealthyInput {
  readonly name: string;
  readonly median: number;
  readonly deviation: number;
  /** Share of the training rows between its deciles; absent in older manifests. */
  readonly histogram?: { readonly edges: readonly number[]; readonly shares: readonly number[] } | undefined;
  readonly leftOut?: string | undefined;
}

export interface DriftOptions {
  /** How long one look takes. */
  readonly periodMs: number;
  /** Rows without which a look says nothing. */
  readonly rows: number;
  /** Looks in a row that must say the same before the state changes. */
  readonly looks: number;
  /** Population stability index that counts as moved; 0.25 is the usual word for "another population". */
  readonly psi: number;
  /** Without deciles: shift of the mean in training deviations that counts as moved. */
  readonly shift: number;
}

export const driftDefaults: DriftOptions = { periodMs: 86_400_000, rows: 1_000, looks: 2, psi: 0.25, shift: 3 };

export interface InputDrift {
  readonly name: string;
  /** Σ (seen − trained) · ln(seen / trained) over the deciles' bins; undefined without deciles. */
  readonly psi: number | undefined;
  /** Of the mean, in training deviations. */
  readonly shift: number;
  readonly mean: number;
  readonly moved: boolean;
}

export interface DriftState {
  readonly from: number;
  readonly rows: number;
  readonly sums: readonly number[];
  readonly bins: readonly (readonly number[])[];
  readonly against: number;
  readonly moved: boolean;
  readonly last: readonly InputDrift[];
}

interface Input {
  readonly healthy: HealthyInput;
  /** What share of the training rows each bin held: one bin more than there are edges. */
  readonly edges: readonly number[];
  readonly expected: readonly number[];
}

/** A share of nothing would make the index infinite; a thousandth is "hardly ever". */
const least = 1e-3;

/**
 * Whether a model still sees the world that it was trained on: over long looks (a day) each input's values are counted
 * into the bins of its training deciles and compared by the population stability index. Two looks in a row that say
 * "moved" change the state; one event tells it, and no sample ever raises an alarm here.
 *
 * Memory is ten counts for each input, whatever comes. Rows are counted only where the model had a whole window, so
 * bad quality and gaps are not taken for drift.
 */
export class DriftWatch {
  readonly #options: DriftOptions;
  readonly #inputs: readonly Input[];
  #from: number | undefined;
  #rows = 0;
  #sums: number[];
  #bins: number[][];
  /** Looks in a row that contradict the state. */
  #against = 0;
  #moved = false;
  #last: readonly InputDrift[] = [];

  constructor(healthy: readonly HealthyInput[], options: DriftOptions = driftDefaults, state?: DriftState) {
    this.#options = options;
    this.#inputs = healthy.map((one) => {
      const { edges = [], shares = [] } = one.histogram ?? {};
      const fits = shares.length === edges.length + 1;
      return { healthy: one, edges: fits ? edges : [], expected: fits ? shares : [1] };
    });
    this.#sums = this.#inputs.map(() => 0);
    this.#bins = this.#inputs.map(({ expected }) => expected.map(() => 0));
    const fits =
      state !== undefined &&
      state.sums.length === this.#inputs.length &&
      state.bins.length === this.#inputs.length &&
      state.bins.every((bins, i) => bins.length === this.#inputs[i]?.expected.length);
    if (!fits) return;
    this.#from = state.from;
    this.#rows = state.rows;
    this.#sums = [...state.sums];
    this.#bins = state.bins.map((bins) => [...bins]);
    this.#against = state.against;
    this.#moved = state.moved;
    this.#last = state.last;
  }

  get moved(): boolean {
    return this.#moved;
  }

  /** Inputs as the last finished look found them. */
  get last(): readonly InputDrift[] {
    return this.#last;
  }

  /** One row in the manifest's order. True when the state changed with it. */
  take(now: number, row: ArrayLike<number>): boolean {
    if (this.#inputs.length === 0) return false;
    this.#from ??= now;
    this.#rows++;
    for (let i = 0; i < this.#inputs.length; i++) {
      const value = row[i] ?? Number.NaN;
      this.#sums[i] = (this.#sums[i] ?? 0) + value;
      const edges = this.#inputs[i]?.edges ?? [];
      let bin = 0;
      while (bin < edges.length && value > (edges[bin] ?? 0)) bin++;
      const bins = this.#bins[i];
      if (bins !== undefined) bins[bin] = (bins[bin] ?? 0) + 1;
    }
    if (now - this.#from < this.#options.periodMs) return false;
    const changed = this.#rows >= this.#options.rows && this.#look();
    this.#from = now;
    this.#rows = 0;
    this.#sums.fill(0);
    for (const bins of this.#bins) bins.fill(0);
    return changed;
  }

  state(): DriftState {
    return {
      from: this.#from ?? 0,
      rows: this.#rows,
      sums: this.#sums,
      bins: this.#bins,
      against: this.#against,
      moved: this.#moved,
      last: this.#last,
    };
  }

  #look(): boolean {
    this.#last = this.#inputs.map(({ healthy, expected }, i) => {
      const mean = (this.#sums[i] ?? 0) / this.#rows;
      const away = mean - healthy.median;
      // What never moved in training has no deviation to measure by: any move is one.
      const shift = away === 0 ? 0 : healthy.deviation > 0 ? away / healthy.deviation : Math.sign(away) * 1e6;
      const psi = expected.length > 1 ? stability(this.#bins[i] ?? [], expected, this.#rows) : undefined;
      const counts = healthy.leftOut === undefined;
      const moved = counts && (psi === undefined ? Math.abs(shift) > this.#options.shift : psi > this.#options.psi);
      return { name: healthy.name, psi, shift, mean, moved };
    });
    const moved = this.#last.some((one) => one.moved);
    if (moved === this.#moved) {
      this.#against = 0;
      return false;
    }
    if (++this.#against < this.#options.looks) return false;
    this.#against = 0;
    this.#moved = moved;
    return true;
  }
}

function stability(bins: readonly number[], expected: readonly number[], rows: number): number {
  let index = 0;
  for (const [i, share] of expected.entries()) {
    const trained = Math.max(least, share);
    const seen = Math.max(least, (bins[i] ?? 0) / rows);
    index += (seen - trained) * Math.log(seen / trained);
  }
  return index;
}
