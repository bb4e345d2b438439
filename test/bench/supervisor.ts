import { spawn } from 'node:child_process';
import { closeSync, copyFileSync, fsyncSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { receiveCertificates } from '../../agent/adapters/supervisor/certificate-receiver.ts';
import { monotonicNow } from '../../agent/adapters/supervisor/supervisor-client.ts';
import { prepareLaunch } from '../../agent/supervisor/launch.ts';
import { makeSmallSite, millwright } from '../integration/small-site.ts';
import { type BoxOptions, duty, marked, node, startBox } from '../supervisor/box.ts';
import { eventually } from '../support/eventually.ts';

/**
 * `node test/bench/supervisor.ts [--json] [--runs N] [--seconds N]`: what a box supervisor costs, and how soon a death
 * is proven. Memory is that of a supervisor beside a real agent, both running a private copy of Node's binary, so that
 * no other process of this machine shares (and thereby lessens) their pages.
 */
const { values } = parseArgs({
  options: {
    json: { type: 'boolean' },
    runs: { type: 'string', default: '30' },
    seconds: { type: 'string', default: '20' },
    'memory-only': { type: 'boolean' },
  },
});
const runs = Number(values.runs);
const seconds = Number(values.seconds);
const say = (text: string) => process.stderr.write(`${text}\n`);
const folder = mkdtempSync(join(tmpdir(), 'millwright-supervisor-'));
process.once('exit', () => rmSync(folder, { recursive: true, force: true }));

const rounded = (value: number, digits = 1): number => Number(value.toFixed(digits));

function spread(measured: readonly number[]) {
  const sorted = [...measured].sort((a, b) => a - b);
  const at = (q: number) => rounded(sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? Number.NaN);
  return { runs: sorted.length, p50: at(0.5), p99: at(0.99), max: rounded(sorted.at(-1) ?? Number.NaN) };
}

/** CPU time of all threads of a process so far, in milliseconds (proc(5), schedstat). */
function cpuMs(pid: number): number {
  let total = 0;
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    total += Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'utf8').split(' ')[0]);
  }
  return total / 1e6;
}

function weigh(pid: number): { pss: number; private: number; rss: number } {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
  const kb = (key: string) => Number(new RegExp(`^${key}:\\s+(\\d+) kB`, 'm').exec(text)?.[1] ?? Number.NaN);
  return {
    pss: rounded(kb('Pss') / 1024),
    private: rounded((kb('Private_Clean') + kb('Private_Dirty')) / 1024),
    rss: rounded(kb('Rss') / 1024),
  };
}

/** From SIGKILL to the agent until a voter has verified its death, with an exclusive duty that ignores SIGTERM. */
async function certificates(without: BoxOptions['without'], guardMs: number) {
  const latencies: number[] = [];
  const gone: number[] = [];
  for (let run = 0; run < runs; run++) {
    const dead: { session: string; at: number }[] = [];
    const ear = await receiveCertificates({
      host: '127.0.0.1',
      port: 0,
      monotonic: monotonicNow,
      dead: (session) => dead.push({ session, at: monotonicNow() }),
    });
    const name = `bench-${process.pid}-${run}`;
    const box = startBox({ name, folder: join(folder, name), without });
    try {
      await box.heard('hello');
      box.client.session('line-1', 1, [{ host: '127.0.0.1', port: ear.port }], 0);
      const { id } = await box.heard('session');
      box.client.start(duty(node(`process.on('SIGTERM', () => {}); setInterval(() => {}, 1e6)`), { guardMs }));
      await box.heard('started');
      await sleep(60);
      const killedAt = monotonicNow();
      process.kill(box.agents[0] ?? 0, 'SIGKILL');
      const first = await eventually(() => dead.find(({ session }) => session === id), { everyMs: 1 });
      if (marked(name).length > 0) throw new Error('certified while something of it was left');
      latencies.push(first.at - killedAt);
      gone.push(dead.length);
    } finally {
      await box.dispose();
      await ear.close();
    }
  }
  return spread(latencies);
}

