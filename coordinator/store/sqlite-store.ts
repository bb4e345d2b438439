import { randomBytes } from 'node:crypto';
import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite';
import type { AlarmTransition, IncidentReport } from '../../agent/wire/report.ts';
import type {
  Acknowledgement,
  AgentRow,
  AlarmRow,
  EventRow,
  GapRow,
  IncidentRow,
  LineRow,
  QuarantineRow,
  ReadingRow,
  RunEntryRow,
  Store,
  StreamState,
} from './store.ts';

/**
 * A quarantined message is kept whole (up to the largest record), since a later release may be able to read it. How
 * many, and how many bytes of them together: the oldest go, their count stays.
 */
const QUARANTINE_BYTES = 257 * 1024;
const QUARANTINE_ROWS = 2_000;
const QUARANTINE_TOTAL = 64 * 1024 * 1024;
/** Rows of one table (of one tag, for readings) that one pruning looks at. */
const PRUNE_ROWS = 5_000;
const MIGRATIONS: readonly string[] = [
  `
  CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
  CREATE TABLE stream (
    agent TEXT NOT NULL, stream TEXT NOT NULL, high_water INTEGER NOT NULL, chain TEXT NOT NULL,
    heard_at REAL NOT NULL, PRIMARY KEY (agent, stream)
  ) WITHOUT ROWID;
  CREATE TABLE applied (id TEXT PRIMARY KEY, content TEXT NOT NULL, at REAL NOT NULL) WITHOUT ROWID;
  CREATE TABLE event (
    cursor INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL, agent TEXT NOT NULL, type TEXT NOT NULL, ts REAL NOT NULL,
    received_at REAL NOT NULL, name TEXT NOT NULL, subject TEXT NOT NULL, severity TEXT NOT NULL, text TEXT NOT NULL,
    detail TEXT NOT NULL
  );
  CREATE INDEX event_agent ON event (agent, cursor);
  CREATE INDEX event_name ON event (name, cursor);
  CREATE TABLE register (
    alarm_id TEXT NOT NULL, reporter TEXT NOT NULL, term INTEGER NOT NULL, state TEXT NOT NULL, last_good TEXT NOT NULL,
    occurrence TEXT NOT NULL, body TEXT NOT NULL, received_at REAL NOT NULL, PRIMARY KEY (alarm_id, reporter)
  ) WITHOUT ROWID;
  CREATE TABLE acknowledgement (
    alarm_id TEXT NOT NULL, occurrence TEXT NOT NULL, by TEXT NOT NULL, at REAL NOT NULL,
    PRIMARY KEY (alarm_id, occurrence)
  ) WITHOUT ROWID;
  CREATE TABLE incident (
    incident TEXT PRIMARY KEY, agent TEXT NOT NULL, ts REAL NOT NULL, received_at REAL NOT NULL, body TEXT NOT NULL
  );
  CREATE INDEX incident_ts ON incident (ts);
  CREATE TABLE run_entry (
    n INTEGER PRIMARY KEY AUTOINCREMENT, run TEXT NOT NULL, agent TEXT NOT NULL, ts REAL NOT NULL, entry TEXT NOT NULL,
    workflow TEXT NOT NULL, thing TEXT NOT NULL, detail TEXT NOT NULL
  );
  CREATE INDEX run_entry_run ON run_entry (run, n);
  CREATE TABLE reading (
    tag TEXT NOT NULL, at REAL NOT NULL, value REAL, quality INTEGER NOT NULL, unit TEXT, PRIMARY KEY (tag, at)
  ) WITHOUT ROWID;
  CREATE TABLE line (
    duty TEXT NOT NULL, file TEXT NOT NULL, from_byte INTEGER NOT NULL, to_byte INTEGER NOT NULL, agent TEXT NOT NULL,
    id TEXT NOT NULL, lines TEXT NOT NULL, received_at REAL NOT NULL
  );
  CREATE INDEX line_duty ON line (duty, from_byte);
  CREATE TABLE gap (
    agent TEXT NOT NULL, stream TEXT NOT NULL, seq INTEGER NOT NULL, upto INTEGER NOT NULL, reason TEXT NOT NULL,
    lost TEXT NOT NULL, received_at REAL NOT NULL
  );
  CREATE TABLE quarantine (
    id INTEGER PRIMARY KEY AUTOINCREMENT, agent TEXT NOT NULL, topic TEXT NOT NULL, reason TEXT NOT NULL,
    bytes INTEGER NOT NULL, payload BLOB NOT NULL, at REAL NOT NULL
  );
  CREATE TABLE quarantine_count (agent TEXT PRIMARY KEY, n INTEGER NOT NULL) WITHOUT ROWID;
  `,
  `
  CREATE INDEX event_evidence_subject ON event (subject, cursor) WHERE name = 'evidence';
  CREATE INDEX event_evidence_id ON event (json_extract(detail, '$.evidence')) WHERE name = 'evidence';
  `,
];

