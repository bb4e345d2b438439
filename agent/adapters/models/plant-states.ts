import type { SignalIndex } from '../../base/ids.ts';
import type { OnlyIn } from '../../base/location.ts';
import type { Instant } from '../../base/time.ts';
import type { Sample, SignalSpec } from '../../core/health/signal.ts';

/** What is known of one state over time: from then on it was this; undefined, nobody knew. */
interface Change {
  readonly from: number;
  readonly state: string | undefined;
}

interface Watched {
  readonly onlyIn: OnlyIn;
  readonly names: ReadonlyMap<number, string> | undefined;
  readonly freshMs: number;
  /** Oldest first, the last one holds. */
  changes: Change[];
  heard: Instant | undefined;
}

/** How a row stands to `only-in`: it counts; the plant is elsewhere, in words; or nobody knows. */
export type Standing =
  | { readonly kind: 'in' }
  | { readonly kind: 'out'; readonly why: string }
  | { readonly kind: 'unknown' };

/** Changes that are remembered: rows are seconds late at the most. */
const mostChanges = 16;
const inside: Standing = { kind: 'in' };
const unknown: Standing = { kind: 'unknown' };

/**
 * In which state the plant was when a row was measured. Where the state comes from the same device as the inputs its own
 * stamps tell, so that a row which closes a second late is not held for one of the new state; from another device, whose
 * clock may be another, what was heard last counts. A state that is stale or of bad quality is unknown.
 *
 * A row that came in the same reading as the change, and before it, is taken for one of the old state.
 */
export class PlantStates {
  readonly #watched: readonly Watched[];
  readonly #bySource: boolean;

  constructor(onlyIn: readonly OnlyIn[], inputs: readonly SignalIndex[], signals: readonly SignalSpec[]) {
    this.#watched = onlyIn.map((one) => ({
      onlyIn: one,
      names: signals[one.state]?.states,
      freshMs: signals[one.state]?.freshMs ?? 0,
      changes: [],
      heard: undefined,
    }));
    const devices = new Set([...inputs, ...onlyIn.map(({ state }) => state)].map((signal) => signals[signal]?.duty));
    this.#bySource = devices.size === 1;
  }

  /** Signals that have to be brought to `take`. */
  get signals(): readonly SignalIndex[] {
    return this.#watched.map(({ onlyIn }) => onlyIn.state);
  }

  take({ signal, value, quality, sourceTime, receiveTime }: Sample): void {
    for (const one of this.#watched) {
      if (one.onlyIn.state !== signal) continue;
      one.heard = receiveTime;
      const state = quality === 'good' ? one.names?.get(value) : undefined;
      const last = one.changes.at(-1);
      if (last !== undefined && last.state === state) continue;
      const from = this.#bySource ? sourceTime : receiveTime;
      // A clock that was set back, or a recording that begins anew: what was known belongs to another time.
      if (last !== undefined && from < last.from) one.changes = [];
      one.changes.push({ from, state });
      if (one.changes.length > mostChanges) one.changes.shift();
    }
  }

  /** Of a row of `time` by its source; `now`: the latest receipt. */
  at(time: number, now: Instant): Standing {
    let isKnown = true;
    for (const { onlyIn, changes, heard, freshMs } of this.#watched) {
      const isFresh = heard !== undefined && now - heard <= freshMs;
      const held = this.#bySource ? changes.findLast(({ from }) => from <= time) : changes.at(-1);
      const state = isFresh ? held?.state : undefined;
      if (state === undefined) isKnown = false;
      else if (!onlyIn.states.includes(state)) return { kind: 'out', why: `while ${state}` };
    }
    return isKnown ? inside : unknown;
  }
}
