import { execFile } from 'node:child_process';
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { Random } from '../../../agent/base/random.ts';
import { openGraphs, openSession } from '../../../models/onnx/session.ts';
import { trainFromRows } from '../../../models/training/train.ts';
import { pumpRecording } from '../../support/pump-recording.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';

const millwright = resolve(import.meta.dirname, '..', '..', '..', 'millwright.ts');

test('onnx session: a model is trained and scored → the runtime writes no id, cache or log and reports to nobody', {
  timeout: 60_000,
}, async () => {
  const folder = await temporaryFolder();
  const [home, temporary] = [join(folder, 'home'), join(folder, 'tmp')];
  await Promise.all([mkdir(home), mkdir(temporary)]);
  const data = join(folder, 'pump.csv');
  await writeFile(data, pumpRecording({ rows: 400, seed: 7 }));
  // CI and its like silence the runtime's reports by themselves, so they are kept out of this environment.
  const env = { PATH: process.env['PATH'] ?? '', HOME: home, TMPDIR: temporary };
  const run = (...args: string[]) => promisify(execFile)(process.execPath, [millwright, 'model', ...args], { env });
  await run('train', '--data', data, '--out', join(folder, 'model'));
  const { stdout } = await run('score', '--model', join(folder, 'model'), '--data', data);
  expect(stdout.split('\n').length).toBeGreaterThan(300);
  expect(await readdir(home, { recursive: true })).toEqual([]);
  expect(await readdir(temporary, { recursive: true })).toEqual([]);
});

/** A model of two signals around a level, and what it takes to open it. */
function modelAround(level: number) {
  const random = new Random('session', `around ${level}`);
  const rows = Array.from({ length: 300 }, () => [level + random.normal(), random.normal()]);
  const trained = trainFromRows(rows, ['a', 'b'], { name: 'm', everyMs: 1_000 });
  if (!trained.ok) throw new Error(trained.error.message);
  const { onnx, manifest } = trained.value;
  return { onnx, rows: manifest.window.rows, golden: manifest.golden[0]! };
}

test('onnx session: the same graph for several → open once, each scores, the last one closes it', async () => {
  const press = modelAround(5);
  const open = async ({ onnx, rows }: typeof press) => {
    const opened = await openSession(Uint8Array.from(onnx), rows, 2);
    if (!opened.ok) throw new Error(opened.error.message);
    return opened.value;
  };
  const [one, two, other] = await Promise.all([open(press), open(press), open(modelAround(90))]);
  expect(openGraphs()).toBe(2);
  const window = Float32Array.from(press.golden.window);
  const [first, second] = await Promise.all([one.run(window, 1), two.run(window, 1)]);
  expect(first.scores).toEqual(second.scores);
  expect((await other.run(window, 1)).scores).not.toEqual(first.scores);

  await one.release();
  await one.release();
  expect((await two.run(window, 1)).scores).toEqual(first.scores);
  await Promise.all([two.release(), other.release()]);
  expect(openGraphs()).toBe(0);
  const again = await open(press);
  expect((await again.run(window, 1)).scores).toEqual(first.scores);
  await again.release();
});

test('onnx session: a graph that the runtime refuses → told to each who asked, and nothing stays', async () => {
  const refused = await Promise.all([1, 2].map(() => openSession(Uint8Array.of(1, 2, 3), 8, 1)));
  expect(refused.map((one) => (one.ok ? 'opened' : one.error.code))).toEqual(['runtime-failed', 'runtime-failed']);
  expect(openGraphs()).toBe(0);
});
