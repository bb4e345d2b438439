import { describe, expect, it } from 'vitest';
import { agentId } from '../../../agent/base/ids.ts';
import { instant } from '../../../agent/base/time.ts';
import type { ForcedEpoch } from '../../../agent/core/leases/ballot.ts';
import { cellStamp } from '../../../agent/core/leases/cell-leases.ts';
import type { CellPlan } from '../../../agent/core/leases/cell-plan.ts';
import { storedEpoch } from '../../../agent/core/leases/cell-record.ts';
import { tokenHex } from '../../../agent/core/leases/fencing-token.ts';
import { leaseDefaults } from '../../../agent/core/leases/options.ts';
import { cellPlan, dutyLease, LeaseCrew, permitLease } from './lease-crew.ts';

const pump = 'duty:pump/poll';
const three: CellPlan = cellPlan({ leases: [dutyLease('pump/poll', [0, 1, 2])] });
const { leaseMs } = leaseDefaults;

const held =
  (crew: LeaseCrew, lease = pump) =>
  () =>
    crew.holders(lease).length === 1;

function startedCrew(plan: CellPlan = three, size = 3): LeaseCrew {
  const crew = new LeaseCrew(size, [plan]).startAll();
  for (const { index } of crew.mates) crew.want(index, pump, 40 * index);
  return crew;
}

/** Somebody held, and then two of the three lost their stores and started again. */
function forgetfulMajority(): LeaseCrew {
  const crew = startedCrew();
  holderOf(crew);
  for (const index of [0, 1]) {
    crew.kill(index);
    crew.mates[index]!.disk.entries.length = 0;
    crew.mates[index]!.disk.isWhole = false;
  }
  for (const index of [0, 1]) crew.start(index);
  return crew;
}

function holderOf(crew: LeaseCrew, lease = pump): number {
  crew.runUntil(held(crew, lease));
  return crew.holders(lease)[0]!;
}

describe('floors for gateways', () => {
  it('a new site → every candidate is told that nothing was granted yet, before anybody holds', () => {
    const crew = startedCrew();
    crew.run(500);
    expect(crew.holders(pump)).toEqual([]);
    for (const mate of crew.mates) expect([...mate.floors]).toEqual([[pump, '0001000000000001']]);
  });

  it('a box returns after its successor took over → its gateway begins from the token of the successor', () => {
    const crew = startedCrew();
    const dead = holderOf(crew);
    crew.kill(dead);
    crew.runUntil(held(crew));
    const { token } = crew.mates[crew.holders(pump)[0]!]!.held.get(pump)!;
    expect(Number(token)).toBeGreaterThan(1);
    crew.start(dead);
    crew.run(50);
    expect(crew.mates[dead]!.floors.get(pump)).toBe(tokenHex({ epoch: 1, counter: Number(token) }));
  });

  it('fewer voters in reach than a majority → nothing is told, and how far it is; in reach again → told', () => {
    const crew = new LeaseCrew(4, [cellPlan({ leases: [dutyLease('pump/poll', [0, 1, 2, 3])] })]).startAll();
    for (const other of [1, 2]) crew.blocked.add(`${other}>3`);
    crew.start(3);
    crew.run(8_000);
    const returned = crew.mates[3]!;
    expect(returned.floors.size).toBe(0);
    expect(returned.leases!.cells[0]!.floorsRead).toEqual({ read: 1, needed: 2, done: false });
    crew.blocked.clear();
    crew.run(2_500);
    expect(returned.floors.has(pump)).toBe(true);
    expect(returned.leases!.cells[0]!.floorsRead).toMatchObject({ done: true });
  });

  it('a voter that lost its memory → tells nothing before it has read the others', () => {
    const crew = forgetfulMajority();
    crew.run(20_000);
    expect(crew.mates[0]!.leases!.cells[0]!.voterState).toBe('unborn');
    expect(crew.mates[0]!.floors.size).toBe(0);
    expect(crew.mates[0]!.leases!.cells[0]!.floorsRead).toEqual({ read: 1, needed: 2, done: false });
  });

  it('acquired before the voters were read → that right itself says what the floor is', () => {
    const crew = startedCrew();
    // Answers to the question are lost; the votes are not.
    crew.drop = (message) => message.kind === 'lease-floors';
    const holder = holderOf(crew);
    const { token } = crew.mates[holder]!.held.get(pump)!;
    expect(crew.mates[holder]!.floors.get(pump)).toBe(tokenHex({ epoch: 1, counter: Number(token) }));
    expect(crew.mates[(holder + 1) % 3]!.floors.size).toBe(0);
  });

  it('the next epoch begins → floors of all leases rise to it at once, also of those that are no more', () => {
    const crew = startedCrew();
    holderOf(crew);
    const next = cellPlan({ leases: [dutyLease('fan/poll', [0, 1, 2])], epoch: 2 });
    const ids = crew.mates.map((_, index) => agentId(`box-${index}`));
    crew.drop = (message) => message.kind === 'lease-floors';
    for (const mate of crew.mates)
      crew.do(mate, (leases, out) => leases.accept(crew.time(), 'line-1', storedEpoch(next, ids), out));
    crew.run(1_000);
    for (const mate of crew.mates) {
      expect(mate.leases!.cells[0]!.epoch).toBe(2);
      expect(mate.floors.get(pump)).toBe('0002000000000001');
      expect(mate.floors.get('duty:fan/poll')).toBe('0002000000000001');
    }
  });
});

