import { expect, test } from 'vitest';
import { instant } from '../../../agent/base/time.ts';
import { dutyDefaults } from '../../../agent/core/duties/options.ts';
import { Presence } from '../../../agent/core/duties/presence.ts';
import { places } from './small-crew.ts';

const seconds = (n: number) => instant(n * 1000);
const flap = (presence: Presence, member: number, at: number) => {
  presence.changed(seconds(at), member, 'dead');
  presence.changed(seconds(at + 1), member, 'alive');
};
const holdSeconds = (presence: Presence, at: number, member: number): number | undefined => {
  const hold = presence.hold(seconds(at), member);
  return hold && (hold.until - seconds(at)) / 1000;
};

test('presence: a member returns again and again → it waits 30 s, twice as long each time, 10 min at most; 10 calm minutes forgive', () => {
  const presence = new Presence(places(9), 0, dutyDefaults);
  const waits: (number | undefined)[] = [];
  let at = 0;
  for (let i = 0; i < 7; i++) {
    flap(presence, 3, at);
    waits.push(holdSeconds(presence, at + 1, 3));
    at += 5;
  }
  expect(waits).toEqual([30, 60, 120, 240, 480, 600, 600]);
  expect(presence.hold(seconds(at), 4)).toBeUndefined();
  const calm = at - 4 + 600 + 601;
  flap(presence, 3, calm);
  expect(holdSeconds(presence, calm + 1, 3)).toBe(30);
});

test('presence: suspicion that ends → no return, no wait', () => {
  const presence = new Presence(places(9), 0, dutyDefaults);
  presence.changed(seconds(1), 3, 'suspect');
  presence.changed(seconds(2), 3, 'alive');
  expect(presence.hold(seconds(2), 3)).toBeUndefined();
});

test('presence: half of the others were dead to us and come back → it was rather we who were away: once, we wait too', () => {
  const presence = new Presence(places(5), 0, dutyDefaults);
  for (const other of [1, 2, 3, 4]) presence.changed(seconds(10), other, 'dead');
  for (const other of [1, 2, 3, 4]) presence.changed(seconds(20), other, 'alive');
  expect(holdSeconds(presence, 20, 0)).toBe(30);
  const few = new Presence(places(5), 0, dutyDefaults);
  flap(few, 1, 10);
  expect(few.hold(seconds(11), 0)).toBeUndefined();
});

test('presence: a later life → waits as long as its last ones came often', () => {
  for (const [returns, wait] of [
    [0, 30],
    [1, 60],
    [3, 240],
    [40, 600],
  ] as const) {
    const presence = new Presence(places(5), 0, dutyDefaults);
    presence.began(seconds(0), returns);
    expect(holdSeconds(presence, 0, 0)).toBe(wait);
  }
});

const storms: readonly {
  readonly cell: number;
  readonly deadAt: readonly number[];
  readonly storm: boolean;
  readonly why: string;
}[] = [
  { cell: 9, deadAt: [0, 0.1, 0.2, 0.3], storm: true, why: 'four of nine are more than a third' },
  { cell: 9, deadAt: [0, 0.1, 0.2], storm: false, why: 'a third is not more than a third' },
  { cell: 9, deadAt: [0, 4, 8, 12], storm: false, why: 'never more than three within ten seconds' },
  { cell: 5, deadAt: [0, 0.5, 1], storm: true, why: 'three of five' },
  { cell: 3, deadAt: [0, 0.5], storm: false, why: 'one box or two are an everyday fault, in the smallest cell too' },
];
for (const { cell, deadAt, storm, why } of storms) {
  test(`presence: ${deadAt.length} of ${cell} die at ${deadAt.join(', ')} s → ${storm ? 'a storm' : 'no storm'}: ${why}`, () => {
    const presence = new Presence(places(cell + 1), cell, dutyDefaults);
    // The observer lives in the cell next door.
    const agents = places(cell + 1, (agent) => ({ cell: agent < cell ? 'hall-1' : 'hall-2' }));
    const seen = new Presence(agents, cell, dutyDefaults);
    for (const [member, at] of deadAt.entries()) seen.changed(seconds(at), member, 'dead');
    const last = deadAt.at(-1)!;
    expect(seen.stormUntil('hall-1') > seconds(last)).toBe(storm);
    expect(seen.takeoverAt(seconds(last), 0, false) > seconds(last + 25)).toBe(storm);
    expect(seen.takeoverAt(seconds(last), 0, true)).toBe(0);
    expect(seen.stormUntil('hall-2')).toBe(0);
    expect(presence.stormUntil('hall-1')).toBe(0);
  });
}

test('presence: members say goodbye, however many → no storm, their work is with others already', () => {
  const presence = new Presence(places(9), 0, dutyDefaults);
  for (const member of [1, 2, 3, 4, 5, 6]) presence.changed(seconds(1), member, 'left');
  expect(presence.stormUntil('hall-1')).toBe(0);
});

test('presence: two of a cell die closely → work waits half a second for a third, two seconds at most; one alone → for nothing', () => {
  const presence = new Presence(places(20), 0, dutyDefaults);
  presence.changed(seconds(1), 1, 'dead');
  expect(presence.takeoverAt(seconds(1), 1, false)).toBe(0);
  presence.changed(seconds(1.2), 2, 'dead');
  expect(presence.takeoverAt(seconds(1.2), 1, false)).toBe(1_700);
  for (const [i, at] of [1.5, 1.9, 2.3, 2.7].entries()) presence.changed(seconds(at), 3 + i, 'dead');
  expect(presence.takeoverAt(seconds(2.7), 1, false)).toBe(3_000);
});

test('presence: the missing are heard again → they count for no storm', () => {
  const presence = new Presence(places(9), 0, dutyDefaults);
  for (const member of [1, 2, 3]) presence.missed(seconds(1), member);
  for (const member of [1, 2, 3]) presence.heard(member);
  presence.missed(seconds(2), 4);
  expect(presence.stormUntil('hall-1')).toBe(0);
  for (const member of [1, 2, 3]) presence.missed(seconds(3), member);
  expect(presence.stormUntil('hall-1')).toBe(33_000);
});
