import { expect, test } from 'vitest';
import { Random } from '../../../agent/base/random.ts';
import { wallTime } from '../../../agent/base/time.ts';
import { dutyDefaults } from '../../../agent/core/duties/options.ts';
import { staticOrder } from '../../../agent/core/duties/placement.ts';
import { duty, places, SmallCrew } from './small-crew.ts';

const five = [0, 1, 2, 3, 4];
const order = (size = 5, eligible = five) => staticOrder(duty(0, eligible), places(size)).map((c) => c.agent);
/** A wire of one millisecond, and one for the clock's step. */
const wayMs = 2;
const counter = (n: number) => Uint8Array.of(n & 255, (n >> 8) & 255);
const count = (data: Uint8Array | undefined) => (data ? data[0]! + data[1]! * 256 : 0);

test('checkpoints: the holder dies at any instant → its successor goes on from what was taken at most half a second before', () => {
  const random = new Random(11, 'instants');
  for (let trial = 0; trial < 60; trial++) {
    const crew = new SmallCrew(5, [duty(0, five)], {}, { seed: trial });
    crew.run(3_000);
    const [first, second] = order() as [number, number];
    const dieAt = 400 + random.below(2_000);
    const takenAt: number[] = [];
    for (let t = 0; t < dieAt; t++) {
      crew.run(1);
      if (t % 10 !== 0) continue;
      takenAt.push(crew.now);
      crew.take(first, 0, counter(takenAt.length));
    }
    const died = crew.now;
    crew.kill(first);
    crew.hold(first, 'dead');
    crew.run(1_000);
    const start = crew.log.findLast(({ what }) => what === 'start')!;
    expect(start.by).toBe(second);
    const last = takenAt[count(start.checkpoint?.data) - 1] ?? takenAt[0]!;
    expect(died - last).toBeLessThanOrEqual(dutyDefaults.checkpointEveryMs + 10 + wayMs);
  }
});

test('checkpoints: holder and first replica die together → the second one has it', () => {
  const crew = new SmallCrew(5, [duty(0, five)]);
  crew.run(3_000);
  const [first, second, third] = order() as [number, number, number];
  crew.take(first, 0, counter(77));
  crew.run(600);
  for (const gone of [first, second]) {
    crew.kill(gone);
    crew.hold(gone, 'dead');
  }
  crew.run(2_000);
  const start = crew.log.findLast(({ what }) => what === 'start')!;
  expect([start.by, count(start.checkpoint?.data)]).toEqual([third, 77]);
});

test('checkpoints: who returned has waited and is next in rank again → it gets the one that stands, though nothing new was taken', () => {
  const crew = new SmallCrew(5, [duty(0, five)], { moveShare: 0 });
  crew.run(3_000);
  const [first, second] = order() as [number, number];
  crew.kill(second);
  crew.hold(second, 'dead');
  crew.take(first, 0, counter(5));
  crew.run(1_000);
  crew.revive(second);
  crew.hold(second, 'alive');
  crew.run(1_000);
  expect(count(crew.agents[second]!.checkpoint(0)?.data)).toBe(0);
  crew.run(dutyDefaults.returnHoldMs + 3_000);
  expect(count(crew.agents[second]!.checkpoint(0)?.data)).toBe(5);
});

test('checkpoints: a replica was out of reach when it was sent → it gets it again when it is heard', () => {
  const crew = new SmallCrew(5, [duty(0, five)]);
  crew.run(3_000);
  const [first, second] = order() as [number, number];
  crew.loses = (_, to, message) => to === second && message.kind === 'checkpoint';
  crew.take(first, 0, counter(9));
  crew.run(700);
  crew.hold(second, 'suspect', [first]);
  crew.loses = () => false;
  crew.run(700);
  crew.hold(second, 'alive', [first]);
  crew.run(10);
  expect(count(crew.agents[second]!.checkpoint(0)?.data)).toBe(9);
});

test('checkpoints: a replica drains → the next one keeps it instead', () => {
  const crew = new SmallCrew(5, [duty(0, five)]);
  crew.run(3_000);
  const [first, second, third, fourth] = order() as [number, number, number, number];
  crew.take(first, 0, counter(3));
  crew.run(600);
  expect([third, fourth].map((agent) => count(crew.agents[agent]!.checkpoint(0)?.data))).toEqual([3, 0]);
  crew.drain(second, crew.now + 60_000);
  crew.run(600);
  expect(count(crew.agents[fourth]!.checkpoint(0)?.data)).toBe(3);
});

test('checkpoints: one byte above 64 kB → refused and said, the last good one stands; exactly 64 kB → kept', () => {
  const crew = new SmallCrew(5, [duty(0, five)]);
  crew.run(3_000);
  const [first, second] = order() as [number, number];
  crew.take(first, 0, new Uint8Array(65_536).fill(1));
  crew.run(600);
  crew.take(first, 0, new Uint8Array(65_537).fill(2));
  crew.run(600);
  const said = crew.told.filter(({ output }) => output.kind === 'checkpoint-refused');
  expect(said.map(({ by, output }) => [by, output])).toEqual([
    [first, { kind: 'checkpoint-refused', duty: 0, bytes: 65_537 }],
  ]);
  expect(crew.agents[second]!.checkpoint(0)?.data.length).toBe(65_536);
});

test('checkpoints: of a duty that is not ours to carry, or from one who may not → not kept', () => {
  const crew = new SmallCrew(40, [duty(0, [0, 1, 2])]);
  crew.run(3_000);
  const [first, second] = order(40, [0, 1, 2]) as [number, number];
  const checkpoint = { duty: 0, term: 9, sequence: 1, takenAt: wallTime(0), data: counter(1) };
  crew.tell(17, first, { kind: 'checkpoint', checkpoint });
  crew.tell(second, 30, { kind: 'checkpoint', checkpoint });
  expect(crew.agents[17]!.checkpoint(0)).toBeUndefined();
  expect(crew.agents[second]!.checkpoint(0)?.term).toBe(1);
});
