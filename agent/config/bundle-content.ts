import { createHash, createPublicKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { isAbsolute, join } from 'node:path';
import { peerIdFromString } from '@libp2p/peer-id';
import type { Result } from '../base/result.ts';
import { err, ok } from '../base/result.ts';
import type { Site } from '../driver/bindings.ts';
import { oneLineKey } from '../wire/roster.ts';
import {
  type BundleAgent,
  type BundleCell,
  type BundleContent,
  cellHash,
  crowdHash,
  maxBundleEpoch,
  type SiteBundle,
  sameCell,
} from '../wire/site-bundle.ts';
import type { BundleFacts } from './compile/context.ts';
import type { SiteModel } from './site-model.ts';

/** Everything that a bundle says beyond the compiled site. */
export interface BundleParts {
  readonly site: Site;
  readonly model: SiteModel;
  readonly siteFile: string;
  /** Public keys of agents by name; those of the parent and of the site file go before them. */
  readonly keys: ReadonlyMap<string, string>;
  readonly signingKey: string;
  readonly recoveryKey: string;
  /** The bundle in force; undefined founds a site. */
  readonly parent: SiteBundle | undefined;
  readonly era?: number;
  /** Public keys of people by name, as they were made beside the site's own; what the site file says goes before them. */
  readonly peopleKeys?: ReadonlyMap<string, string>;
  /** Agents whose keys go off the list now. */
  readonly revoke?: readonly string[];
  /** Cells that go on to their next epoch though nothing of them changed: their voters begin anew. */
  readonly nextEpoch?: readonly string[];
}

/**
 * The content of the next bundle: names, keys and roles out of the compiled site file, epochs out of the parent. The
 * epoch of a cell rises by one when its voters, times or leases changed or a person wants it, and at no other time; a cell that is no longer
 * in the file stays in the bundle without voters, because its epoch may never be counted anew.
 */
export function bundleContent(parts: BundleParts): Result<BundleContent, string> {
  const { site, model, parent } = parts;
  const { plan } = site;
  const known = new Map(parent?.agents.map((agent) => [agent.id, agent]));
  const agents: BundleAgent[] = [];
  for (const name of parts.revoke ?? []) {
    if (!plan.agents.some((agent) => agent.id === name)) return err(`there is no agent "${name}" to revoke`);
  }
  for (const agent of plan.agents) {
    const written = model.things[agent.thing]?.key;
    const before = known.get(agent.id);
    const given = written === undefined ? undefined : publicKeyFrom(written);
    if (written !== undefined && given === undefined) {
      return err(`the key of ${agent.id} in the site file is no Ed25519 public key`);
    }
    const stored = parts.keys.get(agent.id);
    const lines = [given, before?.revoked === true ? undefined : before?.key, stored, before?.key];
    const text = lines.find((one) => one !== undefined);
    const key = text === undefined ? undefined : (oneLineKey(text) ?? text);
    if (key === undefined) {
      return err(
        `${agent.id} has no key: write its \`key\` into the site file, or make one with millwright site enrol`,
      );
    }
    agents.push({
      id: agent.id,
      key,
      cell: agent.cell,
      role: agent.role,
      labels: Object.fromEntries([...agent.labels].sort(([a], [b]) => (a < b ? -1 : 1))),
      capacity: agent.capacity ?? null,
      revoked: (parts.revoke ?? []).includes(agent.id) || (before?.revoked === true && before.key === key),
    });
  }
  const cells = bundleCells(parts);
  if (!cells.ok) return cells;
  const models = new Map<string, string>();
  for (const one of plan.models) {
    if (one.learn !== undefined) continue;
    const hash = one.sha256 ?? modelHash(site.modelRoot, one.file);
    if (hash !== undefined) models.set(one.file, hash);
    const shadow = one.shadow && modelHash(site.modelRoot, one.shadow.file);
    if (one.shadow !== undefined && shadow !== undefined) models.set(one.shadow.file, shadow);
  }
  return ok({
    site: plan.site,
    era: parts.era ?? parent?.era ?? 1,
    version: (parent?.version ?? 0) + 1,
    parent: parent?.hash ?? null,
    signingKey: parts.signingKey,
    recoveryKey: parts.recoveryKey,
    agents,
    cells: cells.value,
    operators: Object.entries(model.shape.people ?? {}).flatMap(([name, person]) => {
      const given = person.key === undefined ? undefined : publicKeyFrom(person.key);
      const known = parent?.operators.find((one) => one.name === name)?.key;
      const key = given ?? parts.peopleKeys?.get(name) ?? known;
      return key === undefined ? [] : [{ name, key: oneLineKey(key) ?? key, may: person.may ?? [] }];
    }),
    models: [...models]
      .map(([file, sha256]) => {
        const manifest =
          manifestHash(site.modelRoot, file) ?? parent?.models.find((one) => one.file === file)?.manifest;
        return { file, sha256, ...(manifest === undefined ? {} : { manifest }) };
      })
      .sort((a, b) => (a.file < b.file ? -1 : 1)),
    siteFile: parts.siteFile,
  });
}

/** What a bundle gives to the compilation of the site file that it carries. */
export function bundleFacts(bundle: SiteBundle): BundleFacts {
  return {
    epochs: new Map(bundle.cells.map((cell) => [cell.id, cell.epoch])),
    models: new Map(bundle.models.map((model) => [model.file, model.sha256])),
    manifests: new Map(
      bundle.models.flatMap(({ file, manifest }) => (manifest === undefined ? [] : [[file, manifest]])),
    ),
    revoked: new Set(bundle.agents.filter((agent) => agent.revoked).map((agent) => agent.id)),
  };
}

function bundleCells({ site, parent, nextEpoch = [] }: BundleParts): Result<BundleCell[], string> {
  const { plan } = site;
  const before = new Map(parent?.cells.map((cell) => [cell.id, cell]));
  const wanted = plan.cells.map((cell) => ({
    id: cell.id,
    voters: cell.voters.map((voter) => String(plan.agents[voter]?.id)),
    lease: {
      leaseMs: cell.options.leaseMs,
      driftPpm: Math.round(cell.options.drift * 1e6),
      renewMs: cell.options.renewMs,
      retryMs: cell.options.retryMs,
      guardMs: cell.options.guardMs,
    },
    leases: cell.leases.map(({ id, lingerMs, eligible }) => ({
      id,
      lingerMs,
      eligible: crowdHash(eligible.map((agent) => String(plan.agents[agent]?.id))),
    })),
  }));
  for (const gone of before.values()) {
    if (!wanted.some((cell) => cell.id === gone.id)) {
      wanted.push({ id: gone.id, voters: [], lease: gone.lease, leases: [] });
    }
  }
  const cells: BundleCell[] = [];
  const unknown = nextEpoch.find((id) => !before.has(id));
  if (unknown !== undefined) return err(`the parent has no cell "${unknown}" that could go on to its next epoch`);
  for (const cell of wanted) {
    const old = before.get(cell.id);
    if (old !== undefined && sameCell(old, cell) && !nextEpoch.includes(cell.id)) cells.push(old);
    else if (old === undefined) cells.push({ ...cell, epoch: 1, parent: null });
    else if (old.epoch >= maxBundleEpoch) return err(`cell ${cell.id} has used up its ${maxBundleEpoch} epochs`);
    else cells.push({ ...cell, epoch: old.epoch + 1, parent: cellHash(plan.site, old) });
  }
  return ok(cells);
}

/** `ed25519:<32 bytes base64>`, a libp2p peer id, or PEM, as PEM; undefined when it is neither. */
export function publicKeyFrom(text: string): string | undefined {
  try {
    let raw: Uint8Array;
    if (text.startsWith('-----')) {
      const key = createPublicKey(text);
      return key.asymmetricKeyType === 'ed25519' ? (key.export({ type: 'spki', format: 'pem' }) as string) : undefined;
    }
    if (text.startsWith('ed25519:')) raw = Buffer.from(text.slice('ed25519:'.length), 'base64');
    else {
      const id = peerIdFromString(text);
      if (id.type !== 'Ed25519') return undefined;
      raw = id.publicKey.raw;
    }
    if (raw.length !== 32) return undefined;
    // RFC 8410: SubjectPublicKeyInfo of Ed25519 is this constant and then 32 bytes.
    const der = Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), raw]);
    return createPublicKey({ key: der, format: 'der', type: 'spki' }).export({ type: 'spki', format: 'pem' }) as string;
  } catch {
    return undefined;
  }
}

/** Of the manifest as it lies beside the model. */
function manifestHash(root: string, file: string): string | undefined {
  try {
    const path = isAbsolute(file) ? file : join(root, file);
    return createHash('sha256')
      .update(readFileSync(join(path, 'manifest.json')))
      .digest('hex');
  } catch {
    return undefined;
  }
}

/** What the model's own manifest promises of its file; the agent compares both with the bytes before it runs them. */
function modelHash(root: string, file: string): string | undefined {
  try {
    const path = isAbsolute(file) ? file : join(root, file);
    const manifest = JSON.parse(readFileSync(join(path, 'manifest.json'), 'utf8')) as { onnx?: { sha256?: unknown } };
    const hash = manifest.onnx?.sha256;
    return typeof hash === 'string' && /^[0-9a-f]{64}$/.test(hash) ? hash : undefined;
  } catch {
    return undefined;
  }
}
