import { didYouMean } from '../../base/nearest.ts';
import type { ThingModel } from '../site-model.ts';
import type { SiteContext } from './context.ts';

/** Checks the topology: every name exists, and nothing needs itself. */
export function checkNeeds(site: SiteContext): void {
  const { model, findings, thingNames } = site;
  const used = model.things.find((thing) => thing.needs.length > 0);
  if (used !== undefined) {
    findings.at(
      [...used.path, 'needs'],
      'later',
      '`needs` is checked and shown; folding alarms behind it comes later',
      {
        severity: 'warning',
        at: 'key',
      },
    );
  }
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
