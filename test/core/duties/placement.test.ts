import fc from 'fast-check';
import { expect, test } from 'vitest';
import { rank, rendezvousScore, staticOrder } from '../../../agent/core/duties/placement.ts';
import { duty, places } from './small-crew.ts';

const first = (eligible: readonly number[], index: number, size: number, weight = new Map<number, number>()) =>
  staticOrder(duty(index, eligible, { weight }), places(size))[0]!.agent;

test('placement: an agent goes → only its own duties move', () => {
  fc.assert(
    fc.property(fc.integer({ min: 2, max: 20 }), fc.nat(), fc.nat({ max: 500 }), (size, pick, index) => {
      const gone = pick % size;
      const before = Array.from({ length: size }, (_, i) => i);
      const after = before.filter((agent) => agent !== gone);
      const was = first(before, index, size);
      if (was !== gone) expect(first(after, index, size)).toBe(was);
    }),
  );
});

test('placement: 3000 duties on five equal agents → each gets its fifth, give or take a tenth of it', () => {
  const counts = [0, 0, 0, 0, 0];
  for (let index = 0; index < 3000; index++) counts[first([0, 1, 2, 3, 4], index, 5)]!++;
  for (const count of counts) expect(Math.abs(count - 600)).toBeLessThan(75);
});

test('placement: one agent weighs three times as much → it gets three shares', () => {
  let heavy = 0;
  for (let index = 0; index < 3000; index++) if (first([0, 1, 2], index, 3, new Map([[1, 3]])) === 1) heavy++;
  expect(heavy / 3000).toBeCloseTo(3 / 5, 1);
});

test('placement: the order of the eligible in the site file → makes no difference', () => {
  expect(staticOrder(duty(1, [0, 1, 2, 3]), places(4))).toEqual(staticOrder(duty(1, [3, 1, 0, 2]), places(4)));
});

test('placement: the score of a pair → stable across releases, since the site depends on it', () => {
  expect(rendezvousScore('press-1/poll', 'box-0', 1)).toBeCloseTo(rendezvousScore('press-1/poll', 'box-0', 2) / 2);
  expect(staticOrder(duty(7, [0, 1, 2, 3, 4]), places(5)).map((c) => c.agent)).toMatchInlineSnapshot(`
    [
      1,
      0,
      4,
      3,
      2,
    ]
  `);
});

test('rank: the holder counts more than its score → a slightly better agent does not take over, a much better one does', () => {
  const order = [
    { agent: 0, score: 1.4 },
    { agent: 1, score: 1 },
  ];
  const standing = (agent: number) => ({ usable: true, held: false, holder: agent === 1, reason: '' });
  expect(rank(order, 1.5, standing).map((r) => r.agent)).toEqual([1, 0]);
  expect(rank([{ agent: 0, score: 1.6 }, order[1]!], 1.5, standing).map((r) => r.agent)).toEqual([0, 1]);
});

test('rank: dead has no rank, on hold comes last, and each says why', () => {
  const order = [0, 1, 2].map((agent) => ({ agent, score: 3 - agent }));
  const ranked = rank(order, 1.5, (agent) => ({
    usable: agent !== 0,
    held: agent === 1,
    holder: false,
    reason: ['dead', 'returned lately', 'alive'][agent]!,
  }));
  expect(ranked.map(({ agent, rank: r, reason }) => [agent, r, reason])).toEqual([
    [2, 0, 'alive'],
    [1, 1, 'returned lately'],
    [0, undefined, 'dead'],
  ]);
});
