import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Result } from '../../base/result.ts';
import { err, ok } from '../../base/result.ts';
import { readProcess } from '../connections/process-table.ts';

/** Holds an agent's data folder for one process. */
export interface FolderLock {
  release(): void;
}

/**
 * Two agents on one data folder would write one journal and one outbox, each as the other's past. The first one leaves
 * its number and start in `agent.lock`; a second one is refused for as long as that very process lives. A lock of the
 * dead, or of a number that another program has by now, is taken over: a killed agent must come back by itself.
 *
 * A folder that cannot be written is no error here: the store says what it means, and the agent still watches.
 */
export function holdFolder(dir: string): Result<FolderLock, string> {
  const file = join(dir, 'agent.lock');
  const own = `${process.pid} ${readProcess(process.pid)?.startTicks ?? 0}\n`;
  try {
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    for (let tries = 0; tries < 2; tries++) {
      try {
        writeFileSync(file, own, { flag: 'wx', mode: 0o600 });
        return ok({ release: () => releaseIfOwn(file, own) });
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      }
      const holder = holderOf(file);
      if (holder !== undefined && holder !== process.pid) {
        return err(
          `another agent (process ${holder}) works in ${dir}: end it first, or give this one its own data folder`,
        );
      }
      rmSync(file, { force: true });
    }
  } catch {
    // Full, read-only or gone: shown by the store.
  }
  return ok({ release: () => releaseIfOwn(file, own) });
}

/** The living process that wrote the lock; undefined when it is gone or its number belongs to somebody else by now. */
function holderOf(file: string): number | undefined {
  const [pid = Number.NaN, ticks = Number.NaN] = readFileSync(file, 'utf8').trim().split(' ').map(Number);
  if (!Number.isSafeInteger(pid) || pid <= 0) return undefined;
  const row = readProcess(pid);
  return row !== undefined && row.state !== 'Z' && row.startTicks === ticks ? pid : undefined;
}

function releaseIfOwn(file: string, own: string): void {
  try {
    if (readFileSync(file, 'utf8') === own) rmSync(file, { force: true });
  } catch {
    // Already gone.
  }
}
