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

/** A score over one window. `anomalous` is the manifest's threshold applied, so the core needs no manifest. */
export interface Score {
  readonly value: number;
  readonly threshold: number;
  readonly contributions: readonly Contribution[];
}
