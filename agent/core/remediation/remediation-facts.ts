import type { ConditionIndex, ThingIndex } from '../../base/ids.ts';
import type { Location } from '../../base/location.ts';
import type { Instant, WallTime } from '../../base/time.ts';
import type { GuardFacts } from './guards.ts';
import type { RunId } from './journal-entry.ts';
import type { WorkflowSpec } from './workflow.ts';

/** What remediation asks of the rest of the core. */
export interface RemediationFacts extends GuardFacts {
  times(condition: ConditionIndex): { readonly firstBadAt: Instant; readonly conditionAt: Instant };
  evidence(condition: ConditionIndex): string;
  /** Why the run may not begin a step for want of its permit; undefined: it has it, at this very moment. */
  permit?(run: RunId, permit: NonNullable<WorkflowSpec['permit']>): string | undefined;
  runsHere(location: Location): boolean;
  wallAt(at: Instant): WallTime;
  /** Name of a thing. */
  thing(thing: ThingIndex): string;
}
