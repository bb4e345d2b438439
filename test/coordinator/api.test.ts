import { copyFileSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Live } from '../../coordinator/api/live.ts';
import {
  type AlarmView,
  agentViewSchema,
  alarmViewSchema,
  dutyViewSchema,
  type EventView,
  errorSchema,
  eventViewSchema,
  evidenceViewSchema,
  incidentDetailSchema,
  incidentViewSchema,
  linesViewSchema,
  listOf,
  readingViewSchema,
  type StreamName,
  siteStatementSchema,
  statusViewSchema,
  streamSchemas,
} from '../../coordinator/api/schemas.ts';
import { startApi } from '../../coordinator/api/server.ts';
import { Views } from '../../coordinator/api/views.ts';
import { loadCoordinatorConfig } from '../../coordinator/config.ts';
import { Fleet } from '../../coordinator/fleet/fleet.ts';
import { Orders } from '../../coordinator/fleet/orders.ts';
import { openSqliteStore } from '../../coordinator/store/sqlite-store.ts';
import { eventually } from '../support/eventually.ts';
import { alarm, Bench, event, get, items, kill, portOf, TOKEN } from './bench.ts';

let bench: Bench;
beforeEach(() => {
  bench = new Bench();
});
afterEach(() => bench.end());

const post = (api: string, path: string, body: object, headers: Record<string, string> = {}) =>
  get(api, path, {
    method: 'POST',
    body: JSON.stringify(body),
    headers: { 'content-type': 'application/json', ...headers },
  });

test('api: without the token, with a wrong one, with a made-up session → 401 and a remedy; healthz is open', async () => {
  const { api } = await bench.coordinator();
  for (const headers of [
    {},
    { authorization: 'Bearer wrong' },
    { authorization: TOKEN },
    { cookie: 'millwright_session=made-up' },
  ]) {
    const response = await fetch(`${api}/api/v1/alarms`, { headers: headers as Record<string, string> });
    expect(response.status).toBe(401);
    expect(errorSchema.parse(await response.json()).remedy).not.toBe('');
  }
  expect((await fetch(`${api}/healthz`)).status).toBe(200);
});

test('api: login with the token → a cookie that scripts and other sites cannot use, and that works; log out ends it', async () => {
  const { api } = await bench.coordinator();
  const login = (token: string) =>
    fetch(`${api}/api/v1/session`, {
      method: 'POST',
      body: JSON.stringify({ token }),
      headers: { 'content-type': 'application/json' },
    });
  expect((await login('wrong')).status).toBe(401);
  const response = await login(TOKEN);
  expect(response.status).toBe(200);
  const set = response.headers.get('set-cookie')!;
  expect(set).toMatch(/HttpOnly/);
  expect(set).toMatch(/SameSite=Strict/);
  const cookie = set.split(';')[0]!;
  const status = () => fetch(`${api}/api/v1/status`, { headers: { cookie } });
  expect(statusViewSchema.parse(await (await status()).json()).site).toBe('demo');
  expect((await status()).headers.get('content-security-policy')).toContain("default-src 'none'");
  await fetch(`${api}/api/v1/session`, { method: 'DELETE', headers: { cookie } });
  expect((await status()).status).toBe(401);
  for (let i = 0; i < 12; i++) await login('guess');
  expect((await login(TOKEN)).status).toBe(429);
});

