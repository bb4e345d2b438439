import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import fc from 'fast-check';
import { describe, expect, onTestFinished, test } from 'vitest';
import { maxFloors } from '../../../agent/adapters/gateway/gate-store.ts';
import { type Claim, type Gateway, openGateway, type RefusalKind } from '../../../agent/adapters/gateway/gateway.ts';
import { tokenHex } from '../../../agent/core/leases/fencing-token.ts';
import { temporaryFolder } from '../duty-runners/doubles.ts';

const one = 'a'.repeat(64);
const other = 'b'.repeat(64);
const token = (counter: number, epoch = 1) => tokenHex({ epoch, counter });
const claimOf = (counter: number, session = one, more: Partial<Claim> = {}): Claim => ({
  resource: 'plc:press-7',
  lease: 'duty:line/press-gateway',
  token: token(counter),
  session,
  ...more,
});

function open(dir = temporaryFolder(), more: object = {}): Gateway {
  const gateway = openGateway({ dir, ...more });
  onTestFinished(() => {
    try {
      gateway.close();
    } catch {
      // The test closed it.
    }
  });
  return gateway;
}

const ask = (gateway: Gateway, claim: Claim): 'done' | RefusalKind => {
  let done = 0;
  const answer = gateway.perform(claim, () => done++);
  expect(done).toBe(answer.ok ? 1 : 0);
  return answer.ok ? 'done' : answer.error.kind;
};

