import { type EvidenceCurve, scorePrefix } from '../../../agent/wire/evidence.ts';
import type { EvidenceView } from '../../api/schemas.ts';

/**
 * What the charts of an evidence show, worked out without a browser. Time is in seconds from the moment of the alarm:
 * before it negative. A line breaks where nothing was heard and where the value was bad; it is never drawn across.
 */
export interface Line {
  readonly xs: readonly number[];
  readonly ys: readonly (number | null)[];
  readonly shades: readonly Shade[];
}

/** `gap`: no sample came. `bad`: samples came, and their source called them bad. */
export interface Shade {
  readonly kind: 'gap' | 'bad';
  readonly from: number;
  readonly to: number;
}

export type Span = Pick<EvidenceView, 'from' | 'to' | 'at' | 'step'>;

/** So many stretches, or so many of the curve's own pauses, without a point are a gap. */
const gapSteps = 2.6;
const gapPauses = 3.5;

/** Beginning and end of an evidence in seconds from its alarm. */
export const spanOf = ({ from, to, at }: Span): readonly [number, number] => [(from - at) / 1_000, (to - at) / 1_000];

export function lineOf({ points }: Pick<EvidenceCurve, 'points'>, span: Span): Line {
  const [first, last] = spanOf(span);
  const xs: number[] = [];
  const ys: (number | null)[] = [];
  const shades: Shade[] = [];
  const pauses = points.slice(1).map(([x], i) => x - (points[i]?.[0] ?? x));
  const patience = Math.max(gapSteps * span.step, gapPauses * median(pauses));
  let before = first;
  let badFrom: number | undefined;
  for (const [seconds, value] of points) {
    const x = first + seconds;
    if (x - before > patience) {
      shades.push({ kind: 'gap', from: before, to: x });
      if (xs.length > 0) {
        xs.push((before + x) / 2);
        ys.push(null);
      }
    }
    if (value === null) badFrom ??= xs.length === 0 ? x : before;
    else if (badFrom !== undefined) {
      shades.push({ kind: 'bad', from: badFrom, to: x });
      badFrom = undefined;
    }
    xs.push(x);
    ys.push(value);
    before = x;
  }
  if (badFrom !== undefined) shades.push({ kind: 'bad', from: badFrom, to: before });
  if (last - before > patience) shades.push({ kind: 'gap', from: before, to: last });
  return { xs, ys, shades };
}

/** The value at a moment, or why there is none. */
export function valueAt(line: Line, x: number, step: number): number | 'gap' | 'bad' {
  const shade = line.shades.find(({ from, to }) => x > from && x < to);
  let nearest: number | undefined;
  let distance = Number.POSITIVE_INFINITY;
  for (let i = 0; i < line.xs.length; i++) {
    const away = Math.abs((line.xs[i] ?? 0) - x);
    if (line.ys[i] === null || away >= distance) continue;
    distance = away;
    nearest = line.ys[i] ?? undefined;
  }
  if (nearest === undefined || (shade !== undefined && distance > step)) return shade?.kind ?? 'gap';
  return nearest;
}

/** A limit that the chart draws. */
export interface Mark {
  readonly kind: 'threshold' | 'warn' | 'crit';
  readonly side: 'above' | 'below';
  readonly value: number;
}

export const marksOf = ({ threshold, limits }: EvidenceCurve): Mark[] => [
  ...(threshold === undefined ? [] : [{ kind: 'threshold', side: 'above', value: threshold } as const]),
  ...(limits ?? []).map(({ level, ...rest }) => ({ kind: level, ...rest })),
];

/** So far beyond the values (in their own range) a limit is told and not drawn: it would flatten everything else. */
const farLimit = 4;

/** Lowest and highest value of the vertical axis, with a little air, and the limits that lie within. */
export function rangeOf(
  line: Line,
  marks: readonly Mark[],
): { readonly range: [number, number]; readonly drawn: Mark[] } {
  const values = line.ys.filter((y): y is number => y !== null);
  let low = Math.min(...values);
  let high = Math.max(...values);
  if (!Number.isFinite(low)) [low, high] = [0, 1];
  const extent = Math.max(high - low, Math.abs(high) * 1e-3, 1e-9);
  const drawn = marks.filter(({ value }) => value > low - farLimit * extent && value < high + farLimit * extent);
  for (const { value } of drawn) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  const air = Math.max((high - low) * 0.12, Math.abs(high) * 1e-3, 1e-9);
  return { range: [low - air, high + air], drawn };
}

export const isScore = ({ name }: Pick<EvidenceCurve, 'name'>): boolean => name.startsWith(scorePrefix);

