import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { stringify } from 'yaml';
import { z } from 'zod';
import { agentId } from '../base/ids.ts';
import type { Result } from '../base/result.ts';
import { err, ok } from '../base/result.ts';
import type { BrokerUser } from '../wire/broker-users.ts';
import { brokerUsersSchema, hashBrokerPassword } from '../wire/broker-users.ts';
import type { RosterEntry } from '../wire/roster.ts';
import { signRoster, verifyRoster } from '../wire/roster.ts';
import { signBundle } from '../wire/site-bundle.ts';
import { defaultPorts } from './agent-file.ts';
import { mosquittoAcl, mosquittoConf, mosquittoPassword } from './broker-files.ts';
import { bundleContent, publicKeyFrom } from './bundle-content.ts';
import { parseHostPort } from './grammar.ts';
import type { Problem } from './problem.ts';
import { formatProblems } from './problem.ts';
import { checkSite, parseSite, setSiteParams } from './site-file.ts';
import type { ThingModel } from './site-model.ts';
import { signSite } from './site-sign.ts';

/**
 * Where things are, as far as the site file does not say it: addresses of agents and coordinator, values for the site
 * file's `params`. All of it may be left out: agents are then found under their names, the broker beside the
 * coordinator.
 */
export const layoutSchema = z.strictObject({
  params: z.record(z.string(), z.union([z.string(), z.number()])).optional(),
  /** Broker as agents see it, unless an agent says otherwise. */
  broker: z.string().optional(),
  /** Certificate authority of the broker, for mqtts. */
  ca: z.string().optional(),
  /** Folder of models. */
  models: z.string().optional(),
  mdns: z.boolean().optional(),
  agents: z
    .record(
      z.string(),
      z.strictObject({
        listen: z.array(z.string()).optional(),
        /** How others reach it; its first `listen` unless said. */
        address: z.string().optional(),
        peers: z.array(z.string()).optional(),
        api: z.string().optional(),
        broker: z.string().optional(),
        data: z.string().optional(),
      }),
    )
    .optional(),
  coordinator: z
    .strictObject({
      /** API and console. */
      api: z.string().optional(),
      /** Where the embedded broker (or mosquitto, by the written configuration) listens. */
      broker: z.string().optional(),
      /** An external broker, in place of the embedded one. */
      external: z.string().optional(),
    })
    .optional(),
});
export type SiteLayout = z.infer<typeof layoutSchema>;

export interface InitOptions {
  /** Path of the site file, or a text in hand. A copy with the layout's params goes to `out/site.yaml`. */
  readonly site: string | { readonly text: string };
  readonly out: string;
  /** Replaces the keys and credentials that stand there: every box must then be set up anew. */
  readonly force?: boolean;
  readonly layout?: SiteLayout;
  /** Hears of each agent whose keys are made: hashing a thousand passwords takes a minute. */
  readonly progress?: (done: number, all: number) => void;
}

/** Folder of everything that `site init` makes; the names are a contract with `enrolAgent` and the README. */
export interface SiteFolder {
  readonly out: string;
  readonly siteFile: string;
  readonly siteKey: string;
  readonly sitePub: string;
  /** Signs a new era when the signing key was stolen; belongs into a safe, not onto a disk. */
  readonly recoveryKey: string;
  readonly recoveryPub: string;
  /** What agents start from: roster, cells, site file, signed. */
  readonly bundle: string;
  readonly psk: string;
  /** NAME.key and NAME.pub of people who give orders: each gets his own, and it leaves this folder. */
  readonly people: string;
  readonly roster: string;
  readonly coordinator: string;
  readonly coordinatorFile: string;
  readonly brokerUsers: string;
  readonly mosquittoConf: string;
  readonly mosquittoPasswords: string;
  readonly mosquittoAcl: string;
  agent(name: string): string;
}

export interface InitReport {
  readonly folder: SiteFolder;
  readonly agents: readonly { readonly name: string; readonly file: string; readonly keyMadeHere: boolean }[];
  /** Every file written, in order. */
  readonly files: readonly string[];
}

export interface InitError {
  readonly message: string;
  readonly problems: readonly Problem[];
}

