import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { readProcess } from '../../../agent/adapters/connections/process-table.ts';
import { claimOf } from '../../../agent/adapters/gateway/claims.ts';
import type { DeviceWrite } from '../../../agent/adapters/gateway/device-writer.ts';
import { type Gateway, openGateway } from '../../../agent/adapters/gateway/gateway.ts';
import { createWriter, type EffectEnd, writeToDevice } from '../../../agent/adapters/gateway/write-effect.ts';
import type { Connection } from '../../../agent/driver/bindings.ts';
import { openModbusFace } from '../../../simulations/plant/modbus-face.ts';
import { openOpcUaFace } from '../../../simulations/plant/opcua-face.ts';
import type { ModbusRegister } from '../../../simulations/plant/register-map.ts';
import { TokenLadder } from '../../../simulations/plant/token-ladder.ts';
import { eventually } from '../../support/eventually.ts';
import { temporaryFolder } from '../duty-runners/doubles.ts';
import { collect, tag } from '../plc/collector.ts';
import { type Right, rightOf } from './rights.ts';

const register = (name: string, table: ModbusRegister['table'], offset: number, type: ModbusRegister['type']) => ({
  name,
  table,
  address: '',
  offset,
  type,
  unit: undefined,
  about: '',
});
const registers = [
  register('enable', 'coil', 0, 'bool'),
  register('mode', 'holding', 9, 'uint16'),
  register('trim', 'holding', 10, 'int16'),
  register('speed', 'holding', 20, 'float32'),
  register('sealed', 'holding', 30, 'uint16'),
  register('commanded', 'holding', 40, 'uint16'),
];
const block: DeviceWrite = { kind: 'block', address: 'holding:40101', shows: 'holding:40121', command: [1] };
const value = (address: string, number: number, type: 'bool' | 'int16' | 'uint16' | 'float32' = 'uint16') =>
  ({ kind: 'value', address, type, value: number }) as const;

/** A conveyor that can be written to, with a program that compares tokens. */
async function conveyor() {
  const done: number[] = [];
  const retentive = { mark: [0, 0, 0, 0, 0, 0] };
  const program = new TokenLadder((command) => done.push(...command), retentive);
  const writes: (readonly number[])[] = [];
  const face = await openModbusFace({
    host: '127.0.0.1',
    port: 0,
    unit: 1,
    registers,
    writable: ['enable', 'mode', 'trim', 'speed'],
    onWrite: (offset, words) => writes.push([offset, ...words]),
    ladder: { program, at: 100, words: 7, shows: 120 },
  });
  onTestFinished(() => face.stop());
  const connection: Connection = { kind: 'modbus', host: '127.0.0.1', port: face.port, unit: 1, order: 'abcd' };
  return { face, connection, program, done, writes };
}

function gatewayIn(dir = temporaryFolder()): Gateway {
  const gateway = openGateway({ dir });
  onTestFinished(() => gateway.close());
  return gateway;
}

const put = (
  gate: Gateway,
  connection: Connection,
  right: Right,
  write: DeviceWrite,
  more: { key?: string; timeoutMs?: number; pki?: string } = {},
): Promise<EffectEnd> =>
  writeToDevice({
    gate,
    writer: createWriter({ connection, pki: more.pki ?? '/nowhere', timing: { requestMs: 500 } }),
    claim: claimOf('plc:conveyor', right, { key: more.key }),
    write,
    timeoutMs: more.timeoutMs ?? 5_000,
    signal: new AbortController().signal,
  });

