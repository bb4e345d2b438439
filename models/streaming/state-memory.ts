/** What is nearest to a place in memory. */
export interface Nearest {
  readonly distance: number;
  /** Slot in memory, -1 while it is empty. */
  readonly slot: number;
}

/**
 * States that a stream has been in, kept as points with a distance between them: what lies near a kept point is
 * known already and only renews it. So memory holds what is different, not what is frequent, and stays small however
 * long the stream is. When it is full, the point that has gone longest without a visit makes room.
 *
 * Distances are in deviations of each coordinate; the caller hands them in, because they change as it learns.
 */
export class StateMemory {
  readonly #dimensions: number;
  readonly #spacing: number;
  readonly #capacity: number;
  readonly #points: Float64Array;
  readonly #visited: Float64Array;
  #filled = 0;
  #visits = 0;

  constructor(dimensions: number, spacing: number, capacity: number) {
    this.#dimensions = dimensions;
    this.#spacing = spacing;
    this.#capacity = capacity;
    this.#points = new Float64Array(dimensions * capacity);
    this.#visited = new Float64Array(capacity);
  }

  get size(): number {
    return this.#filled;
  }

  /** Distance from `place` to the nearest kept state; a coordinate that never varied counts as far when it differs. */
  nearest(place: readonly number[], deviations: readonly number[]): Nearest {
    let best = Number.POSITIVE_INFINITY;
    let slot = -1;
    // The innermost loop of a detector: two coordinates at most, written out.
    const points = this.#points;
    const x = place[0] ?? 0;
    const perX = 1 / Math.max(deviations[0] ?? 0, Number.MIN_VALUE * 2 ** 52);
    if (this.#dimensions === 1) {
      for (let i = 0; i < this.#filled; i++) {
        const step = Math.abs(x - (points[i] as number));
        if (step < best) {
          best = step;
          slot = i;
        }
      }
      return { distance: best === 0 ? 0 : best * perX, slot };
    }
    const y = place[1] ?? 0;
    const perY = 1 / Math.max(deviations[1] ?? 0, Number.MIN_VALUE * 2 ** 52);
    for (let i = 0; i < this.#filled; i++) {
      const stepX = (x - (points[2 * i] as number)) * perX;
      const stepY = (y - (points[2 * i + 1] as number)) * perY;
      const sum = stepX * stepX + stepY * stepY;
      if (sum < best) {
        best = sum;
        slot = i;
      }
    }
    return { distance: Math.sqrt(best), slot };
  }

  learn(place: readonly number[], deviations: readonly number[]): void {
    this.#visits++;
    const { distance, slot } = this.nearest(place, deviations);
    if (slot >= 0 && distance <= this.#spacing) {
      this.#visited[slot] = this.#visits;
      return;
    }
    let at = this.#filled;
    if (this.#filled < this.#capacity) this.#filled++;
    else {
      at = 0;
      for (let i = 1; i < this.#filled; i++) if ((this.#visited[i] ?? 0) < (this.#visited[at] ?? 0)) at = i;
    }
    for (let j = 0; j < this.#dimensions; j++) this.#points[at * this.#dimensions + j] = place[j] ?? 0;
    this.#visited[at] = this.#visits;
  }

  /** Lowest and highest kept value of one coordinate; undefined while empty. */
  range(coordinate: number): readonly [number, number] | undefined {
    if (this.#filled === 0) return undefined;
    let low = Number.POSITIVE_INFINITY;
    let high = Number.NEGATIVE_INFINITY;
    for (let i = 0; i < this.#filled; i++) {
      const value = this.#points[i * this.#dimensions + coordinate] ?? 0;
      if (value < low) low = value;
      if (value > high) high = value;
    }
    return [low, high];
  }

  values(): { points: number[]; visited: number[]; visits: number } {
    return {
      points: Array.from(this.#points.subarray(0, this.#filled * this.#dimensions)),
      visited: Array.from(this.#visited.subarray(0, this.#filled)),
      visits: this.#visits,
    };
  }

  restore(saved: {
    readonly points: readonly number[];
    readonly visited: readonly number[];
    readonly visits: number;
  }): void {
    this.#filled = Math.min(this.#capacity, saved.visited.length);
    for (let i = 0; i < this.#filled; i++) {
      this.#visited[i] = saved.visited[i] ?? 0;
      for (let j = 0; j < this.#dimensions; j++) {
        this.#points[i * this.#dimensions + j] = saved.points[i * this.#dimensions + j] ?? 0;
      }
    }
    this.#visits = saved.visits;
  }
}
