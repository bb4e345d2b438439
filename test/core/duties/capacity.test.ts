import fc from 'fast-check';
import { expect, test } from 'vitest';
import { staticOrder } from '../../../agent/core/duties/placement.ts';
import { duty, places, SmallCrew } from './small-crew.ts';

const range = (n: number) => Array.from({ length: n }, (_, i) => i);

test('capacity: every agent has room for four → none carries a fifth, all duties are carried while there is room', () => {
  const duties = range(12).map((index) => duty(index, [0, 1, 2]));
  const crew = new SmallCrew(3, duties, {}, { agents: places(3, () => ({ capacity: 4 })) });
  crew.run(6_000);
  for (const agent of crew.agents) expect(agent.load).toBe(4);
  for (const { index } of duties) expect(crew.runners(index).length).toBe(1);
});

test('capacity: more duties than room → the rest waits and says why; room appears → it is taken', () => {
  const duties = range(5).map((index) => duty(index, [0, 1]));
  const crew = new SmallCrew(3, duties, {}, { agents: places(3, () => ({ capacity: 2 })) });
  crew.run(6_000);
  const waiting = duties.filter(({ index }) => crew.runners(index).length === 0);
  expect(waiting.length).toBe(1);
  const spare = waiting[0]!.index;
  expect(crew.agents[0]!.explain(spare, crew.now).map(({ rank, reason }) => [rank, reason])).toEqual([
    [undefined, 'at its capacity of 2'],
    [undefined, 'at its capacity of 2'],
    [undefined, 'not eligible'],
  ]);
  const other = duties.find(({ index }) => crew.runners(index).includes(1))!.index;
  crew.fail(1, other);
  crew.run(3_000);
  expect(crew.runners(spare)).toEqual([1]);
});

test('capacity: exclusive duties fill the same room', () => {
  const duties = range(4).map((index) => duty(index, [0, 1]));
  let exclusive = 2;
  const crew = new SmallCrew(2, duties, {}, { agents: places(2, () => ({ capacity: 3 })), alsoHeld: () => exclusive });
  crew.run(6_000);
  expect(crew.agents.map(({ load }) => load)).toEqual([1, 1]);
  exclusive = 1;
  crew.run(6_000);
  expect(crew.agents.map(({ load }) => load)).toEqual([2, 2]);
});

test('capacity: a witness is named eligible by mistake → it carries nothing and says why', () => {
  const agents = places(3, (agent) => ({ role: agent === 1 ? 'witness' : 'agent' }));
  const crew = new SmallCrew(3, [duty(0, [0, 1])], {}, { agents });
  crew.run(4_000);
  expect(crew.runners(0)).toEqual([0]);
  crew.kill(0);
  crew.hold(0, 'dead');
  crew.run(10_000);
  expect(crew.runners(0)).toEqual([]);
  expect(crew.agents[1]!.explain(0, crew.now).map(({ reason }) => reason)).toEqual([
    'dead since 10 s',
    'a witness votes and carries nothing',
    'not eligible',
  ]);
});

/**
 * A cap of ⌈c·D·w/W⌉ follows the membership: one agent goes, every cap moves, and duties that were well where they were
 * move with it. An absolute one does not.
 */
test('capacity: one agent goes → its own duties move, and of the others no more than the budget allows', () => {
  fc.assert(
    fc.property(
      fc.record({
        size: fc.integer({ min: 3, max: 8 }),
        duties: fc.integer({ min: 1, max: 60 }),
        room: fc.integer({ min: 1, max: 20 }),
        gone: fc.nat(),
        seed: fc.nat(),
      }),
      ({ size, duties: count, room, gone: pick, seed }) => {
        const gone = pick % size;
        // Capacities differ, and some agents have none.
        const agents = places(size, (agent) => ({
          capacity: (agent + seed) % 3 === 0 ? undefined : room + (agent % 4),
        }));
        const duties = range(count).map((index) => duty(index, range(size)));
        const crew = new SmallCrew(size, duties, {}, { agents, seed });
        crew.run(6_000);
        const before = duties.map(({ index }) => crew.runners(index)[0]);
        crew.kill(gone);
        crew.hold(gone, 'dead');
        const windowMs = 8_000;
        crew.run(windowMs);
        const after = duties.map(({ index }) => crew.runners(index)[0]);
        const changed = range(count).filter((index) => after[index] !== before[index]);
        const owed = range(count).filter((index) => before[index] === gone);
        const spare = range(count).filter((index) => before[index] === undefined);
        const moved = changed.filter((index) => !owed.includes(index) && !spare.includes(index));
        expect(moved.length).toBeLessThanOrEqual(Math.max(1, Math.floor(count * 0.02)));
        for (const [agent, { capacity }] of agents.entries()) {
          const carried = after.filter((holder) => holder === agent).length;
          expect(carried).toBeLessThanOrEqual(capacity ?? Number.POSITIVE_INFINITY);
        }
        // Whoever has room carries what has none to carry it.
        const hasRoom = agents.some(
          ({ capacity }, agent) =>
            agent !== gone && after.filter((h) => h === agent).length < (capacity ?? Number.POSITIVE_INFINITY),
        );
        if (hasRoom) expect(after.filter((holder) => holder === undefined)).toEqual([]);
      },
    ),
    { numRuns: 40, seed: 7 },
  );
}, 20_000);

test('placement: a hundred agents, a thousand duties, one agent fewer → exactly its own duties have another first', () => {
  const agents = places(100);
  const all = range(100);
  const gone = 37;
  const rest = all.filter((agent) => agent !== gone);
  let moved = 0;
  for (const index of range(1000)) {
    const was = staticOrder(duty(index, all), agents)[0]!.agent;
    const is = staticOrder(duty(index, rest), agents)[0]!.agent;
    if (was === gone) moved++;
    else expect(is).toBe(was);
  }
  expect(moved).toBeGreaterThan(2);
  expect(moved).toBeLessThan(25);
});
