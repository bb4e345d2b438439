import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { temporaryFolder } from '../../support/temporary-folder.ts';
import { playToEnd } from './play.ts';
import { valveRecording } from './pump-recording.ts';

describe('a sabotaged mechanism', () => {
  test('of step replay: two inputs of the model exchanged → the alarm rises where it must not', {
    timeout: 140_000,
  }, async () => {
    const file = join(await temporaryFolder(), 'valve.csv');
    writeFileSync(file, valveRecording({ rows: 700, closed: [520, 640], labels: true }));
    const { play, ended, verdict } = await playToEnd([
      '--only',
      'replay',
      '--sabotage',
      'replay',
      '--replay',
      file,
      '--speed',
      '50',
    ]);
    expect(verdict.failure, play.complaints()).toBeUndefined();
    expect(verdict.story.map((entry) => [entry.step, entry.ok])).toEqual([
      ['members', true],
      ['replay', false],
    ]);
    expect(verdict.story.at(-1)?.why).toMatch(/outside the labelled stretch/);
    expect(ended).toEqual({ code: 1, signal: null });
  });
});
