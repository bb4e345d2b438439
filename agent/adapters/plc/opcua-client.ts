import { mkdir, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type * as UA from 'node-opcua-client';
import type { Connection } from '../../driver/bindings.ts';
import { dial } from './dial.ts';
import { reasonOf, within } from './keep-connected.ts';
import type { OpcUaDriver } from './opcua-driver.ts';
import { readSecret } from './secret.ts';
import type { SourceTiming } from './source.ts';

export type OpcUaConnection = Extract<Connection, { kind: 'opcua' }>;

/**
 * Knocks before the driver is loaded: a controller that is off costs no memory here, and the reason is the system's
 * own word (ECONNREFUSED, EHOSTUNREACH), where the driver says only that it did not work.
 */
export async function reach(endpoint: string, ms: number, signal: AbortSignal): Promise<void> {
  const url = URL.parse(endpoint);
  if (url === null || url.hostname === '') throw new Error(`${endpoint} is no endpoint: expected opc.tcp://host:port`);
  const host = url.hostname.replace(/^\[|\]$/g, '');
  (await dial(host, url.port === '' ? 4840 : Number(url.port), ms, signal)).destroy();
}

/** What is left of the policies that the OPC Foundation has not withdrawn (Part 7, 2024). */
const policies = {
  basic256sha256: 'Basic256Sha256',
  'aes128-sha256-rsaoaep': 'Aes128_Sha256_RsaOaep',
  'aes256-sha256-rsapss': 'Aes256_Sha256_RsaPss',
} as const;

/**
 * What most stacks use. The client would ask for ten times as much, and then takes a block of that size for every message it
 * sends, however short. Longer messages go in several chunks (Part 6, 6.7.2).
 */
const transportSettings = { sendBufferSize: 65_536, receiveBufferSize: 65_536 };

/** Making the key pair of a folder must not happen twice at once, so clients of a folder begin one after another. */
const stores = new Map<string, Promise<unknown>>();

export async function createClient(
  ua: OpcUaDriver,
  connection: OpcUaConnection,
  pki: string,
  timing: SourceTiming,
): Promise<UA.OPCUAClient> {
  const manager = new ua.OPCUACertificateManager({
    rootFolder: pki,
    automaticallyAcceptUnknownCertificate: false,
    disableFileWatchers: true,
  });
  const mode = { none: 'None', sign: 'Sign', 'sign-and-encrypt': 'SignAndEncrypt' } as const;
  const client = ua.OPCUAClient.create({
    applicationName: 'Millwright',
    clientName: 'millwright',
    securityMode: ua.MessageSecurityMode[mode[connection.security]],
    securityPolicy:
      connection.security === 'none'
        ? ua.SecurityPolicy.None
        : ua.SecurityPolicy[policies[connection.policy ?? 'basic256sha256']],
    clientCertificateManager: manager,
    // The certificate of a controller behind another name or address is still the one that was trusted.
    endpointMustExist: false,
    connectionStrategy: { maxRetry: 0, initialDelay: 100, maxDelay: 1_000 },
    keepSessionAlive: true,
    transportSettings,
    requestedSessionTimeout: 20_000,
    transportTimeout: timing.connectMs,
    defaultTransactionTimeout: timing.connectMs,
  });
  const before = stores.get(pki);
  const ready = (before ?? Promise.resolve())
    .catch(() => {})
    .then(async () => {
      await mkdir(join(pki, 'own'), { recursive: true, mode: 0o700 });
      await manager.initialize();
      await client.createDefaultCertificate();
    });
  stores.set(pki, ready);
  await ready;
  return client;
}

/** Connects; when a certificate stands in the way, the reason says which one and what a person does about it. */
export async function openClient(
  client: UA.OPCUAClient,
  { endpoint, security, policy }: OpcUaConnection,
  pki: string,
  timing: SourceTiming,
): Promise<void> {
  const before = await filesOf(join(pki, 'rejected'));
  try {
    await within(client.connect(endpoint), timing.connectMs, endpoint);
  } catch (error) {
    const reason = reasonOf(error);
    if (/cannot find an endpoint/i.test(reason)) {
      const wish = security === 'none' ? 'without security' : `with ${security} and ${policy ?? 'basic256sha256'}`;
      throw new Error(`the server offers no endpoint ${wish}: choose another \`security\` or \`policy\``, {
        cause: error,
      });
    }
    if (security === 'none' || !/certificate|BadSecurityChecksFailed|secure channel/i.test(reason)) throw error;
    const trusted = await filesOf(join(pki, 'trusted', 'certs'));
    const waiting = (await filesOf(join(pki, 'rejected'))).filter((name) => !trusted.includes(name));
    const unknown = waiting.find((name) => !before.includes(name)) ?? waiting[0];
    throw new Error(
      unknown !== undefined && !/BadSecurityChecksFailed/i.test(reason)
        ? `the server's certificate is not trusted: compare it with the one on the server, then: mv "${join(pki, 'rejected', unknown)}" "${join(pki, 'trusted', 'certs')}/"`
        : `the server refuses this box's certificate: trust ${join(pki, 'own', 'certs')} there (${reason})`,
      { cause: error },
    );
  }
}

/** Names of the files, latest first; none when there is no such folder. */
async function filesOf(folder: string): Promise<readonly string[]> {
  try {
    const names = await readdir(folder);
    const times = await Promise.all(names.map(async (name) => (await stat(join(folder, name))).mtimeMs));
    return names
      .map((name, i) => ({ name, at: times[i]! }))
      .sort((a, b) => b.at - a.at)
      .map(({ name }) => name);
  } catch {
    return [];
  }
}

export async function identify(ua: OpcUaDriver, connection: OpcUaConnection): Promise<UA.UserIdentityInfo> {
  if (connection.user === undefined) return { type: ua.UserTokenType.Anonymous };
  const password = connection.secret === undefined ? '' : await readSecret(connection.secret);
  return { type: ua.UserTokenType.UserName, userName: connection.user, password };
}
