import type { Instant } from '../../base/time.ts';
import { instant } from '../../base/time.ts';
import type { JournalDraft } from './journal-entry.ts';
import type { RunState } from './run.ts';

/** An answer that a run waits for. */
export type Pending =
  | { readonly kind: 'persist'; readonly token: number }
  | { readonly kind: 'baseline'; readonly until: Instant }
  | { readonly kind: 'action'; readonly issue: number; readonly until: Instant; cancelled: boolean }
  | { readonly kind: 'pause'; readonly issue: number; readonly until: Instant }
  | { readonly kind: 'probe'; readonly until: Instant };

/** What only the living know of a run: gone with the process, and nothing is decided by its loss. */
export interface LiveRun {
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
  /** All other guards are open: its permit, if it needs one, is asked for. */
  permitWanted: boolean;
}

export const newLiveRun = (now: Instant): LiveRun => ({
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
  permitWanted: false,
});

/** What an open run waits for, in words. */
export function waitsFor(run: RunState, live: LiveRun | undefined): string | undefined {
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
