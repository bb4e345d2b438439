import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync, type StatementSync } from 'node:sqlite';
import { openDatabase, relaxed, transaction } from '../store/database.ts';
import { blockSamples, type Columns, pack, settled, unpack } from './block.ts';
import { Portion } from './portion.ts';
import { runOut, sliceMs } from './turns.ts';

export const recorderFile = 'recorder.db';

export interface RecorderLimits {
  /** The file and what SQLite keeps beside it, bytes; at least 8 MiB. */
  readonly bytes: number;
  /** Older samples go even where there is room. */
  readonly ageMs: number;
  /** Series that are recorded at once; more are counted and left out. */
  readonly series: number;
  /** A death without warning costs at most so much of the newest samples. */
  readonly flushMs: number;
}

export const recorderDefaults: RecorderLimits = {
  bytes: 64 * 1024 * 1024,
  ageMs: 14 * 86_400_000,
  series: 2_000,
  flushMs: 30_000,
};

/** Share of the bytes that evidence may take; the rest is the ring. */
const evidenceShare = 0.4;
const pageBytes = 4_096;
/** Blocks of one round: it bounds what is written within a second. */
const blocksPerRound = 128;
/** Blocks of one transaction, and so how long the event loop is held: 0.2 ms each to pack, 1 ms to write them all. */
const blocksPerSlice = { least: 2, most: 8, aimMs: sliceMs };
/** Old blocks that go in one transaction. At the least more than five hundred tags at 1 Hz bring in a second. */
const oldPerSlice = { least: 16, most: 256, aimMs: sliceMs };
/** As many of the oldest at a time make room for what comes: some pages. */
const oldestAtOnce = 16;
/** Bringing the log into the file waits for the disk twice, however little it is: it may take longer than a slice. */
const bringInMs = 10;
/** The log is never brought in more often than this much more than usual. */
const leastOfLog = 1 / 4;
/**
 * At about so many pages the log is brought into the file, in a slice of its own: it is what waits for the disk. Where
 * nobody calls for slices a commit does it, at `most`. A long log has to be brought in less often; a small recorder has no
 * room for one. (Tried: a thread that does it. It costs 12 to 16 MB, which such a box needs for better things.)
 */
const logOf = (bytes: number): { readonly pages: number; readonly most: number; readonly bytes: number } =>
  bytes >= 32 * 2 ** 20
    ? { pages: 768, most: 1_152, bytes: 6 * 2 ** 20 }
    : { pages: 192, most: 384, bytes: 2 * 2 ** 20 };
const mostSpans = 5_000;

const migrations = [
  `CREATE TABLE series (name TEXT PRIMARY KEY, unit TEXT, every_ms REAL) WITHOUT ROWID;
   CREATE TABLE block (
     id INTEGER PRIMARY KEY, series TEXT NOT NULL, from_ms REAL NOT NULL, to_ms REAL NOT NULL, n INTEGER NOT NULL,
     at_ms REAL NOT NULL, data BLOB NOT NULL
   );
   CREATE INDEX block_series ON block (series, to_ms);
   CREATE INDEX block_age ON block (at_ms);
   CREATE TABLE span (subject TEXT NOT NULL, thing TEXT NOT NULL, from_ms REAL NOT NULL, to_ms REAL);
   CREATE INDEX span_thing ON span (thing, from_ms);
   CREATE TABLE evidence (
     id TEXT PRIMARY KEY, subject TEXT NOT NULL, occurrence TEXT NOT NULL, thing TEXT NOT NULL, from_ms REAL NOT NULL,
     to_ms REAL NOT NULL, series TEXT NOT NULL, state TEXT NOT NULL, sha256 TEXT, bytes INTEGER NOT NULL, data BLOB
   );
   CREATE INDEX evidence_age ON evidence (to_ms);`,
];

export interface SeriesFacts {
  readonly name: string;
  readonly unit: string | undefined;
  readonly everyMs: number | undefined;
}

/** When a thing was not healthy, by whose word; `to` undefined: still. */
export interface Span {
  readonly subject: string;
  readonly thing: string;
  readonly from: number;
  readonly to: number | undefined;
}

