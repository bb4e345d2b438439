import type { DatabaseSync } from 'node:sqlite';
import { openDatabase } from './store/database.ts';

/** A maintenance that a person ordered, as the disk has it. Wall times, since it outlives this process. */
export interface KeptMaintenance {
  readonly thing: string;
  readonly since: number;
  readonly until: number;
  readonly by: string;
  readonly why: string;
  readonly order: string;
}

const migrations = [
  `CREATE TABLE maintenance (
     thing TEXT PRIMARY KEY, since REAL NOT NULL, until REAL NOT NULL, by TEXT NOT NULL, why TEXT NOT NULL,
     "order" TEXT NOT NULL
   ) STRICT, WITHOUT ROWID;`,
];

/**
 * Ordered maintenance over restarts of the agent: somebody who works on a machine must not have it started under their
 * hands because the box was. One row per thing.
 */
export class MaintenanceOrders {
  readonly #db: DatabaseSync;

  constructor(dataDir: string) {
    this.#db = openDatabase({ dir: dataDir, file: 'maintenance.db', migrations }).db;
  }

  /** Durable when it returns; throws when the disk refuses. */
  keep({ thing, since, until, by, why, order }: KeptMaintenance): void {
    this.#db
      .prepare('INSERT OR REPLACE INTO maintenance (thing, since, until, by, why, "order") VALUES (?, ?, ?, ?, ?, ?)')
      .run(thing, since, until, by, why, order);
  }

  forget(thing: string): void {
    this.#db.prepare('DELETE FROM maintenance WHERE thing = ?').run(thing);
  }

  /**
   * What still holds, each with what is left of it, milliseconds. Never more than was ordered, however far the clock was
   * set back meanwhile; what is over is forgotten.
   */
  standing(wall: number): readonly (KeptMaintenance & { readonly leftMs: number })[] {
    const rows = this.#db.prepare('SELECT * FROM maintenance').all() as unknown as KeptMaintenance[];
    return rows.flatMap((row) => {
      const leftMs = Math.min(row.until - wall, row.until - row.since);
      if (leftMs > 0) return [{ ...row, leftMs }];
      this.forget(row.thing);
      return [];
    });
  }

  close(): void {
    this.#db.close();
  }
}
