import { describe, expect, it } from 'vitest';
import type { EvidenceCurve } from '../../agent/wire/evidence.ts';
import type { EvidenceView } from '../../coordinator/api/schemas.ts';
import {
  findEvidence,
  inOrder,
  lineOf,
  partsOf,
  plainName,
  rangeOf,
  tableOf,
  valueAt,
} from '../../coordinator/console/source/evidence-curves.ts';

const span = { from: 0, to: 720_000, at: 600_000, step: 10 };
/** A point every ten seconds, but for what is left out. */
const curve = (
  value: (second: number) => number | null | undefined,
  more: Partial<EvidenceCurve> = {},
): EvidenceCurve => ({
  name: 'press/rms',
  points: Array.from({ length: 73 }, (_, i) => [i * 10, value(i * 10)] as const)
    .filter((point): point is [number, number | null] => point[1] !== undefined)
    .map(([x, y]) => [x, y]),
  ...more,
});

describe('console: evidence', () => {
  it('samples that are missing or bad → the line breaks there and the stretch is shaded, from before the alarm to after', () => {
    const line = lineOf(
      curve((s) => (s > 100 && s < 200 ? undefined : s >= 300 && s < 350 ? null : 2)),
      span,
    );
    expect(line.shades).toEqual([
      { kind: 'gap', from: -500, to: -400 },
      { kind: 'bad', from: -310, to: -250 },
    ]);
    // Between the last point before the gap and the first behind it stands a break.
    const gapAt = line.xs.indexOf(-450);
    expect(line.ys[gapAt]).toBeNull();
    expect([line.xs[0], line.xs.at(-1)]).toEqual([-600, 120]);
    expect([valueAt(line, -450, 10), valueAt(line, -280, 10), valueAt(line, 0, 10)]).toEqual(['gap', 'bad', 2]);
  });

  it('signal that is read seldom → its own pauses are no gaps; one that ends early has one at its end', () => {
    const seldom = lineOf(
      curve((s) => (s % 60 === 0 ? 1 : undefined)),
      span,
    );
    expect(seldom.shades).toEqual([]);
    const ended = lineOf(
      curve((s) => (s <= 400 ? 1 : undefined)),
      span,
    );
    expect(ended.shades).toEqual([{ kind: 'gap', from: -200, to: 120 }]);
    expect(lineOf({ points: [] }, span).shades).toEqual([{ kind: 'gap', from: -600, to: 120 }]);
  });

  it('limit far away → is told and not drawn; one within reach widens the axis', () => {
    const line = lineOf(
      curve((s) => 2 + (s % 20) / 20),
      span,
    );
    const far = { kind: 'crit', side: 'above', value: 70 } as const;
    const near = { kind: 'warn', side: 'above', value: 4 } as const;
    const { range, drawn } = rangeOf(line, [far, near]);
    expect(drawn).toEqual([near]);
    expect(range[1]).toBeGreaterThan(4);
    expect(range[1]).toBeLessThan(5);
    // Nothing heard at all: still an axis.
    expect(rangeOf(lineOf({ points: [] }, span), []).range.every(Number.isFinite)).toBe(true);
  });

  it('parts → by the model’s word, in usual spreads, with the limit that was passed', () => {
    const score: EvidenceCurve = { name: 'score:press/bearing', points: [], threshold: 3, shares: { 'press/oil': 0.2, 'press/rms': 0.8 } }; // biome-ignore format: one curve
    const oil: EvidenceCurve = { name: 'press/oil', unit: 'bar', points: [], usual: [4, 0.1], raised: 3.7 };
    const rms: EvidenceCurve = {
      name: 'press/rms',
      unit: 'mm/s',
      points: [],
      usual: [2, 0.25],
      raised: 8,
      limits: [
        { level: 'warn', side: 'above', value: 4.5 },
        { level: 'crit', side: 'above', value: 7.1 },
      ],
    };
    const still: EvidenceCurve = { name: 'press/strokes', points: [], usual: [38, 0], raised: 38 };
    const parts = partsOf([score, still, oil, rms]);
    expect(parts.map(({ curve: { name }, share, direction }) => [name, share, direction])).toEqual([
      ['press/rms', 0.8, 'above'],
      ['press/oil', 0.2, 'below'],
      ['press/strokes', undefined, undefined],
    ]);
    expect(parts.map(({ spreads }) => spreads && Math.round(spreads))).toEqual([24, 3, 0]);
    expect(parts[0]?.beyond).toEqual({ kind: 'crit', side: 'above', value: 7.1 });
    expect(inOrder([score, oil, rms]).map((one) => plainName(one, 'press'))).toEqual(['rms', 'oil', 'bearing']);
    expect(partsOf([{ ...still, raised: 39 }])[0]).toMatchObject({ spreads: undefined, direction: 'above' });
  });

  it('table → every stretch of time has its lowest and highest value, or says why not', () => {
    const line = lineOf(
      curve((s) => (s < 60 ? undefined : s < 120 ? null : s / 100)),
      span,
    );
    const rows = tableOf([line], span, 12);
    expect(rows.length).toBe(12);
    expect(rows.map(({ from }) => from)[10]).toBe(0);
    expect(rows[0]?.cells).toEqual(['gap']);
    expect(rows[1]?.cells).toEqual(['bad']);
    expect(rows[11]?.cells).toEqual([{ low: 6.6, high: 7.2 }]);
  });

  it('evidence that is late, missing or of another time → is said to be', () => {
    const view = (evidence: string, occurrence: string) => ({ evidence, occurrence }) as EvidenceView;
    const alarm = { occurrence: 'o2', receivedAt: 1_000_000 };
    expect(findEvidence([], alarm, '', 1_010_000)).toEqual({ kind: 'awaited' });
    expect(findEvidence([], alarm, '', 1_100_000)).toEqual({ kind: 'none' });
    expect(findEvidence([view('a', 'o1')], alarm, '', 1_100_000)).toMatchObject({ kind: 'earlier' });
    expect(findEvidence([view('a', 'o1'), view('b', 'o2')], alarm, '', 1_001_000)).toMatchObject({
      kind: 'this',
      view: { evidence: 'b' },
    });
    expect(findEvidence([view('a', 'o1'), view('b', 'o2')], alarm, 'a', 1_001_000)).toMatchObject({ kind: 'earlier' });
  });
});
