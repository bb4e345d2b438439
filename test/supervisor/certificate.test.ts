import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it, onTestFinished } from 'vitest';
import { receiveCertificates } from '../../agent/adapters/supervisor/certificate-receiver.ts';
import { monotonicNow } from '../../agent/adapters/supervisor/supervisor-client.ts';
import { repeatsMs } from '../../agent/supervisor/certificate.ts';
import { eventually } from '../support/eventually.ts';
import { isRunning } from '../support/process-tree.ts';
import { duty, marked, node, supervised } from './harness.ts';

/** A voter's ear. */
async function listen() {
  const heard: { readonly session: string; readonly at: number; readonly left: number }[] = [];
  let name = '';
  const receiver = await receiveCertificates({
    host: '127.0.0.1',
    port: 0,
    monotonic: monotonicNow,
    // What still runs at the moment of the first certificate is looked at there and then.
    dead: (session) => heard.push({ session, at: monotonicNow(), left: name === '' ? 0 : marked(name).length }),
  });
  onTestFinished(() => receiver.close());
  return {
    heard,
    receiver,
    targets: [{ host: '127.0.0.1', port: receiver.port }],
    watch: (supervisor: string) => {
      name = supervisor;
    },
  };
}

const deaf = node(`process.on('SIGTERM', () => {}); setInterval(() => {}, 1e6)`);

describe('a death certificate', () => {
  it('agent killed → the session is proven dead, when nothing of it is left, five times', async () => {
    const ear = await listen();
    const box = await supervised();
    ear.watch(box.name);
    box.client.session('line-1', 3, ear.targets, 0);
    const { id } = await box.heard('session');
    box.client.start(duty(deaf, { epoch: 3 }));
    await box.heard('started');
    const killedAt = monotonicNow();
    process.kill(box.agents[0]!, 'SIGKILL');
    await eventually(() => ear.heard.length === repeatsMs.length, { what: 'five certificates' });
    expect(new Set(ear.heard.map(({ session }) => session))).toEqual(new Set([id]));
    expect(ear.heard[0]!.left).toBe(0);
    expect(ear.heard[0]!.at - killedAt).toBeLessThan(500);
    expect(ear.receiver.counts).toEqual({ accepted: 5, garbage: 0, dropped: 0 });
  });

  it('guard → waits at least as long; the longer of what the agent and its duties need', async () => {
    const ear = await listen();
    const box = await supervised();
    box.client.session('line-1', 1, ear.targets, 0);
    box.client.session('line-2', 1, ear.targets, 250);
    await eventually(() => box.said.filter(({ is }) => is === 'session').length === 2);
    box.client.start(duty(deaf, { guardMs: 120 }));
    await box.heard('started');
    const killedAt = monotonicNow();
    process.kill(box.agents[0]!, 'SIGKILL');
    await eventually(() => new Set(ear.heard.map(({ session }) => session)).size === 2, { everyMs: 1 });
    const first = (cell: string) => {
      const id = box.said.find((message) => message.is === 'session' && message.cell === cell);
      return ear.heard.find(({ session }) => id?.is === 'session' && session === id.id)!.at;
    };
    expect(first('line-1') - killedAt).toBeGreaterThan(120);
    expect(first('line-2') - killedAt).toBeGreaterThan(250);
  });

  it('agent alive, frozen or blocked → none, whatever ends its duty', async () => {
    const ear = await listen();
    const box = await supervised();
    box.client.session('line-1', 1, ear.targets, 0);
    await box.heard('session');
    box.client.start(duty(deaf, { until: monotonicNow() + 1_000 }));
    const { pid } = await box.heard('started');
    process.kill(box.agents[0]!, 'SIGSTOP');
    await eventually(() => !isRunning(pid));
    await sleep(100);
    expect(ear.heard).toEqual([]);
  });

  it('agent ends in order, or with a failure → certified too; each life has a session of its own', async () => {
    const ear = await listen();
    const box = await supervised();
    box.client.session('line-1', 1, ear.targets, 0);
    const first = await box.heard('session');
    let from = box.said.length;
    box.raw('#exit 1');
    await box.heard('hello', from);
    await eventually(() => ear.heard.some(({ session }) => session === first.id));
    box.client.session('line-1', 1, ear.targets, 0);
    const second = await box.heard('session', from);
    expect(second.id).not.toBe(first.id);
    from = box.said.length;
    box.client.session('line-1', 1, ear.targets, 0);
    expect((await box.heard('session', from)).id).toBe(second.id);
    box.raw('#exit 2');
    // Wrong configuration: no new start, and the supervisor ends with the same code after its last duty.
    expect(await box.exit).toBe(2);
    expect(ear.heard.some(({ session }) => session === second.id)).toBe(true);
    expect(box.agents.length).toBe(2);
  });

  it('told to stop → the agent ends in order, and the session is certified', async () => {
    const ear = await listen();
    const box = await supervised();
    box.client.session('line-1', 1, ear.targets, 0);
    const { id } = await box.heard('session');
    box.process.kill('SIGTERM');
    expect(await box.exit).toBe(0);
    expect(ear.heard.filter(({ session }) => session === id)).toHaveLength(repeatsMs.length);
  });

  it('targets handed down later → they are told, and the former ones are not', async () => {
    const [former, later] = [await listen(), await listen()];
    const box = await supervised();
    box.client.session('line-1', 1, former.targets, 0);
    await box.heard('session');
    box.client.targets('line-1', 1, later.targets);
    box.client.session('line-2', 1, later.targets, 0);
    await eventually(() => box.said.filter(({ is }) => is === 'session').length === 2);
    process.kill(box.agents[0]!, 'SIGKILL');
    await eventually(() => new Set(later.heard.map(({ session }) => session)).size === 2);
    expect(former.heard).toEqual([]);
  });

  it('supervisor killed → no certificate; the next one certifies nothing that it did not start', async () => {
    const ear = await listen();
    const box = await supervised();
    box.client.session('line-1', 1, ear.targets, 0);
    const { id } = await box.heard('session');
    box.client.start(duty(deaf));
    await box.heard('started');
    box.process.kill('SIGKILL');
    await box.exit;
    const next = await supervised({ name: box.name, folder: box.folder });
    next.client.session('line-1', 1, ear.targets, 0);
    const after = await next.heard('session');
    process.kill(next.agents[0]!, 'SIGKILL');
    await eventually(() => ear.heard.some(({ session }) => session === after.id));
    expect(ear.heard.some(({ session }) => session === id)).toBe(false);
  });

  it('no means to know that nothing is left → none', async () => {
    const ear = await listen();
    const box = await supervised({ without: ['cgroup', 'namespace'] });
    expect(box.said[0]).toMatchObject({ containment: 'parent-death', protected: false });
    box.client.session('line-1', 1, ear.targets, 0);
    box.client.session('line-2', 1, ear.targets, 0);
    const { id } = await box.heard('session');
    box.client.start(duty(deaf));
    await box.heard('started');
    process.kill(box.agents[0]!, 'SIGKILL');
    // The cell where nothing ran is certified: its only effects were the agent's own.
    await eventually(() => ear.heard.length > 0);
    await sleep(50);
    expect(ear.heard.some(({ session }) => session === id)).toBe(false);
  });
});

