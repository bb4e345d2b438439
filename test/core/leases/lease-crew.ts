import { agentId } from '../../../agent/base/ids.ts';
import { Random } from '../../../agent/base/random.ts';
import { instant } from '../../../agent/base/time.ts';
import type { LeaseMessage } from '../../../agent/core/leases/ballot.ts';
import type { CellObservation, CellOutput } from '../../../agent/core/leases/cell-leases.ts';
import type { CellLease, CellPlan } from '../../../agent/core/leases/cell-plan.ts';
import { type CellEntry, type CellRecord, foldCell } from '../../../agent/core/leases/cell-record.ts';
import type { HolderTime } from '../../../agent/core/leases/elapsed-clock.ts';
import { tokenHex } from '../../../agent/core/leases/fencing-token.ts';
import { Leases } from '../../../agent/core/leases/leases.ts';
import { leaseDefaults } from '../../../agent/core/leases/options.ts';
import { sessionId } from '../../../agent/core/leases/session.ts';

export const dutyLease = (id: string, eligible: readonly number[], duty = 0): CellLease => ({
  id: `duty:${id}`,
  of: { kind: 'duty', duty },
  eligible,
  lingerMs: 0,
});

export const permitLease = (permit: string, eligible: readonly number[], lingerMs: number): CellLease => ({
  id: `guard:line-1/${permit}/slot-1`,
  of: { kind: 'permit', permit, slot: 1 },
  eligible,
  lingerMs,
});

export const cellPlan = (parts: Partial<CellPlan> & { leases: readonly CellLease[] }): CellPlan => ({
  index: 0,
  id: 'line-1',
  members: [0, 1, 2],
  voters: [0, 1, 2],
  epoch: 1,
  options: leaseDefaults,
  ...parts,
});

/** As the journal gives it back: JSON, whose null in a list stands for undefined. */
const asOnDisk = (entry: CellEntry): CellEntry =>
  JSON.parse(JSON.stringify(entry), (_key, inner: unknown) =>
    Array.isArray(inner) ? inner.map((item: unknown) => item ?? undefined) : inner,
  );

/** What a box keeps: the very entries, in order, as a journal would. */
export interface Disk {
  readonly entries: { cell: string; entry: CellEntry }[];
  isFull: boolean;
  isWhole: boolean;
}

export interface Mate {
  readonly index: number;
  readonly disk: Disk;
  boots: number;
  leases: Leases | undefined;
  /** The secret of this life; its hash is the session. */
  secret: string;
  /** Frozen: nothing is read, no timer runs. */
  frozenUntil: number;
  readonly held: Map<string, { token: string; until: number }>;
  readonly observed: CellObservation[];
  /** What its gateway was told: the largest token by lease, as text that orders like tokens. */
  readonly floors: Map<string, string>;
}

/** Some agents with leases and nothing else, one clock, a wire of 1 ms, disks of 2 ms. */
export class LeaseCrew {
  now = 1_000;
  plan: readonly CellPlan[];
  readonly mates: Mate[];
  readonly #queue: { at: number; order: number; act: () => void }[] = [];
  #order = 0;
  readonly blocked = new Set<string>();
  /** Of messages between two agents: those that never arrive. */
  drop: (message: LeaseMessage) => boolean = () => false;
  readonly history: string[] = [];
  messages = 0;

  constructor(size: number, plan: readonly CellPlan[]) {
    this.plan = plan;
    this.mates = Array.from({ length: size }, (_, index) => ({
      index,
      disk: { entries: [], isFull: false, isWhole: true },
      boots: 0,
      leases: undefined,
      secret: '',
      frozenUntil: 0,
      held: new Map(),
      observed: [],
      floors: new Map(),
    }));
  }

  static hash = (secret: string) => sessionId(`sha:${secret}`);

  time(): HolderTime {
    return { elapsed: instant(this.now), monotonic: instant(this.now) };
  }

  records(mate: Mate): Map<string, CellRecord> {
    const records = new Map<string, CellRecord>();
    for (const { cell, entry } of mate.disk.entries) {
      const folded = foldCell(records.get(cell), entry);
      if (folded) records.set(cell, folded);
    }
    return records;
  }

  start(index: number): Mate {
    const mate = this.mates[index]!;
    mate.boots++;
    mate.secret = `${index}.${mate.boots}`;
    mate.held.clear();
    mate.observed.length = 0;
    mate.floors.clear();
    const { boots } = mate;
    mate.leases = new Leases({
      cells: this.plan,
      self: index,
      agentIds: this.mates.map((_, agent) => agentId(`box-${agent}`)),
      boot: () => boots,
      random: new Random(index, `life ${boots}`),
      records: this.records(mate),
      isStoreWhole: mate.disk.isWhole,
    });
    this.do(mate, (leases, out) => leases.start(this.time(), out));
    return mate;
  }

  startAll(): this {
    for (const { index } of this.mates) this.start(index);
    return this;
  }