export function siteFolder(out: string): SiteFolder {
  const root = resolve(out);
  return {
    out: root,
    siteFile: join(root, 'site.yaml'),
    siteKey: join(root, 'site.key'),
    sitePub: join(root, 'site.pub'),
    recoveryKey: join(root, 'recovery.key'),
    recoveryPub: join(root, 'recovery.pub'),
    bundle: join(root, 'site.bundle'),
    psk: join(root, 'mesh.psk'),
    people: join(root, 'people'),
    roster: join(root, 'roster.json'),
    coordinator: join(root, 'coordinator'),
    coordinatorFile: join(root, 'coordinator', 'coordinator.yaml'),
    brokerUsers: join(root, 'broker', 'broker-users.json'),
    mosquittoConf: join(root, 'broker', 'mosquitto.conf'),
    mosquittoPasswords: join(root, 'broker', 'passwords'),
    mosquittoAcl: join(root, 'broker', 'acl'),
    agent: (name) => join(root, 'agents', name),
  };
}

/**
 * Makes everything secret that a site needs: the site's signing key, the mesh key, each agent's key, credentials and
 * configuration, the coordinator's, and the broker's files for both brokers. Folders are 0700 and files 0600. Nothing
 * that stands is replaced without `force`.
 */
export function initSite(options: InitOptions): Result<InitReport, InitError> {
  const folder = siteFolder(options.out);
  const layout = options.layout ?? {};
  const given = options.site;
  const checked = typeof given === 'string' ? checkSite(given) : parseSite(given.text, folder.siteFile);
  if (checked.site === undefined || checked.model === undefined) {
    return fail(
      `${typeof given === 'string' ? given : 'the site file'} has mistakes; no key was made`,
      checked.problems,
    );
  }
  const site = checked.site.plan.site;
  const params = Object.fromEntries(Object.entries(layout.params ?? {}).map(([key, value]) => [key, String(value)]));
  const text = setSiteParams(typeof given === 'string' ? readFileSync(given, 'utf8') : given.text, params);
  if (!text.ok) return fail(text.error);
  const things = checked.model.things.filter((thing) => thing.kind === 'agent');
  for (const name of Object.keys(layout.agents ?? {})) {
    if (!things.some((thing) => thing.name === name)) return fail(`the layout names "${name}", the site file does not`);
  }

  const standing = [
    folder.siteKey,
    folder.sitePub,
    folder.recoveryKey,
    folder.bundle,
    folder.psk,
    folder.roster,
    folder.brokerUsers,
    folder.coordinatorFile,
  ]
    .concat(things.map((thing) => join(folder.agent(thing.name), 'agent.key')))
    .filter((file) => existsSync(file));
  if (standing.length > 0 && options.force !== true) {
    return fail(
      `${standing[0]} stands already${standing.length > 1 ? `, and ${standing.length - 1} more` : ''}: keys are not replaced without --force`,
    );
  }

  const writer = new Writer();
  try {
    writer.folder(folder.out);
    const siteKey = ed25519();
    const recoveryKey = ed25519();
    writer.file(folder.siteFile, text.value);
    // The copy is what runs, so the copy is checked too: params may have broken it.
    const copy = checkSite(folder.siteFile);
    if (copy.site === undefined || copy.model === undefined) {
      writer.undo();
      return fail('with the params of the layout the site file has mistakes; no key was made', copy.problems);
    }
    writer.file(folder.siteKey, siteKey.privatePem);
    writer.file(folder.sitePub, siteKey.publicPem);
    writer.file(folder.recoveryKey, recoveryKey.privatePem);
    writer.file(folder.recoveryPub, recoveryKey.publicPem);
    writer.file(folder.psk, `/key/swarm/psk/1.0.0/\n/base16/\n${randomBytes(32).toString('hex')}\n`);

    const entries: RosterEntry[] = [];
    const users: BrokerUser[] = [];
    const passwords: string[] = [];
    const agents: { name: string; file: string; keyMadeHere: boolean }[] = [];
    for (const thing of things) {
      const made = makeAgent(writer, folder, thing, things, layout);
      if (!made.ok) {
        writer.undo();
        return fail(made.error);
      }
      entries.push(made.value.entry);
      users.push(made.value.user);
      passwords.push(made.value.mosquitto);
      agents.push({
        name: thing.name,
        file: join(folder.agent(thing.name), 'agent.yaml'),
        keyMadeHere: made.value.keyMadeHere,
      });
      options.progress?.(agents.length, things.length);
    }
    const password = token();
    users.push({ name: 'coordinator', hash: hashBrokerPassword(password), role: 'coordinator' });
    passwords.push(mosquittoPassword('coordinator', password));
    writer.file(folder.roster, signRoster({ site, version: 1, agents: entries }, siteKey.privatePem));

    const peopleKeys = new Map<string, string>();
    for (const [name, person] of Object.entries(copy.model.shape.people ?? {})) {
      // Who gives orders signs them; a key that the person made stands in the site file.
      if (person.key !== undefined || !(person.may ?? []).some((right) => right === 'order' || right === 'approve'))
        continue;
      if (peopleKeys.size === 0) writer.folder(folder.people);
      const pair = ed25519();
      writer.file(join(folder.people, `${name}.key`), pair.privatePem);
      writer.file(join(folder.people, `${name}.pub`), pair.publicPem);
      peopleKeys.set(name, pair.publicPem);
    }
    const content = bundleContent({
      peopleKeys,
      site: layout.models === undefined ? copy.site : { ...copy.site, modelRoot: resolve(layout.models) },
      model: copy.model,
      siteFile: text.value,
      keys: new Map(entries.map((entry) => [entry.id, entry.key])),
      signingKey: siteKey.publicPem,
      recoveryKey: recoveryKey.publicPem,
      parent: undefined,
    });
    if (!content.ok) {
      writer.undo();
      return fail(content.error);
    }
    writer.file(folder.bundle, Buffer.from(signBundle(content.value, siteKey.privatePem)).toString('utf8'));

    writer.folder(dirname(folder.brokerUsers));
    const listen = parseHostPort(layout.coordinator?.broker ?? `127.0.0.1:${defaultPorts.broker}`);
    if (!listen.ok) {
      writer.undo();
      return fail(listen.error);
    }
    writer.file(folder.brokerUsers, `${JSON.stringify({ users }, null, 2)}\n`);
    writer.file(folder.mosquittoPasswords, `${passwords.join('\n')}\n`);
    writer.file(folder.mosquittoAcl, mosquittoAcl(site));
    writer.file(
      folder.mosquittoConf,
      mosquittoConf({
        ...listen.value,
        passwordFile: folder.mosquittoPasswords,
        aclFile: folder.mosquittoAcl,
      }),
    );

    writer.folder(folder.coordinator);
    writer.file(join(folder.coordinator, 'broker.password'), `${password}\n`);
    writer.file(join(folder.coordinator, 'api.token'), `${token()}\n`);
    writer.file(folder.coordinatorFile, coordinatorYaml(site, layout, listen.value));
    return ok({ folder, agents, files: writer.files });
  } catch (error) {
    writer.undo();
    return fail(`could not write below ${folder.out}: ${(error as Error).message}`);
  }
}

