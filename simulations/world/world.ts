import { bootId } from '../../agent/base/ids.ts';
import { Random } from '../../agent/base/random.ts';
import { type Instant, instant, wallTime } from '../../agent/base/time.ts';
import { AgentCore, type AgentCoreOptions } from '../../agent/core/agent-core.ts';
import type { DirectMessage, Input } from '../../agent/core/input.ts';
import type { Observation } from '../../agent/core/observation.ts';
import type { JournalEntry, RunId } from '../../agent/core/remediation/journal-entry.ts';
import type { SitePlan } from '../../agent/core/site-plan.ts';
import { Driver, type Steppable } from '../../agent/driver/driver.ts';
import type { Ports } from '../../agent/driver/ports.ts';
import { SimulatedChannels } from './channel.ts';
import { SimulatedDisk, simulatedJournal } from './disk.ts';
import { EventHeap } from './event-heap.ts';
import { calmNetwork, Network, type NetworkOptions } from './network.ts';
import { cellOf } from './plan.ts';
import { TraceHash } from './trace-hash.ts';

/** The core as the world sees it; a test may hand in one with a planted fault. */
export type Core = Steppable & Pick<AgentCore, 'membership' | 'duties' | 'remediation'>;

export interface WorldOptions {
  readonly plan: SitePlan;
  readonly seed: number;
  readonly network?: NetworkOptions;
  /** Clocks run up to this much fast or slow (0.001 is 1000 ppm), each its own. */
  readonly clockDrift?: number;
  /** Mean time until the disk says that entries are durable. */
  readonly diskMs?: number;
  /** A duty needs between half of this and this to start. */
  readonly dutyStartMs?: number;
  /** Chance that a start of a duty fails on an agent. */
  readonly dutyFailure?: number;
  readonly core?: (options: AgentCoreOptions) => Core;
  readonly watch?: WorldWatch;
}

/** What the scenario's measurements and invariants look at. Times are the world's, in milliseconds. */
export interface WorldWatch {
  observed?(at: number, agent: number, observation: Observation): void;
  incarnationSaved?(at: number, agent: number, incarnation: number): void;
  dutyRunning?(at: number, agent: number, duty: number, running: boolean): void;
  /** These entries are durable now. */
  journalled?(at: number, agent: number, entries: readonly JournalEntry[]): void;
  actionIssued?(at: number, agent: number, action: { run: RunId; step: number; try: number; issue: number }): void;
}

/** One box: what survives a crash (disk), and the process that lives on it, if one does. */
export interface Box {
  readonly index: number;
  up: boolean;
  /** Frozen until then: nothing is read, no timer runs; 0 when it is not. */
  pausedUntil: number;
  /** When a fault last ended here; judgements about it wait a while. */
  disturbedAt: number;
  /** Counts processes; late events of an earlier one are void. */
  life: number;
  bootCounter: number;
  core: Core | undefined;
  driver: Driver | undefined;
  readonly running: Set<number>;
  /** The fan of this box stands still since then; undefined while it turns. */
  brokenAt: number | undefined;
  readonly disk: SimulatedDisk;
}

export interface Traffic {
  messages: number;
  bytes: number;
  lost: number;
  /** Of the failure detector and of duties alone, without digests. */
  membershipMessages: number;
  membershipBytes: number;
}

/**
 * A site in virtual time. The boxes run the very core and driver of production; the ports end in a modelled network,
 * clock, disk and duty runner. Everything follows from the seed: there is one order of events, chance comes from named
 * streams, and no wall clock is read.
 *
 * Node runs timers before it reads sockets, and so does a box that wakes from a pause: first its overdue timer, then,
 * at the next turn, what waited in its socket buffers.
 */
export class World {
  readonly plan: SitePlan;
  readonly network: Network;
  readonly channels: SimulatedChannels;
  readonly boxes: readonly Box[];
  readonly trace = new TraceHash();
  readonly traffic: Traffic = { messages: 0, bytes: 0, lost: 0, membershipMessages: 0, membershipBytes: 0 };
  /** Inputs, wake-ups and other happenings so far. */
  events = 0;

  readonly #heap = new EventHeap();
  readonly #random: Random;
  readonly #timing: Random;
  readonly #options: WorldOptions;
  readonly #watch: WorldWatch;
  /** Per box: local = offset + (time − began)·rate. */
  readonly #began: Float64Array;
  readonly #offset: Float64Array;
  readonly #rate: Float64Array;
  readonly #armedAt: Float64Array;
  readonly #backlogs: (Input[] | undefined)[] = [];
  #now = 0;

