import { close, fstat, mkdirSync, open, rename, write } from 'node:fs';
import type { Readable } from 'node:stream';

const fileBound = 1_048_576;
const tailBound = 2_048;
/** A disk that takes longer than this over one piece loses what comes meanwhile; the program is not held up. */
const patienceMs = 2_000;

/**
 * What a duty prints: the last lines in memory, and, where a file is named, one file of at most 1 MiB and one older.
 * Nothing here ever waits for a disk: a supervisor that does is late for its deadlines. While a piece is being
 * written, the program's pipe fills, which holds a flood back without costing time here.
 */
export class Output {
  readonly #path: string | undefined;
  #tail = Buffer.alloc(0);
  #file: number | undefined;
  #size = 0;
  #busy = false;
  #closed = false;
  #lost = 0;

  constructor(path: string | undefined) {
    this.#path = path;
  }

  /** Bytes that no file took. */
  get lost(): number {
    return this.#lost;
  }

  attach(stream: Readable): void {
    stream.on('error', () => {});
    stream.on('data', (chunk: Buffer) => this.#take(chunk, stream));
  }

  /** The last lines that say something, at most 400 characters. */
  lastLines(): string {
    const lines = this.#tail
      .toString('utf8')
      .split('\n')
      .map((line) => line.trim())
      .filter((line) => line !== '');
    const joined = lines.slice(-3).join(' / ');
    return joined.length > 400 ? `…${joined.slice(-399)}` : joined;
  }

  close(): void {
    this.#closed = true;
    if (!this.#busy) this.#release();
  }

  #take(chunk: Buffer, stream: Readable): void {
    this.#tail = Buffer.concat([this.#tail, chunk.subarray(-tailBound)]).subarray(-tailBound);
    if (this.#path === undefined) return;
    if (this.#busy) {
      this.#lost += chunk.length;
      return;
    }
    this.#busy = true;
    stream.pause();
    const patience = setTimeout(() => stream.resume(), patienceMs);
    this.#store(this.#path, chunk, (taken) => {
      clearTimeout(patience);
      if (!taken) this.#lost += chunk.length;
      this.#busy = false;
      if (this.#closed) this.#release();
      else stream.resume();
    });
  }

  #store(path: string, chunk: Buffer, done: (taken: boolean) => void): void {
    if (this.#file === undefined) {
      try {
        mkdirSync(path.slice(0, path.lastIndexOf('/')) || '/', { recursive: true, mode: 0o700 });
      } catch {
        // Opening will say so.
      }
      open(path, 'a', 0o600, (error, file) => {
        if (error !== null) return done(false);
        this.#file = file;
        fstat(file, (_, stats) => {
          this.#size = stats?.size ?? 0;
          this.#store(path, chunk, done);
        });
      });
    } else if (this.#size > 0 && this.#size + chunk.length > fileBound) {
      this.#release();
      rename(path, `${path}.1`, (error) => {
        if (error !== null) return done(false);
        this.#store(path, chunk, done);
      });
    } else {
      this.#size += chunk.length;
      write(this.#file, chunk, (error, written) => done(error === null && written === chunk.length));
    }
  }

  #release(): void {
    if (this.#file !== undefined) close(this.#file, () => {});
    this.#file = undefined;
  }
}
