import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Envelope, EventReport, LogLinesReport, ReadingsReport } from '../../agent/wire/report.ts';
import { openSqliteStore } from '../../coordinator/store/sqlite-store.ts';
import type { Store } from '../../coordinator/store/store.ts';
import { event } from './bench.ts';

const day = 86_400_000;
const now = 1_700_000_000_000;
let dir: string;
let store: Store;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'millwright-store-'));
  store = openSqliteStore(join(dir, 'coordinator.db'));
});
afterEach(() => {
  store.close();
  rmSync(dir, { recursive: true, force: true });
});

const envelope = (n: number, ts: number): Envelope => ({
  v: 1,
  type: 'event',
  id: String(n).padStart(26, '0'),
  stream: '1'.repeat(32),
  seq: n,
  prev: '0'.repeat(32),
  boot: 'b1',
  ts,
  u: 0,
  data: {},
});
const lines = (from: number): LogLinesReport => ({
  type: 'lines',
  duty: 'd',
  file: 'f',
  from,
  to: from + 1,
  lines: ['x'],
});
const readings = (tag: string, at: number): ReadingsReport => ({
  type: 'readings',
  tag,
  unit: undefined,
  rows: [[at, 1, 0]],
});

test('prune: everything has an end: readings a month, all else a year; what is younger stays', () => {
  const ages = [400 * day, 40 * day, 0];
  store.transaction(() => {
    for (const [n, age] of ages.entries()) {
      const at = now - age;
      const e = envelope(n + 1, at);
      store.saveStream({ agent: `edge-${n}`, stream: String(n).repeat(32), highWater: 1, chain: 'c' }, at);
      store.markApplied(e.id, 'content', at);
      store.addEvent('edge-1', e, event(n) as EventReport, at);
      store.addLines('edge-1', e, lines(n), at);
      store.addGap('edge-1', e, { reason: 'evicted', lost: { event: n }, from: at, to: at }, at);
      store.addReadings('edge-1', readings('press/rms', at));
      store.addReadings('edge-1', readings('pump/flow', at));
    }
    store.prune(now);
  });
  expect(store.agents().map((row) => row.agent)).toEqual(['edge-1', 'edge-2']);
  expect(ages.map((_, n) => store.applied(envelope(n + 1, 0).id))).toEqual([undefined, 'content', 'content']);
  expect(store.events({ limit: 10 })).toHaveLength(2);
  expect(store.lines(undefined, 10).map((row) => row.from)).toEqual([2, 1]);
  expect(store.gaps(10)).toHaveLength(2);
  for (const tag of ['press/rms', 'pump/flow']) expect(store.readings({ tag, limit: 10 })).toHaveLength(1);
});
