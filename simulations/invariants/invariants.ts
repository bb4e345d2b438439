import type { DutyOptions } from '../../agent/core/duties/options.ts';
import type { JournalEntry } from '../../agent/core/remediation/journal-entry.ts';
import { RunLedger } from '../../agent/core/remediation/run-ledger.ts';
import type { World } from '../world/world.ts';

export interface Violation {
  readonly invariant: string;
  readonly atMs: number;
  readonly text: string;
}

/** Judges one moment of the world. Named, so that a report says which promise was broken. */
export type Invariant = (world: World) => readonly Violation[];

const violation = (world: World, invariant: string, text: string): Violation => ({ invariant, atMs: world.now, text });

/** After healing, all who are up hold each other alive, and all others dead or left. */
export const viewsConverge: Invariant = (world) => {
  const found: Violation[] = [];
  for (const box of world.boxes) {
    if (!box.core) continue;
    for (const other of world.boxes) {
      if (other === box) continue;
      const state = box.core.membership.state(other.index);
      const isRight = other.up ? state === 'alive' : state === 'dead' || state === 'left' || other.life === 0;
      if (!isRight) {
        const truth = other.up ? 'up' : 'down';
        found.push(
          violation(world, 'views converge', `box ${box.index} holds box ${other.index} ${state}, which is ${truth}`),
        );
      }
    }
  }
  return found;
};

/** What a view says of the others' lives is what they say of themselves. */
/** What an agent says of its health reaches all of its cell, whatever was lost of it on the way. */
export const digestsConverge: Invariant = (world) => {
  if (world.plan.membership.syncIntervalMs === 0) return [];
  const behind = world.channels.digestsBehind(digestMendedWithinMs);
  if (behind.length === 0) return [];
  const shown = behind.slice(0, 8).map(({ place, of }) => `${place} of ${of}`);
  return [violation(world, 'digests converge', `${behind.length} lack the newest, box ${shown.join(', ')}`)];
};

/** A comparison a second with one of the cell, in both directions, at a few per cent of loss. */
const digestMendedWithinMs = 20_000;

export const numbersAgree: Invariant = (world) => {
  const found: Violation[] = [];
  for (const box of world.boxes) {
    if (!box.core) continue;
    for (const other of world.boxes) {
      if (other === box || !other.core) continue;
      const seen = box.core.membership.incarnationOf(other.index);
      const own = other.core.membership.incarnationOf(other.index);
      const seenBoot = box.core.membership.bootCounterOf(other.index);
      const ownBoot = other.core.membership.bootCounterOf(other.index);
      if (seen !== own || seenBoot !== ownBoot) {
        const text = `box ${box.index} has box ${other.index} at ${seenBoot}.${seen}, which is at ${ownBoot}.${own}`;
        found.push(violation(world, 'views agree on incarnations', text));
      }
    }
  }
  return found;
};

/** No driver had to refuse an input: nothing in the world overran its queue. */
export const queuesBounded: Invariant = (world) =>
  world.boxes.flatMap((box) =>
    box.driver && box.driver.counters.refused > 0
      ? [violation(world, 'queues bounded', `box ${box.index} refused ${box.driver.counters.refused} inputs`)]
      : [],
  );

/** Incarnations and boots never go back, in anybody's eyes and least of all in one's own. */
export class IncarnationsNeverGoBack {
  readonly #largest = new Map<string, number>();

  check(world: World, observer: number, member: number): readonly Violation[] {
    const membership = world.boxes[observer]?.core?.membership;
    if (!membership) return [];
    const key = `${observer}.${world.boxes[observer]!.life}.${member}`;
    const number = membership.bootCounterOf(member) * 2 ** 20 + membership.incarnationOf(member);
    const last = this.#largest.get(key) ?? -1;
    this.#largest.set(key, Math.max(last, number));
    return number < last
      ? [
          violation(
            world,
            'incarnations never go back',
            `box ${observer} went back on box ${member}: ${last} to ${number}`,
          ),
        ]
      : [];
  }
}

