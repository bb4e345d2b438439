import { createRequire } from 'node:module';
import { setImmediate as turn } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';

/**
 * Loads a large package in many small steps, a turn of the event loop after each. `import()` reads, links and runs a
 * whole tree of modules in one go: for an OPC UA client that is a second in which the agent answers no probe, on a busy
 * box two or three, and its peers take it for dead.
 *
 * A step names packages from the outside in, `a > b`: what `a` depends on is found as `a` itself would find it, wherever
 * npm has put it. A step that cannot be found (another release arranges itself in another way) is left out and named; the
 * last import then does all that is left at once. Steps keep the order in which the package itself would load its parts.
 */
export async function importStepwise<T>(
  root: string,
  steps: readonly string[],
): Promise<{ readonly loaded: T; readonly missed: readonly string[] }> {
  const missed: string[] = [];
  const rootUrl = import.meta.resolve(root);
  for (const step of steps) {
    try {
      let path = rootUrl;
      for (const name of step.split(' > ')) path = pathToFileURL(createRequire(path).resolve(name)).href;
      await import(path);
    } catch {
      missed.push(step);
    }
    await turn();
  }
  return { loaded: (await import(rootUrl)) as T, missed };
}
