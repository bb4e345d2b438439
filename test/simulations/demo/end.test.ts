import { describe, expect, onTestFinished, test } from 'vitest';
import { eventually } from '../../support/eventually.ts';
import { isUp, nothingStays, startPlay } from './play.ts';

describe('the end of the demo', { timeout: 150_000 }, () => {
  test('SIGINT → exit code 0; no process, port or folder stays', async () => {
    const { play, dispose } = startPlay([]);
    onTestFinished(dispose, 30_000);
    await isUp(play);
    expect(play.leftovers().files).toHaveLength(1);
    play.kill('SIGINT');
    expect(await play.ended).toEqual({ code: 0, signal: null });
    await nothingStays(play, 10_000);
  });

  test('SIGTERM while it still starts → ends at once and leaves nothing', async () => {
    const { play, dispose } = startPlay([]);
    onTestFinished(dispose, 30_000);
    await eventually(() => play.complaints().includes('starting plant'), { deadlineMs: 30_000, everyMs: 20 });
    play.kill('SIGTERM');
    expect((await play.ended).code).toBe(0);
    await nothingStays(play, 10_000);
  });
});
