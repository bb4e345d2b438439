import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { monotonicNow } from '../../agent/adapters/supervisor/supervisor-client.ts';
import { eventually } from '../support/eventually.ts';
import { isRunning } from '../support/process-tree.ts';
import { duty, marked, node, supervised } from './harness.ts';

/** Every way in which this box can hold processes together is tried, also those that a better one would replace. */
const ways = [
  { kind: 'cgroup+namespace', without: [] },
  { kind: 'namespace', without: ['cgroup'] },
  { kind: 'cgroup', without: ['namespace'] },
] as const;

/** Forks in every way that ought to escape: double forks, sessions of their own, and children that fork for ever. */
const forkHappy = node(`
  const { spawn } = require('node:child_process');
  process.on('SIGTERM', () => {});
  const sleep = ['sleep', '1000'];
  // A full box may refuse a fork, and so does a namespace that is just being ended: no reason to end by itself.
  const fork = (program, argv) => {
    try {
      spawn(program, argv, { stdio: 'ignore', detached: true }).on('error', () => {}).unref();
    } catch {}
  };
  for (let i = 0; i < 4; i++) fork('setsid', ['-f', ...sleep]);
  for (let i = 0; i < 4; i++) fork('nohup', sleep);
  let forks = 0;
  setInterval(() => { if (forks++ < 150) fork('setsid', sleep); }, 3);
`);

describe.each(ways)('a duty under $kind', ({ kind, without }) => {
  it('fork-happy, deaf to SIGTERM → all of it is gone when its right ends', async () => {
    const box = await supervised({ without });
    expect(box.said[0]).toMatchObject({ containment: kind });
    let until = monotonicNow() + 2_000;
    box.client.start(duty(forkHappy, { until }));
    const { pid } = await box.heard('started');
    expect(isRunning(pid)).toBe(true);
    const many = (): boolean => {
      until = Math.max(until, monotonicNow() + 1_500);
      box.client.extend('press/label', until);
      return marked(box.name).length > 20;
    };
    await eventually(many, { what: 'many processes', everyMs: 100, deadlineMs: 15_000 });
    const exited = await box.heard('exited');
    expect(monotonicNow()).toBeLessThan(until + 20);
    expect(exited.reason).toContain('its right to run ended');
    expect(exited).toMatchObject({ duty: 'press/label', code: null, signal: 'SIGKILL' });
    expect(exited.expired).toBe(true);
    expect(marked(box.name)).toEqual([]);
  });

  it('its agent is killed → nothing is left', async () => {
    const box = await supervised({ without });
    box.client.start(duty(forkHappy));
    await box.heard('started');
    await eventually(() => marked(box.name).length > 15, { what: 'many processes' });
    process.kill(box.agents[0]!, 'SIGKILL');
    await eventually(() => marked(box.name).length === 0, { what: 'nothing left', everyMs: 2, deadlineMs: 1_000 });
  });

  it('the supervisor is killed → agent and duty die with it, or at its next start', async () => {
    const box = await supervised({ without });
    box.client.start(duty(forkHappy));
    await box.heard('started');
    await eventually(() => marked(box.name).length > 5, { what: 'many processes' });
    box.process.kill('SIGKILL');
    await box.exit;
    await eventually(() => !isRunning(box.agents[0]!), { what: 'the agent is gone' });
    // A cgroup alone does not know of its maker's death: there the next supervisor does it.
    if (kind === 'cgroup') await supervised({ without, name: box.name, folder: box.folder });
    await eventually(() => marked(box.name).length === 0, { what: 'nothing left', deadlineMs: 1_000 });
  });

  it('ends by itself → its code and last lines are told, and what it left is killed', async () => {
    const box = await supervised({ without });
    const leaves = node(
      `require('node:child_process').spawn('setsid', ['-f', 'sleep', '1000'], { stdio: 'ignore' }).on('exit', () => { console.error('out of labels'); process.exit(3); })`,
    );
    box.client.start(duty(leaves));
    expect(await box.heard('exited')).toMatchObject({
      code: 3,
      signal: null,
      reason: expect.stringContaining('out of labels'),
    });
    expect(marked(box.name)).toEqual([]);
  });
});

