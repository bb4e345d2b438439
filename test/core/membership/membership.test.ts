import { expect, test } from 'vitest';
import { bootId } from '../../../agent/base/ids.ts';
import type { MembershipMessage } from '../../../agent/core/membership/member.ts';
import { lan } from '../../../agent/core/membership/options.ts';
import { SmallMesh } from './small-mesh.ts';

const all = (n: number, state: string) => Array.from({ length: n }, () => state);
const T = lan.probeIntervalMs;

test('membership: greetings on fresh connections → all hold each other alive within 50 ms', () => {
  const mesh = new SmallMesh(5);
  for (let m = 0; m < 5; m++) expect(mesh.states(m)).toEqual(all(4, 'alive'));
  expect(mesh.members.map((m) => m.aliveCount)).toEqual([5, 5, 5, 5, 5]);
});

test('membership: calm → one ping and one answer per member and interval, one comparison per second, no suspicion', () => {
  const mesh = new SmallMesh(5, { syncIntervalMs: lan.syncIntervalMs });
  mesh.run(2_000);
  mesh.said.length = 0;
  mesh.run(10_000);
  const kinds = new Set(mesh.said.map(({ message }) => message.kind));
  expect([...kinds].sort()).toEqual(['ack', 'ping', 'sync']);
  expect(mesh.said.length / 5 / 10).toBeGreaterThan(9.5);
  expect(mesh.said.length / 5 / 10).toBeLessThan(11.5);
});

test('membership: a member is killed without a word → all hold it dead, half of the times within 1.5 s, always within 2.5 s', () => {
  const times: number[] = [];
  for (let seed = 1; seed <= 40; seed++) {
    const mesh = new SmallMesh(5, {}, seed);
    mesh.run(1_000 + seed * 17);
    mesh.changes.length = 0;
    const killedAt = mesh.now;
    mesh.kill(3);
    mesh.run(4_000);
    expect(mesh.states(3)).toEqual(all(4, 'dead'));
    const deaths = mesh.changes.filter((c) => c.to === 'dead');
    expect(deaths.map((c) => c.member)).toEqual([3, 3, 3, 3]);
    times.push(Math.max(...deaths.map((c) => c.at)) - killedAt);
  }
  times.sort((a, b) => a - b);
  expect(times[20]).toBeLessThan(1_500);
  expect(times[39]).toBeLessThan(2_500);
});

test('membership: the connection closes when a member dies → known dead sooner than the probes alone would find', () => {
  const mesh = new SmallMesh(5);
  mesh.run(1_000);
  const killedAt = mesh.now;
  mesh.kill(3);
  for (const peer of [0, 1, 2, 4]) mesh.disconnect(peer, 3);
  mesh.run(3 * T + 600 + 150);
  expect(mesh.states(3)).toEqual(all(4, 'dead'));
  expect(mesh.now - killedAt).toBeLessThan(1_400);
});

test('membership: a connection closes but its member lives → verified in private, nobody hears a suspicion', () => {
  const mesh = new SmallMesh(5);
  mesh.run(1_000);
  mesh.changes.length = 0;
  mesh.loses = (from, to) => (from === 0 && to === 3) || (from === 3 && to === 0);
  mesh.disconnect(0, 3);
  mesh.run(5_000);
  expect(mesh.changes).toEqual([]);
  expect(mesh.said.some(({ message }) => message.updates.some((u) => u.state === 'suspect'))).toBe(false);
});

