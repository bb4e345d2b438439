import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import type { Mesh } from '../../../agent/adapters/mesh/mesh.ts';
import { bootId } from '../../../agent/base/ids.ts';
import { wallTime } from '../../../agent/base/time.ts';
import type { HealthDigest } from '../../../agent/core/health/digest.ts';
import type { DirectMessage } from '../../../agent/core/input.ts';
import { eventually } from '../../support/eventually.ts';
import { addressOf, digest, makeSite, startAgent, type TestAgent, type TestSite } from './site.ts';

const meshes: Mesh[] = [];
const closers: (() => void)[] = [];

async function start(...args: Parameters<typeof startAgent>): Promise<TestAgent> {
  const agent = await startAgent(...args);
  meshes.push(agent.mesh);
  return agent;
}

/** All agents of a site; each knows the address of the first only, the others find each other by identify. */
async function startAll(site: TestSite): Promise<TestAgent[]> {
  const agents = [await start(site, 0, [])];
  const first = addressOf(agents[0]!.mesh);
  for (let i = 1; i < site.agentIds.length; i++) {
    const known = agents.map((a) => addressOf(a.mesh));
    agents.push(await start(site, i, i === 1 ? [first] : known));
  }
  return agents;
}

const digests = (agent: TestAgent): HealthDigest[] =>
  agent.received.flatMap((i) => (i.kind === 'digest-received' ? [i.digest] : []));
const messages = (agent: TestAgent): DirectMessage[] =>
  agent.received.flatMap((i) => (i.kind === 'message-received' ? [i.message] : []));
const ping = (seq: number): DirectMessage => ({ kind: 'ping', seq, digestVersion: 0, updates: [] });
const allConnected = (agents: readonly TestAgent[]): boolean =>
  agents.every((a, i) => agents.every((_, j) => i === j || a.mesh.isConnected(j)));

afterEach(async () => {
  await Promise.all(meshes.splice(0).map((mesh) => mesh.stop()));
  for (const close of closers.splice(0)) close();
});

