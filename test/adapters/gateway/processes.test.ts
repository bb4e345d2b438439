import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { createActionPort } from '../../../agent/adapters/actions.ts';
import { findContainment } from '../../../agent/adapters/connections/containment.ts';
import { createProcessRunner } from '../../../agent/adapters/duty-runners/process.ts';
import { createEffectLog } from '../../../agent/adapters/effect-log.ts';
import { openGateway } from '../../../agent/adapters/gateway/gateway.ts';
import { instant, wallTime } from '../../../agent/base/time.ts';
import type { Fence } from '../../../agent/core/duties/exclusive-duties.ts';
import type { SitePlan } from '../../../agent/core/site-plan.ts';
import type { ActionRequest } from '../../../agent/driver/ports.ts';
import { eventually } from '../../support/eventually.ts';
import { alive, Inbox, processDuty, silent, temporaryFolder } from '../duty-runners/doubles.ts';

const one = 'a'.repeat(64);
const other = 'b'.repeat(64);
const duty = { ...processDuty(['sleep', '622']), exclusive: true };
const fence = (counter: number, session: string, forMs = 60_000): Fence => ({
  lease: `duty:${duty.id}`,
  token: `0001${counter.toString(16).padStart(12, '0')}`,
  session,
  until: instant(performance.now() + forMs),
});

/** One life of an agent on a box: a runner of real processes and the hands, over the box's floors. */
async function lifeOn(box: string) {
  const inbox = new Inbox();
  const dataDir = temporaryFolder();
  const clock = { now: () => instant(performance.now()), wall: () => wallTime(Date.now()) };
  const effectLog = createEffectLog(join(dataDir, 'effects.jsonl'));
  const gate = openGateway({ dir: box, effectLog });
  const containment = await findContainment();
  const runner = createProcessRunner({
    agent: 'edge-1',
    dataDir,
    containment,
    deliver: inbox.deliver,
    clock,
    log: silent,
    graceMs: 500,
    msUntil: (until) => until - performance.now(),
    effectLog,
    gate,
  });
  const hands = createActionPort({
    site: { plan: { duties: [duty] } as unknown as SitePlan },
    processes: runner,
    deliver: inbox.deliver,
    clock,
    notify: () => true,
    effectLog,
    agent: 'edge-1',
    boot: 'b00t',
    containment,
    gate,
    log: silent,
  });
  onTestFinished(async () => {
    hands.stop();
    await runner.stopAll();
    gate.close();
    effectLog.close();
  });
  const lines = () =>
    readFileSync(join(dataDir, 'effects.jsonl'), 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as object);
  return { inbox, runner, hands, lines };
}

test('a real process: started by one life, by the next; the former one’s start is refused, its own stop is not', async () => {
  const box = temporaryFolder();
  const former = await lifeOn(box);
  const next = await lifeOn(box);
  former.runner.start(duty, 1, undefined, fence(1, one));
  await eventually(() => former.inbox.of('duty-started').length === 1 && former.runner.processOf(0)?.pid !== undefined);
  const pid = former.runner.processOf(0)?.pid ?? 0;
  expect(alive(pid)).toBe(true);

  next.runner.start(duty, 2, undefined, fence(2, other));
  await eventually(() => next.inbox.of('duty-started').length === 1);
  // What a stale holder may always do is stop: less happens then, never more.
  expect(await former.runner.restart(0)).toMatchObject({ ok: false, error: expect.stringContaining('older') });
  expect(alive(pid)).toBe(false);
  expect(former.lines()).toMatchObject([
    { effect: 'process.started', token: '0001000000000001' },
    { effect: 'refused', kind: 'older', resource: `process:${duty.id}`, token: '0001000000000001' },
  ]);
  expect(next.runner.processOf(0)?.running).toBe(true);
});

test('a right that ended on the way → no process', async () => {
  const { runner, inbox } = await lifeOn(temporaryFolder());
  runner.start(duty, 1, undefined, fence(1, one, -1));
  await eventually(() => inbox.of('duty-failed').length === 1);
  expect(inbox.of('duty-failed')).toMatchObject([{ reason: expect.stringContaining('right ended') }]);
  expect(runner.processOf(0)).toBeUndefined();
});

test('a command under an old permit → not run, and a known "not done"', async () => {
  const box = temporaryFolder();
  const marks = join(box, 'marks');
  const former = await lifeOn(box);
  const next = await lifeOn(box);
  const command = (counter: number, session: string, issue: number): ActionRequest => ({
    run: 'line/clean#1',
    step: 0,
    try: 1,
    issue,
    action: { kind: 'command.run', argv: ['sh', '-c', `echo ${counter} >> ${marks}`] },
    timeoutMs: 5_000,
    notAfter: instant(performance.now() + 60_000),
    fence: { ...fence(counter, session), lease: 'guard:line/slot-0' },
  });
  next.hands.issue(command(5, other, 1));
  await eventually(() => next.inbox.of('action-completed').length === 1);
  former.hands.issue(command(4, one, 1));
  await eventually(() => former.inbox.of('action-completed').length === 1);
  expect(former.inbox.of('action-completed')).toMatchObject([
    { outcome: 'failed', detail: expect.stringContaining('older than 0001000000000005') },
  ]);
  expect(readFileSync(marks, 'utf8')).toBe('5\n');
});
