import { performance } from 'node:perf_hooks';
import { Backoff } from '../../base/backoff.ts';
import type { AgentId, AgentIndex } from '../../base/ids.ts';
import type { Random } from '../../base/random.ts';
import type { DirectMessage } from '../../core/input.ts';
import type { Deliver } from '../../driver/ports.ts';
import type { Bounds } from '../../wire/codec.ts';
import { peekType } from '../../wire/codec.ts';
import {
  bulkFrameMaxBytes,
  decodeDirect,
  encodeDirect,
  encodedSize,
  isBulk,
  probeFrameMaxBytes,
} from '../../wire/direct.ts';
import { FrameReader, frame } from '../../wire/frame.ts';
import { digestEnvelopeType } from '../../wire/gossip.ts';
import { isLeaseMessage } from '../../wire/lease.ts';
import { isForDatagrams, SecondPath } from '../../wire/second-path.ts';
import { type Agreement, agree, decodePreamble, encodePreamble, type Preamble } from '../../wire/version.ts';
import type { MeshLog } from './admission.ts';
import type { Connection, Stream } from './libp2p-types.ts';
import { announceWindowSeldom } from './sparse-window.ts';

export const probeProtocol = '/millwright/probe/1';
export const bulkProtocol = '/millwright/bulk/1';

/**
 * Bytes that may wait for one peer before more are refused. Probes that wait behind 64 kB are late already and say
 * nothing; a few checkpoints may wait.
 */
const probeQueueBytes = 64 * 1024;
const bulkQueueBytes = 1024 * 1024;
const frameHeadMaxBytes = 3;
const openTimeoutMs = 5_000;
/** A connection on which no stream opens this many times in a row is of no use: close it, dial afresh. */
const openAttempts = 5;
const briefMs = 1_000;
/**
 * A peer that says nothing for this long while we talk is asked by libp2p's ping. TCP alone would keep the connection
 * to a box without power for a quarter of an hour, and a monitor that pings always costs a tenth of the mesh's CPU.
 */
const silenceMs = 5_000;

export interface DirectCounters {
  sent: number;
  received: number;
  sentBytes: number;
  receivedBytes: number;
  /** By why a message of ours never left. */
  readonly dropped: { notConnected: number; queueFull: number; tooLarge: number; otherPlan: number };
  /** Frames that no honest agent writes, and frames that one with another plan should not have written. */
  garbage: number;
  ignored: number;
}

export interface DirectOptions {
  readonly self: AgentIndex;
  readonly agentIds: readonly AgentId[];
  readonly own: Preamble;
  readonly bounds: Bounds;
  readonly random: Random;
  readonly deliver: Deliver;
  readonly log: MeshLog;
  readonly garbage: (peer: string, text: string) => void;
  /** A signed digest that came over the direct stream (a peer's last one, for the newcomer). */
  readonly digestArrived: (bytes: Uint8Array, peer: string) => void;
  /** Our last digest, told to every peer of our cell that becomes ready. */
  readonly lastDigest: () => Uint8Array | undefined;
  /** Asks over the connection whether anybody is there; aborts it when nobody answers. */
  readonly verify: (connection: Connection) => void;
  /** Says it beside the stream, if that can be done. */
  readonly datagram: (to: AgentIndex, bytes: Uint8Array) => void;
  /** Digests of one cell mean nothing in another. */
  readonly sameCell: (agent: AgentIndex) => boolean;
}

/**
 * Long-lived direct streams, two for each direction of a pair: one for the small words of the failure detector,
 * which must not wait, and one for bulk, opened when it is first needed. Opening a stream for each probe would cost
 * ten times the CPU. A lost stream is opened again as long as a connection stands; when the last connection is gone
 * the core hears `peer-disconnected`, as a hint.
 *
 * A peer is connected when we can write to it and it has said which site and plan it speaks for.
 */
