import { expect, test } from 'vitest';
import { lan } from '../../../agent/core/membership/options.ts';
import { SmallMesh } from './small-mesh.ts';

const T = lan.probeIntervalMs;

test('evidence: calm → every probe ended in round 0, answered by the target itself', () => {
  const mesh = new SmallMesh(5);
  mesh.run(1_000);
  mesh.probes.length = 0;
  mesh.run(10 * T);
  expect(mesh.probes.length).toBeGreaterThanOrEqual(45);
  for (const probe of mesh.probes) expect(probe).toMatchObject({ round: 0, direct: true, helpers: [] });
});

test('evidence: a member dies → rounds 0, 1 and 2 without an answer, every helper says nack', () => {
  const mesh = new SmallMesh(5);
  mesh.run(1_000);
  mesh.kill(4);
  mesh.probes.length = 0;
  mesh.disconnect(0, 4);
  mesh.run(3 * T + 1);
  const about = mesh.probes.filter(({ by, target }) => by === 0 && target === 4);
  expect(about.map(({ round, direct }) => [round, direct])).toEqual([
    [0, false],
    [1, false],
    [2, false],
  ]);
  for (const { helpers } of about) {
    expect(helpers.map(({ helper }) => helper).sort()).toEqual([1, 2, 3]);
    expect(helpers.every(({ word }) => word === 'nack')).toBe(true);
  }
});

test('evidence: only the direct way is cut → ended by a helper that reached it', () => {
  const mesh = new SmallMesh(5);
  mesh.run(1_000);
  mesh.loses = (from, to) => (from === 1 && to === 2) || (from === 2 && to === 1);
  mesh.probes.length = 0;
  mesh.run(30 * T);
  const about = mesh.probes.filter(({ by, target }) => by === 1 && target === 2);
  expect(about.length).toBeGreaterThan(3);
  for (const { round, direct, helpers } of about) {
    expect([round, direct]).toEqual([0, false]);
    expect(helpers.filter(({ word }) => word === 'reached').length).toBe(1);
  }
});

test('evidence: target and one helper are gone → that helper is silent, the others say nack', () => {
  const mesh = new SmallMesh(5);
  mesh.run(1_000);
  mesh.kill(4);
  mesh.kill(3);
  mesh.probes.length = 0;
  mesh.disconnect(0, 4);
  mesh.run(T + 1);
  const [first] = mesh.probes.filter(({ by, target }) => by === 0 && target === 4);
  expect(Object.fromEntries(first!.helpers.map(({ helper, word }) => [helper, word]))).toEqual({
    1: 'nack',
    2: 'nack',
    3: 'silent',
  });
});

test('watch: a member watched closely → probed every half interval, and its crash is seen at once; the list is bounded', () => {
  const mesh = new SmallMesh(5, { watchIntervalMs: T / 2 });
  mesh.members[0]!.watchClosely([3, 3, 0, 77]);
  mesh.run(1_000);
  const pings = () =>
    mesh.said.filter(({ from, to, message }) => from === 0 && to === 3 && message.kind === 'ping').length;
  mesh.said.length = 0;
  mesh.run(20 * T);
  expect(pings()).toBeGreaterThan(35);
  expect(pings()).toBeLessThan(50);
  // And nobody else is probed more often than before.
  expect(mesh.said.filter(({ from, message }) => from === 1 && message.kind === 'ping').length).toBeLessThan(23);
  mesh.kill(3);
  const killedAt = mesh.now;
  mesh.run(3 * T + T / 2 + 5);
  expect(
    mesh.changes.filter(({ by, member, at }) => by === 0 && member === 3 && at > killedAt).map((c) => c.to),
  ).toEqual(['suspect']);
  mesh.members[0]!.watchClosely([]);
  mesh.run(2_000);
  mesh.said.length = 0;
  mesh.run(10 * T);
  expect(mesh.said.filter(({ from, message }) => from === 0 && message.kind === 'ping').length).toBeLessThan(26);
});
