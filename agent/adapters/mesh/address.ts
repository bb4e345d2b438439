import { isIP } from 'node:net';
import { multiaddr } from '@multiformats/multiaddr';
import type { Multiaddr } from './libp2p-types.ts';

/**
 * Addresses as people write them, `host:port` or `[v6]:port`, or as libp2p does (`/ip4/…/tcp/…`). Throws with the
 * text and what was expected; the configuration shows that to the person who wrote it.
 */
export function readAddress(text: string): Multiaddr {
  if (text.startsWith('/')) return multiaddr(text);
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (host === undefined || port > 65_535) throw new Error(`"${text}" is no address: expected host:port`);
  const family = isIP(host);
  if (match?.[1] !== undefined && family !== 6) throw new Error(`"${text}" is no address: [${host}] is not IPv6`);
  const protocol = family === 4 ? 'ip4' : family === 6 ? 'ip6' : 'dns';
  return multiaddr(`/${protocol}/${host}/tcp/${port}`);
}

const isLoopback = (address: Multiaddr): boolean => /^\/(ip4\/127\.|ip6\/::1\/)/.test(address.toString());

/**
 * Which of the addresses that a peer gives of itself are worth dialling. Its loopback addresses lead to ourselves,
 * unless it is on this very box, which shows by where it came from.
 */
export function dialable(given: readonly Multiaddr[], cameFrom: Multiaddr | undefined): readonly Multiaddr[] {
  const sameBox = cameFrom !== undefined && isLoopback(cameFrom);
  return given.filter((address) => sameBox || !isLoopback(address));
}
