import { Random } from '../../../agent/base/random.ts';
import { leaseOptions } from '../../../agent/config/compile/cells.ts';
import { fast, lan, type MembershipOptions } from '../../../agent/core/membership/options.ts';
import type { SitePlan } from '../../../agent/core/site-plan.ts';
import { takeovers } from '../../../simulations/leases/takeover.ts';
import { calmNetwork, type NetworkOptions } from '../../../simulations/world/network.ts';
import { sitePlan } from '../../../simulations/world/plan.ts';
import { World, type WorldWatch } from '../../../simulations/world/world.ts';
import { BareMesh } from '../../core/membership/bare-mesh.ts';

/** One repetition: samples are pooled over repetitions, sums added, of rates the median is taken. */
export interface Measured {
  readonly samples: Readonly<Record<string, readonly number[]>>;
  readonly sums: Readonly<Record<string, number>>;
  readonly rates: Readonly<Record<string, number>>;
  readonly cpuS: number;
}
type Figures = Omit<Measured, 'cpuS'>;

/** Boxes come up within half a second and then settle: connections, clocks of rounds, placement of duties. */
const settledMs = 15_000;
const clockDrift = 0.0001;
/** Leases as a site file with the pace `fast` has them. */
const fastLease = leaseOptions(800);

type Over = Pick<NetworkOptions, 'transport' | 'datagrams'>;
const tcp: Over = { transport: 'tcp' };
/** As tcp, and nothing goes beside a silent stream. */
const streams: Over = { transport: 'tcp', datagrams: false };
const lossyCrashes = { agents: 10, worlds: 20, crashes: 1, loss: 0.25 };

/** Every measure by name; the seed is all that differs between repetitions. */
export const measures = {
  'detection-10': (seed: number) => detection(seed, { agents: 10, worlds: 20, crashes: 1 }),
  'detection-100': (seed: number) => detection(seed, { agents: 100, worlds: 4, crashes: 5 }),
  'detection-1000': (seed: number) => detection(seed, { agents: 1000, worlds: 1, crashes: 20 }),
  'fast-detection': (seed: number) => fastDetection(seed, true),
  'fast-detection-others': (seed: number) => fastDetection(seed, false),
  'fast-calm': (seed: number) => calm(seed, { agents: 10, seconds: 36_000, loss: 0, membership: fast }),
  'loss-25': (seed: number) => calm(seed, { agents: 50, seconds: 7_200, loss: 0.25, membership: lan }),
  'loss-25-tcp': (seed: number) => calm(seed, { agents: 15, seconds: 2_400, loss: 0.25, membership: lan, over: tcp }),
  'loss-25-streams': (seed: number) =>
    calm(seed, { agents: 15, seconds: 2_400, loss: 0.25, membership: lan, over: streams }),
  'loss-30-tcp': (seed: number) => calm(seed, { agents: 5, seconds: 1_800, loss: 0.3, membership: lan, over: tcp }),
  'loss-30-streams': (seed: number) =>
    calm(seed, { agents: 5, seconds: 1_800, loss: 0.3, membership: lan, over: streams }),
  'detection-10-lossy': (seed: number) => detection(seed, { ...lossyCrashes, over: {} }),
  'detection-10-lossy-tcp': (seed: number) => detection(seed, { ...lossyCrashes, over: tcp }),
  'detection-10-lossy-streams': (seed: number) => detection(seed, { ...lossyCrashes, over: streams }),
  'load-20-0': (seed: number) => load(seed, { agents: 20, seconds: 300, loss: 0, membership: lan }),
  'load-20-25': (seed: number) => load(seed, { agents: 20, seconds: 300, loss: 0.25, membership: lan }),
  'load-2000-0': (seed: number) => load(seed, { agents: 2000, seconds: 20, loss: 0, membership: lan }),
  'load-2000-25': (seed: number) => load(seed, { agents: 2000, seconds: 20, loss: 0.25, membership: lan }),
  'takeover-box': (seed: number) => boxTakeover(seed, 2_000),
  'takeover-box-fast': (seed: number) => boxTakeover(seed, 800),
} as const satisfies Readonly<Record<string, (seed: number) => Figures>>;
export type MeasureName = keyof typeof measures;

