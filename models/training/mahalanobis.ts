import { CholeskyDecomposition, Matrix } from 'ml-matrix';
import type { Result } from '../../agent/base/result.ts';
import { err, ok } from '../../agent/base/result.ts';
import { type ModelProblem, problem } from '../problem.ts';
import type { WindowScore } from './kind.ts';
import { conformalQuantile, deviation, mean, median, robustDeviation } from './statistics.ts';
import { type Scaling, windowFeatures, windowsOf } from './window-features.ts';

/** Knobs of the fit. The defaults were chosen on recordings of a pump rig and suit slow machines at about 1 Hz. */
export interface FitOptions {
  /** W, rows per window. Longer sees smaller shifts, later. */
  readonly windowRows: number;
  /**
   * How much of the correlation is given up for the identity, 0..1. Few windows that overlap carry little about
   * correlations; a tenth keeps the inverse calm and the joint view alive (Ledoit and Wolf, 2004, set it by formula
   * for independent rows, which these are not).
   */
  readonly shrinkage: number;
  /** Contiguous parts of the training rows; each is judged once by a fit on the others. */
  readonly folds: number;
  /** Share of healthy windows that may lie above the quantile. */
  readonly falseAlarmRate: number;
  /**
   * Factor on the quantile. A few minutes of training have not seen the drift of the next hours: held-out rows come
   * from the same minutes, so their quantile is too low for later. 1 trusts them; larger waits for more.
   */
  readonly driftAllowance: number;
}

export const fitDefaults: FitOptions = {
  windowRows: 12,
  shrinkage: 0.1,
  folds: 5,
  falseAlarmRate: 0.01,
  driftAllowance: 1.4,
};

/**
 * Distance of a window from healthy windows, in units of their own spread: with z the standardised features and P the
 * inverse of their shrunk correlation, score = √(zᵀ P z / D), D the number of features that count. Healthy is about 1.
 * (Mahalanobis, 1936; on process data, Hotelling's T², 1947.)
 */
export interface Detector extends Scaling {
  readonly windowRows: number;
  /** Per feature [2C]. */
  readonly location: readonly number[];
  /** Per feature [2C]: 1/spread; 0 takes the feature out. */
  readonly weight: readonly number[];
  /** P, [2C][2C], symmetric, positive definite. */
  readonly precision: readonly (readonly number[])[];
  /** D, at least 1. */
  readonly dimensions: number;
}

export interface Fit {
  readonly detector: Detector;
  readonly threshold: number;
  /** The quantile before the drift allowance. */
  readonly quantile: number;
  /** Scores of held-out windows in the order of their rows. */
  readonly heldOut: readonly number[];
  /** Channels that never moved in training and therefore cannot be judged, by position. */
  readonly still: readonly number[];
}

/** Score of one window in plain double arithmetic: what the ONNX graph must agree with. */
export function scoreWindow(detector: Detector, window: ArrayLike<number>): WindowScore {
  const { location, weight, precision, dimensions } = detector;
  const channels = detector.centre.length;
  const z = windowFeatures(window, detector).map((value, i) => (value - (location[i] ?? 0)) * (weight[i] ?? 0));
  const parts = new Array<number>(channels).fill(0);
  let total = 0;
  for (let i = 0; i < z.length; i++) {
    const row = precision[i] ?? [];
    let pulled = 0;
    for (let j = 0; j < z.length; j++) pulled += (row[j] ?? 0) * (z[j] ?? 0);
    const part = (z[i] ?? 0) * pulled;
    total += part;
    parts[i % channels] = (parts[i % channels] ?? 0) + part;
  }
  const kept = parts.map((part) => Math.max(0, part));
  const sum = kept.reduce((a, b) => a + b, 0);
  return {
    value: Math.sqrt(Math.max(0, total) / dimensions),
    contributions: kept.map((part) => (sum > 0 ? part / sum : 0)),
  };
}

/**
 * Fits on healthy rows, shape [rows][C], finite numbers in time order. A pure function of the rows: no clock, no row
 * number, no label enters.
 *
 * Traps that it minds: rows that follow each other are alike, so parts held out are contiguous and a window's width is
 * left free on both sides; few minutes understate the spread of slow features, so each feature's spread is at least
 * what held-out parts deviate from the others' median, and wider where a feature wanders; channels that stand still are
 * taken out and named.
 */