describe('a majority of the voters is gone for good', () => {
  const agents = [0, 1, 2, 3];
  const old = cellPlan({
    members: agents,
    leases: [dutyLease('pump/poll', agents), permitLease('rebooting', agents, 5_000)],
  });
  const renewed: CellPlan = { ...old, epoch: 2, voters: [2, 3, 0] };
  const ids = agents.map((index) => agentId(`box-${index}`));
  const { hash } = storedEpoch(renewed, ids);
  const statement = (poweredOff: readonly number[]): ForcedEpoch => ({
    kind: 'lease-forced',
    cell: cellStamp('line-1'),
    epoch: 1,
    successor: hash,
    poweredOff,
    document: 'signed',
  });
  const begun = (): LeaseCrew => {
    const crew = startedCrew(old, 4);
    holderOf(crew);
    for (const gone of [0, 1]) crew.kill(gone);
    crew.run(4_000);
    expect(crew.holders(pump)).toEqual([]);
    for (const mate of crew.mates)
      crew.do(mate, (leases, out) => leases.accept(crew.time(), 'line-1', storedEpoch(renewed, ids), out));
    crew.run(2_000);
    // Without them nobody seals often enough.
    expect(crew.mates[2]!.leases!.cells[0]!.epoch).toBe(1);
    return crew;
  };
  const force = (crew: LeaseCrew, index: number, poweredOff: readonly number[]): void =>
    crew.do(crew.mates[index]!, (leases, out) => leases.message(crew.time(), index, 1, statement(poweredOff), out));

  it('forced at one box → all follow; duties after T, permits that anybody may have held only after their linger', () => {
    const crew = begun();
    for (const index of [2, 3]) crew.want(index, 'guard:line-1/rebooting/slot-1');
    force(crew, 2, [0, 1]);
    const forcedAt = crew.now;
    const dutyMs = crew.runUntil(held(crew));
    expect(dutyMs).toBeGreaterThan(leaseMs);
    expect(dutyMs).toBeLessThan(leaseMs + 1_000 + 7_500);
    for (const index of [2, 3]) expect(crew.mates[index]!.leases!.cells[0]!.epoch).toBe(2);
    expect(crew.mates[crew.holders(pump)[0]!]!.floors.get(pump)).toMatch(/^0002/);
    crew.runUntil(held(crew, 'guard:line-1/rebooting/slot-1'), 30_000);
    expect(crew.now - forcedAt).toBeGreaterThan((leaseMs + 5_000) * 1.02);
  });

  it('too few attested → nothing happens', () => {
    const crew = begun();
    force(crew, 2, [0]);
    force(crew, 2, [2, 3, 9]);
    crew.run(10_000);
    expect(crew.mates[2]!.leases!.cells[0]!.epoch).toBe(1);
  });

  it('the process restarts in the middle of the wait → it begins the wait anew, in the new epoch, permits as taken as before', () => {
    const crew = begun();
    force(crew, 2, [0, 1]);
    crew.runUntil(() => crew.mates[2]!.leases!.cells[0]!.epoch === 2);
    crew.plan = [renewed];
    crew.run(1_500);
    crew.start(2);
    crew.want(2, pump);
    expect(crew.mates[2]!.leases!.cells[0]!.epoch).toBe(2);
    const record = crew.records(crew.mates[2]!).get('line-1')!;
    expect(record.certificates).toMatchObject([{ kind: 'lease-forced', document: 'signed' }]);
    expect(record.voter!.lingering[1]).toMatchObject({ counter: 0, remainingMs: expect.any(Number) });
    expect(crew.runUntil(held(crew))).toBeGreaterThan(leaseMs);
  });

  it('a voter that was attested to be off comes back → is shown the statement, and follows', () => {
    const crew = begun();
    force(crew, 2, [0, 1]);
    crew.runUntil(held(crew));
    crew.plan = [renewed];
    crew.start(0);
    expect(crew.mates[0]!.leases!.cells[0]!.epoch).toBe(1);
    crew.runUntil(() => crew.mates[0]!.leases!.cells[0]!.epoch === 2);
    expect(crew.mates[0]!.observed).toContain('forced');
  });

  it('memory of a majority lost → the voters say after ten seconds that a person is needed, and how many remember', () => {
    const crew = forgetfulMajority();
    crew.run(9_000);
    expect(crew.mates[0]!.observed).toContain('unborn');
    expect(crew.mates[0]!.observed).not.toContain('stranded');
    crew.run(6_000);
    expect(crew.mates[0]!.observed.filter((what) => what === 'stranded')).toHaveLength(1);
    expect(crew.mates[0]!.leases!.cells[0]!.rebirth).toEqual({ remember: 1, needed: 2, isStranded: true });
    expect(crew.mates[2]!.leases!.cells[0]!.rebirth).toBeUndefined();
  });

  it('the only voter lost its memory → says so at once: there is nobody to ask', () => {
    const crew = new LeaseCrew(2, [cellPlan({ voters: [0], leases: [dutyLease('pump/poll', [0, 1])] })]).startAll();
    crew.kill(0);
    crew.mates[0]!.disk.entries.length = 0;
    crew.mates[0]!.disk.isWhole = false;
    crew.start(0);
    crew.run(100);
    expect(crew.mates[0]!.observed).toEqual(['unborn', 'stranded']);
  });
});

