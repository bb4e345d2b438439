import type { AgentIndex, CellIndex, DutyIndex } from '../../base/ids.ts';
import type { LeaseOptions } from './options.ts';

/**
 * A cell (line or area) as the signed site file has it: who votes, and on what. Duties and permits of one cell share
 * its voters, so a voter's load depends on the cell and not on the site. All of it belongs to the epoch (rule 1).
 */
export interface CellPlan {
  readonly index: CellIndex;
  readonly id: string;
  /** Agents that live in it, by index. */
  readonly members: readonly AgentIndex[];
  /** 1, 3 or 5, by index; none where nothing exclusive stands in the cell. */
  readonly voters: readonly AgentIndex[];
  /** Rises by one whenever voters, times or leases of the cell change. Begins at 1. */
  readonly epoch: number;
  readonly options: LeaseOptions;
  readonly leases: readonly CellLease[];
  /**
   * Agents whose keys are off the list, where a bundle says so: seals of theirs count no more (rule 10). No part of what
   * the epoch is: a key may be revoked at any time.
   */
  readonly revoked?: readonly AgentIndex[];
}

/** One lease of a cell; its position in `leases` is the index that ballots carry. */
export interface CellLease {
  /** `duty:thing/name` or `guard:line-3/rebooting/slot-1`: what keeps its meaning over epochs. */
  readonly id: string;
  readonly of:
    | { readonly kind: 'duty'; readonly duty: DutyIndex }
    | { readonly kind: 'permit'; readonly permit: string; readonly slot: number };
  readonly eligible: readonly AgentIndex[];
  /** 0 for a duty; for a permit at least the longest step that it covers (rule 11). */
  readonly lingerMs: number;
}
