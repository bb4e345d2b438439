import { parseArgs } from 'node:util';
import { runMutants } from './mutants.ts';
import { runLeaseSeed, soakLeases } from './run.ts';

/**
 * `node simulations/leases/main.ts --seeds 1..10000`, or `--seed N` for one of them with all that was drawn, or
 * `--mutants [--harm] [--only TEXT] --seeds 1..2000` for each safeguard taken out in turn.
 */
const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '1..1000' },
    seed: { type: 'string' },
    mutants: { type: 'boolean' },
    only: { type: 'string' },
    harm: { type: 'boolean' },
  },
});
if (values.seed !== undefined) {
  const run = runLeaseSeed(Number(values.seed));
  process.stdout.write(`${JSON.stringify({ ...run, counters: Object.fromEntries(run.counters) }, undefined, 2)}\n`);
  process.exitCode = run.violations.length === 0 ? 0 : 1;
} else if (values.mutants) {
  const [from = 1, to = 1000] = values.seeds.split('..').map(Number);
  const reports = runMutants({
    firstSeed: from,
    seeds: to - from + 1,
    onlyHarm: values.harm ?? false,
    ...(values.only === undefined ? {} : { only: values.only }),
    onReport: (report) => process.stderr.write(`${report.found ? 'found    ' : 'NOT FOUND'} ${report.name}\n`),
  });
  const found = reports.filter((report) => report.found).length;
  process.stdout.write(`${JSON.stringify({ planted: reports.length, found, reports }, undefined, 2)}\n`);
  process.exitCode = found === reports.length && reports.every(({ shippedFails }) => shippedFails.length === 0) ? 0 : 1;
} else {
  const [from = 1, to = 1000] = values.seeds.split('..').map(Number);
  const began = process.cpuUsage();
  const soak = soakLeases(from, to, { progress: (done) => process.stderr.write(`\r${done} seeds `) });
  const used = process.cpuUsage(began);
  const cpuSeconds = (used.user + used.system) / 1e6;
  const report = {
    seeds: soak.seeds,
    events: soak.events,
    cpuSeconds,
    seedsPerCpuSecond: soak.seeds / cpuSeconds,
    eventsPerCpuSecond: soak.events / cpuSeconds,
    failed: soak.failed.map(({ seed, violations }) => ({ seed, violations })),
    sometimes: Object.fromEntries([...soak.counters].sort(([a], [b]) => (a < b ? -1 : 1))),
  };
  process.stderr.write('\n');
  process.stdout.write(`${JSON.stringify(report, undefined, 2)}\n`);
  process.exitCode = soak.failed.length === 0 ? 0 : 1;
}
