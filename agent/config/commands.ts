import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { didYouMean } from '../base/nearest.ts';
import type { SiteBundle } from '../wire/site-bundle.ts';
import { explainSite } from './explain.ts';
import type { ForceOptions } from './force-epoch.ts';
import { formatProblems, hasErrors } from './problem.ts';
import { checkSite, parseSite } from './site-file.ts';
import type { SiteLayout } from './site-init.ts';
import type { SiteModel } from './site-model.ts';
import { siteJsonSchema } from './site-schema.ts';
import type { SignOptions } from './site-sign.ts';

/** `millwright site …`: each gives the exit code, 0 well, 1 mistakes in a file, 2 wrong use. */

export function checkCommand(file: string, options: { readonly json?: boolean }): number {
  const { site, problems } = checkSite(file);
  if (options.json === true) {
    process.stdout.write(`${JSON.stringify({ ok: site !== undefined, hash: site?.plan.hash, problems })}\n`);
  } else {
    if (problems.length > 0) process.stdout.write(`${formatProblems(problems)}\n`);
    const errors = problems.filter((problem) => problem.severity === 'error').length;
    process.stdout.write(
      site === undefined
        ? `${file}: ${errors} ${errors === 1 ? 'mistake' : 'mistakes'}\n`
        : `${file}: good: ${site.plan.agents.length} agents, ${site.plan.duties.length} duties, ${site.plan.checks.length} checks, ${site.plan.workflows.length} workflows, ${site.plan.alarms.length} alarms\n`,
    );
  }
  return hasErrors(problems) ? 1 : 0;
}

export function explainCommand(file: string, thing: string | undefined): number {
  const { site, model, problems } = checkSite(file);
  if (site === undefined || model === undefined) {
    process.stderr.write(`${formatProblems(problems)}\n`);
    return 1;
  }
  const text = explainSite(site, model, thing);
  if (text === undefined) {
    process.stderr.write(`There is no thing "${thing}"${didYouMean(thing ?? '', [...model.byName.keys()])}\n`);
    return 2;
  }
  process.stdout.write(`${text}\n`);
  return 0;
}

export function schemaCommand(): number {
  process.stdout.write(`${JSON.stringify(siteJsonSchema(), null, 2)}\n`);
  return 0;
}

/** One more agent for a site that runs; `folder` is what `site init` made. */
export async function enrolCommand(
  folder: string,
  name: string,
  options: { readonly layout?: string },
): Promise<number> {
  const { enrolAgent, formatInitError } = await import('./site-init.ts');
  const layout = await readLayout(options.layout);
  if (layout === undefined) return 1;
  const made = enrolAgent({ out: folder, name, layout });
  if (!made.ok) {
    process.stderr.write(`${formatInitError(made.error)}\n`);
    return 1;
  }
  process.stdout.write(
    `${name} is on the list. Its box gets ${made.value.folder.agent(name)}; every box the new ${made.value.folder.bundle};\n` +
      `the broker reads its files again (coordinator: restart, mosquitto: SIGHUP).\n`,
  );
  return 0;
}

/** Undefined when it cannot be read; why stands on standard error. */
async function readLayout(file: string | undefined): Promise<SiteLayout | undefined> {
  if (file === undefined) return {};
  const { layoutSchema } = await import('./site-init.ts');
  try {
    const parsed = layoutSchema.safeParse(JSON.parse(readFileSync(file, 'utf8')));
    if (parsed.success) return parsed.data;
    process.stderr.write(`${file}: ${z.prettifyError(parsed.error)}\n`);
  } catch (error) {
    process.stderr.write(`${file}: ${(error as Error).message}\n`);
  }
  return undefined;
}

/** The next bundle of a site; what changed against the one in force is told. */
export async function signCommand(
  file: string,
  options: Omit<SignOptions, 'site'> & { readonly json?: boolean },
): Promise<number> {
  const { signSite } = await import('./site-sign.ts');
  const signed = signSite({ ...options, site: file });
  if (!signed.ok) {
    const { message, problems } = signed.error;
    if (options.json === true) process.stdout.write(`${JSON.stringify({ ok: false, message, problems })}\n`);
    else process.stderr.write(`${problems.length === 0 ? '' : `${formatProblems(problems)}\n`}${message}\n`);
    return 1;
  }
  const { bundle, changes, warnings } = signed.value;
  const { era, version, hash } = bundle;
  if (options.json === true) {
    process.stdout.write(`${JSON.stringify({ ok: true, era, version, hash, out: options.out, changes, warnings })}\n`);
    return 0;
  }
  if (warnings.length > 0) process.stdout.write(`${formatProblems(warnings)}\n`);
  process.stdout.write(
    `${options.out}: era ${era} version ${version}, ${hash.slice(0, 12)}\n` +
      (changes.length === 0
        ? '  nothing changed but the version\n'
        : changes.map((change) => `  ${change}\n`).join('')),
  );
  return 0;
}

