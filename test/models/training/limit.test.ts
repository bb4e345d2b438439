import { describe, expect, it } from 'vitest';
import { Random } from '../../../agent/base/random.ts';
import { healthyLimit, normalQuantile } from '../../../models/training/limit.ts';
import { conformalQuantile } from '../../../models/training/statistics.ts';

describe('limit of healthy scores', () => {
  it('normal quantiles → those of the tables', () => {
    for (const [p, z] of [
      [0.95, 1.6449],
      [0.99, 2.3263],
      [0.999, 3.0902],
    ] as const) {
      expect(normalQuantile(p)).toBeCloseTo(z, 3);
    }
  });

  it.each([
    [20, 3.295],
    [30, 3.064],
    [50, 2.863],
    [100, 2.684],
  ])('%d independent scores → the published factor for one in a hundred, %d', (n, factor) => {
    // Plus and minus one: mean 0, deviation 1, so that the limit is the factor.
    const scores = Array.from({ length: n }, (_, i) => (i % 2 === 0 ? 1 : -1));
    expect(Math.abs(healthyLimit(scores, 0.01, 1) - factor)).toBeLessThan(0.06);
  });

  it('windows that overlap → count for as many as are independent: the limit is higher', () => {
    const random = new Random('limit');
    const scores = Array.from({ length: 480 }, () => 1 + 0.1 * random.normal());
    const [alone, overlapping] = [healthyLimit(scores, 0.01, 1), healthyLimit(scores, 0.01, 15)];
    expect(overlapping).toBeGreaterThan(alone + 0.04);
    expect(overlapping).toBeLessThan(1.5);
  });

  it('scores with a long tail → never below their own conformal quantile', () => {
    const scores = [...new Array(97).fill(1), 5000, 6000, 7000];
    expect(conformalQuantile(scores, 0.02)).toBe(6000);
    expect(healthyLimit(scores, 0.02, 1)).toBe(6000);
  });

  it('overlapping noise, limit at one per cent → fresh noise stays below it nearly always', () => {
    const random = new Random('tolerance');
    const smooth = (n: number) => {
      const raw = Array.from({ length: n + 14 }, () => random.normal());
      return Array.from({ length: n }, (_, i) => raw.slice(i, i + 15).reduce((a, b) => a + b, 0) / 15);
    };
    let above = 0;
    for (let trial = 0; trial < 40; trial++) {
      const limit = healthyLimit(smooth(480), 0.01, 15);
      above += smooth(200).filter((score) => score > limit).length / 200 / 40;
    }
    expect(above).toBeLessThan(0.01);
  });
});
