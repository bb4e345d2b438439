import { hashUnit } from '../../base/hash.ts';
import type { CheckIndex } from '../../base/ids.ts';
import { after, type Instant, instant, never } from '../../base/time.ts';
import type { CheckSpec } from './check.ts';

/** A new watcher wants its first answers soon, but not all of them in the same instant. */
const firstWithinMs = 2_000;

/**
 * When each check is due. Every check keeps its own phase, drawn from its name and the box, so that twenty checks of a
 * minute do not become a burst each minute, and the phase is the same after a restart. A late tick runs a check once:
 * missed periods are not made up for, as a burst after a stall would prolong the stall.
 */
export class CheckSchedule {
  readonly #due = new Map<CheckIndex, { readonly everyMs: number; at: Instant }>();
  readonly #salt: number;
  #next: Instant = never;

  /** `salt` tells boxes apart, so that the same check of the site does not run everywhere at once. */
  constructor(salt: number) {
    this.#salt = salt;
  }

  get deadline(): Instant {
    return this.#next;
  }

  start(now: Instant, spec: CheckSpec): void {
    const at = after(now, hashUnit(spec.id, this.#salt) * Math.min(spec.everyMs, firstWithinMs));
    this.#due.set(spec.index, { everyMs: spec.everyMs, at });
    this.#next = instant(Math.min(this.#next, at));
  }

  stop(check: CheckIndex): void {
    this.#due.delete(check);
  }

  /** Appends the checks that are due, by index, and plans their next time. */
  take(now: Instant, due: CheckIndex[]): void {
    if (now < this.#next) return;
    let next: Instant = never;
    for (const [check, entry] of this.#due) {
      if (entry.at <= now) {
        due.push(check);
        const missed = Math.floor((now - entry.at) / entry.everyMs);
        entry.at = after(entry.at, (missed + 1) * entry.everyMs);
      }
      next = instant(Math.min(next, entry.at));
    }
    this.#next = next;
    due.sort((a, b) => a - b);
  }
}
