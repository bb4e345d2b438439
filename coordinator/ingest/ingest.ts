import {
  type Ack,
  contentHash,
  decodeBody,
  decodeLog,
  type Envelope,
  genesis,
  type Hello,
  hashBytes,
  MAX_WANT,
  type RecordBody,
  WINDOW_BYTES,
  WINDOW_RECORDS,
} from '../../agent/wire/report.ts';
import { isTransient } from '../store/sqlite-store.ts';
import type { EventRow, QuarantineRow, Store } from '../store/store.ts';

/**
 * Takes the agents' streams in, each exactly once and in order.
 *
 * A record n is applied only when n = high-water + 1 and its `prev` is the chain we hold; its effect, the high-water
 * and the chain change in one transaction, and only after that commit is an acknowledgement sent. So a crash at any
 * point leaves either both or neither, and the agent simply says it again. Time never takes part in it.
 *
 * Poison (a body we cannot read, or one whose effect fails three times) is kept raw in quarantine by the very
 * transaction that passes it by. Trouble that passes (busy, disk full) stops the acknowledgements and nothing else.
 *
 * Acknowledgements go at most five times a second per agent, and at once when a quarter of the window is through.
 * Once a second, as a heartbeat of receipts would suggest, would cap a backlog at 256 records per second.
 */
export interface IngestOptions {
  readonly store: Store;
  readonly wall: () => number;
  /** Monotonic milliseconds. */
  readonly now: () => number;
  readonly sendAck: (agent: string, ack: Ack) => void;
  /** Called after the commit, in order. */
  readonly onChange: (change: IngestChange) => void;
  readonly log: (level: 'info' | 'warn', event: string, detail: Record<string, unknown>) => void;
}

export type IngestChange =
  | { readonly kind: 'event'; readonly row: EventRow }
  | { readonly kind: 'alarm'; readonly alarmId: string }
  | { readonly kind: 'incident'; readonly incident: string }
  | { readonly kind: 'run'; readonly run: string; readonly thing: string; readonly entry: string }
  | { readonly kind: 'readings'; readonly tag: string; readonly added: number }
  | { readonly kind: 'quarantine'; readonly row: QuarantineRow }
  | { readonly kind: 'agent'; readonly agent: string };

export interface IngestCounts {
  readonly applied: number;
  /** Records heard again after they were applied. */
  readonly repeated: number;
  /** Records that wait for one before them, and their bytes. */
  readonly buffered: number;
  readonly bufferedBytes: number;
  /** Records that did not fit our chain. */
  readonly otherChain: number;
  readonly quarantined: number;
  /** Messages not taken because too many waited; their senders say them again. */
  readonly overflowed: number;
  readonly acks: number;
  readonly store: 'ok' | 'trouble';
  readonly trouble: string | undefined;
}

const QUEUE = 8_192;
const QUEUE_BYTES = 32 * 1024 * 1024;
const BATCH = 512;
const STREAMS = 20_000;
/** Records ahead of holes: of one stream (an agent counts its window before it is encoded), of all together. */
const STREAM_AHEAD_BYTES = 2 * WINDOW_BYTES;
const AHEAD_BYTES = 64 * 1024 * 1024;
const ACK_EVERY_MS = 200;
const ACK_PROGRESS = WINDOW_RECORDS / 4;
const EPOCH_EVERY_MS = 10_000;
/** An agent that recalls an epoch further ahead than this talks nonsense. */
const EPOCH_JUMP = 1_000;

interface Waiting {
  readonly agent: string;
  readonly topic: string;
  readonly payload: Buffer;
  /** Set for what goes to quarantine unread. */
  readonly foreign: string | undefined;
}

interface Held {
  readonly envelope: Envelope | undefined;
  readonly seq: number;
  readonly prev: string;
  readonly payload: Buffer;
  readonly fault: string | undefined;
}

