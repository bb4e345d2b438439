import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { openStore, type Store } from '../../../agent/adapters/store/sqlite-journal.ts';
import { bootId } from '../../../agent/base/ids.ts';
import { wallTime } from '../../../agent/base/time.ts';
import type { Input } from '../../../agent/core/input.ts';
import type { JournalEntry } from '../../../agent/core/remediation/journal-entry.ts';
import { type JournalHarness, journalSuite, sampleEntry } from '../../conformance/journal-suite.ts';
import { eventually } from '../../support/eventually.ts';

const pagesOf = (dir: string): number => {
  const db = new DatabaseSync(join(dir, 'agent.db'));
  const pages = Number(db.prepare('PRAGMA page_count').get()?.['page_count']);
  db.close();
  return pages;
};

journalSuite('sqlite', (): JournalHarness => {
  const dir = mkdtempSync(join(tmpdir(), 'millwright-journal-'));
  let store: Store | undefined;
  let deliver: (input: Input) => void = () => {};
  const opened: Store[] = [];
  const open = (maxPages?: number): Store => {
    store = openStore({ dir, deliver: (input) => deliver(input), ...(maxPages === undefined ? {} : { maxPages }) });
    opened.push(store);
    return store;
  };
  const current = (): Store => store ?? open();
  return {
    open() {
      const inputs: Input[] = [];
      deliver = (input) => inputs.push(input);
      open();
      return {
        // `fill` puts another connection behind the same port.
        port: {
          append: (token, entries) => current().append(token, entries),
          saveIncarnation: (bootCounter, incarnation) => current().saveIncarnation(bootCounter, incarnation),
          saveCheckpoint: (checkpoint) => current().saveCheckpoint(checkpoint),
          setLocalAlarm: (alarm) => current().setLocalAlarm(alarm),
        },
        persistLeases: (token, cell, entries) => current().persistLeases(token, cell, entries),
        inputs,
        restore: () => current().restore(),
      };
    },
    // What a dead process leaves is what the file holds without it: the handle stays open, unflushed, until the end.
    crash() {},
    // SQLite's page limit refuses as a full disk does, with SQLITE_FULL in the middle of a transaction.
    fill: (full) => void open(full ? pagesOf(dir) + 2 : undefined),
    settle() {},
    dispose() {
      for (const one of opened) one.close();
      rmSync(dir, { recursive: true, force: true });
    },
  };
});

let dir: string;
const stores: Store[] = [];
const inputs: Input[] = [];
const warnings: string[] = [];
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'millwright-store-'));
  inputs.length = 0;
  warnings.length = 0;
});
afterEach(() => {
  for (const store of stores.splice(0)) store.close();
  rmSync(dir, { recursive: true, force: true });
});
const open = (options: { keepRuns?: number; maxPages?: number } = {}): Store => {
  const store = openStore({
    dir,
    deliver: (input) => inputs.push(input),
    log: { warn: (_fields, message) => warnings.push(message) },
    ...options,
  });
  stores.push(store);
  return store;
};

test('boot counter: each life gets the next number, also after a crash', () => {
  const [first = 0, second, third] = [open().nextBootCounter(), open().nextBootCounter(), open().nextBootCounter()];
  expect([second, third]).toEqual([first + 1, first + 2]);
});

test('lives: the first → no return; a later one → as many as restarts came within twenty minutes before it', () => {
  let wall = 1e12;
  const returns = () => {
    const store = openStore({ dir, deliver: () => {}, wall: () => wall });
    store.nextBootCounter();
    const said = store.restore().returns;
    store.close();
    return said;
  };
  expect(returns()).toBeUndefined();
  wall += 60_000;
  expect(returns()).toBe(0);
  wall += 60_000;
  expect(returns()).toBe(1);
  wall += 60_000;
  expect(returns()).toBe(2);
  wall += 19.5 * 60_000;
  expect(returns()).toBe(1);
  wall += 3_600_000;
  expect(returns()).toBe(0);
  // The clock was an hour ahead: what was written then is not counted, nor kept.
  wall -= 3_600_000;
  expect(returns()).toBe(0);
  wall += 1_000;
  expect(returns()).toBe(1);
});

