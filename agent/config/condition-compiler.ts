import type { ASTNode } from '@marcbachmann/cel-js';
import { Environment } from '@marcbachmann/cel-js';
import type { AgentIndex, CheckIndex, DutyIndex, ModelIndex, SignalIndex } from '../base/ids.ts';
import { nearest } from '../base/nearest.ts';
import type { ArithmeticOp, CompareOp, Expression } from '../core/health/condition.ts';
import type { ProblemCode } from './problem.ts';
import { conversion, unitOf } from './quantity.ts';

/** Which place a condition stands in; some words belong to some places only. */
export type Place = 'when' | 'only-if' | 'verify' | 'check' | 'where' | 'formula';

/** What a condition reads; decides where it can be judged. */
export interface Reads {
  readonly signals: Set<SignalIndex>;
  readonly checks: Set<CheckIndex>;
  readonly models: Set<ModelIndex>;
}

export interface ConditionProblem {
  readonly code: ProblemCode;
  readonly message: string;
  /** Into the condition's text. */
  readonly offset: number;
}

/** What was found under a name; `broken` stands for something that was told already. */
export type Found<T> =
  | { readonly found: T }
  | { readonly missing: string; readonly code?: ProblemCode }
  | { readonly broken: true };

export interface SignalFacts {
  readonly index: SignalIndex;
  readonly name: string;
  readonly unit: string | undefined;
  readonly bool: boolean;
  readonly states: readonly string[] | undefined;
}

/** How a condition's names are looked up; the compiler of the site file gives it. */
export interface Scope {
  readonly place: Place;
  check(name: string): Found<CheckIndex>;
  /** For at_least: one name may stand for the same check of all things of a type. */
  checks(name: string): Found<readonly CheckIndex[]>;
  signal(name: string): Found<SignalFacts>;
  /** The reserved signal `state` of a thing, or of one's own without a name. */
  state(thing: string | undefined): Found<SignalFacts>;
  model(name: string): Found<ModelIndex>;
  duty(name: string): Found<DutyIndex>;
  /** An agent, or an asset's check `up`. */
  alive(name: string): Found<{ readonly agent: AgentIndex } | { readonly up: CheckIndex }>;
  param(name: string): Found<string | number | boolean>;
  label(name: string): Found<string>;
}

type Kind = 'truth' | 'number' | 'text' | 'any';
interface Typed {
  readonly expression: Expression;
  readonly kind: Kind;
  readonly states?: SignalFacts | undefined;
}

const parser = new Environment({
  unlistedVariablesAreDyn: true,
  limits: { maxAstNodes: 2000, maxDepth: 64, maxListElements: 500, maxCallArguments: 32 },
});

const wordsOfLater: Readonly<Record<string, string>> = {
  shift: 'A condition on the shift',
  now: 'The time of day in a condition',
};
const words = [
  'ok',
  'warn',
  'crit',
  'unknown',
  'fresh',
  'signal',
  'state',
  'anomalous',
  'score',
  'forecast',
  'class',
  'alive',
  'dead',
  'held',
  'at_least',
  'label',
  'param',
  'not',
]; // prettier-ignore

/**
 * Compiles CEL to the core's own expression: names become indices, units are converted, types are checked. The text is
 * parsed by the CEL library; evaluation is the core's, because CEL has two truth values and a plant has three.
 * Returns undefined when there are problems. `wants` says what the whole must be.
 */
