import { bootId } from '../../../agent/base/ids.ts';
import { Random } from '../../../agent/base/random.ts';
import { type Instant, instant } from '../../../agent/base/time.ts';
import type { MembershipMessage } from '../../../agent/core/membership/member.ts';
import { Membership, type MembershipOutput } from '../../../agent/core/membership/membership.ts';
import { lan, type MembershipOptions } from '../../../agent/core/membership/options.ts';
import type { Voucher } from '../../../agent/core/membership/statements.ts';
import { encodedSize } from '../../../agent/wire/direct.ts';
import { EventHeap } from '../../../simulations/world/event-heap.ts';

export interface BareOptions {
  readonly size: number;
  readonly options?: MembershipOptions;
  readonly seed?: number;
  readonly loss?: number;
  /** One-way delay is uniform between these, in milliseconds. */
  readonly latencyMs?: readonly [number, number];
  /** Members greet each other as on fresh connections, or are presumed alive (far cheaper in a large site). */
  readonly warm?: 'greet' | 'presume';
  /** Counts the bytes of each message as the wire encodes it. Costs a third of the speed. */
  readonly weigh?: boolean;
  readonly evidence?: boolean;
  readonly voucher?: (self: number) => Voucher;
}

const wake = 0;
const arrival = 1;
const act = 2;

/**
 * Detectors alone, on a heap of events: no driver, no channels, no other parts of the agent. For figures over many
 * hours or many members, and for the speed of the detector itself. Timers fire exactly when they are due.
 */
export class BareMesh {
  readonly members: Membership[];
  readonly up: Uint8Array;
  readonly size: number;
  /** Told of every change of view. */
  changed: (at: number, by: number, change: Extract<MembershipOutput, { kind: 'member-changed' }>) => void = () => {};
  /** Told of every probe round, with `evidence`. */
  ended: (at: number, by: number, probe: Extract<MembershipOutput, { kind: 'probe-ended' }>) => void = () => {};
  /** Told of every message, lost or not. */
  said: (at: number, from: number, to: number, message: MembershipMessage) => void = () => {};
  /** True: this message never arrives. Chance is `loss`. */
  loses: ((from: number, to: number, message: MembershipMessage) => boolean) | undefined;
  loss: number;
  events = 0;
  messages = 0;
  bytes = 0;
  falseDeaths = 0;
  now = 0;

  readonly #heap = new EventHeap();
  readonly #random: Random;
  readonly #armedAt: Float64Array;
  readonly #latency: readonly [number, number];
  readonly #weigh: boolean;
  readonly #out: MembershipOutput[] = [];

  constructor({
    size,
    options = lan,
    seed = 1,
    loss = 0,
    latencyMs = [0.3, 1.3],
    warm = 'presume',
    weigh = false,
    evidence = false,
    voucher,
  }: BareOptions) {
    this.size = size;
    this.loss = loss;
    this.#latency = latencyMs;
    this.#weigh = weigh;
    this.#random = new Random(seed, 'wire');
    this.up = new Uint8Array(size).fill(1);
    this.#armedAt = new Float64Array(size).fill(Number.POSITIVE_INFINITY);
    const site = new Random(seed, 'site');
    this.members = Array.from(
      { length: size },
      (_, self) =>
        new Membership({
          options,
          self,
          size,
          random: site.fork(`member ${self}`),
          boot: bootId(self.toString(16).padStart(32, '0')),
          bootCounter: 1,
          incarnation: 0,
          evidence,
          voucher: voucher?.(self),
        }),
    );
    for (let self = 0; self < size; self++) {
      const member = this.members[self]!;
      if (warm === 'presume') {
        for (let peer = 0; peer < size; peer++) if (peer !== self) member.presume(peer, 1, 0);
      }
      member.start(instant(0), this.#out);
      if (warm === 'greet') {
        for (let peer = 0; peer < size; peer++) if (peer !== self) member.connected(instant(0), peer, this.#out);
      }
      this.#spoken(self);
    }
  }

  at(time: number, what: () => void): void {
    this.#heap.push(time, act, 0, 0, 0, what);
  }

  /** Hands a message to a member as if `from` had sent it. */
  tell(to: number, from: number, message: MembershipMessage): void {
    this.members[to]!.message(this.now as Instant, from, message, this.#out);
    this.#spoken(to);
  }

  /** A member sees its connection to a peer close. */
  disconnect(at: number, peer: number): void {
    this.members[at]!.disconnected(this.now as Instant, peer, this.#out);
    this.#spoken(at);
  }

  /** Lets time pass up to `until`, or until `stop` says so. */
  run(until: number, stop?: () => boolean): void {
    const heap = this.#heap;
    while (heap.nextTime <= until) {
      heap.pop();
      this.now = heap.time;
      this.events++;
      const self = heap.a;
      switch (heap.kind) {
        case wake: {
          if (this.#armedAt[self] !== this.now || this.up[self] === 0) break;
          this.#armedAt[self] = Number.POSITIVE_INFINITY;
          const member = this.members[self]!;
          if (member.deadline() <= this.now) member.tick(this.now as Instant, 0, this.#out);
          this.#spoken(self);
          break;
        }
        case arrival:
          if (this.up[self] === 0) break;
          this.members[self]!.message(this.now as Instant, heap.b, heap.payload as MembershipMessage, this.#out);
          this.#spoken(self);
          break;
        default:
          (heap.payload as () => void)();
      }
      if (stop?.()) return;
    }
    this.now = until;
  }

  #spoken(self: number): void {
    const out = this.#out;
    for (let i = 0; i < out.length; i++) {
      const output = out[i]!;
      if (output.kind === 'send') {
        this.messages++;
        this.said(this.now, self, output.to, output.message);
        if (this.#weigh) this.bytes += encodedSize(output.message);
        if (this.loses?.(self, output.to, output.message)) continue;
        if (this.loss > 0 && this.#random.float() < this.loss) continue;
        const at = this.now + this.#random.between(this.#latency[0], this.#latency[1]);
        this.#heap.push(at, arrival, output.to, self, 0, output.message);
      } else if (output.kind === 'member-changed') {
        if (output.to === 'dead' && this.up[output.member] === 1) this.falseDeaths++;
        this.changed(this.now, self, output);
      } else if (output.kind === 'probe-ended') {
        this.ended(this.now, self, output);
      }
    }
    out.length = 0;
    const due = this.members[self]!.deadline();
    if (due < this.#armedAt[self]!) {
      const at = Math.max(due, this.now);
      this.#armedAt[self] = at;
      this.#heap.push(at, wake, self, 0, 0, undefined);
    }
  }
}
