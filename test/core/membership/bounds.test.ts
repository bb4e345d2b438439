import { expect, test } from 'vitest';
import { bootId } from '../../../agent/base/ids.ts';
import { Random } from '../../../agent/base/random.ts';
import { instant } from '../../../agent/base/time.ts';
import { FailureDetector, maxProbes, maxRelays } from '../../../agent/core/membership/failure-detector.ts';
import { maxGreeted } from '../../../agent/core/membership/greetings.ts';
import { LocalHealth } from '../../../agent/core/membership/local-health.ts';
import type { MembershipMessage } from '../../../agent/core/membership/member.ts';
import { MemberTable } from '../../../agent/core/membership/member-table.ts';
import { Membership, type MembershipOutput, maxCorrected } from '../../../agent/core/membership/membership.ts';
import { lan } from '../../../agent/core/membership/options.ts';
import {
  maxOrigins,
  OriginBudget,
  originBurst,
  originPerSecond,
} from '../../../agent/core/membership/origin-budget.ts';
import { BareMesh } from './bare-mesh.ts';
import { SmallMesh } from './small-mesh.ts';

const size = 2_000;
function large(): {
  member: Membership;
  tell(now: number, from: number, message: MembershipMessage): MembershipOutput[];
} {
  const member = new Membership({
    options: lan,
    self: 0,
    size,
    random: new Random(1),
    boot: bootId('0'.repeat(32)),
    bootCounter: 1,
    incarnation: 0,
  });
  for (let peer = 1; peer < size; peer++) member.presume(peer, 1, 0);
  member.start(instant(0), []);
  return {
    member,
    tell: (now, from, message) => {
      const out: MembershipOutput[] = [];
      member.message(instant(now), from, message, out);
      return out;
    },
  };
}

test('bounds: more probes than there is room for → bounded, the rest is not begun', () => {
  let pings = 0;
  const nothing = () => {};
  const detector = new FailureDetector<undefined>(lan, new LocalHealth(8), {
    ping: () => pings++,
    pingRequest: nothing,
    ack: nothing,
    nack: nothing,
    helpers: () => [],
    unanswered: nothing,
    relayFailed: nothing,
    probeEnded: nothing,
  });
  for (let target = 1; target < size; target++) detector.begin(instant(10), target, undefined);
  expect(detector.load.probes).toBe(maxProbes);
  expect(pings).toBe(maxProbes);
});

test('failure detector: more probes than numbers → they start over, at 1, within three bytes on the wire', () => {
  const seqs: number[] = [];
  const nothing = () => {};
  const detector = new FailureDetector<undefined>(lan, new LocalHealth(8), {
    ping: (_now, _to, seq) => seqs.push(seq),
    pingRequest: nothing,
    ack: nothing,
    nack: nothing,
    helpers: () => [],
    unanswered: nothing,
    relayFailed: nothing,
    probeEnded: nothing,
  });
  let answered = 0;
  for (let i = 0; i < 0x1_0010; i++) {
    detector.begin(instant(i), 1, undefined);
    if (detector.acknowledged(instant(i), 1, seqs.at(-1)!, undefined) === i) answered++;
  }
  expect(answered).toBe(0x1_0010);
  expect(Math.max(...seqs.slice(-0x20), 0)).toBe(0xffff);
  expect(seqs.at(-1)).toBe(0x11);
});

test('membership: a box of sixty dies and all its connections close → its ten observers look, no crowd', () => {
  const mesh = new BareMesh({ size: 60 });
  mesh.run(2_000);
  const pinging = new Set<number>();
  mesh.said = (_at, from, to) => to === 7 && pinging.add(from);
  mesh.up[7] = 0;
  for (let peer = 0; peer < 60; peer++) if (peer !== 7) mesh.disconnect(peer, 7);
  expect(pinging.size).toBe(lan.ringObservers);
  mesh.run(5_000);
  for (let peer = 0; peer < 60; peer++) if (peer !== 7) expect(mesh.members[peer]!.state(7)).toBe('dead');
});

test('bounds: everybody asks for help at once → requests are bounded, the others get no answer', () => {
  const { member, tell } = large();
  let pings = 0;
  for (let peer = 1; peer < size; peer++) {
    pings += tell(10, peer, { kind: 'ping-request', seq: 1, target: (peer % 7) + 1, updates: [] }).length;
  }
  expect(member.load.relays).toBe(maxRelays);
  expect(pings).toBe(maxRelays);
});

