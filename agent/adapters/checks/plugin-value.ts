import type { PerfDatum } from '../../core/health/check.ts';
import type { ProbeOf } from '../../driver/bindings.ts';

/** Unit in which limits on performance data are compared; units of one kind are converted to it. */
export type PerfUnit = NonNullable<ProbeOf<'plugin'>['perf']>['unit'];

const factors: Readonly<Record<PerfUnit, Readonly<Record<string, number>>>> = {
  s: { s: 1, ms: 1e-3, us: 1e-6, µs: 1e-6, μs: 1e-6, ns: 1e-9, min: 60, m: 60, h: 3_600, d: 86_400 },
  // The guidelines count in steps of 1000; plugins that mean 1024 say so.
  B: {
    B: 1,
    KB: 1e3,
    kB: 1e3,
    MB: 1e6,
    GB: 1e9,
    TB: 1e12,
    PB: 1e15,
    KiB: 2 ** 10,
    MiB: 2 ** 20,
    GiB: 2 ** 30,
    TiB: 2 ** 40,
    b: 1,
  },
  '%': { '%': 1 },
  // A counter (c) is a number as well; so is anything in a unit that is no unit of ours.
  '': { '': 1, c: 1 },
};

/**
 * The value of one item of performance data in the wanted unit, or why there is none: no such label, `U`, a unit that
 * cannot be compared.
 */
export function perfValue(
  items: readonly PerfDatum[],
  label: string,
  unit: PerfUnit,
): { readonly value: number } | { readonly why: string } {
  const item = items.find((one) => one.label === label);
  if (item === undefined) {
    const there = items.slice(0, 12).map((one) => one.label);
    return {
      why:
        there.length === 0 ? 'there is no performance data' : `there is no "${label}"; there are ${there.join(', ')}`,
    };
  }
  if (item.value === undefined) return { why: `"${label}" could not be measured (U)` };
  const factor = factors[unit][item.unit];
  if (factor !== undefined) return { value: item.value * factor };
  if (unit === '') return { value: item.value };
  return { why: `"${label}" is ${item.unit === '' ? 'without a unit' : `in ${item.unit}`}, its limits are in ${unit}` };
}