/**
 * A site file to try things with: agents box-1 … box-N in one cell, the first three of them voters, nothing to watch
 * yet. `agents` from 1 to 5000.
 */
export function trialSite(agents: number, pace = 'lan'): string {
  const boxes = Array.from({ length: agents }, (_, i) => `box-${i + 1}`);
  return [
    'millwright: 1',
    'site: trial',
    'cells:',
    `  cell: { pace: ${pace}, voters: [${boxes.slice(0, agents < 3 ? 1 : 3).join(', ')}] }`,
    'agents:',
    ...boxes.map((box) => `  ${box}: {}`),
    '',
  ].join('\n');
}

export interface EnrolOptions {
  /** The folder that `initSite` made, with `site.key` in it. */
  readonly out: string;
  /** Must stand in `out/site.yaml` by now. */
  readonly name: string;
  readonly layout?: SiteLayout;
}

/**
 * Adds one agent to a site that runs: key, credentials and configuration of its own, one more line on the signed list
 * (its version rises by one) and in the broker's files. The other agents need the new roster.json, the brokers a
 * reload; nobody needs a new key.
 */
export function enrolAgent(options: EnrolOptions): Result<InitReport, InitError> {
  const folder = siteFolder(options.out);
  const checked = checkSite(folder.siteFile);
  if (checked.model === undefined || checked.site === undefined) {
    return fail(`${folder.siteFile} has mistakes`, checked.problems);
  }
  const things = checked.model.things.filter((thing) => thing.kind === 'agent');
  const thing = things.find((one) => one.name === options.name);
  if (thing === undefined) {
    return fail(`${folder.siteFile} has no agent "${options.name}": add it below \`agents\` first`);
  }
  const writer = new Writer();
  try {
    const roster = verifyRoster(readFileSync(folder.roster, 'utf8'), readFileSync(folder.sitePub, 'utf8'));
    if (!roster.ok) return fail(`${folder.roster}: ${roster.error.text}`);
    if (roster.value.agents.some((entry) => entry.id === options.name)) {
      return fail(`${options.name} is on the list already`);
    }
    const known = brokerUsersSchema.safeParse(JSON.parse(readFileSync(folder.brokerUsers, 'utf8')));
    if (!known.success) return fail(`${folder.brokerUsers} is damaged: ${z.prettifyError(known.error)}`);
    const made = makeAgent(writer, folder, thing, things, options.layout ?? {});
    if (!made.ok) {
      writer.undo();
      return fail(made.error);
    }
    const { entry, user, mosquitto, keyMadeHere } = made.value;
    const signed = signRoster(
      { ...roster.value, version: roster.value.version + 1, agents: [...roster.value.agents, entry] },
      readFileSync(folder.siteKey, 'utf8'),
    );
    writer.replace(folder.brokerUsers, `${JSON.stringify({ users: [...known.data.users, user] }, null, 2)}\n`);
    writer.replace(
      folder.mosquittoPasswords,
      `${readFileSync(folder.mosquittoPasswords, 'utf8').trimEnd()}\n${mosquitto}\n`,
    );
    writer.replace(folder.roster, signed);
    if (existsSync(folder.bundle)) {
      const bundle = signSite({
        site: folder.siteFile,
        key: folder.siteKey,
        parent: folder.bundle,
        out: folder.bundle,
        keys: join(folder.out, 'agents'),
        ...(options.layout?.models === undefined ? {} : { models: options.layout.models }),
      });
      if (!bundle.ok) {
        writer.undo();
        return fail(`no new bundle: ${bundle.error.message}`, bundle.error.problems);
      }
    }
    return ok({
      folder,
      agents: [{ name: thing.name, file: join(folder.agent(thing.name), 'agent.yaml'), keyMadeHere }],
      files: writer.files,
    });
  } catch (error) {
    writer.undo();
    return fail(`could not enrol ${options.name}: ${(error as Error).message}`);
  }
}

