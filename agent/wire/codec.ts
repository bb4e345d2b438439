import { decode as decodeCbor, encode as encodeCbor } from 'cborg';
import { err, ok, type Result } from '../base/result.ts';

/**
 * CBOR (RFC 8949) as compact arrays: `[type, field, …]`. Small numbers take one byte, names of fields take none, so
 * an idle ping is about ten bytes. Strictly decoded: shortest form only, no tags, no indefinite lengths, no NaN, no
 * bytes left over. What a peer sends is data to be judged: every decoder gives a `Result`, none throws.
 */
export interface WireError {
  readonly reason: 'too-large' | 'not-cbor' | 'unknown-type' | 'wrong-shape' | 'out-of-range';
  readonly text: string;
}

/** How many entries of each kind the own plan has. Indices at or above are refused before they reach an array. */
export interface Bounds {
  readonly agents: number;
  readonly duties: number;
  readonly checks: number;
  readonly models: number;
  /** Leases of the cell that has most; without it, as many as any cell may have. */
  readonly leases?: number;
}

const encodeOptions = { float64: true } as const;
const decodeOptions = {
  strict: true,
  allowIndefinite: false,
  allowUndefined: false,
  allowInfinity: false,
  allowNaN: false,
  allowBigInt: false,
  rejectDuplicateMapKeys: true,
} as const;

export function encodeArray(value: readonly unknown[]): Uint8Array {
  return encodeCbor(value, encodeOptions);
}

/** Decodes one array whose first element is a small type number. Size is judged before anything is parsed. */
export function decodeArray(bytes: Uint8Array, maxBytes: number): Result<readonly unknown[], WireError> {
  if (bytes.length > maxBytes) return refuse('too-large', `${bytes.length} bytes, at most ${maxBytes}`);
  // Major type 4, at least one element. A cheap look that spares the parser most garbage.
  if (bytes.length < 2 || bytes[0]! >> 5 !== 4) return refuse('not-cbor', 'not an array');
  try {
    const value: unknown = decodeCbor(bytes, decodeOptions);
    return Array.isArray(value) ? ok(value) : refuse('not-cbor', 'not an array');
  } catch (cause) {
    // Also the RangeError of arrays nested thousands deep.
    return refuse('not-cbor', cause instanceof Error ? cause.message.slice(0, 120) : 'undecodable');
  }
}

/** The type number of an encoded array without decoding it, or -1. Types are below 24, so they take one byte. */
export function peekType(bytes: Uint8Array): number {
  if (bytes.length < 2 || bytes[0]! >> 5 !== 4 || (bytes[0]! & 31) > 23) return -1;
  return bytes[1]! < 24 ? bytes[1]! : -1;
}

export function refuse(reason: WireError['reason'], text: string): Result<never, WireError> {
  return err({ reason, text });
}

/** A whole number in [0, 2^53). */
export const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

/** A whole number in [0, limit). */
export const isIndex = (value: unknown, limit: number): value is number => isCount(value) && value < limit;

/** A list of distinct indices, no longer than the limit: repeating one entry cannot make a message long. */
export function isIndexList(value: unknown, limit: number): value is number[] {
  if (!Array.isArray(value) || value.length > limit) return false;
  const seen = new Set<unknown>(value);
  return seen.size === value.length && value.every((item) => isIndex(item, limit));
}

/** Bytes that CBOR takes for a whole number ≥ 0, or for the head of an array or byte string of that length. */
export function sizeOfCount(n: number): number {
  return n < 24 ? 1 : n < 0x100 ? 2 : n < 0x1_0000 ? 3 : n < 0x1_0000_0000 ? 5 : 9;
}
