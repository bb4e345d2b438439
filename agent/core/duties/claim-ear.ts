import type { AgentIndex, DutyIndex } from '../../base/ids.ts';
import type { Instant } from '../../base/time.ts';
import { type DutyMessage, maxUnable, type Stance } from './claim.ts';

export type Claim = Extract<DutyMessage, { kind: 'claim' }>;

/**
 * What each peer last said of itself in its claims: its place in the order of its own words, and what it will not take.
 * Claims rise by (boot, sequence); what comes twice or late says nothing.
 *
 * But nothing is on its way for `lateAtMostMs`. Who has said nothing new for so long and then begins again further down
 * is not late: it is a new life on a blank disk, which counts from the start. (One that is back before anybody missed it
 * is to membership the boot that it was before, so the boot counter does not tell.)
 */
export class ClaimEar {
  /** At most one per agent of the site, and only of those whose claims reach us. */
  readonly #last = new Map<AgentIndex, Word>();

  /** False for a repetition and for a word of the past. */
  accepts(now: Instant, from: AgentIndex, { bootCounter, seq, stance, unable }: Claim): boolean {
    const last = this.#last.get(from);
    if (last !== undefined && now - last.at < lateAtMostMs) {
      if (bootCounter < last.bootCounter || (bootCounter === last.bootCounter && seq <= last.seq)) return false;
    }
    if (last !== undefined && last.stance === stance && last.unable === none && isNothing(unable)) {
      // As usual nothing but its number is new.
      last.at = now;
      last.bootCounter = bootCounter;
      last.seq = seq;
      return true;
    }
    this.#last.set(from, {
      at: now,
      bootCounter,
      seq,
      stance,
      unable: isNothing(unable) ? none : new Set(unable?.slice(0, maxUnable)),
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
  at: Instant;
  bootCounter: number;
  seq: number;
  readonly stance: Stance | undefined;
  readonly unable: ReadonlySet<DutyIndex>;
}

const none: ReadonlySet<DutyIndex> = new Set();
const isNothing = (unable: readonly DutyIndex[] | undefined): boolean => unable === undefined || unable.length === 0;
/** Beyond what TCP tries again before a connection is given up and its last words with it. */
const lateAtMostMs = 10_000;
