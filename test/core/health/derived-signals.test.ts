import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Instant, instant, wallTime } from '../../../agent/base/time.ts';
import type { Expression } from '../../../agent/core/health/condition.ts';
import { DerivedSignals } from '../../../agent/core/health/derived-signals.ts';
import { type Over, OverWindow } from '../../../agent/core/health/over-window.ts';
import type { Derived, Quality, Sample } from '../../../agent/core/health/signal.ts';
import { signal } from './health-world.ts';

const read = (of: number): Expression => ({ op: 'signal', signal: of, factor: 1, offset: 0 });
const minus = (a: Expression, b: Expression): Expression => ({ op: 'arithmetic', by: '-', left: a, right: b });
const over = (ms: number, what: Over['what'], perMs = 1_000): Over => ({ ms, what, perMs });

/** Two raw signals (in, out), a difference of them, its mean over 10 s, and the rate of `in`. */
const specs = (change: Partial<Derived> = {}) => [
  signal(0, 'in', { everyMs: 1_000, freshMs: 3_000 }),
  signal(1, 'out', { everyMs: 1_000, freshMs: 3_000 }),
  signal(2, 'rise', {
    everyMs: 1_000,
    freshMs: 3_000,
    derived: { formula: minus(read(1), read(0)), over: undefined, inputs: [0, 1], ...change },
  }),
];

class Line {
  now: Instant = instant(1_000_000);
  readonly derived: DerivedSignals;

  constructor(of: ReturnType<typeof specs>) {
    this.derived = new DerivedSignals(of);
  }

  say(index: number, value: number, quality: Quality = 'good', sourceTime: number = this.now): readonly Sample[] {
    return this.derived.take({
      signal: index,
      value,
      quality,
      sourceTime: wallTime(sourceTime),
      receiveTime: this.now,
    });
  }

  later(ms: number): this {
    this.now = instant(this.now + ms);
    return this;
  }
}
const of = (samples: readonly Sample[], index: number) => samples.find((sample) => sample.signal === index);

describe('formula', () => {
  test('both inputs known → their difference, with the newest of their stamps; a raw reading passes as it is', () => {
    const line = new Line(specs());
    expect(of(line.say(0, 20, 'good', 500), 2)).toBeUndefined();
    const out = line.later(1_000).say(1, 35, 'good', 400);
    expect(out[0]).toMatchObject({ signal: 1, value: 35 });
    expect(of(out, 2)).toMatchObject({ value: 15, quality: 'good', sourceTime: 500, receiveTime: line.now });
  });

  test('inputs faster than it → once per interval, by their last readings', () => {
    const line = new Line(specs());
    line.say(0, 0);
    const made: number[] = [];
    for (let n = 0; n < 40; n++) {
      for (const sample of [...line.later(100).say(0, n), ...line.say(1, 2 * n)]) {
        if (sample.signal === 2) made.push(sample.value);
      }
    }
    // Each of one round: 2n - n, whichever came first.
    expect(made).toEqual([...new Set(made)]);
    expect(made.every((value) => Number.isInteger(value))).toBe(true);
    expect(made.length).toBeGreaterThanOrEqual(3);
    expect(made.length).toBeLessThanOrEqual(5);
  });

  test('inputs that come in one round, in either order → of that round, not of the one before', () => {
    const line = new Line(specs());
    for (let n = 1; n <= 10; n++) {
      const [a, b] = n % 2 === 0 ? [0, 1] : [1, 0];
      const value = (index: number) => (index === 1 ? 3 * n : n);
      const made = [...line.later(1_000).say(a, value(a)), ...line.say(b, value(b))];
      expect(of(made, 2)?.value).toBe(2 * n);
    }
  });

  test('one input falls silent → bad as soon as that one is stale, though the other speaks', () => {
    const line = new Line(specs());
    line.say(0, 20);
    expect(of(line.later(1_000).say(1, 30), 2)?.quality).toBe('good');
    expect(of(line.later(1_500).say(1, 31), 2)?.value).toBe(11);
    expect(of(line.later(1_500).say(1, 32), 2)).toMatchObject({ quality: 'bad', value: Number.NaN });
  });

  test.each([
    ['bad', Number.NaN, 'bad'],
    ['uncertain', 20, 'bad'],
    ['good', Number.POSITIVE_INFINITY, 'bad'],
  ] as const)('an input of quality %s and value %d → %s', (quality, value, expected) => {
    const line = new Line(specs());
    line.say(1, 30);
    expect(of(line.later(1_000).say(0, value, quality), 2)?.quality).toBe(expected);
  });

  test('an uncertain input that is accepted → uncertain', () => {
    const [first, ...rest] = specs();
    const line = new Line([{ ...first!, acceptUncertain: true }, ...rest] as ReturnType<typeof specs>);
    line.say(1, 30);
    expect(of(line.later(1_000).say(0, 20, 'uncertain'), 2)).toMatchObject({ value: 10, quality: 'uncertain' });
  });

  test('derived of derived → follows in the same breath', () => {
    const line = new Line([
      ...specs(),
      signal(3, 'twice', {
        everyMs: 1_000,
        freshMs: 3_000,
        derived: { formula: minus(read(2), read(0)), over: undefined, inputs: [0, 2] },
      }),
    ]);
    line.say(0, 5);
    expect(of(line.later(1_000).say(1, 20), 3)?.value).toBe(10);
  });
});

