import { type ChildProcess, spawn } from 'node:child_process';
import { err, ok, type Result } from '../../base/result.ts';
import { BoundedOutput, type Captured } from './bounded-output.ts';
import type { Containment } from './containment.ts';
import { childEnvironment, findProgram } from './program.ts';

/** How to run one argument vector on this box. */
export interface LocalRun {
  readonly argv: readonly string[];
  /** After this the group gets SIGTERM, and SIGKILL `graceMs` later. */
  readonly timeoutMs: number;
  /** Default 2000. */
  readonly graceMs?: number;
  /** Added to the allow-listed environment. */
  readonly env?: Iterable<readonly [string, string]>;
  readonly cwd?: string;
  /** Default: the program may outlive the agent. */
  readonly containment?: Containment | undefined;
  /** Bytes kept of each of the two outputs, head and tail together. Default 65 536. */
  readonly outputBytes?: number;
  /** Whether what the program left in its process group after its own end is killed (default) or may stay. */
  readonly leftovers?: 'kill' | 'leave';
  readonly signal?: AbortSignal;
  /** Asked last, in one synchronous block with the start: why the program must not run; undefined: it may. */
  readonly barred?: () => string | undefined;
}

export interface LocalExit {
  /** `exited` by itself; else the group was killed, for time or on the caller's wish. */
  readonly ended: 'exited' | 'timed-out' | 'cancelled';
  readonly code: number | undefined;
  readonly signal: string | undefined;
  readonly durationMs: number;
  readonly stdout: Captured;
  readonly stderr: Captured;
}

/** Why the program did not run at all. Certain: nothing has happened. */
export interface NotStarted {
  readonly text: string;
}

/** Most time that is given to outputs that are held open by grandchildren after the program's own end. */
const lingerMs = 250;

/**
 * Runs an argument vector, never a shell, in a process group of its own with a short environment, bounded output and
 * bounded time. Its promise never rejects: what did not start is the error, and every other end, killed ones
 * included, is a value. It resolves at the latest `timeoutMs + graceMs` and half a second after the call.
 */
export async function runLocal(run: LocalRun): Promise<Result<LocalExit, NotStarted>> {
  const [name = '', ...rest] = run.argv;
  const env = childEnvironment(run.env);
  const cwd = run.cwd ?? process.cwd();
  const begun = performance.now();
  const found = await findProgram(name, env['PATH'] ?? '', cwd);
  if (!found.ok) return err({ text: found.error });
  if (run.signal?.aborted) return err({ text: 'cancelled before it began' });
  const barred = run.barred?.();
  if (barred !== undefined) return err({ text: barred });
  const [program = '', ...argv] = [...(run.containment?.single ?? []), found.value, ...rest];

  let child: ChildProcess;
  try {
    child = spawn(program, argv, { cwd, env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
  } catch (error) {
    return err({ text: error instanceof Error ? error.message : String(error) });
  }

  return await new Promise((resolve) => {
    const stdout = new BoundedOutput(run.outputBytes);
    const stderr = new BoundedOutput(run.outputBytes);
    child.stdout?.on('data', (chunk: Buffer) => stdout.push(chunk)).on('error', () => {});
    child.stderr?.on('data', (chunk: Buffer) => stderr.push(chunk)).on('error', () => {});

    let ended: LocalExit['ended'] = 'exited';
    let exit: { code: number | undefined; signal: string | undefined } | undefined;
    let settled = false;
    const timers: NodeJS.Timeout[] = [];
    const later = (ms: number, act: () => void) => timers.push(setTimeout(act, ms));

    const finish = () => {
      if (settled || exit === undefined) return;
      settled = true;
      if (run.leftovers !== 'leave' || ended !== 'exited') signalGroup(child.pid, 'SIGKILL');
      settle();
      const durationMs = performance.now() - begun;
      resolve(ok({ ended, ...exit, durationMs, stdout: stdout.captured(), stderr: stderr.captured() }));
    };
    const settle = () => {
      for (const timer of timers) clearTimeout(timer);
      run.signal?.removeEventListener('abort', cancel);
      child.stdout?.destroy();
      child.stderr?.destroy();
    };
    const end = (why: 'timed-out' | 'cancelled') => {
      if (ended !== 'exited' || exit !== undefined) return;
      ended = why;
      signalGroup(child.pid, 'SIGTERM');
      later(run.graceMs ?? 2_000, () => {
        signalGroup(child.pid, 'SIGKILL');
        // A process that hangs in the kernel (a dead network disk) does not even die of SIGKILL: stop waiting for it.
        later(lingerMs, () => {
          exit ??= { code: undefined, signal: undefined };
          finish();
        });
      });
    };
    const cancel = () => end('cancelled');

    child.once('error', (error) => {
      if (settled || child.pid !== undefined) return;
      settled = true;
      settle();
      resolve(err({ text: error.message }));
    });
    child.once('exit', (code, signal) => {
      exit = { code: code ?? undefined, signal: signal ?? undefined };
      later(lingerMs, finish);
    });
    child.once('close', finish);
    later(run.timeoutMs, () => end('timed-out'));
    run.signal?.addEventListener('abort', cancel, { once: true });
  });
}

/** Signals a whole process group by its leader; a group that is gone is fine. */
export function signalGroup(leader: number | undefined, signal: NodeJS.Signals): void {
  if (leader === undefined || leader <= 1) return;
  try {
    process.kill(-leader, signal);
  } catch {
    // ESRCH: nobody is left. EPERM cannot be helped from here.
  }
}

/** How it ended, in words: `exit code 3: last line`, `killed by SIGSEGV`, `timed out after 5 s`. */
export function describeExit(exit: LocalExit, lines: string): string {
  const tail = lines === '' ? '' : `: ${lines}`;
  if (exit.ended === 'timed-out') return `timed out after ${Math.round(exit.durationMs / 100) / 10} s${tail}`;
  if (exit.ended === 'cancelled') return `cancelled${tail}`;
  if (exit.signal !== undefined) return `killed by ${exit.signal}${tail}`;
  return `exit code ${exit.code ?? '?'}${tail}`;
}
