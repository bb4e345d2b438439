import { describe, expect, test } from 'vitest';
import { qualityOf } from '../../../agent/adapters/plc/opcua.ts';
import { tagValue } from '../../../agent/adapters/plc/tag-value.ts';

const plain = { type: 'float64', scale: undefined } as const;
const card = { type: 'uint16', scale: { rawLo: 5530, rawHi: 27_648, lo: 0, hi: 10 } } as const;

describe('tag value', () => {
  test.each([
    ['a number without scale', plain, 7.25, 7.25],
    ['lower end of a scaled range', card, 5530, 0],
    ['upper end of a scaled range', card, 27_648, 10],
    ['4 % below the range', card, 5530 - 0.04 * 22_118, -0.4],
    ['true', { type: 'bool', scale: undefined } as const, true, 1],
    ['any number but zero of a bool', { type: 'bool', scale: undefined } as const, 4, 1],
    ['false', { type: 'bool', scale: undefined } as const, false, 0],
    ['a big integer', plain, 12n, 12],
  ])('%s → its value, good', (_name, tag, raw, value) => {
    const read = tagValue(tag, raw);
    expect(read.quality).toBe('good');
    expect(read.value).toBeCloseTo(value, 9);
  });

  test.each([
    ['NaN', plain, Number.NaN],
    ['infinity', plain, Number.POSITIVE_INFINITY],
    ['a text', plain, '7.25'],
    ['nothing', plain, undefined],
    ['6 % below the range: broken wire', card, 5530 - 0.06 * 22_118],
    ['6 % above the range: short circuit', card, 27_648 + 0.06 * 22_118],
  ])('%s → bad, and no number', (_name, tag, raw) => {
    const { value, quality, why } = tagValue(tag, raw);
    expect({ value, quality }).toEqual({ value: Number.NaN, quality: 'bad' });
    expect(why).toMatch(/outside|no number|no value|not finite/);
  });

  test('a range that falls (rawLo above rawHi) → still mapped', () => {
    expect(tagValue({ type: 'int16', scale: { rawLo: 100, rawHi: 0, lo: 0, hi: 1 } }, 25).value).toBe(0.75);
  });

  test('uncertain stays uncertain, bad wins over any number', () => {
    expect(tagValue(plain, 1, 'uncertain')).toEqual({ value: 1, quality: 'uncertain' });
    expect(tagValue(plain, 1, 'bad').value).toBeNaN();
  });
});

test.each([
  [0x0000_0000, 'good'],
  [0x0000_0480, 'good'],
  [0x4090_0000, 'uncertain'],
  [0x8032_0000, 'bad'],
  [0x8000_0000, 'bad'],
  [0xc000_0000, 'bad'],
] as const)('OPC UA status %i → %s by its two highest bits', (status, quality) => {
  expect(qualityOf(status)).toBe(quality);
});
