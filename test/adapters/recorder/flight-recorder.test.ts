import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { createFlightRecorder } from '../../../agent/adapters/recorder/flight-recorder.ts';
import { Random } from '../../../agent/base/random.ts';
import { instant, wallTime } from '../../../agent/base/time.ts';
import { parseSite } from '../../../agent/config/site-file.ts';
import type { EventReport, ReportBody } from '../../../agent/core/reporting/report.ts';
import { readExcerpt } from '../../../agent/wire/evidence.ts';
import { trainModel } from '../../../models/commands.ts';
import { readRecorded } from '../../../models/training/recorded.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';

const { site } = parseSite(
  `millwright: 1
site: hall
agents: { box: {} }
assets:
  plc: { connect: { opcua: { endpoint: "opc.tcp://10.0.0.5:4840" } } }
  press:
    source: plc
    signals:
      rms: { address: "ns=1;s=rms", unit: mm/s, every: 1s }
      oil: { address: "ns=1;s=oil", unit: bar, every: 1s }
    checks:
      shaking: { signal: rms, crit: above 7 mm/s }
    models:
      bearing: { file: bearing, inputs: { rms: rms, oil: oil }, raise: 3, clear: 3 }
    alarms:
      wear: { when: anomalous("bearing"), priority: high, cause: c, consequence: c, response: r, respond-within: 1h }
`,
  'site.yaml',
);
const plan = site!.plan;

async function box(dir?: string) {
  const folder = dir ?? (await temporaryFolder());
  const clock = { now: 1_700_000_000_000, maintenance: undefined as string | undefined };
  const reports: ReportBody[] = [];
  const recorder = createFlightRecorder({
    dir: folder,
    agent: 'box',
    plan,
    wall: () => clock.now,
    report: (body) => reports.push(body),
    standing: [],
    maintenance: (thing) => (plan.things[thing]?.id === 'press' ? clock.maintenance : undefined),
  });
  const random = new Random(5, 'press');
  const run = (seconds: number, rms = 2) => {
    for (let i = 0; i < seconds; i++) {
      clock.now += 1_000;
      for (const [signal, value] of [rms + 0.1 * random.normal(), 4 + 0.05 * random.normal()].entries()) {
        recorder.onSample({
          signal,
          value,
          quality: 'good',
          sourceTime: wallTime(clock.now),
          receiveTime: instant(clock.now),
        });
      }
      const contributions = [
        { signal: 0, share: 0.9 },
        { signal: 1, share: 0.1 },
      ];
      recorder.onScore(0, { value: rms / 2, threshold: 2, contributions }, clock.now);
      recorder.tick();
    }
  };
  const alarm = (state: 'on' | 'off', occurrence = 'b-1') =>
    recorder.alarmChanged({
      alarm: 0,
      alarmId: 'wear.press',
      state,
      occurrence,
      term: 1,
      firstSampleAt: wallTime(clock.now),
      since: wallTime(clock.now),
      evidence: '',
    });
  const told = () => reports.filter((body): body is EventReport => body.type === 'event' && body.name === 'evidence');
  return { folder, clock, recorder, run, alarm, told };
}

