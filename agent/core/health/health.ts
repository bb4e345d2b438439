import { hash53 } from '../../base/hash.ts';
import type {
  AgentIndex,
  CheckIndex,
  ConditionIndex,
  DutyIndex,
  ModelIndex,
  SignalIndex,
  ThingIndex,
} from '../../base/ids.ts';
import type { Location, OnlyIn } from '../../base/location.ts';
import { after, type Instant, instant, never, type WallTime } from '../../base/time.ts';
import { type Truth, truthOf } from '../../base/truth.ts';
import { AnomalyState } from './anomaly-state.ts';
import { Causes, type CausingThing } from './causes.ts';
import type { CheckObservation, CheckSpec, CheckStatus } from './check.ts';
import { CheckSchedule } from './check-schedule.ts';
import { CheckState, type ShownStatus } from './check-state.ts';
import type { ConditionSpec, TruthTree } from './condition.ts';
import {
  type Dependencies,
  dependencies,
  evaluateTruth,
  explain,
  type Facts,
  type Names,
} from './condition-evaluator.ts';
import { Dependants } from './dependants.ts';
import type { HealthDigest } from './digest.ts';
import { DigestView } from './digest-view.ts';
import type { Forecast, ModelSpec, Score } from './model.ts';
import {
  factorOf,
  type ModelRest,
  restOf,
  restText,
  type SheddingLevel,
  sheddingOrder,
  usedModels,
  type Worth,
  worthOf,
} from './shedding.ts';
import type { Sample, SignalSpec } from './signal.ts';
import { SignalState } from './signal-state.ts';

/** A probe that has not answered for this long after its time-out is held for lost, and asked again. */
const probeLostMs = 5_000;
/** Conditions may feed checks that feed conditions; a site file's cycle must not spin for ever. */
const maxRounds = 16;
const maxEvidence = 300;
/** So long at most a cause that has gone explains what nobody has looked at since. */
const settleMs = 120_000;

export interface HealthPlan {
  readonly signals: readonly SignalSpec[];
  readonly checks: readonly CheckSpec[];
  readonly models: readonly ModelSpec[];
  readonly conditions: readonly ConditionSpec[];
  /** The topology: what stands behind what. Without it nothing explains anything. */
  readonly things?: readonly CausingThing[];
  /** For words only. */
  readonly agents: readonly { readonly id: string }[];
  readonly duties: readonly { readonly id: string }[];
}

export interface HealthFacts {
  member(agent: AgentIndex): 'unknown' | 'alive' | 'suspect' | 'dead' | 'left';
  held(duty: DutyIndex): Truth;
  runsHere(location: Location): boolean;
}

export interface HealthOptions {
  readonly plan: HealthPlan;
  readonly self: AgentIndex;
  readonly facts: HealthFacts;
}

export type HealthOutput =
  /** Answered by `checkObserved`, always. */
  | { readonly kind: 'run-check'; readonly check: CheckIndex }
  | {
      readonly kind: 'check-changed';
      readonly check: CheckIndex;
      readonly from: ShownStatus;
      readonly to: ShownStatus;
      readonly flapping: boolean;
      readonly value: number | undefined;
      readonly text: string;
    }
  | {
      readonly kind: 'condition-changed';
      readonly condition: ConditionIndex;
      readonly truth: Truth;
      readonly was: Truth;
    }
  | {
      readonly kind: 'anomaly-changed';
      readonly model: ModelIndex;
      readonly anomalous: boolean;
      readonly score: number;
      readonly text: string;
    }
  /** Something that others need went down or came up: `causeOf` may say otherwise than before. */
  | { readonly kind: 'causes-changed' }
  /** What is shed to keep within this box's budget; never silently. */
  | {
      readonly kind: 'shedding-changed';
      readonly level: SheddingLevel;
      readonly slowed: number;
      readonly paused: number;
      /** Models of this box that are not scored at all. */
      readonly resting: number;
      readonly text: string;
    }
  | { readonly kind: 'digest-changed' };

/** When what a condition says began; for as long as it stands, and through moments in which nobody can tell. */
export interface ConditionTimes {
  /** First bad reading behind it; the same as `conditionAt` where nothing was measured (a dead member). */
  readonly firstBadAt: Instant;
  readonly conditionAt: Instant;
  /** The device's own stamp of that reading, where a signal gave it. */
  readonly firstSampleWall: WallTime | undefined;
}

export interface CheckView {
  readonly check: CheckIndex;
  readonly status: ShownStatus;
  readonly flapping: boolean;
  readonly value: number | undefined;
  readonly text: string;
  /** Judged on this box; else told by that agent, if by anybody. */
  readonly here: boolean;
  readonly by: AgentIndex | undefined;
  /** Looked at only at each n-th of its times, to keep within this box's budget; infinite: not at all. Unless so: 1. */
  readonly shed: number;
  /** The thing that is down and explains why this check is not good. */
  readonly behind: ThingIndex | undefined;
}

export interface HealthSnapshot {
  readonly checks: readonly CheckView[];
  readonly conditions: readonly { readonly condition: ConditionIndex; readonly truth: Truth }[];
  readonly models: readonly {
    readonly model: ModelIndex;
    readonly here: boolean;
    readonly anomalous: Truth;
    readonly score: number | undefined;
    readonly threshold: number | undefined;
    readonly class?: string | undefined;
    readonly forecast?: Forecast | undefined;
    readonly why: string | undefined;
    /** It is not scored because this box is over its budget. */
    readonly rests: boolean;
  }[];
}

