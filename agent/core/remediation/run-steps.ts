import type { BootId, ConditionIndex } from '../../base/ids.ts';
import type { Random } from '../../base/random.ts';
import { after, type Instant, instant, never } from '../../base/time.ts';
import type { Truth } from '../../base/truth.ts';
import { type Denial, guard, interlock } from './guards.ts';
import type { JournalDraft, RunEnd, RunId } from './journal-entry.ts';
import type { JournalWriter } from './journal-writer.ts';
import type { Ladder } from './ladder.ts';
import type { LiveRun } from './live-run.ts';
import type { RemediationFacts } from './remediation-facts.ts';
import { type RemediationOutput, sayEvent } from './remediation-output.ts';
import { type RunState, rootOf } from './run.ts';
import type { RunLedger } from './run-ledger.ts';
import type { StepSpec, WorkflowSpec } from './workflow.ts';

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
/** Refusals and late starts of one attempt; each is known not to have happened, yet they may not go on for ever. */
const maxIssues = 20;
/** Unknown pauses verification and soak, up to this many times the time-out of `verify`. */
const unverifiableFactor = 3;
/** Who comes to the end of a soak later than this was not there to see it. */
const unseenMs = 500;

/** What the steps of a run ask of its workflow. */
export interface Home {
  readonly spec: WorkflowSpec;
  /** Ran here at least once in this life. */
  readonly home: boolean;
}

/**
 * Takes one run from state to state: guards → baseline → intent → effect → outcome, or doubt; then verification, soak
 * and end. Each decision goes to the journal first; whoever calls folds what came back and calls `advance` again.
 */
export class RunSteps {
  readonly #boot: BootId;
  readonly #random: Random;
  readonly #facts: RemediationFacts;
  readonly #byId: ReadonlyMap<string, Home>;
  readonly #live: ReadonlyMap<RunId, LiveRun>;
  readonly #ledger: RunLedger;
  readonly #ladder: Ladder;
  readonly #writer: JournalWriter;
  #startedAt: Instant = instant(0);

  constructor(parts: {
    boot: BootId;
    random: Random;
    facts: RemediationFacts;
    byId: ReadonlyMap<string, Home>;
    live: ReadonlyMap<RunId, LiveRun>;
    ledger: RunLedger;
    ladder: Ladder;
    writer: JournalWriter;
  }) {
    this.#boot = parts.boot;
    this.#random = parts.random;
    this.#facts = parts.facts;
    this.#byId = parts.byId;
    this.#live = parts.live;
    this.#ledger = parts.ledger;
    this.#ladder = parts.ladder;
    this.#writer = parts.writer;
  }

  /** This life began. */
  start(now: Instant): void {
    this.#startedAt = now;
  }

