import { execFile } from 'node:child_process';
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
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
