import type { BudgetWatch } from './adapters/budget-watch.ts';
import type { ProcessState } from './adapters/duty-runners/process.ts';
import type { Mesh } from './adapters/mesh/mesh.ts';
import type { ModelScorer } from './adapters/models/onnx-runner.ts';
import type { ReportLinkState } from './adapters/mqtt/report-link.ts';
import type { Store } from './adapters/store/sqlite-journal.ts';
import type { Outbox } from './adapters/store/sqlite-outbox.ts';
import type { StatusApi } from './api/status-api.ts';
import type { DutyIndex } from './base/ids.ts';
import { type Instant, never } from './base/time.ts';
import type { AgentCore } from './core/agent-core.ts';
import type { DutySpec } from './core/duties/duty.ts';
import type { HealthSnapshot } from './core/health/health.ts';
import { forecastText } from './core/health/health.ts';
import type { ModelSpec } from './core/health/model.ts';
import { sheddingOrder } from './core/health/shedding.ts';
import type { HolderTime } from './core/leases/elapsed-clock.ts';
import { tokenHex } from './core/leases/fencing-token.ts';
import { quorumOf } from './core/leases/options.ts';
import { orderedPrefix } from './core/maintenance.ts';
import type { Evidence, Statement } from './core/verdict/statement.ts';
import type { Site } from './driver/bindings.ts';
import type { Driver } from './driver/driver.ts';
import type { AgentHealth, VerdictFact } from './wire/agent-status.ts';
import type { AgentStatus, DutyExplanation, LaneTrust, LeaseStatus, ModelTrust } from './wire/status.ts';

/** What the pictures below are taken of. */
export interface Surroundings {
  readonly name: string;
  readonly version: string;
  readonly startedAt: Date;
  readonly site: Site;
  readonly core: AgentCore;
  readonly driver: Driver;
  readonly mesh: Mesh;
  readonly outbox: Outbox;
  readonly store: Store;
  readonly models: ModelScorer;
  bundle(): AgentStatus['bundle'];
  processOf(duty: DutyIndex): ProcessState | undefined;
  /** What the box supervisor says of itself, or what is said in its absence. */
  guardian(): { readonly protected: boolean; readonly why: string };
  readonly spending: BudgetWatch;
  /** The holder's clocks, for what is left of a right. */
  holderTime(): HolderTime;
  now(): Instant;
  link(): ReportLinkState | undefined;
  api(): StatusApi | undefined;
}

