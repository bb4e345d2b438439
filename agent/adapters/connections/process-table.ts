import { readFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { setImmediate as yieldToOthers } from 'node:timers/promises';

/** One process as `/proc/PID/stat` tells it. */
export interface ProcessRow {
  readonly pid: number;
  /** Name of the executable, cut at 15 characters by the kernel. */
  readonly comm: string;
  /** `R`unning, `S`leeping, `Z`ombie … */
  readonly state: string;
  readonly parent: number;
  /** Process group. */
  readonly group: number;
  /** Clock ticks between the box's boot and this process's start: with the pid, its identity within one boot. */
  readonly startTicks: number;
}

/** The name in parentheses may itself hold spaces and parentheses: only the last closing one ends it. */
export function parseStat(text: string): ProcessRow | undefined {
  const open = text.indexOf('(');
  const close = text.lastIndexOf(')');
  if (open < 0 || close < open) return undefined;
  const fields = text.slice(close + 2).split(' ');
  const pid = Number.parseInt(text, 10);
  const startTicks = Number(fields[19]);
  if (!Number.isSafeInteger(pid) || !Number.isFinite(startTicks)) return undefined;
  return {
    pid,
    comm: text.slice(open + 1, close),
    state: fields[0] ?? '?',
    parent: Number(fields[1]),
    group: Number(fields[2]),
    startTicks,
  };
}

/** The process with this number now, or undefined when there is none (or no procfs). */
export function readProcess(pid: number, proc = '/proc'): ProcessRow | undefined {
  try {
    return parseStat(readFileSync(`${proc}/${pid}/stat`, 'utf8'));
  } catch {
    return undefined;
  }
}

/**
 * All processes of the box; those that end meanwhile are left out. Reading procfs never waits for a disk, so it is done
 * synchronously (ten times cheaper than through the thread pool), some dozens at a time.
 */
export async function listProcesses(proc = '/proc', signal?: AbortSignal): Promise<ProcessRow[]> {
  const rows: ProcessRow[] = [];
  const names = (await readdir(proc)).filter((name) => /^\d+$/.test(name));
  for (let i = 0; i < names.length && !signal?.aborted; i++) {
    if (i % 64 === 63) await yieldToOthers();
    const row = readProcess(Number(names[i]), proc);
    if (row !== undefined) rows.push(row);
  }
  return rows;
}

/** The only child of a process, by the kernel's own list; undefined while there is none. */
export function onlyChild(pid: number, proc = '/proc'): number | undefined {
  try {
    const first = readFileSync(`${proc}/${pid}/task/${pid}/children`, 'utf8').trim().split(' ')[0];
    const child = Number(first);
    return first !== undefined && first !== '' && Number.isSafeInteger(child) ? child : undefined;
  } catch {
    return undefined;
  }
}

/** Identity of the box's boot; an empty text where the kernel has none. */
export function hostBoot(proc = '/proc'): string {
  try {
    return readFileSync(`${proc}/sys/kernel/random/boot_id`, 'utf8').trim();
  } catch {
    return '';
  }
}
