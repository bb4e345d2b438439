import { describe, expect, onTestFinished, test } from 'vitest';
import { eventually } from '../../support/eventually.ts';
import { nothingStays, type Play, startPlay } from './play.ts';

/** Waits until all of it runs: starter, janitor, plant, coordinator, five agents, a console's address. */
const isUp = (play: Play): Promise<unknown> =>
  eventually(
    () => {
      const { processes, ports } = play.seen();
      return (
        play.lines.some((line) => line.includes('site/line-log: edge-')) && processes.length >= 9 && ports.length >= 14
      );
    },
    { deadlineMs: 100_000, everyMs: 200, what: 'the demo is up' },
  ).catch((error) => {
    throw new Error(`${error.message}\n${play.lines.slice(-5).join('\n')}\n${play.complaints()}`);
  });

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

  test('SIGKILL of the starter → everything notices by itself; no process, port or folder stays', async () => {
    const { play, dispose } = startPlay([]);
    onTestFinished(dispose, 30_000);
    await isUp(play);
    play.kill('SIGKILL');
    expect((await play.ended).signal).toBe('SIGKILL');
    await nothingStays(play, 15_000);
  });

  test('SIGKILL of npm in `npm start` → its orphans notice; no process, port or folder stays', async () => {
    // Without prestart: whoever runs these tests has installed already, and an npm ci below them would pull the rug.
    const { play, dispose } = startPlay([], { command: ['npm', 'start', '--ignore-scripts', '--'] });
    onTestFinished(dispose, 30_000);
    await isUp(play);
    play.kill('SIGKILL');
    await nothingStays(play, 15_000);
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
