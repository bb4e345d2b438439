import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { alerts, parsePerfdata, parsePluginOutput, parseRange } from '../../../agent/adapters/checks/perfdata.ts';

const only = (text: string) => {
  const { items, rejected } = parsePerfdata(text);
  expect(rejected).toBe(0);
  expect(items).toHaveLength(1);
  return items[0];
};

describe('perfdata', () => {
  test('item with all fields → each field', () => {
    expect(only('/=2643MB;5948;5958;0;5968')).toEqual({
      label: '/',
      value: 2643,
      unit: 'MB',
      warn: '5948',
      crit: '5958',
      min: 0,
      max: 5968,
    });
  });

  test('quoted label with blanks, equals sign and a doubled quote → the plain label', () => {
    expect(only("'it''s a = b'=1")?.label).toBe("it's a = b");
  });

  test.each(['s', 'us', 'ms', '%', 'B', 'KB', 'MB', 'GB', 'TB', 'c', ''])('unit "%s" → kept as written', (unit) => {
    expect(only(`x=-1.5${unit};;`)).toMatchObject({ value: -1.5, unit });
  });

  test('value U → undetermined, the rest stands', () => {
    expect(only('x=U;1;2')).toEqual({
      label: 'x',
      value: undefined,
      unit: '',
      warn: '1',
      crit: '2',
      min: undefined,
      max: undefined,
    });
  });

  test('trailing and left out fields → undefined', () => {
    expect(only('time=0.02s;;;0.000000;10.0')).toMatchObject({
      value: 0.02,
      warn: undefined,
      crit: undefined,
      max: 10,
    });
  });

  test('piece that is no item between two that are → only it is dropped', () => {
    const { items, rejected } = parsePerfdata("a=1 nonsense b=2s 'open=3 c=1.2.3 =5 d==");
    expect(items.map((item) => item.label)).toEqual(['a', 'b']);
    expect(rejected).toBe(5);
  });

  test('any items written by the guideline → parsed back, whatever blanks part them', () => {
    const label = fc.string({ minLength: 1, maxLength: 40 }).filter((text) => !/[\n\r|]/.test(text));
    const value = fc.oneof(fc.integer(), fc.double({ noNaN: true, noDefaultInfinity: true }));
    const range = fc.constantFrom(undefined, '10', '10:', '~:10', '10:20', '@10:20', '-5:5', '@~:0');
    const item = fc.record({
      label,
      value: fc.option(value, { nil: undefined }),
      unit: fc.constantFrom('', 's', 'us', 'ms', '%', 'B', 'KB', 'MB', 'TB', 'c'),
      warn: range,
      crit: range,
      min: fc.option(fc.integer(), { nil: undefined }),
      max: fc.option(fc.integer(), { nil: undefined }),
    });
    const items = fc.array(item, { maxLength: 20 });
    fc.assert(
      fc.property(items, fc.constantFrom(' ', '  ', '\n', '\t '), (list, gap) => {
        const text = list
          .map((one) => {
            const head = one.value === undefined ? 'U' : `${one.value}${one.unit}`;
            const fields = [head, one.warn, one.crit, one.min, one.max].map((field) => field ?? '').join(';');
            return `'${one.label.replaceAll("'", "''")}'=${fields}`;
          })
          .join(gap);
        const parsed = parsePerfdata(text);
        expect(parsed.rejected).toBe(0);
        expect(parsed.items).toEqual(
          list.map((one) => ({
            ...one,
            value: one.value === undefined ? undefined : Number(`${one.value}`),
            unit: one.value === undefined ? '' : one.unit,
          })),
        );
      }),
    );
  });

  test('any text → no throw, numbers are finite, labels bounded', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom("'", '=', ' ', ';', 'a', '1', '.', '-', 'U', '\n', '~', '@', 'é') }),
        (text) => {
          for (const item of parsePerfdata(text).items) {
            expect(item.label.length).toBeGreaterThan(0);
            expect(item.value === undefined || Number.isFinite(item.value)).toBe(true);
          }
        },
      ),
      { numRuns: 2_000 },
    );
  });

  test('64 kB of pieces without a value → linear time, bounded result', () => {
    const begun = performance.now();
    expect(parsePerfdata('a '.repeat(32_768)).items).toEqual([]);
    expect(parsePerfdata("'".repeat(65_536)).items).toEqual([]);
    expect(parsePerfdata('a=1 '.repeat(16_384)).items).toHaveLength(1_000);
    // A quadratic parser needs a minute here.
    expect(performance.now() - begun).toBeLessThan(5_000);
  });
});

describe('range', () => {
  // The table of the guidelines, "Threshold and ranges".
  test.each([
    ['10', [-1, 11], [0, 10]],
    ['10:', [9.9], [10, 1e9]],
    ['~:10', [10.1], [-1e9, 10]],
    ['10:20', [9, 21], [10, 20]],
    ['@10:20', [10, 20], [9, 21]],
  ])('%s → alerts outside of it, with @ inside of it', (text, bad, good) => {
    const range = parseRange(text);
    if (range === undefined) throw new Error('not a range');
    for (const value of bad) expect([value, alerts(range, value)]).toEqual([value, true]);
    for (const value of good) expect([value, alerts(range, value)]).toEqual([value, false]);
  });

  test.each(['', '@', ':', 'x', '20:10', '1:2:3', '~'])('"%s" → not a range', (text) => {
    expect(parseRange(text)).toEqual(
      text === ':' ? { start: 0, end: Number.POSITIVE_INFINITY, inside: false } : undefined,
    );
  });
});

describe('plugin output', () => {
  test('one line without performance data → text alone', () => {
    expect(parsePluginOutput('DISK OK\n')).toEqual({ text: 'DISK OK', longText: '', perf: { items: [], rejected: 0 } });
  });

  test('the guideline’s long example → text, long text, and performance data from both places', () => {
    const output = [
      'DISK OK - free space: / 3326 MB (56%); | /=2643MB;5948;5958;0;5968',
      '/ 15272 MB (77%);',
      '/boot 68 MB (69%);',
      '/home 69357 MB (27%);',
      '/var/log 819 MB (84%); | /boot=68MB;88;93;0;98',
      '/home=69357MB;253404;253409;0;253414',
      '/var/log=818MB;970;975;0;980',
    ].join('\n');
    const parsed = parsePluginOutput(output);
    expect(parsed.text).toBe('DISK OK - free space: / 3326 MB (56%);');
    expect(parsed.longText.split('\n')).toHaveLength(4);
    expect(parsed.perf.rejected).toBe(0);
    expect(parsed.perf.items.map((item) => item.label)).toEqual(['/', '/boot', '/home', '/var/log']);
  });

  test('empty output → empty text', () => {
    expect(parsePluginOutput('').text).toBe('');
  });
});
