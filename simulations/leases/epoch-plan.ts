import type { Random } from '../../agent/base/random.ts';
import { bundleHash } from '../../agent/core/leases/ballot.ts';
import type { EpochSpec } from '../../agent/core/leases/epoch.ts';
import type { LeaseWorldOptions } from './options.ts';

export interface EpochPlan {
  /** By epoch: the bundles that may follow; more than one are rivals. */
  readonly chain: EpochSpec[][];
  /** When the first successor reaches whom. */
  readonly offers: readonly { readonly at: number; readonly agent: number; readonly spec: EpochSpec }[];
}

/** Draws which voters and which T follow the founding epoch, and who hears of it when. */
export function planEpochs(options: LeaseWorldOptions, random: Random, founding: EpochSpec): EpochPlan {
  const { agents, successors, rivals, leftBehind, faultPhaseMs } = options;
  const chain: EpochSpec[][] = [[founding]];
  const offers: { at: number; agent: number; spec: EpochSpec }[] = [];
  let parent = founding;
  for (let i = 0; i < successors; i++) {
    const sizes = [1, 3, 5].filter((size) => size <= agents);
    const make = (name: string): EpochSpec => {
      const order = random.shuffle(Array.from({ length: agents }, (_, agent) => agent));
      const size = sizes[random.below(sizes.length)]!;
      return {
        epoch: parent.epoch + 1,
        hash: bundleHash(name),
        parent: parent.hash,
        voters: order.slice(0, size),
        leaseMs: random.chance(0.3) ? 1400 : random.chance(0.3) ? 2600 : options.leaseMs,
        revoked: random.chance(0.15) ? [parent.voters[random.below(parent.voters.length)]!] : [],
      };
    };
    const specs = [make(`e${i + 2}`)];
    if (rivals && random.chance(0.6)) specs.push(make(`e${i + 2}-rival`));
    chain.push(specs);
    if (i === 0) {
      const from = random.between(1500, faultPhaseMs * 0.6);
      for (let agent = 0; agent < agents; agent++) {
        const spec = specs[random.below(specs.length)]!;
        const at = random.chance(leftBehind) ? faultPhaseMs + 100 : from + random.between(0, 2500);
        offers.push({ at, agent, spec });
      }
    }
    parent = specs[0]!;
  }
  return { chain, offers };
}
