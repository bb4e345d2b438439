import { expect, test } from 'vitest';
import type { CheckSpec } from '../../../agent/core/health/check.ts';
import type { HealthDigest } from '../../../agent/core/health/digest.ts';
import { check, condition, crit, HealthWorld, model, signal } from './health-world.ts';

const rms = (change: Partial<CheckSpec> = {}): CheckSpec =>
  check(0, 'vibration', {
    source: { kind: 'signal', signal: 0, judge: 'value' },
    warn: { side: 'above', value: 4.5 },
    crit: { side: 'above', value: 7.1 },
    ...change,
  });

const statuses = (world: HealthWorld, of = 0): readonly string[] =>
  world.said.flatMap((output) => (output.kind === 'check-changed' && output.check === of ? [output.to] : []));

const truths = (world: HealthWorld, of = 0): readonly string[] =>
  world.said.flatMap((output) =>
    output.kind === 'condition-changed' && output.condition === of ? [output.truth] : [],
  );

const digest = (change: Partial<HealthDigest>): HealthDigest => ({
  agent: 1,
  bootCounter: 1,
  sequence: 1,
  checks: [],
  judges: [],
  anomalous: [],
  duties: [],
  localHealth: 0,
  coordinator: 'lost',
  ...change,
});

test('value check: limits, evidence, condition and its times', () => {
  const world = new HealthWorld({
    signals: [signal(0, 'bearing-rms')],
    checks: [rms({ raise: { kind: 'count', n: 3 } })],
    conditions: [condition(0, crit(0))],
  });
  world.sample(0, 2);
  expect(world.health.status(0)).toBe('ok');
  const firstBad = world.now;
  for (let n = 0; n < 3; n++) {
    world.sample(0, 7.9);
    if (n < 2) world.pass(100);
  }
  expect(world.health.status(0)).toBe('crit');
  expect(world.health.truth(0)).toBe('true');
  expect(world.health.evidence(0)).toBe('bearing-rms 7.9 mm/s above 7.1 mm/s');
  expect(world.health.times(0)).toEqual({
    firstBadAt: firstBad,
    conditionAt: firstBad + 200,
    firstSampleWall: 5_000_000 + firstBad,
  });
});

test('deadband: falls back below the limit but not below the deadband → stays', () => {
  const world = new HealthWorld({ signals: [signal(0, 'x')], checks: [rms({ deadband: 0.1 })] });
  for (const [value, status] of [
    [8, 'crit'],
    [7, 'crit'],
    [6.4, 'crit'],
    [6.3, 'warn'],
    [4.2, 'warn'],
    [4, 'ok'],
    [4.4, 'ok'],
  ] as const) {
    world.sample(0, value);
    expect(world.health.status(0), `at ${value}`).toBe(status);
  }
});

test('dwell 3 of 5: two bad readings among good ones do not raise, three do', () => {
  const world = new HealthWorld({ signals: [signal(0, 'x')], checks: [rms({ raise: { kind: 'of', k: 3, n: 5 } })] });
  for (const value of [8, 1, 8, 1, 1, 1, 8, 1, 8]) world.sample(0, value);
  expect(world.health.status(0)).toBe('ok');
  world.sample(0, 8);
  expect(world.health.status(0)).toBe('crit');
});

test('dwell of a time: raised by the clock between two readings, not before', () => {
  const world = new HealthWorld({
    signals: [signal(0, 'x', { freshMs: 10_000 })],
    checks: [rms({ raise: { kind: 'time', ms: 5_000 } })],
  });
  world.sample(0, 8);
  world.pass(4_999);
  expect(world.health.status(0)).toBe('ok');
  world.pass(1);
  expect(world.health.status(0)).toBe('crit');
});

