import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { type PlantOptions, startPlant } from './plant.ts';

/**
 * `node simulations/plant/main.ts [--config FILE] [--seed N] [--folder DIR] [--replay FILE --speed N] [--secure]
 * [--replay-start now|subscribed|ordered] [--opcua-port N] [--modbus-port N] [--parent-pid N] [--until-stdin-closes]`
 *
 * Prints one JSON line when everything answers. The control token comes from PLANT_TOKEN or is drawn; either way it
 * is in that line, which only the starter reads. The file of `--config` holds `PlantOptions` as JSON; flags win.
 */
const { values: flags } = parseArgs({
  options: {
    config: { type: 'string' },
    seed: { type: 'string' },
    folder: { type: 'string' },
    replay: { type: 'string' },
    speed: { type: 'string' },
    'replay-start': { type: 'string' },
    secure: { type: 'boolean' },
    'opcua-port': { type: 'string' },
    'modbus-port': { type: 'string' },
    'pump-interval-ms': { type: 'string' },
    'parent-pid': { type: 'string' },
    'until-stdin-closes': { type: 'boolean' },
  },
});

const given = <T>(value: T | undefined, key: keyof PlantOptions): Partial<PlantOptions> =>
  value === undefined ? {} : { [key]: value };
const number = (text: string | undefined): number | undefined => (text === undefined ? undefined : Number(text));

const base: PlantOptions = flags.config === undefined ? {} : JSON.parse(readFileSync(flags.config, 'utf8'));
const start = (flags['replay-start'] ?? base.replay?.start ?? 'subscribed') as 'now' | 'subscribed' | 'ordered';
const file = flags.replay ?? base.replay?.file;
const options: PlantOptions = {
  ...base,
  ...given(flags.seed, 'seed'),
  ...given(flags.folder, 'folder'),
  ...given(flags.secure, 'secure'),
  ...given(process.env['PLANT_TOKEN'], 'token'),
  ...given(number(flags['opcua-port']), 'opcuaPort'),
  ...given(number(flags['modbus-port']), 'modbusPort'),
  ...given(number(flags['pump-interval-ms']), 'pumpIntervalMs'),
  ...(file === undefined ? {} : { replay: { file, speed: number(flags.speed) ?? base.replay?.speed ?? 20, start } }),
};

const starting = startPlant(options);
let ending = false;
const end = (code: number): void => {
  if (ending) return;
  ending = true;
  // A server that will not close must not keep the process.
  setTimeout(() => process.exit(code), 2000).unref();
  starting
    .then((plant) => plant.stop())
    .then(
      () => process.exit(code),
      () => process.exit(code || 1),
    );
};
process.on('SIGTERM', () => end(0));
process.on('SIGINT', () => end(0));
// Whoever started us is gone: nobody will stop us any more.
if (flags['until-stdin-closes'])
  process.stdin
    .on('end', () => end(0))
    .on('error', () => end(0))
    .resume();
if (flags['parent-pid'] !== undefined) {
  const parent = Number(flags['parent-pid']);
  setInterval(() => {
    try {
      process.kill(parent, 0);
    } catch {
      end(0);
    }
  }, 500).unref();
}

try {
  const plant = await starting;
  const { opcua, modbus, control, truthFile } = plant;
  process.stdout.write(
    `${JSON.stringify({ ready: true, pid: process.pid, opcua, modbus, control, truth: truthFile })}\n`,
  );
} catch (error) {
  process.stderr.write(`plant: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
}
