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
        /** Other runners whose fresh claims this runner hears. */
        readonly heard: readonly AgentIndex[];
      }[];
    }
  | { readonly kind: 'checkpoint'; readonly checkpoint: Checkpoint }
  /** A runner that stops in favour of a better one hands over its last checkpoint. */
  | { readonly kind: 'handover'; readonly checkpoint: Checkpoint };
