import type { Columns } from './block.ts';

/** The most that travels inside a report; the whole stays on the box. */
export const excerptBytes = 8_000;

export interface NamedColumns {
  readonly name: string;
  readonly unit: string | undefined;
  readonly columns: Columns;
}

/** `[seconds from the first time, value or null]`: what a person needs to see that something went up. */
interface Curve {
  readonly name: string;
  readonly unit?: string;
  readonly points: readonly (readonly [number, number | null])[];
}

/**
 * The curves of an evidence in at most `excerptBytes` of JSON: of each stretch of time the smallest and the largest
 * value, so that a spike of one sample is never smoothed away; fewer points, then fewer series, until it fits. Series
 * come in the order of their weight.
 */
export function excerpt(series: readonly NamedColumns[], from: number, to: number): string {
  for (let count = Math.min(series.length, 8); count > 0; count--) {
    for (const points of [60, 40, 24, 12]) {
      const curves = series.slice(0, count).map((one) => curve(one, from, to, points));
      const text = JSON.stringify({ from, to, curves });
      if (Buffer.byteLength(text) <= excerptBytes) return text;
    }
  }
  return JSON.stringify({ from, to, curves: [] });
}

function curve({ name, unit, columns }: NamedColumns, from: number, to: number, points: number): Curve {
  const stretches = Math.max(1, points >> 1);
  const width = Math.max(1, to - from) / stretches;
  const kept: [number, number | null][] = [];
  let at = 0;
  for (let stretch = 0; stretch < stretches; stretch++) {
    const end = from + (stretch + 1) * width;
    let low = -1;
    let high = -1;
    let blind = -1;
    for (; at < columns.times.length && ((columns.times[at] ?? 0) < end || stretch === stretches - 1); at++) {
      const value = columns.values[at] ?? Number.NaN;
      if (!Number.isFinite(value) || columns.qualities[at] === 2) {
        blind = at;
        continue;
      }
      if (low < 0 || value < (columns.values[low] ?? 0)) low = at;
      if (high < 0 || value > (columns.values[high] ?? 0)) high = at;
    }
    const chosen = [...new Set([low, high])].filter((i) => i >= 0).sort((a, b) => a - b);
    if (chosen.length === 0 && blind >= 0) kept.push([seconds(columns.times[blind] ?? 0, from), null]);
    for (const i of chosen) kept.push([seconds(columns.times[i] ?? 0, from), short(columns.values[i] ?? 0)]);
  }
  return { name, ...(unit === undefined ? {} : { unit }), points: kept };
}

const seconds = (time: number, from: number): number => Math.round((time - from) / 100) / 10;
const short = (value: number): number => Number(value.toPrecision(5));
