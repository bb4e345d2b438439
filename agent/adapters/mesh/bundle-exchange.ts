import { performance } from 'node:perf_hooks';
import type { Random } from '../../base/random.ts';
import {
  type BundleMessage,
  type BundleStanding,
  bundleFrameMaxBytes,
  bundlePartBytes,
  decodeBundleMessage,
  encodeBundleMessage,
} from '../../wire/bundle.ts';
import { FrameReader, frame } from '../../wire/frame.ts';
import { bundleMaxBytes, compareBundles } from '../../wire/site-bundle.ts';
import type { MeshLog } from './admission.ts';
import type { Connection, Stream } from './libp2p-types.ts';

export const bundleProtocol = '/millwright/bundle/1';

/** Who keeps the bundles, as the exchange sees it. */
export interface BundleDesk {
  standing(): BundleStanding;
  /** The bytes of the bundle in force, or of the step before it that one with (era, version) may not skip. */
  next(after: { readonly era: number; readonly version: number }): Uint8Array | undefined;
  /**
   * Judges what a peer gave. `taken`: it is in force here now; `later`: it cannot be taken yet, for a reason that
   * passes; `refused`: this peer need not be asked for it again soon.
   */
  take(bytes: Uint8Array, from: string): 'taken' | 'later' | 'refused';
  /** A peer said what it has and runs. */
  heard(from: string, standing: BundleStanding): void;
}

export interface BundleExchangeOptions {
  readonly desk: BundleDesk;
  readonly random: Random;
  readonly log: MeshLog;
  /** Open connections to agents on the list, by peer id. */
  readonly connections: () => ReadonlyMap<string, Connection>;
  /** The name of the agent with this key; undefined: it is on no list. */
  readonly nameOf: (peer: string) => string | undefined;
  readonly garbage: (peer: string, text: string) => void;
}

export interface BundleCounters {
  told: number;
  heard: number;
  fetched: number;
  served: number;
  /** Asked while enough others were being served. */
  busy: number;
  failed: number;
  garbage: number;
}

/** News goes to so many at once; who it misses hears of it from others, or within `everyMs` from anybody. */
const fanOut = 16;
/** Without news one peer is asked this often, so that nothing stays behind for ever. */
const everyMs = 10_000;
const openTimeoutMs = 5_000;
const tellTimeoutMs = 5_000;
const fetchTimeoutMs = 30_000;
/** Eight megabytes each: what a box holds ready for slow readers. */
const servedAtOnce = 4;
const drainPollMs = 20;
const retryMs = 1_000;
const busyMs = 300;
const laterMs = 3_000;
/** A peer whose bundle was refused is asked for that one again after this, and for others ever more slowly. */
const refusedMs = 60_000;

interface Peer {
  readonly name: string;
  standing: BundleStanding | undefined;
  /** Not asked before this, and not for the bundle with this hash before that. */
  notBefore: number;
  notFor: string;
  notForBefore: number;
  /** In a row. */
  refusals: number;
  /** What we told it last, so that one peer's noise is not answered with ours. */
  told: string;
  telling: boolean;
}

/**
 * Carries bundles over the site: every agent tells its peers what it has, when they connect and when it changes, and
 * fetches what is newer from whoever has it, in bounded parts, one at a time. An epidemic, so that a new bundle is
 * everywhere within a few exchanges and nobody has to be told by the one who brought it.
 *
 * Guaranteed: nothing is taken that the desk did not verify; buffers, streams and retries are bounded, whatever peers
 * send. Not guaranteed: when. Who is not connected hears of it when it is.
 */
export class BundleExchange {
  readonly #options: BundleExchangeOptions;
  /** By peer id, as many as stand on the list. */
  readonly #peers = new Map<string, Peer>();
  readonly counters: BundleCounters = {
    told: 0,
    heard: 0,
    fetched: 0,
    served: 0,
    busy: 0,
    failed: 0,
    garbage: 0,
  };
  #fetching = false;
  readonly #serving = new Set<string>();
  #askAt = 0;
  #stopped = false;

  constructor(options: BundleExchangeOptions) {
    this.#options = options;
  }

