import { Random } from '../agent/base/random.ts';
import { startModel } from './catalog.ts';
import { trainFromRows } from './training/train.ts';

export interface ScoreBench {
  readonly runs: number;
  readonly windowRows: number;
  readonly channels: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
  /** CPU time of one score, all threads. */
  readonly cpuMsPerScore: number;
  /** Memory that ONNX Runtime and one open model add to the process. */
  readonly rssAddedMb: number;
}

/** Trains a small model on made-up rows and times the scoring of single windows, as the agent does it. */
export async function benchScore(runs = 5_000): Promise<ScoreBench> {
  const random = new Random('bench', 'score');
  const channels = 8;
  const rows = Array.from({ length: 400 }, () => Array.from({ length: channels }, () => random.normal()));
  const inputs = Array.from({ length: channels }, (_, c) => `input${c}`);
  const trained = trainFromRows(rows, inputs, { name: 'bench', everyMs: 1_000 });
  if (!trained.ok) throw new Error(trained.error.message);
  const before = process.memoryUsage.rss();
  const started = await startModel('bench', trained.value);
  if (!started.ok) throw new Error(started.error.message);
  const { session, manifest } = started.value;
  const window = Float32Array.from(manifest.golden[0]?.window ?? []);
  for (let i = 0; i < 200; i++) await session.run(window, 1);
  const rssAddedMb = (process.memoryUsage.rss() - before) / 1_048_576;

  const times = new Float64Array(runs);
  const cpu = process.cpuUsage();
  for (let i = 0; i < runs; i++) {
    const begun = performance.now();
    await session.run(window, 1);
    times[i] = performance.now() - begun;
  }
  const used = process.cpuUsage(cpu);
  await session.release();
  times.sort();
  const at = (share: number) => times[Math.min(runs - 1, Math.floor(share * runs))] ?? Number.NaN;
  return {
    runs,
    windowRows: manifest.window.rows,
    channels,
    p50Ms: at(0.5),
    p99Ms: at(0.99),
    maxMs: at(1),
    cpuMsPerScore: (used.user + used.system) / 1_000 / runs,
    rssAddedMb,
  };
}
