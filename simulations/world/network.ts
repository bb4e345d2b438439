import type { Random } from '../../agent/base/random.ts';
import { BitMatrix } from './bits.ts';

/**
 * What carries messages. `messages`: each fares by itself, as a detector over datagrams would have it. `tcp`: a connection
 * per pair as Linux has it, where packets are lost and what was said later waits (see tcp.ts); `tcp-thin`: the same with
 * the kernel's setting of deploy/90-millwright.conf.
 */
export const transports = ['messages', 'tcp', 'tcp-thin'] as const;
export type Transport = (typeof transports)[number];

/** How messages fare on the way. Times in milliseconds, probabilities in 0 … 1. What is left out does not happen. */
export interface NetworkOptions {
  /** Messages where nothing is said, as in recordings of former times. */
  readonly transport?: Transport;
  /** Over TCP: what the failure detector says to whom it hears nothing of goes as a datagram, too. On unless false. */
  readonly datagrams?: boolean;
  readonly latencyMs: number;
  /** Mean of an exponential tail on top of the latency. */
  readonly jitterMs: number;
  readonly loss: number;
  readonly duplication: number;
  /** Share of messages that may be overtaken; the others keep the order of their stream. */
  readonly reordering: number;
  /** Share of messages that hold up their stream by `stallMs`, as a lost segment holds up TCP. */
  readonly stalls: number;
  readonly stallMs: number;
  /** Chance that the retransmission is lost, too; time-outs double, so 200 ms become 600 and then 1400. */
  readonly retransmissionLoss?: number;
  /**
   * Losses that come in bursts (Gilbert 1960, Elliott 1963): each box's link is good for `goodMs` and bad for `badMs` on
   * average, exponentially distributed, and loses `loss` of what it sends or receives while it is bad.
   */
  readonly burst?: { readonly goodMs: number; readonly badMs: number; readonly loss: number } | undefined;
  /** A share of messages is late by a Pareto tail of shape 1.5 that begins at `ms` and is cut at `maxMs`. */
  readonly tail?: { readonly share: number; readonly ms: number; readonly maxMs: number } | undefined;
  /** Share of frames with flipped bits. */
  readonly corruption?: number;
  /** What a box can send per second; what its queue of `queueBytes` does not hold is lost. */
  readonly uplink?: { readonly bytesPerSecond: number; readonly queueBytes: number } | undefined;
}

export const calmNetwork: NetworkOptions = {
  latencyMs: 0.3,
  jitterMs: 0.1,
  loss: 0,
  duplication: 0,
  reordering: 0,
  stalls: 0,
  stallMs: 200,
};

/**
 * The wires: which pairs can reach each other, in each direction, and how long a message takes. Knows nothing of
 * connections; those are the channel's.
 */
export class Network {
  readonly size: number;
  options: NetworkOptions;
  /** Added to whatever a box sends: it is slow to get it out. Zero where it is not. */
  readonly lagMs: Float64Array;
  readonly #random: Random;
  /** Set where `from` cannot reach `to`. */
  readonly #blocked: BitMatrix;
  readonly #streams = new StreamOrder();
  /** Gilbert–Elliott, per box: when its state next changes, and whether it is bad. */
  readonly #burstUntil: Float64Array;
  readonly #burstBad: Uint8Array;
  /** Since when a box's link is bad, but for glimpses; and until when such a stretch of `darkMs` or longer lasts. */
  readonly #darkFrom: Float64Array;
  readonly #darkUntil: Float64Array;
  readonly #uplinkFreeAt: Float64Array;
  /** Which protocol a place speaks; those of different ones exchange nothing, as if the wire were cut. */
  readonly #speaks: Int32Array;
  #mixed = false;
  #blockedPairs = 0;

  constructor(size: number, options: NetworkOptions, random: Random) {
    this.size = size;
    this.options = options;
    this.#random = random;
    this.#blocked = new BitMatrix(size);
    this.lagMs = new Float64Array(size);
    this.#burstUntil = new Float64Array(size);
    this.#burstBad = new Uint8Array(size);
    this.#darkFrom = new Float64Array(size).fill(Number.NaN);
    this.#darkUntil = new Float64Array(size).fill(Number.NEGATIVE_INFINITY);
    this.#uplinkFreeAt = new Float64Array(size);
    this.#speaks = new Int32Array(size);
  }

