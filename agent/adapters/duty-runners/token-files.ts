import { mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Log } from './runner.ts';

/** The file that one run of a program reads its token from. */
export interface TokenFile {
  /** Full path, for `MILLWRIGHT_TOKEN_FILE`. */
  readonly path: string;
  /** Replaces the token as a whole: whoever reads sees the old one or the new one, never a part. */
  renew(token: string): void;
  /** The run is over: whoever still reads finds nothing. */
  end(): void;
}

/** More runs than an agent carries; a name that is not taken away is a bug, and must not fill the disk. */
const maxFiles = 1_024;

/**
 * How a running program learns of a larger token. A lease that is refused while valid goes on under a new token (rule 7
 * of the leases), and an environment cannot be changed from outside; so each run of a program under a right gets a file
 * of its own with the token in it, 16 hex digits and a newline, replaced by rename.
 *
 * Each run, and not each duty: what a former run left behind finds its own file gone, never the token of its successor.
 * That is also why the folder is emptied when an agent begins. Not guaranteed: that a program reads it again. One that
 * uses its first token for ever is refused wherever the larger one was seen, and harms nobody.
 */
export class TokenFiles {
  readonly #folder: string;
  readonly #log: Pick<Log, 'warn'>;
  readonly #open = new Set<string>();
  #serial = 0;

  /** `folder`: of this kind of runner alone; what stands in it is of a former life, and is removed. */
  constructor(folder: string, log: Pick<Log, 'warn'>) {
    this.#folder = folder;
    this.#log = log;
    try {
      for (const name of readdirSync(folder)) rmSync(join(folder, name), { force: true });
    } catch {
      // It was never made.
    }
  }

  /** Undefined when the disk takes nothing: the program then starts with its environment alone. */
  begin(duty: string, session: string, token: string): TokenFile | undefined {
    if (this.#open.size >= maxFiles) return undefined;
    const name = `${duty.replaceAll(/[^a-z0-9.-]/gi, '.')}.${session.slice(0, 12)}.${++this.#serial}`;
    const path = join(this.#folder, name);
    const write = (text: string): boolean => {
      try {
        mkdirSync(this.#folder, { recursive: true, mode: 0o700 });
        writeFileSync(`${path}.next`, `${text}\n`, { mode: 0o600 });
        renameSync(`${path}.next`, path);
        return true;
      } catch (error) {
        this.#log.warn({ duty, error: String(error) }, 'the program is not told of its new token');
        return false;
      }
    };
    if (!write(token)) return undefined;
    this.#open.add(name);
    return {
      path,
      renew: (next) => {
        if (this.#open.has(name)) write(next);
      },
      end: () => {
        this.#open.delete(name);
        rmSync(path, { force: true });
        rmSync(`${path}.next`, { force: true });
      },
    };
  }
}
