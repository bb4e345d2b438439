import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/**
 * What processes leave behind, read from /proc (proc(5)): who lives, who is whose child, who listens. A process is its
 * pid and its start time, a listening socket its inode; so neither a recycled pid nor a recycled port deceives.
 */
export interface Trace {
  readonly processes: Map<number, { readonly ticks: string; readonly command: string }>;
  /** Inode of a listening TCP socket → its port. */
  readonly sockets: Map<string, number>;
}

export const emptyTrace = (): Trace => ({ processes: new Map(), sockets: new Map() });

/** Adds to the trace what lives now below these processes, and whatever names `folder`; themselves included. */
export function follow(trace: Trace, roots: readonly number[], folder?: string): void {
  const found = new Set<number>();
  const visit = (pid: number): void => {
    if (found.has(pid)) return;
    found.add(pid);
    for (const child of (read(`/proc/${pid}/task/${pid}/children`) ?? '').split(' ').filter(Boolean)) {
      visit(Number(child));
    }
  };
  for (const pid of [...roots, ...trace.processes.keys()]) if (isRunning(pid)) visit(pid);
  if (folder !== undefined) for (const pid of namedBy(folder)) visit(pid);
  found.delete(process.pid);
  for (const pid of found) {
    const ticks = startTicks(pid);
    if (ticks === undefined) continue;
    const command = (read(`/proc/${pid}/cmdline`) ?? '').replaceAll('\0', ' ').slice(0, 1_000);
    // One that is just ending has no command line any more.
    if (command !== '' || !trace.processes.has(pid)) trace.processes.set(pid, { ticks, command });
  }
  const listening = listeners();
  for (const pid of found) {
    for (const inode of socketsOf(pid)) {
      const port = listening.get(inode);
      if (port !== undefined) trace.sockets.set(inode, port);
    }
  }
}

/** What of the trace is still there: commands that run, ports that are listened at. Both empty: nothing stayed. */
export function remains(trace: Trace): { readonly processes: string[]; readonly ports: number[] } {
  const listening = listeners();
  return {
    processes: [...trace.processes]
      .filter(([pid, { ticks }]) => isRunning(pid) && startTicks(pid) === ticks)
      .map(([pid, { command }]) => `${pid} ${command}`),
    ports: [...trace.sockets].filter(([inode]) => listening.has(inode)).map(([, port]) => port),
  };
}

/** A zombie is dead: it only waits for its parent to read the exit code. */
export function isRunning(pid: number): boolean {
  const stat = read(`/proc/${pid}/stat`);
  return stat !== undefined && !/\) [ZX] /.test(stat);
}

/** Field 22 of the stat file: start in clock ticks since boot. */
function startTicks(pid: number): string | undefined {
  const stat = read(`/proc/${pid}/stat`);
  return stat?.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
}

/** Processes that have the folder in their command line, their environment or as their place. */
function namedBy(folder: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => pid !== process.pid)
    .filter((pid) => {
      const told = `${read(`/proc/${pid}/cmdline`) ?? ''}\0${read(`/proc/${pid}/environ`) ?? ''}`;
      return told.includes(folder) || (link(`/proc/${pid}/cwd`) ?? '').startsWith(folder);
    });
}

function listeners(): Map<string, number> {
  const found = new Map<string, number>();
  for (const file of ['/proc/net/tcp', '/proc/net/tcp6']) {
    for (const line of (read(file) ?? '').split('\n').slice(1)) {
      const fields = line.trim().split(/\s+/);
      const [local, state, inode] = [fields[1], fields[3], fields[9]];
      if (state !== '0A' || local === undefined || inode === undefined) continue;
      found.set(inode, Number.parseInt(local.slice(local.lastIndexOf(':') + 1), 16));
    }
  }
  return found;
}

function socketsOf(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/fd`).flatMap(
      (fd) => /^socket:\[(\d+)\]$/.exec(link(`/proc/${pid}/fd/${fd}`) ?? '')?.[1] ?? [],
    );
  } catch {
    return [];
  }
}

function read(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}

function link(file: string): string | undefined {
  try {
    return readlinkSync(file);
  } catch {
    return undefined;
  }
}
