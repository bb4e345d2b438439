import type { Checkpoint } from '../../agent/core/duties/duty.ts';
import type { LocalAlarm } from '../../agent/core/effect.ts';
import type { Restored } from '../../agent/core/input.ts';
import type { JournalEntry } from '../../agent/core/remediation/journal-entry.ts';
import type { Deliver, JournalPort } from '../../agent/driver/ports.ts';

/**
 * What of a box survives its crashes. Held to the same suite as the real store: the higher checkpoint stays, an
 * incarnation never falls, a cleared alarm is gone, an entry is there from the moment when it is called durable.
 */
export class SimulatedDisk {
  readonly journal: JournalEntry[] = [];
  /** Refuses entries, as a full one does. */
  full = false;
  readonly #checkpoints = new Map<number, Checkpoint>();
  readonly #alarms = new Map<string, LocalAlarm>();
  /** Counts lives, and what peers recalled of them. */
  bootCounter = 0;
  #incarnation = 0;

  restore(): Restored {
    return {
      incarnation: this.#incarnation,
      journal: [...this.journal],
      checkpoints: [...this.#checkpoints.values()],
      alarms: [...this.#alarms.values()],
    };
  }

  saveIncarnation(bootCounter: number, incarnation: number): void {
    this.bootCounter = Math.max(this.bootCounter, bootCounter);
    this.#incarnation = Math.max(this.#incarnation, incarnation);
  }

  saveCheckpoint(checkpoint: Checkpoint): void {
    const known = this.#checkpoints.get(checkpoint.duty);
    if (known !== undefined) {
      if (checkpoint.term < known.term) return;
      if (checkpoint.term === known.term && checkpoint.sequence <= known.sequence) return;
    }
    this.#checkpoints.set(checkpoint.duty, checkpoint);
  }

  setLocalAlarm(alarm: LocalAlarm): void {
    if (alarm.state === 'off') this.#alarms.delete(alarm.alarmId);
    else this.#alarms.set(alarm.alarmId, alarm);
  }
}

/**
 * A process's way to its disk. `later` runs its argument when the disk has done its work, unless the process is dead by
 * then: entries that were still on their way are lost with it.
 */
export function simulatedJournal(
  disk: SimulatedDisk,
  edge: {
    readonly later: (act: () => void) => void;
    readonly deliver: Deliver;
    /** Told before the process hears of it. */
    readonly durable?: (entries: readonly JournalEntry[]) => void;
    readonly incarnationSaved?: (incarnation: number) => void;
  },
): JournalPort {
  return {
    append: (token, entries) =>
      edge.later(() => {
        if (disk.full) {
          edge.deliver({ kind: 'persist-failed', token, reason: 'simulated: the disk is full' });
          return;
        }
        disk.journal.push(...entries);
        edge.durable?.(entries);
        edge.deliver({ kind: 'persisted', token });
      }),
    saveIncarnation: (bootCounter, incarnation) => {
      edge.incarnationSaved?.(incarnation);
      disk.saveIncarnation(bootCounter, incarnation);
    },
    saveCheckpoint: (checkpoint) => disk.saveCheckpoint(checkpoint),
    setLocalAlarm: (alarm) => disk.setLocalAlarm(alarm),
  };
}