  /** Directions in which nothing passes; one more while not all speak the same protocol. */
  get blockedCount(): number {
    return this.#blockedPairs + (this.#mixed ? 1 : 0);
  }

  /** Not all speak the same protocol. */
  get isMixed(): boolean {
    return this.#mixed;
  }

  /** From now on this place speaks another protocol. */
  speak(place: number, protocol: number): void {
    this.#speaks[place] = protocol;
    this.#mixed = this.#speaks.some((other) => other !== this.#speaks[0]);
  }

  block(from: number, to: number): void {
    if (this.#blocked.set(from, to)) this.#blockedPairs++;
  }

  unblock(from: number, to: number): void {
    if (this.#blocked.clear(from, to)) this.#blockedPairs--;
  }

  isBlocked(from: number, to: number): boolean {
    return this.blockedCount > 0 && (this.#blocked.has(from, to) || this.#speaks[from] !== this.#speaks[to]);
  }

  /** Both directions work. */
  isWhole(a: number, b: number): boolean {
    return this.blockedCount === 0 || (!this.isBlocked(a, b) && !this.isBlocked(b, a));
  }

  /**
   * When the link of a box was last dark for as long as a death may take to be declared; later than now while it is, and
   * before all times if it never was. It is looked at when messages go over it, which is many times a second.
   */
  darkUntil(box: number): number {
    return this.#darkUntil[box] ?? Number.NEGATIVE_INFINITY;
  }

  /** A fresh connection starts a fresh order. */
  reset(from: number, to: number): void {
    this.#streams.forget((from * this.size + to) * 2);
    this.#streams.forget((from * this.size + to) * 2 + 1);
  }

  /** When a message sent now arrives; negative when it never does. Bulk has a stream of its own. */
  arrival(now: number, from: number, to: number, bytes = 0, bulk = false): number {
    const { latencyMs, jitterMs, loss, reordering, stalls, burst, tail, uplink } = this.options;
    const random = this.#random;
    if (this.isBlocked(from, to)) return -1;
    if (loss > 0 && random.float() < loss) return -1;
    if (burst !== undefined && (this.#isBad(now, from, burst) || this.#isBad(now, to, burst))) {
      if (random.float() < burst.loss) return -1;
    }
    let at = now + latencyMs + this.lagMs[from]!;
    if (jitterMs > 0) at += random.exponential(jitterMs);
    if (uplink !== undefined) {
      const waits = Math.max(0, this.#uplinkFreeAt[from]! - now);
      if ((waits / 1000) * uplink.bytesPerSecond + bytes > uplink.queueBytes) return -1;
      const takes = (bytes / uplink.bytesPerSecond) * 1000;
      this.#uplinkFreeAt[from] = now + waits + takes;
      at += waits + takes;
    }
    if (tail !== undefined && random.float() < tail.share) {
      at += Math.min(tail.maxMs, tail.ms / (1 - random.float()) ** (1 / 1.5));
    }
    if (stalls > 0 && random.float() < stalls) at += this.#stall();
    if (reordering > 0 && random.float() < reordering) return at;
    return this.#streams.inOrder((from * this.size + to) * 2 + (bulk ? 1 : 0), at, now);
  }

  get isTcp(): boolean {
    const { transport = 'messages' } = this.options;
    return transport !== 'messages';
  }

  /** Whether a packet that is sent now is lost, for who keeps its own order. */
  drops(now: number, from: number, to: number): boolean {
    const { loss, burst } = this.options;
    const random = this.#random;
    if (this.isBlocked(from, to)) return true;
    if (loss > 0 && random.float() < loss) return true;
    if (burst === undefined || !(this.#isBad(now, from, burst) || this.#isBad(now, to, burst))) return false;
    return random.float() < burst.loss;
  }

  /** One way, for a packet that arrives. */
  delayMs(from: number): number {
    const { latencyMs, jitterMs } = this.options;
    return latencyMs + this.lagMs[from]! + (jitterMs > 0 ? this.#random.exponential(jitterMs) : 0);
  }

  /** True when this message arrives a second time, `arrival` later. */
  duplicates(): boolean {
    const { duplication } = this.options;
    return duplication > 0 && this.#random.float() < duplication;
  }

  /** True when this frame arrives garbled. */
  corrupts(): boolean {
    const { corruption } = this.options;
    return corruption !== undefined && corruption > 0 && this.#random.float() < corruption;
  }

  /** Flips a few bits of a copy, or cuts it short. */
  garbled(bytes: Uint8Array): Uint8Array {
    const random = this.#random;
    const garbled = Uint8Array.from(random.chance(0.2) ? bytes.subarray(0, random.below(bytes.length)) : bytes);
    const flips = 1 + random.below(4);
    for (let i = 0; i < flips && garbled.length > 0; i++) {
      const at = random.below(garbled.length);
      garbled[at] = garbled[at]! ^ (1 << random.below(8));
    }
    return garbled;
  }

  #stall(): number {
    const { stallMs, retransmissionLoss } = this.options;
    let held = stallMs;
    for (let wait = 2 * stallMs, tries = 0; tries < 2 && this.#random.chance(retransmissionLoss ?? 0); tries++) {
      held += wait;
      wait *= 2;
    }
    return held;
  }

  #isBad(now: number, box: number, burst: { goodMs: number; badMs: number }): boolean {
    if (this.#burstUntil[box] === 0) this.#burstUntil[box] = now + this.#random.exponential(burst.goodMs);
    while (this.#burstUntil[box]! <= now) {
      this.#burstBad[box] = 1 - this.#burstBad[box]!;
      const isBad = this.#burstBad[box] === 1;
      const from = this.#burstUntil[box]!;
      const lastsMs = Math.max(0.01, this.#random.exponential(isBad ? burst.badMs : burst.goodMs));
      this.#burstUntil[box] = from + lastsMs;
      if (!isBad) {
        if (lastsMs >= glimpseMs) this.#darkFrom[box] = Number.NaN;
        continue;
      }
      if (Number.isNaN(this.#darkFrom[box]!)) this.#darkFrom[box] = from;
      if (this.#burstUntil[box]! - this.#darkFrom[box]! >= darkMs) this.#darkUntil[box] = this.#burstUntil[box]!;
    }
    return this.#burstBad[box] === 1;
  }
}

/**
 * When the last message in order arrives, for each stream with something in flight. What has arrived holds up nothing
 * more, so its place is free again: a table that stays in the cache does for any number of streams, and grows where
 * more is in flight at once.
 */
class StreamOrder {
  #size = 512;
  #streams = new Int32Array(this.#size).fill(-1);
  #arrivals = new Float64Array(this.#size);

  inOrder(stream: number, at: number, now: number): number {
    const mask = this.#size - 1;
    const home = Math.imul(stream, 0x9e37_79b1 | 0) >>> 11;
    let free = -1;
    for (let i = 0; i < probes; i++) {
      const place = (home + i) & mask;
      if (this.#streams[place] === stream) {
        const last = this.#arrivals[place]!;
        const arrival = at < last ? last : at;
        this.#arrivals[place] = arrival;
        return arrival;
      }
      if (free < 0 && this.#arrivals[place]! <= now) free = place;
    }
    if (free < 0) {
      this.#grow(now);
      return this.inOrder(stream, at, now);
    }
    this.#streams[free] = stream;
    this.#arrivals[free] = at;
    return at;
  }

  forget(stream: number): void {
    const home = Math.imul(stream, 0x9e37_79b1 | 0) >>> 11;
    for (let i = 0; i < probes; i++) {
      const place = (home + i) & (this.#size - 1);
      if (this.#streams[place] === stream) this.#arrivals[place] = 0;
    }
  }

  #grow(now: number): void {
    const [streams, arrivals] = [this.#streams, this.#arrivals];
    this.#size *= 2;
    this.#streams = new Int32Array(this.#size).fill(-1);
    this.#arrivals = new Float64Array(this.#size);
    for (let i = 0; i < streams.length; i++) {
      if (arrivals[i]! > now) this.inOrder(streams[i]!, arrivals[i]!, now);
    }
  }
}

const probes = 8;
/** The quickest preset needs longer from the first probe that fails to a verdict. */
const darkMs = 800;
/** A link that is good for less than a round of probes lets no refutation through for certain. */
const glimpseMs = 250;
