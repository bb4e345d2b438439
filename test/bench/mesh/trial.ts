import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, mkdirSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Random } from '../../../agent/base/random.ts';
import { cpuSeconds, load, mean, median, memoryMb, rounded, type Spread, spread } from './figures.ts';
import type { Network } from './namespaces.ts';
import { nameOf, type Product } from './products.ts';

export interface TrialOptions {
  readonly repetitions: number;
  /** Windows of idling, one per repetition. */
  readonly idleWindowS: number;
  readonly lossS: number;
  readonly frozenS: number;
  readonly stories: readonly Story[];
}

export const stories = ['idle', 'kill', 'stop', 'cable', 'loss-10', 'loss-25'] as const;
export type Story = (typeof stories)[number];

/** Of one node, on average over all of them: the median of the windows. */
export interface Cost {
  readonly cpuSecondsPerMinute: number;
  /** Frames whole, Ethernet and all that is in it; each counted where it is sent. */
  readonly bytesPerSecond: number;
  readonly packetsPerSecond: number;
}

export interface Detection {
  /** From the fault until the first survivor holds the box dead, ms. */
  readonly first: Spread;
  /** Until every survivor does, ms. */
  readonly all: Spread;
  /** Faults that some survivor had not told when its time was over. */
  readonly missed: number;
  /** A box held dead that was not the victim, or was well; counted once per one who said so. */
  readonly falseDeaths: number;
  /** From the end of the fault (restart, SIGCONT, cable in) until all hold each other alive, and keep to it; ms. */
  readonly aliveAgain: Spread;
  /** Boxes that had to be started anew, because they did not come back by themselves within two minutes. */
  readonly helped: number;
}

export interface Lossy extends Cost {
  readonly seconds: number;
  readonly agentMinutes: number;
  /** Somebody held somebody dead. */
  readonly falseDeaths: number;
  /** Distinct members that this happened to. */
  readonly membersHeldDead: number;
}

interface Measured {
  readonly idle?: Cost & { readonly seconds: number; readonly pssMb: number; readonly rssMb: number };
  readonly kill?: Detection;
  readonly stop?: Detection;
  readonly cable?: Detection;
  readonly loss10?: Lossy;
  readonly loss25?: Lossy;
}

export interface TrialResult extends Measured {
  readonly product: string;
  readonly version: string;
  readonly how: string;
  readonly agents: number;
  /** From the first start until all hold each other alive; null: they never did. */
  readonly upMs: number | null;
  /** Boxes that had to be started twice for that. */
  readonly helped: number;
  /** Load of the machine when it was over: above its processors, times are upper bounds. */
  readonly load: number;
  /** Why it ended early, if it did; what was measured before stands. */
  readonly failed?: string;
}

interface Node {
  readonly box: number;
  child: ChildProcess | undefined;
  /** What it holds of the others by its own words; nothing is known of one that was started anew. */
  readonly view: Map<string, 'alive' | 'dead'>;
}

/** Views have to agree for this long before they count as such. */
const calmMs = 3_000;
const detectWithinMs = 60_000;
const healWithinMs = 120_000;

/** One site of one product on a network of its own, from its start to its end. */
export class Trial {
  readonly #product: Product;
  readonly #network: Network;
  readonly #nodes: readonly Node[];
  readonly #random: Random;
  readonly #say: (text: string) => void;
  readonly #folder = mkdtempSync(join(tmpdir(), 'millwright-mesh-'));
  /** Boxes that may rightly be held dead, and who may hold anything, being cut off itself. */
  readonly #excused = new Set<number>();
  #falseDeaths: { readonly by: string; readonly member: string }[] = [];
  #heard: (() => void) | undefined;

  constructor(product: Product, network: Network, random: Random, say: (text: string) => void) {
    this.#product = product;
    this.#network = network;
    this.#random = random;
    this.#say = say;
    this.#nodes = Array.from({ length: network.size }, (_, i) => ({ box: i + 1, child: undefined, view: new Map() }));
  }