  constructor(options: WorldOptions) {
    this.#options = options;
    this.plan = options.plan;
    this.#watch = options.watch ?? {};
    const size = options.plan.agents.length;
    this.#random = new Random(options.seed, 'world');
    this.#timing = this.#random.fork('timing');
    this.network = new Network(size, options.network ?? calmNetwork, this.#random.fork('network'));
    this.channels = new SimulatedChannels({
      world: {
        now: () => this.#now,
        deliverAt: (time, agent, input) => this.#deliverAt(time, agent, input),
        at: (time, act) => this.at(time, act),
        isUp: (agent) => this.boxes[agent]?.up ?? false,
        sent: (from, to, bytes, kind) => this.#sent(from, to, bytes, kind),
        lost: (from, to) => {
          this.traffic.lost++;
          this.trace.world(20, from, to, this.#now);
        },
      },
      network: this.network,
      random: this.#random.fork('channels'),
      bounds: {
        agents: size,
        duties: options.plan.duties.length,
        checks: options.plan.checks.length,
        models: options.plan.models.length,
      },
      cells: options.plan.agents.map((_, agent) => cellOf(agent)),
    });
    this.#began = new Float64Array(size);
    this.#offset = new Float64Array(size);
    this.#rate = new Float64Array(size).fill(1);
    this.#armedAt = new Float64Array(size).fill(Number.POSITIVE_INFINITY);
    this.boxes = Array.from({ length: size }, (_, index) => ({
      index,
      up: false,
      pausedUntil: 0,
      disturbedAt: Number.NEGATIVE_INFINITY,
      life: 0,
      bootCounter: 0,
      core: undefined,
      driver: undefined,
      running: new Set<number>(),
      brokenAt: undefined,
      disk: new SimulatedDisk(),
    }));
  }

  get now(): number {
    return this.#now;
  }

  /** Runs `act` at that time, or now if it has passed. */
  at(time: number, act: () => void): void {
    this.#heap.push(Math.max(time, this.#now), happening.act, 0, 0, 0, act);
  }

  /** Lets time pass up to `until`, or until `stop` says so between two events. */
  run(until: number, stop?: () => boolean): void {
    const heap = this.#heap;
    while (heap.nextTime <= until) {
      heap.pop();
      this.#now = heap.time;
      this.events++;
      switch (heap.kind) {
        case happening.act:
          (heap.payload as () => void)();
          break;
        case happening.wake:
          this.#wake(heap.a, heap.b);
          break;
        case happening.input:
          this.#arrived(heap.a, heap.b, heap.payload as Input);
          break;
      }
      if (stop?.()) return;
    }
    this.#now = Math.max(this.#now, until);
  }

  // What a scenario does to boxes

  /** Starts a process: reads its disk, counts the boot, dials the others. */
  start(agent: number): void {
    const box = this.boxes[agent]!;
    if (box.up) return;
    box.up = true;
    box.life++;
    box.bootCounter = ++box.disk.bootCounter;
    box.pausedUntil = 0;
    this.trace.world(21, agent, box.bootCounter, this.#now);
    this.#began[agent] = this.#now;
    this.#offset[agent] = this.#timing.between(0, 1e6);
    const drift = this.#options.clockDrift ?? 0;
    if (box.life === 1) this.#rate[agent] = 1 + this.#timing.between(-drift, drift);
    this.#armedAt[agent] = Number.POSITIVE_INFINITY;
    this.#backlogs[agent] = undefined;

    const random = this.#random.fork(`agent ${agent} life ${box.life}`);
    const boot = bootId(hex128(random));
    const core = (this.#options.core ?? ((parts) => new AgentCore(parts)))({
      plan: this.plan,
      identity: { self: agent, boot, bootCounter: box.bootCounter },
      random: random.fork('core'),
      restored: box.disk.restore(),
    });
    const driver = new Driver(core, this.#ports(box), {
      tap: {
        input: (now, input) => this.trace.input(agent, now, input),
        effect: (now, effect) => this.trace.effect(agent, now, effect),
      },
    });
    box.core = core;
    box.driver = driver;
    driver.deliver({ kind: 'started', wall: wallTime(this.#wall()) });
    this.channels.started(agent);
  }

  /** Ends the process at once, with all that it ran. `closes`: its connections are closed by a kernel that lives on. */
  crash(agent: number, closes: boolean): void {
    const box = this.boxes[agent]!;
    if (!box.up) return;
    this.trace.world(22, agent, closes ? 1 : 0, this.#now);
    box.up = false;
    box.disturbedAt = this.#now;
    box.driver?.stop();
    box.driver = undefined;
    box.core = undefined;
    box.pausedUntil = 0;
    this.#backlogs[agent] = undefined;
    for (const duty of [...box.running]) this.#setRunning(box, duty, false);
    this.channels.ended(agent, closes);
  }

  /** Freezes the process, as SIGSTOP or a stalled disk does: sockets fill, timers come late. */
  pause(agent: number, ms: number): void {
    const box = this.boxes[agent]!;
    if (!box.up || box.pausedUntil > this.#now) return;
    this.trace.world(23, agent, Math.round(ms), this.#now);
    box.pausedUntil = this.#now + ms;
    this.#backlogs[agent] = [];
    const { life } = box;
    this.at(box.pausedUntil, () => {
      if (!box.up || box.life !== life) return;
      box.pausedUntil = 0;
      box.disturbedAt = this.#now;
      const backlog = this.#backlogs[agent] ?? [];
      this.#backlogs[agent] = undefined;
      if (this.#armedAt[agent]! <= this.#now) {
        this.#armedAt[agent] = Number.POSITIVE_INFINITY;
        box.driver?.wake();
      }
      for (const input of backlog) this.#deliverAt(this.#now, agent, input);
    });
  }

  /** Cuts two groups apart, or what the left says to the right alone; or heals both directions. */
  partition(left: readonly number[], right: readonly number[], on: boolean, oneWay = false): void {
    this.trace.world(on ? 24 : 25, left.length, right.length, this.#now);
    for (const a of left) {
      for (const b of right) {
        if (a === b) continue;
        for (const [x, y] of [[a, b] as const, [b, a] as const]) {
          if (on && oneWay && x === b) continue;
          if (on) this.network.block(x, y);
          else this.network.unblock(x, y);
        }
        if (on) this.channels.cutSilently(a, b);
      }
    }
    for (const agent of [...left, ...right]) this.boxes[agent]!.disturbedAt = this.#now;
  }

  /** The fan of a box stalls; only its restart mends it. */
  break(agent: number): void {
    this.trace.world(26, agent, 0, this.#now);
    this.boxes[agent]!.brokenAt ??= this.#now;
  }

  /** A person says STOP to every run of a box, and mends its fan a moment later. */
  stop(agent: number): void {
    this.trace.world(27, agent, 0, this.#now);
    const box = this.boxes[agent]!;
    for (const { run, phase } of box.core?.remediation.runs() ?? []) {
      if (phase !== 'ended') this.#deliverAt(this.#now, agent, { kind: 'stop-ordered', run, by: 'a person' });
    }
    this.at(this.#now + 1_000, () => {
      box.brokenAt = undefined;
    });
  }

  setNetwork(options: NetworkOptions): void {
    this.network.options = options;
  }

  // Clocks

  #local(agent: number): Instant {
    return instant(this.#offset[agent]! + (this.#now - this.#began[agent]!) * this.#rate[agent]!);
  }

  #wall(): number {
    return 1_700_000_000_000 + this.#now;
  }

  #arm(agent: number, at: Instant): void {
    const due = this.#began[agent]! + (at - this.#offset[agent]!) / this.#rate[agent]!;
    // Event loops fire a little late, never early.
    const time = Math.max(this.#now, due) + this.#timing.float() * 0.5;
    // An earlier wake-up is pending already; it will re-arm.
    if (this.#armedAt[agent]! <= time) return;
    this.#armedAt[agent] = time;
    this.#heap.push(time, happening.wake, agent, this.boxes[agent]!.life, 0, undefined);
  }

  #wake(agent: number, life: number): void {
    const box = this.boxes[agent]!;
    if (!box.up || box.life !== life || this.#armedAt[agent] !== this.#now) return;
    if (box.pausedUntil > this.#now) return;
    this.#armedAt[agent] = Number.POSITIVE_INFINITY;
    box.driver?.wake();
  }

  // Inputs

  #deliverAt(time: number, agent: number, input: Input): void {
    const box = this.boxes[agent];
    if (!box?.up) return;
    this.#heap.push(time, happening.input, agent, box.life, 0, input);
  }

  #arrived(agent: number, life: number, input: Input): void {
    const box = this.boxes[agent]!;
    if (!box.up || box.life !== life) return;
    if (box.pausedUntil > this.#now) {
      const backlog = this.#backlogs[agent]!;
      if (backlog.length < maxBacklog) backlog.push(input);
      return;
    }
    box.driver?.deliver(input);
  }

  #sent(_from: number, _to: number, bytes: number, kind: DirectMessage['kind'] | 'digest'): void {
    this.traffic.messages++;
    this.traffic.bytes += bytes;
    if (kind !== 'digest' && kind !== 'claim' && kind !== 'checkpoint' && kind !== 'handover') {
      this.traffic.membershipMessages++;
      this.traffic.membershipBytes += bytes;
    }
  }

  // Ports

  #ports(box: Box): Ports {
    const agent = box.index;
    const { life, disk } = box;
    const alive = () => box.up && box.life === life;
    const later = (ms: number, act: () => void) =>
      this.at(this.#now + ms, () => {
        if (alive()) act();
      });
    const input = (ms: number, what: Input) => this.#deliverAt(this.#now + ms, agent, what);
    const diskMs = this.#options.diskMs ?? 3;
    const startMs = this.#options.dutyStartMs ?? 100;
    const chance = this.#random.fork(`ports ${agent} ${life}`);
    return {
      clock: {
        now: () => this.#local(agent),
        wall: () => wallTime(this.#wall()),
        arm: (at) => this.#arm(agent, at),
      },
      mesh: this.channels.port(agent),
      journal: simulatedJournal(disk, {
        later: (act) => later(chance.exponential(diskMs), act),
        deliver: (what) => input(0, what),
        durable: (entries) => this.#watch.journalled?.(this.#now, agent, entries),
        incarnationSaved: (incarnation) => this.#watch.incarnationSaved?.(this.#now, agent, incarnation),
      }),
      outbox: { publish: () => true },
      checks: {
        run: (check) =>
          input(chance.between(1, 20), {
            kind: 'check-observed',
            check,
            observation: {
              status: box.brokenAt === undefined ? 'ok' : 'crit',
              value: undefined,
              text: 'simulated',
              perf: [],
            },
          }),
      },
      duties: {
        start: (duty, _term, checkpoint) => {
          const fails = chance.chance(this.#options.dutyFailure ?? 0);
          later(chance.between(startMs / 2, startMs), () => {
            if (fails) {
              input(0, { kind: 'duty-failed', duty, reason: 'simulated: its source is out of reach' });
              return;
            }
            this.#setRunning(box, duty, true);
            input(0, { kind: 'duty-started', duty });
            let progress = checkpoint && checkpoint.data.length === 4 ? readProgress(checkpoint.data) : 0;
            const work = () => {
              if (!box.running.has(duty)) return;
              progress++;
              input(0, { kind: 'checkpoint-taken', duty, data: writeProgress(progress) });
              later(1_000, work);
            };
            later(chance.between(0, 1_000), work);
          });
        },
        stop: (duty) =>
          later(chance.between(5, 40), () => {
            this.#setRunning(box, duty, false);
            input(0, { kind: 'duty-stopped', duty });
          }),
      },
      actions: {
        issue: ({ run, step, try: attempt, issue, action }) => {
          this.#watch.actionIssued?.(this.#now, agent, { run, step, try: attempt, issue });
          const restarts = action.kind === 'command.run' && action.argv[1] === 'restart';
          const works = chance.chance(0.9);
          // The effect outlives the process that ordered it; its completion does not.
          const doneIn = chance.between(10, 800);
          if (restarts && works) {
            this.at(this.#now + doneIn, () => {
              box.brokenAt = undefined;
            });
          }
          input(doneIn + 1, {
            kind: 'action-completed',
            run,
            step,
            try: attempt,
            issue,
            outcome: works ? 'ok' : 'failed',
            detail: 'simulated',
          });
        },
        probe: (run, step) =>
          input(5, {
            kind: 'action-probed',
            run,
            step,
            applied: box.brokenAt === undefined ? 'applied' : 'not-applied',
            detail: 'simulated',
          }),
        cancel: () => {},
        baseline: (run, step) => input(5, { kind: 'baseline-read', run, step, baseline: 'simulated' }),
      },
      hooks: { run: () => {} },
      observer: { observe: (_now, observation) => this.#watch.observed?.(this.#now, agent, observation) },
    };
  }

  #setRunning(box: Box, duty: number, running: boolean): void {
    if (box.running.has(duty) === running) return;
    if (running) box.running.add(duty);
    else box.running.delete(duty);
    this.#watch.dutyRunning?.(this.#now, box.index, duty, running);
  }
}

const happening = { act: 0, wake: 1, input: 2 } as const;
/** Socket buffers of a frozen process hold this many inputs; the rest is lost. */
const maxBacklog = 10_000;

const readProgress = (data: Uint8Array): number => data[0]! | (data[1]! << 8) | (data[2]! << 16) | (data[3]! << 24);
const writeProgress = (n: number): Uint8Array => Uint8Array.of(n, n >>> 8, n >>> 16, n >>> 24);

const hex128 = (random: Random): string =>
  Array.from({ length: 4 }, () => random.uint32().toString(16).padStart(8, '0')).join('');