test('unknown: shown at once, counts for neither raise nor clear, dwell goes on where it stood', () => {
  const world = new HealthWorld({
    signals: [signal(0, 'x')],
    checks: [rms({ raise: { kind: 'count', n: 3 }, clear: { kind: 'count', n: 3 } })],
    conditions: [condition(0, crit(0))],
  });
  world.sample(0, 8);
  world.sample(0, 8);
  world.sample(0, Number.NaN, 'bad');
  expect(world.health.status(0)).toBe('unknown');
  expect(world.health.truth(0)).toBe('unknown');
  world.sample(0, 8);
  expect(world.health.status(0)).toBe('crit');
  world.sample(0, 1);
  world.sample(0, 1, 'uncertain');
  world.sample(0, 1);
  expect(world.health.status(0), 'an uncertain reading is no good one').toBe('crit');
  world.sample(0, 1);
  expect(world.health.status(0)).toBe('ok');
});

test('staleness: no sample for longer than fresh → unknown at that very moment, with the reason', () => {
  const world = new HealthWorld({ signals: [signal(0, 'x')], checks: [rms()], conditions: [condition(0, crit(0))] });
  world.sample(0, 8);
  const at = world.now;
  world.pass(12_000);
  const said = world.said.find((output) => output.kind === 'check-changed' && output.to === 'unknown');
  expect(said).toBeDefined();
  expect(world.health.explain(0).children).toEqual([]);
  expect(world.health.truth(0)).toBe('unknown');
  const late = new HealthWorld({ signals: [signal(0, 'x')], checks: [rms()], conditions: [condition(0, crit(0))] });
  late.sample(0, 8);
  // No tick came yet: a guard that asks now must not be told what was true half a second ago.
  expect(at).toBe(late.now);
  expect(late.health.lockout(0, (late.now + 499) as typeof late.now)).toBe('true');
  expect(late.health.lockout(0, (late.now + 500) as typeof late.now)).toBe('unknown');
});

test('truth tree: the unknown leaf says why', () => {
  const world = new HealthWorld({
    signals: [signal(0, 'oil')],
    conditions: [
      condition(0, {
        op: 'and',
        args: [
          {
            op: 'compare',
            by: '>',
            left: { op: 'signal', signal: 0, factor: 1, offset: 0 },
            right: { op: 'literal', value: 2 },
          },
          { op: 'member', is: 'alive', agent: 1 },
        ],
      }),
    ],
  });
  world.sample(0, 3);
  expect(world.health.truth(0)).toBe('true');
  world.pass(12_000);
  world.members[1] = 'suspect';
  world.call((out) => world.health.membersChanged(world.now, 1, out));
  const tree = world.health.explain(0);
  expect(tree.value).toBe('unknown');
  expect(tree.children[0]?.children[0]?.why).toBe('stale 12 s');
  expect(tree.children[1]?.why).toBe('member suspect');
});

test('idle: outside only-in ok, warn and crit are all false; state unknown → goes on judging', () => {
  const world = new HealthWorld({
    signals: [
      signal(0, 'x', { freshMs: 60_000 }),
      signal(1, 'state', {
        states: new Map([
          [0, 'stopped'],
          [1, 'running'],
        ]),
      }),
    ],
    checks: [rms({ onlyIn: [{ state: 1, states: ['running'] }] })],
    conditions: [condition(0, crit(0)), condition(1, { op: 'check', is: 'ok', check: 0 })],
  });
  world.sample(1, 1);
  world.sample(0, 8);
  expect(world.health.status(0)).toBe('crit');
  world.sample(1, 0);
  expect(world.health.status(0)).toBe('idle');
  expect([world.health.truth(0), world.health.truth(1)]).toEqual(['false', 'false']);
  world.sample(0, 9);
  expect(world.health.status(0)).toBe('idle');
  world.pass(1_000);
  world.sample(0, 8);
  expect(world.health.status(0), 'the state is stale now').toBe('crit');
});

test('grace: bad within it counts as good; after it, it counts', () => {
  const world = new HealthWorld({ checks: [check(0, 'mes', { graceMs: 2_000 })] });
  world.observe(0, { status: 'crit', text: 'refused' });
  expect(world.health.status(0)).toBe('ok');
  world.now = (world.now + 2_000) as typeof world.now;
  world.observe(0, { status: 'crit', text: 'refused' });
  expect(world.health.status(0)).toBe('crit');
});