  /** Takes the run as far as it can go now. */
  advance(now: Instant, run: RunState, live: LiveRun, out: RemediationOutput[]): void {
    if (live.pending !== undefined && !this.#overdue(now, run, live, out)) return;
    if (now < live.retryAt) {
      live.wakeAt = live.retryAt;
      return;
    }
    live.wakeAt = never;
    if (live.unsaved !== undefined) {
      const drafts = live.unsaved;
      live.unsaved = undefined;
      this.#writer.write(now, run.id, drafts, 'go-on', out);
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
  #overdue(now: Instant, run: RunState, live: LiveRun, out: RemediationOutput[]): boolean {
    const pending = live.pending;
    if (pending === undefined || pending.kind === 'persist' || now < pending.until) return false;
    live.pending = undefined;
    switch (pending.kind) {
      case 'baseline':
        this.intend(now, run, live, '', out);
        return false;
      case 'action':
        this.doubt(now, run, live, 'no completion came', out);
        return false;
      case 'pause':
        this.done(now, run, live, 'ok', 'waited', out);
        return false;
      case 'probe':
        return true;
    }
  }

  #nextStep(now: Instant, run: RunState, live: LiveRun, spec: WorkflowSpec, out: RemediationOutput[]): void {
    const step = spec.steps[run.step];
    if (step === undefined) {
      live.verifySince = undefined;
      this.#writer.write(now, run.id, [{ run: run.id, at: now, kind: 'verify' }], 'go-on', out);
      return;
    }
    if (run.tries + run.timeouts > step.retry.times) return this.#spent(now, run, live, spec, step, out);
    if (live.issues >= maxIssues) {
      return this.#end(now, run, 'ESCALATED', `${step.name} was refused ${live.issues} times`, out);
    }
    if (!isFixing(step)) return this.intend(now, run, live, '', out);
    const trigger = this.#trigger(now, run, spec);
    if (trigger === 'false') return this.#recovered(now, run, step, out);
    const denial: Denial | undefined =
      trigger === 'unknown'
        ? { guard: 'trigger', reason: 'nobody can tell whether the symptom is still there' }
        : (this.#denial(now, run, spec) ?? interlock(step, now, this.#facts) ?? this.#permitDenial(run, spec));
    live.permitWanted = denial === undefined || denial.guard === 'permit';
    if (denial !== undefined) return this.#denied(now, run, live, spec, denial, out);
    live.deniedSince = undefined;
    live.pending = { kind: 'baseline', until: after(now, baselineWithinMs) };
    out.push({ kind: 'read-baseline', run: run.id, step: run.step, action: step.action });
  }

  /**
   * No attempt is left. One that is known to have failed ends the run; what one did that timed out shows in the symptom,
   * for which it gets the time that a verification gets. Then people are told, as after any other failure.
   */
  #spent(
    now: Instant,
    run: RunState,
    live: LiveRun,
    spec: WorkflowSpec,
    step: StepSpec,
    out: RemediationOutput[],
  ): void {
    const last = run.log.at(-1);
    if (run.timeouts === 0 || last?.outcome === 'failed') {
      return this.#end(now, run, 'FAILED', `${step.name}: ${last?.detail ?? 'failed'}`, out);
    }
    if (isFixing(step) && this.whenOf(run, spec) !== undefined) {
      if (this.#trigger(now, run, spec) === 'false') {
        live.verifySince = undefined;
        return this.#recovered(now, run, step, out);
      }
      live.verifySince ??= now;
      const until = after(live.verifySince, spec.verifyTimeoutMs);
      if (now < until) {
        live.wakeAt = until;
        return;
      }
    }
    const why =
      run.log.findLast((line) => line.step === run.step && line.outcome === 'in doubt')?.detail ?? 'timed out';
    const times = run.timeouts === 1 ? '' : ` (${run.timeouts} times)`;
    this.#end(now, run, 'FAILED', `${step.name}${times}: ${why}`, out);
  }

  /** The symptom went by itself: nothing more is fixed; what cleans up and tells still runs. */
  #recovered(now: Instant, run: RunState, step: StepSpec, out: RemediationOutput[]): void {
    if (run.firstIntent === undefined) {
      return this.#end(now, run, 'RECOVERED', 'the symptom went before anything was done', out);
    }
    this.#writer.write(
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
    const busy = this.busy(spec, run.id);
    if (busy !== undefined) return { guard: 'busy', reason: `${busy.id} is at work on the same thing` };
    // Brakes are asked once, before the first effect: a run under way is finished, not left half done.
    if (this.#ledger.budget.charged(run.id)) return undefined;
    const proven = this.#ledger.budget.proven(now, this.#boot);
    const spent = this.#ledger.budget.spent(spec, proven, run.trigger === 'condition');
    if (spent !== undefined) return { guard: 'budget', reason: spent };
    if (run.trigger !== 'order' && this.#ledger.budget.coolingMs(spec, proven) > 0) {
      return { guard: 'budget', reason: 'cooling down after the last effect' };
    }
    return undefined;
  }

  /** Asked last: who waits for something else must not keep a permit from others. */
  #permitDenial(run: RunState, spec: WorkflowSpec): Denial | undefined {
    if (spec.permit === undefined || this.#facts.permit === undefined) return undefined;
    const reason = this.#facts.permit(run.id, spec.permit);
    return reason === undefined ? undefined : { guard: 'permit', reason };
  }

  #denied(
    now: Instant,
    run: RunState,
    live: LiveRun,
    spec: WorkflowSpec,
    denial: Denial,
    out: RemediationOutput[],
  ): void {
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
    this.#writer.write(now, run.id, [{ run: run.id, at: now, kind: 'denied', ...denial }], 'go-on', out);
  }

