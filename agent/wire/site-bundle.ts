import { createHash } from 'node:crypto';
import { z } from 'zod';
import { agentId } from '../base/ids.ts';
import { err, ok, type Result } from '../base/result.ts';
import { readDocument } from './document.ts';
import { canonicalJson, isSignedBy, openJws, signJws } from './jws.ts';
import { oneLineKey, type Roster } from './roster.ts';

/**
 * The signed site bundle: who belongs, with which key, label and role; who votes in which cell and since which epoch;
 * who may give orders; which models are the right ones; and the site file itself, from which duties, checks and
 * workflows are compiled. One file, one signature, accepted whole or not at all.
 *
 * **Form.** A JWS in flattened JSON serialization (RFC 7515 §7.2.2) with Ed25519 (RFC 8032, RFC 8037): any JOSE library
 * can verify one. The signature covers the very bytes of the payload, so nothing is judged before it is known to be
 * authentic. The payload is canonical JSON (keys sorted, no blanks), and its SHA-256 is the bundle's name: in `parent`,
 * in announcements, on the disk.
 *
 * **Order.** By (era, version). Within an era every bundle is signed by the key that its parent names, so a new signing
 * key is introduced by the old one. The era rises only under the recovery key, which is fixed at the founding and kept
 * offline: the answer to a signing key that was stolen. One that was merely lost stops nothing; the site runs on.
 *
 * **Cells.** Voters, times and leases of a cell form a chain of their own, epoch by epoch, each naming the one before by
 * hash. A bundle that changes only content leaves them alone; none of them may be skipped, since a majority of the old
 * voters has to seal each before the next can begin.
 */
export interface SiteBundle extends BundleContent {
  /** SHA-256 of the payload, hex. */
  readonly hash: string;
  /** The key that signed it, one line; empty when nobody verified it. */
  readonly signedBy: string;
}

export interface BundleContent {
  readonly site: string;
  /** From 1; rises only under the recovery key. */
  readonly era: number;
  /** From 1; rises with every bundle. */
  readonly version: number;
  /** Hash of the bundle that this one follows; null at the founding. */
  readonly parent: string | null;
  /** Ed25519 public keys in one line, as in the roster. The next bundle is signed by this … */
  readonly signingKey: string;
  /** … or, in a new era, by this. */
  readonly recoveryKey: string;
  readonly agents: readonly BundleAgent[];
  readonly cells: readonly BundleCell[];
  readonly operators: readonly BundleOperator[];
  /**
   * Model folders and the SHA-256 of their `model.onnx`, and of their `manifest.json`: a threshold that somebody raised
   * on a box would make a model as blind as other weights.
   */
  readonly models: readonly {
    readonly file: string;
    readonly sha256: string;
    readonly manifest?: string | undefined;
  }[];
  /** Text of the site file. */
  readonly siteFile: string;
}

export interface BundleAgent {
  readonly id: string;
  readonly key: string;
  readonly cell: string;
  readonly role: 'agent' | 'witness';
  readonly labels: Readonly<Record<string, string>>;
  /** Duties that it may carry at most; null: no limit. */
  readonly capacity: number | null;
  /** Its key is off the list for good: its connections are cut, and nobody may bring the key back. */
  readonly revoked: boolean;
}

export interface BundleCell {
  readonly id: string;
  /** From 1 to 65535 (the upper 16 bits of a fencing token); rises by one when anything below changes. */
  readonly epoch: number;
  /** `cellHash` of the epoch before; null in the first. */
  readonly parent: string | null;
  /** 1, 3 or 5 names; none where nothing is exclusive. */
  readonly voters: readonly string[];
  /** T, ρ and the holder's times, in ms; ρ in parts per million. */
  readonly lease: {
    readonly leaseMs: number;
    readonly driftPpm: number;
    readonly renewMs: number;
    readonly retryMs: number;
    readonly guardMs: number;
  };
  /** `eligible` is a hash of who may hold it (the site file says who): another crowd is another epoch. */
  readonly leases: readonly { readonly id: string; readonly lingerMs: number; readonly eligible: string }[];
}

export interface BundleOperator {
  readonly name: string;
  readonly key: string;
  readonly may: readonly ('acknowledge' | 'shelve' | 'order' | 'approve')[];
}

/** What an agent starts from when it holds no bundle yet: keys that a person put on the box. */
export interface BundleTrust {
  /** Ed25519 public keys (PEM or one line): the site's signing key, the recovery key, or both. */
  readonly keys: readonly string[];
  /** Undefined: of any site. */
  readonly site?: string | undefined;
}

