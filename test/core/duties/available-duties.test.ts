import { expect, test } from 'vitest';
import { wallTime } from '../../../agent/base/time.ts';
import { compareCheckpoints } from '../../../agent/core/duties/checkpoint.ts';
import { staticOrder } from '../../../agent/core/duties/placement.ts';
import { duty, places, SmallCrew } from './small-crew.ts';

const five = [0, 1, 2, 3, 4];
const seven = Array.from({ length: 7 }, (_, index) => duty(index, five));
const order = (index: number, eligible: readonly number[] = five, size = 5) =>
  staticOrder(duty(index, eligible), places(size)).map((c) => c.agent);

test('duties: five agents start together → each duty has one holder, the best placed, and all know it', () => {
  const crew = new SmallCrew(5, seven);
  crew.run(3_000);
  for (const { index } of seven) {
    expect(crew.runners(index)).toEqual([order(index)[0]]);
    expect(crew.agents.map((a) => a.holder(index))).toEqual(five.map(() => order(index)[0]));
  }
  expect(crew.log.filter(({ what }) => what === 'stop')).toEqual([]);
});

test('duties: the first agent is up seconds before the others → it waits for the unheard ones placed before it, then takes all', () => {
  const crew = new SmallCrew(5, seven);
  for (const other of [1, 2, 3, 4]) crew.kill(other);
  for (const other of [1, 2, 3, 4]) crew.views[0]![other] = 'unknown';
  crew.run(2_000);
  for (const { index } of seven) if (order(index)[0] !== 0) expect(crew.runners(index)).toEqual([]);
  crew.run(3_000);
  for (const { index } of seven) expect(crew.runners(index)).toEqual([0]);
});

test('duties: one box after another comes up → the wait begins anew with each arrival, and nobody begins what it would give back', () => {
  const crew = new SmallCrew(5, seven);
  const others = order(0).slice(0, 4);
  const me = order(0)[4]!;
  for (const other of others) {
    crew.kill(other);
    crew.views[me]![other] = 'unknown';
  }
  const started = () => crew.log.some(({ by, what, duty: index }) => by === me && what === 'start' && index === 0);
  for (const arrival of others.slice(1)) {
    crew.run(2_500);
    crew.hold(arrival, 'alive', [me]);
  }
  crew.run(2_000);
  expect(started()).toBe(false);
  // The best placed never comes: ten seconds are enough for anybody.
  crew.run(2_000);
  expect(started()).toBe(true);
});

test('duties: the best placed comes back while another carries the work → it listens first, and nothing runs twice', () => {
  const crew = new SmallCrew(5, [duty(0, five)]);
  const [first, second] = order(0);
  crew.kill(first!);
  crew.hold(first!, 'dead');
  crew.run(3_000);
  expect(crew.runners(0)).toEqual([second]);
  crew.revive(first!);
  for (const other of five) if (other !== first) crew.views[first!]![other] = 'unknown';
  crew.run(1_500);
  for (const other of five) if (other !== first) crew.hold(other, 'alive', [first!]);
  crew.hold(first!, 'alive');
  crew.run(10_000);
  expect(crew.runners(0)).toEqual([second]);
  expect(crew.log.filter(({ what }) => what === 'start').map(({ by }) => by)).toEqual([second]);
});

test('duties: progress twice a second → peers keep all of it in memory, and write it down every few seconds', () => {
  const crew = new SmallCrew(5, [duty(0, five)]);
  crew.run(3_000);
  const [first, second] = order(0);
  const writes = () => crew.saved.filter(({ by }) => by === second).length;
  const before = writes();
  for (let i = 1; i <= 40; i++) {
    crew.take(first!, 0, new Uint8Array([i]));
    crew.run(500);
  }
  expect(writes() - before).toBeGreaterThanOrEqual(4);
  expect(writes() - before).toBeLessThanOrEqual(5);
  expect(crew.agents[second!]!.checkpoint(0)?.data).toEqual(new Uint8Array([40]));
  crew.leave(second!);
  expect(crew.saved.at(-1)).toMatchObject({ by: second, checkpoint: { data: new Uint8Array([40]) } });
});

