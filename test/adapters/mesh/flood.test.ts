import { generateKeyPairSync } from 'node:crypto';
import { identify } from '@libp2p/identify';
import { noise } from '@libp2p/noise';
import { preSharedKey } from '@libp2p/pnet';
import { tcp } from '@libp2p/tcp';
import { yamux } from '@libp2p/yamux';
import { createLibp2p, type Libp2p } from 'libp2p';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { readAddress } from '../../../agent/adapters/mesh/address.ts';
import {
  GossipChannel,
  gossipService,
  originBurst,
  originPerSecond,
} from '../../../agent/adapters/mesh/gossip-channel.ts';
import { readAgentKey } from '../../../agent/adapters/mesh/identity.ts';
import type { DirectMessage } from '../../../agent/core/input.ts';
import { encodeDirect } from '../../../agent/wire/direct.ts';
import { frame } from '../../../agent/wire/frame.ts';
import { encodeDigest, healthTopic } from '../../../agent/wire/gossip.ts';
import { encodePreamble, planStamp, preamble } from '../../../agent/wire/version.ts';
import { eventually } from '../../support/eventually.ts';
import { addressOf, digest, makeSite, startAgent, type TestAgent, type TestSite } from './site.ts';

vi.setConfig({ testTimeout: 30_000 });

/**
 * One of the roster turns on the others, with everything that its key lets it do: real nodes, and each time the attacked
 * one counts, stays within a bound, and still talks with the third, which did nothing.
 */
