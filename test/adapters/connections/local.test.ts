import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { BoundedOutput, lastLines } from '../../../agent/adapters/connections/bounded-output.ts';
import { findContainment } from '../../../agent/adapters/connections/containment.ts';
import { describeExit, type LocalRun, runLocal } from '../../../agent/adapters/connections/local.ts';
import { listProcesses, parseStat } from '../../../agent/adapters/connections/process-table.ts';
import { eventually } from '../../support/eventually.ts';
import { alive, temporaryFolder } from '../duty-runners/doubles.ts';

const exitOf = async (run: Partial<LocalRun> & Pick<LocalRun, 'argv'>) => {
  const result = await runLocal({ timeoutMs: 10_000, ...run });
  if (!result.ok) throw new Error(result.error.text);
  return result.value;
};

describe('local connection', () => {
  test('program ends → code, both outputs and its time', async () => {
    const exit = await exitOf({ argv: ['bash', '-c', 'echo out; echo err >&2; exit 7'] });
    expect(exit).toMatchObject({ ended: 'exited', code: 7, signal: undefined });
    expect([exit.stdout.text, exit.stderr.text]).toEqual(['out\n', 'err\n']);
    expect(describeExit(exit, lastLines(exit.stderr.text))).toBe('exit code 7: err');
  });

  test('arguments with every character that a shell minds → passed as they are', async () => {
    const nasty = ['$(touch /tmp/x)', '; rm -rf /', '`id`', "it's", '"', '*', '\n', '&& false', ''];
    const exit = await exitOf({ argv: [process.execPath, '-p', 'JSON.stringify(process.argv.slice(1))', ...nasty] });
    expect(JSON.parse(exit.stdout.text)).toEqual(nasty);
  });

  test.each([
    [[], 'the argument vector is empty'],
    [['no-such-program'], 'there is no program "no-such-program" in PATH'],
    [['/etc/passwd'], '/etc/passwd is not executable by this user'],
    [['/tmp'], '/tmp is not a file'],
    [['a\0b'], 'the name of the program has a zero byte'],
  ])('%j → not started, and why', async (argv, text) => {
    expect(await runLocal({ argv, timeoutMs: 1_000 })).toEqual({ ok: false, error: { text } });
  });

  test('argument with a zero byte → not started, never a throw', async () => {
    expect((await runLocal({ argv: ['true', 'a\0b'], timeoutMs: 1_000 })).ok).toBe(false);
  });

  test('program without a valid format → an end or a "not started", never a throw', async () => {
    const path = join(temporaryFolder(), 'no-format');
    writeFileSync(path, '\x7fELF nonsense');
    chmodSync(path, 0o755);
    const result = await runLocal({ argv: [path], timeoutMs: 1_000 });
    expect(result.ok && result.value.code === 0).toBe(false);
  });

  test('environment → allow-listed names and what the caller adds, nothing else of the agent’s', async () => {
    process.env['NODE_AUTH_TOKEN'] = 'hunter2';
    const exit = await exitOf({ argv: ['env'], env: [['LINE', '3']] });
    const names = exit.stdout.text.split('\n').map((line) => line.split('=')[0]);
    expect(names).toContain('PATH');
    expect(names).toContain('LINE');
    expect(exit.stdout.text).not.toContain('hunter2');
  });

  test('time-out, the program and its child ignore SIGTERM → the group is killed within the grace', async () => {
    const begun = performance.now();
    const exit = await exitOf({
      argv: ['bash', '-c', 'trap "" TERM; (trap "" TERM; echo $BASHPID; sleep 616) & echo $$; wait; sleep 616'],
      timeoutMs: 300,
      graceMs: 300,
    });
    expect(performance.now() - begun).toBeLessThan(5_000);
    expect(exit).toMatchObject({ ended: 'timed-out', signal: 'SIGKILL' });
    const pids = exit.stdout.text.trim().split('\n').map(Number);
    expect(pids).toHaveLength(2);
    await eventually(() => pids.every((pid) => !alive(pid)));
  });

  test('time-out, the program obeys SIGTERM → it may tidy up, and it still counts as timed out', async () => {
    const exit = await exitOf({
      argv: ['bash', '-c', 'trap "echo tidy; exit 0" TERM; sleep 617 & wait'],
      timeoutMs: 200,
    });
    expect(exit).toMatchObject({ ended: 'timed-out', code: 0 });
    expect(exit.stdout.text).toBe('tidy\n');
    expect(describeExit(exit, '')).toMatch(/^timed out after 0\.\d s$/);
  });

  test('abort signal → cancelled', async () => {
    const abort = new AbortController();
    const run = exitOf({ argv: ['sleep', '618'], signal: abort.signal });
    abort.abort();
    // Aborted before or after the spawn: both are an end.
    await expect(
      run.then(
        (exit) => exit.ended,
        (error: Error) => error.message,
      ),
    ).resolves.toMatch(/cancelled/);
  });

  test('100 MB of output → head and tail are kept, the middle is counted', async () => {
    const exit = await exitOf({ argv: ['bash', '-c', 'echo first; head -c 100000000 /dev/zero; echo; echo last'] });
    expect(exit.stdout.bytes).toBe(100_000_012);
    expect(exit.stdout.cut).toBe(true);
    expect(exit.stdout.text.length).toBeLessThan(66_000);
    expect(exit.stdout.text.startsWith('first\n')).toBe(true);
    expect(exit.stdout.text.endsWith('\nlast\n')).toBe(true);
  });

  test('program ends and leaves a child with its pipes open → ends soon; the child goes, or stays when it may', async () => {
    const argv = ['bash', '-c', 'sleep 619 & echo $!'];
    for (const leftovers of ['kill', 'leave'] as const) {
      const begun = performance.now();
      const exit = await exitOf({ argv, leftovers });
      expect(performance.now() - begun).toBeLessThan(5_000);
      const pid = Number(exit.stdout.text);
      if (leftovers === 'kill') await eventually(() => !alive(pid));
      else {
        expect(alive(pid)).toBe(true);
        process.kill(pid, 'SIGKILL');
      }
    }
  });

  test('contained command → the same answers, and the program itself is what runs', async () => {
    const containment = await findContainment();
    expect((await exitOf({ argv: ['bash', '-c', 'exit 5'], containment })).code).toBe(5);
    expect((await exitOf({ argv: ['sleep', '620'], timeoutMs: 100, containment })).signal).toBe('SIGTERM');
    expect(await runLocal({ argv: ['no-such-program'], timeoutMs: 1_000, containment })).toMatchObject({ ok: false });
  });
});