export function compileCondition(
  text: string,
  scope: Scope,
): {
  readonly expression: Expression | undefined;
  readonly reads: Reads;
  readonly problems: readonly ConditionProblem[];
} {
  const problems: ConditionProblem[] = [];
  const reads: Reads = { signals: new Set(), checks: new Set(), models: new Set() };
  const say = (node: { start: number } | number, code: ProblemCode, message: string): void => {
    problems.push({ code, message, offset: typeof node === 'number' ? node : node.start });
  };
  // Stands in for what could not be compiled, so that the rest is still looked at; it fits everywhere.
  const hole: Typed = { expression: { op: 'literal', value: false }, kind: 'any' };

  let ast: ASTNode;
  try {
    ast = parser.parse(text).ast;
  } catch (error) {
    const { summary, range } = error as { summary?: string; range?: { start: number } };
    say(range?.start ?? 0, 'condition', `This is no condition: ${plain(summary ?? String(error))}`);
    return { expression: undefined, reads, problems };
  }
  const whole = walk(ast);
  if (scope.place === 'formula') {
    if (whole.kind !== 'number' && whole.kind !== 'any') {
      say(ast, 'condition', `This is a ${word(whole.kind)}, not a number`);
    }
  } else if (whole.kind !== 'truth' && whole.kind !== 'any') {
    say(ast, 'condition', `This is a ${whole.kind}, not a condition: compare it with something`);
  }
  return { expression: problems.length === 0 ? whole.expression : undefined, reads, problems };

  function walk(node: ASTNode): Typed {
    switch (node.op) {
      case 'value':
        return literal(node);
      case 'id':
        say(
          node,
          'condition',
          `"${node.args}" is a bare word: a name stands in quotes inside a function, crit("${node.args}")`,
        );
        return hole;
      case '&&':
      case '||': {
        const op = node.op === '&&' ? 'and' : 'or';
        const args = node.args.flatMap((arg) => {
          const side = want(arg, 'truth').expression;
          return side.op === op ? side.args : [side];
        });
        return { expression: { op, args }, kind: 'truth' };
      }
      case '!_':
        return negation(node, node.args);
      case '-_':
        return { expression: { op: 'negate', arg: want(node.args, 'number').expression }, kind: 'number' };
      case '?:': {
        const test = want(node.args[0], 'truth').expression;
        const yes = walk(node.args[1]);
        const no = walk(node.args[2]);
        if (yes.kind !== no.kind && yes.kind !== 'any' && no.kind !== 'any') {
          say(node, 'condition', `One branch is a ${word(yes.kind)}, the other a ${word(no.kind)}`);
        }
        // biome-ignore lint/suspicious/noThenProperty: the core's word for a branch; never awaited
        return { expression: { op: 'choose', test, then: yes.expression, else: no.expression }, kind: yes.kind };
      }
      case '+':
      case '-':
      case '*':
      case '/': {
        const by: ArithmeticOp = node.op;
        const left = want(node.args[0], 'number').expression;
        const right = want(node.args[1], 'number').expression;
        return { expression: { op: 'arithmetic', by, left, right }, kind: 'number' };
      }
      case '==':
      case '!=':
      case '<':
      case '<=':
      case '>':
      case '>=':
        return comparison(node, node.op, node.args[0], node.args[1]);
      case 'call':
        return call(node, node.args[0], node.args[1]);
      case 'rcall':
        say(node, 'condition', `Functions stand alone here: write ${node.args[0]}(…), not x.${node.args[0]}(…)`);
        return hole;
      default:
        say(node, 'condition', `"${node.op}" is not used in conditions`);
        return hole;
    }
  }

  function literal(node: ASTNode): Typed {
    const value = node.args;
    if (typeof value === 'boolean') return { expression: { op: 'literal', value }, kind: 'truth' };
    if (typeof value === 'string') return { expression: { op: 'literal', value }, kind: 'text' };
    if (typeof value === 'number' || typeof value === 'bigint') {
      return { expression: { op: 'literal', value: Number(value) }, kind: 'number' };
    }
    say(node, 'condition', 'Only numbers, texts, true and false are values here');
    return hole;
  }

  function want(node: ASTNode, kind: Kind): Typed {
    const typed = walk(node);
    if (typed.kind !== kind && typed.kind !== 'any') {
      say(
        node,
        'condition',
        kind === 'truth'
          ? `This is a ${typed.kind}, not a condition`
          : `This is a ${typed.kind === 'truth' ? 'condition' : typed.kind}, not a ${kind}`,
      );
      return hole;
    }
    return typed;
  }

  function negation(node: ASTNode, arg: ASTNode): Typed {
    if (scope.place === 'verify' && arg.op === 'call' && (arg.args[0] === 'crit' || arg.args[0] === 'warn')) {
      const name = text.slice(arg.start, arg.range.end);
      const inner = arg.args[1][0];
      const said = inner?.op === 'value' && typeof inner.args === 'string' ? inner.args : '…';
      say(node, 'idle-trap', `verify uses not(${name}), true also while the check is idle: use ok("${said}")`);
      return hole;
    }
    return { expression: { op: 'not', arg: want(arg, 'truth').expression }, kind: 'truth' };
  }

  function comparison(node: ASTNode, by: CompareOp, a: ASTNode, b: ASTNode): Typed {
    const left = walk(a);
    const right = walk(b);
    if (left.kind === 'any' || right.kind === 'any') return { expression: hole.expression, kind: 'truth' };
    if (left.kind !== right.kind) {
      say(node, 'condition', `A ${word(left.kind)} and a ${word(right.kind)} cannot be compared`);
      return hole;
    }
    if (left.kind !== 'number' && by !== '==' && by !== '!=') {
      say(node, 'condition', `Only numbers are larger or smaller; a ${word(left.kind)} is == or !=`);
      return hole;
    }
    for (const [state, other, at] of [
      [left, right, b],
      [right, left, a],
    ] as const) {
      if (state.states?.states === undefined || other.expression.op !== 'literal') continue;
      const named = String(other.expression.value);
      const known = state.states.states;
      if (!known.includes(named)) {
        say(
          at,
          'state',
          `State of ${state.states.name.split('/')[0]} is never "${named}": it is one of ${known.join(', ')}`,
        );
      }
    }
    return { expression: { op: 'compare', by, left: left.expression, right: right.expression }, kind: 'truth' };
  }

  function call(node: ASTNode, name: string, args: readonly ASTNode[]): Typed {
    const later = wordsOfLater[name];
    if (later !== undefined) {
      say(node, 'later', `${later} (${name}) comes later: take it out for now`);
      return hole;
    }
    if (!words.includes(name)) {
      const near = nearest(name, words);
      say(
        node,
        'condition',
        `There is no function "${name}"${near === undefined ? `: there are ${words.join(' ')}` : `: did you mean "${near}"?`}`,
      );
      return hole;
    }
    if (name === 'not') {
      if (args.length !== 1) return count(node, name, 1);
      return negation(node, args[0]!);
    }
    if (name === 'at_least') return atLeast(node, args);
    if (name === 'state' && args.length === 0) return stateOf(node, undefined);
    if (args.length !== 1) return count(node, name, 1);
    const arg = args[0]!;
    if (arg.op !== 'value' || typeof arg.args !== 'string') {
      say(arg, 'condition', `${name}(…) takes one name in quotes, known when the file is checked`);
      return hole;
    }
    const said = arg.args;
    if (scope.place === 'where' && name !== 'label' && name !== 'param') {
      say(node, 'condition', `\`where\` chooses agents by label; ${name}(…) changes while they run`);
      return hole;
    }
    if (scope.place === 'formula' && !['signal', 'state', 'fresh', 'param'].includes(name)) {
      say(node, 'condition', `A formula is made of signals and states: ${name}(…) stands in a condition`);
      return hole;
    }
    switch (name) {
      case 'ok':
      case 'warn':
      case 'crit':
      case 'unknown': {
        const check = take(arg, scope.check(said));
        if (check === undefined) return hole;
        reads.checks.add(check);
        return { expression: { op: 'check', is: name, check }, kind: 'truth' };
      }
      case 'signal':
        return signalOf(node, arg, said);
      case 'fresh': {
        if (refuseRaw(node, said)) return hole;
        const signal = take(arg, scope.signal(said));
        if (signal === undefined) return hole;
        reads.signals.add(signal.index);
        return { expression: { op: 'fresh', signal: signal.index }, kind: 'truth' };
      }
      case 'state':
        return stateOf(arg, said);
      case 'anomalous':
      case 'score': {
        const model = take(arg, scope.model(said));
        if (model === undefined) return hole;
        reads.models.add(model);
        return name === 'score'
          ? { expression: { op: 'score', model }, kind: 'number' }
          : { expression: { op: 'anomalous', model }, kind: 'truth' };
      }
      case 'class': {
        const model = take(arg, scope.model(said));
        if (model === undefined) return hole;
        reads.models.add(model);
        return { expression: { op: 'class', model }, kind: 'text' };
      }
      case 'forecast':
        return forecastOf(arg, said);
      case 'alive':
      case 'dead': {
        const who = take(arg, scope.alive(said));
        if (who === undefined) return hole;
        if ('agent' in who) return { expression: { op: 'member', is: name, agent: who.agent }, kind: 'truth' };
        reads.checks.add(who.up);
        return { expression: { op: 'check', is: name === 'dead' ? 'crit' : 'ok', check: who.up }, kind: 'truth' };
      }
      case 'held': {
        const duty = take(arg, scope.duty(said));
        return duty === undefined ? hole : { expression: { op: 'held', duty }, kind: 'truth' };
      }
      case 'param': {
        const value = take(arg, scope.param(said));
        if (value === undefined) return hole;
        const kind = typeof value === 'string' ? 'text' : typeof value === 'number' ? 'number' : 'truth';
        return { expression: { op: 'literal', value }, kind };
      }
      default: {
        const value = take(arg, scope.label(said));
        return value === undefined ? hole : { expression: { op: 'literal', value }, kind: 'text' };
      }
    }
  }

  function take<T>(node: ASTNode, found: Found<T>): T | undefined {
    if ('found' in found) return found.found;
    // One into the text, past the quote, so that the place is the name itself.
    if ('missing' in found) say(node.start + 1, found.code ?? 'reference', found.missing);
    return undefined;
  }

  function count(node: ASTNode, name: string, n: number): Typed {
    say(node, 'condition', `${name}(…) takes ${n === 1 ? 'one argument' : `${n} arguments`}`);
    return hole;
  }

  function refuseRaw(node: ASTNode, said: string): boolean {
    if (scope.place !== 'when') return false;
    const name = said.replace(/ in .*$/, '');
    say(node, 'raw-signal', `This \`when\` reads a raw signal (${name}): put it in a check, then ask crit("…")`);
    return true;
  }

  function signalOf(node: ASTNode, arg: ASTNode, said: string): Typed {
    if (refuseRaw(node, said)) return hole;
    const parts = /^(.*?)\s+in\s+(.+)$/.exec(said);
    const name = parts?.[1] ?? said;
    const signal = take(arg, scope.signal(name));
    if (signal === undefined) return hole;
    reads.signals.add(signal.index);
    const plain: Expression = { op: 'signal', signal: signal.index, factor: 1, offset: 0 };
    if (parts === null) {
      if (signal.bool) {
        return {
          expression: { op: 'compare', by: '!=', left: plain, right: { op: 'literal', value: 0 } },
          kind: 'truth',
        };
      }
      if (signal.unit !== undefined && signal.unit !== 'count') {
        say(
          arg,
          'unit',
          `signal("${name}") has no unit: it is in ${signal.unit}, say signal("${name} in ${signal.unit}")`,
        );
        return hole;
      }
      return { expression: plain, kind: 'number' };
    }
    const to = unitOf(parts[2]!.trim());
    if (to === undefined) {
      say(arg, 'unit', `"${parts[2]}" is not a unit that is known here`);
      return hole;
    }
    const from = signal.unit === undefined ? undefined : unitOf(signal.unit);
    const how = from === undefined ? undefined : conversion(from, to);
    if (how === undefined) {
      say(
        arg,
        'dimension',
        `${name} is ${signal.unit === undefined ? 'without a unit' : `in ${signal.unit}`}: it cannot be read in ${to.name}`,
      );
      return hole;
    }
    return {
      expression: { op: 'signal', signal: signal.index, factor: how.factor, offset: how.offset },
      kind: 'number',
    };
  }

  /** The manifest knows the unit, the site file need not: what is asked must be of the same dimension when it comes. */
  function forecastOf(arg: ASTNode, said: string): Typed {
    const parts = /^(.*?)\s+in\s+(.+)$/.exec(said);
    if (parts === null) {
      say(arg, 'unit', `forecast("${said}") has no unit: say in which, for example forecast("${said} in h")`);
      return hole;
    }
    const model = take(arg, scope.model(parts[1]!));
    const to = unitOf(parts[2]!.trim());
    if (to === undefined) say(arg, 'unit', `"${parts[2]}" is not a unit that is known here`);
    if (model === undefined || to === undefined) return hole;
    reads.models.add(model);
    const factor = 1 / to.factor;
    const expression: Expression = {
      op: 'forecast',
      model,
      dimension: to.dimension,
      factor: Number(factor.toPrecision(12)),
      offset: to.offset === 0 ? 0 : Number((-to.offset / to.factor).toPrecision(12)),
    };
    return { expression, kind: 'number' };
  }

  function stateOf(node: ASTNode, thing: string | undefined): Typed {
    const state = take(node, scope.state(thing));
    if (state === undefined) return hole;
    reads.signals.add(state.index);
    return { expression: { op: 'state', signal: state.index }, kind: 'text', states: state };
  }

  function atLeast(node: ASTNode, args: readonly ASTNode[]): Typed {
    const [n, ...rest] = args;
    if (n === undefined || rest.length !== 1) return count(node, 'at_least', 2);
    const number = n.op === 'value' ? Number(n.args) : Number.NaN;
    if (!Number.isInteger(number) || number < 1) {
      say(n, 'condition', 'at_least(n, …) begins with a whole number from 1');
      return hole;
    }
    const list = rest[0]!.op === 'list' ? rest[0]!.args : [rest[0]!];
    const of: Expression[] = [];
    for (const item of list) {
      if (item.op === 'value' && typeof item.args === 'string') {
        // A name stands for crit(name): two of three sensors agree that it is bad.
        for (const check of take(item, scope.checks(item.args)) ?? []) {
          reads.checks.add(check);
          of.push({ op: 'check', is: 'crit', check });
        }
      } else of.push(want(item, 'truth').expression);
    }
    // Of a type there may be more things tomorrow; a list that is too short is a slip.
    if (rest[0]!.op === 'list' && number > of.length && problems.length === 0) {
      say(n, 'condition', `at_least(${number}, …) of ${of.length} can never be true`);
    }
    return { expression: { op: 'at-least', n: number, args: of }, kind: 'truth' };
  }
}

