import type { SignalIndex } from '../../base/ids.ts';
import { entryId } from '../../base/ids.ts';
import type { Over } from '../../core/health/over-window.ts';
import type { SignalSpec } from '../../core/health/signal.ts';
import { compileCondition } from '../condition-compiler.ts';
import { parseOver } from '../grammar.ts';
import { unitOf } from '../quantity.ts';
import type { Entry } from '../site-model.ts';
import { homeOf } from './alongside.ts';
import type { SiteContext } from './context.ts';

/** The window that a signal is reckoned over, if any. */
export function compileOver({ read, findings }: SiteContext, entry: Entry<'signals'>): Over | undefined {
  const { value } = entry;
  if (value.over === undefined) return undefined;
  const over = read<Over | undefined>(entry, ['over'], parseOver(value.over), undefined);
  if (entry.name === 'state' || entry.name === 'lockout' || value.type === 'bool') {
    const what = value.type === 'bool' ? 'A signal of yes and no' : `The signal "${entry.name}"`;
    findings.of(entry.origin, ['over'], 'value', `${what} has no mean: take \`over\` out`, { at: 'key' });
  }
  return over;
}

/** A signal that no device gives. What it is made of is filled in when all signals are known. */
export function withoutAddress(
  { findings, duration }: SiteContext,
  entry: Entry<'signals'>,
  index: SignalIndex,
  over: Over | undefined,
): SignalSpec {
  const { value, thing } = entry;
  if (value.formula === undefined && !thing.broken.has(`signals/${entry.name}`)) {
    const text = `Signal ${entry.name} has neither an address nor a formula: where does it come from?`;
    findings.of(entry.origin, [], 'missing', text, { at: 'key' });
  }
  for (const key of ['type', 'scale', 'states', 'change'] as const) {
    if (value[key] === undefined) continue;
    const text = `\`${key}\` belongs to a signal with an address, and ${entry.name} has none`;
    findings.of(entry.origin, [key], 'value', text, { at: 'key' });
  }
  if (entry.name === 'state' || entry.name === 'lockout') {
    findings.of(entry.origin, [], 'value', `The signal "${entry.name}" is read from a device: give it an address`, {
      at: 'key',
    });
  }
  let unit = value.unit;
  if (unit !== undefined) {
    const known = unitOf(unit);
    if (known === undefined) findings.of(entry.origin, ['unit'], 'unit', `"${unit}" is not a unit that is known here`);
    unit = known?.name;
  }
  const everyMs = value.every === undefined ? 0 : duration(entry, 'every', value.every, 1_000, 10);
  return {
    index,
    id: entryId(entry.id),
    thing: thing.index,
    unit,
    duty: 0,
    everyMs,
    freshMs: value.fresh === undefined ? 0 : duration(entry, 'fresh', value.fresh, 3_000, Math.max(10, everyMs)),
    acceptUncertain: value.accept === 'uncertain',
    states: undefined,
    derived: { formula: undefined, over, inputs: [] },
  };
}

/**
 * Formulas, when all signals are known: what they read, who therefore reckons them, and how often unless it is said (as
 * often as the slowest input).
 */
export function compileFormulas(site: SiteContext): void {
  const { findings, duties, signals, entriesOf, scopeOf } = site;
  const entries = entriesOf('signals');
  const inputsOf = new Map<SignalIndex, readonly SignalIndex[]>();
  for (const [index, entry] of entries.entries()) {
    const spec = signals[index]!;
    if (entry.value.address !== undefined || entry.value.formula === undefined || spec.derived === undefined) continue;
    const compiled = compileCondition(entry.value.formula, scopeOf(entry, 'formula'));
    for (const problem of compiled.problems) {
      findings.of(entry.origin, ['formula'], problem.code, problem.message, { offset: problem.offset });
    }
    const inputs = [...compiled.reads.signals].sort((a, b) => a - b);
    if (inputs.length === 0 && compiled.problems.length === 0) {
      findings.of(entry.origin, ['formula'], 'value', 'This formula reads no signal: it would never have a value');
    }
    inputsOf.set(index, inputs);
    signals[index] = { ...spec, derived: { ...spec.derived, formula: compiled.expression, inputs } };
  }

  const done = new Set<SignalIndex>();
  /** Fills in duty and times from the inputs; `trail` finds a signal that is made of itself. */
  const settle = (index: SignalIndex, trail: readonly SignalIndex[]): void => {
    const inputs = inputsOf.get(index);
    if (inputs === undefined || done.has(index)) return;
    const entry = entries[index]!;
    if (trail.includes(index)) {
      const ring = trail.slice(trail.indexOf(index)).map((one) => signals[one]!.id);
      const text = `${entry.id} is made of itself (${[...ring, entry.id].join(' of ')}): a circle has no value`;
      findings.of(entry.origin, ['formula'], 'circle', text);
      done.add(index);
      return;
    }
    for (const input of inputs) settle(input, [...trail, index]);
    if (done.has(index)) return;
    done.add(index);
    const duty = homeOf(site, entry, ['formula'], inputs);
    const spec = signals[index]!;
    const slowest = Math.max(10, ...inputs.map((input) => signals[input]!.everyMs));
    const everyMs = spec.everyMs === 0 ? slowest : spec.everyMs;
    const freshMs = spec.freshMs === 0 ? 3 * Math.max(everyMs, slowest) : spec.freshMs;
    signals[index] = { ...spec, duty: duty !== undefined && duties[duty] ? duty : 0, everyMs, freshMs };
  };
  for (const index of inputsOf.keys()) settle(index, []);
  // Nothing that is derived and could not be settled keeps a time of zero.
  for (const [index, spec] of signals.entries()) {
    if (spec.everyMs === 0 || spec.freshMs === 0) {
      signals[index] = { ...spec, everyMs: spec.everyMs || 1_000, freshMs: spec.freshMs || 3_000 };
    }
  }
}
