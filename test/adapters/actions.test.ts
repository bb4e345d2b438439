import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { createActionPort } from '../../agent/adapters/actions.ts';
import { findContainment } from '../../agent/adapters/connections/containment.ts';
import { createProcessRunner, type ProcessRunner } from '../../agent/adapters/duty-runners/process.ts';
import { createEffectLog } from '../../agent/adapters/effect-log.ts';
import { instant, wallTime } from '../../agent/base/time.ts';
import type { Input } from '../../agent/core/input.ts';
import type { StepAction } from '../../agent/core/remediation/workflow.ts';
import type { SitePlan } from '../../agent/core/site-plan.ts';
import type { ActionRequest } from '../../agent/driver/ports.ts';
import { eventually } from '../support/eventually.ts';
import { alive, Inbox, processDuty, silent, temporaryFolder } from './duty-runners/doubles.ts';

const cleanups: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup();
});

async function handsWith(options: { notify?: boolean } = {}) {
  const inbox = new Inbox();
  const dataDir = temporaryFolder();
  const containment = await findContainment();
  const duty = processDuty(['sleep', '621']);
  const clock = { now: () => instant(performance.now()), wall: () => wallTime(Date.now()) };
  const runner: ProcessRunner = createProcessRunner({
    agent: 'edge-1',
    dataDir,
    containment,
    deliver: inbox.deliver,
    clock,
    log: silent,
    graceMs: 500,
  });
  const effects = join(dataDir, 'effects.jsonl');
  const effectLog = createEffectLog(effects);
  const told: [readonly string[], string][] = [];
  const port = createActionPort({
    site: { plan: { duties: [duty] } as unknown as SitePlan },
    processes: runner,
    deliver: inbox.deliver,
    clock,
    notify: (people, text) => {
      told.push([people, text]);
      return options.notify ?? true;
    },
    effectLog,
    agent: 'edge-1',
    boot: 'b00t',
    containment,
    log: silent,
  });
  cleanups.push(async () => {
    port.stop();
    await runner.stopAll();
    effectLog.close();
  });
  let issue = 0;
  const issueOf = (action: StepAction, changes: Partial<ActionRequest> = {}): ActionRequest => ({
    run: 'labels/restart#1',
    step: 0,
    try: 1,
    issue: ++issue,
    action,
    timeoutMs: 5_000,
    notAfter: instant(performance.now() + 60_000),
    ...changes,
  });
  const answer = async (request: ActionRequest) => {
    const completed = () => inbox.of('action-completed').filter((input) => input.issue === request.issue);
    await eventually(() => completed().length > 0, { deadlineMs: 8_000 });
    return completed()[0]!;
  };
  const carry = (request: ActionRequest) => {
    port.issue(request);
    return answer(request);
  };
  const lastOf = async <K extends Input['kind']>(kind: K, act: () => void) => {
    const before = inbox.of(kind).length;
    act();
    await eventually(() => inbox.of(kind).length > before);
    return inbox.of(kind).at(-1)!;
  };
  const lines = (): Record<string, unknown>[] =>
    existsSync(effects)
      ? readFileSync(effects, 'utf8')
          .trim()
          .split('\n')
          .map((line) => JSON.parse(line) as Record<string, unknown>)
      : [];
  const held = async () => {
    runner.start(duty, 1, undefined);
    return eventually(() => runner.processOf(0)?.pid);
  };
  return { port, inbox, runner, issueOf, carry, answer, lastOf, lines, told, held, dataDir };
}

const command = (...argv: string[]): StepAction => ({ kind: 'command.run', argv });
const restart: StepAction = { kind: 'process.restart', duty: 0 };

