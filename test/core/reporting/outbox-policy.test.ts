import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Random } from '../../../agent/base/random.ts';
import { type Instant, instant } from '../../../agent/base/time.ts';
import {
  OUTBOX_DEFAULTS,
  type OutboxAction,
  OutboxPolicy,
  type OutboxView,
  type ReceivedAck,
} from '../../../agent/core/reporting/outbox-policy.ts';

/** A log in memory; the chain is readable, so a failure shows where two pasts part. */
class Log implements OutboxView {
  id: string;
  records: string[] = [];
  bytes = 100;

  constructor(id: string) {
    this.id = id;
  }

  stream = (): string => this.id;
  last = (): number => this.records.length;
  chainAt = (seq: number): string | undefined =>
    seq <= this.records.length ? [this.id, ...this.records.slice(0, seq)].join('>') : undefined;
  entryAt = (seq: number) => (seq >= 1 && seq <= this.records.length ? { to: seq, bytes: this.bytes } : undefined);
  add(n: number): void {
    for (let i = 0; i < n; i++) this.records.push(`r${this.records.length + 1}`);
  }
}

const at = (ms: number): Instant => instant(ms);
const kinds = (out: readonly OutboxAction[]): string[] =>
  out.map((a) => (a.kind === 'send-record' ? `send ${a.seq}` : a.kind === 'coordinator-changed' ? a.state : a.kind));

const begin = (records: number, options = OUTBOX_DEFAULTS) => {
  const log = new Log('s1');
  log.add(records);
  const policy = new OutboxPolicy(at(0), log, undefined, options);
  const ack = (upTo: number, change: Partial<ReceivedAck> = {}): ReceivedAck => ({
    store: 'store-1',
    epoch: 1,
    stream: log.id,
    upTo,
    chain: log.chainAt(upTo) ?? 'unknown',
    want: [],
    ...change,
  });
  const go = (work: (out: OutboxAction[]) => void): string[] => {
    const out: OutboxAction[] = [];
    work(out);
    return kinds(out);
  };
  return { log, policy, ack, go };
};

test('outbox policy: link comes up → hello only; records go after somebody answered', () => {
  const { policy, ack, go } = begin(3);
  expect(go((out) => policy.linkUp(at(0), out))).toEqual(['send-hello']);
  expect(go((out) => policy.appended(at(1), out))).toEqual([]);
  expect(go((out) => policy.ackReceived(at(2), ack(0), out))).toEqual([
    'advance',
    'connected',
    'send 1',
    'send 2',
    'send 3',
  ]);
});

test('outbox policy: answer of the hello names record 2 → the stream goes on at 3', () => {
  const { policy, ack, go } = begin(3);
  go((out) => policy.linkUp(at(0), out));
  expect(go((out) => policy.ackReceived(at(2), ack(2), out))).toEqual(['advance', 'connected', 'send 3']);
});

test('outbox policy: window of records is full → nothing more until an acknowledgement frees places', () => {
  const { policy, ack, go } = begin(10, { ...OUTBOX_DEFAULTS, windowRecords: 4 });
  go((out) => policy.linkUp(at(0), out));
  expect(go((out) => policy.ackReceived(at(1), ack(0), out)).filter((k) => k.startsWith('send'))).toHaveLength(4);
  expect(go((out) => policy.ackReceived(at(2), ack(3), out))).toEqual(['advance', 'send 5', 'send 6', 'send 7']);
});

test('outbox policy: window of bytes is full → one record at least goes, however large', () => {
  const { log, policy, ack, go } = begin(3, { ...OUTBOX_DEFAULTS, windowBytes: 1_000 });
  log.bytes = 5_000;
  go((out) => policy.linkUp(at(0), out));
  expect(go((out) => policy.ackReceived(at(1), ack(0), out))).toContain('send 1');
  expect(go((out) => policy.ackReceived(at(2), ack(1), out))).toEqual(['advance', 'send 2']);
});

test('outbox policy: link up, nobody answers → not heard after 30 s, hellos at 10, 30, 70 s and then every 5 min', () => {
  const { policy, go } = begin(1);
  const hellos: number[] = [];
  let unheardAt: number | undefined;
  go((out) => policy.linkUp(at(0), out));
  for (let now = 0; now < 1_000_000; ) {
    now = policy.deadline();
    const told = go((out) => policy.tick(at(now), out));
    if (told.includes('send-hello')) hellos.push(now / 1_000);
    if (told.includes('not-heard')) unheardAt = now / 1_000;
    expect(told).not.toEqual([]);
  }
  expect(unheardAt).toBe(30);
  expect(hellos.slice(0, 6)).toEqual([10, 30, 70, 150, 310, 610]);
});

