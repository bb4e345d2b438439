import { deviation, mean, median, robustDeviation } from './statistics.ts';

/** A contiguous part of the windows, and all others that share no row with it. */
export interface Part {
  readonly from: number;
  readonly to: number;
  readonly others: readonly number[];
}

/** z = (feature − location)·weight, per feature. A weight of 0 takes a feature out. Numbers of 32 bit. */
export interface Standardisation {
  readonly location: readonly number[];
  readonly weight: readonly number[];
}

/** Features are in units of the channel's spread: below a fiftieth of it nothing is worth an alarm. */
const smallestSpread = 0.02;

/**
 * How features are brought to a common unit. `widen`: few minutes understate the spread of slow features, so each
 * one's is at least what held-out parts deviate from the others' median, and wider where it wanders. The widening is
 * learnt once, from all parts; the result then standardises any subset of the features.
 */
export function standardisation(
  features: readonly Float64Array[],
  active: readonly boolean[],
  parts: readonly Part[],
  windowRows: number,
  widen: boolean,
): (from: readonly Float64Array[]) => Standardisation {
  const floor = active.map((_, i) => {
    if (!widen) return 1e-6;
    const all = column(features, i);
    let squares = 0;
    for (const { from, to, others } of parts) {
      const middle = median(others.map((at) => all[at] ?? 0));
      for (let at = from; at < to; at++) squares += ((all[at] ?? 0) - middle) ** 2;
    }
    return Math.max(Math.sqrt(squares / all.length) * wander(all, windowRows), smallestSpread);
  });
  return (from) => {
    const columns = active.map((_, i) => column(from, i));
    return {
      location: columns.map((values) => Math.fround(median(values))),
      weight: columns.map((values, i) => {
        if (!active[i]) return 0;
        const spread = Math.max(widen ? robustDeviation(values) : 0, deviation(values), floor[i] ?? 0);
        return Math.fround(1 / spread);
      }),
    };
  };
}

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

const column = (rows: readonly Float64Array[], i: number): number[] => rows.map((row) => row[i] ?? 0);
