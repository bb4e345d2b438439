import type { AgentIndex, AlarmIndex, CheckIndex, DutyIndex } from '../base/ids.ts';
import type { Checkpoint } from './duties/duty.ts';
import type { Fence } from './duties/exclusive-duties.ts';
import type { HealthDigest } from './health/digest.ts';
import type { DirectMessage } from './input.ts';
import type { CellEntry } from './leases/cell-record.ts';
import type { Observation } from './observation.ts';
import type { JournalEntry } from './remediation/journal-entry.ts';
import type { ActionOrder } from './remediation/remediation-output.ts';
import type { AlarmRow } from './reporting/alarms.ts';
import type { Report } from './reporting/report.ts';

/** A standing local alarm, as the durable row that `GET /v1/status` shows. */
export type LocalAlarm = AlarmRow;

/**
 * What must be done, imperative. The driver carries effects out in the order of their class: persist, then send,
 * then act; within a class in the order given. A `persist` is answered by `persisted` with its token, and whatever
 * must not happen before it is durable is emitted only then.
 */
export type Effect =
  // persist
  | { readonly kind: 'persist'; readonly token: number; readonly entries: readonly JournalEntry[] }
  /** What a voter promised, and how a cell's epochs go. In order; answered by `leases-persisted` with its token. */
  | {
      readonly kind: 'persist-leases';
      readonly token: number;
      readonly cell: string;
      readonly entries: readonly CellEntry[];
    }
  /**
   * The gateway of this box lets nothing smaller pass from now on, and nothing under a lease before this came for it.
   * Before whatever acts under the lease.
   */
  | {
      readonly kind: 'raise-floors';
      readonly cell: string;
      readonly floors: readonly { readonly lease: string; readonly token: string }[];
    }
  /** Our own numbers rose; the next life must count from above them. */
  | { readonly kind: 'save-incarnation'; readonly bootCounter: number; readonly incarnation: number }
  | { readonly kind: 'save-checkpoint'; readonly checkpoint: Checkpoint }
  | { readonly kind: 'set-local-alarm'; readonly alarm: LocalAlarm }
  | { readonly kind: 'report'; readonly report: Report }
  // send
  | { readonly kind: 'send'; readonly to: AgentIndex; readonly message: DirectMessage }
  | { readonly kind: 'publish'; readonly digest: HealthDigest }
  /** Digests of our cell, others' too, to one who lacks them: as their origins signed them. */
  | { readonly kind: 'tell-digests'; readonly to: AgentIndex; readonly digests: readonly HealthDigest[] }
  // act
  | { readonly kind: 'run-check'; readonly check: CheckIndex }
  | {
      readonly kind: 'start-duty';
      readonly duty: DutyIndex;
      readonly term: number;
      readonly checkpoint: Checkpoint | undefined;
      /** The right under which an exclusive duty runs. */
      readonly fence?: Fence;
    }
  /** An exclusive duty goes on: to a later instant, or under a larger token. */
  | { readonly kind: 'extend-duty'; readonly duty: DutyIndex; readonly fence: Fence }
  | {
      readonly kind: 'stop-duty';
      readonly duty: DutyIndex;
      readonly reason: string;
      /** Its right has ended: nothing may be finished any more. */
      readonly atOnce?: boolean;
    }
  /**
   * Whoever watches over this process is to draw a secret that proves its death, for one cell and epoch, and to tell
   * `targets` when it comes to that. Answered by `session-opened`.
   */
  | {
      readonly kind: 'open-session';
      readonly cell: string;
      readonly epoch: number;
      readonly targets: readonly AgentIndex[];
      /** How long an effect may still be on its way after this process is gone. */
      readonly guardMs: number;
    }
  | ActionOrder
  /** Stack light, horn: argument vector, with `raised` or `cleared` as last word. */
  | {
      readonly kind: 'run-hook';
      readonly alarm: AlarmIndex;
      readonly argv: readonly string[];
      readonly transition: 'raised' | 'cleared';
    }
  /** Is the line to the coordinator still good? Answered by `coordinator-changed` if it is not, or is again. */
  | { readonly kind: 'check-uplink' }
  | { readonly kind: 'observe'; readonly observation: Observation };

/** Class of an effect: lower classes first. Acting before the record or the word is out is how work runs twice. */
export const effectClass = (effect: Effect): 0 | 1 | 2 => {
  switch (effect.kind) {
    case 'persist':
    case 'persist-leases':
    case 'raise-floors':
    case 'save-incarnation':
    case 'save-checkpoint':
    case 'set-local-alarm':
    case 'report':
      return 0;
    case 'send':
    case 'publish':
    case 'tell-digests':
      return 1;
    default:
      return 2;
  }
};
