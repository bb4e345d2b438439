import type { AgentIndex, DutyIndex } from '../base/ids.ts';
import type { Random } from '../base/random.ts';
import { type Instant, instant } from '../base/time.ts';
import type { Checkpoint } from './duties/duty.ts';
import { type DutyRight, ExclusiveDuties, type ExclusiveOutput, type Fence } from './duties/exclusive-duties.ts';
import type { LeaseMessage } from './leases/ballot.ts';
import type { CellObservation, CellOutput, LeaseView, Right } from './leases/cell-leases.ts';
import type { CellEntry, CellRecord, StoredEpoch } from './leases/cell-record.ts';
import type { HolderTime } from './leases/elapsed-clock.ts';
import { parseToken, tokenHex } from './leases/fencing-token.ts';
import { Leases } from './leases/leases.ts';
import type { SessionId } from './leases/session.ts';
import { type PermitNeed, type PermitOutput, Permits } from './permits.ts';
import type { SitePlan } from './site-plan.ts';

/** What the disk gave back of the leases, by name of the cell. */
export interface RestoredLeases {
  readonly records: ReadonlyMap<string, CellRecord>;
  /** False when the store was lost or damaged: a missing record is a lost one then. */
  readonly isStoreWhole: boolean;
}

type DutyWord = Exclude<ExclusiveOutput, { readonly kind: 'want' | 'release' | 'began' | 'finished' }>;

export type ExclusiveEffect =
  | DutyWord
  | { readonly kind: 'send-lease'; readonly to: AgentIndex; readonly message: LeaseMessage }
  | {
      readonly kind: 'persist-leases';
      readonly token: number;
      readonly cell: string;
      readonly entries: readonly CellEntry[];
    }
  | {
      readonly kind: 'open-session';
      readonly cell: string;
      readonly epoch: number;
      readonly targets: readonly AgentIndex[];
      readonly guardMs: number;
    }
  /** For the gateway of this box: nothing smaller under this lease from now on, and nothing under it before this came. */
  | {
      readonly kind: 'raise-floors';
      readonly cell: string;
      readonly floors: readonly { readonly lease: string; readonly token: string }[];
    }
  /** A permit came or went: whoever waits for one should look again. */
  | { readonly kind: 'permit-changed' }
  | { readonly kind: 'cell-observed'; readonly cell: string; readonly what: CellObservation }
  /** A death certificate was verified: this life of that agent is over. */
  | { readonly kind: 'agent-died'; readonly agent: AgentIndex; readonly boot: number };

/**
 * Exclusive duties and the leases under which they run, put together: what one part says reaches the other within the
 * same call, and what is meant for the world comes out.
 *
 * All calls take both of the holder's clocks, read together (`HolderTime`).
 */
export class Exclusive {
  readonly leases: Leases;
  readonly duties: ExclusiveDuties;
  readonly permits: Permits;
  readonly #guards: ReadonlyMap<string, number>;

  constructor(parts: {
    plan: SitePlan;
    self: AgentIndex;
    boot: () => number;
    random: Random;
    restored: RestoredLeases;
    checkpoints: readonly Checkpoint[];
    memberState: (member: AgentIndex) => 'unknown' | 'alive' | 'suspect' | 'dead' | 'left';
    alsoHeld: () => number;
    isDraining: () => boolean;
  }) {
    const { plan, self, random, restored } = parts;
    this.leases = new Leases({
      cells: plan.cells,
      self,
      agentIds: plan.agents.map(({ id }) => id),
      boot: parts.boot,
      random: random.fork('leases'),
      records: restored.records,
      isStoreWhole: restored.isStoreWhole,
    });
    this.duties = new ExclusiveDuties({
      duties: plan.duties,
      options: plan.dutyOptions,
      self,
      agents: plan.agents,
      random: random.fork('exclusive'),
      memberState: parts.memberState,
      checkpoints: parts.checkpoints,
      alsoHeld: parts.alsoHeld,
      isDraining: parts.isDraining,
    });
    this.permits = new Permits(plan.cells, self);
    this.#guards = new Map(plan.cells.map(({ id, options }) => [id, options.guardMs]));
  }

