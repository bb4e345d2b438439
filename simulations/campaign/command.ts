import { writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { nearest } from '../../agent/base/nearest.ts';
import { describeFault } from '../faults/fault.ts';
import { simulationPage } from '../html/page.ts';
import { Story } from '../html/story.ts';
import { readable, spread } from '../report.ts';
import { optionsOf, playScenario, playTwice, type Run, type RunOptions } from '../run.ts';
import { scenarioNamed } from '../scenarios/list.ts';
import { type Transport, transports } from '../world/network.ts';
import { eventLog, LogFile, witnesses } from './event-log.ts';
import { catalogue, isLeases, isScenario, type Job, leaseOptionsOf, reachesOf, runJob } from './job.ts';
import { runPool } from './pool.ts';
import { Progress, type ProgressEdge } from './progress.ts';
import { readableCampaign, readableLeases } from './readable.ts';
import { loadRecording, type Recording, saveRecording } from './record.ts';
import { shrink } from './shrink.ts';
import { type SiteQuestion, siteCommand } from './site.ts';
import { type CampaignReport, Tally } from './tally.ts';

/** What the command line hands in; a test may stand in its place. */
export interface CommandEdge extends ProgressEdge {
  readonly out: (text: string) => void;
  readonly cpuMs: () => number;
  /** Calls back when a person wants an end; gives a way to stop listening. */
  readonly onInterrupt?: (act: () => void) => () => void;
}

const processEdge: CommandEdge = {
  out: (text) => process.stdout.write(text),
  err: (text) => process.stderr.write(text),
  isTerminal: process.stderr.isTTY,
  cpuMs: () => {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1000;
  },
  onInterrupt: (act) => {
    process.once('SIGINT', act);
    return () => process.off('SIGINT', act);
  },
};

/** As the command line gives them: numbers may still be text. */
export interface SimulateOptions {
  readonly scenario?: string | undefined;
  readonly agents?: number | string | undefined;
  readonly seed?: number | string | undefined;
  /** `A..B`, both included. */
  readonly seeds?: string | undefined;
  /** A share (0.25) or percent (25%, 25). */
  readonly loss?: number | string | undefined;
  /** What carries messages: `messages`, `tcp`, `tcp-thin`. */
  readonly transport?: string | undefined;
  /** False: over TCP, and nothing beside the streams. */
  readonly datagrams?: boolean | undefined;
  /** Virtual seconds. */
  readonly duration?: number | string | undefined;
  /** Processes at once. */
  readonly jobs?: number | string | undefined;
  readonly json?: boolean | undefined;
  readonly checkDeterminism?: boolean | undefined;
  readonly list?: boolean | undefined;
  readonly shrink?: boolean | undefined;
  readonly save?: string | undefined;
  readonly replay?: string | undefined;
  readonly log?: string | undefined;
  readonly report?: string | undefined;
  /** With a site of its own: days of its calendar, and whether its quiet hours are played as well. */
  readonly days?: number | string | undefined;
  readonly inFull?: boolean | undefined;
}

/** Ends a campaign: more would say no more. */
const enoughFailed = 20;

/**
 * `millwright simulate …`. Exit codes: 0 all invariants held, 1 a violation, 2 wrong words on the command line, 130
 * ended by Ctrl-C before anything was found.
 */
export async function simulateCommand(
  options: SimulateOptions,
  edge: CommandEdge = processEdge,
  site?: Pick<SiteQuestion, 'file' | 'plan' | 'people'>,
): Promise<number> {
  if (site) return siteCommand(site, options, edge);
  if (options.list) {
    const all = catalogue();
    if (options.json) edge.out(`${JSON.stringify(all)}\n`);
    else for (const { name, about } of all) edge.out(`${name.padEnd(14)} ${about}\n`);
    return 0;
  }
  const words = readWords(options);
  if (!words.ok) {
    edge.err(`${words.mistakes.join('\n')}\n`);
    return 2;
  }
  const { asked } = words;
  if (asked.recording) return replay(asked.recording, options, edge);
  if (asked.seeds.to > asked.seeds.from) return campaign(asked, options, edge);
  if (isLeases(asked.scenario)) return oneOfLeases(asked, options, edge);
  return one(asked, options, edge);
}

interface Asked {
  readonly scenario: string;
  readonly agents: number;
  readonly seeds: { readonly from: number; readonly to: number };
  readonly durationS: number | undefined;
  readonly loss: number | undefined;
  readonly transport?: Transport | undefined;
  readonly datagrams?: false | undefined;
  readonly jobs: number;
  readonly recording: Recording | undefined;
}

/** Everything that was said, or every mistake in it at once. */
function readWords(options: SimulateOptions): { ok: true; asked: Asked } | { ok: false; mistakes: readonly string[] } {
  const mistakes: string[] = [];
  const number = (name: string, given: unknown, what: string, fits: (n: number) => boolean): number => {
    const n = given === '' ? Number.NaN : Number(given);
    if (!fits(n)) mistakes.push(`--${name} ${given}: expected ${what}`);
    return n;
  };
  const whole = (n: number): boolean => Number.isSafeInteger(n) && n >= 0;
  const scenario = options.scenario ?? 'crash';
  const names = catalogue().map(({ name }) => name);
  if (!isScenario(scenario)) {
    const near = nearest(scenario, names);
    const meant = near === undefined ? '' : ` — did you mean ${near}?`;
    mistakes.push(`--scenario ${scenario}: no such scenario${meant} (--list names them all)`);
  }
  const { agents: usual = 50, least = 2 } = scenarioNamed(scenario) ?? {};
  const agents = number(
    'agents',
    options.agents ?? usual,
    `${least} to 5000`,
    (n) => whole(n) && n >= least && n <= 5000,
  );
  const durationS =
    options.duration === undefined
      ? undefined
      : number('duration', options.duration, '30 to 86400 seconds', (n) => n >= 30 && n <= 86_400);
  const jobs = number(
    'jobs',
    options.jobs ?? availableParallelism(),
    '1 to 256',
    (n) => whole(n) && n >= 1 && n <= 256,
  );
  let loss: number | undefined;
  if (options.loss !== undefined) {
    const text = String(options.loss).trim();
    const n = /^\d+(\.\d+)?\s*%?$/.test(text) ? Number.parseFloat(text) : Number.NaN;
    loss = text.endsWith('%') || n >= 1 ? n / 100 : n;
    if (!(loss >= 0 && loss <= 0.9)) mistakes.push(`--loss ${options.loss}: expected 0 to 90 %, as 0.25, 25% or 25`);
  }
  const { transport } = options;
  if (transport !== undefined && !isTransport(transport)) {
    const near = nearest(transport, transports);
    const meant = near === undefined ? '' : ` — did you mean ${near}?`;
    mistakes.push(`--transport ${transport}: expected ${transports.join(', ')}${meant}`);
  }
  const datagrams = options.datagrams === false ? (false as const) : undefined;
  if (datagrams === false && (transport === undefined || transport === 'messages'))
    mistakes.push('--no-datagrams: only with --transport tcp or tcp-thin; single messages wait for nothing');
  let seeds = { from: 1, to: 1 };
  if (options.seeds !== undefined) {
    const [, from, to] = /^(\d+)\.\.(\d+)$/.exec(options.seeds) ?? [];
    seeds = { from: Number(from), to: Number(to) };
    if (from === undefined || !whole(seeds.from) || !whole(seeds.to) || seeds.to < seeds.from)
      mistakes.push(`--seeds ${options.seeds}: expected A..B, as 1..100`);
    if (options.seed !== undefined) mistakes.push('--seed and --seeds: say one of them');
  } else {
    const seed = number('seed', options.seed ?? 1, 'a whole number', whole);
    seeds = { from: seed, to: seed };
  }
  if (options.save !== undefined && !options.shrink && options.replay === undefined && seeds.to > seeds.from)
    mistakes.push('--save: saves one run; say --seed N, or --shrink to save the first that fails');
  if (options.log !== undefined && seeds.to > seeds.from) mistakes.push('--log: tells one run; say --seed N');
  if (isLeases(scenario)) {
    for (const name of ['shrink', 'save', 'log', 'report', 'duration', 'transport'] as const)
      if (options[name] !== undefined) mistakes.push(`--${name}: not with scenarios of leases`);
  }
  let recording: Recording | undefined;
  if (options.replay !== undefined) {
    const loaded = loadRecording(options.replay);
    if (loaded.ok) recording = loaded.value;
    else mistakes.push(`--replay ${loaded.error}`);
    for (const name of ['seeds', 'loss', 'duration', 'transport'] as const)
      if (options[name] !== undefined) mistakes.push(`--${name}: the recording says it all`);
  }
  if (mistakes.length > 0) return { ok: false, mistakes };
  const over = transport !== undefined && isTransport(transport) ? transport : undefined;
  return { ok: true, asked: { scenario, agents, seeds, durationS, loss, transport: over, datagrams, jobs, recording } };
}

const isTransport = (word: string): word is Transport => (transports as readonly string[]).includes(word);

/** The words that play one seed of this again. */
export function commandOf(asked: Omit<Asked, 'seeds' | 'jobs' | 'recording'>, seed: number): string {
  const { scenario, agents, durationS, loss, transport, datagrams } = asked;
  return [
    `millwright simulate --scenario ${scenario}`,
    isLeases(scenario) ? '' : ` --agents ${agents}`,
    ` --seed ${seed}`,
    loss === undefined ? '' : ` --loss ${loss}`,
    transport === undefined ? '' : ` --transport ${transport}`,
    datagrams === false ? ' --no-datagrams' : '',
    durationS === undefined ? '' : ` --duration ${durationS}`,
  ].join('');
}

// One run

function one(asked: Asked, options: SimulateOptions, edge: CommandEdge): number {
  const { scenario, agents, durationS, loss, transport, datagrams } = asked;
  const run: RunOptions = { scenario, agents, seed: asked.seeds.from, durationS, loss, transport, datagrams };
  return tell(run, commandOf(asked, run.seed), options, edge);
}

function replay(recording: Recording, options: SimulateOptions, edge: CommandEdge): number {
  const { scenario, agents, seed } = recording;
  return tell(
    { scenario, agents, seed, options: recording.options },
    `millwright simulate --replay ${options.replay}`,
    options,
    edge,
  );
}

/** Plays a run with all that was asked to be written about it, and prints its report. */
function tell(asked: RunOptions, command: string, options: SimulateOptions, edge: CommandEdge): number {
  const drawn = optionsOf(asked);
  if (!options.json) edge.out(readableHead(asked, drawn));
  const { run, story } = played(asked, options, edge);
  const { report } = run;
  let small: Recording | undefined;
  if (options.shrink && report.violations.length > 0) small = shrunk(asked, report.violations[0]!.invariant, edge);
  const recording: Recording = small ?? {
    format: 'millwright-simulation',
    version: 1,
    scenario: asked.scenario,
    agents: report.agents,
    seed: asked.seed,
    options: report.options,
    ...(report.violations[0] ? { violated: report.violations[0].invariant } : {}),
  };
  if (options.save !== undefined) saveRecording(options.save, recording);
  if (options.report !== undefined && story)
    writeFileSync(options.report, simulationPage({ report, samples: run.samples, story, command }));
  const again = options.save === undefined ? command : `millwright simulate --replay ${options.save}`;
  if (options.json)
    edge.out(`${JSON.stringify({ ...report, seeds: oneSeed(report), ...(small ? { shrunk: small } : {}), again })}\n`);
  else edge.out(`${readableTail(run)}${small ? readableShrunk(small) : ''}\nagain:\n  ${again}\n`);
  return report.violations.length === 0 ? 0 : 1;
}

/** As a campaign says it, so that whoever reads either finds the same field. */
const oneSeed = ({ seed, violations }: { seed: number; violations: readonly unknown[] }): CampaignReport['seeds'] => ({
  from: seed,
  to: seed,
  run: 1,
  failed: violations.length > 0 ? [seed] : [],
});

function played(
  asked: RunOptions,
  options: SimulateOptions,
  edge: CommandEdge,
): { run: Run; story: Story | undefined } {
  const progress = new Progress(edge);
  const endMs = optionsOf(asked).durationS * 1000;
  const story = options.report === undefined ? undefined : new Story();
  const log = options.log === undefined ? undefined : new LogFile(options.log);
  const told: RunOptions = {
    ...asked,
    cpuMs: edge.cpuMs,
    progress: (ms, events) => progress.at(ms / endMs, `${Math.round(ms / 1000)} s, ${events} events`),
    witness: witnesses([
      story?.witness,
      log &&
        eventLog((line) => log.write(line), { duty: (duty) => asked.plan?.duties[duty]?.id ?? `asset-${duty}/watch` }),
    ]),
  };
  try {
    const run = options.checkDeterminism ? playTwice(told) : playScenario(told);
    progress.end(`${run.report.virtualSeconds} s, ${run.report.events} events`);
    return { run, story };
  } finally {
    log?.close();
  }
}

function shrunk(asked: RunOptions, invariant: string, edge: CommandEdge): Recording {
  const progress = new Progress(edge);
  const options = optionsOf(asked);
  const began = performance.now();
  const found = shrink({ ...asked, options }, invariant, {
    progress: (runs, faults) => progress.at(runs / 500, `shrinking: run ${runs}, ${faults} faults left`),
    enough: () => performance.now() - began > shrinkForMs,
  });
  progress.end(
    `shrunk from ${options.faults.length} to ${found.options.faults.length} faults in ${found.runs} runs${
      found.isMinimal ? '' : ', and out of patience: a smaller one may exist'
    }`,
  );
  return {
    format: 'millwright-simulation',
    version: 1,
    scenario: asked.scenario,
    agents: found.agents,
    seed: asked.seed,
    options: found.options,
    violated: invariant,
  };
}

const shrinkForMs = 120_000;

function readableHead(asked: RunOptions, options: ReturnType<typeof optionsOf>): string {
  return readable.head(asked.scenario, asked.seed, options);
}
const readableTail = (run: Run): string => readable.tail(run.report);

function readableShrunk({ options, violated }: Recording): string {
  const lines = ['', `the least that still breaks "${violated}"`];
  for (const fault of options.faults) lines.push(`  ${describeFault(fault)}`);
  if (options.faults.length === 0) lines.push('  no fault at all');
  const rest = [
    `${options.agents} agents`,
    `${options.duties} duties`,
    `${options.durationS} s`,
    ...(['loss', 'duplication', 'reordering', 'stalls'] as const)
      .filter((key) => options.network[key] > 0)
      .map((key) => `${key} ${(options.network[key] * 100).toFixed(2)} %`),
    ...(options.clockDrift > 0 ? [`clock drift ${(options.clockDrift * 1e6).toFixed(0)} ppm`] : []),
  ];
  lines.push(`  with ${rest.join(', ')}`, '');
  return lines.join('\n');
}

// Leases

function oneOfLeases(asked: Asked, options: SimulateOptions, edge: CommandEdge): number {
  const job: Job = { ...asked, seed: asked.seeds.from, checkDeterminism: options.checkDeterminism };
  const drawn = leaseOptionsOf(job);
  const command = commandOf(asked, job.seed);
  if (!options.json) edge.out(readableLeases.head(job, drawn));
  const outcome = runJob(job, edge.cpuMs);
  const tally = new Tally();
  tally.add(outcome);
  const report = tally.report({ ...asked, ...asked.seeds, endedEarly: false, reaches: reachesOf(asked.scenario) });
  if (options.json) {
    const { scenario, agents, seed, violations, falseDeaths, sometimes, traceHash, deterministic, samples } = outcome;
    const { eventsPerCpuSecond, agentSecondsPerCpuSecond, events } = report;
    edge.out(
      `${JSON.stringify({ scenario, agents, seed, seeds: oneSeed(outcome), options: drawn, violations, detection: spread([]), firstDetection: spread([]), takeover: spread(samples.takeover), falseDeaths, bytesPerSecondPerAgent: null, sometimes, events, eventsPerCpuSecond, agentSecondsPerCpuSecond, traceHash, deterministic, again: command })}\n`,
    );
  } else edge.out(readableLeases.tail(outcome, report, command));
  return outcome.violations.length === 0 ? 0 : 1;
}

// Many seeds

async function campaign(asked: Asked, options: SimulateOptions, edge: CommandEdge): Promise<number> {
  const { scenario, agents, seeds, durationS, loss, transport, datagrams } = asked;
  const total = seeds.to - seeds.from + 1;
  const jobs = Math.min(asked.jobs, total);
  const tally = new Tally();
  const progress = new Progress(edge);
  const abort = new AbortController();
  let wasInterrupted = false;
  const release = edge.onInterrupt?.(() => {
    wasInterrupted = true;
    abort.abort();
  });
  if (!options.json) edge.out(readableCampaign.head({ ...asked, jobs }));
  const work = function* (): Generator<Job> {
    for (let seed = seeds.from; seed <= seeds.to; seed++)
      yield {
        ...{ scenario, agents, seed, durationS, loss, transport, datagrams },
        checkDeterminism: options.checkDeterminism,
      };
  };
  await runPool(work(), {
    jobs,
    signal: abort.signal,
    done: (outcome) => {
      tally.add(outcome);
      const failed = tally.failed.size === 0 ? '' : `, ${tally.failed.size} FAILED`;
      progress.at(tally.run / total, `${tally.run}/${total} seeds${failed}`);
      return tally.failed.size < enoughFailed;
    },
  });
  release?.();
  const report = tally.report({
    scenario,
    ...seeds,
    endedEarly: tally.run < total,
    reaches: reachesOf(scenario),
  });
  const why = wasInterrupted ? ', ended by Ctrl-C' : tally.run < total ? ', ended early: enough had failed' : '';
  progress.end(`${tally.run} of ${total} seeds${why}`);

  const first = report.seeds.failed[0];
  const run: RunOptions | undefined =
    first === undefined ? undefined : { scenario, agents, seed: first, durationS, loss, transport, datagrams };
  let small: Recording | undefined;
  if (options.shrink && run && !wasInterrupted) {
    small = shrunk(run, report.violations.find(({ seed }) => seed === first)!.invariant, edge);
    if (options.save !== undefined) saveRecording(options.save, small);
  }
  if (options.report !== undefined && tally.run > 0) {
    // The page tells one run at length: the first that failed, else the first.
    const told = run ?? { scenario, agents, seed: seeds.from, durationS, loss, transport, datagrams };
    const story = new Story();
    const retold = playScenario({ ...told, cpuMs: edge.cpuMs, witness: story.witness });
    writeFileSync(
      options.report,
      simulationPage({
        report: retold.report,
        samples: tally.samples,
        story,
        campaign: report,
        command: commandOf(asked, told.seed),
      }),
    );
  }
  const again =
    small && options.save !== undefined
      ? `millwright simulate --replay ${options.save}`
      : first === undefined
        ? campaignCommand(asked)
        : commandOf(asked, first);
  if (options.json) edge.out(`${JSON.stringify({ ...report, ...(small ? { shrunk: small } : {}), again })}\n`);
  else
    edge.out(
      `${readableCampaign.tail(report, (seed) => commandOf(asked, seed))}${small ? readableShrunk(small) : ''}\nagain:\n  ${again}\n`,
    );
  if (report.violations.length > 0) return 1;
  return wasInterrupted ? 130 : 0;
}

const campaignCommand = (asked: Asked): string =>
  commandOf(asked, 0).replace(' --seed 0', ` --seeds ${asked.seeds.from}..${asked.seeds.to}`);
