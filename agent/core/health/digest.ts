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
