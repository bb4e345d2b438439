import { describe, test } from 'vitest';
import { mustFail } from './play.ts';

/** What the step must say when its mechanism is broken: the reason. The others are in the long tests beside this. */
const broken: readonly (readonly [step: string, why: RegExp])[] = [
  ['repair', /the incident ended|an incident with a verified heal at the coordinator: not within/],
];

describe('a sabotaged mechanism', () => {
  test.for(broken)(
    'of step %s → the story ends non-zero and names this step and no other',
    { timeout: 140_000 },
    (it) => mustFail(...it),
  );
});
