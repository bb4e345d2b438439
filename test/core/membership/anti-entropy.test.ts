import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Buckets, maxSyncEntries } from '../../../agent/base/anti-entropy.ts';
import { bootId } from '../../../agent/base/ids.ts';
import { Random } from '../../../agent/base/random.ts';
import { instant } from '../../../agent/base/time.ts';
import type { MemberState, MembershipMessage } from '../../../agent/core/membership/member.ts';
import { MemberTable } from '../../../agent/core/membership/member-table.ts';
import { Membership, type MembershipOutput } from '../../../agent/core/membership/membership.ts';
import { lan } from '../../../agent/core/membership/options.ts';
import { encodeDirect, encodedSize } from '../../../agent/wire/direct.ts';
import { SmallMesh } from './small-mesh.ts';

const compared = { syncIntervalMs: lan.syncIntervalMs };

test('buckets: any size → each entry in one bucket, no bucket wider than a message', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 9_000 }), (size) => {
      const buckets = new Buckets(size);
      let entries = 0;
      for (let bucket = 0; bucket < buckets.count; bucket++) {
        expect(buckets.width(bucket)).toBeGreaterThan(0);
        expect(buckets.width(bucket)).toBeLessThanOrEqual(maxSyncEntries);
        expect(buckets.entries([bucket])).toHaveLength(buckets.width(bucket));
        entries += buckets.width(bucket);
      }
      expect(entries).toBe(size);
      expect(buckets.entries([buckets.count])).toBeUndefined();
      expect(buckets.entries([0, 0])).toBeUndefined();
    }),
    { numRuns: 60, seed: 3 },
  );
});

test('buckets: two tables → the buckets named hold differences, and all of them come up in turn', () => {
  const table = fc.array(fc.nat({ max: 3 }), { minLength: 1, maxLength: 400 });
  fc.assert(
    fc.property(table, fc.array(fc.nat({ max: 399 }), { maxLength: 60 }), fc.nat(), (mine, changed, from) => {
      const theirs = [...mine];
      for (const at of changed) if (at < theirs.length) theirs[at] = 7;
      const buckets = new Buckets(mine.length);
      for (let round = 0; round <= buckets.count; round++) {
        const hash = (of: number[]) => buckets.hashes((entry) => 1 + of[entry]! + 16 * entry);
        const found = buckets.differing(hash(mine), hash(theirs), from);
        expect(found).toBeDefined();
        if (found!.length === 0) break;
        const entries = buckets.entries(found!)!;
        expect(entries.length).toBeLessThanOrEqual(maxSyncEntries);
        for (const entry of entries) theirs[entry] = mine[entry]!;
      }
      expect(theirs).toEqual(mine);
    }),
    { numRuns: 200, seed: 5 },
  );
});

test('table: the same entries in any order, by any detour → the same hash; another entry → another', () => {
  const states: readonly MemberState[] = ['alive', 'suspect', 'dead', 'left'];
  const entry = fc.tuple(fc.nat({ max: 49 }), fc.constantFrom(...states), fc.nat({ max: 700 }), fc.nat({ max: 700 }));
  fc.assert(
    fc.property(fc.array(entry, { maxLength: 80 }), (entries) => {
      const [a, b] = [new MemberTable(50), new MemberTable(50)];
      for (const [member, state, boot, incarnation] of entries) a.set(member, state, boot, incarnation);
      for (let member = 0; member < 50; member++) {
        const [state, boot, incarnation] = [a.publicState(member), a.boot(member), a.incarnation(member)];
        if (state !== 'unknown') b.set(member, state, boot, incarnation);
      }
      expect(b.hash).toBe(a.hash);
      b.set(7, 'alive', 701, 0);
      expect(b.hash).not.toBe(a.hash);
    }),
    { numRuns: 200, seed: 6 },
  );
});

/** A member returns while another is down for good: nobody has a reason to tell it of that one. */
function returned(options: Partial<typeof lan>, seed: number): SmallMesh {
  const mesh = new SmallMesh(8, options, seed);
  mesh.run(1_000);
  mesh.kill(5);
  mesh.kill(6);
  mesh.run(8_000);
  mesh.restart(5, 2);
  mesh.run(15_000);
  return mesh;
}

test('a member that returns after another went down → learns of it by comparing tables, and never without', () => {
  for (let seed = 1; seed <= 10; seed++) {
    expect(returned(compared, seed).members[5]!.state(6)).toBe('dead');
    expect(returned({}, seed).members[5]!.state(6)).toBe('unknown');
  }
});

test("what a peer's memory calls dead → is doubted and looked into first, not believed", () => {
  const mesh = returned(compared, 1);
  const learned = mesh.changes.filter(({ by, member }) => by === 5 && member === 6).map(({ from, to }) => [from, to]);
  expect(learned.slice(-2)).toEqual([
    ['unknown', 'suspect'],
    ['suspect', 'dead'],
  ]);
});

/**
 * Two halves are apart for two minutes; each loses a member and one is restarted. Gossip is lost all the time, before
 * and after, so that only probes and comparisons are left.
 */
