import { expect, test } from 'vitest';
import { hashOfEntry } from '../../../agent/base/anti-entropy.ts';
import { bootId } from '../../../agent/base/ids.ts';
import { Random } from '../../../agent/base/random.ts';
import { instant } from '../../../agent/base/time.ts';
import type { MembershipMessage, MemberUpdate } from '../../../agent/core/membership/member.ts';
import { Membership, type MembershipOutput } from '../../../agent/core/membership/membership.ts';
import { lan } from '../../../agent/core/membership/options.ts';
import {
  forgeriesPerSecond,
  forgeryBurst,
  maxForgers,
  type Voucher,
} from '../../../agent/core/membership/statements.ts';
import { encodedSize } from '../../../agent/wire/direct.ts';
import { SmallMesh } from './small-mesh.ts';

/** A keyed hash in the place of Ed25519: as unforgeable for those who play by the rules, and counted. */
class Notary {
  signed = 0;
  verified = 0;

  readonly of = (self: number): Voucher => ({
    sign: (update) => {
      if (update.origin !== self) throw new Error('nobody signs for another');
      this.signed++;
      return signature(update);
    },
    verify: (update) => {
      this.verified++;
      return update.signature !== undefined && Buffer.compare(update.signature, signature(update)) === 0;
    },
  });
}

const states = ['alive', 'suspect', 'dead', 'left'];
function signature({ member, state, bootCounter, incarnation, origin }: MemberUpdate): Uint8Array {
  const bytes = new Uint32Array(16);
  for (let i = 0; i < 16; i++) {
    const salted = hashOfEntry(origin * 31 + i, member * 8 + states.indexOf(state), 77);
    bytes[i] = hashOfEntry(salted, bootCounter, incarnation);
  }
  return new Uint8Array(bytes.buffer);
}

const sign = (update: MemberUpdate): MemberUpdate => ({ ...update, signature: signature(update) });

function signedMesh(size: number, seed = 1): { mesh: SmallMesh; notary: Notary } {
  const notary = new Notary();
  return { mesh: new SmallMesh(size, { syncIntervalMs: lan.syncIntervalMs }, seed, notary.of), notary };
}

const views = (mesh: SmallMesh, of: number) => new Set(mesh.states(of));

test('signed: killed, come back, left, cut off and healed → the same story as without signatures', () => {
  for (let seed = 1; seed <= 3; seed++) {
    const { mesh } = signedMesh(7, seed);
    mesh.run(1_000);
    mesh.kill(3);
    mesh.run(4_000);
    expect(views(mesh, 3)).toEqual(new Set(['dead']));
    mesh.restart(3, 2);
    mesh.run(1_000);
    expect(views(mesh, 3)).toEqual(new Set(['alive']));
    mesh.leave(5);
    mesh.run(500);
    expect(views(mesh, 5)).toEqual(new Set(['left']));
    mesh.loses = (from, to) => from < 3 !== to < 3;
    mesh.run(10_000);
    expect(mesh.members[0]!.state(4)).toBe('dead');
    mesh.loses = () => false;
    mesh.run(10_000);
    for (const member of [0, 1, 2, 3, 4, 6]) expect(views(mesh, member)).toEqual(new Set(['alive']));
    expect(mesh.rejected).toEqual([]);
  }
});

test('signed: a live member that is accused falsely → refutes, and everybody believes the refutation', () => {
  const { mesh } = signedMesh(6);
  mesh.run(1_000);
  const accusation = sign({ member: 2, state: 'suspect', bootCounter: 1, incarnation: 0, origin: 4 });
  mesh.tell(0, 4, { kind: 'gossip', updates: [accusation] });
  mesh.run(1_500);
  expect(views(mesh, 2)).toEqual(new Set(['alive']));
  expect(mesh.members.map((member) => member.incarnationOf(2))).toEqual([1, 1, 1, 1, 1, 1]);
});

test('signed: two that cannot speak to each other → hold each other alive by what others pass on', () => {
  const { mesh } = signedMesh(6, 4);
  mesh.kill(1);
  mesh.run(6_000);
  mesh.loses = (from, to) => (from === 0 && to === 1) || (from === 1 && to === 0);
  mesh.restart(1, 2);
  mesh.run(4_000);
  expect(mesh.members[0]!.state(1)).toBe('alive');
  expect(mesh.members[0]!.bootCounterOf(1)).toBe(2);
  expect(mesh.members[1]!.state(0)).toBe('alive');
});

test('signed: a store that was lost → its member hears its old numbers and jumps above them', () => {
  const { mesh } = signedMesh(5);
  mesh.run(500);
  mesh.kill(2);
  mesh.restart(2, 40);
  mesh.run(3_000);
  mesh.kill(2);
  mesh.run(6_000);
  mesh.restart(2, 1);
  mesh.run(5_000);
  expect(mesh.members[0]!.bootCounterOf(2)).toBeGreaterThan(40);
  expect(views(mesh, 2)).toEqual(new Set(['alive']));
});