  /** Call about once a second. */
  tick(): void {
    const nowMs = performance.now();
    if (this.#stopped) return;
    for (const id of this.#peers.keys()) if (this.#options.nameOf(id) === undefined) this.#peers.delete(id);
    this.#fetch();
    const ids = [...this.#options.connections().keys()];
    // First whoever has not said anything yet: a word may get lost.
    const silent = ids.filter((id) => this.#peers.get(id)?.standing === undefined);
    if (silent.length === 0 && nowMs < this.#askAt) return;
    if (nowMs >= this.#askAt) this.#askAt = nowMs + this.#options.random.between(everyMs / 2, everyMs * 1.5);
    const those = silent.length > 0 ? silent : ids;
    const id = those[this.#options.random.below(Math.max(1, those.length))];
    if (id !== undefined) this.#tell(id);
  }

  /** Our own standing changed: tell it on. */
  changed(): void {
    const ids = [...this.#options.connections().keys()];
    this.#options.random.shuffle(ids);
    for (const id of ids.slice(0, fanOut)) this.#tell(id);
    this.#fetch();
  }

  connectionOpened(connection: Connection): void {
    // The other side answers with its own, so one of the two is enough.
    if (connection.direction === 'outbound') this.#tell(connection.remotePeer.toString());
  }

  stop(): void {
    this.#stopped = true;
  }

  /** A stream that an agent on the list opened to us. */
  accept(stream: Stream, connection: Connection): void {
    const id = connection.remotePeer.toString();
    const timer = setTimeout(() => stream.abort(new Error('not done in time')), fetchTimeoutMs);
    stream.addEventListener('close', () => clearTimeout(timer));
    let asked = false;
    this.#read(stream, id, (message) => {
      if (asked) return;
      asked = true;
      switch (message.kind) {
        case 'standing':
          this.#hear(id, message);
          this.#answer(stream, { kind: 'standing', ...this.#options.desk.standing() });
          return;
        case 'want':
          this.#serve(stream, id, message).catch((cause: Error) => stream.abort(cause));
          return;
        default:
          this.#garbage(id, stream, 'an answer that nobody asked for');
      }
    });
  }

  /** The last word on a stream that the peer may have closed meanwhile: then the sending throws. */
  #answer(stream: Stream, message: BundleMessage): void {
    try {
      this.#write(stream, message);
      end(stream);
    } catch (cause) {
      stream.abort(cause instanceof Error ? cause : new Error(String(cause)));
    }
  }

  async #serve(stream: Stream, id: string, want: Extract<BundleMessage, { kind: 'want' }>): Promise<void> {
    const hasRoom = this.#serving.size < servedAtOnce && !this.#serving.has(id);
    const bytes = hasRoom ? this.#options.desk.next(want) : undefined;
    if (bytes === undefined) {
      this.counters.busy++;
      this.#answer(stream, { kind: 'not-now' });
      return;
    }
    this.#serving.add(id);
    try {
      const signal = AbortSignal.timeout(fetchTimeoutMs);
      await this.#send(stream, { kind: 'head', bytes: bytes.length }, signal);
      for (let at = 0; at < bytes.length; at += bundlePartBytes) {
        await this.#send(stream, { kind: 'part', bytes: bytes.subarray(at, at + bundlePartBytes) }, signal);
      }
      end(stream);
      this.counters.served++;
    } finally {
      this.#serving.delete(id);
    }
  }

  /** Tells a peer what we have, and hears what it has. */
  #tell(id: string): void {
    const connection = this.#options.connections().get(id);
    const peer = this.#peer(id);
    if (this.#stopped || connection === undefined || peer === undefined || peer.telling) return;
    const standing = this.#options.desk.standing();
    peer.telling = true;
    peer.told = nameOf(standing);
    this.#talk(connection, tellTimeoutMs, (stream, done) => {
      this.#write(stream, { kind: 'standing', ...standing });
      this.counters.told++;
      this.#read(stream, id, (message) => {
        if (message.kind === 'standing') this.#hear(id, message);
        else this.#garbage(id, stream, 'no answer to what we have');
        done();
      });
    })
      // Lost is lost: somebody tells it again soon.
      .catch(() => {})
      .finally(() => {
        peer.telling = false;
        // What has changed while we talked.
        if (!this.#stopped && nameOf(this.#options.desk.standing()) !== peer.told) this.#tell(id);
      });
  }

  #hear(id: string, { era, version, hash, running }: BundleStanding): void {
    const peer = this.#peer(id);
    if (peer === undefined) return;
    this.counters.heard++;
    peer.standing = { era, version, hash, running };
    this.#options.desk.heard(peer.name, peer.standing);
    this.#fetch();
  }

  /** Asks one of those who have what we lack. */
  #fetch(): void {
    if (this.#fetching || this.#stopped) return;
    const own = this.#options.desk.standing();
    const connections = this.#options.connections();
    const nowMs = performance.now();
    const able = [...this.#peers].filter(([id, { standing, notBefore, notFor, notForBefore }]) => {
      if (standing === undefined || standing.hash === own.hash || !connections.has(id)) return false;
      // Another one of the same number is looked at too: two people signed at once, and somebody has to be told.
      if (compareBundles(standing, own) < 0) return false;
      return nowMs >= notBefore && (notFor !== standing.hash || nowMs >= notForBefore);
    });
    const [id, peer] = able[this.#options.random.below(Math.max(1, able.length))] ?? [];
    const connection = id === undefined ? undefined : connections.get(id);
    if (id === undefined || peer?.standing === undefined || connection === undefined) return;
    const { hash } = peer.standing;
    this.#fetching = true;
    const wait = (ms: number): void => {
      peer.notBefore = performance.now() + ms;
    };
    this.#get(connection, id, { kind: 'want', era: own.era, version: own.version, hash })
      .then(
        (bytes) => {
          if (bytes === undefined) return wait(busyMs);
          this.counters.fetched++;
          const judged = this.#stopped ? 'later' : this.#options.desk.take(bytes, peer.name);
          if (judged === 'later') return wait(laterMs);
          if (judged === 'taken') {
            peer.refusals = 0;
            return;
          }
          peer.notFor = hash;
          peer.notForBefore = performance.now() + refusedMs;
          wait(Math.min(refusedMs, retryMs * 2 ** peer.refusals++));
        },
        (cause: Error) => {
          this.counters.failed++;
          wait(retryMs);
          this.#options.log.debug({ peer: peer.name, cause: cause.message }, 'a bundle could not be fetched');
        },
      )
      .finally(() => {
        this.#fetching = false;
        this.#fetch();
      });
  }

