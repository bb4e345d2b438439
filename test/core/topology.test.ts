import { expect, test } from 'vitest';
import { bootId } from '../../agent/base/ids.ts';
import { Random } from '../../agent/base/random.ts';
import { after, type Instant, instant, wallTime } from '../../agent/base/time.ts';
import { formatProblems } from '../../agent/config/problem.ts';
import { parseSite } from '../../agent/config/site-file.ts';
import { AgentCore, freshStart } from '../../agent/core/agent-core.ts';
import type { Effect } from '../../agent/core/effect.ts';
import type { CheckStatus } from '../../agent/core/health/check.ts';
import type { Input } from '../../agent/core/input.ts';
import type { AlarmTransition, EventReport } from '../../agent/core/reporting/report.ts';

/** Ten hosts behind a switch behind a feed, and one box that looks at all of them. */
const hosts = Array.from({ length: 10 }, (_, i) => `  host-${i}: { is: host, needs: [sw-1] }`).join('\n');
const text = (more = '') => `millwright: 1
site: plant
types:
  host:
    checks: { web: { tcp: "10.0.0.9:80", every: 1s } }
    alarms:
      gone: { when: crit("web"), priority: medium, cause: host down, consequence: no data, response: look at it, respond-within: 1h,
              blind-after: 10s, local: [/bin/light] }
    workflows:
      mend: { when: crit("web"), budget: 9 per 1d, steps: [ { command.run: [/bin/true] } ], verify: ok("web") }
agents:
  box-1: { needs: [sw-1], checks: { disk: { file-age: /x, crit: above 1h } },
           workflows: { tidy: { when: crit("disk"), budget: 9 per 1d, steps: [ { command.run: [/bin/true] } ], verify: ok("disk") } } }
assets:
  feed: { checks: { up: { tcp: "10.0.0.2:80", every: 1s } } }
  sw-1:
    needs: [feed]
    checks: { up: { tcp: "10.0.0.1:80", every: 1s, raise: 2 }, config: { tcp: "10.0.0.1:443", every: 1s } }
    alarms:
      dead: { when: crit("up"), priority: high, cause: power, consequence: cell blind, response: swap it, respond-within: 15m }
${hosts}
${more}`;

class Box {
  readonly core: AgentCore;
  now: Instant = instant(1_000);
  readonly effects: Effect[] = [];

  constructor(file: string) {
    const { site, problems } = parseSite(file, 'site.yaml');
    if (site === undefined) throw new Error(formatProblems(problems));
    const boot = bootId('00112233445566778899aabbccddeeff');
    this.core = new AgentCore({
      plan: site.plan,
      identity: { self: 0, boot, bootCounter: 1 },
      random: new Random(1),
      restored: freshStart,
    });
    this.step({ kind: 'started', wall: wallTime(1e12) });
    this.pass(5_000);
  }

  step(input: Input): readonly Effect[] {
    const effects = [...this.core.step(this.now, input)];
    this.effects.push(...effects);
    for (const effect of effects) {
      if (effect.kind === 'persist') this.step({ kind: 'persisted', token: effect.token });
      if (effect.kind === 'read-baseline') {
        this.step({ kind: 'baseline-read', run: effect.run, step: effect.step, baseline: '' });
      }
      if (effect.kind === 'start-duty') this.step({ kind: 'duty-started', duty: effect.duty });
    }
    return effects;
  }

  pass(ms: number): void {
    const end = this.now + ms;
    for (let deadline = this.core.deadline(); deadline <= end; deadline = this.core.deadline()) {
      this.now = instant(Math.max(this.now, deadline));
      this.step({ kind: 'ticked', lateMs: 0 });
    }
    this.now = instant(end);
  }

  /** What probes say from now on, until something else is said. */
  see(check: string, status: CheckStatus): void {
    const spec = this.core.plan.checks.find(({ id }) => id === check);
    if (spec === undefined) throw new Error(`no check ${check}`);
    this.step({
      kind: 'check-observed',
      check: spec.index,
      observation: { status, value: undefined, text: `${check} ${status}`, perf: [] },
    });
  }

