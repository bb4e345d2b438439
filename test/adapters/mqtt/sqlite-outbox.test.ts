import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type Outbox, type OutboxLimits, openOutbox } from '../../../agent/adapters/store/sqlite-outbox.ts';
import type { Report } from '../../../agent/core/reporting/report.ts';
import {
  decodeBody,
  decodeLog,
  type Envelope,
  genesis,
  hashBytes,
  type RecordBody,
} from '../../../agent/wire/report.ts';
import { needs } from '../../support/needs.ts';

let dir: string;
let opened: Outbox[];
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'millwright-outbox-'));
  opened = [];
});
afterEach(() => {
  for (const outbox of opened) outbox.close();
  rmSync(dir, { recursive: true, force: true });
});

const open = (limits: Partial<OutboxLimits> = {}, boot = 'b1'): Outbox => {
  const outbox = openOutbox({
    dir,
    boot,
    clock: () => ({ wall: 1_700_000_000_000, uncertaintyMs: 20 }),
    limits: { reserveBytes: 64 * 1024, ...limits },
  });
  opened.push(outbox);
  return outbox;
};

const report = (cls: Report['class'], n: number, size = 10): Report => ({
  class: cls,
  body: { type: 'event', name: cls, subject: 's', severity: 'info', text: 'x'.repeat(size), detail: { n } },
});

interface Told {
  readonly envelope: Envelope;
  readonly body: RecordBody;
  readonly next: number;
  readonly chain: string;
}

/** Reads the stream from `seq` on as the coordinator would, checking every link of the chain. */
const readAll = (outbox: Outbox, from = 1, chain = genesis(outbox.stream())): Told[] => {
  const told: Told[] = [];
  for (let seq = from; seq <= outbox.last(); ) {
    const bytes = outbox.read(seq);
    expect(bytes, `record ${seq}`).toBeDefined();
    const log = decodeLog(Buffer.from(bytes!));
    if (!log.ok || !('envelope' in log.value)) throw new Error(`record ${seq} cannot be read`);
    const { envelope } = log.value;
    const body = decodeBody(envelope);
    if (!body.ok) throw new Error(body.error.reason);
    expect(envelope).toMatchObject({ seq, prev: chain, stream: outbox.stream() });
    const gap = body.value.type === 'gap' ? body.value : undefined;
    chain = gap?.end ?? hashBytes(bytes!);
    const next = (gap?.to ?? seq) + 1;
    expect(outbox.entryAt(seq)?.to).toBe(next - 1);
    expect(outbox.chainAt(next - 1)).toBe(chain);
    told.push({ envelope, body: body.value, next, chain });
    seq = next;
  }
  return told;
};

const numbers = (told: readonly Told[], name?: string): number[] =>
  told.flatMap(({ body }) =>
    body.type === 'event' && (name === undefined || body.name === name) ? [body.detail['n'] as number] : [],
  );

test('outbox: closed and opened again → the same stream, chain and bytes', () => {
  const first = open();
  for (let n = 0; n < 20; n++) expect(first.publish(report('event', n))).toBe(true);
  const before = Array.from({ length: 20 }, (_, i) => first.read(i + 1));
  const stream = first.stream();
  first.close();
  const again = open({}, 'b2');
  expect(again.stream()).toBe(stream);
  expect(Array.from({ length: 20 }, (_, i) => again.read(i + 1))).toEqual(before);
  again.publish(report('event', 20));
  const told = readAll(again);
  expect(numbers(told)).toEqual(Array.from({ length: 21 }, (_, n) => n));
  expect(told.at(-1)!.envelope.boot).toBe('b2');
  expect(new Set(told.map((t) => t.envelope.id)).size).toBe(21);
});

