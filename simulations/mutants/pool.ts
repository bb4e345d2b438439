import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { catalogue } from './catalogue.ts';
import type { HuntOptions, Mutant, MutantReport } from './mutant.ts';
import type { Order, Word } from './worker.ts';

const workerFile = fileURLToPath(new URL('./worker.ts', import.meta.url));

export interface PoolOptions extends HuntOptions {
  /** Processes at once. */
  readonly jobs: number;
  readonly signal?: AbortSignal | undefined;
  /** Told of each report as it comes, in any order. */
  readonly done?: (report: MutantReport) => void;
}

/**
 * Hunts each of these in processes of their own, a few at once. Reports in the order of the mutants; what was not hunted
 * when `signal` ended it is left out. Rejects when a trial itself breaks, for then it says nothing.
 */
export async function huntAll(mutants: readonly Mutant[], options: PoolOptions): Promise<readonly MutantReport[]> {
  const { jobs, signal, done, ...hunting } = options;
  const reports = new Map<Mutant, MutantReport>();
  // The last ones take longest, so they go first.
  const queue = [...mutants];
  const workers = new Set<ChildProcess>();
  const broken = new AbortController();
  const isOver = () => broken.signal.aborted || signal?.aborted === true;
  const end = (): void => {
    for (const worker of workers) worker.kill('SIGTERM');
  };
  signal?.addEventListener('abort', end, { once: true });
  broken.signal.addEventListener('abort', end, { once: true });

  const hire = (): Promise<void> => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const worker = fork(workerFile, [], { execArgv: [], stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
    workers.add(worker);
    let current: Mutant | undefined;
    const feed = (): void => {
      current = isOver() ? undefined : queue.pop();
      if (current === undefined) worker.disconnect();
      else worker.send({ place: catalogue.indexOf(current), options: hunting } satisfies Order);
    };
    worker.on('message', (word: Word) => {
      if (isOver() || current === undefined) return;
      if (word.is === 'failed') return broken.abort(new Error(`${current.part}, ${current.name}: ${word.text}`));
      reports.set(current, word.report);
      done?.(word.report);
      feed();
    });
    const ended = (how: string): void => {
      workers.delete(worker);
      if (current !== undefined && !isOver()) {
        broken.abort(new Error(`${current.part}, ${current.name}: its process ended: ${how}`));
      }
      resolve();
    };
    worker.on('error', (error) => ended(error.message));
    worker.on('exit', (code, by) => ended(by ?? `exit code ${code}`));
    feed();
    return promise;
  };
  try {
    await Promise.all(Array.from({ length: Math.min(jobs, mutants.length) }, hire));
  } finally {
    signal?.removeEventListener('abort', end);
  }
  broken.signal.throwIfAborted();
  return mutants.flatMap((mutant) => reports.get(mutant) ?? []);
}
