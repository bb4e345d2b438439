import type { AgentId, AgentIndex, DutyIndex, EntryId, ThingIndex, WorkflowIndex } from '../../base/ids.ts';
import type { WallTime } from '../../base/time.ts';

/** What carrying a duty means. The core never looks inside; the duty runners of floor 5 do. */
export type DutyWork =
  /** Read all signals whose source is this connected thing. */
  | { readonly kind: 'poll'; readonly source: ThingIndex }
  /** Keep one child process running while the duty is held. It is not restarted by its runner: a remediation does. */
  | { readonly kind: 'process'; readonly argv: readonly string[]; readonly env: ReadonlyMap<string, string> }
  /** Start a workflow at its times. */
  | { readonly kind: 'schedule'; readonly workflow: WorkflowIndex }
  /** Tail a file line by line into the outbox; the byte offset is the checkpoint. */
  | { readonly kind: 'upload'; readonly file: string }
  /** Run an unconnected asset's checks. */
  | { readonly kind: 'watch'; readonly thing: ThingIndex };

export interface DutySpec {
  readonly index: DutyIndex;
  readonly id: EntryId;
  readonly thing: ThingIndex | undefined;
  readonly work: DutyWork;
  /** Never twice at once: it runs under a lease of its cell. False: available, at least one per part of the site. */
  readonly exclusive: boolean;
  /** Moves even in a storm, when a large part of its cell has vanished at once. */
  readonly critical: boolean;
  /** Agents that may carry it (labels, `via`, cell), and why the others may not, for `explain`. */
  readonly eligible: readonly AgentIndex[];
  readonly refusedBecause: ReadonlyMap<AgentIndex, string>;
  /** Soft preference per eligible agent, > 0; 1 is neutral. Multiplies the rendezvous weight. */
  readonly weight: ReadonlyMap<AgentIndex, number>;
}

/** What placement knows of an agent from the site file. */
export interface AgentPlace {
  readonly id: AgentId;
  readonly cell: string;
  /** A witness votes and never carries a duty. */
  readonly role: 'agent' | 'witness';
  /**
   * Duties that it carries at most, absolute; undefined: no limit. Never a share of the site's duties per living agent:
   * such a cap moves with every death, and one lost agent then moves hundreds of duties that were well where they were.
   */
  readonly capacity: number | undefined;
}

/**
 * Where the work had come to, opaque to the core: at most 64 kB. Ordered by (term, sequence): `term` counts the
 * takeovers of this duty, so a late checkpoint of a former holder never overwrites the successor's.
 */
export interface Checkpoint {
  readonly duty: DutyIndex;
  readonly term: number;
  readonly sequence: number;
  readonly takenAt: WallTime;
  readonly data: Uint8Array;
}
