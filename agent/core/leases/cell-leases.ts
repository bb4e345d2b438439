import { hash53 } from '../../base/hash.ts';
import type { AgentId, AgentIndex } from '../../base/ids.ts';
import type { Random } from '../../base/random.ts';
import { after, type Instant, instant, never } from '../../base/time.ts';
import type { LeaseMessage } from './ballot.ts';
import type { CellPlan } from './cell-plan.ts';
import {
  type CellEntry,
  type CellRecord,
  type EpochView,
  foldCell,
  type StoredEpoch,
  storedEpoch,
  viewOf,
} from './cell-record.ts';
import type { HolderTime } from './elapsed-clock.ts';
import { Succession, type SuccessionOutput } from './epoch.ts';
import type { FencingToken } from './fencing-token.ts';
import { FloorReader, type FloorReaderOutput } from './floor-reader.ts';
import { Proposer, type ProposerOutput } from './proposer.ts';
import type { SessionId } from './session.ts';
import { Voter, type VoterOutput } from './voter.ts';
import { foundingRecord } from './voter-record.ts';

/** The right to one lease, as it goes to whoever acts under it. */
export interface Right {
  /** Name of the lease, `duty:thing/name` or `guard:cell/permit/slot-1`. */
  readonly lease: string;
  readonly token: FencingToken;
  readonly session: SessionId;
  /** No effect begins later, by the elapsed clock. */
  readonly until: Instant;
}

export type CellOutput =
  | { readonly kind: 'send'; readonly to: AgentIndex; readonly message: LeaseMessage }
  /** Durable, in the order in which they come; then `persisted` or `persistFailed` with this token. */
  | { readonly kind: 'persist'; readonly token: number; readonly cell: string; readonly entries: readonly CellEntry[] }
  /** A session is wanted: whoever can prove this process's death draws a secret for it. Answered by `sessionOpened`. */
  | {
      readonly kind: 'open-session';
      readonly cell: string;
      readonly epoch: number;
      /** Who is to hear of its death. */
      readonly targets: readonly AgentIndex[];
    }
  | ({ readonly kind: 'acquired' | 'extended' | 'renumbered' } & Right)
  /** Where effects happen, nothing smaller is to be accepted from now on. Comes before what it makes possible. */
  | {
      readonly kind: 'floors';
      readonly cell: string;
      readonly floors: readonly { readonly lease: string; readonly token: FencingToken }[];
    }
  /** Stop at once; nothing may begin. */
  | { readonly kind: 'lost'; readonly lease: string; readonly token: FencingToken }
  | { readonly kind: 'released'; readonly lease: string; readonly token: FencingToken }
  | { readonly kind: 'observe'; readonly cell: string; readonly what: CellObservation }
  | Extract<VoterOutput, { readonly kind: 'died' }>;

export type CellObservation =
  | 'voting'
  | 'unborn'
  | 'born'
  | 'failed'
  | 'poisoned'
  | 'sealed'
  /** Too few other voters remember anything: without a person this one never votes again. */
  | 'stranded'
  /** The epoch of the site file has begun here. */
  | 'activated'
  /** The same, by a statement under the recovery key. */
  | 'forced'
  /** The site file changes this cell's leases without a new epoch: the ones that are spoken stay. */
  | 'conflict'
  /** The site file is older than what was spoken here, or more than one epoch ahead: no epoch is skipped. */
  | 'epoch-mismatch'
  /** The epoch goes on with a bundle that is not here. */
  | 'bundle-wanted';

/** How often a cell that had more than one epoch asks somebody how things stand. */
const epochGossipMs = 5_000;

interface Write {
  readonly part: 'founding' | 'voter' | 'succession';
  readonly inner: number;
  readonly voter: Voter | undefined;
  readonly entries: readonly CellEntry[];
}

