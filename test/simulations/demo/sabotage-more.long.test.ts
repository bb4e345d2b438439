import { describe, test } from 'vitest';
import { mustFail } from './play.ts';

/** Half a minute each, and of the kind that two neighbours of this file show at every change already. */
const broken: readonly (readonly [step: string, why: RegExp])[] = [
  ['members', /all members alive in each other’s eyes: not within/],
  ['local-alarm', /the alarm stands on the box that polls the press: not within/],
  ['coordinator-lost', /the coordinator learns of the repair: not within/],
];

describe('a sabotaged mechanism', () => {
  test.for(broken)(
    'of step %s → the story ends non-zero and names this step and no other',
    { timeout: 140_000 },
    (it) => mustFail(...it),
  );
});
