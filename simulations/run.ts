import { Random } from '../agent/base/random.ts';
import type { AgentCoreOptions } from '../agent/core/agent-core.ts';
import { inject } from './faults/fault.ts';
import { convergedWithinMs, knownToAllWithinMs, runnerWithinMs } from './invariants/bounds.ts';
import {
  DutyHasRunner,
  everythingMended,
  IncarnationsNeverGoBack,
  JournalTellsAll,
  numbersAgree,
  oneRunnerEach,
  queuesBounded,
  RemediationKeepsItsWord,
  type Violation,
  viewsConverge,
} from './invariants/invariants.ts';
import { readable, type SimulationReport, spread } from './report.ts';
import { scenarioNamed, scenarios } from './scenarios/list.ts';
import { type ScenarioOptions, settleMs, startWithinMs } from './scenarios/scenario.ts';
import { sitePlan } from './world/plan.ts';
import { type Core, World } from './world/world.ts';

export interface RunOptions {
  readonly scenario: string;
  readonly agents: number;
  readonly seed: number;
  readonly durationS?: number | undefined;
  /** Put over what the seed draws; part of what a run depends on, so the report shows the result. */
  readonly override?: Partial<ScenarioOptions>;
  /** A core with a planted change, for the tests of the tests. */
  readonly core?: (options: AgentCoreOptions) => Core;
  /** Processor time used so far, in milliseconds; only the report's speed comes from it, never the run. */
  readonly cpuMs?: () => number;
  readonly progress?: (virtualMs: number, events: number) => void;
}

/**
 * One run: the seed draws all options; boxes start and settle; faults happen; then the world is left alone until the
 * end, and liveness is demanded. Throws only for an unknown scenario.
 */
