import { randomBytes } from 'node:crypto';
import { closeSync, fsyncSync, openSync, renameSync, rmSync, statSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync, type StatementSync } from 'node:sqlite';
import { monotonicFactory } from 'ulid';
import type { OutboxCursor, OutboxView } from '../../core/reporting/outbox-policy.ts';
import type { Report, ReportBody } from '../../core/reporting/report.ts';
import type { OutboxPort } from '../../driver/ports.ts';
import {
  encodeBody,
  encodeRecord,
  type GapBody,
  genesis,
  hashBytes,
  type LossBody,
  MAX_RECORD_BYTES,
} from '../../wire/report.ts';
import { relaxed, smallCache } from './database.ts';

/**
 * The outbox on disk: one SQLite file of its own (`outbox.db`, WAL, synchronous FULL), so that a burst of telemetry
 * never waits behind the journal and a damaged outbox never takes the journal with it.
 *
 * Every record is encoded and chained once, here, and is durable before `publish` returns. Acknowledged records stay
 * as a ring (a coordinator restored from a backup asks for them again) and are the first to go. When telemetry
 * reaches its bound, the oldest unread telemetry is replaced by gap records in the very place it had, so the numbers
 * have no holes and the chain holds. Events are never evicted for telemetry.
 *
 * A full disk: telemetry is refused at once, events and alarms get the reserve (a file laid down at the start, given
 * up when needed). What was refused is counted and said by a `loss` record as soon as the disk takes one.
 *
 * A disk that lets no file be opened: alarms and events are kept in memory and told for as long as this life lasts;
 * whoever relies on durability (telemetry, tailed files) is refused.
 */
export interface OutboxOptions {
  /** Folder of the data; the file is `outbox.db` in it. */
  readonly dir: string;
  readonly boot: string;
  /** Wall time in milliseconds with its uncertainty; never used for order. */
  readonly clock: () => { readonly wall: number; readonly uncertaintyMs: number };
  readonly limits?: Partial<OutboxLimits>;
  /** Told in words about a damaged file that was set aside, a full disk, evictions; rate is the caller's affair. */
  readonly log?: (event: string, detail: Record<string, unknown>) => void;
}

export interface OutboxLimits {
  /** Unread alarms and events, bytes. */
  readonly eventBytes: number;
  /** Unread telemetry, bytes. */
  readonly telemetryBytes: number;
  /** Acknowledged records kept for a store that comes back older, bytes. */
  readonly ringBytes: number;
  /** Records that eviction leaves alone in front of the cursor: they may be under way. */
  readonly inFlight: number;
  /** Size of the file that is given up when the disk is full. */
  readonly reserveBytes: number;
  /** Upper bound of the database file in pages of 4 KiB; undefined leaves it to the disk. For tests. */
  readonly maxPages: number | undefined;
}

export const OUTBOX_LIMITS: OutboxLimits = {
  eventBytes: 64 * 1024 * 1024,
  telemetryBytes: 256 * 1024 * 1024,
  ringBytes: 32 * 1024 * 1024,
  inFlight: 256,
  reserveBytes: 4 * 1024 * 1024,
  maxPages: undefined,
};

export interface OutboxStats {
  readonly stream: string;
  readonly first: number;
  readonly last: number;
  /** Records in front of the cursor. */
  readonly pending: number;
  readonly pendingBytes: number;
  /** Reports refused by the disk or for their size, since the start. */
  readonly refused: number;
  /** Records replaced by gaps since the start. */
  readonly evicted: number;
  readonly forks: number;
  readonly oldestPendingAt: number | undefined;
  /** Why it cannot keep everything now, in words; undefined when it can. */
  readonly trouble: string | undefined;
}

/** The reading side, for the link. */
export interface Outbox extends OutboxPort, OutboxView {
  first(): number;
  /**
   * What `work` publishes becomes durable together when this returns: one flush of the disk instead of one each. For
   * telemetry, since its `publish` says true too early. What the disk then refuses is counted and told as a loss.
   */
  together(work: () => void): void;
  /** Where a coordinator's store stands, as far as we remember; undefined before the first acknowledgement. */
  cursor(): OutboxCursor | undefined;
  /** The bytes of what begins at `seq`, exactly as hashed; undefined when there is nothing. */
  read(seq: number): string | undefined;
  advance(cursor: OutboxCursor): void;
  /** New stream with everything after record `after`, under the same ids. */
  fork(after: number): void;
  /** Called after each record that became durable. One listener. */
  onAppended(listener: (() => void) | undefined): void;
  stats(): OutboxStats;
  close(): void;
}

