import { type AddressInfo, createServer, type Socket } from 'node:net';
import fc from 'fast-check';
import { afterEach, describe, expect, test } from 'vitest';
import { decodeS7, parseS7Address } from '../../../../agent/adapters/plc/s7/address.ts';
import {
  FrameReader,
  longestFrame,
  parseAnswer,
  parseRead,
  parseUserData,
} from '../../../../agent/adapters/plc/s7/frame.ts';
import { packRanges, planRanges } from '../../../../agent/adapters/plc/s7/ranges.ts';
import type { Connection } from '../../../../agent/driver/bindings.ts';
import { openS7Server } from '../../../../simulations/plant/s7-server.ts';
import { eventually } from '../../../support/eventually.ts';
import { openRoughLine } from '../../../support/rough-line.ts';
import { needsSnap7, startSnap7 } from '../../../support/snap7.ts';
import { type Collected, collect, tag } from '../collector.ts';

const undo: (() => Promise<unknown> | unknown)[] = [];
afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step();
});

const to = (port: number, more: Partial<Extract<Connection, { kind: 's7' }>> = {}): Connection => ({
  kind: 's7',
  host: '127.0.0.1',
  port,
  rack: 0,
  slot: 2,
  ...more,
});

const watch = (...args: Parameters<typeof collect>): Collected => {
  const collected = collect(...args);
  undo.push(() => collected.source.stop());
  return collected;
};

async function plant(more: Partial<Parameters<typeof openS7Server>[0]> = {}) {
  const server = await openS7Server({ host: '127.0.0.1', port: 0, dataBlocks: { 10: 2_000, 20: 64 }, ...more });
  undo.push(() => server.stop());
  return server;
}

/** A server that answers whatever comes by `speak`. */
async function liar(speak: (socket: Socket, data: Buffer, n: number) => void): Promise<number> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    let n = 0;
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('data', (data) => speak(socket, data, n++));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  undo.push(() => {
    for (const socket of sockets) socket.destroy();
    return new Promise((resolve) => server.close(resolve));
  });
  return (server.address() as AddressInfo).port;
}

const confirm = Buffer.from('0300000b06d00001000100', 'hex');
const setup = (reference: Buffer, pdu = 240) =>
  Buffer.from(
    `0300001b02f08032030000${reference.toString('hex')}000800000000f0000001000100${pdu.toString(16).padStart(2, '0')}`,
    'hex',
  );

describe('S7 addresses', () => {
  test.each([
    ['DB10,REAL4', 'db', 10, 4, 'float32', undefined],
    ['db10,x16.2', 'db', 10, 16, 'bit', 2],
    ['DB10.DBX0.1', 'db', 10, 0, 'bit', 1],
    ['DB7.DBW12', 'db', 7, 12, 'uint16', undefined],
    ['DB7,LREAL8', 'db', 7, 8, 'float64', undefined],
    ['M0.1', 'merker', 0, 0, 'bit', 1],
    ['MW20', 'merker', 0, 20, 'uint16', undefined],
    ['MDINT20', 'merker', 0, 20, 'int32', undefined],
    ['E1.7', 'input', 0, 1, 'bit', 7],
    ['IB3', 'input', 0, 3, 'uint8', undefined],
    ['AW2', 'output', 0, 2, 'uint16', undefined],
  ])('%s → %s %i, byte %i, %s', (text, area, block, from, type, bit) => {
    const parsed = parseS7Address(text);
    expect(parsed).toMatchObject({ ok: true, value: { area, block, from, type, bit } });
  });

  test.each([
    ['DB10', 'say for example'],
    ['DB0,INT2', 'data blocks are 1 to 65535'],
    ['DB1,STRING4', 'STRING'],
    ['M0', 'a bit is written byte.bit'],
    ['M0.8', 'bits 0 to 7'],
    ['MW20.1', 'is no bit'],
    ['DB1,REAL65533', 'behind byte 65535'],
  ])('%s → refused: … %s …', (text, why) => {
    const parsed = parseS7Address(text);
    expect(parsed.ok ? '' : parsed.error).toContain(why);
  });

  test('any text → an address or a sentence, never a throw', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.stringMatching(/^(DB\d+,)?[A-Z]{1,5}\d+(\.\d)?$/)), (text) => {
        const parsed = parseS7Address(text);
        if (parsed.ok) expect(decodeS7(parsed.value, Buffer.alloc(8))).toBe(0);
        else expect(parsed.error).toContain('is no S7 address');
      }),
      { numRuns: 500 },
    );
  });
});

