import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createModelScorer } from '../../../agent/adapters/models/onnx-runner.ts';
import { entryId } from '../../../agent/base/ids.ts';
import { instant, wallTime } from '../../../agent/base/time.ts';
import { dutyDefaults } from '../../../agent/core/duties/options.ts';
import type { ModelSpec } from '../../../agent/core/health/model.ts';
import type { Sample, SignalSpec } from '../../../agent/core/health/signal.ts';
import type { Input } from '../../../agent/core/input.ts';
import { lan } from '../../../agent/core/membership/options.ts';
import type { SitePlan } from '../../../agent/core/site-plan.ts';
import { writeModel } from '../../../models/commands.ts';
import { trainFromRows } from '../../../models/training/train.ts';
import { eventually } from '../../support/eventually.ts';
import { pumpRows } from '../../support/pump-recording.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';

const names = ['Vibration', 'Current', 'VolumeFlow'];
const trained = trainFromRows(pumpRows({ rows: 300, seed: 'scorer' }), names, {
  name: 'pump',
  everyMs: 1_000,
  units: { VolumeFlow: 'l/min' },
});
if (!trained.ok) throw new Error(trained.error.message);
const { scorer: formula, manifest } = trained.value;

const signals: SignalSpec[] = names.map((name, index) => ({
  index,
  id: entryId(`pump/${name}`),
  thing: 0,
  unit: name === 'VolumeFlow' ? 'l/min' : undefined,
  duty: 0,
  everyMs: 1_000,
  freshMs: 3_000,
  acceptUncertain: false,
  states: undefined,
}));
const spec: ModelSpec = {
  index: 0,
  id: entryId('pump/model'),
  thing: 0,
  runsOn: { on: 'holder', duty: 0 },
  file: 'pump',
  sha256: undefined,
  // Not the manifest's order, on purpose.
  inputs: [
    { name: 'VolumeFlow', signal: 2 },
    { name: 'Vibration', signal: 0 },
    { name: 'Current', signal: 1 },
  ],
  raise: { kind: 'of', k: 45, n: 60 },
  clear: { kind: 'count', n: 60 },
};
const planWith = (models: readonly ModelSpec[], fed: readonly SignalSpec[] = signals): SitePlan => ({
  site: 'test',
  version: 1,
  hash: '',
  agents: [],
  cells: [],
  things: [],
  signals: fed,
  checks: [],
  models,
  conditions: [],
  duties: [],
  workflows: [],
  alarms: [],
  membership: lan,
  dutyOptions: dutyDefaults,
});

async function scorerOf(models: readonly ModelSpec[], fed = signals, maxBytes?: number) {
  const catalogRoot = await temporaryFolder();
  await writeModel(join(catalogRoot, 'pump'), trained.ok ? trained.value : (undefined as never));
  const inputs: Input[] = [];
  const scorer = createModelScorer({
    site: { plan: planWith(models, fed) },
    deliver: (input) => inputs.push(input),
    log: { info: () => {}, warn: () => {} },
    catalogRoot,
    ...(maxBytes === undefined ? {} : { maxBytes }),
  });
  onTestFinished(() => scorer.stop());
  const scores = () => inputs.filter((input) => input.kind === 'score-computed');
  const refusals = () => inputs.filter((input) => input.kind === 'model-refused');
  return { scorer, scores, refusals, catalogRoot };
}

/** Rows as a subscription delivers them: tag by tag in batches, stamped by the source. */
function* delivered(rows: readonly (readonly number[])[], batch: number, start = 1_583_756_076_000): Generator<Sample> {
  for (let from = 0; from < rows.length; from += batch) {
    for (const signal of [0, 1, 2]) {
      for (let i = from; i < Math.min(rows.length, from + batch); i++) {
        yield {
          signal,
          value: rows[i]?.[signal] ?? Number.NaN,
          quality: 'good',
          sourceTime: wallTime(start + i * 1_000),
          receiveTime: instant(from * 50),
        };
      }
    }
  }
}

