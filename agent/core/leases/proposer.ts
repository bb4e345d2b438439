import type { AgentIndex } from '../../base/ids.ts';
import type { Random } from '../../base/random.ts';
import { after, type Instant, instant, never } from '../../base/time.ts';
import {
  type BallotItem,
  type LeaseAnswer,
  type LeaseFreed,
  type LeaseNeedFull,
  type LeaseRequest,
  listHash,
} from './ballot.ts';
import type { HolderTime } from './elapsed-clock.ts';
import { type FencingToken, isCounter, maxCounter } from './fencing-token.ts';
import { Lease } from './lease.ts';
import { type LeaseOptions, type LeaseSpec, quorumOf, windowMs } from './options.ts';
import type { Session, VoterLife } from './session.ts';

export type ProposerOutput =
  | { readonly kind: 'send'; readonly to: AgentIndex; readonly message: LeaseRequest }
  /** The duty may run, every effect with this token. `until`: no effect begins later, by the elapsed clock. */
  | { readonly kind: 'acquired'; readonly lease: number; readonly token: FencingToken; readonly until: Instant }
  | { readonly kind: 'extended'; readonly lease: number; readonly token: FencingToken; readonly until: Instant }
  /** A larger token took over without a gap: all effects from now on carry it. */
  | { readonly kind: 'renumbered'; readonly lease: number; readonly token: FencingToken; readonly until: Instant }
  /** Stop at once; nothing may begin. */
  | { readonly kind: 'lost'; readonly lease: number; readonly token: FencingToken }
  /** Voters are being told. */
  | { readonly kind: 'released'; readonly lease: number; readonly token: FencingToken };

/** Transmissions per voter whose answers are still understood. */
const remembered = 16;
/** After this many tries in a row without an answer, a voter is asked at the pace of renewal only. */
const quickTries = 4;

/** One voter as the proposer deals with it. */
export interface VoterLink {
  readonly agent: AgentIndex;
  readonly position: number;
  readonly rids: Float64Array;
  readonly sentAt: Float64Array;
  readonly hashes: Float64Array;
  slot: number;
  lastRid: number;
  lastSentAt: number;
  nextSend: Instant;
  tries: number;
  /** When it was first asked something since it said anything; `never`: it owes us nothing. */
  silentSince: Instant;
  /** The list that it has in full, as far as we know. */
  knownHash: number;
  /** The list whose request it answered last. */
  answeredHash: number;
  life: VoterLife | undefined;
}

/**
 * An agent's hand in the leases of one cell and epoch: keeps the whole portfolio at all voters alive, and says what may
 * be done (rules 2, 3, 6, 7, 8).
 *
 * Guaranteed, under the same conditions as the voters' promise: between `acquired` and `lost`, while `mayAct` says so,
 * nobody else may; tokens that it hands out for one lease only rise. Not guaranteed: that anybody holds a lease. With
 * two candidates at once both may fail, and try again after a random while.
 *
 * Who hears no majority makes no new proposal, only asks whether anybody is there: voters that hear a deaf candidate would
 * keep the lease for it again and again, and nobody else could have it.
 *
 * Membership never enters: who tries first is the caller's `delayMs`, and a wrong guess costs time only.
 *
 * Not chosen: one message per lease. The whole list in each request makes loss harmless, a later one repeats all that
 * an earlier one said, and a release needs no message of its own that could arrive late.
 *
 * Deadlines are on the elapsed clock.
 */
export class Proposer {
  readonly session: Session;
  protected readonly options: LeaseOptions;
  protected readonly cell: number;
  protected readonly epoch: number;
  protected readonly specs: readonly LeaseSpec[];
  protected readonly leases: readonly Lease[];
  protected readonly links: readonly VoterLink[];
  readonly #random: Random;
  #rid = 0;
  #list: readonly BallotItem[] = [];
  #listHash = listHash([]);
  #dirty = false;
  #dead = false;
  #elapsed: Instant = instant(0);
  #monotonic: Instant = instant(0);

