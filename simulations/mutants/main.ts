import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { Progress } from '../campaign/progress.ts';
import { catalogue } from './catalogue.ts';
import { parts } from './mutant.ts';
import { huntAll } from './pool.ts';
import { isGood, readable, summarize } from './report.ts';

/**
 * `npm run sim:mutants`: takes each safeguard of leases, permits, claims and membership out in turn, and looks whether the
 * simulator misses it, while the code as it ships passes the very same seeds.
 *
 * Exit codes: 0 each is found and nothing else is, 1 not so, 2 wrong words, 130 ended by Ctrl-C.
 */
const help = `npm run sim:mutants -- [options]
  --json          the report as JSON
  --part PART     only of ${parts.join(', ')}
  --only TEXT     only those with this in their name
  --from SEED     the first seed (1)
  --seeds N       at most N seeds for each (as many as each needs with ease)
  --at-least N    and at least N, to see how often each is found (20)
  --jobs N        processes at once (${availableParallelism()} here)
  --list          the names alone
`;

function fail(text: string): never {
  process.stderr.write(`${text}\n\n${help}`);
  process.exit(2);
}

function words() {
  try {
    return parseArgs({
      options: {
        json: { type: 'boolean', default: false },
        list: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
        part: { type: 'string' },
        only: { type: 'string' },
        from: { type: 'string' },
        seeds: { type: 'string' },
        'at-least': { type: 'string' },
        jobs: { type: 'string' },
      },
    }).values;
  } catch (error) {
    fail(error instanceof Error ? error.message : String(error));
  }
}

const values = words();

function whole(name: 'from' | 'seeds' | 'at-least' | 'jobs', least: number, most: number): number | undefined {
  const given = values[name];
  if (given === undefined) return undefined;
  const n = Number(given);
  if (/^\d+$/.test(given) && n >= least && n <= most) return n;
  fail(`--${name} takes a whole number from ${least} to ${most}, not "${given}"`);
}

const from = whole('from', 0, Number.MAX_SAFE_INTEGER - 1_000_000);
const seeds = whole('seeds', 1, 1_000_000);
const atLeast = whole('at-least', 1, 1_000_000) ?? 20;
const jobs = whole('jobs', 1, 256) ?? availableParallelism();
if (values.part !== undefined && !parts.some((part) => part === values.part)) {
  fail(`no part "${values.part}": there are ${parts.join(', ')}`);
}
const wanted = catalogue.filter(
  ({ part, name }) =>
    (values.part === undefined || part === values.part) &&
    (values.only === undefined || name.toLowerCase().includes(values.only.toLowerCase())),
);
if (wanted.length === 0) fail(`nothing with "${values.only}" in its name: see --list`);

if (values.help) {
  process.stdout.write(help);
} else if (values.list) {
  process.stdout.write(wanted.map(({ part, name }) => `${part.padEnd(10)}  ${name}\n`).join(''));
} else {
  const progress = new Progress({ err: (text) => process.stderr.write(text), isTerminal: process.stderr.isTTY });
  const abort = new AbortController();
  process.once('SIGINT', () => abort.abort());
  let [hunted, missed] = [0, 0];
  const reports = await huntAll(wanted, {
    from,
    seeds,
    atLeast,
    jobs,
    signal: abort.signal,
    done: ({ found }) => {
      hunted++;
      if (!found) missed++;
      progress.at(
        hunted / wanted.length,
        `${hunted} of ${wanted.length}${missed === 0 ? '' : `, ${missed} NOT FOUND`}`,
      );
    },
  });
  progress.end(`${hunted} of ${wanted.length} taken out, ${hunted - missed} found`);
  const report = summarize(reports, wanted.length);
  process.stdout.write(values.json ? `${JSON.stringify(report, undefined, 2)}\n` : readable(report));
  process.exitCode = abort.signal.aborted ? 130 : isGood(report) ? 0 : 1;
}