describe('model scorer', () => {
  it('samples of a recording, twenty times faster and tag by tag → each window scored as the formula says', async () => {
    const { scorer, scores } = await scorerOf([spec]);
    await scorer.start();
    const rows = pumpRows({ rows: 200, seed: 'play', faultFrom: 120 });
    for (const sample of delivered(rows, 20)) scorer.onSample(sample);
    await eventually(() => scores().length === 189, { what: 'all windows scored' });
    scores().forEach((input, i) => {
      const window = Float32Array.from(rows.slice(i, i + 12).flat());
      const expected = formula.score(window);
      expect(Math.abs(input.score.value - expected.value)).toBeLessThanOrEqual(1e-4 + 1e-3 * expected.value);
      expect(input.windowEnd).toBe(1_583_756_076_000 + (i + 11) * 1_000);
      expect(input.score.threshold).toBe(manifest.threshold.value);
    });
    // From a whole window of the fault on, the flow (signal 2) stands first among the reasons.
    const late = scores().slice(120);
    expect(late.every(({ score }) => score.value > score.threshold && score.contributions[0]?.signal === 2)).toBe(true);
    expect(scorer.stats()).toMatchObject([{ model: 'pump/model', state: 'scoring', scored: 189, dropped: 0 }]);
  });

  it('hole in the source time → no window bridges it', async () => {
    const { scorer, scores } = await scorerOf([spec]);
    await scorer.start();
    const rows = pumpRows({ rows: 15, seed: 'hole' });
    for (const sample of delivered(rows, 1)) scorer.onSample(sample);
    for (const sample of delivered(rows, 1, 1_583_756_076_000 + 60_000)) scorer.onSample(sample);
    await eventually(() => scores().length === 8, { what: 'four windows on either side' });
    expect(scorer.stats()[0]?.restarts).toBe(1);
  });

  it('nothing sampled → the runtime is not opened', async () => {
    const { scorer } = await scorerOf([spec]);
    await scorer.start();
    expect(scorer.stats()[0]?.state).toBe('idle');
  });

  it.each([
    ['a folder that is not there', { file: 'gone' }, /gone\/manifest\.json cannot be read \(ENOENT\)/],
    ['a hash that the site file does not promise', { sha256: '00'.repeat(32) }, /the site file promises 0000/],
    [
      'an input that the model does not take',
      { inputs: [...spec.inputs, { name: 'Speed', signal: 0 }] },
      /takes Vibration, Current, VolumeFlow; .* Speed/,
    ],
    ['an input missing', { inputs: spec.inputs.slice(1) }, /takes Vibration, Current, VolumeFlow/],
  ])('model with %s → refused with the reason, and its neighbour scores on', async (_name, change, reason) => {
    const { scorer, scores, refusals } = await scorerOf([
      { ...spec, ...change },
      { ...spec, index: 1 },
    ]);
    await scorer.start();
    expect(refusals()).toMatchObject([{ kind: 'model-refused', model: 0 }]);
    expect(refusals()[0]?.reason).toMatch(reason);
    for (const sample of delivered(pumpRows({ rows: 12, seed: 1 }), 4)) scorer.onSample(sample);
    await eventually(() => scores().length === 1);
    expect(scores()[0]?.model).toBe(1);
  });

  it('signal in another unit than the model was trained in → refused with both', async () => {
    const { scorer, refusals } = await scorerOf(
      [spec],
      signals.map((s) => (s.index === 2 ? { ...s, unit: 'm³/h' } : s)),
    );
    await scorer.start();
    expect(refusals()[0]?.reason).toMatch(/VolumeFlow was trained in l\/min, pump\/VolumeFlow comes in m³\/h/);
  });

  it('file beyond the size limit → refused unread', async () => {
    const { scorer, refusals } = await scorerOf([spec], signals, 100);
    await scorer.start();
    expect(refusals()[0]?.reason).toMatch(/at most 100 are read/);
  });

  it('golden vector that does not come out → refused when the model is first needed', async () => {
    const { scorer, refusals, catalogRoot } = await scorerOf([spec]);
    const changed = { ...manifest, golden: manifest.golden.map((g) => ({ ...g, score: g.score + 1 })) };
    await writeFile(join(catalogRoot, 'pump/manifest.json'), JSON.stringify(changed));
    await scorer.start();
    expect(refusals()).toEqual([]);
    for (const sample of delivered(pumpRows({ rows: 12, seed: 1 }), 4)) scorer.onSample(sample);
    await eventually(() => refusals().length === 1);
    expect(refusals()[0]?.reason).toMatch(/golden "first window" scores/);
    expect(scorer.stats()[0]?.state).toBe('refused');
  });

  it('more windows than scoring can follow at once → the oldest are dropped and counted, the newest is scored', async () => {
    const { scorer, scores } = await scorerOf([spec]);
    await scorer.start();
    // All in one turn of the event loop: nothing is scored in between.
    for (const sample of delivered(pumpRows({ rows: 400, seed: 2 }), 20)) scorer.onSample(sample);
    await eventually(() => scores().at(-1)?.windowEnd === 1_583_756_076_000 + 399_000);
    const [stats] = scorer.stats();
    expect(stats?.dropped).toBe(389 - 256);
    expect(stats?.scored).toBe(256);
  });

  it('stop in the middle → no score is delivered afterwards', async () => {
    const { scorer, scores } = await scorerOf([spec]);
    await scorer.start();
    for (const sample of delivered(pumpRows({ rows: 250, seed: 3 }), 20)) scorer.onSample(sample);
    // Looks at every turn of the loop: the whole backlog takes only some milliseconds.
    for (let turns = 0; scores().length === 0 && turns < 1e6; turns++) {
      await new Promise((resolve) => setImmediate(resolve));
    }
    await scorer.stop();
    const count = scores().length;
    for (const sample of delivered(pumpRows({ rows: 100, seed: 3 }), 20, 1_583_756_176_000)) scorer.onSample(sample);
    await new Promise((resolve) => setImmediate(resolve));
    expect(scores().length).toBe(count);
    expect(count).toBeGreaterThan(0);
    expect(count).toBeLessThan(239);
  });
});
