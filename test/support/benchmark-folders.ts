import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Random } from '../../agent/base/random.ts';
import { temporaryFolder } from './temporary-folder.ts';

/** A series as lines of text: header first. */
export type Series = Readonly<Record<string, readonly string[]>>;

/** Writes series at their paths below a new folder. */
export async function folderOf(series: Series): Promise<string> {
  const folder = await temporaryFolder();
  for (const [path, lines] of Object.entries(series)) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), `${lines.join('\n')}\n`);
  }
  return folder;
}

const stampOf = (start: number, seconds: number): string =>
  new Date(start + seconds * 1_000).toISOString().slice(0, 19).replace('T', ' ');

export interface MadeUp {
  /** Milliseconds since 1970 of the first row. */
  readonly start?: number;
  readonly labels?: boolean;
}

/** Made-up runs in SKAB's format: a series in which a level moves at row 440. Nothing here is benchmark data. */
export function skabLike({ start = Date.UTC(2020, 2, 9, 12), labels = true }: MadeUp = {}): Series {
  const names = ['Accelerometer1RMS', 'Accelerometer2RMS', 'Current', 'Pressure', 'Temperature', 'Thermocouple'];
  const head = ['datetime', ...names, 'Voltage', 'Volume Flow RateRMS', ...(labels ? ['anomaly', 'changepoint'] : [])];
  const series = (seed: string) => {
    const random = new Random(seed, 'skab-like');
    let warmth = 70;
    return Array.from({ length: 540 }, (_, i) => {
      const fault = i >= 440 && i < 500;
      warmth += 0.002 + 0.01 * random.normal();
      const values = [0.03, 0.04, 1.3, 0.05, warmth, 25 + 0.1 * (warmth - 70), 229, fault ? 30 : 32].map(
        (level, c) => level + [0.001, 0.001, 0.05, 0.1, 0.05, 0.02, 2, 0.3][c]! * random.normal(),
      );
      const marks = labels ? [fault ? '1.0' : '0.0', i === 440 || i === 500 ? '1.0' : '0.0'] : [];
      return [stampOf(start, i), ...values.map((value) => value.toFixed(5)), ...marks].join(';');
    });
  };
  return {
    'valve1/0.csv': [head.join(';'), ...series('a')],
  };
}

/** Made-up metrics in NAB's format: a daily swing with a burst, with the files that hold the answers beside them. */
export function nabLike({ start = Date.UTC(2014, 3, 1), labels = true }: MadeUp = {}): Series {
  const random = new Random('nab-like');
  const lines = Array.from({ length: 900 }, (_, i) => {
    const swing = 40 + 10 * Math.sin((2 * Math.PI * i) / 288) + 0.1 * random.normal();
    return `${stampOf(start, 300 * i)},${(i >= 700 && i < 720 ? swing + 45 : swing).toFixed(4)}`;
  });
  return {
    'realKnownCause/made_up.csv': ['timestamp,value', ...lines],
    ...(labels
      ? {
          'windows.json': [
            JSON.stringify({ 'realKnownCause/made_up.csv': [[stampOf(start, 204_000), stampOf(start, 222_000)]] }),
          ],
          'labels.json': [JSON.stringify({ 'realKnownCause/made_up.csv': [stampOf(start, 210_000)] })],
        }
      : {}),
  };
}

/** A made-up plant in the Tennessee Eastman format: healthy rows to learn from, a healthy and a faulty run. */
export function tepLike(): Series {
  const names = [...Array.from({ length: 9 }, (_, c) => `xmeas_0${c + 1}`), 'xmv_01', 'xmv_02', 'xmv_03'];
  const run = (seed: string, rows: number, faultFrom = rows) => {
    const random = new Random(seed, 'tep-like');
    let slow = 0;
    const lines = Array.from({ length: rows }, (_, i) => {
      slow = 0.9 * slow + 0.3 * random.normal();
      const values = names.map(
        (_name, c) => 10 * c + slow * (c % 3) + random.normal() + (i >= faultFrom && c === 4 ? 4 : 0),
      );
      return values.map((value) => value.toFixed(5)).join(',');
    });
    return [names.join(','), ...lines];
  };
  return {
    'train/d00.csv': run('train', 500),
    'd00_te.csv': run('healthy', 200),
    'd05_te.csv': run('faulty', 260, 160),
  };
}
