import { generateKeyPairSync } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { canonicalJson } from '../../agent/wire/jws.ts';
import { oneLineKey } from '../../agent/wire/roster.ts';
import {
  type BundleCell,
  type BundleContent,
  type BundleTrust,
  bundleMaxBytes,
  cellHash,
  compareBundles,
  readBundle,
  rosterOf,
  type SiteBundle,
  signBundle,
  verifyBundle,
} from '../../agent/wire/site-bundle.ts';

interface Pair {
  readonly secret: string;
  readonly open: string;
}
function pair(): Pair {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const pem = publicKey.export({ type: 'spki', format: 'pem' }) as string;
  return { secret: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string, open: oneLineKey(pem) ?? '' };
}

const [site, next, recovery, stranger] = [pair(), pair(), pair(), pair()];
const boxes = [pair(), pair(), pair(), pair()];
const lease = { leaseMs: 2000, driftPpm: 10_000, renewMs: 500, retryMs: 120, guardMs: 100 };
const line: BundleCell = {
  id: 'line-3',
  epoch: 1,
  parent: null,
  voters: ['box-1', 'box-2', 'box-3'],
  lease,
  leases: [{ id: 'duty:site/historian', lingerMs: 0, eligible: '0123456789abcdef' }],
};
const founding: BundleContent = {
  site: 'riverside',
  era: 1,
  version: 1,
  parent: null,
  signingKey: site.open,
  recoveryKey: recovery.open,
  agents: boxes.map((box, i) => ({
    id: `box-${i + 1}`,
    key: box.open,
    cell: 'line-3',
    role: i === 2 ? 'witness' : 'agent',
    labels: { hw: 'n100' },
    capacity: null,
    revoked: false,
  })),
  cells: [line],
  operators: [{ name: 'anna', key: pair().open, may: ['order'] }],
  models: [{ file: 'bearing/3', sha256: 'a'.repeat(64) }],
  siteFile: 'millwright: 1\nsite: riverside\n',
};
const trust: BundleTrust = { keys: [site.open, recovery.open] };

const accept = (content: BundleContent, key: Pair = site, current?: SiteBundle): SiteBundle => {
  const verified = verifyBundle(signBundle(content, key.secret), trust, current);
  if (!verified.ok) throw new Error(`${verified.error.reason}: ${verified.error.text}`);
  return verified.value;
};
const refusal = (bytes: Uint8Array, current?: SiteBundle, by: BundleTrust = trust): string => {
  const verified = verifyBundle(bytes, by, current);
  return verified.ok ? 'accepted' : verified.error.reason;
};
const first = accept(founding);
/** What follows `first` in the plainest way. */
const second: BundleContent = { ...founding, version: 2, parent: first.hash, siteFile: 'millwright: 1\n' };
const risen = (cell: Partial<BundleCell>, from: BundleCell = line): BundleCell => ({
  ...from,
  epoch: from.epoch + 1,
  parent: cellHash('riverside', from),
  ...cell,
});
/** The payload changed by somebody who cannot sign. */
const forged = (bytes: Uint8Array, change: (payload: Record<string, never>) => void): Uint8Array => {
  const envelope = JSON.parse(Buffer.from(bytes).toString()) as { payload: string };
  const payload = JSON.parse(Buffer.from(envelope.payload, 'base64url').toString());
  change(payload);
  return Buffer.from(
    JSON.stringify({ ...envelope, payload: Buffer.from(canonicalJson(payload)).toString('base64url') }),
  );
};