interface MadeAgent {
  readonly entry: RosterEntry;
  readonly user: BrokerUser;
  readonly mosquitto: string;
  readonly keyMadeHere: boolean;
}

function makeAgent(
  writer: Writer,
  folder: SiteFolder,
  thing: ThingModel,
  all: readonly ThingModel[],
  layout: SiteLayout,
): Result<MadeAgent, string> {
  const own = folder.agent(thing.name);
  const where = layout.agents?.[thing.name] ?? {};
  writer.folder(own);
  let key: string;
  if (thing.key === undefined) {
    const pair = ed25519();
    writer.file(join(own, 'agent.key'), pair.privatePem);
    writer.file(join(own, 'agent.pub'), pair.publicPem);
    key = pair.publicPem;
  } else {
    const given = publicKeyFrom(thing.key);
    if (given === undefined) return err(`the key of ${thing.name} in the site file is no Ed25519 public key`);
    key = given;
  }
  const password = token();
  writer.file(join(own, 'broker.password'), `${password}\n`);
  writer.file(join(own, 'api.token'), `${token()}\n`);

  const reach = (name: string): string => {
    const one = layout.agents?.[name];
    return one?.address ?? one?.listen?.[0] ?? `${name}:${defaultPorts.mesh}`;
  };
  const config = {
    name: thing.name,
    bundle: '../../site.bundle',
    data: where.data ?? 'data',
    ...(layout.models === undefined ? {} : { models: resolve(layout.models) }),
    listen: where.listen ?? [`0.0.0.0:${defaultPorts.mesh}`],
    peers: where.peers ?? all.filter((one) => one !== thing).map((one) => reach(one.name)),
    key: 'agent.key',
    mesh: {
      key: '../../mesh.psk',
      'site-key': '../../site.pub',
      mdns: layout.mdns ?? false,
    },
    broker: {
      url: where.broker ?? layout.broker ?? `mqtt://127.0.0.1:${defaultPorts.broker}`,
      username: thing.name,
      password: { file: 'broker.password' },
      ...(layout.ca === undefined ? {} : { ca: resolve(layout.ca) }),
    },
    api: { listen: where.api ?? `127.0.0.1:${defaultPorts.agentApi}`, token: { file: 'api.token' } },
  };
  writer.file(
    join(own, 'agent.yaml'),
    `# What this box says of itself; all else stands in the site file.\n${stringify(config)}`,
  );
  return ok({
    entry: { id: agentId(thing.name), key },
    user: { name: thing.name, hash: hashBrokerPassword(password), role: 'agent' },
    mosquitto: mosquittoPassword(thing.name, password),
    keyMadeHere: thing.key === undefined,
  });
}

