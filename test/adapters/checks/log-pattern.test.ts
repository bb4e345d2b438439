import { appendFileSync, copyFileSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { temporaryFolder } from '../duty-runners/doubles.ts';
import { prober } from './probing.ts';

function log(match = 'ERROR', except?: string) {
  const path = join(temporaryFolder(), 'app.log');
  writeFileSync(path, 'ERROR long ago\n');
  const ask = prober({ kind: 'log', path, match, except });
  return { path, ask, add: (text: string) => appendFileSync(path, text) };
}

test('log: the first look begins at the end, later ones count what was added', async () => {
  const { ask, add } = log();
  expect((await ask()).value).toBe(0);
  add('fine\nERROR one\nERROR two\r\n');
  expect(await ask()).toMatchObject({ value: 2, text: expect.stringMatching(/2 lines, the last: ERROR two$/) });
  expect((await ask()).value).toBe(0);
});

test('log: a line that is not ended yet → counts once, when it is', async () => {
  const { ask, add } = log();
  await ask();
  add('ERR');
  expect((await ask()).value).toBe(0);
  add('OR late\n');
  expect((await ask()).value).toBe(1);
  expect((await ask()).value).toBe(0);
});

test('log: lines that are excepted → do not count; control characters are not handed on', async () => {
  const { ask, add } = log('(?i)error', 'known issue');
  await ask();
  add('error: known issue 7\nError: \u001b[31mred\u0007\n');
  expect(await ask()).toMatchObject({ value: 1, text: expect.stringContaining('Error:  [31mred ') });
});

test('log: rotated by name → the rest of the old one and all of the new one count', async () => {
  const { path, ask, add } = log();
  await ask();
  add('ERROR before\n');
  renameSync(path, `${path}.1`);
  expect((await ask()).status).toBe('unknown');
  writeFileSync(path, 'ERROR after 1\nERROR after 2\n');
  expect((await ask()).value).toBe(3);
  add('ERROR more\n');
  expect((await ask()).value).toBe(1);
});

test('log: copied and cut in place → read from its beginning, also when it has outgrown the old one', async () => {
  const { path, ask, add } = log();
  add('some text\n');
  await ask();
  copyFileSync(path, `${path}.1`);
  truncateSync(path, 0);
  add('ERROR short\n');
  expect((await ask()).value).toBe(1);
  truncateSync(path, 0);
  add(`another beginning\n${'x\n'.repeat(100)}ERROR long\n`);
  expect((await ask()).value).toBe(1);
});

test('log: removed and made anew → the new one from its beginning', async () => {
  const { path, ask } = log();
  await ask();
  rmSync(path);
  writeFileSync(path, 'ERROR new\n');
  expect((await ask()).value).toBe(1);
});

test('log: 3 MB between two looks → the newest MB is read, what was skipped is said', async () => {
  const { ask, add } = log();
  await ask();
  add(`ERROR early\n${'a line of a log with nothing in it at all\n'.repeat(75_000)}ERROR last\n`);
  const { value, text } = await ask();
  expect(value).toBe(1);
  expect(text).toMatch(/the last: ERROR last \(\d{7} bytes came too fast and were skipped\)/);
});

test('log: one endless line → read in bounded pieces, and the next line is found', async () => {
  const { ask, add } = log();
  await ask();
  add(`${'x'.repeat(600_000)}ERROR not at a beginning\nERROR two\n`);
  expect((await ask()).value).toBe(1);
});

test('log: the pattern that blows up others → is over in no time', async () => {
  const { ask, add } = log('^(a+)+$');
  await ask();
  add(`${'a'.repeat(5_000)}b\n`);
  const begun = performance.now();
  expect((await ask()).value).toBe(0);
  expect(performance.now() - begun).toBeLessThan(1_500);
});

test('log: whatever is appended in whatever pieces → each line is counted once', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.constantFrom('ERROR x', '\n', 'y', '\r\n', 'ö'), { maxLength: 30 }),
      async (pieces) => {
        const { ask, add } = log();
        await ask();
        let count = 0;
        for (const piece of pieces) {
          add(piece);
          count += (await ask()).value ?? Number.NaN;
        }
        const whole = pieces.join('').split('\n').slice(0, -1);
        expect(count).toBe(whole.filter((line) => line.includes('ERROR')).length);
      },
    ),
    { numRuns: 40 },
  );
});
