import type { EpochSpec } from '../../agent/core/leases/epoch.ts';
import { compareTokens, type FencingToken } from '../../agent/core/leases/fencing-token.ts';
import { quorumOf } from '../../agent/core/leases/options.ts';
import type { SessionId } from '../../agent/core/leases/session.ts';
import type { VoterOutput } from '../../agent/core/leases/voter.ts';
import type { VoterEntry } from '../../agent/core/leases/voter-record.ts';
import type { CellNode, Child, Effect } from './box.ts';
import { rho } from './options.ts';
import type { LeaseViolation, LeaseWorld } from './world.ts';

/** How often rare states were reached: a run that never saw one says nothing about it. */
export type Counters = Map<string, number>;

/** What leases promise, by name. */
export const leaseInvariants = [
  'at most one valid holder',
  'tokens only rise',
  'each token belongs to one session',
  'no effect outside validity',
  'no duty process outside validity',
  "a holder's window ends before its quorum's",
  'nobody votes while mute, sealed, unborn or of another epoch',
  'a permit stays taken while its step may run',
  'held within T + 1 s of a healthy quorum',
  'epochs never go back',
  'one successor per epoch',
  'a valid holder is not refused at the gate',
  'a gateway that knows of a forced epoch lets nothing older pass',
] as const;
export type LeaseInvariant = (typeof leaseInvariants)[number];

/**
 * Those that name harm: two at once, a token that went back. The others name the way there, and are broken earlier;
 * judged by harm alone, a mistake has to show that it matters.
 */
export const harms: ReadonlySet<LeaseInvariant> = new Set([
  'at most one valid holder',
  'tokens only rise',
  'each token belongs to one session',
  'no effect outside validity',
  'no duty process outside validity',
  'a permit stays taken while its step may run',
  'one successor per epoch',
  'a valid holder is not refused at the gate',
  'a gateway that knows of a forced epoch lets nothing older pass',
]);

interface Used {
  token: FencingToken;
  session: SessionId;
}

/** What is durably true of a voter, kept apart from its own belief. */
interface VoterShadow {
  muteUntil: number;
  sealedIn: number;
  lostMemory: boolean;
  /** T of the epoch before: what its holders may still count on. */
  formerLeaseMs: number;
}

/** Watches one world. Everything is judged in global time and by books of its own, not by what agents believe. */
export class LeaseJudge {
  readonly violations: LeaseViolation[] = [];
  readonly counters: Counters = new Map();
  readonly #world: LeaseWorld;
  readonly #used: (Used | undefined)[][];
  readonly #accepted: ((Used & { since: number }) | undefined)[][];
  readonly #steps: ({ session: SessionId; endsAt: number } | undefined)[][];
  readonly #shadows: VoterShadow[][];
  readonly #epochs: number[][];
  readonly #successors = new Map<string, string>();
  /** By cell: the forced epoch that its gateway knows of. */
  readonly #forced: number[] = [];
  #quorumSince: number | undefined;