/** The statement that a majority of a cell's voters is gone for good. */
export async function forceEpochCommand(
  options: Omit<ForceOptions, 'poweredOff'> & { readonly poweredOff: string; readonly json?: boolean },
): Promise<number> {
  const { forceEpoch } = await import('./force-epoch.ts');
  const poweredOff = options.poweredOff.split(',').map((name) => name.trim());
  const forced = forceEpoch({ ...options, poweredOff });
  if (!forced.ok) {
    if (options.json === true) process.stdout.write(`${JSON.stringify({ ok: false, message: forced.error })}\n`);
    else process.stderr.write(`${forced.error}\n`);
    return 1;
  }
  const { statement, notes } = forced.value;
  if (options.json === true) {
    process.stdout.write(`${JSON.stringify({ ok: true, out: options.out, ...statement, notes })}\n`);
    return 0;
  }
  process.stdout.write(
    `${options.out}: ends epoch ${statement.epoch} of ${statement.cell}, by ${statement.issuer}\n` +
      notes.map((note) => `  ${note}\n`).join('') +
      `  First the bundle, then this: millwright site push ${options.bundle} …, millwright site push ${options.out} …\n`,
  );
  return 0;
}

/** What will be otherwise: two site files, two bundles, or one of each. Exit code 0 also when they differ. */
export async function diffCommand(
  before: string,
  after: string,
  options: { readonly json?: boolean },
): Promise<number> {
  const { diffSites, formatChange } = await import('./site-diff.ts');
  const [a, b] = [await modelOf(before), await modelOf(after)];
  if (a === undefined || b === undefined) return 1;
  const { changesOf } = await import('./site-sign.ts');
  const site = diffSites(a.model, b.model);
  const said =
    a.bundle === undefined || b.bundle === undefined
      ? []
      : changesOf(a.bundle, b.bundle).filter((line) => line !== 'the site file changed');
  if (options.json === true) process.stdout.write(`${JSON.stringify({ bundle: said, site })}\n`);
  else {
    const lines = [...said, ...site.map(formatChange)];
    process.stdout.write(lines.length === 0 ? 'nothing differs\n' : `${lines.join('\n')}\n`);
  }
  return 0;
}

/** The site of a file, whether it is a site file or a bundle; undefined when it has mistakes, which stand on standard error. */
async function modelOf(
  file: string,
): Promise<{ readonly model: SiteModel; readonly bundle: SiteBundle | undefined } | undefined> {
  const { bundleMaxBytes, readBundle } = await import('../wire/site-bundle.ts');
  let bundle: SiteBundle | undefined;
  try {
    if (statSync(file).size <= bundleMaxBytes) {
      const read = readBundle(readFileSync(file));
      if (read.ok) bundle = read.value;
      else if (read.error.reason !== 'not-a-bundle') {
        process.stderr.write(`${file}: ${read.error.text}\n`);
        return undefined;
      }
    }
  } catch {
    // Told below, as of any site file.
  }
  const { model, site, problems } = bundle === undefined ? checkSite(file) : parseSite(bundle.siteFile, file);
  if (site !== undefined && model !== undefined) return { model, bundle };
  process.stderr.write(`${formatProblems(problems)}\n`);
  return undefined;
}