describe('site bundle', () => {
  it('signed → verified whole, by the key that signed it; its roster is what admission takes', () => {
    const { hash, signedBy, ...content } = first;
    expect(content).toEqual(founding);
    expect(signedBy).toBe(site.open);
    expect(hash).toMatch(/^[0-9a-f]{64}$/);
    expect(rosterOf(first).agents).toEqual(founding.agents.map(({ id, key }) => ({ id, key })));
    expect(rosterOf(accept(second, site, first)).version).toBe(rosterOf(first).version + 1);
  });

  it('the same content → the same bytes, the same name', () => {
    const again = { ...founding, agents: founding.agents.map(({ id, ...rest }) => ({ ...rest, id })) };
    expect(Buffer.from(signBundle(again, site.secret)).equals(Buffer.from(signBundle(founding, site.secret)))).toBe(
      true,
    );
  });

  it('is a JWS in flattened serialization → another implementation verifies it', () => {
    const {
      payload,
      protected: head,
      signature,
    } = JSON.parse(Buffer.from(signBundle(founding, site.secret)).toString()) as Record<
      'payload' | 'protected' | 'signature',
      string
    >;
    expect(JSON.parse(Buffer.from(head, 'base64url').toString())).toMatchObject({ alg: 'EdDSA' });
    const key = { kty: 'OKP', crv: 'Ed25519', x: Buffer.from(site.open, 'base64').subarray(12).toString('base64url') };
    return crypto.subtle.importKey('jwk', key, { name: 'Ed25519' }, false, ['verify']).then(async (imported) => {
      const signed = Buffer.from(`${head}.${payload}`);
      expect(await crypto.subtle.verify('Ed25519', imported, Buffer.from(signature, 'base64url'), signed)).toBe(true);
    });
  });

  it('the very bundle in force → accepted again', () => {
    expect(refusal(signBundle(founding, site.secret), first)).toBe('accepted');
  });

  it.each<[string, () => Uint8Array, string]>([
    [
      'another site name',
      () => forged(signBundle(second, site.secret), (p) => Object.assign(p, { site: 'x' })),
      'wrong-signature',
    ],
    [
      'a voter exchanged',
      () => forged(signBundle(second, site.secret), (p) => Object.assign(p, { cells: [] })),
      'wrong-signature',
    ],
    [
      'a higher version',
      () => forged(signBundle(second, site.secret), (p) => Object.assign(p, { version: 9 })),
      'wrong-signature',
    ],
    ['signed by a stranger', () => signBundle(second, stranger.secret), 'wrong-signature'],
    ['signed by an agent of the site', () => signBundle(second, boxes[0]!.secret), 'wrong-signature'],
    ['no signature at all', () => Buffer.from('{}'), 'not-a-bundle'],
    ['cut short', () => signBundle(second, site.secret).subarray(0, 500), 'not-a-bundle'],
    ['empty', () => new Uint8Array(), 'not-a-bundle'],
    ['far too large', () => new Uint8Array(bundleMaxBytes + 1), 'too-large'],
    [
      'algorithm "none"',
      () => {
        const envelope = JSON.parse(Buffer.from(signBundle(second, site.secret)).toString()) as object;
        const none = Buffer.from('{"alg":"none","typ":"millwright-bundle+json"}').toString('base64url');
        return Buffer.from(JSON.stringify({ ...envelope, protected: none, signature: '' }));
      },
      'not-a-bundle',
    ],
  ])('%s → refused', (_what, bytes, reason) => {
    expect(refusal(bytes(), first)).toBe(reason);
    expect(refusal(bytes())).toBe(reason);
  });

  it.each<[string, Partial<BundleContent>, string]>([
    ['another one of the same version', { version: 1, parent: null, siteFile: 'x' }, 'rival'],
    ['another site', { site: 'seaside' }, 'wrong-site'],
    ['another parent', { parent: 'b'.repeat(64) }, 'wrong-parent'],
    ['no parent', { parent: null }, 'wrong-parent'],
    ['another recovery key', { recoveryKey: stranger.open }, 'recovery-key'],
    ['a new era under the signing key', { era: 2 }, 'era'],
    ['voters changed in the same epoch', { cells: [{ ...line, voters: ['box-1'] }] }, 'epoch'],
    ['a lease more in the same epoch', { cells: [{ ...line, leases: [] }] }, 'epoch'],
    [
      'the cell gone',
      { cells: [{ ...line, id: 'line-4' }], agents: founding.agents.map((a) => ({ ...a, cell: 'line-4' })) },
      'epoch',
    ],
    ['an epoch skipped', { cells: [risen({ epoch: 3, voters: ['box-1'] })] }, 'gap'],
    ['an epoch of another chain', { cells: [risen({ parent: 'c'.repeat(64), voters: ['box-1'] })] }, 'wrong-parent'],
    ['voters changed, epoch risen', { cells: [risen({ voters: ['box-1'] })] }, 'accepted'],
    ['versions skipped', { version: 7, parent: 'd'.repeat(64) }, 'accepted'],
    ['a new signing key, named by the old', { signingKey: next.open }, 'accepted'],
  ])('%s → %s', (_what, change, reason) => {
    expect(refusal(signBundle({ ...second, ...change }, site.secret), first)).toBe(reason);
  });

  it('older version → refused, also when it was good once', () => {
    const current = accept(second, site, first);
    expect(refusal(signBundle(founding, site.secret), current)).toBe('older');
    expect(refusal(signBundle({ ...second, siteFile: 'other' }, site.secret), current)).toBe('rival');
  });

  it('new signing key → the next is signed by it, and by the old one no more', () => {
    const rotated = accept({ ...second, signingKey: next.open }, site, first);
    const third = { ...second, signingKey: next.open, version: 3, parent: rotated.hash };
    expect(refusal(signBundle(third, next.secret), rotated)).toBe('accepted');
    expect(refusal(signBundle(third, site.secret), rotated)).toBe('wrong-signature');
  });

  it('signing key stolen → the recovery key begins a new era, past whatever the thief signed', () => {
    const thief = accept({ ...second, version: 900, parent: 'e'.repeat(64), signingKey: stranger.open }, site, first);
    const rescue: BundleContent = { ...second, era: 2, version: 2, parent: first.hash, signingKey: next.open };
    for (const current of [first, thief]) {
      expect(refusal(signBundle(rescue, recovery.secret), current)).toBe('accepted');
      expect(refusal(signBundle(rescue, site.secret), current)).not.toBe('accepted');
      expect(refusal(signBundle({ ...rescue, era: 1, version: 901 }, recovery.secret), current)).toBe('era');
    }
    const saved = accept(rescue, recovery, thief);
    expect(refusal(signBundle({ ...second, version: 901, signingKey: stranger.open }, stranger.secret), saved)).toBe(
      'wrong-signature',
    );
    expect(compareBundles(saved, thief)).toBe(1);
    expect(rosterOf(saved).version).toBeGreaterThan(rosterOf(thief).version);
  });

  it('revoked → off the roster, and its key never comes back within the era', () => {
    const agents = founding.agents.map((agent) => ({ ...agent, revoked: agent.id === 'box-4' }));
    const without = accept({ ...second, agents }, site, first);
    expect(rosterOf(without).agents.map((agent) => agent.id)).toEqual(['box-1', 'box-2', 'box-3']);
    const back = { ...second, version: 3, parent: without.hash };
    expect(refusal(signBundle(back, site.secret), without)).toBe('revoked-key');
    const rekeyed = founding.agents.map((agent) => (agent.id === 'box-4' ? { ...agent, key: pair().open } : agent));
    expect(refusal(signBundle({ ...back, agents: rekeyed }, site.secret), without)).toBe('accepted');
  });

  it.each<[string, Partial<BundleContent>, RegExp]>([
    [
      'two voters of one key',
      { agents: founding.agents.map((a, i) => (i === 1 ? { ...a, key: boxes[0]!.open } : a)) },
      /box-1 and box-2 have one key: two votes in line-3 of one box/,
    ],
    [
      'two agents of one key',
      { agents: founding.agents.map((a, i) => (i === 3 ? { ...a, key: boxes[0]!.open } : a)) },
      /box-1 and box-4 have one key/,
    ],
    ['a voter twice', { cells: [{ ...line, voters: ['box-1', 'box-1', 'box-2'] }] }, /names a voter twice/],
    [
      'a cell without voters',
      { cells: [{ ...line, voters: [] }] },
      /line-3 has no voters, and duty:site\/historian needs their majority/,
    ],
    ['two voters', { cells: [{ ...line, voters: ['box-1', 'box-2'] }] }, /has 2 voters: 1, 3 or 5/],
    ['a voter from nowhere', { cells: [{ ...line, voters: ['box-9'] }] }, /"box-9" of line-3 is no agent/],
    ['an agent twice', { agents: [...founding.agents, founding.agents[0]!] }, /"box-1" stands twice/],
    ['a cell twice', { cells: [line, line] }, /"line-3" stands twice/],
    [
      'an agent in no cell',
      { agents: [{ ...founding.agents[0]!, cell: 'line-9' }, ...founding.agents.slice(1)] },
      /is in no cell/,
    ],
    ['a key that is none', { signingKey: 'AAAA' }, /signingKey: expected an Ed25519 public key/],
    ['version 0', { version: 0 }, /version/],
    ['a founding with a parent', { parent: 'a'.repeat(64) }, /founding bundle/],
    ['a first epoch with a parent', { cells: [{ ...line, parent: 'a'.repeat(64) }] }, /first epoch has no parent/],
    ['an epoch beyond 16 bits', { cells: [{ ...line, epoch: 65_536, parent: 'a'.repeat(64) }] }, /epoch/],
  ])('%s → cannot even be signed, in words', (_what, change, words) => {
    expect(() => signBundle({ ...founding, ...change }, site.secret)).toThrow(words);
  });

  it('without any trusted key → nothing is believed', () => {
    expect(refusal(signBundle(founding, site.secret), undefined, { keys: [] })).toBe('wrong-signature');
    expect(refusal(signBundle(founding, site.secret), undefined, { keys: ['x'] })).toBe('bad-key');
    expect(refusal(signBundle(founding, site.secret), undefined, { keys: [site.open], site: 'seaside' })).toBe(
      'wrong-site',
    );
  });

  it('20 000 random and mutated buffers → a refusal each time, never a throw', () => {
    const good = Buffer.from(signBundle(founding, site.secret));
    const payload = Buffer.from((JSON.parse(good.toString()) as { payload: string }).payload, 'base64url');
    const mutated = (base: Buffer) =>
      fc
        .array(
          fc.tuple(fc.nat({ max: base.length - 1 }), fc.nat({ max: 255 }), fc.constantFrom('set', 'cut', 'insert')),
          {
            minLength: 1,
            maxLength: 6,
          },
        )
        .map((changes) => {
          let bytes = Buffer.from(base);
          for (const [at, byte, how] of changes) {
            if (how === 'cut') bytes = bytes.subarray(0, at);
            else if (how === 'insert')
              bytes = Buffer.concat([bytes.subarray(0, at), Buffer.from([byte]), bytes.subarray(at)]);
            else if (at < bytes.length) bytes[at] = byte;
          }
          return bytes;
        });
    let accepted = 0;
    const judge = (bytes: Uint8Array): void => {
      const verified = verifyBundle(bytes, trust, first);
      if (verified.ok) {
        accepted++;
        // Only white space around the very same content may differ.
        expect(verified.value).toEqual(first);
      }
    };
    fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), judge), { numRuns: 2_000 });
    fc.assert(fc.property(mutated(good), judge), { numRuns: 14_000 });
    // The payload, in an envelope whose shape is right.
    const { protected: head } = JSON.parse(good.toString()) as { protected: string };
    const wrap = (bytes: Buffer): Buffer =>
      Buffer.from(JSON.stringify({ payload: bytes.toString('base64url'), protected: head, signature: 'AA' }));
    fc.assert(
      fc.property(mutated(payload), (bytes) => {
        judge(wrap(bytes));
        const read = readBundle(wrap(bytes));
        if (read.ok) expect(read.value.signedBy).toBe('');
      }),
      { numRuns: 4_000 },
    );
    expect(accepted).toBeLessThan(100);
  });
});
