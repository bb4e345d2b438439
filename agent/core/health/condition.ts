import type {
  AgentIndex,
  CheckIndex,
  ConditionIndex,
  DutyIndex,
  EntryId,
  ModelIndex,
  SignalIndex,
} from '../../base/ids.ts';
import type { Truth } from '../../base/truth.ts';

export type { Truth } from '../../base/truth.ts';

export type CompareOp = '==' | '!=' | '<' | '<=' | '>' | '>=';
export type ArithmeticOp = '+' | '-' | '*' | '/';

/** A condition as compiled from CEL: names are resolved, units converted, nothing left to fail but data. */
export type Expression =
  | { readonly op: 'literal'; readonly value: boolean | number | string }
  | { readonly op: 'and' | 'or'; readonly args: readonly Expression[] }
  | { readonly op: 'not'; readonly arg: Expression }
  | { readonly op: 'compare'; readonly by: CompareOp; readonly left: Expression; readonly right: Expression }
  | { readonly op: 'arithmetic'; readonly by: ArithmeticOp; readonly left: Expression; readonly right: Expression }
  | { readonly op: 'negate'; readonly arg: Expression }
  | { readonly op: 'choose'; readonly test: Expression; readonly then: Expression; readonly else: Expression }
  | { readonly op: 'at-least'; readonly n: number; readonly args: readonly Expression[] }
  /** ok("x"), warn("x"), crit("x"), unknown("x") of a check. */
  | { readonly op: 'check'; readonly is: 'ok' | 'warn' | 'crit' | 'unknown'; readonly check: CheckIndex }
  /** signal("x in unit"): value * factor + offset; unknown when stale or not good. */
  | { readonly op: 'signal'; readonly signal: SignalIndex; readonly factor: number; readonly offset: number }
  | { readonly op: 'fresh'; readonly signal: SignalIndex }
  /** state() or state("thing"): the state's name as text. */
  | { readonly op: 'state'; readonly signal: SignalIndex }
  | { readonly op: 'anomalous'; readonly model: ModelIndex }
  | { readonly op: 'score'; readonly model: ModelIndex }
  /** class("x"): the name of what the model holds its machine for, as text. */
  | { readonly op: 'class'; readonly model: ModelIndex }
  /** forecast("x in unit"): base value * factor + offset; unknown when the model forecasts another dimension. */
  | {
      readonly op: 'forecast';
      readonly model: ModelIndex;
      readonly dimension: string;
      readonly factor: number;
      readonly offset: number;
    }
  | { readonly op: 'member'; readonly is: 'alive' | 'dead'; readonly agent: AgentIndex }
  | { readonly op: 'held'; readonly duty: DutyIndex };

export interface ConditionSpec {
  readonly index: ConditionIndex;
  /** Where it stands, for people: `press-7/bearing-wear when`. */
  readonly id: EntryId;
  /** As the user wrote it. */
  readonly source: string;
  readonly expression: Expression;
}

/** The truth tree of one evaluation: each node's own value and, at leaves, why it is what it is ("stale 12 s"). */
export interface TruthTree {
  readonly label: string;
  readonly value: Truth | number | string;
  readonly why: string | undefined;
  readonly children: readonly TruthTree[];
}
