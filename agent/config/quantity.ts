import type { Result } from '../base/result.ts';
import { err, ok } from '../base/result.ts';

/** A unit as multiple of its dimension's base: base = value * factor + offset. Only temperatures have an offset. */
export interface Unit {
  readonly name: string;
  readonly dimension: string;
  readonly factor: number;
  readonly offset: number;
}

/**
 * The units of plant floors, in a table of our own: libraries for units parse prose and accept what we must refuse
 * ("5 m" is five metres or five minutes by context), and `°C` beside `K` and `bar` beside `mbar` is all that a
 * threshold needs. `g` is the acceleration, as vibration people write it; masses start at kg. `min` is a minute.
 */
const table: Readonly<Record<string, Readonly<Record<string, number | readonly [number, number]>>>> = {
  time: { us: 1e-6, µs: 1e-6, ms: 1e-3, s: 1, min: 60, h: 3600, d: 86_400 },
  length: { µm: 1e-6, um: 1e-6, mm: 1e-3, cm: 1e-2, m: 1, km: 1e3 },
  speed: { 'mm/s': 1e-3, 'm/s': 1, 'm/min': 1 / 60, 'km/h': 1 / 3.6 },
  acceleration: { 'mm/s²': 1e-3, 'm/s²': 1, 'm/s2': 1, g: 9.80665, mg: 9.80665e-3 },
  pressure: { Pa: 1, hPa: 100, kPa: 1e3, MPa: 1e6, mbar: 100, bar: 1e5, psi: 6894.757293168 },
  temperature: { K: 1, '°C': [1, 273.15], '°F': [5 / 9, 459.67 * (5 / 9)] },
  current: { µA: 1e-6, mA: 1e-3, A: 1, kA: 1e3 },
  voltage: { µV: 1e-6, mV: 1e-3, V: 1, kV: 1e3 },
  power: { mW: 1e-3, W: 1, kW: 1e3, MW: 1e6 },
  energy: { J: 1, kJ: 1e3, MJ: 1e6, Wh: 3600, kWh: 3.6e6, MWh: 3.6e9 },
  resistance: { mΩ: 1e-3, Ω: 1, kΩ: 1e3, MΩ: 1e6 },
  ratio: { ppm: 1e-6, '‰': 1e-3, '%': 1e-2 },
  flow: { 'l/h': 1 / 3.6e6, 'l/min': 1 / 6e4, 'l/s': 1e-3, 'm³/h': 1 / 3600, 'm3/h': 1 / 3600, 'm³/s': 1 },
  'mass flow': { 'kg/h': 1 / 3600, 'kg/min': 1 / 60, 'kg/s': 1, 't/h': 1 / 3.6 },
  volume: { ml: 1e-6, l: 1e-3, 'm³': 1, m3: 1 },
  mass: { kg: 1, t: 1e3 },
  force: { N: 1, kN: 1e3, MN: 1e6 },
  torque: { Ncm: 1e-2, Nm: 1, kNm: 1e3 },
  frequency: { Hz: 1, kHz: 1e3, MHz: 1e6, rpm: 1 / 60, '1/min': 1 / 60 },
  angle: { rad: 1, '°': Math.PI / 180, deg: Math.PI / 180 },
  conductivity: { 'µS/cm': 1e-4, 'mS/cm': 0.1, 'S/m': 1 },
  bytes: { B: 1, kB: 1e3, MB: 1e6, GB: 1e9, TB: 1e12, KiB: 1024, MiB: 1_048_576, GiB: 1_073_741_824 },
  'data rate': {
    'B/s': 1,
    'kB/s': 1e3,
    'MB/s': 1e6,
    'GB/s': 1e9,
    'bit/s': 0.125,
    'kbit/s': 125,
    'Mbit/s': 125e3,
    'Gbit/s': 125e6,
  },
  sound: { dB: 1 },
  acidity: { pH: 1 },
  count: { count: 1 },
};