test('outbox: telemetry over its bound → the oldest unread becomes a gap in its place, events stay, the chain holds', () => {
  const outbox = open({ telemetryBytes: 60_000, inFlight: 8 });
  for (let n = 0; n < 1_000; n++) expect(outbox.publish(report(n % 10 === 0 ? 'event' : 'telemetry', n))).toBe(true);
  const told = readAll(outbox);
  expect(numbers(told, 'event')).toEqual(Array.from({ length: 100 }, (_, i) => i * 10));
  const kept = numbers(told, 'telemetry');
  expect(kept).toContain(999);
  // What may be under way is left alone.
  expect(kept.filter((n) => n < 8)).toEqual([1, 2, 3, 4, 5, 6, 7]);
  const lost = told.reduce((sum, { body }) => sum + (body.type === 'gap' ? (body.lost['telemetry'] ?? 0) : 0), 0);
  expect(lost).toBeGreaterThan(0);
  expect(lost + kept.length).toBe(900);
  expect(outbox.stats().evicted).toBe(lost);
});

test('outbox: telemetry alone over its bound → neighbouring gaps become one', () => {
  const outbox = open({ telemetryBytes: 40_000, inFlight: 4 });
  for (let n = 0; n < 3_000; n++) outbox.publish(report('telemetry', n));
  expect(readAll(outbox).filter(({ body }) => body.type === 'gap')).toHaveLength(1);
});

test('outbox: acknowledged records over the ring’s bound → the oldest go, an older store gets a gap for them', () => {
  const outbox = open({ ringBytes: 20_000 });
  for (let n = 0; n < 100; n++) outbox.publish(report('event', n));
  const chain30 = outbox.chainAt(30)!;
  outbox.advance({ store: 's', epoch: 1, upTo: 90, chain: outbox.chainAt(90)! });
  for (let n = 100; n < 110; n++) outbox.publish(report('event', n));
  expect(outbox.first()).toBeGreaterThan(31);
  expect(outbox.stats().pending).toBe(20);
  // The store came back from a copy that knew 30.
  outbox.advance({ store: 's', epoch: 2, upTo: 30, chain: chain30 });
  const told = readAll(outbox, 31, chain30);
  expect(told[0]!.body).toMatchObject({ type: 'gap', to: outbox.first() - 1, reason: 'forgotten' });
  expect(numbers(told).at(-1)).toBe(109);
});

test('outbox: ring emptied, closed, opened → the numbers and the chain go on', () => {
  const first = open({ ringBytes: 0 });
  for (let n = 0; n < 5; n++) first.publish(report('event', n));
  const chain = first.chainAt(5)!;
  first.advance({ store: 's', epoch: 1, upTo: 5, chain });
  first.publish(report('event', 5));
  first.advance({ store: 's', epoch: 1, upTo: 6, chain: first.chainAt(6)! });
  const chain6 = first.chainAt(6)!;
  first.close();
  const again = open({ ringBytes: 0 });
  again.publish(report('event', 6));
  expect(again.last()).toBe(7);
  expect(numbers(readAll(again, 7, chain6))).toEqual([6]);
});

test('outbox: fork → what was not acknowledged again, in a new stream, under the same ids', () => {
  const outbox = open({ telemetryBytes: 30_000, inFlight: 4 });
  for (let n = 0; n < 300; n++) outbox.publish(report(n % 3 === 0 ? 'event' : 'telemetry', n));
  const before = readAll(outbox).filter((t) => t.envelope.seq > 2);
  const old = outbox.stream();
  outbox.advance({ store: 's', epoch: 1, upTo: 2, chain: outbox.chainAt(2)! });
  outbox.fork(2);
  expect(outbox.stream()).not.toBe(old);
  const after = readAll(outbox);
  expect(after.map((t) => t.envelope.id)).toEqual(before.map((t) => t.envelope.id));
  expect(numbers(after)).toEqual(numbers(before));
  expect(outbox.cursor()).toMatchObject({ upTo: 0 });
  outbox.close();
  const again = open();
  expect(again.stats().forks).toBe(1);
  expect(readAll(again).map((t) => t.envelope.id)).toEqual(after.map((t) => t.envelope.id));
});

