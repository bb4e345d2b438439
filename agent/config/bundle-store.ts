import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { err, ok, type Result } from '../base/result.ts';
import { type BundleTrust, bundleMaxBytes, readBundle, type SiteBundle, verifyBundle } from '../wire/site-bundle.ts';

/**
 * The bundle in force on one box, in its data folder. Replaced atomically and durably: after a power cut either the old
 * one is there or the new one, whole. Beside it stands the key that signed it, because by then the box may trust that
 * key through a chain of bundles that nobody keeps.
 */
export class BundleStore {
  readonly #folder: string;
  readonly #steps: string;
  readonly #file: string;
  readonly #signer: string;
  readonly #former: string;

  constructor(dataDir: string) {
    this.#folder = join(dataDir, 'bundle');
    this.#steps = join(this.#folder, 'steps');
    this.#file = join(this.#folder, 'site.bundle');
    this.#signer = join(this.#folder, 'signed-by');
    this.#former = join(this.#folder, 'former.bundle');
  }

  /** The bundle in force; undefined when there is none yet. A damaged one is told, and is not in force. */
  load(): Result<SiteBundle | undefined, string> {
    const bytes = readBounded(this.#file);
    if (!bytes.ok)
      return bytes.error === 'ENOENT' ? ok(undefined) : err(`${this.#file} cannot be read: ${bytes.error}`);
    const key = readBounded(this.#signer);
    const keys = key.ok ? Buffer.from(key.value).toString('utf8').trim().split('\n').slice(0, 2) : [];
    const bundle = verifyBundle(bytes.value, { keys });
    return bundle.ok ? bundle : err(`${this.#file} is damaged: ${bundle.error.text}`);
  }

  /**
   * What an agent with (era, version) may take next: the oldest kept bundle beyond it that began an epoch or
   * named another key, else the one in force. None of those may be skipped, and whoever was away for two of them finds
   * the step between here.
   */
  next(after: Pick<SiteBundle, 'era' | 'version'>): Uint8Array | undefined {
    const name = stepName(after);
    const step = this.#stepNames().find((one) => one > name);
    const bytes = readBounded(step === undefined ? this.#file : join(this.#steps, step));
    return bytes.ok ? bytes.value : undefined;
  }

  /**
   * Puts a verified bundle into force for the next start, and keeps the one before as `former.bundle`. Throws when the
   * disk refuses; then the old one stays.
   */
  save(bytes: Uint8Array, bundle: SiteBundle, before?: SiteBundle): void {
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 });
    if (before !== undefined && isStep(before, bundle)) this.#keepStep(bytes, bundle);
    // Both keys stand there first, so that whichever bundle survives a power cut still finds its own.
    const former = readBounded(this.#signer);
    const known = former.ok ? Buffer.from(former.value).toString('utf8').trim().split('\n') : [];
    const signers = [bundle.signedBy, ...known.filter((key) => key !== bundle.signedBy)].slice(0, 2);
    replaceDurably(this.#folder, this.#signer, Buffer.from(`${signers.join('\n')}\n`));
    const old = before === undefined ? undefined : readBounded(this.#file);
    if (old?.ok) replaceDurably(this.#folder, this.#former, old.value);
    replaceDurably(this.#folder, this.#file, bytes);
  }

  #keepStep(bytes: Uint8Array, bundle: SiteBundle): void {
    mkdirSync(this.#steps, { recursive: true, mode: 0o700 });
    replaceDurably(this.#steps, join(this.#steps, stepName(bundle)), bytes);
    for (const old of this.#stepNames().slice(0, -keptSteps)) rmSync(join(this.#steps, old), { force: true });
  }

  #stepNames(): string[] {
    if (!existsSync(this.#steps)) return [];
    return readdirSync(this.#steps)
      .filter((file) => file.endsWith('.bundle'))
      .sort();
  }
}

/** As many as epochs whose certificates are kept: beyond them a box needs a person. */
const keptSteps = 64;

const stepName = ({ era, version }: Pick<SiteBundle, 'era' | 'version'>): string =>
  `${String(era).padStart(5, '0')}-${String(version).padStart(10, '0')}.bundle`;

const isStep = (former: SiteBundle, bundle: SiteBundle): boolean =>
  bundle.era !== former.era ||
  bundle.signingKey !== former.signingKey ||
  bundle.cells.some((cell) => cell.epoch > (former.cells.find((one) => one.id === cell.id)?.epoch ?? cell.epoch));

/** What people should know of a start. */
export interface BundleNotice {
  readonly level: 'info' | 'warn';
  readonly text: string;
  /** A bundle was there that does not count. */
  readonly isRefusal?: boolean;
}

/** What a start found: the bundle that is in force now, and what is to be told about the other. */
export interface BundleInForce {
  readonly bundle: SiteBundle;
  readonly notices: readonly BundleNotice[];
}

/**
 * Decides between the bundle that a person laid beside the agent and the one in its data folder: the newer valid one.
 * A file that is refused changes nothing, and why is told. Without keys to compare with, the first bundle that a box
 * sees is believed, and with it the keys that it names; every later one must follow from it.
 */
export function bundleInForce(parts: {
  readonly dataDir: string;
  readonly file: string;
  readonly trust: BundleTrust;
  /** Why a bundle with a good signature cannot be used here all the same. */
  readonly isUsable: (bundle: SiteBundle) => string | undefined;
  /** Only look; nothing is stored. */
  readonly lookOnly?: boolean;
}): Result<BundleInForce, string> {
  const store = new BundleStore(parts.dataDir);
  const notices: BundleNotice[] = [];
  const stored = store.load();
  if (!stored.ok) notices.push({ level: 'warn', text: stored.error, isRefusal: true });
  const current = stored.ok ? stored.value : undefined;
  const bytes = readBounded(parts.file);
  if (!bytes.ok) {
    const text =
      bytes.error === 'ENOENT' ? `there is no ${parts.file}` : `${parts.file} cannot be read: ${bytes.error}`;
    if (current === undefined) return err(`${text}. Remedy: millwright site init makes it; copy it to this box.`);
    return ok({ bundle: current, notices: [...notices, { level: 'warn', text: `${text}; the stored bundle stays` }] });
  }
  let trust = parts.trust;
  if (current === undefined && trust.keys.length === 0) {
    const seen = readBundle(bytes.value);
    if (!seen.ok) return err(`${parts.file}: ${seen.error.text}`);
    trust = { ...trust, keys: [seen.value.signingKey, seen.value.recoveryKey] };
    notices.push({
      level: 'info',
      text: 'no site.pub to compare with: the keys of this bundle are believed from now on',
    });
  }
  const given = verifyBundle(bytes.value, trust, current);
  if (!given.ok) {
    if (current === undefined) return err(`${parts.file}: ${given.error.text}`);
    if (given.error.reason !== 'older') {
      notices.push({
        level: 'warn',
        isRefusal: true,
        text: `${parts.file} is refused: ${given.error.text}; version ${current.version} in ${parts.dataDir} stays in force`,
      });
    }
    return ok({ bundle: current, notices });
  }
  if (given.value.hash !== current?.hash) {
    const why = parts.isUsable(given.value);
    if (why !== undefined) {
      if (current === undefined) return err(`${parts.file}: ${why}`);
      notices.push({
        level: 'warn',
        isRefusal: true,
        text: `${parts.file} is refused: ${why}; version ${current.version} stays in force`,
      });
      return ok({ bundle: current, notices });
    }
    try {
      if (parts.lookOnly !== true) store.save(bytes.value, given.value, current);
    } catch (error) {
      notices.push({ level: 'warn', text: `the bundle could not be stored: ${(error as Error).message}` });
    }
  }
  return ok({ bundle: given.value, notices });
}

function readBounded(path: string): Result<Uint8Array, string> {
  try {
    if (statSync(path).size > bundleMaxBytes) return err('it is too large');
    return ok(readFileSync(path));
  } catch (error) {
    return err((error as NodeJS.ErrnoException).code ?? String(error));
  }
}

function replaceDurably(folder: string, path: string, bytes: Uint8Array): void {
  const next = `${path}.next`;
  rmSync(next, { force: true });
  const file = openSync(next, 'wx', 0o600);
  try {
    for (let done = 0; done < bytes.length; ) done += writeSync(file, bytes, done);
    fsyncSync(file);
  } catch (error) {
    rmSync(next, { force: true });
    throw error;
  } finally {
    closeSync(file);
  }
  renameSync(next, path);
  const directory = openSync(folder, 'r');
  try {
    fsyncSync(directory);
  } finally {
    closeSync(directory);
  }
}
