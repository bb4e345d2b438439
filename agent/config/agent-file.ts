import { readFileSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { z } from 'zod';
import type { AgentId } from '../base/ids.ts';
import { agentId } from '../base/ids.ts';
import type { Result } from '../base/result.ts';
import { err, ok } from '../base/result.ts';
import type { Secret } from '../driver/bindings.ts';
import { parseHostPort } from './grammar.ts';
import type { Problem } from './problem.ts';
import { hasErrors } from './problem.ts';
import { parseQuantity } from './quantity.ts';
import { checkShape } from './shape.ts';
import type { Path } from './site-document.ts';
import { maxBytes, readDocument } from './site-document.ts';
import { namePattern } from './site-model.ts';

/** What one box says of itself; everything else stands in the site file. Paths are absolute already. */
export interface AgentConfig {
  readonly file: string;
  readonly name: AgentId;
  /** The signed bundle that a person laid on the box; the data folder may hold a newer one. */
  readonly bundlePath: string;
  /** Store, outbox, logs, checkpoints: the agent's own folder. */
  readonly data: string;
  /** Folder that model files start from. */
  readonly modelRoot: string;
  /** `host:port`; port 0 takes a free one. */
  readonly listen: readonly string[];
  readonly peers: readonly string[];
  readonly mesh: {
    readonly keyPath: string;
    readonly siteKeyPath: string;
    readonly mdns: boolean;
  };
  /** This agent's private key (Ed25519, PEM). */
  readonly keyPath: string;
  /** Without a broker the agent works and tells nobody but its peers. */
  readonly broker:
    | { readonly url: string; readonly username: string; readonly password: Secret; readonly ca: string | undefined }
    | undefined;
  readonly api: { readonly host: string; readonly port: number; readonly token: Secret } | undefined;
  readonly limits: {
    readonly memoryBytes: number | undefined;
    readonly cpuShare: number | undefined;
    /** What the recorder may take of the disk. */
    readonly recorderBytes: number | undefined;
  };
}

export const defaultPorts = { mesh: 7430, agentApi: 7431, coordinatorApi: 7480, broker: 1883 } as const;

const text = z.string().min(1).max(4096);
/** Below this the file's own overhead leaves nothing to the samples. */
const leastRecorderBytes = 8 * 1024 * 1024;
const secret = z.union([z.strictObject({ file: text }), z.strictObject({ env: text })], {
  error: 'a secret stands in a file or a variable: { file: path } or { env: NAME }',
});
const addresses = z.array(text, { error: 'expected a list of addresses: [host:port]' }).max(5000);

export const agentSchema = z.strictObject({
  name: text.regex(namePattern, { error: 'expected the name of this agent in the site file' }),
  bundle: text.describe('The signed site bundle, site.bundle.'),
  site: z.never({ error: 'site file and list of agents now come signed in one: bundle: site.bundle' }).optional(),
  data: text.describe('Folder of store, outbox and logs.'),
  models: text.optional().describe('Folder of models; `models` beside the bundle unless said.'),
  listen: addresses.optional(),
  peers: addresses.optional(),
  key: text.describe('Private key of this agent, agent.key.'),
  mesh: z.strictObject({
    key: text.describe('The key that all agents of the site share, mesh.psk.'),
    roster: z.never({ error: 'the list of agents stands in the bundle: take this out' }).optional(),
    'site-key': text.describe('Public key that signs the bundle, site.pub.'),
    mdns: z.boolean().optional().describe('Also look for peers by mDNS on the local network.'),
  }),
  broker: z.strictObject({ url: text, username: text.optional(), password: secret, ca: text.optional() }).optional(),
  api: z.strictObject({ listen: text.optional(), token: secret }).optional(),
  limits: z
    .strictObject({
      memory: text.optional(),
      cpu: text.optional(),
      recorder: text.optional().describe('Disk for what is recorded of signals, scores and alarms; 64MiB unless said.'),
    })
    .optional(),
});

/** Reads `agent.yaml`, or says every mistake in it at once. Files that it names are not opened here. */
export function loadAgent(path: string): Result<AgentConfig, readonly Problem[]> {
  let content: string;
  try {
    if (statSync(path).size > maxBytes) throw Object.assign(new Error(), { code: 'too large' });
    content = readFileSync(path, 'utf8');
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    const message = code === 'ENOENT' ? 'there is no such file' : `cannot be read: ${code}`;
    return err([{ severity: 'error', file: path, line: 1, column: 1, path: '', code: 'unreadable', message }]);
  }
  return parseAgent(content, path);
}

export function parseAgent(content: string, file: string): Result<AgentConfig, readonly Problem[]> {
  const document = readDocument(file, content);
  if (!document.ok) return document;
  const shape = checkShape(document.value, agentSchema, missing);
  const problems: Problem[] = [...shape.problems];
  const value = shape.value;
  if (value === undefined) return err(problems);
  const say = (path: Path, message: string): void => {
    problems.push(document.value.problem(path, 'value', message));
  };
  const here = dirname(resolve(file));
  const at = (path: string): string => resolve(here, path);
  const secretOf = (ref: z.infer<typeof secret>): Secret =>
    'env' in ref ? { from: 'env', name: ref.env } : { from: 'file', path: at(ref.file) };

  for (const key of ['listen', 'peers'] as const) {
    for (const [i, address] of (value[key] ?? []).entries()) {
      if (address.startsWith('/')) continue; // a multiaddr, judged by the mesh
      const parsed = parseHostPort(address);
      if (!parsed.ok) say([key, i], parsed.error);
      else if (key === 'peers' && parsed.value.port === 0)
        say([key, i], `"${address}": nobody can be reached at port 0`);
    }
  }
  if (value.broker !== undefined) {
    if (!/^(mqtt|mqtts|tcp|tls):\/\/[^/\s]+/.test(value.broker.url)) {
      say(['broker', 'url'], `"${value.broker.url}" is no broker: say mqtt://host:1883 or mqtts://host:8883`);
    }
    const username = value.broker.username;
    if (username !== undefined && username !== value.name) {
      say(
        ['broker', 'username'],
        `user name "${username}" is not this agent's name "${value.name}": the broker refuses it`,
      );
    }
  }
  const apiAddress = parseHostPort(value.api?.listen ?? `127.0.0.1:${defaultPorts.agentApi}`);
  if (!apiAddress.ok) say(['api', 'listen'], apiAddress.error);

  const limit = (key: 'memory' | 'cpu' | 'recorder', dimension: string, factor: number): number | undefined => {
    const said = value.limits?.[key];
    if (said === undefined) return undefined;
    const parsed = parseQuantity(said);
    if (parsed.ok && parsed.value.unit?.dimension === dimension && parsed.value.value > 0) {
      return parsed.value.value * parsed.value.unit.factor * factor;
    }
    say(['limits', key], `"${said}" is no limit: say for example ${key === 'cpu' ? '10%' : '128MiB'}`);
    return undefined;
  };
  const recorderBytes = limit('recorder', 'bytes', 1);
  if (recorderBytes !== undefined && recorderBytes < leastRecorderBytes) {
    say(['limits', 'recorder'], `"${value.limits?.recorder}" is too little to record anything: 8MiB at least`);
  }
  const config: AgentConfig = {
    file: resolve(file),
    name: agentId(value.name),
    bundlePath: at(value.bundle),
    data: at(value.data),
    modelRoot: value.models === undefined ? resolve(dirname(at(value.bundle)), 'models') : at(value.models),
    listen: value.listen ?? [`0.0.0.0:${defaultPorts.mesh}`],
    peers: value.peers ?? [],
    mesh: {
      keyPath: at(value.mesh.key),
      siteKeyPath: at(value.mesh['site-key']),
      mdns: value.mesh.mdns ?? false,
    },
    keyPath: at(value.key),
    broker:
      value.broker === undefined
        ? undefined
        : {
            url: value.broker.url,
            username: value.name,
            password: secretOf(value.broker.password),
            ca: value.broker.ca === undefined ? undefined : at(value.broker.ca),
          },
    api:
      value.api === undefined || !apiAddress.ok
        ? undefined
        : { host: apiAddress.value.host, port: apiAddress.value.port, token: secretOf(value.api.token) },
    limits: {
      memoryBytes: limit('memory', 'bytes', 1),
      cpuShare: limit('cpu', 'ratio', 1),
      recorderBytes,
    },
  };
  return hasErrors(problems) ? err(problems) : ok(config);
}

/** The secret that a reference names, without the line end. The error never holds the secret. */
export function readSecret(ref: Secret): Result<string, string> {
  if (ref.from === 'env') {
    const value = process.env[ref.name];
    return value === undefined || value === '' ? err(`the environment has no ${ref.name}`) : ok(value);
  }
  try {
    if (statSync(ref.path).size > 64 * 1024) return err(`${ref.path} is too large for a secret`);
    const value = readFileSync(ref.path, 'utf8').replace(/\r?\n$/, '');
    return value === '' ? err(`${ref.path} is empty`) : ok(value);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    return err(code === 'ENOENT' ? `there is no ${ref.path}` : `${ref.path} cannot be read: ${code}`);
  }
}

function missing(path: Path, key: string): { message: string; stand: unknown } | undefined {
  const where = path.length === 0 ? '' : `${path.join('/')}/`;
  const meaning: Readonly<Record<string, string>> = {
    name: 'which agent of the site file this is',
    bundle: 'path of site.bundle, which millwright site init or site sign made',
    data: 'a folder for its store',
    key: path.length === 0 ? 'path of agent.key' : 'path of mesh.psk',
    mesh: '{ key: mesh.psk, site-key: site.pub }',
    'site-key': 'path of site.pub',
  };
  const message = `"${where}${key}" is missing${meaning[key] === undefined ? '' : `: ${meaning[key]}`}`;
  const stand =
    key === 'mesh' ? { key: 'x', 'site-key': 'x' } : key === 'password' || key === 'token' ? { env: 'X' } : 'x';
  return { message, stand };
}
