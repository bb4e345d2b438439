import { EffectGate } from '../../agent/core/leases/effect-gate.ts';
import { parseToken } from '../../agent/core/leases/fencing-token.ts';
import { quorumOf } from '../../agent/core/leases/options.ts';
import type { SessionId } from '../../agent/core/leases/session.ts';
import { type FaultEvent, touches } from '../faults/fault.ts';
import type { Box, World, WorldWatch } from '../world/world.ts';
import type { Violation } from './invariants.ts';

type Act = Parameters<NonNullable<WorldWatch['acted']>>[3];

/** A duty whose lease is voted on, and what was true of it lately. */
interface Watched {
  readonly index: number;
  readonly name: string;
  readonly eligible: readonly number[];
  readonly cell: CellState;
  /** Places where a process of it is alive now; two are one too many. */
  readonly runners: Set<number>;
  lastRunner: number;
  unheldSince: number;
  /** Since when a quorum votes in reach of somebody who may hold it; NaN while none does. */
  healthySince: number;
  told: boolean;
  wasOutside: number;
  /** The largest token at the effect was shown by a second process with a box's key. */
  floorOfClone: boolean;
}

interface CellState {
  readonly id: string;
  readonly voters: readonly number[];
  readonly leaseMs: number;
  readonly drift: number;
  /** Voters whose memory a fault took or set back. */
  readonly forgetful: Set<number>;
  /** Of these those whose store was set back without being blank: nothing but what others tell shows it. */
  readonly setBack: Map<number, SetBack>;
  /** Until then one of its votes may be cast twice, by two boxes with one key. */
  clonedUntil: number;
  wasCloned: boolean;
}

/** What a voter with an older store could learn in this life before it voted. */
interface SetBack {
  startedAt: number;
  /** Since when it is in reach of another voter, both ways, without a break. */
  readonly together: Map<number, number>;
  /** By duty: the largest counter that somebody remembered who had the time to tell. */
  readonly told: Map<number, number>;
}

/** Whoever is in reach for so long has been asked, and has answered. */
const tellMs = 1_500;

/**
 * What exclusive duties promise, judged from outside: at every start of a process, at every effect, and a few times a
 * second. Ground truth are the processes that are alive, the effects that land and the promises in the voters' memory;
 * what a holder believes is not asked.
 *
 * Excused is what no lease can promise (see agent/core/leases/README.md): clocks that drift beyond the bound, a majority
 * of voters without their memory, a voter whose whole box was cloned, and a token that goes back because a voter whose store
 * was set back met nobody who remembered before it voted. Never excused are cuts, crashes, freezes,
 * suspended boxes, wall clocks, slow boxes, bad wires, and the loss of fewer disks than a majority.
 */
