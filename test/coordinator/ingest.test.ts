import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, expect, test } from 'vitest';
import {
  type Ack,
  encodeBody,
  encodeRecord,
  genesis,
  type Hello,
  hashBytes,
  type ReportBody,
} from '../../agent/wire/report.ts';
import { Ingest, type IngestChange } from '../../coordinator/ingest/ingest.ts';
import { openSqliteStore } from '../../coordinator/store/sqlite-store.ts';
import type { Store } from '../../coordinator/store/store.ts';
import { alarm, event } from './bench.ts';

let dir: string;
let store: Store;
let ingest: Ingest;
let acks: Ack[];
let changes: IngestChange[];
let clock: number;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'millwright-ingest-'));
  open('coordinator.db');
});
afterEach(() => {
  ingest.close();
  store.close();
  rmSync(dir, { recursive: true, force: true });
});

const open = (file: string): void => {
  store = openSqliteStore(join(dir, file));
  acks = [];
  changes = [];
  clock = 0;
  ingest = new Ingest({
    store,
    wall: () => 1_700_000_000_000 + clock,
    now: () => clock,
    sendAck: (_agent, ack) => acks.push(ack),
    onChange: (change) => changes.push(change),
    log: () => {},
  });
};

/** Makes the records of one stream, chained as an outbox would. */
const chain = (stream: string, firstId = 0) => {
  let prev = genesis(stream);
  let seq = 0;
  const add = (
    type: string,
    data: string,
    change: { id?: string; seq?: number; to?: number; end?: string } = {},
  ): Buffer => {
    seq = change.seq ?? seq + 1;
    const id = change.id ?? `01HF7YAT00${String(firstId + seq).padStart(16, '0')}`;
    const bytes = encodeRecord({ type, id, stream, seq, prev, boot: 'b1', ts: 1_700_000_000_000, u: 5, data });
    prev = change.end ?? hashBytes(bytes);
    seq = change.to ?? seq;
    return Buffer.from(bytes);
  };
  return {
    record: (body: ReportBody, id?: string) => add(body.type, encodeBody(body), id === undefined ? {} : { id }),
    raw: add,
    head: () => ({ seq, prev }),
  };
};
const S1 = '1'.repeat(32);
const S2 = '2'.repeat(32);

/** Hands messages in and lets the ingest take them: `close` would end it, so its own turn of the loop is awaited. */
const hear = async (...messages: readonly Buffer[]): Promise<void> => {
  for (const bytes of messages) ingest.heard('edge-1', 'mw/1/demo/edge-1/log', bytes);
  await new Promise((resolve) => setImmediate(resolve));
  await new Promise((resolve) => setImmediate(resolve));
  clock += 1_000;
};
const told = (): number[] =>
  store
    .events({ limit: 1_000 })
    .map((row) => row.detail['n'] as number)
    .reverse();
const hello = (change: Partial<Hello>): Buffer =>
  Buffer.from(JSON.stringify({ v: 1, type: 'hello', stream: S1, first: 1, last: 9, chain: genesis(S1), ...change }));

test('ingest: records in order → applied, one acknowledgement after the commit with our chain', async () => {
  const stream = chain(S1);
  const records = [1, 2, 3].map((n) => stream.record(event(n)));
  await hear(...records);
  expect(told()).toEqual([1, 2, 3]);
  expect(acks).toEqual([
    { v: 1, store: store.id, epoch: 1, stream: S1, upTo: 3, chain: stream.head().prev, want: [], quarantined: 0 },
  ]);
});

test('ingest: any order, any repetition → each applied once, in order', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.nat(19), { maxLength: 60 }), async (order) => {
      ingest.close();
      store.close();
      open(`${Math.abs(order.reduce((a, b) => (a * 31 + b) | 0, order.length))}-${performance.now()}.db`);
      const stream = chain(S1);
      const records = Array.from({ length: 20 }, (_, n) => stream.record(event(n)));
      for (const n of order) await hear(records[n]!);
      const before = told();
      expect(before).toEqual(Array.from({ length: before.length }, (_, n) => n));
      await hear(...records);
      expect(told()).toEqual(Array.from({ length: 20 }, (_, n) => n));
    }),
    { numRuns: 20 },
  );
});

test('ingest: hole in the stream → the rest is buffered, the hole is wanted; filled → all applied', async () => {
  const stream = chain(S1);
  const [r1, r2, r3, r4, r5] = [1, 2, 3, 4, 5].map((n) => stream.record(event(n)));
  await hear(r1!, r3!, r5!);
  expect(told()).toEqual([1]);
  expect(acks.at(-1)).toMatchObject({ upTo: 1, want: [2, 4] });
  await hear(r2!, r4!);
  expect(told()).toEqual([1, 2, 3, 4, 5]);
  expect(acks.at(-1)).toMatchObject({ upTo: 5, want: [] });
});

