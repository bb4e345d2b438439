import type { AgentIndex } from '../../base/ids.ts';
import type { Instant } from '../../base/time.ts';
import type { Stance } from './claim.ts';
import type { ClaimEar } from './claim-ear.ts';
import type { AgentPlace, DutySpec } from './duty.ts';
import { type Hand, isHeld } from './hand.ts';
import type { DutyOptions } from './options.ts';
import { type Ranked, rank, type Standing } from './placement.ts';
import type { MemberStateWord, Presence } from './presence.ts';

/** What this agent says of itself, beside what it sees of the others. */
export interface OwnStanding {
  readonly stance: Stance | undefined;
  /** It came back to a site that was at work without it. */
  readonly isReturned: boolean;
}

/**
 * Who tries for a duty in which order, and why: hard constraints leave no rank (witness, dead, drains, at its capacity;
 * labels, reach and cell stand in `eligible` already), soft ones order (weight, the holder's bonus, just returned, failed
 * here). Every answer has its reason in words.
 */
export class Standings {
  readonly #agents: readonly AgentPlace[];
  readonly #self: AgentIndex;
  readonly #options: DutyOptions;
  readonly #memberState: (member: AgentIndex) => MemberStateWord;
  readonly #presence: Presence;
  readonly #ear: ClaimEar;
  readonly #own: () => OwnStanding;

  constructor(parts: {
    agents: readonly AgentPlace[];
    self: AgentIndex;
    options: DutyOptions;
    memberState: (member: AgentIndex) => MemberStateWord;
    presence: Presence;
    ear: ClaimEar;
    own: () => OwnStanding;
  }) {
    this.#agents = parts.agents;
    this.#self = parts.self;
    this.#options = parts.options;
    this.#memberState = parts.memberState;
    this.#presence = parts.presence;
    this.#ear = parts.ear;
    this.#own = parts.own;
  }

  rank(now: Instant, hand: Hand): readonly Ranked[] {
    const { holderBonus } = this.#options;
    return rank(hand.order.candidates, holderBonus, (agent) => this.#standing(now, hand, agent));
  }

  /** Every agent of the site: those that may carry it in the order in which they try, then the others; each with why. */
  explain(now: Instant, hand: Hand): readonly Ranked[] {
    const ranked = this.rank(now, hand).map((one) => ({ ...one, reason: this.#why(now, hand, one.agent) }));
    const others = this.#agents.flatMap((_, agent) =>
      hand.order.place.has(agent)
        ? []
        : [{ agent, score: 0, rank: undefined, eligible: false, reason: this.#whyNever(hand.spec, agent) }],
    );
    return [...ranked, ...others];
  }

  #standing(now: Instant, hand: Hand, agent: AgentIndex): Standing {
    const holder = this.#holds(hand, agent);
    const state = agent === this.#self ? 'alive' : this.#memberState(agent);
    const stance = this.#stance(agent);
    if (state === 'dead' || state === 'left' || stance === 'draining' || (stance === 'full' && !holder))
      return unusable;
    const held = !holder && (this.#failedHere(now, hand, agent) || this.#waits(now, agent));
    return { usable: true, held, holder, reason: '' };
  }

  /** The same judgement in words, the weightiest first. */
  #why(now: Instant, hand: Hand, agent: AgentIndex): string {
    const isSelf = agent === this.#self;
    const state = isSelf ? 'alive' : this.#memberState(agent);
    const gone = this.#presence.gone(agent);
    if (state === 'dead') return gone ? `dead since ${ago(now, gone.at)}` : 'dead';
    if (state === 'left') return gone ? `left ${ago(now, gone.at)} ago` : 'left';
    const stance = this.#stance(agent);
    if (this.#holds(hand, agent)) {
      if (stance === 'draining') return 'holds it until another does: it drains';
      return isSelf ? 'holds it' : `holds it, counts ${this.#options.holderBonus}-fold`;
    }
    if (stance === 'draining') return 'drains, takes nothing';
    if (stance === 'full') {
      const capacity = this.#agents[agent]?.capacity;
      return capacity === undefined ? 'at its capacity' : `at its capacity of ${capacity}`;
    }
    if (isSelf && hand.notBefore > now) {
      return `could not run here: ${hand.failure}; next try in ${until(now, hand.notBefore)}`;
    }
    if (this.#failedHere(now, hand, agent)) return 'could not run it lately, tries last';
    const hold = this.#presence.hold(now, agent);
    if (hold !== undefined && this.#waits(now, agent)) {
      return `returned ${ago(now, hold.since)} ago, waits ${until(now, hold.until)} more`;
    }
    return isSelf ? 'this agent' : state === 'unknown' ? 'not heard yet' : state;
  }

  #whyNever(spec: DutySpec, agent: AgentIndex): string {
    if (this.#agents[agent]?.role === 'witness') return 'a witness votes and carries nothing';
    return spec.refusedBecause.get(agent) ?? 'not eligible';
  }

  #holds(hand: Hand, agent: AgentIndex): boolean {
    return hand.holder === agent && (agent === this.#self ? isHeld(hand) : hand.claims.has(agent));
  }

  #stance(agent: AgentIndex): Stance | undefined {
    return agent === this.#self ? this.#own().stance : this.#ear.stance(agent);
  }

  #failedHere(now: Instant, hand: Hand, agent: AgentIndex): boolean {
    return agent === this.#self ? hand.notBefore > now : this.#ear.isUnable(agent, hand.spec.index);
  }

  #waits(now: Instant, agent: AgentIndex): boolean {
    return this.#presence.hold(now, agent) !== undefined && (agent !== this.#self || this.#own().isReturned);
  }
}

const unusable: Standing = { usable: false, held: false, holder: false, reason: '' };

const until = (now: Instant, then: Instant): string => words(Math.ceil((then - now) / 1000));
const ago = (now: Instant, then: Instant): string => words(Math.floor((now - then) / 1000));

const words = (seconds: number): string =>
  seconds < 120
    ? `${seconds} s`
    : seconds < 7_200
      ? `${Math.round(seconds / 60)} min`
      : `${Math.round(seconds / 3600)} h`;
