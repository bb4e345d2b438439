import { type AgentIndex, agentId, entryId } from '../../agent/base/ids.ts';
import { Random } from '../../agent/base/random.ts';
import { after, type Instant, instant } from '../../agent/base/time.ts';
import { AvailableDuties } from '../../agent/core/duties/available-duties.ts';
import type { DutyMessage } from '../../agent/core/duties/claim.ts';
import type { AgentPlace, Checkpoint, DutySpec } from '../../agent/core/duties/duty.ts';
import type { DutyOutput } from '../../agent/core/duties/duty-output.ts';
import { type DutyOptions, dutyDefaults } from '../../agent/core/duties/options.ts';
import type { MemberStateWord } from '../../agent/core/duties/presence.ts';

/**
 * Available duties alone, against a modelled membership and a wire that loses, delays and parts: small enough for
 * thousands of seeds, and the place where the naive rules are planted. First faults, then all is healed and one runner
 * each is demanded.
 *
 * Reach is what the wire delivers; membership is told of it late, each observer at its own time, and by way of others:
 * who can be reached through somebody counts as alive, though its claims are not heard.
 */
export interface ClaimsOptions {
  readonly agents: number;
  readonly duties: number;
  readonly eligible: readonly (readonly AgentIndex[])[];
  /** Pairs of agent and duty that fail on every try. */
  readonly unable: ReadonlySet<string>;
  readonly loss: number;
  readonly delayMs: number;
  readonly faultsMs: number;
  readonly faultEveryMs: number;
  readonly kinds: readonly FaultKind[];
}

export type FaultKind = 'crash' | 'part' | 'one-way' | 'drain';

export interface ClaimsViolation {
  readonly invariant: 'an available duty has a runner in every component' | 'one runner after healing';
  readonly atMs: number;
  readonly text: string;
}

export interface ClaimsRun {
  readonly options: ClaimsOptions;
  readonly violations: readonly ClaimsViolation[];
  /** Starts of any duty, and what the faults were: that rare states were reached. */
  readonly starts: number;
  readonly faults: Readonly<Record<FaultKind, number>>;
  /** Longest time that a component with an able agent had no runner. */
  readonly longestGapMs: number;
}

const stepMs = 5;
/** A fresh box listens for ten seconds at most, ranks are waited for, a start takes its time. */
const gapBoundMs = 13_000;
const healMs = 45_000;
const watchMs = 10_000;

/** A storm's brake is a wait by intent; here it would only hide what the rules of the claims do. */
const timing: DutyOptions = { ...dutyDefaults, stormShare: 2 };

export function drawClaims(seed: number): ClaimsOptions {
  const random = new Random(seed, 'claims options');
  const agents = 2 + random.below(5);
  const duties = 1 + random.below(5);
  const all = Array.from({ length: agents }, (_, agent) => agent);
  const eligible = Array.from({ length: duties }, () => {
    const some = all.filter(() => random.chance(0.8));
    return some.length > 0 ? some : all;
  });
  const unable = new Set<string>();
  const share = random.chance(0.5) ? 0 : random.between(0, 0.4);
  for (const [duty, list] of eligible.entries()) {
    for (const agent of list) if (random.chance(share)) unable.add(`${agent}/${duty}`);
  }
  const kinds = (['crash', 'part', 'one-way', 'drain'] as const).filter(() => random.chance(0.6));
  return {
    agents,
    duties,
    eligible,
    unable,
    loss: random.chance(0.5) ? 0 : random.between(0, 0.15),
    delayMs: random.between(1, 80),
    faultsMs: 90_000,
    faultEveryMs: random.between(4_000, 20_000),
    kinds: kinds.length > 0 ? kinds : ['part'],
  };
}

export function runClaims(seed: number, Kind: typeof AvailableDuties = AvailableDuties): ClaimsRun {
  return new ClaimsWorld(seed, drawClaims(seed), Kind).run();
}

interface Box {
  core: AvailableDuties | undefined;
  lives: number;
  /** Membership as this box is told it, and what it will be told when. */
  readonly view: MemberStateWord[];
  readonly told: ({ readonly at: Instant; readonly state: MemberStateWord } | undefined)[];
  checkpoints: Map<number, Checkpoint>;
  /** Programs that were started, by the number of the start, and those of them that have come up. */
  readonly programs: Map<number, number>;
  readonly up: Set<number>;
}

