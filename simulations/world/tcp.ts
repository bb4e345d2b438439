import type { Random } from '../../agent/base/random.ts';

/** What a connection needs of its world. */
export interface TcpWorld {
  now(): number;
  /** Calls `TcpConnections.happen` with these at that time. */
  later(time: number, what: number, a: number, b: number, payload: unknown): void;
  /** The next packet of `from` to `to` is lost. */
  drops(now: number, from: number, to: number): boolean;
  /** One way, in milliseconds. */
  delayMs(from: number): number;
  /** In order, and once, as an ordered stream gives it to its reader. */
  deliver(from: number, to: number, payload: unknown): void;
  /** The network stack or the channel above gave a connection up: nothing was heard for `givenUpMs`. */
  givenUp(a: number, b: number): void;
}

/**
 * One TCP connection per pair of boxes, as Linux has it for a stream that says little: what is lost comes later, and all
 * that was said after it waits behind it. That is what single lost messages do not show: a quarter of all packets lost
 * makes a connection silent for 200 ms again and again, and for seconds now and then, in which nothing of a peer is heard.
 *
 * Each direction has a sender with a congestion window and the three clocks of a loss:
 *
 * - **RTO** (RFC 6298): smoothed round trip + max(200 ms, its variation), doubled with each expiry in a row; Linux' floor
 *   of 200 ms instead of the RFC's second. What expires counts as lost whole, and the window falls to one segment, so
 *   that nothing said meanwhile can show that the line works again. With `tcp_thin_linear_timeouts`
 *   (Documentation/networking/ip-sysctl, tcp(7)) the first six expiries of a thin stream do not double; thin is who has
 *   fewer than four packets out and has lost something before.
 * - **Tail loss probe** (RFC 8985 §7): once after two round trips, plus 200 ms where a single packet is out, since its
 *   acknowledgement may be delayed. So a lone lost ping is said again after 200 ms, and only then the RTO begins.
 * - **RACK** (RFC 8985 §6): what was sent before something that arrived is lost, and sent again at once, retransmissions
 *   included. The second ping of a probe mends a lost first one like that, as long as its acknowledgement arrives.
 *
 * Acknowledgements are lost like everything else; they ride on data, or go after 40 ms, or at once where something is
 * missing. Small writes that have to wait travel in one segment. Spurious retransmissions are undone (RFC 3708), since
 * with lost acknowledgements they are common.
 *
 * Not modelled: growth of the window by CUBIC (a thin stream never uses it), pacing, reordering by the network, flow
 * control, and that Linux puts small segments into one when it says them again (which spares thin streams the last of
 * their long stalls). Not BBR, under which Linux takes no stream for thin. How all this compares with a kernel:
 * test/bench/mesh/stalls.ts.
 *
 * Bounded: a direction holds `queueBytes`, and a connection on which nothing was acknowledged for `givenUpMs` is given up.
 */
export class TcpConnections {
  readonly #world: TcpWorld;
  readonly #random: Random;
  readonly #places: number;
  readonly #open = new Map<number, Connection>();
  /** Retransmissions of thin streams come evenly. */
  isThin = false;
  /** After this long without a word being acknowledged the connection is given up. */
  patienceMs = givenUpMs;

  constructor(world: TcpWorld, places: number, random: Random) {
    this.#world = world;
    this.#places = places;
    this.#random = random;
  }

  /** Connections that hold anything. */
  get size(): number {
    return this.#open.size;
  }

  /** False when so much waits already that nothing more is taken. */
  send(from: number, to: number, bytes: number, payload: unknown): boolean {
    const key = this.#key(from, to);
    let connection = this.#open.get(key);
    if (connection === undefined) this.#open.set(key, (connection = new Connection(from, to)));
    const half = connection.half(from);
    if (half.waitingBytes + bytes > queueBytes) return false;
    for (let left = bytes; left > 0; left -= mss) {
      half.waiting.push({ bytes: Math.min(left, mss), payload: left <= mss ? payload : undefined });
    }
    half.waitingBytes += bytes;
    this.#push(connection, half);
    return true;
  }

  /** Forgets the connection with all that is on its way: it was reset, or a new one takes its place. */
  reset(a: number, b: number): void {
    this.#open.delete(this.#key(a, b));
  }