test.each<[string, MemberUpdate, RegExp]>([
  [
    'another brought back to life, in its name, with some signature',
    {
      ...sign({ member: 2, state: 'alive', bootCounter: 8, incarnation: 0, origin: 2 }),
      bootCounter: 9,
    },
    /signature is not that of 2/,
  ],
  [
    "another brought back to life, in the teller's own name",
    sign({ member: 2, state: 'alive', bootCounter: 9, incarnation: 0, origin: 4 }),
    /said by 4/,
  ],
  ["another's farewell", sign({ member: 2, state: 'left', bootCounter: 1, incarnation: 0, origin: 4 }), /said by 4/],
  [
    'a death that somebody else is said to have found, with the signature of its bringer',
    { ...sign({ member: 2, state: 'dead', bootCounter: 1, incarnation: 0, origin: 4 }), origin: 3 },
    /signature is not that of 3/,
  ],
])('signed: %s → not believed, and shown with the one who brought it', (_what, lie, why) => {
  const { mesh } = signedMesh(6);
  mesh.run(1_000);
  const [state, boot] = [mesh.members[0]!.state(2), mesh.members[0]!.bootCounterOf(2)];
  mesh.rejected.length = 0;
  mesh.tell(0, 4, { kind: 'gossip', updates: [lie] });
  expect([mesh.members[0]!.state(2), mesh.members[0]!.bootCounterOf(2)]).toEqual([state, boot]);
  expect(mesh.rejected).toHaveLength(1);
  expect(mesh.rejected[0]!.why).toMatch(why);
  mesh.run(2_000);
  expect(mesh.changes.filter((change) => change.to === 'dead')).toEqual([]);
});

/** One member alone, with what it says, and a clock of its own. */
function alone(size: number) {
  const notary = new Notary();
  const member = new Membership({
    options: lan,
    self: 0,
    size,
    random: new Random(1),
    boot: bootId('0'.repeat(32)),
    bootCounter: 1,
    incarnation: 0,
    voucher: notary.of(0),
  });
  for (let peer = 1; peer < size; peer++) member.presume(peer, 1, 0);
  member.start(instant(0), []);
  const tell = (at: number, from: number, message: MembershipMessage) => {
    const out: MembershipOutput[] = [];
    member.message(instant(at), from, message, out);
    return out;
  };
  return { member, tell, notary };
}

test.each<[string, MemberUpdate]>([
  ['another brought back to life', { member: 2, state: 'alive', bootCounter: 9, incarnation: 0, origin: 2 }],
  [
    'a death that a third is said to have found',
    { member: 2, state: 'dead', bootCounter: 1, incarnation: 0, origin: 3 },
  ],
  ['a doubt about ourselves', { member: 0, state: 'suspect', bootCounter: 1, incarnation: 0, origin: 3 }],
])('signed: %s, by numbers alone → nothing changes, and the teller is asked for it in full, once', (_what, hint) => {
  const { member, tell } = alone(6);
  const out = tell(10, 4, { kind: 'gossip', updates: [hint, hint] });
  expect(out).toEqual([{ kind: 'send', to: 4, message: { kind: 'gossip', wants: [hint.member], updates: [] } }]);
  expect([member.state(2), member.bootCounterOf(2), member.incarnationOf(0)]).toEqual(['alive', 1, 0]);
  // What comes then is judged like anything else.
  const forged = { ...hint, signature: new Uint8Array(64) };
  expect(tell(11, 4, { kind: 'gossip', updates: [forged] }).map(({ kind }) => kind)).toEqual(['message-rejected']);
  tell(12, 4, { kind: 'gossip', updates: [sign(hint)] });
  if (hint.member === 0) expect(member.incarnationOf(0)).toBe(1);
  else expect([member.state(2), member.bootCounterOf(2)]).toEqual([hint.state, hint.bootCounter]);
});

test('signed: numbers that we hold, or older ones → nobody is asked', () => {
  const { tell } = alone(6);
  const asked = [
    { member: 2, state: 'alive', bootCounter: 1, incarnation: 0, origin: 2 },
    { member: 2, state: 'suspect', bootCounter: 0, incarnation: 5, origin: 3 },
  ] as const;
  for (const update of asked) expect(tell(10, 4, { kind: 'gossip', updates: [update] })).toEqual([]);
});

