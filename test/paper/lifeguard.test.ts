import { describe, expect, test } from 'vitest';
import { instant } from '../../agent/base/time.ts';
import { LocalHealth } from '../../agent/core/membership/local-health.ts';
import { lan } from '../../agent/core/membership/options.ts';
import { Suspicion } from '../../agent/core/membership/suspicion.ts';
import { BareMesh } from '../core/membership/bare-mesh.ts';
import { SmallMesh } from '../core/membership/small-mesh.ts';

/**
 * The claims of "Lifeguard: Local Health Awareness for More Accurate Failure Detection" (Dadgar, Phillips, Currey,
 * DSN 2018), one test each, on our detector. Where we depart from the paper, the test says so and tests ours.
 */
const T = lan.probeIntervalMs;

/** Five members of which 0 looks for 4, which is down, at once. */
function looking(silentHelper?: number): { mesh: SmallMesh; begun: number } {
  const mesh = new SmallMesh(5);
  mesh.run(1_000);
  mesh.kill(4);
  if (silentHelper !== undefined) mesh.kill(silentHelper);
  mesh.said.length = 0;
  mesh.disconnect(0, 4);
  return { mesh, begun: mesh.now };
}

describe('Lifeguard §IV.A: local health aware probes', () => {
  test('an answered probe → the score falls by one, never below zero', () => {
    const mesh = new SmallMesh(3);
    mesh.run(400, new Set([0]));
    mesh.run(10);
    expect(mesh.members[0]!.localHealth).toBe(1);
    mesh.run(2 * T);
    expect(mesh.members[0]!.localHealth).toBe(0);
    mesh.run(5 * T);
    expect(mesh.members[0]!.localHealth).toBe(0);
  });

  test('a helper that does not even say nack → the score rises; all say nack → it stays', () => {
    const quiet = looking(3);
    quiet.mesh.run(T + 1);
    expect(quiet.mesh.members[0]!.localHealth).toBeGreaterThanOrEqual(1);
    const spoken = looking();
    spoken.mesh.run(T + 1);
    expect(spoken.mesh.members[0]!.localHealth).toBe(0);
  });

  test('having to refute a suspicion of oneself → the score rises by one', () => {
    const mesh = new SmallMesh(4);
    mesh.run(1_000);
    const doubt = { member: 2, state: 'suspect', bootCounter: 1, incarnation: 0, origin: 1 } as const;
    mesh.tell(2, 1, { kind: 'gossip', updates: [doubt] });
    expect(mesh.members[2]!.localHealth).toBe(1);
  });

  test('the score saturates at S = 8, and stretches interval and time-outs to 1 + score', () => {
    const health = new LocalHealth(lan.localHealthMax);
    const factors = Array.from({ length: 12 }, () => {
      health.raise();
      return health.factor;
    });
    expect(factors).toEqual([2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 9, 9]);
  });

  test('a poor score → its probes wait longer before helpers are asked', () => {
    const { mesh } = looking();
    mesh.run(4_000);
    const asked = (from: number): number => {
      mesh.said.length = 0;
      const begun = mesh.now;
      mesh.disconnect(from, 3);
      mesh.run(1_500);
      return (
        mesh.said.find((s) => s.from === from && s.message.kind === 'ping-request' && s.message.target === 3)!.at -
        begun
      );
    };
    mesh.kill(3);
    const healthy = asked(0);
    expect(Math.round(healthy)).toBe(lan.directWindowMs);
    const doubted = looking().mesh;
    for (let i = 0; i < 2; i++) {
      const incarnation = doubted.members[0]!.incarnationOf(0);
      doubted.tell(0, 1, {
        kind: 'gossip',
        updates: [{ member: 0, state: 'suspect', bootCounter: 1, incarnation, origin: 1 }],
      });
    }
    expect(doubted.members[0]!.localHealth).toBe(2);
    doubted.kill(3);
    doubted.said.length = 0;
    const begun = doubted.now;
    doubted.disconnect(0, 3);
    doubted.run(1_500);
    const request = doubted.said.find(
      (s) => s.from === 0 && s.message.kind === 'ping-request' && s.message.target === 3,
    )!;
    expect(Math.round(request.at - begun)).toBe(3 * lan.directWindowMs);
  });

  test('nack: a helper answers within 80 % of the time that it was given, so that silence means something', () => {
    const { mesh, begun } = looking();
    mesh.run(T);
    const nacks = mesh.said.filter(({ to, message }) => to === 0 && message.kind === 'nack');
    expect(nacks.length).toBe(3);
    // Asked after the direct window, one millisecond of wire each way.
    for (const { at } of nacks) {
      expect(at - begun - lan.directWindowMs).toBeLessThanOrEqual(0.8 * lan.directWindowMs + 2);
    }
  });

  test('one member is asleep four fifths of the time → it does not take healthy ones for dead, nor do they each other', () => {
    const mesh = new SmallMesh(7);
    mesh.run(1_000);
    mesh.changes.length = 0;
    let worst = 0;
    for (let i = 0; i < 60; i++) {
      mesh.run(400, new Set([2]));
      mesh.run(10);
      worst = Math.max(worst, mesh.members[2]!.localHealth);
      mesh.run(90);
    }
    const wronged = mesh.changes.filter(({ member, to }) => member !== 2 && to !== 'alive');
    expect(wronged).toEqual([]);
    expect(worst).toBeGreaterThan(0);
  });

  test('ours: a timer late by more than half an interval → nobody is judged in that step, and the score rises', () => {
    // Node runs timers before it reads sockets: after a stall the answers are there, unread.
    const mesh = new SmallMesh(5);
    mesh.run(1_000);
    mesh.kill(4);
    mesh.disconnect(0, 4);
    mesh.run(500);
    mesh.changes.length = 0;
    // Due to accuse at 600 ms, it sleeps until 900 ms.
    mesh.run(400, new Set([0]));
    mesh.run(1);
    expect(mesh.members[0]!.localHealth).toBe(1);
    expect(mesh.changes.filter(({ by, why }) => by === 0 && why.startsWith('no answer'))).toEqual([]);
    mesh.run(4_000);
    expect(mesh.members[0]!.state(4)).toBe('dead');
  });
});

