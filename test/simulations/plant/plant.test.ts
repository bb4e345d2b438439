import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type PlantOptions, startPlant } from '../../../simulations/plant/plant.ts';
import {
  compressorRegisters,
  conveyorRegisters,
  nodeId,
  pressTags,
  pumpSensors,
} from '../../../simulations/plant/register-map.ts';
import { eventually } from '../../support/eventually.ts';

const main = join(import.meta.dirname, '../../../simulations/plant/main.ts');
const undo: (() => Promise<unknown> | unknown)[] = [];
let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'millwright-test-'));
  undo.push(() => rmSync(folder, { recursive: true, force: true }));
});
afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step();
});

const plantOf = async (options: PlantOptions = {}) => {
  const plant = await startPlant({ folder: join(folder, 'plant'), ...options });
  undo.push(() => plant.stop());
  const call = async (method: string, path: string, body?: unknown, token = plant.control.token) => {
    const response = await fetch(`${plant.control.url}${path}`, {
      method,
      headers: { authorization: `Bearer ${token}` },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    return { status: response.status, body: (await response.json()) as never };
  };
  return { plant, call };
};

interface Status {
  readonly machines: Record<string, { state: string; lockout: boolean }>;
  readonly faults: { name: string; on: boolean; level: number }[];
  readonly replay?: { state: string; row: number };
}

describe('control face', () => {
  test('a fault switched on → truth says so, and when the limit is crossed; off → said as well, in the file too', async () => {
    const { plant, call } = await plantOf();
    const on = await call('POST', '/v1/faults/press-bearing-wear', { on: true });
    expect(on.status).toBe(200);
    const crossed = await eventually(() => plant.truth().find((entry) => entry.event === 'limit-crossed'), {
      what: 'the limit',
      deadlineMs: 10_000,
    });
    expect(crossed['value']).toBeGreaterThan(7.1);
    const status = (await call('GET', '/v1/status')).body as Status;
    expect(status.faults.find((fault) => fault.name === 'press-bearing-wear')).toMatchObject({ on: true });
    await call('POST', '/v1/faults/press-bearing-wear', { on: false });
    const truth = (await call('GET', '/v1/truth?since=1')).body as { event: string; seq: number }[];
    expect(truth.map((entry) => entry.event)).toEqual(['fault-on', 'limit-crossed', 'fault-off']);
    const lines = readFileSync(plant.truthFile, 'utf8').trim().split('\n');
    expect(lines.slice(1).map((line) => JSON.parse(line).event)).toEqual(truth.map((entry) => entry.event));
  });

  test('no token, a wrong one, an unknown fault, bad bodies → refused, and nothing changes', async () => {
    const { plant, call } = await plantOf();
    expect((await call('GET', '/v1/status', undefined, 'guess')).status).toBe(401);
    expect((await fetch(`${plant.control.url}/v1/status`)).status).toBe(401);
    expect((await call('POST', '/v1/faults/press-melts', { on: true })).status).toBe(400);
    expect((await call('POST', '/v1/faults/press-bearing-wear', { on: 'yes' })).status).toBe(400);
    expect((await call('POST', '/v1/faults/press-bearing-wear', { on: true, severity: 7 })).status).toBe(400);
    expect((await call('POST', '/v1/faults/press-bearing-wear', '{')).status).toBe(400);
    expect((await call('POST', '/v1/machines/press', { state: 'asleep' })).status).toBe(400);
    expect((await call('POST', '/v1/machines/constructor', { state: 'stopped' })).status).toBe(400);
    expect((await call('POST', '/v1/replay/start')).status).toBe(400);
    expect((await call('GET', '/v1/else')).status).toBe(404);
    expect((await call('POST', '/v1/faults/press-bearing-wear', 'x'.repeat(20_000))).status).toBe(413);
    const status = (await call('GET', '/v1/status')).body as Status;
    expect(status.faults.every((fault) => !fault.on)).toBe(true);
    expect(plant.truth()).toHaveLength(1);
  });

  test('machine state and lockout → set and shown', async () => {
    const { call } = await plantOf();
    const answer = await call('POST', '/v1/machines/press', { state: 'changeover', lockout: true });
    expect((answer.body as Status).machines['press']).toEqual({ state: 'changeover', lockout: true });
  });

  test('an ordered replay → waits, plays, ends, each in the truth log with the recording’s labels', async () => {
    const file = join(folder, 'run.csv');
    const rows = Array.from({ length: 20 }, (_unused, k) => `2020-03-09 12:00:${10 + k};1;${k < 10 ? 0 : 1}`);
    writeFileSync(file, ['datetime;Pressure;anomaly', ...rows].join('\n'));
    const { plant, call } = await plantOf({ replay: { file, speed: 100, start: 'ordered' } });
    expect(((await call('GET', '/v1/status')).body as Status).replay).toMatchObject({ state: 'waiting', row: 0 });
    await call('POST', '/v1/replay/start');
    await eventually(() => plant.truth().some((entry) => entry.event === 'replay-ended'), { what: 'the end' });
    expect(((await call('GET', '/v1/status')).body as Status).replay).toMatchObject({ state: 'ended', row: 19 });
    expect(plant.truth().map((entry) => entry.event)).toEqual([
      'plant-started',
      'replay-started',
      'label-changed',
      'replay-ended',
    ]);
    expect(plant.truth()[2]).toMatchObject({ label: 'anomaly', value: '1', row: 10 });
  });
});

describe('plant process', () => {
  function launch(args: readonly string[]) {
    const home = join(folder, 'home');
    const temp = join(folder, 'temp');
    const child: ChildProcess = spawn(process.execPath, [main, ...args], {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { ...process.env, HOME: home, XDG_CONFIG_HOME: join(home, '.config'), PLANT_TOKEN: 'from-the-starter' },
    });
    undo.push(() => child.kill('SIGKILL'));
    let out = '';
    let error = '';
    child.stdout!.on('data', (data) => {
      out += data;
    });
    child.stderr!.on('data', (data) => {
      error += data;
    });
    const ready = () =>
      eventually(() => out.includes('\n') && JSON.parse(out.split('\n')[0]!), { what: 'ready', deadlineMs: 15_000 });
    const exited = () =>
      eventually(() => child.exitCode !== null || child.signalCode !== null, { what: 'exit', deadlineMs: 10_000 });
    return { child, home, temp, ready, exited, out: () => out, error: () => error };
  }

  test('ready → exactly one JSON line; standard input closes → it ends, its temporary folder is gone, the home untouched', async () => {
    const { child, home, ready, exited, out, error } = launch(['--until-stdin-closes']);
    const line = await ready();
    expect(line).toMatchObject({ ready: true, pid: child.pid, control: { token: 'from-the-starter' } });
    expect(line.opcua).toMatch(/^opc\.tcp:\/\/127\.0\.0\.1:\d+$/);
    expect(line.modbus.port).toBeGreaterThan(0);
    const own = dirname(line.truth);
    expect(existsSync(own)).toBe(true);
    child.stdin!.end();
    await exited();
    expect(child.exitCode).toBe(0);
    expect(existsSync(own)).toBe(false);
    expect(existsSync(home)).toBe(false);
    expect(out().trim().split('\n')).toHaveLength(1);
    expect(error()).toBe('');
  });

  test('its starter is killed with SIGKILL → it ends by itself', async () => {
    const starter = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)']);
    const { ready, exited } = launch(['--parent-pid', String(starter.pid)]);
    await ready();
    starter.kill('SIGKILL');
    await exited();
  });

  test('SIGTERM → ends with 0', async () => {
    const { child, ready, exited } = launch([]);
    await ready();
    child.kill('SIGTERM');
    await exited();
    expect(child.exitCode).toBe(0);
  });

  test.each([
    ['a recording that is not there', ['--replay', '/nowhere.csv'], /nowhere\.csv/],
    ['a file that is no recording', ['--replay', main], /main\.ts/],
    ['a speed that is none', ['--replay', main, '--speed', 'fast'], /replay speed NaN/],
  ])('%s → one line on standard error, exit 1', async (_name, args, message) => {
    const { child, exited, out, error } = launch(args);
    await exited();
    expect(child.exitCode).toBe(1);
    expect(out()).toBe('');
    expect(error()).toMatch(message);
    expect(error().trim().split('\n')).toHaveLength(1);
  });
});

test('register map: addresses are unique, and 32-bit registers do not overlap', () => {
  const ids = [...pumpSensors.map((t) => nodeId('Pump', t.name)), ...pressTags.map((t) => nodeId('Press', t.name))];
  expect(new Set(ids).size).toBe(ids.length);
  const cells = [...conveyorRegisters, ...compressorRegisters].flatMap((register) => {
    const wide = register.type === 'float32' || register.type === 'uint32';
    return wide
      ? [register.offset, register.offset + 1].map((o) => `${register.table}${o}`)
      : [`${register.table}${register.offset}`];
  });
  expect(new Set(cells).size).toBe(cells.length);
});
