import { describe, expect, it } from 'vitest';
import { measureTakeover } from '../../../simulations/leases/takeover.ts';

describe('takeover of an exclusive duty, T = 2 s, five voters', () => {
  it('box lost → p99 at most 2.5 s, and not before the grant can have ended', () => {
    const takeover = measureTakeover('box', { episodes: 80 });
    expect(takeover.missed).toBe(0);
    expect(takeover.p99Ms).toBeLessThanOrEqual(2500);
    // The holder renewed at most a renewal and its retries before it was lost.
    expect(takeover.p50Ms).toBeGreaterThan(1200);
  });

  it('agent killed, its death certified → p99 at most 0.5 s, and not before the guard has passed', () => {
    const takeover = measureTakeover('agent', { episodes: 80 });
    expect(takeover.missed).toBe(0);
    expect(takeover.p99Ms).toBeLessThanOrEqual(500);
    expect(takeover.p50Ms).toBeGreaterThan(100);
  });

  it('a quarter of all messages lost → nobody is forgotten', () => {
    const takeover = measureTakeover('box', { episodes: 40, loss: 0.25 });
    expect(takeover.missed).toBe(0);
    expect(takeover.p99Ms).toBeLessThanOrEqual(4500);
  });
});
