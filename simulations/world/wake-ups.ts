/**
 * The one wake-up that each process waits for, earliest first: a binary heap that knows where each place stands in it, so
 * that a timer which is armed anew moves. (Left where it was and found out of date when it comes, as a queue without a
 * way back would have it, one happening in five was such a timer: every answered probe moves one.)
 *
 * Times in milliseconds of the world. Which of two at the same time comes first is settled by what happened before.
 */
export class WakeUps {
  #size = 0;
  /** In the order of the heap. */
  readonly #times: Float64Array;
  readonly #places: Int32Array;
  /** Where in it a place stands; −1: nowhere. */
  readonly #seats: Int32Array;

  constructor(places: number) {
    this.#times = new Float64Array(places);
    this.#places = new Int32Array(places);
    this.#seats = new Int32Array(places).fill(-1);
  }

  /** When the earliest one is due; infinite when nobody waits. */
  get nextTime(): number {
    return this.#size === 0 ? Number.POSITIVE_INFINITY : this.#times[0]!;
  }

  /** Whose it is. To be asked only when there is one. */
  get nextPlace(): number {
    return this.#places[0]!;
  }

  /** From now on this place waits for `time`, and for nothing else. */
  set(place: number, time: number): void {
    const seat = this.#seats[place]!;
    if (seat < 0) this.#rise(this.#size++, place, time);
    else if (time < this.#times[seat]!) this.#rise(seat, place, time);
    else this.#sink(seat, place, time);
  }

  delete(place: number): void {
    const seat = this.#seats[place]!;
    if (seat < 0) return;
    this.#seats[place] = -1;
    const last = --this.#size;
    if (seat === last) return;
    const [time, moved] = [this.#times[last]!, this.#places[last]!];
    if (time < this.#times[seat]!) this.#rise(seat, moved, time);
    else this.#sink(seat, moved, time);
  }

  #rise(from: number, place: number, time: number): void {
    let seat = from;
    while (seat > 0) {
      const parent = (seat - 1) >> 1;
      if (this.#times[parent]! <= time) break;
      this.#put(seat, this.#places[parent]!, this.#times[parent]!);
      seat = parent;
    }
    this.#put(seat, place, time);
  }

  #sink(from: number, place: number, time: number): void {
    let seat = from;
    for (;;) {
      let child = 2 * seat + 1;
      if (child >= this.#size) break;
      if (child + 1 < this.#size && this.#times[child + 1]! < this.#times[child]!) child++;
      if (this.#times[child]! >= time) break;
      this.#put(seat, this.#places[child]!, this.#times[child]!);
      seat = child;
    }
    this.#put(seat, place, time);
  }

  #put(seat: number, place: number, time: number): void {
    this.#times[seat] = time;
    this.#places[seat] = place;
    this.#seats[place] = seat;
  }
}
