import { execFile } from 'node:child_process';
import { closeSync, mkdirSync, mkdtempSync, openSync, rmSync, utimesSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { AgentStatus } from '../../agent/wire/status.ts';
import { eventually } from '../support/eventually.ts';
import { missing } from '../support/needs.ts';
import { makeSmallSite } from './small-site.ts';

/** The rule of the site that needs neither broker nor PLC nor model: it must be judged in every state below. */
const judgesItsDisk = (status: AgentStatus): boolean =>
  status.checks.some((check) => check.check === 'site/disk' && check.status === 'ok');

describe('a full disk', { timeout: 120_000 }, () => {
  test('fills up while it runs → status says so, rules go on; room again → it writes again', async (context) => {
    const data = await smallDisk(context);
    const site = await makeSmallSite({ data: join(data, 'box-1') });
    onTestFinished(() => site.dispose(), 30_000);
    const agent = await site.startAgent();
    await eventually(async () => judgesItsDisk(await site.status()), { deadlineMs: 30_000, everyMs: 200 });
    expect((await site.status()).store.ok).toBe(true);

    const ballast = fillUp(data);
    // A check that turns to and fro gives it something to write down.
    let old = false;
    const beat = () => {
      old = !old;
      const at = Date.now() / 1_000 - (old ? 3_600 : 0);
      utimesSync(site.beat, at, at);
    };
    const full = await eventually(
      async () => {
        beat();
        return (await site.status()).outbox.trouble;
      },
      { deadlineMs: 60_000, everyMs: 600, what: 'the full disk is shown' },
    );
    expect(full).toMatch(/the disk is full/);
    expect(judgesItsDisk(await site.status())).toBe(true);
    expect(agent.running()).toBe(true);

    rmSync(ballast);
    const { lastSeq } = (await site.status()).outbox;
    await eventually(
      async () => {
        beat();
        const now = await site.status();
        return now.outbox.trouble === undefined && now.outbox.lastSeq > lastSeq;
      },
      { deadlineMs: 40_000, everyMs: 600, what: 'it keeps everything again' },
    );
    expect((await site.status()).store.ok).toBe(true);
  });

  test('is full at the start → a state that is shown, no exit; rules go on', async (context) => {
    const data = await smallDisk(context);
    const site = await makeSmallSite({ data: join(data, 'box-1') });
    onTestFinished(() => site.dispose(), 30_000);
    mkdirSync(join(data, 'box-1'), { mode: 0o700 });
    fillUp(data);
    const agent = await site.startAgent();
    const status = await eventually(() => site.status(), { deadlineMs: 20_000, everyMs: 200 });
    expect(status.store).toMatchObject({ ok: false, text: expect.stringMatching(/full|disk/i) });
    expect(status.outbox.trouble).toMatch(/full|disk/i);
    await eventually(async () => judgesItsDisk(await site.status()), { deadlineMs: 30_000, everyMs: 200 });
    expect(agent.running()).toBe(true);
  });
});

/** A file system of eight megabytes; without the right to mount one, the test is skipped by name. */
async function smallDisk(context: { skip(note?: string): never }): Promise<string> {
  if (missing('root').length > 0) context.skip('needs root, to mount a small file system');
  const folder = mkdtempSync(join(tmpdir(), 'millwright-disk-'));
  const mounted = await promisify(execFile)('mount', ['-t', 'tmpfs', '-o', 'size=8m', 'tmpfs', folder]).then(
    () => true,
    () => false,
  );
  onTestFinished(async () => {
    if (mounted) await promisify(execFile)('umount', ['--lazy', folder]);
    rmSync(folder, { recursive: true, force: true });
  });
  if (!mounted) context.skip('this machine lets nobody mount a file system');
  return folder;
}

/** Writes until nothing more goes in; returns the file. */
function fillUp(folder: string): string {
  const file = join(folder, 'ballast');
  const handle = openSync(file, 'w');
  try {
    for (const size of [65_536, 4_096, 512, 1]) {
      try {
        for (;;) writeSync(handle, Buffer.alloc(size));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
      }
    }
  } finally {
    closeSync(handle);
  }
  return file;
}