describe('leases of a cell', () => {
  it('a new site → voters are mute first, then one candidate holds, and goes on holding', () => {
    const crew = startedCrew();
    expect(crew.run(leaseMs).holders(pump)).toEqual([]);
    const holder = holderOf(crew);
    crew.run(10_000, () => expect(crew.holders(pump)).toEqual([holder]));
    expect(crew.history).toEqual([expect.stringContaining(`${holder} acquired duty:pump/poll`)]);
  });

  it('the holder dies → another one holds after about T, under a larger token', () => {
    const crew = startedCrew();
    const dead = holderOf(crew);
    crew.run(3_000);
    const before = crew.mates[dead]!.held.get(pump)!.token;
    crew.kill(dead);
    const tookMs = crew.runUntil(held(crew));
    expect(tookMs).toBeGreaterThan(leaseMs - 500 - 100);
    expect(tookMs).toBeLessThan(leaseMs + 500);
    const next = crew.mates[holderOf(crew)]!;
    expect(next.index).not.toBe(dead);
    expect(Number(next.held.get(pump)!.token)).toBeGreaterThan(Number(before));
  });

  it('a death certificate → the duty is free at once', () => {
    const crew = startedCrew();
    const dead = holderOf(crew);
    crew.run(3_000);
    crew.kill(dead);
    crew.certify(crew.mates[dead]!);
    expect(crew.runUntil(held(crew))).toBeLessThan(200);
    expect(crew.holders(pump)).not.toEqual([dead]);
  });

  it('the holder stands still for 5 s → it is lost before anything else is judged, and never held twice', () => {
    const crew = startedCrew();
    const frozen = holderOf(crew);
    crew.mates[frozen]!.frozenUntil = crew.now + 5_000;
    crew.run(10_000, () => expect(crew.holders(pump).length).toBeLessThan(2));
    expect(crew.holders(pump)).toHaveLength(1);
    expect(crew.holders(pump)).not.toEqual([frozen]);
    expect(crew.history).toContainEqual(expect.stringMatching(new RegExp(` ${frozen} lost duty:pump/poll$`)));
  });

  it('a voter restarts within T of granting → it is mute, and the others carry the lease on', () => {
    const crew = startedCrew();
    const holder = holderOf(crew);
    const voter = (holder + 1) % 3;
    crew.kill(voter);
    crew.start(voter);
    expect(crew.mates[voter]!.leases!.cells[0]!.voterStateAt(instant(crew.now))).toBe('starting');
    const state = () => crew.mates[voter]!.leases!.cells[0]!.voterStateAt(instant(crew.now));
    crew.run(500);
    expect(state()).toBe('mute');
    crew.run(5_000, () => expect(crew.holders(pump)).toEqual([holder]));
    expect(state()).toBe('voting');
    expect(crew.mates[voter]!.observed).toContain('voting');
    expect(crew.mates[voter]!.observed).not.toContain('unborn');
  });

  it('a voter that lost its store → is unborn by what its peers remember, reads them, and votes again', () => {
    const crew = startedCrew();
    crew.runUntil(held(crew));
    crew.run(1_000);
    crew.kill(2);
    crew.mates[2]!.disk.entries.length = 0;
    crew.start(2);
    crew.run(10_000);
    expect(crew.mates[2]!.observed).toEqual(expect.arrayContaining(['unborn', 'born']));
    expect(crew.mates[2]!.leases!.cells[0]!.voterStateAt(instant(crew.now))).toBe('voting');
  });

  it('a store that was damaged and begun anew → founds nothing: the voter knows that it lost its memory', () => {
    const crew = new LeaseCrew(3, [three]);
    crew.mates[2]!.disk.isWhole = false;
    crew.startAll().run(100);
    expect(crew.mates[2]!.observed).toContain('unborn');
    expect(crew.mates[0]!.observed).not.toContain('unborn');
  });

  it('a full disk → the voter is silent and says so; a majority of the others still grants', () => {
    const crew = startedCrew();
    crew.runUntil(held(crew));
    crew.mates[2]!.disk.isFull = true;
    crew.kill(0);
    crew.start(0);
    crew.want(0, pump);
    crew.run(10_000);
    expect(crew.mates[2]!.observed).toContain('failed');
    expect(crew.holders(pump)).toHaveLength(1);
  });

  it('one voter of three in reach → nobody holds, and nobody ever thinks so', () => {
    const crew = startedCrew();
    crew.runUntil(held(crew));
    crew.kill(1);
    crew.kill(2);
    crew.run(leaseMs);
    crew.run(10_000, () => expect(crew.holders(pump)).toEqual([]));
  });

  it('a witness → votes and is never a candidate', () => {
    const crew = startedCrew(cellPlan({ leases: [dutyLease('pump/poll', [0, 1])] }));
    crew.runUntil(held(crew));
    const dead = holderOf(crew);
    crew.kill(dead);
    expect(holderOf(crew)).toBe(1 - dead);
    expect(crew.history.filter((line) => line.includes(' 2 '))).toEqual([]);
  });

  it('one voter alone → holds by its own word, over a restart', () => {
    const crew = startedCrew(cellPlan({ members: [0], voters: [0], leases: [dutyLease('pump/poll', [0])] }), 1);
    crew.runUntil(held(crew));
    crew.kill(0);
    crew.start(0);
    crew.want(0, pump);
    crew.runUntil(held(crew));
    expect(crew.history.at(-1)).toMatch(/acquired duty:pump\/poll [23]$/);
  });

  it('a renewed lease → costs each voter a few messages a second and no write', () => {
    const crew = startedCrew();
    crew.runUntil(held(crew));
    crew.run(2_000);
    const written = crew.mates.map(({ disk }) => disk.entries.length);
    const before = crew.messages;
    crew.run(10_000);
    expect(crew.mates.map(({ disk }) => disk.entries.length)).toEqual(written);
    expect((crew.messages - before) / 10).toBeLessThan(20);
  });
});

