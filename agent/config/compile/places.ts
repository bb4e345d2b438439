import type { AgentIndex, ConditionIndex, DutyIndex, SignalIndex } from '../../base/ids.ts';
import type { Location } from '../../base/location.ts';
import type { Path } from '../site-document.ts';
import type { Entry, ThingModel } from '../site-model.ts';
import type { SiteFacts } from './context.ts';

export const everywhere: Location = { on: 'every' };

export type Places = ReturnType<typeof createPlaces>;

/** Where things run, and what may be read there. */
export function createPlaces(facts: SiteFacts) {
  const {
    findings,
    agents,
    agentIndex,
    duties,
    pollDuty,
    watchDuty,
    processDuties,
    signals,
    conditions,
    readsOf,
    checks,
    models,
    sourceOf,
  } = facts;
  return { home, locationsOf, seen, seenSignal, placeName, whoRuns };

  /** Where the entries of a thing run unless they say more. */
  function home(thing: ThingModel): Location {
    if (thing.kind === 'agent') return { on: 'agent', agent: agentIndex.get(thing.name)! };
    const duty = homeDuty(thing);
    return duty === undefined ? everywhere : { on: 'holder', duty };
  }

  function homeDuty(thing: ThingModel): DutyIndex | undefined {
    const source = sourceOf(thing);
    if (source !== undefined) return pollDuty.get(source.name);
    if (thing.kind !== 'asset') return undefined;
    const processes = processDuties.get(thing.name) ?? [];
    return processes.length === 1 ? processes[0] : watchDuty.get(thing.name);
  }

  function locationsOf(index: ConditionIndex | undefined): Location[] {
    if (index === undefined) return [];
    const reads = readsOf[index]!;
    const all: Location[] = [
      ...[...reads.checks].map((check) => checks[check]!.runsOn),
      ...[...reads.models].map((one) => models[one]!.runsOn),
      ...[...reads.signals].map((signal): Location => ({ on: 'holder', duty: signals[signal]!.duty })),
    ];
    return all.filter((one, i) => all.findIndex((other) => same(one, other)) === i);
  }

  /** A condition may read signals and states only where they arrive; checks and models are known from others' digests. */
  function seen(index: ConditionIndex | undefined, place: Location, entry: Entry): void {
    if (index === undefined) return;
    for (const signal of readsOf[index]!.signals)
      seenSignal(signal, place, entry, conditions[index]!.id.split(' ')[1]!.split('/'));
  }

  function seenSignal(signal: SignalIndex, place: Location, entry: Entry, below: Path): void {
    const duty = signals[signal]!.duty;
    if (place.on === 'holder' && place.duty === duty) return;
    findings.of(
      entry.origin,
      below,
      'later',
      `${signals[signal]!.id} is read by the holder of ${duties[duty]?.id ?? 'its source'}, ${entry.id} is judged ${placeName(place)}: reading signals across agents comes later`,
    );
  }

  function placeName(place: Location): string {
    if (place.on === 'agent') return `on ${agents[place.agent]!.id}`;
    return place.on === 'every' ? 'on every agent' : `by the holder of ${duties[place.duty]?.id ?? 'its duty'}`;
  }

  function whoRuns(place: Location, thing: ThingModel): readonly AgentIndex[] {
    if (place.on === 'agent') return [place.agent];
    if (place.on === 'holder') return duties[place.duty]?.eligible ?? [];
    const all = agents.filter((agent) => agent.role === 'agent');
    return (thing.cell === undefined ? all : all.filter((agent) => agent.cell === thing.cell)).map((one) => one.index);
  }
}

export const same = (a: Location, b: Location): boolean =>
  a.on === b.on &&
  (a.on !== 'agent' || (b.on === 'agent' && a.agent === b.agent)) &&
  (a.on !== 'holder' || (b.on === 'holder' && a.duty === b.duty));
