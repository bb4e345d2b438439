import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { LineCounter, parseDocument } from 'yaml';
import { z } from 'zod';
import type { Result } from '../agent/base/result.ts';
import { err, ok } from '../agent/base/result.ts';

/**
 * `coordinator.yaml`. Paths start from the file's own folder. With `broker.listen` the coordinator brings its own
 * broker; with `broker.url` it is a client of yours.
 *
 * ```yaml
 * site: demo
 * data: data
 * api: { listen: 127.0.0.1:8080, token: { file: token } }
 * broker: { listen: 127.0.0.1:1883, users: ../broker-users.json, username: coordinator, password: { file: password } }
 * # broker: { url: mqtt://10.0.0.2:1883, username: coordinator, password: { file: password } }
 * ```
 */
const level = z.string().regex(/^[A-Za-z0-9_.-]{1,64}$/, 'letters, digits, “_”, “.” and “-”, at most 64');
const listen = z.string().regex(/^(\[[0-9a-fA-F:]+\]|[^:\s]+):\d{1,5}$/, 'an address and a port, like 127.0.0.1:8080');
const secret = z.union([z.strictObject({ file: z.string().min(1) }), z.strictObject({ env: z.string().min(1) })], {
  error: 'a secret stands in a file or a variable: { file: path } or { env: NAME }',
});
const embedded = z.strictObject({
  listen,
  users: z.string().min(1),
  username: level.default('coordinator'),
  password: secret,
  tls: z.strictObject({ key: z.string(), cert: z.string() }).optional(),
});
const external = z.strictObject({
  url: z.string().regex(/^mqtts?:\/\/[^\s/]+$/, 'mqtt://host:port or mqtts://host:port'),
  username: level.default('coordinator'),
  password: secret,
  ca: z.string().optional(),
});

export const coordinatorFileSchema = z.strictObject({
  site: level,
  data: z.string().min(1),
  api: z.strictObject({ listen: listen.default('127.0.0.1:8080'), token: secret }),
  broker: z.union([embedded, external]),
});

export interface CoordinatorConfig {
  readonly site: string;
  readonly data: string;
  readonly api: { readonly host: string; readonly port: number; readonly token: string };
  readonly broker:
    | {
        readonly mode: 'embedded';
        readonly host: string;
        readonly port: number;
        readonly users: string;
        readonly username: string;
        readonly password: string;
        readonly tls: { readonly key: string; readonly cert: string } | undefined;
      }
    | {
        readonly mode: 'external';
        readonly url: string;
        readonly username: string;
        readonly password: string;
        readonly ca: string | undefined;
      };
}

/** One mistake, for people: where it stands, what is wrong, how to mend it. */
export interface ConfigProblem {
  readonly file: string;
  readonly line: number | undefined;
  readonly path: string;
  readonly message: string;
  readonly remedy: string;
}

/** Reads, checks and resolves the file; all mistakes at once. */
export async function loadCoordinatorConfig(
  path: string,
  env: Readonly<Record<string, string | undefined>>,
): Promise<Result<CoordinatorConfig, readonly ConfigProblem[]>> {
  const file = resolve(path);
  const base = dirname(file);
  const problem = (at: string, message: string, remedy: string, line?: number): ConfigProblem => ({
    file,
    line,
    path: at,
    message,
    remedy,
  });
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    return err([
      problem('', (error as Error).message, 'Give the path of coordinator.yaml; millwright site init writes one.'),
    ]);
  }
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, version: '1.2' });
  if (document.errors.length > 0) {
    return err(document.errors.map((e) => problem('', e.message, 'Mend the YAML.', lines.linePos(e.pos[0]).line)));
  }
  const value: unknown = document.toJS({ maxAliasCount: 100 });
  // A union says only "invalid input"; the shape that the writer meant gives the better words.
  const broker = (value as { broker?: { url?: unknown } } | null)?.broker;
  const schema = coordinatorFileSchema.extend({ broker: broker?.url === undefined ? embedded : external });
  const parsed = schema.safeParse(value);
  if (!parsed.success) {
    return err(
      parsed.error.issues.map((issue) => {
        const node = document.getIn(issue.path as (string | number)[], true) as
          | { range?: [number, number, number] }
          | undefined;
        const line = node?.range === undefined ? undefined : lines.linePos(node.range[0]).line;
        return problem(
          issue.path.join('.'),
          issue.message,
          'See the example at the head of coordinator/config.ts.',
          line,
        );
      }),
    );
  }
  const problems: ConfigProblem[] = [];
  const reveal = async (at: string, from: z.infer<typeof secret>): Promise<string> => {
    if ('env' in from) {
      const found = env[from.env];
      if (found === undefined || found === '')
        problems.push(problem(at, `the variable ${from.env} is not set`, 'Set it, or use { file: … }.'));
      return found ?? '';
    }
    try {
      const found = (await readFile(resolve(base, from.file), 'utf8')).trim();
      if (found === '') problems.push(problem(at, `${from.file} is empty`, 'Run millwright site init again.'));
      return found;
    } catch (error) {
      problems.push(problem(at, (error as Error).message, 'Run millwright site init, or mend the path.'));
      return '';
    }
  };
  const { data } = parsed;
  const token = await reveal('api.token', data.api.token);
  const password = await reveal('broker.password', data.broker.password);
  if (problems.length > 0) return err(problems);
  const api = { ...hostAndPort(data.api.listen), token };
  const config: CoordinatorConfig = {
    site: data.site,
    data: resolve(base, data.data),
    api,
    broker:
      'url' in data.broker
        ? {
            mode: 'external',
            url: data.broker.url,
            username: data.broker.username,
            password,
            ca: data.broker.ca === undefined ? undefined : resolve(base, data.broker.ca),
          }
        : {
            mode: 'embedded',
            ...hostAndPort(data.broker.listen),
            users: resolve(base, data.broker.users),
            username: data.broker.username,
            password,
            tls: data.broker.tls && {
              key: resolve(base, data.broker.tls.key),
              cert: resolve(base, data.broker.tls.cert),
            },
          },
  };
  return ok(config);
}

const hostAndPort = (text: string): { host: string; port: number } => {
  const at = text.lastIndexOf(':');
  return { host: text.slice(0, at).replace(/^\[|\]$/g, ''), port: Number(text.slice(at + 1)) };
};
