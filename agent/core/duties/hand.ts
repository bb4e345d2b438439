import type { AgentIndex } from '../../base/ids.ts';
import { type Instant, never } from '../../base/time.ts';
import type { DutySpec } from './duty.ts';
import type { Replication } from './handover.ts';
import type { StaticOrder } from './placement.ts';

/** What another runner last said of one duty. */
export interface HeardClaim {
  readonly agent: AgentIndex;
  at: Instant;
  readonly term: number;
  /** Its agent drains: it carries the duty until another does, and every other runner goes before it. */
  readonly isOffer: boolean;
  /** How many of its claims in a row named us, while we carried the duty as well. */
  named: number;
}

/**
 * The last claim of each other runner of one duty: nearly always one, at most one per eligible agent. A short list, since
 * a map for each duty in sight is most of what five thousand agents in one process would weigh.
 */
export class HeardClaims {
  #list: readonly HeardClaim[] = silence;

  get size(): number {
    return this.#list.length;
  }

  get(agent: AgentIndex): HeardClaim | undefined {
    return this.#list.find((claim) => claim.agent === agent);
  }

  has(agent: AgentIndex): boolean {
    return this.get(agent) !== undefined;
  }

  /** Somebody carries it and means to go on. */
  get isFirm(): boolean {
    return this.#list.some((claim) => !claim.isOffer);
  }

  set(claim: HeardClaim): void {
    // It says again what it said before: the usual word, every period.
    const known = this.get(claim.agent);
    if (known !== undefined && known.term === claim.term && known.isOffer === claim.isOffer) {
      known.at = claim.at;
      return;
    }
    this.#list = [...this.#list.filter(({ agent }) => agent !== claim.agent), claim];
  }

  delete(agent: AgentIndex): void {
    const left = this.#list.filter((claim) => claim.agent !== agent);
    this.#list = left.length === 0 ? silence : left;
  }

  /** We take the duty or give it up: what was said of us before counts no more. */
  unname(): void {
    for (const claim of this.#list) claim.named = 0;
  }

  /** As it is now: what is set or deleted meanwhile does not disturb. */
  [Symbol.iterator](): Iterator<HeardClaim> {
    return this.#list[Symbol.iterator]();
  }
}

const silence: readonly HeardClaim[] = [];

/** Everything that this agent knows of one duty that it may carry, or watches others carry. */
export interface Hand {
  readonly spec: DutySpec;
  readonly order: StaticOrder;
  readonly isEligible: boolean;
  phase: 'idle' | 'starting' | 'running' | 'stopping';
  term: number;
  sequence: number;
  runningSince: Instant;
  readonly claims: HeardClaims;
  /** The claim, by number, that last listed it. */
  listed: number;
  /** Since when nobody claims it, or only who wants to give it away. */
  unclaimedSince: Instant;
  /** The runner whom silence or death took from it, until another claims it. */
  lost: AgentIndex | undefined;
  /** It failed here: no new try before this. */
  notBefore: Instant;
  failures: number;
  failure: string | undefined;
  holder: AgentIndex | undefined;
  /** While it is carried here. */
  replication: Replication | undefined;
  /** When a replica last went to the disk, and of which term; whether a newer one is only in memory. */
  saved: { readonly at: Instant; readonly term: number } | undefined;
  unsaved: boolean;
  wakeAt: Instant;
}

export function newHand(spec: DutySpec, order: StaticOrder, isEligible: boolean, term: number): Hand {
  return {
    spec,
    order,
    isEligible,
    phase: 'idle',
    term,
    sequence: 0,
    runningSince: never,
    claims: new HeardClaims(),
    listed: 0,
    unclaimedSince: never,
    lost: undefined,
    notBefore: 0 as Instant,
    failures: 0,
    failure: undefined,
    holder: undefined,
    replication: undefined,
    saved: undefined,
    unsaved: false,
    wakeAt: never,
  };
}

export const isHeld = (hand: Hand | undefined): boolean => hand?.phase === 'starting' || hand?.phase === 'running';
