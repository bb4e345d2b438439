import { preSharedKey } from '@libp2p/pnet';
import type { ConnectionProtector, ProtectOptions, RawStream } from './libp2p-types.ts';

/** How an incoming connection showed that it does not have our mesh key. */
export type WrongKey = 'none' | 'other';

/**
 * libp2p's pre-shared key, with a look at what comes in. The mesh key by itself only turns the bytes of a stranger
 * into noise: the listener would wait for a handshake that never comes, for seconds, and say nothing. But the first
 * words of every libp2p connection are known, so a listener can tell at once:
 *
 * - the words stand there in the clear: the other side has no mesh key at all;
 * - after decryption something else stands there: it has another mesh key, or is no libp2p peer.
 *
 * This guards nothing by itself (noise and the roster do); it makes a mistake visible within a round trip.
 */
export function meshKey(psk: string, refused: (address: string, how: WrongKey) => void): () => ConnectionProtector {
  const make = preSharedKey({ psk: new TextEncoder().encode(psk) });
  return () => {
    const inner = make();
    const shield = inner.protect.bind(inner);
    const protect = async (stream: RawStream, options?: ProtectOptions): Promise<RawStream> => {
      if (stream.direction !== 'inbound') return shield(stream, options);
      const address = addressOf(stream);
      const spoken = await shieldFromPlain(stream, () => shield(stream, options));
      if (spoken === undefined) {
        refused(address, 'none');
        throw new Error('the other side has no mesh key');
      }
      const first = await firstBytes(spoken, greeting, options?.signal);
      if (first === undefined) {
        refused(address, 'other');
        const error = new Error('the other side has another mesh key');
        spoken.abort(error);
        throw error;
      }
      spoken.unshift(first);
      return spoken;
    };
    // The protector may carry a tag for libp2p's own lookup of services: kept as it is, one method replaced.
    return Object.assign(inner, { protect });
  };
}

/** The multistream header: length 19, the protocol, a newline. */
const greeting = new TextEncoder().encode('\x13/multistream/1.0.0\n');

// Looks at the raw bytes while the key's own handshake (24 bytes of nonce) reads them. Undefined: they are the
// greeting itself, unencrypted. A nonce looks like that once in 2^64.
async function shieldFromPlain(stream: RawStream, handshake: () => Promise<RawStream>): Promise<RawStream | undefined> {
  let plain = false;
  let seen = new Uint8Array(0);
  const look = (event: { data: Uint8Array | { subarray(): Uint8Array } }): void => {
    const chunk = event.data instanceof Uint8Array ? event.data : event.data.subarray();
    seen = Uint8Array.from([...seen, ...chunk.subarray(0, 8 - seen.length)]);
    if (seen.length < 8) return;
    stream.removeEventListener('message', look);
    if (Buffer.compare(seen, greeting.subarray(0, 8)) === 0) {
      plain = true;
      stream.abort(new Error('the other side has no mesh key'));
    }
  };
  stream.addEventListener('message', look);
  try {
    const spoken = await handshake();
    return plain ? undefined : spoken;
  } catch (cause) {
    if (plain) return undefined;
    throw cause;
  } finally {
    stream.removeEventListener('message', look);
  }
}

// The first bytes of a stream once they are known to begin with `expected`, with whatever came beyond; undefined at
// the first byte that differs, since a stranger may never send a whole line.
function firstBytes(
  stream: RawStream,
  expected: Uint8Array,
  signal: AbortSignal | undefined,
): Promise<Uint8Array | undefined> {
  return new Promise((resolve, reject) => {
    let got: Uint8Array = new Uint8Array(0);
    const done = (settle: () => void): void => {
      stream.removeEventListener('message', take);
      stream.removeEventListener('close', closed);
      signal?.removeEventListener('abort', aborted);
      settle();
    };
    const take = (event: { data: Uint8Array | { subarray(): Uint8Array } }): void => {
      const chunk = event.data instanceof Uint8Array ? event.data : event.data.subarray();
      got = Uint8Array.from(Buffer.concat([got, chunk]));
      const length = Math.min(got.length, expected.length);
      if (Buffer.compare(got.subarray(0, length), expected.subarray(0, length)) !== 0) done(() => resolve(undefined));
      else if (length === expected.length) done(() => resolve(got));
    };
    const closed = (): void => done(() => reject(new Error('closed before its first words')));
    const aborted = (): void => done(() => reject(new Error('silent after the mesh key')));
    stream.addEventListener('message', take);
    stream.addEventListener('close', closed);
    signal?.addEventListener('abort', aborted);
    if (signal?.aborted === true) aborted();
  });
}

function addressOf(stream: RawStream): string {
  const { remoteAddr } = stream as RawStream & { remoteAddr?: { toString(): string } };
  // The port of an incoming connection is a passing number: without it, one stranger stays one stranger.
  return remoteAddr?.toString().replace(/\/tcp\/\d+.*$/, '') ?? 'unknown';
}
