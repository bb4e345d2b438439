/** One part of a running process that has to be ended. */
export type Stop = () => Promise<void> | void;

/** A part that does not end is left behind. */
const stopWithinMs = 6_000;

/** What has been started and must be stopped, in reverse order, each step bounded in time. */
export class Stops {
  readonly #stops: Stop[] = [];
  readonly #failed: (error: unknown) => void;

  /** `failed` hears of each part that threw, or took too long. */
  constructor(failed: (error: unknown) => void) {
    this.#failed = failed;
  }

  push(stop: Stop): void {
    this.#stops.push(stop);
  }

  /** Runs something again and again until all is stopped. */
  every(ms: number, run: () => void): void {
    const timer = setInterval(run, ms);
    this.push(() => clearInterval(timer));
  }

  /** Never rejects. A second call finds nothing left to do. */
  async all(): Promise<void> {
    for (const stop of this.#stops.splice(0).reverse()) {
      try {
        await bounded(Promise.resolve(stop()), stopWithinMs);
      } catch (error) {
        this.#failed(error);
      }
    }
  }
}

async function bounded(work: Promise<void>, ms: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not done within ${ms} ms`)), ms);
  });
  try {
    await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
