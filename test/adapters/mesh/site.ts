import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { type Mesh, type MeshOptions, startMesh } from '../../../agent/adapters/mesh/mesh.ts';
import { type AgentId, agentId } from '../../../agent/base/ids.ts';
import type { HealthDigest } from '../../../agent/core/health/digest.ts';
import type { Input } from '../../../agent/core/input.ts';
import { type Roster, signRoster, verifyRoster } from '../../../agent/wire/roster.ts';

/** Keys, a mesh key and a signed roster for a small site, made as `site init` makes them. */
export interface TestSite {
  readonly name: string;
  readonly agentIds: readonly AgentId[];
  readonly privateKeys: readonly string[];
  readonly roster: Roster;
  readonly psk: string;
  readonly siteKeyPem: string;
  readonly sitePublicPem: string;
}

export function makeKey(): { secret: string; open: string } {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  return {
    secret: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string,
    open: publicKey.export({ type: 'spki', format: 'pem' }) as string,
  };
}

export const makePsk = (): string => `/key/swarm/psk/1.0.0/\n/base16/\n${randomBytes(32).toString('hex')}\n`;

export function makeSite(count: number): TestSite {
  const site = makeKey();
  const keys = Array.from({ length: count }, makeKey);
  const agentIds = keys.map((_, i) => agentId(`edge-${i + 1}`));
  const agents = keys.map((key, i) => ({ id: agentIds[i]!, key: key.open }));
  const roster = verifyRoster(signRoster({ site: 'plant-9', version: 1, agents }, site.secret), site.open);
  if (!roster.ok) throw new Error(roster.error.text);
  return {
    name: 'plant-9',
    agentIds,
    privateKeys: keys.map((key) => key.secret),
    roster: roster.value,
    psk: makePsk(),
    siteKeyPem: site.secret,
    sitePublicPem: site.open,
  };
}

export interface TestAgent {
  readonly mesh: Mesh;
  readonly received: Input[];
  readonly said: string[];
}

/** Starts one real agent's mesh on a free loopback port. */
export async function startAgent(
  site: TestSite,
  self: number,
  peers: readonly string[],
  change: Partial<MeshOptions> = {},
): Promise<TestAgent> {
  const received: Input[] = [];
  const said: string[] = [];
  const say = (_fields: object, text: string): void => void said.push(text);
  const mesh = await startMesh({
    self,
    site: site.name,
    cell: 'line-3',
    planHash: 'plan A',
    privateKeyPem: site.privateKeys[self]!,
    psk: site.psk,
    roster: site.roster,
    agentIds: site.agentIds,
    bounds: { duties: 8, checks: 8, models: 8 },
    listen: ['127.0.0.1:0'],
    peers,
    mdns: false,
    deliver: (input) => void received.push(input),
    log: { debug: say, info: say, warn: say },
    ...change,
  });
  return { mesh, received, said };
}

/** `host:port` of a running mesh. */
export function addressOf(mesh: Mesh): string {
  const match = /\/ip4\/([^/]+)\/tcp\/(\d+)/.exec(mesh.addresses()[0] ?? '');
  if (match === null) throw new Error(`no address in ${mesh.addresses().join(' ')}`);
  return `${match[1]}:${match[2]}`;
}

export const digest = (agent: number, sequence: number, bootCounter = 1): HealthDigest => ({
  agent,
  bootCounter,
  sequence,
  checks: [{ check: 3, status: 'crit' }],
  judges: [1, 3],
  anomalous: [2],
  duties: [{ duty: 0, term: 9 }],
  localHealth: 1,
  coordinator: 'lost',
});
