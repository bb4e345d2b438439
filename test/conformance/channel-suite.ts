import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { bootId } from '../../agent/base/ids.ts';
import { wallTime } from '../../agent/base/time.ts';
import type { HealthDigest } from '../../agent/core/health/digest.ts';
import type { DirectMessage, Input } from '../../agent/core/input.ts';
import { sessionId } from '../../agent/core/leases/session.ts';
import type { MeshPort } from '../../agent/driver/ports.ts';

/**
 * What every channel under a `MeshPort` must do, stated once and run on the simulated network and on real libp2p
 * nodes, so that the two cannot drift apart. A harness makes a small world of channels; the suite never sleeps by
 * itself but asks the harness to let time pass, which is virtual in the one and real in the other.
 */
export interface ChannelHarness {
  /** `count` channels that know one another (same site, one cell), lossless while not cut. */
  start(count: number): Promise<ChannelWorld>;
}

export interface ChannelWorld {
  port(agent: number): MeshPort;
  /** Everything delivered to `agent` since the start, oldest first. */
  received(agent: number): readonly Input[];
  counters(agent: number): ChannelCounters;
  /** Lets at least `ms` of the channel's time pass and delivers what falls due. */
  advance(ms: number): Promise<void>;
  /** Closes the connections between two agents and keeps new ones from coming up. */
  cut(a: number, b: number): Promise<void>;
  heal(a: number, b: number): Promise<void>;
  /** Hands `bytes` as one frame of the direct stream to `to`, as if `from`'s (admitted) process had written them. */
  inject(from: number, to: number, bytes: Uint8Array): Promise<void>;
  stop(): Promise<void>;
}

export interface ChannelCounters {
  /** Messages that this agent wanted to send and that never left: not connected, queue full, too large. */
  readonly dropped: number;
  /** Frames received that no honest agent writes. */
  readonly garbage: number;
}

/** How many entries of each kind the harness's plan has; indices at or above are garbage. */
export const suiteBounds = { duties: 8, checks: 8, models: 8 } as const;

