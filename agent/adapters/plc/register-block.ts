import type { Connection, Tag } from '../../driver/bindings.ts';

export type Table = 'coil' | 'discrete' | 'input' | 'holding';

export interface RegisterTag {
  readonly tag: Tag;
  readonly table: Table;
  /** Counted from zero, as in the request. */
  readonly offset: number;
  /** Words (bits in the bit tables) that the value takes. */
  readonly length: number;
}

/** One read request: `length` words or bits of `table` from `offset`, and the tags that lie in it. */
export interface RegisterBlock {
  readonly table: Table;
  readonly offset: number;
  readonly length: number;
  readonly tags: readonly RegisterTag[];
}

/** Lowest address of each table in the classic five- and six-digit notation. */
const bases: Record<Table, readonly number[]> = {
  coil: [1],
  discrete: [100_001, 10_001, 1],
  input: [300_001, 30_001, 1],
  holding: [400_001, 40_001, 1],
};

const words: Record<Tag['type'], number> = {
  bool: 1,
  int16: 1,
  uint16: 1,
  int32: 2,
  uint32: 2,
  float32: 2,
  float64: 4,
};

/**
 * `holding:40011`, `input:30001`, `coil:1`, `discrete:10001`: counted from one, with the table's classic prefix or
 * without it. Undefined when it is none of these, or the value would reach past the last register.
 */
export function parseRegister<T extends Pick<Tag, 'address' | 'type'>>(
  tag: T,
): (Omit<RegisterTag, 'tag'> & { readonly tag: T }) | undefined {
  const match = /^(coil|discrete|input|holding):(\d{1,6})$/.exec(tag.address);
  if (match === null) return undefined;
  const table = match[1] as Table;
  const number = Number(match[2]);
  const base = bases[table].find((lowest) => number >= lowest);
  if (base === undefined) return undefined;
  const length = table === 'coil' || table === 'discrete' ? 1 : words[tag.type];
  const offset = number - base;
  return offset + length > 65_536 ? undefined : { tag, table, offset, length };
}

/** The protocol's limits for one answer (Modbus Application Protocol V1.1b3, 6.1 to 6.4). */
const longest: Record<Table, number> = { coil: 2000, discrete: 2000, input: 125, holding: 125 };

/**
 * Joins tags into few requests. A gap of up to `maxGap` unused registers is read along: a round trip costs a small
 * controller more than eight words. One value is never split over two requests, since it could then be torn.
 */
export function planBlocks(tags: readonly RegisterTag[], maxGap: number): RegisterBlock[] {
  const blocks: RegisterBlock[] = [];
  for (const table of ['coil', 'discrete', 'input', 'holding'] as const) {
    const sorted = tags.filter((tag) => tag.table === table).sort((a, b) => a.offset - b.offset || a.length - b.length);
    let open: { offset: number; end: number; tags: RegisterTag[] } | undefined;
    const close = () => {
      if (open !== undefined)
        blocks.push({ table, offset: open.offset, length: open.end - open.offset, tags: open.tags });
    };
    for (const tag of sorted) {
      const end = tag.offset + tag.length;
      if (open !== undefined && tag.offset <= open.end + maxGap && end - open.offset <= longest[table]) {
        open.end = Math.max(open.end, end);
        open.tags.push(tag);
      } else {
        close();
        open = { offset: tag.offset, end, tags: [tag] };
      }
    }
    close();
  }
  return blocks;
}

type Order = Extract<Connection, { kind: 'modbus' }>['order'];

/**
 * Words as received (each big-endian, as the protocol has it) → number. `order` names the bytes of a 32-bit value as
 * they come over the wire: abcd as the standard suggests, cdab low word first, badc bytes swapped within each word,
 * dcba both. A 64-bit value follows the same two rules over its four words.
 */
export function decodeWords(type: Tag['type'], received: readonly number[], order: Order): number | undefined {
  if (received.length < words[type] || type === 'bool') return type === 'bool' ? received[0] : undefined;
  const list = received.slice(0, words[type]);
  if (order === 'cdab' || order === 'dcba') list.reverse();
  const view = new DataView(new ArrayBuffer(8));
  list.forEach((word, i) => {
    // Sixteen-bit values have one word: there is no order to choose, and devices swap their bytes only in pairs.
    const swapped = list.length > 1 && (order === 'badc' || order === 'dcba');
    view.setUint16(i * 2, word, swapped);
  });
  switch (type) {
    case 'int16':
      return view.getInt16(0);
    case 'uint16':
      return view.getUint16(0);
    case 'int32':
      return view.getInt32(0);
    case 'uint32':
      return view.getUint32(0);
    case 'float32':
      return view.getFloat32(0);
    case 'float64':
      return view.getFloat64(0);
  }
}

/** The inverse of `decodeWords`. Undefined when the value is none of the type: out of range, a fraction, not finite. */
export function encodeWords(type: Tag['type'], value: number, order: Order): number[] | undefined {
  const view = new DataView(new ArrayBuffer(8));
  switch (type) {
    case 'bool':
      return undefined;
    case 'int16':
      view.setInt16(0, value);
      break;
    case 'uint16':
      view.setUint16(0, value);
      break;
    case 'int32':
      view.setInt32(0, value);
      break;
    case 'uint32':
      view.setUint32(0, value);
      break;
    case 'float32':
      view.setFloat32(0, value);
      break;
    case 'float64':
      view.setFloat64(0, value);
      break;
  }
  const count = words[type];
  const swapped = count > 1 && (order === 'badc' || order === 'dcba');
  const list = Array.from({ length: count }, (_, i) => view.getUint16(i * 2));
  const sent = list.map((word) => (swapped ? ((word & 0xff) << 8) | (word >>> 8) : word));
  if (count > 1 && (order === 'cdab' || order === 'dcba')) sent.reverse();
  const back = decodeWords(type, sent, order);
  // A 32-bit number with a point is rounded, and that is all that may happen to a value.
  return back === (type === 'float32' ? Math.fround(value) : value) && Number.isFinite(back) ? sent : undefined;
}