  async #get(
    connection: Connection,
    id: string,
    want: Extract<BundleMessage, { kind: 'want' }>,
  ): Promise<Uint8Array | undefined> {
    let bytes: Uint8Array | undefined;
    let at = 0;
    await this.#talk(connection, fetchTimeoutMs, (stream, done) => {
      this.#write(stream, want);
      this.#read(stream, id, (message) => {
        if (message.kind === 'not-now' && bytes === undefined) return done();
        if (message.kind === 'head' && bytes === undefined && message.bytes > 0 && message.bytes <= bundleMaxBytes) {
          bytes = new Uint8Array(message.bytes);
          return;
        }
        if (message.kind !== 'part' || bytes === undefined || at + message.bytes.length > bytes.length) {
          return this.#garbage(id, stream, 'no bundle where one was asked for');
        }
        bytes.set(message.bytes, at);
        at += message.bytes.length;
        if (at === bytes.length) done();
      });
    });
    return bytes;
  }

  /** Opens a stream, and settles when `done` is called, the stream ends without, or time is over. */
  async #talk(
    connection: Connection,
    withinMs: number,
    begin: (stream: Stream, done: () => void) => void,
  ): Promise<void> {
    const stream = await connection.newStream(bundleProtocol, {
      signal: AbortSignal.timeout(openTimeoutMs),
      maxOutboundStreams: 8,
    });
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    // It may end after the sending has thrown, when nobody waits for it any more.
    promise.catch(() => {});
    const timer = setTimeout(() => reject(new Error('not done in time')), withinMs);
    stream.addEventListener('close', () => reject(new Error('the stream ended')));
    try {
      begin(stream, resolve);
      await promise;
      end(stream);
    } catch (cause) {
      stream.abort(cause instanceof Error ? cause : new Error(String(cause)));
      throw cause;
    } finally {
      clearTimeout(timer);
    }
  }

  #read(stream: Stream, id: string, take: (message: BundleMessage) => void): void {
    const reader = new FrameReader(bundleFrameMaxBytes);
    const one = (bytes: Uint8Array): void => {
      if (stream.status !== 'open' && stream.status !== 'closing') return;
      const message = decodeBundleMessage(bytes);
      if (message.ok) take(message.value);
      else this.#garbage(id, stream, message.error.text);
    };
    stream.addEventListener('message', (event) => {
      if (reader.broken || this.#stopped) return;
      const chunk = event.data instanceof Uint8Array ? event.data : event.data.subarray();
      if (!reader.push(chunk, one)) this.#garbage(id, stream, 'a frame is longer than any word about bundles');
    });
  }

  #write(stream: Stream, message: BundleMessage): void {
    stream.send(frame(encodeBundleMessage(message)));
  }

  async #send(stream: Stream, message: BundleMessage, signal: AbortSignal): Promise<void> {
    stream.send(frame(encodeBundleMessage(message)));
    while (stream.writeBufferLength > bundlePartBytes) {
      signal.throwIfAborted();
      if (stream.status !== 'open') throw new Error('the stream ended');
      await moved(stream);
    }
  }

  #garbage(id: string, stream: Stream, text: string): void {
    this.counters.garbage++;
    this.#options.garbage(this.#options.nameOf(id) ?? id, text);
    stream.abort(new Error('garbage'));
  }

  #peer(id: string): Peer | undefined {
    const name = this.#options.nameOf(id);
    if (name === undefined) return undefined;
    let peer = this.#peers.get(id);
    if (peer === undefined) {
      peer = {
        name,
        standing: undefined,
        notBefore: 0,
        notFor: '',
        notForBefore: 0,
        refusals: 0,
        told: '',
        telling: false,
      };
      this.#peers.set(id, peer);
    }
    return peer;
  }
}

const nameOf = ({ hash, running }: BundleStanding): string => `${hash} ${running.era} ${running.version}`;

/**
 * Until the stream has sent something, or for a moment. Its own `onDrain` (@libp2p/utils 7) waits the first time only;
 * after that it lets everything through, until the stream breaks for having too much to send.
 */
async function moved(stream: Stream): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const wake = (): void => resolve();
  const timer = setTimeout(wake, drainPollMs);
  const words = ['drain', 'idle', 'close'] as const;
  for (const word of words) stream.addEventListener(word, wake);
  await promise;
  clearTimeout(timer);
  for (const word of words) stream.removeEventListener(word, wake);
}

function end(stream: Stream): void {
  stream.close().catch((cause: Error) => stream.abort(cause));
}
