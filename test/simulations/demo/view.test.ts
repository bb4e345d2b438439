import { expect, it } from 'vitest';
import { gist } from '../../../simulations/demo/view.ts';

it('line that differs by its figures only → no news; by a name or a word → news', () => {
  expect(gist('checks: 23 judged: press/oil UNKNOWN stale 12 s')).toBe(
    gist('checks: 23 judged: press/oil UNKNOWN stale 3.5 s'),
  );
  expect(gist('duty press/poll: edge-2')).not.toBe(gist('duty press/poll: edge-4'));
  expect(gist('checks: 23 judged: a WARN 5 °C')).not.toBe(gist('checks: 23 judged: a CRIT 5 °C'));
});
