import type { AgentIndex } from '../../agent/base/ids.ts';
import { type Instant, never } from '../../agent/base/time.ts';
import { AvailableDuties } from '../../agent/core/duties/available-duties.ts';
import type { Hand } from '../../agent/core/duties/hand.ts';
import { dutyDefaults } from '../../agent/core/duties/options.ts';
import type { Ranked } from '../../agent/core/duties/placement.ts';
import { runClaims } from '../duties/claims-world.ts';

/**
 * The naive rules for available duties, each planted in a subclass outside the shipped code. Both look right on paper.
 */
export const claimMutants: ReadonlyMap<string, typeof AvailableDuties> = new Map<string, typeof AvailableDuties>([
  // Each of two holders counts itself 1.5-fold, thinks itself the better one, and stays.
  [
    'bonus in the static order',
    class extends AvailableDuties {
      protected override goesBefore(hand: Hand, a: AgentIndex, b: AgentIndex): boolean {
        const score = (agent: AgentIndex): number => {
          const own = hand.order.candidates[hand.order.place.get(agent) ?? -1]?.score ?? 0;
          return hand.holder === agent ? own * dutyDefaults.holderBonus : own;
        };
        return score(a) > score(b) || (score(a) === score(b) && super.goesBefore(hand, a, b));
      }
    },
  ],
  // The top one is alive and cannot, and those who could wait for it.
  [
    'run iff top-ranked',
    class extends AvailableDuties {
      protected override startAt(now: Instant, hand: Hand, ranked: readonly Ranked[], own: number): Instant {
        return own === 0 ? super.startAt(now, hand, ranked, own) : never;
      }
    },
  ],
]);

export interface ClaimMutantReport {
  readonly name: string;
  readonly found: boolean;
  readonly invariant: string | undefined;
  readonly seed: number | undefined;
  readonly text: string | undefined;
  /** Seeds that were run until it was found. */
  readonly seeds: number;
  /** Seeds of those on which the shipped code broke an invariant; must be empty. */
  readonly shippedFails: readonly number[];
}

/** Plants each mistake and looks for it in at most `seeds` seeds; the shipped code runs the very same ones. */
export function runClaimMutants(options: {
  readonly firstSeed?: number;
  readonly seeds: number;
  readonly only?: string;
  readonly onReport?: (report: ClaimMutantReport) => void;
}): readonly ClaimMutantReport[] {
  const first = options.firstSeed ?? 1;
  const reports: ClaimMutantReport[] = [];
  for (const [name, Kind] of claimMutants) {
    if (options.only !== undefined && !name.includes(options.only)) continue;
    const shippedFails: number[] = [];
    let report: ClaimMutantReport | undefined;
    let seeds = 0;
    for (let seed = first; seed < first + options.seeds && report === undefined; seed++) {
      seeds++;
      if (runClaims(seed).violations.length > 0) shippedFails.push(seed);
      const violation = runClaims(seed, Kind).violations[0];
      if (violation === undefined) continue;
      const { invariant, text } = violation;
      report = { name, found: true, invariant, seed, text, seeds, shippedFails };
    }
    report ??= { name, found: false, invariant: undefined, seed: undefined, text: undefined, seeds, shippedFails };
    reports.push(report);
    options.onReport?.(report);
  }
  return reports;
}
