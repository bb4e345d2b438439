import type { AddressInfo } from 'node:net';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { vi } from 'vitest';
import { addressOf, makeSite, startAgent, type TestAgent } from '../adapters/mesh/site.ts';
import { type ChannelWorld, channelSuite, suiteBounds } from './channel-suite.ts';
import { rawStream } from './raw-stream.ts';

vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

/**
 * Real libp2p nodes. Every ordered pair has a relay of its own between them, so that one pair can be cut while the
 * others talk on: the address that agent a has for agent b is that of the relay a→b.
 */
channelSuite('libp2p', {
  async start(count: number): Promise<ChannelWorld> {
    const site = makeSite(count);
    const relays = new Map<string, Relay>();
    for (let a = 0; a < count; a++) {
      for (let b = 0; b < count; b++) if (a !== b) relays.set(`${a} ${b}`, await Relay.start());
    }
    const agents: TestAgent[] = [];
    for (let a = 0; a < count; a++) {
      const peers = [...relays].filter(([pair]) => pair.startsWith(`${a} `)).map(([, relay]) => relay.address);
      agents.push(await startAgent(site, a, peers, { bounds: suiteBounds }));
    }
    for (const [pair, relay] of relays) relay.target = addressOf(agents[Number(pair.split(' ')[1])]!.mesh);
    const between = (a: number, b: number): Relay[] => [relays.get(`${a} ${b}`)!, relays.get(`${b} ${a}`)!];
    const raws: { stop(): Promise<void> }[] = [];
    return {
      port: (agent) => agents[agent]!.mesh.port,
      received: (agent) => agents[agent]!.received,
      counters: (agent) => {
        const { dropped, garbage } = agents[agent]!.mesh.counters().direct;
        const { notConnected, queueFull, tooLarge, otherPlan } = dropped;
        return { dropped: notConnected + queueFull + tooLarge + otherPlan, garbage };
      },
      advance: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
      cut: async (a, b) => {
        for (const relay of between(a, b)) relay.cut();
      },
      heal: async (a, b) => {
        for (const relay of between(a, b)) relay.heal();
      },
      inject: async (from, to, bytes) => {
        // A second libp2p node with the same key and the same mesh key: to the receiver it is that agent.
        const raw = await rawStream(site, from, addressOf(agents[to]!.mesh));
        raws.push(raw);
        await raw.write(bytes);
      },
      stop: async () => {
        for (const raw of raws) await raw.stop();
        await Promise.all(agents.map(({ mesh }) => mesh.stop()));
        for (const relay of relays.values()) relay.stop();
      },
    };
  },
});

class Relay {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  target: string | undefined;
  #open = true;

  constructor(server: Server) {
    this.#server = server;
  }

  static async start(): Promise<Relay> {
    const server = createServer();
    const relay = new Relay(server);
    server.on('connection', (inside) => relay.#join(inside));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return relay;
  }

  get address(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  cut(): void {
    this.#open = false;
    for (const socket of this.#sockets) socket.destroy();
  }

  heal(): void {
    this.#open = true;
  }

  stop(): void {
    this.cut();
    this.#server.close();
  }

  #join(inside: Socket): void {
    const [host, port] = this.target?.split(':') ?? [];
    if (!this.#open || host === undefined) {
      inside.destroy();
      return;
    }
    const outside = connect(Number(port), host);
    for (const [one, other] of [
      [inside, outside],
      [outside, inside],
    ] as const) {
      this.#sockets.add(one);
      one.on('error', () => {});
      one.on('close', () => {
        this.#sockets.delete(one);
        other.destroy();
      });
      one.pipe(other);
    }
  }
}
