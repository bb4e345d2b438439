import { Random } from '../../agent/base/random.ts';
import type { Violation } from '../invariants/invariants.ts';
import type { Samples } from '../invariants/measurements.ts';
import { drawOptions } from '../leases/options.ts';
import { runLeaseSeed } from '../leases/run.ts';
import { calm, leaseScenarios, runLeaseScenario } from '../leases/scenarios.ts';
import { takeovers } from '../leases/takeover.ts';
import type { LeaseRun } from '../leases/world.ts';
import { playScenario, playTwice, type RunOptions } from '../run.ts';
import { scenarioNamed, scenarios } from '../scenarios/list.ts';
import type { Transport } from '../world/network.ts';

/** One seed of one scenario, as it is handed to a process; plain data. */
export interface Job {
  readonly scenario: string;
  readonly agents: number;
  readonly seed: number;
  readonly durationS?: number | undefined;
  readonly loss?: number | undefined;
  readonly transport?: Transport | undefined;
  readonly datagrams?: false | undefined;
  readonly checkDeterminism?: boolean | undefined;
}

/** What came of it; plain data, small enough for tens of thousands of them. */
export interface Outcome {
  readonly scenario: string;
  readonly agents: number;
  readonly seed: number;
  readonly violations: readonly Violation[];
  readonly samples: Samples;
  readonly falseDeaths: number;
  readonly sometimes: Readonly<Record<string, number>>;
  readonly agentSeconds: number;
  readonly bytesPerSecondPerAgent: number;
  readonly messagesPerSecondPerAgent: number;
  readonly events: number;
  readonly cpuMs: number;
  readonly traceHash: string;
  readonly deterministic: boolean | null;
}

/** The scenarios of leases have no wires to lose messages on but their own, and as many agents as their story needs. */
export const isLeases = (scenario: string): boolean => scenario === 'leases' || scenario.startsWith('lease/');

export const slug = (name: string): string =>
  name
    .toLowerCase()
    .replace(/−/g, '-')
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-|-$/g, '');

export const leaseScenarioNamed = (name: string): (typeof leaseScenarios)[number] | undefined =>
  leaseScenarios.find((story) => `lease/${slug(story.name)}` === name || `lease/${story.name}` === name);

/** Every name that `--scenario` takes, with what it shows. */
export const catalogue = (): readonly { readonly name: string; readonly about: string; readonly agents?: number }[] => [
  ...scenarios.map(({ name, about, agents }) => ({ name, about, ...(agents === undefined ? {} : { agents }) })),
  { name: 'leases', about: 'exclusive leases alone: the seed draws voters, clocks, disks, wires, epochs and faults' },
  ...leaseScenarios.map((story) => ({ name: `lease/${slug(story.name)}`, about: story.name })),
];

export const isScenario = (name: string): boolean =>
  scenarioNamed(name) !== undefined || name === 'leases' || leaseScenarioNamed(name) !== undefined;

/** States that the seeds of a campaign together must have reached, or it has not shown what its name says. */
export const reachesOf = (scenario: string): readonly string[] =>
  scenarioNamed(scenario)?.reaches ??
  leaseScenarioNamed(scenario)?.reaches ??
  (scenario === 'leases' ? leaseRarities : []);

/** What tens of seeds of the lease world reach, if its faults are at work. */
const leaseRarities = [
  'acquired',
  'released',
  'lost',
  'agent killed',
  'voter unborn',
  'voter born',
  'held after healing',
] as const;

export function runJob(job: Job, cpuMs: () => number, progress?: RunOptions['progress']): Outcome {
  if (isLeases(job.scenario)) return leaseOutcome(job, cpuMs);
  const run = { ...job, cpuMs, progress };
  const { report, samples, cpuMs: used } = job.checkDeterminism ? playTwice(run) : playScenario(run);
  return {
    scenario: job.scenario,
    agents: report.agents,
    seed: job.seed,
    violations: report.violations,
    samples,
    falseDeaths: report.falseDeaths,
    sometimes: report.sometimes,
    agentSeconds: report.virtualSeconds * report.agents,
    bytesPerSecondPerAgent: report.bytesPerSecondPerAgent,
    messagesPerSecondPerAgent: report.messagesPerSecondPerAgent,
    events: report.events,
    cpuMs: used,
    traceHash: report.traceHash,
    deterministic: report.deterministic,
  };
}

function leaseOutcome(job: Job, cpuMs: () => number): Outcome {
  const before = cpuMs();
  const run = playLeases(job);
  const used = cpuMs() - before;
  const violations = run.violations.map((violation): Violation => ({ ...violation }));
  const story = leaseScenarioNamed(job.scenario);
  for (const what of story?.reaches ?? []) {
    if (!run.counters.has(what)) violations.push({ invariant: 'the story was told', atMs: 0, text: `never: ${what}` });
  }
  let deterministic: boolean | null = null;
  if (job.checkDeterminism) {
    const again = playLeases(job);
    deterministic = again.traceHash === run.traceHash && again.events === run.events;
    const text = `the same seed gave ${run.traceHash} and then ${again.traceHash}`;
    if (!deterministic) violations.push({ invariant: 'determinism', atMs: 0, text });
  }
  return {
    scenario: job.scenario,
    agents: run.options.agents,
    seed: job.seed,
    violations,
    samples: {
      detection: [],
      firstDetection: [],
      takeover: story ? [] : takeovers('box', { from: job.seed, to: job.seed, loss: job.loss ?? 0 }),
    },
    falseDeaths: 0,
    sometimes: Object.fromEntries(run.counters),
    agentSeconds: (run.options.agents * run.options.faultPhaseMs) / 1000,
    bytesPerSecondPerAgent: 0,
    messagesPerSecondPerAgent: 0,
    events: run.events,
    cpuMs: used,
    traceHash: run.traceHash,
    deterministic,
  };
}

export function playLeases({ scenario, seed, loss }: Job): LeaseRun {
  const story = leaseScenarioNamed(scenario);
  if (story) return runLeaseScenario(story);
  return runLeaseSeed(seed, {}, loss === undefined ? undefined : (options) => ({ ...options, loss }));
}

/** What a lease run depends on, for the first table of a report. */
export function leaseOptionsOf({ scenario, seed, loss }: Job): object {
  const story = leaseScenarioNamed(scenario);
  if (story) return { ...calm, ...story.options };
  const drawn = drawOptions(new Random(seed, 'lease-options'));
  return loss === undefined ? drawn : { ...drawn, loss };
}
