import type { DutyIndex } from '../../base/ids.ts';
import type { Checkpoint, DutySpec } from '../../core/duties/duty.ts';
import type { Fence } from '../../core/duties/exclusive-duties.ts';

/**
 * Carries one kind of duty. `start` returns at once and is answered by `duty-started` or `duty-failed`; what goes on
 * later comes as further inputs (`checkpoint-taken`, `schedule-due`, samples). `stop` resolves when nothing of the
 * duty is left on this box, in bounded time; the duty port then says `duty-stopped`.
 *
 * A runner may count on this: the duty port never starts a duty that is running, nor one whose stop is under way.
 */
export interface DutyRunner {
  start(duty: DutySpec, term: number, checkpoint: Checkpoint | undefined, fence?: Fence): void;
  /** An exclusive duty goes on, to a later instant or under a larger token. */
  extend?(duty: DutyIndex, fence: Fence): void;
  /** `atOnce`: no grace, its right has ended; also while a gentler stop is under way. */
  stop(duty: DutyIndex, atOnce?: boolean): Promise<void>;
  stopAll(): Promise<void>;
}

/** What adapters need of a logger; pino's loggers are this. */
export interface Log {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}
