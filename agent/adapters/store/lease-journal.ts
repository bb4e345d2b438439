import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { type CellEntry, type CellRecord, foldCell } from '../../core/leases/cell-record.ts';
import { transaction } from './database.ts';

/** Lines of a cell that are folded into one from time to time, so that a restless site does not fill the disk. */
const foldEvery = 256;

export const leaseMigration = `CREATE TABLE lease (
     n INTEGER PRIMARY KEY AUTOINCREMENT,
     cell TEXT NOT NULL,
     epoch INTEGER NOT NULL,
     part TEXT NOT NULL,
     entry TEXT NOT NULL
   ) STRICT;
   CREATE INDEX lease_cell ON lease (cell, n);`;

/**
 * What voters promised and how epochs go, line by line in the order in which it was said, by cell, epoch and part. All
 * but the newest lines of a cell are folded into one (`part` is `record`). Errors are thrown: the store makes them an
 * answer.
 */
export class LeaseJournal {
  readonly #db: DatabaseSync;
  readonly #insert: StatementSync;
  readonly #lines = new Map<string, number>();
  readonly #epochs = new Map<string, number>();

  constructor(db: DatabaseSync) {
    this.#db = db;
    this.#insert = db.prepare('INSERT INTO lease (cell, epoch, part, entry) VALUES (?, ?, ?, ?)');
  }

  /** By name of the cell. A line that cannot be read ends what is believed of its voter: it has lost its memory. */
  restore(): { readonly records: Map<string, CellRecord>; readonly unreadable: number } {
    const records = new Map<string, CellRecord>();
    const damaged = new Set<string>();
    let unreadable = 0;
    for (const row of this.#db.prepare('SELECT cell, part, entry FROM lease ORDER BY n').iterate()) {
      const cell = String(row['cell']);
      this.#lines.set(cell, (this.#lines.get(cell) ?? 0) + 1);
      const value = decode(row['entry']);
      const folded =
        value === undefined
          ? undefined
          : row['part'] === 'record'
            ? (value as CellRecord)
            : foldCell(records.get(cell), value as CellEntry);
      if (folded === undefined) {
        unreadable++;
        damaged.add(cell);
      } else records.set(cell, folded);
    }
    for (const cell of damaged) {
      const record = records.get(cell);
      if (record) record.voter = undefined;
    }
    for (const [cell, record] of records) this.#epochs.set(cell, record.active.epoch);
    return { records, unreadable };
  }

  /** Durable when it returns, all or nothing. */
  append(cell: string, entries: readonly CellEntry[]): void {
    transaction(this.#db, () => {
      for (const entry of entries) {
        if (entry.kind === 'founded') this.#epochs.set(cell, entry.active.epoch);
        else if (entry.kind === 'activated') this.#epochs.set(cell, entry.epoch.epoch);
        const part = entry.kind === 'voter' ? 'voter' : 'succession';
        this.#insert.run(cell, this.#epochs.get(cell) ?? 0, part, JSON.stringify(entry));
      }
    });
    this.#lines.set(cell, (this.#lines.get(cell) ?? 0) + entries.length);
  }

  /** Whether the lines of a cell should be folded soon. */
  isLong(cell: string): boolean {
    return (this.#lines.get(cell) ?? 0) >= foldEvery;
  }

  /** One line for all of a cell's. */
  fold(cell: string): void {
    transaction(this.#db, () => {
      let record: CellRecord | undefined;
      let last = 0;
      for (const row of this.#db.prepare('SELECT n, part, entry FROM lease WHERE cell = ? ORDER BY n').iterate(cell)) {
        const value = decode(row['entry']);
        // What cannot be read is left as it lies: it is judged at the next start.
        if (value === undefined) return;
        record = row['part'] === 'record' ? (value as CellRecord) : foldCell(record, value as CellEntry);
        last = Number(row['n']);
      }
      if (record === undefined) return;
      this.#insert.run(cell, record.active.epoch, 'record', JSON.stringify(record));
      this.#db.prepare('DELETE FROM lease WHERE cell = ? AND n <= ?').run(cell, last);
    });
    this.#lines.set(cell, 1);
  }
}

/** JSON writes `undefined` in a list as `null`; nothing of ours is null. */
function decode(text: unknown): object | undefined {
  if (typeof text !== 'string') return undefined;
  try {
    const value: unknown = JSON.parse(text, (_key, inner: unknown) =>
      Array.isArray(inner) ? inner.map((item: unknown) => item ?? undefined) : inner,
    );
    return typeof value === 'object' && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}
