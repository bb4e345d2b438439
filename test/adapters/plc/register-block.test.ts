import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodeWords, encodeWords, parseRegister, planBlocks } from '../../../agent/adapters/plc/register-block.ts';
import type { Tag } from '../../../agent/driver/bindings.ts';
import { tag } from './collector.ts';

describe('register address', () => {
  test.each([
    ['holding:40011', 'holding', 10],
    ['holding:11', 'holding', 10],
    ['holding:400011', 'holding', 10],
    ['input:30001', 'input', 0],
    ['coil:1', 'coil', 0],
    ['discrete:10003', 'discrete', 2],
    ['discrete:3', 'discrete', 2],
  ] as const)('%s → %s, offset %i', (address, table, offset) => {
    expect(parseRegister(tag(1, address, { type: 'uint16' }))).toMatchObject({ table, offset, length: 1 });
  });

  test.each(['holding:0', 'input', 'ns=1;s=Pump', 'register:4', 'holding:4.5', 'holding:465537', 'coil:65537'])(
    '%s → refused',
    (address) => {
      expect(parseRegister(tag(1, address, { type: 'uint16' }))).toBeUndefined();
    },
  );

  test('a value that would reach past the last register → refused', () => {
    expect(parseRegister(tag(1, 'holding:465536', { type: 'uint16' }))).toBeDefined();
    expect(parseRegister(tag(1, 'holding:465536', { type: 'float32' }))).toBeUndefined();
  });
});

describe('word order', () => {
  // 123.456 as float32 is 42 F6 E9 79.
  test.each([
    ['abcd', [0x42f6, 0xe979]],
    ['cdab', [0xe979, 0x42f6]],
    ['badc', [0xf642, 0x79e9]],
    ['dcba', [0x79e9, 0xf642]],
  ] as const)('float32 sent as %s → the same number', (order, words) => {
    expect(decodeWords('float32', words, order)).toBeCloseTo(123.456, 4);
  });

  test('a negative int16 and int32 → negative', () => {
    expect(decodeWords('int16', [0xff85], 'dcba')).toBe(-123);
    expect(decodeWords('int32', [0xffff, 0xff85], 'abcd')).toBe(-123);
  });

  test('too few words → no number', () => {
    expect(decodeWords('float32', [1], 'abcd')).toBeUndefined();
  });

  test('any number of any type, in any order → comes back', () => {
    const types = ['int32', 'uint32', 'float32', 'float64'] as const;
    const orders = ['abcd', 'cdab', 'badc', 'dcba'] as const;
    fc.assert(
      fc.property(
        fc.constantFrom(...types),
        fc.constantFrom(...orders),
        fc.double({ noNaN: true }),
        (type, order, number) => {
          const view = new DataView(new ArrayBuffer(8));
          const bytes = type === 'float64' ? 8 : 4;
          const value = encode(view, type, number);
          const words: number[] = [];
          for (let i = 0; i < bytes; i += 2) words.push(view.getUint16(i, order === 'badc' || order === 'dcba'));
          if (order === 'cdab' || order === 'dcba') words.reverse();
          expect(decodeWords(type, words, order)).toBe(value);
        },
      ),
    );
  });
});

describe('blocks', () => {
  const numbers = fc.uniqueArray(fc.integer({ min: 1, max: 2000 }), { minLength: 1, maxLength: 60 });
  const types = fc.constantFrom<Tag['type']>('int16', 'float32', 'float64');

  test('whatever the tags: each lies whole in one block, and no block is longer than an answer may be', () => {
    fc.assert(
      fc.property(numbers, fc.array(types, { minLength: 60, maxLength: 60 }), fc.nat(20), (offsets, kinds, gap) => {
        const tags = offsets.map((n, i) => parseRegister(tag(i, `holding:${n}`, { type: kinds[i]! }))!);
        const blocks = planBlocks(tags, gap);
        expect(blocks.flatMap((block) => block.tags).length).toBe(tags.length);
        for (const block of blocks) {
          expect(block.length).toBeLessThanOrEqual(125);
          for (const { offset, length } of block.tags) {
            expect(offset).toBeGreaterThanOrEqual(block.offset);
            expect(offset + length).toBeLessThanOrEqual(block.offset + block.length);
          }
        }
      }),
    );
  });

  test('neighbours in one request, far ones and other tables apart', () => {
    const tags = ['holding:1', 'holding:3', 'holding:20', 'input:1', 'coil:1', 'coil:5'].map(
      (address, i) => parseRegister(tag(i, address, { type: 'uint16' }))!,
    );
    const seen = planBlocks(tags, 8).map(({ table, offset, length }) => `${table} ${offset}+${length}`);
    expect(seen).toEqual(['coil 0+5', 'input 0+1', 'holding 0+3', 'holding 19+1']);
  });
});

/** Writes the number as the type holds it, and returns what the type made of it. */
function encode(view: DataView, type: 'int32' | 'uint32' | 'float32' | 'float64', number: number): number {
  switch (type) {
    case 'int32':
      view.setInt32(0, number);
      return view.getInt32(0);
    case 'uint32':
      view.setUint32(0, number);
      return view.getUint32(0);
    case 'float32':
      view.setFloat32(0, number);
      return view.getFloat32(0);
    case 'float64':
      view.setFloat64(0, number);
      return number;
  }
}

describe('encoding', () => {
  const orders = ['abcd', 'cdab', 'badc', 'dcba'] as const;
  const kinds = [
    ['int16', fc.integer({ min: -32_768, max: 32_767 })],
    ['uint16', fc.integer({ min: 0, max: 65_535 })],
    ['int32', fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 })],
    ['uint32', fc.integer({ min: 0, max: 2 ** 32 - 1 })],
    ['float32', fc.float({ noNaN: true, noDefaultInfinity: true })],
    ['float64', fc.double({ noNaN: true, noDefaultInfinity: true })],
  ] as const;

  test.each(kinds)('%s → is read back as it was written, in every order', (type, numbers) => {
    fc.assert(
      fc.property(numbers, fc.constantFrom(...orders), (value, order) => {
        const words = encodeWords(type, value, order) ?? [];
        expect(words.every((word) => Number.isInteger(word) && word >= 0 && word <= 0xffff)).toBe(true);
        // Zero has two signs, and devices know one.
        expect((decodeWords(type, words, order) ?? Number.NaN) + 0).toBe(value + 0);
      }),
      { numRuns: 200 },
    );
  });

  test.each([
    ['int16', 32_768],
    ['uint16', -1],
    ['uint16', 1.5],
    ['int32', 2 ** 31],
    ['uint32', 2 ** 32],
    ['float32', 1e39],
    ['float64', Number.NaN],
    ['float64', Number.POSITIVE_INFINITY],
    ['bool', 1],
  ] as const)('%s %d → no words: nothing is rounded or wrapped', (type, value) => {
    expect(encodeWords(type, value, 'abcd')).toBeUndefined();
  });
});
