import { join } from 'node:path';
import type { Result } from '../../agent/base/result.ts';
import { err, ok } from '../../agent/base/result.ts';
import { startModel } from '../catalog.ts';
import { type ModelProblem, problem } from '../problem.ts';
import { replay } from '../replay.ts';
import { readRecording } from '../training/csv.ts';
import { trainFromRows } from '../training/train.ts';
import { type Dataset, type Prediction, seriesIn } from './dataset.ts';
import { decide } from './decide.ts';

/** Rows of each series that the benchmark's protocol gives to learn from. */
const trainingRows = 400;
const everyMs = 1_000;

/**
 * One configuration for all series. The constants were chosen on the published half of the series, in the middle of a
 * plateau and not on its peak. A vibration within 1.5 % of its level is no news on this rig: in an hour of healthy
 * running it wanders by as much, in the minutes that a fit sees by a fraction of that.
 */
const configurationFor = (columns: readonly string[]) => ({
  kind: 'level-shift',
  settings: {
    levelRows: 5,
    leastChangeOf: columns
      .filter((name) => name.startsWith('Accelerometer'))
      .map((name) => `${name} 0.015`)
      .join(', '),
  },
});
const dwell = { raise: '2 of 3', clear: '5' } as const;

/**
 * Skoltech Anomaly Benchmark: a pump and its water loop, eight channels at 1 Hz. Each series is judged by a model that
 * was fitted on its own first 400 rows, and held for anomalous as an agent would.
 */
export const skab: Dataset = {
  name: 'skab',
  layout: 'series as DIR/*/*.csv with `;`: datetime, eight channels; DIR/anomaly-free is left out',
  async open(folder) {
    const series = await seriesIn(folder, ['anomaly-free']);
    if (!series.ok) return series;
    return ok({ series: series.value, judge: (path) => judge(join(folder, path)), close: async () => {} });
  },
};

async function judge(path: string): Promise<Result<readonly Prediction[], ModelProblem>> {
  const recording = await readRecording(path);
  if (!recording.ok) return recording;
  const { rows, times, stamps, columns } = recording.value;
  const trained = trainFromRows(rows.slice(0, trainingRows), columns, {
    name: 'skab',
    everyMs,
    ...configurationFor(columns),
  });
  if (!trained.ok) return err(problem(trained.error.code, `${path}: ${trained.error.message}`));
  const model = await startModel('skab', trained.value);
  if (!model.ok) return model;
  try {
    const scores = await replay(model.value, times, rows);
    const decisions = decide(trained.value.manifest, times, scores, dwell);
    return ok(
      stamps.map((timestamp, i) => {
        const score = scores[i] ?? Number.NaN;
        return { timestamp, score: Number.isNaN(score) ? 0 : score, anomaly: decisions[i] ?? false };
      }),
    );
  } finally {
    await model.value.session.release();
  }
}