export class ExclusiveKeepsItsWord {
  readonly #cells: ReadonlyMap<string, CellState>;
  readonly #duties: readonly Watched[];
  readonly #byDuty: ReadonlyMap<number, Watched>;
  readonly #gate: EffectGate;
  /** An effect lands so long after its process looked at its right, at most, unless the box stood still in between. */
  readonly #effectMs: number;
  readonly #count: (
    what: 'exclusive duty taken over' | 'late effect refused' | 'holder of an exclusive duty frozen',
  ) => void;
  readonly #dutyMs: number;
  /** Boxes whose clones make them give everything away for this life. */
  readonly #cloned = new Set<number>();
  #driftsUntil = Number.NEGATIVE_INFINITY;
  /** When a fault last began to be at work, or ended: who dies or falls silent with half the votes takes them along for T. */
  #struckAt = 0;

  constructor(parts: {
    readonly plan: World['plan'];
    readonly effectMs: number;
    /** What a start takes at most, failed ones that others make good included. */
    readonly dutyMs: number;
    readonly count: (
      what: 'exclusive duty taken over' | 'late effect refused' | 'holder of an exclusive duty frozen',
    ) => void;
  }) {
    const { plan } = parts;
    this.#cells = new Map(
      plan.cells
        .filter(({ leases }) => leases.length > 0)
        .map(({ id, voters, options }) => [
          id,
          {
            id,
            voters,
            leaseMs: options.leaseMs,
            drift: options.drift,
            forgetful: new Set<number>(),
            setBack: new Map<number, SetBack>(),
            clonedUntil: Number.NEGATIVE_INFINITY,
            wasCloned: false,
          },
        ]),
    );
    this.#duties = plan.cells.flatMap(({ id, leases }) => {
      const cell = this.#cells.get(id)!;
      return leases.flatMap(({ of, eligible }): Watched[] =>
        of.kind !== 'duty'
          ? []
          : [
              {
                index: of.duty,
                name: plan.duties[of.duty]?.id ?? String(of.duty),
                eligible,
                cell,
                runners: new Set(),
                lastRunner: -1,
                unheldSince: 0,
                healthySince: Number.NaN,
                told: false,
                wasOutside: Number.NEGATIVE_INFINITY,
                floorOfClone: false,
              },
            ],
      );
    });
    this.#byDuty = new Map(this.#duties.map((duty) => [duty.index, duty]));
    this.#gate = new EffectGate(plan.duties.length);
    this.#effectMs = parts.effectMs;
    this.#dutyMs = parts.dutyMs;
    this.#count = parts.count;
  }

  get isIdle(): boolean {
    return this.#duties.length === 0;
  }

  /** Nothing has happened to the voters of this cell that no lease can bear. */
  isSoundIn(world: World, cell: string): boolean {
    const state = this.#cells.get(cell);
    return state !== undefined && !state.wasCloned && this.#isSound(world, state);
  }

  before(world: World, fault: FaultEvent): void {
    if (this.#cells.size === 0) return;
    if (!harmless.has(fault.kind)) this.#struckAt = Math.max(this.#struckAt, world.now, touches(fault).untilMs);
    switch (fault.kind) {
      case 'drift': {
        const bound = Math.min(...[...this.#cells.values()].map(({ drift }) => drift));
        if (Math.abs(fault.rate - 1) <= bound) return;
        this.#driftsUntil = Math.max(this.#driftsUntil, world.now + fault.ms + this.#aftermathMs());
        return;
      }
      case 'clone':
        this.#cloned.add(fault.agent);
        for (const cell of this.#cells.values()) {
          if (!cell.voters.includes(fault.agent)) continue;
          cell.wasCloned = true;
          cell.clonedUntil = Math.max(cell.clonedUntil, touches(fault).untilMs + this.#aftermathMs());
        }
        return;
      case 'disk':
        if (fault.what !== 'wiped' && fault.what !== 'rolled-back' && fault.what !== 'unsynced') return;
        for (const cell of this.#cells.values()) {
          if (!cell.voters.includes(fault.agent)) continue;
          cell.forgetful.add(fault.agent);
          if (fault.what !== 'wiped') {
            cell.setBack.set(fault.agent, { startedAt: Number.NaN, together: new Map(), told: new Map() });
          }
        }
        return;
      case 'pause':
      case 'suspend':
        if (this.#duties.some(({ runners }) => runners.has(fault.agent)))
          this.#count('holder of an exclusive duty frozen');
        return;
      default:
        return;
    }
  }

  /** A process of a duty came to life at this place, or none is left of it. */
  running(world: World, { place, index }: Box, duty: number, running: boolean): readonly Violation[] {
    const watched = this.#byDuty.get(duty);
    if (watched === undefined) return [];
    const { runners, cell, name } = watched;
    if (!running) {
      runners.delete(place);
      if (runners.size === 0) watched.unheldSince = world.now;
      return [];
    }
    runners.add(place);
    watched.told = false;
    if (watched.lastRunner !== -1 && watched.lastRunner !== place) this.#count('exclusive duty taken over');
    watched.lastRunner = place;
    const found = [...this.#outside(world, watched, index)];
    if (runners.size > 1 && this.#isSound(world, cell)) {
      const text = `${name} runs on boxes ${[...runners].sort((a, b) => a - b).join(' and ')}`;
      found.push({ invariant: 'an exclusive duty has one runner at most', atMs: world.now, text });
    }
    return found;
  }

  /** An effect lands. Those of a holder in its right are taken; what comes late, a successor's larger token keeps out. */
  acted(world: World, box: Box, duty: number, { fence, checkedAt }: Act): readonly Violation[] {
    const watched = this.#byDuty.get(duty);
    if (watched === undefined) return [];
    const { cell, name, runners } = watched;
    const token = parseToken(fence.token);
    const invariant = 'fencing tokens only rise at the effect';
    if (token === undefined) return [{ invariant, atMs: world.now, text: `${name}: "${fence.token}" is no token` }];
    const verdict = this.#gate.judge(duty, token, fence.session as SessionId);
    const isLate = world.now - checkedAt > this.#effectMs + 1 || !runners.has(box.place);
    if (verdict === 'raised' || verdict === 'accepted') {
      const isOfOnlyVoter = quorumOf(cell.voters.length) === 1 && world.now < cell.clonedUntil;
      watched.floorOfClone = box.place !== box.index || isOfOnlyVoter;
      return isLate ? [] : this.#outside(world, watched, box.index);
    }
    if (isLate) {
      this.#count('late effect refused');
      return [];
    }
    // What a voter's clone was granted by that clone, or anybody by the clone of the only voter, no voter ever knows of:
    // the effect's own floor stands above them all.
    if (watched.floorOfClone && cell.wasCloned) return [];
    if (!this.#remembers(cell) || !this.#isSound(world, cell)) return [];
    const floor = this.#gate.floor(duty)!;
    if (this.#couldNotKnow(world, watched, floor.token.counter)) return [];
    const text = `${name}: box ${box.index} acts with ${fence.token}, after ${floor.token.epoch}.${floor.token.counter}${verdict === 'foreign' ? ' of another session' : ''}`;
    return [{ invariant, atMs: world.now, text }];
  }

  /** `excused`: the wires are beyond what anything is promised in. */
  sample(world: World, excused: boolean): readonly Violation[] {
    const found: Violation[] = [];
    for (const cell of this.#cells.values()) this.#lookAtSetBack(world, cell);
    for (const watched of this.#duties) {
      for (const place of watched.runners) {
        const box = world.boxes[place];
        if (box !== undefined) found.push(...this.#outside(world, watched, box.index));
      }
      found.push(...this.#unheld(world, watched, excused));
    }
    return found;
  }

  /** Who could tell a voter with an older store what it forgot, while it is mute after its start. */
  #lookAtSetBack(world: World, cell: CellState): void {
    for (const [voter, seen] of cell.setBack) {
      const { up, startedAt, pausedUntil, core } = world.boxes[voter]!;
      if (seen.startedAt !== startedAt) {
        seen.startedAt = startedAt;
        seen.together.clear();
        seen.told.clear();
      }
      if (!up || world.now - startedAt > cell.leaseMs * (1 + 2 * cell.drift)) continue;
      for (const other of cell.voters) {
        if (other === voter) continue;
        const isInReach =
          pausedUntil === 0 &&
          core !== undefined &&
          world.boxes[other]!.up &&
          world.boxes[other]!.pausedUntil === 0 &&
          world.network.isWhole(voter, other) &&
          world.channels.isConnected(voter, other) &&
          world.channels.isConnected(other, voter);
        if (!isInReach) {
          seen.together.delete(other);
          continue;
        }
        const since = seen.together.get(other) ?? world.now;
        seen.together.set(other, since);
        if (world.now - since < tellMs) continue;
        for (const { index, cell: its } of this.#duties) {
          if (its !== cell) continue;
          seen.told.set(index, Math.max(seen.told.get(index) ?? 0, this.#remembered(world, cell, other, index)));
        }
      }
    }
  }

  /** A voter of the cell forgot that such a token was granted, and met nobody who remembers. */
  #couldNotKnow(world: World, { cell, index }: Watched, counter: number): boolean {
    for (const [voter, { told }] of cell.setBack) {
      if ((told.get(index) ?? 0) < counter && this.#remembered(world, cell, voter, index) < counter) return true;
    }
    return false;
  }

  /** The largest counter of a duty's lease in a voter's memory. */
  #remembered(world: World, cell: CellState, voter: number, duty: number): number {
    const exclusive = world.boxes[voter]!.core?.exclusive;
    const lease = exclusive?.duties.leaseOf(duty);
    if (exclusive === undefined || lease === undefined) return 0;
    return exclusive.leases.cells.find(({ id }) => id === cell.id)?.remembers(lease) ?? 0;
  }

  /** Whoever runs it has the promise of a majority, until later than now. */
  #outside(world: World, watched: Watched, runner: number): readonly Violation[] {
    const { cell, name } = watched;
    if (!this.#isSound(world, cell) || world.now - watched.wasOutside < cell.leaseMs) return [];
    const keep = cell.voters.filter((voter) => this.#keeps(world, watched, voter, runner)).length;
    if (keep >= quorumOf(cell.voters.length)) return [];
    watched.wasOutside = world.now;
    const text = `${name} runs on box ${runner}, for which ${keep} of ${cell.voters.length} voters keep it`;
    return [{ invariant: 'an exclusive duty runs within its right', atMs: world.now, text }];
  }

  /** It promised the lease to this runner, or cannot promise it to anybody else before such a promise has run out. */
  #keeps(world: World, { cell, index }: Watched, voter: number, runner: number): boolean {
    const box = world.boxes[voter]!;
    const exclusive = box.core?.exclusive;
    if (exclusive === undefined || world.now - box.startedAt < cell.leaseMs) return true;
    if (exclusive.leases.cells.find(({ id }) => id === cell.id)?.voterState !== 'voting') return true;
    const monotonic = world.monotonic(voter);
    return exclusive.view({ monotonic, elapsed: monotonic }, index)?.promisedTo === runner;
  }

  #unheld(world: World, watched: Watched, excused: boolean): readonly Violation[] {
    const { cell, name, runners, index } = watched;
    const isHeld = runners.size > 0 || world.boxes.some(({ core }) => core?.exclusive?.duties.mine(index));
    if (isHeld) watched.unheldSince = world.now;
    if (excused || !this.#isHealthy(world, watched)) watched.healthySince = Number.NaN;
    else if (Number.isNaN(watched.healthySince)) watched.healthySince = world.now;
    if (isHeld || watched.told || Number.isNaN(watched.healthySince)) return [];
    const since = Math.max(watched.unheldSince, watched.healthySince, this.#struckAt);
    // What was promised last lapses after T at the latest, by a clock that may be slow.
    const withinMs = cell.leaseMs * (1 + 2 * cell.drift) + 1_000 + this.#dutyMs;
    if (world.now - since <= withinMs) return [];
    watched.told = true;
    const text = `${name}: nobody for ${Math.round(world.now - since)} ms, and a majority of voters ${cell.voters.join(', ')} votes`;
    return [{ invariant: 'an exclusive duty is held within T + 1 s of a healthy quorum', atMs: world.now, text }];
  }

  /** One of these could be granted a lease of this cell now. */
  mayBeGranted(world: World, id: string, eligible: readonly number[]): boolean {
    const cell = this.#cells.get(id);
    return cell !== undefined && this.#isHealthy(world, { cell, eligible });
  }

  /** Somebody who may hold it is connected, both ways, to a majority that votes. */
  #isHealthy(world: World, { cell, eligible }: Pick<Watched, 'cell' | 'eligible'>): boolean {
    const isWell = (agent: number): boolean => {
      const { up, pausedUntil, startedAt, core } = world.boxes[agent]!;
      return up && pausedUntil === 0 && core?.exclusive !== undefined && world.now > startedAt + 500;
    };
    const voters = cell.voters.filter((voter) => {
      if (!isWell(voter) || this.#cloned.has(voter)) return false;
      const { core, startedAt } = world.boxes[voter]!;
      if (world.now - startedAt < cell.leaseMs * (1 + 3 * cell.drift)) return false;
      return core!.exclusive!.leases.cells.find(({ id }) => id === cell.id)?.voterState === 'voting';
    });
    const quorum = quorumOf(cell.voters.length);
    if (voters.length < quorum) return false;
    return eligible.some((agent) => {
      if (!isWell(agent) || this.#cloned.has(agent)) return false;
      const inReach = voters.filter(
        (voter) =>
          voter === agent ||
          (world.network.isWhole(agent, voter) &&
            world.channels.isConnected(agent, voter) &&
            world.channels.isConnected(voter, agent)),
      );
      return inReach.length >= quorum;
    });
  }

  #isSound(world: World, cell: CellState): boolean {
    return world.now >= this.#driftsUntil && world.now >= cell.clonedUntil && this.#remembers(cell);
  }

  #remembers({ forgetful, voters }: CellState): boolean {
    return forgetful.size < quorumOf(voters.length);
  }

  #aftermathMs(): number {
    return 3 * Math.max(...[...this.#cells.values()].map(({ leaseMs }) => leaseMs));
  }
}

/** Faults that leave voters, candidates and the wires between them as they are. */
const harmless: ReadonlySet<FaultEvent['kind']> = new Set(['broker', 'plc', 'break', 'stop', 'source', 'service']);