test('boot counter: a box that lost its disk counts on above what it ever was', () => {
  const minute = 60_000;
  let wall = Date.UTC(2026, 0, 1);
  const life = () => {
    const store = openStore({ dir, deliver: () => {}, wall: () => wall });
    stores.push(store);
    wall += 5 * minute;
    return store.nextBootCounter();
  };
  for (let n = 0; n < 20; n++) life();
  const last = life();
  for (const store of stores.splice(0)) store.close();
  rmSync(dir, { recursive: true });
  expect(life()).toBeGreaterThan(last);
});

test('no file can be opened → no exit: writes are refused, which repairs nothing, and the state says why', async () => {
  mkdirSync(join(dir, 'agent.db'));
  const store = open();
  expect(store.state().misfortune).toMatchObject({ kind: 'not-opened' });
  expect(store.nextBootCounter()).toBeGreaterThan(1_000_000);
  expect(store.restore().journal).toEqual([]);
  store.append(1, [sampleEntry('w#1', 1)]);
  await eventually(() => inputs.length > 0);
  expect(inputs).toMatchObject([{ kind: 'persist-failed', token: 1 }]);
  expect(store.state().trouble).toContain('no durable memory');
});

test('damaged file → moved aside and begun anew, told, never an exit', async () => {
  for (let n = 0; n < 5; n++) {
    writeFileSync(join(dir, 'agent.db'), Buffer.alloc(8_192, 0x5a));
    rmSync(join(dir, 'agent.db-wal'), { force: true });
    const store = open();
    expect(store.state().misfortune).toMatchObject({ kind: 'moved-aside', file: join(dir, 'agent.db') });
    expect(store.nextBootCounter()).toBeGreaterThan(0);
    store.append(1, [sampleEntry('w#1', 1)]);
    await eventually(() => inputs.some((input) => input.kind === 'persisted'));
    store.close();
  }
  expect(warnings).toHaveLength(5);
  const kept = readdirSync(dir).filter((name) => /damaged-\d+$/.test(name));
  expect(kept, 'damaged files are kept, but not without bound').toHaveLength(3);
});

test('folder deleted under a running agent → nothing is called durable any more, and the state says what to do', async () => {
  const store = open();
  store.append(1, [sampleEntry('w#1', 1)]);
  rmSync(dir, { recursive: true });
  expect(store.state().trouble).toContain('start the agent anew');
  store.append(2, [sampleEntry('w#1', 2)]);
  await eventually(() => inputs.length > 1);
  expect(inputs).toMatchObject([
    { kind: 'persisted', token: 1 },
    { kind: 'persist-failed', token: 2, reason: expect.stringContaining('was removed') },
  ]);
});

test('file of a newer release → moved aside, not misread', () => {
  const db = new DatabaseSync(join(dir, 'agent.db'));
  db.exec('CREATE TABLE future (x); PRAGMA user_version = 99;');
  db.close();
  expect(open().state().misfortune?.reason).toContain('newer release');
});

test('unreadable rows → skipped and counted, the rest is restored', () => {
  const store = open();
  store.append(1, [sampleEntry('w#1', 1), sampleEntry('w#1', 2, 'end')]);
  const db = new DatabaseSync(join(dir, 'agent.db'));
  const insert = db.prepare(
    "INSERT INTO journal (run, kind, boot, at, wall, entry) VALUES ('x', 'open', 'b', 1, 1, ?)",
  );
  for (const entry of ['{', '[]', 'null', '{"v":2}', '{"v":1,"kind":"levitate","run":"x","boot":"b","at":1,"wall":1}'])
    insert.run(entry);
  db.close();
  const again = open();
  expect(again.restore().journal).toHaveLength(2);
  expect(again.state().skipped).toBe(5);
});

test('peers recalled more lives than we counted → the next life counts from above them', () => {
  const store = open();
  const own = store.nextBootCounter();
  store.saveIncarnation(own + 40, 2);
  expect(open().nextBootCounter()).toBe(own + 41);
});

