import type { Random } from '../../agent/base/random.ts';
import type { Checkpoint } from '../../agent/core/duties/duty.ts';
import type { LocalAlarm } from '../../agent/core/effect.ts';
import type { Restored } from '../../agent/core/input.ts';
import { type CellEntry, type CellRecord, foldCell } from '../../agent/core/leases/cell-record.ts';
import type { JournalEntry } from '../../agent/core/remediation/journal-entry.ts';
import type { Deliver, JournalPort } from '../../agent/driver/ports.ts';

/** Everything that a disk holds at one moment. */
export interface DiskImage {
  readonly journal: readonly JournalEntry[];
  readonly checkpoints: readonly Checkpoint[];
  readonly alarms: readonly LocalAlarm[];
  /** What it knows of the leases, by name of the cell. */
  readonly leases: ReadonlyMap<string, CellRecord>;
  readonly bootCounter: number;
  readonly incarnation: number;
}

const blank: DiskImage = {
  journal: [],
  checkpoints: [],
  alarms: [],
  leases: new Map(),
  bootCounter: 0,
  incarnation: 0,
};

/** As long as the real store looks back. */
const returnsWithinMs = 20 * 60_000;

/**
 * What of a box survives its crashes. Held to the same suite as the real store: the higher checkpoint stays, an
 * incarnation never falls, a cleared alarm is gone, an entry is there from the moment when it is called durable.
 *
 * And everything that disks do to people: full, failing, lying about what they have synced, rolled back, blank, and a
 * batch that was being written when the light went out: it is there as a whole or not at all, and nobody was told which.
 */
export class SimulatedDisk {
  readonly journal: JournalEntry[] = [];
  /** Refuses entries, as a full one does. */
  full = false;
  /** Every write fails (EIO), small ones, too. */
  failing = false;
  /** Share of batches on their way at a crash that reached the disk although nobody was told. */
  torn = 0;
  /** Counts lives, and what peers recalled of them. */
  bootCounter = 0;
  readonly #checkpoints = new Map<number, Checkpoint>();
  readonly #alarms = new Map<string, LocalAlarm>();
  /** Written into by the fold, so what is handed out is a copy. */
  #leases = new Map<string, CellRecord>();
  #incarnation = 0;
  /** Batches that a process has handed over and that are not durable yet. */
  readonly #underWay = new Set<readonly JournalEntry[]>();
  /** Since syncs are lost: what a power cut leaves. */
  #synced: DiskImage | undefined;

  #restarts: number[] = [];
  #returns: number | undefined;

  constructor(image: DiskImage = blank) {
    this.rollBack(image);
  }

  /** A life begins; what the real store remembers of the restarts before it. `at`: virtual milliseconds. */
  began(life: number, at: number): void {
    if (life === 1) return;
    this.#restarts = this.#restarts.filter((before) => at - before <= returnsWithinMs);
    this.#returns = this.#restarts.length;
    this.#restarts.push(at);
  }

