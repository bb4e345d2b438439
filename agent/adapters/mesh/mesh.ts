import { randomBytes } from 'node:crypto';
import { performance } from 'node:perf_hooks';
import type { AgentId, AgentIndex } from '../../base/ids.ts';
import { Random } from '../../base/random.ts';
import type { Input } from '../../core/input.ts';
import { keepsConnection } from '../../core/membership/ring.ts';
import type { Deliver, MeshPort } from '../../driver/ports.ts';
import type { Bounds } from '../../wire/codec.ts';
import { healthTopic } from '../../wire/gossip.ts';
import type { Roster } from '../../wire/roster.ts';
import { planStamp, preamble } from '../../wire/version.ts';
import { dialable, readAddress } from './address.ts';
import { Admission, type MeshLog, RefusalLedger, type RefusalReason } from './admission.ts';
import { type BundleCounters, type BundleDesk, BundleExchange, bundleProtocol } from './bundle-exchange.ts';
import { DatagramChannel, type DatagramCounters, datagramProtocol } from './datagram-channel.ts';
import { Dialer } from './dialer.ts';
import { bulkProtocol, DirectChannel, type DirectCounters, probeProtocol } from './direct-channel.ts';
import { GossipChannel, type GossipCounters } from './gossip-channel.ts';
import { peerIdOf, readAgentKey } from './identity.ts';
import { createNode, type MeshNode } from './libp2p-node.ts';
import type { Connection, Stream } from './libp2p-types.ts';

export interface MeshOptions {
  readonly self: AgentIndex;
  readonly site: string;
  readonly cell: string;
  /** The cell of each agent, by index; without it all are taken to be in ours. */
  readonly cells?: readonly string[];
  readonly planHash: string;
  /** Ed25519, PEM, PKCS8. */
  readonly privateKeyPem: string;
  /** The text of `mesh.psk`: `/key/swarm/psk/1.0.0/`, `/base16/`, 64 hex digits, a line each. */
  readonly psk: string;
  /** Verified already (`verifyRoster`). */
  readonly roster: Roster;
  /** The plan's agents: index → name. */
  readonly agentIds: readonly AgentId[];
  /** How many duties, checks and models the plan has; indices beyond are refused. */
  readonly bounds: Omit<Bounds, 'agents'>;
  /** `host:port` or multiaddrs. Port 0 takes a free one. */
  readonly listen: readonly string[];
  /** Addresses to tell others instead of those that we listen at (NAT, containers). */
  readonly announce?: readonly string[];
  /** `host:port` or multiaddrs, with or without a key; our own address among them does no harm. */
  readonly peers: readonly string[];
  readonly mdns: boolean;
  /** Who keeps the signed bundles; without it none are exchanged. */
  readonly bundles?: BundleDesk;
  readonly deliver: Deliver;
  readonly log: MeshLog;
}

export interface MeshCounters {
  /** Strangers and garbage, by reason; `intruder-refused` tells of them at a bounded rate. */
  readonly refused: Readonly<Record<RefusalReason, number>>;
  readonly direct: Readonly<DirectCounters>;
  readonly gossip: Readonly<GossipCounters>;
  /** Words of the failure detector that went beside a stream that said nothing. */
  readonly datagrams: Readonly<DatagramCounters>;
  readonly bundles: Readonly<BundleCounters> | undefined;
  readonly connections: number;
  readonly dials: number;
  readonly dialFailures: number;
  /** Dials that the other side ended at once within the handshake: its mesh key differs, or we are not on its list. */
  readonly handshakesFailed: number;
  /** Connections that the other side ended right after the handshake: we are not on its list. */
  readonly turnedAway: number;
}

export interface Mesh {
  readonly port: MeshPort;
  readonly peerId: string;
  /** Where this agent can be reached, as multiaddrs with its peer id. */
  addresses(): readonly string[];
  counters(): MeshCounters;
  isConnected(agent: AgentIndex): boolean;
  /** Host and port at which an agent listens, where that is an IP address that this one knows. */
  addressOf(agent: AgentIndex): { readonly host: string; readonly port: number } | undefined;
  /** Takes a newer (verified) list of agents while running; who is no longer on it is cut off. */
  updateRoster(roster: Roster): void;
  /** The bundle in force here is another one now: tells the others. */
  bundleChanged(): void;
  /** Names of all to whom a connection stands, also of agents that are not in our plan. */
  connected(): ReadonlySet<string>;
  /** Bounded in time; nothing is delivered afterwards. */
  stop(): Promise<void>;
}

