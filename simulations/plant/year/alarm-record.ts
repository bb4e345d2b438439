import { instant } from '../../../agent/base/time.ts';
import type { DwellLatch } from '../../../agent/core/health/dwell.ts';

/** When an alarm came and went; minutes of the year. */
export interface Raised {
  readonly from: number;
  /** Undefined: it still stands. */
  to: number | undefined;
  /** A person looked and saw nothing. */
  dismissed: boolean;
}

/** One alarm with dwell, and every time that it stood. */
export class AlarmRecord {
  readonly raised: Raised[] = [];
  readonly #latch: DwellLatch;

  constructor(latch: DwellLatch) {
    this.#latch = latch;
  }

  get active(): boolean {
    return this.#latch.active;
  }

  observe(minute: number, bad: boolean): void {
    if (!this.#latch.observe(instant(minute), bad)) return;
    if (this.#latch.active) this.raised.push({ from: minute, to: undefined, dismissed: false });
    else this.raised.at(-1)!.to = minute;
  }

  end(minute: number, dismissed = false): void {
    if (!this.#latch.active) return;
    const last = this.raised.at(-1)!;
    last.to = minute;
    last.dismissed = dismissed;
    this.#latch.reset();
  }
}
