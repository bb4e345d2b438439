import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import {
  boxModels,
  type RetrainBudget,
  type RetrainTask,
  retrain,
  type ScoreWindows,
} from '../../../agent/adapters/models/retrain.ts';
import { Recorder } from '../../../agent/adapters/recorder/recorder.ts';
import { Random } from '../../../agent/base/random.ts';
import { readRecorded } from '../../../models/training/recorded.ts';
import { type TrainedModel, trainFromRows } from '../../../models/training/train.ts';
import { pumpRows } from '../../support/pump-recording.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';

const names = ['vibration', 'current', 'flow'] as const;
const present = ((): TrainedModel => {
  const trained = trainFromRows(pumpRows({ rows: 300, seed: 'steady' }), names, { name: 'pump', everyMs: 1_000 });
  if (!trained.ok) throw new Error(trained.error.message);
  return trained.value;
})();
const { scorer } = present;
/** The present model by its formula, as good as ONNX Runtime and quicker to have. */
const score: ScoreWindows = async (windows, n) => {
  const width = windows.length / n;
  const said = Array.from({ length: n }, (_, i) => scorer.score(windows.subarray(i * width, (i + 1) * width)));
  return {
    scores: Float32Array.from(said, ({ value }) => value),
    contributions: Float32Array.from(said.flatMap(({ contributions }) => [...contributions])),
  };
};
const began = 1_700_000_000_000;

interface Recorded {
  readonly rows: readonly (readonly number[])[];
  /** Quality of row i; good unless said. */
  readonly quality?: (i: number) => 0 | 1 | 2;
  /** Code of the plant's state from row i on. */
  readonly states?: readonly (readonly [i: number, code: number, quality?: 0 | 2])[];
  readonly spans?: readonly (readonly [from: number, to: number | undefined])[];
}

/** A box's data with these rows recorded, one a second, and the model that scores now. */
async function box({ rows, quality = () => 0, states = [], spans = [] }: Recorded): Promise<RetrainTask> {
  const root = await temporaryFolder();
  const dataDir = join(root, 'data');
  const recorder = new Recorder(dataDir);
  for (const name of names) recorder.describe({ name: `pump/${name}`, unit: undefined, everyMs: 1_000 });
  recorder.describe({ name: 'pump/state', unit: undefined, everyMs: 1_000 });
  const at = (i: number): number => began + i * 1_000;
  for (const [i, code, kept = 0] of states) recorder.take('pump/state', at(i), code, kept, at(i));
  for (const [i, row] of rows.entries()) {
    for (const [c, value] of row.entries()) recorder.take(`pump/${names[c]}`, at(i), value, quality(i), at(i));
  }
  for (const [i, [from, to]] of spans.entries()) {
    recorder.beginSpan(`pump/span-${i}`, 'pump', at(from));
    if (to !== undefined) recorder.endSpan(`pump/span-${i}`, at(to));
  }
  recorder.close();
  return {
    dataDir,
    thing: 'pump',
    series: names.map((column) => ({ column, name: `pump/${column}` })),
    everyMs: 1_000,
    rows: 40_000,
    onlyIn: [],
    incumbent: { inputs: names, windowRows: present.manifest.window.rows, maxGapMs: present.manifest.window.maxGapMs },
    folder: join(boxModels(dataDir), 'pump/wear/1'),
    name: 'pump',
    kind: 'windowed-mahalanobis',
  };
}

/** A pump whose flow sinks by and by, too little for any window to be above the threshold for long. */
const growing = (rows: number, by = 0.12): number[][] =>
  pumpRows({ rows, seed: 'slow' }).map(([v = 0, c = 0, f = 0], i) => [v, c, f - by * Math.max(0, i / rows - 0.2)]);
const healthy = (rows: number): number[][] => pumpRows({ rows, seed: 'run' });

