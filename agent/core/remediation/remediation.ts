import type { BootId, ConditionIndex, WorkflowIndex } from '../../base/ids.ts';
import type { Random } from '../../base/random.ts';
import { after, type Instant, instant, never, type WallTime } from '../../base/time.ts';
import type { Truth } from '../../base/truth.ts';
import { levelForPerson } from './budget.ts';
import { guard } from './guards.ts';
import type { JournalDraft, JournalEntry, RunEnd, RunId } from './journal-entry.ts';
import { JournalWriter } from './journal-writer.ts';
import { Ladder } from './ladder.ts';
import { type LiveRun, newLiveRun, waitsFor } from './live-run.ts';
import type { RemediationFacts } from './remediation-facts.ts';
import { type RemediationOutput, sayEvent } from './remediation-output.ts';
import { type RunState, rootOf } from './run.ts';
import { RunLedger } from './run-ledger.ts';
import { RunReporter } from './run-reporter.ts';
import { endDraft, RunSteps } from './run-steps.ts';
import type { WorkflowSpec } from './workflow.ts';

/** A flapping symptom is looked at again about this often. */
const lookAgainMs = 5_000;
/** An action in doubt is looked at again this soon when it is still under way. */
const probeAgainMs = 500;

export interface RemediationOptions {
  readonly workflows: readonly WorkflowSpec[];
  readonly identity: { readonly boot: BootId };
  /** The journal, oldest entry first. */
  readonly restored: readonly JournalEntry[];
  readonly random: Random;
  readonly facts: RemediationFacts;
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
 * more (idempotent), ask (probeable), or call a person (fire-once). A time-out is such a doubt, and no failure; but the
 * attempt is spent, so a step that keeps timing out comes to its ladder and to people by the rules of one that keeps failing.
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
  readonly #facts: RemediationFacts;
  readonly #watches: readonly Watch[];
  readonly #byId = new Map<string, Watch>();
  readonly #live = new Map<RunId, LiveRun>();
  readonly #ledger: RunLedger;
  readonly #ladder: Ladder;
  readonly #writer: JournalWriter;
  readonly #steps: RunSteps;
  readonly #reporter: RunReporter;
  readonly #usesPermits: boolean;
  #next: Instant = never;