/** `GET /v1/status`: names instead of indices, and why. */
export function agentStatus(around: Surroundings): AgentStatus {
  const { core, site, mesh } = around;
  const { plan } = site;
  const health = core.health.snapshot();
  const outbox = around.outbox.stats();
  const memory = process.memoryUsage();
  const cpu = process.cpuUsage();
  const api = around.api();
  const trust = new Map(around.models.stats().map((one) => [one.model, one.trust]));
  return {
    agent: around.name,
    site: plan.site,
    version: around.version,
    started_at: around.startedAt.toISOString(),
    pid: process.pid,
    boot: core.identity.boot,
    bootCounter: core.identity.bootCounter,
    incarnation: core.membership.incarnationOf(core.identity.self),
    plan: { version: plan.version, hash: plan.hash },
    bundle: around.bundle(),
    members: plan.agents.map((agent) => ({
      agent: agent.id,
      state: core.membership.state(agent.index),
      incarnation: core.membership.incarnationOf(agent.index),
      connected: agent.index === core.identity.self || mesh.isConnected(agent.index),
    })),
    duties: plan.duties.map((duty) => {
      const holder = core.holder(duty.index);
      return {
        duty: duty.id,
        kind: duty.work.kind,
        mine: core.mine(duty.index),
        holder: holder === undefined ? undefined : plan.agents[holder]?.id,
        term: core.term(duty.index),
        lastFailure: core.lastFailure(duty.index),
        lease: leaseStatus(around, duty),
      };
    }),
    cells: cellStates(around),
    drain: drainState(around),
    budget: budgetState(around),
    processes: plan.duties.flatMap((duty) => {
      const state = duty.work.kind === 'process' ? around.processOf(duty.index) : undefined;
      if (state === undefined) return [];
      return [
        {
          duty: duty.id,
          pid: state.pid,
          running: state.running,
          startedAt: new Date(state.startedAt).toISOString(),
          exit: state.exit?.reason,
        },
      ];
    }),
    checks: health.checks
      .filter((check) => check.here)
      .map((check) => {
        const spec = plan.checks[check.check];
        return {
          check: spec?.id ?? '',
          status: check.status,
          value: check.value,
          unit: spec?.source.kind === 'signal' ? plan.signals[spec.source.signal]?.unit : undefined,
          text: check.text,
          flapping: check.flapping,
          ...(check.behind === undefined ? {} : { behind: plan.things[check.behind]?.id ?? '' }),
          ...(check.shed === 1
            ? {}
            : { shed: Number.isFinite(check.shed) ? `every ${ordinal(check.shed)} time` : 'paused' }),
        };
      }),
    models: health.models
      .filter((model) => model.here)
      .map((model) => ({
        model: plan.models[model.model]?.id ?? '',
        state:
          model.why ?? (model.anomalous === 'true' ? 'anomalous' : model.anomalous === 'false' ? 'normal' : 'unknown'),
        score: model.score,
        threshold: model.threshold,
        class: model.class,
        forecast: model.forecast && forecastText(model.forecast),
        trust: trust.get(plan.models[model.model]?.id ?? ''),
      })),
    alarms: around.store.alarms().map((row) => ({
      alarm: plan.alarms[row.alarm]?.id ?? row.alarmId,
      alarmId: row.alarmId,
      state: row.state,
      occurrence: row.occurrence,
      firstSampleAt: new Date(row.firstSampleAt).toISOString(),
      since: new Date(row.since).toISOString(),
      evidence: row.evidence,
      ...core.alarms.setAside(row.alarm),
    })),
    maintenance: maintenanceNow(core),
    runs: core.remediation.runs().map((run) => ({
      run: run.run,
      workflow: plan.workflows[run.workflow]?.id ?? '',
      state: run.state,
      outcome: run.outcome,
      reason: run.reason,
    })),
    coordinator: core.coordinator,
    verdict: verdictView(core),
    outbox: { pending: outbox.pending, lastSeq: outbox.last, refused: outbox.refused, trouble: outbox.trouble },
    mesh: meshCounters(mesh),
    api: api && { refused: { ...api.refused } },
    store: storeState(around.store.state()),
    memory: { rssBytes: memory.rss },
    cpuSeconds: (cpu.user + cpu.system) / 1e6,
  };
}

/** Maintenance that holds now, by the site file and by order. */
function maintenanceNow(core: AgentCore): NonNullable<AgentHealth['maintenance']> {
  const name = (thing: number): string => core.plan.things[thing]?.id ?? '';
  const { maintenance } = core;
  return [
    ...maintenance.orders.map(({ thing, until, by, why, order }) => ({
      maintenance: `${orderedPrefix}${by}`,
      things: [name(thing)],
      why,
      by,
      order,
      // In whole seconds: the wall clock is read anew each time, and its jitter is no news.
      until: Math.round(core.wallAt(until) / 1_000) * 1_000,
    })),
    ...maintenance.windowsNow().map(({ id, things, why }) => ({ maintenance: id, things: things.map(name), why })),
  ].slice(0, 256);
}

/** Epoch, voters, and how this agent's own vote stands at this moment. */
export function cellStates({ core, holderTime }: Pick<Surroundings, 'core' | 'holderTime'>): AgentStatus['cells'] {
  const { monotonic } = holderTime();
  return core.exclusive.leases.cells.map((cell) => ({
    cell: cell.id,
    epoch: cell.epoch,
    voters: cell.voters.map((agent) => core.plan.agents[agent]?.id ?? 'no agent of this site any more'),
    vote: cell.voterStateAt(monotonic),
    floors: cell.floorsRead,
    majority: majorityOf(core, cell.voterNames),
    rebirth: cell.rebirth,
    conflict: cell.isConflicting,
  }));
}

