import type { AgentId, AgentIndex } from '../../base/ids.ts';
import type { Random } from '../../base/random.ts';
import { type Instant, instant, never } from '../../base/time.ts';
import type { LeaseMessage } from './ballot.ts';
import { CellLeases, type CellOutput, type LeaseView, type Right } from './cell-leases.ts';
import type { CellPlan } from './cell-plan.ts';
import type { CellRecord, StoredEpoch } from './cell-record.ts';
import type { HolderTime } from './elapsed-clock.ts';
import type { FencingToken } from './fencing-token.ts';
import type { SessionId } from './session.ts';

/**
 * All leases that concern one agent: a {@link CellLeases} for each cell in which it votes or may hold something. Leases
 * are named (`duty:press-7/poll`, `guard:line-3/rebooting/slot-1`); whoever wants one need not know its cell.
 *
 * Stance under partition: never two at once, possibly none for a while.
 */
export class Leases {
  readonly #present: readonly CellLeases[];
  readonly #byStamp: ReadonlyMap<number, CellLeases>;
  readonly #cellOf = new Map<string, CellLeases>();
  #token = 0;
  readonly #cellOfToken = new Map<number, CellLeases>();

  constructor(parts: {
    cells: readonly CellPlan[];
    self: AgentIndex;
    agentIds: readonly AgentId[];
    boot: () => number;
    random: Random;
    /** By name of the cell: what the disk gave back. */
    records: ReadonlyMap<string, CellRecord>;
    isStoreWhole: boolean;
  }) {
    const { cells, self, agentIds, boot, random, records, isStoreWhole } = parts;
    const name = agentIds[self] ?? '';
    this.#present = cells.flatMap((plan) => {
      const record = records.get(plan.id);
      const concerns =
        plan.voters.includes(self) ||
        plan.leases.some(({ eligible }) => eligible.includes(self)) ||
        // Of an epoch that may still be spoken.
        record?.active.voters.includes(name) === true ||
        record?.active.leases.some(({ eligible }) => eligible.includes(name)) === true;
      if (!concerns) return [];
      const cell = new CellLeases({
        plan,
        self,
        agentIds,
        boot,
        random: random.fork(`cell ${plan.id}`),
        record,
        isStoreWhole,
        nextToken: () => ++this.#token,
      });
      for (const { id } of plan.leases) this.#cellOf.set(id, cell);
      return [cell];
    });
    this.#byStamp = new Map(this.#present.map((cell) => [cell.stamp, cell]));
  }

  /** Nothing here needs a holder's clock or a tick. */
  get isIdle(): boolean {
    return this.#present.length === 0;
  }

  get cells(): readonly CellLeases[] {
    return this.#present;
  }

  /** Who may seal this epoch, by position; undefined when it is not the one that is spoken here. */
  votersOf(stamp: number, epoch: number): readonly AgentIndex[] | undefined {
    const cell = this.#byStamp.get(stamp);
    return cell?.epoch === epoch ? cell.voters : undefined;
  }

  cellOf(stamp: number): CellLeases | undefined {
    return this.#byStamp.get(stamp);
  }

  start(time: HolderTime, out: CellOutput[]): void {
    for (const cell of this.#present) this.#run(cell, out, (said) => cell.start(time, said));
  }

  /** What the bundle in force says of a cell, where this process was not compiled from it. */
  accept(time: HolderTime, cell: string, epoch: StoredEpoch, out: CellOutput[]): void {
    const at = this.#present.find((each) => each.id === cell);
    if (at) this.#run(at, out, (said) => at.accept(time, epoch, said));
  }

  sessionOpened(time: HolderTime, cell: string, epoch: number, id: SessionId, out: CellOutput[]): void {
    const at = this.#present.find((each) => each.id === cell);
    if (at) this.#run(at, out, (said) => at.sessionOpened(time, epoch, id, said));
  }

  message(time: HolderTime, from: AgentIndex, connection: number, message: LeaseMessage, out: CellOutput[]): void {
    const at = this.#byStamp.get(message.cell);
    if (at) this.#run(at, out, (said) => at.message(time, from, connection, message, said));
  }

  /** Proof that a process is dead: nobody says in which cell, so all voters here hear it. */
  died(time: HolderTime, session: SessionId, out: CellOutput[]): void {
    for (const cell of this.#present) this.#run(cell, out, (said) => cell.died(time, session, said));
  }

  persisted(time: HolderTime, token: number, out: CellOutput[]): void {
    const cell = this.#cellOfToken.get(token);
    this.#cellOfToken.delete(token);
    if (cell) this.#run(cell, out, (said) => cell.persisted(time, token, said));
  }

  persistFailed(time: HolderTime, token: number, out: CellOutput[]): void {
    const cell = this.#cellOfToken.get(token);
    this.#cellOfToken.delete(token);
    if (cell) this.#run(cell, out, (said) => cell.persistFailed(time, token, said));
  }

  /** Tries for the lease from `delayMs` on, and goes on until `release`. The delay ranks the candidates. */
  want(time: HolderTime, lease: string, delayMs: number, out: CellOutput[]): void {
    const cell = this.#cellOf.get(lease);
    if (cell) this.#run(cell, out, (said) => cell.want(time, lease, delayMs, said));
  }

  /** No effect begins from now on; voters are told when the last one is over (rule 8). */
  release(time: HolderTime, lease: string, out: CellOutput[]): void {
    const cell = this.#cellOf.get(lease);
    if (cell) this.#run(cell, out, (said) => cell.release(time, lease, said));
  }

  /** In the same synchronous block as the effect: the right under which it may begin, or undefined. */
  mayAct(time: HolderTime, lease: string): Right | undefined {
    return this.#cellOf.get(lease)?.mayAct(time, lease);
  }

  /** An effect under this lease began; each is followed by one `finished`. */
  began(lease: string): void {
    this.#cellOf.get(lease)?.began(lease);
  }

  finished(time: HolderTime, lease: string, token: FencingToken, out: CellOutput[]): void {
    const cell = this.#cellOf.get(lease);
    if (cell) this.#run(cell, out, (said) => cell.finished(time, lease, token, said));
  }

  /** Where effects happen a larger token was seen than ours. */
  outnumbered(time: HolderTime, lease: string, floor: FencingToken, out: CellOutput[]): void {
    const cell = this.#cellOf.get(lease);
    if (cell) this.#run(cell, out, (said) => cell.outnumbered(time, lease, floor, said));
  }

  /** By the monotonic clock. */
  deadline(): Instant {
    let at: number = never;
    for (const cell of this.#present) at = Math.min(at, cell.deadline());
    return instant(at);
  }

  tick(time: HolderTime, out: CellOutput[]): void {
    for (const cell of this.#present) {
      if (cell.deadline() <= time.monotonic) this.#run(cell, out, (said) => cell.tick(time, said));
    }
  }

  view(time: HolderTime, lease: string): LeaseView | undefined {
    return this.#cellOf.get(lease)?.view(time, lease);
  }

  #run(cell: CellLeases, out: CellOutput[], act: (out: CellOutput[]) => void): void {
    const from = out.length;
    act(out);
    for (let at = from; at < out.length; at++) {
      const output = out[at]!;
      if (output.kind === 'persist') this.#cellOfToken.set(output.token, cell);
    }
  }
}
