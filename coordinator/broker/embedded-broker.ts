import type { EventEmitter } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import { Aedes, type AuthErrorCode, type AuthenticateError, type Client, type PublishPacket } from 'aedes';
import { allowed, type BrokerRole, covers } from '../../agent/wire/topics.ts';
import type { Credentials } from './credentials.ts';
import { PacketGate } from './packet-gate.ts';

/**
 * A broker inside the coordinator, for sites that run none: Aedes, MQTT 3.1.1, behind a door of ours.
 *
 * - The client id must be the user name. A stolen id would take over the session of its owner.
 * - What a client may write and read is compared level by level (`agent/wire/topics.ts`).
 * - A publish to a foreign topic gets its PUBACK (a refusal would only make the sender reconnect for ever), reaches
 *   nobody, and goes to quarantine: counted, shown, never retained.
 * - A Will is checked at CONNECT and again when it fires.
 * - Before authentication a connection may send 4 kB within 5 s; 10 such per address, 2000 in all.
 */
export interface EmbeddedBrokerOptions {
  readonly site: string;
  readonly host: string;
  /** 0 takes a free port. */
  readonly port: number;
  readonly credentials: Credentials;
  readonly tls?: { readonly key: string; readonly cert: string } | undefined;
  /** A publish or a Will that was not allowed; the payload is complete. */
  readonly onForeign: (message: ForeignMessage) => void;
  readonly onRefused: (refusal: Refusal) => void;
}

export interface ForeignMessage {
  /** User name of the sender. */
  readonly client: string;
  readonly topic: string;
  readonly payload: Buffer;
  readonly will: boolean;
}

export type RefusalReason =
  | 'bad-credentials'
  | 'client-id-not-own'
  | 'foreign-will'
  | 'too-many-connections'
  | 'too-large'
  | 'not-mqtt'
  | 'subscription-denied';

export interface Refusal {
  readonly reason: RefusalReason;
  readonly address: string;
  /** Name or id that was shown, cut to 64 characters; never a password. */
  readonly name: string;
}

export interface EmbeddedBroker {
  readonly host: string;
  readonly port: number;
  /** Refusals by reason since the start. */
  counts(): Readonly<Record<RefusalReason | 'foreign', number>>;
  clients(): number;
  stop(): Promise<void>;
}

const PRE_AUTH_BYTES = 4 * 1024;
const PACKET_BYTES = 256 * 1024 + 1024;
const PRE_AUTH_MS = 5_000;
const PRE_AUTH_PER_ADDRESS = 10;
const CONNECTIONS = 2_000;
/** Nobody may subscribe to `$`, so what is put here reaches nobody. */
const NOWHERE = '$millwright/quarantine';

interface Session {
  readonly name: string;
  readonly publish: readonly string[];
  readonly subscribe: readonly string[];
}

