import type { AgentIndex, CheckIndex, DutyIndex, ModelIndex, SignalIndex } from '../../base/ids.ts';
import { unreachable } from '../../base/invariant.ts';
import type { Truth } from '../../base/truth.ts';
import type { Expression, TruthTree } from './condition.ts';

/** A leaf's value, and when it cannot be told, why. */
export type Known<T> =
  | { readonly value: T; readonly why?: string }
  | { readonly value: undefined; readonly why: string };

/** What the leaves of a condition ask. Every answer may be "not known", with the reason in words. */
export interface Facts {
  check(check: CheckIndex): Known<'ok' | 'warn' | 'crit' | 'unknown' | 'idle'>;
  signal(signal: SignalIndex): Known<number>;
  fresh(signal: SignalIndex): Known<boolean>;
  state(signal: SignalIndex): Known<string>;
  anomalous(model: ModelIndex): Known<boolean>;
  score(model: ModelIndex): Known<number>;
  class(model: ModelIndex): Known<string>;
  /** In the base unit of that dimension. */
  forecast(model: ModelIndex, dimension: string): Known<number>;
  member(agent: AgentIndex): Known<'alive' | 'dead' | 'left'>;
  held(duty: DutyIndex): Known<boolean>;
}

/** Names for the tree. */
export interface Names {
  check(check: CheckIndex): string;
  signal(signal: SignalIndex): string;
  model(model: ModelIndex): string;
  agent(agent: AgentIndex): string;
  duty(duty: DutyIndex): string;
}

/** What a condition looks at, so that only those that a change concerns are judged again. */
export interface Dependencies {
  readonly checks: ReadonlySet<CheckIndex>;
  readonly signals: ReadonlySet<SignalIndex>;
  readonly models: ReadonlySet<ModelIndex>;
  readonly agents: ReadonlySet<AgentIndex>;
  readonly duties: ReadonlySet<DutyIndex>;
}

type Value = boolean | number | string | undefined;

/**
 * Judges a condition by Kleene's strong logic; `undefined` is unknown. An expression that compares apples with pears
 * was refused when the site was read; should one come here all the same, it is unknown, never a throw.
 */
export function evaluate(expression: Expression, facts: Facts): Value {
  switch (expression.op) {
    case 'literal':
      return expression.value;
    case 'and': {
      let value: Value = true;
      for (const arg of expression.args) {
        const one = boolean(evaluate(arg, facts));
        if (one === false) return false;
        if (one === undefined) value = undefined;
      }
      return value;
    }
    case 'or': {
      let value: Value = false;
      for (const arg of expression.args) {
        const one = boolean(evaluate(arg, facts));
        if (one === true) return true;
        if (one === undefined) value = undefined;
      }
      return value;
    }
    case 'not': {
      const value = boolean(evaluate(expression.arg, facts));
      return value === undefined ? undefined : !value;
    }
    case 'at-least': {
      let yes = 0;
      let doubt = 0;
      for (const arg of expression.args) {
        const one = boolean(evaluate(arg, facts));
        if (one === true) yes++;
        else if (one === undefined) doubt++;
      }
      return yes >= expression.n ? true : yes + doubt < expression.n ? false : undefined;
    }
    case 'compare':
      return compare(expression.by, evaluate(expression.left, facts), evaluate(expression.right, facts));
    case 'arithmetic':
      return calculate(
        expression.by,
        number(evaluate(expression.left, facts)),
        number(evaluate(expression.right, facts)),
      );
    case 'negate': {
      const value = number(evaluate(expression.arg, facts));
      return value === undefined ? undefined : -value;
    }
    case 'choose': {
      const test = boolean(evaluate(expression.test, facts));
      if (test !== undefined) return evaluate(test ? expression.then : expression.else, facts);
      // Either way the same: the doubt does not matter.
      const left = evaluate(expression.then, facts);
      return left === evaluate(expression.else, facts) ? left : undefined;
    }
    case 'check': {
      const status = facts.check(expression.check).value;
      if (expression.is === 'unknown') return status === undefined || status === 'unknown';
      return status === undefined || status === 'unknown' ? undefined : status === expression.is;
    }
    case 'signal': {
      const value = facts.signal(expression.signal).value;
      return value === undefined ? undefined : value * expression.factor + expression.offset;
    }
    case 'fresh':
      return facts.fresh(expression.signal).value;
    case 'state':
      return facts.state(expression.signal).value;
    case 'anomalous':
      return facts.anomalous(expression.model).value;
    case 'score':
      return facts.score(expression.model).value;
    case 'class':
      return facts.class(expression.model).value;
    case 'forecast': {
      const value = facts.forecast(expression.model, expression.dimension).value;
      return value === undefined ? undefined : value * expression.factor + expression.offset;
    }
    case 'member': {
      const state = facts.member(expression.agent).value;
      return state === undefined ? undefined : state === expression.is;
    }
    case 'held':
      return facts.held(expression.duty).value;
    default:
      return unreachable(expression);
  }
}