/** A suspected voter still counts as here. */
function majorityOf(core: AgentCore, voters: readonly string[]): AgentStatus['cells'][number]['majority'] {
  const isHere = (name: string): boolean => {
    const agent = core.plan.agents.find(({ id }) => id === name);
    if (agent === undefined) return false;
    return agent.index === core.identity.self || ['alive', 'suspect'].includes(core.membership.state(agent.index));
  };
  const missing = voters.filter((name) => !isHere(name));
  return { here: voters.length - missing.length, needed: quorumOf(voters.length), missing };
}

/** Statements by name, with their evidence in words. */
export function verdictView(core: AgentCore): AgentStatus['verdict'] {
  return core.describeVerdict().map(({ statement, text, evidence }) => ({
    class: statement.class,
    subject: subjectOf(core, statement),
    proven: statement.class === 'gone' ? statement.proven : undefined,
    since: new Date(core.wallAt(statement.since)).toISOString(),
    text,
    evidence,
  }));
}

const subjectOf = (core: AgentCore, statement: Statement): string | undefined =>
  statement.class === 'segment'
    ? statement.location
    : 'member' in statement
      ? core.plan.agents[statement.member]?.id
      : undefined;

/** The same for the coordinator, as it stood when it last changed: evidence that grows by the second is no news. */
export function verdictHealth(core: AgentCore): NonNullable<AgentHealth['verdict']> {
  return core
    .describeVerdict(core.verdictAsChanged)
    .slice(0, 16)
    .map(({ statement, text, evidence }) => ({
      class: statement.class,
      text: text.slice(0, 1_024),
      subject: subjectOf(core, statement),
      members:
        statement.class === 'segment'
          ? statement.members.slice(0, 64).map((member) => core.plan.agents[member]?.id ?? String(member))
          : undefined,
      proven: statement.class === 'gone' ? statement.proven : undefined,
      since: core.wallAt(statement.since),
      evidence: evidence.slice(0, 8).map((item) => item.slice(0, 512)),
      facts: statement.evidence
        .slice(0, 8)
        .map((item) => verdictFact(item, (member) => core.plan.agents[member]?.id ?? String(member))),
    }));
}

/** A piece of evidence with names in place of indices. */
export function verdictFact(evidence: Evidence, name: (member: number) => string): VerdictFact {
  const { kind } = evidence;
  switch (kind) {
    case 'unanswered':
      return { kind, member: name(evidence.member), n: evidence.rounds, agents: evidence.nacks.slice(0, 8).map(name) };
    case 'told':
    case 'certificate':
      return { kind, member: name(evidence.member) };
    case 'reached-by-others': {
      const { member, rounds, helpers } = evidence;
      return { kind, member: name(member), n: rounds, agents: helpers.slice(0, 8).map(name) };
    }
    case 'silence':
      return { kind, n: evidence.peers, of: evidence.inside };
    case 'uplinks':
      return { kind, n: evidence.lost, of: evidence.known };
    case 'late-timers':
      return { kind, n: evidence.count, ms: Math.round(evidence.maxMs) };
  }
}

/** What a drain has left to do. */
export function drainState({ core, site, now }: Surroundings): AgentStatus['drain'] {
  const until = core.duties.drainUntil;
  if (until === undefined) return undefined;
  return {
    until: until === never ? undefined : new Date(Date.now() + until - now()).toISOString(),
    remaining: site.plan.duties
      .filter((duty) => core.runsHere({ on: 'holder', duty: duty.index }))
      .map((duty) => duty.id),
  };
}

/** Why a duty is where it is, in the site's names; undefined when there is none of that name. */
export function explainDuty(around: Surroundings, id: string): DutyExplanation | undefined {
  const { core, site, now } = around;
  const { plan } = site;
  const spec = plan.duties.find((duty) => duty.id === id);
  if (spec === undefined) return undefined;
  const at = now();
  const holder = core.holder(spec.index);
  const name = (agent: number): string => plan.agents[agent]?.id ?? `agent ${agent}`;
  return {
    duty: spec.id,
    exclusive: spec.exclusive,
    critical: spec.critical,
    holder: holder === undefined ? undefined : name(holder),
    term: core.term(spec.index),
    lease: leaseStatus(around, spec),
    candidates: (spec.exclusive ? core.exclusive.duties.explain(spec.index) : core.duties.explain(spec.index, at)).map(
      ({ agent, rank, score, eligible, reason }) => ({ agent: name(agent), rank, score, eligible, reason }),
    ),
    remarks: core.duties.remarks(spec.index, at),
  };
}