describe('mesh with real nodes', () => {
  it('five agents → all connected to all, a digest of each reaches the other four', async () => {
    const agents = await startAll(makeSite(5));
    await eventually(() => allConnected(agents), { deadlineMs: 15_000, what: 'full mesh' });
    for (const [i, agent] of agents.entries()) agent.mesh.port.publish(digest(i, 1));
    await eventually(() => agents.every((a) => digests(a).length === 4), { deadlineMs: 15_000, what: 'digests' });
    for (const [i, agent] of agents.entries()) {
      expect(
        digests(agent)
          .map((d) => d.agent)
          .toSorted(),
      ).toEqual([0, 1, 2, 3, 4].filter((j) => j !== i));
      expect(agent.mesh.counters().refused).toEqual({ 'wrong-mesh-key': 0, 'not-on-list': 0, garbage: 0 });
    }
  });

  it('an agent that comes later → gets the last digest of those that spoke before', async () => {
    const site = makeSite(2);
    const early = await start(site, 0, []);
    early.mesh.port.publish(digest(0, 7));
    const late = await start(site, 1, [addressOf(early.mesh)]);
    await eventually(() => digests(late).length > 0, { deadlineMs: 10_000, what: 'the last digest' });
    expect(digests(late)).toEqual([digest(0, 7)]);
  });

  it('an agent of another cell → probes pass, its cell keeps its digests to itself', async () => {
    const site = makeSite(2);
    const cells = ['line-3', 'line-4'];
    const one = await start(site, 0, [], { cells });
    one.mesh.port.publish(digest(0, 1));
    const two = await start(site, 1, [addressOf(one.mesh)], { cell: 'line-4', cells });
    await eventually(() => one.mesh.isConnected(1) && two.mesh.isConnected(0), { deadlineMs: 10_000 });
    one.mesh.port.publish(digest(0, 2));
    two.mesh.port.publish(digest(1, 1));
    one.mesh.port.send(1, ping(1));
    two.mesh.port.send(0, ping(2));
    await eventually(() => messages(one).length > 0 && messages(two).length > 0, { what: 'probes' });
    await eventually(() => one.mesh.counters().gossip.unheard === 2, { what: 'published to nobody' });
    expect([...digests(one), ...digests(two)]).toEqual([]);
    expect(one.mesh.counters().refused.garbage + two.mesh.counters().refused.garbage).toBe(0);
  });

  it('two agents dial each other at once → one connection remains, no disconnect is told', async () => {
    const site = makeSite(2);
    const ports = [addressOfPort(await freePort()), addressOfPort(await freePort())] as const;
    const [a, b] = await Promise.all([
      start(site, 0, [ports[1]], { listen: [ports[0]] }),
      start(site, 1, [ports[0]], { listen: [ports[1]] }),
    ]);
    await eventually(() => a.mesh.isConnected(1) && b.mesh.isConnected(0), { deadlineMs: 10_000, what: 'connected' });
    await eventually(() => a.mesh.counters().connections === 1 && b.mesh.counters().connections === 1, {
      deadlineMs: 10_000,
      what: 'one connection',
    });
    expect([...a.received, ...b.received].filter((i) => i.kind === 'peer-disconnected')).toEqual([]);
    a.mesh.port.send(1, ping(1));
    b.mesh.port.send(0, ping(2));
    await eventually(() => messages(b).length > 0 && messages(a).length > 0, { what: 'both still talk' });
  });

  it('a peer is stopped and started again → told as lost, found again without help', async () => {
    const site = makeSite(2);
    const port = addressOfPort(await freePort());
    const first = await start(site, 0, [], { listen: [port] });
    const other = await start(site, 1, [port]);
    await eventually(() => other.mesh.isConnected(0), { deadlineMs: 10_000, what: 'connected' });
    await first.mesh.stop();
    await eventually(() => other.received.some((i) => i.kind === 'peer-disconnected'), { what: 'told as lost' });
    const again = await start(site, 0, [], { listen: [port] });
    await eventually(() => other.mesh.isConnected(0) && again.mesh.isConnected(1), {
      deadlineMs: 15_000,
      what: 'found again',
    });
  });

  it('another plan with the same agents → membership passes, duties and digests do not', async () => {
    const site = makeSite(2);
    const one = await start(site, 0, []);
    const two = await start(site, 1, [addressOf(one.mesh)], { planHash: 'plan B' });
    await eventually(() => one.mesh.isConnected(1) && two.mesh.isConnected(0), { deadlineMs: 10_000 });
    const hello: DirectMessage = {
      kind: 'hello',
      boot: bootId('00112233445566778899aabbccddeeff'),
      bootCounter: 1,
      incarnation: 1,
      updates: [{ member: 1, state: 'alive', bootCounter: 1, incarnation: 1, origin: 1 }],
    };
    two.mesh.port.send(0, { kind: 'claim', bootCounter: 1, seq: 1, duties: [{ duty: 1, term: 1, heard: [] }] });
    two.mesh.port.send(0, hello);
    await eventually(() => messages(one).length > 0, { what: 'hello' });
    expect(messages(one)).toEqual([hello]);
    expect(two.mesh.counters().direct.dropped.otherPlan).toBe(1);
    expect(one.said.join('\n')).toContain('another version of the site file');
    let sequence = 0;
    await eventually(
      () => {
        two.mesh.port.publish(digest(1, ++sequence));
        return one.mesh.counters().gossip.otherPlan > 0;
      },
      { everyMs: 100, deadlineMs: 10_000, what: 'a digest of another plan' },
    );
    expect(digests(one)).toEqual([]);
    expect(one.mesh.counters().refused.garbage).toBe(0);
  });

  it('a peer that no longer reads → its queue stays bounded and the others are not delayed', async () => {
    const site = makeSite(3);
    const one = await start(site, 0, []);
    const valve = await Valve.start(addressOf(one.mesh));
    const stuck = await start(site, 1, [valve.address], { listen: [] });
    const well = await start(site, 2, [addressOf(one.mesh)]);
    await eventually(() => one.mesh.isConnected(1) && one.mesh.isConnected(2), { deadlineMs: 10_000 });
    valve.shut();
    const before = process.memoryUsage().arrayBuffers;
    const data = new Uint8Array(60_000);
    for (let sequence = 0; sequence < 1_000; sequence++) {
      const checkpoint = { duty: 0, term: 0, sequence, takenAt: wallTime(0), data };
      one.mesh.port.send(1, { kind: 'checkpoint', checkpoint });
      for (let i = 0; i < 30; i++) one.mesh.port.send(1, ping(sequence * 30 + i));
      // The event loop must turn, or nothing is written at all.
      if (sequence % 50 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    const { dropped } = one.mesh.counters().direct;
    expect(dropped.queueFull).toBeGreaterThan(900);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(64 * 1024 * 1024);
    one.mesh.port.send(2, ping(1));
    await eventually(() => messages(well).length > 0, { deadlineMs: 3_000, what: 'the third hears at once' });
    valve.open();
    await eventually(() => messages(stuck).some((m) => m.kind === 'ping'), { deadlineMs: 10_000, what: 'reads again' });
  });

  it('the wire goes dead without a word → the silent connection is given up, a new one is made', async () => {
    const site = makeSite(2);
    const one = await start(site, 0, []);
    const valve = await Valve.start(addressOf(one.mesh));
    const two = await start(site, 1, [valve.address], { listen: [] });
    await eventually(() => one.mesh.isConnected(1) && two.mesh.isConnected(0), { deadlineMs: 10_000 });
    valve.shut();
    await eventually(
      () => {
        two.mesh.port.send(0, ping(1));
        return two.received.some((i) => i.kind === 'peer-disconnected');
      },
      { everyMs: 200, deadlineMs: 20_000, what: 'given up' },
    );
    // New connections through the relay work; only the old ones are dead.
    await eventually(() => two.mesh.isConnected(0), { deadlineMs: 10_000, what: 'connected again' });
  });

  it('a stream that says nothing → what the detector says meanwhile comes beside it, both ways, and in the calm nothing does', async () => {
    const site = makeSite(2);
    const one = await start(site, 0, []);
    const valve = await Valve.start(addressOf(one.mesh));
    const two = await start(site, 1, [valve.address], { listen: [] });
    await eventually(() => one.mesh.isConnected(1) && two.mesh.isConnected(0), { deadlineMs: 10_000 });
    two.mesh.port.send(0, ping(1));
    await eventually(() => messages(one).length === 1, { deadlineMs: 5_000, what: 'the stream works' });
    one.mesh.port.send(1, { kind: 'ack', seq: 1, digestVersion: 0, updates: [] });
    await eventually(() => messages(two).length === 1, { deadlineMs: 5_000, what: 'both ways' });
    expect([one, two].map(({ mesh }) => mesh.counters().datagrams.sent)).toEqual([0, 0]);

    valve.shut();
    let seq = 1;
    await eventually(
      () => {
        two.mesh.port.send(0, ping(++seq));
        return messages(one).some((m) => m.kind === 'ping' && m.seq > 1);
      },
      { everyMs: 30, deadlineMs: 3_000, what: 'a ping beside the stream' },
    );
    one.mesh.port.send(1, { kind: 'ack', seq, digestVersion: 0, updates: [] });
    await eventually(() => messages(two).some((m) => m.kind === 'ack' && m.seq === seq), {
      deadlineMs: 3_000,
      what: 'its answer, for whom the stream is silent as well',
    });
    const sent = one.mesh.counters().datagrams.sent;
    const checkpoint = { duty: 0, term: 0, sequence: 1, takenAt: wallTime(0), data: new Uint8Array(8) };
    one.mesh.port.send(1, { kind: 'checkpoint', checkpoint });
    expect(one.mesh.counters().datagrams.sent).toBe(sent);
  });

  it('peers knock while a mesh still starts → nothing is delivered before startMesh has returned', async () => {
    const site = makeSite(3);
    const port = addressOfPort(await freePort());
    const others = [await start(site, 1, [port]), await start(site, 2, [port])];
    let returned = false;
    const order: string[] = [];
    const late = await start(
      site,
      0,
      others.map((o) => addressOf(o.mesh)),
      {
        listen: [port],
        deliver: (input) => void order.push(`${input.kind} ${returned ? 'after' : 'before'}`),
      },
    );
    returned = true;
    await eventually(() => late.mesh.isConnected(1) && late.mesh.isConnected(2), { deadlineMs: 10_000 });
    await eventually(() => order.length >= 2, { what: 'both told' });
    expect(order).toEqual(['peer-connected after', 'peer-connected after']);
  });

  it('stop → bounded in time, the port is free, nothing is delivered any more', async () => {
    const site = makeSite(2);
    const one = await start(site, 0, []);
    const address = addressOf(one.mesh);
    const two = await start(site, 1, [address]);
    await eventually(() => one.mesh.isConnected(1) && two.mesh.isConnected(0), { deadlineMs: 10_000 });
    const before = performance.now();
    await one.mesh.stop();
    expect(performance.now() - before).toBeLessThan(4_000);
    const seen = one.received.length;
    const [host, port] = address.split(':');
    await eventually(
      () =>
        new Promise<boolean>((resolve) => {
          const socket = connect(Number(port), host);
          socket.on('connect', () => {
            socket.destroy();
            resolve(false);
          });
          socket.on('error', () => resolve(true));
        }),
      { what: 'nobody listens' },
    );
    expect(one.received.length).toBe(seen);
    one.mesh.port.send(1, ping(1));
  });
});

/** A TCP relay that can stop reading without closing, as a frozen process or a dead cable does. */
class Valve {
  readonly #sockets: Socket[] = [];
  address = '';

  static async start(target: string): Promise<Valve> {
    const valve = new Valve();
    const [host, port] = target.split(':');
    const server = createServer((inside) => {
      const outside = connect(Number(port), host);
      valve.#sockets.push(inside, outside);
      for (const [from, to] of [
        [inside, outside],
        [outside, inside],
      ] as const) {
        from.on('error', () => to.destroy());
        from.on('close', () => to.destroy());
        from.on('data', (data) => to.write(data));
      }
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    valve.address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    closers.push(() => {
      for (const socket of valve.#sockets) socket.destroy();
      server.close();
    });
    return valve;
  }

  shut(): void {
    for (const socket of this.#sockets) socket.pause();
  }

  open(): void {
    for (const socket of this.#sockets) socket.resume();
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

const addressOfPort = (port: number): string => `127.0.0.1:${port}`;