test('duties: the holder is known dead → runs elsewhere within half a second, at a higher term', () => {
  const crew = new SmallCrew(5, [duty(0, five)]);
  crew.run(3_000);
  const [first, second] = order(0);
  crew.kill(first!);
  const at = crew.now;
  crew.hold(first!, 'dead');
  crew.run(500);
  expect(crew.runners(0)).toEqual([second]);
  expect(crew.agents[second!]!.term(0)).toBe(2);
  expect(crew.log.at(-1)!.at - at).toBeLessThanOrEqual(dutyStart);
});
const dutyStart = 255;

test('duties: the holder falls silent and membership has not noticed → claims go stale and the work moves all the same', () => {
  const crew = new SmallCrew(5, [duty(0, five)]);
  crew.run(3_000);
  crew.kill(order(0)[0]!);
  crew.run(2 * 3.5 * 500 + 250 + 2 * 150 + 250);
  expect(crew.runners(0)).toEqual([order(0)[1]]);
});

test('duties: the best placed cannot run it → the next does, at once, and stays while the first one stays away', () => {
  const crew = new SmallCrew(5, [duty(0, five)]);
  const [first, second] = order(0);
  crew.unable = (agent) => agent === first;
  crew.run(2_000);
  expect(crew.runners(0)).toEqual([second]);
  crew.run(30_000);
  expect(crew.runners(0)).toEqual([second]);
  expect(crew.agents[first!]!.explain(0).find((r) => r.agent === second)!.reason).toBe('holds it, counts 1.5-fold');
});

test('duties: nobody can run it → each tries again and again, ever more seldom', () => {
  const crew = new SmallCrew(2, [duty(0, [0, 1])]);
  crew.unable = () => true;
  crew.run(120_000);
  const starts = crew.log.filter(({ what, by }) => what === 'start' && by === 0).map(({ at }) => at);
  expect(starts.length).toBeGreaterThanOrEqual(4);
  expect(starts.length).toBeLessThanOrEqual(7);
  const gaps = starts.slice(1).map((at, i) => at - starts[i]!);
  expect(gaps.at(-1)!).toBeGreaterThan(2 * gaps[0]!);
});

test('duties: parted, each side runs it; joined → the better one stays, the other stops after two claims', () => {
  const crew = new SmallCrew(4, [duty(0, [0, 1, 2, 3])]);
  crew.run(3_000);
  const [first, second] = order(0, [0, 1, 2, 3], 4);
  const side = (agent: number) => agent === first;
  crew.loses = (from, to) => side(from) !== side(to);
  crew.hold(first!, 'dead');
  for (const other of [0, 1, 2, 3]) if (other !== first) crew.hold(other, 'dead', [first!]);
  crew.run(2_000);
  expect(crew.runners(0).sort()).toEqual([first, second].sort());
  crew.loses = () => false;
  crew.hold(first!, 'alive');
  for (const other of [0, 1, 2, 3]) if (other !== first) crew.hold(other, 'alive', [first!]);
  const healed = crew.now;
  crew.run(1_500);
  expect(crew.runners(0)).toEqual([first]);
  const stop = crew.log.find(({ what }) => what === 'stop')!;
  expect(stop.by).toBe(second);
  // Both sides counted; the last word is the one that goes on.
  const terms = crew.log.filter(({ what, by }) => what === 'start' && by === second).map(({ term }) => term ?? 0);
  expect(crew.agents[first!]!.term(0)).toBeGreaterThan(Math.max(...terms));
  expect(stop.at - healed).toBeLessThan(1_000);
});