export function evaluateTruth(expression: Expression, facts: Facts): Truth {
  const value = boolean(evaluate(expression, facts));
  return value === undefined ? 'unknown' : value ? 'true' : 'false';
}

/** The same, told: every node's value, and at the leaves why it is so. */
export function explain(expression: Expression, facts: Facts, names: Names): TruthTree {
  const value = shown(evaluate(expression, facts));
  const node = (label: string, children: readonly Expression[]): TruthTree => ({
    label,
    value,
    why: undefined,
    children: children.map((child) => explain(child, facts, names)),
  });
  const leaf = (label: string, known: Known<unknown>): TruthTree => ({ label, value, why: known.why, children: [] });
  switch (expression.op) {
    case 'literal':
      return { label: String(expression.value), value, why: undefined, children: [] };
    case 'and':
      return node('all of', expression.args);
    case 'or':
      return node('any of', expression.args);
    case 'not':
      return node('not', [expression.arg]);
    case 'at-least':
      return node(`at least ${expression.n} of`, expression.args);
    case 'compare':
    case 'arithmetic':
      return node(expression.by, [expression.left, expression.right]);
    case 'negate':
      return node('minus', [expression.arg]);
    case 'choose':
      return node('if, then, else', [expression.test, expression.then, expression.else]);
    case 'check':
      return leaf(`${expression.is}(${names.check(expression.check)})`, facts.check(expression.check));
    case 'signal':
      return leaf(`signal(${names.signal(expression.signal)})`, facts.signal(expression.signal));
    case 'fresh':
      return leaf(`fresh(${names.signal(expression.signal)})`, facts.fresh(expression.signal));
    case 'state':
      return leaf(`state(${names.signal(expression.signal)})`, facts.state(expression.signal));
    case 'anomalous':
      return leaf(`anomalous(${names.model(expression.model)})`, facts.anomalous(expression.model));
    case 'score':
      return leaf(`score(${names.model(expression.model)})`, facts.score(expression.model));
    case 'class':
      return leaf(`class(${names.model(expression.model)})`, facts.class(expression.model));
    case 'forecast':
      return leaf(`forecast(${names.model(expression.model)})`, facts.forecast(expression.model, expression.dimension));
    case 'member':
      return leaf(`${expression.is}(${names.agent(expression.agent)})`, facts.member(expression.agent));
    case 'held':
      return leaf(`held(${names.duty(expression.duty)})`, facts.held(expression.duty));
    default:
      return unreachable(expression);
  }
}

export function dependencies(expression: Expression): Dependencies {
  const checks = new Set<CheckIndex>();
  const signals = new Set<SignalIndex>();
  const models = new Set<ModelIndex>();
  const agents = new Set<AgentIndex>();
  const duties = new Set<DutyIndex>();
  const visit = (node: Expression): void => {
    switch (node.op) {
      case 'literal':
        return;
      case 'and':
      case 'or':
      case 'at-least':
        return node.args.forEach(visit);
      case 'not':
      case 'negate':
        return visit(node.arg);
      case 'compare':
      case 'arithmetic':
        visit(node.left);
        return visit(node.right);
      case 'choose':
        visit(node.test);
        visit(node.then);
        return visit(node.else);
      case 'check':
        checks.add(node.check);
        return;
      case 'signal':
      case 'fresh':
      case 'state':
        signals.add(node.signal);
        return;
      case 'anomalous':
      case 'score':
      case 'class':
      case 'forecast':
        models.add(node.model);
        return;
      case 'member':
        agents.add(node.agent);
        return;
      case 'held':
        duties.add(node.duty);
        return;
      default:
        unreachable(node);
    }
  };
  visit(expression);
  return { checks, signals, models, agents, duties };
}

const boolean = (value: Value): boolean | undefined => (typeof value === 'boolean' ? value : undefined);
const number = (value: Value): number | undefined =>
  typeof value === 'number' && !Number.isNaN(value) ? value : undefined;
const shown = (value: Value): TruthTree['value'] =>
  value === undefined ? 'unknown' : typeof value === 'boolean' ? (value ? 'true' : 'false') : value;

function compare(by: Extract<Expression, { op: 'compare' }>['by'], left: Value, right: Value): Value {
  if (left === undefined || right === undefined || typeof left !== typeof right) return undefined;
  if (typeof left === 'number' && (Number.isNaN(left) || Number.isNaN(right))) return undefined;
  switch (by) {
    case '==':
      return left === right;
    case '!=':
      return left !== right;
    case '<':
      return left < right;
    case '<=':
      return left <= right;
    case '>':
      return left > right;
    case '>=':
      return left >= right;
    default:
      return unreachable(by);
  }
}

function calculate(
  by: Extract<Expression, { op: 'arithmetic' }>['by'],
  left: number | undefined,
  right: number | undefined,
): Value {
  if (left === undefined || right === undefined) return undefined;
  const value = by === '+' ? left + right : by === '-' ? left - right : by === '*' ? left * right : left / right;
  // Division by zero is a doubt about the formula, not an infinite temperature.
  return Number.isFinite(value) ? value : undefined;
}
