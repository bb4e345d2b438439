import { agentId, entryId } from '../../agent/base/ids.ts';
import type { Random } from '../../agent/base/random.ts';
import type { DutySpec } from '../../agent/core/duties/duty.ts';
import { type DutyOptions, dutyDefaults } from '../../agent/core/duties/options.ts';
import { lan, type MembershipOptions } from '../../agent/core/membership/options.ts';
import type { SitePlan } from '../../agent/core/site-plan.ts';

/** Agents of one cell; gossip stays within it, and so do the candidates of a duty. */
const cellSize = 50;

/**
 * A site made up from a seed: agents in cells, and duties that each a handful of them may carry, as boxes beside the
 * same machine would.
 */
export function sitePlan(parts: {
  agents: number;
  duties: number;
  random: Random;
  membership?: Partial<MembershipOptions>;
  dutyOptions?: Partial<DutyOptions>;
}): SitePlan {
  const { agents, random } = parts;
  const duties: DutySpec[] = Array.from({ length: parts.duties }, (_, index) => {
    const cell = Math.floor(random.below(agents) / cellSize);
    const members = Array.from(
      { length: Math.min(cellSize, agents - cell * cellSize) },
      (__, i) => cell * cellSize + i,
    );
    const eligible = random
      .shuffle(members)
      .slice(0, agents <= 5 ? agents : 4 + random.below(5))
      .sort((a, b) => a - b);
    return {
      index,
      id: entryId(`asset-${index}/watch`),
      thing: undefined,
      work: { kind: 'watch', thing: 0 },
      eligible,
      refusedBecause: new Map(),
      weight: new Map(eligible.map((agent) => [agent, random.chance(0.8) ? 1 : 2])),
    };
  });
  return {
    site: 'simulated',
    version: 1,
    hash: 'simulated',
    agents: Array.from({ length: agents }, (_, index) => ({
      index,
      id: agentId(`box-${String(index).padStart(4, '0')}`),
      thing: index,
      cell: `cell-${Math.floor(index / cellSize)}`,
      labels: new Map(),
    })),
    things: Array.from({ length: agents }, (_, index) => ({
      index,
      id: `box-${String(index).padStart(4, '0')}`,
      about: 'a simulated box',
      agent: index,
      state: undefined,
      lockout: undefined,
    })),
    signals: [],
    checks: [],
    models: [],
    conditions: [],
    duties,
    workflows: [],
    alarms: [],
    membership: { ...lan, ...parts.membership },
    dutyOptions: { ...dutyDefaults, ...parts.dutyOptions },
  };
}

export const cellOf = (agent: number): number => Math.floor(agent / cellSize);
