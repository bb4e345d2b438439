import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createModelScorer } from '../../../agent/adapters/models/onnx-runner.ts';
import { createFlightRecorder } from '../../../agent/adapters/recorder/flight-recorder.ts';
import { instant, wallTime } from '../../../agent/base/time.ts';
import { parseSite } from '../../../agent/config/site-file.ts';
import { type ModelRest, restText } from '../../../agent/core/health/shedding.ts';
import type { Input } from '../../../agent/core/input.ts';
import type { EventReport, ReportBody } from '../../../agent/core/reporting/report.ts';
import { modelLines } from '../../../agent/model-lines.ts';
import { writeModel } from '../../../models/commands.ts';
import { trainFromRows } from '../../../models/training/train.ts';
import { eventually } from '../../support/eventually.ts';
import { pumpRows } from '../../support/pump-recording.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';

const names = ['vibration', 'current', 'flow'];
const model = (seed: string, factor = 1) => {
  const trained = trainFromRows(pumpRows({ rows: 300, seed }), names, { name: 'pump', version: seed, everyMs: 1_000 });
  if (!trained.ok) throw new Error(trained.error.message);
  const { onnx, manifest } = trained.value;
  return {
    onnx,
    manifest: { ...manifest, threshold: { ...manifest.threshold, value: manifest.threshold.value * factor } },
  };
};
const steady = model('steady');
const other = model('other');
/** The same model with a threshold that healthy windows cross all the time. */
const jumpy = model('jumpy', 0.4);

const planOf = (what: string) => {
  const { site, problems } = parseSite(
    `millwright: 1
site: hall
agents: { box: {} }
assets:
  plc: { connect: { opcua: { endpoint: "opc.tcp://10.0.0.5:4840" } } }
  pump:
    source: plc
    signals:
      vibration: { address: "ns=1;s=v", every: 1s }
      current: { address: "ns=1;s=c", every: 1s }
      flow: { address: "ns=1;s=f", every: 1s }
      state: { address: "ns=1;s=s", every: 1s, fresh: 1h, states: { 0: stopped, 1: running } }
    checks:
      low: { signal: flow, crit: below 20 }
      same-model: { crit-when: anomalous("wear") }
    models:
      wear: { ${what}, inputs: { vibration: vibration, current: current, flow: flow }, raise: 3, clear: 3 }
`,
    'site.yaml',
  );
  expect(problems).toEqual([]);
  return site!.plan;
};

async function folders() {
  const root = await temporaryFolder();
  const catalogRoot = join(root, 'models');
  for (const [name, one] of Object.entries({ steady, other, jumpy })) await writeModel(join(catalogRoot, name), one);
  return { catalogRoot, dataDir: join(root, 'data') };
}

