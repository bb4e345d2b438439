import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { LineOutput } from '../../agent/adapters/line-output.ts';
import type { AgentFlagsWithoutFile } from '../../agent/config/agent-flags.ts';
import { setupFromFlags } from '../../agent/main.ts';
import { eventually } from '../support/eventually.ts';
import { freePorts } from '../support/free-ports.ts';
import { millwright, run } from './small-site.ts';

interface Line {
  readonly ready?: boolean;
  readonly event?: string;
  readonly member?: string;
  readonly at?: string;
}

const folder = mkdtempSync(join(tmpdir(), 'millwright-flags-'));
const site = join(folder, 'site');
const bundle = join(site, 'site.bundle');
const key = (name: string): string => join(site, 'agents', name, 'agent.key');
const started: ChildProcess[] = [];

afterAll(() => {
  for (const child of started) child.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
});

beforeAll(async () => {
  const made = await run(['site', 'init', '--agents', '3', '--out', site, '--json']);
  expect(made, made.stderr).toMatchObject({ code: 0 });
  expect(JSON.parse(made.stdout)).toMatchObject({ bundle, agents: [{ name: 'box-1', key: key('box-1') }, {}, {}] });
});

describe('agent without a configuration file', () => {
  it('three agents, one killed → the others print that it is suspected and dead, each event at once', async () => {
    const ports = await freePorts(3);
    const agents = ports.map((port, i) => {
      const name = `box-${i + 1}`;
      const peers = ports.filter((other) => other !== port).map((other) => `127.0.0.1:${other}`);
      const args = ['agent', '--site', bundle, '--key', key(name), '--name', name, '--broker', 'none'];
      const places = ['--listen', `127.0.0.1:${port}`, '--peers', peers.join(','), '--data', join(folder, name)];
      const child = spawn(process.execPath, [millwright, ...args, ...places], { stdio: ['ignore', 'pipe', 'pipe'] });
      started.push(child);
      let text = '';
      let log = '';
      child.stdout.on('data', (chunk: Buffer) => {
        text += chunk.toString();
      });
      child.stderr.on('data', (chunk: Buffer) => {
        log += chunk.toString();
      });
      const said = (): Line[] =>
        text
          .split('\n')
          .slice(0, -1)
          .map((line) => JSON.parse(line) as Line);
      const heard = (event: string, member: string) =>
        eventually(() => said().find((line) => line.event === event && line.member === member), {
          deadlineMs: 20_000,
          what: `${name}: ${event} ${member}; it said ${text}\n${log}`,
        });
      return { name, child, said, heard };
    });
    const [one, two, three] = agents as [(typeof agents)[0], (typeof agents)[0], (typeof agents)[0]];
    for (const agent of agents) {
      for (const other of agents) if (other !== agent) await agent.heard('member-alive', other.name);
      expect(agent.said()[0]).toMatchObject({ ready: true, agent: agent.name, pid: agent.child.pid });
    }

    const killedAt = Date.now();
    three.child.kill('SIGKILL');
    for (const agent of [one, two]) {
      const dead = await agent.heard('member-dead', 'box-3');
      expect(dead.at).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
      expect(Date.parse(dead.at ?? '') - killedAt).toBeLessThan(4_000);
      expect(agent.said().map((line) => line.event)).toContain('member-suspected');
    }

    two.child.kill('SIGTERM');
    await one.heard('member-left', 'box-2');
  }, 60_000);

  const setup = (flags: Partial<AgentFlagsWithoutFile>): string => {
    const data = mkdtempSync(join(folder, 'data-'));
    const base = { site: bundle, key: key('box-1'), name: 'box-1', listen: '127.0.0.1:0', data };
    const made = setupFromFlags({ ...base, ...flags }, new LineOutput(1));
    return 'complaint' in made ? made.complaint : 'no complaint';
  };

  it.each<[Partial<AgentFlagsWithoutFile>, string]>([
    [{}, 'no complaint'],
    [{ listen: '127.0.0.5', peers: '127.0.0.6, 127.0.0.7:7000,[::1]:7,::1,box-3' }, 'no complaint'],
    [{ name: 'box-9' }, 'has no agent "box-9"'],
    [{ key: '/nowhere/agent.key' }, '--key: there is no /nowhere/agent.key'],
    [{ site: '/nowhere/site.bundle' }, 'there is no /nowhere/site.bundle'],
    [{ listen: '127.0.0.1:99999' }, '--listen: "127.0.0.1:99999" is no address'],
    [{ peers: '127.0.0.1:1:2' }, '--peers: "127.0.0.1:1:2" is no address'],
    [{ preset: 'lam' }, '--preset: "lam" is none of lan'],
    [{ broker: 'http://x' }, '--broker: expected mqtt://host:1883'],
    [{ psk: '/nowhere/mesh.psk' }, '--psk: there is no /nowhere/mesh.psk'],
    [{ key: join(site, 'agents', 'box-2', 'agent.key') }, 'is not the one that the bundle in force'],
    [{ key: join(site, 'mesh.psk') }, 'the key of this agent is no private key'],
  ])('%j → %s', (flags, sentence) => {
    expect(setup(flags)).toContain(sentence);
  });

  it('bundle changed by one letter → refused with the reason; a box that has the good one keeps it', () => {
    const forged = join(folder, 'forged.bundle');
    const envelope = JSON.parse(readFileSync(bundle, 'utf8')) as { payload: string };
    const payload = Buffer.from(envelope.payload, 'base64url').toString().replace('"trial"', '"trail"');
    writeFileSync(forged, JSON.stringify({ ...envelope, payload: Buffer.from(payload).toString('base64url') }));
    const flags = { site: forged, psk: join(site, 'mesh.psk'), siteKey: join(site, 'site.pub') };
    expect(setup(flags)).toContain('no key that this box trusts signed it, or it was changed after signing');

    const data = mkdtempSync(join(folder, 'data-'));
    expect(setup({ data })).toBe('no complaint');
    expect(setup({ ...flags, data })).toBe('no complaint');
    expect(setup({ ...flags, data, site: '/nowhere/site.bundle' })).toBe('no complaint');
  });

  it('neither a file nor all flags → says what is missing', async () => {
    const ended = await run(['agent', '--name', 'box-1']);
    expect(ended).toMatchObject({ code: 2, stdout: '' });
    expect(ended.stderr).toContain('without one --site, --key, --listen, --data');
  });
});
