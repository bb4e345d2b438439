import { describe, test } from 'vitest';
import { mustFail } from './play.ts';

/** Half a minute each: what the step must say when its mechanism is broken, the reason. */
const broken: readonly (readonly [step: string, why: RegExp])[] = [
  ['repair', /the incident ended|an incident with a verified heal at the coordinator: not within/],
  ['takeover', /the duty runs on one other agent, the same for a second: not within/],
  ['intruders', /a stranger that is not on the list got in/],
  ['members', /all members alive in each other’s eyes: not within/],
  ['local-alarm', /the alarm stands on the box that polls the press: not within/],
  ['coordinator-lost', /the coordinator learns of the death: not within/],
];

describe('a sabotaged mechanism', () => {
  test.for(broken)(
    'of step %s → the story ends non-zero and names this step and no other',
    { timeout: 140_000 },
    (it) => mustFail(...it),
  );
});
