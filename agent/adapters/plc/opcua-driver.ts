import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { setImmediate as turn } from 'node:timers/promises';
import type { OPCUACertificateManager } from 'node-opcua-certificate-manager';
import type * as UA from 'node-opcua-client';
import { importStepwise } from './stepwise-import.ts';

/** All that this agent uses of the client. What is not named here is not packed, nor is what only serves it. */
export const driverNames = [
  'AttributeIds',
  'BrowseDirection',
  'DataChangeFilter',
  'DataChangeTrigger',
  'DataType',
  'DeadbandType',
  'MessageSecurityMode',
  'NodeClass',
  'OPCUAClient',
  'SecurityPolicy',
  'StatusCodes',
  'TimestampsToReturn',
  'UserTokenType',
  'VariantArrayType',
  'setDebugLogger',
  'setErrorLogger',
  'setWarningLogger',
] as const satisfies readonly (keyof typeof UA)[];

export type OpcUaDriver = Pick<typeof UA, (typeof driverNames)[number]> & {
  readonly OPCUACertificateManager: typeof OPCUACertificateManager;
};

/** Beside this file, in a checkout and in the built package alike; made by scripts/pack-opcua.mjs. */
export const packedFolder = new URL('./dist/opcua/', import.meta.url);

/** What is written beside a packed driver. */
export interface PackedManifest {
  /** The release of `node-opcua-client` that it was made from. */
  readonly version: string;
  /** Its files, innermost first. */
  readonly steps: readonly string[];
}

/** What the client consists of when it is not packed, innermost first, in pieces of a tenth of a second or less. */
export const driverSteps = [
  // First of all: what follows in the crypto package refuses to load without it.
  'node-opcua-crypto > reflect-metadata',
  'node-opcua-crypto > @peculiar/asn1-schema',
  'node-opcua-crypto > @peculiar/asn1-x509',
  'node-opcua-crypto > @peculiar/asn1-pfx',
  'node-opcua-crypto > @peculiar/x509',
  'node-opcua-crypto > @peculiar/webcrypto',
  'node-opcua-crypto > sshpk',
  'node-opcua-crypto',
  'node-opcua-constants',
  'node-opcua-status-code',
  'node-opcua-basic-types',
  'node-opcua-factory',
  'node-opcua-data-model',
  'node-opcua-types',
  'node-opcua-pki > yauzl',
  'node-opcua-pki > chokidar',
  'node-opcua-pki',
  'node-opcua-transport',
  'node-opcua-secure-channel',
  'node-opcua-certificate-manager',
  'node-opcua-client-dynamic-extension-object',
  'node-opcua-alarm-condition',
];

let loading: Promise<OpcUaDriver> | undefined;

/**
 * Loads the driver once, on the first connection, and takes its loggers off standard output.
 *
 * The packed one has half the weight: the whole client is some 650 modules, of which an agent that reads and now and then
 * writes needs a part, and V8 keeps the text of every one of them, comments and all. Where it is missing, or was made from
 * another release than the one that is installed, the package itself is loaded.
 */
export const loadDriver = (): Promise<OpcUaDriver> =>
  (loading ??= (async () => {
    const ua = (await loadPacked(packedFolder)) ?? (await loadPackage());
    for (const set of [ua.setDebugLogger, ua.setWarningLogger, ua.setErrorLogger]) set(() => {});
    return ua;
  })());

/** The packed driver in a folder; undefined when there is none, or none of the installed release. */
export async function loadPacked(folder: URL): Promise<OpcUaDriver | undefined> {
  let manifest: PackedManifest;
  try {
    manifest = JSON.parse(await readFile(new URL('packed.json', folder), 'utf8')) as PackedManifest;
    const client = createRequire(import.meta.url).resolve('node-opcua-client/package.json');
    const { version } = JSON.parse(await readFile(client, 'utf8')) as { version?: unknown };
    if (manifest.version !== version) return undefined;
  } catch {
    return undefined;
  }
  let last: unknown;
  for (const step of manifest.steps) {
    last = await import(new URL(step, folder).href);
    // The agent answers its peers' probes between two pieces.
    await turn();
  }
  return last as OpcUaDriver;
}

async function loadPackage(): Promise<OpcUaDriver> {
  const { loaded } = await importStepwise<typeof UA>('node-opcua-client', driverSteps);
  const { OPCUACertificateManager } = await import('node-opcua-certificate-manager');
  return { ...loaded, OPCUACertificateManager };
}
