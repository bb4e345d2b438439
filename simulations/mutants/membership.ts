import type { AgentIndex } from '../../agent/base/ids.ts';
import { Random } from '../../agent/base/random.ts';
import type { Instant } from '../../agent/base/time.ts';
import { AgentCore } from '../../agent/core/agent-core.ts';
import type { MembershipMessage, MemberUpdate } from '../../agent/core/membership/member.ts';
import { Membership, type MembershipOutput } from '../../agent/core/membership/membership.ts';
import { encodeDirect } from '../../agent/wire/direct.ts';
import type { FaultEvent } from '../faults/fault.ts';
import type { Violation } from '../invariants/invariants.ts';
import { playScenario } from '../run.ts';
import { drawBasics, type ScenarioOptions, settleMs } from '../scenarios/scenario.ts';
import type { NetworkOptions } from '../world/network.ts';
import type { World } from '../world/world.ts';
import { type MembershipPlant, PlantedCore } from './planted-core.ts';
import {
  AnsweredSuspicionsEnd,
  BadEarsAccuseNobody,
  DeafAccuseNobody,
  Load,
  NumbersRiseSlowly,
  OwnNumbersRise,
  ReachedMeansAlive,
  type Watch,
} from './promises.ts';

/**
 * Each safeguard of the membership taken out in turn, outside the shipped code, in a world that gives the mistake a
 * chance: the very core, driver and channels of production, with one fault drawn from the seed.
 */
export interface MembershipMutant {
  readonly plant: MembershipPlant;
  /** One seed of that world; without a plant, of the product as it ships. */
  readonly trial: (seed: number, plant: MembershipPlant | undefined) => readonly Violation[];
}

/** A site, what happens to it, and what it is held to. */
interface Story {
  readonly agents: number;
  readonly durationS: number;
  readonly faults: readonly FaultEvent[];
  readonly network?: Partial<NetworkOptions>;
  readonly watch?: Watch;
  /** Told when the world stands and nothing has happened. */
  readonly begin?: (world: World) => void;
}

function told(name: string, draw: (random: Random) => Story): MembershipMutant['trial'] {
  return (seed, plant) => {
    const random = new Random(seed, `mutant ${name}`);
    return play(seed, plant, { ...draw(random.fork('story')), random }).violations;
  };
}

function play(seed: number, plant: MembershipPlant | undefined, story: Story & { readonly random: Random }) {
  const { random, agents, watch } = story;
  const basics = drawBasics(random.fork('basics'), agents);
  const options: ScenarioOptions = {
    ...basics,
    network: { ...basics.network, ...story.network },
    // Duties have trials of their own; here their moves would only be judged by the way.
    duties: 0,
    durationS: story.durationS,
    faults: story.faults,
  };
  const run = playScenario({
    // Its name has no say where all options are given.
    scenario: 'mutant',
    agents,
    seed,
    options,
    surroundings: {
      begin: (world) => {
        if (watch) watch.world = world;
        story.begin?.(world);
      },
      fault: () => {},
    },
    ...(watch ? { witness: watch } : {}),
    ...(plant ? { core: (parts) => new PlantedCore(parts, plant) } : {}),
  });
  const violations = [...run.report.violations, ...(watch?.violations ?? [])].toSorted((a, b) => a.atMs - b.atMs);
  return { report: run.report, violations };
}

/** Boxes freeze for one or two seconds, each for itself: long enough to be suspected. */
const naps = (random: Random, agents: number, endMs: number): FaultEvent[] => {
  const faults: FaultEvent[] = [];
  for (let atMs = settleMs; atMs < endMs; atMs += random.between(3_500, 5_000)) {
    faults.push({ kind: 'pause', atMs, agent: random.below(agents), ms: random.between(1_000, 2_200) });
  }
  return faults;
};

const others = (agents: number, ...without: readonly number[]): number[] =>
  Array.from({ length: agents }, (_, agent) => agent).filter((agent) => !without.includes(agent));

