import { expect, test } from 'vitest';
import { Random } from '../../../agent/base/random.ts';
import { isRising, riseOf, steadyRise } from '../../../models/training/rising.ts';

const noisy = (count: number, level: (share: number) => number): number[] => {
  const random = new Random('rising');
  return Array.from({ length: count }, (_, i) => level(i / count) * Math.exp(0.3 * random.normal()));
};

test('scores that wander about one level → steady; that grow by half → rising, by the medians of their thirds', () => {
  expect(isRising(noisy(3_000, () => 1))).toBe(false);
  const grown = noisy(3_000, (share) => 1 + share * 0.75);
  expect(riseOf(grown)).toBeCloseTo(1.625 / 1.125, 1);
  expect(isRising(grown)).toBe(true);
});

test('scores that sink, a few wild ones at the end, a rise just allowed → steady', () => {
  expect(isRising(noisy(600, (share) => 2 - share))).toBe(false);
  expect(isRising([...Array<number>(570).fill(1), ...Array<number>(30).fill(100)])).toBe(false);
  expect(isRising([...Array<number>(100).fill(1), ...Array<number>(200).fill(steadyRise)])).toBe(false);
});

test('fewer than twenty in a third → nothing is said', () => {
  expect(riseOf(noisy(59, (share) => 1 + 9 * share))).toBeUndefined();
  expect(isRising(noisy(59, (share) => 1 + 9 * share))).toBe(false);
  expect(isRising(noisy(60, (share) => 1 + 9 * share))).toBe(true);
});

test('windows that share their rows → as many of them as lie end to end count', () => {
  const steep = noisy(700, (share) => 1 + 9 * share);
  expect(riseOf(steep, 12)).toBeUndefined();
  expect(isRising(steep, 11)).toBe(true);
});

test('a first third of nothing at all → any score is a rise; nothing at all → none', () => {
  expect(isRising([...Array<number>(40).fill(0), ...Array<number>(80).fill(0.5)])).toBe(true);
  expect(isRising(Array<number>(120).fill(0))).toBe(false);
});
