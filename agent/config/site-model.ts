import type { z } from 'zod';
import { didYouMean, nearest } from '../base/nearest.ts';
import type { Findings, Origin } from './findings.ts';
import { keysAt, schemasAt } from './shape.ts';
import type { Path } from './site-document.ts';
import type {
  AlarmShape,
  CheckShape,
  ConnectShape,
  DutyShape,
  ModelShape,
  SignalShape,
  SiteShape,
  WorkflowShape,
  WriteShape,
} from './site-schema.ts';
import { bodySchemas, conditionKeys } from './site-schema.ts';

/** The kinds of entries that a body holds, in the order in which they build on each other. */
export const bodyKinds = ['signals', 'writes', 'checks', 'models', 'duties', 'workflows', 'alarms'] as const;
export type BodyKind = (typeof bodyKinds)[number];

export interface Shapes {
  signals: SignalShape;
  writes: WriteShape;
  checks: CheckShape;
  models: ModelShape;
  duties: DutyShape;
  workflows: WorkflowShape;
  alarms: AlarmShape;
}

export type Scalar = string | number | boolean;

/** One entry of a thing's body with its `$names` filled in. */
export interface Entry<K extends BodyKind = BodyKind> {
  readonly kind: K;
  readonly thing: ThingModel;
  readonly name: string;
  /** `thing/name`. */
  readonly id: string;
  readonly value: Shapes[K];
  readonly origin: Origin;
  readonly params: ReadonlyMap<string, Scalar>;
}

export interface ThingModel {
  readonly kind: 'agent' | 'asset' | 'site';
  readonly index: number;
  readonly name: string;
  readonly path: Path;
  readonly about: string;
  readonly cell: string | undefined;
  readonly types: readonly string[];
  readonly needs: readonly string[];
  readonly labels: ReadonlyMap<string, string>;
  readonly role: 'agent' | 'witness';
  readonly capacity: number | undefined;
  readonly key: string | undefined;
  readonly connect: ConnectShape | undefined;
  readonly source: string | undefined;
  readonly via: readonly string[] | undefined;
  readonly body: { readonly [K in BodyKind]: Map<string, Entry<K>> };
  /** Entries that were written here and are too broken to use: whoever names them is not told that they are missing. */
  readonly broken: Set<string>;
  readonly exceptions: readonly { readonly path: string; readonly to: string; readonly why: string }[];
}

/** A site file with its types expanded: things and their bodies, nothing resolved across things yet. */
export interface SiteModel {
  readonly site: string;
  readonly shape: SiteShape;
  readonly things: readonly ThingModel[];
  readonly byName: ReadonlyMap<string, ThingModel>;
  readonly zone: string | undefined;
  /** Paths that were too broken to use; nobody complains that they are missing. */
  readonly removed: ReadonlySet<string>;
}

export const namePattern = /^[a-z0-9][a-z0-9-]{0,62}$/;
/** The thing that the site's own body belongs to. */
export const siteThing = 'site';
const reserved = new Set([siteThing, 'coordinator', 'mesh']);

type Values = Record<string, unknown>;