const units = new Map<string, Unit>();
for (const [dimension, members] of Object.entries(table)) {
  for (const [name, value] of Object.entries(members)) {
    const [factor, offset] = typeof value === 'number' ? [value, 0] : value;
    units.set(name, { name, dimension, factor, offset });
  }
}
// Other ways in which keyboards write the same signs.
for (const [alias, name] of [
  ['degC', '°C'],
  ['degF', '°F'],
  ['μm', 'µm'],
  ['μs', 'µs'],
  ['μA', 'µA'],
  ['μS/cm', 'µS/cm'],
  ['mm/s2', 'mm/s²'],
  ['m3/s', 'm³/s'],
  ['ohm', 'Ω'],
  ['kOhm', 'kΩ'],
] as const) {
  units.set(alias, units.get(name)!);
}

export const unitNames = (): readonly string[] => [...units.keys()];
export const unitOf = (name: string): Unit | undefined => units.get(name);

/** A number with its unit, as written. */
export interface Quantity {
  readonly value: number;
  readonly unit: Unit | undefined;
}

const quantityForm = /^([+-]?(?:\d+(?:[_ ]\d{3})*|\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?)\s*(.*)$/u;

/** `7.1 mm/s`, `80%`, `500ms`, `3`; also a bare YAML number. The error is a sentence without its subject. */
export function parseQuantity(text: unknown): Result<Quantity, string> {
  if (typeof text === 'number') {
    return Number.isFinite(text) ? ok({ value: text, unit: undefined }) : err('is not a finite number');
  }
  if (typeof text !== 'string') return err('is not a quantity');
  const match = quantityForm.exec(text.trim());
  if (match === null || match[1] === '' || match[1] === '+' || match[1] === '-') return err(`"${text}" has no number`);
  const value = Number(match[1]!.replaceAll(/[_ ]/g, ''));
  if (!Number.isFinite(value)) return err(`"${text}" is not a number that can be used`);
  const unitText = match[2]!.trim();
  if (unitText === '') return ok({ value, unit: undefined });
  const unit = units.get(unitText);
  if (unit === undefined) return err(`"${unitText}" is not a unit that is known here`);
  return ok({ value, unit });
}

/** Factor and offset that turn a value in `from` into a value in `to`; undefined when they do not compare. */
export function conversion(from: Unit, to: Unit): { readonly factor: number; readonly offset: number } | undefined {
  if (from.dimension !== to.dimension) return undefined;
  if (from === to) return { factor: 1, offset: 0 };
  return { factor: tidy(from.factor / to.factor), offset: tidy((from.offset - to.offset) / to.factor) };
}

export function convert(value: number, from: Unit, to: Unit): number | undefined {
  const how = conversion(from, to);
  return how === undefined ? undefined : tidy(value * how.factor + how.offset);
}

/** Twelve digits: below that stands only the dust of binary fractions, and limits are shown to people. */
const tidy = (value: number): number => Number(value.toPrecision(12));

/** A length of time in milliseconds: `200ms`, `5 s`, `2 min`, `1h`, `7d`; also `10m` for minutes, as people write. */
export function parseDuration(text: unknown): Result<number, string> {
  if (typeof text === 'number') return err(`${text} has no unit: say ${text}s or ${text}ms`);
  if (typeof text !== 'string') return err('is not a time such as 5s or 200ms');
  const minutes = /^\s*(\d+(?:\.\d+)?)\s*m\s*$/.exec(text);
  if (minutes !== null) return ok(Number(minutes[1]) * 60_000);
  const quantity = parseQuantity(text);
  if (!quantity.ok) return err(`"${text}" is not a time: say for example 5s, 200ms, 10m or 8h`);
  const unit = quantity.value.unit;
  if (unit === undefined) return err(`${text} has no unit: say ${text}s or ${text}ms`);
  if (unit.dimension !== 'time') return err(`"${text}" is a ${unit.dimension}, not a time`);
  if (quantity.value.value < 0) return err(`"${text}" is before it began`);
  return ok(tidy(quantity.value.value * unit.factor * 1000));
}

/** For people: the largest unit that keeps it short, `90s` stays `1.5 min`. */
export function formatDuration(ms: number): string {
  for (const [unit, size] of [
    ['d', 86_400_000],
    ['h', 3_600_000],
    ['min', 60_000],
    ['s', 1_000],
  ] as const) {
    if (ms >= size) return `${tidy(Math.round((ms / size) * 1000) / 1000)} ${unit}`;
  }
  return `${tidy(ms)} ms`;
}