export function runScenario(run: RunOptions): SimulationReport {
  const scenario = scenarioNamed(run.scenario);
  if (!scenario) throw new RangeError(`no scenario "${run.scenario}": ${scenarios.map((s) => s.name).join(', ')}`);
  const random = new Random(run.seed, `scenario ${run.scenario}`);
  const options: ScenarioOptions = {
    ...scenario.draw(random.fork('options'), run.agents, run.durationS),
    ...run.override,
  };
  const plan = sitePlan({
    agents: options.agents,
    duties: options.duties,
    repairs: options.repairs,
    random: random.fork('plan'),
    membership: options.membership,
  });
  const cpuBefore = run.cpuMs?.();
  const endMs = options.durationS * 1000;
  const measured = new Measurements(options, plan.membership, plan.dutyOptions);
  const world: World = new World({
    plan,
    seed: run.seed,
    network: options.network,
    clockDrift: options.clockDrift,
    diskMs: options.diskMs,
    dutyStartMs: options.dutyStartMs,
    dutyFailure: options.dutyFailure,
    ...(run.core ? { core: run.core } : {}),
    watch: {
      observed: (at, agent, observation) => {
        if (observation.kind === 'member-changed') measured.memberChanged(world, at, agent, observation);
      },
      incarnationSaved: (at, agent, incarnation) => measured.incarnationSaved(at, agent, incarnation),
      dutyRunning: (at, agent, duty, running) => measured.dutyRunning(at, agent, duty, running),
      journalled: (_at, agent, entries) =>
        measured.violations.push(...measured.repairs.journalled(world, agent, entries)),
      actionIssued: (_at, agent, action) => measured.violations.push(...measured.repairs.issued(world, agent, action)),
    },
  });

  const starts = random.fork('starts');
  for (let agent = 0; agent < options.agents; agent++) {
    world.at(starts.between(0, startWithinMs), () => world.start(agent));
  }
  for (const fault of options.faults) {
    world.at(fault.atMs, () => {
      measured.before(world, fault);
      inject(world, fault);
    });
  }

  const sampleMs = 250;
  for (let at = sampleMs; at <= endMs; at += sampleMs) {
    world.run(at);
    measured.sample(world);
    if (at % 5_000 < sampleMs) run.progress?.(at, world.events);
  }
  world.run(endMs);
  measured.atEnd(world, endMs);

  const agentSeconds = options.durationS * options.agents;
  const cpuS = cpuBefore === undefined ? undefined : Math.max(0.001, (run.cpuMs!() - cpuBefore) / 1000);
  const per = (n: number) => Math.round((n / agentSeconds) * 10) / 10;
  return {
    scenario: run.scenario,
    seed: run.seed,
    options,
    violations: measured.violations,
    detection: spread(measured.knownToAll),
    firstDetection: spread(measured.knownToFirst),
    takeover: spread(measured.takeovers),
    falseDeaths: measured.falseDeaths,
    healed: measured.repairs.healed,
    stopped: measured.repairs.stopped,
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
}

/** Ground truth beside the boxes' views: who died when, who knew it when, who ran what when. */
class Measurements {
  readonly violations: Violation[] = [];
  readonly knownToAll: number[] = [];
  readonly knownToFirst: number[] = [];
  readonly takeovers: number[] = [];
  falseDeaths = 0;
  readonly repairs = new RemediationKeepsItsWord();
  readonly #options: ScenarioOptions;
  readonly #knownWithin: number;
  readonly #convergedWithin: number;
  readonly #runner: DutyHasRunner;
  readonly #neverBack = new IncarnationsNeverGoBack();
  readonly #journals = new JournalTellsAll();
  readonly #saved = new Map<number, number>();
  /** Crashes that not all survivors know of yet. */
  #open: { agent: number; at: number; missing: Set<number>; first: boolean }[] = [];
  /** Duties that lost their runner by a crash, with the moment. */
  readonly #orphans = new Map<number, number>();

  constructor(
    options: ScenarioOptions,
    membership: Parameters<typeof knownToAllWithinMs>[0],
    duties: Parameters<typeof runnerWithinMs>[0],
  ) {
    this.#options = options;
    this.#knownWithin = knownToAllWithinMs(membership, options.agents);
    this.#convergedWithin = convergedWithinMs(membership, options.agents);
    this.#runner = new DutyHasRunner(
      options.duties,
      (eligible) =>
        // A start that fails costs the next in rank another round.
        runnerWithinMs(duties, options.dutyStartMs, eligible) * (options.dutyFailure > 0 ? 4 : 1),
    );
  }

  before(world: World, fault: ScenarioOptions['faults'][number]): void {
    if (fault.kind === 'restart') {
      this.#open = this.#open.filter((crash) => crash.agent !== fault.agent);
      return;
    }
    if (fault.kind !== 'crash' || !world.boxes[fault.agent]!.up) return;
    const { agent } = fault;
    for (const crash of this.#open) crash.missing.delete(agent);
    this.#close(world.now);
    const missing = new Set<number>();
    for (const box of world.boxes) if (box.up && box.index !== agent) missing.add(box.index);
    if (missing.size > 0) this.#open.push({ agent, at: world.now, missing, first: true });
    for (const duty of world.boxes[agent]!.running) {
      const stillRuns = world.boxes.some((box) => box.index !== agent && box.running.has(duty));
      const able = world.plan.duties[duty]!.eligible.some((other) => other !== agent && world.boxes[other]!.up);
      if (!stillRuns && able) this.#orphans.set(duty, world.now);
    }
  }

  memberChanged(world: World, at: number, observer: number, change: { member: number; to: string; why: string }): void {
    this.violations.push(...this.#neverBack.check(world, observer, change.member));
    if (change.to !== 'dead') return;
    const member = world.boxes[change.member]!;
    if (member.up) {
      if (this.#wasDisturbed(world, change.member) || this.#wasDisturbed(world, observer)) return;
      this.falseDeaths++;
      this.#violate(
        at,
        'no false death',
        `box ${observer} holds box ${change.member} dead, which is up: ${change.why}`,
      );
      return;
    }
    for (const crash of this.#open) {
      if (crash.agent !== change.member || !crash.missing.delete(observer)) continue;
      if (crash.first) this.knownToFirst.push(at - crash.at);
      crash.first = false;
    }
    this.#close(at);
  }

  incarnationSaved(at: number, agent: number, incarnation: number): void {
    const last = this.#saved.get(agent) ?? -1;
    if (incarnation < last)
      this.#violate(at, 'incarnations never go back', `box ${agent} saved ${incarnation} after ${last}`);
    this.#saved.set(agent, incarnation);
  }

  dutyRunning(at: number, _agent: number, duty: number, running: boolean): void {
    const since = this.#orphans.get(duty);
    if (!running || since === undefined) return;
    this.takeovers.push(at - since);
    this.#orphans.delete(duty);
  }

  sample(world: World): void {
    this.violations.push(...this.#journals.check(world));
    for (const crash of this.#open) {
      if (world.now - crash.at <= this.#knownWithin || crash.missing.size === 0) continue;
      // Who is frozen or cut off cannot know; views are demanded from them after healing.
      const late = [...crash.missing].filter((agent) => world.boxes[agent]!.up && !this.#wasDisturbed(world, agent));
      crash.missing.clear();
      if (late.length > 0) {
        const text = `box ${crash.agent} died ${Math.round(world.now - crash.at)} ms ago, unknown to ${late.length}: ${late.slice(0, 8).join(', ')}`;
        this.#violate(world.now, 'a crash is known to all in time', text);
      }
    }
    this.#open = this.#open.filter((crash) => crash.missing.size > 0);
    if (world.now > settleMs) this.violations.push(...this.#runner.check(world));
  }

  atEnd(world: World, endMs: number): void {
    const lastFault = this.#options.faults.reduce(
      (last, fault) => Math.max(last, fault.atMs + (fault.kind === 'pause' ? fault.ms : 0)),
      0,
    );
    this.violations.push(...queuesBounded(world), ...everythingMended(world));
    if (this.#options.network.loss > 0.05 || endMs - Math.max(lastFault, settleMs) < this.#convergedWithin) return;
    this.violations.push(...viewsConverge(world), ...numbersAgree(world), ...oneRunnerEach(world));
  }

  #close(at: number): void {
    for (const crash of this.#open) if (crash.missing.size === 0) this.knownToAll.push(at - crash.at);
    this.#open = this.#open.filter((crash) => crash.missing.size > 0);
  }

  /** Frozen, cut off, or so lately that what happens to it may still follow from that. */
  #wasDisturbed(world: World, agent: number): boolean {
    const box = world.boxes[agent]!;
    if (box.pausedUntil > 0 || world.now - box.disturbedAt < this.#knownWithin) return true;
    if (world.network.blockedCount === 0) return false;
    return world.boxes.some((other) => !world.network.isWhole(agent, other.index));
  }

  #violate(atMs: number, invariant: string, text: string): void {
    this.violations.push({ atMs, invariant, text });
  }
}

/** What the command line hands in; a test may stand in its place. */
export interface CommandEdge {
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
  readonly cpuMs: () => number;
}

const processEdge: CommandEdge = {
  out: (text) => process.stdout.write(text),
  err: (text) => process.stderr.write(text),
  cpuMs: () => {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1000;
  },
};

/** As the command line gives them: numbers may still be text. */
export interface SimulateOptions {
  readonly scenario?: string;
  readonly agents?: number | string;
  readonly seed?: number | string;
  /** Virtual seconds. */
  readonly duration?: number | string;
  readonly json?: boolean;
  readonly checkDeterminism?: boolean;
  readonly list?: boolean;
}

/** `millwright simulate …`. Exit codes: 0 all invariants held, 1 a violation, 2 wrong words on the command line. */
export function simulateCommand(options: SimulateOptions, edge: CommandEdge = processEdge): number {
  if (options.list) {
    for (const { name, about } of scenarios) edge.out(`${name.padEnd(10)} ${about}\n`);
    return 0;
  }
  const scenario = options.scenario ?? 'crash';
  const agents = Number(options.agents ?? 50);
  const seed = options.seed === '' ? Number.NaN : Number(options.seed ?? 1);
  const durationS = options.duration === undefined ? undefined : Number(options.duration);
  const mistakes = [
    scenarioNamed(scenario) ? '' : `--scenario ${scenario}: expected one of ${scenarios.map((s) => s.name).join(', ')}`,
    Number.isInteger(agents) && agents >= 2 && agents <= 5000 ? '' : `--agents ${options.agents}: expected 2 to 5000`,
    Number.isSafeInteger(seed) && seed >= 0 ? '' : `--seed ${options.seed}: expected a whole number`,
    durationS === undefined || (durationS >= 30 && durationS <= 86_400)
      ? ''
      : `--duration ${options.duration}: expected 30 to 86400 seconds`,
  ].filter((text) => text !== '');
  if (mistakes.length > 0) {
    edge.err(`${mistakes.join('\n')}\n`);
    return 2;
  }

  const once = (): SimulationReport =>
    runScenario({
      scenario,
      agents,
      seed,
      durationS,
      cpuMs: edge.cpuMs,
      progress: (ms, events) => edge.err(`\r${Math.round(ms / 1000)} s, ${events} events `),
    });
  let report = once();
  if (options.checkDeterminism) {
    const again = once();
    const deterministic = again.traceHash === report.traceHash && again.traced === report.traced;
    report = { ...report, deterministic };
    if (!deterministic) {
      const text = `the same seed gave ${report.traceHash} and then ${again.traceHash}`;
      report = { ...report, violations: [...report.violations, { invariant: 'determinism', atMs: 0, text }] };
    }
  }
  edge.err('\n');
  const duration = durationS === undefined ? '' : ` --duration ${durationS}`;
  const command = `millwright simulate --scenario ${scenario} --agents ${agents} --seed ${seed}${duration}`;
  edge.out(options.json ? `${JSON.stringify(report)}\n` : readable(report, command));
  return report.violations.length === 0 ? 0 : 1;
}
