import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { err, ok } from '../../agent/base/result.ts';
import { startModel } from '../catalog.ts';
import { problem } from '../problem.ts';
import { replay } from '../replay.ts';
import { readRecording } from '../training/csv.ts';
import { trainFromRows } from '../training/train.ts';
import { type Dataset, seriesIn } from './dataset.ts';

/** One row is three minutes of the plant. */
const everyMs = 180_000;

/**
 * Tennessee Eastman process (Downs and Vogel, 1993): a chemical plant, 41 measurements and 11 valves. One model, fitted
 * on the one healthy file.
 */
export const tep: Dataset = {
  name: 'tep',
  layout: 'DIR/train/d00.csv (healthy, to learn from) and series DIR/*.csv, 52 columns, no time stamp',
  async open(folder) {
    const series = await seriesIn(folder, ['train']);
    if (!series.ok) return series;
    const healthy = join(folder, 'train', 'd00.csv');
    if (!existsSync(healthy)) {
      return err(problem('data-unreadable', `${healthy} is missing: the healthy rows that all series are judged by`));
    }
    const training = await readRecording(healthy, { stamps: 'row-number', everyMs });
    if (!training.ok) return training;
    const { columns } = training.value;
    const trained = trainFromRows(training.value.rows, columns, { name: 'tep', everyMs });
    if (!trained.ok) return err(problem(trained.error.code, `${healthy}: ${trained.error.message}`));
    const model = await startModel('tep', trained.value);
    if (!model.ok) return model;
    const { value: threshold } = trained.value.manifest.threshold;
    return ok({
      series: series.value,
      async judge(path) {
        const recording = await readRecording(join(folder, path), { stamps: 'row-number', everyMs, columns });
        if (!recording.ok) return recording;
        const { rows, times, stamps } = recording.value;
        const scores = await replay(model.value, times, rows);
        return ok(
          stamps.map((timestamp, i) => {
            const score = scores[i] ?? Number.NaN;
            return { timestamp, score: Number.isNaN(score) ? 0 : score, anomaly: score > threshold };
          }),
        );
      },
      close: () => model.value.session.release(),
    });
  },
};
