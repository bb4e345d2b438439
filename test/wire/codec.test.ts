import fc from 'fast-check';
import { expect, test } from 'vitest';
import { decodeArray, encodeArray } from '../../agent/wire/codec.ts';

const hex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replaceAll(' ', ''), 'hex'));

for (const [what, bytes, canonical] of [
  ['1 as a double', '81 fb3ff0000000000000', '8101'],
  ['1 as a single', '81 fa3f800000', '8101'],
  ['1 as a half', '81 f93c00', '8101'],
  ['0 as a double', '81 fb0000000000000000', '8100'],
  ['-0', '81 fb8000000000000000', '8100'],
  ['-1 as a double', '81 fbbff0000000000000', '8120'],
  ['2^53 - 1 as a double', '81 fb433fffffffffffff', '811b001fffffffffffff'],
  ['1.5 as a half', '81 f93e00', '81fb3ff8000000000000'],
  ['1.5 as a single', '81 fa3fc00000', '81fb3ff8000000000000'],
  ['-2^53 + 1 as a double', '81 fbc33fffffffffffff', '813b001ffffffffffffe'],
  ['a text that is no UTF-8', '81 61ff', '8163efbfbd'],
  ['a text cut in the middle of a character, as long as what stands for it', '81 63f09f98', '8163efbfbd'],
  ['a whole number deep within', '82 01 81 82 02 fb4008000000000000', '82018182 0203'],
  ['a map', '81 a10102', undefined],
] as const) {
  test(`codec: ${what} → refused as not canonical; what our encoder writes of it is taken`, () => {
    const refused = decodeArray(hex(bytes), 100);
    expect(!refused.ok && refused.error.reason).toBe('not-canonical');
    if (canonical === undefined) return;
    const taken = decodeArray(hex(canonical), 100);
    expect(taken.ok && Buffer.from(encodeArray(taken.value)).toString('hex')).toBe(canonical.replaceAll(' ', ''));
  });
}

const value = fc.letrec<{ any: unknown }>((tie) => ({
  any: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    fc.maxSafeInteger(),
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.double({ noNaN: true, noDefaultInfinity: true, noInteger: true }),
    fc.constantFrom(0, -0, 2 ** 53, -(2 ** 53), 2 ** 32, -1, true, false, null, '', '\uFEFFmark'),
    fc.string({ unit: 'binary' }),
    fc.uint8Array({ maxLength: 30 }),
    fc.array(tie('any'), { maxLength: 5 }),
  ),
})).any;

test('codec: -2^53 as a whole number, which our encoder writes as a float → refused', () => {
  expect(decodeArray(hex('81 3b001fffffffffffff'), 100).ok).toBe(false);
  expect(Buffer.from(encodeArray([-(2 ** 53)])).toString('hex')).toBe('81fbc340000000000000');
});

test('codec: a text that begins with a byte order mark → keeps it', () => {
  expect(decodeArray(hex('81 64efbbbf61'), 100)).toEqual({ ok: true, value: ['\uFEFFa'] });
});

test('codec: whatever our encoder writes is taken, and means the same', () => {
  fc.assert(
    fc.property(fc.array(value, { minLength: 1, maxLength: 6 }), (array) => {
      const bytes = encodeArray(array);
      const decoded = decodeArray(bytes, 1_000_000);
      expect(decoded.ok && Buffer.compare(encodeArray(decoded.value), bytes)).toBe(0);
    }),
    { numRuns: 2_000, seed: 7 },
  );
});

test('codec: any bytes → refused, or the very bytes that our encoder writes of what was read', () => {
  const small = fc.constantFrom(
    0x00,
    0x01,
    0x17,
    0x18,
    0x19,
    0x1b,
    0x20,
    0x3b,
    0x41,
    0x61,
    0x62,
    0x80,
    0x81,
    0x82,
    0xa0,
  );
  const head = fc.constantFrom(0xc3, 0xef, 0xbb, 0xbf, 0xf4, 0xf6, 0xf7, 0xf9, 0xfa, 0xfb, 0xff, 0x3f, 0xf0, 0x43);
  const bytes = fc
    .tuple(fc.constantFrom(0x81, 0x82, 0x83), fc.array(fc.oneof(small, head, fc.nat(255)), { maxLength: 14 }))
    .map(([first, rest]) => Uint8Array.of(first, ...rest));
  let taken = 0;
  fc.assert(
    fc.property(bytes, (given) => {
      const decoded = decodeArray(given, 1_000);
      if (!decoded.ok) return;
      taken++;
      expect(Buffer.from(encodeArray(decoded.value)).toString('hex')).toBe(Buffer.from(given).toString('hex'));
    }),
    { numRuns: 30_000, seed: 7 },
  );
  expect(taken).toBeGreaterThan(300);
});
