import type { Random } from '../../agent/base/random.ts';
import type { HealthDigest } from '../../agent/core/health/digest.ts';
import type { DirectMessage, Input } from '../../agent/core/input.ts';
import type { MeshPort } from '../../agent/driver/ports.ts';
import { type Bounds, peekType } from '../../agent/wire/codec.ts';
import {
  checkpointMaxBytes,
  decodeDirect,
  encodeDirect,
  encodedSize,
  isBulk,
  maxBytesOf,
} from '../../agent/wire/direct.ts';
import type { Network } from './network.ts';

/** What the channel needs of its world: the time, and things to happen later. */
export interface ChannelWorld {
  now(): number;
  /** Brings `input` to `agent` at that time, as socket data: after timers, and only to the process that stands now. */
  deliverAt(time: number, agent: number, input: Input): void;
  /** Runs `act` at that time. */
  at(time: number, act: () => void): void;
  isUp(agent: number): boolean;
  /** Told of every message that reached the wire, with its bytes, framing included. */
  sent(from: number, to: number, bytes: number, kind: DirectMessage['kind'] | 'digest'): void;
  lost(from: number, to: number): void;
}

export interface ChannelCounters {
  dropped: number;
  garbage: number;
}

/**
 * The modelled mesh: connections that come up and go down, one ordered stream for small messages and one for bulk per
 * peer, gossip within a cell. It passes the same conformance suite as the libp2p channel; loss, delay and cuts come
 * from the network beneath. Real streams do not lose single messages; here they may, because a detector that bears
 * that also bears what libp2p makes of a bad wire.
 */
export class SimulatedChannels {
  readonly #size: number;
  readonly #world: ChannelWorld;
  readonly #network: Network;
  readonly #random: Random;
  readonly #bounds: Bounds;
  readonly #cells: Int32Array;
  readonly #cellMembers: number[][] = [];
  readonly #connected: Uint8Array;
  /** Rises whenever a connection of the pair changes, so that late events of an old one are void. */
  readonly #epochs: Uint16Array;
  /** Pairs (smaller first) with a connection attempt under way. */
  readonly #dialling = new Set<number>();
  readonly #bulkFreeAt = new Map<number, number>();
  readonly #digests = new Map<number, { bootCounter: number; sequence: number }>();
  readonly counters: ChannelCounters[];

