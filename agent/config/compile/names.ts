import type { ConditionIndex, DutyIndex } from '../../base/ids.ts';
import { entryId } from '../../base/ids.ts';
import { didYouMean } from '../../base/nearest.ts';
import type { Found, Place, Scope, SignalFacts } from '../condition-compiler.ts';
import { compileCondition } from '../condition-compiler.ts';
import type { Path } from '../site-document.ts';
import type { BodyKind, Entry, ThingModel } from '../site-model.ts';
import { isPlaceholder } from '../site-model.ts';
import type { SiteFacts } from './context.ts';

export const singular: Readonly<Record<BodyKind, string>> = {
  signals: 'signal',
  writes: 'write',
  checks: 'check',
  models: 'model',
  duties: 'duty',
  workflows: 'workflow',
  alarms: 'alarm',
};

export type Names = ReturnType<typeof createNames>;

/** Names in the file and what they stand for: each is looked up in its own thing, then in the site. */
export function createNames(facts: SiteFacts) {
  const { model, findings, agentIndex, dutyIds, signals, tags, conditions, readsOf, at, thingNames } = facts;
  const { shape } = model;
  return { lookup, dutyNamed, signalFacts, stateSignal, scopeOf, addCondition };

  function lookup<K extends BodyKind>(kind: K, name: string, from: ThingModel): Found<Entry<K>> {
    if (isPlaceholder(name)) return { broken: true };
    const slash = name.indexOf('/');
    const owner = slash < 0 ? from : model.byName.get(name.slice(0, slash));
    const bare = slash < 0 ? name : name.slice(slash + 1);
    if (owner === undefined) {
      return {
        missing: `There is no thing "${name.slice(0, slash)}"${didYouMean(name.slice(0, slash), thingNames())}`,
      };
    }
    const places = slash < 0 && owner.kind !== 'site' ? [owner, model.byName.get('site')!] : [owner];
    for (const place of places) {
      const found = place.body[kind].get(bare) as Entry<K> | undefined;
      if (found !== undefined) return { found };
      if (place.broken.has(`${kind}/${bare}`) || place.broken.has(`${kind}/*`)) return { broken: true };
    }
    const there = places.flatMap((place) => [...place.body[kind].keys()]);
    return {
      missing: `${owner.name === 'site' ? 'The site' : owner.name} has no ${singular[kind]} "${bare}"${didYouMean(bare, there)}`,
    };
  }

  function dutyNamed(name: string, from: ThingModel): Found<DutyIndex> {
    if (isPlaceholder(name)) return { broken: true };
    for (const id of name.includes('/') ? [name] : [`${from.name}/${name}`, `site/${name}`]) {
      const found = dutyIds.get(id);
      if (found !== undefined) return { found };
    }
    const found = lookup('duties', name, from);
    return 'found' in found ? { broken: true } : found;
  }

  function signalFacts(entry: Entry<'signals'>): SignalFacts {
    const spec = signals[at('signals', entry)];
    return {
      index: at('signals', entry),
      name: entry.id,
      unit: spec?.unit,
      bool: tags.get(at('signals', entry))?.type === 'bool',
      states: spec?.states === undefined ? undefined : [...spec.states.values()],
    };
  }

  function stateSignal(thing: string | undefined, from: ThingModel): Found<SignalFacts> {
    if (thing !== undefined && isPlaceholder(thing)) return { broken: true };
    const owner = thing === undefined ? from : model.byName.get(thing);
    if (owner === undefined) return { missing: `There is no thing "${thing}"${didYouMean(thing!, thingNames())}` };
    const entry = owner.body.signals.get('state');
    if (entry !== undefined) return { found: signalFacts(entry) };
    if (owner.broken.has('signals/state') || owner.broken.has('signals/*')) return { broken: true };
    return { missing: `${owner.name} has no signal "state": nobody knows in which state it is` };
  }

  function scopeOf(entry: Entry, place: Place, agent?: ThingModel): Scope {
    const thing = entry.thing;
    const indexed = <T>(found: Found<Entry>, use: (one: Entry) => T): Found<T> =>
      'found' in found ? { found: use(found.found) } : found;
    return {
      place,
      check: (name) => indexed(lookup('checks', name, thing), (one) => at('checks', one)),
      checks(name) {
        const slash = name.indexOf('/');
        const type = name.slice(0, Math.max(0, slash));
        if (slash > 0 && !model.byName.has(type) && shape.types?.[type] !== undefined) {
          const members = model.things.filter((one) => one.types.includes(type));
          const all = members.flatMap((one) => one.body.checks.get(name.slice(slash + 1)) ?? []);
          if (all.length > 0) return { found: all.map((one) => at('checks', one)) };
          return {
            missing: `No ${type} has a check "${name.slice(slash + 1)}"${didYouMean(name.slice(slash + 1), Object.keys(shape.types[type]?.checks ?? {}))}`,
          };
        }
        return indexed(lookup('checks', name, thing), (one) => [at('checks', one)]);
      },
      signal: (name) => indexed(lookup('signals', name, thing), (one) => signalFacts(one as Entry<'signals'>)),
      state: (name) => stateSignal(name, thing),
      model: (name) => indexed(lookup('models', name, thing), (one) => at('models', one)),
      duty: (name) => dutyNamed(name, thing),
      alive(name) {
        if (isPlaceholder(name)) return { broken: true };
        const who = model.byName.get(name);
        if (who === undefined || who.kind === 'site')
          return { missing: `There is no thing "${name}"${didYouMean(name, thingNames())}` };
        if (who.kind === 'agent') return { found: { agent: agentIndex.get(name)! } };
        const up = who.body.checks.get('up');
        if (up !== undefined) return { found: { up: at('checks', up) } };
        return { missing: `${name} has no check "up": an asset is dead when its check "up" is crit` };
      },
      param(name) {
        const found = entry.params.get(name);
        return found === undefined
          ? {
              missing: `There is no parameter "${name}"${didYouMean(name, [...entry.params.keys()])}`,
              code: 'parameter',
            }
          : { found };
      },
      label(name) {
        const who = agent ?? (thing.kind === 'agent' ? thing : undefined);
        if (who === undefined)
          return { missing: `label("${name}") belongs to an agent: use it in \`where\``, code: 'condition' };
        return { found: who.labels.get(name) ?? '' };
      },
    };
  }

  function addCondition(entry: Entry, below: Path, text: string, place: Place): ConditionIndex {
    const compiled = compileCondition(text, scopeOf(entry, place));
    for (const problem of compiled.problems) {
      findings.of(entry.origin, below, problem.code, problem.message, { offset: problem.offset });
    }
    const index = conditions.length;
    conditions.push({
      index,
      id: entryId(`${entry.id} ${below.join('/')}`),
      source: text,
      expression: compiled.expression ?? { op: 'literal', value: false },
    });
    readsOf.push(compiled.reads);
    return index;
  }
}
