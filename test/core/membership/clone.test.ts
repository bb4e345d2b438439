import { expect, test } from 'vitest';
import { bootId } from '../../../agent/base/ids.ts';
import { Greetings, maxGreeted } from '../../../agent/core/membership/greetings.ts';
import { SmallMesh } from './small-mesh.ts';

const a = bootId('a'.repeat(32));
const b = bootId('b'.repeat(32));
const c = bootId('c'.repeat(32));

test('greetings: an old boot that speaks again above a new one → proof with both lives, once', () => {
  const greetings = new Greetings();
  expect(greetings.heard(1, a, 5)).toBeUndefined();
  expect(greetings.heard(1, b, 6)).toBeUndefined();
  expect(greetings.heard(1, a, 7)).toEqual([
    { boot: a, low: 5, high: 7 },
    { boot: b, low: 6, high: 6 },
  ]);
  expect(greetings.isProven(1)).toBe(true);
  expect(greetings.heard(1, b, 8)).toBeUndefined();
  expect(greetings.heard(1, a, 9)).toBeUndefined();
  expect(greetings.isProven(2)).toBe(false);
});

test('greetings: an ordinary restart, and a lost store that jumps above what we remember → no proof', () => {
  const greetings = new Greetings();
  greetings.heard(1, a, 9);
  // Counts from the start, is corrected, goes on above.
  for (const counter of [1, 10, 11]) expect(greetings.heard(1, b, counter)).toBeUndefined();
  for (const counter of [12, 12]) expect(greetings.heard(1, c, counter)).toBeUndefined();
  expect(greetings.isProven(1)).toBe(false);
});

test('greetings: a stall hands on the greetings of two lives in the wrong order → no proof, for nobody jumped', () => {
  const greetings = new Greetings();
  greetings.heard(1, b, 6);
  greetings.heard(1, a, 5);
  expect(greetings.heard(1, b, 6)).toBeUndefined();
  expect(greetings.isProven(1)).toBe(false);
});

test('greetings: more members than it holds → bounded, the oldest goes', () => {
  const greetings = new Greetings();
  for (let member = 0; member < 3 * maxGreeted; member++) greetings.heard(member, a, 1);
  expect(greetings.size).toBe(maxGreeted);
  expect(greetings.latest(0)).toBeUndefined();
  expect(greetings.latest(3 * maxGreeted - 1)?.boot).toBe(a);
});

test.each([
  ['the same boot counter', 1],
  ['the next boot counter', 2],
  ['a far higher boot counter', 5],
] as const)(
  'clone: a copied disk runs under %s → both notice, all others prove it, nobody else is disturbed',
  (_, boot) => {
    for (let seed = 1; seed <= 4; seed++) {
      const mesh = new SmallMesh(5, {}, seed);
      mesh.run(1_000);
      mesh.changes.length = 0;
      const begun = mesh.now;
      const twin = mesh.clone(3, boot);
      mesh.run(15_000);
      expect(mesh.members[3]!.isCloned).toBe(true);
      expect(mesh.members[twin]!.isCloned).toBe(true);
      for (const observer of [0, 1, 2, 4]) {
        expect(mesh.members[observer]!.isProvenClone(3)).toBe(true);
        expect(mesh.members[observer]!.isCloned).toBe(false);
        // Once per pair of lives, with both boots named.
        const told = mesh.proven.filter(({ by }) => by === observer);
        expect(told.length).toBe(1);
        expect(new Set(told[0]!.boots.map((life) => life.boot)).size).toBe(2);
      }
      expect(mesh.proven.every(({ member }) => member === 3)).toBe(true);
      expect(mesh.changes.filter(({ member, to }) => member !== 3 && to !== 'alive')).toEqual([]);
      // One bump per second each, after a small burst.
      for (const process of [3, twin]) {
        expect(mesh.raised.filter(({ by }) => by === process).length).toBeLessThanOrEqual(3 + 16);
      }
      expect(mesh.proven.filter(({ by }) => by === 3 || by === twin).every(({ at }) => at - begun < 5_000)).toBe(true);
    }
  },
);

test('clone: one process restarts again and again, its store lost in between → nobody speaks of clones', () => {
  const mesh = new SmallMesh(4);
  for (const boot of [2, 3, 9, 1, 2, 1]) {
    mesh.run(3_000);
    mesh.kill(2);
    mesh.run(boot === 9 ? 200 : 4_000);
    mesh.restart(2, boot);
  }
  mesh.run(8_000);
  expect(mesh.proven).toEqual([]);
  expect(mesh.members.map((member) => member.isCloned)).toEqual([false, false, false, false]);
  expect(mesh.states(2)).toEqual(['alive', 'alive', 'alive']);
});
