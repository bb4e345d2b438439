import { readdirSync, readFileSync } from 'node:fs';

/** CPU time of all threads of a process so far, in milliseconds (proc(5), schedstat). */
export function cpuMs(pid: number): number {
  let total = 0;
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    total += Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'utf8').split(' ')[0]);
  }
  return total / 1e6;
}

/** Proportional set size in MB: shared pages are divided among those who share them. */
export function pssMb(pid: number): number {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
  return Number(/^Pss:\s+(\d+) kB/m.exec(text)?.[1] ?? Number.NaN) / 1024;
}

export const rounded = (value: number, digits: number): number => Number(value.toFixed(digits));

/** The value below which a share `q` of the sorted values lies. */
export const quantile = (sorted: Float64Array | readonly number[], q: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? Number.NaN;
