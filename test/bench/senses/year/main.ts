import { parseArgs } from 'node:util';
import { frozen } from '../../../../simulations/plant/year/freeze.ts';
import { yearTable } from './readable.ts';
import { passes, simulatedYear } from './simulated-year.ts';

/**
 * `node test/bench/senses/year/main.ts [--seeds A..B] [--assets 20] [--json]`: the simulated year, on the judged seeds
 * unless said. Exit code 1 when a
 * fault was found too late or the lead is not twice that of the plain threshold.
 */
const { values } = parseArgs({
  options: { seeds: { type: 'string' }, assets: { type: 'string' }, json: { type: 'boolean' } },
});
const { judgedSeeds } = frozen();
const judged = judgedSeeds.length > 0 ? `${judgedSeeds[0]}..${judgedSeeds.at(-1)}` : '1';
const range = /^(\d+)(?:\.\.(\d+))?$/.exec(values.seeds ?? judged);
const from = Number(range?.[1]);
const to = Number(range?.[2] ?? from);
const assets = Number(values.assets ?? 20);
if (range === null || to < from || to - from > 1000 || !Number.isInteger(assets) || assets < 1 || assets > 1000) {
  process.stderr.write('expected --seeds A or A..B (at most 1000), and --assets 1 to 1000\n');
  process.exit(2);
}
const seeds = Array.from({ length: to - from + 1 }, (_, i) => from + i);
const begun = process.cpuUsage();
const figures = await simulatedYear(seeds, assets, (done, of) => {
  process.stderr.write(`\rhall ${done} of ${of}${done === of ? '\n' : ''}`);
});
const used = process.cpuUsage(begun);
const cpuSeconds = Math.round((used.user + used.system) / 1e5) / 10;
process.stdout.write(
  values.json ? `${JSON.stringify({ seeds: [from, to], ...figures, cpuSeconds })}\n` : yearTable(figures, cpuSeconds),
);
process.exitCode = passes(figures) ? 0 : 1;
