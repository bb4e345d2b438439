import type { AgentIndex, DutyIndex } from '../../base/ids.ts';
import type { DutyMessage } from './claim.ts';
import type { Checkpoint } from './duty.ts';

export type DutyOutput =
  | { readonly kind: 'send'; readonly to: AgentIndex; readonly message: DutyMessage }
  | {
      readonly kind: 'start-duty';
      readonly duty: DutyIndex;
      readonly term: number;
      readonly checkpoint: Checkpoint | undefined;
    }
  | { readonly kind: 'stop-duty'; readonly duty: DutyIndex; readonly reason: string }
  | { readonly kind: 'save-checkpoint'; readonly checkpoint: Checkpoint }
  /** Its runner told more than a checkpoint may hold: a successor will start from what it told before. */
  | { readonly kind: 'checkpoint-refused'; readonly duty: DutyIndex; readonly bytes: number }
  | { readonly kind: 'duty-taken'; readonly duty: DutyIndex; readonly term: number; readonly why: string }
  | { readonly kind: 'duty-released'; readonly duty: DutyIndex; readonly why: string }
  /** We go on with it, under a higher term than before. */
  | { readonly kind: 'term-raised'; readonly duty: DutyIndex; readonly term: number }
  | { readonly kind: 'holder-changed'; readonly duty: DutyIndex; readonly holder: AgentIndex | undefined }
  /** A drain began, or ended: by order, or by its time. */
  | { readonly kind: 'drain-began' | 'drain-ended' };
