import { generateKeyPairSync } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, expect, it, onTestFinished } from 'vitest';
import { keptOrders, OrderDesk } from '../../agent/adapters/order-desk.ts';
import { err, ok } from '../../agent/base/result.ts';
import type { EventReport } from '../../agent/core/reporting/report.ts';
import { type Order, orderSkewMs, signOrder } from '../../agent/wire/order.ts';
import { oneLineKey } from '../../agent/wire/roster.ts';
import type { BundleOperator } from '../../agent/wire/site-bundle.ts';
import { temporaryFolder } from './duty-runners/doubles.ts';

const { privateKey, publicKey } = generateKeyPairSync('ed25519');
const secret = privateKey.export({ type: 'pkcs8', format: 'pem' }) as string;
const anna: BundleOperator = {
  name: 'anna',
  key: oneLineKey(publicKey.export({ type: 'spki', format: 'pem' }) as string) ?? '',
  may: ['order'],
};
const start = Date.parse('2026-01-31T12:00:00Z');
let serial = 0;
const order = (now: number, change: Partial<Order> = {}): Uint8Array =>
  signOrder(
    {
      site: 'plant',
      agent: 'box-1',
      by: 'anna',
      id: (++serial).toString(16).padStart(32, '0'),
      issuedAt: new Date(now).toISOString(),
      notAfter: new Date(now + 300_000).toISOString(),
      what: { verb: 'workflow', workflow: 'press/restart' },
      ...change,
    },
    secret,
  );

function desk(dataDir = temporaryFolder()) {
  const state = { now: start, operators: [anna] as readonly BundleOperator[] };
  const obeyed: string[] = [];
  const events: EventReport[] = [];
  const open = () => {
    const one = new OrderDesk({
      site: 'plant',
      agent: 'box-1',
      dataDir,
      operators: () => state.operators,
      wall: () => state.now,
      obey: (what, by) => {
        if (what.verb === 'stop') return err('there is no such run here');
        obeyed.push(`${what.verb} by ${by.split(',')[0]}`);
        return ok(undefined);
      },
      report: (event) => void events.push(event),
      log: { info() {}, warn() {} },
    });
    onTestFinished(() => {
      try {
        one.close();
      } catch {
        // The test closed it.
      }
    });
    return one;
  };
  return { state, obeyed, events, open, dataDir };
}
const reason = (answer: ReturnType<OrderDesk['take']>): string => (answer.ok ? 'obeyed' : answer.error.reason);

