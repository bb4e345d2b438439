import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { readProcess } from '../../../agent/adapters/connections/process-table.ts';
import { holdFolder } from '../../../agent/adapters/store/folder-lock.ts';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'millwright-lock-'));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const lock = () => join(dir, 'agent.lock');

test('folder lock: a living process holds it → refused with its number; it is killed → taken over', async () => {
  const other = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' });
  const pid = other.pid ?? 0;
  writeFileSync(lock(), `${pid} ${readProcess(pid)?.startTicks}\n`);
  const refused = holdFolder(dir);
  expect(refused.ok === false && refused.error).toContain(`process ${pid}`);
  const gone = new Promise((resolve) => other.once('exit', resolve));
  other.kill('SIGKILL');
  await gone;
  expect(holdFolder(dir).ok).toBe(true);
  expect(readFileSync(lock(), 'utf8')).toMatch(new RegExp(`^${process.pid} `));
});

test('folder lock: the number belongs to another program by now → taken over', () => {
  writeFileSync(lock(), `${process.ppid} 1\n`);
  expect(holdFolder(dir).ok).toBe(true);
});

test('folder lock: released → gone; a successor’s lock is left alone', () => {
  const held = holdFolder(dir);
  if (!held.ok) throw new Error(held.error);
  held.value.release();
  expect(() => readFileSync(lock())).toThrow(/ENOENT/);
  const again = holdFolder(dir);
  if (!again.ok) throw new Error(again.error);
  writeFileSync(lock(), '1 1\n');
  again.value.release();
  expect(readFileSync(lock(), 'utf8')).toBe('1 1\n');
});

test('folder lock: a folder that cannot be written → no error; the store tells', () => {
  writeFileSync(join(dir, 'file'), '');
  expect(holdFolder(join(dir, 'file', 'below')).ok).toBe(true);
});
