import type { AgentIndex, DutyIndex, SignalIndex } from './ids.ts';

/**
 * Who carries an entry of a body: a box's entries run on that box, an asset's on the holder of its duty, the site's
 * own on every agent (each judges for itself; the coordinator folds the same alarm from several reporters).
 */
export type Location =
  | { readonly on: 'agent'; readonly agent: AgentIndex }
  | { readonly on: 'holder'; readonly duty: DutyIndex }
  | { readonly on: 'every' };

/** In which states of which thing an entry applies (`only-in`). `state` is that thing's reserved signal. */
export interface OnlyIn {
  readonly state: SignalIndex;
  readonly states: readonly string[];
}
