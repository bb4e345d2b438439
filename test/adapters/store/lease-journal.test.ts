import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openStore, type Store } from '../../../agent/adapters/store/sqlite-journal.ts';
import type { Input } from '../../../agent/core/input.ts';
import { bundleHash } from '../../../agent/core/leases/ballot.ts';
import { type CellEntry, foldCell, type StoredEpoch } from '../../../agent/core/leases/cell-record.ts';
import { leaseDefaults } from '../../../agent/core/leases/options.ts';
import { sessionId } from '../../../agent/core/leases/session.ts';
import { foundingRecord } from '../../../agent/core/leases/voter-record.ts';

const epoch = (number: number): StoredEpoch => ({
  epoch: number,
  hash: bundleHash(`${number}`.repeat(64)),
  parent: bundleHash(''),
  voters: ['box-1', 'box-2', 'box-3'],
  revoked: [],
  options: leaseDefaults,
  leases: [
    { id: 'duty:pump/poll', eligible: ['box-1', 'box-2'], lingerMs: 0 },
    { id: 'guard:line/weld/slot-1', eligible: ['box-1'], lingerMs: 5000 },
  ],
});
const founded: CellEntry = {
  kind: 'founded',
  active: epoch(1),
  record: foundingRecord({ epoch: 1, voters: 3, leases: 2, leaseMs: 2000 }),
};
const granted = (counter: number, lease = 0): CellEntry => ({
  kind: 'voter',
  entry: {
    kind: 'granted',
    lease,
    counter,
    session: lease === 1 ? { agent: 0, boot: 1, id: sessionId('ab'.repeat(32)) } : undefined,
    remainingMs: 2000,
  },
});
const booted: CellEntry = { kind: 'voter', entry: { kind: 'booted', boot: 1, nonce: 7, unborn: false } };
const heard: CellEntry = {
  kind: 'voter',
  entry: { kind: 'heard', voter: 2, life: { boot: 4, nonce: 9 }, reborn: true },
};

describe('leases in the store', () => {
  let dir: string;
  let store: Store;
  let inputs: Input[];

  const open = (maxPages?: number): Store => {
    inputs = [];
    const options = { dir, deliver: (input: Input) => inputs.push(input), defer: (run: () => void) => run() };
    store = openStore(maxPages === undefined ? options : { ...options, maxPages });
    return store;
  };
  const reopened = () => {
    store.close();
    return open().restore().leases!;
  };

  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'millwright-leases-'));
    open();
  });
  afterEach(() => {
    store.close();
    rmSync(dir, { recursive: true, force: true });
  });

  it('a new store → nothing, and whole', () => {
    expect(store.restore().leases).toEqual({ records: new Map(), isStoreWhole: true });
  });

  it('what was persisted → comes back as its fold, cell by cell', () => {
    const entries = [founded, booted, granted(1), granted(7, 1), heard];
    store.persistLeases(1, 'line', entries);
    store.persistLeases(2, 'hall', [founded]);
    expect(inputs).toEqual([
      { kind: 'leases-persisted', token: 1 },
      { kind: 'leases-persisted', token: 2 },
    ]);
    const { records } = reopened();
    let wanted: ReturnType<typeof foldCell>;
    for (const entry of entries) wanted = foldCell(wanted, entry);
    expect(records.get('line')).toEqual(wanted);
    expect(records.get('line')?.voter).toMatchObject({ boot: 1, maxCounters: [1, 7], reborn: [0, 0, 4] });
    expect(records.get('hall')?.voter?.maxCounters).toEqual([0, 0]);
  });

  it('another epoch → its record begins anew, and permits go on lapsing under their names', () => {
    const next: StoredEpoch = { ...epoch(2), leases: epoch(1).leases.toReversed() };
    const lingering = [
      { lease: 1, counter: 7, session: { agent: 0, boot: 1, id: sessionId('ab'.repeat(32)) }, remainingMs: 900 },
    ];
    const sealed = {
      kind: 'lease-sealed' as const,
      cell: 1,
      epoch: 1,
      successor: next.hash,
      boot: 1,
      reborn: [0, 0, 0],
      lingering,
    };
    const certificate = {
      kind: 'lease-epoch' as const,
      cell: 1,
      epoch: 1,
      successor: next.hash,
      seals: [
        { voter: 0, sealed },
        { voter: 1, sealed: { ...sealed, lingering: [] } },
      ],
    };
    store.persistLeases(1, 'line', [founded, booted, granted(3)]);
    store.persistLeases(2, 'line', [{ kind: 'accepted', epoch: next }]);
    store.persistLeases(3, 'line', [{ kind: 'activated', epoch: next, certificate }]);
    const record = reopened().records.get('line')!;
    expect(record.active.epoch).toBe(2);
    expect(record.certificates).toHaveLength(1);
    expect(record.voter).toMatchObject({ epoch: 2, boot: 1, maxCounters: [0, 0] });
    expect(record.voter?.lingering[0]).toMatchObject({ lease: 0, remainingMs: 900 });
    expect(record.voter?.lingering[1]).toBeUndefined();
  });

  it('hundreds of grants → folded into a few lines, and the same memory', () => {
    store.persistLeases(1, 'line', [founded, booted]);
    for (let counter = 1; counter <= 300; counter++) store.persistLeases(1 + counter, 'line', [granted(counter)]);
    store.close();
    const db = new DatabaseSync(join(dir, 'agent.db'));
    expect(Number(db.prepare('SELECT count(*) AS n FROM lease').get()?.['n'])).toBeLessThan(260);
    db.close();
    expect(open().restore().leases!.records.get('line')?.voter?.maxCounters).toEqual([300, 0]);
  });

  it('a line that cannot be read → the voter has lost its memory, the epoch is known', () => {
    store.persistLeases(1, 'line', [founded, booted, granted(5)]);
    store.close();
    const db = new DatabaseSync(join(dir, 'agent.db'));
    db.exec("UPDATE lease SET entry = 'torn' WHERE n = 2");
    db.close();
    const { records } = open().restore().leases!;
    expect(records.get('line')).toMatchObject({ active: { epoch: 1 }, voter: undefined });
  });

  it('a full disk → leases-persist-failed, and nothing of it is there', () => {
    store.close();
    open(40);
    const bulky: CellEntry = {
      ...founded,
      active: { ...epoch(1), voters: Array.from({ length: 40_000 }, (_, i) => `box-${i}`) },
    };
    store.persistLeases(1, 'line', [founded]);
    store.persistLeases(2, 'line', [booted, bulky]);
    expect(inputs).toEqual([
      { kind: 'leases-persisted', token: 1 },
      { kind: 'leases-persist-failed', token: 2, reason: expect.stringMatching(/full/) },
    ]);
    expect(reopened().records.get('line')?.voter?.boot).toBe(0);
  });

  it('a damaged file → begun anew, and known not to be whole', () => {
    store.persistLeases(1, 'line', [founded]);
    store.close();
    for (const suffix of ['-wal', '-shm']) rmSync(join(dir, `agent.db${suffix}`), { force: true });
    writeFileSync(join(dir, 'agent.db'), 'this is no database, and has not been one for long');
    expect(open().restore().leases).toEqual({ records: new Map(), isStoreWhole: false });
  });
});