  kill(index: number): void {
    const mate = this.mates[index]!;
    mate.leases = undefined;
    mate.held.clear();
  }

  want(index: number, lease: string, delayMs = 0): void {
    this.do(this.mates[index]!, (leases, out) => leases.want(this.time(), lease, delayMs, out));
  }

  do(mate: Mate, act: (leases: Leases, out: CellOutput[]) => void): void {
    const { leases } = mate;
    if (leases === undefined) return;
    const out: CellOutput[] = [];
    act(leases, out);
    for (const output of out) this.#carryOut(mate, leases, output);
    this.#arm(mate, leases);
  }

  /** Whoever may act under the lease at this moment. */
  holders(lease: string): number[] {
    return this.mates.flatMap(({ index, leases, frozenUntil }) =>
      frozenUntil <= this.now && leases?.mayAct(this.time(), lease) !== undefined ? [index] : [],
    );
  }

  run(forMs: number, each?: () => void): this {
    const until = this.now + forMs;
    for (;;) {
      this.#queue.sort((a, b) => a.at - b.at || a.order - b.order);
      const next = this.#queue[0];
      if (next === undefined || next.at > until) break;
      this.#queue.shift();
      this.now = Math.max(this.now, next.at);
      next.act();
      each?.();
    }
    this.now = until;
    return this;
  }

  runUntil(condition: () => boolean, mostMs = 20_000): number {
    const from = this.now;
    while (!condition()) {
      if (this.now - from > mostMs) throw new Error(`not within ${mostMs} ms:\n${this.history.slice(-20).join('\n')}`);
      this.run(5);
    }
    return this.now - from;
  }

  at(at: number, act: () => void): void {
    this.#queue.push({ at, order: this.#order++, act });
  }

  #carryOut(mate: Mate, leases: Leases, output: CellOutput): void {
    const mine = (act: (out: CellOutput[]) => void) => {
      if (mate.leases === leases) this.do(mate, (_, out) => act(out));
    };
    switch (output.kind) {
      case 'send':
        this.messages++;
        if (!this.blocked.has(`${mate.index}>${output.to}`) && !this.drop(output.message))
          this.#send(mate.index, output.to, output.message);
        return;
      case 'persist': {
        const { token, cell, entries } = output;
        this.at(this.now + 2, () => {
          if (mate.leases !== leases) return;
          if (mate.disk.isFull) return mine((out) => leases.persistFailed(this.time(), token, out));
          for (const entry of entries) mate.disk.entries.push({ cell, entry: asOnDisk(entry) });
          mine((out) => leases.persisted(this.time(), token, out));
        });
        return;
      }
      case 'open-session':
        this.at(this.now + 1, () =>
          mine((out) => {
            const id = LeaseCrew.hash(`${mate.secret}.${output.cell}.${output.epoch}`);
            leases.sessionOpened(this.time(), output.cell, output.epoch, id, out);
          }),
        );
        return;
      case 'acquired':
      case 'extended':
      case 'renumbered':
        mate.held.set(output.lease, { token: String(output.token.counter), until: output.until });
        if (output.kind !== 'extended')
          this.history.push(`${this.now} ${mate.index} ${output.kind} ${output.lease} ${output.token.counter}`);
        return;
      case 'floors':
        for (const { lease, token } of output.floors) mate.floors.set(lease, tokenHex(token));
        return;
      case 'lost':
      case 'released':
        mate.held.delete(output.lease);
        this.history.push(`${this.now} ${mate.index} ${output.kind} ${output.lease}`);
        return;
      case 'observe':
        mate.observed.push(output.what);
        return;
    }
  }

  /** What a dead process's supervisor says. */
  certify(mate: Mate, cell = 'line-1', epoch = 1): void {
    const id = LeaseCrew.hash(`${mate.boots === 0 ? '' : mate.secret}.${cell}.${epoch}`);
    for (const other of this.mates) this.do(other, (leases, out) => leases.died(this.time(), id, out));
  }

  #send(from: number, to: number, message: LeaseMessage): void {
    this.at(this.now + 1, () => {
      const mate = this.mates[to]!;
      if (mate.frozenUntil > this.now) {
        this.at(mate.frozenUntil + 1, () =>
          this.do(mate, (leases, out) => leases.message(this.time(), from, 1, message, out)),
        );
        return;
      }
      this.do(mate, (leases, out) => leases.message(this.time(), from, 1, message, out));
    });
  }

  #arm(mate: Mate, leases: Leases): void {
    const deadline = leases.deadline();
    if (deadline === Number.POSITIVE_INFINITY) return;
    const wake = () => {
      if (mate.leases !== leases || leases.deadline() > this.now) return;
      if (mate.frozenUntil > this.now) return this.at(mate.frozenUntil, wake);
      this.do(mate, (_, out) => leases.tick(this.time(), out));
    };
    this.at(Math.max(deadline, this.now + 0.01), wake);
  }
}
