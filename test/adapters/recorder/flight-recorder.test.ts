import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, expect, it } from 'vitest';
import { createFlightRecorder } from '../../../agent/adapters/recorder/flight-recorder.ts';
import { Random } from '../../../agent/base/random.ts';
import { instant, wallTime } from '../../../agent/base/time.ts';
import { parseSite } from '../../../agent/config/site-file.ts';
import type { EventReport, ReportBody } from '../../../agent/core/reporting/report.ts';
import { readExcerpt } from '../../../agent/wire/evidence.ts';
import { trainModel } from '../../../models/commands.ts';
import { readRecorded } from '../../../models/training/recorded.ts';
import { eventually } from '../../support/eventually.ts';
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
  /** Evidence is read and packed in turns of the event loop: as soon as so many events tell of it. */
  const toldOf = (count: number): Promise<EventReport[]> =>
    eventually(() => told().length >= count && told(), { what: `${count} events of evidence` });
  return { folder, clock, recorder, run, alarm, told, toldOf };
}

/** Presses with so many signals each, and an alarm of each. */
async function hall(presses: number, signals: number, dir?: string) {
  const names = Array.from({ length: presses }, (_, i) => `press-${i}`);
  const lines = Array.from({ length: signals }, (_, i) => `      s${i}: { address: "ns=1;s=s${i}", every: 1s }`);
  const parsed = parseSite(
    `millwright: 1
site: hall
agents: { box: {} }
assets:
  plc: { connect: { opcua: { endpoint: "opc.tcp://10.0.0.5:4840" } } }
${names
  .map(
    (name) => `  ${name}:
    source: plc
    signals:
${lines.join('\n')}
    checks:
      shaking: { signal: s0, crit: above 7 }
    alarms:
      wear: { when: crit("shaking"), priority: high, cause: c, consequence: c, response: r, respond-within: 1h }`,
  )
  .join('\n')}
`,
    'site.yaml',
  );
  if (parsed.site === undefined) throw new Error(JSON.stringify(parsed.problems));
  const { plan } = parsed.site;
  const folder = dir ?? (await temporaryFolder());
  const clock = { now: 1_700_000_000_000 };
  const reports: ReportBody[] = [];
  const wall = () => clock.now;
  const report = (body: ReportBody) => void reports.push(body);
  const recorder = createFlightRecorder({ dir: folder, agent: 'box', plan, wall, report, standing: [] });
  const random = new Random(6, 'hall');
  const second = () => {
    clock.now += 1_000;
    for (const { index: signal } of plan.signals) {
      const [sourceTime, receiveTime] = [wallTime(clock.now), instant(clock.now)];
      recorder.onSample({ signal, value: random.normal(), quality: 'good', sourceTime, receiveTime });
    }
    recorder.tick();
  };
  const tellAll = (state: 'on' | 'off') => {
    for (const [alarm, name] of names.entries()) {
      const [firstSampleAt, since] = [wallTime(clock.now), wallTime(clock.now)];
      const about = { alarmId: `wear.${name}`, occurrence: 'b-1', term: 1, evidence: '' };
      recorder.alarmChanged({ alarm, state, firstSampleAt, since, ...about });
    }
  };
  const told = (stage: string) =>
    reports.filter(
      (body): body is EventReport =>
        body.type === 'event' && body.name === 'evidence' && body.detail['stage'] === stage,
    );
  return { folder, recorder, clock, second, tellAll, told };
}

