import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import mqtt, { type IClientOptions, type MqttClient } from 'mqtt';
import { type ReportLink, type ReportLinkOptions, startReportLink } from '../../agent/adapters/mqtt/report-link.ts';
import { type Outbox, type OutboxLimits, openOutbox } from '../../agent/adapters/store/sqlite-outbox.ts';
import type { Input } from '../../agent/core/input.ts';
import type { AlarmTransition, ReportBody } from '../../agent/core/reporting/report.ts';
import { hashBrokerPassword } from '../../agent/wire/broker-users.ts';
import type { CoordinatorConfig } from '../../coordinator/config.ts';
import { type Coordinator, startCoordinator } from '../../coordinator/coordinator.ts';

export const TOKEN = 'token-for-tests-0123456789abcdef';
export const passwordOf = (name: string): string => `password-of-${name}`;

const hashes = new Map<string, string>();
const hashOf = (name: string): string => {
  const known = hashes.get(name) ?? hashBrokerPassword(passwordOf(name));
  hashes.set(name, known);
  return known;
};

/** A folder with everything that a coordinator of site `demo` needs, and the means to start it here or as a process. */
export class Bench {
  readonly dir = mkdtempSync(join(tmpdir(), 'millwright-voice-'));
  readonly inputs: Input[] = [];
  readonly #ends: (() => Promise<void> | void)[] = [];

  constructor(agents: readonly string[] = ['edge-1', 'edge-2', 'a1', 'a10']) {
    const users = [
      { name: 'coordinator', role: 'coordinator', hash: hashOf('coordinator') },
      { name: 'panel', role: 'viewer', hash: hashOf('panel') },
      ...agents.map((name) => ({ name, role: 'agent', hash: hashOf(name) })),
    ];
    writeFileSync(join(this.dir, 'broker-users.json'), JSON.stringify({ users }), { mode: 0o600 });
    writeFileSync(join(this.dir, 'token'), `${TOKEN}\n`, { mode: 0o600 });
    writeFileSync(join(this.dir, 'password'), `${passwordOf('coordinator')}\n`, { mode: 0o600 });
  }

  config(broker?: CoordinatorConfig['broker']): CoordinatorConfig {
    return {
      site: 'demo',
      data: join(this.dir, 'coordinator'),
      api: { host: '127.0.0.1', port: 0, token: TOKEN },
      broker: broker ?? {
        mode: 'embedded',
        host: '127.0.0.1',
        port: 0,
        users: join(this.dir, 'broker-users.json'),
        username: 'coordinator',
        password: passwordOf('coordinator'),
        tls: undefined,
      },
    };
  }

  /** In this process. */
  async coordinator(broker?: CoordinatorConfig['broker']): Promise<Coordinator> {
    const coordinator = await startCoordinator(this.config(broker), () => {});
    this.#ends.push(() => coordinator.stop());
    return coordinator;
  }

