import { createHash, type KeyObject } from 'node:crypto';
import { performance } from 'node:perf_hooks';
import { type GossipSub, gossipsub, TopicValidatorResult } from '@chainsafe/libp2p-gossipsub';
import type { AgentIndex } from '../../base/ids.ts';
import { compareVersions, type DigestVersion, type HealthDigest } from '../../core/health/digest.ts';
import type { Deliver } from '../../driver/ports.ts';
import type { Bounds } from '../../wire/codec.ts';
import { decodeDigest, digestMaxBytes, encodeDigest } from '../../wire/gossip.ts';
import type { MeshLog } from './admission.ts';

export interface GossipCounters {
  published: number;
  /** Digests that gossip could hand to nobody. */
  unheard: number;
  accepted: number;
  /** Known already, or older than what is known. */
  stale: number;
  /** Of an origin that says more than any agent has to say, or by a neighbour that brought many bad signatures. */
  tooMany: number;
  otherPlan: number;
  garbage: number;
}

export interface GossipOptions {
  readonly self: AgentIndex;
  readonly topic: string;
  readonly plan: Uint8Array;
  readonly bounds: Bounds;
  readonly key: KeyObject;
  readonly keyOf: (agent: AgentIndex) => KeyObject | undefined;
  readonly nameOf: (peerId: string) => string;
  /** Peers that gossip sent a digest to; the others get it directly. */
  readonly published: (bytes: Uint8Array, recipients: readonly string[]) => void;
  readonly deliver: Deliver;
  readonly log: MeshLog;
  readonly garbage: (peer: string, text: string) => void;
  /** Milliseconds, monotonic. */
  readonly clock?: () => number;
}

/** An agent publishes at most every 200 ms, and what it says is handed on for a moment: so much at once, and per second. */
export const originBurst = 32;
export const originPerSecond = 8;
/** Bad signatures that are looked at per neighbour: each costs us a tenth of a millisecond. */
export const forgeryBurst = 16;
export const forgeriesPerSecond = 4;

/**
 * gossipsub with the settings that a small closed fleet wants. Messages carry no libp2p signature: a digest is
 * signed by its origin already. The colocation score is off, because more than ten agents behind one address (a
 * simulation, NAT, containers) would silently prune one another.
 */
export function gossipService(topic: string): ReturnType<typeof gossipsub> {
  return gossipsub({
    globalSignaturePolicy: 'StrictNoSign',
    allowPublishToZeroTopicPeers: true,
    ignoreDuplicatePublishError: true,
    fallbackToFloodsub: false,
    floodPublish: true,
    // A publisher tells every subscribed neighbour at once; the heartbeat only repairs, and costs CPU.
    heartbeatInterval: 2_000,
    emitSelf: false,
    doPX: false,
    allowedTopics: [topic],
    maxInboundDataLength: digestMaxBytes + 1024,
    maxOutboundBufferSize: 1024 * 1024,
    maxTopicBytesPerPeer: 16 * 1024,
    scoreParams: { IPColocationFactorWeight: 0 },
    msgIdFn: (message) => Uint8Array.from(createHash('sha256').update(message.data).digest().subarray(0, 20)),
  });
}

/**
 * One topic per cell; digests signed by their origin, verified before they are taken in or passed on; last writer
 * wins by (bootCounter, sequence), never by a wall clock. Best effort: nothing rests on it.
 */
export class GossipChannel {
  readonly #options: GossipOptions;
  readonly #newest: { bootCounter: number; sequence: number }[] = [];
  readonly #origins = new Buckets<AgentIndex>(originBurst, originPerSecond);
  readonly #forgers = new Buckets<string>(forgeryBurst, forgeriesPerSecond);
  #service: GossipSub | undefined;
  #last: Uint8Array | undefined;
  /** The newest of each of our cell, as its origin signed it: for who missed it. */
  readonly #envelopes = new Map<AgentIndex, Uint8Array>();
  readonly counters: GossipCounters = {
    published: 0,
    unheard: 0,
    accepted: 0,
    stale: 0,
    tooMany: 0,
    otherPlan: 0,
    garbage: 0,
  };

  constructor(options: GossipOptions) {
    this.#options = options;
  }

