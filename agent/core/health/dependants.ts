import type { AgentIndex, CheckIndex, ConditionIndex, DutyIndex, ModelIndex, SignalIndex } from '../../base/ids.ts';
import type { CheckSpec } from './check.ts';
import type { Dependencies } from './condition-evaluator.ts';
import type { ModelSpec } from './model.ts';

/** By what changed, what has to be looked at again: the dependencies of the plan, turned round once. */
export class Dependants {
  readonly conditionsOfCheck: ReadonlyMap<CheckIndex, readonly ConditionIndex[]>;
  readonly conditionsOfSignal: ReadonlyMap<SignalIndex, readonly ConditionIndex[]>;
  readonly conditionsOfModel: ReadonlyMap<ModelIndex, readonly ConditionIndex[]>;
  readonly conditionsOfAgent: ReadonlyMap<AgentIndex, readonly ConditionIndex[]>;
  readonly conditionsOfDuty: ReadonlyMap<DutyIndex, readonly ConditionIndex[]>;
  /** Checks that judge the signal itself. */
  readonly checksOfSignal: ReadonlyMap<SignalIndex, readonly CheckIndex[]>;
  /** Checks that are judged in some states of it only. */
  readonly checksOfState: ReadonlyMap<SignalIndex, readonly CheckIndex[]>;
  readonly modelsOfSignal: ReadonlyMap<SignalIndex, readonly ModelIndex[]>;

  /** `dependencies`: of each condition, by its index. */
  constructor(
    plan: { readonly checks: readonly CheckSpec[]; readonly models: readonly ModelSpec[] },
    dependencies: readonly Dependencies[],
  ) {
    const of = <K>(keysOf: (of: Dependencies) => Iterable<K>): Map<K, ConditionIndex[]> =>
      turned(dependencies.map((one, condition) => [condition, keysOf(one)] as const));
    this.conditionsOfCheck = of(({ checks }) => checks);
    this.conditionsOfSignal = of(({ signals }) => signals);
    this.conditionsOfModel = of(({ models }) => models);
    this.conditionsOfAgent = of(({ agents }) => agents);
    this.conditionsOfDuty = of(({ duties }) => duties);
    this.checksOfSignal = turned(
      plan.checks.map(({ index, source }) => [index, source.kind === 'signal' ? [source.signal] : []]),
    );
    this.checksOfState = turned(plan.checks.map(({ index, onlyIn }) => [index, onlyIn.map(({ state }) => state)]));
    this.modelsOfSignal = turned(plan.models.map(({ index, inputs }) => [index, inputs.map(({ signal }) => signal)]));
  }
}

/** From "each has these" to "each of these is had by": in the order given, each once. */
function turned<V, K>(pairs: readonly (readonly [value: V, keys: Iterable<K>])[]): Map<K, V[]> {
  const map = new Map<K, V[]>();
  for (const [value, keys] of pairs) {
    for (const key of keys) {
      const list = map.get(key);
      if (list === undefined) map.set(key, [value]);
      else if (!list.includes(value)) list.push(value);
    }
  }
  return map;
}
