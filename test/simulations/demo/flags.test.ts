import { execFile } from 'node:child_process';
import { tmpdir } from 'node:os';
import { resolve } from 'node:path';
import { expect, it } from 'vitest';

const demo = resolve(import.meta.dirname, '..', '..', '..', 'simulations', 'demo', 'main.ts');

const complaintOf = (flags: readonly string[]): Promise<{ code: unknown; complaint: string | undefined }> =>
  new Promise((done) => {
    execFile(process.execPath, [demo, ...flags], (error, _out, complaint) =>
      done({ code: error?.code, complaint: complaint.split('\n')[0] }),
    );
  });

it.each([
  [['--until', 'lunch'], 'there is no step "lunch"'],
  [['--speed', '5'], '--speed 5: 20 to 1000 rows per second'],
  [['--replay', '/no/such.csv'], 'there is no file /no/such.csv'],
  [['--broker', 'mqtt://127.0.0.1:1'], '--broker and --keys go together'],
  // All of the folder would be copied.
  [['--broker', 'mqtt://127.0.0.1:1', '--keys', tmpdir()], 'this is no folder that millwright site init made'],
])('wrong words %j → exit code 2 and the mistake in the first line, before anything starts', async (flags, words) => {
  const { code, complaint } = await complaintOf(flags);
  expect(code).toBe(2);
  expect(complaint).toContain(words);
});