describe('flight recorder', () => {
  it('alarm → what led to it is told at once, the whole with its hash when what followed is there', async () => {
    const { recorder, run, alarm, told, clock } = await box();
    run(900);
    run(20, 9);
    alarm('on');
    const [begun] = told();
    expect(begun?.detail).toMatchObject({ stage: 'begun', thing: 'press', occurrence: 'b-1' });
    const before = JSON.parse(String(begun?.detail['excerpt']));
    expect(Buffer.byteLength(String(begun?.detail['excerpt']))).toBeLessThanOrEqual(8_000);
    expect(before.curves.map(({ name }: { name: string }) => name)).toEqual([
      'score:press/bearing',
      'press/rms',
      'press/oil',
    ]);
    expect(before.curves[0].points.at(-1)[1]).toBe(4.5);
    expect(readExcerpt(String(begun?.detail['excerpt']))).toEqual(before);
    expect(before.at).toBe(clock.now);
    // What was usual, what it was then, and by whose measure that is wrong.
    expect(before.curves[0]).toMatchObject({
      threshold: 2,
      shares: { 'press/rms': 0.9, 'press/oil': 0.1 },
      raised: 4.5,
      usual: [1, 0],
    });
    const [, rms] = before.curves;
    expect(rms).toMatchObject({ unit: 'mm/s', limits: [{ level: 'crit', side: 'above', value: 7 }] });
    expect(rms.raised).toBeGreaterThan(8.5);
    expect(rms.usual[0]).toBeCloseTo(2, 1);
    expect(rms.usual[1]).toBeCloseTo(0.1, 1);
    const raisedAt = clock.now;
    run(100, 9);
    // Said again: no new evidence.
    alarm('on');
    run(30, 2);
    const kept = told()[1];
    expect(told().length).toBe(2);
    expect(kept?.detail).toMatchObject({ stage: 'kept', evidence: begun?.detail['evidence'] });
    // The moment of the alarm and its shares stay what they were.
    const after = readExcerpt(String(kept?.detail['excerpt']));
    expect(after).toMatchObject({ at: raisedAt, to: kept?.detail['to'] });
    expect(after?.curves[0]).toMatchObject({ threshold: 2, raised: 4.5, shares: { 'press/rms': 0.9 } });
    const whole = recorder.read(String(kept?.detail['evidence'])) ?? '';
    expect(createHash('sha256').update(whole).digest('hex')).toBe(kept?.detail['sha256']);
    const { series, from, to } = JSON.parse(whole);
    expect(to - from).toBe(600_000 + 120_000);
    expect(series[1].samples.length).toBe(721);
    expect(clock.now - to).toBeLessThanOrEqual(10_000);
    recorder.stop();
  });

  it('anomaly and the alarm that it raises → one evidence under both names', async () => {
    const { recorder, run, alarm, told } = await box();
    run(60);
    recorder.observed({ kind: 'anomaly-changed', model: 0, anomalous: true });
    run(2, 9);
    alarm('on');
    expect(told().map(({ subject, detail }) => [subject, detail['stage']])).toEqual([
      ['press/bearing', 'begun'],
      ['wear.press', 'same'],
    ]);
    expect(told()[1]?.detail['evidence']).toBe(told()[0]?.detail['evidence']);
    recorder.stop();
  });

  it('restart while what follows was awaited → closed in the next life with what is there', async () => {
    const first = await box();
    first.run(300);
    first.alarm('on');
    first.run(30, 9);
    first.recorder.stop();
    const next = await box(first.folder);
    next.clock.now = first.clock.now + 60_000;
    next.recorder.tick();
    expect(next.told().map(({ detail }) => detail['stage'])).toEqual(['kept']);
    expect(next.recorder.evidence()[0]).toMatchObject({ state: 'kept', subject: 'wear.press' });
    next.recorder.stop();
  });

  it('a storm of alarms → bounded work: one evidence per story', async () => {
    const { recorder, run, alarm, told } = await box();
    run(60);
    for (let i = 0; i < 200; i++) alarm('on', `b-${i}`);
    expect(recorder.evidence().length).toBe(1);
    expect(told().every(({ detail }) => JSON.stringify(detail).length < 9_500)).toBe(true);
    recorder.stop();
  });

  it('maintenance → what is recorded in it trains no model, with two minutes around it', async () => {
    const { folder, recorder, run, clock } = await box();
    run(600);
    clock.maintenance = 'sundays';
    run(300, 9);
    clock.maintenance = undefined;
    run(600);
    recorder.stop();
    const rows = readRecorded({ dataDir: folder, thing: 'press' });
    if (!rows.ok) throw new Error(rows.error.message);
    expect(rows.value.leftOut.unhealthy).toBeGreaterThanOrEqual(300 + 2 * 119);
    expect(rows.value.leftOut.unhealthy).toBeLessThanOrEqual(300 + 2 * 122);
    expect(Math.max(...rows.value.rows.map((row) => row[1] ?? 0))).toBeLessThan(4);
  });

  it('recorder of a running agent → trains a model on healthy rows only, with units', async () => {
    const { folder, recorder, run } = await box();
    run(600);
    recorder.observed({ kind: 'check-changed', check: 0, from: 'ok', to: 'crit' });
    run(300, 9);
    recorder.observed({ kind: 'check-changed', check: 0, from: 'crit', to: 'ok' });
    run(600);
    // Not stopped: what waits in memory is written by the flush that comes twice a minute.
    run(35);
    const rows = readRecorded({ dataDir: folder, thing: 'press' });
    if (!rows.ok) throw new Error(rows.error.message);
    expect(rows.value).toMatchObject({ columns: ['oil', 'rms'], everyMs: 1_000, units: { rms: 'mm/s', oil: 'bar' } });
    expect(rows.value.leftOut.unhealthy).toBeGreaterThanOrEqual(500);
    expect(rows.value.rows.length).toBeGreaterThan(900);
    expect(Math.max(...rows.value.rows.map((row) => row[1] ?? 0))).toBeLessThan(4);
    const trained = await trainModel({ fromRecorder: folder, thing: 'press', out: `${folder}/trained` });
    if (!trained.ok) throw new Error(trained.error.message);
    expect(trained.value.manifest.inputs).toEqual([
      { name: 'oil', unit: 'bar' },
      { name: 'rms', unit: 'mm/s' },
    ]);
    expect(readRecorded({ dataDir: folder, thing: 'pres' })).toMatchObject({
      ok: false,
      error: { code: 'column-missing' },
    });
    recorder.stop();
  });
});
