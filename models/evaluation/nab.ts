import { join } from 'node:path';
import { ok } from '../../agent/base/result.ts';
import { readRecording } from '../training/csv.ts';
import { type Dataset, type Prediction, seriesIn } from './dataset.ts';

/** A value is new when it leaves the range seen so far by more than this share of it. */
const margin = 0.005;
/** After a hit the next so many rows are the same event. */
const quietRows = 100;
/** Share of a series, and most rows, that the benchmark gives to learn from without being judged. */
const probation = { share: 0.15, rows: 750 };

/**
 * Numenta Anomaly Benchmark: single metrics, mostly every five minutes, judged as they come. What is said here is
 * whether a value leaves the range seen so far.
 */
export const nab: Dataset = {
  name: 'nab',
  layout: 'series as DIR/*/*.csv: timestamp,value',
  async open(folder) {
    const series = await seriesIn(folder);
    if (!series.ok) return series;
    return ok({
      series: series.value,
      async judge(path) {
        const recording = await readRecording(join(folder, path), { columns: ['value'] });
        if (!recording.ok) return recording;
        return ok(novelty(recording.value.stamps, recording.value.rows));
      },
      close: async () => {},
    });
  },
};

function novelty(stamps: readonly string[], rows: readonly (readonly number[])[]): readonly Prediction[] {
  let low = Number.POSITIVE_INFINITY;
  let high = Number.NEGATIVE_INFINITY;
  let quiet = Math.min(Math.floor(probation.share * rows.length), probation.rows);
  return stamps.map((timestamp, i) => {
    const value = rows[i]?.[0] ?? Number.NaN;
    const range = high - low;
    const beyond = Math.max(0, value - high, low - value);
    const score = range > 0 && beyond > 0 ? beyond / range : 0;
    if (Number.isFinite(value)) {
      low = Math.min(low, value);
      high = Math.max(high, value);
    }
    const anomaly = quiet <= 0 && score > margin;
    quiet = anomaly ? quietRows : quiet - 1;
    return { timestamp, score, anomaly };
  });
}
