import type { AgentIndex, DutyIndex, SignalIndex, ThingIndex } from '../../base/ids.ts';
import { agentId } from '../../base/ids.ts';
import type { DutySpec } from '../../core/duties/duty.ts';
import type { CheckSpec } from '../../core/health/check.ts';
import type { ConditionSpec } from '../../core/health/condition.ts';
import type { ModelSpec } from '../../core/health/model.ts';
import type { SignalSpec } from '../../core/health/signal.ts';
import type { CellLease } from '../../core/leases/cell-plan.ts';
import type { WorkflowSpec } from '../../core/remediation/workflow.ts';
import type { AlarmSpec } from '../../core/reporting/alarm.ts';
import type { AgentSpec } from '../../core/site-plan.ts';
import type { Connection, Tag, WriteTarget } from '../../driver/bindings.ts';
import type { Reads } from '../condition-compiler.ts';
import type { Findings } from '../findings.ts';
import type { BodyKind, Entry, SiteModel, ThingModel } from '../site-model.ts';
import { bodyKinds } from '../site-model.ts';
import { cellOf, defaultCell } from './cells.ts';
import { createNames, type Names } from './names.ts';
import { createPlaces, type Places } from './places.ts';
import { createReaders, type Readers } from './readers.ts';

/** What a signed bundle adds to the site file. */
export interface BundleFacts {
  /** Epochs of the cells; 1 unless said. */
  readonly epochs?: ReadonlyMap<string, number>;
  /** Agents whose keys are off the list. */
  readonly revoked?: ReadonlySet<string>;
  /** SHA-256 of model files, by folder. */
  readonly models?: ReadonlyMap<string, string>;
  /** SHA-256 of their manifests. */
  readonly manifests?: ReadonlyMap<string, string>;
}

/**
 * What the parts of the compiler build together. Each fills its own lists, in the order of `compileSite`: duties first,
 * because where things run decides the rest; then signals, checks, models; then hands and voices.
 */
export interface SiteFacts {
  readonly model: SiteModel;
  readonly findings: Findings;
  readonly bundle: BundleFacts;
  readonly agents: readonly AgentSpec[];
  readonly agentIndex: ReadonlyMap<string, AgentIndex>;
  readonly cellNames: readonly string[];
  readonly duties: DutySpec[];
  readonly dutyIds: Map<string, DutyIndex>;
  /** Implied and own duties by the thing, or the workflow, that they serve. */
  readonly pollDuty: Map<string, DutyIndex>;
  readonly watchDuty: Map<string, DutyIndex>;
  readonly scheduleDuty: Map<string, DutyIndex>;
  readonly processDuties: Map<string, DutyIndex[]>;
  /** By cell. */
  readonly leases: Map<string, CellLease[]>;
  readonly signals: SignalSpec[];
  readonly tags: Map<SignalIndex, Tag>;
  readonly connections: Map<ThingIndex, Connection>;
  readonly writes: Map<number, WriteTarget>;
  readonly conditions: ConditionSpec[];
  /** What each condition reads, by its index. */
  readonly readsOf: Reads[];
  readonly checks: CheckSpec[];
  readonly models: ModelSpec[];
  readonly alarms: AlarmSpec[];
  readonly workflows: WorkflowSpec[];
  entriesOf<K extends BodyKind>(kind: K): Entry<K>[];
  /** The index of an entry among those of its kind, over all things. */
  at(kind: BodyKind, entry: Entry): number;
  /** The same by name: `thing/name`. */
  indexOf(kind: BodyKind, id: string): number | undefined;
  thingNames(): string[];
  /** The connected thing that the signals of this one are read from. */
  sourceOf(thing: ThingModel): ThingModel | undefined;
}

export type SiteContext = SiteFacts & Names & Readers & Places;

export function createContext(model: SiteModel, findings: Findings, bundle: BundleFacts): SiteContext {
  const { shape } = model;
  const agentThings = model.things.filter((thing) => thing.kind === 'agent');
  const agentIndex = new Map<string, AgentIndex>(agentThings.map((thing, index) => [thing.name, index]));
  const cellNames = Object.keys(shape.cells ?? {});
  if (agentThings.length === 0 && !model.removed.has('agents'))
    findings.at(['agents'], 'missing', 'A site needs at least one agent');

  const agents: AgentSpec[] = agentThings.map((thing, index) => ({
    index,
    id: agentId(thing.name),
    thing: thing.index,
    cell: cellOf(model, findings, thing) ?? defaultCell,
    labels: thing.labels,
    role: thing.role,
    capacity: thing.capacity,
  }));
  for (const thing of model.things) if (thing.kind === 'asset') cellOf(model, findings, thing);

  const indices = new Map<string, number>();
  const entriesOf = <K extends BodyKind>(kind: K): Entry<K>[] =>
    model.things.flatMap((thing) => [...thing.body[kind].values()] as Entry<K>[]);
  for (const kind of bodyKinds)
    for (const [i, entry] of entriesOf(kind).entries()) indices.set(`${kind}:${entry.id}`, i);

  const facts: SiteFacts = {
    model,
    findings,
    bundle,
    agents,
    agentIndex,
    cellNames,
    duties: [],
    dutyIds: new Map(),
    pollDuty: new Map(),
    watchDuty: new Map(),
    scheduleDuty: new Map(),
    processDuties: new Map(),
    leases: new Map(),
    signals: [],
    tags: new Map(),
    connections: new Map(),
    writes: new Map(),
    conditions: [],
    readsOf: [],
    checks: [],
    models: [],
    alarms: [],
    workflows: [],
    entriesOf,
    at: (kind, entry) => indices.get(`${kind}:${entry.id}`)!,
    indexOf: (kind, id) => indices.get(`${kind}:${id}`),
    thingNames: () => [...model.byName.keys()].filter((name) => name !== 'site'),
    sourceOf: (thing) => {
      if (thing.connect !== undefined) return thing;
      if (thing.source === undefined) return undefined;
      const source = model.byName.get(thing.source);
      return source?.connect === undefined ? undefined : source;
    },
  };
  const names = createNames(facts);
  return { ...facts, ...names, ...createReaders(facts, names), ...createPlaces(facts) };
}