export class DirectChannel {
  readonly #options: DirectOptions;
  readonly #links: readonly Link[];
  readonly counters: DirectCounters = {
    sent: 0,
    received: 0,
    sentBytes: 0,
    receivedBytes: 0,
    dropped: { notConnected: 0, queueFull: 0, tooLarge: 0, otherPlan: 0 },
    garbage: 0,
    ignored: 0,
  };

  constructor(options: DirectOptions) {
    this.#options = options;
    this.#links = options.agentIds.map((id, agent) => new Link(agent, id, options, this.counters));
  }

  /** At most once per message: what cannot leave now is counted and gone, as on any lossy network. */
  send(to: AgentIndex, message: DirectMessage): void {
    const link = to === this.#options.self ? undefined : this.#links[to];
    if (link === undefined) this.counters.dropped.notConnected++;
    else link.send(message);
  }

  /** Hands a digest to every connected peer of our cell that gossip did not reach. */
  tellDigest(bytes: Uint8Array, reached: ReadonlySet<AgentIndex>): void {
    for (const [agent, link] of this.#links.entries()) if (!reached.has(agent)) link.tellDigest(bytes);
  }

  /** Hands somebody's digest to one peer, if it is of our cell and connected. */
  tellDigestTo(to: AgentIndex, bytes: Uint8Array): void {
    if (to !== this.#options.self) this.#links[to]?.tellDigest(bytes);
  }

  isConnected(agent: AgentIndex): boolean {
    return this.#links[agent]?.ready ?? false;
  }

  hasConnection(agent: AgentIndex): boolean {
    return (this.#links[agent]?.connections.length ?? 0) > 0;
  }

  connectionOpened(agent: AgentIndex, connection: Connection): void {
    this.#links[agent]?.connectionOpened(connection);
  }

  connectionClosed(agent: AgentIndex, connection: Connection): void {
    this.#links[agent]?.connectionClosed(connection);
  }

  /** A word that came beside the streams. */
  datagramArrived(agent: AgentIndex, bytes: Uint8Array): void {
    this.#links[agent]?.datagramArrived(bytes);
  }

  /** A stream that an admitted agent opened to us. */
  streamOpened(agent: AgentIndex, stream: Stream, bulk: boolean): void {
    this.#links[agent]?.listen(stream, bulk);
  }

  /** Two agents that dial each other at once have two connections; one is enough. Call about once a second. */
  tick(): void {
    for (const link of this.#links) link.tick(performance.now(), this.#options.self);
  }

  stop(): void {
    for (const link of this.#links) link.stop();
  }
}

class Link {
  readonly #agent: AgentIndex;
  readonly #id: AgentId;
  readonly #options: DirectOptions;
  readonly #counters: DirectCounters;
  readonly #probe: Outlet;
  readonly #bulk: Outlet;
  readonly connections: Connection[] = [];
  #agreement: Agreement | undefined;
  /** Streams that the peer opened to us so far: whoever goes back to an earlier one is two. */
  #streams = 0;
  #told = false;
  #stopped = false;
  #path = new SecondPath();
  #doubleSince: number | undefined;
  #unansweredSince: number | undefined;
  #saidWhy = '';

  constructor(agent: AgentIndex, id: AgentId, options: DirectOptions, counters: DirectCounters) {
    this.#agent = agent;
    this.#id = id;
    this.#options = options;
    this.#counters = counters;
    const outlet = (protocol: string, bytes: number): Outlet =>
      new Outlet(protocol, bytes, options, counters, this.connections, () => this.#changed());
    this.#probe = outlet(probeProtocol, probeQueueBytes);
    this.#bulk = outlet(bulkProtocol, bulkQueueBytes);
  }

  get ready(): boolean {
    return this.#told;
  }

  connectionOpened(connection: Connection): void {
    if (this.#stopped || this.connections.includes(connection)) return;
    this.connections.push(connection);
    this.#probe.open();
  }

  connectionClosed(connection: Connection): void {
    const at = this.connections.indexOf(connection);
    if (at >= 0) this.connections.splice(at, 1);
    if (this.connections.length === 0) {
      this.#probe.lost();
      this.#bulk.lost();
      this.#agreement = undefined;
      this.#path = new SecondPath();
    } else if (this.#probe.on === connection) {
      this.#probe.lost();
      this.#probe.open();
    }
    this.#changed();
  }

  send(message: DirectMessage): void {
    const { dropped } = this.#counters;
    if (!this.#told) {
      dropped.notConnected++;
      return;
    }
    const allowed = permitted(message, this.#agreement ?? 'nothing');
    if (allowed === undefined) {
      dropped.otherPlan++;
      return;
    }
    this.#unansweredSince ??= performance.now();
    const outlet = isBulk(message) ? this.#bulk : this.#probe;
    // Asked before the encoding: a peer that does not read should not cost us the making of what it will not get.
    if (!outlet.hasRoom(encodedSize(allowed))) {
      dropped.queueFull++;
      return;
    }
    const bytes = encodeDirect(allowed);
    if (!bytes.ok) {
      dropped.tooLarge++;
      return;
    }
    outlet.write(frame(bytes.value));
    this.#counters.sent++;
    if (isForDatagrams(allowed) && this.#path.takes(performance.now(), allowed)) {
      this.#options.datagram(this.#agent, bytes.value);
    }
  }

  datagramArrived(bytes: Uint8Array): void {
    if (this.#stopped || this.#agreement === undefined) return;
    this.#take(bytes, this.#streams, true);
  }

  tellDigest(bytes: Uint8Array): void {
    const wanted = this.#told && this.#agreement === 'all' && this.#options.sameCell(this.#agent);
    if (wanted) this.#probe.write(frame(bytes));
  }

  listen(stream: Stream, bulk: boolean): void {
    const reader = new FrameReader(bulk ? bulkFrameMaxBytes : probeFrameMaxBytes);
    stream.inactivityTimeout = Number.POSITIVE_INFINITY;
    announceWindowSeldom(stream);
    let theirs: Preamble | undefined;
    const ordinal = ++this.#streams;
    const take = (bytes: Uint8Array): void => {
      if (theirs !== undefined) {
        this.#take(bytes, ordinal);
        return;
      }
      const first = decodePreamble(bytes);
      if (!first.ok) {
        this.#garbage(first.error.text);
        stream.abort(new Error('the first frame is no preamble'));
        return;
      }
      theirs = first.value;
      this.#agree(theirs);
    };
    stream.addEventListener('message', (event) => {
      const chunk = event.data instanceof Uint8Array ? event.data : event.data.subarray();
      this.#counters.receivedBytes += chunk.length;
      this.#unansweredSince = undefined;
      this.#path.heard();
      if (reader.broken || reader.push(chunk, take)) return;
      this.#garbage('a frame is longer than any message');
      stream.abort(new Error('broken framing'));
    });
    // A stream that its writer ends is ended here as well, so that nothing half-open piles up.
    stream.addEventListener('remoteCloseWrite', () => {
      stream.close().catch((cause: Error) => stream.abort(cause));
    });
  }

  tick(nowMs: number, self: AgentIndex): void {
    this.#probe.tick(nowMs);
    this.#bulk.tick(nowMs);
    if (this.#unansweredSince !== undefined && nowMs - this.#unansweredSince >= silenceMs) {
      this.#unansweredSince = undefined;
      for (const connection of this.connections) this.#options.verify(connection);
    }
    // Only the lower of the two prunes, else each might close the connection that the other one keeps.
    if (this.connections.length < 2 || self > this.#agent) {
      this.#doubleSince = undefined;
      return;
    }
    this.#doubleSince ??= nowMs;
    if (nowMs - this.#doubleSince < 2_000) return;
    const keep = this.#probe.on ?? this.connections[0];
    for (const connection of this.connections.slice()) {
      if (connection !== keep) connection.close().catch((cause: Error) => connection.abort(cause));
    }
  }

  stop(): void {
    this.#stopped = true;
    this.#probe.lost();
    this.#bulk.lost();
  }

  #take(bytes: Uint8Array, connection: number, isDatagram = false): void {
    if (peekType(bytes) === digestEnvelopeType && !isDatagram) {
      this.#options.digestArrived(bytes, this.#id);
      return;
    }
    const message = decodeDirect(bytes, this.#options.bounds);
    if (!message.ok) {
      // Numbers of another plan may lie beyond ours: that is no garbage, only not for us.
      if (this.#agreement !== 'all' && message.error.reason === 'wrong-shape') this.#counters.ignored++;
      else this.#garbage(message.error.text);
      return;
    }
    const allowed = permitted(message.value, this.#agreement ?? 'nothing');
    if (allowed === undefined || (isDatagram && !isForDatagrams(allowed))) {
      this.#counters.ignored++;
      return;
    }
    this.#counters.received++;
    if (isDatagram) this.#path.called(performance.now(), allowed);
    this.#options.deliver({ kind: 'message-received', from: this.#agent, message: allowed, connection });
  }

  #agree(theirs: Preamble): void {
    const { agreement, why } = agree(this.#options.own, theirs);
    this.#agreement = agreement;
    if (agreement !== 'all' && why !== this.#saidWhy) {
      this.#options.log.warn({ peer: this.#id, agreement }, `${this.#id} ${why}`);
    }
    this.#saidWhy = why;
    this.#changed();
  }

  #garbage(text: string): void {
    this.#counters.garbage++;
    this.#options.garbage(this.#id, text);
  }

  #changed(): void {
    const can = this.connections.length > 0 && this.#agreement !== undefined && this.#agreement !== 'nothing';
    if (!this.#told && can && this.#probe.isOpen) {
      this.#told = true;
      this.#options.deliver({ kind: 'peer-connected', peer: this.#agent });
      const digest = this.#options.lastDigest();
      if (digest !== undefined) this.tellDigest(digest);
    } else if (this.#told && !can) {
      this.#told = false;
      if (!this.#stopped) this.#options.deliver({ kind: 'peer-disconnected', peer: this.#agent });
    }
  }
}

/** The writing end of one stream: opened again when lost, bounded, many small frames of one step in one write. */
class Outlet {
  readonly #protocol: string;
  readonly #capacity: number;
  readonly #options: DirectOptions;
  readonly #counters: DirectCounters;
  readonly #connections: readonly Connection[];
  readonly #changed: () => void;
  readonly #backoff: Backoff;
  #stream: Stream | undefined;
  #on: Connection | undefined;
  #opening = false;
  #failures = 0;
  #retryAt = Number.POSITIVE_INFINITY;
  #waiting: Uint8Array[] = [];
  #waitingBytes = 0;
  #flushing = false;

  constructor(
    protocol: string,
    capacity: number,
    options: DirectOptions,
    counters: DirectCounters,
    connections: readonly Connection[],
    changed: () => void,
  ) {
    this.#protocol = protocol;
    this.#capacity = capacity;
    this.#options = options;
    this.#counters = counters;
    this.#connections = connections;
    this.#changed = changed;
    this.#backoff = new Backoff(200, 2_000, options.random);
  }

  get isOpen(): boolean {
    return this.#stream !== undefined;
  }

  get on(): Connection | undefined {
    return this.#on;
  }

  /** False when the peer does not read as fast as we write. */
  hasRoom(bytes: number): boolean {
    return this.#waitingBytes + (this.#stream?.writeBufferLength ?? 0) + bytes + frameHeadMaxBytes <= this.#capacity;
  }

  /** Takes a frame; what finds no room is dropped. */
  write(bytes: Uint8Array): void {
    if (!this.hasRoom(bytes.length)) return;
    this.#waiting.push(bytes);
    this.#waitingBytes += bytes.length;
    if (this.#stream === undefined) this.open();
    else if (!this.#flushing) {
      this.#flushing = true;
      queueMicrotask(() => this.#flush());
    }
  }

  open(): void {
    const connection = this.#connections.find((c) => c.status === 'open');
    if (this.#stream !== undefined || this.#opening || connection === undefined) return;
    this.#opening = true;
    this.#retryAt = Number.POSITIVE_INFINITY;
    this.#openOn(connection).then(
      () => this.#opened(),
      (cause: Error) => this.#openFailed(connection, cause),
    );
  }

  tick(nowMs: number): void {
    if (nowMs >= this.#retryAt) this.open();
  }

  lost(): void {
    const stream = this.#stream;
    this.#stream = undefined;
    this.#on = undefined;
    this.#waiting = [];
    this.#waitingBytes = 0;
    if (stream?.status === 'open') stream.abort(new Error('the connection is gone'));
  }

  async #openOn(connection: Connection): Promise<void> {
    const stream = await connection.newStream(this.#protocol, {
      signal: AbortSignal.timeout(openTimeoutMs),
      maxOutboundStreams: 4,
    });
    stream.inactivityTimeout = Number.POSITIVE_INFINITY;
    const openedAt = performance.now();
    stream.addEventListener('close', () => {
      if (this.#stream !== stream) return;
      this.#stream = undefined;
      this.#on = undefined;
      // A stream that the other side ends at once is a refusal: trying again at once would be a hot loop.
      if (performance.now() - openedAt < briefMs) this.#openFailed(connection, new Error('the peer takes no stream'));
      else {
        this.#failures = 0;
        this.#backoff.reset();
        this.open();
      }
    });
    const preamble = frame(encodePreamble(this.#options.own));
    this.#counters.sentBytes += preamble.length;
    stream.send(preamble);
    this.#stream = stream;
    this.#on = connection;
  }

  #opened(): void {
    this.#opening = false;
    if (this.#stream === undefined) return;
    this.#flush();
    this.#changed();
  }

  #openFailed(connection: Connection, cause: Error): void {
    this.#opening = false;
    this.#failures++;
    if (this.#failures >= openAttempts) {
      this.#failures = 0;
      connection.abort(cause);
    }
    this.#retryAt = performance.now() + this.#backoff.next();
  }

  #flush(): void {
    this.#flushing = false;
    if (this.#stream === undefined || this.#waiting.length === 0) return;
    const bytes = this.#waiting.length === 1 ? this.#waiting[0]! : Buffer.concat(this.#waiting);
    this.#waiting = [];
    this.#waitingBytes = 0;
    try {
      this.#stream.send(bytes);
      this.#counters.sentBytes += bytes.length;
    } catch (cause) {
      // A closed stream throws at once; its close event, if it has not come yet, changes nothing any more.
      const stream = this.#stream;
      this.#stream = undefined;
      this.#on = undefined;
      stream.abort(cause instanceof Error ? cause : new Error(String(cause)));
      this.open();
    }
  }
}

/** The part of a message that two agents with this much agreement may exchange; undefined when there is none. */
function permitted(message: DirectMessage, agreement: Agreement): DirectMessage | undefined {
  if (agreement === 'all') return message;
  if (agreement === 'nothing') return undefined;
  // Leases name their cell and epoch, and an epoch ends while some have the next site file already.
  if (isLeaseMessage(message)) return agreement === 'membership' ? message : undefined;
  switch (message.kind) {
    case 'claim':
    case 'checkpoint':
    case 'handover':
    case 'digest-buckets':
    case 'digest-versions':
    case 'digest-wants':
      return undefined;
    case 'ping-request':
    case 'gossip':
    case 'sync':
    case 'sync-buckets':
    case 'sync-entries':
      return agreement === 'membership' ? message : undefined;
    case 'ping':
    case 'ack':
    case 'nack':
    case 'hello':
      return agreement === 'membership' || message.updates.length === 0 ? message : { ...message, updates: [] };
  }
}
