import { generateKeyPairSync } from 'node:crypto';
import { expect, test } from 'vitest';
import { agentId } from '../../agent/base/ids.ts';
import type { MemberUpdate } from '../../agent/core/membership/member.ts';
import { decodeDirect, encodeDirect } from '../../agent/wire/direct.ts';
import { ed25519Voucher } from '../../agent/wire/statement.ts';

const names = ['press-1', 'press-2', 'oven'].map(agentId);
const pairs = names.map(() => generateKeyPairSync('ed25519'));
const keyOf = (name: string) => pairs[names.indexOf(agentId(name))]?.publicKey;
const voucher = (self: number, site = 'plant', agentIds = names, known: typeof keyOf = keyOf) =>
  ed25519Voucher({ site, agentIds, key: pairs[self]!.privateKey, keyOf: known });

const said: MemberUpdate = { member: 2, state: 'suspect', bootCounter: 4, incarnation: 1, origin: 1 };
const signed: MemberUpdate = { ...said, signature: voucher(1).sign(said) };

test('a signed statement → verified by everybody, and signed alike every time', () => {
  expect(voucher(0).verify(signed)).toBe(true);
  expect(voucher(2).verify(signed)).toBe(true);
  expect(voucher(1).sign(said)).toEqual(signed.signature);
});

test.each<[string, Partial<MemberUpdate>]>([
  ['another member', { member: 0 }],
  ['another state', { state: 'dead' }],
  ['another life', { bootCounter: 5 }],
  ['another incarnation', { incarnation: 0 }],
  ['another origin', { origin: 0 }],
  ['an origin that does not exist', { origin: 7 }],
  ['no bytes', { signature: new Uint8Array(0) }],
  ['other bytes', { signature: new Uint8Array(64).fill(1) }],
])('the same signature with %s → refused', (_what, change) => {
  expect(voucher(0).verify({ ...signed, ...change })).toBe(false);
});

test('no signature, another site, a revoked origin → refused', () => {
  expect(voucher(0).verify(said)).toBe(false);
  expect(voucher(0, 'other').verify(signed)).toBe(false);
  expect(voucher(0, 'plant', names, () => undefined).verify(signed)).toBe(false);
});

test('another numbering of the same agents → the statement holds for the same names', () => {
  const renumbered = { ...signed, member: 0, origin: 2 };
  expect(voucher(0, 'plant', [names[2]!, names[0]!, names[1]!]).verify(renumbered)).toBe(true);
});

test('over the wire → still verified; 66 bytes for the signature', () => {
  const [plain, whole] = [said, signed].map((update) => encodeDirect({ kind: 'gossip', updates: [update] }));
  if (!plain?.ok || !whole?.ok) throw new Error('not encoded');
  expect(whole.value.length - plain.value.length).toBe(66);
  const back = decodeDirect(whole.value, { agents: 3, duties: 0, checks: 0, models: 0 });
  expect(back.ok && 'updates' in back.value && voucher(0).verify(back.value.updates[0]!)).toBe(true);
});
