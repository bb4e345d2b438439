import { Collector } from '../base/collector.ts';
import type { AgentIndex, DutyIndex, ThingIndex } from '../base/ids.ts';
import { unreachable } from '../base/invariant.ts';
import type { Location } from '../base/location.ts';
import type { Random } from '../base/random.ts';
import { after, type Instant, instant, never, type WallTime, wallTime } from '../base/time.ts';
import { AvailableDuties } from './duties/available-duties.ts';
import { maxCheckpointBytes } from './duties/checkpoint.ts';
import type { DutyOutput } from './duties/duty-output.ts';
import type { ExclusiveDuties, ExclusiveOutput, Fence } from './duties/exclusive-duties.ts';
import type { Effect } from './effect.ts';
import { Exclusive, type ExclusiveEffect } from './exclusive.ts';
import type { HealthDigest } from './health/digest.ts';
import { DigestExchange } from './health/digest-exchange.ts';
import { Health, type HealthOutput } from './health/health.ts';
import type { DirectMessage, Input, Restored } from './input.ts';
import type { CellObservation, LeaseView } from './leases/cell-leases.ts';
import type { HolderTime } from './leases/elapsed-clock.ts';
import { type HeldBy, Maintenance, type WindowState } from './maintenance.ts';
import { MajorityWatch } from './majority-watch.ts';
import type { MembershipMessage } from './membership/member.ts';
import { Membership, type MembershipOutput } from './membership/membership.ts';
import type { Voucher } from './membership/statements.ts';
import { Remediation } from './remediation/remediation.ts';
import type { RemediationOutput } from './remediation/remediation-output.ts';
import type { WorkflowSpec } from './remediation/workflow.ts';
import { type AlarmOutput, Alarms } from './reporting/alarms.ts';
import type { EventReport, ReportBody } from './reporting/report.ts';
import { cellMembers, type Identity, type SitePlan } from './site-plan.ts';
import { locationsOf } from './verdict/location.ts';
import { verdictOptions } from './verdict/options.ts';
import { describeEvidence, describeStatement, type Statement } from './verdict/statement.ts';
import { Verdict, type VerdictOutput } from './verdict/verdict.ts';

/**
 * What the step under way has said so far. Steps are synchronous and one at a time, so it need not stand in the core: a
 * new list in a long-lived object costs the collector a note for each of a thousand agents, at every step.
 */
let effects: Effect[] = [];
/** What membership says in the step under way, until it is looked at. */
const said = new Collector<MembershipOutput>();

type ProbeMessage = Extract<DirectMessage, { kind: 'ping' | 'ack' }>;
const isProbe = (message: DirectMessage): message is ProbeMessage => {
  const { kind } = message;
  return kind === 'ping' || kind === 'ack';
};

/** Inputs that reach some parts only, by methods that mark whose deadline may have changed. */
const marksItself: ReadonlySet<Input['kind']> = new Set([
  'ticked',
  'message-received',
  'digest-received',
  'peer-connected',
]);

/** A changed digest is published at most this often … */
const digestSpacingMs = 200;
/**
 * … and an unchanged one so seldom that an agent hears one of its cell's about this often, whatever the size of the cell:
 * who connects is told by the channel, and what gossip lost is found by comparing (health/digest-exchange.ts).
 */
const digestHeardEveryMs = 10_000;
const digestHeartbeatMinMs = 15_000;
/** A changed verdict is reported at most this often; what stands then is what counts. */
const verdictReportSpacingMs = 5_000;

export interface AgentCoreOptions {
  readonly plan: SitePlan;
  readonly identity: Identity;
  readonly random: Random;
  /** What the disk gave back; `freshStart` on the first day. */
  readonly restored: Restored;
  /** Signs what is said of members, and checks what others said. Without one everybody of the roster is believed. */
  readonly voucher?: Voucher | undefined;
}

export const freshStart: Restored = { incarnation: 0, journal: [], checkpoints: [], alarms: [] };

/**
 * One agent's whole judgement: `step(now, input) → effects`. It owns the parts, hands each input to the one that it
 * concerns, and lets what one part says reach the others (a dead member frees duties, a moved duty moves its checks,
 * a risen condition starts a workflow and an alarm). Values in, values out: no clock, no chance but the seed, no IO.
 *
 * Guaranteed: the same plan, identity, seed and inputs give the same effects. The returned array is valid until the
 * next step. The contract stands in README.md beside this file.
 */
export class AgentCore {
  // What every step touches stands first and together, see membership.ts.
  readonly membership: Membership;
  readonly verdict: Verdict;
  #othersStale = true;
  #verdictStale = true;
  #digestDirty = false;
  /** The plan has leases that concern this agent. */
  readonly #hasExclusive: boolean;
  /** Less than this is no lateness to anybody. */
  readonly #lateNoticedMs: number;
  /** The time of the step that is taken, on both clocks. Numbers in place: an object would be a new one for each step. */
  #now: Instant = instant(0);
  #restAt: Instant = never;
  #othersAt: Instant = never;
  #elapsed: Instant = instant(0);
  #localAt: Instant = never;
  #digestNext: Instant = never;
  #verdictReportAt: Instant = never;
  #localStale = true;
  readonly duties: AvailableDuties;
  readonly health: Health;
  /** Exclusive duties and their leases. */
  readonly exclusive: Exclusive;
  readonly remediation: Remediation;
  readonly alarms: Alarms;
  readonly plan: SitePlan;
  readonly identity: Identity;

  #wallOffset = 0;
  #coordinator: HealthDigest['coordinator'] = 'lost';
  readonly #digests: DigestExchange;
  /** Between two unchanged digests of ours, and where in it the first one falls (0 … 1). */
  readonly #heartbeatMs: number;
  readonly #phase: number;
  #heartbeatAt: Instant = never;
  /** As we last published it. */
  #ownDigest: HealthDigest | undefined;
  #digestSequence = 0;
  #digestLast: Instant = instant(Number.NEGATIVE_INFINITY);
  #verdictReported: Instant = instant(Number.NEGATIVE_INFINITY);
  #verdictText = '';
  #verdictAsChanged: readonly Statement[] = [];
  /** What this box cannot do right now (`duty-failed`), for the status view; bounded by the number of duties. */
  readonly #lastFailure = new Map<DutyIndex, string>();
  /** When a duty's too large checkpoint was last told of; bounded likewise. */
  readonly #refusalTold = new Map<DutyIndex, Instant>();
  readonly maintenance: Maintenance;
  readonly #majorities: MajorityWatch;

