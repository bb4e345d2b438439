import { type ChildProcess, spawn } from 'node:child_process';
import type { Duplex } from 'node:stream';
import { Announcer, drawSecret, repeatsMs } from './certificate.ts';
import { agentPrefix, type Containment, isTight } from './containment.ts';
import { DutyProcess } from './duty-process.ts';
import { ElapsedTime, monotonic, readClocks } from './elapsed.ts';
import { readStat, signalGroup } from './process-stat.ts';
import {
  type Ask,
  encodeLine,
  LineReader,
  limits,
  malformedStart,
  maxAheadMs,
  parseAsk,
  protocolVersion,
  type Say,
  type Target,
} from './protocol.ts';
import { lifeVariable, markVariable, type Register } from './register.ts';
import { sha256 } from './sha256.ts';
import type { Watch } from './watch.ts';

export interface SupervisorOptions {
  /** Marks its duties' processes; unique on the box. */
  readonly name: string;
  /** Argument vector of the agent, its program with full path. */
  readonly agent: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  readonly containment: Containment;
  readonly register: Register;
  readonly watch: Watch;
  /** What a former supervisor left and the kernel still holds; exclusive duties wait for it. */
  readonly leftovers: () => string[];
  /** A duty is killed this long before its right to run ends, so that it is gone by then. */
  readonly killMs: number;
  /** An agent that beat once and then falls silent for this long is killed, and started anew. */
  readonly beatTimeoutMs: number;
  /** From SIGTERM to SIGKILL for the agent, at an orderly end. */
  readonly stopMs: number;
  /** Before a new start: 200 ms, doubled with each end that came too soon, up to this. */
  readonly restartMaxMs: number;
  /** A life at least this long was a good one: after it the waiting begins anew. */
  readonly restartSettledMs: number;
  readonly log: (level: 'info' | 'warn' | 'error', message: string, fields?: object) => void;
  /** All is over: the process may end with this code. */
  readonly ended: (code: number) => void;
}

interface SessionRow {
  readonly cell: string;
  readonly epoch: number;
  readonly secret: Buffer;
  readonly id: string;
  targets: readonly Target[];
  guardMs: number;
}

/** One life of the agent. */
interface Life {
  readonly child: ChildProcess;
  readonly stream: Duplex;
  readonly startTicks: number | undefined;
  readonly sessions: Map<string, SessionRow>;
  /** Longest guard of the exclusive duties of a cell, and when the last of them was over. */
  readonly guards: Map<string, number>;
  readonly lastOver: Map<string, number>;
  /** Cells with a duty whose end could not be known. */
  readonly uncertain: Set<string>;
  readonly begunAt: number;
  beatAt: number | undefined;
  garbage: number;
  /** When it was reaped. */
  reapedAt: number | undefined;
}

interface DutyRow {
  readonly id: string;
  readonly life: Life;
  readonly cell: string;
  readonly exclusive: boolean;
  readonly process: DutyProcess;
  /** By the elapsed clock; infinite for what is not exclusive. */
  deadline: number;
  asked: boolean;
  /** Killed because its right to run ended. */
  expired: boolean;
}

/** While a deadline is armed, the clocks are read this often: a box that slept is noticed this soon after. */
const tickMs = 200;
/** A timer later than this may have overtaken extensions that wait in the stream. */
const lateMs = 10;
const queueBytes = 262_144;
const firstBackoffMs = 200;
/** What the agent says with its exit code: done, or its configuration is wrong; neither is mended by a new start. */
const finalCodes: readonly (number | null)[] = [0, 2];

/**
 * Parents the agent of a box and its duties' processes. What it promises:
 *
 * - An exclusive duty runs until the instant that is armed here and no longer, whatever its agent believes, does, or
 *   is kept from doing.
 * - Its agent's end ends all duties, at once.
 * - A death certificate goes out only when the agent is reaped, nothing of its exclusive duties of that cell is left,
 *   and the guard has passed since, so that no effect is on its way any more.
 *
 * What it does not promise: anything while it hangs itself; hence the watch, and `protected` in `hello`.
 */