/** What stands in a bundle; with a key also whether it is genuine. */
export async function showCommand(
  file: string,
  options: { readonly siteKey?: string; readonly json?: boolean; readonly siteFile?: boolean },
): Promise<number> {
  const { bundleMaxBytes, readBundle, verifyBundle } = await import('../wire/site-bundle.ts');
  const { keyId } = await import('../wire/jws.ts');
  let bytes: Uint8Array;
  let key: string | undefined;
  try {
    if (statSync(file).size > bundleMaxBytes) throw new Error('it is too large for a bundle');
    bytes = readFileSync(file);
    if (options.siteKey !== undefined) key = readFileSync(options.siteKey, 'utf8');
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n`);
    return 1;
  }
  const read = key === undefined ? readBundle(bytes) : verifyBundle(bytes, { keys: [key] });
  if (!read.ok) {
    if (options.json === true) process.stdout.write(`${JSON.stringify({ ok: false, ...read.error })}\n`);
    else process.stderr.write(`${file}: ${read.error.text}\n`);
    return 1;
  }
  const bundle = read.value;
  if (options.siteFile === true) {
    process.stdout.write(bundle.siteFile);
    return 0;
  }
  if (options.json === true) {
    process.stdout.write(`${JSON.stringify({ ok: true, verified: key !== undefined, ...bundle })}\n`);
    return 0;
  }
  const lines = [
    `Site ${bundle.site}, era ${bundle.era}, version ${bundle.version}, ${bundle.hash}`,
    `  ${key === undefined ? 'signature not looked at (--site-key site.pub)' : `signed by ${keyId(bundle.signedBy)}`}`,
    `  follows ${bundle.parent ?? 'nothing: it founds the site'}`,
    `  the next is signed by ${keyId(bundle.signingKey)}, a new era by ${keyId(bundle.recoveryKey)}`,
    'Agents',
    ...bundle.agents.map(
      (agent) =>
        `  ${agent.id}  ${keyId(agent.key)}  in ${agent.cell}${agent.role === 'witness' ? ', witness' : ''}${agent.revoked ? ', REVOKED' : ''}`,
    ),
    'Cells',
    ...bundle.cells.map(
      (cell) =>
        `  ${cell.id}  epoch ${cell.epoch}, ${cell.voters.length === 0 ? 'nobody votes' : `voters ${cell.voters.join(', ')}`}, ${cell.leases.length} leases of ${cell.lease.leaseMs} ms`,
    ),
    ...(bundle.operators.length === 0 ? [] : [`Operators: ${bundle.operators.map((one) => one.name).join(', ')}`]),
    ...(bundle.models.length === 0 ? [] : [`Models: ${bundle.models.map((one) => one.file).join(', ')}`]),
    `Site file of ${Buffer.byteLength(bundle.siteFile)} bytes`,
  ];
  process.stdout.write(`${lines.join('\n')}\n`);
  return 0;
}

function showProgress(done: number, all: number): void {
  if (all < 20 || (done % 10 !== 0 && done < all)) return;
  process.stderr.write(`\rkeys of ${done} of ${all} agents${done === all ? '\n' : ''}`);
}

export async function initCommand(
  file: string | undefined,
  options: {
    readonly out: string;
    readonly agents?: number;
    readonly pace?: string;
    readonly force?: boolean;
    readonly layout?: string;
    readonly json?: boolean;
  },
): Promise<number> {
  const { formatInitError, initSite, trialSite } = await import('./site-init.ts');
  const layout = await readLayout(options.layout);
  if (layout === undefined) return 1;
  const count = options.agents;
  if ((file === undefined) === (count === undefined)) {
    process.stderr.write('say either a site file, or --agents N for a site to try things with\n');
    return 2;
  }
  if (count !== undefined && !(Number.isInteger(count) && count >= 1 && count <= 5000)) {
    process.stderr.write('--agents: expected a whole number from 1 to 5000\n');
    return 2;
  }
  const made = initSite({
    site: file ?? { text: trialSite(count ?? 1, options.pace) },
    out: options.out,
    force: options.force ?? false,
    layout,
    ...(process.stderr.isTTY === true ? { progress: showProgress } : {}),
  });
  if (!made.ok) {
    process.stderr.write(`${formatInitError(made.error)}\n`);
    return 1;
  }
  const { folder, agents } = made.value;
  if (options.json === true) {
    const report = {
      out: folder.out,
      bundle: folder.bundle,
      siteKey: folder.sitePub,
      psk: folder.psk,
      agents: agents.map(({ name }) => ({ name, key: join(folder.agent(name), 'agent.key') })),
    };
    process.stdout.write(`${JSON.stringify(report)}\n`);
    return 0;
  }
  const first = agents[0]?.name ?? '';
  process.stdout.write(
    `Made ${made.value.files.length} files below ${folder.out}, readable by you alone.\n` +
      `  site.key signs who belongs; recovery.key a new beginning, when that one was stolen or a majority of voters is gone.\n` +
      `  Keep both off the boxes, recovery.key offline${existsSync(folder.people) ? '; people/ holds a key for each who gives orders: hand them out' : ''}.\n`,
  );
  if (file === undefined) {
    process.stdout.write(
      `  Each agent needs site.bundle, site.pub, mesh.psk and its own key:\n` +
        `  millwright agent --site ${folder.bundle} --key ${join(folder.agent(first), 'agent.key')} --name ${first} \\\n` +
        `    --listen 127.0.0.1 --peers 127.0.0.2,127.0.0.3 --broker none --data DIR\n` +
        `  and so on to ${agents.at(-1)?.name}.\n`,
    );
    return 0;
  }
  process.stdout.write(
    `  Each box gets its folder below agents/ and, two folders up, site.bundle, site.pub and mesh.psk.\n` +
      agents
        .map(
          (agent) =>
            `  millwright agent --config ${agent.file}${agent.keyMadeHere ? '' : '   (key made on the box)'}\n`,
        )
        .join('') +
      `  millwright coordinator --config ${folder.coordinatorFile}\n` +
      `  or with Debian's broker: mosquitto -c ${folder.mosquittoConf}\n`,
  );
  return 0;
}
