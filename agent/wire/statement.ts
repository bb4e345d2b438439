import { type KeyObject, sign, verify } from 'node:crypto';
import type { AgentId } from '../base/ids.ts';
import type { MemberUpdate } from '../core/membership/member.ts';
import type { Voucher } from '../core/membership/statements.ts';

export interface VoucherOptions {
  readonly site: string;
  /** Names by index; signatures speak of names, so that they outlive a new numbering. */
  readonly agentIds: readonly AgentId[];
  /** Our own Ed25519 key. */
  readonly key: KeyObject;
  /** The key of an agent by the roster of this moment; undefined for one that does not belong, or no longer. */
  readonly keyOf: (agent: AgentId) => KeyObject | undefined;
}

/**
 * Signs and verifies what is said of members with Ed25519 (RFC 8032): over `millwright statement 1`, the site, and the
 * statement with names for numbers. About 0.03 ms for a signature and 0.1 ms to check one.
 */
export function ed25519Voucher({ site, agentIds, key, keyOf }: VoucherOptions): Voucher {
  const bytes = (update: MemberUpdate): Uint8Array | undefined => {
    const [member, origin] = [agentIds[update.member], agentIds[update.origin]];
    if (member === undefined || origin === undefined) return undefined;
    const { state, bootCounter, incarnation } = update;
    return Buffer.from(
      `millwright statement 1\n${JSON.stringify([site, member, state, bootCounter, incarnation, origin])}`,
      'utf8',
    );
  };
  return {
    sign(update) {
      const text = bytes(update);
      // A statement about nobody is never made; an empty signature is believed by nobody.
      return text === undefined ? new Uint8Array(64) : Uint8Array.from(sign(null, text, key));
    },
    verify(update) {
      const text = bytes(update);
      const origin = agentIds[update.origin];
      const known = origin === undefined ? undefined : keyOf(origin);
      if (text === undefined || known === undefined || update.signature === undefined) return false;
      return verify(null, text, known, update.signature);
    },
  };
}
