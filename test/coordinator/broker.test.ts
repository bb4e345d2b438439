import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { OrderDesk } from '../../agent/adapters/order-desk.ts';
import { ok } from '../../agent/base/result.ts';
import { signOrder } from '../../agent/wire/order.ts';
import { oneLineKey } from '../../agent/wire/roster.ts';
import type { QuarantineView, StatusView } from '../../coordinator/api/schemas.ts';
import { orderViewSchema } from '../../coordinator/api/schemas.ts';
import { PacketGate } from '../../coordinator/broker/packet-gate.ts';
import type { Coordinator } from '../../coordinator/coordinator.ts';
import { eventually } from '../support/eventually.ts';
import { Bench, event, get, items, passwordOf, portOf, TOKEN } from './bench.ts';

let bench: Bench;
let coordinator: Coordinator;
beforeEach(async () => {
  bench = new Bench();
  coordinator = await bench.coordinator();
});
afterEach(() => bench.end());

const as = (name: string, change: object = {}) => ({
  clientId: name,
  username: name,
  password: passwordOf(name),
  ...change,
});
const refused = (reason: string) => eventually(() => coordinator.status().broker.refused[reason]);

test.each([
  ['wrong password', as('edge-1', { password: 'guess' }), 'bad-credentials'],
  ['unknown name', as('edge-9'), 'bad-credentials'],
  ['no credentials', { clientId: 'edge-1' }, 'bad-credentials'],
  ['own credentials with the client id of another', as('edge-1', { clientId: 'edge-2' }), 'client-id-not-own'],
  [
    'own credentials with the client id of the coordinator',
    as('edge-1', { clientId: 'coordinator' }),
    'client-id-not-own',
  ],
  [
    'a Will below the topic of another',
    as('edge-1', { will: { topic: 'mw/1/demo/edge-2/presence', payload: Buffer.from('x'), qos: 1, retain: true } }),
    'foreign-will',
  ],
])('broker: %s → refused at CONNECT, counted, shown', async (_what, settings, reason) => {
  await expect(bench.client(coordinator.broker, settings)).rejects.toThrow();
  await refused(reason);
  const status = (await (await get(coordinator.api, '/api/v1/status')).json()) as StatusView;
  expect(status.broker.refused[reason]).toBe(1);
  expect(status.broker.recent[0]).toMatchObject({ reason, address: '127.0.0.1' });
  expect(JSON.stringify(status)).not.toContain('password');
});

test('broker: stolen client id → its owner’s session is not touched', async () => {
  const owner = await bench.client(coordinator.broker, as('edge-1'));
  await expect(bench.client(coordinator.broker, as('edge-2', { clientId: 'edge-1' }))).rejects.toThrow();
  await owner.publishAsync('mw/1/demo/edge-1/presence', 'still here', { qos: 1 });
  expect(owner.connected).toBe(true);
});

test('broker: agent publishes below the topic of another → PUBACK, nobody hears it, quarantined and shown', async () => {
  const viewer = await bench.client(coordinator.broker, as('panel'));
  const heard: string[] = [];
  viewer.on('message', (topic) => heard.push(topic));
  await viewer.subscribeAsync('mw/1/demo/#', { qos: 1 });
  const thief = await bench.client(coordinator.broker, as('a1'));
  // Resolves with the PUBACK.
  await thief.publishAsync('mw/1/demo/a10/presence', '{"forged":true}', { qos: 1, retain: true });
  await thief.publishAsync('mw/1/demo/coordinator/acked/a10', '{"forged":true}', { qos: 1 });
  await thief.publishAsync('mw/1/demo/a1/presence', 'mine', { qos: 1 });
  await eventually(() => heard.includes('mw/1/demo/a1/presence'));
  expect(heard.filter((topic) => !topic.startsWith('mw/1/demo/a1/'))).toEqual(
    heard.filter((topic) => topic.startsWith('mw/1/demo/coordinator/')),
  );
  expect(heard).not.toContain('mw/1/demo/a10/presence');
  const rows = await eventually(async () => {
    const all = await items<QuarantineView>(coordinator.api, '/api/v1/quarantine');
    return all.filter((row) => row.topic.includes('a10')).length === 2 && all;
  });
  expect(rows.find((row) => row.topic === 'mw/1/demo/a10/presence')).toMatchObject({
    agent: 'a1',
    preview: '{"forged":true}',
  });
  expect(thief.connected).toBe(true);
  expect(coordinator.status().broker.refused['foreign']).toBe(2);
});

