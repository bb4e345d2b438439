import { execFile, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { agentStatus } from '../../simulations/demo/client.ts';
import { freePorts } from '../support/free-ports.ts';

const root = resolve(import.meta.dirname, '..', '..');
const exec = promisify(execFile);

/** The Node of this machine, when it is one that the package must turn away. */
const olderNode = ['/usr/bin/node', '/usr/local/bin/node'].find((path) => existsSync(path));

/**
 * What somebody gets who installs the tarball: the emitted JavaScript below node_modules, the bin, and the dependencies
 * as npm chooses them there. Nothing of the checkout is in reach.
 */
describe('the package', { timeout: 60_000 }, () => {
  let folder: string;
  let bin: string;
  let files: string[];

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'millwright-package-'));
    const home = join(folder, 'home');
    mkdirSync(home);
    // npm of the tests' own environment would hand its scripts and settings down.
    const env: Record<string, string> = { ONNXRUNTIME_NODE_INSTALL: 'skip', npm_config_update_notifier: 'false' };
    for (const [name, value] of Object.entries(process.env)) {
      if (value !== undefined && !/^npm_(lifecycle|package|config_local)/.test(name)) env[name] ??= value;
    }
    const npm = (...args: string[]) => exec('npm', args, { cwd: root, env, maxBuffer: 32 * 1024 * 1024 });
    // What prepack does, but for its npm ci: whoever runs these tests has installed already, and to install below them
    // would pull the rug.
    await exec(process.execPath, [join(root, 'scripts', 'build.mjs')], { cwd: root });
    const pack = ['pack', '--json', '--ignore-scripts', '--loglevel=error', '--pack-destination', folder];
    const { stdout } = await npm(...pack);
    const packed = packedOf(stdout);
    files = packed.files.map((file) => file.path);
    const place = join(folder, 'place');
    mkdirSync(place);
    // What a checkout allows does not travel with a tarball; the package needs no install script to run.
    await npm(
      ...['install', '--prefix', place, '--ignore-scripts', '--prefer-offline', '--no-audit', '--no-fund'],
      ...['--loglevel=error', join(folder, packed.filename)],
    );
    bin = join(place, 'node_modules', '.bin', 'millwright');
  }, 240_000);
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  /** As from a shell in an empty folder, with this Node in the path. */
  const millwright = async (...args: string[]) => {
    try {
      return { code: 0, ...(await exec(process.execPath, [bin, ...args], { cwd: folder, timeout: 60_000 })) };
    } catch (error) {
      const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string };
      return { code, stdout, stderr };
    }
  };

  test('holds JavaScript, the bin, the console and the demo’s site file; no sources, no tests', () => {
    expect(files).toEqual(
      expect.arrayContaining([
        'package.json',
        'LICENSE',
        'README.md',
        'bin/millwright.mjs',
        'dist/millwright.js',
        'dist/agent/main.js',
        'dist/coordinator/main.js',
        'dist/coordinator/console/dist/index.html',
        'dist/simulations/demo/site.yaml',
      ]),
    );
    expect(files.filter((file) => /(^|\/)(test|scripts|node_modules)\//.test(file))).toEqual([]);
    expect(files.filter((file) => file.endsWith('.ts'))).toEqual([]);
  });

  test('millwright --version → the version of package.json', async () => {
    const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
    expect(await millwright('--version')).toEqual({ code: 0, stdout: `${version}\n`, stderr: '' });
  });

  test('site init, model train, doctor, agent → ready, answers its API, ends on SIGTERM', async () => {
    const [mesh, api, broker, consolePort] = await freePorts(4);
    const site = join(folder, 'site.yaml');
    writeFileSync(
      site,
      'millwright: 1\nsite: packed\nagents:\n  box-1: {}\nchecks:\n  disk: { disk: /, warn: above 99.9%, every: 1s }\n',
    );
    const layout = join(folder, 'layout.json');
    writeFileSync(
      layout,
      JSON.stringify({
        agents: { 'box-1': { listen: [`127.0.0.1:${mesh}`], api: `127.0.0.1:${api}`, data: join(folder, 'data') } },
        broker: `mqtt://127.0.0.1:${broker}`,
        coordinator: { broker: `127.0.0.1:${broker}`, api: `127.0.0.1:${consolePort}` },
      }),
    );
    const keys = join(folder, 'keys');
    expect(await millwright('site', 'init', site, '--out', keys, '--layout', layout)).toMatchObject({ code: 0 });
    const config = join(keys, 'agents', 'box-1', 'agent.yaml');
    const doctor = await millwright('doctor', '--config', config);
    expect(doctor.stdout).toMatch(/✔ keys/);
    expect(doctor).toMatchObject({ code: 0, stderr: '' });

    // One coordinator and one agent, both from the tarball; the agent is heard.
    const coordinator = await start('coordinator', '--config', join(keys, 'coordinator', 'coordinator.yaml'));
    const page = await fetch(`http://127.0.0.1:${consolePort}/`);
    expect(page.status).toBe(200);
    expect(await page.text()).toMatch(/<script[^>]+src=/);
    const agent = await start('agent', '--config', config);
    expect(agent.ready).toMatchObject({ ready: true, agent: 'box-1' });
    const token = readFileSync(join(keys, 'agents', 'box-1', 'api.token'), 'utf8').trim();
    const status = await agentStatus(`http://127.0.0.1:${api}`, token);
    expect(status).toMatchObject({ agent: 'box-1', site: 'packed', pid: agent.pid });
    expect(status.checks.map((check) => check.check)).toEqual(['site/disk']);
    agent.stop();
    expect(await agent.ended).toEqual({ code: 0, signal: null });
    coordinator.stop();
    expect(await coordinator.ended).toEqual({ code: 0, signal: null });
  });

  test('what loads lazily is there too: a model is trained and scored, OPC UA and Modbus clients load', async () => {
    const rows = Array.from(
      { length: 400 },
      (_, i) => `${1_600_000_000 + i};${Math.sin(i * 7.3)};${Math.cos(i * 3.1)}`,
    );
    const data = join(folder, 'rows.csv');
    writeFileSync(data, `time;a;b\n${rows.join('\n')}\n`);
    expect(await millwright('model', 'train', '--data', data, '--out', join(folder, 'model'))).toMatchObject({
      code: 0,
    });
    const scored = await millwright('model', 'score', '--model', join(folder, 'model'), '--data', data);
    expect(scored).toMatchObject({ code: 0 });
    expect(scored.stdout.split('\n').length).toBeGreaterThan(300);
    const source = join(folder, 'place', 'node_modules', 'millwright', 'dist', 'agent', 'adapters', 'plc');
    const load = `await import(${JSON.stringify(join(source, 'opcua.js'))}); await import(${JSON.stringify(join(source, 'modbus.js'))})`;
    await exec(process.execPath, ['--input-type=module', '-e', `${load}; process.exit(0)`]);
  });

  test('under an older Node → the bin says which version it needs, and where to get it; exit code 1', async (context) => {
    const version = olderNode && (await exec(olderNode, ['--version'])).stdout.trim();
    const [major = 0, minor = 0] = (version ?? '').slice(1).split('.').map(Number);
    if (olderNode === undefined || major > 24 || (major === 24 && minor >= 12)) {
      return context.skip('this machine has no Node older than 24.12 of its own');
    }
    const refusal = await exec(olderNode, [bin, '--version']).then(
      () => undefined,
      (error: { code: number; stdout: string; stderr: string }) => error,
    );
    expect(refusal).toMatchObject({ code: 1, stdout: '' });
    expect(refusal?.stderr).toMatch(/needs Node 24\.12 or newer/);
    expect(refusal?.stderr).toContain(version?.slice(1));
    expect(refusal?.stderr).toMatch(/Remedy/);
  });

  async function start(...args: string[]) {
    const child = spawn(process.execPath, [bin, ...args], { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] });
    onTestFinished(() => void child.kill('SIGKILL'));
    const ended = new Promise<{ code: number | null; signal: string | null }>((done) =>
      child.once('exit', (code, signal) => done({ code, signal })),
    );
    let complaints = '';
    child.stderr.on('data', (chunk: Buffer) => {
      complaints = (complaints + chunk.toString()).slice(-4_000);
    });
    const ready = new Promise<Record<string, unknown>>((done) => {
      createInterface({ input: child.stdout }).on('line', (line) => done(JSON.parse(line) as Record<string, unknown>));
    });
    const first = await Promise.race([ready, ended.then(() => undefined)]);
    if (first === undefined) throw new Error(`millwright ${args.join(' ')} ended before it was ready:\n${complaints}`);
    return { pid: child.pid ?? 0, ready: first, ended, stop: () => void child.kill('SIGTERM') };
  }
});

/** npm 10 and 11 print a list, npm 12 an object by name. */
function packedOf(stdout: string): { filename: string; files: { path: string }[] } {
  const json = JSON.parse(stdout.slice(stdout.search(/^[[{]/m))) as unknown;
  const [first] = Array.isArray(json) ? json : Object.values(json as object);
  return first as { filename: string; files: { path: string }[] };
}