  /** Writes down what will be done, before it is. */
  intend(now: Instant, run: RunState, live: LiveRun, baseline: string, out: RemediationOutput[]): void {
    const issue = Math.max(run.issue, live.lastIssue) + 1;
    live.lastIssue = issue;
    live.issues++;
    this.#writer.write(
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
  issue(now: Instant, run: RunState, live: LiveRun, out: RemediationOutput[]): void {
    const spec = this.#byId.get(run.workflowId)?.spec;
    const step = spec?.steps[run.step];
    const { intent } = run;
    if (spec === undefined || step === undefined || intent === undefined) return;
    if (run.stop !== undefined || live.stopping) {
      return this.done(now, run, live, 'refused', 'stopped before it was issued', out);
    }
    if (!this.#facts.runsHere(spec.runsOn)) {
      return this.done(now, run, live, 'refused', 'it runs on another box now', out);
    }
    if (step.action.kind === 'wait') {
      live.pending = { kind: 'pause', issue: intent.issue, until: after(now, step.action.ms) };
      return;
    }
    if (isFixing(step)) {
      const trigger = this.#trigger(now, run, spec);
      const denial =
        guard(spec, now, this.#facts) ?? interlock(step, now, this.#facts) ?? this.#permitDenial(run, spec);
      if (trigger !== 'true' || denial !== undefined || now >= intent.notAfter) {
        const why = denial?.reason ?? (trigger !== 'true' ? `the symptom is ${trigger}` : 'the intent is too old');
        return this.done(now, run, live, 'refused', why, out);
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

  /** The outcome of the intent is known. */
  done(
    now: Instant,
    run: RunState,
    live: LiveRun,
    outcome: 'ok' | 'failed' | 'refused' | 'late',
    detail: string,
    out: RemediationOutput[],
  ): void {
    const { intent } = run;
    if (intent === undefined) return;
    const step = this.#byId.get(run.workflowId)?.spec.steps[run.step];
    live.settledAt = undefined;
    // One that timed out is spent like one that failed, whatever it came to.
    const isSpent = outcome === 'failed' || intent.timedOut;
    const before = run.tries + run.timeouts - (intent.timedOut ? 1 : 0);
    if (outcome === 'ok' || isSpent) live.issues = 0;
    if (isSpent && outcome !== 'ok')
      live.retryAt = after(now, (step?.retry.backoffMs ?? 0) * 2 ** Math.min(before, 16));
    // Known not done, and cheap to ask again, but not in a tight loop.
    else if (outcome !== 'ok')
      live.retryAt = after(now, this.#random.between(0.5, 1) * Math.min(5_000, 200 * 2 ** live.issues));
    this.#writer.write(
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

  /** Nobody knows what became of the intent; the attempt is spent. */
  doubt(now: Instant, run: RunState, live: LiveRun, detail: string, out: RemediationOutput[]): void {
    this.#writer.write(
      now,
      run.id,
      [{ run: run.id, at: now, kind: 'doubt', step: run.step, detail: `timed out: ${detail}`.slice(0, 1_000) }],
      'go-on',
      out,
    );
    live.wakeAt = now;
  }

  /** An intent without an outcome, and nothing in flight: did it happen? */
  #inDoubt(now: Instant, run: RunState, live: LiveRun, spec: WorkflowSpec, out: RemediationOutput[]): void {
    const step = spec.steps[run.step];
    const { intent } = run;
    if (intent === undefined) return;
    if (step === undefined) return this.#end(now, run, 'ESCALATED', 'the site file changed under a step in doubt', out);
    // Waiting and telling touch nothing; once more does no harm (rather told twice than never).
    if (!isFixing(step)) {
      return this.done(now, run, live, 'refused', 'started over after an interruption', out);
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
        return this.done(now, run, live, 'refused', 'in doubt, settled: once more', out);
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
  #elsewhere(now: Instant, run: RunState, live: LiveRun, spec: WorkflowSpec, out: RemediationOutput[]): void {
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

  #verify(now: Instant, run: RunState, live: LiveRun, spec: WorkflowSpec, out: RemediationOutput[]): void {
    live.verifySince ??= now;
    const gone = this.#gone(now, run, spec);
    if (gone === 'true') {
      live.soakSince = now;
      live.blindSince = undefined;
      this.#writer.write(now, run.id, [{ run: run.id, at: now, kind: 'soak' }], 'go-on', out);
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

  #soak(now: Instant, run: RunState, live: LiveRun, spec: WorkflowSpec, out: RemediationOutput[]): void {
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
    if (now >= after(until, unseenMs)) {
      // This process stood still, and so did its checks: nobody looked. The soak starts over.
      live.soakSince = now;
      live.wakeAt = after(now, spec.soakMs);
      return;
    }
    const fixed = run.applied.some((step) => spec.steps[step]?.fixing === true) || spec.when === undefined;
    if (fixed) this.#end(now, run, 'HEALED', 'the symptom is gone and stayed away', out);
    else this.#end(now, run, 'RECOVERED', 'the symptom went before the repair was done', out);
  }

  /** STOP is durable. */
  stopped(run: RunState, live: LiveRun, out: RemediationOutput[]): void {
    live.stopping = false;
    sayEvent(out, 'run-stopping', run.id, 'notice', `stop ordered by ${run.stop ?? 'somebody'}`, {});
    if (live.pending?.kind === 'action' && !live.pending.cancelled && run.intent !== undefined) {
      live.pending.cancelled = true;
      out.push({ kind: 'cancel-action', run: run.id, step: run.step, issue: live.pending.issue });
    }
    // A pause and a baseline have nothing to await.
    if (live.pending?.kind === 'pause' || live.pending?.kind === 'baseline') live.pending = undefined;
  }

  #end(now: Instant, run: RunState, outcome: RunEnd, reason: string, out: RemediationOutput[]): void {
    const live = this.#live.get(run.id);
    const root = rootOf(this.#ledger.runs, run);
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
    const drafts: JournalDraft[] = [endDraft(now, run.id, outcome, told, figures)];
    const rung = this.#ladder.rung(run, outcome);
    if (rung !== undefined) {
      // In one write with the end: a crash between the two would lose the ladder.
      drafts.push({
        run: this.#writer.nameRun(rung),
        at: now,
        kind: 'open',
        workflow: rung.index,
        workflowId: rung.id,
        trigger: 'rung',
        firstBadAt: sameBoot ? run.firstBadAt : now,
        conditionAt: sameBoot ? run.conditionAt : now,
        level: this.#ledger.budget.level(rung.id),
        relapseOf: run.id,
      });
    }
    this.#writer.write(now, run.id, drafts, 'go-on', out);
  }

  // -- facts -------------------------------------------------------------------------------------------------------

  #trigger(now: Instant, run: RunState, spec: WorkflowSpec): Truth {
    const when = this.whenOf(run, spec);
    return when === undefined ? 'true' : this.#facts.truth(when, now);
  }

  /** The condition that this run answers: its own, or that of the run that it is a rung of. */
  whenOf(run: RunState, spec: WorkflowSpec): ConditionIndex | undefined {
    if (run.trigger === 'condition') return spec.when;
    if (run.trigger !== 'rung') return undefined;
    return this.#byId.get(rootOf(this.#ledger.runs, run).workflowId)?.spec.when;
  }

  /** Symptom gone and verification true: what HEALED needs, all at once. */
  #gone(now: Instant, run: RunState, spec: WorkflowSpec): Truth {
    const verify = this.#facts.truth(spec.verify, now);
    const when = this.whenOf(run, spec);
    const trigger = when === undefined ? 'false' : this.#facts.truth(when, now);
    if (verify === 'false' || trigger === 'true') return 'false';
    return verify === 'true' && trigger === 'false' ? 'true' : 'unknown';
  }

  #symptom(run: RunState, spec: WorkflowSpec): string {
    const when = this.whenOf(run, spec);
    const evidence = this.#facts.evidence(when ?? spec.verify);
    return evidence === '' ? this.symptomName(run, spec) : evidence;
  }

  symptomName(run: RunState, spec: WorkflowSpec): string {
    const when = this.whenOf(run, this.#byId.get(run.workflowId)?.spec ?? spec);
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
  busy(spec: WorkflowSpec, self: RunId | undefined): RunState | undefined {
    for (const run of this.#ledger.runs.values()) {
      if (run.id === self || run.phase === 'ended') continue;
      if (this.#byId.get(run.workflowId)?.spec.thing !== spec.thing) continue;
      if (run.firstIntent !== undefined || run.phase !== 'steps' || this.#isBeginning(run.id)) return run;
    }
    return undefined;
  }

  /** Past its guards and on the way to its first effect. The note of a denial on its way to the disk is no beginning. */
  #isBeginning(id: RunId): boolean {
    const pending = this.#live.get(id)?.pending;
    if (pending?.kind === 'persist') return this.#writer.isIntent(pending.token);
    return pending !== undefined;
  }
}

/** The entry that ends a run. */
export function endDraft(
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

/** Waiting and telling touch nothing; guards, trigger and doubt are about what does. */
const isFixing = (step: StepSpec): boolean =>
  step.fixing && step.action.kind !== 'wait' && step.action.kind !== 'notify';

const ms = (n: number): number => Math.max(0, Math.round(n));