  /**
   * How long a handshake takes: SYN and its answer, said again after 1, 2 and 4 s, then as many flights as TLS-like
   * secrets, a muxer and two streams need, each of which may be lost (200 ms, doubling). Negative when it takes too long.
   */
  handshakeMs(loss: number): number {
    const random = this.#random;
    let ms = 0;
    for (let wait = 1_000; random.chance(1 - (1 - loss) ** 2); wait *= 2) {
      ms += wait;
      if (ms > dialTimeoutMs) return -1;
    }
    for (let flight = 0; flight < handshakeFlights; flight++) {
      for (let wait = rtoMinMs; random.chance(loss); wait *= 2) {
        ms += wait;
        if (ms > dialTimeoutMs) return -1;
      }
    }
    return ms;
  }

  happen(what: number, a: number, b: number, payload: unknown): void {
    if (what === tcpEvent.arrival) {
      const packet = payload as Packet;
      if (this.#open.get(this.#key(a, b)) === packet.connection) this.#arrived(packet);
      return;
    }
    const connection = payload as Connection;
    if (this.#open.get(this.#key(a, b)) !== connection) return;
    const half = connection.half(a);
    const now = this.#world.now();
    if (half.pendingAt <= now) half.pendingAt = Number.POSITIVE_INFINITY;
    if (half.ackAt <= now) {
      half.ackAt = Number.POSITIVE_INFINITY;
      this.#emit(connection, half, undefined);
    }
    if (half.timerAt <= now) this.#expired(connection, half);
    this.#arm(connection, half);
  }

  #key(a: number, b: number): number {
    return a < b ? a * this.#places + b : b * this.#places + a;
  }

  // Sending

  /** As much as the window lets out: first what is lost, then what is new. */
  #push(connection: Connection, half: Half, atLeastOne = false): void {
    const now = this.#world.now();
    let isForced = atLeastOne;
    for (;;) {
      if (half.inFlight() >= half.window && !isForced) break;
      const lost = half.flight.find(({ isLost, isSacked }) => isLost && !isSacked);
      if (lost !== undefined) {
        this.#again(connection, half, lost);
        isForced = false;
        continue;
      }
      if (half.waiting.length === 0) break;
      this.#fresh(connection, half);
      isForced = false;
      this.#armProbe(now, half);
    }
    this.#arm(connection, half);
  }

