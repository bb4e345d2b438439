import type { ModelIndex } from '../../base/ids.ts';
import type { CheckSpec } from './check.ts';
import type { ConditionSpec } from './condition.ts';
import { dependencies } from './condition-evaluator.ts';

/** How far a box goes to keep within its budget: 0 nothing is shed, 4 the most. */
export type SheddingLevel = 0 | 1 | 2 | 3 | 4;
export const mostShedding = 4;

/**
 * What a check is worth when there is not enough time for all:
 *
 * - `kept`: it costs next to nothing (a signal's, a condition's, a duty's process), or others hang on it (`up`).
 * - `used`: an alarm, a workflow or another check looks at it.
 * - `shown`: nobody but people looks at it.
 */
export type Worth = 'kept' | 'used' | 'shown';

/**
 * What of a model rests: nothing; what runs beside its scoring (a shadow, the one before, training anew); all of it. A
 * model that a condition looks at never rests as a whole: an alarm or a workflow hangs on it, and no rule stands in for it.
 */
export type ModelRest = 'nothing' | 'beside' | 'all';

/** Why a model or what is beside it gives no score now. */
export const restText = 'not scored: this agent is over its budget';

/** The declared order of shedding, for people. Which checks and models are concerned stands in the status of each. */
export const sheddingOrder: readonly string[] = [
  'all checks at their own interval, all models scored',
  'models beside those that count are not scored (shadows, the ones before), and none is trained anew',
  'checks that no alarm and no workflow looks at: every fourth time',
  'those not at all, nor models that no condition looks at; checks that start a program or ask a database: every third time',
  'all other checks of hosts and networks every third time as well; signals, processes, `up` and the other models stay as they are',
];

export interface SheddingPlan {
  readonly checks: readonly CheckSpec[];
  readonly conditions: readonly ConditionSpec[];
}

/** Conditions say what alarms, workflows and checks hang on. */
export function usedModels({ conditions }: Pick<SheddingPlan, 'conditions'>): ReadonlySet<ModelIndex> {
  return new Set(conditions.flatMap(({ expression }) => [...dependencies(expression).models]));
}

export function restOf(level: SheddingLevel, isUsed: boolean): ModelRest {
  if (level === 0) return 'nothing';
  return level >= 3 && !isUsed ? 'all' : 'beside';
}

/** The worth of every check, by its index. A pure function of the plan: all boxes of a site agree. */
export function worthOf({ checks, conditions }: SheddingPlan): readonly Worth[] {
  const used = new Set<number>();
  for (const condition of conditions) for (const check of dependencies(condition.expression).checks) used.add(check);
  return checks.map((check) => {
    if (check.source.kind !== 'probe' || check.id.endsWith('/up') || check.cost === 'none') return 'kept';
    return used.has(check.index) ? 'used' : 'shown';
  });
}

/** At each how many-th of its times a check looks at this level; infinite: it does not. */
export function factorOf(level: SheddingLevel, worth: Worth, cost: CheckSpec['cost']): number {
  if (worth === 'kept' || level <= 1) return 1;
  if (worth === 'shown') return level === 2 ? 4 : Number.POSITIVE_INFINITY;
  if (level === 2) return 1;
  return level === 3 && cost !== 'program' ? 1 : 3;
}
