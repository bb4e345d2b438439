import type { AgentIndex } from '../../base/ids.ts';
import { after, type Instant, never } from '../../base/time.ts';
import type { LocalHealth } from './local-health.ts';
import type { MembershipOptions } from './options.ts';

/**
 * Finds members that do not answer, and keeps it to itself until it is sure.
 *
 * A probe is a few staggered direct pings, then helpers who ping on our behalf (SWIM §4.1). Classic SWIM accuses in
 * public as soon as one probe fails, so under loss every lost probe is gossiped to everybody and the load grows with the
 * fleet. Here a failed probe is repeated for `verifyRounds` further rounds through fresh helpers, in private. At 25 %
 * loss one round fails in 3 of 100 probes, three in a row in 2 of 100 000: false suspicions all but vanish, and a real
 * crash pays two intervals.
 *
 * And whoever accuses must be able to hear: a probe is only turned into an accusation if most of one's *other* targets
 * answered meanwhile. Where some answer but not most (half the site went dark), the same verdict takes `patience` times
 * as long. Where nobody answers at all, it is ourselves that are cut off, and the verdict stays private.
 *
 * Not guaranteed: a member that answers pings but does nothing else counts as alive. That is for checks and claims.
 */
export class FailureDetector {
  readonly #options: MembershipOptions;
  readonly #health: LocalHealth;
  readonly #pickHelpers: (target: AgentIndex, not: readonly AgentIndex[], count: number) => AgentIndex[];
  readonly #probes: Probe[] = [];
  readonly #relays: Relay[] = [];
  readonly #outcomes: Outcome[] = [];
  #outcomeNext = 0;
  #seq = 0;

  constructor(
    options: MembershipOptions,
    health: LocalHealth,
    pickHelpers: (target: AgentIndex, not: readonly AgentIndex[], count: number) => AgentIndex[],
  ) {
    this.#options = options;
    this.#health = health;
    this.#pickHelpers = pickHelpers;
  }