  #fresh(connection: Connection, half: Half): void {
    const chunks: Chunk[] = [];
    let bytes = 0;
    while (half.waiting.length > 0 && (bytes === 0 || bytes + half.waiting[0]!.bytes <= mss)) {
      const chunk = half.waiting.shift()!;
      bytes += chunk.bytes;
      chunks.push(chunk);
    }
    half.waitingBytes -= bytes;
    const now = this.#world.now();
    const segment: Segment = {
      ...{ seq: half.next++, chunks, sentAt: now, firstAt: now },
      ...{ sends: 1, isLost: false, isSacked: false },
    };
    if (half.flight.length === 0) half.progressAt = now;
    half.flight.push(segment);
    half.mostOut = Math.max(half.mostOut, half.inFlight());
    this.#emit(connection, half, segment);
    if (half.timerAt === Number.POSITIVE_INFINITY) this.#armRto(now, half);
  }

  #again(connection: Connection, half: Half, segment: Segment): void {
    segment.sentAt = this.#world.now();
    segment.sends++;
    segment.isLost = false;
    half.undo.outstanding++;
    this.#emit(connection, half, segment);
    this.#armRto(segment.sentAt, half);
  }

  /** Puts a packet on the wire; it acknowledges what came the other way, too. */
  #emit(connection: Connection, half: Half, segment: Segment | undefined): void {
    const world = this.#world;
    const now = world.now();
    half.ackAt = Number.POSITIVE_INFINITY;
    const packet: Packet = {
      connection,
      to: half.peer,
      segment,
      sentAt: now,
      upTo: half.expected,
      beyond: half.early.size === 0 ? none : [...half.early.keys()],
      isRepeated: half.sawRepeated,
      echo: half.echo,
    };
    half.sawRepeated = false;
    if (world.drops(now, half.self, half.peer)) return;
    // The wire itself keeps the order.
    half.arrivesAt = Math.max(half.arrivesAt, now + world.delayMs(half.self));
    world.later(half.arrivesAt, tcpEvent.arrival, half.self, half.peer, packet);
  }

  // Clocks

  #armRto(now: number, half: Half): void {
    half.timer = 'rto';
    half.timerAt = now + half.rtoMs();
  }

  #armProbe(now: number, half: Half): void {
    const mayProbe = half.state === 'open' && half.srtt >= 0 && half.flight.every(({ isSacked }) => !isSacked);
    if (!mayProbe || half.flight.length === 0) return;
    const waits = 2 * half.srtt + (half.flight.length === 1 ? rtoMinMs : twoJiffiesMs);
    const expires = half.flight[0]!.sentAt + half.rtoMs();
    half.timer = 'probe';
    half.timerAt = Math.max(now, Math.min(now + waits, expires));
  }

  #arm(connection: Connection, half: Half): void {
    if (half.flight.length === 0) half.timerAt = Number.POSITIVE_INFINITY;
    const at = Math.min(half.timerAt, half.ackAt);
    if (at >= half.pendingAt) return;
    half.pendingAt = at;
    this.#world.later(at, tcpEvent.timer, half.self, half.peer, connection);
  }

  #expired(connection: Connection, half: Half): void {
    const now = this.#world.now();
    half.timerAt = Number.POSITIVE_INFINITY;
    if (half.flight.length === 0) return;
    if (now - half.progressAt >= this.patienceMs) {
      this.reset(half.self, half.peer);
      this.#world.givenUp(half.self, half.peer);
      return;
    }
    if (half.timer === 'probe' && half.probed < 0) {
      half.probed = half.next;
      if (half.waiting.length > 0) this.#fresh(connection, half);
      else this.#again(connection, half, half.flight.at(-1)!);
      half.undo.outstanding = Math.max(0, half.undo.outstanding - 1);
      this.#armRto(now, half);
      return;
    }
    half.expired(this.isThin);
    this.#push(connection, half, true);
    this.#armRto(now, half);
  }

  // Arrivals

  #arrived({ connection, to, segment, sentAt, upTo, beyond, isRepeated, echo }: Packet): void {
    const now = this.#world.now();
    const half = connection.half(to);
    if (half.acknowledged(now, upTo, beyond, isRepeated, echo)) {
      this.#armRto(half.flight[0]?.sentAt ?? now, half);
      half.timerAt = Math.max(half.timerAt, now);
      this.#armProbe(now, half);
    }
    if (segment !== undefined) this.#received(connection, half, segment, sentAt);
    const needsOne = half.state === 'recovery' && half.flight.some(({ isLost }) => isLost) && half.inFlight() === 0;
    this.#push(connection, half, needsOne);
  }

  #received(connection: Connection, half: Half, segment: Segment, sentAt: number): void {
    const now = this.#world.now();
    if (segment.seq < half.expected || half.early.has(segment.seq)) {
      half.sawRepeated = true;
      half.echo = sentAt;
      this.#emit(connection, half, undefined);
      return;
    }
    if (segment.seq > half.expected) {
      half.early.set(segment.seq, segment);
      this.#emit(connection, half, undefined);
      return;
    }
    half.echo = sentAt;
    const wasWaiting = half.early.size > 0;
    const read: Segment[] = [];
    for (let next: Segment | undefined = segment; next !== undefined; next = half.early.get(half.expected)) {
      half.early.delete(next.seq);
      half.expected = next.seq + 1;
      read.push(next);
    }
    if (wasWaiting) this.#emit(connection, half, undefined);
    else half.ackAt = Math.min(half.ackAt, now + delayedAckMs);
    for (const { chunks } of read) {
      for (const { payload } of chunks) if (payload !== undefined) this.#world.deliver(half.peer, half.self, payload);
    }
    this.#arm(connection, half);
  }
}

/** Both directions of a pair. */
class Connection {
  readonly #one: Half;
  readonly #other: Half;

  constructor(a: number, b: number) {
    this.#one = new Half(a, b);
    this.#other = new Half(b, a);
  }

  half(of: number): Half {
    return this.#one.self === of ? this.#one : this.#other;
  }
}

