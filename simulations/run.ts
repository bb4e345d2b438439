import { Random } from '../agent/base/random.ts';
import type { AgentCoreOptions } from '../agent/core/agent-core.ts';
import type { SitePlan } from '../agent/core/site-plan.ts';
import { type FaultEvent, inject } from './faults/fault.ts';
import type { Violation } from './invariants/invariants.ts';
import { type Facts, Measurements, type Samples } from './invariants/measurements.ts';
import { type SimulationReport, spread } from './report.ts';
import { scenarioNamed, scenarios } from './scenarios/list.ts';
import { type ScenarioOptions, startWithinMs, withLoss } from './scenarios/scenario.ts';
import type { Transport } from './world/network.ts';
import { sitePlan } from './world/plan.ts';
import { type Core, World } from './world/world.ts';

export interface RunOptions {
  readonly scenario: string;
  readonly agents: number;
  readonly seed: number;
  readonly durationS?: number | undefined;
  /** Share of messages lost instead of what the seed draws, 0 … 1. */
  readonly loss?: number | undefined;
  /** What carries the messages, instead of single ones that fare by themselves. */
  readonly transport?: Transport | undefined;
  /** False: over TCP, and nothing beside the streams. */
  readonly datagrams?: false | undefined;
  /** Put over what the seed draws; part of what a run depends on, so the report shows the result. */
  readonly override?: Partial<ScenarioOptions>;
  /** All options as they stand, instead of drawing: a recorded run. */
  readonly options?: ScenarioOptions | undefined;
  /** A site's own plan, instead of one made up from the seed. */
  readonly plan?: SitePlan | undefined;
  /** What stands around the boxes of a site's own file: machines that are read, processes that die. */
  readonly surroundings?: Surroundings | undefined;
  /** A core with a planted change, for the tests of the tests. */
  readonly core?: ((options: AgentCoreOptions) => Core) | undefined;
  /** Processor time used so far, in milliseconds; only the report's speed comes from it, never the run. */
  readonly cpuMs?: (() => number) | undefined;
  readonly progress?: ((virtualMs: number, events: number) => void) | undefined;
  /** Told of everything that people care about, in order. */
  readonly witness?: Witness | undefined;
  /** Ends the run at the first violation of that invariant; for shrinking. */
  readonly untilViolated?: string | undefined;
}

export interface Surroundings {
  begin(world: World): void;
  fault(world: World, fault: Extract<FaultEvent, { kind: 'source' | 'service' }>): void;
}

/** Looks on, for an event log or a page; never changes a run. Times in milliseconds of the world. */
export interface Witness {
  memberChanged?(atMs: number, observer: number, member: number, from: string, to: string, why: string): void;
  dutyRunning?(atMs: number, agent: number, duty: number, running: boolean): void;
  injected?(atMs: number, fault: FaultEvent): void;
  violated?(violation: Violation): void;
  /** A few times per virtual second, after everything that happened until then. */
  sampled?(world: World): void;
}

/** A run's report, and the raw figures behind it. */
export interface Run {
  readonly report: SimulationReport;
  readonly samples: Samples;
  /** Processor time of the run, in milliseconds; 0 where no processor clock was handed in. */
  readonly cpuMs: number;
  /** The real identity of what ran, for reports: names in the order of their indices. */
  readonly names: { readonly agents: readonly string[]; readonly duties: readonly string[] };
}

/** What a run depends on: drawn from the seed by its scenario, with what was asked for put over it. */
export function optionsOf(run: RunOptions): ScenarioOptions {
  if (run.options) return run.options;
  const scenario = scenarioNamed(run.scenario);
  if (!scenario) throw new RangeError(`no scenario "${run.scenario}": ${scenarios.map((s) => s.name).join(', ')}`);
  const drawn = {
    ...scenario.draw(scenarioRandom(run).fork('options'), run.agents, run.durationS),
    ...run.override,
  };
  const { transport, datagrams } = run;
  const carried: ScenarioOptions =
    transport === undefined
      ? drawn
      : { ...drawn, network: { ...drawn.network, transport, ...(datagrams === false ? { datagrams } : {}) } };
  return run.loss === undefined ? carried : withLoss(carried, run.loss);
}

const scenarioRandom = (run: RunOptions): Random => new Random(run.seed, `scenario ${run.scenario}`);

export const runScenario = (run: RunOptions): SimulationReport => playScenario(run).report;

/**
 * One run: the seed draws all options; boxes start and settle; faults happen; then the world is left alone until the
 * end, and liveness is demanded. Throws only for an unknown scenario: an assertion that fails in a core is a violation.
 */
