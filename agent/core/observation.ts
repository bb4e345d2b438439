import type { AgentIndex, CheckIndex, DutyIndex, ModelIndex } from '../base/ids.ts';
import type { CellObservation } from './leases/cell-leases.ts';
import type { MemberState } from './membership/member.ts';
import type { Statement } from './verdict/statement.ts';

/** What the core noticed, past tense: for the log, the simulator's invariants and the trace; never acted upon. */
export type Observation =
  | {
      readonly kind: 'member-changed';
      readonly member: AgentIndex;
      readonly from: MemberState;
      readonly to: MemberState;
      readonly incarnation: number;
      readonly why: string;
    }
  | { readonly kind: 'duty-taken'; readonly duty: DutyIndex; readonly term: number; readonly why: string }
  | { readonly kind: 'duty-released'; readonly duty: DutyIndex; readonly why: string }
  | { readonly kind: 'check-changed'; readonly check: CheckIndex; readonly from: string; readonly to: string }
  | { readonly kind: 'anomaly-changed'; readonly model: ModelIndex; readonly anomalous: boolean }
  /** A cell's leases at this agent: its vote, its epochs. */
  | { readonly kind: 'cell-observed'; readonly cell: string; readonly what: CellObservation }
  | { readonly kind: 'message-rejected'; readonly from: AgentIndex; readonly why: string }
  | { readonly kind: 'verdict-changed'; readonly statements: readonly Statement[] };
