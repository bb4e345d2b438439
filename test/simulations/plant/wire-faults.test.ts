import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import ModbusRTU from 'modbus-serial';
import { AttributeIds, OPCUAClient, TimestampsToReturn } from 'node-opcua';
// @ts-expect-error: it brings no types.
import NodeS7 from 'nodes7';
import { afterEach, expect, test } from 'vitest';
import { startPlant } from '../../../simulations/plant/plant.ts';
import { compressorRegisters, conveyorRegisters, ovenTags } from '../../../simulations/plant/register-map.ts';
import { eventually } from '../../support/eventually.ts';

const undo: (() => Promise<unknown> | unknown)[] = [];
afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step();
});

async function plantOf() {
  const folder = mkdtempSync(join(tmpdir(), 'millwright-test-'));
  undo.push(() => rmSync(folder, { recursive: true, force: true }));
  const plant = await startPlant({ folder });
  undo.push(() => plant.stop());
  return plant;
}

test('modbus: late answers come late, a wrong byte order turns the words; repaired → as before', async () => {
  const plant = await plantOf();
  const client = new ModbusRTU.default();
  await client.connectTCP(plant.modbus.host, { port: plant.modbus.port });
  undo.push(() => new Promise<void>((done) => client.close(() => done())));
  client.setID(plant.modbus.unit);
  client.setTimeout(5_000);
  const { offset } = conveyorRegisters.find(({ name }) => name === 'speed')!;
  const speed = async (): Promise<number> => (await client.readInputRegisters(offset, 2)).buffer.readFloatBE(0);
  await eventually(async () => Math.abs((await speed()) - 0.5) < 0.05, { what: 'a moving belt' });

  plant.setFault('conveyor-wrong-byte-order', true);
  expect(Math.abs((await speed()) - 0.5)).toBeGreaterThan(0.1);
  const words = (await client.readInputRegisters(offset, 2)).data;
  const turned = Buffer.alloc(4);
  turned.writeUInt16BE(words[1]!, 0);
  turned.writeUInt16BE(words[0]!, 2);
  expect(Math.abs(turned.readFloatBE(0) - 0.5)).toBeLessThan(0.05);
  plant.setFault('conveyor-wrong-byte-order', false);
  expect(Math.abs((await speed()) - 0.5)).toBeLessThan(0.05);

  plant.setFault('conveyor-late-answers', true, 0.1);
  // The fault is on with the plant's next step.
  const took = await eventually(
    async () => {
      const begun = performance.now();
      await speed();
      const ms = performance.now() - begun;
      return ms >= 290 ? ms : undefined;
    },
    { what: 'a late answer' },
  );
  expect(took).toBeLessThan(2_000);

  const air = compressorRegisters.find(({ name }) => name === 'air-pressure')!;
  plant.setFault('conveyor-late-answers', false);
  const pressure = (await client.readInputRegisters(air.offset, 2)).buffer.readFloatBE(0);
  expect(pressure).toBeGreaterThan(6);
  expect(pressure).toBeLessThan(7.5);
});

test('opc ua: a controller in STOP → its mode says so, its values turn uncertain and stand; RUN → good and moving', async () => {
  const plant = await plantOf();
  const client = OPCUAClient.create({ endpointMustExist: false });
  await client.connect(plant.opcua);
  undo.push(() => client.disconnect());
  const session = await client.createSession();
  undo.push(() => session.close());
  const read = (tag: string) => session.read({ nodeId: `ns=1;s=${tag}`, attributeId: AttributeIds.Value });
  await eventually(async () => (await read('Press.Plc.Mode')).value.value === 1, { what: 'RUN' });

  plant.setFault('press-plc-stop', true);
  await eventually(async () => (await read('Press.Plc.Mode')).value.value === 0, { what: 'STOP' });
  const held = await read('Press.Bearing.RMS');
  expect(held.statusCode.name).toBe('UncertainLastUsableValue');
  await new Promise((done) => setTimeout(done, 250));
  const later = await read('Press.Bearing.RMS');
  expect(later.sourceTimestamp).toEqual(held.sourceTimestamp);
  expect(later.value.value).toBe(held.value.value);
  expect((await read('Pump.State')).statusCode.isGood()).toBe(true);

  plant.setFault('press-plc-stop', false);
  await eventually(async () => (await read('Press.Bearing.RMS')).statusCode.isGood(), { what: 'RUN again' });
});

