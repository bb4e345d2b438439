import { createPrivateKey, createPublicKey } from 'node:crypto';
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { loadAgent, readSecret } from '../../agent/config/agent-file.ts';
import { loadSite } from '../../agent/config/site-file.ts';
import { enrolAgent, initSite, type SiteFolder, siteFolder } from '../../agent/config/site-init.ts';
import { brokerUsersSchema } from '../../agent/wire/broker-users.ts';
import { oneLineKey, verifyRoster } from '../../agent/wire/roster.ts';
import { readBundle } from '../../agent/wire/site-bundle.ts';
import { Credentials } from '../../coordinator/broker/credentials.ts';
import { loadCoordinatorConfig } from '../../coordinator/config.ts';

const demo = join(dirname(fileURLToPath(import.meta.url)), '..', '..', 'simulations', 'demo', 'site.yaml');
const base = mkdtempSync(join(tmpdir(), 'millwright-init-'));
afterAll(() => rmSync(base, { recursive: true }));

const small = `millwright: 1
site: plant
params: { plc: "opc.tcp://10.0.0.5:4840" }
agents:
  box-1: {}
  box-2: {}
assets:
  plc: { connect: { opcua: { endpoint: $plc } } }
`;
const siteFile = (name: string, text: string): string => {
  const path = join(base, `${name}.yaml`);
  writeFileSync(path, text);
  return path;
};
const files = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, withFileTypes: true }).map((entry) => join(entry.parentPath, entry.name));
const read = (path: string): string => readFileSync(path, 'utf8');
const roster = (folder: SiteFolder) => {
  const verified = verifyRoster(read(folder.roster), read(folder.sitePub));
  if (!verified.ok) throw new Error(verified.error.text);
  return verified.value;
};