interface Stream {
  readonly agent: string;
  readonly stream: string;
  highWater: number;
  chain: string;
  ahead: Map<number, Held>;
  aheadBytes: number;
  ackDue: boolean;
  ackAt: number;
  ackedTo: number;
}

export class Ingest {
  readonly #o: IngestOptions;
  #queue: Waiting[] = [];
  #queuedBytes = 0;
  #scheduled: NodeJS.Immediate | undefined;
  #ackTimer: NodeJS.Timeout | undefined;
  readonly #streams = new Map<string, Stream>();
  readonly #attempts = new Map<string, number>();
  #aheadBytes = 0;
  #epochRaisedAt = Number.NEGATIVE_INFINITY;
  #closed = false;
  #trouble: string | undefined;
  readonly #n = { applied: 0, repeated: 0, otherChain: 0, quarantined: 0, overflowed: 0, acks: 0 };

  constructor(options: IngestOptions) {
    this.#o = options;
  }

  counts(): IngestCounts {
    let buffered = 0;
    for (const s of this.#streams.values()) buffered += s.ahead.size;
    return {
      ...this.#n,
      buffered,
      bufferedBytes: this.#aheadBytes,
      store: this.#trouble === undefined ? 'ok' : 'trouble',
      trouble: this.#trouble,
    };
  }

  /** Bytes from `mw/1/<site>/<agent>/log`. Never throws; false when too much waits already. */
  heard(agent: string, topic: string, payload: Buffer): boolean {
    return this.#enqueue({ agent, topic, payload, foreign: undefined });
  }

  /** Bytes that belong nowhere: kept for people, counted, never applied. */
  quarantine(agent: string, topic: string, payload: Buffer, reason: string): boolean {
    return this.#enqueue({ agent, topic, payload, foreign: reason });
  }

  /** Takes in what waits and ends; nothing is heard afterwards. */
  close(): void {
    if (this.#closed) return;
    while (this.#queue.length > 0 && this.#batch()) {
      // Until it is empty or the store refuses.
    }
    this.#closed = true;
    clearImmediate(this.#scheduled);
    clearTimeout(this.#ackTimer);
  }

  #enqueue(message: Waiting): boolean {
    if (this.#closed) return false;
    if (this.#queue.length >= QUEUE || this.#queuedBytes + message.payload.length > QUEUE_BYTES) {
      this.#n.overflowed++;
      return false;
    }
    this.#queue.push(message);
    this.#queuedBytes += message.payload.length;
    this.#schedule();
    return true;
  }

  #schedule(): void {
    if (this.#scheduled !== undefined || this.#closed) return;
    // One turn of the loop gathers what arrived together: one commit for many records.
    this.#scheduled = setImmediate(() => {
      this.#scheduled = undefined;
      this.#batch();
      if (this.#queue.length > 0) this.#schedule();
    });
  }

  /** One transaction. False when the store refused it. */
  #batch(): boolean {
    const batch = this.#queue.splice(0, BATCH);
    for (const message of batch) this.#queuedBytes -= message.payload.length;
    const { store } = this.#o;
    const touched = new Set<Stream>();
    const hellos: { agent: string; hello: Hello }[] = [];
    let changes: IngestChange[] = [];
    const numbers = { ...this.#n };
    try {
      store.transaction(() => {
        for (const message of batch) this.#take(message, touched, hellos, changes);
        const now = this.#o.wall();
        for (const s of touched) {
          store.saveStream({ agent: s.agent, stream: s.stream, highWater: s.highWater, chain: s.chain }, now);
        }
      });
      if (this.#trouble !== undefined) this.#o.log('info', 'store-recovered', {});
      this.#trouble = undefined;
    } catch (error) {
      // Nothing happened: forget what we believed of these streams; their agents say it again.
      Object.assign(this.#n, numbers);
      for (const message of batch) this.#forget(message.agent);
      changes = [];
      const reason = (error as Error).message;
      if (this.#trouble === undefined) this.#o.log('warn', 'store-trouble', { reason, transient: isTransient(error) });
      this.#trouble = reason;
      return false;
    }
    for (const { agent, hello } of hellos) this.#answer(agent, hello);
    for (const change of changes) this.#o.onChange(change);
    this.#sendAcks();
    return true;
  }

  #take(
    message: Waiting,
    touched: Set<Stream>,
    hellos: { agent: string; hello: Hello }[],
    changes: IngestChange[],
  ): void {
    const { agent, payload } = message;
    if (message.foreign !== undefined) return this.#isolate(message, message.foreign, changes);
    const log = decodeLog(payload);
    if (log.ok && 'hello' in log.value) {
      hellos.push({ agent, hello: log.value.hello });
      return;
    }
    let held: Held;
    let streamId: string;
    if (log.ok && 'envelope' in log.value) {
      const { envelope } = log.value;
      streamId = envelope.stream;
      held = { envelope, seq: envelope.seq, prev: envelope.prev, payload, fault: undefined };
    } else if (!log.ok && log.error.place !== undefined) {
      const { stream, seq, prev } = log.error.place;
      streamId = stream;
      held = { envelope: undefined, seq, prev, payload, fault: log.error.reason };
    } else {
      return this.#isolate(message, log.ok ? 'unreadable' : log.error.reason, changes);
    }
    const s = this.#stream(agent, streamId);
    s.ackDue = true;
    if (held.seq > s.highWater + 1) {
      if (held.seq <= s.highWater + WINDOW_RECORDS) this.#hold(s, held);
      return;
    }
    let next: Held | undefined = held;
    while (next !== undefined) {
      if (!this.#apply(s, next, message.topic, changes)) break;
      touched.add(s);
      next = this.#release(s, s.highWater + 1);
    }
    if (s.ahead.size > 0) for (const seq of s.ahead.keys()) if (seq <= s.highWater) this.#release(s, seq);
  }

  /** Keeps a record until those before it come. What finds no room is said again: it stays among the wanted. */
  #hold(s: Stream, held: Held): void {
    const bytes = held.payload.length;
    if (s.ahead.has(held.seq) || s.ahead.size >= WINDOW_RECORDS) return;
    if (s.aheadBytes + bytes > STREAM_AHEAD_BYTES || this.#aheadBytes + bytes > AHEAD_BYTES) return;
    s.ahead.set(held.seq, held);
    s.aheadBytes += bytes;
    this.#aheadBytes += bytes;
  }

  #release(s: Stream, seq: number): Held | undefined {
    const held = s.ahead.get(seq);
    if (held === undefined) return undefined;
    s.ahead.delete(seq);
    s.aheadBytes -= held.payload.length;
    this.#aheadBytes -= held.payload.length;
    return held;
  }

  #drop(key: string, s: Stream): void {
    this.#aheadBytes -= s.aheadBytes;
    this.#streams.delete(key);
  }

  /** True when the high-water moved. */
  #apply(s: Stream, held: Held, topic: string, changes: IngestChange[]): boolean {
    const body = held.envelope === undefined ? undefined : decodeBody(held.envelope);
    const gapTo = body?.ok === true && body.value.type === 'gap' ? body.value.to : held.seq;
    if (gapTo <= s.highWater) {
      this.#n.repeated++;
      return false;
    }
    // A gap that begins behind our high-water covers some that we had; there `prev` speaks of a place we are past.
    if (held.seq === s.highWater + 1 && held.prev !== s.chain) {
      this.#n.otherChain++;
      return false;
    }
    if (held.envelope === undefined || body === undefined || !body.ok) {
      const reason = body !== undefined && !body.ok ? body.error.reason : (held.fault ?? 'unreadable');
      this.#isolate({ agent: s.agent, topic, payload: held.payload }, reason, changes);
    } else this.#effect(s, held.envelope, body.value, topic, held.payload, changes);
    s.chain = body?.ok === true && body.value.type === 'gap' ? body.value.end : hashBytes(held.payload);
    s.highWater = gapTo;
    this.#n.applied++;
    return true;
  }

  #effect(s: Stream, e: Envelope, body: RecordBody, topic: string, payload: Buffer, changes: IngestChange[]): void {
    const { store } = this.#o;
    const content = contentHash(e);
    const known = store.applied(e.id);
    if (known === content) {
      this.#n.repeated++;
      return;
    }
    if (known !== undefined)
      return this.#isolate({ agent: s.agent, topic, payload }, 'same id, other content', changes);
    const key = `${s.stream}/${e.seq}`;
    for (;;) {
      const length = changes.length;
      try {
        store.savepoint(() => {
          store.markApplied(e.id, content, this.#o.wall());
          this.#write(s.agent, e, body, changes);
        });
        this.#attempts.delete(key);
        return;
      } catch (error) {
        changes.length = length;
        if (isTransient(error)) throw error;
        const tries = (this.#attempts.get(key) ?? 0) + 1;
        if (this.#attempts.size > 1_000) this.#attempts.clear();
        this.#attempts.set(key, tries);
        if (tries < 3) continue;
        this.#attempts.delete(key);
        return this.#isolate({ agent: s.agent, topic, payload }, `effect failed: ${(error as Error).message}`, changes);
      }
    }
  }

  #write(agent: string, e: Envelope, body: RecordBody, changes: IngestChange[]): void {
    const { store } = this.#o;
    const now = this.#o.wall();
    switch (body.type) {
      case 'event':
      case 'check':
        changes.push({ kind: 'event', row: store.addEvent(agent, e, body, now) });
        return;
      case 'alarm': {
        store.setAlarm(agent, e, body, now);
        // A register that never raised says "off" when its duty arrives: truth for the fold, no news for people.
        if (body.occurrence === '') {
          changes.push({ kind: 'alarm', alarmId: body.alarmId });
          return;
        }
        const row = store.addEvent(
          agent,
          e,
          {
            type: 'event',
            name: `alarm-${body.state}`,
            subject: body.alarmId,
            // What something else explains, or maintenance holds back, is shown and alarms nobody.
            severity: body.state === 'off' || body.behind !== undefined || body.held !== undefined ? 'notice' : 'error',
            text: body.evidence,
            detail: {
              ...(body.behind === undefined ? {} : { behind: body.behind }),
              ...(body.held === undefined ? {} : { held: body.held }),
              occurrence: body.occurrence,
              term: body.term,
              priority: body.priority,
              firstSampleAt: body.firstSampleAt,
              since: body.since,
            },
          },
          now,
        );
        changes.push({ kind: 'alarm', alarmId: body.alarmId }, { kind: 'event', row });
        return;
      }
      case 'run':
        store.addRunEntry(agent, e, body, now);
        changes.push({ kind: 'run', run: body.run, thing: body.thing, entry: body.entry });
        return;
      case 'incident':
        store.setIncident(agent, e, body, now);
        changes.push({ kind: 'incident', incident: body.incident });
        return;
      case 'readings':
        changes.push({ kind: 'readings', tag: body.tag, added: store.addReadings(agent, body) });
        return;
      case 'lines':
        store.addLines(agent, e, body, now);
        return;
      case 'gap':
      case 'loss': {
        store.addGap(agent, e, body, now);
        const what = Object.entries(body.lost)
          .map(([cls, n]) => `${n} ${cls}`)
          .join(', ');
        const row = store.addEvent(
          agent,
          e,
          {
            type: 'event',
            name: 'records-lost',
            subject: agent,
            severity: 'warning',
            text: `Lost before they could be told: ${what} (${body.reason}).`,
            detail: { ...body.lost },
          },
          now,
        );
        changes.push({ kind: 'event', row });
        return;
      }
    }
  }

  #isolate(m: { agent: string; topic: string; payload: Buffer }, reason: string, changes: IngestChange[]): void {
    const row = this.#o.store.quarantine({
      agent: m.agent,
      topic: m.topic,
      reason,
      payload: m.payload,
      at: this.#o.wall(),
    });
    this.#n.quarantined++;
    changes.push({ kind: 'quarantine', row });
  }

  #answer(agent: string, hello: Hello): void {
    const { store } = this.#o;
    const s = this.#stream(agent, hello.stream);
    s.ackDue = true;
    // An agent that was told more than we know talks to a copy from the past. A higher epoch makes all agents go back
    // to what this store really holds.
    const { acked } = hello;
    const epoch = store.epoch();
    const older =
      acked?.store === store.id && (acked.epoch > epoch || (acked.epoch === epoch && acked.upTo > s.highWater));
    const now = this.#o.now();
    if (older && acked.epoch <= epoch + EPOCH_JUMP && now - this.#epochRaisedAt >= EPOCH_EVERY_MS) {
      try {
        store.transaction(() => store.raiseEpoch(acked.epoch + 1));
        this.#epochRaisedAt = now;
        this.#o.log('warn', 'store-restored', { agent, epoch: store.epoch(), knew: s.highWater, wasTold: acked.upTo });
        for (const other of this.#streams.values()) other.ackDue = true;
      } catch (error) {
        this.#trouble = (error as Error).message;
      }
    }
    this.#o.onChange({ kind: 'agent', agent });
  }

  #stream(agent: string, stream: string): Stream {
    const key = `${agent}/${stream}`;
    let s = this.#streams.get(key);
    if (s !== undefined) return s;
    if (this.#streams.size >= STREAMS) {
      const oldest = this.#streams.entries().next().value;
      if (oldest !== undefined) this.#drop(...oldest);
    }
    const stored = this.#o.store.stream(agent, stream);
    const highWater = stored?.highWater ?? 0;
    s = {
      agent,
      stream,
      highWater,
      chain: stored?.chain ?? genesis(stream),
      ahead: new Map(),
      aheadBytes: 0,
      ackDue: false,
      ackAt: Number.NEGATIVE_INFINITY,
      ackedTo: highWater,
    };
    this.#streams.set(key, s);
    return s;
  }

