import { median } from './statistics.ts';

/** By how much the last third may lie above the first: 1.2 is what the simulated year of twenty assets was judged with. */
export const steadyRise = 1.2;
/** Windows that each third must hold; with fewer the medians are chance. */
const leastOfThird = 20;

/**
 * How much stranger a model finds the end of some rows than their beginning: the median score of the last third over
 * that of the first, in order of time. Undefined with less than sixty windows' worth of scores:
 * `perWindow` tells how many scores share one window's rows and say the same thing, 1 where windows lie end to end.
 *
 * A fault that has begun is learnt like anything else, and a trend in what is learnt makes a model blind to its end.
 * So rows that the old model finds rising are no rows to train on. It cannot see what does not rise within these rows:
 * a fault that grows over months in the rows of one day, or one that stands at the same height all the time.
 */
export function riseOf(scores: readonly number[], perWindow = 1): number | undefined {
  const third = Math.floor(scores.length / 3);
  if (third < leastOfThird * perWindow) return undefined;
  return median(scores.slice(-third)) / median(scores.slice(0, third));
}

/** Whether that is no time to learn; too few scores are no evidence. */
export function isRising(scores: readonly number[], perWindow = 1): boolean {
  const rise = riseOf(scores, perWindow);
  return rise !== undefined && rise > steadyRise;
}
