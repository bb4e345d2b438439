import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { scoreCommand, scoreRecording, trainCommand, trainModel } from '../../models/commands.ts';
import { inspectCommand } from '../../models/inspect.ts';
import { trainFromRows } from '../../models/training/train.ts';
import { type PumpRecordingOptions, pumpColumns, pumpRecording, pumpRows } from '../support/pump-recording.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

let folder: string;
let said: { out: string; error: string };
const voice = {
  out: (text: string) => {
    said.out += text;
  },
  error: (text: string) => {
    said.error += text;
  },
};
const fault: PumpRecordingOptions = { rows: 700, seed: 'run', faultFrom: 450, faultTo: 650 };

beforeEach(async () => {
  folder = await temporaryFolder();
  said = { out: '', error: '' };
});

const recording = async (name: string, options: Partial<PumpRecordingOptions> = {}) => {
  const path = join(folder, name);
  await writeFile(path, pumpRecording({ ...fault, ...options }));
  return path;
};
const train = async (data: string) => {
  const out = join(folder, 'pump');
  expect(await trainCommand({ data, rows: 300, out, name: 'pump' }, voice)).toBe(0);
  return out;
};
const score = async (model: string, data: string) => {
  const scored = await scoreRecording(model, data);
  if (!scored.ok) throw new Error(scored.error.message);
  return scored.value;
};

