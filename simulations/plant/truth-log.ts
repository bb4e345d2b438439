import { appendFileSync } from 'node:fs';

export interface TruthEntry {
  readonly seq: number;
  /** Wall time, ISO 8601 with milliseconds. */
  readonly at: string;
  readonly event: string;
  readonly [detail: string]: string | number | boolean;
}

/**
 * What really happened in the plant and when, written by the one who made it happen: the yardstick for detection
 * times. One JSON line each in a file, and the last ten thousand in memory for the control face.
 */
export class TruthLog {
  readonly file: string;
  readonly #entries: TruthEntry[] = [];
  #seq = 0;

  constructor(file: string) {
    this.file = file;
  }

  add(event: string, detail: Readonly<Record<string, string | number | boolean>> = {}, at: Date = new Date()): void {
    const entry: TruthEntry = { seq: ++this.#seq, at: at.toISOString(), event, ...detail };
    this.#entries.push(entry);
    if (this.#entries.length > 10_000) this.#entries.shift();
    appendFileSync(this.file, `${JSON.stringify(entry)}\n`);
  }

  /** Entries after the given sequence number. */
  since(seq: number): readonly TruthEntry[] {
    return this.#entries.filter((entry) => entry.seq > seq);
  }
}