/** A life of the models of one box, on a clock of its own. */
async function life(
  where: Awaited<ReturnType<typeof folders>>,
  what: string,
  clock: { now: number; maintenance?: string; rest?: ModelRest } = { now: 1_700_000_000_000 },
) {
  const plan = planOf(what);
  const inputs: Input[] = [];
  const reports: ReportBody[] = [];
  const report = (body: ReportBody) => void reports.push(body);
  const wall = () => clock.now;
  const recorder = createFlightRecorder({ dir: where.dataDir, agent: 'box', plan, wall, report, standing: [] });
  const scorer = createModelScorer({
    site: { plan },
    deliver: (input) => inputs.push(input),
    log: { info: () => {}, warn: () => {} },
    ...where,
    wall,
    report,
    maintenance: () => clock.maintenance,
    rest: () => clock.rest ?? 'nothing',
    // Minutes for hours and days, the rules as they are.
    tally: { stretchMs: 20_000, waiting: 2, settled: 20, windows: 100 },
    drift: { periodMs: 100_000, rows: 80, looks: 2, psi: 0.25, shift: 3 },
    probationMs: 600_000,
  });
  let stopped = false;
  const stop = async () => {
    if (stopped) return;
    stopped = true;
    await scorer.stop();
    await recorder.stop();
  };
  onTestFinished(stop);
  await scorer.start();
  const trust = () => scorer.stats()[0]!.trust;
  /** Rows at one a second, scored by every model that sits before it returns. */
  const run = async (rows: readonly (readonly number[])[]) => {
    for (const row of rows) {
      clock.now += 1_000;
      for (const [signal, value] of row.entries()) {
        const sample = {
          signal,
          value,
          quality: 'good' as const,
          sourceTime: wallTime(clock.now),
          receiveTime: instant(clock.now),
        };
        recorder.onSample(sample);
        scorer.onSample(sample);
      }
      recorder.tick();
      // Lets the sessions score: the tally goes by the clock at that moment.
      await new Promise((resolve) => setImmediate(resolve));
      await scorer.tick();
    }
    const count = () => [trust().incumbent, trust().shadow, trust().previous].map((one) => one?.windows ?? 0).join();
    let last = '';
    await eventually(() => {
      const now = count();
      const same = now === last && ['scoring', 'refused', 'shed'].includes(trust().incumbent?.state ?? '');
      last = now;
      return same;
    });
  };
  /** Rows at one a second that are recorded, and scored by nobody. */
  const record = (rows: readonly (readonly number[])[]) => {
    for (const row of rows) {
      clock.now += 1_000;
      const [sourceTime, receiveTime] = [wallTime(clock.now), instant(clock.now)];
      for (const [signal, value] of row.entries())
        recorder.onSample({ signal, value, quality: 'good', sourceTime, receiveTime });
      recorder.tick();
    }
  };
  /** The plant changes its state, as its controller says it. */
  const state = (code: number, quality: 'good' | 'bad' = 'good') => {
    const [sourceTime, receiveTime] = [wallTime(clock.now + 500), instant(clock.now + 500)];
    const sample = { signal: 3, value: code, quality, sourceTime, receiveTime };
    recorder.onSample(sample);
    scorer.onSample(sample);
  };
  const events = (name: string) =>
    reports.filter((body): body is EventReport => body.type === 'event' && body.name === name);
  const scores = () => inputs.filter((input) => input.kind === 'score-computed');
  const refusals = () => inputs.filter((input) => input.kind === 'model-refused');
  return { scorer, run, record, state, trust, events, scores, refusals, stop, clock, plan };
}

const healthy = (rows: number, seed = 'run') => pumpRows({ rows, seed });

