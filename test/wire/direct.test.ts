import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bootId } from '../../agent/base/ids.ts';
import { Random } from '../../agent/base/random.ts';
import { wallTime } from '../../agent/base/time.ts';
import type { DirectMessage } from '../../agent/core/input.ts';
import { encodeArray } from '../../agent/wire/codec.ts';
import { checkpointMaxBytes, decodeDirect, encodeDirect, encodedSize, maxBytesOf } from '../../agent/wire/direct.ts';

const bounds = { agents: 200, duties: 40, checks: 40, models: 4 };

const count = fc.oneof(fc.nat(), fc.nat({ max: 30 }), fc.maxSafeNat());
const hash = fc.nat({ max: 0xffff_ffff });
const agent = fc.nat({ max: bounds.agents - 1 });
const duty = fc.nat({ max: bounds.duties - 1 });
const updates = fc.array(
  fc.record(
    {
      member: agent,
      state: fc.constantFrom('alive', 'suspect', 'dead', 'left'),
      bootCounter: count,
      incarnation: count,
      origin: agent,
      signature: fc.uint8Array({ minLength: 64, maxLength: 64 }),
    },
    { requiredKeys: ['member', 'state', 'bootCounter', 'incarnation', 'origin'] },
  ),
  { maxLength: 40 },
);
const checkpoint = fc.record({
  duty,
  term: count,
  sequence: count,
  takenAt: fc.oneof(count, fc.integer(), fc.double({ noNaN: true, noDefaultInfinity: true })).map((n) => wallTime(n)),
  data: fc.uint8Array({ maxLength: 300 }),
});
const message = fc.oneof(
  fc.record({ kind: fc.constantFrom('ping', 'ack'), seq: count, digestVersion: count, updates }),
  fc.record({ kind: fc.constant('ping-request'), seq: count, target: agent, updates }),
  fc.record({ kind: fc.constant('nack'), seq: count, updates }),
  fc.record({ kind: fc.constant('gossip'), updates }),
  fc.record({
    kind: fc.constant('hello'),
    boot: fc.uint8Array({ minLength: 16, maxLength: 16 }).map((b) => bootId(Buffer.from(b).toString('hex'))),
    bootCounter: count,
    incarnation: count,
    updates,
  }),
  fc.record({ kind: fc.constant('sync'), hash, updates: fc.constant([]) }),
  fc.record({
    kind: fc.constant('sync-buckets'),
    hashes: fc.array(hash, { maxLength: 600 }),
    updates: fc.constant([]),
  }),
  fc.record({ kind: fc.constant('sync'), hash, digests: hash, updates: fc.constant([]) }),
  fc.record({
    kind: fc.constant('gossip'),
    updates,
    wants: fc.uniqueArray(agent, { minLength: 1, maxLength: 44 }),
  }),
  fc.record({ kind: fc.constant('digest-buckets'), hashes: fc.array(hash, { maxLength: 128 }) }),
  fc.record({
    kind: fc.constant('digest-versions'),
    buckets: fc.uniqueArray(fc.nat({ max: 599 }), { maxLength: 44 }),
    versions: fc.uniqueArray(fc.record({ agent, bootCounter: count, sequence: count }), {
      maxLength: 44,
      selector: (version) => version.agent,
    }),
  }),
  fc.record({ kind: fc.constant('digest-wants'), agents: fc.uniqueArray(agent, { maxLength: 44 }) }),
  fc.record({
    kind: fc.constant('sync-entries'),
    buckets: fc.uniqueArray(fc.nat({ max: 599 }), { maxLength: 44 }),
    wants: fc.uniqueArray(agent, { maxLength: 44 }),
    updates,
  }),
  fc.record(
    {
      kind: fc.constant('claim'),
      bootCounter: count,
      seq: count,
      duties: fc.uniqueArray(fc.record({ duty, term: count, heard: fc.uniqueArray(agent, { maxLength: 30 }) }), {
        selector: (d) => d.duty,
      }),
      stance: fc.constantFrom('full', 'draining'),
      unable: fc.uniqueArray(duty, { minLength: 1, maxLength: 20 }),
    },
    { requiredKeys: ['kind', 'bootCounter', 'seq', 'duties'] },
  ),
  fc.record({ kind: fc.constant('handover-taken'), duty, term: count, sequence: count }),
  fc.record({ kind: fc.constantFrom('checkpoint', 'handover'), checkpoint }),
) as fc.Arbitrary<DirectMessage>;

