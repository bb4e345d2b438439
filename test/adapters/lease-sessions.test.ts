import { createHash, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { SystemClock } from '../../agent/adapters/clock.ts';
import { createLeaseSessions } from '../../agent/adapters/lease-sessions.ts';
import { SealDesk } from '../../agent/adapters/seal-desk.ts';
import type { SupervisorClient, Target } from '../../agent/adapters/supervisor/supervisor-client.ts';
import { agentId } from '../../agent/base/ids.ts';
import { Random } from '../../agent/base/random.ts';
import type { DirectMessage, Input } from '../../agent/core/input.ts';
import { bundleHash, type Sealed } from '../../agent/core/leases/ballot.ts';
import { cellStamp } from '../../agent/core/leases/cell-leases.ts';
import { Leases } from '../../agent/core/leases/leases.ts';
import { cellPlan, dutyLease } from '../core/leases/lease-crew.ts';
import { eventually } from '../support/eventually.ts';

describe('sessions of leases', () => {
  it('without a supervisor → drawn here, each another one, answered later than the call', async () => {
    const inputs: Input[] = [];
    const deliver = (input: Input) => inputs.push(input);
    const sessions = createLeaseSessions({ deliver, supervisor: undefined, targetOf: () => undefined });
    sessions.openSession('line', 1, [1, 2], 100);
    sessions.openSession('hall', 3, [1], 100);
    expect(inputs).toEqual([]);
    await eventually(() => inputs.length === 2);
    expect(inputs).toMatchObject([
      { kind: 'session-opened', cell: 'line', epoch: 1, id: expect.stringMatching(/^[0-9a-f]{64}$/) },
      { kind: 'session-opened', cell: 'hall', epoch: 3 },
    ]);
    expect(new Set(inputs.map((input) => (input.kind === 'session-opened' ? input.id : ''))).size).toBe(2);
  });

  it('with one → asked there, told addresses as they become known, and only then', () => {
    const asked: unknown[] = [];
    const known = new Map<number, Target>([[1, { host: '10.0.0.1', port: 7000 }]]);
    const supervisor = {
      session: (...words: unknown[]) => asked.push(['session', ...words]) > 0,
      targets: (...words: unknown[]) => asked.push(['targets', ...words]) > 0,
    } as unknown as SupervisorClient;
    const inputs: Input[] = [];
    const deliver = (input: Input) => inputs.push(input);
    const sessions = createLeaseSessions({ deliver, supervisor, targetOf: (agent) => known.get(agent) });
    sessions.openSession('line', 1, [1, 2], 100);
    sessions.refresh();
    expect(asked).toEqual([['session', 'line', 1, [{ host: '10.0.0.1', port: 7000 }], 100]]);
    known.set(2, { host: '10.0.0.2', port: 7000 });
    sessions.refresh();
    sessions.refresh();
    expect(asked.slice(1)).toEqual([['targets', 'line', 1, [...known.values()]]]);
    const id = createHash('sha256').update('x').digest('hex');
    sessions.said({ is: 'session', cell: 'line', epoch: 1, id });
    expect(inputs).toEqual([{ kind: 'session-opened', cell: 'line', epoch: 1, id }]);
  });
});

describe('the desk of seals', () => {
  const names = ['box-0', 'box-1', 'box-2'].map(agentId);
  const pairs = names.map(() => generateKeyPairSync('ed25519'));
  const leases = new Leases({
    cells: [cellPlan({ id: 'line-1', leases: [dutyLease('pump/poll', [0, 1, 2])] })],
    self: 0,
    agentIds: names,
    boot: () => 1,
    random: new Random(1),
    records: new Map(),
    isStoreWhole: true,
  });
  const forgeries: number[] = [];
  const deskOf = (self: number, key: KeyObject = pairs[self]!.privateKey) =>
    new SealDesk({
      site: 'plant',
      self,
      agentIds: names,
      key,
      keyOf: (name) => pairs[names.indexOf(agentId(name))]?.publicKey,
      leases: () => leases,
      forged: (from) => forgeries.push(from),
      bundle: () => {
        throw new Error('no statement is looked at here');
      },
      epochHash: () => undefined,
    });
  const seal: Sealed = {
    kind: 'lease-sealed',
    cell: cellStamp('line-1'),
    epoch: 1,
    successor: bundleHash('ab'.repeat(32)),
    boot: 1,
    reborn: [0, 0, 0],
    lingering: [],
  };
  const received = (from: number, message: DirectMessage): Input => ({ kind: 'message-received', from, message });

  it('a seal that its voter signed → passes; by anybody else, or by nobody → does not', () => {
    const own = deskOf(1).signed(seal);
    expect(deskOf(0).checked(received(1, own))).toBeDefined();
    expect(deskOf(0).checked(received(2, own))).toBeUndefined();
    expect(deskOf(0).checked(received(1, seal))).toBeUndefined();
    expect(forgeries).toEqual([2, 1]);
  });

  it('a certificate → our own seal is signed on the way out, and a forged one is not counted on the way in', () => {
    const theirs = deskOf(1).signed(seal) as Sealed;
    const forged = deskOf(2, pairs[1]!.privateKey).signed(seal) as Sealed;
    const certificate: DirectMessage = {
      kind: 'lease-epoch',
      cell: seal.cell,
      epoch: 1,
      successor: seal.successor,
      seals: [
        { voter: 0, sealed: seal },
        { voter: 1, sealed: theirs },
        { voter: 2, sealed: forged },
      ],
    };
    const taken = deskOf(2).checked(received(0, deskOf(0).signed(certificate)));
    expect(taken).toMatchObject({ message: { seals: [{ voter: 0 }, { voter: 1 }] } });
  });

  it('all else → is passed on as it is', () => {
    const ping: DirectMessage = { kind: 'ping', seq: 1, digestVersion: 0, updates: [] };
    expect(deskOf(0).signed(ping)).toBe(ping);
    const input = received(1, ping);
    expect(deskOf(0).checked(input)).toBe(input);
  });
});

describe("the holder's clock", () => {
  it('looked at ten thousand times → runs as fast as the monotonic one, since coarse clocks add nothing', () => {
    const clock = new SystemClock(() => {});
    // A busy box may take the processor away between any two readings.
    const reading = () => ({ before: clock.now(), elapsed: clock.elapsed(), after: clock.now() });
    const from = reading();
    for (let look = 0; look < 10_000; look++) clock.elapsed();
    const to = reading();
    const elapsed = to.elapsed - from.elapsed;
    expect(elapsed).toBeGreaterThan(to.before - from.after - 15);
    expect(elapsed).toBeLessThan((to.after - from.before) * 1.05 + 40);
    clock.stop();
  });
});
