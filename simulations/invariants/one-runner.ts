import type { World } from '../world/world.ts';
import type { Violation } from './invariants.ts';

/**
 * Of an available duty one runner is left in each component: two boxes that are awake and reach each other both ways,
 * without a break, do not both run it for longer than it takes to hear of each other. For a moment they may: after a
 * partition, after a return, while work is handed over and the new one has begun before the old one ends.
 *
 * Exclusive duties are judged elsewhere: there two are wrong at once.
 */
export class OneRunner {
  readonly #withinMs: number;
  /** Since when a pair of boxes has run a duty together in reach of each other; by duty, then by pair. */
  readonly #since = new Map<number, Map<number, number>>();
  readonly #told = new Set<string>();

  constructor(withinMs: number) {
    this.#withinMs = withinMs;
  }

  /**
   * With `excused`, nothing is promised at this moment, and what went on until now counts no more. `isExcused`: the
   * first one need not be heard by the second.
   */
  check(world: World, excused: boolean, isExcused: (one: number, other: number) => boolean): readonly Violation[] {
    const found: Violation[] = [];
    for (const { index, id, eligible, exclusive } of world.plan.duties) {
      if (exclusive) continue;
      const runners = excused ? [] : eligible.filter((agent) => world.boxes[agent]!.running.has(index));
      const before = this.#since.get(index);
      if (runners.length < 2) {
        if (before) this.#since.delete(index);
        continue;
      }
      const now = new Map<number, number>();
      for (const [n, one] of runners.entries()) {
        for (const other of runners.slice(n + 1)) {
          if (isExcused(one, other) || isExcused(other, one) || !inTouch(world, one, other)) continue;
          const pair = one * world.boxes.length + other;
          const since = before?.get(pair) ?? world.now;
          now.set(pair, since);
          const ms = world.now - since;
          const key = `${index} ${pair} ${since}`;
          if (ms <= this.#withinMs || this.#told.has(key)) continue;
          this.#told.add(key);
          const text = `${id} runs on boxes ${one} and ${other} for ${Math.round(ms)} ms, and they reach each other`;
          found.push({ invariant: 'one runner in each component', atMs: world.now, text });
        }
      }
      this.#since.set(index, now);
    }
    return found;
  }
}

/** Both awake, and connected both ways over wires that work. */
const inTouch = (world: World, one: number, other: number): boolean =>
  [one, other].every((agent) => world.boxes[agent]!.up && world.boxes[agent]!.pausedUntil === 0) &&
  world.network.isWhole(one, other) &&
  world.channels.isConnected(one, other) &&
  world.channels.isConnected(other, one);