/** Rows of evidence as they stand in the store; `data` is gzip of JSON. */
export interface EvidenceRow {
  readonly id: string;
  readonly subject: string;
  readonly occurrence: string;
  readonly thing: string;
  readonly from: number;
  readonly to: number;
  readonly series: readonly string[];
  readonly state: 'open' | 'kept';
  readonly sha256: string | undefined;
  readonly bytes: number;
}

export interface RecorderStats {
  readonly bytes: number;
  readonly limit: number;
  readonly series: number;
  /** Samples that were not kept: too many series, or a disk that refused. */
  readonly dropped: number;
  readonly oldest: number | undefined;
  /** Why it cannot keep everything now; undefined when it can. */
  readonly trouble: string | undefined;
}

type Statement = 'insert' | 'update' | 'series' | 'span' | 'close' | 'pages' | 'free' | 'oldest' | 'old' | 'data';

interface OpenBlock extends Columns {
  readonly times: Float64Array;
  readonly values: Float64Array;
  readonly qualities: Uint8Array;
  count: number;
  /** Samples of one block; of each series another number, so that those that began together are not full together. */
  readonly full: number;
  /** Row that holds the beginning of this block already. */
  row: number | undefined;
  dirtySince: number | undefined;
}

/**
 * The flight recorder of the box: every sample that this agent polls and every score, in a ring on disk (`recorder.db`)
 * that is bounded in bytes and age, and beside it spans in which things were not healthy and the evidence of alarms.
 *
 * Samples wait in memory until their block is full or `flushMs` old; blocks are written a few at a time, in slices of some
 * milliseconds by the clock, fewer in one where the disk is slow, so that five hundred tags make no burst and hold nobody up.
 * The oldest goes first; evidence has its own share and never pushes the ring out. A disk
 * that refuses costs samples, which are counted, and nothing else.
 */
export class Recorder {
  readonly limits: RecorderLimits;
  readonly #db: DatabaseSync;
  readonly #buffers = new Map<string, OpenBlock>();
  readonly #statements: Record<Statement, StatementSync>;
  readonly #misfortune: string | undefined;
  readonly #log: ReturnType<typeof logOf>;
  readonly #elapsed: () => number;
  /** How many blocks a slice writes, how many old ones one lets go, how many pages the log grows. */
  readonly #portions: Readonly<Record<'blocks' | 'old' | 'log', Portion>>;
  #dropped = 0;
  #trouble: string | undefined;
  #closed = false;
  #cursor = 0;
  /** Blocks that are still to be written in this round. */
  #due: string[] = [];
  /** Pages that went into the log since it was last brought into the file, about. */
  #logged = 0;
  /** Wall clock as last told: what is old is judged by it, whatever clock the device has. */
  #now = 0;

