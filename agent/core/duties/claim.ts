import type { AgentIndex, DutyIndex } from '../../base/ids.ts';
import type { Checkpoint } from './duty.ts';

/**
 * Messages about available duties. A runner claims every period while it is healthy and lists the claims that it
 * hears; the successor of a dead runner starts from the last checkpoint that was replicated to it.
 */
export type DutyMessage =
  | {
      readonly kind: 'claim';
      readonly bootCounter: number;
      /** Rises with every claim of this boot. */
      readonly seq: number;
      readonly duties: readonly {
        readonly duty: DutyIndex;
        readonly term: number;
        /** Other runners whose fresh claims this runner hears, once its own work has come up. */
        readonly heard: readonly AgentIndex[];
      }[];
      /** Why it takes nothing more; absent: it does. */
      readonly stance?: Stance | undefined;
      /** Duties that failed on it lately; at most `maxUnable`. Absent: none. */
      readonly unable?: readonly DutyIndex[] | undefined;
    }
  | { readonly kind: 'checkpoint'; readonly checkpoint: Checkpoint }
  /** A runner that stops in favour of another hands over its last checkpoint … */
  | { readonly kind: 'handover'; readonly checkpoint: Checkpoint }
  /** … and is told that it arrived: an exclusive duty that drains is released only then. */
  | {
      readonly kind: 'handover-taken';
      readonly duty: DutyIndex;
      readonly term: number;
      readonly sequence: number;
    };

/** `full`: at its capacity. `draining`: gives its work away and takes none, by a person's order. */
export type Stance = 'full' | 'draining';

/** A box where more than this fails has one trouble, not that many; the rest finds out by trying. */
export const maxUnable = 256;