test('membership: the story of a death → pings, helpers, two private rounds, suspicion to the suspect, death', () => {
  const mesh = new SmallMesh(5);
  mesh.run(1_000);
  mesh.said.length = 0;
  mesh.changes.length = 0;
  mesh.kill(4);
  mesh.disconnect(0, 4);
  const begun = mesh.now;
  mesh.run(4_000);

  const suspectedAt = mesh.changes.find((c) => c.by === 0 && c.to === 'suspect')!.at;
  const first = mesh.said.find(({ from, to, message }) => from === 0 && to === 4 && message.kind === 'ping')!.message;
  const seq = first.kind === 'ping' ? first.seq : -1;
  // The probe of our own, without the pings that 0 sends for others who look for 4 as well.
  const transcript = mesh.said
    .filter(({ from, at, message }) => from === 0 && at <= suspectedAt && 'seq' in message && message.seq === seq)
    .filter(({ message }) => message.kind === 'ping' || message.kind === 'ping-request')
    .map(({ at, message }) => `${Math.round(at - begun)} ${message.kind}`);
  expect(transcript).toEqual([
    ...['0 ping', '30 ping', '60 ping', '90 ping-request', '90 ping-request', '90 ping-request'],
    ...['200 ping', '230 ping', '260 ping', '290 ping-request', '290 ping-request', '290 ping-request'],
    ...['400 ping', '430 ping', '460 ping', '490 ping-request', '490 ping-request', '490 ping-request'],
  ]);
  expect(Math.round(suspectedAt - begun)).toBe(600);
  const told = mesh.said.find(
    ({ from, to, at, message }) => from === 0 && to === 4 && at === suspectedAt && message.kind === 'gossip',
  );
  expect(told?.message.updates).toEqual([{ member: 4, state: 'suspect', bootCounter: 1, incarnation: 0, origin: 0 }]);
  // Helpers who reached nobody said so, which keeps the local health of the asker whole.
  const nacks = mesh.said.filter(({ to, message, at }) => to === 0 && message.kind === 'nack' && at <= suspectedAt);
  expect(nacks.length).toBe(9);
  expect(mesh.members[0]!.localHealth).toBe(0);
  const story = mesh.changes.filter((c) => c.by === 0).map((c) => `${c.from} → ${c.to}`);
  expect(story).toEqual(['alive → suspect', 'suspect → dead']);
});

test('membership: one ping of three is lost → answered within the probe, no helper is asked', () => {
  const mesh = new SmallMesh(5);
  mesh.run(1_000);
  mesh.said.length = 0;
  const lost = new Set<number>();
  mesh.loses = (from, to, message) => {
    if (message.kind !== 'ping' || from !== 0 || lost.has(message.seq)) return false;
    lost.add(message.seq);
    return to >= 0;
  };
  mesh.run(3_000);
  expect(lost.size).toBeGreaterThan(5);
  expect(mesh.said.filter(({ message }) => message.kind === 'ping-request')).toEqual([]);
});

test('membership: the direct way is cut, helpers reach it → stays alive, and nothing is published', () => {
  const mesh = new SmallMesh(5);
  mesh.loses = (from, to) => (from === 1 && to === 2) || (from === 2 && to === 1);
  mesh.run(10_000);
  expect(mesh.states(2)).toEqual(all(4, 'alive'));
  expect(mesh.said.some(({ message }) => message.kind === 'ping-request')).toBe(true);
  expect(mesh.changes.filter((c) => c.to === 'suspect')).toEqual([]);
});

test('membership: a member is suspected and lives → it raises its incarnation, persists it, answers straight back, and all drop the suspicion', () => {
  const mesh = new SmallMesh(5);
  mesh.run(1_000);
  mesh.said.length = 0;
  mesh.changes.length = 0;
  const accusation = { member: 2, state: 'suspect', bootCounter: 1, incarnation: 0, origin: 4 } as const;
  for (const to of [0, 1, 2, 3]) mesh.tell(to, 4, { kind: 'gossip', updates: [accusation] });
  expect(mesh.raised).toEqual([{ at: mesh.now, by: 2, bootCounter: 1, incarnation: 1 }]);
  const answer = mesh.said.find(({ from, to }) => from === 2 && to === 4);
  expect(answer?.message).toMatchObject({ kind: 'gossip', updates: [{ member: 2, state: 'alive', incarnation: 1 }] });
  expect(mesh.members[2]!.localHealth).toBe(1);
  mesh.run(1_000);
  expect(mesh.states(2)).toEqual(all(4, 'alive'));
  expect(mesh.members.map((m) => m.incarnationOf(2))).toEqual([1, 1, 1, 1, 1]);
  expect(mesh.changes.filter((c) => c.to === 'dead')).toEqual([]);
});

