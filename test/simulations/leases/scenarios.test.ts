import { describe, expect, it } from 'vitest';
import { mutants } from '../../../simulations/leases/mutants.ts';
import { leaseScenarios, runLeaseScenario } from '../../../simulations/leases/scenarios.ts';

describe('killer scenarios of the leases', () => {
  for (const scenario of leaseScenarios) {
    it(`${scenario.name} → nothing is broken`, () => {
      const run = runLeaseScenario(scenario);
      expect(run.violations).toEqual([]);
      expect(scenario.reaches.filter((state) => !run.counters.has(state))).toEqual([]);
    });

    for (const mistake of scenario.punishes) {
      it(`${scenario.name}, with "${mistake}" → broken`, () => {
        const plant = mutants.get(mistake);
        expect(plant).toBeDefined();
        expect(runLeaseScenario(scenario, plant).violations).not.toEqual([]);
      });
    }
  }
});
