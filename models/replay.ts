import type { LoadedModel } from './catalog.ts';
import { WindowRing } from './window-ring.ts';

/**
 * Scores rows one after the other, as an agent does: window by window, each row judged by itself and those before it
 * only. NaN where there is no score: the window is not full yet, or the row has a missing value.
 *
 * @param times of the rows in milliseconds, rising; a gap beyond the manifest's starts the window afresh.
 */
export async function replay(
  { manifest, session }: Pick<LoadedModel, 'manifest' | 'session'>,
  times: readonly number[],
  rows: readonly (readonly number[])[],
): Promise<Float64Array> {
  const ring = new WindowRing(manifest.window.rows, manifest.inputs.length, manifest.window.maxGapMs);
  const scores = new Float64Array(rows.length).fill(Number.NaN);
  for (const [i, row] of rows.entries()) {
    const window = row.every(Number.isFinite) ? ring.push(times[i] ?? 0, row) : undefined;
    // One at a time: the sums of a batch may be taken in another order, and then the end of a file would touch its start.
    if (window !== undefined) scores[i] = (await session.run(window, 1)).scores[0] ?? Number.NaN;
  }
  return scores;
}
