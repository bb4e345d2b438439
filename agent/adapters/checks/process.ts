import { readFileSync, readlinkSync } from 'node:fs';
import { basename } from 'node:path';
import { setImmediate as yieldToOthers } from 'node:timers/promises';
import type { CheckObservation } from '../../core/health/check.ts';
import { listProcesses, type ProcessRow, readProcess } from '../connections/process-table.ts';
import type { ProcessState } from '../duty-runners/process.ts';
import { judged, notKnown, type ProbeContext } from './probe.ts';

/**
 * The process of a duty: running is good, ended is bad. A duty that is not held here cannot be judged here, nor one whose
 * program is only being started: a box with much to do takes seconds for that, and there is nothing to repair.
 */
export function dutyProcessProbe(name: string, state: ProcessState | undefined): CheckObservation {
  if (state === undefined) return notKnown(`${name} is not held by this agent`);
  if (state.running) return judged('ok', `${name} runs${state.pid === undefined ? '' : ` as process ${state.pid}`}`);
  if (state.generation === 0) return notKnown(`${name} is being started`);
  return judged('crit', `${name} does not run: ${state.exit?.reason ?? 'it has just ended'}`);
}

/**
 * Any process by the name of its executable (`mosquitto`), also when it runs under another first argument. The one that
 * was found is looked at first the next time: going through all processes costs milliseconds, and is for bad days.
 */
export function createProcessNameProbe(name: string): (context: ProbeContext) => Promise<CheckObservation> {
  let known: ProcessRow | undefined;
  const good = (row: ProcessRow) => judged('ok', `${name} runs as process ${row.pid}`);
  return async ({ roots, signal }) => {
    if (known !== undefined) {
      const now = readProcess(known.pid, roots.proc);
      if (now?.startTicks === known.startTicks && runs(now) && isCalled(roots.proc, now, name)) return good(known);
    }
    known = undefined;
    const rows = (await listProcesses(roots.proc, signal)).filter(runs);
    // By the kernel's short name first: it is at hand, and right for nearly all.
    rows.sort((a, b) => Number(b.comm === name.slice(0, 15)) - Number(a.comm === name.slice(0, 15)));
    for (const [i, row] of rows.entries()) {
      if (i % 64 === 63) await yieldToOthers();
      if (signal.aborted) return notKnown('cancelled');
      if (!isCalled(roots.proc, row, name)) continue;
      known = row;
      return good(row);
    }
    return judged('crit', `no process ${name}`);
  };
}

const runs = (row: ProcessRow): boolean => row.state !== 'Z' && row.state !== 'X';

/** The kernel keeps 15 characters of a name, and programs rename themselves: the executable and argv[0] count too. */
function isCalled(proc: string, row: ProcessRow, name: string): boolean {
  if (row.comm === name) return true;
  try {
    const path = readlinkSync(`${proc}/${row.pid}/exe`);
    if (basename(path).replace(/ \(deleted\)$/, '') === name) return true;
  } catch {
    // A kernel thread, another user's process, or one that has ended.
  }
  try {
    const first = readFileSync(`${proc}/${row.pid}/cmdline`, 'utf8').split('\0', 1)[0] ?? '';
    return first !== '' && basename(first) === name;
  } catch {
    return false;
  }
}