/** The same loss in a small site and in one six times as large: what an agent says must not tell them apart. */
function loadUnderLoss(seed: number, plant: MembershipPlant | undefined): readonly Violation[] {
  const measured = [8, 48].map((agents) => {
    const watch = new Load();
    const random = new Random(seed, `mutant load ${agents}`);
    const network = { loss: 0.25, duplication: 0, reordering: 0, stalls: 0 };
    const { report, violations } = play(seed, plant, { random, agents, durationS: 32, faults: [], network, watch });
    return { violations, atMs: report.virtualSeconds * 1_000, bytes: watch.bytesPerSecondPerAgent() };
  });
  const [small, large] = measured as [(typeof measured)[0], (typeof measured)[0]];
  const violations = [...small.violations, ...large.violations];
  if (large.bytes > 1.3 * small.bytes) {
    const text = `${Math.round(small.bytes)} bytes per second and agent among 8, ${Math.round(large.bytes)} among 48`;
    violations.push({ invariant: 'load does not grow with the site', atMs: large.atMs, text });
  }
  return violations;
}

class NoRefutation extends Membership {
  protected override mergeSelf(now: Instant, update: MemberUpdate, from: AgentIndex, out: MembershipOutput[]): void {
    if (update.state === 'alive') super.mergeSelf(now, update, from, out);
  }
}

class JudgesLate extends Membership {
  override tick(now: Instant, _lateMs: number, out: MembershipOutput[]): void {
    super.tick(now, 0, out);
  }
}

class HearsNobody extends Membership {
  protected override heard(): void {}
}

class AccusesAnyway extends Membership {
  protected override accuse(
    now: Instant,
    target: AgentIndex,
    rounds: number,
    _isPublic: boolean,
    out: MembershipOutput[],
  ): void {
    super.accuse(now, target, rounds, true, out);
  }
}

class RisesAtOnce extends Membership {
  protected override mayBump(): boolean {
    return true;
  }
}

class BelievesMemories extends Membership {
  override message(now: Instant, from: AgentIndex, message: MembershipMessage, out: MembershipOutput[]): void {
    super.message(now, from, message, out);
    const isMemory = message.kind === 'hello' || message.kind === 'sync-entries';
    if (isMemory) super.message(now, from, { kind: 'gossip', updates: message.updates }, out);
  }
}

class ClosedMeansDead extends Membership {
  override disconnected(now: Instant, peer: AgentIndex, out: MembershipOutput[]): void {
    super.disconnected(now, peer, out);
    if (this.state(peer) !== 'alive') return;
    const [bootCounter, incarnation] = [this.bootCounterOf(peer), this.incarnationOf(peer)];
    const update: MemberUpdate = { member: peer, state: 'dead', bootCounter, incarnation, origin: peer };
    super.message(now, peer, { kind: 'gossip', updates: [update] }, out);
  }
}

/** Somebody with an old memory greets: it holds dead who has lived all the time. */
function memories(random: Random, agents: number, endMs: number): (world: World) => void {
  const told: { atMs: number; from: number; to: number; about: number }[] = [];
  for (let atMs = settleMs; atMs < endMs; atMs += random.between(2_000, 4_000)) {
    const [from, to, about] = random.shuffle(others(agents)) as [number, number, number];
    told.push({ atMs, from, to, about });
  }
  return (world) => {
    for (const { atMs, from, to, about } of told) world.at(atMs, () => recall(world, from, to, about));
  };
}

function recall(world: World, from: number, to: number, about: number): void {
  const [teller, subject] = [world.boxes[from]?.core, world.boxes[about]?.core];
  if (!(teller instanceof AgentCore) || !subject) return;
  const memory: MemberUpdate = { member: about, state: 'dead', ...numbersOf(subject, about), origin: from };
  say(world, from, to, {
    kind: 'hello',
    boot: teller.identity.boot,
    ...numbersOf(teller, from),
    updates: [memory],
  });
}

const numbersOf = ({ membership }: Pick<AgentCore, 'membership'>, member: number) => ({
  bootCounter: membership.bootCounterOf(member),
  incarnation: membership.incarnationOf(member),
});