test('opc ua: late answers come late, what is said unasked as well, all in its order; repaired → as before', async () => {
  const plant = await plantOf();
  const client = OPCUAClient.create({ endpointMustExist: false });
  await client.connect(plant.opcua);
  undo.push(() => client.disconnect());
  const session = await client.createSession();
  undo.push(() => session.close());
  const took = async (): Promise<number> => {
    const begun = performance.now();
    await session.read({ nodeId: 'ns=1;s=Pump.State', attributeId: AttributeIds.Value });
    return performance.now() - begun;
  };
  const subscription = await session.createSubscription2({
    requestedPublishingInterval: 100,
    requestedMaxKeepAliveCount: 10,
    requestedLifetimeCount: 100,
    publishingEnabled: true,
  });
  const item = await subscription.monitor(
    { nodeId: 'ns=1;s=Press.Bearing.RMS', attributeId: AttributeIds.Value },
    { samplingInterval: 0, queueSize: 100, discardOldest: true },
    TimestampsToReturn.Both,
  );
  const said: { readonly stamp: number; readonly late: number }[] = [];
  item.on('changed', ({ sourceTimestamp }) => {
    const stamp = sourceTimestamp?.getTime() ?? 0;
    said.push({ stamp, late: Date.now() - stamp });
  });
  await eventually(() => said.length > 3, { what: 'values' });

  plant.setFault('press-late-answers', true, 0.2);
  expect(plant.truth().at(-1)).toMatchObject({ fault: 'press-late-answers', kind: 'late answers' });
  await eventually(async () => (await took()) >= 595, { what: 'a late answer' });
  const before = said.length;
  await eventually(() => said.length > before + 5, { what: 'values that come late' });
  for (const { late } of said.slice(before)) expect(late).toBeGreaterThan(590);

  plant.setFault('press-late-answers', false);
  await eventually(async () => (await took()) < 300, { what: 'a prompt answer' });
  const stamps = said.map(({ stamp }) => stamp);
  expect(stamps).toEqual([...stamps].sort((a, b) => a - b));
});

test('s7: the oven’s controller says its mode and its values; in STOP they stand still', async () => {
  const plant = await plantOf();
  const client: {
    initiateConnection(to: object, done: (error?: unknown) => void): void;
    addItems(item: string): void;
    readAllItems(done: (bad: boolean, values: Record<string, number>) => void): void;
    dropConnection(done: () => void): void;
  } = new NodeS7({ silent: true });
  await new Promise<void>((done, failed) =>
    client.initiateConnection({ ...plant.s7, rack: 0, slot: 2, timeout: 4_000 }, (error) =>
      error === undefined ? done() : failed(new Error(String(error))),
    ),
  );
  undo.push(() => new Promise<void>((done) => client.dropConnection(done)));
  for (const { address } of ovenTags) client.addItems(address);
  const read = () =>
    new Promise<Record<string, number>>((done, failed) =>
      client.readAllItems((bad, values) => (bad ? failed(new Error('bad values')) : done(values))),
    );
  const zone = ovenTags[0].address;
  const warm = await eventually(async () => {
    const values = await read();
    return (values[zone] ?? 0) > 150 && values;
  });
  expect(Object.keys(warm)).toHaveLength(ovenTags.length);
  await eventually(async () => (await read())[zone] !== warm[zone], { what: 'a value that moves' });
  plant.setFault('oven-plc-stop', true);
  await eventually(async () => {
    const [a, b] = [await read(), await new Promise((done) => setTimeout(done, 450)).then(read)];
    return a[zone] === b[zone];
  });
});
