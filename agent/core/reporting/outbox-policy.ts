import type { Instant } from '../../base/time.ts';
import { after, never } from '../../base/time.ts';

/**
 * When the outbox sends what, and what it makes of acknowledgements. A log with a cursor: everything behind the
 * cursor is known to be applied in the coordinator's store, everything in front of it is still ours to say.
 *
 * Guaranteed: a record is only counted as said after an acknowledgement whose chain agrees with ours at that place,
 * so neither a broker's receipt, nor a coordinator that was rolled back, nor a clone of this box can make us forget
 * something. Not guaranteed: that a record is sent once. It may travel several times; the receiver applies it once.
 *
 * Rejected: sending into the void while nobody answers. Broker queues carry no promise, so we wait for the answer to
 * our hello; it costs one round trip per connection and saves a month of useless retransmission.
 *
 * Pure: the log is seen through `OutboxView`, time comes in as `now`, what is to be done goes into `out`.
 */
export class OutboxPolicy {
  readonly #view: OutboxView;
  readonly #options: OutboxPolicyOptions;
  #cursor: OutboxCursor | undefined;
  #linked = false;
  /** A hello is out whose answer tells where to go on. */
  #awaiting = false;
  /** Somebody answered since the link came up: only then are records sent. */
  #answered = false;
  #sentTo = 0;
  #inFlight: InFlight[] = [];
  #inFlightBytes = 0;
  #heardAt: Instant;
  #helloAt: Instant = never;
  #helloTries = 0;
  #coordinatorBoot: string | undefined;
  #state: CoordinatorState = 'lost';
  #forkedAt: Instant | undefined;
  readonly #ignored: Record<IgnoredWhy, number> = {
    'other-stream': 0,
    'old-epoch': 0,
    stale: 0,
    'fork-too-soon': 0,
  };

  constructor(now: Instant, view: OutboxView, cursor: OutboxCursor | undefined, options = OUTBOX_DEFAULTS) {
    this.#view = view;
    this.#cursor = cursor;
    this.#options = options;
    this.#heardAt = now;
    this.#sentTo = cursor?.upTo ?? 0;
  }

  get state(): CoordinatorState {
    return this.#state;
  }

  get cursor(): OutboxCursor | undefined {
    return this.#cursor;
  }

  /** Acknowledgements that were not taken, by reason, since the start. */
  get ignored(): Readonly<Record<IgnoredWhy, number>> {
    return this.#ignored;
  }

  linkUp(now: Instant, out: OutboxAction[]): void {
    this.#linked = true;
    this.#answered = false;
    this.#heardAt = now;
    this.#forgetInFlight();
    this.#helloTries = 0;
    this.#sayHello(now, out);
  }

  linkDown(_now: Instant, out: OutboxAction[]): void {
    this.#linked = false;
    this.#answered = false;
    this.#coordinatorBoot = undefined;
    this.#awaiting = false;
    this.#helloAt = never;
    this.#forgetInFlight();
    this.#turn('lost', out);
  }

  /** Presence of the coordinator: another life of it has lost whatever was on its way to the last one. */
  coordinatorSeen(now: Instant, boot: string, out: OutboxAction[]): void {
    if (boot === this.#coordinatorBoot) return;
    const first = this.#coordinatorBoot === undefined;
    this.#coordinatorBoot = boot;
    // What is retained may come before the subscription is answered: whose Will to believe is known from then on.
    if (!this.#linked) return;
    // Already answered on this connection: the sighting tells us nothing new.
    if (first && this.#answered) return;
    this.#helloTries = 0;
    this.#sayHello(now, out);
  }

  /**
   * The coordinator's Will, passed on by a broker that outlives it: from now on nobody answers, so nothing is sent until
   * somebody does. Only of the life that we know; an older one's goodbye may come late.
   */
  coordinatorLeft(_now: Instant, boot: string, out: OutboxAction[]): void {
    if (!this.#linked) return;
    const known = this.#coordinatorBoot;
    if (known === undefined ? this.#answered : known !== boot) return;
    this.#answered = false;
    this.#forgetInFlight();
    this.#turn('not-heard', out);
  }

  /** A record was made durable. */
  appended(now: Instant, out: OutboxAction[]): void {
    this.#pump(now, out);
  }

  /** The log started a new stream after a `fork` action: everything in it is unsaid. */
  restarted(now: Instant, out: OutboxAction[]): void {
    if (this.#cursor !== undefined) this.#cursor = { ...this.#cursor, upTo: 0, chain: this.#view.chainAt(0) ?? '' };
    this.#forgetInFlight();
    this.#sentTo = 0;
    this.#answered = false;
    this.#helloTries = 0;
    if (this.#linked) this.#sayHello(now, out);
  }

  /** An acknowledgement whose form was checked already. Its content is judged here against our own chain. */
  ackReceived(now: Instant, ack: ReceivedAck, out: OutboxAction[]): void {
    if (!this.#linked) return;
    const view = this.#view;
    if (ack.stream !== view.stream()) return this.#ignore('other-stream');
    const cursor = this.#cursor;
    const sameStore = cursor !== undefined && cursor.store === ack.store;
    if (sameStore && ack.epoch < cursor.epoch) return this.#ignore('old-epoch');

    const ours = ack.upTo <= view.last() ? view.chainAt(ack.upTo) : undefined;
    if (ack.upTo > view.last() || (ours !== undefined && ours !== ack.chain)) {
      if (this.#forkedAt !== undefined && now < after(this.#forkedAt, this.#options.forkAtMostEveryMs)) {
        return this.#ignore('fork-too-soon');
      }
      this.#forkedAt = now;
      out.push({ kind: 'fork', after: cursor?.upTo ?? 0, why: ack.upTo > view.last() ? 'ahead-of-us' : 'other-chain' });
      return;
    }

    const elsewhere = !sameStore || ack.epoch > cursor.epoch;
    // Below our cursor in the same epoch: an old message that came late, or a store restored from a copy. The second
    // finds out from our hello, which names what it acknowledged before, and raises its epoch.
    if (!elsewhere && ack.upTo < cursor.upTo) return this.#ignore('stale');

    this.#heardAt = now;
    const progressed = elsewhere || ack.upTo > cursor.upTo;
    if (progressed) {
      this.#cursor = { store: ack.store, epoch: ack.epoch, upTo: ack.upTo, chain: ack.chain };
      out.push({ kind: 'advance', cursor: this.#cursor, rewound: ack.upTo < (cursor?.upTo ?? 0) });
    }
    const answersHello = this.#awaiting;
    this.#awaiting = false;
    this.#answered = true;
    this.#helloTries = 0;
    if (elsewhere || (answersHello && ack.want.length === 0)) {
      this.#forgetInFlight();
    } else {
      this.#settle(ack.upTo);
      this.#resend(now, ack.want, answersHello, out);
    }
    this.#turn('connected', out);
    this.#pump(now, out);
    this.#helloAt = this.#nextHello(now);
  }

  tick(now: Instant, out: OutboxAction[]): void {
    if (!this.#linked) return;
    if (now >= this.#helloAt) this.#sayHello(now, out);
    if (this.#state !== 'not-heard' && now >= after(this.#heardAt, this.#options.notHeardAfterMs)) {
      this.#turn('not-heard', out);
    }
  }

  /** Next moment at which `tick` has something to do. */
  deadline(): Instant {
    if (!this.#linked) return never;
    const unheard = this.#state === 'not-heard' ? never : after(this.#heardAt, this.#options.notHeardAfterMs);
    return Math.min(this.#helloAt, unheard) as Instant;
  }

  #ignore(why: IgnoredWhy): void {
    this.#ignored[why]++;
  }

  #turn(state: CoordinatorState, out: OutboxAction[]): void {
    if (state === this.#state) return;
    this.#state = state;
    out.push({ kind: 'coordinator-changed', state });
  }

  #sayHello(now: Instant, out: OutboxAction[]): void {
    this.#awaiting = true;
    const wait = Math.min(this.#options.resendMaxMs, this.#options.resendAfterMs * 2 ** this.#helloTries);
    this.#helloTries = Math.min(this.#helloTries + 1, 30);
    this.#helloAt = after(now, wait);
    out.push({ kind: 'send-hello' });
  }

  /** Unsaid records that get no answer ask after `resendAfterMs`; a quiet stream keeps the line warm. */
  #nextHello(now: Instant): Instant {
    return after(now, this.#inFlight.length > 0 ? this.#options.resendAfterMs : this.#options.idleHelloMs);
  }

  #forgetInFlight(): void {
    this.#inFlight = [];
    this.#inFlightBytes = 0;
    this.#sentTo = this.#cursor?.upTo ?? 0;
  }

  #settle(upTo: number): void {
    let n = 0;
    while (n < this.#inFlight.length && this.#inFlight[n]!.to <= upTo)
      this.#inFlightBytes -= this.#inFlight[n++]!.bytes;
    if (n > 0) this.#inFlight.splice(0, n);
    if (this.#sentTo < upTo) this.#sentTo = upTo;
  }

  #resend(now: Instant, want: readonly number[], atOnce: boolean, out: OutboxAction[]): void {
    for (const seq of want) {
      const entry = this.#inFlight.find((f) => f.seq <= seq && seq <= f.to);
      if (entry === undefined) continue;
      const wait = Math.min(this.#options.resendMaxMs, this.#options.resendAfterMs * 2 ** entry.tries);
      if (!atOnce && now < after(entry.sentAt, wait)) continue;
      entry.sentAt = now;
      entry.tries++;
      out.push({ kind: 'send-record', seq: entry.seq });
    }
  }

  #pump(now: Instant, out: OutboxAction[]): void {
    if (!this.#linked || !this.#answered) return;
    const base = this.#cursor?.upTo ?? 0;
    const before = this.#inFlight.length;
    while (this.#sentTo < this.#view.last() && this.#inFlight.length < this.#options.windowRecords) {
      const seq = this.#sentTo + 1;
      // The receiver buffers by distance, so a long gap record counts as its place, not as its width.
      if (seq - base > this.#options.windowRecords) break;
      const entry = this.#view.entryAt(seq);
      if (entry === undefined) break;
      if (this.#inFlight.length > 0 && this.#inFlightBytes + entry.bytes > this.#options.windowBytes) break;
      this.#inFlight.push({ seq, to: entry.to, bytes: entry.bytes, sentAt: now, tries: 0 });
      this.#inFlightBytes += entry.bytes;
      this.#sentTo = entry.to;
      out.push({ kind: 'send-record', seq });
    }
    if (before === 0 && this.#inFlight.length > 0 && !this.#awaiting) this.#helloAt = this.#nextHello(now);
  }
}

/** `connected`: acknowledgements come. `lost`: no link to the broker. `not-heard`: a link, and a goodbye or no answer for 30 s. */
export type CoordinatorState = 'connected' | 'lost' | 'not-heard';

export type IgnoredWhy = 'other-stream' | 'old-epoch' | 'stale' | 'fork-too-soon';

/** How far which store of the coordinator is known to have applied our stream. */
export interface OutboxCursor {
  readonly store: string;
  readonly epoch: number;
  readonly upTo: number;
  /** The store's own hash after `upTo`. */
  readonly chain: string;
}

export interface ReceivedAck extends OutboxCursor {
  readonly stream: string;
  readonly want: readonly number[];
}

/** The log as the policy sees it. Sequence numbers begin at 1 and have no holes. */
export interface OutboxView {
  stream(): string;
  /** Newest record, 0 when there is none. */
  last(): number;
  /** Hash after record `seq` (0: the stream's beginning); undefined where it is forgotten. */
  chainAt(seq: number): string | undefined;
  /** What begins at `seq`: a record (`to` = `seq`) or a gap that reaches to `to`. */
  entryAt(seq: number): { readonly to: number; readonly bytes: number } | undefined;
}

export interface OutboxPolicyOptions {
  /** Unacknowledged records under way. More raises throughput over slow links and the receiver's buffer alike. */
  readonly windowRecords: number;
  readonly windowBytes: number;
  /** Silence before we ask again; doubled each time up to `resendMaxMs`. */
  readonly resendAfterMs: number;
  readonly resendMaxMs: number;
  readonly notHeardAfterMs: number;
  /** A quiet stream says hello this often; below `notHeardAfterMs`, or a quiet agent would look unheard. */
  readonly idleHelloMs: number;
  /** Brake against a confused store: new streams at most this often. */
  readonly forkAtMostEveryMs: number;
}

export const OUTBOX_DEFAULTS: OutboxPolicyOptions = {
  windowRecords: 256,
  windowBytes: 1024 * 1024,
  resendAfterMs: 10_000,
  resendMaxMs: 300_000,
  notHeardAfterMs: 30_000,
  idleHelloMs: 12_000,
  forkAtMostEveryMs: 60_000,
};

export type OutboxAction =
  | { readonly kind: 'send-hello' }
  | { readonly kind: 'send-record'; readonly seq: number }
  /** Remember durably (a lost cursor costs only a repetition). `rewound`: the store knows less than it once did. */
  | { readonly kind: 'advance'; readonly cursor: OutboxCursor; readonly rewound: boolean }
  /** Begin a new stream with everything after record `after`, under the same ids; then call `restarted`. */
  | { readonly kind: 'fork'; readonly after: number; readonly why: 'ahead-of-us' | 'other-chain' }
  | { readonly kind: 'coordinator-changed'; readonly state: CoordinatorState };

interface InFlight {
  readonly seq: number;
  readonly to: number;
  readonly bytes: number;
  sentAt: Instant;
  tries: number;
}
