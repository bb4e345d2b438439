import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { err, ok, type Result } from '../base/result.ts';
import type { EventReport } from '../core/reporting/report.ts';
import {
  judgeOrder,
  type Order,
  type OrderAnswer,
  type OrderError,
  type OrderRefusal,
  orderSkewMs,
  peekOrder,
  readOrder,
} from '../wire/order.ts';
import type { BundleOperator } from '../wire/site-bundle.ts';
import type { Log } from './log.ts';
import { type Misfortune, openDatabase } from './store/database.ts';

export interface OrderDeskOptions {
  readonly site: string;
  readonly agent: string;
  readonly dataDir: string;
  /** Of the bundle in force, at each order anew. */
  readonly operators: () => readonly BundleOperator[];
  readonly wall: () => number;
  /** Carries it out; an error when what it names is not there. `by`: for the records; `id`: of the order. */
  readonly obey: (what: Order['what'], by: string, id: string) => Result<undefined, string>;
  readonly report: (event: EventReport) => void;
  readonly log: Pick<Log, 'info' | 'warn'>;
}

const migrations = [
  `CREATE TABLE obeyed (id TEXT PRIMARY KEY, until INTEGER NOT NULL) STRICT, WITHOUT ROWID;
   CREATE INDEX obeyed_until ON obeyed (until);
   CREATE TABLE since (n INTEGER PRIMARY KEY CHECK (n = 0), opened INTEGER NOT NULL, issued INTEGER NOT NULL) STRICT;`,
];

/** Orders that are remembered; people give some a day. */
export const keptOrders = 4_096;
/** Longer than any order lives, so that a clock that was set back a little brings none to life again. */
const keepMs = 86_400_000;
const tellAgainMs = 60_000;

/**
 * Where signed orders come to, by whatever door: known person, own signature, allowed, for this agent, in time, never
 * before; then obeyed. What was obeyed is on the disk before it is, so an order that is sent again, by a broker or by
 * somebody who recorded it, does nothing, over restarts too. After a loss of that memory, orders from before it are
 * refused.
 */
export class OrderDesk {
  readonly #options: OrderDeskOptions;
  readonly #db: DatabaseSync;
  readonly #misfortune: Misfortune | undefined;
  readonly #find: StatementSync;
  readonly #count: StatementSync;
  readonly #insert: StatementSync;
  readonly #prune: StatementSync;
  readonly #setSince: StatementSync;
  /** When this memory began, and from when on an order must have been issued, by the wall clock. */
  #opened: number;
  #issuedFrom: number;
  readonly #refused = new Map<OrderRefusal, { count: number; toldAt: number }>();
  #obeyed = 0;

  constructor(options: OrderDeskOptions) {
    this.#options = options;
    const { db, misfortune } = openDatabase({ dir: options.dataDir, file: 'orders.db', migrations });
    this.#db = db;
    this.#misfortune = misfortune;
    this.#find = db.prepare('SELECT 1 FROM obeyed WHERE id = ?');
    this.#count = db.prepare('SELECT count(*) AS n FROM obeyed');
    this.#insert = db.prepare('INSERT INTO obeyed (id, until) VALUES (?, ?)');
    this.#prune = db.prepare('DELETE FROM obeyed WHERE until < ?');
    this.#setSince = db.prepare('INSERT OR REPLACE INTO since (n, opened, issued) VALUES (0, ?, ?)');
    const row = db.prepare('SELECT opened, issued FROM since').get();
    if (row !== undefined) {
      this.#opened = Number(row['opened']);
      this.#issuedFrom = Number(row['issued']);
      return;
    }
    this.#opened = Math.floor(options.wall());
    // What was lost may have been issued by a clock that is ahead of ours.
    this.#issuedFrom = this.#opened + (misfortune === undefined ? 0 : orderSkewMs);
    this.#quietly(() => this.#setSince.run(this.#opened, this.#issuedFrom));
  }