test('broker: agent asks for the acknowledgements of another, or for everything → denied', async () => {
  const thief = await bench.client(coordinator.broker, as('a1'));
  for (const filter of [
    'mw/1/demo/coordinator/acked/a10',
    '#',
    'mw/1/demo/+/log',
    '$SYS/#',
    '$share/g/mw/1/demo/a1/cmd/+',
  ]) {
    const granted = await thief.subscribeAsync(filter, { qos: 1 }).catch(() => 'denied' as const);
    expect(granted === 'denied' || granted.every((g) => g.qos === 128), filter).toBe(true);
  }
  expect((await thief.subscribeAsync('mw/1/demo/coordinator/acked/a1', { qos: 1 }))[0]!.qos).toBe(1);
});

test('broker: garbage instead of MQTT, and a frame that announces 200 MB → cut off, counted, the broker serves on', async () => {
  const port = portOf(coordinator.broker);
  for (const bytes of [Buffer.from('GET / HTTP/1.1\r\n\r\n'), Buffer.from([0x10, 0xff, 0xff, 0xff, 0x5f, 0, 4])]) {
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => {});
    await once(socket, 'connect');
    socket.write(bytes);
    await once(socket, 'close');
  }
  await refused('too-large');
  const fine = await bench.client(coordinator.broker, as('edge-1'));
  expect(fine.connected).toBe(true);
});

test('broker: eleven strangers of one address that say nothing → the eleventh is refused, all are gone after 5 s', async () => {
  const port = portOf(coordinator.broker);
  const sockets = Array.from({ length: 11 }, () => connect(port, '127.0.0.1'));
  let closed = 0;
  for (const socket of sockets) {
    socket.on('error', () => {});
    socket.on('close', () => closed++);
    socket.resume();
  }
  await refused('too-many-connections');
  await eventually(() => closed === 11, { deadlineMs: 8_000 });
  const fine = await bench.client(coordinator.broker, as('edge-1'));
  expect(fine.connected).toBe(true);
});

test('broker: garbage on every topic that an agent may write → counted, quarantined, its stream goes on', async () => {
  const raw = await bench.client(coordinator.broker, as('edge-1'));
  const leaves = ['log', 'presence', 'health', 'info'];
  for (const leaf of leaves)
    await raw.publishAsync(`mw/1/demo/edge-1/${leaf}`, Buffer.from([0xff, 0x00, 0x7b]), { qos: 1 });
  const rows = await eventually(async () => {
    const all = await items<QuarantineView>(coordinator.api, '/api/v1/quarantine');
    return all.length === leaves.length && all;
  });
  expect(rows.map((row) => row.topic.split('/')[4]).sort()).toEqual([...leaves].sort());
  await raw.endAsync();
  const agent = bench.agent('edge-1', coordinator.broker);
  agent.outbox.publish({ class: 'event', body: event(1) });
  await eventually(() => agent.outbox.stats().pending === 0);
});

test('report link: unsigned command → not obeyed, counted, told through the outbox', async () => {
  const agent = bench.agent('edge-1', coordinator.broker);
  await eventually(() => agent.link.state().coordinator === 'connected');
  // The coordinator's own credential, from a second line: it takes the first one's place, as MQTT has it.
  const voice = await bench.client(coordinator.broker, as('coordinator'));
  await voice.publishAsync('mw/1/demo/edge-1/cmd/stop', '{"run":"r1"}', { qos: 1 });
  await eventually(() => agent.link.state().commandsRefused === 1);
  await voice.endAsync();
  const told = await eventually(
    async () =>
      (await items<{ name: string }>(coordinator.api, '/api/v1/events')).find((e) => e.name === 'command-refused'),
    {
      deadlineMs: 15_000,
    },
  );
  expect(told).toMatchObject({ subject: 'edge-1', detail: { verb: 'stop' } });
});

