import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { loadDriver } from '../../../agent/adapters/plc/opcua-driver.ts';
import type { DutyIndex, EntryId, SignalIndex, ThingIndex } from '../../../agent/base/ids.ts';
import { SignalState } from '../../../agent/core/health/signal-state.ts';
import { openOpcUaFace } from '../../../simulations/plant/opcua-face.ts';
import { eventually } from '../../support/eventually.ts';
import { type Collected, clock, tag } from './collector.ts';
import { opcuaBench, to } from './opcua-bench.ts';

const { inFolder, pki, onEnd, watch } = opcuaBench();

// The server comes from the package and the client from its own packing: on a busy machine loading both takes seconds.
beforeAll(async () => void (await Promise.all([loadDriver(), import('node-opcua')])));

const level = tag(0, 'ns=1;s=Tank.Level', { everyMs: 100 });

/** A real server with one value that moves all the time, whose words may be made late. */
async function tank() {
  let delayMs = 0;
  const face = await openOpcUaFace({
    host: '127.0.0.1',
    port: 0,
    folder: inFolder('server'),
    secure: false,
    users: new Map(),
    machines: { Tank: [{ name: 'Level', type: 'Double', unit: 'mm', everyMs: 50, about: 'level' }] },
    delayMs: () => delayMs,
    onMonitored: () => {},
  });
  onEnd(() => face.stop());
  let moved = 0;
  const moving = setInterval(() => face.write('Tank', 'Level', moved++, new Date()), 50);
  onEnd(() => clearInterval(moving));
  return {
    endpoint: face.endpoint,
    late: (ms: number) => {
      delayMs = ms;
    },
  };
}

/** What the health of the agent makes of the samples, for a signal that is stale after so long. */
function judge(collected: Collected, freshMs: number) {
  const spec = {
    index: 0 as SignalIndex,
    id: 'tank/level' as EntryId,
    thing: 0 as ThingIndex,
    unit: 'mm',
    duty: 0 as DutyIndex,
    everyMs: 100,
    freshMs,
    acceptUncertain: false,
    states: undefined,
  };
  return (): string => {
    const state = new SignalState([spec]);
    const sample = collected.last(0);
    if (sample !== undefined) state.receive(sample);
    return state.blind(clock.now(), 0 as SignalIndex) ?? 'fresh';
  };
}

const age = ({ last }: Collected): number => clock.now() - (last(0)?.receiveTime ?? Number.NEGATIVE_INFINITY);

async function during<T>(ms: number, look: () => T): Promise<T[]> {
  const seen: T[] = [];
  for (const until = performance.now() + ms; performance.now() < until; ) {
    seen.push(look());
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  return seen;
}

test('a server that says everything 700 ms late → stale while it does, fresh when it is prompt again', async () => {
  const { endpoint, late } = await tank();
  const collected = watch(to(endpoint), [level], pki());
  const verdict = judge(collected, 500);
  await eventually(() => verdict() === 'fresh' && age(collected) < 250, { what: 'a fresh value' });

  late(700);
  await eventually(() => age(collected) > 690, { what: 'that it shows' });
  const before = collected.samples.length;
  const verdicts = await during(1_000, verdict);
  // Values come, and go on coming, with their own times: they are only old.
  expect(collected.samples.length).toBeGreaterThan(before + 10);
  expect(collected.last(0)?.quality).toBe('good');
  expect(verdicts.filter((one) => !/^stale [01]\.\d s$/.test(one))).toEqual([]);

  late(0);
  await eventually(() => verdict() === 'fresh' && age(collected) < 250, { what: 'a fresh value again' });
  const times = collected.samples.map(({ receiveTime }) => receiveTime);
  expect(times).toEqual([...times].sort((a, b) => a - b));
});

test('a server that stands still once for 600 ms → nothing is held old for longer than that', async () => {
  const { endpoint, late } = await tank();
  const collected = watch(to(endpoint), [level], pki());
  const verdict = judge(collected, 500);
  await eventually(() => verdict() === 'fresh' && age(collected) < 250, { what: 'a fresh value' });
  const lasts = 600;
  late(lasts);
  setTimeout(() => late(0), lasts);
  const begun = performance.now();
  const seen = await during(lasts + 1_400, () => ({ at: performance.now() - begun, is: verdict() }));
  const stale = seen.filter(({ is }) => is !== 'fresh').map(({ at }) => at);
  expect((stale.at(-1) ?? 0) - (stale[0] ?? 0)).toBeLessThan(lasts);
  // Two publishings, and the breath of a busy machine.
  expect(stale.at(-1) ?? 0).toBeLessThan(lasts + 600);
});

test('a server that is later and later, until it answers later than we wait → lost, and said', async () => {
  const { endpoint, late } = await tank();
  const collected = watch(to(endpoint), [level], pki(), { connectMs: 1_500 });
  await eventually(() => age(collected) < 250, { what: 'a fresh value' });
  // By and by: the same silence at once would be a broken connection.
  late(800);
  await eventually(() => age(collected) > 790, { what: 'old values' });
  late(1_700);
  await eventually(() => collected.events.includes('found') && collected.events.at(-1)?.startsWith('lost: '), {
    what: 'the loss',
  });
  expect(collected.events.at(-1)).toBe('lost: the server answers too late: no answer within 1500 ms');
  expect(age(collected)).toBeGreaterThan(1_400);
});

test('a server whose clock is an hour behind, but which is prompt → fresh, with its own stamps', async () => {
  const hour = 3_600_000;
  // Only the present is moved: stamps that the server is given stay what they are.
  const clockOff = `const now = Date.now; globalThis.Date = new Proxy(Date, {
    construct: (of, args) => (args.length > 0 ? Reflect.construct(of, args) : new of(now() - ${hour})),
    get: (of, key) => (key === 'now' ? () => now() - ${hour} : Reflect.get(of, key)),
  });`;
  const main = join(import.meta.dirname, '../../../simulations/plant/main.ts');
  const preload = `data:text/javascript,${encodeURIComponent(clockOff)}`;
  const child = execFile(process.execPath, ['--import', preload, main, '--folder', inFolder('plant')]);
  onEnd(() => child.kill('SIGKILL'));
  const line = await new Promise<string>((resolve) => child.stdout!.once('data', (data) => resolve(String(data))));
  const { opcua } = JSON.parse(line) as { opcua: string };
  const collected = watch(to(opcua), [tag(0, 'ns=1;s=Press.Bearing.RMS')], pki());
  const verdict = judge(collected, 1_000);
  await eventually(() => verdict() === 'fresh', { deadlineMs: 10_000, what: 'a fresh value' });
  const verdicts = await during(1_000, verdict);
  expect(verdicts.filter((one) => one !== 'fresh')).toEqual([]);
  expect(Math.abs(collected.last(0)!.sourceTime - Date.now() + hour)).toBeLessThan(10_000);
}, 20_000);
