import { join, resolve } from 'node:path';
import type { DutyIndex } from '../../base/ids.ts';
import { err, ok, type Result } from '../../base/result.ts';
import type { Instant, WallTime } from '../../base/time.ts';
import type { DutySpec } from '../../core/duties/duty.ts';
import type { Fence } from '../../core/duties/exclusive-duties.ts';
import type { SitePlan } from '../../core/site-plan.ts';
import type { ClockPort, Deliver } from '../../driver/ports.ts';
import { hostBoot, readProcess } from '../connections/process-table.ts';
import { childEnvironment } from '../connections/program.ts';
import type { EffectLog } from '../effect-log.ts';
import { claimOf, type Gate, programOf } from '../gateway/claims.ts';
import type { Say, SupervisorClient } from '../supervisor/supervisor-client.ts';
import { fenceEnvironment, type ProcessRunner, type ProcessState } from './process.ts';
import type { Log } from './runner.ts';
import { type TokenFile, TokenFiles } from './token-files.ts';

export interface SupervisedRunnerOptions {
  readonly agent: string;
  readonly dataDir: string;
  readonly cwd?: string;
  readonly plan: SitePlan;
  readonly supervisor: SupervisorClient;
  readonly deliver: Deliver;
  readonly clock: Pick<ClockPort, 'wall'>;
  /** An instant of the elapsed clock as milliseconds of CLOCK_MONOTONIC. */
  readonly boxTime: (until: Instant) => number;
  readonly log: Log;
  readonly effectLog?: EffectLog;
  /** Refuses starts under a right that has a successor on this box. */
  readonly gate?: Gate | undefined;
  readonly onChange?: (duty: DutyIndex) => void;
  /** From SIGTERM to SIGKILL of a gentle stop. Default 3000. */
  readonly graceMs?: number;
}

export interface SupervisedRunner extends ProcessRunner {
  /** To be told what the supervisor says. */
  said(message: Say): void;
}

interface Held {
  readonly duty: DutySpec;
  readonly term: number;
  fence: Fence;
  /** Where what runs now reads its token. */
  tokenFile: TokenFile | undefined;
  pid: number | undefined;
  startedAt: WallTime;
  running: boolean;
  generation: number;
  exit: ProcessState['exit'];
  /** Everything that waits for the end of what runs. */
  ended: (() => void)[];
  /** Everything that waits for the answer to a start. */
  begun: ((started: Result<undefined, string>) => void)[];
  stopping: boolean;
  restarts: number;
  /** When an extension was asked for that was not echoed yet. */
  askedAt: number | undefined;
  /**
   * Its program was killed, or not even started, because its right was over: the next extension starts it anew. That is
   * no failure of the duty, and no reason for this box to stay away from it.
   */
  expired: boolean;
  /** The core was told that it began. */
  told: boolean;
}

/** What the supervisor calls a session, and in which cell and epoch it drew it. */
interface Drawn {
  readonly cell: string;
  readonly epoch: number;
}

/** Sessions that are remembered; a life has one for each cell and epoch. */
const maxSessions = 256;

/**
 * Exclusive `process` duties, as children of the box supervisor: their right to run is the deadline that is armed there,
 * so it ends on time whatever becomes of this agent. Each quorum moves the deadline; what was not echoed was not moved,
 * and a supervisor that does not echo any more is trusted with nothing: the duty is ended here and given up.
 */
