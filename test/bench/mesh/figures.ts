import { readFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';

/** What was measured again and again: milliseconds, or whatever the name says. */
export interface Spread {
  readonly count: number;
  readonly p50: number | null;
  readonly p99: number | null;
  readonly max: number | null;
}

export function spread(measured: readonly number[], digits = 0): Spread {
  const sorted = measured.toSorted((a, b) => a - b);
  const at = (q: number) =>
    sorted.length === 0 ? null : rounded(sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)]!, digits);
  return { count: sorted.length, p50: at(0.5), p99: at(0.99), max: at(1) };
}

export function median(measured: readonly number[]): number {
  const sorted = measured.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  if (sorted.length === 0) return Number.NaN;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

export const mean = (measured: readonly number[]): number =>
  measured.reduce((sum, value) => sum + value, 0) / measured.length;

export const rounded = (value: number, digits = 0): number => Math.round(value * 10 ** digits) / 10 ** digits;

/** User and system time of a process so far, ended threads included, in seconds (proc(5): fields 14 and 15, in 1/100 s). */
export function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/**
 * Megabytes of a process. PSS divides shared pages among those who share them, so that it flatters whoever runs fifteen
 * times on one machine; RSS does not, and a real box has one of each.
 */
export function memoryMb(pid: number): { readonly pss: number; readonly rss: number; readonly private: number } {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
  const kb = (key: string) => Number(new RegExp(`^${key}:\\s+(\\d+) kB`, 'm').exec(text)?.[1] ?? Number.NaN);
  return {
    pss: rounded(kb('Pss') / 1024, 1),
    rss: rounded(kb('Rss') / 1024, 1),
    private: rounded((kb('Private_Clean') + kb('Private_Dirty')) / 1024, 1),
  };
}

/** Where it was measured: figures of different machines do not compare. */
export const machine = () => ({
  cpus: cpus().length,
  model: cpus()[0]?.model,
  memoryGiB: Math.round(totalmem() / 1024 ** 3),
  kernel: release(),
  node: process.versions.node,
});

/** Processes that wanted a processor over the last minute; more than there are processors, and times are upper bounds. */
export const load = (): number => rounded(Number(readFileSync('/proc/loadavg', 'utf8').split(' ')[0]), 2);