/** A message that no agent as it ships would send, on the wire of two that do. */
function say(world: World, from: number, to: number, message: MembershipMessage): void {
  const encoded = encodeDirect(message);
  if (!encoded.ok) throw new Error(`a trial's own message: ${encoded.error.text}`);
  world.channels.inject(from, to, encoded.value);
}

const flapping = (random: Random): Story => {
  const agents = 7;
  const deaf = random.below(agents);
  const periodMs = random.between(1_300, 1_800);
  const fault: FaultEvent = {
    kind: 'flap',
    atMs: settleMs + random.between(0, 1_000),
    left: others(agents, deaf),
    right: [deaf],
    periodMs,
    ms: 20_000,
    oneWay: true,
  };
  return {
    agents,
    durationS: 60,
    faults: [fault],
    network: { loss: 0, stalls: 0 },
    watch: new BadEarsAccuseNobody(deaf),
  };
};

/** One box hears nobody, or neither hears nor is heard, for so long that it gives up on the others. */
const alone =
  (oneWay: boolean, watching: boolean) =>
  (random: Random): Story => {
    const agents = 7;
    const lonely = random.below(agents);
    const [left, right] = [others(agents, lonely), [lonely]];
    const atMs = settleMs + random.between(0, 1_000);
    return {
      agents,
      durationS: 90,
      faults: [
        { kind: 'cut', atMs, left, right, oneWay },
        { kind: 'heal', atMs: atMs + random.between(25_000, 32_000), left, right },
      ],
      network: { loss: 0, stalls: 0 },
      ...(watching ? { watch: new DeafAccuseNobody(lonely) } : {}),
    };
  };

const shortCut = (random: Random): Story => {
  const agents = 6;
  const order = random.shuffle(others(agents));
  const [left, right] = [order.slice(0, 3), order.slice(3)];
  const atMs = settleMs + random.between(0, 1_000);
  // Held dead, and joined again before any connection was given up: nobody is greeted anew.
  return {
    agents,
    durationS: 60,
    faults: [
      { kind: 'cut', atMs, left, right },
      { kind: 'heal', atMs: atMs + random.between(6_500, 8_500), left, right },
    ],
  };
};

const pairApart = (random: Random): Story => {
  const agents = 5;
  const [a, b] = random.shuffle(others(agents)) as [number, number];
  const atMs = settleMs + random.between(0, 1_000);
  return {
    agents,
    durationS: 60,
    faults: [
      { kind: 'cut', atMs, left: [a], right: [b] },
      { kind: 'heal', atMs: atMs + 20_000, left: [a], right: [b] },
    ],
    network: { loss: 0, stalls: 0 },
    watch: new ReachedMeansAlive(),
  };
};

const napping = (random: Random): Story => {
  const agents = 7;
  return { agents, durationS: 60, faults: naps(random, agents, 36_000), watch: new AnsweredSuspicionsEnd() };
};

/** Whom a sleeper suspects answers while it sleeps, and the suspicion runs out before it wakes. */
const nappingInTurn = (random: Random): Story => {
  const agents = 5;
  const faults: FaultEvent[] = [];
  for (let atMs = settleMs; atMs < 40_000; atMs += 6_000) {
    const [first, second] = random.shuffle(others(agents)) as [number, number];
    const ms = random.between(900, 1_700);
    faults.push({ kind: 'pause', atMs, agent: first, ms });
    faults.push({
      kind: 'pause',
      atMs: atMs + ms - random.between(0, 100),
      agent: second,
      ms: random.between(1_500, 2_500),
    });
  }
  return { agents, durationS: 70, faults, watch: new AnsweredSuspicionsEnd() };
};

/** Suspected while it freezes, so that it has something to remember; then it dies, returns, and freezes again. */
const napsAndDies = (random: Random, watch?: Watch): Story => {
  const agents = 5;
  const agent = random.below(agents);
  const nap = (atMs: number): FaultEvent => ({ kind: 'pause', atMs, agent, ms: random.between(1_200, 2_000) });
  return {
    agents,
    durationS: 80,
    faults: [
      nap(settleMs),
      nap(settleMs + 6_000),
      { kind: 'crash', atMs: settleMs + 12_000, agent, closes: random.chance(0.5) },
      { kind: 'restart', atMs: settleMs + 12_000 + random.between(300, 6_000), agent },
      nap(settleMs + 26_000),
    ],
    ...(watch ? { watch } : {}),
  };
};

