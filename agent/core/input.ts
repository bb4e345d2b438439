import type {
  AgentIndex,
  AlarmIndex,
  CheckIndex,
  DutyIndex,
  ModelIndex,
  ThingIndex,
  WorkflowIndex,
} from '../base/ids.ts';
import type { Instant, WallTime } from '../base/time.ts';
import type { DutyMessage } from './duties/claim.ts';
import type { Checkpoint } from './duties/duty.ts';
import type { RestoredLeases } from './exclusive.ts';
import type { CheckObservation } from './health/check.ts';
import type { DigestMessage, HealthDigest } from './health/digest.ts';
import type { Score } from './health/model.ts';
import type { SheddingLevel } from './health/shedding.ts';
import type { Sample } from './health/signal.ts';
import type { ForcedEpoch, LeaseMessage } from './leases/ballot.ts';
import type { StoredEpoch } from './leases/cell-record.ts';
import type { SessionId } from './leases/session.ts';
import type { MembershipMessage } from './membership/member.ts';
import type { JournalEntry, RunId } from './remediation/journal-entry.ts';

/** What travels on direct streams between two agents. */
export type DirectMessage = MembershipMessage | DutyMessage | LeaseMessage | DigestMessage;

/** What the disk gave back at start (driver/restore). */
export interface Restored {
  readonly incarnation: number;
  readonly journal: readonly JournalEntry[];
  readonly checkpoints: readonly Checkpoint[];
  /** Standing local alarms of the last life. */
  readonly alarms: readonly RestoredAlarm[];
  /**
   * Restarts shortly before this one (20 minutes): 0 after a long calm life. Undefined in the first life of a store.
   * Who returns often is given work late.
   */
  readonly returns?: number | undefined;
  /** Leases; undefined: nothing was ever written, and the store is whole. */
  readonly leases?: RestoredLeases | undefined;
}

export interface RestoredAlarm {
  /** Index in the plan of the last life; the name decides, since a changed site file numbers anew. */
  readonly alarm: AlarmIndex;
  readonly alarmId: string;
  readonly occurrence: string;
  readonly term: number;
  readonly since: WallTime;
  readonly firstSampleAt: WallTime;
}

/** How an issued action ended. A time-out is doubt, not failure: nobody knows whether it happened, only that it was tried. */
export type ActionOutcome = 'ok' | 'failed' | 'refused' | 'late' | 'timed-out';