function started(
  seed: number,
  plan: SitePlan,
  random: Random,
  network: Partial<NetworkOptions>,
  watch: WorldWatch,
): World {
  const world = new World({ plan, seed, network: { ...calmNetwork, ...network }, clockDrift, watch });
  const starts = random.fork('starts');
  for (let agent = 0; agent < plan.agents.length; agent++) {
    world.at(starts.between(0, 500), () => world.start(agent));
  }
  return world;
}

/** Boxes that lose power in turn and stay dead, each after the last one's death is known to all. */
function detection(
  seed: number,
  size: { agents: number; worlds: number; crashes: number; loss?: number; over?: Over },
): Figures {
  const { agents, loss = 0, over = {} } = size;
  const [first, all]: [number[], number[]] = [[], []];
  let [missed, falseDeaths] = [0, 0];
  for (let n = 0; n < size.worlds; n++) {
    const worldSeed = seed * 1_000 + n;
    const random = new Random(worldSeed, `bench detection ${agents}`);
    const plan = sitePlan({ agents, duties: Math.round(agents / 5), random: random.fork('plan') });
    const crash = { agent: -1, at: 0, missing: new Set<number>() };
    const world: World = started(worldSeed, plan, random, over, {
      observed: (at, observer, observation) => {
        if (observation.kind !== 'member-changed' || observation.to !== 'dead') return;
        if (world.boxes[observation.member]!.up) falseDeaths++;
        if (observation.member !== crash.agent || crash.missing.size === 0) return;
        if (crash.missing.size === world.boxes.filter(({ up }) => up).length) first.push(at - crash.at);
        crash.missing.delete(observer);
        if (crash.missing.size === 0) all.push(at - crash.at);
      },
    });
    world.run(settledMs + random.between(0, 1_000));
    if (loss > 0) {
      world.setNetwork({ ...world.network.options, loss });
      world.run(world.now + 10_000);
    }
    for (const agent of random.shuffle(plan.agents.map(({ index }) => index)).slice(0, size.crashes)) {
      world.crash(agent, false);
      crash.agent = agent;
      crash.at = world.now;
      crash.missing = new Set(world.boxes.filter(({ up }) => up).map(({ index }) => index));
      world.run(crash.at + 60_000, () => crash.missing.size === 0);
      if (crash.missing.size > 0) missed++;
      world.run(world.now + random.between(500, 1_500));
    }
  }
  return { samples: { first, all }, sums: { missed, falseDeaths }, rates: {} };
}

/** A wired cell of ten with an exclusive duty: who carries it dies, or who carries nothing. */
function fastDetection(seed: number, isHolder: boolean): Figures {
  const [first, all, takeover]: [number[], number[], number[]] = [[], [], []];
  let [missed, falseDeaths] = [0, 0];
  const duty = 0;
  for (let n = 0; n < 30; n++) {
    const worldSeed = seed * 1_000 + n;
    const random = new Random(worldSeed, 'bench fast');
    const made = sitePlan({ agents: 10, duties: 4, exclusive: 1, random: random.fork('plan'), membership: fast });
    const plan = { ...made, cells: made.cells.map((cell) => ({ ...cell, options: fastLease })) };
    const crash = { agent: -1, at: 0, missing: new Set<number>() };
    let tookOver: number | undefined;
    const world: World = started(
      worldSeed,
      plan,
      random,
      {},
      {
        observed: (at, observer, observation) => {
          if (observation.kind !== 'member-changed' || observation.to !== 'dead') return;
          if (world.boxes[observation.member]!.up) falseDeaths++;
          if (observation.member !== crash.agent || crash.missing.size === 0) return;
          if (crash.missing.size === 9) first.push(at - crash.at);
          crash.missing.delete(observer);
          if (crash.missing.size === 0) all.push(at - crash.at);
        },
        dutyRunning: (at, agent, which, isRunning) => {
          if (which === duty && isRunning && crash.agent >= 0 && agent !== crash.agent) tookOver ??= at - crash.at;
        },
      },
    );
    world.run(settledMs + random.between(0, 1_000));
    const holder = world.boxes.find(({ running }) => running.has(duty))?.index;
    const idle = world.boxes.filter(({ running }) => running.size === 0).map(({ index }) => index);
    const victim = isHolder ? holder : random.shuffle(idle)[0];
    if (victim === undefined) {
      missed++;
      continue;
    }
    crash.at = world.now;
    crash.agent = victim;
    crash.missing = new Set(world.boxes.filter(({ index }) => index !== victim).map(({ index }) => index));
    world.crash(victim, false);
    const isOver = () => crash.missing.size === 0 && (!isHolder || tookOver !== undefined);
    world.run(crash.at + 20_000, isOver);
    if (!isOver()) missed++;
    if (tookOver !== undefined && isHolder) takeover.push(tookOver);
  }
  const samples = isHolder ? { first, all, takeover } : { first, all };
  return { samples, sums: { missed, falseDeaths }, rates: {} };
}

