import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Random } from '../../../agent/base/random.ts';
import { LocalHealth } from '../../../agent/core/membership/local-health.ts';
import { ShuffledRounds } from '../../../agent/core/membership/probe-schedule.ts';

test('probe schedule: any size and seed → every round holds each other member once, in a new order', () => {
  fc.assert(
    fc.property(fc.integer({ min: 2, max: 40 }), fc.nat(), fc.nat(), (size, pick, seed) => {
      const self = pick % size;
      const schedule = new ShuffledRounds(size, self, new Random(seed));
      const others = Array.from({ length: size }, (_, m) => m).filter((m) => m !== self);
      for (let round = 0; round < 3; round++) {
        const seen = others.map(() => schedule.next(() => true)!);
        expect(seen.toSorted((a, b) => a - b)).toEqual(others);
      }
    }),
  );
});

test('probe schedule: rounds of twenty → not the same order twice', () => {
  const schedule = new ShuffledRounds(21, 0, new Random(7));
  const round = () => Array.from({ length: 20 }, () => schedule.next(() => true)).join();
  expect(new Set([round(), round(), round()]).size).toBe(3);
});

test('probe schedule: some do not qualify → skipped; none qualifies → nobody, without a hang', () => {
  const schedule = new ShuffledRounds(6, 0, new Random(1));
  const even = Array.from({ length: 10 }, () => schedule.next((m) => m % 2 === 0));
  expect(new Set(even)).toEqual(new Set([2, 4]));
  expect(schedule.next(() => false)).toBeUndefined();
  expect(new ShuffledRounds(1, 0, new Random(1)).next(() => true)).toBeUndefined();
});

test('local health: raised and lowered without end → stays between 0 and its maximum', () => {
  const health = new LocalHealth(8);
  for (let i = 0; i < 100; i++) health.raise();
  expect([health.score, health.factor]).toEqual([8, 9]);
  for (let i = 0; i < 100; i++) health.lower();
  expect([health.score, health.factor]).toEqual([0, 1]);
});