test('ingest: record beyond the window of 256 → not buffered', async () => {
  const stream = chain(S1);
  const records = Array.from({ length: 258 }, (_, n) => stream.record(event(n)));
  await hear(records[257]!);
  expect(ingest.counts().buffered).toBe(0);
  await hear(records[255]!);
  expect(ingest.counts().buffered).toBe(1);
});

test('ingest: many large records ahead of holes → held within a bound, what finds no room is asked for again', async () => {
  const large = event(1, 'x'.repeat(60_000));
  for (let n = 0; n < 4; n++) {
    const stream = chain(n.toString(16).padStart(32, 'a'));
    const records = Array.from({ length: 250 }, () => stream.record(large));
    for (let at = 1; at < 250; at += 50) await hear(...records.slice(at, at + 50));
  }
  expect(ingest.counts().buffered).toBeGreaterThan(0);
  // One agent's window is 1 MiB; whatever it sends, it cannot fill the coordinator.
  expect(ingest.counts().bufferedBytes).toBeLessThanOrEqual(4 * 2 * 1024 * 1024);
  expect(acks.at(-1)?.want).toEqual([1]);
});

test('ingest: next number, but another past → not applied; the acknowledgement shows our chain', async () => {
  const ours = chain(S1);
  await hear(ours.record(event(1)));
  const theirs = chain(S1, 100);
  theirs.record(event(7));
  await hear(theirs.record(event(8)));
  expect(told()).toEqual([1]);
  expect(acks.at(-1)).toMatchObject({ upTo: 1, chain: ours.head().prev });
  expect(ingest.counts().otherChain).toBe(1);
});

test('ingest: fork under the same ids → applied once; same id with other words → quarantine, and the stream goes on', async () => {
  const old = chain(S1);
  await hear(old.record(event(1), '01HF7YAT000000000000000001'), old.record(event(2), '01HF7YAT000000000000000002'));
  const fork = chain(S2);
  await hear(
    fork.record(event(2), '01HF7YAT000000000000000002'),
    fork.record(event(99), '01HF7YAT000000000000000001'),
    fork.record(event(3), '01HF7YAT000000000000000003'),
  );
  expect(told()).toEqual([1, 2, 3]);
  expect(store.quarantineRows(10)).toMatchObject([{ reason: 'same id, other content' }]);
  expect(acks.at(-1)).toMatchObject({ stream: S2, upTo: 3, quarantined: 1 });
});

test('ingest: poison (unknown version, unknown type, unreadable body) → raw bytes in quarantine, the stream goes on', async () => {
  const stream = chain(S1);
  const r1 = stream.record(event(1));
  const r2 = stream.raw('poem', '{"verse":1}');
  const r3 = stream.raw('event', '{"name":7}');
  const r4 = stream.record(event(4));
  await hear(r1, r2, r3, r4);
  expect(told()).toEqual([1, 4]);
  expect(store.quarantineRows(10).map((row) => row.reason)).toEqual([
    expect.stringContaining('name'),
    'unknown type poem',
  ]);
  expect(acks.at(-1)).toMatchObject({ upTo: 4, quarantined: 2 });
});

test('ingest: gap record → its range is passed by, kept and told, the chain goes on behind it', async () => {
  const stream = chain(S1);
  const end = hashBytes('record nine, long gone');
  const gap = { to: 9, end, reason: 'evicted', lost: { telemetry: 8 } };
  await hear(stream.record(event(1)), stream.raw('gap', JSON.stringify(gap), { to: 9, end }), stream.record(event(10)));
  expect(store.gaps(10)).toMatchObject([{ agent: 'edge-1', seq: 2, to: 9, lost: { telemetry: 8 } }]);
  expect(acks.at(-1)).toMatchObject({ upTo: 10, chain: stream.head().prev });
  expect(store.events({ limit: 10 }).map((row) => row.name)).toEqual(['counted', 'records-lost', 'counted']);
});