  /** Call when the node has started: gossipsub subscribes to nothing before. */
  attach(service: GossipSub): void {
    this.#service = service;
    service.topicValidators.set(this.#options.topic, (neighbour, message) =>
      this.take(message.data, this.#options.nameOf(neighbour.toString())),
    );
    service.subscribe(this.#options.topic);
  }

  /** Our last digest as it was published, for a peer that was not there. */
  get last(): Uint8Array | undefined {
    return this.#last;
  }

  /** The newest digest of an agent of our cell, ours too, as its origin signed it. */
  held(agent: AgentIndex): Uint8Array | undefined {
    return agent === this.#options.self ? this.#last : this.#envelopes.get(agent);
  }

  publish(digest: HealthDigest): void {
    const bytes = encodeDigest(digest, this.#options.plan, this.#options.topic, this.#options.key);
    if (bytes.length > digestMaxBytes) {
      this.counters.unheard++;
      this.#options.log.warn({ bytes: bytes.length }, 'our health digest is too long to be gossiped');
      return;
    }
    this.#last = bytes;
    this.counters.published++;
    this.#service?.publish(this.#options.topic, bytes).then(
      (result) => {
        // A fresh neighbour is connected before gossipsub knows what it subscribes to, for some 100 ms.
        const recipients = result.recipients.map((peer) => peer.toString());
        this.#options.published(bytes, recipients);
        if (recipients.length === 0) this.counters.unheard++;
      },
      (cause: Error) => {
        this.counters.unheard++;
        this.#options.log.debug({ cause: cause.message }, 'a digest was not published');
      },
    );
  }

  /**
   * Judges bytes from `neighbour` and delivers what is new. Accept is also what lets gossipsub pass it on. What is known
   * already costs no look at its signature; nor does what an origin says beyond its share, which only its own proven words
   * use up; nor anything of a neighbour that lately brought many forgeries.
   */
  take(bytes: Uint8Array, neighbour: string): TopicValidatorResult {
    const { plan, topic, bounds, keyOf, self, clock = () => performance.now() } = this.#options;
    const now = clock();
    if (this.#forgers.left(now, neighbour) < 1) {
      this.counters.tooMany++;
      return TopicValidatorResult.Ignore;
    }
    let unwanted: 'stale' | 'tooMany' = 'stale';
    const isWanted = (claimed: DigestVersion): boolean => {
      const known = this.#newest[claimed.agent];
      unwanted = claimed.agent === self || (known !== undefined && !isNewer(claimed, known)) ? 'stale' : 'tooMany';
      return unwanted === 'tooMany' && this.#origins.left(now, claimed.agent) >= 1;
    };
    const result = decodeDigest(bytes, plan, topic, bounds, keyOf, isWanted);
    if (!result.ok) {
      if (result.error.reason === 'unwanted') {
        this.counters[unwanted]++;
        return TopicValidatorResult.Ignore;
      }
      if (result.error.reason === 'wrong-signature') this.#forgers.take(now, neighbour);
      if (result.error.reason === 'other-plan') {
        this.counters.otherPlan++;
        return TopicValidatorResult.Ignore;
      }
      this.counters.garbage++;
      this.#options.garbage(neighbour, `passed on a digest that is ${result.error.reason}: ${result.error.text}`);
      return TopicValidatorResult.Reject;
    }
    const digest = result.value;
    this.#origins.take(now, digest.agent);
    this.#newest[digest.agent] = { bootCounter: digest.bootCounter, sequence: digest.sequence };
    // A copy: the message may be a view into a large receive buffer.
    this.#envelopes.set(digest.agent, Uint8Array.from(bytes));
    this.counters.accepted++;
    this.#options.deliver({ kind: 'digest-received', digest });
    return TopicValidatorResult.Accept;
  }
}

const isNewer = (a: Omit<DigestVersion, 'agent'>, b: Omit<DigestVersion, 'agent'>): boolean =>
  compareVersions(a, b) > 0;

/** Token buckets by name. As many as there are agents on the list: only who is on it gets here. */
class Buckets<K> {
  readonly #burst: number;
  readonly #perSecond: number;
  readonly #byKey = new Map<K, { left: number; at: number }>();

  constructor(burst: number, perSecond: number) {
    this.#burst = burst;
    this.#perSecond = perSecond;
  }

  left(nowMs: number, key: K): number {
    const bucket = this.#byKey.get(key);
    if (bucket === undefined) return this.#burst;
    return Math.min(this.#burst, bucket.left + ((nowMs - bucket.at) / 1_000) * this.#perSecond);
  }

  take(nowMs: number, key: K): void {
    this.#byKey.set(key, { left: this.left(nowMs, key) - 1, at: nowMs });
  }
}
