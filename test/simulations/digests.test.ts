import { expect, test } from 'vitest';
import { Random } from '../../agent/base/random.ts';
import { AgentCore, type AgentCoreOptions } from '../../agent/core/agent-core.ts';
import type { Effect } from '../../agent/core/effect.ts';
import { calmNetwork } from '../../simulations/world/network.ts';
import { sitePlan } from '../../simulations/world/plan.ts';
import { World } from '../../simulations/world/world.ts';

/**
 * Digests whose gossip never arrives anywhere, from the tenth second on: the coordinator's loss, which every agent
 * tells the others, must come to all by comparing alone. Gives who holds an old word of whom, after so many seconds.
 */
function withoutGossip(parts: { agents: number; waitS: number; effect?: (effect: Effect) => Effect | undefined }) {
  const { agents, waitS } = parts;
  const cores: AgentCore[] = [];
  let world: World | undefined;
  const told: number[] = [];
  world = new World({
    plan: sitePlan({ agents, duties: 4, random: new Random(agents, 'plan') }),
    seed: 5,
    network: calmNetwork,
    clockDrift: 0.0001,
    core: (options: AgentCoreOptions) => {
      const core = new AgentCore(options);
      cores[options.identity.self] = core;
      return {
        membership: core.membership,
        duties: core.duties,
        remediation: core.remediation,
        deadline: () => core.deadline(),
        step: (now, input) =>
          core.step(now, input).flatMap((effect) => {
            if (effect.kind === 'publish' && world!.now > 10_000) return [];
            if (effect.kind === 'tell-digests' && world!.now > 10_000) told.push(effect.digests.length);
            return (parts.effect ? parts.effect(effect) : effect) ?? [];
          }),
      };
    },
  });
  for (let agent = 0; agent < agents; agent++) world.start(agent);
  world.run(10_500);
  world.broker('connected');
  world.run(10_500 + waitS * 1_000);
  const behind: string[] = [];
  for (const { index: of, cell } of world.plan.agents) {
    for (const other of world.plan.agents) {
      if (other.index === of || other.cell !== cell) continue;
      if (cores[other.index]!.health.digestOf(of)?.coordinator !== 'connected') behind.push(`${other.index} of ${of}`);
    }
  }
  return { behind, told: told.reduce((sum, count) => sum + count, 0), cores };
}

test.each([5, 30, 60])(
  'a digest of everybody is lost to all, %i agents → mended by comparing within 15 s',
  (agents) => {
    const { behind, told } = withoutGossip({ agents, waitS: 15 });
    expect(behind).toEqual([]);
    // Each once to each, and some twice, from two peers at the same moment.
    const pairs = agents <= 50 ? agents * (agents - 1) : 50 * 49 + 10 * 9;
    expect(told).toBeGreaterThanOrEqual(pairs);
    expect(told).toBeLessThan(1.5 * pairs);
  },
);

test('planted: nobody answers a comparison → the lost digests stay lost', () => {
  const { behind } = withoutGossip({
    agents: 5,
    waitS: 15,
    effect: (effect) => (effect.kind === 'tell-digests' ? undefined : effect),
  });
  expect(behind.length).toBe(20);
});

test('planted: nobody rides a number on the comparison of members → the lost digests stay lost', () => {
  const { behind } = withoutGossip({
    agents: 5,
    waitS: 15,
    effect: (effect) =>
      effect.kind === 'send' && effect.message.kind === 'sync'
        ? { ...effect, message: { kind: 'sync', hash: effect.message.hash, updates: [] } }
        : effect,
  });
  expect(behind.length).toBe(20);
});
