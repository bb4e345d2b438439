import { expect, test } from 'vitest';
import { judge } from './limits.ts';
import { benchScore } from './score.ts';

test('one window scored, ours and bare in turns → both have figures of the same size', async () => {
  const figures = await benchScore(1, 100);
  expect(figures.window).toBe('64×8');
  expect(figures.p50Ms).toBeGreaterThan(0);
  expect(figures.bareP50Ms).toBeGreaterThan(0);
  // Loose: this is about the measurement, and tests run beside others.
  expect(figures.ratioP50).toBeGreaterThan(0.5);
  expect(figures.ratioP50).toBeLessThan(3);
});

test('figures beyond their limit, and models that never scored → each a miss of its own', () => {
  const tags = {
    protocol: 'modbus',
    tags: 500,
    models: 50,
    seconds: 60,
    idle: { cpuPercent: 0.3, pssMb: 65 },
    busy: { cpuPercent: 6, pssMb: 130 },
    addedCpuPercent: 5.7,
    addedPssMb: 65,
    scoring: 49,
  };
  const missed = judge({ score: undefined, tags: [tags], checks: undefined }).filter(({ ok }) => !ok);
  expect(missed.map(({ measured, limit }) => [measured, limit])).toEqual([
    [1, 0],
    [65, 60],
  ]);
});
