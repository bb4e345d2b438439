import { invariant } from '../../agent/base/invariant.ts';
import { instant } from '../../agent/base/time.ts';
import { parseDwell } from '../../agent/config/grammar.ts';
import { DwellLatch } from '../../agent/core/health/dwell.ts';
import type { Manifest } from '../manifest.ts';

/**
 * Whether a machine counts as anomalous after each score, as an agent decides it: threshold and recommended dwell of
 * the manifest, over the agent's own latch. NaN, no score, counts for neither side.
 */
export function decide(
  { threshold, recommendedDwell }: Pick<Manifest, 'threshold' | 'recommendedDwell'>,
  times: readonly number[],
  scores: ArrayLike<number>,
): readonly boolean[] {
  const raise = parseDwell(recommendedDwell.raise);
  const clear = parseDwell(recommendedDwell.clear);
  invariant(raise.ok && clear.ok, 'a kind recommends a dwell that is none');
  const latch = new DwellLatch(raise.value, clear.value);
  return times.map((time, i) => {
    const score = scores[i] ?? Number.NaN;
    latch.observe(instant(time), Number.isNaN(score) ? undefined : score > threshold.value);
    return latch.active;
  });
}
