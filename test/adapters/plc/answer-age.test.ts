import fc from 'fast-check';
import { expect, test } from 'vitest';
import { AnswerAge } from '../../../agent/adapters/plc/answer-age.ts';
import { type Instant, instant } from '../../../agent/base/time.ts';

interface Arrival {
  readonly now: number;
  readonly saidAt: number;
  readonly asOf: number;
  /** When the last question was asked that has been answered. */
  readonly proven: number;
}

/**
 * A server on one ordered stream: it says something each 50 ms and answers questions at once, and all of it arrives late
 * by what `delay` gives for the moment when it was said. Steps of one millisecond.
 */
function listen(everyMs: number, forMs: number, delay: (at: number) => number) {
  const age = new AnswerAge(everyMs);
  const wire: { readonly saidAt: number; readonly due: number; readonly question?: number }[] = [];
  const put = (saidAt: number, question?: number) => {
    const due = Math.max(wire.at(-1)?.due ?? 0, saidAt + delay(saidAt));
    wire.push({ saidAt, due, ...(question === undefined ? {} : { question }) });
  };
  const arrivals: Arrival[] = [];
  const questions: number[] = [];
  let proven = Number.NEGATIVE_INFINITY;
  let askAt = 0;
  let read = 0;
  for (let now = 0; now < forMs; now++) {
    if (now >= askAt) {
      askAt = Number.POSITIVE_INFINITY;
      age.ask(instant(now));
      questions.push(now);
      put(now, now);
    }
    if (now % 50 === 0) put(now);
    for (; wire[read] !== undefined && wire[read]!.due <= now; read++) {
      const { saidAt, question } = wire[read]!;
      if (question === undefined) arrivals.push({ now, saidAt, asOf: age.asOf(instant(now)), proven });
      else {
        proven = question;
        askAt = now + Math.max(1, age.answered(instant(now)));
      }
    }
  }
  return { arrivals, questions };
}

test('a prompt server → its word is of now, and it is asked once a period', () => {
  const { arrivals, questions } = listen(1_000, 20_000, () => 2);
  expect(arrivals.every(({ now, asOf }) => now - asOf <= 3)).toBe(true);
  expect(questions.length).toBeLessThanOrEqual(20);
});

test('a server that is steadily late → its word is as old as it is, from one period on; prompt again → of now, within one', () => {
  for (const late of [100, 700, 3_000]) {
    const { arrivals, questions } = listen(1_000, 40_000, (at) => (at >= 10_000 && at < 30_000 ? late : 2));
    const settled = arrivals.filter(({ now }) => now > 11_000 + late && now < 30_000);
    expect(settled.length).toBeGreaterThan(100);
    for (const { asOf, saidAt } of settled) expect(Math.abs(asOf - saidAt)).toBeLessThanOrEqual(1);
    const after = arrivals.filter(({ now }) => now > 31_000 + late);
    expect(after.every(({ now, asOf }) => now - asOf <= 3)).toBe(true);
    expect(questions.length).toBeLessThan(45);
  }
});

test('one late answer → the next question goes out at once, and what comes then is of now', () => {
  // It stands still from 9.95 s to 10.35 s, while a question is on its way, then says all at once.
  const { arrivals } = listen(1_000, 20_000, (at) => (at >= 9_950 && at < 10_350 ? 10_350 - at : 2));
  const held = arrivals.filter(({ now, asOf }) => now - asOf > 10);
  expect(held.length).toBeGreaterThan(0);
  expect(held.every(({ now }) => now >= 9_950 && now <= 10_360)).toBe(true);
});

test('however late it is from moment to moment → nothing is older than the last answered question, nothing goes back', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 50, max: 1_000 }),
      fc.array(fc.integer({ min: 0, max: 2_000 }), { minLength: 1, maxLength: 8 }),
      (everyMs, delays) => {
        const { arrivals } = listen(everyMs, 500 * delays.length, (at) => delays[Math.floor(at / 500)] ?? 0);
        for (const [i, { now, asOf, proven }] of arrivals.entries()) {
          expect(asOf).toBeLessThanOrEqual(now);
          expect(asOf).toBeGreaterThanOrEqual(proven);
          expect(asOf).toBeGreaterThanOrEqual(arrivals[i - 1]?.asOf ?? Number.NEGATIVE_INFINITY);
        }
      },
    ),
    { numRuns: 100 },
  );
});

test('steadily late is news once, after three answers; a hiccup is none; prompt again is news once', () => {
  const age = new AnswerAge(1_000);
  let now = 0 as Instant;
  const answer = (tookMs: number) => {
    age.ask(now);
    now = instant(now + tookMs);
    age.answered(now);
    return age.news();
  };
  expect([2, 3_000, 2, 2, 1_500].map(answer)).toEqual([undefined, undefined, undefined, undefined, undefined]);
  expect([1_500, 2_000, 2_100, 900].map(answer)).toEqual([undefined, { late: true, ms: 2_000 }, undefined, undefined]);
  expect([3, 2, 2].map(answer)).toEqual([{ late: false, ms: 3 }, undefined, undefined]);
});
