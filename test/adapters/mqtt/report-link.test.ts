import { createServer, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { agentViewSchema, type EventView, listOf } from '../../../coordinator/api/schemas.ts';
import { Bench, event, get, items, passwordOf, portOf } from '../../coordinator/bench.ts';
import { eventually } from '../../support/eventually.ts';

let bench: Bench;
beforeEach(() => {
  bench = new Bench();
});
afterEach(() => bench.end());

const states = (): string[] => bench.inputs.flatMap((i) => (i.kind === 'coordinator-changed' ? [i.state] : []));

test('report link: broker away at the start → a state, not an end; it comes → everything is said', async () => {
  const coordinator = await bench.coordinator();
  const port = portOf(coordinator.broker);
  await coordinator.stop();
  const agent = bench.agent('edge-1', `mqtt://127.0.0.1:${port}`);
  for (let n = 0; n < 10; n++) expect(agent.outbox.publish({ class: 'event', body: event(n) })).toBe(true);
  await eventually(() => agent.link.state().lastError?.includes('ECONNREFUSED'));
  expect(agent.link.state()).toMatchObject({ coordinator: 'lost', connects: 0 });
  const config = bench.config();
  const back = await bench.coordinator({ ...config.broker, port } as typeof config.broker);
  await eventually(() => agent.outbox.stats().pending === 0);
  expect(await items<EventView>(back.api, '/api/v1/events')).toHaveLength(10);
  expect(states()).toEqual(['connected']);
});

test('report link: wrong password → refused, shown in words without the password, tried again with pauses', async () => {
  const coordinator = await bench.coordinator();
  const agent = bench.agent('edge-1', coordinator.broker, { password: 'not-the-one' });
  await eventually(() => coordinator.status().broker.refused['bad-credentials']! >= 2);
  expect(agent.link.state()).toMatchObject({ coordinator: 'lost', connects: 0 });
  expect(agent.link.state().lastError).toMatch(/username or password/i);
  expect(JSON.stringify([agent.link.state(), coordinator.status()])).not.toContain('not-the-one');
});

test('report link: presence → online while it lives, offline by the Will when its line is cut, offline when it leaves', async () => {
  const coordinator = await bench.coordinator();
  const relay = await startRelay(portOf(coordinator.broker));
  const agent = bench.agent('edge-1', `mqtt://127.0.0.1:${relay.port}`);
  const presence = async () => {
    const { items: agents } = listOf(agentViewSchema).parse(
      await (await get(coordinator.api, '/api/v1/agents')).json(),
    );
    return agents.find((a) => a.agent === 'edge-1')?.presence;
  };
  await eventually(async () => (await presence()) === 'online');
  relay.cut();
  await eventually(async () => (await presence()) === 'offline');
  relay.mend();
  await eventually(async () => (await presence()) === 'online');
  await agent.end();
  await eventually(async () => (await presence()) === 'offline');
});

test('report link: cut from the broker by a relay, spoken meanwhile, mended → complete, in order, with the first stamps', async () => {
  const coordinator = await bench.coordinator();
  const relay = await startRelay(portOf(coordinator.broker));
  const agent = bench.agent('edge-1', `mqtt://127.0.0.1:${relay.port}`);
  await eventually(() => agent.link.state().coordinator === 'connected');
  relay.cut();
  await eventually(() => agent.link.state().coordinator === 'lost');
  const before = Date.now();
  for (let n = 0; n < 400; n++) agent.outbox.publish({ class: 'event', body: event(n) });
  const after = Date.now();
  relay.mend();
  await eventually(() => agent.outbox.stats().pending === 0, { deadlineMs: 10_000 });
  const rows = (await items<EventView>(coordinator.api, '/api/v1/events?limit=1000')).reverse();
  expect(rows.map((row) => row.detail['n'])).toEqual(Array.from({ length: 400 }, (_, n) => n));
  for (const row of rows) {
    expect(row.ts).toBeGreaterThanOrEqual(before);
    expect(row.ts).toBeLessThanOrEqual(after);
  }
  expect(states()).toEqual(['connected', 'lost', 'connected']);
});

test('report link: the line falls silent without closing, a peer lost the coordinator → found by asking, within a second', async () => {
  const coordinator = await bench.coordinator();
  const relay = await startRelay(portOf(coordinator.broker));
  const agent = bench.agent('edge-1', `mqtt://127.0.0.1:${relay.port}`);
  await eventually(() => agent.link.state().coordinator === 'connected');
  agent.link.check();
  relay.hush();
  const asked = performance.now();
  await eventually(() => {
    // As often as one likes: it asks once a second at most.
    agent.link.check();
    return agent.link.state().coordinator === 'lost';
  });
  // The keepalive alone needs five seconds at the least.
  expect(performance.now() - asked).toBeLessThan(4_000);
  expect(agent.link.state().lastError).toMatch(/did not answer a ping|ECONN|closed/);
  expect(states()).toEqual(['connected', 'lost']);
});

test('report link: waiting for its next attempt, a peer found the coordinator → tries at once', async () => {
  const coordinator = await bench.coordinator();
  const relay = await startRelay(portOf(coordinator.broker));
  const agent = bench.agent('edge-1', `mqtt://127.0.0.1:${relay.port}`, { reconnectMs: [60_000, 60_000] });
  await eventually(() => agent.link.state().coordinator === 'connected');
  relay.cut();
  await eventually(() => agent.link.state().broker === 'waiting');
  relay.mend();
  agent.link.check();
  await eventually(() => agent.link.state().coordinator === 'connected');
});

test('report link: garbage on its own topics (acknowledgements, presence of the coordinator) → counted, nothing moves', async () => {
  const coordinator = await bench.coordinator();
  const agent = bench.agent('edge-1', coordinator.broker);
  await eventually(() => agent.link.state().coordinator === 'connected');
  const cursor = agent.outbox.cursor();
  const voice = await bench.client(coordinator.broker, {
    clientId: 'coordinator',
    username: 'coordinator',
    password: passwordOf('coordinator'),
  });
  const acked = 'mw/1/demo/coordinator/acked/edge-1';
  const forged = {
    v: 1,
    store: 's',
    epoch: 1,
    stream: 'f'.repeat(32),
    upTo: 9,
    chain: 'f'.repeat(32),
    want: [],
    quarantined: 0,
  };
  for (const bytes of [
    Buffer.from([0xff, 0]),
    Buffer.from('{}'),
    Buffer.alloc(20_000, 0x5b),
    Buffer.from(JSON.stringify(forged)),
  ]) {
    await voice.publishAsync(acked, bytes, { qos: 0 });
  }
  await voice.publishAsync('mw/1/demo/coordinator/presence', '!', { qos: 1 });
  await eventually(() => agent.link.state().dropped['bad-presence'] === 1);
  expect(agent.link.state().dropped).toMatchObject({ 'bad-ack': 3, 'other-stream': 1 });
  expect(agent.outbox.cursor()).toEqual(cursor);
});

test('report link: the disk refuses the new stream that a fork needs → no crash, the old stream goes on', async () => {
  const coordinator = await bench.coordinator();
  const agent = bench.agent('edge-1', coordinator.broker);
  await eventually(() => agent.link.state().coordinator === 'connected');
  let asked = 0;
  agent.outbox.fork = () => {
    asked++;
    throw new Error('database or disk is full');
  };
  const voice = await bench.client(coordinator.broker, {
    clientId: 'coordinator',
    username: 'coordinator',
    password: passwordOf('coordinator'),
  });
  const stream = agent.outbox.stream();
  const ahead = { v: 1, store: 's', epoch: 1, stream, upTo: 999, chain: 'f'.repeat(32), want: [], quarantined: 0 };
  await voice.publishAsync('mw/1/demo/coordinator/acked/edge-1', JSON.stringify(ahead), { qos: 0 });
  await eventually(() => asked === 1);
  await voice.endAsync();
  agent.outbox.publish({ class: 'event', body: event(1) });
  await eventually(() => agent.outbox.stats().pending === 0, { deadlineMs: 10_000 });
  expect(agent.outbox.stream()).toBe(stream);
});

/** A relay between agent and broker that can be cut, hushed (nothing passes, nothing closes) and mended. */
const startRelay = async (to: number) => {
  const { connect } = await import('node:net');
  const pairs = new Set<Socket>();
  let open = true;
  const server: Server = createServer((near) => {
    near.on('error', () => {});
    if (!open) {
      near.destroy();
      return;
    }
    const far = connect(to, '127.0.0.1');
    far.on('error', () => {});
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      pairs.add(one);
      one.pipe(other);
      one.on('close', () => {
        pairs.delete(one);
        other.destroy();
      });
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const cut = (): void => {
    open = false;
    for (const socket of pairs) socket.destroy();
  };
  bench.onEnd(() => {
    cut();
    server.close();
  });
  const hush = (): void => {
    for (const socket of pairs) {
      socket.unpipe();
      socket.pause();
    }
  };
  return { port: (server.address() as { port: number }).port, cut, hush, mend: () => (open = true) };
};