export interface BundleError {
  readonly reason:
    | 'too-large'
    | 'not-a-bundle'
    | 'wrong-signature'
    | 'wrong-shape'
    | 'newer-format'
    | 'bad-key'
    | 'duplicate'
    | 'voters'
    | 'wrong-site'
    | 'older'
    | 'rival'
    | 'wrong-parent'
    | 'era'
    | 'recovery-key'
    | 'revoked-key'
    | 'epoch'
    | 'gap';
  /** For the person who has to mend it. */
  readonly text: string;
}

/** 5000 agents and a site file of 1 MB take about 3 MB in base64. */
export const bundleMaxBytes = 8 * 1024 * 1024;
export const maxBundleEpoch = 0xffff;
const formatVersion = 1;
const documentType = 'millwright-bundle+json';

const name = z.string().regex(/^[a-z0-9][a-z0-9-]{0,62}$/);
const hash = z.string().regex(/^[0-9a-f]{64}$/);
const key = z.string().min(1).max(512);
const count = z.int().min(1).max(0xffff_ffff);
const ms = z.int().min(0).max(86_400_000);
const payloadSchema = z.strictObject({
  format: z.literal(formatVersion),
  site: name,
  era: z.int().min(1).max(0xffff),
  version: count,
  parent: hash.nullable(),
  signingKey: key,
  recoveryKey: key,
  agents: z
    .array(
      z.strictObject({
        id: name,
        key,
        cell: name,
        role: z.enum(['agent', 'witness']),
        labels: z.record(z.string().max(256), z.string().max(4096)),
        capacity: z.int().min(0).max(100_000).nullable(),
        revoked: z.boolean(),
      }),
    )
    .min(1)
    .max(5000),
  cells: z
    .array(
      z.strictObject({
        id: name,
        epoch: z.int().min(1).max(maxBundleEpoch),
        parent: hash.nullable(),
        voters: z.array(name).max(5),
        lease: z.strictObject({
          leaseMs: ms.min(1),
          driftPpm: z.int().min(0).max(100_000),
          renewMs: ms.min(1),
          retryMs: ms.min(1),
          guardMs: ms,
        }),
        leases: z
          .array(
            z.strictObject({
              id: z.string().min(1).max(256),
              lingerMs: ms,
              eligible: z.string().regex(/^[0-9a-f]{16}$/),
            }),
          )
          .max(10_000),
      }),
    )
    .max(5000),
  operators: z
    .array(z.strictObject({ name, key, may: z.array(z.enum(['acknowledge', 'shelve', 'order', 'approve'])).max(4) }))
    .max(5000),
  models: z
    .array(z.strictObject({ file: z.string().min(1).max(4096), sha256: hash, manifest: hash.optional() }))
    .max(10_000),
  siteFile: z.string().max(1024 * 1024),
});
/**
 * Signs a bundle (private key Ed25519, PEM, PKCS8). Throws on content that no agent would accept: whoever makes a
 * bundle made that mistake, not a peer.
 */
export function signBundle(content: BundleContent, privateKeyPem: string): Uint8Array {
  const payload = Buffer.from(canonicalJson({ format: formatVersion, ...withOneLineKeys(content) }), 'utf8');
  const read = readPayload(payload);
  if (!read.ok) throw new Error(read.error.text);
  return signJws(payload, documentType, privateKeyPem);
}

/**
 * Judges the bytes of a bundle: from a file, from a peer, from anywhere. With `current` only what lawfully follows it is
 * accepted; without, what one of the trusted keys signed. The very bundle that is current gives `ok` again. Never throws
 * on what the bytes hold; the caller keeps its old bundle when this refuses.
 */
export function verifyBundle(
  bytes: Uint8Array,
  trust: BundleTrust,
  current?: SiteBundle | undefined,
): Result<SiteBundle, BundleError> {
  if (bytes.length > bundleMaxBytes) return refuse('too-large', `${bytes.length} bytes, at most ${bundleMaxBytes}`);
  const opened = openJws(bytes, documentType);
  if (opened === undefined) return notABundle();

  const keys: string[] = [];
  for (const text of current === undefined ? trust.keys : [current.signingKey, current.recoveryKey]) {
    const one = oneLineKey(text);
    if (one === undefined) return refuse('bad-key', 'a trusted key is no Ed25519 public key (site.pub)');
    keys.push(one);
  }
  const signer = keys.find((one) => isSignedBy(opened, one));
  if (signer === undefined) {
    return refuse(
      'wrong-signature',
      current === undefined
        ? 'no key that this box trusts signed it, or it was changed after signing'
        : 'neither the signing key that the bundle in force names nor the recovery key signed it, or it was changed after signing',
    );
  }
  const read = readPayload(opened.payload);
  if (!read.ok) return read;
  const bundle: SiteBundle = { ...read.value, signedBy: signer };
  if (trust.site !== undefined && bundle.site !== trust.site) {
    return refuse('wrong-site', `it belongs to site "${bundle.site}", this box to "${trust.site}"`);
  }
  if (current === undefined) return ok(bundle);
  const why = succession(current, bundle, signer);
  return why === undefined ? ok(bundle) : err(why);
}

