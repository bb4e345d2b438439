import { statSync } from 'node:fs';
import { join } from 'node:path';
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { type BootId, bootId } from '../../base/ids.ts';
import { instant, wallTime } from '../../base/time.ts';
import type { Checkpoint } from '../../core/duties/duty.ts';
import type { LocalAlarm } from '../../core/effect.ts';
import type { Restored } from '../../core/input.ts';
import type { CellEntry } from '../../core/leases/cell-record.ts';
import type { JournalEntry } from '../../core/remediation/journal-entry.ts';
import type { Deliver, JournalPort } from '../../driver/ports.ts';
import { type Misfortune, openDatabase, relaxed, transaction } from './database.ts';
import { LeaseJournal, leaseMigration } from './lease-journal.ts';

const migrations = [
  `CREATE TABLE life (id INTEGER PRIMARY KEY CHECK (id = 1), boot_counter INTEGER NOT NULL, incarnation INTEGER NOT NULL) STRICT;
   INSERT INTO life VALUES (1, 0, 0);
   CREATE TABLE journal (
     n INTEGER PRIMARY KEY AUTOINCREMENT,
     run TEXT NOT NULL,
     kind TEXT NOT NULL,
     boot TEXT NOT NULL,
     at REAL NOT NULL,
     wall REAL NOT NULL,
     entry TEXT NOT NULL
   ) STRICT;
   CREATE INDEX journal_run ON journal (run, kind);
   CREATE INDEX journal_kind ON journal (kind, n);
   CREATE TABLE checkpoint (
     duty TEXT PRIMARY KEY,
     term INTEGER NOT NULL,
     sequence INTEGER NOT NULL,
     taken_at REAL NOT NULL,
     data BLOB NOT NULL
   ) STRICT;
   CREATE TABLE alarm (
     alarm_id TEXT PRIMARY KEY,
     alarm INTEGER NOT NULL,
     state TEXT NOT NULL,
     occurrence TEXT NOT NULL,
     term INTEGER NOT NULL,
     first_sample_at REAL NOT NULL,
     since REAL NOT NULL,
     evidence TEXT NOT NULL
   ) STRICT;`,
  // When the later lives began.
  'CREATE TABLE start (at REAL NOT NULL) STRICT;',
  leaseMigration,
] as const;

export interface StoreOptions {
  /** The agent's data folder; `agent.db` lies in it. */
  readonly dir: string;
  /** Where completions go, never within the call that they answer. */
  readonly deliver: Deliver;
  /** Told of a damaged file, and of trouble that no completion carries (checkpoint, alarm row): once until it ends. */
  readonly log?: { warn(fields: object, message: string): void };
  /**
   * Names of the plan's duties by index. Checkpoints are kept by name, so that a changed site file cannot bind one to
   * another's work; those of duties that are gone stay, unread. Default: the index itself, for tests.
   */
  readonly duties?: readonly string[];
  /** Ended runs that are kept of each workflow, newest first; open ones are always kept. Their entries carry the brakes. */
  readonly keepRuns?: number;
  /** Wall clock, milliseconds since the Unix epoch. */
  readonly wall?: () => number;
  /** Runs a completion later than the call; an immediate by default. */
  readonly defer?: (run: () => void) => void;
  /** Upper bound of the file in pages of 4 KiB; undefined leaves it to the disk. For tests. */
  readonly maxPages?: number;
}

/** How the memory does, for the status page and the doctor. */
export interface StoreState {
  /** What happened to the file when it was opened; to be told as an event. */
  readonly misfortune: Misfortune | undefined;
  /** Why the last write failed; undefined when it did not. */
  readonly trouble: string | undefined;
  readonly written: number;
  readonly failed: number;
  /** Rows that could not be read. */
  readonly skipped: number;
  readonly pruned: number;
}

