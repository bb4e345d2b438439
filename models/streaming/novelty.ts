import type { RollingWindow } from './rolling-window.ts';
import { RunningScale } from './running-scale.ts';
import { StateMemory } from './state-memory.ts';

/** What a feature looks at: the level alone, or level and spread together. */
export type FeatureKind = 'level' | 'state';

export interface FeatureOptions {
  readonly kind: FeatureKind;
  /** Rows that are looked at together. */
  readonly rows: number;
  /** Deviations to the nearest known state that are worth an evidence of 1. */
  readonly reach: number;
  /** Nearer than this to something known is known; in deviations. */
  readonly spacing: number;
  readonly capacity: number;
  /** Rows after which old ones fade from the scale. */
  readonly horizon: number;
}

/** One feature's saved state; numbers only. */
export interface FeatureState {
  readonly points: readonly number[];
  readonly visited: readonly number[];
  readonly visits: number;
  readonly scales: readonly (readonly [number, number, number])[];
  readonly waiting: readonly (readonly number[])[];
}

/** Evidence is cut here: beyond, "farther" says nothing more. */
const evidenceCap = 20;

/**
 * Is what the stream does now like anything it has done before? The window's level (and spread) is a place; the
 * distance to the nearest place ever visited is the novelty. It needs no shape of distribution, knows gaps between two
 * ways of running as well as limits, and counts a state that was seen once as known: what is rare is not therefore new.
 *
 * A place is learnt one window later, when it shares no row with the window that is judged; else everything would be
 * near to itself. Distance-based novelty over a growing set of prototypes goes back to adaptive resonance theory
 * (Carpenter and Grossberg 1987) and conformal nearest-neighbour detectors (Burnaev and Ishimtsev 2016).
 */
export class NoveltyFeature {
  readonly options: FeatureOptions;
  readonly #memory: StateMemory;
  readonly #scales: readonly RunningScale[];
  readonly #waiting: number[][] = [];
  #place: number[] = [];

  constructor(options: FeatureOptions) {
    this.options = options;
    const dimensions = options.kind === 'level' ? 1 : 2;
    this.#memory = new StateMemory(dimensions, options.spacing, options.capacity);
    this.#scales = Array.from({ length: dimensions }, () => new RunningScale(options.horizon));
  }

  /** Where the window stands now: level, and spread for a state. */
  get place(): readonly number[] {
    return this.#place;
  }

  get size(): number {
    return this.#memory.size;
  }

  known(coordinate: number): readonly [number, number] | undefined {
    return this.#memory.range(coordinate);
  }

  /** Evidence of novelty, 0 (seen) to 20; 0 as well while the window is not full. `learn` false: judged, not learnt. */
  take(window: RollingWindow, learn: boolean): number {
    if (!window.full) return 0;
    const place = this.options.kind === 'level' ? [window.mean] : [window.mean, window.spread];
    this.#place = place;
    if (learn) for (const [j, scale] of this.#scales.entries()) scale.push(place[j] ?? 0);
    const deviations = this.#scales.map((scale) => scale.deviation);
    if (learn) {
      this.#waiting.push(place);
      if (this.#waiting.length > this.options.rows) {
        const ripe = this.#waiting.shift();
        if (ripe !== undefined) this.#memory.learn(ripe, deviations);
      }
    }
    if (this.#memory.size === 0) return 0;
    const { distance } = this.#memory.nearest(place, deviations);
    return Math.min(evidenceCap, distance / this.options.reach);
  }

  /** A hole in the stream: what waited next to it is forgotten, memory stays. */
  interrupt(): void {
    this.#waiting.length = 0;
  }

  state(): FeatureState {
    return {
      ...this.#memory.values(),
      scales: this.#scales.map((scale) => scale.values()),
      waiting: this.#waiting.map((place) => [...place]),
    };
  }

  restore(state: FeatureState): void {
    this.#memory.restore(state);
    for (const [j, scale] of this.#scales.entries()) {
      const saved = state.scales[j];
      if (saved !== undefined) scale.restore(saved);
    }
    this.#waiting.length = 0;
    for (const place of state.waiting.slice(-this.options.rows)) this.#waiting.push([...place]);
  }
}
