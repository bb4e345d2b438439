import type { AgentIndex, DutyIndex } from '../../base/ids.ts';
import { type Instant, type WallTime, wallTime } from '../../base/time.ts';
import { CheckpointShelf, maxCheckpointBytes } from './checkpoint.ts';
import type { Checkpoint } from './duty.ts';
import type { DutyOutput } from './duty-output.ts';
import { type Hand, isHeld } from './hand.ts';

/**
 * How far the work has come: kept here, replicated to the next in rank, handed over, written down.
 *
 * Guaranteed: a term is durable before the first progress under it. Not guaranteed: that a successor has the last word;
 * it has what was taken up to `checkpointEveryMs` before, and the way there.
 */
export class Progress {
  readonly #shelf: CheckpointShelf;

  constructor(restored: readonly Checkpoint[]) {
    this.#shelf = new CheckpointShelf(restored);
  }

  get(duty: DutyIndex): Checkpoint | undefined {
    return this.#shelf.get(duty);
  }

  /**
   * The term is durable with the work's last state under it, before the first progress: a site that loses all power
   * must not count from one again while the coordinator remembers higher terms.
   */
  keepTerm(hand: Hand, out: DutyOutput[]): void {
    const duty = hand.spec.index;
    const last = this.#shelf.get(duty);
    hand.sequence = 0;
    const checkpoint: Checkpoint = {
      duty,
      term: hand.term,
      sequence: 0,
      takenAt: last?.takenAt ?? wallTime(0),
      data: last?.data ?? nothing,
    };
    if (!this.#shelf.keep(checkpoint)) return;
    hand.replication?.take(checkpoint);
    hand.unsaved = false;
    out.push({ kind: 'save-checkpoint', checkpoint });
  }

  /** Progress of a duty that we hold: saved here at once, replicated at its own pace. Too large: refused, and said. */
  taken(hand: Hand, data: Uint8Array, wall: WallTime, out: DutyOutput[]): void {
    const duty = hand.spec.index;
    if (data.length > maxCheckpointBytes) {
      out.push({ kind: 'checkpoint-refused', duty, bytes: data.length });
      return;
    }
    hand.sequence++;
    const checkpoint: Checkpoint = { duty, term: hand.term, sequence: hand.sequence, takenAt: wall, data };
    if (!this.#shelf.keep(checkpoint)) return;
    hand.replication?.take(checkpoint);
    out.push({ kind: 'save-checkpoint', checkpoint });
  }

  /** A peer's checkpoint of a duty that we may carry one day. */
  received(now: Instant, hand: Hand, checkpoint: Checkpoint, out: DutyOutput[]): void {
    if (!isHeld(hand)) hand.term = Math.max(hand.term, checkpoint.term);
    if (this.#shelf.keep(checkpoint)) this.#save(now, hand, checkpoint, out);
  }

  replicate(now: Instant, hand: Hand, replicas: () => readonly AgentIndex[], out: DutyOutput[]): void {
    const { replication } = hand;
    if (replication === undefined || replication.deadline(now) > now) return;
    const to = replicas();
    const checkpoint = replication.flush(now, to);
    if (!checkpoint) return;
    for (const agent of to) out.push({ kind: 'send', to: agent, message: { kind: 'checkpoint', checkpoint } });
  }

  /** The last word goes to the successor, past all pacing. */
  handOver(hand: Hand, to: AgentIndex, out: DutyOutput[]): void {
    const checkpoint = this.#shelf.get(hand.spec.index);
    if (checkpoint) out.push({ kind: 'send', to, message: { kind: 'handover', checkpoint } });
  }

  /** A replica that is only in memory goes to the disk before the process ends. */
  flush(hand: Hand, out: DutyOutput[]): void {
    const replica = hand.unsaved ? this.#shelf.get(hand.spec.index) : undefined;
    if (replica !== undefined) out.push({ kind: 'save-checkpoint', checkpoint: replica });
    hand.unsaved = false;
  }

  /**
   * What a peer sends twice a second is in memory at once, and on our disk only so often: its holder's own disk has it
   * all, and who takes over writes it down first. Else a box that carries nothing would flush its disk all day.
   */
  #save(now: Instant, hand: Hand, checkpoint: Checkpoint, out: DutyOutput[]): void {
    const { saved } = hand;
    if (saved !== undefined && saved.term === checkpoint.term && now - saved.at < saveReplicaMs) {
      hand.unsaved = true;
      return;
    }
    hand.saved = { at: now, term: checkpoint.term };
    hand.unsaved = false;
    out.push({ kind: 'save-checkpoint', checkpoint });
  }
}

/** A duty that never told how far it had come. */
const nothing = new Uint8Array();
/** A replica of a new term is written down at once, its progress this often. */
const saveReplicaMs = 5_000;
