import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { loadAgent, parseAgent, readSecret } from '../../agent/config/agent-file.ts';
import { formatProblem } from '../../agent/config/problem.ts';

const good = `name: edge-1
bundle: ../../site.bundle
data: data
listen: [0.0.0.0:7430]
peers: [edge-2:7430, "[fd00::2]:7430", /ip4/10.0.0.3/tcp/7430]
key: agent.key
mesh: { key: ../../mesh.psk, site-key: ../../site.pub }
broker: { url: mqtts://broker:8883, username: edge-1, password: { file: broker.password }, ca: ca.pem }
api: { listen: 127.0.0.1:0, token: { env: API_TOKEN } }
limits: { memory: 128MiB, cpu: 10% }
`;

const folder = mkdtempSync(join(tmpdir(), 'millwright-agent-file-'));
afterAll(() => rmSync(folder, { recursive: true }));

describe('agent.yaml', () => {
  it('paths → absolute, from the folder of the file; defaults filled in', () => {
    const parsed = parseAgent(good, '/etc/millwright/agents/edge-1/agent.yaml');
    expect(parsed).toMatchObject({
      ok: true,
      value: {
        name: 'edge-1',
        bundlePath: '/etc/millwright/site.bundle',
        data: '/etc/millwright/agents/edge-1/data',
        modelRoot: '/etc/millwright/models',
        keyPath: '/etc/millwright/agents/edge-1/agent.key',
        mesh: { keyPath: '/etc/millwright/mesh.psk', mdns: false },
        broker: {
          username: 'edge-1',
          password: { from: 'file', path: '/etc/millwright/agents/edge-1/broker.password' },
          ca: '/etc/millwright/agents/edge-1/ca.pem',
        },
        api: { host: '127.0.0.1', port: 0, token: { from: 'env', name: 'API_TOKEN' } },
        limits: { memoryBytes: 134_217_728, cpuShare: 0.1 },
      },
    });
  });

  it('without listen, peers, broker and api → the usual port, nobody, no broker, no api', () => {
    const small = good.split('\n').filter((line) => !/^(listen|peers|broker|api|limits):/.test(line));
    expect(parseAgent(small.join('\n'), '/x/agent.yaml')).toMatchObject({
      ok: true,
      value: { listen: ['0.0.0.0:7430'], peers: [], broker: undefined, api: undefined },
    });
  });

  it('many mistakes → all at once, each at its place, none with a secret in it', () => {
    const parsed = parseAgent(
      `nmae: edge-1
bundle: site.bundle
listen: [7430]
peers: [edge-2:0]
key: agent.key
mesh: { key: mesh.psk, mdns: maybe }
broker: { url: http://broker, username: edge-2, password: hunter2 }
limits: { memory: lots, cpu: 128MiB }
`,
      'agent.yaml',
    );
    expect(parsed.ok).toBe(false);
    expect(parsed.ok ? [] : parsed.error.map(formatProblem).sort()).toEqual([
      'agent.yaml:1:1 nmae: Unknown key "nmae": did you mean "name"?',
      'agent.yaml:1:1: "data" is missing: a folder for its store',
      'agent.yaml:3:10 listen/0: 7430 does not fit "listen": expected a text',
      'agent.yaml:4:9 peers/0: "edge-2:0": nobody can be reached at port 0',
      'agent.yaml:6:1 mesh: "mesh/site-key" is missing: path of site.pub',
      'agent.yaml:6:30 mesh/mdns: "maybe" does not fit "mdns": expected true or false',
      'agent.yaml:7:16 broker/url: "http://broker" is no broker: say mqtt://host:1883 or mqtts://host:8883',
      'agent.yaml:7:41 broker/username: user name "edge-2" is not this agent\'s name "edge-1": the broker refuses it',
      'agent.yaml:7:59 broker/password: What stands here does not fit "password": a secret stands in a file or a variable: { file: path } or { env: NAME }',
      'agent.yaml:8:19 limits/memory: "lots" is no limit: say for example 128MiB',
      'agent.yaml:8:30 limits/cpu: "128MiB" is no limit: say for example 10%',
    ]);
    expect(JSON.stringify(parsed)).not.toContain('hunter2');
  });

  it('site file and roster of before → the word that stands for both is named', () => {
    const before = good
      .replace('bundle: ../../site.bundle', 'site: ../../site.yaml')
      .replace('mesh: {', 'mesh: { roster: roster.json,');
    const parsed = parseAgent(before, 'agent.yaml');
    expect(parsed.ok ? [] : parsed.error.map(formatProblem)).toEqual([
      'agent.yaml:2:1 site: site file and list of agents now come signed in one: bundle: site.bundle',
      'agent.yaml:7:9 mesh/roster: the list of agents stands in the bundle: take this out',
    ]);
  });

  it('a file that is not there → one problem', () => {
    expect(loadAgent(join(folder, 'none.yaml'))).toMatchObject({ ok: false, error: [{ code: 'unreadable' }] });
  });

  it('secrets → read without the line end; a missing or empty one is an error that names only its place', () => {
    const path = join(folder, 'secret');
    writeFileSync(path, 'abc\n');
    expect(readSecret({ from: 'file', path })).toEqual({ ok: true, value: 'abc' });
    writeFileSync(path, '\n');
    expect(readSecret({ from: 'file', path })).toEqual({ ok: false, error: `${path} is empty` });
    expect(readSecret({ from: 'env', name: 'MILLWRIGHT_NOT_SET' })).toMatchObject({ ok: false });
    expect(readSecret({ from: 'file', path: join(folder, 'none') })).toMatchObject({ ok: false });
  });
});
