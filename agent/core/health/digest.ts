import type { AgentIndex, CheckIndex, DutyIndex, ModelIndex } from '../../base/ids.ts';
import type { CheckStatus } from './check.ts';

/**
 * What one agent tells its cell of itself by gossip when it changes, and seldom otherwise. Best effort: a view for
 * people and for conditions about others, never for membership, never for leases. Last writer wins by
 * (bootCounter, sequence).
 */
export interface HealthDigest {
  readonly agent: AgentIndex;
  readonly bootCounter: number;
  readonly sequence: number;
  /** Checks that this agent judges and that are not OK. */
  readonly checks: readonly { readonly check: CheckIndex; readonly status: Exclude<CheckStatus, 'ok'> }[];
  /** All checks that this agent judges: absent from `checks` means OK. */
  readonly judges: readonly CheckIndex[];
  readonly anomalous: readonly ModelIndex[];
  readonly duties: readonly { readonly duty: DutyIndex; readonly term: number }[];
  /** 0 is healthy; Lifeguard's local health multiplier. */
  readonly localHealth: number;
  readonly coordinator: 'connected' | 'lost' | 'not-heard';
}

/** Bytes of a digest on the wire, with its signature, about: for budgets, where a few bytes more cost nothing. */
export const approximateDigestBytes = ({ judges, checks, anomalous, duties }: HealthDigest): number =>
  120 + 4 * (judges.length + checks.length + anomalous.length + duties.length);

/** Which word of an agent is meant: its life, and the number within it. */
export interface DigestVersion {
  readonly agent: AgentIndex;
  readonly bootCounter: number;
  readonly sequence: number;
}

/** Below 0: `a` is the older word of the two; 0: they are the same. */
export const compareVersions = (a: Omit<DigestVersion, 'agent'>, b: Omit<DigestVersion, 'agent'>): number =>
  a.bootCounter - b.bootCounter || a.sequence - b.sequence;

/**
 * Digests that gossip lost are found by comparing hashes, as members are (see digest-exchange.ts): what the buckets of
 * our cell come to; which words we hold in those that differ; and whose we want. The digests themselves travel as their
 * origins signed them.
 */
export type DigestMessage =
  | { readonly kind: 'digest-buckets'; readonly hashes: readonly number[] }
  | {
      readonly kind: 'digest-versions';
      readonly buckets: readonly number[];
      readonly versions: readonly DigestVersion[];
    }
  | { readonly kind: 'digest-wants'; readonly agents: readonly AgentIndex[] };