describe('writes over Modbus', () => {
  test('a coil, a register, a signed one, two words: each in one request, as the device reads them', async () => {
    const { face, connection, writes } = await conveyor();
    const gate = gatewayIn();
    for (const write of [
      value('coil:1', 1, 'bool'),
      value('holding:40010', 3),
      value('holding:40011', -5, 'int16'),
      value('holding:40021', 1.5, 'float32'),
    ]) {
      expect(await put(gate, connection, rightOf(1), write)).toMatchObject({ outcome: 'ok', untouched: false });
    }
    expect(['enable', 'mode', 'trim', 'speed'].map((name) => face.read(name))).toEqual([1, 3, -5, 1.5]);
    expect(writes.map(([offset]) => offset)).toEqual([0, 9, 10, 20]);
  });

  test.each([
    ['an input', value('input:30001', 1), 'can only be read'],
    ['a coil of 2', value('coil:1', 2, 'bool'), '0 or 1'],
    ['a value that is none of the type', value('holding:40010', 70_000), 'no uint16'],
    ['a fraction', value('holding:40010', 1.5), 'no uint16'],
    ['no number', value('holding:40010', Number.NaN, 'float32'), 'no float32'],
    ['a block without a command', { ...block, command: [] }, '1 to 117 words'],
    ['a block in coils', { ...block, address: 'coil:1' }, 'no place for a block'],
    ['a command beyond a word', { ...block, command: [65_536] }, '0 to 65535'],
  ] as const)('%s → refused before a connection is made', async (_name, write, words) => {
    const { connection, writes } = await conveyor();
    const end = await put(gatewayIn(), connection, rightOf(1), write);
    expect(end).toMatchObject({ outcome: 'failed', untouched: true, detail: expect.stringContaining(words) });
    expect(writes).toEqual([]);
  });

  test('the device refuses → failed; it is not there → failed and untouched; it does not answer → doubt', async () => {
    const { connection } = await conveyor();
    const gate = gatewayIn();
    const refused = await put(gate, connection, rightOf(1), value('holding:40031', 1));
    expect(refused).toMatchObject({ outcome: 'failed', detail: expect.stringContaining('the device refused') });
    const nobody: Connection = { ...connection, kind: 'modbus', host: '127.0.0.1', port: 1, unit: 1, order: 'abcd' };
    expect(await put(gate, nobody, rightOf(1), value('holding:40010', 1))).toMatchObject({
      outcome: 'failed',
      untouched: true,
    });
    const silent = createServer((socket) => socket.on('error', () => {}).resume()).listen(0, '127.0.0.1');
    await once(silent, 'listening');
    onTestFinished(() => void silent.close());
    const address = silent.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    const mute: Connection = { kind: 'modbus', host: '127.0.0.1', port, unit: 1, order: 'abcd' };
    expect(await put(gate, mute, rightOf(1), value('holding:40010', 1))).toMatchObject({
      outcome: 'timed-out',
      untouched: false,
    });
  });

  test('an old token, and an equal one of another session → never reach the device; after a restart too', async () => {
    const { face, connection, writes } = await conveyor();
    const dir = temporaryFolder();
    const before = openGateway({ dir });
    expect(await put(before, connection, rightOf(6, 'b'), value('holding:40010', 2))).toMatchObject({ outcome: 'ok' });
    before.close();
    const gate = gatewayIn(dir);
    for (const right of [rightOf(5), rightOf(6, 'c')]) {
      expect(await put(gate, connection, right, value('holding:40010', 1))).toMatchObject({
        outcome: 'failed',
        untouched: true,
      });
    }
    expect(face.read('mode')).toBe(2);
    expect(writes).toHaveLength(1);
  });
});

