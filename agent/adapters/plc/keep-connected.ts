import { Backoff } from '../../base/backoff.ts';
import type { Random } from '../../base/random.ts';
import type { SourceHandlers, SourceTiming } from './source.ts';

/** One life of a connection. */
export interface Session {
  /** Resolves with a reason for people when this life is over. Never rejects. */
  readonly ended: Promise<string>;
  /** Bounded, never rejects; afterwards nothing of it calls back. */
  close(): Promise<void>;
}

/**
 * Connects, waits for the end, connects again: for ever, with jitter. `onLost` and `onFound` alternate, and a device
 * that was never there is told as lost once, not once per attempt.
 */
export class KeepConnected {
  readonly #open: (signal: AbortSignal) => Promise<Session>;
  readonly #handlers: SourceHandlers;
  readonly #timing: SourceTiming;
  readonly #backoff: Backoff;
  readonly #stop = new AbortController();
  #running: Promise<void> | undefined;
  #state: 'unknown' | 'found' | 'lost' = 'unknown';
  connects = 0;
  failures = 0;
  lastFailure: string | undefined;

  constructor(
    open: (signal: AbortSignal) => Promise<Session>,
    handlers: SourceHandlers,
    timing: SourceTiming,
    random: Random,
  ) {
    this.#open = open;
    this.#handlers = handlers;
    this.#timing = timing;
    this.#backoff = new Backoff(timing.backoffBaseMs, timing.backoffMostMs, random);
  }

  start(): void {
    this.#running ??= this.#run();
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  get stopped(): boolean {
    return this.#stop.signal.aborted;
  }

  /** The device answered; the session calls it before its first sample. */
  found(): void {
    if (this.stopped || this.#state === 'found') return;
    this.#state = 'found';
    this.connects++;
    this.#handlers.onFound();
  }

  #lost(reason: string): void {
    this.failures++;
    this.lastFailure = reason;
    if (this.stopped || this.#state === 'lost') return;
    this.#state = 'lost';
    this.#handlers.onLost(reason);
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      try {
        const session = await this.#open(signal);
        const since = performance.now();
        const reason = await endOf(session, signal);
        await session.close();
        if (!signal.aborted) this.#lost(reason);
        // Only a connection that lasted earns a fresh start; one that breaks at once is part of the same trouble.
        if (performance.now() - since > this.#timing.backoffMostMs) this.#backoff.reset();
      } catch (error) {
        this.#lost(reasonOf(error));
      }
      if (!signal.aborted) await pause(this.#backoff.next(), signal);
    }
  }
}

/** The session's own reason, or 'stopped'. Leaves nothing behind on the signal, which outlives many sessions. */
const endOf = (session: Session, signal: AbortSignal): Promise<string> =>
  new Promise((resolve) => {
    const stop = () => resolve('stopped');
    if (signal.aborted) return stop();
    signal.addEventListener('abort', stop, { once: true });
    void session.ended.then((reason) => {
      signal.removeEventListener('abort', stop);
      resolve(reason);
    });
  });

/** One line for people: the error's own words, without its stack. */
export const reasonOf = (error: unknown): string => {
  // The libraries throw things that look like errors and are none.
  const { message, name, code } = (error ?? {}) as { message?: unknown; name?: unknown; code?: unknown };
  const text =
    typeof message === 'string' && message !== '' ? message : typeof name === 'string' ? name : String(error);
  const line = text.split('\n')[0]!.trim().slice(0, 300);
  return typeof code === 'string' && !line.includes(code) ? `${code}: ${line}` : line;
};

/** Resolves after `ms`, or at once when the signal aborts. */
export const pause = (ms: number, signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener('abort', done, { once: true });
  });

/** Resolves when the promise settles, whatever comes of it, but after `ms` at the latest. */
export const bounded = async (promise: Promise<unknown>, ms: number): Promise<void> => {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  await Promise.race([promise.then(noop, noop), limit]);
  clearTimeout(timer);
};

/** The promise's value, or an error with this text after `ms`. */
export const within = async <T>(promise: Promise<T>, ms: number, what: string): Promise<T> => {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: no answer within ${ms} ms`)), ms);
  });
  promise.catch(noop);
  try {
    return await Promise.race([promise, limit]);
  } finally {
    clearTimeout(timer);
  }
};

const noop = (): void => {};
