import { Buckets, maxSyncEntries } from '../../base/anti-entropy.ts';
import { ByteBudget } from '../../base/byte-budget.ts';
import type { AgentIndex, BootId } from '../../base/ids.ts';
import type { Random } from '../../base/random.ts';
import { after, type Instant, never } from '../../base/time.ts';
import { approximateBytes, bare, Dissemination, signedUpdateBytes } from './dissemination.ts';
import { type DetectorHost, FailureDetector, type HelperWord, type PingErrand } from './failure-detector.ts';
import { Greetings, type Life } from './greetings.ts';
import { isPlausible, isPlausibleCounter, maxCounter } from './incarnation.ts';
import { LocalHealth } from './local-health.ts';
import type { MemberState, MembershipMessage, MemberUpdate } from './member.ts';
import { code, MemberTable } from './member-table.ts';
import type { MembershipOptions } from './options.ts';
import { OriginBudget } from './origin-budget.ts';
import { type ProbeSchedule, probeSchedule } from './probe-schedule.ts';
import { nearBothOn, nearOn, placesNear, ringOf, smallSite } from './ring.ts';
import { Statements, type Voucher } from './statements.ts';
import { Suspicion } from './suspicion.ts';

/**
 * Who lives, as this agent sees it: SWIM (Das, Gupta, Motivala 2002) with Lifeguard (Dadgar, Phillips, Currey 2018) and
 * private verification (see failure-detector.ts).
 *
 * Guaranteed: one entry per roster member for ever, merged by a total order, so that views which hear of each other
 * converge; an incarnation of one's own never goes back; every queue is bounded. Not guaranteed: that a member held
 * alive still lives this instant, or that one held dead does not (it may be cut off). Nothing exclusive may rest on it.
 *
 * A member that is found unanswering while nobody answers us is held dead only *privately*: we are the ones cut off,
 * the others are not told, and one word of it takes the verdict back.
 */
export class Membership implements DetectorHost<MembershipOut> {
  // What a message or a probe touches stands first and together, and what it finds behind these fields lies together in
  // memory likewise: with thousands of agents in one process it is cache misses that take the time.
  readonly #table: MemberTable;
  readonly #detector: FailureDetector<MembershipOut>;
  readonly #queue: Dissemination;
  /** Probes and their answers are always paid, because without them nobody is found dead; news wait. */
  readonly #budget: ByteBudget;
  readonly #options: MembershipOptions;
  readonly #self: AgentIndex;
  readonly #size: number;
  #left = false;
  #digestVersion = 0;
  /** The earliest of all deadlines, and whether it must be reckoned anew: most messages leave it as it is. */
  #isStale = true;
  #due: Instant = never;
  #nextProbe: Instant = never;
  #graceUntil: Instant = 0 as Instant;
  #nextSync: Instant = never;
  #nextWatch: Instant = never;
  #nextDeadProbe: Instant = never;
  #nextGossip: Instant = never;
  /** Members of whom the message that is read tells numbers alone, and newer ones than ours. */
  #wants: AgentIndex[] = [];
  /** When our own numbers last changed. */
  #standingSince: Instant = Number.NEGATIVE_INFINITY as Instant;
  readonly #health: LocalHealth;
  readonly #schedule: ProbeSchedule;
  readonly #suspicions = new Map<AgentIndex, Suspicion>();
  readonly #isProbed = (member: AgentIndex): boolean => member !== this.#self && this.#table.isReachable(member);
  readonly #isFreeToProbe = (member: AgentIndex): boolean =>
    member !== this.#self && this.#table.isReachable(member) && !this.#detector.probing(member);
  #selfUpdate: MemberUpdate;
  #selfOnly: readonly MemberUpdate[];
  /** The same without a signature, for those whom we tell it ourselves and who have it signed already. */
  #selfBare: readonly MemberUpdate[];
  /** The earliest deadline of a suspicion; below zero when it must be reckoned anew. */
  #suspicionDue = never as number;

  readonly #random: Random;
  readonly #comparisons: Random;
  /** Our cell, where there are others beside it. */
  readonly #cell: readonly AgentIndex[] | undefined;
  /** The same in a large site, where a connection stands to these, and to those near us on the ring. */
  readonly #companions: readonly AgentIndex[] | undefined;
  readonly #boot: BootId;
  readonly #origins = new OriginBudget();
  readonly #greetings = new Greetings();
  readonly #buckets: Buckets;
  readonly #statements: Statements;
  /** When we last corrected a member's view, so that a wrong one cannot make us talk without end. */
  readonly #corrected = new Map<AgentIndex, Instant>();
  /** Held alive, and answering as far as we know. */
  readonly #isTrusted = (member: AgentIndex): boolean =>
    member !== this.#self && this.#table.isAlive(member) && !this.#detector.verifying(member);
  #bumps = maxBumps;
  #bumpsAt: Instant;
  #deadCursor = 0;
  #watched: readonly AgentIndex[] = [];
  #watchCursor = 0;
  /** Another process spoke for us: greet whom we ping until it knows our present numbers. */
  #announces = false;
  #overtaken = 0;
  #jumps = 0;

  constructor(parts: {
    options: MembershipOptions;
    self: AgentIndex;
    /** Members of the roster, oneself included. */
    size: number;
    random: Random;
    boot: BootId;
    bootCounter: number;
    /** The largest incarnation that this store remembers. */
    incarnation: number;
    /**
     * The members of our cell, with whom tables are compared more often. In a large site an agent is connected to these
     * and to those near it on the ring, and keeps to them wherever it may choose: a stranger costs a handshake of some kB.
     */
    cell?: readonly AgentIndex[] | undefined;
    /** Say how each probe round ended (`probe-ended`). Off, it costs nothing. */
    evidence?: boolean;
    /** Signs and checks statements. Without one everybody of the roster is believed. */
    voucher?: Voucher | undefined;
  }) {
    const { options, self, size, random } = parts;
    this.#options = options;
    this.#self = self;
    this.#size = size;
    this.#random = random.fork('choice');
    this.#comparisons = random.fork('sync');
    this.#boot = parts.boot;
    this.#health = new LocalHealth(options.localHealthMax);
    this.#detector = new FailureDetector<MembershipOut>(options, this.#health, this, parts.evidence ?? false);
    const { cell = [] } = parts;
    this.#cell = cell.length > 1 && cell.length < size ? cell : undefined;
    this.#companions = size > smallSite && cell.length > 1 ? cell : undefined;
    this.#schedule = probeSchedule(size, self, random.fork('schedule'), options, this.#companions);
    this.#queue = new Dissemination(size, options);
    this.#budget = new ByteBudget(options.bytesPerSecond);
    this.#table = new MemberTable(size);
    this.#buckets = new Buckets(size);
    this.#statements = new Statements(parts.voucher, self, this.#table);
    this.#table.set(self, 'alive', parts.bootCounter, parts.incarnation);
    this.#bumpsAt = 0 as Instant;
    this.#selfUpdate = this.#statements.own(self);
    this.#selfOnly = [this.#selfUpdate];
    this.#selfBare = [bare(this.#selfUpdate)];
  }

