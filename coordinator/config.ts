import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { isMap, isScalar, LineCounter, parseDocument } from 'yaml';
import { z } from 'zod';
import { nearest } from '../agent/base/nearest.ts';
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
const listen = z
  .string()
  .regex(/^(\[[0-9a-fA-F:]+\]|[^:\s]+):\d{1,5}$/, { error: 'an address and a port, like 127.0.0.1:8080', abort: true })
  .refine((text) => Number(text.slice(text.lastIndexOf(':') + 1)) <= 65_535, 'a port of at most 65535');
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
  /** Line of the key at a path; of what is missing, of the nearest thing around it. */
  const lineOf = (at: readonly (string | number)[]): number | undefined => {
    for (let depth = at.length; depth > 0; depth--) {
      const around = depth === 1 ? document.contents : document.getIn(at.slice(0, depth - 1), true);
      const pair = isMap(around)
        ? around.items.find(({ key }) => isScalar(key) && key.value === at[depth - 1])
        : undefined;
      const start = isScalar(pair?.key) ? pair.key.range?.[0] : undefined;
      if (start !== undefined) return lines.linePos(start).line;
    }
    return undefined;
  };
  const value: unknown = document.toJS({ maxAliasCount: 100 });
  // A union says only "invalid input"; the shape that the writer meant gives the better words.
  const broker = (value as { broker?: { url?: unknown } } | null)?.broker;
  const brokerSchema = broker?.url === undefined ? embedded : external;
  const schema = coordinatorFileSchema.extend({ broker: brokerSchema });
  const knownKeys = ([first]: readonly (string | number)[]): string[] => {
    const of = { api: coordinatorFileSchema.shape.api, broker: brokerSchema }[String(first)];
    return Object.keys((of ?? coordinatorFileSchema).shape);
  };
  const parsed = schema.safeParse(value);
  if (!parsed.success) {
    return err(
      parsed.error.issues.flatMap((issue) => {
        const at = issue.path as (string | number)[];
        if (issue.code === 'unrecognized_keys') {
          const known = knownKeys(at);
          return issue.keys.map((key) => {
            const near = nearest(key, known);
            const remedy = near === undefined ? `Known here: ${known.join(', ')}.` : `Did you mean "${near}"?`;
            return problem([...at, key].join('.'), `unknown key "${key}"`, remedy, lineOf([...at, key]));
          });
        }
        const found = document.getIn(at);
        const shown = isScalarValue(found) ? `, found ${JSON.stringify(found)}` : '';
        const message =
          found === undefined ? `"${String(at.at(-1) ?? '')}" is missing` : `expected ${issue.message}${shown}`;
        return [problem(at.join('.'), message, example(at), lineOf(at))];
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

const isScalarValue = (value: unknown): boolean => ['string', 'number', 'boolean'].includes(typeof value);

/** What a part of the file looks like when it is right. */
const example = ([first]: readonly (string | number)[]): string =>
  ({
    site: 'Like this: site: demo',
    data: 'Like this: data: data',
    api: 'Like this: api: { listen: 127.0.0.1:8080, token: { file: api.token } }',
    broker:
      'Like this: broker: { listen: 127.0.0.1:1883, users: ../broker/broker-users.json, password: { file: broker.password } }',
  })[String(first)] ?? 'millwright site init writes one.';
