import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Random } from '../../../agent/base/random.ts';
import { openModbusFace } from '../../../simulations/plant/modbus-face.ts';
import { openOpcUaFace } from '../../../simulations/plant/opcua-face.ts';
import type { ModbusRegister, OpcUaTag } from '../../../simulations/plant/register-map.ts';

/**
 * `node test/bench/senses/tag-server.ts opcua|modbus DEVICES TAGS`: so many devices of so many tags each, every tag with
 * a new value each second. Says where they are as one JSON line; ends with its standard input.
 */
const [protocol, devices, tags] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4])];
const folder = mkdtempSync(join(tmpdir(), 'millwright-tags-'));
const random = new Random('tags', 'server');
const names = Array.from({ length: tags }, (_, i) => `T${i}`);
const machines = Array.from({ length: devices }, (_, i) => `M${i}`);
type Write = (device: number, tag: number, value: number, at: Date) => void;

const { write, where } = protocol === 'opcua' ? await opcua() : await modbus();
process.stdout.write(`${JSON.stringify({ ready: true, where })}\n`);
process.stdin
  .on('end', () => {
    rmSync(folder, { recursive: true, force: true });
    process.exit(0);
  })
  .resume();
const tick = (): void => {
  const at = new Date();
  for (let device = 0; device < devices; device++) {
    for (let tag = 0; tag < tags; tag++) write(device, tag, 50 + tag + random.normal(), at);
  }
};
tick();
setInterval(tick, 1_000);

async function opcua(): Promise<{ write: Write; where: readonly string[] }> {
  const list = names.map(
    (name): OpcUaTag => ({ name, type: 'Double', unit: undefined, everyMs: 1_000, about: 'for the bench' }),
  );
  const face = await openOpcUaFace({
    host: '127.0.0.1',
    port: 0,
    folder: join(folder, 'pki'),
    secure: false,
    users: new Map(),
    machines: Object.fromEntries(machines.map((machine) => [machine, list])),
    onMonitored: () => {},
  });
  return {
    write: (device, tag, value, at) => face.write(machines[device]!, names[tag]!, value, at),
    where: machines.map(() => face.endpoint),
  };
}

async function modbus(): Promise<{ write: Write; where: readonly string[] }> {
  const registers = names.map(
    (name, i): ModbusRegister => ({
      name,
      table: 'input',
      address: `input:${30001 + 2 * i}`,
      offset: 2 * i,
      type: 'float32',
      unit: undefined,
      about: 'for the bench',
    }),
  );
  const faces = await Promise.all(
    machines.map(() => openModbusFace({ host: '127.0.0.1', port: 0, unit: 1, registers })),
  );
  return {
    write: (device, tag, value) => faces[device]!.write(names[tag]!, value),
    where: faces.map(({ host, port }) => `${host}:${port}`),
  };
}
