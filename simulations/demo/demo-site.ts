import { spawn } from 'node:child_process';
import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Document, parseDocument } from 'yaml';
import type { AgentStatus } from '../../agent/wire/status.ts';
import { Hall } from '../plant/hall.ts';
import { agentStatus, call, until } from './client.ts';
import { baseEnv, edgeBoxEnv, edgeBoxKnobs, type Spawned, spawnNode } from './processes.ts';
import { Relay } from './relay.ts';
import type { Sabotage } from './sabotage.ts';

const here = dirname(fileURLToPath(import.meta.url));
const root = resolve(here, '..', '..');
/** `.ts` in the checkout, `.js` in the package. */
const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
const millwright = join(root, `millwright.${extension}`);

export interface DemoOptions {
  /** A recording that the pump's sensors play, and rows per second. */
  readonly replayFile: string | undefined;
  readonly speed: number;
  /** An external broker, and the folder of keys that `site init` made for it. */
  readonly broker: { readonly url: string; readonly keys: string } | undefined;
  readonly sabotage: Sabotage | undefined;
  /** What happens, for people; one line each. */
  readonly say: (text: string) => void;
  /** Kept after the end, for looking around. */
  readonly keep: boolean;
}

export interface Box {
  readonly name: string;
  readonly folder: string;
  readonly config: string;
  readonly data: string;
  readonly api: string;
  /** `host:port` of its door in the mesh. */
  readonly mesh: string;
  token: string;
  process: Spawned | undefined;
}

export interface CoordinatorProcess {
  readonly api: string;
  readonly token: string;
  readonly process: Spawned | undefined;
  get<T>(path: string): Promise<T>;
  post<T>(path: string, body: unknown): Promise<T>;
}

const boxNames = ['edge-1', 'edge-2', 'edge-3', 'edge-4', 'edge-5'];
const spareName = 'spare-1';
/** Rows of a recording that the model is fitted on. */
const fitRows = 300;
/** Seven processes that start at once on two busy cores take this long, and no longer. */
const readyWithinMs = 60_000;

/**
 * The demo's hall: a temporary folder with keys, configurations and data, a plant, a coordinator, five agents and a
 * spare box on the shelf, all separate processes that end with this one. Keys, checks and models are made by the
 * same commands that a user would type.
 */
export class DemoSite {
  readonly options: DemoOptions;
  readonly folder: string;
  readonly name = 'demo';
  readonly spare = spareName;
  readonly timings: Record<string, number> = {};
  readonly relay: Relay;
  readonly brokerUrl: string;
  readonly keys: string;
  readonly #boxes = new Map<string, Box>();
  readonly #started = new Set<string>();
  readonly #ports: Ports;
  readonly #janitor: Spawned;
  readonly #lineLog: string;
  readonly #lightsFile: string;
  #lineTimer: NodeJS.Timeout | undefined;
  #plant: Spawned | undefined;
  #control: { url: string; token: string } | undefined;
  #coordinator: Spawned | undefined;
  #coordinatorToken = '';
  #stopped: Promise<void> | undefined;

  private constructor(options: DemoOptions, folder: string, ports: Ports) {
    this.options = options;
    this.folder = folder;
    this.keys = join(folder, 'site');
    this.#ports = ports;
    const broker = options.broker === undefined ? undefined : new URL(options.broker.url);
    const target = { host: broker?.hostname ?? '127.0.0.1', port: broker ? Number(broker.port || 1883) : ports.broker };
    this.brokerUrl = `mqtt://${target.host}:${target.port}`;
    this.relay = new Relay(target);
    this.#lineLog = join(folder, 'line', 'events.log');
    this.#lightsFile = join(folder, 'stack-lights.log');
    this.#janitor = this.#spawn('janitor', join(here, `janitor.${extension}`), []);
    this.#tell({ folder });
  }

  /** Everything on disk; no process but the janitor runs yet. */
  static async prepare(options: DemoOptions): Promise<DemoSite> {
    const folder = realpathSync(mkdtempSync(join(tmpdir(), 'millwright-demo-')));
    try {
      mkdirSync(join(folder, 'logs'), { mode: 0o700 });
      const ports = await freePorts();
      const site = new DemoSite(options, folder, ports);
      try {
        await site.#prepare();
      } catch (error) {
        await site.stop();
        throw error;
      }
      return site;
    } catch (error) {
      rmSync(folder, { recursive: true, force: true });
      throw error;
    }
  }

