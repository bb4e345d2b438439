import type { BootId, WorkflowIndex } from '../../base/ids.ts';
import type { Instant, WallTime } from '../../base/time.ts';
import type { JournalEntry, RunEnd, RunId } from './journal-entry.ts';

/** Steps of a run as people read them; a workflow is far shorter, a retry loop is bounded, this is the last resort. */
const maxLog = 64;

/** A durable intent without a durable outcome. Whether it is in flight or in doubt, only the living know. */
export interface OpenIntent {
  readonly step: number;
  readonly try: number;
  readonly issue: number;
  readonly notAfter: Instant;
  readonly baseline: string;
  /** The life that wrote it: another life's instants say nothing here. */
  readonly boot: BootId;
  /** It timed out: the attempt is spent, whatever became of it. A crash in the middle spends none. */
  readonly timedOut: boolean;
}

export interface StepLine {
  readonly step: number;
  readonly outcome: string;
  readonly detail: string;
  readonly wall: WallTime;
}

/** Where a run stands: the fold of its entries, nothing else. */
export interface RunState {
  readonly id: RunId;
  readonly workflow: WorkflowIndex;
  readonly workflowId: string;
  readonly trigger: 'condition' | 'schedule' | 'order' | 'rung';
  readonly openedBoot: BootId;
  readonly openedAt: Instant;
  readonly openedWall: WallTime;
  readonly firstBadAt: Instant;
  readonly conditionAt: Instant;
  readonly level: number;
  readonly relapseOf: RunId | undefined;
  phase: 'steps' | 'verify' | 'soak' | 'ended';
  /** Next step to do, 0-based; equal to the number of steps when all are done. */
  step: number;
  /** Tries of the present step that are known to have failed; the name of an effect bears this number. */
  tries: number;
  /**
   * Attempts at the present step that timed out. They count against its retries like failures, but the name of the effect
   * stays: where it did happen, whoever hears that name again knows it.
   */
  timeouts: number;
  /** Last issue number of the present step: it rises with every transmission. */
  issue: number;
  intent: OpenIntent | undefined;
  /** Steps whose effect is known to have happened. */
  readonly applied: number[];
  firstIntent: { readonly boot: BootId; readonly at: Instant } | undefined;
  denied: { readonly guard: string; readonly reason: string } | undefined;
  stop: string | undefined;
  end: { readonly outcome: RunEnd; readonly reason: string } | undefined;
  readonly log: StepLine[];
}

/**
 * One entry more. Entries that make no sense in their place (a journal of another release, a torn file) change nothing:
 * the run then stands where the last sensible entry left it, which is a doubt that the living resolve.
 */
export function foldRun(runs: Map<RunId, RunState>, entry: JournalEntry): void {
  if (entry.kind === 'heartbeat') return;
  if (entry.kind === 'open') {
    if (runs.has(entry.run)) return;
    runs.set(entry.run, {
      id: entry.run,
      workflow: entry.workflow,
      workflowId: entry.workflowId,
      trigger: entry.trigger,
      openedBoot: entry.boot,
      openedAt: entry.at,
      openedWall: entry.wall,
      firstBadAt: entry.firstBadAt,
      conditionAt: entry.conditionAt,
      level: entry.level,
      relapseOf: entry.relapseOf,
      phase: 'steps',
      step: 0,
      tries: 0,
      timeouts: 0,
      issue: 0,
      intent: undefined,
      applied: [],
      firstIntent: undefined,
      denied: undefined,
      stop: undefined,
      end: undefined,
      log: [],
    });
    return;
  }
  const run = runs.get(entry.run);
  if (run === undefined || run.phase === 'ended') return;
  switch (entry.kind) {
    case 'intent':
      if (entry.step !== run.step) return;
      run.intent = {
        step: entry.step,
        try: entry.try,
        issue: entry.issue,
        notAfter: entry.notAfter,
        baseline: entry.baseline,
        boot: entry.boot,
        timedOut: false,
      };
      run.issue = entry.issue;
      run.denied = undefined;
      run.firstIntent ??= { boot: entry.boot, at: entry.at };
      return;
    case 'done':
      // A skipped step has no intent; any other outcome belongs to the open one.
      if (entry.step !== run.step) return;
      if (entry.outcome !== 'skipped' && run.intent?.issue !== entry.issue) return;
      // One attempt is not counted twice: its time-out was, and now it is known how it ended.
      if (entry.outcome === 'failed' && run.intent?.timedOut === true) run.timeouts--;
      run.intent = undefined;
      line(run, entry.step, entry.outcome, entry.detail, entry.wall);
      if (entry.outcome === 'ok' || entry.outcome === 'skipped') {
        if (entry.outcome === 'ok') run.applied.push(entry.step);
        run.step++;
        run.tries = 0;
        run.timeouts = 0;
        run.issue = 0;
      } else if (entry.outcome === 'failed') run.tries++;
      return;
    case 'denied':
      run.denied = { guard: entry.guard, reason: entry.reason };
      return;
    case 'doubt':
      if (run.intent !== undefined && !run.intent.timedOut && entry.step === run.step) {
        run.intent = { ...run.intent, timedOut: true };
        run.timeouts++;
      }
      line(run, entry.step, 'in doubt', entry.detail, entry.wall);
      return;
    case 'verify':
      run.phase = 'verify';
      return;
    case 'soak':
      run.phase = 'soak';
      return;
    case 'stop':
      run.stop ??= entry.by;
      return;
    case 'end':
      run.phase = 'ended';
      run.end = { outcome: entry.outcome, reason: entry.reason };
      return;
    case 'quiet':
      return;
  }
}

/** The first run of a chain of relapses and rungs: all of them are one incident. */
export function rootOf(runs: ReadonlyMap<RunId, RunState>, run: RunState): RunState {
  let root = run;
  for (let hops = 0; root.relapseOf !== undefined && hops < 64; hops++) {
    const before = runs.get(root.relapseOf);
    if (before === undefined) break;
    root = before;
  }
  return root;
}

function line(run: RunState, step: number, outcome: string, detail: string, wall: WallTime): void {
  if (run.log.length < maxLog) run.log.push({ step, outcome, detail, wall });
}
