import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { nearest } from '../../agent/base/nearest.ts';
import {
  parseBudget,
  parseDwell,
  parseHostPort,
  parseLimit,
  parseScale,
  parseTimes,
} from '../../agent/config/grammar.ts';
import {
  convert,
  formatDuration,
  parseDuration,
  parseQuantity,
  unitNames,
  unitOf,
} from '../../agent/config/quantity.ts';

const to = (value: number, from: string, target: string) => convert(value, unitOf(from)!, unitOf(target)!);

describe('quantities', () => {
  it.each([
    [0, '°C', 'K', 273.15],
    [300, 'K', '°C', 26.85],
    [212, '°F', '°C', 100],
    [2, 'bar', 'kPa', 200],
    [1, 'g', 'm/s²', 9.80665],
    [1, 'm³/h', 'l/min', 16.6666666667],
    [1500, 'rpm', 'Hz', 25],
    [90, 'min', 'h', 1.5],
    [5, 'GiB', 'MiB', 5120],
    [7.1, 'mm/s', 'm/s', 0.0071],
  ])('%d %s → in %s is %d', (value, from, target, expected) => {
    expect(to(value, from, target)).toBeCloseTo(expected, 9);
  });

  it('units of different dimension → do not compare', () => {
    expect(to(1, 'bar', '°C')).toBeUndefined();
    expect(to(1, 'mm', 'mm/s')).toBeUndefined();
  });

  it('any unit → converts to any of its dimension and back', () => {
    const names = unitNames();
    fc.assert(
      fc.property(
        fc.constantFrom(...names),
        fc.constantFrom(...names),
        fc.integer({ min: -10_000, max: 10_000 }),
        (a, b, x) => {
          const there = to(x, a, b);
          expect(there === undefined).toBe(unitOf(a)?.dimension !== unitOf(b)?.dimension);
          if (there === undefined) return;
          // Twelve digits each way; an offset costs those that it stands on.
          const scale = Math.max(Math.abs(x), 500);
          expect(Math.abs(to(there, b, a)! - x)).toBeLessThan(scale * 1e-6);
        },
      ),
      { seed: 1 },
    );
  });

  it.each([
    ['7.1 mm/s', 7.1, 'mm/s'],
    ['80%', 80, '%'],
    ['-5 °C', -5, '°C'],
    ['1e3 Pa', 1000, 'Pa'],
    ['10_000 count', 10_000, 'count'],
    ['3', 3, undefined],
  ])('"%s" → %d %s', (text, value, unit) => {
    const parsed = parseQuantity(text);
    expect(parsed).toMatchObject({ ok: true, value: { value } });
    expect(parsed.ok && parsed.value.unit?.name).toBe(unit);
  });

  it.each(['mm/s', '', '7 furlongs', '- 5', '1..2 bar', '1e999 Pa'])('"%s" → no quantity', (text) => {
    expect(parseQuantity(text).ok).toBe(false);
  });

  it.each([
    ['200ms', 200],
    ['5 s', 5_000],
    ['10m', 600_000],
    ['2 min', 120_000],
    ['8h', 28_800_000],
    ['7d', 604_800_000],
  ])('duration "%s" → %d ms', (text, ms) => {
    expect(parseDuration(text)).toEqual({ ok: true, value: ms });
  });

  it.each([5, '5', '5 bar', 'soon', '-1s'])('duration %s → refused', (text) => {
    expect(parseDuration(text).ok).toBe(false);
  });

  it('durations → said in the largest unit that stays short', () => {
    expect([200, 1_500, 90_000, 86_400_000].map(formatDuration)).toEqual(['200 ms', '1.5 s', '1.5 min', '1 d']);
  });
});

describe('small texts', () => {
  it('limits → words, not signs; a sign is answered with the words', () => {
    expect(parseLimit('above 7.1 mm/s')).toMatchObject({
      ok: true,
      value: { side: 'above', quantity: { value: 7.1 } },
    });
    expect(parseLimit('< 2 bar')).toEqual({ ok: false, error: 'write "below 2 bar"' });
    expect(parseLimit('2 bar').ok).toBe(false);
  });

  it('dwell → a count, k of n, or a time', () => {
    expect(parseDwell(3)).toEqual({ ok: true, value: { kind: 'count', n: 3 } });
    expect(parseDwell('3 of 5')).toEqual({ ok: true, value: { kind: 'of', k: 3, n: 5 } });
    expect(parseDwell('30s')).toEqual({ ok: true, value: { kind: 'time', ms: 30_000 } });
    for (const wrong of [0, 1.5, '0 of 5', '6 of 5', 'often', true]) expect(parseDwell(wrong).ok).toBe(false);
  });

  it('budgets, scales, times and addresses → read or refused with an example', () => {
    expect(parseBudget('3 per 1d')).toEqual({ ok: true, value: { count: 3, perMs: 86_400_000 } });
    for (const wrong of ['3', '0 per 1d', '3 per 1 bar', 3]) expect(parseBudget(wrong).ok).toBe(false);
    expect(parseScale('5530..27648 -> 0..10 bar')).toEqual({
      ok: true,
      value: { rawLo: 5530, rawHi: 27_648, lo: 0, hi: 10, unit: 'bar' },
    });
    for (const wrong of ['0..10', '1..1 -> 0..10', '0..1 -> 0..10 parsec']) expect(parseScale(wrong).ok).toBe(false);
    expect(parseTimes('mon-fri 06:00').ok).toBe(true);
    for (const wrong of ['daily 25:00', '0 2 * * *', 'daily']) expect(parseTimes(wrong).ok).toBe(false);
    expect(parseHostPort('[::1]:502')).toEqual({ ok: true, value: { host: '::1', port: 502 } });
    for (const wrong of ['host', 'host:99999', ':5', 'a b:5']) expect(parseHostPort(wrong).ok).toBe(false);
  });

  it('nearest → slips of fingers, not any word', () => {
    expect(nearest('oill', ['oil', 'vibration'])).toBe('oil');
    expect(nearest('respond_within', ['response', 'respond-within'])).toBe('respond-within');
    expect(nearest('vibratoin', ['oil', 'vibration'])).toBe('vibration');
    expect(nearest('temperature', ['oil', 'vibration'])).toBeUndefined();
  });
});
