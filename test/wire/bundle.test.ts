import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type BundleMessage,
  bundleFrameMaxBytes,
  bundlePartBytes,
  decodeBundleMessage,
  encodeBundleMessage,
} from '../../agent/wire/bundle.ts';
import { encodeArray } from '../../agent/wire/codec.ts';

const hash = 'ab'.repeat(32);
const place = { era: fc.integer({ min: 1, max: 0xffff }), version: fc.integer({ min: 1, max: 0xffff_ffff }) };
const hex = fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => Buffer.from(bytes).toString('hex'));
const message: fc.Arbitrary<BundleMessage> = fc.oneof(
  fc.record({ kind: fc.constant('standing' as const), ...place, hash: hex, running: fc.record(place) }),
  fc.record({ kind: fc.constant('want' as const), ...place, hash: hex }),
  fc.record({ kind: fc.constant('head' as const), bytes: fc.integer({ min: 0, max: 2 ** 40 }) }),
  fc.record({
    kind: fc.constant('part' as const),
    bytes: fc.uint8Array({ minLength: 1, maxLength: 300 }),
  }),
  fc.constant({ kind: 'not-now' as const }),
);

describe('words about bundles', () => {
  it('every message → comes back as it was, within the frame', () => {
    fc.assert(
      fc.property(message, (one) => {
        expect(decodeBundleMessage(encodeBundleMessage(one))).toEqual({ ok: true, value: one });
      }),
    );
    const largest = encodeBundleMessage({ kind: 'part', bytes: new Uint8Array(bundlePartBytes) });
    expect(largest.length).toBeLessThanOrEqual(bundleFrameMaxBytes);
  });

  it.each<[string, readonly unknown[]]>([
    ['era 0', [0, 0, 1, Buffer.alloc(32), 1, 1]],
    ['version 0', [0, 1, 0, Buffer.alloc(32), 1, 1]],
    ['a version beyond 32 bits', [0, 1, 2 ** 32, Buffer.alloc(32), 1, 1]],
    ['half a hash', [0, 1, 1, Buffer.alloc(16), 1, 1]],
    ['a hash as text', [1, 1, 1, hash]],
    ['a field too many', [1, 1, 1, Buffer.alloc(32), 1]],
    ['a size below zero', [2, -1]],
    ['an empty part', [3, Buffer.alloc(0)]],
    ['a word that there is not', [5]],
  ])('%s → refused', (_what, fields) => {
    expect(
      decodeBundleMessage(encodeArray(fields.map((one) => (Buffer.isBuffer(one) ? Uint8Array.from(one) : one)))).ok,
    ).toBe(false);
  });

  it('random and mutated bytes → a message or a refusal, never an exception', () => {
    fc.assert(
      fc.property(message, fc.uint8Array({ maxLength: 64 }), fc.nat(), (one, noise, at) => {
        decodeBundleMessage(noise);
        const bytes = encodeBundleMessage(one);
        bytes[at % bytes.length]! ^= (noise[0] ?? 0) | 1;
        decodeBundleMessage(bytes);
        decodeBundleMessage(bytes.subarray(0, at % bytes.length));
      }),
      { numRuns: 5_000 },
    );
  });
});
