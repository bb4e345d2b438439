import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Random } from '../../../agent/base/random.ts';
import { BitMatrix } from '../../../simulations/world/bits.ts';
import { calmNetwork, Network, type NetworkOptions } from '../../../simulations/world/network.ts';

const network = (options: Partial<NetworkOptions>, size = 4): Network =>
  new Network(size, { ...calmNetwork, ...options }, new Random(1, 'network'));

/** Arrival times of messages sent every `everyMs` from 0 to 1; negative where one is lost. */
const arrivals = (net: Network, count: number, everyMs: number, bytes = 100): number[] =>
  Array.from({ length: count }, (_, i) => net.arrival(i * everyMs, 0, 1, bytes));

describe('network', () => {
  test('calm → everything arrives in order, after the latency', () => {
    const at = arrivals(network({}), 1000, 0.05);
    for (const [i, arrival] of at.entries()) expect(arrival).toBeGreaterThanOrEqual(i * 0.05 + calmNetwork.latencyMs);
    expect(at).toEqual(at.toSorted((a, b) => a - b));
  });

  test('loss of a quarter → a quarter is lost, one by one', () => {
    const lost = arrivals(network({ loss: 0.25 }), 20_000, 1).map((at) => at < 0);
    const share = lost.filter(Boolean).length / lost.length;
    expect(share).toBeGreaterThan(0.23);
    expect(share).toBeLessThan(0.27);
    const afterLoss = lost.filter((_, i) => i > 0 && lost[i - 1]).filter(Boolean).length / lost.filter(Boolean).length;
    expect(afterLoss).toBeLessThan(0.3);
  });

  test('bursts → as much is lost as the states say, and what follows a loss is far more likely lost, too', () => {
    const burst = { goodMs: 900, badMs: 100, loss: 0.9 };
    const lost = arrivals(network({ burst }), 200_000, 1).map((at) => at < 0);
    const share = lost.filter(Boolean).length / lost.length;
    // Either end may be bad: 1 − 0.9² of the time, of which 0.9 is lost.
    expect(share).toBeGreaterThan(0.14);
    expect(share).toBeLessThan(0.2);
    const afterLoss = lost.filter((_, i) => i > 0 && lost[i - 1]).filter(Boolean).length / lost.filter(Boolean).length;
    expect(afterLoss).toBeGreaterThan(0.75);
  });

  test('a tail of delays → its share is late by at least its beginning, some by much more, none beyond its end', () => {
    const tail = { share: 0.1, ms: 20, maxMs: 500 };
    const late = arrivals(network({ tail, reordering: 1 }), 20_000, 1000)
      .map((at, i) => at - i * 1000)
      .filter((ms) => ms >= 20);
    expect(late.length / 20_000).toBeGreaterThan(0.09);
    expect(late.length / 20_000).toBeLessThan(0.11);
    expect(Math.max(...late)).toBeGreaterThan(200);
    expect(Math.max(...late)).toBeLessThan(505);
  });

  test('a lost segment → holds up its stream by 200, 600 or 1400 ms and all that follows on it; not the bulk', () => {
    const net = network({ stalls: 1, retransmissionLoss: 0.5, jitterMs: 0, latencyMs: 1 });
    const held = Array.from({ length: 300 }, (_, i) => Math.round(net.arrival(i * 10_000, 0, 1) - i * 10_000 - 1));
    expect([...new Set(held)].sort((a, b) => a - b)).toEqual([200, 600, 1400]);
    net.options = { ...net.options, stalls: 1, retransmissionLoss: 0 };
    const stalled = net.arrival(5_000_000, 0, 1);
    net.options = { ...net.options, stalls: 0 };
    expect(net.arrival(5_000_010, 0, 1)).toBe(stalled);
    expect(net.arrival(5_000_010, 0, 1, 60_000, true)).toBe(5_000_011);
    expect(net.arrival(5_000_010, 1, 0)).toBe(5_000_011);
  });

  test('order within each of many streams, whatever is held up → kept; without reordering nothing overtakes', () => {
    const net = network({ stalls: 0.05, jitterMs: 20, retransmissionLoss: 0.3 }, 40);
    const random = new Random(2);
    const last = new Map<number, number>();
    let overtook = 0;
    for (let i = 0; i < 40_000; i++) {
      const [from, to] = [random.below(40), random.below(40)];
      const at = net.arrival(i * 0.5, from, to);
      if (at < (last.get(from * 40 + to) ?? 0)) overtook++;
      last.set(from * 40 + to, at);
    }
    expect(overtook).toBe(0);
  });

  test('reordering → some overtake', () => {
    const at = arrivals(network({ reordering: 0.5, jitterMs: 5 }), 1000, 0.1);
    expect(at).not.toEqual(at.toSorted((a, b) => a - b));
  });

  test('an uplink of 10 kB/s → carries that and no more; what its queue does not hold is lost', () => {
    const net = network({ uplink: { bytesPerSecond: 10_000, queueBytes: 5_000 }, jitterMs: 0, latencyMs: 1 });
    // 20 kB/s offered for ten seconds.
    const at = arrivals(net, 2000, 5, 100);
    const arrived = at.filter((time) => time >= 0);
    expect(arrived.length).toBeGreaterThan(1_000);
    expect(arrived.length).toBeLessThan(1_070);
    expect(Math.max(...arrived)).toBeLessThan(10_000 + 510);
    // Another box has an uplink of its own.
    expect(net.arrival(5_000, 2, 1, 100)).toBe(5_011);
  });

  test('garbled bytes → never the same as before unless flipped twice, never longer', () => {
    const net = network({ corruption: 0.3 });
    const bytes = new TextEncoder().encode('what an agent would say');
    let same = 0;
    let garbled = 0;
    for (let i = 0; i < 2_000; i++) {
      if (!net.corrupts()) continue;
      garbled++;
      const other = net.garbled(bytes);
      expect(other.length).toBeLessThanOrEqual(bytes.length);
      if (other.length === bytes.length && other.every((byte, at) => byte === bytes[at])) same++;
    }
    expect(garbled).toBeGreaterThan(500);
    expect(same).toBeLessThan(10);
  });

  test('bit matrix: any sets and clears → the same as a set of pairs, and each says whether it changed anything', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(36), fc.nat(36), fc.boolean())), (steps) => {
        const bits = new BitMatrix(37);
        const model = new Set<number>();
        let wrong = 0;
        for (const [a, b, on] of steps) {
          const key = a * 37 + b;
          expect(on ? bits.set(a, b) : bits.clear(a, b)).toBe(model.has(key) !== on);
          if (on) model.add(key);
          else model.delete(key);
        }
        for (let a = 0; a < 37; a++) for (let b = 0; b < 37; b++) if (bits.has(a, b) !== model.has(a * 37 + b)) wrong++;
        expect(wrong).toBe(0);
      }),
      { numRuns: 50 },
    );
  });
});
