import { createPrivateKey, type KeyObject } from 'node:crypto';
import { privateKeyFromRaw, publicKeyFromRaw } from '@libp2p/crypto/keys';
import { peerIdFromPublicKey } from '@libp2p/peer-id';
import { type RosterEntry, rawPublicKey } from '../../wire/roster.ts';
import type { PrivateKey } from './libp2p-types.ts';

/** An agent's key in the two forms that we need: libp2p's for noise, Node's for signing digests. */
export interface AgentKey {
  readonly libp2p: PrivateKey;
  readonly node: KeyObject;
  readonly peerId: string;
}

/** Reads an Ed25519 private key (PEM, PKCS8). Throws with plain words when the text is something else. */
export function readAgentKey(pem: string): AgentKey {
  let node: KeyObject;
  try {
    node = createPrivateKey(pem);
  } catch (cause) {
    throw new Error("the agent's key file is no private key in PEM form", { cause });
  }
  if (node.asymmetricKeyType !== 'ed25519') throw new Error("the agent's key is no Ed25519 key");
  const { d, x } = node.export({ format: 'jwk' });
  const seed = Buffer.from(d ?? '', 'base64url');
  const open = Buffer.from(x ?? '', 'base64url');
  const libp2p = privateKeyFromRaw(Uint8Array.from(Buffer.concat([seed, open])));
  return { libp2p, node, peerId: peerIdFromPublicKey(libp2p.publicKey).toString() };
}

/** A libp2p peer id is the public key itself, written another way: nothing to look up, nothing to trust. */
export function peerIdOf(entry: RosterEntry): string {
  return peerIdFromPublicKey(publicKeyFromRaw(rawPublicKey(entry))).toString();
}
