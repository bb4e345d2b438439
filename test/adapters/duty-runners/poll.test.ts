import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createPollRunner, mayBeOurs, type PollRunnerOptions } from '../../../agent/adapters/duty-runners/poll.ts';
import type { PlcSource, SourceHandlers } from '../../../agent/adapters/plc/source.ts';
import { entryId } from '../../../agent/base/ids.ts';
import { Random } from '../../../agent/base/random.ts';
import { instant, wallTime } from '../../../agent/base/time.ts';
import type { Checkpoint, DutySpec } from '../../../agent/core/duties/duty.ts';
import { DerivedSignals } from '../../../agent/core/health/derived-signals.ts';
import type { Sample, SignalSpec } from '../../../agent/core/health/signal.ts';
import type { Input } from '../../../agent/core/input.ts';
import type { ReadingsReport } from '../../../agent/core/reporting/report.ts';
import type { Connection, Tag } from '../../../agent/driver/bindings.ts';
import { type PlantOptions, startPlant } from '../../../simulations/plant/plant.ts';
import { conveyorRegisters, pumpSensors } from '../../../simulations/plant/register-map.ts';
import { eventually } from '../../support/eventually.ts';
import { clock, tag } from '../plc/collector.ts';

const undo: (() => Promise<unknown> | unknown)[] = [];
let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'millwright-poll-'));
  undo.push(() => rmSync(folder, { recursive: true, force: true }));
});
afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step();
});

const duty: DutySpec = {
  index: 4,
  id: entryId('conveyor/poll'),
  thing: 0,
  work: { kind: 'poll', source: 0 },
  eligible: [0, 1],
  exclusive: false,
  critical: false,
  refusedBecause: new Map(),
  weight: new Map(),
};

interface Effect {
  readonly duty: string;
  readonly agent: string;
  readonly term: number;
  readonly from: string;
  readonly to: string;
  readonly samples: number;
  readonly lost?: string;
  readonly resumedFrom?: string;
}

/** A runner whose words are kept. */
function runnerFor(connection: Connection, tags: readonly Tag[], more: Partial<PollRunnerOptions> = {}) {
  const inputs: Input[] = [];
  const readings: ReadingsReport[] = [];
  const effects: Effect[] = [];
  const tapped: Sample[] = [];
  const quiet = () => {};
  const runner = createPollRunner({
    site: { connections: new Map([[0, connection]]), tags: new Map(tags.map((entry) => [entry.signal, entry])) },
    deliver: (input) => inputs.push(input),
    onSample: (sample) => tapped.push(sample),
    report: (report) => readings.push(report) > 0,
    clock,
    random: new Random(5),
    pki: join(folder, 'pki'),
    log: { debug: quiet, info: quiet, warn: quiet, error: quiet },
    effectLog: { append: (record) => effects.push(record as unknown as Effect) },
    agent: 'edge-1',
    boot: 'b1',
    timing: { flushMs: 100, checkpointMs: 50 },
    ...more,
  });
  undo.push(() => runner.stopAll());
  const kinds = () => inputs.map((input) => input.kind).filter((kind) => kind !== 'sample-received');
  const checkpoint = (): Checkpoint | undefined => {
    const input = inputs.findLast((entry) => entry.kind === 'checkpoint-taken');
    return input && { duty: 4, term: 1, sequence: 1, takenAt: clock.wall(), data: input.data };
  };
  return { runner, inputs, readings, effects, tapped, kinds, checkpoint };
}

const plantOf = async (options: PlantOptions = {}) => {
  const plant = await startPlant(options);
  undo.push(() => plant.stop());
  return plant;
};
const modbus = (port: number): Connection => ({ kind: 'modbus', host: '127.0.0.1', port, unit: 1, order: 'abcd' });
const read = (signal: number) => ({ op: 'signal', signal, factor: 1, offset: 0 }) as const;
const conveyor = conveyorRegisters.map((register, i) => tag(i, register.address, { type: register.type, everyMs: 50 }));