export class Supervisor {
  readonly #options: SupervisorOptions;
  readonly #announcer = new Announcer();
  readonly #elapsed: ElapsedTime;
  readonly #duties = new Map<string, DutyRow>();
  #life: Life | undefined;
  #dueAt = Number.POSITIVE_INFINITY;
  #timer: NodeJS.Timeout | undefined;
  #beatTimer: NodeJS.Timeout | undefined;
  #serial = 0;
  #backoffMs = firstBackoffMs;
  #restart: NodeJS.Timeout | undefined;
  /** Sessions of dead agents whose certificate is still owed. */
  readonly #owed = new Set<{ readonly life: Life; readonly session: SessionRow }>();
  /** Certificates go out until then. */
  #announcingUntil = 0;
  #stopping: { readonly code: number } | undefined;
  #watched: boolean;

  constructor(options: SupervisorOptions) {
    this.#options = options;
    this.#elapsed = new ElapsedTime(readClocks());
    this.#watched = options.watch.intervalMs !== undefined;
  }

  start(): void {
    const { watch } = this.#options;
    if (watch.intervalMs !== undefined) {
      setInterval(() => {
        const reached = watch.beat();
        if (reached === this.#watched) return;
        this.#watched = reached;
        this.#options.log('warn', reached ? 'watched again' : 'the watcher cannot be reached');
        if (this.#life !== undefined) this.#hello(this.#life);
      }, watch.intervalMs / 4);
    }
    this.#startAgent();
    watch.ready();
  }

  /** An orderly end: the agent may finish what it does. */
  stop(): void {
    if (this.#stopping !== undefined) return;
    this.#stopping = { code: 0 };
    this.#options.watch.stopping();
    clearTimeout(this.#restart);
    const life = this.#life;
    if (life === undefined) {
      this.#maybeEnd();
      return;
    }
    life.child.kill('SIGTERM');
    setTimeout(() => life.child.kill('SIGKILL'), this.#options.stopMs).unref();
  }

  #startAgent(): void {
    const { agent, containment, env, log } = this.#options;
    const [program = '', ...args] = [...agentPrefix(containment), ...agent];
    let child: ChildProcess;
    try {
      child = spawn(program, args, {
        env: { ...env, MILLWRIGHT_SUPERVISOR_FD: '3' },
        detached: true,
        stdio: ['inherit', 'inherit', 'inherit', 'pipe'],
      });
    } catch (error) {
      log('error', 'the agent cannot be started', { reason: (error as Error).message });
      this.#again();
      return;
    }
    child.on('error', (error) => {
      log('error', 'the agent cannot be started', { reason: error.message });
      if (child.pid === undefined) this.#again();
    });
    if (child.pid === undefined) return;
    const stream = child.stdio[3] as unknown as Duplex;
    const life: Life = {
      child,
      stream,
      startTicks: readStat(child.pid)?.startTicks,
      sessions: new Map(),
      guards: new Map(),
      lastOver: new Map(),
      uncertain: new Set(),
      begunAt: monotonic(),
      beatAt: undefined,
      garbage: 0,
      reapedAt: undefined,
    };
    this.#life = life;
    const reader = new LineReader((line) => {
      const ask = parseAsk(line);
      if (ask !== undefined) {
        this.#hear(life, ask);
        return;
      }
      if (life.garbage++ === 0) log('warn', 'the agent sent a line that is none of ours');
      const duty = malformedStart(line);
      if (duty !== undefined) this.#say(life, { is: 'failed', duty, reason: 'the request does not fit the protocol' });
    });
    stream.on('data', (chunk: Buffer) => {
      const { oversized } = reader;
      reader.push(chunk);
      life.garbage += reader.oversized - oversized;
    });
    stream.on('error', () => {});
    child.once('exit', (code, signal) => this.#reaped(life, code, signal));
    this.#keepRegister();
    log('info', 'agent started', { pid: child.pid });
    this.#hello(life);
  }

  #again(): void {
    if (this.#stopping !== undefined) return;
    const inMs = Math.min(this.#options.restartMaxMs, this.#backoffMs);
    this.#options.log('info', 'the agent is started anew', { inMs });
    this.#restart = setTimeout(() => this.#startAgent(), inMs);
    this.#backoffMs = Math.min(this.#options.restartMaxMs, this.#backoffMs * 2);
  }

  #hello(life: Life): void {
    const { watch, containment } = this.#options;
    const tight = isTight(containment.kind);
    this.#say(life, {
      is: 'hello',
      v: protocolVersion,
      protected: this.#watched && tight,
      why: `${this.#watched || watch.intervalMs === undefined ? watch.why : 'the watcher cannot be reached'}; ${containment.why}`,
      containment: containment.kind,
      watchdogMs: watch.intervalMs,
    });
  }

  #say(life: Life, message: Say): void {
    if (life.reapedAt !== undefined || life.stream.destroyed) return;
    // An agent that does not read for so long is no agent any more.
    if (life.stream.writableLength > queueBytes) {
      this.#options.log('error', 'the agent does not read; it is killed');
      life.child.kill('SIGKILL');
      return;
    }
    life.stream.write(encodeLine(message));
  }

  #hear(life: Life, ask: Ask): void {
    if (life.reapedAt !== undefined) return;
    switch (ask.do) {
      case 'session':
        this.#session(life, ask);
        return;
      case 'targets': {
        const session = life.sessions.get(sessionKey(ask.cell, ask.epoch));
        if (session === undefined) return;
        session.targets = ask.targets;
        this.#announcer.prepare(ask.targets);
        return;
      }
      case 'start':
        this.#start(life, ask);
        return;
      case 'extend': {
        const row = this.#duties.get(ask.duty);
        // No echo for what is ending: nothing was extended.
        if (row === undefined || row.life !== life || !row.exclusive || row.process.isKilled) return;
        const clocks = readClocks();
        if (ask.until - clocks.after > maxAheadMs) return;
        const deadline = this.#elapsed.deadline(ask.until, ask, clocks);
        if (deadline > row.deadline) row.deadline = deadline;
        this.#say(life, { is: 'extended', duty: ask.duty, until: ask.until });
        return;
      }
      case 'stop': {
        const row = this.#duties.get(ask.duty);
        if (row === undefined || row.life !== life) {
          this.#say(life, { is: 'stopped', duty: ask.duty });
          return;
        }
        row.asked = true;
        row.process.stop(ask.graceMs);
        return;
      }
      case 'beat':
        life.beatAt = monotonic();
        this.#beatTimer ??= setInterval(() => this.#judgeBeat(false), this.#options.beatTimeoutMs / 4);
        return;
    }
  }

  #session(life: Life, ask: Extract<Ask, { do: 'session' }>): void {
    const key = sessionKey(ask.cell, ask.epoch);
    let session = life.sessions.get(key);
    if (session === undefined) {
      if (life.sessions.size >= limits.sessions) {
        this.#options.log('error', 'too many sessions', { limit: limits.sessions });
        return;
      }
      const secret = drawSecret();
      session = { cell: ask.cell, epoch: ask.epoch, secret, id: sha256(secret), targets: [], guardMs: 0 };
      life.sessions.set(key, session);
    }
    session.targets = ask.targets;
    session.guardMs = Math.max(session.guardMs, ask.guardMs);
    this.#announcer.prepare(ask.targets);
    this.#say(life, { is: 'session', cell: ask.cell, epoch: ask.epoch, id: session.id });
  }

