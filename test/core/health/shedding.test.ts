import { expect, test } from 'vitest';
import { mostShedding, restOf, sheddingOrder, usedModels } from '../../../agent/core/health/shedding.ts';
import { check, condition, crit, HealthWorld, model, signal } from './health-world.ts';

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
  [1, [60, 60, 60, 60, 0, 60]],
  [2, [15, 60, 60, 60, 0, 60]],
  [3, [0, 60, 20, 60, 0, 60]],
  [4, [0, 20, 20, 60, 0, 60]],
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
  const said = box.call((out) => box.health.budgetJudged(box.now, 3, 'over its budget (x)', out));
  expect(said.find((output) => output.kind === 'shedding-changed')).toMatchObject({ level: 3, slowed: 1, paused: 1 });
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

test.each([
  [0, 'nothing', 'nothing'],
  [1, 'beside', 'beside'],
  [2, 'beside', 'beside'],
  [3, 'beside', 'all'],
  [4, 'beside', 'all'],
] as const)('step %i → of a model that a condition looks at rests %s, of another %s', (level, used, shown) => {
  expect([restOf(level, true), restOf(level, false)]).toEqual([used, shown]);
});

test('the declared order → a line for every step; who asks for score, class or forecast uses a model, too', () => {
  expect(sheddingOrder.length).toBe(mostShedding + 1);
  const asked = [
    condition(0, { op: 'anomalous', model: 0 }),
    condition(1, { op: 'compare', by: '>', left: { op: 'score', model: 1 }, right: { op: 'literal', value: 3 } }),
    condition(2, { op: 'compare', by: '==', left: { op: 'class', model: 2 }, right: { op: 'literal', value: 'worn' } }),
    condition(3, { op: 'not', arg: { op: 'anomalous', model: 4 } }),
  ];
  expect(usedModels({ conditions: asked })).toEqual(new Set([0, 1, 2, 4]));
});

test('a model that rests → unknown, not well, with the reason; back again it begins from nothing, rules go on', () => {
  const box = new HealthWorld({
    models: [model(0, 'used'), model(1, 'shown')],
    conditions: [condition(0, { op: 'anomalous', model: 0 })],
  });
  const judge = (level: 0 | 1 | 2 | 3 | 4) =>
    box.call((out) => box.health.budgetJudged(box.now, level, 'over its budget (x)', out));
  const bad = (of: number) => {
    for (let i = 0; i < 3; i++) box.score(of, 20);
  };
  const models = () =>
    box.health.snapshot().models.map(({ anomalous, why, score, rests }) => ({ anomalous, why, score, rests }));
  const quiet = { anomalous: 'unknown', score: undefined };
  bad(1);
  box.score(0, 1);
  expect(models()).toMatchObject([{ anomalous: 'false' }, { anomalous: 'true', score: 20 }]);
  judge(2);
  expect(models()).toMatchObject([{ anomalous: 'false' }, { anomalous: 'true' }]);
  const said = judge(3);
  expect(said.find((output) => output.kind === 'shedding-changed')).toMatchObject({ resting: 1 });
  const shed = { ...quiet, why: 'not scored: this agent is over its budget', rests: true };
  expect(models()).toEqual([{ anomalous: 'false', why: undefined, score: 1, rests: false }, shed]);
  // What was under way counts no more, and nobody hears that the machine is well.
  expect([...box.score(1, 1), ...box.pass(60_000)].filter((output) => output.kind === 'anomaly-changed')).toEqual([]);
  expect(models()[1]).toEqual(shed);
  // The rule that hangs on the other one works at the last step, too.
  judge(4);
  bad(0);
  const conditions = box.said.filter((output) => output.kind === 'condition-changed');
  expect(conditions.at(-1)).toMatchObject({ condition: 0, truth: 'true' });
  judge(2);
  expect(models()[1]).toEqual({ ...quiet, why: 'not scored yet', rests: false });
  // Only now somebody can tell that what was raised before is gone.
  expect(box.score(1, 1)).toContainEqual(expect.objectContaining({ kind: 'anomaly-changed', anomalous: false }));
  box.score(1, 20);
  expect(models()[1]).toMatchObject({ anomalous: 'false', score: 20 });
  bad(1);
  expect(models()[1]).toMatchObject({ anomalous: 'true' });
});

test('a refused model at the last step → says that it was refused; one whose work comes here meanwhile rests', () => {
  const box = new HealthWorld({
    models: [model(0, 'refused'), model(1, 'elsewhere', { runsOn: { on: 'holder', duty: 0 } })],
  });
  box.call((out) => box.health.modelRefused(box.now, 0, 'sha256 differs', out));
  box.call((out) => box.health.budgetJudged(box.now, 4, 'over its budget (x)', out));
  box.holds.add(0);
  box.call((out) => box.health.locationsChanged(box.now, out));
  expect(box.health.snapshot().models).toMatchObject([
    { why: 'model refused: sha256 differs', rests: false },
    { why: 'not scored: this agent is over its budget', rests: true, here: true },
  ]);
});
