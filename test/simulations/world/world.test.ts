import { describe, expect, test } from 'vitest';
import { Random } from '../../../agent/base/random.ts';
import { type Instant, instant, never } from '../../../agent/base/time.ts';
import { AgentCore, type AgentCoreOptions } from '../../../agent/core/agent-core.ts';
import type { Effect } from '../../../agent/core/effect.ts';
import type { DirectMessage, Input } from '../../../agent/core/input.ts';
import type { RunId } from '../../../agent/core/remediation/journal-entry.ts';
import { calmNetwork } from '../../../simulations/world/network.ts';
import { sitePlan } from '../../../simulations/world/plan.ts';
import { type Core, World, type WorldOptions } from '../../../simulations/world/world.ts';

/** A core that does nothing but note what reaches it, wake up when it is told to, and say what it is told to say. */
class Listener {
  readonly heard: { at: number; now: Instant; input: Input }[] = [];
  wakeAt: Instant = never;
  say: Effect[] = [];
  now: Instant = instant(0);
  readonly #world: () => World;

  constructor(world: () => World) {
    this.#world = world;
  }

  step(now: Instant, input: Input): readonly Effect[] {
    this.now = now;
    this.heard.push({ at: this.#world().now, now, input });
    if (input.kind === 'ticked') this.wakeAt = never;
    return this.say.splice(0);
  }

  deadline(): Instant {
    return this.wakeAt;
  }

  of(kind: Input['kind']): { at: number; now: Instant; input: Input }[] {
    return this.heard.filter(({ input }) => input.kind === kind);
  }
}

/** A world of listeners; those of the last life of each place stand in `cores`. */
function listening(agents: number, options: Partial<WorldOptions> = {}) {
  const cores: Listener[] = [];
  const lives: { options: AgentCoreOptions; core: Listener }[] = [];
  const world: World = new World({
    plan: sitePlan({ agents, duties: 1, random: new Random(1, 'plan') }),
    seed: 7,
    network: { ...calmNetwork, latencyMs: 1, jitterMs: 0 },
    core: (given) => {
      const core = new Listener(() => world);
      lives.push({ options: given, core });
      cores[given.identity.self] = core;
      return core as unknown as Core;
    },
    ...options,
  });
  for (let agent = 0; agent < agents; agent++) world.start(agent);
  world.run(1_000);
  /** Something reaches the process, so that its driver asks for its deadline. */
  const poke = (agent: number) => world.broker('connected', [agent]);
  /** `from` says this at its next step. */
  const says = (from: Listener, to: number, message: DirectMessage) => from.say.push({ kind: 'send', to, message });
  return { world, cores, lives, poke, says };
}

const runId = '01JD0000000000000000000000' as RunId;
const ping = (seq: number): DirectMessage => ({ kind: 'ping', seq, digestVersion: 0, updates: [] });
const pingsOf = (core: Listener): number[] =>
  core.heard.flatMap(({ input }) =>
    input.kind === 'message-received' && input.message.kind === 'ping' ? [input.message.seq] : [],
  );

describe('time', () => {
  test('a wake-up → comes at its instant or within the millisecond after it, and never before', () => {
    const { world, cores, poke } = listening(2);
    const core = cores[0]!;
    const wanted = core.now + 5_000;
    core.wakeAt = instant(wanted);
    poke(0);
    world.run(20_000);
    const [tick] = core.of('ticked');
    expect(tick!.now).toBeGreaterThanOrEqual(wanted);
    expect(tick!.now).toBeLessThan(wanted + 1);
    expect(core.of('ticked').length).toBe(1);
  });

  test('frozen over a timer and a message → the timer first, late; then what waited in the socket', () => {
    const { world, cores, poke, says } = listening(2);
    const [a, b] = cores as [Listener, Listener];
    poke(0);
    world.run(1_300);
    a.wakeAt = instant(a.now + 1_000);
    poke(0);
    world.run(1_500);
    world.pause(0, 3_000);
    says(b, 0, ping(1));
    poke(1);
    world.run(4_400);
    expect(a.of('ticked')).toEqual([]);
    expect(pingsOf(a)).toEqual([]);
    world.run(6_000);
    const kinds = a.heard.slice(-2).map(({ input }) => input.kind);
    expect(kinds).toEqual(['ticked', 'message-received']);
    const { input } = a.of('ticked')[0]!;
    expect(input.kind === 'ticked' && input.lateMs).toBeGreaterThan(2_000);
  });

  test('suspended for an hour → its monotonic clock stood still, wall clock and uptime did not', () => {
    const { world, cores, poke } = listening(2);
    const core = cores[0]!;
    poke(0);
    world.run(2_000);
    const [now, wall, uptime] = [core.now, world.wall(0), world.uptime(0)];
    const asked = world.now;
    world.suspend(0, 3_600_000);
    world.run(asked + 3_600_010);
    poke(0);
    world.run(asked + 3_601_000);
    expect(core.now - now).toBeLessThan(3_000);
    expect(world.wall(0) - wall).toBeGreaterThanOrEqual(3_600_000);
    expect(world.uptime(0) - uptime).toBeGreaterThanOrEqual(3_600_000);
  });

  test('suspended with a timer armed → it fires as much later, and is not late by its own clock', () => {
    const { world, cores, poke } = listening(2);
    const core = cores[0]!;
    core.wakeAt = instant(core.now + 2_500);
    poke(0);
    world.run(1_500);
    world.suspend(0, 10_000);
    world.run(30_000);
    const [tick] = core.of('ticked');
    expect(tick!.at).toBeGreaterThan(11_500);
    expect(tick!.at).toBeLessThan(14_000);
    expect(tick!.input.kind === 'ticked' && tick!.input.lateMs).toBeLessThan(1);
  });

  test('a clock at half speed and one at double → their timers come late and early by as much', () => {
    const { world, cores, poke } = listening(2);
    for (const [agent, rate] of [[0, 0.5] as const, [1, 2] as const]) {
      world.drift(agent, rate);
      poke(agent);
    }
    world.run(2_000);
    for (const agent of [0, 1]) {
      cores[agent]!.wakeAt = instant(cores[agent]!.now + 10_000);
      poke(agent);
    }
    world.run(40_000);
    expect(cores[0]!.of('ticked')[0]!.at).toBeGreaterThan(20_000);
    expect(cores[1]!.of('ticked')[0]!.at).toBeLessThan(8_000);
  });

  test('a drift that begins while a timer is armed → the timer moves with it', () => {
    const { world, cores, poke } = listening(2);
    cores[0]!.wakeAt = instant(cores[0]!.now + 10_000);
    poke(0);
    world.run(2_000);
    world.drift(0, 4);
    world.run(20_000);
    expect(cores[0]!.of('ticked')[0]!.at).toBeLessThan(5_000);
  });

  test('the wall clock jumps → the process is told within the second; its monotonic clock knows nothing of it', () => {
    const { world, cores } = listening(2);
    world.jumpWall(0, -6_000);
    world.run(2_500);
    const [told] = cores[0]!.of('clock-read');
    expect(told!.input.kind === 'clock-read' && told!.input.wall - 1_700_000_000_000).toBeLessThan(-3_900);
    expect(world.wall(1) - world.wall(0)).toBe(6_000);
  });

  test('a box that takes 50 ms for each step → ten messages take half a second, timers come first in each turn', () => {
    const { world, cores, poke, says } = listening(2);
    const [slow, other] = cores as [Listener, Listener];
    world.slow(0, 50);
    for (let seq = 1; seq <= 10; seq++) says(other, 0, ping(seq));
    slow.wakeAt = instant(slow.now + 1_020);
    poke(0);
    poke(1);
    world.run(5_000);
    const steps = slow.heard.filter(({ at }) => at > 1_000);
    for (let i = 1; i < steps.length; i++) expect(steps[i]!.at - steps[i - 1]!.at).toBeGreaterThanOrEqual(50 - 1e-9);
    expect(pingsOf(slow)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    expect(slow.of('ticked').length).toBe(1);
    world.slow(0, 0);
    for (let seq = 11; seq <= 20; seq++) says(other, 0, ping(seq));
    poke(1);
    world.run(10_000);
    const fast = slow.heard.slice(-10);
    expect(fast.at(-1)!.at - fast[0]!.at).toBeLessThan(5);
  });
});

describe('wires', () => {
  test('A and B apart, both in touch with C → the one pair hears nothing of each other, the others go on', () => {
    const { world, cores, poke, says } = listening(3);
    world.cutPairs([[0, 1]], true);
    for (const [from, to] of [
      [0, 1],
      [1, 0],
      [0, 2],
      [2, 1],
    ] as const) {
      says(cores[from]!, to, ping(10 * from + to));
      poke(from);
    }
    world.run(2_000);
    expect([pingsOf(cores[0]!), pingsOf(cores[1]!), pingsOf(cores[2]!)]).toEqual([[], [21], [2]]);
    world.run(20_000);
    expect(cores[0]!.of('peer-disconnected').length).toBe(1);
    world.cutPairs([[0, 1]], false);
    world.run(40_000);
    expect(world.channels.isConnected(0, 1) && world.channels.isConnected(1, 0)).toBe(true);
  });

  test('one way only → the other way still arrives', () => {
    const { world, cores, poke, says } = listening(2);
    world.partition([0], [1], true, true);
    says(cores[0]!, 1, ping(1));
    says(cores[1]!, 0, ping(2));
    poke(0);
    poke(1);
    world.run(2_000);
    expect([pingsOf(cores[0]!), pingsOf(cores[1]!)]).toEqual([[2], []]);
  });

  test('a flapping partition → cut and whole by turns, and healed at its end', () => {
    const { world } = listening(4);
    world.flap([0, 1], [2, 3], { periodMs: 1_000, untilMs: 6_200 });
    const whole: boolean[] = [];
    for (let at = 1_250; at < 6_200; at += 500) {
      world.run(at);
      whole.push(world.network.isWhole(0, 3));
    }
    expect(new Set(whole)).toEqual(new Set([true, false]));
    expect(whole.filter((now, i) => i > 0 && now !== whole[i - 1]).length).toBeGreaterThanOrEqual(8);
    world.run(7_000);
    expect(world.network.blockedCount).toBe(0);
  });

  test('frames with flipped bits → never delivered, counted, and the line comes back', () => {
    const { world, cores, poke, says } = listening(2);
    world.setNetwork({ ...world.network.options, corruption: 1 });
    says(cores[0]!, 1, ping(1));
    poke(0);
    world.run(1_500);
    const { refused, wellFormed } = world.channels.garbled;
    expect(refused + wellFormed).toBe(1);
    expect(world.channels.counters[1]!.garbage).toBe(1);
    expect(pingsOf(cores[1]!)).toEqual([]);
    world.setNetwork({ ...world.network.options, corruption: 0 });
    world.run(6_000);
    says(cores[0]!, 1, ping(2));
    poke(0);
    world.run(7_000);
    expect(pingsOf(cores[1]!)).toEqual([2]);
  });
});

describe('processes and disks', () => {
  test('a reboot storm → all come back within its time, each in a new life that counts', () => {
    const { world, lives } = listening(10);
    world.reboot([0, 1, 2, 3, 4, 5, 6, 7, 8, 9], 4_000);
    expect(world.boxes.every((box) => !box.up)).toBe(true);
    world.run(6_000);
    expect(world.boxes.map((box) => [box.up, box.life, box.bootCounter])).toEqual(Array(10).fill([true, 2, 2]));
    expect(lives.length).toBe(20);
  });

  test('a cloned disk → two processes with one key and a boot counter of the same past; a message reaches one of them', () => {
    const { world, cores, lives, poke, says } = listening(3, { clones: 1 });
    const image = world.imageDisk(2);
    world.crash(2, true);
    world.start(2);
    world.run(2_000);
    const original = cores[2]!;
    const clone = world.startClone(2, image);
    world.run(4_000);
    const second = lives.at(-1)!;
    expect(second.options.identity).toMatchObject({ self: 2, bootCounter: 2 });
    expect(world.boxes[2]!.bootCounter).toBe(2);
    expect(second.options.identity.boot).not.toBe(lives.at(-2)!.options.identity.boot);
    // Both speak with the same name …
    says(second.core, 0, ping(1));
    says(original, 0, ping(2));
    poke(2);
    world.channels.port(clone.place).send(0, ping(3));
    world.run(5_000);
    const heard = cores[0]!.heard.flatMap(({ input }) => (input.kind === 'message-received' ? [input] : []));
    expect(heard.map(({ from }) => from)).toEqual([2, 2]);
    // … and who connected last is answered.
    says(cores[0]!, 2, ping(4));
    poke(0);
    world.run(6_000);
    expect([pingsOf(original), pingsOf(second.core)]).toEqual([[], [4]]);
    world.endClone(clone, true);
    world.run(10_000);
    says(cores[0]!, 2, ping(5));
    poke(0);
    world.run(11_000);
    expect(pingsOf(original)).toEqual([5]);
  });

  test('another plan → membership passes, what carries numbers of duties does not', () => {
    const { world, cores, poke, says } = listening(2);
    world.setPlan(1, { ...world.plan, version: 2, hash: 'other' });
    world.crash(1, true);
    world.start(1);
    world.run(6_000);
    says(cores[0]!, 1, { kind: 'claim', bootCounter: 1, seq: 1, duties: [] });
    says(cores[0]!, 1, ping(1));
    poke(0);
    world.run(7_000);
    expect(cores[1]!.of('message-received').length).toBe(1);
    expect(pingsOf(cores[1]!)).toEqual([1]);
    expect(world.channels.counters[0]!.dropped).toBe(1);
  });

  test('the broker goes and comes → everybody is told, those who start meanwhile, too', () => {
    const { world, cores } = listening(3);
    world.broker('lost');
    world.crash(1, true);
    world.run(3_000);
    world.start(1);
    world.run(4_000);
    for (const core of cores) expect(core.of('coordinator-changed').at(-1)!.input).toMatchObject({ state: 'lost' });
    world.broker('connected');
    world.run(5_000);
    for (const core of cores)
      expect(core.of('coordinator-changed').at(-1)!.input).toMatchObject({ state: 'connected' });
  });

  test('a command that times out → is carried out all the same, later', () => {
    const { world, cores, poke } = listening(2);
    world.plc = { timeouts: 1, lateMs: 5_000 };
    let landed = 0;
    for (let i = 0; i < 10; i++) {
      world.break(0);
      cores[0]!.say.push({
        kind: 'issue-action',
        run: runId,
        step: 0,
        try: 0,
        issue: i,
        action: { kind: 'command.run', argv: ['fan', 'restart'] },
        timeoutMs: 500,
        notAfter: never,
      });
      poke(0);
      world.run(world.now + 1_500);
      const done = cores[0]!.of('action-completed').at(-1)!;
      expect(done.input).toMatchObject({ outcome: 'timed-out', issue: i });
      const wasBroken = world.boxes[0]!.brokenAt !== undefined;
      world.run(world.now + 7_000);
      if (wasBroken && world.boxes[0]!.brokenAt === undefined) landed++;
      world.boxes[0]!.brokenAt = undefined;
    }
    expect(landed).toBeGreaterThan(2);
  });
});

test('every fault of the world at once, on real cores → the same seed, the same trace; nothing throws', () => {
  const play = (seed: number): string => {
    const world = new World({
      plan: sitePlan({ agents: 9, duties: 4, repairs: 3, random: new Random(seed, 'plan') }),
      seed,
      clockDrift: 0.002,
      clones: 1,
      network: {
        ...calmNetwork,
        loss: 0.05,
        duplication: 0.02,
        reordering: 0.1,
        stalls: 0.01,
        retransmissionLoss: 0.3,
        burst: { goodMs: 5_000, badMs: 300, loss: 0.8 },
        tail: { share: 0.01, ms: 20, maxMs: 2_000 },
        corruption: 0.002,
        uplink: { bytesPerSecond: 200_000, queueBytes: 50_000 },
      },
      core: (options) => new AgentCore(options),
    });
    for (let agent = 0; agent < 9; agent++) world.start(agent);
    world.run(5_000);
    const image = world.imageDisk(4);
    world.boxes[1]!.disk.torn = 0.5;
    world.boxes[2]!.disk.loseSyncs(true);
    world.plc = { timeouts: 0.3, lateMs: 400 };
    for (const agent of [0, 1, 2]) world.break(agent);
    world.at(6_000, () => world.slow(3, 40));
    world.at(7_000, () => world.suspend(5, 4_000));
    world.at(8_000, () => world.flap([6], [7, 8], { periodMs: 900, untilMs: 12_000, oneWay: true }));
    world.at(9_000, () => world.reboot([1, 2, 8], 3_000));
    world.at(10_000, () => world.startClone(4, image));
    world.at(11_000, () => world.drift(0, 1.05));
    world.at(11_500, () => world.jumpWall(0, 86_400_000));
    world.at(12_000, () => world.broker('lost'));
    world.at(13_000, () => world.pause(7, 2_500));
    world.at(16_000, () => world.slow(3, 0));
    world.run(20_000);
    expect(world.events).toBeGreaterThan(5_000);
    expect(world.channels.garbled.refused).toBeGreaterThan(0);
    return `${world.trace.hex} ${world.trace.events} ${world.events}`;
  };
  expect(play(3)).toBe(play(3));
  expect(play(4)).not.toBe(play(3));
});