/** How things stand with the lease of an exclusive duty; undefined for others, and where this agent has no part in it. */
function leaseStatus({ core, site, holderTime, guardian }: Surroundings, duty: DutySpec): LeaseStatus | undefined {
  const view = duty.exclusive ? core.leaseView(holderTime(), duty.index) : undefined;
  if (view === undefined) return undefined;
  const name = (agent: number): string => site.plan.agents[agent]?.id ?? 'no agent of this site any more';
  const { lease, cell, epoch, token, session, held, leftMs, voters, promisedTo } = view;
  // What runs on the main thread asks before each effect; only a program can go on without its agent.
  const isProgram = duty.work.kind === 'process' && core.mine(duty.index);
  return {
    lease,
    cell,
    epoch,
    token: token && tokenHex(token),
    session,
    held,
    leftMs: Math.round(leftMs),
    voters: voters.map(({ agent, answer, agoMs }) => ({
      agent: name(agent),
      answer,
      agoMs: agoMs === undefined ? undefined : Math.round(agoMs),
    })),
    promisedTo: promisedTo === undefined ? undefined : name(promisedTo),
    unprotected: isProgram && !guardian().protected ? guardian().why : undefined,
  };
}

/** Retained at the broker, about once a second when it changed: what the coordinator's fleet page shows. */
export function agentHealth(around: Surroundings): object {
  const { core, site } = around;
  const { plan } = site;
  const health = core.health.snapshot();
  const outbox = around.outbox.stats();
  const trust = new Map(around.models.stats().map((one) => [one.model, one.trust]));
  return {
    members: plan.agents.map((agent) => ({ agent: agent.id, state: core.membership.state(agent.index) })),
    duties: plan.duties
      .filter((duty) => core.mine(duty.index))
      .map((duty) => ({ duty: duty.id, term: core.term(duty.index) })),
    checks: health.checks
      .filter((check) => check.here)
      .map((check) => ({ check: plan.checks[check.check]?.id ?? '', status: check.status, text: check.text })),
    maintenance: maintenanceNow(core),
    anomalous: health.models
      .filter((model) => model.here && model.anomalous === 'true')
      .map((model) => plan.models[model.model]?.id ?? ''),
    models: health.models
      .filter((model) => model.here)
      .slice(0, 200)
      .map((model) => modelHealth(plan.models[model.model], model, trust)),
    standing: around.store.alarms().filter((row) => row.state === 'on').length,
    localHealth: core.membership.localHealth,
    verdict: verdictHealth(core),
    store: storeState(around.store.state()),
    outbox: {
      pending: outbox.pending,
      bytes: outbox.pendingBytes,
      refused: outbox.refused,
      ...(outbox.oldestPendingAt === undefined ? {} : { oldestPendingAt: outbox.oldestPendingAt }),
    },
  };
}