/** Reads a bundle without judging its signature: to show one, or to learn the keys of a site at first sight. */
export function readBundle(bytes: Uint8Array): Result<SiteBundle, BundleError> {
  if (bytes.length > bundleMaxBytes) return refuse('too-large', `${bytes.length} bytes, at most ${bundleMaxBytes}`);
  const opened = openJws(bytes, documentType);
  return opened === undefined ? notABundle() : readPayload(opened.payload);
}

/** -1, 0 or 1: which of two comes first, by (era, version). */
export function compareBundles(
  a: Pick<BundleContent, 'era' | 'version'>,
  b: Pick<BundleContent, 'era' | 'version'>,
): number {
  return Math.sign(a.era - b.era) || Math.sign(a.version - b.version);
}

/** What admission needs of a bundle. The number only rises, over eras too. */
export function rosterOf(bundle: SiteBundle): Roster {
  return {
    site: bundle.site,
    version: bundle.era * 2 ** 32 + bundle.version,
    agents: bundle.agents.filter((one) => !one.revoked).map((one) => ({ id: agentId(one.id), key: one.key })),
  };
}

/** The name of one epoch of a cell, hex: what voters seal for. Content that voters do not judge is not in it. */
export function cellHash(site: string, cell: BundleCell): string {
  return createHash('sha256')
    .update(`millwright cell 1\n${canonicalJson({ site, ...cell })}`)
    .digest('hex');
}

/** Who may hold a lease, as it stands in a cell's epoch. */
export function crowdHash(names: readonly string[]): string {
  return createHash('sha256').update(names.toSorted().join('\n')).digest('hex').slice(0, 16);
}

/** Same voters, times and leases: no new epoch is needed. */
export function sameCell(a: Omit<BundleCell, 'epoch' | 'parent'>, b: Omit<BundleCell, 'epoch' | 'parent'>): boolean {
  const bare = ({ id, voters, lease, leases }: Omit<BundleCell, 'epoch' | 'parent'>): string =>
    canonicalJson({ id, voters, lease, leases });
  return bare(a) === bare(b);
}

const notABundle = (): Result<never, BundleError> =>
  refuse('not-a-bundle', 'it is no site bundle: cut short, or another file');

function readPayload(payload: Uint8Array): Result<SiteBundle, BundleError> {
  const read = readDocument(payload, payloadSchema, formatVersion);
  if (!read.ok) return refuse(...read.error);
  const { format: _, ...content } = read.value;
  const why = judgeContent(content);
  if (why !== undefined) return err(why);
  return ok({ ...content, hash: createHash('sha256').update(payload).digest('hex'), signedBy: '' });
}

/** What must hold inside one bundle, whatever came before. */
function judgeContent(content: BundleContent): BundleError | undefined {
  for (const [what, text] of [
    ['signingKey', content.signingKey],
    ['recoveryKey', content.recoveryKey],
    ...content.agents.map((one) => [`the key of agent ${one.id}`, one.key] as const),
    ...content.operators.map((one) => [`the key of operator ${one.name}`, one.key] as const),
  ] as const) {
    if (oneLineKey(text) !== text) return { reason: 'bad-key', text: `${what}: expected an Ed25519 public key` };
  }
  const owners = new Map<string, BundleAgent>();
  const agents = new Map<string, BundleAgent>();
  for (const agent of content.agents) {
    if (agents.has(agent.id)) return { reason: 'duplicate', text: `agent "${agent.id}" stands twice` };
    agents.set(agent.id, agent);
    const other = owners.get(agent.key);
    if (other !== undefined) {
      const both = [other.id, agent.id];
      const voting = content.cells.find((cell) => both.every((id) => cell.voters.includes(id)));
      return voting === undefined
        ? { reason: 'duplicate', text: `${both.join(' and ')} have one key: each box needs its own` }
        : { reason: 'voters', text: `${both.join(' and ')} have one key: two votes in ${voting.id} of one box` };
    }
    owners.set(agent.key, agent);
  }
  const cells = new Set<string>();
  for (const cell of content.cells) {
    if (cells.has(cell.id)) return { reason: 'duplicate', text: `cell "${cell.id}" stands twice` };
    cells.add(cell.id);
    const voters = new Set(cell.voters);
    const stranger = cell.voters.find((voter) => !agents.has(voter));
    if (stranger !== undefined) {
      return { reason: 'voters', text: `voter "${stranger}" of ${cell.id} is no agent of the site` };
    }
    if (voters.size !== cell.voters.length) {
      return { reason: 'voters', text: `${cell.id} names a voter twice: two votes of one key` };
    }
    if (cell.leases.length > 0 && voters.size === 0) {
      return { reason: 'voters', text: `${cell.id} has no voters, and ${cell.leases[0]?.id} needs their majority` };
    }
    if (![0, 1, 3, 5].includes(voters.size)) {
      return { reason: 'voters', text: `${cell.id} has ${voters.size} voters: 1, 3 or 5 make a majority clear` };
    }
    if (new Set(cell.leases.map((lease) => lease.id)).size !== cell.leases.length) {
      return { reason: 'duplicate', text: `a lease of ${cell.id} stands twice` };
    }
    if ((cell.epoch === 1) !== (cell.parent === null)) {
      return { reason: 'epoch', text: `${cell.id}: the first epoch has no parent, every later one has` };
    }
  }
  for (const agent of content.agents) {
    if (!cells.has(agent.cell))
      return { reason: 'wrong-shape', text: `agent "${agent.id}" is in no cell of the bundle` };
  }
  if (content.version === 1 && content.parent !== null) {
    return { reason: 'wrong-parent', text: 'the founding bundle (version 1) has no parent' };
  }
  return undefined;
}