describe('S7 ranges', () => {
  test('any tags → every value whole in one range, no range or request above what was agreed', () => {
    const one = fc.record({
      block: fc.integer({ min: 1, max: 3 }),
      from: fc.nat(3_000),
      bytes: fc.constantFrom(1, 2, 4, 8),
    });
    fc.assert(
      fc.property(fc.array(one, { maxLength: 60 }), fc.constantFrom(64, 240, 960), (list, pdu) => {
        const tags = list.map((at, tag) => ({
          tag,
          address: { area: 'db' as const, bit: undefined, type: 'uint8' as const, ...at },
        }));
        const ranges = planRanges(tags, pdu);
        expect(ranges.flatMap(({ tags: inside }) => inside.map((each) => each.tag)).sort((a, b) => a - b)).toEqual(
          tags.map((each) => each.tag),
        );
        for (const range of ranges)
          for (const { address } of range.tags) {
            expect(address.from).toBeGreaterThanOrEqual(range.from);
            expect(address.from + address.bytes).toBeLessThanOrEqual(range.from + range.bytes);
          }
        for (const request of packRanges(ranges, pdu)) {
          expect(12 + 12 * request.length).toBeLessThanOrEqual(pdu);
          expect(14 + request.reduce((sum, { bytes }) => sum + 4 + bytes + (bytes % 2), 0)).toBeLessThanOrEqual(pdu);
          expect(request.length).toBeLessThanOrEqual(20);
        }
      }),
      { numRuns: 200 },
    );
  });
});

describe('S7 frames', () => {
  test('any bytes in any pieces → frames or an error, never a throw, never more than one frame held', () => {
    const frame = Buffer.concat([confirm, setup(Buffer.from([0, 1]))]);
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ maxLength: 64 }), { maxLength: 20 }),
        fc.nat(frame.length),
        (pieces, cut) => {
          const reader = new FrameReader();
          for (const piece of [frame.subarray(0, cut), ...pieces.map((bytes) => Buffer.from(bytes))]) {
            const frames = reader.push(piece);
            if (!frames.ok) {
              expect(frames.error).toContain('speaks no S7');
              return;
            }
            for (const each of frames.value) {
              expect(each.length).toBeLessThanOrEqual(longestFrame);
              const answer = parseAnswer(each);
              if (!answer.ok || answer.value === undefined) continue;
              parseRead(answer.value, [{ area: 'db', block: 1, from: 0, bytes: 4 }]);
              parseUserData(answer.value);
            }
          }
        },
      ),
      { numRuns: 300 },
    );
  });
});

