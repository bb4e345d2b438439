import { existsSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { nearest } from '../../../agent/base/nearest.ts';
import { presets } from '../../../agent/core/membership/options.ts';
import { compare } from './compare.ts';
import { load, machine } from './figures.ts';
import { whyNoNetwork } from './namespaces.ts';
import { millwright, whyNoSerf } from './products.ts';
import { realFigures, realNames } from './real.ts';
import { simulatedFigures, simulatedNames } from './simulated.ts';
import { figureTable, trialTable } from './table.ts';
import { type Story, stories } from './trial.ts';

const usage = `npm run bench:mesh -- [options]

The figures of the mesh: in virtual time, and on real processes of this machine. With --peer, a trial on a small network
of its own instead (root, Linux): kill -9, SIGSTOP, cable pulled, packets lost; ours, and the same for serf.

  --json             one line of JSON on standard output instead of tables
  --quick            fewer and shorter repetitions: minutes instead of an hour
  --only LIST        by comma, of: ${[...simulatedNames, ...realNames].join(', ')}
                     with --peer, of: ${stories.join(', ')}
  --repetitions N    figures are medians over, or pooled from, so many
  --seed N           the first seed; chance in the trial comes from it, too (default 1)
  --jobs N           processes at once for what is simulated (default: all processors)
  --peer serf|none   the trial, with Debian's serf beside ours, or ours alone
  --sizes LIST       boxes of a trial, 2 to 50 (default 5,15)
  --preset NAME      how fast ours probe in the trial: ${Object.keys(presets).join(', ')} (default lan)
  --program FILE     what is run of ours; dist/millwright.js, after npm run build, is what the package carries and needs
                     less memory (default millwright.ts)
  --even-pace        boxes of the trial with the kernel's setting of deploy/90-millwright.conf
  --in-the-clear     serf without encryption; ours has no such mode
`;

const complaints: string[] = [];
const options = read();
if (complaints.length > 0) {
  process.stderr.write(`${complaints.join('\n')}\n`);
  process.exit(2);
}

/** Ctrl-C and SIGTERM end it in order: what was started is ended by whoever listens to the exit of this process. */
for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const) {
  process.once(signal, () => process.exit(code));
}

const began = performance.now();
const say = (text: string): void => {
  const s = Math.round((performance.now() - began) / 1_000);
  const clock = `${Math.floor(s / 60)}:${String(s % 60).padStart(2, '0')}`;
  process.stderr.write(`${clock.padStart(6)}  ${text}\n`);
};
const where = machine();
const loadAtStart = load();
const { json, ...told } = options;
/** Told with whatever was measured all the same: an hour's figures are not lost for one that could not be had. */
let failure: string | undefined;
if (options.peer === undefined) {
  // The real ones first, while whoever started it still keeps the machine quiet; what runs in virtual time does not mind.
  const real = await realFigures(options, say).catch((cause: Error) => {
    failure = `what runs on real processes did not come to its end: ${cause.message}`;
    say(failure);
    return [];
  });
  const figures = [...real, ...(await simulatedFigures(options, say))];
  print({ options: told, figures, failure }, () => figureTable(figures));
} else {
  const reason = whyNoNetwork() ?? (options.peer === 'serf' ? whyNoSerf() : undefined);
  if (reason !== undefined) {
    process.stderr.write(`${reason}\n`);
    process.exit(1);
  }
  const { repetitions, quick, only, peer } = options;
  const control = readFileSync('/proc/sys/net/ipv4/tcp_congestion_control', 'utf8').trim();
  if (options.evenPace && control === 'bbr') say('--even-pace changes nothing here: under BBR no stream is thin');
  const trial = {
    ...{ repetitions: repetitions ?? (quick ? 5 : 20), idleWindowS: quick ? 6 : 15, lossS: quick ? 60 : 300 },
    ...{ frozenS: 10, stories: (only as readonly Story[] | undefined) ?? stories, peer },
    ...{
      sizes: options.sizes,
      preset: options.preset,
      program: options.program,
      encrypted: !options.inTheClear,
      evenPace: options.evenPace,
      seed: options.seed,
    },
  };
  const results = await compare(trial, say);
  const definition =
    'from the fault until the first (all) of the survivors say on standard output that the box is dead';
  print({ options: trial, definition, results }, () => trialTable(results));
}
if (failure !== undefined) process.stderr.write(`${failure}\n`);
process.exit(failure === undefined ? 0 : 1);

function print(report: object, table: () => string): void {
  process.stdout.write(
    json ? `${JSON.stringify({ machine: where, load: { start: loadAtStart, end: load() }, ...report })}\n` : table(),
  );
}

function read() {
  const { values } = parse();
  if (values.help) {
    process.stdout.write(usage);
    process.exit(0);
  }
  const whole = (name: string, text: string | undefined, from: number, to: number): number | undefined => {
    if (text === undefined) return undefined;
    const n = text === '' ? Number.NaN : Number(text);
    if (!(Number.isInteger(n) && n >= from && n <= to)) {
      complaints.push(`--${name} ${text}: expected a whole number from ${from} to ${to}`);
    }
    return n;
  };
  const oneOf = (name: string, word: string, known: readonly string[]): void => {
    if (known.includes(word)) return;
    const near = nearest(word, known);
    complaints.push(`--${name} ${word}: expected ${known.join(', ')}${near ? ` — did you mean ${near}?` : ''}`);
  };
  const list = (text: string) => text.split(',').map((word) => word.trim());
  const only = values.only === undefined ? undefined : list(values.only);
  for (const word of only ?? []) {
    oneOf('only', word, values.peer === undefined ? [...simulatedNames, ...realNames] : stories);
  }
  if (values.peer !== undefined) oneOf('peer', values.peer, ['serf', 'none']);
  if (!existsSync(values.program)) complaints.push(`--program ${values.program}: there is no such file`);
  oneOf('preset', values.preset, Object.keys(presets));
  return {
    json: values.json,
    quick: values.quick,
    only,
    peer: values.peer as 'serf' | 'none' | undefined,
    repetitions: whole('repetitions', values.repetitions, 1, 1_000),
    seed: whole('seed', values.seed, 0, 2 ** 31) ?? 1,
    jobs: whole('jobs', values.jobs, 1, 256) ?? availableParallelism(),
    sizes: list(values.sizes).map((text) => whole('sizes', text, 2, 50) ?? 5),
    preset: values.preset,
    program: resolve(values.program),
    inTheClear: values['in-the-clear'],
    evenPace: values['even-pace'],
  };
}

function parse() {
  try {
    return parseArgs({
      options: {
        help: { type: 'boolean', short: 'h', default: false },
        json: { type: 'boolean', default: false },
        quick: { type: 'boolean', default: false },
        only: { type: 'string' },
        repetitions: { type: 'string' },
        seed: { type: 'string' },
        jobs: { type: 'string' },
        peer: { type: 'string' },
        sizes: { type: 'string', default: '5,15' },
        preset: { type: 'string', default: 'lan' },
        program: { type: 'string', default: millwright },
        'in-the-clear': { type: 'boolean', default: false },
        'even-pace': { type: 'boolean', default: false },
      },
    });
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n\n${usage}`);
    process.exit(2);
  }
}
