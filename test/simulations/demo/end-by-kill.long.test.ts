import { describe, expect, onTestFinished, test } from 'vitest';
import { isUp, nothingStays, startPlay } from './play.ts';

describe('the end of the demo, unasked', { timeout: 150_000 }, () => {
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
});