test('outbox: database full → telemetry is refused, the loss is said as soon as there is room', () => {
  const outbox = open({ maxPages: 120, inFlight: 8 });
  let n = 0;
  while (outbox.publish(report('telemetry', n, 2_000))) n++;
  expect(n).toBeGreaterThan(10);
  expect(outbox.publish(report('telemetry', n, 2_000))).toBe(false);
  // Events still get in: unread telemetry gives its pages.
  for (let e = 0; e < 20; e++) expect(outbox.publish(report('event', 1_000 + e, 2_000))).toBe(true);
  const told = readAll(outbox);
  expect(numbers(told, 'event')).toEqual(Array.from({ length: 20 }, (_, e) => 1_000 + e));
  const loss = told.find(({ body }) => body.type === 'loss')?.body;
  expect(loss).toMatchObject({ lost: { telemetry: 2 } });
  expect(outbox.stats().refused).toBe(2);
});

test(
  'outbox: disk really full → telemetry is refused, events get the reserve; freed disk → all goes on',
  needs('root'),
  () => {
    const small = join(dir, 'small');
    mkdirSync(small);
    if (spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', small]).status !== 0) {
      // Root in a container without the right to mount: the test above stands alone.
      process.stderr.write('skipped: this root may not mount\n');
      return;
    }
    try {
      const outbox = openOutbox({
        dir: small,
        boot: 'b1',
        clock: () => ({ wall: 1_700_000_000_000, uncertaintyMs: 20 }),
        limits: { reserveBytes: 512 * 1024 },
      });
      const ballast = join(small, 'ballast');
      writeFileSync(ballast, Buffer.alloc(1024 * 1024));
      let n = 0;
      while (n < 10_000 && outbox.publish(report('telemetry', n, 1_000))) n++;
      expect(n).toBeGreaterThan(10);
      expect(n).toBeLessThan(10_000);
      for (let e = 0; e < 50; e++) expect(outbox.publish(report('event', e, 500)), `event ${e}`).toBe(true);
      expect(outbox.publish(report('telemetry', n, 1_000))).toBe(false);
      rmSync(ballast);
      expect(outbox.publish(report('telemetry', n, 1_000))).toBe(true);
      const told = readAll(outbox);
      expect(numbers(told, 'event')).toEqual(Array.from({ length: 50 }, (_, e) => e));
      const lost = told.reduce((sum, { body }) => sum + (body.type === 'loss' ? (body.lost['telemetry'] ?? 0) : 0), 0);
      expect(lost).toBe(2);
      outbox.close();
    } finally {
      spawnSync('umount', ['-l', small]);
    }
  },
);

test('outbox: several published together → in order, told of once, durable when it returns', () => {
  const outbox = open();
  let told = 0;
  outbox.onAppended(() => {
    told++;
  });
  outbox.together(() => {
    for (let n = 1; n <= 5; n++) expect(outbox.publish(report('telemetry', n))).toBe(true);
    expect(told).toBe(0);
  });
  expect(told).toBe(1);
  // As a killed process leaves it: the files as they are, nothing closed.
  const copy = join(dir, 'copy');
  mkdirSync(copy);
  for (const file of ['outbox.db', 'outbox.db-wal']) copyFileSync(join(dir, file), join(copy, file));
  const second = openOutbox({ dir: copy, boot: 'b2', clock: () => ({ wall: 0, uncertaintyMs: 0 }) });
  opened.push(second);
  expect(readAll(second).map(({ body }) => body)).toMatchObject([1, 2, 3, 4, 5].map((n) => ({ detail: { n } })));
});

