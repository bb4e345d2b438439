import { parseArgs } from 'node:util';
import { type FaultName, faults } from './faults.ts';
import { whyNoHall } from './hall.ts';
import { type ChaosReport, runChaos } from './run.ts';

const usage = `node simulations/chaos/main.ts [--rounds 1] [--faults NAME,…] [--duties 2] [--seed 1] [--unsupervised] [--json] [--verbose]

Real agents under their supervisors, each in a network namespace; needs root. Faults:
${faults.map(({ name, what }) => `  ${name.padEnd(18)} ${what}`).join('\n')}

--unsupervised leaves the supervisors out: then programs outlive their agents, and the judge must say so.
Exit codes: 0 nothing overlapped and everything came back, 1 otherwise, 2 wrong words, 3 not permitted here, 130 ended early.
`;

/** Exit codes: what was found, wrong words, and what this machine does not permit. */
const codes = { fine: 0, found: 1, wrongUse: 2, notPermitted: 3, ended: 130 } as const;

process.exitCode = await main();

async function main(): Promise<number> {
  let values: ReturnType<typeof read>;
  try {
    values = read();
  } catch (error) {
    return complain((error as Error).message);
  }
  if (values.help) {
    process.stdout.write(usage);
    return codes.fine;
  }
  const rounds = Number(values.rounds);
  const duties = Number(values.duties);
  const seed = Number(values.seed);
  if (!Number.isInteger(rounds) || rounds < 1) return complain(`--rounds ${values.rounds}: a number from 1 on`);
  if (!Number.isInteger(duties) || duties < 1 || duties > 16) return complain(`--duties ${values.duties}: 1 to 16`);
  if (!Number.isSafeInteger(seed)) return complain(`--seed ${values.seed}: a whole number`);
  const names = faults.map(({ name }) => name);
  const only = values.faults?.split(',').map((name) => name.trim());
  const unknown = only?.find((name) => !names.includes(name as FaultName));
  if (unknown !== undefined) return complain(`--faults ${unknown}: there are ${names.join(', ')}`);
  const why = whyNoHall();
  if (why !== undefined) {
    process.stderr.write(`chaos: ${why}\n`);
    return codes.notPermitted;
  }

  const ended = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      process.stderr.write('\nending after this fault; once more to leave at once\n');
      ended.abort();
    });
  }
  const live = process.stderr.isTTY;
  const began = performance.now();
  const report = await runChaos({
    rounds,
    duties,
    seed,
    supervised: !values.unsupervised,
    signal: ended.signal,
    ...(only === undefined ? {} : { only: only as FaultName[] }),
    progress: (done, of, text) => {
      const seconds = Math.round((performance.now() - began) / 1_000);
      const line = `${String(done).padStart(String(of).length)}/${of} ${seconds} s  ${text}`;
      if (live) process.stderr.write(`\r\x1b[K${line}${done === of ? '\n' : ''}`);
      else if (values.verbose || done === of) process.stderr.write(`${line}\n`);
    },
  });
  process.stdout.write(values.json ? `${JSON.stringify(report)}\n` : readable(report));
  if (report.violations.length > 0 || report.stalled.length > 0) return codes.found;
  if (report.faults.some(({ missed }) => missed > 0)) return codes.found;
  return ended.signal.aborted ? codes.ended : codes.fine;
}

function read() {
  return parseArgs({
    options: {
      rounds: { type: 'string', default: '1' },
      faults: { type: 'string' },
      duties: { type: 'string', default: '2' },
      seed: { type: 'string', default: '1' },
      unsupervised: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      verbose: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  }).values;
}

function complain(text: string): number {
  process.stderr.write(`chaos: ${text}\n\n${usage}`);
  return codes.wrongUse;
}

function readable(report: ChaosReport): string {
  const ms = (value: number | null): string => (value === null ? '–' : `${Math.round(value)} ms`).padStart(9);
  const rows = report.faults.map(
    ({ fault, episodes, takeover: { p50Ms, p99Ms, maxMs }, missed, sometimes }) =>
      `${fault.padEnd(18)}${String(episodes).padStart(5)}${ms(p50Ms)}${ms(p99Ms)}${ms(maxMs)}${String(missed).padStart(7)}${Object.entries(
        sometimes,
      )
        .map(([text, count]) => `  ${count} × ${text}`)
        .join('')}`,
  );
  const { violations, stalled, machine } = report;
  return [
    `${'fault'.padEnd(18)}times      p50      p99      max missed`,
    ...rows,
    '',
    `${report.effects} effects in ${report.tenures} tenures; the machine took ${machine.accepted} and refused ${machine.refused} that came too late`,
    violations.length === 0 ? 'no two at once, no token went back' : `${violations.length} VIOLATIONS`,
    ...violations.slice(0, 20).map(({ invariant, duty, text }) => `  ${invariant}: ${duty}: ${text}`),
    ...stalled.map((text) => `  not in time: ${text}`),
    ...report.kept.map((folder) => `  logs and stores: ${folder}`),
    '',
  ].join('\n');
}