/** The conformance suite. `patienceMs` bounds every wait, in the channel's own time. */
export function channelSuite(name: string, harness: ChannelHarness, patienceMs = 20_000): void {
  describe(`channel conformance: ${name}`, () => {
    let world: ChannelWorld;

    const until = async (what: string, holds: () => boolean): Promise<void> => {
      for (let passed = 0; passed < patienceMs; passed += 25) {
        if (holds()) return;
        await world.advance(25);
      }
      expect.fail(`not within ${patienceMs} ms: ${what}`);
    };
    const messages = (agent: number, from: number): DirectMessage[] =>
      world.received(agent).flatMap((i) => (i.kind === 'message-received' && i.from === from ? [i.message] : []));
    const digests = (agent: number): HealthDigest[] =>
      world.received(agent).flatMap((i) => (i.kind === 'digest-received' ? [i.digest] : []));
    const count = (agent: number, kind: 'peer-connected' | 'peer-disconnected', peer: number): number =>
      world.received(agent).filter((i) => i.kind === kind && i.peer === peer).length;
    const connected = (agent: number, peer: number): boolean =>
      count(agent, 'peer-connected', peer) > count(agent, 'peer-disconnected', peer);
    const arrives = async (from: number, to: number, seq: number): Promise<void> => {
      world.port(from).send(to, ping(seq));
      await until(`ping ${seq} from ${from} at ${to}`, () =>
        messages(to, from).some((m) => m.kind === 'ping' && m.seq === seq),
      );
    };

    beforeEach(async () => {
      world = await harness.start(3);
      await until('all pairs connected', () =>
        [0, 1, 2].every((a) => [0, 1, 2].every((b) => a === b || connected(a, b))),
      );
    });

    afterEach(async () => {
      await world.stop();
    });

    it('a message of each kind → arrives unchanged, with the sender that the connection proves', async () => {
      for (const message of samples) world.port(0).send(1, message);
      await until('all samples', () => messages(1, 0).length >= samples.length);
      const got = messages(1, 0);
      expect(got.length).toBe(samples.length);
      for (const message of samples) expect(got).toContainEqual(message);
      expect(messages(2, 0)).toEqual([]);
    });

    it('500 probes in a burst → all arrive, once each, in order', async () => {
      for (let seq = 1; seq <= 500; seq++) world.port(0).send(1, ping(seq));
      await until('500 pings', () => messages(1, 0).length >= 500);
      await world.advance(100);
      expect(messages(1, 0).map((m) => (m.kind === 'ping' ? m.seq : -1))).toEqual(
        Array.from({ length: 500 }, (_, i) => i + 1),
      );
    });

    it('a digest is published → every other agent gets it once, the publisher does not', async () => {
      world.port(0).publish(digest(0, 1));
      await until('digest at 1 and 2', () => digests(1).length > 0 && digests(2).length > 0);
      await world.advance(500);
      expect(digests(1)).toEqual([digest(0, 1)]);
      expect(digests(2)).toEqual([digest(0, 1)]);
      expect(digests(0)).toEqual([]);
    });

    it('an older digest after a newer one → is not delivered: last writer wins by (boot, sequence)', async () => {
      world.port(0).publish(digest(0, 5));
      await until('sequence 5 at 1 and 2', () => digests(1).length > 0 && digests(2).length > 0);
      world.port(0).publish(digest(0, 4));
      world.port(0).publish(digest(0, 6));
      await until('sequence 6 at 1 and 2', () => digests(1).length > 1 && digests(2).length > 1);
      await world.advance(500);
      expect(digests(1).map((d) => d.sequence)).toEqual([5, 6]);
      expect(digests(2).map((d) => d.sequence)).toEqual([5, 6]);
    });

    it('a digest was published while the line was cut → told to who connects', async () => {
      await world.cut(0, 1);
      await world.cut(1, 2);
      await until('1 is alone', () => !connected(0, 1) && !connected(1, 0) && !connected(1, 2) && !connected(2, 1));
      world.port(0).publish(digest(0, 5));
      await until('digest at 2', () => digests(2).length > 0);
      expect(digests(1)).toEqual([]);
      await world.heal(0, 1);
      await until('digest at 1', () => digests(1).length > 0);
      expect(digests(1)).toEqual([digest(0, 5)]);
    });

    it('a digest is handed on by one who holds it → taken as its origin said it, once; its own and older ones are not', async () => {
      await world.cut(0, 1);
      await world.cut(1, 2);
      await until('1 is alone', () => !connected(0, 1) && !connected(1, 0) && !connected(1, 2) && !connected(2, 1));
      world.port(0).publish(digest(0, 5));
      await until('digest at 2', () => digests(2).length > 0);
      await world.heal(1, 2);
      await until('1 and 2 connected', () => connected(1, 2) && connected(2, 1));
      world.port(2).tellDigests(1, [digest(0, 5)]);
      world.port(2).tellDigests(1, [digest(0, 5)]);
      world.port(2).tellDigests(0, [digest(0, 5)]);
      world.port(2).tellDigests(77, [digest(0, 5)]);
      await until('digest at 1', () => digests(1).length > 0);
      await world.advance(500);
      expect(digests(1)).toEqual([digest(0, 5)]);
      expect(digests(0)).toEqual([]);
    });

    it('the connection is lost → both sides hear of it once, the third is untouched; healed → connected again', async () => {
      await world.cut(0, 1);
      await until('0 and 1 disconnected', () => !connected(0, 1) && !connected(1, 0));
      expect(count(0, 'peer-disconnected', 1)).toBe(1);
      expect(count(1, 'peer-disconnected', 0)).toBe(1);
      expect([connected(0, 2), connected(2, 0), connected(1, 2), connected(2, 1)]).toEqual([true, true, true, true]);
      await arrives(2, 0, 7);
      await world.heal(0, 1);
      await until('0 and 1 connected again', () => connected(0, 1) && connected(1, 0));
      await arrives(0, 1, 8);
      await arrives(1, 0, 9);
    });

    it('sent while not connected → dropped and counted, never thrown, never delivered later', async () => {
      await world.cut(0, 1);
      await until('0 and 1 disconnected', () => !connected(0, 1) && !connected(1, 0));
      const before = world.counters(0).dropped;
      for (let seq = 1; seq <= 10; seq++) world.port(0).send(1, ping(seq));
      expect(world.counters(0).dropped - before).toBe(10);
      await world.heal(0, 1);
      await until('connected again', () => connected(0, 1) && connected(1, 0));
      await arrives(0, 1, 11);
      expect(messages(1, 0)).toEqual([ping(11)]);
    });

    it('sent to itself or to nobody → dropped and counted, never thrown', () => {
      const before = world.counters(0).dropped;
      world.port(0).send(0, ping(1));
      world.port(0).send(77, ping(2));
      world.port(0).send(-1, ping(3));
      expect(world.counters(0).dropped - before).toBe(3);
      expect(messages(0, 0)).toEqual([]);
    });

    it('120 MB of checkpoints at once → the queue stays bounded, the rest is dropped and counted, probes still pass', async () => {
      const before = world.counters(0).dropped;
      for (let sequence = 1; sequence <= 2000; sequence++) world.port(0).send(1, checkpoint(sequence, 60_000));
      const dropped = world.counters(0).dropped - before;
      // A queue that swallows more than 16 MB for one peer is not bounded in any sense that a small box can afford.
      expect(dropped).toBeGreaterThan(2000 - 16_000_000 / 60_000);
      await arrives(0, 1, 1);
      await until('what was accepted arrives', () => messages(1, 0).length - 1 >= 2000 - dropped);
      const sequences = messages(1, 0).flatMap((m) => (m.kind === 'checkpoint' ? [m.checkpoint.sequence] : []));
      expect(sequences.length).toBe(2000 - dropped);
      expect(sequences).toEqual(sequences.toSorted((a, b) => a - b));
    });

    it('a checkpoint of 64 kB passes, one byte more → dropped at the sender and counted', async () => {
      const before = world.counters(0).dropped;
      world.port(0).send(1, checkpoint(1, 65_537));
      expect(world.counters(0).dropped - before).toBe(1);
      world.port(0).send(1, checkpoint(2, 65_536));
      await until('64 kB', () => messages(1, 0).length > 0);
      expect(messages(1, 0)).toEqual([checkpoint(2, 65_536)]);
    });

    it('garbage in frames → counted and dropped at the receiver, the channel carries on', async () => {
      const garbage = [
        new Uint8Array([0]),
        new Uint8Array([0xff, 0xff, 0xff]),
        new TextEncoder().encode('GET / HTTP/1.1\r\n\r\n'),
        // [1, -1, 0]: a ping whose sequence is negative.
        new Uint8Array([0x83, 0x01, 0x20, 0x00]),
        // [3, 1, 200]: a request to probe agent 200 of three.
        new Uint8Array([0x83, 0x03, 0x01, 0x18, 0xc8]),
        // [99]: a kind that nobody speaks.
        new Uint8Array([0x81, 0x18, 0x63]),
        // Arrays within arrays, two thousand deep.
        new Uint8Array(2000).fill(0x81),
      ];
      for (const bytes of garbage) await world.inject(0, 1, bytes);
      await until('all garbage counted', () => world.counters(1).garbage >= garbage.length);
      await arrives(0, 1, 1);
      expect(messages(1, 0)).toEqual([ping(1)]);
      expect(world.counters(1).garbage).toBe(garbage.length);
      expect(world.counters(2).garbage).toBe(0);
    });
  });
}

