import type { Random } from '../../base/random.ts';
import type { Result } from '../../base/result.ts';
import type { Instant, WallTime } from '../../base/time.ts';
import type { Sample } from '../../core/health/signal.ts';
import type { Connection, Tag } from '../../driver/bindings.ts';
import type { LentConnection } from '../gateway/lent-connection.ts';

/**
 * One connected device, read. Reading is all it can do: what changes something on a device stands in
 * [`../gateway/`](../gateway), behind the judge of rights.
 *
 * `start` returns at once and never fails: a device that is not there is a state, told by `onLost`, and is tried for
 * ever with jittered back-off. After `stop` resolves no handler is called any more.
 */
export interface PlcSource {
  start(): void;
  /** Bounded: a device that does not answer is left behind after two seconds. */
  stop(): Promise<void>;
  readonly stats: SourceStats;
  /** The connection that is open now, lent for one effect: a small device bears no second one. Undefined: none is. */
  lend?(): LentConnection | undefined;
  /** What the controller says of itself. Never rejects; absent: the protocol has no word for any of it. */
  ask?(question: ControllerQuestion): Promise<Result<ControllerFact, string>>;
}

/** Mode (RUN, STOP), scan time, program, and how well the controller says that it serves. */
export type ControllerQuestion = 'mode' | 'scan' | 'program' | 'service';

export type ControllerFact =
  | { readonly is: 'mode'; readonly mode: 'run' | 'stop' | 'between'; readonly text: string }
  /** Milliseconds of the last scan. */
  | { readonly is: 'scan'; readonly ms: number; readonly text: string }
  /** A hash, hex, that changes with the program. */
  | { readonly is: 'program'; readonly hash: string; readonly text: string }
  /** 0 … 255, as OPC UA Part 4, 6.6.2.4.2 has it: below 200 is degraded. */
  | { readonly is: 'service'; readonly level: number; readonly text: string };

export interface SourceHandlers {
  onSample(sample: Sample): void;
  /** The device cannot be reached or read any more; once per loss, with a reason for people. */
  onLost(reason: string): void;
  /** It answers: first time or again. */
  onFound(): void;
}

/** Counters since the start. */
export interface SourceStats {
  readonly samples: number;
  /** Values that were handed on again because the device said nothing new about them in time. */
  readonly repeats: number;
  readonly connects: number;
  readonly failures: number;
  /** Why the last attempt or connection ended; `onLost` has told the first reason only. */
  readonly lastFailure: string | undefined;
  /** Times the device's own queue ran over: samples are missing. */
  readonly overflows: number;
  /** Exception answers and status codes other than good. */
  readonly refusals: number;
}

export interface SourceClock {
  now(): Instant;
  wall(): WallTime;
}

export interface SourceLog {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
}

export interface SourceOptions<C extends Connection = Connection> {
  readonly connection: C;
  readonly tags: readonly Tag[];
  readonly handlers: SourceHandlers;
  readonly clock: SourceClock;
  readonly random: Random;
  /** Folder for this agent's OPC UA keys and trusted certificates. Nothing is written elsewhere. */
  readonly pki: string;
  readonly log?: SourceLog;
  readonly timing?: Partial<SourceTiming>;
}

export interface SourceTiming {
  /** An attempt to connect ends after this. */
  readonly connectMs: number;
  /** One request without an answer. */
  readonly requestMs: number;
  /** Back-off between attempts: full jitter in [0, min(most, base·2^n)]. */
  readonly backoffBaseMs: number;
  readonly backoffMostMs: number;
}

export const sourceTiming: SourceTiming = {
  connectMs: 5_000,
  requestMs: 1_500,
  backoffBaseMs: 200,
  // A cell's line is not an internet: a controller that restarts should be read again within seconds.
  backoffMostMs: 5_000,
};