const encoded = (m: DirectMessage): Uint8Array => {
  const result = encodeDirect(m);
  if (!result.ok) throw new Error(result.error.text);
  return result.value;
};

describe('direct messages', () => {
  it('any message → decodes to itself, and its size is known without encoding', () => {
    fc.assert(
      fc.property(message, (m) => {
        const bytes = encoded(m);
        expect(encodedSize(m)).toBe(bytes.length);
        const back = decodeDirect(bytes, bounds);
        // -0 and 0 are one stamp.
        expect(back.ok && normal(back.value)).toEqual(normal(m));
      }),
      { numRuns: 500, seed: 7 },
    );
  });

  it('an idle ping → at most 12 bytes', () => {
    expect(encoded({ kind: 'ping', seq: 70_000, digestVersion: 12, updates: [] }).length).toBeLessThanOrEqual(12);
  });

  it('a checkpoint over 64 kB → refused by the sender and by the receiver', () => {
    const big = {
      kind: 'checkpoint',
      checkpoint: { duty: 0, term: 0, sequence: 0, takenAt: wallTime(0), data: new Uint8Array(checkpointMaxBytes + 1) },
    } as const;
    const sent = encodeDirect(big);
    expect(sent.ok ? 'sent' : sent.error.reason).toBe('too-large');
    const raw = encodeArray([8, 0, 0, 0, 0, big.checkpoint.data]);
    expect(raw.length).toBeLessThanOrEqual(maxBytesOf('checkpoint'));
    const got = decodeDirect(raw, bounds);
    expect(got.ok ? 'taken' : got.error.reason).toBe('wrong-shape');
  });

  it.each([
    ['a member beyond the plan', [5, [[200, 0, 1, 1, 0]]]],
    ['an origin beyond the plan', [5, [[0, 0, 1, 1, 200]]]],
    ['a state that does not exist', [5, [[0, 4, 1, 1, 0]]]],
    ['a negative incarnation', [5, [[0, 0, 1, -1, 0]]]],
    ['a hash beyond 32 bits', [13, 2 ** 32]],
    ['a hash with something behind it', [13, 1, []]],
    ['a member wanted twice', [5, [], [1, 1]]],
    ['a member beyond the plan wanted by gossip', [5, [], [200]]],
    ['nothing wanted, in the long form', [5, [], []]],
    ['something behind what is wanted', [5, [], [1], 1]],
    ['too many hashes', [14, Array.from({ length: 601 }, () => 1)]],
    ['a hash of digests beyond 32 bits', [13, 1, 2 ** 32]],
    ['something behind the hash of digests', [13, 1, 1, 1]],
    ['too many hashes of digests', [16, Array.from({ length: 601 }, () => 1)]],
    ['two words of one agent', [17, [0], [[1, 1, 1], [1, 1, 2]]]], // biome-ignore format: one line each
    ['a word of an agent beyond the plan', [17, [0], [[200, 1, 1]]]],
    ['a word without its number', [17, [0], [[1, 1]]]],
    ['words that are no list', [17, [0], 1]],
    ['a digest wanted twice', [18, [1, 1]]],
    ['a digest wanted of an agent beyond the plan', [18, [200]]],
    ['a bucket twice', [15, [1, 1], []]],
    ['a member beyond the plan that is wanted', [15, [], [200]]],
    ['a signature of 63 bytes', [5, [[0, 0, 1, 1, 0, new Uint8Array(63)]]]],
    ['text for a signature', [5, [[0, 0, 1, 1, 0, 'x'.repeat(64)]]]],
    ['something behind a signature', [5, [[0, 0, 1, 1, 0, new Uint8Array(64), 0]]]],
    ['65 updates', [5, Array.from({ length: 65 }, () => [0, 0, 1, 1, 0])]],
    ['an element too many', [1, 1, 1, [[0, 0, 1, 1, 0]], 1]],
    ['a written empty list', [1, 1, 1, []]],
    ['text for a number', [1, 'one', 1]],
    ['a fraction for a sequence', [1, 1.5, 1]],
    ['a duty beyond the plan', [7, 1, 1, [[40, 1, []]]]],
    [
      'a duty claimed twice',
      [
        7,
        1,
        1,
        [
          [1, 1, []],
          [1, 2, []],
        ],
      ],
    ],
    ['an agent heard twice', [7, 1, 1, [[1, 1, [3, 3]]]]],
    ['a claim that says nothing more in the long form', [7, 1, 1, [], 0, []]],
    ['a stance that does not exist', [7, 1, 1, [], 3, []]],
    ['a stance without the list that follows', [7, 1, 1, [], 1]],
    ['a duty beyond the plan that cannot run', [7, 1, 1, [], 0, [40]]],
    ['a duty that cannot run named twice', [7, 1, 1, [], 0, [3, 3]]],
    ['text for data', [8, 0, 0, 0, 0, 'data']],
    ['a short boot id', [6, new Uint8Array(15), 1, 1]],
  ])('%s → refused', (_what, array) => {
    expect(decodeDirect(encodeArray(array), bounds).ok).toBe(false);
  });

  it('numbers in a longer form than needed → refused: one message, one encoding', () => {
    expect(decodeDirect(new Uint8Array([0x83, 0x01, 0x01, 0x00]), bounds).ok).toBe(true);
    expect(decodeDirect(new Uint8Array([0x83, 0x01, 0x18, 0x01, 0x00]), bounds).ok).toBe(false);
  });

  it('bytes after the message → refused', () => {
    expect(decodeDirect(new Uint8Array([0x83, 0x01, 0x01, 0x00, 0x00]), bounds).ok).toBe(false);
  });

  it('40 000 random and mutated buffers → a result each, never a throw, and what is taken has the right form', () => {
    const random = new Random(1, 'fuzz');
    const seeds = fc.sample(message, { numRuns: 400, seed: 3 }).map(encoded);
    let taken = 0;
    for (let round = 0; round < 40_000; round++) {
      const bytes = round % 2 === 0 ? noise(random) : mutated(seeds[random.below(seeds.length)]!, random);
      const result = decodeDirect(bytes, bounds);
      if (!result.ok) continue;
      taken++;
      // Whatever is taken is something that we could have said ourselves, byte for byte (floats have two forms).
      const again = encoded(result.value);
      if (bytes.some((byte) => byte >= 0xf9 && byte <= 0xfb)) expect(decodeDirect(again, bounds)).toEqual(result);
      else expect(Buffer.from(again).equals(Buffer.from(bytes))).toBe(true);
    }
    // Mutations often touch a number only: if none were taken, the fuzz would test nothing but the first byte.
    expect(taken).toBeGreaterThan(1_000);
  });

  it('deep nesting and promised lengths of gigabytes → refused at once', () => {
    for (const bytes of [
      Uint8Array.from([0x88, 0x08, ...new Array(60_000).fill(0x81)]),
      Uint8Array.from([0x82, 0x05, 0x9a, 0xff, 0xff, 0xff, 0xff]),
      Uint8Array.from([0x86, 0x08, 0, 0, 0, 0, 0x5b, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
    ]) {
      const before = performance.now();
      expect(decodeDirect(bytes, bounds).ok).toBe(false);
      expect(performance.now() - before).toBeLessThan(1_000);
    }
  });
});

function normal(m: DirectMessage): unknown {
  return m.kind === 'checkpoint' || m.kind === 'handover'
    ? { ...m, checkpoint: { ...m.checkpoint, takenAt: m.checkpoint.takenAt + 0 } }
    : m;
}

function noise(random: Random): Uint8Array {
  const bytes = new Uint8Array(random.below(64));
  for (let i = 0; i < bytes.length; i++) bytes[i] = random.below(256);
  // Half of them look like an array of a known type, to get beyond the first byte.
  if (bytes.length > 2 && random.chance(0.5)) {
    bytes[0] = 0x80 + random.below(12);
    bytes[1] = random.below(12);
  }
  return bytes;
}

function mutated(seed: Uint8Array, random: Random): Uint8Array {
  const bytes = Uint8Array.from(seed);
  for (let i = 1 + random.below(3); i > 0; i--) bytes[random.below(bytes.length)] = random.below(256);
  return random.chance(0.1) ? bytes.subarray(0, random.below(bytes.length)) : bytes;
}
