import { Random } from '../../agent/base/random.ts';
import { bundleHash } from '../../agent/core/leases/ballot.ts';
import type { EpochSpec } from '../../agent/core/leases/epoch.ts';
import { quorumOf } from '../../agent/core/leases/options.ts';
import { drawOptions } from './options.ts';
import type { Plant } from './plant.ts';
import type { LeaseSoak } from './run.ts';
import { type LeaseRun, LeaseWorld } from './world.ts';

/**
 * What a person attests when an epoch is forced. `true`: those voters are off, and come back only when somebody shows them
 * the statement first. `wrong`: they run on, perhaps among themselves, and then only what gateways and epochs promise is
 * judged.
 */
export type Word = 'true' | 'wrong';

/** One seed: the usual faults, and in the middle of them a majority of the voters is given up and the epoch is forced. */
export function runForcedSeed(seed: number, word: Word, plant: Plant = {}): LeaseRun {
  const random = new Random(seed, `forced epoch, ${word} word`);
  const drawn = drawOptions(new Random(seed, 'lease-options'));
  const voters = Math.max(3, drawn.voters);
  const agents = Math.max(drawn.agents, voters + 1);
  const faultPhaseMs = drawn.faultPhaseMs + 6_000;
  const world = new LeaseWorld(
    seed,
    {
      ...drawn,
      ...{ voters, agents, faultPhaseMs, cells: 1, successors: 0, rivals: false, leftBehind: 0, areDisksLying: false },
      lowersLeaseAtMs: Number.POSITIVE_INFINITY,
      driftRate: Array.from({ length: agents }, (_, agent) => drawn.driftRate[agent % drawn.driftRate.length]!),
      isDriftBeyond: drawn.isDriftBeyond || word === 'wrong',
    },
    plant,
  );
  const founding = world.chain[0]![0]!;
  const lost = random.shuffle(founding.voters.slice()).slice(0, random.between(quorumOf(voters), voters + 1) | 0);
  const rest = world.boxes.filter(({ index }) => !lost.includes(index));
  const living = random.shuffle(rest.map(({ index }) => index));
  const sizes = [1, 3, 5].filter((size) => size <= (random.chance(0.3) ? agents : living.length));
  const next: EpochSpec = {
    epoch: 2,
    hash: bundleHash('forced'),
    parent: founding.hash,
    voters: [...living, ...lost].slice(0, sizes[random.below(sizes.length)]!),
    leaseMs: random.chance(0.3) ? 1400 : random.chance(0.3) ? 2600 : founding.leaseMs,
    revoked: [],
  };
  const spoken = (index: number): number => world.boxes[index]!.disks[0]!.active.epoch;
  const bring = (index: number): void => {
    const box = world.boxes[index]!;
    if (box.life && world.runsAt(box, true) === world.now && spoken(index) === 1) world.force(box, next, lost);
  };
  /** Again and again: a person does not give up, and a box that was off meanwhile is asked anew. */
  const insist = (): void => {
    bring(living[random.below(living.length)]!);
    // Whoever comes back is shown the statement before it can vote.
    if (world.now >= world.healedAt) for (const index of lost) bring(index);
    if (world.boxes.some(({ index }) => spoken(index) === 1)) world.at(world.now + 300, insist);
  };

  const at = random.between(3_000, faultPhaseMs * 0.5);
  world.at(at, () => {
    if (word === 'true') {
      for (const index of lost) world.loseForGood(world.boxes[index]!);
    } else if (random.chance(0.7)) {
      // The two sides hear nothing of each other for a while.
      const side = new Set([...lost, ...(random.chance(0.5) ? living.slice(0, 1) : [])]);
      const forMs = random.between(2_000, 9_000);
      for (const a of world.boxes) {
        for (const b of world.boxes) {
          if (side.has(a.index) === side.has(b.index)) continue;
          world.block(a.index, b.index);
          world.at(world.now + forMs, () => {
            if (world.now < faultPhaseMs) world.unblock(a.index, b.index);
          });
        }
      }
    }
    world.chain.push([next]);
    for (const box of world.boxes) world.at(at + random.between(0, 3_000), () => world.offer(box, next));
    world.at(at + random.between(50, 3_000), insist);
  });
  return world.run();
}

/** As `soakLeases`. */
export function soakForced(from: number, to: number, word: Word, plant: Plant = {}): LeaseSoak {
  const failed: LeaseRun[] = [];
  const counters = new Map<string, number>();
  let events = 0;
  for (let seed = from; seed <= to && failed.length < 10; seed++) {
    const run = runForcedSeed(seed, word, plant);
    events += run.events;
    for (const [what, count] of run.counters) counters.set(what, (counters.get(what) ?? 0) + count);
    if (run.violations.length > 0) failed.push(run);
  }
  return { seeds: to - from + 1, events, failed, counters };
}
