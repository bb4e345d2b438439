import { createServer } from 'node:http';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, expect, onTestFinished, test } from 'vitest';
import { needs } from '../../support/needs.ts';
import { temporaryFolder } from '../duty-runners/doubles.ts';
import { listening, look, script } from './probing.ts';

describe('container', () => {
  /** An engine that answers as docker's and podman's do. */
  async function engine(containers: Readonly<Record<string, object | string>>) {
    const socket = join(temporaryFolder(), 'engine.sock');
    const server = createServer((request, response) => {
      const name = /^\/containers\/([^/]+)\/json$/.exec(request.url ?? '')?.[1];
      const found = containers[decodeURIComponent(name ?? '')];
      if (found === 'hang') return;
      response.statusCode = found === undefined ? 404 : 200;
      response.setHeader('content-type', 'application/json');
      if (found === 'flood') {
        response.end('x'.repeat(2_000_000));
        return;
      }
      response.end(
        typeof found === 'string' ? found : JSON.stringify(found ?? { message: `No such container: ${name}` }),
      );
    });
    await new Promise<void>((resolve) => server.listen(socket, resolve));
    onTestFinished(() => {
      server.closeAllConnections();
      server.close();
    });
    return (name: string, timeoutMs = 2_000) => look({ kind: 'container', name, socket }, {}, timeoutMs);
  }

  test('states of the engine → statuses', async () => {
    const ask = await engine({
      web: { State: { Status: 'running' }, RestartCount: 2 },
      'well/ok': { State: { Status: 'running', Health: { Status: 'healthy', FailingStreak: 0, Log: [] } } },
      sick: {
        State: {
          Status: 'running',
          Health: { Status: 'unhealthy', FailingStreak: 3, Log: [{ Output: 'no database\nmore' }] },
        },
      },
      young: { State: { Status: 'running', Health: { Status: 'starting' } } },
      paused: { State: { Status: 'paused' } },
      dead: { State: { Status: 'exited', ExitCode: 137, OOMKilled: true, Error: '' } },
    });
    expect(await ask('web')).toMatchObject({ status: 'ok', text: 'container web runs, restarted 2 times' });
    expect(await ask('well/ok')).toMatchObject({ status: 'ok', text: 'container well/ok runs and is healthy' });
    expect(await ask('sick')).toMatchObject({
      status: 'crit',
      text: 'container sick runs, but calls itself unhealthy for 3 checks: no database',
    });
    expect((await ask('young')).status).toBe('warn');
    expect((await ask('paused')).status).toBe('warn');
    expect(await ask('dead')).toMatchObject({
      status: 'crit',
      text: 'container dead is exited with code 137, killed for lack of memory',
    });
    expect(await ask('other')).toMatchObject({ status: 'crit', text: 'there is no container other' });
  });

  test('an engine that is silent, floods, or speaks otherwise → unknown', async () => {
    const ask = await engine({ slow: 'hang', much: 'flood', odd: 'not JSON', strange: { Id: 'x' } });
    expect((await ask('slow', 300)).text).toContain('no answer');
    expect((await ask('much')).text).toContain('more than 1 MB');
    expect((await ask('odd')).text).toContain('does not answer in JSON');
    expect((await ask('strange')).text).toContain('has no state');
    for (const name of ['much', 'odd', 'strange']) expect((await ask(name)).status).toBe('unknown');
  });

  test('no engine → unknown, with the place that was looked at', async () => {
    expect(await look({ kind: 'container', name: 'x', socket: '/no/such.sock' })).toMatchObject({
      status: 'unknown',
      text: 'container x: no engine listens at /no/such.sock',
    });
  });
});

