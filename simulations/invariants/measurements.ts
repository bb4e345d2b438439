import type { JournalEntry, RunId } from '../../agent/core/remediation/journal-entry.ts';
import type { SitePlan } from '../../agent/core/site-plan.ts';
import { type FaultEvent, touches } from '../faults/fault.ts';
import { type ScenarioOptions, settleMs } from '../scenarios/scenario.ts';
import type { NetworkOptions } from '../world/network.ts';
import { type Box, usualEffectMs, type Work, type World } from '../world/world.ts';
import { convergedWithinMs, knownToAllWithinMs, oneRunnerWithinMs, runnerWithinMs } from './bounds.ts';
import { ExclusiveKeepsItsWord } from './exclusive.ts';
import {
  DutyHasRunner,
  digestsConverge,
  everythingMended,
  IncarnationsNeverGoBack,
  JournalTellsAll,
  numbersAgree,
  queuesBounded,
  RemediationKeepsItsWord,
  type Violation,
  viewsConverge,
} from './invariants.ts';
import { OneRunner } from './one-runner.ts';
import { PermitsKeepTheirWord } from './permits.ts';

/** A verdict of one box over another, and what was true of that other at this moment. */
export interface Death {
  readonly atMs: number;
  readonly observer: number;
  readonly member: number;
  readonly wasUp: boolean;
  readonly why: string;
}

/** Raw figures of a run, in milliseconds, so that several runs can be pooled. */
export interface Samples {
  /** From a crash until every survivor holds the box dead, one figure per crash. */
  readonly detection: readonly number[];
  /** From a crash until the first survivor does. */
  readonly firstDetection: readonly number[];
  /** From a crash until a duty of the dead box runs elsewhere, one figure per duty. */
  readonly takeover: readonly number[];
}

/** What a scenario's own promises are judged by. */
export interface Facts {
  readonly options: ScenarioOptions;
  readonly world: World;
  /** All verdicts "dead", in order, true ones and others; at most `maxDeaths`. */
  readonly deaths: readonly Death[];
  readonly sometimes: ReadonlyMap<Rarity, number>;
}

/**
 * States that chance must have reached for a run, or a campaign of runs, to say anything about them. TigerBeetle and
 * Antithesis call them "sometimes" assertions: they fail by never being true.
 */
export const rarities = [
  'suspicion refuted',
  'live box held dead',
  'dead box came back',
  'restart before the death was known',
  'crash while cut off',
  'one-way cut during a crash',
  'crash while frozen',
  'frozen for longer than a suspicion',
  'two crashes within a second',
  'most of the site down at once',
  'duty taken over',
  'duty run twice for a while',
  'duty without anybody able',
  'start of a duty failed',
  'message lost',
  'repair over a restart',
  'repair stopped by a person',
  'repair given up after time-outs',
  'clone at work',
  'store lost or damaged',
  'wall clock jumped',
  'clock stood still',
  'slow box held others suspect',
  'exclusive duty taken over',
  'holder of an exclusive duty frozen',
  'late effect refused',
  'repair waited for a permit',
  'repair handed over, no majority',
  'permit held over a crash',
  'all permits at work',
  'two versions of the site file at work',
  'two protocols spoken',
] as const;
export type Rarity = (typeof rarities)[number];

/** Loss up to which nobody who lives may be declared dead. */
const lossPromised = 0.25;
const maxDeaths = 100_000;
/** Enough to see what is wrong; a broken run may have millions. */
const maxViolations = 1_000;

