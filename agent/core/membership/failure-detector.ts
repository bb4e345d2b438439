import type { AgentIndex } from '../../base/ids.ts';
import { after, type Instant, never } from '../../base/time.ts';
import type { LocalHealth } from './local-health.ts';
import type { MembershipOptions } from './options.ts';
import { Outcomes, type Surroundings } from './outcomes.ts';

/**
 * Finds members that do not answer, and keeps it to itself until it is sure.
 *
 * A probe is a few staggered direct pings, then helpers who ping on our behalf (SWIM §4.1). Classic SWIM accuses in
 * public as soon as one probe fails, so under loss every lost probe is gossiped to everybody and the load grows with the
 * fleet. Here a failed probe is repeated for `verifyRounds` further rounds through fresh helpers, in private. At 25 %
 * loss one round fails in 3 of 100 probes, three in a row, the latter two with twice the helpers, in 1 of 10 million: false suspicions all but vanish, and a real
 * crash pays two intervals.
 *
 * And whoever accuses must be able to hear: a probe is only turned into an accusation if most of one's *other* targets
 * answered meanwhile. Where some answer but not most (half the site went dark), the same verdict takes `patience` times
 * as long. Where nobody answers at all, it is ourselves that are cut off, and the verdict stays private.
 *
 * Not guaranteed: a member that answers pings but does nothing else counts as alive. That is for checks and claims.
 *
 * Probes live in a pool that grows to what was once needed at the same time, at most `maxProbes`; the ordinary probe
 * allocates nothing. `Out` is whatever its host writes to, and is only handed on.
 */
export class FailureDetector<Out> {
  #probing = 0;
  #relaying = 0;
  #seq = 0;
  #due: number = never;
  /** The first `#probing` are under way, the others wait to be used again. */
  readonly #probes: Probe[] = [];
  readonly #options: MembershipOptions;
  readonly #host: DetectorHost<Out>;
  readonly #health: LocalHealth;
  readonly #evidence: boolean;
  readonly #outcomes = new Outcomes();
  readonly #relays: Relay[] = [];

  constructor(options: MembershipOptions, health: LocalHealth, host: DetectorHost<Out>, evidence = false) {
    this.#options = options;
    this.#health = health;
    this.#host = host;
    this.#evidence = evidence;
  }

  deadline(): Instant {
    return this.#due as Instant;
  }

  probing(target: AgentIndex): boolean {
    return this.#probeOf(target) !== undefined;
  }