/** How things stand with one lease here, for people. */
export interface LeaseView {
  readonly lease: string;
  readonly cell: string;
  readonly epoch: number;
  readonly wanted: boolean;
  readonly held: boolean;
  readonly token: FencingToken | undefined;
  readonly session: SessionId | undefined;
  /** What is left of the window, milliseconds; 0 when there is none. */
  readonly leftMs: number;
  readonly voters: readonly {
    readonly agent: AgentIndex;
    /** `granted`: acknowledged within the window; `taken`: keeps it for somebody else; `silent`: neither. */
    readonly answer: 'granted' | 'taken' | 'silent';
    readonly agoMs: number | undefined;
  }[];
  /** Who holds it as far as this agent, if it is a voter, has promised. */
  readonly promisedTo: AgentIndex | undefined;
}

/**
 * The leases of one cell at one agent: its vote, if it has one, its hand in the leases that it may hold, and its way
 * from epoch to epoch. The three do the deciding; here they are put together, given their memory, and told apart by
 * epoch.
 *
 * Guaranteed: a voter speaks only after its memory of this life is on disk; who never voted is founded once, in epoch 1
 * of a store that is whole, and a record that is missing otherwise is a lost one; an epoch is spoken until its successor
 * is certified. Not guaranteed: that anything is held. A store that refuses ends this voter's part until the next start.
 *
 * Messages of an agent to itself go through the same door, within the step.
 */
export class CellLeases {
  readonly id: string;
  /** What messages call this cell. */
  readonly stamp: number;
  readonly #self: AgentIndex;
  readonly #agentIds: readonly AgentId[];
  readonly #members: readonly AgentIndex[];
  readonly #boot: () => number;
  readonly #random: Random;
  #planned: StoredEpoch;
  readonly #mayFound: boolean;
  readonly #nextToken: () => number;
  /** What is on disk. */
  #record: CellRecord | undefined;
  #view: EpochView;
  #voter: Voter | undefined;
  #proposer: Proposer | undefined;
  #succession: Succession | undefined;
  /** Of an agent that may hold something here: what its gateway has to know before it lets anything pass. */
  #floors: FloorReader | undefined;
  #session: { readonly id: SessionId; readonly epoch: number } | undefined;
  /** Wanted leases by name, with the delay that ranks the candidates. */
  readonly #wishes = new Map<string, number>();
  readonly #writes = new Map<number, Write>();
  #epochs = 0;
  /** The epoch whose session was asked for. */
  #askedFor = 0;
  #gossipAt: Instant = never;
  #skewMs = 0;
  #conflict = false;
  #local: LeaseMessage[] = [];
  #isDraining = false;

  constructor(parts: {
    plan: CellPlan;
    self: AgentIndex;
    agentIds: readonly AgentId[];
    /** This life's number, as peers know it. */
    boot: () => number;
    random: Random;
    /** What the disk gave back; undefined: nothing. */
    record: CellRecord | undefined;
    /** False where the store was damaged or lost: then a missing record is a lost one. */
    isStoreWhole: boolean;
    /** Numbers writes over all cells of the agent. */
    nextToken: () => number;
  }) {
    const { plan, agentIds, record } = parts;
    this.id = plan.id;
    this.stamp = cellStamp(plan.id);
    this.#self = parts.self;
    this.#agentIds = agentIds;
    this.#members = plan.members;
    this.#boot = parts.boot;
    this.#random = parts.random;
    this.#record = record;
    this.#planned = storedEpoch(plan, agentIds, record?.active.hash);
    this.#mayFound = parts.isStoreWhole && plan.epoch === 1;
    this.#nextToken = parts.nextToken;
    this.#view = viewOf(record?.active ?? this.#planned, agentIds);
  }

  get epoch(): number {
    return this.#view.spec.epoch;
  }

  /** The site file's leases of this cell are not the ones that are spoken, and no epoch leads from one to the other. */
  get isConflicting(): boolean {
    return this.#conflict;
  }

