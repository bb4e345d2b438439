import { type ChildProcess, spawn } from 'node:child_process';
import { copyFileSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { signSite } from '../../agent/config/site-sign.ts';
import { signBundle, verifyBundle } from '../../agent/wire/site-bundle.ts';
import type { AgentStatus } from '../../agent/wire/status.ts';
import { eventually } from '../support/eventually.ts';
import { freePorts } from '../support/free-ports.ts';
import { millwright, run } from './small-site.ts';

const folder = mkdtempSync(join(tmpdir(), 'millwright-bundle-'));
const keys = join(folder, 'keys');
const file = join(folder, 'site.yaml');
const names = ['box-1', 'box-2', 'box-3'] as const;
type Name = (typeof names)[number];
const children = new Map<Name, ChildProcess>();
let ports: readonly number[] = [];
/** What tells this test's programs from all others on the machine. */
const mark = (n: number): string => `8${process.pid}${n}`;

const siteText = (programs: number): string =>
  [
    'millwright: 1',
    'site: rolled',
    ...['agents:', ...names.map((name) => `  ${name}: {}`)],
    'duties:',
    ...Array.from({ length: programs }, (_, n) => `  p${n}: { process: [sleep, "${mark(n)}"], exclusive: false }`),
  ].join('\n');

const bundle = (version: number): string =>
  version === 1 ? join(keys, 'site.bundle') : join(folder, `v${version}.bundle`);

function sign(version: number, revoke: readonly string[] = []): void {
  const parts = { site: file, key: join(keys, 'site.key'), parent: bundle(version - 1), out: bundle(version), revoke };
  const signed = signSite(parts);
  if (!signed.ok) throw new Error(signed.error.message);
}

async function start(name: Name): Promise<void> {
  const peers = names.flatMap((other, i) => (other === name ? [] : [`127.0.0.1:${ports[i]}`])).join(',');
  const flags = ['--site', bundle(1), '--key', join(keys, 'agents', name, 'agent.key'), '--name', name];
  const places = [
    '--listen',
    `127.0.0.1:${ports[names.indexOf(name)]}`,
    '--peers',
    peers,
    '--data',
    join(folder, name),
  ];
  const log = openSync(join(folder, `${name}.log`), 'a');
  const args = ['agent', ...flags, ...places, '--api', '127.0.0.1:0'];
  const child = spawn(process.execPath, [millwright, ...args], { stdio: ['ignore', 'pipe', log] });
  children.set(name, child);
  await new Promise((resolve) => child.stdout?.once('data', resolve));
  child.stdout?.resume();
}

function door(name: Name): { readonly url: string; readonly token: string } {
  const read = (what: string): string => readFileSync(join(folder, name, what), 'utf8').trim();
  return { url: read('api.address'), token: read('api.token') };
}

async function status(name: Name): Promise<AgentStatus> {
  const { url, token } = door(name);
  const response = await fetch(new URL('/v1/status', url), { headers: { authorization: `Bearer ${token}` } });
  return (await response.json()) as AgentStatus;
}

async function post(name: Name, bytes: Uint8Array): Promise<{ readonly code: number; readonly body: unknown }> {
  const { url, token } = door(name);
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/octet-stream' };
  const response = await fetch(new URL('/v1/bundle', url), { method: 'POST', headers, body: Uint8Array.from(bytes) });
  return { code: response.status, body: await response.json() };
}

const runs = (name: Name, version: number): Promise<AgentStatus> =>
  eventually(
    async () => {
      const said = await status(name);
      return said.bundle?.running.version === version && said.bundle.version === version && said;
    },
    { deadlineMs: 90_000, everyMs: 100, what: `${name} runs version ${version}` },
  );

beforeAll(async () => {
  writeFileSync(file, siteText(1));
  expect(await run(['site', 'init', file, '--out', keys])).toMatchObject({ code: 0 });
  ports = await freePorts(3);
  await Promise.all([start('box-1'), start('box-2')]);
}, 60_000);

afterAll(async () => {
  const left = [...children.values()].filter(({ exitCode, signalCode }) => exitCode === null && signalCode === null);
  const ends = left.map((child) => new Promise((resolve) => child.once('exit', resolve)));
  for (const child of left) child.kill('SIGTERM');
  await Promise.all(ends);
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
}, 30_000);

it('a bundle changed after signing, and one with another parent → refused with the reason, shown, the old one stays', async () => {
  const envelope = JSON.parse(readFileSync(bundle(1), 'utf8')) as { payload: string };
  const payload = Buffer.from(envelope.payload, 'base64url').toString().replace('rolled', 'rolles');
  const forged = { ...envelope, payload: Buffer.from(payload).toString('base64url') };
  const path = join(folder, 'forged.bundle');
  writeFileSync(path, JSON.stringify(forged));
  const { url } = door('box-1');
  const at = ['--agent', new URL(url).host, '--token', join(folder, 'box-1', 'api.token')];
  const pushed = await run(['site', 'push', path, ...at]);
  expect(pushed).toMatchObject({ code: 1, stdout: '' });
  expect(pushed.stderr).toContain('it was changed after signing');

  const siteKey = readFileSync(join(keys, 'site.key'), 'utf8');
  const founding = verifyBundle(readFileSync(bundle(1)), { keys: [readFileSync(join(keys, 'site.pub'), 'utf8')] });
  if (!founding.ok) throw new Error(founding.error.text);
  const { hash: _, signedBy: __, ...content } = founding.value;
  const stray = signBundle({ ...content, version: 2, parent: 'ab'.repeat(32) }, siteKey);
  expect(await post('box-1', stray)).toMatchObject({
    code: 409,
    body: { code: 'bundle-refused', reason: 'wrong-parent' },
  });
  // A site file that this release cannot carry out is no better than a bad signature.
  const broken = signBundle(
    { ...content, version: 2, parent: founding.value.hash, siteFile: 'millwright: 1\nduties: 7\n' },
    siteKey,
  );
  expect(await post('box-1', broken)).toMatchObject({ code: 409, body: { reason: 'not-usable' } });

  const said = await status('box-1');
  expect(said.bundle).toMatchObject({ version: 1, running: { version: 1 }, startsAnew: false });
  expect(said.bundle?.refused.map(({ reason }) => reason)).toEqual(['wrong-signature', 'wrong-parent', 'not-usable']);
  // Said upward as well: three events wait for a coordinator.
  expect(said.outbox.pending).toBeGreaterThanOrEqual(3);
});

it('version 2 is pushed to one agent → all that are up run it, in the same processes; one that was off gets it when it returns', async () => {
  const before = await status('box-1');
  const pids = [children.get('box-1')?.pid, children.get('box-2')?.pid];
  writeFileSync(file, siteText(2));
  sign(2);
  const push = (...more: string[]) =>
    run(['site', 'push', bundle(2), '--data', join(folder, 'box-1'), '--json', ...more]);
  const pushed = await push('--wait', '0s');
  expect(pushed, pushed.stdout + pushed.stderr).toMatchObject({ code: 0 });
  expect(JSON.parse(pushed.stdout)).toMatchObject({ version: 2, known: false });
  const [one, two] = [await runs('box-1', 2), await runs('box-2', 2)];
  expect([one.pid, two.pid]).toEqual(pids);
  expect(one.bootCounter).toBeGreaterThan(before.bootCounter);
  expect(one.plan.hash).toBe(two.plan.hash);
  const again = await push();
  expect(again, again.stdout + again.stderr).toMatchObject({ code: 0 });
  const everybody = { run: ['box-1', 'box-2'], lack: [], away: ['box-3'] };
  expect(JSON.parse(again.stdout)).toMatchObject({ version: 2, known: true, ...everybody });
  await eventually(
    async () => {
      const all = [...(await status('box-1')).processes, ...(await status('box-2')).processes];
      return all.filter(({ running }) => running).length === 2;
    },
    { deadlineMs: 20_000, everyMs: 200, what: 'both programs run, the new one too' },
  );

  expect(await post('box-2', readFileSync(bundle(1)))).toMatchObject({ code: 409, body: { reason: 'older' } });
  expect((await status('box-2')).bundle?.refused.at(-1)?.text).toBe(
    'it is era 1 version 1, this box has era 1 version 2',
  );

  // Its own file is still version 1.
  await start('box-3');
  await runs('box-3', 2);
}, 240_000);

it('an agent is revoked → cut off everywhere within 2 s, without a restart and without its help', async () => {
  const [one, three] = [await status('box-1'), await status('box-3')];
  const sees = async (name: Name): Promise<boolean> =>
    (await status(name)).members.find(({ agent }) => agent === 'box-2')?.connected === true;
  await eventually(async () => (await sees('box-1')) && (await sees('box-3')), { deadlineMs: 10_000, everyMs: 100 });
  sign(3, ['box-2']);
  const from = performance.now();
  expect(await post('box-1', readFileSync(bundle(3)))).toMatchObject({ code: 202, body: { startsAnew: false } });
  await eventually(async () => !(await sees('box-1')) && !(await sees('box-3')), { deadlineMs: 2_000, everyMs: 20 });
  expect(performance.now() - from).toBeLessThan(2_000);

  await eventually(async () => ((await status('box-1')).mesh['refused.not-on-list'] ?? 0) > 0, {
    deadlineMs: 15_000,
    everyMs: 200,
    what: 'box-2 knocks and is turned away',
  });
  const [after, other] = [await runs('box-1', 3), await runs('box-3', 3)];
  expect([after.boot, other.boot]).toEqual([one.boot, three.boot]);
  expect(after.bundle?.revoked).toEqual(['box-2']);
  const dead = async (): Promise<boolean> =>
    (await status('box-1')).members.find(({ agent }) => agent === 'box-2')?.state === 'dead';
  await eventually(dead, { deadlineMs: 10_000, everyMs: 100, what: 'box-2 is dead to the others' });
  expect((await status('box-2')).bundle?.version).toBe(2);
}, 60_000);

it('files in the inbox → a good one is taken and spread, others are set aside with the reason', async () => {
  const inbox = join(folder, 'box-3', 'bundle', 'inbox');
  sign(4);
  copyFileSync(bundle(1), join(inbox, 'a-old.bundle'));
  copyFileSync(bundle(4), join(inbox, 'b-new.bundle'));
  await Promise.all([runs('box-1', 4), runs('box-3', 4)]);
  expect(readFileSync(join(inbox, 'a-old.bundle.refused.txt'), 'utf8')).toContain('older: it is era 1 version 1');
  expect(existsSync(join(inbox, 'b-new.bundle'))).toBe(false);
  expect(readFileSync(join(folder, 'box-1', 'bundle', 'site.bundle'))).toEqual(readFileSync(bundle(4)));
  expect(readFileSync(join(folder, 'box-1', 'bundle', 'former.bundle'))).toEqual(readFileSync(bundle(3)));

  // Told by a person who walks there: it ends, and stays ended.
  const gone = new Promise((resolve) => children.get('box-2')?.once('exit', resolve));
  expect(await post('box-2', readFileSync(bundle(3)))).toMatchObject({ code: 202, body: { startsAnew: true } });
  expect(await gone).toBe(2);
  expect(readFileSync(join(folder, 'box-2.log'), 'utf8')).toContain('the key of box-2 is revoked');
}, 90_000);
