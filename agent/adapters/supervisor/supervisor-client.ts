import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { readClocks, stampOf } from '../../supervisor/elapsed.ts';
import {
  type Ask,
  encodeLine,
  isTarget,
  LineReader,
  limits,
  maxLineBytes,
  parseSay,
  type Say,
  type Stamp,
  type Target,
} from '../../supervisor/protocol.ts';

export type { Say, Target } from '../../supervisor/protocol.ts';

/** A duty to be run by the supervisor. `until`: milliseconds of CLOCK_MONOTONIC (`monotonicNow`). */
export type SupervisedDuty = Omit<Extract<Ask, { do: 'start' }>, 'do' | keyof Stamp>;

export interface SupervisorEvents {
  /** What the supervisor says, in its order. */
  said(message: Say): void;
  /** The stream is gone. It never comes back: a supervisor that ends takes its agent with it. At most once. */
  lost(why: string): void;
}

export interface SupervisorCounts {
  /** Lines that were none of the protocol, or too long. */
  readonly garbage: number;
  /** Messages that were not sent (the queue was full, the line too long, the stream gone), and targets left out. */
  readonly refused: number;
}

/**
 * The agent's end of the stream to its box supervisor. Nothing here waits: a call hands a line to the kernel or says
 * `false`, and what happened is told by `said`. Bounded: at most `queueBytes` wait to be sent. There is no reconnecting,
 * since this stream ends only together with one of its two ends.
 *
 * Every instant is sent with the clocks of this moment, so that a box that sleeps between here and the supervisor does
 * not lengthen a right.
 */
export interface SupervisorClient {
  /**
   * Asks for this life's session in a cell; answered by `session`. `guardMs`: for effects of the agent itself. Targets are
   * addresses (nobody resolves names at such a moment); a name, and what exceeds 256, is left out and counted.
   */
  session(cell: string, epoch: number, targets: readonly Target[], guardMs: number): boolean;
  /** Whom a certificate shall reach from now on. */
  targets(cell: string, epoch: number, targets: readonly Target[]): boolean;
  /** Answered by `started`, `failed` or, later, `exited`. */
  start(duty: SupervisedDuty): boolean;
  /** Answered by `extended`. Without the echo nothing was extended, and the lease must not be counted on. */
  extend(duty: string, until: number): boolean;
  /** Answered by `stopped` (or `exited`, if it ended by itself just then). */
  stop(duty: string, graceMs: number): boolean;
  /** A sign of life. Who sent one and then sends none for the supervisor's time-out (30 s) is killed. */
  beat(): boolean;
  readonly counts: SupervisorCounts;
  close(): void;
}

const queueBytes = 262_144;

/** Milliseconds of CLOCK_MONOTONIC: the scale of `until`. Not that of `performance.now()`. */
export { monotonic as monotonicNow } from '../../supervisor/elapsed.ts';

/** The inherited stream's descriptor; undefined when nobody supervises this process. */
export function supervisorFd(env: NodeJS.ProcessEnv = process.env): number | undefined {
  const fd = Number(env['MILLWRIGHT_SUPERVISOR_FD'] ?? Number.NaN);
  return Number.isInteger(fd) && fd > 2 ? fd : undefined;
}

/**
 * Takes over the inherited descriptor. Call it once, and early: a stream that nobody reads fills up, and its agent is
 * taken for dead. Children do not inherit the descriptor (Node closes it on exec), so none can speak for the agent.
 */
export function connectSupervisor(fd: number, events: SupervisorEvents): SupervisorClient {
  return speakWithSupervisor(new Socket({ fd, readable: true, writable: true }), events);
}

/** The same over any stream. */
export function speakWithSupervisor(stream: Duplex, events: SupervisorEvents): SupervisorClient {
  let garbage = 0;
  let refused = 0;
  let over = false;
  const reader = new LineReader((line) => {
    const message = parseSay(line);
    if (message === undefined) garbage++;
    else if (!over) events.said(message);
  });
  const end = (why: string): void => {
    if (over) return;
    over = true;
    stream.destroy();
    events.lost(why);
  };
  stream.on('data', (chunk: Buffer) => reader.push(chunk));
  stream.once('end', () => end('the supervisor closed the stream'));
  stream.once('close', () => end('the stream to the supervisor closed'));
  stream.on('error', (error) => end(error.message));

  const send = (message: Ask): boolean => {
    if (over || stream.writableLength > queueBytes) {
      refused++;
      return false;
    }
    const line = encodeLine(message);
    if (Buffer.byteLength(line) > maxLineBytes) {
      refused++;
      return false;
    }
    stream.write(line);
    return true;
  };

  const reachable = (targets: readonly Target[]): readonly Target[] => {
    const taken = targets.filter(isTarget).slice(0, limits.targets);
    refused += targets.length - taken.length;
    return taken;
  };

  return {
    session: (cell, epoch, targets, guardMs) =>
      send({ do: 'session', cell, epoch, targets: reachable(targets), guardMs }),
    targets: (cell, epoch, targets) => send({ do: 'targets', cell, epoch, targets: reachable(targets) }),
    start: (duty) => send({ do: 'start', ...duty, ...stampOf(readClocks()) }),
    extend: (duty, until) => send({ do: 'extend', duty, until, ...stampOf(readClocks()) }),
    stop: (duty, graceMs) => send({ do: 'stop', duty, graceMs }),
    beat: () => send({ do: 'beat' }),
    get counts() {
      return { garbage: garbage + reader.oversized, refused };
    },
    close() {
      over = true;
      stream.destroy();
    },
  };
}
