import type { Random } from '../../base/random.ts';
import { after, type Instant } from '../../base/time.ts';

/**
 * The move budget: moves of one's own accord are at most max(1, share of the duties in sight) per minute, counted over
 * all agents that are in sight. Every move costs a restart of the work, and what it gains is balance, which can wait.
 *
 * There is no referee: each agent counts the moves that it hears of and its own, and tries after a random pause that
 * grows with the number of agents. Two that draw the same moment to within the mesh's delay may overdraw by one.
 */
export class MoveBudget {
  readonly perMinute: number;
  readonly #random: Random;
  readonly #spreadMs: number;
  /** Moves of the last minute, oldest first; more than twice the budget need not be told apart. */
  readonly #moves: Instant[] = [];

  constructor(duties: number, agents: number, share: number, random: Random) {
    this.perMinute = Math.max(1, Math.floor(duties * share));
    this.#random = random;
    this.#spreadMs = Math.min(10_000, Math.max(1_000, agents * 100));
  }

  /** A duty changed hands although its runner lives; ours or another's. */
  moved(now: Instant): void {
    this.#moves.push(now);
    if (this.#moves.length > 2 * this.perMinute) this.#moves.shift();
  }

  allows(now: Instant): boolean {
    while (this.#moves.length > 0 && now - this.#moves[0]! >= minuteMs) this.#moves.shift();
    return this.#moves.length < this.perMinute;
  }

  /** When to look again. */
  next(now: Instant): Instant {
    return after(now, leastPauseMs + this.#random.between(0, this.#spreadMs));
  }
}

const minuteMs = 60_000;
const leastPauseMs = 1_000;
