import { hashUnit } from '../../base/hash.ts';
import type { AgentId, AgentIndex } from '../../base/ids.ts';
import type { AgentPlace, DutySpec } from './duty.ts';

/**
 * Weighted rendezvous hashing (Thaler, Ravishankar 1998; weights by Schindelhauer, Schomaker 2005): every agent scores
 * each duty as −w/ln(u) with u in (0, 1] from the hash of both names, and the largest score wins. All agents compute the
 * same order without a word, and when one of them goes, only its own duties move.
 *
 * Placement says who tries first, never who may: views differ, and a rank only delays.
 */
export const rendezvousScore = (duty: string, agent: string, weight: number): number => {
  const u = hashUnit(`${duty}\u0000${agent}`);
  return u >= 1 ? Number.MAX_VALUE : -weight / Math.log(u);
};

export interface Candidate {
  readonly agent: AgentIndex;
  readonly score: number;
}

/** The eligible agents of one duty, best first, each one's place, and the same agents by number. */
export interface StaticOrder {
  readonly candidates: readonly Candidate[];
  readonly byNumber: readonly AgentIndex[];
  readonly place: ReadonlyMap<AgentIndex, number>;
}

/**
 * The eligible agents of a duty, best first, ties by id: the *static* order. It depends on the site file alone, so two
 * runners that hear each other agree on who stays. (With the holder's bonus in it each would think the other better.)
 * A witness votes and carries nothing, whatever the duty says.
 */
export function staticOrder(duty: DutySpec, agents: readonly AgentPlace[]): readonly Candidate[] {
  const candidates = duty.eligible
    .filter((agent) => agents[agent]?.role !== 'witness')
    .map((agent) => ({
      agent,
      score: rendezvousScore(duty.id, agents[agent]?.id ?? String(agent), duty.weight.get(agent) ?? 1),
    }));
  return candidates.sort((a, b) => b.score - a.score || compareIds(agents, a.agent, b.agent));
}

/** The order is a function of the plan: agents that share a plan in one process (the simulator's) share it too. */
const orders = new WeakMap<DutySpec, { readonly agents: readonly AgentPlace[]; readonly order: StaticOrder }>();

export function orderOf(duty: DutySpec, agents: readonly AgentPlace[]): StaticOrder {
  const known = orders.get(duty);
  if (known?.agents === agents) return known.order;
  const candidates = staticOrder(duty, agents);
  const order = {
    candidates,
    byNumber: candidates.map(({ agent }) => agent).sort((a, b) => a - b),
    place: new Map(candidates.map(({ agent }, at) => [agent, at])),
  };
  orders.set(duty, { agents, order });
  return order;
}

function compareIds(agents: readonly { readonly id: AgentId }[], a: AgentIndex, b: AgentIndex): number {
  const idA = agents[a]?.id ?? '';
  const idB = agents[b]?.id ?? '';
  return idA < idB ? -1 : idA > idB ? 1 : a - b;
}

/** What is known of a candidate right now. */
export interface Standing {
  /** False has no rank: dead, left, drains, at its capacity. */
  readonly usable: boolean;
  /** Last resort: just returned, or could not run it lately. Ranks behind all others. */
  readonly held: boolean;
  readonly holder: boolean;
  readonly reason: string;
}

export interface Ranked extends Candidate {
  /** 0 tries first; undefined when it cannot be considered at all. */
  readonly rank: number | undefined;
  readonly eligible: boolean;
  readonly reason: string;
}

/**
 * The order in which the eligible try: usable ones by score, the holder's times the bonus (a better one must be clearly
 * better before work moves), then those on hold.
 */
export function rank(
  order: readonly Candidate[],
  holderBonus: number,
  standing: (agent: AgentIndex) => Standing,
): readonly Ranked[] {
  const judged = order.map((candidate, at) => {
    const { usable, held, holder, reason } = standing(candidate.agent);
    return {
      agent: candidate.agent,
      score: holder ? candidate.score * holderBonus : candidate.score,
      usable,
      held,
      reason,
      at,
    };
  });
  judged.sort(
    (a, b) =>
      Number(b.usable) - Number(a.usable) || Number(a.held) - Number(b.held) || b.score - a.score || a.at - b.at,
  );
  return judged.map(({ agent, score, usable, reason }, at) => ({
    agent,
    score,
    rank: usable ? at : undefined,
    eligible: true,
    reason,
  }));
}
