import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { type PlcOptions, plcCommand } from '../../agent/plc/command.ts';
import { parseAddresses, parseDeviceUrl } from '../../agent/plc/target.ts';
import { openModbusFace } from '../../simulations/plant/modbus-face.ts';
import { conveyorRegisters } from '../../simulations/plant/register-map.ts';
import { openS7Server } from '../../simulations/plant/s7-server.ts';
import { freePorts } from '../support/free-ports.ts';

const undo: (() => Promise<unknown> | unknown)[] = [];
afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step();
});

async function run(verb: 'browse' | 'read' | 'watch', args: readonly string[], options: PlcOptions = {}) {
  const out: string[] = [];
  const err: string[] = [];
  const end = new AbortController();
  const code = await plcCommand(verb, args, options, {
    out: (line) => out.push(line),
    err: (line) => err.push(line),
    signal: end.signal,
  });
  return { code, out, err };
}

async function controller() {
  const server = await openS7Server({ host: '127.0.0.1', port: 0, dataBlocks: { 10: 64, 20: 8 } });
  undo.push(() => server.stop());
  server.area('db', 10).writeFloatBE(3.25, 4);
  return { server, url: `s7://127.0.0.1:${server.port}` };
}

describe('plc addresses', () => {
  test.each([
    ['opc.tcp://plc:4840', { kind: 'opcua', endpoint: 'opc.tcp://plc:4840', security: 'none' }],
    ['s7://10.0.0.1?slot=1', { kind: 's7', host: '10.0.0.1', port: 102, rack: 0, slot: 1 }],
    ['modbus://10.0.0.1/7?order=cdab', { kind: 'modbus', host: '10.0.0.1', port: 502, unit: 7, order: 'cdab' }],
    [
      'modbus-rtu:///dev/ttyS0?unit=3&parity=none',
      { unit: 3, serial: { path: '/dev/ttyS0', baud: 19_200, parity: 'none', stopBits: 2 } },
    ],
    ['mqtt://broker:1883', { kind: 'mqtt', url: 'mqtt://broker:1883' }],
  ])('%s → a connection', (text, value) => {
    expect(parseDeviceUrl(text, {})).toMatchObject({ ok: true, value });
  });

  test.each([
    ['plc', 'say opc.tcp://host:4840'],
    ['http://plc', 'say opc.tcp://host:4840'],
    ['s7://10.0.0.1?slot=99', 'slot is a whole number to 31'],
    ['modbus://10.0.0.1/7?order=dcab', 'order is one of abcd, cdab, badc, dcba'],
    ['mqtt://me:secret@broker', 'use --user and --secret'],
  ])('%s → refused: … %s', (text, why) => {
    const parsed = parseDeviceUrl(text, {});
    expect(parsed.ok ? '' : parsed.error).toContain(why);
  });

  test('a range of registers → one value each, as wide as its type; all mistakes at once', () => {
    const modbus = { kind: 'modbus', host: 'x', port: 502, unit: 1, order: 'abcd' } as const;
    const tags = parseAddresses(modbus, ['input:30001..30005@float32', 'coil:1'], 100);
    expect(tags.ok && tags.value.map(({ address, type }) => `${address} ${type}`)).toEqual([
      'input:30001 float32',
      'input:30003 float32',
      'input:30005 float32',
      'coil:1 bool',
    ]);
    const wrong = parseAddresses(modbus, ['holding:5..1', 'holding:1..9000', 'input:1@text', 'ns=2;s=X'], 100);
    expect(wrong.ok ? [] : wrong.error).toHaveLength(4);
  });
});

