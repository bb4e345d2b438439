import { createHash } from 'node:crypto';
import type { GossipSub } from '@chainsafe/libp2p-gossipsub';
import { type Identify, identify } from '@libp2p/identify';
import { mdns } from '@libp2p/mdns';
import { type Ping, ping } from '@libp2p/ping';
import { tcp } from '@libp2p/tcp';
import { yamux } from '@libp2p/yamux';
import { createLibp2p, type Libp2p } from 'libp2p';
import type { Admission } from './admission.ts';
import { dialsAtOnce } from './dialer.ts';
import { frugalNoise } from './frugal-noise.ts';
import { gossipService } from './gossip-channel.ts';
import type { PrivateKey } from './libp2p-types.ts';
import { meshKey, type WrongKey } from './mesh-key.ts';

export type MeshNode = Libp2p<{ identify: Identify; ping: Ping; gossip: GossipSub }>;

export interface NodeOptions {
  readonly privateKey: PrivateKey;
  readonly psk: string;
  readonly site: string;
  readonly topic: string;
  readonly listen: readonly string[];
  readonly announce: readonly string[];
  readonly mdns: boolean;
  readonly admission: Admission;
  /** Agents on the list; limits grow with it. */
  readonly size: number;
  readonly wrongKey: (address: string, how: WrongKey) => void;
}

/**
 * A libp2p node for a closed site: TCP, pre-shared mesh key, noise, yamux. Not started. The reasons for what differs
 * from the defaults:
 *
 * - Five inbound connections a second per host would shut out neighbours behind one address after a power cut.
 * - The connection manager may never prune: it knows nothing of members. So its limit lies above what the roster can
 *   need, and strangers are gone after the handshake.
 * - Its own reconnect queue gives up after a few tries and is left unused (no keep-alive tags): the mesh dials by
 *   itself, for ever.
 * - The connection monitor is off: it opens a stream to everybody every ten seconds and takes 9 to 15 s to notice.
 *   Detection is the detector's job; a connection that died without a word is found by its silence (direct channel).
 * - yamux windows stay at 256 kB, so that a peer that stops reading holds no more than that of ours below the
 *   channel's own queues.
 */
export async function createNode(options: NodeOptions): Promise<MeshNode> {
  const discovery = options.mdns ? [mdns({ serviceTag: mdnsTag(options.site), interval: 10_000 })] : [];
  return await createLibp2p({
    start: false,
    privateKey: options.privateKey,
    nodeInfo: { name: 'millwright', version: '0.1.0', userAgent: 'millwright' },
    addresses: { listen: [...options.listen], announce: [...options.announce] },
    transports: [tcp({ dialOpts: { noDelay: true }, listenOpts: { noDelay: true }, backlog: 256 })],
    connectionProtector: meshKey(options.psk, options.wrongKey),
    connectionEncrypters: [frugalNoise()],
    streamMuxers: [
      yamux({
        maxInboundStreams: 64,
        maxOutboundStreams: 64,
        maxEarlyStreams: 32,
        streamOptions: {
          initialStreamWindowSize: 256 * 1024,
          maxStreamWindowSize: 256 * 1024,
          maxReadBufferLength: 1024 * 1024,
          maxWriteBufferLength: 4 * 1024 * 1024,
        },
      }),
    ],
    connectionGater: options.admission.gater(),
    connectionManager: {
      maxConnections: options.size * 4 + 64,
      maxIncomingPendingConnections: 64,
      inboundConnectionThreshold: 100,
      inboundUpgradeTimeout: 5_000,
      dialTimeout: 5_000,
      addressDialTimeout: 5_000,
      maxParallelDials: dialsAtOnce,
      reconnectRetries: 0,
    },
    connectionMonitor: { enabled: false },
    peerDiscovery: discovery,
    services: { identify: identify(), ping: ping(), gossip: gossipService(options.topic) },
  });
}

/** Sites that share a wire do not answer each other's questions. The name itself stays private. */
export function mdnsTag(site: string): string {
  return `_mw-${createHash('sha256').update(site).digest('hex').slice(0, 12)}._udp.local`;
}
