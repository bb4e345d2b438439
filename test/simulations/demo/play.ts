import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { expect, onTestFinished } from 'vitest';
import { z } from 'zod';
import { eventually } from '../../support/eventually.ts';
import { emptyTrace, follow, remains } from '../../support/process-tree.ts';

const root = resolve(import.meta.dirname, '..', '..', '..');
const compileCache = process.env['NODE_COMPILE_CACHE'] ?? join(root, 'node_modules', '.cache', 'compile');

/** The last line that `--once --json` prints. Evidence stays unknown: each test parses what it wants to judge. */
const Verdict = z.object({
  ok: z.boolean(),
  failure: z.string().optional(),
  interrupted: z.string().optional(),
  story: z.array(
    z.object({
      step: z.string(),
      ok: z.boolean(),
      ms: z.number(),
      evidence: z.record(z.string(), z.unknown()),
      why: z.string().optional(),
    }),
  ),
  timings: z.record(z.string(), z.number()),
});
export type Verdict = z.infer<typeof Verdict>;

export interface Ended {
  readonly code: number | null;
  readonly signal: string | null;
}

/** The demo as its user starts it, in a temporary folder of its own, followed down to its last process and port. */
export interface Play {
  readonly pid: number;
  readonly ended: Promise<Ended>;
  /** What it printed so far: standard output line by line, and standard error whole. */
  readonly lines: readonly string[];
  readonly complaints: () => string;
  kill(signal: NodeJS.Signals): void;
  verdict(): Verdict;
  /** Pids and listening ports that were seen so far. */
  seen(): { readonly processes: string[]; readonly ports: number[] };
  /** What is still there of all that was seen, and what lies in its temporary folder. */
  leftovers(): { readonly processes: string[]; readonly ports: number[]; readonly files: string[] };
}

export interface PlayOptions {
  /** Another way in than `node simulations/demo/main.ts`, such as npm. */
  readonly command?: readonly [string, ...string[]];
}

/** Starts it; the caller ends it with `dispose`, which also takes by force what a failed test left running. */
export function startPlay(
  args: readonly string[],
  options: PlayOptions = {},
): { play: Play; dispose: () => Promise<void> } {
  const temporary = realpathSync(mkdtempSync(join(tmpdir(), 'millwright-play-')));
  const [command, ...first] = options.command ?? [process.execPath, join(root, 'simulations', 'demo', 'main.ts')];
  const child = spawn(command, [...first, ...args], {
    cwd: root,
    // Named, so that npm does not put a compile cache into the folder whose emptiness is judged; and a dozen processes that
    // compile the same files half as often.
    env: { ...process.env, TMPDIR: temporary, NODE_OPTIONS: '', NODE_COMPILE_CACHE: compileCache },
    stdio: ['ignore', 'pipe', 'pipe'],
    // A group of its own: a signal to it is not one to the tests.
    detached: true,
  });
  const pid = child.pid ?? 0;
  const lines: string[] = [];
  let complaints = '';
  createInterface({ input: child.stdout }).on('line', (line) => lines.push(line));
  child.stderr.on('data', (chunk: Buffer) => {
    complaints = (complaints + chunk.toString()).slice(-20_000);
  });
  const ended = new Promise<Ended>((done) => child.once('close', (code, signal) => done({ code, signal })));
  const trace = emptyTrace();
  const following = setInterval(() => follow(trace, [pid], temporary), 500);
  void ended.then(() => clearInterval(following));
  const play: Play = {
    pid,
    ended,
    lines,
    complaints: () => complaints,
    kill: (signal) => void child.kill(signal),
    verdict: () => {
      const last = lines.at(-1) ?? '';
      const parsed = Verdict.safeParse(last.startsWith('{') ? JSON.parse(last) : undefined);
      if (!parsed.success) throw new Error(`no verdict; it ended so:\n${lines.slice(-3).join('\n')}\n${complaints}`);
      return parsed.data;
    },
    seen: () => ({
      processes: [...trace.processes.values()].map(({ command }) => command),
      ports: [...trace.sockets.values()],
    }),
    leftovers: () => {
      follow(trace, [], temporary);
      return { ...remains(trace), files: readdirSync(temporary) };
    },
  };
  const dispose = async () => {
    clearInterval(following);
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM');
    const isOver = () => play.leftovers().processes.length === 0;
    await eventually(isOver, { deadlineMs: 12_000, everyMs: 100 }).catch(() => {
      for (const line of play.leftovers().processes) process.kill(Number.parseInt(line, 10), 'SIGKILL');
    });
    rmSync(temporary, { recursive: true, force: true, maxRetries: 5 });
  };
  return { play, dispose };
}

/** The same for one test: plays to the end, hands out verdict and exit code. */
export async function playToEnd(args: readonly string[]): Promise<{ play: Play; ended: Ended; verdict: Verdict }> {
  const { play, dispose } = startPlay(['--once', '--json', ...args]);
  onTestFinished(dispose, 30_000);
  const ended = await play.ended;
  return { play, ended, verdict: play.verdict() };
}

/** One step's evidence, as the schema wants it; a mismatch names the path. */
export function evidenceOf<T>(verdict: Verdict, step: string, schema: z.ZodType<T>): T {
  const found = verdict.story.find((entry) => entry.step === step);
  if (found === undefined) {
    throw new Error(`the story has no step ${step}: ${verdict.story.map((entry) => entry.step).join(', ')}`);
  }
  return schema.parse(found.evidence);
}

/** Nothing of it stays: waits a moment for what was just signalled. */
export const nothingStays = (play: Play, deadlineMs: number): Promise<unknown> =>
  eventually(
    () => {
      const { processes, ports, files } = play.leftovers();
      const left = [...processes, ...ports.map((port) => `port ${port}`), ...files];
      if (left.length > 0) throw new Error(left.join('\n'));
      return true;
    },
    { deadlineMs, everyMs: 200, what: 'no process, port or folder of the demo' },
  );

/** Plays the story with one step's mechanism broken: it must end non-zero, and name this step and no other. */
export async function mustFail(step: string, why: RegExp): Promise<void> {
  const { play, ended, verdict } = await playToEnd(['--only', step, '--sabotage', step]);
  expect(verdict.failure, play.complaints()).toBeUndefined();
  expect(verdict.story.map((entry) => [entry.step, entry.ok])).toEqual([
    ...(step === 'members' ? [] : [['members', true]]),
    [step, false],
  ]);
  expect(verdict.story.at(-1)?.why).toMatch(why);
  expect(verdict).toMatchObject({ ok: false });
  expect(ended).toEqual({ code: 1, signal: null });
}

/** Waits until all of it runs: starter, janitor, plant, coordinator, five agents, a console's address. */
export const isUp = (play: Play): Promise<unknown> =>
  eventually(
    () => {
      const { processes, ports } = play.seen();
      return (
        play.lines.some((line) => line.includes('site/line-log: edge-')) && processes.length >= 9 && ports.length >= 14
      );
    },
    { deadlineMs: 100_000, everyMs: 200, what: 'the demo is up' },
  ).catch((error) => {
    throw new Error(`${error.message}\n${play.lines.slice(-5).join('\n')}\n${play.complaints()}`);
  });
