import { cp, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { evaluateCommand } from '../../../models/evaluation/commands.ts';
import { folderOf, nabLike, type Series, skabLike, tepLike } from '../../support/benchmark-folders.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';

let said: { out: string; error: string };
const voice = {
  out: (text: string) => {
    said.out += text;
  },
  error: (text: string) => {
    said.error += text;
  },
};
beforeEach(() => {
  said = { out: '', error: '' };
});

interface Line {
  readonly timestamp: string;
  readonly score: number;
  readonly anomaly: boolean;
}

async function predictions(dataset: string, series: Series): Promise<Readonly<Record<string, readonly Line[]>>> {
  const data = await folderOf(series);
  const out = await temporaryFolder();
  const code = await evaluateCommand({ dataset, data, out }, voice);
  expect([code, said.out]).toEqual([0, expect.stringContaining(`series of ${dataset}`)]);
  const read: Record<string, Line[]> = {};
  for (const path of Object.keys(series).filter((path) => path.endsWith('.csv') && !path.startsWith('train'))) {
    const [head, ...lines] = (await readFile(join(out, path), 'utf8')).trimEnd().split('\n');
    expect(head).toBe('timestamp,score,is_anomaly');
    read[path] = lines.map((line) => {
      const [timestamp = '', score = '', anomaly = ''] = line.split(',');
      expect(anomaly).toMatch(/^[01]$/);
      return { timestamp, score: Number(score), anomaly: anomaly === '1' };
    });
  }
  return read;
}

/** Of the series as they are, judged once for all tests. */
const asTheyAre = new Map<string, ReturnType<typeof predictions>>();
const whole = (dataset: keyof typeof madeUp) => {
  const known = asTheyAre.get(dataset) ?? predictions(dataset, madeUp[dataset]);
  asTheyAre.set(dataset, known);
  return known;
};
const madeUp = { skab: skabLike(), nab: nabLike(), tep: tepLike() } as const;

const judged = (read: Readonly<Record<string, readonly Line[]>>) =>
  Object.fromEntries(
    Object.entries(read).map(([path, lines]) => [path, lines.map(({ score, anomaly }) => ({ score, anomaly }))]),
  );
const shorter = (series: Series, rows: number): Series =>
  Object.fromEntries(
    Object.entries(series).map(([path, lines]) => [
      path,
      path.endsWith('.csv') && !path.startsWith('train') ? lines.slice(0, lines.length - rows) : lines,
    ]),
  );

describe('evaluate: a detector that knows no answer and no clock', () => {
  it.each([
    ['skab', 440, 500, 'valve1/0.csv'],
    ['nab', 700, 730, 'realKnownCause/made_up.csv'],
    ['tep', 160, 260, 'd05_te.csv'],
  ] as const)('%s: one finite line per row, and the fault is seen', async (dataset, from, to, path) => {
    const read = await whole(dataset);
    for (const [name, lines] of Object.entries(read)) {
      expect(lines.length).toBe((madeUp[dataset] as Series)[name]!.length - 1);
      expect(lines.every(({ score }) => Number.isFinite(score))).toBe(true);
    }
    expect(read[path]?.slice(from, to).some(({ anomaly }) => anomaly)).toBe(true);
  });

  it.each([
    ['skab', skabLike({ labels: false })],
    ['nab', nabLike({ labels: false })],
  ] as const)('%s: labels stripped → the same predictions', async (dataset, bare) => {
    expect(await predictions(dataset, bare)).toEqual(await whole(dataset));
  });

  it.each([
    ['skab', skabLike({ start: Date.UTC(2031, 6, 2, 3, 4, 5) })],
    ['nab', nabLike({ start: Date.UTC(2031, 6, 2, 3, 4, 5) })],
  ] as const)('%s: another year, day and hour → the same predictions', async (dataset, later) => {
    expect(judged(await predictions(dataset, later))).toEqual(judged(await whole(dataset)));
  });

  it('tep: the file of a fault under another number → the same predictions', async () => {
    const { 'd05_te.csv': faulty = [], 'train/d00.csv': healthy = [] } = tepLike();
    const renamed = await predictions('tep', { 'train/d00.csv': healthy, 'd17_te.csv': faulty });
    expect(renamed['d17_te.csv']).toEqual((await whole('tep'))['d05_te.csv']);
  });

  it.each(['skab', 'nab', 'tep'] as const)(
    '%s: tail cut off → the rows before are judged as they were',
    async (dataset) => {
      const all = await whole(dataset);
      const cut = await predictions(dataset, shorter(madeUp[dataset], 70));
      for (const [path, lines] of Object.entries(cut)) {
        expect(lines.length).toBe((all[path]?.length ?? 0) - 70);
        expect(lines).toEqual(all[path]?.slice(0, lines.length));
      }
    },
  );
});

describe('evaluate: what is wrong is told', () => {
  it('unknown dataset, folder that is not there, predictions among the data → all at once, exit code 2', async () => {
    expect(await evaluateCommand({ dataset: 'smd', data: '/not/there', out: '/not/there/out' }, voice)).toBe(2);
    expect(said.error).toMatch(/no dataset "smd"; there are skab, nab, tep/);
    expect(said.error).toMatch(/\/not\/there is not there/);
    expect(said.error).toMatch(/lies in the data/);
  });

  it('one series with an odd column, one with a word → both named, the others written, exit code 1', async () => {
    const good = skabLike();
    const [head = '', first = '', ...rest] = good['valve1/0.csv'] ?? [];
    const data = await folderOf({
      ...good,
      'valve1/twice.csv': [head.replace('Current', 'Voltage'), first, ...rest],
      'valve1/word.csv': [head, first.replace(/;[^;]*/, ';much'), ...rest],
    });
    const out = await temporaryFolder();
    expect(await evaluateCommand({ dataset: 'skab', data, out, json: true }, voice)).toBe(1);
    const told = JSON.parse(said.out);
    expect(told.problems.map(({ message }: { message: string }) => message)).toEqual([
      expect.stringMatching(/twice\.csv.*column "Voltage" stands there twice/),
      expect.stringMatching(/word\.csv line 2: "much" is no number/),
    ]);
    expect((await readFile(join(out, 'valve1/0.csv'), 'utf8')).split('\n').length).toBeGreaterThan(500);
  });

  it('tep without its healthy file, a folder without series → says what the folder should look like', async () => {
    const data = await folderOf(tepLike());
    await rename(join(data, 'train'), join(data, 'learn'));
    expect(await evaluateCommand({ dataset: 'tep', data, out: await temporaryFolder() }, voice)).toBe(1);
    expect(said.error).toMatch(/train\/d00\.csv is missing.*laid out as/s);
    const empty = await temporaryFolder();
    await cp(join(data, 'learn'), join(empty, 'train'), { recursive: true });
    expect(await evaluateCommand({ dataset: 'tep', data: empty, out: await temporaryFolder() }, voice)).toBe(1);
    expect(said.error).toMatch(/holds no series/);
  });
});
