import { mkdirSync, readFileSync } from 'node:fs';
import { createLog } from './adapters/log.ts';
import { type AgentSetup, startAgent } from './agent.ts';
import { type AgentConfig, loadAgent, readSecret } from './config/agent-file.ts';
import { formatProblems, type Problem } from './config/problem.ts';
import { loadSite } from './config/site-file.ts';
import { type Roster, verifyRoster } from './wire/roster.ts';

/** What the command line gives. */
export interface AgentFlags {
  /** Path of agent.yaml. */
  readonly config: string;
  /** End when standard input closes: for starters that may be killed. */
  readonly endWithStdin?: boolean | undefined;
}

/** Nothing in an agent needs longer than this to stop; whatever still hangs is cut off. */
const stopWithinMs = 8_000;

/**
 * Runs the agent of this box until SIGTERM, SIGINT, or the end of its starter. Wrong configuration is told whole, with
 * exit code 2; a start that cannot succeed, with exit code 1. One line on standard output says that it is up:
 * `{"ready":true,"agent":…,"api":…,"boot":…,"pid":…}`.
 */
export async function runAgent(flags: AgentFlags): Promise<void> {
  const setup = readSetup(flags.config);
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
  process.stdout.write(
    `${JSON.stringify({ ready: true, agent: setup.name, api: agent.api, boot: agent.boot, pid: process.pid })}\n`,
  );
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
  const site = loadSite(config.sitePath, { modelRoot: config.modelRoot });
  if (!site.ok) complaints.push(complain(config.sitePath, site.error));
  const privateKeyPem = read(config.keyPath, 'key of this agent');
  const psk = read(config.mesh.keyPath, 'mesh key');
  const roster = readRoster(config, read, complaints);
  const broker = config.broker && { ...config.broker, password: reveal(config.broker.password, 'broker password') };
  const token = config.api === undefined ? '' : reveal(config.api.token, 'token of the API');
  try {
    mkdirSync(config.data, { recursive: true, mode: 0o700 });
  } catch (error) {
    complaints.push(`data folder: ${(error as Error).message}`);
  }
  if (complaints.length > 0 || !site.ok || roster === undefined) return { complaint: complaints.join('\n') };
  return {
    name: config.name,
    version: readVersion(),
    site: site.value,
    dataDir: config.data,
    mesh: { privateKeyPem, psk, roster, listen: config.listen, peers: config.peers, mdns: config.mesh.mdns },
    broker,
    api: config.api && { host: config.api.host, port: config.api.port, token },
    log: createLog(config.name),
  };
}

function readRoster(
  config: AgentConfig,
  read: (file: string, what: string) => string,
  complaints: string[],
): Roster | undefined {
  const text = read(config.mesh.rosterPath, 'list of agents');
  const siteKey = read(config.mesh.siteKeyPath, 'public key of the site');
  if (text === '' || siteKey === '') return undefined;
  const roster = verifyRoster(text, siteKey);
  if (roster.ok) return roster.value;
  complaints.push(`${config.mesh.rosterPath}: ${roster.error.text}`);
  return undefined;
}

const complain = (file: string, problems: readonly Problem[]): string => `${file}:\n${formatProblems(problems)}`;

/** Also from `dist/`, where package.json lies beside the emitted folders. */
export function readVersion(): string {
  const text = readFileSync(new URL('../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}
