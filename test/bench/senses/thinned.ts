import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Random } from '../../../agent/base/random.ts';
import { seriesIn } from '../../../models/evaluation/dataset.ts';

/** Rows of each series that are given to learn from; none of them is removed. */
const trainingRows = 400;

/** Lines of a series, each row after the training part removed with probability `share`. The header stays. */
export function thinnedLines(lines: readonly string[], share: number, random: Random): string[] {
  return lines.filter((_, at) => at <= trainingRows || !random.chance(share));
}

/** Copies the series of a SKAB folder, thinned; what a label says of a row goes with the row. */
export async function thinSkab(from: string, to: string, share: number, seed: number): Promise<void> {
  const series = await seriesIn(from, ['anomaly-free']);
  if (!series.ok) throw new Error(series.error.message);
  for (const path of series.value) {
    const lines = (await readFile(join(from, path), 'utf8')).trimEnd().split(/\r?\n/);
    const left = thinnedLines(lines, share, new Random(seed, `thinned ${path} ${share}`));
    await mkdir(dirname(join(to, path)), { recursive: true });
    await writeFile(join(to, path), `${left.join('\n')}\n`);
  }
}
