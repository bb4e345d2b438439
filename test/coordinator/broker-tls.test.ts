import { readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import mqtt from 'mqtt';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { hashBrokerPassword } from '../../agent/wire/broker-users.ts';
import { Credentials } from '../../coordinator/broker/credentials.ts';
import { type EmbeddedBroker, type Refusal, startEmbeddedBroker } from '../../coordinator/broker/embedded-broker.ts';
import { eventually } from '../support/eventually.ts';

const fixtures = join(import.meta.dirname, 'fixtures');
const key = join(fixtures, 'broker-for-tests.key.pem');
const cert = join(fixtures, 'broker-for-tests.cert.pem');

let broker: EmbeddedBroker;
const refusals: Refusal[] = [];
const strangers: Socket[] = [];

beforeEach(async () => {
  refusals.length = 0;
  broker = await startEmbeddedBroker({
    site: 'demo',
    host: '127.0.0.1',
    port: 0,
    credentials: new Credentials({ users: [{ name: 'edge-1', hash: hashBrokerPassword('secret'), role: 'agent' }] }),
    tls: { key, cert },
    onForeign: () => {},
    onRefused: (refusal) => refusals.push(refusal),
  });
});
afterEach(async () => {
  for (const socket of strangers.splice(0)) socket.destroy();
  await broker.stop();
});

const knock = (): Socket => {
  const socket = connect(broker.port, '127.0.0.1');
  socket.on('error', () => {});
  strangers.push(socket);
  return socket;
};

test('broker over TLS: an agent that trusts the certificate connects and says something', async () => {
  const client = await mqtt.connectAsync(`mqtts://localhost:${broker.port}`, {
    ca: [readFileSync(cert)],
    clientId: 'edge-1',
    username: 'edge-1',
    password: 'secret',
    protocolVersion: 4,
    reconnectPeriod: 0,
  });
  await client.publishAsync('mw/1/demo/edge-1/log', 'hello', { qos: 1 });
  expect(broker.clients()).toBe(1);
  await client.endAsync();
});

test('broker over TLS: strangers that never shake hands → the eleventh of an address is refused, all are gone after 5 s', async () => {
  const sockets = Array.from({ length: 11 }, knock);
  await eventually(() => refusals.some((refusal) => refusal.reason === 'too-many-connections'), { what: 'a refusal' });
  await eventually(() => sockets.every((socket) => socket.destroyed), {
    deadlineMs: 8_000,
    what: 'the strangers are gone',
  });
}, 15_000);