export function createSupervisedRunner(options: SupervisedRunnerOptions): SupervisedRunner {
  const { supervisor, deliver, clock, log, plan, boxTime, graceMs = 3_000 } = options;
  const cwd = resolve(options.cwd ?? process.cwd());
  const held = new Map<string, Held>();
  const boot = hostBoot();
  const drawn = new Map<string, Drawn>();
  const tokens = new TokenFiles(resolve(options.dataDir, 'processes', 'supervised-tokens'), log);
  const entryOf = (duty: DutyIndex): Held | undefined => held.get(plan.duties[duty]?.id ?? '');
  let generation = 0;

  const stateOf = (entry: Held): ProcessState => ({
    pid: entry.pid,
    startedAt: entry.startedAt,
    running: entry.running,
    generation: entry.generation,
    exit: entry.exit,
  });

  const note = (entry: Held, effect: string, more: object = {}) => {
    const { token, session } = entry.fence;
    const { pid } = entry;
    const record = {
      at: clock.wall(),
      agent: options.agent,
      effect,
      duty: entry.duty.id,
      token,
      session,
      pid,
      ...more,
    };
    options.effectLog?.append(record);
  };

  /** Undefined: the order is out, or why it is not. */
  const order = (entry: Held): string | undefined => {
    const { duty, fence } = entry;
    const { work } = duty;
    if (work.kind !== 'process') return 'no program';
    // The session knows its cell, the site file may not: it can name another one already while the old epoch is spoken.
    // A certificate waits for the programs of its own cell, so a wrong name here would let it go out too early.
    const session = drawn.get(fence.session);
    if (session === undefined) return 'the supervisor drew no such session';
    const guardMs = plan.cells.find(({ id }) => id === session.cell)?.options.guardMs ?? 0;
    const begin = () => {
      entry.tokenFile?.end();
      entry.tokenFile = tokens.begin(duty.id, fence.session, fence.token);
      return supervisor.start({
        duty: duty.id,
        argv: work.argv,
        env: childEnvironment([
          ...work.env,
          ['MILLWRIGHT_DUTY', duty.id],
          ['MILLWRIGHT_AGENT', options.agent],
          ['MILLWRIGHT_TERM', String(entry.term)],
          ...fenceEnvironment(fence, entry.tokenFile?.path),
        ]),
        cwd,
        ...session,
        exclusive: true,
        until: boxTime(fence.until),
        guardMs,
        log: resolve(join(options.dataDir, 'processes', `${duty.id.replaceAll(/[^a-z0-9.-]/gi, '.')}.log`)),
      });
    };
    const taken = options.gate?.perform(claimOf(programOf(duty.id), fence), begin) ?? ok(begin());
    if (!taken.ok) return taken.error.text;
    return taken.value ? undefined : 'the supervisor takes no more';
  };

  const start = (entry: Held): Promise<Result<undefined, string>> =>
    new Promise((done) => {
      entry.begun.push(done);
      entry.askedAt = undefined;
      entry.expired = false;
      const refusal = order(entry);
      if (refusal === undefined) return;
      forget(entry);
      settle(entry.begun, err(refusal));
    });

  const forget = (entry: Held) => {
    entry.tokenFile?.end();
    entry.tokenFile = undefined;
  };

  /** What runs goes on under a larger token: it may know it once the gate does, so that it is never ahead of it. */
  const renumber = ({ duty, fence, tokenFile }: Held) => {
    const tell = () => tokenFile?.renew(fence.token);
    const told = options.gate?.perform(claimOf(programOf(duty.id), fence), tell) ?? ok(tell());
    if (!told.ok) log.warn({ duty: duty.id, reason: told.error.text }, 'the program keeps its former token');
  };

  /** Resolves when nothing of it is left; at once when nothing runs. */
  const end = (entry: Held, withinMs: number): Promise<void> =>
    new Promise((done) => {
      entry.ended.push(done);
      supervisor.stop(entry.duty.id, withinMs);
    });

  const over = (entry: Held) => {
    entry.running = false;
    entry.pid = undefined;
    forget(entry);
    settle(entry.ended, undefined);
  };

  const silent = (entry: Held) => {
    const reason = 'the box supervisor does not answer';
    log.error({ duty: entry.duty.id }, reason);
    // Nobody else will end it in time.
    if (entry.pid !== undefined) kill(entry.pid);
    forget(entry);
    held.delete(entry.duty.id);
    deliver({ kind: 'duty-failed', duty: entry.duty.index, reason });
  };

  /** Also when the right goes on and its program does not: what was late was the extension. */
  const begin = async (entry: Held): Promise<void> => {
    const { duty } = entry;
    const begun = await start(entry);
    if (entry.stopping || held.get(duty.id) !== entry) return;
    if (begun.ok) {
      if (!entry.told) deliver({ kind: 'duty-started', duty: duty.index });
      entry.told = true;
      options.onChange?.(duty.index);
      return;
    }
    if (entry.expired) return;
    held.delete(duty.id);
    deliver({ kind: 'duty-failed', duty: duty.index, reason: begun.error });
  };

  return {
    start(duty, term, _checkpoint, fence) {
      if (held.has(duty.id)) return;
      if (fence === undefined) {
        return deliver({
          kind: 'duty-failed',
          duty: duty.index,
          reason: 'an exclusive duty was started without a right',
        });
      }
      const entry: Held = {
        duty,
        term,
        fence,
        tokenFile: undefined,
        pid: undefined,
        startedAt: clock.wall(),
        running: false,
        generation: 0,
        exit: undefined,
        ended: [],
        begun: [],
        stopping: false,
        restarts: 0,
        askedAt: undefined,
        expired: false,
        told: false,
      };
      held.set(duty.id, entry);
      void begin(entry);
    },
    extend(duty, fence) {
      const entry = entryOf(duty);
      if (entry === undefined || entry.stopping) return;
      const former = entry.fence.token;
      entry.fence = fence;
      if (former !== fence.token && !entry.expired) renumber(entry);
      if (entry.expired) return void begin(entry);
      if (!entry.running) return;
      const now = performance.now();
      if (entry.askedAt !== undefined && now - entry.askedAt > silentMs) return silent(entry);
      entry.askedAt ??= now;
      supervisor.extend(entry.duty.id, boxTime(fence.until));
    },
    async stop(duty, atOnce = false) {
      const entry = entryOf(duty);
      if (entry === undefined) return;
      entry.stopping = true;
      await end(entry, atOnce ? 0 : graceMs);
      if (held.get(entry.duty.id) === entry) held.delete(entry.duty.id);
    },
    async stopAll() {
      await Promise.all([...held.values()].map((entry) => this.stop(entry.duty.index)));
    },
    said(message) {
      if (message.is === 'session') {
        const { cell, epoch, id } = message;
        drawn.set(id, { cell, epoch });
        const oldest = drawn.keys().next();
        if (drawn.size > maxSessions && !oldest.done) drawn.delete(oldest.value);
        return;
      }
      if (!('duty' in message)) return;
      const entry = held.get(message.duty);
      if (entry === undefined) return;
      switch (message.is) {
        case 'started':
          entry.pid = message.pid;
          entry.startedAt = clock.wall();
          entry.running = true;
          entry.generation = ++generation;
          entry.exit = undefined;
          note(entry, 'process.started');
          settle(entry.begun, ok(undefined));
          return;
        case 'failed':
          forget(entry);
          entry.expired = message.expired === true && !entry.stopping;
          return settle(entry.begun, err(message.reason));
        case 'extended':
          entry.askedAt = undefined;
          return;
        case 'exited': {
          const { code, signal, reason, expired } = message;
          entry.exit = { code: code ?? undefined, signal: signal ?? undefined, at: clock.wall(), reason };
          note(entry, 'process.ended', { reason });
          entry.expired = expired === true && !entry.stopping;
          settle(entry.begun, err(reason));
          over(entry);
          if (!entry.stopping) {
            log.warn({ duty: entry.duty.id, reason }, 'process ended');
            options.onChange?.(entry.duty.index);
          }
          return;
        }
        case 'stopped':
          if (entry.running) note(entry, 'process.ended');
          return over(entry);
        case 'stuck':
          // Its end is not known: whoever waits for it goes on waiting.
          log.error({ duty: entry.duty.id, reason: message.reason }, 'process cannot be ended');
          return;
      }
    },
    processOf(duty) {
      const entry = entryOf(duty);
      return entry === undefined || entry.stopping ? undefined : stateOf(entry);
    },
    restarting: (duty) => (entryOf(duty)?.restarts ?? 0) > 0,
    async restart(duty, signal) {
      const entry = entryOf(duty);
      if (entry === undefined || entry.stopping) return err('this agent does not hold the duty');
      entry.restarts++;
      try {
        await end(entry, graceMs);
        if (entry.stopping) return err('the duty moved away meanwhile');
        if (signal?.aborted) return err('cancelled before the new start');
        const begun = await start(entry);
        if (!begun.ok) return begun;
        options.onChange?.(duty);
        return ok(stateOf(entry));
      } finally {
        entry.restarts--;
      }
    },
    async identity(duty) {
      const entry = entryOf(duty);
      if (entry?.pid === undefined) return undefined;
      return `${boot}/${entry.pid}/${readProcess(entry.pid)?.startTicks ?? entry.startedAt}`;
    },
  };
}

/** An extension that is not echoed for this long: two renewals, and well within T. */
const silentMs = 1_000;

function settle<T>(waiting: ((value: T) => void)[], value: T): void {
  for (const done of waiting.splice(0)) done(value);
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It ended meanwhile.
  }
}

/** Exclusive duties to the supervisor, the others as children of this process. */
export function splitProcessRunner(local: ProcessRunner, supervised: ProcessRunner, plan: SitePlan): ProcessRunner {
  const of = (duty: DutyIndex): ProcessRunner => (plan.duties[duty]?.exclusive === true ? supervised : local);
  return {
    start: (duty, term, checkpoint, fence) => of(duty.index).start(duty, term, checkpoint, fence),
    extend: (duty, fence) => of(duty).extend?.(duty, fence),
    stop: (duty, atOnce) => of(duty).stop(duty, atOnce),
    stopAll: async () => {
      await Promise.all([local.stopAll(), supervised.stopAll()]);
    },
    processOf: (duty) => of(duty).processOf(duty),
    restart: (duty, signal) => of(duty).restart(duty, signal),
    restarting: (duty) => of(duty).restarting(duty),
    identity: (duty) => of(duty).identity(duty),
  };
}
