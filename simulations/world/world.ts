import { bootId } from '../../agent/base/ids.ts';
import { Random } from '../../agent/base/random.ts';
import { type Instant, instant, type WallTime, wallTime } from '../../agent/base/time.ts';
import { AgentCore, type AgentCoreOptions } from '../../agent/core/agent-core.ts';
import type { Fence } from '../../agent/core/duties/exclusive-duties.ts';
import type { Effect } from '../../agent/core/effect.ts';
import type { HealthDigest } from '../../agent/core/health/digest.ts';
import type { DirectMessage, Input } from '../../agent/core/input.ts';
import { ElapsedClock } from '../../agent/core/leases/elapsed-clock.ts';
import type { SessionId } from '../../agent/core/leases/session.ts';
import { smallSite } from '../../agent/core/membership/ring.ts';
import type { Observation } from '../../agent/core/observation.ts';
import type { JournalEntry, RunId } from '../../agent/core/remediation/journal-entry.ts';
import type { EffectRight } from '../../agent/core/remediation/remediation-output.ts';
import type { SitePlan } from '../../agent/core/site-plan.ts';
import { Driver, type Steppable, type Tap } from '../../agent/driver/driver.ts';
import type { ClockPort, MeshPort, Ports } from '../../agent/driver/ports.ts';
import { type Exchange, SimulatedChannels } from './channel.ts';
import { type DiskImage, SimulatedDisk, simulatedJournal } from './disk.ts';
import { EventHeap } from './event-heap.ts';
import { calmNetwork, Network, type NetworkOptions } from './network.ts';
import { cellOf } from './plan.ts';
import { SimulatedSupervisor } from './supervisor.ts';
import { TraceHash } from './trace-hash.ts';
import { WakeUps } from './wake-ups.ts';

/** The core as the world sees it; a test may hand in one with a planted fault. */
export type Core = Steppable &
  Pick<AgentCore, 'membership' | 'duties' | 'remediation'> &
  Partial<Pick<AgentCore, 'exclusive'>>;

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
  /** An exclusive duty's process looks at its right once a second, and its effect lands up to so much later. */
  readonly effectMs?: number;
  /** Places for second processes with the key of another box, see `startClone`. */
  readonly clones?: number;
  readonly core?: (options: AgentCoreOptions) => Core;
  readonly watch?: WorldWatch;
}

/** What the scenario's measurements and invariants look at. Times are the world's, in milliseconds. */
export interface WorldWatch {
  observed?(at: number, agent: number, observation: Observation): void;
  incarnationSaved?(at: number, agent: number, bootCounter: number, incarnation: number): void;
  dutyRunning?(at: number, agent: number, duty: number, running: boolean): void;
  /** What a process with a cloned key sees; everything else here is about the boxes alone. */
  cloneObserved?(at: number, agent: number, observation: Observation): void;
  cloneRunning?(at: number, clone: Box, duty: number, running: boolean): void;
  /** An effect of an exclusive duty lands: what it shows, and when its process looked at its right. */
  acted?(at: number, box: Box, duty: number, act: { readonly fence: Fence; readonly checkedAt: number }): void;
  /** These entries are durable now. */
  journalled?(at: number, agent: number, entries: readonly JournalEntry[]): void;
  /** A step with an effect was issued, by whatever process has the key; something of it may be under way until `untilMs`. */
  workBegun?(at: number, box: Box, work: Work): void;
  actionIssued?(at: number, agent: number, action: { run: RunId; step: number; try: number; issue: number }): void;
}

/** A step that touches something, as it is issued. */
export interface Work {
  readonly run: RunId;
  readonly step: number;
  readonly try: number;
  readonly issue: number;
  /** The permit that its workflow needs, `cell/name`, and the slot that it has. */
  readonly permit: string | undefined;
  readonly slot: string | undefined;
  readonly fence: EffectRight | undefined;
  readonly untilMs: number;
}

/** One box: what survives a crash (disk), and the process that lives on it, if one does. */
export interface Box {
  /** The agent whose key it has. */
  readonly index: number;
  /** Its number as a place of the network; the same, but for clones. */
  readonly place: number;
  up: boolean;
  /** Frozen until then: nothing is read, no timer runs; 0 when it is not. */
  pausedUntil: number;
  /** When a fault last ended here; judgements about it wait a while. */
  disturbedAt: number;
  /** Counts processes; late events of an earlier one are void. */
  life: number;
  startedAt: number;
  bootCounter: number;
  core: Core | undefined;
  driver: Driver | undefined;
  readonly running: Set<number>;
  /** The fan of this box stands still since then; undefined while it turns. */
  brokenAt: number | undefined;
  /** The same moment by the box's own clock, which stands still while the box is suspended. */
  brokenOwnAt: number;
  /** Parents the process of this life and its duties. */
  supervisor: SimulatedSupervisor | undefined;
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
  /** Second processes with the key of a box, once `startClone` was called. */
  readonly clones: readonly Box[];
  readonly trace = new TraceHash();
  readonly traffic: Traffic = { messages: 0, bytes: 0, lost: 0, membershipMessages: 0, membershipBytes: 0 };
  /** What was taken from the queues so far: inputs, wake-ups and other happenings. */
  events = 0;
  /**
   * How machines take commands: this share times out, and is carried out all the same up to `lateMs` later; not at all
   * where they are `deaf`, and then only what would change something times out.
   */
  plc: { readonly timeouts: number; readonly lateMs: number; readonly deaf?: boolean } = {
    timeouts: 0,
    lateMs: 0,
    deaf: false,
  };