/** The model's or the signal's own name, without the thing that the page is about. */
export const plainName = (curve: Pick<EvidenceCurve, 'name'>, thing: string): string => {
  const name = isScore(curve) ? curve.name.slice(scorePrefix.length) : curve.name;
  return name.startsWith(`${thing}/`) ? name.slice(thing.length + 1) : name;
};

/** One signal's part in an alarm. */
export interface Part {
  readonly curve: EvidenceCurve;
  /** Share of the model's score, 0..1; undefined: no model says. */
  readonly share: number | undefined;
  /** How far the value then lay from what was usual, in usual spreads; undefined: too little was there to tell. */
  readonly spreads: number | undefined;
  readonly direction: 'above' | 'below' | undefined;
  /** The limit that it was beyond, the worse one of two. */
  readonly beyond: Mark | undefined;
}

/** A sensor that stood still has no spread to measure by: then only no change at all is as usual. */
const spreadsOf = (away: number, spread: number): number | undefined =>
  spread > 0 ? away / spread : away === 0 ? 0 : undefined;

/** Signals in the order of their part in it: by the model's word, then by how unusual they were. */
export function partsOf(curves: readonly EvidenceCurve[]): Part[] {
  const shares = curves.find((curve) => curve.shares !== undefined && Object.keys(curve.shares).length > 0)?.shares;
  return curves
    .filter((curve) => !isScore(curve))
    .map((curve): Part => {
      const { raised, usual } = curve;
      const away = raised === undefined || usual === undefined ? undefined : raised - usual[0];
      const beyond = marksOf(curve)
        .filter(({ side, value }) => raised !== undefined && (side === 'above' ? raised > value : raised < value))
        .sort((a, b) => (a.kind === 'crit' ? 0 : 1) - (b.kind === 'crit' ? 0 : 1))[0];
      return {
        curve,
        share: shares?.[curve.name],
        spreads: away === undefined || usual === undefined ? undefined : spreadsOf(Math.abs(away), usual[1]),
        direction: away === undefined || away === 0 ? undefined : away > 0 ? 'above' : 'below',
        beyond,
      };
    })
    .sort((a, b) => (b.share ?? 0) - (a.share ?? 0) || (b.spreads ?? 0) - (a.spreads ?? 0));
}

/** Signals in the order of their part, then the scores: as the charts stand below each other. */
export const inOrder = (curves: readonly EvidenceCurve[]): EvidenceCurve[] => [
  ...partsOf(curves).map(({ curve }) => curve),
  ...curves.filter(isScore),
];

export interface TableRow {
  readonly from: number;
  readonly to: number;
  readonly cells: readonly ({ readonly low: number; readonly high: number } | 'gap' | 'bad')[];
}

/** The same in so many rows of equal time, for whoever does not see the charts. */
export function tableOf(lines: readonly Line[], span: Span, rows = 24): TableRow[] {
  const [first, last] = spanOf(span);
  const width = (last - first) / rows;
  return Array.from({ length: rows }, (_, n) => {
    const [from, to] = [first + n * width, first + (n + 1) * width];
    const cells = lines.map(({ xs, ys, shades }) => {
      const inside = ys.filter((y, i): y is number => {
        const x = xs[i] ?? Number.NaN;
        return y !== null && x >= from && (x < to || n === rows - 1);
      });
      if (inside.length > 0) return { low: Math.min(...inside), high: Math.max(...inside) };
      return shades.find((shade) => shade.from < to && shade.to > from)?.kind ?? 'gap';
    });
    return { from, to, cells };
  });
}

/** Which evidence belongs to what the page shows, and what is to be said where none does. */
export type Found =
  | { readonly kind: 'this' | 'earlier'; readonly view: EvidenceView }
  /** It was raised a moment ago. */
  | { readonly kind: 'awaited' }
  | { readonly kind: 'none' };

/** A box tells within seconds; over a broken line later. */
export const awaitedMs = 60_000;
/** What followed is told two minutes after; later than this it is late. */
export const followedMs = 240_000;

export function findEvidence(
  items: readonly EvidenceView[],
  alarm: { readonly occurrence: string; readonly receivedAt: number },
  asked: string,
  now: number,
): Found {
  const chosen = asked === '' ? undefined : items.find((item) => item.evidence === asked);
  if (chosen !== undefined) return { kind: chosen.occurrence === alarm.occurrence ? 'this' : 'earlier', view: chosen };
  const own = items.find((item) => item.occurrence === alarm.occurrence);
  if (own !== undefined) return { kind: 'this', view: own };
  if (now - alarm.receivedAt < awaitedMs) return { kind: 'awaited' };
  const [newest] = items;
  return newest === undefined ? { kind: 'none' } : { kind: 'earlier', view: newest };
}

const median = (values: readonly number[]): number => {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[sorted.length >> 1] ?? 0;
};
