import type { AlarmIndex, BootId, ConditionIndex, ThingIndex, WorkflowIndex } from '../../base/ids.ts';
import type { Location } from '../../base/location.ts';
import type { Random } from '../../base/random.ts';
import { after, type Instant, instant, never, type WallTime, wallTime } from '../../base/time.ts';
import type { Truth } from '../../base/truth.ts';
import { Budget, levelForPerson } from './budget.ts';
import { type Denial, type GuardFacts, guard } from './guards.ts';
import type { JournalDraft, JournalEntry, RunEnd, RunId } from './journal-entry.ts';
import { foldRun, type RunState, rootOf } from './run.ts';
import type { StepAction, StepSpec, WorkflowSpec } from './workflow.ts';

/** An issue must begin within this of its guards: what they saw is not fresh for longer. */
const freshMs = 2_000;
const baselineWithinMs = 10_000;
const probeWithinMs = 15_000;
const probeAgainMs = 500;
/** The port answers at the time-out; if even that is lost, this much later it counts as doubt. */
const completionSlackMs = 5_000;
/** A denied run looks again on every change, and at least about this often, since not all changes are told. */
const lookAgainMs = 5_000;
/** After a restart, work that follows a duty waits this long for the duty to come back to this box. */
const homecomingMs = 60_000;
const heartbeatMs = 60_000;
/** Refusals and late starts of one try; each is known not to have happened, yet they may not go on for ever. */
const maxIssues = 20;
/** Unknown pauses verification and soak, up to this many times the time-out of `verify`. */
const unverifiableFactor = 3;
/** Ended runs that stay in memory, for the status page and for the chain of a relapse. */
const keepEnded = 128;
const maxPersistBackoffMs = 30_000;

export interface RemediationFacts extends GuardFacts {
  times(condition: ConditionIndex): { readonly firstBadAt: Instant; readonly conditionAt: Instant };
  evidence(condition: ConditionIndex): string;
  runsHere(location: Location): boolean;
  wallAt(at: Instant): WallTime;
  clockTrusted(): boolean;
  /** Name of a thing. */
  thing(thing: ThingIndex): string;
}

export interface RemediationOptions {
  readonly workflows: readonly WorkflowSpec[];
  readonly identity: { readonly boot: BootId };
  /** The journal, oldest entry first. */
  readonly restored: readonly JournalEntry[];
  readonly random: Random;
  readonly facts: RemediationFacts;
}

type Detail = Readonly<Record<string, string | number | boolean>>;

export type RemediationOutput =
  /** Durable before anything that depends on it; answered by `persisted` or `persistFailed`. */
  | { readonly kind: 'persist'; readonly token: number; readonly drafts: readonly JournalDraft[] }
  | { readonly kind: 'read-baseline'; readonly run: RunId; readonly step: number; readonly action: StepAction }
  | {
      readonly kind: 'issue-action';
      readonly run: RunId;
      readonly step: number;
      readonly try: number;
      readonly issue: number;
      readonly action: StepAction;
      readonly timeoutMs: number;
      readonly notAfter: Instant;
    }
  | {
      readonly kind: 'probe-action';
      readonly run: RunId;
      readonly step: number;
      readonly action: StepAction;
      readonly baseline: string;
    }
  | { readonly kind: 'cancel-action'; readonly run: RunId; readonly step: number; readonly issue: number }
  | {
      readonly kind: 'run-report';
      readonly body: {
        readonly type: 'run';
        readonly run: string;
        readonly workflow: string;
        readonly thing: string;
        readonly entry: string;
        readonly detail: Detail;
      };
    }
  | { readonly kind: 'incident'; readonly body: Incident }
  | { readonly kind: 'raise-alarm'; readonly alarm: AlarmIndex; readonly why: string }
  | { readonly kind: 'clear-alarm'; readonly alarm: AlarmIndex }
  | {
      readonly kind: 'event';
      readonly body: {
        readonly type: 'event';
        readonly name: string;
        readonly subject: string;
        readonly severity: 'info' | 'notice' | 'warning' | 'error';
        readonly text: string;
        readonly detail: Detail;
      };
    };

interface Incident {
  readonly type: 'incident';
  readonly incident: string;
  readonly run: string;
  readonly workflow: string;
  readonly thing: string;
  readonly symptom: string;
  readonly outcome: string;
  readonly reason: string;
  readonly firstBadAt: WallTime;
  readonly conditionAt: WallTime;
  readonly healedAt: WallTime | undefined;
  readonly mttdMs: number | undefined;
  readonly mttaMs: number | undefined;
  readonly mttrMs: number | undefined;
  readonly relapse: boolean;
  readonly steps: readonly {
    readonly name: string;
    readonly outcome: string;
    readonly detail: string;
    readonly at: WallTime;
  }[];
}

/** One run for people. */
export interface RunView {
  readonly run: RunId;
  readonly workflow: WorkflowIndex;
  readonly workflowId: string;
  readonly thing: string;
  readonly trigger: RunState['trigger'];
  readonly phase: RunState['phase'];
  readonly openedAt: WallTime;
  readonly step: string | undefined;
  /** For people, in one word or a few: `HEALED`, `steps (the action to complete)`, `soak (the soak to pass)`. */
  readonly state: string;
  /** What it waits for, in words. */
  readonly waits: string | undefined;
  readonly outcome: RunEnd | undefined;
  readonly reason: string | undefined;
}

type Pending =
  | { readonly kind: 'persist'; readonly token: number }
  | { readonly kind: 'baseline'; readonly until: Instant }
  | { readonly kind: 'action'; readonly issue: number; readonly until: Instant; cancelled: boolean }
  | { readonly kind: 'pause'; readonly issue: number; readonly until: Instant }
  | { readonly kind: 'probe'; readonly until: Instant };

/** What only the living know of a run: gone with the process, and nothing is decided by its loss. */
interface Live {
  pending: Pending | undefined;
  wakeAt: Instant;
  /** Since when this run waits at its guards, or for its trigger to be told. */
  deniedSince: Instant | undefined;
  /** An intent in doubt: nothing of it lands any more after this. */
  settledAt: Instant | undefined;
  lastProbe: Instant | undefined;
  verifySince: Instant | undefined;
  /** Seen good without gap since then. */
  soakSince: Instant | undefined;
  blindSince: Instant | undefined;
  retryAt: Instant;
  issues: number;
  lastIssue: number;
  /** Known in memory, refused by the disk so far. */
  unsaved: readonly JournalDraft[] | undefined;
  stopping: boolean;
}

interface Write {
  readonly entries: readonly JournalEntry[];
  readonly drafts: readonly JournalDraft[];
  readonly run: RunId | undefined;
  readonly then: 'issue' | 'go-on' | 'stop' | 'open' | 'none';
}

/** What one workflow remembers between runs, in memory only: losing it makes it more careful, never less. */
interface Watch {
  readonly spec: WorkflowSpec;
  /** Symptom gone and verified, without gap, since then. */
  quietSince: Instant | undefined;
  /** Ran here at least once in this life. */
  home: boolean;
  /** An entry that opens or quietens is on its way to the disk. */
  writing: 'open' | 'quiet' | undefined;
  mayClear: boolean;
  flappingTold: boolean;
  notBefore: Instant;
  /** A trigger that cannot be judged was told. */
  doubtTold: boolean;
  /** Time alone changes something then: a cool-down ends, or it has been quiet for long enough. */
  lookAt: Instant;
}

