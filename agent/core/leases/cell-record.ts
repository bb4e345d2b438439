import { hash53 } from '../../base/hash.ts';
import type { AgentId, AgentIndex } from '../../base/ids.ts';
import { type BundleHash, bundleHash, type EpochEnd } from './ballot.ts';
import type { CellPlan } from './cell-plan.ts';
import type { EpochSpec } from './epoch.ts';
import type { LeaseOptions, LeaseSpec } from './options.ts';
import { activatedRecord, foldVoter, type VoterEntry, type VoterRecord } from './voter-record.ts';

/**
 * An epoch of a cell as it is written down: names, because indices change with the site file. Its leases keep their
 * order, since ballots and the voter's record count them.
 */
export interface StoredEpoch {
  readonly epoch: number;
  readonly hash: BundleHash;
  readonly parent: BundleHash;
  readonly voters: readonly string[];
  readonly revoked: readonly string[];
  readonly options: LeaseOptions;
  readonly leases: readonly { readonly id: string; readonly eligible: readonly string[]; readonly lingerMs: number }[];
}

/** One line of what an agent keeps of a cell. Written in order, durable before what depends on it (rule 5). */
export type CellEntry =
  /** The first epoch of this cell here. `record`: of a voter that never voted; undefined: of none, or one that lost it. */
  | { readonly kind: 'founded'; readonly active: StoredEpoch; readonly record: VoterRecord | undefined }
  | { readonly kind: 'voter'; readonly entry: VoterEntry }
  | { readonly kind: 'accepted'; readonly epoch: StoredEpoch }
  | { readonly kind: 'activated'; readonly epoch: StoredEpoch; readonly certificate: EpochEnd };

/** The fold of the entries. */
export interface CellRecord {
  active: StoredEpoch;
  accepted: StoredEpoch | undefined;
  certificates: EpochEnd[];
  voter: VoterRecord | undefined;
}

const keptCertificates = 64;

/** `record` is changed and returned; undefined stands for a cell that nothing was written of. */
export function foldCell(record: CellRecord | undefined, entry: CellEntry): CellRecord | undefined {
  if (entry.kind === 'founded') {
    return { active: entry.active, accepted: undefined, certificates: [], voter: entry.record && copy(entry.record) };
  }
  if (record === undefined) return undefined;
  switch (entry.kind) {
    case 'voter':
      record.voter ??= blankRecord(record.active);
      foldVoter(record.voter, entry.entry);
      return record;
    case 'accepted':
      record.accepted = entry.epoch;
      return record;
    case 'activated': {
      const { epoch, certificate } = entry;
      const former = record.active;
      record.voter = activatedRecord(
        {
          epoch: epoch.epoch,
          voters: epoch.voters.length,
          leases: epoch.leases.length,
          leaseMs: epoch.options.leaseMs,
          formerLeaseMs: former.options.leaseMs,
          boot: record.voter?.boot ?? 0,
          drift: former.options.drift,
          formerLingerMs: epoch.leases.map(({ id }) => former.leases.find((lease) => lease.id === id)?.lingerMs ?? 0),
        },
        byName(certificate, former, epoch),
      );
      record.active = epoch;
      record.accepted = undefined;
      record.certificates = [...record.certificates, certificate].slice(-keptCertificates);
      return record;
    }
  }
}

/** The fold writes into its record, and an entry is not its to change. */
const copy = (record: VoterRecord): VoterRecord => ({
  ...record,
  maxCounters: record.maxCounters.slice(),
  lingering: record.lingering.slice(),
  heard: record.heard.slice(),
  reborn: record.reborn.slice(),
});

/** What remains when the record of a voter was lost and its entries go on: it says `unborn` itself with its first one. */
function blankRecord(active: StoredEpoch): VoterRecord {
  const { epoch, voters, leases, options } = active;
  return {
    epoch,
    boot: 0,
    lives: [],
    forgottenBelow: 0,
    unborn: true,
    sealedFor: undefined,
    longestMs: options.leaseMs,
    maxCounters: new Array<number>(leases.length).fill(0),
    lingering: new Array(leases.length).fill(undefined),
    heard: new Array(voters.length).fill(undefined),
    reborn: new Array<number>(voters.length).fill(0),
  };
}

/** Seals number permits as the old epoch did; the successor may have others, in another order. */
function byName(certificate: EpochEnd, former: StoredEpoch, next: StoredEpoch): EpochEnd {
  if (certificate.kind === 'lease-forced') return certificate;
  const now = new Map(next.leases.map(({ id }, lease) => [id, lease]));
  return {
    ...certificate,
    seals: certificate.seals.map(({ voter, sealed }) => ({
      voter,
      sealed: {
        ...sealed,
        lingering: sealed.lingering.flatMap((grant) => {
          const lease = now.get(former.leases[grant.lease]?.id ?? '');
          return lease === undefined ? [] : [{ ...grant, lease }];
        }),
      },
    })),
  };
}

/** A cell of the plan, to be written down. */
export function storedEpoch(cell: CellPlan, agentIds: readonly AgentId[], parent = bundleHash('')): StoredEpoch {
  const name = (agent: AgentIndex): string => agentIds[agent] ?? '';
  const content = {
    cell: cell.id,
    epoch: cell.epoch,
    voters: cell.voters.map(name),
    options: cell.options,
    leases: cell.leases.map(({ id, eligible, lingerMs }) => ({ id, eligible: eligible.map(name), lingerMs })),
  };
  const { epoch, voters, options, leases } = content;
  const revoked = (cell.revoked ?? []).map(name);
  return { epoch, hash: contentHash(JSON.stringify(content)), parent, voters, revoked, options, leases };
}

/**
 * Names the content of an epoch. An identity, no seal: that nobody invents a bundle is the matter of its signature, and
 * a lease only needs to tell two signed ones apart.
 */
function contentHash(text: string): BundleHash {
  let hex = '';
  for (let seed = 0; hex.length < 64; seed++) hex += hash53(text, seed).toString(16).padStart(14, '0');
  return bundleHash(hex.slice(0, 64));
}

/** An epoch by the indices of the plan that this process runs. Who is in it no more has index −1 and is never reached. */
export interface EpochView {
  readonly spec: EpochSpec;
  readonly options: LeaseOptions;
  readonly leaseIds: readonly string[];
  readonly specs: readonly LeaseSpec[];
}

export function viewOf(stored: StoredEpoch, agentIds: readonly AgentId[]): EpochView {
  const indices = new Map<string, AgentIndex>(agentIds.map((id, agent) => [id, agent]));
  const { epoch, hash, parent, options } = stored;
  return {
    spec: {
      epoch,
      hash,
      parent,
      voters: stored.voters.map((name) => indices.get(name) ?? -1),
      leaseMs: options.leaseMs,
      revoked: stored.revoked.flatMap((name) => indices.get(name) ?? []),
    },
    options,
    leaseIds: stored.leases.map(({ id }) => id),
    specs: stored.leases.map(({ eligible, lingerMs }) => {
      const flags = new Uint8Array(agentIds.length);
      for (const name of eligible) {
        const agent = indices.get(name);
        if (agent !== undefined) flags[agent] = 1;
      }
      return { eligible: flags, lingerMs };
    }),
  };
}