describe('over a while', () => {
  test('mean of a difference → nothing before half the window was seen, then its mean', () => {
    const line = new Line(specs({ over: over(10_000, 'mean') }));
    const seen: (number | string)[] = [];
    for (let n = 0; n <= 20; n++) {
      line.later(1_000).say(0, 10);
      // By turns 2 and 4 above: 3 in the mean.
      const made = of(line.say(1, 12 + 2 * (n % 2)), 2);
      if (made !== undefined) seen.push(made.quality === 'good' ? made.value : made.quality);
    }
    expect(seen.slice(0, 5)).toEqual(['bad', 'bad', 'bad', 'bad', 'bad']);
    expect(seen.at(-1)).toBeCloseTo(3, 0);
  });

  test('over its own readings → takes the place of the raw ones', () => {
    const own = signal(0, 'level', {
      everyMs: 1_000,
      freshMs: 3_000,
      derived: { formula: undefined, over: over(4_000, 'max'), inputs: [] },
    });
    const line = new Line([own] as unknown as ReturnType<typeof specs>);
    const values = [1, 9, 2, 3, 4, 5, 6, 7].map((value) => of(line.later(1_000).say(0, value), 0)!);
    expect(values.map((sample) => sample.quality)).toEqual([
      'bad',
      'bad',
      'good',
      'good',
      'good',
      'good',
      'good',
      'good',
    ]);
    expect(values[3]?.value).toBe(9);
    expect(values.at(-1)?.value).toBe(6);
  });

  const fill = (what: Over['what'], of: (second: number) => number | undefined, ms = 60_000, perMs = 1_000) => {
    const window = new OverWindow(over(ms, what, perMs), 1_000, 3_000);
    for (let second = 0; second <= ms / 1_000; second++) window.add(instant(second * 1_000), of(second), false);
    return window.read(instant(ms));
  };

  test('each word → what it says', () => {
    const ramp = (second: number) => second;
    expect(fill('mean', ramp).value).toBeCloseTo(29.5, 0);
    expect(fill('min', ramp).value).toBeLessThanOrEqual(2);
    expect(fill('max', ramp).value).toBe(59);
    expect(fill('range', ramp).value).toBeGreaterThanOrEqual(57);
    expect(fill('median', (second) => (second % 10 === 0 ? 1_000 : 5)).value).toBe(5);
    expect(fill('stddev', (second) => (second % 2 === 0 ? 10 : 20)).value).toBeCloseTo(5, 1);
    expect(fill('rate', (second) => 3 + 0.5 * second).value).toBeCloseTo(0.5, 3);
    expect(fill('rate', (second) => 0.5 * second, 60_000, 3_600_000).value).toBeCloseTo(1_800, 0);
  });

  test('a gap → is no value that stood: the mean is of what was seen, and the coverage says how much', () => {
    const { value, coverage } = fill('mean', (second) => (second < 40 ? 10 : undefined));
    expect(value).toBeCloseTo(10, 9);
    expect(coverage).toBeGreaterThan(0.6);
    expect(coverage).toBeLessThan(0.72);
  });

  test('a device that falls silent → its last reading holds while it is fresh and no longer', () => {
    const window = new OverWindow(over(10_000, 'mean'), 1_000, 3_000);
    window.add(instant(0), 5, false);
    expect(window.read(instant(9_000)).coverage).toBeCloseTo(0.3, 6);
    expect(window.read(instant(60_000))).toMatchObject({ value: undefined, coverage: 0 });
  });

  test('irregular readings → weighed by the time for which they stood, as a slow reckoning says', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.integer({ min: 1, max: 3_000 }), fc.integer({ min: -50, max: 50 })), {
          minLength: 2,
          maxLength: 60,
        }),
        (steps) => {
          // So long that nothing falls out of it: slots and reckoning must agree to the last digit.
          const window = new OverWindow(over(600_000, 'mean'), 1_000, 2_000);
          let at = 0;
          let weight = 0;
          let sum = 0;
          for (const [index, [ms, value]] of steps.entries()) {
            window.add(instant(at), value, false);
            if (index === steps.length - 1) break;
            const held = Math.min(ms, 2_000);
            weight += held;
            sum += held * value;
            at += ms;
          }
          expect(window.read(instant(at)).value ?? 0).toBeCloseTo(weight === 0 ? 0 : sum / weight, 6);
        },
      ),
      { numRuns: 100 },
    );
  });

  test('a flood of readings for an hour → the same few slots', () => {
    const window = new OverWindow(over(3_600_000, 'mean'), 10, 1_000);
    for (let n = 0; n < 50_000; n++) window.add(instant(n * 72), n % 2, false);
    expect(window.read(instant(3_600_000)).value).toBeCloseTo(0.5, 2);
  });
});
