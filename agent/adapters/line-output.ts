import { writeSync } from 'node:fs';

/** Lines kept while the reader of the pipe is slow. Beyond it the newest are lost, counted. */
const capacity = 4096;
const retryEveryMs = 20;

/**
 * Lines on a file descriptor, each written at once and whole: what a script that watches an agent reads. Nothing is
 * buffered while the reader keeps up; a full pipe never blocks the agent, which has more to do than to talk.
 */
export class LineOutput {
  readonly #fd: number;
  readonly #write: (fd: number, bytes: Uint8Array) => number;
  #waiting: Buffer[] = [];
  #held = false;
  #closed = false;
  #timer: NodeJS.Timeout | undefined;
  #lost = 0;

  constructor(fd: number, write: (fd: number, bytes: Uint8Array) => number = writeSync) {
    this.#fd = fd;
    this.#write = write;
  }

  /** Lines that found no place. */
  get lost(): number {
    return this.#lost;
  }

  /** Keeps what comes until `release`: one line has to be the first. */
  hold(): void {
    this.#held = true;
  }

  release(first: object): void {
    this.#held = false;
    this.#waiting.unshift(Buffer.from(`${JSON.stringify(first)}\n`));
    this.#flush();
  }

  line(value: object): void {
    if (this.#closed) return;
    if (this.#waiting.length >= capacity) {
      this.#lost++;
      return;
    }
    this.#waiting.push(Buffer.from(`${JSON.stringify(value)}\n`));
    if (!this.#held) this.#flush();
  }

  #flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    while (this.#waiting.length > 0 && !this.#closed) {
      const bytes = this.#waiting[0]!;
      try {
        const written = this.#write(this.#fd, bytes);
        if (written >= bytes.length) this.#waiting.shift();
        else this.#waiting[0] = bytes.subarray(written);
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        if (code === 'EINTR') continue;
        if (code === 'EAGAIN') {
          this.#timer = setTimeout(() => this.#flush(), retryEveryMs);
          this.#timer.unref();
          return;
        }
        // Whoever read has gone: the agent goes on in silence.
        this.#closed = true;
        this.#waiting = [];
      }
    }
  }
}