  constructor({ plan, identity, random, restored, voucher }: AgentCoreOptions) {
    this.plan = plan;
    this.identity = identity;
    this.maintenance = new Maintenance(plan);
    const cell = cellMembers(plan, identity.self);
    this.#heartbeatMs = Math.max(digestHeartbeatMinMs, digestHeardEveryMs * (cell.length - 1));
    this.#phase = random.fork('heartbeat').float();
    this.#digests = new DigestExchange({
      cell,
      self: identity.self,
      random: random.fork('digests'),
      held: (agent) => (agent === identity.self ? this.#ownDigest : this.health.digestOf(agent)),
    });
    const runsHere = (location: Location): boolean => this.runsHere(location);
    const wallAt = (at: Instant): WallTime => this.wallAt(at);
    this.membership = new Membership({
      options: plan.membership,
      self: identity.self,
      size: plan.agents.length,
      random: random.fork('membership'),
      boot: identity.boot,
      bootCounter: identity.bootCounter,
      incarnation: restored.incarnation,
      evidence: true,
      cell,
      voucher,
    });
    this.duties = new AvailableDuties({
      duties: plan.duties,
      options: plan.dutyOptions,
      self: identity.self,
      bootCounter: () => this.membership.bootCounterOf(identity.self),
      agents: plan.agents,
      random: random.fork('duties'),
      memberState: (member) => this.membership.state(member),
      checkpoints: restored.checkpoints,
      returns: restored.returns,
      alsoHeld: () => this.exclusive.duties.load,
    });
    this.exclusive = new Exclusive({
      plan,
      self: identity.self,
      boot: () => this.membership.bootCounterOf(identity.self),
      random: random.fork('exclusive'),
      restored: restored.leases ?? { records: new Map(), isStoreWhole: true },
      checkpoints: restored.checkpoints,
      memberState: (member) => this.membership.state(member),
      alsoHeld: () => this.duties.load,
      // A box whose disk was copied asks for nothing exclusive, and gives away what it has.
      isDraining: () => this.duties.draining || this.membership.isCloned,
    });
    const { leases, duties, permits } = this.exclusive;
    this.#hasExclusive = !(leases.isIdle && duties.isIdle && permits.isIdle);
    this.health = new Health({
      plan,
      self: identity.self,
      facts: {
        member: (member) => this.membership.state(member),
        held: (duty) => this.#held(duty),
        runsHere,
      },
    });
    this.remediation = new Remediation({
      workflows: plan.workflows,
      identity,
      restored: restored.journal,
      random: random.fork('remediation'),
      facts: {
        // What a dead switch explains is no reason to act on the ten hosts behind it.
        truth: (condition, now) =>
          this.health.causeOf(condition) === undefined ? this.health.truth(condition, now) : 'unknown',
        withheld: (workflow) => this.#withheld(workflow),
        times: (condition) => this.health.times(condition),
        evidence: (condition) => this.health.evidence(condition),
        inStates: (onlyIn, now) => this.health.inStates(onlyIn, now),
        lockout: (signal, now) => this.health.lockout(signal, now),
        flapping: (condition) => this.health.flapping(condition),
        runsHere: (location) => runsHere(location) && this.#mayActAt(location),
        wallAt,
        thing: (thing) => plan.things[thing]?.id ?? 'site',
        condition: (condition) => plan.conditions[condition]?.source ?? '',
        permit: (run, permit) => this.exclusive.permitDenial(this.#time, run, this.#permitName(permit)),
      },
    });
    this.alarms = new Alarms({
      alarms: plan.alarms,
      identity,
      restored: restored.alarms,
      facts: {
        truth: (condition) => this.health.truth(condition),
        times: (condition) => this.health.times(condition),
        evidence: (condition) => this.health.evidence(condition),
        runsHere,
        wallAt,
        term: (location) => this.#alarmTerm(location),
        thing: (thing) => plan.things[thing]?.id ?? 'site',
        cause: (condition) => this.health.causeOf(condition),
        maintenance: (thing) => this.maintenanceOf(thing)?.id,
      },
    });
    this.#majorities = new MajorityWatch({
      self: identity.self,
      state: (member) => this.membership.state(member),
      members: (id) => plan.cells.find((cell) => cell.id === id)?.members ?? [],
      name: (member) => this.#name(member),
    });
    this.#lateNoticedMs = plan.membership.probeIntervalMs / 4;
    const locations = locationsOf(plan);
    this.verdict = new Verdict({
      options: verdictOptions(plan.membership),
      self: identity.self,
      size: plan.agents.length,
      facts: {
        state: (member) => this.membership.state(member),
        bootOf: (member) => this.membership.bootCounterOf(member),
        aliveCount: () => this.membership.aliveCount,
        locationOf: (member) => locations[member] ?? '',
        hearsDigestsOf: (member) => this.#isOfOurCell(member),
      },
    });
  }

  /** When the core next wants `ticked`. */
  deadline(): Instant {
    const who = this.membership.deadline();
    const rest = this.#restDeadline();
    return who < rest ? who : rest;
  }

  /** Of all but membership, which alone moves its deadline all the time. */
  #restDeadline(): Instant {
    if (this.#othersStale || this.#verdictStale) {
      this.#restAt = instant(Math.min(this.verdict.deadline(), this.#othersDeadline()));
      this.#verdictStale = false;
    }
    return this.#restAt;
  }

  /** Of all but who lives, and what is the matter: most inputs reach none of these parts, and then nobody asks them. */
  #othersDeadline(): Instant {
    if (this.#othersStale) {
      const { duties, exclusive } = this;
      this.#othersAt = instant(
        Math.min(
          duties.deadline(),
          this.#hasExclusive ? exclusive.deadline() : never,
          this.#localDeadline(),
          this.#verdictReportAt,
          this.#digestNext,
        ),
      );
      this.#othersStale = false;
    }
    return this.#othersAt;
  }

  /** Of the parts that look at this box alone. They are asked again only after something reached one of them. */
  #localDeadline(): Instant {
    if (this.#localStale) {
      const { health, remediation, alarms, maintenance } = this;
      this.#localAt = instant(
        Math.min(health.deadline(), remediation.deadline(), alarms.deadline(), maintenance.deadline),
      );
      this.#localStale = false;
    }
    return this.#localAt;
  }

  runsHere(location: Location): boolean {
    switch (location.on) {
      case 'agent':
        return location.agent === this.identity.self;
      case 'holder':
        return this.mine(location.duty);
      case 'every':
        return true;
    }
  }

  /** Wall time of an instant, for people. */
  wallAt(at: Instant): WallTime {
    return wallTime(Math.round(at + this.#wallOffset));
  }

  get coordinator(): HealthDigest['coordinator'] {
    return this.#coordinator;
  }

  /** Why a duty last could not run on this box. */
  lastFailure(duty: DutyIndex): string | undefined {
    return this.#lastFailure.get(duty);
  }

  /** This agent carries the duty, available or exclusive. */
  mine(duty: DutyIndex): boolean {
    return this.duties.mine(duty) || this.exclusive.duties.mine(duty);
  }

  /** Who carries it, as far as this agent hears. */
  holder(duty: DutyIndex): AgentIndex | undefined {
    return this.#isExclusive(duty) ? this.exclusive.duties.holder(duty) : this.duties.holder(duty);
  }

  /** Counts the takeovers of a duty. */
  term(duty: DutyIndex): number {
    return this.#isExclusive(duty) ? this.exclusive.duties.term(duty) : this.duties.term(duty);
  }

  /**
   * To be asked in the same synchronous block as an effect of an exclusive duty, with clocks read there: the right to
   * send along, or undefined. Changes nothing.
   */
  mayAct(time: HolderTime, duty: DutyIndex): Fence | undefined {
    return this.exclusive.mayAct(time, duty);
  }

  /** How things stand with the lease of an exclusive duty, for people. */
  leaseView(time: HolderTime, duty: DutyIndex): LeaseView | undefined {
    return this.exclusive.view(time, duty);
  }

  #isExclusive(duty: DutyIndex): boolean {
    return this.plan.duties[duty]?.exclusive === true;
  }

  /** `elapsed`: the holder's clock, read together with `now`; without it the monotonic one has to do. */
  step(now: Instant, input: Input, elapsed: Instant = now): readonly Effect[] {
    effects = [];
    this.#now = now;
    if (this.#hasExclusive) this.#elapsed = elapsed;
    // Most steps are timers, pings and answers to them: apart from the rest, whose closures keep their arguments alive.
    if (input.kind === 'ticked') this.#tick(now, input.lateMs);
    else if (input.kind === 'message-received' && isProbe(input.message))
      this.#ofMembership(now, input.from, input.message);
    else {
      if (!marksItself.has(input.kind)) this.#othersStale = this.#verdictStale = true;
      this.#route(now, input);
    }
    if (this.#digestDirty) this.#scheduleDigest(now);
    return effects;
  }

  /** Who has nothing to do with leases needs no clock for them. */
  get #time(): HolderTime {
    return { elapsed: this.#hasExclusive ? this.#elapsed : this.#now, monotonic: this.#now };
  }

  #ofMembership(now: Instant, from: AgentIndex, message: MembershipMessage): void {
    said.begin();
    this.membership.message(now, from, message, said);
    this.#fromMembership(now, said.take());
  }

  #route(now: Instant, input: Input): void {
    switch (input.kind) {
      case 'started': {
        this.#wallOffset = input.wall - now;
        // Boxes that start together must not repeat themselves together for ever.
        this.#heartbeatAt = after(now, this.#phase * this.#heartbeatMs);
        const membership: MembershipOutput[] = [];
        this.membership.start(now, membership);
        this.#fromMembership(now, membership);
        const duties: DutyOutput[] = [];
        this.duties.start(now, duties);
        this.#fromDuties(now, duties);
        this.#exclusive(now, (time, out) => this.exclusive.start(time, out));
        this.#health(now, (out) => this.health.start(now, out));
        this.#remediation(now, (out) => this.remediation.start(now, out));
        this.#alarms((out) => this.alarms.start(now, out));
        this.#event('agent-started', this.#name(this.identity.self), 'notice', 'agent started', {
          boot: this.identity.boot,
          bootCounter: this.identity.bootCounter,
        });
        this.#digestDirty = true;
        return;
      }
      case 'clock-read':
        this.#wallOffset = input.wall - now;
        return;
      case 'ticked':
        return this.#tick(now, input.lateMs);
      case 'message-received': {
        const { from, message } = input;
        switch (message.kind) {
          case 'checkpoint':
          case 'handover':
            if (this.#isExclusive(message.checkpoint.duty)) {
              return this.#exclusiveDuties(now, (duties, out) => duties.message(now, from, message, out));
            }
            return this.#duties(now, (out) => this.duties.message(now, from, message, out));
          case 'handover-taken':
            if (this.#isExclusive(message.duty)) {
              return this.#exclusiveDuties(now, (duties, out) => duties.message(now, from, message, out));
            }
            return this.#duties(now, (out) => this.duties.message(now, from, message, out));
          case 'claim':
            return this.#duties(now, (out) => this.duties.message(now, from, message, out));
          case 'lease-request':
          case 'lease-answer':
          case 'lease-need-full':
          case 'lease-freed':
          case 'voter-recall':
          case 'voter-recalled':
          case 'lease-seal':
          case 'lease-sealed':
          case 'lease-epoch':
          case 'lease-epoch-wanted':
          case 'lease-floors-wanted':
          case 'lease-floors':
          case 'lease-forced': {
            const { connection = 1 } = input;
            return this.#exclusive(now, (time, out) => this.exclusive.message(time, from, connection, message, out));
          }
          case 'digest-buckets':
          case 'digest-versions':
          case 'digest-wants':
            if (this.#isOfOurCell(from)) this.#digests.message(now, from, message, effects);
            return;
          default: {
            if (message.kind === 'sync' && message.digests !== undefined && this.#isOfOurCell(from)) {
              this.#digests.compared(now, from, message.digests, effects);
            }
            this.#ofMembership(now, from, message);
            if (message.kind === 'ping-request') {
              this.#verdict(now, (wishes) => this.#toJudge.helpAsked(now, from, message.target, wishes));
            }
            return;
          }
        }
      }
      case 'digest-received':
        this.#digests.changed();
        this.#verdict(now, (out) =>
          this.#toJudge.peerCoordinator(now, input.digest.agent, input.digest.coordinator, out),
        );
        this.#exclusiveDuties(now, (duties, out) => duties.digest(input.digest.agent, input.digest.duties, out));
        return this.#digestReceived(now, input.digest);
      case 'peer-connected':
        this.#toJudge.connected(now, input.peer);
        return this.#membership(now, (out) => this.membership.connected(now, input.peer, out));
      case 'peer-disconnected':
        this.exclusive.duties.outOfReach(input.peer);
        return this.#membership(now, (out) => this.membership.disconnected(now, input.peer, out));
      case 'check-observed':
        return this.#health(now, (out) => this.health.checkObserved(now, input.check, input.observation, out));
      case 'maintenance-changed':
        return this.#maintenanceChanged(now, input.window, input.state);
      case 'maintenance-ordered':
        return this.#maintenanceOrdered(now, input);
      case 'budget-judged':
        return this.#health(now, (out) => this.health.budgetJudged(now, input.level, input.why, out));
      case 'sample-received':
        return this.#health(now, (out) => this.health.sample(now, input.sample, out));
      case 'source-lost':
      case 'source-found': {
        const duty = this.plan.duties[input.duty];
        this.#event(
          input.kind,
          duty?.id ?? String(input.duty),
          input.kind === 'source-lost' ? 'warning' : 'info',
          input.reason,
          {},
        );
        return;
      }
      case 'score-computed':
        return this.#health(now, (out) =>
          this.health.scoreComputed(now, input.model, input.score, input.windowEnd, out),
        );
      case 'model-refused': {
        const model = this.plan.models[input.model];
        this.#event('model-refused', model?.id ?? String(input.model), 'error', input.reason, {});
        return this.#health(now, (out) => this.health.modelRefused(now, input.model, input.reason, out));
      }
      case 'duty-started':
        this.#lastFailure.delete(input.duty);
        if (this.#isExclusive(input.duty)) return this.exclusive.duties.started(now, input.duty);
        return this.#duties(now, (out) => this.duties.started(now, input.duty, out));
      case 'duty-stopped':
        if (this.#isExclusive(input.duty)) {
          return this.#exclusiveDuties(now, (duties, out) => duties.stopped(now, input.duty, out));
        }
        return this.#duties(now, (out) => this.duties.stopped(now, input.duty, out));
      case 'duty-failed':
        this.#lastFailure.set(input.duty, input.reason);
        this.#event('duty-failed', this.#dutyName(input.duty), 'warning', input.reason, {});
        if (this.#isExclusive(input.duty)) {
          return this.#exclusiveDuties(now, (duties, out) => duties.failed(now, input.duty, input.reason, out));
        }
        return this.#duties(now, (out) => this.duties.failed(now, input.duty, input.reason, out));
      case 'checkpoint-taken':
        if (this.#isExclusive(input.duty)) {
          const { duty, data } = input;
          const wall = this.wallAt(now);
          return this.#exclusiveDuties(now, (duties, out) => duties.checkpointTaken(now, duty, data, wall, out));
        }
        return this.#duties(now, (out) =>
          this.duties.checkpointTaken(now, input.duty, input.data, this.wallAt(now), out),
        );
      case 'schedule-due':
        return this.#remediation(now, (out) => this.remediation.scheduleDue(now, input.workflow, input.slot, out));
      case 'session-opened': {
        const { cell, epoch, id } = input;
        return this.#exclusive(now, (time, out) => this.exclusive.sessionOpened(time, cell, epoch, id, out));
      }
      case 'epochs-accepted': {
        const { cells } = input;
        return this.#exclusive(now, (time, out) => {
          for (const { cell, epoch } of cells) this.exclusive.epochAccepted(time, cell, epoch, out);
        });
      }
      case 'epoch-forced': {
        const { message } = input;
        const { self } = this.identity;
        return this.#exclusive(now, (time, out) => this.exclusive.message(time, self, 1, message, out));
      }
      case 'session-died':
        return this.#exclusive(now, (time, out) => this.exclusive.sessionDied(time, input.session, out));
      case 'leases-persisted':
        return this.#exclusive(now, (time, out) => this.exclusive.persisted(time, input.token, out));
      case 'leases-persist-failed':
        this.#event('store-refused', this.#name(this.identity.self), 'error', input.reason, {});
        return this.#exclusive(now, (time, out) => this.exclusive.persistFailed(time, input.token, out));
      case 'persisted':
        return this.#remediation(now, (out) => this.remediation.persisted(now, input.token, out));
      case 'persist-failed':
        this.#event('store-refused', this.#name(this.identity.self), 'error', input.reason, {});
        return this.#remediation(now, (out) => this.remediation.persistFailed(now, input.token, input.reason, out));
      case 'action-completed':
        return this.#remediation(now, (out) => this.remediation.actionCompleted(now, input, out));
      case 'action-probed':
        return this.#remediation(now, (out) => this.remediation.actionProbed(now, input, out));
      case 'baseline-read':
        return this.#remediation(now, (out) => this.remediation.baselineRead(now, input, out));
      case 'workflow-ordered':
        return this.#remediation(now, (out) => this.remediation.ordered(now, input.workflow, input.by, out));
      case 'stop-ordered':
        return this.#remediation(now, (out) => this.remediation.stopOrdered(now, input.run, input.by, out));
      case 'coordinator-changed':
        this.#toJudge.coordinatorChanged(now, input.state);
        if (input.state !== this.#coordinator) {
          this.#coordinator = input.state;
          this.#digestDirty = true;
          // It may have been restored from yesterday: say once more what stands.
          if (input.state === 'connected') for (const body of this.alarms.republish()) this.#report('alarm', body);
        }
        return;
      case 'intruder-refused':
        this.#event('intruder-refused', input.peer, 'warning', intruderText[input.reason], {
          reason: input.reason,
          count: input.count,
        });
        return;
      case 'drain-ordered':
        // Begun or ended, by order or by its time, it concerns the exclusive ones too.
        return this.#duties(now, (out) => this.duties.drain(now, input.until, out));
      case 'leave-ordered':
        this.#duties(now, (out) => this.duties.leave(now, out));
        this.#exclusiveDuties(now, (duties, out) => duties.leave(now, out));
        return this.#membership(now, (out) => this.membership.leave(now, out));
      default:
        unreachable(input);
    }
  }

  #tick(now: Instant, lateMs: number): void {
    if (lateMs > this.#lateNoticedMs) this.#toJudge.late(now, lateMs);
    // Membership first: who is dead decides what the others do in this very step.
    if (this.membership.deadline() <= now) {
      said.begin();
      this.membership.tick(now, lateMs, said);
      this.#fromMembership(now, said.take());
    }
    if (this.#restDeadline() > now) return;
    if (this.#othersDeadline() <= now) this.#tickOthers(now);
    if (this.verdict.deadline() <= now) this.#judge(now);
    if (this.#verdictReportAt <= now) this.#reportVerdict(now);
    if (this.#digestNext <= now) this.#publishDigest(now);
  }

  #judge(now: Instant): void {
    this.#verdict(now, (out) => this.#toJudge.tick(now, out));
  }

  #tickOthers(now: Instant): void {
    if (this.#hasExclusive && this.exclusive.deadline() <= now)
      this.#exclusive(now, (time, out) => this.exclusive.tick(time, out));
    if (this.duties.deadline() <= now) this.#duties(now, (out) => this.duties.tick(now, out));
    if (this.#localDeadline() > now) return;
    if (this.maintenance.deadline <= now) this.#maintenanceOver(now);
    if (this.health.deadline() <= now) this.#health(now, (out) => this.health.tick(now, out));
    if (this.remediation.deadline() <= now) this.#remediation(now, (out) => this.remediation.tick(now, out));
    if (this.alarms.deadline() <= now) this.#alarms((out) => this.alarms.tick(now, out));
  }

  /** The verdict, to tell it something: its deadline is asked for anew. */
  get #toJudge(): Verdict {
    this.#verdictStale = true;
    return this.verdict;
  }

  // -- one method per part: run it, then let its outputs reach the world and the other parts -----------------------

  #membership(now: Instant, run: (out: MembershipOutput[]) => void): void {
    const out: MembershipOutput[] = [];
    run(out);
    if (out.length > 0) this.#fromMembership(now, out);
  }

  #duties(now: Instant, run: (out: DutyOutput[]) => void): void {
    const out: DutyOutput[] = [];
    run(out);
    this.#othersStale = true;
    if (out.length > 0) this.#fromDuties(now, out);
  }

  #exclusive(now: Instant, run: (time: HolderTime, out: ExclusiveEffect[]) => void): void {
    const out: ExclusiveEffect[] = [];
    run(this.#time, out);
    this.#othersStale = true;
    if (out.length > 0) this.#fromExclusive(now, out);
  }

  #exclusiveDuties(now: Instant, run: (duties: ExclusiveDuties, out: ExclusiveOutput[]) => void): void {
    if (!this.#hasExclusive || this.exclusive.duties.isIdle) return;
    this.#exclusive(now, (time, out) => this.exclusive.onDuties(time, out, run));
  }

  #health(now: Instant, run: (out: HealthOutput[]) => void): void {
    const out: HealthOutput[] = [];
    run(out);
    this.#localStale = true;
    this.#othersStale = true;
    if (out.length > 0) this.#fromHealth(now, out);
  }

  /** Most say what they said before: nothing of ours follows from it. */
  #digestReceived(now: Instant, digest: HealthDigest): void {
    const out: HealthOutput[] = [];
    if (!this.health.digestReceived(now, digest, out)) return;
    this.#localStale = true;
    this.#othersStale = true;
    if (out.length > 0) this.#fromHealth(now, out);
  }

  #remediation(now: Instant, run: (out: RemediationOutput[]) => void): void {
    const out: RemediationOutput[] = [];
    run(out);
    this.#localStale = true;
    this.#othersStale = true;
    if (out.length > 0) this.#fromRemediation(now, out);
    if (!this.exclusive.permits.isIdle) this.#syncPermits(now);
  }

  /** Work that goes with an exclusive duty is done only while its right is valid at this very moment. */
  #mayActAt(location: Location): boolean {
    if (location.on !== 'holder' || !this.#isExclusive(location.duty)) return true;
    return this.exclusive.mayAct(this.#time, location.duty) !== undefined;
  }

  /** Under which right a run acts: its permit's, or that of the exclusive duty that it belongs to. */
  #rightOf(run: string): Fence | undefined {
    const spec = this.remediation.workflowOf(run);
    if (spec === undefined) return undefined;
    if (spec.permit !== undefined) return this.exclusive.permitOf(this.#time, run);
    return spec.runsOn.on === 'holder' ? this.exclusive.mayAct(this.#time, spec.runsOn.duty) : undefined;
  }

  #syncPermits(now: Instant): void {
    const needs = this.remediation.permitNeeds().map(({ run, permit }) => ({ run, permit: this.#permitName(permit) }));
    const inDoubt = (run: string) => this.remediation.inDoubt(run);
    this.#exclusive(now, (time, out) => this.exclusive.syncPermits(time, needs, inDoubt, out));
  }

  #permitName({ cell, name }: { readonly cell: number; readonly name: string }): string {
    return `${this.plan.cells[cell]?.id ?? ''}/${name}`;
  }

  #verdict(now: Instant, run: (out: VerdictOutput[]) => void): void {
    const out: VerdictOutput[] = [];
    run(out);
    for (const output of out) {
      switch (output.kind) {
        case 'verdict-changed':
          effects.push({
            kind: 'observe',
            observation: { kind: 'verdict-changed', statements: output.statements },
          });
          this.#verdictAsChanged = output.statements;
          this.#verdictReportAt = instant(Math.max(now, this.#verdictReported + verdictReportSpacingMs));
          this.#othersStale = true;
          if (this.#verdictReportAt <= now) this.#reportVerdict(now);
          break;
        case 'probe-wanted':
          this.#membership(now, (sends) => this.membership.look(now, output.target, sends));
          break;
        case 'uplink-check-wanted':
          effects.push({ kind: 'check-uplink' });
          break;
        default:
          unreachable(output);
      }
    }
  }

  #alarms(run: (out: AlarmOutput[]) => void): void {
    const out: AlarmOutput[] = [];
    run(out);
    this.#localStale = true;
    this.#othersStale = true;
    if (out.length > 0) this.#fromAlarms(out);
  }

  #fromMembership(now: Instant, outputs: readonly MembershipOutput[]): void {
    // A ping or its answer, and nothing else: handed on as it is.
    if (outputs.length === 1 && effects.length === 0) {
      const only = outputs[0]!;
      if (only.kind === 'send' && only.message.kind !== 'sync') {
        effects = outputs as Effect[];
        return;
      }
    }
    for (const output of outputs) {
      switch (output.kind) {
        case 'send':
          if (output.message.kind === 'sync' && this.#isOfOurCell(output.to)) {
            const message = { ...output.message, digests: this.#digests.hash };
            effects.push({ kind: 'send', to: output.to, message });
          } else effects.push(output);
          break;
        case 'incarnation-raised':
          // A digest of a former life counts for less than what the others may hold of it.
          if (output.bootCounter !== this.#ownDigest?.bootCounter) this.#digestDirty = true;
          effects.push({
            kind: 'save-incarnation',
            bootCounter: output.bootCounter,
            incarnation: output.incarnation,
          });
          break;
        case 'message-rejected':
          effects.push({
            kind: 'observe',
            observation: { kind: 'message-rejected', from: output.from, why: output.why },
          });
          break;
        case 'member-changed': {
          const { member, from, to, incarnation, why } = output;
          effects.push({
            kind: 'observe',
            observation: { kind: 'member-changed', member, from, to, incarnation, why },
          });
          if (to !== 'suspect' && !(from === 'suspect' && to === 'alive')) {
            this.#event(`member-${to}`, this.#name(member), to === 'dead' ? 'warning' : 'info', why, { from });
          }
          this.#toJudge.memberChanged(now, member, to);
          this.#duties(now, (out) => this.duties.memberChanged(now, member, to, out));
          this.#exclusiveDuties(now, (duties, out) => duties.memberChanged(now, member, to, out));
          this.#health(now, (out) => this.health.membersChanged(now, member, out));
          this.#watchPartners();
          this.#watchMajorities();
          break;
        }
        case 'clone-proven': {
          const [one, other] = output.boots;
          const text = `two processes live under this key: boots ${one.high} and ${other.high}`;
          this.#event('clone-proven', this.#name(output.member), 'error', text, {});
          if (output.member === this.identity.self) {
            this.#exclusiveDuties(now, (duties, exclusive) => duties.reconsider(now, exclusive));
          }
          break;
        }
        case 'relay-failed':
          this.#toJudge.relayFailed(now, output.target);
          break;
        case 'probe-ended':
          this.#toJudge.probeEnded(now, output);
          break;
        default:
          unreachable(output);
      }
    }
  }

  #watchMajorities(): void {
    if (!this.#hasExclusive) return;
    for (const { name, subject, severity, text, detail } of this.#majorities.look(this.exclusive.leases.cells)) {
      this.#event(name, subject, severity, text, detail);
    }
  }

  /** Under presets that are in a hurry, the holder of an exclusive duty and the next in rank watch each other closely. */
  #watchPartners(): void {
    if (this.plan.membership.watchIntervalMs === 0) return;
    const { self } = this.identity;
    const partners: AgentIndex[] = [];
    for (let duty = 0; duty < this.plan.duties.length; duty++) {
      if (!this.#isExclusive(duty)) continue;
      const holder = this.exclusive.duties.holder(duty);
      if (holder === undefined) continue;
      const ranked = this.exclusive.duties.explain(duty);
      const next = ranked.find(({ agent, rank }) => agent !== holder && rank !== undefined)?.agent;
      if (holder === self && next !== undefined) partners.push(next);
      if (next === self) partners.push(holder);
    }
    this.membership.watchClosely(partners);
  }

  #fromDuties(now: Instant, outputs: readonly DutyOutput[]): void {
    let moved = false;
    for (const output of outputs) {
      switch (output.kind) {
        case 'send':
          effects.push(output);
          break;
        case 'save-checkpoint':
          effects.push({ kind: 'save-checkpoint', checkpoint: output.checkpoint });
          break;
        case 'start-duty':
          effects.push({
            kind: 'start-duty',
            duty: output.duty,
            term: output.term,
            checkpoint: output.checkpoint,
          });
          break;
        case 'stop-duty':
          effects.push({ kind: 'stop-duty', duty: output.duty, reason: output.reason });
          break;
        case 'duty-taken':
          moved = true;
          effects.push({
            kind: 'observe',
            observation: { kind: 'duty-taken', duty: output.duty, term: output.term, why: output.why },
          });
          this.#event('duty-taken', this.#dutyName(output.duty), 'info', output.why, { term: output.term });
          break;
        case 'duty-released':
          moved = true;
          effects.push({
            kind: 'observe',
            observation: { kind: 'duty-released', duty: output.duty, why: output.why },
          });
          this.#event('duty-released', this.#dutyName(output.duty), 'info', output.why, {});
          break;
        case 'holder-changed':
        case 'term-raised':
          moved = true;
          break;
        case 'checkpoint-refused':
          this.#checkpointRefused(now, output.duty, output.bytes);
          break;
        case 'drain-began':
        case 'drain-ended': {
          const text = output.kind === 'drain-began' ? 'gives its duties away and takes none' : 'takes duties again';
          this.#event(output.kind, this.#name(this.identity.self), 'notice', text, {});
          this.#exclusiveDuties(now, (duties, exclusive) => duties.reconsider(now, exclusive));
          break;
        }
        default:
          unreachable(output);
      }
    }
    if (moved) {
      this.#watchPartners();
      this.#digestDirty = true;
      this.#health(now, (out) => this.health.locationsChanged(now, out));
      this.#remediation(now, (out) => this.remediation.locationsChanged(now, out));
      this.#alarms((out) => this.alarms.locationsChanged(now, out));
    }
  }

  #fromExclusive(now: Instant, outputs: readonly ExclusiveEffect[]): void {
    const common: DutyOutput[] = [];
    for (const output of outputs) {
      switch (output.kind) {
        case 'send-lease':
          effects.push({ kind: 'send', to: output.to, message: output.message });
          break;
        case 'persist-leases':
        case 'raise-floors':
        case 'open-session':
        case 'start-duty':
        case 'extend-duty':
        case 'stop-duty':
          effects.push(output);
          break;
        case 'permit-changed':
          this.#remediation(now, (out) => this.remediation.permitsChanged(now, out));
          break;
        case 'cell-observed': {
          const { cell, what } = output;
          effects.push({ kind: 'observe', observation: { kind: 'cell-observed', cell, what } });
          const told = cellText[what];
          if (told) this.#event(`leases-${what}`, cell, told[0], told[1], {});
          if (what === 'activated' || what === 'forced') this.#watchMajorities();
          break;
        }
        case 'agent-died':
          this.#toJudge.proven(now, output.agent, output.boot);
          break;
        default:
          common.push(output);
      }
    }
    if (common.length > 0) this.#fromDuties(now, common);
  }

  /** It happens with every progress of such a duty: said once a minute. */
  #checkpointRefused(now: Instant, duty: DutyIndex, bytes: number): void {
    const told = this.#refusalTold.get(duty);
    if (told !== undefined && now - told < 60_000) return;
    this.#refusalTold.set(duty, now);
    const text = `a checkpoint of ${bytes} bytes was refused, at most ${maxCheckpointBytes} are kept: a successor starts from the last one that fitted`;
    this.#event('checkpoint-refused', this.#dutyName(duty), 'error', text, { bytes });
  }

  #fromHealth(now: Instant, outputs: readonly HealthOutput[]): void {
    let caused = false;
    for (const output of outputs) {
      switch (output.kind) {
        case 'run-check':
          effects.push({ kind: 'run-check', check: output.check });
          break;
        case 'check-changed': {
          const spec = this.plan.checks[output.check];
          if (spec === undefined) break;
          effects.push({
            kind: 'observe',
            observation: { kind: 'check-changed', check: output.check, from: output.from, to: output.to },
          });
          const unit = spec.source.kind === 'signal' ? this.plan.signals[spec.source.signal]?.unit : undefined;
          this.#report('event', {
            type: 'check',
            check: spec.id,
            thing: this.plan.things[spec.thing]?.id ?? 'site',
            status: output.to,
            was: output.from,
            flapping: output.flapping,
            value: output.value,
            unit,
            text: output.text,
          });
          this.#digestDirty = true;
          break;
        }
        case 'condition-changed':
          this.#remediation(now, (out) => this.remediation.conditionChanged(now, output.condition, output.truth, out));
          this.#alarms((out) => this.alarms.conditionChanged(now, output.condition, output.truth, out));
          break;
        case 'anomaly-changed': {
          const spec = this.plan.models[output.model];
          effects.push({
            kind: 'observe',
            observation: { kind: 'anomaly-changed', model: output.model, anomalous: output.anomalous },
          });
          this.#event(
            output.anomalous ? 'anomaly-risen' : 'anomaly-gone',
            spec?.id ?? String(output.model),
            'info',
            output.text,
            { score: output.score },
          );
          this.#digestDirty = true;
          break;
        }
        case 'causes-changed':
          caused = true;
          break;
        case 'shedding-changed': {
          const { level, slowed, paused, resting, text } = output;
          const severity = level === 0 ? 'notice' : 'warning';
          this.#event('shedding-changed', this.#name(this.identity.self), severity, text, {
            level,
            slowed,
            paused,
            resting,
          });
          break;
        }
        case 'digest-changed':
          this.#digestDirty = true;
          break;
        default:
          unreachable(output);
      }
    }
    if (!caused) return;
    this.#remediation(now, (out) => this.remediation.conditionsMoved(now, out));
    this.#alarms((out) => this.alarms.review(now, out));
  }

  // -- maintenance and causes ----------------------------------------------------------------------------------------

  /** The maintenance that a thing is in, as far as this box can tell the time. */
  maintenanceOf(thing: ThingIndex): HeldBy | undefined {
    return this.maintenance.of(thing);
  }

  #withheld(workflow: WorkflowSpec): { readonly guard: 'maintenance' | 'cause'; readonly reason: string } | undefined {
    const reason = this.maintenance.withheld(workflow.thing);
    if (reason !== undefined) return { guard: 'maintenance', reason };
    const cause = this.health.behind(workflow.thing, workflow.runsOn);
    if (cause === undefined) return undefined;
    return { guard: 'cause', reason: `behind ${this.plan.things[cause]?.id ?? cause}, which is down` };
  }

  #maintenanceChanged(now: Instant, window: number, state: WindowState): void {
    const spec = this.plan.maintenance?.[window];
    const was = this.maintenance.windowChanged(window, state);
    if (spec === undefined || was === undefined) return;
    if (state === 'on' || was === 'on') {
      const names = spec.things.map((thing) => this.plan.things[thing]?.id ?? '').join(', ');
      const text =
        state === 'on'
          ? `${names}: alarms are held back and nothing is repaired (${spec.why})`
          : state === 'off'
            ? `${names}: alarms are called and repairs allowed again`
            : `${names}: the clock is doubtful, so alarms are called and repairs still denied`;
      this.#event(state === 'on' ? 'maintenance-began' : 'maintenance-ended', spec.id, 'notice', text, { at: spec.at });
    }
    this.#maintenanceMoved(now);
  }

  #maintenanceOrdered(now: Instant, input: Extract<Input, { kind: 'maintenance-ordered' }>): void {
    const { kind: _, again, until, ...order } = input;
    const name = this.plan.things[order.thing]?.id ?? '';
    if (until === undefined || until <= now) {
      const ended = this.maintenance.end(order.thing);
      if (ended === undefined) return;
      const text = `${name}: alarms are called and repairs allowed again (ended by ${order.by})`;
      this.#event('maintenance-ended', name, 'notice', text, { by: order.by, order: order.order });
    } else {
      this.maintenance.begin({ ...order, until });
      const text = `${name}: alarms are held back and nothing is repaired (${order.by}: ${order.why})`;
      const detail = { by: order.by, why: order.why, order: order.order, until: this.wallAt(until) };
      if (again !== true) this.#event('maintenance-began', name, 'notice', text, detail);
    }
    this.#maintenanceMoved(now);
  }

  /** What people ordered ends by itself. */
  #maintenanceOver(now: Instant): void {
    for (const { thing, by, order } of this.maintenance.tick(now)) {
      const name = this.plan.things[thing]?.id ?? '';
      const text = `${name}: alarms are called and repairs allowed again (the time that ${by} named is over)`;
      this.#event('maintenance-ended', name, 'notice', text, { by, order });
    }
    this.#maintenanceMoved(now);
  }

  #maintenanceMoved(now: Instant): void {
    this.#localStale = true;
    this.#remediation(now, (out) => this.remediation.conditionsMoved(now, out));
    this.#alarms((out) => this.alarms.review(now, out));
  }

  #fromRemediation(now: Instant, outputs: readonly RemediationOutput[]): void {
    for (const output of outputs) {
      switch (output.kind) {
        case 'persist':
          effects.push({
            kind: 'persist',
            token: output.token,
            entries: output.drafts.map((draft) => ({
              ...draft,
              v: 1 as const,
              boot: this.identity.boot,
              wall: this.wallAt(draft.at),
            })),
          });
          break;
        case 'issue-action':
          effects.push({ ...output, fence: this.#rightOf(output.run) });
          break;
        case 'read-baseline':
        case 'probe-action':
        case 'cancel-action':
          effects.push(output);
          break;
        case 'run-report':
        case 'incident':
        case 'event':
          this.#report('event', output.body);
          break;
        case 'raise-alarm':
          this.#alarms((out) => this.alarms.raise(now, output.alarm, output.why, out));
          break;
        case 'clear-alarm':
          this.#alarms((out) => this.alarms.clear(now, output.alarm, out));
          break;
        default:
          unreachable(output);
      }
    }
  }

  #fromAlarms(outputs: readonly AlarmOutput[]): void {
    for (const output of outputs) {
      switch (output.kind) {
        case 'alarm-changed':
          effects.push({ kind: 'set-local-alarm', alarm: output.local });
          this.#report('alarm', output.transition);
          break;
        case 'run-hook':
          effects.push(output);
          break;
        default:
          unreachable(output);
      }
    }
  }

  // -- facts ---------------------------------------------------------------------------------------------------

  #held(duty: DutyIndex): 'true' | 'false' | 'unknown' {
    if (this.mine(duty)) return 'true';
    const holder = this.holder(duty);
    if (holder === undefined) return 'false';
    const state = this.membership.state(holder);
    return state === 'alive' ? 'true' : state === 'suspect' || state === 'unknown' ? 'unknown' : 'false';
  }

  /** What orders the registers of an alarm's reporters. */
  #alarmTerm(location: Location): number {
    switch (location.on) {
      case 'holder':
        return this.term(location.duty);
      case 'agent':
        // The count of lives is the one number of this box that never falls, whatever was cleared in between.
        return this.identity.bootCounter;
      case 'every':
        // Everybody is asked and none outranks another: it stands as long as one of them says so.
        return 1;
    }
  }

  #isOfOurCell(member: AgentIndex): boolean {
    return this.plan.agents[member]?.cell === this.plan.agents[this.identity.self]?.cell;
  }

  #name(member: AgentIndex): string {
    return this.plan.agents[member]?.id ?? `agent ${member}`;
  }

  #dutyName(duty: DutyIndex): string {
    return this.plan.duties[duty]?.id ?? `duty ${duty}`;
  }

  // -- reports and digests ---------------------------------------------------------------------------------------

  #report(reportClass: 'alarm' | 'event' | 'telemetry', body: ReportBody): void {
    effects.push({ kind: 'report', report: { class: reportClass, body } });
  }

  #event(
    name: string,
    subject: string,
    severity: EventReport['severity'],
    text: string,
    detail: EventReport['detail'],
  ): void {
    this.#report('event', { type: 'event', name, subject, severity, text, detail });
  }

  /** What stands in the verdict, with the evidence of the moment when the set of statements last changed. */
  get verdictAsChanged(): readonly Statement[] {
    return this.#verdictAsChanged;
  }

  /** What stands in the verdict, in words. */
  describeVerdict(
    statements: readonly Statement[] = this.verdict.statements,
  ): readonly { readonly statement: Statement; readonly text: string; readonly evidence: string[] }[] {
    const name = (member: AgentIndex) => this.#name(member);
    return statements.map((statement) => ({
      statement,
      text: describeStatement(statement, name),
      evidence: statement.evidence.map((item) => describeEvidence(item, name)),
    }));
  }

  #reportVerdict(now: Instant): void {
    this.#verdictReportAt = never;
    this.#othersStale = true;
    const described = this.describeVerdict();
    const text = described.map((item) => item.text).join('; ') || 'nothing is the matter any more';
    // It came and went within the spacing.
    if (text === this.#verdictText || (described.length === 0 && this.#verdictText === '')) return;
    this.#verdictText = described.length === 0 ? '' : text;
    this.#verdictReported = now;
    this.#event(
      'verdict-changed',
      this.#name(this.identity.self),
      described.length === 0 ? 'info' : 'notice',
      text.slice(0, 4_096),
      {
        evidence: described
          .flatMap((item) => item.evidence)
          .join('; ')
          .slice(0, 4_096),
      },
    );
  }

  #scheduleDigest(now: Instant): void {
    this.#digestDirty = false;
    this.#othersStale = true;
    const earliest = instant(Math.max(now, this.#digestLast + digestSpacingMs));
    if (earliest <= now) this.#publishDigest(now);
    else this.#digestNext = instant(Math.min(this.#digestNext, earliest));
  }

  #publishDigest(now: Instant): void {
    this.#digestSequence++;
    this.#othersStale = true;
    this.#digestLast = now;
    while (this.#heartbeatAt <= now) this.#heartbeatAt = after(this.#heartbeatAt, this.#heartbeatMs);
    this.#digestNext = this.#heartbeatAt;
    const health = this.health.digest();
    const duties = this.plan.duties
      .filter((duty) => this.mine(duty.index))
      .map((duty) => ({ duty: duty.index, term: this.term(duty.index) }));
    this.membership.setDigestVersion(this.#digestSequence);
    this.#ownDigest = {
      agent: this.identity.self,
      bootCounter: this.membership.bootCounterOf(this.identity.self),
      sequence: this.#digestSequence,
      checks: health.checks,
      judges: health.judges,
      anomalous: health.anomalous,
      duties,
      localHealth: this.membership.localHealth,
      coordinator: this.#coordinator,
    };
    this.#digests.changed();
    effects.push({ kind: 'publish', digest: this.#ownDigest });
  }
}

/** What of a cell's leases a person should hear of, and how much it matters. */
const cellText: Partial<Record<CellObservation, readonly [EventReport['severity'], string]>> = {
  unborn: ['warning', 'this voter lost its memory: it reads the others before it votes again'],
  stranded: [
    'error',
    'this voter lost its memory, and too few others of its cell remember anything: nothing exclusive runs. Bring the others back; are they gone for good, or is their memory, a person must force the next epoch: millwright site force-epoch --help',
  ],
  forced: ['warning', 'the next epoch has begun by force, because a majority of the former voters was gone'],
  born: ['notice', 'this voter has read the memory of a majority, and votes again'],
  failed: ['error', "this voter's store refuses: it votes no more until the agent is started anew"],
  poisoned: ['error', 'two processes speak for one session: it may only expire'],
  activated: ['notice', 'the next epoch has begun'],
  conflict: [
    'error',
    'the site file changes exclusive duties, voters or times without a new epoch: sign it as a bundle',
  ],
  'epoch-mismatch': ['error', 'the site file is not of the epoch that is spoken here: fetch the bundles in between'],
  'bundle-wanted': ['notice', 'the epoch goes on with a site bundle that is not here yet'],
};

const intruderText = {
  'wrong-mesh-key': 'a stranger without the mesh key knocked and was refused',
  'not-on-list': 'a peer with the mesh key but not on the signed list was refused',
  garbage: 'a peer sent what no agent of this site sends; it was dropped',
} as const;
