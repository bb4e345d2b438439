import { mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Result } from '../../base/result.ts';
import { err, ok } from '../../base/result.ts';

/** What models learnt that the site has no more is kept for so many of them: they may come back. */
const mostForgotten = 32;

/** Larger files are not ours. */
const mostBytes = 8_000_000;

/**
 * What detectors have learnt, one file per model. It is worth days of watching but no journal: written whole beside the
 * old one and renamed, so that a power cut leaves the old state or the new, and a file that cannot be read costs
 * learning anew, never the agent.
 */
export class StreamStore {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** `undefined` where nothing was kept yet. */
  async load(model: string): Promise<Result<unknown, string>> {
    const path = this.#path(model);
    try {
      const { size } = await stat(path);
      if (size > mostBytes) return err(`${path} has ${size} bytes, at most ${mostBytes} are read`);
      return ok(JSON.parse(await readFile(path, 'utf8')) as unknown);
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return ok(undefined);
      return err(`${path} cannot be read (${(cause as Error).message})`);
    }
  }

  async save(model: string, state: unknown): Promise<Result<undefined, string>> {
    const path = this.#path(model);
    try {
      await mkdir(this.#folder, { recursive: true });
      await using file = await open(`${path}.new`, 'w');
      await file.writeFile(JSON.stringify(state));
      await file.sync();
      await rename(`${path}.new`, path);
      return ok(undefined);
    } catch (cause) {
      return err(`${path} cannot be written (${(cause as Error).message})`);
    }
  }

  /** Of what belongs to no model of `known`, only the newest files stay. */
  async prune(known: readonly string[]): Promise<void> {
    const ours = new Set(known.map((model) => this.#path(model)));
    const names = await readdir(this.#folder).catch(() => []);
    const strangers: { path: string; at: number }[] = [];
    for (const name of names) {
      const path = join(this.#folder, name);
      if (ours.has(path) || !/\.json(\.new)?$/.test(name)) continue;
      const at = (await stat(path).catch(() => undefined))?.mtimeMs;
      if (at !== undefined) strangers.push({ path, at });
    }
    strangers.sort((a, b) => b.at - a.at);
    for (const { path } of strangers.slice(mostForgotten)) await rm(path, { force: true }).catch(() => {});
  }

  /** Model ids are `thing/name`, both of letters, digits and hyphens. */
  #path(model: string): string {
    return join(this.#folder, `${model.replaceAll('/', '~').replaceAll(/[^a-zA-Z0-9~._-]/g, '_')}.json`);
  }
}