  restore(): Restored {
    return {
      returns: this.#returns,
      incarnation: this.#incarnation,
      journal: [...this.journal],
      checkpoints: [...this.#checkpoints.values()],
      alarms: [...this.#alarms.values()],
      // A new disk looks like the first day; that it is not, the other voters know.
      leases: { records: structuredClone(this.#leases), isStoreWhole: true },
    };
  }

  /** What a voter promised, in the order of calls. Why not, where it does not. */
  persistLeases(cell: string, entries: readonly CellEntry[]): string | undefined {
    const reason = this.#refusal();
    if (reason !== undefined) return reason;
    for (const entry of entries) {
      const record = foldCell(this.#leases.get(cell), structuredClone(entry));
      if (record !== undefined) this.#leases.set(cell, record);
    }
    return undefined;
  }

  saveIncarnation(bootCounter: number, incarnation: number): void {
    if (this.failing) return;
    this.bootCounter = Math.max(this.bootCounter, bootCounter);
    this.#incarnation = Math.max(this.#incarnation, incarnation);
  }

  saveCheckpoint(checkpoint: Checkpoint): void {
    if (this.failing) return;
    const known = this.#checkpoints.get(checkpoint.duty);
    if (known !== undefined) {
      if (checkpoint.term < known.term) return;
      if (checkpoint.term === known.term && checkpoint.sequence <= known.sequence) return;
    }
    this.#checkpoints.set(checkpoint.duty, checkpoint);
  }

  setLocalAlarm(alarm: LocalAlarm): void {
    if (this.failing) return;
    if (alarm.state === 'off') this.#alarms.delete(alarm.alarmId);
    else this.#alarms.set(alarm.alarmId, alarm);
  }

  // What happens to disks

  image(): DiskImage {
    return {
      journal: [...this.journal],
      checkpoints: [...this.#checkpoints.values()],
      alarms: [...this.#alarms.values()],
      leases: structuredClone(this.#leases),
      bootCounter: this.bootCounter,
      incarnation: this.#incarnation,
    };
  }

  /** An older image is put back, or that of another box. The process that stands on it, if one does, knows more. */
  rollBack(image: DiskImage): void {
    this.journal.splice(0, this.journal.length, ...image.journal);
    this.#checkpoints.clear();
    for (const checkpoint of image.checkpoints) this.#checkpoints.set(checkpoint.duty, checkpoint);
    this.#alarms.clear();
    for (const alarm of image.alarms) this.#alarms.set(alarm.alarmId, alarm);
    this.#leases = new Map(structuredClone(image.leases));
    this.bootCounter = image.bootCounter;
    this.#incarnation = image.incarnation;
    this.#synced = undefined;
  }

  /** A new disk stands in the box. */
  wipe(): void {
    this.rollBack(blank);
  }

  /** From now on it says "durable" and keeps it in its cache; a power cut takes all that back. False ends it: synced. */
  loseSyncs(on: boolean): void {
    this.#synced = on ? (this.#synced ?? this.image()) : undefined;
  }

  begin(entries: readonly JournalEntry[]): void {
    this.#underWay.add(entries);
  }

  /** A batch becomes durable. Why not, where it does not. */
  commit(entries: readonly JournalEntry[]): string | undefined {
    this.#underWay.delete(entries);
    const reason = this.#refusal();
    if (reason === undefined) this.journal.push(...entries);
    return reason;
  }

  #refusal(): string | undefined {
    if (this.failing) return 'simulated: input/output error (EIO)';
    return this.full ? 'simulated: the disk is full' : undefined;
  }

  /** The process is gone, and with it the answers to what was under way; a power cut also takes what was never synced. */
  processEnded(random: Random, powerCut: boolean): void {
    for (const entries of this.#underWay) {
      if (this.torn > 0 && !this.full && !this.failing && random.chance(this.torn)) this.journal.push(...entries);
    }
    this.#underWay.clear();
    // The lie about the boot counter is kept, too: it was counted at start, and is lost like everything else.
    if (powerCut && this.#synced !== undefined) {
      const synced = this.#synced;
      this.rollBack(synced);
      this.#synced = synced;
    }
  }
}

/**
 * A process's way to its disk. `later` runs its argument when the disk has done its work, unless the process is dead by
 * then: entries that were still on their way are lost with it, or are there and nobody was told (`SimulatedDisk.torn`).
 */
export function simulatedJournal(
  disk: SimulatedDisk,
  edge: {
    readonly later: (act: () => void) => void;
    readonly deliver: Deliver;
    /** Told before the process hears of it. */
    readonly durable?: (entries: readonly JournalEntry[]) => void;
    readonly incarnationSaved?: (bootCounter: number, incarnation: number) => void;
  },
): JournalPort {
  return {
    append: (token, entries) => {
      disk.begin(entries);
      edge.later(() => {
        const reason = disk.commit(entries);
        if (reason !== undefined) {
          edge.deliver({ kind: 'persist-failed', token, reason });
          return;
        }
        edge.durable?.(entries);
        edge.deliver({ kind: 'persisted', token });
      });
    },
    saveIncarnation: (bootCounter, incarnation) => {
      edge.incarnationSaved?.(bootCounter, incarnation);
      disk.saveIncarnation(bootCounter, incarnation);
    },
    saveCheckpoint: (checkpoint) => disk.saveCheckpoint(checkpoint),
    setLocalAlarm: (alarm) => disk.setLocalAlarm(alarm),
  };
}
