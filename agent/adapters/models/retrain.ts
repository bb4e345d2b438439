import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
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
  readonly folder: string;
  readonly name: string;
  readonly kind: string;
}

export type RetrainAnswer =
  | { readonly ok: true; readonly sha256: string; readonly rows: number }
  | { readonly ok: false; readonly why: string };

export interface RetrainBudget {
  /** CPU time of the whole fit; it is ended when that is used up. */
  readonly cpuMs: number;
  /** And at the latest after this. */
  readonly wallMs: number;
  readonly memoryMb: number;
}

export const retrainBudget: RetrainBudget = { cpuMs: 60_000, wallMs: 30 * 60_000, memoryMb: 256 };

/** Folders of models trained here that are kept for one seat: the newest, and what may have to come back. */
const keep = 4;
const lookEveryMs = 250;

/** Where models that were trained on this box lie, below the agent's data. */
export const boxModels = (dataDir: string): string => join(dataDir, 'models');

/**
 * Fits a model in a thread of its own, under a budget of CPU time and memory and at the lowest priority, so that a fit
 * that goes astray costs a minute of one core and nothing else. The event loop of the agent never waits for it.
 */
export async function retrain(
  task: RetrainTask,
  budget: RetrainBudget = retrainBudget,
  signal?: AbortSignal,
): Promise<Result<{ readonly sha256: string; readonly rows: number; readonly cpuMs: number }, string>> {
  const file = new URL(`./retrain-worker${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`, import.meta.url);
  const worker = new Worker(file, {
    workerData: task,
    resourceLimits: { maxOldGenerationSizeMb: budget.memoryMb, maxYoungGenerationSizeMb: 16 },
    stdin: false,
  });
  const began = performance.now();
  let usedMs = 0;
  let timer: NodeJS.Timeout | undefined;
  let stop: (() => void) | undefined;
  try {
    const said = await new Promise<Result<RetrainAnswer, string>>((resolve) => {
      worker.once('message', (answer: RetrainAnswer) => resolve(ok(answer)));
      worker.once('error', (error) => resolve(err(error.message)));
      worker.once('exit', () => resolve(err('the fit ended without a word')));
      stop = () => resolve(err('stopped'));
      signal?.addEventListener('abort', stop, { once: true });
      const look = async (): Promise<void> => {
        const used = await worker.cpuUsage().catch(() => undefined);
        if (used !== undefined) usedMs = (used.user + used.system) / 1_000;
        if (usedMs > budget.cpuMs) return resolve(err(`it used up its ${budget.cpuMs / 1_000} s of CPU time`));
        if (performance.now() - began > budget.wallMs)
          return resolve(err(`not done within ${budget.wallMs / 60_000} min`));
        timer = setTimeout(() => void look(), lookEveryMs);
      };
      void look();
    });
    if (!said.ok) return said;
    if (!said.value.ok) return err(said.value.why);
    const { sha256, rows } = said.value;
    return ok({ sha256, rows, cpuMs: usedMs });
  } finally {
    clearTimeout(timer);
    if (stop !== undefined) signal?.removeEventListener('abort', stop);
    await worker.terminate();
  }
}

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
