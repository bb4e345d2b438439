import { execFile } from 'node:child_process';

/**
 * How a child is made to die with its agent, even when the agent is killed with SIGKILL. It is a prefix of the
 * argument vector, from util-linux and coreutils, so that no native code of ours is needed.
 *
 * `whole` is for the processes of duties, which must leave nothing behind:
 *
 * - `namespace`: `setpriv --pdeathsig KILL` binds `unshare` to the agent's life, and `unshare --pid
 *   --kill-child=KILL` binds a process namespace to its own. When the first process of a namespace dies, the kernel
 *   kills all the others, whatever sessions or groups they made. That first process is `timeout --foreground 0`, a
 *   plain waiter: were it the program itself, the kernel would ignore every signal that the program has no handler
 *   for, SIGTERM too. Who is not root gets the same in a user namespace, where the kernel allows one (setuid programs
 *   do not work in it). Inside, the program sees its own small process number; ours is the box's.
 * - `parent-death`: no namespace is allowed. The program itself dies with the agent; what it forked may live on until
 *   the agent's next start, which kills the process group by its register.
 * - `none`: not Linux, or no util-linux. The register alone: leftovers live until the agent's next start.
 *
 * `single` is for commands and plugins: the one program dies with the agent, but a daemon that a repair started
 * (`/etc/init.d/x restart`) rightly outlives both.
 *
 * The parent death signal belongs to the *thread* that forked. Node forks in the thread that calls `spawn`, so
 * children must be started in the main thread: a worker's end would kill them. An agent that dies within the one
 * millisecond between fork and `prctl` is too early for the signal; the register covers that.
 */
export interface Containment {
  readonly kind: 'namespace' | 'parent-death' | 'none';
  readonly whole: readonly string[];
  readonly single: readonly string[];
  /** How many generations below the spawned process the program itself is, under `whole`. */
  readonly depth: number;
  /** In words, for the doctor. */
  readonly why: string;
}

const deathSignal = ['setpriv', '--pdeathsig', 'KILL'];
const namespace = ['unshare', '--pid', '--fork', '--kill-child=KILL'];
const asMyself = ['--user', '--map-current-user'];
const waiter = ['timeout', '--foreground', '0'];

export const noContainment = (why: string): Containment => ({ kind: 'none', whole: [], single: [], depth: 0, why });

/** Finds by trial what this box permits: strongest first. About 10 ms, once per life of an agent. */
export async function findContainment(): Promise<Containment> {
  if (process.platform !== 'linux') return noContainment(`${process.platform} has no parent death signal`);
  const refusals: string[] = [];
  for (const flags of [[], asMyself]) {
    const whole = [...deathSignal, ...namespace, ...flags, ...waiter];
    const refusal = await trial(whole);
    if (refusal === undefined) {
      const why = flags.length === 0 ? 'a process namespace' : 'a process namespace in a user namespace';
      return { kind: 'namespace', whole, single: deathSignal, depth: 2, why };
    }
    refusals.push(refusal);
  }
  const refusal = await trial(deathSignal);
  if (refusal === undefined) {
    const why = `parent death signal only: ${refusals.at(-1)}`;
    return { kind: 'parent-death', whole: deathSignal, single: deathSignal, depth: 0, why };
  }
  return noContainment(refusal);
}

const trial = (prefix: readonly string[]): Promise<string | undefined> =>
  new Promise((resolve) => {
    const [program = '', ...rest] = prefix;
    execFile(program, [...rest, 'true'], { timeout: 5_000 }, (error, _stdout, stderr) => {
      resolve(error === null ? undefined : stderr.trim().slice(0, 200) || error.message.slice(0, 200));
    });
  });
