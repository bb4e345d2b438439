import type { MembershipMessage, MemberUpdate } from './member.ts';
import type { MembershipOptions } from './options.ts';

interface Queued {
  readonly update: MemberUpdate;
  left: number;
}

/**
 * Updates that wait to ride on probes and gossip (SWIM §4.1). Each is sent retransmitMult·⌈log10(N+1)⌉ times, newest
 * first, then in turn; a newer statement about a member replaces the older one. Confirmations of one suspicion by
 * different accusers stand beside each other, because the receivers count them.
 */
export class Dissemination {
  readonly #limit: number;
  readonly #capacity: number;
  #queue: Queued[] = [];

  constructor(size: number, options: MembershipOptions) {
    this.#limit = options.retransmitMult * Math.ceil(Math.log10(size + 1));
    this.#capacity = Math.max(64, 2 * size);
  }

  get length(): number {
    return this.#queue.length;
  }

  /** Puts it in front. What it supersedes goes; when the queue is full, the one that was sent most gives way. */
  enqueue(update: MemberUpdate): void {
    this.#queue = this.#queue.filter(({ update: old }) => {
      if (old.member !== update.member) return true;
      const sameSuspicion =
        update.state === 'suspect' &&
        old.state === 'suspect' &&
        old.bootCounter === update.bootCounter &&
        old.incarnation === update.incarnation;
      return sameSuspicion && old.origin !== update.origin;
    });
    this.#queue.unshift({ update, left: this.#limit });
    if (this.#queue.length > this.#capacity) this.#queue.pop();
  }

  /** Up to `max` updates for one message; each take counts as one transmission. */
  take(max: number): MemberUpdate[] {
    const taken = this.#queue.splice(0, Math.max(0, max));
    const updates: MemberUpdate[] = [];
    for (const queued of taken) {
      updates.push(queued.update);
      queued.left--;
      if (queued.left > 0) this.#queue.push(queued);
    }
    return updates;
  }
}

/** Bytes of a message on the wire, about: for the token bucket, where an error of a few bytes costs nothing. */
export function approximateBytes(message: MembershipMessage): number {
  const head = message.kind === 'hello' ? 28 : 8;
  return head + 9 * message.updates.length;
}

/**
 * Hard bound on what the detector says, in bytes per second, with one second of burst. Probes and their answers are
 * always paid, into debt if need be, because without them nobody is found dead; gossip and riding updates wait.
 */
export class ByteBudget {
  readonly #perSecond: number;
  #bytes: number;
  #at = Number.NaN;

  constructor(perSecond: number) {
    this.#perSecond = perSecond;
    this.#bytes = perSecond;
  }

  available(now: number): number {
    if (!(now <= this.#at)) {
      if (!Number.isNaN(this.#at)) {
        this.#bytes = Math.min(this.#perSecond, this.#bytes + ((now - this.#at) / 1000) * this.#perSecond);
      }
      this.#at = now;
    }
    return this.#bytes;
  }

  spend(now: number, bytes: number): void {
    this.#bytes = Math.max(-this.#perSecond, this.available(now) - bytes);
  }
}
