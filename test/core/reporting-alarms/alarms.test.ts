import { expect, test } from 'vitest';
import { bootId, entryId } from '../../../agent/base/ids.ts';
import type { Location } from '../../../agent/base/location.ts';
import { after, type Instant, instant, wallTime } from '../../../agent/base/time.ts';
import type { Truth } from '../../../agent/base/truth.ts';
import type { AlarmSpec } from '../../../agent/core/reporting/alarm.ts';
import { type AlarmOutput, type AlarmRow, Alarms } from '../../../agent/core/reporting/alarms.ts';

const spec = (change: Partial<AlarmSpec> = {}): AlarmSpec => ({
  index: 0,
  id: entryId('press-7/bearing-wear'),
  alarmId: 'bearing-wear.press-7',
  thing: 0,
  runsOn: { on: 'holder', duty: 0 },
  when: 0,
  priority: 'medium',
  cause: 'wear',
  consequence: 'stop',
  response: 'grease',
  respondWithinMs: 1_000,
  blindAfterMs: 60_000,
  local: ['/usr/local/bin/stacklight', 'amber'],
  ...change,
});

class AlarmWorld {
  now: Instant = instant(5_000);
  truth: Truth = 'unknown';
  here = true;
  term = 1;
  readonly said: AlarmOutput[] = [];
  readonly alarms: Alarms;

  constructor(of: AlarmSpec = spec(), restored: readonly AlarmRow[] = [], here = true, boot = 'abcdef0123') {
    this.here = here;
    this.alarms = new Alarms({
      alarms: [of],
      identity: { boot: bootId(boot) },
      restored,
      facts: {
        truth: () => this.truth,
        times: () => ({ firstBadAt: after(this.now, -700), conditionAt: this.now }),
        evidence: () => 'bearing-rms 7.9 mm/s above 7.1 mm/s',
        runsHere: (_location: Location) => this.here,
        wallAt: (at) => wallTime(1_000_000 + at),
        term: () => this.term,
        thing: () => 'press-7',
      },
    });
    this.call((out) => this.alarms.start(this.now, out));
  }

  call(run: (out: AlarmOutput[]) => void): AlarmOutput[] {
    const out: AlarmOutput[] = [];
    run(out);
    this.said.push(...out);
    return out;
  }

  is(truth: Truth): AlarmOutput[] {
    this.truth = truth;
    return this.call((out) => this.alarms.conditionChanged(this.now, 0, truth, out));
  }

  move(here: boolean, term = this.term): AlarmOutput[] {
    this.here = here;
    this.term = term;
    return this.call((out) => this.alarms.locationsChanged(this.now, out));
  }

  pass(ms: number): AlarmOutput[] {
    const end = after(this.now, ms);
    const before = this.said.length;
    while (this.alarms.deadline() <= end) {
      this.now = instant(Math.max(this.now, this.alarms.deadline()));
      this.call((out) => this.alarms.tick(this.now, out));
      if (this.alarms.deadline() <= this.now) throw new Error('the deadline stands still');
    }
    this.now = end;
    return this.said.slice(before);
  }
}

const brief = (outputs: readonly AlarmOutput[]): readonly string[] =>
  outputs.map((output) =>
    output.kind === 'run-hook'
      ? `hook ${output.transition}`
      : `${output.transition.state} ${output.transition.occurrence} term ${output.transition.term}`,
  );

test('condition true → on with its first stamps, the record before the hook; false → off, same occurrence', () => {
  const world = new AlarmWorld();
  const raised = world.is('true');
  expect(brief(raised)).toEqual(['on abcdef01-1 term 1', 'hook raised']);
  expect(raised[0]).toMatchObject({
    local: { state: 'on', firstSampleAt: 1_004_300, since: 1_005_000, evidence: 'bearing-rms 7.9 mm/s above 7.1 mm/s' },
    transition: { alarmId: 'bearing-wear.press-7', thing: 'press-7', name: 'bearing-wear', priority: 'medium' },
  });
  expect(brief(world.is('false'))).toEqual(['off abcdef01-1 term 1', 'hook cleared']);
  expect(brief(world.is('true'))).toEqual(['on abcdef01-2 term 1', 'hook raised']);
});

test('unknown → keeps what stands; after blind-after "bad", which clears nothing; the same occurrence goes on', () => {
  const world = new AlarmWorld();
  world.is('true');
  expect(world.is('unknown')).toEqual([]);
  expect(world.pass(59_999)).toEqual([]);
  expect(brief(world.pass(1))).toEqual(['bad abcdef01-1 term 1']);
  expect(world.alarms.standing()).toHaveLength(1);
  expect(world.pass(600_000), 'said once').toEqual([]);
  expect(brief(world.is('true'))).toEqual(['on abcdef01-1 term 1']);
});