test('duties: two better runners that do not hear each other → the third, whom both hear, stops all the same', () => {
  const crew = new SmallCrew(3, [duty(0, [0, 1, 2])]);
  crew.run(3_000);
  const [first, second, third] = order(0, [0, 1, 2], 3);
  const hold = (state: 'dead' | 'alive', pairs: (readonly [number, number])[]) => {
    for (const [a, b] of pairs) {
      crew.hold(a, state, [b]);
      crew.hold(b, state, [a]);
    }
  };
  crew.loses = () => true;
  hold('dead', [
    [first!, second!],
    [first!, third!],
    [second!, third!],
  ]);
  crew.run(2_000);
  expect(crew.runners(0).sort()).toEqual([0, 1, 2]);
  crew.loses = (from, to) => from !== third && to !== third;
  hold('alive', [
    [first!, third!],
    [second!, third!],
  ]);
  crew.run(1_500);
  expect(crew.runners(0).sort()).toEqual([first, second].sort());
});

test('duties: the worse runner is not heard by the better one → it goes on, since the other cannot know of it', () => {
  const crew = new SmallCrew(2, [duty(0, [0, 1])]);
  const [first, second] = order(0, [0, 1], 2);
  crew.loses = () => true;
  crew.run(3_000);
  expect(crew.runners(0)).toEqual([0, 1]);
  crew.loses = (from) => from === second;
  crew.run(5_000);
  expect(crew.runners(0)).toEqual([0, 1]);
  crew.loses = () => false;
  crew.run(1_500);
  expect(crew.runners(0)).toEqual([first]);
});

test('duties: a dead holder comes back → gets nothing for 30 s, then its duty again, by one calm move with the checkpoint', () => {
  const crew = new SmallCrew(5, [duty(0, five)]);
  crew.run(3_000);
  const [first, second] = order(0);
  crew.loses = (from, to) => from === first || to === first;
  crew.hold(first!, 'dead');
  crew.run(2_000);
  crew.fail(first!, 0, 'stopped for the test');
  crew.take(second!, 0, Uint8Array.of(42));
  crew.loses = () => false;
  crew.hold(first!, 'alive');
  crew.run(5_000);
  expect(crew.runners(0)).toEqual([second]);
  const held = crew.agents[second!]!.explain(0).find((r) => r.agent === first)!;
  expect(held.reason).toMatch(/returned 4 s ago, waits 26 s more/);
  expect(held.rank).toBe(4);
});

test('duties: work sits clearly worse than it could, and the site is calm → one duty moves per minute and agent, without a gap', () => {
  const many = Array.from({ length: 12 }, (_, index) => duty(index, [0, 1]));
  const crew = new SmallCrew(2, many);
  crew.views[0]![1] = 'dead';
  crew.kill(1);
  crew.run(3_000);
  for (const { index } of many) expect(crew.runners(index)).toEqual([0]);
  crew.down.delete(1);
  crew.views[0]![1] = 'alive';
  const startsBefore = crew.log.length;
  crew.run(50_000);
  const moved = crew.log.slice(startsBefore).filter(({ what, by }) => what === 'start' && by === 1);
  expect(moved.length).toBe(1);
  const stop = crew.log.find(({ what, by, at }) => what === 'stop' && by === 0 && at > moved[0]!.at)!;
  expect(stop.duty).toBe(moved[0]!.duty);
  expect(stop.at).toBeGreaterThan(moved[0]!.at);
});

test('duties: a checkpoint is taken → saved at once, replicated to the next two in rank within half a second', () => {
  const crew = new SmallCrew(5, [duty(0, five)]);
  crew.run(3_000);
  const [first, second, third] = order(0);
  crew.take(first!, 0, Uint8Array.of(1));
  for (let i = 2; i <= 9; i++) {
    crew.run(20);
    crew.take(first!, 0, Uint8Array.of(i));
  }
  crew.run(600);
  const told = crew.saved.filter(({ by, checkpoint }) => by === first && checkpoint.data.length > 0);
  expect(told.length).toBe(9);
  const replicas = crew.said.filter(
    ({ message }) => message.kind === 'checkpoint' && message.checkpoint.data.length > 0,
  );
  expect(new Set(replicas.map(({ to }) => to))).toEqual(new Set([second, third]));
  // The first and the newest; what came between was superseded.
  expect(replicas.length).toBe(4);
  expect(crew.agents[second!]!.checkpoint(0)?.data).toEqual(Uint8Array.of(9));
});