  async run(options: TrialOptions): Promise<TrialResult> {
    const { size } = this.#network;
    const { name, version, how } = this.#product;
    mkdirSync(join(this.#folder, 'logs'));
    this.#product.prepare(this.#folder, size);
    this.#network.up();
    const began = performance.now();
    for (const node of this.#nodes) this.#start(node);
    let upAt = await this.#calm(healWithinMs);
    let helped = 0;
    if (upAt === undefined) {
      this.#say(`not all together after ${healWithinMs / 1_000} s: ${this.#disagreement()}; started anew`);
      for (const node of this.#nodes.filter((one) => !this.#isContent(one))) {
        helped++;
        await this.#end(node);
        this.#start(node);
      }
      upAt = await this.#calm(healWithinMs);
    }
    const about = { product: name, version, how, agents: size };
    if (upAt === undefined) {
      const failed = `${size} boxes did not find each other: ${this.#disagreement()}`;
      this.#say(failed);
      return { ...about, upMs: null, helped, load: load(), failed };
    }
    const upMs = rounded(upAt - began);
    this.#say(`all ${size} hold each other alive after ${upMs} ms`);
    const measured: Measured = {};
    let failed: string | undefined;
    try {
      for (const story of options.stories) Object.assign(measured, await this.#tell(story, options));
    } catch (error) {
      // What was measured until then stays.
      failed = (error as Error).message;
      this.#say(failed);
    }
    return { ...about, upMs, helped, ...measured, load: load(), ...(failed === undefined ? {} : { failed }) };
  }

  async #tell(story: Story, options: TrialOptions): Promise<Measured> {
    switch (story) {
      case 'idle':
        return { idle: await this.#idle(options) };
      case 'kill':
        return { kill: await this.#repeat('kill -9', options, this.#killed) };
      case 'stop':
        return { stop: await this.#repeat(`SIGSTOP ${options.frozenS} s`, options, this.#frozen) };
      case 'cable':
        return { cable: await this.#repeat('cable pulled', options, this.#cut) };
      case 'loss-10':
        return { loss10: await this.#lossy(0.1, options) };
      case 'loss-25':
        return { loss25: await this.#lossy(0.25, options) };
    }
  }

  /** Ends every process and takes the network away; works while this process exits, too. */
  end(): void {
    for (const { child } of this.#nodes) if (child && isRunning(child)) child.kill('SIGKILL');
    this.#network.down();
    rmSync(this.#folder, { recursive: true, force: true, maxRetries: 3 });
  }

  async #idle(options: TrialOptions): Promise<NonNullable<Measured['idle']>> {
    // The start has to be over for caches, connections and just-in-time compilers, too.
    await sleep(10_000);
    const windows: Cost[] = [];
    for (let i = 0; i < options.repetitions; i++) windows.push(await this.#cost(options.idleWindowS * 1_000));
    const memory = this.#nodes.map(({ child }) => memoryMb(child!.pid!));
    const idle = {
      seconds: options.repetitions * options.idleWindowS,
      cpuSecondsPerMinute: rounded(median(windows.map((cost) => cost.cpuSecondsPerMinute)), 3),
      bytesPerSecond: rounded(median(windows.map((cost) => cost.bytesPerSecond))),
      packetsPerSecond: rounded(median(windows.map((cost) => cost.packetsPerSecond)), 1),
      pssMb: rounded(mean(memory.map(({ pss }) => pss)), 1),
      rssMb: rounded(mean(memory.map(({ rss }) => rss)), 1),
    };
    this.#say(`idle: ${JSON.stringify(idle)}`);
    return idle;
  }

  async #cost(ms: number): Promise<Cost> {
    const look = () => ({
      at: performance.now(),
      cpu: this.#nodes.map(({ child }) => cpuSeconds(child!.pid!)),
      sent: this.#network.sent(),
    });
    const before = look();
    await sleep(ms);
    const after = look();
    const seconds = (after.at - before.at) / 1_000;
    const per = (values: readonly number[]) => mean(values) / seconds;
    return {
      cpuSecondsPerMinute: rounded(per(after.cpu.map((cpu, i) => cpu - before.cpu[i]!)) * 60, 3),
      bytesPerSecond: rounded(per(after.sent.map(({ bytes }, i) => bytes - before.sent[i]!.bytes))),
      packetsPerSecond: rounded(per(after.sent.map(({ packets }, i) => packets - before.sent[i]!.packets)), 1),
    };
  }

  /** One fault: what is done to a box, and what makes it well again. */
  readonly #killed = {
    strike: (node: Node) => void node.child!.kill('SIGKILL'),
    mend: (node: Node) => this.#start(node),
  };
  readonly #frozen = {
    strike: (node: Node) => void node.child!.kill('SIGSTOP'),
    mend: (node: Node) => void node.child!.kill('SIGCONT'),
    isFrozen: true,
  };
  readonly #cut = {
    strike: (node: Node) => this.#network.cable(node.box, false),
    mend: (node: Node) => this.#network.cable(node.box, true),
  };

  async #repeat(
    what: string,
    options: TrialOptions,
    fault: { strike(node: Node): void; mend(node: Node): void; isFrozen?: boolean },
  ): Promise<Detection> {
    const [firsts, alls, agains]: [number[], number[], number[]] = [[], [], []];
    let [missed, helped] = [0, 0];
    this.#falseDeaths = [];
    for (let i = 1; i <= options.repetitions; i++) {
      const node = this.#nodes[this.#random.below(this.#nodes.length)]!;
      const others = this.#nodes.filter((other) => other !== node);
      // Nobody probes in step with us.
      await sleep(this.#random.between(0, 1_500));
      this.#excused.add(node.box);
      const struck = performance.now();
      let [first, all]: [number | undefined, number | undefined] = [undefined, undefined];
      this.#heard = () => {
        const dead = others.filter((other) => other.view.get(nameOf(node.box)) === 'dead').length;
        if (dead > 0) first ??= performance.now() - struck;
        if (dead === others.length) all ??= performance.now() - struck;
      };
      fault.strike(node);
      const over = struck + (fault.isFrozen ? options.frozenS * 1_000 : detectWithinMs);
      while (performance.now() < over && (fault.isFrozen || all === undefined)) {
        await sleep(Math.min(20, Math.max(0, over - performance.now())));
      }
      this.#heard = undefined;
      if (first !== undefined) firsts.push(first);
      if (all !== undefined) alls.push(all);
      else missed++;
      const mendedAt = performance.now();
      fault.mend(node);
      let calmAt = await this.#calm(healWithinMs);
      if (calmAt === undefined) {
        helped++;
        this.#say(`${what}: not well after ${healWithinMs / 1_000} s: ${this.#disagreement()}; started anew`);
        await this.#end(node);
        this.#start(node);
        calmAt = await this.#calm(healWithinMs);
        if (calmAt === undefined) throw new Error(`${this.#product.name}, ${what}: ${this.#disagreement()}`);
      } else agains.push(Math.max(0, calmAt - mendedAt));
      this.#excused.delete(node.box);
      this.#say(
        `${what} ${i}/${options.repetitions}: first ${told(first)}, all ${told(all)}, alive again after ${told(calmAt - mendedAt)}`,
      );
    }
    const falseDeaths = this.#falseDeaths.length;
    return { first: spread(firsts), all: spread(alls), missed, falseDeaths, aliveAgain: spread(agains), helped };
  }

  async #lossy(share: number, options: TrialOptions): Promise<Lossy> {
    this.#falseDeaths = [];
    this.#network.loss(share);
    const cost = await this.#cost(options.lossS * 1_000);
    const found = [...this.#falseDeaths];
    this.#network.loss(0);
    const result = {
      ...cost,
      seconds: options.lossS,
      agentMinutes: rounded((options.lossS * this.#nodes.length) / 60, 1),
      falseDeaths: found.length,
      membersHeldDead: new Set(found.map(({ member }) => member)).size,
    };
    this.#say(`${share * 100} % lost: ${JSON.stringify(result)}`);
    if ((await this.#calm(healWithinMs)) === undefined) {
      throw new Error(`${this.#product.name} after ${share * 100} % loss: ${this.#disagreement()}`);
    }
    return result;
  }

  #start(node: Node): void {
    const running = this.#nodes
      .filter((other) => other !== node && other.child && isRunning(other.child))
      .map(({ box }) => box);
    const site = {
      folder: this.#folder,
      size: this.#network.size,
      address: (box: number) => this.#network.address(box),
    };
    const [program, ...args] = this.#network.on(node.box, this.#product.command(node.box, site, running));
    const log = openSync(join(this.#folder, 'logs', nameOf(node.box)), 'a');
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', log] });
    closeSync(log);
    node.view.clear();
    node.child = child;
    createInterface({ input: child.stdout! }).on('line', (line) => {
      if (node.child === child) this.#read(node, line);
    });
  }

  #read(node: Node, line: string): void {
    const word = this.#product.read(line);
    if (word === undefined || word.member === nameOf(node.box)) return;
    const was = node.view.get(word.member);
    node.view.set(word.member, word.is);
    const about = this.#nodes.find(({ box }) => nameOf(box) === word.member)?.box ?? 0;
    if (word.is === 'dead' && was === 'alive' && !this.#excused.has(node.box) && !this.#excused.has(about)) {
      this.#falseDeaths.push({ by: nameOf(node.box), member: word.member });
    }
    this.#heard?.();
  }

  async #end(node: Node): Promise<void> {
    const { child } = node;
    if (!child || !isRunning(child)) return;
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await gone;
  }

  /** When all began to hold each other alive, if they have kept to it since for long enough; undefined: they do not. */
  async #calm(withinMs: number): Promise<number | undefined> {
    const end = performance.now() + withinMs;
    let since: number | undefined;
    while (performance.now() < end || since !== undefined) {
      if (this.#agree()) since ??= performance.now();
      else since = undefined;
      if (since !== undefined && performance.now() - since >= calmMs) return since;
      await sleep(10);
    }
    return undefined;
  }

  #agree(): boolean {
    return this.#nodes.every((node) => this.#isContent(node));
  }

  #isContent(node: Node): boolean {
    if (node.child === undefined || !isRunning(node.child)) return false;
    return this.#nodes.every((other) => other === node || node.view.get(nameOf(other.box)) === 'alive');
  }

  #disagreement(): string {
    const found = this.#nodes.flatMap((node) => {
      if (!node.child || !isRunning(node.child)) return [`${nameOf(node.box)} has ended`];
      const missing = this.#nodes.filter((other) => other !== node && node.view.get(nameOf(other.box)) !== 'alive');
      if (missing.length === 0) return [];
      return [`${nameOf(node.box)} does not hold ${missing.map(({ box }) => nameOf(box)).join(', ')} alive`];
    });
    return found.slice(0, 5).join('; ');
  }
}

const isRunning = (child: ChildProcess): boolean => child.exitCode === null && child.signalCode === null;

const told = (ms: number | undefined): string => (ms === undefined ? '–' : `${Math.round(ms)} ms`);