describe('rows that a model is trained on', () => {
  it('steady rows → another model, its hash and how many rows', async () => {
    const task = await box({ rows: healthy(900) });
    const fitted = await retrain(task, score);
    expect(fitted).toMatchObject({ ok: true, value: { rows: 900, sha256: expect.stringMatching(/^[0-9a-f]{64}$/) } });
    expect(existsSync(join(task.folder, 'model.onnx'))).toBe(true);
  });

  it('a fault that grows in them → refused as rising, says by what and by how much, writes nothing', async () => {
    const task = await box({ rows: growing(1_500) });
    const fitted = await retrain(task, score);
    expect(fitted).toMatchObject({ ok: false, error: { code: 'rising' } });
    const why = fitted.ok ? '' : fitted.error.why;
    expect(why).toMatch(/median score rose from \d\S* to \d\S*, \d\S* times \(1\.2 is allowed\), by flow \d+ %/);
    expect(why).toMatch(/look at the machine first$/);
    expect(existsSync(task.folder)).toBe(false);
  });

  it('a present model that cannot be asked → nothing is trained: it cannot vouch for the rows', async () => {
    const task = await box({ rows: healthy(300) });
    const fitted = await retrain(task, async () => {
      throw new Error('it is gone');
    });
    expect(fitted).toMatchObject({
      ok: false,
      error: { code: 'unfit', why: expect.stringMatching(/cannot be asked: .*it is gone/) },
    });
  });

  it('alarms and maintenance, bad quality, other states and unknown ones → left out, and counted', async () => {
    const task = await box({
      rows: healthy(2_000),
      quality: (i) => (i >= 600 && i < 650 ? 2 : 0),
      spans: [[1_900, undefined]],
      states: [
        [100, 1],
        [300, 2],
        [400, 1],
        [900, 1, 2],
        [1_000, 1],
      ],
    });
    const read = readRecorded({ ...task, onlyIn: [{ series: 'pump/state', values: [1] }] });
    if (!read.ok) throw new Error(read.error.message);
    const rows = read.value.times.map((time) => (time - began) / 1_000);
    // The two minutes before an alarm go as well; a state holds until the next word, bad quality is no word.
    expect(read.value.leftOut).toEqual({ unhealthy: 220, otherState: 100 + 100 + 100, unknown: 50 });
    const isIn = (from: number, to: number) => rows.filter((i) => i >= from && i < to).length;
    expect([isIn(0, 100), isIn(300, 400), isIn(600, 650), isIn(900, 1_000), isIn(1_780, 2_000)]).toEqual([
      0, 0, 0, 0, 0,
    ]);
    expect(isIn(100, 300)).toBe(200);
  });

  it('what is strange only in rows that are left out → no reason to refuse', async () => {
    const rows = healthy(1_500).map(([v = 0, c = 0, f = 0], i) => (i < 900 ? [v, c, f] : [v, c, f - 5]));
    const states = [
      [0, 1],
      [900, 2],
    ] as const;
    const task = await box({ rows, states });
    expect(await retrain(task, score)).toMatchObject({ ok: false, error: { code: 'rising' } });
    const gated = { ...task, onlyIn: [{ series: 'pump/state', values: [1] }] };
    expect(await retrain(gated, score)).toMatchObject({ ok: true, value: { rows: 900 } });
  }, 90_000);
});

describe('limits of the thread', () => {
  const budget: RetrainBudget = { cpuMs: 60_000, wallMs: 60_000, memoryMb: 256 };
  const program = (text: string) => new URL(`data:text/javascript,${encodeURIComponent(text)}`);
  const task = {} as RetrainTask;

  it('a real fit with more rows than its CPU time bears → ended, said', async () => {
    const random = new Random('wide');
    const real = await box({ rows: Array.from({ length: 6_000 }, () => names.map(() => random.normal())) });
    const fitted = await retrain({ ...real, kind: 'autoencoder' }, score, { ...budget, cpuMs: 300 });
    expect(fitted).toEqual({ ok: false, error: { code: 'budget', why: 'it used up its 0.3 s of CPU time' } });
  });

  it('ended while it was asked what it uses → nobody asks it again', async () => {
    const asked = vi.spyOn(Worker.prototype, 'cpuUsage');
    onTestFinished(() => asked.mockRestore());
    const ending = new AbortController();
    const fitting = retrain(task, score, budget, ending.signal, program('for (;;);'));
    ending.abort();
    expect(await fitting).toEqual({ ok: false, error: { code: 'stopped', why: 'stopped' } });
    expect(asked.mock.calls.length).toBe(1);
    await new Promise((resolve) => setTimeout(resolve, 600));
    expect(asked.mock.calls.length).toBe(1);
  });

  it('a real fit in less memory than it needs → ended, said; this process lives', async () => {
    const real = await box({ rows: healthy(20_000) });
    const fitted = await retrain(real, score, { ...budget, memoryMb: 24 });
    expect(fitted).toEqual({ ok: false, error: { code: 'budget', why: 'it wanted more than its 24 MB of memory' } });
  });

  it.each([
    ['turns for ever', 'for (;;);', { cpuMs: 200 }, 'budget', /0\.2 s of CPU time/],
    [
      'sleeps for ever, deep in a call',
      'Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)',
      { wallMs: 300 },
      'budget',
      /not done within 0\.3 s/,
    ],
    [
      'keeps all it can get',
      'const all = []; for (;;) all.push({ text: String(Math.random()) })',
      { memoryMb: 32 },
      'budget',
      /32 MB of memory/,
    ],
    [
      'keeps arrays of numbers, which no heap limit counts',
      'const all = []; setInterval(() => all.push(new Float64Array(2 ** 19).fill(1)), 1)',
      { memoryMb: 64 },
      'budget',
      /64 MB of memory/,
    ],
    ['throws', 'throw new Error("split")', {}, 'broken', /fell over: split/],
    ['throws later', 'setTimeout(() => { throw new Error("later") }, 1)', {}, 'broken', /fell over: later/],
    ['ends without a word', 'process.exit(3)', {}, 'broken', /without a word/],
    ['is not there', undefined, {}, 'broken', /fell over/],
  ] as const)('a thread that %s → an answer, and this process lives', async (_what, text, limits, code, why) => {
    const where = text === undefined ? new URL('file:///nowhere/worker.js') : program(text);
    const fitted = await retrain(task, score, { ...budget, ...limits }, undefined, where);
    expect(fitted).toMatchObject({ ok: false, error: { code, why: expect.stringMatching(why) } });
  });

  it('the agent stops → so does the fit, at once; after that none begins', async () => {
    const ending = new AbortController();
    const fitting = retrain(task, score, budget, ending.signal, program('for (;;);'));
    setTimeout(() => ending.abort(), 50);
    const from = performance.now();
    expect(await fitting).toMatchObject({ ok: false, error: { code: 'stopped' } });
    expect(performance.now() - from).toBeLessThan(2_000);
    expect(await retrain(task, score, budget, ending.signal)).toMatchObject({ ok: false, error: { code: 'stopped' } });
  });
});