  /** Last word on each alarm. */
  alarms(): Map<string, AlarmTransition> {
    const last = new Map<string, AlarmTransition>();
    for (const effect of this.effects) {
      if (effect.kind === 'report' && effect.report.body.type === 'alarm') {
        last.set(effect.report.body.alarmId, effect.report.body);
      }
    }
    return last;
  }

  events(name: string): EventReport[] {
    return this.effects.flatMap((effect) =>
      effect.kind === 'report' && effect.report.body.type === 'event' && effect.report.body.name === name
        ? [effect.report.body]
        : [],
    );
  }

  issued(): string[] {
    return this.effects.flatMap((effect) => (effect.kind === 'issue-action' ? [effect.run.split('#')[0] ?? ''] : []));
  }

  lights(): number {
    const turns = this.effects.map((effect): number =>
      effect.kind !== 'run-hook' ? 0 : effect.transition === 'raised' ? 1 : -1,
    );
    return turns.reduce((sum, one) => sum + one, 0);
  }
}

const all = ['feed/up', 'sw-1/up', 'sw-1/config', ...Array.from({ length: 10 }, (_, i) => `host-${i}/web`)];
const well = (box: Box) => {
  for (const check of all) box.see(check, 'ok');
};

test('a switch dies before its hosts → one alarm of its own, ten that fold below it, nobody is repaired', () => {
  const box = new Box(text());
  well(box);
  for (let n = 0; n < 2; n++) box.see('sw-1/up', 'crit');
  for (let i = 0; i < 10; i++) box.see(`host-${i}/web`, 'crit');
  box.pass(2_000);
  const alarms = box.alarms();
  expect(alarms.get('dead.sw-1')).toMatchObject({ state: 'on' });
  expect(alarms.get('dead.sw-1')?.behind).toBeUndefined();
  for (let i = 0; i < 10; i++) expect(alarms.get(`gone.host-${i}`)).toMatchObject({ state: 'on', behind: 'sw-1' });
  expect(box.issued()).toEqual([]);
  expect(box.lights()).toBe(0);
  const check = box.core.health.snapshot().checks.find(({ check }) => box.core.plan.checks[check]?.id === 'host-3/web');
  expect(check).toMatchObject({ status: 'crit' });
  expect(box.core.plan.things[check!.behind!]?.id).toBe('sw-1');
});

test('the hosts are seen first → raised at once, folded as soon as the switch is known to be down', () => {
  const box = new Box(text());
  well(box);
  box.see('host-1/web', 'crit');
  expect(box.alarms().get('gone.host-1')).toMatchObject({ state: 'on' });
  expect(box.alarms().get('gone.host-1')?.behind).toBeUndefined();
  expect(box.lights()).toBe(1);
  for (let n = 0; n < 2; n++) box.see('sw-1/up', 'crit');
  expect(box.alarms().get('gone.host-1')).toMatchObject({ state: 'on', behind: 'sw-1' });
  expect(box.lights()).toBe(0);
});

test('the switch returns → its hosts are what they were until somebody has looked: no horn, no repair', () => {
  const box = new Box(text());
  well(box);
  for (let n = 0; n < 2; n++) box.see('sw-1/up', 'crit');
  for (let i = 0; i < 10; i++) box.see(`host-${i}/web`, 'crit');
  box.see('sw-1/up', 'ok');
  box.pass(5_000);
  expect(box.alarms().get('gone.host-0')).toMatchObject({ state: 'on', behind: 'sw-1' });
  expect(box.issued()).toEqual([]);
  expect(box.lights()).toBe(0);
  // Looked at again, and still bad: that is a trouble of its own.
  box.see('host-0/web', 'crit');
  box.pass(1_000);
  expect(box.alarms().get('gone.host-0')?.behind).toBeUndefined();
  expect(new Set(box.issued())).toEqual(new Set(['host-0/mend']));
  // And what nobody looks at does not wait for ever.
  box.pass(130_000);
  expect([...box.alarms().values()].filter(({ behind }) => behind !== undefined)).toEqual([]);
});

