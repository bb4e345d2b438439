import type { EvidenceCurve, Excerpt } from '../../wire/evidence.ts';
import type { Columns } from './block.ts';
import { runOut } from './turns.ts';

/** The most that travels inside a report; the whole stays on the box. */
export const excerptBytes = 8_000;

export interface NamedColumns {
  readonly name: string;
  readonly unit: string | undefined;
  readonly columns: Columns;
  /** What is known of it beside its samples. */
  readonly marks?: Pick<EvidenceCurve, 'threshold' | 'shares' | 'limits'>;
}

/** More curves than this are never told; who reads series for an excerpt needs no more of them. */
export const excerptSeries = 8;

/** Fewer say nothing of what is usual. */
const usualFrom = 8;

/**
 * The curves of an evidence in at most `excerptBytes` of JSON: of each stretch of time the smallest and the largest
 * value, so that a spike of one sample is never smoothed away; fewer points, then fewer series, until it fits. Series
 * come in the order of their weight. `at`: when it was raised, which is where what was usual before is compared.
 */
export const excerpt = (series: readonly NamedColumns[], from: number, to: number, at: number = to): string =>
  runOut(excerptSteps(series, from, to, at));

/** The same in steps of about a millisecond where a series has tens of thousands of samples. */
export function* excerptSteps(
  series: readonly NamedColumns[],
  from: number,
  to: number,
  at: number,
): Generator<undefined, string> {
  const known: Known[] = [];
  for (const one of series.slice(0, excerptSeries)) {
    known.push({ one, ...(yield* beforeAndAt(one.columns, from, at)), byPoints: new Map() });
  }
  for (let count = known.length; count > 0; count--) {
    for (const points of [160, 100, 60, 40, 24, 12]) {
      const step = Math.max(1, to - from) / (points >> 1);
      const curves: EvidenceCurve[] = [];
      for (const { one, usual, raised, byPoints } of known.slice(0, count)) {
        const { name, unit, columns, marks } = one;
        let told = byPoints.get(points);
        if (told === undefined) {
          told = pointsOf(columns, from, step, points >> 1);
          byPoints.set(points, told);
          yield;
        }
        const about = { ...(unit === undefined ? {} : { unit }), ...marks, ...(usual && { usual }) };
        const said = raised === undefined ? about : { ...about, raised };
        curves.push({ name, points: told, ...said });
      }
      const text = JSON.stringify({ from, to, at, step: Math.round(step) / 1_000, curves } satisfies Excerpt);
      if (Buffer.byteLength(text) <= excerptBytes) return text;
      yield;
    }
  }
  return JSON.stringify({ from, to, curves: [] } satisfies Excerpt);
}

interface Known {
  readonly one: NamedColumns;
  readonly usual: [number, number] | undefined;
  readonly raised: number | undefined;
  /** What was reckoned already, by how many points there may be. */
  readonly byPoints: Map<number, EvidenceCurve['points']>;
}

function pointsOf(columns: Columns, from: number, width: number, stretches: number): EvidenceCurve['points'] {
  const kept: [number, number | null][] = [];
  let at = 0;
  for (let stretch = 0; stretch < stretches; stretch++) {
    const end = from + (stretch + 1) * width;
    let low = -1;
    let high = -1;
    let blind = -1;
    for (; at < columns.times.length && ((columns.times[at] ?? 0) < end || stretch === stretches - 1); at++) {
      if (!isGood(columns, at)) {
        blind = at;
        continue;
      }
      const value = columns.values[at] ?? 0;
      if (low < 0 || value < (columns.values[low] ?? 0)) low = at;
      if (high < 0 || value > (columns.values[high] ?? 0)) high = at;
    }
    const chosen = [...new Set([low, high])].filter((i) => i >= 0).sort((a, b) => a - b);
    if (chosen.length === 0 && blind >= 0) kept.push([seconds(columns.times[blind] ?? 0, from), null]);
    for (const i of chosen) kept.push([seconds(columns.times[i] ?? 0, from), short(columns.values[i] ?? 0)]);
  }
  return kept;
}

/** What was usual in the first half of what led to it, by what one wild sample does not move; and the value then. */
function* beforeAndAt(
  columns: Columns,
  from: number,
  at: number,
): Generator<undefined, Pick<Known, 'usual' | 'raised'>> {
  const early = new Float64Array(columns.times.length);
  let count = 0;
  let last: number | undefined;
  for (let i = 0; i < columns.times.length && (columns.times[i] ?? 0) <= at; i++) {
    if (!isGood(columns, i)) continue;
    last = columns.values[i] ?? 0;
    if ((columns.times[i] ?? 0) < (from + at) / 2) early[count++] = last;
  }
  yield;
  const raised = last === undefined ? undefined : short(last);
  if (count < usualFrom) return { usual: undefined, raised };
  const values = early.subarray(0, count).sort();
  const middle = median(values);
  yield;
  const spread = 1.4826 * median(values.map((value) => Math.abs(value - middle)).sort());
  yield;
  return { usual: [short(middle), short(spread)], raised };
}

const isGood = ({ values, qualities }: Columns, i: number): boolean =>
  Number.isFinite(values[i] ?? Number.NaN) && qualities[i] !== 2;

/** Of sorted values. */
function median(sorted: Float64Array): number {
  const half = sorted.length >> 1;
  const upper = sorted[half] ?? 0;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[half - 1] ?? upper)) / 2;
}

const seconds = (time: number, from: number): number => Math.round((time - from) / 100) / 10;
const short = (value: number): number => Number(value.toPrecision(5));