test('api: evidence of an alarm → the last telling with curves, also under the name of another; garbage draws nothing', async () => {
  const { api, broker } = await bench.coordinator();
  const { outbox } = bench.agent('edge-1', broker);
  const tell = (subject: string, evidence: string, stage: string, excerpt?: string) =>
    outbox.publish({
      class: 'event',
      body: {
        type: 'event',
        name: 'evidence',
        subject,
        severity: 'info',
        text: stage,
        detail: { evidence, occurrence: 'o1', thing: 'press', stage, from: 1_000, to: stage === 'kept' ? 9_000 : 7_000, bytes: 42, ...(excerpt === undefined ? {} : { excerpt }) }, // biome-ignore format: one detail
      },
    });
  const curves = (n: number) => JSON.stringify({ from: 1_000, to: 7_000, curves: [{ name: 'press/rms', points: [[0, n]] }] }); // biome-ignore format: one excerpt
  tell('press/bearing', 'e1', 'begun', curves(1));
  tell('wear.press', 'e1', 'same');
  tell('wear.press', 'e0', 'begun', '{"curves": 7}');
  const about = async (subject: string) =>
    (await items<unknown>(api, `/api/v1/evidence?subject=${subject}`)).map((item) => evidenceViewSchema.parse(item));
  await eventually(async () => (await about('wear.press')).length === 2);
  const [garbage, shared] = await about('wear.press');
  expect(garbage).toMatchObject({ evidence: 'e0', curves: [], at: 7_000, stage: 'begun' });
  // An agent before the moment was told: the end of what led to it.
  expect(shared).toMatchObject({ evidence: 'e1', at: 7_000, stage: 'begun', bytes: null, curves: [{ points: [[0, 1]] }] }); // biome-ignore format: one view
  tell('press/bearing', 'e1', 'kept', curves(2));
  await eventually(async () => (await about('wear.press'))[1]?.stage === 'kept');
  expect((await about('wear.press'))[1]).toMatchObject({ to: 9_000, bytes: 42, curves: [{ points: [[0, 2]] }] });
  expect(await about('nobody')).toEqual([]);
  expect((await get(api, '/api/v1/evidence')).status).toBe(400);
});

test('api: console built → its files, its pages and nothing else are open; answers of the API stay JSON', async () => {
  const root = join(bench.dir, 'console');
  mkdirSync(join(root, 'assets'), { recursive: true });
  writeFileSync(join(root, 'index.html'), '<!doctype html><title>console</title>');
  writeFileSync(join(root, 'assets', 'page.js'), 'export {};');
  const store = openSqliteStore(join(bench.dir, 'console.db'));
  const views = new Views(store, new Fleet());
  const api = await startApi({
    host: '127.0.0.1',
    port: 0,
    token: TOKEN,
    store,
    views,
    live: new Live('life'),
    status: () => {
      throw new Error('not asked');
    },
    console: root,
    wall: () => Date.now(),
    now: () => performance.now(),
    onAcknowledged: () => {},
    site: 'demo',
    orders: new Orders(() => {}),
    sendOrder: () => false,
  });
  bench.onEnd(async () => {
    await api.stop();
    store.close();
  });
  const at = async (path: string) => {
    const response = await fetch(`${api.url}${path}`);
    return [response.status, response.headers.get('content-type')?.split(';')[0]];
  };
  expect(await at('/')).toEqual([200, 'text/html']);
  expect(await at('/assets/page.js')).toEqual([200, 'application/javascript']);
  expect(await at('/alarms/bearing-wear.press-7')).toEqual([200, 'text/html']);
  expect(await at('/assets/none.js')).toEqual([404, 'application/json']);
  expect(await at('/../coordinator.yaml')).toEqual([200, 'text/html']);
  expect(await at('/%2e%2e/console.db')).not.toEqual([200, 'application/octet-stream']);
  expect(await at('/api/v1/alarms')).toEqual([401, 'application/json']);
  expect((await get(api.url, '/api/v1/none')).status).toBe(404);
});

