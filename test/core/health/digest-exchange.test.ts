import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Random } from '../../../agent/base/random.ts';
import { instant } from '../../../agent/base/time.ts';
import { approximateDigestBytes, compareVersions, type HealthDigest } from '../../../agent/core/health/digest.ts';
import {
  DigestExchange,
  type DigestExchangeOutput,
  maxBytesPerAnswer,
  maxBytesPerSecond,
} from '../../../agent/core/health/digest-exchange.ts';

const digest = (agent: number, bootCounter: number, sequence: number, judges = 0): HealthDigest => ({
  agent,
  bootCounter,
  sequence,
  checks: [],
  judges: Array.from({ length: judges }, (_, check) => check),
  anomalous: [],
  duties: [],
  localHealth: 0,
  coordinator: 'connected',
});

/** One agent of a cell: what it holds, newest only, and its exchange. */
class Teller {
  readonly held = new Map<number, HealthDigest>();
  readonly exchange: DigestExchange;

  constructor(cell: readonly number[], self: number) {
    this.exchange = new DigestExchange({
      cell,
      self,
      random: new Random(self, 'teller'),
      held: (agent) => this.held.get(agent),
    });
  }

  take(one: HealthDigest): void {
    const known = this.held.get(one.agent);
    if (known && compareVersions(known, one) >= 0) return;
    this.held.set(one.agent, one);
    this.exchange.changed();
  }
}

/** `a` tells its number to `b`; all that follows is delivered at once. Gives the digests that were told. */
function compare(now: number, tellers: ReadonlyMap<number, Teller>, a: number, b: number): DigestExchangeOutput[] {
  const at = instant(now);
  const said: DigestExchangeOutput[] = [];
  const first: DigestExchangeOutput[] = [];
  tellers.get(b)!.exchange.compared(at, a, tellers.get(a)!.exchange.hash, first);
  const queue = first.map((output) => ({ from: b, output }));
  for (let next = queue.shift(); next; next = queue.shift()) {
    const { from, output } = next;
    said.push(output);
    const receiver = tellers.get(output.to)!;
    if (output.kind === 'tell-digests') {
      for (const one of output.digests) receiver.take(one);
      continue;
    }
    const out: DigestExchangeOutput[] = [];
    receiver.exchange.message(at, from, output.message, out);
    queue.push(...out.map((more) => ({ from: output.to, output: more })));
  }
  return said;
}

test('any two tables of a cell → once compared often enough, both hold the newest of each, and nothing more is said', () => {
  const word = fc.record({ boot: fc.integer({ min: 1, max: 3 }), sequence: fc.integer({ min: 1, max: 9 }) });
  const table = (size: number) => fc.array(fc.option(word, { nil: undefined }), { minLength: size, maxLength: size });
  fc.assert(
    fc.property(
      fc.integer({ min: 2, max: 60 }).chain((size) => fc.tuple(table(size), table(size))),
      ([ofOne, ofTwo]) => {
        // Numbers with gaps: a cell is seldom the first agents of a site.
        const cell = ofOne.map((_, seat) => 3 * seat + 5);
        const [one, two] = [cell[0]!, cell[1]!];
        const tellers = new Map([one, two].map((self) => [self, new Teller(cell, self)]));
        const newest = new Map<number, HealthDigest>();
        for (const [by, words] of [ofOne, ofTwo].entries()) {
          for (const [seat, said] of words.entries()) {
            // Nobody knows more of an agent than itself.
            if (!said || seat < 2) continue;
            const one_ = digest(cell[seat]!, said.boot, said.sequence);
            tellers.get(cell[by]!)!.take(one_);
            const known = newest.get(one_.agent);
            if (!known || compareVersions(known, one_) < 0) newest.set(one_.agent, one_);
          }
        }
        for (let round = 0; round < 4; round++)
          compare(round * 2_000, tellers, round % 2 ? one : two, round % 2 ? two : one);
        for (const { held } of tellers.values())
          expect(new Map([...held].toSorted())).toEqual(new Map([...newest].toSorted()));
        expect(compare(9_000, tellers, one, two)).toEqual([]);
      },
    ),
    { numRuns: 60 },
  );
});

test('a digest that one of fifty holds, one comparison a second with a random peer → all hold it within ten seconds', () => {
  const cell = Array.from({ length: 50 }, (_, agent) => agent);
  for (let seed = 1; seed <= 5; seed++) {
    const tellers = new Map(cell.map((self) => [self, new Teller(cell, self)]));
    for (const teller of tellers.values()) for (const agent of cell) teller.take(digest(agent, 1, 1));
    tellers.get(7)!.take(digest(7, 1, 2));
    const random = new Random(seed, 'peers');
    for (let second = 0; second < 10; second++) {
      for (const self of cell) {
        const peer = random.below(50);
        if (peer !== self) compare(second * 1_000, tellers, self, peer);
      }
    }
    expect(cell.map((self) => tellers.get(self)!.held.get(7)!.sequence)).toEqual(cell.map(() => 2));
  }
});