export function fitMahalanobis(rows: readonly (readonly number[])[], options: FitOptions): Result<Fit, ModelProblem> {
  const channels = rows[0]?.length ?? 0;
  const needed = Math.max(40, options.windowRows * (options.folds + 3));
  if (rows.length < needed) {
    return err(
      problem(
        'data-too-short',
        `${rows.length} healthy rows; windows of ${options.windowRows} rows in ${options.folds} parts need at least ${needed}`,
      ),
    );
  }
  // The graph computes in 32 bit; a channel whose movement does not survive that must not be trained on.
  const columns = Array.from({ length: channels }, (_, c) => rows.map((row) => Math.fround(row[c] ?? 0)));
  const centre = columns.map((column) => Math.fround(median(column)));
  const spread = columns.map(deviation);
  const moves = spread.map((value, c) => value > Math.max(1e-30, 1e-6 * Math.abs(centre[c] ?? 0)));
  const still = moves.flatMap((value, c) => (value ? [] : [c]));
  if (still.length === channels) {
    return err(problem('nothing-varies', 'no channel changes in the training rows; there is nothing to learn from'));
  }
  const scale = spread.map((value, c) => (moves[c] ? Math.fround(value) : 1));
  const scaling: Scaling = { centre, scale };

  const features = [...windowsOf(rows, options.windowRows)].map((window) => windowFeatures(window, scaling));
  const count = features.length;
  const parts = Array.from({ length: options.folds }, (_, k) => {
    const from = Math.floor((k * count) / options.folds);
    const to = Math.floor(((k + 1) * count) / options.folds);
    const gap = options.windowRows - 1;
    const others = features.filter((_feature, i) => i < from - gap || i >= to + gap);
    return { held: features.slice(from, to), others };
  });

  const width = 2 * channels;
  const active = Array.from({ length: width }, (_, i) => moves[i % channels] ?? false);
  const squares = new Array<number>(width).fill(0);
  for (const { held, others } of parts) {
    for (let i = 0; i < width; i++) {
      const middle = median(column(others, i));
      for (const feature of held) squares[i] = (squares[i] ?? 0) + ((feature[i] ?? 0) - middle) ** 2;
    }
  }
  const floor = squares.map((sum, i) =>
    Math.max(Math.sqrt(sum / count) * wander(column(features, i), options.windowRows), smallestSpread),
  );

  const build = (from: readonly (readonly number[])[]): Detector => ({
    ...scaling,
    windowRows: options.windowRows,
    ...standardise(from, active, floor, options.shrinkage),
  });
  const heldOut: number[] = [];
  for (const { held, others } of parts) {
    const judge = build(others);
    for (const feature of held) heldOut.push(scoreFeatures(judge, feature));
  }
  const quantile = conformalQuantile(heldOut, options.falseAlarmRate);
  return ok({
    detector: build(features),
    threshold: quantile * options.driftAllowance,
    quantile,
    heldOut,
    still,
  });
}

/** Features are in units of the channel's spread: below a fiftieth of it nothing is worth an alarm. */
const smallestSpread = 0.02;

/**
 * How much wider than seen a feature's range must be taken to be, at least 1. Noise forgets itself from one window to
 * the next; what wanders (a motor that warms up) has shown a part of its range only. The ratio of von Neumann (1941),
 * mean squared step over twice the variance, is 1 for noise and falls towards 0 for a wander; below a quarter the
 * spread grows with its inverse root.
 */
function wander(values: readonly number[], width: number): number {
  const blocks = Array.from({ length: Math.floor(values.length / width) }, (_, b) =>
    mean(values.slice(b * width, (b + 1) * width)),
  );
  const variance = deviation(blocks) ** 2;
  if (blocks.length < 4 || variance === 0) return 1;
  const steps = blocks.slice(1).map((value, b) => (value - (blocks[b] ?? value)) ** 2);
  return Math.max(1, 0.5 / Math.sqrt(Math.max(1e-3, mean(steps) / variance / 2)));
}

function standardise(
  features: readonly (readonly number[])[],
  active: readonly boolean[],
  floor: readonly number[],
  shrinkage: number,
): Pick<Detector, 'location' | 'weight' | 'precision' | 'dimensions'> {
  const width = active.length;
  const columns = Array.from({ length: width }, (_, i) => column(features, i));
  const location = columns.map((values) => Math.fround(median(values)));
  const weight = columns.map((values, i) =>
    active[i] ? Math.fround(1 / Math.max(robustDeviation(values), deviation(values), floor[i] ?? 0)) : 0,
  );
  const correlation = Matrix.eye(width);
  const centred = columns.map((values) => {
    const middle = values.reduce((a, b) => a + b, 0) / values.length;
    const spread = deviation(values);
    return spread > 1e-9 ? values.map((value) => (value - middle) / spread) : undefined;
  });
  for (let i = 0; i < width; i++) {
    for (let j = 0; j < i; j++) {
      const a = centred[i];
      const b = centred[j];
      if (a === undefined || b === undefined || !active[i] || !active[j]) continue;
      let sum = 0;
      for (let r = 0; r < a.length; r++) sum += (a[r] ?? 0) * (b[r] ?? 0);
      const value = ((1 - shrinkage) * sum) / a.length;
      correlation.set(i, j, value);
      correlation.set(j, i, value);
    }
  }
  // Shrunk towards the identity it is positive definite, whatever the rows were.
  const inverse = new CholeskyDecomposition(correlation).solve(Matrix.eye(width));
  const precision = inverse.to2DArray().map((row) => row.map(Math.fround));
  return { location, weight, precision, dimensions: Math.max(1, active.filter(Boolean).length) };
}

function scoreFeatures(detector: Detector, feature: readonly number[]): number {
  const z = feature.map((value, i) => (value - (detector.location[i] ?? 0)) * (detector.weight[i] ?? 0));
  let total = 0;
  for (let i = 0; i < z.length; i++) {
    const row = detector.precision[i] ?? [];
    for (let j = 0; j < z.length; j++) total += (z[i] ?? 0) * (row[j] ?? 0) * (z[j] ?? 0);
  }
  return Math.sqrt(Math.max(0, total) / detector.dimensions);
}

const column = (rows: readonly (readonly number[])[], i: number): number[] => rows.map((row) => row[i] ?? 0);
