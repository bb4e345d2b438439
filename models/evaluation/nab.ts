import { join } from 'node:path';
import { ok } from '../../agent/base/result.ts';
import { StreamingDetector } from '../streaming/streaming-detector.ts';
import { readRecording } from '../training/csv.ts';
import { type Dataset, type Prediction, seriesIn } from './dataset.ts';

/**
 * Numenta Anomaly Benchmark: single metrics, mostly every five minutes, judged as they come by the detector that learns
 * on the box, with its default settings. It is told neither how long a series is nor what time a row has. A flag is
 * the row that begins an event; the score is evidence over the limit, and above 1 on that row only.
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
        const { stamps, rows } = recording.value;
        return ok(judge(stamps, rows));
      },
      close: async () => {},
    });
  },
};

function judge(stamps: readonly string[], rows: readonly (readonly number[])[]): readonly Prediction[] {
  const detector = new StreamingDetector();
  return stamps.map((timestamp, i) => {
    const { ready, evidence, begins } = detector.take(rows[i]?.[0] ?? Number.NaN);
    const score = ready ? evidence / detector.settings.limit : 0;
    return { timestamp, score: begins ? score : Math.min(1, score), anomaly: begins };
  });
}
