import { type ChildProcess, spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import {
  type Containment,
  forkInside,
  isPopulated,
  isTight,
  killCgroup,
  makeCgroup,
  removeCgroup,
} from './containment.ts';
import { monotonic } from './elapsed.ts';
import { Output } from './output.ts';
import { childrenOf, isAlive, readStat, signal, signalGroup } from './process-stat.ts';
import { findProgram } from './program.ts';
import { signalNames } from './signal-names.ts';

export interface DutyProgram {
  readonly duty: string;
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  readonly log?: string | undefined;
}

export interface DutyEnd {
  readonly code: number | null;
  readonly signal: string | null;
  readonly reason: string;
  /** Whether it is known that nothing is left; without containment it is only likely. */
  readonly certain: boolean;
}

export interface DutyEvents {
  /** The program runs; its number on the box. */
  started(pid: number): void;
  /** Nothing of it is left (as far as `certain` says). Once, and last. */
  over(end: DutyEnd): void;
  /** Killed, and yet something is left. At most once. */
  stuck(reason: string): void;
}

/** How long a killed process may take to be gone before that is news. */
const stuckAfterMs = 2_000;

/**
 * One duty's processes, from the fork to the moment when nothing is left of them. `over` is the fact that certificates
 * rest on: the spawned process is reaped, its cgroup reads `populated 0`, and the first process of its namespace is
 * gone. A process in state D keeps it from coming, for as long as the kernel holds it.
 */
export class DutyProcess {
  readonly #containment: Containment;
  readonly #events: DutyEvents;
  readonly #output: Output;
  readonly #cgroup: string | undefined;
  #child: ChildProcess | undefined;
  /** First process of the namespace. */
  #first: { readonly pid: number; readonly startTicks: number } | undefined;
  /** The program itself, below its wrappers. */
  #program: { readonly pid: number; readonly startTicks: number } | undefined;
  #exit: { readonly code: number | null; readonly signal: NodeJS.Signals | null } | undefined;
  #over = false;
  #killed: { readonly why: string; readonly at: number } | undefined;
  #stuck = false;
  #termWanted = false;
  #grace: NodeJS.Timeout | undefined;
  #poll: NodeJS.Timeout | undefined;
  #pollMs = 1;

  private constructor(program: DutyProgram, containment: Containment, cgroup: string | undefined, events: DutyEvents) {
    this.#containment = containment;
    this.#cgroup = cgroup;
    this.#events = events;
    this.#output = new Output(program.log);
  }

  /** Starts it, or says why nothing was started. `name`: of its cgroup, unique among those that live. */
  static start(program: DutyProgram, name: string, containment: Containment, events: DutyEvents): DutyProcess | string {
    const [wanted = '', ...rest] = program.argv;
    const found = findProgram(wanted, program.env['PATH'] ?? '', program.cwd);
    if (found.path === undefined) return found.refusal;
    const [file = '', ...args] = [...containment.prefix, found.path, ...rest];
    let cgroup: string | undefined;
    try {
      if (containment.cgroups !== undefined) cgroup = makeCgroup(containment.cgroups, name);
    } catch (error) {
      return `no cgroup for it: ${(error as Error).message}`;
    }
    const duty = new DutyProcess(program, containment, cgroup, events);
    const fork = (): ChildProcess =>
      spawn(file, args, {
        cwd: program.cwd,
        env: { ...program.env },
        detached: true,
        stdio: ['ignore', 'pipe', 'pipe'],
      });
    let refusal: string | undefined;
    try {
      const child = cgroup === undefined ? fork() : forkInside(containment.cgroups!, cgroup, fork);
      // Its own error comes later as an event; nobody would listen otherwise.
      child.on('error', (error) => {
        refusal ??= error.message;
      });
      if (child.pid !== undefined) {
        duty.#adopt(child);
        return duty;
      }
      refusal = `${program.cwd} or ${file} cannot be used`;
    } catch (error) {
      refusal = (error as Error).message;
    }
    if (cgroup !== undefined) removeCgroup(cgroup);
    return refusal;
  }

  get isOver(): boolean {
    return this.#over;
  }

  get isKilled(): boolean {
    return this.#killed !== undefined;
  }

  /** Number and start of the process at the head of its group, for the register. */
  get leader(): { readonly pid: number; readonly startTicks: number } | undefined {
    const pid = this.#child?.pid;
    const startTicks = pid === undefined || this.#exit !== undefined ? undefined : readStat(pid)?.startTicks;
    return pid === undefined || startTicks === undefined ? undefined : { pid, startTicks };
  }

  /** SIGKILL to everything, now. The first reason counts. */
  kill(why: string): void {
    if (this.#over) return;
    this.#killed ??= { why, at: monotonic() };
    clearTimeout(this.#grace);
    if (this.#cgroup !== undefined) killCgroup(this.#cgroup);
    const pid = this.#child?.pid;
    if (pid !== undefined && this.#exit === undefined) {
      if (this.#containment.depth > 0) {
        for (const child of childrenOf(pid)) {
          this.#noteFirst(child);
          signal(child, 'SIGKILL');
        }
      }
      signalGroup(pid, 'SIGKILL');
    } else if (this.#first !== undefined && isAlive(this.#first.pid, this.#first.startTicks)) {
      signal(this.#first.pid, 'SIGKILL');
    }
    this.#soon();
  }

  /** SIGTERM to the program, then SIGKILL to what is left; without a grace SIGKILL at once. Asked again, it hurries. */
  stop(graceMs: number): void {
    if (this.#over || this.isKilled) return;
    if (graceMs === 0) {
      this.kill('it was told to stop at once');
      return;
    }
    if (this.#termWanted) return;
    this.#termWanted = true;
    this.#terminate();
    this.#grace = setTimeout(() => this.kill(`it did not end within ${graceMs} ms of SIGTERM`), graceMs);
  }

  #adopt(child: ChildProcess): void {
    this.#child = child;
    if (child.stdout !== null) this.#output.attach(child.stdout);
    if (child.stderr !== null) this.#output.attach(child.stderr);
    child.once('exit', (code, name) => {
      this.#exit = { code, signal: name };
      this.#pollMs = 1;
      this.#look();
    });
    if (this.#containment.depth === 0) this.#running(child.pid!);
    else this.#learn(0);
  }

  #noteFirst(pid: number): void {
    if (this.#first?.pid === pid) return;
    const startTicks = readStat(pid)?.startTicks;
    if (startTicks !== undefined) this.#first = { pid, startTicks };
  }

  /** Some milliseconds pass until the wrappers have forked. */
  #learn(round: number): void {
    if (this.#exit !== undefined || this.#killed !== undefined) return;
    const [first] = childrenOf(this.#child!.pid!);
    if (first !== undefined) {
      this.#noteFirst(first);
      const [program] = childrenOf(first);
      if (program !== undefined) {
        this.#running(program);
        return;
      }
    }
    if (round < 2_000) setTimeout(() => this.#learn(round + 1), round < 100 ? 1 : 10);
  }

  #running(pid: number): void {
    const startTicks = readStat(pid)?.startTicks;
    if (startTicks !== undefined) this.#program = { pid, startTicks };
    this.#events.started(pid);
    if (this.#termWanted) this.#terminate();
  }

  #terminate(): void {
    if (this.#program === undefined || this.#exit !== undefined) return;
    const { pid, startTicks } = this.#program;
    if (!isAlive(pid, startTicks)) return;
    // To the program alone where a waiter stands in front of it; else to the group.
    if (this.#containment.depth > 0) signal(pid, 'SIGTERM');
    else signalGroup(pid, 'SIGTERM');
  }

  #soon(): void {
    if (this.#poll !== undefined || this.#over) return;
    this.#poll = setTimeout(() => {
      this.#poll = undefined;
      this.#look();
    }, this.#pollMs);
    this.#pollMs = Math.min(250, this.#pollMs * 1.25);
  }

  /** Is anything left? */
  #look(): void {
    if (this.#over) return;
    if (this.#exit === undefined) {
      // Reaping comes as an event; this only notices that it does not come.
      if (this.#killed !== undefined) this.#tellStuck();
      this.#soon();
      return;
    }
    const left = this.#isLeft();
    if (!left) {
      this.#finish();
      return;
    }
    if (this.#killed === undefined) this.kill('its program ended and left others behind');
    else if (this.#cgroup !== undefined) killCgroup(this.#cgroup);
    this.#tellStuck();
    this.#soon();
  }

  #isLeft(): boolean {
    const pid = this.#child!.pid!;
    if (this.#cgroup !== undefined && isPopulated(this.#cgroup)) return true;
    if (this.#first !== undefined && isAlive(this.#first.pid, this.#first.startTicks)) return true;
    // A wrapper killed so early that its namespace's first process was never seen; and no containment at all.
    const blind = this.#cgroup === undefined && this.#first === undefined && this.#exit?.signal !== null;
    if (!blind && isTight(this.#containment.kind)) return false;
    signalGroup(pid, 'SIGKILL');
    return groupExists(pid);
  }

  #tellStuck(): void {
    if (this.#stuck || this.#killed === undefined || monotonic() - this.#killed.at < stuckAfterMs) return;
    this.#stuck = true;
    this.#events.stuck(`killed ${stuckAfterMs / 1000} s ago (${this.#killed.why}), and the kernel still holds it`);
  }

  #finish(): void {
    this.#over = true;
    clearTimeout(this.#grace);
    clearTimeout(this.#poll);
    if (this.#cgroup !== undefined) removeCgroup(this.#cgroup);
    const child = this.#child!;
    let told = false;
    const tell = (): void => {
      if (told) return;
      told = true;
      child.stdout?.destroy();
      child.stderr?.destroy();
      this.#output.close();
      this.#events.over(this.#end());
    };
    // The last lines may still be in the pipe; they are worth a moment, unless somebody waits for this end.
    if (this.#killed !== undefined) tell();
    else {
      const timer = setTimeout(tell, 50);
      child.once('close', () => {
        clearTimeout(timer);
        tell();
      });
    }
  }

  #end(): DutyEnd {
    const { code, signal: name } = this.#exit!;
    // The waiter tells a signal as 128 + its number, as shells do; here it becomes a signal again.
    const wrapped = this.#containment.depth > 0 && code !== null && code > 128;
    const told = name ?? (wrapped ? (signalNames[code - 128] ?? `signal ${code - 128}`) : null);
    const how =
      this.#killed !== undefined
        ? `killed: ${this.#killed.why}`
        : told !== null
          ? `killed by ${told}`
          : `exit code ${code ?? '?'}`;
    const lines = this.#output.lastLines();
    return {
      code: told === null ? code : null,
      signal: told,
      reason: lines === '' ? how : `${how}: ${lines}`,
      certain: isTight(this.#containment.kind),
    };
  }
}

function groupExists(group: number): boolean {
  try {
    return readdirSync('/proc').some((name) => {
      if (!/^\d/.test(name)) return false;
      const stat = readStat(Number(name));
      return stat?.group === group && stat.state !== 'Z' && stat.state !== 'X';
    });
  } catch {
    return false;
  }
}
