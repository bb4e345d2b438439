import type { AgentIndex } from '../../base/ids.ts';
import { invariant } from '../../base/invariant.ts';
import { after, type Instant, instant, never } from '../../base/time.ts';
import {
  type BallotItem,
  type BundleHash,
  type Floors,
  type FloorsWanted,
  type LeaseAnswer,
  type LeaseFreed,
  type LeaseNeedFull,
  type LeaseRequest,
  type LingeringGrant,
  listHash,
  type Refusal,
  type Seal,
  type Sealed,
  type VoterMemory,
  type VoterRecall,
  type VoterRecalled,
} from './ballot.ts';
import { isCounter, maxCounterStep } from './fencing-token.ts';
import { type LeaseOptions, type LeaseSpec, muteMs, quorumOf } from './options.ts';
import {
  isOfAnotherStory,
  isSameLife,
  type Lives,
  type Session,
  type SessionId,
  type VoterLife,
  withLife,
} from './session.ts';
import { mergeLingering, type VoterEntry, type VoterRecord } from './voter-record.ts';

export type VoterOutput =
  /** Durable, all or nothing, in the order of tokens; then `persisted` or `persistFailed` with this token. */
  | { readonly kind: 'persist'; readonly token: number; readonly entries: readonly VoterEntry[] }
  | {
      readonly kind: 'send';
      readonly to: AgentIndex;
      readonly message: LeaseAnswer | LeaseNeedFull | LeaseFreed | VoterRecall | VoterRecalled | Sealed | Floors;
    }
  /**
   * `unborn`: its memory is lost and it reads its peers'. `stranded`: after ten seconds too few of them have told any.
   * `failed`: its store refuses, it votes no more in this life.
   */
  | {
      readonly kind: 'observe';
      readonly what: 'voting' | 'unborn' | 'stranded' | 'born' | 'failed' | 'poisoned' | 'sealed';
    }
  /** Proven by the secret of its session: this life of that agent is over. Said once. */
  | { readonly kind: 'died'; readonly agent: AgentIndex; readonly boot: number };

/** Requests that arrive while the store is busy wait for their answers; more than this are dropped, and retried. */
const maxWaiting = 1024;
/** Lives of one agent that a voter tells apart at a time. */
const sessionsPerAgent = 4;
/** Dead sessions whose certificate came before any request of theirs. */
const maxDeadSessions = 64;
/** No lease is that long: a peer that says so is mistaken. */
const maxLeaseMs = 600_000;
const recallSlowestMs = 1000;
/** An unborn voter that found no majority with a memory for so long after its mute says that a person is needed. */
const strandedAfterMs = 10_000;
/** A boot counter further ahead than this is no memory but a slip or an attack. */
const maxBootStep = 2 ** 20;

interface KnownSession extends Session {
  lastRid: number;
  list: readonly BallotItem[];
  listHash: number;
  connection: number;
  poisoned: boolean;
  /** Its supervisor has shown its secret. By session, never by boot: a life on a new disk counts its boots from 1 again. */
  isDead: boolean;
  usedAt: number;
}

/**
 * One vote of a cell, in one epoch. A grant is a promise to grant the same lease to nobody else for T.
 *
 * Guaranteed, as long as clocks drift less than ρ, at most a minority of stores lies, and the store keeps what it has
 * acknowledged: what this voter promised holds over crash, restart and lost store (rules 1, 4, 5, 10). It answers only
 * after its promise is durable. It never votes while mute, sealed, unborn, or in another epoch.
 *
 * Not guaranteed: an answer. Whatever it doubts it ignores, and the proposer tries again. A rolled-back store is found
 * only if somebody who remembers a later life is among those that answer at start, or sends a request; one that was set
 * back within a life grants old tokens again if nobody who granted them with it answers at start.
 *
 * Why an unborn voter is mute *before* it reads its peers' memory: a grant that it forgot may still be on its way to
 * the others, and only after T every token that was ever used on its word is known to them.
 *
 * `now` is the monotonic clock. One that stops in suspend only makes grants longer. The rules are numbered in README.md;
 * Gray and Cheriton 1989 for leases, Kleppmann 2016 for fencing.
 */
export class Voter {
  protected readonly cell: number;
  protected readonly self: AgentIndex;
  protected readonly voters: readonly AgentIndex[];
  protected readonly options: LeaseOptions;
  protected readonly leases: readonly LeaseSpec[];
  protected readonly quorum: number;
  protected readonly digest: (secret: string) => SessionId;
  protected readonly epoch: number;

  protected life: VoterLife;
  /** All lives that peers may rightly remember, this one included. */
  protected story: Lives;
  protected unborn = false;
  protected sealedFor: BundleHash | undefined;
  protected failed = false;
  /** The largest T that a forgotten promise may have had. */
  protected longestMs: number;
  protected muteFrom: Instant = never;
  protected muteUntil: Instant = never;
  /** The entry of this life is on disk. */
  protected booted = false;

