import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { Random } from '../agent/base/random.ts';
import { commandOf } from './campaign/command.ts';
import { type Job, reachesOf } from './campaign/job.ts';
import { runPool } from './campaign/pool.ts';
import { Progress } from './campaign/progress.ts';
import { Tally } from './campaign/tally.ts';
import { scenarios } from './scenarios/list.ts';

/**
 * `npm run sim:soak -- --minutes 10`: seeds of the swarm, of leases and of every other scenario until the time is over,
 * over all processors. JSON at the end, with the command that plays each seed that failed. Every soak goes on to seeds
 * that the last ones have not seen, unless `--from` says where to begin.
 */
const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '10' },
    from: { type: 'string' },
    jobs: { type: 'string', default: String(availableParallelism()) },
  },
});
const minutes = Number(values.minutes);
const jobs = Number(values.jobs);
const from = values.from === undefined ? Math.floor(Date.now() / 1000) : Number(values.from);
if (!(minutes > 0 && minutes <= 10_080) || !(jobs >= 1 && jobs <= 256) || !Number.isSafeInteger(from) || from < 0) {
  process.stderr.write('--minutes 0.1 to 10080, --jobs 1 to 256, --from a whole number\n');
  process.exit(2);
}

const forMs = minutes * 60_000;
const began = performance.now();
const isOver = (): boolean => performance.now() - began >= forMs;

/** Those that take long on a thousand boxes are told with fewer here; the command line tells them at full size. */
const stories = scenarios.filter(({ name }) => name !== 'swarm');

/** Half the seeds are swarms, a third leases, the rest one story after the other. */
function* work(): Generator<Job> {
  for (let seed = from; !isOver(); seed++) {
    const random = new Random(seed, 'soak');
    const kind = seed % 6;
    if (kind < 3) yield { scenario: 'swarm', agents: [2, 3, 4, 5, 7, 9, 12, 20][random.below(8)]!, seed };
    else if (kind < 5) yield { scenario: 'leases', agents: 2, seed };
    else {
      const { name, least = 2 } = stories[random.below(stories.length)]!;
      yield { scenario: name, agents: least + random.below(21 - least), seed };
    }
  }
}

const tallies = new Map<string, Tally>();
const failed: { seed: number; command: string; invariant: string; text: string }[] = [];
const progress = new Progress({
  err: (text) => process.stderr.write(text),
  isTerminal: process.stderr.isTTY,
});
const abort = new AbortController();
process.once('SIGINT', () => abort.abort());
let seeds = 0;
await runPool(work(), {
  jobs,
  signal: abort.signal,
  done: (outcome) => {
    seeds++;
    const { scenario, agents, seed, violations } = outcome;
    let tally = tallies.get(scenario);
    if (!tally) tallies.set(scenario, (tally = new Tally()));
    tally.add(outcome);
    const first = violations[0];
    if (first) {
      const command = commandOf({ scenario, agents, durationS: undefined, loss: undefined }, seed);
      failed.push({ seed, command, invariant: first.invariant, text: first.text });
    }
    const share = Math.min(1, (performance.now() - began) / forMs);
    progress.at(share, `${seeds} seeds${failed.length === 0 ? '' : `, ${failed.length} FAILED`}`);
    return failed.length < 50;
  },
});
progress.end(`${seeds} seeds, ${failed.length} failed`);

const reports = [...tallies].map(([scenario, tally]) => {
  const {
    seeds: of,
    violations,
    traceHash,
    ...report
  } = tally.report({
    scenario,
    from,
    to: from + seeds - 1,
    endedEarly: false,
    reaches: reachesOf(scenario),
  });
  return { ...report, seeds: of.run, violations: violations.length };
});
process.stdout.write(
  `${JSON.stringify(
    {
      minutes: Math.round(((performance.now() - began) / 60_000) * 100) / 100,
      from,
      seeds,
      endedEarly: abort.signal.aborted || failed.length >= 50,
      violations: failed.length,
      failed,
      scenarios: reports.toSorted((a, b) => (a.scenario < b.scenario ? -1 : 1)),
    },
    undefined,
    2,
  )}\n`,
);
process.exitCode = failed.length > 0 ? 1 : 0;
