import { EffectGate } from '../../agent/core/leases/effect-gate.ts';
import { parseToken } from '../../agent/core/leases/fencing-token.ts';
import type { SessionId } from '../../agent/core/leases/session.ts';
import type { Box, Work, World } from '../world/world.ts';
import type { Violation } from './invariants.ts';

interface Guard {
  readonly cell: string;
  /** How many may be at work at once. */
  readonly slots: number;
  /** Runs with an effect under way, and until when; one for each process and run. */
  readonly atWork: Map<string, { readonly box: number; untilMs: number }>;
}

/**
 * What permits promise, judged where the effects are, at every issue: at most k repairs of a guard have an effect under
 * way, over crashes of those who began them; none begins without a permit; the tokens of a slot only rise, and each step
 * happens at most once under its token. What agents and voters believe of each other is not asked.
 *
 * Excused is what no lease can promise: clocks beyond the bound, a majority of voters without memory, a cloned voter.
 */
export class PermitsKeepTheirWord {
  readonly #guards = new Map<string, Guard>();
  readonly #slots = new Map<string, number>();
  readonly #gate: EffectGate;
  readonly #done = new Set<string>();
  readonly #isSound: (world: World, cell: string) => boolean;
  readonly #count: (what: 'all permits at work') => void;

  constructor(parts: {
    readonly plan: World['plan'];
    readonly isSound: (world: World, cell: string) => boolean;
    readonly count: (what: 'all permits at work') => void;
  }) {
    for (const { id: cell, leases } of parts.plan.cells) {
      for (const { id, of } of leases) {
        if (of.kind !== 'permit') continue;
        this.#slots.set(id, this.#slots.size);
        const name = `${cell}/${of.permit}`;
        const slots = (this.#guards.get(name)?.slots ?? 0) + 1;
        this.#guards.set(name, { cell, slots, atWork: new Map() });
      }
    }
    this.#gate = new EffectGate(this.#slots.size);
    this.#isSound = parts.isSound;
    this.#count = parts.count;
  }

  begun(world: World, box: Box, work: Work): readonly Violation[] {
    const guard = work.permit === undefined ? undefined : this.#guards.get(work.permit);
    if (guard === undefined) return [];
    const found: Violation[] = [];
    const broken = (invariant: string, text: string): void => {
      found.push({ invariant, atMs: world.now, text: `box ${box.index}, run ${work.run}: ${text}` });
    };
    const isSound = this.#isSound(world, guard.cell);
    const slot = work.slot === undefined ? undefined : this.#slots.get(work.slot);
    const token = work.fence === undefined ? undefined : parseToken(work.fence.token);
    if (work.fence === undefined || token === undefined || slot === undefined) {
      broken('no step without its permit', `step ${work.step} was issued under no valid permit`);
    } else {
      const verdict = this.#gate.judge(slot, token, work.fence.session as SessionId);
      if (isSound && (verdict === 'older' || verdict === 'foreign'))
        broken('tokens of a permit only rise', `${work.slot} with ${work.fence.token}: ${verdict}`);
      const key = [work.slot, work.fence.token, work.run, work.step, work.try, work.issue].join(' ');
      if (this.#done.has(key)) broken('a step at most once per token', key);
      this.#done.add(key);
    }
    const { atWork, slots } = guard;
    for (const [key, { untilMs }] of atWork) if (untilMs <= world.now) atWork.delete(key);
    const key = `${box.place} ${work.run}`;
    const untilMs = Math.max(work.untilMs, atWork.get(key)?.untilMs ?? 0);
    atWork.set(key, { box: box.place, untilMs });
    if (atWork.size === slots) this.#count('all permits at work');
    if (atWork.size > slots && isSound) {
      const boxes = [...atWork.values()].map((one) => one.box).join(', ');
      broken('at most k repairs of a guard', `${atWork.size} at work under ${slots} of ${work.permit}: boxes ${boxes}`);
    }
    return found;
  }
}
