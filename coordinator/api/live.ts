import type { StreamName } from './schemas.ts';

/**
 * What goes to open pages by server-sent events. The last events are kept, so that a page that lost its line goes on
 * where it stopped; one that was away too long, or speaks of another life of the coordinator, is told `reset`.
 *
 * An id is `<boot>-<number>`. A page that reads too slowly is cut off: it comes back and resumes.
 */
export interface LiveEvent {
  readonly id: string;
  readonly name: StreamName;
  /** JSON. */
  readonly data: string;
}

export interface LiveListener {
  /** False when it cannot take more; it is then dropped. */
  send(event: LiveEvent): boolean;
  end(): void;
}

const KEPT = 2_048;
const LISTENERS = 256;

export class Live {
  readonly #boot: string;
  readonly #kept: LiveEvent[] = [];
  readonly #listeners = new Set<LiveListener>();
  #n = 0;

  constructor(boot: string) {
    this.#boot = boot;
  }

  get listeners(): number {
    return this.#listeners.size;
  }

  push(name: StreamName, value: unknown): void {
    const event: LiveEvent = { id: `${this.#boot}-${++this.#n}`, name, data: JSON.stringify(value) };
    this.#kept.push(event);
    if (this.#kept.length > KEPT) this.#kept.splice(0, KEPT / 4);
    for (const listener of this.#listeners) {
      if (!listener.send(event)) {
        this.#listeners.delete(listener);
        listener.end();
      }
    }
  }

  /** Adds a listener after giving it what it missed. False when there are too many. */
  add(listener: LiveListener, lastId: string | undefined): boolean {
    if (this.#listeners.size >= LISTENERS) return false;
    if (lastId !== undefined && lastId !== '') {
      const [boot, number] = splitId(lastId);
      const first = this.#n - this.#kept.length + 1;
      if (boot !== this.#boot || !(number >= first - 1 && number <= this.#n)) {
        listener.send({
          id: `${this.#boot}-${this.#n}`,
          name: 'reset',
          data: JSON.stringify({ reason: boot === this.#boot ? 'too old' : 'coordinator restarted' }),
        });
      } else {
        for (const event of this.#kept.slice(number - first + 1))
          if (!listener.send(event)) {
            listener.end();
            return true;
          }
      }
    }
    this.#listeners.add(listener);
    return true;
  }

  remove(listener: LiveListener): void {
    this.#listeners.delete(listener);
  }

  close(): void {
    for (const listener of this.#listeners) listener.end();
    this.#listeners.clear();
  }
}

const splitId = (id: string): [boot: string, number: number] => {
  const at = id.lastIndexOf('-');
  return [id.slice(0, at), Number(id.slice(at + 1))];
};
