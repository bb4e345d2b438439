import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { DutyIndex } from '../../base/ids.ts';
import { err, ok, type Result } from '../../base/result.ts';
import type { Instant, WallTime } from '../../base/time.ts';
import type { DutySpec } from '../../core/duties/duty.ts';
import type { Fence } from '../../core/duties/exclusive-duties.ts';
import type { ClockPort, Deliver } from '../../driver/ports.ts';
import { signal, startedWith } from '../../supervisor/process-stat.ts';
import { signalNames } from '../../supervisor/signal-names.ts';
import { BoundedOutput, lastLines } from '../connections/bounded-output.ts';
import type { Containment } from '../connections/containment.ts';
import { signalGroup } from '../connections/local.ts';
import { hostBoot, onlyChild, readProcess } from '../connections/process-table.ts';
import { childEnvironment, findProgram } from '../connections/program.ts';
import type { EffectLog } from '../effect-log.ts';
import { claimOf, type Gate, programOf } from '../gateway/claims.ts';
import { ProcessLog } from './process-log.ts';
import type { DutyRunner, Log } from './runner.ts';
import { type TokenFile, TokenFiles } from './token-files.ts';

/** The child of a `process` duty as it is known at this moment. */
export interface ProcessState {
  /** Number of the program itself on the box, not of a wrapper; undefined for the first milliseconds of a life. */
  readonly pid: number | undefined;
  readonly startedAt: WallTime;
  readonly running: boolean;
  /** Rises with every start, across restarts; within this life of the agent. */
  readonly generation: number;
  readonly exit:
    | {
        readonly code: number | undefined;
        readonly signal: string | undefined;
        readonly at: WallTime;
        /** In words, with the program's last lines. */
        readonly reason: string;
      }
    | undefined;
}

export interface ProcessRunner extends DutyRunner {
  /** State of a duty that is held here; undefined when it is not. */
  processOf(duty: DutyIndex): ProcessState | undefined;
  /**
   * Ends what runs and starts the program anew: the hand behind `process.restart`. An error is a known "not done": the
   * duty is not held here, or the program cannot be started. `signal` gives up before the new start only.
   */
  restart(duty: DutyIndex, signal?: AbortSignal): Promise<Result<ProcessState, string>>;
  /** Whether a restart of this duty is under way. */
  restarting(duty: DutyIndex): boolean;
  /** Identity of the running process (boot, number, start), for baselines; undefined when none runs. */
  identity(duty: DutyIndex): Promise<string | undefined>;
}

export interface ProcessRunnerOptions {
  /** Name of the agent, for MILLWRIGHT_AGENT. */
  readonly agent: string;
  /** Logs go to `<dataDir>/processes/<duty>.log`, the register to `<dataDir>/processes/register.json`. */
  readonly dataDir: string;
  /** Where programs start, and what relative paths in argument vectors mean. Default: the agent's own folder. */
  readonly cwd?: string;
  readonly containment: Containment;
  readonly deliver: Deliver;
  readonly clock: Pick<ClockPort, 'wall'>;
  readonly log: Log;
  /** Called after each start and each unasked-for end, so that checks need not wait for their period. */
  readonly onChange?: (duty: DutyIndex) => void;
  /** From SIGTERM to SIGKILL. Default 3000. */
  readonly graceMs?: number;
  /** Milliseconds from now to an instant of the elapsed clock; needed where duties are exclusive. */
  readonly msUntil?: (until: Instant) => number;
  readonly effectLog?: EffectLog;
  /** Refuses starts under a right that has a successor on this box. */
  readonly gate?: Gate | undefined;
}

interface Held {
  readonly duty: DutySpec;
  readonly term: number;
  fence: Fence | undefined;
  /** Where what runs now reads its token. */
  tokenFile: TokenFile | undefined;
  /** Ends an exclusive duty with its right, whatever else this agent is busy with. */
  deadline: NodeJS.Timeout | undefined;
  child: ChildProcess | undefined;
  /** Number and start of the program below its wrappers. */
  program: { readonly pid: number; readonly startTicks: number | undefined } | undefined;
  startedAt: WallTime;
  generation: number;
  exit: ProcessState['exit'];
  /** We are ending it ourselves: its exit is no news. */
  ending: boolean;
  restarts: number;
  /** Start, restart and stop of one duty go one after the other. */
  tail: Promise<unknown>;
  dropped: boolean;
}