test('order: carried by the coordinator as a person signed it, obeyed by the agent; changed or sent again by the broker, it is not', async () => {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const secret = privateKey.export({ type: 'pkcs8', format: 'pem' }) as string;
  const key = oneLineKey(publicKey.export({ type: 'spki', format: 'pem' }) as string) ?? '';
  const obeyed: string[] = [];
  const desk = new OrderDesk({
    site: 'demo',
    agent: 'edge-1',
    dataDir: join(bench.dir, 'orders'),
    operators: () => [{ name: 'anna', key, may: ['order'] }],
    wall: () => Date.now(),
    obey: (what) => {
      obeyed.push(what.verb);
      return ok(undefined);
    },
    report: () => {},
    log: { info() {}, warn() {} },
  });
  bench.onEnd(async () => desk.close());
  const agent = bench.agent('edge-1', coordinator.broker, {
    obey: (verb, document) => desk.answer(document, 'the broker', verb),
  });
  await eventually(() => agent.link.state().coordinator === 'connected');
  const order = (site: string, agent = 'edge-1', by = 'anna'): Uint8Array =>
    signOrder(
      {
        site,
        agent,
        by,
        id: randomBytes(16).toString('hex'),
        issuedAt: new Date().toISOString(),
        notAfter: new Date(Date.now() + 60_000).toISOString(),
        what: { verb: 'stop', run: 'r1' },
      },
      secret,
    );
  const bring = (body: Uint8Array, token = TOKEN) =>
    fetch(`${coordinator.api}/api/v1/orders`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/octet-stream' },
      body: Uint8Array.from(body),
    });
  const good = order('demo');
  expect((await bring(good, 'guess')).status).toBe(401);
  expect((await bring(Buffer.from('{"run":"r1"}'))).status).toBe(400);
  expect((await bring(order('other'))).status).toBe(409);
  expect(obeyed).toEqual([]);
  const carried = await bring(good);
  expect(carried.status).toBe(202);
  expect(await carried.json()).toMatchObject({ carried: true, agent: 'edge-1' });
  await eventually(() => obeyed.length === 1);
  const orders = async () => (await items(coordinator.api, '/api/v1/orders')).map((item) => orderViewSchema.parse(item)); // biome-ignore format: one list
  await eventually(async () => (await orders())[0]?.state === 'obeyed');
  expect(await orders()).toMatchObject([{ agent: 'edge-1', by: 'anna', verb: 'stop', about: 'r1', reason: null }]);

  // What an agent refuses comes back with its reason.
  expect((await bring(order('demo', 'edge-1', 'boris'))).status).toBe(202);
  await eventually(async () => (await orders())[0]?.state === 'refused');
  expect((await orders())[0]).toMatchObject({ by: 'boris', reason: 'unknown-operator' });

  // Whoever has the coordinator's credential can send what it has seen, and what it makes of it.
  const voice = await bench.client(coordinator.broker, as('coordinator'));
  const changed = Buffer.from(good);
  changed[20] = changed[20]! ^ 1;
  await voice.publishAsync('mw/1/demo/edge-1/cmd/stop', Buffer.from(good), { qos: 1 });
  await voice.publishAsync('mw/1/demo/edge-1/cmd/drain', Buffer.from(order('demo')), { qos: 1 });
  await voice.publishAsync('mw/1/demo/edge-1/cmd/stop', changed, { qos: 1 });
  await eventually(() => agent.link.state().commandsRefused === 4);
  await voice.endAsync();
  // The answers to those are no news about what was obeyed.
  expect((await orders()).map(({ state }) => state)).toEqual(['refused', 'obeyed']);
  expect(desk.counts.refused).toMatchObject({ replayed: 1, 'other-verb': 1 });
  expect(obeyed).toEqual(['stop']);
});

test('packet gate: frames in any pieces → passes what fits, trips on what announces too much', () => {
  const frame = (type: number, length: number): Buffer => {
    const head = [type];
    let rest = length;
    do {
      head.push((rest & 0x7f) | (rest > 127 ? 0x80 : 0));
      rest >>= 7;
    } while (rest > 0);
    return Buffer.concat([Buffer.from(head), Buffer.alloc(length)]);
  };
  for (const size of [1, 2, 3, 7, 1_000]) {
    const gate = new PacketGate(200);
    const fine = Buffer.concat([frame(0x10, 200), frame(0xc0, 0), frame(0x30, 128), frame(0x30, 127)]);
    for (let i = 0; i < fine.length; i += size) expect(gate.pass(fine.subarray(i, i + size))).toBe(true);
    const large = frame(0x30, 201);
    let passed = true;
    for (let i = 0; i < large.length; i += size) passed = gate.pass(large.subarray(i, i + size));
    expect(passed).toBe(false);
  }
  expect(new PacketGate(1e9).pass(Buffer.from([0x30, 0xff, 0xff, 0xff, 0xff, 0x01]))).toBe(false);
});
