import { createHash } from 'node:crypto';
import type { AgentId } from '../base/ids.ts';
import { ok, type Result } from '../base/result.ts';
import { decodeArray, encodeArray, peekType, refuse, type WireError } from './codec.ts';

/**
 * The first frame of every direct stream: which words the writer speaks, and which plan its indices belong to. Two
 * agents may run different versions of the site file for a while (a roll-out takes minutes, a box may be off for
 * weeks); their numbers then mean different things, so they are not exchanged:
 *
 * - another protocol version, another site: nothing is taken;
 * - another list of agents: bare probes only (ping, ack, nack without passengers), since member numbers differ;
 * - the same agents, another plan: membership in full, no duties, no digests.
 *
 * `[0, protocol, site, plan 8 bytes, agents 8 bytes]`
 */
export interface Preamble {
  readonly protocol: number;
  readonly site: string;
  /** First 8 bytes of the plan's sha256. */
  readonly plan: Uint8Array;
  /** First 8 bytes of sha256 over the agents' names in order. */
  readonly agents: Uint8Array;
}

/** What may be exchanged with a peer. */
export type Agreement = 'all' | 'membership' | 'probes' | 'nothing';

/** 2: statements about members are signed, tables are compared. */
export const protocolVersion = 2;
export const planStampBytes = 8;
export const preambleType = 0;
const preambleMaxBytes = 512;

export function preamble(site: string, planHash: string, agentIds: readonly AgentId[]): Preamble {
  const agents = createHash('sha256').update(agentIds.join('\n')).digest().subarray(0, planStampBytes);
  return { protocol: protocolVersion, site, plan: planStamp(planHash), agents: Uint8Array.from(agents) };
}

/** The plan's hash (hex sha256) cut to what travels. Any other text is hashed first, so that tests may use names. */
export function planStamp(planHash: string): Uint8Array {
  const hex = /^[0-9a-f]{64}$/.test(planHash) ? planHash : createHash('sha256').update(planHash).digest('hex');
  return Uint8Array.from(Buffer.from(hex.slice(0, planStampBytes * 2), 'hex'));
}

export function encodePreamble(own: Preamble): Uint8Array {
  return encodeArray([preambleType, own.protocol, own.site, own.plan, own.agents]);
}

export function decodePreamble(bytes: Uint8Array): Result<Preamble, WireError> {
  if (peekType(bytes) !== preambleType) return refuse('unknown-type', 'the first frame is no preamble');
  const decoded = decodeArray(bytes, preambleMaxBytes);
  if (!decoded.ok) return decoded;
  const [, protocol, site, plan, agents] = decoded.value;
  if (!Number.isSafeInteger(protocol) || typeof site !== 'string') return refuse('wrong-shape', 'preamble');
  // A later protocol may say more: only the fields that this one knows are read.
  if (!(plan instanceof Uint8Array) || plan.length !== planStampBytes) return refuse('wrong-shape', 'preamble');
  if (!(agents instanceof Uint8Array) || agents.length !== planStampBytes) return refuse('wrong-shape', 'preamble');
  return ok({ protocol: protocol as number, site, plan: Uint8Array.from(plan), agents: Uint8Array.from(agents) });
}

/** What two agents may exchange, and why not more, in words for the log. */
export function agree(own: Preamble, theirs: Preamble): { readonly agreement: Agreement; readonly why: string } {
  if (own.protocol !== theirs.protocol) {
    return { agreement: 'nothing', why: `speaks protocol ${theirs.protocol}, we speak ${own.protocol}` };
  }
  if (own.site !== theirs.site) return { agreement: 'nothing', why: `belongs to site "${theirs.site.slice(0, 64)}"` };
  if (Buffer.compare(own.agents, theirs.agents) !== 0) {
    return { agreement: 'probes', why: 'has a site file with another list of agents: probes only' };
  }
  if (Buffer.compare(own.plan, theirs.plan) !== 0) {
    return { agreement: 'membership', why: 'has another version of the site file: no duties, no digests' };
  }
  return { agreement: 'all', why: 'same site file' };
}