/**
 * Keeps one child per `process` duty, and never restarts it: when it ends, the process check says CRIT, the duty
 * stays held, and a remediation decides. A runner that restarted by itself would hide the fault (lessons: endless
 * restarts masked the real one).
 *
 * Guaranteed: the child dies with the agent as far as `containment` says; one child per duty; its output is bounded
 * on disk and in memory; `stop` leaves nothing running and takes at most the grace and two seconds. Not guaranteed:
 * that the program does its work; checks judge that.
 */
export function createProcessRunner(options: ProcessRunnerOptions): ProcessRunner {
  const { containment, clock, log, deliver, graceMs = 3_000 } = options;
  const cwd = options.cwd ?? process.cwd();
  const held = new Map<DutyIndex, Held>();
  const register = new Register(join(options.dataDir, 'processes', 'register.json'));
  const boot = hostBoot();
  let generation = 0;
  const tokens = new TokenFiles(resolve(options.dataDir, 'processes', 'tokens'), log);
  for (const pid of register.killLeftovers(boot, options.agent))
    log.warn({ pid }, 'killed what a former life of this agent had left');
  // Before anything is started: from here on all of it can be found again.
  register.write([]);

  const stateOf = (entry: Held): ProcessState => ({
    pid: entry.program?.pid,
    startedAt: entry.startedAt,
    running: entry.child !== undefined,
    generation: entry.generation,
    exit: entry.exit,
  });

  const changed = (entry: Held) => {
    if (!entry.dropped) options.onChange?.(entry.duty.index);
  };

  const writeRegister = () => {
    const rows: RegisterRow[] = [];
    for (const entry of held.values()) {
      const leader = entry.child?.pid;
      const ticks = leader === undefined ? undefined : readProcess(leader)?.startTicks;
      if (leader !== undefined && ticks !== undefined) rows.push({ leader, ticks, boot });
    }
    register.write(rows);
  };

  async function spawnChild(entry: Held): Promise<Result<undefined, string>> {
    const { work } = entry.duty;
    if (work.kind !== 'process') return err('not a process duty');
    const [name = '', ...rest] = work.argv;
    const found = await findProgram(name, childEnvironment([...work.env])['PATH'] ?? '', cwd);
    if (!found.ok) return found;
    const [program = '', ...argv] = [...containment.whole, found.value, ...rest];
    const { fence } = entry;
    const tokenFile = fence && tokens.begin(entry.duty.id, fence.session, fence.token);
    const env = childEnvironment([
      ...work.env,
      ['MILLWRIGHT_DUTY', entry.duty.id],
      ['MILLWRIGHT_AGENT', options.agent],
      ['MILLWRIGHT_TERM', String(entry.term)],
      [lifeVariable, register.life],
      ...fenceEnvironment(fence, tokenFile?.path),
    ]);
    entry.tokenFile = tokenFile;
    const refused = (reason: string): Result<never, string> => {
      tokenFile?.end();
      return err(reason);
    };
    let child: ChildProcess;
    try {
      const begin = () => spawn(program, argv, { cwd, env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
      const begun = gated(entry, begin);
      if (!begun.ok) return refused(begun.error.text);
      child = begun.value;
    } catch (error) {
      return refused(error instanceof Error ? error.message : String(error));
    }
    const failed = await spawned(child);
    if (failed !== undefined) return refused(failed);

    entry.child = child;
    entry.program = undefined;
    entry.startedAt = clock.wall();
    entry.generation = ++generation;
    entry.exit = undefined;
    entry.ending = false;
    const file = new ProcessLog(join(options.dataDir, 'processes', `${fileName(entry.duty.id)}.log`));
    const output = new BoundedOutput(4_096);
    const keep = (chunk: Buffer) => {
      output.push(chunk);
      file.write(chunk);
    };
    child.stdout?.on('data', keep).on('error', () => {});
    child.stderr?.on('data', keep).on('error', () => {});
    child.once('exit', (code, signal) => {
      const asked = entry.ending;
      entry.child = undefined;
      tokenFile?.end();
      // The last lines may still be in the pipe; a grandchild may hold it open for ever.
      const settle = () => {
        clearTimeout(timer);
        child.off('close', settle);
        const how = exitOf(code, signal, containment);
        const lines = lastLines(output.captured().text);
        const reason = `${how.text}${lines === '' ? '' : `: ${lines}`}`;
        if (entry.generation === thisGeneration) entry.exit = { ...how.exit, at: clock.wall(), reason };
        child.stdout?.destroy();
        child.stderr?.destroy();
        file.close();
        // A stop has written it already, and the folder may be gone with the agent.
        if (!entry.dropped) writeRegister();
        if (asked) return;
        // Without a namespace, what the program forked still stands in its group.
        signalGroup(child.pid, 'SIGKILL');
        log.warn({ duty: entry.duty.id, reason }, 'process ended');
        if (entry.child === undefined) changed(entry);
      };
      const timer = setTimeout(settle, 50);
      child.once('close', settle);
    });
    const thisGeneration = entry.generation;
    writeRegister();
    void findOut(entry, child);
    return ok(undefined);
  }

  /** In one synchronous block with the start: the gate, then the end of the right. */
  const gated = <T>(entry: Held, begin: () => T) => {
    const { fence, duty } = entry;
    if (fence === undefined || options.gate === undefined) return ok(begin());
    const mayAct = () => options.msUntil === undefined || options.msUntil(fence.until) > 0;
    return options.gate.perform(claimOf(programOf(duty.id), fence, { mayAct }), begin);
  };

  /** What runs goes on under a larger token: it may know it once the gate does, so that it is never ahead of it. */
  const renumber = (entry: Held, token: string) => {
    const told = gated(entry, () => entry.tokenFile?.renew(token));
    if (!told.ok) log.warn({ duty: entry.duty.id, reason: told.error.text }, 'the program keeps its former token');
  };

  /** Learns the program's own number: some milliseconds pass until the wrappers have forked. */
  async function findOut(entry: Held, child: ChildProcess): Promise<void> {
    for (let round = 0; round < 400 && entry.child === child; round++) {
      let pid = child.pid;
      for (let level = 0; level < containment.depth && pid !== undefined; level++) pid = onlyChild(pid);
      if (pid !== undefined) {
        entry.program = { pid, startTicks: readProcess(pid)?.startTicks };
        return;
      }
      await sleep(round < 50 ? 2 : 10);
    }
  }

  async function endChild(entry: Held): Promise<void> {
    const { child } = entry;
    if (child === undefined) return;
    entry.ending = true;
    const over = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    const below = containment.depth > 0 && child.pid !== undefined ? onlyChild(child.pid) : undefined;
    // To the program alone where it is known: the waiter in front forwards its own SIGTERM, and two make some hurry.
    if (entry.program !== undefined && containment.kind === 'namespace') signalOne(entry.program.pid, 'SIGTERM');
    else signalGroup(child.pid, 'SIGTERM');
    if (!(await within(over, graceMs))) {
      signalGroup(child.pid, 'SIGKILL');
      await within(over, 1_000);
    }
    signalGroup(child.pid, 'SIGKILL');
    // The namespace's first process goes last: when it is gone (or a zombie), nothing of the namespace is left.
    for (let round = 0; below !== undefined && round < 100; round++) {
      const state = readProcess(below)?.state;
      if (state === undefined || state === 'Z') break;
      await sleep(10);
    }
  }

  /** No program of an exclusive duty outlives its right, as far as this process gets to run in time. */
  const armDeadline = (entry: Held) => {
    clearTimeout(entry.deadline);
    if (entry.fence === undefined || options.msUntil === undefined) return;
    entry.deadline = setTimeout(
      () => {
        entry.ending = true;
        signalGroup(entry.child?.pid, 'SIGKILL');
      },
      Math.max(0, options.msUntil(entry.fence.until)),
    );
  };

  const note = (entry: Held, effect: string) => {
    const { fence } = entry;
    if (fence === undefined) return;
    const { token, session } = fence;
    const pid = entry.child?.pid;
    options.effectLog?.append({
      at: clock.wall(),
      agent: options.agent,
      effect,
      duty: entry.duty.id,
      token,
      session,
      pid,
    });
  };

  /** One operation at a time for each duty; operations never reject. */
  const queue = <T>(entry: Held, operation: () => Promise<T>): Promise<T> => {
    const result = entry.tail.then(operation);
    entry.tail = result.catch(() => undefined);
    return result;
  };

  async function stop(duty: DutyIndex, atOnce = false): Promise<void> {
    const entry = held.get(duty);
    if (entry === undefined) return;
    entry.dropped = true;
    if (atOnce) {
      entry.ending = true;
      signalGroup(entry.child?.pid, 'SIGKILL');
    }
    await queue(entry, () => endChild(entry));
    clearTimeout(entry.deadline);
    note(entry, 'process.ended');
    if (held.get(duty) === entry) held.delete(duty);
    writeRegister();
  }

  return {
    start(duty, term, _checkpoint, fence) {
      if (held.has(duty.index)) return;
      const entry: Held = {
        duty,
        term,
        fence,
        tokenFile: undefined,
        deadline: undefined,
        child: undefined,
        program: undefined,
        startedAt: clock.wall(),
        generation: 0,
        exit: undefined,
        ending: false,
        restarts: 0,
        tail: Promise.resolve(),
        dropped: false,
      };
      held.set(duty.index, entry);
      void queue(entry, async () => {
        if (entry.dropped) return;
        const begun = await spawnChild(entry);
        if (entry.dropped) return;
        if (begun.ok) {
          armDeadline(entry);
          note(entry, 'process.started');
          deliver({ kind: 'duty-started', duty: duty.index });
          changed(entry);
        } else {
          held.delete(duty.index);
          deliver({ kind: 'duty-failed', duty: duty.index, reason: begun.error });
        }
      });
    },
    extend(duty, fence) {
      const entry = held.get(duty);
      if (entry === undefined || entry.dropped) return;
      const former = entry.fence?.token;
      entry.fence = fence;
      if (former !== fence.token) renumber(entry, fence.token);
      armDeadline(entry);
    },
    stop,
    async stopAll() {
      await Promise.all([...held.keys()].map((duty) => stop(duty)));
    },
    processOf(duty) {
      const entry = held.get(duty);
      return entry === undefined || entry.dropped ? undefined : stateOf(entry);
    },
    restarting: (duty) => (held.get(duty)?.restarts ?? 0) > 0,
    async restart(duty, signal) {
      const entry = held.get(duty);
      if (entry === undefined || entry.dropped) return err('this agent does not hold the duty');
      entry.restarts++;
      try {
        return await queue(entry, async (): Promise<Result<ProcessState, string>> => {
          await endChild(entry);
          if (entry.dropped) return err('the duty moved away meanwhile');
          if (signal?.aborted) return err('cancelled before the new start');
          const begun = await spawnChild(entry);
          if (!begun.ok) return begun;
          for (let round = 0; round < 100 && entry.program === undefined && entry.child !== undefined; round++)
            await sleep(5);
          changed(entry);
          return ok(stateOf(entry));
        });
      } finally {
        entry.restarts--;
      }
    },
    async identity(duty) {
      const entry = held.get(duty);
      if (entry === undefined || entry.dropped || entry.child === undefined) return undefined;
      for (let round = 0; round < 100 && entry.program === undefined && entry.child !== undefined; round++)
        await sleep(5);
      if (entry.child === undefined || entry.program === undefined) return undefined;
      return `${boot}/${entry.program.pid}/${entry.program.startTicks ?? entry.startedAt}`;
    },
  };
}

/**
 * What a program under a lease is told of its right; it passes the token on with every effect. The token in `tokenFile`
 * is the newest one: a program that reads it before each effect outlives a change of its token.
 */
export const fenceEnvironment = (
  fence: Pick<Fence, 'token' | 'lease' | 'session'> | undefined,
  tokenFile?: string | undefined,
): [string, string][] =>
  fence === undefined
    ? []
    : [
        ['MILLWRIGHT_TOKEN', fence.token],
        ['MILLWRIGHT_LEASE', fence.lease],
        ['MILLWRIGHT_SESSION', fence.session],
        ...(tokenFile === undefined ? [] : [['MILLWRIGHT_TOKEN_FILE', tokenFile] as [string, string]]),
      ];

/** Undefined when the process exists; else why it does not. */
const spawned = (child: ChildProcess): Promise<string | undefined> =>
  new Promise((resolve) => {
    child.once('spawn', () => resolve(undefined));
    child.once('error', (error) => resolve(error.message));
  });

const within = (promise: Promise<void>, ms: number): Promise<boolean> =>
  new Promise((resolve) => {
    const timer = setTimeout(() => resolve(false), ms);
    void promise.then(() => {
      clearTimeout(timer);
      resolve(true);
    });
  });

function signalOne(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It ended meanwhile.
  }
}

/** `press-7/label` → `press-7.label`: the parts of an id have no dots and no other characters that a disk minds. */
const fileName = (id: string): string => id.replaceAll('/', '.').replaceAll(/[^a-z0-9.-]/gi, '_');

/** The waiter in a namespace tells a signal as 128 + its number, as shells do; here it becomes a signal again. */
function exitOf(code: number | null, signal: NodeJS.Signals | null, containment: Containment) {
  const named = signal ?? (containment.depth > 0 && code !== null && code > 128 ? signalNames[code - 128] : undefined);
  const text = named === undefined ? `exit code ${code ?? '?'}` : `killed by ${named}`;
  return { text, exit: { code: named === undefined ? (code ?? undefined) : undefined, signal: named } };
}

interface RegisterRow {
  /** Leader of the process group. */
  readonly leader: number;
  readonly ticks: number;
  readonly boot: string;
}

/**
 * Which process groups this agent started, on disk: a next life kills those that outlived the last one, where the
 * kernel could not be asked to. Number, start time and boot must all agree, so a reused number is never hit; where the
 * leader is gone, its group's members are known by the group and the agent's name in their environment. All else that
 * was started and has left its group, or was forked just before the end, bears the mark of that life.
 */
class Register {
  readonly #path: string;
  readonly life = randomUUID();

  constructor(path: string) {
    this.#path = path;
  }

  killLeftovers(boot: string, agent: string): number[] {
    let former: { readonly life?: unknown; readonly rows?: unknown } | undefined;
    try {
      former = JSON.parse(readFileSync(this.#path, 'utf8')) ?? undefined;
    } catch {
      // None, or damaged: nothing is known of a former life.
    }
    const killed = new Set<number>();
    for (const row of Array.isArray(former?.rows) ? former.rows.slice(0, 1_000) : []) {
      const { leader, ticks, boot: then } = (row ?? {}) as Partial<RegisterRow>;
      if (!Number.isSafeInteger(leader) || leader === undefined || then !== boot || boot === '') continue;
      const now = readProcess(leader);
      if (now?.startTicks === ticks || (now === undefined && groupIsOf(leader, agent))) {
        signalGroup(leader, 'SIGKILL');
        killed.add(leader);
      }
    }
    if (typeof former?.life !== 'string' || former.life === '') return [...killed];
    // What forks while it is looked for is found by the next look.
    for (let look = 0; look < looksForStrays; look++) {
      const strays = startedWith(lifeVariable, former.life).filter((pid) => pid !== process.pid);
      if (strays.length === 0) break;
      for (const pid of strays) {
        signal(pid, 'SIGKILL');
        killed.add(pid);
      }
    }
    return [...killed];
  }

  write(rows: readonly RegisterRow[]): void {
    try {
      mkdirSync(dirname(this.#path), { recursive: true, mode: 0o700 });
      writeFileSync(`${this.#path}.new`, JSON.stringify({ life: this.life, rows }), { mode: 0o600 });
      renameSync(`${this.#path}.new`, this.#path);
    } catch {
      // A full disk must not keep a process from starting; the register is the second line only.
    }
  }
}

const lifeVariable = 'MILLWRIGHT_LIFE';
const looksForStrays = 10;

/** Whether a process group without its leader was started by this agent. */
function groupIsOf(group: number, agent: string): boolean {
  for (const name of namesIn('/proc')) {
    if (readProcess(Number(name))?.group !== group) continue;
    try {
      if (readFileSync(`/proc/${name}/environ`, 'utf8').split('\0').includes(`MILLWRIGHT_AGENT=${agent}`)) return true;
    } catch {
      // It ended, or is another user's.
    }
  }
  return false;
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder).filter((name) => /^\d+$/.test(name));
  } catch {
    return [];
  }
}
