import type { AlarmIndex, ConditionIndex, EntryId, ThingIndex } from '../../base/ids.ts';
import type { Location } from '../../base/location.ts';

/** Something that needs a person's response (ISA-18.2); all else is an event. */
export interface AlarmSpec {
  readonly index: AlarmIndex;
  readonly id: EntryId;
  /** `name.subject`. */
  readonly alarmId: string;
  readonly thing: ThingIndex;
  readonly runsOn: Location;
  /** Undefined: raised only by a workflow's if-failed. */
  readonly when: ConditionIndex | undefined;
  readonly priority: 'low' | 'medium' | 'high' | 'urgent';
  readonly cause: string;
  readonly consequence: string;
  readonly response: string;
  readonly respondWithinMs: number;
  readonly blindAfterMs: number;
  /** Shown for itself also when something else that is down explains it. */
  readonly neverFolds?: boolean | undefined;
  /** Argument vector of a local hook (stack light, horn), run on raise and clear with the transition as last word. */
  readonly local: readonly string[] | undefined;
}
