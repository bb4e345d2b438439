import type protobuf from 'protobufjs/minimal.js';

/** Called with the position at which its message ends; has to read up to there. */
export type Nested = (end: number) => void;

/** What a field is, and who takes its value. One of them. */
export interface Field {
  readonly message?: Nested;
  readonly text?: (value: string) => unknown;
  readonly bytes?: (value: Uint8Array) => unknown;
  /** Whole numbers, one by one or packed. */
  readonly integers?: (value: number) => unknown;
}

export type Fields = Readonly<Record<number, Field>>;

const decoder = new TextDecoder();

const [varint, eightBytes, delimited, fourBytes] = [0, 1, 2, 5];

/**
 * Walks the fields of a message up to `end`. Strict where readers differ: a known field in another wire type, a group
 * (obsolete, and nested without bound), a field that ends beyond its message are errors, so that nobody reads another
 * file out of the same bytes. Throws; the caller catches.
 */
export function eachField(reader: protobuf.Reader, end: number, fields: Fields): void {
  if (end > reader.len) throw new RangeError('a field reaches beyond the end');
  while (reader.pos < end) {
    const tag = reader.uint32();
    const [number, wire] = [tag >>> 3, tag & 7];
    if (number === 0 || (wire !== varint && wire !== eightBytes && wire !== delimited && wire !== fourBytes)) {
      throw new RangeError(`field ${number} of wire type ${wire}`);
    }
    const field = fields[number];
    if (field === undefined) reader.skipType(wire);
    else take(reader, wire, field, end);
    if (reader.pos > end) throw new RangeError('a field reaches beyond its message');
  }
}

function take(reader: protobuf.Reader, wire: number, field: Field, outer: number): void {
  if (wire === varint && field.integers !== undefined) {
    field.integers(integer(reader));
    return;
  }
  if (wire !== delimited) throw new RangeError(`a known field of wire type ${wire}`);
  const length = reader.uint32();
  const end = reader.pos + length;
  if (end > outer) throw new RangeError('a field reaches beyond its message');
  if (field.integers !== undefined) {
    while (reader.pos < end) field.integers(integer(reader));
  } else if (field.message !== undefined) {
    field.message(end);
  } else {
    const value = reader.buf.subarray(reader.pos, end);
    reader.pos = end;
    field.bytes?.(value);
    field.text?.(decoder.decode(value));
  }
  if (reader.pos !== end) throw new RangeError('a field reaches beyond its message');
}

/** An int64 as a number. Short ones by hand: a forest holds millions, and the library makes an object of each. */
function integer(reader: protobuf.Reader): number {
  let value = 0;
  let unit = 1;
  for (let at = reader.pos; at < reader.len && at < reader.pos + 7; at++) {
    const byte = reader.buf[at] ?? 0;
    value += (byte & 127) * unit;
    if (byte < 128) {
      reader.pos = at + 1;
      return value;
    }
    unit *= 128;
  }
  return Number(reader.int64());
}
