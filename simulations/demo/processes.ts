import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';

/**
 * Memory knobs for an edge box, measured on this demo's agents (PSS, CPU seconds a minute). One-megabyte semi-spaces, one
 * V8 worker thread and one malloc arena keep the process from growing with the number of cores. `--optimize-for-size`
 * takes 5 to 17 MB off an agent for 5 % more CPU time. The old space may not be smaller: an agent with the OPC UA
 * client lives on 55 MB of heap, and at 64 MB it died while it loaded it.
 */
export const edgeBoxKnobs = [
  '--max-old-space-size=128',
  '--max-semi-space-size=1',
  '--v8-pool-size=1',
  '--optimize-for-size',
];
export const edgeBoxEnv = { MALLOC_ARENA_MAX: '1' };

export interface Spawned {
  readonly name: string;
  readonly pid: number;
  /** Parsed JSON lines of its standard output, as they came; bounded. */
  readonly said: readonly Record<string, unknown>[];
  readonly exited: Promise<{ readonly code: number | null; readonly signal: string | null }>;
  running(): boolean;
  /** One JSON line on its standard input. */
  tell(line: object): void;
  /** Closes its standard input, which tells it to end. */
  endInput(): void;
  kill(signal: NodeJS.Signals): void;
  /** The first output line that satisfies, or a rejection that quotes the end of the log. */
  says(accept: (line: Record<string, unknown>) => boolean, withinMs: number): Promise<Record<string, unknown>>;
}

export interface SpawnOptions {
  readonly name: string;
  readonly script: string;
  readonly args: readonly string[];
  readonly knobs?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd: string;
  /** Standard error goes here, appended. */
  readonly logFile: string;
}

/**
 * One of the demo's processes. Its standard input stays open for as long as the starter lives: every process of the
 * demo ends when that pipe closes, so a starter that is killed takes all with it.
 */
export function spawnNode(options: SpawnOptions, onStart: (pid: number) => void): Spawned {
  const log = openSync(options.logFile, 'a', 0o600);
  const child: ChildProcess = spawn(process.execPath, [...(options.knobs ?? []), options.script, ...options.args], {
    cwd: options.cwd,
    env: { ...baseEnv(), ...options.env },
    stdio: ['pipe', 'pipe', log],
    // Ctrl-C in the terminal reaches the whole foreground group; the starter alone decides the order of the end.
    detached: true,
  });
  closeSync(log);
  const pid = child.pid;
  if (pid === undefined) throw new Error(`${options.name} could not be started`);
  onStart(pid);
  child.stdin?.on('error', () => {});
  const said: Record<string, unknown>[] = [];
  const waiting = new Set<(line: Record<string, unknown>) => void>();
  const lines = child.stdout && createInterface({ input: child.stdout });
  lines?.on('line', (text) => {
    let line: Record<string, unknown>;
    try {
      line = JSON.parse(text) as Record<string, unknown>;
    } catch {
      return;
    }
    said.push(line);
    if (said.length > 1000) said.shift();
    for (const wait of waiting) wait(line);
  });
  let ended = false;
  const exited = new Promise<{ code: number | null; signal: string | null }>((resolve) => {
    child.once('exit', (code, signal) => {
      ended = true;
      resolve({ code, signal });
    });
  });
  const logTail = () => {
    const tail = readFileSync(options.logFile, 'utf8').trimEnd().split('\n').slice(-12).join('\n');
    return tail === '' ? 'its log is empty: this machine may have too much to do' : tail;
  };
  return {
    name: options.name,
    pid,
    said,
    exited,
    running: () => !ended,
    tell: (line) => {
      if (!ended) child.stdin?.write(`${JSON.stringify(line)}\n`);
    },
    endInput: () => child.stdin?.end(),
    kill: (signal) => {
      if (!ended) child.kill(signal);
    },
    says: (accept, withinMs) =>
      new Promise((resolve, reject) => {
        const known = said.find(accept);
        if (known) return resolve(known);
        const done = (settle: () => void) => {
          clearTimeout(timer);
          waiting.delete(look);
          settle();
        };
        const look = (line: Record<string, unknown>) => {
          if (accept(line)) done(() => resolve(line));
        };
        const timer = setTimeout(
          () => done(() => reject(new Error(`${options.name} was not ready within ${withinMs} ms:\n${logTail()}`))),
          withinMs,
        );
        waiting.add(look);
        exited.then(({ code, signal }) =>
          done(() => reject(new Error(`${options.name} ended (${signal ?? code}) before it was ready:\n${logTail()}`))),
        );
      }),
  };
}

/** Only what a process needs: no inherited NODE_OPTIONS, no npm variables, no secrets of the caller. */
export function baseEnv(): Record<string, string> {
  const kept: Record<string, string> = {};
  for (const name of ['PATH', 'HOME', 'LANG', 'TZ', 'TMPDIR', 'MILLWRIGHT_LOG', 'NODE_COMPILE_CACHE']) {
    const value = process.env[name];
    if (value !== undefined) kept[name] = value;
  }
  return kept;
}

/** Start time of a process in clock ticks since boot: with the pid, its identity (proc(5), stat field 22). */
export function startTicks(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return undefined;
  }
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  try {
    // A zombie is dead: it only waits for its parent to read the exit code.
    return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return process.platform !== 'linux';
  }
}

/** All descendants of a process, by /proc; empty where there is none. */
export function descendants(pid: number): number[] {
  const found: number[] = [];
  const visit = (parent: number) => {
    let children: string;
    try {
      children = readFileSync(`/proc/${parent}/task/${parent}/children`, 'utf8');
    } catch {
      return;
    }
    for (const child of children.split(' ').filter(Boolean).map(Number)) {
      found.push(child);
      visit(child);
    }
  };
  visit(pid);
  return found;
}
