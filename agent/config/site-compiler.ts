import { createHash } from 'node:crypto';
import { dutyDefaults } from '../core/duties/options.ts';
import { presets } from '../core/membership/options.ts';
import type { SitePlan, ThingSpec } from '../core/site-plan.ts';
import type { Person, Site } from '../driver/bindings.ts';
import { compileAlarms, placeRaisedAlarms } from './compile/alarms.ts';
import { readAlong } from './compile/alongside.ts';
import { compileCells } from './compile/cells.ts';
import { compileChecks } from './compile/checks.ts';
import { type BundleFacts, createContext } from './compile/context.ts';
import { compileDuties } from './compile/duties.ts';
import { addPermits } from './compile/leases.ts';
import { compareModelWords } from './compile/model-words.ts';
import { compileModels } from './compile/models.ts';
import { checkNeeds, compileMaintenance, needsOf } from './compile/needs.ts';
import { compileSignals } from './compile/signals.ts';
import { checkWorkflowPlaces, compileWorkflows } from './compile/workflows.ts';
import { checkWriteRights, compileWrites } from './compile/writes.ts';
import type { Findings } from './findings.ts';
import type { SiteModel } from './site-model.ts';
import type { SiteShape } from './site-schema.ts';

/**
 * Compiles an expanded site file to the plan of the core and the bindings of the adapters. Every mistake goes to
 * `findings`; the site that is returned is to be used only when none of them is an error. Pure: the same file gives
 * the same indices and the same hash on every agent.
 */
export function compileSite(model: SiteModel, findings: Findings, modelRoot: string, bundle: BundleFacts = {}): Site {
  const site = createContext(model, findings, bundle);
  checkNeeds(site);
  compileDuties(site);
  compileSignals(site);
  compileWrites(site);
  compileChecks(site);
  compileModels(site);
  compileAlarms(site);
  compileWorkflows(site);
  addPermits(site);
  placeRaisedAlarms(site);
  checkWorkflowPlaces(site);
  checkWriteRights(site);
  compareModelWords(site, modelRoot);

  const { shape } = model;
  const { agents, agentIndex, cellNames, leases, signals, checks, models, conditions, duties, workflows, alarms } =
    site;
  const paces = new Map(cellNames.map((name) => [name, shape.cells?.[name]?.pace ?? 'lan']));
  if (new Set(paces.values()).size > 1) {
    const [odd] = [...paces].find(([, pace]) => pace !== [...paces.values()][0])!;
    findings.at(['cells', odd, 'pace'], 'later', 'Cells of different pace come later: say the same for all');
  }
  const things: ThingSpec[] = model.things.map((thing) => ({
    index: thing.index,
    id: thing.name,
    about: thing.about,
    agent: agentIndex.get(thing.name),
    state: site.indexOf('signals', `${thing.name}/state`),
    lockout: site.indexOf('signals', `${thing.name}/lockout`),
    needs: needsOf(site, thing),
    up: thing.kind === 'asset' ? site.indexOf('checks', `${thing.name}/up`) : undefined,
  }));
  const people = new Map<string, Person>(
    Object.entries(shape.people ?? {}).map(([name, person]) => [name, { name, may: person.may ?? [] }]),
  );
  const zone = model.zone;
  if (zone !== undefined && !isZone(zone)) {
    findings.at(['shifts', 'zone'], 'value', `"${zone}" is no time zone: say for example Europe/Berlin`);
  }
  for (const key of Object.keys(shape.shifts ?? {})) {
    if (key !== 'zone')
      findings.at(['shifts', key], 'later', `Shifts (${key}) come later: for now only \`zone\``, { at: 'key' });
  }

  const body: Omit<SitePlan, 'hash'> = {
    site: model.site,
    version: shape.version ?? 1,
    agents,
    cells: compileCells({ model, agents, leases, epochs: bundle.epochs ?? new Map(), findings }),
    things,
    signals,
    checks,
    models,
    conditions,
    duties,
    workflows,
    alarms,
    membership: presets[[...paces.values()][0] ?? 'lan'],
    dutyOptions: dutyDefaults,
    maintenance: compileMaintenance(site),
  };
  const hash = createHash('sha256').update(canonical(body)).digest('hex');
  // Not in the hash: a key may be revoked while agents run, and those that do not start anew for it have the same plan.
  const revoked = agents.filter((agent) => bundle.revoked?.has(agent.id)).map((agent) => agent.index);
  const cells = revoked.length === 0 ? body.cells : body.cells.map((cell) => ({ ...cell, revoked }));
  return {
    plan: { ...body, cells, hash },
    connections: site.connections,
    tags: site.tags,
    writes: site.writes,
    alongside: readAlong(site),
    people,
    modelRoot,
    zone: zone ?? 'UTC',
  };
}

function isZone(zone: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: zone });
    return true;
  } catch {
    return false;
  }
}

/** One text for one plan: keys sorted, maps as sorted pairs, nothing that depends on the machine. */
export function canonical(value: unknown): string {
  if (value instanceof Map) {
    return `{${[...value]
      .map(([key, item]) => [String(key), canonical(item)] as const)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, item]) => `${JSON.stringify(key)}:${item}`)
      .join(',')}}`;
  }
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (typeof value === 'object' && value !== null) {
    return `{${Object.entries(value as SiteShape)
      .filter(([, item]) => item !== undefined)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, item]) => `${JSON.stringify(key)}:${canonical(item)}`)
      .join(',')}}`;
  }
  return JSON.stringify(value) ?? 'null';
}