  deadline(): Instant {
    let at: number = never;
    for (const probe of this.#probes) if (probe.nextAt < at) at = probe.nextAt;
    for (const relay of this.#relays) if (relay.nextAt < at) at = relay.nextAt;
    return at as Instant;
  }

  probing(target: AgentIndex): boolean {
    return this.#probes.some((probe) => probe.target === target);
  }

  /** Failed a whole round already and is being verified in private. */
  verifying(target: AgentIndex): boolean {
    return this.#probes.some((probe) => probe.target === target && probe.round > 0);
  }

  begin(now: Instant, target: AgentIndex, out: DetectorOutput[]): void {
    if (this.probing(target) || this.#probes.length >= maxProbes) return;
    this.#seq = nextSeq(this.#seq);
    const probe: Probe = {
      target,
      seq: this.#seq,
      begunAt: now,
      round: 0,
      roundAt: now,
      factor: this.#health.factor,
      stage: 0,
      nextAt: now,
      helpers: [],
      nacks: [],
      heard: false,
    };
    this.#probes.push(probe);
    this.#advance(now, probe, out);
  }

  /** The target is dead, left, or has refuted: nothing to find out any more. */
  abandon(target: AgentIndex): void {
    remove(this.#probes, (probe) => probe.target === target);
  }

  /** An answer to one of our pings or requests. Returns the target that it proves alive. */
  acknowledged(now: Instant, from: AgentIndex, seq: number, out: DetectorOutput[]): AgentIndex | undefined {
    const relay = this.#relays.find((r) => r.seq === seq && r.target === from);
    if (relay) {
      remove(this.#relays, (r) => r === relay);
      out.push({ kind: 'ack', to: relay.requester, seq: relay.requesterSeq });
      return undefined;
    }
    const probe = this.#probes.find((p) => p.seq === seq);
    if (!probe || (from !== probe.target && !probe.helpers.includes(from))) return undefined;
    remove(this.#probes, (p) => p === probe);
    this.#health.lower();
    this.#record(now, probe.target, true);
    if (from !== probe.target) this.#record(now, from, true);
    return probe.target;
  }

  /** A helper lives but could not reach the target: so it is not we who are slow (Lifeguard §IV.A). */
  refused(now: Instant, from: AgentIndex, seq: number): void {
    const probe = this.#probes.find((p) => p.seq === seq);
    if (!probe?.helpers.includes(from) || probe.nacks.includes(from)) return;
    probe.nacks.push(from);
    this.#record(now, from, true);
  }

  /** Any authenticated message of the member itself: good enough to end our own doubt about it. */
  heard(now: Instant, member: AgentIndex): void {
    for (const probe of this.#probes) {
      if (probe.target !== member) continue;
      if (probe.round === 0) {
        probe.heard = true;
      } else {
        this.abandon(member);
        this.#record(now, member, true);
        return;
      }
    }
  }

  /** Somebody asks us to ping for him. False when the table is full. */
  help(now: Instant, requester: AgentIndex, requesterSeq: number, target: AgentIndex, out: DetectorOutput[]): boolean {
    if (this.#relays.length >= maxRelays) return false;
    this.#seq = nextSeq(this.#seq);
    this.#relays.push({ seq: this.#seq, requester, requesterSeq, target, startedAt: now, stage: 0, nextAt: now });
    this.#advanceRelay(now, this.#relays[this.#relays.length - 1]!, out);
    return true;
  }

  /** We slept; nobody failed. Everything that is due waits until the queued answers were read. */
  postpone(until: Instant): void {
    for (const probe of this.#probes) if (probe.nextAt < until) probe.nextAt = until;
    for (const relay of this.#relays) if (relay.nextAt < until) relay.nextAt = until;
  }

  tick(now: Instant, out: DetectorOutput[]): void {
    for (const probe of [...this.#probes]) if (probe.nextAt <= now) this.#advance(now, probe, out);
    for (const relay of [...this.#relays]) if (relay.nextAt <= now) this.#advanceRelay(now, relay, out);
  }

  /**
   * How the others answered since `since`: distinct members, the last word of each, without `except`. `silent` alone
   * says that we are cut off.
   */
  surroundings(since: Instant, except: AgentIndex): { answered: number; silent: number } {
    const last = new Map<AgentIndex, Outcome>();
    for (const outcome of this.#outcomes) {
      if (outcome.at < since || outcome.target === except) continue;
      const known = last.get(outcome.target);
      if (!known || outcome.at >= known.at) last.set(outcome.target, outcome);
    }
    let answered = 0;
    for (const outcome of last.values()) if (outcome.ok) answered++;
    return { answered, silent: last.size - answered };
  }

  /** What is known dead is no longer a sign that we are deaf. */
  forget(target: AgentIndex): void {
    for (let i = 0; i < this.#outcomes.length; i++) {
      if (this.#outcomes[i]!.target === target) {
        this.#outcomes.splice(i, 1);
        i--;
      }
    }
    this.#outcomeNext = this.#outcomes.length % maxOutcomes;
  }

  #record(now: Instant, target: AgentIndex, ok: boolean): void {
    const outcome: Outcome = { at: now, target, ok };
    if (this.#outcomes.length < maxOutcomes) this.#outcomes.push(outcome);
    else this.#outcomes[this.#outcomeNext % maxOutcomes] = outcome;
    this.#outcomeNext = (this.#outcomeNext + 1) % maxOutcomes;
  }

  #advance(now: Instant, probe: Probe, out: DetectorOutput[]): void {
    const { directPings, directWindowMs, probeIntervalMs, helpers, verifyRounds } = this.#options;
    if (probe.stage < directPings) {
      out.push({ kind: 'ping', to: probe.target, seq: probe.seq });
      probe.stage++;
      probe.nextAt = after(probe.roundAt, (probe.stage * directWindowMs * probe.factor) / directPings);
      return;
    }
    if (probe.stage === directPings) {
      const fresh = this.#pickHelpers(probe.target, probe.helpers, helpers);
      for (const helper of fresh) {
        probe.helpers.push(helper);
        out.push({ kind: 'ping-request', to: helper, seq: probe.seq, target: probe.target });
      }
      probe.stage++;
      probe.nextAt = after(probe.roundAt, probeIntervalMs * probe.factor);
      return;
    }

    if (probe.heard && probe.round === 0) {
      this.abandon(probe.target);
      this.#record(now, probe.target, true);
      return;
    }
    this.#record(now, probe.target, false);
    if (probe.round === 0 && probe.nacks.length < probe.helpers.length) this.#health.raise();
    if (probe.round >= verifyRounds) {
      const around = this.surroundings(after(probe.begunAt, -probeIntervalMs * probe.factor), probe.target);
      const waitedLong = probe.round + 1 >= patience * (1 + verifyRounds);
      const nobodyElse = around.answered === 0 && around.silent === 0;
      const hear = around.answered > around.silent;
      if (hear || nobodyElse || waitedLong) {
        this.abandon(probe.target);
        const isPublic = hear || nobodyElse || around.answered > 0;
        out.push({ kind: 'unanswered', target: probe.target, rounds: probe.round + 1, isPublic });
        return;
      }
    }
    probe.round++;
    probe.roundAt = now;
    probe.factor = this.#health.factor;
    probe.stage = 0;
    // Helpers of earlier rounds are asked again only when there are no others; their late answers still count.
    if (probe.helpers.length > maxRememberedHelpers) probe.helpers.splice(0, probe.helpers.length - helpers);
    probe.nextAt = now;
    this.#advance(now, probe, out);
  }

  #advanceRelay(now: Instant, relay: Relay, out: DetectorOutput[]): void {
    const { directWindowMs, directPings, probeIntervalMs } = this.#options;
    if (relay.stage < 2) {
      out.push({ kind: 'ping', to: relay.target, seq: relay.seq });
      relay.stage++;
      relay.nextAt = after(relay.startedAt, relay.stage === 1 ? directWindowMs / directPings : directWindowMs * 0.8);
    } else if (relay.stage === 2) {
      out.push({ kind: 'nack', to: relay.requester, seq: relay.requesterSeq });
      relay.stage++;
      relay.nextAt = after(relay.startedAt, probeIntervalMs);
    } else {
      remove(this.#relays, (r) => r === relay);
    }
    if (relay.nextAt <= now && relay.stage < 3) relay.nextAt = after(now, 1);
  }
}

export type DetectorOutput =
  | { readonly kind: 'ping'; readonly to: AgentIndex; readonly seq: number }
  | { readonly kind: 'ping-request'; readonly to: AgentIndex; readonly seq: number; readonly target: AgentIndex }
  | { readonly kind: 'ack' | 'nack'; readonly to: AgentIndex; readonly seq: number }
  /** Verified: the target answered in none of the rounds. Not public: nobody else answered us either. */
  | { readonly kind: 'unanswered'; readonly target: AgentIndex; readonly rounds: number; readonly isPublic: boolean };

interface Probe {
  readonly target: AgentIndex;
  readonly seq: number;
  readonly begunAt: Instant;
  round: number;
  roundAt: Instant;
  factor: number;
  /** Direct pings sent in this round; one more than directPings once helpers were asked. */
  stage: number;
  nextAt: Instant;
  readonly helpers: AgentIndex[];
  readonly nacks: AgentIndex[];
  heard: boolean;
}

interface Relay {
  readonly seq: number;
  readonly requester: AgentIndex;
  readonly requesterSeq: number;
  readonly target: AgentIndex;
  readonly startedAt: Instant;
  stage: number;
  nextAt: Instant;
}

interface Outcome {
  readonly at: Instant;
  readonly target: AgentIndex;
  readonly ok: boolean;
}

/** Rounds before a verdict without a majority of answers, as a multiple of the usual number. */
const patience = 3;
const maxProbes = 256;
const maxRelays = 256;
const maxOutcomes = 64;
const maxRememberedHelpers = 32;

const nextSeq = (seq: number): number => (seq >= 0x3fff_ffff ? 1 : seq + 1);

function remove<T>(list: T[], matches: (item: T) => boolean): void {
  const at = list.findIndex(matches);
  if (at >= 0) list.splice(at, 1);
}