test('outbox: database fills up in the middle of what goes together → chain whole, each report kept or counted as lost', () => {
  const outbox = open({ maxPages: 120, inFlight: 8 });
  let offered = 0;
  for (let round = 0; round < 60; round++) {
    outbox.together(() => {
      for (let n = 0; n < 20; n++) outbox.publish(report('telemetry', offered++, 400));
    });
  }
  const { refused } = outbox.stats();
  expect(refused).toBeGreaterThan(0);
  // The ring is read, so there is room again: the first record then tells of the loss.
  outbox.advance({ store: 's', epoch: 1, upTo: outbox.last(), chain: outbox.chainAt(outbox.last()) ?? '' });
  outbox.publish(report('event', 0, 400));
  const told = readAll(outbox);
  const kept = told.filter(({ envelope }) => envelope.type === 'event' && envelope.seq < outbox.last()).length;
  const lost = told.flatMap(({ body }) => (body.type === 'loss' ? [body.lost['telemetry'] ?? 0] : []));
  expect(kept + lost.reduce((a, b) => a + b, 0)).toBe(offered);
});

test('outbox: event beyond 256 kB → cut to its core and kept; telemetry of that size → refused and counted', () => {
  const outbox = open();
  expect(outbox.publish(report('alarm', 1, 400_000))).toBe(true);
  expect(outbox.publish(report('telemetry', 2, 400_000))).toBe(false);
  const [told] = readAll(outbox);
  expect(told!.body).toMatchObject({ name: 'alarm', detail: { n: 1 } });
  expect(outbox.stats().refused).toBe(1);
});

test('outbox: batch of log lines → whole; one that grows beyond 256 kB by escapes → its lines are cut, never refused', () => {
  const outbox = open();
  const lines = (line: string): Report => ({
    class: 'event',
    body: { type: 'lines', duty: 'd', file: '/f', from: 0, to: 9, lines: Array.from({ length: 200 }, () => line) },
  });
  expect(outbox.publish(lines('y'.repeat(800)))).toBe(true);
  expect(outbox.publish(lines('\u001b'.repeat(400)))).toBe(true);
  const told = readAll(outbox).map(({ body }) => (body.type === 'lines' ? body.lines : []));
  expect(told[0]).toEqual(Array.from({ length: 200 }, () => 'y'.repeat(800)));
  expect(told[1]!.map((line) => line.length)).toEqual(Array.from({ length: 200 }, () => 121));
});

test('outbox: power gone at any byte of the last write → opens with a whole chain, nothing older missing', () => {
  const outbox = open();
  for (let n = 0; n < 30; n++) outbox.publish(report('event', n));
  const wal = join(dir, 'outbox.db-wal');
  const base = mkdtempSync(join(tmpdir(), 'millwright-torn-'));
  for (const name of ['outbox.db', 'outbox.db-wal']) copyFileSync(join(dir, name), join(base, name));
  const safe = statSync(wal).size;
  for (let n = 30; n < 32; n++) outbox.publish(report('event', n));
  const whole = readFileSync(wal);
  expect(whole.length).toBeGreaterThan(safe);
  const known = readAll(outbox).map((t) => t.envelope.id);
  outbox.close();
  rmSync(join(dir, 'outbox.db-shm'), { force: true });
  for (let cut = safe; cut <= whole.length; cut += 2_039) {
    for (const flip of [false, true]) {
      copyFileSync(join(base, 'outbox.db'), join(dir, 'outbox.db'));
      writeFileSync(wal, whole);
      if (flip) {
        const at = Math.min(cut, whole.length - 1);
        writeSync(openSync(wal, 'r+'), Buffer.from([whole[at]! ^ 0xff]), 0, 1, at);
      } else truncateSync(wal, cut);
      const torn = open();
      const ids = readAll(torn).map((t) => t.envelope.id);
      expect(ids.length).toBeGreaterThanOrEqual(30);
      expect(ids).toEqual(known.slice(0, ids.length));
      torn.close();
      rmSync(join(dir, 'outbox.db-shm'), { force: true });
    }
  }
  rmSync(base, { recursive: true, force: true });
});

