import type { Brand } from '../../base/brand.ts';
import type { Session, SessionId, VoterLife } from './session.ts';

/** SHA-256 of a signed bundle, 64 hex digits. */
export type BundleHash = Brand<string, 'BundleHash'>;
export const bundleHash = (text: string): BundleHash => text as BundleHash;

/** A lease of the cell by dense index, and a counter proposed or granted for it in the message's epoch. */
export interface BallotItem {
  readonly lease: number;
  readonly counter: number;
}

export interface Refusal {
  readonly lease: number;
  /** The counter that was refused. */
  readonly counter: number;
  /** The largest counter that this voter ever granted. */
  readonly maxCounter: number;
  /** 0: free for a larger counter. Else somebody else's for at most this long, by the voter's clock. */
  readonly freeInMs: number;
}

/** A permit that outlives its holder's window: what a voter must remember over restarts and epochs (rule 11). */
export interface LingeringGrant {
  readonly lease: number;
  readonly counter: number;
  readonly session: Session;
  readonly remainingMs: number;
}

/**
 * The session's whole portfolio: it acquires, renews, and releases what it does not list (rule 3). Every transmission,
 * retries included, has a `rid` of its own.
 */
export interface LeaseRequest {
  readonly kind: 'lease-request';
  /** Any number that its members agree on; in an agent, a hash of the cell's name. */
  readonly cell: number;
  readonly epoch: number;
  readonly session: Session;
  readonly rid: number;
  /** The T that the holder calculates with; a voter with another one ignores the request. */
  readonly leaseMs: number;
  /** Ordered by lease, then counter. Undefined: unchanged since the list with `listHash`. */
  readonly items: readonly BallotItem[] | undefined;
  readonly listHash: number;
  /** The last life of this voter that the holder heard. */
  readonly heard: VoterLife | undefined;
}

export interface LeaseAnswer {
  readonly kind: 'lease-answer';
  readonly cell: number;
  readonly epoch: number;
  /** Whose request: another life of the same agent counts its requests from 1 as well. */
  readonly session: SessionId;
  readonly rid: number;
  readonly got: readonly BallotItem[];
  readonly refused: readonly Refusal[];
  readonly life: VoterLife;
}

/** The shorthand was not understood. It extends nothing. */
export interface LeaseNeedFull {
  readonly kind: 'lease-need-full';
  readonly cell: number;
  readonly epoch: number;
  readonly session: SessionId;
  readonly rid: number;
}

/** Wakes those who were refused. */
export interface LeaseFreed {
  readonly kind: 'lease-freed';
  readonly cell: number;
  readonly epoch: number;
  readonly leases: readonly { readonly lease: number; readonly maxCounter: number }[];
}

/** Proof that a session is dead: the secret whose hash is its id. From the supervisor, by UDP; replay is harmless. */
export interface DeathCertificate {
  readonly kind: 'lease-death';
  readonly secret: string;
}

/** A voter that started asks its peers to remember this life; one that lost its memory asks for theirs (rule 5). */
export interface VoterRecall {
  readonly kind: 'voter-recall';
  readonly cell: number;
  readonly epoch: number;
  readonly life: VoterLife;
  readonly unborn: boolean;
  /** The life that the receiver is believed to remember. It takes `life` only as that one's successor. */
  readonly former: VoterLife | undefined;
  /** Told back, so that an unborn voter counts only what was read after its mute. */
  readonly round: number;
}

export interface VoterRecalled {
  readonly kind: 'voter-recalled';
  readonly cell: number;
  readonly epoch: number;
  readonly round: number;
  /** The life that is remembered now; another one than the asker's is an objection. */
  readonly remembered: VoterLife;
  /** Undefined from a voter that is unborn itself. */
  readonly memory: VoterMemory | undefined;
}

export interface VoterMemory {
  /** The largest T that was ever granted by. */
  readonly longestMs: number;
  readonly maxCounters: readonly number[];
  readonly sealedFor: BundleHash | undefined;
  readonly lingering: readonly LingeringGrant[];
}

