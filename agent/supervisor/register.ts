import { lstatSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { type CgroupHome, isPopulated, killCgroup, listCgroups, removeCgroup } from './containment.ts';
import { monotonic } from './elapsed.ts';
import { childrenOf, hostBoot, isAlive, readStat, signal, signalGroup, startedWith } from './process-stat.ts';

/** A process by number and start. */
export interface Mark {
  readonly pid: number;
  readonly startTicks: number;
}

interface Contents {
  readonly boot: string;
  readonly supervisor: Mark;
  /** In the environment of all that it starts. Written before the first start, so nothing begins unregistered. */
  readonly life: string;
  /** Heads of process groups. */
  readonly leaders: readonly Mark[];
}

/**
 * What runs here, on a memory file system: the next supervisor kills what outlived this one where the kernel could not
 * be asked to, and two at a time are refused. A process is its number, its start and the box's boot together, so a
 * reused number is never hit; a group without its leader is known by the mark in its environment.
 */
export class Register {
  readonly #path: string;
  readonly #boot = hostBoot();
  /** What `lifeVariable` says in every process of this supervisor's: one process of one boot has it, ever. */
  readonly life = `${this.#boot}.${process.pid}.${readStat(process.pid)?.startTicks ?? monotonic()}`;

  constructor(folder: string) {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const { uid } = lstatSync(folder);
    if (process.getuid !== undefined && uid !== process.getuid()) throw new Error(`it belongs to user ${uid}`);
    this.#path = `${folder}/register.json`;
  }

  read(): Contents | undefined {
    try {
      const it = JSON.parse(readFileSync(this.#path, 'utf8')) as Partial<Contents>;
      if (it.boot !== this.#boot || it.boot === '' || !isMark(it.supervisor) || !Array.isArray(it.leaders))
        return undefined;
      const life = typeof it.life === 'string' ? it.life : '';
      return { boot: it.boot, supervisor: it.supervisor, life, leaders: it.leaders.filter(isMark).slice(0, 1_024) };
    } catch {
      return undefined;
    }
  }

  /** The living supervisor that the register belongs to, if it is another one. */
  owner(): number | undefined {
    const other = this.read()?.supervisor;
    if (other === undefined || other.pid === process.pid) return undefined;
    return isAlive(other.pid, other.startTicks) ? other.pid : undefined;
  }

  write(leaders: readonly Mark[]): void {
    const own = readStat(process.pid);
    if (own === undefined) return;
    const contents: Contents = {
      boot: this.#boot,
      supervisor: { pid: process.pid, startTicks: own.startTicks },
      life: this.life,
      leaders,
    };
    try {
      writeFileSync(`${this.#path}.new`, JSON.stringify(contents), { mode: 0o600 });
      renameSync(`${this.#path}.new`, this.#path);
    } catch {
      // The register is the second line of defence; the first is the kernel's.
    }
  }
}

/**
 * Kills what an earlier supervisor of this name left behind: what stands now, and nothing that begins later. Returns
 * what is still there, to be asked again; each call kills again.
 */
export function killLeftovers(register: Register, cgroups: CgroupHome | undefined, name: string): () => string[] {
  const former = register.read();
  /** Empty once nothing of that life is left: only what lives can start more of it. */
  let life = former?.life ?? '';
  const groups = (former?.leaders ?? [])
    .map(({ pid, startTicks }) => ({ pid, startTicks, firsts: childrenOf(pid).flatMap(markOf) }))
    .filter(({ pid, startTicks }) => isAlive(pid, startTicks) || groupIsOf(pid, name));
  let cgroupsLeft = cgroups === undefined ? [] : listCgroups(cgroups);
  let groupsLeft = groups;
  return () => {
    groupsLeft = groupsLeft.filter(({ pid, firsts }) => {
      // First processes of namespaces by themselves too: they may have left the group.
      const living = firsts.filter((first) => isAlive(first.pid, first.startTicks));
      for (const first of living) signal(first.pid, 'SIGKILL');
      signalGroup(pid, 'SIGKILL');
      return living.length > 0 || members(pid).length > 0;
    });
    cgroupsLeft = cgroupsLeft.filter((path) => {
      if (!isPopulated(path)) {
        removeCgroup(path);
        return false;
      }
      killCgroup(path);
      return true;
    });
    const strays = life === '' ? [] : startedWith(lifeVariable, life);
    for (const pid of strays) signal(pid, 'SIGKILL');
    if (strays.length === 0) life = '';
    return [
      ...groupsLeft.map(({ pid }) => `process group ${pid}`),
      ...cgroupsLeft.map((path) => `cgroup ${path}`),
      ...strays.map((pid) => `process ${pid}`),
    ];
  };
}

const markOf = (pid: number): Mark[] => {
  const startTicks = readStat(pid)?.startTicks;
  return startTicks === undefined ? [] : [{ pid, startTicks }];
};

/** Name of the variable that marks every duty process with its supervisor's name. */
export const markVariable = 'MILLWRIGHT_SUPERVISOR';

/** Name of the variable that marks it with its supervisor's very life. */
export const lifeVariable = 'MILLWRIGHT_SUPERVISOR_LIFE';

/** Living processes of a group. */
function members(group: number): number[] {
  try {
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .map(Number)
      .filter((pid) => {
        const stat = readStat(pid);
        return stat?.group === group && stat.state !== 'Z' && stat.state !== 'X';
      });
  } catch {
    return [];
  }
}

function groupIsOf(group: number, name: string): boolean {
  return members(group).some((pid) => {
    try {
      return readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0').includes(`${markVariable}=${name}`);
    } catch {
      return false;
    }
  });
}

const isMark = (value: unknown): value is Mark => {
  const it = value as Partial<Mark> | null | undefined;
  return typeof it === 'object' && it !== null && Number.isSafeInteger(it.pid) && Number.isFinite(it.startTicks);
};
