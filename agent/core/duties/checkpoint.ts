import type { DutyIndex } from '../../base/ids.ts';
import type { Checkpoint } from './duty.ts';

/** A checkpoint says where work had come to; what is larger than this is data and belongs elsewhere. */
export const maxCheckpointBytes = 65_536;

/** Below zero when `a` is older. The term leads: a former holder's late word never overwrites its successor's. */
export const compareCheckpoints = (a: Checkpoint, b: Checkpoint): number => a.term - b.term || a.sequence - b.sequence;

/** The freshest checkpoint of each duty that this agent knows of: its own, and the replicas it keeps for others. */
export class CheckpointShelf {
  readonly #freshest: (Checkpoint | undefined)[];

  constructor(duties: number, restored: readonly Checkpoint[]) {
    this.#freshest = new Array(duties).fill(undefined);
    for (const checkpoint of restored) if (checkpoint.duty >= 0 && checkpoint.duty < duties) this.keep(checkpoint);
  }

  get(duty: DutyIndex): Checkpoint | undefined {
    return this.#freshest[duty];
  }

  /** True when it was fresher than what is there. */
  keep(checkpoint: Checkpoint): boolean {
    const known = this.#freshest[checkpoint.duty];
    if (known && compareCheckpoints(checkpoint, known) <= 0) return false;
    this.#freshest[checkpoint.duty] = checkpoint;
    return true;
  }
}