test('api: everything that an agent says → comes out as the schemas have it', async () => {
  const { api, broker } = await bench.coordinator();
  const { outbox } = bench.agent('edge-1', broker);
  const at = 1_700_000_000_000 as never;
  outbox.publish({ class: 'event', body: event(1) });
  outbox.publish({
    class: 'event',
    body: {
      type: 'check',
      check: 'svc/up',
      thing: 'svc',
      status: 'crit',
      was: 'ok',
      flapping: false,
      value: 1,
      unit: undefined,
      text: 'gone',
    },
  });
  outbox.publish({ class: 'alarm', body: alarm() });
  outbox.publish({
    class: 'event',
    body: { type: 'run', run: 'run/1', workflow: 'svc/restart', thing: 'svc', entry: 'open', detail: { episode: 1 } },
  });
  outbox.publish({
    class: 'event',
    body: {
      type: 'incident',
      incident: 'svc/restart-1',
      run: 'run/1',
      workflow: 'svc/restart',
      thing: 'svc',
      symptom: 'svc is gone',
      outcome: 'HEALED',
      reason: '',
      firstBadAt: at,
      conditionAt: at,
      healedAt: at,
      mttdMs: 210,
      mttaMs: 12,
      mttrMs: 900,
      relapse: false,
      steps: [{ name: 'process.restart', outcome: 'ok', detail: '', at }],
    },
  });
  outbox.publish({
    class: 'telemetry',
    body: {
      type: 'readings',
      tag: 'pump/pressure',
      unit: 'bar',
      rows: [
        [1, 2.5, 0],
        [2, null, 2],
      ],
    },
  });
  outbox.publish({
    class: 'event',
    body: { type: 'lines', duty: 'site/upload', file: '/var/log/x', from: 0, to: 8, lines: ['one', 'two'] },
  });
  await eventually(() => outbox.stats().pending === 0);

  const list = async (path: string) => (await get(api, path)).json();
  const alarms = listOf(alarmViewSchema).parse(await list('/api/v1/alarms')).items;
  expect(alarms).toMatchObject([
    { alarmId: 'bearing-wear.press-7', state: 'UNACK', reporter: 'edge-1', firstSampleAt: at },
  ]);
  const events = listOf(eventViewSchema).parse(await list('/api/v1/events')).items;
  expect(events.map((e) => e.name)).toEqual(['alarm-on', 'check-crit', 'counted']);
  expect(listOf(eventViewSchema).parse(await list(`/api/v1/events?before=${events[0]!.cursor}&limit=1`)).items).toEqual(
    [events[1]],
  );
  expect(listOf(incidentViewSchema).parse(await list('/api/v1/incidents')).items).toMatchObject([
    { incident: 'svc/restart-1', mttrMs: 900 },
  ]);
  const detail = incidentDetailSchema.parse(await list(`/api/v1/incidents/${encodeURIComponent('svc/restart-1')}`));
  expect(detail.entries).toMatchObject([{ entry: 'open', detail: { episode: 1 } }]);
  expect(
    listOf(readingViewSchema)
      .parse(await list('/api/v1/readings?tag=pump/pressure'))
      .items.map((r) => r.value),
  ).toEqual([null, 2.5]);
  expect(listOf(linesViewSchema).parse(await list('/api/v1/lines?duty=site/upload')).items).toMatchObject([
    { lines: ['one', 'two'] },
  ]);
  const agents = listOf(agentViewSchema).parse(await list('/api/v1/agents')).items;
  expect(agents).toMatchObject([
    { agent: 'edge-1', presence: 'online', duties: ['press/poll'], stream: { highWater: 7 } },
  ]);
  expect(listOf(siteStatementSchema).parse(await list('/api/v1/verdict')).items).toEqual([]);
  expect(listOf(dutyViewSchema).parse(await list('/api/v1/duties')).items).toMatchObject([
    { duty: 'press/poll', kind: 'poll', holders: [{ agent: 'edge-1', term: 1 }] },
  ]);
  for (const path of ['/api/v1/events?limit=0', '/api/v1/events?colour=blue', '/api/v1/incidents?limit=x']) {
    expect((await get(api, path)).status, path).toBe(400);
  }
  expect((await get(api, '/api/v1/incidents/none')).status).toBe(404);
});

