import type { AgentIndex, BootId } from '../../base/ids.ts';

/** A member as others see it. `left` and `dead` bind to one boot. */
export type MemberState = 'unknown' | 'alive' | 'suspect' | 'dead' | 'left';

/**
 * What is said about one member. Ordered by (bootCounter, incarnation), then by state: at equal numbers suspicion
 * and death win over alive; alive needs strictly greater (SWIM §4.2, with the boot in front).
 */
export interface MemberUpdate {
  readonly member: AgentIndex;
  readonly state: Exclude<MemberState, 'unknown'>;
  readonly bootCounter: number;
  readonly incarnation: number;
  /** Who says so; dynamic suspicion counts distinct ones (Lifeguard §IV.B). */
  readonly origin: AgentIndex;
  /** Of the origin, 64 bytes; absent where the origin speaks itself, and in sites that do not sign. See statements.ts. */
  readonly signature?: Uint8Array;
}

/**
 * Messages of the failure detector, on long-lived direct streams. `updates` ride along (SWIM §4.1); `digestVersion`
 * tells the receiver whether the sender's health digest changed.
 */
export type MembershipMessage =
  | {
      readonly kind: 'ping';
      readonly seq: number;
      readonly digestVersion: number;
      readonly updates: readonly MemberUpdate[];
    }
  | {
      readonly kind: 'ack';
      readonly seq: number;
      readonly digestVersion: number;
      readonly updates: readonly MemberUpdate[];
    }
  /** Ask a helper to ping `target`; it answers `ack` with our seq, or `nack` when it heard nothing in time. */
  | {
      readonly kind: 'ping-request';
      readonly seq: number;
      readonly target: AgentIndex;
      readonly updates: readonly MemberUpdate[];
    }
  | { readonly kind: 'nack'; readonly seq: number; readonly updates: readonly MemberUpdate[] }
  /** Updates alone: suspicion told to the suspect, refutation straight back, dissemination while queued. */
  | {
      readonly kind: 'gossip';
      readonly updates: readonly MemberUpdate[];
      /** Members of whom the receiver told numbers alone, and of whom the sender wants its statement in full. */
      readonly wants?: readonly AgentIndex[];
    }
  /** First words on a fresh connection: who I am in this life. */
  | {
      readonly kind: 'hello';
      readonly boot: BootId;
      readonly bootCounter: number;
      readonly incarnation: number;
      readonly updates: readonly MemberUpdate[];
    }
  /**
   * Anti-entropy: what our whole table comes to; if yours differs, what the buckets of yours come to; the numbers that
   * we have in the buckets that differ; then, with no buckets, entries that the other lacks, and members of whom more is
   * wanted.
   */
  | {
      readonly kind: 'sync';
      readonly hash: number;
      /** By the way, to one of our cell: what our health digests come to, see health/digest-exchange.ts. */
      readonly digests?: number;
      readonly updates: readonly MemberUpdate[];
    }
  | { readonly kind: 'sync-buckets'; readonly hashes: readonly number[]; readonly updates: readonly MemberUpdate[] }
  | {
      readonly kind: 'sync-entries';
      readonly buckets: readonly number[];
      readonly wants: readonly AgentIndex[];
      readonly updates: readonly MemberUpdate[];
    };
