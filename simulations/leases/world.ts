import { Random } from '../../agent/base/random.ts';
import { type Instant, instant } from '../../agent/base/time.ts';
import { bundleHash, type ForcedEpoch, type LeaseMessage } from '../../agent/core/leases/ballot.ts';
import { EffectGate } from '../../agent/core/leases/effect-gate.ts';
import { ElapsedClock, type HolderTime } from '../../agent/core/leases/elapsed-clock.ts';
import { type EpochSpec, Succession, type SuccessionOutput } from '../../agent/core/leases/epoch.ts';
import type { FencingToken } from '../../agent/core/leases/fencing-token.ts';
import type { LeaseSpec } from '../../agent/core/leases/options.ts';
import { Proposer, type ProposerOutput } from '../../agent/core/leases/proposer.ts';
import { type SessionId, sessionId } from '../../agent/core/leases/session.ts';
import { Voter, type VoterOutput } from '../../agent/core/leases/voter.ts';
import { activatedRecord, foundingRecord, type VoterEntry } from '../../agent/core/leases/voter-record.ts';
import { EventHeap } from '../world/event-heap.ts';
import type { CellNode, Child, Effect, LeaseBox, Life } from './box.ts';
import { EffectSide } from './effects.ts';
import { planEpochs } from './epoch-plan.ts';
import { kind } from './events.ts';
import { LeaseFaults } from './faults.ts';
import { Gateways } from './gateways.ts';
import { type Counters, LeaseJudge } from './invariants.ts';
import { type LeaseWorldOptions, renewMs, retryMs, rho } from './options.ts';
import type { Plant } from './plant.ts';
import { readDisk } from './voter-disk.ts';

export interface LeaseViolation {
  readonly invariant: string;
  readonly atMs: number;
  readonly text: string;
}

export interface LeaseRun {
  readonly seed: number;
  readonly options: LeaseWorldOptions;
  readonly violations: readonly LeaseViolation[];
  readonly events: number;
  readonly counters: Counters;
  readonly traceHash: string;
}

/**
 * A site of leases and nothing else: agents with voters and proposers as they ship, on clocks, wires, disks and
 * supervisors that fail. First a phase of faults, in which safety is judged at every event that can break it; then all is
 * healed, and every lease must be held within T + 1 s of a healthy quorum.
 *
 * Time is global and in milliseconds; each box reads it through its own clocks.
 */
export class LeaseWorld {
  readonly onlyHarm: boolean;
  readonly seed: number;
  readonly options: LeaseWorldOptions;
  readonly plant: Plant;
  readonly boxes: LeaseBox[] = [];
  readonly perCell: number;
  readonly specs: readonly LeaseSpec[];
  readonly gates: EffectGate[];
  readonly gateways = new Gateways(this);
  readonly #lost = new Set<number>();
  readonly judge: LeaseJudge;
  readonly faults: LeaseFaults;
  readonly chance: Random;
  readonly net: Random;
  readonly #heap = new EventHeap();
  readonly #blocked: Uint8Array;
  readonly #fakeSecrets = new Map<string, SessionId>();
  readonly chain: EpochSpec[][];
  readonly effects: EffectSide = new EffectSide(this);
  now = 0;
  healedAt = Number.POSITIVE_INFINITY;
  events = 0;
  #hash = 0x811c_9dc5;
  #ended = false;
  /** While a rolled-back store waits to be found out, somebody who remembers stays up and in reach. */
  recallProtectedUntil = 0;
  /** For scripted runs: how long a process lives on after it was told to die. */
  reapedAfterMs: number | undefined;

