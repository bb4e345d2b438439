import { afterEach, expect, test } from 'vitest';
import type { Connection } from '../../../agent/driver/bindings.ts';
import { openModbusFace } from '../../../simulations/plant/modbus-face.ts';
import { openS7Server } from '../../../simulations/plant/s7-server.ts';
import { eventually } from '../../support/eventually.ts';
import { clock, collect, tag } from './collector.ts';

const undo: (() => Promise<unknown> | unknown)[] = [];
afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step();
});

/** A small device over one of the protocols, whose answers may be made late. */
async function device(kind: 's7' | 'modbus') {
  let delayMs = 0;
  const late = (ms: number) => {
    delayMs = ms;
  };
  if (kind === 's7') {
    const server = await openS7Server({ host: '127.0.0.1', port: 0, dataBlocks: { 1: 16 } });
    undo.push(() => server.stop());
    Object.defineProperty(server, 'delayMs', { get: () => delayMs });
    const to: Connection = { kind: 's7', host: '127.0.0.1', port: server.port, rack: 0, slot: 2 };
    return { to, late, at: tag(0, 'DB1,REAL0', { everyMs: 50 }) };
  }
  const face = await openModbusFace({
    host: '127.0.0.1',
    port: 0,
    unit: 1,
    registers: [
      { name: 'speed', table: 'input', offset: 0, type: 'float32', unit: undefined, about: '', address: 'input:30001' },
    ],
    manner: () => ({ delayMs, lowWordFirst: false }),
  });
  undo.push(() => face.stop());
  const to = { kind: 'modbus', host: '127.0.0.1', port: face.port, unit: 1, order: 'abcd' } as unknown as Connection;
  return { to, late, at: tag(0, 'input:30001', { everyMs: 50, type: 'float32' }) };
}

test.each(['s7', 'modbus'] as const)(
  '%s: answers that take 600 ms → a value is never fresher than that; prompt again → fresh; too late → lost, and said',
  async (kind) => {
    const { to, late, at } = await device(kind);
    const { source, last, events } = collect(to, [at], '/nowhere', { requestMs: 900, connectMs: 900 });
    undo.push(() => source.stop());
    const age = (): number => clock.now() - (last(0)?.receiveTime ?? Number.NEGATIVE_INFINITY);
    await eventually(() => age() < 200, { what: 'a fresh value' });

    late(600);
    await eventually(() => age() > 550, { what: 'the first late answer' });
    const until = performance.now() + 1_000;
    const ages: number[] = [];
    while (performance.now() < until) {
      ages.push(age());
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    expect(Math.min(...ages)).toBeGreaterThan(550);
    expect(last(0)?.quality).toBe('good');

    late(0);
    await eventually(() => age() < 200, { what: 'a fresh value again' });
    late(3_000);
    await eventually(() => events.some((one) => one.startsWith('lost: ')), { what: 'the loss' });
    expect(age()).toBeGreaterThan(550);
  },
);
