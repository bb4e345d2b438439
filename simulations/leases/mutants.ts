import type { AgentIndex } from '../../agent/base/ids.ts';
import type { Instant } from '../../agent/base/time.ts';
import type { BallotItem, LeaseAnswer, LeaseRequest, Refusal, Seal } from '../../agent/core/leases/ballot.ts';
import { EffectGate, type GateVerdict } from '../../agent/core/leases/effect-gate.ts';
import type { HolderTime } from '../../agent/core/leases/elapsed-clock.ts';
import { Succession } from '../../agent/core/leases/epoch.ts';
import { Lease } from '../../agent/core/leases/lease.ts';
import { Proposer, type VoterLink } from '../../agent/core/leases/proposer.ts';
import type { SessionId, VoterLife } from '../../agent/core/leases/session.ts';
import { type KnownSession, Voter, type VoterOutput } from '../../agent/core/leases/voter.ts';
import type { FaultKind, LeaseWorldOptions } from './options.ts';
import type { Plant } from './plant.ts';
import { runLeaseSeed } from './run.ts';

/**
 * Each safeguard of the leases, taken out in turn, outside the shipped code. A checker that does not find them all checks
 * nothing; one that finds them in the shipped code as well, on the very same seeds, is wrong itself.
 */
export const mutants: ReadonlyMap<string, Plant> = new Map<string, Plant>([
  [
    'two cells in one session',
    { sharesSessions: true, proposer: (p) => new SharedSession(p), bias: having({ cells: 2 }) },
  ],
  ['hash match acknowledges all', { voter: (p) => new HashAcknowledgesAll(p) }],
  ['repeated answer on hash match', { voter: (p) => new RepeatsAnswer(p) }],
  [
    'SWIM-dead means takeover',
    { voter: (p) => new Believer(p), memberDead: frees, bias: faults('cut', 'one-way', 'link') },
  ],
  ['quorum of reachable voters', { proposer: (p) => new ReachableQuorum(p), bias: faults('cut', 'one-way', 'link') }],
  ['token order unchecked', { voter: (p) => new AnyToken(p) }],
  [
    'token reused',
    { voter: (p) => new SameTokenAgain(p), bias: faults('voters-restart', 'kill', 'churn', 'cut', 'power') },
  ],
  ['old token used after the new one', { proposer: (p) => new OldAfterNew(p), bias: faults('voters-restart', 'kill') }],
  ['duty children without supervisor', { unsupervised: true, bias: processes('kill', 'freeze', 'cut') }],
  ['no fencing at the effect', { gate: (leases) => new OpenGate(leases), bias: late }],
  ['renewals counted apart from grants', { voter: (p) => new RenewsAnything(p) }],
  ['disks lost in a power cut', { disksCached: true, bias: faults('site-power', 'power', 'voters-restart') }],
  ['answer before it is durable', { voter: (p) => new HastyVoter(p), bias: slowDisk }],
  ['activate without wait', { voter: (p) => new EpochWithoutMute(p), bias: epochs({}) }],
  ['voter change without seal', { succession: (p) => new ActivatesAtOnce(p), bias: epochs({ leftBehind: 0.5 }) }],
  ['epoch before it is durable', { succession: (p) => new HastyEpoch(p), bias: hastyEpochs }],
  ['rival seals', { voter: (p) => new SealsTwice(p), bias: epochs({ rivals: true, leftBehind: 0 }) }],
  ['certificate before reaping', { certificateEarly: true, bias: processes('kill') }],
  [
    'restarted voter votes at once',
    { voter: (p) => new NeverMute(p), bias: faults('voters-restart', 'power', 'site-power') },
  ],
  [
    'wall clock',
    {
      holderClock: (_mono, _up, wall) => wall,
      voterClock: (_mono, wall) => wall,
      bias: faults('wall', 'cut', 'freeze'),
    },
  ],
  ['clock that stops in suspend', { holderClock: (mono) => mono, bias: faults('suspend') }],
  ['T lowered in the same epoch', { voter: (p) => new AnyLeaseTime(p), bias: lowered }],
  ['unsequenced release', { voter: (p) => new AnyRequestOrder(p), bias: disorder }],
  ['validity from receipt', { proposer: (p) => new FromReceipt(p), bias: disorder }],
  ['ack matched to the latest send', { proposer: (p) => new LatestSend(p), bias: disorder }],
  ['release not waiting for the effect', { proposer: (p) => new HastyRelease(p), bias: faults('churn', 'wall') }],
  ['drift margin missing', { proposer: (p) => new NoMargin(p), bias: drifting }],
  ['any next life of a voter is believed', { voter: (p) => new AnyNextLife(p), bias: restlessDisks }],
  [
    'an older permit goes on after a rebirth',
    { voter: (p) => new OlderGoesOn(p), bias: permits('disk', 'link', 'one-way') },
  ],
  ['one blank disk', { voter: (p) => new BlankIsBorn(p), bias: faults('disk', 'cut', 'power') }],
  ['own means the same agent', { voter: (p) => new OwnAgent(p), bias: processes('kill', 'voters-restart') }],
  ['permit without linger', { voter: (p) => new NoLinger(p), bias: permits('kill', 'cut', 'power') }],
  ['answers to another life count', { proposer: (p) => new AnyLife(p), bias: restless }],
  ['guard time by a clock that jumps', { proposer: (p) => new JumpingGuard(p), bias: processes('wall', 'churn') }],
  ['unborn voter reads before its mute', { voter: (p) => new ReadsAtOnce(p), bias: blankAndLate }],
  ['seals of a lost memory count', { succession: (p) => new CountsAllSeals(p), bias: blankEpochs }],
  ['forced whoever is attested', { succession: (p) => new BelievesAnyStatement(p) }],
  ['forced, and gateways wait for a token', { gateWaitsForTokens: true }],
  ['a forced epoch forgets permits', { forgetsPermits: true }],
  ['gateway asks no voters', { gateAsksNobody: true }],
  ['sealed voter votes on', { voter: (p) => new VotesOn(p), bias: epochs({}) }],
]);