describe('a block with its token', () => {
  test('carried out once each, in order; one key twice → once', async () => {
    const { connection, program, done, writes } = await conveyor();
    const gate = gatewayIn();
    expect(await put(gate, connection, rightOf(1), { ...block, command: [7] }, { key: 'run#1/0' })).toMatchObject({
      outcome: 'ok',
      detail: 'carried out as 0001000000000001/1',
    });
    expect(await put(gate, connection, rightOf(1), { ...block, command: [7] }, { key: 'run#1/0' })).toMatchObject({
      outcome: 'ok',
    });
    expect(await put(gate, connection, rightOf(1), { ...block, command: [8] }, { key: 'run#1/1' })).toMatchObject({
      outcome: 'ok',
    });
    expect(await put(gate, connection, rightOf(2, 'b'), { ...block, command: [9] })).toMatchObject({
      detail: 'carried out as 0001000000000002/1',
    });
    expect(done).toEqual([7, 8, 9]);
    expect(program).toMatchObject({ taken: 3, refused: 1 });
    expect(writes.every((words) => words.length === 8)).toBe(true);
  });

  test('a gateway that knows nothing of the successor is told by the device, and writes nothing', async () => {
    const { connection, done, writes } = await conveyor();
    await put(gatewayIn(), connection, rightOf(9, 'b'), { ...block, command: [9] });
    const end = await put(gatewayIn(), connection, rightOf(8), { ...block, command: [8] });
    expect(end).toMatchObject({
      outcome: 'failed',
      untouched: true,
      detail: expect.stringContaining('a successor is there'),
    });
    expect(done).toEqual([9]);
    expect(writes).toHaveLength(1);
  });

  test('a program that never comes round → doubt, within the time', async () => {
    const face = await openModbusFace({
      host: '127.0.0.1',
      port: 0,
      unit: 1,
      registers: wordsFrom(100, 28),
      writable: names,
    });
    onTestFinished(() => face.stop());
    const connection: Connection = { kind: 'modbus', host: '127.0.0.1', port: face.port, unit: 1, order: 'abcd' };
    const end = await put(gatewayIn(), connection, rightOf(1), block, { timeoutMs: 300 });
    expect(end).toMatchObject({
      outcome: 'timed-out',
      untouched: false,
      detail: expect.stringContaining('not come round'),
    });
  });

  test('the program keeps its mark over a loss of power', () => {
    const retentive = { mark: [0, 0, 0, 0, 0, 0] as readonly number[] };
    const done: number[] = [];
    new TokenLadder((command) => done.push(...command), retentive).scan([1, 0, 0, 5, 0, 1, 11]);
    const next = new TokenLadder((command) => done.push(...command), retentive);
    next.scan([1, 0, 0, 4, 0, 9, 12]);
    next.scan([1, 0, 0, 5, 0, 1, 13]);
    next.scan([1, 0, 0, 5]);
    next.scan([1, 0, 0, 5, 0, 2, 14]);
    expect(done).toEqual([11, 14]);
  });
});

describe('frozen between the check and the write', () => {
  /** The former holder stops there, a successor writes, the former one is woken. */
  async function story(write: (command: number) => DeviceWrite, connection: Connection) {
    const dir = temporaryFolder();
    const order = { dir, connection, write: write(1), right: rightOf(5) };
    const child = spawn(process.execPath, [join(import.meta.dirname, 'frozen-gateway.ts'), JSON.stringify(order)]);
    onTestFinished(() => void child.kill('SIGKILL'));
    let said = '';
    child.stdout.on('data', (data) => {
      said += String(data);
    });
    await eventually(() => readProcess(child.pid ?? 0)?.state === 'T', { deadlineMs: 10_000 });
    const successor = await put(gatewayIn(dir), connection, rightOf(6, 'b'), write(2));
    expect(successor).toMatchObject({ outcome: 'ok' });
    child.kill('SIGCONT');
    await once(child, 'exit');
    return JSON.parse(said) as EffectEnd;
  }

  test('a plain write lands after the takeover: the limit of every gateway', async () => {
    const { face, connection } = await conveyor();
    const end = await story((command) => value('holding:40010', command), connection);
    expect(end.outcome).toBe('ok');
    expect(face.read('mode')).toBe(1);
  });

  test('a block with its token is refused by the device itself, and its writer knows no better than doubt', async () => {
    const { connection, done, program } = await conveyor();
    const end = await story((command) => ({ ...block, command: [command] }), connection);
    expect(end).toMatchObject({ outcome: 'timed-out', detail: expect.stringContaining('a successor is there') });
    expect(done).toEqual([2]);
    expect(program).toMatchObject({ taken: 1, refused: 1 });
  });
});

