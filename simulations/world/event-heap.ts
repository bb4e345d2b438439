/**
 * What is going to happen in the virtual world, ordered by (time, sequence): a total order, so that a run depends on
 * nothing but its seed. A binary heap over typed arrays; events live in numbered slots that are used again, and the heap
 * moves numbers only. Payloads are handed on by reference, never copied.
 */
export class EventHeap {
  #size = 0;
  #sequence = 0;
  #times = new Float64Array(1024);
  #sequences = new Float64Array(1024);
  #slots = new Int32Array(1024);

  #kinds = new Uint8Array(1024);
  #a = new Int32Array(1024);
  #b = new Int32Array(1024);
  #c = new Int32Array(1024);
  readonly #payloads: unknown[] = [];
  #free = new Int32Array(1024);
  #freeCount = 0;
  #used = 0;

  /** The event that was popped last. */
  time = 0;
  kind = 0;
  a = 0;
  b = 0;
  c = 0;
  payload: unknown = undefined;

  get size(): number {
    return this.#size;
  }

  get nextTime(): number {
    return this.#size === 0 ? Number.POSITIVE_INFINITY : this.#times[0]!;
  }

  /** `kind`, `a`, `b`, `c` and `payload` mean what the world says; kind fits a byte, the others 32 bits. */
  push(time: number, kind: number, a: number, b: number, c: number, payload: unknown): void {
    const slot = this.#freeCount > 0 ? this.#free[--this.#freeCount]! : this.#used++;
    if (slot >= this.#kinds.length) this.#growSlots();
    this.#kinds[slot] = kind;
    this.#a[slot] = a;
    this.#b[slot] = b;
    this.#c[slot] = c;
    this.#payloads[slot] = payload;

    if (this.#size >= this.#times.length) this.#growHeap();
    let at = this.#size++;
    const sequence = this.#sequence++;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      // A new event has the largest sequence, so at equal times it stays behind.
      if (this.#times[parent]! <= time) break;
      this.#move(parent, at);
      at = parent;
    }
    this.#times[at] = time;
    this.#sequences[at] = sequence;
    this.#slots[at] = slot;
  }

  /** Takes the earliest event into `time`, `kind`, `a`, `b`, `c`, `payload`; false when nothing is left. */
  pop(): boolean {
    if (this.#size === 0) return false;
    const slot = this.#slots[0]!;
    this.time = this.#times[0]!;
    this.kind = this.#kinds[slot]!;
    this.a = this.#a[slot]!;
    this.b = this.#b[slot]!;
    this.c = this.#c[slot]!;
    this.payload = this.#payloads[slot];
    this.#payloads[slot] = undefined;
    this.#free[this.#freeCount++] = slot;

    const last = --this.#size;
    const time = this.#times[last]!;
    const sequence = this.#sequences[last]!;
    const lastSlot = this.#slots[last]!;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= last) break;
      if (child + 1 < last && this.#isBefore(child + 1, child)) child++;
      if (this.#times[child]! > time || (this.#times[child]! === time && this.#sequences[child]! > sequence)) break;
      this.#move(child, at);
      at = child;
    }
    this.#times[at] = time;
    this.#sequences[at] = sequence;
    this.#slots[at] = lastSlot;
    return true;
  }

  #isBefore(i: number, j: number): boolean {
    const ti = this.#times[i]!;
    const tj = this.#times[j]!;
    return ti < tj || (ti === tj && this.#sequences[i]! < this.#sequences[j]!);
  }

  #move(from: number, to: number): void {
    this.#times[to] = this.#times[from]!;
    this.#sequences[to] = this.#sequences[from]!;
    this.#slots[to] = this.#slots[from]!;
  }

  #growHeap(): void {
    const length = this.#times.length * 2;
    this.#times = copied(this.#times, new Float64Array(length));
    this.#sequences = copied(this.#sequences, new Float64Array(length));
    this.#slots = copied(this.#slots, new Int32Array(length));
  }

  #growSlots(): void {
    const length = this.#kinds.length * 2;
    this.#kinds = copied(this.#kinds, new Uint8Array(length));
    this.#a = copied(this.#a, new Int32Array(length));
    this.#b = copied(this.#b, new Int32Array(length));
    this.#c = copied(this.#c, new Int32Array(length));
    this.#free = copied(this.#free, new Int32Array(length));
  }
}

function copied<A extends Float64Array | Int32Array | Uint8Array>(from: A, to: A): A {
  to.set(from);
  return to;
}