test('outbox: file that is no database → set aside, a new stream begins', () => {
  writeFileSync(join(dir, 'outbox.db'), 'this was a database once, before the lightning struck'.repeat(100));
  const told: string[] = [];
  const outbox = openOutbox({
    dir,
    boot: 'b1',
    clock: () => ({ wall: 0, uncertaintyMs: 0 }),
    log: (event) => told.push(event),
    limits: { reserveBytes: 0 },
  });
  opened.push(outbox);
  expect(outbox.publish(report('event', 1))).toBe(true);
  expect(told).toEqual(['outbox-damaged']);
  expect(existsSync(join(dir, 'outbox.db'))).toBe(true);
});

test('outbox: no file can be opened → no exit: events are told from memory, nothing durable is promised', () => {
  mkdirSync(join(dir, 'outbox.db'));
  const told: string[] = [];
  const outbox = openOutbox({
    dir,
    boot: 'b1',
    clock: () => ({ wall: 1_700_000_000_000, uncertaintyMs: 0 }),
    log: (event) => told.push(event),
    limits: { reserveBytes: 0 },
  });
  opened.push(outbox);
  expect(told).toEqual(['outbox-not-opened']);
  expect(outbox.publish(report('event', 1))).toBe(true);
  expect(outbox.publish(report('alarm', 2))).toBe(true);
  expect(outbox.publish(report('telemetry', 3)), 'history in memory would be a lie').toBe(false);
  const lines: Report = {
    class: 'event',
    body: { type: 'lines', duty: 'd', file: '/var/log/x', from: 0, to: 2, lines: ['x'] },
  };
  expect(outbox.publish(lines), 'its reader would move its checkpoint').toBe(false);
  const bodies = readAll(outbox).map(({ body }) => (body.type === 'event' ? body.name : body.type));
  expect(bodies.filter((name) => name !== 'loss')).toEqual(['outbox-not-durable', 'event', 'alarm']);
});

test('outbox: asked for a number in the middle of a gap → gives the gap, so that the stream goes on', () => {
  const outbox = open({ telemetryBytes: 40_000, inFlight: 4 });
  for (let n = 0; n < 3_000; n++) outbox.publish(report('telemetry', n));
  const gap = readAll(outbox).find(({ body }) => body.type === 'gap');
  if (gap?.body.type !== 'gap') throw new Error('no gap');
  const middle = gap.envelope.seq + 5;
  expect(outbox.entryAt(middle)).toMatchObject({ to: gap.body.to });
  expect(JSON.parse(outbox.read(middle) ?? '{}')).toMatchObject({ type: 'gap', seq: gap.envelope.seq });
  expect(outbox.entryAt(outbox.last() + 1)).toBeUndefined();
  expect(outbox.read(outbox.last() + 1)).toBeUndefined();
});

test('outbox: process killed with SIGKILL while it publishes, again and again → whatever was accepted is there, once, in order', async () => {
  const rounds = Number(process.env['MILLWRIGHT_ROUNDS'] ?? 5);
  const publisher = new URL('./publisher.ts', import.meta.url).pathname;
  let accepted = -1;
  for (let round = 0; round < rounds; round++) {
    const child = spawn(process.execPath, [publisher, dir, String(accepted + 1)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const gone = once(child, 'close');
    let said = '';
    const enough = 20 + round * 37;
    child.stdout.on('data', (chunk: Buffer) => {
      said += chunk.toString();
      if (said.split('\n').length > enough) child.kill('SIGKILL');
    });
    await gone;
    accepted = Number(said.trimEnd().split('\n').at(-1));
    const outbox = open();
    const there = numbers(readAll(outbox));
    // The kill may come between the commit and the word about it: one more than was said, never one less.
    expect([accepted + 1, accepted + 2]).toContain(there.length);
    expect(there).toEqual(Array.from({ length: there.length }, (_, n) => n));
    accepted = there.length - 1;
    outbox.close();
  }
}, 60_000);