test('membership: an agent that sends but hears nothing → accuses nobody in public; its own doubts end when it hears again', () => {
  const mesh = new SmallMesh(5);
  mesh.run(1_000);
  mesh.said.length = 0;
  mesh.changes.length = 0;
  mesh.loses = (_from, to) => to === 0;
  mesh.run(15_000);
  const accused = mesh.said.filter(
    ({ from, message }) => from === 0 && message.updates.some((u) => u.state === 'suspect' || u.state === 'dead'),
  );
  expect(accused).toEqual([]);
  for (let m = 1; m < 5; m++) {
    expect(
      mesh.members
        .slice(1)
        .filter((_, i) => i + 1 !== m)
        .map((x) => x.state(m)),
    ).toEqual(all(3, 'alive'));
    expect(mesh.members[0]!.state(m)).toBe('dead');
  }
  mesh.loses = () => false;
  mesh.run(3_000);
  for (let m = 1; m < 5; m++) expect(mesh.states(m)).toEqual(all(4, 'alive'));
  // Only the deaf one had something to refute: it had not answered its peers.
  expect(mesh.raised.filter(({ by }) => by !== 0)).toEqual([]);
});

test('membership: three of five die at once → the two survivors know it, later but surely', () => {
  const mesh = new SmallMesh(5);
  mesh.run(1_000);
  for (const m of [2, 3, 4]) mesh.kill(m);
  mesh.run(9_000);
  for (const m of [2, 3, 4]) expect(mesh.states(m)).toEqual(['dead', 'dead']);
  expect(mesh.states(0)).toEqual(['alive']);
});

test('membership: two members, one dies → the other knows it', () => {
  const mesh = new SmallMesh(2);
  mesh.run(1_000);
  mesh.kill(1);
  mesh.run(2_500);
  expect(mesh.states(1)).toEqual(['dead']);
});

test('membership: a timer comes late by more than half an interval → nothing is judged, local health rises, answers that waited are read first', () => {
  const mesh = new SmallMesh(5);
  mesh.run(1_000);
  mesh.changes.length = 0;
  mesh.said.length = 0;
  mesh.run(400, new Set([0]));
  const healthBefore = mesh.members[0]!.localHealth;
  mesh.run(1);
  expect(mesh.members[0]!.localHealth).toBe(healthBefore + 1);
  mesh.run(2_000);
  expect(mesh.changes).toEqual([]);
  expect(mesh.said.filter(({ message }) => message.updates.some((u) => u.state === 'suspect'))).toEqual([]);
});

test('membership: local health is poor → probes take longer, and answered ones mend it', () => {
  const mesh = new SmallMesh(5);
  mesh.run(1_000);
  const begun = () =>
    new Set(mesh.said.flatMap(({ from, message: m }) => (from === 0 && m.kind === 'ping' ? [m.seq] : []))).size;
  mesh.said.length = 0;
  mesh.run(10 * T);
  const calm = begun();
  mesh.loses = (_from, to) => to === 0;
  mesh.run(10 * T);
  expect(mesh.members[0]!.localHealth).toBeGreaterThanOrEqual(2);
  mesh.said.length = 0;
  mesh.run(10 * T);
  expect(begun()).toBeLessThan(calm / 2);
  mesh.loses = () => false;
  mesh.run(20_000);
  expect(mesh.members[0]!.localHealth).toBe(0);
});

test('membership: the suspect itself speaks to us → we do not declare it dead, the others are free to', () => {
  const mesh = new SmallMesh(3);
  mesh.run(1_000);
  // Nothing reaches 2, so it never refutes; but 0 still hears it.
  mesh.loses = (from, to) => to === 2 || (from === 2 && to === 1);
  mesh.run(2_500);
  expect(
    mesh.changes.filter((c) => c.by === 0 && c.member === 2 && c.to === 'dead' && !c.why.startsWith('told')),
  ).toEqual([]);
});

