import { expect, test } from 'vitest';
import { Random } from '../../../agent/base/random.ts';
import { instant } from '../../../agent/base/time.ts';
import { MoveBudget } from '../../../agent/core/duties/move-budget.ts';
import { staticOrder } from '../../../agent/core/duties/placement.ts';
import { duty, places, SmallCrew } from './small-crew.ts';

const range = (n: number) => Array.from({ length: n }, (_, i) => i);
const first = (index: number, size: number) => staticOrder(duty(index, range(size)), places(size))[0]!.agent;

test('budget: 1 per minute in a small site, two in a hundred of a large one', () => {
  for (const [duties, perMinute] of [
    [0, 1],
    [49, 1],
    [100, 2],
    [1000, 20],
  ] as const) {
    const budget = new MoveBudget(duties, 10, 0.02, new Random(1));
    expect(budget.perMinute).toBe(perMinute);
    for (let i = 0; i < perMinute; i++) {
      expect(budget.allows(instant(1000 + i))).toBe(true);
      budget.moved(instant(1000 + i));
    }
    expect(budget.allows(instant(60_999))).toBe(false);
    expect(budget.allows(instant(61_000))).toBe(true);
  }
});

test('moves: a box of the site is new and best for many duties → over all agents, no minute sees more moves than the budget', () => {
  for (const seed of [1, 2]) {
    const duties = range(150).map((index) => duty(index, range(6)));
    const crew = new SmallCrew(6, duties, {}, { seed });
    for (const late of [4, 5]) {
      crew.kill(late);
      for (const other of range(6)) if (other !== late) crew.views[other]![late] = 'unknown';
    }
    crew.run(15_000);
    for (const late of [4, 5]) crew.join(late);
    const began = crew.now;
    crew.run(200_000);
    const moves = crew.log.filter(({ what, at }) => what === 'start' && at > began).map(({ at }) => at);
    expect(moves.length).toBeGreaterThan(4);
    for (const at of moves) expect(moves.filter((t) => t >= at && t < at + 60_000).length).toBeLessThanOrEqual(3);
    for (const { index } of duties) expect(crew.runners(index).length).toBe(1);
  }
});

test('moves: a box restarts → it asks nothing back for 30 s; restarted again soon → for a minute', () => {
  const duties = range(60).map((index) => duty(index, range(3)));
  for (const [returns, wait] of [
    [0, 30_000],
    [1, 60_000],
  ] as const) {
    const crew = new SmallCrew(3, duties, {}, { returns });
    const back = first(0, 3);
    crew.kill(back);
    crew.hold(back, 'dead');
    crew.run(13_000);
    crew.lives.set(back, 1 + returns);
    crew.revive(back);
    crew.hold(back, 'alive');
    const at = crew.now;
    crew.run(wait + 20_000);
    const asked = crew.log.filter(({ by, what, at: t }) => by === back && what === 'start' && t > at);
    expect(asked.length).toBeGreaterThan(0);
    expect(asked[0]!.at - at).toBeGreaterThanOrEqual(wait);
  }
});

test('moves: the first life of a box in a site that is at work → it need not wait as one that returned', () => {
  const duties = range(60).map((index) => duty(index, range(3)));
  const crew = new SmallCrew(3, duties);
  const late = first(0, 3);
  crew.kill(late);
  for (const other of range(3)) if (other !== late) crew.views[other]![late] = 'unknown';
  crew.run(13_000);
  crew.join(late);
  const at = crew.now;
  crew.run(12_000);
  expect(crew.log.some(({ by, what, at: t }) => by === late && what === 'start' && t > at)).toBe(true);
});

