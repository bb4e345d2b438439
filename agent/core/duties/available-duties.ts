import type { AgentIndex, DutyIndex } from '../../base/ids.ts';
import type { Random } from '../../base/random.ts';
import { after, type Instant, never, type WallTime } from '../../base/time.ts';
import { maxCheckpointBytes } from './checkpoint.ts';
import { type DutyMessage, maxUnable, type Stance } from './claim.ts';
import { type Claim, ClaimEar } from './claim-ear.ts';
import type { AgentPlace, Checkpoint, DutySpec } from './duty.ts';
import type { DutyOutput } from './duty-output.ts';
import { type Hand, type HeardClaim, isHeld, newHand } from './hand.ts';
import { Replication } from './handover.ts';
import { MoveBudget } from './move-budget.ts';
import type { DutyOptions } from './options.ts';
import { orderOf, type Ranked } from './placement.ts';
import { type MemberStateWord, Presence } from './presence.ts';
import { Progress } from './progress.ts';
import { Standings } from './standings.ts';

/**
 * Available duties: at least one runner in every part of the site that can talk to itself, one again after a partition
 * has healed, possibly two for a moment. For work that must never run twice this is the wrong tool.
 *
 * Runners claim their duties every period. Who hears no fresh claim starts after startDelay + rankDelay·rank: a rank
 * delays, it never forbids, so an unable favourite leaves no gap. A runner stops after two consecutive claims of a
 * runner that is better in the static order and says that it hears us: then both know. A holder that membership holds
 * dead loses its claims at once; a claim that no longer lists a duty gives it up. An agent that drains says so: its
 * claims count as an offer, whoever starts goes before it, and it stops as above, so the work never pauses.
 *
 * Not guaranteed: that work moves back soon. Who returned from the dead waits, moves of one's own accord are rare, and
 * what a cell runs that loses a third of its members at once stays for a while, unless it is critical. Nor that there
 * is a runner where all who may carry it are at their capacity, or drain.
 *
 * The parts: `ClaimEar` what was heard, `Presence` who is here and whether that lasts, `Standings` who tries first,
 * `MoveBudget` how often work moves for balance alone, `Progress` the checkpoints.
 */
export class AvailableDuties {
  readonly #options: DutyOptions;
  readonly #self: AgentIndex;
  readonly #bootCounter: () => number;
  readonly #agents: readonly AgentPlace[];
  readonly #random: Random;
  readonly #memberState: (member: AgentIndex) => MemberStateWord;
  readonly #alsoHeld: () => number;
  readonly #returns: number | undefined;
  readonly #duties: readonly DutySpec[];
  /** The duties that concern us: in a small site all, for the views; in a large one those that we may carry. */
  readonly #hands: readonly Hand[];
  /** Where they are many. */
  readonly #byDuty: ReadonlyMap<DutyIndex, Hand> | undefined;
  readonly #progress: Progress;
  readonly #ear = new ClaimEar();
  readonly #presence: Presence;
  readonly #standings: Standings;
  readonly #budget: MoveBudget;

  #seq = 0;
  /** Counts the claims that were heard. */
  #listing = 0;
  #held = 0;
  #lastNow: Instant = 0 as Instant;
  #startedAt: Instant = never;
  /** When a candidate was last heard for the first time, or again. */
  #lastArrival: Instant = never;
  #lastChange: Instant = Number.NEGATIVE_INFINITY as Instant;
  /** A later life that found others at work. */
  #isReturned = false;
  #left = false;
  #drainUntil: Instant | undefined;
  #nextClaim: Instant = never;
  #nextMove: Instant = never;
  /** The last claim said more than duties; the next one must take it back. */
  #saidMore = false;
  #deadline: Instant = never;
  #stale = true;