test('bounds: everybody greets, wrongly, again and again → greetings and corrections are bounded', () => {
  const { member, tell } = large();
  for (let round = 0; round < 3; round++) {
    for (let peer = 1; peer < size; peer++) {
      const boot = bootId((peer + round).toString(16).padStart(32, '0'));
      tell(10 + round * 100, peer, { kind: 'hello', boot, bootCounter: 0, incarnation: 0, updates: [] });
    }
  }
  expect(member.load.greeted).toBe(maxGreeted);
  expect(member.load.corrected).toBe(maxCorrected);
});

test('bounds: everybody accuses everybody → one suspicion per member, a bounded queue and bounded origins', () => {
  const { member, tell } = large();
  for (let origin = 1; origin < size; origin++) {
    for (let batch = 0; batch < 3; batch++) {
      const updates = Array.from({ length: 16 }, (_, i) => {
        const about = ((origin * 48 + batch * 16 + i) % (size - 1)) + 1;
        return { member: about, state: 'suspect', bootCounter: 1, incarnation: 0, origin } as const;
      });
      tell(10 + origin / 10, origin, { kind: 'gossip', updates });
    }
  }
  expect(member.load.suspected).toBeLessThanOrEqual(size);
  expect(member.load.suspected).toBeGreaterThan(size / 2);
  expect(member.load.queued).toBeLessThanOrEqual(2 * size);
  expect(member.load.origins).toBeLessThanOrEqual(maxOrigins);
});

test('origin budget: one floods → it uses up its own room, the others keep theirs, and it gets more with time', () => {
  const budget = new OriginBudget();
  let passed = 0;
  for (let i = 0; i < 10_000; i++) if (budget.take(instant(0), 1)) passed++;
  expect(passed).toBe(originBurst);
  expect(budget.take(instant(0), 2)).toBe(true);
  for (let i = 0; i < 10_000; i++) if (budget.take(instant(1_000), 1)) passed++;
  expect(passed).toBe(originBurst + originPerSecond);
  for (let origin = 0; origin < 5_000; origin++) budget.take(instant(1_000), origin);
  expect(budget.size).toBeLessThanOrEqual(maxOrigins);
});

test('membership: one origin floods with news → ours of another origin still goes out', () => {
  const { member, tell } = large();
  // 50 messages of 16 updates that are all news, all "from 5".
  for (let i = 0; i < 50; i++) {
    const updates = Array.from({ length: 16 }, (_, k) => ({
      ...({ member: 100 + i * 16 + k, state: 'suspect', bootCounter: 1, incarnation: 0, origin: 5 } as const),
    }));
    tell(10, 5, { kind: 'gossip', updates });
  }
  expect(member.load.queued).toBe(originBurst);
  expect(member.state(100 + 799)).toBe('suspect');
  tell(11, 6, {
    kind: 'gossip',
    updates: [{ member: 7, state: 'alive', bootCounter: 1, incarnation: 3, origin: 7 }],
  });
  expect(member.load.queued).toBe(originBurst + 1);
});

test('membership: dead members → probed slowly, in turn, for ever; nobody is dead → no such probe', () => {
  const mesh = new SmallMesh(6);
  mesh.run(1_000);
  mesh.said.length = 0;
  mesh.run(5_000);
  expect(mesh.said.filter(({ message }) => message.kind === 'ping' && message.seq === 0)).toEqual([]);
  mesh.kill(4);
  mesh.kill(5);
  mesh.run(120_000);
  mesh.said.length = 0;
  mesh.run(20_000);
  for (const dead of [4, 5]) {
    const probes = mesh.said.filter(
      ({ from, to, message }) => from === 0 && to === dead && message.kind === 'ping' && message.seq === 0,
    );
    expect(probes.length).toBeGreaterThanOrEqual(9);
    expect(probes.length).toBeLessThanOrEqual(11);
  }
});

test('member table: counters above a byte → its column widens, nothing is lost', () => {
  const table = new MemberTable(3);
  table.set(0, 'alive', 255, 7);
  table.set(1, 'suspect', 256, 0x7fff_ffff);
  table.set(2, 'dead', 1, 256);
  expect([0, 1, 2].map((m) => [table.state(m), table.boot(m), table.incarnation(m)])).toEqual([
    ['alive', 255, 7],
    ['suspect', 256, 0x7fff_ffff],
    ['dead', 1, 256],
  ]);
  expect(table.reachable).toBe(2);
  table.setAlone(1, true);
  expect([table.state(1), table.publicState(1), table.reachable]).toEqual(['dead', 'suspect', 1]);
  table.setTold(1);
  table.set(1, 'alive', 300, 0);
  expect([table.isAlone(1), table.isTold(1), table.reachable]).toEqual([false, true, 2]);
  table.clearTold();
  expect(table.isTold(1)).toBe(false);
});