  /** Per lease: what was promised, to whom, until when. */
  protected readonly maxCounters: Float64Array;
  protected readonly granted: Float64Array;
  /** The same session's former token, beside the new one (rule 7). 0: none. */
  protected readonly prior: Float64Array;
  protected readonly expiresAt: Float64Array;
  protected readonly holders: (KnownSession | undefined)[];
  /** Promised before this life, and told by the store or by a peer. */
  readonly #isRestored: Uint8Array;
  /** Agents that were refused and sleep, per lease. */
  protected readonly refusedAgents: Uint8Array[];
  protected readonly remainingSaidAt: Float64Array;

  protected readonly sessions = new Map<SessionId, KnownSession>();
  protected readonly dead = new Set<SessionId>();

  protected readonly heard: (VoterLife | undefined)[];
  protected readonly reborn: number[];
  /** Peers that confirmed this life, by position; unborn: their memories of the current round. */
  protected readonly confirmed: Uint8Array;
  /** By position: which of this voter's lives that peer said it remembers. */
  protected readonly former: (VoterLife | undefined)[];
  protected memories: (VoterMemory | undefined)[];
  protected recallRound = 0;
  protected recallSentAt: Instant = instant(Number.NEGATIVE_INFINITY);
  protected recallAt: Instant = never;
  protected recallEveryMs: number;
  protected settling: Instant = never;

  #nextToken = 1;
  #durable = 0;
  #waiting: { readonly token: number; readonly to: AgentIndex; readonly message: WaitingMessage }[] = [];
  readonly #atDurable = new Map<number, (now: Instant, out: VoterOutput[]) => void>();
  readonly #listed: Uint8Array;
  #remember = 0;
  #isStranded = false;
  #malformed = 0;

  constructor(parts: {
    cell: number;
    self: AgentIndex;
    /** All voters of the epoch, oneself included: 1, 3 or 5. */
    voters: readonly AgentIndex[];
    epoch: number;
    options: LeaseOptions;
    leases: readonly LeaseSpec[];
    /** Undefined or damaged: the memory is lost. */
    record: VoterRecord | undefined;
    /** Drawn anew in each life, 0 … 2^48 − 1. */
    nonce: number;
    /** SHA-256 of a session's secret. */
    digest: (secret: string) => SessionId;
  }) {
    const { record, leases, voters } = parts;
    invariant(voters.includes(parts.self), 'a voter is one of its voters');
    this.cell = parts.cell;
    this.self = parts.self;
    this.voters = voters;
    this.options = parts.options;
    this.leases = leases;
    this.quorum = quorumOf(voters.length);
    this.digest = parts.digest;
    this.epoch = parts.epoch;
    const isMine = record !== undefined && record.epoch === parts.epoch;
    this.life = { boot: (record?.boot ?? 0) + 1, nonce: parts.nonce };
    this.unborn = !isMine || record.unborn;
    const kept = isMine ? record : { lives: [], forgottenBelow: 0 };
    this.story = withLife(kept, this.life, this.unborn);
    this.former = voters.map(() => (this.unborn ? undefined : kept.lives.at(-1)));
    this.sealedFor = isMine ? record.sealedFor : undefined;
    this.maxCounters = Float64Array.from({ length: leases.length }, (_, lease) => record?.maxCounters[lease] ?? 0);
    this.granted = new Float64Array(leases.length);
    this.prior = new Float64Array(leases.length);
    this.expiresAt = new Float64Array(leases.length);
    this.remainingSaidAt = new Float64Array(leases.length);
    this.holders = new Array<KnownSession | undefined>(leases.length).fill(undefined);
    this.#isRestored = new Uint8Array(leases.length);
    this.refusedAgents = leases.map(({ eligible }) => new Uint8Array(eligible.length));
    this.heard = voters.map((_, position) => (isMine ? record.heard[position] : undefined));
    this.reborn = voters.map((_, position) => (isMine ? (record.reborn[position] ?? 0) : 0));
    this.confirmed = new Uint8Array(voters.length);
    this.memories = [];
    this.recallEveryMs = parts.options.retryMs;
    this.longestMs = Math.max(record?.longestMs ?? 0, parts.options.leaseMs);
    this.#listed = new Uint8Array(leases.length);
    if (isMine) this.#lingering = record.lingering.filter((grant) => grant !== undefined);
  }

  #lingering: LingeringGrant[] = [];

  /** Requests that no honest agent of this release sends. */
  get malformed(): number {
    return this.#malformed;
  }