  constructor(parts: {
    world: ChannelWorld;
    network: Network;
    random: Random;
    bounds: Bounds;
    cells: readonly number[];
  }) {
    this.#world = parts.world;
    this.#network = parts.network;
    this.#random = parts.random;
    this.#bounds = parts.bounds;
    this.#size = parts.network.size;
    this.#cells = Int32Array.from(parts.cells);
    for (let agent = 0; agent < this.#size; agent++) {
      const cell = this.#cells[agent]!;
      let members = this.#cellMembers[cell];
      if (!members) this.#cellMembers[cell] = members = [];
      members.push(agent);
    }
    this.#connected = new Uint8Array(this.#size * this.#size);
    this.#epochs = new Uint16Array(this.#size * this.#size);
    this.counters = Array.from({ length: this.#size }, () => ({ dropped: 0, garbage: 0 }));
  }

  port(agent: number): MeshPort {
    return {
      send: (to, message) => this.#send(agent, to, message),
      publish: (digest) => this.#publish(agent, digest),
    };
  }

  isConnected(a: number, b: number): boolean {
    return this.#connected[a * this.#size + b] === 1;
  }

  /** The process of this agent came up: it dials everybody who is up. */
  started(agent: number): void {
    for (let peer = 0; peer < this.#size; peer++) this.dial(agent, peer);
  }

  /**
   * The process ended. With `closes`, its kernel says so to the peers (a killed process); without, they hear nothing
   * until their own patience ends (a power cut, a pulled cable).
   */
  ended(agent: number, closes: boolean): void {
    for (let peer = 0; peer < this.#size; peer++) {
      if (peer === agent || !this.isConnected(agent, peer)) continue;
      this.#connected[agent * this.#size + peer] = 0;
      const hears = closes && this.#network.isWhole(agent, peer);
      const delay = hears
        ? this.#network.options.latencyMs + this.#random.exponential(5)
        : this.#random.between(9_000, 15_000);
      this.#closeSide(peer, agent, delay);
    }
    for (const key of [...this.#digests.keys()]) if (Math.floor(key / this.#size) === agent) this.#digests.delete(key);
  }

  /** Tries to connect a pair until it works or one of them is gone for good; a few tries per second, jittered. */
  dial(a: number, b: number, inMs = this.#random.between(2, 40)): void {
    const key = Math.min(a, b) * this.#size + Math.max(a, b);
    if (a === b || this.#dialling.has(key) || (this.isConnected(a, b) && this.isConnected(b, a))) return;
    if (!this.#world.isUp(a) || !this.#world.isUp(b)) return;
    this.#dialling.add(key);
    this.#world.at(this.#world.now() + inMs, () => {
      this.#dialling.delete(key);
      if (!this.#world.isUp(a) || !this.#world.isUp(b)) return;
      if (!this.#network.isWhole(a, b)) {
        this.dial(a, b, this.#random.between(500, 2_000));
        return;
      }
      this.#open(a, b);
    });
  }

  /** Closes the connection of a pair at once, as a reset does. */
  close(a: number, b: number): void {
    for (const [x, y] of [[a, b] as const, [b, a] as const]) {
      if (this.isConnected(x, y)) {
        this.#connected[x * this.#size + y] = 0;
        this.#closeSide(x, y, 0);
      }
    }
  }

  /** The wire of a pair was cut: both sides notice only after a while, as their kernels give up. */
  cutSilently(a: number, b: number): void {
    const epoch = this.#epochs[a * this.#size + b]!;
    this.#world.at(this.#world.now() + this.#random.between(9_000, 15_000), () => {
      if (this.#epochs[a * this.#size + b] !== epoch || this.#network.isWhole(a, b)) return;
      this.close(a, b);
      this.dial(a, b);
    });
  }

  /** Bytes that were never encoded by an honest agent, as one frame of the direct stream. */
  inject(from: number, to: number, bytes: Uint8Array): void {
    const decoded = peekType(bytes) < 0 ? undefined : decodeDirect(bytes, this.#bounds);
    if (!decoded?.ok) {
      this.counters[to]!.garbage++;
      return;
    }
    this.#world.deliverAt(this.#world.now(), to, { kind: 'message-received', from, message: decoded.value });
  }

  #open(a: number, b: number): void {
    for (const [x, y] of [[a, b] as const, [b, a] as const]) {
      const link = x * this.#size + y;
      this.#epochs[link] = (this.#epochs[link]! + 1) & 0xffff;
      if (this.#connected[link] === 1) {
        // One side had not yet noticed the end of the old connection: a new one tells it.
        this.#world.deliverAt(this.#world.now(), x, { kind: 'peer-disconnected', peer: y });
      }
      this.#connected[link] = 1;
      this.#network.reset(x, y);
      this.#bulkFreeAt.delete(link);
      this.#world.deliverAt(this.#world.now(), x, { kind: 'peer-connected', peer: y });
    }
  }

  /** `side` learns after `delay` that its connection to `peer` is gone, and dials again. */
  #closeSide(side: number, peer: number, delay: number): void {
    const link = side * this.#size + peer;
    const epoch = this.#epochs[link]!;
    this.#world.at(this.#world.now() + delay, () => {
      if (this.#epochs[link] !== epoch) return;
      this.#epochs[link] = (epoch + 1) & 0xffff;
      this.#connected[link] = 0;
      if (!this.#world.isUp(side)) return;
      this.#world.deliverAt(this.#world.now(), side, { kind: 'peer-disconnected', peer });
      this.dial(side, peer, this.#random.between(100, 1_000));
    });
  }

  #send(from: number, to: number, message: DirectMessage): void {
    const counters = this.counters[from]!;
    if (!Number.isInteger(to) || to < 0 || to >= this.#size || to === from || !this.isConnected(from, to)) {
      counters.dropped++;
      return;
    }
    const now = this.#world.now();
    const bytes = encodedSize(message);
    const tooLarge = bytes > maxBytesOf(message.kind);
    if (tooLarge || (isBulk(message) && !this.#fitsBulk(now, from * this.#size + to, message, bytes))) {
      counters.dropped++;
      return;
    }
    this.#world.sent(from, to, bytes + frameBytes, message.kind);
    let at = this.#network.arrival(now, from, to);
    if (at < 0 || !this.isConnected(to, from)) {
      this.#world.lost(from, to);
      return;
    }
    if (isBulk(message)) at += this.#bulkFreeAt.get(from * this.#size + to)! - now;
    this.#world.deliverAt(at, to, { kind: 'message-received', from, message: this.#tested(message) });
    if (this.#network.duplicates()) {
      const again = at + this.#network.options.latencyMs;
      this.#world.deliverAt(again, to, { kind: 'message-received', from, message });
    }
  }

  /** The queue for bulk holds what the line carries in a while; what comes on top is refused. */
  #fitsBulk(now: number, link: number, message: DirectMessage, bytes: number): boolean {
    if ('checkpoint' in message && message.checkpoint.data.length > checkpointMaxBytes) return false;
    const freeAt = Math.max(now, this.#bulkFreeAt.get(link) ?? 0);
    if ((freeAt - now) * bulkBytesPerMs + bytes > bulkQueueBytes) return false;
    this.#bulkFreeAt.set(link, freeAt + bytes / bulkBytesPerMs);
    return true;
  }

  #round = 0;

  /** One message in a hundred goes through the real codec, so that a run also tests what travels in production. */
  #tested(message: DirectMessage): DirectMessage {
    this.#round = (this.#round + 1) % 100;
    if (this.#round !== 0) return message;
    const encoded = encodeDirect(message);
    const decoded = encoded.ok ? decodeDirect(encoded.value, this.#bounds) : encoded;
    if (!decoded.ok) throw new Error(`the codec refuses what the core says: ${message.kind}: ${decoded.error.text}`);
    return decoded.value;
  }

  #publish(from: number, digest: HealthDigest): void {
    const now = this.#world.now();
    for (const to of this.#cellMembers[this.#cells[from]!]!) {
      if (to === from || !this.isConnected(from, to) || !this.isConnected(to, from)) continue;
      this.#world.sent(
        from,
        to,
        120 + 4 * (digest.judges.length + digest.checks.length + digest.duties.length),
        'digest',
      );
      const at = this.#network.arrival(now, from, to);
      if (at < 0) {
        this.#world.lost(from, to);
        continue;
      }
      const key = to * this.#size + digest.agent;
      this.#world.at(at, () => {
        const last = this.#digests.get(key);
        const isOlder =
          last &&
          (digest.bootCounter < last.bootCounter ||
            (digest.bootCounter === last.bootCounter && digest.sequence <= last.sequence));
        if (isOlder || !this.#world.isUp(to)) return;
        this.#digests.set(key, { bootCounter: digest.bootCounter, sequence: digest.sequence });
        this.#world.deliverAt(this.#world.now(), to, { kind: 'digest-received', digest });
      });
    }
  }
}

const frameBytes = 2;
const bulkBytesPerMs = 10_000;
const bulkQueueBytes = 2_000_000;
