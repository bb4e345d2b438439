import { generateKeyPairSync } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Random } from '../../agent/base/random.ts';
import { bundleHash, type LeaseMessage, type Sealed } from '../../agent/core/leases/ballot.ts';
import { maxCounter, maxEpoch } from '../../agent/core/leases/fencing-token.ts';
import { sessionId } from '../../agent/core/leases/session.ts';
import { encodeArray } from '../../agent/wire/codec.ts';
import { decodeDirect, encodeDirect, encodedSize } from '../../agent/wire/direct.ts';
import { leaseMaxBytes, leaseToArray, signSealed, verifiedCertificate, verifySealed } from '../../agent/wire/lease.ts';

const bounds = { agents: 100, duties: 40, checks: 40, models: 4, leases: 50 };

const count = fc.oneof(fc.nat({ max: 30 }), fc.nat(), fc.maxSafeNat());
const counter = fc.oneof(
  fc.nat({ max: 9 }),
  fc.maxSafeNat().map((n) => n % (maxCounter + 1)),
);
const lease = fc.nat({ max: bounds.leases - 1 });
const durationMs = fc.nat({ max: 10_000_000 });
const id = fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => Buffer.from(bytes).toString('hex'));
const hash = id.map(bundleHash);
const session = fc.record({ agent: fc.nat({ max: bounds.agents - 1 }), boot: count, id: id.map(sessionId) });
const life = fc.record({ boot: count, nonce: fc.maxSafeNat().map((n) => n % 2 ** 48) });
const items = fc.array(fc.record({ lease, counter }), { maxLength: 40 });
const refused = fc.array(fc.record({ lease, counter, maxCounter: counter, freeInMs: durationMs }), { maxLength: 10 });
const lingering = fc.array(fc.record({ lease, counter, session, remainingMs: durationMs }), { maxLength: 5 });
const maybe = <T>(of: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => fc.option(of, { nil: undefined });
const head = { cell: fc.nat({ max: 2 ** 32 - 1 }), epoch: fc.integer({ min: 1, max: maxEpoch }) };
const memory = fc.record({
  longestMs: durationMs,
  maxCounters: fc.array(counter, { maxLength: 50 }),
  sealedFor: maybe(hash),
  lingering,
});
const sealed = fc.record({
  kind: fc.constant('lease-sealed'),
  ...head,
  successor: hash,
  boot: count,
  reborn: fc.array(count, { maxLength: 5 }),
  lingering,
  signature: fc.uint8Array({ minLength: 64, maxLength: 64 }).map((bytes) => Buffer.from(bytes).toString('hex')),
}) as fc.Arbitrary<Sealed>;

const message = fc.oneof(
  fc.record({
    kind: fc.constant('lease-request'),
    ...head,
    session,
    rid: count,
    leaseMs: durationMs,
    items: maybe(items),
    listHash: count,
    heard: maybe(life),
  }),
  fc.record({ kind: fc.constant('lease-answer'), ...head, session: id, rid: count, got: items, refused, life }),
  fc.record({ kind: fc.constant('lease-need-full'), ...head, session: id, rid: count }),
  fc.record({
    kind: fc.constant('lease-freed'),
    ...head,
    leases: fc.array(fc.record({ lease, maxCounter: counter }), { maxLength: 20 }),
  }),
  fc.record({
    kind: fc.constant('voter-recall'),
    ...head,
    life,
    unborn: fc.boolean(),
    former: fc.option(life, { nil: undefined }),
    round: count,
  }),
  fc.record({ kind: fc.constant('voter-recalled'), ...head, round: count, remembered: life, memory: maybe(memory) }),
  fc.record({ kind: fc.constant('lease-seal'), ...head, successor: hash }),
  sealed,
  fc
    .record({
      ...head,
      successor: hash,
      seals: fc.array(fc.record({ voter: fc.nat({ max: 4 }), sealed }), { maxLength: 3 }),
    })
    .map(({ seals, ...rest }) => ({
      kind: 'lease-epoch',
      ...rest,
      seals: seals.map(({ voter, sealed: each }) => ({ voter, sealed: { ...each, ...rest } })),
    })),
  fc.record({ kind: fc.constant('lease-epoch-wanted'), ...head }),
  fc.record({
    kind: fc.constant('lease-forced'),
    ...head,
    // What it says is filled in by whoever verifies it.
    successor: fc.constant(bundleHash('')),
    poweredOff: fc.constant([]),
    document: fc.string({ maxLength: 1_000 }),
  }),
  fc.record({ kind: fc.constant('lease-floors-wanted'), ...head, round: count }),
  fc.record({
    kind: fc.constant('lease-floors'),
    ...head,
    round: count,
    maxCounters: fc.array(counter, { maxLength: 20 }),
  }),
) as fc.Arbitrary<LeaseMessage>;

const encoded = (m: LeaseMessage): Uint8Array => {
  const result = encodeDirect(m);
  if (!result.ok) throw new Error(result.error.text);
  return result.value;
};

describe('lease messages', () => {
  it('any message → decodes to itself, and its size is known without encoding', () => {
    fc.assert(
      fc.property(message, (m) => {
        const bytes = encoded(m);
        expect(encodedSize(m)).toBe(bytes.length);
        const back = decodeDirect(bytes, bounds);
        expect(back.ok && back.value).toEqual(m);
      }),
      { numRuns: 500, seed: 11 },
    );
  });

  it('a duration with a fraction → is told longer, never shorter', () => {
    const at = { cell: 1, epoch: 1 };
    const answer: LeaseMessage = {
      kind: 'lease-answer',
      ...at,
      session: sessionId('0'.repeat(64)),
      rid: 1,
      got: [],
      refused: [{ lease: 0, counter: 1, maxCounter: 1, freeInMs: 99.01 }],
      life: { boot: 1, nonce: 1 },
    };
    expect(decodeDirect(encoded(answer), bounds)).toMatchObject({ value: { refused: [{ freeInMs: 100 }] } });
    expect(encodedSize(answer)).toBe(encoded(answer).length);
  });

  it('100 000 random and mutated buffers → refused or well-formed, never thrown', () => {
    const random = new Random('lease fuzz');
    const samples = fc.sample(message, { numRuns: 100, seed: 3 }).map(encoded);
    let taken = 0;
    for (let round = 0; round < 100_000; round++) {
      const sample = samples[round % samples.length]!;
      const bytes = Uint8Array.from(sample.subarray(0, random.chance(0.1) ? random.below(sample.length) : undefined));
      for (let flips = 1 + random.below(3); flips > 0 && bytes.length > 0; flips--) {
        bytes[random.below(bytes.length)] = random.below(256);
      }
      if (random.chance(0.05)) for (let i = 2; i < bytes.length; i++) bytes[i] = random.below(256);
      const decoded = decodeDirect(bytes, bounds);
      if (!decoded.ok) continue;
      taken++;
      // What is taken is in range: it can be said again.
      if (round % 10 === 0) expect(encodeDirect(decoded.value).ok).toBe(true);
    }
    expect(taken).toBeGreaterThan(100);
    expect(taken).toBeLessThan(90_000);
  });

  const wanted = [12, 10, 7, 1];
  const zero = new Uint8Array(32);
  it.each([
    ['a kind that does not exist', [12, 11, 7, 1]],
    ['no epoch', [12, 10, 7]],
    ['epoch 0', [12, 10, 7, 0]],
    ['an epoch beyond 16 bits', [12, 10, 7, 65_536]],
    ['a cell beyond 32 bits', [12, 10, 2 ** 32, 1]],
    ['a field too many', [...wanted, 1]],
    ['a counter as a number', [12, 4, 7, 1, [[0, 5]]]],
    ['a counter in upper case', [12, 4, 7, 1, [[0, '00000000000A']]]],
    ['a short counter', [12, 4, 7, 1, [[0, 'a']]]],
    ['a lease beyond the plan', [12, 4, 7, 1, [[50, '000000000001']]]],
    ['a list longer than any portfolio', [12, 4, 7, 1, Array.from({ length: 101 }, () => [0, '000000000001'])]],
    ['an agent beyond the plan', [12, 1, 7, 1, [100, 1, zero], 1, 2000, null, 0, null]],
    ['a short session', [12, 1, 7, 1, [0, 1, new Uint8Array(31)], 1, 2000, null, 0, null]],
    ['a negative request id', [12, 3, 7, 1, zero, -1]],
    ['a signature of another length', [12, 8, 7, 1, zero, 1, [], [], new Uint8Array(63)]],
    ['seventeen seals', [12, 9, 7, 1, zero, Array.from({ length: 17 }, () => [0, 1, [], [], new Uint8Array(64)])]],
  ])('%s → refused', (_what, array) => {
    expect(decodeDirect(encodeArray(array), bounds).ok).toBe(false);
  });

  it('a portfolio of 400 leases → fits; a longer message than any → refused before it is parsed', () => {
    const long = leaseToArray({
      kind: 'lease-request',
      cell: 7,
      epoch: 1,
      session: { agent: 0, boot: 1, id: sessionId('ab'.repeat(32)) },
      rid: 1,
      leaseMs: 2000,
      items: Array.from({ length: 800 }, (_, at) => ({ lease: at % 400, counter: 1 })),
      listHash: 1,
      heard: undefined,
    });
    expect(encodeArray(long).length).toBeLessThan(leaseMaxBytes);
    const most = decodeDirect(new Uint8Array(leaseMaxBytes + 1).fill(0x8c).fill(12, 1, 2), bounds);
    expect(most.ok ? 'taken' : most.error.reason).toBe('too-large');
  });
});

describe('seals', () => {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const other = generateKeyPairSync('ed25519');
  const seal: Sealed = {
    kind: 'lease-sealed',
    cell: 7,
    epoch: 1,
    successor: bundleHash('ab'.repeat(32)),
    boot: 3,
    reborn: [0, 2, 0],
    lingering: [
      { lease: 1, counter: 5, session: { agent: 2, boot: 1, id: sessionId('cd'.repeat(32)) }, remainingMs: 812.4 },
    ],
  };
  const signed = signSealed(seal, 'plant', 'line-1', 'box-1', privateKey);
  const verified = (change: Partial<Sealed>, cell = 'line-1', voter = 'box-1', key = publicKey) =>
    verifySealed({ ...signed, ...change }, 'plant', cell, voter, key);

  it('signed by its voter → believed, over the wire as well', () => {
    expect(verified({})).toBe(true);
    const back = decodeDirect(encoded(signed), bounds);
    expect(back.ok && verifySealed(back.value as Sealed, 'plant', 'line-1', 'box-1', publicKey)).toBe(true);
  });

  it('changed, of another cell, another voter, another key, or not signed → not believed', () => {
    expect(verified({ boot: 4 })).toBe(false);
    expect(verified({ reborn: [0, 0, 0] })).toBe(false);
    expect(verified({ lingering: [] })).toBe(false);
    expect(verified({ successor: bundleHash('ac'.repeat(32)) })).toBe(false);
    expect(verified({}, 'line-2')).toBe(false);
    expect(verified({}, 'line-1', 'box-2')).toBe(false);
    expect(verified({}, 'line-1', 'box-1', other.publicKey)).toBe(false);
    expect(verifySealed(seal, 'plant', 'line-1', 'box-1', publicKey)).toBe(false);
    expect(verifySealed(signed, 'plant', 'line-1', 'box-1', undefined)).toBe(false);
  });

  it('a certificate with a forged seal → keeps the true ones only', () => {
    const forged = { ...signSealed(seal, 'plant', 'line-1', 'box-2', other.privateKey) };
    const certificate = {
      kind: 'lease-epoch',
      cell: 7,
      epoch: 1,
      successor: seal.successor,
      seals: [
        { voter: 0, sealed: signed },
        { voter: 1, sealed: forged },
        { voter: 9, sealed: signed },
      ],
    } as const;
    const kept = verifiedCertificate(certificate, 'plant', 'line-1', (at) =>
      at < 3 ? { name: `box-${at + 1}`, key: publicKey } : undefined,
    );
    expect(kept.seals.map(({ voter }) => voter)).toEqual([0]);
  });
});