  /** `onlyHarm`: judged by what hurts, not by the way there. */
  constructor(seed: number, options: LeaseWorldOptions, plant: Plant, onlyHarm = false) {
    this.onlyHarm = onlyHarm;
    this.seed = seed;
    this.options = options;
    this.plant = plant;
    const random = new Random(seed, 'lease-world');
    this.chance = random.fork('world');
    this.net = random.fork('net');
    const { agents, voters } = options;
    this.#blocked = new Uint8Array(agents * agents);
    const perCell = options.duties + options.processes + options.permits;
    this.perCell = perCell;
    const indices = plant.sharesSessions ? perCell * options.cells : perCell;
    this.specs = Array.from({ length: indices }, (_, lease) => ({
      eligible: Uint8Array.from({ length: agents }, (_unused, agent) => (options.witness && agent === 0 ? 0 : 1)),
      lingerMs: this.isPermit(lease) ? options.lingerMs : 0,
    }));
    this.gates = Array.from({ length: options.cells }, () => plant.gate?.(indices) ?? new EffectGate(indices));
    this.judge = new LeaseJudge(this);
    const founding: EpochSpec = {
      epoch: 1,
      hash: bundleHash('founding'),
      parent: bundleHash(''),
      voters: Array.from({ length: voters }, (_, agent) => agent),
      leaseMs: options.leaseMs,
      revoked: [],
    };
    for (let index = 0; index < agents; index++) {
      this.boxes.push({
        index,
        rate: 1 + (options.driftRate[index] ?? 0),
        isUp: true,
        boot: 0,
        life: undefined,
        frozenUntil: 0,
        suspendedUntil: 0,
        suspendedAt: 0,
        resumedAt: Number.NEGATIVE_INFINITY,
        suspendedMs: 0,
        wallOffset: random.between(-1e6, 1e6),
        disks: Array.from({ length: options.cells }, () => ({
          voter: {
            base: foundingRecord({ epoch: 1, voters, leases: indices, leaseMs: options.leaseMs }),
            log: [],
            damage: 'none' as const,
          },
          active: founding,
          accepted: undefined,
          certificates: [],
        })),
        children: [],
        diskBusyUntil: 0,
        diskNextAt: 0,
      });
      this.push(random.between(0, 200), kind.start, index, 0, 0, undefined);
    }
    const { chain, offers } = planEpochs(options, random.fork('epochs'), founding);
    this.chain = chain;
    for (const { at, agent, spec } of offers) this.push(at, kind.bundle, agent, 0, 0, spec);
    this.faults = new LeaseFaults(this, random.fork('faults'));
    this.push(options.faultPhaseMs, kind.heal, 0, 0, 0, undefined);
    if (plant.memberDead) this.push(1000, kind.member, 0, 0, 0, undefined);
  }

  isProcess(lease: number): boolean {
    const { duties, processes } = this.options;
    const at = lease % this.perCell;
    return at >= duties && at < duties + processes;
  }

  isPermit(lease: number): boolean {
    return lease % this.perCell >= this.options.duties + this.options.processes;
  }

  /** Runs to the end and says what was found; stops at the first violation. */
  run(): LeaseRun {
    while (!this.#ended && this.judge.violations.length === 0 && this.#heap.pop()) {
      this.now = this.#heap.time;
      this.events++;
      this.#mix(this.#heap.kind * 64 + this.#heap.a);
      this.#mix(this.now * 1000);
      this.#step();
    }
    return {
      seed: this.seed,
      options: this.options,
      violations: this.judge.violations,
      events: this.events,
      counters: this.judge.counters,
      traceHash: (this.#hash >>> 0).toString(16).padStart(8, '0'),
    };
  }

  #mix(n: number): void {
    const h = Math.imul(this.#hash ^ (n | 0), 0x85eb_ca6b | 0);
    this.#hash = (h << 13) | (h >>> 19);
  }

  #step(): void {
    const { kind: what, a, b, c, payload } = this.#heap;
    switch (what) {
      case kind.message:
        return this.#deliver(this.boxes[a]!, b, c, payload as LeaseMessage);
      case kind.tick:
        return this.#tick(payload as CellNode, b);
      case kind.persisted:
        return this.#persisted(payload as Write);
      case kind.effectLoop:
        return this.effects.effectLoop(payload as CellNode, b);
      case kind.effectLands:
        return this.effects.land(payload as Effect);
      case kind.effectDone:
        return this.effects.effectDone(payload as Effect);
      case kind.childLoop:
        return this.effects.childLoop(payload as Child);
      case kind.childDeadline:
        return this.effects.childDeadline(payload as Child);
      case kind.childReaped:
        return this.effects.childReaped(payload as Child);
      case kind.certificate:
        return this.effects.certificate(this.boxes[a]!, payload as string);
      case kind.start:
        return this.startAgent(this.boxes[a]!);
      case kind.fault:
        return (payload as () => void)();
      case kind.heal:
        return this.#heal();
      case kind.poll:
        return this.#poll();
      case kind.bundle:
        return this.#bundle(this.boxes[a]!, b, payload as EpochSpec);
      case kind.member:
        return this.#members();
      case kind.gossip:
        return this.#gossip(payload as CellNode);
      case kind.stepDone:
        return this.effects.stepDone(payload as { life: Life; cell: number; lease: number; token: FencingToken });
    }
  }

