import type { AgentIndex, DutyIndex } from '../../base/ids.ts';
import { type DutyMessage, maxUnable, type Stance } from './claim.ts';

export type Claim = Extract<DutyMessage, { kind: 'claim' }>;

/**
 * What each peer last said of itself in its claims: its place in the order of its own words, and what it will not take.
 * Claims rise by (boot, sequence); what comes twice or late says nothing.
 */
export class ClaimEar {
  /** At most one per agent of the site, and only of those whose claims reach us. */
  readonly #last = new Map<AgentIndex, Word>();

  /** False for a repetition and for a word of the past. */
  accepts(from: AgentIndex, { bootCounter, seq, stance, unable }: Claim): boolean {
    const last = this.#last.get(from);
    if (last !== undefined) {
      if (bootCounter < last.bootCounter || (bootCounter === last.bootCounter && seq <= last.seq)) return false;
    }
    this.#last.set(from, {
      bootCounter,
      seq,
      stance,
      unable: unable === undefined || unable.length === 0 ? none : new Set(unable.slice(0, maxUnable)),
    });
    return true;
  }

  stance(agent: AgentIndex): Stance | undefined {
    return this.#last.get(agent)?.stance;
  }

  isUnable(agent: AgentIndex, duty: DutyIndex): boolean {
    return this.#last.get(agent)?.unable.has(duty) === true;
  }

  /** It is gone: its next life says all of it anew. */
  forget(agent: AgentIndex): void {
    this.#last.delete(agent);
  }
}

interface Word {
  readonly bootCounter: number;
  readonly seq: number;
  readonly stance: Stance | undefined;
  readonly unable: ReadonlySet<DutyIndex>;
}

const none: ReadonlySet<DutyIndex> = new Set();
