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

/** After healing, every duty that anybody up may carry has exactly one runner. */
export const oneRunnerEach: Invariant = (world) => {
  const found: Violation[] = [];
  for (const duty of world.plan.duties) {
    if (!duty.eligible.some((agent) => world.boxes[agent]!.up)) continue;
    const runners = world.boxes.filter((box) => box.running.has(duty.index)).map((box) => box.index);
    if (runners.length !== 1) {
      found.push(
        violation(world, 'one runner after healing', `${duty.id} has ${runners.length} runners: ${runners.join(', ')}`),
      );
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

/** An available duty has a runner wherever an eligible box is up, except for as long as noticing and starting take. */
export class DutyHasRunner {
  readonly #missingSince: Float64Array;
  readonly #told: Uint8Array;
  readonly #withinMs: (eligible: number) => number;

  constructor(duties: number, withinMs: (eligible: number) => number) {
    this.#missingSince = new Float64Array(duties).fill(Number.NaN);
    this.#told = new Uint8Array(duties);
    this.#withinMs = withinMs;
  }

  /** With `excused`, nothing is promised at this moment (a network beyond all bounds). */
  check(world: World, excused = false): readonly Violation[] {
    const found: Violation[] = [];
    for (const { index, id, eligible } of world.plan.duties) {
      const able = eligible.some((agent) => {
        const box = world.boxes[agent]!;
        return box.up && box.pausedUntil === 0;
      });
      const runs = eligible.some((agent) => world.boxes[agent]!.running.has(index));
      if (runs || !able || excused) {
        this.#missingSince[index] = Number.NaN;
        this.#told[index] = 0;
        continue;
      }
      if (Number.isNaN(this.#missingSince[index]!)) this.#missingSince[index] = world.now;
      const missing = world.now - this.#missingSince[index]!;
      if (missing > this.#withinMs(eligible.length) && this.#told[index] === 0) {
        this.#told[index] = 1;
        found.push(violation(world, 'an available duty has a runner', `${id} had none for ${Math.round(missing)} ms`));
      }
    }
    return found;
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
      // Longer than the soak: then it was broken while it was said to be well.
      const brokenAt = world.boxes[agent]!.brokenAt;
      if (brokenAt !== undefined && world.now - brokenAt > 3_500) {
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

  check(world: World): readonly Violation[] {
    const found: Violation[] = [];
    for (const box of world.boxes) {
      if (!box.core || box.pausedUntil > 0) continue;
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

/** Long after the last fault nothing is left broken where an agent lives to mend it. */
export const everythingMended: Invariant = (world) =>
  world.boxes.flatMap((box) =>
    box.up && box.brokenAt !== undefined && world.now - box.brokenAt > 45_000
      ? [violation(world, 'what broke is mended', `box ${box.index} is broken since ${Math.round(box.brokenAt)} ms`)]
      : [],
  );