test('the switch returns, one host does not → that one is a trouble of its own, with its light, and is repaired', () => {
  const box = new Box(text());
  well(box);
  for (let n = 0; n < 2; n++) box.see('sw-1/up', 'crit');
  for (let i = 0; i < 10; i++) box.see(`host-${i}/web`, 'crit');
  box.see('sw-1/up', 'ok');
  box.pass(10);
  for (let i = 0; i < 10; i++) box.see(`host-${i}/web`, i === 4 ? 'crit' : 'ok');
  box.pass(2_000);
  const alarms = box.alarms();
  expect(alarms.get('dead.sw-1')?.state).toBe('off');
  expect(alarms.get('gone.host-4')?.state).toBe('on');
  expect(alarms.get('gone.host-4')?.behind).toBeUndefined();
  expect([...alarms.values()].filter(({ state }) => state === 'on')).toHaveLength(1);
  expect(box.lights()).toBe(1);
  expect(new Set(box.issued())).toEqual(new Set(['host-4/mend']));
});

test('the feed behind the switch dies → the feed explains the switch and all behind it', () => {
  const box = new Box(text());
  well(box);
  box.see('feed/up', 'crit');
  for (let n = 0; n < 2; n++) box.see('sw-1/up', 'crit');
  box.see('host-0/web', 'crit');
  expect(box.alarms().get('dead.sw-1')?.behind).toBe('feed');
  expect(box.alarms().get('gone.host-0')?.behind).toBe('feed');
});

test('a switch that cannot be judged → explains nothing', () => {
  const box = new Box(text());
  well(box);
  box.see('sw-1/up', 'unknown');
  box.see('host-0/web', 'crit');
  expect(box.alarms().get('gone.host-0')?.state).toBe('on');
  expect(box.alarms().get('gone.host-0')?.behind).toBeUndefined();
});

test('what a box sees of itself → is explained by no switch, and repaired', () => {
  const box = new Box(text());
  well(box);
  for (let n = 0; n < 2; n++) box.see('sw-1/up', 'crit');
  box.see('box-1/disk', 'crit');
  box.pass(2_000);
  expect(box.issued()).toContain('box-1/tidy');
});

test('fold: never → shown for itself, with its light', () => {
  const box = new Box(text().replace('local: [/bin/light] }', 'local: [/bin/light], fold: never }'));
  well(box);
  for (let n = 0; n < 2; n++) box.see('sw-1/up', 'crit');
  box.see('host-0/web', 'crit');
  expect(box.alarms().get('gone.host-0')?.behind).toBeUndefined();
  expect(box.lights()).toBe(1);
});

test('a check with its own needs → explained by those', () => {
  const more = `checks: { mes: { tcp: "10.0.0.3:80", every: 1s, needs: [feed] } }
alarms: { no-mes: { when: crit("mes"), priority: low, cause: a, consequence: b, response: c, respond-within: 1h } }`;
  const box = new Box(text(more));
  well(box);
  box.see('feed/up', 'crit');
  box.see('site/mes', 'crit');
  expect(box.alarms().get('no-mes.site')).toMatchObject({ state: 'on', behind: 'feed' });
});

const weekly = 'maintenance: { weekly: { things: [host-0, sw-1], at: sun 06:00-10:00, why: weekly service } }';

