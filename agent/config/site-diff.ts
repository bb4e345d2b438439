import { canonicalJson } from '../wire/jws.ts';
import type { BodyKind, SiteModel, ThingModel } from './site-model.ts';
import { bodyKinds } from './site-model.ts';

/** One difference between two site files, types expanded: what will be otherwise, not which line was edited. */
export interface SiteChange {
  readonly kind: 'added' | 'removed' | 'changed';
  /** `press-7`, `press-7/checks/oil`, `press-7/checks/oil/crit`, `cells/line-3/voters`. */
  readonly what: string;
  readonly from: string | undefined;
  readonly to: string | undefined;
}

/** What changes between two site files, by thing and entry, in the order of the new one. */
export function diffSites(before: SiteModel, after: SiteModel): SiteChange[] {
  const changes: SiteChange[] = [];
  const say = (kind: SiteChange['kind'], what: string, from?: unknown, to?: unknown): void => {
    changes.push({ kind, what, from: text(from), to: text(to) });
  };
  fields('', pick(before.shape, topFields), pick(after.shape, topFields));
  for (const section of ['cells', 'people', 'maintenance'] as const) {
    named(section, before.shape[section] ?? {}, after.shape[section] ?? {});
  }
  for (const thing of after.things) {
    const was = before.byName.get(thing.name);
    const about = `${thing.kind}${thing.types.length === 0 ? '' : `, is ${thing.types.join(' and ')}`}`;
    if (was === undefined || was.kind !== thing.kind) say('added', thing.name, undefined, about);
    else {
      fields(`${thing.name}/`, pick(was, thingFields), pick(thing, thingFields));
      for (const kind of bodyKinds) named(`${thing.name}/${kind}`, entries(was, kind), entries(thing, kind));
    }
  }
  for (const thing of before.things) {
    if (after.byName.get(thing.name)?.kind !== thing.kind) say('removed', thing.name, thing.kind);
  }
  return changes;

  function named(path: string, from: Readonly<Record<string, object>>, to: Readonly<Record<string, object>>): void {
    for (const [name, value] of Object.entries(to)) {
      const was = from[name];
      if (was === undefined) say('added', `${path}/${name}`, undefined, value);
      else fields(`${path}/${name}/`, was, value);
    }
    for (const name of Object.keys(from)) if (!Object.hasOwn(to, name)) say('removed', `${path}/${name}`, from[name]);
  }

  function fields(path: string, from: object, to: object): void {
    const [old, now] = [new Map(Object.entries(from)), new Map(Object.entries(to))];
    for (const field of new Set([...now.keys(), ...old.keys()])) {
      const [a, b] = [old.get(field), now.get(field)];
      if (canonicalJson(a ?? null) === canonicalJson(b ?? null)) continue;
      say(a === undefined ? 'added' : b === undefined ? 'removed' : 'changed', `${path}${field}`, a, b);
    }
  }
}

/** A line for people. */
export function formatChange({ kind, what, from, to }: SiteChange): string {
  if (kind === 'added') return `+ ${what}${to === undefined ? '' : `: ${to}`}`;
  if (kind === 'removed') return `- ${what}${from === undefined ? '' : `: ${from}`}`;
  return `~ ${what}: ${from} → ${to}`;
}

const topFields = ['site', 'version', 'path', 'shifts'] as const;
const thingFields = [
  'about',
  'cell',
  'role',
  'capacity',
  'key',
  'types',
  'needs',
  'labels',
  'connect',
  'source',
  'via',
] as const;

function entries(thing: ThingModel, kind: BodyKind): Readonly<Record<string, object>> {
  return Object.fromEntries([...thing.body[kind]].map(([name, entry]) => [name, entry.value as object]));
}

function pick<T extends object>(value: T, names: readonly (keyof T & string)[]): Record<string, unknown> {
  const plain = (one: unknown): unknown => (one instanceof Map ? Object.fromEntries(one) : one);
  return Object.fromEntries(names.map((name) => [name, plain(value[name])]).filter(([, one]) => one !== undefined));
}

function text(value: unknown): string | undefined {
  if (value === undefined) return undefined;
  const shown = typeof value === 'string' ? value : JSON.stringify(value);
  return shown.length > 200 ? `${shown.slice(0, 199)}…` : shown;
}
