import type { AgentIndex, BootId } from '../../base/ids.ts';
import type { Random } from '../../base/random.ts';
import { after, type Instant, never } from '../../base/time.ts';
import { approximateBytes, ByteBudget, Dissemination } from './dissemination.ts';
import { type DetectorOutput, FailureDetector } from './failure-detector.ts';
import { compareStanding, isPlausible, isPlausibleCounter, maxCounter, type Standing } from './incarnation.ts';
import { LocalHealth } from './local-health.ts';
import type { MemberState, MembershipMessage, MemberUpdate } from './member.ts';
import type { MembershipOptions } from './options.ts';
import { ProbeSchedule } from './probe-schedule.ts';
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
export class Membership {
  readonly #options: MembershipOptions;
  readonly #self: AgentIndex;
  readonly #size: number;
  readonly #random: Random;
  readonly #boot: BootId;
  readonly #health: LocalHealth;
  readonly #detector: FailureDetector;
  readonly #schedule: ProbeSchedule;
  readonly #queue: Dissemination;
  readonly #budget: ByteBudget;

  readonly #states: Uint8Array;
  readonly #boots: Uint32Array;
  readonly #incarnations: Uint32Array;
  readonly #suspicions = new Map<AgentIndex, Suspicion>();
  /** Held dead by us alone, see above. */
  readonly #alone = new Set<AgentIndex>();
  readonly #bootIds = new Map<AgentIndex, BootId>();
  /** When we last corrected a member's view, so that a wrong one cannot make us talk without end. */
  readonly #corrected = new Map<AgentIndex, Instant>();

