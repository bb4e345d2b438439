import { accessSync, constants, existsSync, readFileSync, statfsSync, statSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { dirname } from 'node:path';
import mqtt from 'mqtt';
import { Catalog } from '../models/catalog.ts';
import { findContainment } from './adapters/connections/containment.ts';
import { peerIdOf, readAgentKey } from './adapters/mesh/identity.ts';
import { agentId } from './base/ids.ts';
import { type AgentConfig, loadAgent, readSecret } from './config/agent-file.ts';
import { readTrust, siteFromBundle } from './config/agent-flags.ts';
import { formatProblems } from './config/problem.ts';
import type { Connection, Site } from './driver/bindings.ts';
import { readVersion } from './main.ts';
import type { SiteBundle } from './wire/site-bundle.ts';

/** One thing that was looked at. `warn` works and should be mended; `fail` keeps the agent from its work. */
export interface Finding {
  readonly about: string;
  readonly state: 'ok' | 'warn' | 'fail';
  readonly text: string;
  readonly remedy: string | undefined;
}

const networkTimeoutMs = 3_000;
/** An outbox of a month and a journal need this; below it the disk fills before anybody notices. */
const wantedDiskBytes = 1024 ** 3;
const leastDiskBytes = 128 * 1024 ** 2;

const ok = (about: string, text: string): Finding => ({ about, state: 'ok', text, remedy: undefined });
const warn = (about: string, text: string, remedy: string): Finding => ({ about, state: 'warn', text, remedy });
const fail = (about: string, text: string, remedy: string): Finding => ({ about, state: 'fail', text, remedy });

/**
 * Looks at everything that an agent of this box would need, changes nothing, and says what is wrong and how to mend
 * it. Exit code 0 when nothing fails, 1 when something does.
 */
export async function doctorCommand(options: { readonly config: string; readonly json?: boolean }): Promise<number> {
  const findings = await diagnose(options.config);
  const failed = findings.filter((finding) => finding.state === 'fail').length;
  const warned = findings.filter((finding) => finding.state === 'warn').length;
  if (options.json === true) {
    process.stdout.write(`${JSON.stringify({ ok: failed === 0, findings })}\n`);
  } else {
    const marks = { ok: '✔', warn: '!', fail: '✘' } as const;
    for (const { about, state, text, remedy } of findings) {
      process.stdout.write(`${marks[state]} ${about.padEnd(16)} ${text}\n`);
      if (remedy !== undefined) process.stdout.write(`${' '.repeat(19)}→ ${remedy}\n`);
    }
    process.stdout.write(
      failed + warned === 0 ? '\nThis box is well.\n' : `\n${failed} to mend, ${warned} to look at.\n`,
    );
  }
  return failed === 0 ? 0 : 1;
}

export async function diagnose(path: string): Promise<Finding[]> {
  const findings: Finding[] = [nodeVersion(), clock()];
  const loaded = loadAgent(path);
  if (!loaded.ok) {
    findings.push(
      fail('agent.yaml', formatProblems(loaded.error), 'Mend the lines above; nothing else was looked at.'),
    );
    return findings;
  }
  const config = loaded.value;
  findings.push(ok('agent.yaml', `${config.file} is good, this box is ${config.name}`));
  const found = bundle(config, findings);
  findings.push(...keys(config, found?.bundle), ...secrets(config), ...disk(config));
  findings.push(...(await ports(config)), await broker(config), ...(await peers(config)));
  if (found !== undefined) findings.push(...(await sources(found.site)), ...(await models(found.site)));
  const containment = await findContainment();
  findings.push(
    containment.kind === 'none'
      ? warn(
          'child processes',
          `may outlive a killed agent: ${containment.why}`,
          'Install util-linux (setpriv, unshare).',
        )
      : ok('child processes', 'die with the agent'),
  );
  return findings;
}

/** The bundle that this box would run, and the site compiled from it. */
function bundle(
  config: AgentConfig,
  findings: Finding[],
): { readonly bundle: SiteBundle; readonly site: Site } | undefined {
  const trust = readTrust(config.mesh.siteKeyPath);
  if (!trust.ok) {
    findings.push(fail('site key', trust.error, 'Copy site.pub from where site init ran.'));
    return undefined;
  }
  const found = siteFromBundle({
    dataDir: config.data,
    file: config.bundlePath,
    trust: trust.value,
    modelRoot: config.modelRoot,
    lookOnly: true,
  });
  if (!found.ok) {
    findings.push(fail('site bundle', found.error, 'Copy site.bundle and site.pub from where it was signed.'));
    return undefined;
  }
  for (const notice of found.value.notices) {
    if (notice.level === 'warn') {
      findings.push(warn('site bundle', notice.text, 'millwright site show says what stands in a bundle.'));
    }
  }
  const { era, version } = found.value.bundle;
  const { plan } = found.value.site;
  findings.push(
    ok('site bundle', `era ${era} version ${version}: ${plan.agents.length} agents, ${plan.duties.length} duties`),
  );
  return found.value;
}

function nodeVersion(): Finding {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  const good = major > 24 || (major === 24 && minor >= 12);
  const text = `Node ${process.versions.node}, Millwright ${readVersion()}`;
  return good ? ok('versions', text) : fail('versions', text, 'Install Node 24.12 or newer.');
}

function clock(): Finding {
  const year = new Date().getFullYear();
  if (year < 2025) {
    return fail(
      'clock',
      `it says ${new Date().toISOString()}`,
      'Set it, and replace the battery: schedules wait until then.',
    );
  }
  // systemd-timesyncd and chrony leave these when they are in step; other boxes have other ways, so this only warns.
  const marks = [
    '/run/systemd/timesync/synchronized',
    '/run/chrony',
    '/var/lib/chrony/drift',
    '/var/lib/ntp/ntp.drift',
  ];
  return marks.some((mark) => existsSync(mark))
    ? ok('clock', `${new Date().toISOString()}, kept by a time service`)
    : warn(
        'clock',
        `${new Date().toISOString()}, and no time service was found`,
        'Install chrony or systemd-timesyncd.',
      );
}

function keys(config: AgentConfig, inForce: SiteBundle | undefined): Finding[] {
  const findings: Finding[] = [];
  for (const [about, file] of [
    ['agent key', config.keyPath],
    ['mesh key', config.mesh.keyPath],
  ] as const) {
    const readable = canRead(file);
    if (readable !== undefined)
      findings.push(fail(about, readable, 'millwright site init makes it; copy it to this box.'));
    else if (process.platform !== 'win32' && (statSync(file).mode & 0o077) !== 0) {
      findings.push(fail(about, `${file} can be read by others`, `chmod 600 ${file}`));
    }
  }
  if (findings.length > 0) return findings;
  if (
    !/^\/key\/swarm\/psk\/1\.0\.0\/\s+\/base16\/\s+[0-9a-f]{64}\s*$/.test(readFileSync(config.mesh.keyPath, 'utf8'))
  ) {
    findings.push(
      fail('mesh key', `${config.mesh.keyPath} holds no mesh key`, 'Copy mesh.psk from where site init ran.'),
    );
  }
  if (inForce === undefined) return findings;
  const entry = inForce.agents.find((agent) => agent.id === config.name);
  if (entry === undefined || entry.revoked) {
    const why = entry === undefined ? 'is not in the bundle' : 'is revoked';
    findings.push(fail('list of agents', `${config.name} ${why}`, 'Enrol this box, then copy site.bundle here.'));
    return findings;
  }
  try {
    const own = readAgentKey(readFileSync(config.keyPath, 'utf8'));
    findings.push(
      own.peerId === peerIdOf({ id: agentId(entry.id), key: entry.key })
        ? ok('keys', `good; ${inForce.agents.length} agents on the signed list`)
        : fail('agent key', 'it is not the key on the signed list', 'Copy the agent.key that belongs to this name.'),
    );
  } catch (error) {
    findings.push(fail('agent key', (error as Error).message, 'Copy agent.key from where site init ran.'));
  }
  return findings;
}

function secrets(config: AgentConfig): Finding[] {
  const findings: Finding[] = [];
  for (const [about, ref] of [
    ['broker password', config.broker?.password],
    ['API token', config.api?.token],
  ] as const) {
    if (ref === undefined) continue;
    const secret = readSecret(ref);
    if (!secret.ok) findings.push(fail(about, secret.error, 'millwright site init makes it; copy it to this box.'));
  }
  return findings;
}

function disk(config: AgentConfig): Finding[] {
  // The agent makes what is missing of the path, so the nearest folder that is there decides.
  let folder = config.data;
  while (!existsSync(folder) && dirname(folder) !== folder) folder = dirname(folder);
  try {
    accessSync(folder, constants.W_OK);
  } catch {
    return [fail('disk', `${folder} cannot be written`, 'Make the data folder and give it to the agent’s user.')];
  }
  const { bavail, bsize } = statfsSync(folder);
  const free = bavail * bsize;
  const text = `${(free / 1024 ** 3).toFixed(1)} GiB free at ${folder}`;
  if (free < leastDiskBytes) return [fail('disk', text, 'Free some: the agent cannot keep its journal and outbox.')];
  return [free < wantedDiskBytes ? warn('disk', text, 'An outbox of a month wants 1 GiB.') : ok('disk', text)];
}

async function ports(config: AgentConfig): Promise<Finding[]> {
  const wanted = config.listen
    .filter((address) => !address.startsWith('/'))
    .map((address) => ['mesh', address] as const);
  const all = config.api ? [...wanted, ['API', `${config.api.host}:${config.api.port}`] as const] : wanted;
  return Promise.all(
    all.map(async ([about, address]) => {
      const { host, port } = split(address);
      const error = await listenProblem(host, port);
      if (error === undefined) return ok(`port ${about}`, `${address} is free`);
      if (error === 'EADDRINUSE') {
        return warn(`port ${about}`, `${address} is taken`, 'Fine when the agent runs already; else end what took it.');
      }
      return fail(`port ${about}`, `${address} cannot be listened at: ${error}`, 'Mend the address in agent.yaml.');
    }),
  );
}

async function broker(config: AgentConfig): Promise<Finding> {
  if (config.broker === undefined) {
    return warn('broker', 'none in agent.yaml', 'The agent works without; nobody but its peers hears of it.');
  }
  const password = readSecret(config.broker.password);
  if (!password.ok) return fail('broker', 'not tried without a password', 'See above.');
  const { url, username, ca } = config.broker;
  // An agent that runs holds this id's line, and a second login would throw it off.
  const running = config.api !== undefined && (await listenProblem(config.api.host, config.api.port)) === 'EADDRINUSE';
  if (running) {
    const address = new URL(url);
    return (await reachable(`${address.hostname}:${address.port || 1883}`))
      ? ok('broker', `${url} answers (the agent runs, so its login was not tried)`)
      : warn('broker', `${url} does not answer`, 'Reports wait in the outbox until it does.');
  }
  const answer = await new Promise<string>((resolve) => {
    const client = mqtt.connect(url, {
      clientId: username,
      username,
      password: password.value,
      protocolVersion: 4,
      reconnectPeriod: 0,
      connectTimeout: networkTimeoutMs,
      ...(ca === undefined || !existsSync(ca) ? {} : { ca: readFileSync(ca) }),
    });
    const settle = (text: string) => {
      client.end(true);
      resolve(text);
    };
    client.once('connect', () => settle('ok'));
    client.once('error', (error) =>
      settle(error.message === '' ? String((error as { code?: unknown }).code) : error.message),
    );
    client.once('close', () => settle('closed without a word'));
  });
  if (answer === 'ok') return ok('broker', `${url} answers and lets ${username} in`);
  if (/bad user ?name or password|not authorized/i.test(answer)) {
    return fail(
      'broker',
      `${url} refuses the password of ${username}`,
      'Copy broker.password again, or enrol this box.',
    );
  }
  return warn('broker', `${url}: ${answer}`, 'Reports wait in the outbox until it answers.');
}

async function peers(config: AgentConfig): Promise<Finding[]> {
  const addresses = config.peers.filter((address) => !address.startsWith('/')).slice(0, 50);
  if (addresses.length === 0)
    return config.mesh.mdns ? [] : [warn('peers', 'none named, and mDNS is off', 'Name some.')];
  const silent = (
    await Promise.all(addresses.map(async (address) => ((await reachable(address)) ? undefined : address)))
  ).filter((address) => address !== undefined);
  if (silent.length === 0) return [ok('peers', `all ${addresses.length} answer`)];
  const text = `${silent.length} of ${addresses.length} do not answer: ${silent.slice(0, 5).join(', ')}`;
  return [warn('peers', text, 'Fine for boxes that are off; else look at cables, VLANs and firewalls.')];
}

async function sources(site: Site): Promise<Finding[]> {
  return Promise.all(
    [...site.connections].map(async ([thing, connection]) => {
      const name = site.plan.things[thing]?.id ?? 'a machine';
      const address = addressOf(connection);
      const line = connection.kind === 'modbus' ? connection.serial?.path : undefined;
      if (line !== undefined) {
        const missing = canRead(line);
        return missing === undefined
          ? ok('machine', `${name} hangs on ${line}`)
          : warn(
              'machine',
              `${name}: ${missing}`,
              "Plug the adapter in, and put the agent's user into the group dialout.",
            );
      }
      return (await reachable(address))
        ? ok('machine', `${name} answers at ${address}`)
        : warn(
            'machine',
            `${name} does not answer at ${address}`,
            'The agent waits for it; look at its cable and power.',
          );
    }),
  );
}

/** Where a device listens; URLs may leave the usual port out. */
function addressOf(connection: Connection): string {
  if (connection.kind === 'modbus' || connection.kind === 's7') return `${connection.host}:${connection.port}`;
  const url = new URL(connection.kind === 'mqtt' ? connection.url : connection.endpoint);
  const usual = { 'opc.tcp:': 4840, 'mqtt:': 1883, 'mqtts:': 8883 }[url.protocol];
  return url.port === '' ? `${url.hostname}:${usual}` : url.host;
}

async function models(site: Site): Promise<Finding[]> {
  const catalog = new Catalog(site.modelRoot);
  return Promise.all(
    site.plan.models.map(async (model) => {
      if (model.learn !== undefined) return ok('model', `${model.id} learns on the box`);
      const checked = await catalog.check(model.file, model.sha256 === undefined ? {} : { sha256: model.sha256 });
      return checked.ok
        ? ok('model', `${model.id} is whole`)
        : warn('model', `${model.id}: ${checked.error.message}`, 'Train it or copy it; rules go on without it.');
    }),
  );
}

function canRead(file: string): string | undefined {
  try {
    accessSync(file, constants.R_OK);
    return undefined;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT' ? `there is no ${file}` : `${file} cannot be read`;
  }
}

function split(address: string): { host: string; port: number } {
  const at = address.lastIndexOf(':');
  return { host: address.slice(0, at).replace(/^\[|\]$/g, ''), port: Number(address.slice(at + 1)) };
}

function listenProblem(host: string, port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    server.listen(port, host, () => server.close(() => resolve(undefined)));
  });
}

function reachable(address: string): Promise<boolean> {
  const { host, port } = split(address);
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    const settle = (answers: boolean) => {
      socket.destroy();
      resolve(answers);
    };
    socket.setTimeout(networkTimeoutMs, () => settle(false));
    socket.once('connect', () => settle(true));
    socket.once('error', () => settle(false));
  });
}