/** So rare by chance that the scenarios plant them, and seeds are not asked to find them. */
export const toldOnly: ReadonlySet<string> = new Set([
  'unborn voter reads before its mute',
  'seals of a lost memory count',
  'an older permit goes on after a rebirth',
  'gateway asks no voters',
  'forced whoever is attested',
  'forced, and gateways wait for a token',
  'a forced epoch forgets permits',
]);

/** Found within a few hundred seeds, but by the way to harm, not by harm itself. */
export const seldomHarmful: ReadonlySet<string> = new Set([
  'answers to another life count',
  'any next life of a voter is believed',
  'epoch before it is durable',
]);

export interface MutantReport {
  readonly name: string;
  readonly found: boolean;
  readonly invariant: string | undefined;
  readonly seed: number | undefined;
  readonly text: string | undefined;
  /** Seeds that were run until it was found. */
  readonly seeds: number;
  /** What the unmutated code did wrong on the same seeds with the same options; must be empty. */
  readonly shippedFails: readonly number[];
}

/** Plants each mistake and looks for it in at most `seeds` seeds. */
export function runMutants(options: {
  readonly firstSeed?: number;
  readonly seeds: number;
  readonly only?: string;
  /** Found only by harm: two at once, a token that went back. */
  readonly onlyHarm?: boolean;
  readonly onReport?: (report: MutantReport) => void;
}): readonly MutantReport[] {
  const reports: MutantReport[] = [];
  const first = options.firstSeed ?? 1;
  for (const [name, plant] of mutants) {
    if (options.only === undefined ? toldOnly.has(name) : !name.includes(options.only)) continue;
    const onlyHarm = options.onlyHarm === true && !seldomHarmful.has(name);
    let report: MutantReport | undefined;
    const shippedFails: number[] = [];
    let seeds = 0;
    for (let seed = first; seed < first + options.seeds && report === undefined; seed++) {
      seeds++;
      if (runLeaseSeed(seed, {}, plant.bias).violations.length > 0) shippedFails.push(seed);
      const violation = runLeaseSeed(seed, plant, plant.bias, onlyHarm).violations[0];
      if (violation === undefined) continue;
      const { invariant, text } = violation;
      report = { name, found: true, invariant, seed, text, seeds, shippedFails };
    }
    report ??= { name, found: false, invariant: undefined, seed: undefined, text: undefined, seeds, shippedFails };
    reports.push(report);
    options.onReport?.(report);
  }
  return reports;
}

