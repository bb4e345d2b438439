import { closeSync, fstatSync, mkdirSync, openSync, renameSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';

export interface EffectLog {
  /** One line of JSON. Never throws: a full disk is counted, and must not stop the work that it tells about. */
  append(record: Readonly<Record<string, unknown>>): void;
  close(): void;
  /** Lines that the disk refused. */
  readonly refused: number;
}

/**
 * What this agent did to the world, line by line, written where it happened and before anybody is told: polled
 * intervals, restarted processes, commands run. It outlives a SIGKILL, since every line is one write of its own, and
 * it is the evidence to hold against what agents and coordinator believe.
 *
 * Append-only; at `maxBytes` the file becomes `<path>.1`, replacing the one before.
 */
export function createEffectLog(path: string, options: { readonly maxBytes?: number } = {}): EffectLog {
  const maxBytes = options.maxBytes ?? 8 * 1024 * 1024;
  let fd: number | undefined;
  let size = 0;
  let refused = 0;

  const open = (): number => {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    const opened = openSync(path, 'a', 0o600);
    size = fstatSync(opened).size;
    return opened;
  };
  const rotate = (): void => {
    if (fd !== undefined) closeSync(fd);
    fd = undefined;
    renameSync(path, `${path}.1`);
  };
  return {
    append(record) {
      try {
        const line = Buffer.from(`${JSON.stringify(record)}\n`);
        fd ??= open();
        if (size > 0 && size + line.length > maxBytes) {
          rotate();
          fd = open();
        }
        size += writeSync(fd, line);
      } catch {
        refused++;
      }
    },
    close() {
      if (fd !== undefined) closeSync(fd);
      fd = undefined;
    },
    get refused() {
      return refused;
    },
  };
}