describe('poll runner on real devices', () => {
  test('started → duty-started once, samples into core and tap, readings in the outbox without doubles, checkpoints', async () => {
    const plant = await plantOf();
    const { runner, inputs, readings, tapped, kinds, checkpoint } = runnerFor(modbus(plant.modbus.port), conveyor);
    runner.start(duty, 1, undefined);
    await eventually(() => readings.length >= conveyor.length * 3 && checkpoint(), { what: 'readings and checkpoint' });
    await runner.stop(4);

    expect(kinds().filter((kind) => kind === 'duty-started')).toHaveLength(1);
    expect(kinds()[0]).toBe('duty-started');
    const samples = inputs.filter((input) => input.kind === 'sample-received').map((input) => input.sample);
    expect(tapped).toEqual(samples);
    const rows = readings.filter((report) => report.tag === 'thing/t3').flatMap((report) => [...report.rows]);
    expect(rows.length).toBe(new Set(rows.map(([time]) => time)).size);
    expect(rows.length).toBe(samples.filter((sample) => sample.signal === 3).length);
    const saved = JSON.parse(new TextDecoder().decode(checkpoint()!.data)) as { tags: Record<string, number> };
    expect(saved.tags['thing/t3']).toBe(rows.at(-1)![0]);
  });

  test('derived signals → reach core, tap and outbox under their own name, over a real device', async () => {
    const plant = await plantOf();
    const signal = (index: number): SignalSpec => ({
      index,
      id: entryId(`thing/t${index}`),
      thing: 0,
      unit: undefined,
      duty: 4,
      everyMs: 50,
      freshMs: 5_000,
      acceptUncertain: false,
      states: undefined,
    });
    const twice = { op: 'arithmetic', by: '+', left: read(3), right: read(3) } as const;
    const derived = new DerivedSignals([
      ...conveyor.map((entry) => signal(entry.signal)),
      {
        ...signal(conveyor.length),
        id: entryId('thing/twice'),
        unit: 'K',
        derived: { formula: twice, over: undefined, inputs: [3] },
      },
    ]);
    const { runner, readings, tapped } = runnerFor(modbus(plant.modbus.port), conveyor, { derived });
    runner.start(duty, 1, undefined);
    await eventually(() => readings.some((report) => report.tag === 'thing/twice'), { what: 'derived readings' });
    await runner.stop(4);
    const raw = tapped.filter((sample) => sample.signal === 3);
    const made = tapped.filter((sample) => sample.signal === conveyor.length);
    expect(made.length).toBeGreaterThan(0);
    for (const sample of made) {
      expect(raw.find(({ sourceTime }) => sourceTime === sample.sourceTime)?.value).toBe(sample.value / 2);
    }
    expect(readings.find((report) => report.tag === 'thing/twice')?.unit).toBe('K');
  });

  test('several machines → the others are read along, and told only in what is made of them', async () => {
    const [one, other] = [await plantOf(), await plantOf()];
    const far = tag(90, conveyorRegisters[3]!.address, { type: conveyorRegisters[3]!.type, everyMs: 50, source: 1 });
    const spec = (index: number, duty: number): SignalSpec => ({
      index,
      id: entryId(`thing/t${index}`),
      thing: 0,
      unit: undefined,
      duty,
      everyMs: 50,
      freshMs: 5_000,
      acceptUncertain: false,
      states: undefined,
    });
    const sum = { op: 'arithmetic', by: '+', left: read(3), right: read(90) } as const;
    const specs = Array.from({ length: 92 }, (_, index) => spec(index, index === 90 ? 5 : 4));
    specs[91] = {
      ...spec(91, 4),
      id: entryId('thing/sum'),
      derived: { formula: sum, over: undefined, inputs: [3, 90] },
    };
    const tags = [...conveyor, far];
    const { runner, readings, tapped } = runnerFor(modbus(one.modbus.port), tags, {
      derived: new DerivedSignals(specs),
      site: {
        connections: new Map([
          [0, modbus(one.modbus.port)],
          [1, modbus(other.modbus.port)],
        ]),
        tags: new Map(tags.map((entry) => [entry.signal, entry])),
        alongside: new Map([[4, [90]]]),
      },
    });
    runner.start(duty, 1, undefined);
    await eventually(() => readings.some((report) => report.tag === 'thing/sum'), { what: 'the sum of both' });
    await runner.stop(4);
    const good = tapped.filter((sample) => sample.signal === 91 && sample.quality === 'good');
    expect(good.length).toBeGreaterThan(0);
    const values = (index: number) =>
      new Set(tapped.filter(({ signal }) => signal === index).map(({ value }) => value));
    const sums = new Set([...values(3)].flatMap((a) => [...values(90)].map((b) => a + b)));
    for (const sample of good) expect(sums.has(sample.value)).toBe(true);
    expect(readings.some((report) => report.tag === far.name)).toBe(false);
  });

  test('the effect log → intervals join without a hole, and after stop nothing is written or said', async () => {
    const plant = await plantOf();
    const { runner, inputs, effects } = runnerFor(modbus(plant.modbus.port), conveyor);
    runner.start(duty, 3, undefined);
    await eventually(() => effects.length >= 5, { what: 'five intervals' });
    await runner.stop(4);
    const [words, records] = [inputs.length, effects.length];
    for (let i = 1; i < effects.length; i++) expect(effects[i]!.from).toBe(effects[i - 1]!.to);
    expect(effects[0]).toMatchObject({ duty: 'conveyor/poll', agent: 'edge-1', boot: 'b1', term: 3 });
    expect(effects.slice(1, -1).every((record) => record.samples > 0)).toBe(true);
    await expect(
      eventually(() => inputs.length > words || effects.length > records, { deadlineMs: 300 }),
    ).rejects.toThrow();
  });

  test('the device goes and returns → source-lost, source-found, the duty stays; the log shows the outage as one', async () => {
    const plant = await startPlant();
    const { runner, inputs, effects, kinds } = runnerFor(modbus(plant.modbus.port), conveyor);
    runner.start(duty, 1, undefined);
    await eventually(() => effects.length >= 2, { what: 'intervals' });
    await plant.stop();
    await eventually(() => kinds().includes('source-lost'), { what: 'lost' });
    await plantOf({ modbusPort: plant.modbus.port });
    await eventually(() => kinds().includes('source-found'), { what: 'found', deadlineMs: 10_000 });
    const before = effects.length;
    await eventually(() => effects.length > before + 2 && effects.at(-1)!.lost === undefined, { what: 'goes on' });
    expect(kinds()).not.toContain('duty-failed');
    expect(kinds().filter((kind) => kind === 'duty-started')).toHaveLength(1);
    const lost = inputs.find((input) => input.kind === 'source-lost');
    expect(lost).toMatchObject({ duty: 4 });
    expect(effects.some((record) => record.lost !== undefined && record.samples === 0)).toBe(true);
  });

  test('takeover during a recording → the successor goes on from the checkpoint, and only the outage is missing', async () => {
    const rows = 400;
    const file = join(folder, 'run.csv');
    const header = `datetime,${pumpSensors.map((sensor) => sensor.name).join(',')}`;
    const lines = Array.from({ length: rows }, (_unused, k) => {
      const at = new Date(Date.UTC(2020, 2, 9, 12, 0, k)).toISOString();
      return `${at},${pumpSensors.map((_sensor, c) => k + c / 10).join(',')}`;
    });
    writeFileSync(file, [header, ...lines].join('\n'));
    const plant = await plantOf({ replay: { file, speed: 100 } });
    const tags = pumpSensors.map((sensor, i) => tag(i, `ns=1;s=Pump.${sensor.name}`, { everyMs: 1000 }));
    const connection: Connection = {
      kind: 'opcua',
      endpoint: plant.opcua,
      security: 'none',
      user: undefined,
      secret: undefined,
    };
    const first = runnerFor(connection, tags);
    first.runner.start(duty, 1, undefined);
    const rowsOf = (run: typeof first) =>
      new Set(
        run.readings.filter((report) => report.tag === 'thing/t0').flatMap((report) => report.rows.map(([t]) => t)),
      );
    await eventually(() => rowsOf(first).size > 80, { what: '80 rows', deadlineMs: 10_000 });
    const handed = first.checkpoint()!;
    await first.runner.stop(4);
    const second = runnerFor(connection, tags, { agent: 'edge-2', boot: 'b2' });
    second.runner.start(duty, 2, handed);
    await eventually(() => plant.truth().some((entry) => entry.event === 'replay-ended'), {
      deadlineMs: 20_000,
      what: 'the end',
    });
    const end = Date.UTC(2020, 2, 9, 12, 0, rows - 1);
    await eventually(() => rowsOf(second).has(end), { what: 'the last row' });
    await second.runner.stop(4);

    const a = [...rowsOf(first)].sort((x, y) => x - y);
    const b = [...rowsOf(second)].sort((x, y) => x - y);
    expect(a).toEqual(a.map((_t, i) => a[0]! + i * 1000));
    expect(b).toEqual(b.map((_t, i) => b[0]! + i * 1000));
    expect(b.at(-1)).toBe(end);
    const resumed = second.effects[0]!.resumedFrom!;
    expect(Date.parse(resumed)).toBeGreaterThanOrEqual(Date.UTC(2020, 2, 9, 12, 0, 30));
    expect(Date.parse(resumed)).toBeLessThanOrEqual(a.at(-1)!);
    expect(second.effects[0]).toMatchObject({ agent: 'edge-2', term: 2 });
  });

  test('bytes that are no checkpoint → begun as if there were none', async () => {
    const plant = await plantOf();
    const { runner, effects } = runnerFor(modbus(plant.modbus.port), conveyor);
    for (const bytes of [new Uint8Array([0xff, 0xfe]), new TextEncoder().encode('{"v":1,"at":"x","last":1e99}')]) {
      effects.length = 0;
      runner.start(duty, 1, { duty: 4, term: 1, sequence: 1, takenAt: clock.wall(), data: bytes });
      await eventually(() => effects.length > 0, { what: 'an interval' });
      expect(effects[0]!.resumedFrom).toBeUndefined();
      await runner.stop(4);
    }
  });

  test('nothing listens on the device’s port → the duty is carried and the source lost, it does not wander', async () => {
    const plant = await startPlant();
    await plant.stop();
    const { runner, kinds } = runnerFor(modbus(plant.modbus.port), conveyor, {
      timing: { flushMs: 100, checkpointMs: 50, patienceMs: 100 },
    });
    runner.start(duty, 1, undefined);
    await eventually(() => runner.stats().get(4)!.failures >= 3, { what: 'three attempts', deadlineMs: 10_000 });
    expect(kinds()).toEqual(['source-lost', 'duty-started']);
  });
});