  get localHealth(): number {
    return this.#health.score;
  }

  /** Members not known dead, left or unheard; oneself included. */
  get aliveCount(): number {
    return this.#table.reachable;
  }

  /** Another live process speaks under our key, again and again: nothing exclusive may be asked for in its name. */
  get isCloned(): boolean {
    return this.#overtaken >= enoughOvertaken;
  }

  /** Whether this member is known to run twice, see greetings.ts. */
  isProvenClone(member: AgentIndex): boolean {
    return member === this.#self ? this.isCloned : this.#greetings.isProven(member);
  }

  state(member: AgentIndex): MemberState {
    return this.#table.state(member);
  }

  incarnationOf(member: AgentIndex): number {
    return this.#table.incarnation(member);
  }

  bootCounterOf(member: AgentIndex): number {
    return this.#table.boot(member);
  }

  setDigestVersion(version: number): void {
    this.#digestVersion = version;
  }

  /** How much is held right now of what is bounded, for the tests of the bounds and for the status view. */
  get load(): Readonly<
    Record<'probes' | 'relays' | 'queued' | 'corrected' | 'greeted' | 'origins' | 'suspected' | 'forgers', number>
  > {
    return {
      ...this.#detector.load,
      queued: this.#queue.length,
      corrected: this.#corrected.size,
      greeted: this.#greetings.size,
      origins: this.#origins.size,
      suspected: this.#suspicions.size,
      forgers: this.#statements.suspects,
    };
  }

