import type { FaultEvent } from '../faults/fault.ts';
import type { Violation } from '../invariants/invariants.ts';
import type { Witness } from '../run.ts';
import { settleMs } from '../scenarios/scenario.ts';
import type { World } from '../world/world.ts';

/**
 * What a trial holds the membership to beside the invariants of every run: promises that those excuse where a fault is
 * at work, or that only a site with this one fault can be held to.
 */
export abstract class Watch implements Witness {
  readonly violations: Violation[] = [];
  world!: World;

  /** Only the first one is told: a broken core may have thousands. */
  protected broken(invariant: string, text: string, atMs = this.world.now): void {
    if (this.violations.length === 0) this.violations.push({ invariant, atMs, text });
  }

  memberChanged(_atMs: number, _observer: number, _member: number, _from: string, _to: string, _why: string): void {}

  sampled(_world: World): void {}

  injected(_atMs: number, _fault: FaultEvent): void {}
}

/** Whoever answers again has been heard by everybody after this long. */
const wellAfterMs = 1_000;

const isWell = (world: World, agent: number): boolean => {
  const box = world.boxes[agent]!;
  if (!box.up || box.pausedUntil > 0 || world.now - box.disturbedAt < wellAfterMs) return false;
  return world.network.blockedCount === 0 || world.boxes.every((other) => world.network.isWhole(agent, other.index));
};

/**
 * By its own judgement no box holds another dead that has been awake and in reach for a second: what it had to answer,
 * it has answered. (What a box hears of a death may be older than the word that took it back.)
 */
export class AnsweredSuspicionsEnd extends Watch {
  override memberChanged(atMs: number, observer: number, member: number, _from: string, to: string, why: string): void {
    if (to !== 'dead' || why.startsWith('told by') || !isWell(this.world, member)) return;
    this.broken('an answered suspicion does not kill', `box ${observer} holds box ${member} dead: ${why}`, atMs);
  }
}

/** A box that hears badly doubts itself: it accuses nobody in public who lives. */
export class BadEarsAccuseNobody extends Watch {
  readonly #deaf: number;

  constructor(deaf: number) {
    super();
    this.#deaf = deaf;
  }

  override memberChanged(atMs: number, observer: number, member: number, _from: string, to: string, why: string): void {
    if (observer !== this.#deaf || to !== 'suspect' || atMs < settleMs || !this.world.boxes[member]!.up) return;
    this.broken('who hears badly accuses nobody', `box ${observer} accused box ${member}: ${why}`, atMs);
  }
}

/** A box that hears nobody at all keeps what it thinks of the others to itself, for as long as that lasts. */
export class DeafAccuseNobody extends Watch {
  readonly #deaf: number;
  #accused = 0;

  constructor(deaf: number) {
    super();
    this.#deaf = deaf;
  }

  override memberChanged(atMs: number, observer: number, _member: number, _from: string, to: string): void {
    const { boxes, network } = this.world;
    if (observer !== this.#deaf || to !== 'suspect') return;
    if (boxes.some(({ index }) => index !== observer && !network.isBlocked(index, observer))) return;
    // One or two may fail to answer before it is plain that nobody does.
    if (++this.#accused <= 2) return;
    this.broken('who hears nobody accuses nobody', `box ${observer} accused ${this.#accused} others`, atMs);
  }
}

/** Whom somebody reaches nobody suspects. */
export class ReachedMeansAlive extends Watch {
  override memberChanged(atMs: number, observer: number, member: number, _from: string, to: string, why: string): void {
    if (atMs < settleMs || to !== 'suspect' || !this.world.boxes[member]!.up) return;
    this.broken('whom others reach nobody suspects', `box ${observer} suspects box ${member}: ${why}`, atMs);
  }
}

/** What a process says of itself is above whatever was said under its key before, whichever life said it. */
export class OwnNumbersRise extends Watch {
  readonly #largest = new Map<number, { readonly boot: number; readonly incarnation: number }>();

  override injected(_atMs: number, fault: FaultEvent): void {
    // Its first words are what matters: a moment later it has been corrected.
    if (fault.kind === 'restart') this.world.at(this.world.now, () => this.sampled(this.world));
  }

  override sampled(world: World): void {
    for (const { index, core, life } of world.boxes) {
      if (!core) continue;
      const boot = core.membership.bootCounterOf(index);
      const incarnation = core.membership.incarnationOf(index);
      const last = this.#largest.get(index) ?? { boot: 0, incarnation: 0 };
      if (boot < last.boot || (boot === last.boot && incarnation < last.incarnation)) {
        const text = `box ${index} is at ${boot}.${incarnation} in life ${life}, and was at ${last.boot}.${last.incarnation}`;
        this.broken('incarnations never go back', text);
      } else this.#largest.set(index, { boot, incarnation });
    }
  }
}

/** However often somebody slanders a box, it answers with new numbers three times at once, and then once a second. */
export class NumbersRiseSlowly extends Watch {
  readonly #agent: number;
  #first: { readonly at: number; readonly incarnation: number } | undefined;

  constructor(agent: number) {
    super();
    this.#agent = agent;
  }

  override sampled(world: World): void {
    const { core } = world.boxes[this.#agent]!;
    if (!core || world.now < settleMs - 1_000) return;
    const incarnation = core.membership.incarnationOf(this.#agent);
    this.#first ??= { at: world.now, incarnation };
    const rose = incarnation - this.#first.incarnation;
    const seconds = (world.now - this.#first.at) / 1_000;
    if (rose <= burst + Math.ceil(1.1 * seconds)) return;
    this.broken('numbers rise slowly', `box ${this.#agent} raised its incarnation ${rose} times in ${seconds} s`);
  }
}

const burst = 3;

/** What the failure detector says, once everybody has greeted everybody. */
export class Load extends Watch {
  #from = 0;
  #bytes = Number.NaN;

  override sampled({ now, traffic }: World): void {
    if (now < settleMs) return;
    if (this.#from === 0) this.#from = now;
    if (this.#from === now) this.#bytes = traffic.membershipBytes;
  }

  bytesPerSecondPerAgent(): number {
    const { now, traffic, boxes } = this.world;
    return (1_000 * (traffic.membershipBytes - this.#bytes)) / (now - this.#from) / boxes.length;
  }
}
