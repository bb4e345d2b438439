/**
 * Timing of verdicts, as multiples of the probe interval T where it follows the detector. Shorter holds speak sooner and
 * take back more often.
 */
export interface VerdictOptions {
  /** T of the failure detector, milliseconds. */
  readonly probeIntervalMs: number;
  /** Own unanswered rounds in a row before a member counts as lost: 1 + v of the detector. */
  readonly rounds: number;
  /**
   * Failing rounds in a row, at least and at most, before a path counts as failed. In between it is as many as chance
   * needs to be below one in a hundred thousand at the present rate of failing direct pings.
   */
  readonly linkRounds: readonly [least: number, most: number];
  /** … and over at least this long, so that one pause of the peer cannot make a path look broken. */
  readonly linkSpanMs: number;
  /** What others say of a third waits this long for the refutation, which goes straight to everybody. */
  readonly refuteMs: number;
  /** While neighbours of a lost member are being looked at, it is not yet called gone; at most this long. */
  readonly neighboursMs: number;
  /** Neighbours looked at, at most. */
  readonly neighbours: number;
  /** Members of one location lost within this are one event. */
  readonly segmentWithinMs: number;
  /** Silence of everybody for this long: we are cut off. */
  readonly cutAfterMs: number;
  /** Distinct silent peers wanted for that, or all there are. */
  readonly cutPeers: number;
  /** Others get this long to notice that the coordinator is away before the fault is sought here. */
  readonly uplinkHoldMs: number;
  /** After the coordinator came back, stragglers get this long to find their way. */
  readonly uplinkReturnMs: number;
  /** I-AM-SLOW stands this long after the last late timer. */
  readonly slowHoldMs: number;
}

/** Options that go with a failure detector of this interval and verification. */
export function verdictOptions(detector: {
  readonly probeIntervalMs: number;
  readonly verifyRounds: number;
}): VerdictOptions {
  const t = detector.probeIntervalMs;
  return {
    probeIntervalMs: t,
    rounds: 1 + detector.verifyRounds,
    linkRounds: [4, 10],
    linkSpanMs: 2.5 * t,
    refuteMs: t,
    neighboursMs: 4.5 * t,
    neighbours: 4,
    segmentWithinMs: Math.max(2_000, 5 * t),
    cutAfterMs: 3 * t,
    cutPeers: 6,
    uplinkHoldMs: 1_000,
    uplinkReturnMs: 5_000,
    slowHoldMs: Math.max(1_500, 5 * t),
  };
}
