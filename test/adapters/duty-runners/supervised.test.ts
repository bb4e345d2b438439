import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createSupervisedRunner } from '../../../agent/adapters/duty-runners/supervised.ts';
import type { Gate } from '../../../agent/adapters/gateway/claims.ts';
import { openGateway } from '../../../agent/adapters/gateway/gateway.ts';
import type { SupervisedDuty, SupervisorClient } from '../../../agent/adapters/supervisor/supervisor-client.ts';
import { instant, wallTime } from '../../../agent/base/time.ts';
import type { Fence } from '../../../agent/core/duties/exclusive-duties.ts';
import type { SitePlan } from '../../../agent/core/site-plan.ts';
import { cellPlan, dutyLease } from '../../core/leases/lease-crew.ts';
import { Inbox, processDuty, silent, temporaryFolder } from './doubles.ts';

const session = 'ab'.repeat(32);
const duty = { ...processDuty(['/bin/true']), exclusive: true };
const { id } = duty;

/** The runner with a supervisor that only writes down what it is asked; the real one is met in the integration tests. */
function runnerWith(options: { cell?: string; gate?: Gate } = {}) {
  const inbox = new Inbox();
  const starts: SupervisedDuty[] = [];
  const asked: string[] = [];
  const supervisor: SupervisorClient = {
    session: () => true,
    targets: () => true,
    start: (order) => starts.push(order) > 0,
    extend: (name) => asked.push(`extend ${name}`) > 0,
    stop: (name) => asked.push(`stop ${name}`) > 0,
    beat: () => true,
    counts: { garbage: 0, refused: 0 },
    close() {},
  };
  const cells = [cellPlan({ id: options.cell ?? 'line', leases: [dutyLease(id, [0])] })];
  const plan = { duties: [duty], cells } as unknown as SitePlan;
  const runner = createSupervisedRunner({
    agent: 'box-1',
    dataDir: temporaryFolder(),
    plan,
    supervisor,
    deliver: inbox.deliver,
    clock: { wall: () => wallTime(0) },
    boxTime: (until) => until,
    log: silent,
    gate: options.gate,
  });
  return { runner, inbox, starts, asked };
}

const fence = (until: number, token = '0001000000000007'): Fence => ({
  lease: `duty:${id}`,
  token,
  session,
  until: instant(until),
});

const settled = () => new Promise((resolve) => setImmediate(resolve));

