/**
 * Watches the frames of an MQTT byte stream go by and says no to one that announces more than its limit. The parser
 * behind it collects a whole packet before anyone can ask who sent it; a stranger could announce 256 MB.
 *
 * A frame is one byte of type, then 1–4 bytes of length, seven bits each, low end first (MQTT 3.1.1 §2.2.3).
 */
export class PacketGate {
  #limit: number;
  #left = 0;
  #state: 'type' | 'length' | 'body' = 'type';
  #shift = 0;
  #tripped = false;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get tripped(): boolean {
    return this.#tripped;
  }

  /** After authentication. */
  widen(limit: number): void {
    this.#limit = limit;
  }

  /** False when a frame in or begun by these bytes is too large or its length is malformed; then for ever. */
  pass(chunk: Uint8Array): boolean {
    let at = 0;
    while (at < chunk.length && !this.#tripped) {
      if (this.#state === 'body') {
        const take = Math.min(this.#left, chunk.length - at);
        at += take;
        this.#left -= take;
        if (this.#left === 0) this.#state = 'type';
        continue;
      }
      const byte = chunk[at++]!;
      if (this.#state === 'type') {
        this.#state = 'length';
        this.#left = 0;
        this.#shift = 0;
        continue;
      }
      this.#left += (byte & 0x7f) * 2 ** this.#shift;
      this.#shift += 7;
      if (this.#left > this.#limit || (byte >= 0x80 && this.#shift >= 28)) this.#tripped = true;
      else if (byte < 0x80) this.#state = this.#left === 0 ? 'type' : 'body';
    }
    return !this.#tripped;
  }
}
