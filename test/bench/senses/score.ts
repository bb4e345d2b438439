import * as runtime from 'onnxruntime-node';
import { Random } from '../../../agent/base/random.ts';
import { startModel } from '../../../models/catalog.ts';
import { sessionOptions } from '../../../models/onnx/session.ts';
import { trainFromRows } from '../../../models/training/train.ts';
import { quantile, rounded } from './measure.ts';

export interface ScoreFigures {
  readonly window: string;
  /** Rounds, and calls of each side in one round. */
  readonly rounds: number;
  readonly runs: number;
  /** Of the round in which the bare call was least disturbed: other programs' work shows in the tail, and not ours. */
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly bareP50Ms: number;
  readonly bareP99Ms: number;
  /** The 99th of a hundred over all rounds: what a busy machine makes of it. */
  readonly p99MsOverall: number;
  readonly bareP99MsOverall: number;
  /** Ours over a bare call of ONNX Runtime with the same bytes, at the median and at the 99th of a hundred. */
  readonly ratioP50: number;
  readonly ratioP99: number;
}

const rows = 64;
const channels = 8;

/**
 * One window of 64 × 8 scored as the agent does it, and the same window handed to ONNX Runtime bare, in turns and in one
 * process: what disturbs the one disturbs the other.
 */
export async function benchScore(rounds: number, runs: number): Promise<ScoreFigures> {
  const random = new Random('senses', 'score');
  const healthy = Array.from({ length: 1_200 }, () => Array.from({ length: channels }, () => random.normal()));
  const names = Array.from({ length: channels }, (_, c) => `input-${c}`);
  const trained = trainFromRows(healthy, names, { name: 'bench', everyMs: 1_000, settings: { windowRows: rows } });
  if (!trained.ok) throw new Error(trained.error.message);
  const started = await startModel('bench', trained.value);
  if (!started.ok) throw new Error(started.error.message);
  const { session, manifest } = started.value;
  if (manifest.window.rows !== rows) throw new Error(`the model takes ${manifest.window.rows} rows, not ${rows}`);
  // The very options of the agent's own session: the figure is about what we add to a call, not about settings.
  const bare = await runtime.InferenceSession.create(trained.value.onnx, sessionOptions);
  const window = Float32Array.from({ length: rows * channels }, () => random.normal());
  const measured: { readonly ours: Float64Array; readonly bare: Float64Array }[] = [];
  for (let round = -1; round < rounds; round++) {
    const [a, b] = [new Float64Array(runs), new Float64Array(runs)];
    for (let i = 0; i < runs; i++) {
      let begun = performance.now();
      await session.run(window, 1);
      a[i] = performance.now() - begun;
      begun = performance.now();
      await bare.run({ window: new runtime.Tensor('float32', window, [1, rows, channels]) });
      b[i] = performance.now() - begun;
    }
    // The first round warms up.
    if (round >= 0) measured.push({ ours: a.sort(), bare: b.sort() });
  }
  await session.release();
  await bare.release();
  const all = (side: 'ours' | 'bare') => Float64Array.from(measured.flatMap((round) => [...round[side]])).sort();
  const calmest = measured.reduce((best, round) =>
    quantile(round.bare, 0.99) < quantile(best.bare, 0.99) ? round : best,
  );
  const [p50, p99] = [quantile(calmest.ours, 0.5), quantile(calmest.ours, 0.99)];
  const [bareP50, bareP99] = [quantile(calmest.bare, 0.5), quantile(calmest.bare, 0.99)];
  return {
    window: `${rows}×${channels}`,
    rounds,
    runs,
    p50Ms: rounded(p50, 4),
    p99Ms: rounded(p99, 4),
    bareP50Ms: rounded(bareP50, 4),
    bareP99Ms: rounded(bareP99, 4),
    p99MsOverall: rounded(quantile(all('ours'), 0.99), 4),
    bareP99MsOverall: rounded(quantile(all('bare'), 0.99), 4),
    ratioP50: rounded(p50 / bareP50, 3),
    ratioP99: rounded(p99 / bareP99, 3),
  };
}
