import type { ThingIndex } from '../../base/ids.ts';
import { didYouMean } from '../../base/nearest.ts';
import { parseWindow } from '../../base/timetable.ts';
import type { MaintenanceSpec } from '../../core/site-plan.ts';
import type { Path } from '../site-document.ts';
import type { Entry, ThingModel } from '../site-model.ts';
import { isPlaceholder } from '../site-model.ts';
import type { SiteContext } from './context.ts';

/** Checks the topology: every name exists, and nothing needs itself. */
export function checkNeeds(site: SiteContext): void {
  const { model, findings, thingNames } = site;
  for (const thing of model.things) {
    for (const [i, name] of thing.needs.entries()) {
      if (!model.byName.has(name) || name === 'site') {
        findings.at(
          [...thing.path, 'needs', i],
          'reference',
          `There is no thing "${name}"${didYouMean(name, thingNames())}`,
        );
      }
    }
  }
  const told = new Set<string>();
  const behind = (thing: ThingModel) => [...thing.needs, ...(thing.source === undefined ? [] : [thing.source])];
  const search = (start: ThingModel, here: ThingModel, trail: readonly string[]): void => {
    for (const name of behind(here)) {
      const next = model.byName.get(name);
      if (next === undefined || trail.length > 64) continue;
      if (next === start) {
        const ring = [...trail].sort().join(' ');
        if (told.has(ring)) continue;
        told.add(ring);
        const steps = trail.map((one, i) => `${one} needs ${trail[i + 1] ?? start.name}`);
        const last = steps.pop();
        findings.at(
          [...start.path, 'needs'],
          'circle',
          `${[...steps, `and ${last}`].join(', ')}: a circle explains nothing`,
        );
      } else if (!trail.includes(name)) search(start, next, [...trail, name]);
    }
  };
  for (const thing of model.things) search(thing, thing, [thing.name]);
}

/** What a thing cannot be seen without: `needs`, and the thing that it is read through. */
export function needsOf({ model }: SiteContext, thing: ThingModel): ThingIndex[] {
  const names = [...thing.needs, ...(thing.source === undefined ? [] : [thing.source])];
  const found = names.map((name) => model.byName.get(name)).filter((one) => one !== undefined && one.kind !== 'site');
  return [...new Set(found.map((one) => one!.index))];
}

/** The things that one check needs besides those of its own thing. */
export function needsOfCheck({ model, findings, thingNames }: SiteContext, entry: Entry<'checks'>): ThingIndex[] {
  const things: ThingIndex[] = [];
  for (const [i, name] of (entry.value.needs ?? []).entries()) {
    if (isPlaceholder(name)) continue;
    const found = model.byName.get(name);
    if (found === undefined || found.kind === 'site') {
      const text = `There is no thing "${name}"${didYouMean(name, thingNames())}`;
      findings.of(entry.origin, ['needs', i], 'reference', text);
    } else things.push(found.index);
  }
  return things;
}

/** Planned work: which things, when, and why. */
export function compileMaintenance({ model, findings, thingNames }: SiteContext): MaintenanceSpec[] {
  return Object.entries(model.shape.maintenance ?? {}).map(([id, { things, at, why }]) => {
    const path: Path = ['maintenance', id];
    const window = parseWindow(at);
    if (!window.ok) findings.at([...path, 'at'], 'value', window.error.charAt(0).toUpperCase() + window.error.slice(1));
    const indices: ThingIndex[] = [];
    for (const [i, name] of things.entries()) {
      const found = model.byName.get(name);
      if (found === undefined || found.kind === 'site') {
        findings.at(
          [...path, 'things', i],
          'reference',
          `There is no thing "${name}"${didYouMean(name, thingNames())}`,
        );
      } else indices.push(found.index);
    }
    return { id, things: indices, at, why };
  });
}
