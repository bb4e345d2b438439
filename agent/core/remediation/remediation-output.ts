import type { AlarmIndex } from '../../base/ids.ts';
import type { IncidentReport } from '../../base/incident.ts';
import type { Instant } from '../../base/time.ts';
import type { JournalDraft, RunId } from './journal-entry.ts';
import type { StepAction } from './workflow.ts';

export type Detail = Readonly<Record<string, string | number | boolean>>;

/** One transmission of one step: the same try may have several, each with an issue number of its own. */
export interface ActionRequest {
  readonly run: RunId;
  readonly step: number;
  readonly try: number;
  readonly issue: number;
  readonly action: StepAction;
  readonly timeoutMs: number;
  /** The port refuses (outcome `late`) what would begin after this. */
  readonly notAfter: Instant;
  /** The right under which it is done, for whoever keeps the largest token where it lands. */
  readonly fence?: EffectRight | undefined;
}

/** A lease, its token (16 hex digits), the session that holds it, and by the elapsed clock when it ends. */
export interface EffectRight {
  readonly lease: string;
  readonly token: string;
  readonly session: string;
  readonly until?: Instant;
}

/** What is asked of the hands, word for word as the driver gets it. */
export type ActionOrder =
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
  | { readonly kind: 'cancel-action'; readonly run: RunId; readonly step: number; readonly issue: number };

export type RemediationOutput =
  /** Durable before anything that depends on it; answered by `persisted` or `persistFailed`. */
  | { readonly kind: 'persist'; readonly token: number; readonly drafts: readonly JournalDraft[] }
  | ActionOrder
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
  | { readonly kind: 'incident'; readonly body: IncidentReport }
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

/** Says something to people; for the log of events, nothing is decided by it. */
export function sayEvent(
  out: RemediationOutput[],
  name: string,
  subject: string,
  severity: 'info' | 'notice' | 'warning' | 'error',
  text: string,
  detail: Detail,
): void {
  out.push({ kind: 'event', body: { type: 'event', name, subject, severity, text, detail } });
}
