import type { AgentId, AgentIndex, DutyIndex } from '../../base/ids.ts';
import type { Random } from '../../base/random.ts';
import { after, type Instant, never, type WallTime, wallTime } from '../../base/time.ts';
import { CheckpointShelf, maxCheckpointBytes } from './checkpoint.ts';
import type { DutyMessage } from './claim.ts';
import type { Checkpoint, DutySpec } from './duty.ts';
import { Replication } from './handover.ts';
import type { DutyOptions } from './options.ts';
import { type Candidate, type Ranked, rank, type Standing, staticOrder } from './placement.ts';

/**
 * Available duties: at least one runner in every part of the site that can talk to itself, one again after a partition
 * has healed, possibly two for a moment. For work that must never run twice this is the wrong tool.
 *
 * Runners claim their duties every period. Who hears no fresh claim starts after startDelay + rankDelay·rank: a rank
 * delays, it never forbids, so an unable favourite leaves no gap. A runner stops after two consecutive claims of a
 * runner that is better in the static order and says that it hears us: then both know. A holder that membership holds
 * dead loses its claims at once; a claim that no longer lists a duty gives it up.
 *
 * Not guaranteed: that work moves back soon. Who returned from the dead waits, moves of one's own accord are rare, and a
 * site that loses a third of its members moves nothing of its own accord for a while.
 */
export class AvailableDuties {
  readonly #options: DutyOptions;
  readonly #self: AgentIndex;
  readonly #bootCounter: () => number;
  readonly #agentIds: readonly AgentId[];
  readonly #random: Random;
  readonly #memberState: (member: AgentIndex) => MemberStateWord;
  readonly #duties: readonly DutySpec[];
  /** The duties that concern us: in a small site all, for the views; in a large one those that we may carry. */
  readonly #hands: readonly Hand[];
  readonly #byDuty: readonly (Hand | undefined)[];
  readonly #shelf: CheckpointShelf;
  readonly #senders = new Map<AgentIndex, { bootCounter: number; seq: number }>();
  readonly #returns = new Map<AgentIndex, { flaps: number; gone: boolean; heldUntil: Instant }>();

  #seq = 0;
  #lastNow: Instant = 0 as Instant;
  #startedAt: Instant = never;
  /** When a member was last heard for the first time, or again. */
  #lastArrival: Instant = never;
  #left = false;
  #nextClaim: Instant = never;
  #lastChange: Instant = Number.NEGATIVE_INFINITY as Instant;
  #nextMove: Instant = never;
  readonly #vanished: Instant[] = [];
  #deadline: Instant = never;
  #stale = true;

