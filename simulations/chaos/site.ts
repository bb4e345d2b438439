import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Random } from '../../agent/base/random.ts';
import type { AgentStatus } from '../../agent/wire/status.ts';
import { until } from '../demo/client.ts';
import { type Effect, EffectLogReader, kernelTime } from './effect.ts';
import { apiPort, type BoxPlace, Hall, meshPort } from './hall.ts';
import type { MachineAsk, MachineCounts, MachineSay } from './machine.ts';
import { type EffectProgram, writeProgram } from './program.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const millwright = join(root, 'millwright.ts');
const machineProgram = fileURLToPath(new URL('machine.ts', import.meta.url));

export interface ChaosOptions {
  readonly boxes?: number;
  /** How many exclusive duties, each a process of its own. */
  readonly duties?: number;
  /** False: agents alone, whose programs outlive them. The judge must find that. */
  readonly supervised?: boolean;
  /** T of the leases, milliseconds. */
  readonly leaseMs?: number;
  /** Draws what faults leave to chance. */
  readonly seed?: number;
  readonly say?: (line: string) => void;
}

/** Who effectively works: the duty's newest effect counts for this long. */
const freshMs = 300;
const leaveMs = 10_000;

/** One box: a supervisor, its agent and the duties' processes, in a network namespace of their own. */
export class Box {
  readonly name: string;
  readonly index: number;
  readonly #place: BoxPlace;
  readonly #folder: string;
  readonly #argv: readonly string[];
  readonly #hall: Hall;
  readonly #log: EffectLogReader;
  readonly #supervised: boolean;
  #child: ChildProcess | undefined;
  #agent = 0;
  #leaving = false;
  /** When its agent said that it is ready, for each life. */
  readonly readyAt: number[] = [];

  constructor(hall: Hall, place: BoxPlace, parts: { name: string; folder: string; keys: string; supervised: boolean }) {
    const { name, folder, keys } = parts;
    this.name = name;
    this.index = place.index;
    this.#place = place;
    this.#hall = hall;
    this.#supervised = parts.supervised;
    this.#folder = folder;
    this.#log = new EffectLogReader(join(folder, 'effects', name));
    mkdirSync(this.data, { recursive: true });
    const peers = hall.boxes.filter((one) => one !== place).map(({ address }) => `${address}:${meshPort}`);
    const agent = [
      ...[process.execPath, millwright, 'agent', '--end-with-stdin', '--name', name],
      ...['--site', join(keys, 'site.bundle'), '--key', join(keys, 'agents', name, 'agent.key')],
      ...['--listen', `${place.address}:${meshPort}`, '--peers', peers.join(',')],
      ...['--data', this.data, '--api', `${place.address}:${apiPort}`],
    ];
    // Faults follow each other closely here, and each waits until the site is whole again.
    const supervise = [
      'supervise',
      '--restart-max-ms',
      '1000',
      '--name',
      this.#unit,
      '--state',
      join(folder, 'state', name),
      '--',
    ];
    this.#argv = parts.supervised ? [process.execPath, millwright, ...supervise, ...agent] : agent;
  }

