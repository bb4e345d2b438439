import type { AgentIndex } from '../../base/ids.ts';
import { after, type Instant, instant, never } from '../../base/time.ts';
import type { BundleHash, EpochCertificate, EpochEnd, EpochWanted, ForcedEpoch, Seal, Sealed } from './ballot.ts';
import { maxEpoch } from './fencing-token.ts';
import { quorumOf } from './options.ts';

/** What of a signed bundle binds the leases of one cell. Bundles that change it form a chain (rule 10). */
export interface EpochSpec {
  readonly epoch: number;
  readonly hash: BundleHash;
  /** The bundle of the epoch before. */
  readonly parent: BundleHash;
  readonly voters: readonly AgentIndex[];
  readonly leaseMs: number;
  /** Voters of the epoch before whose word counts no more. */
  readonly revoked: readonly AgentIndex[];
}

export type SuccessionOutput =
  /** Durable; then `persisted` with this token. */
  | { readonly kind: 'persist'; readonly token: number; readonly entry: SuccessionEntry }
  | { readonly kind: 'send'; readonly to: AgentIndex; readonly message: Seal | EpochEnd | EpochWanted }
  /** Start voters and proposers of `spec`; stop those of the epoch before. */
  | {
      readonly kind: 'activated';
      readonly spec: EpochSpec;
      readonly former: EpochSpec;
      readonly certificate: EpochEnd;
    }
  /** The epoch went on with a bundle that is not here yet. */
  | { readonly kind: 'bundle-wanted'; readonly hash: BundleHash };

export type SuccessionEntry =
  | { readonly kind: 'accepted'; readonly spec: EpochSpec }
  | { readonly kind: 'activated'; readonly spec: EpochSpec; readonly certificate: EpochEnd };

export type Acceptance = 'accepted' | 'known' | 'not-the-next' | 'other-parent' | 'rival';

const slowestMs = 2000;
/** Whoever is further behind needs a person, or a fresh bundle with its chain. */
export const maxCertificates = 64;

/**
 * How one agent goes from epoch to epoch: it accepts the successor, asks the old voters to seal, and speaks the old
 * epoch until it has seen that q of them did (rule 10).
 *
 * Guaranteed: of two rival successors at most one is ever activated anywhere, because each voter seals once; epochs
 * never go back and none is skipped; when anybody activates, q voters of the old epoch have stopped for good, so what
 * they promised lasts T at most, and the new voters are mute for that long. Not guaranteed: that the epoch changes. With
 * a majority of the old voters lost, or rival successors sealed half and half, a person must force it.
 *
 * Forced, by a statement under the site's recovery key, nothing of this rests on seals but on what the person attested:
 * that so many old voters are off, or without memory, that the rest is no majority. Then the same holds. Where it is not
 * true, old voters grant on among themselves until they hear of it, and two may hold; what remains is that epochs never
 * go back, and that gateways which know of the new epoch refuse the tokens of the old one.
 *
 * A seal counts only from a life that came after its voter's last loss of memory, as far as the other sealers know: a
 * voter that sealed, lost its store and was reborn before anybody else sealed does not know that it has.
 *
 * Signatures of bundles, seals and certificates are verified at the edge, before they become inputs.
 */
export class Succession {
  protected readonly cell: number;
  readonly #retryMs: number;
  #active: EpochSpec;
  #accepted: EpochSpec | undefined;
  /** How `active` came to be, epoch by epoch, the newest ones; none in the founding epoch. */
  #certificates: readonly EpochEnd[];
  /** One that names a bundle which is not here yet. */
  #early: EpochEnd | undefined;
  #seals: (Sealed | undefined)[];
  #sealAt: Instant = never;
  #everyMs: number;
  #askAt: Instant = instant(0);
  #nextToken = 1;
  #pending: { readonly token: number; readonly entry: SuccessionEntry; readonly former: EpochSpec }[] = [];

  constructor(parts: {
    cell: number;
    retryMs: number;
    active: EpochSpec;
    accepted: EpochSpec | undefined;
    certificates: readonly EpochEnd[];
  }) {
    this.cell = parts.cell;
    this.#retryMs = parts.retryMs;
    this.#everyMs = parts.retryMs;
    this.#active = parts.active;
    this.#accepted = parts.accepted?.epoch === parts.active.epoch + 1 ? parts.accepted : undefined;
    this.#certificates = parts.certificates.slice(-maxCertificates);
    this.#seals = parts.active.voters.map(() => undefined);
  }

