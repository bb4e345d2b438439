import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Waits until `probe` gives something other than undefined, null or false, and returns it. Level-triggered and bounded;
 * a probe that throws counts as "not yet", and its last error is what the time-out shows. `what` may be a function, for
 * what is known only then.
 */
export async function eventually<T>(
  probe: () => T | Promise<T>,
  options: { readonly deadlineMs?: number; readonly everyMs?: number; readonly what?: string | (() => string) } = {},
): Promise<NonNullable<Exclude<T, false>>> {
  const { deadlineMs = 5_000, everyMs = 10, what = 'condition' } = options;
  const end = performance.now() + deadlineMs;
  let last: unknown;
  for (;;) {
    try {
      const value = await probe();
      if (value !== undefined && value !== null && value !== false) return value as NonNullable<Exclude<T, false>>;
    } catch (error) {
      last = error;
    }
    if (performance.now() >= end)
      throw new Error(`${typeof what === 'string' ? what : what()}: not within ${deadlineMs} ms`, { cause: last });
    await sleep(everyMs);
  }
}
