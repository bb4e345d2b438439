import type { AgentIndex } from '../../agent/base/ids.ts';
import type { Instant } from '../../agent/base/time.ts';
import type { LeaseMessage } from '../../agent/core/leases/ballot.ts';
import type { EffectGate } from '../../agent/core/leases/effect-gate.ts';
import type { Succession } from '../../agent/core/leases/epoch.ts';
import type { Proposer } from '../../agent/core/leases/proposer.ts';
import type { Voter, VoterOutput } from '../../agent/core/leases/voter.ts';
import type { LeaseWorldOptions } from './options.ts';

/**
 * A mistake to be planted: parts that replace the shipped ones, and habits of the world around them. Nothing planted is
 * the product as it ships.
 */
export interface Plant {
  readonly voter?: (parts: ConstructorParameters<typeof Voter>[0]) => Voter;
  readonly proposer?: (parts: ConstructorParameters<typeof Proposer>[0]) => Proposer;
  readonly succession?: (parts: ConstructorParameters<typeof Succession>[0]) => Succession;
  readonly gate?: (leases: number) => EffectGate;
  /** A forced epoch begins as if nobody had held a permit. */
  readonly forgetsPermits?: boolean;
  /** Gateways learn of a new epoch by its tokens only. */
  readonly gateWaitsForTokens?: boolean;
  /** A gateway that begins takes what comes, and asks no voters first. */
  readonly gateAsksNobody?: boolean;
  /** What a holder takes for its clock. */
  readonly holderClock?: (monotonic: number, uptime: number, wall: number) => number;
  readonly voterClock?: (monotonic: number, wall: number) => number;
  /** Duty processes outlive their agent, and have no deadline. */
  readonly unsupervised?: boolean;
  /** The certificate goes out when the agent dies, not when its processes are reaped. */
  readonly certificateEarly?: boolean;
  /** Voters' writes stay in a cache that every restart loses. */
  readonly disksCached?: boolean;
  /** One session, and one voter's book, for the duties of two cells. */
  readonly sharesSessions?: boolean;
  readonly memberDead?: (voter: Voter, agent: AgentIndex, now: Instant, out: VoterOutput[]) => void;
  /** For scripted runs: when each copy of a message arrives, in milliseconds from now; undefined: as the wires will. */
  readonly wire?: (
    from: AgentIndex,
    to: AgentIndex,
    message: LeaseMessage,
    now: number,
  ) => readonly number[] | undefined;
  /** What must be there for the mistake to have a chance; both runs, with and without it, get the same. */
  readonly bias?: (options: LeaseWorldOptions) => LeaseWorldOptions;
}