describe('site init', () => {
  it('demo site → keys and files that every reader of them accepts, 0600 in 0700', async () => {
    const out = join(base, 'demo');
    const made = initSite({
      site: demo,
      out,
      layout: {
        params: { opcua: 'opc.tcp://127.0.0.1:51000', 'modbus-port': 51001 },
        broker: 'mqtt://127.0.0.1:51002',
        agents: { 'edge-1': { listen: ['127.0.0.1:51003'], broker: 'mqtt://127.0.0.1:51004' } },
        coordinator: { broker: '127.0.0.1:51002', api: '127.0.0.1:0' },
      },
    });
    expect(made.ok).toBe(true);
    const folder = siteFolder(out);
    for (const path of [out, ...files(out)]) {
      const stat = statSync(path);
      expect((stat.mode & 0o777).toString(8), path).toBe(stat.isDirectory() ? '700' : '600');
    }

    const site = loadSite(folder.siteFile);
    expect(site.ok && [...site.value.connections.values()]).toContainEqual(
      expect.objectContaining({ kind: 'modbus', port: 51_001 }),
    );
    expect(read(folder.siteFile)).toContain('# required: exit codes prove nothing');

    const list = roster(folder);
    expect(list).toMatchObject({ site: 'demo', version: 1 });
    expect(list.agents.map((entry) => entry.id)).toEqual(site.ok && site.value.plan.agents.map((agent) => agent.id));
    expect(list.agents.length).toBeGreaterThanOrEqual(5);
    expect(read(folder.psk)).toMatch(/^\/key\/swarm\/psk\/1\.0\.0\/\n\/base16\/\n[0-9a-f]{64}\n$/);

    const credentials = new Credentials(brokerUsersSchema.parse(JSON.parse(read(folder.brokerUsers))));
    for (const entry of list.agents) {
      const config = loadAgent(join(folder.agent(entry.id), 'agent.yaml'));
      if (!config.ok) throw new Error(JSON.stringify(config.error));
      const mine = createPublicKey(createPrivateKey(read(config.value.keyPath))).export({
        type: 'spki',
        format: 'der',
      });
      expect(mine.toString('base64')).toBe(entry.key);
      const password = readSecret(config.value.broker!.password);
      expect(password.ok && (await credentials.verify(entry.id, Buffer.from(password.value)))?.role).toBe('agent');
      expect(config.value.api && readSecret(config.value.api.token).ok).toBe(true);
    }
    const first = loadAgent(join(folder.agent('edge-1'), 'agent.yaml'));
    const second = loadAgent(join(folder.agent('edge-2'), 'agent.yaml'));
    expect(first.ok && first.value.broker?.url).toBe('mqtt://127.0.0.1:51004');
    expect(second.ok && second.value.peers).toContain('127.0.0.1:51003');

    // A key for each who gives orders, and none for who does not: anna may order, ben may only acknowledge.
    expect(readdirSync(folder.people).sort()).toEqual(['anna.key', 'anna.pub']);
    const bundle = readBundle(readFileSync(folder.bundle));
    expect(bundle.ok && bundle.value.operators).toMatchObject([
      { name: 'anna', key: oneLineKey(read(join(folder.people, 'anna.pub'))), may: expect.arrayContaining(['order']) },
    ]);

    const coordinator = await loadCoordinatorConfig(folder.coordinatorFile, {});
    expect(coordinator).toMatchObject({
      ok: true,
      value: {
        site: 'demo',
        broker: { mode: 'embedded', port: 51_002, users: folder.brokerUsers, username: 'coordinator' },
      },
    });
  });

  it('a second time → refused, nothing touched; with force → all keys anew', () => {
    const out = join(base, 'twice');
    const site = siteFile('twice', small);
    expect(initSite({ site, out }).ok).toBe(true);
    const before = new Map(
      files(out)
        .filter((path) => statSync(path).isFile())
        .map((path) => [path, read(path)]),
    );
    const again = initSite({ site, out });
    expect(again).toMatchObject({
      ok: false,
      error: { message: expect.stringContaining('not replaced without --force') },
    });
    for (const [path, text] of before) expect(read(path), path).toBe(text);

    chmodSync(siteFolder(out).psk, 0o644);
    expect(initSite({ site, out, force: true }).ok).toBe(true);
    const folder = siteFolder(out);
    for (const path of [folder.siteKey, folder.psk, folder.roster, join(folder.agent('box-1'), 'agent.key')]) {
      expect(read(path), path).not.toBe(before.get(path));
    }
    expect(statSync(folder.psk).mode & 0o777).toBe(0o600);
  });

  it('a site file with mistakes, unknown params or unknown agents → told, and no file is left', () => {
    const out = join(base, 'none');
    const refused = (text: string, layout = {}) => initSite({ site: siteFile('bad', text), out, layout });
    expect(refused(small.replace('agents', 'agnets'))).toMatchObject({
      ok: false,
      error: { problems: [{ code: 'unknown-key' }] },
    });
    expect(refused(small, { params: { plcc: 'x' } })).toMatchObject({
      ok: false,
      error: { message: expect.stringContaining('plcc') },
    });
    expect(refused(small, { params: { plc: 'http://x' } })).toMatchObject({
      ok: false,
      error: { problems: [{ code: 'value' }] },
    });
    expect(refused(small, { agents: { 'box-9': {} } })).toMatchObject({ ok: false });
    expect(() => statSync(out)).toThrow();
  });

  it('a key that was made on the box → goes on the list, and no private key is made here', () => {
    const out = join(base, 'own-key');
    const key = 'ed25519:11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo='; // RFC 8032, test 1
    expect(initSite({ site: siteFile('own', small.replace('box-2: {}', `box-2: { key: "${key}" }`)), out }).ok).toBe(
      true,
    );
    const folder = siteFolder(out);
    const listed = roster(folder).agents.find((entry) => entry.id === 'box-2');
    expect(
      Buffer.from(listed?.key ?? '', 'base64')
        .subarray(12)
        .toString('base64'),
    ).toBe(key.slice(8));
    expect(readdirSync(folder.agent('box-2')).sort()).toEqual(['agent.yaml', 'api.token', 'broker.password']);
  });

  it('one more agent later → enrolled with one more line each, the others keep theirs', () => {
    const out = join(base, 'enrol');
    expect(initSite({ site: siteFile('enrol', small), out }).ok).toBe(true);
    const folder = siteFolder(out);
    const before = roster(folder);
    expect(enrolAgent({ out, name: 'box-3' })).toMatchObject({
      ok: false,
      error: { message: expect.stringContaining('add it below') },
    });
    writeFileSync(folder.siteFile, read(folder.siteFile).replace('  box-2: {}', '  box-2: {}\n  box-3: {}'));
    expect(enrolAgent({ out, name: 'box-3' }).ok).toBe(true);
    const after = roster(folder);
    expect(after.version).toBe(2);
    expect(after.agents.slice(0, 2)).toEqual(before.agents);
    expect(after.agents[2]?.id).toBe('box-3');
    expect(
      read(folder.mosquittoPasswords)
        .trim()
        .split('\n')
        .map((line) => line.split(':')[0]),
    ).toEqual(['box-1', 'box-2', 'coordinator', 'box-3']);
    expect(JSON.parse(read(folder.brokerUsers)).users).toHaveLength(4);
    expect(loadAgent(join(folder.agent('box-3'), 'agent.yaml')).ok).toBe(true);
    expect(enrolAgent({ out, name: 'box-3' })).toMatchObject({
      ok: false,
      error: { message: expect.stringContaining('already') },
    });
  });
});