test('unknown for a moment → nothing is said', () => {
  const world = new AlarmWorld();
  world.is('false');
  world.is('unknown');
  world.pass(10_000);
  expect(world.is('false')).toEqual([]);
  expect(world.pass(120_000)).toEqual([]);
});

test('takeover: the successor speaks under a higher term, also when there is nothing wrong', () => {
  const world = new AlarmWorld(spec(), [], false);
  expect(world.is('false')).toEqual([]);
  expect(brief(world.move(true, 4))).toEqual(['off  term 4']);
  world.is('true');
  expect(brief(world.move(false)), 'our light goes, and nothing is cleared upward').toEqual([
    'bad abcdef01-1 term 4',
    'hook cleared',
  ]);
  expect(world.alarms.standing()).toEqual([]);
  expect(world.is('false')).toEqual([]);
  // Back again, and nobody counted: still a higher term than the last.
  expect(brief(world.move(true))[0]).toBe('off abcdef01-1 term 5');
});

test('restart: a standing alarm goes on with its occurrence and first stamps, and no second horn', () => {
  const first = new AlarmWorld();
  first.is('true');
  const rows = first.alarms.standing();
  const second = new AlarmWorld(spec(), rows, true, 'fedcba9876');
  expect(second.alarms.standing()).toHaveLength(1);
  expect(brief(second.is('true'))).toEqual(['on abcdef01-1 term 2']);
  expect(second.alarms.standing()[0]).toMatchObject({ since: rows[0]?.since, firstSampleAt: rows[0]?.firstSampleAt });
});

test('restart: the duty does not come back → after a minute the light goes, and upward nothing is cleared', () => {
  const first = new AlarmWorld();
  first.is('true');
  const second = new AlarmWorld(spec(), first.alarms.standing(), false, 'fedcba9876');
  expect(second.pass(59_999)).toEqual([]);
  expect(brief(second.pass(1))).toEqual(['bad abcdef01-1 term 1', 'hook cleared']);
});

test('restart with another site file: the name decides, not the number', () => {
  const first = new AlarmWorld();
  first.is('true');
  const second = new AlarmWorld(spec({ alarmId: 'oil-low.press-7' }), first.alarms.standing());
  expect(second.alarms.standing()).toEqual([]);
});

test('raised by a failed repair → stands until cleared, whatever else; without a condition it starts as off', () => {
  const world = new AlarmWorld(spec({ when: undefined, runsOn: { on: 'agent', agent: 0 } }));
  expect(brief(world.said)).toEqual(['off  term 1']);
  const raised = world.call((out) => world.alarms.raise(world.now, 0, 'restart failed: still crit', out));
  expect(brief(raised)).toEqual(['on abcdef01-1 term 1', 'hook raised']);
  expect(raised[0]).toMatchObject({ local: { evidence: 'restart failed: still crit' } });
  expect(world.call((out) => world.alarms.raise(world.now, 0, 'again', out))).toEqual([]);
  expect(brief(world.call((out) => world.alarms.clear(world.now, 0, out)))).toEqual([
    'off abcdef01-1 term 1',
    'hook cleared',
  ]);
  expect(world.call((out) => world.alarms.clear(world.now, 0, out))).toEqual([]);
});

test('raised by a repair that ran here while the alarm lives elsewhere → told all the same, and cleared', () => {
  const world = new AlarmWorld(spec({ when: undefined }), [], false);
  expect(brief(world.call((out) => world.alarms.raise(world.now, 0, 'restart failed', out)))).toEqual([
    'on abcdef01-1 term 1',
    'hook raised',
  ]);
  expect(brief(world.call((out) => world.alarms.clear(world.now, 0, out)))).toEqual([
    'off abcdef01-1 term 1',
    'hook cleared',
  ]);
});

test('republish: what stands or is blind, never what is off', () => {
  const world = new AlarmWorld();
  world.is('true');
  expect(world.alarms.republish()).toMatchObject([{ state: 'on', occurrence: 'abcdef01-1' }]);
  world.is('false');
  expect(world.alarms.republish()).toEqual([]);
});

test('alarms: the duty stays and its term rises, since another runner gave up → the register is told again, same occurrence, no hook', () => {
  const world = new AlarmWorld();
  const raised = world.is('true').find((output) => output.kind === 'alarm-changed');
  world.term = 5;
  const again = world.call((out) => world.alarms.locationsChanged(world.now, out));
  expect(again).toHaveLength(1);
  expect(again[0]).toMatchObject({
    kind: 'alarm-changed',
    transition: { state: 'on', term: 5, occurrence: raised?.kind === 'alarm-changed' && raised.local.occurrence },
  });
  expect(world.call((out) => world.alarms.locationsChanged(world.now, out))).toEqual([]);
});
