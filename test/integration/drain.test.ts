import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { AgentStatus, DutyExplanation } from '../../agent/wire/status.ts';
import { eventually } from '../support/eventually.ts';
import { freePorts } from '../support/free-ports.ts';
import { millwright, run } from './small-site.ts';

const folder = mkdtempSync(join(tmpdir(), 'millwright-drain-'));
const site = join(folder, 'site');
const names = ['box-1', 'box-2'] as const;
const duties = ['labels', 'orders', 'mirror'] as const;
/** What tells this test's programs from all others on the machine. */
const mark = (duty: string) => `9${process.pid}${duties.indexOf(duty as (typeof duties)[number])}`;
const started: ChildProcess[] = [];

beforeAll(async () => {
  const file = join(folder, 'site.yaml');
  const programs = duties.map((duty) => `  ${duty}: { process: [sleep, "${mark(duty)}"], exclusive: false }`);
  writeFileSync(
    file,
    [
      'millwright: 1',
      'site: drained',
      'people: { anna: { may: [order] }, ben: { may: [acknowledge] } }',
      'agents:',
      ...names.map((n) => `  ${n}: {}`),
      'duties:',
      ...programs,
    ].join('\n'),
  );
  expect(await run(['site', 'init', file, '--out', site])).toMatchObject({ code: 0 });
  const ports = await freePorts(2);
  for (const [i, name] of names.entries()) {
    const flags = ['--site', join(site, 'site.bundle'), '--key', join(site, 'agents', name, 'agent.key')];
    const places = ['--listen', `127.0.0.1:${ports[i]}`, '--peers', `127.0.0.1:${ports[1 - i]}`];
    const args = ['agent', '--name', name, ...flags, ...places, '--data', join(folder, name), '--api', '127.0.0.1:0'];
    started.push(spawn(process.execPath, [millwright, ...args], { stdio: 'ignore' }));
  }
});

afterAll(async () => {
  for (const child of started) child.kill('SIGTERM');
  await Promise.all(started.map((child) => new Promise((resolve) => child.once('exit', resolve))));
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
}, 20_000);

const status = async (name: string): Promise<AgentStatus> => {
  const read = (file: string) => readFileSync(join(folder, name, file), 'utf8').trim();
  const response = await fetch(new URL('/v1/status', read('api.address')), {
    headers: { authorization: `Bearer ${read('api.token')}` },
  });
  return (await response.json()) as AgentStatus;
};

const carries = async (name: string): Promise<number> => {
  try {
    const { duties: all, processes } = await status(name);
    return all.filter(({ mine }) => mine).length === processes.filter(({ running }) => running).length
      ? processes.filter(({ running }) => running).length
      : -1;
  } catch {
    return -1;
  }
};

/** How many of each program live on this machine now. */
function alive(): readonly number[] {
  const count = duties.map(() => 0);
  for (const pid of readdirSync('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    try {
      const argv = readFileSync(join('/proc', pid, 'cmdline'), 'utf8').split('\0');
      const at = argv[0]?.endsWith('sleep') ? duties.findIndex((duty) => argv[1] === mark(duty)) : -1;
      if (at >= 0) count[at] = (count[at] ?? 0) + 1;
    } catch {
      // It ended while we looked.
    }
  }
  return count;
}

it('a box is drained → each of its programs runs elsewhere before it ends here; the command says when all is given away', async () => {
  await eventually(async () => (await carries('box-1')) + (await carries('box-2')) === 3, {
    deadlineMs: 40_000,
    everyMs: 200,
    what: 'three programs run',
  });
  const box = (await carries('box-1')) > 0 ? 'box-1' : 'box-2';
  const other = box === 'box-1' ? 'box-2' : 'box-1';
  const given = await carries(box);

  const least = duties.map(() => 9);
  const most = duties.map(() => 0);
  const watch = setInterval(() => {
    for (const [i, n] of alive().entries()) {
      least[i] = Math.min(least[i] ?? 9, n);
      most[i] = Math.max(most[i] ?? 0, n);
    }
  }, 20);
  const drained = await run(['agent', 'drain', '--data', join(folder, box), '--for', '10m', '--json']);
  clearInterval(watch);
  expect(drained, drained.stderr).toMatchObject({ code: 0 });
  expect(JSON.parse(drained.stdout)).toMatchObject({ agent: box, drain: { until: expect.any(String), remaining: [] } });
  expect(await carries(other)).toBe(3);
  // Never none; two of each that was given away, for the moment in between.
  expect(least).toEqual([1, 1, 1]);
  expect(most.filter((n) => n === 2).length).toBe(given);
  expect(alive()).toEqual([1, 1, 1]);

  const why = await run(['explain', 'duty', 'site/labels', '--data', join(folder, other), '--json']);
  const { holder, candidates } = JSON.parse(why.stdout) as DutyExplanation;
  expect(holder).toBe(other);
  expect(candidates.find(({ agent }) => agent === box)).toMatchObject({ reason: 'drains, takes nothing' });

  expect(await run(['agent', 'drain', '--data', join(folder, box), '--undo'])).toMatchObject({ code: 0 });
  expect((await status(box)).drain).toBeUndefined();
}, 90_000);

