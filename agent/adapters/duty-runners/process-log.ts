import { closeSync, fstatSync, mkdirSync, openSync, renameSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';

/**
 * Output of a duty's process on disk: one file of at most `bound` bytes and one older, so that a program that prints
 * all day costs two bounds. A disk that refuses costs lines, never the process: it is counted and said once.
 */
export class ProcessLog {
  readonly path: string;
  readonly #bound: number;
  #file: number | undefined;
  #size = 0;
  #lost = 0;

  constructor(path: string, bound = 1_048_576) {
    this.path = path;
    this.#bound = bound;
  }

  /** Bytes that the disk did not take. */
  get lost(): number {
    return this.#lost;
  }

  write(chunk: Buffer): void {
    try {
      if (this.#file === undefined) {
        mkdirSync(dirname(this.path), { recursive: true, mode: 0o700 });
        this.#open();
      }
      if (this.#size > 0 && this.#size + chunk.length > this.#bound) {
        this.close();
        renameSync(this.path, `${this.path}.1`);
        this.#open();
      }
      const taken = chunk.length > this.#bound ? chunk.subarray(chunk.length - this.#bound) : chunk;
      writeSync(this.#file!, taken);
      this.#size += taken.length;
    } catch {
      this.#lost += chunk.length;
    }
  }

  #open(): void {
    this.#file = openSync(this.path, 'a', 0o600);
    this.#size = fstatSync(this.#file).size;
  }

  close(): void {
    if (this.#file === undefined) return;
    closeSync(this.#file);
    this.#file = undefined;
  }
}
