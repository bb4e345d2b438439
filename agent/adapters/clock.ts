import { type Instant, instant, type WallTime, wallTime } from '../base/time.ts';
import type { ClockPort } from '../driver/ports.ts';

/** setTimeout takes at most 2^31 - 1 ms; a later wake-up is re-armed on the way. */
const longestTimerMs = 2_000_000_000;
/** A box whose clock says an earlier year has lost its battery, not its place in history. */
const earliestPlausibleWall = Date.UTC(2025, 0, 1);
/** The wall clock moved against the monotonic one by more than this between two reads: somebody set it. */
const jumpMs = 2_000;
/** After a jump the wall clock is trusted again when it ran straight for this long. */
const settleMs = 60_000;

/** The box's own clocks. Monotonic time since process start; one armed wake-up at a time. */
export class SystemClock implements ClockPort {
  readonly #wake: () => void;
  #timer: NodeJS.Timeout | undefined;

  constructor(wake: () => void) {
    this.#wake = wake;
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