  constructor(parts: {
    duties: readonly DutySpec[];
    options: DutyOptions;
    self: AgentIndex;
    /** Membership's count of our lives: it may jump during one, when peers turn out to remember more of them. */
    bootCounter: () => number;
    agentIds: readonly AgentId[];
    random: Random;
    memberState: (member: AgentIndex) => MemberStateWord;
    /** What this agent's store kept: its own and replicas. */
    checkpoints: readonly Checkpoint[];
  }) {
    this.#options = parts.options;
    this.#self = parts.self;
    this.#bootCounter = parts.bootCounter;
    this.#agentIds = parts.agentIds;
    this.#random = parts.random;
    this.#memberState = parts.memberState;
    this.#shelf = new CheckpointShelf(parts.duties.length, parts.checkpoints);
    this.#duties = parts.duties;
    const isSmall = parts.agentIds.length <= smallSite;
    this.#byDuty = parts.duties.map((spec) =>
      isSmall || spec.eligible.includes(parts.self) ? this.#newHand(spec) : undefined,
    );
    this.#hands = this.#byDuty.filter((hand) => hand !== undefined);
  }

  #newHand(spec: DutySpec): Hand {
    return {
      spec,
      order: staticOrder(spec, this.#agentIds),
      isEligible: spec.eligible.includes(this.#self),
      phase: 'idle',
      term: this.#shelf.get(spec.index)?.term ?? 0,
      sequence: 0,
      runningSince: never,
      claims: new Map(),
      unclaimedSince: never,
      notBefore: 0 as Instant,
      failures: 0,
      failure: undefined,
      better: undefined,
      betterClaims: 0,
      holder: undefined,
      replication: new Replication(this.#options.checkpointEveryMs),
      saved: undefined,
      unsaved: false,
      wakeAt: never,
    };
  }

  mine(duty: DutyIndex): boolean {
    return isHeld(this.#byDuty[duty]);
  }

  /** Who runs it, as far as this agent hears. Of several, the one that will stay. */
  holder(duty: DutyIndex): AgentIndex | undefined {
    return this.#byDuty[duty]?.holder;
  }

  /** Largest term heard of; rises with every takeover. */
  term(duty: DutyIndex): number {
    return this.#byDuty[duty]?.term ?? 0;
  }

  checkpoint(duty: DutyIndex): Checkpoint | undefined {
    return this.#shelf.get(duty);
  }

  /** Every agent of the site, those that may carry the duty first and in the order in which they would try. */
  explain(duty: DutyIndex, now?: Instant): readonly Ranked[] {
    const spec = this.#duties[duty];
    if (!spec) return [];
    const hand = this.#byDuty[duty] ?? this.#newHand(spec);
    const ranked = this.#rank(now ?? this.#lastNow, hand);
    const others = this.#agentIds.flatMap((_, agent) =>
      hand.spec.eligible.includes(agent)
        ? []
        : [
            {
              agent,
              score: 0,
              rank: undefined,
              eligible: false,
              reason: hand.spec.refusedBecause.get(agent) ?? 'not eligible',
            },
          ],
    );
    return [...ranked, ...others];
  }

  start(now: Instant, out: DutyOutput[]): void {
    this.#startedAt = now;
    this.#lastArrival = now;
    // A later life returns to work that others carry by now; it asks for it back no sooner than others would give it.
    this.#nextMove = after(
      now,
      this.#bootCounter() > 1 ? this.#options.returnHoldMs : settleMs + this.#options.debounceMs,
    );
    for (const hand of this.#hands) hand.unclaimedSince = now;
    this.#evaluateAll(now, out);
  }

  memberChanged(now: Instant, member: AgentIndex, to: MemberStateWord, out: DutyOutput[]): void {
    this.#lastNow = now;
    this.#lastChange = now;
    this.#stale = true;
    if (member === this.#self) return;
    if (to === 'alive') this.#lastArrival = now;
    const record = this.#returns.get(member) ?? { flaps: 0, gone: false, heldUntil: 0 as Instant };
    if (to === 'dead' || to === 'left') {
      record.gone = true;
      this.#returns.set(member, record);
      this.#senders.delete(member);
      this.#vanished.push(now);
      if (this.#vanished.length > this.#agentIds.length) this.#vanished.shift();
      for (const hand of this.#hands) this.#voidClaim(now, hand, member);
    } else if (to === 'alive' && record.gone) {
      const { returnHoldMs, returnHoldMaxMs } = this.#options;
      if (now - record.heldUntil > returnHoldMaxMs) record.flaps = 0;
      record.gone = false;
      record.heldUntil = after(now, Math.min(returnHoldMaxMs, returnHoldMs * 2 ** record.flaps));
      record.flaps = Math.min(16, record.flaps + 1);
    }
    for (const hand of this.#hands) {
      if (isHeld(hand)) hand.replication.replicasChanged(this.#replicas(now, hand));
    }
    this.#evaluateAll(now, out);
  }

  message(now: Instant, from: AgentIndex, message: DutyMessage, out: DutyOutput[]): void {
    this.#lastNow = now;
    if (this.#left || from === this.#self || from < 0 || from >= this.#agentIds.length) return;
    switch (message.kind) {
      case 'claim':
        this.#claimed(now, from, message, out);
        return;
      case 'checkpoint':
      case 'handover': {
        const { checkpoint } = message;
        const hand = this.#byDuty[checkpoint.duty];
        if (!hand || checkpoint.data.length > maxCheckpointBytes || !isTerm(checkpoint.term)) return;
        if (!hand.spec.eligible.includes(from)) return;
        if (!isHeld(hand)) hand.term = Math.max(hand.term, checkpoint.term);
        if (this.#shelf.keep(checkpoint)) this.#saveReplica(now, hand, checkpoint, out);
        return;
      }
    }
  }

  started(now: Instant, duty: DutyIndex, _out: DutyOutput[]): void {
    const hand = this.#byDuty[duty];
    if (hand?.phase !== 'starting') return;
    hand.phase = 'running';
    hand.runningSince = now;
  }

  stopped(now: Instant, duty: DutyIndex, out: DutyOutput[]): void {
    const hand = this.#byDuty[duty];
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
    const hand = this.#byDuty[duty];
    if (!hand || hand.phase === 'idle') return;
    const wasHeld = isHeld(hand);
    if (now - hand.runningSince > forgiveAfterMs) hand.failures = 0;
    hand.phase = 'idle';
    hand.runningSince = never;
    hand.failure = reason;
    const pause = Math.min(maxPauseMs, firstPauseMs * 2 ** Math.min(hand.failures, 10));
    hand.failures++;
    hand.notBefore = after(now, pause * this.#random.between(0.75, 1.25));
    hand.unclaimedSince = now;
    if (wasHeld) {
      out.push({ kind: 'duty-released', duty, why: `cannot run here: ${reason}` });
      this.#claim(now, out, hand);
    }
    this.#evaluate(now, hand, out);
  }

  /** Progress of a duty that we hold. Saved here at once, replicated at its own pace. */
  checkpointTaken(now: Instant, duty: DutyIndex, data: Uint8Array, wall: WallTime, out: DutyOutput[]): void {
    const hand = this.#byDuty[duty];
    if (!hand || !isHeld(hand) || data.length > maxCheckpointBytes) return;
    hand.sequence++;
    const checkpoint: Checkpoint = { duty, term: hand.term, sequence: hand.sequence, takenAt: wall, data };
    if (!this.#shelf.keep(checkpoint)) return;
    hand.replication.take(checkpoint);
    out.push({ kind: 'save-checkpoint', checkpoint });
    this.#replicate(now, hand, out);
    this.#stale = true;
  }

  tick(now: Instant, out: DutyOutput[]): void {
    if (this.#left) return;
    const lateMs = now - this.deadline();
    this.#lastNow = now;
    if (lateMs > this.#options.claimPeriodMs) this.#slept(lateMs + 2 * this.#options.claimPeriodMs);
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
    let at: number = Math.min(this.#nextClaim, this.#nextMove);
    for (const hand of this.#hands) {
      if (hand.wakeAt < at) at = hand.wakeAt;
      if (isHeld(hand)) at = Math.min(at, hand.replication.deadline(this.#lastNow));
    }
    this.#deadline = (this.#left ? never : at) as Instant;
    this.#stale = false;
    return this.#deadline;
  }

  /** Gives everything back before the process ends. */
  leave(now: Instant, out: DutyOutput[]): void {
    this.#lastNow = now;
    if (this.#left) return;
    const given: Hand[] = [];
    for (const hand of this.#hands) {
      const replica = hand.unsaved ? this.#shelf.get(hand.spec.index) : undefined;
      if (replica !== undefined) out.push({ kind: 'save-checkpoint', checkpoint: replica });
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

  // Claims

  #claimed(now: Instant, from: AgentIndex, claim: Extract<DutyMessage, { kind: 'claim' }>, out: DutyOutput[]): void {
    const state = this.#memberState(from);
    // A claim on its way when its sender died would hold the work for nothing. Who lives after all, says so to membership.
    if (state === 'dead' || state === 'left') return;
    const last = this.#senders.get(from);
    if (
      last &&
      (claim.bootCounter < last.bootCounter || (claim.bootCounter === last.bootCounter && claim.seq <= last.seq))
    ) {
      return;
    }
    this.#senders.set(from, { bootCounter: claim.bootCounter, seq: claim.seq });
    const listed = new Set<DutyIndex>();
    for (const { duty, term, heard } of claim.duties) {
      const hand = this.#byDuty[duty];
      if (!hand || !isTerm(term) || !hand.spec.eligible.includes(from)) continue;
      listed.add(duty);
      if (!isHeld(hand)) hand.term = Math.max(hand.term, term);
      hand.claims.set(from, { at: now, term });
      if (isHeld(hand)) {
        this.#nextClaim = Math.min(this.#nextClaim, after(now, this.#options.contestedPeriodMs)) as Instant;
        this.#yieldTo(now, hand, from, heard.includes(this.#self), out);
        this.#outrank(hand, from, term, out);
      }
      this.#evaluate(now, hand, out);
    }
    for (const hand of this.#hands) {
      if (listed.has(hand.spec.index) || !hand.claims.has(from)) continue;
      this.#voidClaim(now, hand, from);
      this.#evaluate(now, hand, out);
    }
  }

  /** Two consecutive claims of a better runner that hears us: it goes on, we stop. */
  #yieldTo(now: Instant, hand: Hand, from: AgentIndex, hearsUs: boolean, out: DutyOutput[]): void {
    if (!isBetter(hand.order, from, this.#self)) return;
    if (!hearsUs) {
      if (hand.better === from) hand.betterClaims = 0;
      return;
    }
    hand.betterClaims = hand.better === from ? hand.betterClaims + 1 : 1;
    hand.better = from;
    if (hand.betterClaims < 2) return;
    this.#release(hand, `${this.#agentIds[from]} runs it and is placed before us`, from, out);
    this.#claim(now, out, hand);
  }

  /**
   * We run it and stay, and a runner that will stop has our term or a higher one: ours rises above it. Terms order what
   * two runners said (checkpoints, alarm registers), and the last word must be that of the one who goes on.
   */
  #outrank(hand: Hand, from: AgentIndex, term: number, out: DutyOutput[]): void {
    if (!isHeld(hand) || term < hand.term || isBetter(hand.order, from, this.#self)) return;
    hand.term = term + 1;
    this.#keepTerm(hand, out);
    out.push({ kind: 'term-raised', duty: hand.spec.index, term: hand.term });
  }

  /**
   * The term is durable with the work's last state under it, before the first progress: a site that loses all power
   * must not count from one again while the coordinator remembers higher terms.
   */
  #keepTerm(hand: Hand, out: DutyOutput[]): void {
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
    hand.replication.take(checkpoint);
    hand.unsaved = false;
    out.push({ kind: 'save-checkpoint', checkpoint });
    this.#stale = true;
  }

  /**
   * What a peer sends twice a second is in memory at once, and on our disk only so often: its holder's own disk has it
   * all, and who takes over writes it down first. Else a box that carries nothing would flush its disk all day.
   */
  #saveReplica(now: Instant, hand: Hand, checkpoint: Checkpoint, out: DutyOutput[]): void {
    const { saved } = hand;
    if (saved !== undefined && saved.term === checkpoint.term && now - saved.at < saveReplicaMs) {
      hand.unsaved = true;
      return;
    }
    hand.saved = { at: now, term: checkpoint.term };
    hand.unsaved = false;
    out.push({ kind: 'save-checkpoint', checkpoint });
  }

  #voidClaim(now: Instant, hand: Hand, member: AgentIndex): void {
    if (!hand.claims.delete(member)) return;
    hand.unclaimedSince = now;
    hand.wakeAt = now;
    if (hand.better === member) {
      hand.better = undefined;
      hand.betterClaims = 0;
    }
  }

  /** A member held alive is given twice the time: its silence is more likely loss than death. */
  #freshFor(member: AgentIndex): number {
    const { claimPeriodMs, freshPeriods } = this.#options;
    return claimPeriodMs * freshPeriods * (this.#memberState(member) === 'alive' ? 2 : 1);
  }

  /** We slept: claims may wait unread in our sockets, so the time that we missed, and two periods to read, count for nobody's silence. */
  #slept(ms: number): void {
    for (const hand of this.#hands) {
      for (const [agent, claim] of hand.claims) hand.claims.set(agent, { ...claim, at: after(claim.at, ms) });
      hand.unclaimedSince = after(hand.unclaimedSince, ms);
      hand.wakeAt = after(hand.wakeAt, ms);
    }
    if (this.#nextMove !== never) this.#nextMove = after(this.#nextMove, ms);
  }

  /** Says what we run, now; `given` are duties just given up, whose candidates must hear it too. */
  #claim(now: Instant, out: DutyOutput[], ...given: readonly Hand[]): void {
    const held = this.#hands.filter(isHeld);
    const { claimPeriodMs, contestedPeriodMs } = this.#options;
    const contested = held.some((hand) => hand.claims.size > 0);
    this.#nextClaim = held.length > 0 ? after(now, contested ? contestedPeriodMs : claimPeriodMs) : never;
    this.#stale = true;
    if (held.length + given.length === 0) return;
    this.#seq++;
    const duties = held.map((hand) => ({
      duty: hand.spec.index,
      term: hand.term,
      heard: [...hand.claims].flatMap(([agent, claim]) => (claim.at + this.#freshFor(agent) > now ? [agent] : [])),
    }));
    const message: DutyMessage = { kind: 'claim', bootCounter: this.#bootCounter(), seq: this.#seq, duties };
    for (const to of this.#audience([...held, ...given])) out.push({ kind: 'send', to, message });
  }

  /** Small sites tell everybody, for the views; in large ones only those hear it who could take over. */
  #audience(hands: readonly Hand[]): readonly AgentIndex[] {
    const reachable = (member: AgentIndex) => {
      const state = this.#memberState(member);
      return member !== this.#self && state !== 'dead' && state !== 'left';
    };
    if (this.#agentIds.length <= smallSite) return this.#agentIds.map((_, member) => member).filter(reachable);
    const wanted = new Set<AgentIndex>();
    for (const hand of hands) for (const member of hand.spec.eligible) if (reachable(member)) wanted.add(member);
    return [...wanted].sort((a, b) => a - b);
  }

  // Taking and giving

  #evaluateAll(now: Instant, out: DutyOutput[]): void {
    for (const hand of this.#hands) this.#evaluate(now, hand, out);
  }

  #evaluate(now: Instant, hand: Hand, out: DutyOutput[]): void {
    this.#stale = true;
    let wakeAt: number = never;
    for (const [agent, claim] of [...hand.claims]) {
      const expires = claim.at + this.#freshFor(agent);
      if (expires > now) wakeAt = Math.min(wakeAt, expires);
      else this.#voidClaim(now, hand, agent);
    }
    hand.wakeAt = wakeAt as Instant;
    if (
      !this.#left &&
      hand.isEligible &&
      hand.phase === 'idle' &&
      hand.claims.size === 0 &&
      this.#startedAt !== never
    ) {
      const startAt = this.#startAt(now, hand);
      if (startAt <= now) this.#take(now, hand, this.#whyTake(hand), out);
      else hand.wakeAt = Math.min(hand.wakeAt, startAt) as Instant;
    }
    this.#noteHolder(hand, out);
  }

  #startAt(now: Instant, hand: Hand): Instant {
    const { startDelayMs, rankDelayMs } = this.#options;
    const ranked = this.#rank(now, hand);
    const own = ranked.findIndex((candidate) => candidate.agent === this.#self);
    const at = Math.max(after(hand.unclaimedSince, startDelayMs + rankDelayMs * own), hand.notBefore);
    // Who has just come up has heard nobody, not even the one that carries this work. As long as one after another of its
    // candidates is heard, it listens, and then for two claims more: work is spread well, nothing runs twice, and nobody
    // loads a driver for a duty that it gives back a second later.
    const unheard = ranked.some(({ agent }) => this.#memberState(agent) === 'unknown');
    const listenMs = unheard ? settleMs : 2 * this.#options.claimPeriodMs;
    const heard = Math.min(after(this.#lastArrival, listenMs), after(this.#startedAt, gatherMaxMs));
    return Math.max(at, heard + rankDelayMs * own) as Instant;
  }

  #whyTake(hand: Hand): string {
    const { holder } = hand;
    if (holder === undefined || holder === this.#self) return 'nobody claims it';
    const name = this.#agentIds[holder];
    const state = this.#memberState(holder);
    return state === 'dead' || state === 'left'
      ? `its holder ${name} is ${state}`
      : `its holder ${name} no longer claims it`;
  }

  #take(now: Instant, hand: Hand, why: string, out: DutyOutput[]): void {
    const duty = hand.spec.index;
    const checkpoint = this.#shelf.get(duty);
    hand.term = Math.max(hand.term, checkpoint?.term ?? 0) + 1;
    hand.phase = 'starting';
    hand.runningSince = now;
    hand.better = undefined;
    hand.betterClaims = 0;
    hand.replication = new Replication(this.#options.checkpointEveryMs);
    this.#keepTerm(hand, out);
    const state = checkpoint !== undefined && checkpoint.data.length > 0 ? checkpoint : undefined;
    out.push({ kind: 'start-duty', duty, term: hand.term, checkpoint: state });
    out.push({ kind: 'duty-taken', duty, term: hand.term, why });
    this.#claim(now, out);
  }

  #release(hand: Hand, why: string, successor: AgentIndex | undefined, out: DutyOutput[]): void {
    const duty = hand.spec.index;
    const checkpoint = this.#shelf.get(duty);
    if (successor !== undefined && checkpoint) {
      out.push({ kind: 'send', to: successor, message: { kind: 'handover', checkpoint } });
    }
    hand.phase = 'stopping';
    hand.better = undefined;
    hand.betterClaims = 0;
    out.push({ kind: 'stop-duty', duty, reason: why });
    out.push({ kind: 'duty-released', duty, why });
    this.#noteHolder(hand, out);
  }

  #noteHolder(hand: Hand, out: DutyOutput[]): void {
    let holder: AgentIndex | undefined = isHeld(hand) ? this.#self : undefined;
    for (const agent of hand.claims.keys()) {
      if (holder === undefined || isBetter(hand.order, agent, holder)) holder = agent;
    }
    if (isHeld(hand)) holder = this.#self;
    if (holder === hand.holder) return;
    hand.holder = holder;
    out.push({ kind: 'holder-changed', duty: hand.spec.index, holder });
  }

  /**
   * Work that another carries although we are placed clearly before it: we take one such duty, rarely, and only when
   * the site has been calm. Its holder stops when it has heard us twice.
   */
  #considerMove(now: Instant, out: DutyOutput[]): void {
    const { debounceMs } = this.#options;
    this.#nextMove = after(now, Math.max(debounceMs, 1000));
    while (this.#vanished.length > 0 && now - this.#vanished[0]! > massWatchMs + massPauseMs) this.#vanished.shift();
    if (now - this.#lastChange < debounceMs || this.#vanished.length * 3 > this.#agentIds.length) return;
    for (const hand of this.#hands) {
      if (!hand.isEligible || hand.phase !== 'idle' || hand.failures > 0 || hand.claims.size !== 1) continue;
      const holder = hand.holder;
      if (holder === undefined || holder === this.#self) continue;
      const first = this.#rank(now, hand)[0];
      if (first?.agent !== this.#self || first.rank !== 0) continue;
      this.#take(now, hand, `placed clearly before ${this.#agentIds[holder]}`, out);
      this.#noteHolder(hand, out);
      this.#nextMove = after(now, moveEveryMs);
      return;
    }
  }

  // Placement

  #rank(now: Instant, hand: Hand): readonly Ranked[] {
    return rank(hand.order, this.#options.holderBonus, (agent) => this.#standing(now, hand, agent));
  }

  #standing(now: Instant, hand: Hand, agent: AgentIndex): Standing {
    const holder = hand.holder === agent && (agent === this.#self ? isHeld(hand) : hand.claims.has(agent));
    if (agent === this.#self) {
      const waits = hand.notBefore > now;
      const reason = waits ? `could not run here: ${hand.failure}` : holder ? 'holds it' : 'this agent';
      return { usable: true, held: waits, holder, reason };
    }
    const state = this.#memberState(agent);
    if (state === 'dead' || state === 'left') return { usable: false, held: false, holder: false, reason: state };
    const heldUntil = this.#returns.get(agent)?.heldUntil ?? 0;
    if (heldUntil > now && !holder) {
      const seconds = Math.ceil((heldUntil - now) / 1000);
      return { usable: true, held: true, holder, reason: `returned lately, gets nothing for ${seconds} s` };
    }
    const reason = holder
      ? `holds it, counts ${this.#options.holderBonus}-fold`
      : state === 'unknown'
        ? 'not heard yet'
        : state;
    return { usable: true, held: false, holder, reason };
  }

  /** The next in rank after us, who keep our checkpoints. */
  #replicas(now: Instant, hand: Hand): readonly AgentIndex[] {
    const replicas: AgentIndex[] = [];
    for (const candidate of this.#rank(now, hand)) {
      if (replicas.length >= this.#options.replicas) break;
      if (candidate.agent !== this.#self && candidate.rank !== undefined) replicas.push(candidate.agent);
    }
    return replicas;
  }

  #replicate(now: Instant, hand: Hand, out: DutyOutput[]): void {
    if (hand.replication.deadline(now) > now) return;
    const replicas = this.#replicas(now, hand);
    const checkpoint = hand.replication.flush(now, replicas);
    if (!checkpoint) return;
    for (const to of replicas) out.push({ kind: 'send', to, message: { kind: 'checkpoint', checkpoint } });
  }
}

export type DutyOutput =
  | { readonly kind: 'send'; readonly to: AgentIndex; readonly message: DutyMessage }
  | {
      readonly kind: 'start-duty';
      readonly duty: DutyIndex;
      readonly term: number;
      readonly checkpoint: Checkpoint | undefined;
    }
  | { readonly kind: 'stop-duty'; readonly duty: DutyIndex; readonly reason: string }
  | { readonly kind: 'save-checkpoint'; readonly checkpoint: Checkpoint }
  | { readonly kind: 'duty-taken'; readonly duty: DutyIndex; readonly term: number; readonly why: string }
  | { readonly kind: 'duty-released'; readonly duty: DutyIndex; readonly why: string }
  /** We go on with it, under a higher term than before. */
  | { readonly kind: 'term-raised'; readonly duty: DutyIndex; readonly term: number }
  | { readonly kind: 'holder-changed'; readonly duty: DutyIndex; readonly holder: AgentIndex | undefined };

/** A duty that never told how far it had come. */
const nothing = new Uint8Array();

/** Membership's words for a member; spelled here because the parts of the core do not import each other. */
export type MemberStateWord = 'unknown' | 'alive' | 'suspect' | 'dead' | 'left';

/** Everything that this agent knows of one duty. */
interface Hand {
  readonly spec: DutySpec;
  readonly order: readonly Candidate[];
  readonly isEligible: boolean;
  phase: 'idle' | 'starting' | 'running' | 'stopping';
  term: number;
  sequence: number;
  runningSince: Instant;
  /** Last claim of each other runner; at most one per eligible agent. */
  readonly claims: Map<AgentIndex, { readonly at: Instant; readonly term: number }>;
  unclaimedSince: Instant;
  notBefore: Instant;
  failures: number;
  failure: string | undefined;
  better: AgentIndex | undefined;
  betterClaims: number;
  holder: AgentIndex | undefined;
  replication: Replication;
  /** When a replica last went to the disk, and of which term; whether a newer one is only in memory. */
  saved: { readonly at: Instant; readonly term: number } | undefined;
  unsaved: boolean;
  wakeAt: Instant;
}

const isHeld = (hand: Hand | undefined): boolean => hand?.phase === 'starting' || hand?.phase === 'running';

const isTerm = (term: number): boolean => Number.isInteger(term) && term >= 0 && term < 2 ** 48;

function isBetter(order: readonly Candidate[], a: AgentIndex, b: AgentIndex): boolean {
  for (const { agent } of order) {
    if (agent === a) return a !== b;
    if (agent === b) return false;
  }
  return false;
}

/** How long a fresh agent listens, after the last arrival, for candidates whom it has not heard yet … */
const settleMs = 3_000;
/** … and how long at most: boxes that share a busy power-up come seconds apart, one that is gone comes never. */
const gatherMaxMs = 10_000;
/** A replica of a new term is written down at once, its progress this often. */
const saveReplicaMs = 5_000;
/** First pause after the runner failed here; doubles up to the maximum. */
const firstPauseMs = 5_000;
const maxPauseMs = 600_000;
/** A runner that ran this long before it failed starts again with the first pause. */
const forgiveAfterMs = 60_000;
/** One move of one's own accord per minute and agent. */
const moveEveryMs = 60_000;
const massWatchMs = 10_000;
const massPauseMs = 30_000;
const smallSite = 16;