it('the only other box drains too → the command says what stays, and that nobody has taken it', async () => {
  const all = await Promise.all(names.map(carries));
  const box = names[all[0] === 0 ? 1 : 0];
  const other = names[all[0] === 0 ? 0 : 1];
  // Signed by a person, for whom site init made a key; another agent, or a second time: not.
  const key = join(site, 'people', 'anna.key');
  const signed = ['--data', join(folder, other), '--key', key, '--by'];
  expect(await run(['agent', 'drain', ...signed, 'ben', '--wait', '0s'])).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('the site knows no key of "ben"'),
  });
  const away = join(folder, 'drain.order');
  const order = ['order', 'drain', '--key', key, '--by', 'anna', '--site', 'drained', '--agent', box, '--out', away];
  expect(await run(order)).toMatchObject({ code: 0 });
  const bring = (name: string) =>
    fetch(new URL('/v1/orders', readFileSync(join(folder, name, 'api.address'), 'utf8').trim()), {
      method: 'POST',
      headers: {
        authorization: `Bearer ${readFileSync(join(folder, name, 'api.token'), 'utf8').trim()}`,
        'content-type': 'application/octet-stream',
      },
      body: Uint8Array.from(readFileSync(away)),
    });
  expect(await (await bring(other)).json()).toMatchObject({ code: 'order-refused', reason: 'other-agent' });
  expect(await run(['agent', 'drain', ...signed, 'anna', '--wait', '0s'])).toMatchObject({ code: 0 });
  expect((await status(other)).drain).toBeDefined();
  expect(await run(['order', 'workflow', 'press/none', ...signed, 'anna'])).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('this site has no workflow press/none'),
  });
  const drained = await run(['agent', 'drain', '--data', join(folder, box), '--wait', '2s']);
  expect(drained.code).toBe(3);
  expect(drained.stdout).toContain(
    'still carries, since nobody else has taken it over: site/labels, site/orders, site/mirror',
  );
  expect(alive()).toEqual([1, 1, 1]);
}, 60_000);

it('wrong words → each is answered with what would be right', async () => {
  const data = join(folder, 'box-1');
  for (const [args, code, words] of [
    [['agent', 'drain'], 2, 'which agent? Say --config agent.yaml, or --data FOLDER'],
    [['agent', 'drain', '--data', data, '--for', '10'], 2, 'has no unit: say 10s'],
    [['agent', 'drain', '--data', data, '--by', 'anna'], 2, '--key and --by go together'],
    [['order', 'explode', '--data', data, '--key', 'k', '--by', 'anna'], 2, '"explode" is no order'],
    [['order', 'stop', '--data', data, '--key', 'k', '--by', 'anna'], 2, 'which run?'],
    [['order', 'undrain', '--data', data, '--key', 'k', '--by', 'anna', '--valid', '1h'], 2, 'at most 15m'],
    [['order', 'undrain', '--data', data, '--key', 'nowhere', '--by', 'anna'], 2, 'there is no nowhere'],
    [['explain', 'duty', 'site/nope', '--data', data], 1, 'This site has no duty site/nope.'],
    [['explain', 'duty', 'nope', '--data', join(folder, 'nowhere')], 2, 'no agent with an API runs on'],
  ] as const) {
    const said = await run(args);
    expect(said.code, said.stderr).toBe(code);
    expect(said.stderr).toContain(words);
  }
}, 30_000);
