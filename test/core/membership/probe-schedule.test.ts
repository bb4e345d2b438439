import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Random } from '../../../agent/base/random.ts';
import { LocalHealth } from '../../../agent/core/membership/local-health.ts';
import { Permutation } from '../../../agent/core/membership/permutation.ts';
import { ObserverRing, ShuffledRounds } from '../../../agent/core/membership/probe-schedule.ts';
import {
  keepsConnection,
  nearBothOn,
  placesNear,
  ringOf,
  smallSite,
  successors,
} from '../../../agent/core/membership/ring.ts';

test('permutation: any size and seed → every element once', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 700 }), fc.nat(), (n, seed) => {
      const order = new Permutation(n);
      order.shuffle(new Random(seed));
      const all = Array.from({ length: n }, (_, i) => order.at(i));
      expect(all.toSorted((a, b) => a - b)).toEqual(Array.from({ length: n }, (_, i) => i));
    }),
  );
});

test('permutation: ten elements over many seeds → each place holds each about equally often', () => {
  const counts = Array.from({ length: 10 }, () => new Array<number>(10).fill(0));
  const random = new Random(3);
  const order = new Permutation(10);
  for (let i = 0; i < 4_000; i++) {
    order.shuffle(random);
    for (let at = 0; at < 10; at++) counts[at]![order.at(at)]!++;
  }
  for (const row of counts) {
    for (const count of row) expect(Math.abs(count - 400)).toBeLessThan(160);
  }
});

test('shuffled rounds: any size and seed → every round holds each other member once, in a new order', () => {
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

test('shuffled rounds among some → each of them once per round, nobody else, not oneself', () => {
  const schedule = new ShuffledRounds(50, 9, new Random(2), [3, 9, 40, 41]);
  for (let round = 0; round < 3; round++) {
    const seen = [0, 1, 2].map(() => schedule.next(() => true)!);
    expect(seen.toSorted((a, b) => a - b)).toEqual([3, 40, 41]);
  }
});

test('ring: near both of two members, at any distance → exactly those within ten places of each, or nobody', () => {
  const size = 101;
  const ring = ringOf(size);
  const apart = (a: number, b: number): number => {
    const d = Math.abs(ring.position[a]! - ring.position[b]!);
    return Math.min(d, size - d);
  };
  const random = new Random(4);
  for (const distance of [1, 7, 10, 11, 20, 21, 50]) {
    const one = ring.order[95]!;
    const other = ring.order[(95 + distance) % size]!;
    const wanted = [...ring.order].filter(
      (m) => m !== one && m !== other && apart(m, one) <= placesNear && apart(m, other) <= placesNear,
    );
    for (const [a, b] of [
      [one, other],
      [other, one],
    ] as const) {
      const found = new Set(Array.from({ length: 1_500 }, () => nearBothOn(ring, a, b, random)));
      found.delete(undefined);
      expect([...found].toSorted((x, y) => x! - y!)).toEqual(wanted.toSorted((x, y) => x - y));
    }
  }
});

test('shuffled rounds: rounds of twenty → not the same order twice', () => {
  const schedule = new ShuffledRounds(21, 0, new Random(7));
  const round = () => Array.from({ length: 20 }, () => schedule.next(() => true)).join();
  expect(new Set([round(), round(), round()]).size).toBe(3);
});

test('shuffled rounds: some do not qualify → skipped; none qualifies → nobody, without a hang', () => {
  const schedule = new ShuffledRounds(6, 0, new Random(1));
  const even = Array.from({ length: 10 }, () => schedule.next((m) => m % 2 === 0));
  expect(new Set(even)).toEqual(new Set([2, 4]));
  expect(schedule.next(() => false)).toBeUndefined();
  expect(new ShuffledRounds(1, 0, new Random(1)).next(() => true)).toBeUndefined();
});

test('ring: any size → all agree on one circle of everybody, and it is not the order of the roster', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 200 }), (size) => {
      const { order, position } = ringOf(size);
      expect([...order].sort((a, b) => a - b)).toEqual(Array.from({ length: size }, (_, m) => m));
      for (let m = 0; m < size; m++) expect(order[position[m]!]).toBe(m);
    }),
  );
  const { order } = ringOf(300);
  let neighbours = 0;
  for (let at = 1; at < 300; at++) if (Math.abs(order[at]! - order[at - 1]!) === 1) neighbours++;
  expect(neighbours).toBeLessThan(15);
});

test('ring: some are dead → each living member still has ten living observers', () => {
  const size = 300;
  const dead = new Set(Array.from({ length: 100 }, (_, i) => i * 3));
  const observers = new Map<number, number>();
  const into: number[] = [];
  for (let self = 0; self < size; self++) {
    if (dead.has(self)) continue;
    successors(ringOf(size), self, 10, (m) => !dead.has(m), into);
    expect(into.length).toBe(10);
    for (const m of into) observers.set(m, (observers.get(m) ?? 0) + 1);
  }
  expect(observers.size).toBe(200);
  expect([...observers.values()].every((n) => n === 10)).toBe(true);
});

test('ring: three hundred members → ten get seven probes of eight, one in eight goes to anybody', () => {
  const schedule = new ObserverRing(300, 7, new Random(5), 10);
  const counts = new Map<number, number>();
  for (let i = 0; i < 8_000; i++) {
    const member = schedule.next((m) => m !== 7)!;
    counts.set(member, (counts.get(member) ?? 0) + 1);
  }
  const often = [...counts.values()].filter((n) => n > 500);
  expect(often.length).toBe(10);
  // In shuffled rounds, 1000 probes reach each of 299 members three times and some a fourth.
  expect(counts.size).toBe(299);
  expect(counts.has(7)).toBe(false);
});

test('ring: nobody qualifies, or fewer than the observers → nobody, or just those, without a hang', () => {
  const schedule = new ObserverRing(300, 7, new Random(5), 10);
  expect(schedule.next(() => false)).toBeUndefined();
  const seen = new Set(Array.from({ length: 50 }, () => schedule.next((m) => m === 3 || m === 4)));
  expect(seen).toEqual(new Set([3, 4]));
});

test('local health: raised and lowered without end → stays between 0 and its maximum', () => {
  const health = new LocalHealth(8);
  for (let i = 0; i < 100; i++) health.raise();
  expect([health.score, health.factor]).toEqual([8, 9]);
  for (let i = 0; i < 100; i++) health.lower();
  expect([health.score, health.factor]).toEqual([0, 1]);
});

test('connections in a large site: to the cell, to whom one observes and by whom one is observed, both ways, to few else', () => {
  fc.assert(
    fc.property(fc.integer({ min: smallSite + 1, max: 3_000 }), fc.nat(), (size, draw) => {
      const self = draw % size;
      const others = Array.from({ length: size }, (_, member) => member).filter((member) => member !== self);
      const kept = others.filter((other) => keepsConnection(size, self, other, false));
      expect(kept.length).toBe(2 * placesNear);
      const observed: number[] = [];
      successors(ringOf(size), self, placesNear, () => true, observed);
      expect(kept).toEqual(expect.arrayContaining(observed));
      for (const other of kept) expect(keepsConnection(size, other, self, false)).toBe(true);
      expect(keepsConnection(size, self, others[0]!, true)).toBe(true);
    }),
    { numRuns: 20 },
  );
  expect(keepsConnection(smallSite, 0, 1, false)).toBe(true);
});