describe('process.restart', () => {
  test('process was killed → another runs, one line in the effect log, the probe says applied', async () => {
    const hands = await handsWith();
    const pid = await hands.held();
    const baseline = (await hands.lastOf('baseline-read', () => hands.port.baseline('r', 0, restart))).baseline;
    expect(baseline).toContain(`/${pid}/`);
    process.kill(pid, 'SIGKILL');
    await eventually(() => hands.runner.processOf(0)?.exit);

    const before = await hands.lastOf('action-probed', () => hands.port.probe('r', 0, restart, baseline));
    expect(before).toMatchObject({ applied: 'not-applied', detail: 'no process runs' });
    const request = hands.issueOf(restart, { try: 2 });
    const completed = await hands.carry(request);
    const now = hands.runner.processOf(0)?.pid;
    expect(completed).toEqual({
      kind: 'action-completed',
      run: request.run,
      step: 0,
      try: 2,
      issue: request.issue,
      outcome: 'ok',
      detail: `labels/service-0 runs as process ${now}`,
    });
    const after = await hands.lastOf('action-probed', () => hands.port.probe('r', 0, restart, baseline));
    expect(after.applied).toBe('applied');
    expect(hands.lines()).toEqual([
      {
        effect: 'process.restart',
        run: request.run,
        step: 0,
        try: 2,
        issue: request.issue,
        agent: 'edge-1',
        boot: 'b00t',
        at: expect.stringMatching(/^20\d\d-.*Z$/),
        outcome: 'ok',
        detail: completed.detail,
      },
    ]);
  });

  test('nothing was done since the baseline → the probe says not applied', async () => {
    const hands = await handsWith();
    await hands.held();
    const { baseline } = await hands.lastOf('baseline-read', () => hands.port.baseline('r', 0, restart));
    const probed = await hands.lastOf('action-probed', () => hands.port.probe('r', 0, restart, baseline));
    expect(probed.applied).toBe('not-applied');
  });

  test('duty is not held here → failed, nothing in the effect log; the probe does not know', async () => {
    const hands = await handsWith();
    const completed = await hands.carry(hands.issueOf(restart));
    expect(completed).toMatchObject({ outcome: 'failed', detail: 'this agent does not hold labels/service-0' });
    expect(hands.lines()).toEqual([]);
    const probed = await hands.lastOf('action-probed', () => hands.port.probe('r', 0, restart, 'no process'));
    expect(probed.applied).toBe('unknown');
  });

  test('past its notAfter → late, the process is the same', async () => {
    const hands = await handsWith();
    const pid = await hands.held();
    const completed = await hands.carry(hands.issueOf(restart, { notAfter: instant(performance.now() - 5) }));
    expect(completed.outcome).toBe('late');
    expect(hands.runner.processOf(0)?.pid).toBe(pid);
    expect(hands.lines()).toEqual([]);
  });

  test('time runs out while the old process still ends → doubt, and no new start behind our back', async () => {
    const hands = await handsWith();
    const stubborn = processDuty(['bash', '-c', 'trap "" TERM; while :; do sleep 0.05; done']);
    hands.runner.start(stubborn, 1, undefined);
    const pid = await eventually(() => hands.runner.processOf(0)?.pid);
    await eventually(() => {
      const caught = /^SigIgn:\s*([0-9a-f]+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? '0';
      return (BigInt(`0x${caught}`) & (1n << 14n)) !== 0n;
    });
    const request = hands.issueOf(restart, { timeoutMs: 100 });
    const completed = await hands.carry(request);
    expect(completed).toMatchObject({ outcome: 'timed-out', detail: 'restart of labels/service-0 timed out' });
    const probed = await hands.lastOf('action-probed', () => hands.port.probe(request.run, 0, restart, 'x'));
    expect(probed.applied).toBe('running');
    await eventually(() => !hands.runner.restarting(0));
    expect(hands.runner.processOf(0)).toMatchObject({ running: false, generation: 1 });
  });
});

describe('command.run', () => {
  test('exit code 0 → ok; another → failed with its last lines', async () => {
    const hands = await handsWith();
    expect(await hands.carry(hands.issueOf(command('true')))).toMatchObject({ outcome: 'ok', detail: 'exit code 0' });
    const failed = await hands.carry(
      hands.issueOf(command('bash', '-c', 'echo working; echo "disk is full" >&2; exit 4')),
    );
    expect(failed).toMatchObject({ outcome: 'failed', detail: 'exit code 4: disk is full' });
    expect(hands.lines().map((line) => [line['effect'], line['outcome']])).toEqual([
      ['command.run', 'ok'],
      ['command.run', 'failed'],
    ]);
  });

  test('program is missing → failed, certainly nothing done', async () => {
    const hands = await handsWith();
    const failed = await hands.carry(hands.issueOf(command('no-such-repair')));
    expect(failed).toMatchObject({ outcome: 'failed', detail: 'there is no program "no-such-repair" in PATH' });
    expect(hands.lines()).toEqual([]);
  });

  test('time runs out → doubt, never failure, and the whole group is gone', async () => {
    const hands = await handsWith();
    const pids = join(hands.dataDir, 'pids');
    const argv = ['bash', '-c', `sleep 622 & echo $! $$ > ${pids}; wait`];
    const completed = await hands.carry(hands.issueOf(command(...argv), { timeoutMs: 300 }));
    expect(completed.outcome).toBe('timed-out');
    expect(hands.lines()[0]?.['outcome']).toBe('timed-out');
    const group = readFileSync(pids, 'utf8').trim().split(' ').map(Number);
    await eventually(() => group.every((pid) => !alive(pid)));
  });

  test('past its notAfter → late, not run', async () => {
    const hands = await handsWith();
    const trace = join(hands.dataDir, 'trace');
    const request = hands.issueOf(command('touch', trace), { notAfter: instant(performance.now() - 1) });
    expect((await hands.carry(request)).outcome).toBe('late');
    expect(existsSync(trace)).toBe(false);
  });

  test('cancelled in the middle → the group is killed, doubt; while it ran the probe said so', async () => {
    const hands = await handsWith();
    const pids = join(hands.dataDir, 'pids');
    const action = command('bash', '-c', `echo $$ > ${pids}; sleep 623`);
    const request = hands.issueOf(action);
    hands.port.issue(request);
    await eventually(() => existsSync(pids) && readFileSync(pids, 'utf8') !== '');
    const probed = await hands.lastOf('action-probed', () => hands.port.probe(request.run, 0, action, ''));
    expect(probed.applied).toBe('running');
    hands.port.cancel(request.run, request.step, request.issue);
    expect(await hands.answer(request)).toMatchObject({ outcome: 'timed-out', detail: 'cancelled' });
    await eventually(() => !alive(Number(readFileSync(pids, 'utf8'))));
  });

  test('cancel of another issue → nothing happens to this one', async () => {
    const hands = await handsWith();
    const request = hands.issueOf(command('sleep', '0.2'));
    hands.port.issue(request);
    hands.port.cancel(request.run, request.step, request.issue + 1);
    expect((await hands.answer(request)).outcome).toBe('ok');
  });

  test('the same issue twice → one effect, one answer', async () => {
    const hands = await handsWith();
    const trace = join(hands.dataDir, 'trace');
    const path = join(hands.dataDir, 'repair');
    writeFileSync(path, `#!/bin/bash\necho done >> ${trace}\nsleep 0.1\n`);
    chmodSync(path, 0o755);
    const request = hands.issueOf(command(path));
    hands.port.issue(request);
    hands.port.issue(request);
    await hands.answer(request);
    expect(readFileSync(trace, 'utf8')).toBe('done\n');
    expect(hands.inbox.of('action-completed')).toHaveLength(1);
  });

  test('repair starts a daemon and ends well → the daemon lives on', async () => {
    const hands = await handsWith();
    const pid = join(hands.dataDir, 'pid');
    const argv = ['bash', '-c', `setsid sleep 624 > /dev/null 2>&1 & echo $! > ${pid}`];
    expect((await hands.carry(hands.issueOf(command(...argv)))).outcome).toBe('ok');
    const daemon = Number(readFileSync(pid, 'utf8'));
    expect(alive(daemon)).toBe(true);
    process.kill(daemon, 'SIGKILL');
  });

  test('more than 32 at once → the rest are refused, nothing of them is run', async () => {
    const hands = await handsWith();
    const requests = Array.from({ length: 34 }, () => hands.issueOf({ kind: 'wait', ms: 200 }));
    for (const request of requests) hands.port.issue(request);
    const answers = await Promise.all(requests.map(hands.answer));
    expect(answers.map((answer) => answer.outcome).filter((outcome) => outcome === 'refused')).toHaveLength(2);
  });
});

describe('wait and notify', () => {
  test('wait → ok not before its time; cancelled → known not done', async () => {
    const hands = await handsWith();
    const begun = performance.now();
    expect((await hands.carry(hands.issueOf({ kind: 'wait', ms: 120 }))).outcome).toBe('ok');
    expect(performance.now() - begun).toBeGreaterThanOrEqual(118);
    const request = hands.issueOf({ kind: 'wait', ms: 60_000 }, { timeoutMs: 90_000 });
    hands.port.issue(request);
    hands.port.cancel(request.run, request.step, request.issue);
    expect((await hands.answer(request)).outcome).toBe('refused');
  });

  test('notify → the people and the text reach the outbox, or it failed', async () => {
    const action: StepAction = { kind: 'notify', people: ['anna', 'ben'], text: 'labels stand' };
    const hands = await handsWith();
    expect(await hands.carry(hands.issueOf(action))).toMatchObject({ outcome: 'ok', detail: 'told anna, ben' });
    expect(hands.told).toEqual([[['anna', 'ben'], 'labels stand']]);
    const full = await handsWith({ notify: false });
    expect((await full.carry(full.issueOf(action))).outcome).toBe('failed');
  });
});
