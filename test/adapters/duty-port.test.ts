import { describe, expect, test } from 'vitest';
import { createDutyPort } from '../../agent/adapters/duty-port.ts';
import type { DutyRunner } from '../../agent/adapters/duty-runners/runner.ts';
import { createWatchRunner } from '../../agent/adapters/duty-runners/watch.ts';
import type { SitePlan } from '../../agent/core/site-plan.ts';
import { eventually } from '../support/eventually.ts';
import { dutyOf, Inbox, silent } from './duty-runners/doubles.ts';

function portWith() {
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