/** One check that is judged on this box. */
interface Judged {
  readonly spec: CheckSpec;
  readonly state: CheckState;
  /** A probe is out since then. */
  askedAt: Instant | undefined;
  readonly startedAt: Instant;
  /** Last look, whatever it saw. */
  seenAt: Instant;
  /** Device stamp of the first bad sample that may raise it. */
  firstBadWall: WallTime | undefined;
  /** What was last said of it. */
  said: ShownStatus;
  saidFlapping: boolean;
}

/**
 * What this box knows of the health of things: readings become check states, scores become anomalies, those become
 * conditions. Nothing here acts; it only says what changed.
 *
 * Checks and models are judged where their location says; of the others it knows what their judges gossip. Conditions
 * are judged everywhere, so that anybody can explain them; whoever acts on one first asks whether it runs here.
 *
 * Guaranteed: every change of a condition is said once, in the order of their indices, with its dependants after it.
 * Not guaranteed: that two boxes hold the same truth at the same moment.
 */
export class Health {
  readonly #plan: HealthPlan;
  readonly #self: AgentIndex;
  readonly #facts: HealthFacts;
  readonly #signals: SignalState;
  readonly #schedule: CheckSchedule;
  readonly #worth: readonly Worth[];
  readonly #usedModels: ReadonlySet<ModelIndex>;
  /** Undefined where nothing needs anything: thousands of simulated boxes have no topology. */
  readonly #causes: Causes | undefined;
  /** Something that others need went up or down. */
  #downMoved = false;
  /** By then everything behind a cause that has gone was looked at, or never will be. */
  #settledAt: Instant = never;
  #shedding: SheddingLevel = 0;
  readonly #view: DigestView;
  readonly #judged = new Map<CheckIndex, Judged>();
  readonly #models = new Map<ModelIndex, AnomalyState>();
  /** Models are looked at once, at the start, wherever their work is then: it may come to this box later. */
  readonly #refusedModels = new Map<ModelIndex, string>();
  readonly #anomalySaid = new Map<ModelIndex, Truth>();
  /** Said to be anomalous, and not yet said to be well again, whatever nobody could tell in between. */
  readonly #risen = new Set<ModelIndex>();
  readonly #truth: Truth[];
  readonly #times: (ConditionTimes | undefined)[];
  readonly #dependencies: readonly Dependencies[];
  /** Which conditions, checks and models a change concerns. */
  readonly #dependants: Dependants;
  readonly #dirty = new Set<ConditionIndex>();
  #digestChanged = false;
  #now: Instant = instant(0);
  #evaluationFacts: Facts;
  readonly #names: Names;

