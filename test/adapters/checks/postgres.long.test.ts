import { execFileSync, spawn } from 'node:child_process';
import { chmodSync, existsSync, readdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { eventually } from '../../support/eventually.ts';
import { needs } from '../../support/needs.ts';
import { temporaryFolder } from '../duty-runners/doubles.ts';
import { listening, look } from './probing.ts';

const versions = existsSync('/usr/lib/postgresql') ? readdirSync('/usr/lib/postgresql') : [];
const programs = `/usr/lib/postgresql/${versions.toSorted().at(-1)}/bin`;

beforeAll(() => {
  process.env['CHECK_PASSWORD'] = 'correct horse';
});

/** PostgreSQL refuses to be run by root. */
const asOwner = (argv: readonly string[]): [string, string[]] =>
  process.getuid?.() === 0
    ? ['setpriv', ['--reuid=postgres', '--regid=postgres', '--clear-groups', ...argv]]
    : [argv[0] ?? '', argv.slice(1)];

test('sql: a real PostgreSQL → a figure; what would change it, takes too long or has no right is refused', {
  ...needs('postgresql'),
  timeout: 120_000,
}, async () => {
  const folder = temporaryFolder();
  chmodSync(folder, 0o777);
  const probe = createServer();
  const port = await listening(probe);
  await new Promise((resolve) => probe.close(resolve));
  writeFileSync(join(folder, 'password'), 'correct horse\n');
  chmodSync(join(folder, 'password'), 0o644);
  const data = join(folder, 'data');
  const run = (argv: readonly string[]) => {
    const [program, rest] = asOwner(argv);
    execFileSync(program, rest, { stdio: 'ignore' });
  };
  run([`${programs}/initdb`, '-D', data, '-U', 'eye', '-A', 'scram-sha-256', `--pwfile=${folder}/password`]);
  const [program, rest] = asOwner([
    `${programs}/postgres`,
    ...['-D', data, '-p', String(port), '-h', '127.0.0.1', '-k', folder, '-c', 'fsync=off'],
  ]);
  const server = spawn(program, rest, { stdio: 'ignore' });
  try {
    const database = {
      kind: 'postgres',
      host: '127.0.0.1',
      port,
      database: 'postgres',
      user: 'eye',
      secret: { from: 'env', name: 'CHECK_PASSWORD' },
      tls: false,
    } as const;
    const ask = (query: string, timeoutMs = 5_000, more: object = {}) =>
      look({ kind: 'sql', database: { ...database, ...more }, query }, {}, timeoutMs);
    await eventually(async () => (await ask('select 1')).value === 1, { deadlineMs: 60_000 });
    expect(await ask('select count(*) from pg_class')).toMatchObject({ status: undefined });
    // A million rows: one is fetched.
    expect((await ask('select * from generate_series(7, 1000000)')).value).toBe(7);
    expect((await ask('select null')).text).toBe('the query gives NULL');
    expect((await ask('create table x (y int)')).text).toContain('read-only transaction');
    expect((await ask('select 1; commit; create table x (y int)')).text).toContain('multiple commands');
    const slow = await ask('select count(*) from generate_series(1, 1000000000)', 1_000);
    expect(slow.status).toBe('unknown');
    expect(slow.text).toMatch(/ended after|statement timeout/);
    process.env['WRONG_PASSWORD'] = 'battery staple';
    const refused = await ask('select 1', 5_000, { secret: { from: 'env', name: 'WRONG_PASSWORD' } });
    expect(refused.text).toContain('password authentication failed');
    expect((await ask('select count(*) from pg_tables where tablename = $$x$$')).value).toBe(0);
    server.kill('SIGINT');
    await new Promise((resolve) => server.once('exit', resolve));
    expect((await ask('select 1')).status).toBe('unknown');
  } finally {
    server.kill('SIGKILL');
  }
});
