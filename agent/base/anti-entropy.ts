/**
 * Which parts of two tables differ, found by hashes: first one number for the whole, then one per bucket, then the
 * entries of the buckets that differ (anti-entropy; Demers et al. 1987, §1.4, with the tree of hashes cut down to two
 * levels, because a roster is small and known to both).
 *
 * A hash is the exclusive-or of its entries' hashes, so it can be kept up to date entry by entry, in any order. It finds
 * honest differences, one in 2³² excepted; whoever wants to lie can do so more easily than by colliding.
 */

/** Entries that one message carries at most: signed, they stay below 4 kB. */
export const maxSyncEntries = 44;

/** Entries per bucket where there is no reason for more … */
const usualWidth = 8;
/** … and buckets at most, as long as a bucket fits into a message. */
const usualBuckets = 128;

export class Buckets {
  readonly size: number;
  readonly count: number;

  /** `size`: of the table, whose entries are numbered from 0. */
  constructor(size: number) {
    this.size = size;
    const wished = Math.min(usualBuckets, Math.ceil(size / usualWidth));
    this.count = Math.max(1, wished, Math.ceil(size / maxSyncEntries));
  }

  /** One hash per bucket, as whole numbers below 2³². `hashOf` gives 0 where there is no entry. */
  hashes(hashOf: (entry: number) => number): number[] {
    const hashes = new Uint32Array(this.count);
    for (let entry = 0; entry < this.size; entry++) {
      const bucket = entry % this.count;
      hashes[bucket] = hashes[bucket]! ^ hashOf(entry);
    }
    return [...hashes];
  }

  /**
   * Buckets that differ, as many as one message has room for, beginning somewhere (`from`, any whole number ≥ 0): with
   * many differences, different pairs work on different ones. Undefined when the other table is of another size.
   */
  differing(mine: readonly number[], theirs: readonly number[], from: number): number[] | undefined {
    if (theirs.length !== this.count || mine.length !== this.count) return undefined;
    const found: number[] = [];
    let room = maxSyncEntries;
    for (let i = 0; i < this.count && room > 0; i++) {
      const bucket = (from + i) % this.count;
      if (mine[bucket] === theirs[bucket]) continue;
      room -= this.width(bucket);
      if (room >= 0) found.push(bucket);
    }
    return found;
  }

  /** Entries that fall into a bucket; 0 for a bucket that does not exist. */
  width(bucket: number): number {
    return bucket < this.count ? Math.ceil((this.size - bucket) / this.count) : 0;
  }

  /** The entries of these buckets; undefined when there are more than one message may ask for, or a bucket twice. */
  entries(buckets: readonly number[]): number[] | undefined {
    const entries: number[] = [];
    const seen = new Set<number>();
    for (const bucket of buckets) {
      if (bucket >= this.count || seen.has(bucket)) return undefined;
      seen.add(bucket);
      if (entries.length + this.width(bucket) > maxSyncEntries) return undefined;
      for (let entry = bucket; entry < this.size; entry += this.count) entries.push(entry);
    }
    return entries;
  }
}

/** Three numbers below 2³² into one that changes in about half its bits with each of theirs (MurmurHash3's mixing). */
export function hashOfEntry(a: number, b: number, c: number): number {
  let h = Math.imul(a ^ 0x9e37_79b9, 0xcc9e_2d51);
  h = Math.imul((h << 15) | (h >>> 17), 0x1b87_3593) ^ b;
  h = Math.imul((h << 13) | (h >>> 19), 0x85eb_ca6b) ^ c;
  h = Math.imul(h ^ (h >>> 16), 0x85eb_ca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2_ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