  push(at: number, what: number, a: number, b: number, c: number, payload: unknown): void {
    this.#heap.push(at, what, a, b, c, payload);
  }

  at(time: number, action: () => void): void {
    this.push(Math.max(time, this.now), kind.fault, 0, 0, 0, action);
  }

  // Clocks.

  uptime(box: LeaseBox): number {
    return this.now * box.rate;
  }

  monotonic(box: LeaseBox): number {
    const asleep = box.suspendedUntil === 0 ? 0 : Math.min(this.now, box.suspendedUntil) - box.suspendedAt;
    return (this.now - asleep - box.suspendedMs) * box.rate;
  }

  wall(box: LeaseBox): number {
    return this.now * box.rate + box.wallOffset;
  }

  elapsed(life: Life): Instant {
    const { box } = life;
    const mono = this.monotonic(box);
    if (this.plant.holderClock) return instant(this.plant.holderClock(mono, this.uptime(box), this.wall(box)));
    return life.clock.read(mono, this.uptime(box), this.wall(box));
  }

  holderTime(life: Life): HolderTime {
    return { elapsed: this.elapsed(life), monotonic: instant(this.monotonic(life.box)) };
  }

  /** The same for those who only look. */
  elapsedSeen(life: Life): number {
    const { box } = life;
    const mono = this.monotonic(box);
    if (this.plant.holderClock) return this.plant.holderClock(mono, this.uptime(box), this.wall(box));
    return life.clock.peek(mono, this.uptime(box), this.wall(box));
  }

  voterNow(box: LeaseBox): Instant {
    const mono = this.monotonic(box);
    return instant(this.plant.voterClock ? this.plant.voterClock(mono, this.wall(box)) : mono);
  }

  isAsleep(box: LeaseBox): boolean {
    return box.suspendedUntil !== 0;
  }

  /** When a process on this box runs next: now, or at the end of its standstill. */
  runsAt(box: LeaseBox, isAgent: boolean): number {
    return Math.max(this.now, box.suspendedUntil, isAgent ? box.frozenUntil : 0);
  }

  // Life and death of agents.

  startAgent(box: LeaseBox): void {
    if (!box.isUp || box.life) return;
    const awake = this.runsAt(box, false);
    if (awake > this.now) {
      this.push(awake, kind.start, box.index, 0, 0, undefined);
      return;
    }
    box.boot++;
    const secret = `${box.index}.${box.boot}.${this.chance.uint32()}`;
    const id = sessionId(`sha:${secret}`);
    this.#fakeSecrets.set(secret, id);
    const life: Life = {
      box,
      session: { agent: box.index, boot: box.boot, id },
      secret,
      clock: new ElapsedClock(),
      nodes: [],
      isAlive: true,
    };
    box.life = life;
    for (let cell = 0; cell < this.options.cells; cell++) life.nodes.push(this.#startNode(life, cell));
  }

  leaseMsNow(spec: EpochSpec, box: LeaseBox): number {
    const { lowersLeaseAtMs } = this.options;
    // Boxes learn of the careless edit one after another.
    return this.now > lowersLeaseAtMs + box.index * 700 ? spec.leaseMs / 2 : spec.leaseMs;
  }

  #startNode(life: Life, cell: number): CellNode {
    const { box } = life;
    const disk = box.disks[cell]!;
    const parts = {
      cell,
      retryMs,
      active: disk.active,
      accepted: disk.accepted,
      certificates: disk.certificates,
    };
    const succession = this.plant.succession?.(parts) ?? new Succession(parts);
    const node: CellNode = {
      cell,
      life,
      options: {
        leaseMs: this.leaseMsNow(disk.active, box),
        drift: rho,
        renewMs,
        retryMs,
        guardMs: this.options.guardMs,
      },
      succession,
      proposer: undefined as never,
      voter: undefined,
      voterSince: this.now,
      armed: [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY],
      failsNextWrite: false,
    };
    this.#startEpoch(node, disk.active);
    const out: SuccessionOutput[] = [];
    succession.start(this.elapsed(life), out);
    this.#onSuccession(node, out);
    if (this.now >= this.healedAt) this.#offerNext(node);
    this.push(this.now + this.chance.between(0, 1000), kind.gossip, box.index, 0, 0, node);
    return node;
  }

