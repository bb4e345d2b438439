import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { createSocket, type Socket } from 'node:dgram';
import { isIPv6 } from 'node:net';
import type { AgentIndex } from '../../base/ids.ts';
import { FrameReader, frame } from '../../wire/frame.ts';
import type { Connection, Stream } from './libp2p-types.ts';

export const datagramProtocol = '/millwright/datagram/1';

export interface DatagramCounters {
  sent: number;
  received: number;
  /** None of ours, tampered with, or seen before. */
  refused: number;
  /** The network stack did not take it. */
  failed: number;
}

export interface DatagramOptions {
  /** Whom a connection belongs to, if to an agent of our plan. */
  readonly agentOf: (connection: Connection) => AgentIndex | undefined;
  readonly arrived: (agent: AgentIndex, bytes: Uint8Array) => void;
}

/**
 * Small words beside the stream, each a datagram of its own: what one packet's loss delays is that packet
 * (second-path.ts says when they are used; in the calm none is).
 *
 * Over each new connection the two sides give each other a door: a UDP port, a number, and a key that was drawn for this
 * peer and this connection. So a datagram is as authentic and as secret as the connection over which its key was told:
 * AES-256-GCM (NIST SP 800-38D), the nonce is a counter that never repeats under a key and must rise at the receiver, so
 * that a recorded word cannot be played again to make the dead speak. Late ones are refused with the repeated ones; they
 * were said to be early.
 *
 * `[number 4][counter 8][sealed …][tag 16]`
 *
 * Everything is optional: a peer of an older version, a wall that lets no UDP through, a port that cannot be had, leave
 * the streams alone. Bounded: two doors per peer (two agents may dial each other at once), gone with the last connection.
 */
export class DatagramChannel {
  readonly #options: DatagramOptions;
  readonly #doors = new Map<number, Door>();
  readonly #peers = new Map<AgentIndex, Peer>();
  readonly counters: DatagramCounters = { sent: 0, received: 0, refused: 0, failed: 0 };
  #socket: Socket | undefined;
  #port = 0;

  constructor(options: DatagramOptions) {
    this.#options = options;
  }

