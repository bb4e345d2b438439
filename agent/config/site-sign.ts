import { createPrivateKey, createPublicKey } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import type { Result } from '../base/result.ts';
import { err, ok } from '../base/result.ts';
import { keyId } from '../wire/jws.ts';
import { oneLineKey } from '../wire/roster.ts';
import {
  bundleMaxBytes,
  compareBundles,
  readBundle,
  type SiteBundle,
  sameCell,
  signBundle,
  verifyBundle,
} from '../wire/site-bundle.ts';
import { bundleContent, bundleFacts } from './bundle-content.ts';
import type { Problem } from './problem.ts';
import { checkSite, parseSite } from './site-file.ts';

export interface SignOptions {
  /** Path of the site file. */
  readonly site: string;
  /** Private key: the site's signing key or, with `newEra`, the recovery key. */
  readonly key: string;
  /** The bundle in force. */
  readonly parent: string;
  readonly out: string;
  /** Public keys that the parent may be signed by, besides the one of `key`: after a change of keys. */
  readonly parentKeys?: readonly string[];
  /** Agents whose keys go off the list, at once and for good. */
  readonly revoke?: readonly string[];
  /** Cells that go on to their next epoch though nothing of them changed. */
  readonly nextEpoch?: readonly string[];
  /** Path of the public key that signs the next bundle. */
  readonly newKey?: string;
  readonly newEra?: boolean;
  /** Folder with NAME/agent.pub of new agents; `agents` beside the key unless said. */
  readonly keys?: string;
  readonly models?: string;
}

export interface SignReport {
  readonly bundle: SiteBundle;
  /** What changed against the parent, a sentence each. */
  readonly changes: readonly string[];
  readonly warnings: readonly Problem[];
}

export interface SignError {
  readonly message: string;
  readonly problems: readonly Problem[];
}

/**
 * Signs the next bundle of a site. Refuses whatever an agent of the site would refuse, before it is spread: a parent that
 * is not genuine, a file with mistakes, a key in two places, a version that is not the next. Writes `out` only when all
 * is well.
 */
export function signSite(options: SignOptions): Result<SignReport, SignError> {
  const privatePem = read(options.key, 'the key');
  if (!privatePem.ok) return fail(privatePem.error);
  let own: string;
  try {
    const key = createPrivateKey(privatePem.value.toString('utf8'));
    if (key.asymmetricKeyType !== 'ed25519') throw new Error();
    own = oneLineKey(createPublicKey(key).export({ type: 'spki', format: 'pem' }) as string) ?? '';
  } catch {
    return fail(`${options.key} is no Ed25519 private key (site.key)`);
  }
  const trusted = [own];
  for (const path of options.parentKeys ?? []) {
    const key = publicKey(path);
    if (!key.ok) return fail(key.error);
    trusted.push(key.value);
  }
  const bytes = read(options.parent, 'the parent');
  if (!bytes.ok) return fail(`${bytes.error}. Remedy: millwright site init founds a site`);
  const verified = verifyBundle(bytes.value, {
    keys: options.newEra === true ? [...trusted, ...named(bytes.value)] : trusted,
  });
  if (!verified.ok) {
    const hint =
      verified.error.reason === 'wrong-signature'
        ? ' (after a change of keys: --parent-key with the public key that signed it)'
        : '';
    return fail(`${options.parent}: ${verified.error.text}${hint}`);
  }
  const parent = verified.value;
  if (options.newEra === true && own !== parent.recoveryKey) {
    return fail(`a new era is signed by the recovery key (${keyId(parent.recoveryKey)}), not by ${keyId(own)}`);
  }
  if (options.newEra !== true && own !== parent.signingKey) {
    return fail(
      own === parent.recoveryKey
        ? 'that is the recovery key: it signs only a new era (--new-era), under a new signing key (--new-key)'
        : `${options.parent} names ${keyId(parent.signingKey)} as the key of the next bundle, this one is ${keyId(own)}`,
    );
  }
  let signingKey = parent.signingKey;
  if (options.newKey !== undefined) {
    const key = publicKey(options.newKey);
    if (!key.ok) return fail(key.error);
    signingKey = key.value;
  } else if (options.newEra === true) {
    return fail('a new era needs a new signing key: --new-key FILE, its public half');
  }
  const there = existsSync(options.out) ? read(options.out, 'the output') : undefined;
  const standing = there?.ok === true ? readBundle(there.value) : undefined;
  if (standing?.ok === true && standing.value.site === parent.site && compareBundles(standing.value, parent) > 0) {
    return fail(
      `${options.out} has version ${standing.value.version}, the parent ${parent.version}: sign on top of the newest`,
    );
  }

  const modelRoot = resolve(options.models ?? join(dirname(resolve(options.site)), 'models'));
  const checked = checkSite(options.site, { modelRoot, bundle: bundleFacts(parent) });
  if (checked.site === undefined || checked.model === undefined) {
    return fail(`${options.site} has mistakes; nothing was signed`, checked.problems);
  }
  if (checked.site.plan.site !== parent.site) {
    return fail(`${options.site} is site "${checked.site.plan.site}", the parent is of "${parent.site}"`);
  }
  const folder = options.keys ?? join(dirname(resolve(options.key)), 'agents');
  const keys = new Map<string, string>();
  for (const agent of checked.site.plan.agents) {
    const path = join(folder, agent.id, 'agent.pub');
    if (existsSync(path)) keys.set(agent.id, readFileSync(path, 'utf8'));
  }
  const siteFile = readFileSync(options.site, 'utf8');
  const content = bundleContent({
    site: checked.site,
    model: checked.model,
    siteFile,
    keys,
    signingKey,
    recoveryKey: parent.recoveryKey,
    parent,
    era: parent.era + (options.newEra === true ? 1 : 0),
    revoke: options.revoke ?? [],
    nextEpoch: options.nextEpoch ?? [],
    peopleKeys: keysOfPeople(join(folder, '..', 'people'), Object.keys(checked.model.shape.people ?? {})),
  });
  if (!content.ok) return fail(content.error);
  let signed: Uint8Array;
  try {
    signed = signBundle(content.value, privatePem.value.toString('utf8'));
  } catch (error) {
    return fail((error as Error).message);
  }
  // The same judgement that every agent passes: what they would refuse is not written.
  const judged = verifyBundle(signed, { keys: [own] }, parent);
  if (!judged.ok) return fail(`agents would refuse it: ${judged.error.text}`);
  const compiled = parseSite(siteFile, options.site, { modelRoot, bundle: bundleFacts(judged.value) });
  if (compiled.site === undefined) return fail('agents could not compile it', compiled.problems);
  try {
    mkdirSync(dirname(resolve(options.out)), { recursive: true, mode: 0o700 });
    const next = `${options.out}.next`;
    writeFileSync(next, signed, { mode: 0o600 });
    renameSync(next, options.out);
  } catch (error) {
    return fail(`${options.out} cannot be written: ${(error as Error).message}`);
  }
  return ok({ bundle: judged.value, changes: changesOf(parent, judged.value), warnings: compiled.problems });
}

