import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Job, Outcome } from './job.ts';
import type { Word } from './worker.ts';

export interface PoolOptions {
  /** Processes at once. */
  readonly jobs: number;
  /** Ends early, and gives back what was done. */
  readonly signal?: AbortSignal | undefined;
  /** Told of each outcome as it comes, in any order; `false` ends the campaign early. */
  readonly done?: (outcome: Outcome) => boolean | undefined;
}

/** Beside the code as it runs: TypeScript in the repository, JavaScript in the package. */
const workerFile = fileURLToPath(
  new URL(`./worker${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`, import.meta.url),
);

/**
 * Runs jobs in processes of their own, a few at once. The processes share nothing, so that a seed gives the same in any
 * company. One that dies is a violation of its job, not the end of the others. Never rejects.
 */
export function runPool(work: Iterable<Job>, options: PoolOptions): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const queue = work[Symbol.iterator]();
  const workers = new Map<ChildProcess, Job | undefined>();
  let isOver = options.signal?.aborted ?? false;

  const end = (): void => {
    isOver = true;
    for (const worker of workers.keys()) worker.kill('SIGTERM');
    if (workers.size === 0) resolve();
  };
  const took = (outcome: Outcome): void => {
    if (isOver) return;
    if (options.done?.(outcome) === false) end();
  };
  const feed = (worker: ChildProcess): void => {
    if (isOver) return;
    const { value: job, done } = queue.next();
    workers.set(worker, done ? undefined : job);
    if (done) worker.disconnect();
    else worker.send(job);
  };
  const hire = (): void => {
    // No flags of ours: a test runner's loaders are none of the worker's business. There is a worker per processor, so
    // threads that help the collector of one would only take turns with another.
    const worker = fork(workerFile, [], {
      execArgv: ['--single-threaded-gc'],
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    workers.set(worker, undefined);
    worker.on('message', (word: Word) => {
      took(word.is === 'done' ? word.outcome : failed(word.job, word.text));
      feed(worker);
    });
    let hasEnded = false;
    const ended = (how: string): void => {
      if (hasEnded) return;
      hasEnded = true;
      const job = workers.get(worker);
      workers.delete(worker);
      if (job && !isOver) {
        took(failed(job, `its process ended: ${how}`));
        if (!isOver) hire();
      }
      if (workers.size === 0) resolve();
    };
    worker.on('error', (error) => ended(error.message));
    worker.on('exit', (code, signal) => ended(signal ?? `exit code ${code}`));
    feed(worker);
  };
  options.signal?.addEventListener('abort', end, { once: true });
  if (isOver) resolve();
  else for (let n = 0; n < options.jobs; n++) hire();
  return promise.finally(() => options.signal?.removeEventListener('abort', end));
}

const failed = (job: Job, text: string): Outcome => ({
  scenario: job.scenario,
  agents: job.agents,
  seed: job.seed,
  violations: [{ invariant: 'a run ends', atMs: 0, text }],
  samples: { detection: [], firstDetection: [], takeover: [] },
  falseDeaths: 0,
  sometimes: {},
  agentSeconds: 0,
  bytesPerSecondPerAgent: 0,
  messagesPerSecondPerAgent: 0,
  events: 0,
  cpuMs: 0,
  traceHash: '',
  deterministic: null,
});
