import type { Instant } from '../../base/time.ts';
import { after, instant } from '../../base/time.ts';
import type { Truth } from '../../base/truth.ts';
import type { CheckSpec, CheckStatus, Limit } from './check.ts';
import { DwellLatch } from './dwell.ts';
import { FlapDetector } from './flap-detector.ts';

/** What people see: outside its `only-in` a check is idle, and ok, warn and crit are all false. */
export type ShownStatus = CheckStatus | 'idle';

/** One judgement of one reading, before any dwell. */
export interface Judgement {
  readonly warn: boolean | undefined;
  readonly crit: boolean | undefined;
}

/**
 * One check's state on the box that judges it: limits with deadband, dwell, idleness, flapping.
 *
 * Two latches, one for each limit; a critical reading is bad for both. The status is the worst latch that is active.
 * UNKNOWN is at once, since a person must see blindness when it begins, and it moves no latch: once sight returns,
 * the check goes on where it stood. Nothing is carried over from a former holder: what it saw, it saw.
 */
export class CheckState {
  readonly #spec: CheckSpec;
  readonly #warn: DwellLatch;
  readonly #crit: DwellLatch;
  readonly #flap: FlapDetector;
  #graceUntil: Instant;
  #status: ShownStatus = 'unknown';
  #known = false;
  #idle = false;
  #value: number | undefined;
  #text = 'not observed yet';

  /** Watching starts now. */
  constructor(now: Instant, spec: CheckSpec) {
    this.#spec = spec;
    this.#warn = new DwellLatch(spec.raise, spec.clear);
    this.#crit = new DwellLatch(spec.raise, spec.clear);
    this.#flap = new FlapDetector(spec.everyMs);
    this.#graceUntil = after(now, spec.graceMs);
  }

  get status(): ShownStatus {
    return this.#status;
  }

  get flapping(): boolean {
    return this.#flap.flapping;
  }

  get value(): number | undefined {
    return this.#value;
  }

  get text(): string {
    return this.#text;
  }

  /** First bad reading of what stands now (critical before warning); undefined when nothing does. */
  get firstBadAt(): Instant | undefined {
    if (this.#crit.active) return this.#crit.firstBadAt;
    return this.#warn.active ? this.#warn.firstBadAt : undefined;
  }

  /** First bad reading of the run that stands or may yet come to stand; undefined while readings are good. */
  get badSince(): Instant | undefined {
    return this.firstBadAt ?? this.#crit.firstBadAt ?? this.#warn.firstBadAt;
  }

  get deadline(): Instant {
    return instant(Math.min(this.#warn.deadline, this.#crit.deadline, this.#flap.deadline));
  }

  /** A reading with its own status (plugins, tcp, http …), or a value for the limits, or both: the worse counts. */
  observe(now: Instant, status: CheckStatus | undefined, value: number | undefined, text: string): boolean {
    const usable = value !== undefined && !Number.isNaN(value) ? value : undefined;
    this.#value = usable;
    this.#text = text;
    if (status === 'unknown' || (status === undefined && usable === undefined)) return this.#judge(now, undefined);
    const crit = status === 'crit' || beyond(this.#spec.crit, usable, this.#crit.active ? this.#spec.deadband : 0);
    const warn =
      crit || status === 'warn' || beyond(this.#spec.warn, usable, this.#warn.active ? this.#spec.deadband : 0);
    return this.#judge(now, now < this.#graceUntil ? { warn: false, crit: false } : { warn, crit });
  }

  /** Applicable or not (`only-in`). Unknown goes on judging: a lost state signal must not hide a fault. */
  setApplicable(now: Instant, applicable: Truth): boolean {
    const idle = applicable === 'false';
    if (idle === this.#idle) return false;
    this.#idle = idle;
    if (idle) {
      this.#warn.reset();
      this.#crit.reset();
      this.#known = false;
    } else {
      // The machine starts: what is bad in its first moments is its running up.
      this.#graceUntil = after(now, this.#spec.graceMs);
    }
    return this.#settle(now);
  }

  tick(now: Instant): boolean {
    const known = this.#known;
    if (known) {
      this.#warn.tick(now);
      this.#crit.tick(now);
    }
    const flap = this.#flap.tick(now);
    return this.#settle(now) || flap;
  }

  #judge(now: Instant, judgement: Judgement | undefined): boolean {
    if (this.#idle) return false;
    this.#known = judgement !== undefined;
    this.#warn.observe(now, judgement?.warn);
    this.#crit.observe(now, judgement?.crit);
    return this.#settle(now);
  }

  #settle(now: Instant): boolean {
    const next = this.#next();
    if (next === this.#status) return false;
    this.#status = next;
    // Blindness and idleness are no flutter: only what was judged counts.
    if (next !== 'idle' && next !== 'unknown') this.#flap.moved(now, next === 'ok' ? 0 : next === 'warn' ? 1 : 2);
    return true;
  }

  #next(): ShownStatus {
    if (this.#idle) return 'idle';
    if (!this.#known) return 'unknown';
    return this.#crit.active ? 'crit' : this.#warn.active ? 'warn' : 'ok';
  }
}

/** Beyond the limit, or not yet back by the deadband (a fraction of the limit) once it was. */
function beyond(limit: Limit | undefined, value: number | undefined, deadband: number): boolean {
  if (limit === undefined || value === undefined) return false;
  const back = Math.abs(limit.value) * deadband;
  return limit.side === 'above' ? value > limit.value - back : value < limit.value + back;
}