  /** Of its memory, see `Voter.state`; undefined: no vote here. */
  get voterState(): Voter['state'] | undefined {
    return this.#voter?.state;
  }

  /** How far reading the floors is; undefined where nothing can be held. */
  get floorsRead(): { readonly read: number; readonly needed: number; readonly done: boolean } | undefined {
    return this.#floors && { ...this.#floors.progress, done: this.#floors.isRead };
  }

  voterStateAt(monotonic: Instant): ReturnType<Voter['stateAt']> | undefined {
    return this.#voter?.stateAt(monotonic);
  }

  /** Of the epoch that is spoken, by name: the site file may know another one. */
  get voterNames(): readonly string[] {
    return (this.#record?.active ?? this.#planned).voters;
  }

  /** Of an unborn voter. */
  get rebirth(): Voter['rebirth'] {
    return this.#voter?.rebirth;
  }

  get voters(): readonly AgentIndex[] {
    return this.#view.spec.voters;
  }

  start(time: HolderTime, out: CellOutput[]): void {
    this.#note(time);
    const record = this.#record;
    if (record === undefined) {
      const { epoch, voters, leases, options } = this.#planned;
      const isVoter = this.#view.spec.voters.includes(this.#self);
      const parts = { epoch, voters: voters.length, leases: leases.length, leaseMs: options.leaseMs };
      const founding = isVoter && this.#mayFound ? foundingRecord(parts) : undefined;
      const entry: CellEntry = { kind: 'founded', active: this.#planned, record: founding };
      this.#persist({ part: 'founding', inner: 0, voter: undefined, entries: [entry] }, out);
      // A holder needs no memory of its own, only the voters do.
      this.#startHand(out);
      return;
    }
    this.#startEpoch(time, out);
  }

  /** The voters begin, once what they begin from is on disk. */
  #startEpoch(time: HolderTime, out: CellOutput[]): void {
    const record = this.#record!;
    const { spec, options } = this.#view;
    this.#succession = new Succession({
      cell: this.stamp,
      retryMs: options.retryMs,
      active: spec,
      accepted: record.accepted && viewOf(record.accepted, this.#agentIds).spec,
      certificates: record.certificates,
    });
    this.#startVoter(time, record, out);
    if (this.#askedFor !== spec.epoch) this.#startHand(out);
    this.#startFloors(time, out);
    const said: SuccessionOutput[] = [];
    this.#succession.start(time.monotonic, said);
    const { epoch, hash } = this.#planned;
    if (epoch === spec.epoch + 1) {
      // A new voter begins, the others follow: sealed by whoever restarts first, the cell would have no voters until the
      // new ones have the site file as well.
      if (this.#planned.voters.includes(this.#name)) this.#accept(time, said);
    } else if (epoch !== spec.epoch) out.push({ kind: 'observe', cell: this.id, what: 'epoch-mismatch' });
    else if (hash !== spec.hash) {
      this.#conflict = true;
      out.push({ kind: 'observe', cell: this.id, what: 'conflict' });
    }
    this.#fromSuccession(time, said, out);
    if (epoch > 1 || spec.epoch > 1) this.#gossipAt = this.#nextGossip(time.monotonic);
  }

  /** The site file's epoch is the one that may follow. */
  #accept(time: HolderTime, said: SuccessionOutput[]): void {
    this.#succession?.accept(time.monotonic, viewOf(this.#planned, this.#agentIds).spec, said);
  }

  get #name(): string {
    return this.#agentIds[this.#self] ?? '';
  }

