/**
 * Signs orders as `agent/wire/order.ts` reads them, with a person's own key, inside this page. The coordinator only carries
 * them; neither it nor the broker ever sees the key. The key is held in memory until the page is closed or told to forget
 * it, in a form from which it cannot be taken out again.
 *
 * Browsers give a page these means only over https or on the machine itself.
 */
export interface Signer {
  /** As in the site file. */
  readonly by: string;
  readonly key: Key;
  /** What people compare by eye: the first eight bytes of the key's SHA-256, hex. */
  readonly keyId: string;
}

type Key = Awaited<ReturnType<typeof crypto.subtle.importKey>>;

export type Act =
  | { readonly verb: 'maintain'; readonly thing: string; readonly forMs: number; readonly why: string }
  | { readonly verb: 'end-maintenance'; readonly thing: string };

const validMs = 5 * 60_000;
/** Of an Ed25519 public key in SPKI, before its 32 bytes. */
const spkiHead = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/** Reads a private key file (PEM, PKCS8, Ed25519); throws when it is none, or the browser knows no Ed25519. */
export async function readSigner(by: string, pem: string): Promise<Signer> {
  const body = /-----BEGIN PRIVATE KEY-----([A-Za-z0-9+/=\s]+)-----END PRIVATE KEY-----/.exec(pem)?.[1];
  if (body === undefined) throw new Error('no private key');
  const der = Uint8Array.from(atob(body.replaceAll(/\s/g, '')), (one) => one.charCodeAt(0));
  const { subtle } = crypto;
  // Once to learn its public half, and once more so that nobody can take it out.
  const open = await subtle.importKey('pkcs8', der, 'Ed25519', true, ['sign']);
  const { x } = await subtle.exportKey('jwk', open);
  const key = await subtle.importKey('pkcs8', der, 'Ed25519', false, ['sign']);
  der.fill(0);
  const half = Uint8Array.from(atob((x ?? '').replaceAll('-', '+').replaceAll('_', '/')), (one) => one.charCodeAt(0));
  const hash = new Uint8Array(await subtle.digest('SHA-256', new Uint8Array([...spkiHead, ...half])));
  return { by, key, keyId: hexOf(hash.subarray(0, 8)) };
}

export interface SignedOrder {
  readonly id: string;
  readonly agent: string;
  readonly document: Uint8Array<ArrayBuffer>;
}

/** For one agent, good for five minutes. `now`: by the coordinator's clock, since a panel's own may be wrong by hours. */
export async function signOrder(
  signer: Signer,
  { site, agent, what }: { readonly site: string; readonly agent: string; readonly what: Act },
  now: number,
): Promise<SignedOrder> {
  const id = hexOf(crypto.getRandomValues(new Uint8Array(16)));
  const iso = (at: number): string => new Date(at).toISOString();
  const content = { format: 1, site, agent, by: signer.by, id, issuedAt: iso(now), notAfter: iso(now + validMs), what };
  const utf8 = new TextEncoder();
  const head = { alg: 'EdDSA', typ: 'millwright-order+json', kid: signer.keyId };
  const payload = base64url(utf8.encode(canonical(content)));
  const first = base64url(utf8.encode(canonical(head)));
  const signature = await crypto.subtle.sign('Ed25519', signer.key, utf8.encode(`${first}.${payload}`));
  const envelope = { payload, protected: first, signature: base64url(new Uint8Array(signature)) };
  return { id, agent, document: utf8.encode(`${canonical(envelope)}\n`) };
}

/** The same on the command line, for a page that may not sign: one line for all agents. */
export function orderLine(act: Act, by: string, site: string, agents: readonly string[], coordinator: string): string {
  const name = by === '' ? 'YOU' : by;
  const what =
    act.verb === 'maintain'
      ? `maintain ${quoted(act.thing)} --for ${Math.round(act.forMs / 60_000)}m --why ${quoted(act.why)}`
      : `end-maintenance ${quoted(act.thing)}`;
  return (
    `for agent in ${agents.join(' ')}; do millwright order ${what} --key ${quoted(`people/${name}.key`)} --by ${quoted(name)} ` +
    `--site ${site} --agent $agent --coordinator ${coordinator} --token api.token; done`
  );
}

/** Plain words stay as they are; for a shell all else stands in single quotes. */
const quoted = (text: string): string => (/^[\w./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

/** RFC 8785 for texts, whole numbers and what is made of them. */
const canonical = (value: unknown): string => {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${entries.map(([key, item]) => `${JSON.stringify(key)}:${canonical(item)}`).join(',')}}`;
};

const hexOf = (bytes: Uint8Array): string => Array.from(bytes, (one) => one.toString(16).padStart(2, '0')).join('');

const base64url = (bytes: Uint8Array): string =>
  btoa(Array.from(bytes, (one) => String.fromCharCode(one)).join(''))
    .replaceAll('+', '-')
    .replaceAll('/', '_')
    .replaceAll('=', '');