// What a mistake needs to have a chance.

function having(change: Partial<LeaseWorldOptions>): NonNullable<Plant['bias']> {
  return (options) => ({ ...options, ...change });
}

const sound = { isDriftBeyond: false, areDisksLying: false } as const;

/** Clocks within the bound and honest disks, so that all invariants are judged. */
function tame(options: LeaseWorldOptions): LeaseWorldOptions {
  return { ...options, ...sound, driftRate: options.driftRate.map((rate) => Math.max(-0.01, Math.min(0.01, rate))) };
}

function faults(...kinds: FaultKind[]): NonNullable<Plant['bias']> {
  return (options) => ({ ...tame(options), faults: kinds, faultEveryMs: 500, bias: 0.4 });
}

function processes(...kinds: FaultKind[]): NonNullable<Plant['bias']> {
  return (options) => ({ ...faults(...kinds)(options), processes: 2 });
}

function permits(...kinds: FaultKind[]): NonNullable<Plant['bias']> {
  return (options) => ({ ...faults(...kinds)(options), permits: 2 });
}

function late(options: LeaseWorldOptions): LeaseWorldOptions {
  return { ...faults('kill', 'cut', 'churn')(options), lateEffects: 0.1 };
}

function epochs(change: Partial<LeaseWorldOptions>): NonNullable<Plant['bias']> {
  return (options) => ({ ...faults('cut', 'link', 'one-way')(options), successors: 2, leftBehind: 0.2, ...change });
}

function lowered(options: LeaseWorldOptions): LeaseWorldOptions {
  return { ...faults('cut', 'one-way', 'freeze')(options), lowersLeaseAtMs: 3000, successors: 0 };
}

function disorder(options: LeaseWorldOptions): LeaseWorldOptions {
  return { ...faults('churn', 'cut', 'one-way')(options), delays: 0.3, delayMs: 1500, duplication: 0.3 };
}

/** A short guard hides less of what the margin is for: 2 % of T between the slowest holder and the fastest voter. */
function drifting(options: LeaseWorldOptions): LeaseWorldOptions {
  const driftRate = options.driftRate.map((_, agent) => (agent % 2 === 0 ? 0.01 : -0.01));
  return { ...tame(options), driftRate, guardMs: Math.min(options.guardMs, 10) };
}

function trio({ agents }: LeaseWorldOptions): Pick<LeaseWorldOptions, 'agents' | 'voters'> {
  return { agents: Math.max(3, agents), voters: 3 };
}

function restless(options: LeaseWorldOptions): LeaseWorldOptions {
  return { ...faults('kill', 'voters-restart', 'freeze')(options), delays: 0.3, delayMs: 1500, faultEveryMs: 300 };
}

function blankAndLate(options: LeaseWorldOptions): LeaseWorldOptions {
  return { ...faults('disk', 'cut', 'freeze')(options), ...trio(options), delays: 0.3, delayMs: 1900, bias: 0.8 };
}

function blankEpochs(options: LeaseWorldOptions): LeaseWorldOptions {
  return {
    ...epochs({ leftBehind: 0 })(options),
    ...trio(options),
    faults: ['disk', 'cut', 'link'],
    faultEveryMs: 400,
  };
}

function slowDisk(options: LeaseWorldOptions): LeaseWorldOptions {
  return { ...faults('voters-restart', 'kill', 'power')(options), diskMs: 150, bias: 0.7 };
}

/** Bundles that come while boxes lose power, and disks that take long to write down that an epoch began. */
function hastyEpochs(options: LeaseWorldOptions): LeaseWorldOptions {
  return { ...epochs({})(options), faults: ['power', 'voters-restart', 'kill'], faultEveryMs: 300, diskMs: 150 };
}

