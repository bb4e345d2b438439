import type { Brand } from '../../base/brand.ts';
import type { AgentIndex } from '../../base/ids.ts';

/** SHA-256 of the session's secret, 64 hex digits. Whoever shows the secret proves that the session is dead. */
export type SessionId = Brand<string, 'SessionId'>;

/**
 * One life of one agent as a holder of leases, in one cell and one epoch (rule 2). The supervisor draws the secret at
 * each start of the agent and does not tell it, so an agent cannot sign its own death. "Own" always means the same
 * session, never the same agent: what an earlier life had begun may still be on its way.
 */
export interface Session {
  readonly agent: AgentIndex;
  /** The agent's boot counter, rising with every start. */
  readonly boot: number;
  readonly id: SessionId;
}

export const sessionId = (text: string): SessionId => text as SessionId;

/**
 * Which life of a voter speaks. A boot counter that does not exceed what peers remember, or equals it with another
 * nonce, shows a store that was rolled back (rule 5).
 */
export interface VoterLife {
  readonly boot: number;
  /** Drawn at start, 0 … 2^48 − 1. */
  readonly nonce: number;
}

/** True when `heard` proves that `own` started from an older state of its store. */
export const isRolledBack = (own: VoterLife, heard: VoterLife): boolean =>
  heard.boot > own.boot || (heard.boot === own.boot && heard.nonce !== own.nonce);