describe('shadow', () => {
  it('scored beside the incumbent → compared, told in the status, raises nothing, kept across restarts', async () => {
    const where = await folders();
    const first = await life(where, 'file: steady, shadow: other');
    await first.run(healthy(100));
    const before = first.trust();
    expect(before.shadow).toMatchObject({ file: 'other', version: 'other', state: 'scoring', windows: 89 });
    expect(before.shadow?.agreement).toBeGreaterThan(0.9);
    // One score each window, the incumbent's.
    expect(first.scores().length).toBe(89);
    await first.stop();
    const second = await life(where, 'file: steady, shadow: other', first.clock);
    expect(second.trust().shadow).toMatchObject({ windows: 89, neither: before.shadow?.neither });
  });

  it('promoted → it scores from the next window on, the one before stands by, also in the next life', async () => {
    const where = await folders();
    const first = await life(where, 'file: steady, shadow: other');
    await first.run(healthy(30));
    expect(await first.scorer.act('pump/wear', 'promote', 'anna')).toBeUndefined();
    await first.run(healthy(30, 'more'));
    expect(first.trust()).toMatchObject({
      incumbent: { file: 'other' },
      shadow: undefined,
      previous: { file: 'steady' },
      why: 'promoted by anna',
    });
    expect(first.events('model-promoted').length).toBe(1);
    // No window was lost in between.
    expect(first.scores().length).toBe(49);
    await first.stop();
    const second = await life(where, 'file: steady, shadow: other', first.clock);
    expect(second.trust()).toMatchObject({ incumbent: { file: 'other' }, previous: { file: 'steady' } });
    await second.stop();
    // A bundle that names it makes it official; one that names another has its way.
    const third = await life(where, 'file: other', first.clock);
    expect(third.trust()).toMatchObject({ incumbent: { file: 'other', windows: 49 }, previous: { file: 'steady' } });
    await third.stop();
    const fourth = await life(where, 'file: jumpy', first.clock);
    expect(fourth.trust()).toMatchObject({ incumbent: { file: 'jumpy', windows: 0 }, previous: { file: 'other' } });
  });

  it('dropped → gone, also in the next life, until a bundle names another one', async () => {
    const where = await folders();
    const first = await life(where, 'file: steady, shadow: other');
    expect(await first.scorer.act('pump/wear', 'drop', 'anna')).toBeUndefined();
    expect(await first.scorer.act('pump/wear', 'promote', 'anna')).toBe('it has no shadow that could be promoted');
    await first.stop();
    const second = await life(where, 'file: steady, shadow: other', first.clock);
    expect(second.trust().shadow).toBeUndefined();
    await second.stop();
    const third = await life(where, 'file: steady, shadow: jumpy', first.clock);
    expect(third.trust().shadow?.file).toBe('jumpy');
  });

  it('refused → told, the incumbent scores on', async () => {
    const where = await folders();
    await writeFile(join(where.catalogRoot, 'other/model.onnx'), 'hello');
    const { run, trust, events, scores, refusals, scorer } = await life(where, 'file: steady, shadow: other');
    await run(healthy(30));
    expect(trust().shadow).toMatchObject({ state: 'refused', why: expect.stringMatching(/sha256/) });
    expect(events('model-refused')[0]?.text).toMatch(/^shadow is refused/);
    expect(scores().length).toBe(19);
    expect(refusals()).toEqual([]);
    expect(await scorer.act('pump/wear', 'promote', 'anna')).toMatch(/its shadow was refused/);
  });
});

describe('revert', () => {
  it('new model raises all the time, nobody confirms, the one before would not → it comes back', async () => {
    const where = await folders();
    const first = await life(where, 'file: steady');
    await first.run(healthy(30));
    await first.stop();
    const { run, trust, events } = await life(where, 'file: jumpy', first.clock);
    expect(trust()).toMatchObject({ incumbent: { file: 'jumpy' }, previous: { file: 'steady' } });
    await run(healthy(400, 'long'));
    expect(trust().incumbent?.file).toBe('steady');
    expect(trust().why).toMatch(/^reverted from jumpy: .* 5 % are allowed; steady has /);
    expect(events('model-reverted')).toHaveLength(1);
  });

  it('both raise: the machine changed → nothing is reverted, people are told once', async () => {
    const where = await folders();
    const first = await life(where, 'file: steady');
    await first.run(healthy(30));
    await first.stop();
    const { run, trust, events } = await life(where, 'file: other', first.clock);
    await run(pumpRows({ rows: 420, seed: 'worn', faultFrom: 0, faultTo: 420 }));
    expect(trust().incumbent?.file).toBe('other');
    expect(events('model-reverted')).toEqual([]);
    expect(events('model-unreliable').map(({ text }) => text)).toEqual([
      expect.stringMatching(/the machine may have changed/),
    ]);
  });

  it('a check of the same thing confirms, one that asks the model does not', async () => {
    const where = await folders();
    const { run, trust, scorer, events, plan } = await life(where, 'file: jumpy');
    const index = (id: string) => plan.checks.findIndex((check) => check.id === id);
    scorer.observed({ kind: 'check-changed', check: index('pump/low'), from: 'ok', to: 'crit' });
    await run(healthy(300, 'seen'));
    expect(trust().incumbent?.above).toBeGreaterThan(100);
    expect(trust().incumbent?.falseAlarmRate).toBe(0);
    scorer.observed({ kind: 'check-changed', check: index('pump/low'), from: 'crit', to: 'ok' });
    scorer.observed({ kind: 'check-changed', check: index('pump/same-model'), from: 'ok', to: 'crit' });
    await run(healthy(420, 'unseen'));
    expect(trust().incumbent?.falseAlarmRate).toBeGreaterThan(0.3);
    expect(events('model-unreliable')).toHaveLength(1);
    // A person was there and says that it was right.
    expect(await scorer.act('pump/wear', 'confirm', 'anna')).toBeUndefined();
  });

  it('choice of this box that cannot be had any more → the site file’s model scores again, and says so', async () => {
    const where = await folders();
    const first = await life(where, 'file: steady, shadow: other');
    await first.run(healthy(20));
    await first.scorer.act('pump/wear', 'promote', 'anna');
    await first.stop();
    await writeFile(join(where.catalogRoot, 'other/model.onnx'), 'gone');
    const { run, trust, events, scores, refusals } = await life(where, 'file: steady, shadow: other', first.clock);
    await eventually(() => trust().incumbent?.file === 'steady');
    await run(healthy(30));
    expect(scores().length).toBe(19);
    expect(refusals()).toEqual([]);
    expect(events('model-refused')[0]?.text).toMatch(/steady of the site file scores again/);
  });
});

