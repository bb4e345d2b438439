import { closeSync, openSync, writeSync } from 'node:fs';
import { inWords } from '../faults/fault.ts';
import type { Witness } from '../run.ts';

/**
 * What people care about, one JSON object per line, in the order in which it happened:
 * `{"atMs":…,"event":"member-dead","observer":3,"member":7,"why":…}`. Probes and acknowledgements are in the trace hash
 * alone.
 */
export function eventLog(write: (line: string) => void, names: { duty: (duty: number) => string }): Witness {
  const say = (atMs: number, event: string, more: object): void =>
    write(`${JSON.stringify({ atMs: Math.round(atMs * 1000) / 1000, event, ...more })}\n`);
  return {
    memberChanged: (atMs, observer, member, from, to, why) =>
      say(atMs, `member-${to}`, { observer, member, from, why }),
    dutyRunning: (atMs, agent, duty, running) =>
      say(atMs, running ? 'duty-started' : 'duty-stopped', { agent, duty: names.duty(duty) }),
    injected: (_atMs, fault) => {
      const { atMs, kind, ...more } = fault;
      say(atMs, 'fault', { kind, text: inWords(fault), ...more });
    },
    violated: ({ atMs, invariant, text }) => say(atMs, 'violation', { invariant, text }),
  };
}

/** A log in a file, written in pieces of some size: a run may have a million lines. */
export class LogFile {
  readonly #file: number;
  #lines: string[] = [];
  #size = 0;

  constructor(path: string) {
    this.#file = openSync(path, 'w');
  }

  write(line: string): void {
    this.#lines.push(line);
    this.#size += line.length;
    if (this.#size > 262_144) this.#flush();
  }

  close(): void {
    this.#flush();
    closeSync(this.#file);
  }

  #flush(): void {
    writeSync(this.#file, this.#lines.join(''));
    this.#lines = [];
    this.#size = 0;
  }
}

/** Several that look on, as one. */
export function witnesses(all: readonly (Witness | undefined)[]): Witness | undefined {
  const present = all.filter((witness) => witness !== undefined);
  if (present.length <= 1) return present[0];
  return {
    memberChanged: (...told) => {
      for (const witness of present) witness.memberChanged?.(...told);
    },
    dutyRunning: (...told) => {
      for (const witness of present) witness.dutyRunning?.(...told);
    },
    injected: (...told) => {
      for (const witness of present) witness.injected?.(...told);
    },
    violated: (...told) => {
      for (const witness of present) witness.violated?.(...told);
    },
    sampled: (...told) => {
      for (const witness of present) witness.sampled?.(...told);
    },
  };
}