  /** As a process of its own, through its configuration file. Ports 0 are free ones. */
  async coordinatorProcess(
    ports: { api: number; broker: number } | { api: number; url: string },
  ): Promise<CoordinatorProcess> {
    const broker =
      'url' in ports
        ? `{ url: "${ports.url}", username: coordinator, password: { file: password } }`
        : `{ listen: "127.0.0.1:${ports.broker}", users: broker-users.json, username: coordinator, password: { file: password } }`;
    const file = join(this.dir, 'coordinator.yaml');
    writeFileSync(
      file,
      `site: demo\ndata: coordinator\napi: { listen: "127.0.0.1:${ports.api}", token: { file: token } }\nbroker: ${broker}\n`,
    );
    const main = new URL('../../coordinator/main.ts', import.meta.url).pathname;
    const child = spawn(process.execPath, [main, '--config', file, '--parent-pid', String(process.pid)], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let complaints = '';
    child.stderr.on('data', (chunk: Buffer) => {
      complaints = (complaints + chunk.toString()).slice(-4_000);
    });
    this.#ends.push(() => kill(child, 'SIGTERM'));
    const [line] = (await Promise.race([
      once(createInterface(child.stdout), 'line'),
      once(child, 'exit').then(() => {
        throw new Error(`the coordinator ended: ${complaints}`);
      }),
    ])) as [string];
    const ready = JSON.parse(line) as { api: string; broker: string };
    return { ...ready, child, kill: () => kill(child, 'SIGKILL') };
  }

  agent(name: string, url: string, options: AgentOptions = {}): TestAgent {
    const dir = options.dir ?? mkdtempSync(join(this.dir, `${name}-`));
    const outbox = openOutbox({
      dir,
      boot: options.boot ?? 'boot-1',
      clock: () => ({ wall: Date.now(), uncertaintyMs: 5 }),
      ...(options.limits === undefined ? {} : { limits: options.limits }),
    });
    const link = startReportLink({
      site: 'demo',
      agent: name,
      boot: options.boot ?? 'boot-1',
      broker: { url, username: name, password: options.password ?? passwordOf(name) },
      outbox,
      deliver: (input) => this.inputs.push(input),
      log: () => {},
      ...(options.obey === undefined ? {} : { obey: options.obey }),
      health: options.health ?? (() => ({ duties: [{ duty: 'press/poll', term: 1 }], members: [] })),
      info: () => ({ version: '0.0.0', duties: [{ duty: 'press/poll', kind: 'poll' }] }),
      // Waiting a minute for a broker that this test has just started again proves nothing.
      reconnectMs: options.reconnectMs ?? [40, 200],
    });
    const end = async (): Promise<void> => {
      await link.stop();
      outbox.close();
    };
    this.#ends.push(end);
    return { outbox, link, dir, end };
  }

  /** A bare MQTT client; resolves when connected, rejects when refused. */
  async client(url: string, settings: IClientOptions): Promise<MqttClient> {
    const client = mqtt.connect(url, { protocolVersion: 4, reconnectPeriod: 0, connectTimeout: 5_000, ...settings });
    this.#ends.push(async () => {
      client.on('error', () => {});
      await client.endAsync(true).catch(() => {});
    });
    await new Promise<void>((resolve, reject) => {
      client.once('connect', () => resolve());
      client.once('error', reject);
      client.once('close', () => reject(new Error('closed')));
    });
    client.on('error', () => {});
    return client;
  }

  onEnd(end: () => Promise<void> | void): void {
    this.#ends.push(end);
  }

  async end(): Promise<void> {
    for (const end of this.#ends.splice(0).reverse()) await end();
    rmSync(this.dir, { recursive: true, force: true });
  }
}

export interface CoordinatorProcess {
  readonly api: string;
  readonly broker: string;
  readonly child: ChildProcess;
  kill(): Promise<void>;
}

export interface AgentOptions {
  readonly obey?: NonNullable<ReportLinkOptions['obey']>;
  readonly dir?: string;
  readonly boot?: string;
  readonly limits?: Partial<OutboxLimits>;
  readonly password?: string;
  /** What it says of itself, asked about once a second. */
  readonly health?: () => object;
  readonly reconnectMs?: readonly [base: number, cap: number];
}

export interface TestAgent {
  readonly outbox: Outbox;
  readonly link: ReportLink;
  readonly dir: string;
  end(): Promise<void>;
}

export const portOf = (url: string): number => Number(new URL(url).port);

/** A port that was free a moment ago, for servers that cannot tell which they took. */
export const freePort = async (): Promise<number> => {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, 'close');
  return port;
};

export const kill = async (child: ChildProcess, signal: NodeJS.Signals): Promise<void> => {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill(signal);
  await gone;
};

export const get = async (api: string, path: string, init: RequestInit = {}): Promise<Response> =>
  fetch(`${api}${path}`, { ...init, headers: { authorization: `Bearer ${TOKEN}`, ...init.headers } });

export const items = async <T>(api: string, path: string): Promise<T[]> => {
  const response = await get(api, path);
  if (response.status !== 200) throw new Error(`${path}: ${response.status} ${await response.text()}`);
  return ((await response.json()) as { items: T[] }).items;
};

export const event = (n: number, text = `event ${n}`): ReportBody => ({
  type: 'event',
  name: 'counted',
  subject: 'edge-1',
  severity: 'info',
  text,
  detail: { n },
});

export const alarm = (change: Partial<AlarmTransition> = {}): AlarmTransition => ({
  type: 'alarm',
  alarmId: 'bearing-wear.press-7',
  thing: 'press-7',
  name: 'bearing-wear',
  state: 'on',
  term: 1,
  occurrence: 'o1',
  priority: 'high',
  cause: 'The bearing wears.',
  consequence: 'The press stops.',
  response: 'Change the bearing.',
  respondWithinMs: 3_600_000,
  firstSampleAt: 1_700_000_000_000 as AlarmTransition['firstSampleAt'],
  since: 1_700_000_000_500 as AlarmTransition['since'],
  evidence: 'bearing-rms 7.9 mm/s above 7.1 mm/s',
  ...change,
});
