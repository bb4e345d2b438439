import { invariant } from '../../agent/base/invariant.ts';
import { instant } from '../../agent/base/time.ts';
import { parseDwell } from '../../agent/config/grammar.ts';
import { DwellLatch } from '../../agent/core/health/dwell.ts';
import type { Manifest } from '../manifest.ts';

/**
 * Whether a machine counts as anomalous after each score, as an agent decides it: the manifest's threshold and its
 * recommended dwell, or the one given, over the agent's own latch. NaN, no score, counts for neither side.
 */
export function decide(
  { threshold, recommendedDwell }: Pick<Manifest, 'threshold' | 'recommendedDwell'>,
  times: readonly number[],
  scores: ArrayLike<number>,
  dwell: Manifest['recommendedDwell'] = recommendedDwell,
): readonly boolean[] {
  const raise = parseDwell(dwell.raise);
  const clear = parseDwell(dwell.clear);
  invariant(raise.ok && clear.ok, 'a dwell of ours that is none');
  const latch = new DwellLatch(raise.value, clear.value);
  return times.map((time, i) => {
    const score = scores[i] ?? Number.NaN;
    latch.observe(instant(time), Number.isNaN(score) ? undefined : score > threshold.value);
    return latch.active;
  });
}
