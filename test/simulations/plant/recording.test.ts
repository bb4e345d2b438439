import { describe, expect, test } from 'vitest';
import { isLabelColumn, parseRecording, parseStamp } from '../../../simulations/plant/recording.ts';

describe('recording', () => {
  test.each([';', ',', '\t'])('separator "%s" → sensors by name without blanks, labels apart', (mark) => {
    const rows = [
      ['datetime', 'Pressure', 'Volume Flow RateRMS', 'anomaly', 'changepoint'],
      ['2020-03-09 12:14:36', '0.38', '32.0', '0.0', '1.0'],
      ['2020-03-09 12:14:37', '', 'n/a', '1.0', '0.0'],
    ];
    const recording = parseRecording(rows.map((row) => row.join(mark)).join('\r\n'), 'a.csv');
    expect(recording.tags).toEqual(['Pressure', 'VolumeFlowRateRMS']);
    expect(recording.rows).toHaveLength(2);
    expect(recording.rows[0]).toEqual({
      at: Date.UTC(2020, 2, 9, 12, 14, 36),
      values: Float64Array.of(0.38, 32),
      labels: { anomaly: '0.0', changepoint: '1.0' },
    });
    expect([...recording.rows[1]!.values]).toEqual([Number.NaN, Number.NaN]);
  });

  test('a recording without labels → plays as well', () => {
    const recording = parseRecording('t,Current\n2020-03-09T12:14:36Z,1\n', 'a.csv');
    expect(recording.tags).toEqual(['Current']);
    expect(recording.rows[0]?.labels).toEqual({});
  });

  test.each(['anomaly', 'Anomaly', 'is_anomaly', 'changepoint', 'change_point', 'label', 'Labels', 'target', 'class'])(
    'column %s → a label',
    (name) => {
      expect(isLabelColumn(name)).toBe(true);
    },
  );

  test.each(['Current', 'Pressure', 'Thermocouple', 'Volume Flow RateRMS', 'Classifier speed'])(
    'column %s → a sensor',
    (name) => {
      expect(isLabelColumn(name)).toBe(false);
    },
  );

  test.each([
    ['2020-03-09 12:14:36', Date.UTC(2020, 2, 9, 12, 14, 36)],
    ['2020-03-09 12:14:36.250', Date.UTC(2020, 2, 9, 12, 14, 36, 250)],
    ['2020-03-09T12:14:36+01:00', Date.UTC(2020, 2, 9, 11, 14, 36)],
    ['1583756076', 1_583_756_076_000],
    ['1583756076123', 1_583_756_076_123],
  ])('stamp %s → %i', (text, at) => {
    expect(parseStamp(text)).toBe(at);
  });

  test.each([
    ['no rows', 'datetime;a\n', /no rows/],
    ['one column', 'datetime\n2020-03-09 12:14:36\n', /one column/],
    ['labels only', 'datetime;anomaly\n2020-03-09 12:14:36;0\n', /no sensor/],
    ['a stamp that is none', 'datetime;a\nyesterday;1\n', /a\.csv:2 "yesterday"/],
    ['a row of another width', 'datetime;a\n2020-03-09 12:14:36;1;2\n', /line 2/],
  ])('%s → refused with its place', (_name, text, message) => {
    expect(() => parseRecording(text, 'a.csv')).toThrow(message);
  });
});