const tickMs = 200;
const earlyCapacity = 1_024;
const stopTimeoutMs = 3_000;
const verifyTimeoutMs = 3_000;
/** An outbound connection that ends this soon without a word was turned away. */
const turnedAwayMs = 2_000;

/**
 * Starts this agent's place in the mesh: one libp2p node, admission by the signed list, direct streams, gossip, and
 * the dialling that keeps them up. Rejects (with words for people) only for what no running can mend: a key that is
 * not the one on the list, an address that cannot be listened at, an unreadable mesh key. Nothing is delivered before
 * the promise has resolved and its first continuation has run.
 */
export async function startMesh(options: MeshOptions): Promise<Mesh> {
  const mesh = new RunningMesh(options);
  await mesh.start();
  return mesh;
}

class RunningMesh implements Mesh {
  readonly #options: MeshOptions;
  readonly #admission: Admission;
  readonly #ledger: RefusalLedger;
  readonly #direct: DirectChannel;
  readonly #gossip: GossipChannel;
  readonly #dialer: Dialer;
  readonly #datagrams: DatagramChannel;
  readonly #bundles: BundleExchange | undefined;
  readonly #deliver: Deliver;
  readonly #nodeOptions: Parameters<typeof createNode>[0];
  readonly peerId: string;
  readonly port: MeshPort;
  #node: MeshNode | undefined;
  #timer: NodeJS.Timeout | undefined;
  /** What came before the caller had its mesh: peers may knock while we still start. */
  #early: Input[] | undefined = [];
  #ticks = 0;
  #stopped = false;
  #handshakesFailed = 0;
  #turnedAway = 0;
  readonly #identifying = new WeakSet<Connection>();
  /** Whose connection it was when it opened: the list may change before it closes. */
  readonly #owners = new WeakMap<Connection, AgentIndex>();