describe('gateway', () => {
  test.each([
    ['the first token', [claimOf(5)], ['done']],
    ['the same right again', [claimOf(5), claimOf(5)], ['done', 'done']],
    ['a successor, then the one before', [claimOf(5), claimOf(6, other), claimOf(5)], ['done', 'done', 'older']],
    ['an equal token of another session', [claimOf(5), claimOf(5, other)], ['done', 'foreign']],
    [
      'a later epoch, then a larger counter of the former',
      [claimOf(5, one, { token: token(1, 2) }), claimOf(900)],
      ['done', 'older'],
    ],
    [
      'another resource knows nothing of it',
      [claimOf(6), claimOf(5, other, { resource: 'plc:press-8' })],
      ['done', 'done'],
    ],
    [
      'another lease has a row of its own',
      [claimOf(6), claimOf(5, other, { lease: 'duty:line/other' })],
      ['done', 'done'],
    ],
    ['no token', [claimOf(5, one, { token: '5' })], ['malformed']],
    ['token 0', [claimOf(5, one, { token: '0'.repeat(16) })], ['malformed']],
    ['no session', [claimOf(5, 'me')], ['malformed']],
    ['a name without end', [claimOf(5, one, { resource: 'x'.repeat(201) })], ['malformed']],
  ] as const)('%s', (_name, claims, answers) => {
    const gateway = open();
    expect(claims.map((claim) => ask(gateway, claim))).toEqual(answers);
  });

  test('after a restart: what was refused is refused, what was right is right', () => {
    const dir = temporaryFolder();
    const before = open(dir);
    ask(before, claimOf(7));
    before.close();
    const after = open(dir);
    expect(ask(after, claimOf(6, other))).toBe('older');
    expect(ask(after, claimOf(7, other))).toBe('foreign');
    expect(ask(after, claimOf(7))).toBe('done');
  });

  test('two processes of a box share one floor: a former life is refused by what the next one did', () => {
    const dir = temporaryFolder();
    const former = open(dir);
    const next = open(dir);
    expect(ask(former, claimOf(1))).toBe('done');
    expect(ask(next, claimOf(2, other))).toBe('done');
    expect(ask(former, claimOf(1))).toBe('older');
  });

  test('any claims over any restarts → accepted tokens never sink, and each belongs to one session', () => {
    const step = fc.record({
      counter: fc.integer({ min: 1, max: 6 }),
      session: fc.constantFrom(one, other),
      restart: fc.boolean(),
      raise: fc.option(fc.integer({ min: 1, max: 6 }), { nil: undefined }),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 12 }), (steps) => {
        const dir = temporaryFolder();
        let gateway = openGateway({ dir });
        let largest = 0;
        let raised = 0;
        const owners = new Map<number, string>();
        for (const { counter, session, restart, raise } of steps) {
          if (restart) {
            gateway.close();
            gateway = openGateway({ dir });
          }
          if (raise !== undefined) {
            expect(gateway.raiseFloor(claimOf(1).lease, token(raise)).ok).toBe(true);
            raised = Math.max(raised, raise);
          }
          const right = counter >= largest && counter >= raised && (owners.get(counter) ?? session) === session;
          expect(ask(gateway, claimOf(counter, session)) === 'done').toBe(right);
          if (!right) continue;
          largest = counter;
          owners.set(counter, session);
        }
        gateway.close();
      }),
      { numRuns: 40 },
    );
  });

  test('a floor that voters know → smaller tokens refused at every resource and over restarts, it itself is not', () => {
    const dir = temporaryFolder();
    const before = open(dir);
    expect(ask(before, claimOf(8))).toBe('done');
    expect(before.raiseFloor(claimOf(1).lease, token(9)).ok).toBe(true);
    expect(before.raiseFloor(claimOf(1).lease, token(4)).ok).toBe(true);
    before.close();
    const gateway = open(dir);
    expect(ask(gateway, claimOf(8))).toBe('older');
    expect(ask(gateway, claimOf(8, other, { resource: 'plc:never-touched' }))).toBe('older');
    expect(ask(gateway, claimOf(9, other))).toBe('done');
    expect(gateway.raiseFloor(claimOf(1).lease, 'nonsense')).toMatchObject({ error: { kind: 'malformed' } });
  });

  test('the right ended while the floor was written → nothing is done, and the floor stays', () => {
    const gateway = open();
    expect(ask(gateway, claimOf(3, one, { mayAct: () => false }))).toBe('over');
    expect(ask(gateway, claimOf(2, other))).toBe('older');
  });

  test('numbered effects: 1, 2, 3 under a token, from 1 under the next; one key, one number, over restarts', () => {
    const dir = temporaryFolder();
    let gateway = open(dir);
    const number = (claim: Claim) => {
      const answer = gateway.performNumbered(claim, ({ sequence }) => sequence);
      return answer.ok ? answer.value : answer.error.kind;
    };
    expect([
      number(claimOf(1)),
      number(claimOf(1, one, { key: 'run#1' })),
      number(claimOf(1, one, { key: 'run#1' })),
    ]).toEqual([1, 2, 2]);
    gateway.close();
    gateway = open(dir);
    expect([number(claimOf(1, one, { key: 'run#1' })), number(claimOf(1, one, { key: 'run#2' }))]).toEqual([2, 3]);
    expect(number(claimOf(2, other))).toBe(1);
    expect(number(claimOf(1))).toBe('older');
  });

  test('killed between floor and effect → the floor is there, the effect is not, and an older right stays out', async () => {
    const dir = temporaryFolder();
    const effects = join(dir, 'effects');
    const program = join(import.meta.dirname, 'dying-gateway.ts');
    const child = spawn(process.execPath, [program, dir, JSON.stringify(claimOf(7)), effects], { stdio: 'pipe' });
    let said = '';
    child.stderr.on('data', (data) => {
      said += String(data);
    });
    const [, signal] = await once(child, 'exit');
    expect(signal, said).toBe('SIGKILL');
    expect(existsSync(effects)).toBe(false);
    const gateway = open(dir);
    expect(ask(gateway, claimOf(6, other))).toBe('older');
    expect(ask(gateway, claimOf(7, other))).toBe('foreign');
    expect(ask(gateway, claimOf(8, other))).toBe('done');
  });

  test('a disk that takes nothing → refused, and the older right stays out although nothing could be written', () => {
    const dir = temporaryFolder();
    const gateway = open(dir);
    expect(ask(gateway, claimOf(5))).toBe('done');
    // Another process holds the file and does not let go: SQLite's answer is an error, as with a full disk.
    const db = new DatabaseSync(join(dir, 'gateway.db'));
    db.exec('BEGIN IMMEDIATE');
    expect(ask(gateway, claimOf(6, other))).toBe('not-durable');
    expect(ask(gateway, claimOf(5))).toBe('older');
    db.exec('ROLLBACK');
    db.close();
    expect(ask(gateway, claimOf(5))).toBe('older');
    expect(ask(gateway, claimOf(6, other))).toBe('done');
  });

  test('no file can be had → nothing is accepted at all', () => {
    // A folder stands where the file should be: no rights of root help there.
    const dir = temporaryFolder();
    mkdirSync(join(dir, 'gateway.db'));
    const gateway = open(dir);
    expect(ask(gateway, claimOf(5, one))).toBe('not-durable');
    expect(gateway.raiseFloor('l', token(1)).ok).toBe(false);
  });

  test('asks voters: whatever the disk says → blind to each lease until it was told of it in this life; then from there', () => {
    const dir = temporaryFolder();
    const before = open(dir);
    ask(before, claimOf(7));
    before.close();
    const gateway = open(dir, { asksVoters: true });
    expect(ask(gateway, claimOf(7))).toBe('blind');
    expect(gateway.perform(claimOf(8), () => 0)).toMatchObject({
      error: { text: expect.stringContaining('not read since this agent began') },
    });
    expect(gateway.raiseFloors([{ lease: claimOf(1).lease, token: token(9) }]).ok).toBe(true);
    expect(ask(gateway, claimOf(8))).toBe('older');
    expect(ask(gateway, claimOf(9, other))).toBe('done');
    expect(ask(gateway, claimOf(9, other, { lease: 'duty:line/new' }))).toBe('blind');
    gateway.close();
    const again = open(dir, { asksVoters: true });
    expect(ask(again, claimOf(9, other))).toBe('blind');
    // Voters that know less than the disk lower nothing.
    expect(again.raiseFloor(claimOf(1).lease, token(2)).ok).toBe(true);
    expect(ask(again, claimOf(8))).toBe('older');
    expect(ask(again, claimOf(9, other))).toBe('done');
  });

  test('floors for many leases → one of them is no token: none is taken; the disk refuses: blind goes on', () => {
    const dir = temporaryFolder();
    const gateway = open(dir, { asksVoters: true });
    const { lease } = claimOf(1);
    expect(gateway.raiseFloors([]).ok).toBe(true);
    const bad = [
      { lease, token: token(3) },
      { lease: 'duty:line/new', token: '3' },
    ];
    expect(gateway.raiseFloors(bad)).toMatchObject({ ok: false, error: { kind: 'malformed' } });
    expect(ask(gateway, claimOf(5))).toBe('blind');
    const db = new DatabaseSync(join(dir, 'gateway.db'));
    db.exec('BEGIN IMMEDIATE');
    expect(gateway.raiseFloors(bad.slice(0, 1))).toMatchObject({ ok: false, error: { kind: 'not-durable' } });
    db.exec('ROLLBACK');
    db.close();
    expect(ask(gateway, claimOf(5))).toBe('blind');
    expect(gateway.raiseFloors(bad.slice(0, 1)).ok).toBe(true);
    expect(ask(gateway, claimOf(2))).toBe('older');
    expect(ask(gateway, claimOf(5))).toBe('done');
  });

  test('a damaged file → blind until the voters were asked; also after a restart', () => {
    const dir = temporaryFolder();
    const before = open(dir);
    ask(before, claimOf(7));
    before.close();
    const bytes = readFileSync(join(dir, 'gateway.db'));
    writeFileSync(join(dir, 'gateway.db'), Buffer.concat([Buffer.from('no database at all'), bytes.subarray(18)]));
    const first = open(dir);
    expect(first.lost).toBeDefined();
    expect(ask(first, claimOf(6, other))).toBe('blind');
    first.close();
    const gateway = open(dir);
    expect(ask(gateway, claimOf(6, other))).toBe('blind');
    expect(gateway.raiseFloor('duty:line/new', token(9)).ok).toBe(true);
    expect(ask(gateway, claimOf(8, one, { lease: 'duty:line/new' }))).toBe('older');
    expect(ask(gateway, claimOf(9, other, { lease: 'duty:line/new' }))).toBe('done');
    expect(gateway.raiseFloor(claimOf(1).lease, token(7)).ok).toBe(true);
    expect(ask(gateway, claimOf(6, other))).toBe('older');
    expect(ask(gateway, claimOf(7))).toBe('done');
  });

  test('names without end do not fill the disk', () => {
    const dir = temporaryFolder();
    open(dir).close();
    const db = new DatabaseSync(join(dir, 'gateway.db'));
    db.exec('BEGIN');
    const put = db.prepare("INSERT INTO floor VALUES (?, 'l', ?, ?, 0, '')");
    for (let n = 0; n < maxFloors - 1; n++) put.run(`r${n}`, token(1), one);
    db.exec('COMMIT');
    db.close();
    const gateway = open(dir);
    expect(ask(gateway, claimOf(1))).toBe('done');
    expect(ask(gateway, claimOf(1, one, { resource: 'one too many' }))).toBe('not-durable');
    expect(ask(gateway, claimOf(2, one, { resource: 'r0', lease: 'l' }))).toBe('done');
  });

  test('refusals are written down with their reason', () => {
    const lines: Record<string, unknown>[] = [];
    const gateway = open(temporaryFolder(), {
      effectLog: { append: (line: Record<string, unknown>) => lines.push(line) },
    });
    ask(gateway, claimOf(5));
    ask(gateway, claimOf(4, other));
    expect(lines).toMatchObject([
      { effect: 'refused', kind: 'older', token: token(4), session: other, resource: 'plc:press-7' },
    ]);
    expect(gateway.counts).toMatchObject({ raised: 1, accepted: 0, older: 1 });
  });
});
