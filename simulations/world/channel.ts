import type { Random } from '../../agent/base/random.ts';
import { approximateDigestBytes, type HealthDigest } from '../../agent/core/health/digest.ts';
import type { DirectMessage, Input } from '../../agent/core/input.ts';
import { lan } from '../../agent/core/membership/options.ts';
import { keepsConnection, type Ring, ringOf, smallSite } from '../../agent/core/membership/ring.ts';
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
import { isForDatagrams, SecondPath } from '../../agent/wire/second-path.ts';
import { BitMatrix } from './bits.ts';
import type { Network } from './network.ts';
import { TcpConnections } from './tcp.ts';

/** What the channel needs of its world: the time, and things to happen later. */
export interface ChannelWorld {
  now(): number;
  /** Brings `input` to the process at `place`, as socket data: after timers, and only to the process that stands now. */
  deliverAt(time: number, place: number, input: Input): void;
  /** Calls `happen` with these numbers at that time. */
  later(time: number, what: number, a: number, b: number, c: number, payload: unknown): void;
  isUp(place: number): boolean;
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
 * from the network beneath. Real streams do not lose single messages; with the transport `messages` they may. What a
 * stream makes of a bad wire, and that is worse, is the transport `tcp`.
 *
 * In a site of up to `smallSite` agents all connect to all. In a larger one nobody keeps a thousand connections: an agent
 * dials its cell and its neighbours on the ring of observers, and others when it has something to say to them; what it
 * says waits for the handshake, and is gone when that fails.
 *
 * A **place** is where a process runs: the box of the same number, or, above the number of agents, a box with the disk
 * image and so the key of another. Who sends is known by the key; which of two processes with one key a message
 * reaches is up to who connected last.
 */
export class SimulatedChannels {
  readonly #places: number;
  readonly #agents: number;
  readonly #world: ChannelWorld;
  readonly #network: Network;
  readonly #random: Random;
  readonly #bounds: Bounds;
  readonly #cells: Int32Array;
  readonly #cellMembers: number[][] = [];
  /** Where in its cell an agent stands. */
  readonly #seats: Int32Array;
  readonly #connected: BitMatrix;
  /** Whose key a place has. */
  readonly #agentOf: Int32Array;
  /** Places beyond the first of agents whose disk was cloned. */
  readonly #clones = new Map<number, number[]>();
  /** Where a message from a place to a cloned agent goes: by place·agents + agent. */
  readonly #routes = new Map<number, number>();
  /** Sides that will notice the end of their connection, and cuts that the kernels will notice; by link, with a token. */
  readonly #closing = new Map<number, number>();
  readonly #cuts = new Map<number, number>();
  #token = 0;
  /** Which round of dialling everybody is the last of a place. */
  readonly #rounds: Int32Array;
  /** Pairs (smaller first) with a connection attempt under way. */
  readonly #dialling = new Set<number>();
  readonly #bulkFreeAt = new Map<number, number>();
  /** Per place and seat of the cell: the newest digest, by life and sequence. One array, for what happens this often. */
  readonly #digests: Float64Array;
  /** Numbers of `#digests` per place. */
  readonly #digestRow: number;
  /** Per place: the last digest that its process published, for who connects later. */
  readonly #published: (HealthDigest | undefined)[] = [];
  readonly #publishedAt: number[] = [];
  /** Which plan a place runs; those of different plans speak of membership only. */
  readonly #plans: Int32Array;
  #isSkewed = false;
  /** Who is near whom in a large site; undefined in a small one, where all are. */
  readonly #ring: Ring | undefined;
  readonly #dialSpacingMs: number;
  /** Over TCP alone: connections beneath, and per place and peer what the sender knows of its line. */
  readonly #tcp: TcpConnections;
  readonly #paths = new Map<number, SecondPath>();
  /** What a port of this channel is made of, for who has one object for all ports of a place. */
  readonly exchange: Exchange = {
    send: (from, to, message) => this.#send(from, to, message),
    publish: (from, digest) => this.#publish(from, digest),
    tell: (from, to, digests) => this.#tell(from, to, digests),
  };
  readonly counters: ChannelCounters[];
  /** Frames whose bits were flipped: refused by the decoder, or well-formed by chance, which the seal of the line finds. */
  readonly garbled = { refused: 0, wellFormed: 0 };

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
    this.#places = parts.network.size;
    this.#agents = parts.cells.length;
    this.#cells = Int32Array.from(parts.cells);
    this.#seats = new Int32Array(this.#agents);
    for (let agent = 0; agent < this.#agents; agent++) {
      const cell = this.#cells[agent]!;
      let members = this.#cellMembers[cell];
      if (!members) this.#cellMembers[cell] = members = [];
      this.#seats[agent] = members.length;
      members.push(agent);
    }
    this.#digestRow = 2 * Math.max(0, ...this.#cellMembers.map((members) => members.length));
    this.#digests = new Float64Array(this.#places * this.#digestRow);
    this.#ring = this.#agents > smallSite ? ringOf(this.#agents) : undefined;
    this.#connected = new BitMatrix(this.#places);
    this.#agentOf = Int32Array.from({ length: this.#places }, (_, place) => place);
    this.#rounds = new Int32Array(this.#places);
    this.#plans = new Int32Array(this.#places);
    this.#tcp = new TcpConnections(
      {
        now: () => this.#world.now(),
        later: (time, what, a, b, payload) => this.#world.later(time, happening.tcp + what, a, b, 0, payload),
        drops: (now, from, to) =>
          !this.#world.isUp(from) || !this.#world.isUp(to) || this.#network.drops(now, from, to),
        delayMs: (from) => this.#network.delayMs(from),
        deliver: (from, to, payload) => this.#read(from, to, payload as Letter, false),
        givenUp: (a, b) => this.close(a, b),
      },
      this.#places,
      parts.random.fork('tcp'),
    );
    // A small hall is dialled within 40 ms; each further peer takes half a millisecond.
    this.#dialSpacingMs = Math.max(0.5, 40 / this.#places);
    this.counters = Array.from({ length: this.#places }, () => ({ dropped: 0, garbage: 0 }));
  }

  port(place: number): MeshPort {
    return new PlacePort(this.exchange, place);
  }

  isConnected(a: number, b: number): boolean {
    return this.#connected.has(a, b);
  }

  /** From now on the process at `place` has the key of `agent`. */
  clone(place: number, agent: number): void {
    this.#agentOf[place] = agent;
    const places = this.#clones.get(agent) ?? [agent];
    this.#clones.set(agent, [...places.filter((other) => other !== place), place]);
  }

  /** Who of a connected pair of a cell lacks what the other published at least `forMs` ago. */
  digestsBehind(forMs: number): readonly { readonly place: number; readonly of: number }[] {
    const behind: { place: number; of: number }[] = [];
    for (let of = 0; of < this.#agents; of++) {
      const digest = this.#published[of];
      if (digest === undefined || this.#world.now() - this.#publishedAt[of]! < forMs || this.#clones.has(of)) continue;
      for (const place of this.#cellMembers[this.#cells[of]!]!) {
        if (place === of || !this.#world.isUp(place) || this.#plans[place] !== this.#plans[of]) continue;
        if (!this.#connected.has(of, place) || !this.#connected.has(place, of)) continue;
        const seat = place * this.#digestRow + 2 * this.#seats[of]!;
        const isNewest = this.#digests[seat] === digest.bootCounter && this.#digests[seat + 1] === digest.sequence;
        if (!isNewest) behind.push({ place, of });
      }
    }
    return behind;
  }

  /** Which plan the process at `place` runs from its next connection on; places with different ones do not share numbers. */
  setPlan(place: number, plan: number): void {
    this.#plans[place] = plan;
    if (plan !== 0) this.#isSkewed = true;
  }

  /** The process at this place came up: it dials everybody near who is up. */
  started(place: number): void {
    const round = ++this.#rounds[place]!;
    const near = this.#ring && this.#near(place, this.#ring);
    this.#world.later(this.#world.now() + this.#random.between(2, 10), happening.round, place, 1, round, near);
  }

  /**
   * The process ended. With `closes`, its kernel says so to the peers (a killed process); without, they hear nothing
   * until their own patience ends (a power cut, a pulled cable).
   */
  ended(place: number, closes: boolean): void {
    this.#rounds[place]!++;
    for (let peer = 0; peer < this.#places; peer++) {
      this.#closing.delete(place * this.#places + peer);
      if (peer === place || !this.#connected.clear(place, peer)) continue;
      const hears = closes && this.#network.isWhole(place, peer);
      const delay = hears
        ? this.#network.options.latencyMs + this.#random.exponential(5)
        : this.#random.between(9_000, 15_000);
      this.#closeSide(peer, place, delay);
    }
    this.#digests.fill(0, place * this.#digestRow, (place + 1) * this.#digestRow);
    this.#published[place] = undefined;
  }

  /** Tries to connect a pair until it works or one of them is gone for good, less and less often, jittered. */
  dial(a: number, b: number, inMs = this.#random.between(2, 40), tries = 0): void {
    const key = Math.min(a, b) * this.#places + Math.max(a, b);
    if (this.#dialling.has(key) || !this.#maySeek(a, b)) return;
    this.#dialling.add(key);
    this.#world.later(this.#world.now() + inMs, happening.dial, a, b, tries, undefined);
  }

  /** Closes the connection of a pair at once, as a reset does. */
  close(a: number, b: number): void {
    this.#tcp.reset(a, b);
    if (this.#connected.clear(a, b)) this.#closeSide(a, b, 0);
    if (this.#connected.clear(b, a)) this.#closeSide(b, a, 0);
  }

  /** The wire of a pair was cut: both sides notice only after a while, as their kernels give up. */
  cutSilently(a: number, b: number): void {
    const token = this.#nextToken();
    this.#cuts.set(a * this.#places + b, token);
    this.#world.later(
      this.#world.now() + this.#random.between(9_000, 15_000),
      happening.cutNoticed,
      a,
      b,
      token,
      undefined,
    );
  }

  /** Bytes that were never encoded by an honest agent, as one frame of the direct stream. */
  inject(from: number, to: number, bytes: Uint8Array): void {
    const decoded = peekType(bytes) < 0 ? undefined : decodeDirect(bytes, this.#bounds);
    if (!decoded?.ok) {
      this.counters[to]!.garbage++;
      return;
    }
    const message = decoded.value;
    this.#world.deliverAt(this.#world.now(), to, { kind: 'message-received', from: this.#agentOf[from]!, message });
  }

  /** What was asked of `later` happens now. */
  happen(what: number, a: number, b: number, c: number, payload: unknown): void {
    switch (what) {
      case happening.round:
        return this.#dialNext(a, b, c, payload as readonly number[] | undefined);
      case happening.dial:
        return this.#dialled(a, b, c);
      case happening.closeNoticed:
        return this.#closeNoticed(a, b, c);
      case happening.cutNoticed:
        return this.#cutNoticed(a, b, c);
      case happening.held:
        return this.#handshaken(a, b, c, payload as DirectMessage);
      case happening.digest:
        return this.#digestArrived(a, payload as HealthDigest);
      case happening.shaken:
        return this.#shaken(a, b);
      case happening.datagram:
        return this.#read(a, b, payload as Letter, true);
      default:
        return this.#tcp.happen(what - happening.tcp, a, b, payload);
    }
  }

  /** Both live, are not the same agent, and are not connected on both sides. */
  #maySeek(a: number, b: number): boolean {
    if (this.#agentOf[a] === this.#agentOf[b]) return false;
    if (this.#connected.has(a, b) && this.#connected.has(b, a)) return false;
    return this.#world.isUp(a) && this.#world.isUp(b);
  }

  #isNear(place: number, peer: number): boolean {
    const [a, b] = [this.#agentOf[place]!, this.#agentOf[peer]!];
    return keepsConnection(this.#agents, a, b, this.#cells[a] === this.#cells[b]);
  }

  /** Its cell, whom it observes, and who observes it: the same relation from both sides. */
  #near(place: number, ring: Ring): readonly number[] {
    const agent = this.#agentOf[place]!;
    const near = new Set(this.#cellMembers[this.#cells[agent]!]);
    const at = ring.position[agent]! + this.#agents;
    for (let away = -lan.ringObservers; away <= lan.ringObservers; away++) {
      near.add(ring.order[(at + away) % this.#agents]!);
    }
    for (let clone = this.#agents; clone < this.#places; clone++) if (near.has(this.#agentOf[clone]!)) near.add(clone);
    near.delete(place);
    const turn = (peer: number) => (peer - place + this.#places) % this.#places;
    return [...near].sort((a, b) => turn(a) - turn(b));
  }

  /** One peer after the other, beginning with the next one in number, so that not all begin with the same. */
  #dialNext(place: number, offset: number, round: number, near: readonly number[] | undefined): void {
    if (this.#rounds[place] !== round) return;
    const peer = near === undefined ? (place + offset) % this.#places : near[offset - 1]!;
    if (this.#maySeek(place, peer)) {
      if (this.#network.isWhole(place, peer)) this.#shake(place, peer, 0);
      else this.dial(place, peer, this.#random.between(500, 2_000));
    }
    if (offset >= (near?.length ?? this.#places - 1)) return;
    const at = this.#world.now() + this.#random.float() * 2 * this.#dialSpacingMs;
    this.#world.later(at, happening.round, place, offset + 1, round, near);
  }

  #dialled(a: number, b: number, tries: number): void {
    this.#dialling.delete(Math.min(a, b) * this.#places + Math.max(a, b));
    if (!this.#maySeek(a, b)) return;
    if (this.#network.isWhole(a, b)) this.#shake(a, b, tries);
    else this.dial(a, b, this.#random.between(0.4, 1) * Math.min(5_000, 1_500 * 1.5 ** tries), Math.min(8, tries + 1));
  }

  /** Opens a connection when its handshake is through; over TCP that takes long where packets are lost. */
  #shake(a: number, b: number, tries: number): void {
    const { loss } = this.#network.options;
    if (!this.#network.isTcp || loss === 0) return this.#open(a, b);
    const key = Math.min(a, b) * this.#places + Math.max(a, b);
    if (this.#dialling.has(key)) return;
    const takes = this.#tcp.handshakeMs(loss);
    if (takes < 0) return this.dial(a, b, 5_000 + this.#random.between(100, 1_000), Math.min(8, tries + 1));
    this.#dialling.add(key);
    this.#world.later(this.#world.now() + takes, happening.shaken, a, b, 0, undefined);
  }

  #shaken(a: number, b: number): void {
    this.#dialling.delete(Math.min(a, b) * this.#places + Math.max(a, b));
    if (!this.#maySeek(a, b)) return;
    if (this.#network.isWhole(a, b)) this.#open(a, b);
    else this.dial(a, b, this.#random.between(500, 2_000));
  }

  #open(a: number, b: number): void {
    this.#openSide(a, b);
    this.#openSide(b, a);
    const [ofA, ofB] = [this.#published[a], this.#published[b]];
    if (ofA !== undefined) this.#tell(a, this.#agentOf[b]!, [ofA]);
    if (ofB !== undefined) this.#tell(b, this.#agentOf[a]!, [ofB]);
  }

  #openSide(side: number, peer: number): void {
    const link = side * this.#places + peer;
    const now = this.#world.now();
    if (this.#closing.size > 0) this.#closing.delete(link);
    if (this.#cuts.size > 0) this.#cuts.delete(link);
    const agent = this.#agentOf[peer]!;
    if (!this.#connected.set(side, peer)) {
      // This side had not yet noticed the end of the old connection: a new one tells it.
      this.#world.deliverAt(now, side, { kind: 'peer-disconnected', peer: agent });
    }
    if (this.#clones.size > 0 && this.#clones.has(agent)) this.#routes.set(side * this.#agents + agent, peer);
    this.#network.reset(side, peer);
    this.#tcp.reset(side, peer);
    if (this.#paths.size > 0) this.#paths.delete(link);
    if (this.#bulkFreeAt.size > 0) this.#bulkFreeAt.delete(link);
    this.#world.deliverAt(now, side, { kind: 'peer-connected', peer: agent });
  }

  /** `side` learns after `delay` that its connection to `peer` is gone, and dials again. */
  #closeSide(side: number, peer: number, delay: number): void {
    const token = this.#nextToken();
    this.#closing.set(side * this.#places + peer, token);
    this.#world.later(this.#world.now() + delay, happening.closeNoticed, side, peer, token, undefined);
  }

  #closeNoticed(side: number, peer: number, token: number): void {
    const link = side * this.#places + peer;
    if (this.#closing.get(link) !== token) return;
    this.#closing.delete(link);
    this.#connected.clear(side, peer);
    if (!this.#world.isUp(side)) return;
    this.#world.deliverAt(this.#world.now(), side, { kind: 'peer-disconnected', peer: this.#agentOf[peer]! });
    if (this.#isNear(side, peer)) this.dial(side, peer, this.#random.between(100, 1_000));
  }

  #cutNoticed(a: number, b: number, token: number): void {
    const link = a * this.#places + b;
    if (this.#cuts.get(link) !== token) return;
    this.#cuts.delete(link);
    if (this.#network.isWhole(a, b)) return;
    this.close(a, b);
    if (this.#isNear(a, b)) this.dial(a, b);
  }

  #nextToken(): number {
    this.#token = (this.#token + 1) & 0x3fff_ffff;
    return this.#token;
  }

  /** The process that a message to `agent` reaches; negative when there is none. */
  #route(from: number, agent: number): number {
    if (!Number.isInteger(agent) || agent < 0 || agent >= this.#agents || agent === this.#agentOf[from]) return -1;
    if (this.#clones.size > 0) {
      const places = this.#clones.get(agent);
      if (places !== undefined) {
        const last = this.#routes.get(from * this.#agents + agent);
        if (last !== undefined && this.#connected.has(from, last)) return last;
        return places.find((place) => this.#connected.has(from, place)) ?? -1;
      }
    }
    return this.#connected.has(from, agent) ? agent : -1;
  }

  /** There is such an agent; whether it is up shows when it is called. */
  #mayCall(from: number, agent: number): boolean {
    return Number.isInteger(agent) && agent >= 0 && agent < this.#agents && agent !== this.#agentOf[from];
  }

  /** Holds a message for somebody far until a handshake may have been done: TCP, the keys, the streams. */
  #hold(from: number, agent: number, message: DirectMessage): void {
    const takes = 6 * this.#network.options.latencyMs + this.#random.between(1, 3);
    this.#world.later(this.#world.now() + takes, happening.held, from, agent, this.#rounds[from]!, message);
  }

  #handshaken(from: number, agent: number, round: number, message: DirectMessage): void {
    // The process that wanted to say it is gone.
    if (this.#rounds[from] !== round) return;
    if (this.#route(from, agent) < 0) {
      const place = this.#clones.get(agent)?.at(-1) ?? agent;
      if (this.#maySeek(from, place) && this.#network.isWhole(from, place)) this.#open(from, place);
    }
    this.#send(from, agent, message, true);
  }

  #send(from: number, agent: number, message: DirectMessage, isHeld = false): void {
    const to = this.#route(from, agent);
    if (to < 0) {
      if (this.#ring !== undefined && !isHeld && this.#mayCall(from, agent)) this.#hold(from, agent, message);
      else this.counters[from]!.dropped++;
      return;
    }
    const bulk = isBulk(message);
    if (this.#isSkewed && this.#plans[from] !== this.#plans[to] && !isOfMembership(message)) {
      this.counters[from]!.dropped++;
      return;
    }
    const now = this.#world.now();
    const bytes = encodedSize(message);
    const { kind } = message;
    if (bytes > maxBytesOf(kind) || (bulk && !this.#fitsBulk(now, from * this.#places + to, message, bytes))) {
      this.counters[from]!.dropped++;
      return;
    }
    this.#world.sent(from, to, bytes + frameBytes, kind);
    if (this.#network.isTcp) {
      this.#write(from, to, bytes + frameBytes, { message, digest: undefined });
      return;
    }
    let at = this.#network.arrival(now, from, to, bytes + frameBytes, bulk);
    if (at < 0 || !this.#connected.has(to, from)) {
      this.#world.lost(from, to);
      return;
    }
    if (this.#network.corrupts()) {
      this.#garble(from, to, message);
      return;
    }
    if (bulk) at += this.#bulkFreeAt.get(from * this.#places + to)! - now;
    const sender = this.#agentOf[from]!;
    this.#world.deliverAt(at, to, { kind: 'message-received', from: sender, message: this.#tested(message) });
    if (this.#network.duplicates()) {
      const again = at + this.#network.options.latencyMs;
      this.#world.deliverAt(again, to, { kind: 'message-received', from: sender, message });
    }
  }

  /** Onto the connection, and as a datagram beside it where the connection is in doubt. */
  #write(from: number, to: number, bytes: number, letter: Letter): void {
    const { transport, datagrams = true } = this.#network.options;
    this.#tcp.isThin = transport === 'tcp-thin';
    if (!this.#tcp.send(from, to, bytes, letter)) {
      this.counters[from]!.dropped++;
      return;
    }
    const { message } = letter;
    if (!datagrams || message === undefined || !isForDatagrams(message)) return;
    const now = this.#world.now();
    if (!this.#path(from, to).takes(now, message)) return;
    this.#world.sent(from, to, bytes + datagramBytes, message.kind);
    if (this.#network.drops(now, from, to)) this.#world.lost(from, to);
    else this.#world.later(now + this.#network.delayMs(from), happening.datagram, from, to, 0, letter);
  }

  #path(from: number, to: number): SecondPath {
    const link = from * this.#places + to;
    let path = this.#paths.get(link);
    if (path === undefined) this.#paths.set(link, (path = new SecondPath()));
    return path;
  }

  #read(from: number, to: number, { message, digest }: Letter, isDatagram: boolean): void {
    if (!this.#connected.has(to, from)) {
      this.#world.lost(from, to);
      return;
    }
    const now = this.#world.now();
    const path = this.#path(to, from);
    if (!isDatagram) path.heard();
    else if (message !== undefined) path.called(now, message);
    if (message === undefined) {
      if (digest !== undefined) this.#digestArrived(to, digest);
      return;
    }
    const sender = this.#agentOf[from]!;
    this.#world.deliverAt(now, to, { kind: 'message-received', from: sender, message: this.#tested(message) });
  }

  /**
   * Bits were flipped on the way. The decoder must bear it; what it takes for a message by chance would not have passed
   * the seal of an encrypted line. Either way the line is broken, and dialled anew.
   */
  #garble(from: number, to: number, message: DirectMessage): void {
    const encoded = encodeDirect(message);
    if (!encoded.ok) return;
    if (decodeDirect(this.#network.garbled(encoded.value), this.#bounds).ok) this.garbled.wellFormed++;
    else this.garbled.refused++;
    this.counters[to]!.garbage++;
    this.#world.lost(from, to);
    this.close(from, to);
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
    if (++this.#round < 100) return message;
    this.#round = 0;
    const encoded = encodeDirect(message);
    const decoded = encoded.ok ? decodeDirect(encoded.value, this.#bounds) : encoded;
    if (!decoded.ok) throw new Error(`the codec refuses what the core says: ${message.kind}: ${decoded.error.text}`);
    return decoded.value;
  }

  #publish(from: number, digest: HealthDigest): void {
    this.#published[from] = digest;
    this.#publishedAt[from] = this.#world.now();
    for (const agent of this.#cellMembers[this.#cells[this.#agentOf[from]!]!]!) this.#tellOne(from, agent, digest);
  }

  /** Digests that were heard or said, to one peer of the cell. */
  #tell(from: number, agent: number, digests: readonly HealthDigest[]): void {
    if (this.#cells[agent] !== this.#cells[this.#agentOf[from]!]) return;
    for (const digest of digests) this.#tellOne(from, agent, digest);
  }

  #tellOne(from: number, agent: number, digest: HealthDigest): void {
    const to = this.#route(from, agent);
    if (to < 0 || !this.#connected.has(to, from)) return;
    if (this.#isSkewed && this.#plans[from] !== this.#plans[to]) return;
    const bytes = approximateDigestBytes(digest);
    this.#world.sent(from, to, bytes, 'digest');
    if (this.#network.isTcp) {
      this.#write(from, to, bytes, { message: undefined, digest });
      return;
    }
    const at = this.#network.arrival(this.#world.now(), from, to, bytes);
    if (at < 0) this.#world.lost(from, to);
    else this.#world.later(at, happening.digest, to, 0, 0, digest);
  }

  /** The newest of each origin alone is handed on, by life and sequence, as the real channel does. */
  #digestArrived(to: number, digest: HealthDigest): void {
    if (!this.#world.isUp(to) || digest.agent === this.#agentOf[to]) return;
    const known = this.#digests;
    const seat = to * this.#digestRow + 2 * this.#seats[digest.agent]!;
    const { bootCounter, sequence } = digest;
    if (bootCounter < known[seat]! || (bootCounter === known[seat] && sequence <= known[seat + 1]!)) return;
    known[seat] = bootCounter;
    known[seat + 1] = sequence;
    this.#world.deliverAt(this.#world.now(), to, { kind: 'digest-received', digest });
  }
}

export interface Exchange {
  send(from: number, to: number, message: DirectMessage): void;
  publish(from: number, digest: HealthDigest): void;
  tell(from: number, to: number, digests: readonly HealthDigest[]): void;
}

class PlacePort implements MeshPort {
  readonly #exchange: Exchange;
  readonly #place: number;

  constructor(exchange: Exchange, place: number) {
    this.#exchange = exchange;
    this.#place = place;
  }

  send(to: number, message: DirectMessage): void {
    this.#exchange.send(this.#place, to, message);
  }

  publish(digest: HealthDigest): void {
    this.#exchange.publish(this.#place, digest);
  }

  tellDigests(to: number, digests: readonly HealthDigest[]): void {
    this.#exchange.tell(this.#place, to, digests);
  }
}

/** What two agents with different plans may say to each other: the numbers of duties are not the same for both. */
const isOfMembership = ({ kind }: DirectMessage): boolean =>
  kind !== 'claim' && kind !== 'checkpoint' && kind !== 'handover' && !kind.startsWith('digest');

/** What is read at the other end of a connection: one of the two. */
interface Letter {
  readonly message: DirectMessage | undefined;
  readonly digest: HealthDigest | undefined;
}

const happening = {
  ...{ round: 0, dial: 1, closeNoticed: 2, cutNoticed: 3, digest: 4, held: 5, shaken: 6, datagram: 7 },
  /** And those after it. */
  tcp: 8,
} as const;
const frameBytes = 2;
/** Number and seal of a datagram. */
const datagramBytes = 24;
const bulkBytesPerMs = 10_000;
const bulkQueueBytes = 2_000_000;
