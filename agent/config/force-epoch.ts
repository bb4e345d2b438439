import { createPrivateKey, createPublicKey } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { err, ok, type Result } from '../base/result.ts';
import { type ForcedEpochStatement, judgeForcedEpoch, signForcedEpoch } from '../wire/forced-epoch.ts';
import { keyId } from '../wire/jws.ts';
import { oneLineKey } from '../wire/roster.ts';
import { bundleMaxBytes, cellHash, readBundle, type SiteBundle } from '../wire/site-bundle.ts';

export interface ForceOptions {
  readonly cell: string;
  /** Path of the bundle that has the next epoch; agents must have it before the statement. */
  readonly bundle: string;
  /** Path of the bundle whose epoch is stuck. */
  readonly parent: string;
  /** Voters of that epoch, by name. */
  readonly poweredOff: readonly string[];
  /** Path of the recovery key. */
  readonly key: string;
  readonly by: string;
  readonly out: string;
  /** Now; for the date that people read. */
  readonly at?: Date;
}

export interface ForceReport {
  readonly statement: ForcedEpochStatement;
  /** What a person should know before it is pushed, a sentence each. */
  readonly notes: readonly string[];
}

/**
 * Signs the statement that a majority of a cell's voters is gone for good. Refuses whatever an agent would refuse: another
 * key than the recovery key, an epoch that does not follow, voters that are none, and fewer than would make a majority
 * impossible. Writes `out` only when all is well.
 */
export function forceEpoch(options: ForceOptions): Result<ForceReport, string> {
  let pem: string;
  let own: string | undefined;
  try {
    pem = readFileSync(options.key, 'utf8');
    const key = createPrivateKey(pem);
    own = oneLineKey(createPublicKey(key).export({ type: 'spki', format: 'pem' }) as string);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return err(
      code === 'ENOENT' ? `there is no ${options.key}` : `${options.key} is no Ed25519 private key (recovery.key)`,
    );
  }
  const [next, parent] = [bundleOf(options.bundle), bundleOf(options.parent)];
  if (!next.ok) return next;
  if (!parent.ok) return parent;
  if (own !== next.value.recoveryKey) {
    return err(
      `an epoch is forced under the recovery key (${keyId(next.value.recoveryKey)}), not under ${keyId(own ?? '')}`,
    );
  }
  if (next.value.site !== parent.value.site) {
    return err(`${options.bundle} is of site "${next.value.site}", ${options.parent} of "${parent.value.site}"`);
  }
  const { site } = next.value;
  const find = (bundle: SiteBundle) => bundle.cells.find(({ id }) => id === options.cell);
  const [after, before] = [find(next.value), find(parent.value)];
  if (after === undefined || before === undefined) {
    return err(`${after === undefined ? options.bundle : options.parent} has no cell "${options.cell}"`);
  }
  if (after.epoch !== before.epoch + 1) {
    return err(
      `${options.cell} is in epoch ${before.epoch} in ${options.parent} and in epoch ${after.epoch} in ${options.bundle}: ` +
        'no epoch is skipped, and one that does not rise is not forced (site sign --next-epoch)',
    );
  }
  const poweredOff = [...new Set(options.poweredOff)];
  const statement: ForcedEpochStatement = {
    site,
    cell: options.cell,
    epoch: before.epoch,
    parent: cellHash(site, before),
    successor: cellHash(site, after),
    poweredOff,
    issuer: options.by,
    at: (options.at ?? new Date()).toISOString(),
  };
  const why = judgeForcedEpoch(statement, { site, epoch: before.epoch, voters: before.voters, next: after });
  if (why !== undefined) return err(why.text);
  let signed: Uint8Array;
  try {
    signed = signForcedEpoch(statement, pem);
  } catch (error) {
    return err((error as Error).message);
  }
  try {
    mkdirSync(dirname(resolve(options.out)), { recursive: true, mode: 0o700 });
    writeFileSync(`${options.out}.next`, signed, { mode: 0o600 });
    renameSync(`${options.out}.next`, options.out);
  } catch (error) {
    return err(`${options.out} cannot be written: ${(error as Error).message}`);
  }
  const again = poweredOff.filter((name) => after.voters.includes(name));
  const remain = after.voters.length - again.length;
  return ok({
    statement,
    notes: [
      `you attest that ${poweredOff.join(' and ')} ${poweredOff.length === 1 ? 'is' : 'are'} off (or without memory), and stay so until they meet the others`,
      'if one of them still votes among its own, two may act at once: then only what compares tokens is safe',
      ...(again.length > 0 ? [`${again.join(', ')} vote in the next epoch too`] : []),
      ...(remain < Math.floor(after.voters.length / 2) + 1
        ? [`the next epoch has no majority without ${again.join(', ')}: they must come back first`]
        : []),
    ],
  });
}

function bundleOf(path: string): Result<SiteBundle, string> {
  try {
    if (statSync(path).size > bundleMaxBytes) return err(`${path} is too large for a bundle`);
    const read = readBundle(readFileSync(path));
    return read.ok ? read : err(`${path}: ${read.error.text}`);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return err(code === 'ENOENT' ? `there is no ${path}` : `${path} cannot be read: ${code}`);
  }
}
