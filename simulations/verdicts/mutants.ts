import type { AgentCoreOptions } from '../../agent/core/agent-core.ts';
import { locationsOf } from '../../agent/core/verdict/location.ts';
import { type VerdictOptions, verdictOptions } from '../../agent/core/verdict/options.ts';
import { Verdict } from '../../agent/core/verdict/verdict.ts';
import { SpiedCore, type Spy } from './run.ts';

/** A core whose verdict lacks a safeguard; the trial must notice each. */
export const verdictMutants = {
  'no verification': { rounds: 1, refuteMs: 0, linkRounds: [1, 1], linkSpanMs: 0 },
  'a path is blamed at once': { linkRounds: [1, 1], linkSpanMs: 0 },
  'silence of a few is silence of all': { cutPeers: 1, cutAfterMs: 0 },
} as const satisfies Readonly<Record<string, Partial<VerdictOptions>>>;

export class MutantCore extends SpiedCore {
  constructor(parts: AgentCoreOptions, spy: Spy, change: Partial<VerdictOptions>) {
    super(parts, spy);
    const { plan, identity } = parts;
    const locations = locationsOf(plan);
    const verdict = new Verdict({
      options: { ...verdictOptions(plan.membership), ...change },
      self: identity.self,
      size: plan.agents.length,
      facts: {
        state: (member) => this.membership.state(member),
        bootOf: (member) => this.membership.bootCounterOf(member),
        aliveCount: () => this.membership.aliveCount,
        locationOf: (member) => locations[member] ?? '',
        hearsDigestsOf: (member) => plan.agents[member]?.cell === plan.agents[identity.self]?.cell,
      },
    });
    (this as { verdict: Verdict }).verdict = verdict;
  }
}