  readonly #places: readonly Box[];
  /** Life of the process that stands at a place, 0 while none does; and its driver. So that an event need not look at the box. */
  readonly #lives: Int32Array;
  readonly #drivers: (Driver | undefined)[] = [];
  readonly #heap = new EventHeap();
  readonly #wakeUps: WakeUps;
  readonly #random: Random;
  readonly #timing: Random;
  readonly #options: WorldOptions;
  readonly #watch: WorldWatch;
  /** Monotonic clock of a process: offset + (time − began)·rate, and standing still before `began`. */
  readonly #began: Float64Array;
  readonly #offset: Float64Array;
  readonly #rate: Float64Array;
  /** How long it stood still in this life. */
  readonly #suspended: Float64Array;
  /** How far the wall clock of a box is off. */
  readonly #wallOff: Float64Array;
  /** The wake-up that the process wants: on its own clock, and when that is. */
  readonly #wanted: Float64Array;
  readonly #due: Float64Array;
  /** Frozen, or at work on one step: nothing is read, no timer runs. */
  readonly #busyUntil: Float64Array;
  /** What one step takes; 0 for a box of the usual speed. */
  readonly #stepMs: Float64Array;
  /** Inputs that this turn of a slow event loop still reads before timers are looked at again. */
  readonly #reads: Int32Array;
  readonly #backlogs: (Input[] | undefined)[] = [];
  readonly #plans: (SitePlan | undefined)[] = [];
  readonly #planNumbers = new Map<string, number>();
  #broker: 'connected' | 'lost' | undefined;
  #now = 0;
  readonly #clockwork: Clockwork = {
    now: (place) => this.#local(place),
    wall: (place) => this.wall(place),
    uptime: (place) => this.uptime(place),
    arm: (place, at) => this.#arm(place, at),
  };

  constructor(options: WorldOptions) {
    this.#options = options;
    this.plan = options.plan;
    this.#watch = options.watch ?? {};
    const size = options.plan.agents.length;
    const places = size + (options.clones ?? 0);
    this.#planNumbers.set(options.plan.hash, 0);
    this.#random = new Random(options.seed, 'world');
    this.#timing = this.#random.fork('timing');
    this.network = new Network(places, options.network ?? calmNetwork, this.#random.fork('network'));
    this.channels = new SimulatedChannels({
      world: {
        now: () => this.#now,
        deliverAt: (time, place, input) => this.#deliverAt(time, place, input),
        later: (time, what, a, b, c, payload) => this.#heap.push(time, happening.channel + what, a, b, c, payload),
        isUp: (place) => (this.#lives[place] ?? 0) !== 0,
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
    this.#lives = new Int32Array(places);
    this.#began = new Float64Array(places);
    this.#offset = new Float64Array(places);
    this.#rate = new Float64Array(places).fill(1);
    this.#suspended = new Float64Array(places);
    this.#wallOff = new Float64Array(places);
    this.#wanted = new Float64Array(places).fill(Number.POSITIVE_INFINITY);
    this.#due = new Float64Array(places).fill(Number.POSITIVE_INFINITY);
    this.#wakeUps = new WakeUps(places);
    this.#busyUntil = new Float64Array(places);
    this.#stepMs = new Float64Array(places);
    this.#reads = new Int32Array(places);
    this.#places = Array.from({ length: places }, (_, place) => newBox(place < size ? place : 0, place));
    this.boxes = this.#places.slice(0, size);
    this.clones = [];
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
    const wakeUps = this.#wakeUps;
    for (;;) {
      const wakesAt = wakeUps.nextTime;
      if (wakesAt < heap.nextTime) {
        if (wakesAt > until) break;
        this.#now = wakesAt;
        this.events++;
        this.#woken(wakeUps.nextPlace);
        if (stop?.()) return;
        continue;
      }
      if (heap.nextTime > until) break;
      heap.pop();
      this.#now = heap.time;
      this.events++;
      switch (heap.kind) {
        case happening.act:
          (heap.payload as () => void)();
          break;
        case happening.input:
          this.#arrived(heap.a, heap.c, heap.payload as Input);
          break;
        case happening.ready:
          this.#ready(heap.a, heap.c);
          break;
        default:
          this.channels.happen(heap.kind - happening.channel, heap.a, heap.b, heap.c, heap.payload);
      }
      if (stop?.()) return;
    }
    this.#now = Math.max(this.#now, until);
  }

  // What a scenario does to boxes

  /** Starts a process: reads its disk, counts the boot, dials the others. */
  start(agent: number): void {
    this.#start(this.boxes[agent]!);
  }

  #start(box: Box): void {
    const { index: agent, place } = box;
    if (box.up) return;
    box.up = true;
    box.life++;
    box.startedAt = this.#now;
    box.bootCounter = ++box.disk.bootCounter;
    box.pausedUntil = 0;
    this.trace.world(21, place, box.bootCounter, this.#now);
    this.#began[place] = this.#now;
    this.#offset[place] = this.#timing.between(0, 1e6);
    this.#suspended[place] = 0;
    const drift = this.#options.clockDrift ?? 0;
    if (box.life === 1) this.#rate[place] = 1 + this.#timing.between(-drift, drift);
    this.#wanted[place] = this.#due[place] = Number.POSITIVE_INFINITY;
    this.#wakeUps.delete(place);
    this.#busyUntil[place] = 0;
    this.#reads[place] = 0;
    this.#backlogs[place] = undefined;

    box.disk.began(box.life, this.#now);
    const random = this.#random.fork(`agent ${place} life ${box.life}`);
    const boot = bootId(hex128(random));
    const plan = this.#plans[place] ?? this.plan;
    this.channels.setPlan(place, this.#planNumber(plan));
    const core = (this.#options.core ?? ((parts) => new AgentCore(parts)))({
      plan,
      identity: { self: agent, boot, bootCounter: box.bootCounter },
      random: random.fork('core'),
      restored: box.disk.restore(),
    });
    if (this.boxes.length > smallSite) this.#acquaint(core, agent);
    const hasLeases = this.plan.cells.some(({ leases }) => leases.length > 0);
    const own = new PlacePorts(
      place,
      { clockwork: this.#clockwork, trace: this.trace, exchange: this.channels.exchange },
      hasLeases ? new ElapsedClock() : undefined,
    );
    const driver = new Driver(core, this.#ports(box, own), { tap: own });
    box.core = core;
    box.driver = driver;
    this.#lives[place] = box.life;
    this.#drivers[place] = driver;
    this.#hand(place, { kind: 'started', wall: wallTime(this.wall(place)) });
    this.channels.started(place);
    if (this.#broker !== undefined) {
      this.#deliverAt(this.#now + 50, place, { kind: 'coordinator-changed', state: this.#broker });
    }
  }

  /**
   * A large site is not on its first day: each box remembers the others as they last were, and need not be greeted by
   * all of them, which would be N² of work. What is no longer true, probes find out.
   */
  #acquaint(core: Core, self: number): void {
    for (const { index, bootCounter } of this.boxes) {
      if (index !== self) core.membership.presume(index, Math.max(1, bootCounter), 0);
    }
  }

  /** Ends the process at once, with all that it ran. `closes`: its connections are closed by a kernel that lives on. */
  crash(agent: number, closes: boolean): void {
    this.#end(this.boxes[agent]!, closes);
  }

  #end(box: Box, closes: boolean): void {
    const { place } = box;
    if (!box.up) return;
    this.trace.world(22, place, closes ? 1 : 0, this.#now);
    box.up = false;
    box.disturbedAt = this.#now;
    box.driver?.stop();
    box.driver = undefined;
    this.#lives[place] = 0;
    this.#drivers[place] = undefined;
    this.#wakeUps.delete(place);
    box.core = undefined;
    box.pausedUntil = 0;
    this.#backlogs[place] = undefined;
    for (const duty of [...box.running]) this.#setRunning(box, duty, false);
    box.supervisor?.agentEnded(closes);
    box.supervisor = undefined;
    this.channels.ended(place, closes);
    box.disk.processEnded(this.#timing, !closes);
  }

  /** Everybody named goes down at once, and comes up again between half of `downMs` and all of it later. */
  reboot(agents: readonly number[], downMs: number, closes = false): void {
    for (const agent of agents) {
      this.crash(agent, closes);
      this.at(this.#now + this.#timing.between(downMs / 2, downMs), () => this.start(agent));
    }
  }

  /** Freezes the process, as SIGSTOP or a stalled disk does: sockets fill, timers come late. */
  pause(agent: number, ms: number): void {
    const box = this.boxes[agent]!;
    if (!box.up || box.pausedUntil > this.#now) return;
    this.trace.world(23, agent, Math.round(ms), this.#now);
    box.pausedUntil = this.#now + ms;
    this.#occupy(box, ms);
  }

  /**
   * Freezes the box together with its monotonic clock, as suspending a virtual machine does: afterwards the process
   * believes that no time has passed. Wall clock and uptime went on.
   */
  suspend(agent: number, ms: number): void {
    const box = this.boxes[agent]!;
    if (!box.up || box.pausedUntil > this.#now) return;
    this.#anchor(agent);
    this.#began[agent] = this.#now + ms;
    this.#suspended[agent] = this.#suspended[agent]! + ms;
    this.#rearm(agent);
    box.supervisor?.freeze();
    this.pause(agent, ms);
  }

  /** From now on each step of this box takes `stepMs`, and what it says leaves as much later; 0: as fast as all. */
  slow(agent: number, stepMs: number): void {
    this.trace.world(28, agent, Math.round(stepMs * 1000), this.#now);
    if (stepMs === 0 && this.#stepMs[agent] !== 0) this.boxes[agent]!.disturbedAt = this.#now;
    this.#stepMs[agent] = stepMs;
    this.network.lagMs[agent] = stepMs;
  }

  /** From now on the monotonic clock of this box runs at `rate` (1.001: a millisecond per second fast). */
  drift(agent: number, rate: number): void {
    this.trace.world(29, agent, Math.round((rate - 1) * 1e9), this.#now);
    this.#anchor(agent);
    this.#rate[agent] = rate;
    this.#rearm(agent);
  }

  /** Sets the wall clock of a box forward, or back where negative; the process is told within the second, as by its driver. */
  jumpWall(agent: number, ms: number): void {
    this.trace.world(30, agent, Math.round(ms), this.#now);
    this.#wallOff[agent] = this.#wallOff[agent]! + ms;
    const told = this.#now + this.#timing.between(0, 1_000);
    this.at(told, () => {
      const wall = wallTime(this.wall(agent));
      this.#deliverAt(this.#now, agent, { kind: 'clock-read', wall, trusted: true });
    });
  }

  /** Copies the disk of a box as it is, for a clone or to roll it back later. */
  imageDisk(agent: number): DiskImage {
    return this.boxes[agent]!.disk.image();
  }

  /**
   * Starts a second process with the key of `agent` on another box, from an image of its disk: what happens when
   * somebody clones a machine and switches both on. Returns its box; `endClone` switches it off. Needs a free place
   * (`WorldOptions.clones`).
   */
  startClone(agent: number, image: DiskImage = this.imageDisk(agent)): Box {
    const place = this.boxes.length + this.clones.length;
    if (place >= this.#places.length) throw new RangeError('no place left for a clone: see WorldOptions.clones');
    this.trace.world(31, agent, place, this.#now);
    const box = { ...newBox(agent, place), disk: new SimulatedDisk(image) };
    (this.#places as Box[])[place] = box;
    (this.clones as Box[]).push(box);
    this.channels.clone(place, agent);
    this.#start(box);
    return box;
  }

  endClone(clone: Box, closes: boolean): void {
    this.#end(clone, closes);
  }

  /** From its next start on, this box runs another plan (a site file of another version) with the same agents. */
  setPlan(agent: number, plan: SitePlan): void {
    this.#plans[agent] = plan;
  }

  /**
   * A box begins anew under another version of the site file, or speaking another protocol, or both; one that is down
   * does when it is started. Version 1 is the plan of the world; a later one is the same plan under another hash.
   */
  upgrade(agent: number, to: { readonly bundle?: number | undefined; readonly protocol?: number | undefined }): void {
    const box = this.boxes[agent]!;
    const wasUp = box.up;
    this.trace.world(33, agent, 16 * (to.bundle ?? 0) + (to.protocol ?? 0), this.#now);
    this.crash(agent, true);
    if (to.bundle !== undefined) this.setPlan(agent, this.#planOf(to.bundle));
    if (to.protocol !== undefined) {
      this.network.speak(agent, to.protocol);
      // Whom it spoke with a moment ago it may not speak with now, and others it may.
      for (const other of this.boxes) other.disturbedAt = this.#now;
    }
    if (wasUp) this.at(this.#now + upgradeMs, () => this.start(agent));
  }

  /** The site file that a box runs, or will when it starts. */
  planOf(agent: number): SitePlan {
    return this.#plans[agent] ?? this.plan;
  }

  readonly #versions = new Map<number, SitePlan>();

  #planOf(version: number): SitePlan {
    if (version === 1) return this.plan;
    let plan = this.#versions.get(version);
    if (plan === undefined)
      this.#versions.set(version, (plan = { ...this.plan, version, hash: `simulated ${version}` }));
    return plan;
  }

  /** The broker goes or comes back, for these boxes or for all; those who start later hear of the last word for all. */
  broker(state: 'connected' | 'lost', agents?: readonly number[]): void {
    this.trace.world(32, state === 'lost' ? 1 : 0, agents?.length ?? -1, this.#now);
    if (agents === undefined) this.#broker = state;
    for (const agent of agents ?? this.boxes.map(({ index }) => index)) {
      // Not all links break in the same millisecond.
      this.#deliverAt(this.#now + this.#timing.exponential(20), agent, { kind: 'coordinator-changed', state });
    }
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

  /**
   * Cuts single pairs, so that reaching each other need not be transitive: A and B apart, and both in touch with C.
   * `oneWay`: only the first no longer reaches the second.
   */
  cutPairs(pairs: readonly (readonly [number, number])[], on: boolean, oneWay = false): void {
    for (const [a, b] of pairs) this.partition([a], [b], on, oneWay);
  }

  /** A partition that comes and goes: half of `periodMs` cut, half whole, until `untilMs`, when it is healed. */
  flap(
    left: readonly number[],
    right: readonly number[],
    options: { readonly periodMs: number; readonly untilMs: number; readonly oneWay?: boolean },
  ): void {
    const { periodMs, untilMs, oneWay } = options;
    if (this.#now >= untilMs) return;
    this.partition(left, right, true, oneWay);
    this.at(Math.min(untilMs, this.#now + periodMs / 2), () => {
      this.partition(left, right, false);
      if (this.#now + periodMs / 2 < untilMs) {
        this.at(this.#now + periodMs / 2, () => this.flap(left, right, options));
      }
    });
  }

  /** The fan of a box stalls; only its restart mends it. */
  break(agent: number): void {
    this.trace.world(26, agent, 0, this.#now);
    const box = this.boxes[agent]!;
    if (box.brokenAt !== undefined) return;
    box.brokenAt = this.#now;
    box.brokenOwnAt = this.#local(agent);
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

  /** The wall clock of a box, milliseconds since the epoch. */
  wall(place: number): number {
    return 1_700_000_000_000 + this.#now + this.#wallOff[place]!;
  }

  /** Like the monotonic clock of its process, and going on while the box is suspended. */
  uptime(place: number): number {
    return this.#local(place) + this.#suspended[place]!;
  }

  /** The monotonic clock of its process. */
  monotonic(place: number): Instant {
    return this.#local(place);
  }

  #local(place: number): Instant {
    const passed = this.#now - this.#began[place]!;
    return instant(this.#offset[place]! + (passed > 0 ? passed * this.#rate[place]! : 0));
  }

  /** Counts a clock from this very moment on, so that it may run otherwise from here. */
  #anchor(place: number): void {
    this.#offset[place] = this.#local(place);
    this.#began[place] = this.#now;
  }

  #arm(place: number, at: Instant): void {
    this.#wanted[place] = at;
    const due = this.#began[place]! + (at - this.#offset[place]!) / this.#rate[place]!;
    // Event loops fire a little late, never early.
    const time = (due > this.#now ? due : this.#now) + this.#timing.float() * 0.5;
    this.#due[place] = time;
    this.#wakeUps.set(place, time);
  }

  #rearm(place: number): void {
    if (this.#wanted[place] !== Number.POSITIVE_INFINITY) this.#arm(place, instant(this.#wanted[place]!));
  }

  #woken(place: number): void {
    // Who is busy looks at its timers when it is done.
    if (this.#busyUntil[place]! <= this.#now && this.#due[place]! <= this.#now) {
      this.#wake(place);
      // Mostly it has armed the next one.
      if (this.#due[place] !== Number.POSITIVE_INFINITY) return;
    }
    this.#wakeUps.delete(place);
  }

  #wake(place: number): void {
    this.#wanted[place] = this.#due[place] = Number.POSITIVE_INFINITY;
    this.#drivers[place]?.wake();
    if (this.#stepMs[place]! > 0) this.#occupy(this.#places[place]!, this.#stepMs[place]!);
  }

  // Inputs

  #deliverAt(time: number, place: number, input: Input): void {
    const life = this.#lives[place] ?? 0;
    if (life !== 0) this.#heap.push(time, happening.input, place, 0, life, input);
  }

  #arrived(place: number, life: number, input: Input): void {
    if (this.#lives[place] !== life) return;
    if (this.#busyUntil[place]! > this.#now) {
      let backlog = this.#backlogs[place];
      if (backlog === undefined) this.#backlogs[place] = backlog = [];
      if (backlog.length < maxBacklog) backlog.push(input);
      return;
    }
    this.#hand(place, input);
  }

  #hand(place: number, input: Input): void {
    this.#drivers[place]?.deliver(input);
    if (this.#stepMs[place]! > 0) this.#occupy(this.#places[place]!, this.#stepMs[place]!);
  }

  #occupy(box: Box, ms: number): void {
    const until = this.#now + ms;
    if (!box.up || until <= this.#busyUntil[box.place]!) return;
    this.#busyUntil[box.place] = until;
    this.#heap.push(until, happening.ready, box.place, 0, box.life, undefined);
  }

  /** The process may go on: first its overdue timer, then, at the next turn, what waited in its socket buffers. */
  #ready(place: number, life: number): void {
    const box = this.#places[place]!;
    if (!box.up || box.life !== life || this.#busyUntil[place]! > this.#now) return;
    if (box.pausedUntil > 0) {
      box.pausedUntil = 0;
      box.disturbedAt = this.#now;
      box.supervisor?.thaw();
    }
    const backlog = this.#backlogs[place] ?? [];
    if (this.#stepMs[place]! > 0) {
      const first = this.#reads[place]! > 0 ? backlog.shift() : undefined;
      if (first !== undefined) {
        this.#reads[place]!--;
        return this.#hand(place, first);
      }
      this.#reads[place] = backlog.length;
      if (this.#due[place]! <= this.#now) return this.#wake(place);
      const next = backlog.shift();
      if (next !== undefined) {
        this.#reads[place]!--;
        return this.#hand(place, next);
      }
    } else {
      this.#backlogs[place] = undefined;
      if (this.#due[place]! <= this.#now) this.#wake(place);
      for (const input of backlog) this.#deliverAt(this.#now, place, input);
    }
    if (this.#due[place] !== Number.POSITIVE_INFINITY) this.#wakeUps.set(place, this.#due[place]!);
  }

  #sent(_from: number, _to: number, bytes: number, kind: DirectMessage['kind'] | 'digest'): void {
    this.traffic.messages++;
    this.traffic.bytes += bytes;
    const isProbe = kind === 'ping' || kind === 'ack';
    if (isProbe || !(kind === 'claim' || kind === 'checkpoint' || kind === 'handover' || kind.startsWith('digest'))) {
      this.traffic.membershipMessages++;
      this.traffic.membershipBytes += bytes;
    }
  }

  // Ports

  #ports(box: Box, own: PlacePorts): Ports {
    const { life, disk, place, index: agent } = box;
    const isClone = place !== agent;
    const alive = () => box.up && box.life === life;
    const later = (ms: number, act: () => void) =>
      this.at(this.#now + ms, () => {
        if (alive()) act();
      });
    const input = (ms: number, what: Input) => this.#deliverAt(this.#now + ms, place, what);
    const diskMs = this.#options.diskMs ?? 3;
    const startMs = this.#options.dutyStartMs ?? 100;
    const chance = this.#random.fork(`ports ${place} ${life}`);
    const holderNow = () => own.elapsed?.() ?? own.now();
    const supervisor = new SimulatedSupervisor(
      {
        uptime: () => this.uptime(place),
        at: (ms, act) => this.at(this.#now + ms, act),
        setRunning: (duty, running) => this.#setRunning(box, duty, running),
        certify: (target, session) => this.#certify(place, target, session),
      },
      this.#random.fork(`supervisor ${place} ${life}`),
    );
    box.supervisor = supervisor;
    /** Rises with every order about a duty, so that a start which was overtaken by a stop does not happen. */
    const orders = new Map<number, number>();
    const order = (duty: number): (() => boolean) => {
      const own = (orders.get(duty) ?? 0) + 1;
      orders.set(duty, own);
      return () => orders.get(duty) === own;
    };
    /** How the process of an exclusive duty begins anew when an extension comes after its deadline; until it is stopped. */
    const revivals = new Map<number, () => void>();
    let voterDiskAt = 0;
    return {
      clock: own,
      mesh: own,
      journal: simulatedJournal(disk, {
        later: (act) => later(chance.exponential(diskMs), act),
        deliver: (what) => input(0, what),
        durable: (entries) => {
          if (!isClone) this.#watch.journalled?.(this.#now, agent, entries);
        },
        incarnationSaved: (bootCounter, incarnation) => {
          if (!isClone) this.#watch.incarnationSaved?.(this.#now, agent, bootCounter, incarnation);
        },
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
        start: (duty, _term, checkpoint, fence) => {
          const fails = chance.chance(this.#options.dutyFailure ?? 0);
          const stands = order(duty);
          if (fence !== undefined) supervisor.allow(duty, fence, holderNow());
          let progress = checkpoint && checkpoint.data.length === 4 ? readProgress(checkpoint.data) : 0;
          let isTold = false;
          let turn = 0;
          const begin = (mine: number) => {
            if (!stands() || mine !== turn) return;
            // Nothing begins on a box that stands still as a whole.
            if (fence !== undefined && supervisor.isFrozen)
              return later(box.pausedUntil - this.#now, () => begin(mine));
            // Its right may have ended while it was on its way: the supervisor starts nothing then.
            if (fence !== undefined && supervisor.fence(duty) === undefined) return;
            if (fails) {
              supervisor.ended(duty);
              revivals.delete(duty);
              input(0, { kind: 'duty-failed', duty, reason: 'simulated: its source is out of reach' });
              return;
            }
            this.#setRunning(box, duty, true);
            if (!isTold) input(0, { kind: 'duty-started', duty });
            isTold = true;
            const work = () => {
              const shown = supervisor.fence(duty);
              if (fence !== undefined && supervisor.isFrozen) return later(box.pausedUntil - this.#now, work);
              if (!box.running.has(duty) || mine !== turn) return;
              if (shown !== undefined)
                this.#act(box, duty, shown, chance.between(0.2, this.#options.effectMs ?? usualEffectMs));
              progress++;
              input(0, { kind: 'checkpoint-taken', duty, data: writeProgress(progress) });
              later(1_000, work);
            };
            later(chance.between(0, 1_000), work);
          };
          const start = () => {
            const mine = ++turn;
            later(chance.between(startMs / 2, startMs), () => begin(mine));
          };
          if (fence !== undefined) revivals.set(duty, start);
          start();
        },
        extend: (duty, fence) => {
          // Its process was ended by its deadline, and the right goes on: what was late was the extension.
          const revive = supervisor.fence(duty) === undefined ? revivals.get(duty) : undefined;
          if (supervisor.fence(duty) !== undefined || revive !== undefined) supervisor.allow(duty, fence, holderNow());
          revive?.();
        },
        stop: (duty, atOnce) => {
          const stands = order(duty);
          revivals.delete(duty);
          later(atOnce === true ? 1 : chance.between(5, 40), () => {
            if (!stands()) return;
            supervisor.ended(duty);
            this.#setRunning(box, duty, false);
            input(0, { kind: 'duty-stopped', duty });
          });
        },
      },
      leases: {
        persist: (token, cell, entries) => {
          // One after the other, whatever each of them takes.
          voterDiskAt = Math.max(voterDiskAt, this.#now + chance.exponential(diskMs));
          later(voterDiskAt - this.#now, () => {
            const reason = disk.persistLeases(cell, entries);
            input(
              0,
              reason === undefined
                ? { kind: 'leases-persisted', token }
                : { kind: 'leases-persist-failed', token, reason },
            );
          });
        },
        openSession: (cell, epoch, targets, guardMs) => {
          const id = supervisor.openSession(cell, targets, guardMs);
          input(chance.between(0.5, 3), { kind: 'session-opened', cell, epoch, id });
        },
      },
      uplink: {
        check: () => {
          if (this.#broker !== undefined) input(100, { kind: 'coordinator-changed', state: this.#broker });
        },
      },
      actions: {
        issue: ({ run, step, try: attempt, issue, action, fence }) => {
          if (!isClone) this.#watch.actionIssued?.(this.#now, agent, { run, step, try: attempt, issue });
          const restarts = action.kind === 'command.run' && action.argv[1] === 'restart';
          const { timeouts, lateMs, deaf } = this.plc;
          const works = chance.chance(0.9);
          // The effect outlives the process that ordered it; its completion does not.
          const doneIn = chance.between(10, 800);
          const timesOut = timeouts > 0 && (restarts || !deaf) && chance.chance(timeouts);
          const landsIn = timesOut && restarts && works ? doneIn + chance.between(0, lateMs) : doneIn;
          if (restarts) {
            this.#watch.workBegun?.(this.#now, box, {
              ...{ run, step, try: attempt, issue, fence },
              ...this.#permitOf(box, run),
              untilMs: this.#now + landsIn,
            });
          }
          if (restarts && works && !(timesOut && deaf)) {
            this.at(this.#now + landsIn, () => {
              box.brokenAt = undefined;
            });
          }
          input(doneIn + 1, {
            kind: 'action-completed',
            run,
            step,
            try: attempt,
            issue,
            outcome: timesOut ? 'timed-out' : works ? 'ok' : 'failed',
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
      observer: {
        observe: (_now, observation) => {
          if (isClone) this.#watch.cloneObserved?.(this.#now, agent, observation);
          else this.#watch.observed?.(this.#now, agent, observation);
        },
      },
    };
  }

  /** A datagram to whom it may concern: lost like everything else, and never told to be. */
  #certify(from: number, target: number, session: SessionId): void {
    const at = this.network.arrival(this.#now, from, target, 64, true);
    if (at >= 0) this.#deliverAt(at, target, { kind: 'session-died', session });
  }

  /** It looked at its right, and writes. On a box that is suspended between the two the write waits until it wakes. */
  #act(box: Box, duty: number, fence: Fence, landsInMs: number): void {
    const { life } = box;
    const checkedAt = this.#now;
    const write = () => {
      if (box.up && box.life === life && box.supervisor?.isFrozen) {
        this.at(box.pausedUntil, () => {
          // A box that loses power while it stands still writes nothing more.
          if (box.up && box.life === life) write();
        });
      } else this.#watch.acted?.(this.#now, box, duty, { fence, checkedAt });
    };
    this.at(this.#now + landsInMs, write);
  }

  #permitOf({ core }: Box, run: RunId): Pick<Work, 'permit' | 'slot'> {
    const permit = core?.remediation.workflowOf(run)?.permit;
    if (permit === undefined) return { permit: undefined, slot: undefined };
    return {
      permit: `${this.plan.cells[permit.cell]?.id ?? ''}/${permit.name}`,
      slot: core?.exclusive?.permits.leaseOf(run),
    };
  }

  #setRunning(box: Box, duty: number, running: boolean): void {
    if (box.running.has(duty) === running) return;
    if (running) box.running.add(duty);
    else box.running.delete(duty);
    if (box.place === box.index) this.#watch.dutyRunning?.(this.#now, box.index, duty, running);
    else this.#watch.cloneRunning?.(this.#now, box, duty, running);
  }

  #planNumber(plan: SitePlan): number {
    const number = this.#planNumbers.get(plan.hash) ?? this.#planNumbers.size;
    this.#planNumbers.set(plan.hash, number);
    return number;
  }
}

/** The clocks of all places, asked by number. */
interface Clockwork {
  now(place: number): Instant;
  wall(place: number): number;
  uptime(place: number): number;
  arm(place: number, at: Instant): void;
}

/**
 * The clock of one place, its side of the mesh, and the look at what it does: all that an ordinary step needs. One class
 * for three ports, and no closures: with a thousand processes in turn, each object that one touches is a cache miss.
 */
class PlacePorts implements ClockPort, MeshPort, Tap {
  readonly #place: number;
  readonly #clockwork: Clockwork;
  readonly #trace: TraceHash;
  readonly #exchange: Exchange;
  /** Where something is held by leases; without them nobody asks. */
  readonly elapsed?: () => Instant;

  constructor(
    place: number,
    parts: { clockwork: Clockwork; trace: TraceHash; exchange: Exchange },
    holder: ElapsedClock | undefined,
  ) {
    const { clockwork } = parts;
    this.#place = place;
    this.#clockwork = clockwork;
    this.#trace = parts.trace;
    this.#exchange = parts.exchange;
    if (holder) this.elapsed = () => holder.read(clockwork.now(place), clockwork.uptime(place), clockwork.wall(place));
  }

  now(): Instant {
    return this.#clockwork.now(this.#place);
  }

  wall(): WallTime {
    return wallTime(this.#clockwork.wall(this.#place));
  }

  arm(at: Instant): void {
    this.#clockwork.arm(this.#place, at);
  }

  send(to: number, message: DirectMessage): void {
    this.#exchange.send(this.#place, to, message);
  }

  publish(digest: HealthDigest): void {
    this.#exchange.publish(this.#place, digest);
  }

  tellDigests(to: number, digests: readonly HealthDigest[]): void {
    this.#exchange.tell(this.#place, to, digests);
  }

  input(now: Instant, input: Input): void {
    this.#trace.input(this.#place, now, input);
  }

  effect(_now: Instant, effect: Effect): void {
    this.#trace.effect(this.#place, effect);
  }
}

const newBox = (index: number, place: number): Box => ({
  index,
  place,
  up: false,
  pausedUntil: 0,
  disturbedAt: Number.NEGATIVE_INFINITY,
  life: 0,
  startedAt: Number.NEGATIVE_INFINITY,
  bootCounter: 0,
  core: undefined,
  driver: undefined,
  running: new Set<number>(),
  brokenAt: undefined,
  brokenOwnAt: 0,
  supervisor: undefined,
  disk: new SimulatedDisk(),
});

/** Kinds from `channel` on are the channel's own. */
const happening = { act: 0, input: 2, ready: 3, channel: 8 } as const;
/** A restart for a new version takes this long. */
const upgradeMs = 300;
/** Less than the guard of a lease, or an effect could land outside its window. */
export const usualEffectMs = 20;
/** Socket buffers of a frozen process hold this many inputs; the rest is lost. */
const maxBacklog = 10_000;

const readProgress = (data: Uint8Array): number => data[0]! | (data[1]! << 8) | (data[2]! << 16) | (data[3]! << 24);
const writeProgress = (n: number): Uint8Array => Uint8Array.of(n, n >>> 8, n >>> 16, n >>> 24);

const hex128 = (random: Random): string =>
  Array.from({ length: 4 }, () => random.uint32().toString(16).padStart(8, '0')).join('');