const ping = (seq: number): DirectMessage => ({ kind: 'ping', seq, digestVersion: 0, updates: [] });

const checkpoint = (sequence: number, bytes: number): DirectMessage => ({
  kind: 'checkpoint',
  checkpoint: {
    duty: 1,
    term: 2,
    sequence,
    takenAt: wallTime(1_700_000_000_000),
    data: new Uint8Array(bytes).fill(sequence & 0xff),
  },
});

const digest = (agent: number, sequence: number): HealthDigest => ({
  agent,
  bootCounter: 4,
  sequence,
  checks: [{ check: 3, status: 'crit' }],
  judges: [1, 3],
  anomalous: [2],
  duties: [{ duty: 0, term: 9 }],
  localHealth: 1,
  coordinator: 'lost',
});

const session = { agent: 2, boot: 7, id: sessionId('ab'.repeat(32)) };

const update = { member: 2, state: 'suspect', bootCounter: 3, incarnation: 70_000, origin: 1 } as const;

/** One of each kind, with and without passengers. */
const samples: readonly DirectMessage[] = [
  {
    kind: 'hello',
    boot: bootId('00112233445566778899aabbccddeeff'),
    bootCounter: 3,
    incarnation: 2,
    updates: [update],
  },
  { kind: 'ping', seq: 1, digestVersion: 0, updates: [] },
  { kind: 'ping', seq: 2 ** 40, digestVersion: 2 ** 52, updates: [update, { ...update, state: 'dead' }] },
  { kind: 'ack', seq: 3, digestVersion: 9, updates: [{ ...update, state: 'left' }] },
  { kind: 'ping-request', seq: 4, target: 2, updates: [{ ...update, state: 'alive' }] },
  { kind: 'nack', seq: 5, updates: [] },
  { kind: 'gossip', updates: [update] },
  { kind: 'gossip', updates: [], wants: [2, 0] },
  { kind: 'claim', bootCounter: 1, seq: 6, duties: [{ duty: 7, term: 2, heard: [0, 2] }] },
  { kind: 'claim', bootCounter: 1, seq: 7, duties: [] },
  { kind: 'sync', hash: 7, digests: 0xffff_ffff, updates: [] },
  { kind: 'digest-buckets', hashes: [0, 0xffff_ffff] },
  { kind: 'digest-versions', buckets: [1, 0], versions: [{ agent: 2, bootCounter: 3, sequence: 2 ** 40 }] },
  { kind: 'digest-wants', agents: [0, 2] },
  { kind: 'handover-taken', duty: 3, term: 1, sequence: 8 },
  {
    kind: 'lease-request',
    cell: 0xdead_beef,
    epoch: 2,
    session,
    rid: 9,
    leaseMs: 2000,
    items: [
      { lease: 0, counter: 2 ** 47 },
      { lease: 3, counter: 1 },
    ],
    listHash: 2 ** 52,
    heard: { boot: 4, nonce: 2 ** 47 },
  },
  {
    kind: 'lease-answer',
    cell: 1,
    epoch: 2,
    session: session.id,
    rid: 9,
    got: [{ lease: 0, counter: 5 }],
    refused: [{ lease: 3, counter: 1, maxCounter: 7, freeInMs: 1_500 }],
    life: { boot: 1, nonce: 2 },
  },
  {
    kind: 'voter-recalled',
    cell: 1,
    epoch: 2,
    round: 3,
    remembered: { boot: 1, nonce: 2 },
    memory: {
      longestMs: 2000,
      maxCounters: [0, 9],
      sealedFor: undefined,
      lingering: [{ lease: 1, counter: 9, session, remainingMs: 700 }],
    },
  },
  { kind: 'lease-floors-wanted', cell: 1, epoch: 2, round: 3 },
  { kind: 'lease-floors', cell: 1, epoch: 2, round: 3, maxCounters: [0, 9] },
  checkpoint(1, 0),
  checkpoint(2, 5),
  {
    kind: 'handover',
    checkpoint: {
      duty: 3,
      term: 1,
      sequence: 8,
      takenAt: wallTime(1_700_000_000_123.5),
      data: new Uint8Array([1, 2, 3]),
    },
  },
];