describe('plc read', () => {
  test('values of an address → a table and exit code 0; one that is bad → 1, with the reason', async () => {
    const { url } = await controller();
    const good = await run('read', [url, 'DB10,REAL4', 'M0.1']);
    expect(good.code).toBe(0);
    expect(good.out[0]).toMatch(/^name +value +unit +quality +time +why$/);
    expect(good.out[1]).toMatch(/^DB10,REAL4 +3\.25 +good +\d\d:\d\d:\d\d\.\d{3}$/);
    const mixed = await run('read', [url, 'DB10,REAL4', 'DB99,INT0'], { for: '300ms' });
    expect(mixed.code).toBe(1);
    expect(mixed.out[2]).toContain('there is no such block');
  });

  test('--json and --facts → one document with values, mode, scan time and program', async () => {
    const { url, server } = await controller();
    server.mode = 'stop';
    const { code, out } = await run('read', [url, 'DB10,REAL4'], { json: true, facts: true });
    expect(code).toBe(0);
    expect(JSON.parse(out[0]!)).toMatchObject({
      device: url,
      reached: true,
      values: [{ name: 'DB10,REAL4', address: 'DB10,REAL4', value: 3.25, unit: null, quality: 'good' }],
      facts: { mode: { mode: 'stop' }, scan: { ms: 4 }, program: { hash: expect.stringMatching(/^[0-9a-f]{64}$/) } },
    });
  });

  test('nobody there → 2 at once, with the system’s own reason', async () => {
    const [port] = await freePorts(1);
    const { code, err, out } = await run('read', [`s7://127.0.0.1:${port}`, 'M0.0']);
    expect(code).toBe(2);
    expect(err[0]).toContain('ECONNREFUSED');
    expect(out).toEqual([]);
  });

  test('a thing of a site file → its signals by name, scaled, in their units', async () => {
    const face = await openModbusFace({ host: '127.0.0.1', port: 0, unit: 1, registers: conveyorRegisters });
    undo.push(() => face.stop());
    face.write('load', 13_824);
    face.write('speed', 0.5);
    const folder = mkdtempSync(join(tmpdir(), 'millwright-plc-'));
    undo.push(() => rmSync(folder, { recursive: true, force: true }));
    const file = join(folder, 'site.yaml');
    writeFileSync(
      file,
      `millwright: 1
site: plant
agents: { box-1: {} }
assets:
  conveyor:
    connect: { modbus: { host: 127.0.0.1, port: ${face.port} } }
    signals:
      load: { address: "input:30006", scale: 0..27648 -> 0..100 % }
      speed: { address: "input:30001", type: float32, unit: m/s }
`,
    );
    const all = await run('read', [], { site: file, thing: 'conveyor', json: true });
    expect(all.code).toBe(0);
    expect(
      JSON.parse(all.out[0]!).values.map(({ name, value, unit }: Record<string, unknown>) => [name, value, unit]),
    ).toEqual([
      ['conveyor/load', 50, '%'],
      ['conveyor/speed', 0.5, 'm/s'],
    ]);
    const one = await run('read', ['speed'], { site: file, thing: 'conveyor' });
    expect(one.out).toHaveLength(2);
    expect(await run('read', ['sped'], { site: file, thing: 'conveyor' })).toEqual({
      code: 2,
      out: [],
      err: ['conveyor has no signal sped; it has load, speed'],
    });
    expect((await run('read', [], { site: file, thing: 'conveyer' })).err[0]).toContain('did you mean conveyor?');
    expect((await run('read', [], { site: file })).err[0]).toContain('say --thing: conveyor');
  });

  test('mistakes on the command line → told together, exit code 2', async () => {
    expect(await run('read', [], { for: 'soon', most: '0' })).toEqual({
      code: 2,
      out: [],
      err: ['--for soon: say a time such as 10s', '--most 0: say 1 to 10000'],
    });
    const { err } = await run('read', ['s7://10.0.0.1', 'DB1', 'M9.9']);
    expect(err[0]?.split('\n')).toHaveLength(2);
  });
});

describe('plc watch', () => {
  test('a value that changes → one line each time, bounded by --for', async () => {
    const { url, server } = await controller();
    const watching = run('watch', [url, 'DB10,REAL4'], { for: '400ms', every: '20ms', json: true });
    const timer = setInterval(() => {
      if (server.clients > 0) server.area('db', 10).writeFloatBE(7.5, 4);
    }, 100);
    const { code, out } = await watching;
    clearInterval(timer);
    expect(code).toBe(0);
    expect(out.map((line) => JSON.parse(line).value)).toEqual([3.25, 7.5]);
  });
});

describe('plc browse', () => {
  test('an S7 controller → its blocks, with addresses for a site file; filtered', async () => {
    const { url } = await controller();
    const { code, out } = await run('browse', [url]);
    expect(code).toBe(0);
    expect(out.map((line) => line.split(/ +/)[0])).toEqual(['DB10', 'DB20', 'OB1']);
    const filtered = await run('browse', [url], { filter: 'db2', json: true });
    expect(JSON.parse(filtered.out[0]!).rows).toEqual([
      { depth: 0, name: 'DB20', address: 'DB20,BYTE0', type: 'data block', value: '8 bytes' },
    ]);
    expect((await run('browse', [url], { filter: 'pump' })).code).toBe(1);
  });

  test('Modbus → has no directory, and what to do instead', async () => {
    const { code, err } = await run('browse', ['modbus://127.0.0.1']);
    expect(code).toBe(2);
    expect(err[0]).toContain('read a range: holding:40001..40020');
  });
});