function apart(options: Partial<typeof lan>): { mesh: SmallMesh; differing: () => number } {
  const mesh = new SmallMesh(16, options, 9);
  let isCut = true;
  mesh.loses = (from, to, message) => message.kind === 'gossip' || (isCut && from % 2 !== to % 2);
  mesh.run(2_000);
  mesh.kill(2);
  mesh.kill(3);
  mesh.run(60_000);
  mesh.restart(4, 2);
  mesh.run(60_000);
  isCut = false;
  const standing = (of: number) =>
    Array.from({ length: 16 }, (_, m) => `${mesh.members[of]!.state(m)} ${mesh.members[of]!.bootCounterOf(m)}`).join();
  const differing = () => new Set(mesh.members.flatMap((_, i) => (mesh.down.has(i) ? [] : [standing(i)]))).size;
  return { mesh, differing };
}

test('two halves apart for two minutes, all gossip lost → one view within 20 s of healing', () => {
  const { mesh, differing } = apart(compared);
  expect(differing()).toBeGreaterThan(1);
  mesh.run(20_000);
  expect(differing()).toBe(1);
  expect(mesh.members[0]!.state(2)).toBe('dead');
  expect(mesh.members[1]!.bootCounterOf(4)).toBe(2);
});

function member(size: number, known: number): { say(now: number, message: MembershipMessage): MembershipMessage[] } {
  const one = new Membership({
    options: lan,
    self: 0,
    size,
    random: new Random(1),
    boot: bootId('0'.repeat(32)),
    bootCounter: 1,
    incarnation: 0,
  });
  for (let peer = 1; peer < known; peer++) one.presume(peer, 1, 0);
  one.start(instant(0), []);
  return {
    say: (now, message) => {
      const out: MembershipOutput[] = [];
      one.message(instant(now), 1, message, out);
      return out.flatMap((output) => (output.kind === 'send' ? [output.message] : []));
    },
  };
}

test('tables that are the same → silence; that differ → at most 4 kB for an answer', () => {
  for (const size of [2, 10, 1_000, 5_000]) {
    const one = member(size, size);
    const [buckets] = one.say(1, { kind: 'sync', hash: 12_345, updates: [] });
    if (buckets?.kind !== 'sync-buckets') throw new Error('no buckets');
    const table = new MemberTable(size);
    for (let m = 0; m < size; m++) table.set(m, 'alive', 1, 0);
    expect(one.say(2, { kind: 'sync', hash: table.hash, updates: [] })).toEqual([]);

    const [entries] = one.say(3_000, { kind: 'sync-buckets', hashes: buckets.hashes.map(() => 0), updates: [] });
    if (entries?.kind !== 'sync-entries') throw new Error('no entries');
    expect(entries.updates.length).toBeGreaterThan(0);
    for (const message of [buckets, entries]) {
      expect(encodedSize(message)).toBeLessThanOrEqual(4096);
      expect(encodeDirect(message).ok).toBe(true);
    }
    // What the other lacks comes back, and what it has newer is asked for; what both have is not repeated.
    const [first, second, ...rest] = entries.updates;
    const newer = second && { ...second, incarnation: 5 };
    const theirs = newer ? [newer, ...rest] : rest;
    const answers = one.say(6_000, { ...entries, updates: theirs });
    const wants = newer ? [newer.member] : [];
    expect(answers).toEqual([{ kind: 'sync-entries', buckets: [], wants, updates: [first] }]);
    expect(one.say(9_000, entries)).toEqual([]);
    const asked = entries.updates.map((update) => update.member);
    const provided = one.say(12_000, { kind: 'sync-entries', buckets: [], wants: asked, updates: [] });
    expect(provided).toEqual([{ kind: 'sync-entries', buckets: [], wants: [], updates: entries.updates }]);
  }
});

test('a peer that asks without end → answered within the budget of bytes, no more', () => {
  const one = member(1_000, 1_000);
  let bytes = 0;
  for (let i = 0; i < 20_000; i++) {
    const now = 1 + i / 10;
    const answers = [
      ...one.say(now, { kind: 'sync', hash: i, updates: [] }),
      ...one.say(now, { kind: 'sync-buckets', hashes: Array.from({ length: 125 }, () => i), updates: [] }),
      ...one.say(now, { kind: 'sync-entries', buckets: [i % 125], wants: [], updates: [] }),
    ];
    for (const answer of answers) bytes += encodedSize(answer);
  }
  expect(bytes).toBeGreaterThan(0);
  expect(bytes).toBeLessThan(4 * lan.bytesPerSecond);
});

test('a request for more than a message holds, and one of another roster → not answered', () => {
  const one = member(1_000, 1_000);
  const all = Array.from({ length: 125 }, (_, bucket) => bucket);
  expect(one.say(1, { kind: 'sync-entries', buckets: all, wants: [], updates: [] })).toEqual([]);
  expect(one.say(2, { kind: 'sync-entries', buckets: [599], wants: [], updates: [] })).toEqual([]);
  const wants = Array.from({ length: maxSyncEntries + 1 }, (_, member) => member);
  expect(one.say(2.5, { kind: 'sync-entries', buckets: [], wants, updates: [] })).toEqual([]);
  expect(one.say(3, { kind: 'sync-buckets', hashes: [1, 2, 3], updates: [] })).toEqual([]);
});