/** How early before the end of its right a deaf duty with 60 processes is gone: never negative. */
async function deadlines() {
  const margins: number[] = [];
  const many = node(`process.on('SIGTERM', () => {}); const { spawn } = require('node:child_process');
    for (let i = 0; i < 60; i++) spawn('setsid', ['sleep', '1000'], { stdio: 'ignore', detached: true }); setInterval(() => {}, 1e6)`);
  const name = `bench-${process.pid}-deadline`;
  const box = startBox({ name, folder: join(folder, name) });
  try {
    await box.heard('hello');
    for (let run = 0; run < Math.min(runs, 15); run++) {
      const from = box.said.length;
      const until = monotonicNow() + 700;
      box.client.start(duty(many, { until }));
      await box.heard('exited', from);
      margins.push(until - monotonicNow());
    }
  } finally {
    await box.dispose();
  }
  const sorted = margins.sort((a, b) => a - b);
  return {
    runs: sorted.length,
    least: rounded(sorted[0] ?? Number.NaN),
    p50: rounded(sorted[sorted.length >> 1] ?? Number.NaN),
  };
}

/** CPU of the supervisor per minute while `duties` are held and extended every 500 ms. */
async function cpu(duties: number) {
  const name = `bench-${process.pid}-cpu-${duties}`;
  const box = startBox({ name, folder: join(folder, name) });
  try {
    await box.heard('hello');
    const ids = Array.from({ length: duties }, (_, index) => `duty-${index}`);
    for (const id of ids) box.client.start(duty(['sleep', '1000'], { duty: id, until: monotonicNow() + 5_000 }));
    await eventually(() => box.said.filter(({ is }) => is === 'started').length === duties);
    const renew = setInterval(() => {
      for (const id of ids) box.client.extend(id, monotonicNow() + 2_000);
      box.client.beat();
    }, 500);
    await sleep(2_000);
    const pid = box.process.pid ?? 0;
    const [before, begun] = [cpuMs(pid), monotonicNow()];
    await sleep(seconds * 1_000);
    const spent = ((cpuMs(pid) - before) / (monotonicNow() - begun)) * 60_000;
    clearInterval(renew);
    return rounded(spent, 0);
  } finally {
    await box.dispose();
  }
}

async function memory() {
  const binary = join(folder, 'node');
  copyFileSync(process.execPath, binary);
  const file = openSync(binary, 'r+');
  fsyncSync(file);
  closeSync(file);
  const site = await makeSmallSite();
  const state = join(folder, 'memory');
  const agent = [binary, millwright, 'agent', '--config', site.box.config];
  const launch = prepareLaunch(agent, { name: `bench-${process.pid}-memory`, state });
  const ours = (it: string): string => (it === process.execPath ? binary : it);
  const child = spawn(ours(launch.program), launch.args.map(ours), {
    env: launch.env,
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (more: string) => {
    text += more;
  });
  try {
    await eventually(() => text.includes('"ready":true'), { deadlineMs: 60_000, everyMs: 100, what: 'the agent' });
    await sleep(8_000);
    const agentPid = Number(/"pid":(\d+)/.exec(text)?.[1]);
    const beside = weigh(child.pid ?? 0);
    return { supervisor: beside, agent: weigh(agentPid) };
  } finally {
    child.kill('SIGTERM');
    await new Promise((resolve) => child.once('exit', resolve));
    await site.dispose();
  }
}

say('memory beside a real agent …');
const memoryMb = await memory();
let rest = {};
if (values['memory-only'] !== true) {
  say(`certificates, ${runs} runs each …`);
  const killToVerifiedMs = {
    best: await certificates([], 0),
    namespaceOnly: await certificates(['cgroup'], 0),
    guard100: await certificates([], 100),
  };
  say('deadlines …');
  const goneBeforeEndOfRightMs = await deadlines();
  say(`CPU, ${seconds} s each …`);
  const cpuMsPerMinute = { idle: await cpu(0), oneDuty: await cpu(1), tenDuties: await cpu(10) };
  rest = { killToVerifiedMs, goneBeforeEndOfRightMs, cpuMsPerMinute };
}
const result = { memoryMb, ...rest, node: process.version, cores: cpus().length };
process.stdout.write(values.json ? `${JSON.stringify(result)}\n` : `${JSON.stringify(result, undefined, 2)}\n`);
