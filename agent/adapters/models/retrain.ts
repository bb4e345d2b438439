import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import type { StateRows } from '../../../models/training/recorded.ts';
import { err, ok, type Result } from '../../base/result.ts';

/** What one fit is told; plain data. */
export interface RetrainTask {
  readonly dataDir: string;
  readonly thing: string;
  /** Input names of the model, and the recorder's series behind them. */
  readonly series: readonly { readonly column: string; readonly name: string }[];
  readonly everyMs: number;
  /** The newest so many rows. */
  readonly rows: number;
  /** States of the plant outside of which a row is none to learn from. */
  readonly onlyIn: readonly StateRows[];
  /** The windows of the model that scores now: it is asked whether something grows in these rows. */
  readonly incumbent: { readonly inputs: readonly string[]; readonly windowRows: number; readonly maxGapMs: number };
  readonly folder: string;
  readonly name: string;
  readonly kind: string;
}

/**
 * Why nothing was trained: `rising`, the present model finds the rows stranger and stranger (`models/training/rising.ts`);
 * `rows`, there are too few, or they bear no model; `budget`, time or memory was used up; `broken`, the fit fell over;
 * `stopped`, this agent ends; `unfit`, a model of this sort is not trained on a box.
 */
export interface RetrainProblem {
  readonly code: 'rising' | 'rows' | 'budget' | 'broken' | 'stopped' | 'unfit';
  readonly why: string;
}

export type RetrainAnswer =
  | { readonly ok: true; readonly sha256: string; readonly rows: number }
  | ({ readonly ok: false } & RetrainProblem);

/** What the thread says: windows that the present model should score, then what became of it all. */
export type FromFit =
  | { readonly is: 'windows'; readonly windows: Float32Array; readonly n: number }
  | { readonly is: 'done'; readonly answer: RetrainAnswer };
/** What it is answered. */
export interface WindowScores {
  readonly scores: Float32Array;
  /** [n·C], what each input explains of a score. */
  readonly contributions: Float32Array;
}

/** Scores n windows with the model that scores now. */
export type ScoreWindows = (windows: Float32Array, n: number) => Promise<WindowScores>;

export interface RetrainBudget {
  /** CPU time of the whole fit; it is ended when that is used up. */
  readonly cpuMs: number;
  /** And at the latest after this. */
  readonly wallMs: number;
  /** Of its heap, and of what it holds beside it. */
  readonly memoryMb: number;
}

export const retrainBudget: RetrainBudget = { cpuMs: 60_000, wallMs: 30 * 60_000, memoryMb: 256 };

/** Folders of models trained here that are kept for one seat: the newest, and what may have to come back. */
const keep = 4;
const lookEveryMs = 250;
/** So long at most the end of a thread waits for what it was asked last. */
const lastWordMs = 500;

/** Where models that were trained on this box lie, below the agent's data. */
export const boxModels = (dataDir: string): string => join(dataDir, 'models');

/** The thread's program. */
export const retrainProgram = new URL(
  `./retrain-worker${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`,
  import.meta.url,
);

/**
 * Fits a model in a thread of its own, under a budget of CPU time, time and memory and at the lowest priority, so that a
 * fit that goes astray costs a minute of one core and nothing else. The event loop of the agent never waits for it, and
 * whatever becomes of the thread is an answer here, never an error.
 *
 * The thread runs JavaScript only. What the present model says of the rows is asked of `score`, on this side: a thread
 * that is ended within ONNX Runtime takes the whole process with it (seen with 1.30: abort by an uncaught Napi::Error).
 */
