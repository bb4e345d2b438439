import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { LineOutput } from './adapters/line-output.ts';
import { createLog } from './adapters/log.ts';
import { type AgentSetup, startAgent } from './agent.ts';
import { agentId } from './base/ids.ts';
import { loadAgent, readSecret } from './config/agent-file.ts';
import {
  type AgentFlagsWithoutFile,
  notThisAgent,
  readFlags,
  readTrust,
  siteFromBundle,
} from './config/agent-flags.ts';
import { formatProblems, type Problem } from './config/problem.ts';
import type { MemberState } from './core/membership/member.ts';
import { rosterOf } from './wire/site-bundle.ts';

/** What the command line gives. */
export interface AgentFlags {
  /** Path of agent.yaml, or everything that one would say. */
  readonly config: string | AgentFlagsWithoutFile;
  /** End when standard input closes: for starters that may be killed. */
  readonly endWithStdin?: boolean | undefined;
}

/** Nothing in an agent needs longer than this to stop; whatever still hangs is cut off. */
const stopWithinMs = 8_000;

/**
 * Runs the agent of this box until SIGTERM, SIGINT, or the end of its starter. Wrong configuration is told whole, with
 * exit code 2; a start that cannot succeed, with exit code 1. One line on standard output says that it is up:
 * `{"ready":true,"agent":…,"api":…,"boot":…,"pid":…}`. An agent without a configuration file then says there what becomes of the others, one line per event,
 * unbuffered: `{"event":"member-dead","member":"box-2","at":"2026-01-31T12:00:00.000Z"}`.
 */
