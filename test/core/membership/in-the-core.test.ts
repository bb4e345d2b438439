import { expect, test } from 'vitest';
import { fast, lan } from '../../../agent/core/membership/options.ts';
import { ExclusiveCrew, exclusivePlan } from '../exclusive-crew.ts';

function holding(crew: ExclusiveCrew): number {
  crew.startAll();
  crew.runUntil(() => crew.holders().length === 1);
  crew.run(2_000);
  return crew.holders()[0]!;
}

test('core: the holder of an exclusive duty turns out to be cloned → it gives the duty away, and asks for it no more', () => {
  const crew = new ExclusiveCrew(exclusivePlan(3));
  const holder = holding(crew);
  const { membership } = crew.boxes[holder]!.core!;
  // What its twin says of itself, one boot ahead, again and again; told by a peer.
  for (let i = 0; i < 6; i++) {
    const bootCounter = membership.bootCounterOf(holder) + 1;
    crew.deliver(holder, {
      kind: 'message-received',
      from: (holder + 1) % 3,
      message: {
        kind: 'gossip',
        updates: [{ member: holder, state: 'alive', bootCounter, incarnation: 0, origin: holder }],
      },
    });
    crew.run(1_100);
  }
  expect(membership.isCloned).toBe(true);
  expect(crew.boxes[holder]!.events.some((event) => event.startsWith('clone-proven: two processes'))).toBe(true);
  const left = crew.runUntil(() => crew.holders().length === 1 && crew.holders()[0] !== holder, 10_000);
  expect(left).toBeLessThan(10_000);
  crew.run(20_000, () => expect(crew.holders()).not.toContain(holder));
});

test.each([
  ['fast: holder and next in rank watch each other', fast, true],
  ['lan: the ordinary rounds do', lan, false],
] as const)('core: an exclusive duty under the preset %s', (_, membership, closely) => {
  const plan = { ...exclusivePlan(4), membership };
  const crew = new ExclusiveCrew(plan);
  const holder = holding(crew);
  const next = crew.boxes[holder]!.core!.exclusive.duties.explain(0).find(
    ({ agent, rank }) => agent !== holder && rank !== undefined,
  )!.agent;
  const pings = new Map<string, number>();
  for (const { index, core } of crew.boxes) {
    const step = core!.step.bind(core);
    core!.step = (now, input) => {
      if (input.kind === 'message-received' && input.message.kind === 'ping') {
        const pair = `${input.from}-${index}`;
        pings.set(pair, (pings.get(pair) ?? 0) + 1);
      }
      return step(now, input);
    };
  }
  crew.run(60 * membership.probeIntervalMs);
  const count = (from: number, to: number) => pings.get(`${from}-${to}`) ?? 0;
  const others = crew.boxes.map(({ index }) => index).filter((index) => index !== holder && index !== next);
  // A third of the ordinary probes goes to each of the three others; watching adds two per interval.
  for (const [from, to] of [
    [holder, next],
    [next, holder],
  ] as const) {
    if (closely) expect(count(from, to)).toBeGreaterThan(100);
    else expect(count(from, to)).toBeLessThan(40);
  }
  expect(count(others[0]!, holder)).toBeLessThan(40);
});
