import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Connection, Tag } from '../../../agent/driver/bindings.ts';
import { startPlant } from '../../../simulations/plant/plant.ts';
import { openRoughLine } from '../../support/rough-line.ts';
import { collect, tag } from './collector.ts';

let folder = '';
let plant: Awaited<ReturnType<typeof startPlant>>;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'millwright-rough-'));
  plant = await startPlant({});
}, 60_000);
afterAll(async () => {
  await plant.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** Bits that tip over, pieces that are cut, come twice, or not at all. */
const spoil = (bytes: Buffer, random: (below: number) => number): Buffer | undefined => {
  for (let i = 0; i < 3; i++) if (random(5) === 0) bytes[random(bytes.length)]! ^= 1 << random(8);
  const fate = random(14);
  if (fate === 0) return bytes.subarray(0, random(bytes.length));
  return fate === 1 ? Buffer.concat([bytes, bytes]) : fate === 2 ? undefined : bytes;
};

// A throw out of a driver's own handler is no rejection that anybody could catch: the run then fails by itself.
test.each([1, 2, 3, 4, 5, 6])(
  'seed %i: controllers of every make over a line that spoils → tried again for ever, never a throw',
  async (seed) => {
    const timing = { connectMs: 300, requestMs: 100, backoffBaseMs: 5, backoffMostMs: 10 };
    const { port: opcua } = new URL(plant.opcua.replace('opc.tcp', 'http'));
    const devices: readonly [port: number, to: (port: number) => Connection, tags: readonly Tag[]][] = [
      [
        Number(opcua),
        (port) => ({
          kind: 'opcua',
          endpoint: `opc.tcp://127.0.0.1:${port}`,
          security: 'none',
          user: undefined,
          secret: undefined,
        }),
        [tag(0, 'ns=1;s=Press.Bearing.RMS')],
      ],
      [
        plant.modbus.port,
        (port) => ({ kind: 'modbus', host: '127.0.0.1', port, unit: 1, order: 'abcd' }),
        [tag(0, 'input:30001', { type: 'float32', everyMs: 5 }), tag(1, 'coil:1', { type: 'bool', everyMs: 5 })],
      ],
      [
        plant.s7.port,
        (port) => ({ kind: 's7', host: '127.0.0.1', port, rack: 0, slot: 2 }),
        [tag(0, 'DB1,REAL0', { everyMs: 5 }), tag(1, 'M0.0', { everyMs: 5 })],
      ],
    ];
    const tried = await Promise.all(
      devices.map(async ([port, to, tags]) => {
        const line = await openRoughLine(port, seed, spoil);
        const { source, samples } = collect(to(line.port), tags, join(folder, 'pki'), timing);
        const until = performance.now() + 4_000;
        while (performance.now() < until) {
          await source.ask?.('mode');
          await sleep(50);
        }
        await source.stop();
        await line.stop();
        for (const { value, quality } of samples) expect(Number.isNaN(value)).toBe(quality === 'bad');
        return source.stats.failures;
      }),
    );
    for (const failures of tried) expect(failures).toBeGreaterThan(3);
  },
  30_000,
);
