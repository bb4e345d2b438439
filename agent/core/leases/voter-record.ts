import type { BundleHash, EpochEnd, LingeringGrant, VoterMemory } from './ballot.ts';
import { muteMs } from './options.ts';
import { type Session, sessionId, type VoterLife, withLife } from './session.ts';

/** What a voter must not forget (rule 5). One line of its journal each. */
export type VoterEntry =
  /** A life began. `unborn`: its memory is missing or proven old. */
  | { readonly kind: 'booted'; readonly boot: number; readonly nonce: number; readonly unborn: boolean }
  /** The memory was read back from a quorum of peers. */
  | { readonly kind: 'born'; readonly memory: VoterMemory }
  /** `session` and `remainingMs` for permits only; a duty's grant is covered by being mute. */
  | {
      readonly kind: 'granted';
      readonly lease: number;
      readonly counter: number;
      readonly session: Session | undefined;
      readonly remainingMs: number;
    }
  /** How long a permit stays taken at least, written while it lapses. */
  | { readonly kind: 'remaining'; readonly lease: number; readonly remainingMs: number }
  | { readonly kind: 'freed'; readonly lease: number }
  /** A peer remembers a larger token of this lease: nothing up to it is granted again. */
  | { readonly kind: 'raised'; readonly lease: number; readonly counter: number }
  | { readonly kind: 'sealed'; readonly successor: BundleHash }
  /** The life of another voter, by position. `reborn`: its seals from earlier lives are void. */
  | { readonly kind: 'heard'; readonly voter: number; readonly life: VoterLife; readonly reborn: boolean };

/** The fold of a voter's entries. Belongs to one cell and one epoch. */
export interface VoterRecord {
  epoch: number;
  boot: number;
  /** See `Lives`. */
  lives: readonly VoterLife[];
  forgottenBelow: number;
  unborn: boolean;
  sealedFor: BundleHash | undefined;
  /** The largest T that may have been granted, this epoch's and the last one's: how long a restarted voter is mute. */
  longestMs: number;
  /** By lease. */
  maxCounters: number[];
  lingering: (LingeringGrant | undefined)[];
  /** By voter position. */
  heard: (VoterLife | undefined)[];
  reborn: number[];
}

/** The record of a voter whom a new site names. Made once, by whoever founds the site: a missing record is a lost one. */
export function foundingRecord(parts: { epoch: number; voters: number; leases: number; leaseMs: number }): VoterRecord {
  return {
    epoch: parts.epoch,
    boot: 0,
    lives: [],
    forgottenBelow: 0,
    unborn: false,
    sealedFor: undefined,
    longestMs: parts.leaseMs,
    maxCounters: new Array<number>(parts.leases).fill(0),
    lingering: new Array<LingeringGrant | undefined>(parts.leases).fill(undefined),
    heard: new Array<VoterLife | undefined>(parts.voters).fill(undefined),
    reborn: new Array<number>(parts.voters).fill(0),
  };
}

/**
 * The record with which a voter of the successor begins. Counters start at 0, because every token of the new epoch is
 * larger. Permits of the old epoch go on lapsing: whoever held one was granted it by a quorum, so at least one of the q
 * seals names it. In a forced epoch nobody can say who held which, so all count as held (`formerLingerMs`, by index of the
 * new epoch's leases; 0: none was).
 */
export function activatedRecord(
  parts: {
    epoch: number;
    voters: number;
    leases: number;
    leaseMs: number;
    boot: number;
    formerLeaseMs: number;
    drift: number;
    formerLingerMs: readonly number[];
  },
  certificate: EpochEnd,
): VoterRecord {
  const record = foundingRecord(parts);
  record.boot = parts.boot;
  record.forgottenBelow = parts.boot + 1;
  record.longestMs = Math.max(parts.leaseMs, parts.formerLeaseMs);
  if (certificate.kind === 'lease-epoch') {
    for (const { sealed } of certificate.seals) mergeLingering(record.lingering, sealed.lingering);
    return record;
  }
  for (const [lease, lingerMs] of parts.formerLingerMs.entries()) {
    if (lingerMs === 0) continue;
    const remainingMs = muteMs(parts.formerLeaseMs + lingerMs, parts.drift);
    record.lingering[lease] = { lease, counter: 0, session: nobody, remainingMs };
  }
  return record;
}

/** With counter 0 a grant belongs to no session, so it does not matter whose name stands there. */
const nobody: Session = { agent: 0, boot: 0, id: sessionId('0'.repeat(64)) };

/**
 * Unites what several voters know of lapsing permits. Where two sessions are named for one permit, one of them was a
 * candidate that never won, and nobody can say which: counter 0 then, so that it belongs to neither and only lapses.
 */
export function mergeLingering(into: (LingeringGrant | undefined)[], from: readonly LingeringGrant[]): void {
  for (const grant of from) {
    if (grant.lease < 0 || grant.lease >= into.length) continue;
    const known = into[grant.lease];
    if (known === undefined) {
      into[grant.lease] = grant;
      continue;
    }
    const isSame = known.session.id === grant.session.id && known.counter > 0 && grant.counter > 0;
    into[grant.lease] = {
      ...known,
      counter: isSame ? Math.max(known.counter, grant.counter) : 0,
      remainingMs: Math.max(known.remainingMs, grant.remainingMs),
    };
  }
}

export function foldVoter(record: VoterRecord, entry: VoterEntry): void {
  switch (entry.kind) {
    case 'booted':
      record.boot = entry.boot;
      record.unborn = entry.unborn;
      Object.assign(record, withLife(record, { boot: entry.boot, nonce: entry.nonce }, entry.unborn));
      return;
    case 'born':
      record.unborn = false;
      record.longestMs = Math.max(record.longestMs, entry.memory.longestMs);
      record.maxCounters = entry.memory.maxCounters.slice();
      record.sealedFor = entry.memory.sealedFor;
      record.lingering.fill(undefined);
      for (const grant of entry.memory.lingering) record.lingering[grant.lease] = grant;
      return;
    case 'granted':
      record.maxCounters[entry.lease] = entry.counter;
      record.lingering[entry.lease] = entry.session && {
        lease: entry.lease,
        counter: entry.counter,
        session: entry.session,
        remainingMs: entry.remainingMs,
      };
      return;
    case 'remaining': {
      const grant = record.lingering[entry.lease];
      if (grant) record.lingering[entry.lease] = { ...grant, remainingMs: entry.remainingMs };
      return;
    }
    case 'freed':
      record.lingering[entry.lease] = undefined;
      return;
    case 'raised':
      record.maxCounters[entry.lease] = Math.max(record.maxCounters[entry.lease] ?? 0, entry.counter);
      return;
    case 'sealed':
      record.sealedFor = entry.successor;
      return;
    case 'heard':
      record.heard[entry.voter] = entry.life;
      if (entry.reborn) record.reborn[entry.voter] = entry.life.boot;
      return;
  }
}
