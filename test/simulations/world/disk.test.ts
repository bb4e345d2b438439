import { expect, test } from 'vitest';
import { bootId } from '../../../agent/base/ids.ts';
import { Random } from '../../../agent/base/random.ts';
import { instant, wallTime } from '../../../agent/base/time.ts';
import type { Input } from '../../../agent/core/input.ts';
import type { JournalEntry, RunId } from '../../../agent/core/remediation/journal-entry.ts';
import { SimulatedDisk, simulatedJournal } from '../../../simulations/world/disk.ts';

const boot = bootId('00112233445566778899aabbccddeeff');
const entry = (at: number): JournalEntry => ({
  v: 1,
  kind: 'heartbeat',
  run: '01JD0000000000000000000000' as RunId,
  boot,
  at: instant(at),
  wall: wallTime(at),
});

/** A process on a disk: what it writes takes until `settle`. */
function processOn(disk: SimulatedDisk) {
  const inputs: Input[] = [];
  let pending: (() => void)[] = [];
  const port = simulatedJournal(disk, { later: (act) => pending.push(act), deliver: (input) => inputs.push(input) });
  return {
    port,
    inputs,
    settle: () => {
      const due = pending;
      pending = [];
      for (const act of due) act();
    },
    die: (powerCut: boolean) => {
      pending = [];
      disk.processEnded(new Random(1), powerCut);
    },
  };
}

test('disk: a batch under way at a crash → gone as a whole, or there as a whole with nobody told', () => {
  for (const torn of [0, 1]) {
    const disk = new SimulatedDisk();
    disk.torn = torn;
    const process = processOn(disk);
    process.port.append(1, [entry(1), entry(2)]);
    process.settle();
    process.port.append(2, [entry(3), entry(4)]);
    process.die(true);
    expect(process.inputs).toEqual([{ kind: 'persisted', token: 1 }]);
    expect(disk.journal.length).toBe(torn === 1 ? 4 : 2);
  }
});

test('disk: syncs are lost → a power cut takes back all since, a mere kill nothing; once they work again nothing is taken', () => {
  const disk = new SimulatedDisk();
  disk.saveIncarnation(3, 1);
  const process = processOn(disk);
  disk.loseSyncs(true);
  process.port.append(1, [entry(1)]);
  process.port.saveIncarnation(3, 9);
  process.settle();
  expect(process.inputs).toEqual([{ kind: 'persisted', token: 1 }]);
  process.die(false);
  expect(disk.restore()).toMatchObject({ incarnation: 9, journal: [{ at: 1 }] });
  disk.bootCounter++;
  process.die(true);
  expect(disk.restore()).toMatchObject({ incarnation: 1, journal: [] });
  expect(disk.bootCounter).toBe(3);
  process.port.append(2, [entry(2)]);
  process.settle();
  disk.loseSyncs(false);
  process.die(true);
  expect(disk.restore().journal.length).toBe(1);
});

const fills = (disk: SimulatedDisk): void => {
  disk.full = true;
};
const fails = (disk: SimulatedDisk): void => {
  disk.failing = true;
};

test.each([
  ['full', fills, 'full', 7],
  ['failing', fails, 'EIO', 0],
] as const)(
  'disk: %s → entries are refused with the reason; what is small passes a full one alone',
  (_, breaks, reason, incarnation) => {
    const disk = new SimulatedDisk();
    const process = processOn(disk);
    breaks(disk);
    process.port.append(1, [entry(1)]);
    process.port.saveIncarnation(1, 7);
    process.settle();
    expect(process.inputs).toEqual([
      { kind: 'persist-failed', token: 1, reason: expect.stringContaining(reason) as string },
    ]);
    expect(disk.restore()).toMatchObject({ journal: [], incarnation });
  },
);

test('disk: rolled back, wiped, cloned → exactly the image, and the image is nobody else’s', () => {
  const disk = new SimulatedDisk();
  const process = processOn(disk);
  disk.saveIncarnation(2, 5);
  process.port.append(1, [entry(1)]);
  process.settle();
  const image = disk.image();
  disk.saveIncarnation(4, 8);
  process.port.append(2, [entry(2)]);
  process.settle();
  const clone = new SimulatedDisk(image);
  clone.saveIncarnation(9, 9);
  expect(disk.restore()).toMatchObject({ incarnation: 8 });
  disk.rollBack(image);
  expect([disk.bootCounter, disk.restore().incarnation, disk.journal.length]).toEqual([2, 5, 1]);
  disk.wipe();
  expect([disk.bootCounter, disk.restore().incarnation, disk.journal.length]).toEqual([0, 0, 0]);
  expect(image.journal.length).toBe(1);
});
