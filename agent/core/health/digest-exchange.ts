import { Buckets, hashOfEntry, maxSyncEntries } from '../../base/anti-entropy.ts';
import { ByteBudget } from '../../base/byte-budget.ts';
import type { AgentIndex } from '../../base/ids.ts';
import type { Random } from '../../base/random.ts';
import type { Instant } from '../../base/time.ts';
import {
  approximateDigestBytes,
  compareVersions,
  type DigestMessage,
  type DigestVersion,
  type HealthDigest,
} from './digest.ts';

/**
 * Mends what gossip lost of the health digests of our cell (anti-entropy; Demers et al. 1987, §1.4). Once a second one
 * number rides on a comparison of member tables. Where it differs, hashes of buckets follow, then the versions that one
 * side holds in the buckets that differ, and then digests go both ways, newest life and number first (`compareVersions`),
 * never by a clock. So a digest that reached one agent of a cell reaches all in a few seconds, whoever was away, and an
 * unchanged one need hardly ever be repeated.
 *
 * Guaranteed: one answer per question, at most 4 kB of digests in it, and 4 kB per second to all who ask together.
 * Equal tables cost five bytes. Not guaranteed: when. While much happens membership compares nothing, and so do we.
 */
export class DigestExchange {
  /** Our cell by rising number: the same list for everybody in it. */
  readonly #cell: readonly AgentIndex[];
  readonly #self: AgentIndex;
  readonly #buckets: Buckets;
  readonly #random: Random;
  readonly #budget = new ByteBudget(maxBytesPerSecond);
  /** The newest digest of an agent of the cell, our own too. */
  readonly #held: (agent: AgentIndex) => HealthDigest | undefined;
  #hashes: readonly number[] | undefined;

  constructor(parts: {
    cell: readonly AgentIndex[];
    self: AgentIndex;
    random: Random;
    held: (agent: AgentIndex) => HealthDigest | undefined;
  }) {
    this.#cell = parts.cell;
    this.#self = parts.self;
    this.#random = parts.random;
    this.#held = parts.held;
    this.#buckets = new Buckets(parts.cell.length);
  }

  /** A digest came, or ours changed. */
  changed(): void {
    this.#hashes = undefined;
  }

  /** One number for all digests that we hold; 0 where there is none. */
  get hash(): number {
    let hash = 0;
    for (const bucket of this.#reckoned()) hash ^= bucket;
    return hash >>> 0;
  }

  /** A peer of our cell told its number by the way. */
  compared(now: Instant, from: AgentIndex, hash: number, out: DigestExchangeOut): void {
    if (hash !== this.hash) this.#send(now, from, { kind: 'digest-buckets', hashes: this.#reckoned() }, out);
  }

  /** From a peer of our cell; the codec has judged its shape. What does not fit together is left unanswered. */
  message(now: Instant, from: AgentIndex, message: DigestMessage, out: DigestExchangeOut): void {
    switch (message.kind) {
      case 'digest-buckets':
        return this.#offer(now, from, message.hashes, out);
      case 'digest-versions':
        return this.#complete(now, from, message.buckets, message.versions, out);
      case 'digest-wants':
        return this.#tell(now, from, message.agents.slice(0, maxSyncEntries), out);
    }
  }

  #offer(now: Instant, to: AgentIndex, theirs: readonly number[], out: DigestExchangeOut): void {
    const from = this.#random.below(this.#buckets.count);
    const buckets = this.#buckets.differing(this.#reckoned(), theirs, from);
    // Another number of buckets: a cell of another size, which is another version of the site.
    if (buckets === undefined || buckets.length === 0) return;
    const versions: DigestVersion[] = [];
    for (const seat of this.#buckets.entries(buckets) ?? []) {
      const digest = this.#held(this.#cell[seat]!);
      if (digest === undefined) continue;
      versions.push({ agent: digest.agent, bootCounter: digest.bootCounter, sequence: digest.sequence });
    }
    this.#send(now, to, { kind: 'digest-versions', buckets, versions }, out);
  }

  #complete(
    now: Instant,
    to: AgentIndex,
    buckets: readonly number[],
    theirs: readonly DigestVersion[],
    out: DigestExchangeOut,
  ): void {
    const seats = this.#buckets.entries(buckets);
    if (seats === undefined) return;
    const newer: AgentIndex[] = [];
    const wanted: AgentIndex[] = [];
    for (const seat of seats) {
      const agent = this.#cell[seat]!;
      const mine = this.#held(agent);
      const other = theirs.find((version) => version.agent === agent);
      const order =
        mine && other ? compareVersions(mine, other) : Number(mine !== undefined) - Number(other !== undefined);
      // What others remember of an agent is no news to itself.
      if (order > 0 && agent !== to) newer.push(agent);
      else if (order < 0 && agent !== this.#self) wanted.push(agent);
    }
    if (wanted.length > 0) this.#send(now, to, { kind: 'digest-wants', agents: wanted }, out);
    if (newer.length > 0) this.#tell(now, to, newer, out);
  }

  /** As many as one answer has room for; the next comparison brings the others. */
  #tell(now: Instant, to: AgentIndex, agents: readonly AgentIndex[], out: DigestExchangeOut): void {
    if (this.#budget.available(now) <= 0) return;
    const digests: HealthDigest[] = [];
    let bytes = 0;
    for (const agent of agents) {
      const digest = this.#cell.includes(agent) ? this.#held(agent) : undefined;
      if (digest === undefined) continue;
      const weight = approximateDigestBytes(digest);
      if (digests.length > 0 && bytes + weight > maxBytesPerAnswer) break;
      digests.push(digest);
      bytes += weight;
    }
    if (digests.length === 0) return;
    this.#budget.spend(now, bytes);
    out.push({ kind: 'tell-digests', to, digests });
  }

  #send(now: Instant, to: AgentIndex, message: DigestMessage, out: DigestExchangeOut): void {
    if (this.#budget.available(now) <= 0) return;
    this.#budget.spend(now, approximateBytes(message));
    out.push({ kind: 'send', to, message });
  }

  #reckoned(): readonly number[] {
    this.#hashes ??= this.#buckets.hashes((seat) => {
      const digest = this.#held(this.#cell[seat]!);
      return digest === undefined ? 0 : hashOfEntry(digest.agent, digest.bootCounter, digest.sequence);
    });
    return this.#hashes;
  }
}

/** Where it goes: an array of effects will do. */
export interface DigestExchangeOut {
  push(output: DigestExchangeOutput): unknown;
}

export type DigestExchangeOutput =
  | { readonly kind: 'send'; readonly to: AgentIndex; readonly message: DigestMessage }
  | { readonly kind: 'tell-digests'; readonly to: AgentIndex; readonly digests: readonly HealthDigest[] };

function approximateBytes(message: DigestMessage): number {
  switch (message.kind) {
    case 'digest-buckets':
      return 4 + 5 * message.hashes.length;
    case 'digest-versions':
      return 4 + 2 * message.buckets.length + 6 * message.versions.length;
    case 'digest-wants':
      return 4 + 2 * message.agents.length;
  }
}

export const maxBytesPerAnswer = 4_096;
export const maxBytesPerSecond = 4_096;
