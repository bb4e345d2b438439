import { createPrivateKey, createPublicKey, type KeyObject, sign, verify } from 'node:crypto';
import { type AgentId, agentId } from '../base/ids.ts';
import { err, ok, type Result } from '../base/result.ts';

/**
 * The list of agent keys of one site, signed by the site's key. It is the whole of admission: who is on the list may
 * speak, everyone else is refused, and no server is asked. A roster is finite and small (thousands at most).
 *
 * The signature covers a canonical text, not the file's bytes, so that an editor which re-indents the JSON breaks
 * nothing, while any change of a name, a key, the site or the version does.
 */
export interface Roster {
  readonly site: string;
  /** Rises by one with every change; the larger of two valid rosters of a site holds. */
  readonly version: number;
  readonly agents: readonly RosterEntry[];
}

export interface RosterEntry {
  readonly id: AgentId;
  /** Ed25519 public key: base64 of its SPKI form, the body of the usual PEM file in one line. */
  readonly key: string;
}

/** Why a roster is not believed, in words for the person who has to mend it. */
export interface RosterError {
  readonly reason: 'not-json' | 'wrong-shape' | 'bad-key' | 'duplicate' | 'wrong-signature' | 'too-large';
  readonly text: string;
}

/** 5000 agents take about 600 kB; a longer file is not a roster. */
export const rosterMaxBytes = 4 * 1024 * 1024;

const idPattern = /^[a-z0-9][a-z0-9-]{0,62}$/;

/**
 * Signs a roster with the site's private key (Ed25519, PEM, PKCS8). Keys of agents may be given as PEM or in the
 * one-line form. Returns the text of `roster.json`. Throws when a key or a name is unusable: whoever makes a site
 * made that mistake, not a peer.
 */
export function signRoster(roster: Roster, siteKeyPem: string): string {
  const agents: RosterEntry[] = [];
  const seen = new Set<string>();
  for (const entry of roster.agents) {
    if (!idPattern.test(entry.id)) throw new Error(`"${entry.id}" is no agent name (lower case, digits and "-")`);
    if (seen.has(entry.id)) throw new Error(`agent "${entry.id}" stands twice`);
    seen.add(entry.id);
    const key = oneLineKey(entry.key);
    if (key === undefined) throw new Error(`the key of agent "${entry.id}" is no Ed25519 public key`);
    agents.push({ id: entry.id, key });
  }
  agents.sort((a, b) => (a.id < b.id ? -1 : 1));
  const sorted: Roster = { site: roster.site, version: roster.version, agents };
  const key = createPrivateKey(siteKeyPem);
  if (key.asymmetricKeyType !== 'ed25519') throw new Error('the site key is no Ed25519 key');
  const signature = sign(null, signedBytes(sorted), key).toString('base64');
  return `${JSON.stringify({ ...sorted, signature }, null, 2)}\n`;
}

/** Parses and verifies a `roster.json` against the site's public key (PEM, SPKI). Never throws on a file's content. */
export function verifyRoster(text: string, sitePublicKeyPem: string): Result<Roster, RosterError> {
  if (text.length > rosterMaxBytes) return refuse('too-large', `longer than ${rosterMaxBytes} bytes`);
  let raw: unknown;
  try {
    raw = JSON.parse(text);
  } catch {
    return refuse('not-json', 'the file is not JSON: it was cut short or edited by hand');
  }
  const shape = readShape(raw);
  if (!shape.ok) return shape;
  const { roster, signature } = shape.value;
  let site: KeyObject;
  try {
    site = createPublicKey(sitePublicKeyPem);
  } catch {
    return refuse('bad-key', "the site's public key is no PEM file");
  }
  if (site.asymmetricKeyType !== 'ed25519') return refuse('bad-key', "the site's public key is no Ed25519 key");
  const valid = verify(null, signedBytes(roster), site, Buffer.from(signature, 'base64'));
  if (!valid) {
    return refuse(
      'wrong-signature',
      'the list was changed after signing, or another site key signed it: sign it again',
    );
  }
  return ok(roster);
}

/** The 32 raw bytes of an entry's Ed25519 public key. */
export function rawPublicKey(entry: RosterEntry): Uint8Array {
  return Uint8Array.from(Buffer.from(entry.key, 'base64').subarray(spkiPrefix.length));
}

export function publicKeyOf(entry: RosterEntry): KeyObject {
  return createPublicKey({ key: Buffer.from(entry.key, 'base64'), format: 'der', type: 'spki' });
}

// RFC 8410: SubjectPublicKeyInfo of Ed25519 is this constant and then 32 bytes.
const spkiPrefix = Buffer.from('302a300506032b6570032100', 'hex');

/** An Ed25519 public key, PEM or one line, in its one-line form; undefined when it is something else. */
export function oneLineKey(text: string): string | undefined {
  const body = text.replace(/-----[A-Z ]+-----/g, '').replace(/\s+/g, '');
  const der = Buffer.from(body, 'base64');
  if (der.length !== spkiPrefix.length + 32 || !der.subarray(0, spkiPrefix.length).equals(spkiPrefix)) return undefined;
  return der.toString('base64');
}

// Fixed order of fields, agents sorted by name, no blanks: one roster, one text.
function signedBytes(roster: Roster): Uint8Array {
  const agents = roster.agents.map(({ id, key }) => ({ id, key }));
  return Buffer.from(
    `millwright roster 1\n${JSON.stringify({ site: roster.site, version: roster.version, agents })}`,
    'utf8',
  );
}

function readShape(raw: unknown): Result<{ roster: Roster; signature: string }, RosterError> {
  const shape = raw as { site?: unknown; version?: unknown; agents?: unknown; signature?: unknown } | null;
  if (typeof shape !== 'object' || shape === null) return refuse('wrong-shape', 'not an object');
  const { site, version, agents, signature } = shape;
  if (typeof site !== 'string' || site === '') return refuse('wrong-shape', 'site: expected a name');
  if (!Number.isSafeInteger(version) || (version as number) < 0) {
    return refuse('wrong-shape', 'version: expected a whole number');
  }
  if (typeof signature !== 'string') return refuse('wrong-shape', 'signature: expected base64');
  if (!Array.isArray(agents)) return refuse('wrong-shape', 'agents: expected a list');
  const entries: RosterEntry[] = [];
  const ids = new Set<string>();
  const keys = new Set<string>();
  for (const [i, item] of (agents as readonly unknown[]).entries()) {
    const entry = item as { id?: unknown; key?: unknown } | null;
    if (typeof entry?.id !== 'string' || !idPattern.test(entry.id)) {
      return refuse('wrong-shape', `agents[${i}].id: expected a name`);
    }
    const key = typeof entry.key === 'string' ? oneLineKey(entry.key) : undefined;
    if (key === undefined) return refuse('bad-key', `agents[${i}].key ("${entry.id}"): expected an Ed25519 public key`);
    if (ids.has(entry.id)) return refuse('duplicate', `agent "${entry.id}" stands twice`);
    if (keys.has(key)) return refuse('duplicate', `the key of agent "${entry.id}" stands twice: two boxes, one key`);
    ids.add(entry.id);
    keys.add(key);
    entries.push({ id: agentId(entry.id), key });
  }
  entries.sort((a, b) => (a.id < b.id ? -1 : 1));
  return ok({ roster: { site, version: version as number, agents: entries }, signature });
}

function refuse(reason: RosterError['reason'], text: string): Result<never, RosterError> {
  return err({ reason, text });
}