test('membership: parted for a minute, then joined → both sides find each other without a restart, and agree', () => {
  const mesh = new SmallMesh(5);
  mesh.run(1_000);
  const left = (m: number) => m < 2;
  mesh.loses = (from, to) => left(from) !== left(to);
  mesh.run(60_000);
  expect(mesh.members[0]!.state(1)).toBe('alive');
  expect(mesh.members[0]!.state(3)).toBe('dead');
  expect(mesh.members[4]!.state(0)).toBe('dead');
  mesh.loses = () => false;
  mesh.run(10_000);
  for (let m = 0; m < 5; m++) {
    expect(mesh.states(m)).toEqual(all(4, 'alive'));
    expect(new Set(mesh.members.map((x) => x.incarnationOf(m))).size).toBe(1);
  }
});

test('membership: a member leaves → all hold it left at once, nobody suspects it', () => {
  const mesh = new SmallMesh(5);
  mesh.run(1_000);
  mesh.changes.length = 0;
  mesh.leave(2);
  mesh.kill(2);
  mesh.run(5_000);
  expect(mesh.states(2)).toEqual(all(4, 'left'));
  expect(mesh.changes.map((c) => c.to)).toEqual(all(4, 'left'));
});

test('membership: dead, then back with a new boot → alive again at incarnation 0, although the old boot died at a higher one', () => {
  const mesh = new SmallMesh(5);
  mesh.run(1_000);
  mesh.tell(3, 1, {
    kind: 'gossip',
    updates: [{ member: 3, state: 'suspect', bootCounter: 1, incarnation: 6, origin: 1 }],
  });
  mesh.run(500);
  mesh.kill(3);
  mesh.run(4_000);
  expect(mesh.states(3)).toEqual(all(4, 'dead'));
  expect(mesh.members[0]!.incarnationOf(3)).toBe(7);
  mesh.restart(3, 2);
  mesh.run(200);
  expect(mesh.states(3)).toEqual(all(4, 'alive'));
  expect(mesh.members[0]!.bootCounterOf(3)).toBe(2);
  expect(mesh.members[0]!.incarnationOf(3)).toBe(0);
});

test('membership: a store was lost and counts boots from the start → it jumps above what the others remember', () => {
  const mesh = new SmallMesh(3);
  mesh.restart(2, 9);
  mesh.run(1_000);
  mesh.kill(2);
  mesh.run(4_000);
  mesh.restart(2, 1);
  mesh.run(3_000);
  expect(mesh.states(2)).toEqual(all(2, 'alive'));
  expect(mesh.members[2]!.bootCounterOf(2)).toBeGreaterThan(9);
  expect(mesh.rejected.some(({ why }) => why.includes('older'))).toBe(true);
});

test('membership: a store was lost after the first boot and counts 1 again → it goes on under a boot of its own', () => {
  const mesh = new SmallMesh(3);
  mesh.run(1_000);
  const former = mesh.members[2]!.bootCounterOf(2);
  mesh.kill(2);
  mesh.run(4_000);
  mesh.restart(2, former);
  mesh.run(3_000);
  expect(mesh.states(2)).toEqual(all(2, 'alive'));
  expect(mesh.members[2]!.bootCounterOf(2)).toBeGreaterThan(former);
  for (const other of [0, 1]) expect(mesh.members[other]!.bootCounterOf(2)).toBeGreaterThan(former);
});

test('membership: two lives under one boot counter → the second greeting is rejected and named', () => {
  const mesh = new SmallMesh(3);
  mesh.tell(0, 2, { kind: 'hello', boot: bootId('f'.repeat(32)), bootCounter: 1, incarnation: 0, updates: [] });
  expect(mesh.rejected).toEqual([{ at: mesh.now, by: 0, why: 'hello: two lives of one agent both count boot 1' }]);
});

