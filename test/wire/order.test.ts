import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { Random } from '../../agent/base/random.ts';
import { signJws } from '../../agent/wire/jws.ts';
import {
  drainMaxMs,
  judgeOrder,
  type Order,
  orderMaxBytes,
  orderMaxLifeMs,
  orderSkewMs,
  peekOrder,
  readOrder,
  signOrder,
} from '../../agent/wire/order.ts';
import { oneLineKey } from '../../agent/wire/roster.ts';
import type { BundleOperator } from '../../agent/wire/site-bundle.ts';

function pair() {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const pem = publicKey.export({ type: 'spki', format: 'pem' }) as string;
  return { secret: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string, open: oneLineKey(pem) ?? '' };
}
const [anna, ben] = [pair(), pair()];
const people: readonly BundleOperator[] = [
  { name: 'anna', key: anna.open, may: ['acknowledge', 'order'] },
  { name: 'ben', key: ben.open, may: ['acknowledge'] },
];
const at = Date.parse('2026-01-31T12:00:00Z');
const iso = (ms: number): string => new Date(at + ms).toISOString();
const order = (change: Partial<Order> = {}): Order => ({
  site: 'plant',
  agent: 'box-1',
  by: 'anna',
  id: '0123456789abcdef'.repeat(2),
  issuedAt: iso(0),
  notAfter: iso(300_000),
  what: { verb: 'workflow', workflow: 'press/restart' },
  ...change,
});
const signed = (change: Partial<Order> = {}, key = anna.secret): Uint8Array => signOrder(order(change), key);

describe('a signed order', () => {
  it.each<[string, Order['what']]>([
    ['drain for a while', { verb: 'drain', forMs: 600_000 }],
    ['drain until taken back', { verb: 'drain', forMs: null }],
    ['take duties again', { verb: 'undrain' }],
    ['run a workflow', { verb: 'workflow', workflow: 'press/restart' }],
    ['stop a run', { verb: 'stop', run: 'press/restart@12' }],
  ])('%s → comes out as it went in', (_, what) => {
    expect(readOrder(signed({ what }), people)).toEqual({ ok: true, value: order({ what }) });
    expect(peekOrder(signed({ what }))).toEqual({ ok: true, value: order({ what }) });
  });

  it.each<[string, () => Uint8Array, string]>([
    ['somebody the site does not know', () => signed({ by: 'eve' }), 'unknown-operator'],
    ['a person under another’s name', () => signed({ by: 'anna' }, ben.secret), 'wrong-signature'],
    ['a person who may only acknowledge', () => signed({ by: 'ben' }, ben.secret), 'may-not'],
    ['nobody: plain JSON', () => Buffer.from('{"run":"r1"}'), 'not-an-order'],
    ['nothing', () => Buffer.alloc(0), 'not-an-order'],
    ['far too long', () => Buffer.alloc(orderMaxBytes + 1, 32), 'too-large'],
    [
      'another kind of document under the same key',
      () => signJws(Buffer.from('{}'), 'millwright-bundle+json', anna.secret),
      'not-an-order',
    ],
    [
      'a verb that this release does not know',
      () =>
        signJws(
          Buffer.from(JSON.stringify({ format: 1, ...order(), what: { verb: 'explode' } })),
          'millwright-order+json',
          anna.secret,
        ),
      'wrong-shape',
    ],
    [
      'a newer format',
      () => signJws(Buffer.from('{"format":2}'), 'millwright-order+json', anna.secret),
      'newer-format',
    ],
  ])('from %s → %s', (_, make, reason) => {
    expect(readOrder(make(), people)).toMatchObject({ ok: false, error: { reason } });
  });

  it('who was taken from the list → is no operator any more', () => {
    expect(readOrder(signed(), people.slice(1))).toMatchObject({ error: { reason: 'unknown-operator' } });
  });

  it('one bit changed anywhere, and 2 000 mutated buffers → never believed as something else, never thrown', () => {
    const good = signed();
    const random = new Random('orders');
    for (let round = 0; round < 2_000; round++) {
      const bytes = Uint8Array.from(good.subarray(0, random.chance(0.1) ? random.below(good.length) : good.length));
      if (bytes.length > 1) bytes[random.below(bytes.length - 1)]! ^= 1 << random.below(8);
      const read = readOrder(bytes, people);
      if (read.ok) expect(read.value).toEqual(order());
    }
  });

  it('what no agent would read → is not signed', () => {
    for (const change of [
      { id: 'short' },
      { by: 'Anna Smith' },
      { issuedAt: 'now' },
      { what: { verb: 'drain', forMs: 0 } },
      { what: { verb: 'drain', forMs: drainMaxMs + 1 } },
      { what: { verb: 'workflow', workflow: '' } },
    ] as Partial<Order>[]) {
      expect(() => signed(change)).toThrow();
    }
    expect(() => signOrder(order(), 'no key')).toThrow();
  });

  const here = { site: 'plant', agent: 'box-1', wallMs: at };
  it.each<[string, Partial<Order>, Partial<typeof here & { verb: string }>, string | undefined]>([
    ['here and now', {}, {}, undefined],
    ['by its own door', {}, { verb: 'workflow' }, undefined],
    ['by another’s door', {}, { verb: 'stop' }, 'other-verb'],
    ['another site', {}, { site: 'other' }, 'wrong-site'],
    ['another agent', {}, { agent: 'box-2' }, 'other-agent'],
    ['at its very end', {}, { wallMs: at + 300_000 }, undefined],
    ['a moment later', {}, { wallMs: at + 300_001 }, 'expired'],
    ['a clock that is a little behind', {}, { wallMs: at - orderSkewMs }, undefined],
    ['a clock in 1970', {}, { wallMs: 0 }, 'too-early'],
    ['good for ever', { notAfter: iso(orderMaxLifeMs + 1) }, {}, 'too-long-lived'],
    ['over before it begins', { notAfter: iso(0) }, {}, 'too-long-lived'],
  ])('%s', (_, change, where, reason) => {
    expect(judgeOrder(order(change), { ...here, ...where })?.reason).toBe(reason);
  });
});