/** Opens or makes the store in one file. Throws when the file is of a newer release or cannot be read. */
export function openSqliteStore(path: string): Store {
  const db = new DatabaseSync(path);
  db.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA busy_timeout = 2000;');
  migrate(db);
  const statements = new Map<string, StatementSync>();
  const sql = (text: string): StatementSync => {
    let statement = statements.get(text);
    if (statement === undefined) {
      statement = db.prepare(text);
      statements.set(text, statement);
    }
    return statement;
  };
  const run = (text: string, ...values: SQLInputValue[]) => sql(text).run(...values);
  const get = <T>(text: string, ...values: SQLInputValue[]) => sql(text).get(...values) as T | undefined;
  const all = <T>(text: string, ...values: SQLInputValue[]) => sql(text).all(...values) as T[];
  const put = (key: string, value: string) =>
    run('INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value', key, value);

  let id = get<{ value: string }>("SELECT value FROM meta WHERE key = 'store'")?.value;
  if (id === undefined) {
    id = randomBytes(8).toString('hex');
    put('store', id);
    put('epoch', '1');
  }
  let epoch = Number(get<{ value: string }>("SELECT value FROM meta WHERE key = 'epoch'")?.value ?? 1);
  let depth = 0;

  const acks = (alarmId: string): Acknowledgement[] =>
    all('SELECT occurrence, by, at FROM acknowledgement WHERE alarm_id = ? ORDER BY at', alarmId);

  type RegisterRow = {
    alarm_id: string;
    reporter: string;
    term: number;
    state: 'on' | 'off' | 'bad';
    last_good: 'on' | 'off';
    occurrence: string;
    body: string;
    received_at: number;
  };
  const alarmOf = (alarmId: string, rows: readonly RegisterRow[]): AlarmRow => {
    const registers = rows.map((r) => ({
      reporter: r.reporter,
      term: r.term,
      state: r.state,
      lastGood: r.last_good,
      occurrence: r.occurrence,
      receivedAt: r.received_at,
      body: JSON.parse(r.body) as AlarmTransition,
    }));
    const newest = registers.reduce((a, b) =>
      b.term > a.term || (b.term === a.term && b.receivedAt > a.receivedAt) ? b : a,
    );
    return { alarmId, latest: newest.body, registers, acknowledged: acks(alarmId) };
  };
  const runEntryRow = (r: Record<string, unknown>): RunEntryRow => ({
    run: r['run'] as string,
    agent: r['agent'] as string,
    ts: r['ts'] as number,
    entry: r['entry'] as string,
    workflow: r['workflow'] as string,
    thing: r['thing'] as string,
    detail: JSON.parse(r['detail'] as string) as RunEntryRow['detail'],
  });

  const eventRow = (r: Record<string, unknown>): EventRow => ({
    cursor: r['cursor'] as number,
    id: r['id'] as string,
    agent: r['agent'] as string,
    type: r['type'] as 'event' | 'check',
    ts: r['ts'] as number,
    receivedAt: r['received_at'] as number,
    name: r['name'] as string,
    subject: r['subject'] as string,
    severity: r['severity'] as EventRow['severity'],
    text: r['text'] as string,
    detail: JSON.parse(r['detail'] as string) as EventRow['detail'],
  });
  const incidentRow = (r: Record<string, unknown>): IncidentRow => ({
    incident: r['incident'] as string,
    agent: r['agent'] as string,
    ts: r['ts'] as number,
    receivedAt: r['received_at'] as number,
    body: JSON.parse(r['body'] as string) as IncidentReport,
  });

  return {
    id,
    epoch: () => epoch,
    raiseEpoch(to) {
      if (to <= epoch) return;
      put('epoch', String(to));
      epoch = to;
    },
    transaction(work) {
      db.exec('BEGIN IMMEDIATE');
      depth = 1;
      try {
        const result = work();
        db.exec('COMMIT');
        return result;
      } catch (error) {
        if (db.isTransaction) db.exec('ROLLBACK');
        throw error;
      } finally {
        depth = 0;
      }
    },
    savepoint(work) {
      const name = `s${++depth}`;
      db.exec(`SAVEPOINT ${name}`);
      try {
        const result = work();
        db.exec(`RELEASE ${name}`);
        return result;
      } catch (error) {
        if (db.isTransaction) db.exec(`ROLLBACK TO ${name}; RELEASE ${name}`);
        throw error;
      } finally {
        depth--;
      }
    },
    stream(agent, stream) {
      const row = get<{ high_water: number; chain: string }>(
        'SELECT high_water, chain FROM stream WHERE agent = ? AND stream = ?',
        agent,
        stream,
      );
      return row && { agent, stream, highWater: row.high_water, chain: row.chain };
    },
    saveStream(s: StreamState, now) {
      run(
        `INSERT INTO stream VALUES (?, ?, ?, ?, ?) ON CONFLICT (agent, stream) DO UPDATE
         SET high_water = excluded.high_water, chain = excluded.chain, heard_at = excluded.heard_at`,
        s.agent,
        s.stream,
        s.highWater,
        s.chain,
        now,
      );
    },
    applied: (record) => get<{ content: string }>('SELECT content FROM applied WHERE id = ?', record)?.content,
    markApplied(record, content, now) {
      run('INSERT INTO applied VALUES (?, ?, ?)', record, content, now);
    },

    addEvent(agent, e, body, now) {
      const isCheck = body.type === 'check';
      const row: Omit<EventRow, 'cursor'> = {
        id: e.id,
        agent,
        type: body.type,
        ts: e.ts,
        receivedAt: now,
        name: isCheck ? `check-${body.status}` : body.name,
        subject: isCheck ? body.check : body.subject,
        severity: isCheck ? SEVERITY_OF[body.status] : body.severity,
        text: isCheck ? `${body.was} → ${body.status}: ${body.text}` : body.text,
        detail: isCheck
          ? {
              status: body.status,
              was: body.was,
              flapping: body.flapping,
              ...(body.value === undefined ? {} : { value: body.value }),
            }
          : body.detail,
      };
      const { lastInsertRowid } = run(
        'INSERT INTO event (id, agent, type, ts, received_at, name, subject, severity, text, detail) VALUES (?,?,?,?,?,?,?,?,?,?)',
        row.id,
        agent,
        row.type,
        row.ts,
        now,
        row.name,
        row.subject,
        row.severity,
        row.text,
        JSON.stringify(row.detail),
      );
      return { cursor: Number(lastInsertRowid), ...row };
    },
    setAlarm(agent, _e, body, now) {
      const held = get<RegisterRow>('SELECT * FROM register WHERE alarm_id = ? AND reporter = ?', body.alarmId, agent);
      // Terms order reporters among each other. What one reporter says comes in the order of its stream, so its last
      // word is its register, even under a lower term: a box that lost its disk counts anew and must still be heard.
      const lastGood = body.state === 'bad' ? (held?.last_good ?? 'off') : body.state;
      run(
        `INSERT INTO register VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (alarm_id, reporter) DO UPDATE SET
         term = excluded.term, state = excluded.state, last_good = excluded.last_good, occurrence = excluded.occurrence,
         body = excluded.body, received_at = excluded.received_at`,
        body.alarmId,
        agent,
        body.term,
        body.state,
        lastGood,
        body.occurrence,
        JSON.stringify(body),
        now,
      );
    },
    addRunEntry(agent, e, body) {
      run(
        'INSERT INTO run_entry (run, agent, ts, entry, workflow, thing, detail) VALUES (?,?,?,?,?,?,?)',
        body.run,
        agent,
        e.ts,
        body.entry,
        body.workflow,
        body.thing,
        JSON.stringify(body.detail),
      );
    },
    setIncident(agent, e, body, now) {
      run(
        `INSERT INTO incident VALUES (?, ?, ?, ?, ?) ON CONFLICT (incident) DO UPDATE SET
         agent = excluded.agent, ts = excluded.ts, received_at = excluded.received_at, body = excluded.body`,
        body.incident,
        agent,
        e.ts,
        now,
        JSON.stringify(body),
      );
    },
    addReadings(_agent, body) {
      let added = 0;
      const unit = body.unit ?? null;
      for (const [at, value, quality] of body.rows) {
        added += Number(
          run('INSERT OR IGNORE INTO reading VALUES (?, ?, ?, ?, ?)', body.tag, at, value, quality, unit).changes,
        );
      }
      return added;
    },
    addLines(agent, e, body, now) {
      run(
        'INSERT INTO line VALUES (?, ?, ?, ?, ?, ?, ?, ?)',
        body.duty,
        body.file,
        body.from,
        body.to,
        agent,
        e.id,
        JSON.stringify(body.lines),
        now,
      );
    },
    addGap(agent, e, body, now) {
      const to = 'end' in body ? body.to : e.seq;
      run(
        'INSERT INTO gap VALUES (?, ?, ?, ?, ?, ?, ?)',
        agent,
        e.stream,
        e.seq,
        to,
        body.reason,
        JSON.stringify(body.lost),
        now,
      );
    },
    quarantine(row) {
      const kept = Buffer.from(row.payload.subarray(0, QUARANTINE_BYTES));
      const topic = row.topic.slice(0, 512);
      const reason = row.reason.slice(0, 512);
      const { lastInsertRowid } = run(
        'INSERT INTO quarantine (agent, topic, reason, bytes, payload, at) VALUES (?,?,?,?,?,?)',
        row.agent,
        topic,
        reason,
        row.payload.length,
        kept,
        row.at,
      );
      const number = Number(lastInsertRowid);
      run('DELETE FROM quarantine WHERE id <= ?', number - QUARANTINE_ROWS);
      // Not at each row: between two looks at most 64 of the largest come in.
      if (number % 64 === 0) {
        run(
          `DELETE FROM quarantine WHERE id <= (SELECT MAX(id) FROM (
             SELECT id, SUM(LENGTH(payload)) OVER (ORDER BY id DESC) AS total FROM quarantine) WHERE total > ?)`,
          QUARANTINE_TOTAL,
        );
      }
      run('INSERT INTO quarantine_count VALUES (?, 1) ON CONFLICT (agent) DO UPDATE SET n = n + 1', row.agent);
      return {
        id: number,
        agent: row.agent,
        topic,
        reason,
        bytes: row.payload.length,
        preview: preview(kept),
        at: row.at,
      };
    },
    quarantined: (agent) => get<{ n: number }>('SELECT n FROM quarantine_count WHERE agent = ?', agent)?.n ?? 0,

    agents: () =>
      all<Record<string, unknown>>(
        'SELECT agent, stream, high_water, MAX(heard_at) AS heard_at FROM stream GROUP BY agent ORDER BY agent',
      ).map(
        (r): AgentRow => ({
          agent: r['agent'] as string,
          stream: r['stream'] as string,
          highWater: r['high_water'] as number,
          heardAt: r['heard_at'] as number,
        }),
      ),
    alarms() {
      const groups = new Map<string, RegisterRow[]>();
      for (const row of all<RegisterRow>('SELECT * FROM register ORDER BY alarm_id, reporter')) {
        const group = groups.get(row.alarm_id);
        if (group === undefined) groups.set(row.alarm_id, [row]);
        else group.push(row);
      }
      return [...groups].map(([alarmId, rows]) => alarmOf(alarmId, rows));
    },
    alarm(alarmId) {
      const rows = all<RegisterRow>('SELECT * FROM register WHERE alarm_id = ? ORDER BY reporter', alarmId);
      return rows.length === 0 ? undefined : alarmOf(alarmId, rows);
    },
    acknowledge(alarmId, occurrence, by, now) {
      return (
        Number(run('INSERT OR IGNORE INTO acknowledgement VALUES (?, ?, ?, ?)', alarmId, occurrence, by, now).changes) >
        0
      );
    },
    acknowledgements: acks,
    incidents: (limit) =>
      all<Record<string, unknown>>('SELECT * FROM incident ORDER BY ts DESC LIMIT ?', limit).map(incidentRow),
    incident(incident) {
      const row = get<Record<string, unknown>>('SELECT * FROM incident WHERE incident = ?', incident);
      return row && incidentRow(row);
    },
    runEntries: (runId) =>
      all<Record<string, unknown>>('SELECT * FROM run_entry WHERE run = ? ORDER BY n LIMIT 2000', runId).map(
        runEntryRow,
      ),
    runs: (limit) =>
      all<Record<string, unknown>>(
        `SELECT e.*, (SELECT MIN(ts) FROM run_entry o WHERE o.run = e.run) AS started
           FROM run_entry e JOIN (
             SELECT MAX(n) AS last FROM (SELECT n, run, entry FROM run_entry ORDER BY n DESC LIMIT 5000)
              WHERE entry NOT IN ('heartbeat', 'quiet') GROUP BY run ORDER BY last DESC LIMIT ?
           ) ON e.n = last ORDER BY e.n DESC`,
        limit,
      ).map((r) => ({ ...runEntryRow(r), startedAt: r['started'] as number })),
    events(query) {
      const where: string[] = ['cursor < ?'];
      const values: SQLInputValue[] = [query.before ?? Number.MAX_SAFE_INTEGER];
      if (query.agent !== undefined) {
        where.push('agent = ?');
        values.push(query.agent);
      }
      if (query.name !== undefined) {
        where.push('name = ?');
        values.push(query.name);
      }
      const text = `SELECT * FROM event WHERE ${where.join(' AND ')} ORDER BY cursor DESC LIMIT ?`;
      return all<Record<string, unknown>>(text, ...values, query.limit).map(eventRow);
    },
    evidenceTold: (subject, limit) =>
      all<Record<string, unknown>>(
        `SELECT cursor, id, agent, type, ts, received_at, name, subject, severity, text,
                json_remove(detail, '$.excerpt') AS detail
           FROM event WHERE name = 'evidence' AND subject = ? ORDER BY cursor DESC LIMIT ?`,
        subject,
        limit,
      ).map(eventRow),
    evidence: (agent, id) =>
      all<Record<string, unknown>>(
        `SELECT * FROM event WHERE name = 'evidence' AND json_extract(detail, '$.evidence') = ? AND agent = ?
          ORDER BY cursor DESC LIMIT 8`,
        id,
        agent,
      ).map(eventRow),
    readings(query) {
      const from = query.from ?? 0;
      const to = query.to ?? Number.MAX_SAFE_INTEGER;
      if (query.tag === undefined) {
        // Without a tag: the newest reading of every tag.
        return all<ReadingRow>(
          'SELECT tag, MAX(at) AS at, value, quality, unit FROM reading WHERE at >= ? AND at <= ? GROUP BY tag ORDER BY tag LIMIT ?',
          from,
          to,
          query.limit,
        );
      }
      return all<ReadingRow>(
        'SELECT tag, at, value, quality, unit FROM reading WHERE tag = ? AND at >= ? AND at <= ? ORDER BY at DESC LIMIT ?',
        query.tag,
        from,
        to,
        query.limit,
      );
    },
    lines: (duty, limit) =>
      all<Record<string, unknown>>(
        'SELECT * FROM line WHERE (?1 IS NULL OR duty = ?1) ORDER BY rowid DESC LIMIT ?2',
        duty ?? null,
        limit,
      ).map(
        (r): LineRow => ({
          duty: r['duty'] as string,
          agent: r['agent'] as string,
          file: r['file'] as string,
          from: r['from_byte'] as number,
          to: r['to_byte'] as number,
          lines: JSON.parse(r['lines'] as string) as string[],
        }),
      ),
    gaps: (limit) =>
      all<Record<string, unknown>>('SELECT * FROM gap ORDER BY rowid DESC LIMIT ?', limit).map(
        (r): GapRow => ({
          agent: r['agent'] as string,
          stream: r['stream'] as string,
          seq: r['seq'] as number,
          to: r['upto'] as number,
          reason: r['reason'] as string,
          lost: JSON.parse(r['lost'] as string) as GapRow['lost'],
          receivedAt: r['received_at'] as number,
        }),
      ),
    quarantineRows: (limit) =>
      all<{ id: number; agent: string; topic: string; reason: string; bytes: number; payload: Uint8Array; at: number }>(
        'SELECT * FROM quarantine ORDER BY id DESC LIMIT ?',
        limit,
      ).map(({ payload, ...row }): QuarantineRow => ({ ...row, preview: preview(Buffer.from(payload)) })),
    counts: () => ({
      records: get<{ n: number }>('SELECT COALESCE(SUM(high_water), 0) AS n FROM stream')?.n ?? 0,
      events: get<{ n: number }>('SELECT COUNT(*) AS n FROM event')?.n ?? 0,
      incidents: get<{ n: number }>('SELECT COUNT(*) AS n FROM incident')?.n ?? 0,
      readings: get<{ n: number }>('SELECT COUNT(*) AS n FROM reading')?.n ?? 0,
      gaps: get<{ n: number }>('SELECT COUNT(*) AS n FROM gap')?.n ?? 0,
      quarantined: get<{ n: number }>('SELECT COALESCE(SUM(n), 0) AS n FROM quarantine_count')?.n ?? 0,
    }),
    prune(now) {
      const year = now - 366 * 86_400_000;
      const month = now - 31 * 86_400_000;
      // Each looks at its oldest rows only, by a key that rises with time: reading whole tables once a minute would
      // stop the coordinator for seconds when they have grown.
      const oldest = (table: string, key: string, time: string) =>
        run(
          `DELETE FROM ${table} WHERE ${key} IN (
             SELECT key FROM (SELECT ${key} AS key, ${time} AS at FROM ${table} ORDER BY ${key} LIMIT ${PRUNE_ROWS})
              WHERE at < ?)`,
          year,
        );
      oldest('applied', 'id', 'at');
      oldest('event', 'cursor', 'received_at');
      oldest('run_entry', 'n', 'ts');
      oldest('line', 'rowid', 'received_at');
      oldest('gap', 'rowid', 'received_at');
      run('DELETE FROM incident WHERE ts < ?', year);
      run('DELETE FROM stream WHERE heard_at < ?', year);
      const nextTag = 'SELECT tag FROM reading WHERE tag > ? ORDER BY tag LIMIT 1';
      for (let tag = get<{ tag: string }>(nextTag, '')?.tag; tag !== undefined; ) {
        run(
          `DELETE FROM reading WHERE tag = ?1 AND at IN (
             SELECT at FROM reading WHERE tag = ?1 AND at < ?2 ORDER BY at LIMIT ${PRUNE_ROWS})`,
          tag,
          month,
        );
        tag = get<{ tag: string }>(nextTag, tag)?.tag;
      }
    },
    close: () => db.close(),
  };
}