  /** `elapsed`: milliseconds of a clock that never steps; how long slices take is judged by it. */
  constructor(dir: string, limits: Partial<RecorderLimits> = {}, elapsed: () => number = () => performance.now()) {
    this.limits = { ...recorderDefaults, ...limits };
    this.#elapsed = elapsed;
    const { db, misfortune } = openDatabase({ dir, file: recorderFile, migrations });
    this.#db = db;
    this.#misfortune =
      misfortune === undefined
        ? undefined
        : misfortune.kind === 'not-opened'
          ? `not opened (${misfortune.reason}): kept in memory only`
          : undefined;
    this.#log = logOf(this.limits.bytes);
    const { pages: logPages } = this.#log;
    this.#portions = {
      blocks: new Portion(blocksPerSlice),
      old: new Portion(oldPerSlice),
      log: new Portion({ least: logPages * leastOfLog, most: logPages, aimMs: bringInMs }),
    };
    db.exec(`PRAGMA wal_autocheckpoint = ${this.#log.most}`);
    const pages = Math.max(512, Math.floor((this.limits.bytes - this.#log.bytes) / pageBytes));
    db.exec(`PRAGMA max_page_count = ${pages}`);
    this.#statements = {
      insert: db.prepare('INSERT INTO block (series, from_ms, to_ms, n, at_ms, data) VALUES (?, ?, ?, ?, ?, ?)'),
      update: db.prepare('UPDATE block SET to_ms = ?, n = ?, at_ms = ?, data = ? WHERE id = ?'),
      series: db.prepare(
        'INSERT INTO series (name, unit, every_ms) VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE SET unit = excluded.unit, every_ms = excluded.every_ms',
      ),
      span: db.prepare('INSERT INTO span (subject, thing, from_ms, to_ms) VALUES (?, ?, ?, NULL)'),
      close: db.prepare('UPDATE span SET to_ms = ? WHERE subject = ? AND to_ms IS NULL'),
      pages: db.prepare('PRAGMA page_count'),
      free: db.prepare('PRAGMA freelist_count'),
      oldest: db.prepare('DELETE FROM block WHERE id IN (SELECT id FROM block ORDER BY at_ms LIMIT ?)'),
      old: db.prepare('DELETE FROM block WHERE id IN (SELECT id FROM block WHERE at_ms < ? LIMIT ?)'),
      data: db.prepare('SELECT data FROM block WHERE id = ?'),
    };
  }

  /** What a series is; asked for once, before its samples. */
  describe({ name, unit, everyMs }: SeriesFacts): void {
    this.#write(() => void this.#statements.series.run(name, unit ?? null, everyMs ?? null));
  }

  /** One sample; `time` in milliseconds of the source. A step back in time begins a new block. */
  take(series: string, time: number, value: number, quality: 0 | 1 | 2, now: number): void {
    if (this.#closed || !Number.isFinite(time)) return;
    this.#now = now;
    let buffer = this.#buffers.get(series);
    if (buffer === undefined) {
      if (this.#buffers.size >= this.limits.series) {
        this.#dropped++;
        return;
      }
      buffer = {
        times: new Float64Array(blockSamples),
        values: new Float64Array(blockSamples),
        qualities: new Uint8Array(blockSamples),
        count: 0,
        full: blockSamples - ((this.#buffers.size * 37) % (blockSamples / 2)),
        row: undefined,
        dirtySince: undefined,
      };
      this.#buffers.set(series, buffer);
    }
    const last = buffer.times[buffer.count - 1] ?? time;
    if (buffer.count > 0 && time === last && buffer.values[buffer.count - 1] === value) return;
    if (buffer.count > 0 && (time < last || time - last > 86_400_000)) this.#seal(series, buffer);
    buffer.times[buffer.count] = time;
    buffer.values[buffer.count] = value;
    buffer.qualities[buffer.count] = quality;
    buffer.count++;
    buffer.dirtySince ??= now;
    if (buffer.count >= buffer.full) this.#seal(series, buffer);
  }

  /**
   * About once a second: begins a round, writes blocks that have waited, a bounded number of them, and lets the oldest go.
   * It does the first slice of that; true when there is more, which `slice` does.
   */
  tick(now: number): boolean {
    if (this.#closed) return false;
    this.#now = now;
    if (this.#due.length > 0) return this.slice();
    const due: string[] = [];
    const names = [...this.#buffers.keys()];
    // A little more than what falls due in a second, so that five hundred tags that began together drift apart.
    const share = Math.ceil((1.5 * names.length * 1_000) / this.limits.flushMs);
    const most = Math.min(blocksPerRound, Math.max(8, share));
    for (let i = 0; i < names.length && due.length < most; i++) {
      const name = names[(this.#cursor + i) % names.length] ?? '';
      const buffer = this.#buffers.get(name);
      if (buffer?.dirtySince === undefined || now - buffer.dirtySince < this.limits.flushMs) continue;
      due.push(name);
    }
    this.#cursor = names.length === 0 ? 0 : (this.#cursor + due.length) % names.length;
    this.#due = due.reverse();
    this.#forget(now);
    return this.slice();
  }

  /** A few milliseconds of the round's work; true when there is more. What it took decides how much the next one does. */
  slice(): boolean {
    if (this.#closed) return false;
    const { blocks: portion, log } = this.#portions;
    if (this.#due.length === 0) {
      if (this.#logged >= log.size) this.#bringIn();
      return false;
    }
    const began = this.#elapsed();
    const blocks: Packed[] = [];
    // Half of the time to pack, for the write comes on top.
    const hasTime = (): boolean => blocks.length < blocksPerSlice.least || this.#elapsed() - began < sliceMs / 2;
    while (blocks.length < portion.size && hasTime()) {
      const series = this.#due.pop();
      if (series === undefined) break;
      const buffer = this.#buffers.get(series);
      // It may have become full meanwhile, and been written.
      if (buffer?.dirtySince !== undefined) blocks.push(packed(series, buffer));
    }
    if (blocks.length > 0) {
      this.#put(blocks);
      portion.took(blocks.length, this.#elapsed() - began);
    }
    return this.#due.length > 0 || this.#logged >= log.size;
  }

  /** Everything that waits, now. */
  flush(): void {
    const dirty = [...this.#buffers].filter(([, buffer]) => buffer.dirtySince !== undefined);
    for (let i = 0; i < dirty.length; i += blocksPerRound) this.#store(dirty.slice(i, i + blocksPerRound));
  }

  /** A thing is not healthy from now on, by the word of a check, a model or an alarm. */
  beginSpan(subject: string, thing: string, at: number): void {
    this.#write(() => {
      const open = this.#db.prepare('SELECT 1 FROM span WHERE subject = ? AND to_ms IS NULL').get(subject);
      if (open === undefined) this.#statements.span.run(subject, thing, at);
    });
  }

  endSpan(subject: string, at: number): void {
    this.#write(() => void this.#statements.close.run(at, subject));
  }

  /** Ends spans that the last life left open, but for those of `standing` subjects. */
  closeSpans(standing: ReadonlySet<string>, at: number): void {
    this.#write(() => {
      for (const row of this.#db.prepare('SELECT subject FROM span WHERE to_ms IS NULL').all()) {
        const subject = String(row['subject']);
        if (!standing.has(subject)) this.#statements.close.run(at, subject);
      }
    });
  }

  /** Lets the oldest samples go until there is room for so many bytes more; in steps. */
  *makeRoom(bytes: number): Generator<undefined, void> {
    for (let round = 0; round < 10_000 && !this.#closed && this.#used() + bytes > this.#usable(); round++) {
      let gone = 0;
      const isWritten = this.#write(() => {
        gone = this.#dropOldest();
      });
      if (!isWritten || gone === 0) return;
      yield;
    }
  }

  /** The whole row at once or nothing of it; false when the disk refused. Room for `data` is better made before. */
  putEvidence(row: EvidenceRow, data: Uint8Array | undefined): boolean {
    const budget = this.limits.bytes * evidenceShare;
    const { id, subject, occurrence, thing, from, to, series, state, sha256, bytes } = row;
    this.#logged += 4 + Math.ceil((data?.length ?? 0) / pageBytes);
    return this.#write(() => {
      for (;;) {
        const kept = Number(this.#db.prepare('SELECT coalesce(sum(bytes), 0) AS n FROM evidence').get()?.['n'] ?? 0);
        if (kept + bytes <= budget) break;
        const gone = this.#db
          .prepare('DELETE FROM evidence WHERE id IN (SELECT id FROM evidence WHERE id <> ? ORDER BY to_ms LIMIT 1)')
          .run(id);
        if (gone.changes === 0) break;
      }
      this.#room(bytes);
      this.#db
        .prepare('INSERT OR REPLACE INTO evidence VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)')
        .run(
          id,
          subject,
          occurrence,
          thing,
          from,
          to,
          JSON.stringify(series),
          state,
          sha256 ?? null,
          bytes,
          data ?? null,
        );
    });
  }

  /** Newest first. */
  evidence(most = 100): readonly EvidenceRow[] {
    return readEvidence(this.#db, most);
  }

  evidenceData(id: string): Uint8Array | undefined {
    const data = this.#db.prepare('SELECT data FROM evidence WHERE id = ?').get(id)?.['data'];
    return data instanceof Uint8Array ? data : undefined;
  }

  /** Samples of one series within from … to, oldest first, those in memory too; the newest `most` of them. */
  read(series: string, from: number, to: number, most: number): Columns {
    return runOut(this.reading(series, from, to, most));
  }

  /** The same block by block, a step each. What comes after the first step is not in it. */
  *reading(series: string, from: number, to: number, most: number): Generator<undefined, Columns> {
    if (this.#closed) return joined([], from, to, most);
    const buffer = this.#buffers.get(series);
    const rows = this.#db
      .prepare(
        'SELECT id, from_ms, n FROM block WHERE series = ? AND to_ms >= ? AND from_ms <= ? ORDER BY from_ms DESC',
      )
      .iterate(series, from, to);
    const listed: { readonly id: number; readonly from: number; readonly count: number }[] = [];
    const blocks: { readonly from: number; readonly columns: Columns }[] = [];
    if (buffer?.dirtySince !== undefined) {
      blocks.push({ from: buffer.times[0] ?? 0, columns: settled(buffer, buffer.count) });
    }
    let held = 0;
    for (const row of rows) {
      const one = { id: Number(row['id']), from: Number(row['from_ms']), count: Number(row['n']) };
      // The beginning of what waits in memory.
      if (blocks.length > 0 && one.id === buffer?.row) continue;
      listed.push(one);
      held += one.count;
      if (held >= most + 2 * blockSamples || listed.length >= most) break;
    }
    for (const { id, from: begin, count } of listed) {
      yield;
      if (this.#closed) break;
      // The ring may have let it go meanwhile.
      const data = this.#statements.data.get(id)?.['data'];
      const columns = data instanceof Uint8Array ? unpack(begin, count, data) : undefined;
      if (columns !== undefined) blocks.push({ from: begin, columns });
    }
    yield;
    return joined(
      blocks.sort((a, b) => a.from - b.from).map(({ columns }) => columns),
      from,
      to,
      most,
    );
  }

  stats(): RecorderStats {
    const oldest = this.#db.prepare('SELECT min(from_ms) AS t FROM block').get()?.['t'];
    return {
      bytes: this.#used(),
      limit: this.limits.bytes,
      series: this.#buffers.size,
      dropped: this.#dropped,
      oldest: typeof oldest === 'number' ? oldest : undefined,
      trouble: this.#trouble ?? this.#misfortune,
    };
  }

  close(): void {
    if (this.#closed) return;
    this.flush();
    this.#closed = true;
    this.#db.close();
  }

  #seal(series: string, buffer: OpenBlock): void {
    this.#store([[series, buffer]]);
    buffer.count = 0;
    buffer.row = undefined;
    buffer.dirtySince = undefined;
  }

  #store(blocks: readonly (readonly [series: string, buffer: OpenBlock])[]): void {
    this.#put(blocks.map(([series, buffer]) => packed(series, buffer)));
  }

  #put(blocks: readonly Packed[]): void {
    const bytes = blocks.reduce((sum, { data }) => sum + data.length + 128, 0);
    const written = this.#write(() => {
      this.#room(bytes);
      for (const { series, buffer, data } of blocks) {
        const to = buffer.times[buffer.count - 1] ?? 0;
        if (buffer.row === undefined) {
          const { lastInsertRowid } = this.#statements.insert.run(
            series,
            buffer.times[0] ?? 0,
            to,
            buffer.count,
            this.#now,
            data,
          );
          buffer.row = Number(lastInsertRowid);
        } else if (this.#statements.update.run(to, buffer.count, this.#now, data, buffer.row).changes === 0) {
          buffer.row = Number(
            this.#statements.insert.run(series, buffer.times[0] ?? 0, to, buffer.count, this.#now, data)
              .lastInsertRowid,
          );
        }
      }
    });
    // Each block lies on a page or more of its own, and of table and indices some change with every commit.
    this.#logged += 4 + blocks.reduce((sum, { data }) => sum + Math.ceil(data.length / pageBytes) + 1, 0);
    for (const { buffer } of blocks) {
      buffer.dirtySince = undefined;
      if (!written) {
        this.#dropped += buffer.count;
        buffer.row = undefined;
      }
    }
  }

  /** The log into the file. Whoever reads at this moment keeps some of it there; the next time has it. */
  #bringIn(): void {
    const began = this.#elapsed();
    const pages = this.#logged;
    this.#logged = 0;
    try {
      this.#db.exec('PRAGMA wal_checkpoint(PASSIVE)');
    } catch (error) {
      this.#trouble = error instanceof Error ? error.message : String(error);
    }
    this.#portions.log.took(pages, this.#elapsed() - began);
  }

  /** Makes room for so many bytes by letting the oldest blocks go; nine tenths of the file are used at most. */
  #room(bytes: number): void {
    for (let round = 0; this.#used() + bytes > this.#usable() && round < 10_000; round++) {
      if (this.#dropOldest() === 0) return;
    }
  }

  #usable(): number {
    return (this.limits.bytes - this.#log.bytes) * 0.9;
  }

  #dropOldest(): number {
    return Number(this.#statements.oldest.run(oldestAtOnce).changes);
  }

  #forget(now: number): void {
    const before = now - this.limits.ageMs;
    const old = this.#db.prepare('SELECT 1 FROM block WHERE at_ms < ? LIMIT 1').get(before);
    const spans = Number(this.#db.prepare('SELECT count(*) AS n FROM span').get()?.['n'] ?? 0);
    if (old === undefined && spans <= mostSpans) return;
    const began = this.#elapsed();
    let gone = 0;
    this.#write(() => {
      gone = Number(this.#statements.old.run(before, this.#portions.old.size).changes);
      if (spans > mostSpans) {
        this.#db
          .prepare('DELETE FROM span WHERE rowid IN (SELECT rowid FROM span ORDER BY from_ms LIMIT ?)')
          .run(spans - mostSpans);
      }
    });
    this.#portions.old.took(gone, this.#elapsed() - began);
  }

  #used(): number {
    const pages = Number(Object.values(this.#statements.pages.get() ?? {})[0] ?? 0);
    const free = Number(Object.values(this.#statements.free.get() ?? {})[0] ?? 0);
    return (pages - free) * pageBytes;
  }

  /** False when the disk refused; then nothing of it is there. */
  #write(work: () => void): boolean {
    if (this.#closed) return false;
    try {
      relaxed(this.#db, () => transaction(this.#db, work));
      this.#trouble = undefined;
      return true;
    } catch (error) {
      this.#trouble = error instanceof Error ? error.message : String(error);
      return false;
    }
  }
}

interface Packed {
  readonly series: string;
  readonly buffer: OpenBlock;
  readonly data: Uint8Array;
}

const packed = (series: string, buffer: OpenBlock): Packed => ({ series, buffer, data: pack(buffer, buffer.count) });

export function readSeries(db: DatabaseSync, series: string, from: number, to: number, most: number): Columns {
  const rows = db
    .prepare(
      'SELECT from_ms, n, data FROM block WHERE series = ? AND to_ms >= ? AND from_ms <= ? ORDER BY from_ms DESC',
    )
    .iterate(series, from, to);
  const blocks: Columns[] = [];
  let held = 0;
  for (const row of rows) {
    const columns = unpack(Number(row['from_ms']), Number(row['n']), row['data'] as Uint8Array);
    if (columns === undefined) continue;
    blocks.push(columns);
    held += columns.times.length;
    if (held >= most + 2 * blockSamples) break;
  }
  return joined(blocks.reverse(), from, to, most);
}

/** Blocks in order of time as one, cut to from … to, and to the newest `most`. */
function joined(blocks: readonly Columns[], from: number, to: number, most: number): Columns {
  let count = 0;
  for (const { times } of blocks) {
    for (let i = 0; i < times.length; i++) if (isWithin(times[i], from, to)) count++;
  }
  let skip = Math.max(0, count - most);
  const length = count - skip;
  const joint = {
    times: new Float64Array(length),
    values: new Float64Array(length),
    qualities: new Uint8Array(length),
  };
  let at = 0;
  for (const { times, values, qualities } of blocks) {
    for (let i = 0; i < times.length; i++) {
      if (!isWithin(times[i], from, to) || skip-- > 0) continue;
      joint.times[at] = times[i] ?? 0;
      joint.values[at] = values[i] ?? Number.NaN;
      joint.qualities[at] = qualities[i] ?? 2;
      at++;
    }
  }
  return joint;
}

const isWithin = (time: number | undefined, from: number, to: number): boolean =>
  time !== undefined && time >= from && time <= to;

export function readEvidence(db: DatabaseSync, most: number): readonly EvidenceRow[] {
  return db
    .prepare('SELECT * FROM evidence ORDER BY to_ms DESC LIMIT ?')
    .all(most)
    .map((row) => ({
      id: String(row['id']),
      subject: String(row['subject']),
      occurrence: String(row['occurrence']),
      thing: String(row['thing']),
      from: Number(row['from_ms']),
      to: Number(row['to_ms']),
      series: JSON.parse(String(row['series'])) as string[],
      state: row['state'] === 'open' ? 'open' : 'kept',
      sha256: row['sha256'] === null ? undefined : String(row['sha256']),
      bytes: Number(row['bytes']),
    }));
}

/** A look into the recorder of an agent's data folder from another process, the agent running or not. */
export function openRecording(dataDir: string): DatabaseSync | undefined {
  const path = join(dataDir, recorderFile);
  return existsSync(path) ? new DatabaseSync(path, { readOnly: true }) : undefined;
}
