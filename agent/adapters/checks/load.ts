import { readFile } from 'node:fs/promises';
import { loadavg } from 'node:os';
import type { CheckObservation } from '../../core/health/check.ts';
import { measured, notKnown, type ProbeContext } from './probe.ts';

const columns = { 1: 0, 5: 1, 15: 2 } as const;

/** Load average over 1, 5 or 15 minutes: processes that run, want to, or wait for a disk; not divided by cores. */
export async function loadProbe(minutes: 1 | 5 | 15, { roots }: ProbeContext): Promise<CheckObservation> {
  const column = columns[minutes];
  const value =
    process.platform === 'linux' || roots.proc !== '/proc'
      ? Number((await readFile(`${roots.proc}/loadavg`, 'utf8')).split(' ')[column])
      : (loadavg()[column] ?? Number.NaN);
  if (!Number.isFinite(value)) return notKnown('load: the kernel names none');
  return measured(value, '', `load${minutes}`, `load ${value} over ${minutes} min`);
}
