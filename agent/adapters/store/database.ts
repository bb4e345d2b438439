import { existsSync, mkdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

/** What happened to a database while it was opened, for the event that people read. */
export type Misfortune =
  | {
      readonly kind: 'moved-aside';
      readonly file: string;
      /** Where the damaged file lies now, for whoever wants to look into it. */
      readonly movedTo: string;
      readonly reason: string;
    }
  /** No file could be had (full disk, no right to write): what stands in its place forgets everything at the end. */
  | { readonly kind: 'not-opened'; readonly file: string; readonly reason: string };

export interface OpenedDatabase {
  readonly db: DatabaseSync;
  readonly misfortune: Misfortune | undefined;
}

export interface DatabaseOptions {
  readonly dir: string;
  /** File name, e.g. `agent.db`. */
  readonly file: string;
  /**
   * One script per schema version, oldest first; the file's `user_version` says how many it has seen. Scripts that a
   * release has shipped are never changed.
   */
  readonly migrations: readonly string[];
}

/**
 * Opens a SQLite file in WAL mode with `synchronous = FULL`: a committed transaction survives the loss of power (the
 * default NORMAL may lose the last ones, and an intent that is lost after its effect is how work runs twice).
 *
 * A damaged file, or one of a newer release, is moved aside and a new one begun: an agent without memory still watches
 * and reports, an agent that exits does neither. For the same reason a disk that lets nothing be opened gives a database
 * in memory, with a misfortune that says so: its owner must then promise nothing durable. Throws only when the folder
 * cannot be made.
 */
export function openDatabase({ dir, file, migrations }: DatabaseOptions): OpenedDatabase {
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const path = join(dir, file);
  try {
    return { db: open(path, migrations), misfortune: undefined };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    if (!existsSync(path) || !isDamage(error)) {
      return { db: open(':memory:', migrations), misfortune: { kind: 'not-opened', file: path, reason } };
    }
    const movedTo = aside(path);
    for (const suffix of ['', '-wal', '-shm']) {
      if (existsSync(path + suffix)) renameSync(path + suffix, movedTo + suffix);
    }
    return { db: open(path, migrations), misfortune: { kind: 'moved-aside', file: path, movedTo, reason } };
  }
}

/** At most this many damaged files are kept: a disk that damages one a day must not fill up with them. */
const keepDamaged = 3;

/** The first free name; when all are taken, the last one is overwritten. */
function aside(path: string): string {
  for (let n = 1; n < keepDamaged; n++) {
    const name = `${path}.damaged-${n}`;
    if (!existsSync(name)) return name;
  }
  return `${path}.damaged-${keepDamaged}`;
}

class ForeignSchema extends Error {
  override name = 'ForeignSchema';
}

/** SQLite would keep 2 MB of pages of each file; what is read again here are a few indexes, and the system has the rest. */
export const smallCache = 'PRAGMA cache_size = -512';

function open(path: string, migrations: readonly string[]): DatabaseSync {
  const db = new DatabaseSync(path);
  try {
    // Another process may hold the file for a moment (a look with the sqlite3 shell); an agent's step may not hang long.
    db.exec('PRAGMA busy_timeout = 2000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;');
    // A WAL that only grows would fill the disk of a box that is never restarted.
    db.exec('PRAGMA wal_autocheckpoint = 256; PRAGMA journal_size_limit = 1048576;');
    db.exec(smallCache);
    const check = db.prepare('PRAGMA quick_check(1)').get();
    const verdict = check === undefined ? 'no answer' : String(Object.values(check)[0]);
    if (verdict !== 'ok') throw new ForeignSchema(`quick_check: ${verdict}`);
    migrate(db, migrations);
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
}

function migrate(db: DatabaseSync, migrations: readonly string[]): void {
  const version = Number(db.prepare('PRAGMA user_version').get()?.['user_version'] ?? 0);
  if (version > migrations.length) {
    throw new ForeignSchema(`schema version ${version} is of a newer release; this one knows ${migrations.length}`);
  }
  for (let next = version; next < migrations.length; next++) {
    transaction(db, () => {
      db.exec(migrations[next] ?? '');
      db.exec(`PRAGMA user_version = ${next + 1}`);
    });
  }
}

/** All or nothing. What `body` throws is thrown on, after the rollback. */
export function transaction<T>(db: DatabaseSync, body: () => T): T {
  db.exec('BEGIN IMMEDIATE');
  try {
    const value = body();
    db.exec('COMMIT');
    return value;
  } catch (error) {
    // A failed COMMIT (full disk) may have rolled back by itself; then this ROLLBACK has nothing to do and says so.
    if (db.isTransaction) db.exec('ROLLBACK');
    throw error;
  }
}

/**
 * One write that survives the death of the process, and not always the loss of power: it is in the file, but the disk is
 * not made to flush it. For progress that may be repeated a little, since a flush costs more than all the rest of it.
 */
export function relaxed<T>(db: DatabaseSync, body: () => T): T {
  db.exec('PRAGMA synchronous = NORMAL');
  try {
    return body();
  } finally {
    db.exec('PRAGMA synchronous = FULL');
  }
}

/** SQLite's own primary codes for "this file is not what it should be": CORRUPT 11, NOTADB 26, SCHEMA 17. */
function isDamage(error: unknown): boolean {
  if (error instanceof ForeignSchema) return true;
  if (!(error instanceof Error)) return false;
  const code = 'errcode' in error ? Number(error.errcode) & 0xff : undefined;
  // ERROR 1 during the migration: tables of that name with another shape, so a foreign file.
  return code === 11 || code === 26 || code === 17 || code === 1;
}
