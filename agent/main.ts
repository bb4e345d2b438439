import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { LineOutput } from './adapters/line-output.ts';
import { createLog } from './adapters/log.ts';
import { supervisorFd } from './adapters/supervisor/supervisor-client.ts';
import { type AgentSetup, type RunningAgent, startAgent } from './agent.ts';
import { agentId } from './base/ids.ts';
import { loadAgent, readSecret } from './config/agent-file.ts';
import {
  type AgentFlagsWithoutFile,
  compileBundle,
  modelFolder,
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
/** What tells a supervisor to start the agent anew (sysexits.h, EX_TEMPFAIL). */
const startAgain = 75;

/**
 * Runs the agent of this box until SIGTERM, SIGINT, or the end of its starter. Wrong configuration is told whole, with
 * exit code 2; a start that cannot succeed, with exit code 1. One line on standard output says that it is up:
 * `{"ready":true,"agent":…,"api":…,"boot":…,"pid":…}`. An agent without a configuration file then says there what becomes
 * of the others, one line per event, unbuffered: `{"event":"member-dead","member":"box-2","at":"2026-01-31T12:00:00.000Z"}`.
 *
 * A newer bundle from the mesh makes it stop in order and begin anew: under the same process number, or, where a box
 * supervisor watches, as a new process that this one starts (exit code 75). The line is said again then.
 */
export async function runAgent(flags: AgentFlags): Promise<void> {
  const lines = new LineOutput(1);
  lines.hold();
  const startAnew = (why: string): void => end(why, replaceProcess);
  const setup =
    typeof flags.config === 'string'
      ? readSetup(flags.config, startAnew)
      : setupFromFlags(flags.config, lines, startAnew);
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

  let agent: RunningAgent | undefined;
  /** What comes after the stop that is under way, or that waits for the start to be over. */
  let then: ((code: 0 | 1) => void) | undefined;
  let why = '';
  const stop = (running: RunningAgent): void => {
    log.info({ why }, 'stopping');
    const over = (code: 0 | 1) => () => then?.(code);
    setTimeout(over(0), stopWithinMs).unref();
    running.stop().then(over(0), over(1));
  };
  function end(reason: string, next: (code: 0 | 1) => void = (code) => process.exit(code)): void {
    const isFirst = then === undefined;
    // Whoever wants it ended for good has the last word.
    if (isFirst || next !== replaceProcess) then = next;
    if (!isFirst) return;
    why = reason;
    if (agent !== undefined) stop(agent);
  }
  try {
    agent = await startAgent(setup);
  } catch (error) {
    process.stderr.write(`the agent cannot start: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exit(1);
  }
  process.on('SIGTERM', () => end('SIGTERM'));
  process.on('SIGINT', () => end('SIGINT'));
  if (flags.endWithStdin === true) {
    process.stdin.on('end', () => end('stdin closed'));
    process.stdin.on('error', () => end('stdin closed'));
    process.stdin.resume();
  }
  lines.release({ ready: true, agent: setup.name, api: agent.api, boot: agent.boot, pid: process.pid });
  if (then !== undefined) stop(agent);
}

/**
 * The same program begins anew in this process: nobody has to watch over it for that, and its number stays. A box
 * supervisor starts a new one itself, because a session that it vouches for is one life of one process.
 */
function replaceProcess(): void {
  const [, ...args] = process.argv;
  try {
    if (supervisorFd() === undefined) {
      process.execve?.(process.execPath, [process.execPath, ...process.execArgv, ...args], process.env);
    }
  } catch {
    // Whoever started this one is to start it again.
  }
  process.exit(startAgain);
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
  startAnew: (why: string) => void = () => {},
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
  const modelRoot = modelFolder({ file: flags.site, modelRoot: flags.models });
  return {
    name: agentId(flags.name),
    version: readVersion(),
    site: membership === undefined ? site : { ...site, plan: { ...plan, membership } },
    dataDir: flags.data,
    bundle: { inForce: bundle, notices, compile: (next) => compileBundle(next, modelRoot), startAnew },
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
export function readSetup(
  path: string,
  startAnew: (why: string) => void = () => {},
): AgentSetup | { readonly complaint: string } {
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
  const modelRoot = modelFolder({ file: config.bundlePath, modelRoot: config.modelRoot });
  const roster = rosterOf(bundle);
  return {
    name: config.name,
    version: readVersion(),
    site,
    dataDir: config.data,
    bundle: { inForce: bundle, notices, compile: (next) => compileBundle(next, modelRoot), startAnew },
    mesh: { privateKeyPem, psk, roster, listen: config.listen, peers: config.peers, mdns: config.mesh.mdns },
    broker,
    api: config.api && { host: config.api.host, port: config.api.port, token },
    budget: config.limits,
    recorderBytes: config.limits.recorderBytes,
    log,
  };
}

const complain = (file: string, problems: readonly Problem[]): string => `${file}:\n${formatProblems(problems)}`;

/** Also from `dist/`, where package.json lies beside the emitted folders. */
export function readVersion(): string {
  const text = readFileSync(new URL('../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}