/** Stores that go back, and lives that end before they have said so. */
function restlessDisks(options: LeaseWorldOptions): LeaseWorldOptions {
  return { ...faults('disk', 'eio')(options), ...trio(options), cells: 2, diskMs: 60, faultEveryMs: 400 };
}

// The mistakes.

type VoterParts = ConstructorParameters<typeof Voter>[0];

/** Both cells' proposers count their requests together and list only their own duties. */
class SharedSession extends Proposer {
  static readonly #rids = new Map<SessionId, number>();

  protected override nextRid(): number {
    const rid = (SharedSession.#rids.get(this.session.id) ?? 0) + 1;
    SharedSession.#rids.set(this.session.id, rid);
    if (SharedSession.#rids.size > 1000) SharedSession.#rids.clear();
    return rid;
  }
}

class HashAcknowledgesAll extends Voter {
  protected override answer(
    known: KnownSession,
    message: LeaseRequest,
    items: readonly BallotItem[],
    got: readonly BallotItem[],
    refused: readonly Refusal[],
  ): LeaseAnswer {
    return message.items === undefined
      ? super.answer(known, message, items, items, [])
      : super.answer(known, message, items, got, refused);
  }
}

class RepeatsAnswer extends Voter {
  readonly #last = new Map<SessionId, readonly BallotItem[]>();

  protected override vote(
    now: Instant,
    known: KnownSession,
    message: LeaseRequest,
    items: readonly BallotItem[],
    out: VoterOutput[],
  ): void {
    const last = this.#last.get(known.id);
    if (message.items !== undefined || last === undefined) return super.vote(now, known, message, items, out);
    this.reply(known.agent, super.answer(known, message, items, last, []), 0, out);
  }

  protected override answer(
    known: KnownSession,
    message: LeaseRequest,
    items: readonly BallotItem[],
    got: readonly BallotItem[],
    refused: readonly Refusal[],
  ): LeaseAnswer {
    this.#last.set(known.id, got);
    return super.answer(known, message, items, got, refused);
  }
}

class Believer extends Voter {
  forget(agent: AgentIndex): void {
    for (let lease = 0; lease < this.leases.length; lease++)
      if (this.holders[lease]?.agent === agent) this.expiresAt[lease] = 0;
  }
}

function frees(voter: Voter, agent: AgentIndex): void {
  (voter as Believer).forget(agent);
}

class ReachableQuorum extends Proposer {
  protected override quorum(now: Instant): number {
    const reachable = this.links.filter((link) => link.tries <= 2 || link.lastSentAt > now).length;
    return Math.min(super.quorum(now), Math.max(1, Math.floor(reachable / 2) + 1));
  }
}

class AnyToken extends Voter {
  protected override isAbove(): boolean {
    return true;
  }
}

class SameTokenAgain extends Voter {
  protected override isAbove(lease: number, counter: number): boolean {
    return counter >= this.maxCounters[lease]!;
  }
}

class BackAndForth extends Lease {
  #former = 0;

  override changeOver(validUntil: Instant): void {
    this.#former = this.counter;
    super.changeOver(validUntil);
  }

  override mayAct(now: Instant, guardMs: number): number {
    const counter = super.mayAct(now, guardMs);
    const former = this.#former;
    // The first effect takes the new one, the next the old one.
    this.#former = -former;
    return counter > 0 && former < 0 ? -former : counter;
  }
}

class OldAfterNew extends Proposer {
  protected override makeLease(index: number, voters: number, isPermit: boolean): Lease {
    return new BackAndForth(index, voters, isPermit);
  }
}

class OpenGate extends EffectGate {
  override judge(): GateVerdict {
    return 'accepted';
  }
}

class RenewsAnything extends Voter {
  protected override decide(
    now: Instant,
    known: KnownSession,
    lease: number,
    counter: number,
  ): 'grant' | 'renew' | 'refuse' | 'ignore' | 'echo' {
    const verdict = super.decide(now, known, lease, counter);
    // "It was granted by a quorum once, so a renewal is fine unless somebody else holds it here."
    return verdict === 'refuse' && !this.isTaken(now, known, lease) ? 'echo' : verdict;
  }
}

class HastyVoter extends Voter {
  protected override reply(
    to: AgentIndex,
    message: Parameters<Voter['reply']>[1],
    _token: number,
    out: VoterOutput[],
  ): void {
    super.reply(to, message, 0, out);
  }
}

class NeverMute extends Voter {
  protected override muteAtStartMs(): number {
    return 0;
  }
}

class EpochWithoutMute extends Voter {
  protected override muteAtStartMs(): number {
    return this.epoch > 1 && this.life.boot > 0 ? 0 : super.muteAtStartMs();
  }
}

class BelievesAnyStatement extends Succession {
  protected override isAttested(): boolean {
    return true;
  }
}

class ActivatesAtOnce extends Succession {
  protected override quorum(): number {
    return 0;
  }

  override accept(now: Instant, spec: Parameters<Succession['accept']>[1], out: Parameters<Succession['accept']>[2]) {
    const acceptance = super.accept(now, spec, out);
    if (acceptance === 'accepted') {
      const { epoch } = this.active;
      this.certificate(now, { kind: 'lease-epoch', cell: this.cell, epoch, successor: spec.hash, seals: [] }, out);
    }
    return acceptance;
  }
}

/** Lives in the new epoch as soon as its end is known, and writes that down by the way. */
class HastyEpoch extends Succession {
  override certificate(...[now, message, out]: Parameters<Succession['certificate']>): void {
    super.certificate(now, message, out);
    const begun = out.find((output) => output.kind === 'persist' && output.entry.kind === 'activated');
    if (begun?.kind === 'persist') super.persisted(now, begun.token, out);
  }
}

class SealsTwice extends Voter {
  override seal(now: Instant, from: AgentIndex, message: Seal, out: VoterOutput[]): void {
    if (this.sealedFor !== undefined && this.sealedFor !== message.successor) this.sealedFor = message.successor;
    super.seal(now, from, message, out);
  }
}

class VotesOn extends Voter {
  protected override isSealed(): boolean {
    return false;
  }
}

class AnyLeaseTime extends Voter {
  protected override isSameLease(): boolean {
    return true;
  }
}

class AnyRequestOrder extends Voter {
  protected override isNext(): boolean {
    return true;
  }
}

class FromReceipt extends Proposer {
  protected override countedSendTime(now: Instant): number {
    return now;
  }
}

class LatestSend extends Proposer {
  protected override countedSendTime(_now: Instant, link: VoterLink): number {
    return link.lastSentAt;
  }
}

class AnyLife extends Proposer {
  protected override isMine(): boolean {
    return true;
  }
}

class JumpingGuard extends Proposer {
  protected override waitClock({ elapsed }: HolderTime): Instant {
    return elapsed;
  }
}

class ReadsAtOnce extends Voter {
  protected override mayRead(): boolean {
    return true;
  }
}

class CountsAllSeals extends Succession {
  protected override isVoid(): boolean {
    return false;
  }
}

class HastyRelease extends Proposer {
  protected override releaseWaitMs(): number {
    return 0;
  }
}

class NoMargin extends Proposer {
  protected override windowMs(): number {
    return this.options.leaseMs;
  }
}

class BlankIsBorn extends Voter {
  constructor(parts: VoterParts) {
    super(parts);
    this.unborn = false;
  }

  protected override isMemoryOf(): boolean {
    return false;
  }

  protected override isSuccessor(): boolean {
    return true;
  }
}

/** Finds out a rolled-back store in its first life only. */
class AnyNextLife extends Voter {
  protected override isSuccessor(): boolean {
    return true;
  }

  protected override isMemoryOf(heard: VoterLife): boolean {
    return heard.boot >= this.life.boot && super.isMemoryOf(heard);
  }
}

class OlderGoesOn extends Voter {
  protected override isNewest(lease: number, counter: number): boolean {
    return counter <= this.maxCounters[lease]!;
  }
}

class OwnAgent extends Voter {
  protected override isOwn(holder: KnownSession, known: KnownSession): boolean {
    return holder.agent === known.agent;
  }
}

class NoLinger extends Voter {
  protected override lingerOf(): number {
    return 0;
  }
}
