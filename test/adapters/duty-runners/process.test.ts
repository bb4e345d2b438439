import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { type Containment, findContainment, noContainment } from '../../../agent/adapters/connections/containment.ts';
import { listProcesses, type ProcessRow, readProcess } from '../../../agent/adapters/connections/process-table.ts';
import { createProcessRunner, type ProcessRunner } from '../../../agent/adapters/duty-runners/process.ts';
import type { Gate } from '../../../agent/adapters/gateway/claims.ts';
import { openGateway } from '../../../agent/adapters/gateway/gateway.ts';
import { instant, wallTime } from '../../../agent/base/time.ts';
import { eventually } from '../../support/eventually.ts';
import { alive, Inbox, processDuty, silent, temporaryFolder } from './doubles.ts';

let containment: Containment;
beforeAll(async () => {
  containment = await findContainment();
});

const runners: ProcessRunner[] = [];
afterEach(async () => {
  await Promise.all(runners.splice(0).map((runner) => runner.stopAll()));
});

function runnerWith(options: { containment?: Containment; graceMs?: number; dataDir?: string; gate?: Gate } = {}) {
  const inbox = new Inbox();
  const changes: number[] = [];
  const dataDir = options.dataDir ?? temporaryFolder();
  const runner = createProcessRunner({
    agent: 'edge-1',
    dataDir,
    containment: options.containment ?? containment,
    deliver: inbox.deliver,
    clock: { wall: () => wallTime(Date.now()) },
    log: silent,
    onChange: (duty) => changes.push(duty),
    graceMs: options.graceMs ?? 2_000,
    msUntil: (until) => until - performance.now(),
    gate: options.gate,
  });
  runners.push(runner);
  return { runner, inbox, changes, dataDir };
}

const running = (runner: ProcessRunner, duty = 0) =>
  eventually(() => {
    const state = runner.processOf(duty);
    return state?.running && state.pid !== undefined ? { ...state, pid: state.pid } : undefined;
  });