  #start(life: Life, ask: Extract<Ask, { do: 'start' }>): void {
    const { containment, leftovers, log } = this.#options;
    const refuse = (reason: string): void => this.#say(life, { is: 'failed', duty: ask.duty, reason });
    if (this.#duties.has(ask.duty)) return refuse('it runs already, or something of it is still left');
    if (this.#duties.size >= limits.duties) return refuse(`more than ${limits.duties} duties`);
    let deadline = Number.POSITIVE_INFINITY;
    if (ask.exclusive) {
      const left = leftovers();
      if (left.length > 0) return refuse(`a process of a former life is still there: ${left[0]}`);
      const clocks = readClocks();
      if (ask.until - clocks.after > maxAheadMs) return refuse('its right to run reaches too far ahead');
      deadline = this.#elapsed.deadline(ask.until, ask, clocks);
      if (this.#elapsed.read(clocks) >= deadline - this.#options.killMs) {
        return this.#say(life, { is: 'failed', duty: ask.duty, reason: 'its right to run is over', expired: true });
      }
      life.guards.set(ask.cell, Math.max(life.guards.get(ask.cell) ?? 0, ask.guardMs));
      if (!isTight(containment.kind)) life.uncertain.add(ask.cell);
    }
    const { name, register } = this.#options;
    const program = { ...ask, env: { ...ask.env, [markVariable]: name, [lifeVariable]: register.life } };
    const started = DutyProcess.start(program, `duty-${process.pid}-${++this.#serial}`, containment, {
      started: (pid) => this.#say(life, { is: 'started', duty: ask.duty, pid }),
      stuck: (reason) => {
        log('error', 'a process does not die', { duty: ask.duty, reason });
        this.#say(life, { is: 'stuck', duty: ask.duty, reason });
      },
      over: ({ code, signal, reason, certain }) => {
        this.#duties.delete(ask.duty);
        if (ask.exclusive) {
          life.lastOver.set(ask.cell, monotonic());
          if (!certain) life.uncertain.add(ask.cell);
        }
        this.#keepRegister();
        if (row.asked) this.#say(life, { is: 'stopped', duty: ask.duty });
        else this.#say(life, { is: 'exited', duty: ask.duty, code, signal, reason, expired: row.expired });
        this.#settleOwed();
      },
    });
    if (typeof started === 'string') return refuse(started);
    const row: DutyRow = {
      id: ask.duty,
      life,
      cell: ask.cell,
      exclusive: ask.exclusive,
      process: started,
      deadline,
      asked: false,
      expired: false,
    };
    this.#duties.set(ask.duty, row);
    this.#keepRegister();
    if (ask.exclusive) this.#arm(this.#elapsed.read(readClocks()));
  }

  #arm(elapsed: number): void {
    let next = Number.POSITIVE_INFINITY;
    for (const row of this.#duties.values()) {
      if (!row.process.isKilled) next = Math.min(next, row.deadline - this.#options.killMs);
    }
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (next === Number.POSITIVE_INFINITY) return;
    const ms = Math.min(tickMs, Math.max(0, next - elapsed));
    this.#dueAt = monotonic() + ms;
    this.#timer = setTimeout(() => this.#judge(false), Math.ceil(ms));
  }

  /** Kills what has no right to run any more. `drained`: what waited in the stream has been read. */
  #judge(drained: boolean): void {
    const late = monotonic() - this.#dueAt > lateMs;
    const elapsed = this.#elapsed.read(readClocks());
    let doubt = false;
    for (const row of this.#duties.values()) {
      if (row.process.isKilled || elapsed < row.deadline - this.#options.killMs) continue;
      // Node runs timers before it reads: after a stall the extension may be here, unread. The right itself has not
      // ended yet, so one look at the stream is allowed.
      if (late && !drained && elapsed < row.deadline) {
        doubt = true;
        continue;
      }
      this.#options.log('warn', 'the right to run ended', { duty: row.id });
      row.expired = true;
      row.process.kill('its right to run ended');
    }
    if (doubt) setImmediate(() => this.#judge(true));
    else this.#arm(elapsed);
  }

  #judgeBeat(drained: boolean): void {
    const life = this.#life;
    if (life?.beatAt === undefined || monotonic() - life.beatAt < this.#options.beatTimeoutMs) return;
    if (!drained) {
      setImmediate(() => this.#judgeBeat(true));
      return;
    }
    this.#options.log('error', 'the agent has fallen silent; it is killed', { timeoutMs: this.#options.beatTimeoutMs });
    life.child.kill('SIGKILL');
  }

  #reaped(life: Life, code: number | null, signal: NodeJS.Signals | null): void {
    life.reapedAt = monotonic();
    for (const row of this.#duties.values()) if (row.life === life) row.process.kill('its agent ended');
    for (const session of life.sessions.values()) {
      if (this.#owed.size < 4 * limits.sessions) this.#owed.add({ life, session });
    }
    this.#settleOwed();
    const { log } = this.#options;
    log(code === 0 ? 'info' : 'warn', 'agent ended', { code, signal, garbage: life.garbage });
    if (life.child.pid !== undefined) signalGroup(life.child.pid, 'SIGKILL');
    life.stream.destroy();
    if (this.#life === life) this.#life = undefined;
    clearInterval(this.#beatTimer);
    this.#beatTimer = undefined;
    this.#keepRegister();
    if (this.#stopping === undefined && finalCodes.includes(code)) this.#stopping = { code: code ?? 0 };
    if (this.#stopping === undefined) {
      if (life.reapedAt - life.begunAt >= this.#options.restartSettledMs) this.#backoffMs = firstBackoffMs;
      this.#again();
    } else {
      this.#options.watch.stopping();
      // The dead are told of in bounded time; what the kernel holds beyond that is the next supervisor's.
      setTimeout(() => this.#options.ended(this.#stopping?.code ?? 0), limits.guardMs / 10).unref();
      this.#maybeEnd();
    }
  }

  /** Sends what certificates can be sent now, and plans those that only wait for their guard. */
  #settleOwed(): void {
    for (const owed of this.#owed) {
      const { life, session } = owed;
      if (life.uncertain.has(session.cell)) {
        this.#owed.delete(owed);
        continue;
      }
      const waits = [...this.#duties.values()].some(
        (row) => row.life === life && row.exclusive && row.cell === session.cell,
      );
      if (waits || life.reapedAt === undefined) continue;
      this.#owed.delete(owed);
      // Counted after the last process, and by the monotonic clock: a wall clock set forward brings no effect home.
      const last = Math.max(life.reapedAt, life.lastOver.get(session.cell) ?? 0);
      const guardMs = Math.max(session.guardMs, life.guards.get(session.cell) ?? 0);
      const ms = Math.max(0, Math.ceil(last + guardMs - monotonic()));
      const announce = (): void => this.#announcer.announce(session.secret, session.targets);
      this.#announcingUntil = Math.max(this.#announcingUntil, monotonic() + ms + repeatsMs.at(-1)! + 20);
      if (ms === 0) announce();
      else setTimeout(announce, ms);
    }
    this.#maybeEnd();
  }

  #maybeEnd(): void {
    if (this.#stopping === undefined || this.#life !== undefined) return;
    if (this.#duties.size > 0 || this.#owed.size > 0) return;
    const { code } = this.#stopping;
    setTimeout(() => this.#options.ended(code), Math.max(0, this.#announcingUntil - monotonic()));
  }

  #keepRegister(): void {
    const leaders = [...this.#duties.values()].flatMap((row) => row.process.leader ?? []);
    const life = this.#life;
    if (life?.child.pid !== undefined && life.startTicks !== undefined)
      leaders.push({ pid: life.child.pid, startTicks: life.startTicks });
    this.#options.register.write(leaders);
  }
}

const sessionKey = (cell: string, epoch: number): string => `${epoch} ${cell}`;