/** With a waiter in front of the program, and without. */
describe.each([ways[0], ways[2]])('a duty under $kind', ({ without }) => {
  it('asked to stop → SIGTERM reaches the program, which ends in order', async () => {
    const box = await supervised({ without });
    const polite = node(
      `process.on('SIGTERM', () => { console.log('good bye'); process.exit(7); }); setInterval(() => {}, 1e6); console.log('up')`,
    );
    const log = `${box.folder}/logs/label.log`;
    box.client.start(duty(polite, { log }));
    await box.heard('started');
    await eventually(() => readFileSync(log, 'utf8').includes('up'), { what: 'the program is up' });
    box.client.stop('press/label', 5_000);
    const begun = monotonicNow();
    await box.heard('stopped');
    expect(monotonicNow() - begun).toBeLessThan(1_000);
    expect(readFileSync(log, 'utf8')).toBe('up\ngood bye\n');
  });

  it('asked to stop, deaf to SIGTERM → killed after the grace', async () => {
    const box = await supervised({ without });
    box.client.start(duty(forkHappy));
    await box.heard('started');
    await eventually(() => marked(box.name).length > 5, { what: 'it is up' });
    box.client.stop('press/label', 150);
    await box.heard('stopped');
    expect(marked(box.name)).toEqual([]);
  });

  it('frozen → killed all the same when its right ends', async () => {
    const box = await supervised({ without });
    const until = monotonicNow() + 2_000;
    box.client.start(duty(['sleep', '1000'], { until }));
    await box.heard('started');
    for (const pid of marked(box.name)) process.kill(pid, 'SIGSTOP');
    await box.heard('exited');
    expect(monotonicNow()).toBeLessThan(until + 20);
    expect(marked(box.name)).toEqual([]);
  });
});

describe('a right to run', () => {
  it('extended → the duty goes on; no longer extended → it ends on time', async () => {
    const box = await supervised();
    let until = monotonicNow() + 2_500;
    box.client.start(duty(['sleep', '1000'], { until }));
    await box.heard('started');
    for (let i = 0; i < 4; i++) {
      await sleep(200);
      until = monotonicNow() + 2_500;
      const from = box.said.length;
      expect(box.client.extend('press/label', until)).toBe(true);
      expect((await box.heard('extended', from)).until).toBe(until);
    }
    // An earlier instant takes nothing away.
    box.client.extend('press/label', until - 300);
    await box.heard('exited');
    const late = monotonicNow() - until;
    expect(late).toBeLessThan(20);
    expect(late).toBeGreaterThan(-600);
    expect(box.client.extend('press/label', until + 1_000)).toBe(true);
    const from = box.said.length;
    await sleep(50);
    expect(box.said.slice(from)).toEqual([]);
  });

  it('agent blocked for 5 s → the duty ends when its right ends, not when the agent wakes up', async () => {
    const box = await supervised();
    const until = monotonicNow() + 1_600;
    box.client.start(duty(['sleep', '1000'], { until }));
    const { pid } = await box.heard('started');
    box.raw('#block 5000');
    await eventually(() => !isRunning(pid), { what: 'killed', everyMs: 5, deadlineMs: 5_000 });
    expect(monotonicNow()).toBeLessThan(until + 20);
    expect(isRunning(box.agents[0]!)).toBe(true);
  });

  it('agent frozen → the duty ends when its right ends', async () => {
    const box = await supervised();
    const until = monotonicNow() + 1_600;
    box.client.start(duty(['sleep', '1000'], { until }));
    const { pid } = await box.heard('started');
    process.kill(box.agents[0]!, 'SIGSTOP');
    await eventually(() => !isRunning(pid), { what: 'killed', everyMs: 5, deadlineMs: 5_000 });
    expect(monotonicNow()).toBeLessThan(until + 20);
  });

  it('supervisor stalled while the extension waits in its stream → the duty goes on', async () => {
    const box = await supervised({ killMs: '3500' });
    const until = monotonicNow() + 5_000;
    box.client.start(duty(['sleep', '1000'], { until }));
    const { pid } = await box.heard('started');
    box.process.kill('SIGSTOP');
    box.client.extend('press/label', monotonicNow() + 20_000);
    // Past the instant at which it would be killed, not past the end of its right.
    await sleep(until - 3_000 - monotonicNow());
    box.process.kill('SIGCONT');
    await box.heard('extended');
    expect(isRunning(pid)).toBe(true);
  });

  it('over already, or an hour too far → it does not start', async () => {
    const box = await supervised();
    box.client.start(duty(['sleep', '1'], { until: monotonicNow() - 1 }));
    expect((await box.heard('failed')).reason).toContain('right to run is over');
    const from = box.said.length;
    box.client.start(duty(['sleep', '1'], { until: monotonicNow() + 4_000_000 }));
    expect((await box.heard('failed', from)).reason).toContain('too far');
  });

  it('sent before the box slept, read after → shortened by the sleep', async () => {
    const box = await supervised();
    // The stamp says that 10 s have passed since, by the clock that counts suspend, unseen by the monotonic one.
    const uptime = Number.parseFloat(readFileSync('/proc/uptime', 'utf8')) * 1000;
    const ask = { do: 'start', ...duty(['sleep', '9'], { until: monotonicNow() + 5_000 }) };
    box.raw(JSON.stringify({ ...ask, boot: uptime - monotonicNow() - 10_000 }));
    expect((await box.heard('failed')).reason).toContain('right to run is over');
  });
});