test('ingest: readings of one tag from two agents → each source time once', async () => {
  const a = chain(S1);
  const rows = (from: number, to: number): ReportBody => ({
    type: 'readings',
    tag: 'pump/pressure',
    unit: 'bar',
    rows: Array.from({ length: to - from }, (_, i) => [from + i, (from + i) / 10, 0] as const),
  });
  await hear(a.record(rows(1, 6)), a.record(rows(4, 11)));
  expect(store.readings({ tag: 'pump/pressure', limit: 100 }).map((row) => row.at)).toEqual([
    10, 9, 8, 7, 6, 5, 4, 3, 2, 1,
  ]);
  expect(changes.filter((c) => c.kind === 'readings').map((c) => c.kind === 'readings' && c.added)).toEqual([5, 5]);
});

test('ingest: store refuses to write → no acknowledgement, nothing half applied; it mends → told again, applied', async () => {
  const stream = chain(S1);
  const records = [1, 2].map((n) => stream.record(event(n)));
  const save = store.saveStream;
  Object.assign(store, {
    saveStream: () => {
      throw Object.assign(new Error('database or disk is full'), { errcode: 13 });
    },
  });
  await hear(...records);
  expect(acks).toEqual([]);
  expect(told()).toEqual([]);
  expect(ingest.counts()).toMatchObject({ store: 'trouble', quarantined: 0 });
  Object.assign(store, { saveStream: save });
  await hear(...records);
  expect(told()).toEqual([1, 2]);
  expect(acks.at(-1)).toMatchObject({ upTo: 2 });
  expect(ingest.counts().store).toBe('ok');
});

test('ingest: effect that fails three times → quarantine, the stream goes on', async () => {
  let tries = 0;
  Object.assign(store, {
    setIncident: () => {
      tries++;
      throw new TypeError('our own bug');
    },
  });
  const stream = chain(S1);
  const incident = stream.raw(
    'incident',
    JSON.stringify({
      incident: 'i',
      run: 'r',
      workflow: 'w',
      thing: 't',
      symptom: 's',
      outcome: 'HEALED',
      reason: '',
      firstBadAt: 1,
      conditionAt: 1,
      relapse: false,
      steps: [],
    }),
  );
  await hear(incident, stream.record(event(2)));
  expect(tries).toBe(3);
  expect(told()).toEqual([2]);
  expect(store.quarantineRows(1)).toMatchObject([{ reason: 'effect failed: our own bug' }]);
});

test('ingest: agent recalls more than the store knows → the epoch rises once, not per agent, and not for nonsense', async () => {
  const stream = chain(S1);
  await hear(stream.record(event(1)));
  const acked = (epoch: number, upTo: number) => ({ acked: { store: store.id, epoch, upTo } });
  await hear(hello(acked(1, 1)));
  expect(store.epoch()).toBe(1);
  await hear(hello(acked(1, 5)));
  expect(store.epoch()).toBe(2);
  expect(acks.at(-1)).toMatchObject({ epoch: 2, upTo: 1 });
  clock += 60_000;
  await hear(hello({ stream: S2, ...acked(1, 7) }));
  expect(store.epoch()).toBe(2);
  // A later epoch than ours is proof by itself, even where nothing is missing: below it our words would not count.
  clock += 60_000;
  await hear(hello(acked(3, 1)));
  expect(store.epoch()).toBe(4);
  clock += 60_000;
  await hear(hello(acked(Number.MAX_SAFE_INTEGER - 1, 9)));
  expect(store.epoch()).toBe(4);
});

test('ingest: alarm transitions → one register per reporter, and its last word holds, under a lower term too', async () => {
  const stream = chain(S1);
  await hear(stream.record(alarm({ term: 2, state: 'on' })), stream.record(alarm({ term: 2, state: 'bad' })));
  const registers = () => store.alarm('bearing-wear.press-7')?.registers;
  expect(registers()).toMatchObject([{ term: 2, state: 'bad', lastGood: 'on' }]);
  // A box that lost its disk counts from the start again. Its stream says what is true now, and must not be ignored.
  await hear(
    stream.record(alarm({ term: 1, state: 'off' })),
    stream.record(alarm({ term: 1, state: 'on', occurrence: 'o2' })),
  );
  expect(registers()).toMatchObject([{ term: 1, state: 'on', lastGood: 'on', occurrence: 'o2' }]);
});

test('ingest: an alarm behind a dead switch, or in maintenance → stands with what sets it aside', async () => {
  const stream = chain(S1);
  await hear(stream.record(alarm({ state: 'on', behind: 'sw-1' })));
  const body = () => store.alarm('bearing-wear.press-7')?.registers[0]?.body;
  expect(body()).toMatchObject({ state: 'on', behind: 'sw-1' });
  await hear(stream.record(alarm({ state: 'on', held: 'weekly' })));
  expect(body()).toMatchObject({ held: 'weekly' });
  expect(body()?.behind).toBeUndefined();
});
