import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Instant, instant } from '../../../agent/base/time.ts';
import { CheckSchedule } from '../../../agent/core/health/check-schedule.ts';
import { busiestSecond } from '../../bench/senses/pacing.ts';

/** Runs a schedule in virtual time, and notes when what was due. */
class Run {
  readonly schedule: CheckSchedule;
  readonly times: { readonly at: number; readonly check: number }[] = [];
  now: Instant;

  constructor(salt = 1, from = 0) {
    this.schedule = new CheckSchedule(salt);
    this.now = instant(from);
  }

  start(count: number, everyMs: number, first = 0): this {
    for (let index = first; index < first + count; index++) this.schedule.start(this.now, { index, everyMs });
    return this;
  }

  pass(ms: number): this {
    const end = this.now + ms;
    while (this.schedule.deadline <= end) {
      this.now = instant(Math.max(this.now, this.schedule.deadline));
      this.take();
    }
    this.now = instant(end);
    return this;
  }

  take(): number {
    const due: number[] = [];
    this.schedule.take(this.now, due);
    for (const check of due) this.times.push({ at: this.now, check });
    return due.length;
  }

  since(at: number): readonly number[] {
    return this.times.filter((one) => one.at >= at).map((one) => one.at);
  }
}

describe('1000 checks a minute', () => {
  const mean = 1_000 / 60;

  test.each([1, 4_711])('cold start, salt %i → all within a minute, no second with twice the mean', (salt) => {
    const run = new Run(salt, 12_345).start(1_000, 60_000).pass(180_000);
    expect(new Set(run.times.filter(({ at }) => at <= 12_345 + 60_000).map(({ check }) => check)).size).toBe(1_000);
    expect(busiestSecond(run.since(0))).toBeLessThanOrEqual(2 * mean);
  });

  test('the box slept for an hour → caught up without a burst', () => {
    const run = new Run().start(1_000, 60_000).pass(120_000);
    run.now = instant(run.now + 3_600_000);
    const woken = run.now;
    run.pass(120_000);
    expect(busiestSecond(run.since(woken))).toBeLessThanOrEqual(2 * mean);
    expect(
      new Set(run.times.filter(({ at }) => at >= woken && at <= woken + 60_500).map(({ check }) => check)).size,
    ).toBe(1_000);
  });

  test('500 come from a neighbour that died, 300 leave again → no burst either', () => {
    const run = new Run().start(1_000, 60_000).pass(90_000).start(500, 60_000, 1_000).pass(90_000);
    for (let check = 200; check < 500; check++) run.schedule.stop(check);
    const settled = run.pass(1_000).now;
    run.pass(120_000);
    expect(busiestSecond(run.since(90_000))).toBeLessThanOrEqual((2 * 1_500) / 60);
    expect(busiestSecond(run.since(settled))).toBeLessThanOrEqual((2 * 1_200) / 60);
  });
});

test('a restart → the same times of the minute, for the box by whose name they are drawn', () => {
  const phases = (run: Run) =>
    new Map(run.times.filter(({ at }) => at > 60_000).map(({ at, check }) => [check, Math.round(at % 60_000)]));
  const first = phases(new Run(7).start(50, 60_000).pass(130_000));
  expect(phases(new Run(7).start(50, 60_000).pass(130_000))).toEqual(first);
  expect(phases(new Run(8).start(50, 60_000).pass(130_000))).not.toEqual(first);
});

test('a few checks → their first answers come at once, one after the other', () => {
  const run = new Run().start(10, 60_000).pass(1_500);
  expect(run.times).toHaveLength(10);
});

test('a box that is late for everything → every check still runs', () => {
  const run = new Run().start(20, 5_000);
  for (let n = 0; n < 100; n++) {
    run.now = instant(run.now + 2_000);
    run.take();
  }
  const counts = new Map<number, number>();
  for (const { check } of run.times) counts.set(check, (counts.get(check) ?? 0) + 1);
  expect(counts.size).toBe(20);
  // 200 s hold 40 intervals; being late may cost a check every second one and no more.
  expect(Math.min(...counts.values())).toBeGreaterThanOrEqual(15);
});

test('slowed, paused, and as before → every n-th time, never, and soon again', () => {
  const run = new Run().start(1, 1_000).pass(10_000);
  const often = run.times.length;
  run.schedule.slow(run.now, 0, 4);
  run.pass(20_000);
  expect(run.times.length - often).toBeGreaterThanOrEqual(5);
  expect(run.times.length - often).toBeLessThanOrEqual(7);
  run.schedule.slow(run.now, 0, Number.POSITIVE_INFINITY);
  const paused = run.pass(5_000).times.length;
  expect(run.pass(60_000).times).toHaveLength(paused);
  run.schedule.slow(run.now, 0, 1);
  expect(run.pass(1_000).times.length).toBeGreaterThan(paused);
});

test('intervals of all sorts, come and gone in any order → never twice the mean and a few more', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 1e9 }),
      fc.array(fc.record({ every: fc.constantFrom(1_000, 5_000, 10_000, 60_000), stops: fc.boolean() }), {
        minLength: 1,
        maxLength: 120,
      }),
      (salt, checks) => {
        const run = new Run(salt);
        for (const [index, { every }] of checks.entries()) run.schedule.start(run.now, { index, everyMs: every });
        run.pass(30_000);
        for (const [index, { stops }] of checks.entries()) if (stops) run.schedule.stop(index);
        run.pass(60_000);
        const mean = checks.reduce((sum, { every }) => sum + 1_000 / every, 0);
        expect(busiestSecond(run.since(0))).toBeLessThanOrEqual(2 * mean + 9);
      },
    ),
    { numRuns: 25 },
  );
});
