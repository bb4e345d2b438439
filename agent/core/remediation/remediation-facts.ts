import type { ConditionIndex, ThingIndex } from '../../base/ids.ts';
import type { Location } from '../../base/location.ts';
import type { Instant, WallTime } from '../../base/time.ts';
import type { GuardFacts } from './guards.ts';

/** What remediation asks of the rest of the core. */
export interface RemediationFacts extends GuardFacts {
  times(condition: ConditionIndex): { readonly firstBadAt: Instant; readonly conditionAt: Instant };
  evidence(condition: ConditionIndex): string;
  runsHere(location: Location): boolean;
  wallAt(at: Instant): WallTime;
  /** Name of a thing. */
  thing(thing: ThingIndex): string;
}