test('alarm: acknowledged by a person → ACKED; an old page cannot acknowledge a newer occurrence; cleared → NORM', async () => {
  const { api, broker } = await bench.coordinator();
  const { outbox } = bench.agent('edge-1', broker);
  const say = async (change: Parameters<typeof alarm>[0]): Promise<AlarmView> => {
    outbox.publish({ class: 'alarm', body: alarm(change) });
    await eventually(() => outbox.stats().pending === 0);
    return (await items<AlarmView>(api, '/api/v1/alarms'))[0]!;
  };
  const acknowledge = (occurrence: string) =>
    post(api, '/api/v1/alarms/bearing-wear.press-7/acknowledge', { occurrence, by: 'Mo' });

  expect((await say({ occurrence: 'o1' })).state).toBe('UNACK');
  expect((await say({ occurrence: 'o1', state: 'off' })).state).toBe('RTNUN');
  expect((await say({ occurrence: 'o2' })).state).toBe('UNACK');
  const late = await acknowledge('o1');
  expect(late.status).toBe(409);
  expect(errorSchema.parse(await late.json()).code).toBe('other-occurrence');
  expect(alarmViewSchema.parse(await (await acknowledge('o2')).json())).toMatchObject({
    state: 'ACKED',
    acknowledgedBy: 'Mo',
  });
  // The same act again changes nothing.
  const again = await post(api, '/api/v1/alarms/bearing-wear.press-7/acknowledge', { occurrence: 'o2', by: 'Jo' });
  expect(alarmViewSchema.parse(await again.json())).toMatchObject({ state: 'ACKED', acknowledgedBy: 'Mo' });
  expect((await say({ occurrence: 'o2', state: 'off' })).state).toBe('NORM');
  expect((await post(api, '/api/v1/alarms/none.here/acknowledge', { occurrence: 'o', by: 'Mo' })).status).toBe(404);
  expect((await post(api, '/api/v1/alarms/bearing-wear.press-7/acknowledge', { by: 'Mo' })).status).toBe(400);
});

test('alarm: its reporter dies → it stands, with the source lost', async () => {
  const { api, broker } = await bench.coordinator();
  const agent = bench.agent('edge-1', broker);
  agent.outbox.publish({ class: 'alarm', body: alarm() });
  await eventually(() => agent.outbox.stats().pending === 0);
  await agent.end();
  const stood = await eventually(async () => {
    const [row] = await items<AlarmView>(api, '/api/v1/alarms');
    return row?.sourceLostSince !== null && row;
  });
  expect(stood.state).toBe('UNACK');
});

interface Sent {
  readonly id: string;
  readonly name: StreamName;
  readonly data: unknown;
}

/** Reads server-sent events as they come; every one is checked by its schema. */
const listen = async (api: string, lastId?: string) => {
  const abort = new AbortController();
  bench.onEnd(() => abort.abort());
  const response = await get(api, '/api/v1/stream', {
    signal: abort.signal,
    headers: lastId === undefined ? {} : { 'last-event-id': lastId },
  });
  const sent: Sent[] = [];
  const read = async (): Promise<void> => {
    let rest = '';
    for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
      rest += chunk;
      for (let end = rest.indexOf('\n\n'); end >= 0; end = rest.indexOf('\n\n')) {
        const fields = new Map(
          rest
            .slice(0, end)
            .split('\n')
            .map((line) => line.split(/: (.*)/s).slice(0, 2) as [string, string]),
        );
        rest = rest.slice(end + 2);
        const name = fields.get('event') as StreamName | undefined;
        if (name === undefined) continue;
        sent.push({ id: fields.get('id')!, name, data: streamSchemas[name].parse(JSON.parse(fields.get('data')!)) });
      }
    }
  };
  read().catch(() => {});
  return { sent, close: () => abort.abort() };
};

test('api stream: broken off and resumed → nothing missed, nothing twice; another life of the coordinator → reset', async () => {
  const { api, broker } = await bench.coordinator();
  const { outbox } = bench.agent('edge-1', broker);
  const texts = (sent: readonly Sent[]) =>
    sent.filter((s) => s.name === 'event').map((s) => (s.data as EventView).text);
  const first = await listen(api);
  outbox.publish({ class: 'event', body: event(1) });
  outbox.publish({ class: 'alarm', body: alarm() });
  await eventually(() => first.sent.some((s) => s.name === 'alarm') && texts(first.sent).length === 2);
  first.close();
  const last = first.sent.at(-1)!.id;
  outbox.publish({ class: 'event', body: event(2) });
  await eventually(() => outbox.stats().pending === 0);
  const second = await listen(api, last);
  outbox.publish({ class: 'event', body: event(3) });
  await eventually(() => texts(second.sent).includes('event 3'));
  expect(texts(second.sent)).toEqual(['event 2', 'event 3']);
  expect(second.sent.some((s) => s.name === 'reset')).toBe(false);
  const third = await listen(api, 'another-life-17');
  await eventually(() => third.sent.some((s) => s.name === 'reset'));
});

