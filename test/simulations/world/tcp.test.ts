import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Random } from '../../../agent/base/random.ts';
import { EventHeap } from '../../../simulations/world/event-heap.ts';
import { givenUpMs, rtoMinMs, TcpConnections } from '../../../simulations/world/tcp.ts';

const wireMs = 0.5;

/** Two boxes and a wire that loses what it is told to. */
class Wire {
  now = 0;
  readonly read: { readonly at: number; readonly to: number; readonly what: unknown }[] = [];
  packets = 0;
  givenUpAt: number | undefined;
  drops: (now: number, from: number, packet: number) => boolean = () => false;
  readonly tcp: TcpConnections;
  readonly #heap = new EventHeap();

  constructor(seed = 1) {
    this.tcp = new TcpConnections(
      {
        now: () => this.now,
        later: (time, what, a, b, payload) => this.#heap.push(time, what, a, b, 0, payload),
        drops: (now, from) => this.drops(now, from, ++this.packets),
        delayMs: () => wireMs,
        deliver: (_from, to, what) => void this.read.push({ at: this.now, to, what }),
        givenUp: () => {
          this.givenUpAt = this.now;
        },
      },
      2,
      new Random(seed, 'tcp'),
    );
  }

  run(until: number): void {
    while (this.#heap.nextTime <= until) {
      this.#heap.pop();
      this.now = this.#heap.time;
      this.tcp.happen(this.#heap.kind, this.#heap.a, this.#heap.b, this.#heap.payload);
    }
    this.now = until;
  }

  /** A few words both ways, so that the round trip is known, and everything is acknowledged. */
  warm(): void {
    for (let i = 0; i < 5; i++) {
      this.tcp.send(0, 1, 40, 'warm');
      this.run(this.now + 1);
      this.tcp.send(1, 0, 40, 'warm');
      this.run(this.now + 100);
    }
    this.read.length = 0;
    this.packets = 0;
  }

  /** Milliseconds from now until box 1 reads its next word. */
  timeToRead(withinMs = 60_000): number {
    const [from, had] = [this.now, this.read.length];
    this.run(from + withinMs);
    return (this.read.slice(had).find(({ to }) => to === 1)?.at ?? Number.NaN) - from;
  }
}

/** Box 0 says one word whose first `losses` transmissions are lost; how late it is read. */
function late(losses: number, isThin: boolean): number {
  const wire = new Wire();
  wire.tcp.isThin = isThin;
  wire.warm();
  // Thin is only who has lost something before.
  wire.drops = (_now, from, packet) => from === 0 && packet <= 2;
  wire.tcp.send(0, 1, 40, 'lost twice');
  wire.run(wire.now + 5_000);
  let left = losses;
  wire.drops = (_now, from) => from === 0 && left-- > 0;
  wire.tcp.send(0, 1, 40, 'word');
  return wire.timeToRead();
}

describe('tcp', () => {
  test('nothing lost → every word is there after the wire, once and in order, both ways', () => {
    const wire = new Wire();
    for (let i = 0; i < 100; i++) {
      wire.tcp.send(i % 2, 1 - (i % 2), 40, i);
      wire.run(wire.now + 10);
    }
    expect(wire.read.map(({ what }) => what)).toEqual(Array.from({ length: 100 }, (_, i) => i));
    for (const [i, { at }] of wire.read.entries()) expect(at - i * 10).toBeCloseTo(wireMs);
  });

  test('a lone word lost → said again after 200 ms (tail loss probe), and the next waits behind it', () => {
    const wire = new Wire();
    wire.warm();
    wire.drops = (_now, from, packet) => from === 0 && packet === 1;
    const began = wire.now;
    wire.tcp.send(0, 1, 40, 'first');
    expect(wire.timeToRead()).toBeGreaterThan(rtoMinMs);
    expect(wire.read.at(-1)!.at - began).toBeLessThan(rtoMinMs + 100);
  });

  test('a word lost and another behind it → the second shows it, and both are read within milliseconds, in order', () => {
    const wire = new Wire();
    wire.warm();
    wire.drops = (_now, from, packet) => from === 0 && packet === 1;
    wire.tcp.send(0, 1, 40, 'first');
    wire.run(wire.now + 30);
    wire.tcp.send(0, 1, 40, 'second');
    expect(wire.read).toEqual([]);
    wire.run(wire.now + 5);
    expect(wire.read.map(({ what }) => what)).toEqual(['first', 'second']);
  });

  test('lost again and again → each wait doubles; with the kernel’s setting all are alike', () => {
    const waits = [2, 3, 4, 5].map((losses) => late(losses, false));
    const steps = waits.slice(1).map((ms, i) => ms - waits[i]!);
    for (const [i, step] of steps.slice(1).entries()) expect(step / steps[i]!).toBeCloseTo(2, 1);
    const even = [2, 3, 4, 5].map((losses) => late(losses, true));
    const evenSteps = even.slice(1).map((ms, i) => ms - even[i]!);
    for (const step of evenSteps) {
      expect(step).toBeGreaterThanOrEqual(rtoMinMs - 1);
      expect(step).toBeLessThan(2 * rtoMinMs);
    }
  });

  test('a dead wire → given up after a while, and nothing is left of the connection', () => {
    const wire = new Wire();
    wire.warm();
    wire.drops = () => true;
    const began = wire.now;
    wire.tcp.send(0, 1, 40, 'word');
    wire.run(began + 120_000);
    expect(wire.givenUpAt! - began).toBeGreaterThanOrEqual(givenUpMs);
    expect(wire.givenUpAt! - began).toBeLessThan(3 * givenUpMs);
    expect(wire.tcp.size).toBe(0);
  });

  test('a peer that takes nothing → no more than so many bytes wait for it', () => {
    const wire = new Wire();
    wire.drops = () => true;
    let taken = 0;
    while (taken < 100_000 && wire.tcp.send(0, 1, 1_000, taken)) taken++;
    expect(taken).toBeGreaterThan(1_000);
    expect(taken).toBeLessThan(1_200);
  });

  test('any loss up to a third, any pace, words of any size → all are read, once and in order', () => {
    const pace = fc.array(fc.tuple(fc.nat(300), fc.boolean(), fc.integer({ min: 1, max: 5_000 })), { maxLength: 60 });
    fc.assert(
      fc.property(fc.integer(), fc.integer({ min: 0, max: 33 }), fc.boolean(), pace, (seed, loss, isThin, words) => {
        const wire = new Wire(seed);
        const random = new Random(seed, 'loss');
        wire.tcp.isThin = isThin;
        wire.drops = () => random.chance(loss / 100);
        const said: [unknown[], unknown[]] = [[], []];
        for (const [i, [waits, back, bytes]] of words.entries()) {
          wire.run(wire.now + waits);
          if (wire.givenUpAt !== undefined) return;
          const from = back ? 1 : 0;
          if (wire.tcp.send(from, 1 - from, bytes, i)) said[1 - from]!.push(i);
        }
        wire.run(wire.now + 600_000);
        if (wire.givenUpAt !== undefined) return;
        for (const to of [0, 1]) {
          expect(wire.read.filter((word) => word.to === to).map(({ what }) => what)).toEqual(said[to]);
        }
      }),
      { numRuns: 200 },
    );
  });

  test('the same seed → the same to the last digit; another seed → another', () => {
    const story = (seed: number): unknown => {
      const wire = new Wire(seed);
      const random = new Random(seed, 'loss');
      wire.drops = () => random.chance(0.25);
      for (let i = 0; i < 200; i++) {
        wire.tcp.send(i % 2, 1 - (i % 2), 40, i);
        wire.run(wire.now + 50);
      }
      return wire.read;
    };
    expect(story(3)).toEqual(story(3));
    expect(story(3)).not.toEqual(story(4));
  });
});
