import { createPrivateKey, createPublicKey } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { dirname, join, resolve } from 'node:path';
import { didYouMean } from '../base/nearest.ts';
import type { Result } from '../base/result.ts';
import { err, ok } from '../base/result.ts';
import type { MembershipOptions } from '../core/membership/options.ts';
import { presets } from '../core/membership/options.ts';
import type { Site } from '../driver/bindings.ts';
import { oneLineKey } from '../wire/roster.ts';
import type { BundleTrust, SiteBundle } from '../wire/site-bundle.ts';
import { defaultPorts } from './agent-file.ts';
import { bundleFacts } from './bundle-content.ts';
import { type BundleNotice, bundleInForce } from './bundle-store.ts';
import { parseHostPort } from './grammar.ts';
import { formatProblems } from './problem.ts';
import { parseSite } from './site-file.ts';

/** An agent without a configuration file: everything that one would say, on the command line. */
export interface AgentFlagsWithoutFile {
  /** Path of the signed bundle. */
  readonly site: string;
  /** Path of this agent's private key. */
  readonly key: string;
  readonly name: string;
  /** `IP[:PORT]`, several by comma. */
  readonly listen: string;
  readonly peers?: string | undefined;
  /** URL, or `none`. */
  readonly broker?: string | undefined;
  readonly data: string;
  readonly preset?: string | undefined;
  readonly psk?: string | undefined;
  readonly siteKey?: string | undefined;
  readonly models?: string | undefined;
  /** `HOST:PORT`, or `none`. */
  readonly api?: string | undefined;
}

/** The flags with every path found and every address read; nothing secret is opened yet. */
export interface ReadFlags {
  readonly listen: readonly string[];
  readonly peers: readonly string[];
  readonly pskPath: string;
  readonly trust: BundleTrust;
  readonly broker:
    | { readonly url: string; readonly username: string; readonly password: string | undefined; readonly ca: undefined }
    | undefined;
  readonly api: { readonly host: string; readonly port: number } | undefined;
  readonly membership: MembershipOptions | undefined;
}

/** Reads the flags, or says every mistake in them, a line each. */
export function readFlags(flags: AgentFlagsWithoutFile): Result<ReadFlags, readonly string[]> {
  const complaints: string[] = [];
  const listen = addresses('--listen', flags.listen, complaints);
  if (listen.length === 0) complaints.push('--listen: expected IP or IP:PORT');
  const peers = addresses('--peers', flags.peers ?? '', complaints);
  if (flags.preset !== undefined && !Object.hasOwn(presets, flags.preset)) {
    complaints.push(`--preset: "${flags.preset}" is none of ${Object.keys(presets).join(', ')}`);
  }
  const pskPath = flags.psk ?? besideOrAbove('mesh.psk', flags.site, flags.key);
  if (pskPath === undefined) {
    complaints.push('--psk: there is no mesh.psk beside the bundle or the key; say where it is');
  }
  // Only the very folder of the bundle: a site.pub further up may be another site's.
  const lying = join(dirname(flags.site), 'site.pub');
  const siteKey = flags.siteKey ?? (existsSync(lying) ? lying : undefined);
  const trust = siteKey === undefined ? ok({ keys: [] }) : readTrust(siteKey);
  if (!trust.ok) complaints.push(`--site-key: ${trust.error}`);
  let broker: ReadFlags['broker'];
  if (flags.broker !== undefined && flags.broker !== 'none') {
    try {
      const url = new URL(flags.broker);
      if (!['mqtt:', 'mqtts:'].includes(url.protocol) || url.hostname === '') throw new Error();
      const password = url.password === '' ? undefined : decodeURIComponent(url.password);
      broker = { url: `${url.protocol}//${url.host}`, username: flags.name, password, ca: undefined };
    } catch {
      complaints.push('--broker: expected mqtt://host:1883, mqtts://host:8883 or none');
    }
  }
  let api: ReadFlags['api'];
  if (flags.api !== undefined && flags.api !== 'none') {
    const parsed = parseHostPort(flags.api);
    if (parsed.ok) api = parsed.value;
    else complaints.push(`--api: ${parsed.error}, or none`);
  }
  if (complaints.length > 0 || pskPath === undefined || !trust.ok) return err(complaints);
  return ok({
    listen,
    peers,
    pskPath,
    trust: trust.value,
    broker,
    api,
    membership: flags.preset === undefined ? undefined : presets[flags.preset as keyof typeof presets],
  });
}

