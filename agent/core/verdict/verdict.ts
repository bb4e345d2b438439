import type { AgentIndex } from '../../base/ids.ts';
import { after, type Instant, instant, never } from '../../base/time.ts';
import type { VerdictOptions } from './options.ts';
import { RecentContacts } from './recent-contacts.ts';
import { type Evidence, type Statement, statementKey } from './statement.ts';

/** A finished probe round, as the failure detector saw it. */
export interface ProbeEnded {
  readonly startedAt: Instant;
  readonly target: AgentIndex;
  /** 0 is the ordinary probe, then the private verification. */
  readonly round: number;
  /** The target itself answered our own ping. */
  readonly direct: boolean;
  readonly helpers: readonly { readonly helper: AgentIndex; readonly word: 'reached' | 'nack' | 'silent' }[];
}

export type CoordinatorSight = 'connected' | 'lost' | 'not-heard';

export type VerdictOutput =
  | { readonly kind: 'verdict-changed'; readonly statements: readonly Statement[] }
  /** Look at this member now, in private; the answer comes back as `probeEnded`. */
  | { readonly kind: 'probe-wanted'; readonly target: AgentIndex }
  /** Somebody lost the coordinator: is our own line still good? Answered by `coordinatorChanged` if it is not. */
  | { readonly kind: 'uplink-check-wanted' };

/** What only others know. */
export interface VerdictFacts {
  /** As membership holds it. */
  state(member: AgentIndex): 'unknown' | 'alive' | 'suspect' | 'dead' | 'left';
  /** Which life of it was heard of last; 0: none. */
  bootOf(member: AgentIndex): number;
  /** Members held alive or suspect, oneself included. */
  aliveCount(): number;
  /** Its digests reach us: what it says of its line to the coordinator is known here. */
  hearsDigestsOf(member: AgentIndex): boolean;
  /** Switch, room or cell that members share; empty where none is known or all share the same. */
  locationOf(member: AgentIndex): string;
}

/**
 * What is the matter, as far as one agent can tell from what its peers answer: a set of statements, each with its
 * evidence, and no more of them than are needed to explain what is seen.
 *
 * The intuition is that of a person at a console who pings around. One does not answer, nor to colleagues: it is gone.
 * Its neighbours on the same switch do not answer either: it is the switch. Colleagues reach it: it is my path to it.
 * Nobody answers me: it is I. And when my own clock stumbles, I had better say nothing of others.
 *
 * It rests on the private verification of the failure detector (own rounds, or somebody else's that he has published
 * and nobody refuted), not on public death, which comes later. Guaranteed: bounded by the roster, and O(1) for a probe that
 * is answered while nothing stands. Not guaranteed: that `gone` means dead (a box without any path looks the same until
 * it speaks again), or that a failed path is seen before one of its two ends looks; with N members that is (N−1)·T.
 */
export class Verdict {
  // What an answered probe touches stands first and together, see membership.ts.
  readonly #options: VerdictOptions;
  readonly #self: AgentIndex;
  readonly #size: number;
  readonly #facts: VerdictFacts;
  #evaluateAt: Instant = never;
  /** Who answered last, and when. */
  #contactOf: AgentIndex = -1;
  #contactAt: Instant = longAgo;
  #insideContactAt: Instant = longAgo;
  #outsideContactAt: Instant = longAgo;
  /** Share of healthy targets whose first round failed directly: what this network loses anyway. */
  #directFailure = 0;
  /** One of the two silences has begun. */
  #isSilent = false;
  /**
   * Nothing is doubted or awaited, and nobody asks for contacts: then an answer is noted, and that is all. False is always
   * safe; the next judgement sets it right. One mark in place of four collections to look into, at every answer.
   */
  #isCalm = true;
  /** Where we stand. */
  readonly #here: string;
  #isolated: 'no' | 'cut' | 'segment' = 'no';
  readonly #peerUplinks = new Map<AgentIndex, CoordinatorSight>();
  /** Members about whom something is wrong, at most the roster. */
  readonly #doubts = new Map<AgentIndex, Doubt>();
  /** Who answered us while something is doubted; in the calm nobody asks. */
  readonly #contacts = new RecentContacts();
  /** Neighbours of a lost member whose answer a statement waits for; cleared when nothing is doubted. */
  readonly #awaited = new Set<AgentIndex>();
  /** Nobody answered since; cleared by the first word. */
  readonly #silent = new Set<AgentIndex>();
  #silentSince: Instant = never;
  #silentRounds = 0;
  /** The same for members of other locations. */
  readonly #silentOutside = new Set<AgentIndex>();
  #outsideSince: Instant = never;
  #askAroundAt: Instant = longAgo;
  #cursor: number;

  #lateCount = 0;
  #lateMaxMs = 0;
  #lateAt: Instant = longAgo;
  #slowSince: Instant = never;
  #slowUntil: Instant = longAgo;
  #blindUntil: Instant = longAgo;
  #watchUntil: Instant = longAgo;