  constructor(options: MeshOptions) {
    this.#options = options;
    const { log, self, agentIds, roster, site } = options;
    const key = readAgentKey(options.privateKeyPem);
    this.peerId = key.peerId;
    const name = agentIds[self];
    const entry = roster.agents.find((a) => a.id === name);
    if (entry === undefined) throw new Error(`agent "${name}" is not on the list of agents: enrol it first`);
    if (peerIdOf(entry) !== key.peerId) {
      throw new Error(
        `the key of agent "${name}" is not the one on the list of agents: enrol it again, or use its key`,
      );
    }
    this.#deliver = (input) => {
      if (this.#stopped) return;
      if (this.#early === undefined) options.deliver(input);
      else if (this.#early.length < earlyCapacity) this.#early.push(input);
    };
    this.#ledger = new RefusalLedger((reason, peer, count, text) => {
      log.warn({ reason, peer, count }, text);
      this.#deliver({ kind: 'intruder-refused', reason, peer, count });
    });
    const refuse = (reason: RefusalReason, peer: string, text: string): void =>
      this.#ledger.record(performance.now(), reason, peer, text);
    const garbage = (peer: string, text: string): void => refuse('garbage', peer, `garbage from ${peer}: ${text}`);
    this.#admission = new Admission(roster, agentIds, refuse);
    const random = new Random(randomBytes(8).toString('hex'), 'mesh');
    const bounds = { ...options.bounds, agents: agentIds.length };
    const topic = healthTopic(site, options.cell);
    this.#gossip = new GossipChannel({
      self,
      topic,
      plan: planStamp(options.planHash),
      bounds,
      key: key.node,
      keyOf: (agent) => this.#admission.keyOf(agent),
      nameOf: (peer) => {
        const agent = this.#admission.agentOf(peer);
        return agent === undefined ? peer : (agentIds[agent] ?? peer);
      },
      published: (bytes, recipients) => {
        const reached = new Set<AgentIndex>();
        for (const peer of recipients) {
          const agent = this.#admission.agentOf(peer);
          if (agent !== undefined) reached.add(agent);
        }
        this.#direct.tellDigest(bytes, reached);
      },
      deliver: this.#deliver,
      log,
      garbage,
    });
    this.#direct = new DirectChannel({
      self,
      agentIds,
      own: preamble(site, options.planHash, agentIds),
      bounds,
      random: random.fork('streams'),
      deliver: this.#deliver,
      log,
      garbage,
      digestArrived: (bytes, peer) => {
        this.#gossip.take(bytes, peer);
      },
      lastDigest: () => this.#gossip.last,
      verify: (connection) => this.#verify(connection),
      datagram: (to, bytes) => void this.#datagrams.send(to, bytes),
      sameCell: (agent) => options.cells === undefined || options.cells[agent] === options.cell,
    });
    this.#datagrams = new DatagramChannel({
      agentOf: (connection) => this.#admission.agentOf(connection.remotePeer.toString()),
      arrived: (agent, bytes) => {
        if (!this.#stopped) this.#direct.datagramArrived(agent, bytes);
      },
    });
    this.#dialer = new Dialer({
      random: random.fork('dials'),
      log,
      dial: async (address, signal) => {
        if (this.#node === undefined) throw new Error('the mesh is stopped');
        return await this.#node.dial(address, { signal });
      },
      agentOf: (connection) => this.#admission.agentOf(connection.remotePeer.toString()),
      hasConnection: (agent) => agent === self || this.#direct.hasConnection(agent),
      keeps: (agent) => {
        const isSameCell = options.cells === undefined || options.cells[agent] === options.cell;
        return keepsConnection(agentIds.length, self, agent, isSameCell);
      },
      handshakeFailed: () => {
        this.#handshakesFailed++;
      },
    });
    this.#bundles =
      options.bundles &&
      new BundleExchange({
        desk: options.bundles,
        random: random.fork('bundles'),
        log,
        connections: () => this.#listed(),
        nameOf: (peer) => this.#admission.nameOf(peer),
        garbage,
      });
    this.port = {
      send: (to, message) => {
        if (!this.#direct.hasConnection(to)) this.#dialer.want(to, performance.now());
        this.#direct.send(to, message);
      },
      publish: (digest) => this.#gossip.publish(digest),
      tellDigests: (to, digests) => {
        for (const { agent } of digests) {
          const bytes = this.#gossip.held(agent);
          if (bytes !== undefined) this.#direct.tellDigestTo(to, bytes);
        }
      },
    };
    this.#nodeOptions = {
      privateKey: key.libp2p,
      psk: options.psk,
      site,
      topic,
      listen: options.listen.map((text) => readAddress(text).toString()),
      announce: (options.announce ?? []).map((text) => readAddress(text).toString()),
      mdns: options.mdns,
      admission: this.#admission,
      size: roster.agents.length,
      wrongKey: (address, how) =>
        refuse(
          'wrong-mesh-key',
          address,
          how === 'none'
            ? `a stranger at ${address} knocked without a mesh key`
            : `a stranger at ${address} knocked with another mesh key (mesh.psk differs)`,
        ),
    };
    for (const text of options.peers) this.#dialer.configure(readAddress(text), performance.now());
  }

  async start(): Promise<void> {
    const node = await createNode(this.#nodeOptions).catch((cause: Error) => {
      throw new Error(`the mesh cannot be set up: ${cause.message}`, { cause });
    });
    this.#node = node;
    node.addEventListener('connection:open', (event) => this.#opened(event.detail));
    node.addEventListener('connection:close', (event) => this.#closed(event.detail));
    node.addEventListener('peer:identify', ({ detail }) => {
      const agent = this.#admission.agentOf(detail.peerId.toString());
      if (agent === undefined) return;
      this.#dialer.learn(agent, dialable(detail.listenAddrs, detail.connection.remoteAddr), performance.now());
    });
    node.addEventListener('peer:discovery', ({ detail }) => {
      const agent = this.#admission.agentOf(detail.id.toString());
      if (agent === undefined) return;
      this.#dialer.learn(agent, dialable(detail.multiaddrs, undefined), performance.now());
    });
    const accept = (bulk: boolean) => (stream: Stream, connection: Connection) => {
      const agent = this.#admission.agentOf(connection.remotePeer.toString());
      // Enrolled, but not in our plan yet: it may stay, and speaks to deaf ears, having no number here.
      if (agent === undefined) stream.addEventListener('message', () => {});
      else this.#direct.streamOpened(agent, stream, bulk);
    };
    const limits = { maxInboundStreams: 4, maxOutboundStreams: 4 };
    await node.handle(probeProtocol, accept(false), limits);
    await node.handle(bulkProtocol, accept(true), limits);
    const takeDoor = (stream: Stream, connection: Connection): void => this.#datagrams.accept(stream, connection);
    await node.handle(datagramProtocol, takeDoor, { maxInboundStreams: 2, maxOutboundStreams: 2 });
    const bundles = this.#bundles;
    if (bundles !== undefined) {
      const take = (stream: Stream, connection: Connection): void => bundles.accept(stream, connection);
      await node.handle(bundleProtocol, take, { maxInboundStreams: 8, maxOutboundStreams: 8 });
    }
    await this.#datagrams.open(datagramHost(this.#options.listen)).catch((cause: Error) => {
      this.#options.log.info({ cause: cause.message }, 'no datagrams: probes go over streams alone');
    });
    try {
      await node.start();
      this.#gossip.attach(node.services.gossip);
    } catch (cause) {
      await this.stop();
      throw new Error(`the mesh cannot listen at ${this.#options.listen.join(', ')}: ${listenReason(cause)}`, {
        cause,
      });
    }
    // By then the caller has taken the mesh, and may have delivered what must come first in a life.
    setImmediate(() => {
      const early = this.#early ?? [];
      this.#early = undefined;
      for (const input of early) this.#deliver(input);
    });
    // Not unref'd: an agent without a mesh timer would be one that nobody hears of again.
    this.#timer = setInterval(() => this.#tick(), tickMs);
  }

  addresses(): readonly string[] {
    return this.#node?.getMultiaddrs().map((address) => address.toString()) ?? [];
  }

  counters(): MeshCounters {
    return {
      refused: { ...this.#ledger.totals },
      direct: { ...this.#direct.counters, dropped: { ...this.#direct.counters.dropped } },
      gossip: { ...this.#gossip.counters },
      datagrams: { ...this.#datagrams.counters },
      bundles: this.#bundles && { ...this.#bundles.counters },
      connections: this.#node?.getConnections().length ?? 0,
      dials: this.#dialer.dials,
      dialFailures: this.#dialer.failures,
      handshakesFailed: this.#handshakesFailed,
      turnedAway: this.#turnedAway,
    };
  }

  isConnected(agent: AgentIndex): boolean {
    return this.#direct.isConnected(agent);
  }

  addressOf(agent: AgentIndex): { readonly host: string; readonly port: number } | undefined {
    for (const text of this.#dialer.addressesOf(agent)) {
      const match = /^\/ip[46]\/([^/]+)\/tcp\/(\d+)/.exec(text);
      if (match) return { host: match[1]!, port: Number(match[2]) };
    }
    return undefined;
  }

  updateRoster(roster: Roster): void {
    const removed = this.#admission.replace(roster);
    for (const connection of this.#node?.getConnections() ?? []) {
      if (!removed.includes(connection.remotePeer.toString())) continue;
      connection.abort(new Error('no longer on the list of agents'));
    }
  }

  bundleChanged(): void {
    this.#bundles?.changed();
  }

  connected(): ReadonlySet<string> {
    return new Set([...this.#listed().keys()].map((peer) => this.#admission.nameOf(peer) ?? peer));
  }

  /** An open connection to each agent on the list that has one, by peer id. */
  #listed(): ReadonlyMap<string, Connection> {
    const open = new Map<string, Connection>();
    for (const connection of this.#node?.getConnections() ?? []) {
      const peer = connection.remotePeer.toString();
      if (connection.status === 'open' && this.#admission.isListed(peer)) open.set(peer, connection);
    }
    return open;
  }

  async stop(): Promise<void> {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#bundles?.stop();
    clearInterval(this.#timer);
    this.#dialer.stop();
    this.#direct.stop();
    await this.#datagrams.close();
    const node = this.#node;
    if (node === undefined) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, stopTimeoutMs);
    await Promise.race([Promise.resolve(node.stop()).catch(() => {}), promise]);
    clearTimeout(timer);
    for (const connection of node.getConnections()) connection.abort(new Error('stopped'));
  }

  #opened(connection: Connection): void {
    const peer = connection.remotePeer.toString();
    if (this.#stopped || !this.#admission.isListed(peer)) return;
    this.#bundles?.connectionOpened(connection);
    const agent = this.#admission.agentOf(peer);
    if (agent === undefined) return;
    this.#owners.set(connection, agent);
    this.#direct.connectionOpened(agent, connection);
    this.#datagrams.connectionOpened(agent, connection);
  }

  #closed(connection: Connection): void {
    const agent = this.#owners.get(connection);
    const { open, close } = connection.timeline;
    if (connection.direction === 'outbound' && !this.#stopped && agent !== undefined) {
      const short = (close ?? Date.now()) - open < turnedAwayMs;
      if (short && !this.#direct.isConnected(agent)) {
        this.#turnedAway++;
        this.#options.log.info(
          { peer: this.#options.agentIds[agent] },
          `${this.#options.agentIds[agent]} ended the connection right after the handshake: our key may not be on its list of agents`,
        );
      }
    }
    if (agent === undefined) return;
    this.#direct.connectionClosed(agent, connection);
    if (!this.#direct.hasConnection(agent)) this.#datagrams.forget(agent);
  }

  #tick(): void {
    const now = performance.now();
    this.#ticks++;
    this.#dialer.tick(now);
    if (this.#ticks % 5 === 0) {
      this.#ledger.tick(now);
      this.#direct.tick();
      this.#bundles?.tick();
    }
    if (this.#ticks % 25 === 0) this.#mendGossip();
  }

  #verify(connection: Connection): void {
    const address = connection.remoteAddr;
    const signal = AbortSignal.timeout(verifyTimeoutMs);
    connection
      .newStream('/ipfs/ping/1.0.0', { signal })
      .then(async (stream) => {
        const { promise, resolve, reject } = Promise.withResolvers<void>();
        // It may end after the sending has thrown, when nobody waits for it any more.
        promise.catch(() => {});
        stream.addEventListener('message', () => resolve());
        stream.addEventListener('close', () => reject(new Error('closed')));
        signal.addEventListener('abort', () => reject(new Error('no answer')));
        stream.send(randomBytes(32));
        await promise.finally(() => stream.abort(new Error('asked')));
      })
      .catch((cause: Error) => {
        if (connection.status !== 'open') return;
        this.#options.log.info(
          { address: address.toString(), cause: cause.message },
          'a silent connection is given up',
        );
        connection.abort(cause);
      });
  }

  // libp2p asks a new peer once which protocols it speaks; if that one question is lost, gossip never reaches it.
  #mendGossip(): void {
    const node = this.#node;
    if (node === undefined) return;
    const heard = new Set(node.services.gossip.getPeers().map((peer) => peer.toString()));
    for (const connection of node.getConnections()) {
      if (heard.has(connection.remotePeer.toString()) || Date.now() - connection.timeline.open < 5_000) continue;
      if (this.#identifying.has(connection)) continue;
      this.#identifying.add(connection);
      node.services.identify
        .identify(connection, { signal: AbortSignal.timeout(5_000) })
        .catch((cause: Error) => this.#options.log.debug({ cause: cause.message }, 'a peer was not identified'))
        .finally(() => this.#identifying.delete(connection));
    }
  }
}

/** Where the streams are listened for, as far as one address says it. */
function datagramHost(listen: readonly string[]): string {
  const hosts = listen.map((text) => /^\/ip[46]\/([^/]+)\//.exec(readAddress(text).toString())?.[1]);
  const [only] = hosts;
  if (only !== undefined && hosts.length === 1) return only;
  return hosts.some((host) => host?.includes(':')) ? '::' : '0.0.0.0';
}

/** What the system said, without libp2p's advice and stack traces, which help nobody who reads a box's log. */
function listenReason(cause: unknown): string {
  const text = cause instanceof Error ? cause.message : String(cause);
  const said = [...new Set([...text.matchAll(/Error: (.*)/g)].map((match) => match[1] ?? ''))];
  return said.length === 0 ? text : said.join('; ');
}
