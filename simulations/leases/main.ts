import { parseArgs } from 'node:util';
import { runLeaseSeed, soakLeases } from './run.ts';

/** `node simulations/leases/main.ts --seeds 1..10000`, or `--seed N` for one of them with all that was drawn. */
const { values } = parseArgs({
  options: { seeds: { type: 'string', default: '1..1000' }, seed: { type: 'string' }, json: { type: 'boolean' } },
});
if (values.seed !== undefined) {
  const run = runLeaseSeed(Number(values.seed));
  process.stdout.write(`${JSON.stringify({ ...run, counters: Object.fromEntries(run.counters) }, undefined, 2)}\n`);
  process.exitCode = run.violations.length === 0 ? 0 : 1;
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
