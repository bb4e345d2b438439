import type { AgentIndex, AlarmIndex, CheckIndex, DutyIndex } from '../base/ids.ts';
import type { Checkpoint } from './duties/duty.ts';
import type { HealthDigest } from './health/digest.ts';
import type { DirectMessage } from './input.ts';
import type { Observation } from './observation.ts';
import type { JournalEntry, RunId } from './remediation/journal-entry.ts';
import type { ActionRequest } from './remediation/remediation-output.ts';
import type { StepAction } from './remediation/workflow.ts';
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
  /** Our own numbers rose; the next life must count from above them. */
  | { readonly kind: 'save-incarnation'; readonly bootCounter: number; readonly incarnation: number }
  | { readonly kind: 'save-checkpoint'; readonly checkpoint: Checkpoint }
  | { readonly kind: 'set-local-alarm'; readonly alarm: LocalAlarm }
  | { readonly kind: 'report'; readonly report: Report }
  // send
  | { readonly kind: 'send'; readonly to: AgentIndex; readonly message: DirectMessage }
  | { readonly kind: 'publish'; readonly digest: HealthDigest }
  // act
  | { readonly kind: 'run-check'; readonly check: CheckIndex }
  | {
      readonly kind: 'start-duty';
      readonly duty: DutyIndex;
      readonly term: number;
      readonly checkpoint: Checkpoint | undefined;
    }
  | { readonly kind: 'stop-duty'; readonly duty: DutyIndex; readonly reason: string }
  /** Answered by `baseline-read`, before the intent is written. */
  | { readonly kind: 'read-baseline'; readonly run: RunId; readonly step: number; readonly action: StepAction }
  | ({ readonly kind: 'issue-action' } & ActionRequest)
  | {
      readonly kind: 'probe-action';
      readonly run: RunId;
      readonly step: number;
      readonly action: StepAction;
      readonly baseline: string;
    }
  | { readonly kind: 'cancel-action'; readonly run: RunId; readonly step: number; readonly issue: number }
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
    case 'save-incarnation':
    case 'save-checkpoint':
    case 'set-local-alarm':
    case 'report':
      return 0;
    case 'send':
    case 'publish':
      return 1;
    default:
      return 2;
  }
};