  get counts(): { readonly obeyed: number; readonly refused: Readonly<Record<string, number>> } {
    return {
      obeyed: this.#obeyed,
      refused: Object.fromEntries([...this.#refused].map(([reason, { count }]) => [reason, count])),
    };
  }

  /** `verb`: what it came as, where the door is for one. */
  take(bytes: Uint8Array, from: string, verb?: string): Result<Order, OrderError> {
    const judged = this.#judge(bytes, verb);
    if (!judged.ok) return this.#refuse(judged.error, from);
    const order = judged.value;
    const { obey, log, report, agent } = this.#options;
    const by = `${order.by}, order ${order.id.slice(0, 8)}`;
    const done = obey(order.what, by, order.id);
    if (!done.ok) return this.#refuse({ reason: 'nothing-there', text: done.error }, from);
    this.#obeyed++;
    const { verb: what, ...rest } = order.what;
    const about = 'workflow' in rest ? rest.workflow : 'run' in rest ? rest.run : 'thing' in rest ? rest.thing : '';
    const text = `${order.by} ordered: ${what} ${about}`.trimEnd();
    log.info({ order: order.id, by: order.by, from }, text);
    report({
      type: 'event',
      name: 'order-obeyed',
      subject: agent,
      severity: 'notice',
      text,
      detail: { id: order.id, by: order.by, verb: what, from },
    });
    return ok(order);
  }

  /** The same for a door through which an answer goes back; without an id where not even that could be read. */
  answer(bytes: Uint8Array, from: string, verb: string): Omit<OrderAnswer, 'id'> & { readonly id: string | undefined } {
    const taken = this.take(bytes, from, verb);
    if (taken.ok) return { v: 1, id: taken.value.id, ok: true };
    const read = peekOrder(bytes);
    const { reason, text } = taken.error;
    return { v: 1, id: read.ok ? read.value.id : undefined, ok: false, reason, text: text.slice(0, 2_048) };
  }

  close(): void {
    this.#db.close();
  }

  #judge(bytes: Uint8Array, verb: string | undefined): Result<Order, OrderError> {
    const { site, agent, operators, wall } = this.#options;
    const read = readOrder(bytes, operators());
    if (!read.ok) return read;
    const order = read.value;
    const wallMs = wall();
    const why = judgeOrder(order, { site, agent, wallMs, verb });
    if (why !== undefined) return err(why);
    if (this.#misfortune?.kind === 'not-opened') {
      return err({
        reason: 'not-durable',
        text: 'this disk keeps no orders, so one could be obeyed twice: mend it first',
      });
    }
    try {
      return this.#remember(order, wallMs);
    } catch (error) {
      return err({
        reason: 'not-durable',
        text: `it could not be written down, so it is not obeyed: ${String(error)}`,
      });
    }
  }

  /** Durable when it returns `ok`. */
  #remember(order: Order, wallMs: number): Result<Order, OrderError> {
    // A clock that was ahead when this memory began must not shut everybody out until then.
    if (wallMs < this.#opened) {
      this.#opened = Math.floor(wallMs);
      this.#issuedFrom = this.#opened + orderSkewMs;
      this.#setSince.run(this.#opened, this.#issuedFrom);
    }
    if (this.#find.get(order.id) !== undefined) {
      return err({ reason: 'replayed', text: 'it was obeyed already; an order counts once' });
    }
    if (Date.parse(order.issuedAt) < this.#issuedFrom) {
      return err({
        reason: 'before-memory',
        text: `this box remembers orders from ${new Date(this.#issuedFrom).toISOString()} on, so it may have been obeyed: sign it again`,
      });
    }
    this.#prune.run(Math.floor(wallMs - keepMs));
    if (Number(this.#count.get()?.['n'] ?? 0) >= keptOrders) {
      return err({ reason: 'too-many', text: `${keptOrders} orders within a day: no more until tomorrow` });
    }
    this.#insert.run(order.id, Date.parse(order.notAfter));
    return ok(order);
  }

  #refuse(error: OrderError, from: string): Result<never, OrderError> {
    const { reason, text } = error;
    const known = this.#refused.get(reason) ?? { count: 0, toldAt: Number.NEGATIVE_INFINITY };
    this.#refused.set(reason, known);
    known.count++;
    const now = performance.now();
    if (now - known.toldAt >= tellAgainMs) {
      known.toldAt = now;
      const { log, report, agent } = this.#options;
      log.warn({ reason, from }, `an order was not obeyed: ${text}`);
      report({
        type: 'event',
        name: 'command-refused',
        subject: agent,
        severity: 'warning',
        text: `an order from ${from} was not obeyed: ${text}`.slice(0, 1_000),
        detail: { reason, from, count: known.count },
      });
    }
    return err(error);
  }

  #quietly(write: () => void): void {
    try {
      write();
    } catch {
      // Told with the first order that cannot be written down.
    }
  }
}
