import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { temporaryFolder } from '../../support/temporary-folder.ts';
import { mustFail, playToEnd } from './play.ts';
import { valveRecording } from './pump-recording.ts';

/** What the step must say when its mechanism is broken: the reason. The others are in sabotage-more.long.test.ts. */
const broken: readonly (readonly [step: string, why: RegExp])[] = [
  ['repair', /the incident ended|an incident with a verified heal at the coordinator: not within/],
];

describe('a sabotaged mechanism', () => {
  test.for(broken)(
    'of step %s → the story ends non-zero and names this step and no other',
    { timeout: 140_000 },
    (it) => mustFail(...it),
  );

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
