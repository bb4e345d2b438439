import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Clocks, ElapsedTime, monotonic, readClocks, stampOf } from '../../agent/supervisor/elapsed.ts';

/** Clocks at true time `ms`, with the grain that the kernel gives them. */
const at = (ms: number, more: { slept?: number; wall?: number; delay?: number } = {}): Clocks => ({
  before: ms,
  after: ms + (more.delay ?? 0),
  uptime: Math.floor((ms + (more.slept ?? 0)) / 10) * 10,
  wall: Math.floor(ms + 1e12 + (more.slept ?? 0) + (more.wall ?? 0)),
});

describe('elapsed time of a right to run', () => {
  it('read every millisecond, clocks of coarse grain, reader put aside now and then → not a millisecond too fast', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.record({ step: fc.double({ min: 0, max: 30, noNaN: true }), delay: fc.constantFrom(0, 0, 0.3, 40) }),
        ),
        (looks) => {
          let now = 1_234.5;
          const elapsed = new ElapsedTime(at(now));
          for (const { step, delay } of looks) {
            now += step;
            expect(elapsed.read(at(now, { delay }))).toBeCloseTo(now + delay, 6);
            now += delay;
          }
        },
      ),
    );
  });

  it.each([
    ['suspend: monotonic stood still for an hour', { slept: 3_600_000 }, 3_600_000],
    ['wall set forward by 6 s', { wall: 6_000 }, 6_000],
    ['wall set back by 6 s', { wall: -6_000 }, 0],
    ['suspend while the wall clock was set back', { slept: 10_000, wall: -60_000 }, 10_000],
  ])('%s', (_, jump, passed) => {
    const elapsed = new ElapsedTime(at(1_000));
    elapsed.read(at(1_500));
    const counted = elapsed.read(at(2_000, jump)) - 2_000;
    expect(counted).toBeGreaterThan(passed - 25);
    expect(counted).toBeLessThanOrEqual(passed);
    // And no more of it later.
    expect(elapsed.read(at(2_100, jump)) - 2_100).toBeCloseTo(counted, 6);
  });

  it('wall clock set back and forth again → each step forward counts', () => {
    const elapsed = new ElapsedTime(at(0));
    elapsed.read(at(10, { wall: -6_000 }));
    expect(elapsed.read(at(20, { wall: 0 })) - 20).toBeGreaterThan(5_990);
  });

  it('no procfs → two clocks remain', () => {
    const without = { ...at(0), uptime: undefined };
    const elapsed = new ElapsedTime(without);
    expect(elapsed.read({ ...at(5), uptime: undefined })).toBe(5);
  });

  it('an instant from before a sleep → shortened by it; from an instant ago → as it is', () => {
    const elapsed = new ElapsedTime(at(0));
    const stamp = stampOf(at(100));
    expect(elapsed.deadline(2_000, stamp, at(101))).toBeCloseTo(2_000, 6);
    const after = at(102, { slept: 60_000 });
    const deadline = elapsed.deadline(2_000, stamp, after);
    expect(deadline - elapsed.read(after)).toBeLessThan(2_000 - 102 - 59_900);
  });

  it('the real clocks of this box → agree with the monotonic one over a hundred looks', () => {
    const elapsed = new ElapsedTime(readClocks());
    let last = 0;
    for (let i = 0; i < 100; i++) last = elapsed.read(readClocks()) - monotonic();
    expect(Math.abs(last)).toBeLessThan(5);
  });
});
