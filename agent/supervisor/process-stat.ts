import { readdirSync, readFileSync } from 'node:fs';

/** One process as proc(5) tells it; its number and start together are its identity within one boot. */
export interface Stat {
  /** `R`unning, `S`leeping, `D`: waiting in the kernel, `Z`ombie … */
  readonly state: string;
  readonly parent: number;
  readonly group: number;
  readonly startTicks: number;
}

/** Undefined: there is no such process. */
export function readStat(pid: number): Stat | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The name in parentheses may itself hold some: only the last closing one ends it.
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    const startTicks = Number(fields[19]);
    if (!Number.isFinite(startTicks)) return undefined;
    return { state: fields[0] ?? '?', parent: Number(fields[1]), group: Number(fields[2]), startTicks };
  } catch {
    return undefined;
  }
}

/** Whether this very process has not ended; a zombie has. */
export function isAlive(pid: number, startTicks: number): boolean {
  const stat = readStat(pid);
  return stat?.startTicks === startTicks && !isOver(stat);
}

/**
 * Living processes that were started with this variable at this value, wherever they have moved since: groups and
 * sessions are left with one call, an environment is inherited. Those of other users are not seen.
 */
export function startedWith(variable: string, value: string): number[] {
  const entry = `${variable}=${value}`;
  try {
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .map(Number)
      .filter((pid) => {
        try {
          return readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0').includes(entry) && !isOver(readStat(pid));
        } catch {
          return false;
        }
      });
  } catch {
    return [];
  }
}

const isOver = (stat: Stat | undefined): boolean => stat === undefined || stat.state === 'Z' || stat.state === 'X';

export function childrenOf(pid: number): number[] {
  try {
    const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').trim();
    return text === '' ? [] : text.split(' ').map(Number);
  } catch {
    return [];
  }
}

export function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // It ended meanwhile.
  }
}

/** A process group, by its leader's number. */
export function signalGroup(leader: number, name: NodeJS.Signals): void {
  if (leader > 1) signal(-leader, name);
}

export function hostBoot(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
  } catch {
    return '';
  }
}
