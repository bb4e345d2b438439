import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { err, ok } from '../../agent/base/result.ts';
import { startModel } from '../catalog.ts';
import { problem } from '../problem.ts';
import { replay } from '../replay.ts';
import { readRecording } from '../training/csv.ts';
import { trainFromRows } from '../training/train.ts';
import { type Dataset, seriesIn } from './dataset.ts';
import { decide } from './decide.ts';

/** One row is three minutes of the plant. */
const everyMs = 180_000;

/**
 * Rows one by one against each other's correlations, all of them: what gives a fault away in a controlled plant is
 * mostly a relation that no longer holds, along an axis on which healthy rows hardly move. The mean of the last 5, 15
 * and 30 scores: a step is seen soon, and a drift at all. Beside them each channel's movement within half an hour,
 * which gives away a sensor or a valve that stands still. Any of the four may raise; two per cent of healthy rows may
 * lie above a limit, shared between them.
 */
const rowsAlone = 'windowRows=1, features=mean, scale=plain, limit=tolerance, shrinkage=0.0001';
const configuration = {
  kind: 'ensemble',
  falseAlarmRate: 0.02,
  // A day of a plant in steady state has shown its drift: the limits know how few independent windows they rest on.
  driftAllowance: 1,
  // The members have their own memory: one score above raises, two below clear.
  raise: '1',
  clear: '2',
  settings: {
    members: [
      ...[5, 15, 30].map((rows) => `windowed-mahalanobis(${rowsAlone}, smoothRows=${rows})`),
      'window-z(windowRows=12, features=spread, scale=plain, limit=tolerance)',
    ].join(' + '),
  },
} as const;

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
    const trained = trainFromRows(training.value.rows, columns, { name: 'tep', everyMs, ...configuration });
    if (!trained.ok) return err(problem(trained.error.code, `${healthy}: ${trained.error.message}`));
    const model = await startModel('tep', trained.value);
    if (!model.ok) return model;
    return ok({
      series: series.value,
      async judge(path) {
        const recording = await readRecording(join(folder, path), { stamps: 'row-number', everyMs, columns });
        if (!recording.ok) return recording;
        const { rows, times, stamps } = recording.value;
        const scores = await replay(model.value, times, rows);
        const decisions = decide(trained.value.manifest, times, scores);
        return ok(
          stamps.map((timestamp, i) => {
            const score = scores[i] ?? Number.NaN;
            return { timestamp, score: Number.isNaN(score) ? 0 : score, anomaly: decisions[i] ?? false };
          }),
        );
      },
      close: () => model.value.session.release(),
    });
  },
};