/** Ground truth beside the boxes' views: who died when, who knew it when, who ran what when. */
export class Measurements {
  readonly violations: Violation[] = [];
  readonly detection: number[] = [];
  readonly firstDetection: number[] = [];
  readonly takeover: number[] = [];
  readonly deaths: Death[] = [];
  readonly sometimes = new Map<Rarity, number>();
  readonly repairs = new RemediationKeepsItsWord();
  readonly exclusive: ExclusiveKeepsItsWord;
  readonly permits: PermitsKeepTheirWord;
  falseDeaths = 0;
  readonly #options: ScenarioOptions;
  readonly #knownWithin: number;
  readonly #convergedWithin: number;
  readonly #runner: DutyHasRunner;
  readonly #oneRunner: OneRunner;
  readonly #neverBack = new IncarnationsNeverGoBack();
  readonly #journals = new JournalTellsAll();
  readonly #saved = new Map<
    number,
    { readonly life: number; readonly bootCounter: number; readonly incarnation: number }
  >();
  /** Boxes that a fault is at work on until then, or was until lately. */
  readonly #disturbedUntil: Float64Array;
  /** The network is worse than what anything is promised for, or was lately. */
  #roughUntil = 0;
  /** Crashes that not all survivors know of yet. */
  #open: { agent: number; at: number; missing: Set<number>; first: boolean }[] = [];
  /** Wires that come and go on their own: who is whole at this moment was perhaps not a moment ago. */
  #flappingUntil = 0;
  readonly #slowUntil: Float64Array;
  /** What reaches the one of two with the same key does not reach the other. */
  readonly #clonedUntil: Float64Array;
  /** By box: when it last gave a repair to a person because no majority was within its reach. */
  readonly #handedOverAt: (number | undefined)[] = [];
  /** When nobody else was last up in reach of it, while a crash was news. */
  readonly #aloneAt: Float64Array;
  /** When its store was last lost or set back. */
  readonly #forgotAt: Float64Array;
  /** Lives whose journal the checker has read: what a torn write left is there, and nobody was told. */
  readonly #read = new Map<number, number>();
  /** Duties that lost their runner by a crash, with the moment. */
  readonly #orphans = new Map<number, number>();
  #lastCrash = Number.NEGATIVE_INFINITY;
  /** Restarted before all knew of the death, for the counters. */
  readonly #runners: Uint16Array;

