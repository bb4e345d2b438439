import { createHash } from 'node:crypto';
import type { AgentIndex, CheckIndex, ConditionIndex, DutyIndex, SignalIndex } from '../base/ids.ts';
import { agentId, entryId } from '../base/ids.ts';
import type { Location, OnlyIn } from '../base/location.ts';
import { didYouMean } from '../base/nearest.ts';
import type { Result } from '../base/result.ts';
import type { DutySpec, DutyWork } from '../core/duties/duty.ts';
import { dutyDefaults } from '../core/duties/options.ts';
import type { CheckSpec, Dwell, Limit } from '../core/health/check.ts';
import type { ConditionSpec } from '../core/health/condition.ts';
import type { ModelSpec } from '../core/health/model.ts';
import type { SignalSpec } from '../core/health/signal.ts';
import type { CellLease } from '../core/leases/cell-plan.ts';
import { presets } from '../core/membership/options.ts';
import type { StepAction, StepSpec, WorkflowSpec } from '../core/remediation/workflow.ts';
import type { AlarmSpec } from '../core/reporting/alarm.ts';
import type { AgentSpec, SitePlan, ThingSpec } from '../core/site-plan.ts';
import type { Connection, Person, Probe, Secret, Site, Tag } from '../driver/bindings.ts';
import { compileCells, defaultCell } from './cells.ts';
import type { Found, Place, Reads, Scope, SignalFacts } from './condition-compiler.ts';
import { compileCondition, fold } from './condition-compiler.ts';
import type { Findings } from './findings.ts';
import {
  parseBudget,
  parseDeadband,
  parseDwell,
  parseHostPort,
  parseLimit,
  parseScale,
  parseTimes,
} from './grammar.ts';
import { convert, formatDuration, parseDuration, unitOf } from './quantity.ts';
import type { Path } from './site-document.ts';
import type { BodyKind, Entry, SiteModel, ThingModel } from './site-model.ts';
import { bodyKinds, isPlaceholder } from './site-model.ts';
import type { CheckShape, OnlyInShape, SiteShape } from './site-schema.ts';

const singular: Readonly<Record<BodyKind, string>> = {
  signals: 'signal',
  checks: 'check',
  models: 'model',
  duties: 'duty',
  workflows: 'workflow',
  alarms: 'alarm',
};

/** Kinds of checks: what they compare with, when they compare, and how often unless the file says so. */
const probeKinds: Readonly<Record<string, { readonly unit?: string; readonly everyMs: number }>> = {
  cpu: { unit: '%', everyMs: 5_000 },
  memory: { unit: '%', everyMs: 10_000 },
  disk: { unit: '%', everyMs: 60_000 },
  load: { unit: 'count', everyMs: 10_000 },
  temperature: { unit: '°C', everyMs: 10_000 },
  'file-age': { unit: 's', everyMs: 60_000 },
  process: { everyMs: 1_000 },
  tcp: { everyMs: 10_000 },
  http: { everyMs: 10_000 },
  plugin: { everyMs: 60_000 },
};
const signalKinds = ['signal', 'stale', 'quality'] as const;

/** What a signed bundle adds to the site file. */
export interface BundleFacts {
  /** Epochs of the cells; 1 unless said. */
  readonly epochs?: ReadonlyMap<string, number>;
  /** SHA-256 of model files, by folder. */
  readonly models?: ReadonlyMap<string, string>;
}

const once: Dwell = { kind: 'count', n: 1 };
const everywhere: Location = { on: 'every' };

/**
 * Compiles an expanded site file to the plan of the core and the bindings of the adapters. Every mistake goes to
 * `findings`; the site that is returned is to be used only when none of them is an error. Pure: the same file gives
 * the same indices and the same hash on every agent.
 */
