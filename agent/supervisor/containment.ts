import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { findProgram } from './program.ts';
import type { ContainmentKind } from './protocol.ts';

/**
 * How the processes of a duty are held together, so that all of them can be killed and so that it is *known* when the
 * last is gone. Two means, both when the box has both:
 *
 * - A **cgroup** (v2, with cgroup.kill, Linux 5.14): one write kills all that was ever forked in it, and cgroup.events
 *   says whether anything is left.
 * - A **process namespace**, `setpriv --pdeathsig KILL unshare --pid --fork --kill-child=KILL`: dies with the
 *   supervisor, which the cgroup alone does not. The kernel ends the namespace's first process only after all others
 *   are gone, so its end says the same as `populated 0`. That first process is `timeout --foreground 0`, a plain
 *   waiter, since the kernel ignores signals without a handler for the first process of a namespace.
 *
 * With neither, duties run under a parent death signal at best, and nothing is ever certified.
 */
export interface Containment {
  readonly kind: ContainmentKind;
  /** Before a duty's argument vector. */
  readonly prefix: readonly string[];
  /** How many generations below the spawned process the program itself is. */
  readonly depth: number;
  /** Folder for one cgroup per duty; undefined where there is none. */
  readonly cgroups: CgroupHome | undefined;
  /** In words. */
  readonly why: string;
}

export interface CgroupHome {
  /** The cgroup that the supervisor lives in. */
  readonly home: string;
  /** Parent of the duties' cgroups. */
  readonly folder: string;
}

/** Whether the end of everything that a duty forked can be known at all. */
export const isTight = (kind: ContainmentKind): boolean => kind !== 'parent-death' && kind !== 'none';

/** Full paths, since the PATH that counts at a spawn is the duty's own. */
const tool = (name: string): string => findProgram(name, process.env['PATH'] ?? '', '/').path ?? name;
const deathSignal = [tool('setpriv'), '--pdeathsig', 'KILL'];
const namespace = [tool('unshare'), '--pid', '--fork', '--kill-child=KILL'];
const asMyself = ['--user', '--map-current-user'];
const waiter = [tool('timeout'), '--foreground', '0'];

/** Before the agent's argument vector: it dies with the supervisor. */
export const agentPrefix = (containment: Containment): readonly string[] =>
  containment.prefix.slice(0, deathSignal.length);

/** What to leave out, where the strongest is not wanted (a test, a kernel with a fault). */
export type Without = 'cgroup' | 'namespace';

/** Finds by trial what this box permits. About 20 ms, once. */
export function findContainment(name: string, without: readonly Without[] = []): Containment {
  const refusals: string[] = [];
  let cgroups: CgroupHome | undefined;
  if (without.includes('cgroup')) refusals.push('cgroups are switched off');
  else {
    const found = findCgroups(name);
    if (typeof found === 'string') refusals.push(found);
    else cgroups = found;
  }
  if (without.includes('namespace')) refusals.push('namespaces are switched off');
  for (const flags of without.includes('namespace') ? [] : [[], asMyself]) {
    const prefix = [...deathSignal, ...namespace, ...flags, ...waiter];
    const refusal = trial(prefix);
    if (refusal === undefined) {
      const kind = cgroups === undefined ? 'namespace' : 'cgroup+namespace';
      const why = [cgroups === undefined ? 'a process namespace' : 'a cgroup and a process namespace', ...refusals];
      return { kind, prefix, depth: 2, cgroups, why: why.join('; ') };
    }
    refusals.push(`no process namespace: ${refusal}`);
  }
  const refusal = trial(deathSignal);
  const prefix = refusal === undefined ? deathSignal : [];
  if (refusal !== undefined) refusals.push(`no parent death signal: ${refusal}`);
  const kind = cgroups !== undefined ? 'cgroup' : refusal === undefined ? 'parent-death' : 'none';
  return { kind, prefix, depth: 0, cgroups, why: refusals.join('; ') };
}

function trial(prefix: readonly string[]): string | undefined {
  if (process.platform !== 'linux') return `${process.platform} has none`;
  const [program = '', ...rest] = prefix;
  const { status, stderr, error } = spawnSync(program, [...rest, 'true'], { timeout: 5_000, encoding: 'utf8' });
  if (status === 0) return undefined;
  return (stderr ?? '').trim().slice(0, 200) || error?.message.slice(0, 200) || `exit code ${status}`;
}