describe('an exclusive program under the box supervisor', () => {
  it('started → in the cell and epoch of its session, whatever cell the site file names by now', () => {
    const { runner, starts } = runnerWith({ cell: 'moved-there' });
    runner.said({ is: 'session', cell: 'line', epoch: 1, id: session });
    runner.start(duty, 7, undefined, fence(2_000));
    expect(starts).toMatchObject([{ duty: id, cell: 'line', epoch: 1, until: 2_000 }]);
  });

  it('started under a session that the supervisor never drew → not started, and said so', async () => {
    const { runner, inbox, starts } = runnerWith();
    runner.start(duty, 7, undefined, fence(2_000));
    await settled();
    expect(starts).toEqual([]);
    expect(inbox.of('duty-failed')).toMatchObject([{ duty: 0, reason: expect.stringContaining('session') }]);
  });

  it('a start under a right that has a successor on this box → refused before the supervisor hears of it', async () => {
    const dir = temporaryFolder();
    const next = openGateway({ dir });
    const gate = openGateway({ dir });
    onTestFinished(() => {
      next.close();
      gate.close();
    });
    const { runner, inbox, starts } = runnerWith({ gate });
    runner.said({ is: 'session', cell: 'line', epoch: 1, id: session });
    runner.start(duty, 7, undefined, fence(2_000));
    expect(starts).toHaveLength(1);
    runner.said({ is: 'started', duty: id, pid: 41 });
    await settled();
    const claim = {
      resource: `process:${id}`,
      lease: `duty:${id}`,
      token: '0001000000000008',
      session: 'cd'.repeat(32),
    };
    expect(next.perform(claim, () => 'started').ok).toBe(true);
    const restarted = runner.restart(0);
    runner.said({ is: 'stopped', duty: id });
    expect(await restarted).toMatchObject({ ok: false, error: expect.stringContaining('older than 0001000000000008') });
    expect(starts).toHaveLength(1);
    expect(inbox.of('duty-failed')).toEqual([]);
  });

  it('killed since an extension was late, and the right goes on → started anew under it', async () => {
    const { runner, inbox, starts, asked } = runnerWith();
    runner.said({ is: 'session', cell: 'line', epoch: 1, id: session });
    runner.start(duty, 7, undefined, fence(2_000));
    runner.said({ is: 'started', duty: id, pid: 41 });
    await settled();
    runner.said({ is: 'exited', duty: id, code: null, signal: 'SIGKILL', reason: 'killed', expired: true });
    expect(runner.processOf(0)?.running).toBe(false);
    runner.extend?.(0, fence(4_000));
    expect(starts).toHaveLength(2);
    expect(starts[1]).toMatchObject({ duty: id, until: 4_000 });
    runner.said({ is: 'started', duty: id, pid: 42 });
    await settled();
    expect(runner.processOf(0)).toMatchObject({ running: true, pid: 42 });
    runner.extend?.(0, fence(5_000));
    expect(asked).toEqual([`extend ${id}`]);
    expect(inbox.inputs.map(({ kind }) => kind)).toEqual(['duty-started']);
  });

  it('killed since an extension was late, and cannot be started anew → failed here, so that another one tries', async () => {
    const { runner, inbox } = runnerWith();
    runner.said({ is: 'session', cell: 'line', epoch: 1, id: session });
    runner.start(duty, 7, undefined, fence(2_000));
    runner.said({ is: 'started', duty: id, pid: 41 });
    runner.said({ is: 'exited', duty: id, code: null, signal: 'SIGKILL', reason: 'killed', expired: true });
    runner.extend?.(0, fence(4_000));
    runner.said({ is: 'failed', duty: id, reason: 'no such program' });
    await settled();
    expect(inbox.of('duty-failed')).toMatchObject([{ duty: 0, reason: 'no such program' }]);
  });

  for (const [when, said] of [
    ['the order came', { is: 'failed', duty: id, reason: 'its right to run is over', expired: true }],
    [
      'it said that it runs',
      { is: 'exited', duty: id, code: null, signal: 'SIGKILL', reason: 'killed', expired: true },
    ],
  ] as const) {
    it(`its right was over before ${when} → no failure; extended, it begins; lost, it has ended`, async () => {
      const { runner, inbox, starts } = runnerWith();
      runner.said({ is: 'session', cell: 'line', epoch: 1, id: session });
      runner.start(duty, 7, undefined, fence(2_000));
      runner.said(said);
      await settled();
      expect(inbox.inputs).toEqual([]);
      runner.extend?.(0, fence(4_000));
      runner.said({ is: 'failed', duty: id, reason: 'its right to run is over', expired: true });
      await settled();
      expect(inbox.inputs).toEqual([]);
      runner.extend?.(0, fence(5_000));
      runner.said({ is: 'started', duty: id, pid: 41 });
      await settled();
      expect(starts.map(({ until }) => until)).toEqual([2_000, 4_000, 5_000]);
      expect(inbox.inputs.map(({ kind }) => kind)).toEqual(['duty-started']);
      runner.said({ ...said, is: 'exited', code: null, signal: 'SIGKILL' });
      const stopped = runner.stop(0, true);
      runner.said({ is: 'stopped', duty: id });
      await stopped;
      expect(runner.processOf(0)).toBeUndefined();
      expect(inbox.of('duty-failed')).toEqual([]);
    });
  }

  it('its right goes on under a larger token → its file says so while it runs, and is gone when it has ended', async () => {
    const { runner, starts } = runnerWith();
    runner.said({ is: 'session', cell: 'line', epoch: 1, id: session });
    runner.start(duty, 7, undefined, fence(2_000));
    runner.said({ is: 'started', duty: id, pid: 41 });
    const path = starts[0]?.env['MILLWRIGHT_TOKEN_FILE'] ?? '';
    expect(readFileSync(path, 'utf8')).toBe('0001000000000007\n');
    runner.extend?.(0, fence(4_000, '0001000000000009'));
    expect(readFileSync(path, 'utf8')).toBe('0001000000000009\n');
    runner.said({ is: 'exited', duty: id, code: null, signal: 'SIGKILL', reason: 'killed', expired: true });
    expect(existsSync(path)).toBe(false);
    runner.extend?.(0, fence(5_000, '000100000000000a'));
    expect(starts).toHaveLength(2);
    expect(starts[1]?.env['MILLWRIGHT_TOKEN']).toBe('000100000000000a');
    expect(starts[1]?.env['MILLWRIGHT_TOKEN_FILE']).not.toBe(path);
  });

  it('ended by itself → is not started by an extension: that is for checks and repairs to decide', async () => {
    const { runner, starts } = runnerWith();
    runner.said({ is: 'session', cell: 'line', epoch: 1, id: session });
    runner.start(duty, 7, undefined, fence(2_000));
    runner.said({ is: 'started', duty: id, pid: 41 });
    runner.said({ is: 'exited', duty: id, code: 1, signal: null, reason: 'exit code 1', expired: false });
    runner.extend?.(0, fence(4_000));
    await settled();
    expect(starts).toHaveLength(1);
  });
});
