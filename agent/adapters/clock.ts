import { type Instant, instant, type WallTime, wallTime } from '../base/time.ts';
import type { HolderTime } from '../core/leases/elapsed-clock.ts';
import type { ClockPort } from '../driver/ports.ts';
import { ElapsedTime, monotonic, readClocks } from '../supervisor/elapsed.ts';

/** setTimeout takes at most 2^31 - 1 ms; a later wake-up is re-armed on the way. */
const longestTimerMs = 2_000_000_000;
/** A box whose clock says an earlier year has lost its battery, not its place in history. */
const earliestPlausibleWall = Date.UTC(2025, 0, 1);
/** The wall clock moved against the monotonic one by more than this between two reads: somebody set it. */
const jumpMs = 2_000;
/** After a jump the wall clock is trusted again when it ran straight for this long. */
const settleMs = 60_000;

/** Time since boot is a file to be read: between two steps of the core its answer of so long ago will do. */
const uptimeEveryMs = 20;

/**
 * The box's own clocks. Monotonic time since process start; one armed wake-up at a time.
 *
 * `elapsed` is the holder's clock: a little old between two looks at the time since boot, which makes a window end too
 * early, never too late. Whoever is about to act asks `holderTime`, which looks at everything.
 */
export class SystemClock implements ClockPort {
  readonly #wake: () => void;
  readonly #keepsElapsed: boolean;
  /** From this process's monotonic clock to the box's. */
  readonly #origin = monotonic() - performance.now();
  readonly #elapsed = new ElapsedTime(readClocks());
  #uptimeReadAt = 0;
  #timer: NodeJS.Timeout | undefined;

  /** `keepsElapsed`: there are leases here; without any the looks at three clocks are spared. */
  constructor(wake: () => void, options: { readonly keepsElapsed?: boolean } = {}) {
    this.#wake = wake;
    this.#keepsElapsed = options.keepsElapsed ?? true;
  }

  elapsed(): Instant {
    if (!this.#keepsElapsed) return this.now();
    if (performance.now() - this.#uptimeReadAt >= uptimeEveryMs) return this.holderTime().elapsed;
    const at = monotonic();
    return instant(this.#elapsed.read({ before: at, after: at, uptime: undefined, wall: Date.now() }) - this.#origin);
  }

  /** Both of the holder's clocks, now; all three clocks of the box are read. */
  holderTime(): HolderTime {
    const clocks = readClocks();
    this.#uptimeReadAt = performance.now();
    return { elapsed: instant(this.#elapsed.read(clocks) - this.#origin), monotonic: this.now() };
  }

  /** An instant of the elapsed clock as milliseconds of CLOCK_MONOTONIC, if nothing sleeps until then. */
  boxTime(until: Instant): number {
    return monotonic() + (until - this.elapsed());
  }

  now(): Instant {
    return instant(performance.now());
  }

  wall(): WallTime {
    return wallTime(Date.now());
  }

  arm(at: Instant): void {
    clearTimeout(this.#timer);
    // Rounding up: a timer that fires a fraction early would only be armed again.
    const delay = Math.min(longestTimerMs, Math.max(0, Math.ceil(at - performance.now())));
    this.#timer = setTimeout(this.#wake, delay);
  }

  stop(): void {
    clearTimeout(this.#timer);
  }
}

/** Judges whether the wall clock may start schedules. Time in logic is monotonic whatever this says. */
export class ClockTrust {
  #offset: number | undefined;
  #jumpedAt: Instant | undefined;

  judge(now: Instant, wall: WallTime): { readonly trusted: boolean; readonly jumpedByMs: number } {
    const offset = wall - now;
    const jumpedByMs = this.#offset === undefined ? 0 : offset - this.#offset;
    this.#offset = offset;
    if (Math.abs(jumpedByMs) > jumpMs) this.#jumpedAt = now;
    const settled = this.#jumpedAt === undefined || now - this.#jumpedAt >= settleMs;
    return {
      trusted: settled && wall >= earliestPlausibleWall,
      jumpedByMs: Math.abs(jumpedByMs) > jumpMs ? jumpedByMs : 0,
    };
  }
}
