import { createSocket, type Socket } from 'node:dgram';
import { afterEach, describe, expect, it } from 'vitest';
import { DatagramChannel, wordMaxBytes } from '../../../agent/adapters/mesh/datagram-channel.ts';
import type { Connection, Stream } from '../../../agent/adapters/mesh/libp2p-types.ts';
import { eventually } from '../../support/eventually.ts';

interface Side {
  readonly channel: DatagramChannel;
  readonly heard: { agent: number; text: string }[];
}

const sides: Side[] = [];
const sockets: Socket[] = [];

afterEach(async () => {
  await Promise.all(sides.splice(0).map(({ channel }) => channel.close()));
  for (const socket of sockets.splice(0)) socket.close();
});

async function side(peer: number): Promise<Side> {
  const heard: Side['heard'] = [];
  const channel = new DatagramChannel({
    agentOf: () => peer,
    arrived: (agent, bytes) => void heard.push({ agent, text: Buffer.from(bytes).toString() }),
  });
  await channel.open('127.0.0.1');
  const made = { channel, heard };
  sides.push(made);
  return made;
}

/** Two ends of one stream: what the one sends, the other hears, in a later turn. */
function streams(between?: (bytes: Uint8Array) => Uint8Array): readonly [Stream, Stream] {
  const ends = [new EventTarget(), new EventTarget()] as const;
  const make = (own: EventTarget, other: EventTarget): Stream =>
    Object.assign(own, {
      send: (bytes: Uint8Array) => {
        const data = between?.(bytes) ?? bytes;
        setImmediate(() => other.dispatchEvent(Object.assign(new Event('message'), { data })));
        return true;
      },
      close: async () => void own.dispatchEvent(new Event('close')),
      abort: () => void own.dispatchEvent(new Event('close')),
    }) as unknown as Stream;
  return [make(ends[0], ends[1]), make(ends[1], ends[0])];
}

const connection = (stream?: Stream): Connection =>
  ({
    direction: stream === undefined ? 'inbound' : 'outbound',
    status: 'open',
    remoteAddr: { toString: () => '/ip4/127.0.0.1/tcp/4001' },
    newStream: async () => stream,
  }) as unknown as Connection;

/** Agent 0 and agent 1, who have told each other where their doors are. */
async function pair(between?: (bytes: Uint8Array) => Uint8Array): Promise<readonly [Side, Side]> {
  const [zero, one] = [await side(1), await side(0)];
  const [dialled, accepted] = streams(between);
  one.channel.accept(accepted, connection());
  zero.channel.connectionOpened(1, connection(dialled));
  if (between === undefined) {
    await eventually(() => zero.channel.send(1, Buffer.from('hello')) && one.heard.length > 0, { what: 'a word' });
    await eventually(() => one.channel.send(0, Buffer.from('hello')) && zero.heard.length > 0, { what: 'a word back' });
  }
  return [zero, one];
}

/** Stands before a door: what is sent there comes here first. */
async function eavesdrop(): Promise<{ readonly port: number; readonly seen: Buffer[]; readonly socket: Socket }> {
  const socket = createSocket('udp4');
  sockets.push(socket);
  const seen: Buffer[] = [];
  socket.on('message', (datagram) => void seen.push(Buffer.from(datagram)));
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
  return { port: socket.address().port, seen, socket };
}

describe('datagrams', () => {
  it('two who told each other their doors → words pass both ways, sealed, under the name of who told', async () => {
    const [zero, one] = await pair();
    expect(one.heard[0]).toEqual({ agent: 0, text: 'hello' });
    expect(zero.heard[0]).toEqual({ agent: 1, text: 'hello' });
  });

  it('a recorded word, a changed one, one for another door → none is heard, each is counted', async () => {
    const spy = await eavesdrop();
    const doors: number[] = [];
    // Both are told the spy's port instead of each other's.
    const [zero, one] = await pair((framed) => {
      const changed = Buffer.from(framed);
      doors.push(changed.readUInt16BE(changed.length - 34));
      changed.writeUInt16BE(spy.port, changed.length - 34);
      return changed;
    });
    await eventually(() => zero.channel.send(1, Buffer.from('secret word')) && spy.seen.length > 0, { what: 'a word' });
    const word = spy.seen[0]!;
    expect(word.includes('secret')).toBe(false);
    // Agent 1 accepted, and so it told first.
    const hand = (datagram: Buffer): void => spy.socket.send(datagram, doors[0]!, '127.0.0.1');
    const target = one;
    const changed = Buffer.from(word);
    changed[20]! ^= 1;
    hand(changed);
    await eventually(() => target.channel.counters.refused === 1, { what: 'a changed word is refused' });
    hand(word);
    await eventually(() => target.heard.length === 1, { what: 'the true one is heard' });
    hand(word);
    const stranger = Buffer.from(word);
    stranger.writeUInt32BE((word.readUInt32BE(0) + 1) >>> 0, 0);
    hand(stranger);
    hand(Buffer.alloc(5));
    await eventually(() => target.channel.counters.refused === 4, { what: 'refused' });
    expect(target.heard).toEqual([{ agent: 0, text: 'secret word' }]);
  });

  it('a stream that is closed before the first word → given up, nothing is thrown', async () => {
    const { channel } = await side(1);
    const aborted: string[] = [];
    const closed = (name: string): Stream =>
      Object.assign(new EventTarget(), {
        send: () => {
          throw new Error('Cannot write to a stream that is closed');
        },
        abort: () => void aborted.push(name),
      }) as unknown as Stream;
    channel.accept(closed('accepted'), connection());
    channel.connectionOpened(1, connection(closed('dialled')));
    await eventually(() => aborted.length === 2, { what: 'both are given up' });
    expect(aborted).toEqual(['accepted', 'dialled']);
    expect(channel.send(1, Buffer.from('x'))).toBe(false);
  });

  it('no door known, too long, the connection gone → not sent', async () => {
    const [zero, one] = await pair();
    expect(zero.channel.send(2, Buffer.from('x'))).toBe(false);
    expect(zero.channel.send(1, Buffer.alloc(wordMaxBytes + 1))).toBe(false);
    zero.channel.forget(1);
    expect(zero.channel.send(1, Buffer.from('x'))).toBe(false);
    const { refused } = zero.channel.counters;
    one.channel.send(0, Buffer.from('x'));
    await eventually(() => zero.channel.counters.refused > refused, { what: 'a closed door' });
  });
});