  /** Who did not answer when we pinged it for another, and when; at most `maxRelayFailures`. */
  readonly #relayFailures = new Map<AgentIndex, Instant>();
  #askerLookAt: Instant = longAgo;
  #uplink: CoordinatorSight = 'lost';
  #uplinkLostAt: Instant = longAgo;
  #uplinkMissedAt: Instant = never;
  #uplinkHoldUntil: Instant = longAgo;
  #uplinkAskAt: Instant = longAgo;
  /** What made our line doubtful came too soon after the last look at it. */
  #uplinkAskWanted = false;
  /** Somebody had a coordinator in this life; a site without one is not a site that lost it. */
  #coordinatorKnown = false;
  #coordinatorLostSince: Instant = never;
  /** Of them, how many are not connected. */
  #lostUplinks = 0;

  /** After a cut: when to look again at whom membership holds dead. */
  #recheckAt: Instant = never;
  #isolatedSince: Instant = never;
  #isolatedUntil: Instant = longAgo;
  #statements: readonly Statement[] = [];
  #keys = '';

  constructor(parts: {
    readonly options: VerdictOptions;
    readonly self: AgentIndex;
    /** Members of the roster, oneself included. */
    readonly size: number;
    readonly facts: VerdictFacts;
  }) {
    this.#options = parts.options;
    this.#self = parts.self;
    this.#size = parts.size;
    this.#facts = parts.facts;
    this.#here = parts.facts.locationOf(parts.self);
    this.#cursor = parts.self;
  }

  /** What stands now, ordered by class and subject. */
  get statements(): readonly Statement[] {
    return this.#statements;
  }

  /** No peer answers, or none outside our own location: what is missing is missing because of us. */
  get cutOff(): boolean {
    return this.#isolated !== 'no';
  }

  deadline(): Instant {
    return this.#evaluateAt;
  }

