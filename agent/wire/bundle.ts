import { ok, type Result } from '../base/result.ts';
import { decodeArray, encodeArray, isCount, peekType, refuse, type WireError } from './codec.ts';

/**
 * How bundles travel between agents. Its own protocol, so that two agents can always exchange them, whatever else they
 * disagree on: it is how they come to agree again.
 *
 * - `[0, era, version, hash 32 bytes, running era, running version]` what an agent has, and what it runs by now;
 *   answered by the same of the other.
 * - `[1, era, version, hash 32 bytes]` "I have era and version; give me that one, or the step before it that I may not
 *   skip"; answered by `[2, bytes in all]` and parts `[3, bytes]`, or by `[4]`: not now.
 *
 * Nothing here is believed: the bundle's own signature decides.
 */
export type BundleMessage =
  | ({ readonly kind: 'standing' } & BundleStanding)
  | { readonly kind: 'want'; readonly era: number; readonly version: number; readonly hash: string }
  | { readonly kind: 'head'; readonly bytes: number }
  | { readonly kind: 'part'; readonly bytes: Uint8Array }
  | { readonly kind: 'not-now' };

/** What an agent has. Its order is that of bundles: by (era, version). */
export interface BundleStanding {
  readonly era: number;
  readonly version: number;
  /** SHA-256 of the payload, hex. */
  readonly hash: string;
  /** What its process was compiled from; behind until it starts anew. */
  readonly running: { readonly era: number; readonly version: number };
}

/** A peer that reads slowly holds this much of ours, and no timer waits for more. */
export const bundlePartBytes = 32 * 1024;
export const bundleFrameMaxBytes = bundlePartBytes + 64;

export function encodeBundleMessage(message: BundleMessage): Uint8Array {
  switch (message.kind) {
    case 'standing': {
      const { era, version, hash, running } = message;
      return encodeArray([0, era, version, bytesOf(hash), running.era, running.version]);
    }
    case 'want':
      return encodeArray([1, message.era, message.version, bytesOf(message.hash)]);
    case 'head':
      return encodeArray([2, message.bytes]);
    case 'part':
      return encodeArray([3, message.bytes]);
    case 'not-now':
      return encodeArray([4]);
  }
}

/** Never throws. */
export function decodeBundleMessage(bytes: Uint8Array): Result<BundleMessage, WireError> {
  const type = peekType(bytes);
  if (type < 0 || type > 4) return refuse('unknown-type', 'no word about bundles');
  const decoded = decodeArray(bytes, bundleFrameMaxBytes);
  if (!decoded.ok) return decoded;
  const fields = decoded.value;
  const [, a, b, c, d, e] = fields;
  switch (type) {
    case 0:
      if (fields.length !== 6 || !isPlace(a, b) || !isHash(c) || !isPlace(d, e)) return malformed();
      return ok({
        kind: 'standing',
        era: a as number,
        version: b as number,
        hash: hexOf(c),
        running: { era: d as number, version: e as number },
      });
    case 1:
      if (fields.length !== 4 || !isPlace(a, b) || !isHash(c)) return malformed();
      return ok({ kind: 'want', era: a as number, version: b as number, hash: hexOf(c) });
    case 2:
      if (fields.length !== 2 || !isCount(a)) return malformed();
      return ok({ kind: 'head', bytes: a });
    case 3:
      if (fields.length !== 2 || !(a instanceof Uint8Array) || a.length === 0) return malformed();
      return ok({ kind: 'part', bytes: a });
    default:
      return fields.length === 1 ? ok({ kind: 'not-now' }) : malformed();
  }
}

const isPlace = (era: unknown, version: unknown): boolean =>
  isCount(era) && isCount(version) && era > 0 && era <= 0xffff && version > 0 && version <= 0xffff_ffff;
const isHash = (value: unknown): value is Uint8Array => value instanceof Uint8Array && value.length === 32;
const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const bytesOf = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex, 'hex'));
const malformed = (): Result<never, WireError> =>
  refuse('wrong-shape', 'a word about bundles: a field is missing, of another type, or out of range');
