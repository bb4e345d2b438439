import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import type { Connection } from '../../../agent/driver/bindings.ts';
import { startPlant } from '../../../simulations/plant/plant.ts';
import { ovenTags } from '../../../simulations/plant/register-map.ts';
import { eventually } from '../../support/eventually.ts';
import { type Collected, clock, collect, tag } from './collector.ts';
import { to } from './opcua-bench.ts';

const undo: (() => Promise<unknown> | unknown)[] = [];
afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step();
});

async function plantOf() {
  const folder = mkdtempSync(join(tmpdir(), 'millwright-late-'));
  undo.push(() => rmSync(folder, { recursive: true, force: true }));
  const plant = await startPlant({ folder });
  undo.push(() => plant.stop());
  return { plant, folder };
}
const age = ({ last }: Collected): number => clock.now() - (last(0)?.receiveTime ?? Number.NEGATIVE_INFINITY);
const agesFor = async (collected: Collected, ms: number): Promise<number[]> => {
  const ages: number[] = [];
  for (const until = performance.now() + ms; performance.now() < until; ) {
    ages.push(age(collected));
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return ages;
};

test('s7: a controller that answers after three seconds → lost, and said; nothing comes that could pass as fresh', async () => {
  const { plant, folder } = await plantOf();
  const to: Connection = { kind: 's7', ...plant.s7, rack: 0, slot: 2 };
  const collected = collect(to, [tag(0, ovenTags[0].address, { everyMs: 200 })], folder);
  undo.push(() => collected.source.stop());
  await eventually(() => age(collected) < 500, { deadlineMs: 10_000 });
  plant.setFault('oven-late-answers', true);
  expect(plant.truth().at(-1)).toMatchObject({ fault: 'oven-late-answers', kind: 'late answers' });
  await eventually(() => collected.events.some((one) => one.startsWith('lost: ')), { deadlineMs: 10_000 });
  expect(Math.min(...(await agesFor(collected, 3_000)))).toBeGreaterThan(1_000);
  plant.setFault('oven-late-answers', false);
  await eventually(() => age(collected) < 500, { deadlineMs: 15_000, what: 'fresh values' });
}, 60_000);

test('opc ua: a server that answers one and a half seconds late → its values are that old for as long as it does, and nothing is lost', async () => {
  const { plant, folder } = await plantOf();
  const collected = collect(to(plant.opcua), [tag(0, 'ns=1;s=Press.Bearing.RMS')], join(folder, 'pki-agent'));
  undo.push(() => collected.source.stop());
  await eventually(() => age(collected) < 500, { deadlineMs: 10_000 });
  plant.setFault('press-late-answers', true, 0.5);
  await eventually(() => age(collected) > 1_490, { deadlineMs: 10_000, what: 'old values' });
  const before = collected.samples.length;
  expect(Math.min(...(await agesFor(collected, 10_000)))).toBeGreaterThan(1_490);
  expect(collected.samples.length).toBeGreaterThan(before + 80);
  expect(collected.events).toEqual(['found']);
  plant.setFault('press-late-answers', false);
  await eventually(() => age(collected) < 500, { deadlineMs: 5_000, what: 'fresh values' });
  expect(collected.events).toEqual(['found']);
}, 60_000);

test('opc ua: a server that answers after three seconds → lost or old, and nothing comes that could pass as fresh', async () => {
  const { plant, folder } = await plantOf();
  const tags = [tag(0, 'ns=1;s=Press.Bearing.RMS'), tag(1, 'ns=1;s=Pump.Pressure', { everyMs: 1_000 })];
  const collected = collect(to(plant.opcua), tags, join(folder, 'pki-agent'));
  undo.push(() => collected.source.stop());
  await eventually(() => age(collected) < 500, { deadlineMs: 10_000 });
  plant.setFault('press-late-answers', true);
  await eventually(() => age(collected) > 1_000, { deadlineMs: 10_000 });
  expect(Math.min(...(await agesFor(collected, 12_000)))).toBeGreaterThan(1_000);
  plant.setFault('press-late-answers', false);
  await eventually(() => age(collected) < 500, { deadlineMs: 15_000, what: 'fresh values' });
}, 60_000);
