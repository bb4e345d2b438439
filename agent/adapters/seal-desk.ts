import type { KeyObject } from 'node:crypto';
import type { AgentId, AgentIndex } from '../base/ids.ts';
import type { DirectMessage, Input } from '../core/input.ts';
import type { Leases } from '../core/leases/leases.ts';
import { signSealed, verifiedCertificate, verifySealed } from '../wire/lease.ts';

export interface SealDeskOptions {
  readonly site: string;
  readonly self: AgentIndex;
  readonly agentIds: readonly AgentId[];
  readonly key: KeyObject;
  readonly keyOf: (name: string) => KeyObject | undefined;
  readonly leases: () => Leases;
  /** A seal that its voter did not sign. */
  readonly forged: (from: AgentIndex) => void;
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

  /** Undefined: not to be believed. */
  checked(input: Input): Input | undefined {
    if (input.kind !== 'message-received') return input;
    const { message, from } = input;
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