describe('the desk of orders', () => {
  it('an order of a person → obeyed once, told as an event; brought again, by anybody → refused', () => {
    const { open, obeyed, events } = desk();
    const one = open();
    const bytes = order(start);
    expect(reason(one.take(bytes, 'the broker', 'workflow'))).toBe('obeyed');
    expect(reason(one.take(bytes, 'the broker', 'workflow'))).toBe('replayed');
    expect(reason(one.take(bytes, 'the API of this box'))).toBe('replayed');
    expect(obeyed).toEqual(['workflow by anna']);
    expect(events).toMatchObject([
      { name: 'order-obeyed', subject: 'box-1', detail: { by: 'anna', verb: 'workflow', from: 'the broker' } },
      { name: 'command-refused', severity: 'warning', detail: { reason: 'replayed', count: 1 } },
    ]);
    expect(one.counts).toEqual({ obeyed: 1, refused: { replayed: 2 } });
  });

  it('the agent starts anew → it remembers what it has obeyed', () => {
    const { open, obeyed } = desk();
    const bytes = order(start);
    const before = open();
    before.take(bytes, 'the broker');
    before.close();
    expect(reason(open().take(bytes, 'the broker'))).toBe('replayed');
    expect(obeyed).toHaveLength(1);
  });

  it('its memory was lost → what may have been obeyed before is refused, what is signed after it is obeyed', () => {
    const { open, obeyed, dataDir, state } = desk();
    const bytes = order(start + orderSkewMs / 2);
    const before = open();
    expect(reason(before.take(bytes, 'the broker'))).toBe('obeyed');
    before.close();
    const file = join(dataDir, 'orders.db');
    writeFileSync(file, Buffer.concat([Buffer.from('no database at all'), readFileSync(file).subarray(18)]));
    state.now = start + 1_000;
    const after = open();
    expect(reason(after.take(bytes, 'the broker'))).toBe('before-memory');
    state.now += orderSkewMs + 1_000;
    expect(reason(after.take(order(state.now), 'the broker'))).toBe('obeyed');
    expect(obeyed).toHaveLength(2);
  });

  it('the clock was ahead when it began, and is set right → orders of today are obeyed', () => {
    const { open, state } = desk();
    state.now = start + 4 * 365 * 86_400_000;
    const one = open();
    state.now = start;
    expect(reason(one.take(order(start), 'the broker'))).toBe('before-memory');
    state.now = start + orderSkewMs + 1_000;
    expect(reason(one.take(order(state.now), 'the broker'))).toBe('obeyed');
  });

  it('who is off the list of the bundle in force → is not obeyed, from that moment on', () => {
    const { open, state, obeyed } = desk();
    const one = open();
    one.take(order(start), 'the broker');
    state.operators = [];
    expect(reason(one.take(order(start), 'the broker'))).toBe('unknown-operator');
    expect(obeyed).toHaveLength(1);
  });

  it('what it names is not there → said, and it does not come to life later', () => {
    const { open, obeyed } = desk();
    const one = open();
    const bytes = order(start, { what: { verb: 'stop', run: 'press/restart@1' } });
    expect(one.take(bytes, 'the broker')).toMatchObject({
      error: { reason: 'nothing-there', text: 'there is no such run here' },
    });
    expect(reason(one.take(bytes, 'the broker'))).toBe('replayed');
    expect(obeyed).toEqual([]);
  });

  it('a disk that takes nothing → not obeyed, since it could be obeyed twice', () => {
    const { open, obeyed, dataDir } = desk();
    const one = open();
    const db = new DatabaseSync(join(dataDir, 'orders.db'));
    db.exec('BEGIN IMMEDIATE');
    const bytes = order(start);
    expect(reason(one.take(bytes, 'the broker'))).toBe('not-durable');
    db.exec('ROLLBACK');
    db.close();
    expect(reason(one.take(bytes, 'the broker'))).toBe('obeyed');
    expect(obeyed).toHaveLength(1);

    const nowhere = temporaryFolder();
    mkdirSync(join(nowhere, 'orders.db'));
    expect(reason(desk(nowhere).open().take(order(start), 'the broker'))).toBe('not-durable');
  });

  it('orders without end → so many a day and no more; the next day again', () => {
    const { open, state, dataDir } = desk();
    open().close();
    const db = new DatabaseSync(join(dataDir, 'orders.db'));
    db.exec('BEGIN');
    const put = db.prepare('INSERT INTO obeyed VALUES (?, ?)');
    for (let n = 0; n < keptOrders; n++) put.run(`f${n}`, start);
    db.exec('COMMIT');
    db.close();
    const one = open();
    expect(reason(one.take(order(start), 'the broker'))).toBe('too-many');
    state.now = start + 86_400_000 + 1;
    expect(reason(one.take(order(state.now), 'the broker'))).toBe('obeyed');
  });

  it('a thousand forgeries → counted, and told once a minute', () => {
    const { open, events, obeyed } = desk();
    const one = open();
    for (let n = 0; n < 1_000; n++) one.take(Buffer.from(`{"n":${n}}`), 'the broker', 'stop');
    expect(one.counts.refused).toEqual({ 'not-an-order': 1_000 });
    expect(events).toHaveLength(1);
    expect(obeyed).toEqual([]);
  });
});
