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
  /**
   * Membership must be stable this long before work moves of its own accord; and once a second member of a cell is
   * missed, this long after the last one before anybody's work is taken over. A single loss waits for nothing.
   */
  readonly debounceMs: number;
  /** A returning agent gets nothing for this long; doubles per flap up to the maximum. */
  readonly returnHoldMs: number;
  readonly returnHoldMaxMs: number;
  /** Moves of one's own accord, of all duties in sight, per minute; at least one per minute is always allowed. */
  readonly moveShare: number;
  /**
   * The storm brake. When more than `stormShare` of a cell, and at least three of it, are missed within `stormWatchMs`,
   * the cause is more likely a switch or a power dip than so many boxes: their duties stay for `stormPauseMs`, unless
   * critical. Longer saves more needless moves, and leaves the work undone for longer when the boxes are really gone.
   */
  readonly stormShare: number;
  readonly stormWatchMs: number;
  readonly stormPauseMs: number;
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
  moveShare: 0.02,
  stormShare: 1 / 3,
  stormWatchMs: 10_000,
  stormPauseMs: 30_000,
  holderBonus: 1.5,
  replicas: 2,
  checkpointEveryMs: 500,
};
