import { readFile, readlink } from 'node:fs/promises';
import { basename } from 'node:path';
import type { CheckObservation } from '../../core/health/check.ts';
import { listProcesses } from '../connections/process-table.ts';
import type { ProcessState } from '../duty-runners/process.ts';
import { judged, notKnown, type ProbeContext } from './probe.ts';

/** The process of a duty: running is good, ended is bad, and a duty that is not held here cannot be judged here. */
export function dutyProcessProbe(name: string, state: ProcessState | undefined): CheckObservation {
  if (state === undefined) return notKnown(`${name} is not held by this agent`);
  if (state.running) return judged('ok', `${name} runs${state.pid === undefined ? '' : ` as process ${state.pid}`}`);
  return judged('crit', `${name} does not run: ${state.exit?.reason ?? 'not started yet'}`);
}

/** Any process by the name of its executable (`mosquitto`), also when it runs under another first argument. */
export async function processNameProbe(name: string, { roots, signal }: ProbeContext): Promise<CheckObservation> {
  const rows = (await listProcesses(roots.proc, signal)).filter((row) => row.state !== 'Z' && row.state !== 'X');
  const found: number[] = [];
  for (const row of rows) {
    if (signal.aborted) break;
    // The kernel keeps 15 characters; a thread's own title may differ, so the executable and argv[0] are asked too.
    const short = row.comm === name.slice(0, 15);
    if (short && name.length <= 15) found.push(row.pid);
    else if (await isExecutable(roots.proc, row.pid, name)) found.push(row.pid);
  }
  if (found.length === 0) return judged('crit', `no process ${name}`);
  return judged(
    'ok',
    found.length === 1 ? `${name} runs as process ${found[0]}` : `${name} runs ${found.length} times`,
  );
}

async function isExecutable(proc: string, pid: number, name: string): Promise<boolean> {
  try {
    const path = await readlink(`${proc}/${pid}/exe`);
    if (basename(path).replace(/ \(deleted\)$/, '') === name) return true;
  } catch {
    // A kernel thread, another user's process, or one that has ended.
  }
  try {
    const first = (await readFile(`${proc}/${pid}/cmdline`, 'utf8')).split('\0', 1)[0] ?? '';
    return first !== '' && basename(first) === name;
  } catch {
    return false;
  }
}
