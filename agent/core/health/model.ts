import type { EntryId, ModelIndex, SignalIndex, ThingIndex } from '../../base/ids.ts';
import type { Location } from '../../base/location.ts';
import type { Dwell } from './check.ts';

/** An ONNX model on a thing. The core sees its scores only; windows and inference are an adapter's business. */
export interface ModelSpec {
  readonly index: ModelIndex;
  readonly id: EntryId;
  readonly thing: ThingIndex;
  readonly runsOn: Location;
  /** Folder or file stem of the model below the site's model folder. */
  readonly file: string;
  /** sha256 that the site file promises, when it does; hex. */
  readonly sha256: string | undefined;
  /** The model's input names and the signals that feed them, in the manifest's order after loading. */
  readonly inputs: readonly { readonly name: string; readonly signal: SignalIndex }[];
  readonly raise: Dwell;
  readonly clear: Dwell;
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