  /** Failed a whole round already and is being verified in private. */
  verifying(target: AgentIndex): boolean {
    return (this.#probeOf(target)?.round ?? 0) > 0;
  }

  begin(now: Instant, target: AgentIndex, out: Out): void {
    if (this.#probing >= maxProbes || this.probing(target)) return;
    this.#seq = nextSeq(this.#seq);
    let probe = this.#probes[this.#probing];
    if (!probe) this.#probes.push((probe = blankProbe()));
    this.#probing++;
    probe.target = target;
    probe.seq = this.#seq;
    probe.begunAt = now;
    probe.round = 0;
    probe.roundAt = now;
    probe.factor = this.#health.factor;
    probe.stage = 0;
    probe.nextAt = now;
    if (probe.isHelped) {
      probe.isHelped = false;
      probe.helpers.length = 0;
      probe.words.length = 0;
    }
    probe.asked = 0;
    probe.heard = false;
    this.#advance(now, probe, out);
    this.#reckon();
  }

  /** The target is dead, left, or has refuted: nothing to find out any more. */
  abandon(target: AgentIndex): void {
    const probe = this.#probeOf(target);
    if (probe) this.#end(probe);
  }

  /**
   * An answer to one of our pings or requests. Returns when the probe began whose target answered for itself: then it
   * has read all that was said to it since.
   */
  acknowledged(now: Instant, from: AgentIndex, seq: number, out: Out): Instant | undefined {
    for (let i = 0; i < this.#relaying; i++) {
      const relay = this.#relays[i]!;
      if (relay.seq !== seq || relay.target !== from) continue;
      this.#endRelay(relay);
      this.#host.ack(now, relay.requester, relay.requesterSeq, out);
      return undefined;
    }
    const probe = this.#probeBy(seq);
    if (!probe) return undefined;
    const { target, begunAt } = probe;
    if (from !== target) {
      const at = probe.helpers.lastIndexOf(from);
      if (at < 0) return undefined;
      probe.words[at] = word.reached;
    }
    this.#health.lower();
    this.#outcomes.record(now, target, true);
    if (from !== target) this.#outcomes.record(now, from, true);
    if (this.#evidence) this.#testify(probe, from === target, false, out);
    this.#end(probe);
    return from === target ? begunAt : undefined;
  }

  /** A helper lives but could not reach the target: so it is not we who are slow (Lifeguard §IV.A). */
  refused(now: Instant, from: AgentIndex, seq: number): void {
    const probe = this.#probeBy(seq);
    if (!probe) return;
    const at = probe.helpers.lastIndexOf(from);
    if (at < 0 || probe.words[at] !== word.silent) return;
    probe.words[at] = word.nack;
    this.#outcomes.record(now, from, true);
  }

  /** Any authenticated message of the member itself: good enough to end our own doubt about it. */
  heard(now: Instant, member: AgentIndex): void {
    const probe = this.#probeOf(member);
    if (!probe) return;
    if (probe.round === 0) {
      probe.heard = true;
      return;
    }
    this.#outcomes.record(now, member, true);
    this.#end(probe);
  }

  /** Somebody asks us to ping for him. False when the table is full. */
  help(now: Instant, requester: AgentIndex, requesterSeq: number, target: AgentIndex, out: Out): boolean {
    if (this.#relaying >= maxRelays) return false;
    this.#seq = nextSeq(this.#seq);
    let relay = this.#relays[this.#relaying];
    if (!relay) this.#relays.push((relay = blankRelay()));
    this.#relaying++;
    relay.seq = this.#seq;
    relay.requester = requester;
    relay.requesterSeq = requesterSeq;
    relay.target = target;
    relay.startedAt = now;
    relay.stage = 0;
    relay.nextAt = now;
    this.#advanceRelay(now, relay, out);
    this.#reckon();
    return true;
  }

  /** We slept; nobody failed. Everything that is due waits until the queued answers were read. */
  postpone(until: Instant): void {
    for (let i = 0; i < this.#probing; i++) {
      const probe = this.#probes[i]!;
      if (probe.nextAt < until) probe.nextAt = until;
    }
    for (let i = 0; i < this.#relaying; i++) {
      const relay = this.#relays[i]!;
      if (relay.nextAt < until) relay.nextAt = until;
    }
    this.#reckon();
  }

  tick(now: Instant, out: Out): void {
    if (now < this.#due) return;
    // From the end: what ends swaps places with the last one, which was looked at already.
    for (let i = this.#probing - 1; i >= 0; i--) {
      const probe = this.#probes[i]!;
      if (i < this.#probing && probe.nextAt <= now) this.#advance(now, probe, out);
    }
    for (let i = this.#relaying - 1; i >= 0; i--) {
      const relay = this.#relays[i]!;
      if (relay.nextAt <= now) this.#advanceRelay(now, relay, out);
    }
    this.#reckon();
  }

  /** How the others answered since `since`, see outcomes.ts. */
  surroundings(since: Instant, except: AgentIndex): Surroundings {
    return this.#outcomes.since(since, except);
  }

  /** What is known dead is no longer a sign that we are deaf. */
  forget(target: AgentIndex): void {
    this.#outcomes.forget(target);
  }

  /** Probes and requests of others under way, for the tests of their bounds. */
  get load(): { readonly probes: number; readonly relays: number } {
    return { probes: this.#probing, relays: this.#relaying };
  }

  #advance(now: Instant, probe: Probe, out: Out): void {
    const { directPings, directWindowMs, probeIntervalMs, helpers, verifyRounds } = this.#options;
    for (;;) {
      if (probe.stage < directPings) {
        probe.stage++;
        probe.nextAt = after(probe.roundAt, (probe.stage * directWindowMs * probe.factor) / directPings);
        const errand = probe.stage === 1 && probe.round === 0 ? 'first' : 'again';
        this.#host.ping(now, probe.target, probe.seq, errand, out);
        return;
      }
      if (probe.stage === directPings) {
        probe.stage++;
        probe.nextAt = after(probe.roundAt, probeIntervalMs * probe.factor);
        probe.asked = probe.helpers.length;
        // Verification is rare, so it may ask twice as many: at 25 % loss that makes a false alarm 40 times rarer.
        const asked = probe.round === 0 ? helpers : 2 * helpers;
        for (const helper of this.#host.helpers(probe.target, probe.helpers, asked)) {
          probe.isHelped = true;
          probe.helpers.push(helper);
          probe.words.push(word.silent);
          this.#host.pingRequest(now, helper, probe.seq, probe.target, out);
        }
        return;
      }
      if (this.#evidence) this.#testify(probe, false, true, out);
      if (probe.heard && probe.round === 0) {
        this.#outcomes.record(now, probe.target, true);
        this.#end(probe);
        return;
      }
      this.#outcomes.record(now, probe.target, false);
      if (probe.round === 0 && probe.words.includes(word.silent)) this.#health.raise();
      if (probe.round >= verifyRounds) {
        const around = this.surroundings(after(probe.begunAt, -probeIntervalMs * probe.factor), probe.target);
        const waitedLong = probe.round + 1 >= patience * (1 + verifyRounds);
        const nobodyElse = around.answered === 0 && around.silent === 0;
        const hear = around.answered > around.silent;
        if (hear || nobodyElse || waitedLong) {
          const { target, round } = probe;
          this.#end(probe);
          const isPublic = hear || nobodyElse || around.answered > 0;
          this.#host.unanswered(now, target, round + 1, isPublic, out);
          return;
        }
      }
      probe.round++;
      probe.roundAt = now;
      probe.factor = this.#health.factor;
      probe.stage = 0;
      // Helpers of earlier rounds are asked again only when there are no others; their late answers still count.
      if (probe.helpers.length > maxRememberedHelpers) {
        probe.words.splice(0, probe.words.length - 2 * helpers);
        probe.helpers.splice(0, probe.helpers.length - 2 * helpers);
      }
      probe.asked = probe.helpers.length;
    }
  }

  #advanceRelay(now: Instant, relay: Relay, out: Out): void {
    const { directWindowMs, directPings, probeIntervalMs } = this.#options;
    if (relay.stage < 2) {
      relay.stage++;
      relay.nextAt = after(relay.startedAt, relay.stage === 1 ? directWindowMs / directPings : directWindowMs * 0.8);
      this.#host.ping(now, relay.target, relay.seq, 'relayed', out);
    } else if (relay.stage === 2) {
      relay.stage++;
      relay.nextAt = after(relay.startedAt, probeIntervalMs);
      this.#host.nack(now, relay.requester, relay.requesterSeq, out);
      if (this.#evidence) this.#host.relayFailed(now, relay.target, out);
    } else {
      this.#endRelay(relay);
      return;
    }
    if (relay.nextAt <= now && relay.stage < 3) relay.nextAt = after(now, 1);
  }

  /** `isOver`: the round ran to its end, so who has not spoken by now is silent; else only who spoke is named. */
  #testify(probe: Probe, direct: boolean, isOver: boolean, out: Out): void {
    if (!probe.isHelped) return this.#host.probeEnded(probe.roundAt, probe.target, probe.round, direct, nobody, out);
    const helpers: HelperWord[] = probe.asked === probe.helpers.length ? (nobody as HelperWord[]) : [];
    for (let i = probe.asked; i < probe.helpers.length; i++) {
      const said = wordNames[probe.words[i]!]!;
      if (isOver || said !== 'silent') helpers.push({ helper: probe.helpers[i]!, word: said });
    }
    this.#host.probeEnded(probe.roundAt, probe.target, probe.round, direct, helpers, out);
  }

  #probeOf(target: AgentIndex): Probe | undefined {
    for (let i = 0; i < this.#probing; i++) if (this.#probes[i]!.target === target) return this.#probes[i];
    return undefined;
  }

  #probeBy(seq: number): Probe | undefined {
    for (let i = 0; i < this.#probing; i++) if (this.#probes[i]!.seq === seq) return this.#probes[i];
    return undefined;
  }

  #end(probe: Probe): void {
    const at = this.#probes.indexOf(probe);
    const last = --this.#probing;
    this.#probes[at] = this.#probes[last]!;
    this.#probes[last] = probe;
    this.#reckon();
  }

  #endRelay(relay: Relay): void {
    const at = this.#relays.indexOf(relay);
    const last = --this.#relaying;
    this.#relays[at] = this.#relays[last]!;
    this.#relays[last] = relay;
    this.#reckon();
  }

  #reckon(): void {
    let due: number = never;
    for (let i = 0; i < this.#probing; i++) if (this.#probes[i]!.nextAt < due) due = this.#probes[i]!.nextAt;
    for (let i = 0; i < this.#relaying; i++) if (this.#relays[i]!.nextAt < due) due = this.#relays[i]!.nextAt;
    this.#due = due;
  }
}

/** Who speaks for the detector, and what it finds. */
export interface DetectorHost<Out> {
  ping(now: Instant, to: AgentIndex, seq: number, errand: PingErrand, out: Out): void;
  pingRequest(now: Instant, to: AgentIndex, seq: number, target: AgentIndex, out: Out): void;
  ack(now: Instant, to: AgentIndex, seq: number, out: Out): void;
  nack(now: Instant, to: AgentIndex, seq: number, out: Out): void;
  /** Up to `count` members who may ping for us, rather none of `not`. */
  helpers(target: AgentIndex, not: readonly AgentIndex[], count: number): readonly AgentIndex[];
  /** Verified: the target answered in none of the rounds. Not public: nobody else answered us either. */
  unanswered(now: Instant, target: AgentIndex, rounds: number, isPublic: boolean, out: Out): void;
  /** We pinged for another, and got no answer ourselves. Only with `evidence`. */
  relayFailed(now: Instant, target: AgentIndex, out: Out): void;
  /** One round is over, or was cut short by an answer. Only with `evidence`. */
  probeEnded(
    startedAt: Instant,
    target: AgentIndex,
    round: number,
    direct: boolean,
    helpers: readonly HelperWord[],
    out: Out,
  ): void;
}

/** What a ping is for: the first of an ordinary probe, a further one, or one on behalf of another. */
export type PingErrand = 'first' | 'again' | 'relayed';

/** What a helper said in one round. A round that an answer cut short names only those who had spoken by then. */
export interface HelperWord {
  readonly helper: AgentIndex;
  readonly word: 'reached' | 'nack' | 'silent';
}

interface Probe {
  target: AgentIndex;
  seq: number;
  begunAt: Instant;
  round: number;
  roundAt: Instant;
  factor: number;
  /** Direct pings sent in this round; one more than directPings once helpers were asked. */
  stage: number;
  nextAt: Instant;
  /** Helpers were asked since it began; mostly none is. */
  isHelped: boolean;
  /** Of all rounds, and beside each what it said; those from `asked` on were asked in this round. */
  readonly helpers: AgentIndex[];
  readonly words: number[];
  asked: number;
  heard: boolean;
}

interface Relay {
  seq: number;
  requester: AgentIndex;
  requesterSeq: number;
  target: AgentIndex;
  startedAt: Instant;
  stage: number;
  nextAt: Instant;
}

const blankProbe = (): Probe => ({
  target: 0,
  seq: 0,
  begunAt: 0.5 as Instant,
  round: 0,
  roundAt: 0.5 as Instant,
  factor: 1,
  stage: 0,
  nextAt: 0.5 as Instant,
  isHelped: false,
  helpers: [],
  words: [],
  asked: 0,
  heard: false,
});

const blankRelay = (): Relay => ({
  seq: 0,
  requester: 0,
  requesterSeq: 0,
  target: 0,
  startedAt: 0.5 as Instant,
  stage: 0,
  nextAt: 0.5 as Instant,
});

const word = { silent: 0, nack: 1, reached: 2 } as const;
const nobody: readonly HelperWord[] = Object.freeze([]);
const wordNames = ['silent', 'nack', 'reached'] as const;

/** Rounds before a verdict without a majority of answers, as a multiple of the usual number. */
const patience = 3;
export const maxProbes = 256;
export const maxRelays = 256;
const maxRememberedHelpers = 32;

/** Starts over before it takes more bytes on the wire; hours pass until then, a probe lives seconds. 0 is no probe. */
const nextSeq = (seq: number): number => (seq >= 0xffff ? 1 : seq + 1);
