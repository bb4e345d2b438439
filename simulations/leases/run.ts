import { Random } from '../../agent/base/random.ts';
import { drawOptions } from './options.ts';
import type { Plant } from './plant.ts';
import { type LeaseRun, LeaseWorld } from './world.ts';

/** One seed, which draws everything. With a plant, whatever the mistake needs to have a chance is there as well. */
export function runLeaseSeed(
  seed: number,
  plant: Plant = {},
  bias: Plant['bias'] = plant.bias,
  onlyHarm = false,
): LeaseRun {
  const options = drawOptions(new Random(seed, 'lease-options'));
  return new LeaseWorld(seed, bias ? bias(options) : options, plant, onlyHarm).run();
}

export interface LeaseSoak {
  readonly seeds: number;
  readonly events: number;
  readonly failed: readonly LeaseRun[];
  /** Sums over all seeds. */
  readonly counters: ReadonlyMap<string, number>;
}

/** Seeds `from` up to and including `to`; stops after `maxFailed` failures. */
export function soakLeases(
  from: number,
  to: number,
  options: { readonly maxFailed?: number; readonly progress?: (done: number) => void } = {},
): LeaseSoak {
  const failed: LeaseRun[] = [];
  const counters = new Map<string, number>();
  let events = 0;
  let seeds = 0;
  for (let seed = from; seed <= to && failed.length < (options.maxFailed ?? 10); seed++) {
    const run = runLeaseSeed(seed);
    seeds++;
    events += run.events;
    for (const [what, count] of run.counters) counters.set(what, (counters.get(what) ?? 0) + count);
    if (run.violations.length > 0) failed.push(run);
    if (seeds % 100 === 0) options.progress?.(seeds);
  }
  return { seeds, events, failed, counters };
}