describe('Lifeguard §IV.B: local health aware suspicion', () => {
  /** 100 members, K = 3: from max = 6·min down to min = 3·log10(100)·T. */
  const min = 3 * 2 * T;
  const table = [
    [0, 6 * min],
    [1, 6 * min - 5 * min * (Math.log(2) / Math.log(4))],
    [2, 6 * min - 5 * min * (Math.log(3) / Math.log(4))],
    [3, min],
  ] as const;

  test.each(table)('the time-out after %i independent confirmations', (confirmations, timeoutMs) => {
    const suspicion = new Suspicion(instant(0), { bootCounter: 1, incarnation: 0 }, 0, 100, lan);
    for (let origin = 1; origin <= confirmations; origin++) suspicion.confirm(origin);
    expect(suspicion.timeoutMs).toBeCloseTo(timeoutMs, 6);
  });

  test('the first K confirmations are passed on, further ones are not', () => {
    const suspicion = new Suspicion(instant(0), { bootCounter: 1, incarnation: 0 }, 0, 100, lan);
    expect([1, 2, 3, 4, 5].map((origin) => suspicion.confirm(origin))).toEqual([true, true, true, false, false]);
  });

  test('one accuser that nobody confirms → the suspect has six times as long to refute', () => {
    const deathAfter = (confirmed: boolean): number => {
      const mesh = new SmallMesh(6);
      mesh.run(1_000);
      mesh.changes.length = 0;
      // Nobody hears 5's refutation. Only 4 can reach it, and answers for it to all who ask; or nobody can.
      const cut = (m: number) => m < 4 || confirmed;
      mesh.loses = (from, to, { updates }) =>
        (from === 5 && (cut(to) || updates.some((u) => u.member === 5 && u.incarnation > 0))) ||
        (to === 5 && cut(from));
      const doubt = { member: 5, state: 'suspect', bootCounter: 1, incarnation: 0, origin: 0 } as const;
      const begun = mesh.now;
      for (const to of [1, 2, 3, 4]) mesh.tell(to, 0, { kind: 'gossip', updates: [doubt] });
      mesh.run(9_000);
      return (
        (mesh.changes.find(({ member, to }) => member === 5 && to === 'dead')?.at ?? Number.POSITIVE_INFINITY) - begun
      );
    };
    // The others look for themselves, three rounds long, and 600 ms are over by then; alone it is six times that.
    expect(Math.abs(deathAfter(true) - 3 * T - 100)).toBeLessThan(200);
    expect(Math.abs(deathAfter(false) - 6 * 3 * T)).toBeLessThan(50);
  });
});

describe('Lifeguard §IV.C: the buddy system', () => {
  test('who begins to suspect tells the suspect before anybody else', () => {
    const { mesh } = looking();
    mesh.run(3 * T + 50);
    const told = mesh.said.filter(
      ({ from, message }) => from === 0 && message.updates.some((u) => u.state === 'suspect'),
    );
    expect(told[0]).toMatchObject({ to: 4, message: { kind: 'gossip' } });
  });

  test('every ping of a suspected member carries the suspicion', () => {
    const { mesh } = looking();
    mesh.run(3 * T + 1);
    mesh.said.length = 0;
    mesh.run(500);
    const pings = mesh.said.filter(({ to, message }) => to === 4 && message.kind === 'ping');
    expect(pings.length).toBeGreaterThan(3);
    for (const { from, message } of pings) {
      if (mesh.members[from]!.state(4) !== 'suspect') continue;
      expect(message.updates.some((u) => u.member === 4 && u.state === 'suspect')).toBe(true);
    }
  });

  test('a quarter of the messages lost, everybody suspected falsely in turn → all refute in time, nobody dies', () => {
    const mesh = new BareMesh({ size: 20, loss: 0.25, seed: 9 });
    for (let victim = 0; victim < 20; victim++) {
      mesh.at(2_000 + victim * 1_000, () => {
        const incarnation = mesh.members[victim]!.incarnationOf(victim);
        const doubt = { member: victim, state: 'suspect', bootCounter: 1, incarnation, origin: 0 } as const;
        const accuser = (victim + 1) % 20;
        mesh.tell(accuser, (victim + 2) % 20, { kind: 'gossip', updates: [doubt] });
      });
    }
    let suspected = 0;
    mesh.changed = (_at, _by, { to }) => {
      if (to === 'suspect') suspected++;
    };
    mesh.run(30_000);
    expect(suspected).toBeGreaterThan(20);
    expect(mesh.falseDeaths).toBe(0);
    expect(mesh.members.every((member) => member.aliveCount === 20)).toBe(true);
  });
});