describe('a cell goes to its next epoch', () => {
  const next: CellPlan = cellPlan({
    epoch: 2,
    voters: [1, 2, 3],
    members: [0, 1, 2, 3],
    leases: [dutyLease('fan/poll', [0, 1, 2, 3], 1), dutyLease('pump/poll', [0, 1, 2, 3])],
  });
  const four = cellPlan({ members: [0, 1, 2, 3], leases: [dutyLease('pump/poll', [0, 1, 2, 3])] });

  function restartWith(crew: LeaseCrew, index: number, plan: CellPlan): void {
    crew.plan = [plan];
    crew.kill(index);
    crew.start(index);
    crew.want(index, pump, 40 * index);
    crew.want(index, 'duty:fan/poll', 40 * (3 - index));
  }

  it('restarted one by one with the new site file → the old epoch is spoken until q of its voters sealed', () => {
    const crew = startedCrew(four, 4);
    crew.runUntil(held(crew));
    const never = () => {
      expect(crew.holders(pump).length).toBeLessThan(2);
      expect(crew.holders('duty:fan/poll').length).toBeLessThan(2);
    };
    for (const index of [3, 2, 1, 0]) {
      restartWith(crew, index, next);
      crew.run(3_000, never);
    }
    crew.run(20_000, never);
    expect(crew.mates.map(({ leases }) => leases!.cells[0]!.epoch)).toEqual([2, 2, 2, 2]);
    expect(crew.holders(pump)).toHaveLength(1);
    expect(crew.holders('duty:fan/poll')).toHaveLength(1);
  });

  it('whoever is no new voter restarts first → the old epoch is spoken on, and nothing pauses until a new voter has the file', () => {
    const to: CellPlan = { ...next, voters: [3] };
    const crew = startedCrew(four, 4);
    const holder = holderOf(crew);
    for (const index of [0, 1, 2]) {
      if (index === holder) continue;
      restartWith(crew, index, to);
      crew.run(5_000, () => expect(crew.holders(pump)).toEqual([holder]));
    }
    expect(crew.mates.map(({ leases }) => leases!.cells[0]!.epoch)).toEqual([1, 1, 1, 1]);
    restartWith(crew, holder, to);
    restartWith(crew, 3, to);
    crew.run(20_000, () => expect(crew.holders(pump).length).toBeLessThan(2));
    expect(crew.mates.map(({ leases }) => leases!.cells[0]!.epoch)).toEqual([2, 2, 2, 2]);
    expect(crew.holders(pump)).toHaveLength(1);
  });

  it('accepted by all while they run → the epoch begins everywhere without a restart, and the work pauses for as long as new voters are mute', () => {
    const crew = startedCrew(four, 4);
    crew.runUntil(held(crew));
    const ids = crew.mates.map((_, agent) => agentId(`box-${agent}`));
    for (const { index } of crew.mates) crew.want(index, 'duty:fan/poll', 40 * (3 - index));
    for (const mate of crew.mates) {
      crew.run(50);
      crew.do(mate, (leases, out) => leases.accept(crew.time(), 'line-1', storedEpoch(next, ids), out));
    }
    let idleMs = 0;
    for (let gone = 0; gone < 10_000; gone += 10) {
      crew.run(10, () => expect(crew.holders(pump).length).toBeLessThan(2));
      if (crew.holders(pump).length === 0) idleMs += 10;
    }
    expect(crew.mates.map(({ leases }) => leases!.cells[0]!.epoch)).toEqual([2, 2, 2, 2]);
    expect(crew.mates.map(({ boots }) => boots)).toEqual([1, 1, 1, 1]);
    expect(crew.holders(pump)).toHaveLength(1);
    expect(idleMs).toBeLessThan(next.options.leaseMs * 1.25);
    // Written down: after a restart with that site file everybody speaks on.
    for (const { index } of crew.mates) restartWith(crew, index, next);
    crew.run(10_000, () => expect(crew.holders(pump).length).toBeLessThan(2));
    expect(crew.mates.map(({ leases }) => leases!.cells[0]!.isConflicting)).toEqual([false, false, false, false]);
    expect(crew.holders('duty:fan/poll')).toHaveLength(1);
  });

  it('accepted while they run, but not the next one → nothing happens', () => {
    const crew = startedCrew(four, 4);
    const holder = holderOf(crew);
    const ids = crew.mates.map((_, agent) => agentId(`box-${agent}`));
    for (const epoch of [1, 3, 7]) {
      const other = storedEpoch({ ...next, epoch }, ids);
      for (const mate of crew.mates) crew.do(mate, (leases, out) => leases.accept(crew.time(), 'line-1', other, out));
    }
    crew.run(3_000, () => expect(crew.holders(pump)).toEqual([holder]));
    expect(crew.mates.map(({ leases }) => leases!.cells[0]!.epoch)).toEqual([1, 1, 1, 1]);
  });

  it('who was away meanwhile → is shown the certificate, and follows', () => {
    const crew = startedCrew(four, 4);
    crew.runUntil(held(crew));
    crew.kill(0);
    for (const index of [1, 2, 3]) restartWith(crew, index, next);
    crew.run(20_000);
    restartWith(crew, 0, next);
    crew.run(20_000, () => expect(crew.holders(pump).length).toBeLessThan(2));
    expect(crew.mates[0]!.leases!.cells[0]!.epoch).toBe(2);
  });

  it('other leases under the same epoch → the spoken ones stay, and it is said', () => {
    const crew = startedCrew(four, 4);
    crew.runUntil(held(crew));
    crew.plan = [cellPlan({ members: [0, 1, 2, 3], voters: [1, 2, 3], leases: four.leases })];
    crew.kill(0);
    crew.start(0);
    crew.run(100);
    expect(crew.mates[0]!.observed).toContain('conflict');
    expect(crew.mates[0]!.leases!.cells[0]!.voters).toEqual([0, 1, 2]);
  });

  it('an epoch that skips one → is not begun', () => {
    const crew = startedCrew(four, 4);
    crew.runUntil(held(crew));
    restartWith(crew, 0, { ...next, epoch: 3 });
    crew.run(5_000);
    expect(crew.mates[0]!.observed).toContain('epoch-mismatch');
    expect(crew.mates[0]!.leases!.cells[0]!.epoch).toBe(1);
  });
});
