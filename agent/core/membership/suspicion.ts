import type { AgentIndex } from '../../base/ids.ts';
import { after, type Instant } from '../../base/time.ts';
import type { MembershipOptions } from './options.ts';

/**
 * A public suspicion of one member at one (boot, incarnation), with Lifeguard's dynamic time-out (§IV.B): it starts
 * long and falls with each *independent* confirmation towards the minimum,
 * max − (max − min)·log(C + 1)/log(K + 1). One slow accuser alone has to wait; several need not.
 *
 * K is at most half of those who could still confirm. Were it all of them, the crash of a second member would
 * withhold its confirmation and make the death of the first one late.
 */
export class Suspicion {
  readonly bootCounter: number;
  readonly incarnation: number;
  readonly #minMs: number;
  readonly #maxMs: number;
  readonly #needed: number;
  readonly #accusers: AgentIndex[];
  #startedAt: Instant;
  #timeoutMs: number;

  /** `alive` counts the members that are not known dead, oneself and the suspect included. */
  constructor(
    now: Instant,
    about: { bootCounter: number; incarnation: number },
    origin: AgentIndex,
    alive: number,
    options: MembershipOptions,
  ) {
    this.#startedAt = now;
    this.bootCounter = about.bootCounter;
    this.incarnation = about.incarnation;
    this.#minMs = options.suspicionMult * Math.max(1, Math.log10(Math.max(1, alive))) * options.probeIntervalMs;
    this.#maxMs = this.#minMs * options.suspicionMaxFactor;
    this.#needed = Math.max(0, Math.min(options.confirmations, Math.ceil((alive - 2) / 2)));
    this.#accusers = [origin];
    this.#timeoutMs = this.#reckoned();
  }

  /** Distinct accusers beyond the first. */
  get confirmations(): number {
    return this.#accusers.length - 1;
  }

  get accusers(): readonly AgentIndex[] {
    return this.#accusers;
  }

  get timeoutMs(): number {
    return this.#timeoutMs;
  }

  get deadline(): Instant {
    return after(this.#startedAt, this.#timeoutMs);
  }

  /** This accuser would be new, and its word would still shorten the time-out. */
  isNew(origin: AgentIndex): boolean {
    return this.#accusers.length <= this.#needed && !this.#accusers.includes(origin);
  }

  /** True when this accuser is new and its word still shortens the time-out: only then is it worth passing on. */
  confirm(origin: AgentIndex): boolean {
    if (!this.isNew(origin)) return false;
    this.#accusers.push(origin);
    this.#timeoutMs = this.#reckoned();
    return true;
  }

  /** The suspect spoke to us itself: our own clock on it starts anew. The suspicion stands until it is refuted. */
  heard(now: Instant): void {
    this.#startedAt = now;
  }

  /** We slept, it did not fail: time that we were not running is not held against it. */
  postpone(ms: number): void {
    this.#startedAt = after(this.#startedAt, ms);
  }

  #reckoned(): number {
    if (this.#needed === 0) return this.#minMs;
    const fraction = Math.log(this.confirmations + 1) / Math.log(this.#needed + 1);
    return Math.max(this.#minMs, this.#maxMs - (this.#maxMs - this.#minMs) * fraction);
  }
}
