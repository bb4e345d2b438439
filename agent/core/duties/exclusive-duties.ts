import type { AgentIndex, DutyIndex } from '../../base/ids.ts';
import type { Random } from '../../base/random.ts';
import { after, type Instant, instant, never, type WallTime } from '../../base/time.ts';
import { CheckpointShelf, maxCheckpointBytes } from './checkpoint.ts';
import type { DutyMessage } from './claim.ts';
import type { AgentPlace, Checkpoint, DutySpec } from './duty.ts';
import type { DutyOutput } from './duty-output.ts';
import { Replication } from './handover.ts';
import type { DutyOptions } from './options.ts';
import { orderOf, type Ranked, rank, type Standing } from './placement.ts';
import type { MemberStateWord } from './presence.ts';

/**
 * The right under which an exclusive duty runs now. It goes with every effect: where effects happen, the largest token
 * is kept and a smaller one refused, so that whoever froze over its window is refused when it wakes.
 */
export interface Fence {
  /** Name of the lease, `duty:thing/name`. */
  readonly lease: string;
  /** 16 hex digits; their order as text is the tokens' order. */
  readonly token: string;
  /** 64 hex digits: one life of one agent. */
  readonly session: string;
  /** No effect begins later, by the elapsed clock. */
  readonly until: Instant;
}

/** A right as the leases give it. `term` counts takeovers for checkpoints: it rises with the token. */
export interface DutyRight extends Fence {
  readonly term: number;
}

export type ExclusiveOutput =
  | Exclude<DutyOutput, { readonly kind: 'start-duty' | 'stop-duty' }>
  | {
      readonly kind: 'start-duty';
      readonly duty: DutyIndex;
      readonly term: number;
      readonly checkpoint: Checkpoint | undefined;
      readonly fence: Fence;
    }
  /** It goes on, to a later instant or under a larger token. */
  | { readonly kind: 'extend-duty'; readonly duty: DutyIndex; readonly fence: Fence }
  /** `atOnce`: the right has ended, nothing may be finished any more. */
  | { readonly kind: 'stop-duty'; readonly duty: DutyIndex; readonly reason: string; readonly atOnce: boolean }
  /** To the leases: try for it from `delayMs` on; give it up; work under this token began, and is over. */
  | { readonly kind: 'want'; readonly lease: string; readonly delayMs: number }
  | { readonly kind: 'release'; readonly lease: string }
  | { readonly kind: 'began'; readonly lease: string }
  | { readonly kind: 'finished'; readonly lease: string; readonly token: string };

/** Candidates try this long one after another: more than an answer of the voters takes, less than anybody notices. */
const rankDelayMs = 40;
/** A successor that does not say by then that it has the work's last state is not waited for any longer. */
const handoverWithinMs = 2_000;
const firstPauseMs = 5_000;
const maxPauseMs = 600_000;
const forgiveAfterMs = 60_000;

interface Hand {
  readonly spec: DutySpec;
  readonly lease: string;
  readonly isEligible: boolean;
  /** `stopping` until the runner says that nothing of it is left. */
  phase: 'idle' | 'starting' | 'running' | 'stopping';
  /** The right of the tenure that runs, or that is being ended. */
  right: DutyRight | undefined;
  /** A right that came while the last tenure was still being ended. */
  next: DutyRight | undefined;
  /** Delay of the standing wish; undefined: not wanted. */
  wanted: number | undefined;
  sequence: number;
  runningSince: Instant;
  notBefore: Instant;
  failures: number;
  failure: string | undefined;
  /** Whom the others' digests name. */
  heard: { readonly agent: AgentIndex; readonly term: number } | undefined;
  replication: Replication;
  /** It drains: its last state is on its way to the successor, who has not said yet that it arrived. */
  handover: { readonly to: AgentIndex; readonly until: Instant } | undefined;
}

const isHeld = (hand: Hand | undefined): boolean => hand?.phase === 'starting' || hand?.phase === 'running';

/**
 * Exclusive duties: never two runners at once, possibly none for a while. Every eligible agent tries for the duty's
 * lease, those placed better a little sooner; whoever gets it runs the duty until the lease is lost or given up. Views
 * of who lives differ and may be wrong: they decide who tries first, and nothing else.
 *
 * Guaranteed, as far as the leases guarantee theirs: work starts only under a right, it is ended at once when the right
 * is lost, and a right is given back only when nothing of the work is left. Not guaranteed: that it runs where it is
 * placed best; a duty stays where it is.
 */
