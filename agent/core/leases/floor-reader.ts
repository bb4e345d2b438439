import type { AgentIndex } from '../../base/ids.ts';
import { after, type Instant, never } from '../../base/time.ts';
import type { Floors, FloorsWanted } from './ballot.ts';
import { isCounter } from './fencing-token.ts';
import { quorumOf } from './options.ts';

export type FloorReaderOutput =
  | { readonly kind: 'send'; readonly to: AgentIndex; readonly message: FloorsWanted }
  /** By lease: the largest counter that any of a majority of voters ever granted; 0 where none was. Said once. */
  | { readonly kind: 'read'; readonly maxCounters: readonly number[] };

const slowestMs = 2_000;

/**
 * Reads once, for whoever stands where effects happen, what a majority of the voters knows: a gateway that begins takes
 * that as its floor before it lets anything pass.
 *
 * Guaranteed: every token that was ever used was granted by a majority, and two majorities share a voter, so nothing
 * older than the newest right at the time of the question gets past the floor. Not guaranteed: an answer; without a
 * majority it asks on, ever more slowly, and the gateway stays shut. Only voters answer that have their memory; a mute
 * one may, since it promises nothing with it.
 *
 * `now` is the monotonic clock.
 */
export class FloorReader {
  readonly #cell: number;
  readonly #epoch: number;
  readonly #voters: readonly AgentIndex[];
  readonly #leases: number;
  readonly #told: (readonly number[] | undefined)[];
  #round = 0;
  #askAt: Instant = never;
  #everyMs: number;
  #isRead = false;

  constructor(parts: { cell: number; epoch: number; voters: readonly AgentIndex[]; leases: number; retryMs: number }) {
    this.#cell = parts.cell;
    this.#epoch = parts.epoch;
    this.#voters = parts.voters;
    this.#leases = parts.leases;
    this.#everyMs = parts.retryMs;
    this.#told = parts.voters.map(() => undefined);
  }

  /** How many voters have answered, of how many that are needed. */
  get progress(): { readonly read: number; readonly needed: number } {
    return { read: this.#told.filter((each) => each !== undefined).length, needed: quorumOf(this.#voters.length) };
  }

  get isRead(): boolean {
    return this.#isRead;
  }

  start(now: Instant, out: FloorReaderOutput[]): void {
    if (this.#voters.length > 0) this.#ask(now, out);
  }

  told(from: AgentIndex, message: Floors, out: FloorReaderOutput[]): void {
    const position = this.#voters.indexOf(from);
    if (this.#isRead || position < 0 || message.cell !== this.#cell || message.epoch !== this.#epoch) return;
    if (message.round > this.#round || message.maxCounters.length !== this.#leases) return;
    this.#told[position] = message.maxCounters;
    const { read, needed } = this.progress;
    if (read < needed) return;
    this.#isRead = true;
    this.#askAt = never;
    const maxCounters = new Array<number>(this.#leases).fill(0);
    for (const told of this.#told) {
      told?.forEach((counter, lease) => {
        if (isCounter(counter)) maxCounters[lease] = Math.max(maxCounters[lease]!, counter);
      });
    }
    out.push({ kind: 'read', maxCounters });
  }

  deadline(): Instant {
    return this.#askAt;
  }

  tick(now: Instant, out: FloorReaderOutput[]): void {
    if (this.#askAt <= now) this.#ask(now, out);
  }

  #ask(now: Instant, out: FloorReaderOutput[]): void {
    const message: FloorsWanted = {
      kind: 'lease-floors-wanted',
      cell: this.#cell,
      epoch: this.#epoch,
      round: ++this.#round,
    };
    this.#askAt = after(now, this.#everyMs);
    this.#everyMs = Math.min(this.#everyMs * 1.5, slowestMs);
    for (const [position, to] of this.#voters.entries()) {
      if (this.#told[position] === undefined) out.push({ kind: 'send', to, message });
    }
  }
}
