import type { AgentIndex, CheckIndex } from '../../base/ids.ts';
import type { CheckStatus } from './check.ts';
import type { HealthDigest } from './digest.ts';

/** Enough for every check of a large box; a digest that claims more is not one of ours. */
const maxChecks = 4_096;

/** What is known of a check that somebody else judges. */
export interface RemoteStatus {
  readonly status: CheckStatus;
  readonly by: AgentIndex | undefined;
  readonly why: string | undefined;
}

const rank: Readonly<Record<CheckStatus, number>> = { crit: 3, warn: 2, ok: 1, unknown: 0 };

/**
 * What others say of themselves, last writer wins by (boot counter, sequence). Best effort: gossip may be late or
 * lost, and the word of somebody who may be dead is no word: unknown.
 *
 * Several agents may judge the same check for a moment while work moves; the worst that a living one says counts, since
 * the newcomer starts from "good".
 */
export class DigestView {
  readonly #digests = new Map<AgentIndex, HealthDigest>();
  readonly #judges = new Map<CheckIndex, Set<AgentIndex>>();
  readonly #agents: number;
  readonly #checks: number;

  /** Sizes of the plan; what lies outside is refused. */
  constructor(agents: number, checks: number) {
    this.#agents = agents;
    this.#checks = checks;
  }

  of(agent: AgentIndex): HealthDigest | undefined {
    return this.#digests.get(agent);
  }

  /** Takes the digest if it is newer; appends the checks whose remote status may have changed. False when it is not. */
  receive(digest: HealthDigest, affected: Set<CheckIndex>): boolean {
    if (!(digest.agent >= 0 && digest.agent < this.#agents)) return false;
    if (digest.checks.length > maxChecks || digest.judges.length > maxChecks) return false;
    const last = this.#digests.get(digest.agent);
    if (last !== undefined) {
      if (digest.bootCounter < last.bootCounter) return false;
      if (digest.bootCounter === last.bootCounter && digest.sequence <= last.sequence) return false;
      for (const check of last.judges) {
        this.#judges.get(check)?.delete(digest.agent);
        affected.add(check);
      }
    }
    this.#digests.set(digest.agent, digest);
    for (const check of digest.judges) {
      if (!(check >= 0 && check < this.#checks)) continue;
      let judges = this.#judges.get(check);
      if (judges === undefined) this.#judges.set(check, (judges = new Set()));
      judges.add(digest.agent);
      affected.add(check);
    }
    return true;
  }

  /** Appends what this agent judges: its word may have gained or lost its worth. */
  affectedBy(agent: AgentIndex, affected: Set<CheckIndex>): void {
    for (const check of this.#digests.get(agent)?.judges ?? []) affected.add(check);
  }

  status(check: CheckIndex, alive: (agent: AgentIndex) => boolean): RemoteStatus {
    const judges = this.#judges.get(check);
    if (judges === undefined || judges.size === 0) {
      return { status: 'unknown', by: undefined, why: 'nobody judges it yet' };
    }
    let best: RemoteStatus | undefined;
    let doubted: AgentIndex | undefined;
    for (const agent of [...judges].sort((a, b) => a - b)) {
      if (!alive(agent)) {
        doubted = agent;
        continue;
      }
      const said = this.#digests.get(agent)?.checks.find((entry) => entry.check === check)?.status ?? 'ok';
      if (best === undefined || rank[said] > rank[best.status]) best = { status: said, by: agent, why: undefined };
    }
    return best ?? { status: 'unknown', by: doubted, why: 'the agent that judges it is not known to live' };
  }
}