describe('model train, score, inspect', () => {
  it('healthy start of a recording → the fault is found where it is, and nearly nothing elsewhere', async () => {
    const data = await recording('run.csv');
    const rows = await score(await train(data), data);
    expect(rows.length).toBe(700);
    expect(rows.slice(0, 11).every(({ score }) => score === 0)).toBe(true);
    const healthy = [...rows.slice(300, 450), ...rows.slice(662)];
    expect(healthy.filter(({ anomaly }) => anomaly).length).toBeLessThan(5);
    expect(rows.slice(462, 650).every(({ anomaly }) => anomaly)).toBe(true);
  });

  it('labels stripped → the same model, byte for byte, and the same scores', async () => {
    const labelled = await recording('labelled.csv');
    const bare = await recording('bare.csv', { labels: false, separator: ',' });
    const model = await train(labelled);
    const first = await readFile(join(model, 'model.onnx'));
    const scored = await score(model, labelled);
    await train(bare);
    expect(await readFile(join(model, 'model.onnx'))).toEqual(first);
    expect(await score(model, bare)).toEqual(scored);
  });

  it('rows moved to another day and another row number → the same scores', async () => {
    const model = await train(await recording('run.csv'));
    const rows = await score(model, join(folder, 'run.csv'));
    const text = await readFile(join(folder, 'run.csv'), 'utf8');
    const [head, ...lines] = text.trimEnd().split('\n');
    await writeFile(
      join(folder, 'later.csv'),
      `${[head, ...lines.slice(100)].join('\n')}\n`.replaceAll('2020-', '2031-'),
    );
    const later = await score(model, join(folder, 'later.csv'));
    // The first eleven rows of a recording have no whole window yet.
    expect(later.slice(11).map((row) => row.score)).toEqual(rows.slice(111).map((row) => row.score));
  });

  it('tail cut off → the rows before are scored as they were', async () => {
    const model = await train(await recording('run.csv'));
    const whole = await score(model, join(folder, 'run.csv'));
    const text = await readFile(join(folder, 'run.csv'), 'utf8');
    await writeFile(join(folder, 'cut.csv'), `${text.split('\n').slice(0, 501).join('\n')}\n`);
    expect(await score(model, join(folder, 'cut.csv'))).toEqual(whole.slice(0, 500));
  });

  it('rows as they are, or through a file → the same model', async () => {
    const data = await recording('run.csv', { faultFrom: 700, faultTo: 700 });
    const fromFile = await trainModel({ data, rows: 300, out: join(folder, 'a'), name: 'pump' });
    const inputs = pumpColumns.map((name) => name.replaceAll(' ', ''));
    const fromRows = trainFromRows(pumpRows({ rows: 700, seed: 'run' }).slice(0, 300), inputs, {
      name: 'pump',
      everyMs: 1_000,
    });
    expect(fromFile.ok && fromRows.ok && fromFile.value.onnx).toEqual(fromRows.ok && fromRows.value.onnx);
  });

  it('manifest → says how the threshold was set, names no path, carries the units', async () => {
    const data = await recording('run.csv');
    const out = join(folder, 'pump');
    await trainCommand({ data, rows: 300, out, name: 'pump', rate: 0.02, units: { VolumeFlow: 'l/min' } }, voice);
    const text = await readFile(join(out, 'manifest.json'), 'utf8');
    expect(text).not.toContain(folder);
    expect(JSON.parse(text)).toMatchObject({
      name: 'pump',
      inputs: [{ name: 'Vibration' }, { name: 'Current' }, { name: 'VolumeFlow', unit: 'l/min' }],
      window: { rows: 12, everyMs: 1_000, maxGapMs: 10_000 },
      threshold: { falseAlarmRate: 0.02, heldOutWindows: 289 },
      trainedFrom: { file: 'run.csv', rows: 300 },
    });
  });

  it('columns as one text, no name → the folder names the model, the columns stand in that order', async () => {
    const data = await recording('run.csv');
    const out = join(folder, 'water-pump');
    expect(await trainCommand({ data, rows: 300, out, columns: 'Volume Flow, Current', json: true }, voice)).toBe(0);
    expect(JSON.parse(said.out)).toMatchObject({
      ok: true,
      name: 'water-pump',
      inputs: [{ name: 'VolumeFlow' }, { name: 'Current' }],
    });
  });

  it('hole in the recording → the window begins afresh behind it', async () => {
    const model = await train(await recording('run.csv'));
    const text = await readFile(join(folder, 'run.csv'), 'utf8');
    const lines = text.split('\n');
    lines.splice(101, 60);
    await writeFile(join(folder, 'hole.csv'), lines.join('\n'));
    const rows = await score(model, join(folder, 'hole.csv'));
    expect(rows.slice(100, 111).every((row) => row.score === 0)).toBe(true);
    expect(rows[99]?.score).toBeGreaterThan(0);
    expect(rows[111]?.score).toBeGreaterThan(0);
  });

  it('score command → one line per row, to a file or to standard output', async () => {
    const data = await recording('run.csv');
    const model = await train(data);
    said.out = '';
    expect(await scoreCommand({ model, data }, voice)).toBe(0);
    const lines = said.out.trimEnd().split('\n');
    expect(lines[0]).toBe('timestamp,score,is_anomaly');
    expect(lines.length).toBe(701);
    expect(lines[600]).toMatch(/^2020-03-09 12:09:59,\d+(\.\d+)?,1$/);
    expect(await scoreCommand({ model, data, out: join(folder, 'deep/scores.csv') }, voice)).toBe(0);
    expect((await readFile(join(folder, 'deep/scores.csv'), 'utf8')).trimEnd().split('\n')).toEqual(lines);
  });

  it('inspect → proves the golden vectors; an altered file → exit code 1 and the reason', async () => {
    const model = await train(await recording('run.csv'));
    said.out = '';
    expect(await inspectCommand({ model, json: true }, voice)).toBe(0);
    expect(JSON.parse(said.out)).toMatchObject({ ok: true, name: 'pump', golden: { checked: 4 } });
    const manifest = JSON.parse(await readFile(join(model, 'manifest.json'), 'utf8'));
    manifest.golden[1].score += 0.1;
    await writeFile(join(model, 'manifest.json'), JSON.stringify(manifest));
    said.out = '';
    expect(await inspectCommand({ model, json: true }, voice)).toBe(1);
    expect(JSON.parse(said.out)).toMatchObject({ ok: false, code: 'golden-mismatch' });
  });

  it.each([
    [
      'a column that is not there',
      { columns: ['Speed'] },
      /column "Speed" is not there; there are Vibration, Current, VolumeFlow/,
    ],
    ['a label as input', { columns: ['anomaly'] }, /is a label/],
    ['too few rows', { rows: 40 }, /need at least/],
    ['a window beyond the limit', { window: 100_000 }, /expected a whole number from 1 to 512/],
    ['a rate of two', { rate: 2 }, /above 0 and below 0.5/],
  ])('train with %s → exit code 1, one line that says what was expected', async (_name, change, message) => {
    const data = await recording('run.csv');
    const out = join(folder, 'pump');
    expect(await trainCommand({ data, rows: 300, out, name: 'pump', ...change }, voice)).toBe(1);
    expect(said.error).toMatch(message);
  });
});