test('duties: a duty is taken → its term is durable and replicated before the work tells anything', () => {
  const crew = new SmallCrew(5, [duty(0, five)]);
  crew.run(3_000);
  const [first, second] = order(0);
  expect(crew.saved.find(({ by }) => by === first)?.checkpoint).toMatchObject({ term: 1, sequence: 0 });
  expect(crew.agents[second!]!.checkpoint(0)?.term).toBe(1);
  expect(crew.log.find(({ what }) => what === 'start')?.checkpoint).toBeUndefined();
});

test('duties: the holder dies → its successor starts from the freshest replica, and a late word of the old term changes nothing', () => {
  const crew = new SmallCrew(5, [duty(0, five)]);
  crew.run(3_000);
  const [first, second] = order(0);
  crew.take(first!, 0, Uint8Array.of(7));
  crew.run(600);
  crew.kill(first!);
  crew.hold(first!, 'dead');
  crew.run(500);
  const start = crew.log.findLast(({ what }) => what === 'start')!;
  expect([start.by, start.term, start.checkpoint?.data]).toEqual([second, 2, Uint8Array.of(7)]);
  crew.take(second!, 0, Uint8Array.of(8));
  const late = { duty: 0, term: 1, sequence: 999, takenAt: wallTime(0), data: Uint8Array.of(6) };
  crew.tell(second!, first!, { kind: 'checkpoint', checkpoint: late });
  expect(crew.agents[second!]!.checkpoint(0)?.data).toEqual(Uint8Array.of(8));
});

test('duties: a replica dies → the one who takes its place gets the current checkpoint without waiting for the next', () => {
  const crew = new SmallCrew(5, [duty(0, five)]);
  crew.run(3_000);
  const [first, second, , fourth] = order(0);
  crew.take(first!, 0, Uint8Array.of(3));
  crew.run(600);
  crew.kill(second!);
  crew.hold(second!, 'dead');
  crew.run(600);
  expect(crew.agents[fourth!]!.checkpoint(0)?.data).toEqual(Uint8Array.of(3));
});

test('duties: a replica dies long after the last checkpoint → the resend that is overdue is no sleep: work of the dead is taken at once', () => {
  const duties = range(12).map((index) => duty(index, five));
  const crew = new SmallCrew(5, duties, { debounceMs: 100 });
  crew.run(30_000);
  const was = duties.map(({ index }) => crew.runners(index)[0]);
  for (const gone of [1, 3]) {
    crew.kill(gone);
    crew.hold(gone, 'dead');
  }
  crew.run(1_000);
  expect(was.filter((holder) => holder === 1 || holder === 3).length).toBeGreaterThan(2);
  for (const { index } of duties) expect(crew.runners(index).length).toBe(1);
});
const range = (n: number) => Array.from({ length: n }, (_, i) => i);

test('duties: an agent leaves → hands its checkpoint over and another runs at once, well before claims would go stale', () => {
  const crew = new SmallCrew(5, [duty(0, five)]);
  crew.run(3_000);
  const [first, second] = order(0);
  crew.take(first!, 0, Uint8Array.of(5));
  crew.leave(first!);
  crew.run(2);
  crew.kill(first!);
  crew.run(550);
  expect(crew.runners(0)).toEqual([second]);
  expect(crew.log.findLast(({ what }) => what === 'start')!.checkpoint?.data).toEqual(Uint8Array.of(5));
});

