import { describe, expect, test } from 'vitest';
import { Random } from '../../../agent/base/random.ts';
import { ringOf, smallSite } from '../../../agent/core/membership/ring.ts';
import { numbersAgree, viewsConverge } from '../../../simulations/invariants/invariants.ts';
import { calmNetwork } from '../../../simulations/world/network.ts';
import { cellOf, sitePlan } from '../../../simulations/world/plan.ts';
import { World } from '../../../simulations/world/world.ts';

const agents = smallSite + 20;

function site(): World {
  const world = new World({
    plan: sitePlan({ agents, duties: 20, random: new Random(3, 'plan') }),
    seed: 11,
    network: calmNetwork,
    clockDrift: 0.0001,
  });
  for (let agent = 0; agent < agents; agent++) world.start(agent);
  return world;
}

const peersOf = (world: World, agent: number): number[] =>
  world.boxes.map(({ index }) => index).filter((peer) => world.channels.isConnected(agent, peer));

/** Of another cell, and nowhere near on the ring. */
function farFrom(agent: number): number {
  const { order, position } = ringOf(agents);
  for (let away = agents >> 1; away < agents; away++) {
    const peer = order[(position[agent]! + away) % agents]!;
    if (cellOf(peer) !== cellOf(agent)) return peer;
  }
  throw new Error('nobody is far');
}

describe('a site in which not all connect to all', () => {
  test('an agent dials its cell and its neighbours on the ring of observers → both sides stand, others do not', () => {
    const world = site();
    world.run(300);
    const { order, position } = ringOf(agents);
    for (const agent of [0, 77, agents - 1]) {
      const peers = peersOf(world, agent);
      for (const { index } of world.boxes) {
        if (index === agent || cellOf(index) !== cellOf(agent)) continue;
        expect(peers).toContain(index);
        expect(world.channels.isConnected(index, agent)).toBe(true);
      }
      for (const away of [-10, -1, 1, 10]) {
        expect(peers).toContain(order[(position[agent]! + away + agents) % agents]!);
      }
      expect(peers.length).toBeLessThan(100);
    }
  });

  test('the calm, and a crash that is known to all → nobody calls a stranger for it', () => {
    const world = site();
    world.run(300);
    const connections = () => world.boxes.map(({ index }) => peersOf(world, index).length);
    const before = connections();
    world.run(8_000);
    expect(connections()).toEqual(before);
    world.crash(77, false);
    world.run(world.now + 5_000);
    const views = world.boxes.flatMap(({ core, up }) => (core && up ? [core.membership.state(77)] : []));
    expect(views).toEqual(Array.from({ length: agents - 1 }, () => 'dead'));
    // Some verify through helpers of their own, a few of whom are connected to us and not to it.
    const [sum, now] = [before, connections()].map((all) => all.reduce((a, b) => a + b, 0)) as [number, number];
    expect(now - sum).toBeLessThan(sum / 20);
  });

  test.each([0, 0.25])('a box among 220 sends at most a fifth more than one among 20, at %d loss', (loss) => {
    const load = (size: number, seconds: number) => {
      const plan = sitePlan({ agents: size, duties: size / 5, random: new Random(size, 'plan') });
      const world = new World({ plan, seed: 2, network: { ...calmNetwork, loss }, clockDrift: 0.0001 });
      for (let agent = 0; agent < size; agent++) world.start(agent);
      world.run(12_000);
      const { bytes, messages } = world.traffic;
      world.run(12_000 + seconds * 1_000);
      const per = (n: number) => n / seconds / size;
      return { bytes: per(world.traffic.bytes - bytes), messages: per(world.traffic.messages - messages) };
    };
    const [few, many] = [load(20, 90), load(agents, 10)];
    expect(many.bytes / few.bytes).toBeLessThan(1.2);
    expect(many.messages / few.messages).toBeLessThan(1.1);
  });

  test('something to say to somebody far → said after a handshake, and the connection stands', () => {
    const world = site();
    world.run(30);
    const far = farFrom(5);
    const dropped = world.channels.counters[5]!.dropped;
    expect(world.channels.isConnected(5, far)).toBe(false);
    const { messages } = world.traffic;
    world.channels.port(5).send(far, { kind: 'gossip', updates: [] });
    expect(world.traffic.messages).toBe(messages);
    world.run(world.now + 10);
    expect(world.channels.isConnected(5, far) && world.channels.isConnected(far, 5)).toBe(true);
    expect(world.channels.counters[5]!.dropped).toBe(dropped);
  });

  test('whom it calls is down, or behind a cut → what it wanted to say is gone, and counted', () => {
    const world = site();
    world.run(30);
    const far = farFrom(5);
    world.partition([5], [far], true);
    const dropped = world.channels.counters[5]!.dropped;
    world.channels.port(5).send(far, { kind: 'gossip', updates: [] });
    world.run(world.now + 10);
    expect(world.channels.counters[5]!.dropped).toBe(dropped + 1);
    world.partition([5], [far], false);
    world.crash(far, true);
    world.channels.port(5).send(far, { kind: 'gossip', updates: [] });
    world.run(world.now + 10);
    expect(world.channels.counters[5]!.dropped).toBe(dropped + 2);
    expect(world.channels.isConnected(5, far)).toBe(false);
  });

  test('all remember each other; one crashes and comes back → all know, and agree on its numbers', () => {
    const world = site();
    world.run(3_000);
    expect(viewsConverge(world)).toEqual([]);
    world.crash(17, false);
    world.run(13_000);
    expect(viewsConverge(world)).toEqual([]);
    world.start(17);
    world.run(19_000);
    expect(viewsConverge(world)).toEqual([]);
    expect(numbersAgree(world)).toEqual([]);
  });
});
