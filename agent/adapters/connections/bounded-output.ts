/** What is kept of a stream of bytes. */
export interface Captured {
  /** The first bytes as UTF-8, cut at the head's bound. */
  readonly head: string;
  /** Head, a note of what is missing, and tail. Equal to `head` when nothing was cut. */
  readonly text: string;
  /** Bytes that came in all. */
  readonly bytes: number;
  readonly cut: boolean;
}

/**
 * Keeps the first and the last bytes of an output of any length: the first say what began, the last say how it ended,
 * and a program that prints 100 MB costs 64 kB.
 */
export class BoundedOutput {
  readonly #headBound: number;
  readonly #tailBound: number;
  readonly #head: Buffer[] = [];
  #headBytes = 0;
  #tail: Buffer[] = [];
  #tailBytes = 0;
  #bytes = 0;

  constructor(bound = 65_536) {
    this.#headBound = Math.ceil(bound / 2);
    this.#tailBound = Math.floor(bound / 2);
  }

  push(chunk: Buffer): void {
    this.#bytes += chunk.length;
    let rest = chunk;
    if (this.#headBytes < this.#headBound) {
      const taken = rest.subarray(0, this.#headBound - this.#headBytes);
      this.#head.push(taken);
      this.#headBytes += taken.length;
      rest = rest.subarray(taken.length);
    }
    if (rest.length === 0 || this.#tailBound === 0) return;
    this.#tail.push(rest);
    this.#tailBytes += rest.length;
    // Compacted at twice the bound, so that a flood in small pieces costs linear time.
    if (this.#tailBytes > 2 * this.#tailBound || this.#tail.length > 256) this.#compact();
  }

  #compact(): void {
    const all = Buffer.concat(this.#tail);
    const kept = Buffer.from(all.subarray(Math.max(0, all.length - this.#tailBound)));
    this.#tail = [kept];
    this.#tailBytes = kept.length;
  }

  captured(): Captured {
    this.#compact();
    const tail = this.#tail[0] ?? Buffer.alloc(0);
    const missing = this.#bytes - this.#headBytes - tail.length;
    if (missing <= 0) {
      const text = Buffer.concat([...this.#head, tail]).toString('utf8');
      return { head: text, text, bytes: this.#bytes, cut: false };
    }
    const head = Buffer.concat(this.#head).toString('utf8');
    return {
      head,
      text: `${head}\n… ${missing} bytes cut …\n${tail.toString('utf8')}`,
      bytes: this.#bytes,
      cut: true,
    };
  }
}

/** The last lines that say something, for a reason that people read: at most `count` lines and 400 characters. */
export function lastLines(text: string, count = 3): string {
  const lines = text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
  const joined = lines.slice(-count).join(' / ');
  return joined.length > 400 ? `…${joined.slice(-399)}` : joined;
}
