/** Times of a cell's leases. T and ρ belong to the epoch: they change only together with it (rule 1). */
export interface LeaseOptions {
  /**
   * T: how long a voter keeps a grant, by its own clock. A lost box is taken over after about T; shorter costs messages
   * in proportion and makes a stall of T a lost duty.
   */
  readonly leaseMs: number;
  /** ρ: the largest drift of any monotonic clock against true time, as a share. Beyond it only fencing protects. */
  readonly drift: number;
  /** A holder renews this often: T / 4 survives three lost rounds. */
  readonly renewMs: number;
  /** A transmission without an answer is repeated after this, under a new request id. */
  readonly retryMs: number;
  /**
   * No effect begins within this before the end of the window, so that what has begun ends inside it. Longer than an
   * effect takes, shorter than T / 4.
   */
  readonly guardMs: number;
}

/** Wired LAN, the default. */
export const leaseDefaults: LeaseOptions = {
  leaseMs: 2000,
  drift: 0.01,
  renewMs: 500,
  retryMs: 120,
  guardMs: 100,
};

/** What a voter and a holder must know of one lease of their cell. */
export interface LeaseSpec {
  /** 1 where the agent with this index may hold it. */
  readonly eligible: Uint8Array;
  /**
   * 0 for a duty. For a permit, at least the longest step that it covers: a lapsed permit that was not released stays
   * taken for this long (rule 11).
   */
  readonly lingerMs: number;
}

/** What a holder may count on after sending: T less the drift of its own clock and of the voter's (rule 6). */
export const windowMs = (options: LeaseOptions): number => options.leaseMs * (1 - 2 * options.drift);

/** How long a voter stays mute that may have forgotten a grant of `leaseMs` (rules 5 and 10). */
export const muteMs = (leaseMs: number, drift: number): number => leaseMs * (1 + 2 * drift);

/** The smallest majority of `voters`. */
export const quorumOf = (voters: number): number => Math.floor(voters / 2) + 1;