  constructor({ workflows, identity, restored, random, facts }: RemediationOptions) {
    const { boot } = identity;
    this.#boot = boot;
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
    this.#usesPermits = workflows.some(({ permit }) => permit !== undefined);
    const live = this.#live;
    const ledger = new RunLedger(workflows, restored);
    const ladder = new Ladder(workflows, ledger.runs);
    const writer = new JournalWriter(ledger, live, boot, (at) => facts.wallAt(at));
    const steps = new RunSteps({ boot, random, facts, byId: this.#byId, live, ledger, ladder, writer });
    this.#ledger = ledger;
    this.#ladder = ladder;
    this.#writer = writer;
    this.#steps = steps;
    this.#reporter = new RunReporter({ facts, workflows, ledger, ladder, steps });
  }

  start(now: Instant, out: RemediationOutput[]): void {
    this.#steps.start(now);
    this.#writer.heartbeat(now, out);
    for (const run of this.#ledger.open()) this.#live.set(run.id, newLiveRun(now));
    for (const run of this.#ledger.open()) {
      sayEvent(out, 'run-resumed', run.id, 'notice', `resumed in ${run.phase}`, { step: run.step });
    }
    this.#everything(now, out);
  }

  conditionChanged(now: Instant, _condition: ConditionIndex, _truth: Truth, out: RemediationOutput[]): void {
    // Any condition may be a trigger, a guard, or a verification of any run; there are few runs.
    this.#everything(now, out);
  }

  /** What conditions mean for those who act has changed otherwise: a cause came or went, or a maintenance. */
  conditionsMoved(now: Instant, out: RemediationOutput[]): void {
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
    const run = this.#ledger.runs.get(id);
    const live = this.#live.get(id);
    if (run === undefined || live === undefined || run.phase === 'ended') {
      sayEvent(out, 'stop-refused', id, 'warning', 'no such run is under way', { by });
      return;
    }
    if (live.stopping || run.stop !== undefined) return;
    live.stopping = true;
    this.#writer.write(now, id, [{ run: id, at: now, kind: 'stop', by }], 'stop', out);
    this.#replan();
  }

  persisted(now: Instant, token: number, out: RemediationOutput[]): void {
    const write = this.#writer.answered(token);
    if (write === undefined) return;
    this.#writer.succeeded();
    const live = write.run === undefined ? undefined : this.#live.get(write.run);
    if (live?.pending?.kind === 'persist' && live.pending.token === token) live.pending = undefined;
    for (const entry of write.entries) {
      this.#ledger.fold(entry);
      this.#tell(now, entry, out);
    }
    const run = write.run === undefined ? undefined : this.#ledger.runs.get(write.run);
    if (run !== undefined && live !== undefined) {
      if (write.then === 'issue') this.#steps.issue(now, run, live, out);
      else if (write.then === 'stop') this.#steps.stopped(run, live, out);
    }
    this.#everything(now, out);
  }

  /** A failed write means no effect. Known outcomes are kept in memory and tried again. */
  persistFailed(now: Instant, token: number, _reason: string, out: RemediationOutput[]): void {
    const write = this.#writer.answered(token);
    if (write === undefined) return;
    const again = after(now, this.#writer.failed());
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
          sayEvent(out, 'order-refused', watch.spec.id, 'error', 'it could not be written down; give it again', {});
        }
      }
    }
    if (write.then === 'stop' && write.run !== undefined) {
      sayEvent(out, 'stop-refused', write.run, 'error', 'the order could not be written down; give it again', {});
    }
    this.#replan();
  }

  baselineRead(
    now: Instant,
    input: { readonly run: RunId; readonly step: number; readonly baseline: string },
    out: RemediationOutput[],
  ): void {
    const run = this.#ledger.runs.get(input.run);
    const live = this.#live.get(input.run);
    if (run === undefined || live?.pending?.kind !== 'baseline' || run.step !== input.step) return;
    live.pending = undefined;
    this.#steps.intend(now, run, live, input.baseline, out);
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
    const run = this.#ledger.runs.get(input.run);
    const live = this.#live.get(input.run);
    if (run === undefined || live === undefined || run.phase !== 'steps') return;
    const intent = run.intent;
    // Only the latest issue counts: an older one's word is about an effect that was settled before.
    if (intent === undefined || intent.step !== input.step || intent.issue !== input.issue) return;
    if (intent.boot !== this.#boot || live.unsaved !== undefined) return;
    // While an outcome is being written, a second one cannot be true.
    if (live.pending !== undefined && live.pending.kind !== 'action' && live.pending.kind !== 'probe') return;
    live.pending = undefined;
    if (input.outcome === 'timed-out') this.#steps.doubt(now, run, live, input.detail, out);
    else this.#steps.done(now, run, live, input.outcome, input.detail, out);
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
    const run = this.#ledger.runs.get(input.run);
    const live = this.#live.get(input.run);
    if (run?.intent === undefined || live?.pending?.kind !== 'probe' || run.intent.step !== input.step) return;
    live.pending = undefined;
    const settled = live.settledAt !== undefined && now >= live.settledAt;
    if (input.applied === 'applied') this.#steps.done(now, run, live, 'ok', `probed: ${input.detail}`, out);
    else if (input.applied === 'not-applied' && settled) {
      // Known not done: the same try goes on with a new issue.
      this.#steps.done(now, run, live, 'refused', `probed: ${input.detail}`, out);
    } else live.wakeAt = after(now, probeAgainMs);
    this.#everything(now, out);
  }

  tick(now: Instant, out: RemediationOutput[]): void {
    if (this.#writer.heartbeatAt <= now) this.#writer.heartbeat(now, out);
    this.#everything(now, out);
  }

  deadline(): Instant {
    return this.#next;
  }

  runs(): readonly RunView[] {
    return [...this.#ledger.runs.values()].map((run) => {
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
    const open = this.#ledger.openOf(spec.id);
    if (open !== undefined) return open.denied === undefined ? [] : [`${open.denied.guard}: ${open.denied.reason}`];
    const reasons: string[] = [];
    if (spec.when === undefined) reasons.push('it has no trigger: a timetable, a person or another workflow starts it');
    else {
      const trigger = this.#facts.truth(spec.when, now);
      if (trigger === 'false') reasons.push('the symptom is not there');
      if (trigger === 'unknown') reasons.push(`nobody can tell: ${this.#facts.evidence(spec.when)}`);
      if (this.#facts.flapping?.(spec.when) === true) reasons.push('the symptom flaps: shown, not acted upon');
    }
    const latched = this.#ledger.budget.latched(spec.id);
    if (latched !== undefined) reasons.push(`handed to a person (${latched}) until it has been quiet`);
    const proven = this.#ledger.budget.proven(now, this.#boot);
    const cooling = this.#ledger.budget.coolingMs(spec, proven);
    if (cooling > 0) reasons.push(`cooling down for ${Math.ceil(cooling / 1000)} s`);
    const spent = this.#ledger.budget.spent(spec, proven, spec.when !== undefined);
    if (spent !== undefined) reasons.push(spent);
    const busy = this.#steps.busy(spec, undefined);
    if (busy !== undefined) reasons.push(`${busy.id} is at work on the same thing`);
    const denial = guard(spec, now, this.#facts);
    if (denial !== undefined) reasons.push(`${denial.guard}: ${denial.reason}`);
    return reasons;
  }

  /** Runs that need a permit now: from the moment when nothing else holds them back until their last step ended. */
  permitNeeds(): readonly { readonly run: RunId; readonly permit: NonNullable<WorkflowSpec['permit']> }[] {
    if (!this.#usesPermits) return [];
    return this.#ledger.open().flatMap((run) => {
      const permit = this.#byId.get(run.workflowId)?.spec.permit;
      if (permit === undefined || run.phase !== 'steps') return [];
      const isNeeded = run.firstIntent !== undefined || this.#live.get(run.id)?.permitWanted === true;
      return isNeeded ? [{ run: run.id, permit }] : [];
    });
  }

  /** The workflow of a run, while the site file has it. */
  workflowOf(run: RunId): WorkflowSpec | undefined {
    const workflow = this.#ledger.runs.get(run)?.workflowId;
    return workflow === undefined ? undefined : this.#byId.get(workflow)?.spec;
  }

  /** An effect of this run may still land, and nobody knows. */
  inDoubt(run: RunId): boolean {
    return this.#ledger.runs.get(run)?.intent !== undefined;
  }

  /** A permit came or went. */
  permitsChanged(now: Instant, out: RemediationOutput[]): void {
    this.#everything(now, out);
  }

  /** The durable state alone, for comparing it with the fold of what was written. */
  folded(): { readonly runs: readonly RunState[]; readonly budget: Readonly<Record<string, unknown>> } {
    return this.#ledger.folded();
  }

  // -- triggers ----------------------------------------------------------------------------------------------------

  #everything(now: Instant, out: RemediationOutput[]): void {
    for (const run of this.#ledger.open()) {
      const live = this.#live.get(run.id);
      if (live !== undefined) this.#steps.advance(now, run, live, out);
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
        sayEvent(out, 'trigger-unknown', spec.id, 'info', this.#facts.evidence(spec.when), {});
      }
      return;
    }
    watch.doubtTold = false;
    if (trigger === 'true') this.#triggered(now, watch, spec.when, out);
  }

  #triggered(now: Instant, watch: Watch, when: ConditionIndex, out: RemediationOutput[]): void {
    const { spec } = watch;
    if (this.#ledger.openOf(spec.id) !== undefined || this.#steps.busy(spec, undefined) !== undefined) return;
    if (this.#ladder.isOpen(spec)) return;
    if (this.#ledger.budget.latched(spec.id) !== undefined) return;
    if (this.#facts.flapping?.(when) === true) {
      watch.lookAt = after(now, lookAgainMs);
      if (!watch.flappingTold) {
        watch.flappingTold = true;
        sayEvent(out, 'symptom-flapping', spec.id, 'warning', 'the symptom flaps: shown, not acted upon', {});
        for (const alarm of this.#ladder.alarms(spec)) {
          watch.mayClear = true;
          out.push({ kind: 'raise-alarm', alarm, why: `flapping: ${this.#facts.evidence(when)}` });
        }
      }
      return;
    }
    watch.flappingTold = false;
    const proven = this.#ledger.budget.proven(now, this.#boot);
    const cooling = this.#ledger.budget.coolingMs(spec, proven);
    if (cooling > 0) {
      watch.lookAt = after(now, Math.max(1, cooling));
      return;
    }
    const times = this.#facts.times(when);
    const id = this.#writer.nameRun(spec);
    const open: JournalDraft = {
      run: id,
      at: now,
      kind: 'open',
      workflow: spec.index,
      workflowId: spec.id,
      trigger: 'condition',
      firstBadAt: times.firstBadAt,
      conditionAt: times.conditionAt,
      level: this.#ledger.budget.level(spec.id),
      relapseOf: this.#ledger.budget.lastRun(spec.id),
    };
    const spent =
      this.#ledger.budget.level(spec.id) >= levelForPerson
        ? `relapsed ${levelForPerson} times: a person must look`
        : this.#ledger.budget.spent(spec, proven, true);
    const drafts: JournalDraft[] = [open];
    if (spent !== undefined) drafts.push(endDraft(now, id, 'ESCALATED', spent, {}));
    watch.writing = 'open';
    this.#writer.write(now, undefined, drafts, 'open', out);
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
      sayEvent(out, 'order-refused', spec.id, 'warning', 'this workflow does not run on this box', { by });
      return;
    }
    if (watch.writing === 'open' || this.#ledger.openOf(spec.id) !== undefined) {
      sayEvent(out, 'order-folded', spec.id, 'info', 'a run of it is under way; this one is part of it', { by });
      return;
    }
    const open: JournalDraft = {
      run: this.#writer.nameRun(spec),
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
    this.#writer.write(now, undefined, [open], 'open', out);
    this.#replan();
  }

  /** Symptom gone and verified: alarms that a failed repair raised go, and after `quiet` the level falls. */
  #calm(now: Instant, watch: Watch, out: RemediationOutput[]): void {
    const { spec } = watch;
    watch.quietSince ??= now;
    if (this.#ledger.openOf(spec.id) !== undefined || this.#ladder.isOpen(spec)) return;
    if (watch.mayClear) {
      watch.mayClear = false;
      for (const alarm of this.#ladder.alarms(spec)) out.push({ kind: 'clear-alarm', alarm });
    }
    watch.flappingTold = false;
    const drafts: JournalDraft[] = [];
    const quieted: Watch[] = [];
    for (const { id } of [spec, ...this.#ladder.below(spec)]) {
      const last = this.#ledger.budget.lastRun(id);
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
    this.#writer.write(now, undefined, drafts, 'open', out);
  }

  #tell(now: Instant, entry: JournalEntry, out: RemediationOutput[]): void {
    if (entry.kind === 'heartbeat') return;
    const watch = this.#byId.get(entry.run.slice(0, entry.run.lastIndexOf('#')));
    if (watch !== undefined && watch.writing === entry.kind) watch.writing = undefined;
    const run = this.#ledger.runs.get(entry.run);
    if (run === undefined) return;
    if (entry.kind === 'open') this.#live.set(run.id, newLiveRun(now));
    this.#reporter.entry(run, entry, out);
    if (entry.kind !== 'end') return;
    const live = this.#live.get(run.id);
    this.#live.delete(run.id);
    this.#reporter.ended(run, live, entry, out);
    if (entry.outcome === 'HEALED' || entry.outcome === 'RECOVERED' || entry.outcome === 'CANCELLED') return;
    // Alarms may stand now that a calm of either must take down.
    for (const id of [run.workflowId, rootOf(this.#ledger.runs, run).workflowId]) {
      const of = this.#byId.get(id);
      if (of !== undefined) of.mayClear = true;
    }
  }

  // -- time --------------------------------------------------------------------------------------------------------

  #replan(): void {
    let next: number = this.#writer.heartbeatAt;
    for (const live of this.#live.values()) {
      const pending = live.pending;
      if (pending === undefined) next = Math.min(next, live.wakeAt);
      else if (pending.kind !== 'persist') next = Math.min(next, pending.until);
    }
    for (const watch of this.#watches) if (watch.writing === undefined) next = Math.min(next, watch.lookAt);
    this.#next = instant(next);
  }
}