test('probe: asked once per period, a lost answer becomes unknown and is asked again', () => {
  const world = new HealthWorld({ checks: [check(0, 'mes')] });
  const asked = () => world.said.filter((output) => output.kind === 'run-check').length;
  world.pass(1_000);
  expect(asked()).toBe(1);
  world.pass(3_000);
  expect(asked(), 'one probe at a time').toBe(1);
  world.observe(0, { status: 'ok' });
  world.pass(1_000);
  expect(asked()).toBe(2);
  world.pass(8_000);
  expect(world.health.status(0)).toBe('unknown');
  expect(asked()).toBe(3);
});

test('schedule: a hundred checks of a second are spread, not fired in a burst; a stall is not made up for', () => {
  const world = new HealthWorld({ checks: Array.from({ length: 100 }, (_, n) => check(n, `c${n}`)) });
  const per100ms: number[] = [];
  for (let n = 0; n < 10; n++) per100ms.push(world.pass(100).filter((output) => output.kind === 'run-check').length);
  expect(per100ms.reduce((a, b) => a + b)).toBe(100);
  expect(Math.max(...per100ms)).toBeLessThan(25);
  for (let n = 0; n < 100; n++) world.observe(n, { status: 'ok' });
  world.now = (world.now + 60_000) as typeof world.now;
  const burst = world.call((out) => world.health.tick(world.now, out));
  expect(burst.filter((output) => output.kind === 'run-check')).toEqual([]);
  const next = world.pass(1_100).filter((output) => output.kind === 'run-check');
  expect(new Set(next.map((output) => output.check)).size).toBe(100);
  expect(next.length).toBeLessThan(130);
});

test('flapping: six turns within the window → flapping, shown; calm again → not', () => {
  const world = new HealthWorld({ checks: [check(0, 'mes')], conditions: [condition(0, crit(0))] });
  for (let n = 0; n < 7; n++) {
    world.observe(0, { status: n % 2 === 0 ? 'ok' : 'crit' });
    world.pass(900);
  }
  expect(world.health.flapping(0)).toBe(true);
  expect(world.said.some((output) => output.kind === 'check-changed' && output.flapping)).toBe(true);
  for (let n = 0; n < 70; n++) {
    world.observe(0, { status: 'ok' });
    world.pass(1_000);
  }
  expect(world.health.flapping(0)).toBe(false);
});

test('flapping: a wear from ok over warn to crit, and moments of blindness, are no turns', () => {
  const world = new HealthWorld({ checks: [check(0, 'mes')], conditions: [condition(0, crit(0))] });
  for (let round = 0; round < 2; round++) {
    for (const status of [
      'ok',
      'unknown',
      'ok',
      'warn',
      'unknown',
      'warn',
      'crit',
      'unknown',
      'crit',
      'warn',
    ] as const) {
      world.observe(0, { status });
      world.pass(100);
    }
  }
  expect(world.health.flapping(0)).toBe(false);
});

test("location: the duty came → judging begins from nothing with grace; it went → another one's word counts", () => {
  const world = new HealthWorld({
    signals: [signal(0, 'x', { freshMs: 60_000 })],
    checks: [rms({ runsOn: { on: 'holder', duty: 0 }, graceMs: 1_000 })],
    conditions: [condition(0, crit(0))],
  });
  world.sample(0, 8);
  expect(world.health.status(0)).toBe('unknown');
  world.holds.add(0);
  world.call((out) => world.health.locationsChanged(world.now, out));
  world.sample(0, 8);
  expect(world.health.status(0)).toBe('ok');
  world.now = (world.now + 1_000) as typeof world.now;
  world.sample(0, 8);
  expect(world.health.status(0)).toBe('crit');
  expect(world.health.digest()).toMatchObject({ judges: [0], checks: [{ check: 0, status: 'crit' }] });
  world.holds.clear();
  world.call((out) => world.health.locationsChanged(world.now, out));
  expect(world.health.truth(0)).toBe('unknown');
  world.call((out) => world.health.digestReceived(world.now, digest({ judges: [0] }), out));
  expect(world.health.truth(0)).toBe('false');
});