test('storm: four of nine vanish at once → only critical duties move; they come back within half a minute → nothing has moved', () => {
  const duties = range(40).map((index) => duty(index, range(9), { critical: index % 4 === 0 }));
  const crew = new SmallCrew(9, duties);
  crew.run(3_000);
  const gone = [1, 3, 5, 7];
  const was = duties.map(({ index }) => crew.runners(index)[0]!);
  crew.loses = (from, to) => gone.includes(from) !== gone.includes(to);
  const cut = crew.now;
  for (const [i, member] of gone.entries()) {
    crew.hold(
      member,
      'dead',
      range(9).filter((a) => !gone.includes(a)),
    );
    if (i < 3) crew.run(150);
  }
  crew.run(20_000);
  const moved = crew.log.filter(({ what, at, by }) => what === 'start' && at > cut && !gone.includes(by));
  for (const { duty: index } of moved) expect(duties[index]!.critical).toBe(true);
  const owed = duties.filter(({ index, critical }) => critical && gone.includes(was[index]!)).map(({ index }) => index);
  expect(owed.length).toBeGreaterThan(1);
  expect(moved.map(({ duty: index }) => index).sort((a, b) => a - b)).toEqual(owed);
  const still = duties.find(({ index, critical }) => !critical && gone.includes(was[index]!))!.index;
  expect(crew.agents[0]!.remarks(still, crew.now)[0]).toMatch(
    /^a large part of hall-1 vanished at once: what box-\d ran stays for \d+ s more$/,
  );
  crew.loses = () => false;
  for (const member of gone) crew.hold(member, 'alive');
  crew.run(10_000);
  const after = duties.filter(({ critical }) => !critical).map(({ index }) => crew.runners(index));
  expect(after).toEqual(duties.filter(({ critical }) => !critical).map(({ index }) => [was[index]]));
});

test('storm: the boxes stay away → after half a minute their work goes on elsewhere', () => {
  const duties = range(20).map((index) => duty(index, range(9)));
  const crew = new SmallCrew(9, duties);
  crew.run(3_000);
  const gone = [1, 3, 5, 7];
  for (const member of gone) {
    crew.kill(member);
    crew.hold(member, 'dead');
  }
  crew.run(29_000);
  expect(duties.some(({ index }) => crew.runners(index).length === 0)).toBe(true);
  crew.run(4_000);
  for (const { index } of duties) expect(crew.runners(index).length).toBe(1);
});

test('storm: two of nine die within half a second → no storm, both boxes’ work goes on within a second and the ranks’ delays', () => {
  const duties = range(20).map((index) => duty(index, range(9)));
  const crew = new SmallCrew(9, duties);
  crew.run(3_000);
  for (const member of [1, 3]) {
    crew.kill(member);
    crew.hold(member, 'dead');
    crew.run(200);
  }
  crew.run(1_000);
  for (const { index } of duties) expect(crew.runners(index).length).toBe(1);
});

test('storm: four of nine fall silent and membership only suspects them yet → their silence counts, nothing moves', () => {
  const duties = range(20).map((index) => duty(index, range(9)));
  const crew = new SmallCrew(9, duties);
  crew.run(3_000);
  const gone = [1, 3, 5, 7];
  for (const member of gone) {
    crew.kill(member);
    crew.hold(member, 'suspect');
  }
  const cut = crew.now;
  crew.run(10_000);
  expect(crew.log.filter(({ at }) => at > cut)).toEqual([]);
});

test('moves: a box was cut off from half the site and is back → it asks for nothing for half a minute', () => {
  const duties = range(60).map((index) => duty(index, range(5)));
  for (const cut of [true, false]) {
    const crew = new SmallCrew(5, duties);
    crew.kill(4);
    for (const other of range(4)) crew.views[other]![4] = 'unknown';
    crew.run(13_000);
    crew.join(4);
    if (cut) for (const state of ['dead', 'alive'] as const) for (const other of [0, 1]) crew.hold(other, state, [4]);
    const at = crew.now;
    crew.run(28_000);
    const asked = crew.log.filter(({ by, what, at: t }) => by === 4 && what === 'start' && t > at);
    expect(asked.length > 0).toBe(!cut);
  }
});

test('returns: a box restarted, and another dies soon after → its work goes past the returned one, and starts once', () => {
  const crew = new SmallCrew(5, [duty(0, range(5))]);
  crew.run(3_000);
  const [a, b, c] = staticOrder(duty(0, range(5)), places(5)).map(({ agent }) => agent) as [number, number, number];
  crew.kill(a);
  crew.hold(a, 'dead');
  crew.run(3_000);
  crew.revive(a);
  crew.hold(a, 'alive');
  crew.run(4_000);
  crew.kill(b);
  crew.hold(b, 'dead');
  const died = crew.now;
  crew.run(4_000);
  expect(crew.log.filter(({ what, at }) => what === 'start' && at > died).map(({ by }) => by)).toEqual([c]);
});