  /** Plant, coordinator, five agents. */
  async start(): Promise<void> {
    const begun = performance.now();
    this.options.say('starting plant, coordinator and five agents …');
    await this.relay.listen(this.#ports.relay);
    this.#writeLineLog();
    await Promise.all([this.#startPlant(), this.startCoordinator()]);
    this.options.sabotage?.beforeAgents?.(this);
    // Two by two: five at once on two cores would each take as long as all of them.
    for (const name of boxNames) await this.startAgent(name, false);
    await Promise.all(boxNames.map((name) => this.#agentReady(name)));
    this.timings['startMs'] = Math.round(performance.now() - begun);
  }

  get consoleUrl(): string {
    return `http://127.0.0.1:${this.#ports.coordinatorApi}/`;
  }

  get consoleToken(): string {
    return this.#coordinatorToken;
  }

  get meshKeyFile(): string {
    return join(this.keys, 'mesh.psk');
  }

  get coordinator(): CoordinatorProcess {
    const api = `http://127.0.0.1:${this.#ports.coordinatorApi}`;
    const token = this.#coordinatorToken;
    return {
      api,
      token,
      process: this.#coordinator,
      get: (path) => call('GET', `${api}/api/v1/${path}`, token),
      post: (path, body) => call('POST', `${api}/api/v1/${path}`, token, body),
    };
  }

  /** Names of the agents that were started and not killed since. */
  started(): string[] {
    return [...this.#started].filter((name) => this.box(name).process?.running() === true);
  }

  boxes(): Box[] {
    return this.started().map((name) => this.box(name));
  }

  box(name: string): Box {
    const box = this.#boxes.get(name);
    if (box === undefined) throw new Error(`there is no box ${name}`);
    return box;
  }

  /** MQTT password of an agent, for the intruder who stole it. */
  credentials(name: string): string {
    return readFileSync(join(this.box(name).folder, 'broker.password'), 'utf8').trim();
  }

  async startAgent(name: string, wait = true): Promise<void> {
    const box = this.box(name);
    if (box.process?.running() === true) return;
    box.process = this.#spawn(name, millwright, ['agent', '--config', box.config, '--end-with-stdin'], {
      knobs: edgeBoxKnobs,
      env: edgeBoxEnv,
      cwd: box.folder,
    });
    this.#started.add(name);
    if (wait) await this.#agentReady(name);
  }

  async #agentReady(name: string): Promise<void> {
    await this.box(name).process?.says((line) => line['ready'] === true, readyWithinMs);
  }

  async startCoordinator(): Promise<void> {
    this.#coordinator = this.#spawn(
      'coordinator',
      millwright,
      ['coordinator', '--config', join(this.keys, 'coordinator', 'coordinator.yaml'), '--end-with-stdin'],
      { cwd: this.folder },
    );
    await this.#coordinator.says((line) => line['ready'] === true, readyWithinMs);
  }

  async killCoordinator(): Promise<void> {
    this.#coordinator?.kill('SIGKILL');
    await this.#coordinator?.exited;
  }

  status(name: string): Promise<AgentStatus> {
    const box = this.box(name);
    return agentStatus(box.api, box.token);
  }

  statuses(names: readonly string[]): Promise<AgentStatus[]> {
    return Promise.all(names.map((name) => this.status(name)));
  }

  /** The status of the one agent that carries a duty; waits out a handover. */
  holderOf(duty: string): Promise<AgentStatus> {
    return until(`somebody holds ${duty}`, 15_000, async () => {
      const statuses = await this.statuses(this.started());
      const holders = statuses.filter((status) => status.duties.some((entry) => entry.duty === duty && entry.mine));
      return holders.length === 1 && holders[0];
    });
  }

  /** One agent's effect log, oldest first: what it did, written where it happened. */
  effects(name: string): Record<string, unknown>[] {
    const file = join(this.box(name).data, 'effects.jsonl');
    return [...readJsonLines(`${file}.1`), ...readJsonLines(file)];
  }

  /** What the stack light at the press was told. */
  lights(): Record<string, unknown>[] {
    return readJsonLines(this.#lightsFile);
  }

  /** The plant's control face. */
  plant<T>(method: 'GET' | 'POST', path: string, body?: unknown): Promise<T> {
    if (this.#control === undefined) throw new Error('the plant does not run');
    return call<T>(method, `${this.#control.url}/v1/${path}`, this.#control.token, body);
  }

  /** Ends all processes in reverse order, waits for them, and removes the folder. */
  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #stop(): Promise<void> {
    clearInterval(this.#lineTimer);
    const agents = [...this.#boxes.values()].flatMap((box) => box.process ?? []);
    for (const group of [agents, [this.#coordinator], [this.#plant]]) {
      const running = group.filter((child): child is Spawned => child?.running() === true);
      for (const child of running) child.kill('SIGTERM');
      await Promise.race([Promise.all(running.map((child) => child.exited)), timeout(6_000)]);
      for (const child of running) child.kill('SIGKILL');
      await Promise.all(running.map((child) => child.exited));
    }
    await this.relay.stop();
    this.#ports.release();
    if (this.options.keep) {
      this.options.say(`kept: ${this.folder}`);
      this.#janitor.kill('SIGKILL');
    } else {
      this.#tell({ done: true });
      this.#janitor.endInput();
    }
    await Promise.race([this.#janitor.exited, timeout(5_000)]);
  }

  async #prepare(): Promise<void> {
    const { options, folder } = this;
    mkdirSync(dirname(this.#lineLog), { recursive: true });
    writeFileSync(this.#lineLog, '');
    const siteFile = join(folder, 'site.yaml');
    const original = readFileSync(join(here, 'site.yaml'), 'utf8');
    writeFileSync(siteFile, options.sabotage?.siteFile?.(original) ?? original);
    const models = join(folder, 'models');
    const layout = this.#layout(models);
    const layoutFile = join(folder, 'layout.json');
    writeFileSync(layoutFile, JSON.stringify(layout, null, 2));
    if (options.broker === undefined) {
      options.say('making keys and credentials (millwright site init) …');
      await this.#run(['site', 'init', siteFile, '--out', this.keys, '--layout', layoutFile]);
    } else {
      options.say(`using the keys in ${options.broker.keys}`);
      await this.#borrowKeys(layout);
    }
    options.say('fitting the pump’s model on healthy rows (millwright model train) …');
    const healthy = options.replayFile ?? (await this.#recordHealthyPump());
    await this.#run([
      ...['model', 'train', '--data', healthy, '--rows', String(fitRows)],
      ...['--out', join(models, 'pump', 'model'), '--name', 'pump-skid'],
    ]);
    for (const name of [...boxNames, spareName]) {
      const boxFolder = join(this.keys, 'agents', name);
      const ports = this.#ports.agents[name];
      if (ports === undefined) continue;
      this.#boxes.set(name, {
        name,
        folder: boxFolder,
        config: join(boxFolder, 'agent.yaml'),
        data: join(folder, 'data', name),
        api: `http://127.0.0.1:${ports.api}`,
        mesh: `127.0.0.1:${ports.mesh}`,
        token: readFileSync(join(boxFolder, 'api.token'), 'utf8').trim(),
        process: undefined,
      });
    }
    this.#coordinatorToken = readFileSync(join(this.keys, 'coordinator', 'api.token'), 'utf8').trim();
    options.sabotage?.prepared?.(this);
  }

  #layout(models: string): Layout {
    const { folder } = this;
    const ports = this.#ports;
    const loopback = (port: number) => `127.0.0.1:${port}`;
    return {
      params: {
        opcua: `opc.tcp://${loopback(ports.opcua)}`,
        'modbus-host': '127.0.0.1',
        'modbus-port': ports.modbus,
        node: process.execPath,
        programs: here,
        lights: this.#lightsFile,
        'line-logs': dirname(this.#lineLog),
      },
      models,
      broker: `mqtt://${loopback(ports.relay)}`,
      agents: Object.fromEntries(
        Object.entries(ports.agents).map(([name, { mesh, api }]) => [
          name,
          { listen: [loopback(mesh)], api: loopback(api), data: join(folder, 'data', name) },
        ]),
      ),
      coordinator: { api: loopback(ports.coordinatorApi), broker: loopback(ports.broker) },
    };
  }

  /** Keys and passwords of a folder that the user made stay; addresses become the demo's. */
  async #borrowKeys(layout: Layout): Promise<void> {
    const { broker } = this.options;
    if (broker === undefined) return;
    cpSync(broker.keys, this.keys, { recursive: true });
    const edit = (file: string, change: (document: Document) => void) => {
      const document = parseDocument(readFileSync(file, 'utf8'), { version: '1.2' });
      change(document);
      writeFileSync(file, document.toString({ lineWidth: 0 }));
    };
    const site = join(this.keys, 'site.yaml');
    cpSync(join(this.folder, 'site.yaml'), site);
    edit(site, (document) => {
      for (const [name, value] of Object.entries(layout.params)) document.setIn(['params', name], value);
    });
    for (const [name, where] of Object.entries(layout.agents)) {
      edit(join(this.keys, 'agents', name, 'agent.yaml'), (document) => {
        document.set('data', where.data);
        document.set('models', layout.models);
        document.set('listen', where.listen);
        document.set(
          'peers',
          Object.entries(layout.agents).flatMap(([other, { listen }]) => (other === name ? [] : listen)),
        );
        document.setIn(['broker', 'url'], layout.broker);
        document.setIn(['api', 'listen'], where.api);
      });
    }
    edit(join(this.keys, 'coordinator', 'coordinator.yaml'), (document) => {
      const password = document.getIn(['broker', 'password']);
      document.setIn(['api', 'listen'], layout.coordinator.api);
      document.set('broker', document.createNode({ url: broker.url, username: 'coordinator', password }));
      document.set('data', join(this.folder, 'data', 'coordinator'));
    });
    // Agents run what is signed, and the addresses in the site file are the demo's now.
    const bundle = join(this.keys, 'site.bundle');
    await this.#run([
      ...['site', 'sign', site, '--key', join(this.keys, 'site.key')],
      ...['--parent', bundle, '--out', bundle, '--models', layout.models],
    ]);
  }

  /** Ten minutes of a healthy pump at 1 Hz, from the same physics with another seed. */
  async #recordHealthyPump(): Promise<string> {
    const file = join(this.folder, 'healthy-pump.csv');
    const hall = new Hall('healthy');
    const names = Object.keys(hall.pump.read());
    const lines = [['time', ...names].join(',')];
    for (let second = 0; second < 2 * fitRows; second++) {
      for (let tenth = 0; tenth < 10; tenth++) hall.step(0.1);
      const values = hall.pump.read() as Readonly<Record<string, number>>;
      const at = new Date(Date.UTC(2026, 0, 1) + second * 1000).toISOString();
      lines.push([at, ...names.map((name) => String(values[name]))].join(','));
    }
    writeFileSync(file, `${lines.join('\n')}\n`);
    return file;
  }

  async #startPlant(): Promise<void> {
    const { replayFile, speed } = this.options;
    this.#plant = this.#spawn(
      'plant',
      join(root, 'simulations', 'plant', `main.${extension}`),
      [
        '--folder',
        join(this.folder, 'plant'),
        '--opcua-port',
        String(this.#ports.opcua),
        '--modbus-port',
        String(this.#ports.modbus),
        '--until-stdin-closes',
        ...(replayFile === undefined
          ? []
          : ['--replay', replayFile, '--speed', String(speed), '--replay-start', 'ordered']),
      ],
      { cwd: this.folder },
    );
    const line = await this.#plant.says((said) => said['ready'] === true, readyWithinMs);
    this.#control = line['control'] as { url: string; token: string };
  }

  /** The line's own program, whose log the upload duty carries. */
  #writeLineLog(): void {
    let parts = 0;
    this.#lineTimer = setInterval(() => {
      parts++;
      appendFileSync(this.#lineLog, `${new Date().toISOString()} part ${parts} pressed\n`);
    }, 1_000);
    this.#lineTimer.unref();
  }

  #spawn(
    name: string,
    script: string,
    args: readonly string[],
    options: { knobs?: readonly string[]; env?: Readonly<Record<string, string>>; cwd?: string } = {},
  ): Spawned {
    return spawnNode(
      { name, script, args, cwd: this.folder, logFile: join(this.folder, 'logs', `${name}.log`), ...options },
      // The janitor is told of itself by nobody: it ends last.
      (pid) => {
        if (name !== 'janitor') this.#tell({ pid });
      },
    );
  }

  #tell(line: object): void {
    this.#janitor.tell(line);
  }

  /** Runs `millwright …` to its end; the error quotes what it said. */
  #run(args: readonly string[]): Promise<void> {
    return new Promise((done, failed) => {
      const child = spawn(process.execPath, [millwright, ...args], {
        cwd: this.folder,
        env: baseEnv(),
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      this.#tell({ pid: child.pid });
      let said = '';
      for (const stream of [child.stdout, child.stderr]) {
        stream.on('data', (chunk: Buffer) => {
          said = (said + chunk.toString()).slice(-8_000);
        });
      }
      const timer = setTimeout(() => child.kill('SIGKILL'), 60_000);
      child.once('error', failed);
      child.once('exit', (code) => {
        clearTimeout(timer);
        if (code === 0) done();
        else failed(new Error(`millwright ${args.join(' ')} ended with ${code}:\n${said}`));
      });
    });
  }
}

interface Ports {
  readonly opcua: number;
  readonly modbus: number;
  readonly broker: number;
  readonly relay: number;
  readonly coordinatorApi: number;
  readonly agents: Readonly<Record<string, { readonly mesh: number; readonly api: number }>>;
  /** Gives the block back. */
  release(): void;
}

interface Layout {
  readonly params: Readonly<Record<string, string | number>>;
  readonly models: string;
  readonly broker: string;
  readonly agents: Readonly<Record<string, { readonly listen: string[]; readonly api: string; readonly data: string }>>;
  readonly coordinator: { readonly api: string; readonly broker: string };
}

/**
 * A block of loopback ports that is free, and ours for as long as we live: its first port stays open as a guard, and a
 * second demo that starts meanwhile finds it taken and looks further. The blocks lie below the range that the kernel
 * gives to outgoing connections: a restarted agent must find its port still free.
 */
async function freePorts(): Promise<Ports> {
  const names = [...boxNames, spareName];
  const wanted = 5 + 2 * names.length;
  for (let tries = 0; tries < 200; tries++) {
    const first = 20_000 + (wanted + 1) * Math.floor(Math.random() * Math.floor(12_000 / (wanted + 1)));
    const guard = await listenAt(first);
    if (guard === undefined) continue;
    const ports = Array.from({ length: wanted }, (_, i) => first + 1 + i);
    const held = await Promise.all(ports.map(listenAt));
    await Promise.all(held.map((server) => server && new Promise((done) => server.close(done))));
    if (held.includes(undefined)) {
      guard.close();
      continue;
    }
    guard.unref();
    const [opcua = 0, modbus = 0, broker = 0, relay = 0, coordinatorApi = 0, ...rest] = ports;
    return {
      opcua,
      modbus,
      broker,
      relay,
      coordinatorApi,
      agents: Object.fromEntries(names.map((name, i) => [name, { mesh: rest[2 * i] ?? 0, api: rest[2 * i + 1] ?? 0 }])),
      release: () => void guard.close(),
    };
  }
  throw new Error('this machine has no free loopback ports between 20000 and 32000');
}

/** Listens and turns everybody away; undefined when the port is taken. */
function listenAt(port: number): Promise<Server | undefined> {
  const server = createServer((socket) => socket.destroy());
  return new Promise((done) => {
    server.once('error', () => done(undefined));
    server.listen(port, '127.0.0.1', () => done(server));
  });
}

/** Whole lines of JSON; a last line that is still being written is left for the next look. */
function readJsonLines(file: string): Record<string, unknown>[] {
  if (!existsSync(file)) return [];
  return readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('{') && line.endsWith('}'))
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

const timeout = (ms: number): Promise<void> =>
  new Promise((done) => {
    setTimeout(done, ms).unref();
  });
