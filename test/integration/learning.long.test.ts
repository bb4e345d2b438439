import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import type { AgentStatus } from '../../agent/wire/status.ts';
import { eventually } from '../support/eventually.ts';
import { freePorts } from '../support/free-ports.ts';
import { millwright, run } from './small-site.ts';

const folder = mkdtempSync(join(tmpdir(), 'millwright-learning-'));
const site = join(folder, 'site');
const data = join(folder, 'box');
const figure = join(folder, 'figure');
let running: ChildProcess | undefined;

/** Ends the agent as a service manager does. */
const stop = async () => {
  const child = running;
  running = undefined;
  if (child === undefined || child.exitCode !== null) return;
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGTERM');
  await gone;
};

afterAll(async () => {
  await stop();
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
}, 20_000);

const state = async (): Promise<string> => {
  try {
    const read = (file: string) => readFileSync(join(data, file), 'utf8').trim();
    const response = await fetch(new URL('/v1/status', read('api.address')), {
      headers: { authorization: `Bearer ${read('api.token')}` },
    });
    return ((await response.json()) as AgentStatus).models[0]?.state ?? 'none';
  } catch {
    return 'not yet';
  }
};

it('a real agent learns the value of a check, calls what is new, and still knows it after a restart', async () => {
  writeFileSync(figure, '20');
  const file = join(folder, 'site.yaml');
  const plugin = `[/bin/sh, -c, 'echo "OK | figure=$(cat ${figure})"']`;
  writeFileSync(
    file,
    `millwright: 1
site: learning
agents:
  box:
    checks: { figure: { plugin: ${plugin}, perf: figure, warn: above 1000, every: 250ms } }
    models: { usual: { learn: { every: 250ms, after: 25s }, inputs: { figure: figure } } }
`,
  );
  const made = await run(['site', 'init', file, '--out', site]);
  expect(made).toMatchObject({ code: 0 });
  const [port] = await freePorts(1);
  const start = () => {
    const flags = ['--site', join(site, 'site.bundle'), '--key', join(site, 'agents', 'box', 'agent.key')];
    const places = ['--listen', `127.0.0.1:${port}`, '--data', data, '--api', '127.0.0.1:0'];
    running = spawn(process.execPath, [millwright, 'agent', '--name', 'box', ...flags, ...places], { stdio: 'ignore' });
  };
  start();
  await eventually(async () => /learning, \d+ of 100 rows/.test(await state()), { deadlineMs: 30_000 });
  await eventually(async () => (await state()) === 'normal', { deadlineMs: 90_000 });
  await stop();
  expect(readdirSync(join(data, 'learnt'))).toEqual(['box~usual.json']);

  start();
  await eventually(async () => (await state()) === 'normal', { deadlineMs: 30_000 });
  writeFileSync(figure, '35');
  await eventually(async () => (await state()) === 'anomalous', { deadlineMs: 30_000 });
}, 200_000);
