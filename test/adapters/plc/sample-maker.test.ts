import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { SampleMaker } from '../../../agent/adapters/plc/sample-maker.ts';
import { instant, wallTime } from '../../../agent/base/time.ts';
import type { Tag } from '../../../agent/driver/bindings.ts';
import { tag } from './collector.ts';

const row = (more: Partial<Tag>, raws: readonly unknown[], everyMs = 100) => {
  const maker = new SampleMaker(tag(0, 'x', { everyMs, ...more }));
  return raws.map((raw, i) => maker.make(instant(i * everyMs), { raw, sourceTime: wallTime(1_000 + i) }));
};

describe('samples', () => {
  test('change: what lies within it of the one told last → told as that one, with its time', () => {
    const samples = row({ change: { by: 'value', value: 0.5 } }, [1, 1.2, 1.4, 1.6, 1.55, 1.1]);
    expect(samples.map(({ value }) => value)).toEqual([1, 1, 1, 1.6, 1.6, 1.1]);
    expect(samples.map(({ sourceTime }) => sourceTime)).toEqual([1_000, 1_000, 1_000, 1_003, 1_003, 1_005]);
    expect(samples.map(({ receiveTime }) => receiveTime)).toEqual([0, 100, 200, 300, 400, 500]);
  });

  test('change as a share → of the range that the scale names', () => {
    const scale = { rawLo: 0, rawHi: 1_000, lo: 0, hi: 10 };
    const samples = row({ scale, change: { by: 'share', share: 0.05 } }, [100, 140, 151]);
    expect(samples.map(({ value }) => value)).toEqual([1, 1, 1.51]);
  });

  test('change: a quality that turns → always told', () => {
    const samples = row({ change: { by: 'value', value: 10 } }, [1, Number.NaN, 1.5]);
    expect(samples.map(({ quality }) => quality)).toEqual(['good', 'bad', 'good']);
    expect(samples[2]?.value).toBe(1.5);
  });

  test('frozen: the same raw value for so long → bad until it moves', () => {
    const samples = row({ frozenMs: 300 }, [5, 5, 5, 5, 5, 5.1, 5.1]);
    expect(samples.map(({ quality }) => quality)).toEqual(['good', 'good', 'good', 'bad', 'bad', 'good', 'good']);
    expect(samples[3]).toMatchObject({ value: Number.NaN, why: 'has not moved for 0.3 s' });
  });

  test('frozen: an outage is no standing still', () => {
    const maker = new SampleMaker(tag(0, 'x', { everyMs: 100, frozenMs: 8_000 }));
    const at = (ms: number) => maker.make(instant(ms), { raw: 5, sourceTime: wallTime(0) });
    expect(at(0).quality).toBe('good');
    expect(at(60_000).quality).toBe('good');
    expect(at(64_000).quality).toBe('good');
    expect(at(68_500).quality).toBe('bad');
  });

  test('whatever a device says → NaN exactly when bad, a reason whenever not good', () => {
    const anything = fc.oneof(
      fc.double(),
      fc.integer(),
      fc.boolean(),
      fc.bigInt(),
      fc.string(),
      fc.constant(undefined),
      fc.object(),
    );
    fc.assert(
      fc.property(
        fc.array(anything, { maxLength: 12 }),
        fc.record({
          frozenMs: fc.constantFrom(200, 1_000),
          change: fc.constant({ by: 'value' as const, value: 0.1 }),
          scale: fc.constantFrom(undefined, { rawLo: 0, rawHi: 100, lo: -1, hi: 1 }),
        }),
        (raws, more) => {
          for (const { value, quality, why } of row(more, raws)) {
            expect(Number.isNaN(value)).toBe(quality === 'bad');
            expect(why === undefined).toBe(quality === 'good');
            if (quality !== 'bad') expect(Number.isFinite(value)).toBe(true);
          }
        },
      ),
      { numRuns: 300 },
    );
  });
});