test('signed: asked for what we said by numbers → told in full; without end → no more than the budget of bytes', () => {
  const { tell, member } = alone(50);
  const doubts = Array.from({ length: 40 }, (_, i): MemberUpdate => {
    return { member: i + 5, state: 'suspect', bootCounter: 1, incarnation: 0, origin: 1 };
  });
  for (const doubt of doubts) tell(10, 1, { kind: 'gossip', updates: [sign(doubt)] });
  expect(member.state(30)).toBe('suspect');
  const [answer] = tell(20, 2, { kind: 'gossip', wants: [30], updates: [] });
  expect(answer).toEqual({ kind: 'send', to: 2, message: { kind: 'gossip', updates: [sign(doubts[25]!)] } });
  let bytes = 0;
  for (let at = 1_000; at < 11_000; at++) {
    const wants = doubts.map((doubt) => doubt.member);
    for (const output of tell(at, 2, { kind: 'gossip', wants, updates: [] })) {
      if (output.kind === 'send') bytes += encodedSize(output.message);
    }
  }
  // Ten seconds, one of burst, half a one of debt, and the last answer.
  expect(bytes).toBeLessThan(12 * lan.bytesPerSecond);
  expect(bytes).toBeGreaterThan(8 * lan.bytesPerSecond);
});

test('signed: all full copies of a death but the first are lost → its numbers bring it to everybody', () => {
  const { mesh } = signedMesh(12);
  mesh.run(1_000);
  let full = 0;
  mesh.loses = (_from, _to, message) =>
    message.kind !== 'sync-entries' &&
    !('wants' in message) &&
    message.updates.some((u) => u.member === 5 && u.state === 'dead' && u.signature !== undefined && ++full % 3 !== 0);
  mesh.kill(5);
  mesh.run(6_000);
  expect(full).toBeGreaterThan(3);
  expect(views(mesh, 5)).toEqual(new Set(['dead']));
});

test('signed: votes for a suspicion that nobody cast → the time-out does not fall', () => {
  const { mesh } = signedMesh(8);
  mesh.run(1_000);
  mesh.loses = (from, to) => from === 2 || to === 2;
  const doubt: MemberUpdate = { member: 2, state: 'suspect', bootCounter: 1, incarnation: 0, origin: 4 };
  mesh.tell(0, 4, { kind: 'gossip', updates: [sign(doubt)] });
  const before = mesh.rejected.length;
  for (const origin of [3, 5, 6]) {
    mesh.tell(0, 4, { kind: 'gossip', updates: [{ ...sign(doubt), origin }] });
  }
  expect(mesh.rejected.length - before).toBe(3);
});

test('signed: ten thousand forgeries from one → few are looked at, and memory is bounded', () => {
  const { mesh, notary } = signedMesh(4);
  mesh.run(500);
  const before = notary.verified;
  for (let i = 0; i < 10_000; i++) {
    const forged: MemberUpdate = {
      ...{ member: 2, state: 'alive', bootCounter: 2 + i, incarnation: 0, origin: 2 },
      signature: new Uint8Array(64),
    };
    mesh.tell(0, 3, { kind: 'gossip', updates: [forged] });
    if (i % 5_000 === 4_999) mesh.run(1_000);
  }
  expect(notary.verified - before).toBeLessThanOrEqual(forgeryBurst + 3 * forgeriesPerSecond);
  expect(mesh.members[0]!.bootCounterOf(2)).toBe(1);
  expect(mesh.members[0]!.load.forgers).toBe(1);
});

test('signed: forgeries from more than are remembered → the longest ago gives way', () => {
  const notary = new Notary();
  const size = maxForgers + 100;
  const large = new Membership({
    options: lan,
    self: 0,
    size,
    random: new Random(1),
    boot: bootId('0'.repeat(32)),
    bootCounter: 1,
    incarnation: 0,
    voucher: notary.of(0),
  });
  for (let from = 1; from < size; from++) {
    const member = from === 1 ? 2 : 1;
    const forged: MemberUpdate = { member, state: 'dead', bootCounter: 1, incarnation: 0, origin: member };
    const message: MembershipMessage = { kind: 'gossip', updates: [{ ...forged, signature: new Uint8Array(64) }] };
    large.message(instant(1), from, message, []);
  }
  expect(large.load.forgers).toBe(maxForgers);
});

test('signed: a calm site → idle pings carry no signature, nothing is signed or verified', () => {
  const { mesh, notary } = signedMesh(6);
  mesh.run(5_000);
  const [signed, verified] = [notary.signed, notary.verified];
  mesh.forget();
  mesh.run(10_000);
  expect([notary.signed, notary.verified]).toEqual([signed, verified]);
  expect(mesh.said.some(({ message }) => message.updates.some((update) => update.signature))).toBe(false);
  const pings = mesh.said.filter(({ message }) => message.kind === 'ping');
  const bytes = pings.reduce((sum, { message }) => sum + encodedSize(message), 0);
  expect(bytes / pings.length).toBeLessThan(10);
});

test('signed: a member dies → each agent looks at a few signatures, not at each copy', () => {
  const { mesh, notary } = signedMesh(10);
  mesh.run(3_000);
  const before = notary.verified;
  mesh.kill(3);
  mesh.run(6_000);
  expect(views(mesh, 3)).toEqual(new Set(['dead']));
  const copies = mesh.said.reduce((sum, { message }) => sum + message.updates.filter((u) => u.signature).length, 0);
  expect((notary.verified - before) / 9).toBeLessThan(8);
  expect(copies).toBeGreaterThan(notary.verified - before);
});