export interface Store extends JournalPort {
  /** Raises and returns the durable count of this agent's lives. Once per start. */
  nextBootCounter(): number;
  restore(): Restored;
  /** Durable, all or nothing, in order; answered by `leases-persisted` or `leases-persist-failed`. */
  persistLeases(token: number, cell: string, entries: readonly CellEntry[]): void;
  /** Local alarms that stand, for the API. */
  alarms(): readonly LocalAlarm[];
  state(): StoreState;
  close(): void;
}

const pruneEvery = 256;
/** Lives whose bounds the journal remembers: proven time older than that counts for no brake. */
const keepBoots = 64;

/**
 * The agent's memory: journal of repairs, checkpoints, incarnation, standing alarms; one file, every write its own
 * transaction, durable when the completion comes. Progress of a duty has no completion: it survives the process at once,
 * and the loss of power from the next durable write on.
 *
 * A full or failing disk is a state, not an exit: the write is answered by `persist-failed`, and nothing that depends
 * on it happens. Rows that cannot be read (another release, a flipped bit) are skipped and counted.
 */
export function openStore(options: StoreOptions): Store {
  const { db, misfortune } = openDatabase({ dir: options.dir, file: 'agent.db', migrations });
  if (misfortune !== undefined) options.log?.warn(misfortune, misfortunes[misfortune.kind]);
  if (options.maxPages !== undefined) db.exec(`PRAGMA max_page_count = ${options.maxPages}`);
  return new SqliteStore(db, misfortune, options);
}

const misfortunes: Readonly<Record<Misfortune['kind'], string>> = {
  'moved-aside': "the agent's memory was damaged: moved aside, begun anew",
  'not-opened': 'the agent has no durable memory: it watches and reports, and repairs nothing until it is started anew',
};

/** A life that began longer ago than this says nothing of how restless a box is. */
const returnsWithinMs = 20 * 60_000;

/** Start of the minutes that a fresh file's boot counter begins with. */
const epoch = Date.UTC(2020, 0, 1);

class SqliteStore implements Store {
  readonly #misfortune: Misfortune | undefined;
  readonly #counters = { written: 0, failed: 0, skipped: 0, pruned: 0 };
  readonly #db: DatabaseSync;
  readonly #keepRuns: number;
  readonly #duties: readonly string[] | undefined;
  readonly #defer: (run: () => void) => void;
  readonly #wall: () => number;
  readonly #deliver: Deliver;
  readonly #log: StoreOptions['log'];
  readonly #troubled = new Set<string>();
  readonly #alarms = new Map<string, LocalAlarm>();
  readonly #append: StatementSync;
  readonly #saveIncarnation: StatementSync;
  readonly #saveCheckpoint: StatementSync;
  readonly #setAlarm: StatementSync;
  readonly #dropAlarm: StatementSync;
  readonly #leases: LeaseJournal;
  readonly #file: string;
  /** Which file on the disk is ours; undefined when there is none. */
  readonly #inode: number | undefined;
  #trouble: string | undefined;
  #sincePrune = 0;
  #closed = false;
  /** Later lives of this store that began shortly before this one; undefined in the first. */
  #returns: number | undefined;