export async function runAgent(flags: AgentFlags): Promise<void> {
  const lines = new LineOutput(1);
  lines.hold();
  const setup = typeof flags.config === 'string' ? readSetup(flags.config) : setupFromFlags(flags.config, lines);
  if ('complaint' in setup) {
    process.stderr.write(`${setup.complaint}\n`);
    process.exitCode = 2;
    return;
  }
  const { log } = setup;
  // A part that throws where nobody waits is our bug; the agent says so and ends, and whoever watches it starts it anew.
  process.on('uncaughtException', (error) => {
    log.fatal({ error: error.stack ?? String(error) }, 'uncaught exception');
    process.exit(70);
  });
  process.on('unhandledRejection', (error) => {
    log.error({ error: error instanceof Error ? error.stack : String(error) }, 'unhandled rejection');
  });

  let agent: Awaited<ReturnType<typeof startAgent>>;
  try {
    agent = await startAgent(setup);
  } catch (error) {
    process.stderr.write(`the agent cannot start: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exit(1);
  }
  let ending = false;
  const end = (why: string): void => {
    if (ending) return;
    ending = true;
    log.info({ why }, 'stopping');
    setTimeout(() => process.exit(0), stopWithinMs).unref();
    agent.stop().then(
      () => process.exit(0),
      () => process.exit(1),
    );
  };
  process.on('SIGTERM', () => end('SIGTERM'));
  process.on('SIGINT', () => end('SIGINT'));
  if (flags.endWithStdin === true) {
    process.stdin.on('end', () => end('stdin closed'));
    process.stdin.on('error', () => end('stdin closed'));
    process.stdin.resume();
  }
  lines.release({ ready: true, agent: setup.name, api: agent.api, boot: agent.boot, pid: process.pid });
}

const memberEvents: Readonly<Partial<Record<MemberState, string>>> = {
  alive: 'member-alive',
  suspect: 'member-suspected',
  dead: 'member-dead',
  left: 'member-left',
};

/** The same from flags: an agent starts wherever somebody wants to measure or try. */
export function setupFromFlags(
  flags: AgentFlagsWithoutFile,
  lines: LineOutput,
): AgentSetup | { readonly complaint: string } {
  const read = readFlags(flags);
  if (!read.ok) return { complaint: read.error.join('\n') };
  const { listen, peers, pskPath, trust, broker, api, membership } = read.value;
  const complaints: string[] = [];
  const text = (path: string, flag: string): string => {
    try {
      return readFileSync(path, 'utf8');
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      complaints.push(`${flag}: ${code === 'ENOENT' ? `there is no ${path}` : `${path} cannot be read: ${code}`}`);
      return '';
    }
  };
  const privateKeyPem = text(flags.key, '--key');
  const psk = text(pskPath, '--psk');
  const password = broker && (broker.password ?? text(join(dirname(flags.key), 'broker.password'), '--broker').trim());
  try {
    mkdirSync(flags.data, { recursive: true, mode: 0o700 });
  } catch (error) {
    complaints.push(`--data: ${(error as Error).message}`);
  }
  const found = siteFromBundle({ dataDir: flags.data, file: flags.site, trust, modelRoot: flags.models });
  if (!found.ok) complaints.push(`--site: ${found.error}`);
  else {
    const why = privateKeyPem === '' ? undefined : notThisAgent(found.value.bundle, flags.name, privateKeyPem);
    if (why !== undefined) complaints.push(why);
  }
  if (complaints.length > 0 || !found.ok) return { complaint: complaints.join('\n') };
  const { site, bundle, notices } = found.value;
  const { plan } = site;
  const log = createLog(flags.name);
  for (const notice of notices) log[notice.level]({ bundle: bundle.hash.slice(0, 12) }, notice.text);
  return {
    name: agentId(flags.name),
    version: readVersion(),
    site: membership === undefined ? site : { ...site, plan: { ...plan, membership } },
    dataDir: flags.data,
    mesh: { privateKeyPem, psk, roster: rosterOf(bundle), listen, peers, mdns: false },
    broker: broker && { ...broker, password: password ?? '' },
    api: api && { ...api, token: ownToken(flags.data) },
    log,
    observed: (wall, observation) => {
      if (observation.kind !== 'member-changed') return;
      const event = memberEvents[observation.to];
      const member = plan.agents[observation.member]?.id;
      if (event !== undefined) lines.line({ event, member, at: new Date(wall).toISOString() });
    },
  };
}

/** The token of this box's API, made at its first start; readable by the owner of the data folder alone. */
function ownToken(dataDir: string): string {
  const path = join(dataDir, 'api.token');
  if (!existsSync(path)) writeFileSync(path, `${randomBytes(32).toString('base64url')}\n`, { mode: 0o600, flag: 'wx' });
  return readFileSync(path, 'utf8').trim();
}

/** Reads agent.yaml and all that it names; every mistake at once, or everything that an agent needs. */
export function readSetup(path: string): AgentSetup | { readonly complaint: string } {
  const loaded = loadAgent(path);
  if (!loaded.ok) return { complaint: complain(path, loaded.error) };
  const config = loaded.value;
  const complaints: string[] = [];
  const read = (file: string, what: string): string => {
    try {
      return readFileSync(file, 'utf8');
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code;
      complaints.push(
        `${what}: ${code === 'ENOENT' ? `there is no ${file}` : `${file} cannot be read: ${code}`}. ` +
          'Remedy: millwright site init makes it; copy it to this box.',
      );
      return '';
    }
  };
  const reveal = (ref: Parameters<typeof readSecret>[0], what: string): string => {
    const secret = readSecret(ref);
    if (!secret.ok) complaints.push(`${what}: ${secret.error}`);
    return secret.ok ? secret.value : '';
  };
  const privateKeyPem = read(config.keyPath, 'key of this agent');
  const psk = read(config.mesh.keyPath, 'mesh key');
  const trust = readTrust(config.mesh.siteKeyPath);
  if (!trust.ok) complaints.push(`public key of the site: ${trust.error}. Remedy: copy site.pub to this box.`);
  const broker = config.broker && { ...config.broker, password: reveal(config.broker.password, 'broker password') };
  const token = config.api === undefined ? '' : reveal(config.api.token, 'token of the API');
  try {
    mkdirSync(config.data, { recursive: true, mode: 0o700 });
  } catch (error) {
    complaints.push(`data folder: ${(error as Error).message}`);
  }
  const found = trust.ok
    ? siteFromBundle({
        dataDir: config.data,
        file: config.bundlePath,
        trust: trust.value,
        modelRoot: config.modelRoot,
      })
    : undefined;
  if (found?.ok === false) complaints.push(found.error);
  const why =
    found?.ok === true && privateKeyPem !== ''
      ? notThisAgent(found.value.bundle, config.name, privateKeyPem)
      : undefined;
  if (why !== undefined) complaints.push(why);
  if (complaints.length > 0 || found?.ok !== true) return { complaint: complaints.join('\n') };
  const { bundle, site, notices } = found.value;
  const log = createLog(config.name);
  for (const notice of notices) log[notice.level]({ bundle: bundle.hash.slice(0, 12) }, notice.text);
  const roster = rosterOf(bundle);
  return {
    name: config.name,
    version: readVersion(),
    site,
    dataDir: config.data,
    mesh: { privateKeyPem, psk, roster, listen: config.listen, peers: config.peers, mdns: config.mesh.mdns },
    broker,
    api: config.api && { host: config.api.host, port: config.api.port, token },
    log,
  };
}

const complain = (file: string, problems: readonly Problem[]): string => `${file}:\n${formatProblems(problems)}`;

/** Also from `dist/`, where package.json lies beside the emitted folders. */
export function readVersion(): string {
  const text = readFileSync(new URL('../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}
