import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { bootId } from '../../agent/base/ids.ts';
import { instant, wallTime } from '../../agent/base/time.ts';
import type { LocalAlarm } from '../../agent/core/effect.ts';
import type { Input, Restored } from '../../agent/core/input.ts';
import { bundleHash } from '../../agent/core/leases/ballot.ts';
import type { CellEntry } from '../../agent/core/leases/cell-record.ts';
import { leaseDefaults } from '../../agent/core/leases/options.ts';
import { foundingRecord } from '../../agent/core/leases/voter-record.ts';
import type { JournalEntry } from '../../agent/core/remediation/journal-entry.ts';
import type { JournalPort, LeasePort } from '../../agent/driver/ports.ts';
import { eventually } from '../support/eventually.ts';

/** A disk that outlives the processes that use it. */
export interface JournalHarness {
  /** A new life on the same disk. `inputs` collects what the port delivers. */
  open(): {
    readonly port: JournalPort;
    readonly persistLeases: LeasePort['persist'];
    readonly inputs: readonly Input[];
    restore(): Restored;
  };
  /** The life ends without a word: nothing is flushed by it. */
  crash(): void;
  /** From now on the disk refuses what is written; or takes it again. */
  fill(full: boolean): void;
  /** Lets deferred completions happen. Real adapters need none; a simulated one advances its clock. */
  settle(): void;
  dispose(): void;
}

export const sampleEntry = (run: string, at: number, kind: 'open' | 'end' | 'heartbeat' = 'open'): JournalEntry => {
  const base = { v: 1 as const, run, boot: bootId('b1'), at: instant(at), wall: wallTime(1_000 + at) };
  switch (kind) {
    case 'open':
      return {
        ...base,
        kind,
        workflow: 0,
        workflowId: run.split('#')[0] ?? '',
        trigger: 'condition',
        firstBadAt: instant(at - 300.25),
        conditionAt: instant(at),
        level: 0,
        relapseOf: undefined,
      };
    case 'end':
      return { ...base, kind, outcome: 'HEALED', reason: 'ümlaut „quotes"', mttdMs: 1, mttaMs: undefined, mttrMs: 3 };
    case 'heartbeat':
      return { ...base, kind };
  }
};

export const sampleAlarm = (change: Partial<LocalAlarm> = {}): LocalAlarm => ({
  alarm: 3,
  alarmId: 'bearing-wear.press-7',
  state: 'on',
  occurrence: 'b1-1',
  term: 2,
  firstSampleAt: wallTime(10),
  since: wallTime(20),
  evidence: 'bearing-rms 7.9 mm/s above 7.1 mm/s',
  ...change,
});

const founded: Extract<CellEntry, { kind: 'founded' }> = {
  kind: 'founded',
  active: {
    epoch: 1,
    hash: bundleHash('a'.repeat(64)),
    parent: bundleHash(''),
    voters: ['box-1'],
    revoked: [],
    options: leaseDefaults,
    leases: [{ id: 'duty:pump/poll', eligible: ['box-1'], lingerMs: 0 }],
  },
  record: foundingRecord({ epoch: 1, voters: 1, leases: 1, leaseMs: 2000 }),
};
const granted = (counter: number): CellEntry => ({
  kind: 'voter',
  entry: { kind: 'granted', lease: 0, counter, session: undefined, remainingMs: 2000 },
});

