import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Random } from '../../agent/base/random.ts';
import { Dissemination } from '../../agent/core/membership/dissemination.ts';
import { compareStanding, type Standing } from '../../agent/core/membership/incarnation.ts';
import type { MemberUpdate } from '../../agent/core/membership/member.ts';
import { lan, type MembershipOptions } from '../../agent/core/membership/options.ts';
import { ObserverRing, ShuffledRounds } from '../../agent/core/membership/probe-schedule.ts';
import { BareMesh } from '../core/membership/bare-mesh.ts';
import { SmallMesh } from '../core/membership/small-mesh.ts';

/**
 * The claims of "SWIM: Scalable Weakly-consistent Infection-style Process Group Membership Protocol" (Das, Gupta,
 * Motivala, DSN 2002), one test each, on our detector. Where we depart from the paper, the test says so and tests ours.
 */
const T = lan.probeIntervalMs;
/** The paper's own protocol: random rounds, one ping, no private verification. */
const classic: MembershipOptions = { ...lan, ringAbove: Number.POSITIVE_INFINITY, directPings: 1, verifyRounds: 0 };

describe('SWIM §3.1: the failure detector', () => {
  /** Protocol periods from any moment to the next probe of a member, over all members. */
  function periodsUntilProbed(size: number, options: MembershipOptions): { mean: number; p99: number } {
    const mesh = new BareMesh({ size, options, seed: 11 });
    const probed: number[][] = Array.from({ length: size }, () => []);
    mesh.said = (at, _from, to, { kind }) => {
      if (kind === 'ping') probed[to]!.push(at);
    };
    mesh.run(40_000);
    const periods: number[] = [];
    for (const times of probed) {
      for (let at = 5_000, next = 0; at < 30_000; at += 617) {
        while (times[next]! <= at) next++;
        periods.push(Math.ceil((times[next]! - at) / T));
      }
    }
    periods.sort((a, b) => a - b);
    return {
      mean: periods.reduce((a, b) => a + b, 0) / periods.length,
      p99: periods[Math.floor(0.99 * periods.length)]!,
    };
  }

  test('random targets → a crashed member is first probed after e/(e−1) = 1.58 periods on average, whatever the size', () => {
    for (const size of [20, 100]) {
      expect(periodsUntilProbed(size, classic).mean).toBeGreaterThan(1.58 - 0.1);
      expect(periodsUntilProbed(size, classic).mean).toBeLessThan(1.58 + 0.1);
    }
  });

  test('ours: fixed observers at even intervals → the same mean, and a shorter tail', () => {
    const random = periodsUntilProbed(100, classic);
    const ring = periodsUntilProbed(100, { ...classic, ringAbove: 0 });
    expect(ring.mean).toBeLessThanOrEqual(random.mean);
    expect(ring.p99).toBeLessThan(random.p99);
  });

  test('load: messages per member and period do not depend on the size of the group', () => {
    const perPeriod = [10, 40, 160].map((size) => {
      const mesh = new BareMesh({ size, options: { ...classic, syncIntervalMs: 0 }, seed: 2 });
      mesh.run(10_000);
      return mesh.messages / size / 50;
    });
    for (const messages of perPeriod) expect(Math.abs(messages - 2)).toBeLessThan(0.1);
  });

  test.each([0, 1, 3])(
    'k = %i helpers, a quarter of the messages lost → a probe fails as often as the formula says',
    (helpers) => {
      // Our helper pings twice: (1−q²) of a direct ping, and q·(1−(1−q²)²)·q through each helper, with q = 3/4.
      const q = 0.75;
      const expected = (1 - q ** 2) * (1 - q * (1 - (1 - q ** 2) ** 2) * q) ** helpers;
      // A suspicion that never ripens: the group stays whole while we count.
      const options = { ...classic, helpers, suspicionMult: 1e6, localHealthMax: 0 };
      const mesh = new BareMesh({ size: 20, options, loss: 0.25, seed: 3, evidence: true });
      let ended = 0;
      let failed = 0;
      mesh.ended = (_at, _by, probe) => {
        ended++;
        if (!probe.direct && !probe.helpers.some(({ word }) => word === 'reached')) failed++;
      };
      mesh.run(60_000);
      expect(ended).toBeGreaterThan(4_500);
      expect(Math.abs(failed / ended - expected)).toBeLessThan(
        4 * Math.sqrt((expected * (1 - expected)) / ended) + 0.005,
      );
    },
  );
});