export async function startEmbeddedBroker(options: EmbeddedBrokerOptions): Promise<EmbeddedBroker> {
  const { site, credentials } = options;
  const sessions = new WeakMap<object, Session>();
  const gates = new WeakMap<object, PacketGate>();
  /** By the far end of the TCP connection: under TLS the door sees one socket and the broker another. */
  const settled = new Map<string, () => void>();
  const sockets = new Set<Socket>();
  const waiting = new Map<string, number>();
  const counts: Record<RefusalReason | 'foreign', number> = {
    'bad-credentials': 0,
    'client-id-not-own': 0,
    'foreign-will': 0,
    'too-many-connections': 0,
    'too-large': 0,
    'not-mqtt': 0,
    'subscription-denied': 0,
    foreign: 0,
  };

  const refuse = (reason: RefusalReason, address: string, name: string): void => {
    counts[reason]++;
    options.onRefused({ reason, address, name: name.slice(0, 64) });
  };
  const addressOf = (client: Client): string => (client.conn as Socket).remoteAddress ?? '?';
  const mayPublish = (session: Session, topic: string): boolean =>
    session.publish.some((pattern) => covers(pattern, topic));

  const refusal = (code: number, message: string): AuthenticateError =>
    Object.assign(new Error(message), { returnCode: code as AuthErrorCode });

  const foreign = (name: string, packet: PublishPacket, will: boolean): void => {
    counts.foreign++;
    options.onForeign({ client: name, topic: packet.topic, payload: Buffer.from(packet.payload), will });
    packet.topic = NOWHERE;
    packet.payload = Buffer.alloc(0);
    packet.retain = false;
  };

  const connectPackets = new WeakMap<object, { readonly clientId: string; readonly will: PublishPacket | undefined }>();

  const broker = await Aedes.createBroker({
    concurrency: 100,
    connectTimeout: PRE_AUTH_MS,
    drainTimeout: 5_000,
    queueLimit: 128,
    maxClientsIdLength: 64,
    keepaliveLimit: 0,
    maxTopicLevels: 8,
    preConnect: (client, packet, done) => {
      connectPackets.set(client, {
        clientId: packet.clientId,
        will: packet.will === undefined ? undefined : ({ ...packet.will, cmd: 'publish' } as unknown as PublishPacket),
      });
      done(null, true);
    },
    authenticate: (client, username, password, done) => {
      const shown = connectPackets.get(client);
      connectPackets.delete(client);
      const name = username ?? '';
      const address = addressOf(client);
      credentials
        .verify(name, password ?? Buffer.alloc(0))
        .then((user) => {
          if (user === undefined) {
            refuse('bad-credentials', address, name);
            return done(refusal(4, 'bad user name or password'), false);
          }
          if (shown?.clientId !== user.name) {
            refuse('client-id-not-own', address, `${user.name} as ${shown?.clientId ?? ''}`);
            return done(refusal(2, 'client id is not this user'), false);
          }
          const session = { name: user.name, ...allowed(site, user.name, user.role satisfies BrokerRole) };
          if (shown.will !== undefined && !mayPublish(session, shown.will.topic)) {
            refuse('foreign-will', address, user.name);
            return done(refusal(5, 'will topic is not allowed'), false);
          }
          sessions.set(client, session);
          gates.get(client.conn)?.widen(PACKET_BYTES);
          settled.get(farEnd(client.conn as Socket))?.();
          done(null, true);
        })
        .catch(() => done(refusal(3, 'server unavailable'), false));
    },
    authorizePublish: (client, packet, done) => {
      const session = client === null ? undefined : sessions.get(client);
      if (session === undefined) {
        // A Will found in the persistence after its client is gone: nobody vouches for it any more.
        foreign((packet as { clientId?: string }).clientId ?? '?', packet, true);
      } else if (!mayPublish(session, packet.topic)) {
        foreign(session.name, packet, false);
      }
      done(null);
    },
    authorizeSubscribe: (client, subscription, done) => {
      const session = sessions.get(client);
      const granted = session?.subscribe.some((pattern) => covers(pattern, subscription.topic)) === true;
      if (!granted) refuse('subscription-denied', addressOf(client), `${session?.name ?? '?'} ${subscription.topic}`);
      done(null, granted ? subscription : null);
    },
    authorizeForward: (client, packet) => {
      // Checked once more at delivery: a subscription that became too wide would otherwise stay so.
      const session = sessions.get(client);
      return session?.subscribe.some((pattern) => covers(pattern, packet.topic)) === true ? packet : null;
    },
  });
  broker.on('connectionError', (client, error) => {
    // Version 5 is asked for first by every agent of ours and refused by Aedes: an answer, not a stranger.
    if ((error as { errorCode?: number }).errorCode === 1) return;
    if (!gates.get(client.conn)?.tripped) refuse('not-mqtt', addressOf(client), '');
  });
  broker.on('clientError', () => {});
  // A bare emitter with no listener would end the process over one failed Will.
  (broker as EventEmitter).on('error', () => {});

  /** Every TCP connection, before TLS and before MQTT. */
  const knocked = (socket: Socket): void => {
    const address = socket.remoteAddress ?? '?';
    const end = farEnd(socket);
    const mine = waiting.get(address) ?? 0;
    socket.on('error', () => {});
    if (sockets.size >= CONNECTIONS || mine >= PRE_AUTH_PER_ADDRESS) {
      refuse('too-many-connections', address, '');
      socket.destroy();
      return;
    }
    sockets.add(socket);
    waiting.set(address, mine + 1);
    let open = true;
    const settle = (): void => {
      if (!open) return;
      open = false;
      clearTimeout(timer);
      const left = (waiting.get(address) ?? 1) - 1;
      if (left <= 0) waiting.delete(address);
      else waiting.set(address, left);
    };
    // One time for connecting and proving who one is; a slow drip of bytes does not extend it.
    const timer = setTimeout(() => socket.destroy(), PRE_AUTH_MS);
    settled.set(end, settle);
    socket.on('close', () => {
      sockets.delete(socket);
      settled.delete(end);
      settle();
    });
    if (options.tls === undefined) serve(socket, address);
  };

  /** A stream on which MQTT may be spoken. */
  const serve = (socket: Socket, address: string): void => {
    const gate = new PacketGate(PRE_AUTH_BYTES);
    gates.set(socket, gate);
    const read = socket.read.bind(socket);
    socket.read = (size?: number): Buffer | null => {
      const chunk = read(size) as Buffer | null;
      if (chunk !== null && !gate.pass(chunk)) {
        refuse('too-large', address, '');
        socket.destroy();
        return null;
      }
      return chunk;
    };
    socket.setNoDelay(true);
    broker.handle(socket);
  };

  const server: Server =
    options.tls === undefined
      ? createServer()
      : createTlsServer({ key: readFileSync(options.tls.key), cert: readFileSync(options.tls.cert) }, (socket) => {
          socket.on('error', () => {});
          serve(socket, socket.remoteAddress ?? '?');
        });
  server.on('connection', knocked);
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port, options.host, () => {
      server.off('error', reject);
      resolve();
    });
  });
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : options.port;

  return {
    host: options.host,
    port,
    counts: () => ({ ...counts }),
    clients: () => broker.connectedClients,
    async stop() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      await new Promise<void>((resolve) => broker.close(() => resolve()));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

const farEnd = (socket: Socket): string => `${socket.remoteAddress ?? '?'} ${socket.remotePort ?? 0}`;