  probeEnded(now: Instant, ended: ProbeEnded): void {
    const { target, direct, helpers } = ended;
    if (!this.#isOther(target)) return;
    if (direct && ended.round === 0 && helpers.length === 0) {
      // What happens most.
      if (this.#directFailure > 0 && !this.#doubts.has(target)) this.#directFailure -= this.#directFailure / 32;
      if (!this.#isCalm && (this.#doubts.size > 0 || this.#relayFailures.size > 0)) this.#contacts.add(target, now);
      return this.#answered(now, target);
    }
    const reachedBy: AgentIndex[] = [];
    const nacks: AgentIndex[] = [];
    for (const { helper, word } of helpers) {
      if (word === 'silent' || !this.#isOther(helper)) continue;
      this.#contact(now, helper);
      (word === 'reached' ? reachedBy : nacks).push(helper);
    }
    if (ended.round === 0 && !this.#doubts.has(target)) {
      this.#directFailure += ((direct ? 0 : 1) - this.#directFailure) / 32;
    }
    if (direct) return this.#contact(now, target);
    if (reachedBy.length > 0) return this.#strike(now, target, reachedBy);
    // Whom we asked while we were cut off could not hear us.
    if (nacks.length === 0 && ended.startedAt < this.#isolatedUntil) return;
    this.#unanswered(now, target, nacks);
    // A round that got no word at all says something of every helper, too. Where one answered, the rest had no time.
    for (const { helper, word } of helpers) if (word === 'silent') this.#silence(now, helper);
  }

  /** A connection to it was made anew: a doubted path may be whole again, which is looked at now. */
  connected(now: Instant, peer: AgentIndex): void {
    const doubt = this.#doubts.get(peer);
    if (doubt === undefined) return;
    doubt.askAt = now;
    this.#wake(now, 0);
  }

  /** What membership holds of a member now. */
  memberChanged(now: Instant, member: AgentIndex, to: 'unknown' | 'alive' | 'suspect' | 'dead' | 'left'): void {
    if (!this.#isOther(member)) return;
    if (to === 'left') {
      const said = this.#peerUplinks.get(member);
      if (said !== undefined && said !== 'connected') this.#lostUplinks--;
      this.#peerUplinks.delete(member);
    }
    if (to === 'suspect' || to === 'dead') return this.#told(now, member);
    if (this.#relieve(member, to === 'left')) this.#wake(now, 0);
  }

  /**
   * The supervisor of this life of the member released its death certificate: the one way to know. What the dead one had
   * sent before may still arrive and changes nothing; word of a later life does.
   */
  proven(now: Instant, member: AgentIndex, boot: number): void {
    if (!this.#isOther(member) || !Number.isSafeInteger(boot) || this.#facts.bootOf(member) > boot) return;
    // Who left in order ends afterwards.
    if (this.#facts.state(member) === 'left') return;
    this.#doubt(now, member).provenBoot = boot;
    this.#wake(now, 0);
  }

  /**
   * A peer asks us to reach another for it. Mostly the other is away; but who cannot hear asks so for everybody, and goes
   * on speaking, which keeps the detector from accusing it. So we look whether the asker itself answers. Where the
   * network loses much anyway such a question says nothing, and costs nothing.
   */
  helpAsked(now: Instant, by: AgentIndex, about: AgentIndex, out: VerdictOutput[]): void {
    if (now < this.#askerLookAt || this.#directFailure > lossyFrom || !this.#isOther(by)) return;
    if (this.#doubts.has(about) || this.#doubts.has(by) || this.#isQuiet()) return;
    this.#askerLookAt = after(now, askerLookMs);
    out.push({ kind: 'probe-wanted', target: by });
  }

  /**
   * We pinged a member for another, and it did not answer us: that is the first that we see of a failed path to it. If
   * nobody told anything of it in the meantime and it did not answer us since, we look for ourselves.
   */
  relayFailed(now: Instant, target: AgentIndex): void {
    if (this.#directFailure > lossyFrom || !this.#isOther(target) || !this.#isLooker(target)) return;
    if (this.#doubts.has(target) || this.#relayFailures.has(target)) return;
    if (this.#relayFailures.size >= maxRelayFailures) return;
    this.#relayFailures.set(target, now);
    this.#isCalm = false;
    this.#wake(now, relayPatience * this.#options.probeIntervalMs);
  }

  /** A timer of ours came this much late. */
  late(now: Instant, lateMs: number): void {
    const { probeIntervalMs, slowHoldMs } = this.#options;
    if (lateMs > probeIntervalMs / 4) {
      // A stall shows in a timer only as far as one was due in it: for a while there is always one.
      this.#watchUntil = after(now, slowHoldMs);
      this.#wake(now, 0);
    }
    if (lateMs <= probeIntervalMs / 2) return;
    const again = now - this.#lateAt <= slowHoldMs;
    this.#lateCount = again ? this.#lateCount + 1 : 1;
    this.#lateMaxMs = again ? Math.max(this.#lateMaxMs, lateMs) : lateMs;
    this.#lateAt = now;
    if (this.#lateCount >= 2 || lateMs >= 2.5 * probeIntervalMs) {
      if (this.#slowUntil <= now) this.#slowSince = now;
      this.#slowUntil = after(now, slowHoldMs);
    }
    // What we did not hear while we slept is no silence of others.
    this.#blindUntil = after(now, probeIntervalMs / 2);
    this.#forgetSilence();
    this.#wake(now, 0);
  }

  coordinatorChanged(now: Instant, state: CoordinatorSight): void {
    if (state === 'connected') {
      this.#coordinatorKnown = true;
      // It found its way back; what is lost from here on is a new loss.
      this.#uplinkHoldUntil = longAgo;
    } else if (this.#uplink === 'connected') this.#uplinkLostAt = now;
    if (state !== this.#uplink) this.#wake(now, 0);
    this.#uplink = state;
  }

  /** What a peer's digest says of its own line to the coordinator. */
  peerCoordinator(now: Instant, peer: AgentIndex, state: CoordinatorSight, out: VerdictOutput[]): void {
    if (!this.#isOther(peer)) return;
    const before = this.#peerUplinks.get(peer);
    if (before === state) return;
    if (before === undefined && this.#peerUplinks.size >= maxPeerUplinks) return;
    this.#peerUplinks.set(peer, state);
    if (state === 'connected' && before !== undefined) this.#lostUplinks--;
    else if (state !== 'connected' && (before === undefined || before === 'connected')) this.#lostUplinks++;
    if (state === 'connected') this.#coordinatorKnown = true;
    // Either way our own knowledge may be old: a silent line is found by asking, not by waiting.
    const mayDiffer = (state === 'connected') !== (this.#uplink === 'connected');
    if (mayDiffer && before !== undefined) this.#askUplink(now, out);
    this.#wake(now, 0);
  }

  tick(now: Instant, out: VerdictOutput[]): void {
    if (now < this.#evaluateAt) return;
    this.#evaluateAt = never;
    if (this.#uplinkAskWanted) this.#askUplink(now, out);
    if (now < this.#watchUntil) this.#wake(now, this.#options.probeIntervalMs / 5);
    if (now < this.#blindUntil) {
      // Of ourselves we may speak at once; of others after the waiting answers were read.
      this.#wake(this.#blindUntil, 0);
      this.#publish([...this.#statements.filter((s) => s.class !== 'i-am-slow' && s.class !== 'i-am-cut'), ...this.#slow(now)], out); // biome-ignore format: one thought
      return;
    }
    if (this.#relayFailures.size > 0) this.#lookAfterRelays(now, out);
    const slow = this.#slow(now);
    this.#judgeIsolation(now, slow.length > 0, out);
    if (now >= this.#recheckAt && this.#isolated === 'no') this.#recheck(now);
    const others = this.#isolated === 'cut' ? [] : this.#judgeMembers(now, out);
    const isolation = this.#isolationStatement();
    const uplink = this.#isolated === 'no' ? this.#judgeUplink(now, out) : [];
    this.#publish([...others, ...isolation, ...uplink, ...slow], out);
    const waiting = this.#doubts.size + this.#relayFailures.size + this.#awaited.size;
    this.#isCalm = waiting === 0 && this.#isolated === 'no';
  }

  // Evidence

  #isOther(member: AgentIndex): boolean {
    return Number.isInteger(member) && member >= 0 && member < this.#size && member !== this.#self;
  }

  #isInside(member: AgentIndex): boolean {
    return this.#here !== '' && this.#facts.locationOf(member) === this.#here;
  }

  #doubt(now: Instant, member: AgentIndex): Doubt {
    let doubt = this.#doubts.get(member);
    if (doubt === undefined) {
      // Who answered in this very moment answered since.
      if (this.#doubts.size === 0 && this.#contactAt === now) this.#contacts.add(this.#contactOf, now);
      doubt = {
        since: now,
        rounds: 0,
        roundAt: longAgo,
        nacks: [],
        toldAt: never,
        provenBoot: undefined,
        strikes: 0,
        strikeAt: now,
        firstStrikeAt: now,
        reachedBy: [],
        neighbours: undefined,
        askAt: now,
        lost: false,
        linked: false,
        inSegment: false,
      };
      this.#doubts.set(member, doubt);
      this.#isCalm = false;
    }
    return doubt;
  }

  /** Both ways work between us and this member, now. */
  #contact(now: Instant, member: AgentIndex): void {
    this.#contacts.add(member, now);
    this.#answered(now, member);
  }

  #answered(now: Instant, member: AgentIndex): void {
    this.#contactOf = member;
    this.#contactAt = now;
    const isInside = this.#isInside(member);
    if (this.#isSilent) {
      this.#silent.clear();
      this.#silentSince = never;
      this.#silentRounds = 0;
      if (!isInside) {
        this.#silentOutside.clear();
        this.#outsideSince = never;
      }
      this.#isSilent = this.#outsideSince !== never;
    }
    if (isInside) this.#insideContactAt = now;
    else this.#outsideContactAt = now;
    if (this.#isCalm) return;
    const wasDoubted = this.#doubts.size > 0 && this.#relieve(member);
    const wasAwaited = this.#awaited.size > 0 && this.#awaited.delete(member);
    if (wasDoubted || wasAwaited || this.#isolated !== 'no') this.#wake(now, 0);
  }

  /** It spoke. Whose death is proven stays doubted until a later life of it is heard of. True: there was a doubt. */
  #relieve(member: AgentIndex, inAnyCase = false): boolean {
    const provenBoot = this.#doubts.get(member)?.provenBoot;
    if (provenBoot !== undefined && !inAnyCase && this.#facts.bootOf(member) <= provenBoot) return true;
    return this.#doubts.delete(member);
  }

  #unanswered(now: Instant, target: AgentIndex, nacks: readonly AgentIndex[]): void {
    this.#silence(now, target);
    this.#silentRounds++;
    const doubt = this.#doubt(now, target);
    doubt.rounds++;
    doubt.roundAt = now;
    for (const nack of nacks) remember(doubt.nacks, nack);
    doubt.askAt = after(now, 1.25 * this.#options.probeIntervalMs);
    this.#wake(now, 0);
  }

  #strike(now: Instant, target: AgentIndex, helpers: readonly AgentIndex[]): void {
    // It lives, whatever was said of it.
    const doubt = this.#doubt(now, target);
    doubt.rounds = 0;
    doubt.toldAt = never;
    // A round that we ourselves slept through says nothing of the path.
    if (now - this.#lateAt > 2.5 * this.#options.probeIntervalMs) {
      if (doubt.strikes === 0) doubt.firstStrikeAt = now;
      doubt.strikes++;
      doubt.strikeAt = now;
      for (const helper of helpers) remember(doubt.reachedBy, helper);
    }
    doubt.askAt = after(now, doubt.linked ? 5 * this.#options.probeIntervalMs : 0.5 * this.#options.probeIntervalMs);
    this.#wake(now, 0);
  }

  #told(now: Instant, member: AgentIndex): void {
    // Who hears nobody accuses everybody; what membership holds then is about us.
    if (this.#isolated === 'cut') return;
    if (this.#isolated === 'segment' && !this.#isInside(member)) return;
    const doubt = this.#doubt(now, member);
    if (doubt.toldAt === never) doubt.toldAt = now;
    this.#wake(now, 0);
  }

  #silence(now: Instant, member: AgentIndex): void {
    if (!this.#isOther(member)) return;
    this.#isSilent = true;
    if (this.#silentSince === never) this.#silentSince = now;
    if (this.#silent.size < maxSilent) this.#silent.add(member);
    if (!this.#isInside(member)) {
      if (this.#outsideSince === never) this.#outsideSince = now;
      if (this.#silentOutside.size < maxSilent) this.#silentOutside.add(member);
    }
    this.#wake(now, this.#options.cutAfterMs);
  }

  #forgetSilence(): void {
    this.#isSilent = false;
    this.#silent.clear();
    this.#silentSince = never;
    this.#silentRounds = 0;
    this.#silentOutside.clear();
    this.#outsideSince = never;
  }

  // Judgement

  #slow(now: Instant): Statement[] {
    if (now >= this.#slowUntil) return [];
    this.#wake(this.#slowUntil, 0);
    const evidence: Evidence[] = [{ kind: 'late-timers', count: this.#lateCount, maxMs: this.#lateMaxMs }];
    return [{ class: 'i-am-slow', since: this.#slowSince, evidence }];
  }

  /** Is it we who are away: alone, or with all of our own location? */
  #judgeIsolation(now: Instant, isSlow: boolean, out: VerdictOutput[]): void {
    const before = this.#isolated;
    const { cutAfterMs, cutPeers, probeIntervalMs } = this.#options;
    let after_: 'no' | 'cut' | 'segment' = 'no';
    const others = this.#size - 1;
    const enough = (silent: number, all: number) => silent >= Math.min(cutPeers, all);
    // Before it is everybody, a few more are asked: those next to us, and some elsewhere that were not silent yet.
    if (this.#isQuiet()) this.#askAround(now, out);
    if (this.#silentSince !== never && !isSlow) {
      const peers = Math.max(1, Math.min(others, this.#facts.aliveCount() - 1));
      const isLong = now >= after(this.#silentSince, cutAfterMs);
      // With one peer, only the coordinator can tell who of the two is away.
      const onlyPeerGone = others === 1 && this.#uplink === 'connected';
      const isVerified = this.#silentRounds >= Math.min(2, this.#options.rounds) && !onlyPeerGone;
      if (before === 'cut' || (isLong && isVerified && enough(this.#silent.size, peers))) after_ = 'cut';
    }
    if (after_ === 'no' && this.#outsideSince !== never && !isSlow) {
      const { inside, outside } = this.#surroundings();
      if (inside > 0 && outside > inside) {
        const isLong = now >= after(this.#outsideSince, cutAfterMs);
        const isHeard = this.#insideContactAt >= this.#outsideSince;
        const stands = before === 'segment';
        if (isHeard && (stands || (isLong && enough(this.#silentOutside.size, outside)))) after_ = 'segment';
      }
    }
    if (before === 'cut' && after_ !== 'cut') {
      // The first word ends it; who else is there is found out anew.
      this.#forgetSilence();
      after_ = 'no';
    }
    if (after_ === before) return;
    this.#isolated = after_;
    // What was seen of others on the way into a cut, and in it, was seen of the cut.
    for (const [member, { provenBoot }] of this.#doubts) {
      const isOfTheCut = before === 'cut' || after_ === 'cut' || !this.#isInside(member);
      if (provenBoot === undefined && isOfTheCut) this.#doubts.delete(member);
    }
    if (after_ === 'no') {
      this.#isolatedSince = never;
      this.#isolatedUntil = now;
      // Those who are back will say so; whom membership then still holds dead was lost meanwhile.
      this.#recheckAt = after(now, 15 * probeIntervalMs);
      this.#wake(this.#recheckAt, 0);
    } else {
      this.#isolatedSince = after_ === 'cut' ? this.#silentSince : this.#outsideSince;
    }
  }

  #isolationStatement(): Statement[] {
    const since = this.#isolatedSince;
    if (this.#isolated === 'cut') {
      return [{ class: 'i-am-cut', since, evidence: [{ kind: 'silence', peers: this.#silent.size, inside: 0 }] }];
    }
    if (this.#isolated === 'segment') {
      const location = this.#here;
      const members = this.#membersOf(location, maxNamed);
      const evidence: Evidence[] = [{ kind: 'silence', peers: this.#silentOutside.size, inside: members.length - 1 }];
      return [{ class: 'segment', location, members, since, evidence }];
    }
    return [];
  }

  #surroundings(): { inside: number; outside: number } {
    const here = this.#here;
    let inside = 0;
    if (here !== '') {
      for (let m = 0; m < this.#size; m++) if (m !== this.#self && this.#facts.locationOf(m) === here) inside++;
    }
    return { inside, outside: this.#size - 1 - inside };
  }

  #membersOf(location: string, limit: number): AgentIndex[] {
    const members: AgentIndex[] = [];
    for (let m = 0; m < this.#size && members.length < limit; m++) {
      if (this.#facts.locationOf(m) === location) members.push(m);
    }
    return members;
  }

  /** Nobody elsewhere answered of late, or nobody at all: no time to judge others by their silence. */
  #isQuiet(): boolean {
    return this.#silentOutside.size >= Math.min(3, this.#size - 1) || this.#isolated !== 'no';
  }

  #askAround(now: Instant, out: VerdictOutput[]): void {
    const { probeIntervalMs, neighbours } = this.#options;
    if (this.#silentSince === never && this.#outsideSince === never) return;
    // Who only sends and never hears would keep the others from finding him out by his own questions.
    if (this.#isolated === 'cut') return;
    if (now < this.#askAroundAt) return this.#wake(this.#askAroundAt, 0);
    this.#askAroundAt = after(now, probeIntervalMs);
    this.#wake(this.#askAroundAt, 0);
    const here = this.#here;
    let inside = now - this.#insideContactAt < probeIntervalMs / 2 || here === '' ? neighbours : 0;
    let outside = this.#isolated === 'no' ? neighbours / 2 : neighbours;
    for (let i = 0; i < this.#size && (inside < neighbours || outside < neighbours); i++) {
      this.#cursor = (this.#cursor + 1) % this.#size;
      const member = this.#cursor;
      const state = this.#facts.state(member);
      if (member === this.#self || (state !== 'alive' && state !== 'suspect')) continue;
      if (here !== '' && this.#facts.locationOf(member) === here) {
        if (inside++ >= neighbours) continue;
      } else if (this.#silent.has(member) || outside++ >= neighbours) continue;
      out.push({ kind: 'probe-wanted', target: member });
    }
  }

  #judgeMembers(now: Instant, out: VerdictOutput[]): Statement[] {
    if (this.#doubts.size === 0) {
      this.#awaited.clear();
      return [];
    }
    const lost: [AgentIndex, Doubt][] = [];
    const statements: Statement[] = [];
    for (const [member, doubt] of this.#doubts) {
      if (doubt.provenBoot !== undefined && doubt.provenBoot < this.#facts.bootOf(member)) {
        this.#doubts.delete(member);
        continue;
      }
      if (this.#isolated === 'segment' && !this.#isInside(member)) continue;
      doubt.lost = this.#isLost(now, member, doubt);
      doubt.linked = !doubt.lost && this.#isLinkDown(doubt);
      // Its supervisor could speak: of what its switch does, its silence says nothing.
      if (doubt.provenBoot !== undefined) statements.push(goneStatement(member, doubt));
      else if (doubt.lost) lost.push([member, doubt]);
      else if (doubt.linked) {
        const { strikes, reachedBy } = doubt;
        const evidence: Evidence[] = [{ kind: 'reached-by-others', member, rounds: strikes, helpers: [...reachedBy] }];
        statements.push({ class: 'link', member, since: doubt.firstStrikeAt, evidence });
      }
      if (doubt.neighbours === undefined && !this.#isQuiet()) this.#lookAround(now, member, doubt, out);
      this.#ask(now, member, doubt, out);
    }
    for (const [location, group] of this.#byLocation(lost)) {
      if (location !== '' && this.#isSegment(group)) {
        for (const [, doubt] of group) doubt.inSegment = true;
        const since = instant(Math.min(...group.map(([, doubt]) => doubt.since)));
        const members = group.map(([member]) => member).sort((a, b) => a - b);
        const evidence = group.slice(0, maxNamed).flatMap(([member, doubt]) => evidenceOf(member, doubt));
        statements.push({ class: 'segment', location, members, since, evidence });
        continue;
      }
      for (const [member, doubt] of group) {
        const mayBeMore = location !== '' && !doubt.inSegment && this.#mayBeMore(now, member, location, doubt);
        if (!mayBeMore) statements.push(goneStatement(member, doubt));
      }
    }
    return statements;
  }

  #isLost(now: Instant, member: AgentIndex, doubt: Doubt): boolean {
    if (doubt.provenBoot !== undefined) return true;
    if (doubt.lost) return doubt.rounds > 0 || doubt.toldAt !== never;
    const { rounds, refuteMs, probeIntervalMs } = this.#options;
    if (doubt.toldAt !== never) {
      if (now >= after(doubt.toldAt, refuteMs)) return true;
      this.#wake(after(doubt.toldAt, refuteMs), 0);
    }
    if (doubt.rounds < rounds) return false;
    // Only who hears others may say that one does not answer.
    const heardAt = this.#isInside(member) ? this.#contactAt : this.#outsideContactAt;
    const onlyPeer = this.#size === 2 && this.#uplink === 'connected';
    if (heardAt < doubt.since && !onlyPeer) return false;
    const at = after(doubt.roundAt, probeIntervalMs / 4);
    if (now < at && doubt.rounds === rounds) {
      this.#wake(at, 0);
      return false;
    }
    return true;
  }

  #isLinkDown(doubt: Doubt): boolean {
    const [least, most] = this.#options.linkRounds;
    const chance = Math.max(0.02, this.#directFailure);
    const wanted = Math.min(most, Math.max(least, Math.ceil(Math.log(1e-5) / Math.log(chance))));
    return doubt.strikes >= wanted && doubt.strikeAt - doubt.firstStrikeAt >= this.#options.linkSpanMs;
  }

  /**
   * One of a location does not answer: are its neighbours there? Their answers come within a round trip. Who only heard of
   * it looks at two of them; and of a large site only some look, or all would ping the same few.
   */
  #lookAround(now: Instant, member: AgentIndex, doubt: Doubt, out: VerdictOutput[]): void {
    if (doubt.rounds === 0 && doubt.toldAt === never) return;
    doubt.neighbours = [];
    const location = this.#facts.locationOf(member);
    if (location === '') return;
    const isTold = doubt.rounds === 0;
    if (isTold && !this.#isLooker(member)) return;
    const count = isTold ? Math.min(2, this.#options.neighbours) : this.#options.neighbours;
    const from = isTold ? this.#self : member;
    // Starting at different places: different members and different observers make us look at different neighbours.
    for (let i = 1; i < this.#size && doubt.neighbours.length < count; i++) {
      const other = (from + i) % this.#size;
      if (other === this.#self || other === member || this.#facts.locationOf(other) !== location) continue;
      if (this.#facts.state(other) !== 'alive' && this.#facts.state(other) !== 'suspect') continue;
      doubt.neighbours.push(other);
      this.#awaited.add(other);
      out.push({ kind: 'probe-wanted', target: other });
    }
    this.#wake(now, this.#options.neighboursMs);
  }

  #lookAfterRelays(now: Instant, out: VerdictOutput[]): void {
    for (const [target, failedAt] of this.#relayFailures) {
      const at = after(failedAt, relayPatience * this.#options.probeIntervalMs);
      if (now < at) {
        this.#wake(at, 0);
        continue;
      }
      this.#relayFailures.delete(target);
      const isKnown = this.#doubts.has(target) || this.#isQuiet() || this.#contacts.last(target) > failedAt;
      if (!isKnown) out.push({ kind: 'probe-wanted', target });
    }
  }

  #isLooker(member: AgentIndex): boolean {
    return (this.#self + member) % Math.ceil(this.#facts.aliveCount() / lookersAtMost) === 0;
  }

  /** A neighbour of this lost member is not accounted for yet: wait a little before it is called the only one. */
  #mayBeMore(now: Instant, member: AgentIndex, location: string, doubt: Doubt): boolean {
    const until = after(doubt.since, this.#options.neighboursMs);
    if (now >= until) return false;
    const unheard = doubt.neighbours?.some((other) => this.#contacts.last(other) < doubt.since) ?? false;
    let doubted = false;
    for (const [other, its] of this.#doubts) {
      if (other !== member && !its.lost && its.strikes === 0 && this.#facts.locationOf(other) === location) {
        doubted = true;
      }
    }
    if (!unheard && !doubted) return false;
    this.#wake(until, 0);
    return true;
  }

  #byLocation(lost: readonly [AgentIndex, Doubt][]): Map<string, [AgentIndex, Doubt][]> {
    const groups = new Map<string, [AgentIndex, Doubt][]>();
    for (const entry of lost) {
      const location = this.#facts.locationOf(entry[0]);
      const group = groups.get(location);
      if (group) group.push(entry);
      else groups.set(location, [entry]);
    }
    return groups;
  }

  #isSegment(group: readonly [AgentIndex, Doubt][]): boolean {
    if (group.length < 2) return false;
    if (group.some(([, doubt]) => doubt.inSegment)) return true;
    const times = group.map(([, doubt]) => doubt.since).sort((a, b) => a - b);
    return times.some((at, i) => i > 0 && at - times[i - 1]! <= this.#options.segmentWithinMs);
  }

  /** Keeps the evidence fresh: nobody else looks at a member that we alone doubt. */
  #ask(now: Instant, member: AgentIndex, doubt: Doubt, out: VerdictOutput[]): void {
    if (doubt.provenBoot !== undefined) return;
    // Membership itself keeps at whom it holds dead. Whom others accuse we look at ourselves, some of us, if no refutation
    // came: it may have passed us by.
    if (doubt.toldAt !== never && doubt.strikes === 0) {
      if (this.#facts.state(member) !== 'suspect' || !this.#isLooker(member)) return;
      const at = after(doubt.toldAt, 1.5 * this.#options.refuteMs);
      if (doubt.askAt < at) doubt.askAt = at;
    }
    if (doubt.strikes === 0 && this.#isQuiet()) return;
    if (now < doubt.askAt) return this.#wake(doubt.askAt, 0);
    const { probeIntervalMs } = this.#options;
    out.push({ kind: 'probe-wanted', target: member });
    doubt.askAt = after(now, probeIntervalMs * (doubt.linked || doubt.lost ? 5 : 1));
    this.#wake(doubt.askAt, 0);
  }

  #judgeUplink(now: Instant, out: VerdictOutput[]): Statement[] {
    if (!this.#coordinatorKnown) return [];
    const isLost = this.#uplink !== 'connected';
    // At rest this costs nothing; the count below is for when somebody lost it.
    if (!isLost && this.#lostUplinks === 0 && this.#coordinatorLostSince === never) return [];
    let component = 1;
    let known = 1;
    let lost = isLost ? 1 : 0;
    for (let peer = 0; peer < this.#size; peer++) {
      if (peer === this.#self || !this.#facts.hearsDigestsOf(peer)) continue;
      const held = this.#facts.state(peer);
      if ((held !== 'alive' && held !== 'suspect') || this.#doubts.get(peer)?.lost) continue;
      component++;
      const said = this.#peerUplinks.get(peer);
      if (said === undefined) continue;
      known++;
      if (said !== 'connected') lost++;
    }
    // A newcomer has not heard most of the others yet.
    if (known * 2 <= component && this.#coordinatorLostSince === never) {
      this.#wake(now, this.#options.uplinkHoldMs);
      return [];
    }
    const evidence: Evidence[] = [{ kind: 'uplinks', lost, known }];
    if (lost * 2 > known && (known > 1 || this.#size === 1)) {
      if (this.#coordinatorLostSince === never) this.#coordinatorLostSince = now;
      return [{ class: 'coordinator', since: this.#coordinatorLostSince, evidence }];
    }
    if (this.#coordinatorLostSince !== never) {
      this.#coordinatorLostSince = never;
      if (isLost) {
        this.#uplinkHoldUntil = after(now, this.#options.uplinkReturnMs);
        out.push({ kind: 'uplink-check-wanted' });
      }
    }
    if (!isLost) return [];
    const at = instant(Math.max(after(this.#uplinkLostAt, this.#options.uplinkHoldMs), this.#uplinkHoldUntil));
    if (now < at) {
      this.#wake(at, 0);
      return [];
    }
    // Who never had a line misses it from when the others are known to have theirs.
    if (this.#uplinkLostAt === longAgo && this.#uplinkMissedAt === never) this.#uplinkMissedAt = now;
    const since = this.#uplinkLostAt === longAgo ? this.#uplinkMissedAt : this.#uplinkLostAt;
    return [{ class: 'my-uplink', since, evidence }];
  }

  /** At most once a second; what comes in between is looked at when the second is over. */
  #askUplink(now: Instant, out: VerdictOutput[]): void {
    this.#uplinkAskWanted = now < this.#uplinkAskAt;
    if (this.#uplinkAskWanted) return this.#wake(this.#uplinkAskAt, 0);
    this.#uplinkAskAt = after(now, 1_000);
    out.push({ kind: 'uplink-check-wanted' });
  }

  #recheck(now: Instant): void {
    this.#recheckAt = never;
    for (let m = 0; m < this.#size; m++) {
      if (m === this.#self) continue;
      const state = this.#facts.state(m);
      if (state === 'suspect' || state === 'dead') this.#told(now, m);
    }
  }

  #publish(statements: Statement[], out: VerdictOutput[]): void {
    const keyed = statements.map((statement) => [statementKey(statement), statement] as const);
    keyed.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
    const keys = keyed.map(([key, said]) => key + detailOf(said)).join(' ');
    this.#statements = keyed.map(([, statement]) => statement);
    if (keys === this.#keys) return;
    this.#keys = keys;
    out.push({ kind: 'verdict-changed', statements: this.#statements });
  }

  #wake(from: Instant, ms: number): void {
    // A burst of evidence is judged once.
    const at = after(from, Math.max(ms, coalesceMs));
    if (at < this.#evaluateAt) this.#evaluateAt = at;
  }
}

interface Doubt {
  /** First sign. */
  readonly since: Instant;
  /** Rounds in a row without any word of it. */
  rounds: number;
  roundAt: Instant;
  readonly nacks: AgentIndex[];
  /** Others said in public that it does not answer. */
  toldAt: Instant;
  /** The life whose death certificate was verified. */
  provenBoot: number | undefined;
  /** Rounds in which only helpers reached it, since its last direct answer. */
  strikes: number;
  strikeAt: Instant;
  firstStrikeAt: Instant;
  readonly reachedBy: AgentIndex[];
  /** Members of its location that were looked at because of it. */
  neighbours: AgentIndex[] | undefined;
  askAt: Instant;
  lost: boolean;
  linked: boolean;
  inSegment: boolean;
}

const longAgo = instant(Number.NEGATIVE_INFINITY);
const coalesceMs = 10;
/** Share of failing first rounds from which a network counts as lossy. */
const lossyFrom = 0.06;
/** At most one asker is looked at in this time. */
const askerLookMs = 1_000;
/** Probe intervals that others get to tell of a member that did not answer when we pinged it for one of them. */
const relayPatience = 3;
const maxRelayFailures = 16;
const maxSilent = 32;
const maxNamed = 8;
const maxPeerUplinks = 1_024;
/** Of those who only heard of a loss, about so many look for themselves. */
const lookersAtMost = 64;

function remember(list: AgentIndex[], member: AgentIndex): void {
  if (list.length < maxNamed && !list.includes(member)) list.push(member);
}

/** What is news though the statement is the same: that it is proven now, or that more of a segment are missing. */
function detailOf(statement: Statement): string {
  if (statement.class === 'segment') return ` ${statement.members.join(',')}`;
  return statement.class === 'gone' && statement.proven ? ' proven' : '';
}

function goneStatement(member: AgentIndex, doubt: Doubt): Statement {
  const { since, provenBoot } = doubt;
  return { class: 'gone', member, proven: provenBoot !== undefined, since, evidence: evidenceOf(member, doubt) };
}

function evidenceOf(member: AgentIndex, doubt: Doubt): Evidence[] {
  const evidence: Evidence[] = [];
  if (doubt.provenBoot !== undefined) evidence.push({ kind: 'certificate', member });
  if (doubt.rounds > 0) evidence.push({ kind: 'unanswered', member, rounds: doubt.rounds, nacks: [...doubt.nacks] });
  if (doubt.toldAt !== never) evidence.push({ kind: 'told', member });
  return evidence;
}