export function playScenario(run: RunOptions): Run {
  const options = optionsOf(run);
  const random = scenarioRandom(run);
  const plan =
    run.plan ??
    sitePlan({
      agents: options.agents,
      duties: options.duties,
      repairs: options.repairs,
      permits: options.permits ?? 0,
      exclusive: options.exclusive ?? 0,
      voters: options.voters ?? 3,
      random: random.fork('plan'),
      membership: options.membership,
    });
  const cpuBefore = run.cpuMs?.();
  const endMs = options.durationS * 1000;
  const measured = new Measurements(options, plan);
  const { witness } = run;
  const world: World = new World({
    plan,
    seed: run.seed,
    network: options.network,
    clockDrift: options.clockDrift,
    diskMs: options.diskMs,
    dutyStartMs: options.dutyStartMs,
    dutyFailure: options.dutyFailure,
    ...(options.effectMs === undefined ? {} : { effectMs: options.effectMs }),
    clones: options.faults.filter(({ kind }) => kind === 'clone').length,
    ...(run.core ? { core: run.core } : {}),
    watch: {
      observed: (at, agent, observation) => {
        if (observation.kind !== 'member-changed') return;
        const { member, from, to, why } = observation;
        measured.memberChanged(world, at, agent, observation);
        witness?.memberChanged?.(at, agent, member, from, to, why);
      },
      incarnationSaved: (_at, agent, boot, incarnation) => measured.incarnationSaved(world, agent, boot, incarnation),
      dutyRunning: (at, agent, duty, running) => {
        measured.dutyRunning(world, agent, duty, running);
        witness?.dutyRunning?.(at, agent, duty, running);
      },
      cloneRunning: (_at, clone, duty, running) => measured.cloneRunning(world, clone, duty, running),
      acted: (_at, box, duty, act) => measured.acted(world, box, duty, act),
      journalled: (_at, agent, entries) => measured.journalled(world, agent, entries),
      actionIssued: (_at, agent, action) => measured.actionIssued(world, agent, action),
      workBegun: (_at, box, work) => measured.workBegun(world, box, work),
    },
  });

  run.surroundings?.begin(world);
  const starts = random.fork('starts');
  for (let agent = 0; agent < plan.agents.length; agent++) {
    world.at(starts.between(0, startWithinMs), () => world.start(agent));
  }
  for (const fault of options.faults) {
    world.at(fault.atMs, () => {
      measured.before(world, fault);
      witness?.injected?.(world.now, fault);
      inject(world, fault, {
        crashing: (_, agent) => measured.crashing(world, agent),
        starting: (_, agent) => measured.starting(world, agent),
        storeLost: (_, agent) => measured.storeLost(world, agent),
        beyond: (_, beyond) => run.surroundings?.fault(world, beyond),
      });
    });
  }

  const sampleMs = 250;
  let told = 0;
  const tell = (): boolean => {
    for (; told < measured.violations.length; told++) {
      const violation = measured.violations[told]!;
      witness?.violated?.(violation);
      if (violation.invariant === run.untilViolated) return true;
    }
    return false;
  };
  let isOver = false;
  try {
    for (let at = sampleMs; at <= endMs && !isOver; at += sampleMs) {
      world.run(at);
      measured.sample(world);
      witness?.sampled?.(world);
      isOver = tell();
      if (at % 5_000 < sampleMs) run.progress?.(at, world.events);
    }
    if (!isOver) {
      world.run(endMs);
      measured.atEnd(world, endMs);
      const promised = scenarioNamed(run.scenario)?.promises?.(factsOf(measured, options, world));
      for (const { atMs, invariant, text } of promised ?? []) measured.violate(atMs, invariant, text);
    }
  } catch (error) {
    const text = error instanceof Error ? `${error.message} (${frameOf(error)})` : String(error);
    measured.violate(world.now, 'no assertion fails', text);
  }
  tell();

  const agentSeconds = options.durationS * plan.agents.length;
  const cpuMs = cpuBefore === undefined ? 0 : run.cpuMs!() - cpuBefore;
  const cpuS = cpuBefore === undefined ? undefined : Math.max(0.001, cpuMs / 1000);
  const per = (n: number) => Math.round((n / agentSeconds) * 10) / 10;
  const report: SimulationReport = {
    scenario: run.scenario,
    agents: plan.agents.length,
    seed: run.seed,
    options,
    violations: measured.violations,
    detection: spread(measured.detection),
    firstDetection: spread(measured.firstDetection),
    takeover: spread(measured.takeover),
    falseDeaths: measured.falseDeaths,
    healed: measured.repairs.healed,
    stopped: measured.repairs.stopped,
    sometimes: Object.fromEntries(measured.sometimes),
    bytesPerSecondPerAgent: per(world.traffic.bytes),
    messagesPerSecondPerAgent: per(world.traffic.messages),
    membershipBytesPerSecondPerAgent: per(world.traffic.membershipBytes),
    membershipMessagesPerSecondPerAgent: per(world.traffic.membershipMessages),
    virtualSeconds: options.durationS,
    events: world.events,
    eventsPerCpuSecond: cpuS === undefined ? null : Math.round(world.events / cpuS),
    agentSecondsPerCpuSecond: cpuS === undefined ? null : Math.round(agentSeconds / cpuS),
    traced: world.trace.events,
    traceHash: world.trace.hex,
    deterministic: null,
  };
  return {
    report,
    samples: measured.samples,
    cpuMs,
    names: { agents: plan.agents.map(({ id }) => id), duties: plan.duties.map(({ id }) => id) },
  };
}

const factsOf = ({ deaths, sometimes }: Measurements, options: ScenarioOptions, world: World): Facts => ({
  options,
  world,
  deaths,
  sometimes,
});

/** Where in our code an assertion failed, without the machine's folders. */
function frameOf(error: Error): string {
  const frame = error.stack?.split('\n').find((line) => /(agent|simulations)\//.test(line)) ?? '';
  return frame
    .trim()
    .replace(/^at /, '')
    .replace(/\(?(file:\/\/)?\/\S*?\/(?=(agent|simulations)\/)/, '(');
}

/** Plays a run twice: the same seed must give the same trace. */
export function playTwice(run: RunOptions): Run {
  const first = playScenario(run);
  const again = playScenario({ ...run, witness: undefined, progress: undefined });
  const { traceHash, traced } = first.report;
  const deterministic = again.report.traceHash === traceHash && again.report.traced === traced;
  const text = `the same seed gave ${traceHash} and then ${again.report.traceHash}`;
  const violations = deterministic
    ? first.report.violations
    : [...first.report.violations, { invariant: 'determinism', atMs: 0, text }];
  return { ...first, report: { ...first.report, deterministic, violations } };
}