/** A process that holds a duty like an agent, and can be killed like one. */
async function killableAgent(script: string, weak: boolean) {
  const dataDir = temporaryFolder();
  const argv = ['bash', '-c', script];
  const file = join(import.meta.dirname, 'agent-like.ts');
  const child = spawn(process.execPath, [file, JSON.stringify({ dataDir, argv, weak })], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  /** All that this agent's duty has become, when it has just these names; wrappers aside. */
  const family = async (names: readonly string[]): Promise<ProcessRow[] | undefined> => {
    const rows = await listProcesses();
    const found: ProcessRow[] = [];
    for (let above = [child.pid ?? 0]; above.length > 0; ) {
      const below = rows.filter((row) => above.includes(row.parent));
      found.push(...below);
      above = below.map((row) => row.pid);
    }
    const programs = found.filter((row) => row.comm !== 'unshare' && row.comm !== 'timeout' && row.comm !== 'setpriv');
    const same =
      programs
        .map((row) => row.comm)
        .sort()
        .join() === [...names].sort().join();
    return same ? programs : undefined;
  };
  return { dataDir, family, kill: () => child.kill('SIGKILL') };
}

describe('process runner', () => {
  test('held duty: child runs with its name, agent and term → started is said once', async () => {
    const { runner, inbox, dataDir } = runnerWith();
    const script =
      'console.log([process.env.MILLWRIGHT_DUTY, process.env.MILLWRIGHT_AGENT, process.env.MILLWRIGHT_TERM, process.env.LABEL, process.env.SECRET_OF_AGENT].join(" ")); setInterval(() => {}, 1000)';
    process.env['SECRET_OF_AGENT'] = 'hunter2';
    runner.start(processDuty([process.execPath, '-e', script], 0, [['LABEL', 'x']]), 7, undefined);
    const { pid } = await running(runner);
    // Between fork and exec it still bears the waiter's name.
    await eventually(() => /node|MainThread/.test(readProcess(pid)?.comm ?? ''));
    const log = join(dataDir, 'processes', 'labels.service-0.log');
    await eventually(() => readFileSync(log, 'utf8').includes('labels/service-0 edge-1 7 x \n'));
    expect(inbox.of('duty-started')).toEqual([{ kind: 'duty-started', duty: 0 }]);
  });

  test('program missing → duty failed, with the name, and nothing held', async () => {
    const { runner, inbox } = runnerWith();
    runner.start(processDuty(['no-such-program-here']), 1, undefined);
    const [failure] = await eventually(() =>
      inbox.of('duty-failed').length > 0 ? inbox.of('duty-failed') : undefined,
    );
    expect(failure?.reason).toContain('no-such-program-here');
    expect(runner.processOf(0)).toBeUndefined();
  });

  test('child is killed from outside → exit with its signal is known at once, and nobody restarts it', async () => {
    const { runner, changes } = runnerWith();
    runner.start(processDuty(['sleep', '600']), 1, undefined);
    const { pid } = await running(runner);
    await eventually(() => changes.length === 1);
    process.kill(pid, 'SIGKILL');
    await eventually(() => changes.length === 2, { deadlineMs: 3_000 });
    const state = runner.processOf(0);
    expect(state).toMatchObject({ running: false, exit: { signal: 'SIGKILL', reason: 'killed by SIGKILL' } });
    expect(state?.generation).toBe(1);
  });

  test('plain SIGTERM from an engineer, no handler in the program → the program ends', async () => {
    const { runner } = runnerWith();
    runner.start(processDuty(['sleep', '600']), 1, undefined);
    const { pid } = await running(runner);
    process.kill(pid, 'SIGTERM');
    const exit = await eventually(() => runner.processOf(0)?.exit);
    expect(exit.signal).toBe('SIGTERM');
  });

  test('program ends by itself → its exit code and last lines are the reason', async () => {
    const { runner } = runnerWith();
    const script = 'console.log("one"); console.error("licence has expired"); process.exitCode = 3';
    runner.start(processDuty([process.execPath, '-e', script]), 1, undefined);
    const exit = await eventually(() => runner.processOf(0)?.exit);
    expect(exit.code).toBe(3);
    expect(exit.reason).toBe('exit code 3: one / licence has expired');
  });

  test('restart of a dead child → another process, another identity', async () => {
    const { runner } = runnerWith();
    runner.start(processDuty(['sleep', '600']), 1, undefined);
    const first = await running(runner);
    const before = await runner.identity(0);
    process.kill(first.pid, 'SIGKILL');
    await eventually(() => runner.processOf(0)?.exit);
    expect(await runner.identity(0)).toBeUndefined();
    const restarted = await runner.restart(0);
    expect(restarted).toMatchObject({ ok: true, value: { running: true, generation: 2 } });
    const after = await runner.identity(0);
    expect(after).toBeDefined();
    expect(after).not.toBe(before);
  });

  test('restart of a living child → the old one is gone before the new one starts', async () => {
    const { runner, changes } = runnerWith();
    runner.start(processDuty(['sleep', '600']), 1, undefined);
    const first = await running(runner);
    const restarted = await runner.restart(0);
    expect(alive(first.pid)).toBe(false);
    expect(restarted.ok && restarted.value.pid !== first.pid && restarted.value.running).toBe(true);
    // Two starts; the end in between was our own.
    expect(changes).toEqual([0, 0]);
  });

  test('restart of a duty that is not held → a known no', async () => {
    const { runner } = runnerWith();
    expect(await runner.restart(5)).toEqual({ ok: false, error: 'this agent does not hold the duty' });
  });

  test('child ignores SIGTERM → stop kills it after the grace, with its own child', async () => {
    const { runner, dataDir } = runnerWith({ graceMs: 200 });
    const script = 'trap "" TERM; sleep 600 & echo child $!; while :; do sleep 0.1; done';
    runner.start(processDuty(['bash', '-c', script]), 1, undefined);
    const { pid } = await running(runner);
    const log = join(dataDir, 'processes', 'labels.service-0.log');
    await eventually(() => readFileSync(log, 'utf8').includes('child'));
    const below = (await listProcesses()).filter((row) => row.parent === pid).map((row) => row.pid);
    expect(below.length).toBeGreaterThan(0);
    await runner.stop(0);
    expect([pid, ...below].filter(alive)).toEqual([]);
    expect(runner.processOf(0)).toBeUndefined();
  });

  test('child leaves on SIGTERM in its own time → stop lets it finish', async () => {
    const { runner, dataDir } = runnerWith();
    const script =
      'process.on("SIGTERM", () => setTimeout(() => { console.log("tidy"); process.exit(0); }, 100)); console.log("up"); setInterval(() => {}, 1000)';
    runner.start(processDuty([process.execPath, '-e', script]), 1, undefined);
    await running(runner);
    const log = join(dataDir, 'processes', 'labels.service-0.log');
    await eventually(() => readFileSync(log, 'utf8').includes('up'));
    await runner.stop(0);
    expect(readFileSync(log, 'utf8')).toContain('tidy');
  });

  test('stop while the start is under way → nothing runs, nothing is said', async () => {
    const { runner, inbox } = runnerWith();
    runner.start(processDuty(['sleep', '611']), 1, undefined);
    await runner.stop(0);
    expect(inbox.of('duty-started')).toEqual([]);
    const left = (await listProcesses()).filter((row) => row.comm === 'sleep' && row.state !== 'Z');
    const argvs = left.map((row) => {
      try {
        return readFileSync(`/proc/${row.pid}/cmdline`, 'utf8');
      } catch {
        return '';
      }
    });
    expect(argvs.filter((argv) => argv.includes('611'))).toEqual([]);
  });

  test('child prints without end → its log keeps two bounded files', async () => {
    const { runner, dataDir } = runnerWith();
    runner.start(processDuty(['yes', 'a line of forty characters, to and fro ..']), 1, undefined);
    const log = join(dataDir, 'processes', 'labels.service-0.log');
    await eventually(() => statSync(`${log}.1`).size > 0, { deadlineMs: 15_000 });
    await runner.stop(0);
    expect(statSync(log).size).toBeLessThanOrEqual(1_048_576);
    expect(statSync(`${log}.1`).size).toBeLessThanOrEqual(1_048_576);
  });

  test('agent is killed with SIGKILL → child and grandchildren, even in another session, are gone within 1 s', async (context) => {
    if (containment.kind !== 'namespace') context.skip(`this box allows no process namespace: ${containment.why}`);
    const agent = await killableAgent('sleep 612 & setsid sleep 613 & wait', false);
    const family = await eventually(() => agent.family(['sleep', 'sleep', 'bash']), { deadlineMs: 10_000 });
    agent.kill();
    await eventually(() => family.every((row) => readProcess(row.pid)?.startTicks !== row.startTicks), {
      deadlineMs: 1_000,
    });
  });

  test('box that allows no namespace, agent is killed → the program dies with it, its orphan at the next start', async (context) => {
    if (containment.kind === 'none') context.skip(containment.why);
    const agent = await killableAgent('sleep 626 & wait', true);
    const family = await eventually(() => agent.family(['sleep', 'bash']), { deadlineMs: 10_000 });
    const pidOf = (comm: string) => family.find((row) => row.comm === comm)!.pid;
    agent.kill();
    await eventually(() => !alive(pidOf('bash')), { deadlineMs: 1_000 });
    expect(alive(pidOf('sleep'))).toBe(true);
    runnerWith({ dataDir: agent.dataDir });
    await eventually(() => !alive(pidOf('sleep')), { deadlineMs: 5_000 });
  });

  test('agent is killed before it registered what it had started → found by the mark of that life, also outside its group', async (context) => {
    if (containment.kind === 'none') context.skip(containment.why);
    const agent = await killableAgent('setsid sleep 627 & sleep 628 & wait', true);
    const family = await eventually(() => agent.family(['sleep', 'sleep', 'bash']), { deadlineMs: 10_000 });
    agent.kill();
    const orphans = family.filter(({ comm }) => comm === 'sleep').map(({ pid }) => pid);
    await eventually(() => family.every(({ comm, pid }) => comm === 'sleep' || !alive(pid)), { deadlineMs: 5_000 });
    expect(orphans.filter(alive)).toEqual(orphans);
    const file = join(agent.dataDir, 'processes', 'register.json');
    writeFileSync(file, JSON.stringify({ ...JSON.parse(readFileSync(file, 'utf8')), rows: [] }));
    runnerWith({ dataDir: agent.dataDir });
    await eventually(() => !orphans.some(alive), { deadlineMs: 5_000 });
  });

  test('box without containment, agent came back → what its last life left is killed by the register', async () => {
    const dataDir = temporaryFolder();
    const first = runnerWith({ containment: noContainment('test'), dataDir });
    first.runner.start(processDuty(['sleep', '614']), 1, undefined);
    const { pid } = await running(first.runner);
    // A second life on the same data folder, while the first one's child still runs: as after a SIGKILL.
    const second = runnerWith({ containment: noContainment('test'), dataDir });
    await eventually(() => first.runner.processOf(0)?.exit);
    expect(alive(pid)).toBe(false);
    expect(second.runner.processOf(0)).toBeUndefined();
  });
});

describe('process duty under a lease', () => {
  const right = (ms: number, token = '0001000000000007') => ({
    lease: 'duty:labels/service-0',
    token,
    session: 'ab'.repeat(32),
    until: instant(performance.now() + ms),
  });
  const stubborn = ['bash', '-c', 'trap "" TERM; while :; do sleep 0.05; done'];

  test('its program → is told its token, its lease and its session', async () => {
    const { runner, dataDir } = runnerWith();
    const file = join(dataDir, 'told');
    const argv = ['bash', '-c', `echo $MILLWRIGHT_TOKEN $MILLWRIGHT_LEASE $MILLWRIGHT_SESSION > ${file}; sleep 60`];
    runner.start(processDuty(argv), 1, undefined, right(60_000));
    // The file is there before its line is.
    const told = await eventually(() => readFileSync(file, 'utf8').trim() || undefined);
    expect(told).toBe(`0001000000000007 duty:labels/service-0 ${'ab'.repeat(32)}`);
  });

  test('its right goes on under a larger token → the running program finds it in its file, and none when it is over', async () => {
    const { runner, dataDir } = runnerWith();
    const told = join(dataDir, 'told');
    const argv = [
      'bash',
      '-c',
      `while read -r t < "$MILLWRIGHT_TOKEN_FILE"; do echo "$$ $t" >> ${told}; sleep 0.02; done`,
    ];
    runner.start(processDuty(argv), 1, undefined, right(60_000));
    const { pid } = await running(runner);
    const lines = () => readFileSync(told, 'utf8').trim().split('\n');
    await eventually(() => lines().some((line) => line.endsWith(' 0001000000000007')));
    runner.extend?.(0, right(60_000, '0001000000000009'));
    await eventually(() => lines().at(-1)?.endsWith(' 0001000000000009'));
    expect(runner.processOf(0)).toMatchObject({ pid, generation: 1 });
    expect(lines().map((line) => line.split(' ')[1])).toEqual(
      lines()
        .map((line) => line.split(' ')[1])
        .toSorted(),
    );
    await runner.stop(0);
    expect(readdirSync(join(dataDir, 'processes', 'tokens'))).toEqual([]);
  });

  test('a larger token that has a successor on this box → the program is not told of it', async () => {
    const dataDir = temporaryFolder();
    const gate = openGateway({ dir: dataDir });
    onTestFinished(() => gate.close());
    const { runner } = runnerWith({ dataDir, gate });
    const path = join(dataDir, 'path');
    runner.start(
      processDuty(['bash', '-c', `echo $MILLWRIGHT_TOKEN_FILE > ${path}; sleep 60`]),
      1,
      undefined,
      right(60_000),
    );
    const file = (await eventually(() => existsSync(path) && readFileSync(path, 'utf8'))).trim();
    expect(gate.raiseFloor('duty:labels/service-0', '000100000000000a').ok).toBe(true);
    runner.extend?.(0, right(60_000, '0001000000000009'));
    expect(readFileSync(file, 'utf8')).toBe('0001000000000007\n');
    runner.extend?.(0, right(60_000, '000100000000000b'));
    expect(readFileSync(file, 'utf8')).toBe('000100000000000b\n');
  });

  test('what a former life left → finds no token of this one: files of former runs are gone, new ones have new names', async () => {
    const dataDir = temporaryFolder();
    const folder = join(dataDir, 'processes', 'tokens');
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'labels.service-0.abababababab.1'), '0001000000000006\n');
    const { runner } = runnerWith({ dataDir });
    expect(readdirSync(folder)).toEqual([]);
    runner.start(processDuty(['sleep', '60']), 1, undefined, right(60_000));
    const [first] = await eventually(() => readdirSync(folder).length === 1 && readdirSync(folder));
    await running(runner);
    expect((await runner.restart(0)).ok).toBe(true);
    const names = readdirSync(folder);
    expect(names).toHaveLength(1);
    expect(names).not.toContain(first);
  });

  test('nobody extends its right → its program is ended with it; extended → it goes on', async () => {
    const { runner } = runnerWith();
    runner.start(processDuty(stubborn), 1, undefined, right(700));
    const { pid } = await running(runner);
    runner.extend?.(0, right(1_200));
    await new Promise((resolve) => setTimeout(resolve, 900));
    expect(alive(pid)).toBe(true);
    await eventually(() => !alive(pid), { deadlineMs: 1_500, what: 'ended with its right' });
  });

  test('its right is lost → ended without grace, also in the middle of a gentle stop', async () => {
    const { runner, dataDir } = runnerWith({ graceMs: 10_000 });
    const ready = join(dataDir, 'ready');
    const argv = ['bash', '-c', `trap "" TERM; touch ${ready}; while :; do sleep 0.05; done`];
    runner.start(processDuty(argv), 1, undefined, right(60_000));
    const { pid } = await running(runner);
    await eventually(() => statSync(ready).isFile());
    const gentle = runner.stop(0);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(alive(pid)).toBe(true);
    await runner.stop(0, true);
    await gentle;
    expect(alive(pid)).toBe(false);
  });
});