  #forget(agent: string): void {
    for (const [key, s] of this.#streams) if (s.agent === agent) this.#drop(key, s);
  }

  #sendAcks(): void {
    if (this.#trouble !== undefined || this.#closed) return;
    const now = this.#o.now();
    let later = Number.POSITIVE_INFINITY;
    for (const s of this.#streams.values()) {
      if (!s.ackDue) continue;
      const at = s.ackAt + ACK_EVERY_MS;
      if (now < at && s.highWater - s.ackedTo < ACK_PROGRESS) {
        later = Math.min(later, at);
        continue;
      }
      s.ackDue = false;
      s.ackAt = now;
      s.ackedTo = s.highWater;
      this.#n.acks++;
      this.#o.sendAck(s.agent, this.#ack(s));
    }
    if (later === Number.POSITIVE_INFINITY || this.#ackTimer !== undefined) return;
    this.#ackTimer = setTimeout(
      () => {
        this.#ackTimer = undefined;
        this.#sendAcks();
      },
      Math.max(1, later - now),
    );
  }

  #ack(s: Stream): Ack {
    const want: number[] = [];
    if (s.ahead.size > 0) {
      const top = Math.max(...s.ahead.keys());
      for (let seq = s.highWater + 1; seq < top && want.length < MAX_WANT; seq++) if (!s.ahead.has(seq)) want.push(seq);
    }
    const { store } = this.#o;
    return {
      v: 1,
      store: store.id,
      epoch: store.epoch(),
      stream: s.stream,
      upTo: s.highWater,
      chain: s.chain,
      want,
      quarantined: store.quarantined(s.agent),
    };
  }
}
