import fc from 'fast-check';
import { expect, test } from 'vitest';
import { instant } from '../../../agent/base/time.ts';
import type { Dwell } from '../../../agent/core/health/check.ts';
import { DwellLatch } from '../../../agent/core/health/dwell.ts';

const dwell = fc.oneof(
  fc.record({ kind: fc.constant('count' as const), n: fc.integer({ min: 1, max: 4 }) }),
  fc
    .tuple(fc.integer({ min: 1, max: 4 }), fc.integer({ min: 0, max: 3 }))
    .map(([k, more]) => ({ kind: 'of' as const, k, n: k + more })),
  fc.record({ kind: fc.constant('time' as const), ms: fc.integer({ min: 0, max: 500 }) }),
);

const reading = fc.record({
  afterMs: fc.integer({ min: 0, max: 300 }),
  bad: fc.constantFrom<boolean | undefined>(true, false, undefined),
});

test('latch: never active without a bad reading, never cleared without a good one, unknown changes nothing', () => {
  fc.assert(
    fc.property(dwell, dwell, fc.array(reading, { maxLength: 40 }), (raise: Dwell, clear: Dwell, readings) => {
      const latch = new DwellLatch(raise, clear);
      let now = 0;
      let bads = 0;
      let goods = 0;
      for (const { afterMs, bad } of readings) {
        now += afterMs;
        const ticked = latch.active;
        latch.tick(instant(now));
        if (latch.active !== ticked) {
          expect(latch.active ? bads : goods).toBeGreaterThan(0);
          bads = goods = 0;
        }
        const was = latch.active;
        if (bad === true) bads++;
        if (bad === false) goods++;
        latch.observe(instant(now), bad);
        if (bad === undefined) expect(latch.active).toBe(was);
        if (latch.active === was) continue;
        expect(latch.active ? bads : goods).toBeGreaterThan(0);
        if (latch.active) expect(latch.firstBadAt).toBeLessThanOrEqual(now);
        bads = goods = 0;
      }
    }),
    { numRuns: 2_000, seed: 5 },
  );
});

test('time dwell: unknown stretches do not count towards it', () => {
  const latch = new DwellLatch({ kind: 'time', ms: 1_000 }, { kind: 'count', n: 1 });
  latch.observe(instant(0), true);
  latch.observe(instant(600), undefined);
  latch.observe(instant(10_000), true);
  expect(latch.active).toBe(false);
  expect(latch.deadline).toBe(10_400);
  latch.tick(instant(10_400));
  expect(latch.active).toBe(true);
  expect(latch.firstBadAt).toBe(0);
});

test('time dwell: one good reading starts it over', () => {
  const latch = new DwellLatch({ kind: 'time', ms: 1_000 }, { kind: 'count', n: 1 });
  latch.observe(instant(0), true);
  latch.observe(instant(900), false);
  latch.observe(instant(950), true);
  expect(latch.deadline).toBe(1_950);
  expect(latch.firstBadAt).toBe(950);
});