/** The keys on this box that a first bundle is compared with: `site.pub`, and `recovery.pub` where it lies beside. */
export function readTrust(siteKeyPath: string): Result<BundleTrust, string> {
  try {
    const keys = [readFileSync(siteKeyPath, 'utf8')];
    const recovery = join(dirname(siteKeyPath), 'recovery.pub');
    if (existsSync(recovery)) keys.push(readFileSync(recovery, 'utf8'));
    return ok({ keys });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return err(code === 'ENOENT' ? `there is no ${siteKeyPath}` : `${siteKeyPath} cannot be read: ${code}`);
  }
}

/** Why this key does not make this box that agent of the bundle; undefined when it does. */
export function notThisAgent(bundle: SiteBundle, name: string, privateKeyPem: string): string | undefined {
  const entry = bundle.agents.find((agent) => agent.id === name);
  if (entry === undefined) {
    const names = bundle.agents.map((agent) => agent.id);
    const some = `: it has ${names.slice(0, 10).join(', ')}${names.length > 10 ? ', …' : ''}`;
    return `site ${bundle.site} has no agent "${name}"${didYouMean(name, names) || some}`;
  }
  if (entry.revoked) return `the key of ${name} is revoked: this box no longer belongs to site ${bundle.site}`;
  try {
    const open = createPublicKey(createPrivateKey(privateKeyPem)).export({ type: 'spki', format: 'pem' }) as string;
    if (oneLineKey(open) === entry.key) return undefined;
  } catch {
    return 'the key of this agent is no private key in PEM form';
  }
  return (
    `the key of this agent is not the one that the bundle in force (version ${bundle.version}) gives to ${name}: ` +
    'use its key, or another data folder if the site was founded anew'
  );
}

/** The bundle in force on this box and the site compiled from it, or why there is none. */
export function siteFromBundle(parts: {
  readonly dataDir: string;
  readonly file: string;
  readonly trust: BundleTrust;
  readonly modelRoot?: string | undefined;
  readonly lookOnly?: boolean;
}): Result<
  {
    readonly bundle: SiteBundle;
    readonly site: Site;
    readonly notices: readonly BundleNotice[];
  },
  string
> {
  const modelRoot = modelFolder(parts);
  const force = bundleInForce({
    ...parts,
    // A bundle whose site file this release cannot carry out is refused like one with a bad signature.
    isUsable: (bundle) => {
      const compiled = compileBundle(bundle, modelRoot);
      return compiled.ok ? undefined : compiled.error;
    },
  });
  if (!force.ok) return force;
  const site = compileBundle(force.value.bundle, modelRoot);
  return site.ok ? ok({ ...force.value, site: site.value }) : site;
}

/** Where the models of a site lie on this box. */
export const modelFolder = (parts: { readonly file: string; readonly modelRoot?: string | undefined }): string =>
  parts.modelRoot ?? resolve(dirname(parts.file), 'models');

/** The site that a bundle carries, or why this release cannot carry it out. */
export function compileBundle(bundle: SiteBundle, modelRoot: string): Result<Site, string> {
  const { site, problems } = parseSite(bundle.siteFile, 'site.yaml', { modelRoot, bundle: bundleFacts(bundle) });
  return site === undefined ? err(`its site file has mistakes:\n${formatProblems(problems)}`) : ok(site);
}

/** `IP`, `IP:PORT`, `[v6]:PORT`, a bare v6, or a multiaddr; the mesh port where none is said. */
function addresses(flag: string, text: string, complaints: string[]): string[] {
  const found: string[] = [];
  for (const one of text.split(',').map((part) => part.trim())) {
    if (one === '') continue;
    const full = one.startsWith('/') ? one : withPort(one);
    if (full === undefined) complaints.push(`${flag}: "${one}" is no address: expected IP or IP:PORT`);
    else found.push(full);
  }
  return found;
}

function withPort(text: string): string | undefined {
  if (isIP(text) === 6) return `[${text}]:${defaultPorts.mesh}`;
  if (/^\[[^\]]+\]$/.test(text)) return isIP(text.slice(1, -1)) === 6 ? `${text}:${defaultPorts.mesh}` : undefined;
  if (/^[A-Za-z0-9.-]+$/.test(text)) return `${text}:${defaultPorts.mesh}`;
  return parseHostPort(text).ok ? text : undefined;
}

/** A file beside the bundle, beside the key, or up to two folders above the key: where `site init` lays it. */
function besideOrAbove(file: string, bundle: string, key: string): string | undefined {
  const own = dirname(resolve(key));
  const folders = [dirname(resolve(bundle)), own, dirname(own), dirname(dirname(own))];
  return folders.map((folder) => join(folder, file)).find((path) => existsSync(path));
}
