import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { type ChecksFigures, measureChecks } from './checks.ts';
import { type Judged, judge } from './limits.ts';
import { benchScore, type ScoreFigures } from './score.ts';
import { benchTags, type TagFigures } from './tags.ts';

const parts = ['score', 'tags', 'checks'] as const;
const usage = `npm run bench:senses -- [options]

What senses cost: one window scored, 500 tags a second with 50 models in a real agent, 1000 checks a minute.

  --json        one line of JSON on standard output instead of a table
  --only LIST   by comma, of: ${parts.join(', ')}
  --seconds N   how long the agents are measured (default 60)

Exit code 1 when a figure is beyond its limit. Figures of time are upper bounds on a machine that others use, too.
`;

const { values } = parseArgs({
  options: {
    json: { type: 'boolean' },
    only: { type: 'string' },
    seconds: { type: 'string' },
    help: { type: 'boolean' },
  },
});
const only = values.only?.split(',') ?? [...parts];
const seconds = Number(values.seconds ?? 60);
const unknown = only.filter((name) => !(parts as readonly string[]).includes(name));
if (values.help || unknown.length > 0 || !(seconds >= 4 && seconds <= 3600)) {
  if (unknown.length > 0) process.stderr.write(`--only ${unknown.join(', ')}: there are ${parts.join(', ')}\n`);
  process.stderr.write(usage);
  process.exit(values.help ? 0 : 2);
}
const say = (text: string): void => void process.stderr.write(`${text}\n`);

let score: ScoreFigures | undefined;
const tags: TagFigures[] = [];
let checks: ChecksFigures | undefined;
if (only.includes('tags')) {
  for (const protocol of ['modbus', 'opcua'] as const) tags.push(await benchTags(protocol, seconds, say));
}
if (only.includes('checks')) {
  say('1000 checks over a minute …');
  checks = await measureChecks();
}
// Last: it loads ONNX Runtime into this process, and of a library that two map PSS counts a half for each.
if (only.includes('score')) {
  say('one window scored, ours and bare in turns …');
  score = await benchScore(8, 2_000);
}
const judged: readonly Judged[] = judge({ score, tags, checks });
if (values.json) {
  const machine = { cpus: cpus().length, model: cpus()[0]?.model, node: process.versions.node };
  process.stdout.write(`${JSON.stringify({ machine, score, tags, checks, judged })}\n`);
} else {
  const wide = Math.max(...judged.map(({ what }) => what.length));
  for (const { what, measured, limit, unit, ok } of judged) {
    process.stdout.write(`${ok ? 'ok  ' : 'MISS'}  ${what.padEnd(wide)}  ${measured} ${unit} (at most ${limit})\n`);
  }
}
process.exitCode = judged.every(({ ok }) => ok) ? 0 : 1;
