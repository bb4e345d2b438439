import type { Random } from '../../agent/base/random.ts';
import type { MembershipOptions } from '../../agent/core/membership/options.ts';
import type { FaultEvent } from '../faults/fault.ts';
import type { Violation } from '../invariants/invariants.ts';
import type { Facts, Rarity } from '../invariants/measurements.ts';
import type { NetworkOptions } from '../world/network.ts';

/** Everything that a run depends on besides the code; drawn from the seed, shown in the report's first table. */
export interface ScenarioOptions {
  readonly agents: number;
  readonly duties: number;
  /** Boxes with something to repair. */
  readonly repairs: number;
  /** So many of them may be repaired at once, by permit; as many as there are where nothing is said. */
  readonly permits?: number;
  /** Virtual seconds of the whole run, settling and healing included. */
  readonly durationS: number;
  readonly network: NetworkOptions;
  readonly membership: Partial<MembershipOptions>;
  readonly clockDrift: number;
  readonly diskMs: number;
  readonly dutyStartMs: number;
  readonly dutyFailure: number;
  /** So many of the duties are exclusive; none where nothing is said, as in recordings of former times. */
  readonly exclusive?: number;
  /** Who votes on them, in each cell. */
  readonly voters?: 1 | 3 | 5;
  /** An effect of an exclusive duty takes up to so long from its process's look at its right until it lands. */
  readonly effectMs?: number;
  /** Concrete faults with their times, in the order in which they begin. */
  readonly faults: readonly FaultEvent[];
}

export interface Scenario {
  readonly name: string;
  readonly about: string;
  /** How many agents it is told with when nobody says; 50 else. */
  readonly agents?: number;
  /** Fewer boxes than this cannot tell it; 2 where nothing is said. */
  readonly least?: number;
  /** States that it must have reached, over all seeds of a campaign, else it was not told. */
  readonly reaches?: readonly Rarity[];
  /** What is promised in this story beyond the invariants of all; judged at the end. */
  readonly promises?: (facts: Facts) => readonly Violation[];
  /** Draws all options. `durationS` undefined: the scenario's own. */
  draw(random: Random, agents: number, durationS: number | undefined): ScenarioOptions;
}

/** Boxes start within this; nothing is judged before `settleMs`. */
export const startWithinMs = 500;
export const settleMs = 12_000;

/** What all scenarios have in common: a decent wired network, clocks that are never quite right. */
export function drawBasics(random: Random, agents: number): Omit<ScenarioOptions, 'durationS' | 'faults'> {
  return {
    agents,
    duties: Math.max(7, Math.round(agents / 5)),
    repairs: 0,
    network: {
      latencyMs: random.between(0.1, 1.5),
      jitterMs: random.between(0.05, 1),
      loss: random.chance(0.5) ? 0 : random.between(0, 0.03),
      duplication: random.chance(0.5) ? 0 : random.between(0, 0.02),
      reordering: random.chance(0.5) ? 0 : random.between(0, 0.1),
      stalls: random.chance(0.7) ? 0 : random.between(0, 0.01),
      stallMs: 200,
    },
    membership: {},
    clockDrift: random.chance(0.3) ? 0 : random.between(0, 0.005),
    diskMs: random.between(0.5, 8),
    dutyStartMs: random.between(20, 200),
    dutyFailure: random.chance(0.7) ? 0 : random.between(0, 0.2),
  };
}

/** One to three exclusive duties, voted on by as many as the site has room for. */
export function drawExclusive(random: Random, agents: number): Pick<ScenarioOptions, 'exclusive' | 'voters'> {
  const drawn = random.fork('exclusive');
  const voters = drawn.chance(0.15) ? 1 : drawn.chance(0.6) ? 3 : 5;
  return { exclusive: 1 + drawn.below(3), voters: agents < 3 ? 1 : agents < 5 && voters === 5 ? 3 : voters };
}

export const boxesOf = (agents: number): number[] => Array.from({ length: agents }, (_, agent) => agent);

/** `count` distinct boxes. */
export const drawBoxes = (random: Random, agents: number, count: number): number[] =>
  random.shuffle(boxesOf(agents)).slice(0, count);

/** As they begin. */
export const inOrder = (faults: readonly FaultEvent[]): FaultEvent[] => faults.toSorted((a, b) => a.atMs - b.atMs);

/** The same change of all that is lost on the wires: `loss` instead of what was drawn, wherever there is any. */
export function withLoss(options: ScenarioOptions, loss: number): ScenarioOptions {
  return {
    ...options,
    network: { ...options.network, loss },
    faults: options.faults.map((fault) =>
      fault.kind === 'network' && (fault.change.loss ?? 0) > 0
        ? { ...fault, change: { ...fault.change, loss } }
        : fault,
    ),
  };
}