test('membership: "dead" from a stranger\'s memory in a greeting → merges as suspicion, so that the living can refute', () => {
  const mesh = new SmallMesh(5);
  mesh.run(1_000);
  mesh.changes.length = 0;
  const dead = { member: 3, state: 'dead', bootCounter: 1, incarnation: 0, origin: 1 } as const;
  mesh.tell(0, 1, {
    kind: 'hello',
    boot: bootId((1).toString(16).padStart(32, '0')),
    bootCounter: 1,
    incarnation: 0,
    updates: [dead],
  });
  expect(mesh.members[0]!.state(3)).toBe('suspect');
  mesh.run(2_000);
  expect(mesh.states(3)).toEqual(all(4, 'alive'));
});

test('membership: updates that no honest agent sends → rejected and counted, the view stays', () => {
  const mesh = new SmallMesh(3);
  const good = { member: 1, state: 'dead', bootCounter: 1, incarnation: 0, origin: 2 } as const;
  const bad: MembershipMessage[] = [
    { kind: 'gossip', updates: [{ ...good, member: 99 }] },
    { kind: 'gossip', updates: [{ ...good, incarnation: 2 ** 40 }] },
    { kind: 'ping', seq: 1, digestVersion: 0, updates: [{ ...good, origin: -1 }] },
    { kind: 'hello', boot: bootId('0'.repeat(32)), bootCounter: 2 ** 40, incarnation: 0, updates: [] },
    { kind: 'ping-request', seq: 1, target: 77, updates: [] },
  ];
  for (const message of bad) mesh.tell(0, 2, message);
  mesh.tell(0, 99, { kind: 'gossip', updates: [good] });
  expect(mesh.rejected.length).toBe(5);
  expect(mesh.members[0]!.state(1)).toBe('alive');
});

test('membership: accused without end by a liar → one bump per second after a small burst, and it stays alive', () => {
  const mesh = new SmallMesh(3);
  mesh.run(1_000);
  for (let i = 0; i < 200; i++) {
    const incarnation = mesh.members[1]!.incarnationOf(1);
    mesh.tell(1, 2, {
      kind: 'gossip',
      updates: [{ member: 1, state: 'suspect', bootCounter: 1, incarnation, origin: 2 }],
    });
    mesh.run(50);
  }
  expect(mesh.raised.length).toBeGreaterThan(5);
  expect(mesh.raised.length).toBeLessThanOrEqual(3 + 11);
  const incarnations = mesh.raised.map((r) => r.incarnation);
  expect(incarnations).toEqual(incarnations.toSorted((a, b) => a - b));
});

test('membership: 25 % of all messages lost for two minutes → nobody is held dead, and the load stays small', () => {
  const mesh = new SmallMesh(8);
  let n = 1;
  mesh.loses = () => (n = (n * 48_271) % 0x7fff_ffff) / 0x7fff_ffff < 0.25;
  mesh.said.length = 0;
  mesh.run(120_000);
  expect(mesh.changes.filter((c) => c.to === 'dead')).toEqual([]);
  expect(mesh.said.length / 8 / 120).toBeLessThan(30);
});

test('membership: everything that is said stays within the byte budget, on average', () => {
  const mesh = new SmallMesh(6, { bytesPerSecond: 1_000 });
  mesh.said.length = 0;
  for (let i = 0; i < 100; i++) {
    // A storm of news: every member bumps again and again in the eyes of 0.
    const updates = [1, 2, 3, 4, 5].map(
      (member) => ({ member, state: 'alive', bootCounter: 1, incarnation: i + 1, origin: member }) as const,
    );
    mesh.tell(0, 1, { kind: 'gossip', updates });
    mesh.run(100);
  }
  const bytes = mesh.said
    .filter(({ from }) => from === 0)
    .reduce((sum, { message }) => sum + 8 + 9 * message.updates.length, 0);
  expect(bytes / 10).toBeLessThan(1_300);
});