test('retention: the oldest ended runs go whole, open ones and the proof of time stay', () => {
  const store = open({ keepRuns: 5 });
  const beat = (boot: string, at: number): JournalEntry => ({
    ...sampleEntry('', at, 'heartbeat'),
    boot: bootId(boot),
  });
  let token = 0;
  store.append(++token, [sampleEntry('w#open', 0)]);
  for (let n = 1; n <= 20; n++) store.append(++token, [sampleEntry(`w#${n}`, n), sampleEntry(`w#${n}`, n, 'end')]);
  for (let n = 0; n < 400; n++) store.append(++token, [beat(n < 200 ? 'b2' : 'b3', n * 60_000)]);
  const { journal } = open({ keepRuns: 5 }).restore();
  expect([...new Set(journal.map((entry) => entry.run))]).toEqual([
    'w#open',
    'w#16',
    'w#17',
    'w#18',
    'w#19',
    'w#20',
    '',
  ]);
  expect(journal.filter((entry) => entry.kind === 'heartbeat').map((entry) => [entry.boot, entry.at])).toEqual([
    ['b2', 0],
    ['b2', 199 * 60_000],
    ['b3', 200 * 60_000],
    ['b3', 399 * 60_000],
  ]);
});

test('retention: a job that runs every minute does not push out what holds another repair back', () => {
  const store = open({ keepRuns: 5 });
  store.append(1, [sampleEntry('press/fix#b1.1', 1), sampleEntry('press/fix#b1.1', 2, 'end')]);
  for (let n = 1; n <= 300; n++) {
    store.append(n + 1, [sampleEntry(`press/job#b1.${n}`, n), sampleEntry(`press/job#b1.${n}`, n, 'end')]);
  }
  const runs = new Set(
    open({ keepRuns: 5 })
      .restore()
      .journal.map((entry) => entry.run),
  );
  // Its end may say ESCALATED: forgotten, the agent would act again on what it had handed to a person.
  expect(runs).toContain('press/fix#b1.1');
  expect(runs.size).toBe(6);
});

test('trouble without a completion (an alarm row on a full disk) → shown, told once, the alarm still stands', () => {
  open().close();
  const store = open({ maxPages: pagesOf(dir) });
  for (let n = 0; n < 40; n++) {
    store.setLocalAlarm({
      alarm: n,
      alarmId: `a.${n}`,
      state: 'on',
      occurrence: 'o',
      term: 1,
      firstSampleAt: wallTime(1),
      since: wallTime(1),
      evidence: 'e'.repeat(4_000),
    });
  }
  expect(store.state().trouble).toContain('full');
  expect(warnings).toHaveLength(1);
  expect(store.alarms()).toHaveLength(40);
});

test('full disk at the start → what is there is restored, the counter still rises', () => {
  const first = open();
  first.append(1, [sampleEntry('w#1', 1), sampleEntry('w#1', 2, 'end'), sampleEntry('', 3, 'heartbeat')]);
  const last = first.nextBootCounter();
  first.close();
  const full = open({ maxPages: 1 });
  expect(full.restore().journal).toHaveLength(3);
  expect(full.nextBootCounter()).toBeGreaterThan(last);
});

test('closed → writes are refused without a throw', () => {
  const store = open();
  store.close();
  store.append(1, [sampleEntry('w#1', 1)]);
  store.saveCheckpoint({ duty: 1, term: 1, sequence: 1, takenAt: wallTime(1), data: new Uint8Array(1) });
  expect(store.state().failed).toBe(2);
});

test('store: the site file changes and numbers its duties anew → a checkpoint stays with its duty, by name', () => {
  const dir = mkdtempSync(join(tmpdir(), 'millwright-test-'));
  try {
    const before = openStore({ dir, deliver: () => {}, duties: ['pump/poll', 'press/poll'] });
    before.saveCheckpoint({ duty: 1, term: 3, sequence: 7, takenAt: wallTime(0), data: Uint8Array.of(1) });
    before.saveCheckpoint({ duty: 0, term: 9, sequence: 1, takenAt: wallTime(0), data: Uint8Array.of(2) });
    before.close();
    const after = openStore({ dir, deliver: () => {}, duties: ['press/poll', 'oven/poll'] });
    expect(after.restore().checkpoints).toMatchObject([{ duty: 0, term: 3, sequence: 7, data: Uint8Array.of(1) }]);
    after.close();
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});
