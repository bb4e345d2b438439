import type { DutyOptions } from '../../agent/core/duties/options.ts';
import type { MembershipOptions } from '../../agent/core/membership/options.ts';

/**
 * How long things may take at the very worst, before a run counts as broken; what they take usually is in the figures.
 * Everything follows from the options: a probe round may be twice as long while local health is poor, and a suspicion
 * that nobody confirms lasts its maximum.
 */
export function knownToAllWithinMs(options: MembershipOptions, agents: number): number {
  const { probeIntervalMs: T, verifyRounds, suspicionMult, suspicionMaxFactor } = options;
  const untilProbed = 5 * T;
  const verified = 2 * (1 + verifyRounds) * T;
  const suspicion = suspicionMult * suspicionMaxFactor * Math.max(1, Math.log10(agents)) * T;
  const spread = 1_500;
  return untilProbed + verified + suspicion + spread;
}

/** A duty without a runner has one after this, as long as an eligible box is up and in touch with itself. */
export function runnerWithinMs(options: DutyOptions, dutyStartMs: number, eligible: number): number {
  const { claimPeriodMs, freshPeriods, startDelayMs, rankDelayMs } = options;
  const silence = 2 * freshPeriods * claimPeriodMs;
  const settling = 3_000;
  return silence + startDelayMs + rankDelayMs * eligible + dutyStartMs + settling + 1_000;
}

/**
 * Two runners in reach of each other hear of it by their claims. The better one stays; the other one ends after two of
 * the better one's claims in a row that list it. Where a
 * quarter of all messages is lost, this took up to 2 s in 60 runs; among three, of whom two reach each other through the third alone, 4.6 s.
 */
export function oneRunnerWithinMs({ claimPeriodMs, contestedPeriodMs }: DutyOptions): number {
  return 2 * claimPeriodMs + 20 * contestedPeriodMs;
}

/** After the last fault: stale connections are found, dialled again, greeted; suspicions end one way or the other. */
export function convergedWithinMs(options: MembershipOptions, agents: number): number {
  return knownToAllWithinMs(options, agents) + 12 * options.deadProbeIntervalMs;
}