describe('writes over OPC UA', () => {
  test('a value and a block over a real server; old tokens refused by the gateway; read-only and unknown nodes by the server', async () => {
    const folder = temporaryFolder();
    const done: number[] = [];
    const heard: number[] = [];
    const node = (name: string) => ({ name, type: 'Double', unit: undefined, everyMs: 1000, about: name }) as const;
    const face = await openOpcUaFace({
      host: '127.0.0.1',
      port: 0,
      folder,
      secure: false,
      users: new Map(),
      machines: { Press: [node('Target'), node('Fixed')] },
      writable: new Map([['Press.Target', (number: number) => heard.push(number)]]),
      ladder: new TokenLadder((command) => done.push(...command)),
      onMonitored: () => {},
    });
    onTestFinished(() => face.stop());
    const connection: Connection = {
      kind: 'opcua',
      endpoint: face.endpoint,
      security: 'none',
      user: undefined,
      secret: undefined,
    };
    const gate = gatewayIn();
    const pki = join(folder, 'pki');
    const to = (name: string, number: number) =>
      ({ kind: 'value', address: `ns=1;s=Press.${name}`, type: 'float64', value: number }) as const;
    expect(await put(gate, connection, rightOf(5), to('Target', 41.5), { pki })).toMatchObject({ outcome: 'ok' });
    expect(heard).toEqual([41.5]);
    expect(await put(gate, connection, rightOf(4), to('Target', 1), { pki })).toMatchObject({
      outcome: 'failed',
      untouched: true,
    });
    expect(await put(gate, connection, rightOf(5), to('Fixed', 1), { pki })).toMatchObject({
      outcome: 'failed',
      untouched: false,
    });
    expect(await put(gate, connection, rightOf(5), to('Nowhere', 1), { pki })).toMatchObject({
      outcome: 'failed',
      untouched: false,
    });
    const ladder: DeviceWrite = {
      kind: 'block',
      address: 'ns=1;s=Ladder.Block',
      shows: 'ns=1;s=Ladder.Mark',
      command: [3, 4],
    };
    expect(await put(gate, connection, rightOf(6, 'b'), ladder, { pki })).toMatchObject({ outcome: 'ok' });
    expect(await put(gatewayIn(), connection, rightOf(5), ladder, { pki })).toMatchObject({
      outcome: 'failed',
      untouched: true,
    });
    expect(done).toEqual([3, 4]);
    expect(heard).toEqual([41.5]);

    // Over the session that the device is read by, which stays.
    const { source, events, samples } = collect(connection, [tag(0, 'ns=1;s=Press.Target')], pki);
    onTestFinished(() => source.stop());
    await eventually(() => samples.length > 0 && source.lend?.() !== undefined);
    const borrowed = (right: Right, write: DeviceWrite) =>
      writeToDevice({
        gate,
        writer: createWriter({ connection, pki, lent: () => source.lend?.() }),
        claim: claimOf('plc:conveyor', right),
        write,
        timeoutMs: 5_000,
        signal: new AbortController().signal,
      });
    expect(await borrowed(rightOf(6, 'b'), to('Target', 42))).toMatchObject({ outcome: 'ok' });
    expect(await borrowed(rightOf(6, 'b'), ladder)).toMatchObject({ outcome: 'ok' });
    expect(heard).toEqual([41.5, 42]);
    expect(done).toEqual([3, 4, 3, 4]);
    await eventually(() => samples.at(-1)?.value === 42);
    expect(events).toEqual(['found']);
    await source.stop();
    expect(await borrowed(rightOf(6, 'b'), ladder)).toMatchObject({
      outcome: 'failed',
      untouched: true,
      detail: 'the device is not connected',
    });
  });
});

const names = Array.from({ length: 28 }, (_, i) => `w${100 + i}`);
const wordsFrom = (offset: number, count: number) =>
  Array.from({ length: count }, (_, i) => register(`w${offset + i}`, 'holding', offset + i, 'uint16'));
