import { expect, test } from 'vitest';
import { Random } from '../../../agent/base/random.ts';
import { AgentCore } from '../../../agent/core/agent-core.ts';
import { calmNetwork } from '../../../simulations/world/network.ts';
import { sitePlan } from '../../../simulations/world/plan.ts';
import { World } from '../../../simulations/world/world.ts';

/** What reached the agents of a calm large site, each kind per agent and second; `idle-wake` is a timer without any effect. */
function countedInputs(agents: number, seconds: number): Map<string, number> {
  const counts = new Map<string, number>();
  let counting = false;
  const count = (what: string) => counts.set(what, (counts.get(what) ?? 0) + 1 / (agents * seconds));
  const random = new Random(1, 'idle');
  const world = new World({
    plan: sitePlan({ agents, duties: 0, random: random.fork('plan') }),
    seed: 1,
    network: calmNetwork,
    core: (parts) => {
      const core = new AgentCore(parts);
      const step = core.step.bind(core);
      core.step = (now, input, elapsed) => {
        const effects = step(now, input, elapsed);
        if (!counting) return effects;
        count(input.kind === 'message-received' ? input.message.kind : input.kind);
        if (input.kind === 'ticked' && effects.length === 0) count('idle-wake');
        return effects;
      };
      return core;
    },
  });
  for (let agent = 0; agent < agents; agent++) world.at(random.between(0, 500), () => world.start(agent));
  world.run(5_000);
  counting = true;
  world.run(5_000 + 1_000 * seconds);
  return counts;
}

test('idle: in a calm large site an agent probes, answers and compares, and does next to nothing beside', () => {
  const counts = countedInputs(220, 10);
  const of = (what: string) => counts.get(what) ?? 0;
  // One probe in 200 ms, and it is answered; each agent is probed as often as it probes.
  for (const kind of ['ping', 'ack']) {
    expect(of(kind), kind).toBeGreaterThan(4.5);
    expect(of(kind), kind).toBeLessThan(5.5);
  }
  // Timers are for probes; a comparison of tables comes along with one.
  expect(of('ticked')).toBeLessThan(5.5);
  expect(of('idle-wake')).toBeLessThan(0.05);
  expect(of('sync')).toBeLessThan(1.2);
  const all = [...counts].reduce((sum, [what, times]) => (what === 'idle-wake' ? sum : sum + times), 0);
  expect(all, JSON.stringify([...counts])).toBeLessThan(18);
});
