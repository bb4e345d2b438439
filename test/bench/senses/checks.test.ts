import { expect, test } from 'vitest';
import { measureChecks } from './checks.ts';

test('measured for two seconds: real checks are answered, without a burst', async () => {
  const figures = await measureChecks({ checks: 200, intervalMs: 10_000, measuredMs: 2_000 });
  expect(figures.answered).toBeGreaterThan(20);
  expect(figures.busiestOverMean).toBeLessThanOrEqual(2);
});
