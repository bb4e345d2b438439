import { randomBytes } from 'node:crypto';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { ServerTCP } from 'modbus-serial';
import { afterEach, describe, expect, test } from 'vitest';
import type { Connection } from '../../../agent/driver/bindings.ts';
import { openModbusFace } from '../../../simulations/plant/modbus-face.ts';
import { conveyorRegisters } from '../../../simulations/plant/register-map.ts';
import { eventually } from '../../support/eventually.ts';
import { openRoughLine } from '../../support/rough-line.ts';
import { type Collected, collect, tag } from './collector.ts';

const undo: (() => Promise<unknown> | unknown)[] = [];
afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step();
});

const to = (port: number, more: Partial<Extract<Connection, { kind: 'modbus' }>> = {}): Connection => ({
  kind: 'modbus',
  host: '127.0.0.1',
  port,
  unit: 1,
  order: 'abcd',
  ...more,
});

const watch = (...args: Parameters<typeof collect>): Collected => {
  const collected = collect(...args);
  undo.push(() => collected.source.stop());
  return collected;
};

/** A conveyor's face with settled values. */
async function face(port = 0) {
  const server = await openModbusFace({ host: '127.0.0.1', port, unit: 1, registers: conveyorRegisters });
  undo.push(() => server.stop());
  server.write('speed', 0.5);
  server.write('current', 2.25);
  server.write('temperature', 355);
  server.write('load', 13_824);
  server.write('parts', 70_001);
  server.write('state', 1);
  server.write('running', 1);
  return server;
}

const conveyorTags = conveyorRegisters.map((register, i) =>
  tag(i, register.address, {
    type: register.type,
    scale:
      register.name === 'load'
        ? { rawLo: 0, rawHi: 27_648, lo: 0, hi: 100 }
        : register.name === 'temperature'
          ? { rawLo: 0, rawHi: 1000, lo: 0, hi: 100 }
          : undefined,
  }),
);
const index = Object.fromEntries(conveyorRegisters.map((register, i) => [register.name, i]));