  /**
   * Takes a member for alive before anybody spoke, without a word to others: a view that a disk remembers, or a large
   * simulated site that need not greet a million times. Probes find out soon whether it is true. Known members stay.
   */
  presume(member: AgentIndex, bootCounter: number, incarnation: number): void {
    if (!this.#isOther(member) || this.#table.code(member) !== code.unknown) return;
    if (!isPlausibleCounter(bootCounter) || !isPlausibleCounter(incarnation)) return;
    this.#table.set(member, 'alive', bootCounter, incarnation);
  }

  start(now: Instant, _out: MembershipOut): void {
    const { probeIntervalMs, deadProbeIntervalMs, syncIntervalMs } = this.#options;
    this.#bumpsAt = now;
    if (this.#size < 2) return;
    this.#isStale = true;
    this.#nextProbe = after(now, this.#random.float() * probeIntervalMs);
    this.#nextDeadProbe = after(now, this.#random.float() * deadProbeIntervalMs);
    if (syncIntervalMs > 0) this.#nextSync = after(now, this.#comparisons.float() * syncIntervalMs);
    this.#deadCursor = this.#random.below(this.#size);
    if (this.#watched.length > 0) this.#nextWatch = now;
  }

  /**
   * Probes these members every `watchIntervalMs`, in addition to the ordinary rounds: a holder and those who would take
   * over from it watch each other. Replaces the former list; the first `maxWatched` others count.
   */
  watchClosely(members: readonly AgentIndex[]): void {
    if (this.#options.watchIntervalMs <= 0) return;
    const watched = [...new Set(members)].filter((member) => this.#isOther(member)).slice(0, maxWatched);
    if (watched.length === this.#watched.length && watched.every((member, at) => member === this.#watched[at])) return;
    this.#watched = watched;
    this.#isStale = true;
    this.#watchCursor = 0;
    if (this.#watched.length === 0) this.#nextWatch = never;
    // Before the start it waits for it; after, the next step finds it due.
    else if (this.#nextProbe !== never && this.#nextWatch === never) this.#nextWatch = this.#nextProbe;
  }

  connected(now: Instant, peer: AgentIndex, out: MembershipOut): void {
    if (!this.#isOther(peer)) return;
    const updates = this.state(peer) === 'alive' ? none : this.#whatWeHoldOf(peer);
    this.#send(now, peer, this.#hello(updates), out);
  }

  /**
   * A closed connection is a hint: those who observe the peer verify it at once, nothing is concluded. All others would
   * only get in each other's way: when a box of fifty dies, its fifty connections close in the same millisecond.
   */
  disconnected(now: Instant, peer: AgentIndex, out: MembershipOut): void {
    if (!this.#isOther(peer) || this.#left || !this.#isProbed(peer)) return;
    this.#isStale = true;
    if (this.#schedule.observes(peer, this.#isProbed)) this.#detector.begin(now, peer, out);
  }

  /**
   * Somebody wants to know of this member now: an ordinary probe in private, beside those that are due. Not while the
   * bytes are short: the looks of all at the same forty silent ones would leave nothing for the news of their deaths.
   */
  look(now: Instant, member: AgentIndex, out: MembershipOut): void {
    if (!this.#isOther(member) || this.#left || !this.#isProbed(member)) return;
    this.#isStale = true;
    if (this.#budget.available(now) > 0) this.#detector.begin(now, member, out);
  }

  /** `from` is who the connection was authenticated as, never a field of the message. */
  message(now: Instant, from: AgentIndex, message: MembershipMessage, out: MembershipOut): void {
    if (!this.#isOther(from) || this.#left) return;
    const { updates } = message;
    for (let i = 0; i < updates.length; i++) {
      if (!isPlausible(updates[i]!, this.#size)) {
        out.push({ kind: 'message-rejected', from, why: `${message.kind}: an update is out of range` });
        return;
      }
    }
    const { kind } = message;
    const isFine = this.#isFine(from);
    if (kind !== 'ping' || updates.length > 0 || !isFine) this.#isStale = true;
    if (kind === 'hello' && !this.#greeted(now, from, message, out)) return;
    if (kind === 'ack') {
      // Before anything else that the message proves: it ends the probe as what it is, an answer.
      const begunAt = this.#detector.acknowledged(now, from, message.seq, out);
      if (begunAt !== undefined && begunAt > this.#standingSince) this.#table.setTold(from);
    }

    if (!isFine) this.heard(now, from, out);
    // With buckets, they only say what the sender has; whoever wants more of it asks.
    if (kind !== 'sync-entries' || message.buckets.length === 0) {
      for (let i = 0; i < updates.length; i++) this.#merge(now, updates[i]!, from, kind, out);
      if (this.#wants.length > 0) this.#ask(now, from, out);
    }

    switch (kind) {
      case 'ping':
        this.#send(now, from, this.#ack(message.seq, this.#riding(now)), out);
        return;
      case 'ping-request':
        if (!this.#isOther(message.target)) {
          if (message.target === this.#self) this.#send(now, from, this.#ack(message.seq, this.#selfBare), out);
          else out.push({ kind: 'message-rejected', from, why: 'ping-request: unknown target' });
          return;
        }
        this.#detector.help(now, from, message.seq, message.target, out);
        return;
      case 'nack':
        this.#detector.refused(now, from, message.seq);
        return;
      case 'sync':
        if (message.hash === this.#table.hash || !this.#hasLeisure(now)) return;
        this.#send(now, from, { kind: 'sync-buckets', hashes: this.#hashes(), updates: none }, out);
        return;
      case 'sync-buckets':
        this.#offer(now, from, message.hashes, out);
        return;
      case 'sync-entries':
        if (message.buckets.length > 0) this.#complete(now, from, message.buckets, updates, out);
        else this.#provide(now, from, message.wants, out);
        return;
      case 'gossip':
        if (message.wants !== undefined) this.#repeat(now, from, message.wants, out);
        return;
      case 'ack':
      case 'hello':
        return;
    }
  }

  deadline(): Instant {
    if (this.#isStale) {
      this.#due = this.#reckonDeadline();
      this.#isStale = false;
    }
    return this.#due;
  }

  #reckonDeadline(): Instant {
    if (this.#left) return never;
    let at: number = this.#nextProbe;
    const found = this.#detector.deadline();
    if (found < at) at = found;
    if (this.#nextWatch < at) at = this.#nextWatch;
    if (this.#nextDeadProbe < at && this.#table.reachable < this.#size) at = this.#nextDeadProbe;
    if (this.#queue.length > 0 && this.#nextGossip < at) at = this.#nextGossip;
    if (this.#suspicionDue < 0) this.#reckonSuspicions();
    if (this.#suspicionDue < at) at = this.#suspicionDue;
    return (at > this.#graceUntil ? at : this.#graceUntil) as Instant;
  }

  /**
   * `lateMs`: how much later than armed this timer came. Node runs timers before it reads sockets, so after a stall the
   * time-outs fire while the answers wait unread: then nothing is judged until they were read once.
   */
  tick(now: Instant, lateMs: number, out: MembershipOut): void {
    if (this.#left || this.#size < 2) return;
    this.#isStale = true;
    const { probeIntervalMs, gossipIntervalMs, deadProbeIntervalMs, watchIntervalMs } = this.#options;
    if (lateMs > probeIntervalMs / 2) {
      this.#health.raise();
      this.#graceUntil = after(now, probeIntervalMs / 4);
      this.#detector.postpone(this.#graceUntil);
      for (const suspicion of this.#suspicions.values()) suspicion.postpone(lateMs);
      this.#suspicionDue = -1;
      return;
    }
    if (now < this.#graceUntil) return;

    this.#detector.tick(now, out);
    if (this.#suspicionDue <= now) this.#judgeSuspects(now, out);

    if (now >= this.#nextProbe) {
      this.#nextProbe = after(now, probeIntervalMs * this.#health.factor);
      const target = this.#schedule.next(this.#isFreeToProbe);
      if (target !== undefined) this.#detector.begin(now, target, out);
      // At the beat of the probes: it is in no hurry, and a timer of its own would wake the process once more.
      if (now >= this.#nextSync) this.#compare(now, out);
    }
    if (now >= this.#nextWatch) {
      const count = this.#watched.length;
      this.#nextWatch = after(now, (watchIntervalMs * this.#health.factor) / count);
      const target = this.#watched[this.#watchCursor++ % count]!;
      if (this.#isProbed(target)) this.#detector.begin(now, target, out);
    }
    if (now >= this.#nextDeadProbe && this.#table.reachable < this.#size) {
      // Its phase is kept while everybody is reachable, so that a dead member is not asked by all at once.
      const missed = Math.floor((now - this.#nextDeadProbe) / deadProbeIntervalMs);
      const target = missed === 0 ? this.#nextUnreached() : undefined;
      this.#nextDeadProbe = after(this.#nextDeadProbe, (missed + 1) * deadProbeIntervalMs);
      if (target !== undefined) {
        const updates = [...this.#whatWeHoldOf(target), this.#selfUpdate];
        this.#send(now, target, { kind: 'ping', seq: 0, digestVersion: this.#digestVersion, updates }, out);
      }
    }
    if (this.#queue.length > 0 && now >= this.#nextGossip) {
      this.#nextGossip = after(now, gossipIntervalMs);
      this.#gossip(now, out);
    }
  }

  /** Says goodbye to everybody who listens; afterwards this object is silent. */
  leave(now: Instant, out: MembershipOut): void {
    if (this.#left) return;
    this.#isStale = true;
    const farewell = this.#statements.own(this.#self, 'left');
    for (let member = 0; member < this.#size; member++) {
      if (this.#isProbed(member)) this.#send(now, member, { kind: 'gossip', updates: [farewell] }, out);
    }
    this.#left = true;
    this.#table.set(this.#self, 'left', farewell.bootCounter, farewell.incarnation);
  }

  // Views

  #whatWeHoldOf(member: AgentIndex): MemberUpdate[] {
    const held = this.#statements.of(member);
    return held === undefined ? [] : [held];
  }

  #isOther(member: AgentIndex): boolean {
    return Number.isInteger(member) && member >= 0 && member < this.#size && member !== this.#self;
  }

  /** Alive in our eyes, and not being probed: that it speaks changes nothing. */
  #isFine(member: AgentIndex): boolean {
    return this.#table.isAlive(member) && !this.#detector.probing(member);
  }

  /** Dead, left and never-heard members take turns, for ever: that is how a healed partition is found. */
  #nextUnreached(): AgentIndex | undefined {
    for (let i = 0; i < this.#size; i++) {
      this.#deadCursor = (this.#deadCursor + 1) % this.#size;
      if (this.#deadCursor !== this.#self && !this.#table.isReachable(this.#deadCursor)) return this.#deadCursor;
    }
    return undefined;
  }

  helpers(target: AgentIndex, not: readonly AgentIndex[], count: number): AgentIndex[] {
    const usable = (m: AgentIndex) => m !== target && m !== this.#self && this.#table.isAlive(m);
    const isFresh = (m: AgentIndex) => usable(m) && !not.includes(m) && !this.#detector.verifying(m);
    if (this.#companions !== undefined) {
      const near = this.#between(target, count, this.#companions, isFresh);
      const short = count - near.length;
      if (short > 0)
        near.push(...this.#between(target, short, this.#companions, (m) => usable(m) && !near.includes(m)));
      if (near.length > 0) return near;
    }
    const fresh = this.#sample(count, isFresh);
    if (fresh.length >= count) return fresh;
    const again = this.#sample(count - fresh.length, (m) => usable(m) && !fresh.includes(m));
    return [...fresh, ...again];
  }

  /** In a large site: members who are connected to us as well as to the target. */
  #between(
    target: AgentIndex,
    count: number,
    companions: readonly AgentIndex[],
    qualifies: (member: AgentIndex) => boolean,
  ): AgentIndex[] {
    const chosen: AgentIndex[] = [];
    const isCompanion = companions.includes(target);
    for (let tries = 0; tries < count * 8 && chosen.length < count; tries++) {
      const m = isCompanion
        ? companions[this.#random.below(companions.length)]
        : nearBothOn(ringOf(this.#size), this.#self, target, this.#random);
      if (m !== undefined && !chosen.includes(m) && qualifies(m)) chosen.push(m);
    }
    return chosen;
  }

  /**
   * Up to `count` distinct members that qualify. Exact in small sites, by trial in large ones, and there among those to
   * whom we are connected: cells and ring together are a graph in which news spread nearly as fast as among all.
   */
  #sample(count: number, qualifies: (member: AgentIndex) => boolean, random = this.#random): AgentIndex[] {
    const chosen: AgentIndex[] = [];
    const companions = this.#companions;
    if (companions !== undefined) {
      // As likely each as if they all stood in one list.
      const places = companions.length + 2 * placesNear;
      for (let tries = 0; tries < count * 8 && chosen.length < count; tries++) {
        const at = random.below(places);
        const m = at < companions.length ? companions[at]! : nearOn(ringOf(this.#size), this.#self, random);
        if (m !== this.#self && !chosen.includes(m) && qualifies(m)) chosen.push(m);
      }
      // Our cell and our neighbours are gone: then strangers have to do.
      if (chosen.length > 0) return chosen;
    }
    if (this.#size <= 64) {
      for (let m = 0; m < this.#size; m++) if (m !== this.#self && qualifies(m)) chosen.push(m);
      for (let i = 0; i < Math.min(count, chosen.length); i++) {
        const j = i + random.below(chosen.length - i);
        const held = chosen[i]!;
        chosen[i] = chosen[j]!;
        chosen[j] = held;
      }
      chosen.length = Math.min(count, chosen.length);
      return chosen;
    }
    for (let tries = 0; tries < count * 8 && chosen.length < count; tries++) {
      const m = random.below(this.#size);
      if (m !== this.#self && !chosen.includes(m) && qualifies(m)) chosen.push(m);
    }
    return chosen;
  }

  // What arrives

  /** False when the greeting must be ignored altogether. */
  #greeted(now: Instant, from: AgentIndex, hello: Extract<MembershipMessage, { kind: 'hello' }>, out: MembershipOut) {
    const { boot, bootCounter, incarnation } = hello;
    if (!isPlausibleCounter(bootCounter) || !isPlausibleCounter(incarnation)) {
      out.push({ kind: 'message-rejected', from, why: 'hello: a counter is out of range' });
      return false;
    }
    const former = this.#greetings.latest(from);
    const lives = this.#greetings.heard(from, boot, bootCounter);
    if (lives) out.push({ kind: 'clone-proven', member: from, boots: lives });
    const known = this.#table.boot(from);
    if (this.#table.code(from) !== code.unknown && bootCounter < known) {
      // A store that was lost counts from the start again. The peer learns what we hold of it and jumps above.
      out.push({ kind: 'message-rejected', from, why: `hello: boot ${bootCounter} is older than ${known}` });
      this.#correct(now, from, [this.#statements.toItself(from)], out);
      return false;
    }
    if (bootCounter === known && former !== undefined && former.boot !== boot && former.high === known) {
      out.push({ kind: 'message-rejected', from, why: `hello: two lives of one agent both count boot ${bootCounter}` });
      // Whoever of the two hears this goes on under a boot of its own, and a twin that lives hears of that, and rises above
      // it. A raised incarnation would not do: what orders digests, claims and rights by lives knows boots alone.
      this.#correct(now, from, [this.#statements.doubtOfNext(from)], out);
      return false;
    }
    const wasAlive = this.state(from) === 'alive';
    if (former?.boot !== boot) this.#table.clearTold(from);
    this.#merge(now, { member: from, state: 'alive', bootCounter, incarnation, origin: from }, from, 'hello', out);
    if (!wasAlive) this.#send(now, from, this.#hello(this.#whatWeHoldOf(from)), out);
    return true;
  }

  /** The sender itself spoke, over an authenticated connection: that ends our own doubt, nobody else's. */
  protected heard(now: Instant, from: AgentIndex, out: MembershipOut): void {
    this.#detector.heard(now, from);
    if (this.#table.setAlone(from, false)) {
      this.#tell(from, 'dead', this.#table.publicState(from), 'it answers again', out);
    }
    const state = this.#table.code(from);
    if (state <= code.alive) return;
    if (state === code.suspect) {
      this.#suspicions.get(from)?.heard(now);
      this.#suspicionDue = -1;
    }
    this.#correct(now, from, [this.#statements.toItself(from)], out);
  }

  #merge(
    now: Instant,
    update: MemberUpdate,
    from: AgentIndex,
    by: MembershipMessage['kind'],
    out: MembershipOut,
  ): void {
    const { member, state, bootCounter, incarnation } = update;
    const order = this.#table.compare(state, bootCounter, incarnation, member);
    if (order >= 0 && this.#statements.isHint(update, from)) {
      // Numbers without their signature, of what we lack: the teller has it in full.
      if (order > 0 && this.#wants.length < maxSyncEntries && !this.#wants.includes(member)) this.#wants.push(member);
      return;
    }
    if (member === this.#self) {
      if (order <= 0 || this.#isVouched(now, update, from, out)) this.mergeSelf(now, update, from, out);
      return;
    }
    if (order < 0) {
      // It was told why: tables are being compared.
      if (by === 'sync-entries') return;
      // The teller is behind; one correction per teller and interval keeps two wrong views from talking for ever.
      if (state !== 'alive' || this.#table.code(member) !== code.suspect) {
        const held = member === from ? this.#statements.toItself(from) : this.#statements.of(member);
        if (held !== undefined) this.#correct(now, from, [held], out);
      }
      return;
    }
    if (order === 0) {
      if (state === 'suspect' && this.#suspicions.get(member)?.isNew(update.origin)) {
        if (this.#isVouched(now, update, from, out)) this.#confirm(now, update);
      } else if (update.signature !== undefined && this.#statements.lacksProof(member)) {
        // It told us itself before; now others can be told, too.
        if (!this.#isVouched(now, update, from, out)) return;
        this.#statements.keep(update);
        this.#pass(now, update, greetingCopies);
      }
      return;
    }
    if (!this.#isVouched(now, update, from, out)) return;
    // Learned by comparison, it will mostly spread by comparison.
    const copies = by === 'sync-entries' ? greetingCopies : undefined;
    if (state === 'dead' && (by === 'hello' || by === 'sync-entries')) {
      // What a stranger's memory holds is a rumour, not a verdict of now. It is not passed on: to doubt aloud what others
      // hold dead would only be answered by that death, of a box that may have come back a moment ago.
      const doubt: MemberUpdate = { ...bare(update), state: 'suspect' };
      if (this.#table.compare('suspect', bootCounter, incarnation, member) > 0) {
        this.#adopt(now, doubt, from, out, undefined, 0);
      }
      return;
    }
    this.#adopt(now, update, from, out, undefined, copies);
  }

  /**
   * What we lack is asked for, and what we said by numbers is told in full, even while news of our own have to wait: it is
   * known to be wanted. Half of the debt is kept for it, so that it comes to an end, too.
   */
  #mayMend(now: Instant): boolean {
    return this.#budget.available(now) > -this.#options.bytesPerSecond / 2;
  }

  #ask(now: Instant, from: AgentIndex, out: MembershipOut): void {
    const wants = this.#wants;
    this.#wants = [];
    if (!this.#mayMend(now)) return;
    this.#send(now, from, { kind: 'gossip', wants, updates: none }, out);
  }

  /** What we said by its numbers alone, in full. */
  #repeat(now: Instant, to: AgentIndex, wants: readonly AgentIndex[], out: MembershipOut): void {
    if (!this.#mayMend(now)) return;
    // No more than the debt has room for: what came on top would be said for nothing.
    const room = (this.#budget.available(now) + this.#options.bytesPerSecond) / signedUpdateBytes;
    const updates = wants
      .slice(0, Math.min(maxSyncEntries, Math.floor(room)))
      .flatMap((member) => (member < this.#size ? this.#whatWeHoldOf(member) : []));
    if (updates.length > 0) this.#send(now, to, { kind: 'gossip', updates }, out);
  }

  #isVouched(now: Instant, update: MemberUpdate, from: AgentIndex, out: MembershipOut): boolean {
    const why = this.#statements.refusal(now, update, from);
    if (why !== undefined) out.push({ kind: 'message-rejected', from, why });
    return why === undefined;
  }

  #confirm(now: Instant, update: MemberUpdate): void {
    if (!this.#suspicions.get(update.member)?.confirm(update.origin)) return;
    this.#suspicionDue = -1;
    this.#pass(now, update);
  }

  /** Takes over a statement that supersedes ours, and passes it on. */
  #adopt(
    now: Instant,
    update: MemberUpdate,
    from: AgentIndex,
    out: MembershipOut,
    reason?: string,
    copies?: number,
  ): void {
    const { member, state } = update;
    const before = this.state(member);
    const wasAlone = this.#table.isAlone(member);
    const isNewLife = update.bootCounter !== this.#table.boot(member);
    this.#table.set(member, state, update.bootCounter, update.incarnation);
    this.#statements.keep(update);
    if (isNewLife) this.#table.clearTold(member);
    this.#suspicionDue = -1;
    if (state === 'suspect') {
      const alive = this.#table.reachable;
      if (wasAlone) this.#table.setAlone(member, true);
      this.#suspicions.set(member, new Suspicion(now, update, update.origin, alive, this.#options));
      this.#verifyToo(now, member, out);
    } else {
      this.#suspicions.delete(member);
      if (state !== 'alive') this.#detector.abandon(member);
      this.#detector.forget(member);
    }
    // Who greets us for the first time greets the others, too: a few copies are for those whom it cannot reach.
    const isGreeting = before === 'unknown' && from === member;
    if (copies !== 0) this.#pass(now, update, isGreeting ? greetingCopies : copies);
    const why =
      reason ??
      (from === member
        ? 'said so itself'
        : `told by ${from}${update.origin === from ? '' : `, from ${update.origin}`}`);
    this.#tell(member, before, this.state(member), why, out);
  }

  /** Queues an update for others, as long as its origin has room. */
  #pass(now: Instant, update: MemberUpdate, transmissions?: number): void {
    if (!this.#statements.isPortable(update)) return;
    if (update.origin !== this.#self && !this.#origins.take(now, update.origin)) return;
    this.#queue.enqueue(update, transmissions);
    if (this.#nextGossip === never || this.#nextGossip < now) this.#nextGossip = now;
  }

  #tell(member: AgentIndex, before: MemberState, after: MemberState, why: string, out: MembershipOut): void {
    if (before === after) return;
    out.push({
      kind: 'member-changed',
      member,
      from: before,
      to: after,
      incarnation: this.#table.incarnation(member),
      bootCounter: this.#table.boot(member),
      why,
    });
  }

  /**
   * A new suspicion makes some of us look for themselves at once, so that it is soon confirmed or dropped: about twice
   * as many as are needed, whatever the size of the site, or all of them would ping the suspect together.
   */
  #verifyToo(now: Instant, member: AgentIndex, out: MembershipOut): void {
    const wanted = (2 * this.#options.confirmations) / Math.max(1, this.aliveCount - 2);
    if (wanted >= 1 || this.#random.chance(wanted)) this.#detector.begin(now, member, out);
  }

  /** Hearing of oneself at one's own numbers or above: jump above, persist, answer straight back (SWIM §4.2). */
  protected mergeSelf(now: Instant, update: MemberUpdate, from: AgentIndex, out: MembershipOut): void {
    const { state, bootCounter, incarnation } = update;
    const order = this.#table.compare(state, bootCounter, incarnation, this.#self);
    if (order === 0) return;
    if (order < 0) {
      if (state !== 'alive') this.#correct(now, from, this.#selfOnly, out);
      return;
    }
    if (!this.mayBump(now)) return;
    const mine = this.#table.boot(this.#self);
    // A boot counter above our own, or a word of life that we never said, means that our store was lost or cloned; we go
    // on as its successor. And a spent range of incarnations (nobody honest gets there) leaves only the boot to rise.
    const isOvertaken = state === 'alive' || bootCounter > mine;
    const isSpent = incarnation >= maxCounter;
    const boot = isOvertaken || isSpent ? Math.min(maxCounter, bootCounter + 1) : mine;
    if (isOvertaken) this.#wasOvertaken(state === 'alive', bootCounter, mine, out);
    this.#table.set(this.#self, 'alive', boot, isSpent ? 0 : incarnation + 1);
    this.#table.clearTold();
    this.#standingSince = now;
    this.#selfUpdate = this.#statements.own(this.#self);
    this.#selfOnly = [this.#selfUpdate];
    this.#selfBare = [bare(this.#selfUpdate)];
    if (state !== 'alive') this.#health.raise();
    out.push({
      kind: 'incarnation-raised',
      bootCounter: this.#table.boot(this.#self),
      incarnation: this.#table.incarnation(this.#self),
    });
    this.#queue.enqueue(this.#selfUpdate);
    if (this.#nextGossip === never || this.#nextGossip < now) this.#nextGossip = now;
    this.#answer(now, from, out);
    if (update.origin !== from && this.#isOther(update.origin)) this.#answer(now, update.origin, out);
  }

  /** Straight back to who spoke of us. A jump of the boot counter is told as a greeting, which names the life. */
  #answer(now: Instant, to: AgentIndex, out: MembershipOut): void {
    const message: MembershipMessage = this.#announces
      ? this.#hello(none)
      : { kind: 'gossip', updates: this.#selfOnly };
    this.#send(now, to, message, out);
  }

  /**
   * Somebody said more of us than we did. Once or twice that is what peers remember of a lost store. But that somebody
   * is exactly one boot ahead of a boot that we took a moment ago, again and again, is only done by a twin that hears us.
   */
  #wasOvertaken(isAlive: boolean, bootCounter: number, mine: number, out: MembershipOut): void {
    this.#announces = true;
    const follows = isAlive && this.#jumps > 0 && bootCounter === mine + 1;
    this.#jumps++;
    if (!follows || this.isCloned) return;
    this.#overtaken++;
    if (!this.isCloned) return;
    const own: Life = { boot: this.#boot, low: mine, high: mine };
    out.push({
      kind: 'clone-proven',
      member: this.#self,
      boots: [own, { boot: undefined, low: bootCounter, high: bootCounter }],
    });
  }

  /** One bump per second, with a small burst: two clones of one agent must not race each other to the top. */
  protected mayBump(now: Instant): boolean {
    this.#bumps = Math.min(maxBumps, this.#bumps + (now - this.#bumpsAt) / 1000);
    this.#bumpsAt = now;
    if (this.#bumps < 1) return false;
    this.#bumps--;
    return true;
  }

  #correct(now: Instant, peer: AgentIndex, updates: readonly MemberUpdate[], out: MembershipOut): void {
    if (this.#table.code(updates[0]!.member) === code.unknown) return;
    const last = this.#corrected.get(peer);
    if (last !== undefined && now - last < this.#options.probeIntervalMs / 4) return;
    this.#corrected.delete(peer);
    if (this.#corrected.size >= maxCorrected) {
      const [oldest] = this.#corrected.keys();
      if (oldest !== undefined) this.#corrected.delete(oldest);
    }
    this.#corrected.set(peer, now);
    this.#send(now, peer, { kind: 'gossip', updates }, out);
  }

  // Anti-entropy

  #hashes(): number[] {
    return this.#buckets.hashes((member) => this.#table.hashOf(member));
  }

  /** While much happens, gossip is quicker and needs the bytes: then nothing is compared. */
  #hasLeisure(now: Instant): boolean {
    return this.#budget.available(now) > this.#options.bytesPerSecond / 2;
  }

  /**
   * Asks a random member whether it holds what we hold: three times of four one of our cell, with whom other things are
   * compared by the way, and in a large site else one near us on the ring, who is of another cell: strangers would cost
   * more in handshakes than the comparison saves.
   */
  #compare(now: Instant, out: MembershipOut): void {
    const { syncIntervalMs, probeIntervalMs } = this.#options;
    this.#nextSync = after(now, syncIntervalMs - probeIntervalMs / 2);
    if (!this.#hasLeisure(now)) return;
    const nearby = this.#cell !== undefined || this.#size > smallSite ? this.#nearby() : undefined;
    const peer =
      nearby !== undefined && this.#isProbed(nearby) ? nearby : this.#sample(1, this.#isProbed, this.#comparisons)[0];
    if (peer !== undefined) this.#send(now, peer, { kind: 'sync', hash: this.#table.hash, updates: none }, out);
  }

  #nearby(): AgentIndex | undefined {
    const random = this.#comparisons;
    const draw = random.below(8);
    if (this.#cell !== undefined && draw >= 2) return this.#cell[random.below(this.#cell.length)];
    if (this.#size <= smallSite) return undefined;
    // Where no cell is known, one time of eight anybody: else the ring alone would pass things on, place by place.
    return this.#cell === undefined && draw === 0 ? undefined : nearOn(ringOf(this.#size), this.#self, random);
  }

  /** What we have of the buckets that differ: the numbers alone, by which the peer sees what each of us lacks. */
  #offer(now: Instant, peer: AgentIndex, theirs: readonly number[], out: MembershipOut): void {
    if (!this.#hasLeisure(now)) return;
    const buckets = this.#buckets.differing(this.#hashes(), theirs, this.#comparisons.below(this.#buckets.count));
    // Another number of buckets: a roster of another size, which is another version of the site.
    if (buckets === undefined || buckets.length === 0) return;
    const updates: MemberUpdate[] = [];
    for (const member of this.#buckets.entries(buckets) ?? []) {
      const state = this.#table.publicState(member);
      if (state === 'unknown') continue;
      const [bootCounter, incarnation] = [this.#table.boot(member), this.#table.incarnation(member)];
      updates.push({ member, state, bootCounter, incarnation, origin: this.#self });
    }
    this.#send(now, peer, { kind: 'sync-entries', buckets, wants: [], updates }, out);
  }

  /** Back goes what the peer does not have or has older, and a request for what it has newer. */
  #complete(
    now: Instant,
    peer: AgentIndex,
    buckets: readonly number[],
    theirs: readonly MemberUpdate[],
    out: MembershipOut,
  ): void {
    if (!this.#hasLeisure(now)) return;
    const members = this.#buckets.entries(buckets);
    if (members === undefined) {
      out.push({ kind: 'message-rejected', from: peer, why: 'sync-entries: buckets that nobody may ask for' });
      return;
    }
    const held = new Map(theirs.map((update) => [update.member, update]));
    const updates: MemberUpdate[] = [];
    const wants: AgentIndex[] = [];
    for (const member of members) {
      const known = held.get(member);
      const order = known ? this.#table.compare(known.state, known.bootCounter, known.incarnation, member) : -1;
      if (order > 0) wants.push(member);
      else if (order < 0) updates.push(...this.#whatWeHoldOf(member));
    }
    if (updates.length + wants.length === 0) return;
    this.#send(now, peer, { kind: 'sync-entries', buckets: [], wants, updates }, out);
  }

  #provide(now: Instant, peer: AgentIndex, wants: readonly AgentIndex[], out: MembershipOut): void {
    if (wants.length === 0 || wants.length > maxSyncEntries || !this.#hasLeisure(now)) return;
    const updates = wants.flatMap((member) => (member < this.#size ? this.#whatWeHoldOf(member) : []));
    if (updates.length > 0) this.#send(now, peer, { kind: 'sync-entries', buckets: [], wants: [], updates }, out);
  }

  // What we find out ourselves: `DetectorHost`, for our own detector alone. Methods and no closures, of which each agent
  // would have its own.

  /**
   * The idle ping says little beside itself: our own numbers until they were answered, and in one probe of eight for
   * ever, so that a twin of ours, which others may have heard since, comes to light.
   *
   * Whom we doubt hears at which numbers it is held. News ride on the first ping to whom we trust and on
   * no other: when half of a site falls silent, most pings go to the silent, and news that rode on them would use up
   * their share of the bytes without a reader (measured: the last of 40 deaths among 80 was known after 5 s, not 10).
   */
  ping(now: Instant, to: AgentIndex, seq: number, errand: PingErrand, out: MembershipOut): void {
    const isTold = errand === 'relayed' || (this.#table.isTold(to) && (seq & 7) !== 0);
    if (!isTold && this.#announces) this.#send(now, to, this.#hello(none), out);
    // Without signatures: it is we who say it, over our own line, and our greeting was signed for those who pass it on.
    let updates = isTold ? none : this.#selfBare;
    if (this.#table.code(to) !== code.alive) {
      // The buddy system (Lifeguard §IV.C): every ping of a suspect tells it so.
      if (this.#table.code(to) !== code.unknown) updates = [...this.#selfBare, this.#statements.doubtOf(to)];
    } else if (errand === 'first') {
      const riding = this.#riding(now);
      if (riding.length > 0) updates = updates.length === 0 ? riding : [...updates, ...riding];
    }
    this.#send(now, to, { kind: 'ping', seq, digestVersion: this.#digestVersion, updates }, out);
  }

  pingRequest(now: Instant, to: AgentIndex, seq: number, target: AgentIndex, out: MembershipOut): void {
    this.#send(now, to, { kind: 'ping-request', seq, target, updates: none }, out);
  }

  ack(now: Instant, to: AgentIndex, seq: number, out: MembershipOut): void {
    this.#send(now, to, this.#ack(seq, none), out);
  }

  nack(now: Instant, to: AgentIndex, seq: number, out: MembershipOut): void {
    this.#send(now, to, { kind: 'nack', seq, updates: none }, out);
  }

  unanswered(now: Instant, target: AgentIndex, rounds: number, isPublic: boolean, out: MembershipOut): void {
    this.accuse(now, target, rounds, isPublic, out);
  }

  relayFailed(_now: Instant, target: AgentIndex, out: MembershipOut): void {
    out.push({ kind: 'relay-failed', target });
  }

  probeEnded(
    startedAt: Instant,
    target: AgentIndex,
    round: number,
    direct: boolean,
    helpers: readonly HelperWord[],
    out: MembershipOut,
  ): void {
    out.push({ kind: 'probe-ended', startedAt, target, round, direct, helpers });
  }

  protected accuse(now: Instant, target: AgentIndex, rounds: number, isPublic: boolean, out: MembershipOut): void {
    const before = this.state(target);
    if (before !== 'alive' && before !== 'suspect') return;
    if (!isPublic) {
      this.#table.setAlone(target, true);
      this.#tell(target, before, 'dead', `no answer in ${rounds} rounds, nor from anyone else: we may be cut off`, out);
      return;
    }
    const accusation = this.#statements.own(target, 'suspect');
    // The suspect is told first (Lifeguard's buddy system, §IV.C).
    this.#send(now, target, { kind: 'gossip', updates: [accusation] }, out);
    if (before === 'suspect') this.#confirm(now, accusation);
    else this.#adopt(now, accusation, this.#self, out, `no answer in ${rounds} rounds, direct or through helpers`);
    // Said again while it stands and counts; once enough others confirmed it, one voice more is only noise.
    if (this.#suspicions.get(target)?.accusers.includes(this.#self)) this.#queue.enqueue(accusation);
  }

  #judgeSuspects(now: Instant, out: MembershipOut): void {
    if (this.#suspicionDue < 0) this.#reckonSuspicions();
    if (now < this.#suspicionDue) return;
    for (const [member, suspicion] of [...this.#suspicions]) {
      if (suspicion.deadline > now) continue;
      const { probeIntervalMs } = this.#options;
      const around = this.#detector.surroundings(after(now, -4 * probeIntervalMs * this.#health.factor), member);
      if (around.answered === 0 && around.silent > 0) {
        // We hear nobody: a refutation may have passed us by.
        suspicion.postpone(probeIntervalMs);
        continue;
      }
      const accusers = suspicion.accusers.join(', ');
      const verdict = this.#statements.own(member, 'dead');
      this.#adopt(now, verdict, this.#self, out, `suspicion of ${accusers} was not refuted in time`);
    }
    this.#suspicionDue = -1;
  }

  #reckonSuspicions(): void {
    let due: number = never;
    for (const suspicion of this.#suspicions.values()) if (suspicion.deadline < due) due = suspicion.deadline;
    this.#suspicionDue = Math.max(0, due);
  }

  // What we say

  #hello(updates: readonly MemberUpdate[]): MembershipMessage {
    return {
      kind: 'hello',
      boot: this.#boot,
      bootCounter: this.#table.boot(this.#self),
      incarnation: this.#table.incarnation(this.#self),
      // So that others, to whom we cannot speak, may be told.
      updates: this.#statements.isSigned ? [this.#selfUpdate, ...updates] : updates,
    };
  }

  #ack(seq: number, updates: readonly MemberUpdate[]): MembershipMessage {
    return { kind: 'ack', seq, digestVersion: this.#digestVersion, updates };
  }

  /** Updates that ride along on a message which is sent anyway. */
  #riding(now: Instant): readonly MemberUpdate[] {
    if (this.#queue.length === 0 || this.#budget.available(now) <= 0) return none;
    this.#isStale = true;
    return this.#queue.take(this.#options.maxUpdatesPerMessage - 2);
  }

  #gossip(now: Instant, out: MembershipOut): void {
    // Whom we doubt hardly hears it. Where we doubt everybody, it is tried all the same.
    const trusted = this.#sample(this.#options.gossipFanout, this.#isTrusted);
    const targets = trusted.length > 0 ? trusted : this.#sample(this.#options.gossipFanout, this.#isProbed);
    for (const to of targets) {
      if (this.#queue.length === 0 || this.#budget.available(now) <= 0) return;
      this.#send(now, to, { kind: 'gossip', updates: this.#queue.take(this.#options.maxUpdatesPerMessage) }, out);
    }
  }

  #send(now: Instant, to: AgentIndex, message: MembershipMessage, out: MembershipOut): void {
    this.#budget.spend(now, approximateBytes(message));
    out.push({ kind: 'send', to, message });
  }
}

/** Where outputs go: an array will do. */
export interface MembershipOut {
  push(output: MembershipOutput): unknown;
}

export type MembershipOutput =
  | { readonly kind: 'send'; readonly to: AgentIndex; readonly message: MembershipMessage }
  | {
      readonly kind: 'member-changed';
      readonly member: AgentIndex;
      readonly from: MemberState;
      readonly to: MemberState;
      readonly incarnation: number;
      readonly bootCounter: number;
      readonly why: string;
    }
  /** Must be durable before the sends that follow it in the same step. */
  | { readonly kind: 'incarnation-raised'; readonly bootCounter: number; readonly incarnation: number }
  /** A peer's mistake or a forgery: counted and shown, never acted upon. */
  | { readonly kind: 'message-rejected'; readonly from: AgentIndex; readonly why: string }
  /**
   * Two processes live under one key, and these are the lives that show it; said once per pair of lives. Deserves an
   * alarm: one of the boxes runs a copied disk. Of ourselves, the other life's boot id is not known.
   */
  | { readonly kind: 'clone-proven'; readonly member: AgentIndex; readonly boots: readonly [Life, Life] }
  /**
   * One round of probing a member is over: round 0 is the ordinary probe, from 1 on private verification. `direct`: it
   * answered our own ping. Only with the option `evidence`.
   */
  | {
      /** We pinged it for another, and it did not answer us in time. */
      readonly kind: 'relay-failed';
      readonly target: AgentIndex;
    }
  | {
      readonly kind: 'probe-ended';
      /** When this round of it began. */
      readonly startedAt: Instant;
      readonly target: AgentIndex;
      readonly round: number;
      readonly direct: boolean;
      readonly helpers: readonly HelperWord[];
    };

const none: readonly MemberUpdate[] = Object.freeze([]);
const maxBumps = 3;
const greetingCopies = 4;
/** Above this, agents keep connections to their neighbours on the ring, and not to everybody. */
export const maxCorrected = 256;
export const maxWatched = 16;
/** Times that a twin must overtake us right on our heels before we believe in it. */
const enoughOvertaken = 2;