test('digest: last writer wins by boot and sequence; the word of a suspect is unknown', () => {
  const world = new HealthWorld({
    checks: [check(0, 'mes', { runsOn: { on: 'agent', agent: 1 } })],
    conditions: [condition(0, crit(0))],
  });
  const hear = (change: Partial<HealthDigest>) =>
    world.call((out) => world.health.digestReceived(world.now, digest({ judges: [0], ...change }), out));
  hear({ bootCounter: 2, sequence: 5, checks: [{ check: 0, status: 'crit' }] });
  expect(world.health.truth(0)).toBe('true');
  hear({ bootCounter: 2, sequence: 4 });
  hear({ bootCounter: 1, sequence: 99 });
  expect(world.health.truth(0)).toBe('true');
  world.members[1] = 'suspect';
  world.call((out) => world.health.membersChanged(world.now, 1, out));
  expect(world.health.truth(0)).toBe('unknown');
  world.members[1] = 'alive';
  world.call((out) => world.health.membersChanged(world.now, 1, out));
  hear({ bootCounter: 2, sequence: 6 });
  expect(truths(world)).toEqual(['true', 'unknown', 'true', 'false']);
  expect(hear({ agent: 77, sequence: 1 }), 'no such agent').toEqual([]);
});

test('model: three scores over the threshold → anomalous; stale inputs → unknown; refused → unknown, rules go on', () => {
  const world = new HealthWorld({
    signals: [signal(0, 'x')],
    checks: [rms()],
    models: [model(0, 'bearing', { inputs: [{ name: 'vibration', signal: 0 }] })],
    conditions: [condition(0, { op: 'anomalous', model: 0 })],
  });
  const first = world.now;
  for (const value of [12, Number.NaN, 13, 14]) {
    world.sample(0, 2);
    world.score(0, value);
    world.pass(100);
  }
  expect(world.health.truth(0)).toBe('true');
  expect(world.health.times(0).firstBadAt).toBe(first);
  expect(world.said).toContainEqual(expect.objectContaining({ kind: 'anomaly-changed', anomalous: true, score: 14 }));
  world.pass(1_000);
  expect(world.health.truth(0)).toBe('unknown');
  world.sample(0, 2);
  expect(world.health.truth(0)).toBe('true');
  world.call((out) => world.health.modelRefused(world.now, 0, 'sha256 disagrees', out));
  expect(world.health.truth(0)).toBe('unknown');
  expect(world.health.explain(0).why).toBe('model refused: sha256 disagrees');
  world.sample(0, 9);
  expect(world.health.status(0)).toBe('crit');
});

test('model: refused before its work came to this box, and after it left and came back → refused, not merely unscored', () => {
  const world = new HealthWorld({
    signals: [signal(0, 'x')],
    models: [model(0, 'bearing', { runsOn: { on: 'holder', duty: 0 }, inputs: [{ name: 'vibration', signal: 0 }] })],
    conditions: [condition(0, { op: 'anomalous', model: 0 })],
  });
  const moved = () => world.call((out) => world.health.locationsChanged(world.now, out));
  world.call((out) => world.health.modelRefused(world.now, 0, 'sha256 disagrees', out));
  for (let times = 0; times < 2; times++) {
    world.holds.add(0);
    moved();
    expect(world.health.snapshot().models[0]).toMatchObject({ here: true, why: 'model refused: sha256 disagrees' });
    world.holds.clear();
    moved();
  }
});

test('model: scores stop while samples go on → unknown, not the last word for ever', () => {
  const world = new HealthWorld({
    models: [model(0, 'bearing')],
    conditions: [condition(0, { op: 'anomalous', model: 0 })],
  });
  for (let n = 0; n < 3; n++) {
    world.score(0, 1);
    world.pass(1_000);
  }
  expect(world.health.truth(0)).toBe('false');
  world.pass(60_000);
  expect(world.health.truth(0)).toBe('unknown');
});

