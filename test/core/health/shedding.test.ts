import { expect, test } from 'vitest';
import { check, condition, crit, HealthWorld, signal } from './health-world.ts';

/** Of each worth and cost one: seen by people alone, looked at by a condition, a program, a duty's process, a signal's. */
const world = (): HealthWorld =>
  new HealthWorld({
    signals: [signal(0, 'rms')],
    checks: [
      check(0, 'shown'),
      check(1, 'used'),
      check(2, 'used-plugin', { cost: 'program' }),
      check(3, 'process', { cost: 'none' }),
      check(4, 'stale', { source: { kind: 'signal', signal: 0, judge: 'staleness' } }),
      check(5, 'up'),
    ],
    conditions: [condition(0, crit(1)), condition(1, crit(2))],
  });

/** Answers every probe with OK for a minute, and counts them. */
function runsInAMinute(of: HealthWorld): number[] {
  const counts = [0, 0, 0, 0, 0, 0];
  for (let step = 0; step < 600; step++) {
    for (const output of of.pass(100)) {
      if (output.kind !== 'run-check') continue;
      counts[output.check]!++;
      of.observe(output.check, { status: 'ok' });
    }
  }
  return counts;
}

test.each([
  [0, [60, 60, 60, 60, 0, 60]],
  [1, [15, 60, 60, 60, 0, 60]],
  [2, [0, 60, 20, 60, 0, 60]],
  [3, [0, 20, 20, 60, 0, 60]],
] as const)(
  'step %i of shedding → what is least needed gives way first, signals, processes and `up` never',
  (level, counts) => {
    const box = world();
    box.pass(5_000);
    box.call((out) => box.health.budgetJudged(box.now, level, 'over', out));
    for (const [index, count] of runsInAMinute(box).entries()) {
      expect(count, `check ${index}`).toBeGreaterThanOrEqual(counts[index]! - 2);
      expect(count, `check ${index}`).toBeLessThanOrEqual(counts[index]! + 2);
    }
  },
);

test('what is shed → is said with its numbers, and a paused check says that nobody looks', () => {
  const box = world();
  for (const step of [0, 1, 2, 3, 5]) box.observe(step, { status: 'ok' });
  const said = box.call((out) => box.health.budgetJudged(box.now, 2, 'over its budget (x)', out));
  expect(said.find((output) => output.kind === 'shedding-changed')).toMatchObject({ level: 2, slowed: 1, paused: 1 });
  const [shown, used, plugin] = box.health.snapshot().checks;
  expect(shown).toMatchObject({
    status: 'unknown',
    text: 'paused: this agent is over its budget',
    shed: Number.POSITIVE_INFINITY,
  });
  expect(used).toMatchObject({ status: 'ok', shed: 1 });
  expect(plugin).toMatchObject({ status: 'ok', shed: 3 });
  box.call((out) => box.health.budgetJudged(box.now, 0, 'within', out));
  expect(box.pass(1_000).some((output) => output.kind === 'run-check' && output.check === 0)).toBe(true);
});
