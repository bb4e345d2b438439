import { type Instant, instant, never } from '../../base/time.ts';

const past: Instant = instant(Number.NEGATIVE_INFINITY);

/**
 * One lease at the agent that holds it or tries to: what may be done now, by which token (rules 6 to 8).
 *
 * The window of a token ends T·(1−2ρ) after the q-th largest send time among the voters that acknowledged *this* token:
 * at that instant q voters still exclude everybody else, each by a promise that began after the send. Times of receipt
 * say nothing, an answer may have been on its way for a second; and voters that granted another token do not count.
 *
 * A holder whose token a voter refuses (that voter restarted, or had promised itself elsewhere for a while) proposes a
 * larger one beside it, and changes over once that one has its own quorum, without a gap. Never back: where effects
 * happen, the old one is refused from then on.
 */
export class Lease {
  readonly index: number;
  /** For permits: only a known completion releases, a lapse does not. */
  readonly isPermit: boolean;
  /** The token in use or tried; 0: none. */
  counter = 0;
  /** The token tried beside it; 0: none. */
  next = 0;
  /** End of the window of `counter`; no effect begins within the guard before it. */
  validUntil: Instant = past;
  /** Its holder was told `acquired`, and neither lost nor released it since. */
  held = false;
  /** Lost or to be released: no effect begins, but what has begun must end before voters may be told. */
  ending: 'no' | 'lost' | 'released' = 'no';
  /** The latest instant, by the monotonic clock, until which `ending` waits for effects. */
  endsBy: Instant = never;
  effects = 0;
  /** The first token of this tenure: completions of effects under older ones are no news. */
  since = 0;

  wanted = false;
  delayMs = 0;
  wakeAt: Instant = never;
  triedAt: Instant = past;
  /** Candidacies in a row that came to nothing. */
  failures = 0;
  /** The largest counter that any voter named, or that was ever proposed here. */
  known = 0;

  protected readonly sentAt: Float64Array;
  protected readonly nextSentAt: Float64Array;
  /** Until when each voter keeps it for somebody else. */
  readonly #takenUntil: Float64Array;
  readonly #scratch: Float64Array;

  constructor(index: number, voters: number, isPermit: boolean) {
    this.index = index;
    this.isPermit = isPermit;
    this.sentAt = new Float64Array(voters).fill(past);
    this.nextSentAt = new Float64Array(voters).fill(past);
    this.#takenUntil = new Float64Array(voters).fill(past);
    this.#scratch = new Float64Array(voters);
  }

  /** Proposes a counter that was never proposed here before. */
  propose(now: Instant): void {
    this.counter = ++this.known;
    this.next = 0;
    this.validUntil = past;
    this.triedAt = now;
    this.ending = 'no';
    this.endsBy = never;
    this.wakeAt = never;
    this.sentAt.fill(past);
    this.nextSentAt.fill(past);
    this.#takenUntil.fill(past);
  }

  proposeBeside(): void {
    this.next = ++this.known;
    this.nextSentAt.fill(past);
  }

  /** Forgets the tokens for good; the lease leaves the portfolio. */
  drop(wakeAt: Instant): void {
    this.counter = 0;
    this.next = 0;
    this.validUntil = past;
    this.held = false;
    this.ending = 'no';
    this.endsBy = never;
    this.wakeAt = wakeAt;
  }

  acknowledged(voter: number, counter: number, sentAt: number): void {
    const times = counter === this.counter ? this.sentAt : counter === this.next ? this.nextSentAt : undefined;
    if (counter === 0 || times === undefined) return;
    times[voter] = Math.max(times[voter]!, sentAt);
    this.#takenUntil[voter] = past;
  }

  taken(voter: number, until: number): void {
    this.#takenUntil[voter] = until;
  }

  /** What this voter said of the token in use, for people. */
  answerOf(
    voter: number,
    now: Instant,
    leaseMs: number,
  ): { readonly answer: 'granted' | 'taken' | 'silent'; readonly agoMs: number | undefined } {
    const sentAt = this.sentAt[voter] ?? past;
    const agoMs = sentAt === past ? undefined : Math.max(0, now - sentAt);
    if (agoMs !== undefined && agoMs < leaseMs) return { answer: 'granted', agoMs };
    return { answer: (this.#takenUntil[voter] ?? past) > now ? 'taken' : 'silent', agoMs };
  }

  /** How many voters keep it for somebody else now. */
  takenBy(now: Instant): number {
    let count = 0;
    for (const until of this.#takenUntil) if (until > now) count++;
    return count;
  }

  /** When the n-th of those voters is free again, from the first on. */
  takenUntil(now: Instant, n: number): Instant {
    const scratch = this.#scratch;
    let size = 0;
    for (const until of this.#takenUntil) if (until > now) scratch[size++] = until;
    return n > size || n < 1 ? now : instant(scratch.subarray(0, size).sort()[n - 1]!);
  }

  /** The q-th largest send time that voters acknowledged for the current token, or for the one beside it. */
  quorumSentAt(quorum: number, which: 'current' | 'next'): number {
    const scratch = this.#scratch;
    scratch.set(which === 'current' ? this.sentAt : this.nextSentAt);
    scratch.sort();
    return scratch[scratch.length - quorum] ?? past;
  }

  /** The larger token has its quorum: from here on the old one is never used. */
  changeOver(validUntil: Instant): void {
    this.counter = this.next;
    this.next = 0;
    this.sentAt.set(this.nextSentAt);
    this.nextSentAt.fill(past);
    this.validUntil = validUntil;
  }

  /** In the synchronous block of the effect itself: the token to send with it, 0 when it may not begin. */
  mayAct(now: Instant, guardMs: number): number {
    return this.held && this.ending === 'no' && now < this.validUntil - guardMs ? this.counter : 0;
  }
}
