import type { LeaseMessage } from '../../agent/core/leases/ballot.ts';
import { bundleHash } from '../../agent/core/leases/ballot.ts';
import type { EpochSpec } from '../../agent/core/leases/epoch.ts';
import type { LeaseBox } from './box.ts';
import type { LeaseWorldOptions } from './options.ts';
import type { Plant } from './plant.ts';
import { type LeaseRun, LeaseWorld } from './world.ts';

/** A story that killed somebody's leases once, told step by step instead of drawn. */
export interface LeaseScenario {
  readonly name: string;
  readonly options: Partial<LeaseWorldOptions>;
  readonly wire?: Plant['wire'];
  /** Arranges what happens. Box 0 is made the first in rank for lease 0, so it holds from about 2.3 s on. */
  readonly script: (world: LeaseWorld) => void;
  /** States that must have been reached, else the story was not told. */
  readonly reaches: readonly string[];
  /** Mistakes that this very story punishes. */
  readonly punishes: readonly string[];
}

/** Nothing happens by chance. */
export const calm: LeaseWorldOptions = {
  agents: 5,
  voters: 5,
  witness: false,
  cells: 1,
  duties: 1,
  processes: 0,
  permits: 0,
  leaseMs: 2000,
  guardMs: 100,
  lingerMs: 4000,
  faultPhaseMs: 12_000,
  driftRate: [0, 0, 0, 0, 0, 0],
  isDriftBeyond: false,
  latencyMs: 0.5,
  jitterMs: 0.1,
  loss: 0,
  duplication: 0,
  delays: 0,
  delayMs: 0,
  diskMs: 1,
  // Nothing by chance: only what the script says.
  faults: [],
  faultEveryMs: 1000,
  bias: 0,
  lateEffects: 0,
  areDisksLying: false,
  successors: 0,
  rivals: false,
  leftBehind: 0,
  lowersLeaseAtMs: Number.POSITIVE_INFINITY,
};

/** Rank follows the seed; with this one box 0 is first for lease 0. */
const seedOf = (options: LeaseWorldOptions): number => options.agents * 1000;

export function runLeaseScenario(scenario: LeaseScenario, plant: Plant = {}): LeaseRun {
  const options = { ...calm, ...scenario.options };
  const wire = scenario.wire ?? plant.wire;
  const world = new LeaseWorld(seedOf(options), options, wire ? { ...plant, wire } : plant);
  scenario.script(world);
  return world.run();
}

export const holderOf = (world: LeaseWorld, lease = 0): LeaseBox | undefined =>
  world.boxes.find((box) => {
    const state = box.life?.nodes[0]?.proposer.lease(lease);
    return box.life && state?.held && state.ending === 'no' && world.elapsedSeen(box.life) < state.validUntil;
  });

const cutOff = (
  world: LeaseWorld,
  box: LeaseBox,
  others: readonly number[],
  how: 'both' | 'in' | 'out' = 'both',
): void => {
  for (const other of others) {
    if (other === box.index) continue;
    if (how !== 'in') world.block(box.index, other);
    if (how !== 'out') world.block(other, box.index);
  }
};

const all = (world: LeaseWorld): number[] => world.boxes.map(({ index }) => index);

/** An effect of the holder that has passed its check and is held up for `forMs` before it lands. */
const heldUp = (world: LeaseWorld, box: LeaseBox, forMs: number): void => {
  const life = box.life!;
  const token = life.nodes[0]!.proposer.mayAct(world.holderTime(life), 0);
  if (token)
    world.effects.emit(
      { life, cell: 0, lease: 0, token, session: life.session.id, isLate: true, isOfChild: false },
      forMs,
    );
};

/** Carries out `action` on the holder at that time, and counts that there was one. */
const onHolder = (world: LeaseWorld, at: number, action: (holder: LeaseBox) => void): void =>
  world.at(at, () => {
    const holder = holderOf(world);
    if (!holder) return;
    world.judge.count('struck while held');
    action(holder);
  });