describe('SWIM §3.2: completeness and accuracy', () => {
  test('strong completeness: a third crashes at once, messages are lost → every survivor holds every crashed one dead', () => {
    const mesh = new BareMesh({ size: 30, loss: 0.1, seed: 5 });
    mesh.run(2_000);
    for (let m = 0; m < 30; m += 3) mesh.up[m] = 0;
    mesh.run(60_000);
    for (let by = 0; by < 30; by++) {
      if (mesh.up[by] === 0) continue;
      for (let m = 0; m < 30; m += 3) expect(mesh.members[by]!.state(m)).toBe('dead');
    }
    expect(mesh.falseDeaths).toBe(0);
  });

  test('accuracy: the path between two is dead, every other lives → helpers keep both alive in all eyes', () => {
    const mesh = new BareMesh({ size: 10, seed: 6 });
    mesh.loses = (from, to) => from + to === 3 && from * to === 2;
    mesh.run(120_000);
    expect(mesh.falseDeaths).toBe(0);
    expect(mesh.members.every((member) => member.aliveCount === 10)).toBe(true);
  });
});

describe('SWIM §4.1: infection-style dissemination', () => {
  const news: MemberUpdate = { member: 0, state: 'dead', bootCounter: 1, incarnation: 0, origin: 1 };

  /** Rounds until the news stops, and how many know it then. Each who has news tells one random member per round. */
  function infect(size: number, options: MembershipOptions, seed: number): { rounds: number; reached: number } {
    const random = new Random(seed);
    const knows = new Uint8Array(size);
    const queues = Array.from({ length: size }, () => new Dissemination(size, options));
    knows[0] = 1;
    queues[0]!.enqueue(news);
    let lastNew = 0;
    for (let round = 1; ; round++) {
      const told: number[] = [];
      for (let m = 0; m < size; m++) {
        if (queues[m]!.length > 0 && queues[m]!.take(6).length > 0) told.push(random.below(size));
      }
      if (told.length === 0) break;
      for (const m of told) {
        if (knows[m] === 1) continue;
        knows[m] = 1;
        queues[m]!.enqueue(news);
        lastNew = round;
      }
    }
    return { rounds: lastNew, reached: knows.reduce((a, b) => a + b, 0) };
  }

  test('each passes an update on λ·log N times → it reaches everybody, in a number of rounds that grows like log N', () => {
    const rounds = [30, 300, 3_000].map((size) => {
      const runs = [1, 2, 3].map((seed) => infect(size, lan, seed));
      for (const { reached } of runs) expect(reached / size).toBeGreaterThan(0.999);
      return Math.max(...runs.map((run) => run.rounds));
    });
    // About log2 N rounds to spread and as many for the last ones: a hundred times more members, ten or so rounds more.
    expect(rounds[0]).toBeLessThan(20);
    expect(rounds[2]! - rounds[0]!).toBeLessThan(16);
  });

  test('λ too small → some never hear: the retransmissions are what carries it', () => {
    const runs = [1, 2, 3].map((seed) => infect(3_000, { ...lan, retransmitMult: 0.5 }, seed));
    for (const { reached } of runs) expect(reached / 3_000).toBeLessThan(0.97);
  });

  test('updates ride on pings and answers → with gossip all but off, a death is still known to all', () => {
    const mesh = new BareMesh({ size: 30, options: { ...lan, gossipFanout: 0 }, seed: 4 });
    mesh.run(2_000);
    const kinds = new Map<string, number>();
    mesh.said = (_at, _from, _to, { kind }) => kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
    mesh.up[9] = 0;
    mesh.run(12_000);
    expect(mesh.members.filter((member, m) => m !== 9 && member.state(9) === 'dead').length).toBe(29);
    // Of gossip proper only words to the suspect itself are left.
    expect(kinds.get('gossip')!).toBeLessThan(40);
  });
});

