import { noise } from '@libp2p/noise';
import { preSharedKey } from '@libp2p/pnet';
import { tcp } from '@libp2p/tcp';
import { yamux } from '@libp2p/yamux';
import { createLibp2p } from 'libp2p';
import { readAddress } from '../../agent/adapters/mesh/address.ts';
import { readAgentKey } from '../../agent/adapters/mesh/identity.ts';
import { frame } from '../../agent/wire/frame.ts';
import { encodePreamble, preamble } from '../../agent/wire/version.ts';
import type { TestSite } from '../adapters/mesh/site.ts';

/** A plain libp2p node that has an agent's keys and writes whatever it is told: a broken or stolen agent. */
export async function rawStream(
  site: TestSite,
  agent: number,
  address: string,
): Promise<{ write(bytes: Uint8Array): Promise<void>; stop(): Promise<void> }> {
  const node = await createLibp2p({
    privateKey: readAgentKey(site.privateKeys[agent]!).libp2p,
    transports: [tcp()],
    connectionProtector: preSharedKey({ psk: new TextEncoder().encode(site.psk) }),
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    connectionMonitor: { enabled: false },
  });
  const stream = await node.dialProtocol(readAddress(address), '/millwright/probe/1');
  stream.send(frame(encodePreamble(preamble(site.name, 'plan A', site.agentIds))));
  return {
    write: async (bytes) => {
      stream.send(frame(bytes));
    },
    stop: async () => {
      await node.stop();
    },
  };
}