/** One model in the words of the fleet page; figures are rounded, so that they are not news every second. */
function modelHealth(
  spec: ModelSpec | undefined,
  { anomalous, why, rests }: HealthSnapshot['models'][number],
  trusts: ReadonlyMap<string, ModelTrust>,
): NonNullable<AgentHealth['models']>[number] {
  const model = spec?.id ?? '';
  const trust = trusts.get(model);
  const { incumbent, shadow, previous, drift } = trust ?? {};
  const share = (value: number | undefined) => (value === undefined ? undefined : Math.round(value * 1_000) / 1_000);
  const falseAlarmRate = share(incumbent?.falseAlarmRate);
  const rates = (lane: LaneTrust) => {
    const rate = share(lane.falseAlarmRate);
    return rate === undefined ? {} : { falseAlarmRate: rate };
  };
  const agreement = share(shadow?.agreement);
  const learns = spec?.learn !== undefined;
  const moved = (drift?.inputs ?? []).filter((one) => one.moved).slice(0, 16);
  return {
    model,
    state: rests ? 'shed' : anomalous === 'true' ? 'anomalous' : anomalous === 'false' ? 'normal' : 'unknown',
    // How long it has been silent would be news every second.
    ...(why === undefined || (incumbent?.state !== 'refused' && !learns && !rests) ? {} : { why: why.slice(0, 512) }),
    kind: learns ? 'learns' : 'file',
    ...(incumbent === undefined
      ? {}
      : { file: incumbent.file, from: incumbent.from, windows: rough(incumbent.windows) }),
    ...(incumbent?.version === undefined ? {} : { version: incumbent.version }),
    ...(trust === undefined
      ? {}
      : {
          since: Date.parse(trust.since),
          seat: seatOf(trust.why),
          seatWhy: trust.why.slice(0, 512),
          limit: trust.limit,
        }),
    ...(falseAlarmRate === undefined ? {} : { falseAlarmRate }),
    ...(drift === undefined ? {} : { drift: drift.state }),
    ...(moved.length === 0
      ? {}
      : {
          moved: moved.map(({ name, shift, psi }) => ({
            name,
            shift: rough(shift),
            ...(psi === undefined ? {} : { psi: rough(psi) }),
          })),
        }),
    ...(shadow === undefined
      ? {}
      : {
          shadow: {
            file: shadow.file,
            state: shadow.state,
            ...(shadow.why === undefined ? {} : { why: shadow.why.slice(0, 512) }),
            ...(agreement === undefined ? {} : { agreement }),
            windows: rough(shadow.windows),
            ...rates(shadow),
            onlyIncumbent: rough(shadow.onlyIncumbent),
            onlyShadow: rough(shadow.onlyShadow),
          },
        }),
    ...(previous === undefined ? {} : { previous: { file: previous.file, ...rates(previous) } }),
  };
}

/** Two figures: enough to see how much there is, and no news with every window. */
const rough = (value: number): number => (Number.isFinite(value) ? Number(value.toPrecision(2)) : 0);

/** By whose word a model has its seat, from the seat's own reason. */
const seatOf = (why: string): 'site' | 'person' | 'reverted' | 'other' =>
  why.startsWith('reverted')
    ? 'reverted'
    : why.startsWith('promoted')
      ? 'person'
      : why.startsWith('named by the site file')
        ? 'site'
        : 'other';

/** Retained once per connection. */
export function agentInfo(around: Surroundings, api: string | undefined): object {
  const { plan } = around.site;
  return {
    version: around.version,
    pid: process.pid,
    startedAt: around.startedAt.getTime(),
    plan: { version: plan.version, hash: plan.hash },
    ...(api === undefined ? {} : { api }),
    duties: plan.duties.map((duty) => ({ duty: duty.id, kind: duty.work.kind })),
    things: plan.things.slice(0, 5_000).map(({ id }) => id),
    models: plan.models.slice(0, 5_000).map(({ id, file, learn }) => ({
      model: id,
      kind: learn === undefined ? 'file' : 'learns',
      ...(file === '' ? {} : { file }),
    })),
  };
}

function storeState(state: ReturnType<Store['state']>): AgentStatus['store'] {
  const { trouble, misfortune } = state;
  if (trouble !== undefined) return { ok: false, text: trouble };
  if (misfortune?.kind === 'not-opened') return { ok: false, text: `not opened: ${misfortune.reason}` };
  if (misfortune !== undefined) return { ok: true, text: `began anew: ${misfortune.reason}` };
  return { ok: true, text: 'ok' };
}

function meshCounters(mesh: Mesh): Record<string, number> {
  const flat: Record<string, number> = {};
  const visit = (prefix: string, value: object): void => {
    for (const [key, inner] of Object.entries(value)) {
      const name = prefix === '' ? key : `${prefix}.${key}`;
      if (typeof inner === 'number') flat[name] = inner;
      else if (typeof inner === 'object' && inner !== null) visit(name, inner);
    }
  };
  visit('', mesh.counters());
  return flat;
}