/** A raw TCP server that answers every piece of data by `speak`. */
async function rawServer(speak: (socket: Socket, data: Buffer) => void, greet?: (socket: Socket) => void) {
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
    socket.on('data', (data) => speak(socket, data));
    greet?.(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  undo.push(() => {
    for (const socket of sockets) socket.destroy();
    return new Promise((resolve) => server.close(resolve));
  });
  return (server.address() as AddressInfo).port;
}

describe('Modbus source', () => {
  test('a real server: every table and type → right value, good, again and again', async () => {
    const server = await face();
    const { samples, last, events } = watch(to(server.port), conveyorTags, '/nowhere');
    await eventually(() => samples.length >= conveyorTags.length * 3, { what: 'three rounds' });
    expect(events).toEqual(['found']);
    const value = (name: string) => last(index[name]!)?.value;
    expect(value('speed')).toBe(0.5);
    expect(value('current')).toBe(2.25);
    expect(value('temperature')).toBe(35.5);
    expect(value('load')).toBe(50);
    expect(value('parts')).toBe(70_001);
    expect(value('state')).toBe(1);
    expect(value('running')).toBe(1);
    expect(value('lockout')).toBe(0);
    expect(samples.every((sample) => sample.quality === 'good')).toBe(true);

    server.write('parts', 70_002);
    await eventually(() => value('parts') === 70_002, { what: 'the new count' });
  });

  test.each([
    ['cdab', [0xe979, 0x42f6]],
    ['badc', [0xf642, 0x79e9]],
    ['dcba', [0x79e9, 0xf642]],
  ] as const)('a device that sends %s → the connection’s order sets it right', async (order, words) => {
    const server = new ServerTCP(
      { getHoldingRegister: (address: number) => words[address] ?? 0 },
      { host: '127.0.0.1', port: '0' as unknown as number, unitID: 1 },
    );
    await new Promise<void>((resolve) => server.on('initialized', () => resolve()));
    undo.push(() => new Promise((resolve) => server.close(resolve)));
    const { port } = (server as unknown as { _server: Server })._server.address() as AddressInfo;
    const { last } = watch(to(port, { order }), [tag(0, 'holding:40001', { type: 'float32' })], '/nowhere');
    const sample = await eventually(() => last(0), { what: 'a sample' });
    expect(sample.value).toBeCloseTo(123.456, 4);
  });

  test('an illegal register among good ones → it alone is bad, the others go on, the device is not lost', async () => {
    const server = await face();
    const hole = tag(99, 'input:30012', { type: 'uint16' });
    const { last, events, source } = watch(to(server.port), [...conveyorTags, hole], '/nowhere');
    await eventually(() => last(99)?.quality === 'bad' && last(index['speed']!)?.quality === 'good', { what: 'both' });
    expect(last(99)?.value).toBeNaN();
    expect(last(index['parts']!)?.value).toBe(70_001);
    const before = source.stats.samples;
    await eventually(() => source.stats.samples > before + 20, { what: 'more rounds' });
    expect(last(index['parts']!)?.quality).toBe('good');
    expect(events).toEqual(['found']);
    expect(source.stats.refusals).toBeGreaterThan(0);
  });

  test('an address that is none → that tag is bad from the start', async () => {
    const server = await face();
    const { last } = watch(to(server.port), [tag(0, 'coil:1', { type: 'bool' }), tag(1, 'ns=1;s=X')], '/nowhere');
    await eventually(() => last(0)?.quality === 'good', { what: 'the good one' });
    expect(last(1)?.quality).toBe('bad');
  });

  test('no device at the start → lost once; it appears → found; it goes and returns → lost, found', async () => {
    const first = await face();
    const { port } = first;
    await first.stop();
    const { events, samples, source } = watch(to(port), conveyorTags, '/nowhere');
    await eventually(() => source.stats.failures >= 3, { what: 'three attempts' });
    expect(events).toHaveLength(1);
    expect(events[0]).toContain('ECONNREFUSED');

    const second = await face(port);
    await eventually(() => events[1] === 'found' && samples.length > 0, { what: 'found' });
    await second.stop();
    await eventually(() => events.length === 3, { what: 'lost again' });
    expect(events[2]).toMatch(/^lost: /);

    await face(port);
    const before = samples.length;
    await eventually(() => events[3] === 'found' && samples.length > before, { what: 'found again' });
    expect(events).toHaveLength(4);
  });

  test('a device that accepts and says nothing → lost for want of an answer', async () => {
    const port = await rawServer(() => {});
    const { events, samples } = watch(to(port), conveyorTags, '/nowhere', { requestMs: 100 });
    const reason = await eventually(() => events[0], { what: 'lost' });
    expect(reason).toMatch(/timed out/i);
    expect(samples).toHaveLength(0);
  });

  test('a device that speaks garbage, with and without being asked → lost, no sample, no crash', async () => {
    let n = 0;
    const port = await rawServer(
      (socket, data) => {
        n++;
        // Pure noise; our own bytes back; a header that promises 64 kB; a right header with a short or wrong body.
        if (n % 5 === 0) socket.write(randomBytes(300));
        else if (n % 5 === 1) socket.write(data);
        else if (n % 5 === 2) socket.write(Buffer.concat([data.subarray(0, 4), Buffer.from([0xff, 0xff, 1, 4])]));
        else if (n % 5 === 3)
          socket.write(Buffer.concat([data.subarray(0, 2), Buffer.from([0, 0, 0, 0, 0, 0, 0, 1, 9])]));
        else socket.write(Buffer.concat([data.subarray(0, 4), Buffer.from([0, 3, 1, 0x83]), randomBytes(1)]));
      },
      (socket) => socket.write(randomBytes(64)),
    );
    const bare = conveyorTags.filter((entry) => entry.address.startsWith('input'));
    const { events, samples, source } = watch(to(port), bare, '/nowhere', { requestMs: 100 });
    await eventually(() => source.stats.failures >= 6, { what: 'six attempts', deadlineMs: 10_000 });
    expect(events.filter((event) => event.startsWith('lost'))).not.toHaveLength(0);
    expect(samples.filter((sample) => sample.quality === 'good')).toHaveLength(0);
  });

  test('stop while a device keeps us waiting → done at once, and nothing is said afterwards', async () => {
    const port = await rawServer(() => {});
    const { source, events } = collect(to(port), conveyorTags, '/nowhere', { requestMs: 60_000 });
    await eventually(() => source.stats.connects === 0 && source.stats.failures === 0);
    const began = performance.now();
    await source.stop();
    expect(performance.now() - began).toBeLessThan(2_000);
    expect(events).toEqual([]);
  });
});

describe('Modbus source on a bad line', () => {
  test('answers whose heads are mutated at random → good values only from answers that are whole, and no crash', async () => {
    const server = await face();
    const line = await openRoughLine(server.port, 7, (bytes, random) => {
      if (random(3) === 0) bytes[random(Math.min(bytes.length, 9))]! ^= 1 << random(8);
      return random(8) === 0 ? bytes.subarray(0, random(bytes.length)) : bytes;
    });
    undo.push(() => line.stop());
    const { samples, source } = watch(
      to(line.port),
      [tag(0, 'input:30001', { type: 'float32', everyMs: 10 }), tag(1, 'input:30050', { type: 'uint16', everyMs: 10 })],
      '/nowhere',
      { requestMs: 60, backoffBaseMs: 5, backoffMostMs: 10 },
    );
    await eventually(() => samples.length > 20 && source.stats.failures > 10, {
      what: 'a rough time',
      deadlineMs: 15_000,
    });
    for (const { value, quality } of samples) expect(quality === 'bad' ? 0.5 : value).toBe(0.5);
  });

  test('pause → that much between two requests, one under way at a time', async () => {
    const asked: number[] = [];
    const server = await face();
    const line = await openRoughLine(server.port, 1, (bytes) => {
      asked.push(performance.now());
      return bytes;
    });
    undo.push(() => line.stop());
    watch(
      to(line.port, { pauseMs: 40 }),
      [
        tag(0, 'input:30001', { type: 'float32', everyMs: 20 }),
        tag(1, 'holding:40001', { type: 'uint16', everyMs: 20 }),
        tag(2, 'coil:1', { type: 'bool', everyMs: 20 }),
      ],
      '/nowhere',
    );
    await eventually(() => asked.length >= 7, { what: 'seven answers' });
    for (const [i, at] of asked.entries()) if (i > 0) expect(at - asked[i - 1]!).toBeGreaterThan(30);
  });
});
