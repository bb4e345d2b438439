import type { DatabaseSync, StatementSync } from 'node:sqlite';
import type { GateFloor } from '../../core/leases/effect-gate.ts';
import { type FencingToken, maxCounter, maxEpoch, tokenHex } from '../../core/leases/fencing-token.ts';
import { sessionId } from '../../core/leases/session.ts';
import { type Misfortune, openDatabase, transaction } from '../store/database.ts';

/** What the gate must not forget of one lease at one resource. */
export interface StoredFloor extends GateFloor {
  /** Of the last effect under this token that was numbered; 0: none was. */
  readonly sequence: number;
  /** Which effect that was, by its idempotency key; empty: none was named. */
  readonly key: string;
}

const migrations = [
  `CREATE TABLE floor (
     resource TEXT NOT NULL,
     lease TEXT NOT NULL,
     token TEXT NOT NULL,
     session TEXT NOT NULL,
     sequence INTEGER NOT NULL,
     key TEXT NOT NULL,
     PRIMARY KEY (resource, lease)
   ) STRICT, WITHOUT ROWID;
   CREATE TABLE raised (lease TEXT PRIMARY KEY, token TEXT NOT NULL) STRICT, WITHOUT ROWID;
   CREATE TABLE lost (n INTEGER PRIMARY KEY CHECK (n = 0), reason TEXT NOT NULL) STRICT;`,
];

/** A site has some hundreds; a caller that makes names up must not fill the disk. */
export const maxFloors = 4_096;

/**
 * The floors on disk: SQLite, WAL, `synchronous = FULL`, so that a committed floor outlives the loss of power. Several
 * processes of a box may hold one file: every judgement is one transaction on what stands there, never on a copy in
 * memory. Errors are thrown (full disk, EIO, a lock that is not given up within 2 s): the gateway makes them a refusal.
 */
export class GateStore {
  readonly #db: DatabaseSync;
  readonly #find: StatementSync;
  readonly #put: StatementSync;
  readonly #raised: StatementSync;
  readonly #raise: StatementSync;
  readonly #count: StatementSync;
  readonly misfortune: Misfortune | undefined;
  /** Why floors that were once here may be missing; undefined: nothing is known to be missing. Kept over restarts. */
  readonly lost: string | undefined;

  constructor(dir: string, file = 'gateway.db') {
    const { db, misfortune } = openDatabase({ dir, file, migrations });
    this.#db = db;
    this.misfortune = misfortune;
    if (misfortune !== undefined) {
      db.prepare('INSERT OR REPLACE INTO lost (n, reason) VALUES (0, ?)').run(misfortune.reason);
    }
    const row = db.prepare('SELECT reason FROM lost').get();
    this.lost = row === undefined ? undefined : String(row['reason']);
    this.#find = db.prepare('SELECT token, session, sequence, key FROM floor WHERE resource = ? AND lease = ?');
    this.#put = db.prepare(
      'INSERT OR REPLACE INTO floor (resource, lease, token, session, sequence, key) VALUES (?, ?, ?, ?, ?, ?)',
    );
    this.#raised = db.prepare('SELECT token FROM raised WHERE lease = ?');
    this.#raise = db.prepare('INSERT OR REPLACE INTO raised (lease, token) VALUES (?, ?)');
    this.#count = db.prepare('SELECT (SELECT count(*) FROM floor) + (SELECT count(*) FROM raised) AS n');
  }

  /** Whether what is written here can outlive this process at all. */
  get durable(): boolean {
    return this.misfortune?.kind !== 'not-opened';
  }

  find(resource: string, lease: string): StoredFloor | undefined {
    const row = this.#find.get(resource, lease);
    if (row === undefined) return undefined;
    return {
      token: readToken(row['token']),
      session: sessionId(String(row['session'])),
      sequence: Number(row['sequence']),
      key: String(row['key']),
    };
  }

  /** The largest token that a majority of voters was known to know, for all resources of the lease. */
  raised(lease: string): FencingToken | undefined {
    const row = this.#raised.get(lease);
    return row === undefined ? undefined : readToken(row['token']);
  }

  /** False: there are too many already, and this would be one more. */
  put(resource: string, lease: string, floor: StoredFloor): boolean {
    if (this.find(resource, lease) === undefined && this.#isFull()) return false;
    this.#put.run(resource, lease, tokenHex(floor.token), floor.session, floor.sequence, floor.key);
    return true;
  }

  /** As `put`. */
  putRaised(lease: string, token: FencingToken): boolean {
    if (this.raised(lease) === undefined && this.#isFull()) return false;
    this.#raise.run(lease, tokenHex(token));
    return true;
  }

  /** Durable when it returns, all or nothing. No other process writes between what `body` reads and what it writes. */
  exclusively<T>(body: () => T): T {
    return transaction(this.#db, body);
  }

  close(): void {
    this.#db.close();
  }

  #isFull(): boolean {
    return Number(this.#count.get()?.['n'] ?? 0) >= maxFloors;
  }
}

/** A line that cannot be read stands for the largest token of all: doubt refuses. */
function readToken(text: unknown): FencingToken {
  if (typeof text !== 'string' || !/^[0-9a-f]{16}$/.test(text)) return { epoch: maxEpoch, counter: maxCounter };
  return { epoch: Number.parseInt(text.slice(0, 4), 16), counter: Number.parseInt(text.slice(4), 16) };
}
