/**
 * Takes up what a call has to say, call after call, in a list that keeps its room. A fresh array makes room for seventeen
 * as soon as one thing is pushed, and most calls say one thing or nothing; among thousands of agents that was a quarter
 * of all that was allocated. Between `begin` and `take` nobody else may use it.
 */
export class Collector<T> {
  readonly #items: (T | undefined)[] = [];
  #length = 0;

  /** Forgets what a call that failed may have left. */
  begin(): this {
    this.#length = 0;
    return this;
  }

  push(item: T): void {
    this.#items[this.#length++] = item;
  }

  /** What was said, in a list of its own; nothing is kept. */
  take(): T[] {
    const length = this.#length;
    this.#length = 0;
    if (length === 0) return [];
    if (length === 1) {
      const only = [this.#items[0]!];
      this.#items[0] = undefined;
      return only;
    }
    const all = this.#items.slice(0, length) as T[];
    this.#items.fill(undefined, 0, length);
    return all;
  }
}
