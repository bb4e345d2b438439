import { closeSync, fstatSync, openSync, readSync } from 'node:fs';

/** One effect of an exclusive duty, as its own program wrote it down. */
export interface Effect {
  /** Milliseconds of CLOCK_MONOTONIC, which all namespaces of one kernel share. */
  readonly at: number;
  readonly duty: string;
  readonly token: string;
  readonly session: string;
  readonly agent: string;
  /** Which run of the program: when it began, in microseconds of that clock. */
  readonly life: number;
}

export const kernelTime = (): number => Number(process.hrtime.bigint()) / 1e6;

/** Reads one box's effect log as it grows. A last line that is not complete yet waits for its rest. */
export class EffectLogReader {
  readonly #path: string;
  #file: number | undefined;
  #offset = 0;
  #rest = '';

  constructor(path: string) {
    this.#path = path;
  }

  read(): Effect[] {
    try {
      this.#file ??= openSync(this.#path, 'r');
    } catch {
      return [];
    }
    const { size } = fstatSync(this.#file);
    if (size <= this.#offset) return [];
    const chunk = Buffer.alloc(size - this.#offset);
    const got = readSync(this.#file, chunk, 0, chunk.length, this.#offset);
    this.#offset += got;
    const lines = (this.#rest + chunk.toString('utf8', 0, got)).split('\n');
    this.#rest = lines.pop() ?? '';
    return lines.map(parseEffect);
  }

  close(): void {
    if (this.#file !== undefined) closeSync(this.#file);
    this.#file = undefined;
  }
}

/** `at duty token session agent life`, by spaces: a line is written with one system call, and cheap to make anywhere. */
export function parseEffect(line: string): Effect {
  const [at = '', duty = '', token = '', session = '', agent = '', life = ''] = line.split(' ');
  const effect = { at: Number(at), duty, token, session, agent, life: Number(life) };
  if (!Number.isFinite(effect.at) || !/^[0-9a-f]{16}$/.test(token) || !Number.isInteger(effect.life)) {
    throw new Error(`not an effect: ${line.slice(0, 200)}`);
  }
  return effect;
}