test('one digest differs among fifty → found by numbers, and nothing but that digest is told', () => {
  const cell = Array.from({ length: 50 }, (_, agent) => agent);
  const tellers = new Map([0, 1].map((self) => [self, new Teller(cell, self)]));
  for (const teller of tellers.values()) for (const agent of cell) teller.take(digest(agent, 1, 1));
  tellers.get(0)!.take(digest(30, 2, 1));
  const said = compare(0, tellers, 1, 0);
  expect(said.filter(({ kind }) => kind === 'tell-digests')).toEqual([
    { kind: 'tell-digests', to: 1, digests: [digest(30, 2, 1)] },
  ]);
  expect(said.length).toBeLessThanOrEqual(4);
});

test('a peer that lacks everything, long digests → no answer above 4 kB, and in the end it has them all', () => {
  const cell = Array.from({ length: 50 }, (_, agent) => agent);
  const tellers = new Map([0, 1].map((self) => [self, new Teller(cell, self)]));
  for (const agent of cell) tellers.get(0)!.take(digest(agent, 1, 1, 100));
  let seconds = 0;
  while (tellers.get(1)!.held.size < 49 && seconds < 60) {
    for (const output of compare(seconds++ * 1_000, tellers, 1, 0)) {
      if (output.kind !== 'tell-digests') continue;
      const bytes = output.digests.reduce((sum, one) => sum + approximateDigestBytes(one), 0);
      expect(bytes).toBeLessThanOrEqual(maxBytesPerAnswer);
    }
  }
  // 49 digests of half a kilobyte; its own it does not want.
  expect(tellers.get(1)!.held.has(1)).toBe(false);
  expect(seconds).toBeLessThan(20);
});

test('a digest longer than an answer → told all the same, alone', () => {
  const cell = [0, 1, 2];
  const tellers = new Map([0, 1].map((self) => [self, new Teller(cell, self)]));
  tellers.get(0)!.take(digest(2, 1, 1, 3_000));
  compare(0, tellers, 1, 0);
  expect(tellers.get(1)!.held.get(2)?.judges.length).toBe(3_000);
});

test('peers that ask without end → all of them together get what one second has, and one answer per question', () => {
  const cell = Array.from({ length: 50 }, (_, agent) => agent);
  const teller = new Teller(cell, 0);
  for (const agent of cell) teller.take(digest(agent, 1, 1, 50));
  let bytes = 0;
  for (let ms = 0; ms < 10_000; ms++) {
    const out: DigestExchangeOutput[] = [];
    teller.exchange.message(instant(ms), 1 + (ms % 49), { kind: 'digest-wants', agents: cell }, out);
    teller.exchange.message(instant(ms), 1 + (ms % 49), { kind: 'digest-buckets', hashes: new Array(7).fill(0) }, out);
    teller.exchange.message(instant(ms), 1 + (ms % 49), { kind: 'digest-versions', buckets: [3], versions: [] }, out);
    expect(out.length).toBeLessThanOrEqual(3);
    for (const output of out) {
      if (output.kind === 'tell-digests')
        bytes += output.digests.reduce((sum, one) => sum + approximateDigestBytes(one), 0);
    }
  }
  // Ten seconds, one of burst, one of debt.
  expect(bytes).toBeLessThanOrEqual(12 * maxBytesPerSecond);
  expect(bytes).toBeGreaterThan(5 * maxBytesPerSecond);
});

test('what does not fit together → no answer: a cell of another size, buckets that do not exist or twice, strangers wanted', () => {
  const cell = Array.from({ length: 20 }, (_, agent) => agent);
  const teller = new Teller(cell, 0);
  for (const agent of cell) teller.take(digest(agent, 1, 1));
  const out: DigestExchangeOutput[] = [];
  const now = instant(0);
  teller.exchange.message(now, 1, { kind: 'digest-buckets', hashes: [1, 2] }, out);
  teller.exchange.message(now, 1, { kind: 'digest-versions', buckets: [77], versions: [] }, out);
  teller.exchange.message(now, 1, { kind: 'digest-versions', buckets: [0, 0], versions: [] }, out);
  teller.exchange.message(now, 1, { kind: 'digest-wants', agents: [400, 401] }, out);
  expect(out).toEqual([]);
  // The same questions, well asked.
  teller.exchange.message(now, 1, { kind: 'digest-buckets', hashes: [1, 2, 3] }, out);
  teller.exchange.message(now, 1, { kind: 'digest-versions', buckets: [0], versions: [] }, out);
  teller.exchange.message(now, 1, { kind: 'digest-wants', agents: [4] }, out);
  expect(out.map(({ kind }) => kind)).toEqual(['send', 'tell-digests', 'tell-digests']);
});

test('others remember a former life of ours at higher numbers → it is not asked for', () => {
  const tellers = new Map([0, 1].map((self) => [self, new Teller([0, 1], self)]));
  tellers.get(0)!.take(digest(0, 1, 1));
  tellers.get(1)!.take(digest(0, 4, 9));
  const said = compare(0, tellers, 1, 0);
  expect(said.some((output) => output.kind === 'send' && output.message.kind === 'digest-wants')).toBe(false);
  expect(tellers.get(0)!.held.get(0)).toEqual(digest(0, 1, 1));
});