/** A file system that is frozen holds its writers in the kernel, deaf to SIGKILL: state D, as a dead disk does. */
function frozenDisk(folder: string): { readonly path: string; freeze(): void; thaw(): void } | undefined {
  const run = (program: string, ...args: string[]): boolean => spawnSync(program, args).status === 0;
  const [image, path] = [`${folder}/disk.img`, `${folder}/disk`];
  writeFileSync(image, '');
  truncateSync(image, 4 * 1_048_576);
  mkdirSync(path);
  if (process.getuid?.() !== 0 || !run('mkfs.ext4', '-q', image) || !run('mount', '-o', 'loop', image, path)) return;
  let frozen = false;
  const thaw = (): void => {
    if (frozen) run('fsfreeze', '-u', path);
    frozen = false;
  };
  onTestFinished(async () => {
    thaw();
    await eventually(() => run('umount', path), { what: 'the disk is let go' });
  });
  return {
    path,
    freeze: () => {
      frozen = run('fsfreeze', '-f', path);
    },
    thaw,
  };
}

describe('a process that hangs in the kernel', () => {
  it('state D → told as stuck, no certificate, no new start; all of it when the kernel lets go', async ({ skip }) => {
    const ear = await listen();
    const box = await supervised();
    const disk = frozenDisk(box.folder);
    if (disk === undefined) skip('needs root and loop devices');
    box.client.session('line-1', 1, ear.targets, 0);
    const { id } = await box.heard('session');
    const writer = node(`const fs = require('node:fs');
      for (let i = 0; ; i++) fs.writeFileSync('${disk!.path}/x', String(i))`);
    box.client.start(duty(writer, { guardMs: 200 }));
    const { pid } = await box.heard('started');
    disk!.freeze();
    await eventually(() => / D /.test(readFileSync(`/proc/${pid}/stat`, 'utf8')), { what: 'state D' });
    const from = box.said.length;
    process.kill(box.agents[0]!, 'SIGKILL');
    await box.heard('hello', from);
    await sleep(300);
    expect(isRunning(pid)).toBe(true);
    expect(ear.heard).toEqual([]);
    // The next life of the agent may not run it a second time beside the one that hangs.
    box.client.start(duty(deaf));
    expect((await box.heard('failed', from)).reason).toContain('still left');
    await eventually(() => box.log().includes('a process does not die'), { what: 'told as stuck' });
    expect(ear.heard).toEqual([]);
    const thawedAt = monotonicNow();
    disk!.thaw();
    await eventually(() => ear.heard.some(({ session }) => session === id), { what: 'certified in the end' });
    expect(isRunning(pid)).toBe(false);
    // The guard began when the last process was gone, long after the agent was.
    expect(ear.heard.find(({ session }) => session === id)!.at - thawedAt).toBeGreaterThan(200);
    const later = box.said.length;
    box.client.start(duty(['sleep', '1000']));
    await box.heard('started', later);
  });
});
