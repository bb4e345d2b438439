import { readFileSync } from 'node:fs';
import { faultList } from './fault-list.ts';
import { type PlantOptions, startPlant } from './plant.ts';

/** What the command line may say, as texts. */
export interface PlantFlags {
  readonly config?: string | undefined;
  readonly seed?: string | undefined;
  readonly folder?: string | undefined;
  readonly replay?: string | undefined;
  readonly speed?: string | undefined;
  readonly replayStart?: string | undefined;
  readonly secure?: boolean | undefined;
  readonly opcuaPort?: string | undefined;
  readonly modbusPort?: string | undefined;
  readonly s7Port?: string | undefined;
  readonly pumpIntervalMs?: string | undefined;
  readonly parentPid?: string | undefined;
  readonly untilStdinCloses?: boolean | undefined;
  readonly listFaults?: boolean | undefined;
  readonly json?: boolean | undefined;
}

/**
 * Runs the plant until it is told to end, or lists its faults. When everything answers it says so: as one JSON line, or
 * in words. The control token comes from PLANT_TOKEN or is drawn; either way it is said there, which only the starter
 * reads. The file of `config` holds `PlantOptions` as JSON; flags win.
 */
export async function runPlant(flags: PlantFlags): Promise<void> {
  if (flags.listFaults) {
    process.stdout.write(faultList(flags.json ?? false));
    return;
  }
  let ending = false;
  let starting: ReturnType<typeof startPlant> | undefined;
  const end = (code: number): void => {
    if (ending) return;
    ending = true;
    // A server that will not close must not keep the process.
    setTimeout(() => process.exit(code), 2000).unref();
    (starting ?? Promise.reject(new Error('not started')))
      .then((plant) => plant.stop())
      .then(
        () => process.exit(code),
        () => process.exit(code || 1),
      );
  };
  try {
    starting = startPlant(optionsOf(flags));
  } catch (error) {
    starting = Promise.reject(error);
  }
  starting.catch(() => {});
  process.on('SIGTERM', () => end(0));
  process.on('SIGINT', () => end(0));
  // Whoever started us is gone: nobody will stop us any more.
  if (flags.untilStdinCloses)
    process.stdin
      .on('end', () => end(0))
      .on('error', () => end(0))
      .resume();
  if (flags.parentPid !== undefined) {
    const parent = Number(flags.parentPid);
    setInterval(() => {
      try {
        process.kill(parent, 0);
      } catch {
        end(0);
      }
    }, 500).unref();
  }
  try {
    const { opcua, modbus, s7, control, truthFile } = await starting;
    const line = { ready: true, pid: process.pid, opcua, modbus, s7, control, truth: truthFile };
    process.stdout.write(
      flags.json
        ? `${JSON.stringify(line)}\n`
        : [
            `pump skid, press              ${opcua}`,
            `conveyor, compressor          modbus://${modbus.host}:${modbus.port}/${modbus.unit}`,
            `oven                          s7://${s7.host}:${s7.port}  DB1`,
            `faults and machine states     ${control.url}/v1/status  (Authorization: Bearer ${control.token})`,
            `what really happened          ${truthFile}`,
            'Ctrl-C ends it.\n',
          ].join('\n'),
    );
  } catch (error) {
    process.stderr.write(`plant: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exit(1);
  }
}

function optionsOf(flags: PlantFlags): PlantOptions {
  const given = <T>(value: T | undefined, key: keyof PlantOptions): Partial<PlantOptions> =>
    value === undefined ? {} : { [key]: value };
  const number = (text: string | undefined): number | undefined => (text === undefined ? undefined : Number(text));
  const base: PlantOptions = flags.config === undefined ? {} : JSON.parse(readFileSync(flags.config, 'utf8'));
  const start = (flags.replayStart ?? base.replay?.start ?? 'subscribed') as 'now' | 'subscribed' | 'ordered';
  const file = flags.replay ?? base.replay?.file;
  return {
    ...base,
    ...given(flags.seed, 'seed'),
    ...given(flags.folder, 'folder'),
    ...given(flags.secure, 'secure'),
    ...given(process.env['PLANT_TOKEN'], 'token'),
    ...given(number(flags.opcuaPort), 'opcuaPort'),
    ...given(number(flags.modbusPort), 'modbusPort'),
    ...given(number(flags.s7Port), 's7Port'),
    ...given(number(flags.pumpIntervalMs), 'pumpIntervalMs'),
    ...(file === undefined ? {} : { replay: { file, speed: number(flags.speed) ?? base.replay?.speed ?? 20, start } }),
  };
}
