import type { Libp2p, Libp2pOptions } from 'libp2p';

/** libp2p's own interface types, named here once; all of them hang on the package `libp2p`. */
export type Connection = ReturnType<Libp2p['getConnections']>[number];
export type Stream = Awaited<ReturnType<Connection['newStream']>>;
export type PrivateKey = NonNullable<Libp2pOptions['privateKey']>;
export type ConnectionGater = NonNullable<Libp2pOptions['connectionGater']>;
export type ConnectionProtector = ReturnType<NonNullable<Libp2pOptions['connectionProtector']>>;
/** A connection before it is encrypted. */
export type RawStream = Parameters<ConnectionProtector['protect']>[0];
export type ProtectOptions = Parameters<ConnectionProtector['protect']>[1];
export type Multiaddr = ReturnType<Libp2p['getMultiaddrs']>[number];
