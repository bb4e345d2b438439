import { describe, expect, test } from 'vitest';
import { createDutyPort } from '../../agent/adapters/duty-port.ts';
import type { DutyRunner } from '../../agent/adapters/duty-runners/runner.ts';
import { createWatchRunner } from '../../agent/adapters/duty-runners/watch.ts';
import { instant } from '../../agent/base/time.ts';
import type { SitePlan } from '../../agent/core/site-plan.ts';
import { eventually } from '../support/eventually.ts';
import { dutyOf, Inbox, silent } from './duty-runners/doubles.ts';

const fence = (token: string) => ({ lease: 'duty:a/b', token, session: 's', until: instant(0) });

function portWith(change: Partial<DutyRunner> = {}) {
  const inbox = new Inbox();
  const calls: string[] = [];
  const releases: (() => void)[] = [];
  const slow: DutyRunner = {
    start: (duty, term) => calls.push(`start ${duty.index} ${term}`),
    stop: (duty) => {
      calls.push(`stop ${duty}`);
      return new Promise((resolve) => releases.push(resolve));
    },
    stopAll: async () => {
      calls.push('stop all');
    },
    ...change,
  };
  const duties = [dutyOf({ kind: 'poll', source: 0 }, 0), dutyOf({ kind: 'watch', thing: 1 }, 1)];
  const port = createDutyPort({
    site: { plan: { duties } as unknown as SitePlan },
    runners: {
      poll: slow,
      process: slow,
      schedule: slow,
      upload: slow,
      watch: createWatchRunner({ deliver: inbox.deliver }),
    },
    deliver: inbox.deliver,
    log: silent,
  });
  return { port, inbox, calls, releases };
}

describe('duty port', () => {
  test('duty of each kind → its own runner', () => {
    const { port, inbox, calls } = portWith();
    port.start(0, 4, undefined);
    port.start(1, 1, undefined);
    expect(calls).toEqual(['start 0 4']);
    expect(inbox.of('duty-started')).toEqual([{ kind: 'duty-started', duty: 1 }]);
  });

  test('start while the stop is under way → after it, and stopped is said in between', async () => {
    const { port, inbox, calls, releases } = portWith();
    port.start(0, 1, undefined);
    port.stop(0);
    port.start(0, 2, undefined);
    expect(calls).toEqual(['start 0 1', 'stop 0']);
    releases[0]?.();
    await eventually(() => calls.length === 3);
    expect(calls[2]).toBe('start 0 2');
    expect(inbox.of('duty-stopped')).toHaveLength(1);
  });

  test('an exclusive duty → its right goes with the start; extensions reach what runs, or what waits to', async () => {
    const rights: string[] = [];
    const { port, releases } = portWith({
      start: (_duty, _term, _checkpoint, fence) => rights.push(`start ${fence?.token}`),
      extend: (_duty, fence) => rights.push(`extend ${fence.token}`),
    });
    port.start(0, 1, undefined, fence('1'));
    port.extend?.(0, fence('2'));
    port.stop(0);
    port.extend?.(0, fence('3'));
    port.start(0, 2, undefined, fence('4'));
    port.extend?.(0, fence('5'));
    releases[0]?.();
    await eventually(() => rights.length === 3);
    expect(rights).toEqual(['start 1', 'extend 2', 'start 5']);
  });

  test('its right ends while it is being stopped gently → the runner is told at once, and answers once', async () => {
    const stops: unknown[] = [];
    const { port, inbox, releases } = portWith({
      stop: (_duty, atOnce) => {
        stops.push(atOnce);
        return new Promise((resolve) => releases.push(resolve));
      },
    });
    port.start(0, 1, undefined, fence('1'));
    port.stop(0);
    port.stop(0, true);
    expect(stops).toEqual([undefined, true]);
    for (const release of releases) release();
    await eventually(() => inbox.of('duty-stopped').length > 0);
    expect(inbox.of('duty-stopped')).toHaveLength(1);
  });

  test('start taken back by another stop → never started', async () => {
    const { port, inbox, calls, releases } = portWith();
    port.start(0, 1, undefined);
    port.stop(0);
    port.start(0, 2, undefined);
    port.stop(0);
    releases[0]?.();
    await eventually(() => inbox.of('duty-stopped').length === 1);
    expect(calls).toEqual(['start 0 1', 'stop 0']);
  });

  test('duty that the site does not have → failed and stopped, said as data', () => {
    const { port, inbox } = portWith();
    port.start(9, 1, undefined);
    port.stop(9);
    expect(inbox.inputs.map((input) => input.kind)).toEqual(['duty-failed', 'duty-stopped']);
  });
});
