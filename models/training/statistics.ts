/** Plain statistics over number columns. All take at least one value and never change their argument. */

export function mean(values: readonly number[]): number {
  let sum = 0;
  for (const value of values) sum += value;
  return sum / values.length;
}

/** Population standard deviation (divides by n). */
export function deviation(values: readonly number[]): number {
  const centre = mean(values);
  let sum = 0;
  for (const value of values) sum += (value - centre) ** 2;
  return Math.sqrt(sum / values.length);
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? 0;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? upper) + upper) / 2;
}

/** Median absolute deviation, scaled so that it equals the standard deviation of a normal sample. */
export function robustDeviation(values: readonly number[]): number {
  const centre = median(values);
  return 1.4826 * median(values.map((value) => Math.abs(value - centre)));
}

/**
 * Conformal quantile: of n held-out scores the ⌈(n+1)(1−rate)⌉-th smallest. A fresh score from the same, exchangeable
 * source lies above it with probability at most `rate` (Vovk, Gammerman, Shafer, "Algorithmic Learning in a Random
 * World", 2005). With fewer than 1/rate scores it is the largest one.
 */
export function conformalQuantile(scores: readonly number[], rate: number): number {
  const sorted = [...scores].sort((a, b) => a - b);
  const rank = Math.ceil((sorted.length + 1) * (1 - rate));
  return sorted[Math.min(sorted.length, Math.max(1, rank)) - 1] ?? Number.NaN;
}

/**
 * Bins between the deciles, and the share of values in each: up to and with the first edge, …, above the last one.
 * Deciles that fall together (a signal of few values) make one edge, so that the shares are exact for those too.
 */
export function histogram(values: readonly number[]): { edges: number[]; shares: number[] } {
  const sorted = [...values].sort((a, b) => a - b);
  const deciles = Array.from({ length: 9 }, (_, i) => sorted[Math.ceil(((i + 1) / 10) * sorted.length) - 1] ?? 0);
  const edges = [...new Set(deciles)];
  const upTo = edges.map((edge) => sorted.filter((value) => value <= edge).length / sorted.length);
  return { edges, shares: [...upTo, 1].map((share, i) => share - (upTo[i - 1] ?? 0)) };
}
