import { isUtf8 } from 'node:buffer';
import { decode as decodeCbor, encode as encodeCbor, Token, Tokenizer, Type } from 'cborg';
import { err, ok, type Result } from '../base/result.ts';

/**
 * CBOR (RFC 8949) as compact arrays: `[type, field, …]`. Small numbers take one byte, names of fields take none, so
 * an idle ping is about ten bytes. Strictly decoded: shortest form only, no tags, no maps, no indefinite lengths, no NaN,
 * no bytes left over, nothing that our own encoder writes otherwise: one message has one encoding, so that whoever passes
 * on, compares or hashes what was signed cannot be shown the same content twice. What a peer sends is data to be judged:
 * every decoder gives a `Result`, none throws.
 *
 * Signatures are over received bytes where those travel as they are (the payload of a digest, site bundles and orders as
 * JWS), and over a canonical encoding of the decoded content where it is passed on in other messages (members'
 * statements, seals).
 */
export interface WireError {
  readonly reason: 'too-large' | 'not-cbor' | 'not-canonical' | 'unknown-type' | 'wrong-shape' | 'out-of-range';
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

class NotCanonical extends Error {}

/** What a decoder reads as the same value although our encoder never writes it so: the parser itself minds lengths only. */
class CanonicalTokens extends Tokenizer {
  constructor(bytes: Uint8Array) {
    // Parts of a Buffer would share its memory; parts of a plain array are copies.
    super(new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length), decodeOptions);
  }

  override next(): Token {
    const token = super.next();
    switch (token.type) {
      case Type.float:
        if (token.encodedLength !== 9) throw new NotCanonical('a float in fewer than eight bytes');
        // Also -0, which is written as 0.
        if (Number.isSafeInteger(token.value)) throw new NotCanonical('a whole number written as a float');
        return token;
      case Type.string: {
        // The parser makes U+FFFD of bytes that are no UTF-8, and drops a byte order mark.
        const length = Buffer.byteLength(token.value as string);
        const isMarked = length + 3 + sizeOfCount(length + 3) === token.encodedLength;
        const text = this.data.subarray(this._pos - length - (isMarked ? 3 : 0), this._pos);
        if (text.length + sizeOfCount(text.length) !== token.encodedLength || !isUtf8(text))
          throw new NotCanonical('a text that is no UTF-8');
        return isMarked ? new Token(Type.string, Buffer.from(text).toString('utf8'), token.encodedLength) : token;
      }
      case Type.map:
        throw new NotCanonical('a map, where all is arrays');
      default:
        return token;
    }
  }
}

export function encodeArray(value: readonly unknown[]): Uint8Array {
  return encodeCbor(value, encodeOptions);
}

/** Decodes one array whose first element is a small type number. Size is judged before anything is parsed. */
export function decodeArray(bytes: Uint8Array, maxBytes: number): Result<readonly unknown[], WireError> {
  if (bytes.length > maxBytes) return refuse('too-large', `${bytes.length} bytes, at most ${maxBytes}`);
  // Major type 4, at least one element. A cheap look that spares the parser most garbage.
  if (bytes.length < 2 || bytes[0]! >> 5 !== 4) return refuse('not-cbor', 'not an array');
  try {
    const value: unknown = decodeCbor(bytes, { ...decodeOptions, tokenizer: new CanonicalTokens(bytes) });
    return Array.isArray(value) ? ok(value) : refuse('not-cbor', 'not an array');
  } catch (cause) {
    if (cause instanceof NotCanonical) return refuse('not-canonical', cause.message);
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
