import { execFile } from 'node:child_process';
import { cpSync, existsSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, test } from 'vitest';
import { loadDriver } from '../../../agent/adapters/plc/opcua-driver.ts';
import { type PlantOptions, startPlant } from '../../../simulations/plant/plant.ts';
import { pumpSensors } from '../../../simulations/plant/register-map.ts';
import { eventually } from '../../support/eventually.ts';
import { tag } from './collector.ts';
import { opcuaBench, to } from './opcua-bench.ts';

const { inFolder, pki, onEnd, watch } = opcuaBench();

const plantOf = async (options: PlantOptions = {}) => {
  const plant = await startPlant(options);
  onEnd(() => plant.stop());
  return plant;
};

const pump = pumpSensors.map((sensor, i) => tag(i, `ns=1;s=Pump.${sensor.name}`, { everyMs: 1000 }));

/** A recording with one gap, one repeated row and labels. Row k of column c is k + c/10. */
function recording(rows: number, options: { readonly hole?: number; readonly same?: boolean } = {}): string {
  const file = inFolder('recording.csv');
  const names = ['Accelerometer1RMS', 'Accelerometer2RMS', 'Current', 'Pressure'];
  const more = ['Temperature', 'Thermocouple', 'Voltage', 'Volume Flow RateRMS'];
  const lines = [`datetime;${[...names, ...more].join(';')};anomaly;changepoint`];
  for (let k = 0; k < rows; k++) {
    const at = new Date(Date.UTC(2020, 2, 9, 12, 0, k)).toISOString().slice(0, 19).replace('T', ' ');
    const cells = [...names, ...more].map((_name, c) =>
      options.hole === k && c === 3 ? '' : `${(options.same ? 5 : k) + c / 10}`,
    );
    lines.push(`${at};${cells.join(';')};${k > rows / 2 ? '1.0' : '0.0'};0.0`);
  }
  writeFileSync(file, `${lines.join('\n')}\n`);
  return file;
}

// The server comes from the package and the client from its own packing: on a busy machine loading both takes seconds.
beforeAll(async () => void (await loadDriver()));