/**
 * An available duty has a runner wherever an eligible box is up, except for as long as noticing and starting take; and
 * one box must have been up all that time, since a site that reboots again and again has nobody to notice. When so many
 * boxes of a cell are missed at once that its storm brake may hold, the pause of that brake comes on top.
 */
export class DutyHasRunner {
  readonly #missingSince: Float64Array;
  readonly #told: Uint8Array;
  readonly #withinMs: (eligible: number) => number;
  readonly #storm: Pick<DutyOptions, 'stormShare' | 'stormWatchMs' | 'stormPauseMs'>;
  /** Since when a box has heard no runner of a duty, where the site has fallen apart; by duty and box. */
  readonly #unheardSince = new Map<number, number>();
  /** Since when each box has been up without a break and without a freeze; NaN where it is not. */
  readonly #ableSince: Float64Array;
  /** When each box was last down, frozen, cut off from somebody, or otherwise hard to hear. */
  readonly #lastMissed: Float64Array;

  constructor(parts: {
    readonly agents: number;
    readonly duties: number;
    readonly withinMs: (eligible: number) => number;
    readonly storm: Pick<DutyOptions, 'stormShare' | 'stormWatchMs' | 'stormPauseMs'>;
  }) {
    this.#missingSince = new Float64Array(parts.duties).fill(Number.NaN);
    this.#told = new Uint8Array(parts.duties);
    this.#withinMs = parts.withinMs;
    this.#storm = parts.storm;
    this.#ableSince = new Float64Array(parts.agents).fill(Number.NaN);
    this.#lastMissed = new Float64Array(parts.agents).fill(Number.NEGATIVE_INFINITY);
  }

