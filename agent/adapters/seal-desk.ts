import type { KeyObject } from 'node:crypto';
import type { AgentId, AgentIndex } from '../base/ids.ts';
import { err, ok, type Result } from '../base/result.ts';
import type { DirectMessage, Input } from '../core/input.ts';
import type { BundleHash, ForcedEpoch } from '../core/leases/ballot.ts';
import type { Leases } from '../core/leases/leases.ts';
import { type ForcedEpochError, judgeForcedEpoch, readForcedEpoch } from '../wire/forced-epoch.ts';
import { signSealed, verifiedCertificate, verifySealed } from '../wire/lease.ts';
import type { SiteBundle } from '../wire/site-bundle.ts';

export interface SealDeskOptions {
  readonly site: string;
  readonly self: AgentIndex;
  readonly agentIds: readonly AgentId[];
  readonly key: KeyObject;
  readonly keyOf: (name: string) => KeyObject | undefined;
  readonly leases: () => Leases;
  /** A seal that its voter did not sign, or a statement that the recovery key did not. */
  readonly forged: (from: AgentIndex) => void;
  /** In force by now, perhaps not what this process was compiled from. */
  readonly bundle: () => SiteBundle;
  /** What the leases call the epoch that the bundle in force has of a cell. */
  readonly epochHash: (cell: string) => BundleHash | undefined;
}

/**
 * Where seals get their signature on the way out, and lose their credit on the way in: the core counts what it is given,
 * so what a voter did not sign must not get there.
 */
export class SealDesk {
  readonly #options: SealDeskOptions;

  constructor(options: SealDeskOptions) {
    this.#options = options;
  }

  signed(message: DirectMessage): DirectMessage {
    const { site, self, agentIds, key, leases } = this.#options;
    if (message.kind !== 'lease-sealed' && message.kind !== 'lease-epoch') return message;
    const cell = leases().cellOf(message.cell)?.id ?? '';
    const name = agentIds[self] ?? '';
    if (message.kind === 'lease-sealed') return signSealed(message, site, cell, name, key);
    // What others said came with their signatures, so the one without is our own word.
    const seals = message.seals.map(({ voter, sealed }) => ({
      voter,
      sealed: sealed.signature === undefined ? signSealed(sealed, site, cell, name, key) : sealed,
    }));
    return { ...message, seals };
  }

  /**
   * A statement that forces an epoch, as a person or a peer brought it: verified against the bundle in force, judged, and
   * with everything filled in that the leases count by; or why not.
   */
  forced(document: Uint8Array): Result<ForcedEpoch, ForcedEpochError> {
    const { leases, bundle, epochHash } = this.#options;
    const { site, recoveryKey, cells } = bundle();
    const read = readForcedEpoch(document, recoveryKey);
    if (!read.ok) return read;
    const statement = read.value;
    const cell = leases().cells.find(({ id }) => id === statement.cell);
    const voters = cell?.voterNames ?? [];
    const next = cells.find(({ id }) => id === statement.cell);
    const why = judgeForcedEpoch(statement, { site, epoch: cell?.epoch, voters, next });
    const successor = epochHash(statement.cell);
    if (why !== undefined) return err(why);
    if (cell === undefined || successor === undefined) {
      return err({ reason: 'no-such-cell', text: `cell ${statement.cell} is none of this box` });
    }
    return ok({
      kind: 'lease-forced',
      cell: cell.stamp,
      epoch: statement.epoch,
      successor,
      poweredOff: statement.poweredOff.map((name) => voters.indexOf(name)),
      document: Buffer.from(document).toString('utf8'),
    });
  }

  /** Undefined: not to be believed. */
  checked(input: Input): Input | undefined {
    if (input.kind !== 'message-received') return input;
    const { message, from } = input;
    if (message.kind === 'lease-forced') {
      const forced = this.forced(Buffer.from(message.document, 'utf8'));
      if (forced.ok && forced.value.cell === message.cell) return { ...input, message: forced.value };
      // One that merely comes too early or too late is nobody's fault.
      if (!forced.ok && isForgery.has(forced.error.reason)) this.#options.forged(from);
      return undefined;
    }
    if (message.kind !== 'lease-sealed' && message.kind !== 'lease-epoch') return input;
    const { site, agentIds, keyOf, leases, forged } = this.#options;
    const cell = leases().cellOf(message.cell)?.id ?? '';
    if (message.kind === 'lease-sealed') {
      const name = agentIds[from] ?? '';
      if (verifySealed(message, site, cell, name, keyOf(name))) return input;
      forged(from);
      return undefined;
    }
    // Of an epoch that is not spoken here nothing is believed anyway.
    const voters = leases().votersOf(message.cell, message.epoch);
    if (voters === undefined) return input;
    const verified = verifiedCertificate(message, site, cell, (position) => {
      const name = agentIds[voters[position] ?? -1];
      return name === undefined ? undefined : { name, key: keyOf(name) };
    });
    if (verified.seals.length < message.seals.length) forged(from);
    return { ...input, message: verified };
  }
}

const isForgery: ReadonlySet<ForcedEpochError['reason']> = new Set([
  'too-large',
  'not-a-statement',
  'wrong-signature',
  'wrong-shape',
  'wrong-site',
  'no-voter',
  'too-few',
]);
