import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Random } from '../../../agent/base/random.ts';
import type { Scorer } from '../../../models/training/kind.ts';
import { standardisation } from '../../../models/training/standardise.ts';
import { conformalQuantile, deviation, median, robustDeviation } from '../../../models/training/statistics.ts';
import { type TrainOptions, trainFromRows } from '../../../models/training/train.ts';
import { windowsOf } from '../../../models/training/window-features.ts';
import { pumpRows } from '../../support/pump-recording.ts';

const fitted = (rows: readonly (readonly number[])[], options: Partial<TrainOptions> = {}) => {
  const inputs = (rows[0] ?? []).map((_, c) => `input${c}`);
  const trained = trainFromRows(rows, inputs, { name: 'pump', everyMs: 1_000, ...options });
  if (!trained.ok) throw new Error(trained.error.message);
  const { scorer, manifest } = trained.value;
  return { scorer, threshold: manifest.threshold.value, quantile: manifest.threshold.quantile, manifest };
};
const scores = (scorer: Scorer, rows: readonly (readonly number[])[]) =>
  [...windowsOf(rows, scorer.windowRows)].map((window) => scorer.score(window));

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
      const fit = fitted(pumpRows({ rows: 400, seed: `train ${seed}` }), { falseAlarmRate: 0.05 });
      for (const { value } of scores(fit.scorer, pumpRows({ rows: 400, seed: `fresh ${seed}` }))) {
        windows++;
        if (value > fit.quantile) above++;
      }
    }
    expect(above / windows).toBeGreaterThan(0.01);
    expect(above / windows).toBeLessThan(0.12);
  });

  it('flow that sinks → above the threshold within a window, and the flow explains it', () => {
    const { scorer, threshold } = fitted(pumpRows({ rows: 300, seed: 1 }));
    const faulty = scores(scorer, pumpRows({ rows: 100, seed: 2, faultFrom: 50 }));
    const before = faulty.slice(0, 50 - scorer.windowRows + 1);
    const after = faulty.slice(50);
    expect(Math.max(...before.map(({ value }) => value))).toBeLessThan(threshold);
    expect(Math.min(...after.map(({ value }) => value))).toBeGreaterThan(threshold);
    const [vibration, current, flow] = after.at(-1)?.contributions ?? [];
    expect(flow).toBeGreaterThan(0.5);
    expect((vibration ?? 1) + (current ?? 1)).toBeLessThan(0.5);
  });

  it('channel that shakes around the same mean → seen by its spread', () => {
    const { scorer, threshold } = fitted(pumpRows({ rows: 300, seed: 3 }));
    const shaking = pumpRows({ rows: 60, seed: 4 }).map(([, ...rest], i) => [0.027 + (i % 2 ? 0.02 : -0.02), ...rest]);
    const last = scores(scorer, shaking).at(-1);
    expect(last?.value).toBeGreaterThan(threshold);
    expect(last?.contributions[0]).toBeGreaterThan(0.8);
  });

  it('channel that never moved in training → named, takes no part, the others still judge', () => {
    const rows = pumpRows({ rows: 300, seed: 5 }).map((row) => [...row, 7]);
    const { scorer, manifest, threshold } = fitted(rows);
    expect(manifest.distribution.map(({ leftOut }) => leftOut !== undefined)).toEqual([false, false, false, true]);
    const moved = pumpRows({ rows: 60, seed: 6 }).map((row) => [...row, 1e6]);
    expect(scores(scorer, moved).at(-1)?.value).toBeLessThan(threshold);
    const faulty = pumpRows({ rows: 60, seed: 6, faultFrom: 20 }).map((row) => [...row, 7]);
    expect(scores(scorer, faulty).at(-1)?.value).toBeGreaterThan(threshold);
  });

  it('two channels that are copies of each other → still a finite score', () => {
    const rows = pumpRows({ rows: 300, seed: 7 }).map((row) => [...row, row[2] ?? 0]);
    const { scorer } = fitted(rows);
    expect(scores(scorer, rows).every(({ value }) => Number.isFinite(value))).toBe(true);
  });

  it('feature that drifts in training → its unit is wider than its noise; one that does not keeps its own', () => {
    const random = new Random(8);
    const features = Array.from({ length: 300 }, (_, i) =>
      Float64Array.of(i * 0.01 + 0.1 * random.normal(), random.normal()),
    );
    const parts = Array.from({ length: 5 }, (_, k) => ({
      from: 60 * k,
      to: 60 * (k + 1),
      others: features.map((_, i) => i).filter((i) => i < 60 * k || i >= 60 * (k + 1)),
    }));
    const { weight } = standardisation(features, [true, true], parts, 12, true)(features);
    const seen = deviation(features.map(([value]) => value ?? 0));
    // Held-out fifths lie about a spread away from the others' median, and a drift has shown a part of its range only.
    expect(1 / (weight[0] ?? 1)).toBeGreaterThan(1.3 * seen);
    expect(1 / (weight[1] ?? 1)).toBeLessThan(1.2);
  });

  it('too few rows, or rows that never change → told, not fitted', () => {
    const train = (rows: readonly (readonly number[])[]) =>
      trainFromRows(rows, (rows[0] ?? []).map(String), { name: 'pump', everyMs: 1_000 });
    expect(train(pumpRows({ rows: 50, seed: 9 }))).toMatchObject({ ok: false, error: { code: 'data-too-short' } });
    expect(train(new Array(200).fill([1, 2]))).toMatchObject({ ok: false, error: { code: 'nothing-varies' } });
  });

  it('any finite window, however wild → a finite score and shares that sum to one', () => {
    const { scorer } = fitted(pumpRows({ rows: 300, seed: 10 }));
    const cells = scorer.windowRows * 3;
    fc.assert(
      fc.property(
        fc.array(fc.float({ noNaN: true, noDefaultInfinity: true }), { minLength: cells, maxLength: cells }),
        (window) => {
          const { value, contributions } = scorer.score(window);
          expect(Number.isFinite(value)).toBe(true);
          expect(contributions.reduce((a, b) => a + b, 0)).toBeCloseTo(value > 0 ? 1 : 0, 6);
        },
      ),
    );
  });
});