describe('flight recorder', () => {
  it('alarm → what led to it is told at once, the whole with its hash when what followed is there', async () => {
    const { recorder, run, alarm, told, toldOf, clock } = await box();
    run(900);
    run(20, 9);
    alarm('on');
    const [begun] = await toldOf(1);
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
    const [, kept] = await toldOf(2);
    expect(told().length).toBe(2);
    expect(kept?.detail).toMatchObject({ stage: 'kept', evidence: begun?.detail['evidence'] });
    // The moment of the alarm and its shares stay what they were.
    const after = readExcerpt(String(kept?.detail['excerpt']));
    expect(after).toMatchObject({ at: raisedAt, to: kept?.detail['to'] });
    expect(after?.curves[0]).toMatchObject({ threshold: 2, raised: 4.5, shares: { 'press/rms': 0.9 } });
    const whole = (await recorder.read(String(kept?.detail['evidence']))) ?? '';
    expect(createHash('sha256').update(whole).digest('hex')).toBe(kept?.detail['sha256']);
    const { series, from, to } = JSON.parse(whole);
    expect(to - from).toBe(600_000 + 120_000);
    expect(series[1].samples.length).toBe(721);
    expect(clock.now - to).toBeLessThanOrEqual(10_000);
    await recorder.stop();
  });

  it('anomaly and the alarm that it raises → one evidence under both names', async () => {
    const { recorder, run, alarm, told, toldOf } = await box();
    run(60);
    recorder.observed({ kind: 'anomaly-changed', model: 0, anomalous: true });
    run(2, 9);
    alarm('on');
    await toldOf(2);
    expect(told().map(({ subject, detail }) => [subject, detail['stage']])).toEqual([
      ['press/bearing', 'begun'],
      ['wear.press', 'same'],
    ]);
    expect(told()[1]?.detail['evidence']).toBe(told()[0]?.detail['evidence']);
    await recorder.stop();
  });

  it('restart while what follows was awaited → closed in the next life with what is there', async () => {
    const first = await box();
    first.run(300);
    first.alarm('on');
    await first.toldOf(1);
    first.run(30, 9);
    await first.recorder.stop();
    const next = await box(first.folder);
    next.clock.now = first.clock.now + 60_000;
    next.recorder.tick();
    await next.toldOf(1);
    expect(next.told().map(({ detail }) => detail['stage'])).toEqual(['kept']);
    expect(next.recorder.evidence()[0]).toMatchObject({ state: 'kept', subject: 'wear.press' });
    await next.recorder.stop();
  });

  it('a storm of alarms → bounded work: one evidence per story', async () => {
    const { recorder, run, alarm, told, toldOf } = await box();
    run(60);
    for (let i = 0; i < 200; i++) alarm('on', `b-${i}`);
    await toldOf(200);
    expect(recorder.evidence().length).toBe(1);
    expect(told().every(({ detail }) => JSON.stringify(detail).length < 9_500)).toBe(true);
    await recorder.stop();
  });

  it('alarms of five machines that end together → packed one after the other, each whole and with its own hash', async () => {
    const { recorder, clock, told, tellAll, second } = await hall(5, 8);
    for (let i = 0; i < 300; i++) second();
    tellAll('on');
    expect(told('begun').length).toBe(0);
    await eventually(() => told('begun').length === 5);
    for (let i = 0; i < 125; i++) second();
    const kept = await eventually(() => told('kept').length === 5 && told('kept'));
    expect(new Set(kept.map(({ detail }) => detail['thing'])).size).toBe(5);
    for (const { detail } of kept) {
      const whole = (await recorder.read(String(detail['evidence']))) ?? '';
      expect(createHash('sha256').update(whole).digest('hex')).toBe(detail['sha256']);
      const { v, thing, series, to } = JSON.parse(whole);
      expect({ v, thing, series: series.length }).toEqual({ v: 1, thing: detail['thing'], series: 8 });
      // Where it ends does not depend on when its turn came.
      expect(clock.now - to).toBe(5_000);
      expect(series.every(({ samples }: { samples: unknown[] }) => samples.length === 420)).toBe(true);
    }
    await recorder.stop();
  });

  it('agent ends while evidence is packed → nothing half is kept or told; the next life packs it whole', async () => {
    const first = await hall(3, 24);
    for (let i = 0; i < 600; i++) first.second();
    first.tellAll('on');
    await eventually(() => first.told('begun').length === 3);
    for (let i = 0; i < 121; i++) first.second();
    // Well into the first of them: some slices were done.
    for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve));
    expect(first.told('kept').length).toBe(0);
    await first.recorder.stop();
    expect(first.told('kept').length).toBe(0);

    const next = await hall(3, 24, first.folder);
    next.clock.now = first.clock.now + 5_000;
    expect(next.recorder.evidence().map(({ state, sha256 }) => [state, sha256])).toEqual(
      Array(3).fill(['open', undefined]),
    );
    expect(await next.recorder.read(next.recorder.evidence()[0]?.id ?? '')).toBeUndefined();
    next.recorder.tick();
    await eventually(() => next.told('kept').length === 3);
    for (const { id, sha256 } of next.recorder.evidence()) {
      const whole = (await next.recorder.read(id)) ?? '';
      expect(createHash('sha256').update(whole).digest('hex')).toBe(sha256);
      expect(JSON.parse(whole).series.length).toBe(24);
    }
    await next.recorder.stop();
  });

  it('disk that refuses the evidence → nobody is told that it is kept; asked again after a minute', async () => {
    const { folder, recorder, clock, told, tellAll, second } = await hall(1, 2);
    for (let i = 0; i < 200; i++) second();
    tellAll('on');
    await eventually(() => told('begun').length === 1);
    clock.now += 121_000;
    const other = new DatabaseSync(join(folder, 'recorder.db'));
    other.exec('BEGIN IMMEDIATE');
    recorder.tick();
    await eventually(() => recorder.stats().trouble?.includes('could not be kept'), { deadlineMs: 20_000 });
    other.exec('ROLLBACK');
    other.close();
    recorder.tick();
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(told('kept').length).toBe(0);
    expect(recorder.stats().trouble).toContain(
      'evidence of wear.press-0 could not be kept: Error: the disk refused it',
    );
    clock.now += 61_000;
    recorder.tick();
    await eventually(() => told('kept').length === 1);
    expect(recorder.stats().trouble).toBeUndefined();
    await recorder.stop();
  });

  it('maintenance → what is recorded in it trains no model, with two minutes around it', async () => {
    const { folder, recorder, run, clock } = await box();
    run(600);
    clock.maintenance = 'sundays';
    run(300, 9);
    clock.maintenance = undefined;
    run(600);
    await recorder.stop();
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
    await recorder.stop();
  });
});