/**
 * Repairs: from a symptom over guarded steps to a proven end.
 *
 * A run's state is the fold of its journal (run.ts), and so are the brakes (budget.ts). A decision is written first and
 * takes hold when the disk says that it is durable; only then come its effects. So what a crash leaves behind is either
 * decided or not, with one exception that no journal can avoid: an effect that was meant, and of which nobody knows
 * whether it happened. That doubt is resolved by the step's declared kind: do it again once nothing old can land any
 * more (idempotent), ask (probeable), or call a person (fire-once). A time-out is such a doubt, never a failure.
 *
 * Guaranteed: an effect is issued only with its intent durable and all guards true in the same call; a finished step is
 * never repeated; runs on one thing do not interleave; HEALED means that the symptom was seen gone, and the verification
 * true, for the whole soak; every run ends. Not guaranteed: that a plant that flips between guard and landing is
 * noticed: that gap is bounded by `notAfter`, and closed only where the machine itself checks.
 *
 * Stance when nobody can be reached: purely local; repairs on the own box go on within their budgets.
 */
export class Remediation {
  readonly #boot: BootId;
  readonly #random: Random;
  readonly #facts: RemediationFacts;
  readonly #watches: readonly Watch[];
  readonly #byId = new Map<string, Watch>();
  readonly #runs = new Map<RunId, RunState>();
  readonly #live = new Map<RunId, Live>();
  readonly #budget: Budget;
  readonly #writes = new Map<number, Write>();
  #token = 0;
  #episodes = 0;
  #persistFailures = 0;
  #startedAt: Instant = instant(0);
  #heartbeatAt: Instant = never;
  #next: Instant = never;

