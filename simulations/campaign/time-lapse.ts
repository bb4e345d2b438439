import { type FaultEvent, touches } from '../faults/fault.ts';

/** A stretch of the calendar that is played in full, and where it stands in the run; milliseconds. */
export interface Window {
  readonly fromMs: number;
  readonly toMs: number;
  readonly runFromMs: number;
}

/** Played in full before each fault, and after the end of each: longer than the longest hold of an agent that returns. */
export const leadMs = 60_000;
export const tailMs = 12 * 60_000;

/**
 * A month of a plant is quiet for most of its hours, and quiet hours tell nothing. The run plays every fault in full,
 * from a minute before it until twelve minutes after its end, and joins these windows without the hours between. For the
 * agents no time passes in between: memories, holds and budgets go on as they stood, and wall clocks do not jump. What
 * may take longer than a window (an hourly budget of repairs that is spent) is played too strictly rather than too well.
 */
export class TimeLapse {
  readonly windows: readonly Window[];
  readonly faults: readonly FaultEvent[];
  readonly runMs: number;
  readonly spanMs: number;

  /** `faults` in calendar time, `spanMs` of calendar; `settleMs`: before it the boxes of a run only start. */
  constructor(faults: readonly FaultEvent[], spanMs: number, settleMs: number, inFull: boolean) {
    this.spanMs = spanMs;
    const windows: { fromMs: number; toMs: number; runFromMs: number }[] = [];
    const open = (fromMs: number, toMs: number): void => {
      const last = windows.at(-1);
      if (last && fromMs <= last.toMs) last.toMs = Math.max(last.toMs, toMs);
      else windows.push({ fromMs, toMs, runFromMs: 0 });
    };
    open(0, inFull ? spanMs : settleMs + leadMs);
    if (!inFull) {
      for (const fault of faults) {
        const ends = Math.max(fault.atMs, touches(fault).untilMs);
        open(Math.max(0, fault.atMs - leadMs), ends + tailMs);
      }
    }
    let runMs = 0;
    for (const window of windows) {
      window.runFromMs = runMs;
      runMs += window.toMs - window.fromMs;
    }
    this.windows = windows;
    this.runMs = runMs;
    // What the calendar has in the first seconds waits until the boxes have started.
    this.faults = faults
      .map((fault) => ({ ...fault, atMs: Math.max(settleMs, this.runOf(fault.atMs)) }))
      .toSorted((a, b) => a.atMs - b.atMs);
  }

  runOf(calendarMs: number): number {
    const window = this.windows.findLast(({ fromMs }) => fromMs <= calendarMs) ?? this.windows[0]!;
    return window.runFromMs + Math.min(calendarMs, window.toMs) - window.fromMs;
  }

  calendarOf(runMs: number): number {
    const window = this.windows.findLast(({ runFromMs }) => runFromMs <= runMs) ?? this.windows[0]!;
    return window.fromMs + runMs - window.runFromMs;
  }

  /** `day 3, 14:05:10`. */
  nameOf(runMs: number): string {
    const s = Math.floor(this.calendarOf(runMs) / 1000);
    const two = (n: number): string => String(Math.floor(n)).padStart(2, '0');
    return `day ${Math.floor(s / 86_400) + 1}, ${two((s / 3_600) % 24)}:${two((s / 60) % 60)}`;
  }
}