/** One end: what it has said and not yet seen acknowledged, and what it has heard. Times in milliseconds. */
class Half {
  readonly self: number;
  readonly peer: number;
  // What it says.
  readonly waiting: Chunk[] = [];
  waitingBytes = 0;
  /** Not acknowledged up to here, by rising number. */
  readonly flight: Segment[] = [];
  next = 0;
  window = 10;
  threshold = Number.POSITIVE_INFINITY;
  state: 'open' | 'recovery' | 'loss' = 'open';
  /** Recovery is over when all below this is acknowledged. */
  #recoverTo = 0;
  mostOut = 0;
  /** Loss was declared too early if as many repetitions turn out to have been superfluous; then this comes back. */
  readonly undo = { outstanding: 0, window: 0, threshold: 0 };
  srtt = -1;
  #mdev = 0;
  #mdevMax = rtoMinMs;
  #rttvar = rtoMinMs;
  #rttSeq = 0;
  #backoff = 0;
  #expiries = 0;
  /** A tail loss probe went out and everything below this waits for its echo; −1: none. */
  probed = -1;
  timer: 'rto' | 'probe' = 'rto';
  timerAt = Number.POSITIVE_INFINITY;
  /** The earliest event under way for this end. */
  pendingAt = Number.POSITIVE_INFINITY;
  progressAt = 0;
  arrivesAt = 0;
  /** Latest time at which something was sent that is known to have arrived (RACK). */
  #rackAt = -1;
  // What it hears.
  expected = 0;
  readonly early = new Map<number, Segment>();
  ackAt = Number.POSITIVE_INFINITY;
  sawRepeated = false;
  /** When that was sent which our acknowledgements answer (the time stamp option). */
  echo = -1;

  constructor(self: number, peer: number) {
    this.self = self;
    this.peer = peer;
  }

  rtoMs(): number {
    const base = this.srtt < 0 ? initialRtoMs : this.srtt + this.#rttvar;
    return Math.min(rtoMaxMs, base * 2 ** this.#backoff);
  }

  inFlight(): number {
    let count = 0;
    for (const { isLost, isSacked } of this.flight) if (!isLost && !isSacked) count++;
    return count;
  }

  /** The RTO ran out: all that is out counts as lost. */
  expired(isThin: boolean): void {
    const evenly = isThin && this.flight.length < thinPackets && this.threshold < Number.POSITIVE_INFINITY;
    if (this.state !== 'loss') this.#reduce();
    this.state = 'loss';
    this.#recoverTo = this.next;
    this.window = 1;
    this.probed = -1;
    this.#expiries++;
    this.#backoff = evenly && this.#expiries <= thinRetries ? 0 : Math.min(16, this.#backoff + 1);
    for (const segment of this.flight) segment.isLost = !segment.isSacked;
  }

  /** True when the clocks start anew. */
  acknowledged(now: number, upTo: number, beyond: readonly number[], isRepeated: boolean, echo: number): boolean {
    let sample = -1;
    let moved = 0;
    while (this.flight.length > 0 && this.flight[0]!.seq < upTo) {
      const segment = this.flight.shift()!;
      moved++;
      this.#rackAt = Math.max(this.#rackAt, segment.sentAt);
      if (segment.sends === 1 && sample < 0 && !segment.isSacked) sample = now - segment.firstAt;
    }
    let sacked = 0;
    for (const seq of beyond) {
      const segment = this.flight.find((one) => one.seq === seq);
      if (segment === undefined || segment.isSacked) continue;
      segment.isSacked = true;
      segment.isLost = false;
      sacked++;
      this.#rackAt = Math.max(this.#rackAt, segment.sentAt);
      if (segment.sends === 1 && sample < 0) sample = now - segment.sentAt;
    }
    // All of it was said more than once: the echoed time stamp tells which of them is answered.
    if (sample < 0 && moved > 0 && echo >= 0) sample = now - echo;
    if (sample >= 0) this.#measure(Math.max(0.05, sample), upTo);
    if (moved > 0) {
      this.progressAt = now;
      this.#backoff = 0;
      this.#expiries = 0;
      if (this.probed >= 0 && upTo >= this.probed) this.probed = -1;
    }
    if (isRepeated && this.undo.outstanding > 0 && --this.undo.outstanding === 0 && this.state !== 'open') {
      this.window = Math.max(this.window, this.undo.window);
      this.threshold = this.undo.threshold;
      this.state = 'open';
      for (const segment of this.flight) segment.isLost = false;
    }
    this.#detect();
    if (moved === 0) return sacked > 0 && this.timer === 'probe';
    if (this.state !== 'open' && upTo >= this.#recoverTo) {
      if (this.state === 'recovery') this.window = Math.max(1, this.threshold);
      this.state = 'open';
    }
    // Grows only while it is what holds us back; in slow start up to twice of what was out at once.
    if (this.state !== 'recovery') {
      if (this.window < this.threshold) {
        if (this.window < 2 * this.mostOut) this.window += moved;
      } else if (this.mostOut >= this.window) this.window += moved / this.window;
    }
    this.mostOut = this.inFlight();
    return true;
  }

  /** RACK: what was sent before something that arrived is lost. The wire does not reorder, so nothing is waited for. */
  #detect(): void {
    let found = false;
    for (const segment of this.flight) {
      if (segment.isSacked || segment.isLost || segment.sentAt >= this.#rackAt) continue;
      segment.isLost = true;
      found = true;
    }
    if (!found || this.state !== 'open') return;
    this.#reduce();
    this.state = 'recovery';
    this.#recoverTo = this.next;
    this.window = Math.max(this.threshold, 1);
  }

  #reduce(): void {
    this.undo.window = this.window;
    this.undo.threshold = this.threshold;
    this.undo.outstanding = 0;
    this.threshold = Math.max(2, this.window * 0.7);
  }