  constructor({ workflows, identity, restored, random, facts }: RemediationOptions) {
    this.#boot = identity.boot;
    this.#random = random;
    this.#facts = facts;
    this.#watches = workflows.map((spec) => ({
      spec,
      quietSince: undefined,
      home: false,
      writing: undefined,
      mayClear: true,
      flappingTold: false,
      notBefore: instant(Number.NEGATIVE_INFINITY),
      doubtTold: false,
      lookAt: never,
    }));
    for (const watch of this.#watches) this.#byId.set(watch.spec.id, watch);
    this.#budget = new Budget(workflows);
    for (const entry of restored) this.#fold(entry);
  }

  start(now: Instant, out: RemediationOutput[]): void {
    this.#startedAt = now;
    this.#heartbeat(now, out);
    for (const run of this.#open()) this.#live.set(run.id, newLive(now));
    for (const run of this.#open()) {
      this.#event(out, 'run-resumed', run.id, 'notice', `resumed in ${run.phase}`, { step: run.step });
    }
    this.#everything(now, out);
  }

  conditionChanged(now: Instant, _condition: ConditionIndex, _truth: Truth, out: RemediationOutput[]): void {
    // Any condition may be a trigger, a guard, or a verification of any run; there are few runs.
    this.#everything(now, out);
  }

  locationsChanged(now: Instant, out: RemediationOutput[]): void {
    this.#everything(now, out);
  }

  scheduleDue(now: Instant, workflow: WorkflowIndex, _slot: WallTime, out: RemediationOutput[]): void {
    this.#begin(now, workflow, 'schedule', 'its timetable', out);
  }

  ordered(now: Instant, workflow: WorkflowIndex, by: string, out: RemediationOutput[]): void {
    this.#begin(now, workflow, 'order', by, out);
  }

  /** STOP: durable before it is acknowledged (`run-stopping`), and asked before every issue. */
  stopOrdered(now: Instant, id: RunId, by: string, out: RemediationOutput[]): void {
    const run = this.#runs.get(id);
    const live = this.#live.get(id);
    if (run === undefined || live === undefined || run.phase === 'ended') {
      this.#event(out, 'stop-refused', id, 'warning', 'no such run is under way', { by });
      return;
    }
    if (live.stopping || run.stop !== undefined) return;
    live.stopping = true;
    this.#persist(now, id, [{ run: id, at: now, kind: 'stop', by }], 'stop', out);
    this.#replan();
  }

  persisted(now: Instant, token: number, out: RemediationOutput[]): void {
    const write = this.#writes.get(token);
    if (write === undefined) return;
    this.#writes.delete(token);
    this.#persistFailures = 0;
    const live = write.run === undefined ? undefined : this.#live.get(write.run);
    if (live?.pending?.kind === 'persist' && live.pending.token === token) live.pending = undefined;
    for (const entry of write.entries) {
      this.#fold(entry);
      this.#tell(now, entry, out);
    }
    const run = write.run === undefined ? undefined : this.#runs.get(write.run);
    if (run !== undefined && live !== undefined) {
      if (write.then === 'issue') this.#issue(now, run, live, out);
      else if (write.then === 'stop') this.#stopped(run, live, out);
    }
    this.#everything(now, out);
  }

  /** A failed write means no effect. Known outcomes are kept in memory and tried again. */
  persistFailed(now: Instant, token: number, _reason: string, out: RemediationOutput[]): void {
    const write = this.#writes.get(token);
    if (write === undefined) return;
    this.#writes.delete(token);
    const backoff = Math.min(maxPersistBackoffMs, 1_000 * 2 ** Math.min(this.#persistFailures, 10));
    this.#persistFailures++;
    const again = after(now, backoff);
    const live = write.run === undefined ? undefined : this.#live.get(write.run);
    if (live !== undefined) {
      if (live.pending?.kind === 'persist' && live.pending.token === token) live.pending = undefined;
      live.wakeAt = again;
      live.retryAt = again;
      if (write.then === 'stop') live.stopping = false;
      // What is known must not be decided anew; all else is.
      if (write.drafts.some((draft) => draft.kind === 'done' || draft.kind === 'doubt')) live.unsaved = write.drafts;
    }
    for (const draft of write.drafts) {
      const watch = this.#byId.get(draft.run.slice(0, draft.run.lastIndexOf('#')));
      if (watch !== undefined && (draft.kind === 'open' || draft.kind === 'quiet')) {
        watch.writing = undefined;
        watch.notBefore = again;
        watch.lookAt = again;
        if (draft.kind === 'open' && (draft.trigger === 'order' || draft.trigger === 'schedule')) {
          this.#event(out, 'order-refused', watch.spec.id, 'error', 'it could not be written down; give it again', {});
        }
      }
    }
    if (write.then === 'stop' && write.run !== undefined) {
      this.#event(out, 'stop-refused', write.run, 'error', 'the order could not be written down; give it again', {});
    }
    this.#replan();
  }

  baselineRead(
    now: Instant,
    input: { readonly run: RunId; readonly step: number; readonly baseline: string },
    out: RemediationOutput[],
  ): void {
    const run = this.#runs.get(input.run);
    const live = this.#live.get(input.run);
    if (run === undefined || live?.pending?.kind !== 'baseline' || run.step !== input.step) return;
    live.pending = undefined;
    this.#intend(now, run, live, input.baseline, out);
    this.#replan();
  }

  actionCompleted(
    now: Instant,
    input: {
      readonly run: RunId;
      readonly step: number;
      readonly try: number;
      readonly issue: number;
      readonly outcome: 'ok' | 'failed' | 'refused' | 'late' | 'timed-out';
      readonly detail: string;
    },
    out: RemediationOutput[],
  ): void {
    const run = this.#runs.get(input.run);
    const live = this.#live.get(input.run);
    if (run === undefined || live === undefined || run.phase !== 'steps') return;
    const intent = run.intent;
    // Only the latest issue counts: an older one's word is about an effect that was settled before.
    if (intent === undefined || intent.step !== input.step || intent.issue !== input.issue) return;
    if (intent.boot !== this.#boot || live.unsaved !== undefined) return;
    // While an outcome is being written, a second one cannot be true.
    if (live.pending !== undefined && live.pending.kind !== 'action' && live.pending.kind !== 'probe') return;
    live.pending = undefined;
    if (input.outcome === 'timed-out') this.#doubt(now, run, live, input.detail, out);
    else this.#done(now, run, live, input.outcome, input.detail, out);
    this.#everything(now, out);
  }

  actionProbed(
    now: Instant,
    input: {
      readonly run: RunId;
      readonly step: number;
      readonly applied: 'applied' | 'running' | 'not-applied' | 'unknown';
      readonly detail: string;
    },
    out: RemediationOutput[],
  ): void {
    const run = this.#runs.get(input.run);
    const live = this.#live.get(input.run);
    if (run?.intent === undefined || live?.pending?.kind !== 'probe' || run.intent.step !== input.step) return;
    live.pending = undefined;
    const settled = live.settledAt !== undefined && now >= live.settledAt;
    if (input.applied === 'applied') this.#done(now, run, live, 'ok', `probed: ${input.detail}`, out);
    else if (input.applied === 'not-applied' && settled) {
      // Known not done: the same try goes on with a new issue.
      this.#done(now, run, live, 'refused', `probed: ${input.detail}`, out);
    } else live.wakeAt = after(now, probeAgainMs);
    this.#everything(now, out);
  }

  tick(now: Instant, out: RemediationOutput[]): void {
    if (this.#heartbeatAt <= now) this.#heartbeat(now, out);
    this.#everything(now, out);
  }

  deadline(): Instant {
    return this.#next;
  }

  runs(): readonly RunView[] {
    return [...this.#runs.values()].map((run) => {
      const spec = this.#byId.get(run.workflowId)?.spec;
      const live = this.#live.get(run.id);
      const waits = run.phase === 'ended' ? undefined : waitsFor(run, live);
      return {
        run: run.id,
        workflow: run.workflow,
        workflowId: run.workflowId,
        thing: spec === undefined ? '' : this.#facts.thing(spec.thing),
        trigger: run.trigger,
        phase: run.phase,
        openedAt: run.openedWall,
        step: run.phase === 'steps' ? spec?.steps[run.step]?.name : undefined,
        state: run.end?.outcome ?? (waits === undefined ? run.phase : `${run.phase} (${waits})`),
        waits,
        outcome: run.end?.outcome,
        reason: run.end?.reason,
      };
    });
  }

  /**
   * Why a workflow does not act right now, most decisive first; empty when it is under way or would begin. For people
   * who ask "why does nobody do anything?".
   */
  explain(now: Instant, workflow: WorkflowIndex): readonly string[] {
    const spec = this.#watches[workflow]?.spec;
    if (spec === undefined) return ['no such workflow'];
    if (!this.#facts.runsHere(spec.runsOn)) return ['it runs on another box'];
    const open = this.#openOf(spec.id);
    if (open !== undefined) return open.denied === undefined ? [] : [`${open.denied.guard}: ${open.denied.reason}`];
    const reasons: string[] = [];
    if (spec.when === undefined) reasons.push('it has no trigger: a timetable, a person or another workflow starts it');
    else {
      const trigger = this.#facts.truth(spec.when, now);
      if (trigger === 'false') reasons.push('the symptom is not there');
      if (trigger === 'unknown') reasons.push(`nobody can tell: ${this.#facts.evidence(spec.when)}`);
      if (this.#facts.flapping?.(spec.when) === true) reasons.push('the symptom flaps: shown, not acted upon');
    }
    const latched = this.#budget.latched(spec.id);
    if (latched !== undefined) reasons.push(`handed to a person (${latched}) until it has been quiet`);
    const proven = this.#budget.proven(now, this.#boot);
    const cooling = this.#budget.coolingMs(spec, proven);
    if (cooling > 0) reasons.push(`cooling down for ${Math.ceil(cooling / 1000)} s`);
    const spent = this.#budget.spent(spec, proven, spec.when !== undefined);
    if (spent !== undefined) reasons.push(spent);
    const busy = this.#busy(spec, undefined);
    if (busy !== undefined) reasons.push(`${busy.id} is at work on the same thing`);
    const denial = guard(spec, now, this.#facts);
    if (denial !== undefined) reasons.push(`${denial.guard}: ${denial.reason}`);
    return reasons;
  }

  /** The durable state alone, for comparing it with the fold of what was written. */
  folded(): { readonly runs: readonly RunState[]; readonly budget: Readonly<Record<string, unknown>> } {
    return { runs: [...this.#runs.values()], budget: this.#budget.snapshot() };
  }

  // -- triggers ----------------------------------------------------------------------------------------------------

  #everything(now: Instant, out: RemediationOutput[]): void {
    for (const run of this.#open()) {
      const live = this.#live.get(run.id);
      if (live !== undefined) this.#advance(now, run, live, out);
    }
    for (const watch of this.#watches) this.#watch(now, watch, out);
    this.#replan();
  }

  #watch(now: Instant, watch: Watch, out: RemediationOutput[]): void {
    const { spec } = watch;
    watch.lookAt = never;
    if (!this.#facts.runsHere(spec.runsOn)) {
      watch.quietSince = undefined;
      return;
    }
    watch.home = true;
    if (watch.writing !== undefined) return;
    if (now < watch.notBefore) {
      watch.lookAt = watch.notBefore;
      return;
    }
    const gone =
      (spec.when === undefined || this.#facts.truth(spec.when, now) === 'false') &&
      this.#facts.truth(spec.verify, now) === 'true';
    if (gone) this.#calm(now, watch, out);
    else watch.quietSince = undefined;
    if (spec.when === undefined) return;
    const trigger = this.#facts.truth(spec.when, now);
    if (trigger === 'unknown') {
      // In doubt, show; do not touch.
      if (!watch.doubtTold) {
        watch.doubtTold = true;
        this.#event(out, 'trigger-unknown', spec.id, 'info', this.#facts.evidence(spec.when), {});
      }
      return;
    }
    watch.doubtTold = false;
    if (trigger === 'true') this.#triggered(now, watch, spec.when, out);
  }

  #triggered(now: Instant, watch: Watch, when: ConditionIndex, out: RemediationOutput[]): void {
    const { spec } = watch;
    if (this.#openOf(spec.id) !== undefined || this.#busy(spec, undefined) !== undefined) return;
    if (this.#rungOpen(spec)) return;
    if (this.#budget.latched(spec.id) !== undefined) return;
    if (this.#facts.flapping?.(when) === true) {
      watch.lookAt = after(now, lookAgainMs);
      if (!watch.flappingTold) {
        watch.flappingTold = true;
        this.#event(out, 'symptom-flapping', spec.id, 'warning', 'the symptom flaps: shown, not acted upon', {});
        for (const alarm of this.#alarmsOf(spec)) {
          watch.mayClear = true;
          out.push({ kind: 'raise-alarm', alarm, why: `flapping: ${this.#facts.evidence(when)}` });
        }
      }
      return;
    }
    watch.flappingTold = false;
    const proven = this.#budget.proven(now, this.#boot);
    const cooling = this.#budget.coolingMs(spec, proven);
    if (cooling > 0) {
      watch.lookAt = after(now, Math.max(1, cooling));
      return;
    }
    const times = this.#facts.times(when);
    const id = this.#newRun(spec);
    const open: JournalDraft = {
      run: id,
      at: now,
      kind: 'open',
      workflow: spec.index,
      workflowId: spec.id,
      trigger: 'condition',
      firstBadAt: times.firstBadAt,
      conditionAt: times.conditionAt,
      level: this.#budget.level(spec.id),
      relapseOf: this.#budget.lastRun(spec.id),
    };
    const spent =
      this.#budget.level(spec.id) >= levelForPerson
        ? `relapsed ${levelForPerson} times: a person must look`
        : this.#budget.spent(spec, proven, true);
    const drafts: JournalDraft[] = [open];
    if (spent !== undefined) drafts.push(this.#endDraft(now, id, 'ESCALATED', spent, {}));
    watch.writing = 'open';
    this.#persist(now, undefined, drafts, 'open', out);
  }

  /** A schedule or a person. */
  #begin(
    now: Instant,
    workflow: WorkflowIndex,
    trigger: 'schedule' | 'order',
    by: string,
    out: RemediationOutput[],
  ): void {
    const watch = this.#watches[workflow];
    if (watch === undefined) return;
    const { spec } = watch;
    if (!this.#facts.runsHere(spec.runsOn)) {
      this.#event(out, 'order-refused', spec.id, 'warning', 'this workflow does not run on this box', { by });
      return;
    }
    if (watch.writing === 'open' || this.#openOf(spec.id) !== undefined) {
      this.#event(out, 'order-folded', spec.id, 'info', 'a run of it is under way; this one is part of it', { by });
      return;
    }
    const open: JournalDraft = {
      run: this.#newRun(spec),
      at: now,
      kind: 'open',
      workflow: spec.index,
      workflowId: spec.id,
      trigger,
      firstBadAt: now,
      conditionAt: now,
      level: 0,
      relapseOf: undefined,
    };
    watch.writing = 'open';
    this.#persist(now, undefined, [open], 'open', out);
    this.#replan();
  }

  /** Symptom gone and verified: alarms that a failed repair raised go, and after `quiet` the level falls. */
  #calm(now: Instant, watch: Watch, out: RemediationOutput[]): void {
    const { spec } = watch;
    watch.quietSince ??= now;
    if (this.#openOf(spec.id) !== undefined || this.#rungOpen(spec)) return;
    if (watch.mayClear) {
      watch.mayClear = false;
      for (const alarm of this.#alarmsOf(spec)) out.push({ kind: 'clear-alarm', alarm });
    }
    watch.flappingTold = false;
    const drafts: JournalDraft[] = [];
    const quieted: Watch[] = [];
    for (const { id } of [spec, ...this.#ladderOf(spec)]) {
      const last = this.#budget.lastRun(id);
      const of = this.#byId.get(id);
      if (last === undefined || of === undefined || of.writing !== undefined) continue;
      drafts.push({ run: last, at: now, kind: 'quiet' });
      quieted.push(of);
    }
    if (drafts.length === 0) return;
    const quietAt = after(watch.quietSince, spec.quietMs);
    if (now < quietAt) {
      watch.lookAt = quietAt;
      return;
    }
    for (const one of quieted) one.writing = 'quiet';
    this.#persist(now, undefined, drafts, 'open', out);
  }

  // -- one run -----------------------------------------------------------------------------------------------------

  #advance(now: Instant, run: RunState, live: Live, out: RemediationOutput[]): void {
    if (live.pending !== undefined && !this.#overdue(now, run, live, out)) return;
    if (now < live.retryAt) {
      live.wakeAt = live.retryAt;
      return;
    }
    live.wakeAt = never;
    if (live.unsaved !== undefined) {
      const drafts = live.unsaved;
      live.unsaved = undefined;
      this.#persist(now, run.id, drafts, 'go-on', out);
      return;
    }
    const spec = this.#byId.get(run.workflowId)?.spec;
    if (spec === undefined) return this.#end(now, run, 'EXPIRED', 'the site file has no such workflow any more', out);
    if (!this.#facts.runsHere(spec.runsOn)) return this.#elsewhere(now, run, live, spec, out);
    switch (run.phase) {
      case 'steps':
        if (run.intent !== undefined) return this.#inDoubt(now, run, live, spec, out);
        if (run.stop !== undefined) return this.#end(now, run, 'CANCELLED', `stopped by ${run.stop}`, out);
        return this.#nextStep(now, run, live, spec, out);
      case 'verify':
        return this.#verify(now, run, live, spec, out);
      case 'soak':
        return this.#soak(now, run, live, spec, out);
      case 'ended':
        return;
    }
  }

  /** Is the pending answer late beyond hope? Then it is given up here. */
  #overdue(now: Instant, run: RunState, live: Live, out: RemediationOutput[]): boolean {
    const pending = live.pending;
    if (pending === undefined || pending.kind === 'persist' || now < pending.until) return false;
    live.pending = undefined;
    switch (pending.kind) {
      case 'baseline':
        this.#intend(now, run, live, '', out);
        return false;
      case 'action':
        this.#doubt(now, run, live, 'no completion came', out);
        return false;
      case 'pause':
        this.#done(now, run, live, 'ok', 'waited', out);
        return false;
      case 'probe':
        return true;
    }
  }

  #nextStep(now: Instant, run: RunState, live: Live, spec: WorkflowSpec, out: RemediationOutput[]): void {
    const step = spec.steps[run.step];
    if (step === undefined) {
      live.verifySince = undefined;
      this.#persist(now, run.id, [{ run: run.id, at: now, kind: 'verify' }], 'go-on', out);
      return;
    }
    if (run.tries > step.retry.times) {
      return this.#end(now, run, 'FAILED', `${step.name}: ${run.log.at(-1)?.detail ?? 'failed'}`, out);
    }
    if (live.issues >= maxIssues) {
      return this.#end(now, run, 'ESCALATED', `${step.name} was refused ${live.issues} times`, out);
    }
    if (!isFixing(step)) return this.#intend(now, run, live, '', out);
    const trigger = this.#trigger(now, run, spec);
    if (trigger === 'false') return this.#recovered(now, run, step, out);
    const denial: Denial | undefined =
      trigger === 'unknown'
        ? { guard: 'trigger', reason: 'nobody can tell whether the symptom is still there' }
        : this.#denial(now, run, spec);
    if (denial !== undefined) return this.#denied(now, run, live, spec, denial, out);
    live.deniedSince = undefined;
    live.pending = { kind: 'baseline', until: after(now, baselineWithinMs) };
    out.push({ kind: 'read-baseline', run: run.id, step: run.step, action: step.action });
  }

  /** The symptom went by itself: nothing more is fixed; what cleans up and tells still runs. */
  #recovered(now: Instant, run: RunState, step: StepSpec, out: RemediationOutput[]): void {
    if (run.firstIntent === undefined) {
      return this.#end(now, run, 'RECOVERED', 'the symptom went before anything was done', out);
    }
    this.#persist(
      now,
      run.id,
      [
        {
          run: run.id,
          at: now,
          kind: 'done',
          step: run.step,
          try: run.tries,
          issue: run.issue,
          outcome: 'skipped',
          detail: `${step.name}: the symptom is gone`,
        },
      ],
      'go-on',
      out,
    );
  }

  #denial(now: Instant, run: RunState, spec: WorkflowSpec): Denial | undefined {
    const denial = guard(spec, now, this.#facts);
    if (denial !== undefined) return denial;
    const busy = this.#busy(spec, run.id);
    if (busy !== undefined) return { guard: 'busy', reason: `${busy.id} is at work on the same thing` };
    // Brakes are asked once, before the first effect: a run under way is finished, not left half done.
    if (this.#budget.charged(run.id)) return undefined;
    const proven = this.#budget.proven(now, this.#boot);
    const spent = this.#budget.spent(spec, proven, run.trigger === 'condition');
    if (spent !== undefined) return { guard: 'budget', reason: spent };
    if (run.trigger !== 'order' && this.#budget.coolingMs(spec, proven) > 0) {
      return { guard: 'budget', reason: 'cooling down after the last effect' };
    }
    return undefined;
  }

  #denied(now: Instant, run: RunState, live: Live, spec: WorkflowSpec, denial: Denial, out: RemediationOutput[]): void {
    live.deniedSince ??= now;
    if (now >= after(live.deniedSince, spec.guardWaitMs)) {
      const outcome = this.#hasEffects(run, spec) ? 'ESCALATED' : 'DENIED';
      return this.#end(now, run, outcome, `${denial.guard}: ${denial.reason}`, out);
    }
    live.wakeAt = instant(
      Math.min(after(live.deniedSince, spec.guardWaitMs), now + this.#random.between(0.5, 1) * lookAgainMs),
    );
    // One entry per change of reason, not one per look.
    if (run.denied?.guard === denial.guard && run.denied.reason === denial.reason) return;
    this.#persist(now, run.id, [{ run: run.id, at: now, kind: 'denied', ...denial }], 'go-on', out);
  }

  #intend(now: Instant, run: RunState, live: Live, baseline: string, out: RemediationOutput[]): void {
    const issue = Math.max(run.issue, live.lastIssue) + 1;
    live.lastIssue = issue;
    live.issues++;
    this.#persist(
      now,
      run.id,
      [
        {
          run: run.id,
          at: now,
          kind: 'intent',
          step: run.step,
          try: run.tries,
          issue,
          notAfter: after(now, freshMs),
          baseline,
        },
      ],
      'issue',
      out,
    );
  }

  /** The intent is durable. Everything is asked once more, in the same call as the effect. */
  #issue(now: Instant, run: RunState, live: Live, out: RemediationOutput[]): void {
    const spec = this.#byId.get(run.workflowId)?.spec;
    const step = spec?.steps[run.step];
    const { intent } = run;
    if (spec === undefined || step === undefined || intent === undefined) return;
    if (run.stop !== undefined || live.stopping) {
      return this.#done(now, run, live, 'refused', 'stopped before it was issued', out);
    }
    if (!this.#facts.runsHere(spec.runsOn)) {
      return this.#done(now, run, live, 'refused', 'it runs on another box now', out);
    }
    if (step.action.kind === 'wait') {
      live.pending = { kind: 'pause', issue: intent.issue, until: after(now, step.action.ms) };
      return;
    }
    if (isFixing(step)) {
      const trigger = this.#trigger(now, run, spec);
      const denial = guard(spec, now, this.#facts);
      if (trigger !== 'true' || denial !== undefined || now >= intent.notAfter) {
        const why = denial?.reason ?? (trigger !== 'true' ? `the symptom is ${trigger}` : 'the intent is too old');
        return this.#done(now, run, live, 'refused', why, out);
      }
    }
    live.pending = {
      kind: 'action',
      issue: intent.issue,
      until: after(now, step.timeoutMs + step.landsWithinMs + completionSlackMs),
      cancelled: false,
    };
    live.settledAt = instant(Math.max(now + step.timeoutMs, intent.notAfter + step.landsWithinMs));
    out.push({
      kind: 'issue-action',
      run: run.id,
      step: run.step,
      try: intent.try,
      issue: intent.issue,
      action: step.action,
      timeoutMs: step.timeoutMs,
      notAfter: instant(Math.max(intent.notAfter, isFixing(step) ? 0 : now + freshMs)),
    });
  }

  #done(
    now: Instant,
    run: RunState,
    live: Live,
    outcome: 'ok' | 'failed' | 'refused' | 'late',
    detail: string,
    out: RemediationOutput[],
  ): void {
    const { intent } = run;
    if (intent === undefined) return;
    const step = this.#byId.get(run.workflowId)?.spec.steps[run.step];
    live.settledAt = undefined;
    if (outcome === 'ok' || outcome === 'failed') live.issues = 0;
    if (outcome === 'failed') live.retryAt = after(now, (step?.retry.backoffMs ?? 0) * 2 ** Math.min(run.tries, 16));
    // Known not done, and cheap to ask again, but not in a tight loop.
    else if (outcome !== 'ok')
      live.retryAt = after(now, this.#random.between(0.5, 1) * Math.min(5_000, 200 * 2 ** live.issues));
    this.#persist(
      now,
      run.id,
      [
        {
          run: run.id,
          at: now,
          kind: 'done',
          step: intent.step,
          try: intent.try,
          issue: intent.issue,
          outcome,
          detail: detail.slice(0, 1_000),
        },
      ],
      'go-on',
      out,
    );
  }

  #doubt(now: Instant, run: RunState, live: Live, detail: string, out: RemediationOutput[]): void {
    this.#persist(
      now,
      run.id,
      [{ run: run.id, at: now, kind: 'doubt', step: run.step, detail: `timed out: ${detail}`.slice(0, 1_000) }],
      'go-on',
      out,
    );
    live.wakeAt = now;
  }

  /** An intent without an outcome, and nothing in flight: did it happen? */
  #inDoubt(now: Instant, run: RunState, live: Live, spec: WorkflowSpec, out: RemediationOutput[]): void {
    const step = spec.steps[run.step];
    const { intent } = run;
    if (intent === undefined) return;
    if (step === undefined) return this.#end(now, run, 'ESCALATED', 'the site file changed under a step in doubt', out);
    // Waiting and telling touch nothing; once more does no harm (rather told twice than never).
    if (!isFixing(step)) {
      return this.#done(now, run, live, 'refused', 'started over after an interruption', out);
    }
    if (run.stop !== undefined) {
      return this.#end(
        now,
        run,
        'ESCALATED',
        `stopped by ${run.stop}; whether ${step.name} happened is not known`,
        out,
      );
    }
    // Another life's intent: its instants mean nothing here, so the full span counts from our start.
    live.settledAt ??= after(intent.boot === this.#boot ? now : this.#startedAt, step.timeoutMs + step.landsWithinMs);
    switch (step.doubt) {
      case 'fire-once':
        return this.#end(
          now,
          run,
          'ESCALATED',
          `whether ${step.name} happened is not known, and it may not be repeated`,
          out,
        );
      case 'idempotent':
        if (now < live.settledAt) {
          live.wakeAt = live.settledAt;
          return;
        }
        return this.#done(now, run, live, 'refused', 'in doubt, settled: once more', out);
      case 'probeable':
        if (now >= after(live.settledAt, unverifiableFactor * Math.max(step.timeoutMs, probeWithinMs))) {
          return this.#end(now, run, 'ESCALATED', `whether ${step.name} happened cannot be found out`, out);
        }
        if (live.lastProbe !== undefined && now < after(live.lastProbe, probeAgainMs)) {
          live.wakeAt = after(live.lastProbe, probeAgainMs);
          return;
        }
        live.lastProbe = now;
        live.pending = { kind: 'probe', until: after(now, probeWithinMs) };
        out.push({ kind: 'probe-action', run: run.id, step: run.step, action: step.action, baseline: intent.baseline });
        return;
    }
  }

  /** The duty went to another box. What was decided here ends here: that box judges afresh. */
  #elsewhere(now: Instant, run: RunState, live: Live, spec: WorkflowSpec, out: RemediationOutput[]): void {
    const watch = this.#byId.get(spec.id);
    if (watch?.home !== true && now < after(this.#startedAt, homecomingMs)) {
      live.wakeAt = after(this.#startedAt, homecomingMs);
      return;
    }
    if (run.intent !== undefined) {
      return this.#end(now, run, 'ESCALATED', 'the duty moved to another box while a step was in doubt', out);
    }
    this.#end(now, run, 'CANCELLED', 'the duty moved to another box', out);
  }

  #verify(now: Instant, run: RunState, live: Live, spec: WorkflowSpec, out: RemediationOutput[]): void {
    live.verifySince ??= now;
    const gone = this.#gone(now, run, spec);
    if (gone === 'true') {
      live.soakSince = now;
      live.blindSince = undefined;
      this.#persist(now, run.id, [{ run: run.id, at: now, kind: 'soak' }], 'go-on', out);
      return;
    }
    const until = after(live.verifySince, spec.verifyTimeoutMs);
    const limit = after(live.verifySince, unverifiableFactor * spec.verifyTimeoutMs);
    if (gone === 'false' && now >= until) {
      return this.#end(now, run, 'FAILED', `still ${this.#symptom(run, spec)}`, out);
    }
    if (now >= limit) return this.#end(now, run, 'ESCALATED', 'unverifiable', out);
    live.wakeAt = now < until ? until : limit;
  }

  #soak(now: Instant, run: RunState, live: Live, spec: WorkflowSpec, out: RemediationOutput[]): void {
    const gone = this.#gone(now, run, spec);
    if (gone === 'false') {
      return this.#end(now, run, 'FAILED', `came back during the soak: ${this.#symptom(run, spec)}`, out);
    }
    if (gone === 'unknown') {
      // Nobody looked: the soak starts over when somebody does.
      live.soakSince = undefined;
      live.blindSince ??= now;
      const limit = after(live.blindSince, unverifiableFactor * spec.verifyTimeoutMs);
      if (now >= limit) return this.#end(now, run, 'ESCALATED', 'unverifiable', out);
      live.wakeAt = limit;
      return;
    }
    live.blindSince = undefined;
    live.soakSince ??= now;
    const until = after(live.soakSince, spec.soakMs);
    if (now < until) {
      live.wakeAt = until;
      return;
    }
    const fixed = run.applied.some((step) => spec.steps[step]?.fixing === true) || spec.when === undefined;
    if (fixed) this.#end(now, run, 'HEALED', 'the symptom is gone and stayed away', out);
    else this.#end(now, run, 'RECOVERED', 'the symptom went before the repair was done', out);
  }

  #stopped(run: RunState, live: Live, out: RemediationOutput[]): void {
    live.stopping = false;
    this.#event(out, 'run-stopping', run.id, 'notice', `stop ordered by ${run.stop ?? 'somebody'}`, {});
    if (live.pending?.kind === 'action' && !live.pending.cancelled && run.intent !== undefined) {
      live.pending.cancelled = true;
      out.push({ kind: 'cancel-action', run: run.id, step: run.step, issue: live.pending.issue });
    }
    // A pause and a baseline have nothing to await.
    if (live.pending?.kind === 'pause' || live.pending?.kind === 'baseline') live.pending = undefined;
  }

  // -- ends --------------------------------------------------------------------------------------------------------

  #end(now: Instant, run: RunState, outcome: RunEnd, reason: string, out: RemediationOutput[]): void {
    const live = this.#live.get(run.id);
    const root = rootOf(this.#runs, run);
    const soakSince = outcome === 'HEALED' ? live?.soakSince : undefined;
    const sameBoot = run.openedBoot === this.#boot;
    const figures = {
      mttdMs: run.trigger === 'condition' ? ms(run.conditionAt - run.firstBadAt) : undefined,
      mttaMs:
        run.firstIntent !== undefined && run.firstIntent.boot === run.openedBoot
          ? ms(run.firstIntent.at - run.conditionAt)
          : undefined,
      // Within one life by the monotonic clock; over lives only the wall clock spans the gap.
      mttrMs:
        soakSince === undefined
          ? undefined
          : ms(
              root.openedBoot === this.#boot
                ? soakSince - root.firstBadAt
                : this.#facts.wallAt(soakSince) - (root.openedWall - (root.openedAt - root.firstBadAt)),
            ),
    };
    const told = soakSince !== undefined && !sameBoot ? `${reason} (times span a restart, by the wall clock)` : reason;
    const drafts: JournalDraft[] = [this.#endDraft(now, run.id, outcome, told, figures)];
    const rung = this.#rung(run, outcome);
    if (rung !== undefined) {
      // In one write with the end: a crash between the two would lose the ladder.
      drafts.push({
        run: this.#newRun(rung),
        at: now,
        kind: 'open',
        workflow: rung.index,
        workflowId: rung.id,
        trigger: 'rung',
        firstBadAt: sameBoot ? run.firstBadAt : now,
        conditionAt: sameBoot ? run.conditionAt : now,
        level: this.#budget.level(rung.id),
        relapseOf: run.id,
      });
    }
    this.#persist(now, run.id, drafts, 'go-on', out);
  }

  #endDraft(
    now: Instant,
    run: RunId,
    outcome: RunEnd,
    reason: string,
    figures: { mttdMs?: number | undefined; mttaMs?: number | undefined; mttrMs?: number | undefined },
  ): JournalDraft {
    return {
      run,
      at: now,
      kind: 'end',
      outcome,
      reason,
      mttdMs: figures.mttdMs,
      mttaMs: figures.mttaMs,
      mttrMs: figures.mttrMs,
    };
  }

  /** What comes after this run on the ladder: its own `if-failed`, then what is left of the one that called it. */
  #remainder(run: RunState): readonly WorkflowSpec['ifFailed'][number][] {
    const items: WorkflowSpec['ifFailed'][number][] = [];
    let current: RunState | undefined = run;
    let from: WorkflowIndex | undefined;
    for (let hops = 0; current !== undefined && hops < 16; hops++) {
      const list: WorkflowSpec['ifFailed'] = this.#byId.get(current.workflowId)?.spec.ifFailed ?? [];
      const at = list.findIndex((item) => item.kind === 'workflow' && item.workflow === from);
      items.push(...list.slice(from === undefined ? 0 : at < 0 ? list.length : at + 1));
      if (current.trigger !== 'rung' || current.relapseOf === undefined) break;
      from = this.#byId.get(current.workflowId)?.spec.index;
      current = this.#runs.get(current.relapseOf);
    }
    return items;
  }

  #rung(run: RunState, outcome: RunEnd): WorkflowSpec | undefined {
    // After STOP nothing is done any more, by whatever name.
    if (run.stop !== undefined) return undefined;
    if (outcome !== 'FAILED' && !(outcome === 'DENIED' && run.trigger === 'rung')) return undefined;
    const seen = new Set<string>();
    for (let r: RunState | undefined = run; r !== undefined && seen.size < 16; ) {
      seen.add(r.workflowId);
      r = r.trigger === 'rung' && r.relapseOf !== undefined ? this.#runs.get(r.relapseOf) : undefined;
    }
    for (const item of this.#remainder(run)) {
      if (item.kind !== 'workflow') continue;
      const next = this.#watches[item.workflow]?.spec;
      // A ladder that leads back to a rung already tried would be a wheel.
      if (next !== undefined && !seen.has(next.id)) return next;
    }
    return undefined;
  }

  #ended(run: RunState, entry: Extract<JournalEntry, { kind: 'end' }>, out: RemediationOutput[]): void {
    const spec = this.#byId.get(run.workflowId)?.spec;
    const live = this.#live.get(run.id);
    this.#live.delete(run.id);
    const root = rootOf(this.#runs, run);
    const firstBadAt = (of: RunState): WallTime => wallTime(of.openedWall - Math.max(0, of.openedAt - of.firstBadAt));
    if (run.trigger === 'condition' || run.trigger === 'rung' || entry.outcome !== 'HEALED') {
      const healed = entry.outcome === 'HEALED' || entry.outcome === 'RECOVERED';
      out.push({
        kind: 'incident',
        body: {
          type: 'incident',
          incident: root.id.replace('#', '-'),
          run: run.id,
          workflow: run.workflowId,
          thing: spec === undefined ? '' : this.#facts.thing(spec.thing),
          symptom: spec === undefined ? '' : this.#symptomName(root, spec),
          outcome: entry.outcome,
          reason: entry.reason,
          firstBadAt: firstBadAt(root),
          conditionAt: wallTime(root.openedWall - Math.max(0, root.openedAt - root.conditionAt)),
          healedAt: healed
            ? live?.soakSince === undefined
              ? entry.wall
              : this.#facts.wallAt(live.soakSince)
            : undefined,
          mttdMs: entry.mttdMs,
          mttaMs: entry.mttaMs,
          mttrMs: entry.mttrMs,
          relapse: run.relapseOf !== undefined && run.trigger === 'condition',
          steps: run.log.map((line) => ({
            name: spec?.steps[line.step]?.name ?? `step ${line.step + 1}`,
            outcome: line.outcome,
            detail: line.detail,
            at: line.wall,
          })),
        },
      });
    }
    if (spec !== undefined) this.#ladderAlarms(run, spec, entry, out);
  }

  #ladderAlarms(
    run: RunState,
    spec: WorkflowSpec,
    entry: Extract<JournalEntry, { kind: 'end' }>,
    out: RemediationOutput[],
  ): void {
    if (entry.outcome === 'HEALED' || entry.outcome === 'RECOVERED' || entry.outcome === 'CANCELLED') return;
    const why = `${short(run.workflowId)} ${entry.outcome.toLowerCase()}: ${entry.reason}`;
    const goesOn = this.#rung(run, entry.outcome) !== undefined;
    let told = goesOn;
    for (const item of this.#remainder(run)) {
      // Alarms that stand behind a rung wait for that rung.
      if (item.kind === 'workflow' && goesOn) break;
      if (item.kind !== 'alarm') continue;
      told = true;
      out.push({ kind: 'raise-alarm', alarm: item.alarm, why });
    }
    const root = this.#byId.get(rootOf(this.#runs, run).workflowId);
    if (root !== undefined) root.mayClear = true;
    const watch = this.#byId.get(spec.id);
    if (watch !== undefined) watch.mayClear = true;
    if (!told) this.#event(out, 'remediation-failed', spec.id, 'error', why, {});
  }

  // -- facts -------------------------------------------------------------------------------------------------------

  #trigger(now: Instant, run: RunState, spec: WorkflowSpec): Truth {
    const when = this.#whenOf(run, spec);
    return when === undefined ? 'true' : this.#facts.truth(when, now);
  }

  /** The condition that this run answers: its own, or that of the run that it is a rung of. */
  #whenOf(run: RunState, spec: WorkflowSpec): ConditionIndex | undefined {
    if (run.trigger === 'condition') return spec.when;
    if (run.trigger !== 'rung') return undefined;
    return this.#byId.get(rootOf(this.#runs, run).workflowId)?.spec.when;
  }

  /** Symptom gone and verification true: what HEALED needs, all at once. */
  #gone(now: Instant, run: RunState, spec: WorkflowSpec): Truth {
    const verify = this.#facts.truth(spec.verify, now);
    const when = this.#whenOf(run, spec);
    const trigger = when === undefined ? 'false' : this.#facts.truth(when, now);
    if (verify === 'false' || trigger === 'true') return 'false';
    return verify === 'true' && trigger === 'false' ? 'true' : 'unknown';
  }

  #symptom(run: RunState, spec: WorkflowSpec): string {
    const when = this.#whenOf(run, spec);
    const evidence = this.#facts.evidence(when ?? spec.verify);
    return evidence === '' ? this.#symptomName(run, spec) : evidence;
  }

  #symptomName(run: RunState, spec: WorkflowSpec): string {
    const when = this.#whenOf(run, this.#byId.get(run.workflowId)?.spec ?? spec);
    return when === undefined ? run.trigger : this.#facts.condition(when);
  }

  #hasEffects(run: RunState, spec: WorkflowSpec): boolean {
    if (run.firstIntent === undefined) return false;
    return run.log.some(
      (line) =>
        spec.steps[line.step]?.fixing === true &&
        line.outcome !== 'skipped' &&
        line.outcome !== 'refused' &&
        line.outcome !== 'late',
    );
  }

  /** Another run that has begun on the same thing. One that only waits at its guards holds nothing. */
  #busy(spec: WorkflowSpec, self: RunId | undefined): RunState | undefined {
    for (const run of this.#runs.values()) {
      if (run.id === self || run.phase === 'ended') continue;
      if (this.#byId.get(run.workflowId)?.spec.thing !== spec.thing) continue;
      if (run.firstIntent !== undefined || run.phase !== 'steps' || this.#isBeginning(run.id)) return run;
    }
    return undefined;
  }

  /** Past its guards and on the way to its first effect. The note of a denial on its way to the disk is no beginning. */
  #isBeginning(id: RunId): boolean {
    const pending = this.#live.get(id)?.pending;
    if (pending?.kind === 'persist') return this.#writes.get(pending.token)?.then === 'issue';
    return pending !== undefined;
  }

  #openOf(workflowId: string): RunState | undefined {
    for (const run of this.#runs.values()) if (run.phase !== 'ended' && run.workflowId === workflowId) return run;
    return undefined;
  }

  #rungOpen(spec: WorkflowSpec): boolean {
    for (const run of this.#runs.values()) {
      if (run.phase !== 'ended' && run.trigger === 'rung' && rootOf(this.#runs, run).workflowId === spec.id)
        return true;
    }
    return false;
  }

  #open(): readonly RunState[] {
    return [...this.#runs.values()].filter((run) => run.phase !== 'ended');
  }

  /** All workflows that this one's ladder can come to. */
  #ladderOf(spec: WorkflowSpec): readonly WorkflowSpec[] {
    const found = new Set<WorkflowSpec>();
    const visit = (of: WorkflowSpec): void => {
      for (const item of of.ifFailed) {
        const next = item.kind === 'workflow' ? this.#watches[item.workflow]?.spec : undefined;
        if (next === undefined || next === spec || found.has(next)) continue;
        found.add(next);
        visit(next);
      }
    };
    visit(spec);
    return [...found];
  }

  #alarmsOf(spec: WorkflowSpec): readonly AlarmIndex[] {
    const alarms = new Set<AlarmIndex>();
    for (const of of [spec, ...this.#ladderOf(spec)]) {
      for (const item of of.ifFailed) if (item.kind === 'alarm') alarms.add(item.alarm);
    }
    return [...alarms];
  }

  // -- journal -----------------------------------------------------------------------------------------------------

  #newRun(spec: WorkflowSpec): RunId {
    // The life is part of the name: a box whose disk was lost must not use an old run's name again.
    return `${spec.id}#${this.#boot.slice(0, 8)}.${++this.#episodes}`;
  }

  #persist(
    now: Instant,
    run: RunId | undefined,
    drafts: readonly JournalDraft[],
    then: Write['then'],
    out: RemediationOutput[],
  ): void {
    const token = ++this.#token;
    const entries = drafts.map(
      (draft) => ({ ...draft, v: 1, boot: this.#boot, wall: this.#facts.wallAt(draft.at) }) as JournalEntry,
    );
    this.#writes.set(token, { entries, drafts, run, then });
    const live = run === undefined ? undefined : this.#live.get(run);
    if (live !== undefined && then !== 'stop') live.pending = { kind: 'persist', token };
    if (drafts.some((draft) => draft.kind !== 'heartbeat'))
      this.#heartbeatAt = instant(Math.min(this.#heartbeatAt, now + heartbeatMs));
    out.push({ kind: 'persist', token, drafts });
  }

  #fold(entry: JournalEntry): void {
    foldRun(this.#runs, entry);
    this.#budget.fold(entry);
    if (entry.kind === 'end') this.#forget();
  }

  /** Keeps memory bounded: the oldest ended runs go, but not those that a standing chain still names. */
  #forget(): void {
    const ended = [...this.#runs.values()].filter((run) => run.phase === 'ended');
    if (ended.length <= keepEnded) return;
    const needed = new Set<RunId>();
    for (const watch of this.#watches) {
      for (let id = this.#budget.lastRun(watch.spec.id), n = 0; id !== undefined && n < 64; n++) {
        needed.add(id);
        id = this.#runs.get(id)?.relapseOf;
      }
    }
    for (const run of this.#open()) if (run.relapseOf !== undefined) needed.add(run.relapseOf);
    for (const run of ended.slice(0, ended.length - keepEnded)) if (!needed.has(run.id)) this.#runs.delete(run.id);
  }

  #tell(now: Instant, entry: JournalEntry, out: RemediationOutput[]): void {
    if (entry.kind === 'heartbeat') return;
    const watch = this.#byId.get(entry.run.slice(0, entry.run.lastIndexOf('#')));
    if (watch !== undefined && watch.writing === entry.kind) watch.writing = undefined;
    const run = this.#runs.get(entry.run);
    if (run === undefined) return;
    const spec = this.#byId.get(run.workflowId)?.spec;
    if (entry.kind === 'open') this.#live.set(run.id, newLive(now));
    out.push({
      kind: 'run-report',
      body: {
        type: 'run',
        run: run.id,
        workflow: run.workflowId,
        thing: spec === undefined ? '' : this.#facts.thing(spec.thing),
        entry: entry.kind,
        detail: this.#detail(entry, spec),
      },
    });
    if (entry.kind === 'end') this.#ended(run, entry, out);
  }

  #detail(entry: JournalEntry, spec: WorkflowSpec | undefined): Detail {
    const detail: Record<string, string | number | boolean> = {};
    for (const [key, value] of Object.entries(entry)) {
      if (
        [
          'v',
          'run',
          'boot',
          'at',
          'wall',
          'kind',
          'notAfter',
          'baseline',
          'firstBadAt',
          'conditionAt',
          'workflow',
          'workflowId',
        ].includes(key)
      )
        continue;
      if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') detail[key] = value;
    }
    if ('step' in entry) detail['name'] = spec?.steps[entry.step]?.name ?? '';
    if (entry.kind === 'open' && spec?.when !== undefined && entry.trigger === 'condition') {
      detail['evidence'] = this.#facts.evidence(spec.when);
    }
    return detail;
  }

  /** Proves that time passes, while something depends on it. */
  #heartbeat(now: Instant, out: RemediationOutput[]): void {
    this.#heartbeatAt = never;
    const braking = this.#budget.braking(this.#budget.proven(now, this.#boot));
    if (!braking && this.#open().length === 0) return;
    this.#persist(now, undefined, [{ run: '', at: now, kind: 'heartbeat' }], 'none', out);
    this.#heartbeatAt = after(now, heartbeatMs);
  }

  #event(
    out: RemediationOutput[],
    name: string,
    subject: string,
    severity: 'info' | 'notice' | 'warning' | 'error',
    text: string,
    detail: Detail,
  ): void {
    out.push({ kind: 'event', body: { type: 'event', name, subject, severity, text, detail } });
  }

  // -- time --------------------------------------------------------------------------------------------------------

  #replan(): void {
    let next: number = this.#heartbeatAt;
    for (const live of this.#live.values()) {
      const pending = live.pending;
      if (pending === undefined) next = Math.min(next, live.wakeAt);
      else if (pending.kind !== 'persist') next = Math.min(next, pending.until);
    }
    for (const watch of this.#watches) if (watch.writing === undefined) next = Math.min(next, watch.lookAt);
    this.#next = instant(next);
  }
}