  constructor(parts: {
    options: LeaseOptions;
    cell: number;
    epoch: number;
    session: Session;
    voters: readonly AgentIndex[];
    leases: readonly LeaseSpec[];
    random: Random;
  }) {
    this.options = parts.options;
    this.cell = parts.cell;
    this.epoch = parts.epoch;
    this.session = parts.session;
    this.specs = parts.leases;
    this.#random = parts.random;
    this.leases = parts.leases.map((spec, index) => this.makeLease(index, parts.voters.length, spec.lingerMs > 0));
    this.links = parts.voters.map((agent, position) => ({
      agent,
      position,
      rids: new Float64Array(remembered).fill(-1),
      sentAt: new Float64Array(remembered),
      hashes: new Float64Array(remembered),
      slot: 0,
      lastRid: 0,
      lastSentAt: 0,
      nextSend: never,
      tries: 0,
      silentSince: never,
      knownHash: -1,
      answeredHash: listHash([]),
      life: undefined,
    }));
  }

  lease(index: number): Lease {
    return this.leases[index]!;
  }

  /** To be asked in the same synchronous block as the effect: the token to send along, or undefined. */
  mayAct(time: HolderTime, lease: number): FencingToken | undefined {
    const counter = this.leases[lease]!.mayAct(time.elapsed, this.options.guardMs);
    return counter === 0 ? undefined : { epoch: this.epoch, counter };
  }

  /** An effect under this lease began; each is followed by one `finished`. */
  began(lease: number): void {
    this.leases[lease]!.effects++;
  }

  /** It completed, and nothing of it can still land. */
  finished(time: HolderTime, lease: number, token: FencingToken, out: ProposerOutput[]): void {
    const now = this.#note(time);
    const held = this.leases[lease]!;
    if (token.epoch !== this.epoch || token.counter < held.since) return;
    if (held.effects > 0) held.effects--;
    this.#settle(now, held, out);
    this.#flush(now, out);
  }

