import { generateKeyPair } from '@libp2p/crypto/keys';
import { noise } from '@libp2p/noise';
import { tcp } from '@libp2p/tcp';
import { yamux } from '@libp2p/yamux';
import { createLibp2p } from 'libp2p';
import { expect, test } from 'vitest';
import { frugalNoise } from '../../../agent/adapters/mesh/frugal-noise.ts';
import type { Stream } from '../../../agent/adapters/mesh/libp2p-types.ts';
import { eventually } from '../../support/eventually.ts';

const node = async (encrypter: ReturnType<typeof noise>) =>
  createLibp2p({
    privateKey: await generateKeyPair('Ed25519'),
    addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
    transports: [tcp()],
    connectionEncrypters: [encrypter],
    streamMuxers: [yamux()],
  });

test.each([
  ['frugal dials the library', frugalNoise, noise],
  ['the library dials frugal', noise, frugalNoise],
  ['frugal dials frugal', frugalNoise, frugalNoise],
] as const)('noise: %s → every byte arrives, in small and in large pieces', async (_name, dialling, listening) => {
  const [dialler, listener] = [await node(dialling()), await node(listening())];
  try {
    let heard = 0;
    let sum = 0;
    await listener.handle('/t/1', (stream: Stream) => {
      stream.addEventListener('message', ({ data }) => {
        for (const byte of data instanceof Uint8Array ? data : data.subarray()) {
          heard++;
          sum = (sum * 31 + byte) % 1_000_003;
        }
      });
    });
    const stream = await dialler.dialProtocol(listener.getMultiaddrs(), '/t/1');
    let sent = 0;
    let expected = 0;
    for (const size of [1, 2, 3, 17, 250, 5_000, 70_000, 1, 140_000, 2]) {
      const bytes = Uint8Array.from({ length: size }, (_, i) => (i * 7 + size) % 256);
      for (const byte of bytes) expected = (expected * 31 + byte) % 1_000_003;
      sent += size;
      if (!stream.send(bytes))
        await new Promise((resolve) => stream.addEventListener('drain', resolve, { once: true }));
    }
    await eventually(() => heard === sent, { what: 'all bytes heard' });
    expect(sum).toBe(expected);
  } finally {
    await Promise.all([dialler.stop(), listener.stop()]);
  }
});

test('noise: a secured connection → its decoder asks for more without making an error each time', async () => {
  const secured: unknown[] = [];
  const watched: ReturnType<typeof noise> = (components) => {
    const encrypter = frugalNoise()(components);
    const { secureOutbound } = encrypter;
    encrypter.secureOutbound = async (...args) => {
      const result = await secureOutbound.apply(encrypter, args);
      secured.push(result.connection);
      return result;
    };
    return encrypter;
  };
  const [dialler, listener] = [await node(watched), await node(noise())];
  try {
    await dialler.dial(listener.getMultiaddrs());
    const [connection] = secured as { decoder: { lengthDecoder(data: Uint8Array): number } }[];
    const ask = (bytes: number[]): unknown => {
      try {
        return connection?.decoder.lengthDecoder(Uint8Array.from(bytes));
      } catch (error) {
        return error;
      }
    };
    expect(ask([1, 2])).toBe(258);
    expect(ask([1])).toBeInstanceOf(RangeError);
    expect(ask([1])).toBe(ask([]));
  } finally {
    await Promise.all([dialler.stop(), listener.stop()]);
  }
});