  constructor(db: DatabaseSync, misfortune: Misfortune | undefined, options: StoreOptions) {
    this.#db = db;
    this.#misfortune = misfortune;
    this.#file = join(options.dir, 'agent.db');
    this.#inode = misfortune?.kind === 'not-opened' ? undefined : inodeOf(this.#file);
    this.#keepRuns = options.keepRuns ?? 200;
    this.#duties = options.duties;
    this.#defer = options.defer ?? ((run) => void setImmediate(run));
    this.#wall = options.wall ?? (() => Date.now());
    this.#deliver = options.deliver;
    this.#log = options.log;
    this.#append = db.prepare('INSERT INTO journal (run, kind, boot, at, wall, entry) VALUES (?, ?, ?, ?, ?, ?)');
    this.#saveIncarnation = db.prepare(
      'UPDATE life SET boot_counter = max(boot_counter, ?), incarnation = max(incarnation, ?)',
    );
    // A late checkpoint of a former holder never overwrites its successor's.
    this.#saveCheckpoint = db.prepare(
      `INSERT INTO checkpoint (duty, term, sequence, taken_at, data) VALUES (?, ?, ?, ?, ?)
       ON CONFLICT (duty) DO UPDATE
       SET term = excluded.term, sequence = excluded.sequence, taken_at = excluded.taken_at, data = excluded.data
       WHERE (excluded.term, excluded.sequence) > (checkpoint.term, checkpoint.sequence)`,
    );
    this.#setAlarm = db.prepare(
      `INSERT INTO alarm (alarm_id, alarm, state, occurrence, term, first_sample_at, since, evidence)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT (alarm_id) DO UPDATE
       SET alarm = excluded.alarm, state = excluded.state, occurrence = excluded.occurrence, term = excluded.term,
           first_sample_at = excluded.first_sample_at, since = excluded.since, evidence = excluded.evidence`,
    );
    this.#dropAlarm = db.prepare('DELETE FROM alarm WHERE alarm_id = ?');
    this.#leases = new LeaseJournal(db);
    this.#loadAlarms();
  }

  nextBootCounter(): number {
    const stored = Number(this.#db.prepare('SELECT boot_counter FROM life').get()?.['boot_counter'] ?? 0);
    // Peers believe the highest counter they have heard. A box that lost its disk starts from the minutes since 2020,
    // which is more than it can have counted, so that it is not taken for its own past.
    const fresh = Math.max(1, Math.floor((this.#wall() - epoch) / 60_000));
    const next = stored === 0 ? fresh : stored + 1;
    const now = this.#wall();
    const lately = this.#db.prepare('SELECT count(*) AS n FROM start WHERE at BETWEEN ? AND ?');
    if (stored !== 0) this.#returns = Number(lately.get(now - returnsWithinMs, now)?.['n'] ?? 0);
    const reason = this.#write(() =>
      transaction(this.#db, () => {
        this.#db.prepare('UPDATE life SET boot_counter = ?').run(next);
        // One of the future was written by a clock that was wrong.
        this.#db.prepare('DELETE FROM start WHERE at NOT BETWEEN ? AND ?').run(now - returnsWithinMs, now);
        if (stored !== 0) this.#db.prepare('INSERT INTO start VALUES (?)').run(now);
      }),
    );
    // Not written down: the next life will count from the same number, so this one takes another way past it.
    return reason === undefined ? next : Math.max(next, fresh);
  }

  restore(): Restored {
    this.#quietly('pruning', () => this.#prune());
    const journal: JournalEntry[] = [];
    for (const row of this.#db.prepare('SELECT entry FROM journal ORDER BY n').iterate()) {
      const entry = decode(row['entry']);
      if (entry === undefined) this.#counters.skipped++;
      else journal.push(entry);
    }
    const checkpoints: Checkpoint[] = this.#db
      .prepare('SELECT duty, term, sequence, taken_at, data FROM checkpoint ORDER BY duty')
      .all()
      .flatMap((row) => {
        const duty = this.#duties?.indexOf(String(row['duty'])) ?? Number(row['duty']);
        if (duty < 0) return [];
        return [
          {
            duty,
            term: Number(row['term']),
            sequence: Number(row['sequence']),
            takenAt: wallTime(Number(row['taken_at'])),
            data: row['data'] instanceof Uint8Array ? row['data'] : new Uint8Array(),
          },
        ];
      });
    const life = this.#db.prepare('SELECT incarnation FROM life').get();
    const incarnation = Number(life?.['incarnation'] ?? 0);
    const { records, unreadable } = this.#leases.restore();
    this.#counters.skipped += unreadable;
    const leases = { records, isStoreWhole: this.#misfortune === undefined };
    return { incarnation, journal, checkpoints, alarms: this.alarms(), returns: this.#returns, leases };
  }

  alarms(): readonly LocalAlarm[] {
    return [...this.#alarms.values()].sort((a, b) => a.alarm - b.alarm);
  }

  state(): StoreState {
    // Asked now, since a box that has nothing to write would never learn of it.
    return { misfortune: this.#misfortune, trouble: this.#removal() ?? this.#trouble, ...this.#counters };
  }

  append(token: number, entries: readonly JournalEntry[]): void {
    const reason = this.#write(() => transaction(this.#db, () => this.#appendAll(entries)));
    this.#defer(() => {
      if (this.#closed) return;
      if (reason === undefined) this.#deliver({ kind: 'persisted', token });
      else this.#deliver({ kind: 'persist-failed', token, reason });
    });
    if (reason !== undefined) return;
    this.#sincePrune += entries.length;
    if (this.#sincePrune < pruneEvery) return;
    this.#sincePrune = 0;
    this.#quietly('pruning', () => this.#prune());
  }

  persistLeases(token: number, cell: string, entries: readonly CellEntry[]): void {
    const reason = this.#write(() => this.#leases.append(cell, entries));
    this.#defer(() => {
      if (this.#closed) return;
      if (reason === undefined) this.#deliver({ kind: 'leases-persisted', token });
      else this.#deliver({ kind: 'leases-persist-failed', token, reason });
    });
    if (reason === undefined && this.#leases.isLong(cell)) this.#quietly('leases', () => this.#leases.fold(cell));
  }

  saveIncarnation(bootCounter: number, incarnation: number): void {
    this.#quietly('incarnation', () => this.#saveIncarnation.run(bootCounter, incarnation));
  }

  saveCheckpoint({ duty, term, sequence, takenAt, data }: Checkpoint): void {
    const save = () => this.#saveCheckpoint.run(this.#duties?.[duty] ?? String(duty), term, sequence, takenAt, data);
    // A new term must be durable before anything is done under it. Progress within one may lose its last moments with the
    // power, as it loses them with the box: the successor's replica is no younger.
    this.#quietly('checkpoint', () => (sequence === 0 ? save() : relaxed(this.#db, save)));
  }

  setLocalAlarm(alarm: LocalAlarm): void {
    // Shown even when the disk refuses: the light must be right now; the row is for the next life.
    if (alarm.state === 'off') this.#alarms.delete(alarm.alarmId);
    else this.#alarms.set(alarm.alarmId, alarm);
    this.#quietly('alarm', () => {
      if (alarm.state === 'off') {
        this.#dropAlarm.run(alarm.alarmId);
        return;
      }
      this.#setAlarm.run(
        alarm.alarmId,
        alarm.alarm,
        alarm.state,
        alarm.occurrence,
        alarm.term,
        alarm.firstSampleAt,
        alarm.since,
        alarm.evidence,
      );
    });
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#db.close();
  }

  /** Why it was not written; undefined when it is durable. */
  #write(body: () => void): string | undefined {
    try {
      if (this.#closed) throw new Error('the store is closed');
      if (this.#misfortune?.kind === 'not-opened') throw new Error(`no durable memory: ${this.#misfortune.reason}`);
      const removal = this.#removal();
      if (removal !== undefined) throw new Error(removal);
      body();
      this.#counters.written++;
      this.#trouble = undefined;
      return undefined;
    } catch (error) {
      this.#counters.failed++;
      this.#trouble = error instanceof Error ? error.message : String(error);
      return this.#trouble;
    }
  }

  /**
   * Whether somebody deleted the file under us (a folder cleaned up, a disk swapped). SQLite goes on writing to what has
   * no name any more, and says that it is durable: nothing of it would be there in the next life.
   */
  #removal(): string | undefined {
    if (this.#closed || this.#inode === undefined || inodeOf(this.#file) === this.#inode) return undefined;
    return `${this.#file} was removed or replaced while the agent runs: start the agent anew`;
  }

  #quietly(what: string, body: () => void): void {
    const reason = this.#write(body);
    if (reason === undefined) {
      this.#troubled.delete(what);
      return;
    }
    if (this.#troubled.has(what) || this.#closed) return;
    this.#troubled.add(what);
    this.#log?.warn({ what, reason }, "the agent's memory refuses to write");
  }

  #loadAlarms(): void {
    for (const row of this.#db.prepare('SELECT * FROM alarm').iterate()) {
      const alarmId = String(row['alarm_id']);
      this.#alarms.set(alarmId, {
        alarm: Number(row['alarm']),
        alarmId,
        state: 'on',
        occurrence: String(row['occurrence']),
        term: Number(row['term']),
        firstSampleAt: wallTime(Number(row['first_sample_at'])),
        since: wallTime(Number(row['since'])),
        evidence: String(row['evidence']),
      });
    }
  }

  #appendAll(entries: readonly JournalEntry[]): void {
    for (const entry of entries) {
      this.#append.run(entry.run, entry.kind, entry.boot, entry.at, entry.wall, JSON.stringify(entry));
    }
  }

  /**
   * Bounds the journal. Whole ended runs go, the oldest of each workflow first, never an open one: they carry budgets,
   * levels and what was handed to a person, which no busier workflow may push out. Of the heartbeats only the first and the
   * last entry of each life matter, since they are what proves its length.
   */
  #prune(): void {
    transaction(this.#db, () => {
      const runs = this.#db
        .prepare(
          `DELETE FROM journal WHERE run IN (
             SELECT run FROM (
               SELECT run, row_number() OVER (PARTITION BY substr(run, 1, instr(run, '#')) ORDER BY n DESC) AS age
               FROM journal WHERE kind = 'end'
             ) WHERE age > ?
           )`,
        )
        .run(this.#keepRuns);
      const beats = this.#db
        .prepare(
          `DELETE FROM journal WHERE kind = 'heartbeat' AND n NOT IN (
             SELECT min(n) FROM journal GROUP BY boot UNION SELECT max(n) FROM journal GROUP BY boot
           )`,
        )
        .run();
      const boots = this.#db
        .prepare(
          `DELETE FROM journal WHERE kind = 'heartbeat' AND boot NOT IN (
             SELECT boot FROM journal GROUP BY boot ORDER BY max(n) DESC LIMIT ?
           )`,
        )
        .run(keepBoots);
      this.#counters.pruned += Number(runs.changes) + Number(beats.changes) + Number(boots.changes);
    });
  }
}

function inodeOf(file: string): number | undefined {
  try {
    return statSync(file, { throwIfNoEntry: false })?.ino;
  } catch {
    return undefined;
  }
}

const kinds: ReadonlySet<string> = new Set([
  'open',
  'intent',
  'done',
  'denied',
  'doubt',
  'verify',
  'soak',
  'end',
  'quiet',
  'stop',
  'heartbeat',
] satisfies JournalEntry['kind'][]);

/** One stored entry, or undefined when it is none of ours. JSON drops `undefined` fields, which is what they mean. */
function decode(text: unknown): JournalEntry | undefined {
  if (typeof text !== 'string') return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null) return undefined;
  const { v, kind, run, boot, at, wall } = value as Readonly<Record<string, unknown>>;
  if (v !== 1 || typeof kind !== 'string' || !kinds.has(kind)) return undefined;
  if (typeof run !== 'string' || typeof boot !== 'string' || typeof at !== 'number' || typeof wall !== 'number') {
    return undefined;
  }
  const stamps: { boot: BootId; at: number; wall: number } = {
    boot: bootId(boot),
    at: instant(at),
    wall: wallTime(wall),
  };
  return { ...value, ...stamps } as JournalEntry;
}