  constructor(options: ScenarioOptions, plan: SitePlan) {
    const { membership, dutyOptions } = plan;
    const agents = plan.agents.length;
    this.#options = options;
    this.#knownWithin = knownToAllWithinMs(membership, agents);
    this.#convergedWithin = convergedWithinMs(membership, agents);
    this.#disturbedUntil = new Float64Array(agents).fill(Number.NEGATIVE_INFINITY);
    this.#slowUntil = new Float64Array(agents);
    this.#clonedUntil = new Float64Array(agents).fill(Number.NEGATIVE_INFINITY);
    this.#aloneAt = new Float64Array(agents).fill(Number.NEGATIVE_INFINITY);
    this.#forgotAt = new Float64Array(agents).fill(Number.NEGATIVE_INFINITY);
    this.#runners = new Uint16Array(plan.duties.length);
    this.#runner = new DutyHasRunner({
      agents,
      duties: plan.duties.length,
      withinMs: (eligible) =>
        // A start that fails costs the next in rank another round.
        runnerWithinMs(dutyOptions, options.dutyStartMs, eligible) * (options.dutyFailure > 0 ? 4 : 1),
      storm: dutyOptions,
    });
    this.#oneRunner = new OneRunner(oneRunnerWithinMs(dutyOptions));
    this.exclusive = new ExclusiveKeepsItsWord({
      plan,
      effectMs: options.effectMs ?? usualEffectMs,
      // Each of its candidates may fail once in turn before one of them does not.
      dutyMs: options.dutyStartMs + (options.dutyFailure > 0 || options.network.loss > 0.02 ? 8_000 : 0),
      count: (what) => this.count(what),
    });
    this.permits = new PermitsKeepTheirWord({
      plan,
      isSound: (world, cell) => this.exclusive.isSoundIn(world, cell),
      count: (what) => this.count(what),
    });
    if (isRough(options.network, options.agents)) this.#roughUntil = Number.POSITIVE_INFINITY;
  }

  get samples(): Samples {
    return { detection: this.detection, firstDetection: this.firstDetection, takeover: this.takeover };
  }

  count(what: Rarity, by = 1): void {
    this.sometimes.set(what, (this.sometimes.get(what) ?? 0) + by);
  }

  /** Called right before a fault happens; the hooks below tell what it does to boxes. */
  before(world: World, fault: FaultEvent): void {
    this.exclusive.before(world, fault);
    const { agent, untilMs } = touches(fault);
    if (agent !== undefined) {
      this.#disturbedUntil[agent] = Math.max(this.#disturbedUntil[agent]!, untilMs + this.#knownWithin);
    }
    switch (fault.kind) {
      case 'network': {
        const wasRough = isRough(world.network.options, world.boxes.length);
        if (isRough({ ...world.network.options, ...fault.change }, world.boxes.length))
          this.#roughUntil = Number.POSITIVE_INFINITY;
        else if (wasRough) this.#roughUntil = world.now + this.#knownWithin;
        return;
      }
      case 'pause':
      case 'suspend':
        if (fault.ms > this.#knownWithin) this.count('frozen for longer than a suspicion');
        if (fault.kind === 'suspend') this.count('clock stood still');
        return;
      case 'flap':
        this.#flappingUntil = Math.max(this.#flappingUntil, world.now + fault.ms + this.#knownWithin);
        return;
      case 'slow':
        this.#slowUntil[fault.agent] = world.now + fault.ms;
        return;
      case 'clone':
        this.#clonedUntil[fault.agent] = Math.max(this.#clonedUntil[fault.agent]!, untilMs);
        this.count('clone at work');
        return;
      case 'upgrade':
        if (fault.bundle !== undefined && world.boxes.some(({ index }) => world.planOf(index) !== world.planOf(0)))
          this.count('two versions of the site file at work');
        if (fault.protocol !== undefined && world.network.isMixed) this.count('two protocols spoken');
        return;
      case 'wall':
        this.count('wall clock jumped');
        return;
      default:
        return;
    }
  }

  starting(_world: World, agent: number): void {
    if (this.#open.some((crash) => crash.agent === agent)) this.count('restart before the death was known');
    this.#open = this.#open.filter((crash) => crash.agent !== agent);
  }

  crashing(world: World, agent: number): void {
    const box = world.boxes[agent]!;
    if (!box.up) return;
    if (box.pausedUntil > world.now) this.count('crash while frozen');
    if (world.now - this.#lastCrash < 1_000) this.count('two crashes within a second');
    this.#lastCrash = world.now;
    if (world.network.blockedCount > 0) {
      if (world.boxes.some(({ index }) => index !== agent && !world.network.isWhole(agent, index)))
        this.count('crash while cut off');
      if (
        world.boxes.some(
          ({ index }) =>
            index !== agent && world.network.isBlocked(agent, index) !== world.network.isBlocked(index, agent),
        )
      )
        this.count('one-way cut during a crash');
    }
    if (box.core?.remediation.runs().some(({ run }) => box.core?.exclusive?.permits.leaseOf(run) !== undefined))
      this.count('permit held over a crash');
    for (const crash of this.#open) crash.missing.delete(agent);
    this.#close(world.now);
    const missing = new Set<number>();
    let up = 0;
    for (const other of world.boxes) {
      if (!other.up || other.index === agent) continue;
      up++;
      // Who holds it dead already, because it was frozen or cut off, has nothing to learn.
      const state = other.core?.membership.state(agent);
      if (state === 'alive' || state === 'suspect') missing.add(other.index);
    }
    // While its clone lives, its key answers.
    if (missing.size > 0 && this.#clonedUntil[agent]! <= world.now)
      this.#open.push({ agent, at: world.now, missing, first: true });
    if (up * 2 < world.boxes.length) this.count('most of the site down at once');
    for (const duty of box.running) {
      if (world.plan.duties[duty]!.exclusive) continue;
      const stillRuns = world.boxes.some((other) => other.index !== agent && other.running.has(duty));
      const able = world.plan.duties[duty]!.eligible.some((other) => other !== agent && world.boxes[other]!.up);
      if (!stillRuns && able) this.#orphans.set(duty, world.now);
      if (!stillRuns && !able) this.count('duty without anybody able');
    }
  }

  memberChanged(
    world: World,
    at: number,
    observer: number,
    change: { member: number; from: string; to: string; why: string },
  ): void {
    this.#violated(this.#neverBack.check(world, observer, change.member));
    const member = world.boxes[change.member]!;
    if (change.to === 'alive' && member.up) {
      if (change.from === 'suspect') this.count('suspicion refuted');
      if (change.from === 'dead') this.count('dead box came back');
    }
    if (change.to === 'suspect' && this.#isSlow(world, observer) && member.up)
      this.count('slow box held others suspect');
    if (change.to !== 'dead') return;
    if (this.deaths.length < maxDeaths)
      this.deaths.push({ atMs: at, observer, member: change.member, wasUp: member.up, why: change.why });
    if (member.up) {
      // A death binds to one life: of a box that is back since a moment ago it is true, and soon outdated.
      const life = world.boxes[observer]?.core?.membership.bootCounterOf(change.member) ?? 0;
      if (life < member.bootCounter) return;
      this.count('live box held dead');
      if (world.now < this.#roughUntil) return;
      if (this.#wasDisturbed(world, change.member) || this.#wasDisturbed(world, observer)) return;
      this.falseDeaths++;
      this.violate(at, 'no false death', `box ${observer} holds box ${change.member} dead, which is up: ${change.why}`);
      return;
    }
    for (const crash of this.#open) {
      if (crash.agent !== change.member || !crash.missing.delete(observer)) continue;
      if (crash.first) this.firstDetection.push(at - crash.at);
      crash.first = false;
    }
    this.#close(at);
  }

  /** They fall only where a process jumps over lives that somebody led under its key beside it: a clone's. */
  incarnationSaved(world: World, agent: number, bootCounter: number, incarnation: number): void {
    const { life } = world.boxes[agent]!;
    const last = this.#saved.get(agent) ?? { life, bootCounter: 0, incarnation: -1 };
    const hasJumped = life === last.life && bootCounter > last.bootCounter;
    if (incarnation < last.incarnation && !hasJumped) {
      const text = `box ${agent} saved ${bootCounter}.${incarnation} after ${last.bootCounter}.${last.incarnation}`;
      this.violate(world.now, 'incarnations never go back', text);
    }
    this.#saved.set(agent, { life, bootCounter, incarnation });
  }

  /** The store of a box was lost or set back on purpose: what it saved before binds nobody any more. */
  storeLost(world: World, agent: number): void {
    this.#forgotAt[agent] = world.now;
    this.#saved.delete(agent);
    this.repairs.storeLost(agent);
    this.count('store lost or damaged');
  }

  dutyRunning(world: World, agent: number, duty: number, running: boolean): void {
    const at = world.now;
    this.#violated(this.exclusive.running(world, world.boxes[agent]!, duty, running));
    this.#runners[duty] = this.#runners[duty]! + (running ? 1 : -1);
    if (running && this.#runners[duty]! > 1) this.count('duty run twice for a while');
    const since = this.#orphans.get(duty);
    if (!running || since === undefined) return;
    this.count('duty taken over');
    this.takeover.push(at - since);
    this.#orphans.delete(duty);
  }

  cloneRunning(world: World, clone: Box, duty: number, running: boolean): void {
    this.#violated(this.exclusive.running(world, clone, duty, running));
  }

  acted(world: World, box: Box, duty: number, act: Parameters<ExclusiveKeepsItsWord['acted']>[3]): void {
    this.#violated(this.exclusive.acted(world, box, duty, act));
  }

  journalled(world: World, agent: number, entries: readonly JournalEntry[]): void {
    for (const entry of entries) {
      if (entry.kind === 'end' && world.boxes[agent]!.life > 1) this.count('repair over a restart');
      if (entry.kind === 'denied' && entry.guard === 'permit') this.count('repair waited for a permit');
      if (entry.kind === 'stop') this.count('repair stopped by a person');
      if (entry.kind === 'end' && entry.outcome === 'ESCALATED' && entry.reason.startsWith('permit: ')) {
        if (!this.#mayHaveItsPermit(world, agent)) {
          this.count('repair handed over, no majority');
          this.#handedOverAt[agent] = world.now;
        }
      }
      if (entry.kind === 'end' && entry.outcome === 'FAILED' && entry.reason.includes('timed out'))
        this.count('repair given up after time-outs');
    }
    this.#readJournal(world, agent);
    this.#violated(this.repairs.journalled(world, agent, entries));
  }

  actionIssued(world: World, agent: number, action: { run: RunId; step: number; try: number; issue: number }): void {
    this.#readJournal(world, agent);
    this.#violated(this.repairs.issued(world, agent, action));
  }

  workBegun(world: World, box: Box, work: Work): void {
    this.#violated(this.permits.begun(world, box, work));
  }

  #readJournal(world: World, agent: number): void {
    const { life, disk } = world.boxes[agent]!;
    if (this.#read.get(agent) === life) return;
    this.#read.set(agent, life);
    this.repairs.found(agent, disk.journal);
  }

  sample(world: World): void {
    this.#violated(this.#journals.check(world, (agent) => this.#slowUntil[agent]! + slowAfterMs > world.now));
    if (this.#open.length > 0)
      for (const { index, up } of world.boxes) if (up && isAlone(world, index)) this.#aloneAt[index] = world.now;
    for (const crash of this.#open) {
      if (world.now - crash.at <= this.#knownWithin || crash.missing.size === 0) continue;
      // Who is frozen or cut off cannot know; views are demanded from them after healing.
      const late = [...crash.missing].filter((agent) => world.boxes[agent]!.up && !this.#wasDisturbed(world, agent));
      // Whom nobody answers any more doubts itself first, and probes a while longer.
      const wasAlone = (agent: number): boolean => world.now - this.#aloneAt[agent]! < this.#knownWithin;
      if (late.some(wasAlone) && world.now - crash.at <= 2 * this.#knownWithin) continue;
      crash.missing.clear();
      if (late.length > 0 && world.now >= this.#roughUntil) {
        const text = `box ${crash.agent} died ${Math.round(world.now - crash.at)} ms ago, unknown to ${late.length}: ${late.slice(0, 8).join(', ')}`;
        this.violate(world.now, 'a crash is known to all in time', text);
      }
    }
    this.#open = this.#open.filter((crash) => crash.missing.size > 0);
    if (world.now <= settleMs) return;
    const isRoughNow = world.now < this.#roughUntil;
    this.#violated(this.#runner.check(world, isRoughNow));
    this.#violated(this.#oneRunner.check(world, isRoughNow, (one, other) => this.#isHardToHear(world, one, other)));
    if (!this.exclusive.isIdle) {
      const isDark = world.boxes.some(({ index }) => world.now < world.network.darkUntil(index));
      this.#violated(this.exclusive.sample(world, isRoughNow || isDark));
    }
  }

  /** Liveness: everything has been left alone since the last fault ended. */
  atEnd(world: World, endMs: number): void {
    const lastFault = this.#options.faults.reduce(
      (last, fault) => Math.max(last, fault.atMs, touches(fault).untilMs),
      0,
    );
    this.#violated(queuesBounded(world));
    if (endMs - lastFault > mendedWithinMs)
      this.#violated(
        everythingMended(world, {
          mayHaveItsPermit: (box) => this.#mayHaveItsPermit(world, box),
          handedOverAt: (box) => this.#handedOverAt[box],
        }),
      );
    if (world.traffic.lost > 0) this.count('message lost', world.traffic.lost);
    if (world.network.options.loss > 0.05 || endMs - Math.max(lastFault, settleMs) < this.#convergedWithin) return;
    this.#violated(viewsConverge(world));
    this.#violated(numbersAgree(world));
    this.#violated(digestsConverge(world));
  }

  #mayHaveItsPermit(world: World, box: number): boolean {
    return world.plan.workflows.every(({ runsOn, permit }) => {
      if (permit === undefined || runsOn.on !== 'agent' || runsOn.agent !== box) return true;
      return this.exclusive.mayBeGranted(world, world.plan.cells[permit.cell]?.id ?? '', [box]);
    });
  }

  violate(atMs: number, invariant: string, text: string): void {
    this.#violated([{ atMs, invariant, text }]);
  }

  #violated(found: readonly Violation[]): void {
    for (const violation of found) if (this.violations.length < maxViolations) this.violations.push(violation);
  }

  #close(at: number): void {
    for (const crash of this.#open) if (crash.missing.size === 0) this.detection.push(at - crash.at);
    this.#open = this.#open.filter((crash) => crash.missing.size > 0);
  }

  #isSlow(world: World, agent: number): boolean {
    return this.#slowUntil[agent]! > world.now;
  }

  /** Slow, one of two with the same key, or a life that does not know what it said in the one before. */
  #isHardToHear(world: World, agent: number, by: number): boolean {
    // A clone counts lives beside it: what the box says next may be of the past to those who heard the clone.
    if (this.#isSlow(world, agent) || this.#clonedUntil[agent]! + forgottenAfterMs > world.now) return true;
    if (world.now < world.network.darkUntil(agent)) return true;
    // Duties have other numbers in another version of the site file: claims are not exchanged.
    if (world.planOf(agent) !== world.planOf(by)) return true;
    const { startedAt } = world.boxes[agent]!;
    if (startedAt - this.#forgotAt[agent]! > 60_000) return false;
    return world.now < Math.max(startedAt, world.boxes[by]!.disturbedAt) + forgottenAfterMs;
  }

  /** Frozen, cut off, or so lately that what happens to it may still follow from that. */
  #wasDisturbed(world: World, agent: number): boolean {
    const box = world.boxes[agent]!;
    if (box.pausedUntil > 0 || world.now - box.disturbedAt < this.#knownWithin) return true;
    if (world.now < this.#disturbedUntil[agent]! || world.now < this.#flappingUntil) return true;
    if (world.now < world.network.darkUntil(agent) + this.#knownWithin) return true;
    if (world.network.blockedCount === 0) return false;
    return world.boxes.some((other) => !world.network.isWhole(agent, other.index));
  }
}

/**
 * Beyond what membership promises anything for: a quarter lost (bursts at either end taken together, retransmissions
 * alone), or everything late. One link that is dark for a verdict's time excuses its own box, and nobody else.
 *
 * Flipped bits cost more than their message: the line breaks and is dialled anew. Two boxes have nobody else to ask
 * meanwhile, so more than one in a hundred is a line that does not stand.
 */
const isRough = (options: NetworkOptions, agents: number): boolean => {
  const { loss, latencyMs, burst, tail, uplink, corruption, stalls, retransmissionLoss } = options;
  return (
    loss + (corruption ?? 0) > lossPromised ||
    (agents === 2 && (corruption ?? 0) > 0.01) ||
    latencyMs > 40 ||
    (burst !== undefined && (2 * burst.loss * burst.badMs) / (burst.goodMs + burst.badMs) > lossPromised) ||
    (retransmissionLoss ?? 0) > lossPromised ||
    (tail !== undefined && tail.share > 0.05) ||
    stalls > 0.05 ||
    uplink !== undefined
  );
};

/** The claims of a blank disk count from the start again once its former ones can no longer be on their way: ten seconds. */
const forgottenAfterMs = 11_000;
const isAlone = (world: World, agent: number): boolean =>
  world.boxes.every(({ index, up }) => index === agent || !up || !world.network.isWhole(agent, index));

/** A slow box works off what waited in its sockets for so long after it has become fast again. */
const slowAfterMs = 1_000;
/** A workflow's tries, its verification and the soak take this at the worst. */
const mendedWithinMs = 45_000;