/** A successor holds at that time, and it is not the one who held before. */
const takeover = (world: LeaseWorld, struckAt: number, by: number): void => {
  let former: number | undefined;
  world.at(struckAt - 1, () => {
    former = holderOf(world)?.index;
  });
  world.at(by, () => {
    const now = holderOf(world)?.index;
    if (former !== undefined && now !== undefined && now !== former) world.judge.count('taken over');
  });
};

const isRequest = (message: LeaseMessage) => message.kind === 'lease-request';

const epochAfter = (parent: EpochSpec, name: string, voters: readonly number[]): EpochSpec => ({
  epoch: parent.epoch + 1,
  hash: bundleHash(name),
  parent: parent.hash,
  voters,
  leaseMs: parent.leaseMs,
  revoked: [],
});

/** Agent 4 takes a permit from voters 1 and 2, gives it back, and voter 1 loses its store; agent 3 asks only voter 0. */
function olderPermit(): LeaseScenario {
  let struckAt = Number.POSITIVE_INFINITY;
  const asks = (from: number, to: number, now: number): boolean => {
    if (from === 4) return to > 0 && now < struckAt;
    return from === 3 && (to === 0 ? now > struckAt + 1000 : to === 1 && now > struckAt + 2000);
  };
  return {
    name: 'a reborn voter reads of an older permit, and of a newer one that was given back',
    options: { agents: 5, voters: 3, duties: 0, permits: 1, lingerMs: 3000, faultPhaseMs: 18_000 },
    wire: (from, to, message, now) =>
      !isRequest(message) || now > 18_000 ? undefined : asks(from, to, now) ? [0.5] : [],
    script: (world) => {
      struckAt = Number.POSITIVE_INFINITY;
      const isGivenBack = (agent: number): boolean => {
        const voter = world.boxes[agent]!.life?.nodes[0]?.voter;
        return voter !== undefined && voter.maxCounter(0) >= 2 && voter.promise(0) === undefined;
      };
      const strike = (): void => {
        if (!isGivenBack(1) || !isGivenBack(2)) return world.at(world.now + 5, strike);
        struckAt = world.now;
        world.judge.count('given back, then forgotten');
        world.boxes[1]!.disks[0]!.voter.damage = 'blank';
        world.powerOff(world.boxes[1]!, 20);
        // A new life counts from 1, and does not give up before voter 1 is reborn.
        world.killAgent(world.boxes[3]!, 500);
      };
      world.at(2000, strike);
    },
    reaches: ['given back, then forgotten', 'voter starts with a blank disk', 'voter born', 'acquired'],
    punishes: ['an older permit goes on after a rebirth'],
  };
}

