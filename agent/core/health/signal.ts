import type { DutyIndex, EntryId, SignalIndex, ThingIndex } from '../../base/ids.ts';
import type { Instant, WallTime } from '../../base/time.ts';
import type { Expression } from './condition.ts';
import type { Over } from './over-window.ts';

export type Quality = 'good' | 'uncertain' | 'bad';

/** One reading of one signal. `sourceTime` is the device's own stamp: with the tag it is the reading's identity. */
export interface Sample {
  readonly signal: SignalIndex;
  /** NaN only with quality `bad`. Booleans are 0 and 1; states are their code. */
  readonly value: number;
  readonly quality: Quality;
  readonly sourceTime: WallTime;
  readonly receiveTime: Instant;
  /** Why the quality is not good, for people. */
  readonly why?: string;
}

/** One measured quantity over time, after unit and scale. */
export interface SignalSpec {
  readonly index: SignalIndex;
  /** `thing/name`, e.g. `press-7/bearing-rms`. */
  readonly id: EntryId;
  readonly thing: ThingIndex;
  readonly unit: string | undefined;
  /** The poll duty whose holder reads it. */
  readonly duty: DutyIndex;
  readonly everyMs: number;
  /** Older than this by the monotonic clock since receipt is stale, which is unknown. */
  readonly freshMs: number;
  /** Whether quality `uncertain` counts as good. */
  readonly acceptUncertain: boolean;
  /** For `state`: names by code, e.g. 0 → stopped. */
  readonly states: ReadonlyMap<number, string> | undefined;
  /** Reckoned from others, or over a while; undefined: as the device says. */
  readonly derived?: Derived | undefined;
}

/** How a signal is reckoned. Without a formula it is over the readings of its own address. */
export interface Derived {
  readonly formula: Expression | undefined;
  readonly over: Over | undefined;
  /** Signals that the formula reads. */
  readonly inputs: readonly SignalIndex[];
}
