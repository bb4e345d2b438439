import { expect, test } from 'vitest';
import { Random } from '../../../agent/base/random.ts';
import { calmNetwork } from '../../../simulations/world/network.ts';
import { sitePlan } from '../../../simulations/world/plan.ts';
import { World } from '../../../simulations/world/world.ts';

/** Five real cores, one exclusive duty among them; notes who ran it when, and whether two ever did. */
function site(seed: number, loss = 0) {
  const running = new Set<number>();
  let both = 0;
  let startedAt = Number.NaN;
  let endedAt = Number.NaN;
  const world: World = new World({
    plan: sitePlan({ agents: 5, duties: 2, exclusive: 1, random: new Random(seed, 'plan') }),
    seed,
    clockDrift: 0.005,
    network: { ...calmNetwork, loss },
    watch: {
      dutyRunning: (at, agent, duty, on) => {
        if (duty !== 0) return;
        if (on) running.add(agent);
        else running.delete(agent);
        if (on) startedAt = at;
        else endedAt = at;
        if (running.size > 1) both++;
      },
    },
  });
  for (let agent = 0; agent < 5; agent++) world.at(100 * agent, () => world.start(agent));
  world.run(15_000);
  return {
    world,
    holder: () => [...running][0],
    /** Milliseconds from now until another one runs it, or more than `within`. */
    takeover: (within: number): number => {
      const from = world.now;
      startedAt = Number.NaN;
      world.run(from + within, () => startedAt > from);
      return startedAt > from ? startedAt - from : Number.POSITIVE_INFINITY;
    },
    both: () => both,
    endedAt: () => endedAt,
  };
}

test('an exclusive duty on real cores → one of them runs it, with a fence that its supervisor knows, and goes on to', () => {
  const { world, holder, both } = site(1);
  const agent = holder()!;
  expect(agent).toBeDefined();
  expect(world.boxes[agent]!.supervisor!.fence(0)!.token).toMatch(/^[0-9a-f]{16}$/);
  world.run(60_000);
  expect(holder()).toBe(agent);
  expect(both()).toBe(0);
});

test('its agent is killed → the certificate brings the next one within half a second; the power goes → not before T, and soon after', () => {
  const certified: number[] = [];
  const silent: number[] = [];
  for (let seed = 1; seed <= 5; seed++) {
    for (const [closes, figures] of [
      [true, certified],
      [false, silent],
    ] as const) {
      const { world, holder, takeover, both } = site(seed);
      world.crash(holder()!, closes);
      figures.push(takeover(10_000));
      expect(both()).toBe(0);
    }
  }
  const median = (figures: number[]): number => figures.toSorted((a, b) => a - b)[2]!;
  expect(median(certified)).toBeLessThan(500);
  expect(median(silent)).toBeGreaterThan(1_200);
  expect(median(silent)).toBeLessThan(3_500);
});

test('its agent is frozen and resumed → the supervisor ended the duty in time, and two never ran it', () => {
  const { world, holder, takeover, both, endedAt } = site(3);
  const agent = holder()!;
  const frozenAt = world.now;
  world.pause(agent, 8_000);
  expect(takeover(6_000)).toBeLessThan(4_000);
  expect(endedAt() - frozenAt).toBeLessThan(2_000);
  world.run(frozenAt + 20_000);
  expect(both()).toBe(0);
});

test('its box is suspended for a minute with its monotonic clock → it wakes up without the duty', () => {
  const { world, holder, takeover, both } = site(4);
  const agent = holder()!;
  const at = world.now;
  world.suspend(agent, 60_000);
  expect(takeover(10_000)).toBeLessThan(4_000);
  world.run(at + 60_000 + 5_000);
  expect(both()).toBe(0);
  expect(holder()).not.toBe(agent);
});

test('all power goes and comes back, one disk blank → the duty runs again, once, under a larger token', () => {
  const { world, holder, both } = site(5);
  const before = world.boxes[holder()!]!.supervisor!.fence(0)!.token;
  world.boxes[0]!.disk.wipe();
  world.reboot([0, 1, 2, 3, 4], 3_000);
  world.run(world.now + 30_000);
  const after = world.boxes[holder()!]!.supervisor!.fence(0)!.token;
  expect(after > before).toBe(true);
  expect(both()).toBe(0);
});
