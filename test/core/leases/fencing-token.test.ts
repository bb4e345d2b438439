import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EffectGate } from '../../../agent/core/leases/effect-gate.ts';
import { ElapsedClock } from '../../../agent/core/leases/elapsed-clock.ts';
import { compareTokens, maxCounter, maxEpoch, parseToken, tokenHex } from '../../../agent/core/leases/fencing-token.ts';
import { sessionId } from '../../../agent/core/leases/session.ts';

const token = fc.record({
  epoch: fc.integer({ min: 0, max: maxEpoch }),
  counter: fc.integer({ min: 1, max: maxCounter }),
});

describe('fencing token', () => {
  it('written and read → the same, in 16 hex digits whose order as text is the order of tokens', () => {
    fc.assert(
      fc.property(token, token, (a, b) => {
        expect(parseToken(tokenHex(a))).toEqual(a);
        expect(tokenHex(a)).toMatch(/^[0-9a-f]{16}$/);
        const asText = tokenHex(a) < tokenHex(b) ? -1 : tokenHex(a) > tokenHex(b) ? 1 : 0;
        expect(Math.sign(compareTokens(a, b))).toBe(asText);
      }),
    );
  });

  it('the largest counter of an epoch → below the first of the next', () => {
    expect(compareTokens({ epoch: 1, counter: maxCounter }, { epoch: 2, counter: 1 })).toBeLessThan(0);
    expect(tokenHex({ epoch: maxEpoch, counter: maxCounter })).toBe('ffffffffffffffff');
  });

  it('anything else → not a token', () => {
    for (const text of [
      '',
      '1',
      '0'.repeat(16),
      'f'.repeat(15),
      'f'.repeat(17),
      'F'.repeat(16),
      '0x00000000000001',
      ' '.repeat(16),
    ])
      expect(parseToken(text)).toBeUndefined();
    fc.assert(fc.property(fc.string(), (text) => parseToken(text) === undefined || /^[0-9a-f]{16}$/.test(text)));
  });
});

describe('effect gate', () => {
  const a = sessionId('a');
  const b = sessionId('b');

  it('a larger token → raises the floor; the same from the same session → accepted', () => {
    const gate = new EffectGate(1);
    expect(gate.judge(0, { epoch: 1, counter: 5 }, a)).toBe('raised');
    expect(gate.judge(0, { epoch: 1, counter: 5 }, a)).toBe('accepted');
    expect(gate.judge(0, { epoch: 2, counter: 1 }, b)).toBe('raised');
  });

  it('a smaller token → older; the same from another session → foreign; neither moves the floor', () => {
    const gate = new EffectGate(1);
    gate.judge(0, { epoch: 1, counter: 5 }, a);
    expect(gate.judge(0, { epoch: 1, counter: 4 }, a)).toBe('older');
    expect(gate.judge(0, { epoch: 1, counter: 5 }, b)).toBe('foreign');
    expect(gate.floor(0)).toEqual({ token: { epoch: 1, counter: 5 }, session: a });
  });

  it('restarted with its floor → still refuses what came before', () => {
    const gate = new EffectGate(2, [{ token: { epoch: 1, counter: 7 }, session: a }]);
    expect(gate.judge(0, { epoch: 1, counter: 6 }, b)).toBe('older');
    expect(gate.judge(1, { epoch: 1, counter: 1 }, b)).toBe('raised');
    gate.raise(1, { epoch: 3, counter: 1 }, a);
    expect(gate.judge(1, { epoch: 2, counter: 9 }, b)).toBe('older');
  });
});

describe('elapsed clock', () => {
  it('suspend with a stopped monotonic clock → uptime counts', () => {
    const clock = new ElapsedClock();
    const start = clock.read(1000, 50_000, 1e12);
    expect(clock.read(1010, 50_000 + 3_600_000, 1e12 - 5000) - start).toBe(3_600_000);
  });

  it('clocks of coarse grain, looked at often → not a millisecond too fast, and a suspend still counts', () => {
    fc.assert(
      fc.property(fc.array(fc.double({ min: 0, max: 12, noNaN: true }), { minLength: 1 }), (steps) => {
        const clock = new ElapsedClock({ uptimeMs: 10, wallMs: 1 });
        let now = 77.25;
        const at = (slept = 0) => [now, Math.floor((now + slept) / 10) * 10, Math.floor(now + slept)] as const;
        const start = clock.read(...at()) - now;
        for (const step of steps) {
          now += step;
          expect(clock.read(...at()) - now).toBeCloseTo(start, 6);
        }
        const woken = clock.read(...at(60_000)) - now - start;
        expect(woken).toBeGreaterThan(60_000 - 21);
        expect(woken).toBeLessThanOrEqual(60_000);
      }),
    );
  });

  it('never less than any of the three says, and never back', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(5000), fc.nat(5000), fc.integer({ min: -9000, max: 9000 }))), (steps) => {
        const clock = new ElapsedClock();
        let [mono, up, wall] = [0, 0, 0];
        const start = clock.read(mono, up, wall);
        let last = start;
        for (const [m, u, w] of steps) {
          mono += m;
          up += u;
          wall += w;
          const peeked = clock.peek(mono, up, wall);
          const now = clock.read(mono, up, wall);
          expect(peeked).toBe(now);
          expect(now).toBeGreaterThanOrEqual(last);
          expect(now - start).toBeGreaterThanOrEqual(Math.max(mono, up, wall));
          last = now;
        }
      }),
    );
  });
});