/** Failures that pass by themselves or with a person's help: the record waits, it is not poison. */
export const isTransient = (error: unknown): boolean => {
  const code = ((error as { errcode?: number }).errcode ?? 0) & 0xff;
  // SQLITE_BUSY 5, LOCKED 6, NOMEM 7, READONLY 8, IOERR 10, FULL 13.
  return [5, 6, 7, 8, 10, 13].includes(code);
};

const SEVERITY_OF = { ok: 'info', idle: 'info', warn: 'notice', unknown: 'warning', crit: 'error' } as const;

const preview = (bytes: Buffer): string =>
  bytes
    .subarray(0, 200)
    .toString('utf8')
    .replaceAll(/[^\x20-\x7e\u00a0-\uffff]/g, '·');

const migrate = (db: DatabaseSync): void => {
  const { user_version: version } = db.prepare('PRAGMA user_version').get() as { user_version: number };
  if (version > MIGRATIONS.length) {
    throw new Error(
      `the store was written by a newer release (schema ${version}, this one knows ${MIGRATIONS.length})`,
    );
  }
  for (let next = version; next < MIGRATIONS.length; next++) {
    db.exec(`BEGIN; ${MIGRATIONS[next]}; PRAGMA user_version = ${next + 1}; COMMIT;`);
  }
};
