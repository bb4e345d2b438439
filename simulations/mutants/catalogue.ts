import { runClaims } from '../duties/claims-world.ts';
import { mutants as leaseMutants, seldomHarmful, toldOnly } from '../leases/mutants.ts';
import { runLeaseSeed } from '../leases/run.ts';
import { leaseScenarios, runLeaseScenario } from '../leases/scenarios.ts';
import { claimMutants } from './claims.ts';
import { membershipMutants } from './membership.ts';
import type { Mutant } from './mutant.ts';
import { permitMutants } from './permits.ts';

/** Of the lease world: found by harm (two at once, a token that went back), not by an odd step on the way to it. */
const leases: Mutant[] = [...leaseMutants].map(([name, plant]) => {
  const story = toldOnly.has(name) ? leaseScenarios.find(({ punishes }) => punishes.includes(name)) : undefined;
  if (story) {
    const trial = (_seed: number, isPlanted: boolean) =>
      (isPlanted ? runLeaseScenario(story, plant) : runLeaseScenario(story)).violations[0];
    return { part: 'leases', name, story: story.name, seeds: 1, trial };
  }
  const onlyHarm = !seldomHarmful.has(name);
  return {
    part: 'leases',
    name,
    seeds: 2_000,
    trial: (seed, isPlanted) =>
      (isPlanted ? runLeaseSeed(seed, plant, plant.bias, onlyHarm) : runLeaseSeed(seed, {}, plant.bias)).violations[0],
  };
});

const permits: Mutant[] = [...permitMutants].map(([name, { plant, trial }]) => ({
  part: 'permits',
  name,
  seeds: 100,
  trial: (seed, isPlanted) => trial(seed, isPlanted ? plant : undefined)[0],
}));

const claims: Mutant[] = [...claimMutants].map(([name, kind]) => ({
  part: 'claims',
  name,
  seeds: 200,
  trial: (seed, isPlanted) => (isPlanted ? runClaims(seed, kind) : runClaims(seed)).violations[0],
}));

const membership: Mutant[] = [...membershipMutants].map(([name, { plant, trial }]) => ({
  part: 'membership',
  name,
  seeds: 100,
  trial: (seed, isPlanted) => trial(seed, isPlanted ? plant : undefined)[0],
}));

/** Everything that is planted, in the order in which it is told. */
export const catalogue: readonly Mutant[] = [...leases, ...permits, ...claims, ...membership];
