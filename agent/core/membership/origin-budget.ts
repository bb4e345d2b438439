import type { AgentIndex } from '../../base/ids.ts';
import type { Instant } from '../../base/time.ts';

/**
 * How much of one origin's news we pass on: a bucket per origin, so that one that floods (a liar, a bug, a clone that
 * races its twin) uses up its own room and not that of the others. What overflows is believed or not as always; it is
 * only not repeated by us.
 *
 * Bounded: buckets that are full again are forgotten, and of the others the longest idle gives way.
 */
export class OriginBudget {
  readonly #tokens = new Map<AgentIndex, { left: number; at: Instant }>();

  /** True when this origin has room for one more update. */
  take(now: Instant, origin: AgentIndex): boolean {
    const bucket = this.#tokens.get(origin);
    if (!bucket) {
      if (this.#tokens.size >= maxOrigins) this.#makeRoom(now);
      this.#tokens.set(origin, { left: originBurst - 1, at: now });
      return true;
    }
    bucket.left = refilled(bucket, now);
    bucket.at = now;
    // Back to the end, where the lately used are.
    this.#tokens.delete(origin);
    this.#tokens.set(origin, bucket);
    if (bucket.left < 1) return false;
    bucket.left--;
    return true;
  }

  get size(): number {
    return this.#tokens.size;
  }

  #makeRoom(now: Instant): void {
    for (const [origin, bucket] of this.#tokens) {
      if (refilled(bucket, now) >= originBurst) this.#tokens.delete(origin);
    }
    if (this.#tokens.size < maxOrigins) return;
    const [oldest] = this.#tokens.keys();
    if (oldest !== undefined) this.#tokens.delete(oldest);
  }
}

const refilled = (bucket: { left: number; at: Instant }, now: Instant): number =>
  Math.min(originBurst, bucket.left + ((now - bucket.at) / 1000) * originPerSecond);

/** Half a site that goes dark is named by few accusers within a second: that much at once … */
export const originBurst = 128;
/** … and this much for good, in updates per second. */
export const originPerSecond = 16;
export const maxOrigins = 256;
