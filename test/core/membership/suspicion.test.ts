import { expect, test } from 'vitest';
import { instant } from '../../../agent/base/time.ts';
import { lan } from '../../../agent/core/membership/options.ts';
import { Suspicion } from '../../../agent/core/membership/suspicion.ts';

const begun = instant(0);
const about = { bootCounter: 1, incarnation: 0 };

test('suspicion: one accuser alone → waits the maximum', () => {
  expect(new Suspicion(begun, about, 1, 50, lan).timeoutMs).toBeCloseTo(3 * Math.log10(50) * 200 * 6);
});

test('suspicion: third confirmation → time-out drops to its minimum', () => {
  const suspicion = new Suspicion(begun, about, 1, 50, lan);
  const timeouts = [2, 3, 4].map((origin) => {
    expect(suspicion.confirm(origin)).toBe(true);
    return suspicion.timeoutMs;
  });
  expect(timeouts[2]).toBeCloseTo(3 * Math.log10(50) * 200);
  expect(timeouts).toEqual(timeouts.toSorted((a, b) => b - a));
});

test('suspicion: the same accuser again → counts once, and is not passed on', () => {
  const suspicion = new Suspicion(begun, about, 1, 50, lan);
  expect(suspicion.confirm(1)).toBe(false);
  expect(suspicion.confirm(2)).toBe(true);
  expect(suspicion.confirm(2)).toBe(false);
  expect(suspicion.confirmations).toBe(1);
});

test('suspicion: more accusers than needed → not kept, the list is bounded', () => {
  const suspicion = new Suspicion(begun, about, 0, 1000, lan);
  for (let origin = 1; origin < 1000; origin++) suspicion.confirm(origin);
  expect(suspicion.accusers.length).toBe(1 + lan.confirmations);
});

test('suspicion: five members, two crash at once → the two confirmations that are left are enough', () => {
  const suspicion = new Suspicion(begun, about, 1, 5, lan);
  suspicion.confirm(2);
  suspicion.confirm(3);
  expect(suspicion.timeoutMs).toBe(600);
});

test('suspicion: two members only → nobody could confirm, so the minimum holds at once', () => {
  expect(new Suspicion(begun, about, 0, 2, lan).timeoutMs).toBe(600);
});

test('suspicion: the suspect speaks to us → our clock starts anew', () => {
  const suspicion = new Suspicion(begun, about, 0, 2, lan);
  suspicion.heard(instant(500));
  expect(suspicion.deadline).toBe(1100);
});