export class ExclusiveDuties {
  readonly #self: AgentIndex;
  readonly #agents: readonly AgentPlace[];
  readonly #options: DutyOptions;
  readonly #memberState: (member: AgentIndex) => MemberStateWord;
  readonly #isDraining: () => boolean;
  readonly #alsoHeld: () => number;
  readonly #random: Random;
  readonly #hands: readonly Hand[];
  readonly #byDuty: ReadonlyMap<DutyIndex, Hand>;
  readonly #byLease: ReadonlyMap<string, Hand>;
  readonly #shelf: CheckpointShelf;
  #lastNow: Instant = instant(0);
  #started = false;
  #left = false;

  constructor(parts: {
    duties: readonly DutySpec[];
    options: DutyOptions;
    self: AgentIndex;
    agents: readonly AgentPlace[];
    random: Random;
    memberState: (member: AgentIndex) => MemberStateWord;
    checkpoints: readonly Checkpoint[];
    /** Available duties that it carries beside these: they fill the same capacity. */
    alsoHeld?: () => number;
    isDraining?: () => boolean;
  }) {
    this.#self = parts.self;
    this.#agents = parts.agents;
    this.#options = parts.options;
    this.#random = parts.random;
    this.#memberState = parts.memberState;
    this.#alsoHeld = parts.alsoHeld ?? (() => 0);
    this.#isDraining = parts.isDraining ?? (() => false);
    const exclusive = parts.duties.filter((spec) => spec.exclusive);
    const mine = new Set(exclusive.map((spec) => spec.index));
    this.#shelf = new CheckpointShelf(parts.checkpoints.filter(({ duty }) => mine.has(duty)));
    this.#hands = exclusive.map((spec) => ({
      spec,
      lease: `duty:${spec.id}`,
      isEligible: orderOf(spec, parts.agents).place.has(parts.self),
      phase: 'idle',
      right: undefined,
      next: undefined,
      wanted: undefined,
      sequence: 0,
      runningSince: never,
      notBefore: instant(0),
      failures: 0,
      failure: undefined,
      heard: undefined,
      replication: new Replication(parts.options.checkpointEveryMs),
      handover: undefined,
    }));
    this.#byDuty = new Map(this.#hands.map((hand) => [hand.spec.index, hand]));
    this.#byLease = new Map(this.#hands.map((hand) => [hand.lease, hand]));
  }

  /** The site has none. */
  get isIdle(): boolean {
    return this.#hands.length === 0;
  }

  mine(duty: DutyIndex): boolean {
    return isHeld(this.#byDuty.get(duty));
  }

  /** The right under which it runs here. */
  right(duty: DutyIndex): DutyRight | undefined {
    const hand = this.#byDuty.get(duty);
    return isHeld(hand) ? hand?.right : undefined;
  }

  leaseOf(duty: DutyIndex): string | undefined {
    return this.#byDuty.get(duty)?.lease;
  }

  /** Exclusive duties that this agent carries, those included whose end is under way. */
  get load(): number {
    let load = 0;
    for (const hand of this.#hands) if (hand.phase !== 'idle') load++;
    return load;
  }

  /** Who runs it, as far as this agent hears. For views; it decides nothing. */
  holder(duty: DutyIndex): AgentIndex | undefined {
    const hand = this.#byDuty.get(duty);
    return isHeld(hand) ? this.#self : hand?.heard?.agent;
  }

  term(duty: DutyIndex): number {
    const hand = this.#byDuty.get(duty);
    return Math.max(hand?.right?.term ?? 0, hand?.heard?.term ?? 0);
  }

  checkpoint(duty: DutyIndex): Checkpoint | undefined {
    return this.#shelf.get(duty);
  }

  /** Every agent of the site, those that may carry it first and in the order in which they try. */
  explain(duty: DutyIndex): readonly Ranked[] {
    const hand = this.#byDuty.get(duty);
    if (!hand) return [];
    const ranked = this.#rank(hand);
    const placed = new Set(ranked.map(({ agent }) => agent));
    const others = this.#agents.flatMap((place, agent) => {
      if (placed.has(agent)) return [];
      const why = place.role === 'witness' ? 'a witness votes and carries nothing' : 'not eligible';
      return [
        { agent, score: 0, rank: undefined, eligible: false, reason: hand.spec.refusedBecause.get(agent) ?? why },
      ];
    });
    return [...ranked, ...others];
  }

  start(now: Instant, out: ExclusiveOutput[]): void {
    this.#lastNow = now;
    this.#started = true;
    for (const hand of this.#hands) this.#evaluate(now, hand, out);
  }

  memberChanged(now: Instant, member: AgentIndex, to: MemberStateWord, out: ExclusiveOutput[]): void {
    this.#lastNow = now;
    for (const hand of this.#hands) {
      if ((to === 'dead' || to === 'left') && hand.heard?.agent === member) {
        hand.heard = undefined;
        if (!isHeld(hand)) out.push({ kind: 'holder-changed', duty: hand.spec.index, holder: undefined });
      }
      if (isHeld(hand)) hand.replication.replicasChanged(this.#replicas(hand));
      this.#evaluate(now, hand, out);
    }
  }

  /** A connection ended: what went out on it last may be lost. */
  outOfReach(member: AgentIndex): void {
    for (const hand of this.#hands) hand.replication.outOfReach(member);
  }

  /** What others say that they run. */
  digest(
    agent: AgentIndex,
    duties: readonly { readonly duty: DutyIndex; readonly term: number }[],
    out: ExclusiveOutput[],
  ): void {
    if (agent === this.#self) return;
    for (const hand of this.#hands) {
      const said = duties.find(({ duty }) => duty === hand.spec.index);
      const before = hand.heard?.agent;
      if (said && said.term >= (hand.heard?.term ?? 0)) hand.heard = { agent, term: said.term };
      else if (!said && before === agent) hand.heard = undefined;
      const holder = hand.heard?.agent;
      if (holder !== before && !isHeld(hand)) out.push({ kind: 'holder-changed', duty: hand.spec.index, holder });
    }
  }

  message(now: Instant, from: AgentIndex, message: DutyMessage, out: ExclusiveOutput[]): void {
    this.#lastNow = now;
    if (message.kind === 'handover-taken') {
      const given = this.#byDuty.get(message.duty);
      if (given?.handover?.to === from) this.#end(given, 'this agent drains', false, out);
      return;
    }
    if (message.kind !== 'checkpoint' && message.kind !== 'handover') return;
    const { checkpoint } = message;
    const hand = this.#byDuty.get(checkpoint.duty);
    if (!hand || checkpoint.data.length > maxCheckpointBytes || !hand.spec.eligible.includes(from)) return;
    if (this.#shelf.keep(checkpoint)) out.push({ kind: 'save-checkpoint', checkpoint });
    if (message.kind === 'handover') {
      const { duty, term, sequence } = checkpoint;
      out.push({ kind: 'send', to: from, message: { kind: 'handover-taken', duty, term, sequence } });
    }
  }

  // What the leases say.

  acquired(now: Instant, right: DutyRight, out: ExclusiveOutput[]): void {
    this.#lastNow = now;
    const hand = this.#byLease.get(right.lease);
    if (!hand) return;
    if (this.#left || hand.wanted === undefined) {
      out.push({ kind: 'release', lease: hand.lease });
      return;
    }
    // The rest of the last tenure is still being swept up: its runner begins anew when nothing of that is left.
    if (hand.phase === 'stopping') hand.next = right;
    else this.#begin(now, hand, right, out);
  }

  #begin(now: Instant, hand: Hand, right: DutyRight, out: ExclusiveOutput[]): void {
    const duty = hand.spec.index;
    const last = this.#shelf.get(duty);
    hand.right = right;
    hand.phase = 'starting';
    hand.runningSince = now;
    hand.sequence = 0;
    hand.replication = new Replication(this.#options.checkpointEveryMs);
    const why = hand.heard === undefined ? 'nobody holds its lease' : `${this.#name(hand.heard.agent)} lost its lease`;
    hand.heard = undefined;
    out.push({ kind: 'began', lease: hand.lease });
    const checkpoint = last !== undefined && last.data.length > 0 ? last : undefined;
    out.push({ kind: 'start-duty', duty, term: right.term, checkpoint, fence: right });
    out.push({ kind: 'duty-taken', duty, term: right.term, why });
    out.push({ kind: 'holder-changed', duty, holder: this.#self });
  }

  extended(now: Instant, right: DutyRight, out: ExclusiveOutput[]): void {
    this.#lastNow = now;
    const hand = this.#byLease.get(right.lease);
    if (hand?.next !== undefined) hand.next = right;
    if (!hand || !isHeld(hand)) return;
    const isRenumbered = hand.right?.token !== right.token;
    hand.right = right;
    out.push({ kind: 'extend-duty', duty: hand.spec.index, fence: right });
    if (isRenumbered) out.push({ kind: 'term-raised', duty: hand.spec.index, term: right.term });
  }

  /** Whatever runs must end before the window does. */
  lost(now: Instant, lease: string, out: ExclusiveOutput[]): void {
    this.#lastNow = now;
    const hand = this.#byLease.get(lease);
    if (!hand) return;
    if (isHeld(hand)) this.#end(hand, 'its lease was lost', true, out);
    else if (hand.next !== undefined) hand.next = undefined;
    else if (hand.phase === 'stopping') {
      // It was being ended gently, and there is no time left for that.
      out.push({ kind: 'stop-duty', duty: hand.spec.index, reason: 'its lease was lost', atOnce: true });
    }
  }

  // What the runner says.

  started(now: Instant, duty: DutyIndex): void {
    const hand = this.#byDuty.get(duty);
    if (hand?.phase !== 'starting') return;
    hand.phase = 'running';
    hand.runningSince = now;
  }

  stopped(now: Instant, duty: DutyIndex, out: ExclusiveOutput[]): void {
    this.#lastNow = now;
    const hand = this.#byDuty.get(duty);
    if (!hand) return;
    if (hand.phase === 'stopping') this.#over(now, hand, out);
    else if (isHeld(hand)) this.failed(now, duty, 'its runner stopped by itself', out);
  }

  /** The runner cannot do it here: another agent should, and we stay away from it for a while that grows. */
  failed(now: Instant, duty: DutyIndex, reason: string, out: ExclusiveOutput[]): void {
    this.#lastNow = now;
    const hand = this.#byDuty.get(duty);
    if (!hand || hand.phase === 'idle') return;
    if (now - hand.runningSince > forgiveAfterMs) hand.failures = 0;
    hand.failure = reason;
    const pauseMs = Math.min(maxPauseMs, firstPauseMs * 2 ** Math.min(hand.failures, 10));
    hand.failures++;
    hand.notBefore = after(now, pauseMs * this.#random.between(0.75, 1.25));
    if (isHeld(hand)) out.push({ kind: 'duty-released', duty, why: `cannot run here: ${reason}` });
    this.#over(now, hand, out);
  }

  /** Progress of a duty that runs here: saved at once, replicated to the next in rank at its own pace. */
  checkpointTaken(now: Instant, duty: DutyIndex, data: Uint8Array, wall: WallTime, out: ExclusiveOutput[]): void {
    const hand = this.#byDuty.get(duty);
    if (!hand || !isHeld(hand) || hand.right === undefined) return;
    if (data.length > maxCheckpointBytes) {
      out.push({ kind: 'checkpoint-refused', duty, bytes: data.length });
      return;
    }
    hand.sequence++;
    const checkpoint: Checkpoint = { duty, term: hand.right.term, sequence: hand.sequence, takenAt: wall, data };
    if (!this.#shelf.keep(checkpoint)) return;
    hand.replication.take(checkpoint);
    out.push({ kind: 'save-checkpoint', checkpoint });
    this.#replicate(now, hand, out);
  }

  deadline(): Instant {
    let at: number = never;
    for (const hand of this.#hands) {
      if (isHeld(hand)) at = Math.min(at, hand.replication.deadline(this.#lastNow), hand.handover?.until ?? never);
      else if (hand.notBefore > this.#lastNow) at = Math.min(at, hand.notBefore);
    }
    return instant(at);
  }

  tick(now: Instant, out: ExclusiveOutput[]): void {
    this.#lastNow = now;
    for (const hand of this.#hands) {
      if (isHeld(hand)) this.#replicate(now, hand, out);
      this.#evaluate(now, hand, out);
    }
  }

  /** Capacity or a drain changed. */
  reconsider(now: Instant, out: ExclusiveOutput[]): void {
    this.tick(now, out);
  }

  /** Gives everything back before the process ends: work is ended first, then voters are told. */
  leave(now: Instant, out: ExclusiveOutput[]): void {
    this.#lastNow = now;
    if (this.#left) return;
    this.#left = true;
    for (const hand of this.#hands) {
      if (isHeld(hand)) this.#end(hand, 'this agent leaves', false, out);
      else this.#evaluate(now, hand, out);
    }
  }

  #end(hand: Hand, why: string, atOnce: boolean, out: ExclusiveOutput[]): void {
    if (!isHeld(hand)) return;
    const duty = hand.spec.index;
    const [successor] = atOnce ? [] : this.#replicas(hand);
    const checkpoint = this.#shelf.get(duty);
    if (successor !== undefined && checkpoint) {
      out.push({ kind: 'send', to: successor, message: { kind: 'handover', checkpoint } });
    }
    hand.phase = 'stopping';
    hand.handover = undefined;
    out.push({ kind: 'stop-duty', duty, reason: why, atOnce });
    out.push({ kind: 'duty-released', duty, why });
    out.push({ kind: 'holder-changed', duty, holder: undefined });
  }

  /** Nothing of the work is left. */
  #over(now: Instant, hand: Hand, out: ExclusiveOutput[]): void {
    hand.phase = 'idle';
    hand.runningSince = never;
    hand.handover = undefined;
    if (hand.right !== undefined) out.push({ kind: 'finished', lease: hand.lease, token: hand.right.token });
    hand.right = undefined;
    const { next } = hand;
    hand.next = undefined;
    if (next !== undefined && !this.#left && hand.notBefore <= now) this.#begin(now, hand, next, out);
    else this.#evaluate(now, hand, out);
  }

  /** Wants it, with the delay of its rank, or wants it no more. */
  #evaluate(now: Instant, hand: Hand, out: ExclusiveOutput[]): void {
    if (!this.#started || !hand.isEligible) return;
    if (isHeld(hand)) {
      if (this.#isDraining()) this.#handOver(now, hand, out);
      else hand.handover = undefined;
      return;
    }
    // The right is kept until the end of the work is known.
    if (hand.phase === 'stopping') return;
    const mayTake = !this.#left && !this.#isDraining() && hand.notBefore <= now && !this.#isFull();
    if (!mayTake) {
      if (hand.wanted === undefined) return;
      hand.wanted = undefined;
      out.push({ kind: 'release', lease: hand.lease });
      return;
    }
    const place = this.#rank(hand).findIndex(({ agent }) => agent === this.#self);
    const delayMs = rankDelayMs * Math.max(0, place);
    if (hand.wanted === delayMs) return;
    hand.wanted = delayMs;
    out.push({ kind: 'want', lease: hand.lease, delayMs });
  }

  /** Work that has a state is given up only when the successor has it, or does not answer. */
  #handOver(now: Instant, hand: Hand, out: ExclusiveOutput[]): void {
    const [to] = this.#replicas(hand);
    const checkpoint = this.#shelf.get(hand.spec.index);
    const isLate = hand.handover !== undefined && now >= hand.handover.until;
    if (to === undefined || checkpoint === undefined || isLate) {
      this.#end(hand, 'this agent drains', false, out);
      return;
    }
    if (hand.handover?.to === to) return;
    hand.handover = { to, until: hand.handover?.until ?? after(now, handoverWithinMs) };
    out.push({ kind: 'send', to, message: { kind: 'handover', checkpoint } });
  }

  #isFull(): boolean {
    const capacity = this.#agents[this.#self]?.capacity;
    return capacity !== undefined && this.load + this.#alsoHeld() >= capacity;
  }

  #rank(hand: Hand): readonly Ranked[] {
    const { candidates } = orderOf(hand.spec, this.#agents);
    return rank(candidates, 1, (agent) => this.#standing(hand, agent));
  }

  #standing(hand: Hand, agent: AgentIndex): Standing {
    const holder = this.holder(hand.spec.index) === agent;
    if (agent === this.#self) {
      const waits = hand.notBefore > this.#lastNow;
      const reason = waits
        ? `could not run here: ${hand.failure}`
        : this.#isDraining()
          ? 'drains'
          : holder
            ? 'holds it'
            : this.#isFull()
              ? `at its capacity of ${this.#agents[agent]?.capacity}`
              : 'this agent';
      return { usable: true, held: waits, holder, reason };
    }
    const state = this.#memberState(agent);
    if (state === 'dead' || state === 'left') return { usable: false, held: false, holder: false, reason: state };
    return {
      usable: true,
      held: false,
      holder,
      reason: holder ? 'holds it' : state === 'unknown' ? 'not heard yet' : state,
    };
  }

  #replicas(hand: Hand): readonly AgentIndex[] {
    return this.#rank(hand)
      .filter(({ agent, rank: place }) => agent !== this.#self && place !== undefined)
      .slice(0, this.#options.replicas)
      .map(({ agent }) => agent);
  }

  #replicate(now: Instant, hand: Hand, out: ExclusiveOutput[]): void {
    if (hand.replication.deadline(now) > now) return;
    const replicas = this.#replicas(hand);
    const checkpoint = hand.replication.flush(now, replicas);
    if (!checkpoint) return;
    for (const to of replicas) out.push({ kind: 'send', to, message: { kind: 'checkpoint', checkpoint } });
  }

  #name(agent: AgentIndex): string {
    return this.#agents[agent]?.id ?? `agent ${agent}`;
  }
}