/** A site where nothing happens but that messages are lost, or not even that: who is held dead, and what it costs. */
function calm(
  seed: number,
  site: { agents: number; seconds: number; loss: number; membership: MembershipOptions; over?: Over },
): Figures {
  const { agents, seconds, loss, membership, over = {} } = site;
  const random = new Random(seed, `bench calm ${agents} ${loss}`);
  const plan = sitePlan({ agents, duties: Math.round(agents / 5), random: random.fork('plan'), membership });
  let falseDeaths = 0;
  const world = started(
    seed,
    plan,
    random,
    { ...over, loss },
    {
      observed: (_at, _observer, observation) => {
        if (observation.kind === 'member-changed' && observation.to === 'dead') falseDeaths++;
      },
    },
  );
  world.run(settledMs);
  const before = { ...world.traffic };
  const cpuBefore = process.cpuUsage();
  world.run(settledMs + seconds * 1_000);
  const used = process.cpuUsage(cpuBefore);
  const { traffic } = world;
  const per = (n: number) => n / seconds / agents;
  return {
    samples: {},
    sums: { falseDeaths, siteHours: seconds / 3_600, agentHours: (seconds * agents) / 3_600 },
    rates: {
      bytesPerSecondPerAgent: per(traffic.bytes - before.bytes),
      messagesPerSecondPerAgent: per(traffic.messages - before.messages),
      memberBytesPerSecondPerAgent: per(traffic.membershipBytes - before.membershipBytes),
      memberMessagesPerSecondPerAgent: per(traffic.membershipMessages - before.membershipMessages),
      simulatedCpuMsPerAgentHour: (used.user + used.system) / 1_000 / ((seconds * agents) / 3_600),
    },
  };
}

/** What a box sends in all, and what the failure detector alone would send among as many. */
function load(seed: number, site: Parameters<typeof calm>[1]): Figures {
  const { agents, seconds, loss, membership } = site;
  const whole = calm(seed, site);
  const mesh = new BareMesh({ size: agents, options: membership, seed, loss, warm: 'presume', weigh: true });
  mesh.run(3_000);
  const { bytes, messages } = mesh;
  mesh.run(3_000 + seconds * 1_000);
  const per = (n: number) => n / seconds / agents;
  return {
    ...whole,
    rates: {
      ...whole.rates,
      detectorBytesPerSecondPerAgent: per(mesh.bytes - bytes),
      detectorMessagesPerSecondPerAgent: per(mesh.messages - messages),
    },
  };
}

function boxTakeover(seed: number, leaseMs: number): Figures {
  const episodes = 200;
  const from = seed * episodes + 1;
  const takeover = takeovers('box', { leaseMs, from, to: from + episodes - 1 });
  return { samples: { takeover }, sums: { missed: episodes - takeover.length }, rates: {} };
}
