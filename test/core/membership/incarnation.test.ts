import fc from 'fast-check';
import { expect, test } from 'vitest';
import { compareStanding, isPlausible, maxCounter, type Standing } from '../../../agent/core/membership/incarnation.ts';

const standing = fc.record({
  state: fc.constantFrom('unknown' as const, 'alive' as const, 'suspect' as const, 'dead' as const, 'left' as const),
  bootCounter: fc.integer({ min: 0, max: 3 }),
  incarnation: fc.integer({ min: 0, max: 3 }),
});
const merge = (a: Standing, b: Standing): Standing => (compareStanding(b, a) > 0 ? b : a);
const same = (a: Standing, b: Standing) => compareStanding(a, b) === 0;

test('incarnation: any two statements → one is greater or they say the same, both ways round', () => {
  fc.assert(
    fc.property(standing, standing, (a, b) => {
      expect(Math.sign(compareStanding(a, b))).toBe(-Math.sign(compareStanding(b, a)) + 0);
    }),
  );
});

test('incarnation: any order of arrival and repetition → the same view', () => {
  fc.assert(
    fc.property(
      fc.array(standing, { minLength: 1, maxLength: 8 }),
      fc.infiniteStream(fc.nat()),
      (statements, picks) => {
        const shuffled = [...statements, ...statements];
        for (let i = shuffled.length - 1; i > 0; i--) {
          const j = picks.next().value! % (i + 1);
          [shuffled[i], shuffled[j]] = [shuffled[j]!, shuffled[i]!];
        }
        expect(same(statements.reduce(merge), shuffled.reduce(merge))).toBe(true);
      },
    ),
  );
});

test.each([
  ['alive needs a greater incarnation than suspect', ['alive', 1, 1], ['suspect', 1, 1], false],
  ['alive with a greater incarnation wins over suspect', ['alive', 1, 2], ['suspect', 1, 1], true],
  ['suspect wins over alive at the same incarnation', ['suspect', 1, 1], ['alive', 1, 1], true],
  ['dead wins over suspect at the same incarnation', ['dead', 1, 1], ['suspect', 1, 1], true],
  ['left wins over dead at the same incarnation', ['left', 1, 1], ['dead', 1, 1], true],
  ['a new boot wins over the death of the old one', ['alive', 2, 0], ['dead', 1, 9], true],
  ['the death of an old boot says nothing of the new one', ['dead', 1, 9], ['alive', 2, 0], false],
  ['anything wins over unknown', ['alive', 0, 0], ['unknown', 0, 0], true],
] as const)('incarnation: %s', (_name, [s1, b1, i1], [s2, b2, i2], wins) => {
  const a: Standing = { state: s1, bootCounter: b1, incarnation: i1 };
  const b: Standing = { state: s2, bootCounter: b2, incarnation: i2 };
  expect(compareStanding(a, b) > 0).toBe(wins);
});

test('incarnation: counters or indices out of range → not plausible', () => {
  const good = { member: 1, state: 'alive', bootCounter: 1, incarnation: 1, origin: 0 } as const;
  expect(isPlausible(good, 2)).toBe(true);
  for (const bad of [
    { member: 2 },
    { member: -1 },
    { origin: 7 },
    { bootCounter: maxCounter + 1 },
    { incarnation: 0.5 },
    { incarnation: Number.NaN },
  ]) {
    expect(isPlausible({ ...good, ...bad }, 2)).toBe(false);
  }
});