  start(time: HolderTime, out: ExclusiveEffect[]): void {
    this.#leases(time, out, (said) => this.leases.start(time, said));
    this.#duties(time, out, (said) => this.duties.start(time.monotonic, said));
  }

  message(time: HolderTime, from: AgentIndex, connection: number, message: LeaseMessage, out: ExclusiveEffect[]): void {
    this.#leases(time, out, (said) => this.leases.message(time, from, connection, message, said));
  }

  epochAccepted(time: HolderTime, cell: string, epoch: StoredEpoch, out: ExclusiveEffect[]): void {
    this.#leases(time, out, (said) => this.leases.accept(time, cell, epoch, said));
  }

  sessionOpened(time: HolderTime, cell: string, epoch: number, id: SessionId, out: ExclusiveEffect[]): void {
    this.#leases(time, out, (said) => this.leases.sessionOpened(time, cell, epoch, id, said));
  }

  sessionDied(time: HolderTime, id: SessionId, out: ExclusiveEffect[]): void {
    this.#leases(time, out, (said) => this.leases.died(time, id, said));
  }

  persisted(time: HolderTime, token: number, out: ExclusiveEffect[]): void {
    this.#leases(time, out, (said) => this.leases.persisted(time, token, said));
  }

  persistFailed(time: HolderTime, token: number, out: ExclusiveEffect[]): void {
    this.#leases(time, out, (said) => this.leases.persistFailed(time, token, said));
  }

  /** Anything that concerns exclusive duties alone. */
  onDuties(time: HolderTime, out: ExclusiveEffect[], run: (duties: ExclusiveDuties, out: ExclusiveOutput[]) => void) {
    this.#duties(time, out, (said) => run(this.duties, said));
  }

  deadline(): Instant {
    return instant(Math.min(this.leases.deadline(), this.duties.deadline(), this.permits.deadline()));
  }

  tick(time: HolderTime, out: ExclusiveEffect[]): void {
    // Rights first: what is lost must end before anything else begins.
    if (this.leases.deadline() <= time.monotonic) this.#leases(time, out, (said) => this.leases.tick(time, said));
    if (this.duties.deadline() <= time.monotonic) {
      this.#duties(time, out, (said) => this.duties.tick(time.monotonic, said));
    }
    if (this.permits.deadline() <= time.monotonic) {
      this.#permits(time, out, (said) => this.permits.tick(time.monotonic, said));
    }
  }

  /** Which runs need a permit now. */
  syncPermits(
    time: HolderTime,
    needs: readonly PermitNeed[],
    inDoubt: (run: string) => boolean,
    out: ExclusiveEffect[],
  ): void {
    this.#permits(time, out, (said) => this.permits.sync(time.monotonic, needs, inDoubt, said));
  }

  /** The right of a run's permit, as it goes with its effects. */
  permitOf(time: HolderTime, run: string): Fence | undefined {
    const lease = this.permits.leaseOf(run);
    const right = lease === undefined ? undefined : this.leases.mayAct(time, lease);
    return right && fenceOf(right);
  }

  /** Why a run may not begin a step now, in words; undefined: its permit is valid. */
  permitDenial(time: HolderTime, run: string, permit: string): string | undefined {
    const lease = this.permits.leaseOf(run);
    if (lease === undefined) return `waits for the permit ${permit}`;
    return this.leases.mayAct(time, lease) === undefined
      ? `the permit ${permit} is not confirmed by a majority of voters now`
      : undefined;
  }

  /** To be asked in the same synchronous block as the effect: the right to send along, or undefined. */
  mayAct(time: HolderTime, duty: DutyIndex): Fence | undefined {
    const lease = this.duties.leaseOf(duty);
    const right = lease === undefined ? undefined : this.leases.mayAct(time, lease);
    return right && fenceOf(right);
  }

