import { AgentCore, type AgentCoreOptions } from '../../agent/core/agent-core.ts';
import { Membership } from '../../agent/core/membership/membership.ts';
import type { MembershipOptions } from '../../agent/core/membership/options.ts';

/** A mistake in the membership, to be planted. Without any of these it is the product as it ships. */
export interface MembershipPlant {
  /** Takes the place of the shipped one. */
  readonly kind?: typeof Membership;
  /** Knobs that turn a safeguard off; the site's plan, and so what is promised, stays as it is. */
  readonly options?: Partial<MembershipOptions>;
  /** What a process takes for its own past. */
  readonly recalls?: (parts: AgentCoreOptions) => AgentCoreOptions;
}

/** An agent with a mistake in its membership; everything else of it is the product as it ships. */
export class PlantedCore extends AgentCore {
  constructor(given: AgentCoreOptions, { kind = Membership, options, recalls }: MembershipPlant) {
    const parts = recalls?.(given) ?? given;
    super(parts);
    const { plan, identity, random, restored } = parts;
    // The same stream of chance as the one that it replaces: a plant without a mistake changes nothing.
    (this as { membership: Membership }).membership = new kind({
      options: { ...plan.membership, ...options },
      self: identity.self,
      size: plan.agents.length,
      random: random.fork('membership'),
      boot: identity.boot,
      bootCounter: identity.bootCounter,
      incarnation: restored.incarnation,
      evidence: true,
    });
  }
}
