import type { AgentIndex } from '../../base/ids.ts';
import { after, type Instant, never } from '../../base/time.ts';
import type { Checkpoint } from './duty.ts';

/**
 * Replication of one held duty's checkpoints to its next in rank, so that whoever takes over starts where the work had
 * come to. The newest checkpoint goes out at most every `everyMs`; what came between is superseded and never sent. A
 * replica that joins late (the last one died) gets the current checkpoint with the next round.
 */
export class Replication {
  readonly #everyMs: number;
  #latest: Checkpoint | undefined;
  #sentAt: Instant | undefined;
  #sent: Checkpoint | undefined;
  #sentTo: readonly AgentIndex[] = [];

  constructor(everyMs: number) {
    this.#everyMs = everyMs;
  }

  take(checkpoint: Checkpoint): void {
    this.#latest = checkpoint;
  }

  get latest(): Checkpoint | undefined {
    return this.#latest;
  }

  /** When there is something to send, the earliest moment for it. */
  deadline(now: Instant): Instant {
    if (!this.#latest || this.#sent === this.#latest) return never;
    return this.#sentAt === undefined ? now : after(this.#sentAt, this.#everyMs);
  }

  /** The replicas changed: a new one must not wait for the next checkpoint. */
  replicasChanged(replicas: readonly AgentIndex[]): void {
    if (replicas.some((agent) => !this.#sentTo.includes(agent))) this.#sent = undefined;
  }

  /** It went out of reach: what was sent to it last may be lost, and it gets it again. */
  outOfReach(agent: AgentIndex): void {
    if (this.#sentTo.includes(agent)) this.#sentTo = this.#sentTo.filter((other) => other !== agent);
  }

  flush(now: Instant, replicas: readonly AgentIndex[]): Checkpoint | undefined {
    if (this.deadline(now) > now) return undefined;
    this.#sentAt = now;
    this.#sent = this.#latest;
    this.#sentTo = [...replicas];
    return this.#latest;
  }
}