/** One of the peers says of a box that it is suspect, twenty times a second, always at its present numbers. */
const slandered = (random: Random): Story => {
  const agents = 5;
  const [victim, liar] = random.shuffle(others(agents)) as [number, number];
  const begin = (world: World): void => {
    for (let atMs = settleMs; atMs < settleMs + 8_000; atMs += 50) {
      world.at(atMs, () => {
        const { core } = world.boxes[victim]!;
        if (!core) return;
        const slander: MemberUpdate = { member: victim, state: 'suspect', ...numbersOf(core, victim), origin: liar };
        say(world, liar, victim, { kind: 'gossip', updates: [slander] });
      });
    }
  };
  return { agents, durationS: 50, faults: [], begin, watch: new NumbersRiseSlowly(victim) };
};

export const membershipMutants: ReadonlyMap<string, MembershipMutant> = new Map<string, MembershipMutant>([
  ['no refutation', { plant: { kind: NoRefutation }, trial: told('no refutation', napping) }],
  ['no verification', { plant: { options: { verifyRounds: 0 } }, trial: loadUnderLoss }],
  // Private verification alone keeps a slow event loop from accusing anybody; ears that come and go it does not.
  ['no local health', { plant: { options: { localHealthMax: 0 } }, trial: told('no local health', flapping) }],
  [
    'incarnation lost at restart',
    {
      plant: { recalls: (parts) => ({ ...parts, restored: { ...parts.restored, incarnation: 0 } }) },
      trial: told('incarnation lost', (random) => napsAndDies(random)),
    },
  ],
  [
    'boot counter lost at restart',
    {
      plant: {
        recalls: (parts) => ({
          ...parts,
          identity: { ...parts.identity, bootCounter: 1 },
          restored: { ...parts.restored, incarnation: 0 },
        }),
      },
      trial: told('boot counter lost', (random) => napsAndDies(random, new OwnNumbersRise())),
    },
  ],
  ['late timers judged', { plant: { kind: JudgesLate }, trial: told('late timers', nappingInTurn) }],
  [
    'a word of the suspect counts for nothing',
    { plant: { kind: HearsNobody }, trial: told('word', alone(false, false)) },
  ],
  ['the dead are not probed', { plant: { options: { deadProbeIntervalMs: 1e9 } }, trial: told('dead', shortCut) }],
  [
    'a burst is a death',
    {
      // Verified never, and suspected for one round: a link that is dark for half a second is a box that is gone.
      plant: { options: { verifyRounds: 0, suspicionMult: 1 } },
      trial: told('burst', () => ({
        agents: 6,
        durationS: 65,
        faults: [
          { kind: 'network', atMs: settleMs, change: { burst: { goodMs: 4_000, badMs: 300, loss: 1 } } },
          { kind: 'network', atMs: settleMs + 30_000, change: { burst: undefined } },
        ],
      })),
    },
  ],
  ['accuses while it hears nobody', { plant: { kind: AccusesAnyway }, trial: told('deaf', alone(true, true)) }],
  ['no indirect probes', { plant: { options: { helpers: 0 } }, trial: told('helpers', pairApart) }],
  ['numbers rise without a brake', { plant: { kind: RisesAtOnce }, trial: told('brake', slandered) }],
  [
    'a memory of death is a verdict',
    {
      plant: { kind: BelievesMemories },
      trial: told('memory', (random) => ({
        agents: 6,
        durationS: 50,
        faults: [],
        begin: memories(random, 6, 30_000),
      })),
    },
  ],
  [
    'a closed connection is a death',
    {
      plant: { kind: ClosedMeansDead },
      trial: told('closed', () => ({ agents: 6, durationS: 50, faults: [], network: { corruption: 0.002 } })),
    },
  ],
]);
