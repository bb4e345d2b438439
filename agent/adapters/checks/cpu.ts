import { readFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import type { CheckObservation } from '../../core/health/check.ts';
import { measured, type ProbeContext, rounded } from './probe.ts';

interface Ticks {
  readonly busy: number;
  readonly total: number;
}

/** The kernel counts in hundredths of a second; over fewer ticks than this a share of time is mostly chance. */
const fewestTicks = 20;

/**
 * Share of time that the processors were busy since this check's last run, 0 to 100 %, all cores together; the first
 * run looks for a quarter of a second. Waiting for a disk counts as idle.
 */
export function createCpuProbe(): (context: ProbeContext) => Promise<CheckObservation> {
  let last: Ticks | undefined;
  let lastPercent: number | undefined;
  return async (context) => {
    if (last === undefined) {
      last = await readTicks(context.roots.proc);
      await sleep(Math.min(250, context.timeoutMs / 2), undefined, { signal: context.signal });
    }
    const now = await readTicks(context.roots.proc);
    const total = now.total - last.total;
    // Too soon after the last look: what was seen then still stands.
    if (total >= fewestTicks || lastPercent === undefined) {
      lastPercent = total > 0 ? Math.min(100, Math.max(0, (100 * (now.busy - last.busy)) / total)) : 0;
      last = now;
    }
    return measured(rounded(lastPercent), '%', 'cpu', `cpu ${Math.round(lastPercent)} % busy`);
  };
}

async function readTicks(proc: string): Promise<Ticks> {
  if (process.platform !== 'linux' && proc === '/proc') {
    let busy = 0;
    let total = 0;
    for (const { times } of cpus()) {
      const all = times.user + times.nice + times.sys + times.irq + times.idle;
      busy += (all - times.idle) / 10;
      total += all / 10;
    }
    return { busy, total };
  }
  const line = /^cpu\s+(.*)$/m.exec(await readFile(`${proc}/stat`, 'utf8'))?.[1];
  if (line === undefined) throw new Error(`${proc}/stat has no line "cpu"`);
  // user nice system idle iowait irq softirq steal; guest time is already part of user.
  const fields = line.split(/\s+/).slice(0, 8).map(Number);
  const total = fields.reduce((sum, ticks) => sum + ticks, 0);
  const idle = (fields[3] ?? 0) + (fields[4] ?? 0);
  return { busy: total - idle, total };
}
