import type { AgentIndex } from '../../base/ids.ts';
import type { Random } from '../../base/random.ts';
import type { MembershipOptions } from './options.ts';
import { Permutation } from './permutation.ts';
import { type Ring, ringOf, successors } from './ring.ts';

/** Whom to probe next. */
export interface ProbeSchedule {
  /** The next member that qualifies, or undefined when none does. `reachable`: how many do, about. */
  next(qualifies: (member: AgentIndex) => boolean): AgentIndex | undefined;
  /** Whether we are among those who watch this member: then a hint that it may be gone is ours to look into. */
  observes(member: AgentIndex, qualifies: (member: AgentIndex) => boolean): boolean;
}

/**
 * Every member once per round, in an order shuffled anew for each round (SWIM §4.3). Random enough that all members
 * probe different targets at any moment, and no target waits longer than two rounds of any prober.
 *
 * The order is a seeded permutation that is computed, not stored: a few words whatever the size of the site.
 */
export class ShuffledRounds implements ProbeSchedule {
  readonly #size: number;
  readonly #self: AgentIndex;
  readonly #random: Random;
  readonly #among: readonly AgentIndex[] | undefined;
  readonly #order: Permutation;
  #next: number;

  /** `among`: only these members; without it all. */
  constructor(size: number, self: AgentIndex, random: Random, among?: readonly AgentIndex[]) {
    this.#size = among?.length ?? size;
    this.#self = self;
    this.#random = random;
    this.#among = among;
    this.#order = new Permutation(this.#size);
    this.#next = this.#size;
  }

  /** Scans each member at most twice. */
  next(qualifies: (member: AgentIndex) => boolean): AgentIndex | undefined {
    for (let tries = 0; tries < 2 * this.#size; tries++) {
      if (this.#next >= this.#size) {
        this.#order.shuffle(this.#random);
        this.#next = 0;
      }
      const at = this.#order.at(this.#next++);
      const member = this.#among === undefined ? at : this.#among[at]!;
      if (member !== this.#self && qualifies(member)) return member;
    }
    return undefined;
  }

  observes(member: AgentIndex): boolean {
    return member !== this.#self;
  }
}

/**
 * Seven probes of eight go to the next `observers` living members on the ring, in turn, the eighth to anybody, by
 * shuffled rounds. So each member is watched by as many observers at even intervals, which cuts the tail of the first
 * probe, and in a large site each agent keeps company with few. The eighth probe finds who lost all observers at once;
 * in a large site it goes to a companion, to whom there is a connection, and not to a stranger, whose handshake would
 * cost more than all other probes of that second: whoever lost ten observers has fifty companions still.
 *
 * It was meant for large sites alone, as a saving of connections. Measured (`test/bench/membership-bare.ts`, 1500
 * crashes, lan), it is better at every size: first detection among 10 at the 99th percentile 1.67 s against 1.94 s in
 * shuffled rounds, among 100 2.28 s against 2.63 s, among 1000 2.8 s against 3.3 s; the medians are alike.
 */
export class ObserverRing implements ProbeSchedule {
  readonly #self: AgentIndex;
  readonly #ring: Ring;
  readonly #observers: number;
  readonly #anybody: ShuffledRounds;
  readonly #outside: ShuffledRounds;
  readonly #observed: AgentIndex[] = [];
  #turn: number;
  #at = 0;

  constructor(
    size: number,
    self: AgentIndex,
    random: Random,
    observers: number,
    companions?: readonly AgentIndex[] | undefined,
  ) {
    this.#self = self;
    this.#ring = ringOf(size);
    this.#observers = observers;
    this.#anybody = new ShuffledRounds(size, self, random);
    this.#outside = companions === undefined ? this.#anybody : new ShuffledRounds(size, self, random, companions);
    this.#turn = random.below(outsideEvery);
  }

  next(qualifies: (member: AgentIndex) => boolean): AgentIndex | undefined {
    this.#turn = (this.#turn + 1) % outsideEvery;
    if (this.#turn === 0) return this.#outside.next(qualifies) ?? this.#anybody.next(qualifies);
    if (this.#at >= this.#observed.length) this.#lookAround(qualifies);
    while (this.#at < this.#observed.length) {
      const member = this.#observed[this.#at++]!;
      if (qualifies(member)) return member;
    }
    return this.#anybody.next(qualifies);
  }

  observes(member: AgentIndex, qualifies: (member: AgentIndex) => boolean): boolean {
    if (this.#observed.length === 0) this.#lookAround(qualifies);
    return this.#observed.includes(member);
  }

  #lookAround(qualifies: (member: AgentIndex) => boolean): void {
    successors(this.#ring, this.#self, this.#observers, qualifies, this.#observed);
    this.#at = 0;
  }
}

export function probeSchedule(
  size: number,
  self: AgentIndex,
  random: Random,
  { ringAbove, ringObservers }: Pick<MembershipOptions, 'ringAbove' | 'ringObservers'>,
  companions?: readonly AgentIndex[] | undefined,
): ProbeSchedule {
  return size > ringAbove && ringObservers > 0
    ? new ObserverRing(size, self, random, ringObservers, companions)
    : new ShuffledRounds(size, self, random);
}

const outsideEvery = 8;