/** Why `next`, signed by `signer`, may not follow `current`; undefined when it may. */
function succession(current: SiteBundle, next: SiteBundle, signer: string): BundleError | undefined {
  const called = (bundle: BundleContent): string => `era ${bundle.era} version ${bundle.version}`;
  if (next.site !== current.site) {
    return { reason: 'wrong-site', text: `it belongs to site "${next.site}", this box to "${current.site}"` };
  }
  if (next.hash === current.hash) return undefined;
  if (next.recoveryKey !== current.recoveryKey) {
    return { reason: 'recovery-key', text: 'it names another recovery key; that one is fixed at the founding' };
  }
  const order = compareBundles(next, current);
  if (order < 0) return { reason: 'older', text: `it is ${called(next)}, this box has ${called(current)}` };
  if (order === 0) {
    return {
      reason: 'rival',
      text: `it is another ${called(next)} than the one in force: two people signed at once; sign again on top`,
    };
  }
  const risen = next.era > current.era;
  if (risen && signer !== current.recoveryKey) {
    return { reason: 'era', text: `the era rises to ${next.era}, but not the recovery key signed it` };
  }
  if (!risen && signer !== current.signingKey) {
    return { reason: 'era', text: 'the recovery key signed it, but the era does not rise' };
  }
  // A new era may leave a branch that a thief signed; within an era the line is straight.
  if (!risen && next.version === current.version + 1 && next.parent !== current.hash) {
    return {
      reason: 'wrong-parent',
      text: `its parent is ${(next.parent ?? 'none').slice(0, 12)}, the bundle in force is ${current.hash.slice(0, 12)}`,
    };
  }
  const revoked = new Set(current.agents.filter((one) => one.revoked).map((one) => one.key));
  const returned = next.agents.find((one) => !one.revoked && revoked.has(one.key));
  if (returned !== undefined && !risen) {
    return { reason: 'revoked-key', text: `${returned.id} has a key that was revoked: make it a new one` };
  }
  for (const cell of current.cells) {
    const after = next.cells.find((one) => one.id === cell.id);
    if (after === undefined) return { reason: 'epoch', text: `cell ${cell.id} is gone, and with it its epoch` };
    const known = cellHash(current.site, cell);
    if (cellHash(next.site, after) === known) continue;
    if (after.epoch <= cell.epoch) {
      return {
        reason: 'epoch',
        text: `cell ${cell.id} changed, but its epoch did not rise (${cell.epoch} → ${after.epoch})`,
      };
    }
    if (risen) continue;
    if (after.epoch > cell.epoch + 1) {
      return {
        reason: 'gap',
        text: `cell ${cell.id} is in epoch ${after.epoch}, this box in ${cell.epoch}: the bundles between come first`,
      };
    }
    if (after.parent !== known) {
      return {
        reason: 'wrong-parent',
        text: `epoch ${after.epoch} of cell ${cell.id} follows another epoch than ours`,
      };
    }
  }
  return undefined;
}

function withOneLineKeys(content: BundleContent): BundleContent {
  const line = (text: string): string => oneLineKey(text) ?? text;
  return {
    ...content,
    signingKey: line(content.signingKey),
    recoveryKey: line(content.recoveryKey),
    agents: content.agents.map((agent) => ({ ...agent, key: line(agent.key) })),
    operators: content.operators.map((operator) => ({ ...operator, key: line(operator.key) })),
  };
}

function refuse(reason: BundleError['reason'], text: string): Result<never, BundleError> {
  return err({ reason, text });
}