function bundleMetrics(bundle: AgentStatus['bundle']): string[][] {
  if (bundle === undefined) return [];
  return [
    ['millwright_bundle_version', 'Version of the signed bundle in force here.', 'gauge'],
    [`millwright_bundle_version{era="${bundle.era}"} ${bundle.version}`],
    ['millwright_bundle_running_version', 'Version that this process was compiled from.', 'gauge'],
    [`millwright_bundle_running_version{era="${bundle.running.era}"} ${bundle.running.version}`],
    ['millwright_bundle_refused', 'Refusals of bundles that are kept in sight.', 'gauge'],
    [`millwright_bundle_refused ${bundle.refused.reduce((sum, { count }) => sum + count, 0)}`],
  ];
}

const ordinal = (n: number): string => (n === 3 ? 'third' : n === 4 ? 'fourth' : `${n}th`);

/** What this agent may cost, what it costs, and what is shed because of that. */
function budgetState({ spending, core }: Surroundings): NonNullable<AgentStatus['budget']> {
  const level = core.health.shedding;
  return {
    cpu: { share: spending.cpuShare(), limit: spending.budget.cpuShare },
    memory: { bytes: process.memoryUsage.rss(), limit: spending.budget.memoryBytes },
    shedding: { level, what: sheddingOrder[level] ?? '' },
  };
}

/** Prometheus text exposition, base units. */
export function metricsText(around: Surroundings): string {
  const { core, site, driver } = around;
  const { plan } = site;
  const outbox = around.outbox.stats();
  const cpu = process.cpuUsage();
  const count = (state: string) => plan.agents.filter((agent) => core.membership.state(agent.index) === state).length;
  const lines = [
    ['millwright_members', 'Members of the mesh by the state in which this agent sees them.', 'gauge'],
    ...['alive', 'suspect', 'dead', 'left', 'unknown'].map((state) => [
      `millwright_members{state="${state}"} ${count(state)}`,
    ]),
    ['millwright_duties_held', 'Duties that this agent carries.', 'gauge'],
    [`millwright_duties_held ${plan.duties.filter((duty) => core.mine(duty.index)).length}`],
    ['millwright_draining', 'Whether this agent gives its duties away by order: 0 or 1.', 'gauge'],
    [`millwright_draining ${core.duties.draining ? 1 : 0}`],
    ['millwright_shedding_level', 'Steps of shedding taken to keep within the budget; 0 is none.', 'gauge'],
    [`millwright_shedding_level ${core.health.shedding}`],
    ['millwright_local_health', 'How much this agent doubts itself; 0 is healthy.', 'gauge'],
    [`millwright_local_health ${core.membership.localHealth}`],
    ['millwright_outbox_pending_records', 'Reports that no coordinator has acknowledged.', 'gauge'],
    [`millwright_outbox_pending_records ${outbox.pending}`],
    ['millwright_outbox_refused_total', 'Reports that the disk refused.', 'counter'],
    [`millwright_outbox_refused_total ${outbox.refused}`],
    ...bundleMetrics(around.bundle()),
    ['millwright_steps_total', 'Steps of the core.', 'counter'],
    [`millwright_steps_total ${driver.counters.steps}`],
    ['millwright_inputs_refused_total', 'Inputs refused because the queue was full.', 'counter'],
    [`millwright_inputs_refused_total ${driver.counters.refused}`],
    ['millwright_cpu_seconds_total', 'CPU time of this process.', 'counter'],
    [`millwright_cpu_seconds_total ${(cpu.user + cpu.system) / 1e6}`],
    ['millwright_resident_memory_bytes', 'Resident memory of this process.', 'gauge'],
    [`millwright_resident_memory_bytes ${process.memoryUsage().rss}`],
    ['millwright_mesh_events', 'Counters of the mesh adapter.', 'counter'],
    ...Object.entries(meshCounters(around.mesh)).map(([name, value]) => [
      `millwright_mesh_events{name="${name}"} ${value}`,
    ]),
  ];
  return `${lines
    .map((line) => (line.length === 3 ? `# HELP ${line[0]} ${line[1]}\n# TYPE ${line[0]} ${line[2]}` : line[0]))
    .join('\n')}\n`;
}