  /** As Linux' tcp_rtt_estimator: Jacobson's, but the variation falls slowly and has a floor of 200 ms. */
  #measure(rtt: number, upTo: number): void {
    if (this.srtt < 0) {
      this.srtt = rtt;
      this.#mdev = rtt * 2;
      this.#rttvar = this.#mdevMax = Math.max(rtoMinMs, this.#mdev);
      this.#rttSeq = this.next;
      return;
    }
    const off = rtt - this.srtt;
    this.srtt += off / 8;
    let change = Math.abs(off) - this.#mdev / 4;
    if (off < 0 && change > 0) change /= 8;
    this.#mdev += change;
    if (this.#mdev > this.#mdevMax) {
      this.#mdevMax = this.#mdev;
      if (this.#mdevMax > this.#rttvar) this.#rttvar = this.#mdevMax;
    }
    if (upTo > this.#rttSeq) {
      if (this.#mdevMax < this.#rttvar) this.#rttvar -= (this.#rttvar - this.#mdevMax) / 4;
      this.#rttSeq = this.next;
      this.#mdevMax = rtoMinMs;
    }
  }
}

interface Chunk {
  readonly bytes: number;
  /** With the last bytes of a message. */
  readonly payload: unknown;
}

interface Segment {
  readonly seq: number;
  readonly chunks: readonly Chunk[];
  readonly firstAt: number;
  sentAt: number;
  sends: number;
  isLost: boolean;
  isSacked: boolean;
}

interface Packet {
  readonly connection: Connection;
  readonly to: number;
  readonly segment: Segment | undefined;
  readonly sentAt: number;
  readonly upTo: number;
  readonly beyond: readonly number[];
  readonly isRepeated: boolean;
  readonly echo: number;
}

const none: readonly number[] = Object.freeze([]);

export const tcpEvent = { arrival: 0, timer: 1 } as const;
/** Ethernet, less IP, TCP and its time stamps. */
const mss = 1448;
/** As the direct channel's own queues for a peer, both together. */
const queueBytes = 1_100_000;
/** Linux: TCP_RTO_MIN, TCP_TIMEOUT_INIT, TCP_RTO_MAX, TCP_DELACK_MIN; two jiffies at 250 Hz. */
export const rtoMinMs = 200;
const initialRtoMs = 1_000;
const rtoMaxMs = 120_000;
const delayedAckMs = 40;
const twoJiffiesMs = 8;
/** Linux: tcp_stream_is_thin, TCP_THIN_LINEAR_RETRIES. */
const thinPackets = 4;
const thinRetries = 6;
/** The direct channel asks after 5 s of silence, and gives the connection up 3 s later. */
export const givenUpMs = 8_000;
const dialTimeoutMs = 5_000;
const handshakeFlights = 8;
