import { spawnSync } from 'node:child_process';
import { cpus, totalmem } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Random } from '../../agent/base/random.ts';
import { calmNetwork } from '../../simulations/world/network.ts';
import { sitePlan } from '../../simulations/world/plan.ts';
import { World } from '../../simulations/world/world.ts';

/**
 * `npm run bench:sim [-- --json] [--quick] [--repetitions N] [--only NAME]`: how fast virtual time passes, and what a
 * large site weighs. Each repetition runs in a process of its own. An **event** is what the world takes from its queues:
 * an input that reaches a process, a timer that fires, or a happening of the world itself (a dial, a disk that is done).
 * Effects are not counted. (Timers that had been armed anew once counted, too, when they came and were found out of
 * date: 24 events per agent-second then, 19 since, of the same traces. Agent-seconds compare over that change, events do
 * not.)
 *
 * `idle` has a duty for every fifth agent, `members` almost none: what membership alone costs. A run has two phases.
 * *start*: all processes come up within half a second, connect (in a site of up to 200 all to all, in a larger one to
 * their cell and their neighbours on the ring) and greet. *steady*: the site runs, and that is what the figures are about.
 */
interface Case {
  readonly name: string;
  readonly agents: number;
  readonly duties: number;
  readonly startS: number;
  readonly steadyS: number;
  /** A power cut in the middle of the steady phase. */
  readonly crash: boolean;
  readonly loss: number;
}

const cases: readonly Case[] = [
  { name: 'idle-50', agents: 50, duties: 10, startS: 30, steadyS: 1200, crash: false, loss: 0 },
  { name: 'crash-50', agents: 50, duties: 10, startS: 30, steadyS: 1200, crash: true, loss: 0 },
  { name: 'members-1000', agents: 1000, duties: 1, startS: 30, steadyS: 60, crash: false, loss: 0 },
  { name: 'idle-1000', agents: 1000, duties: 200, startS: 30, steadyS: 60, crash: false, loss: 0 },
  { name: 'crash-1000', agents: 1000, duties: 200, startS: 30, steadyS: 60, crash: true, loss: 0 },
  { name: 'memory-5000', agents: 5000, duties: 1000, startS: 5, steadyS: 15, crash: true, loss: 0 },
];
const quickly = (bench: Case): Case => ({
  ...bench,
  agents: Math.min(bench.agents, 1000),
  duties: Math.min(bench.duties, 200),
  startS: 15,
  steadyS: bench.agents > 50 ? 10 : 120,
});

interface Measured {
  readonly startCpuS: number;
  readonly steadyCpuS: number;
  readonly startEvents: number;
  readonly steadyEvents: number;
  readonly eventsPerCpuSecond: number;
  readonly agentSecondsPerCpuSecond: number;
  /** The quickest tenth of the steady phase: where others use the machine, too, the least disturbed one. */
  readonly bestEventsPerCpuSecond: number;
  readonly bestAgentSecondsPerCpuSecond: number;
  /** Start and steady phase together. */
  readonly wholeEventsPerCpuSecond: number;
  readonly wholeAgentSecondsPerCpuSecond: number;
  readonly messagesPerSecondPerAgent: number;
  readonly bytesPerSecondPerAgent: number;
  readonly peakRssMb: number;
  /** Members that somebody does not hold as they are, at the end: a bench of a site that is not one shows. */
  readonly wrongViews: number;
  readonly traceHash: string;
}

const slices = 10;
/** One thread: helpers of the collector would only take turns with the one who waits for them. */
const nodeArguments = ['--single-threaded-gc'];
/** Where weight is what is measured: young objects get 3 × 8 MB rather than 134, and old ones no slack of their own size. */
const frugal = ['--max-semi-space-size=8', '--heap-growing-percent=20'];

