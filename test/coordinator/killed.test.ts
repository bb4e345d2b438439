import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { openSqliteStore } from '../../coordinator/store/sqlite-store.ts';
import { eventually } from '../support/eventually.ts';
import { needs } from '../support/needs.ts';
import { Bench, event, freePort, kill, passwordOf, portOf, type TestAgent } from './bench.ts';

/**
 * The promise of the outbox, against real deaths: whatever was published is in the store exactly once and in order,
 * whichever of the broker and the coordinator was killed with SIGKILL in the middle of the stream. `MILLWRIGHT_ROUNDS`
 * makes a longer soak of it.
 */
const ROUNDS = Number(process.env['MILLWRIGHT_ROUNDS'] ?? 3);
const PER_ROUND = 250;
const PATIENCE = 60_000 + ROUNDS * 10_000;

let bench: Bench;
beforeEach(() => {
  bench = new Bench();
});
afterEach(() => bench.end());

/** Publishes a part of a round now and then, so that the kill hits the middle of the stream. */
const speak = async (agent: TestAgent, from: number, to: number): Promise<void> => {
  for (let n = from; n < to; n++) {
    expect(agent.outbox.publish({ class: n % 5 === 0 ? 'telemetry' : 'event', body: event(n) })).toBe(true);
    if (n % 10 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
};

const allSaid = (agent: TestAgent) =>
  eventually(() => agent.outbox.stats().pending === 0, { deadlineMs: 20_000, what: 'everything acknowledged' });

/** What the store holds, compared with what the agent published: nothing lost, nothing doubled, in order. */
const expectExactly = (published: number): void => {
  const store = openSqliteStore(join(bench.dir, 'coordinator', 'coordinator.db'));
  try {
    const told: number[] = [];
    for (let before: number | undefined; ; ) {
      const rows = store.events({ limit: 1_000, before });
      if (rows.length === 0) break;
      for (const row of rows) if (row.name === 'counted') told.push(row.detail['n'] as number);
      before = rows.at(-1)!.cursor;
    }
    expect(told.reverse()).toEqual(Array.from({ length: published }, (_, n) => n));
    expect(store.counts()).toMatchObject({ quarantined: 0, gaps: 0 });
  } finally {
    store.close();
  }
};

test(
  'outbox: coordinator with its broker killed in mid-stream, again and again → nothing lost, nothing doubled',
  async () => {
    let coordinator = await bench.coordinatorProcess({ api: 0, broker: 0 });
    const ports = { api: portOf(coordinator.api), broker: portOf(coordinator.broker) };
    const agent = bench.agent('edge-1', coordinator.broker);
    let n = 0;
    for (let round = 0; round < ROUNDS; round++) {
      await eventually(() => agent.link.state().coordinator === 'connected', { deadlineMs: 20_000 });
      const acks = agent.link.state().acks;
      await speak(agent, n, n + PER_ROUND);
      // Not before some of it is under way: the kill shall find half a stream.
      await eventually(() => agent.link.state().acks > acks);
      const dying = coordinator.kill();
      await speak(agent, n + PER_ROUND, n + 2 * PER_ROUND);
      await dying;
      n += 2 * PER_ROUND;
      coordinator = await bench.coordinatorProcess(ports);
    }
    await allSaid(agent);
    await kill(coordinator.child, 'SIGTERM');
    expectExactly(n);
    expect(agent.outbox.stats()).toMatchObject({ forks: 0, refused: 0 });
  },
  PATIENCE,
);

test('outbox: mosquitto killed, then the coordinator killed behind it, in mid-stream → nothing lost, nothing doubled', {
  ...needs('mosquitto'),
  timeout: PATIENCE,
}, async () => {
  const port = await freePort();
  let broker = await startMosquitto(bench, port);
  const url = `mqtt://127.0.0.1:${port}`;
  let coordinator = await bench.coordinatorProcess({ api: 0, url });
  const agent = bench.agent('edge-1', url);
  let n = 0;
  for (let round = 0; round < ROUNDS; round++) {
    await eventually(() => agent.link.state().coordinator === 'connected', { deadlineMs: 20_000 });
    const acks = agent.link.state().acks;
    await speak(agent, n, n + PER_ROUND);
    await eventually(() => agent.link.state().acks > acks);
    if (round % 2 === 0) {
      const dying = broker.kill();
      await speak(agent, n + PER_ROUND, n + 2 * PER_ROUND);
      await dying;
      broker = await startMosquitto(bench, port);
    } else {
      const dying = coordinator.kill();
      await speak(agent, n + PER_ROUND, n + 2 * PER_ROUND);
      await dying;
      coordinator = await bench.coordinatorProcess({ api: 0, url });
    }
    n += 2 * PER_ROUND;
  }
  // Debian's mosquitto speaks version 5, Aedes does not: the chain is the same over both.
  expect(agent.link.state().protocol).toBe(5);
  await allSaid(agent);
  await kill(coordinator.child, 'SIGTERM');
  expectExactly(n);
});

const startMosquitto = async (on: Bench, port: number) => {
  const file = join(on.dir, 'mosquitto.conf');
  const passwords = join(on.dir, 'passwords');
  const acl = join(on.dir, 'acl');
  writeFileSync(passwords, ['coordinator', 'edge-1'].map((name) => `${name}:${passwordOf(name)}\n`).join(''), {
    mode: 0o600,
  });
  const hashed = spawn('mosquitto_passwd', ['-U', passwords], { stdio: 'ignore' });
  await once(hashed, 'exit');
  writeFileSync(
    acl,
    'user coordinator\ntopic readwrite mw/1/demo/#\n\npattern readwrite mw/1/demo/%u/#\n' +
      'pattern read mw/1/demo/coordinator/acked/%u\npattern read mw/1/demo/coordinator/presence\n',
  );
  writeFileSync(
    file,
    `listener ${port} 127.0.0.1\nallow_anonymous false\npassword_file ${passwords}\nacl_file ${acl}\npersistence false\n` +
      `user ${process.getuid?.() === 0 ? 'root' : ''}\n`.replace('user \n', ''),
  );
  const child = spawn('mosquitto', ['-c', file], { stdio: 'ignore' });
  on.onEnd(() => kill(child, 'SIGTERM'));
  await eventually(async () => {
    const socket = connect(port, '127.0.0.1');
    try {
      await once(socket, 'connect');
      return true;
    } finally {
      socket.destroy();
    }
  });
  return { kill: () => kill(child, 'SIGKILL') };
};
