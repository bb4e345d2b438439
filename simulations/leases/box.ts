import type { EpochEnd } from '../../agent/core/leases/ballot.ts';
import type { ElapsedClock } from '../../agent/core/leases/elapsed-clock.ts';
import type { EpochSpec, Succession } from '../../agent/core/leases/epoch.ts';
import type { FencingToken } from '../../agent/core/leases/fencing-token.ts';
import type { LeaseOptions } from '../../agent/core/leases/options.ts';
import type { Proposer } from '../../agent/core/leases/proposer.ts';
import type { Session, SessionId } from '../../agent/core/leases/session.ts';
import type { Voter } from '../../agent/core/leases/voter.ts';
import type { VoterEntry, VoterRecord } from '../../agent/core/leases/voter-record.ts';

/** What a voter's box keeps. */
export interface VoterDisk {
  base: VoterRecord | undefined;
  log: VoterEntry[];
  /** A planted loss that the next start meets. */
  /** `rolled-back`: to a copy from an earlier life; `set-back`: to one from the life that has just ended. */
  damage: 'none' | 'blank' | 'torn' | 'rolled-back' | 'set-back';
}

export interface CellNode {
  readonly cell: number;
  readonly life: Life;
  readonly options: { -readonly [K in keyof LeaseOptions]: LeaseOptions[K] };
  succession: Succession;
  proposer: Proposer;
  voter: Voter | undefined;
  voterSince: number;
  armed: number[];
  failsNextWrite: boolean;
}

/** One life of one agent process. */
export interface Life {
  readonly box: LeaseBox;
  readonly session: Session;
  readonly secret: string;
  readonly clock: ElapsedClock;
  nodes: CellNode[];
  isAlive: boolean;
}

/** A duty process under the box's supervisor. */
export interface Child {
  readonly box: LeaseBox;
  readonly life: Life;
  readonly cell: number;
  readonly lease: number;
  token: FencingToken;
  readonly session: SessionId;
  deadlineAt: number;
  isAlive: boolean;
  isStuck: boolean;
  isOrdered: boolean;
  bornAt: number;
}

export interface CellDisk {
  voter: VoterDisk;
  active: EpochSpec;
  accepted: EpochSpec | undefined;
  certificates: EpochEnd[];
}

export interface LeaseBox {
  readonly index: number;
  readonly rate: number;
  isUp: boolean;
  boot: number;
  life: Life | undefined;
  /** Global times until which the agent process, or the whole box, stands still. */
  frozenUntil: number;
  suspendedUntil: number;
  suspendedAt: number;
  resumedAt: number;
  suspendedMs: number;
  wallOffset: number;
  readonly disks: CellDisk[];
  children: Child[];
  diskBusyUntil: number;
  diskNextAt: number;
}

export interface Effect {
  readonly life: Life;
  readonly cell: number;
  readonly lease: number;
  readonly token: FencingToken;
  readonly session: SessionId;
  readonly isLate: boolean;
  readonly isOfChild: boolean;
  issuedAt?: number;
}