/** User and system time of all threads, collector and compiler included. */
function cpuS(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

function measure(bench: Case, seed: number): Measured {
  const random = new Random(seed, `bench ${bench.name}`);
  const world = new World({
    plan: sitePlan({ agents: bench.agents, duties: bench.duties, random: random.fork('plan') }),
    seed,
    network: { ...calmNetwork, loss: bench.loss },
    clockDrift: 0.0001,
  });
  const starts = random.fork('starts');
  for (let agent = 0; agent < bench.agents; agent++) world.at(starts.between(0, 500), () => world.start(agent));
  const victim = random.below(bench.agents);
  const startMs = bench.startS * 1000;
  const steadyMs = bench.steadyS * 1000;
  if (bench.crash) world.at(startMs + steadyMs / 3, () => world.crash(victim, false));

  const began = cpuS();
  world.run(startMs);
  const started = cpuS();
  const startEvents = world.events;
  const { messages, bytes } = world.traffic;
  let [bestEvents, bestAgentSeconds] = [0, 0];
  for (let slice = 1; slice <= slices; slice++) {
    const [eventsBefore, cpuBefore] = [world.events, cpuS()];
    world.run(startMs + (steadyMs * slice) / slices);
    const took = cpuS() - cpuBefore;
    bestEvents = Math.max(bestEvents, (world.events - eventsBefore) / took);
    bestAgentSeconds = Math.max(bestAgentSeconds, (bench.agents * bench.steadyS) / slices / took);
  }
  const ended = cpuS();

  const startCpuS = started - began;
  const steadyCpuS = ended - started;
  const steadyEvents = world.events - startEvents;
  const agentSeconds = bench.agents * bench.steadyS;
  const whole = startCpuS + steadyCpuS;
  return {
    startCpuS: rounded(startCpuS, 2),
    steadyCpuS: rounded(steadyCpuS, 2),
    startEvents,
    steadyEvents,
    eventsPerCpuSecond: Math.round(steadyEvents / steadyCpuS),
    agentSecondsPerCpuSecond: Math.round(agentSeconds / steadyCpuS),
    bestEventsPerCpuSecond: Math.round(bestEvents),
    bestAgentSecondsPerCpuSecond: Math.round(bestAgentSeconds),
    wholeEventsPerCpuSecond: Math.round(world.events / whole),
    wholeAgentSecondsPerCpuSecond: Math.round((bench.agents * (bench.startS + bench.steadyS)) / whole),
    messagesPerSecondPerAgent: rounded((world.traffic.messages - messages) / agentSeconds, 1),
    bytesPerSecondPerAgent: rounded((world.traffic.bytes - bytes) / agentSeconds, 0),
    peakRssMb: rounded(process.resourceUsage().maxRSS / 1024, 0),
    wrongViews: wrongViews(world),
    traceHash: world.trace.hex,
  };
}

function wrongViews(world: World): number {
  let wrong = 0;
  for (const box of world.boxes) {
    if (!box.core) continue;
    for (const other of world.boxes) {
      if ((box.core.membership.state(other.index) === 'alive') !== other.up) wrong++;
    }
  }
  return wrong;
}

const rounded = (n: number, digits: number): number => Math.round(n * 10 ** digits) / 10 ** digits;

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

const { values } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    quick: { type: 'boolean', default: false },
    repetitions: { type: 'string' },
    seed: { type: 'string', default: '1' },
    only: { type: 'string' },
    /** For the processes that this one starts: measure one case and print it. */
    measure: { type: 'string' },
  },
});

const chosen = (values.quick ? cases.map(quickly) : cases).filter(
  ({ name }) => values.only === undefined || name.includes(values.only),
);

if (values.measure !== undefined) {
  const bench = chosen.find(({ name }) => name === values.measure);
  if (bench === undefined) throw new RangeError(`no case "${values.measure}"`);
  process.stdout.write(`${JSON.stringify(measure(bench, Number(values.seed)))}\n`);
} else {
  const wanted = Number(values.repetitions ?? (values.quick ? 1 : 3));
  if (!Number.isInteger(wanted) || wanted < 1) throw new RangeError('--repetitions: expected a whole number above 0');
  const results = chosen.map((bench) => {
    // The large one is about its weight; three of them would only take time.
    const repetitions = bench.agents > 1000 ? 1 : wanted;
    const runs: Measured[] = [];
    for (let i = 0; i < repetitions; i++) {
      process.stderr.write(`\r${bench.name} ${i + 1}/${repetitions} …          `);
      const child = spawnSync(
        process.execPath,
        [
          ...nodeArguments,
          ...(bench.name.startsWith('memory') ? frugal : []),
          fileURLToPath(import.meta.url),
          ...['--measure', bench.name, '--seed', String(Number(values.seed) + i)],
          ...(values.quick ? ['--quick'] : []),
        ],
        { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'], maxBuffer: 1 << 20 },
      );
      if (child.status !== 0) throw new Error(`${bench.name}: the measuring process ended with ${child.status}`);
      runs.push(JSON.parse(child.stdout) as Measured);
    }
    const medians = Object.fromEntries(
      Object.keys(runs[0]!)
        .filter((key) => key !== 'traceHash')
        .map((key) => [key, median(runs.map((run) => run[key as keyof Measured] as number))]),
    );
    return { ...bench, repetitions, ...medians } as Case & Measured & { repetitions: number };
  });
  process.stderr.write('\r');
  const report = {
    machine: {
      cpus: cpus().length,
      model: cpus()[0]?.model,
      memoryGiB: Math.round(totalmem() / 1024 ** 3),
      node: process.versions.node,
    },
    options: {
      quick: values.quick,
      seed: Number(values.seed),
      network: calmNetwork,
      clockDrift: 0.0001,
      nodeArguments,
      nodeArgumentsOfMemory: [...nodeArguments, ...frugal],
    },
    event: 'what the world takes from its queues: an input, a timer, a happening of the world; effects are not counted',
    results,
  };
  if (values.json) process.stdout.write(`${JSON.stringify(report)}\n`);
  else {
    for (const result of results) {
      process.stdout.write(
        `${result.name.padEnd(12)} ${(result.eventsPerCpuSecond / 1e6).toFixed(2)} M events and ${result.agentSecondsPerCpuSecond} agent-seconds per CPU-second (best tenth ${(result.bestEventsPerCpuSecond / 1e6).toFixed(2)} M, ${result.bestAgentSecondsPerCpuSecond}); ` +
          `start ${result.startCpuS} CPU-s (${(result.startEvents / 1e6).toFixed(1)} M events), ${result.peakRssMb} MB\n`,
      );
    }
  }
}