  constructor(world: LeaseWorld) {
    this.#world = world;
    const { cells, agents } = world.options;
    this.#used = Array.from({ length: cells }, () => []);
    this.#accepted = Array.from({ length: cells }, () => []);
    this.#steps = Array.from({ length: cells }, () => []);
    this.#shadows = Array.from({ length: agents }, () =>
      Array.from({ length: cells }, () => ({ muteUntil: 0, sealedIn: 0, lostMemory: false, formerLeaseMs: 0 })),
    );
    this.#epochs = Array.from({ length: agents }, () => new Array<number>(cells).fill(1));
  }

  count(what: string): void {
    this.counters.set(what, (this.counters.get(what) ?? 0) + 1);
  }

  observed(what: string): void {
    this.count(`voter ${what}`);
  }

  #violated(invariant: LeaseInvariant, text: string): void {
    if (this.#world.onlyHarm && !harms.has(invariant)) return;
    this.violations.push({ invariant, atMs: this.#world.now, text });
  }

  /** Where clocks drift beyond the bound, or disks lie, only the gate's promise is left. */
  get #isTimeSound(): boolean {
    return !this.#world.options.isDriftBeyond;
  }

  get #areDisksSound(): boolean {
    return !this.#world.options.areDisksLying;
  }

  // Holders.

  holds(node: CellNode, lease: number, token: FencingToken): void {
    const { session } = node.life;
    const used = this.#used[node.cell]!;
    const last = used[lease];
    const name = `${node.cell}/${lease}`;
    if (this.#isTimeSound && this.#areDisksSound && last !== undefined) {
      const order = compareTokens(token, last.token);
      if (order < 0) {
        this.#violated(
          'tokens only rise',
          `agent ${session.agent} holds ${name} with ${said(token)}, after ${said(last.token)}`,
        );
      } else if (order === 0 && last.session !== session.id) {
        this.#violated(
          'each token belongs to one session',
          `${name}: ${said(token)} held by ${last.session} and ${session.id}`,
        );
      }
    }
    if (last === undefined || compareTokens(token, last.token) > 0) used[lease] = { token, session: session.id };
    if (!this.#isTimeSound) return;
    this.exclusion(node.cell, lease);
    this.#window(node, lease);
    const step = this.#steps[node.cell]![lease];
    if (step !== undefined && step.session !== session.id && this.#world.now < step.endsAt) {
      this.#violated(
        'a permit stays taken while its step may run',
        `${name}: taken by agent ${session.agent} ${Math.round(step.endsAt - this.#world.now)} ms before the step of ${step.session} ends`,
      );
    }
  }

  /** At most one agent may act, and no other session's process runs beside it. */
  exclusion(cell: number, lease: number): void {
    const world = this.#world;
    let holder = -1;
    for (const box of world.boxes) {
      const { life } = box;
      const node = life?.nodes[cell];
      if (!life || !node?.proposer) continue;
      const state = node.proposer.lease(lease);
      if (!state.held || state.ending !== 'no') continue;
      if (world.elapsedSeen(life) >= state.validUntil - node.options.guardMs) continue;
      if (holder >= 0) {
        this.#violated('at most one valid holder', `${cell}/${lease}: agents ${holder} and ${box.index} may both act`);
        return;
      }
      holder = box.index;
    }
    if (holder < 0) return;
    const session = world.boxes[holder]!.life!.session.id;
    for (const box of world.boxes) {
      for (const child of box.children) {
        if (child.cell !== cell || child.lease !== lease || child.session === session) continue;
        if (!child.isAlive || child.isStuck || world.isAsleep(box) || world.now - box.resumedAt < 50) continue;
        this.#violated(
          'no duty process outside validity',
          `${cell}/${lease}: a process of agent ${box.index} runs while agent ${holder} holds`,
        );
      }
    }
  }

  exclusionEverywhere(): void {
    if (!this.#isTimeSound) return;
    for (let cell = 0; cell < this.#world.options.cells; cell++)
      for (const lease of this.#world.leasesOf(cell)) this.exclusion(cell, lease);
  }

  /** q voters keep everybody else out for longer than the holder may act. */
  #window(node: CellNode, lease: number): void {
    const world = this.#world;
    const { life } = node;
    const state = node.proposer.lease(lease);
    const endsAt = world.now + (state.validUntil - world.elapsedSeen(life)) / life.box.rate;
    const { voters } = node.succession.active;
    let covering = 0;
    for (const voter of voters)
      if (this.#excludesUntil(node, voter, lease, life.session.id) >= endsAt - 1e-6) covering++;
    if (covering < quorumOf(voters.length)) {
      this.#violated(
        "a holder's window ends before its quorum's",
        `${node.cell}/${lease}: agent ${life.box.index} may act for ${Math.round(endsAt - world.now)} ms more, ${covering} of ${voters.length} voters keep it that long`,
      );
    }
  }

  /** The global time until which this voter grants the lease to nobody but this session. */
  #excludesUntil(node: CellNode, agent: number, lease: number, session: SessionId): number {
    const world = this.#world;
    const box = world.boxes[agent]!;
    const other = box.life?.nodes[world.plant.sharesSessions ? 0 : node.cell];
    const { voter } = other ?? {};
    if (!other || !voter || other.succession.active.epoch !== node.succession.active.epoch) {
      // Down: it will be mute. Of a later epoch: it is sealed.
      return Number.POSITIVE_INFINITY;
    }
    if (voter.state !== 'voting') return Number.POSITIVE_INFINITY;
    const muteUntil = this.#shadows[agent]![node.cell]!.muteUntil;
    const promise = voter.promise(lease);
    // Counter 0: it is nobody's, and nobody gets it until it has lapsed.
    const isTheirs = promise !== undefined && promise.counter > 0 && promise.session.id !== session;
    if (promise === undefined || isTheirs) return muteUntil > world.now ? muteUntil : -1;
    return Math.max(muteUntil, world.now + (promise.until - world.voterNow(box)) / box.rate);
  }

  // Effects.

  gatewayKnows(cell: number, epoch: number): void {
    this.#forced[cell] = Math.max(epoch, this.#forced[cell] ?? 0);
  }

  accepted(effect: Effect): void {
    const { cell, lease, token, session, isLate, life } = effect;
    const world = this.#world;
    const last = this.#accepted[cell]![lease];
    const order = last === undefined ? 1 : compareTokens(token, last.token);
    const name = `${cell}/${lease}`;
    if (token.epoch < (this.#forced[cell] ?? 0)) {
      this.#violated(
        'a gateway that knows of a forced epoch lets nothing older pass',
        `${name}: the gate took ${said(token)}, and epoch ${this.#forced[cell]} was forced`,
      );
    }
    if (order < 0) {
      this.#violated('tokens only rise', `${name}: the gate took ${said(token)} after ${said(last!.token)}`);
    } else if (order === 0 && last!.session !== session) {
      this.#violated('each token belongs to one session', `${name}: the gate took ${said(token)} from two sessions`);
    }
    if (order !== 0) this.#accepted[cell]![lease] = { token, session, since: world.now };
    this.count(isLate ? 'late effect accepted' : 'effect accepted');
    if (isLate || !this.#isTimeSound) return;
    const node = life.nodes[cell]!;
    // Judged by the voters of the token's own epoch; if that one is over, they are sealed.
    if (token.epoch !== node.succession.active.epoch) return;
    const { voters } = node.succession.active;
    let covering = 0;
    for (const voter of voters) if (this.#excludesUntil(node, voter, lease, session) >= world.now) covering++;
    if (covering < quorumOf(voters.length)) {
      this.#violated(
        'no effect outside validity',
        `${name}: an effect of agent ${life.box.index} landed while ${covering} of ${voters.length} voters kept the lease for it`,
      );
    }
  }

  refused(effect: Effect): void {
    this.count(effect.isLate ? 'late effect refused at the gate' : 'effect refused at the gate');
    if (effect.isLate || !this.#isTimeSound || !this.#areDisksSound) return;
    // A gateway does not wait for the rest of a window whose voters were given up.
    if (effect.token.epoch < (this.#forced[effect.cell] ?? 0)) return;
    // One on its way may be overtaken by the next, which already has the session's larger token.
    const last = this.#accepted[effect.cell]![effect.lease];
    if (last?.session === effect.session && effect.issuedAt! <= last.since) return;
    this.#violated(
      'a valid holder is not refused at the gate',
      `${effect.cell}/${effect.lease}: ${said(effect.token)} of agent ${effect.life.box.index} was refused`,
    );
  }

  childRuns(child: Child, isLate: boolean): void {
    if (!isLate && !child.isStuck && this.#isTimeSound) this.exclusion(child.cell, child.lease);
  }

  stepBegan(node: CellNode, lease: number, endsAt: number): void {
    this.count('step under a permit');
    this.#steps[node.cell]![lease] = { session: node.life.session.id, endsAt };
  }

  // Voters.

  voterStarted(node: CellNode): void {
    const { box } = node.life;
    const { leaseMs } = node.succession.active;
    const shadow = this.#shadows[box.index]![node.cell]!;
    const longest = Math.max(leaseMs, shadow.formerLeaseMs);
    shadow.muteUntil = this.#world.now + (longest * (1 + 2 * rho)) / box.rate - 1e-6;
  }

  lostMemory(node: CellNode): void {
    this.#shadows[node.life.box.index]![node.cell]!.lostMemory = true;
  }

  written(node: CellNode, entries: readonly VoterEntry[]): void {
    const shadow = this.#shadows[node.life.box.index]![node.cell]!;
    for (const entry of entries) {
      if (entry.kind === 'sealed') shadow.sealedIn = node.voter ? node.succession.active.epoch : shadow.sealedIn;
      if (entry.kind !== 'born') continue;
      shadow.lostMemory = false;
      // Reborn before anybody else sealed: it votes again, and its earlier seal is void.
      if (entry.memory.sealedFor === undefined) shadow.sealedIn = 0;
    }
  }

  voterSays(node: CellNode, message: Extract<VoterOutput, { kind: 'send' }>['message']): void {
    const { box } = node.life;
    const shadow = this.#shadows[box.index]![node.cell]!;
    if (message.kind === 'lease-sealed') shadow.sealedIn = Math.max(shadow.sealedIn, message.epoch);
    if (message.kind !== 'lease-answer' || message.got.length === 0) return;
    const world = this.#world;
    const why =
      world.now < shadow.muteUntil
        ? 'mute'
        : shadow.sealedIn === message.epoch
          ? 'sealed'
          : shadow.lostMemory
            ? 'without its memory'
            : message.epoch !== box.disks[node.cell]!.active.epoch
              ? 'of another epoch'
              : undefined;
    if (why !== undefined && !(why === 'mute' && !this.#isTimeSound)) {
      this.#violated(
        'nobody votes while mute, sealed, unborn or of another epoch',
        `the voter of agent ${box.index} voted ${why}`,
      );
    }
  }

  // Epochs.

  /** A box lives in an epoch from here on, whatever its disk knows. */
  epochActivated(node: CellNode, spec: EpochSpec, former: EpochSpec): void {
    const { box } = node.life;
    const epochs = this.#epochs[box.index]!;
    if (spec.epoch <= epochs[node.cell]!)
      this.#violated('epochs never go back', `agent ${box.index} went from ${epochs[node.cell]} to ${spec.epoch}`);
    epochs[node.cell] = spec.epoch;
    const shadow = this.#shadows[box.index]![node.cell]!;
    shadow.lostMemory = false;
    shadow.formerLeaseMs = former.leaseMs;
    const key = `${node.cell}/${spec.epoch}`;
    const known = this.#successors.get(key);
    if (known !== undefined && known !== spec.hash)
      this.#violated('one successor per epoch', `epoch ${spec.epoch} began with ${known} and with ${spec.hash}`);
    this.#successors.set(key, spec.hash);
  }

  // Liveness.

  /** True when the run is over: all held, or what is missing was judged. */
  isSettled(): boolean {
    const world = this.#world;
    const { leaseMs, lingerMs, permits } = world.options;
    const health = this.#health();
    if (health !== 'healthy') this.#quorumSince = undefined;
    else this.#quorumSince ??= world.now;
    if (this.#quorumSince === undefined) {
      // Seals, certificates, rebirths: a healed site is through with them in this time.
      if (world.now < world.healedAt + 25_000) return false;
      if (health === 'waiting') {
        this.#violated('held within T + 1 s of a healthy quorum', 'no quorum of voters votes 25 s after the healing');
      } else this.count(`needs a person: ${health}`);
      return true;
    }
    const unheld = this.#unheld();
    const longest = Math.max(leaseMs, ...world.chain.flat().map((spec) => spec.leaseMs));
    if (unheld.length === 0) {
      // Once more at the very end: held, and still held.
      if (world.now < this.#quorumSince + longest + 1000) return false;
      this.count('held after healing');
      return true;
    }
    // What lapses was promised at most T before, by a clock that may be slow; a permit stays taken for its linger.
    const slow = 1 + 2 * Math.max(...world.options.driftRate.map(Math.abs));
    const bound = (longest + (permits > 0 ? lingerMs + longest : 0)) * slow + 1000;
    if (world.now < this.#quorumSince + bound) return false;
    this.#violated('held within T + 1 s of a healthy quorum', `nobody holds ${unheld.join(', ')}`);
    return true;
  }

  #unheld(): string[] {
    const world = this.#world;
    const missing: string[] = [];
    for (let cell = 0; cell < world.options.cells; cell++) {
      for (const lease of world.leasesOf(cell)) {
        // A permit is given back when its step is done, and taken again.
        if (world.isPermit(lease) && world.now < (this.#steps[cell]![lease]?.endsAt ?? 0) + 1000) continue;
        const isHeld = world.boxes.some(({ life }) => {
          const state = life?.nodes[cell]?.proposer.lease(lease);
          return life && state?.held && state.ending === 'no' && world.elapsedSeen(life) < state.validUntil;
        });
        if (!isHeld) missing.push(`${cell}/${lease}`);
      }
    }
    return missing;
  }

  /** Whether a quorum of voters of the one active epoch votes, in every cell; or why it never will. */
  #health(): 'healthy' | 'waiting' | 'memory of a majority lost' | 'rival successors' {
    const world = this.#world;
    let worst: 'healthy' | 'waiting' | 'memory of a majority lost' | 'rival successors' = 'healthy';
    for (let cell = 0; cell < world.options.cells; cell++) {
      const epochs = new Set(world.boxes.map((box) => box.disks[cell]!.active.epoch));
      const { active } = world.boxes[0]!.disks[cell]!;
      let votes = 0;
      let unborn = 0;
      const sealed = new Map<string, number>();
      for (const agent of active.voters) {
        const voter = world.boxes[agent]!.life?.nodes[world.plant.sharesSessions ? 0 : cell]?.voter;
        if (!voter || (voter.state !== 'unborn' && voter.state !== 'voting' && voter.state !== 'sealed')) continue;
        if (voter.state === 'unborn') unborn++;
        if (voter.state === 'voting' && world.now >= this.#shadows[agent]![cell]!.muteUntil) votes++;
        const seal = (voter as unknown as { sealedFor: string | undefined }).sealedFor;
        if (seal !== undefined) sealed.set(seal, (sealed.get(seal) ?? 0) + 1);
      }
      const quorum = quorumOf(active.voters.length);
      if (epochs.size === 1 && votes >= quorum && sealed.size === 0) continue;
      const n = active.voters.length;
      if (n - unborn < quorum || (unborn > 0 && n === 1)) worst = 'memory of a majority lost';
      else if (sealed.size > 1 || this.#isRevokedStuck(active, sealed)) worst = 'rival successors';
      else if (worst === 'healthy') worst = 'waiting';
    }
    return worst;
  }

  /** Sealed, but by too few whose word counts: the successor revokes them, or a rival went to the others. */
  #isRevokedStuck(active: EpochSpec, sealed: ReadonlyMap<string, number>): boolean {
    const world = this.#world;
    const successors = world.chain[active.epoch] ?? [];
    if (successors.length > 1) return sealed.size > 0;
    const { revoked, hash } = successors[0] ?? { revoked: [], hash: '' };
    const count = sealed.get(hash) ?? 0;
    return revoked.length > 0 && count - revoked.length < quorumOf(active.voters.length);
  }
}

const said = ({ epoch, counter }: FencingToken): string => `${epoch}.${counter}`;