  #startVoter(time: HolderTime, record: CellRecord, out: CellOutput[]): void {
    this.#voter = undefined;
    const { spec, options, specs } = this.#view;
    if (!spec.voters.includes(this.#self)) return;
    this.#voter = new Voter({
      cell: this.stamp,
      self: this.#self,
      voters: spec.voters,
      epoch: spec.epoch,
      options,
      leases: specs,
      record: record.voter,
      nonce: this.#random.uint32() * 0x1_0000 + this.#random.below(0x1_0000),
      // Secrets are hashed at the edge: here they come as the session that they belong to.
      digest: (session) => session as SessionId,
    });
    const said: VoterOutput[] = [];
    this.#voter.start(time.monotonic, said);
    this.#fromVoter(time, said, out);
  }

  /** Asks for the session of this epoch, if there is anything here that this agent may hold. */
  #startHand(out: CellOutput[]): void {
    this.#proposer = undefined;
    this.#session = undefined;
    const { spec, specs } = this.#view;
    this.#askedFor = spec.epoch;
    if (!specs.some(({ eligible }) => eligible[this.#self] === 1)) return;
    const targets = spec.voters.filter((agent) => agent >= 0 && agent !== this.#self);
    out.push({ kind: 'open-session', cell: this.id, epoch: spec.epoch, targets });
  }

  #startFloors(time: HolderTime, out: CellOutput[]): void {
    this.#floors = undefined;
    const { spec, specs, options } = this.#view;
    if (!specs.some(({ eligible }) => eligible[this.#self] === 1)) return;
    const { epoch, voters } = spec;
    this.#floors = new FloorReader({
      cell: this.stamp,
      epoch,
      voters,
      leases: specs.length,
      retryMs: options.retryMs,
    });
    const said: FloorReaderOutput[] = [];
    this.#floors.start(time.monotonic, said);
    this.#fromFloors(said, out);
  }

  /**
   * A newer bundle is in force while this process still runs the one before: its epoch is written down, sealed for and
   * begun here all the same, so that the epoch does not wait for every process to start anew. Nothing happens unless it
   * is the very next one.
   */
  accept(time: HolderTime, next: StoredEpoch, out: CellOutput[]): void {
    this.#note(time);
    const record = this.#record;
    if (record === undefined || this.#succession === undefined || next.epoch !== this.epoch + 1) return;
    // A rival of the one that was accepted before: voters seal once, and so do we stand by it.
    if (record.accepted !== undefined && record.accepted.hash !== next.hash) return;
    this.#planned = { ...next, parent: record.active.hash };
    const said: SuccessionOutput[] = [];
    // The others follow, as after a start: when a certificate shows that a new voter has begun.
    if (this.#planned.voters.includes(this.#name)) this.#accept(time, said);
    this.#fromSuccession(time, said, out);
    if (this.#gossipAt === never) this.#gossipAt = this.#nextGossip(time.monotonic);
    this.#drain(time, out);
  }

  sessionOpened(time: HolderTime, epoch: number, id: SessionId, out: CellOutput[]): void {
    this.#note(time);
    const { spec, options, specs } = this.#view;
    if (epoch !== spec.epoch || this.#proposer !== undefined) return;
    this.#session = { id, epoch };
    this.#proposer = new Proposer({
      options,
      cell: this.stamp,
      epoch,
      session: { agent: this.#self, boot: this.#boot(), id },
      voters: spec.voters,
      leases: specs,
      random: this.#random.fork(`proposer ${epoch} ${++this.#epochs}`),
    });
    for (const [lease, delayMs] of this.#wishes) this.#ask(time, lease, delayMs, out);
    this.#drain(time, out);
  }

  // What a holder does.

  /** Tries for the lease from `delayMs` on, until `release`. */
  want(time: HolderTime, lease: string, delayMs: number, out: CellOutput[]): void {
    this.#note(time);
    this.#wishes.set(lease, delayMs);
    this.#ask(time, lease, delayMs, out);
    this.#drain(time, out);
  }

  release(time: HolderTime, lease: string, out: CellOutput[]): void {
    this.#wishes.delete(lease);
    this.#withHand(time, lease, out, (proposer, index, said) => proposer.release(time, index, said));
  }

  /** In the same synchronous block as the effect: the right under which it may begin, or undefined. */
  mayAct(time: HolderTime, lease: string): Right | undefined {
    const proposer = this.#proposer;
    const index = this.#view.leaseIds.indexOf(lease);
    if (proposer === undefined || this.#session === undefined || index < 0) return undefined;
    const token = proposer.mayAct(time, index);
    if (token === undefined) return undefined;
    const until = instant(proposer.lease(index).validUntil - this.#view.options.guardMs);
    return { lease, token, session: this.#session.id, until };
  }

  began(lease: string): void {
    const index = this.#view.leaseIds.indexOf(lease);
    if (index >= 0) this.#proposer?.began(index);
  }

  /** An effect under this token is over, and nothing of it can still land. */
  finished(time: HolderTime, lease: string, token: FencingToken, out: CellOutput[]): void {
    this.#withHand(time, lease, out, (proposer, index, said) => proposer.finished(time, index, token, said));
  }

  outnumbered(time: HolderTime, lease: string, floor: FencingToken, out: CellOutput[]): void {
    this.#withHand(time, lease, out, (proposer, index, said) => proposer.outnumbered(time, index, floor, said));
  }

  // What comes from outside.

  /** `connection` rises with each connection that this peer opened to us. */
  message(time: HolderTime, from: AgentIndex, connection: number, message: LeaseMessage, out: CellOutput[]): void {
    this.#note(time);
    this.#deliver(time, from, connection, message, out);
    this.#drain(time, out);
  }

  /** Proof that a session is dead. */
  died(time: HolderTime, session: SessionId, out: CellOutput[]): void {
    this.#note(time);
    const said: VoterOutput[] = [];
    this.#voter?.died(time.monotonic, session, said);
    this.#fromVoter(time, said, out);
    this.#drain(time, out);
  }

  persisted(time: HolderTime, token: number, out: CellOutput[]): void {
    const write = this.#writes.get(token);
    if (write === undefined) return;
    this.#note(time);
    this.#writes.delete(token);
    for (const entry of write.entries) this.#record = foldCell(this.#record, entry);
    switch (write.part) {
      case 'founding':
        this.#startEpoch(time, out);
        break;
      case 'voter': {
        const said: VoterOutput[] = [];
        // The voter of a former epoch has nothing to say any more.
        if (write.voter === this.#voter) this.#voter?.persisted(time.monotonic, write.inner, said);
        this.#fromVoter(time, said, out);
        break;
      }
      case 'succession': {
        const said: SuccessionOutput[] = [];
        this.#succession?.persisted(time.monotonic, write.inner, said);
        this.#fromSuccession(time, said, out);
        break;
      }
    }
    this.#drain(time, out);
  }

  persistFailed(time: HolderTime, token: number, out: CellOutput[]): void {
    const write = this.#writes.get(token);
    if (write === undefined) return;
    this.#note(time);
    this.#writes.delete(token);
    const said: VoterOutput[] = [];
    if (write.part === 'voter' && write.voter === this.#voter) {
      this.#voter?.persistFailed(time.monotonic, write.inner, said);
      this.#fromVoter(time, said, out);
    } else if (write.part !== 'voter') out.push({ kind: 'observe', cell: this.id, what: 'failed' });
  }

  /** By the monotonic clock. */
  deadline(): Instant {
    let at: number = this.#gossipAt;
    if (this.#voter) at = Math.min(at, this.#voter.deadline());
    if (this.#succession) at = Math.min(at, this.#succession.deadline());
    if (this.#floors) at = Math.min(at, this.#floors.deadline());
    if (this.#proposer) at = Math.min(at, this.#proposer.deadline() - this.#skewMs);
    return instant(at);
  }

  tick(time: HolderTime, out: CellOutput[]): void {
    this.#note(time);
    const { monotonic } = time;
    if (this.#voter && this.#voter.deadline() <= monotonic) {
      const said: VoterOutput[] = [];
      this.#voter.tick(monotonic, said);
      this.#fromVoter(time, said, out);
    }
    if (this.#proposer && this.#proposer.deadline() <= time.elapsed) {
      const said: ProposerOutput[] = [];
      this.#proposer.tick(time, said);
      this.#fromProposer(said, out);
    }
    if (this.#succession && this.#succession.deadline() <= monotonic) {
      const said: SuccessionOutput[] = [];
      this.#succession.tick(monotonic, said);
      this.#fromSuccession(time, said, out);
    }
    if (this.#floors && this.#floors.deadline() <= monotonic) {
      const said: FloorReaderOutput[] = [];
      this.#floors.tick(monotonic, said);
      this.#fromFloors(said, out);
    }
    if (this.#gossipAt <= monotonic) this.#gossip(monotonic, out);
    this.#drain(time, out);
  }

  /** For people; nothing is decided by it. */
  view(time: HolderTime, lease: string): LeaseView | undefined {
    const index = this.#view.leaseIds.indexOf(lease);
    if (index < 0) return undefined;
    const held = this.#proposer?.lease(index);
    const counter = held?.counter ?? 0;
    const promise = this.#voter?.promise(index);
    const isPromised = promise !== undefined && promise.until > time.monotonic;
    return {
      lease,
      cell: this.id,
      epoch: this.epoch,
      wanted: this.#wishes.has(lease),
      held: held?.held ?? false,
      token: counter === 0 ? undefined : { epoch: this.epoch, counter },
      session: this.#session?.id,
      leftMs: held?.held ? Math.max(0, held.validUntil - time.elapsed) : 0,
      voters: this.#view.spec.voters.map((agent, position) => ({
        agent,
        ...(held?.answerOf(position, time.elapsed, this.#view.options.leaseMs) ?? {
          answer: 'silent',
          agoMs: undefined,
        }),
      })),
      promisedTo: isPromised ? promise.session.agent : undefined,
    };
  }

  /** For the simulator: the largest counter that this agent, as a voter, remembers of a lease; 0 without a vote. */
  remembers(lease: string): number {
    return this.#voter?.maxCounter(this.#view.leaseIds.indexOf(lease)) ?? 0;
  }

  // Between the parts.

  #note({ elapsed, monotonic }: HolderTime): void {
    this.#skewMs = elapsed - monotonic;
  }

  #ask(time: HolderTime, lease: string, delayMs: number, out: CellOutput[]): void {
    const index = this.#view.leaseIds.indexOf(lease);
    if (this.#proposer === undefined || index < 0) return;
    const said: ProposerOutput[] = [];
    this.#proposer.want(time, index, delayMs, said);
    this.#fromProposer(said, out);
  }

  #withHand(
    time: HolderTime,
    lease: string,
    out: CellOutput[],
    act: (proposer: Proposer, index: number, said: ProposerOutput[]) => void,
  ): void {
    this.#note(time);
    const index = this.#view.leaseIds.indexOf(lease);
    if (this.#proposer === undefined || index < 0) return;
    const said: ProposerOutput[] = [];
    act(this.#proposer, index, said);
    this.#fromProposer(said, out);
    this.#drain(time, out);
  }

  #deliver(time: HolderTime, from: AgentIndex, connection: number, message: LeaseMessage, out: CellOutput[]): void {
    const { monotonic } = time;
    const { epoch } = this.#view.spec;
    if (message.epoch !== epoch) {
      const said: SuccessionOutput[] = [];
      if (message.epoch > epoch) this.#succession?.ahead(monotonic, from, message.epoch, said);
      else if (message.kind !== 'lease-epoch' && message.kind !== 'lease-forced')
        this.#succession?.behind(monotonic, from, message.epoch, said);
      return this.#fromSuccession(time, said, out);
    }
    switch (message.kind) {
      case 'lease-epoch-wanted':
        return;
      case 'lease-floors': {
        const said: FloorReaderOutput[] = [];
        this.#floors?.told(from, message, said);
        return this.#fromFloors(said, out);
      }
      case 'lease-answer':
      case 'lease-need-full':
      case 'lease-freed': {
        const said: ProposerOutput[] = [];
        if (message.kind === 'lease-answer') this.#proposer?.answer(time, from, message, said);
        else if (message.kind === 'lease-need-full') this.#proposer?.needFull(time, from, message, said);
        else this.#proposer?.freed(time, from, message, said);
        return this.#fromProposer(said, out);
      }
      case 'lease-sealed':
      case 'lease-forced':
      case 'lease-epoch': {
        const said: SuccessionOutput[] = [];
        if (message.kind === 'lease-sealed') this.#succession?.sealed(monotonic, from, message, said);
        else this.#succession?.certificate(monotonic, message, said);
        return this.#fromSuccession(time, said, out);
      }
      default: {
        const voter = this.#voter;
        if (voter === undefined) return;
        const said: VoterOutput[] = [];
        if (message.kind === 'lease-request') voter.request(monotonic, from, connection, message, said);
        else if (message.kind === 'voter-recall') voter.recall(monotonic, from, message, said);
        else if (message.kind === 'voter-recalled') voter.recalled(monotonic, from, message, said);
        else if (message.kind === 'lease-floors-wanted') voter.floors(from, message, said);
        else voter.seal(monotonic, from, message, said);
        return this.#fromVoter(time, said, out);
      }
    }
  }

  #send(to: AgentIndex, message: LeaseMessage, out: CellOutput[]): void {
    if (to === this.#self) this.#local.push(message);
    else if (to >= 0) out.push({ kind: 'send', to, message });
  }

  /** What we told ourselves, in order. Each exchange waits for the disk sooner or later, so this ends. */
  #drain(time: HolderTime, out: CellOutput[]): void {
    if (this.#isDraining) return;
    this.#isDraining = true;
    for (let round = 0; this.#local.length > 0 && round < localRounds; round++) {
      const messages = this.#local;
      this.#local = [];
      for (const message of messages) this.#deliver(time, this.#self, 1, message, out);
    }
    this.#local.length = 0;
    this.#isDraining = false;
  }

  #fromVoter(_time: HolderTime, said: readonly VoterOutput[], out: CellOutput[]): void {
    for (const output of said) {
      switch (output.kind) {
        case 'send':
          this.#send(output.to, output.message, out);
          break;
        case 'persist': {
          const entries = output.entries.map((entry): CellEntry => ({ kind: 'voter', entry }));
          this.#persist({ part: 'voter', inner: output.token, voter: this.#voter, entries }, out);
          break;
        }
        case 'observe':
          out.push({ kind: 'observe', cell: this.id, what: output.what });
          break;
        case 'died':
          out.push(output);
          break;
      }
    }
  }

  #fromProposer(said: readonly ProposerOutput[], out: CellOutput[]): void {
    for (const output of said) {
      if (output.kind === 'send') {
        this.#send(output.to, output.message, out);
        continue;
      }
      const lease = this.#view.leaseIds[output.lease] ?? '';
      if (output.kind === 'lost' || output.kind === 'released') {
        out.push({ kind: output.kind, lease, token: output.token });
      } else if (this.#session !== undefined) {
        const { kind, token, until } = output;
        // A majority granted this one and knew no larger one, so nobody needs to be asked any more.
        if (kind === 'acquired' && this.#floors?.isRead !== true)
          out.push({ kind: 'floors', cell: this.id, floors: [{ lease, token }] });
        out.push({ kind, lease, token, session: this.#session.id, until });
      }
    }
  }

  #fromFloors(said: readonly FloorReaderOutput[], out: CellOutput[]): void {
    for (const output of said) {
      if (output.kind === 'send') {
        this.#send(output.to, output.message, out);
        continue;
      }
      const { epoch } = this;
      const floors = this.#view.leaseIds.map((lease, index) => ({
        lease,
        // The smallest token of all where none was granted: it keeps out former epochs, and nobody else.
        token: { epoch, counter: Math.max(1, output.maxCounters[index] ?? 0) },
      }));
      out.push({ kind: 'floors', cell: this.id, floors });
    }
  }

  #fromSuccession(time: HolderTime, said: readonly SuccessionOutput[], out: CellOutput[]): void {
    for (const output of said) {
      switch (output.kind) {
        case 'send':
          this.#send(output.to, output.message, out);
          break;
        case 'persist': {
          const entry: CellEntry =
            output.entry.kind === 'accepted'
              ? { kind: 'accepted', epoch: this.#storedOf(output.entry.spec.hash) }
              : {
                  kind: 'activated',
                  epoch: this.#storedOf(output.entry.spec.hash),
                  certificate: output.entry.certificate,
                };
          this.#persist({ part: 'succession', inner: output.token, voter: undefined, entries: [entry] }, out);
          break;
        }
        case 'bundle-wanted':
          if (output.hash === this.#planned.hash) {
            const more: SuccessionOutput[] = [];
            this.#accept(time, more);
            this.#fromSuccession(time, more, out);
            break;
          }
          out.push({ kind: 'observe', cell: this.id, what: 'bundle-wanted' });
          break;
        case 'activated': {
          const lost: ProposerOutput[] = [];
          this.#proposer?.retire(time, lost);
          this.#fromProposer(lost, out);
          const former = this.#view.leaseIds;
          this.#view = viewOf(this.#record!.active, this.#agentIds);
          // Also of leases that are no more, and where no token of the new epoch was seen yet.
          const { epoch } = this;
          const floors = [...new Set([...former, ...this.#view.leaseIds])].map((lease) => ({
            lease,
            token: { epoch, counter: 1 },
          }));
          if (floors.length > 0) out.push({ kind: 'floors', cell: this.id, floors });
          this.#startVoter(time, this.#record!, out);
          this.#startHand(out);
          this.#startFloors(time, out);
          this.#gossipAt = this.#nextGossip(time.monotonic);
          const isForced = output.certificate.kind === 'lease-forced';
          out.push({ kind: 'observe', cell: this.id, what: isForced ? 'forced' : 'activated' });
          break;
        }
      }
    }
  }

  /** Only the epoch of the site file is ever accepted, or one that was written down before it. */
  #storedOf(hash: string): StoredEpoch {
    const accepted = this.#record?.accepted;
    return accepted?.hash === hash ? accepted : this.#planned;
  }

  #persist(write: Write, out: CellOutput[]): void {
    const token = this.#nextToken();
    this.#writes.set(token, write);
    out.push({ kind: 'persist', token, cell: this.id, entries: write.entries });
  }

  #nextGossip(now: Instant): Instant {
    return after(now, epochGossipMs * this.#random.between(0.5, 1.5));
  }

  /** Whoever was away while epochs changed hears of it from anybody, not only from voters that may be gone. */
  #gossip(now: Instant, out: CellOutput[]): void {
    this.#gossipAt = this.#nextGossip(now);
    const others = this.#members.filter((agent) => agent !== this.#self);
    const to = others[this.#random.below(Math.max(1, others.length))];
    if (to === undefined) return;
    out.push({ kind: 'send', to, message: { kind: 'lease-epoch-wanted', cell: this.stamp, epoch: this.epoch } });
  }
}

const localRounds = 64;

/**
 * What messages call a cell: 32 bits of its name's hash. Its index would do only among agents that run the very same
 * site file, and an epoch changes while they do not.
 */
export const cellStamp = (id: string): number => hash53(id, 0x6365_6c6c) % 0x1_0000_0000;
