import { openSync, readSync } from 'node:fs';
import type { Stamp } from './protocol.ts';

/** CLOCK_MONOTONIC in milliseconds; the same number in every process of the box. */
export const monotonic = (): number => {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * 1e3 + nanoseconds / 1e6;
};

/** What one look at the three clocks gives, in milliseconds. */
export interface Clocks {
  /** Monotonic, before and after the other two were read: the process may be put aside in between. */
  readonly before: number;
  readonly after: number;
  /** Time since boot, suspend included; undefined without procfs. The kernel writes hundredths, so up to 10 ms more. */
  readonly uptime: number | undefined;
  readonly wall: number;
}

export function readClocks(): Clocks {
  const before = monotonic();
  const uptime = readUptime();
  const wall = Date.now();
  return { before, after: monotonic(), uptime, wall };
}

let file: number | undefined;
const text = Buffer.alloc(64);

/** Kept open and read in place: one system call, as often as ten times a second. */
function readUptime(): number | undefined {
  try {
    file ??= openSync('/proc/uptime', 'r');
    const length = readSync(file, text, 0, text.length, 0);
    const ms = Number.parseFloat(text.toString('latin1', 0, length)) * 1000;
    // Not a number would make every comparison with it false, and no deadline would ever come.
    return Number.isFinite(ms) ? ms : undefined;
  } catch {
    // Not Linux: two clocks remain.
    return undefined;
  }
}

/** For a message with an instant in it: what the other clocks say at most, less the monotonic one. */
export const stampOf = (clocks: Clocks): Stamp => ({
  boot: clocks.uptime === undefined ? undefined : clocks.uptime + uptimeGrainMs - clocks.before,
  wall: clocks.wall + wallGrainMs - clocks.before,
});

const uptimeGrainMs = 10;
const wallGrainMs = 1;

/**
 * How much time has passed for a right to run: the monotonic clock, plus every jump by which one of the other two ran
 * ahead of it. The monotonic clock stands still in suspend, and a paused virtual machine finds its wall clock set
 * forward afterwards; a right that slept through must count as over. A clock set back gives nothing back.
 *
 * Each look yields bounds of an offset that is constant as long as nobody sleeps, and only what exceeds the last upper
 * bound counts, so rounding and being put aside between two readings add nothing, however often one looks. (Advances
 * summed as they are would: a clock of 10 ms grain looked at every millisecond runs at nearly twice the speed.)
 */
export class ElapsedTime {
  #bootMost: number;
  #wallMost: number;
  #jumped = 0;

  constructor(clocks: Clocks) {
    const { boot, wall } = stampOf(clocks);
    this.#bootMost = boot ?? Number.POSITIVE_INFINITY;
    this.#wallMost = wall ?? Number.POSITIVE_INFINITY;
  }

  /** Elapsed milliseconds, on the monotonic clock's origin. */
  read(clocks: Clocks): number {
    const { boot, wall } = stampOf(clocks);
    const bootJump = (clocks.uptime ?? Number.NEGATIVE_INFINITY) - clocks.after - this.#bootMost;
    const wallJump = clocks.wall - clocks.after - this.#wallMost;
    this.#jumped += Math.max(0, bootJump, wallJump);
    // Time since boot is never set back; a look that was put aside only gives a wider bound.
    if (bootJump > 0) this.#bootMost = boot ?? this.#bootMost;
    else this.#bootMost = Math.min(this.#bootMost, boot ?? this.#bootMost);
    this.#wallMost = wall ?? this.#wallMost;
    return clocks.after + this.#jumped;
  }

  /** What `until` of the sender means here, on the scale of `read`: less by what was slept through on the way. */
  deadline(until: number, stamp: Stamp, clocks: Clocks): number {
    const elapsed = this.read(clocks);
    const boot = stamp.boot === undefined ? 0 : (clocks.uptime ?? Number.NEGATIVE_INFINITY) - clocks.after - stamp.boot;
    const wall = stamp.wall === undefined ? 0 : clocks.wall - clocks.after - stamp.wall;
    return elapsed + (until - clocks.after) - Math.max(0, boot, wall);
  }
}