describe('SWIM §4.2: suspicion and incarnations', () => {
  const of = (state: Standing['state'], incarnation: number): Standing => ({ state, bootCounter: 1, incarnation });
  const overrides = (a: Standing, b: Standing) => compareStanding(a, b) > 0;

  test("the paper's table of what overrides what, for all small incarnations", () => {
    for (let i = 0; i < 4; i++) {
      for (let j = 0; j < 4; j++) {
        expect(overrides(of('alive', i), of('suspect', j))).toBe(i > j);
        expect(overrides(of('alive', i), of('alive', j))).toBe(i > j);
        expect(overrides(of('suspect', i), of('suspect', j))).toBe(i > j);
        expect(overrides(of('suspect', i), of('alive', j))).toBe(i >= j);
        // Departure: in the paper a death is final. Ours binds to one incarnation of one boot, so that whoever was held
        // dead behind a cut cable comes back by raising its own.
        expect(overrides(of('dead', i), of('alive', j))).toBe(i >= j);
        expect(overrides(of('dead', i), of('suspect', j))).toBe(i >= j);
        expect(overrides(of('alive', i), of('dead', j))).toBe(i > j);
      }
    }
  });

  test('merging by this order → the same view, whatever the order of arrival', () => {
    const standing = fc.record({
      state: fc.constantFrom('alive' as const, 'suspect' as const, 'dead' as const, 'left' as const),
      bootCounter: fc.integer({ min: 1, max: 3 }),
      incarnation: fc.integer({ min: 0, max: 3 }),
    });
    const merged = (all: readonly Standing[]) => all.reduce((held, said) => (overrides(said, held) ? said : held));
    fc.assert(
      fc.property(fc.array(standing, { minLength: 1, maxLength: 8 }), fc.nat(), (said, seed) => {
        expect(merged(new Random(seed).shuffle([...said]))).toEqual(merged(said));
      }),
    );
  });

  test('only the member itself raises its incarnation, and only when it hears itself doubted', () => {
    const mesh = new SmallMesh(5);
    mesh.run(3_000);
    expect(mesh.raised).toEqual([]);
    mesh.tell(0, 1, {
      kind: 'gossip',
      updates: [{ member: 3, state: 'suspect', bootCounter: 1, incarnation: 0, origin: 1 }],
    });
    mesh.run(2_000);
    expect(mesh.raised.map(({ by, incarnation }) => [by, incarnation])).toEqual([[3, 1]]);
    expect(mesh.changes.filter(({ to }) => to === 'dead')).toEqual([]);
  });

  test('suspicion before death: members that are slow for a moment are not lost, without suspicion they are', () => {
    const deaths = [classic, { ...classic, suspicionMult: 0.001 }].map((options) => {
      const mesh = new BareMesh({ size: 12, options, loss: 0.25, seed: 8 });
      mesh.run(60_000);
      return mesh.falseDeaths;
    });
    expect(deaths[0]).toBe(0);
    expect(deaths[1]).toBeGreaterThan(0);
  });
});

describe('SWIM §4.3: round-robin probing', () => {
  test('shuffled rounds over n − 1 members → the next probe of any of them comes within 2(n − 1) − 1 probes', () => {
    fc.assert(
      fc.property(fc.integer({ min: 3, max: 60 }), fc.nat(), (n, seed) => {
        expect(longestGap(new ShuffledRounds(n, 0, new Random(seed)), n, 12 * n)).toBeLessThanOrEqual(2 * (n - 1) - 1);
      }),
    );
  });

  test('ours: an observer on the ring → each of its ten comes within twelve probes, in a site of any size', () => {
    for (const size of [20, 200, 2_000]) {
      const schedule = new ObserverRing(size, 3, new Random(size), 10);
      const last = new Map<number, number>();
      const gaps = new Map<number, number[]>();
      for (let i = 0; i < 3_000; i++) {
        const member = schedule.next((m) => m !== 3)!;
        const before = last.get(member);
        if (before !== undefined) gaps.set(member, [...(gaps.get(member) ?? []), i - before]);
        last.set(member, i);
      }
      const observed = [...gaps.values()].filter((list) => list.length > 200);
      expect(observed.length).toBe(10);
      for (const list of observed) expect(Math.max(...list)).toBeLessThanOrEqual(12);
    }
  });

  function longestGap(schedule: ShuffledRounds, n: number, probes: number): number {
    const last = new Array<number>(n).fill(-1);
    let longest = 0;
    for (let i = 0; i < probes; i++) {
      const member = schedule.next(() => true)!;
      if (last[member]! >= 0) longest = Math.max(longest, i - last[member]!);
      last[member] = i;
    }
    return longest;
  }
});
