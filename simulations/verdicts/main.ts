import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { type EpisodeKind, episodeKinds, runTrial } from './run.ts';
import { addUp, type Tally } from './score.ts';
import { readable, summarize } from './summary.ts';

/**
 * `node simulations/verdicts/main.ts --episodes 1500 --agents 50 --json`: tries the verdicts in simulated faults until each
 * class has that many judged episodes, on several processes. Exit 1 when the figures fall short. `--minutes` ends it early
 * with what there is; `--kinds link,mixed` tries only those.
 */
const { values } = parseArgs({
  options: {
    episodes: { type: 'string', default: '100' },
    agents: { type: 'string', default: '50' },
    seed: { type: 'string', default: '1' },
    loss: { type: 'string' },
    kinds: { type: 'string' },
    jobs: { type: 'string', default: '2' },
    minutes: { type: 'string' },
    json: { type: 'boolean', default: false },
    worker: { type: 'string' },
  },
});
const whole = (name: 'episodes' | 'agents' | 'seed' | 'jobs', least: number): number => {
  const n = Number(values[name]);
  if (Number.isInteger(n) && n >= least) return n;
  process.stderr.write(`--${name} must be a whole number, at least ${least}: ${values[name]}\n`);
  process.exit(2);
};
const [episodes, agents, seed, jobs] = [whole('episodes', 1), whole('agents', 12), whole('seed', 0), whole('jobs', 1)];
const kinds = (values.kinds?.split(',') ?? [...episodeKinds]) as EpisodeKind[];
const unknown = kinds.filter((kind) => !episodeKinds.includes(kind));
if (unknown.length > 0) {
  process.stderr.write(`no such kind: ${unknown.join(', ')}; there are ${episodeKinds.join(', ')}\n`);
  process.exit(2);
}

type Word = { readonly done: number; readonly wanted: number } | { readonly tally: Tally };

if (values.worker !== undefined) work(Number(values.worker));
else await lead();

function work(job: number): void {
  const until =
    values.minutes === undefined ? Number.POSITIVE_INFINITY : performance.now() + Number(values.minutes) * 60_000;
  const say = (word: Word) => process.stdout.write(`${JSON.stringify(word)}\n`);
  let toldAt = 0;
  const tally = runTrial({
    seed: seed * 1_000 + job,
    agents,
    episodes: Math.ceil(episodes / jobs),
    kinds,
    ...(values.loss === undefined ? {} : { losses: [Number(values.loss)] }),
    cpu: () => {
      const used = process.cpuUsage();
      return (used.user + used.system) / 1e6;
    },
    progress: (done, wanted) => {
      if (performance.now() < toldAt + 500) return;
      toldAt = performance.now();
      say({ done, wanted });
    },
    isOver: () => performance.now() >= until,
  });
  say({ tally });
}

async function lead(): Promise<void> {
  const progress = Array.from({ length: jobs }, () => ({ done: 0, wanted: 0 }));
  const tallies: Tally[] = [];
  const show = () => {
    if (!process.stderr.isTTY) return;
    const done = progress.reduce((sum, each) => sum + each.done, 0);
    const wanted = Math.max(1, ...[progress.reduce((sum, each) => sum + each.wanted, 0)]);
    const filled = Math.round((30 * done) / wanted);
    process.stderr.write(`\r${'█'.repeat(filled)}${'░'.repeat(30 - filled)} ${done} of ${wanted} episodes `);
  };
  await Promise.all(
    progress.map(async (mine, job) => {
      const argv = [fileURLToPath(import.meta.url), ...process.argv.slice(2), '--worker', String(job)];
      const child = spawn(process.execPath, argv, { stdio: ['ignore', 'pipe', 'inherit'] });
      const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
      for await (const line of createInterface({ input: child.stdout })) {
        const word = JSON.parse(line) as Word;
        if ('tally' in word) tallies.push(word.tally);
        else Object.assign(mine, word);
        show();
      }
      const code = await ended;
      if (code !== 0) throw new Error(`process ${job} ended with ${code}`);
    }),
  );
  if (process.stderr.isTTY) process.stderr.write('\n');
  const report = summarize(addUp(tallies), { agents, seed, wanted: episodes });
  process.stdout.write(values.json ? `${JSON.stringify(report, undefined, 2)}\n` : readable(report));
  process.exitCode = report.isGood ? 0 : 1;
}
