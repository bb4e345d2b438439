/** So long one slice of work may hold the event loop, by the clock: probes and heartbeats go in between. */
export const sliceMs = 4;
/** A slice that took this many times its length met a slow disk or a busy box … */
const late = 4;
/** … and then the rest of the loop has as long as it took, at most so long. */
const mostRestMs = 250;

/**
 * Gives turns to work that is done in slices: one slice in one turn of the event loop, whoever waits, so that two jobs do
 * not add up. By the monotonic clock, since a disk that is slow takes no CPU.
 */
export class Turns {
  readonly #elapsed: () => number;
  readonly #waiting: (() => void)[] = [];
  #cancel: (() => void) | undefined;
  #isClosed = false;

  constructor(elapsed: () => number = () => performance.now()) {
    this.#elapsed = elapsed;
  }

  /** Does one slice when its turn comes; rejects with what it throws. Undefined: there are no turns any more. */
  turn<T>(slice: () => T): Promise<{ readonly value: T } | undefined> {
    if (this.#isClosed) return Promise.resolve(undefined);
    return new Promise((resolve, reject) => {
      this.#waiting.push(() => {
        if (this.#isClosed) return resolve(undefined);
        try {
          resolve({ value: slice() });
        } catch (error) {
          reject(error);
        }
      });
      if (this.#cancel === undefined) this.#schedule(0);
    });
  }

  /**
   * Takes steps to their end, as many in a turn as there is time for. What the steps of a turn gave is told to `each`,
   * and the next turn waits for it. Undefined: turns ended before.
   */
  async run<S, T>(
    steps: Iterator<S, T>,
    each?: (given: readonly S[]) => Promise<void>,
  ): Promise<{ readonly value: T } | undefined> {
    for (;;) {
      const given: S[] = [];
      const turn = await this.turn(() => {
        const began = this.#elapsed();
        do {
          const step = steps.next();
          if (step.done === true) return { value: step.value };
          given.push(step.value);
        } while (this.#elapsed() - began < sliceMs);
        return undefined;
      });
      if (turn === undefined) return undefined;
      await each?.(given);
      if (turn.value !== undefined) return turn.value;
    }
  }

  /** Whoever waits hears that there is no turn. */
  close(): void {
    this.#isClosed = true;
    this.#cancel?.();
    for (const resume of this.#waiting.splice(0)) resume();
  }

  #schedule(afterMs: number): void {
    const give = (): void => {
      const began = this.#elapsed();
      this.#waiting.shift()?.();
      const took = this.#elapsed() - began;
      this.#cancel = undefined;
      // Also when nobody waits yet: whoever comes next must not make this turn longer, nor the rest shorter.
      this.#schedule(took < late * sliceMs ? 0 : Math.min(took, mostRestMs));
    };
    const idle = (): void => {
      this.#cancel = undefined;
      if (this.#waiting.length > 0) give();
    };
    if (afterMs > 0) {
      const timer = setTimeout(idle, afterMs);
      this.#cancel = () => clearTimeout(timer);
    } else {
      const immediate = setImmediate(idle);
      this.#cancel = () => clearImmediate(immediate);
    }
  }
}

/** Steps that are not to be interrupted: all of them, now. */
export function runOut<T>(steps: Iterator<unknown, T>): T {
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}
