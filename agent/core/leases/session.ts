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
 * Which life of a voter speaks. Peers that remember a life which the voter's own store does not know show that the store
 * was rolled back (rule 5).
 */
export interface VoterLife {
  readonly boot: number;
  /** Drawn at start, 0 … 2^48 − 1. */
  readonly nonce: number;
}

export const isSameLife = (a: VoterLife, b: VoterLife): boolean => a.boot === b.boot && a.nonce === b.nonce;

/**
 * The lives of a voter as its own store tells them, this one last. A store that was rolled back and then wrote a life or
 * two of its own reaches the boot counter that peers remember, but not with the lives that they heard.
 */
export interface Lives {
  /** Rising boot counters, `keptLives` at most. */
  readonly lives: readonly VoterLife[];
  /** Lives before this boot were forgotten when the memory was lost, and peers were told: they prove nothing any more. */
  readonly forgottenBelow: number;
}

/** A peer that was away for more lives than this is not believed to be of the same story. */
export const keptLives = 32;

export const withLife = ({ lives, forgottenBelow }: Lives, life: VoterLife, unborn: boolean): Lives =>
  unborn ? { lives: [life], forgottenBelow: life.boot } : { lives: [...lives, life].slice(-keptLives), forgottenBelow };

/** True when `heard` is no life of this story: the store is older than what somebody else remembers of it. */
export const isOfAnotherStory = ({ lives, forgottenBelow }: Lives, heard: VoterLife): boolean =>
  heard.boot >= forgottenBelow && !lives.some((life) => isSameLife(life, heard));
