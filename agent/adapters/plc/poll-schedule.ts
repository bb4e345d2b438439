import type { Instant } from '../../base/time.ts';

/** What is polled, in groups of one period: no drift while the device keeps up, and no burst to catch up when it did not. */
export class PollSchedule<T> {
  readonly #groups: { readonly everyMs: number; readonly members: T[]; due: number }[] = [];

  constructor(members: readonly T[], everyMs: (member: T) => number, now: Instant) {
    for (const member of members) {
      const every = everyMs(member);
      const group = this.#groups.find((one) => one.everyMs === every);
      if (group === undefined) this.#groups.push({ everyMs: every, members: [member], due: now });
      else group.members.push(member);
    }
  }

  get empty(): boolean {
    return this.#groups.length === 0;
  }

  /** All that is due now, planned anew. */
  take(now: Instant): T[] {
    const due = this.#groups.filter((group) => group.due <= now);
    for (const group of due) group.due = Math.max(group.due + group.everyMs, now + group.everyMs / 2);
    return due.flatMap((group) => group.members);
  }

  /** Milliseconds until something is due; at least 1. */
  waitMs(now: Instant): number {
    return Math.max(1, Math.min(...this.#groups.map((group) => group.due)) - now);
  }
}
