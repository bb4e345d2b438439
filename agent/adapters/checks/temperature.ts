import { readdir, readFile } from 'node:fs/promises';
import type { CheckObservation } from '../../core/health/check.ts';
import { measured, notKnown, type ProbeContext, rounded } from './probe.ts';

/** A sensor as the box names it: `coretemp/Package id 0`, `x86_pkg_temp`. */
interface Sensor {
  readonly name: string;
  readonly celsius: number;
}

/**
 * Temperature in °C of the sensor with that name, or of the hottest when none is named. Sensors are those of
 * `/sys/class/hwmon` (`chip/label`, `chip/temp1`) and `/sys/class/thermal` (the zone's type).
 */
export async function temperatureProbe(wanted: string | undefined, context: ProbeContext): Promise<CheckObservation> {
  const sensors =
    process.platform === 'linux' || context.roots.sys !== '/sys'
      ? await readSensors(context.roots.sys)
      : await elsewhere();
  if (sensors.length === 0) return notKnown('temperature: this box has no sensor');
  const fitting =
    wanted === undefined
      ? sensors
      : sensors.filter(({ name }) => name === wanted || name.startsWith(`${wanted}/`) || name.endsWith(`/${wanted}`));
  const hottest = fitting.reduce<Sensor | undefined>(
    (best, sensor) => (best === undefined || sensor.celsius > best.celsius ? sensor : best),
    undefined,
  );
  if (hottest === undefined) {
    const names = sensors.slice(0, 12).map((sensor) => sensor.name);
    return notKnown(`temperature: there is no sensor "${wanted}"; there are ${names.join(', ')}`);
  }
  const value = rounded(hottest.celsius);
  return measured(value, '°C', 'temperature', `${hottest.name} ${value} °C`);
}

async function readSensors(sys: string): Promise<Sensor[]> {
  const sensors: Sensor[] = [];
  const add = (name: string, text: string | undefined) => {
    const celsius = text === undefined || text === '' ? Number.NaN : Number(text) / 1000;
    // Absent probes read as -273 or 0xff…; a box that is below -55 or above 250 °C runs no agent.
    if (celsius > -55 && celsius < 250) sensors.push({ name, celsius });
  };
  for (const zone of await names(`${sys}/class/thermal`, /^thermal_zone\d+$/)) {
    const folder = `${sys}/class/thermal/${zone}`;
    add((await line(`${folder}/type`)) ?? zone, await line(`${folder}/temp`));
  }
  for (const chip of await names(`${sys}/class/hwmon`, /^hwmon\d+$/)) {
    const folder = `${sys}/class/hwmon/${chip}`;
    const chipName = (await line(`${folder}/name`)) ?? chip;
    for (const input of await names(folder, /^temp\d+_input$/)) {
      const label = await line(`${folder}/${input.replace('_input', '_label')}`);
      add(`${chipName}/${label ?? input.replace('_input', '')}`, await line(`${folder}/${input}`));
    }
  }
  return sensors;
}

const names = async (folder: string, pattern: RegExp): Promise<string[]> => {
  try {
    return (await readdir(folder))
      .filter((name) => pattern.test(name))
      .sort()
      .slice(0, 256);
  } catch {
    return [];
  }
};

const line = async (path: string): Promise<string | undefined> => {
  try {
    return (await readFile(path, 'utf8')).trim();
  } catch {
    return undefined;
  }
};

/** Not Linux: one figure by systeminformation, loaded only here. */
async function elsewhere(): Promise<Sensor[]> {
  const { default: systeminformation } = await import('systeminformation');
  const { main } = await systeminformation.cpuTemperature();
  return typeof main === 'number' ? [{ name: 'cpu', celsius: main }] : [];
}