  get data(): string {
    return join(this.#folder, 'data', this.name);
  }

  get api(): string {
    return `http://${this.#place.address}:${apiPort}`;
  }

  /** Of the agent's present life; 0 before it is ready. */
  get agentPid(): number {
    return this.#agent;
  }

  get logFile(): string {
    return join(this.#folder, `${this.name}.log`);
  }

  /** Unique on this machine, since cgroups are not in the namespace. */
  get #unit(): string {
    return `chaos-${process.pid}-${this.name}`;
  }

  start(): void {
    const [program = '', ...args] = [...this.#hall.inside(this.#place.space), ...this.#argv];
    const log = openSync(this.logFile, 'a');
    // An open standard input: should this process be killed, agents and supervisors end by themselves.
    const child = spawn(program, args, {
      stdio: ['pipe', 'pipe', log],
      env: { ...process.env, NODE_COMPILE_CACHE: join(root, 'node_modules', '.cache', 'compile') },
    });
    closeSync(log);
    this.#child = child;
    child.stdin?.on('error', () => {});
    child.once('exit', () => {
      this.#agent = 0;
      // What a supervisor would do.
      if (!this.#supervised && !this.#leaving) setTimeout(() => this.#leaving || this.start(), 200);
    });
    let text = '';
    child.stdout?.on('data', (chunk: Buffer) => {
      text += chunk.toString();
      const lines = text.split('\n');
      text = lines.pop() ?? '';
      for (const line of lines) {
        const pid = /"ready":true.*"pid":(\d+)/.exec(line)?.[1];
        if (pid === undefined) continue;
        this.#agent = Number(pid);
        this.readyAt.push(kernelTime());
      }
    });
  }

  effects(): Effect[] {
    return this.#log.read();
  }

  signalAgent(signal: NodeJS.Signals): void {
    if (this.#agent !== 0) process.kill(this.#agent, signal);
  }

  /** Whatever ends it, agent and duties are to end with it; whoever starts boxes starts it anew. */
  async killSupervisor(): Promise<void> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const over = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await over;
  }

  async stop(): Promise<void> {
    this.#leaving = true;
    this.#log.close();
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    try {
      this.signalAgent('SIGCONT');
    } catch {
      // It is gone.
    }
    const over = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGTERM');
    const hung = setTimeout(() => child.kill('SIGKILL'), leaveMs);
    await over;
    clearTimeout(hung);
  }
}

/** Real agents of one site, each in a network namespace, and what their exclusive duties did. */
export class ChaosSite {
  readonly folder: string;
  readonly hall: Hall;
  readonly boxes: readonly Box[];
  readonly duties: readonly string[];
  readonly program: EffectProgram;
  readonly leaseMs: number;
  readonly random: Random;
  /** Everything that was ever done, as it was read. */
  readonly effects: Effect[] = [];
  readonly #machine: ChildProcess;
  readonly #answers = new Map<number, (message: MachineSay) => void>();
  readonly #newest = new Map<string, Effect>();
  #asks = 0;

  private constructor(parts: {
    folder: string;
    hall: Hall;
    boxes: readonly Box[];
    duties: readonly string[];
    program: EffectProgram;
    leaseMs: number;
    seed: number;
  }) {
    this.folder = parts.folder;
    this.hall = parts.hall;
    this.boxes = parts.boxes;
    this.duties = parts.duties;
    this.program = parts.program;
    this.leaseMs = parts.leaseMs;
    this.random = new Random(parts.seed, 'chaos site');
    const [nsenter = '', ...rest] = [...parts.hall.inside(parts.hall.space), process.execPath, machineProgram];
    this.#machine = spawn(nsenter, rest, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    this.#machine.on('message', (message: MachineSay) => {
      if (message.say === 'ready') this.#answers.get(0)?.(message);
      else this.#answers.get(message.id)?.(message);
    });
  }

  /** Makes keys and a bundle by the commands that a user types, and starts everything. Not settled yet. */
  static async start(options: ChaosOptions = {}): Promise<ChaosSite> {
    const {
      boxes: count = 3,
      duties: dutyCount = 2,
      supervised = true,
      leaseMs = 2_000,
      seed = 1,
      say = () => {},
    } = options;
    const folder = mkdtempSync(join(tmpdir(), 'millwright-chaos-'));
    let hall: Hall | undefined;
    let site: ChaosSite | undefined;
    try {
      const effects = join(folder, 'effects');
      mkdirSync(effects);
      const program = writeProgram(folder, effects);
      const names = Array.from({ length: count }, (_, index) => `box-${index + 1}`);
      const duties = Array.from({ length: dutyCount }, (_, index) => `work-${index + 1}`);
      const keys = join(folder, 'keys');
      const file = join(folder, 'site.yaml');
      writeFileSync(file, siteFile(names, duties, program, leaseMs));
      say('making keys and a signed bundle');
      await promisify(execFile)(process.execPath, [millwright, 'site', 'init', file, '--out', keys]);
      hall = Hall.build(count);
      const place = hall;
      const boxes = hall.boxes.map(
        (one, index) => new Box(place, one, { name: names[index] ?? '', folder, keys, supervised }),
      );
      site = new ChaosSite({
        folder,
        hall,
        boxes,
        duties: duties.map((name) => `site/${name}`),
        program,
        leaseMs,
        seed,
      });
      const built = site;
      await new Promise<void>((resolve) => built.#answers.set(0, () => resolve()));
      say(`starting ${count} agents`);
      for (const box of boxes) box.start();
      return site;
    } catch (error) {
      if (site !== undefined) await site.dispose();
      else {
        hall?.remove();
        rmSync(folder, { recursive: true, force: true });
      }
      throw error;
    }
  }

  /** Takes note of what was done since the last look. */
  look(): void {
    for (const box of this.boxes) {
      for (const effect of box.effects()) {
        this.effects.push(effect);
        if ((this.#newest.get(effect.duty)?.at ?? 0) < effect.at) this.#newest.set(effect.duty, effect);
      }
    }
  }

  /** The box that works on this duty now, as far as its log says. */
  worker(duty: string): Box | undefined {
    this.look();
    const last = this.#newest.get(duty);
    if (last === undefined || kernelTime() - last.at > freshMs) return undefined;
    return this.boxes.find(({ name }) => name === last.agent);
  }

  status(box: Box): Promise<AgentStatus | undefined> {
    const tokenFile = join(box.data, 'api.token');
    if (!existsSync(tokenFile)) return Promise.resolve(undefined);
    const token = readFileSync(tokenFile, 'utf8').trim();
    return this.#asked((id) => ({ ask: 'status', id, api: box.api, token })).then((answer) =>
      answer?.say === 'status' ? answer.status : undefined,
    );
  }

  async machine(): Promise<MachineCounts> {
    const answer = await this.#asked((id) => ({ ask: 'counts', id }));
    return answer?.say === 'counts' ? answer.counts : { accepted: 0, refused: 0 };
  }

  /** All agents run and see each other, all voters vote, and somebody works on every duty. */
  async settle(withinMs = 60_000): Promise<void> {
    let wanting = '';
    await until(
      'the site settles',
      withinMs,
      async () => {
        wanting = (await this.#unsettled()) ?? '';
        if (wanting !== '') throw new Error(wanting);
        return true;
      },
      150,
    );
  }

  async #unsettled(): Promise<string | undefined> {
    for (const duty of this.duties) if (this.worker(duty) === undefined) return `nobody works on ${duty}`;
    for (const box of this.boxes) {
      const status = await this.status(box);
      if (status === undefined) return `${box.name} does not answer`;
      if (status.pid !== box.agentPid) return `${box.name} is being started`;
      // A voter that was started says nothing for T·(1+2ρ); two of three in that state are no majority.
      const livedMs = kernelTime() - (box.readyAt.at(-1) ?? 0);
      if (livedMs < this.leaseMs * 1.05) return `the vote of ${box.name} is mute after its start`;
      const lost = status.members.find(({ agent, state }) => agent !== box.name && state !== 'alive');
      if (lost !== undefined) return `${box.name} sees ${lost.agent} as ${lost.state}`;
      const mute = status.cells.find(({ vote }) => vote !== 'voting');
      if (mute !== undefined) return `the vote of ${box.name} is ${mute.vote}`;
    }
    return undefined;
  }

  /** Writes down how every agent sees things, beside the logs. */
  async photograph(name: string): Promise<void> {
    const statuses = await Promise.all(this.boxes.map((box) => this.status(box)));
    const seen = Object.fromEntries(this.boxes.map((box, index) => [box.name, statuses[index] ?? 'does not answer']));
    writeFileSync(join(this.folder, `${name}.json`), JSON.stringify(seen, undefined, 2));
  }

  /** Ends all of it; `keep` leaves logs and stores for whoever wants to know why. */
  async dispose(keep = false): Promise<void> {
    await Promise.all(this.boxes.map((box) => box.stop()));
    const machine = this.#machine;
    if (machine.exitCode === null && machine.signalCode === null) {
      const over = new Promise((resolve) => machine.once('exit', resolve));
      machine.kill('SIGKILL');
      await over;
    }
    this.hall.remove();
    if (!keep) rmSync(this.folder, { recursive: true, force: true, maxRetries: 5 });
  }

  #asked(make: (id: number) => MachineAsk): Promise<MachineSay | undefined> {
    const id = ++this.#asks;
    return new Promise((resolve) => {
      const done = (message: MachineSay | undefined): void => {
        clearTimeout(late);
        this.#answers.delete(id);
        resolve(message);
      };
      const late = setTimeout(() => done(undefined), 5_000);
      this.#answers.set(id, done);
      if (this.#machine.connected) this.#machine.send(make(id));
      else done(undefined);
    });
  }
}

const siteFile = (agents: readonly string[], duties: readonly string[], { argv }: EffectProgram, leaseMs: number) =>
  `millwright: 1
site: chaos
cells:
  line: { voters: [${agents.join(', ')}], lease: ${leaseMs}ms }
agents:
${agents.map((name) => `  ${name}: { cell: line }\n`).join('')}duties:
${duties.map((duty) => `  ${duty}: { process: [${argv.join(', ')}], exclusive: true, cell: line }\n`).join('')}`;
