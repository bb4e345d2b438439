import { expect, test } from 'vitest';
import { runScenario } from '../../../simulations/run.ts';

test.each(Array.from({ length: 12 }, (_, i) => i + 1))(
  'half of 80 agents lose power and come back, seed %i → every promise is kept',
  { timeout: 60_000 },
  (seed) => {
    const { violations, detection } = runScenario({ scenario: 'half-vanishes', agents: 80, seed });
    expect(violations, `millwright simulate --scenario half-vanishes --agents 80 --seed ${seed}`).toEqual([]);
    expect(detection.count).toBe(40);
  },
);