export const leaseScenarios: readonly LeaseScenario[] = [
  {
    name: 'holder frozen between check and write, resumed after takeover',
    options: {},
    script: (world) => {
      takeover(world, 5000, 9000);
      onHolder(world, 5000, (holder) => {
        heldUp(world, holder, 5000);
        world.freeze(holder, 4500);
      });
    },
    reaches: ['struck while held', 'taken over', 'late effect refused at the gate'],
    punishes: ['no fencing at the effect'],
  },
  {
    name: 'gateway begins anew with a blank disk while an old write is on its way',
    options: {},
    script: (world) => {
      takeover(world, 5000, 9000);
      onHolder(world, 5000, (holder) => {
        heldUp(world, holder, 5000);
        world.freeze(holder, 4500);
      });
      // Only the successor's gateway saw the successor's token, and it is gone.
      world.at(9994, () => world.gateways.replace(0, world.boxes[4]!));
    },
    reaches: [
      'struck while held',
      'taken over',
      'gateway begins anew',
      'gateway read its floors',
      'late effect refused at the gate',
    ],
    punishes: ['gateway asks no voters'],
  },
  {
    name: 'VM suspended an hour with a stopped monotonic clock',
    options: { faultPhaseMs: 3_620_000, agents: 3, voters: 3 },
    script: (world) => {
      takeover(world, 5000, 9000);
      onHolder(world, 5000, (holder) => world.suspend(holder, 3_600_000));
    },
    reaches: ['struck while held', 'taken over', 'box suspended', 'lost'],
    punishes: ['clock that stops in suspend'],
  },
  {
    name: 'wall clock 6 s back on a voter, 6 s ahead on the holder',
    options: {},
    script: (world) => {
      onHolder(world, 5000, (holder) => {
        world.jumpWall(world.boxes[(holder.index + 1) % 5]!, -6000);
        world.jumpWall(holder, 6000);
      });
    },
    reaches: ['struck while held', 'wall clock jumped', 'lost'],
    punishes: [],
  },
  {
    name: 'wall clock 6 s back on the holder while it is cut off',
    options: {},
    script: (world) => {
      takeover(world, 5000, 9000);
      onHolder(world, 5000, (holder) => {
        cutOff(world, holder, all(world));
        world.at(5500, () => world.jumpWall(holder, -6000));
      });
    },
    reaches: ['struck while held', 'taken over', 'lost'],
    punishes: ['wall clock'],
  },
  {
    name: '2 of 5 voters restart within T of granting',
    options: {},
    script: (world) =>
      onHolder(world, 5000, (holder) => {
        // The holder keeps one voter of three that granted; the two others forget, and are free for its rivals.
        const [a, b] = all(world).filter((index) => index !== holder.index) as [number, number];
        const silent = all(world).filter((index) => index !== holder.index && index !== a && index !== b);
        cutOff(world, holder, silent);
        world.at(world.now + 700, () => {
          cutOff(world, holder, [a, b]);
          world.killAgent(world.boxes[a]!, 20);
          world.killAgent(world.boxes[b]!, 20);
        });
      }),
    reaches: ['struck while held', 'agent killed', 'lost'],
    punishes: ['restarted voter votes at once'],
  },
  {
    name: 'site power cut, three disks blank',
    options: {},
    script: (world) =>
      onHolder(world, 5000, () => {
        for (const box of world.boxes) {
          if (box.index < 3) box.disks[0]!.voter.damage = 'blank';
          world.powerOff(box, 300);
        }
      }),
    reaches: [
      'struck while held',
      'voter starts with a blank disk',
      'voter stranded',
      'needs a person: memory of a majority lost',
    ],
    punishes: ['one blank disk'],
  },
  {
    name: 'one disk blank, the others answer',
    options: {},
    script: (world) =>
      onHolder(world, 5000, (holder) => {
        const other = world.boxes[(holder.index + 1) % 5]!;
        other.disks[0]!.voter.damage = 'blank';
        world.powerOff(other, 300);
      }),
    reaches: ['struck while held', 'voter starts with a blank disk', 'voter born', 'held after healing'],
    punishes: [],
  },
  {
    name: 'store rolled back, found out by those who remember',
    options: {},
    script: (world) => {
      world.at(3000, () => world.killAgent(world.boxes[4]!, 50));
      world.at(8000, () => {
        world.boxes[4]!.disks[0]!.voter.damage = 'rolled-back';
        world.powerOff(world.boxes[4]!, 100);
      });
    },
    reaches: ['voter starts from a rolled-back store', 'voter unborn', 'voter born'],
    punishes: ['one blank disk'],
  },
  {
    name: 'A and B cut, but both reach C',
    options: { agents: 3, voters: 3 },
    script: (world) => {
      onHolder(world, 5000, (holder) => cutOff(world, holder, [(holder.index + 1) % 3]));
    },
    reaches: ['struck while held', 'held after healing'],
    punishes: [],
  },
  {
    name: 'holder can send but hears nothing',
    options: { faultPhaseMs: 15_000 },
    script: (world) => {
      takeover(world, 5000, 9000);
      onHolder(world, 5000, (holder) => cutOff(world, holder, all(world), 'in'));
    },
    reaches: ['struck while held', 'lost', 'taken over'],
    punishes: [],
  },
  {
    name: 'holder hears but cannot send',
    options: {},
    script: (world) => {
      takeover(world, 5000, 9000);
      onHolder(world, 5000, (holder) => cutOff(world, holder, all(world), 'out'));
    },
    reaches: ['struck while held', 'lost', 'taken over'],
    punishes: ['quorum of reachable voters', 'SWIM-dead means takeover'],
  },
  {
    name: 'grant from {3,4,5}, renewal to {1,2,3}',
    options: {},
    script: (world) => {
      // Rival 3 takes voters 3 and 4 in the end; the holder goes on with 0, 1, 2, of which 0 and 1 never granted.
      const first = world.boxes[0]!;
      world.at(1, () => cutOff(world, first, [1, 2]));
      onHolder(world, 5000, (holder) => {
        for (const other of all(world)) {
          world.unblock(holder.index, other);
          world.unblock(other, holder.index);
        }
        cutOff(world, holder, [3, 4]);
      });
    },
    reaches: ['struck while held'],
    punishes: [],
  },
  {
    name: 'delayed release after re-acquiring',
    options: { agents: 3, voters: 3 },
    // What lists nothing is a release, and arrives after all that followed.
    wire: (from, to, message) =>
      from !== to && isRequest(message) && message.items?.length === 0 ? [1, 900] : undefined,
    script: (world) => onHolder(world, 5000, (holder) => world.effects.churn(holder.life!.nodes[0]!, 0)),
    reaches: ['struck while held', 'released'],
    punishes: ['unsequenced release'],
  },
  {
    name: 'old request duplicated after a release',
    options: { agents: 3, voters: 3 },
    wire: (_from, _to, message) => (isRequest(message) && message.items !== undefined ? [0.5, 1500] : undefined),
    script: (world) => onHolder(world, 5000, (holder) => world.effects.churn(holder.life!.nodes[0]!, 0)),
    reaches: ['struck while held', 'released'],
    punishes: ['unsequenced release'],
  },
  {
    name: 'ack of attempt n during n+1',
    options: { agents: 3, voters: 3 },
    // Answers take as long as several attempts.
    wire: (from, to, message) => (from !== to && message.kind === 'lease-answer' ? [700] : undefined),
    script: (world) => {
      onHolder(world, 6000, (holder) => cutOff(world, holder, all(world), 'out'));
    },
    reaches: ['acquired', 'struck while held'],
    punishes: ['ack matched to the latest send', 'validity from receipt'],
  },
  {
    name: 'two of three voters are gone for good, and the epoch is forced',
    options: { agents: 5, voters: 3, faultPhaseMs: 14_000 },
    script: (world) => {
      const next = epochAfter(world.chain[0]![0]!, 'forced', [2, 3, 4]);
      world.chain.push([next]);
      world.at(4500, () => {
        if (holderOf(world)) world.judge.count('struck while held');
        for (const box of [0, 1]) world.powerOff(world.boxes[box]!, 60_000);
      });
      world.at(8000, () => {
        if (!holderOf(world)) world.judge.count('nobody holds');
        for (const box of [2, 3, 4]) world.offer(world.boxes[box]!, next);
      });
      // Whoever has no bundle yet fetches it, and the statement spreads by itself.
      world.at(8100, () => world.force(world.boxes[3]!, next, [0, 1]));
      world.at(13_500, () => {
        if (holderOf(world)) world.judge.count('held in the forced epoch');
      });
    },
    // Healing brings the old voters back with what they knew: they follow.
    reaches: ['struck while held', 'nobody holds', 'epoch forced', 'held in the forced epoch', 'held after healing'],
    punishes: [],
  },
  {
    name: 'forced while the holder still counts on voters that are off by now',
    options: { agents: 5, voters: 3, witness: true, permits: 1, lingerMs: 9000 },
    script: (world) => {
      const next = epochAfter(world.chain[0]![0]!, 'forced', [2, 3, 4]);
      world.chain.push([next]);
      takeover(world, 5000, 11_500);
      onHolder(world, 5000, () => {
        const [a, b] = [2, 4];
        for (const box of [0, 1, 3]) cutOff(world, world.boxes[box]!, [a, b]);
        for (const box of [a, b]) world.offer(world.boxes[box]!, next);
        world.at(5200, () => {
          for (const box of [0, 1]) world.powerOff(world.boxes[box]!, 60_000);
          world.force(world.boxes[a]!, next, [0, 1]);
        });
      });
    },
    reaches: ['struck while held', 'epoch forced', 'taken over', 'step under a permit', 'held after healing'],
    punishes: ['activate without wait', 'a forced epoch forgets permits'],
  },
  {
    name: 'forced with too few attested, while the others still are a majority',
    options: { agents: 5, voters: 3, witness: true },
    script: (world) => {
      const next = epochAfter(world.chain[0]![0]!, 'forced', [2, 3, 4]);
      world.chain.push([next]);
      onHolder(world, 5000, () => {
        for (const box of [0, 1, 3]) cutOff(world, world.boxes[box]!, [2, 4]);
        for (const box of [2, 4]) world.offer(world.boxes[box]!, next);
        world.at(5200, () => world.force(world.boxes[2]!, next, [0]));
      });
    },
    reaches: ['struck while held', 'forced epoch refused', 'held after healing'],
    punishes: ['forced whoever is attested'],
  },
  {
    name: 'forced by a wrong word: the voters that were attested to be off go on granting',
    // Two may hold then; judged is what gateways still promise.
    options: { agents: 5, voters: 3, witness: true, isDriftBeyond: true },
    script: (world) => {
      const next = epochAfter(world.chain[0]![0]!, 'forced', [2, 3, 4]);
      world.chain.push([next]);
      onHolder(world, 5000, () => {
        for (const box of [0, 1, 3]) cutOff(world, world.boxes[box]!, [2, 4]);
        for (const box of [2, 4]) world.offer(world.boxes[box]!, next);
        world.at(5200, () => world.force(world.boxes[4]!, next, [0, 1]));
      });
    },
    reaches: ['struck while held', 'epoch forced', 'effect refused at the gate', 'held after healing'],
    punishes: ['forced, and gateways wait for a token'],
  },
  {
    name: 'site power cut, three of five disks blank, and the epoch is forced',
    options: { faultPhaseMs: 24_000 },
    script: (world) => {
      const next = epochAfter(world.chain[0]![0]!, 'forced', [0, 1, 2, 3, 4]);
      onHolder(world, 5000, () => {
        for (const box of world.boxes) {
          if (box.index < 3) box.disks[0]!.voter.damage = 'blank';
          world.powerOff(box, 300);
        }
      });
      world.at(20_000, () => {
        world.chain.push([next]);
        for (const box of world.boxes) world.offer(box, next);
        world.force(world.boxes[1]!, next, [0, 1, 2]);
      });
    },
    reaches: ['struck while held', 'voter stranded', 'epoch forced', 'held after healing'],
    punishes: [],
  },
  {
    name: 'five voters to three during a partition, the old bundle on the minority',
    options: { agents: 5, voters: 5 },
    script: (world) => {
      const parent = world.chain[0]![0]!;
      const next = epochAfter(parent, 'three', [2, 3, 4]);
      world.chain.push([next]);
      world.at(4500, () => {
        for (const box of [0, 1]) cutOff(world, world.boxes[box]!, [2, 3, 4]);
      });
      world.at(5000, () => {
        if (holderOf(world)) world.judge.count('struck while held');
        for (const box of [2, 3, 4]) world.offer(world.boxes[box]!, next);
      });
    },
    reaches: ['struck while held', 'voter sealed', 'epoch changed', 'held after healing'],
    punishes: ['activate without wait'],
  },
  {
    name: 'five voters to three during a partition, the new bundle on the minority',
    options: { agents: 5, voters: 5 },
    script: (world) => {
      const next = epochAfter(world.chain[0]![0]!, 'three', [2, 3, 4]);
      world.chain.push([next]);
      world.at(4500, () => {
        for (const box of [3, 4]) cutOff(world, world.boxes[box]!, [0, 1, 2]);
      });
      world.at(5000, () => {
        if (holderOf(world)) world.judge.count('struck while held');
        for (const box of [3, 4]) world.offer(world.boxes[box]!, next);
      });
    },
    reaches: ['struck while held', 'voter sealed', 'epoch changed', 'held after healing'],
    punishes: ['voter change without seal'],
  },
  {
    name: 'a voter seals, loses its disk, is reborn among unsealed peers, and votes on',
    options: { agents: 5, voters: 3, faultPhaseMs: 16_000 },
    script: (world) => {
      const next = epochAfter(world.chain[0]![0]!, 'next', [1, 3, 4]);
      world.chain.push([next]);
      const collector = world.boxes[3]!;
      world.at(4500, () => {
        cutOff(world, collector, [1, 2, 4]);
        world.offer(collector, next);
      });
      world.at(5500, () => {
        cutOff(world, collector, [0]);
        world.boxes[0]!.disks[0]!.voter.damage = 'blank';
        world.powerOff(world.boxes[0]!, 100);
      });
      world.at(9000, () => {
        for (const other of [1, 4]) {
          world.unblock(3, other);
          world.unblock(other, 3);
        }
        // On one side those who know of the seals, on the other the reborn voter and one that never heard of any.
        for (const box of [0, 2]) cutOff(world, world.boxes[box]!, [1, 3, 4]);
      });
    },
    reaches: ['voter sealed', 'voter born', 'epoch changed', 'held after healing'],
    punishes: ['seals of a lost memory count'],
  },
  {
    name: 'a forgotten grant is still on its way to the peers whose memory is read',
    options: { agents: 4, voters: 3, witness: true, faultPhaseMs: 14_000 },
    // Agent 3 reaches voter 0 at once, voter 1 a second later, voter 2 never; voter 1 and agent 2 do not meet.
    wire: (from, to, message, now) => {
      if (now > 14_000 || now < 2000) return undefined;
      if (from === 3 && isRequest(message)) return now > 3400 ? [] : to === 0 ? [0.5] : to === 1 ? [1000] : [];
      if ((from === 1 || from === 2) && isRequest(message) && now < 4000) return [];
      const isMemory = message.kind === 'voter-recall' || message.kind === 'voter-recalled';
      if ((from === 1 || to === 1) && from !== to && from !== 3 && to !== 3 && (now > 3000 || !isMemory)) return [];
      return undefined;
    },
    script: (world) => {
      const strike = (): void => {
        const voter = world.boxes[0]!.life?.nodes[0]?.voter;
        if (voter?.promise(0)?.session.agent !== 3) return world.at(world.now + 0.25, strike);
        world.judge.count('granted, then forgotten');
        world.at(world.now + 3, () => {
          world.boxes[0]!.disks[0]!.voter.damage = 'blank';
          world.powerOff(world.boxes[0]!, 20);
        });
        world.at(world.now + 2200, () => world.killAgent(world.boxes[2]!, 50));
      };
      world.at(2000, strike);
    },
    reaches: ['granted, then forgotten', 'voter starts with a blank disk', 'acquired'],
    punishes: ['unborn voter reads before its mute'],
  },
  olderPermit(),
  {
    name: 'two rival successors',
    options: { agents: 5, voters: 5 },
    script: (world) => {
      const parent = world.chain[0]![0]!;
      const one = epochAfter(parent, 'one', [0, 1, 2]);
      const two = epochAfter(parent, 'two', [2, 3, 4]);
      world.chain.push([one, two]);
      world.at(5000, () => {
        for (const box of [0, 1, 2]) world.offer(world.boxes[box]!, one);
        for (const box of [3, 4]) world.offer(world.boxes[box]!, two);
      });
    },
    reaches: ['voter sealed'],
    punishes: ['rival seals'],
  },
  {
    name: 'two agents, cable pulled, both alive',
    options: { agents: 2, voters: 1 },
    script: (world) => onHolder(world, 5000, (holder) => cutOff(world, holder, all(world))),
    reaches: ['struck while held', 'held after healing'],
    punishes: [],
  },
  {
    name: 'partition of an hour, then healed',
    options: { agents: 3, voters: 3, faultPhaseMs: 3_620_000 },
    script: (world) => {
      takeover(world, 5000, 9000);
      onHolder(world, 5000, (holder) => cutOff(world, holder, all(world)));
    },
    reaches: ['struck while held', 'taken over', 'lost', 'held after healing'],
    punishes: ['quorum of reachable voters'],
  },
  {
    name: 'permit held by a workflow whose agent dies in the middle',
    options: { duties: 0, permits: 1, agents: 3, voters: 3, lingerMs: 8000, faultPhaseMs: 20_000 },
    script: (world) => {
      world.at(2000, () => {
        const kill = () => {
          const holder = holderOf(world);
          if (!holder) return world.at(world.now + 20, kill);
          world.judge.count('struck while held');
          world.killAgent(holder, 50);
        };
        kill();
      });
    },
    reaches: ['struck while held', 'step under a permit', 'death certified'],
    punishes: ['permit without linger'],
  },
  {
    name: 'agent killed while its duty process ignores TERM',
    options: { duties: 0, processes: 1, agents: 3, voters: 3, faultPhaseMs: 20_000 },
    script: (world) => {
      takeover(world, 5000, 5500);
      world.reapedAfterMs = 28;
      onHolder(world, 5000, (holder) => world.killAgent(holder, 3000));
    },
    reaches: ['struck while held', 'death certified', 'taken over'],
    punishes: ['duty children without supervisor'],
  },
  {
    name: 'agent killed while its duty process is in state D',
    options: { duties: 0, processes: 1, agents: 3, voters: 3, faultPhaseMs: 20_000 },
    script: (world) => {
      takeover(world, 5000, 8500);
      world.reapedAfterMs = 6000;
      world.at(5001, () => world.judge.count(holderOf(world) ? 'freed at once' : 'not freed at once'));
      onHolder(world, 5000, (holder) => world.killAgent(holder, 3000));
    },
    reaches: [
      'struck while held',
      'not freed at once',
      'taken over',
      'death certified',
      'late effect refused at the gate',
    ],
    punishes: ['no fencing at the effect'],
  },
  {
    name: 'drift at the bound',
    options: { agents: 3, voters: 3, driftRate: [-0.01, 0.01, 0.01] },
    script: (world) => {
      takeover(world, 5000, 9000);
      onHolder(world, 5000, (holder) => cutOff(world, holder, all(world)));
    },
    reaches: ['struck while held', 'taken over'],
    punishes: ['drift margin missing'],
  },
  {
    name: 'drift at five times the bound: the gate alone holds',
    options: { agents: 3, voters: 3, driftRate: [-0.05, 0.05, 0.05], isDriftBeyond: true },
    script: (world) => {
      takeover(world, 5000, 9000);
      onHolder(world, 5000, (holder) => {
        heldUp(world, holder, 3000);
        cutOff(world, holder, all(world));
      });
    },
    reaches: ['struck while held', 'taken over', 'late effect refused at the gate'],
    punishes: ['no fencing at the effect'],
  },
];
