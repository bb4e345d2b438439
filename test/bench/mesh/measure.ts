import { measures } from './measures.ts';
import { isMeasure } from './simulated.ts';

/** `node test/bench/mesh/measure.ts NAME SEED`: one repetition of one figure in virtual time, as JSON. */
const [name = '', seed = '1'] = process.argv.slice(2);
if (!isMeasure(name)) throw new RangeError(`no figure "${name}": ${Object.keys(measures).join(', ')}`);
const { user, system } = process.cpuUsage();
const measured = measures[name](Number(seed));
const used = process.cpuUsage({ user, system });
process.stdout.write(`${JSON.stringify({ ...measured, cpuS: (used.user + used.system) / 1e6 })}\n`);
