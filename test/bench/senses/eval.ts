import { execFile, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs, promisify } from 'node:util';
import { figuresOf, figureTable, type Reports, verdictOf } from './eval-figures.ts';
import { thinSkab } from './thinned.ts';

/**
 * `npm run eval -- --data DIR [--only skab,thinned,nab,tep,plant] [--seed N] [--json]`: judges the three public
 * benchmarks with `millwright model evaluate`, scores the predictions with DIR/score/anomaly_score.py, runs the
 * simulated year of the plant, and holds all of it against what must be and what is aimed at. Exit code 1 when a must
 * is missed, 2 when something is not there. The data stays where it is; predictions go to a temporary folder.
 */
const parts = ['skab', 'thinned', 'nab', 'tep', 'plant'] as const;
type Part = (typeof parts)[number];
const shares = [10, 20, 30, 50];

const root = resolve(import.meta.dirname, '..', '..', '..');
const say = (text: string) => void process.stderr.write(`${text}\n`);
const end = (texts: readonly string[]): never => {
  for (const text of texts) say(text);
  process.exit(2);
};

const { values } = parseArgs({
  options: { data: { type: 'string' }, only: { type: 'string' }, seed: { type: 'string' }, json: { type: 'boolean' } },
});
const only = (values.only ?? parts.join(',')).split(',').map((name) => name.trim());
const wants = (part: Part) => only.includes(part);
const seed = Number(values.seed ?? 1);
const data = values.data ?? '';
const scorer = join(data, 'score', 'anomaly_score.py');
const year = join(root, 'test', 'bench', 'senses', 'year', 'main.ts');

const wrong = only.filter((name) => !(parts as readonly string[]).includes(name));
const needed = [
  ...(wants('skab') || wants('thinned') ? [join(data, 'skab')] : []),
  ...(wants('nab') ? [join(data, 'nab')] : []),
  ...(wants('tep') ? [join(data, 'tep')] : []),
  ...(only.some((name) => name !== 'plant') ? [scorer] : []),
];
const complaints = [
  ...wrong.map((name) => `--only ${name}: there are ${parts.join(', ')}`),
  ...(Number.isInteger(seed) ? [] : [`--seed ${values.seed}: expected a whole number`]),
  ...(values.data === undefined && needed.length > 0
    ? ['--data DIR is missing: the folder with skab, nab, tep, score']
    : []),
  ...(values.data === undefined
    ? []
    : needed.filter((path) => !existsSync(path)).map((path) => `${path} is not there`)),
];
if (complaints.length > 0) end(complaints);

const work = await mkdtemp(join(tmpdir(), 'millwright-eval-'));
const stopped = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stopped.abort());

/** Runs one of our own commands with its progress on standard error; resolves to what it wrote. */
function ours(args: readonly string[]): Promise<{ code: number | null; out: string }> {
  return new Promise((settle, fail) => {
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 2], signal: stopped.signal });
    let out = '';
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      if (out.length < 50_000_000) out += text;
    });
    child.once('error', fail);
    child.once('close', (code) => settle({ code, out }));
  });
}

async function evaluated(dataset: string, from: string): Promise<unknown> {
  const out = join(work, `${dataset}-${Math.random().toString(36).slice(2)}`);
  const { code } = await ours([
    join(root, 'millwright.ts'),
    'model',
    'evaluate',
    from,
    '--dataset',
    dataset,
    '--out',
    out,
  ]);
  if (code !== 0) throw new Error(`${dataset}: model evaluate ended with ${code}`);
  const { stdout } = await promisify(execFile)('python3', [scorer, dataset, from, out, '--json'], {
    maxBuffer: 50_000_000,
    signal: stopped.signal,
  });
  return JSON.parse(stdout);
}

try {
  const reports: { -readonly [K in keyof Reports]: Reports[K] } = {};
  if (wants('skab') || wants('thinned')) reports.skab = await evaluated('skab', join(data, 'skab'));
  if (wants('thinned')) {
    const thinned: Record<string, unknown> = {};
    for (const share of shares) {
      say(`skab with ${share} % of the rows after the training part removed`);
      const folder = join(work, `thinned-${share}`);
      await thinSkab(join(data, 'skab'), folder, share / 100, seed);
      thinned[share] = await evaluated('skab', folder);
    }
    reports.thinned = thinned;
  }
  if (wants('nab')) reports.nab = await evaluated('nab', join(data, 'nab'));
  if (wants('tep')) reports.tep = await evaluated('tep', join(data, 'tep'));
  if (wants('plant')) {
    say('the simulated year of 20 assets');
    // Without a seed the year takes its own.
    const { out } = await ours([year, ...(values.seed === undefined ? [] : ['--seeds', values.seed]), '--json']);
    reports.plant = out.trim() === '' ? {} : JSON.parse(out);
  }

  const figures = figuresOf(reports).map((figure) => ({ ...figure, verdict: verdictOf(figure) }));
  const missed = figures.filter(({ verdict }) => verdict === 'MISSED');
  const groups = (report: unknown) => (report as { groups?: unknown } | undefined)?.groups;
  process.stdout.write(
    values.json
      ? `${JSON.stringify({
          ok: missed.length === 0,
          figures,
          groups: { skab: groups(reports.skab), nab: groups(reports.nab), tep: groups(reports.tep) },
        })}\n`
      : figureTable(figures),
  );
  process.exitCode = missed.length === 0 ? 0 : 1;
} catch (cause) {
  const text = cause instanceof Error ? cause.message : String(cause);
  say(`evaluation ended early: ${text}${text.includes('python3 ENOENT') ? ': the scorers need python3' : ''}`);
  process.exitCode = 2;
} finally {
  await rm(work, { recursive: true, force: true });
}
