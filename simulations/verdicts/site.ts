import type { Random } from '../../agent/base/random.ts';
import type { MembershipOptions } from '../../agent/core/membership/options.ts';
import type { SitePlan } from '../../agent/core/site-plan.ts';
import { sitePlan } from '../world/plan.ts';

/** Boxes behind one switch. */
export const perSwitch = 5;

export const switchOf = (agent: number): string => `switch-${Math.floor(agent / perSwitch)}`;

/** A site without duties: boxes behind switches of five, as a hall's cabinets are. */
export function hall(agents: number, random: Random, membership: Partial<MembershipOptions> = {}): SitePlan {
  const plan = sitePlan({ agents, duties: 0, random, membership });
  return {
    ...plan,
    agents: plan.agents.map((agent) => ({ ...agent, labels: new Map([['location', switchOf(agent.index)]]) })),
  };
}
