import { type Instant, instant } from '../../base/time.ts';

/** An answer that took this much longer than twice the one before is looked into at once. */
const jumpMs = 20;
/** So late, so many times in a row, is no hiccup. */
const lateMs = 1_000;
const lateTimes = 3;

/**
 * How old the word of a server is that speaks unasked, by our own clock alone: a cheap question is asked now and then, and
 * whatever comes meanwhile is taken to be on its way for as long as the answers are. A value is then as old as a question
 * would have been that brought it, which is what it is where devices are polled.
 *
 * Guaranteed, where answers and news come on one ordered stream: nothing is called newer than it is, but for the time
 * between two questions, when the server has just begun to be late; and nothing is called older than the last question
 * that has been answered. `asOf` never goes back. A server that hears late but speaks promptly is held late as well:
 * only its own clock could tell the two apart.
 *
 * A single late answer is followed by the next question at once, so a hiccup colours nothing for longer than it lasted.
 *
 * Rejected: the server's stamp of the message (`publishTime`) against our clock. It costs no question, but clocks on
 * machines are hours off, are set while they run, or count whole seconds, and each of these would look like lateness.
 */
export class AnswerAge {
  readonly #everyMs: number;
  #asked: Instant | undefined;
  #tookMs = 0;
  readonly #last: number[] = [];
  #isLate = false;

  /** `everyMs`: from question to question. */
  constructor(everyMs: number) {
    this.#everyMs = everyMs;
  }

  /** A question is on its way; there is one at a time. */
  ask(now: Instant): void {
    this.#asked = now;
  }

  /** The answer has come. Returns for how many milliseconds the next question waits. */
  answered(now: Instant): number {
    const tookMs = now - (this.#asked ?? now);
    const jumped = tookMs > 2 * this.#tookMs + jumpMs;
    this.#asked = undefined;
    this.#tookMs = tookMs;
    this.#last.push(tookMs);
    if (this.#last.length > lateTimes) this.#last.shift();
    return jumped ? 0 : Math.max(0, this.#everyMs - tookMs);
  }

  /** When that was said, at the latest, which arrives now. */
  asOf(now: Instant): Instant {
    return instant(Math.min(now - this.#tookMs, this.#asked ?? now));
  }

  /** Whether the server has become steadily late since the last call, or prompt again; undefined: no news. */
  news(): { readonly late: boolean; readonly ms: number } | undefined {
    const ms = Math.round(this.#tookMs);
    const late = this.#isLate
      ? this.#tookMs >= lateMs / 2
      : this.#last.length === lateTimes && this.#last.every((took) => took >= lateMs);
    if (late === this.#isLate) return undefined;
    this.#isLate = late;
    return { late, ms };
  }
}
