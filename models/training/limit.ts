import { conformalQuantile, deviation, mean } from './statistics.ts';

/** z with P(Z ≤ z) = 0.95 for a normal Z: how sure the tolerance limit is. */
const confidence = 1.6449;

/**
 * A limit that at most `rate` of fresh healthy scores lie above: the conformal quantile of held-out scores, and where
 * these are too few to know their own tail, the one-sided normal tolerance limit at 95 % confidence, whichever is
 * higher.
 *
 * Windows that share rows say the same thing twice. `overlap` rows per window leave n/overlap scores that are worth
 * counting: thirty of them cannot tell what one in a hundred does, whatever their quantile says.
 *
 * (Tolerance factor: Natrella, "Experimental Statistics", NBS Handbook 91, 1963, section 2-3.)
 */
export function healthyLimit(scores: readonly number[], rate: number, overlap: number): number {
  const independent = Math.max(3, scores.length / Math.max(1, overlap));
  const z = normalQuantile(1 - rate);
  const a = 1 - confidence ** 2 / (2 * (independent - 1));
  const b = z ** 2 - confidence ** 2 / independent;
  // With three or so the approximation breaks; a factor of ten is then as good as any number.
  const factor = a > 0.05 ? (z + Math.sqrt(Math.max(0, z ** 2 - a * b))) / a : 10;
  return Math.max(conformalQuantile(scores, rate), mean(scores) + Math.min(10, factor) * deviation(scores));
}

/** What goes into the manifest. */
export const healthyLimitHow =
  'conformal quantile of held-out healthy windows, at least their normal tolerance limit (95 %)';

/**
 * Quantile of the standard normal for 0.5 ≤ p < 1, to 4.5e-4 (Abramowitz and Stegun, "Handbook of Mathematical
 * Functions", 26.2.23).
 */
export function normalQuantile(p: number): number {
  const t = Math.sqrt(-2 * Math.log(1 - p));
  return t - (2.515517 + 0.802853 * t + 0.010328 * t * t) / (1 + 1.432788 * t + 0.189269 * t * t + 0.001308 * t ** 3);
}
