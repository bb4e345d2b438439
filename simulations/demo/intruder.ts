import { createPrivateKey, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { privateKeyFromRaw } from '@libp2p/crypto/keys';
import { noise } from '@libp2p/noise';
import { preSharedKey } from '@libp2p/pnet';
import { tcp } from '@libp2p/tcp';
import { yamux } from '@libp2p/yamux';
import { multiaddr } from '@multiformats/multiaddr';
import { createLibp2p } from 'libp2p';

/**
 * A stranger at the door: an ordinary libp2p node with a key of its own that dials one agent. With `--psk FILE` it has
 * the site's mesh key, without it one of its own making. Prints one JSON line: whether it got in, and for how long.
 *
 * It got in when the connection still stands after `holdMs`; a dial that resolves and drops at once is a refusal.
 */
const holdMs = 1_500;
const { values } = parseArgs({
  options: { psk: { type: 'string' }, key: { type: 'string' }, dial: { type: 'string', multiple: true } },
});
const ownKey = `/key/swarm/psk/1.0.0/\n/base16/\n${randomBytes(32).toString('hex')}`;
const psk = new TextEncoder().encode(values.psk === undefined ? ownKey : readFileSync(values.psk, 'utf8').trim());

const node = await createLibp2p({
  ...(values.key === undefined ? {} : { privateKey: readKey(values.key) }),
  addresses: { listen: [] },
  transports: [tcp()],
  connectionEncrypters: [noise()],
  streamMuxers: [yamux()],
  connectionProtector: preSharedKey({ psk }),
});
const results: { target: string; connected: boolean; heldMs: number; error: string | undefined }[] = [];
for (const target of values.dial ?? []) {
  const [host, port] = target.split(':');
  const started = performance.now();
  let error: string | undefined;
  let connected = false;
  try {
    const connection = await node.dial(multiaddr(`/ip4/${host}/tcp/${port}`), { signal: AbortSignal.timeout(8_000) });
    connected = true;
    for (let waited = 0; waited < holdMs && connection.status === 'open'; waited += 50) await sleep(50);
    connected = connection.status === 'open';
    if (!connected) error = 'the connection was closed by the other side';
  } catch (cause) {
    error = cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause);
  }
  results.push({ target, connected, heldMs: Math.round(performance.now() - started), error });
}
process.stdout.write(
  `${JSON.stringify({ peerId: node.peerId.toString(), gotIn: results.some((r) => r.connected), results })}\n`,
);
await node.stop();
process.exit(0);

/** An Ed25519 key in PEM, as libp2p wants it: 32 bytes of seed, then 32 of public key. */
function readKey(file: string) {
  const jwk = createPrivateKey(readFileSync(file, 'utf8')).export({ format: 'jwk' });
  return privateKeyFromRaw(
    Buffer.concat([Buffer.from(jwk.d ?? '', 'base64url'), Buffer.from(jwk.x ?? '', 'base64url')]),
  );
}