test('duties: a checkpoint above 64 kB → refused, from ourselves and from a peer', () => {
  const crew = new SmallCrew(5, [duty(0, five)]);
  crew.run(3_000);
  const [first, second] = order(0);
  crew.take(first!, 0, new Uint8Array(65_537));
  const checkpoint = { duty: 0, term: 5, sequence: 1, takenAt: wallTime(0), data: new Uint8Array(65_537) };
  crew.tell(second!, first!, { kind: 'handover', checkpoint });
  expect(crew.saved.map(({ checkpoint }) => checkpoint.data.length)).not.toContain(65_537);
  expect(crew.agents[second!]!.checkpoint(0)).toMatchObject({ term: 1, sequence: 0, data: new Uint8Array() });
});

test('duties: claims of a former boot, repeated claims, strangers and unknown duties → ignored', () => {
  const crew = new SmallCrew(3, [duty(0, [0, 1])]);
  crew.run(3_000);
  const [first, second] = order(0, [0, 1], 3);
  const holderAt = () => crew.agents[second!]!.holder(0);
  expect(holderAt()).toBe(first);
  crew.tell(second!, first!, { kind: 'claim', bootCounter: 0, seq: 10_000, duties: [] });
  expect(holderAt()).toBe(first);
  crew.tell(second!, first!, { kind: 'claim', bootCounter: 1, seq: 1, duties: [] });
  expect(holderAt()).toBe(first);
  crew.tell(second!, 2, { kind: 'claim', bootCounter: 1, seq: 1, duties: [{ duty: 0, term: 99, heard: [] }] });
  expect(crew.agents[second!]!.term(0)).toBe(1);
  crew.tell(second!, first!, {
    kind: 'claim',
    bootCounter: 1,
    seq: 10_000,
    duties: [{ duty: 55, term: 1, heard: [] }],
  });
  expect(holderAt()).toBeUndefined();
});

test('duties: the holder comes back on a blank disk and counts its life and its claims from the start → it is heard all the same', () => {
  const crew = new SmallCrew(3, [duty(0, [0, 1])]);
  crew.run(60_000);
  const [first, second] = order(0, [0, 1], 3);
  crew.kill(first!);
  crew.run(8_000);
  expect(crew.runners(0)).toEqual([second]);
  // Membership missed nothing: to the others it is the same life, far behind its own words.
  crew.join(first!);
  crew.run(3_000);
  crew.fail(second!, 0);
  crew.run(3_000);
  expect(crew.runners(0)).toEqual([first]);
  expect(crew.agents[second!]!.holder(0)).toBe(first);
  crew.run(30_000);
  expect(crew.runners(0)).toEqual([first]);
});

test('duties: explain → every agent with its rank or the reason why it has none', () => {
  const spec = duty(0, [0, 1, 2], { refusedBecause: new Map([[3, 'cell hall-2, the duty is in hall-1']]) });
  const crew = new SmallCrew(4, [spec]);
  crew.run(3_000);
  const [first, second, third] = order(0, [0, 1, 2], 4);
  crew.hold(third!, 'dead');
  const lines = crew.agents[second!]!.explain(0).map((r) => [r.agent, r.rank, r.eligible, r.reason]);
  expect(lines).toEqual([
    [first, 0, true, 'holds it, counts 1.5-fold'],
    [second, 1, true, 'this agent'],
    [third, undefined, true, 'dead since 0 s'],
    [3, undefined, false, 'cell hall-2, the duty is in hall-1'],
  ]);
});

test('checkpoints: ordered by term, then sequence', () => {
  const at = (term: number, sequence: number) => ({
    duty: 0,
    term,
    sequence,
    takenAt: wallTime(0),
    data: new Uint8Array(),
  });
  expect(compareCheckpoints(at(2, 1), at(1, 99))).toBeGreaterThan(0);
  expect(compareCheckpoints(at(2, 1), at(2, 2))).toBeLessThan(0);
  expect(compareCheckpoints(at(2, 2), at(2, 2))).toBe(0);
});
