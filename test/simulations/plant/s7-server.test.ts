import { connect } from 'node:net';
// @ts-expect-error: the package brings no types.
import NodeS7 from 'nodes7';
import { afterEach, describe, expect, test } from 'vitest';
import { openS7Server } from '../../../simulations/plant/s7-server.ts';

const undo: (() => Promise<unknown> | unknown)[] = [];
afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step();
});

async function server(more: Partial<Parameters<typeof openS7Server>[0]> = {}) {
  const opened = await openS7Server({ host: '127.0.0.1', port: 0, dataBlocks: { 10: 600 }, ...more });
  undo.push(() => opened.stop());
  return opened;
}

interface Client {
  initiateConnection(to: object, done: (error?: unknown) => void): void;
  addItems(items: readonly string[]): void;
  readAllItems(done: (bad: boolean, values: Record<string, unknown>) => void): void;
  writeItems(items: string, value: unknown, done: (bad: boolean) => void): number;
  dropConnection(done: () => void): void;
}

/** Another project's client: what it reads here is the protocol and not our own idea of it. */
async function client(port: number): Promise<Client> {
  const opened: Client = new NodeS7({ silent: true });
  await new Promise<void>((resolve, reject) => {
    opened.initiateConnection({ host: '127.0.0.1', port, rack: 0, slot: 2, timeout: 2_000 }, (error) =>
      error === undefined ? resolve() : reject(error),
    );
  });
  undo.push(() => new Promise<void>((resolve) => opened.dropConnection(resolve)));
  return opened;
}

const read = (from: Client): Promise<Record<string, unknown>> =>
  new Promise((resolve) => from.readAllItems((_bad, values) => resolve(values)));

describe('S7 server', () => {
  test('the client nodes7 → reads every type, and a block that is longer than one frame', async () => {
    const plc = await server();
    plc.area('db', 10).writeFloatBE(3.25, 4);
    plc.area('db', 10).writeInt16BE(-7, 8);
    plc.area('db', 10).writeInt32BE(-70_000, 12);
    plc.area('db', 10)[16] = 0b100;
    plc.area('merker').writeUInt16BE(513, 20);
    plc.area('db', 10).writeFloatBE(99.5, 596);
    const s7 = await client(plc.port);
    s7.addItems(['DB10,REAL4', 'DB10,INT8', 'DB10,DINT12', 'DB10,X16.2', 'MW20', 'DB10,REAL100.125']);
    const values = await read(s7);
    expect(values).toMatchObject({
      'DB10,REAL4': 3.25,
      'DB10,INT8': -7,
      'DB10,DINT12': -70_000,
      'DB10,X16.2': true,
      MW20: 513,
    });
    const long = values['DB10,REAL100.125'] as number[];
    expect(long).toHaveLength(125);
    expect(long[124]).toBe(99.5);
  });

  test('a write → only where it is allowed', async () => {
    const plc = await server({ writable: (area, block, from) => area === 'db' && block === 10 && from === 0 });
    const s7 = await client(plc.port);
    const write = (item: string) => new Promise<boolean>((resolve) => s7.writeItems(item, 5, resolve));
    expect(await write('DB10,INT0')).toBe(false);
    expect(plc.area('db', 10).readInt16BE(0)).toBe(5);
    expect(await write('DB10,INT2')).toBe(true);
    expect(plc.area('db', 10).readInt16BE(2)).toBe(0);
  });

  test('what is no S7 → the connection ends, the server goes on', async () => {
    const plc = await server();
    for (const words of ['GET / HTTP/1.1\r\n\r\n', '\x03\x00\x00\x03', '\x03\x00\x00\x07\x09\xe0\x00']) {
      await new Promise<void>((resolve) => {
        const socket = connect(plc.port, '127.0.0.1', () => socket.write(Buffer.from(words, 'latin1')));
        socket.on('error', () => {}).on('close', () => resolve());
      });
    }
    const s7 = await client(plc.port);
    s7.addItems(['DB10,INT0']);
    expect(await read(s7)).toMatchObject({ 'DB10,INT0': 0 });
  });
});