test('outbox policy: quiet stream → hellos keep the coordinator heard', () => {
  const { policy, ack, go } = begin(0);
  go((out) => policy.linkUp(at(0), out));
  go((out) => policy.ackReceived(at(1), ack(0), out));
  for (let now = 1; now < 300_000; ) {
    now = policy.deadline();
    expect(go((out) => policy.tick(at(now), out))).toEqual(['send-hello']);
    go((out) => policy.ackReceived(at(now + 5), ack(0), out));
  }
  expect(policy.state).toBe('connected');
});

test('outbox policy: wanted record → sent again after 10 s, then 20 s, not before', () => {
  const { policy, ack, go } = begin(3);
  go((out) => policy.linkUp(at(0), out));
  go((out) => policy.ackReceived(at(0), ack(0), out));
  const again = (ms: number) => go((out) => policy.ackReceived(at(ms), ack(0, { want: [2] }), out));
  expect(again(9_999)).toEqual([]);
  expect(again(10_000)).toEqual(['send 2']);
  expect(again(29_999)).toEqual([]);
  expect(again(30_000)).toEqual(['send 2']);
});

test('outbox policy: another life of the coordinator → hello at once, and everything unacknowledged again', () => {
  const { policy, ack, go } = begin(3);
  go((out) => policy.linkUp(at(0), out));
  go((out) => policy.coordinatorSeen(at(0), 'life-1', out));
  go((out) => policy.ackReceived(at(1), ack(0), out));
  go((out) => policy.ackReceived(at(2), ack(1), out));
  expect(go((out) => policy.coordinatorSeen(at(3), 'life-1', out))).toEqual([]);
  expect(go((out) => policy.coordinatorSeen(at(4), 'life-2', out))).toEqual(['send-hello']);
  expect(go((out) => policy.ackReceived(at(5), ack(1), out))).toEqual(['send 2', 'send 3']);
});

test('outbox policy: the coordinator’s Will comes → not heard at once, nothing sent until its next life answers', () => {
  const { log, policy, ack, go } = begin(1);
  go((out) => policy.linkUp(at(0), out));
  go((out) => policy.coordinatorSeen(at(0), 'life-2', out));
  go((out) => policy.ackReceived(at(1), ack(0), out));
  expect(policy.state).toBe('connected');
  expect(go((out) => policy.coordinatorLeft(at(2), 'life-1', out))).toEqual([]);
  expect(go((out) => policy.coordinatorLeft(at(3), 'life-2', out))).toEqual(['not-heard']);
  log.add(1);
  expect(go((out) => policy.appended(at(4), out))).toEqual([]);
  expect(go((out) => policy.coordinatorSeen(at(5), 'life-3', out))).toEqual(['send-hello']);
  expect(go((out) => policy.ackReceived(at(6), ack(0), out))).toEqual(['connected', 'send 1', 'send 2']);
});

test('outbox policy: who is there is told before the subscription is answered (a broker may) → its Will is believed later', () => {
  const { policy, ack, go } = begin(1);
  expect(go((out) => policy.coordinatorSeen(at(0), 'life-1', out))).toEqual([]);
  go((out) => policy.linkUp(at(1), out));
  go((out) => policy.ackReceived(at(2), ack(0), out));
  expect(policy.state).toBe('connected');
  expect(go((out) => policy.coordinatorLeft(at(3), 'life-1', out))).toEqual(['not-heard']);
});

const judged: readonly [name: string, change: Partial<ReceivedAck>, expected: string[], ignored?: string][] = [
  ['of an unknown stream → ignored', { stream: 's9', upTo: 3 }, [], 'other-stream'],
  ['of an older epoch → ignored', { epoch: 0, upTo: 3 }, [], 'old-epoch'],
  ['below the cursor in the same epoch → ignored', { upTo: 1, chain: 's1>r1' }, [], 'stale'],
  ['above our last record → fork', { upTo: 9, chain: 'x' }, ['fork']],
  ['with another chain → fork', { upTo: 3, chain: 'x' }, ['fork']],
  [
    'of a higher epoch that knows less → rewinds to it',
    { epoch: 2, upTo: 1, chain: 's1>r1' },
    ['advance', 'send 2', 'send 3'],
  ],
  [
    'of another store → starts where that store is',
    { store: 'store-2', upTo: 0, chain: 's1' },
    ['advance', 'send 1', 'send 2', 'send 3'],
  ],
];
test.each(judged)('outbox policy: acknowledgement %s', (_name, change, expected, ignored) => {
  const { policy, ack, go } = begin(3);
  go((out) => policy.linkUp(at(0), out));
  go((out) => policy.ackReceived(at(1), ack(2), out));
  expect(go((out) => policy.ackReceived(at(2), { ...ack(change.upTo ?? 3), ...change }, out))).toEqual(expected);
  if (ignored !== undefined) expect(policy.ignored[ignored as 'stale']).toBe(1);
});