/** What every disk of an agent promises, the real one and the simulated one alike. */
export function journalSuite(name: string, make: () => JournalHarness): void {
  describe(`${name}: a journal`, () => {
    let harness: JournalHarness;
    beforeEach(() => {
      harness = make();
    });
    afterEach(() => harness.dispose());

    const answers = async (inputs: readonly Input[], count: number): Promise<readonly Input[]> =>
      eventually(
        () => {
          harness.settle();
          return inputs.length >= count ? inputs : undefined;
        },
        { what: `${count} completions` },
      );

    test('fresh disk → nothing to restore', () => {
      expect(harness.open().restore()).toMatchObject({ incarnation: 0, journal: [], checkpoints: [], alarms: [] });
    });

    test('append → persisted with its token, later than the call; after a crash all of it is there, in order', async () => {
      const { port, inputs } = harness.open();
      port.append(7, [sampleEntry('w#1', 1), sampleEntry('w#1', 2, 'end')]);
      port.append(8, [sampleEntry('w#2', 3)]);
      expect(inputs, 'a completion within the call would re-enter the core').toEqual([]);
      expect(await answers(inputs, 2)).toEqual([
        { kind: 'persisted', token: 7 },
        { kind: 'persisted', token: 8 },
      ]);
      harness.crash();
      expect(harness.open().restore().journal).toEqual([
        sampleEntry('w#1', 1),
        sampleEntry('w#1', 2, 'end'),
        sampleEntry('w#2', 3),
      ]);
    });

    test('full disk → persist-failed, none of the entries is there; room again → it goes on', async () => {
      const { port, inputs } = harness.open();
      port.append(1, [sampleEntry('w#1', 1)]);
      await answers(inputs, 1);
      harness.fill(true);
      port.append(2, [
        sampleEntry('w#2', 2),
        { ...sampleEntry('w#2', 3, 'end'), reason: 'x'.repeat(500_000) } as JournalEntry,
      ]);
      expect((await answers(inputs, 2))[1]).toMatchObject({ kind: 'persist-failed', token: 2 });
      harness.fill(false);
      port.append(3, [sampleEntry('w#3', 4)]);
      expect((await answers(inputs, 3))[2]).toEqual({ kind: 'persisted', token: 3 });
      harness.crash();
      expect(
        harness
          .open()
          .restore()
          .journal.map((entry) => entry.run),
      ).toEqual(['w#1', 'w#3']);
    });

    test('checkpoint: the higher (term, sequence) stays, whatever comes later', () => {
      const { port } = harness.open();
      const checkpoint = (term: number, sequence: number) => ({
        duty: 4,
        term,
        sequence,
        takenAt: wallTime(5),
        data: new Uint8Array([term, sequence]),
      });
      for (const [term, sequence] of [
        [1, 5],
        [2, 1],
        [1, 9],
        [2, 3],
        [2, 2],
      ] as const) {
        port.saveCheckpoint(checkpoint(term, sequence));
      }
      harness.crash();
      const restored = harness.open().restore().checkpoints;
      expect(restored.map(({ term, sequence, data }) => [term, sequence, ...data])).toEqual([[2, 3, 2, 3]]);
    });

    test('leases: answered with their token, later than the call; after a crash their fold is there, of each cell', async () => {
      const { persistLeases, inputs } = harness.open();
      persistLeases(1, 'line-1', [founded, granted(1)]);
      persistLeases(2, 'line-2', [founded]);
      persistLeases(3, 'line-1', [granted(5)]);
      expect(inputs).toEqual([]);
      expect(await answers(inputs, 3)).toEqual([1, 2, 3].map((token) => ({ kind: 'leases-persisted', token })));
      harness.crash();
      const leases = harness.open().restore().leases;
      expect(leases?.isStoreWhole).toBe(true);
      expect([...(leases?.records ?? [])].map(([cell, { voter }]) => [cell, voter?.maxCounters])).toEqual([
        ['line-1', [5]],
        ['line-2', [0]],
      ]);
    });

    test('leases on a full disk: refused with the reason, and what was promised before stays', async () => {
      const first = harness.open();
      first.persistLeases(1, 'line-1', [founded, granted(1)]);
      await answers(first.inputs, 1);
      harness.fill(true);
      const long = 'x'.repeat(100_000);
      first.persistLeases(2, 'line-1', [granted(2), { ...founded, active: { ...founded.active, voters: [long] } }]);
      expect((await answers(first.inputs, 2)).at(-1)).toMatchObject({ kind: 'leases-persist-failed', token: 2 });
      harness.fill(false);
      expect(harness.open().restore().leases?.records.get('line-1')?.voter?.maxCounters).toEqual([1]);
    });

    test('incarnation never falls', () => {
      const { port } = harness.open();
      port.saveIncarnation(1, 5);
      port.saveIncarnation(1, 3);
      harness.crash();
      expect(harness.open().restore().incarnation).toBe(5);
    });

    test('local alarm: stands after a crash, with its first stamps; cleared ones do not', () => {
      const { port } = harness.open();
      port.setLocalAlarm(sampleAlarm());
      port.setLocalAlarm(sampleAlarm({ alarmId: 'oil-low.press-7', alarm: 4 }));
      port.setLocalAlarm(sampleAlarm({ alarmId: 'oil-low.press-7', alarm: 4, state: 'off' }));
      harness.crash();
      expect(harness.open().restore().alarms).toMatchObject([
        { alarmId: 'bearing-wear.press-7', occurrence: 'b1-1', term: 2, since: 20, firstSampleAt: 10 },
      ]);
    });
  });
}
