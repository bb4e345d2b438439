import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { inputName, isLabelColumn, readRecording } from '../../../models/training/csv.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';

const read = async (text: string, options = {}) => {
  const path = join(await temporaryFolder(), 'recording.csv');
  await writeFile(path, text);
  return readRecording(path, options);
};

describe('recording', () => {
  it.each([
    ['semicolons', ';'],
    ['commas', ','],
    ['tabs', '\t'],
  ])('%s → columns, times and numbers', async (_name, mark) => {
    const text = `time;Flow Rate;Pressure\n2020-03-09 12:14:36;32.5;1\n2020-03-09 12:14:37;31;-2e-1\n`.replaceAll(
      ';',
      mark,
    );
    expect(await read(text)).toEqual({
      ok: true,
      value: {
        columns: ['FlowRate', 'Pressure'],
        stamps: ['2020-03-09 12:14:36', '2020-03-09 12:14:37'],
        times: [Date.UTC(2020, 2, 9, 12, 14, 36), Date.UTC(2020, 2, 9, 12, 14, 37)],
        rows: [
          [32.5, 1],
          [31, -0.2],
        ],
      },
    });
  });

  it('label columns → dropped by name, and refused when they are asked for', async () => {
    const text = 'time,Flow,anomaly,changepoint,is_anomaly,Label\n1,2,1,1,1,1\n2,3,0,0,0,0\n';
    expect(await read(text)).toMatchObject({ ok: true, value: { columns: ['Flow'], rows: [[2], [3]] } });
    expect(await read(text, { columns: ['anomaly'] })).toMatchObject({ ok: false, error: { code: 'column-missing' } });
    for (const name of ['anomaly', 'Anomaly', 'is_anomaly', 'changepoint', 'LABEL'])
      expect(isLabelColumn(name)).toBe(true);
    for (const name of ['Flow', 'labelled-flow', 'classic']) expect(isLabelColumn(name)).toBe(false);
  });

  it('columns asked for → in that order, spaces in names do not matter', async () => {
    const text = 'time,A one,B\n1,2,3\n';
    expect(inputName(' A  one')).toBe('Aone');
    expect(await read(text, { columns: ['B', 'Aone'] })).toMatchObject({
      ok: true,
      value: { columns: ['B', 'Aone'], rows: [[3, 2]] },
    });
  });

  it('rows asked for → no more are read, and what follows may be broken', async () => {
    const text = 'time,A\n1,2\n2,3\n3,oops\n';
    expect(await read(text, { rows: 2 })).toMatchObject({ ok: true, value: { rows: [[2], [3]] } });
  });

  it('missing value → NaN; epoch seconds and milliseconds → the same time', async () => {
    const result = await read('time,A\n1583756076,\n1583756077000,NaN\n');
    expect(result).toMatchObject({ ok: true, value: { times: [1583756076000, 1583756077000] } });
    expect(result.ok && result.value.rows.flat().every(Number.isNaN)).toBe(true);
  });

  it.each([
    ['a word for a number', 'time,A\n1,2\n2,many\n', /line 3: "many" is no number/],
    ['a word for a time', 'time,A\nyesterday,2\n', /line 2: "yesterday" is no time stamp/],
    ['a row that is too short', 'time,A,B\n1,2\n', /Invalid Record Length.*line 2/],
    ['no rows', 'time,A\n', /no rows/],
    ['no header', '2026-01-01T00:00:00Z,1.5,2\n2026-01-01T00:00:01Z,1.4,2\n', /line 1: numbers where names should be/],
    ['one column', 'time\n1\n', /line 1: 1 columns/],
    ['a column twice', 'time,A,A\n1,2,3\n', /"A" stands there twice/],
    ['only labels', 'time,anomaly\n1,0\n', /every column is a label/],
  ])('%s → refused with its line', async (_name, text, message) => {
    const result = await read(text);
    expect(result.ok).toBe(false);
    expect(!result.ok && result.error.message).toMatch(message);
  });

  it('file that is not there → told, not thrown', async () => {
    const result = await readRecording('/no/such/recording.csv');
    expect(result).toMatchObject({ ok: false, error: { code: 'data-unreadable' } });
  });
});