describe('bounded output', () => {
  test('up to its bound → everything, also when it comes byte by byte', () => {
    const output = new BoundedOutput(10);
    for (const byte of 'abcdefghij') output.push(Buffer.from(byte));
    expect(output.captured()).toEqual({ head: 'abcdefghij', text: 'abcdefghij', bytes: 10, cut: false });
  });

  test('beyond it → first and last halves, with what is missing', () => {
    const output = new BoundedOutput(10);
    for (let i = 0; i < 1_000; i++) output.push(Buffer.from('0123456789'));
    expect(output.captured()).toEqual({
      head: '01234',
      text: '01234\n… 9990 bytes cut …\n56789',
      bytes: 10_000,
      cut: true,
    });
  });
});

describe('process table', () => {
  test('name with blanks and parentheses → fields behind the last one', () => {
    const fields = ['S', '7', '9', ...Array.from({ length: 16 }, () => '0'), '123456', '0'];
    expect(parseStat(`42 (a) b (c)) ${fields.join(' ')}`)).toEqual({
      pid: 42,
      comm: 'a) b (c)',
      state: 'S',
      parent: 7,
      group: 9,
      startTicks: 123456,
    });
    expect(parseStat('garbage')).toBeUndefined();
  });

  test('this very process → in the list, with its parent', async () => {
    const rows = await listProcesses();
    expect(rows.find((row) => row.pid === process.pid)?.parent).toBe(process.ppid);
  });
});