test('condition check: judged by its condition, with dwell; unknown crit is unknown, not ok', () => {
  const world = new HealthWorld({
    signals: [signal(0, 'rise', { freshMs: 60_000 })],
    checks: [check(0, 'cooling', { source: { kind: 'condition' }, critWhen: 0, raise: { kind: 'count', n: 2 } })],
    conditions: [
      condition(0, {
        op: 'compare',
        by: '>',
        left: { op: 'signal', signal: 0, factor: 1, offset: 0 },
        right: { op: 'literal', value: 15 },
      }),
      condition(1, crit(0)),
    ],
  });
  world.pass(2_000);
  expect(world.health.status(0)).toBe('unknown');
  world.sample(0, 20);
  world.pass(3_000);
  expect(world.health.status(0)).toBe('crit');
  expect(world.health.truth(1)).toBe('true');
  expect(world.health.evidence(1)).toContain('rise 20 mm/s');
});

test('quality and staleness checks: judged also when nothing comes', () => {
  const world = new HealthWorld({
    signals: [signal(0, 'x')],
    checks: [
      check(0, 'x-fresh', { source: { kind: 'signal', signal: 0, judge: 'staleness' } }),
      check(1, 'x-quality', { source: { kind: 'signal', signal: 0, judge: 'quality' } }),
    ],
  });
  world.sample(0, 1, 'uncertain');
  expect([world.health.status(0), world.health.status(1)]).toEqual(['ok', 'warn']);
  world.pass(2_000);
  expect([world.health.status(0), world.health.status(1)]).toEqual(['crit', 'unknown']);
  expect(statuses(world, 0)).toEqual(['ok', 'crit']);
});

test('only the conditions that a sample concerns are judged, and each change is said once', () => {
  const world = new HealthWorld({
    signals: [signal(0, 'x', { freshMs: 60_000 })],
    checks: [rms()],
    conditions: Array.from({ length: 5 }, (_, n) => condition(n, n === 3 ? crit(0) : { op: 'held', duty: 0 })),
  });
  const out = world.sample(0, 8);
  expect(out.filter((output) => output.kind === 'condition-changed')).toEqual([
    { kind: 'condition-changed', condition: 3, truth: 'true', was: 'unknown' },
  ]);
  expect(world.sample(0, 8.1)).toEqual([]);
});

test('times: a moment in which nobody can tell does not make it younger; gone and back does', () => {
  const world = new HealthWorld({ signals: [signal(0, 'x')], checks: [rms()], conditions: [condition(0, crit(0))] });
  world.sample(0, 8);
  const began = world.now;
  world.pass(2_000);
  expect(world.health.truth(0)).toBe('unknown');
  world.sample(0, 8);
  expect(world.health.times(0).conditionAt).toBe(began);
  world.sample(0, 1);
  world.sample(0, 8);
  expect(world.health.times(0).conditionAt).toBe(world.now);
});

test('grace: the machine starts again → its running up counts as good, as the first time', () => {
  const states = new Map([
    [0, 'stopped'],
    [1, 'running'],
  ]);
  const world = new HealthWorld({
    signals: [signal(0, 'bearing-rms', { freshMs: 60_000 }), signal(1, 'state', { states, freshMs: 60_000 })],
    checks: [rms({ onlyIn: [{ state: 1, states: ['running'] }], graceMs: 2_000 })],
  });
  world.sample(1, 1);
  world.pass(3_000);
  world.sample(0, 9);
  expect(world.health.status(0)).toBe('crit');
  world.sample(1, 0);
  expect(world.health.status(0)).toBe('idle');
  world.pass(10_000);
  world.sample(1, 1);
  world.sample(0, 9);
  expect(world.health.status(0)).toBe('ok');
  world.pass(2_000);
  world.sample(0, 9);
  expect(world.health.status(0)).toBe('crit');
});