describe('an agent of the site floods', () => {
  const closers: (() => unknown)[] = [];
  afterEach(async () => {
    for (const close of closers.splice(0).reverse()) await close();
  });

  const start = async (site: TestSite, self: number, peers: readonly string[]): Promise<TestAgent> => {
    const agent = await startAgent(site, self, peers);
    closers.push(() => agent.mesh.stop());
    return agent;
  };

  /** The attacked (0), one that is well (2), and a plain libp2p node with the key of agent 1. */
  async function siege() {
    const site = makeSite(3);
    const target = await start(site, 0, []);
    const well = await start(site, 2, [addressOf(target.mesh)]);
    const topic = healthTopic(site.name, 'line-3');
    const rogue = await createLibp2p({
      privateKey: readAgentKey(site.privateKeys[1]!).libp2p,
      transports: [tcp()],
      connectionProtector: preSharedKey({ psk: new TextEncoder().encode(site.psk) }),
      connectionEncrypters: [noise()],
      streamMuxers: [yamux({ maxOutboundStreams: 1_000 })],
      connectionMonitor: { enabled: false },
      services: { identify: identify(), gossip: gossipService(topic) },
    });
    closers.push(() => rogue.stop());
    await eventually(() => target.mesh.isConnected(2) && well.mesh.isConnected(0), { deadlineMs: 10_000 });
    const address = readAddress(addressOf(target.mesh));
    const own = frame(encodePreamble(preamble(site.name, 'plan A', site.agentIds)));
    const open = async () => {
      const stream = await rogue.dialProtocol(address, '/millwright/probe/1');
      stream.send(own);
      return stream;
    };
    return { site, target, well, rogue: rogue as Libp2p & typeof rogue, topic, address, own, open };
  }

  const messages = (agent: TestAgent, from: number): DirectMessage[] =>
    agent.received.flatMap((i) => (i.kind === 'message-received' && i.from === from ? [i.message] : []));
  const ping = (seq: number): DirectMessage => ({ kind: 'ping', seq, digestVersion: 0, updates: [] });
  const written = (message: DirectMessage): Uint8Array => {
    const encoded = encodeDirect(message);
    if (!encoded.ok) throw new Error(encoded.error.text);
    return frame(encoded.value);
  };
  /** The one that did nothing is heard, and hears, within two seconds. */
  async function stillTalk(target: TestAgent, well: TestAgent, seq: number): Promise<void> {
    well.mesh.port.send(0, ping(seq));
    target.mesh.port.send(2, ping(seq));
    await eventually(
      () =>
        [messages(target, 2), messages(well, 0)].every((got) => got.some((m) => m.kind === 'ping' && m.seq === seq)),
      { deadlineMs: 2_000, what: 'the others still talk' },
    );
  }

  it('with inbound streams → four of each protocol stand, the others are refused, whatever it sends on them', async () => {
    const { target, well, rogue, address, own } = await siege();
    const connection = await rogue.dial(address);
    const streams = await Promise.allSettled(
      Array.from({ length: 60 }, async (_, i) => {
        const protocol = i % 2 === 0 ? '/millwright/probe/1' : '/millwright/bulk/1';
        const stream = await connection.newStream(protocol, { maxOutboundStreams: 1_000 });
        stream.send(own);
        return stream;
      }),
    );
    const opened = streams.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
    expect(streams.length - opened.length + opened.length).toBe(60);
    await eventually(() => opened.filter(({ status }) => status === 'open').length <= 8, {
      what: 'the others refused',
    });
    await stillTalk(target, well, 1);
  });

  it('with garbage and with frames too long → each counted, told twice at most, none delivered, nothing thrown', async () => {
    const { target, well, open } = await siege();
    const stream = await open();
    const junk = frame(new Uint8Array([0x83, 0x01, 0x20, 0x00]));
    for (let round = 0; round < 20; round++) {
      stream.send(Buffer.concat(Array.from({ length: 500 }, () => junk)));
      await new Promise((resolve) => setImmediate(resolve));
    }
    await eventually(() => target.mesh.counters().direct.garbage === 10_000, { deadlineMs: 10_000, what: 'counted' });
    // A frame of two megabytes, announced only: the stream is given up, not the memory.
    stream.send(new Uint8Array([0xff, 0xff, 0x7f]));
    await eventually(() => stream.status !== 'open', { what: 'the stream is ended' });
    expect(target.mesh.counters().direct.garbage).toBe(10_001);
    expect(target.mesh.counters().refused.garbage).toBe(10_001);
    expect(target.said.filter((text) => text.includes('garbage')).length).toBeLessThanOrEqual(2);
    expect(messages(target, 1)).toEqual([]);
    await stillTalk(target, well, 1);
    // What it says well on a new stream is heard: nobody is judged for good by a broken line.
    const again = await open();
    again.send(written(ping(7)));
    await eventually(() => messages(target, 1).length > 0, { what: 'a fresh start' });
  });

  it('with well-formed messages, a comparison of tables each → all handed on in order, and the third is not kept waiting', async () => {
    const { target, well, open } = await siege();
    const stream = await open();
    const count = 20_000;
    const bytes = Array.from({ length: count }, (_, hash) =>
      written({ kind: 'sync', hash, digests: hash, updates: [] }),
    );
    for (let at = 0; at < count; at += 500) {
      stream.send(Buffer.concat(bytes.slice(at, at + 500)));
      if (at === count / 2) await stillTalk(target, well, 1);
    }
    await eventually(() => messages(target, 1).length >= count, { deadlineMs: 10_000, what: 'all arrived' });
    expect(messages(target, 1).map((m) => (m.kind === 'sync' ? m.hash : -1))).toEqual(bytes.map((_, hash) => hash));
    expect(target.mesh.counters().direct.received).toBeGreaterThanOrEqual(count);
  });

  it('with its own signed digests, one after the other → what one agent has to say is taken, the rest is counted', async () => {
    const { site, target, well, topic, open } = await siege();
    const stream = await open();
    const key = readAgentKey(site.privateKeys[1]!).node;
    const stamp = planStamp('plan A');
    const began = performance.now();
    for (let sequence = 1; sequence <= 2_000; sequence++) {
      stream.send(frame(encodeDigest(digest(1, sequence), stamp, topic, key)));
    }
    const { gossip } = target.mesh.counters();
    await eventually(
      () => {
        const now = target.mesh.counters().gossip;
        return now.accepted + now.tooMany - gossip.accepted - gossip.tooMany === 2_000;
      },
      { deadlineMs: 10_000, what: 'all judged' },
    );
    const allowed = originBurst + ((performance.now() - began) / 1_000) * originPerSecond + 1;
    const taken = target.received.filter((i) => i.kind === 'digest-received' && i.digest.agent === 1).length;
    expect(taken).toBeGreaterThanOrEqual(originBurst);
    expect(taken).toBeLessThanOrEqual(allowed);
    // Another origin has a share of its own.
    well.mesh.port.publish(digest(2, 1));
    await eventually(() => target.received.some((i) => i.kind === 'digest-received' && i.digest.agent === 2), {
      what: 'the digest of the third',
    });
  });

  it('by gossip with digests that it signed in the name of another → refused and counted, not passed on', async () => {
    const { site, target, well, rogue, topic, address } = await siege();
    await rogue.dial(address);
    rogue.services.gossip.subscribe(topic);
    await eventually(() => rogue.services.gossip.getSubscribers(topic).length > 0, {
      deadlineMs: 10_000,
      what: 'heard',
    });
    const key = readAgentKey(site.privateKeys[1]!).node;
    const stamp = planStamp('plan A');
    for (let sequence = 100; sequence < 400; sequence++) {
      await rogue.services.gossip.publish(topic, encodeDigest(digest(2, sequence), stamp, topic, key));
    }
    const judged = () => {
      const { garbage, tooMany } = target.mesh.counters().gossip;
      return garbage + tooMany;
    };
    await eventually(() => judged() === 300, { deadlineMs: 10_000, what: 'all judged' });
    expect(target.received.some((i) => i.kind === 'digest-received')).toBe(false);
    expect(well.mesh.counters().gossip.garbage + well.mesh.counters().gossip.tooMany).toBe(0);
    // Whose name was misused is heard as before.
    well.mesh.port.publish(digest(2, 1));
    await eventually(() => target.received.some((i) => i.kind === 'digest-received' && i.digest.agent === 2), {
      what: 'the digest of the third',
    });
    expect(target.said.filter((text) => text.includes('garbage')).length).toBeLessThanOrEqual(2);
  });
});

