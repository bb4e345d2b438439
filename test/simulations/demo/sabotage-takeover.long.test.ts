import { describe, test } from 'vitest';
import { mustFail } from './play.ts';

/** Half a minute each; sabotage.test.ts shows one of the kind at every change. */
const broken: readonly (readonly [step: string, why: RegExp])[] = [
  ['takeover', /the duty runs on one other agent, the same for a second: not within/],
  ['intruders', /a stranger that is not on the list got in/],
];

describe('a sabotaged mechanism', () => {
  test.for(broken)(
    'of step %s → the story ends non-zero and names this step and no other',
    { timeout: 140_000 },
    (it) => mustFail(...it),
  );
});
