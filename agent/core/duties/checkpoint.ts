import type { DutyIndex } from '../../base/ids.ts';
import type { Checkpoint } from './duty.ts';

/** A checkpoint says where work had come to; what is larger than this is data and belongs elsewhere. */
export const maxCheckpointBytes = 65_536;

/** Below zero when `a` is older. The term leads: a former holder's late word never overwrites its successor's. */
export const compareCheckpoints = (a: Checkpoint, b: Checkpoint): number => a.term - b.term || a.sequence - b.sequence;

/** The freshest checkpoint of each duty that this agent knows of: its own, and the replicas it keeps for others. */
export class CheckpointShelf {
  /** By duty; only those that this agent may carry, so that it does not grow with the site. */
  readonly #freshest = new Map<DutyIndex, Checkpoint>();

  constructor(restored: readonly Checkpoint[]) {
    for (const checkpoint of restored) this.keep(checkpoint);
  }

  get(duty: DutyIndex): Checkpoint | undefined {
    return this.#freshest.get(duty);
  }

  /** True when it was fresher than what is there. */
  keep(checkpoint: Checkpoint): boolean {
    const known = this.#freshest.get(checkpoint.duty);
    if (known && compareCheckpoints(checkpoint, known) <= 0) return false;
    this.#freshest.set(checkpoint.duty, checkpoint);
    return true;
  }
}