describe('drift', () => {
  it('inputs move for two looks → one event, a state, and no alarm', async () => {
    const { run, trust, events } = await life(await folders(), 'file: steady');
    await run(healthy(250));
    expect(trust().drift.state).toBe('stable');
    await run(healthy(320, 'warm').map(([v = 0, c = 0, f = 0]) => [v, c + 0.2, f]));
    expect(trust().drift.state).toBe('moved');
    expect(events('model-drift').map(({ text }) => text)).toEqual([
      expect.stringMatching(/training any more: current by \d/),
    ]);
  });
});

describe('states of the plant', () => {
  const running = 'file: steady, shadow: jumpy, only-in: [running]';
  const stopped = (rows: number) => Array.from({ length: rows }, () => [0, 0, 0]);

  it('another state → not scored, said once a row, no window spans it; shadow and counts stand still', async () => {
    const { run, state, trust, scores, scorer } = await life(await folders(), running);
    state(1);
    await run(healthy(40));
    const before = trust();
    expect(before.incumbent?.windows).toBe(29);
    state(0);
    await run(stopped(30));
    expect(trust().incumbent?.windows).toBe(29);
    expect(trust().shadow?.windows).toBe(29);
    expect(scores().slice(29)).toHaveLength(30);
    for (const { score } of scores().slice(29))
      expect(score).toMatchObject({ value: NaN, text: 'not judged while stopped' });
    expect(scorer.stats()[0]?.gatedRows).toBe(30);
    state(1);
    await run(healthy(20, 'again'));
    // Eleven rows fill the window anew, although the stop was shorter than the longest hole that it bears.
    expect(trust().incumbent?.windows).toBe(29 + 9);
  });

  it('a plant that stands for two looks of the drift watch → no drift, no false alarms; without `only-in` both', async () => {
    const gated = await life(await folders(), 'file: steady, only-in: [running]');
    gated.state(1);
    await gated.run(healthy(100));
    gated.state(0);
    await gated.run(stopped(420));
    gated.state(1);
    await gated.run(healthy(30, 'again'));
    expect(gated.trust().drift.state).not.toBe('moved');
    expect(gated.trust().incumbent?.above).toBe(0);
    expect(gated.events('model-drift')).toEqual([]);
    expect(gated.events('model-unreliable')).toEqual([]);
    const open = await life(await folders(), 'file: steady');
    await open.run(healthy(100));
    await open.run(stopped(420));
    expect(open.trust().drift.state).toBe('moved');
    expect(open.events('model-unreliable')).toHaveLength(1);
  });

  it('a state that nobody knows, or maintenance → scored, and counts for nothing', async () => {
    const { run, state, trust, scores, clock } = await life(await folders(), 'file: steady, only-in: [running]');
    state(1);
    await run(healthy(20));
    state(1, 'bad');
    await run(healthy(20, 'unknown'));
    expect(scores().filter(({ score }) => !Number.isNaN(score.value))).toHaveLength(29);
    expect(trust().incumbent?.windows).toBe(9);
    state(1);
    await run(healthy(20, 'known'));
    // Only windows without any row of the unknown time.
    expect(trust().incumbent?.windows).toBe(9 + 9);
    clock.maintenance = 'sundays';
    await run(healthy(20, 'serviced'));
    expect(trust().incumbent?.windows).toBe(18);
    expect(scores()).toHaveLength(69);
  });

  it('retrain → learns from rows of the declared states only', async () => {
    const { record, state, scorer, trust, run } = await life(await folders(), 'file: steady, only-in: [running]');
    state(1);
    record(healthy(400));
    state(0);
    record(stopped(300));
    state(1);
    record(healthy(60, 'again'));
    await run(healthy(2));
    expect(await scorer.act('pump/wear', 'retrain', 'anna')).toBeUndefined();
    const { file = '' } = trust().shadow ?? {};
    expect(file).toMatch(/^pump\/wear\//);
    await scorer.act('pump/wear', 'promote', 'anna');
    await run(healthy(30, 'judged'));
    expect(trust().incumbent).toMatchObject({ from: 'box' });
  });
});

describe('retrain on the box', () => {
  it('healthy history of the recorder → another model, fitted in a thread, sits as shadow; a person promotes it', async () => {
    const where = await folders();
    const first = await life(where, 'file: steady');
    await first.run(healthy(400));
    expect(await first.scorer.act('pump/wear', 'retrain', 'anna')).toBeUndefined();
    expect(first.trust().shadow).toMatchObject({ from: 'box', file: expect.stringMatching(/^pump\/wear\//) });
    await first.run(healthy(40, 'after'));
    expect(first.trust().shadow).toMatchObject({ state: 'scoring' });
    const { file = '' } = first.trust().shadow ?? {};
    const manifest = JSON.parse(await readFile(join(where.dataDir, 'models', file, 'manifest.json'), 'utf8'));
    expect(manifest).toMatchObject({
      trainedFrom: { file: 'the recorder of this box, pump' },
      kind: steady.manifest.kind,
    });
    expect(manifest.inputs.map(({ name }: { name: string }) => name).sort()).toEqual([...names].sort());
    expect(first.scorer.stats()[0]?.state).toBe('scoring');
    await first.scorer.act('pump/wear', 'promote', 'anna');
    await first.stop();
    const second = await life(where, 'file: steady', first.clock);
    expect(second.trust().incumbent).toMatchObject({ from: 'box', file });
  });

  it('too little history → nothing is trained, and why is told', async () => {
    const { run, scorer, events } = await life(await folders(), 'file: steady');
    await run(healthy(20));
    expect(await scorer.act('pump/wear', 'retrain', 'anna')).toMatch(/no samples yet/);
    expect(events('model-not-retrained')).toMatchObject([{ severity: 'notice', detail: { code: 'rows' } }]);
  });

  it('a fault grows in its history → refused: an event, a line in the status, also in the next life; nothing sits', async () => {
    const where = await folders();
    const first = await life(where, 'file: steady');
    first.record(healthy(1_500).map(([v = 0, c = 0, f = 0], i) => [v, c, f - 0.12 * Math.max(0, i / 1_500 - 0.2)]));
    expect(await first.scorer.act('pump/wear', 'retrain', 'anna')).toMatch(/^the machine became stranger .* by flow /);
    expect(first.trust().shadow).toBeUndefined();
    expect(first.events('model-not-retrained')).toMatchObject([
      { severity: 'warning', subject: 'pump/wear', detail: { code: 'rising' } },
    ]);
    await first.stop();
    const second = await life(where, 'file: steady', first.clock);
    expect(second.trust().lastFit).toMatchObject({ outcome: 'none', code: 'rising' });
    const [stats] = second.scorer.stats();
    const lines = modelLines({ ...stats!, anomalous: 'false', why: undefined } as never);
    expect(lines.join('\n')).toMatch(/ {2}not trained anew on 2023-\S+: the machine became stranger/);
  });

  it('two wishes at once → the second waits for none: it is told; a stop ends the first and blames nobody', async () => {
    const { run, scorer, events, stop } = await life(await folders(), 'file: steady');
    await run(healthy(100));
    const fitting = scorer.act('pump/wear', 'retrain', 'anna');
    expect(await scorer.act('pump/wear', 'retrain', 'bert')).toBe('another model is being trained');
    await stop();
    expect(await fitting).toBe('stopped');
    expect(events('model-not-retrained')).toEqual([]);
  });
});

describe('shedding', () => {
  it('first step → the shadow rests and says so, the incumbent scores on; back within the budget it scores again', async () => {
    const one = await life(await folders(), 'file: steady, shadow: other');
    await one.run(healthy(40));
    expect(one.trust().shadow).toMatchObject({ state: 'scoring', windows: 29 });
    one.clock.rest = 'beside';
    await one.scorer.tick();
    await one.run(healthy(40, 'more'));
    expect(one.trust().shadow).toMatchObject({ state: 'shed', why: restText, windows: 29 });
    expect(one.trust().incumbent).toMatchObject({ state: 'scoring', windows: 69 });
    expect(one.scores().length).toBe(69);
    const [stats] = one.scorer.stats();
    expect(modelLines({ ...stats!, state: 'normal' } as never).join('\n')).toMatch(
      `shadow other: ${restText}; 29 windows`,
    );
    one.clock.rest = 'nothing';
    await one.scorer.tick();
    await one.run(healthy(40, 'again'));
    // It counts on from where it was; its window fills anew.
    expect(one.trust().shadow).toMatchObject({ state: 'scoring', why: undefined, windows: 29 + 29 });
    expect(one.scores().length).toBe(109);
  });

  it('model that rests as a whole → no score; back again it scores, with the drift it had seen', async () => {
    const one = await life(await folders(), 'file: steady');
    await one.run(healthy(220).map((row) => row.map((value) => value * 3)));
    expect(one.trust().drift.state).toBe('moved');
    const before = one.scores().length;
    one.clock.rest = 'all';
    await one.scorer.tick();
    await one.run(healthy(30, 'more'));
    expect(one.trust().incumbent).toMatchObject({ state: 'shed', why: restText });
    expect(one.scores().length).toBe(before);
    one.clock.rest = 'nothing';
    await one.scorer.tick();
    expect(one.trust().drift.state).toBe('moved');
    await one.run(healthy(30, 'again'));
    expect(one.trust().incumbent?.state).toBe('scoring');
    expect(one.scores().length).toBe(before + 19);
  });

  it('over the budget while it starts → loaded when there is room; what sits beside is not loaded by a promotion', async () => {
    const where = await folders();
    const one = await life(where, 'file: steady, shadow: other', { now: 1_700_000_000_000, rest: 'beside' });
    expect(one.trust().shadow?.state).toBe('shed');
    await one.run(healthy(20));
    expect(await one.scorer.act('pump/wear', 'promote', 'anna')).toBeUndefined();
    await one.run(healthy(20, 'more'));
    expect(one.trust()).toMatchObject({ incumbent: { file: 'other', state: 'scoring' }, previous: { state: 'shed' } });
  });

  it('training → cut off and told, nothing new begins; what was due while it was shed is trained afterwards', async () => {
    const one = await life(await folders(), 'file: steady, retrain: 1h');
    await one.run(healthy(400));
    const fitting = one.scorer.act('pump/wear', 'retrain', 'anna');
    one.clock.rest = 'beside';
    await one.scorer.tick();
    const why = 'nothing is trained while this agent is over its budget';
    expect(await fitting).toBe(why);
    expect(one.events('model-not-retrained')).toMatchObject([{ severity: 'notice', detail: { code: 'budget' } }]);
    expect(await one.scorer.act('pump/wear', 'retrain', 'anna')).toBe(why);
    one.clock.now += 3_700_000;
    await one.scorer.tick();
    expect(one.trust().shadow).toBeUndefined();
    one.clock.rest = 'nothing';
    await one.scorer.tick();
    await eventually(() => one.trust().shadow?.from === 'box', { deadlineMs: 20_000 });
  });
});
