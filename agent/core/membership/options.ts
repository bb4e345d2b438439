/**
 * Parameters of the failure detector. Detection of a crash takes, at the median, about
 * 0.69·T + (1+v)·T + mult·max(1, log10 N)·T + spread.
 */
export interface MembershipOptions {
  /** T: one probe per member per this. Shorter finds death sooner and costs CPU and bytes in proportion. */
  readonly probeIntervalMs: number;
  /** Direct pings of one probe are staggered within this; then helpers are asked until T ends. */
  readonly directWindowMs: number;
  readonly directPings: number;
  /** k helpers asked for an indirect probe. More find asymmetric loss, and cost messages only when a ping failed. */
  readonly helpers: number;
  /**
   * v: further private rounds before anything is said. Each costs T of detection time and makes the load
   * independent of the number of members under loss.
   */
  readonly verifyRounds: number;
  /** Suspicion lasts at least mult·max(1, log10 N)·T, and at most `suspicionMaxFactor` times that. */
  readonly suspicionMult: number;
  readonly suspicionMaxFactor: number;
  /** Independent confirmations after which the suspicion time-out is at its minimum. */
  readonly confirmations: number;
  /** An update is retransmitted retransmitMult·⌈log10(N+1)⌉ times. */
  readonly retransmitMult: number;
  readonly maxUpdatesPerMessage: number;
  readonly localHealthMax: number;
  /** While updates are queued: gossip to `gossipFanout` members every this. */
  readonly gossipIntervalMs: number;
  readonly gossipFanout: number;
  /** Hard bound on what the detector sends, bytes per second. */
  readonly bytesPerSecond: number;
  /** Dead members are probed this often, for ever: a healed partition is found without a restart. */
  readonly deadProbeIntervalMs: number;
  /**
   * Our table is compared with that of a random member this often: what gossip lost is mended in a few rounds. Ten bytes
   * where both hold the same. 0: never.
   */
  readonly syncIntervalMs: number;
  /**
   * In sites of more members than this, each is probed by `ringObservers` fixed ones at even intervals (see ring.ts)
   * rather than by anybody in shuffled rounds. Fewer observers keep fewer connections and make the first probe later.
   */
  readonly ringAbove: number;
  readonly ringObservers: number;
  /**
   * Members watched closely are probed this often, beside the others: two messages more per interval and member. 0: not
   * at all, the ordinary rounds do.
   */
  readonly watchIntervalMs: number;
}

/** Wired LAN, the default. */
export const lan: MembershipOptions = {
  probeIntervalMs: 200,
  directWindowMs: 90,
  directPings: 3,
  helpers: 3,
  verifyRounds: 2,
  suspicionMult: 3,
  suspicionMaxFactor: 6,
  confirmations: 3,
  retransmitMult: 4,
  maxUpdatesPerMessage: 16,
  localHealthMax: 8,
  gossipIntervalMs: 50,
  gossipFanout: 3,
  bytesPerSecond: 4096,
  deadProbeIntervalMs: 1000,
  syncIntervalMs: 1000,
  ringAbove: 0,
  ringObservers: 10,
  watchIntervalMs: 0,
};

/** Busy networks and Wi-Fi: 2.5 × slower, 2.5 × calmer. */
export const wifi: MembershipOptions = {
  ...lan,
  probeIntervalMs: 500,
  directWindowMs: 225,
  deadProbeIntervalMs: 2500,
};

/** Very quiet: a second per probe, one private round. */
export const quiet: MembershipOptions = {
  ...lan,
  probeIntervalMs: 1000,
  directWindowMs: 450,
  verifyRounds: 1,
  deadProbeIntervalMs: 5000,
};

/**
 * A wired cell of at most ten that wants takeover within the second: half the interval, one private round. It costs
 * twice the messages of `lan`, and it forgives less: a switch that loses packets belongs under `lan`.
 */
export const fast: MembershipOptions = {
  ...lan,
  probeIntervalMs: 100,
  directWindowMs: 45,
  verifyRounds: 1,
  suspicionMult: 2,
  gossipIntervalMs: 20,
  bytesPerSecond: 8192,
  watchIntervalMs: 50,
};

export const presets = { lan, wifi, quiet, fast } as const;
