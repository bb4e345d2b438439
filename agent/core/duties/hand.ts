import type { AgentIndex } from '../../base/ids.ts';
import { type Instant, never } from '../../base/time.ts';
import type { DutySpec } from './duty.ts';
import { Replication } from './handover.ts';
import type { StaticOrder } from './placement.ts';

/** What another runner last said of one duty. */
export interface HeardClaim {
  readonly at: Instant;
  readonly term: number;
  /** Its agent drains: it carries the duty until another does, and every other runner goes before it. */
  readonly isOffer: boolean;
}

/** Everything that this agent knows of one duty that it may carry, or watches others carry. */
export interface Hand {
  readonly spec: DutySpec;
  readonly order: StaticOrder;
  readonly isEligible: boolean;
  phase: 'idle' | 'starting' | 'running' | 'stopping';
  term: number;
  sequence: number;
  runningSince: Instant;
  /** Last claim of each other runner; at most one per eligible agent. */
  readonly claims: Map<AgentIndex, HeardClaim>;
  /** Since when nobody claims it, or only who wants to give it away. */
  unclaimedSince: Instant;
  /** The runner whom silence or death took from it, until another claims it. */
  lost: AgentIndex | undefined;
  /** It failed here: no new try before this. */
  notBefore: Instant;
  failures: number;
  failure: string | undefined;
  /** The better runner that was heard last, and how many of its claims in a row named us. */
  better: AgentIndex | undefined;
  betterClaims: number;
  holder: AgentIndex | undefined;
  replication: Replication;
  /** When a replica last went to the disk, and of which term; whether a newer one is only in memory. */
  saved: { readonly at: Instant; readonly term: number } | undefined;
  unsaved: boolean;
  wakeAt: Instant;
}

export function newHand(
  spec: DutySpec,
  order: StaticOrder,
  isEligible: boolean,
  term: number,
  checkpointEveryMs: number,
): Hand {
  return {
    spec,
    order,
    isEligible,
    phase: 'idle',
    term,
    sequence: 0,
    runningSince: never,
    claims: new Map(),
    unclaimedSince: never,
    lost: undefined,
    notBefore: 0 as Instant,
    failures: 0,
    failure: undefined,
    better: undefined,
    betterClaims: 0,
    holder: undefined,
    replication: new Replication(checkpointEveryMs),
    saved: undefined,
    unsaved: false,
    wakeAt: never,
  };
}

export const isHeld = (hand: Hand | undefined): boolean => hand?.phase === 'starting' || hand?.phase === 'running';

/** Somebody carries it and means to go on. */
export function isFirmlyClaimed(hand: Hand): boolean {
  for (const claim of hand.claims.values()) if (!claim.isOffer) return true;
  return false;
}