/** Everything that can happen to an agent, in the past tense. Completions of effects come back the same way. */
export type Input =
  /** First input of a life; nothing comes before it. What the disk gave back is handed to the constructor. */
  | { readonly kind: 'started'; readonly wall: WallTime }
  /** Wall clock against monotonic clock, about once a second; for stamps that people read. */
  | { readonly kind: 'clock-read'; readonly wall: WallTime; readonly trusted: boolean }
  /** The armed wake-up fired, this much late. */
  | { readonly kind: 'ticked'; readonly lateMs: number }
  | {
      readonly kind: 'message-received';
      readonly from: AgentIndex;
      readonly message: DirectMessage;
      /** Rises with each stream that this peer opened to us in this life; 1 where nobody counts. */
      readonly connection?: number;
    }
  | { readonly kind: 'digest-received'; readonly digest: HealthDigest }
  | { readonly kind: 'peer-connected'; readonly peer: AgentIndex }
  /** A hint that starts verification at once; never a verdict. */
  | { readonly kind: 'peer-disconnected'; readonly peer: AgentIndex }
  | { readonly kind: 'check-observed'; readonly check: CheckIndex; readonly observation: CheckObservation }
  /** A maintenance of the plan began or ended by the site's clock; unknown while nobody can tell the time. */
  | { readonly kind: 'maintenance-changed'; readonly window: number; readonly state: 'on' | 'off' | 'unknown' }
  /** How much is to be shed so that this agent keeps within the limits that `agent.yaml` gives it. */
  | { readonly kind: 'budget-judged'; readonly level: SheddingLevel; readonly why: string }
  | { readonly kind: 'sample-received'; readonly sample: Sample }
  /** The source of a poll duty cannot be reached, or can again; its signals go stale by themselves. */
  | { readonly kind: 'source-lost' | 'source-found'; readonly duty: DutyIndex; readonly reason: string }
  | { readonly kind: 'score-computed'; readonly model: ModelIndex; readonly score: Score; readonly windowEnd: WallTime }
  | { readonly kind: 'model-refused'; readonly model: ModelIndex; readonly reason: string }
  | { readonly kind: 'duty-started'; readonly duty: DutyIndex }
  | { readonly kind: 'duty-stopped'; readonly duty: DutyIndex }
  /** The runner cannot do it here (PLC out of reach, program missing): another agent should. */
  | { readonly kind: 'duty-failed'; readonly duty: DutyIndex; readonly reason: string }
  | { readonly kind: 'checkpoint-taken'; readonly duty: DutyIndex; readonly data: Uint8Array }
  | { readonly kind: 'schedule-due'; readonly workflow: WorkflowIndex; readonly slot: WallTime }
  /** A newer bundle is in force; this process runs on with the one it was compiled from. */
  | {
      readonly kind: 'epochs-accepted';
      readonly cells: readonly { readonly cell: string; readonly epoch: StoredEpoch }[];
    }
  /** A person brought a statement under the recovery key, and it was verified. */
  | { readonly kind: 'epoch-forced'; readonly message: ForcedEpoch }
  /** Answer to `open-session`: SHA-256 of the secret, 64 hex digits. */
  | { readonly kind: 'session-opened'; readonly cell: string; readonly epoch: number; readonly id: SessionId }
  /** A death certificate came, hashed: whose session that is, only voters know. */
  | { readonly kind: 'session-died'; readonly session: SessionId }
  | { readonly kind: 'leases-persisted'; readonly token: number }
  | { readonly kind: 'leases-persist-failed'; readonly token: number; readonly reason: string }
  | { readonly kind: 'persisted'; readonly token: number }
  | { readonly kind: 'persist-failed'; readonly token: number; readonly reason: string }
  | {
      readonly kind: 'action-completed';
      readonly run: RunId;
      readonly step: number;
      readonly try: number;
      readonly issue: number;
      readonly outcome: ActionOutcome;
      readonly detail: string;
    }
  /** Answer to `read-baseline`. */
  | { readonly kind: 'baseline-read'; readonly run: RunId; readonly step: number; readonly baseline: string }
  /** Answer to `probe-action`: did it happen? */
  | {
      readonly kind: 'action-probed';
      readonly run: RunId;
      readonly step: number;
      readonly applied: 'applied' | 'running' | 'not-applied' | 'unknown';
      readonly detail: string;
    }
  | { readonly kind: 'workflow-ordered'; readonly workflow: WorkflowIndex; readonly by: string }
  | { readonly kind: 'stop-ordered'; readonly run: RunId; readonly by: string }
  | { readonly kind: 'coordinator-changed'; readonly state: 'connected' | 'lost' | 'not-heard' }
  /** The mesh adapter refused a stranger, or dropped garbage; counted there, told here once per kind and time. */
  | {
      readonly kind: 'intruder-refused';
      readonly reason: 'wrong-mesh-key' | 'not-on-list' | 'garbage';
      readonly peer: string;
      readonly count: number;
    }
  /** A person takes a thing into maintenance until then, or (without `until`) out of it. */
  | {
      readonly kind: 'maintenance-ordered';
      readonly thing: ThingIndex;
      readonly until: Instant | undefined;
      readonly by: string;
      readonly why: string;
      /** Identity of the order. */
      readonly order: string;
      /** It was in force before this life began: nobody is told anew. */
      readonly again?: boolean;
    }
  /** Give all duties away without a gap and take none until then; undefined takes the order back. */
  | { readonly kind: 'drain-ordered'; readonly until: Instant | undefined }
  | { readonly kind: 'leave-ordered' };