/** The supervisor's own cgroup v2 folder, if it may make others below it; else why not. */
function findCgroups(name: string): CgroupHome | string {
  const home = ownCgroup();
  if (home === undefined) return 'no cgroup2 file system is mounted';
  const folder = folderOf(home, name);
  const probe = `${folder}/trial-${process.pid}`;
  try {
    mkdirSync(probe, { recursive: true });
    readFileSync(`${probe}/cgroup.events`, 'latin1');
    writeFileSync(`${probe}/cgroup.kill`, '1');
    enter(probe);
    enter(home);
    rmdirSync(probe);
    return { home, folder };
  } catch (error) {
    try {
      enter(home);
      rmdirSync(probe);
    } catch {
      // What could not be made cannot be removed.
    }
    return `no cgroup of one's own: ${(error as Error).message}`;
  }
}

const folderOf = (home: string, name: string): string => `${home}/millwright-${name.replaceAll(/[^\w.-]/g, '_')}`;

/** Removes the empty cgroups of a supervisor that is gone and will not come again. */
export function sweepCgroups(name: string): void {
  const home = ownCgroup();
  if (home === undefined) return;
  const cgroups = { home, folder: folderOf(home, name) };
  for (const path of listCgroups(cgroups)) removeCgroup(path);
  removeCgroup(cgroups.folder);
}

function ownCgroup(): string | undefined {
  try {
    const path = readFileSync('/proc/self/cgroup', 'latin1').match(/^0::(\/.*)$/m)?.[1];
    for (const line of readFileSync('/proc/self/mountinfo', 'latin1').split('\n')) {
      const [left = '', right = ''] = line.split(' - ');
      if (!right.startsWith('cgroup2 ')) continue;
      const [, , , root = '/', mount = ''] = left.split(' ');
      if (path === undefined || !path.startsWith(root === '/' ? '' : root)) continue;
      return `${mount}${root === '/' ? path : path.slice(root.length)}`.replace(/\/$/, '');
    }
  } catch {
    // No procfs.
  }
  return undefined;
}

const enter = (cgroup: string): void => writeFileSync(`${cgroup}/cgroup.procs`, '0');

/**
 * Runs `fork` with this process inside another cgroup, and comes back. A child belongs to the cgroup that its parent
 * is in at the fork, so it is in its place before its first instruction and no gate is needed in front of the program.
 * All synchronous, and nobody but this process kills that cgroup. A supervisor that cannot come back must not live on:
 * it would kill itself with the duty.
 */
export function forkInside<T>(cgroups: CgroupHome, cgroup: string, fork: () => T): T {
  enter(cgroup);
  try {
    return fork();
  } finally {
    try {
      enter(cgroups.home);
    } catch (error) {
      process.stderr.write(`the supervisor cannot return to ${cgroups.home}: ${(error as Error).message}\n`);
      process.exit(70);
    }
  }
}

/** Makes an empty cgroup; throws where the kernel refuses. */
export function makeCgroup(cgroups: CgroupHome, name: string): string {
  const path = `${cgroups.folder}/${name}`;
  mkdirSync(path, { recursive: true });
  return path;
}

export function killCgroup(path: string): void {
  try {
    writeFileSync(`${path}/cgroup.kill`, '1');
  } catch {
    // Gone already.
  }
}

/** Whether a process is in it, killed ones that the kernel still holds included. A cgroup that is gone is empty. */
export function isPopulated(path: string): boolean {
  try {
    return !readFileSync(`${path}/cgroup.events`, 'latin1').includes('populated 0');
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ENOENT' && (error as NodeJS.ErrnoException).code !== 'ENODEV';
  }
}

export function removeCgroup(path: string): void {
  try {
    rmdirSync(path);
  } catch {
    // Someone sits in it again or still; the next start of the supervisor sweeps.
  }
}

/** Duty cgroups that are there, whoever made them. */
export function listCgroups(cgroups: CgroupHome): string[] {
  try {
    return readdirSync(cgroups.folder, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => `${cgroups.folder}/${entry.name}`);
  } catch {
    return [];
  }
}
