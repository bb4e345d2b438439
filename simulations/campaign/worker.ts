import { type Job, type Outcome, runJob } from './job.ts';

/** What a worker says to the campaign: where it is, and what came of a job. */
export type Word =
  | { readonly is: 'done'; readonly outcome: Outcome }
  | { readonly is: 'failed'; readonly job: Job; readonly text: string };

/** A process of a campaign: one job after another, as they are handed over. It ends with the one that started it. */
const say = (word: Word): void => {
  process.send?.(word);
};

// Ctrl-C reaches every process of a terminal: whoever started us decides what it means.
process.on('SIGINT', () => {});
process.on('disconnect', () => process.exit(0));
process.on('message', (job: Job) => {
  const cpuMs = (): number => {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1000;
  };
  try {
    say({ is: 'done', outcome: runJob(job, cpuMs) });
  } catch (error) {
    say({ is: 'failed', job, text: error instanceof Error ? (error.stack ?? error.message) : String(error) });
  }
});
