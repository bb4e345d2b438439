import type { BootId, WorkflowIndex } from '../../base/ids.ts';
import type { Instant, WallTime } from '../../base/time.ts';

/** `workflow id#episode`: one run per (workflow's target and symptom, episode). */
export type RunId = string;

export type RunEnd = 'HEALED' | 'RECOVERED' | 'FAILED' | 'ESCALATED' | 'CANCELLED' | 'DENIED' | 'EXPIRED';

/**
 * Everything that decides a run's future is an entry; state = fold(entries). `at` is boot time (monotonic within
 * `boot`), `wall` is for people. Entries are versioned by `v`: journals of old releases are read for ever.
 */
export interface JournalEntryBase {
  readonly v: 1;
  readonly run: RunId;
  readonly boot: BootId;
  readonly at: Instant;
  readonly wall: WallTime;
}

export type JournalEntry = JournalEntryBase &
  (
    | {
        readonly kind: 'open';
        readonly workflow: WorkflowIndex;
        /** Stable name of the workflow, so that a changed site file cannot re-bind an index. */
        readonly workflowId: string;
        readonly trigger: 'condition' | 'schedule' | 'order' | 'rung';
        /** First bad sample and the moment when the condition held, on this boot's clock. */
        readonly firstBadAt: Instant;
        readonly conditionAt: Instant;
        readonly level: number;
        readonly relapseOf: RunId | undefined;
      }
    | {
        readonly kind: 'intent';
        readonly step: number;
        readonly try: number;
        readonly issue: number;
        readonly notAfter: Instant;
        /** What the probe compares with: process start time, boot id … as the action port gave it. */
        readonly baseline: string;
      }
    | {
        readonly kind: 'done';
        readonly step: number;
        readonly try: number;
        readonly issue: number;
        readonly outcome: 'ok' | 'failed' | 'skipped' | 'refused' | 'late';
        readonly detail: string;
      }
    | { readonly kind: 'denied'; readonly guard: string; readonly reason: string }
    | { readonly kind: 'doubt'; readonly step: number; readonly detail: string }
    | { readonly kind: 'verify' }
    | { readonly kind: 'soak' }
    | {
        readonly kind: 'end';
        readonly outcome: RunEnd;
        readonly reason: string;
        readonly mttdMs: number | undefined;
        readonly mttaMs: number | undefined;
        readonly mttrMs: number | undefined;
      }
    | { readonly kind: 'quiet' }
    | { readonly kind: 'stop'; readonly by: string }
    | { readonly kind: 'heartbeat' }
  );

/** Entry without the stamps that the core adds; what the parts of remediation write. */
export type JournalDraft = JournalEntry extends infer E
  ? E extends JournalEntry
    ? Omit<E, 'v' | 'boot' | 'wall'>
    : never
  : never;
