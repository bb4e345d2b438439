import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Random } from '../../../agent/base/random.ts';
import { type Detector, fitDefaults, fitMahalanobis, scoreWindow } from '../../../models/training/mahalanobis.ts';
import { conformalQuantile, deviation, median, robustDeviation } from '../../../models/training/statistics.ts';
import { windowsOf } from '../../../models/training/window-features.ts';
import { pumpRows } from '../../support/pump-recording.ts';

const fitted = (rows: readonly (readonly number[])[], options = fitDefaults) => {
  const fit = fitMahalanobis(rows, options);
  if (!fit.ok) throw new Error(fit.error.message);
  return fit.value;
};
const scores = (detector: Detector, rows: readonly (readonly number[])[]) =>
  [...windowsOf(rows, detector.windowRows)].map((window) => scoreWindow(detector, window));

describe('statistics', () => {
  it('conformal quantile: enough scores → the (n+1)(1−rate)-th smallest; too few → the largest', () => {
    const hundred = Array.from({ length: 99 }, (_, i) => 99 - i);
    expect(conformalQuantile(hundred, 0.1)).toBe(90);
    expect(conformalQuantile([3, 1, 2], 0.01)).toBe(3);
  });

  it('median and spreads: one wild value → the robust ones stay', () => {
    const values = [1, 2, 3, 4, 1e9];
    expect(median(values)).toBe(3);
    expect(robustDeviation(values)).toBeCloseTo(1.4826, 4);
    expect(deviation(values)).toBeGreaterThan(1e8);
  });
});

describe('mahalanobis', () => {
  it('fresh healthy rows → about the intended share of windows above the quantile, over many fits', () => {
    let above = 0;
    let windows = 0;
    for (let seed = 0; seed < 12; seed++) {
      const fit = fitted(pumpRows({ rows: 400, seed: `train ${seed}` }), { ...fitDefaults, falseAlarmRate: 0.05 });
      for (const { value } of scores(fit.detector, pumpRows({ rows: 400, seed: `fresh ${seed}` }))) {
        windows++;
        if (value > fit.quantile) above++;
      }
    }
    expect(above / windows).toBeGreaterThan(0.01);
    expect(above / windows).toBeLessThan(0.12);
  });

  it('flow that sinks → above the threshold within a window, and the flow explains it', () => {
    const { detector, threshold } = fitted(pumpRows({ rows: 300, seed: 1 }));
    const faulty = scores(detector, pumpRows({ rows: 100, seed: 2, faultFrom: 50 }));
    const before = faulty.slice(0, 50 - detector.windowRows + 1);
    const after = faulty.slice(50);
    expect(Math.max(...before.map(({ value }) => value))).toBeLessThan(threshold);
    expect(Math.min(...after.map(({ value }) => value))).toBeGreaterThan(threshold);
    const [vibration, current, flow] = after.at(-1)?.contributions ?? [];
    expect(flow).toBeGreaterThan(0.5);
    expect((vibration ?? 1) + (current ?? 1)).toBeLessThan(0.5);
  });

  it('channel that shakes around the same mean → seen by its spread', () => {
    const { detector, threshold } = fitted(pumpRows({ rows: 300, seed: 3 }));
    const shaking = pumpRows({ rows: 60, seed: 4 }).map(([, ...rest], i) => [0.027 + (i % 2 ? 0.02 : -0.02), ...rest]);
    const last = scores(detector, shaking).at(-1);
    expect(last?.value).toBeGreaterThan(threshold);
    expect(last?.contributions[0]).toBeGreaterThan(0.8);
  });

  it('channel that never moved in training → named, takes no part, the others still judge', () => {
    const rows = pumpRows({ rows: 300, seed: 5 }).map((row) => [...row, 7]);
    const { detector, still, threshold } = fitted(rows);
    expect(still).toEqual([3]);
    const moved = pumpRows({ rows: 60, seed: 6 }).map((row) => [...row, 1e6]);
    expect(scores(detector, moved).at(-1)?.value).toBeLessThan(threshold);
    const faulty = pumpRows({ rows: 60, seed: 6, faultFrom: 20 }).map((row) => [...row, 7]);
    expect(scores(detector, faulty).at(-1)?.value).toBeGreaterThan(threshold);
  });

  it('two channels that are copies of each other → still a finite score', () => {
    const rows = pumpRows({ rows: 300, seed: 7 }).map((row) => [...row, row[2] ?? 0]);
    const { detector } = fitted(rows);
    expect(scores(detector, rows).every(({ value }) => Number.isFinite(value))).toBe(true);
  });

  it('rows that drift in training → the spread of the drifting channel is wider than its noise', () => {
    const random = new Random(8);
    const drifting = Array.from({ length: 300 }, (_, i) => [i * 0.01 + 0.1 * random.normal(), random.normal()]);
    const { detector } = fitted(drifting);
    // Held-out fifths lie about a spread away from the others' median: 1/weight says so, in spreads of the channel.
    expect(1 / (detector.weight[0] ?? 1)).toBeGreaterThan(0.9);
    expect(1 / (detector.weight[1] ?? 1)).toBeLessThan(0.5);
  });

  it('too few rows, or rows that never change → told, not fitted', () => {
    expect(fitMahalanobis(pumpRows({ rows: 50, seed: 9 }), fitDefaults)).toMatchObject({
      ok: false,
      error: { code: 'data-too-short' },
    });
    expect(fitMahalanobis(new Array(200).fill([1, 2]), fitDefaults)).toMatchObject({
      ok: false,
      error: { code: 'nothing-varies' },
    });
  });

  it('any finite window, however wild → a finite score and shares that sum to one', () => {
    const { detector } = fitted(pumpRows({ rows: 300, seed: 10 }));
    const cells = detector.windowRows * 3;
    fc.assert(
      fc.property(
        fc.array(fc.float({ noNaN: true, noDefaultInfinity: true }), { minLength: cells, maxLength: cells }),
        (window) => {
          const { value, contributions } = scoreWindow(detector, window);
          expect(Number.isFinite(value)).toBe(true);
          expect(contributions.reduce((a, b) => a + b, 0)).toBeCloseTo(value > 0 ? 1 : 0, 6);
        },
      ),
    );
  });
});