export function compileSite(model: SiteModel, findings: Findings, modelRoot: string, bundle: BundleFacts = {}): Site {
  const { shape } = model;
  const agentThings = model.things.filter((thing) => thing.kind === 'agent');
  const agentIndex = new Map<string, AgentIndex>(agentThings.map((thing, index) => [thing.name, index]));
  const cells = shape.cells ?? {};
  const cellNames = Object.keys(cells);
  if (agentThings.length === 0 && !model.removed.has('agents'))
    findings.at(['agents'], 'missing', 'A site needs at least one agent');

  const agents: AgentSpec[] = agentThings.map((thing, index) => ({
    index,
    id: agentId(thing.name),
    thing: thing.index,
    cell: cellOf(thing) ?? defaultCell,
    labels: thing.labels,
    role: thing.role,
    capacity: thing.capacity,
  }));
  for (const thing of model.things) if (thing.kind === 'asset') cellOf(thing);
  checkNeeds();

  const indexOf = new Map<string, number>();
  const entriesOf = <K extends BodyKind>(kind: K): Entry<K>[] =>
    model.things.flatMap((thing) => [...thing.body[kind].values()] as Entry<K>[]);
  for (const kind of bodyKinds)
    for (const [i, entry] of entriesOf(kind).entries()) indexOf.set(`${kind}:${entry.id}`, i);
  const at = (kind: BodyKind, entry: Entry): number => indexOf.get(`${kind}:${entry.id}`)!;

  // ---- duties first: where things run decides the rest --------------------------------------------------------
  const duties: DutySpec[] = [];
  const dutyIds = new Map<string, DutyIndex>();
  const pollDuty = new Map<string, DutyIndex>();
  const watchDuty = new Map<string, DutyIndex>();
  const scheduleDuty = new Map<string, DutyIndex>();
  const processDuties = new Map<string, DutyIndex[]>();
  const leases = new Map<string, CellLease[]>();
  for (const thing of model.things) addDuties(thing);

  // ---- signals ------------------------------------------------------------------------------------------------
  const tags = new Map<SignalIndex, Tag>();
  const signals: SignalSpec[] = entriesOf('signals').map((entry, index) => compileSignal(entry, index));
  const connections = new Map<number, Connection>();
  for (const thing of model.things) if (thing.connect !== undefined) compileConnection(thing);

  // ---- conditions, checks, models -----------------------------------------------------------------------------
  const conditions: ConditionSpec[] = [];
  const readsOf: Reads[] = [];
  const checkEntries = entriesOf('checks');
  const checks: CheckSpec[] = checkEntries.map((entry, index) => compileCheck(entry, index));
  const models: ModelSpec[] = entriesOf('models').map((entry, index) => compileModel(entry, index));
  for (const check of checks)
    for (const when of [check.warnWhen, check.critWhen]) seen(when, check.runsOn, checkEntries[check.index]!);

  // ---- hands and voices ---------------------------------------------------------------------------------------
  const alarmEntries = entriesOf('alarms');
  const alarms: AlarmSpec[] = alarmEntries.map((entry, index) => compileAlarm(entry, index));
  const workflows: WorkflowSpec[] = [];
  for (const [index, entry] of entriesOf('workflows').entries()) workflows.push(compileWorkflow(entry, index));
  placeRungs();
  addPermits();
  placeRaisedAlarms();
  for (const [i, entry] of entriesOf('workflows').entries()) checkWorkflowPlace(entry, workflows[i]!);

  const paces = new Map(cellNames.map((name) => [name, cells[name]?.pace ?? 'lan']));
  if (new Set(paces.values()).size > 1) {
    const [odd] = [...paces].find(([, pace]) => pace !== [...paces.values()][0])!;
    findings.at(['cells', odd, 'pace'], 'later', 'Cells of different pace come later: say the same for all');
  }
  const things: ThingSpec[] = model.things.map((thing) => ({
    index: thing.index,
    id: thing.name,
    about: thing.about,
    agent: agentIndex.get(thing.name),
    state: indexOf.get(`signals:${thing.name}/state`),
    lockout: indexOf.get(`signals:${thing.name}/lockout`),
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
  };
  const hash = createHash('sha256').update(canonical(body)).digest('hex');
  return { plan: { ...body, hash }, connections, tags, people, modelRoot, zone: zone ?? 'UTC' };

  // ============================================================================================================

  function cellOf(thing: ThingModel): string | undefined {
    if (thing.cell !== undefined) {
      if (!cellNames.includes(thing.cell) && !model.removed.has('cells')) {
        findings.at(
          [...thing.path, 'cell'],
          'reference',
          `There is no cell "${thing.cell}"${didYouMean(thing.cell, cellNames)}`,
        );
      }
      return thing.cell;
    }
    if (thing.kind === 'agent' && cellNames.length > 1) {
      findings.at(thing.path, 'missing', `${thing.name} is in no cell: it is one of ${cellNames.join(', ')}`, {
        at: 'key',
      });
    }
    return thing.kind === 'agent' ? cellNames[0] : undefined;
  }

  function checkNeeds(): void {
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

  function thingNames(): string[] {
    return [...model.byName.keys()].filter((name) => name !== 'site');
  }

  function sourceOf(thing: ThingModel): ThingModel | undefined {
    if (thing.connect !== undefined) return thing;
    if (thing.source === undefined) return undefined;
    const source = model.byName.get(thing.source);
    return source?.connect === undefined ? undefined : source;
  }

  // ---- duties -------------------------------------------------------------------------------------------------

  function addDuties(thing: ThingModel): void {
    if (thing.source !== undefined && !isPlaceholder(thing.source)) {
      const source = model.byName.get(thing.source);
      if (thing.connect !== undefined)
        findings.at(
          [...thing.path, 'source'],
          'clash',
          `${thing.name} has a connection of its own and a source: keep one`,
          { at: 'key' },
        );
      else if (source === undefined)
        findings.at(
          [...thing.path, 'source'],
          'reference',
          `There is no thing "${thing.source}"${didYouMean(thing.source, thingNames())}`,
        );
      else if (source.connect === undefined)
        findings.at([...thing.path, 'source'], 'reference', `${thing.source} has no connection (connect) to read from`);
    }
    for (const [i, agent] of (thing.via ?? []).entries()) {
      if (!agentIndex.has(agent))
        findings.at(
          [...thing.path, 'via', i],
          'reference',
          `There is no agent "${agent}"${didYouMean(agent, [...agentIndex.keys()])}`,
        );
    }
    if (thing.connect !== undefined) {
      pollDuty.set(
        thing.name,
        addDuty(`${thing.name}/poll`, thing, { kind: 'poll', source: thing.index }, eligibility(thing), thing.path, {
          exclusive: (thing.connect.modbus ?? thing.connect.opcua)?.clients === 1,
        }),
      );
    }
    for (const entry of thing.body.duties.values()) {
      const value = entry.value;
      const kinds = (['process', 'upload'] as const).filter((kind) => value[kind] !== undefined);
      if (kinds.length !== 1 && !thing.broken.has(`duties/${entry.name}`)) {
        findings.of(
          entry.origin,
          [],
          'missing',
          `Duty ${entry.name} says ${kinds.length === 0 ? 'neither process nor upload' : 'both process and upload'}: one of them is its work`,
          { at: 'key' },
        );
      }
      if (entry.name === 'poll' || entry.name === 'watch') {
        findings.of(entry.origin, [], 'name', `"${entry.name}" is the name of an implied duty: choose another`, {
          at: 'key',
        });
      }
      const work: DutyWork =
        value.process !== undefined
          ? {
              kind: 'process',
              argv: value.process.map(String),
              env: new Map(Object.entries(value.env ?? {}).map(([k, v]) => [k, String(v)])),
            }
          : { kind: 'upload', file: value.upload ?? '' };
      const index = addDuty(entry.id, thing, work, eligibility(thing, entry), entry.origin.path, {
        entry,
        exclusive: value.exclusive,
        critical: value.critical ?? false,
      });
      if (work.kind === 'process') processDuties.set(thing.name, [...(processDuties.get(thing.name) ?? []), index]);
    }
    for (const entry of thing.body.workflows.values()) {
      if (entry.value.at === undefined) continue;
      if (dutyIds.has(entry.id)) {
        findings.of(
          entry.origin,
          [],
          'clash',
          `Workflow ${entry.name} runs at times and so is a duty, and a duty is called ${entry.name} too: rename one`,
          { at: 'key' },
        );
        continue;
      }
      const work: DutyWork = { kind: 'schedule', workflow: at('workflows', entry) };
      scheduleDuty.set(
        entry.id,
        addDuty(entry.id, thing, work, eligibility(thing, entry), entry.origin.path, {
          entry,
          exclusive: entry.value.exclusive ?? false,
        }),
      );
    }
    if (thing.kind === 'asset' && sourceOf(thing) === undefined && (processDuties.get(thing.name) ?? []).length !== 1) {
      const watched = [...thing.body.checks.values()].some((entry) => typeof entry.value.process !== 'string');
      if (watched)
        watchDuty.set(
          thing.name,
          addDuty(
            `${thing.name}/watch`,
            thing,
            { kind: 'watch', thing: thing.index },
            eligibility(thing),
            thing.path,
            {},
          ),
        );
    }
  }

  function eligibility(
    thing: ThingModel,
    entry?: Entry<'duties'> | Entry<'workflows'>,
  ): { eligible: AgentIndex[]; refused: Map<AgentIndex, string> } {
    const eligible: AgentIndex[] = [];
    const refused = new Map<AgentIndex, string>();
    const cell = entry?.value.cell ?? (thing.via === undefined ? thing.cell : undefined);
    if (entry?.value.cell !== undefined && !cellNames.includes(entry.value.cell) && !model.removed.has('cells')) {
      findings.of(
        entry.origin,
        ['cell'],
        'reference',
        `There is no cell "${entry.value.cell}"${didYouMean(entry.value.cell, cellNames)}`,
      );
    }
    for (const agent of agents) {
      const own = model.things[agent.thing]!;
      if (agent.role === 'witness') refused.set(agent.index, 'is a witness: it votes and carries nothing');
      else if (thing.kind === 'agent' && own !== thing) refused.set(agent.index, `belongs to ${thing.name}`);
      else if (thing.via !== undefined && !thing.via.includes(own.name))
        refused.set(agent.index, `not in via of ${thing.name}`);
      else if (thing.kind !== 'agent' && cell !== undefined && agent.cell !== cell)
        refused.set(agent.index, `not in cell ${cell}`);
      else if (entry?.kind === 'duties' && entry.value.where !== undefined) {
        const where = compileCondition(entry.value.where, scopeOf(entry, 'where', own));
        for (const problem of where.problems) {
          findings.of(entry.origin, ['where'], problem.code, problem.message, { offset: problem.offset });
        }
        if (where.expression === undefined || fold(where.expression) === true) eligible.push(agent.index);
        else refused.set(agent.index, `${entry.value.where} is false`);
      } else eligible.push(agent.index);
    }
    return { eligible, refused };
  }

  function addDuty(
    id: string,
    thing: ThingModel,
    work: DutyWork,
    who: { eligible: readonly AgentIndex[]; refused: ReadonlyMap<AgentIndex, string> },
    path: Path,
    { entry, exclusive = false, critical = false }: { entry?: Entry; exclusive?: boolean; critical?: boolean },
  ): DutyIndex {
    const index = duties.length;
    if (dutyIds.has(id)) return dutyIds.get(id)!;
    const cellKnown = (cell: string | undefined) => cell === undefined || cellNames.includes(cell);
    const wantedCell = saidCell(entry) ?? thing.cell;
    if (who.eligible.length === 0 && agents.length > 0 && cellKnown(wantedCell)) {
      const duty = entry?.kind === 'duties' ? (entry as Entry<'duties'>) : undefined;
      const cell = wantedCell;
      const label = /^\s*label\(["']([^"']+)["']\)\s*==\s*["']([^"']*)["']\s*$/.exec(duty?.value.where ?? '');
      const want =
        label !== null
          ? ` has the label ${label[1]}=${label[2]}`
          : duty?.value.where !== undefined
            ? ` fits ${duty.value.where}`
            : ` may${witnesses(who.refused)}`;
      const message = `Nobody may run ${entry?.name ?? id}: no agent${cell === undefined ? '' : ` in ${cell}`}${want}`;
      if (entry === undefined) findings.at(path, 'nobody', message, { at: 'key' });
      else findings.of(entry.origin, [], 'nobody', message, { at: 'key' });
    }
    dutyIds.set(id, index);
    duties.push({
      index,
      id: entryId(id),
      thing: thing.index,
      work,
      eligible: who.eligible,
      exclusive,
      critical,
      refusedBecause: who.refused,
      weight: new Map(),
    });
    if (exclusive && who.eligible.length > 0 && cellKnown(wantedCell)) {
      const cell = cellOfWork(wantedCell, who.eligible);
      if (cell !== undefined) {
        addLease(cell, { id: `duty:${id}`, of: { kind: 'duty', duty: index }, eligible: who.eligible, lingerMs: 0 });
      } else {
        const homes = [...new Set(who.eligible.map((agent) => agents[agent]!.cell))];
        const message = `${id} is exclusive, and those who may carry it live in ${homes.join(' and ')}: say \`cell\`, whose voters decide`;
        if (entry === undefined) findings.at(path, 'voters', message, { at: 'key' });
        else findings.of(entry.origin, [], 'voters', message, { at: 'key' });
      }
    }
    return index;
  }

  function witnesses(refused: ReadonlyMap<AgentIndex, string>): string {
    const names = agents.filter((agent) => agent.role === 'witness' && refused.has(agent.index)).map((one) => one.id);
    return names.length === 0
      ? ''
      : `, ${names.join(' and ')} ${names.length === 1 ? 'is a witness' : 'are witnesses'}`;
  }

  function saidCell(entry: Entry | undefined): string | undefined {
    if (entry?.kind === 'duties') return (entry as Entry<'duties'>).value.cell;
    return entry?.kind === 'workflows' ? (entry as Entry<'workflows'>).value.cell : undefined;
  }

  /** Where the voters stand that decide: the cell that is said, or the one in which all live who may do it. */
  function cellOfWork(said: string | undefined, who: readonly AgentIndex[]): string | undefined {
    if (said !== undefined) return said;
    const homes = new Set(who.map((agent) => agents[agent]!.cell));
    return homes.size === 1 ? [...homes][0] : undefined;
  }

  function addLease(cell: string, lease: CellLease): void {
    leases.set(cell, [...(leases.get(cell) ?? []), lease]);
  }

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

  // ---- names --------------------------------------------------------------------------------------------------

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

  // ---- small readers ------------------------------------------------------------------------------------------

  function read<T>(
    entry: Entry,
    below: Path,
    parsed: Result<T, string>,
    fallback: T,
    code: 'value' | 'unit' = 'value',
  ): T {
    if (parsed.ok) return parsed.value;
    const text = parsed.error;
    findings.of(entry.origin, below, code, text.charAt(0).toUpperCase() + text.slice(1));
    return fallback;
  }

  function duration(entry: Entry, key: string, value: unknown, fallback: number, least = 0): number {
    if (value === undefined) return fallback;
    const ms = read(entry, [key], parseDuration(value), fallback);
    if (ms >= least) return ms;
    findings.of(entry.origin, [key], 'value', `"${value}" is too short: ${formatDuration(least)} at least`);
    return least;
  }

  function dwell(entry: Entry, key: string, value: unknown): Dwell {
    return value === undefined ? once : read(entry, [key], parseDwell(value), once);
  }

  function onlyIn(entry: Entry, value: OnlyInShape | undefined): OnlyIn[] {
    if (value === undefined) return [];
    const wanted: [string | undefined, readonly string[], Path][] = Array.isArray(value)
      ? [[undefined, value, ['only-in']]]
      : Object.entries(value).map(([thing, states]) => [thing, states, ['only-in', thing]]);
    const result: OnlyIn[] = [];
    for (const [thing, states, below] of wanted) {
      const found = stateSignal(thing, entry.thing);
      if ('missing' in found) findings.of(entry.origin, below, 'reference', found.missing, { at: 'key' });
      if (!('found' in found)) continue;
      const known = found.found.states ?? [];
      for (const [i, state] of states.entries()) {
        if (!known.includes(state)) {
          findings.of(
            entry.origin,
            [...below, i],
            'state',
            `State of ${thing ?? entry.thing.name} is never "${state}": it is one of ${known.join(', ')}`,
          );
        }
      }
      result.push({ state: found.found.index, states });
    }
    return result;
  }

  // ---- signals and connections --------------------------------------------------------------------------------

  function compileSignal(entry: Entry<'signals'>, index: SignalIndex): SignalSpec {
    const { value, thing } = entry;
    const source = sourceOf(thing);
    if (thing.kind !== 'asset') {
      findings.of(
        entry.origin,
        [],
        'later',
        `Signals of ${thing.kind === 'agent' ? 'an agent' : 'the site'} come later: give them to an asset`,
        { at: 'key' },
      );
    } else if (source === undefined && thing.source === undefined) {
      findings.of(
        entry.origin,
        [],
        'missing',
        `${thing.name} has nothing to read ${entry.name} from: give it \`connect\` or \`source\``,
        { at: 'key' },
      );
    }
    const modbus = source?.connect?.modbus !== undefined;
    if (modbus && !/^(holding|input|coil|discrete):\d{1,6}$/.test(value.address)) {
      findings.of(
        entry.origin,
        ['address'],
        'value',
        `"${value.address}" is no Modbus address: say holding:40011, input:30001, coil:1 or discrete:1`,
      );
    } else if (
      source?.connect?.opcua !== undefined &&
      !isPlaceholder(value.address) &&
      !/^(ns=\d+;)?[isgb]=.+$/.test(value.address)
    ) {
      findings.of(
        entry.origin,
        ['address'],
        'value',
        `"${value.address}" is no OPC UA node id: say for example "ns=2;s=Press7.Speed"`,
      );
    }
    const scale = value.scale === undefined ? undefined : read(entry, ['scale'], parseScale(value.scale), undefined);
    let unitName = value.unit ?? scale?.unit;
    if (value.unit !== undefined && unitOf(value.unit) === undefined) {
      findings.of(entry.origin, ['unit'], 'unit', `"${value.unit}" is not a unit that is known here`);
      unitName = undefined;
    } else if (unitName !== undefined) unitName = unitOf(unitName)?.name;
    let scaled: Tag['scale'];
    if (scale !== undefined) {
      const from = scale.unit === undefined ? undefined : unitOf(scale.unit);
      const to = unitName === undefined ? undefined : unitOf(unitName);
      const lo = from === undefined || to === undefined ? scale.lo : convert(scale.lo, from, to);
      const hi = from === undefined || to === undefined ? scale.hi : convert(scale.hi, from, to);
      if (lo === undefined || hi === undefined) {
        findings.of(
          entry.origin,
          ['scale'],
          'dimension',
          `The scale is in ${scale.unit}, the signal in ${value.unit}: these cannot be converted`,
        );
      } else scaled = { rawLo: scale.rawLo, rawHi: scale.rawHi, lo, hi };
    }
    if ((value.states !== undefined) !== (entry.name === 'state')) {
      findings.of(
        entry.origin,
        value.states === undefined ? [] : ['states'],
        'missing',
        value.states === undefined
          ? 'The signal "state" needs `states`: which number is which state'
          : '`states` belongs to the signal called "state"',
        { at: 'key' },
      );
    }
    const states = new Map<number, string>();
    for (const [code, name] of Object.entries(value.states ?? {})) {
      if (/^-?\d+$/.test(code)) states.set(Number(code), String(name));
      else
        findings.of(entry.origin, ['states', code], 'value', `"${code}" is no code: states are written number: name`, {
          at: 'key',
        });
    }
    const everyMs = duration(entry, 'every', value.every, 1_000, 10);
    const bit = /^(coil|discrete):/.test(value.address);
    const type =
      value.type ??
      (bit || entry.name === 'lockout' ? 'bool' : modbus ? 'uint16' : entry.name === 'state' ? 'int32' : 'float64');
    if (bit && type !== 'bool')
      findings.of(entry.origin, ['type'], 'value', `A ${value.address.split(':')[0]} is a bool, not ${type}`);
    tags.set(index, {
      signal: index,
      name: entry.id,
      source: source?.index ?? thing.index,
      address: value.address,
      type,
      scale: scaled,
      everyMs,
      unit: unitName,
    });
    return {
      index,
      id: entryId(entry.id),
      thing: thing.index,
      unit: unitName,
      duty: (source === undefined ? undefined : pollDuty.get(source.name)) ?? 0,
      everyMs,
      freshMs: duration(entry, 'fresh', value.fresh, 3 * everyMs, everyMs),
      acceptUncertain: value.accept === 'uncertain',
      states: value.states === undefined ? undefined : states,
    };
  }

  function compileConnection(thing: ThingModel): void {
    const path: Path = [...thing.path, 'connect'];
    const { opcua, modbus } = thing.connect!;
    if ((opcua === undefined) === (modbus === undefined)) {
      if (thing.broken.has('connect')) return;
      findings.at(path, 'missing', `${thing.name} needs one connection: opcua or modbus`, { at: 'key' });
      return;
    }
    if (opcua !== undefined) {
      if (!/^opc\.tcp:\/\/[^/\s]+/.test(opcua.endpoint)) {
        findings.at(
          [...path, 'opcua', 'endpoint'],
          'value',
          `"${opcua.endpoint}" is no OPC UA endpoint: say opc.tcp://host:4840`,
        );
      }
      connections.set(thing.index, {
        kind: 'opcua',
        endpoint: opcua.endpoint,
        security: opcua.security ?? 'none',
        user: opcua.user,
        secret: opcua.secret === undefined ? undefined : secretOf(opcua.secret),
      });
    } else if (modbus !== undefined) {
      const whole = (key: 'port' | 'unit', fallback: number, most: number): number => {
        const given = modbus[key];
        if (given === undefined) return fallback;
        const number = Number(given);
        if (Number.isInteger(number) && number >= 0 && number <= most) return number;
        findings.at(
          [...path, 'modbus', key],
          'value',
          `${JSON.stringify(given)} is no ${key}: a whole number to ${most}`,
        );
        return fallback;
      };
      connections.set(thing.index, {
        kind: 'modbus',
        host: modbus.host,
        port: whole('port', 502, 65_535),
        unit: whole('unit', 1, 255),
        order: modbus.order ?? 'abcd',
      });
    }
  }

  // ---- checks and models --------------------------------------------------------------------------------------

  function compileCheck(entry: Entry<'checks'>, index: CheckIndex): CheckSpec {
    const { value, thing } = entry;
    const kinds = [...signalKinds, ...Object.keys(probeKinds)].filter(
      (kind) => value[kind as keyof CheckShape] !== undefined,
    );
    const whens = (['warn-when', 'crit-when'] as const).filter((key) => value[key] !== undefined);
    const broken = thing.broken.has(`checks/${entry.name}`);
    if (kinds.length + (whens.length > 0 ? 1 : 0) !== 1 && !(broken && kinds.length === 0)) {
      findings.of(
        entry.origin,
        [],
        'missing',
        kinds.length === 0
          ? `Check ${entry.name} looks at nothing: say signal, disk, process, http, … or crit-when`
          : `Check ${entry.name} looks at ${[...kinds, ...whens].join(' and ')}: one check, one thing`,
        { at: 'key' },
      );
    }
    const kind = kinds[0];
    const limits = { warn: undefined as Limit | undefined, crit: undefined as Limit | undefined };
    let source: CheckSpec['source'] = { kind: 'condition' };
    let runsOn = home(thing);
    let everyMs = 1_000;

    if (kind === 'signal' || kind === 'stale' || kind === 'quality') {
      const found = lookup('signals', value[kind]!, thing);
      if ('missing' in found) findings.of(entry.origin, [kind], 'reference', found.missing);
      const signal = 'found' in found ? signals[at('signals', found.found)] : undefined;
      source = {
        kind: 'signal',
        signal: signal?.index ?? 0,
        judge: kind === 'signal' ? 'value' : kind === 'stale' ? 'staleness' : 'quality',
      };
      everyMs = signal?.everyMs ?? 1_000;
      if (signal !== undefined) runsOn = { on: 'holder', duty: signal.duty };
      if (kind === 'signal') {
        if (signal !== undefined || !('found' in found)) {
          for (const key of ['warn', 'crit'] as const) {
            limits[key] = limit(
              entry,
              key,
              signal === undefined ? undefined : { name: value[kind]!, unit: signal.unit },
            );
          }
        }
        needsLimit(entry);
      } else refuseLimits(entry, kind);
    } else if (kind !== undefined) {
      const { unit, everyMs: usual } = probeKinds[kind]!;
      everyMs = usual;
      source = { kind: 'probe', probe: probeOf(entry, kind) };
      if (kind === 'process' && typeof value.process === 'string') {
        const duty = dutyNamed(value.process, thing);
        if ('found' in duty) runsOn = { on: 'holder', duty: duty.found };
      }
      if (unit === undefined) refuseLimits(entry, kind);
      else {
        for (const key of ['warn', 'crit'] as const) limits[key] = limit(entry, key, { name: kind, unit });
        needsLimit(entry);
      }
    } else if (!broken) refuseLimits(entry, 'with conditions');
    if (limits.warn !== undefined && limits.crit !== undefined && limits.warn.side === limits.crit.side) {
      const beyond =
        limits.warn.side === 'above' ? limits.warn.value > limits.crit.value : limits.warn.value < limits.crit.value;
      if (beyond)
        findings.of(
          entry.origin,
          ['warn'],
          'value',
          `warn (${value.warn}) lies beyond crit (${value.crit}): it would never be seen`,
        );
    }
    everyMs = duration(entry, 'every', value.every, everyMs, 50);
    return {
      index,
      id: entryId(entry.id),
      thing: thing.index,
      runsOn,
      everyMs,
      timeoutMs: duration(entry, 'timeout', value.timeout, Math.min(10_000, Math.max(1_000, everyMs)), 10),
      source,
      warn: limits.warn,
      crit: limits.crit,
      warnWhen:
        value['warn-when'] === undefined ? undefined : addCondition(entry, ['warn-when'], value['warn-when'], 'check'),
      critWhen:
        value['crit-when'] === undefined ? undefined : addCondition(entry, ['crit-when'], value['crit-when'], 'check'),
      deadband: value.deadband === undefined ? 0 : read(entry, ['deadband'], parseDeadband(value.deadband), 0),
      raise: dwell(entry, 'raise', value.raise),
      clear: dwell(entry, 'clear', value.clear),
      onlyIn: onlyIn(entry, value['only-in']),
      graceMs: duration(entry, 'grace', value.grace, kind === 'process' ? 1_000 : 0),
    };
  }

  function needsLimit(entry: Entry<'checks'>): void {
    if (
      entry.value.warn === undefined &&
      entry.value.crit === undefined &&
      !entry.thing.broken.has(`checks/${entry.name}`)
    ) {
      findings.of(entry.origin, [], 'missing', `Check ${entry.name} has neither warn nor crit: it could only be ok`, {
        at: 'key',
      });
    }
  }

  function refuseLimits(entry: Entry<'checks'>, kind: string): void {
    for (const key of ['warn', 'crit'] as const) {
      if (entry.value[key] !== undefined) {
        findings.of(entry.origin, [key], 'value', `The check ${kind} judges by itself: take \`${key}\` out`, {
          at: 'key',
        });
      }
    }
  }

  function limit(
    entry: Entry<'checks'>,
    key: 'warn' | 'crit',
    of: { name: string; unit: string | undefined } | undefined,
  ): Limit | undefined {
    const text = entry.value[key];
    if (text === undefined || isPlaceholder(text)) return undefined;
    const parsed = parseLimit(text);
    if (!parsed.ok) {
      findings.of(entry.origin, [key], 'value', parsed.error.charAt(0).toUpperCase() + parsed.error.slice(1));
      return undefined;
    }
    if (of === undefined) return undefined;
    const { side, quantity } = parsed.value;
    const unit = of.unit === undefined ? undefined : unitOf(of.unit);
    if (quantity.unit === undefined) {
      if (unit === undefined || unit.name === 'count') return { side, value: quantity.value };
      findings.of(entry.origin, [key], 'unit', `${quantity.value} has no unit: ${of.name} is in ${unit.name}`);
      return undefined;
    }
    const value = unit === undefined ? undefined : convert(quantity.value, quantity.unit, unit);
    if (value === undefined) {
      const what = of.name in probeKinds ? of.name : 'signal';
      findings.of(
        entry.origin,
        [key],
        'dimension',
        unit === undefined
          ? `Limit in ${quantity.unit.name}, ${of.name} without a unit: these cannot be compared`
          : `Limit in ${quantity.unit.name}, ${what} in ${unit.name}: these cannot be compared`,
      );
      return undefined;
    }
    return { side, value };
  }

  function probeOf(entry: Entry<'checks'>, kind: string): Probe {
    const { value, thing } = entry;
    switch (kind) {
      case 'cpu':
      case 'memory':
        return { kind };
      case 'disk':
        return { kind, path: value.disk! };
      case 'load': {
        const minutes = /^(1|5|15)\s*m(?:in)?$/.exec(value.load!)?.[1];
        if (minutes === undefined)
          findings.of(entry.origin, ['load'], 'value', `"${value.load}" is no load average: it is one of 1m, 5m, 15m`);
        return { kind, minutes: minutes === '1' ? 1 : minutes === '15' ? 15 : 5 };
      }
      case 'temperature':
        return { kind, sensor: value.temperature === 'any' ? undefined : value.temperature };
      case 'process': {
        if (typeof value.process !== 'string') return { kind: 'process-name', name: value.process!.name };
        const duty = dutyNamed(value.process, thing);
        if ('missing' in duty) {
          findings.of(entry.origin, ['process'], 'reference', duty.missing, {
            remedy: 'any program on the box: { name: nginx }',
          });
        } else if ('found' in duty && duties[duty.found]!.work.kind !== 'process') {
          findings.of(entry.origin, ['process'], 'reference', `Duty ${value.process} runs no process`);
        }
        return { kind: 'process', duty: 'found' in duty ? duty.found : 0 };
      }
      case 'tcp': {
        const address = read(entry, ['tcp'], parseHostPort(value.tcp), { host: '', port: 0 });
        return { kind, ...address };
      }
      case 'http': {
        const http =
          typeof value.http === 'string' ? { url: value.http, status: undefined, contains: undefined } : value.http!;
        if (!/^https?:\/\/[^/\s]+/.test(http.url) && !isPlaceholder(http.url)) {
          findings.of(entry.origin, ['http'], 'value', `"${http.url}" is no http:// or https:// address`);
        }
        return { kind, url: http.url, status: http.status, contains: http.contains };
      }
      case 'file-age':
        return { kind, path: value['file-age']! };
      default:
        return { kind: 'plugin', argv: value.plugin!.map(String) };
    }
  }

  function compileModel(entry: Entry<'models'>, index: number): ModelSpec {
    const inputs: { name: string; signal: SignalIndex }[] = [];
    const sources = new Set<DutyIndex>();
    for (const [name, said] of Object.entries(entry.value.inputs)) {
      const found = lookup('signals', String(said), entry.thing);
      if ('missing' in found) findings.of(entry.origin, ['inputs', name], 'reference', found.missing);
      if (!('found' in found)) continue;
      const signal = at('signals', found.found);
      inputs.push({ name, signal });
      sources.add(signals[signal]!.duty);
    }
    if (Object.keys(entry.value.inputs).length === 0)
      findings.of(entry.origin, ['inputs'], 'missing', `Model ${entry.name} has no inputs`, { at: 'key' });
    if (sources.size > 1) {
      findings.of(
        entry.origin,
        ['inputs'],
        'later',
        `Model ${entry.name} reads from several machines: that comes later`,
        { at: 'key' },
      );
    }
    if (entry.value.file.includes('..') || entry.value.file.startsWith('/')) {
      findings.of(
        entry.origin,
        ['file'],
        'value',
        `"${entry.value.file}" leaves the model folder: say for example bearing/3`,
      );
    }
    const [duty] = sources;
    return {
      index,
      id: entryId(entry.id),
      thing: entry.thing.index,
      runsOn: duty === undefined ? home(entry.thing) : { on: 'holder', duty },
      file: entry.value.file,
      sha256: entry.value.sha256 ?? bundle.models?.get(entry.value.file),
      inputs,
      raise: dwell(entry, 'raise', entry.value.raise),
      clear: dwell(entry, 'clear', entry.value.clear),
    };
  }

  // ---- alarms and workflows -----------------------------------------------------------------------------------

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

  function compileAlarm(entry: Entry<'alarms'>, index: number): AlarmSpec {
    const { value, thing } = entry;
    const when = value.when === undefined ? undefined : addCondition(entry, ['when'], value.when, 'when');
    const found = locationsOf(when);
    const own = home(thing);
    const runsOn = found.length === 1 ? found[0]! : own;
    seen(when, runsOn, entry);
    return {
      index,
      id: entryId(entry.id),
      alarmId: `${entry.name}.${thing.name}`,
      thing: thing.index,
      runsOn,
      when,
      priority: value.priority,
      cause: String(value.cause),
      consequence: String(value.consequence),
      response: String(value.response),
      respondWithinMs: duration(entry, 'respond-within', value['respond-within'], 3_600_000, 1_000),
      blindAfterMs: duration(entry, 'blind-after', value['blind-after'], 60_000),
      local: value.local?.map(String),
    };
  }

  function compileWorkflow(entry: Entry<'workflows'>, index: number): WorkflowSpec {
    const { value, thing } = entry;
    for (const key of ['exclusive', 'cell'] as const) {
      if (value[key] === undefined || value.at !== undefined) continue;
      findings.of(
        entry.origin,
        [key],
        'value',
        `\`${key}\` belongs to a workflow with \`at\`: this one runs where its trigger is judged`,
        { at: 'key', ...(key === 'exclusive' ? { remedy: 'for one at a time: `permit`' } : {}) },
      );
    }
    if (value.when !== undefined && value.at !== undefined) {
      findings.of(
        entry.origin,
        ['at'],
        'clash',
        `Workflow ${entry.name} has \`when\` and \`at\`: it reacts or it runs at times, make two of it`,
        { at: 'key' },
      );
    }
    const timesOf = value.at === undefined ? undefined : read(entry, ['at'], parseTimes(value.at), undefined);
    const when = value.when === undefined ? undefined : addCondition(entry, ['when'], value.when, 'when');
    const onlyIf =
      value['only-if'] === undefined ? undefined : addCondition(entry, ['only-if'], value['only-if'], 'only-if');
    const verify = addCondition(entry, ['verify'], value.verify, 'verify');
    const guards = onlyIn(entry, value['only-in']);
    const schedule = scheduleDuty.get(entry.id);
    let runsOn = schedule === undefined ? home(thing) : ({ on: 'holder', duty: schedule } as Location);
    const found = locationsOf(when);
    if (schedule === undefined && when !== undefined && found.length > 0) {
      if (found.length === 1) runsOn = found[0]!;
      else if (!found.some((one) => same(one, runsOn))) {
        findings.of(
          entry.origin,
          ['when'],
          'later',
          `This \`when\` is judged in several places (${found.map(placeName).join(', ')}): who acts then is decided by leases, later`,
        );
      }
    }
    const steps = value.steps.map((step, i) => compileStep(entry, step, i));
    const lockout = thing.body.signals.get('lockout');
    return {
      index,
      id: entryId(entry.id),
      thing: thing.index,
      runsOn,
      when,
      at: timesOf,
      onlyIf,
      onlyIn: guards,
      lockout: lockout === undefined ? undefined : at('signals', lockout),
      permit: undefined,
      budget: read(entry, ['budget'], parseBudget(value.budget), { count: 1, perMs: 86_400_000 }),
      cooldownMs: duration(entry, 'cooldown', value.cooldown, 60_000),
      guardWaitMs: duration(entry, 'guard-wait', value['guard-wait'], 600_000),
      steps,
      verify,
      verifyTimeoutMs: duration(entry, 'verify-within', value['verify-within'], 60_000, 100),
      soakMs: duration(entry, 'soak', value.soak, 30_000),
      quietMs: duration(entry, 'quiet', value.quiet, 1_800_000),
      ifFailed: ifFailed(entry),
    };
  }

  function ifFailed(entry: Entry<'workflows'>): WorkflowSpec['ifFailed'] {
    const wanted = entry.value['if-failed'];
    if (wanted === undefined) {
      const name = `${entry.name}-failed`;
      const written = entry.thing.body.alarms.get(name);
      if (written !== undefined) return [{ kind: 'alarm', alarm: at('alarms', written) }];
      const index = alarms.length;
      alarms.push({
        index,
        id: entryId(`${entry.thing.name}/${name}`),
        alarmId: `${name}.${entry.thing.name}`,
        thing: entry.thing.index,
        runsOn: everywhere,
        when: undefined,
        priority: 'medium',
        cause: `the workflow ${entry.id} did not help`,
        consequence: `what it should mend stands: ${entry.value.when ?? entry.value.about ?? 'see its incident'}`,
        response: 'look at the incident of the run, then repair by hand',
        respondWithinMs: 3_600_000,
        blindAfterMs: 60_000,
        local: undefined,
      });
      return [{ kind: 'alarm', alarm: index }];
    }
    const result: WorkflowSpec['ifFailed'][number][] = [];
    for (const [i, one] of wanted.entries()) {
      const kind = 'workflow' in one ? 'workflows' : 'alarms';
      const name = 'workflow' in one ? one.workflow : one.alarm;
      const found = lookup(kind, name, entry.thing);
      if ('missing' in found) findings.of(entry.origin, ['if-failed', i, singular[kind]], 'reference', found.missing);
      if (!('found' in found)) continue;
      if (kind === 'workflows') result.push({ kind: 'workflow', workflow: at(kind, found.found) });
      else result.push({ kind: 'alarm', alarm: at(kind, found.found) });
    }
    return result;
  }

  function compileStep(
    entry: Entry<'workflows'>,
    step: Entry<'workflows'>['value']['steps'][number],
    i: number,
  ): StepSpec {
    const below: Path = ['steps', i];
    const kinds = (['process.restart', 'command.run', 'wait', 'notify'] as const).filter(
      (kind) => step[kind] !== undefined,
    );
    if (kinds.length !== 1 && !entry.thing.broken.has(`workflows/${entry.name}`)) {
      findings.of(
        entry.origin,
        below,
        'missing',
        kinds.length === 0
          ? 'This step does nothing: say process.restart, command.run, wait or notify'
          : `This step does ${kinds.join(' and ')}: make two steps of it`,
      );
    }
    const time = (key: 'timeout' | 'lands-within', fallback: number, least: number): number => {
      const value = step[key];
      if (value === undefined) return fallback;
      const parsed = parseDuration(value);
      if (parsed.ok && parsed.value >= least) return parsed.value;
      findings.of(
        entry.origin,
        [...below, key],
        'value',
        parsed.ok ? `"${value}" is too short: ${formatDuration(least)} at least` : parsed.error,
      );
      return fallback;
    };
    const kind = kinds[0] ?? 'wait';
    let action: StepAction = { kind: 'wait', ms: 0 };
    let doubt: StepSpec['doubt'] = 'idempotent';
    let timeoutMs = 30_000;
    let landsWithinMs = 0;
    if (kind === 'process.restart') {
      const duty = dutyNamed(step[kind]!, entry.thing);
      if ('missing' in duty) findings.of(entry.origin, [...below, kind], 'reference', duty.missing);
      else if ('found' in duty && duties[duty.found]!.work.kind !== 'process') {
        findings.of(entry.origin, [...below, kind], 'reference', `Duty ${step[kind]} runs no process`);
      }
      action = { kind, duty: 'found' in duty ? duty.found : 0 };
      doubt = 'probeable';
      landsWithinMs = 2_000;
    } else if (kind === 'command.run') {
      action = { kind, argv: step[kind]!.map(String) };
      doubt = 'fire-once';
      landsWithinMs = 5_000;
    } else if (kind === 'notify') {
      const { people: who, text } = step.notify!;
      const all = typeof who === 'string' ? [who] : who;
      for (const one of all) {
        if (shape.people?.[one] === undefined) {
          findings.of(
            entry.origin,
            [...below, 'notify', 'people'],
            'reference',
            `There is nobody called "${one}"${didYouMean(one, Object.keys(shape.people ?? {}))}`,
          );
        }
      }
      action = { kind, people: all, text };
      landsWithinMs = 5_000;
    } else if (step.wait !== undefined) {
      const ms = parseDuration(step.wait);
      if (ms.ok) action = { kind: 'wait', ms: ms.value };
      else findings.of(entry.origin, [...below, 'wait'], 'value', ms.error);
      timeoutMs = (ms.ok ? ms.value : 0) + 5_000;
    }
    let backoffMs = 1_000;
    if (step.retry?.backoff !== undefined) {
      const parsed = parseDuration(step.retry.backoff);
      if (parsed.ok) backoffMs = parsed.value;
      else findings.of(entry.origin, [...below, 'retry', 'backoff'], 'value', parsed.error);
    }
    return {
      name: step.name ?? kind,
      action,
      timeoutMs: time('timeout', timeoutMs, 100),
      retry: { times: step.retry?.times ?? 0, backoffMs },
      doubt: step.doubt ?? doubt,
      landsWithinMs: time('lands-within', landsWithinMs, 0),
      fixing: kind === 'process.restart' || kind === 'command.run',
    };
  }

  /** A workflow without a trigger runs where the one that starts it runs. */
  function placeRungs(): void {
    const entries = entriesOf('workflows');
    for (let round = 0; round < entries.length; round++) {
      let moved = false;
      for (const from of workflows) {
        for (const next of from.ifFailed) {
          if (next.kind !== 'workflow') continue;
          const rung = workflows[next.workflow]!;
          if (same(rung.runsOn, from.runsOn)) continue;
          if (rung.when !== undefined || rung.at !== undefined || round > 0) {
            findings.of(
              entries[from.index]!.origin,
              ['if-failed'],
              'later',
              `${from.id} runs ${placeName(from.runsOn)}, ${rung.id} ${placeName(rung.runsOn)}: starting a workflow elsewhere comes later`,
            );
            continue;
          }
          workflows[next.workflow] = { ...rung, runsOn: from.runsOn };
          moved = true;
        }
      }
      if (!moved) return;
    }
  }

  /** Permits of the cells as leases, a slot each; whoever may run a workflow that asks for one may hold it. */
  function addPermits(): void {
    const slots = new Map<string, { readonly eligible: Set<AgentIndex>; lingerMs: number }>();
    for (const [i, entry] of entriesOf('workflows').entries()) {
      const wanted = entry.value.permit;
      if (wanted === undefined || isPlaceholder(wanted)) continue;
      const workflow = workflows[i]!;
      const who = whoRuns(workflow.runsOn, entry.thing);
      const cell = cellOfWork(
        saidCell(entry) ?? entry.thing.cell ?? (cellNames.length === 1 ? cellNames[0] : undefined),
        who,
      );
      const known = Object.keys(cells[cell ?? '']?.permits ?? {});
      if (cell === undefined) {
        findings.of(
          entry.origin,
          ['permit'],
          'reference',
          `${entry.thing.name} is in no cell, and permits belong to one`,
        );
      } else if (!known.includes(wanted)) {
        if (!cellNames.includes(cell) && cellNames.length > 0) continue;
        const near = didYouMean(wanted, known);
        findings.of(
          entry.origin,
          ['permit'],
          'reference',
          `Cell ${cell} has no permit "${wanted}"${near}`,
          near === '' ? { remedy: `say how many at once: permits: { ${wanted}: 1 }` } : {},
        );
      } else {
        const key = `${cell}/${wanted}`;
        const slot = slots.get(key) ?? { eligible: new Set(), lingerMs: 0 };
        for (const agent of who) slot.eligible.add(agent);
        for (const step of workflow.steps) {
          slot.lingerMs = Math.max(slot.lingerMs, step.timeoutMs + step.landsWithinMs);
        }
        slots.set(key, slot);
        workflows[i] = { ...workflow, permit: { cell: cellNames.indexOf(cell), name: wanted } };
      }
    }
    for (const cell of cellNames) {
      for (const [permit, count] of Object.entries(cells[cell]?.permits ?? {})) {
        const slot = slots.get(`${cell}/${permit}`);
        if (slot === undefined) {
          findings.at(['cells', cell, 'permits', permit], 'reference', `No workflow asks for the permit ${permit}`, {
            at: 'key',
            severity: 'warning',
          });
          continue;
        }
        const eligible = [...slot.eligible].sort((a, b) => a - b);
        for (let n = 1; n <= count; n++) {
          addLease(cell, {
            id: `guard:${cell}/${permit}/slot-${n}`,
            of: { kind: 'permit', permit, slot: n },
            eligible,
            lingerMs: slot.lingerMs,
          });
        }
      }
    }
  }

  function whoRuns(place: Location, thing: ThingModel): readonly AgentIndex[] {
    if (place.on === 'agent') return [place.agent];
    if (place.on === 'holder') return duties[place.duty]?.eligible ?? [];
    const all = agents.filter((agent) => agent.role === 'agent');
    return (thing.cell === undefined ? all : all.filter((agent) => agent.cell === thing.cell)).map((one) => one.index);
  }

  function placeRaisedAlarms(): void {
    const raised = new Set<number>();
    for (const workflow of workflows) {
      for (const next of workflow.ifFailed) {
        if (next.kind !== 'alarm') continue;
        const alarm = alarms[next.alarm]!;
        if (alarm.when === undefined) alarms[next.alarm] = { ...alarm, runsOn: workflow.runsOn };
        raised.add(next.alarm);
      }
    }
    for (const [i, entry] of alarmEntries.entries()) {
      if (entry.value.when === undefined && !raised.has(i) && !entry.thing.broken.has(`alarms/${entry.name}`)) {
        findings.of(
          entry.origin,
          [],
          'missing',
          `Alarm ${entry.name} has no \`when\`, and no workflow raises it: it could never be heard`,
          { at: 'key' },
        );
      }
    }
  }

  function checkWorkflowPlace(entry: Entry<'workflows'>, workflow: WorkflowSpec): void {
    const { runsOn } = workflow;
    const triggered = workflow.when !== undefined || workflow.at !== undefined;
    if (locationsOf(workflow.when).length > 1 && runsOn.on === 'every') return;
    if (runsOn.on === 'every' && triggered && agents.length > 1) {
      findings.of(
        entry.origin,
        [],
        'later',
        `Workflow ${entry.name} would run on all agents at once: give it to an agent or an asset; leases for the site come later`,
        { at: 'key' },
      );
      return;
    }
    for (const [key, index] of [
      ['when', workflow.when],
      ['only-if', workflow.onlyIf],
      ['verify', workflow.verify],
    ] as const) {
      if (index !== undefined && key !== undefined) seen(index, runsOn, entry);
    }
    for (const guard of workflow.onlyIn) seenSignal(guard.state, runsOn, entry, ['only-in']);
    if (
      workflow.lockout !== undefined &&
      !(runsOn.on === 'holder' && runsOn.duty === signals[workflow.lockout]!.duty)
    ) {
      seenSignal(workflow.lockout, runsOn, entry, []);
    }
    for (const [i, step] of workflow.steps.entries()) {
      if (step.action.kind !== 'process.restart') continue;
      const duty = duties[step.action.duty];
      const here =
        (runsOn.on === 'holder' && runsOn.duty === step.action.duty) ||
        (runsOn.on === 'agent' && duty?.eligible.length === 1 && duty.eligible[0] === runsOn.agent);
      if (!here && duty !== undefined) {
        findings.of(
          entry.origin,
          ['steps', i],
          'later',
          `${duty.id} runs on its holder, this workflow ${placeName(runsOn)}: acting on another agent's process comes later`,
          { remedy: `watch it with a check { process: ${duty.id.split('/')[1]} }` },
        );
      }
    }
  }
}

const same = (a: Location, b: Location): boolean =>
  a.on === b.on &&
  (a.on !== 'agent' || (b.on === 'agent' && a.agent === b.agent)) &&
  (a.on !== 'holder' || (b.on === 'holder' && a.duty === b.duty));

const secretOf = (text: string): Secret =>
  text.startsWith('env:') ? { from: 'env', name: text.slice(4) } : { from: 'file', path: text.slice(5) };

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
