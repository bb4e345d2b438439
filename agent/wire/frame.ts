/**
 * Frames on a stream: a length (unsigned LEB128, at most three bytes, so below 2 MiB) and as many bytes. One byte of
 * overhead for everything that a failure detector says.
 */
export function frame(bytes: Uint8Array): Uint8Array {
  const n = bytes.length;
  const head = n < 0x80 ? 1 : n < 0x4000 ? 2 : 3;
  const out = new Uint8Array(head + n);
  if (head === 1) out[0] = n;
  else if (head === 2) {
    out[0] = (n & 0x7f) | 0x80;
    out[1] = n >> 7;
  } else {
    out[0] = (n & 0x7f) | 0x80;
    out[1] = ((n >> 7) & 0x7f) | 0x80;
    out[2] = n >> 14;
  }
  out.set(bytes, head);
  return out;
}

/**
 * Cuts a stream of chunks back into frames. Holds at most one unfinished frame; a length above the limit ends the
 * stream for good, because nothing after it can be trusted to be a boundary.
 */
export class FrameReader {
  readonly #maxBytes: number;
  #held: Uint8Array = new Uint8Array(0);
  #broken = false;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  get broken(): boolean {
    return this.#broken;
  }

  /** Bytes held of an unfinished frame: never more than a frame and its head. */
  get held(): number {
    return this.#held.length;
  }

  /** Calls `take` for every whole frame, in order. False when the stream is broken; what is left is dropped. */
  push(chunk: Uint8Array, take: (frame: Uint8Array) => void): boolean {
    if (this.#broken) return false;
    let data = chunk;
    if (this.#held.length > 0) {
      data = new Uint8Array(this.#held.length + chunk.length);
      data.set(this.#held);
      data.set(chunk, this.#held.length);
    }
    let at = 0;
    for (;;) {
      const head = readHead(data, at);
      if (head === 'more') break;
      if (head === 'bad' || head.length > this.#maxBytes) {
        this.#broken = true;
        this.#held = new Uint8Array(0);
        return false;
      }
      if (at + head.size + head.length > data.length) break;
      at += head.size;
      take(data.subarray(at, at + head.length));
      at += head.length;
    }
    this.#held = at === data.length ? new Uint8Array(0) : data.slice(at);
    return true;
  }
}

function readHead(data: Uint8Array, at: number): { length: number; size: number } | 'more' | 'bad' {
  let length = 0;
  for (let i = 0; i < 3; i++) {
    const byte = data[at + i];
    if (byte === undefined) return 'more';
    length |= (byte & 0x7f) << (7 * i);
    if ((byte & 0x80) === 0) return { length, size: i + 1 };
  }
  return 'bad';
}