const newLive = (now: Instant): Live => ({
  pending: undefined,
  wakeAt: now,
  deniedSince: undefined,
  settledAt: undefined,
  lastProbe: undefined,
  verifySince: undefined,
  soakSince: undefined,
  blindSince: undefined,
  retryAt: instant(Number.NEGATIVE_INFINITY),
  issues: 0,
  lastIssue: 0,
  unsaved: undefined,
  stopping: false,
});

/** Waiting and telling touch nothing; guards, trigger and doubt are about what does. */
const isFixing = (step: StepSpec): boolean =>
  step.fixing && step.action.kind !== 'wait' && step.action.kind !== 'notify';

function waitsFor(run: RunState, live: Live | undefined): string | undefined {
  if (live === undefined) return undefined;
  switch (live.pending?.kind) {
    case 'persist':
      return 'the disk';
    case 'baseline':
      return 'a look at how it stands before';
    case 'action':
      return 'the action to complete';
    case 'pause':
      return 'the pause to pass';
    case 'probe':
      return 'a look at whether it happened';
    case undefined:
      break;
  }
  if (run.intent !== undefined) return 'an action in doubt to settle';
  if (run.phase === 'verify') return 'the symptom to be gone';
  if (run.phase === 'soak') return 'the soak to pass';
  return run.denied === undefined ? undefined : `${run.denied.guard}: ${run.denied.reason}`;
}

const ms = (n: number): number => Math.max(0, Math.round(n));
const short = (id: string): string => id.slice(id.lastIndexOf('/') + 1);