  /** Digests name the epoch, so whoever was away hears of it from anybody, not only from voters. */
  #gossip(node: CellNode): void {
    const { life, cell } = node;
    if (!life.isAlive || this.chain.length < 2) return;
    this.push(this.runsAt(life.box, true) + 1000, kind.gossip, life.box.index, 0, 0, node);
    if (this.runsAt(life.box, true) > this.now) return;
    const to = this.net.below(this.options.agents);
    if (to === life.box.index) return;
    this.send(life.box, to, cell, { kind: 'lease-epoch-wanted', cell, epoch: node.succession.active.epoch });
  }

  /** Announcements of bundles reach whoever can be reached, again and again. */
  #offerNext(node: CellNode): void {
    if (node.cell > 0) return;
    for (const next of this.chain[node.succession.active.epoch] ?? []) {
      this.push(this.now + this.chance.between(50, 3000), kind.bundle, node.life.box.index, node.cell, 0, next);
    }
  }

  #startEpoch(node: CellNode, spec: EpochSpec): void {
    const { life, cell } = node;
    const { box } = life;
    node.options.leaseMs = this.leaseMsNow(spec, box);
    const parts = {
      options: node.options,
      cell: this.plant.sharesSessions ? 0 : cell,
      epoch: spec.epoch,
      session: life.session,
      voters: spec.voters,
      leases: this.specs,
      random: this.chance.fork(`proposer ${box.index}.${box.boot}.${cell}.${spec.epoch}`),
    };
    node.proposer = this.plant.proposer?.(parts) ?? new Proposer(parts);
    this.#startVoter(node, spec);
    const out: ProposerOutput[] = [];
    const now = this.holderTime(life);
    for (const lease of this.leasesOf(cell)) {
      node.proposer.want(now, lease, this.rank(box.index, cell, lease) * 40, out);
    }
    this.onProposer(node, out);
  }

  /** The indices that belong to a cell; all, unless a planted mistake throws the cells together. */
  leasesOf(cell: number): number[] {
    const first = this.plant.sharesSessions ? cell * this.perCell : 0;
    return Array.from({ length: this.perCell }, (_, at) => first + at);
  }

  rank(agent: number, cell: number, lease: number): number {
    return (agent * 7 + cell * 3 + lease * 5 + this.seed) % this.options.agents;
  }

  #startVoter(node: CellNode, spec: EpochSpec): void {
    node.voter = undefined;
    const { life, cell } = node;
    const { box } = life;
    if (this.plant.sharesSessions && cell > 0) return;
    if (!spec.voters.includes(box.index)) return;
    const record = readDisk(this, node, box.disks[cell]!.voter);
    const parts = {
      cell,
      self: box.index,
      voters: spec.voters,
      epoch: spec.epoch,
      options: node.options,
      leases: this.specs,
      record,
      nonce: this.chance.uint32(),
      digest: (secret: string) => this.#fakeSecrets.get(secret) ?? sessionId(''),
    };
    node.voter = this.plant.voter?.(parts) ?? new Voter(parts);
    node.voterSince = this.now;
    this.judge.voterStarted(node);
    const out: VoterOutput[] = [];
    node.voter.start(this.voterNow(box), out);
    this.onVoter(node, out);
  }

  /** SIGKILL, or a crash. The supervisor notices, unless the whole box goes. */
  killAgent(box: LeaseBox, restartAfterMs: number): void {
    const { life } = box;
    if (!life || this.isAsleep(box)) return;
    life.isAlive = false;
    box.life = undefined;
    box.frozenUntil = 0;
    for (const child of box.children) {
      if (this.plant.unsupervised) continue;
      this.effects.order(child);
    }
    this.judge.count('agent killed');
    if (this.plant.certificateEarly) this.effects.certify(life, this.now);
    else this.effects.certifyWhenReaped(life, undefined);
    if (Number.isFinite(restartAfterMs)) this.push(this.now + restartAfterMs, kind.start, box.index, 0, 0, undefined);
  }

  powerOff(box: LeaseBox, forMs: number): void {
    if (!box.isUp) return;
    box.isUp = false;
    if (box.life) box.life.isAlive = false;
    box.life = undefined;
    for (const child of box.children) child.isAlive = false;
    box.children = [];
    box.frozenUntil = 0;
    this.#wake(box);
    this.judge.count('power lost');
    if (Number.isFinite(forMs)) this.at(this.now + forMs, () => this.powerOn(box));
  }

  /** The box is off until the healing, whatever else happens to it. */
  loseForGood(box: LeaseBox): void {
    this.#lost.add(box.index);
    this.powerOff(box, Number.POSITIVE_INFINITY);
  }

  powerOn(box: LeaseBox): void {
    if (box.isUp || (this.#lost.has(box.index) && this.now < this.healedAt)) return;
    box.isUp = true;
    this.push(this.now + this.chance.between(5, 100), kind.start, box.index, 0, 0, undefined);
  }

  freeze(box: LeaseBox, forMs: number): void {
    if (!box.life) return;
    box.frozenUntil = Math.max(box.frozenUntil, this.#within(this.now + forMs));
    this.judge.count('agent frozen');
  }

  suspend(box: LeaseBox, forMs: number): void {
    if (!box.isUp || this.isAsleep(box)) return;
    box.suspendedAt = this.now;
    box.suspendedUntil = this.#within(this.now + forMs);
    this.judge.count('box suspended');
    const until = box.suspendedUntil;
    this.at(until, () => {
      if (box.suspendedUntil === until) this.#wake(box);
    });
  }

  /** What stands still does so until the healing at most. */
  #within(time: number): number {
    return Math.max(this.now, Math.min(time, this.options.faultPhaseMs));
  }

  #wake(box: LeaseBox): void {
    if (box.suspendedUntil === 0) return;
    box.suspendedMs += Math.min(this.now, box.suspendedUntil) - box.suspendedAt;
    box.suspendedUntil = 0;
    box.resumedAt = this.now;
    this.judge.exclusionEverywhere();
  }

  jumpWall(box: LeaseBox, byMs: number): void {
    box.wallOffset += byMs;
    this.judge.count('wall clock jumped');
    this.judge.exclusionEverywhere();
  }

  // The wires.

  block(from: number, to: number): void {
    this.#blocked[from * this.options.agents + to]!++;
  }

  unblock(from: number, to: number): void {
    const at = from * this.options.agents + to;
    if (this.#blocked[at]! > 0) this.#blocked[at]!--;
  }

  isBlocked(from: number, to: number): boolean {
    return this.#blocked[from * this.options.agents + to]! > 0;
  }

  send(from: LeaseBox, to: number, cell: number, message: LeaseMessage): void {
    const { latencyMs, jitterMs, loss, duplication, delays, delayMs } = this.options;
    if (to === from.index && !this.plant.wire) {
      this.push(this.now + 0.01, kind.message, to, from.index, cell, message);
      return;
    }
    const scripted = this.plant.wire?.(from.index, to, message, this.now);
    if (scripted !== undefined) {
      for (const delayMs of scripted) this.push(this.now + delayMs, kind.message, to, from.index, cell, message);
      return;
    }
    const isHealed = this.now >= this.healedAt;
    const isRecall = message.kind === 'voter-recall' || message.kind === 'voter-recalled';
    const isSure = isHealed || (isRecall && this.now < this.recallProtectedUntil);
    if (!isSure && (this.isBlocked(from.index, to) || (loss > 0 && this.net.float() < loss))) return;
    const copies = !isSure && duplication > 0 && this.net.float() < duplication ? 2 : 1;
    for (let copy = 0; copy < copies; copy++) {
      let at = this.now + latencyMs + this.net.exponential(jitterMs);
      if (!isSure && delays > 0 && this.net.float() < delays) at += this.net.float() * delayMs;
      if (copy > 0 && this.net.chance(0.5)) at += this.net.float() * 3000;
      this.push(at, kind.message, to, from.index, cell, message);
    }
  }

  #deliver(box: LeaseBox, from: number, cell: number, message: LeaseMessage): void {
    const { life } = box;
    if (!life) return;
    const at = this.runsAt(box, true);
    if (at > this.now) {
      // Timers first, then what the sockets have queued.
      this.push(at + 0.02, kind.message, box.index, from, cell, message);
      return;
    }
    const node = life.nodes[cell]!;
    const { epoch } = node.succession.active;
    const now = this.elapsed(life);
    if (message.epoch < epoch && message.kind !== 'lease-epoch' && message.kind !== 'lease-forced') {
      const out: SuccessionOutput[] = [];
      node.succession.behind(now, from, message.epoch, out);
      this.#onSuccession(node, out);
      return;
    }
    if (message.epoch > epoch) {
      const out: SuccessionOutput[] = [];
      node.succession.ahead(now, from, message.epoch, out);
      this.#onSuccession(node, out);
      return;
    }
    switch (message.kind) {
      case 'lease-epoch-wanted':
        return;
      case 'lease-floors':
        return this.gateways.told(cell, from, message);
      case 'lease-answer':
      case 'lease-need-full':
      case 'lease-freed': {
        const out: ProposerOutput[] = [];
        const time = this.holderTime(life);
        if (message.kind === 'lease-answer') node.proposer.answer(time, from, message, out);
        else if (message.kind === 'lease-need-full') node.proposer.needFull(time, from, message, out);
        else node.proposer.freed(time, from, message, out);
        return this.onProposer(node, out);
      }
      case 'lease-sealed':
      case 'lease-forced':
      case 'lease-epoch': {
        const out: SuccessionOutput[] = [];
        if (message.kind === 'lease-sealed') node.succession.sealed(now, from, message, out);
        else node.succession.certificate(now, message, out);
        return this.#onSuccession(node, out);
      }
      default: {
        const voter = this.plant.sharesSessions ? life.nodes[0]!.voter : node.voter;
        if (!voter) return;
        const out: VoterOutput[] = [];
        const voterNow = this.voterNow(box);
        if (message.kind === 'lease-request') voter.request(voterNow, from, 1, message, out);
        else if (message.kind === 'voter-recall') voter.recall(voterNow, from, message, out);
        else if (message.kind === 'voter-recalled') voter.recalled(voterNow, from, message, out);
        else if (message.kind === 'lease-floors-wanted') voter.floors(from, message, out);
        else voter.seal(voterNow, from, message, out);
        return this.onVoter(this.plant.sharesSessions ? life.nodes[0]! : node, out, node.cell);
      }
    }
  }

  // Ticks: part 0 is the proposer, 1 the voter, 2 the succession.

  #arm(node: CellNode, part: number, deadline: number, localNow: number): void {
    if (deadline === Number.POSITIVE_INFINITY) return;
    const { box } = node.life;
    const at = this.now + Math.max(0.01, deadline - localNow) / box.rate + this.chance.float() * 0.5;
    if (at >= node.armed[part]!) return;
    node.armed[part] = at;
    this.push(at, kind.tick, box.index, part, 0, node);
  }

  #tick(node: CellNode, part: number): void {
    const { life } = node;
    if (!life.isAlive || node.armed[part] !== this.now) return;
    const at = this.runsAt(life.box, true);
    if (at > this.now) {
      node.armed[part] = at;
      this.push(at, kind.tick, life.box.index, part, 0, node);
      return;
    }
    node.armed[part] = Number.POSITIVE_INFINITY;
    if (part === 0) {
      const out: ProposerOutput[] = [];
      node.proposer.tick(this.holderTime(life), out);
      this.onProposer(node, out);
    } else if (part === 1) {
      const out: VoterOutput[] = [];
      node.voter?.tick(this.voterNow(life.box), out);
      this.onVoter(node, out);
    } else {
      const out: SuccessionOutput[] = [];
      node.succession.tick(this.elapsed(life), out);
      this.#onSuccession(node, out);
    }
  }

  // What the parts want done.

  onVoter(node: CellNode, out: VoterOutput[], cell = node.cell): void {
    const { life, voter } = node;
    for (const output of out) {
      if (output.kind === 'send') {
        this.judge.voterSays(node, output.message);
        this.send(life.box, output.to, cell, output.message);
      } else if (output.kind === 'persist') {
        const { epoch } = node.succession.active;
        const write: Write = { node, part: 'voter', voter, epoch, token: output.token, entries: output.entries };
        this.push(this.#diskTime(life.box), kind.persisted, life.box.index, 0, 0, write);
      } else if (output.kind === 'observe') this.judge.observed(output.what);
    }
    if (voter) this.#arm(node, 1, voter.deadline(), this.voterNow(life.box));
  }

  /** When a write of now is on disk: in order, and those that wait for one commit share the next. */
  #diskTime(box: LeaseBox): number {
    const takes = this.options.diskMs * (0.3 + this.net.float());
    if (this.now >= box.diskBusyUntil && this.now >= box.diskNextAt) {
      box.diskBusyUntil = this.now + takes;
      return box.diskBusyUntil;
    }
    if (this.now >= box.diskBusyUntil) box.diskBusyUntil = box.diskNextAt;
    if (box.diskNextAt <= box.diskBusyUntil) box.diskNextAt = box.diskBusyUntil + takes;
    return box.diskNextAt;
  }

  #persisted(write: Write): void {
    const { node } = write;
    const { life } = node;
    const { box } = life;
    const disk = box.disks[node.cell]!;
    if (write.part === 'voter') {
      // A write that was under way when the process died may have reached the disk or not.
      const isCurrent = life.isAlive && node.voter === write.voter;
      if (!isCurrent && (disk.active.epoch !== write.epoch || this.chance.chance(0.5))) return;
      if (!life.isAlive && box.life) return;
      const out: VoterOutput[] = [];
      if (isCurrent && node.failsNextWrite) {
        node.failsNextWrite = false;
        write.voter!.persistFailed(this.voterNow(box), write.token, out);
        return this.onVoter(node, out);
      }
      // Writes are in order: a later one does not overtake.
      for (const entry of write.entries) disk.voter.log.push(entry);
      this.judge.written(node, write.entries);
      if (!isCurrent) return;
      write.voter!.persisted(this.voterNow(box), write.token, out);
      return this.onVoter(node, out);
    }
    if (!life.isAlive) return;
    const { entry } = write;
    if (entry.kind === 'accepted') disk.accepted = entry.spec;
    else {
      const formerBoot = Math.max(
        disk.voter.base?.boot ?? 0,
        ...disk.voter.log.map((line) => ('boot' in line ? line.boot : 0)),
      );
      disk.voter = {
        base: activatedRecord(
          {
            epoch: entry.spec.epoch,
            voters: entry.spec.voters.length,
            leases: this.specs.length,
            leaseMs: entry.spec.leaseMs,
            formerLeaseMs: disk.active.leaseMs,
            boot: formerBoot,
            drift: rho,
            formerLingerMs: this.plant.forgetsPermits ? [] : this.specs.map(({ lingerMs }) => lingerMs),
          },
          entry.certificate,
        ),
        log: [],
        damage: 'none',
      };
      disk.active = entry.spec;
      disk.accepted = undefined;
      disk.certificates.push(entry.certificate);
    }
    const out: SuccessionOutput[] = [];
    node.succession.persisted(this.elapsed(life), write.token, out);
    this.#onSuccession(node, out);
  }

  #onSuccession(node: CellNode, out: SuccessionOutput[]): void {
    const { life, cell } = node;
    for (const output of out) {
      switch (output.kind) {
        case 'send':
          this.send(life.box, output.to, cell, output.message);
          break;
        case 'persist': {
          const write: Write = { node, part: 'succession', token: output.token, entry: output.entry };
          this.push(this.#diskTime(life.box), kind.persisted, life.box.index, 0, 0, write);
          break;
        }
        case 'bundle-wanted': {
          const spec = this.chain.flat().find(({ hash }) => hash === output.hash);
          if (spec) this.push(this.now + 50, kind.bundle, life.box.index, cell, 0, spec);
          break;
        }
        case 'activated': {
          this.judge.epochActivated(node, output.spec, output.former);
          const proposed: ProposerOutput[] = [];
          node.proposer.retire(this.holderTime(life), proposed);
          this.onProposer(node, proposed);
          this.judge.count('epoch changed');
          if (output.certificate.kind === 'lease-forced') {
            this.judge.count('epoch forced');
            this.gateways.forced(life.box, cell, output.spec.epoch);
          }
          this.#startEpoch(node, output.spec);
          this.#offerNext(node);
          break;
        }
      }
    }
    this.#arm(node, 2, node.succession.deadline(), this.elapsed(life));
  }

  onProposer(node: CellNode, out: ProposerOutput[]): void {
    const { life, cell } = node;
    for (const output of out) {
      switch (output.kind) {
        case 'send':
          this.send(life.box, output.to, cell, output.message);
          break;
        case 'acquired':
          this.judge.holds(node, output.lease, output.token);
          this.judge.count('acquired');
          this.effects.begin(node, output.lease, output.token, output.until);
          this.faults.acquired(node, output.lease);
          break;
        case 'extended':
        case 'renumbered':
          this.judge.holds(node, output.lease, output.token);
          if (output.kind === 'renumbered') this.judge.count('renumbered while valid');
          this.effects.extendChild(node, output.lease, output.token, output.until);
          break;
        case 'lost':
          this.judge.count('lost');
          this.effects.orderOf(node, output.lease);
          break;
        case 'released':
          this.judge.count('released');
          break;
      }
    }
    this.#arm(node, 0, node.proposer.deadline(), this.elapsed(life));
  }

  /** For the planted mistake that takes a membership view for a fact. */
  #members(): void {
    if (this.now < this.healedAt) this.push(this.now + 250, kind.member, 0, 0, 0, undefined);
    for (const box of this.boxes) {
      for (const node of box.life?.nodes ?? []) {
        if (!node.voter) continue;
        for (const other of this.boxes) {
          if (other === box || (other.life && !this.isBlocked(other.index, box.index) && other.frozenUntil < this.now))
            continue;
          const out: VoterOutput[] = [];
          this.plant.memberDead?.(node.voter, other.index, this.voterNow(box), out);
          this.onVoter(node, out);
        }
      }
    }
  }

  // Epochs.

  /** A person brings the statement that these voters are off for good to this box, which has the bundle. */
  force(box: LeaseBox, spec: EpochSpec, poweredOff: readonly number[]): void {
    const node = box.life?.nodes[0];
    if (node === undefined) return;
    const { voters, epoch } = node.succession.active;
    const out: SuccessionOutput[] = [];
    const message: ForcedEpoch = {
      kind: 'lease-forced',
      cell: 0,
      epoch: spec.epoch - 1,
      successor: spec.hash,
      poweredOff: poweredOff.map((agent) => voters.indexOf(agent)),
      document: '',
    };
    if (spec.epoch === epoch + 1) node.succession.certificate(this.elapsed(box.life!), message, out);
    if (out.length === 0) this.judge.count('forced epoch refused');
    this.#onSuccession(node, out);
  }

  /** The bundle reaches this box now. */
  offer(box: LeaseBox, spec: EpochSpec): void {
    this.#bundle(box, 0, spec);
  }

  #bundle(box: LeaseBox, cell: number, spec: EpochSpec): void {
    const again = () => this.push(this.now + 500, kind.bundle, box.index, cell, 0, spec);
    const { life } = box;
    if (!life || this.runsAt(box, true) > this.now) return again();
    const node = life.nodes[cell]!;
    const out: SuccessionOutput[] = [];
    const answer = node.succession.accept(this.elapsed(life), spec, out);
    if (answer === 'rival') this.judge.count('rival bundle refused');
    this.#onSuccession(node, out);
  }

  // Healing, and what must follow.

  #heal(): void {
    this.healedAt = this.now;
    this.#blocked.fill(0);
    for (const box of this.boxes) {
      box.frozenUntil = 0;
      this.#wake(box);
      this.powerOn(box);
      if (!box.life) this.push(this.now + this.chance.between(5, 100), kind.start, box.index, 0, 0, undefined);
      for (const node of box.life?.nodes ?? []) {
        node.failsNextWrite = false;
        this.#offerNext(node);
        // A failed store was repaired, and the agent restarted.
        if (node.voter?.state === 'failed') this.at(this.now + 10, () => this.killAgent(box, 50));
      }
    }
    this.push(this.now + 100, kind.poll, 0, 0, 0, undefined);
  }

  #poll(): void {
    if (this.judge.isSettled()) {
      this.#ended = true;
      return;
    }
    this.push(this.now + 20, kind.poll, 0, 0, 0, undefined);
  }
}

type Write =
  | {
      readonly node: CellNode;
      readonly part: 'voter';
      readonly voter: Voter | undefined;
      readonly epoch: number;
      readonly token: number;
      readonly entries: readonly VoterEntry[];
    }
  | {
      readonly node: CellNode;
      readonly part: 'succession';
      readonly token: number;
      readonly entry: Extract<SuccessionOutput, { kind: 'persist' }>['entry'];
    };