test('maintenance → alarms are held back and said so, no light, no repair; after it both come', () => {
  const box = new Box(text(weekly));
  well(box);
  box.step({ kind: 'maintenance-changed', window: 0, state: 'on' });
  expect(box.events('maintenance-began')).toMatchObject([
    { subject: 'weekly', text: expect.stringContaining('weekly service') },
  ]);
  box.see('host-0/web', 'crit');
  box.see('host-1/web', 'crit');
  box.pass(2_000);
  expect(box.alarms().get('gone.host-0')).toMatchObject({ state: 'on', held: 'weekly' });
  expect(box.alarms().get('gone.host-1')?.held).toBeUndefined();
  expect(box.lights()).toBe(1);
  expect(new Set(box.issued())).toEqual(new Set(['host-1/mend']));
  box.step({ kind: 'maintenance-changed', window: 0, state: 'off' });
  box.pass(2_000);
  expect(box.alarms().get('gone.host-0')?.state).toBe('on');
  expect(box.alarms().get('gone.host-0')?.held).toBeUndefined();
  expect(box.lights()).toBe(2);
  expect(new Set(box.issued())).toEqual(new Set(['host-0/mend', 'host-1/mend']));
});

test('maintenance by a person’s order → holds whatever the clock says, ends by itself, and all is called then', () => {
  const box = new Box(text(weekly));
  well(box);
  box.step({ kind: 'maintenance-changed', window: 0, state: 'unknown' });
  const thing = box.core.plan.things.find(({ id }) => id === 'host-0')!.index;
  const begin = (forMs: number) =>
    box.step({ kind: 'maintenance-ordered', thing, until: after(box.now, forMs), by: 'anna', why: 'new disk', order: 'o1' }); // biome-ignore format: one step
  begin(2_000);
  expect(box.events('maintenance-began')).toMatchObject([
    { subject: 'host-0', text: expect.stringContaining('anna: new disk'), detail: { by: 'anna', order: 'o1' } },
  ]);
  box.see('host-0/web', 'crit');
  box.see('host-1/web', 'crit');
  box.pass(1_000);
  expect(box.alarms().get('gone.host-0')).toMatchObject({ state: 'on', held: 'order:anna' });
  expect(box.alarms().get('gone.host-1')?.held).toBeUndefined();
  expect(box.issued()).not.toContain('host-0/mend');
  // A later order takes the place of the first: its end counts.
  begin(3_000);
  box.pass(1_500);
  expect(box.alarms().get('gone.host-0')?.held).toBe('order:anna');
  expect(box.events('maintenance-ended')).toEqual([]);
  const lights = box.lights();
  box.pass(2_000);
  expect(box.events('maintenance-ended')).toMatchObject([
    { subject: 'host-0', text: expect.stringContaining('is over') },
  ]);
  expect(box.alarms().get('gone.host-0')?.held).toBeUndefined();
  expect(box.lights()).toBe(lights + 1);
  // Nobody may act yet: the site file's own window is in doubt.
  expect(box.core.maintenance.withheld(thing)).toContain('the clock is doubtful');
});

test('maintenance that a person ends early, or that a new life finds on its disk → told once, not twice', () => {
  const box = new Box(text());
  well(box);
  const thing = box.core.plan.things.find(({ id }) => id === 'host-0')!.index;
  const order = { kind: 'maintenance-ordered', thing, by: 'anna', why: 'new disk', order: 'o1' } as const;
  box.step({ ...order, until: after(box.now, 60_000), again: true });
  expect(box.events('maintenance-began')).toEqual([]);
  expect(box.core.maintenanceOf(thing)).toMatchObject({ id: 'order:anna' });
  box.step({ ...order, until: undefined, by: 'boris', order: 'o2' });
  box.step({ ...order, until: undefined, by: 'boris', order: 'o3' });
  expect(box.events('maintenance-ended')).toMatchObject([{ subject: 'host-0', detail: { by: 'boris', order: 'o2' } }]);
  expect(box.core.maintenanceOf(thing)).toBeUndefined();
});

test('a clock that nobody can trust → nothing is held back, and nobody acts', () => {
  const box = new Box(text(weekly));
  well(box);
  box.step({ kind: 'maintenance-changed', window: 0, state: 'unknown' });
  box.see('host-0/web', 'crit');
  box.pass(2_000);
  expect(box.alarms().get('gone.host-0')?.state).toBe('on');
  expect(box.alarms().get('gone.host-0')?.held).toBeUndefined();
  expect(box.lights()).toBe(1);
  expect(box.issued()).toEqual([]);
});
