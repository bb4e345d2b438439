/** Timing of available duties (claims). */
export interface DutyOptions {
  /**
   * A runner claims every period. A claim is fresh for `freshPeriods` of them. Claims go to everybody and are most of
   * what an idle mesh says: half the period costs each peer a fifth more CPU time and finds nothing sooner that
   * membership does not find.
   */
  readonly claimPeriodMs: number;
  /** While another runs the same: they tell each other this often, so that one of them stops soon. */
  readonly contestedPeriodMs: number;
  readonly freshPeriods: number;
  /** An unclaimed duty is started after startDelay + rankDelay·rank: rank delays, it never forbids. */
  readonly startDelayMs: number;
  readonly rankDelayMs: number;
  /** Membership must be stable this long before a change moves work. */
  readonly debounceMs: number;
  /** A returning agent gets nothing for this long; doubles per flap up to the maximum. */
  readonly returnHoldMs: number;
  readonly returnHoldMaxMs: number;
  /** The holder's bonus in the weighted rendezvous. */
  readonly holderBonus: number;
  /** Checkpoints are replicated to this many next in rank, at most every `checkpointEveryMs`. */
  readonly replicas: number;
  readonly checkpointEveryMs: number;
}

export const dutyDefaults: DutyOptions = {
  claimPeriodMs: 500,
  contestedPeriodMs: 250,
  freshPeriods: 3.5,
  startDelayMs: 250,
  rankDelayMs: 150,
  debounceMs: 500,
  returnHoldMs: 30_000,
  returnHoldMaxMs: 600_000,
  holderBonus: 1.5,
  replicas: 2,
  checkpointEveryMs: 500,
};