export async function retrain(
  task: RetrainTask,
  score: ScoreWindows,
  budget: RetrainBudget = retrainBudget,
  signal?: AbortSignal,
  program: URL = retrainProgram,
): Promise<Result<{ readonly sha256: string; readonly rows: number; readonly cpuMs: number }, RetrainProblem>> {
  if (signal?.aborted) return err({ code: 'stopped', why: 'stopped' });
  const worker = new Worker(program, {
    workerData: task,
    resourceLimits: { maxOldGenerationSizeMb: budget.memoryMb, maxYoungGenerationSizeMb: 16 },
    stdin: false,
  });
  let usedMs = 0;
  let looking: NodeJS.Timeout | undefined;
  let late: NodeJS.Timeout | undefined;
  let stop: (() => void) | undefined;
  let isOver = false;
  let asked: Promise<unknown> = Promise.resolve();
  const ask = <T>(answer: Promise<T>): Promise<T | undefined> => {
    const heard = answer.catch(() => undefined);
    asked = heard;
    return heard;
  };
  try {
    const said = await new Promise<RetrainAnswer>((resolve) => {
      const refuse = (code: RetrainProblem['code'], why: string) => resolve({ ok: false, code, why });
      worker.on('message', (said: FromFit) => {
        if (said.is === 'done') return resolve(said.answer);
        score(said.windows, said.n)
          .then((scored) => worker.postMessage(scored))
          .catch((cause: unknown) =>
            refuse('unfit', `the present model cannot be asked: ${String(cause)}`.slice(0, 400)),
          );
      });
      worker.once('error', (error: NodeJS.ErrnoException) => {
        if (error.code === 'ERR_WORKER_OUT_OF_MEMORY') refuse('budget', memoryWords(budget));
        else refuse('broken', `the fit fell over: ${error.message}`.slice(0, 400));
      });
      worker.once('exit', () => refuse('broken', 'the fit ended without a word'));
      stop = () => refuse('stopped', 'stopped');
      signal?.addEventListener('abort', stop, { once: true });
      // By itself: a thread deep in the database answers no question about its CPU time.
      late = setTimeout(() => refuse('budget', `it was not done within ${words(budget.wallMs)}`), budget.wallMs);
      const look = async (): Promise<void> => {
        const used = await ask(worker.cpuUsage());
        if (used !== undefined) usedMs = (used.user + used.system) / 1_000;
        if (usedMs > budget.cpuMs) return refuse('budget', `it used up its ${words(budget.cpuMs)} of CPU time`);
        // The limit of its heap does not count arrays of numbers, which lie beside it.
        if (isOver) return;
        const heap = await ask(worker.getHeapStatistics());
        const heldMb = heap === undefined ? 0 : (heap.used_heap_size + heap.external_memory) / 2 ** 20;
        if (heldMb > budget.memoryMb) return refuse('budget', memoryWords(budget));
        // The thread may have gone while it was asked: nobody looks after it any more.
        if (!isOver) looking = setTimeout(() => void look(), lookEveryMs);
      };
      void look();
    });
    if (!said.ok) return err({ code: said.code, why: said.why });
    return ok({ sha256: said.sha256, rows: said.rows, cpuMs: usedMs });
  } finally {
    isOver = true;
    clearTimeout(looking);
    clearTimeout(late);
    if (stop !== undefined) signal?.removeEventListener('abort', stop);
    // A thread that ends while it is asked what it uses is a race inside Node: first the answer, unless it is too deep in
    // something else to give one.
    await Promise.race([asked, sleep(lastWordMs, undefined, { ref: false })]);
    await worker.terminate();
  }
}

const memoryWords = ({ memoryMb }: RetrainBudget): string => `it wanted more than its ${memoryMb} MB of memory`;
const words = (ms: number): string => (ms >= 120_000 ? `${Math.round(ms / 60_000)} min` : `${ms / 1_000} s`);

/** Lets the oldest folders of a seat go, but never one that sits somewhere. */
export function tidyBoxModels(dataDir: string, seat: string, seated: readonly string[]): void {
  const root = join(boxModels(dataDir), seat);
  let names: string[];
  try {
    names = readdirSync(root).sort();
  } catch {
    return;
  }
  for (const name of names.slice(0, Math.max(0, names.length - keep))) {
    if (!seated.includes(`${seat}/${name}`)) rmSync(join(root, name), { recursive: true, force: true });
  }
}