  /**
   * Unborn: how many others told their memory in the last round, how many are needed, and whether that has failed for so
   * long that a person should look.
   */
  get rebirth(): { readonly remember: number; readonly needed: number; readonly isStranded: boolean } | undefined {
    if (!this.unborn) return undefined;
    return { remember: this.#remember, needed: this.quorum, isStranded: this.#isStranded };
  }

  /** Of its memory: `voting` is one whose life a majority knows. Whether the clock lets it vote, `stateAt` says. */
  get state(): 'starting' | 'unborn' | 'voting' | 'sealed' | 'failed' {
    if (this.failed) return 'failed';
    if (this.sealedFor !== undefined) return 'sealed';
    if (this.unborn) return 'unborn';
    return this.booted && this.isRecalled() ? 'voting' : 'starting';
  }

  /** For people: `mute` is one that would vote, but waits until whatever it promised in its last life has run out. */
  stateAt(now: Instant): Voter['state'] | 'mute' {
    return this.state === 'voting' && now < this.muteUntil ? 'mute' : this.state;
  }

  maxCounter(lease: number): number {
    return this.maxCounters[lease] ?? 0;
  }

  /** For tests and the simulator: until when a grant of `lease` to this session excludes others. */
  promise(lease: number): { readonly session: Session; readonly counter: number; readonly until: Instant } | undefined {
    const holder = this.holders[lease];
    return holder && { session: holder, counter: this.granted[lease]!, until: instant(this.expiresAt[lease]!) };
  }

  start(now: Instant, out: VoterOutput[]): void {
    this.muteFrom = now;
    this.muteUntil = after(now, this.muteAtStartMs());
    for (const grant of this.#lingering) this.#restore(now, grant);
    this.#lingering = [];
    this.#bootEntry(out);
  }

  /** The store has everything up to and including this token. */
  persisted(now: Instant, token: number, out: VoterOutput[]): void {
    if (this.failed) return;
    this.#durable = Math.max(this.#durable, token);
    const then = this.#atDurable.get(token);
    this.#atDurable.delete(token);
    then?.(now, out);
    while (this.#waiting.length > 0 && this.#waiting[0]!.token <= this.#durable) {
      const { to, message } = this.#waiting.shift()!;
      out.push({ kind: 'send', to, message });
    }
    if (this.recallAt <= now) this.#recall(now, out);
  }

  /** EIO, full: a voter that cannot remember must not promise. It is silent until it is started again. */
  persistFailed(_now: Instant, _token: number, out: VoterOutput[]): void {
    if (this.failed) return;
    this.failed = true;
    this.#waiting = [];
    this.#atDurable.clear();
    this.recallAt = never;
    out.push({ kind: 'observe', what: 'failed' });
  }

  deadline(): Instant {
    return this.failed ? never : instant(Math.min(this.recallAt, this.settling));
  }

  tick(now: Instant, out: VoterOutput[]): void {
    if (this.failed) return;
    if (this.recallAt <= now) this.#recall(now, out);
    if (this.settling <= now) this.#sayRemaining(now, out);
  }

  /** `connection` rises with each connection that the agent opens to us. */
  request(now: Instant, from: AgentIndex, connection: number, message: LeaseRequest, out: VoterOutput[]): void {
    const { session } = message;
    if (message.epoch !== this.epoch || message.cell !== this.cell) return;
    if (from !== session.agent || !Number.isSafeInteger(message.rid)) return this.#countMalformed();
    const { heard } = message;
    if (heard && this.booted && !this.unborn && !this.failed && this.isMemoryOf(heard))
      return this.#loseMemory(now, heard.boot, out);
    if (!this.mayVote(now) || !this.isSameLease(message)) return;
    if (this.dead.has(session.id)) return;
    const known = this.#sessionOf(now, session);
    if (known === undefined || known.isDead || !this.#isSoundConnection(known, connection, message.rid, out)) return;
    if (!this.isNext(known, message.rid)) return;
    known.lastRid = Math.max(known.lastRid, message.rid);
    known.usedAt = now;

    const items = message.items ?? (known.listHash === message.listHash ? known.list : undefined);
    if (items === undefined) {
      out.push({ kind: 'send', to: from, message: this.#needFull(known, message.rid) });
      return;
    }
    if (message.items !== undefined) {
      if (!this.#isSound(message.items)) return this.#countMalformed();
      known.list = message.items;
      known.listHash = listHash(message.items);
    }
    this.vote(now, known, message, items, out);
  }

  protected vote(
    now: Instant,
    known: KnownSession,
    message: LeaseRequest,
    items: readonly BallotItem[],
    out: VoterOutput[],
  ): void {
    const entries: VoterEntry[] = [];
    this.#releaseUnlisted(known, items, entries, out);
    const got: BallotItem[] = [];
    const refused: Refusal[] = [];
    for (const item of items) {
      const { lease, counter } = item;
      const verdict = this.decide(now, known, lease, counter);
      if (verdict === 'renew' || verdict === 'grant') {
        this.#promise(now, known, lease, counter, verdict === 'grant', entries);
        got.push(item);
      } else if (verdict === 'echo') {
        got.push(item);
      } else if (verdict === 'refuse') {
        const isTaken = this.isTaken(now, known, lease);
        const freeInMs = isTaken ? Math.max(1, this.expiresAt[lease]! - now) : 0;
        if (isTaken) this.refusedAgents[lease]![known.agent] = 1;
        refused.push({ lease, counter, maxCounter: this.maxCounters[lease]!, freeInMs });
      }
    }
    const token = entries.length > 0 ? this.persist(entries, out) : this.#nextToken - 1;
    const answer = this.answer(known, message, items, got, refused);
    this.reply(known.agent, answer, token, out);
  }

  protected answer(
    known: KnownSession,
    message: LeaseRequest,
    _items: readonly BallotItem[],
    got: readonly BallotItem[],
    refused: readonly Refusal[],
  ): LeaseAnswer {
    const { cell, epoch, life } = this;
    return { kind: 'lease-answer', cell, epoch, session: known.id, rid: message.rid, got, refused, life };
  }

  /** Rule 4. `echo`, which the rules never say, is for planted mistakes: an answer without a promise. */
  protected decide(
    now: Instant,
    known: KnownSession,
    lease: number,
    counter: number,
  ): 'grant' | 'renew' | 'refuse' | 'ignore' | 'echo' {
    if (this.leases[lease]!.eligible[known.agent] !== 1) return 'ignore';
    const isHeld = this.holders[lease] === known && (this.granted[lease] === counter || this.prior[lease] === counter);
    // Not once a peer has told of a larger token: tokens would go back. What is promised stands until it lapses.
    if (isHeld && this.isNewest(lease, this.granted[lease]!)) return 'renew';
    if (this.isTaken(now, known, lease) || !this.isAbove(lease, counter)) return 'refuse';
    return counter > this.maxCounters[lease]! + maxCounterStep ? 'ignore' : 'grant';
  }

  /** Somebody else's, and not expired. */
  protected isTaken(now: Instant, known: KnownSession, lease: number): boolean {
    const holder = this.holders[lease];
    return holder !== undefined && !this.isOwn(holder, known) && now < this.expiresAt[lease]!;
  }

  protected isOwn(holder: KnownSession, known: KnownSession): boolean {
    return holder === known;
  }

  protected isAbove(lease: number, counter: number): boolean {
    return counter > this.maxCounters[lease]!;
  }

  /**
   * Whose grant is restored may go on only if its token is the newest of this epoch. An older one, which a peer remembers
   * while another remembers a larger that was used and released meanwhile, can only lapse: renewed, tokens would go back.
   */
  protected isNewest(lease: number, counter: number): boolean {
    return counter === this.maxCounters[lease]!;
  }

  protected isNext(known: KnownSession, rid: number): boolean {
    return rid > known.lastRid;
  }

  protected isSameLease(message: LeaseRequest): boolean {
    return message.leaseMs === this.options.leaseMs;
  }

  protected isSealed(): boolean {
    return this.sealedFor !== undefined;
  }

  protected mayVote(now: Instant): boolean {
    return (
      this.booted &&
      !this.failed &&
      !this.unborn &&
      !this.isSealed() &&
      now >= this.muteUntil &&
      (this.isRecalled() || this.voters.length === 1)
    );
  }

  protected muteAtStartMs(): number {
    return muteMs(this.longestMs, this.options.drift);
  }

  /** Enough peers know of this life, and none remembers a later one. */
  protected isRecalled(): boolean {
    return this.#count(this.confirmed) + 1 >= this.quorum;
  }

  /** A peer remembers a life of this voter that its store knows nothing of. */
  protected isMemoryOf(heard: VoterLife): boolean {
    return isOfAnotherStory(this.story, heard) && heard.boot <= this.life.boot + maxBootStep;
  }

  /**
   * Whether a peer's new life follows from the one that is remembered. One that does not is never remembered in its
   * place: else a rolled-back store would be found out in its first life only, and could die before it wrote that down.
   */
  protected isSuccessor(known: VoterLife, message: VoterRecall): boolean {
    return message.unborn || (message.former !== undefined && isSameLife(message.former, known));
  }

  protected lingerOf(lease: number): number {
    return this.leases[lease]?.lingerMs ?? 0;
  }

  /** The supervisor's word that a session is dead: one hash, and its duties are free. Its permits go on lapsing. */
  died(now: Instant, secret: string, out: VoterOutput[]): void {
    const id = this.digest(secret);
    const known = this.sessions.get(id);
    if (known === undefined) {
      if (this.dead.size >= maxDeadSessions) this.dead.delete(this.dead.values().next().value!);
      this.dead.add(id);
      return;
    }
    if (known.isDead) return;
    known.isDead = true;
    out.push({ kind: 'died', agent: known.agent, boot: known.boot });
    const freed: number[] = [];
    for (let lease = 0; lease < this.leases.length; lease++) {
      if (this.holders[lease] !== known || this.lingerOf(lease) > 0) continue;
      this.#free(lease);
      if (now < this.expiresAt[lease]!) freed.push(lease);
    }
    this.#wake(freed, out);
  }

  /** Ends this voter's part in the epoch, once and for ever (rule 10). */
  seal(now: Instant, from: AgentIndex, message: Seal, out: VoterOutput[]): void {
    if (message.epoch !== this.epoch || message.cell !== this.cell) return;
    // An unborn voter may have sealed for another successor and forgotten it.
    if (!this.booted || this.failed || this.unborn || !this.isRecalled()) return;
    if (this.maySealFor(message.successor)) {
      this.sealedFor = message.successor;
      out.push({ kind: 'observe', what: 'sealed' });
      this.persist([{ kind: 'sealed', successor: message.successor }], out);
    }
    const lingering = this.#lingeringNow(now);
    const sealed: Sealed = {
      kind: 'lease-sealed',
      cell: this.cell,
      epoch: this.epoch,
      successor: this.sealedFor!,
      boot: this.life.boot,
      reborn: this.reborn.slice(),
      lingering,
    };
    this.reply(from, sealed, this.#nextToken - 1, out);
  }

  protected maySealFor(_successor: BundleHash): boolean {
    return this.sealedFor === undefined;
  }

  /**
   * What was granted so far, for a gateway that begins. No promise: a mute or sealed voter tells it too, but not one that
   * may have forgotten.
   */
  floors(from: AgentIndex, message: FloorsWanted, out: VoterOutput[]): void {
    const { cell, epoch } = this;
    if (message.epoch !== epoch || message.cell !== cell) return;
    if (!this.booted || this.failed || this.unborn || !(this.isRecalled() || this.voters.length === 1)) return;
    const { round } = message;
    const maxCounters = Array.from(this.maxCounters);
    this.reply(from, { kind: 'lease-floors', cell, epoch, round, maxCounters }, this.#nextToken - 1, out);
  }

  /** Another voter started: remember its life, and tell what is remembered. */
  recall(now: Instant, from: AgentIndex, message: VoterRecall, out: VoterOutput[]): void {
    const position = this.voters.indexOf(from);
    if (position < 0 || from === this.self || message.epoch !== this.epoch || message.cell !== this.cell) return;
    if (!this.booted || this.failed) return;
    const { boot } = message.life;
    if (!Number.isSafeInteger(boot) || boot > (this.heard[position]?.boot ?? boot) + maxBootStep)
      return this.#countMalformed();
    const known = this.heard[position];
    const isNews = known === undefined || (message.life.boot > known.boot && this.isSuccessor(known, message));
    const isSame = known !== undefined && isSameLife(known, message.life);
    // Anything else is no news: what is remembered goes back as an objection, or as a question.
    if (isNews || (isSame && message.unborn && this.reborn[position]! < message.life.boot)) {
      this.heard[position] = message.life;
      if (message.unborn) this.reborn[position] = message.life.boot;
      this.persist([{ kind: 'heard', voter: position, life: message.life, reborn: message.unborn }], out);
    }
    const memory: VoterMemory | undefined = this.unborn
      ? undefined
      : {
          longestMs: this.longestMs,
          maxCounters: Array.from(this.maxCounters),
          sealedFor: this.sealedFor,
          lingering: this.#lingeringNow(now),
        };
    const remembered = this.heard[position]!;
    const { cell, epoch } = this;
    const { round } = message;
    this.reply(from, { kind: 'voter-recalled', cell, epoch, round, remembered, memory }, this.#nextToken - 1, out);
  }

  recalled(now: Instant, from: AgentIndex, message: VoterRecalled, out: VoterOutput[]): void {
    const position = this.voters.indexOf(from);
    if (position < 0 || from === this.self || message.epoch !== this.epoch || message.cell !== this.cell) return;
    if (!this.booted || this.failed) return;
    if (this.isMemoryOf(message.remembered)) return this.#loseMemory(now, message.remembered.boot, out);
    if (message.remembered.boot !== this.life.boot) {
      // It was away for a life or two. The next question names the one that it knows.
      this.former[position] = message.remembered;
      return;
    }
    const was = this.isRecalled();
    this.confirmed[position] = 1;
    if (!this.unborn) {
      if (message.memory !== undefined) this.learn(now, message.memory, out);
      if (!was && this.isRecalled()) out.push({ kind: 'observe', what: 'voting' });
      return;
    }
    const longestMs = message.memory?.longestMs ?? 0;
    if (longestMs > this.longestMs && longestMs <= maxLeaseMs) {
      // What this voter forgot may have been promised for longer than it would promise today.
      this.longestMs = longestMs;
      this.muteUntil = after(this.muteFrom, this.muteAtStartMs());
    }
    if (message.memory === undefined || message.round !== this.recallRound || !this.mayRead()) return;
    if (message.memory.maxCounters.length !== this.leases.length) return this.#countMalformed();
    this.memories[position] = message.memory;
    this.#tryBirth(out);
  }

  /**
   * A store that was set back within one life shows that by no life, and a disk that lied about a write shows it by nothing.
   * Whoever granted the forgotten tokens as well remembers them, and they are in every answer that a start waits for: none
   * is granted again, who holds an older one has to ask for a newer, and a forgotten permit is taken until it lapses.
   */
  protected learn(now: Instant, { maxCounters, lingering }: VoterMemory, out: VoterOutput[]): void {
    if (maxCounters.length !== this.leases.length) return this.#countMalformed();
    const raised = new Set<number>();
    for (let lease = 0; lease < maxCounters.length; lease++) {
      const counter = maxCounters[lease]!;
      const known = this.maxCounters[lease]!;
      if (!isCounter(counter) || counter <= known || counter > known + maxCounterStep) continue;
      this.maxCounters[lease] = counter;
      raised.add(lease);
    }
    const entries: VoterEntry[] = [];
    for (const grant of lingering) {
      const taken = this.#takeOver(now, grant);
      if (taken === undefined) continue;
      entries.push(taken);
      raised.add(grant.lease);
    }
    for (const lease of raised) entries.push({ kind: 'raised', lease, counter: this.maxCounters[lease]! });
    if (entries.length > 0) this.persist(entries, out);
  }

  /** A permit that a peer remembers as taken. Undefined where that is no news, or what was promised in this life stands. */
  #takeOver(now: Instant, { lease, counter, session, remainingMs }: LingeringGrant): VoterEntry | undefined {
    if (!(this.lingerOf(lease) > 0)) return undefined;
    const until = now + Math.min(Math.max(remainingMs, 0) || 0, this.options.leaseMs + this.lingerOf(lease));
    const holder = this.holders[lease];
    const isTaken = holder !== undefined && now < this.expiresAt[lease]!;
    if (isTaken && this.#isRestored[lease] === 0) return undefined;
    const leftMs = Math.max(until, isTaken ? this.expiresAt[lease]! : 0) - now;
    if (isTaken && holder.id === session.id && this.granted[lease]! > 0) {
      this.expiresAt[lease] = now + leftMs;
      return undefined;
    }
    // Two sessions: one of them was a candidate that never won, and nobody can say which. It is neither's and only lapses,
    // and stays so whatever else is told.
    const told = isTaken ? 0 : counter;
    this.#restore(now, { lease, counter: told, session, remainingMs: leftMs });
    return { kind: 'granted', lease, counter: told, session, remainingMs: leftMs };
  }

  /** What was asked before the end of the mute may miss a token that was used on this voter's forgotten word. */
  protected mayRead(): boolean {
    return this.recallSentAt >= this.muteUntil;
  }

  protected becomesBorn(): boolean {
    return this.memories.filter((memory) => memory !== undefined).length >= this.quorum;
  }

  #tryBirth(out: VoterOutput[]): void {
    if (!this.becomesBorn() || this.#atDurable.size > 0) return;
    const { longestMs } = this;
    const maxCounters = new Array<number>(this.leases.length).fill(0);
    const lingering = new Array<LingeringGrant | undefined>(this.leases.length).fill(undefined);
    let sealedFor: BundleHash | undefined;
    for (const memory of this.memories) {
      if (memory === undefined) continue;
      for (let lease = 0; lease < maxCounters.length; lease++) {
        const counter = memory.maxCounters[lease]!;
        if (isCounter(counter)) maxCounters[lease] = Math.max(maxCounters[lease]!, counter);
      }
      sealedFor ??= memory.sealedFor;
      mergeLingering(lingering, memory.lingering);
    }
    const memory: VoterMemory = {
      longestMs,
      maxCounters,
      sealedFor,
      lingering: lingering.filter((grant) => grant !== undefined),
    };
    const token = this.persist([{ kind: 'born', memory }], out);
    const { life } = this;
    this.#atDurable.set(token, (then, thenOut) => {
      if (this.life !== life) return;
      this.unborn = false;
      this.#isStranded = false;
      this.sealedFor = sealedFor;
      this.maxCounters.set(maxCounters);
      this.holders.fill(undefined);
      for (const grant of memory.lingering) this.#restore(then, grant);
      thenOut.push({ kind: 'observe', what: 'born' });
    });
  }

  /** The store is older than what others remember of us: what it says is worth nothing. */
  #loseMemory(now: Instant, rememberedBoot: number, out: VoterOutput[]): void {
    this.unborn = true;
    this.life = { boot: Math.max(this.life.boot, rememberedBoot) + 1, nonce: this.life.nonce };
    this.story = withLife(this.story, this.life, true);
    this.former.fill(undefined);
    this.muteFrom = now;
    this.muteUntil = after(now, this.muteAtStartMs());
    this.confirmed.fill(0);
    this.#waiting = [];
    this.booted = false;
    this.#bootEntry(out);
  }

  #bootEntry(out: VoterOutput[]): void {
    if (this.unborn) out.push({ kind: 'observe', what: 'unborn' });
    const { life } = this;
    const token = this.persist([{ kind: 'booted', ...life, unborn: this.unborn }], out);
    this.#atDurable.set(token, (then, thenOut) => {
      if (this.life !== life) return;
      this.booted = true;
      this.recallAt = this.voters.length > 1 ? then : never;
      // There is nobody to ask.
      if (this.unborn && this.voters.length === 1) this.#strand(thenOut);
    });
  }

  #recall(now: Instant, out: VoterOutput[]): void {
    const { cell, epoch, life, unborn } = this;
    const isAsking = unborn || this.#count(this.confirmed) < this.voters.length - 1;
    if (!isAsking) {
      this.recallAt = never;
      return;
    }
    this.#remember = this.memories.filter((memory) => memory !== undefined).length;
    if (unborn && now >= this.muteUntil + strandedAfterMs) this.#strand(out);
    this.recallRound++;
    this.recallSentAt = now;
    this.memories = [];
    for (let position = 0; position < this.voters.length; position++) {
      const to = this.voters[position]!;
      if (to === this.self || (!unborn && this.confirmed[position] === 1)) continue;
      const former = this.former[position];
      const message: VoterRecall = { kind: 'voter-recall', cell, epoch, life, unborn, former, round: this.recallRound };
      out.push({ kind: 'send', to, message });
    }
    this.recallAt = after(now, this.recallEveryMs);
    this.recallEveryMs = Math.min(this.recallEveryMs * 1.5, recallSlowestMs);
  }

  #strand(out: VoterOutput[]): void {
    if (!this.#isStranded) out.push({ kind: 'observe', what: 'stranded' });
    this.#isStranded = true;
  }

  protected persist(entries: readonly VoterEntry[], out: VoterOutput[]): number {
    const token = this.#nextToken++;
    out.push({ kind: 'persist', token, entries });
    return token;
  }

  /** Says `message` as soon as everything up to `token` is durable. */
  protected reply(to: AgentIndex, message: WaitingMessage, token: number, out: VoterOutput[]): void {
    if (token <= this.#durable) out.push({ kind: 'send', to, message });
    else if (this.#waiting.length < maxWaiting) this.#waiting.push({ token, to, message });
  }

  #promise(
    now: Instant,
    known: KnownSession,
    lease: number,
    counter: number,
    isNew: boolean,
    entries: VoterEntry[],
  ): void {
    const lingerMs = this.lingerOf(lease);
    const isSame = this.holders[lease] === known;
    if (isNew) {
      // A permit's earlier holder may still be at work past its own linger only if it was released; then it is not.
      this.prior[lease] = isSame ? this.granted[lease]! : 0;
      this.holders[lease] = known;
      this.#isRestored[lease] = 0;
      this.granted[lease] = counter;
      this.maxCounters[lease] = Math.max(counter, this.maxCounters[lease]!);
      const { agent, boot, id } = known;
      const session = lingerMs > 0 ? { agent, boot, id } : undefined;
      entries.push({ kind: 'granted', lease, counter, session, remainingMs: this.options.leaseMs + lingerMs });
    } else if (lingerMs > 0 && this.remainingSaidAt[lease]! > 0) {
      // It was lapsing, and a shorter time is on disk.
      entries.push({ kind: 'remaining', lease, remainingMs: this.options.leaseMs + lingerMs });
    }
    // A promise is never shortened, whatever T has become meanwhile.
    const until = now + this.options.leaseMs + lingerMs;
    this.expiresAt[lease] = isSame ? Math.max(until, this.expiresAt[lease]!) : until;
    if (lingerMs > 0) {
      this.remainingSaidAt[lease] = 0;
      this.settling = instant(Math.min(this.settling, now + this.options.leaseMs + lingerMs / 4));
    }
  }

  /** Writes down how much of a lapsing permit is left, so that a restart does not begin it anew. */
  #sayRemaining(now: Instant, out: VoterOutput[]): void {
    const entries: VoterEntry[] = [];
    let next: number = never;
    for (let lease = 0; lease < this.leases.length; lease++) {
      const lingerMs = this.lingerOf(lease);
      if (lingerMs === 0 || this.holders[lease] === undefined) continue;
      const leftMs = this.expiresAt[lease]! - now;
      if (leftMs <= 0) continue;
      if (leftMs <= lingerMs) {
        entries.push({ kind: 'remaining', lease, remainingMs: leftMs });
        this.remainingSaidAt[lease] = now;
        next = Math.min(next, now + Math.max(1000, lingerMs / 4));
      } else next = Math.min(next, now + Math.max(leftMs - lingerMs, 0) + lingerMs / 4);
    }
    this.settling = instant(next);
    if (entries.length > 0 && !this.unborn) this.persist(entries, out);
  }

  #restore(now: Instant, grant: LingeringGrant): void {
    const { lease, session } = grant;
    if (lease >= this.leases.length) return;
    const isHere = grant.counter > 0 && this.isNewest(lease, grant.counter);
    const holder = (isHere ? this.#sessionOf(now, session) : undefined) ?? freshSession(now, session);
    this.holders[lease] = holder;
    this.#isRestored[lease] = 1;
    this.granted[lease] = isHere ? grant.counter : 0;
    this.prior[lease] = 0;
    this.expiresAt[lease] = now + grant.remainingMs;
    this.settling = instant(Math.min(this.settling, now + this.lingerOf(lease) / 4));
  }

  #lingeringNow(now: Instant): LingeringGrant[] {
    const found: LingeringGrant[] = [];
    for (let lease = 0; lease < this.leases.length; lease++) {
      const holder = this.holders[lease];
      const remainingMs = this.expiresAt[lease]! - now;
      if (this.lingerOf(lease) === 0 || holder === undefined || remainingMs <= 0) continue;
      const { agent, boot, id } = holder;
      found.push({ lease, counter: this.granted[lease]!, session: { agent, boot, id }, remainingMs });
    }
    return found;
  }

  #releaseUnlisted(known: KnownSession, items: readonly BallotItem[], entries: VoterEntry[], out: VoterOutput[]): void {
    const listed = this.#listed;
    listed.fill(0);
    for (const { lease, counter } of items) {
      if (this.holders[lease] !== known) continue;
      // Bit 0: the lease is listed; bit 1: its current token; bit 2: the former one.
      listed[lease]! |= 1 | (counter === this.granted[lease] ? 2 : 0) | (counter === this.prior[lease] ? 4 : 0);
    }
    const freed: number[] = [];
    for (let lease = 0; lease < this.leases.length; lease++) {
      if (this.holders[lease] !== known) continue;
      if (listed[lease] === 0) {
        this.#free(lease);
        if (this.lingerOf(lease) > 0) entries.push({ kind: 'freed', lease });
        freed.push(lease);
      } else if ((listed[lease]! & 4) === 0) this.prior[lease] = 0;
    }
    this.#wake(freed, out);
  }