  /** With `excused`, nothing is promised at this moment (a network beyond all bounds). */
  check(world: World, excused = false): readonly Violation[] {
    const found: Violation[] = [];
    this.#look(world);
    this.#judgeParts(world, excused, found);
    for (const { index, id, eligible, critical, exclusive } of world.plan.duties) {
      // Those follow their leases, and are judged there.
      if (exclusive) continue;
      const able = eligible.some((agent) => !Number.isNaN(this.#ableSince[agent]!));
      const runs = eligible.some((agent) => world.boxes[agent]!.running.has(index));
      if (runs || !able || excused) {
        this.#missingSince[index] = Number.NaN;
        this.#told[index] = 0;
        continue;
      }
      if (Number.isNaN(this.#missingSince[index]!)) this.#missingSince[index] = world.now;
      const missing = world.now - this.#missingSince[index]!;
      let within = this.#withinMs(eligible.length);
      if (missing <= within || this.#told[index] === 1) continue;
      if (!critical && this.#isStormy(world, eligible)) within += this.#storm.stormWatchMs + this.#storm.stormPauseMs;
      if (missing <= within || !eligible.some((agent) => world.now - this.#ableSince[agent]! > within)) continue;
      this.#told[index] = 1;
      found.push(violation(world, 'an available duty has a runner', `${id} had none for ${Math.round(missing)} ms`));
    }
    return found;
  }

  /**
   * In every part of a site that has fallen apart: whoever may carry a duty and hears none of its runners does not wait
   * for ever. Wires cut in one direction count by what can be heard.
   */
  #judgeParts(world: World, excused: boolean, found: Violation[]): void {
    const { network, boxes } = world;
    if (excused || network.blockedCount === 0) {
      this.#unheardSince.clear();
      return;
    }
    for (const { index, id, eligible, critical, exclusive } of world.plan.duties) {
      if (exclusive) continue;
      const runners = eligible.filter((agent) => boxes[agent]!.running.has(index));
      for (const agent of eligible) {
        const key = index * boxes.length + agent;
        const ableSince = this.#ableSince[agent]!;
        if (Number.isNaN(ableSince) || runners.some((one) => one === agent || !network.isBlocked(one, agent))) {
          this.#unheardSince.delete(key);
          continue;
        }
        const since = Math.max(ableSince, this.#unheardSince.get(key) ?? world.now);
        this.#unheardSince.set(key, since);
        let within = this.#withinMs(eligible.length);
        if (!critical && this.#isStormy(world, eligible)) within += this.#storm.stormWatchMs + this.#storm.stormPauseMs;
        if (world.now - since <= within) continue;
        this.#unheardSince.set(key, Number.POSITIVE_INFINITY);
        const text = `${id}: box ${agent} hears no runner for ${Math.round(world.now - since)} ms, and runs it not`;
        found.push(violation(world, 'an available duty has a runner in every part', text));
      }
    }
  }

  #look(world: World): void {
    const { blockedCount } = world.network;
    for (const { index, up, pausedUntil, disturbedAt } of world.boxes) {
      const isAble = up && pausedUntil === 0;
      if (!isAble) this.#ableSince[index] = Number.NaN;
      else if (!(this.#ableSince[index]! >= disturbedAt)) this.#ableSince[index] = world.now;
      const isCut = blockedCount > 0 && world.boxes.some((other) => !world.network.isWhole(index, other.index));
      if (!isAble || isCut) this.#lastMissed[index] = world.now;
      else this.#lastMissed[index] = Math.max(this.#lastMissed[index]!, disturbedAt);
    }
  }

  #isStormy(world: World, eligible: readonly number[]): boolean {
    const { stormShare, stormWatchMs, stormPauseMs } = this.#storm;
    const since = world.now - 2 * (stormWatchMs + stormPauseMs);
    for (const cell of new Set(eligible.map((agent) => world.plan.agents[agent]!.cell))) {
      let [size, missed] = [0, 0];
      for (const { index, cell: other } of world.plan.agents) {
        if (other !== cell) continue;
        size++;
        if (this.#lastMissed[index]! >= since) missed++;
      }
      if (missed > size * stormShare) return true;
    }
    return false;
  }
}

/**
 * Remediation keeps its word over crashes: nothing is done without a durable intent, each intent is issued once, a
 * finished step is never repeated, nothing is done after STOP, a run ends once, and what is called healed is healthy.
 */
export class RemediationKeepsItsWord {
  readonly #intents = new Set<string>();
  readonly #issued = new Set<string>();
  readonly #finished = new Set<string>();
  readonly #ended = new Set<string>();
  readonly #stopped = new Set<string>();
  healed = 0;

  /** Runs that a person stopped. */
  get stopped(): number {
    return this.#stopped.size;
  }

  /** What a restart finds on its disk counts as durable, whether or not anybody was told so (a torn write). */
  found(agent: number, journal: readonly JournalEntry[]): void {
    for (const entry of journal) {
      if (entry.kind === 'intent') {
        this.#intents.add(`${agent} ${entry.run} ${entry.step} ${entry.try} ${entry.issue}`);
      }
    }
  }

  /** The disk of a box forgot what it had called durable: its next life cannot know what was done and ended. */
  storeLost(agent: number): void {
    for (const said of [this.#intents, this.#issued, this.#finished, this.#ended, this.#stopped]) {
      for (const key of said) if (key.startsWith(`${agent} `)) said.delete(key);
    }
  }

  journalled(world: World, agent: number, entries: readonly JournalEntry[]): readonly Violation[] {
    const found: Violation[] = [];
    for (const entry of entries) {
      const step = 'step' in entry ? `${agent} ${entry.run} ${entry.step}` : '';
      if (entry.kind === 'intent') this.#intents.add(`${step} ${entry.try} ${entry.issue}`);
      if (entry.kind === 'done' && entry.outcome === 'ok') this.#finished.add(step);
      if (entry.kind === 'stop') this.#stopped.add(`${agent} ${entry.run}`);
      if (entry.kind !== 'end') continue;
      if (this.#ended.has(`${agent} ${entry.run}`))
        found.push(violation(world, 'a run ends once', `box ${agent}, run ${entry.run}`));
      this.#ended.add(`${agent} ${entry.run}`);
      if (entry.outcome !== 'HEALED') continue;
      this.healed++;
      // Longer than the soak: then it was broken while it was said to be well. (The disk may have refused it for a while.)
      const { brokenAt, brokenOwnAt } = world.boxes[agent]!;
      const saidAgoMs = Math.max(0, world.monotonic(agent) - entry.at);
      // A box that was suspended with its clock has not lived through that time, and had no chance to see anything in it.
      const lived = entry.at - brokenOwnAt;
      const brokenMs = Math.min(
        world.now - (brokenAt ?? world.now) - saidAgoMs,
        lived < 0 ? Number.POSITIVE_INFINITY : lived,
      );
      if (brokenAt !== undefined && brokenMs > 3_500) {
        found.push(
          violation(
            world,
            'healed means healthy',
            `box ${agent} is broken since ${Math.round(world.now - brokenAt)} ms`,
          ),
        );
      }
    }
    return found;
  }

  issued(
    world: World,
    agent: number,
    action: { run: string; step: number; try: number; issue: number },
  ): readonly Violation[] {
    const step = `${agent} ${action.run} ${action.step}`;
    const key = `${step} ${action.try} ${action.issue}`;
    const found: Violation[] = [];
    if (!this.#intents.has(key)) found.push(violation(world, 'no effect without a durable intent', key));
    if (this.#issued.has(key)) found.push(violation(world, 'each intent is issued once', key));
    if (this.#finished.has(step)) found.push(violation(world, 'a finished step is never repeated', key));
    if (this.#stopped.has(`${agent} ${action.run}`)) found.push(violation(world, 'no issue after STOP', key));
    this.#issued.add(key);
    return found;
  }
}

/**
 * What an agent holds for true of its repairs is what its journal says, and nothing else: a restart at this moment would
 * change nothing. Judged where nothing is on its way between disk and core; only what has grown is folded again.
 */
export class JournalTellsAll {
  readonly #judged = new Map<number, string>();

  /** `isSlow`: what the disk answered still waits in the box's event loop. */
  check(world: World, isSlow: (agent: number) => boolean = () => false): readonly Violation[] {
    const found: Violation[] = [];
    for (const box of world.boxes) {
      if (!box.core || box.pausedUntil > 0 || isSlow(box.index)) continue;
      const { journal } = box.disk;
      const state = `${box.life} ${journal.length}`;
      if (this.#judged.get(box.index) === state) continue;
      this.#judged.set(box.index, state);
      const written = JSON.stringify(new RunLedger(world.plan.workflows, journal).folded());
      if (written !== JSON.stringify(box.core.remediation.folded())) {
        found.push(violation(world, 'fold(journal) is the live state', `box ${box.index}, ${journal.length} entries`));
      }
    }
    return found;
  }
}

/**
 * Long after the last fault nothing is left broken where an agent lives to mend it. What a person stopped, or what came
 * back three times, and has not been well for long enough since, is left to that person; and without a majority of voters
 * nobody is given a permit. Who was half done and then waited for its permit in vain, while none could be had, has called
 * a person, who may stand before the machine by now: it does not begin again by itself.
 */
export const everythingMended = (
  world: World,
  known: {
    readonly mayHaveItsPermit: (box: number) => boolean;
    /** When this box last handed a repair over because no majority was within its reach. */
    readonly handedOverAt: (box: number) => number | undefined;
  },
): readonly Violation[] =>
  world.boxes.flatMap((box) => {
    if (!box.up || box.brokenAt === undefined || world.now - box.brokenAt <= 45_000) return [];
    if (!known.mayHaveItsPermit(box.index)) return [];
    const why = whyBroken(world, box);
    if (why.some((reason) => /^handed to a person \((stopped by a person|relapsed)/.test(reason))) return [];
    const wasInVain = (known.handedOverAt(box.index) ?? Number.NEGATIVE_INFINITY) >= box.brokenAt;
    if (wasInVain && why.some((reason) => reason.startsWith('handed to a person (permit: '))) return [];
    const text = `box ${box.index} is broken since ${Math.round(box.brokenAt)} ms: ${why.join('; ') || 'no reason'}`;
    return [violation(world, 'what broke is mended', text)];
  });

/** What the agent says when it is asked. */
const whyBroken = (world: World, { core, index }: World['boxes'][number]): readonly string[] =>
  world.plan.workflows
    .filter(({ runsOn }) => runsOn.on === 'agent' && runsOn.agent === index)
    .flatMap((workflow) => core?.remediation.explain(world.monotonic(index), workflow.index) ?? []);
