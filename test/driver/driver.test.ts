import { describe, expect, it } from 'vitest';
import { type Instant, instant } from '../../agent/base/time.ts';
import type { Effect } from '../../agent/core/effect.ts';
import type { Input } from '../../agent/core/input.ts';
import { Driver } from '../../agent/driver/driver.ts';
import type { Ports } from '../../agent/driver/ports.ts';

/** A core that wants to be woken when the test says so, and remembers what it was told. */
class Sleeper {
  wants: Instant = instant(1_000);
  readonly lateMs: number[] = [];
  step(_now: Instant, input: Input): readonly Effect[] {
    if (input.kind === 'ticked') this.lateMs.push(input.lateMs);
    return [];
  }
  deadline(): Instant {
    return this.wants;
  }
}

function drive() {
  const core = new Sleeper();
  const clock = { at: instant(0), armed: [] as Instant[] };
  const ports = {
    clock: { now: () => clock.at, wall: () => 0, arm: (at: Instant) => clock.armed.push(at) },
  } as unknown as Ports;
  const driver = new Driver(core, ports);
  const deliverAt = (at: number) => {
    clock.at = instant(at);
    driver.deliver({ kind: 'peer-connected', peer: 1 });
  };
  const wakeAt = (at: number) => {
    clock.at = instant(at);
    driver.wake();
  };
  return { core, clock, deliverAt, wakeAt };
}

describe('driver: how late a timer came', () => {
  it('a deadline in the future, woken 300 ms after it → 300 ms late', () => {
    const { core, deliverAt, wakeAt } = drive();
    deliverAt(900);
    wakeAt(1_300);
    expect(core.lateMs).toEqual([300]);
  });

  it('a deadline that a step moved into the past, woken at once → not late: the loop did not stall', () => {
    const { core, deliverAt, wakeAt } = drive();
    core.wants = instant(5_000);
    deliverAt(1_900);
    core.wants = instant(1_000);
    deliverAt(2_000);
    wakeAt(2_001);
    expect(core.lateMs).toEqual([1]);
  });
});