describe('S7 source', () => {
  test('every area and type, a block longer than a frame → right value, good, again and again', async () => {
    const plc = await plant();
    plc.area('db', 10).writeFloatBE(3.25, 4);
    plc.area('db', 10).writeDoubleBE(1e-9, 8);
    plc.area('db', 10).writeInt16BE(-7, 900);
    plc.area('db', 10)[902] = 0b1000;
    plc.area('merker').writeUInt16BE(513, 20);
    plc.area('input')[3] = 0x80;
    plc.area('output').writeInt32BE(-70_000, 12);
    const addresses = ['DB10,REAL4', 'DB10,LREAL8', 'DB10,INT900', 'DB10,X902.3', 'MW20', 'I3.7', 'QDINT12'];
    const tags = addresses.map((address, i) => tag(i, address));
    const many = Array.from({ length: 100 }, (_, i) => tag(100 + i, `DB10,WORD${1_000 + 10 * i}`));
    const { samples, last, events } = watch(to(plc.port), [...tags, ...many], '/nowhere');
    await eventually(() => samples.length > 250, { what: 'two rounds' });
    expect(events).toEqual(['found']);
    expect(tags.map((_, i) => last(i)?.value)).toEqual([3.25, 1e-9, -7, 1, 513, 1, -70_000]);
    expect(samples.every(({ quality }) => quality === 'good')).toBe(true);
    plc.area('db', 10).writeFloatBE(4.5, 4);
    await eventually(() => last(0)?.value === 4.5, { what: 'the new value' });
  });

  test('a missing block and an address outside among good ones → they alone are bad, with the reason', async () => {
    const plc = await plant();
    const { last, events } = watch(
      to(plc.port),
      [tag(0, 'DB10,INT0'), tag(1, 'DB99,INT0'), tag(2, 'DB20,INT62'), tag(3, 'DB20,INT64'), tag(4, 'nonsense')],
      '/nowhere',
    );
    // The tag beside the hole is refused with it once, and then read by itself.
    await eventually(() => last(2)?.quality === 'good', { what: 'the tag beside the hole' });
    expect(last(0)?.quality).toBe('good');
    expect(last(1)).toMatchObject({ quality: 'bad', why: 'there is no such block' });
    expect(last(3)).toMatchObject({ quality: 'bad', why: 'the address lies outside of the area' });
    expect(last(4)).toMatchObject({ quality: 'bad', why: expect.stringContaining('is no S7 address') });
    expect(events).toEqual(['found']);
  });

  test('mode, scan time and program → as the controller tells them, and they change with it', async () => {
    const plc = await plant({
      program: [
        { kind: 'OB', number: 1, checksum: 7, bytes: 100 },
        { kind: 'FB', number: 20, checksum: 9, bytes: 300 },
      ],
    });
    const { source, events } = watch(to(plc.port), [], '/nowhere');
    await eventually(() => events.includes('found'), { what: 'the controller' });
    expect(await source.ask?.('mode')).toEqual({ ok: true, value: { is: 'mode', mode: 'run', text: 'RUN' } });
    plc.mode = 'stop';
    expect(await source.ask?.('mode')).toEqual({ ok: true, value: { is: 'mode', mode: 'stop', text: 'STOP' } });
    plc.scan = { last: 12, least: 3, most: 40 };
    expect(await source.ask?.('scan')).toMatchObject({ ok: true, value: { ms: 12 } });
    const hash = async () => {
      const fact = await source.ask?.('program');
      return fact?.ok && fact.value.is === 'program' ? fact.value.hash : undefined;
    };
    const before = await hash();
    expect(before).toMatch(/^[0-9a-f]{64}$/);
    plc.area('db', 10).writeInt16BE(5, 0);
    expect(await hash()).toBe(before);
    plc.program = plc.program.map((block) => (block.number === 20 ? { ...block, checksum: 10 } : block));
    expect(await hash()).not.toBe(before);
  });

  test('a controller that goes and comes → lost once, found again', async () => {
    const first = await plant();
    const { events, samples } = watch(to(first.port), [tag(0, 'DB10,INT0')], '/nowhere');
    await eventually(() => samples.length > 0, { what: 'a sample' });
    await first.stop();
    await eventually(() => events.length === 2, { what: 'the loss' });
    expect(events[1]).toMatch(/^lost: /);
    await plant({ port: first.port });
    await eventually(() => events.at(-1) === 'found', { what: 'the return' });
  });

  test('the wrong slot → lost, and the reason says where it looked', async () => {
    const plc = await plant({ slot: { rack: 0, slot: 2 } });
    const { events } = watch(to(plc.port, { slot: 5 }), [tag(0, 'DB10,INT0')], '/nowhere');
    await eventually(() => events.length > 0, { what: 'the refusal' });
    expect(events[0]).toBe('lost: the device closed the connection: is it at rack 0, slot 5?');
  });

  test.each<[string, (socket: Socket, data: Buffer, n: number) => void, RegExp]>([
    ['speaks HTTP', (socket) => socket.write('HTTP/1.1 400 Bad Request\r\n\r\n'), /speaks no S7/],
    ['says two bytes', (socket) => socket.write(Buffer.from([3, 0])), /no answer within/],
    ['says nothing', () => {}, /no answer within/],
    [
      'closes in the middle',
      (socket, _data, n) => socket.end((n === 0 ? confirm : setup(Buffer.from([0, 1]))).subarray(0, 9)),
      /closed/,
    ],
    [
      'agrees to nonsense',
      (socket, data, n) => socket.write(n === 0 ? confirm : setup(data.subarray(11, 13), 3)),
      /messages of 3 bytes/,
    ],
    [
      'answers another question',
      (socket, data, n) =>
        socket.write(
          n === 0
            ? confirm
            : n === 1
              ? setup(data.subarray(11, 13))
              : Buffer.from(`0300001502f08032030000${data.toString('hex', 11, 13)}00020000000005ff`, 'hex'),
        ),
      /another question|do not fit|speaks no S7/,
    ],
  ])('a server that %s → lost with a reason, again and again, and nothing else happens', async (_name, speak, why) => {
    const port = await liar(speak);
    const { events, samples, source } = watch(to(port), [tag(0, 'DB10,INT0')], '/nowhere', { requestMs: 100 });
    await eventually(() => source.stats.failures >= 2, { what: 'two attempts' });
    expect(source.stats.lastFailure).toMatch(why);
    expect(events.filter((event) => event.startsWith('lost'))[0]).toBeDefined();
    expect(samples.filter(({ quality }) => quality === 'good')).toEqual([]);
  });

  test('a server whose answers are mutated at random → good values only from answers that are whole', async () => {
    const plc = await plant();
    plc.area('db', 10).writeInt16BE(7, 0);
    const line = await openRoughLine(plc.port, 1, (bytes, random) => {
      // The head and the lengths, never the value itself: that no protocol without a check sum can see.
      if (random(3) === 0) bytes[random(Math.min(bytes.length, 21))]! ^= 1 << random(8);
      return random(8) === 0 ? bytes.subarray(0, random(bytes.length)) : bytes;
    });
    undo.push(() => line.stop());
    const { samples, source } = watch(to(line.port), [tag(0, 'DB10,INT0', { everyMs: 10 })], '/nowhere', {
      requestMs: 60,
      backoffBaseMs: 5,
      backoffMostMs: 10,
    });
    await eventually(() => samples.length > 20 && source.stats.failures > 10, {
      what: 'a rough time',
      deadlineMs: 15_000,
    });
    for (const { value, quality } of samples) expect(quality === 'bad' ? 7 : value).toBe(7);
  });

  test('Snap7’s server → values, refusals, mode, scan time and directory', needsSnap7(), async () => {
    const snap7 = await startSnap7();
    undo.push(() => snap7.stop());
    await snap7.say('db 10 4 40500000');
    await snap7.say('db 10 250 fff9');
    await snap7.say('m 20 0201');
    const { last, samples, source } = watch(
      to(snap7.port),
      [tag(0, 'DB10,REAL4'), tag(1, 'DB10,INT250'), tag(2, 'MW20'), tag(3, 'DB77,INT0'), tag(4, 'DB20,INT0')],
      '/nowhere',
    );
    await eventually(() => samples.length >= 10, { what: 'two rounds' });
    expect([0, 1, 2].map((i) => last(i)?.value)).toEqual([3.25, -7, 513]);
    expect(last(3)).toMatchObject({ quality: 'bad', why: 'there is no such block' });
    expect(await source.ask?.('mode')).toMatchObject({ ok: true, value: { mode: 'run' } });
    await snap7.say('stop');
    expect(await source.ask?.('mode')).toMatchObject({ ok: true, value: { mode: 'stop', text: 'STOP' } });
    expect(await source.ask?.('scan')).toMatchObject({ ok: true, value: { is: 'scan' } });
    expect(await source.ask?.('program')).toMatchObject({ ok: true, value: { text: '2 blocks' } });
    await snap7.stop();
    await eventually(() => source.stats.failures > 0, { what: 'the loss' });
  });
});