  /** Tries for the lease from `delayMs` on, and goes on until `release`. The delay ranks the candidates. */
  want(time: HolderTime, lease: number, delayMs: number, out: ProposerOutput[]): void {
    const now = this.#note(time);
    const wish = this.leases[lease]!;
    if (this.#dead || this.specs[lease]!.eligible[this.session.agent] !== 1) return;
    wish.delayMs = delayMs;
    if (wish.wanted) return;
    wish.wanted = true;
    if (wish.counter === 0) wish.wakeAt = after(now, delayMs);
    this.tick(time, out);
  }

  /**
   * Gives the lease up: from now on no effect begins. Voters are told when the last one completed, or, for a duty, when
   * the guard time has passed (rule 8). A permit waits for its completion, however long (rule 11).
   */
  release(time: HolderTime, lease: number, out: ProposerOutput[]): void {
    const now = this.#note(time);
    const held = this.leases[lease]!;
    held.wanted = false;
    held.wakeAt = never;
    if (held.counter === 0) return;
    held.ending = 'released';
    held.endsBy = held.isPermit ? never : after(this.#monotonic, this.releaseWaitMs(held));
    held.next = 0;
    this.#dirty = true;
    this.#settle(now, held, out);
    this.#flush(now, out);
  }

  /** Where effects happen a larger token was seen: ours has a successor somewhere, or voters lost their memory. */
  outnumbered(time: HolderTime, lease: number, floor: FencingToken, out: ProposerOutput[]): void {
    const now = this.#note(time);
    const held = this.leases[lease]!;
    if (floor.epoch !== this.epoch || !isCounter(floor.counter)) return;
    held.known = Math.max(held.known, floor.counter);
    if (held.held && held.ending === 'no' && held.counter <= floor.counter && held.next <= floor.counter) {
      held.proposeBeside();
      this.#dirty = true;
    }
    this.#flush(now, out);
  }

  /** The epoch ended here: everything held is lost, nothing more is sent. Voters of the next one wait out what was. */
  retire(_time: HolderTime, out: ProposerOutput[]): void {
    this.#dead = true;
    for (const lease of this.leases) {
      if (lease.held && lease.ending === 'no')
        out.push({ kind: 'lost', lease: lease.index, token: this.#token(lease) });
      lease.wanted = false;
      lease.drop(never);
    }
    for (const link of this.links) link.nextSend = never;
  }

  answer(time: HolderTime, from: AgentIndex, message: LeaseAnswer, out: ProposerOutput[]): void {
    const now = this.#note(time);
    const link = this.#linkOf(from, message);
    if (link === undefined || !this.isMine(message)) return;
    const slot = link.rids.indexOf(message.rid);
    if (slot < 0) return;
    link.silentSince = never;
    link.life = message.life;
    link.answeredHash = link.hashes[slot]!;
    if (message.rid === link.lastRid) {
      link.tries = 0;
      link.knownHash = link.hashes[slot]!;
      const isIdle = this.#list.length === 0 && link.answeredHash === this.#listHash;
      link.nextSend = isIdle ? never : instant(link.lastSentAt + this.options.renewMs);
    }
    const sentAt = this.countedSendTime(now, link, slot);
    for (const { lease, counter } of message.got) this.leases[lease]?.acknowledged(link.position, counter, sentAt);
    for (const refusal of message.refused) this.#refused(now, link, refusal);
    for (const lease of this.leases) if (lease.counter > 0) this.#judge(now, lease, out);
    this.#flush(now, out);
  }

  needFull(time: HolderTime, from: AgentIndex, message: LeaseNeedFull, out: ProposerOutput[]): void {
    const now = this.#note(time);
    const link = this.#linkOf(from, message);
    if (link === undefined || !this.isMine(message) || !link.rids.includes(message.rid)) return;
    link.silentSince = never;
    link.knownHash = -1;
    if (message.rid === link.lastRid) this.#send(now, link, out);
  }

  freed(time: HolderTime, from: AgentIndex, message: LeaseFreed, out: ProposerOutput[]): void {
    const now = this.#note(time);
    const link = this.#linkOf(from, message);
    if (link === undefined) return;
    link.silentSince = never;
    for (const { lease: index, maxCounter: largest } of message.leases) {
      const lease = this.leases[index];
      if (lease === undefined || !isCounter(largest)) continue;
      lease.known = Math.max(lease.known, largest);
      lease.taken(link.position, Number.NEGATIVE_INFINITY);
      // A candidate that waits for this very voter asks again at once.
      if (lease.counter > 0 && !lease.held) link.nextSend = now;
      if (!lease.wanted || lease.counter > 0) continue;
      // Refusals of the time when it was held were no split votes: they must not slow down who comes next.
      const pauseMs = Math.min(this.#pauseMs(lease), this.options.retryMs / 2);
      lease.wakeAt = instant(Math.min(lease.wakeAt, now + lease.delayMs + pauseMs));
    }
    this.tick(time, out);
  }

  deadline(): Instant {
    let at: number = never;
    for (const link of this.links) at = Math.min(at, link.nextSend);
    const mayPropose = !this.isDeaf(this.#elapsed);
    for (const lease of this.leases) {
      if (lease.counter === 0) at = Math.min(at, mayPropose ? lease.wakeAt : never);
      else if (lease.ending !== 'no') at = Math.min(at, this.#elapsed + (lease.endsBy - this.#monotonic));
      else if (lease.held) at = Math.min(at, lease.validUntil - this.options.guardMs);
      else {
        const isRefused = lease.takenBy(this.#elapsed) > 0;
        at = Math.min(at, lease.triedAt + (isRefused ? this.options.retryMs * 2 : this.options.leaseMs));
      }
    }
    return instant(at);
  }

  tick(time: HolderTime, out: ProposerOutput[]): void {
    const now = this.#note(time);
    if (this.#dead) return;
    const mayPropose = !this.isDeaf(now);
    for (const lease of this.leases) {
      if (lease.counter > 0) this.#judge(now, lease, out);
      if (!mayPropose || lease.counter !== 0 || !lease.wanted || lease.wakeAt > now) continue;
      if (lease.known >= maxCounter) lease.wakeAt = never;
      else {
        lease.propose(now);
        this.#dirty = true;
      }
    }
    this.#flush(now, out);
    for (const link of this.links) if (link.nextSend <= now) this.#send(now, link, out);
  }

  protected makeLease(index: number, voters: number, isPermit: boolean): Lease {
    return new Lease(index, voters, isPermit);
  }

  /** The send time of the very request that is answered. */
  protected countedSendTime(_now: Instant, link: VoterLink, slot: number): number {
    return link.sentAt[slot]!;
  }

  protected quorum(_now: Instant): number {
    return quorumOf(this.links.length);
  }

  /** Fewer than a majority said anything lately, although all were asked. */
  protected isDeaf(now: Instant): boolean {
    const { leaseMs } = this.options;
    const hears = this.links.filter(({ silentSince, life }) => {
      // Who never answered may be mute after a start, as all are when the whole site begins.
      const patienceMs = life === undefined ? leaseMs * 1.2 : leaseMs / 2;
      return silentSince === never || now - silentSince < patienceMs;
    });
    return hears.length < quorumOf(this.links.length);
  }

  protected windowMs(): number {
    return windowMs(this.options);
  }

  protected releaseWaitMs(lease: Lease): number {
    return lease.effects === 0 ? 0 : this.options.guardMs * (1 + 2 * this.options.drift);
  }

  /** An answer on its way to an earlier life of this agent may bear a request id of this one's. */
  protected isMine(message: LeaseAnswer | LeaseNeedFull): boolean {
    return message.session === this.session.id;
  }

  /** Which clock says that an effect has had its time. */
  protected waitClock({ monotonic }: HolderTime): Instant {
    return monotonic;
  }

  protected nextRid(): number {
    return ++this.#rid;
  }

  #note({ elapsed, monotonic }: HolderTime): Instant {
    this.#elapsed = elapsed;
    this.#monotonic = this.waitClock({ elapsed, monotonic });
    return elapsed;
  }

  #refused(
    now: Instant,
    link: VoterLink,
    refusal: { lease: number; counter: number; maxCounter: number; freeInMs: number },
  ): void {
    const lease = this.leases[refusal.lease];
    if (lease === undefined || !Number.isFinite(refusal.freeInMs)) return;
    if (isCounter(refusal.maxCounter)) lease.known = Math.max(lease.known, refusal.maxCounter);
    if (refusal.counter !== lease.counter && refusal.counter !== lease.next) return;
    if (refusal.freeInMs > 0) lease.taken(link.position, now + refusal.freeInMs);
    else if (lease.ending !== 'no') return;
    else if (lease.held) {
      // Rule 7. The one beside it may be too small as well by now.
      if (lease.next === 0 || refusal.counter === lease.next) {
        lease.proposeBeside();
        this.#dirty = true;
      }
    } else if (refusal.counter === lease.counter) {
      const { triedAt } = lease;
      lease.propose(now);
      lease.triedAt = triedAt;
      this.#dirty = true;
    }
  }

  /** What the acknowledgements add up to, and what time has taken. */
  #judge(now: Instant, lease: Lease, out: ProposerOutput[]): void {
    const { guardMs, leaseMs } = this.options;
    if (lease.ending !== 'no') return this.#settle(now, lease, out);
    const quorum = this.quorum(now);
    const until = instant(lease.quorumSentAt(quorum, 'current') + this.windowMs());
    const isLonger = until > lease.validUntil;
    if (isLonger) lease.validUntil = until;

    if (lease.held && now >= lease.validUntil - guardMs && !this.#changesOver(now, lease, quorum, out)) {
      lease.held = false;
      out.push({ kind: 'lost', lease: lease.index, token: this.#token(lease) });
      // A permit keeps its token: its work may be going on, and nobody else gets it before it is known to be done.
      if (lease.isPermit) {
        lease.triedAt = now;
        return;
      }
      lease.ending = 'lost';
      lease.endsBy = after(this.#monotonic, this.releaseWaitMs(lease));
      return this.#settle(now, lease, out);
    }
    if (lease.held) {
      if (this.#changesOver(now, lease, quorum, out)) return;
      if (isLonger) out.push(this.#said('extended', lease));
      return;
    }
    if (now < lease.validUntil - guardMs) {
      lease.held = true;
      lease.failures = 0;
      if (lease.effects === 0) lease.since = lease.counter;
      out.push(this.#said('acquired', lease));
      return;
    }
    const taken = lease.takenBy(now);
    const missing = taken - (this.links.length - quorum);
    // Some said no and the others say nothing: candidates that hold a part each must not wait for each other.
    const patienceMs = taken > 0 ? this.options.retryMs * 2 : leaseMs;
    const isHopeless = missing > 0 || now >= lease.triedAt + patienceMs;
    if (!isHopeless || (lease.isPermit && lease.effects > 0)) {
      if (isHopeless) lease.triedAt = now;
      return;
    }
    lease.failures++;
    const free = missing > 0 ? lease.takenUntil(now, missing) : now;
    lease.drop(lease.wanted ? after(free, lease.delayMs + this.#pauseMs(lease)) : never);
    this.#dirty = true;
  }

  /** Two candidates that split the voters would split them again: each waits a random while, longer each time. */
  #pauseMs(lease: Lease): number {
    if (lease.failures === 0) return 0;
    return this.#random.float() * Math.min(this.options.retryMs * 2 ** (lease.failures - 1), this.options.leaseMs / 4);
  }

  #changesOver(now: Instant, lease: Lease, quorum: number, out: ProposerOutput[]): boolean {
    if (lease.next === 0) return false;
    const until = instant(lease.quorumSentAt(quorum, 'next') + this.windowMs());
    if (now >= until - this.options.guardMs) return false;
    lease.changeOver(until);
    this.#dirty = true;
    out.push(this.#said('renumbered', lease));
    return true;
  }

  /** Ends what is lost or released, once nothing that has begun can still happen. */
  #settle(now: Instant, lease: Lease, out: ProposerOutput[]): void {
    if (lease.ending === 'no' || (lease.effects > 0 && this.#monotonic < lease.endsBy)) return;
    if (lease.ending === 'released') {
      out.push({ kind: 'released', lease: lease.index, token: this.#token(lease) });
    }
    lease.effects = 0;
    lease.drop(lease.wanted ? after(now, lease.delayMs) : never);
    this.#dirty = true;
  }

  #said(kind: 'acquired' | 'extended' | 'renumbered', lease: Lease): ProposerOutput {
    const until = instant(lease.validUntil - this.options.guardMs);
    return { kind, lease: lease.index, token: this.#token(lease), until };
  }

  #token(lease: Lease): FencingToken {
    return { epoch: this.epoch, counter: lease.counter };
  }

  /** A changed portfolio goes to all voters at once. */
  #flush(now: Instant, out: ProposerOutput[]): void {
    if (!this.#dirty) return;
    this.#dirty = false;
    const list: BallotItem[] = [];
    for (const { index, counter, next } of this.leases) {
      if (counter > 0) list.push({ lease: index, counter });
      if (next > 0) list.push({ lease: index, counter: next });
    }
    this.#list = list;
    this.#listHash = listHash(list);
    for (const link of this.links) {
      link.tries = 0;
      this.#send(now, link, out);
    }
  }

  #send(now: Instant, link: VoterLink, out: ProposerOutput[]): void {
    if (this.#dead) return;
    const { options, cell, epoch, session } = this;
    const rid = this.nextRid();
    const slot = link.slot;
    link.slot = (slot + 1) % remembered;
    link.rids[slot] = rid;
    link.sentAt[slot] = now;
    link.hashes[slot] = this.#listHash;
    link.lastRid = rid;
    link.lastSentAt = now;
    if (link.silentSince === never) link.silentSince = now;
    link.tries++;
    link.nextSend = after(now, link.tries <= quickTries ? options.retryMs : options.renewMs);
    const items = link.knownHash === this.#listHash ? undefined : this.#list;
    // Until it answers, nobody knows which list it has.
    if (items) link.knownHash = -1;
    const { leaseMs } = options;
    const message: LeaseRequest = {
      kind: 'lease-request',
      cell,
      epoch,
      session,
      rid,
      leaseMs,
      items,
      listHash: this.#listHash,
      heard: link.life,
    };
    out.push({ kind: 'send', to: link.agent, message });
  }

  #linkOf(from: AgentIndex, message: { readonly cell: number; readonly epoch: number }): VoterLink | undefined {
    if (this.#dead || message.cell !== this.cell || message.epoch !== this.epoch) return undefined;
    return this.links.find(({ agent }) => agent === from);
  }
}