/** Expands types, fills in parameters, applies exceptions. */
export function expandSite(shape: SiteShape, removed: ReadonlySet<string>, findings: Findings): SiteModel {
  const siteParams = new Map<string, Scalar>(Object.entries(shape.params ?? {}));
  const types = shape.types ?? {};
  const members = new Map<string, number>();
  const things: ThingModel[] = [];
  const byName = new Map<string, ThingModel>();
  const thingNames = new Set([...Object.keys(shape.agents), ...Object.keys(shape.assets ?? {})]);

  checkName(shape.site, ['site'], 'value', 'A site');
  for (const section of ['people', 'types', 'cells', 'agents', 'assets'] as const) {
    for (const name of Object.keys(shape[section] ?? {})) checkName(name, [section, name], 'key', 'A name');
  }
  for (const [cell, { permits }] of Object.entries(shape.cells ?? {})) {
    for (const name of Object.keys(permits ?? {})) checkName(name, ['cells', cell, 'permits', name], 'key', 'A name');
  }
  for (const name of thingNames) {
    const section = Object.hasOwn(shape.agents, name) ? 'agents' : 'assets';
    if (reserved.has(name))
      findings.at([section, name], 'name', `"${name}" is a word of Millwright's own: choose another name`, {
        at: 'key',
      });
    if (Object.hasOwn(shape.agents, name) && Object.hasOwn(shape.assets ?? {}, name)) {
      findings.at(['assets', name], 'duplicate', `${name} is an agent and an asset: rename one`, { at: 'key' });
    }
  }
  for (const section of ['agents', 'assets'] as const) {
    for (const thing of Object.values(shape[section] ?? {})) {
      for (const type of many(thing.is)) members.set(type, (members.get(type) ?? 0) + 1);
    }
  }
  for (const [type, count] of members) findings.typeSize(type, count);
  for (const type of Object.keys(types)) {
    if (!members.has(type)) {
      findings.at(['types', type], 'reference', `Nothing is a ${type}: what stands in it happens nowhere`, {
        at: 'key',
        severity: 'warning',
      });
    }
  }

  for (const section of ['agents', 'assets'] as const) {
    for (const [name, value] of Object.entries(shape[section] ?? {})) {
      if (!byName.has(name)) addThing(section, name, value as Values);
    }
  }
  addThing('site', siteThing, shape as unknown as Values);
  return { site: shape.site, shape, things, byName, zone: shape.shifts?.zone, removed };

  function checkName(name: string, path: Path, at: 'key' | 'value', what: string): void {
    if (!namePattern.test(name)) {
      findings.at(
        path,
        'name',
        `"${name}" cannot be a name: ${what.toLowerCase()} is lower case letters, digits and "-", at most 63`,
        { at },
      );
    }
  }

  function addThing(section: 'agents' | 'assets' | 'site', name: string, value: Values): void {
    const path: Path = section === 'site' ? [] : [section, name];
    const given = new Map<string, Scalar>(Object.entries((value['with'] as Record<string, Scalar> | undefined) ?? {}));
    const lone = { path, type: undefined, thing: name, overrides: new Map<string, Path>() };
    const typeNames = many(value['is'] as string | string[] | undefined);
    const body = Object.fromEntries(bodyKinds.map((kind) => [kind, new Map()])) as unknown as ThingModel['body'];
    const broken = new Set<string>();
    const fill = (key: string): unknown =>
      value[key] === undefined ? undefined : substitute(value[key], merged(siteParams, given), lone, [key], false);
    const connect = fill('connect') as ConnectShape | undefined;
    const thing: ThingModel = {
      kind: section === 'site' ? 'site' : section === 'agents' ? 'agent' : 'asset',
      index: things.length,
      name,
      path,
      about: String(
        fill('about') ?? typeNames.map((type) => types[type]?.about).find((text) => text !== undefined) ?? '',
      ),
      cell: fill('cell') as string | undefined,
      types: typeNames,
      needs: (fill('needs') as string[] | undefined) ?? [],
      labels: new Map(Object.entries((fill('labels') as Values | undefined) ?? {}).map(([k, v]) => [k, String(v)])),
      role: value['role'] === 'witness' ? 'witness' : 'agent',
      capacity: value['capacity'] as number | undefined,
      key: value['key'] as string | undefined,
      connect,
      source: fill('source') as string | undefined,
      via: fill('via') as string[] | undefined,
      body,
      broken,
      exceptions: [],
    };
    things.push(thing);
    byName.set(name, thing);

    if ([...removed].some((one) => one.startsWith(`${[...path, 'connect'].join('/')}/`))) broken.add('connect');

    const usable: { type: string | undefined; from: Values; params: Map<string, Scalar>; path: Path }[] = [];
    const wanted = new Set<string>();
    for (const [i, type] of typeNames.entries()) {
      const found = types[type];
      const at: Path = Array.isArray(value['is']) ? [...path, 'is', i] : [...path, 'is'];
      if (found === undefined) {
        if (!removed.has(`types/${type}`)) {
          findings.at(at, 'reference', `There is no type "${type}"${didYouMean(type, Object.keys(types))}`);
        }
        continue;
      }
      const params = new Map(siteParams);
      for (const [param, fallback] of Object.entries(found.params ?? {})) {
        wanted.add(param);
        const required = fallback === 'text' || fallback === 'number' || fallback === 'thing';
        let one = given.get(param);
        if (one === undefined && required) {
          findings.at(path, 'parameter', `${name} is a ${type} and needs the parameter "${param}" (${fallback})`, {
            at: 'key',
          });
          one = fallback === 'number' ? 0 : `\u0000${param}`;
        } else if (one === undefined) one = fallback;
        else if (typeof one === 'string') one = substitute(one, siteParams, lone, ['with', param], false) as Scalar;
        if (fallback === 'thing' && given.has(param) && !thingNames.has(String(one))) {
          findings.at(
            [...path, 'with', param],
            'reference',
            `There is no thing "${one}"${didYouMean(String(one), [...thingNames])}`,
          );
          one = `\u0000${param}`;
        }
        if (fallback === 'number' && typeof one !== 'number') {
          findings.at(
            [...path, 'with', param],
            'parameter',
            `"${param}" of a ${type} is a number, not ${JSON.stringify(one)}`,
          );
        }
        params.set(param, one);
      }
      usable.push({ type, from: found as Values, params, path: ['types', type] });
    }
    if (typeNames.length > 0) {
      for (const param of given.keys()) {
        if (!wanted.has(param)) {
          findings.at(
            [...path, 'with', param],
            'parameter',
            `${typeNames.join(' and ')} has no parameter "${param}"${didYouMean(param, [...wanted])}`,
            { at: 'key' },
          );
        }
      }
    }
    usable.push({ type: undefined, from: value, params: merged(siteParams, given), path });

    const exceptions = (value['but'] as Values | undefined) ?? {};
    const used = new Set<string>(['why']);
    if (value['but'] !== undefined && typeof exceptions['why'] !== 'string') {
      findings.at([...path, 'but'], 'no-why', 'This exception has no "why": say it for who finds it in two years', {
        at: 'key',
      });
    }

    for (const kind of bodyKinds) {
      const from = new Map<string, string>();
      for (const part of usable) {
        const entries = (part.from[kind] as Values | undefined) ?? {};
        for (const [entryName, raw] of Object.entries(entries)) {
          const overrides = new Map<string, Path>();
          const origin: Origin = { path: [...part.path, kind, entryName], type: part.type, thing: name, overrides };
          if (!namePattern.test(entryName)) {
            findings.of(
              origin,
              [],
              'name',
              `"${entryName}" cannot be a name: lower case letters, digits and "-", at most 63`,
              { at: 'key' },
            );
          }
          const before = from.get(entryName);
          if (before !== undefined) {
            const other = part.type === undefined ? `${name} itself` : part.type;
            findings.at(
              part.type === undefined ? [...path, kind, entryName] : [...path, 'is'],
              'clash',
              part.type === undefined
                ? `${other} and its type ${before} both define ${kind}/${entryName}: use "but"`
                : `Types ${before} and ${other} both define ${kind}/${entryName}: rename one`,
              { at: 'key' },
            );
            continue;
          }
          from.set(entryName, part.type ?? name);
          let filled = substitute(raw, part.params, origin, [], false);
          let gone = false;
          for (const [target, to] of Object.entries(exceptions)) {
            const steps = target.split('/');
            if (target === 'why' || steps[0] !== kind || steps[1] !== entryName) continue;
            used.add(target);
            const at: Path = [...path, 'but', target];
            if (part.type === undefined) {
              findings.at(
                at,
                'exception',
                `"but" changes ${target}, which is not from a type: change it where it stands`,
                { at: 'key' },
              );
              continue;
            }
            if (steps.length === 2) {
              if (to === 'none') gone = true;
              else
                findings.at(
                  at,
                  'exception',
                  `"but" can take ${target} out (none) or change a value in it, not replace it whole`,
                );
              continue;
            }
            const known = keysAt(bodySchemas[kind] as z.ZodType, []);
            if (!known.includes(steps[2]!)) {
              findings.at(
                at,
                'exception',
                `"but" changes ${target}, which is no key there${didYouMean(steps[2]!, known)}`,
                { at: 'key' },
              );
              continue;
            }
            if (to !== 'none') {
              const fits = schemasAt(bodySchemas[kind] as z.ZodType, steps.slice(2)).some(
                (schema) => schema.safeParse(to).success,
              );
              if (!fits) {
                findings.at(at, 'shape', `${JSON.stringify(to)} does not fit ${target}`);
                continue;
              }
            }
            filled = replace(filled as Values, steps.slice(2), to === 'none' ? undefined : to);
            overrides.set(steps.slice(2).join('/'), at);
          }
          (thing.exceptions as { path: string; to: string; why: string }[]).push(
            ...Object.entries(exceptions)
              .filter(([target]) => target.split('/')[0] === kind && target.split('/')[1] === entryName)
              .map(([target, to]) => ({
                path: target,
                to: typeof to === 'string' ? to : JSON.stringify(to),
                why: String(exceptions['why'] ?? ''),
              })),
          );
          if (gone) continue;
          (body[kind] as Map<string, Entry>).set(entryName, {
            kind,
            thing,
            name: entryName,
            id: `${name}/${entryName}`,
            value: filled as Shapes[BodyKind],
            origin,
            params: part.params,
          });
        }
        const prefix = [...part.path, kind].join('/');
        for (const path of removed) {
          if (path.startsWith(`${prefix}/`)) broken.add(`${kind}/${path.slice(prefix.length + 1).split('/')[0]}`);
          else if (path === prefix) broken.add(`${kind}/*`);
        }
      }
    }
    for (const target of Object.keys(exceptions)) {
      if (used.has(target)) continue;
      const [kind, entryName] = target.split('/');
      const what = typeNames.length === 0 ? name : typeNames.join(' and ');
      const there = bodyKinds.includes(kind as BodyKind) ? [...body[kind as BodyKind].keys()] : [...bodyKinds];
      const near = nearest(bodyKinds.includes(kind as BodyKind) ? (entryName ?? '') : (kind ?? ''), there);
      if (thing.broken.has(`${kind}/${entryName}`)) continue;
      findings.at(
        [...path, 'but', target],
        'exception',
        `"but" changes ${kind}/${entryName ?? ''}, which ${what} does not have`,
        {
          at: 'key',
          ...(near === undefined ? {} : { remedy: `did you mean "${near}"?` }),
        },
      );
    }
  }

  function substitute(
    value: unknown,
    params: ReadonlyMap<string, Scalar>,
    origin: Origin,
    below: Path,
    inCondition: boolean,
  ): unknown {
    if (typeof value === 'string') {
      if (!value.includes('$')) return value;
      if (inCondition) {
        const outside = value.replace(/"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'/g, (quoted) => ' '.repeat(quoted.length));
        const bare = /\$[a-z]/.exec(outside);
        if (bare !== null) {
          findings.of(origin, below, 'condition', `"$" in a condition stands inside a string only: use param("…")`, {
            offset: bare.index,
          });
          return value;
        }
      }
      const whole = /^\$([a-z][a-z0-9-]*)$/.exec(value);
      if (whole !== null && params.has(whole[1]!)) return params.get(whole[1]!);
      return value.replace(/\$\$|\$([a-z][a-z0-9-]*)/g, (text, param: string | undefined) => {
        if (param === undefined) return '$';
        const found = params.get(param);
        if (found !== undefined) return String(found);
        findings.of(
          origin,
          below,
          'parameter',
          `There is no parameter "${param}"${didYouMean(param, [...params.keys()])}`,
          {
            offset: value.indexOf(text),
          },
        );
        return `\u0000${param}`;
      });
    }
    if (Array.isArray(value))
      return value.map((item, i) => substitute(item, params, origin, [...below, i], inCondition));
    if (typeof value === 'object' && value !== null) {
      return Object.fromEntries(
        Object.entries(value).map(([key, item]) => [
          key.includes('$') ? String(substitute(key, params, origin, below, false)) : key,
          substitute(item, params, origin, [...below, key], conditionKeys.has(key)),
        ]),
      );
    }
    return value;
  }
}

/** A name that came from a parameter which was missing: complaining once is enough. */
export const isPlaceholder = (name: string): boolean => name.includes('\u0000');

const many = (value: string | readonly string[] | undefined): readonly string[] =>
  value === undefined ? [] : typeof value === 'string' ? [value] : value;

const merged = (a: ReadonlyMap<string, Scalar>, b: ReadonlyMap<string, Scalar>): Map<string, Scalar> =>
  new Map([...a, ...b]);

function replace(value: Values, steps: readonly string[], to: unknown): Values {
  const [first, ...rest] = steps;
  const next: Values = { ...value };
  if (rest.length === 0) {
    if (to === undefined) delete next[first!];
    else next[first!] = to;
  } else next[first!] = replace((value[first!] as Values | undefined) ?? {}, rest, to);
  return next;
}