/** What a person wants to read before a bundle goes to the boxes. */
export function changesOf(before: SiteBundle, after: SiteBundle): string[] {
  const changes: string[] = [];
  if (after.era !== before.era) changes.push(`era ${before.era} → ${after.era}`);
  if (after.signingKey !== before.signingKey) changes.push(`the next bundle is signed by ${keyId(after.signingKey)}`);
  const old = new Map(before.agents.map((agent) => [agent.id, agent]));
  for (const agent of after.agents) {
    const was = old.get(agent.id);
    old.delete(agent.id);
    if (was === undefined) changes.push(`${agent.id} belongs to the site`);
    else if (agent.revoked && !was.revoked) changes.push(`${agent.id} is revoked: cut off at once`);
    else if (agent.key !== was.key) changes.push(`${agent.id} has a new key`);
    if (was !== undefined && was.cell !== agent.cell) changes.push(`${agent.id} moves to cell ${agent.cell}`);
  }
  for (const gone of old.keys()) changes.push(`${gone} no longer belongs to the site: cut off at once`);
  const cells = new Map(before.cells.map((cell) => [cell.id, cell]));
  for (const cell of after.cells) {
    const was = cells.get(cell.id);
    if (was === undefined) changes.push(`cell ${cell.id} begins with epoch 1, voters ${list(cell.voters)}`);
    else if (was.epoch !== cell.epoch && sameCell(was, cell)) {
      changes.push(`cell ${cell.id} goes on to epoch ${cell.epoch}, with all as it was: its voters begin anew`);
    } else if (!sameCell(was, cell)) {
      const what = [
        ...(list(was.voters) === list(cell.voters) ? [] : [`voters ${list(was.voters)} → ${list(cell.voters)}`]),
        ...(was.lease.leaseMs === cell.lease.leaseMs ? [] : [`grants hold ${cell.lease.leaseMs} ms`]),
        ...(JSON.stringify(was.leases) === JSON.stringify(cell.leases)
          ? []
          : ['its exclusive duties or permits, or who may hold them']),
      ];
      changes.push(`cell ${cell.id} goes on to epoch ${cell.epoch}: ${what.join('; ')}`);
    }
    for (const voter of cell.voters) {
      if (after.agents.some((agent) => agent.id === voter && agent.revoked)) {
        changes.push(`${voter} is revoked and still votes in ${cell.id}: its vote is missing there, name another`);
      }
    }
  }
  if (after.siteFile !== before.siteFile) changes.push('the site file changed');
  if (JSON.stringify(after.models) !== JSON.stringify(before.models)) changes.push('the models changed');
  return changes;
}

/** NAME.pub of each, as far as they are there. */
export function keysOfPeople(folder: string, names: readonly string[]): Map<string, string> {
  const keys = new Map<string, string>();
  for (const name of names) {
    const path = join(folder, `${name}.pub`);
    if (existsSync(path)) keys.set(name, readFileSync(path, 'utf8'));
  }
  return keys;
}

const list = (names: readonly string[]): string => (names.length === 0 ? 'none' : names.join(', '));

/** Keys that a bundle names of itself: enough only where the recovery key has to sign what follows. */
function named(bytes: Uint8Array): string[] {
  const seen = readBundle(bytes);
  return seen.ok ? [seen.value.signingKey] : [];
}

function publicKey(path: string): Result<string, string> {
  const pem = read(path, 'the key');
  if (!pem.ok) return pem;
  const line = oneLineKey(pem.value.toString('utf8'));
  return line === undefined ? err(`${path} is no Ed25519 public key (site.pub)`) : ok(line);
}

function read(path: string, what: string): Result<Buffer, string> {
  try {
    if (statSync(path).size > bundleMaxBytes) return err(`${what} ${path} is too large`);
    return ok(readFileSync(path));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return err(code === 'ENOENT' ? `there is no ${path}` : `${path} cannot be read: ${code}`);
  }
}

const fail = (message: string, problems: readonly Problem[] = []): Result<never, SignError> =>
  err({ message, problems });
