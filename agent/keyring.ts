import type { KeyObject } from 'node:crypto';
import { publicKeyOf, type Roster } from './wire/roster.ts';

/** Public keys of who belongs now. That may change while the process runs; what a revoked agent signed counts no more. */
export class Keyring {
  #roster: Roster;
  readonly #keys = new Map<string, KeyObject>();

  constructor(roster: Roster) {
    this.#roster = roster;
  }

  replace(roster: Roster): void {
    this.#roster = roster;
  }

  /** Undefined: nobody of that name belongs. */
  keyOf(agent: string): KeyObject | undefined {
    const entry = this.#roster.agents.find(({ id }) => id === agent);
    if (entry === undefined) return undefined;
    let key = this.#keys.get(entry.key);
    if (key !== undefined) return key;
    // As many as the roster has, and those of the one before it.
    if (this.#keys.size > 2 * this.#roster.agents.length) this.#keys.clear();
    key = publicKeyOf(entry);
    this.#keys.set(entry.key, key);
    return key;
  }
}