  constructor(parts: {
    duties: readonly DutySpec[];
    options: DutyOptions;
    self: AgentIndex;
    /** Membership's count of our lives: it may jump during one, when peers turn out to remember more of them. */
    bootCounter: () => number;
    agents: readonly AgentPlace[];
    random: Random;
    memberState: (member: AgentIndex) => MemberStateWord;
    /** What this agent's store kept: its own and replicas. */
    checkpoints: readonly Checkpoint[];
    /** Restarts of this agent shortly before this one; undefined: it is its first life. */
    returns?: number | undefined;
    /** Exclusive duties that it carries beside these: they fill the same capacity. */
    alsoHeld?: () => number;
  }) {
    const { agents, self, options } = parts;
    this.#options = options;
    this.#self = self;
    this.#bootCounter = parts.bootCounter;
    this.#agents = agents;
    this.#random = parts.random;
    this.#memberState = parts.memberState;
    this.#alsoHeld = parts.alsoHeld ?? (() => 0);
    this.#returns = parts.returns;
    this.#duties = parts.duties;
    this.#presence = new Presence(agents, self, options);
    this.#standings = new Standings({
      agents,
      self,
      options,
      memberState: parts.memberState,
      presence: this.#presence,
      ear: this.#ear,
      own: () => ({ stance: this.#stance(), isReturned: this.#isReturned }),
    });
    const isSmall = agents.length <= smallSite;
    const concerns = parts.duties.filter((spec) => !spec.exclusive && (isSmall || spec.eligible.includes(self)));
    const mine = new Set(concerns.map((spec) => spec.index));
    this.#progress = new Progress(parts.checkpoints.filter(({ duty }) => mine.has(duty)));
    this.#hands = concerns.map((spec) => this.#newHand(spec));
    if (this.#hands.length > few) this.#byDuty = new Map(this.#hands.map((hand) => [hand.spec.index, hand]));
    this.#budget = new MoveBudget(this.#hands.length, agents.length, options.moveShare, parts.random.fork('moves'));
  }

  #newHand(spec: DutySpec): Hand {
    const order = orderOf(spec, this.#agents);
    const term = this.#progress.get(spec.index)?.term ?? 0;
    return newHand(spec, order, order.place.has(this.#self), term);
  }

  /** A few are looked through: that touches less memory than a map. */
  #handOf(duty: DutyIndex): Hand | undefined {
    if (this.#byDuty !== undefined) return this.#byDuty.get(duty);
    for (const hand of this.#hands) if (hand.spec.index === duty) return hand;
    return undefined;
  }

  mine(duty: DutyIndex): boolean {
    return isHeld(this.#handOf(duty));
  }

  /** Available duties that this agent carries. */
  get load(): number {
    return this.#held;
  }

  /** Who runs it, as far as this agent hears. Of several, the one that will stay. */
  holder(duty: DutyIndex): AgentIndex | undefined {
    return this.#handOf(duty)?.holder;
  }

  /** Largest term heard of; rises with every takeover. */
  term(duty: DutyIndex): number {
    return this.#handOf(duty)?.term ?? 0;
  }

  checkpoint(duty: DutyIndex): Checkpoint | undefined {
    return this.#progress.get(duty);
  }

  /** By a person's order this agent gives its work away and takes none. Its exclusive duties read it too. */
  get draining(): boolean {
    return this.#drainUntil !== undefined;
  }

  /** `never`: until it is undone, or this life ends. */
  get drainUntil(): Instant | undefined {
    return this.#drainUntil;
  }

  /** Why this peer takes nothing more, as it says itself. */
  stanceOf(agent: AgentIndex): Stance | undefined {
    return this.#ear.stance(agent);
  }

  /**
   * Every agent of the site, those that may carry the duty first and in the order in which they would try. A duty that
   * is none of ours (exclusive, or of another part of a large site) is judged on demand; `holder` is then what the
   * caller knows.
   */
  explain(duty: DutyIndex, now: Instant = this.#lastNow, holder?: AgentIndex): readonly Ranked[] {
    const spec = this.#duties[duty];
    if (!spec) return [];
    let hand = this.#handOf(duty);
    if (hand === undefined) {
      hand = this.#newHand(spec);
      if (holder === this.#self) hand.phase = 'running';
      else if (holder !== undefined) hand.claims.set({ agent: holder, at: now, term: 0, isOffer: false, named: 0 });
      hand.holder = holder;
    }
    return this.#standings.explain(now, hand);
  }

  /** What holds a duty where it is, beside the ranks; in words, may be nothing. */
  remarks(duty: DutyIndex, now: Instant = this.#lastNow): readonly string[] {
    const hand = this.#handOf(duty);
    const remarks: string[] = [];
    if (hand?.lost !== undefined && hand.holder === undefined) {
      const { id, cell } = this.#agents[hand.lost] ?? { id: `agent ${hand.lost}`, cell: '' };
      const storm = this.#presence.takeoverAt(now, hand.lost, hand.spec.critical);
      if (storm > now) {
        const seconds = Math.ceil((storm - now) / 1000);
        remarks.push(`a large part of ${cell} vanished at once: what ${id} ran stays for ${seconds} s more`);
      }
    }
    if (!this.#budget.allows(now)) {
      remarks.push(`as many duties as may (${this.#budget.perMinute}) moved for balance in the last minute`);
    }
    return remarks;
  }

  start(now: Instant, out: DutyOutput[]): void {
    this.#lastNow = now;
    this.#startedAt = now;
    this.#lastArrival = now;
    // Who may carry nothing has nothing to weigh, and need not be woken for it.
    if (this.#hands.length > 0) this.#nextMove = this.#budget.next(after(now, settleMs + this.#options.debounceMs));
    // A later life returns to work that others carry by now; it asks for it back no sooner than others would give it.
    if (this.#returns !== undefined) this.#presence.began(now, this.#returns);
    for (const hand of this.#hands) hand.unclaimedSince = now;
    this.#evaluateAll(now, out);
  }

  memberChanged(now: Instant, member: AgentIndex, to: MemberStateWord, out: DutyOutput[]): void {
    this.#lastNow = now;
    if (member === this.#self) return;
    this.#presence.changed(now, member, to);
    if (to === 'dead' || to === 'left') this.#ear.forget(member);
    const concerned = this.#hands.filter((hand) => hand.order.place.has(member));
    if (concerned.length === 0) return;
    this.#lastChange = now;
    if (to === 'alive') this.#lastArrival = now;
    for (const hand of concerned) {
      if (to === 'dead' || to === 'left') this.#voidClaim(now, hand, member, to === 'dead');
      if (to !== 'alive') hand.replication?.outOfReach(member);
      if (to !== 'suspect' && isHeld(hand)) hand.replication?.replicasChanged(this.#replicas(now, hand));
    }
    for (const hand of concerned) this.#evaluate(now, hand, out);
  }

  message(now: Instant, from: AgentIndex, message: DutyMessage, out: DutyOutput[]): void {
    this.#lastNow = now;
    if (this.#left || from === this.#self || from < 0 || from >= this.#agents.length) return;
    switch (message.kind) {
      case 'claim':
        this.#claimed(now, from, message, out);
        return;
      case 'checkpoint':
      case 'handover': {
        const { checkpoint } = message;
        const hand = this.#handOf(checkpoint.duty);
        if (!hand || checkpoint.data.length > maxCheckpointBytes || !isTerm(checkpoint.term)) return;
        if (!hand.order.place.has(from)) return;
        this.#progress.received(now, hand, checkpoint, out);
        return;
      }
      case 'handover-taken':
        // Two may run it at once, so nothing waits for this word.
        return;
    }
  }

  started(now: Instant, duty: DutyIndex, _out: DutyOutput[]): void {
    const hand = this.#handOf(duty);
    if (hand?.phase !== 'starting') return;
    hand.phase = 'running';
    hand.runningSince = now;
    if (hand.claims.size === 0) return;
    // Whoever waits to give it to us hears it now.
    this.#nextClaim = Math.min(this.#nextClaim, now) as Instant;
    this.#stale = true;
  }

  stopped(now: Instant, duty: DutyIndex, out: DutyOutput[]): void {
    const hand = this.#handOf(duty);
    if (!hand) return;
    if (hand.phase === 'stopping') {
      hand.phase = 'idle';
      this.#evaluate(now, hand, out);
    } else if (isHeld(hand)) {
      this.failed(now, duty, 'its runner stopped by itself', out);
    }
  }

  /** The runner cannot do it here: another agent should, and we stay away from it for a while that grows. */
  failed(now: Instant, duty: DutyIndex, reason: string, out: DutyOutput[]): void {
    this.#lastNow = now;
    const hand = this.#handOf(duty);
    if (!hand || hand.phase === 'idle') return;
    const wasHeld = isHeld(hand);
    if (now - hand.runningSince > forgiveAfterMs) hand.failures = 0;
    hand.phase = 'idle';
    hand.replication = undefined;
    hand.runningSince = never;
    hand.failure = reason;
    const pause = Math.min(maxPauseMs, firstPauseMs * 2 ** Math.min(hand.failures, 10));
    hand.failures++;
    hand.notBefore = after(now, pause * this.#random.between(0.75, 1.25));
    hand.unclaimedSince = now;
    if (wasHeld) {
      this.#held--;
      out.push({ kind: 'duty-released', duty, why: `cannot run here: ${reason}` });
      this.#claim(now, out, hand);
      if (this.#stance() === undefined) this.#evaluateAll(now, out);
    }
    this.#evaluate(now, hand, out);
  }

  /** Progress of a duty that we hold: at most `maxCheckpointBytes`, else it is refused and said. */
  checkpointTaken(now: Instant, duty: DutyIndex, data: Uint8Array, wall: WallTime, out: DutyOutput[]): void {
    const hand = this.#handOf(duty);
    if (!hand || !isHeld(hand)) return;
    this.#progress.taken(hand, data, wall, out);
    this.#replicate(now, hand, out);
    this.#stale = true;
  }

  tick(now: Instant, out: DutyOutput[]): void {
    if (this.#left) return;
    const lateMs = now - this.deadline();
    this.#lastNow = now;
    if (lateMs > this.#options.claimPeriodMs) this.#slept(lateMs + 2 * this.#options.claimPeriodMs);
    if (this.#drainUntil !== undefined && this.#drainUntil <= now) this.drain(now, undefined, out);
    if (now >= this.#nextClaim) this.#claim(now, out);
    for (const hand of this.#hands) {
      if (isHeld(hand)) this.#replicate(now, hand, out);
      if (hand.wakeAt <= now) this.#evaluate(now, hand, out);
    }
    if (now >= this.#nextMove) this.#considerMove(now, out);
    this.#stale = true;
  }

  deadline(): Instant {
    if (!this.#stale) return this.#deadline;
    let at: number = Math.min(this.#nextClaim, this.#nextMove, this.#drainUntil ?? never);
    for (const hand of this.#hands) {
      if (hand.wakeAt < at) at = hand.wakeAt;
      if (isHeld(hand)) at = Math.min(at, hand.replication?.deadline(this.#lastNow) ?? never);
    }
    // What this very step made due is due now: a past deadline would look like a sleep to the next tick.
    this.#deadline = (this.#left ? never : Math.max(at, this.#lastNow)) as Instant;
    this.#stale = false;
    return this.#deadline;
  }

  /**
   * Make before break: this agent takes nothing new, and each duty that it carries stops here once it has been heard to
   * run elsewhere. What nobody else may or can carry stays. `until` undefined takes the order back; a drain ends with
   * this life in any case.
   */
  drain(now: Instant, until: Instant | undefined, out: DutyOutput[]): void {
    this.#lastNow = now;
    if (this.#left) return;
    const wasDraining = this.draining;
    this.#drainUntil = until !== undefined && until > now ? until : undefined;
    this.#stale = true;
    if (this.draining === wasDraining) return;
    out.push({ kind: this.draining ? 'drain-began' : 'drain-ended' });
    for (const hand of this.#hands) {
      hand.claims.unname();
      // Whoever starts in a moment starts from our last word, not from a replica that is half a second old.
      if (!this.draining || !isHeld(hand)) continue;
      const successor = this.#replicas(now, hand)[0];
      if (successor !== undefined) this.#progress.handOver(hand, successor, out);
    }
    this.#claim(now, out);
    this.#evaluateAll(now, out);
  }

  /** Gives everything back before the process ends. */
  leave(now: Instant, out: DutyOutput[]): void {
    this.#lastNow = now;
    if (this.#left) return;
    const given: Hand[] = [];
    for (const hand of this.#hands) {
      this.#progress.flush(hand, out);
      if (!isHeld(hand)) continue;
      const successor = this.#replicas(now, hand)[0];
      this.#release(hand, 'this agent leaves', successor, out);
      given.push(hand);
    }
    if (given.length > 0) this.#claim(now, out, ...given);
    this.#left = true;
    this.#nextClaim = never;
    this.#stale = true;
  }

  // The rules that a checker must be able to break: see simulations/mutants/claims.ts

  /** Of two runners of a duty, does `a` go on? Who drains comes last; then the static order, never the bonus. */
  protected goesBefore(hand: Hand, a: AgentIndex, b: AgentIndex): boolean {
    const offersA = this.#offers(hand, a);
    if (offersA !== this.#offers(hand, b)) return !offersA;
    const { place } = hand.order;
    return (place.get(a) ?? never) < (place.get(b) ?? never);
  }

  /** When an unclaimed duty is started here, if nobody claims it before. `own`: our place in the ranks, from 0. */
  protected startAt(now: Instant, hand: Hand, ranked: readonly Ranked[], own: number): Instant {
    const { startDelayMs, rankDelayMs, claimPeriodMs } = this.#options;
    const brakeAt = hand.lost === undefined ? 0 : this.#presence.takeoverAt(now, hand.lost, hand.spec.critical);
    const delayMs = startDelayMs + rankDelayMs * own;
    const at = Math.max(after(hand.unclaimedSince, delayMs), hand.notBefore, brakeAt + rankDelayMs * own);
    // Who has just come up has heard nobody, not even the one that carries this work. As long as one after another of its
    // candidates is heard, it listens, and then for two claims more: work is spread well, nothing runs twice, and nobody
    // loads a driver for a duty that it gives back a second later.
    const unheard = ranked.some(({ agent }) => this.#memberState(agent) === 'unknown');
    const listenMs = unheard ? settleMs : 2 * claimPeriodMs;
    const heard = Math.min(after(this.#lastArrival, listenMs), after(this.#startedAt, gatherMaxMs));
    return Math.max(at, heard + rankDelayMs * own) as Instant;
  }

  // Claims

  #claimed(now: Instant, from: AgentIndex, claim: Claim, out: DutyOutput[]): void {
    const state = this.#memberState(from);
    // A claim on its way when its sender died would hold the work for nothing. Who lives after all, says so to membership.
    if (state === 'dead' || state === 'left') return;
    const stance = this.#ear.stance(from);
    if (!this.#ear.accepts(now, from, claim)) return;
    this.#presence.heard(from);
    const isOffer = claim.stance === 'draining';
    const listing = ++this.#listing;
    for (const { duty, term, heard } of claim.duties) {
      const hand = this.#handOf(duty);
      if (!hand || !isTerm(term) || !hand.order.place.has(from)) continue;
      hand.listed = listing;
      if (!this.#isReturned && this.#returns !== undefined && now - this.#startedAt < gatherMaxMs)
        this.#isReturned = true;
      const before = hand.claims.get(from);
      if (before !== undefined && this.#isUsual(hand, before, term, isOffer)) {
        // The word of every period, and all that is left of it: it says so still.
        before.at = now;
        hand.wakeAt = after(now, this.#freshFor(from));
        this.#stale = true;
        continue;
      }
      if (!isHeld(hand)) hand.term = Math.max(hand.term, term);
      const wasFirm = hand.claims.isFirm;
      if (before === undefined && !isOffer && (wasFirm || (isHeld(hand) && !this.draining))) this.#budget.moved(now);
      hand.claims.set({ agent: from, at: now, term, isOffer, named: before?.named ?? 0 });
      hand.lost = undefined;
      if (isOffer && before?.isOffer !== true && (wasFirm || before === undefined)) hand.unclaimedSince = now;
      if (isHeld(hand)) {
        this.#nextClaim = Math.min(this.#nextClaim, after(now, this.#options.contestedPeriodMs)) as Instant;
        this.#yieldTo(now, hand, from, heard.includes(this.#self), out);
        this.#outrank(hand, from, term, out);
      }
      this.#evaluate(now, hand, out);
    }
    for (const hand of this.#hands) {
      if (hand.listed !== listing && hand.claims.has(from)) {
        this.#voidClaim(now, hand, from, false);
        this.#evaluate(now, hand, out);
      } else if (stance !== claim.stance && isHeld(hand) && hand.order.place.has(from)) {
        hand.replication?.replicasChanged(this.#replicas(now, hand));
      }
    }
  }

  /** The one runner of what we do not carry says again what it said. */
  #isUsual(hand: Hand, before: HeardClaim, term: number, isOffer: boolean): boolean {
    if (isOffer || before.isOffer || before.term !== term || hand.term < term) return false;
    return !isHeld(hand) && hand.claims.size === 1 && hand.holder === before.agent && hand.lost === undefined;
  }

  /**
   * Two consecutive claims of a better runner that hears us: it goes on, we stop. Counted for each runner by itself: two
   * better ones that do not hear each other speak in turn, and both go on.
   */
  #yieldTo(now: Instant, hand: Hand, from: AgentIndex, hearsUs: boolean, out: DutyOutput[]): void {
    if (!this.goesBefore(hand, from, this.#self)) return;
    const said = hand.claims.get(from);
    if (said === undefined) return;
    said.named = hearsUs ? said.named + 1 : 0;
    if (said.named < 2) return;
    const name = this.#agents[from]?.id;
    const why = this.draining ? `this agent drains and ${name} runs it` : `${name} runs it and is placed before us`;
    this.#release(hand, why, from, out);
    this.#claim(now, out, hand);
    if (this.#stance() === undefined) this.#evaluateAll(now, out);
  }

  /**
   * We run it and stay, and a runner that will stop has our term or a higher one: ours rises above it. Terms order what
   * two runners said (checkpoints, alarm registers), and the last word must be that of the one who goes on.
   */
  #outrank(hand: Hand, from: AgentIndex, term: number, out: DutyOutput[]): void {
    if (!isHeld(hand) || term < hand.term || this.goesBefore(hand, from, this.#self)) return;
    hand.term = term + 1;
    this.#progress.keepTerm(hand, out);
    this.#stale = true;
    out.push({ kind: 'term-raised', duty: hand.spec.index, term: hand.term });
  }

  /** `isLost`: it fell silent or died with the work in its hands, and did not give it back. */
  #voidClaim(now: Instant, hand: Hand, member: AgentIndex, isLost: boolean): void {
    const claim = hand.claims.get(member);
    if (claim === undefined) return;
    hand.claims.delete(member);
    if (isLost) {
      this.#presence.missed(now, member);
      if (hand.claims.size === 0) hand.lost = member;
    }
    // An offer that ends leaves the time as it was: those who heard it are on their way already.
    if (!claim.isOffer) hand.unclaimedSince = now;
    hand.wakeAt = now;
  }

  /** A member held alive is given twice the time: its silence is more likely loss than death. */
  #freshFor(member: AgentIndex): number {
    const { claimPeriodMs, freshPeriods } = this.#options;
    return claimPeriodMs * freshPeriods * (this.#memberState(member) === 'alive' ? 2 : 1);
  }

  /** We slept: claims may wait unread in our sockets, so the time that we missed, and two periods to read, count for nobody's silence. */
  #slept(ms: number): void {
    for (const hand of this.#hands) {
      for (const claim of hand.claims) claim.at = after(claim.at, ms);
      hand.unclaimedSince = after(hand.unclaimedSince, ms);
      hand.wakeAt = after(hand.wakeAt, ms);
    }
    if (this.#nextMove !== never) this.#nextMove = after(this.#nextMove, ms);
  }

  /** Says what we run, now; `given` are duties just given up, whose candidates must hear it too. */
  #claim(now: Instant, out: DutyOutput[], ...given: readonly Hand[]): void {
    const held = this.#hands.filter(isHeld);
    const stance = this.#stance();
    const unable = this.#hands.filter((hand) => hand.isEligible && !isHeld(hand) && hand.notBefore > now);
    const saysMore = stance !== undefined || unable.length > 0;
    const { claimPeriodMs, contestedPeriodMs } = this.#options;
    const contested = held.length > 0 && (this.draining || held.some((hand) => hand.claims.size > 0));
    const periodMs = contested ? contestedPeriodMs : held.length > 0 ? claimPeriodMs : saysMore ? idlePeriodMs : never;
    this.#nextClaim = after(now, periodMs);
    this.#stale = true;
    const isSilent = held.length + given.length === 0 && !saysMore && !this.#saidMore;
    if (isSilent) return;
    this.#seq++;
    const concerned = saysMore || this.#saidMore ? this.#hands.filter((hand) => hand.isEligible) : [...held, ...given];
    this.#saidMore = saysMore;
    const message: DutyMessage = {
      kind: 'claim',
      bootCounter: this.#bootCounter(),
      seq: this.#seq,
      duties: held.map((hand) => ({ duty: hand.spec.index, term: hand.term, heard: this.#hears(now, hand) })),
      ...(stance === undefined ? {} : { stance }),
      ...(unable.length === 0 ? {} : { unable: unable.slice(0, maxUnable).map((hand) => hand.spec.index) }),
    };
    for (const to of this.#audience(concerned)) out.push({ kind: 'send', to, message });
    // A hold that ends changes who is next in rank without a word from anybody.
    if (this.#seq % recheckEvery !== 0) return;
    for (const hand of held) hand.replication?.replicasChanged(this.#replicas(now, hand));
  }

  /** Nobody is named before our runner has come up: who is named stops, and the work would pause for a start. */
  #hears(now: Instant, hand: Hand): readonly AgentIndex[] {
    if (hand.claims.size === 0 || hand.phase !== 'running') return none;
    return [...hand.claims].flatMap(({ agent, at }) => (at + this.#freshFor(agent) > now ? [agent] : []));
  }

  /** Small sites tell everybody, for the views; in large ones only those hear it who could take over. */
  #audience(hands: readonly Hand[]): readonly AgentIndex[] {
    const reachable = (member: AgentIndex) => {
      const state = this.#memberState(member);
      return member !== this.#self && state !== 'dead' && state !== 'left';
    };
    if (this.#agents.length <= smallSite) return this.#agents.map((_, member) => member).filter(reachable);
    if (hands.length === 1) return hands[0]!.order.byNumber.filter(reachable);
    const wanted = new Set<AgentIndex>();
    for (const hand of hands) for (const { agent } of hand.order.candidates) if (reachable(agent)) wanted.add(agent);
    return [...wanted].sort((a, b) => a - b);
  }

  // Taking and giving

  #evaluateAll(now: Instant, out: DutyOutput[]): void {
    for (const hand of this.#hands) this.#evaluate(now, hand, out);
  }

  #evaluate(now: Instant, hand: Hand, out: DutyOutput[]): void {
    this.#stale = true;
    let wakeAt: number = never;
    for (const { agent, at } of hand.claims) {
      const expires = at + this.#freshFor(agent);
      if (expires > now) wakeAt = Math.min(wakeAt, expires);
      else this.#voidClaim(now, hand, agent, true);
    }
    hand.wakeAt = wakeAt as Instant;
    if (this.#mayTake(hand) && !hand.claims.isFirm) {
      const ranked = this.#standings.rank(now, hand);
      const own = ranked.findIndex((candidate) => candidate.agent === this.#self);
      const startAt = this.startAt(now, hand, ranked, own);
      if (startAt <= now) this.#take(now, hand, this.#whyTake(hand), out);
      else hand.wakeAt = Math.min(hand.wakeAt, startAt) as Instant;
    }
    this.#noteHolder(hand, out);
  }

  #mayTake(hand: Hand): boolean {
    if (this.#left || !hand.isEligible || hand.phase !== 'idle' || this.#startedAt === never) return false;
    return this.#stance() === undefined;
  }

  /** Why we take nothing more. */
  #stance(): Stance | undefined {
    if (this.draining) return 'draining';
    const capacity = this.#agents[this.#self]?.capacity;
    return capacity !== undefined && this.#held + this.#alsoHeld() >= capacity ? 'full' : undefined;
  }

  #offers(hand: Hand, agent: AgentIndex): boolean {
    return agent === this.#self ? this.draining : hand.claims.get(agent)?.isOffer === true;
  }

  #whyTake(hand: Hand): string {
    const last = hand.holder ?? hand.lost;
    if (last === undefined || last === this.#self) return 'nobody claims it';
    const name = this.#agents[last]?.id;
    if (hand.claims.get(last)?.isOffer) return `its holder ${name} drains`;
    const state = this.#memberState(last);
    return state === 'dead' || state === 'left'
      ? `its holder ${name} is ${state}`
      : `its holder ${name} no longer claims it`;
  }

  #take(now: Instant, hand: Hand, why: string, out: DutyOutput[]): void {
    const duty = hand.spec.index;
    const checkpoint = this.#progress.get(duty);
    hand.term = Math.max(hand.term, checkpoint?.term ?? 0) + 1;
    hand.phase = 'starting';
    this.#held++;
    hand.runningSince = now;
    hand.lost = undefined;
    hand.claims.unname();
    hand.replication = new Replication(this.#options.checkpointEveryMs);
    this.#progress.keepTerm(hand, out);
    const state = checkpoint !== undefined && checkpoint.data.length > 0 ? checkpoint : undefined;
    out.push({ kind: 'start-duty', duty, term: hand.term, checkpoint: state });
    out.push({ kind: 'duty-taken', duty, term: hand.term, why });
    this.#claim(now, out);
  }

  #release(hand: Hand, why: string, successor: AgentIndex | undefined, out: DutyOutput[]): void {
    const duty = hand.spec.index;
    if (successor !== undefined) this.#progress.handOver(hand, successor, out);
    hand.phase = 'stopping';
    hand.replication = undefined;
    this.#held--;
    hand.claims.unname();
    out.push({ kind: 'stop-duty', duty, reason: why });
    out.push({ kind: 'duty-released', duty, why });
    this.#noteHolder(hand, out);
  }

  #noteHolder(hand: Hand, out: DutyOutput[]): void {
    let holder: AgentIndex | undefined = isHeld(hand) ? this.#self : undefined;
    if (holder === undefined) {
      for (const { agent } of hand.claims) {
        if (holder === undefined || this.goesBefore(hand, agent, holder)) holder = agent;
      }
    }
    if (holder === hand.holder) return;
    hand.holder = holder;
    out.push({ kind: 'holder-changed', duty: hand.spec.index, holder });
  }

  /**
   * Work that another carries although we are placed clearly before it: we take one such duty, rarely, and only when
   * the site has been calm. Its holder stops when it has heard us twice.
   */
  #considerMove(now: Instant, out: DutyOutput[]): void {
    this.#nextMove = this.#budget.next(now);
    // Its exclusive duties fill the same room, and nobody says here when one of them goes.
    if (this.#saidMore && this.#stance() === undefined) this.#evaluateAll(now, out);
    const hold = this.#presence.hold(now, this.#self);
    if (hold !== undefined) {
      this.#nextMove = this.#budget.next(hold.until);
      return;
    }
    if (now - this.#lastChange < this.#options.debounceMs || !this.#budget.allows(now)) return;
    if (this.#presence.stormUntil(this.#agents[this.#self]?.cell ?? '') > now) return;
    for (const hand of this.#hands) {
      if (!this.#mayTake(hand) || hand.failures > 0 || hand.claims.size !== 1) continue;
      const { holder } = hand;
      if (holder === undefined || holder === this.#self || !this.#isClearlyBefore(hand, holder)) continue;
      if (this.#presence.stormUntil(this.#agents[holder]?.cell ?? '') > now) continue;
      const first = this.#standings.rank(now, hand)[0];
      if (first?.agent !== this.#self || first.rank !== 0) continue;
      this.#budget.moved(now);
      this.#take(now, hand, `placed clearly before ${this.#agents[holder]?.id}`, out);
      this.#noteHolder(hand, out);
      return;
    }
  }

  /** Cheap, before all are ranked: without the bonus' worth of advance there is no move. */
  #isClearlyBefore(hand: Hand, holder: AgentIndex): boolean {
    const { candidates, place } = hand.order;
    const own = candidates[place.get(this.#self) ?? -1];
    const other = candidates[place.get(holder) ?? -1];
    return own !== undefined && other !== undefined && own.score > other.score * this.#options.holderBonus;
  }

  /** The next in rank after us, who keep our checkpoints. */
  #replicas(now: Instant, hand: Hand): readonly AgentIndex[] {
    const replicas: AgentIndex[] = [];
    for (const candidate of this.#standings.rank(now, hand)) {
      if (replicas.length >= this.#options.replicas) break;
      if (candidate.agent !== this.#self && candidate.rank !== undefined) replicas.push(candidate.agent);
    }
    return replicas;
  }

  #replicate(now: Instant, hand: Hand, out: DutyOutput[]): void {
    this.#progress.replicate(now, hand, () => this.#replicas(now, hand), out);
  }
}

const isTerm = (term: number): boolean => Number.isInteger(term) && term >= 0 && term < 2 ** 48;

const none: readonly AgentIndex[] = [];
/** Duties that are looked through rather than looked up. */
const few = 8;

/** How long a fresh agent listens, after the last arrival, for candidates whom it has not heard yet … */
const settleMs = 3_000;
/** … and how long at most: boxes that share a busy power-up come seconds apart, one that is gone comes never. */
const gatherMaxMs = 10_000;
/** First pause after the runner failed here; doubles up to the maximum. */
const firstPauseMs = 5_000;
const maxPauseMs = 600_000;
/** A runner that ran this long before it failed starts again with the first pause. */
const forgiveAfterMs = 60_000;
/** Who carries nothing and takes nothing says so this often. */
const idlePeriodMs = 5_000;
/** With every so many claims a holder looks anew who its replicas are. */
const recheckEvery = 4;
const smallSite = 16;
