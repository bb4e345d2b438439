import type { CheckIndex, EntryId, ModelIndex, SignalIndex, ThingIndex } from '../../base/ids.ts';
import type { Location, OnlyIn } from '../../base/location.ts';
import type { Dwell } from './check.ts';

/**
 * A model on a thing: an ONNX file, or a detector that learns on the box. The core sees scores only; windows, learning
 * and inference are an adapter's business.
 */
export interface ModelSpec {
  readonly index: ModelIndex;
  readonly id: EntryId;
  readonly thing: ThingIndex;
  readonly runsOn: Location;
  /** Folder or file stem of the model below the site's model folder; empty when it learns on the box. */
  readonly file: string;
  /** sha256 that the site file promises, when it does; hex. */
  readonly sha256: string | undefined;
  /** The same of what stands beside it: threshold, inputs, units. */
  readonly manifestSha256?: string | undefined;
  /** Scored beside it, raises nothing. */
  readonly shadow?:
    | { readonly file: string; readonly sha256: string | undefined; readonly manifestSha256?: string | undefined }
    | undefined;
  /** Highest share of windows above the threshold that nobody confirms, 0..1. */
  readonly falseAlarms?: number | undefined;
  /** How often another one is trained on the box from what it recorded; undefined: by order only. */
  readonly retrainMs?: number | undefined;
  /** The model's input names and the signals that feed them, in the manifest's order after loading. */
  readonly inputs: readonly { readonly name: string; readonly signal: SignalIndex }[];
  readonly raise: Dwell;
  readonly clear: Dwell;
  /** Rows in other states of the plant are neither judged nor learnt from. */
  readonly onlyIn?: readonly OnlyIn[] | undefined;
  /** It comes without a file and learns what is usual here. */
  readonly learn?: Learning | undefined;
}

/** How a detector learns on the box. Rows are means over `rowMs` of source time. */
export interface Learning {
  readonly rowMs: number;
  /** Rows from which it only learns. */
  readonly afterRows: number;
  /** What is new is not learnt until it has lasted so many rows; 0: one window later it is known. */
  readonly holdRows: number;
  /** How much must be new before it counts; what the words mean is the detector's business. */
  readonly sensitivity: 'high' | 'medium' | 'low';
  /** Inputs that are the values of checks, such as the box's own load. */
  readonly checks: readonly { readonly name: string; readonly check: CheckIndex }[];
}

export interface Contribution {
  readonly signal: SignalIndex;
  /** Share of the score that this signal explains, 0..1. */
  readonly share: number;
}

/**
 * What a model says of one window. The threshold is the manifest's, so that the core needs no manifest. A model may tell
 * what a window is (`class`) or what will be (`forecast`) beside a score or instead of one; NaN is no score.
 */
export interface Score {
  readonly value: number;
  readonly threshold: number;
  readonly contributions: readonly Contribution[];
  /** What the model says in words, in place of the figures: "10 rows lie at 95 bar, above the range seen". */
  readonly text?: string | undefined;
  /** By the name that conditions use; undefined: it could not tell. Absent: it never tells. */
  readonly class?: string | undefined;
  readonly forecast?: Forecast | undefined;
}

/** A number with its dimension, in that dimension's base unit, so that whoever asks may ask in any unit of it. */
export interface Forecast {
  readonly value: number;
  /** `time`, `pressure` …; a unit that no table knows is its own dimension. */
  readonly dimension: string;
}