// The way to a device cannot be cut on a loopback; here the source is played by hand.
describe('poll runner, whose box may be the one cut off', () => {
  function byHand(timing: PollRunnerOptions['timing'], eligible: readonly number[] = [0, 1]) {
    let handlers: SourceHandlers | undefined;
    let stopped = 0;
    const source = {
      start() {},
      async stop() {
        stopped++;
      },
      stats: { samples: 0, repeats: 0, connects: 0, failures: 0, lastFailure: undefined, overflows: 0, refusals: 0 },
    } satisfies PlcSource;
    const kept = runnerFor(modbus(1), conveyor, {
      timing: { flushMs: 50, checkpointMs: 50, ...timing },
      open: (options) => {
        handlers = options.handlers;
        return source;
      },
    });
    const mine = { ...duty, eligible };
    return { ...kept, mine, source: () => handlers!, stopped: () => stopped };
  }
  const cut = 'connect EHOSTUNREACH 10.0.0.9:502';

  test('no way to the device for longer than patience → duty-failed, once; the next time the duty stays', async () => {
    const { runner, mine, source, kinds, stopped } = byHand({ patienceMs: 60 });
    runner.start(mine, 1, undefined);
    source().onLost(cut);
    await eventually(() => kinds().includes('duty-failed'), { what: 'passed on' });
    expect(kinds()).toEqual(['source-lost', 'duty-failed']);
    expect(stopped()).toBe(1);
    runner.start(mine, 2, undefined);
    source().onLost(cut);
    expect(kinds().slice(2)).toEqual(['source-lost', 'duty-started']);
    await expect(eventually(() => kinds().length > 4, { deadlineMs: 300 })).rejects.toThrow();
  });

  test('the only box that may poll it → never passed on', async () => {
    const { runner, mine, source, kinds } = byHand({ patienceMs: 40 }, [0]);
    runner.start(mine, 1, undefined);
    source().onLost(cut);
    await eventually(() => kinds().includes('duty-started'), { what: 'started' });
    expect(kinds()).toEqual(['source-lost', 'duty-started']);
  });

  test('the way breaks in the middle of the work → passed on after patience; a short break is not', async () => {
    const { runner, mine, source, kinds } = byHand({ patienceMs: 150 });
    runner.start(mine, 1, undefined);
    source().onFound();
    source().onLost(cut);
    source().onFound();
    await expect(eventually(() => kinds().includes('duty-failed'), { deadlineMs: 400 })).rejects.toThrow();
    source().onLost(cut);
    await eventually(() => kinds().includes('duty-failed'), { what: 'passed on' });
  });

  test('a confirmed value → goes to the core again, and into the readings once', async () => {
    const { runner, mine, source, readings, tapped } = byHand({});
    runner.start(mine, 1, undefined);
    source().onFound();
    const sample: Sample = {
      signal: 3,
      value: 5,
      quality: 'good',
      sourceTime: wallTime(1_000),
      receiveTime: instant(1),
    };
    for (let i = 0; i < 3; i++) source().onSample({ ...sample, receiveTime: instant(i) });
    source().onSample({ ...sample, value: Number.NaN, quality: 'bad' });
    await runner.stop(4);
    expect(tapped).toHaveLength(4);
    expect(readings.flatMap((report) => report.rows)).toEqual([
      [1_000, 5, 0],
      [1_000, null, 2],
    ]);
  });

  test('a fast tag → reports of at most 200 rows', async () => {
    const { runner, mine, source, readings } = byHand({ flushMs: 60_000 });
    runner.start(mine, 1, undefined);
    source().onFound();
    for (let i = 0; i < 450; i++) {
      source().onSample({ signal: 3, value: i, quality: 'good', sourceTime: wallTime(i), receiveTime: instant(i) });
    }
    await runner.stop(4);
    expect(readings.map((report) => report.rows.length)).toEqual([200, 200, 50]);
  });
});

test.each([
  ['connect ECONNREFUSED 10.0.0.9:502', false],
  ['Modbus exception 4: Slave device failure', false],
  ['the server ended the session: BadSessionClosed', false],
  ['connect EHOSTUNREACH 10.0.0.9:502', true],
  ['connect ENETUNREACH 10.0.0.9', true],
  ['10.0.0.9:4840: no connection within 5000 ms', true],
  ['ENOTFOUND: getaddrinfo ENOTFOUND plc', true],
  ['secret env:PLC is not set', true],
])('reason "%s" → another box may fare better: %s', (reason, expected) => {
  expect(mayBeOurs(reason)).toBe(expected);
});
