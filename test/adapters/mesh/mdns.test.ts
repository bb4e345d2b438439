import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { eventually } from '../../support/eventually.ts';
import { needs } from '../../support/needs.ts';
import { makeSite } from './site.ts';

const program = join(import.meta.dirname, 'mdns-agent.ts');
const ip = (...args: string[]): void => void execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'pipe'] });

/** The kernel's own list of multicast groups: whoever speaks mDNS has joined 224.0.0.251. */
const groupsIn = (space: string): string =>
  execFileSync('ip', ['netns', 'exec', space, 'cat', '/proc/net/igmp'], { encoding: 'utf8' });
const mdnsGroup = 'FB0000E0';

/** Two boxes on one wire: a network namespace each, joined by a veth pair, with no other way out. */
describe('mdns in network namespaces', () => {
  // Names that two runs at once do not share; interface names have 15 letters.
  const tag = `mw${process.pid.toString(36)}`;
  const boxes = [
    { space: `${tag}a`, device: `${tag}va`, address: '10.77.9.1' },
    { space: `${tag}b`, device: `${tag}vb`, address: '10.77.9.2' },
  ] as const;
  const skip = needs('root', 'iproute2');
  const children: ChildProcess[] = [];
  let folder = '';

  beforeEach(() => {
    if (skip.skip) return;
    folder = mkdtempSync(join(tmpdir(), 'millwright-mdns-'));
    for (const { space } of boxes) ip('netns', 'add', space);
    ip('link', 'add', boxes[0].device, 'type', 'veth', 'peer', 'name', boxes[1].device);
    for (const { space, device, address } of boxes) {
      ip('link', 'set', device, 'netns', space);
      ip('-n', space, 'addr', 'add', `${address}/24`, 'dev', device);
      ip('-n', space, 'link', 'set', 'lo', 'up');
      ip('-n', space, 'link', 'set', device, 'up');
      ip('-n', space, 'route', 'add', '224.0.0.0/4', 'dev', device);
    }
  });

  afterEach(async () => {
    if (skip.skip) return;
    await Promise.all(
      children.splice(0).map(async (child) => {
        child.stdin?.end();
        await eventually(() => child.exitCode !== null || child.signalCode !== null, {
          deadlineMs: 5_000,
          what: 'the agent stops',
        }).catch(() => child.kill('SIGKILL'));
      }),
    );
    for (const { space } of boxes) ip('netns', 'del', space);
    rmSync(folder, { recursive: true, force: true });
  });

  const startBoth = (mdns: 'on' | 'off'): string[][] => {
    const file = join(folder, 'site.json');
    writeFileSync(file, JSON.stringify(makeSite(2)), { mode: 0o600 });
    return boxes.map(({ space, address }, i) => {
      const lines: string[] = [];
      const argv = ['netns', 'exec', space, process.execPath, program, file, String(i), address];
      const child = spawn('ip', argv, { stdio: ['pipe', 'pipe', 'pipe'], env: { ...process.env, MDNS: mdns } });
      children.push(child);
      const hear = (data: Buffer): void => void lines.push(...data.toString('utf8').split('\n').filter(Boolean));
      child.stdout.on('data', hear);
      child.stderr.on('data', hear);
      return lines;
    });
  };
  const says = (lines: string[], kind: string): boolean => lines.some((line) => line.includes(`"kind":"${kind}"`));

  it('two agents that know no address → find each other', skip, async () => {
    const said = startBoth('on');
    await eventually(() => said.every((lines) => says(lines, 'peer-connected')), {
      deadlineMs: 25_000,
      what: 'both connected',
    }).catch((cause) => {
      throw new Error(said.map((lines) => lines.join('\n')).join('\n---\n'), { cause });
    });
    expect(said[0]).toContainEqual('{"kind":"peer-connected","peer":1}');
    expect(said[1]).toContainEqual('{"kind":"peer-connected","peer":0}');
    for (const { space } of boxes) expect(groupsIn(space)).toContain(mdnsGroup);
  });

  it('switched off, as it is by default → nobody asks on the wire', skip, async () => {
    const said = startBoth('off');
    await eventually(() => said.every((lines) => says(lines, 'listening')), { deadlineMs: 15_000, what: 'both run' });
    for (const { space } of boxes) expect(groupsIn(space)).not.toContain(mdnsGroup);
  });
});