test('coordinator: store restored from an older copy → the epoch rises, the agent says again what is missing', async () => {
  let process = await bench.coordinatorProcess({ api: 0, broker: 0 });
  const ports = { api: portOf(process.api), broker: portOf(process.broker) };
  const agent = bench.agent('edge-1', process.broker);
  const said = async (n: number): Promise<void> => {
    agent.outbox.publish({ class: 'event', body: event(n) });
    await eventually(() => agent.outbox.stats().pending === 0, { deadlineMs: 15_000 });
  };
  for (let n = 0; n < 5; n++) await said(n);
  await kill(process.child, 'SIGTERM');
  const file = join(bench.dir, 'coordinator', 'coordinator.db');
  copyFileSync(file, `${file}.backup`);
  process = await bench.coordinatorProcess(ports);
  for (let n = 5; n < 10; n++) await said(n);
  await process.kill();
  for (const suffix of ['', '-wal', '-shm']) rmSync(`${file}${suffix}`, { force: true });
  copyFileSync(`${file}.backup`, file);
  process = await bench.coordinatorProcess(ports);
  await eventually(async () => (await items<EventView>(process.api, '/api/v1/events')).length === 10, {
    deadlineMs: 15_000,
  });
  await said(10);
  const texts = (await items<EventView>(process.api, '/api/v1/events')).map((e) => e.detail['n']);
  expect(texts.reverse()).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  expect(statusViewSchema.parse(await (await get(process.api, '/api/v1/status')).json()).store.epoch).toBe(2);
}, 60_000);

test('agent: its disk rolled back → new stream, event agent-forked, nothing twice in the store', async () => {
  const { api, broker } = await bench.coordinator();
  const agent = bench.agent('edge-1', broker);
  const files = ['outbox.db', 'outbox.db-wal'].map((name) => join(agent.dir, name));
  const say = async (outbox: typeof agent.outbox, from: number, to: number): Promise<void> => {
    for (let n = from; n < to; n++) outbox.publish({ class: 'event', body: event(n) });
    await eventually(() => outbox.stats().pending === 0);
  };
  await say(agent.outbox, 0, 5);
  for (const path of files) copyFileSync(path, `${path}.snapshot`);
  await say(agent.outbox, 5, 10);
  await agent.end();
  rmSync(join(agent.dir, 'outbox.db-shm'), { force: true });
  for (const path of files) copyFileSync(`${path}.snapshot`, path);
  const back = bench.agent('edge-1', broker, { dir: agent.dir, boot: 'boot-2' });
  await eventually(() => back.outbox.stats().forks === 1);
  await say(back.outbox, 100, 103);
  const rows = (await items<EventView>(api, '/api/v1/events')).reverse();
  expect(rows.filter((e) => e.name === 'counted').map((e) => e.detail['n'])).toEqual([
    0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 100, 101, 102,
  ]);
  expect(rows.filter((e) => e.name === 'agent-forked')).toHaveLength(1);
});

test('coordinator config: several mistakes → all told at once, each with its line', async () => {
  const file = join(bench.dir, 'bad.yaml');
  writeFileSync(
    file,
    'site: "no spaces here"\ndata: d\ncolour: blue\napi: { listen: everywhere, token: { file: token } }\nbroker: { listen: "127.0.0.1:1883", users: u.json, password: secret }\n',
  );
  const loaded = await loadCoordinatorConfig(file, {});
  if (loaded.ok) throw new Error('taken');
  expect(loaded.error.map((p) => p.path)).toEqual(expect.arrayContaining(['site', 'api.listen', 'broker.password']));
  expect(loaded.error.some((p) => p.message.includes('colour'))).toBe(true);
  expect(loaded.error.find((p) => p.path === 'api.listen')?.line).toBe(4);
});