describe('OPC UA source', () => {
  test('a real server: values of every type, good, with the device’s own time', async () => {
    const plant = await plantOf({ seed: 3 });
    const tags = [
      tag(0, 'ns=1;s=Press.Bearing.RMS'),
      tag(1, 'ns=1;s=Press.State', { type: 'int32' }),
      tag(2, 'ns=1;s=Press.Lockout', { type: 'bool' }),
      tag(3, 'ns=1;s=Press.Oil.Raw', { scale: { rawLo: 0, rawHi: 27_648, lo: 0, hi: 10 }, everyMs: 1000 }),
      tag(4, 'ns=1;s=Press.Strokes', { type: 'uint32', everyMs: 1000 }),
    ];
    const { last, events } = watch(to(plant.opcua), tags, pki());
    await eventually(() => tags.every((entry) => last(entry.signal)?.quality === 'good'), { what: 'all good' });
    expect(events).toEqual(['found']);
    expect(last(0)?.value).toBeGreaterThan(1);
    expect(last(0)?.value).toBeLessThan(4);
    expect(last(1)?.value).toBe(1);
    expect(last(2)?.value).toBe(0);
    expect(last(3)?.value).toBeGreaterThan(4);
    expect(last(3)?.value).toBeLessThan(7);
    expect(Math.abs(Date.now() - last(0)!.sourceTime)).toBeLessThan(5_000);

    plant.setMachine('press', { state: 'estop', lockout: true });
    await eventually(() => last(1)?.value === 3 && last(2)?.value === 1, { what: 'estop and lockout' });
  });

  test('a recording at 200 rows/s: every row of every tag once, with its own value and time, labels nowhere', async () => {
    const rows = 400;
    const plant = await plantOf({ replay: { file: recording(rows), speed: 200 } });
    const label = tag(8, 'ns=1;s=Pump.anomaly', { everyMs: 1000 });
    const { samples, last, source } = watch(to(plant.opcua), [...pump, label], pki());
    await eventually(() => plant.truth().some((entry) => entry.event === 'replay-ended'), {
      deadlineMs: 20_000,
      what: 'the end of the recording',
    });
    await eventually(() => pump.every((entry) => last(entry.signal)?.value === rows - 1 + entry.signal / 10), {
      what: 'the last row',
    });
    for (const entry of pump) {
      const mine = samples.filter((sample) => sample.signal === entry.signal);
      const times = new Map(mine.map((sample) => [sample.sourceTime, sample.value]));
      expect(times.size, entry.address).toBe(rows);
      for (let k = 0; k < rows; k++) {
        expect(times.get(Date.UTC(2020, 2, 9, 12, 0, k) as never)).toBeCloseTo(k + entry.signal / 10, 9);
      }
      // In the recording's order.
      const inOrder = mine.map((sample) => sample.sourceTime);
      expect(inOrder).toEqual([...inOrder].sort((a, b) => a - b));
    }
    expect(source.stats.overflows).toBe(0);
    expect(samples.filter((sample) => sample.signal === 8 && sample.quality === 'good')).toHaveLength(0);
  });

  test('a value that stands still while its time moves → every reading comes all the same', async () => {
    const plant = await plantOf({ replay: { file: recording(60, { same: true }), speed: 60 } });
    const { samples, last } = watch(to(plant.opcua), [pump[0]!], pki());
    await eventually(() => last(0)?.sourceTime === Date.UTC(2020, 2, 9, 12, 0, 59), {
      deadlineMs: 10_000,
      what: 'the last row',
    });
    expect(new Set(samples.map((sample) => sample.sourceTime)).size).toBe(60);
  });

  test('an empty cell → that reading is bad, the next is good', async () => {
    const plant = await plantOf({ replay: { file: recording(40, { hole: 20 }), speed: 40 } });
    const { samples, last } = watch(to(plant.opcua), [pump[3]!], pki());
    await eventually(() => last(3)?.sourceTime === Date.UTC(2020, 2, 9, 12, 0, 39), {
      deadlineMs: 10_000,
      what: 'the last row',
    });
    const at = (k: number) => samples.find((sample) => sample.sourceTime === Date.UTC(2020, 2, 9, 12, 0, k));
    expect(at(20)?.quality).toBe('bad');
    expect(at(20)?.value).toBeNaN();
    expect(at(21)?.quality).toBe('good');
  });

  test('a device that says nothing new → the value is confirmed at its period, with its old source time', async () => {
    const plant = await plantOf({ replay: { file: recording(5), speed: 20, start: 'ordered' } });
    const slow = { ...pump[0]!, everyMs: 200 };
    const { samples, source } = watch(to(plant.opcua), [slow], pki());
    await eventually(() => source.stats.repeats >= 5, { what: 'five confirmations' });
    expect(new Set(samples.map((sample) => sample.sourceTime))).toEqual(new Set([Date.UTC(2020, 2, 9, 12, 0, 0)]));
    expect(samples.every((sample) => sample.quality === 'good')).toBe(true);
    const gaps = samples.slice(1).map((sample, i) => sample.receiveTime - samples[i]!.receiveTime);
    expect(Math.min(...gaps)).toBeGreaterThan(200);
  });

  test('a node that is not there → bad, told again and again; the others are good', async () => {
    const plant = await plantOf();
    const tags = [tag(0, 'ns=1;s=Press.Bearing.RMS'), tag(1, 'ns=1;s=Press.Nowhere')];
    const { samples, last } = watch(to(plant.opcua), tags, pki());
    await eventually(() => samples.filter((sample) => sample.signal === 1).length >= 3, { what: 'three bad ones' });
    expect(samples.filter((sample) => sample.signal === 1 && sample.quality !== 'bad')).toHaveLength(0);
    expect(last(0)?.quality).toBe('good');
  });

  test('no server at the start → lost once; it appears → found; it goes and returns → lost, found', async () => {
    const first = await startPlant();
    const opcuaPort = Number(new URL(first.opcua.replace('opc.tcp', 'http')).port);
    await first.stop();
    const { events, samples, source } = watch(to(first.opcua), [tag(0, 'ns=1;s=Press.Bearing.RMS')], pki());
    await eventually(() => source.stats.failures >= 3, { what: 'three attempts', deadlineMs: 15_000 });
    expect(events).toHaveLength(1);
    expect(events[0]).toContain('ECONNREFUSED');

    const second = await startPlant({ opcuaPort });
    await eventually(() => events[1] === 'found' && samples.length > 3, { what: 'found', deadlineMs: 10_000 });
    await second.stop();
    await eventually(() => events.length === 3, { what: 'lost again', deadlineMs: 10_000 });

    await plantOf({ opcuaPort });
    const before = samples.length;
    await eventually(() => events[3] === 'found' && samples.length > before + 3, { what: 'again', deadlineMs: 10_000 });
    expect(events).toHaveLength(4);
  });

  test('a server that dies without a word (SIGKILL) or falls silent (SIGSTOP) → lost', {
    timeout: 60_000,
  }, async () => {
    const dies = async (signal: 'SIGKILL' | 'SIGSTOP') => {
      const main = join(import.meta.dirname, '../../../simulations/plant/main.ts');
      const child = execFile(process.execPath, [main, '--folder', inFolder(`plant-${signal}`)]);
      onEnd(() => child.kill('SIGKILL'));
      const line = await new Promise<string>((resolve) => child.stdout!.once('data', (data) => resolve(String(data))));
      const { opcua } = JSON.parse(line) as { opcua: string };
      const { events, samples } = watch(to(opcua), [tag(0, 'ns=1;s=Press.Bearing.RMS')], inFolder(signal));
      await eventually(() => samples.length > 5, { what: 'samples', deadlineMs: 10_000 });
      child.kill(signal);
      await eventually(() => events[1], { what: `lost after ${signal}`, deadlineMs: 8_000 });
      // Nothing is confirmed on behalf of a server that is gone.
      const after = samples.length;
      await expect(
        eventually(() => samples.length > after, { deadlineMs: 600, what: 'a sample of a dead server' }),
      ).rejects.toThrow('not within');
    };
    await Promise.all([dies('SIGKILL'), dies('SIGSTOP')]);
  });

  test('a server that marks a value uncertain, and one that floods its queue → uncertain is kept, the overflow counted', async () => {
    const ua = await import('node-opcua');
    const server = new ua.OPCUAServer({
      port: 0,
      host: '127.0.0.1',
      hostname: '127.0.0.1',
      securityModes: [ua.MessageSecurityMode.None],
      securityPolicies: [ua.SecurityPolicy.None],
      serverCertificateManager: new ua.OPCUACertificateManager({
        rootFolder: inFolder('server'),
        disableFileWatchers: true,
      }),
      userCertificateManager: new ua.OPCUACertificateManager({
        rootFolder: inFolder('users'),
        disableFileWatchers: true,
      }),
      serverCapabilities: { minSupportedSampleRate: 0 },
    });
    await server.initialize();
    onEnd(() => server.shutdown(0));
    const space = server.engine.addressSpace!;
    const variable = space.getOwnNamespace().addVariable({
      organizedBy: space.rootFolder.objects,
      browseName: 'Level',
      nodeId: 's=Level',
      dataType: 'Double',
      minimumSamplingInterval: 0,
    });
    const write = (value: number, status: typeof ua.StatusCodes.Good, at: number) =>
      variable.setValueFromSource({ dataType: ua.DataType.Double, value }, status, new Date(at));
    write(1, ua.StatusCodes.UncertainLastUsableValue, 1_000);
    await server.start();
    const { last, samples, source } = watch(to(server.getEndpointUrl()), [tag(0, 'ns=1;s=Level')], pki());
    const first = await eventually(() => last(0), { what: 'a sample' });
    expect(first).toMatchObject({ value: 1, quality: 'uncertain', sourceTime: 1_000 });
    expect(source.stats.overflows).toBe(0);

    for (let n = 2; n < 2_002; n++) write(n, ua.StatusCodes.Good, n * 1_000);
    await eventually(() => source.stats.overflows > 0, { what: 'the overflow' });
    await eventually(() => last(0)?.value === 2_001, { what: 'the newest value' });
    const kept = new Set(samples.map((sample) => sample.sourceTime)).size;
    expect(kept).toBeGreaterThanOrEqual(1_000);
    expect(kept).toBeLessThan(2_000);
  });

  test('garbage on the port → lost with a reason, tried again, no crash', async () => {
    const server = createServer((socket) => {
      socket.on('error', () => {});
      socket.on('data', () => socket.write(Buffer.alloc(256, 0x5a)));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    onEnd(() => server.close());
    const endpoint = `opc.tcp://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const { events, source } = watch(to(endpoint), [tag(0, 'ns=1;s=X')], pki(), { connectMs: 500 });
    await eventually(() => source.stats.failures >= 2, { what: 'two attempts', deadlineMs: 15_000 });
    expect(events).toHaveLength(1);
    expect(events[0]!.length).toBeGreaterThan('lost: '.length);
  });

  test('sign-and-encrypt with user and password: stranger’s certificate refused, trusted one read, wrong password refused', async () => {
    const plantFolder = inFolder('plant');
    const plant = await plantOf({ secure: true, users: { mill: 'right' }, folder: plantFolder });
    writeFileSync(inFolder('secret'), 'right\n');
    writeFileSync(inFolder('wrong'), 'guess\n');
    const connection = (file: string) =>
      to(plant.opcua, {
        security: 'sign-and-encrypt',
        user: 'mill',
        secret: { from: 'file', path: inFolder(file) },
      });
    const tags = [tag(0, 'ns=1;s=Press.Bearing.RMS')];

    const stranger = watch(connection('secret'), tags, pki());
    const refusal = await eventually(() => stranger.events[0], { what: 'the refusal', deadlineMs: 10_000 });
    expect(refusal).toMatch(/certificate/i);
    expect(stranger.samples).toHaveLength(0);
    await stranger.source.stop();

    // What a person does: move the certificate from rejected to trusted.
    const rejected = join(pki(), 'rejected');
    const waiting = existsSync(rejected) ? readdirSync(rejected) : [];
    expect(waiting.length).toBeGreaterThan(0);
    cpSync(rejected, join(pki(), 'trusted', 'certs'), { recursive: true });
    for (const name of waiting) rmSync(join(rejected, name), { recursive: true });

    const friend = watch(connection('secret'), tags, pki());
    await eventually(() => friend.last(0)?.quality === 'good', { what: 'an encrypted sample', deadlineMs: 10_000 });

    const thief = watch(connection('wrong'), tags, pki());
    const reason = await eventually(() => thief.events[0], { what: 'the refusal', deadlineMs: 10_000 });
    expect(reason).toMatch(/lost: /);
    expect(reason).not.toContain('guess');
    expect(thief.samples).toHaveLength(0);
  });
});

test('drivers are lazy: loading the poll runner loads neither node-opcua nor modbus-serial, and polling writes no file in the home folder', async () => {
  const home = inFolder('home');
  const program = `
    import { registerHooks } from 'node:module';
    const seen = [];
    registerHooks({ resolve(specifier, context, next) {
      const found = next(specifier, context);
      if (/node-opcua|modbus-serial/.test(found.url)) seen.push(found.url);
      return found;
    } });
    await import(${JSON.stringify(new URL('../../../agent/adapters/duty-runners/poll.ts', import.meta.url).href)});
    const before = seen.length;
    const { createSource } = await import(${JSON.stringify(new URL('../../../agent/adapters/plc/create-source.ts', import.meta.url).href)});
    const { Random } = await import(${JSON.stringify(new URL('../../../agent/base/random.ts', import.meta.url).href)});
    const { createServer } = await import('node:net');
    const server = createServer((socket) => socket.on('error', () => {}).on('data', () => socket.destroy()));
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    const lost = Promise.withResolvers();
    const source = createSource({
      connection: { kind: 'opcua', endpoint: 'opc.tcp://127.0.0.1:' + server.address().port, security: 'none' },
      tags: [], clock: { now: () => performance.now(), wall: () => Date.now() }, random: new Random(1),
      pki: ${JSON.stringify(inFolder('pki'))},
      handlers: { onSample() {}, onFound() {}, onLost: lost.resolve },
    });
    source.start();
    await lost.promise;
    await source.stop();
    console.log(JSON.stringify({ before, after: seen.length }));
    process.exit(0);
  `;
  const run = promisify(execFile);
  const { stdout } = await run(process.execPath, ['--input-type=module', '-e', program], {
    env: { ...process.env, HOME: home, XDG_CONFIG_HOME: join(home, '.config') },
    timeout: 20_000,
  });
  const { before, after } = JSON.parse(stdout) as { before: number; after: number };
  expect(before).toBe(0);
  // The control: the hook does see the driver when it is loaded.
  expect(after).toBeGreaterThan(0);
  expect(existsSync(home)).toBe(false);
});