test('outbox policy: store that never agrees → one new stream a minute at most', () => {
  const { log, policy, ack, go } = begin(3);
  go((out) => policy.linkUp(at(0), out));
  const bad = () => ack(99, { stream: log.id, chain: 'x' });
  expect(go((out) => policy.ackReceived(at(1), bad(), out))).toEqual(['fork']);
  log.id = 's2';
  expect(go((out) => policy.restarted(at(1), out))).toEqual(['send-hello']);
  expect(go((out) => policy.ackReceived(at(2), bad(), out))).toEqual([]);
  expect(policy.ignored['fork-too-soon']).toBe(1);
  expect(go((out) => policy.ackReceived(at(60_001), bad(), out))).toEqual(['fork']);
});

/**
 * A model of the other side, by the rule of the coordinator's ingest, behind a channel that loses, and with deaths:
 * of the link, of the coordinator, and of its store (which comes back as an older copy with a higher epoch).
 */
const soak = (seed: number): { applied: string[]; said: string[]; doubled: number } => {
  const random = new Random(seed, 'outbox');
  const log = new Log('s1');
  const policy = new OutboxPolicy(at(0), log, undefined, { ...OUTBOX_DEFAULTS, windowRecords: 8 });
  let applied: string[] = [];
  let ahead = new Map<number, string>();
  let epoch = 1;
  let copy: string[] = [];
  let doubled = 0;
  let linked = false;
  let life = 0;
  let now = 0;
  const calm = 400;

  const answer = (out: OutboxAction[], loss: number): void => {
    if (!linked || random.chance(loss)) return;
    const want: number[] = [];
    const top = Math.max(0, ...ahead.keys());
    for (let seq = applied.length + 1; seq < top && want.length < 32; seq++) if (!ahead.has(seq)) want.push(seq);
    const chain = ['s1', ...applied].join('>');
    policy.ackReceived(at(now), { store: 'store', epoch, stream: 's1', upTo: applied.length, chain, want }, out);
  };
  const perform = (first: OutboxAction[], loss: number): void => {
    const out = first;
    for (let i = 0; i < out.length; i++) {
      const action = out[i]!;
      if (i > 5_000) throw new Error('endless');
      if (action.kind === 'send-record') {
        if (!linked || random.chance(loss)) continue;
        const record = log.records[action.seq - 1]!;
        if (action.seq === applied.length + 1) {
          if (applied.includes(record)) doubled++;
          applied.push(record);
          for (let next = ahead.get(applied.length + 1); next !== undefined; next = ahead.get(applied.length + 1)) {
            ahead.delete(applied.length + 1);
            applied.push(next);
          }
        } else if (action.seq > applied.length && ahead.size < 256) ahead.set(action.seq, record);
        if (random.chance(0.3)) answer(out, loss);
      } else if (action.kind === 'send-hello') {
        if (linked && !random.chance(loss)) answer(out, loss);
      } else if (action.kind === 'fork') throw new Error(`fork where nobody was rolled back: ${action.why}`);
    }
  };
  const step = (work: (out: OutboxAction[]) => void, loss: number): void => {
    const out: OutboxAction[] = [];
    work(out);
    perform(out, loss);
  };

  for (let turn = 0; turn < 300 + calm; turn++) {
    // First a bad time, then a calm one in which everything must get through.
    const bad = turn < 300;
    const loss = bad ? 0.25 : 0;
    now += bad ? random.between(1, 4_000) : 6_000;
    if (bad) {
      if (random.chance(0.5)) {
        log.add(1 + random.below(3));
        step((out) => policy.appended(at(now), out), loss);
      }
      if (random.chance(0.05)) {
        linked = !linked;
        step((out) => (linked ? policy.linkUp(at(now), out) : policy.linkDown(at(now), out)), loss);
      }
      if (random.chance(0.05)) {
        ahead = new Map();
        life++;
        const fate = random.float();
        if (fate < 0.3) copy = [...applied];
        else if (fate < 0.5) {
          applied = [...copy];
          epoch++;
        }
        if (linked) step((out) => policy.coordinatorSeen(at(now), `life-${life}`, out), loss);
      }
    } else if (!linked) {
      linked = true;
      step((out) => policy.linkUp(at(now), out), 0);
    }
    step((out) => policy.tick(at(now), out), loss);
  }
  return { applied, said: log.records, doubled };
};

test('outbox policy: loss, deaths and restored stores in any order → in the end all is applied once, in order', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 1_000_000 }), (seed) => {
      const { applied, said, doubled } = soak(seed);
      expect(applied).toEqual(said);
      expect(doubled).toBe(0);
    }),
    { numRuns: 150 },
  );
});
