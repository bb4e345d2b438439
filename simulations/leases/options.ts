import type { Random } from '../../agent/base/random.ts';

export const faultKinds = [
  'cut',
  'one-way',
  'link',
  'freeze',
  'suspend',
  'kill',
  'power',
  'site-power',
  'wall',
  'disk',
  'eio',
  'voters-restart',
  'churn',
] as const;
export type FaultKind = (typeof faultKinds)[number];

/** Everything that a run depends on besides the code; drawn from the seed. Times in milliseconds of global time. */
export interface LeaseWorldOptions {
  readonly agents: number;
  /** 1, 3 or 5, the first ones by index. */
  readonly voters: number;
  /** The first voter votes and never holds. */
  readonly witness: boolean;
  readonly cells: number;
  /** Per cell: main-thread duties, duties in a process of their own, permits. */
  readonly duties: number;
  readonly processes: number;
  readonly permits: number;
  readonly leaseMs: number;
  readonly guardMs: number;
  readonly lingerMs: number;
  readonly faultPhaseMs: number;
  /** Per box, against the bound ρ = 1 %. */
  readonly driftRate: readonly number[];
  /** Clocks beyond the bound: only what the effect gate promises is judged then. */
  readonly isDriftBeyond: boolean;
  readonly latencyMs: number;
  readonly jitterMs: number;
  readonly loss: number;
  readonly duplication: number;
  /** Share of messages that are held up, and for how long at most. */
  readonly delays: number;
  readonly delayMs: number;
  readonly diskMs: number;
  readonly faults: readonly FaultKind[];
  readonly faultEveryMs: number;
  /** Share of acquisitions that are followed by a fault at a boundary: at once, at the renewal, at the expiry. */
  readonly bias: number;
  /** Share of effects that are held up between check and write. */
  readonly lateEffects: number;
  /** Disks that lose acknowledged grants of duties at a restart. Tokens are then judged at the gate only. */
  readonly areDisksLying: boolean;
  readonly successors: number;
  readonly rivals: boolean;
  /** Share of boxes that get no new bundle before the healing. */
  readonly leftBehind: number;
  /** A careless edit: T is lowered within the epoch, box by box, from this time on. Infinity: not. */
  readonly lowersLeaseAtMs: number;
}

export const rho = 0.01;
export const renewMs = 500;
export const retryMs = 120;

export function drawOptions(random: Random): LeaseWorldOptions {
  const voters = random.chance(0.12) ? 1 : random.chance(0.6) ? 3 : 5;
  const agents = Math.max(voters + random.below(3), 2);
  const isDriftBeyond = random.chance(0.06);
  const bound = isDriftBeyond ? 5 * rho : rho;
  const isDrifting = random.chance(0.7);
  const faults = faultKinds.filter(() => random.chance(0.4));
  const isRough = random.chance(0.6);
  return {
    agents,
    voters,
    witness: agents > 2 && random.chance(0.2),
    cells: random.chance(0.15) ? 2 : 1,
    duties: 1 + random.below(2),
    processes: random.below(2),
    permits: random.chance(0.3) ? 1 : 0,
    leaseMs: 2000,
    guardMs: random.chance(0.3) ? random.between(8, 30) : random.between(50, 150),
    lingerMs: random.between(3000, 6000),
    faultPhaseMs: random.between(12_000, 25_000),
    driftRate: Array.from({ length: agents }, () =>
      !isDrifting ? 0 : random.chance(0.6) ? (random.chance(0.5) ? bound : -bound) : random.between(-bound, bound),
    ),
    isDriftBeyond,
    latencyMs: random.between(0.1, 3),
    jitterMs: random.between(0.05, 2),
    loss: isRough && random.chance(0.6) ? random.between(0, 0.3) : 0,
    duplication: isRough && random.chance(0.5) ? random.between(0, 0.2) : 0,
    delays: isRough && random.chance(0.6) ? random.between(0, 0.15) : 0,
    delayMs: random.chance(0.5) ? random.between(20, 300) : random.between(300, 2500),
    diskMs: random.chance(0.7) ? random.between(0.2, 8) : random.between(8, 80),
    faults: faults.length === 0 ? ['cut'] : faults,
    faultEveryMs: random.between(300, 3000),
    bias: random.chance(0.6) ? random.between(0, 0.6) : 0,
    lateEffects: random.chance(0.4) ? random.between(0, 0.08) : 0,
    areDisksLying: random.chance(0.05),
    successors: random.chance(0.3) ? 1 + random.below(2) : 0,
    rivals: random.chance(0.3),
    leftBehind: random.chance(0.4) ? random.between(0, 0.5) : 0,
    lowersLeaseAtMs: random.chance(0.1) ? random.between(2000, 10_000) : Number.POSITIVE_INFINITY,
  };
}