  constructor({ plan, self, facts }: HealthOptions) {
    this.#plan = plan;
    this.#self = self;
    this.#facts = facts;
    this.#signals = new SignalState(plan.signals);
    // By the box's name, so that phases are the same after a restart.
    this.#schedule = new CheckSchedule(hash53(plan.agents[self]?.id ?? String(self)) % 2 ** 32);
    this.#worth = worthOf(plan);
    this.#usedModels = usedModels(plan);
    const things = plan.things ?? [];
    const isNeeded = things.some(({ needs, up }) => up !== undefined || (needs?.length ?? 0) > 0);
    if (isNeeded || plan.checks.some(({ needs }) => needs !== undefined)) {
      this.#causes = new Causes(things, {
        isCrit: (check) => this.#status(check).status === 'crit',
        isDead: (agent) => this.#facts.member(agent) === 'dead',
      });
    }
    this.#view = new DigestView(plan.agents.length, plan.checks.length);
    this.#truth = plan.conditions.map(() => 'unknown');
    this.#times = plan.conditions.map(() => undefined);
    this.#dependencies = plan.conditions.map((condition) => dependencies(condition.expression));
    this.#dependants = new Dependants(plan, this.#dependencies);
    this.#evaluationFacts = this.#makeFacts();
    this.#names = {
      check: (check) => plan.checks[check]?.id ?? `check ${check}`,
      signal: (signal) => plan.signals[signal]?.id ?? `signal ${signal}`,
      model: (model) => plan.models[model]?.id ?? `model ${model}`,
      agent: (agent) => plan.agents[agent]?.id ?? `agent ${agent}`,
      duty: (duty) => plan.duties[duty]?.id ?? `duty ${duty}`,
    };
  }

  start(now: Instant, out: HealthOutput[]): void {
    this.#now = now;
    this.#relocate(now);
    for (const condition of this.#plan.conditions) this.#dirty.add(condition.index);
    this.#digestChanged = true;
    this.#flush(now, out);
  }

  /** One reading of a signal that this box polls. */
  sample(now: Instant, sample: Sample, out: HealthOutput[]): void {
    this.#now = now;
    if (!this.#signals.receive(sample)) return;
    this.#signalChanged(sample.signal);
    for (const check of this.#dependants.checksOfSignal.get(sample.signal) ?? []) {
      const judged = this.#judged.get(check);
      if (judged === undefined) continue;
      this.#seen(now, judged);
      this.#judgeSignal(now, judged);
    }
    for (const check of this.#dependants.checksOfState.get(sample.signal) ?? []) this.#applicability(now, check);
    this.#flush(now, out);
  }

  /** A probe's answer, asked for or not (a runner that sees its process die says so at once). */
  checkObserved(now: Instant, check: CheckIndex, observation: CheckObservation, out: HealthOutput[]): void {
    this.#now = now;
    const judged = this.#judged.get(check);
    // The work moved while the probe ran: its answer is the former holder's.
    if (judged === undefined || judged.spec.source.kind !== 'probe') return;
    judged.askedAt = undefined;
    this.#seen(now, judged);
    judged.state.observe(now, observation.status, observation.value, observation.text);
    this.#flush(now, out);
  }

  scoreComputed(now: Instant, model: ModelIndex, score: Score, _windowEnd: WallTime, out: HealthOutput[]): void {
    this.#now = now;
    this.#refusedModels.delete(model);
    const state = this.#models.get(model);
    // What was under way when its model was laid to rest counts no more.
    if (state === undefined || this.modelRest(model) === 'all') return;
    state.scored(now, score);
    this.#modelChanged(model);
    this.#flush(now, out);
  }

  /** Hash or shape disagree: the model says nothing from now on; the rules go on. */
  modelRefused(now: Instant, model: ModelIndex, reason: string, out: HealthOutput[]): void {
    this.#now = now;
    this.#refusedModels.set(model, reason);
    const state = this.#models.get(model);
    if (state === undefined) return;
    state.refuse(now, reason);
    this.#modelChanged(model);
    this.#flush(now, out);
  }

  /** The newest digest of another agent. */
  digestOf(agent: AgentIndex): HealthDigest | undefined {
    return this.#view.of(agent);
  }

  /** What another agent judges. False when nothing here may have changed by it. */
  digestReceived(now: Instant, digest: HealthDigest, out: HealthOutput[]): boolean {
    this.#now = now;
    if (digest.agent === this.#self) return false;
    const affected = new Set<CheckIndex>();
    if (!this.#view.receive(digest, affected) || affected.size === 0) return false;
    this.#checksTouched(affected);
    this.#flush(now, out);
    return true;
  }

  /** Duties moved: judging starts from nothing where it came to, and ends where it left. */
  locationsChanged(now: Instant, out: HealthOutput[]): void {
    this.#now = now;
    this.#relocate(now);
    for (const conditions of this.#dependants.conditionsOfDuty.values()) for (const c of conditions) this.#dirty.add(c);
    this.#flush(now, out);
  }

  membersChanged(now: Instant, member: AgentIndex, out: HealthOutput[]): void {
    this.#now = now;
    for (const condition of this.#dependants.conditionsOfAgent.get(member) ?? []) this.#dirty.add(condition);
    // Whether a duty counts as held depends on its holder's life.
    for (const conditions of this.#dependants.conditionsOfDuty.values()) for (const c of conditions) this.#dirty.add(c);
    const affected = new Set<CheckIndex>();
    this.#view.affectedBy(member, affected);
    if (this.#causes !== undefined) this.#downMoved = true;
    this.#checksTouched(affected);
    this.#flush(now, out);
  }

  /** This box is over its budget, or within it again: how much is shed from now on, in the declared order. */
  budgetJudged(now: Instant, level: SheddingLevel, why: string, out: HealthOutput[]): void {
    this.#now = now;
    if (level === this.#shedding) return;
    const rested = new Set([...this.#models.keys()].filter((model) => this.modelRest(model) === 'all'));
    this.#shedding = level;
    let slowed = 0;
    let paused = 0;
    for (const check of this.#judged.keys()) {
      const factor = this.#shed(now, check);
      if (factor === Number.POSITIVE_INFINITY) paused++;
      else if (factor > 1) slowed++;
    }
    let resting = 0;
    for (const model of this.#models.keys()) {
      const rests = this.modelRest(model) === 'all';
      if (rests) resting++;
      // What it said last is no word about now, neither while it rests nor when it comes back.
      if (rests !== rested.has(model)) this.#judgeAnew(now, model);
    }
    const models = resting === 0 ? '' : `, ${resting} models not scored`;
    const text = `${why}: ${sheddingOrder[level]} (${slowed} looked at more seldom, ${paused} not at all${models})`;
    out.push({ kind: 'shedding-changed', level, slowed, paused, resting, text });
    this.#flush(now, out);
  }

  get shedding(): SheddingLevel {
    return this.#shedding;
  }

  /** How much of a model's work is shed now; the same on every box at that level. */
  modelRest(model: ModelIndex): ModelRest {
    return restOf(this.#shedding, this.#usedModels.has(model));
  }

  /** Slows or pauses one check as the level says; a paused one says that nobody looks. */
  #shed(now: Instant, check: CheckIndex): number {
    const factor = this.#shedFactor(check);
    this.#schedule.slow(now, check, factor);
    if (factor === Number.POSITIVE_INFINITY) {
      this.#judged.get(check)?.state.observe(now, 'unknown', undefined, 'paused: this agent is over its budget');
    }
    return factor;
  }

  #shedFactor(check: CheckIndex): number {
    return factorOf(this.#shedding, this.#worth[check] ?? 'kept', this.#plan.checks[check]?.cost);
  }

  tick(now: Instant, out: HealthOutput[]): void {
    this.#now = now;
    if (this.#settledAt <= now) {
      this.#settledAt = never;
      this.#causes?.settled();
      this.#downMoved = true;
    }
    this.#stale(now);
    for (const state of this.#judged.values()) if (state.state.deadline <= now) state.state.tick(now);
    for (const [model, state] of this.#models) {
      const was = state.active;
      state.tick(now);
      const silentAt = state.scoredAt === undefined ? never : after(state.scoredAt, state.silentAfterMs);
      if (was !== state.active || silentAt <= now) this.#modelChanged(model);
    }
    const due: CheckIndex[] = [];
    this.#schedule.take(now, due);
    for (const check of due) this.#run(now, check, out);
    this.#flush(now, out);
  }

  deadline(): Instant {
    let next = Math.min(this.#signals.deadline, this.#schedule.deadline, this.#settledAt);
    for (const judged of this.#judged.values()) next = Math.min(next, judged.state.deadline);
    for (const [model, state] of this.#models) {
      next = Math.min(next, state.deadline);
      // Just past the moment: at the moment itself it is not silent yet.
      if (state.scoredAt !== undefined && this.#anomalySaid.get(model) !== 'unknown') {
        next = Math.min(next, state.scoredAt + state.silentAfterMs + 1);
      }
    }
    return instant(next);
  }

  status(check: CheckIndex): ShownStatus {
    return this.#status(check).status;
  }

  /**
   * The truth as last said; with `now`, judged again at this very moment, for guards: a sample may have gone stale
   * since the last tick.
   */
  truth(condition: ConditionIndex, now?: Instant): Truth {
    if (now === undefined) return this.#truth[condition] ?? 'unknown';
    this.#now = now;
    return this.#evaluate(condition);
  }

  times(condition: ConditionIndex): ConditionTimes {
    return this.#times[condition] ?? { firstBadAt: this.#now, conditionAt: this.#now, firstSampleWall: undefined };
  }

  /** In words, what makes it true: "bearing-rms 7.9 mm/s above 7.1 mm/s". Bounded in length. */
  evidence(condition: ConditionIndex): string {
    const parts: string[] = [];
    const of = this.#dependencies[condition];
    if (of === undefined) return '';
    for (const check of of.checks) {
      const { status } = this.#status(check);
      if (status !== 'ok' && status !== 'idle') parts.push(this.#checkEvidence(check, status));
    }
    for (const model of of.models) {
      const state = this.#models.get(model);
      const tells = state?.class !== undefined || state?.forecast !== undefined;
      if (tells || this.#anomalous(model) !== 'false') parts.push(this.#modelEvidence(model));
    }
    for (const agent of of.agents) {
      const state = this.#facts.member(agent);
      if (state !== 'alive') parts.push(`${this.#names.agent(agent)} ${state}`);
    }
    for (const duty of of.duties) {
      if (this.#facts.held(duty) !== 'true') parts.push(`${this.#names.duty(duty)} held by nobody`);
    }
    if (parts.length === 0) for (const signal of of.signals) parts.push(this.#signalEvidence(signal));
    const text = parts.join('; ');
    return text.length > maxEvidence ? `${text.slice(0, maxEvidence - 1)}…` : text;
  }

  /** Are all these things in one of the states named? A missing, stale or unnamed state is unknown. */
  inStates(onlyIn: readonly OnlyIn[], now: Instant = this.#now): Truth {
    let result: Truth = 'true';
    for (const { state, states } of onlyIn) {
      const name = this.#signals.state(now, state);
      if (name === undefined) result = 'unknown';
      else if (!states.includes(name)) return 'false';
    }
    return result;
  }

  /** Is the thing locked out? A thing without the signal is not; one that cannot be read may be. */
  lockout(signal: SignalIndex | undefined, now: Instant = this.#now): Truth {
    if (signal === undefined) return 'false';
    const value = this.#signals.value(now, signal);
    return value === undefined ? 'unknown' : truthOf(value !== 0);
  }

  /** Does anything behind it change its mind too often to be acted upon? */
  flapping(condition: ConditionIndex): boolean {
    for (const check of this.#dependencies[condition]?.checks ?? []) {
      if (this.#judged.get(check)?.state.flapping === true) return true;
    }
    return false;
  }

  /**
   * The thing that is down and explains all that this condition sees amiss. Undefined: nothing is amiss, or something of it
   * is a trouble of its own.
   */
  causeOf(condition: ConditionIndex): ThingIndex | undefined {
    const of = this.#dependencies[condition];
    if (of === undefined || this.#causes === undefined) return undefined;
    let first: ThingIndex | undefined;
    for (const check of of.checks) {
      const { status } = this.#status(check);
      if (status === 'ok' || status === 'idle') continue;
      const cause = this.#behindCheck(check);
      if (cause === undefined) return undefined;
      first ??= cause;
    }
    for (const agent of of.agents) {
      if (this.#facts.member(agent) === 'alive') continue;
      const cause = this.#causes.behindAgent(agent);
      if (cause === undefined) return undefined;
      first ??= cause;
    }
    for (const model of of.models) {
      if (this.#anomalous(model) === 'false') continue;
      const spec = this.#plan.models[model];
      const cause = spec === undefined ? undefined : this.behind(spec.thing, spec.runsOn);
      if (cause === undefined) return undefined;
      first ??= cause;
    }
    return first;
  }

  /**
   * The thing that is down and stands between this box and a thing. What a box sees of itself nothing stands before; an
   * asset is seen through what it needs, and through what the box needs that looks at it.
   */
  behind(thing: ThingIndex, runsOn: Location): ThingIndex | undefined {
    return this.#behind(thing, runsOn, this.#self, never);
  }

  #behind(thing: ThingIndex, runsOn: Location, by: AgentIndex | undefined, seenAt: Instant): ThingIndex | undefined {
    if (runsOn.on === 'agent' || this.#causes === undefined) return undefined;
    const own = this.#causes.behindThing(thing, seenAt);
    if (own !== undefined || runsOn.on !== 'holder' || by === undefined) return own;
    const way = this.#causes.behindAgent(by, seenAt);
    // The switch that this box needs is not explained by itself.
    return way === thing ? undefined : way;
  }

  #behindCheck(check: CheckIndex): ThingIndex | undefined {
    const spec = this.#plan.checks[check];
    if (spec === undefined || this.#causes === undefined) return undefined;
    // When others last looked they do not say: what they judge waits for the whole time.
    const seenAt = this.#judged.get(check)?.seenAt ?? instant(Number.NEGATIVE_INFINITY);
    const said = spec.needs === undefined ? undefined : this.#causes.behind(spec.needs, seenAt);
    if (said !== undefined) return said;
    const behind = this.#behind(spec.thing, spec.runsOn, this.#status(check).by, seenAt);
    if (behind !== undefined || spec.runsOn.on === 'agent') return behind;
    // Of a thing that is down itself nothing else is to be expected.
    if (this.#causes.upOf(spec.thing) === check) return undefined;
    return this.#causes.upOf(spec.thing) !== undefined && this.#causes.explains(spec.thing, seenAt)
      ? spec.thing
      : undefined;
  }

  explain(condition: ConditionIndex): TruthTree {
    const spec = this.#plan.conditions[condition];
    if (spec === undefined) return { label: 'no such condition', value: 'unknown', why: undefined, children: [] };
    return explain(spec.expression, this.#evaluationFacts, this.#names);
  }

  /** This box's part of its digest. */
  digest(): Pick<HealthDigest, 'checks' | 'judges' | 'anomalous'> {
    const judges = [...this.#judged.keys()].sort((a, b) => a - b);
    const checks: { check: CheckIndex; status: Exclude<CheckStatus, 'ok'> }[] = [];
    for (const check of judges) {
      const status = this.#judged.get(check)?.state.status ?? 'unknown';
      if (status !== 'ok' && status !== 'idle') checks.push({ check, status });
    }
    const anomalous = [...this.#models.keys()]
      .filter((model) => this.#anomalous(model) === 'true')
      .sort((a, b) => a - b);
    return { checks, judges, anomalous };
  }

  snapshot(): HealthSnapshot {
    return {
      checks: this.#plan.checks.map((spec) => {
        const judged = this.#judged.get(spec.index);
        const { status, by, why } = this.#status(spec.index);
        return {
          check: spec.index,
          status,
          flapping: judged?.state.flapping ?? false,
          value: judged?.state.value,
          text: judged?.state.text ?? why ?? '',
          here: judged !== undefined,
          by: judged === undefined ? by : this.#self,
          shed: judged === undefined ? 1 : this.#shedFactor(spec.index),
          behind: status === 'ok' || status === 'idle' ? undefined : this.#behindCheck(spec.index),
        };
      }),
      conditions: this.#plan.conditions.map((spec) => ({
        condition: spec.index,
        truth: this.#truth[spec.index] ?? 'unknown',
      })),
      models: this.#plan.models.map((spec) => {
        const state = this.#models.get(spec.index);
        return {
          model: spec.index,
          here: state !== undefined,
          anomalous: this.#anomalous(spec.index),
          score: state?.score?.value,
          threshold: state?.score?.threshold,
          class: state?.class,
          forecast: state?.forecast,
          why: this.#modelBlind(spec.index),
          rests: state !== undefined && state.refused === undefined && this.modelRest(spec.index) === 'all',
        };
      }),
    };
  }

  // -- judging -----------------------------------------------------------------------------------------------------

  /** Starts and stops judging where locations say so. */
  #relocate(now: Instant): void {
    for (const spec of this.#plan.checks) {
      const here = this.#facts.runsHere(spec.runsOn);
      const was = this.#judged.has(spec.index);
      if (here === was) continue;
      this.#digestChanged = true;
      this.#checksTouched(new Set([spec.index]));
      if (here) {
        const state = new CheckState(now, spec);
        const said = state.status;
        this.#judged.set(spec.index, {
          spec,
          state,
          askedAt: undefined,
          startedAt: now,
          seenAt: instant(Number.NEGATIVE_INFINITY),
          firstBadWall: undefined,
          said,
          saidFlapping: false,
        });
        // A signal's value is judged as it comes.
        if (spec.source.kind !== 'signal' || spec.source.judge !== 'value') {
          this.#schedule.start(now, spec);
          this.#shed(now, spec.index);
        }
        state.setApplicable(now, this.inStates(spec.onlyIn, now));
      } else {
        this.#judged.delete(spec.index);
        this.#schedule.stop(spec.index);
      }
    }
    for (const spec of this.#plan.models) {
      const here = this.#facts.runsHere(spec.runsOn);
      if (here === this.#models.has(spec.index)) continue;
      this.#digestChanged = true;
      if (here) {
        this.#judgeAnew(now, spec.index);
      } else {
        this.#models.delete(spec.index);
        this.#anomalySaid.delete(spec.index);
        this.#risen.delete(spec.index);
        this.#modelChanged(spec.index);
      }
    }
  }

  /** A model's scores are judged from nothing. */
  #judgeAnew(now: Instant, model: ModelIndex): void {
    const spec = this.#plan.models[model];
    if (spec === undefined) return;
    const state = new AnomalyState(spec);
    const refused = this.#refusedModels.get(model);
    if (refused !== undefined) state.refuse(now, refused);
    this.#models.set(model, state);
    this.#modelChanged(model);
  }

  #run(now: Instant, check: CheckIndex, out: HealthOutput[]): void {
    const judged = this.#judged.get(check);
    if (judged === undefined) return;
    const { spec, state } = judged;
    switch (spec.source.kind) {
      case 'probe':
        if (judged.askedAt !== undefined) {
          if (now < after(judged.askedAt, spec.timeoutMs + probeLostMs)) return;
          state.observe(now, 'unknown', undefined, 'the probe did not answer');
        }
        judged.askedAt = now;
        out.push({ kind: 'run-check', check });
        return;
      case 'condition': {
        const crit = spec.critWhen === undefined ? 'false' : this.#evaluate(spec.critWhen);
        const warn = spec.warnWhen === undefined ? 'false' : this.#evaluate(spec.warnWhen);
        const told = crit === 'true' ? spec.critWhen : (spec.warnWhen ?? spec.critWhen);
        const text = told === undefined ? '' : this.evidence(told);
        const status =
          crit === 'true'
            ? 'crit'
            : crit === 'unknown' || warn === 'unknown'
              ? 'unknown'
              : warn === 'true'
                ? 'warn'
                : 'ok';
        state.observe(now, status, undefined, text);
        return;
      }
      case 'signal':
        // Values are judged as they come; age and quality also when nothing comes.
        if (spec.source.judge !== 'value') this.#judgeSignal(now, judged);
        return;
    }
  }

  /** Judges a signal's check by its last sample, or by there being none. */
  #judgeSignal(now: Instant, judged: Judged): void {
    const { spec, state } = judged;
    if (spec.source.kind !== 'signal') return;
    const { signal, judge } = spec.source;
    const blind = this.#signals.blind(now, signal);
    switch (judge) {
      case 'value': {
        if (blind !== undefined) state.observe(now, 'unknown', undefined, blind);
        else state.observe(now, undefined, this.#signals.raw(signal), this.#signalEvidence(signal));
        if (state.badSince === now) judged.firstBadWall = this.#signals.sourceTime(signal);
        return;
      }
      case 'staleness': {
        if (this.#signals.isFresh(now, signal)) state.observe(now, 'ok', undefined, 'fresh');
        else if (
          this.#signals.heard(signal) ||
          now >= after(judged.startedAt, this.#plan.signals[signal]?.freshMs ?? 0)
        ) {
          state.observe(now, 'crit', undefined, `${this.#names.signal(signal)} ${blind ?? 'stale'}`);
        }
        return;
      }
      case 'quality': {
        const quality = this.#signals.quality(signal);
        const status = !this.#signals.isFresh(now, signal)
          ? 'unknown'
          : quality === 'bad'
            ? 'crit'
            : quality === 'uncertain'
              ? 'warn'
              : 'ok';
        state.observe(now, status, undefined, status === 'unknown' ? (blind ?? '') : this.#signals.qualityText(signal));
        return;
      }
    }
  }

  #stale(now: Instant): void {
    const stale: SignalIndex[] = [];
    this.#signals.takeStale(now, stale);
    for (const signal of stale) {
      this.#signalChanged(signal);
      for (const check of this.#dependants.checksOfSignal.get(signal) ?? []) {
        const judged = this.#judged.get(check);
        if (judged !== undefined) this.#judgeSignal(now, judged);
      }
      for (const check of this.#dependants.checksOfState.get(signal) ?? []) this.#applicability(now, check);
    }
  }

  #applicability(now: Instant, check: CheckIndex): void {
    const judged = this.#judged.get(check);
    judged?.state.setApplicable(now, this.inStates(judged.spec.onlyIn, now));
  }

  #signalChanged(signal: SignalIndex): void {
    for (const condition of this.#dependants.conditionsOfSignal.get(signal) ?? []) this.#dirty.add(condition);
    for (const model of this.#dependants.modelsOfSignal.get(signal) ?? [])
      if (this.#models.has(model)) this.#modelChanged(model);
  }

  #modelChanged(model: ModelIndex): void {
    for (const condition of this.#dependants.conditionsOfModel.get(model) ?? []) this.#dirty.add(condition);
    this.#modelsTouched.add(model);
  }

  readonly #modelsTouched = new Set<ModelIndex>();

  #checksTouched(checks: ReadonlySet<CheckIndex>): void {
    for (const check of checks) {
      if (this.#causes?.isUp(check) === true) this.#downMoved = true;
      for (const c of this.#dependants.conditionsOfCheck.get(check) ?? []) this.#dirty.add(c);
    }
  }

  /** Says what changed: checks first, then anomalies, then conditions, and what their change moves in turn. */
  #flush(now: Instant, out: HealthOutput[]): void {
    for (const judged of this.#judged.values()) this.#sayCheck(judged, out);
    if (this.#modelsTouched.size === 0 && this.#dirty.size === 0 && !this.#digestChanged && !this.#downMoved) return;
    for (const model of [...this.#modelsTouched].sort((a, b) => a - b)) this.#sayAnomaly(model, out);
    this.#modelsTouched.clear();
    for (let round = 0; this.#dirty.size > 0 && round < maxRounds; round++) {
      const dirty = [...this.#dirty].sort((a, b) => a - b);
      this.#dirty.clear();
      for (const condition of dirty) this.#sayCondition(now, condition, out);
    }
    this.#dirty.clear();
    this.#sayCauses(now, out);
    if (this.#digestChanged) {
      this.#digestChanged = false;
      out.push({ kind: 'digest-changed' });
    }
  }

  /** A new look: what was only explained by a cause that has gone stands for itself now. */
  #seen(now: Instant, judged: Judged): void {
    judged.seenAt = now;
    if (this.#causes?.isSettling === true) this.#downMoved = true;
  }

  #sayCauses(now: Instant, out: HealthOutput[]): void {
    if (!this.#downMoved) return;
    this.#downMoved = false;
    this.#causes?.moved(now);
    this.#settledAt = this.#causes?.isSettling === true ? instant(Math.min(this.#settledAt, now + settleMs)) : never;
    out.push({ kind: 'causes-changed' });
  }

  #sayCheck(judged: Judged, out: HealthOutput[]): void {
    const { spec, state } = judged;
    const changed = state.status !== judged.said;
    if (!changed && state.flapping === judged.saidFlapping) return;
    out.push({
      kind: 'check-changed',
      check: spec.index,
      from: judged.said,
      to: state.status,
      flapping: state.flapping,
      value: state.value,
      text: this.#checkEvidence(spec.index, state.status),
    });
    judged.said = state.status;
    judged.saidFlapping = state.flapping;
    if (this.#causes?.isUp(spec.index) === true) this.#downMoved = true;
    this.#digestChanged = true;
    for (const condition of this.#dependants.conditionsOfCheck.get(spec.index) ?? []) this.#dirty.add(condition);
  }

  #sayAnomaly(model: ModelIndex, out: HealthOutput[]): void {
    const state = this.#models.get(model);
    if (state === undefined) return;
    const truth = this.#anomalous(model);
    const was = this.#anomalySaid.get(model) ?? 'unknown';
    this.#anomalySaid.set(model, truth);
    if (truth === was) return;
    for (const condition of this.#dependants.conditionsOfModel.get(model) ?? []) this.#dirty.add(condition);
    this.#digestChanged = true;
    // Coming into sight with nothing wrong is not worth a word.
    if (truth === 'unknown' || (truth === 'false' && !this.#risen.delete(model))) return;
    if (truth === 'true') this.#risen.add(model);
    out.push({
      kind: 'anomaly-changed',
      model,
      anomalous: truth === 'true',
      score: state.score?.value ?? 0,
      text: this.#modelEvidence(model),
    });
  }

  #sayCondition(now: Instant, condition: ConditionIndex, out: HealthOutput[]): void {
    const was = this.#truth[condition] ?? 'unknown';
    const truth = this.#evaluate(condition);
    if (truth === was) return;
    this.#truth[condition] = truth;
    if (truth === 'false') this.#times[condition] = undefined;
    else if (truth === 'true') this.#times[condition] ??= this.#began(now, condition);
    out.push({ kind: 'condition-changed', condition, truth, was });
  }

  /** The earliest bad reading among what it looks at. */
  #began(now: Instant, condition: ConditionIndex): ConditionTimes {
    let firstBadAt = now;
    let firstSampleWall: WallTime | undefined;
    const of = this.#dependencies[condition];
    for (const check of of?.checks ?? []) {
      const judged = this.#judged.get(check);
      const at = judged?.state.firstBadAt;
      if (at === undefined || at >= firstBadAt) continue;
      firstBadAt = at;
      firstSampleWall = judged?.firstBadWall;
    }
    for (const model of of?.models ?? []) {
      const at = this.#models.get(model)?.firstBadAt;
      if (at !== undefined && at < firstBadAt) {
        firstBadAt = at;
        firstSampleWall = undefined;
      }
    }
    return { firstBadAt, conditionAt: now, firstSampleWall };
  }

  #evaluate(condition: ConditionIndex): Truth {
    const spec = this.#plan.conditions[condition];
    return spec === undefined ? 'unknown' : evaluateTruth(spec.expression, this.#evaluationFacts);
  }

  #status(check: CheckIndex): { status: ShownStatus; by: AgentIndex | undefined; why: string | undefined } {
    const judged = this.#judged.get(check);
    if (judged !== undefined) return { status: judged.state.status, by: this.#self, why: judged.state.text };
    return this.#view.status(check, (agent) => this.#facts.member(agent) === 'alive');
  }

  #anomalous(model: ModelIndex): Truth {
    const state = this.#models.get(model);
    if (state === undefined || !state.isScored || this.#modelBlind(model) !== undefined) return 'unknown';
    return truthOf(state.active);
  }

  /** Why the model cannot be believed now. A model of another box is that box's word, which conditions do not ask. */
  #modelBlind(model: ModelIndex): string | undefined {
    const state = this.#models.get(model);
    if (state === undefined) return 'scored on another box';
    // A refused one says why nobody will score it, also when there is time again.
    if (state.refused === undefined && this.modelRest(model) === 'all') return restText;
    const blind = state.blind(this.#now);
    if (blind !== undefined) return blind;
    for (const { signal } of this.#plan.models[model]?.inputs ?? []) {
      if (!this.#signals.isFresh(this.#now, signal)) {
        return `${this.#names.signal(signal)} ${this.#signals.blind(this.#now, signal) ?? 'stale'}`;
      }
    }
    return undefined;
  }

  #makeFacts(): Facts {
    const unknown = (why: string): { value: undefined; why: string } => ({ value: undefined, why });
    return {
      check: (check) => {
        const { status, why } = this.#status(check);
        return why === undefined ? { value: status } : { value: status, why };
      },
      signal: (signal) => {
        const value = this.#signals.value(this.#now, signal);
        return value === undefined ? unknown(this.#signals.blind(this.#now, signal) ?? 'no value') : { value };
      },
      fresh: (signal) => {
        // Only who polls it can tell; elsewhere "not fresh" would be a false alarm.
        return this.#signals.heard(signal)
          ? { value: this.#signals.isFresh(this.#now, signal) }
          : unknown('never read here');
      },
      state: (signal) => {
        const value = this.#signals.state(this.#now, signal);
        return value === undefined
          ? unknown(this.#signals.blind(this.#now, signal) ?? 'a state without a name')
          : { value };
      },
      anomalous: (model) => {
        const truth = this.#anomalous(model);
        return truth === 'unknown'
          ? unknown(this.#modelBlind(model) ?? 'this model gives no score')
          : { value: truth === 'true' };
      },
      score: (model) => {
        const value = this.#models.get(model)?.score?.value;
        const blind = this.#modelBlind(model);
        if (value === undefined || blind !== undefined) return unknown(blind ?? 'not scored yet');
        return Number.isNaN(value) ? unknown('this model gives no score') : { value };
      },
      class: (model) => {
        const blind = this.#modelBlind(model);
        if (blind !== undefined) return unknown(blind);
        const value = this.#models.get(model)?.class;
        return value === undefined ? unknown('no class has stood for long enough') : { value };
      },
      forecast: (model, dimension) => {
        const blind = this.#modelBlind(model);
        if (blind !== undefined) return unknown(blind);
        const forecast = this.#models.get(model)?.forecast;
        if (forecast === undefined) return unknown('no forecast yet');
        return forecast.dimension === dimension
          ? { value: forecast.value }
          : unknown(`the model forecasts a ${forecast.dimension}, a ${dimension} was asked for`);
      },
      member: (agent) => {
        const state = this.#facts.member(agent);
        return state === 'suspect' || state === 'unknown' ? unknown(`member ${state}`) : { value: state };
      },
      held: (duty) => {
        const held = this.#facts.held(duty);
        return held === 'unknown' ? unknown('its holder is suspect') : { value: held === 'true' };
      },
    };
  }

  // -- words -------------------------------------------------------------------------------------------------------

  #checkEvidence(check: CheckIndex, status: ShownStatus): string {
    const spec = this.#plan.checks[check];
    const judged = this.#judged.get(check);
    if (spec === undefined) return '';
    if (judged === undefined) return `${spec.id} ${status}`;
    const { value, text } = judged.state;
    const limit = status === 'crit' ? spec.crit : status === 'warn' ? spec.warn : undefined;
    const signal = spec.source.kind === 'signal' ? this.#plan.signals[spec.source.signal] : undefined;
    if (signal !== undefined && value !== undefined && limit !== undefined) {
      const unit = signal.unit === undefined ? '' : ` ${signal.unit}`;
      const name = short(signal.id);
      const beyond = limit.side === 'above' ? value > limit.value : value < limit.value;
      // Between limit and deadband, or waiting for the clear delay, "above" would be a lie.
      const word = beyond ? limit.side : 'not yet clear of';
      return `${name} ${figure(value)}${unit} ${word} ${figure(limit.value)}${unit}`;
    }
    return text === '' ? `${short(spec.id)} ${status}` : text;
  }

  #signalEvidence(signal: SignalIndex): string {
    const spec = this.#plan.signals[signal];
    if (spec === undefined) return '';
    const blind = this.#signals.blind(this.#now, signal);
    const value = this.#signals.raw(signal);
    if (blind !== undefined || value === undefined) return `${short(spec.id)} ${blind ?? 'without value'}`;
    return `${short(spec.id)} ${spec.states?.get(value) ?? figure(value)}${spec.unit === undefined ? '' : ` ${spec.unit}`}`;
  }

  #modelEvidence(model: ModelIndex): string {
    const spec = this.#plan.models[model];
    const blind = this.#modelBlind(model);
    if (spec === undefined) return '';
    if (blind !== undefined) return `${short(spec.id)}: ${blind}`;
    const score = this.#models.get(model)?.score;
    if (score === undefined) return `${short(spec.id)}: not scored yet`;
    if (score.text !== undefined) return `${short(spec.id)}: ${score.text}`;
    const values = this.#modelValues(model);
    if (Number.isNaN(score.value)) return `${short(spec.id)}: ${values || 'no class and no forecast yet'}`;
    const most = [...score.contributions]
      .sort((a, b) => b.share - a.share)
      .slice(0, 3)
      .map((c) => `${short(this.#plan.signals[c.signal]?.id ?? '')} ${Math.round(c.share * 100)} %`)
      .join(', ');
    const word = score.value > score.threshold ? 'above' : 'below';
    return `${short(spec.id)} score ${figure(score.value)} ${word} ${figure(score.threshold)}${most === '' ? '' : ` (${most})`}${values === '' ? '' : `, ${values}`}`;
  }

  /** Class and forecast in words: "class worn, forecast 31 h". */
  #modelValues(model: ModelIndex): string {
    const state = this.#models.get(model);
    const { class: said, forecast } = state ?? {};
    const parts = [
      ...(said === undefined ? [] : [`class ${said}`]),
      ...(forecast === undefined ? [] : [`forecast ${forecastText(forecast)}`]),
    ];
    return parts.join(', ');
  }
}

/** Time in hours or days, since seconds to the next service mean nothing to anybody; all else in its base unit. */
export function forecastText({ value, dimension }: Forecast): string {
  if (dimension !== 'time') return `${figure(value)} (${dimension}, base unit)`;
  return Math.abs(value) < 48 * 3600 ? `${figure(value / 3600)} h` : `${figure(value / 86_400)} d`;
}

const short = (id: string): string => id.slice(id.lastIndexOf('/') + 1);
const figure = (value: number): string => String(Number(value.toPrecision(4)));
