import type { DutyIndex, SignalIndex } from '../../base/ids.ts';
import type { Entry } from '../site-model.ts';
import type { SiteContext } from './context.ts';

/**
 * Who brings the signals of several machines together: the agent that reads the entry's own machine, or else the first of
 * them, reads the others along. Told where that cannot be: a device that bears one client only, or one that not every
 * agent may read that may come to carry the work.
 */
export function homeOf(
  site: SiteContext,
  entry: Entry,
  at: readonly (string | number)[],
  inputs: readonly SignalIndex[],
): DutyIndex | undefined {
  const { signals, sourceOf, pollDuty } = site;
  const found = [...new Set(inputs.map((input) => signals[input]!.duty))].sort((a, b) => a - b);
  if (found.length <= 1) return found[0];
  const source = sourceOf(entry.thing);
  const own = source === undefined ? undefined : pollDuty.get(source.name);
  const home = own !== undefined && found.includes(own) ? own : found[0]!;
  tellUnreadable(site, entry, at, home, found);
  return home;
}

/** The states of other machines that a model asks for are read along where the model runs, and never decide where that is. */
export function readStatesAlong(
  site: SiteContext,
  entry: Entry,
  home: DutyIndex,
  inputs: readonly SignalIndex[],
  states: readonly SignalIndex[],
): void {
  const dutiesOf = (signals: readonly SignalIndex[]) => new Set(signals.map((signal) => site.signals[signal]!.duty));
  // What is wrong with the inputs' machines was told where the inputs are.
  const told = dutiesOf(inputs);
  const others = [...dutiesOf(states)].filter((duty) => !told.has(duty));
  tellUnreadable(site, entry, ['only-in'], home, others);
}

function tellUnreadable(
  site: SiteContext,
  entry: Entry,
  at: readonly (string | number)[],
  home: DutyIndex,
  read: readonly DutyIndex[],
): void {
  const { duties, agents, findings, model } = site;
  for (const duty of read) {
    const other = duties[duty];
    if (duty === home || other === undefined || duties[home] === undefined) continue;
    const thing = (other.thing === undefined ? undefined : model.things[other.thing]?.name) ?? other.id;
    const far = duties[home].eligible.filter((agent) => !other.eligible.includes(agent));
    const why = other.exclusive
      ? `${thing} bears one client only, and ${duties[home].id} may run elsewhere`
      : far.length > 0
        ? `${far.map((agent) => agents[agent]!.id).join(' and ')} may carry ${duties[home].id}, and may not read ${thing}`
        : undefined;
    if (why !== undefined) findings.of(entry.origin, at, 'value', `${entry.id} reads from several machines: ${why}`);
  }
}

/**
 * What each poll duty's holder reads along: signals of other machines that its models and derived signals are made of,
 * and the states that its models ask for.
 */
export function readAlong(site: SiteContext): ReadonlyMap<DutyIndex, readonly SignalIndex[]> {
  const { signals, models } = site;
  const along = new Map<DutyIndex, Set<SignalIndex>>();
  const need = (duty: DutyIndex, input: SignalIndex, seen: Set<SignalIndex>): void => {
    const spec = signals[input];
    if (spec === undefined || seen.has(input)) return;
    seen.add(input);
    if (spec.derived?.formula !== undefined) {
      for (const one of spec.derived.inputs) need(duty, one, seen);
    } else if (spec.duty !== duty) {
      const list = along.get(duty);
      if (list === undefined) along.set(duty, new Set([input]));
      else list.add(input);
    }
  };
  for (const { duty, derived } of signals) {
    for (const input of derived?.inputs ?? []) need(duty, input, new Set());
  }
  for (const { runsOn, inputs, onlyIn = [] } of models) {
    if (runsOn.on !== 'holder') continue;
    for (const { signal } of inputs) need(runsOn.duty, signal, new Set());
    for (const { state } of onlyIn) need(runsOn.duty, state, new Set());
  }
  return new Map([...along].map(([duty, list]) => [duty, [...list].sort((a, b) => a - b)]));
}
