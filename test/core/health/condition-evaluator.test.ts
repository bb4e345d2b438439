import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Expression } from '../../../agent/core/health/condition.ts';
import { evaluate, evaluateTruth, type Facts } from '../../../agent/core/health/condition-evaluator.ts';

type Three = boolean | undefined;
const told = (value: Three) => (value === undefined ? { value, why: 'not known' } : { value });

/** Leaves are `held(n)`, whose truth is the n-th of these. */
const facts = (values: readonly Three[]): Facts => ({
  check: () => ({ value: undefined, why: '' }),
  signal: () => ({ value: undefined, why: '' }),
  fresh: () => ({ value: undefined, why: '' }),
  state: () => ({ value: undefined, why: '' }),
  anomalous: () => ({ value: undefined, why: '' }),
  score: () => ({ value: undefined, why: '' }),
  class: () => ({ value: undefined, why: '' }),
  forecast: () => ({ value: undefined, why: '' }),
  member: () => ({ value: undefined, why: '' }),
  held: (n) => told(values[n]),
});

const held = (n: number): Expression => ({ op: 'held', duty: n });
const T = true;
const F = false;
const U = undefined;

test('Kleene: the tables of and, or, not', () => {
  const table: readonly [Three, Three, Three, Three][] = [
    [T, T, T, T],
    [T, F, F, T],
    [T, U, U, T],
    [F, F, F, F],
    [F, U, F, U],
    [U, U, U, U],
  ];
  for (const [a, b, and, or] of table) {
    for (const [x, y] of [
      [a, b],
      [b, a],
    ]) {
      expect(evaluate({ op: 'and', args: [held(0), held(1)] }, facts([x, y]))).toBe(and);
      expect(evaluate({ op: 'or', args: [held(0), held(1)] }, facts([x, y]))).toBe(or);
    }
  }
  expect(evaluate({ op: 'not', arg: held(0) }, facts([U]))).toBe(U);
});

test('check: unknown is neither ok nor warn nor crit, and unknown() of it is true', () => {
  const of = (status: 'ok' | 'crit' | 'unknown' | 'idle') => ({ ...facts([]), check: () => ({ value: status }) });
  const ask = (is: 'ok' | 'warn' | 'crit' | 'unknown', status: 'ok' | 'crit' | 'unknown' | 'idle') =>
    evaluateTruth({ op: 'check', is, check: 0 }, of(status));
  expect([ask('ok', 'unknown'), ask('crit', 'unknown'), ask('unknown', 'unknown')]).toEqual([
    'unknown',
    'unknown',
    'true',
  ]);
  expect([ask('ok', 'idle'), ask('crit', 'idle'), ask('unknown', 'idle')]).toEqual(['false', 'false', 'false']);
  expect([ask('ok', 'ok'), ask('crit', 'ok'), ask('unknown', 'ok')]).toEqual(['true', 'false', 'false']);
});

test('numbers: division by zero, mixed kinds and missing values are unknown, never a throw', () => {
  const literal = (value: boolean | number | string): Expression => ({ op: 'literal', value });
  const compare = (left: Expression, right: Expression): Expression => ({ op: 'compare', by: '>', left, right });
  const divide: Expression = { op: 'arithmetic', by: '/', left: literal(1), right: literal(0) };
  expect(evaluateTruth(compare(divide, literal(1)), facts([]))).toBe('unknown');
  expect(evaluateTruth(compare(literal('a'), literal(1)), facts([]))).toBe('unknown');
  expect(evaluateTruth({ op: 'not', arg: literal(3) }, facts([]))).toBe('unknown');
});

const expression = fc.letrec<{ e: Expression }>((tie) => ({
  e: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.integer({ min: 0, max: 4 }).map(held),
    fc.record({ op: fc.constant('not' as const), arg: tie('e') }),
    fc.record({
      op: fc.constantFrom('and' as const, 'or' as const),
      args: fc.array(tie('e'), { minLength: 1, maxLength: 3 }),
    }),
    fc.record({
      op: fc.constant('at-least' as const),
      n: fc.integer({ min: 0, max: 4 }),
      args: fc.array(tie('e'), { minLength: 1, maxLength: 4 }),
    }),
    // biome-ignore lint/suspicious/noThenProperty: the expression's own word; it is never awaited.
    fc.record({ op: fc.constant('choose' as const), test: tie('e'), then: tie('e'), else: tie('e') }),
  ),
})).e;

test('whatever is told for certain stays so, whichever way the doubts turn out', () => {
  fc.assert(
    fc.property(
      expression,
      fc.array(fc.constantFrom<Three>(T, F, U), { minLength: 5, maxLength: 5 }),
      fc.nat(31),
      (e, values, bits) => {
        const before = evaluate(e, facts(values));
        if (before === undefined) return;
        const resolved = values.map((value, n) => value ?? ((bits >> n) & 1) === 1);
        expect(evaluate(e, facts(resolved))).toBe(before);
      },
    ),
    { numRuns: 2_000, seed: 3 },
  );
});
