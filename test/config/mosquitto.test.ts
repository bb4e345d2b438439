import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import mqtt, { type MqttClient } from 'mqtt';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { initSite, type SiteFolder } from '../../agent/config/site-init.ts';
import { eventually } from '../support/eventually.ts';
import { needs } from '../support/needs.ts';

const site = `millwright: 1
site: plant
agents: { a1: {}, a10: {} }
`;

/** Debian's mosquitto with exactly the files that `site init` wrote. */
describe('site init: mosquitto', needs('mosquitto'), () => {
  const base = mkdtempSync(join(tmpdir(), 'millwright-mosquitto-'));
  const clients: MqttClient[] = [];
  let folder: SiteFolder;
  let port = 0;
  let broker: ChildProcess;
  let log = '';

  const connect = async (
    username: string | undefined,
    password: string | undefined,
    clientId = username ?? 'nobody',
  ): Promise<MqttClient> => {
    const credential = username === undefined ? {} : { username, password: password ?? '' };
    const client = mqtt.connect({
      host: '127.0.0.1',
      port,
      ...credential,
      clientId,
      reconnectPeriod: 0,
      protocolVersion: 4,
    });
    clients.push(client);
    return await new Promise((resolve, reject) => {
      client.once('connect', () => resolve(client));
      client.once('error', reject);
    });
  };
  const secret = (path: string): string => readFileSync(path, 'utf8').trim();
  const agent = (name: string) => connect(name, secret(join(folder.agent(name), 'broker.password')));

  beforeAll(async () => {
    port = await freePort();
    writeFileSync(join(base, 'site.yaml'), site);
    const made = initSite({
      site: join(base, 'site.yaml'),
      out: join(base, 'out'),
      layout: { coordinator: { broker: `127.0.0.1:${port}` } },
    });
    if (!made.ok) throw new Error(made.error.message);
    folder = made.value.folder;
    broker = spawn('mosquitto', ['-c', folder.mosquittoConf], { stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [broker.stdout, broker.stderr]) stream?.on('data', (data) => (log += String(data)));
    // Refused at CONNECT means that it listens.
    await eventually(() => connect('nobody', 'x').catch((error) => /Not authorized/.test(String(error))), {
      what: 'mosquitto starts',
    }).catch((error) => {
      throw new Error(`mosquitto says: ${log}`, { cause: error });
    });
  });

  afterAll(async () => {
    for (const client of clients) client.end(true);
    if (broker !== undefined && broker.exitCode === null) {
      broker.kill('SIGTERM');
      await once(broker, 'exit');
    }
    rmSync(base, { recursive: true, force: true });
  });

  it('credentials of an agent and of the coordinator → accepted; wrong, unknown or none → refused at CONNECT', async () => {
    await agent('a1');
    await connect('coordinator', secret(join(folder.coordinator, 'broker.password')));
    await expect(connect('a1', 'guess')).rejects.toThrow(/Not authorized/);
    await expect(connect('a2', secret(join(folder.agent('a1'), 'broker.password')))).rejects.toThrow(/Not authorized/);
    await expect(connect(undefined, undefined)).rejects.toThrow(/Not authorized/);
  });

  it('agent → is heard below its own topic only, a1 not below a10', async () => {
    const coordinator = await connect('coordinator', secret(join(folder.coordinator, 'broker.password')));
    const heard: string[] = [];
    coordinator.on('message', (topic) => heard.push(topic));
    await coordinator.subscribeAsync('mw/1/plant/#', { qos: 1 });
    const a1 = await agent('a1');
    const tries = [
      'mw/1/plant/a10/log',
      'mw/1/plant/coordinator/presence',
      'mw/1/plant/coordinator/acked/a1',
      'mw/1/plant/a1/cmd/stop',
      'mw/1/other/a1/log',
      'mw/1/plant/a1/presence',
      'mw/1/plant/a1/health',
      'mw/1/plant/a1/summary/press.poll',
      'mw/1/plant/a1/log',
    ];
    // Every one gets its PUBACK: a denial is silent in MQTT 3.1.1.
    for (const topic of tries) await a1.publishAsync(topic, 'x', { qos: 1 });
    await eventually(() => heard.includes('mw/1/plant/a1/log'), { what: 'the last message' });
    expect(heard).toEqual(tries.slice(5));
  });

  it('agent → reads its own commands and acknowledgements, nothing of others', async () => {
    const a1 = await agent('a1');
    const heard: string[] = [];
    a1.on('message', (topic) => heard.push(topic));
    await a1.subscribeAsync('mw/1/plant/#', { qos: 0 }).catch(() => {});
    await a1.subscribeAsync([
      'mw/1/plant/a1/cmd/+',
      'mw/1/plant/coordinator/acked/a1',
      'mw/1/plant/coordinator/presence',
    ]);
    const coordinator = await connect('coordinator', secret(join(folder.coordinator, 'broker.password')));
    const a10 = await agent('a10');
    await a10.publishAsync('mw/1/plant/a10/log', 'x', { qos: 1 });
    for (const topic of [
      'a10/cmd/stop',
      'coordinator/acked/a10',
      'coordinator/presence',
      'coordinator/acked/a1',
      'a1/cmd/stop',
    ]) {
      await coordinator.publishAsync(`mw/1/plant/${topic}`, 'x', { qos: 1 });
    }
    await eventually(() => heard.includes('mw/1/plant/a1/cmd/stop'), { what: 'the last message' });
    expect([...new Set(heard)]).toEqual([
      'mw/1/plant/coordinator/presence',
      'mw/1/plant/coordinator/acked/a1',
      'mw/1/plant/a1/cmd/stop',
    ]);
  });

  it('a client that shows another agent’s id → is known by its own credential and throws nobody out', async () => {
    const a10 = await agent('a10');
    let closed = false;
    a10.on('close', () => (closed = true));
    const thief = await connect('a1', secret(join(folder.agent('a1'), 'broker.password')), 'a10');
    const heard: string[] = [];
    thief.on('message', (topic) => heard.push(topic));
    await thief.subscribeAsync(['mw/1/plant/a10/cmd/+', 'mw/1/plant/a1/cmd/+']).catch(() => {});
    const coordinator = await connect('coordinator', secret(join(folder.coordinator, 'broker.password')));
    await coordinator.publishAsync('mw/1/plant/a10/cmd/stop', 'x', { qos: 1 });
    await coordinator.publishAsync('mw/1/plant/a1/cmd/stop', 'x', { qos: 1 });
    await eventually(() => heard.includes('mw/1/plant/a1/cmd/stop'), { what: 'its own command' });
    expect(heard).toEqual(['mw/1/plant/a1/cmd/stop']);
    expect(closed).toBe(false);
  });
});

async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  return typeof address === 'object' && address !== null ? address.port : 0;
}
