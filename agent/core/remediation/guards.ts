import type { ConditionIndex, SignalIndex } from '../../base/ids.ts';
import type { OnlyIn } from '../../base/location.ts';
import type { Instant } from '../../base/time.ts';
import type { Truth } from '../../base/truth.ts';
import type { StepSpec, WorkflowSpec } from './workflow.ts';

export interface GuardFacts {
  truth(condition: ConditionIndex, now: Instant): Truth;
  inStates(onlyIn: readonly OnlyIn[], now: Instant): Truth;
  lockout(signal: SignalIndex | undefined, now: Instant): Truth;
  /** The condition as its author wrote it. */
  condition(condition: ConditionIndex): string;
  /** Does the symptom change its mind too often to be acted upon? */
  flapping?(condition: ConditionIndex): boolean;
  /** Why nobody may act on this thing now: maintenance, or something that it needs is down. */
  withheld?(workflow: WorkflowSpec): { readonly guard: 'maintenance' | 'cause'; readonly reason: string } | undefined;
}

export interface Denial {
  readonly guard:
    | 'lockout'
    | 'only-in'
    | 'only-if'
    | 'interlock'
    | 'flapping'
    | 'busy'
    | 'budget'
    | 'trigger'
    | 'elsewhere'
    | 'permit'
    | 'maintenance'
    | 'cause';
  readonly reason: string;
}

/**
 * What must hold at the moment of every effect, asked in the same synchronous step that issues it. Unknown denies:
 * in doubt, show; do not touch. A lockout comes first and nobody can override it.
 */
export function guard(workflow: WorkflowSpec, now: Instant, facts: GuardFacts): Denial | undefined {
  const lockout = facts.lockout(workflow.lockout, now);
  if (lockout !== 'false') {
    const reason = lockout === 'true' ? 'locked out' : 'cannot tell whether it is locked out';
    return { guard: 'lockout', reason };
  }
  const withheld = facts.withheld?.(workflow);
  if (withheld !== undefined) return withheld;
  if (workflow.onlyIn.length > 0) {
    const inStates = facts.inStates(workflow.onlyIn, now);
    if (inStates !== 'true') {
      const states = workflow.onlyIn.map(({ states }) => states.join(' or ')).join(', ');
      const reason = inStates === 'false' ? `not in state ${states}` : `cannot tell whether it is ${states}`;
      return { guard: 'only-in', reason };
    }
  }
  if (workflow.onlyIf !== undefined) {
    const onlyIf = facts.truth(workflow.onlyIf, now);
    if (onlyIf !== 'true') {
      return { guard: 'only-if', reason: `${facts.condition(workflow.onlyIf)} is ${onlyIf}` };
    }
  }
  return undefined;
}

/**
 * The condition that belongs to what a step writes, whichever workflow writes it. Asked with the guards of the workflow, in
 * the step that issues the effect; unknown denies.
 */
export function interlock({ action }: StepSpec, now: Instant, facts: GuardFacts): Denial | undefined {
  if (action.kind !== 'plc.write' || action.onlyIf === undefined) return undefined;
  const truth = facts.truth(action.onlyIf, now);
  if (truth === 'true') return undefined;
  return { guard: 'interlock', reason: `${action.name}: ${facts.condition(action.onlyIf)} is ${truth}` };
}