interface Row {
  readonly seq: number;
  readonly upto: number;
  readonly class: string;
  readonly id: string;
  readonly type: string;
  readonly boot: string;
  readonly ts: number;
  readonly u: number;
  readonly data: string;
  readonly prev: string;
  readonly hash: string;
  readonly bytes: number;
}

/** A full disk is asked this often whether it would take the reserve again. */
const RESERVE_AGAIN_MS = 10_000;

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS record (
    seq INTEGER PRIMARY KEY, upto INTEGER NOT NULL, class TEXT NOT NULL, id TEXT NOT NULL, type TEXT NOT NULL,
    boot TEXT NOT NULL, ts REAL NOT NULL, u REAL NOT NULL, data TEXT NOT NULL, prev TEXT NOT NULL, hash TEXT NOT NULL,
    bytes INTEGER NOT NULL
  );
`;
/** Rows taken out by one eviction; bounded so that one publish never pays for more. */
const EVICT_ROWS = 512;
/** What one record costs beyond its JSON text, roughly: keys, hashes, page overhead. */
const ROW_OVERHEAD = 320;

/** What is left of the largest record for its body; the envelope around it is far below 1 kB. */
const LARGEST_BODY = MAX_RECORD_BYTES - 1_024;

type Class = Report['class'] | 'gap';

/** What an outbox without a disk keeps at most. */
const MEMORY_LIMITS = { eventBytes: 8 * 1024 * 1024, telemetryBytes: 0, ringBytes: 1024 * 1024, reserveBytes: 0 };

/**
 * Opens or makes the outbox. A file that SQLite cannot read is set aside (`outbox.db.damaged-<n>`), never deleted. Never
 * throws for the disk's sake: without one it lives in memory, and says so in its first record.
 */
export function openOutbox(options: OutboxOptions): Outbox {
  const log = options.log ?? (() => {});
  const path = join(options.dir, 'outbox.db');
  const reservePath = join(options.dir, 'outbox.reserve');
  const { db, lacking } = openDatabase(path, log);
  const limits = { ...OUTBOX_LIMITS, ...options.limits, ...(lacking === undefined ? {} : MEMORY_LIMITS) };
  if (limits.maxPages !== undefined) db.exec(`PRAGMA max_page_count = ${Math.trunc(limits.maxPages)}`);
  const nextId = monotonicFactory();

  const prepare = (sql: string): StatementSync => db.prepare(sql);
  const getMeta = prepare('SELECT value FROM meta WHERE key = ?');
  const setMeta = prepare(
    'INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value',
  );
  const dropMeta = prepare('DELETE FROM meta WHERE key = ?');
  const insert = prepare(
    'INSERT INTO record (seq, upto, class, id, type, boot, ts, u, data, prev, hash, bytes) VALUES (?,?,?,?,?,?,?,?,?,?,?,?)',
  );
  /** A gap also by a number in its middle: a store may have heard part of what was evicted since. */
  const covering = prepare('SELECT * FROM record WHERE seq <= ? ORDER BY seq DESC LIMIT 1');
  const hashOf = prepare('SELECT upto, hash FROM record WHERE seq <= ? ORDER BY seq DESC LIMIT 1');
  const firstRow = prepare('SELECT seq, prev FROM record ORDER BY seq LIMIT 1');
  const lastRow = prepare('SELECT upto, hash FROM record ORDER BY seq DESC LIMIT 1');
  const sums = prepare('SELECT class, upto <= ? AS said, SUM(bytes) AS bytes FROM record GROUP BY class, said');
  const saidOldest = prepare('SELECT upto, bytes FROM record WHERE seq <= ? ORDER BY seq LIMIT ?');
  const passed = prepare('SELECT class, SUM(bytes) AS bytes FROM record WHERE seq > ? AND seq <= ? GROUP BY class');
  const victims = prepare('SELECT * FROM record WHERE class = ? AND seq > ? ORDER BY seq LIMIT ?');
  const drop = prepare('DELETE FROM record WHERE seq = ?');
  const dropUpTo = prepare('DELETE FROM record WHERE seq <= ?');
  const unsaid = prepare('SELECT * FROM record WHERE seq > ? ORDER BY seq LIMIT ?');
  const moveTo = prepare(
    'UPDATE record SET seq = ?, upto = ?, class = ?, type = ?, data = ?, prev = ?, hash = ? WHERE seq = ?',
  );
  const oldestUnsaid = prepare('SELECT ts FROM record WHERE seq > ? ORDER BY seq LIMIT 1');

  const text = (key: string): string | undefined => (getMeta.get(key) as { value: string } | undefined)?.value;

  let stream = text('stream') ?? '';
  let cursor = readCursor(text('cursor'));
  let head = (() => {
    const row = lastRow.get() as { upto: number; hash: string } | undefined;
    // An empty table with a cursor: the ring was cut to nothing; the chain goes on from what the meta row holds.
    if (row === undefined) return { seq: Number(text('head-seq') ?? 0), hash: text('head-hash') ?? genesis(stream) };
    return { seq: row.upto, hash: row.hash };
  })();
  let tail = (firstRow.get() as { seq: number; prev: string } | undefined) ?? { seq: head.seq + 1, prev: head.hash };

  let ring = 0;
  const pending: Record<Class, number> = { alarm: 0, event: 0, telemetry: 0, gap: 0 };
  const count = (): void => {
    ring = 0;
    for (const key of Object.keys(pending) as Class[]) pending[key] = 0;
    for (const row of sums.all(cursor?.upTo ?? 0) as { class: Class; said: number; bytes: number }[]) {
      if (row.said === 1) ring += row.bytes;
      else pending[row.class] += row.bytes;
    }
  };
  count();

  let refused = 0;
  let evicted = 0;
  let forks = Number(text('forks') ?? 0);
  let owedLoss: { lost: Record<string, number>; from: number; to: number; reason: string } | undefined;
  let reserve = layReserve(reservePath, limits.reserveBytes);
  let reserveTriedAt = 0;
  let listener: (() => void) | undefined;
  let closed = false;

  /** What was taken in since `together` began, by class; undefined outside of it. */
  let gathered: Class[] | undefined;

  /** Everything in one transaction, or nothing. In-memory numbers are re-read after a failure. */
  const transaction = (work: () => void): void => {
    const [begin, end, back] =
      gathered === undefined
        ? ['BEGIN IMMEDIATE', 'COMMIT', 'ROLLBACK']
        : ['SAVEPOINT one', 'RELEASE one', 'ROLLBACK TO one; RELEASE one'];
    if (gathered !== undefined && !db.isTransaction) throw new Error('the disk refused one of those before');
    db.exec(begin);
    try {
      work();
      db.exec(end);
    } catch (error) {
      if (db.isTransaction) db.exec(back);
      throw error;
    }
  };

  const append = (cls: Class, type: string, data: string): void => {
    const { wall, uncertaintyMs } = options.clock();
    const ts = Math.max(0, Math.round(wall));
    const id = nextId(ts);
    const seq = head.seq + 1;
    const record = { type, id, stream, seq, prev: head.hash, boot: options.boot, ts, u: uncertaintyMs, data };
    const hash = hashBytes(encodeRecord(record));
    const bytes = data.length + ROW_OVERHEAD;
    insert.run(seq, seq, cls, id, type, options.boot, ts, uncertaintyMs, data, head.hash, hash, bytes);
    if (tail.seq > head.seq) tail = { seq, prev: head.hash };
    head = { seq, hash };
    pending[cls] += bytes;
  };

  /** Drops acknowledged records from the old end until `bytes` of them are gone, or as many as one turn allows. */
  const trimRing = (bytes: number): void => {
    let freed = 0;
    let upTo = 0;
    for (const row of saidOldest.all(cursor?.upTo ?? 0, EVICT_ROWS) as { upto: number; bytes: number }[]) {
      if (freed >= bytes) break;
      freed += row.bytes;
      upTo = row.upto;
    }
    if (upTo === 0) return;
    dropUpTo.run(upTo);
    ring -= freed;
    const row = firstRow.get() as { seq: number; prev: string } | undefined;
    tail = row ?? { seq: head.seq + 1, prev: head.hash };
    if (row === undefined) {
      setMeta.run('head-seq', String(head.seq));
      setMeta.run('head-hash', head.hash);
    }
  };

  /** Replaces the oldest unread records of a class, beyond what may be under way, by gaps in their places. */
  const evict = (cls: 'telemetry' | 'event'): boolean => {
    const from = (cursor?.upTo ?? 0) + limits.inFlight;
    const rows = victims.all(cls, from, EVICT_ROWS) as unknown as Row[];
    let i = 0;
    while (i < rows.length) {
      let j = i;
      while (j + 1 < rows.length && rows[j + 1]!.seq === rows[j]!.upto + 1) j++;
      const run = rows.slice(i, j + 1);
      const first = run[0]!;
      const last = run[run.length - 1]!;
      const lost: Record<string, number> = { [cls]: run.length };
      let start: Row = first;
      const before = first.seq - 1 > from ? (covering.get(first.seq - 1) as unknown as Row | undefined) : undefined;
      if (before?.type === 'gap' && before.upto === first.seq - 1 && before.seq > from) {
        // Neighbouring gaps become one, or a month of evictions would be a month of tiny records.
        const body = JSON.parse(before.data) as GapBody;
        for (const [key, n] of Object.entries(body.lost)) lost[key] = (lost[key] ?? 0) + n;
        start = before;
        drop.run(before.seq);
        pending.gap -= before.bytes;
      }
      for (const row of run) {
        drop.run(row.seq);
        pending[cls] -= row.bytes;
      }
      const gap: GapBody = { to: last.upto, end: last.hash, reason: 'evicted', lost };
      const data = JSON.stringify(gap);
      const bytes = data.length + ROW_OVERHEAD;
      insert.run(
        start.seq,
        last.upto,
        'gap',
        nextId(),
        'gap',
        options.boot,
        first.ts,
        first.u,
        data,
        start.prev,
        last.hash,
        bytes,
      );
      pending.gap += bytes;
      evicted += run.length;
      i = j + 1;
    }
    if (rows.length > 0) log('outbox-evicted', { class: cls, records: rows.length });
    return rows.length > 0;
  };

  const makeRoom = (cls: Class, bytes: number): boolean => {
    const over = ring + bytes - limits.ringBytes;
    if (over > 0 && ring > 0) trimRing(over);
    if (cls === 'telemetry') {
      // A tenth more than needed, so that a full outbox does not evict at every report.
      if (pending.telemetry + bytes > limits.telemetryBytes) evict('telemetry');
      return pending.telemetry + bytes <= limits.telemetryBytes;
    }
    const used = (): number => pending.event + pending.alarm + pending.gap;
    if (used() + bytes > limits.eventBytes && cls !== 'gap') evict('event');
    // Alarms are never refused for their own bound: their number is bounded by the alarms of the site.
    return cls === 'alarm' || used() + bytes <= limits.eventBytes;
  };

  const isFull = (error: unknown): boolean => {
    const code = (error as { errcode?: number }).errcode ?? 0;
    // SQLITE_FULL 13, SQLITE_IOERR 10 (write and fsync failures of a full disk come as its extended codes).
    return (code & 0xff) === 13 || (code & 0xff) === 10;
  };

  const refuse = (cls: Class, reason: string): false => {
    refused++;
    const at = Math.max(0, Math.round(options.clock().wall));
    if (owedLoss === undefined) {
      owedLoss = { lost: {}, from: at, to: at, reason };
      log('outbox-refused', { class: cls, reason });
    }
    owedLoss.lost[cls] = (owedLoss.lost[cls] ?? 0) + 1;
    owedLoss.to = Math.max(owedLoss.from, at);
    return false;
  };

  /** Runs `work` in a transaction; when it fails, the numbers held in memory go back too. */
  const attempt = (work: () => void): unknown => {
    const saved = { head, tail, ring, evicted, pending: { ...pending } };
    try {
      transaction(work);
      return undefined;
    } catch (error) {
      ({ head, tail, ring, evicted } = saved);
      Object.assign(pending, saved.pending);
      return error;
    }
  };

  const write = (cls: Class, type: string, data: string): 'ok' | 'bound' | Error => {
    let room = true;
    const error = attempt(() => {
      room = makeRoom(cls, data.length + ROW_OVERHEAD);
      if (!room) return;
      if (owedLoss !== undefined) append('event', 'loss', JSON.stringify(owedLoss satisfies LossBody));
      append(cls, type, data);
    });
    if (error !== undefined) return error as Error;
    if (!room) return 'bound';
    owedLoss = undefined;
    return 'ok';
  };

  const publishRaw = (cls: Class, type: string, data: string): boolean => {
    if (closed) return refuse(cls, 'closed');
    if (lacking !== undefined && (cls === 'telemetry' || type === 'lines')) return refuse(cls, 'no disk');
    if (Buffer.byteLength(data) > LARGEST_BODY) return refuse(cls, 'too large');
    // The reserve was given up and could not be laid again: the disk is still full, so telemetry stays out.
    if (!reserve && cls === 'telemetry') {
      reserve = layReserve(reservePath, limits.reserveBytes);
      if (!reserve) return refuse(cls, 'disk full');
    }
    let result = write(cls, type, data);
    if (result !== 'ok' && result !== 'bound' && isFull(result) && cls !== 'telemetry') {
      if (reserve) {
        log('outbox-reserve-used', {});
        rmSync(reservePath, { force: true });
        reserve = false;
        result = write(cls, type, data);
      }
      if (result !== 'ok' && result !== 'bound') {
        // Last resort for an event: pages of the ring and of telemetry are free for reuse within the file.
        attempt(() => {
          trimRing(ring);
          evict('telemetry');
        });
        result = write(cls, type, data);
      }
    }
    if (result === 'ok') {
      // An outbox without telemetry would else never find out that there is room again. The wall clock may jump: either
      // way far from the last try is late enough.
      const { wall } = options.clock();
      if (!reserve && Math.abs(wall - reserveTriedAt) > RESERVE_AGAIN_MS) {
        reserveTriedAt = wall;
        reserve = layReserve(reservePath, limits.reserveBytes);
      }
      if (gathered === undefined) listener?.();
      else gathered.push(cls);
      return true;
    }
    return refuse(cls, result === 'bound' ? 'bound reached' : `disk: ${result.message}`.slice(0, 200));
  };

  if (lacking !== undefined) {
    const text = `Reports cannot be kept on the disk (${lacking}); what is not told before the agent ends is lost.`;
    const body = { name: 'outbox-not-durable', subject: 'outbox', severity: 'error', text, detail: {} };
    publishRaw('event', 'event', JSON.stringify(body));
  }

  return {
    publish(report: Report): boolean {
      const { body } = report;
      let data = encodeBody(body);
      if (Buffer.byteLength(data) > LARGEST_BODY) {
        // Refused for good is worse than cut: an alarm has a core that fits, and a tailed file would stand still.
        if (body.type === 'lines') data = encodeBody({ ...body, lines: body.lines.map(shorten) });
        else if (report.class !== 'telemetry') data = encodeBody(clip(body) as ReportBody);
      }
      return publishRaw(report.class, body.type, data);
    },
    together(work) {
      if (closed || gathered !== undefined) return work();
      const saved = { head, tail, ring, evicted, owedLoss, pending: { ...pending } };
      const taken: Class[] = [];
      try {
        db.exec('BEGIN IMMEDIATE');
        gathered = taken;
        work();
        if (!db.isTransaction) throw new Error('rolled back');
        db.exec('COMMIT');
      } catch (error) {
        if (db.isTransaction) db.exec('ROLLBACK');
        ({ head, tail, ring, evicted } = saved);
        Object.assign(pending, saved.pending);
        // A loss that was told in there was told to nobody.
        const owed = saved.owedLoss;
        if (owed !== undefined && owedLoss !== owed) {
          for (const [cls, n] of Object.entries(owedLoss?.lost ?? {})) owed.lost[cls] = (owed.lost[cls] ?? 0) + n;
          owedLoss = owed;
        }
        for (const cls of taken.splice(0)) refuse(cls, `disk: ${(error as Error).message}`.slice(0, 200));
      } finally {
        gathered = undefined;
      }
      if (taken.length > 0) listener?.();
    },
    stream: () => stream,
    first: () => tail.seq,
    last: () => head.seq,
    cursor: () => cursor,
    chainAt(seq) {
      if (seq === 0) return genesis(stream);
      if (seq === head.seq) return head.hash;
      if (seq === tail.seq - 1) return tail.prev;
      const row = hashOf.get(seq) as { upto: number; hash: string } | undefined;
      return row?.upto === seq ? row.hash : undefined;
    },
    entryAt(seq) {
      if (seq < tail.seq) return { to: tail.seq - 1, bytes: ROW_OVERHEAD };
      const row = covering.get(seq) as unknown as Row | undefined;
      return row === undefined || row.upto < seq ? undefined : { to: row.upto, bytes: row.bytes };
    },
    read(seq) {
      if (seq < tail.seq) {
        // Forgotten by the ring, wanted by a store that is new or came back older.
        const gap: GapBody = {
          to: tail.seq - 1,
          end: tail.prev,
          reason: 'forgotten',
          lost: { records: tail.seq - seq },
        };
        const { wall, uncertaintyMs } = options.clock();
        const ts = Math.max(0, Math.round(wall));
        const prev = cursor?.upTo === seq - 1 ? cursor.chain : genesis(stream);
        return encodeRecord({
          type: 'gap',
          id: nextId(ts),
          stream,
          seq,
          prev,
          boot: options.boot,
          ts,
          u: uncertaintyMs,
          data: JSON.stringify(gap),
        });
      }
      const row = covering.get(seq) as unknown as Row | undefined;
      if (row === undefined || row.upto < seq) return undefined;
      return encodeRecord({ ...row, stream });
    },
    advance(next) {
      const from = cursor?.upTo ?? 0;
      // Not worth a flush: a cursor that the power took along costs a repetition.
      relaxed(db, () => transaction(() => setMeta.run('cursor', JSON.stringify(next))));
      cursor = next;
      if (next.upTo >= from) {
        for (const row of passed.all(from, next.upTo) as { class: Class; bytes: number }[]) {
          pending[row.class] -= row.bytes;
          ring += row.bytes;
        }
      } else count();
    },
    fork(after) {
      const next = randomBytes(16).toString('hex');
      transaction(() => {
        dropUpTo.run(after);
        let hash = genesis(next);
        let seq = 0;
        let from = after;
        // Numbers only shrink, so a row never lands on one that is still to be read.
        for (;;) {
          const rows = unsaid.all(from, EVICT_ROWS) as unknown as Row[];
          if (rows.length === 0) break;
          for (const row of rows) {
            from = row.seq;
            seq++;
            // A gap of the old stream is told again as a loss: its numbers belonged to the old chain.
            const isGap = row.type === 'gap';
            const type = isGap ? 'loss' : row.type;
            const data = isGap ? lossOf(row) : row.data;
            const own = hashBytes(encodeRecord({ ...row, type, data, stream: next, seq, prev: hash }));
            moveTo.run(seq, seq, isGap ? 'event' : row.class, type, data, hash, own, row.seq);
            hash = own;
          }
        }
        setMeta.run('stream', next);
        setMeta.run('forks', String(forks + 1));
        dropMeta.run('head-seq');
        dropMeta.run('head-hash');
        if (cursor !== undefined) setMeta.run('cursor', JSON.stringify({ ...cursor, upTo: 0, chain: genesis(next) }));
      });
      forks++;
      stream = next;
      if (cursor !== undefined) cursor = { ...cursor, upTo: 0, chain: genesis(stream) };
      const row = lastRow.get() as { upto: number; hash: string } | undefined;
      head = row === undefined ? { seq: 0, hash: genesis(stream) } : { seq: row.upto, hash: row.hash };
      tail = (firstRow.get() as { seq: number; prev: string } | undefined) ?? { seq: 1, prev: genesis(stream) };
      count();
    },
    onAppended(next) {
      listener = next;
    },
    stats() {
      const upTo = cursor?.upTo ?? 0;
      return {
        stream,
        first: tail.seq,
        last: head.seq,
        pending: head.seq - upTo,
        pendingBytes: pending.alarm + pending.event + pending.telemetry + pending.gap,
        refused,
        evicted,
        forks,
        oldestPendingAt: (oldestUnsaid.get(upTo) as { ts: number } | undefined)?.ts,
        trouble:
          lacking !== undefined
            ? `reports are kept in memory only: ${lacking}`
            : reserve
              ? undefined
              : 'the disk is full: no telemetry is kept, events and alarms live on the reserve',
      };
    },
    close() {
      if (closed) return;
      closed = true;
      listener = undefined;
      db.close();
    },
  };
}

const lossOf = (row: Row): string => {
  const { lost } = JSON.parse(row.data) as GapBody;
  return JSON.stringify({ reason: 'evicted', lost, from: row.ts, to: row.ts } satisfies LossBody);
};

const readCursor = (json: string | undefined): OutboxCursor | undefined => {
  if (json === undefined) return undefined;
  const { store, epoch, upTo, chain } = JSON.parse(json) as OutboxCursor;
  return { store, epoch, upTo, chain };
};

const shorten = (line: string): string => (line.length > 120 ? `${line.slice(0, 120)}…` : line);

/** Long words of an event or alarm are cut, so that its core always fits (the evidence is what grows). */
const clip = (value: unknown): unknown => {
  if (typeof value === 'string') return value.length > 2_000 ? `${value.slice(0, 2_000)}…` : value;
  if (Array.isArray(value)) return value.slice(0, 64).map(clip);
  if (value !== null && typeof value === 'object') {
    return Object.fromEntries(
      Object.entries(value)
        .slice(0, 64)
        .map(([key, inner]) => [key, clip(inner)]),
    );
  }
  return value;
};

/** Real bytes on the disk (a sparse file would reserve nothing). False when the disk would not take them. */
const layReserve = (path: string, bytes: number): boolean => {
  if (bytes === 0) return true;
  try {
    if (statSync(path).size >= bytes) return true;
  } catch {
    // Not there yet.
  }
  let file: number | undefined;
  try {
    file = openSync(path, 'w', 0o600);
    const block = Buffer.alloc(64 * 1024);
    for (let at = 0; at < bytes; at += block.length) writeSync(file, block);
    fsyncSync(file);
    return true;
  } catch {
    rmSync(path, { force: true });
    return false;
  } finally {
    if (file !== undefined) closeSync(file);
  }
};

/** `lacking`: why there is no file behind it; undefined when there is. */
const openDatabase = (
  path: string,
  log: (event: string, detail: Record<string, unknown>) => void,
): { readonly db: DatabaseSync; readonly lacking: string | undefined } => {
  const open = (file: string): DatabaseSync => {
    const db = new DatabaseSync(file);
    try {
      db.exec(
        'PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA busy_timeout = 2000; PRAGMA auto_vacuum = 0;',
      );
      db.exec(smallCache);
      const check = db.prepare('PRAGMA quick_check(1)').get() as { quick_check: string };
      if (check.quick_check !== 'ok') throw new Error(check.quick_check);
      db.exec(SCHEMA);
      db.prepare("INSERT OR IGNORE INTO meta (key, value) VALUES ('stream', ?)").run(randomBytes(16).toString('hex'));
      return db;
    } catch (error) {
      db.close();
      throw error;
    }
  };
  const inMemory = (error: unknown): { db: DatabaseSync; lacking: string } => {
    const reason = error instanceof Error ? error.message : String(error);
    log('outbox-not-opened', { reason });
    return { db: open(':memory:'), lacking: reason };
  };
  try {
    return { db: open(path), lacking: undefined };
  } catch (error) {
    const code = ((error as { errcode?: number }).errcode ?? 11) & 0xff;
    // SQLITE_CORRUPT 11, SQLITE_NOTADB 26: a lost file is a new stream. A full disk and the like are for people to mend.
    if (code !== 11 && code !== 26) return inMemory(error);
    try {
      const aside = `${path}.damaged-${Date.now()}`;
      renameSync(path, aside);
      for (const suffix of ['-wal', '-shm']) rmSync(`${path}${suffix}`, { force: true });
      log('outbox-damaged', { aside, reason: (error as Error).message });
      return { db: open(path), lacking: undefined };
    } catch (again) {
      return inMemory(again);
    }
  }
};