  get active(): EpochSpec {
    return this.#active;
  }

  get accepted(): EpochSpec | undefined {
    return this.#accepted;
  }

  start(now: Instant, _out: SuccessionOutput[]): void {
    if (this.#accepted) this.#sealAt = now;
  }

  /** A bundle with a good signature was fetched. Refused is data: the old one stays. */
  accept(now: Instant, spec: EpochSpec, out: SuccessionOutput[]): Acceptance {
    if (spec.hash === this.#active.hash || spec.hash === this.#accepted?.hash) return 'known';
    if (spec.epoch !== this.#active.epoch + 1 || spec.epoch > maxEpoch) return 'not-the-next';
    if (spec.parent !== this.#active.hash) return 'other-parent';
    if (this.#accepted && this.#early?.successor !== spec.hash) return 'rival';
    this.#accepted = spec;
    this.#persist({ kind: 'accepted', spec }, out);
    // Judged again: who is revoked was not known when it came.
    if (this.#early?.successor === spec.hash && this.isSound(this.#early)) this.#activate(this.#early, out);
    else this.#begin(now, out);
    return 'accepted';
  }

  sealed(now: Instant, from: AgentIndex, message: Sealed, out: SuccessionOutput[]): void {
    const position = this.#active.voters.indexOf(from);
    if (message.cell !== this.cell || message.epoch !== this.#active.epoch || position < 0) return;
    if (message.reborn.length !== this.#active.voters.length) return;
    const known = this.#seals[position];
    // A later life sealed the same or, reborn, something else: what it says now is what it stands by.
    if (known === undefined || message.boot >= known.boot) this.#seals[position] = message;
    const successor = this.#accepted?.hash;
    if (successor === undefined) return;
    const seals = this.#countedSeals(successor);
    if (seals.length < this.quorum()) return;
    this.certificate(now, { kind: 'lease-epoch', cell: this.cell, epoch: this.#active.epoch, successor, seals }, out);
  }

  /** q seals, collected here or elsewhere, or a statement that there will never be so many. */
  certificate(_now: Instant, message: EpochEnd, out: SuccessionOutput[]): void {
    if (message.cell !== this.cell || message.epoch !== this.#active.epoch || this.#isActivating()) return;
    if (!this.isSound(message)) return;
    if (this.#accepted?.hash === message.successor) return this.#activate(message, out);
    this.#early = message;
    this.#sealAt = never;
    out.push({ kind: 'bundle-wanted', hash: message.successor });
  }

  /** A peer speaks an epoch that ended: show it how. */
  behind(_now: Instant, from: AgentIndex, epoch: number, out: SuccessionOutput[]): void {
    const certificate = this.#certificates.find((each) => each.epoch === epoch);
    if (certificate) out.push({ kind: 'send', to: from, message: certificate });
  }

  /** A peer speaks an epoch that has not begun here: ask it how this one ended, now and then. */
  ahead(now: Instant, from: AgentIndex, epoch: number, out: SuccessionOutput[]): void {
    if (epoch <= this.#active.epoch || now < this.#askAt) return;
    this.#askAt = after(now, this.#retryMs);
    const message: EpochWanted = { kind: 'lease-epoch-wanted', cell: this.cell, epoch: this.#active.epoch };
    out.push({ kind: 'send', to: from, message });
  }

  persisted(now: Instant, token: number, out: SuccessionOutput[]): void {
    const at = this.#pending.findIndex((pending) => pending.token === token);
    const done = this.#pending[at];
    if (done === undefined) return;
    this.#pending.splice(at, 1);
    const { entry, former } = done;
    if (entry.kind === 'accepted') {
      if (this.#accepted?.hash === entry.spec.hash && !this.#isActivating()) this.#begin(now, out);
      return;
    }
    this.#active = entry.spec;
    this.#accepted = undefined;
    this.#early = undefined;
    this.#certificates = [...this.#certificates, entry.certificate].slice(-maxCertificates);
    this.#seals = entry.spec.voters.map(() => undefined);
    this.#sealAt = never;
    out.push({ kind: 'activated', spec: entry.spec, former, certificate: entry.certificate });
  }

  deadline(): Instant {
    return this.#sealAt;
  }

  tick(now: Instant, out: SuccessionOutput[]): void {
    if (this.#sealAt > now || this.#accepted === undefined) return;
    const { epoch, voters } = this.#active;
    const successor = this.#accepted.hash;
    for (let position = 0; position < voters.length; position++) {
      if (this.#seals[position]?.successor === successor) continue;
      out.push({
        kind: 'send',
        to: voters[position]!,
        message: { kind: 'lease-seal', cell: this.cell, epoch, successor },
      });
    }
    this.#sealAt = after(now, this.#everyMs);
    this.#everyMs = Math.min(this.#everyMs * 1.5, slowestMs);
  }

  /** Counted of the old set, whatever the successor revokes. */
  protected quorum(): number {
    return quorumOf(this.#active.voters.length);
  }

  protected isSound(message: EpochEnd): boolean {
    if (message.kind === 'lease-forced') return this.isAttested(message);
    return this.isSealed(message);
  }

  /** The voters that were not attested to be off are no majority: nothing can be granted in the old epoch any more. */
  protected isAttested({ poweredOff }: ForcedEpoch): boolean {
    const { voters } = this.#active;
    const off = new Set(poweredOff);
    for (const position of off) if (position < 0 || position >= voters.length) return false;
    return voters.length - off.size < this.quorum();
  }

  protected isSealed(message: EpochCertificate): boolean {
    const { voters } = this.#active;
    const revoked = this.#accepted?.hash === message.successor ? this.#accepted.revoked : [];
    const positions = new Set(message.seals.map(({ voter }) => voter));
    const counted = [...positions].filter((voter) => !revoked.includes(voters[voter]!));
    const isEach = message.seals.every(
      ({ voter, sealed }) =>
        voter >= 0 &&
        voter < voters.length &&
        sealed.successor === message.successor &&
        sealed.epoch === message.epoch &&
        sealed.reborn.length === voters.length,
    );
    const isLiving = message.seals.every(({ voter, sealed }) =>
      message.seals.every((other) => other.voter === voter || !this.isVoid(voter, sealed, other.sealed)),
    );
    return isEach && isLiving && positions.size === message.seals.length && counted.length >= this.quorum();
  }

  /** Those for `successor` that no other one voids, less the revoked. */
  #countedSeals(successor: BundleHash): { voter: number; sealed: Sealed }[] {
    const { voters } = this.#active;
    const revoked = this.#accepted?.revoked ?? [];
    const seals: { voter: number; sealed: Sealed }[] = [];
    for (let voter = 0; voter < voters.length; voter++) {
      const sealed = this.#seals[voter];
      if (sealed?.successor === successor && !revoked.includes(voters[voter]!)) seals.push({ voter, sealed });
    }
    return seals.filter(({ voter, sealed }) =>
      seals.every((other) => other.voter === voter || !this.isVoid(voter, sealed, other.sealed)),
    );
  }

  /** `voter` sealed, lost its memory, and `other` has heard of its rebirth: it may vote again. */
  protected isVoid(voter: number, sealed: Sealed, other: Sealed): boolean {
    return other.reborn[voter]! > sealed.boot;
  }

  #begin(now: Instant, out: SuccessionOutput[]): void {
    if (this.#pending.length > 0) return;
    this.#sealAt = now;
    this.#everyMs = this.#retryMs;
    this.tick(now, out);
  }

  #activate(certificate: EpochEnd, out: SuccessionOutput[]): void {
    const spec = this.#accepted;
    if (spec === undefined) return;
    this.#sealAt = never;
    this.#persist({ kind: 'activated', spec, certificate }, out);
  }

  #isActivating(): boolean {
    return this.#pending.some(({ entry }) => entry.kind === 'activated');
  }

  #persist(entry: SuccessionEntry, out: SuccessionOutput[]): void {
    const token = this.#nextToken++;
    this.#pending.push({ token, entry, former: this.#active });
    out.push({ kind: 'persist', token, entry });
  }
}
