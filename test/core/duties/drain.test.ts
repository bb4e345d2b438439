import { expect, test } from 'vitest';
import { instant, never } from '../../../agent/base/time.ts';
import { staticOrder } from '../../../agent/core/duties/placement.ts';
import { duty, places, SmallCrew } from './small-crew.ts';

const five = [0, 1, 2, 3, 4];
const order = (index: number, eligible: readonly number[] = five) =>
  staticOrder(duty(index, eligible), places(5)).map((c) => c.agent);
const ten = Array.from({ length: 10 }, (_, index) => duty(index, five));
const kinds = (crew: SmallCrew, by: number) =>
  crew.told.filter((t) => t.by === by && t.output.kind.startsWith('drain-')).map((t) => t.output.kind);

test('drain: make before break → each duty starts elsewhere from the last word, is heard twice, and only then stops; no gap, none left', () => {
  const crew = new SmallCrew(5, ten);
  crew.run(3_000);
  const box = order(0)[0]!;
  const mine = ten.filter(({ index }) => crew.runners(index).includes(box)).map(({ index }) => index);
  for (const index of mine) crew.take(box, index, Uint8Array.of(index, 1));
  crew.run(600);
  // This goes to the replicas at once, and the newest word is held back by their pace.
  for (const index of mine) crew.take(box, index, Uint8Array.of(index, 1));
  crew.run(20);
  for (const index of mine) crew.take(box, index, Uint8Array.of(index, 2));
  const began = crew.now;
  crew.drain(box, instant(began + 600_000));
  for (let t = 0; t < 3_000; t++) {
    crew.run(1);
    for (const { index } of ten) expect(crew.runners(index).length).toBeGreaterThan(0);
  }
  for (const index of mine) {
    const start = crew.log.find((l) => l.what === 'start' && l.duty === index && l.at >= began)!;
    const stop = crew.log.find((l) => l.what === 'stop' && l.duty === index && l.at >= began)!;
    expect(start.by).toBe(order(index)[1]);
    expect(start.checkpoint?.data).toEqual(Uint8Array.of(index, 2));
    expect(stop.by).toBe(box);
    const heard = crew.said.filter(
      ({ at, from, to, message }) =>
        at >= start.at && at <= stop.at && from === start.by && to === box && message.kind === 'claim',
    );
    expect(heard.length).toBeGreaterThanOrEqual(2);
    expect(crew.runners(index)).toEqual([order(index)[1]]);
  }
  expect(crew.agents[box]!.load).toBe(0);
  expect(crew.agents[box]!.draining).toBe(true);
  const stand = crew.agents[order(0)[1]!]!.explain(0, crew.now).find((r) => r.agent === box)!;
  expect([stand.rank, stand.reason]).toEqual([undefined, 'drains, takes nothing']);
});

test('drain: while it lasts → a dead agent’s work goes past the drained one; its time is over → it takes again', () => {
  const crew = new SmallCrew(5, [duty(0, five)]);
  crew.run(3_000);
  const [a, b, c] = order(0) as [number, number, number];
  crew.drain(b, instant(crew.now + 20_000));
  crew.run(1_000);
  crew.kill(a);
  crew.hold(a, 'dead');
  crew.run(1_000);
  expect(crew.runners(0)).toEqual([c]);
  crew.run(18_100);
  expect(kinds(crew, b)).toEqual(['drain-began', 'drain-ended']);
  expect(crew.agents[b]!.draining).toBe(false);
  crew.kill(c);
  crew.hold(c, 'dead');
  crew.run(1_000);
  expect(crew.runners(0)).toEqual([b]);
});

test('drain: taken back in the middle → the static order decides again, one runner, no gap', () => {
  for (let wait = 0; wait < 1_500; wait += 100) {
    const crew = new SmallCrew(5, [duty(0, five)]);
    crew.run(3_000);
    const [a] = order(0) as [number];
    crew.drain(a, never);
    let gapMs = 0;
    for (let t = 0; t < 5_000; t++) {
      if (t === wait) crew.drain(a, undefined);
      crew.run(1);
      if (crew.runners(0).length === 0) gapMs++;
    }
    expect(gapMs).toBe(0);
    expect(crew.runners(0).length).toBe(1);
  }
});

test('drain: nobody else may carry it, or nobody else can → it stays, and says so', () => {
  const alone = new SmallCrew(5, [duty(0, [2])]);
  alone.run(3_000);
  alone.drain(2, never);
  alone.run(20_000);
  expect(alone.runners(0)).toEqual([2]);
  expect(alone.agents[0]!.explain(0, alone.now)[0]!.reason).toBe('holds it until another does: it drains');

  const unable = new SmallCrew(5, [duty(0, five)]);
  unable.run(3_000);
  const [a] = order(0) as [number];
  unable.unable = (agent) => agent !== a;
  unable.drain(a, never);
  unable.run(30_000);
  expect(unable.runners(0)).toEqual([a]);
  expect(unable.log.filter(({ what }) => what === 'stop')).toEqual([]);
});

test('drain: all drain → everything stays where it is', () => {
  const crew = new SmallCrew(5, ten);
  crew.run(3_000);
  const was = ten.map(({ index }) => crew.runners(index));
  for (const box of five) crew.drain(box, never);
  crew.run(20_000);
  expect(ten.map(({ index }) => crew.runners(index))).toEqual(was);
});

test('drain: the successor’s claims are lost → the drained runner goes on until it hears them', () => {
  const crew = new SmallCrew(5, [duty(0, five)]);
  crew.run(3_000);
  const [a, b] = order(0) as [number, number];
  crew.loses = (from, to) => from === b && to === a;
  crew.drain(a, never);
  crew.run(3_000);
  expect(crew.runners(0).sort()).toEqual([a, b].sort());
  crew.loses = () => false;
  crew.run(1_000);
  expect(crew.runners(0)).toEqual([b]);
});

test('drain: a new life → the order is forgotten', () => {
  const crew = new SmallCrew(5, ten);
  crew.run(3_000);
  crew.drain(1, never);
  crew.run(2_000);
  crew.revive(1);
  expect(crew.agents[1]!.draining).toBe(false);
});

test('drain: the successor’s program takes seconds to start → the drained runner goes on until it runs', () => {
  const crew = new SmallCrew(5, [duty(0, five)]);
  crew.run(3_000);
  const [a, b] = order(0) as [number, number];
  crew.startMs = 4_000;
  crew.drain(a, never);
  crew.run(4_200);
  expect(crew.runners(0).sort()).toEqual([a, b].sort());
  crew.run(1_000);
  expect(crew.runners(0)).toEqual([b]);
});