class ClaimsWorld {
  readonly #options: ClaimsOptions;
  readonly #random: Random;
  readonly #wire: Random;
  readonly #specs: readonly DutySpec[];
  readonly #places: readonly AgentPlace[];
  readonly #boxes: Box[];
  readonly #begin: (self: AgentIndex, life: number, box: Box) => AvailableDuties;
  /** Group of each agent; a message passes within one group only. */
  #group: number[];
  readonly #deaf = new Set<number>();
  readonly #due = new Map<
    number,
    { to: AgentIndex; act: (core: AvailableDuties, out: DutyOutput[]) => void; life: number }[]
  >();
  readonly #missingSince: Float64Array;
  readonly #violations: ClaimsViolation[] = [];
  readonly #faults: Record<FaultKind, number> = { crash: 0, part: 0, 'one-way': 0, drain: 0 };
  #now: Instant = instant(0);
  #starts = 0;
  #longestGapMs = 0;

  constructor(seed: number, options: ClaimsOptions, Kind: typeof AvailableDuties) {
    this.#options = options;
    this.#random = new Random(seed, 'claims faults');
    this.#wire = new Random(seed, 'claims wire');
    const { agents } = options;
    this.#places = Array.from({ length: agents }, (_, agent) => ({
      id: agentId(`box-${agent}`),
      cell: 'hall',
      role: 'agent' as const,
      capacity: undefined,
    }));
    this.#specs = options.eligible.map((eligible, index) => ({
      index,
      id: entryId(`asset-${seed}-${index}/watch`),
      thing: undefined,
      work: { kind: 'watch', thing: 0 },
      exclusive: false,
      critical: false,
      eligible,
      refusedBecause: new Map(),
      weight: new Map(),
    }));
    this.#begin = (self, life, box) =>
      new Kind({
        duties: this.#specs,
        options: timing,
        self,
        bootCounter: () => life,
        agents: this.#places,
        random: new Random(seed, `claims ${self} ${life}`),
        memberState: (member) => box.view[member] ?? 'unknown',
        checkpoints: [...box.checkpoints.values()],
        returns: life === 1 ? undefined : Math.max(0, life - 2),
      });
    this.#group = this.#places.map(() => 0);
    this.#missingSince = new Float64Array(agents * options.duties).fill(Number.NaN);
    this.#boxes = this.#places.map(() => ({
      core: undefined,
      lives: 0,
      view: this.#places.map(() => 'unknown' as const),
      told: this.#places.map(() => undefined),
      checkpoints: new Map(),
      programs: new Map(),
      up: new Set(),
    }));
  }

  run(): ClaimsRun {
    const { faultsMs, faultEveryMs } = this.#options;
    for (let agent = 0; agent < this.#boxes.length; agent++) this.#boot(agent);
    let nextFault = instant(8_000);
    while (this.#now < faultsMs) {
      if (this.#now >= nextFault) {
        this.#fault();
        nextFault = after(this.#now, this.#random.between(0.3, 1.7) * faultEveryMs);
      }
      this.#step();
    }
    this.#heal();
    const healed = after(this.#now, healMs);
    while (this.#now < healed) this.#step();
    const watched = after(this.#now, watchMs);
    while (this.#now < watched && this.#violations.length === 0) {
      this.#oneRunnerEach();
      this.#step();
    }
    return {
      options: this.#options,
      violations: this.#violations,
      starts: this.#starts,
      faults: this.#faults,
      longestGapMs: this.#longestGapMs,
    };
  }

  #step(): void {
    this.#now = after(this.#now, stepMs);
    const due = this.#due.get(this.#now);
    this.#due.delete(this.#now);
    for (const { to, act, life } of due ?? []) if (this.#boxes[to]?.lives === life) this.#do(to, act);
    this.#membership();
    for (const [agent, { core }] of this.#boxes.entries()) {
      if (core !== undefined && core.deadline() <= this.#now) this.#do(agent, (c, out) => c.tick(this.#now, out));
    }
    if (this.#now % 100 === 0) this.#coverage();
  }

  #at(ms: number, to: AgentIndex, act: (core: AvailableDuties, out: DutyOutput[]) => void): void {
    const at = this.#now + Math.max(1, Math.round(ms / stepMs)) * stepMs;
    const list = this.#due.get(at) ?? [];
    list.push({ to, act, life: this.#boxes[to]?.lives ?? 0 });
    this.#due.set(at, list);
  }

  #do(self: AgentIndex, act: (core: AvailableDuties, out: DutyOutput[]) => void): void {
    const box = this.#boxes[self];
    if (box?.core === undefined) return;
    const out: DutyOutput[] = [];
    act(box.core, out);
    for (const output of out) {
      switch (output.kind) {
        case 'send':
          this.#send(self, output.to, output.message);
          break;
        case 'start-duty': {
          const { duty } = output;
          this.#starts++;
          const unable = this.#options.unable.has(`${self}/${duty}`);
          const number = this.#starts;
          box.programs.set(duty, number);
          this.#at(this.#wire.between(20, 1_500), self, (core, o) => {
            if (box.programs.get(duty) !== number) return;
            if (unable) core.failed(this.#now, duty, 'unable', o);
            else core.started(this.#now, duty, o);
            if (unable) box.programs.delete(duty);
            else box.up.add(duty);
          });
          break;
        }
        case 'stop-duty': {
          const { duty } = output;
          box.programs.delete(duty);
          box.up.delete(duty);
          this.#at(this.#wire.between(10, 100), self, (core, o) => core.stopped(this.#now, duty, o));
          break;
        }
        case 'save-checkpoint':
          box.checkpoints.set(output.checkpoint.duty, output.checkpoint);
          break;
        default:
          break;
      }
    }
  }

  #send(from: AgentIndex, to: AgentIndex, message: DutyMessage): void {
    const { loss, delayMs } = this.#options;
    const isLost = this.#wire.chance(loss);
    const ms = this.#wire.between(1, delayMs);
    if (isLost || !this.#passes(from, to)) return;
    // A stream begins with a handshake: who has not greeted us yet is heard only where both ways are open.
    if (this.#boxes[to]?.view[from] === 'unknown' && !this.#passes(to, from)) return;
    this.#at(ms, to, (core, out) => core.message(this.#now, from, message, out));
  }

  #passes(from: AgentIndex, to: AgentIndex): boolean {
    return this.#group[from] === this.#group[to] && !this.#deaf.has(from * this.#boxes.length + to);
  }

  // Faults

  #fault(): void {
    const { kinds } = this.#options;
    const kind = kinds[this.#random.below(kinds.length)];
    const agents = this.#boxes.length;
    const agent = this.#random.below(agents);
    const box = this.#boxes[agent];
    if (kind === undefined || box === undefined) return;
    this.#faults[kind]++;
    switch (kind) {
      case 'crash':
        if (box.core === undefined) this.#boot(agent);
        else box.core = undefined;
        return;
      case 'part':
        this.#group = this.#random.chance(0.4)
          ? this.#group.map(() => 0)
          : this.#group.map(() => (this.#random.chance(0.5) ? 1 : 0));
        return;
      case 'one-way':
        if (this.#random.chance(0.3)) this.#deaf.clear();
        else this.#deaf.add(agent * agents + this.#random.below(agents));
        return;
      case 'drain': {
        const until = this.#random.chance(0.3) ? undefined : after(this.#now, this.#random.between(1_000, 20_000));
        this.#do(agent, (core, out) => core.drain(this.#now, until, out));
        return;
      }
    }
  }

  #heal(): void {
    this.#group = this.#group.map(() => 0);
    this.#deaf.clear();
    for (const [agent, box] of this.#boxes.entries()) {
      if (box.core === undefined) this.#boot(agent);
      else this.#do(agent, (core, out) => core.drain(this.#now, undefined, out));
    }
  }

  #boot(agent: AgentIndex): void {
    const box = this.#boxes[agent];
    if (box === undefined) return;
    box.lives++;
    box.view.fill('unknown');
    box.view[agent] = 'alive';
    box.told.fill(undefined);
    box.programs.clear();
    box.up.clear();
    box.core = this.#begin(agent, box.lives, box);
    this.#do(agent, (core, out) => core.start(this.#now, out));
  }

  // Membership, told late

  #membership(): void {
    const component = this.#components();
    for (const [observer, box] of this.#boxes.entries()) {
      if (box.core === undefined) continue;
      for (let member = 0; member < this.#boxes.length; member++) {
        if (member === observer) continue;
        const isAlive = this.#boxes[member]?.core !== undefined && component[member] === component[observer];
        const view = box.view[member];
        const said = box.told[member];
        const isRight = isAlive ? view === 'alive' : view === 'dead' || view === 'unknown';
        if (isRight) {
          box.told[member] = undefined;
        } else if (said === undefined) {
          const ms = isAlive ? this.#random.between(100, 1_200) : this.#random.between(500, 1_500);
          const state = isAlive ? 'alive' : view === 'suspect' ? 'dead' : 'suspect';
          box.told[member] = { at: after(this.#now, ms), state };
        } else if (said.at <= this.#now) {
          box.told[member] = undefined;
          box.view[member] = said.state;
          this.#do(observer, (core, out) => core.memberChanged(this.#now, member, said.state, out));
        }
      }
    }
  }

  /** Agents that reach each other both ways, directly or through others. Down ones stand alone. */
  #components(): readonly number[] {
    const found = this.#boxes.map(() => -1);
    for (let first = 0; first < found.length; first++) {
      if (found[first] !== -1) continue;
      const stack = [first];
      found[first] = first;
      for (let one = stack.pop(); one !== undefined; one = stack.pop()) {
        if (this.#boxes[one]?.core === undefined) continue;
        for (let other = 0; other < found.length; other++) {
          if (found[other] !== -1 || this.#boxes[other]?.core === undefined) continue;
          if (!this.#passes(one, other) || !this.#passes(other, one)) continue;
          found[other] = first;
          stack.push(other);
        }
      }
    }
    return found;
  }

  // Invariants

  #isAble(agent: AgentIndex, duty: number): boolean {
    const core = this.#boxes[agent]?.core;
    if (core === undefined || core.draining || this.#options.unable.has(`${agent}/${duty}`)) return false;
    return this.#specs[duty]?.eligible.includes(agent) === true;
  }

  #runs(agent: AgentIndex, duty: number): boolean {
    const box = this.#boxes[agent];
    return box?.core !== undefined && box.up.has(duty);
  }

  #coverage(): void {
    const component = this.#components();
    const { duties } = this.#options;
    for (let duty = 0; duty < duties; duty++) {
      const covered = new Set(this.#boxes.flatMap((_, agent) => (this.#runs(agent, duty) ? [component[agent]] : [])));
      for (let agent = 0; agent < this.#boxes.length; agent++) {
        const key = agent * duties + duty;
        if (!this.#isAble(agent, duty) || covered.has(component[agent])) {
          this.#missingSince[key] = Number.NaN;
          continue;
        }
        const since = this.#missingSince[key] ?? Number.NaN;
        if (Number.isNaN(since)) this.#missingSince[key] = this.#now;
        const gapMs = this.#now - (this.#missingSince[key] ?? this.#now);
        this.#longestGapMs = Math.max(this.#longestGapMs, gapMs);
        if (gapMs <= gapBoundMs || this.#violations.length > 0) continue;
        this.#violations.push({
          invariant: 'an available duty has a runner in every component',
          atMs: this.#now,
          text: `duty ${duty} has had none for ${Math.round(gapMs)} ms around box ${agent}, which could`,
        });
      }
    }
  }

  #oneRunnerEach(): void {
    for (let duty = 0; duty < this.#options.duties; duty++) {
      if (!this.#boxes.some((_, agent) => this.#isAble(agent, duty))) continue;
      const runners = this.#boxes.flatMap((_, agent) => (this.#runs(agent, duty) ? [agent] : []));
      // A calm move is two runners for a moment.
      if (runners.length === 1) this.#doubleSince.delete(duty);
      if (runners.length === 1 || this.#isMoving(duty)) continue;
      const text = `duty ${duty} has ${runners.length} runners: ${runners.join(', ')}`;
      this.#violations.push({ invariant: 'one runner after healing', atMs: this.#now, text });
      return;
    }
  }

  readonly #doubleSince = new Map<number, Instant>();

  #isMoving(duty: number): boolean {
    const since = this.#doubleSince.get(duty) ?? this.#now;
    this.#doubleSince.set(duty, since);
    return this.#now - since < moveMs;
  }
}

/** Two claims of the better one, some lost, and its word that it hears the other. */
const moveMs = 4_000;
