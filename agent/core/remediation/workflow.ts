import type {
  AlarmIndex,
  CellIndex,
  ConditionIndex,
  DutyIndex,
  EntryId,
  SignalIndex,
  ThingIndex,
  WorkflowIndex,
} from '../../base/ids.ts';
import type { Location, OnlyIn } from '../../base/location.ts';

/** What one step does to the world. `command` is an argument vector; nothing ever passes a shell. */
export type StepAction =
  | { readonly kind: 'process.restart'; readonly duty: DutyIndex }
  | { readonly kind: 'command.run'; readonly argv: readonly string[] }
  /** `write`: which of the site's `writes`; its `name` is for people. `onlyIf`: the interlock that belongs to it. */
  | {
      readonly kind: 'plc.write';
      readonly write: number;
      readonly name: string;
      readonly value: number;
      readonly onlyIf?: ConditionIndex;
    }
  /** Header values may be references to secrets (`env:NAME`, `file:/path`), resolved where they are used. */
  | {
      readonly kind: 'http.request';
      readonly method: 'POST' | 'PUT' | 'PATCH' | 'DELETE';
      readonly url: string;
      readonly body: string;
      readonly headers: readonly (readonly [name: string, value: string])[];
    }
  | { readonly kind: 'wait'; readonly ms: number }
  | { readonly kind: 'notify'; readonly people: readonly string[]; readonly text: string };

/**
 * What may be done when nobody knows whether the step happened (remediation rule 8). Idempotent: settle, then issue
 * again. Probeable: ask first. Fire-once: a person decides. Undeclared is fire-once.
 */
export type DoubtKind = 'idempotent' | 'probeable' | 'fire-once';

export interface StepSpec {
  readonly name: string;
  readonly action: StepAction;
  readonly timeoutMs: number;
  readonly retry: { readonly times: number; readonly backoffMs: number };
  readonly doubt: DoubtKind;
  /** How long after its notAfter an issue can still take effect; settled only after this. */
  readonly landsWithinMs: number;
  /** A fixing step is skipped when the trigger is gone; wait and notify are not fixing. */
  readonly fixing: boolean;
}

export interface WorkflowSpec {
  readonly index: WorkflowIndex;
  readonly id: EntryId;
  readonly thing: ThingIndex;
  /** Whose own journal it runs in: the box itself, or the holder of the duty that it watches. */
  readonly runsOn: Location;
  /** Reacts to a condition … */
  readonly when: ConditionIndex | undefined;
  /** … or runs at times (then a schedule duty names it), or neither: other workflows and people start it. */
  readonly at: string | undefined;
  readonly onlyIf: ConditionIndex | undefined;
  readonly onlyIn: readonly OnlyIn[];
  /** Signal `lockout` of its thing, when it has one: true or unknown denies every effect. */
  readonly lockout: SignalIndex | undefined;
  /** Held from the first step to the last, so that only so many of the cell run at once. */
  readonly permit: { readonly cell: CellIndex; readonly name: string } | undefined;
  readonly budget: { readonly count: number; readonly perMs: number };
  readonly cooldownMs: number;
  /** How long a run may wait at its guards before it ends DENIED (before the first effect) or escalates. */
  readonly guardWaitMs: number;
  readonly steps: readonly StepSpec[];
  readonly verify: ConditionIndex;
  readonly verifyTimeoutMs: number;
  readonly soakMs: number;
  /** Continuously OK for this long after a run: the relapse level falls back to zero. */
  readonly quietMs: number;
  readonly ifFailed: readonly (
    | { readonly kind: 'workflow'; readonly workflow: WorkflowIndex }
    | { readonly kind: 'alarm'; readonly alarm: AlarmIndex }
  )[];
}