  #free(lease: number): void {
    this.holders[lease] = undefined;
    this.granted[lease] = 0;
    this.prior[lease] = 0;
  }

  /** Those who were refused sleep until it expires; freed earlier, they are told. */
  #wake(freed: readonly number[], out: VoterOutput[]): void {
    if (freed.length === 0) return;
    const perAgent = new Map<AgentIndex, { lease: number; maxCounter: number }[]>();
    for (const lease of freed) {
      const refused = this.refusedAgents[lease]!;
      for (let agent = 0; agent < refused.length; agent++) {
        if (refused[agent] === 0) continue;
        const list = perAgent.get(agent);
        const item = { lease, maxCounter: this.maxCounters[lease]! };
        if (list) list.push(item);
        else perAgent.set(agent, [item]);
      }
      refused.fill(0);
    }
    const { cell, epoch } = this;
    for (const [to, leases] of perAgent)
      out.push({ kind: 'send', to, message: { kind: 'lease-freed', cell, epoch, leases } });
  }

  #needFull(known: KnownSession, rid: number): LeaseNeedFull {
    return { kind: 'lease-need-full', cell: this.cell, epoch: this.epoch, session: known.id, rid };
  }

  /** Finds or makes the entry of a session; undefined when its agent already has as many as are told apart. */
  #sessionOf(now: Instant, session: Session): KnownSession | undefined {
    const found = this.sessions.get(session.id);
    if (found) return found.agent === session.agent && found.boot === session.boot ? found : undefined;
    let count = 0;
    let idle: KnownSession | undefined;
    for (const known of this.sessions.values()) {
      if (known.agent !== session.agent) continue;
      count++;
      if (!this.holders.includes(known) && (idle === undefined || known.usedAt < idle.usedAt)) idle = known;
    }
    if (count >= sessionsPerAgent) {
      if (idle === undefined) return undefined;
      this.sessions.delete(idle.id);
    }
    const fresh = freshSession(now, session);
    this.sessions.set(session.id, fresh);
    return fresh;
  }

  /**
   * A connection that speaks again after a later one spoke: two processes share one session's memory, as after the
   * copy of a running machine. Such a session may only expire (rule 2). What was merely under way on the older one has
   * an older request id as well, and one process never goes back to a connection that it left.
   */
  #isSoundConnection(known: KnownSession, connection: number, rid: number, out: VoterOutput[]): boolean {
    if (connection < known.connection && rid > known.lastRid && !known.poisoned) {
      known.poisoned = true;
      out.push({ kind: 'observe', what: 'poisoned' });
    }
    known.connection = Math.max(known.connection, connection);
    return !known.poisoned;
  }

  #isSound(items: readonly BallotItem[]): boolean {
    if (items.length > 2 * this.leases.length) return false;
    for (const { lease, counter } of items)
      if (!Number.isInteger(lease) || lease < 0 || lease >= this.leases.length || !isCounter(counter)) return false;
    return true;
  }

  #count(flags: Uint8Array): number {
    let count = 0;
    for (const flag of flags) count += flag;
    return count;
  }

  #countMalformed(): void {
    this.#malformed++;
  }
}

type WaitingMessage = LeaseAnswer | Sealed | VoterRecalled | Floors;

const freshSession = (now: Instant, { agent, boot, id }: Session): KnownSession => ({
  agent,
  boot,
  id,
  lastRid: 0,
  list: [],
  listHash: listHash([]),
  connection: 0,
  poisoned: false,
  isDead: false,
  usedAt: now,
});

export type { KnownSession };