const word = (kind: Kind): string => (kind === 'truth' ? 'condition' : kind);

/** The parser's own names of tokens, as the signs that people type. */
const plain = (summary: string): string =>
  summary
    .replaceAll('RPAREN', '")"')
    .replaceAll('LPAREN', '"("')
    .replaceAll('RBRACKET', '"]"')
    .replaceAll('EOF', 'the end')
    .replace(/^Expected/, 'expected')
    .replace(/^Unexpected/, 'unexpected')
    .replace(/^Unterminated/, 'unterminated');

/** The value of an expression that reads nothing (a `where` over labels); undefined when it reads something. */
export function fold(expression: Expression): boolean | number | string | undefined {
  switch (expression.op) {
    case 'literal':
      return expression.value;
    case 'and':
      return expression.args.every((arg) => fold(arg) === true);
    case 'or':
      return expression.args.some((arg) => fold(arg) === true);
    case 'not':
      return fold(expression.arg) !== true;
    case 'negate':
      return -Number(fold(expression.arg));
    case 'choose':
      return fold(expression.test) === true ? fold(expression.then) : fold(expression.else);
    case 'at-least':
      return expression.args.filter((arg) => fold(arg) === true).length >= expression.n;
    case 'arithmetic': {
      const [a, b] = [Number(fold(expression.left)), Number(fold(expression.right))];
      return expression.by === '+' ? a + b : expression.by === '-' ? a - b : expression.by === '*' ? a * b : a / b;
    }
    case 'compare': {
      const a = fold(expression.left);
      const b = fold(expression.right);
      if (a === undefined || b === undefined) return undefined;
      switch (expression.by) {
        case '==':
          return a === b;
        case '!=':
          return a !== b;
        case '<':
          return a < b;
        case '<=':
          return a <= b;
        case '>':
          return a > b;
        default:
          return a >= b;
      }
    }
    default:
      return undefined;
  }
}
