import { ServerSerial } from 'modbus-serial';
import { afterEach, describe, expect, test } from 'vitest';
import type { Connection } from '../../../agent/driver/bindings.ts';
import { eventually } from '../../support/eventually.ts';
import { needs } from '../../support/needs.ts';
import { openSerialPair } from '../../support/serial-pair.ts';
import { type Collected, collect, tag } from './collector.ts';

const undo: (() => Promise<unknown> | unknown)[] = [];
afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step();
});

const on = (path: string, unit: number): Connection => ({
  kind: 'modbus',
  host: '',
  port: 502,
  unit,
  order: 'abcd',
  serial: { path, baud: 19_200, parity: 'even', stopBits: 1 },
});

const watch = (...args: Parameters<typeof collect>): Collected => {
  const collected = collect(...args);
  undo.push(() => collected.source.stop());
  return collected;
};

/** Devices on one bus, by unit: a real RTU server of the library on the other end of the cable. */
async function bus(units: Readonly<Record<number, readonly number[]>>) {
  const pair = await openSerialPair();
  undo.push(() => pair.stop());
  /** When each request came. */
  const asked: { readonly unit: number; readonly at: number }[] = [];
  const server = new ServerSerial(
    {
      getHoldingRegister: (address: number, unit: number) => {
        asked.push({ unit, at: performance.now() });
        const word = units[unit]?.[address];
        if (word === undefined) throw Object.assign(new Error('illegal data address'), { modbusErrorCode: 2 });
        return word;
      },
    },
    { path: pair.b, baudRate: 19_200, parity: 'even', unitID: 255, openOptions: {} } as never,
  );
  server.on('error', () => {});
  server.on('socketError', () => {});
  await new Promise<void>((resolve) => server.on('initialized', () => resolve()));
  undo.push(() => new Promise<void>((resolve) => server.close(() => resolve())));
  return { path: pair.a, asked };
}

describe('Modbus on a serial line', () => {
  test(
    'two devices on one bus → each its own values, an exception is bad, requests never overlap',
    needs('python3'),
    async () => {
      const { path, asked } = await bus({ 1: [7, 8], 2: [0x42f6, 0xe979] });
      const one = watch(
        on(path, 1),
        [tag(0, 'holding:40001', { type: 'uint16' }), tag(1, 'holding:40050', { type: 'uint16' })],
        '/nowhere',
      );
      const two = watch(on(path, 2), [tag(0, 'holding:40001', { type: 'float32' })], '/nowhere');
      await eventually(() => one.last(0)?.value === 7 && two.last(0) !== undefined && one.last(1) !== undefined, {
        what: 'both devices',
      });
      expect(two.last(0)?.value).toBeCloseTo(123.456, 3);
      expect(one.last(1)).toMatchObject({ quality: 'bad', why: expect.stringContaining('the device refuses') });
      await two.source.stop();
      // Both share the cable: between two questions there is always the pause, whoever asks.
      const turns = asked.filter(({ unit }, i) => unit !== asked[i - 1]?.unit);
      expect(turns.length).toBeGreaterThan(1);
      for (const [i, { at }] of turns.entries()) if (i > 0) expect(at - turns[i - 1]!.at).toBeGreaterThan(4);
      const before = one.samples.length;
      await eventually(() => one.samples.length > before + 4, { what: 'the other goes on' });
      expect(one.events).toEqual(['found']);
    },
  );

  test('no such adapter → lost, with what to look at', async () => {
    const { events } = watch(on('/dev/tty-that-is-not-there', 1), [tag(0, 'holding:40001')], '/nowhere');
    await eventually(() => events.length > 0, { what: 'the loss' });
    expect(events[0]).toBe('lost: there is no /dev/tty-that-is-not-there: is the adapter plugged in?');
  });
});