describe('sql', () => {
  function database() {
    const path = join(temporaryFolder(), 'orders.db');
    const made = new DatabaseSync(path);
    made.exec(
      "CREATE TABLE orders (id INTEGER, state TEXT); INSERT INTO orders VALUES (1, 'open'), (2, 'open'), (3, 'done')",
    );
    made.close();
    const ask = (query: string, timeoutMs = 5_000) =>
      look({ kind: 'sql', database: { kind: 'sqlite', path }, query }, {}, timeoutMs);
    return { path, ask };
  }

  test('a count → the value; NULL, text and no row are unknown', async () => {
    const { ask } = database();
    expect(await ask("select count(*) from orders where state = 'open'")).toMatchObject({
      status: undefined,
      value: 2,
    });
    expect((await ask('select max(id) from orders where id > 9')).text).toBe('the query gives NULL');
    expect((await ask('select id from orders where id > 9')).text).toBe('the query gives no row');
    expect((await ask('select state from orders')).text).toBe('the query gives "open", which is no number');
    expect((await ask('select price from orders')).text).toContain('no such column: price');
  });

  test('a query that would change something → refused, and nothing has changed', async () => {
    const { ask } = database();
    for (const query of ['delete from orders returning id', 'create table x (y)', 'select 1; delete from orders'])
      await ask(query);
    expect((await ask('select count(*) from orders')).value).toBe(3);
    expect((await ask('delete from orders returning id')).text).toContain('readonly');
  });

  test('a query without end → ended in time, and the next one is answered', async () => {
    const { ask } = database();
    const begun = performance.now();
    const endless = 'with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n';
    const answer = await ask(endless, 700);
    expect(answer).toMatchObject({ status: 'unknown', text: expect.stringContaining('the query was ended after') });
    expect(performance.now() - begun).toBeLessThan(3_000);
    expect((await ask('select 1')).value).toBe(1);
  });

  test('a file that is missing → unknown, and none is made', async () => {
    const path = join(temporaryFolder(), 'none.db');
    const answer = await look({ kind: 'sql', database: { kind: 'sqlite', path }, query: 'select 1' });
    expect(answer.status).toBe('unknown');
    expect((await import('node:fs')).existsSync(path)).toBe(false);
  });
});

describe('plugin', () => {
  const plugin = (text: string, label: string, unit: 's' | 'B' | '%' | '') =>
    look({ kind: 'plugin', argv: [script(text)], perf: { label, unit } });

  test('an item of its performance data → the value, in the unit of its limits', async () => {
    expect(await plugin('echo "OK | time=250ms size=2MiB;;;0 load1=1.5 free=40%"', 'time', 's')).toMatchObject({
      status: 'ok',
      value: 0.25,
    });
    expect((await plugin('echo "OK | size=2MiB"', 'size', 'B')).value).toBe(2_097_152);
    expect((await plugin('echo "OK | free=40%"', 'free', '%')).value).toBe(40);
    expect(await plugin('echo "WARN | load1=1.5"; exit 1', 'load1', '')).toMatchObject({ status: 'warn', value: 1.5 });
  });

  test(
    'Debian’s check_http and check_tcp → their own time is the value, what they say stands',
    needs('monitoring-plugins-basic'),
    async () => {
      const server = createServer((request, response) => {
        response.statusCode = request.url === '/sick' ? 503 : 200;
        response.end('fine');
      });
      const port = await listening(server);
      const ask = (name: string, ...more: readonly string[]) =>
        look({
          kind: 'plugin',
          argv: [`/usr/lib/nagios/plugins/${name}`, '-H', '127.0.0.1', '-p', String(port), ...more],
          perf: { label: 'time', unit: 's' },
        });
      for (const answer of [await ask('check_http'), await ask('check_tcp')]) {
        expect(answer.status).toBe('ok');
        expect(answer.value).toBeGreaterThan(0);
        expect(answer.value).toBeLessThan(5);
      }
      expect(await ask('check_http', '-u', '/sick')).toMatchObject({
        status: 'crit',
        text: expect.stringContaining('503'),
      });
    },
  );

  test('an item that is missing, U, or in another unit → unknown, but what is bad stays bad', async () => {
    expect(await plugin('echo "OK | a=1"', 'b', '')).toMatchObject({
      status: 'unknown',
      text: 'OK (there is no "b"; there are a)',
    });
    expect((await plugin('echo "OK | a=U"', 'a', '')).text).toContain('could not be measured');
    expect((await plugin('echo "OK | a=1ms"', 'a', '%')).text).toContain('in ms, its limits are in %');
    expect((await plugin('echo "OK"', 'a', '')).status).toBe('unknown');
    expect((await plugin('echo "BAD"; exit 2', 'a', '')).status).toBe('crit');
  });
});
