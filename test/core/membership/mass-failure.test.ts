import { expect, test } from 'vitest';
import { Random } from '../../../agent/base/random.ts';
import type { MembershipMessage } from '../../../agent/core/membership/member.ts';
import { lan } from '../../../agent/core/membership/options.ts';
import { knownToAllWithinMs } from '../../../simulations/invariants/bounds.ts';
import { runScenario } from '../../../simulations/run.ts';
import { BareMesh } from './bare-mesh.ts';

const signature = new Uint8Array(64);

/** Half of the members go dark within 200 ms: when the last of the others holds each of them dead, and what was said. */
function halfGoesDark(size: number, seed: number, signed = false) {
  const mesh = new BareMesh({
    ...{ size, seed, loss: 0.005 },
    // As long as real ones: whether they would hold is asked elsewhere.
    ...(signed ? { warm: 'greet', voucher: () => ({ sign: () => signature, verify: () => true }) } : {}),
  });
  const fallMs = signed ? 20_000 : 10_000;
  mesh.run(fallMs);
  const random = new Random(seed, 'half');
  const fallen = random.shuffle(Array.from({ length: size }, (_, member) => member)).slice(0, size / 2);
  for (const member of fallen) {
    mesh.at(fallMs + random.between(0, 200), () => {
      mesh.up[member] = 0;
    });
  }
  const unaware = new Map(fallen.map((member) => [member, size - fallen.length]));
  mesh.changed = (_at, by, { member, from, to }) => {
    const left = unaware.get(member);
    if (left === undefined || mesh.up[by] === 0) return;
    unaware.set(member, left + Number(from === 'dead') - Number(to === 'dead'));
  };
  /** News that ride on pings, and how many of them were sent to a box without power. */
  let [news, wasted] = [0, 0];
  mesh.said = (_at, from, to, { kind, updates }: MembershipMessage) => {
    if (kind !== 'ping') return;
    const carried = updates.filter(({ member }) => member !== from && member !== to).length;
    news += carried;
    if (mesh.up[to] === 0) wasted += carried;
  };
  mesh.run(fallMs + 30_000, () => [...unaware.values()].every((left) => left === 0));
  return { tookMs: mesh.now - fallMs, falseDeaths: mesh.falseDeaths, news, wasted };
}

test('half of 80 members go dark → every death is known to all within 7 s, and no living member is held dead', () => {
  for (let seed = 1; seed <= 4; seed++) {
    const { tookMs, falseDeaths } = halfGoesDark(80, seed);
    expect(tookMs, `seed ${seed}`).toBeLessThan(7_000);
    expect(falseDeaths, `seed ${seed}`).toBe(0);
  }
});

test('half of 80 members go dark, everything signed → known to all within the bound, in the same bytes', () => {
  for (let seed = 1; seed <= 2; seed++) {
    const { tookMs, falseDeaths } = halfGoesDark(80, seed, true);
    expect(tookMs, `seed ${seed}`).toBeLessThan(knownToAllWithinMs(lan, 80));
    expect(falseDeaths, `seed ${seed}`).toBe(0);
  }
});

test('half of 80 members go dark → hardly any news ride on pings to those who cannot read them', () => {
  const { news, wasted } = halfGoesDark(80, 1);
  expect(news).toBeGreaterThan(500);
  // What is left: the first ping to one that is not doubted yet.
  expect(wasted).toBeLessThan(news / 3);
});

// Everything else of an agent wants to look at the silent, too, and may not take the bytes that the news need.
test('half of 80 agents lose power, whole cores → the last death is known to all in half the time that is promised', () => {
  const { detection, violations } = runScenario({ scenario: 'half-vanishes', agents: 80, seed: 2, durationS: 26 });
  expect(violations).toEqual([]);
  expect(detection.count).toBe(40);
  expect(detection.maxMs).toBeLessThan(knownToAllWithinMs(lan, 80) / 2);
});