describe('gossip channel: the price of what is brought', () => {
  const pairs = [0, 1, 2].map(() => generateKeyPairSync('ed25519'));
  const topic = healthTopic('plant', 'line-1');
  const stamp = planStamp('plan');
  let looked = 0;
  let now = 0;
  const channel = () => {
    const delivered: number[] = [];
    const gossip = new GossipChannel({
      self: 0,
      topic,
      plan: stamp,
      bounds: { agents: 3, duties: 8, checks: 8, models: 8 },
      key: pairs[0]!.privateKey,
      keyOf: (agent) => {
        looked++;
        return pairs[agent]?.publicKey;
      },
      nameOf: (peer) => peer,
      published: () => {},
      deliver: (input) => void (input.kind === 'digest-received' && delivered.push(input.digest.sequence)),
      log: { debug: () => {}, info: () => {}, warn: () => {} },
      garbage: () => {},
      clock: () => now,
    });
    return { gossip, delivered };
  };
  const signed = (agent: number, sequence: number, by = agent) =>
    encodeDigest(digest(agent, sequence), stamp, topic, pairs[by]!.privateKey);

  it('what is known already, a thousand times → its signature is looked at once', () => {
    const { gossip, delivered } = channel();
    looked = 0;
    for (let i = 0; i < 1_000; i++) gossip.take(signed(1, 5), 'edge-2');
    gossip.take(signed(1, 4), 'edge-2');
    expect([looked, delivered, gossip.counters.stale]).toEqual([1, [5], 1_000]);
  });

  it('forgeries → a few are looked at; then nothing of that neighbour, whose name recovers; others are heard', () => {
    const { gossip, delivered } = channel();
    looked = 0;
    for (let sequence = 1; sequence <= 1_000; sequence++) gossip.take(signed(1, sequence, 2), 'edge-3');
    expect(looked).toBe(16);
    expect(gossip.counters.garbage + gossip.counters.tooMany).toBe(1_000);
    gossip.take(signed(1, 1), 'edge-3');
    expect(delivered).toEqual([]);
    gossip.take(signed(1, 2), 'edge-2');
    expect(delivered).toEqual([2]);
    now += 1_000;
    gossip.take(signed(1, 3), 'edge-3');
    expect(delivered).toEqual([2, 3]);
  });

  it('an origin beyond its share → ignored, until a second later; nobody can use up the share of another', () => {
    const { gossip, delivered } = channel();
    for (let sequence = 1; sequence <= 500; sequence++) gossip.take(signed(1, sequence), 'edge-2');
    expect(delivered.length).toBe(originBurst);
    expect(gossip.counters.tooMany).toBe(500 - originBurst);
    gossip.take(signed(2, 1), 'edge-2');
    expect(delivered.length).toBe(originBurst + 1);
    now += 1_000;
    gossip.take(signed(1, 900), 'edge-2');
    expect(delivered.at(-1)).toBe(900);
  });
});