  /** Takes any free port at `host`. Rejects where none can be had; everything else works all the same. */
  async open(host: string): Promise<void> {
    const socket = createSocket({ type: isIPv6(host) ? 'udp6' : 'udp4' });
    await new Promise<void>((resolve, reject) => {
      socket.once('error', reject);
      socket.bind({ address: host, port: 0, exclusive: true }, () => {
        socket.off('error', reject);
        resolve();
      });
    });
    socket.on('error', () => void this.counters.failed++);
    socket.on('message', (datagram) => this.#arrived(datagram));
    this.#port = socket.address().port;
    this.#socket = socket;
  }

  /** Who dialled says first where its door is. */
  connectionOpened(agent: AgentIndex, connection: Connection): void {
    if (this.#socket === undefined || connection.direction !== 'outbound') return;
    connection.newStream(datagramProtocol, { signal: AbortSignal.timeout(openTimeoutMs), maxOutboundStreams: 2 }).then(
      (stream) => this.#exchange(agent, stream, connection),
      // An older version, or the connection is gone: streams do.
      () => {},
    );
  }

  /** A stream that an agent opened to us for this. */
  accept(stream: Stream, connection: Connection): void {
    const agent = this.#options.agentOf(connection);
    if (agent === undefined || this.#socket === undefined) stream.abort(new Error('no datagrams here'));
    else this.#exchange(agent, stream, connection);
  }

  /** The last connection to this agent is gone, and with it what was told over it. */
  forget(agent: AgentIndex): void {
    const peer = this.#peers.get(agent);
    this.#peers.delete(agent);
    for (const number of peer?.doors ?? []) this.#doors.delete(number);
  }

  /** False when there is no door, or the word is too long for one packet. */
  send(agent: AgentIndex, bytes: Uint8Array): boolean {
    const out = this.#peers.get(agent)?.out;
    if (out === undefined || this.#socket === undefined || bytes.length > wordMaxBytes) return false;
    const head = Buffer.alloc(headBytes);
    head.writeUInt32BE(out.number, 0);
    head.writeBigUInt64BE(++out.counter, 4);
    const cipher = createCipheriv(algorithm, out.key, nonceOf(head));
    cipher.setAAD(head);
    const datagram = Buffer.concat([head, cipher.update(bytes), cipher.final(), cipher.getAuthTag()]);
    this.counters.sent++;
    this.#socket.send(datagram, out.port, out.host, (error) => {
      if (error) this.counters.failed++;
    });
    return true;
  }

  async close(): Promise<void> {
    const socket = this.#socket;
    this.#socket = undefined;
    this.#doors.clear();
    this.#peers.clear();
    if (socket !== undefined) await new Promise<void>((resolve) => socket.close(() => resolve()));
  }

  #exchange(agent: AgentIndex, stream: Stream, connection: Connection): void {
    const own = this.#newDoor(agent);
    const reader = new FrameReader(doorBytes);
    const end = setTimeout(() => stream.abort(new Error('said nothing')), openTimeoutMs);
    stream.addEventListener('close', () => clearTimeout(end));
    stream.addEventListener('message', (event) => {
      const chunk = event.data instanceof Uint8Array ? event.data : event.data.subarray();
      const isWell = reader.push(chunk, (told) => {
        const host = hostOf(connection);
        const peer = this.#peers.get(agent);
        if (told.length === doorBytes && host !== undefined && peer !== undefined && connection.status === 'open') {
          const view = Buffer.from(told);
          const [number, port] = [view.readUInt32BE(0), view.readUInt16BE(4)];
          peer.out = { host, port, number, key: view.subarray(6), counter: 0n };
        }
        stream.close().catch((cause: Error) => stream.abort(cause));
      });
      if (!isWell) stream.abort(new Error('no door'));
    });
    const told = Buffer.alloc(doorBytes);
    told.writeUInt32BE(own.number, 0);
    told.writeUInt16BE(this.#port, 4);
    own.key.copy(told, 6);
    try {
      stream.send(frame(told));
    } catch (cause) {
      // It may have been closed since it was opened, and says so by throwing.
      stream.abort(cause instanceof Error ? cause : new Error(String(cause)));
    }
  }

  #newDoor(agent: AgentIndex): Door {
    let peer = this.#peers.get(agent);
    if (peer === undefined) this.#peers.set(agent, (peer = { out: undefined, doors: [] }));
    let number = randomBytes(4).readUInt32BE();
    while (this.#doors.has(number)) number = (number + 1) >>> 0;
    const door: Door = { agent, number, key: randomBytes(keyBytes), counter: 0n };
    this.#doors.set(number, door);
    peer.doors.push(number);
    if (peer.doors.length > doorsPerPeer) this.#doors.delete(peer.doors.shift()!);
    return door;
  }

  #arrived(datagram: Buffer): void {
    const word = this.#opened(datagram);
    if (word === undefined) this.counters.refused++;
    else {
      this.counters.received++;
      this.#options.arrived(word.agent, word.bytes);
    }
  }

  #opened(datagram: Buffer): { readonly agent: AgentIndex; readonly bytes: Uint8Array } | undefined {
    if (datagram.length < headBytes + tagBytes || datagram.length > headBytes + wordMaxBytes + tagBytes)
      return undefined;
    const door = this.#doors.get(datagram.readUInt32BE(0));
    const counter = datagram.readBigUInt64BE(4);
    if (door === undefined || counter <= door.counter) return undefined;
    const head = datagram.subarray(0, headBytes);
    const decipher = createDecipheriv(algorithm, door.key, nonceOf(head), { authTagLength: tagBytes });
    decipher.setAAD(head);
    decipher.setAuthTag(datagram.subarray(-tagBytes));
    const first = decipher.update(datagram.subarray(headBytes, -tagBytes));
    try {
      const bytes = Buffer.concat([first, decipher.final()]);
      door.counter = counter;
      return { agent: door.agent, bytes };
    } catch {
      return undefined;
    }
  }
}

/** Where one peer's words come in. */
interface Door {
  readonly agent: AgentIndex;
  readonly number: number;
  readonly key: Buffer;
  /** Of the last word that was taken. */
  counter: bigint;
}

interface Peer {
  out:
    | { readonly host: string; readonly port: number; readonly number: number; readonly key: Buffer; counter: bigint }
    | undefined;
  readonly doors: number[];
}

/** The head is unique under its key, and as long as a nonce has to be. */
const nonceOf = (head: Buffer): Buffer => head;

const hostOf = (connection: Connection): string | undefined =>
  /^\/ip[46]\/([^/]+)\/tcp\//.exec(connection.remoteAddr.toString())?.[1];

const algorithm = 'aes-256-gcm';
const headBytes = 12;
const tagBytes = 16;
const keyBytes = 32;
/** Number, port, key. */
const doorBytes = 4 + 2 + keyBytes;
const doorsPerPeer = 2;
/** Fits one Ethernet frame behind IPv6, with room for a tunnel. */
export const wordMaxBytes = 1_200;
const openTimeoutMs = 5_000;
