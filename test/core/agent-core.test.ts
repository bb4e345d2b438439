import { join } from 'node:path';
import { expect, test } from 'vitest';
import { bootId } from '../../agent/base/ids.ts';
import { Random } from '../../agent/base/random.ts';
import { instant, wallTime } from '../../agent/base/time.ts';
import { loadSite } from '../../agent/config/site-file.ts';
import { AgentCore, freshStart } from '../../agent/core/agent-core.ts';
import type { Effect } from '../../agent/core/effect.ts';
import type { Restored } from '../../agent/core/input.ts';
import type { SitePlan } from '../../agent/core/site-plan.ts';

const demo: SitePlan = (() => {
  const loaded = loadSite(join(import.meta.dirname, '..', '..', 'simulations', 'demo', 'site.yaml'));
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.error));
  return loaded.value.plan;
})();

/** One life of the first agent, from its first step on. */
function life(bootCounter: number, plan: SitePlan = demo, restored: Restored = freshStart) {
  const boot = bootId(String(bootCounter).padStart(32, '0'));
  const core = new AgentCore({ plan, identity: { self: 0, boot, bootCounter }, random: new Random(1), restored });
  const effects = [...core.step(instant(1_000), { kind: 'started', wall: wallTime(1_700_000_000_000) })];
  return { core, effects };
}

const alarmTerms = (effects: readonly Effect[]): readonly number[] =>
  effects.flatMap((effect) =>
    effect.kind === 'report' && effect.report.body.type === 'alarm' ? [effect.report.body.term] : [],
  );

test('alarm of the own box: each life speaks under a higher term, also when nothing was left standing', () => {
  const [first] = demo.alarms;
  if (first === undefined) throw new Error('the demo has no alarm');
  const plan: SitePlan = { ...demo, alarms: [{ ...first, when: undefined, runsOn: { on: 'agent', agent: 0 } }] };
  expect(alarmTerms(life(6, plan).effects)).toEqual([6]);
  expect(alarmTerms(life(7, plan).effects)).toEqual([7]);
});

test('alarm that every box judges: after a restart with it standing, no box outranks another', () => {
  const [first] = demo.alarms;
  if (first === undefined) throw new Error('the demo has no alarm');
  const plan: SitePlan = { ...demo, alarms: [{ ...first, when: undefined, runsOn: { on: 'every' } }] };
  const stood = {
    alarm: 0,
    alarmId: first.alarmId,
    occurrence: 'o1',
    term: 1,
    since: wallTime(5),
    firstSampleAt: wallTime(4),
  };
  expect(alarmTerms(life(7, plan, { ...freshStart, alarms: [stood] }).effects)).toEqual([1]);
});

test('peers remember a higher count of our lives (a lost disk) → digests and claims are told under a still higher one', () => {
  const { core } = life(3);
  core.step(instant(1_010), {
    kind: 'message-received',
    from: 1,
    message: { kind: 'gossip', updates: [{ member: 0, state: 'alive', bootCounter: 9, incarnation: 2, origin: 1 }] },
  });
  const counters = { digest: new Set<number>(), claim: new Set<number>() };
  for (let at = 1_020; at < 20_000; at += 10) {
    for (const effect of core.step(instant(at), { kind: 'ticked', lateMs: 0 })) {
      if (effect.kind === 'publish') counters.digest.add(effect.digest.bootCounter);
      if (effect.kind === 'send' && effect.message.kind === 'claim') counters.claim.add(effect.message.bootCounter);
    }
  }
  // Below what they remember, both would be taken for the past and ignored for as long as this life lasts.
  expect(counters).toEqual({ digest: new Set([10]), claim: new Set([10]) });
});

test('somebody runs our incarnation up to its largest number and holds us dead → we still refute, as a later life', () => {
  const { core } = life(3);
  const largest = 0x7fff_ffff;
  const effects = core.step(instant(1_010), {
    kind: 'message-received',
    from: 1,
    message: {
      kind: 'gossip',
      updates: [{ member: 0, state: 'dead', bootCounter: 3, incarnation: largest, origin: 1 }],
    },
  });
  const answers = effects.flatMap((effect) =>
    effect.kind === 'send' && effect.to === 1 && effect.message.kind === 'gossip' ? effect.message.updates : [],
  );
  expect(answers).toContainEqual({ member: 0, state: 'alive', bootCounter: 4, incarnation: 0, origin: 0 });
});
