import type { DirectMessage } from '../core/input.ts';

/**
 * When a word of the failure detector also goes as a datagram.
 *
 * A stream over TCP is silent for 200 ms when a packet is lost, and for twice, four, eight times as long when its
 * repetitions are lost, too; and all that is said meanwhile waits. On a wire that loses a quarter of all packets, the
 * members at its ends hold each other dead now and then. A datagram waits for nobody: one gets through where the next is lost.
 *
 * In the calm none is sent: an answer comes within a few milliseconds. Only who asked over the stream and has heard
 * nothing over it for `doubtAfterMs` says what it says twice; and who was asked by datagram answers both ways for a
 * while, since it cannot know that its own words do not arrive. Its own questions do not go along: two who ask each other
 * more often than once in that while (preset fast) would call each other for ever after one hiccup. Both copies may arrive: the detector takes each of them
 * as often as it comes (what is said is ordered by numbers, not by arrival).
 *
 * Bounded: `perSecond` to one peer, so that whoever does not read is not flooded by the way.
 *
 * Times are milliseconds of one monotonic clock.
 */
export class SecondPath {
  /** Since when a question waits for a word over the stream. */
  #askedAt: number | undefined;
  #calledUntil = Number.NEGATIVE_INFINITY;
  #room = burst;
  #roomAt = 0;

  /** This is being said over the stream now. True: as a datagram, too. */
  takes(now: number, message: DirectMessage): boolean {
    const asks = isQuestion(message);
    if (asks) this.#askedAt ??= now;
    return (this.isInDoubt(now) || (!asks && now < this.#calledUntil)) && this.#hasRoom(now);
  }

  /** The stream owes us an answer. */
  isInDoubt(now: number): boolean {
    return this.#askedAt !== undefined && now - this.#askedAt >= doubtAfterMs;
  }

  #hasRoom(now: number): boolean {
    this.#room = Math.min(burst, this.#room + ((now - this.#roomAt) / 1_000) * perSecond);
    this.#roomAt = now;
    if (this.#room < 1) return false;
    this.#room--;
    return true;
  }

  /** The peer said something over the stream. */
  heard(): void {
    this.#askedAt = undefined;
  }

  /** The peer said this beside the stream. */
  called(now: number, message: DirectMessage): void {
    if (isQuestion(message)) this.#calledUntil = now + calledForMs;
  }
}

const isQuestion = ({ kind }: DirectMessage): boolean => kind === 'ping' || kind === 'ping-request';

/**
 * Probes, their answers, and news of members: small, and harmless when they come twice or late. Greetings are not among
 * them, since their order tells a restart from a twin; neither is what leases say.
 */
export const isForDatagrams = ({ kind }: DirectMessage): boolean =>
  kind === 'ping' || kind === 'ping-request' || kind === 'ack' || kind === 'nack' || kind === 'gossip';

/**
 * A healthy round trip takes a few milliseconds, one between busy processes some tens. At 50 the third ping of a probe is
 * the first that goes twice (preset lan). With 20 it was the second: where nothing was lost but every process stood still
 * for 20 ms now and then, a box sent a quarter more bytes for nothing; now 4 % more.
 */
export const doubtAfterMs = 50;
/** An answer comes at once; that of a helper, who asks first, within its probe. */
export const calledForMs = 100;

/** Several times what probes, helpers and news come to while half of a site is doubted. */
export const perSecond = 200;
const burst = 50;
