import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { agentId } from '../../agent/base/ids.ts';
import { Random } from '../../agent/base/random.ts';
import type { HealthDigest } from '../../agent/core/health/digest.ts';
import { decodeDigest, digestMaxBytes, encodeDigest, healthTopic } from '../../agent/wire/gossip.ts';
import { agree, decodePreamble, encodePreamble, planStamp, preamble } from '../../agent/wire/version.ts';

const keys = [generateKeyPairSync('ed25519'), generateKeyPairSync('ed25519')];
const keyOf = (agent: number): KeyObject | undefined => keys[agent]?.publicKey;
const bounds = { agents: 3, duties: 8, checks: 8, models: 8 };
const plan = planStamp('plan A');
const topic = healthTopic('plant-9', 'line-3');
const digest: HealthDigest = {
  agent: 1,
  bootCounter: 7,
  sequence: 70_000,
  checks: [
    { check: 3, status: 'crit' },
    { check: 1, status: 'unknown' },
  ],
  judges: [1, 3, 5],
  anomalous: [7],
  duties: [{ duty: 2, term: 4 }],
  localHealth: 2,
  coordinator: 'not-heard',
};
const bytes = encodeDigest(digest, plan, topic, keys[1]!.privateKey);
const decode = (b: Uint8Array, p = plan, t = topic) => decodeDigest(b, p, t, bounds, keyOf);
const reason = (r: ReturnType<typeof decode>): string => (r.ok ? 'taken' : r.error.reason);

describe('health digest', () => {
  it('signed by its origin → decodes to itself', () => {
    const result = decode(bytes);
    expect(result.ok && result.value).toEqual(digest);
  });

  it('signed by another agent of the list → wrong-signature', () => {
    expect(reason(decode(encodeDigest(digest, plan, topic, keys[0]!.privateKey)))).toBe('wrong-signature');
  });

  it('from an agent without a key → wrong-signature', () => {
    expect(reason(decode(encodeDigest({ ...digest, agent: 2 }, plan, topic, keys[1]!.privateKey)))).toBe(
      'wrong-signature',
    );
  });

  it("played into another cell's topic → wrong-signature", () => {
    expect(reason(decode(bytes, plan, healthTopic('plant-9', 'line-4')))).toBe('wrong-signature');
  });

  it('with another plan → other-plan: its indices mean other things', () => {
    expect(reason(decode(bytes, planStamp('plan B')))).toBe('other-plan');
  });

  it('properly signed, with an index beyond the plan → wrong-shape', () => {
    const wild = encodeDigest({ ...digest, judges: [8] }, plan, topic, keys[1]!.privateKey);
    expect(reason(decode(wild))).toBe('wrong-shape');
  });

  it('every single bit of it flipped → never taken, never a throw', () => {
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const flipped = Uint8Array.from(bytes);
      flipped[bit >> 3]! ^= 1 << (bit & 7);
      expect(decode(flipped).ok).toBe(false);
    }
  });

  it('20 000 random buffers → never taken, never a throw', () => {
    const random = new Random(2, 'digest-fuzz');
    for (let round = 0; round < 20_000; round++) {
      const noise = new Uint8Array(random.below(200));
      for (let i = 0; i < noise.length; i++) noise[i] = random.below(256);
      if (noise.length > 3) noise.set([0x83, 10, 0x58]);
      expect(decode(noise).ok).toBe(false);
    }
    expect(decode(new Uint8Array(digestMaxBytes + 1).fill(0x80)).ok).toBe(false);
  });
});

describe('preamble', () => {
  const ids = ['edge-1', 'edge-2'].map(agentId);
  const own = preamble('plant-9', 'plan A', ids);

  it('written and read → the same', () => {
    const back = decodePreamble(encodePreamble(own));
    expect(back.ok && back.value).toEqual(own);
  });

  it.each([
    ['the same plan', preamble('plant-9', 'plan A', ids), 'all'],
    ['another plan with the same agents', preamble('plant-9', 'plan B', ids), 'membership'],
    ['another list of agents', preamble('plant-9', 'plan B', [...ids, agentId('edge-3')]), 'probes'],
    ['another site', preamble('plant-8', 'plan A', ids), 'nothing'],
    ['another protocol', { ...own, protocol: own.protocol + 1 }, 'nothing'],
  ])('%s → exchange %s', (_what, theirs, agreement) => {
    expect(agree(own, theirs).agreement).toBe(agreement);
  });

  it('10 000 random buffers → never a throw', () => {
    const random = new Random(3, 'preamble-fuzz');
    let taken = 0;
    for (let round = 0; round < 10_000; round++) {
      const mutated = Uint8Array.from(encodePreamble(own));
      for (let i = 1 + random.below(3); i > 0; i--) mutated[random.below(mutated.length)] = random.below(256);
      if (decodePreamble(mutated).ok) taken++;
    }
    expect(taken).toBeGreaterThan(100);
    expect(taken).toBeLessThan(10_000);
  });
});
