import { createHash, createPrivateKey, createPublicKey, type KeyObject, sign, verify } from 'node:crypto';
import { z } from 'zod';
import { oneLineKey } from './roster.ts';

/**
 * What people sign for agents to believe: a JWS in flattened JSON serialization (RFC 7515 §7.2.2) with Ed25519 (RFC 8032,
 * RFC 8037), the payload canonical JSON. The signature covers the very bytes of the payload, so nothing is judged before
 * it is known to be authentic; `typ` keeps one kind of document from being taken for another.
 */
export interface OpenedJws {
  readonly payload: Buffer;
  /** What the signature covers. */
  readonly signed: Buffer;
  readonly signature: Buffer;
}

const envelopeSchema = z.strictObject({
  payload: z.string(),
  protected: z.string().max(1024),
  signature: z.string().max(128),
});

/** Signs with an Ed25519 private key (PEM, PKCS8); throws when it is another one. */
export function signJws(payload: Uint8Array, typ: string, privateKeyPem: string): Uint8Array {
  const secret = createPrivateKey(privateKeyPem);
  if (secret.asymmetricKeyType !== 'ed25519') throw new Error('the signing key is no Ed25519 key');
  const open = oneLineKey(createPublicKey(secret).export({ type: 'spki', format: 'pem' }) as string) ?? '';
  const envelope = {
    payload: Buffer.from(payload).toString('base64url'),
    protected: Buffer.from(canonicalJson({ alg: 'EdDSA', typ, kid: keyId(open) })).toString('base64url'),
  };
  const signature = sign(null, Buffer.from(`${envelope.protected}.${envelope.payload}`), secret).toString('base64url');
  return Buffer.from(`${canonicalJson({ ...envelope, signature })}\n`);
}

/** Takes the envelope apart; undefined when it is none of this `typ`. Judges no signature. */
export function openJws(bytes: Uint8Array, typ: string): OpenedJws | undefined {
  let raw: unknown;
  try {
    raw = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    return undefined;
  }
  const shape = envelopeSchema.safeParse(raw);
  if (!shape.success) return undefined;
  const [payload, head, signature] = [shape.data.payload, shape.data.protected, shape.data.signature].map(bytesOf);
  if (payload === undefined || head === undefined || signature === undefined) return undefined;
  let said: unknown;
  try {
    said = JSON.parse(head.toString('utf8'));
  } catch {
    return undefined;
  }
  // No choice of algorithm is offered to whoever sends: anything but this one is no document of ours.
  const { alg, typ: its } = (said ?? {}) as { alg?: unknown; typ?: unknown };
  if (alg !== 'EdDSA' || its !== typ) return undefined;
  return { payload, signed: Buffer.from(`${shape.data.protected}.${shape.data.payload}`), signature };
}

/** `key`: Ed25519 in one line, as in the roster. */
export const isSignedBy = ({ signed, signature }: OpenedJws, key: string): boolean =>
  verify(null, signed, keyObject(key), signature);

/** RFC 8785 for what stands in signed documents (texts, whole numbers, booleans, null): one content, one text. */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`;
  if (typeof value === 'object' && value !== null) {
    const entries = Object.entries(value).filter(([, item]) => item !== undefined);
    entries.sort(([a], [b]) => (a < b ? -1 : 1));
    return `{${entries.map(([field, item]) => `${JSON.stringify(field)}:${canonicalJson(item)}`).join(',')}}`;
  }
  return JSON.stringify(value);
}

/** The first eight bytes of a key's SHA-256, hex: for people, who compare it by eye. */
export function keyId(oneLine: string): string {
  return createHash('sha256').update(Buffer.from(oneLine, 'base64')).digest('hex').slice(0, 16);
}

/** base64url in its one shortest form, or undefined. */
function bytesOf(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64url');
  return bytes.toString('base64url') === text ? bytes : undefined;
}

const keyObject = (oneLine: string): KeyObject =>
  createPublicKey({ key: Buffer.from(oneLine, 'base64'), format: 'der', type: 'spki' });