  view(time: HolderTime, duty: DutyIndex): LeaseView | undefined {
    const lease = this.duties.leaseOf(duty);
    return lease === undefined ? undefined : this.leases.view(time, lease);
  }

  #leases(time: HolderTime, out: ExclusiveEffect[], run: (said: CellOutput[]) => void): void {
    const said: CellOutput[] = [];
    run(said);
    for (const output of said) {
      switch (output.kind) {
        case 'send':
          out.push({ kind: 'send-lease', to: output.to, message: output.message });
          break;
        case 'persist':
          out.push({ kind: 'persist-leases', token: output.token, cell: output.cell, entries: output.entries });
          break;
        case 'open-session':
          out.push({ ...output, guardMs: this.#guards.get(output.cell) ?? 0 });
          break;
        case 'floors': {
          const floors = output.floors.map(({ lease, token }) => ({ lease, token: tokenHex(token) }));
          out.push({ kind: 'raise-floors', cell: output.cell, floors });
          break;
        }
        case 'observe':
          out.push({ kind: 'cell-observed', cell: output.cell, what: output.what });
          break;
        case 'died':
          out.push({ kind: 'agent-died', agent: output.agent, boot: output.boot });
          break;
        case 'acquired':
          if (this.permits.has(output.lease)) {
            this.#permits(time, out, (next) => this.permits.acquired(output.lease, tokenHex(output.token), next));
            out.push({ kind: 'permit-changed' });
            break;
          }
          this.#duties(time, out, (next) => this.duties.acquired(time.monotonic, rightOf(output), next));
          break;
        case 'extended':
        case 'renumbered':
          if (this.permits.has(output.lease)) {
            this.permits.renumbered(output.lease, tokenHex(output.token));
            break;
          }
          this.#duties(time, out, (next) => this.duties.extended(time.monotonic, rightOf(output), next));
          break;
        case 'lost':
          if (this.permits.has(output.lease)) {
            // Its work may be going on; no step begins until it is confirmed again.
            out.push({ kind: 'permit-changed' });
            break;
          }
          this.#duties(time, out, (next) => this.duties.lost(time.monotonic, output.lease, next));
          break;
        case 'released':
          break;
      }
    }
  }

  #duties(time: HolderTime, out: ExclusiveEffect[], run: (said: ExclusiveOutput[]) => void): void {
    const said: ExclusiveOutput[] = [];
    run(said);
    for (const output of said) {
      switch (output.kind) {
        case 'want':
        case 'release':
        case 'began':
        case 'finished':
          this.#toLeases(time, output, out);
          break;
        default:
          out.push(output);
      }
    }
  }

  #permits(time: HolderTime, out: ExclusiveEffect[], run: (said: PermitOutput[]) => void): void {
    const said: PermitOutput[] = [];
    run(said);
    for (const output of said) this.#toLeases(time, output, out);
  }

  #toLeases(time: HolderTime, wish: PermitOutput, out: ExclusiveEffect[]): void {
    switch (wish.kind) {
      case 'want':
        return this.#leases(time, out, (next) => this.leases.want(time, wish.lease, wish.delayMs, next));
      case 'release':
        return this.#leases(time, out, (next) => this.leases.release(time, wish.lease, next));
      case 'began':
        return this.leases.began(wish.lease);
      case 'finished': {
        const token = parseToken(wish.token);
        if (token) this.#leases(time, out, (next) => this.leases.finished(time, wish.lease, token, next));
        return;
      }
    }
  }
}

const fenceOf = ({ lease, token, session, until }: Right): Fence => ({ lease, token: tokenHex(token), session, until });

/** Takeovers of a duty in one number for checkpoints: epochs count 2^32 each, and more takeovers than that are none. */
const rightOf = (right: Right): DutyRight => ({
  ...fenceOf(right),
  term: right.token.epoch * 2 ** 32 + Math.min(right.token.counter, 2 ** 32 - 1),
});
