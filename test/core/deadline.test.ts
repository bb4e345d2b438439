import { expect, test } from 'vitest';
import { Random } from '../../agent/base/random.ts';
import type { Instant } from '../../agent/base/time.ts';
import { AgentCore } from '../../agent/core/agent-core.ts';
import type { Input } from '../../agent/core/input.ts';
import type { MembershipOutput } from '../../agent/core/membership/membership.ts';
import { calmNetwork } from '../../simulations/world/network.ts';
import { sitePlan } from '../../simulations/world/plan.ts';
import { World } from '../../simulations/world/world.ts';

/** Looks, before every step, whether something was due that the deadline did not name. */
class SuspiciousCore extends AgentCore {
  looks = 0;

  override step(now: Instant, input: Input, elapsed?: Instant) {
    const effects = super.step(now, input, elapsed);
    const parts = [
      this.membership,
      this.verdict,
      this.duties,
      this.exclusive,
      this.health,
      this.remediation,
      this.alarms,
    ];
    const due = this.deadline();
    for (const part of parts) if (part.deadline() < due) throw new Error(`${due} after ${part.deadline()}`);
    const who = this.membership.deadline();
    if (who > now) {
      // Ticked too early it must find nothing, whatever it remembers of its deadline.
      const out: MembershipOutput[] = [];
      this.membership.tick(now, 0, out);
      expect(out).toEqual([]);
      expect(this.membership.deadline()).toBe(who);
    }
    this.looks++;
    return effects;
  }
}

test('deadline: loss, a crash, a pause and a cut → no part of any agent has something due before the deadline it named', () => {
  const random = new Random(5, 'deadlines');
  const cores: SuspiciousCore[] = [];
  const world = new World({
    plan: sitePlan({ agents: 9, duties: 4, exclusive: 2, repairs: 3, random }),
    seed: 5,
    network: { ...calmNetwork, loss: 0.1 },
    core: (parts) => {
      const core = new SuspiciousCore(parts);
      cores.push(core);
      return core;
    },
  });
  for (let agent = 0; agent < 9; agent++) world.start(agent);
  world.at(5_000, () => world.crash(1, false));
  world.at(8_000, () => world.pause(2, 1_500));
  world.at(10_000, () => world.partition([3, 4], [0, 2, 5, 6, 7, 8], true));
  world.at(10_500, () => world.break(0));
  world.at(14_000, () => world.start(1));
  world.at(16_000, () => world.partition([3, 4], [0, 2, 5, 6, 7, 8], false));
  world.run(25_000);
  expect(cores).toHaveLength(10);
  for (const core of cores) expect(core.looks).toBeGreaterThan(100);
});