function coordinatorYaml(site: string, layout: SiteLayout, broker: { host: string; port: number }): string {
  const external = layout.coordinator?.external;
  const account = { username: 'coordinator', password: { file: 'broker.password' } };
  const config = {
    site,
    data: 'data',
    broker:
      external === undefined
        ? { listen: `${broker.host}:${broker.port}`, users: '../broker/broker-users.json', ...account }
        : { url: external, ...account, ...(layout.ca === undefined ? {} : { ca: resolve(layout.ca) }) },
    api: {
      listen: layout.coordinator?.api ?? `127.0.0.1:${defaultPorts.coordinatorApi}`,
      token: { file: 'api.token' },
    },
  };
  return `# The coordinator listens and shows; nothing stops without it.\n${stringify(config)}`;
}

function ed25519(): { privatePem: string; publicPem: string } {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  return {
    privatePem: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string,
    publicPem: publicKey.export({ type: 'spki', format: 'pem' }) as string,
  };
}

/** 256 random bits as text that fits URLs, files and YAML without quotes. */
const token = (): string => randomBytes(32).toString('base64url');

const fail = (message: string, problems: readonly Problem[] = []): Result<never, InitError> =>
  err({ message, problems });

/** The error in words, with the mistakes of the file below. */
export const formatInitError = (error: InitError): string =>
  error.problems.length === 0 ? error.message : `${formatProblems(error.problems)}\n${error.message}`;

/** Writes 0600 into 0700, and takes back what is new when the whole fails half-way. */
class Writer {
  readonly files: string[] = [];
  readonly #before = new Map<string, Buffer | undefined>();
  readonly #folders: string[] = [];

  folder(path: string): void {
    if (!existsSync(path)) {
      const first = mkdirSync(path, { recursive: true, mode: 0o700 });
      if (first !== undefined) this.#folders.push(first, path);
    }
    chmodSync(path, 0o700);
    if (dirname(path).endsWith('/agents')) chmodSync(dirname(path), 0o700);
  }

  file(path: string, content: string): void {
    this.replace(path, content);
  }

  replace(path: string, content: string): void {
    if (!this.#before.has(path)) this.#before.set(path, existsSync(path) ? readFileSync(path) : undefined);
    // The mode counts only for a new file, so an old one is taken away first: it may be open to all.
    rmSync(path, { force: true });
    writeFileSync(path, content, { mode: 0o600, flag: 'wx' });
    if (!this.files.includes(path)) this.files.push(path);
  }

  undo(): void {
    for (const [path, content] of this.#before) {
      rmSync(path, { force: true });
      if (content !== undefined) writeFileSync(path, content, { mode: 0o600 });
    }
    for (const path of this.#folders.reverse()) {
      if (existsSync(path) && readdirSync(path).length === 0) rmSync(path, { recursive: true });
    }
  }
}