/** Ends an epoch at its voters; names the one bundle that may follow (rule 10). */
export interface Seal {
  readonly kind: 'lease-seal';
  readonly cell: number;
  readonly epoch: number;
  readonly successor: BundleHash;
}

/**
 * One voter's word that it votes no more in this epoch. It is passed on in certificates, by hands that did not write it,
 * so its voter signs it; the signature (128 hex digits) is put on and verified at the edge, and only carried here.
 */
export interface Sealed {
  readonly kind: 'lease-sealed';
  readonly cell: number;
  readonly epoch: number;
  readonly successor: BundleHash;
  /** The boot counter of the life that answers. */
  readonly boot: number;
  /** Per voter of the epoch, by position: the boot at which it was last reborn. Seals of lives before that are void. */
  readonly reborn: readonly number[];
  readonly lingering: readonly LingeringGrant[];
  readonly signature?: string;
}

/** q seals for one hash: the epoch is over, and this is its successor. */
export interface EpochCertificate {
  readonly kind: 'lease-epoch';
  readonly cell: number;
  /** The epoch that ended. */
  readonly epoch: number;
  readonly successor: BundleHash;
  readonly seals: readonly { readonly voter: number; readonly sealed: Sealed }[];
}

/**
 * A person's word, under the recovery key, that a majority of the epoch's voters is gone for good: it stands in for the
 * seals that they cannot give any more. What travels is the signed `document` alone; the edge verifies it against the
 * bundle in force and fills in what it says, in both directions in which it can be read.
 */
export interface ForcedEpoch {
  readonly kind: 'lease-forced';
  readonly cell: number;
  /** The epoch that ended. */
  readonly epoch: number;
  /** Empty as long as nobody has verified the document: no bundle is called so. */
  readonly successor: BundleHash;
  /** Positions of the voters that were attested to be off, or without their memory. */
  readonly poweredOff: readonly number[];
  readonly document: string;
}

/** What ends an epoch. */
export type EpochEnd = EpochCertificate | ForcedEpoch;

/** A peer spoke a later epoch: how did this one end? */
export interface EpochWanted {
  readonly kind: 'lease-epoch-wanted';
  readonly cell: number;
  readonly epoch: number;
}

/** Somebody where effects happen begins, and asks what the voters know. */
export interface FloorsWanted {
  readonly kind: 'lease-floors-wanted';
  readonly cell: number;
  readonly epoch: number;
  readonly round: number;
}

/** The largest counter that this voter ever granted, by lease; 0: none. */
export interface Floors {
  readonly kind: 'lease-floors';
  readonly cell: number;
  readonly epoch: number;
  readonly round: number;
  readonly maxCounters: readonly number[];
}

export type VoterBound = LeaseRequest | VoterRecall | VoterRecalled | Seal | FloorsWanted;
export type ProposerBound = LeaseAnswer | LeaseNeedFull | LeaseFreed;
export type LeaseMessage = VoterBound | ProposerBound | Sealed | EpochEnd | EpochWanted | Floors;

/** Hash of a portfolio, for the shorthand only: a collision costs the sender its own leases, nobody else's. */
export function listHash(items: readonly BallotItem[]): number {
  let h1 = 0x9e37_79b9 | 0;
  let h2 = items.length | 0;
  for (const { lease, counter } of items) {
    h1 = Math.imul(h1 ^ lease, 0x85eb_ca6b | 0) ^ (h1 >>> 13);
    h2 = Math.imul(h2 ^ ((counter % 4_294_967_296) | 0), 0xc2b2_ae35 | 0) ^ (h2 >>> 15);
    h1 = (Math.imul(h1, 5) + h2 + Math.floor(counter / 4_294_967_296)) | 0;
  }
  return (h1 >>> 0) + (h2 & 0x1f_ffff) * 4_294_967_296;
}