describe('a start', () => {
  it('unknown program, unusable folder, one that runs already → refused in words', async () => {
    const box = await supervised();
    box.client.start(duty(['no-such-program']));
    expect((await box.heard('failed')).reason).toBe('there is no program "no-such-program" in PATH');
    let from = box.said.length;
    box.client.start(duty(['sleep', '1'], { cwd: '/no/such/folder' }));
    expect((await box.heard('failed', from)).reason).toContain('/no/such/folder');
    box.client.start(duty(['sleep', '1000']));
    await box.heard('started');
    from = box.said.length;
    box.client.start(duty(['sleep', '1000']));
    expect((await box.heard('failed', from)).reason).toContain('runs already');
    box.client.stop('press/other', 0);
    expect(await box.heard('stopped')).toMatchObject({ duty: 'press/other' });
  });

  it('environment → what was asked for and the marks, nothing of the supervisor or agent', async () => {
    const box = await supervised();
    const log = `${box.folder}/env.log`;
    box.client.start(duty(['env'], { log, env: { PATH: '/usr/bin:/bin', MILLWRIGHT_TOKEN: '0001000000000007' } }));
    expect(await box.heard('exited')).toMatchObject({ code: 0 });
    await eventually(() => readFileSync(log, 'utf8').split('\n').length > 3);
    const lines = readFileSync(log, 'utf8').trim().split('\n').sort();
    expect(lines).toEqual([
      `MILLWRIGHT_SUPERVISOR=${box.name}`,
      expect.stringMatching(/^MILLWRIGHT_SUPERVISOR_LIFE=[0-9a-f-]{36}\.\d+\.\d+$/),
      'MILLWRIGHT_TOKEN=0001000000000007',
      'PATH=/usr/bin:/bin',
    ]);
    expect(box.agentEnv).not.toContain('MALLOC_ARENA_MAX');
    expect(box.agentEnv).not.toContain('UV_THREADPOOL_SIZE');
  });

  it('prints without end → two files of a bounded size, and the duty goes on', async () => {
    const box = await supervised();
    const log = `${box.folder}/flood.log`;
    box.client.start(duty(['yes', 'a line that says the same for ever'], { log }));
    const { pid } = await box.heard('started');
    await eventually(() => readFileSync(`${log}.1`).length > 500_000, { what: 'the older file' });
    // Between two files there is none for a moment.
    const size = await eventually(() => readFileSync(log).length);
    expect(size).toBeLessThanOrEqual(1_048_576);
    expect(readFileSync(`${log}.1`).length).toBeLessThanOrEqual(1_048_576);
    expect(isRunning(pid)).toBe(true);
  });
});