  #selfUpdate: MemberUpdate;
  #selfOnly: readonly MemberUpdate[];
  #digestVersion = 0;
  #left = false;
  #aliveCount = 1;
  #bumps = maxBumps;
  #bumpsAt: Instant;
  #nextProbe: Instant = never;
  #nextDeadProbe: Instant = never;
  #deadCursor = 0;
  #nextGossip: Instant = never;
  #graceUntil: Instant = 0 as Instant;

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
  }) {
    const { options, self, size, random } = parts;
    this.#options = options;
    this.#self = self;
    this.#size = size;
    this.#random = random.fork('choice');
    this.#boot = parts.boot;
    this.#health = new LocalHealth(options.localHealthMax);
    this.#detector = new FailureDetector(options, this.#health, (target, not, count) =>
      this.#helpers(target, not, count),
    );
    this.#schedule = new ProbeSchedule(size, self, random.fork('schedule'));
    this.#queue = new Dissemination(size, options);
    this.#budget = new ByteBudget(options.bytesPerSecond);
    this.#states = new Uint8Array(size);
    this.#boots = new Uint32Array(size);
    this.#incarnations = new Uint32Array(size);
    this.#states[self] = code.alive;
    this.#boots[self] = parts.bootCounter;
    this.#incarnations[self] = parts.incarnation;
    this.#bumpsAt = 0 as Instant;
    this.#selfUpdate = this.#stated(self, self);
    this.#selfOnly = [this.#selfUpdate];
  }

  get localHealth(): number {
    return this.#health.score;
  }

  /** Members not known dead, left or unheard; oneself included. */
  get aliveCount(): number {
    return this.#aliveCount;
  }

  state(member: AgentIndex): MemberState {
    return this.#alone.has(member) ? 'dead' : this.#publicState(member);
  }

  incarnationOf(member: AgentIndex): number {
    return this.#incarnations[member] ?? 0;
  }

  bootCounterOf(member: AgentIndex): number {
    return this.#boots[member] ?? 0;
  }

  setDigestVersion(version: number): void {
    this.#digestVersion = version;
  }

  start(now: Instant, _out: MembershipOutput[]): void {
    const { probeIntervalMs, deadProbeIntervalMs } = this.#options;
    this.#bumpsAt = now;
    if (this.#size < 2) return;
    this.#nextProbe = after(now, this.#random.float() * probeIntervalMs);
    this.#nextDeadProbe = after(now, this.#random.float() * deadProbeIntervalMs);
    this.#deadCursor = this.#random.below(this.#size);
  }

  connected(now: Instant, peer: AgentIndex, out: MembershipOutput[]): void {
    if (!this.#isOther(peer)) return;
    const updates = this.state(peer) === 'alive' ? [] : this.#whatWeHoldOf(peer);
    this.#send(now, peer, this.#hello(updates), out);
  }

  /** A closed connection is a hint: the peer is verified at once, nothing is concluded. */
  disconnected(now: Instant, peer: AgentIndex, out: MembershipOutput[]): void {
    if (!this.#isOther(peer) || this.#left) return;
    const state = this.state(peer);
    if (state === 'alive' || state === 'suspect')
      this.#detect(now, out, (found) => this.#detector.begin(now, peer, found));
  }

  /** `from` is who the connection was authenticated as, never a field of the message. */
  message(now: Instant, from: AgentIndex, message: MembershipMessage, out: MembershipOutput[]): void {
    if (!this.#isOther(from) || this.#left) return;
    for (const update of message.updates) {
      if (!isPlausible(update, this.#size)) {
        out.push({ kind: 'message-rejected', from, why: `${message.kind}: an update is out of range` });
        return;
      }
    }
    if (message.kind === 'hello' && !this.#greeted(now, from, message, out)) return;

    this.#heard(now, from, out);
    for (const update of message.updates) this.#merge(now, update, from, message.kind === 'hello', out);

    switch (message.kind) {
      case 'ping':
        this.#send(now, from, this.#ack(message.seq, this.#riding(now)), out);
        return;
      case 'ping-request':
        if (!this.#isOther(message.target)) {
          if (message.target === this.#self) this.#send(now, from, this.#ack(message.seq, this.#selfOnly), out);
          else out.push({ kind: 'message-rejected', from, why: 'ping-request: unknown target' });
          return;
        }
        this.#detect(now, out, (found) => this.#detector.help(now, from, message.seq, message.target, found));
        return;
      case 'ack':
        this.#detect(now, out, (found) => this.#detector.acknowledged(now, from, message.seq, found));
        return;
      case 'nack':
        this.#detector.refused(now, from, message.seq);
        return;
      case 'gossip':
      case 'hello':
        return;
    }
  }

  deadline(): Instant {
    if (this.#left) return never;
    let at: number = Math.min(this.#nextProbe, this.#nextDeadProbe, this.#detector.deadline());
    if (this.#queue.length > 0) at = Math.min(at, this.#nextGossip);
    for (const suspicion of this.#suspicions.values()) at = Math.min(at, suspicion.deadline);
    return Math.max(at, this.#graceUntil) as Instant;
  }

  /**
   * `lateMs`: how much later than armed this timer came. Node runs timers before it reads sockets, so after a stall the
   * time-outs fire while the answers wait unread: then nothing is judged until they were read once.
   */
  tick(now: Instant, lateMs: number, out: MembershipOutput[]): void {
    if (this.#left || this.#size < 2) return;
    const { probeIntervalMs, gossipIntervalMs, deadProbeIntervalMs } = this.#options;
    if (lateMs > probeIntervalMs / 2) {
      this.#health.raise();
      this.#graceUntil = after(now, probeIntervalMs / 4);
      this.#detector.postpone(this.#graceUntil);
      for (const suspicion of this.#suspicions.values()) suspicion.postpone(lateMs);
      return;
    }
    if (now < this.#graceUntil) return;

    this.#detect(now, out, (found) => this.#detector.tick(now, found));
    this.#judgeSuspects(now, out);

    if (now >= this.#nextProbe) {
      this.#nextProbe = after(now, probeIntervalMs * this.#health.factor);
      const target = this.#schedule.next((member) => this.#isProbed(member) && !this.#detector.probing(member));
      if (target !== undefined) this.#detect(now, out, (found) => this.#detector.begin(now, target, found));
    }
    if (now >= this.#nextDeadProbe) {
      this.#nextDeadProbe = after(now, deadProbeIntervalMs);
      const target = this.#nextUnreached();
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
  leave(now: Instant, out: MembershipOutput[]): void {
    if (this.#left) return;
    const farewell: MemberUpdate = { ...this.#selfUpdate, state: 'left' };
    for (let member = 0; member < this.#size; member++) {
      if (this.#isProbed(member)) this.#send(now, member, { kind: 'gossip', updates: [farewell] }, out);
    }
    this.#left = true;
    this.#states[this.#self] = code.left;
  }

  // Views

  #publicState(member: AgentIndex): MemberState {
    return states[this.#states[member] ?? 0]!;
  }

  #standing(member: AgentIndex): Standing {
    return {
      state: this.#publicState(member),
      bootCounter: this.#boots[member]!,
      incarnation: this.#incarnations[member]!,
    };
  }

  /** Our view of a member that is not unknown, as a statement by `origin`. */
  #stated(member: AgentIndex, origin: AgentIndex): MemberUpdate {
    return { member, ...this.#standing(member), origin } as MemberUpdate;
  }

  #whatWeHoldOf(member: AgentIndex): MemberUpdate[] {
    return this.#states[member] === code.unknown ? [] : [this.#stated(member, this.#self)];
  }

  #isOther(member: AgentIndex): boolean {
    return Number.isInteger(member) && member >= 0 && member < this.#size && member !== this.#self;
  }

  #isProbed(member: AgentIndex): boolean {
    const state = this.#states[member];
    return member !== this.#self && (state === code.alive || state === code.suspect) && !this.#alone.has(member);
  }

  /** Dead, left and never-heard members take turns, for ever: that is how a healed partition is found. */
  #nextUnreached(): AgentIndex | undefined {
    for (let i = 0; i < this.#size; i++) {
      this.#deadCursor = (this.#deadCursor + 1) % this.#size;
      if (this.#deadCursor !== this.#self && !this.#isProbed(this.#deadCursor)) return this.#deadCursor;
    }
    return undefined;
  }

  #helpers(target: AgentIndex, not: readonly AgentIndex[], count: number): AgentIndex[] {
    const usable = (m: AgentIndex) => m !== target && this.#isProbed(m) && this.#states[m] === code.alive;
    const fresh = this.#sample(count, (m) => usable(m) && !not.includes(m) && !this.#detector.verifying(m));
    if (fresh.length >= count) return fresh;
    const again = this.#sample(count - fresh.length, (m) => usable(m) && !fresh.includes(m));
    return [...fresh, ...again];
  }

  /** Up to `count` distinct members that qualify. Exact in small sites, by trial in large ones. */
  #sample(count: number, qualifies: (member: AgentIndex) => boolean): AgentIndex[] {
    const chosen: AgentIndex[] = [];
    if (this.#size <= 64) {
      for (let m = 0; m < this.#size; m++) if (m !== this.#self && qualifies(m)) chosen.push(m);
      for (let i = 0; i < Math.min(count, chosen.length); i++) {
        const j = i + this.#random.below(chosen.length - i);
        const held = chosen[i]!;
        chosen[i] = chosen[j]!;
        chosen[j] = held;
      }
      chosen.length = Math.min(count, chosen.length);
      return chosen;
    }
    for (let tries = 0; tries < count * 8 && chosen.length < count; tries++) {
      const m = this.#random.below(this.#size);
      if (m !== this.#self && !chosen.includes(m) && qualifies(m)) chosen.push(m);
    }
    return chosen;
  }

  // What arrives

  /** False when the greeting must be ignored altogether. */
  #greeted(
    now: Instant,
    from: AgentIndex,
    hello: Extract<MembershipMessage, { kind: 'hello' }>,
    out: MembershipOutput[],
  ) {
    const { boot, bootCounter, incarnation } = hello;
    if (!isPlausibleCounter(bootCounter) || !isPlausibleCounter(incarnation)) {
      out.push({ kind: 'message-rejected', from, why: 'hello: a counter is out of range' });
      return false;
    }
    const known = this.#boots[from]!;
    if (this.#states[from] !== code.unknown && bootCounter < known) {
      // A store that was lost counts from the start again. The peer learns what we hold of it and jumps above.
      out.push({ kind: 'message-rejected', from, why: `hello: boot ${bootCounter} is older than ${known}` });
      this.#correct(now, from, [this.#stated(from, this.#self)], out);
      return false;
    }
    if (bootCounter === known && (this.#bootIds.get(from) ?? boot) !== boot) {
      out.push({ kind: 'message-rejected', from, why: `hello: two lives of one agent both count boot ${bootCounter}` });
      return false;
    }
    this.#bootIds.set(from, boot);
    const wasAlive = this.state(from) === 'alive';
    this.#merge(now, { member: from, state: 'alive', bootCounter, incarnation, origin: from }, from, true, out);
    if (!wasAlive) this.#send(now, from, this.#hello(this.#whatWeHoldOf(from)), out);
    return true;
  }

  /** The sender itself spoke, over an authenticated connection: that ends our own doubt, nobody else's. */
  #heard(now: Instant, from: AgentIndex, out: MembershipOutput[]): void {
    this.#detector.heard(now, from);
    if (this.#alone.delete(from)) {
      this.#counted(from, 'dead', this.#publicState(from), 'it answers again', out);
    }
    const suspicion = this.#suspicions.get(from);
    if (suspicion) suspicion.heard(now);
    const state = this.#states[from]!;
    if (state === code.suspect || state === code.dead || state === code.left) {
      this.#correct(now, from, [this.#stated(from, this.#self)], out);
    }
  }

  #merge(now: Instant, update: MemberUpdate, from: AgentIndex, isAntiEntropy: boolean, out: MembershipOutput[]): void {
    if (update.member === this.#self) {
      this.#mergeSelf(now, update, from, out);
      return;
    }
    const { member } = update;
    const order = compareStanding(update, this.#standing(member));
    if (order < 0) {
      // The teller is behind; one correction per teller and interval keeps two wrong views from talking for ever.
      if (update.state !== 'alive' || this.#states[member] !== code.suspect) {
        this.#correct(now, from, [this.#stated(member, this.#self)], out);
      }
      return;
    }
    if (order === 0) {
      if (update.state === 'suspect') this.#confirm(update);
      return;
    }
    if (update.state === 'dead' && isAntiEntropy) {
      // What a stranger's memory holds is a rumour, not a verdict of now.
      const doubt: MemberUpdate = { ...update, state: 'suspect' };
      if (compareStanding(doubt, this.#standing(member)) > 0) this.#adopt(now, doubt, from, out);
      return;
    }
    this.#adopt(now, update, from, out);
  }

  #confirm(update: MemberUpdate): void {
    const suspicion = this.#suspicions.get(update.member);
    if (suspicion?.confirm(update.origin)) this.#queue.enqueue(update);
  }

  /** Takes over a statement that supersedes ours, and passes it on. */
  #adopt(now: Instant, update: MemberUpdate, from: AgentIndex, out: MembershipOutput[], reason?: string): void {
    const { member, state } = update;
    const before = this.state(member);
    this.#states[member] = code[state];
    this.#boots[member] = update.bootCounter;
    this.#incarnations[member] = update.incarnation;
    if (state !== 'suspect') this.#suspicions.delete(member);
    if (state === 'suspect') {
      const alive = this.#aliveCount + (before === 'alive' || before === 'suspect' ? 0 : 1);
      this.#suspicions.set(member, new Suspicion(now, update, update.origin, alive, this.#options));
      this.#verifyToo(now, member, out);
    } else if (state === 'alive') {
      this.#alone.delete(member);
      this.#detector.forget(member);
    } else {
      this.#alone.delete(member);
      this.#detector.abandon(member);
      this.#detector.forget(member);
    }
    // Who greets us for the first time greets the others, too: a few copies are for those whom it cannot reach.
    const isGreeting = before === 'unknown' && from === member;
    if (isGreeting) this.#queue.enqueue(update, greetingCopies);
    else this.#queue.enqueue(update);
    if (this.#nextGossip === never || this.#nextGossip < now) this.#nextGossip = now;
    const after = this.state(member);
    const why =
      reason ??
      (from === member
        ? 'said so itself'
        : `told by ${from}${update.origin === from ? '' : `, from ${update.origin}`}`);
    this.#counted(member, before, after, why, out);
  }

  #counted(member: AgentIndex, before: MemberState, after: MemberState, why: string, out: MembershipOutput[]): void {
    if (before === after) return;
    const counts = (state: MemberState) => (state === 'alive' || state === 'suspect' ? 1 : 0);
    this.#aliveCount += counts(after) - counts(before);
    out.push({
      kind: 'member-changed',
      member,
      from: before,
      to: after,
      incarnation: this.#incarnations[member]!,
      bootCounter: this.#boots[member]!,
      why,
    });
  }

  /**
   * A new suspicion makes some of us look for themselves at once, so that it is soon confirmed or dropped: about twice
   * as many as are needed, whatever the size of the site, or all of them would ping the suspect together.
   */
  #verifyToo(now: Instant, member: AgentIndex, out: MembershipOutput[]): void {
    const wanted = (2 * this.#options.confirmations) / Math.max(1, this.#aliveCount - 2);
    if (wanted >= 1 || this.#random.chance(wanted)) {
      this.#detect(now, out, (found) => this.#detector.begin(now, member, found));
    }
  }

  /** Hearing of oneself at one's own numbers or above: jump above, persist, answer straight back (SWIM §4.2). */
  #mergeSelf(now: Instant, update: MemberUpdate, from: AgentIndex, out: MembershipOutput[]): void {
    const order = compareStanding(update, this.#selfUpdate);
    if (order === 0) return;
    if (order < 0) {
      if (update.state !== 'alive') this.#correct(now, from, this.#selfOnly, out);
      return;
    }
    if (!this.#mayBump(now)) return;
    // A boot counter above our own means that our store was lost or cloned; we go on as its successor.
    // And a spent range of incarnations (nobody honest gets there) leaves only the boot to rise above it.
    const isSpent = update.incarnation >= maxCounter;
    const jumpsBoot = update.bootCounter > this.#boots[this.#self]! || isSpent;
    if (jumpsBoot) this.#boots[this.#self] = Math.min(maxCounter, update.bootCounter + 1);
    this.#incarnations[this.#self] = isSpent ? 0 : update.incarnation + 1;
    this.#selfUpdate = this.#stated(this.#self, this.#self);
    this.#selfOnly = [this.#selfUpdate];
    if (update.state !== 'alive') this.#health.raise();
    out.push({
      kind: 'incarnation-raised',
      bootCounter: this.#boots[this.#self]!,
      incarnation: this.#incarnations[this.#self]!,
    });
    this.#queue.enqueue(this.#selfUpdate);
    if (this.#nextGossip === never || this.#nextGossip < now) this.#nextGossip = now;
    this.#send(now, from, { kind: 'gossip', updates: this.#selfOnly }, out);
    if (update.origin !== from && this.#isOther(update.origin)) {
      this.#send(now, update.origin, { kind: 'gossip', updates: this.#selfOnly }, out);
    }
  }

  /** One bump per second, with a small burst: two clones of one agent must not race each other to the top. */
  #mayBump(now: Instant): boolean {
    this.#bumps = Math.min(maxBumps, this.#bumps + (now - this.#bumpsAt) / 1000);
    this.#bumpsAt = now;
    if (this.#bumps < 1) return false;
    this.#bumps--;
    return true;
  }

  #correct(now: Instant, peer: AgentIndex, updates: readonly MemberUpdate[], out: MembershipOutput[]): void {
    if (this.#publicState(updates[0]!.member) === 'unknown') return;
    const last = this.#corrected.get(peer);
    if (last !== undefined && now - last < this.#options.probeIntervalMs / 4) return;
    this.#corrected.set(peer, now);
    this.#send(now, peer, { kind: 'gossip', updates }, out);
  }

  // What we find out ourselves

  #detect(now: Instant, out: MembershipOutput[], act: (found: DetectorOutput[]) => unknown): void {
    const found: DetectorOutput[] = [];
    act(found);
    for (const item of found) {
      switch (item.kind) {
        case 'ping': {
          const told = this.#states[item.to] === code.alive ? [] : this.#whatWeHoldOf(item.to);
          const riding = this.#riding(now);
          const updates = told.length + riding.length === 0 ? this.#selfOnly : [this.#selfUpdate, ...told, ...riding];
          const digestVersion = this.#digestVersion;
          this.#send(now, item.to, { kind: 'ping', seq: item.seq, digestVersion, updates }, out);
          break;
        }
        case 'ping-request':
          this.#send(now, item.to, { kind: 'ping-request', seq: item.seq, target: item.target, updates: none }, out);
          break;
        case 'ack':
          this.#send(now, item.to, this.#ack(item.seq, none), out);
          break;
        case 'nack':
          this.#send(now, item.to, { kind: 'nack', seq: item.seq, updates: none }, out);
          break;
        case 'unanswered':
          this.#accuse(now, item.target, item.rounds, item.isPublic, out);
          break;
      }
    }
  }

  #accuse(now: Instant, target: AgentIndex, rounds: number, isPublic: boolean, out: MembershipOutput[]): void {
    const before = this.state(target);
    if (before !== 'alive' && before !== 'suspect') return;
    if (!isPublic) {
      this.#alone.add(target);
      this.#counted(
        target,
        before,
        'dead',
        `no answer in ${rounds} rounds, nor from anyone else: we may be cut off`,
        out,
      );
      return;
    }
    const accusation: MemberUpdate = { ...this.#stated(target, this.#self), state: 'suspect' };
    this.#send(now, target, { kind: 'gossip', updates: [accusation] }, out);
    if (before === 'suspect') this.#confirm(accusation);
    else this.#adopt(now, accusation, this.#self, out, `no answer in ${rounds} rounds, direct or through helpers`);
    if (this.#suspicions.has(target)) this.#queue.enqueue(accusation);
  }

  #judgeSuspects(now: Instant, out: MembershipOutput[]): void {
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
      const verdict: MemberUpdate = { ...this.#stated(member, this.#self), state: 'dead' };
      this.#adopt(now, verdict, this.#self, out, `suspicion of ${accusers} was not refuted in time`);
    }
  }

  // What we say

  #hello(updates: readonly MemberUpdate[]): MembershipMessage {
    return {
      kind: 'hello',
      boot: this.#boot,
      bootCounter: this.#boots[this.#self]!,
      incarnation: this.#incarnations[this.#self]!,
      updates,
    };
  }

  #ack(seq: number, updates: readonly MemberUpdate[]): MembershipMessage {
    return { kind: 'ack', seq, digestVersion: this.#digestVersion, updates };
  }

  /** Updates that ride along on a message which is sent anyway. */
  #riding(now: Instant): readonly MemberUpdate[] {
    if (this.#queue.length === 0 || this.#budget.available(now) <= 0) return none;
    return this.#queue.take(this.#options.maxUpdatesPerMessage - 2);
  }

  #gossip(now: Instant, out: MembershipOutput[]): void {
    const targets = this.#sample(this.#options.gossipFanout, (m) => this.#isProbed(m));
    for (const to of targets) {
      if (this.#queue.length === 0 || this.#budget.available(now) <= 0) return;
      this.#send(now, to, { kind: 'gossip', updates: this.#queue.take(this.#options.maxUpdatesPerMessage) }, out);
    }
  }

  #send(now: Instant, to: AgentIndex, message: MembershipMessage, out: MembershipOutput[]): void {
    this.#budget.spend(now, approximateBytes(message));
    out.push({ kind: 'send', to, message });
  }
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
  | { readonly kind: 'message-rejected'; readonly from: AgentIndex; readonly why: string };

const states: readonly MemberState[] = ['unknown', 'alive', 'suspect', 'dead', 'left'];
const code: Readonly<Record<MemberState, number>> = { unknown: 0, alive: 1, suspect: 2, dead: 3, left: 4 };
const none: readonly MemberUpdate[] = [];
const maxBumps = 3;
const greetingCopies = 4;
