import { spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it, onTestFinished } from 'vitest';
import { prepareLaunch } from '../../agent/supervisor/launch.ts';
import { eventually } from '../support/eventually.ts';
import { isRunning } from '../support/process-tree.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { duty, marked, supervised } from './harness.ts';

/** systemd's end of sd_notify(3): prints each datagram with the process that sent it. Node has no Unix datagrams. */
const ear = `use Socket; $| = 1; socket(my $s, PF_UNIX, SOCK_DGRAM, 0) or die; bind($s, pack_sockaddr_un($ARGV[0])) or die;
print "listening\\n"; while (defined recv($s, my $text, 4096, 0)) { $text =~ s/\\n/ /g; print "$text\\n"; }`;

async function systemd() {
  const folder = await temporaryFolder();
  const socket = join(folder, 'notify');
  const listener = spawn('perl', ['-e', ear, socket], { stdio: ['ignore', 'pipe', 'inherit'] });
  onTestFinished(() => void listener.kill());
  let text = '';
  listener.stdout.setEncoding('utf8').on('data', (more: string) => {
    text += more;
  });
  await eventually(() => text.includes('listening'));
  return { folder, socket, heard: () => text.split('\n').slice(1, -1) };
}

describe('who watches the supervisor', () => {
  it('nobody → unprotected, and it says why', async () => {
    const box = await supervised({ env: { ...process.env, NOTIFY_SOCKET: undefined, WATCHDOG_USEC: undefined } });
    expect(box.said[0]).toMatchObject({ protected: false, why: expect.stringContaining('not started by systemd') });
    expect((await box.heard('hello')).watchdogMs).toBeUndefined();
  });

  it('systemd with WatchdogSec → protected; beats four times per interval; agent and duties cannot speak for it', async () => {
    const { folder, socket, heard } = await systemd();
    const box = await supervised({ folder, env: { ...process.env, NOTIFY_SOCKET: socket, WATCHDOG_USEC: '400000' } });
    expect(box.said[0]).toMatchObject({ protected: true, watchdogMs: 400 });
    expect(box.agentEnv.filter((name) => /NOTIFY|WATCHDOG/.test(name))).toEqual([]);
    await eventually(() => heard().includes('READY=1'));
    const before = heard().length;
    await sleep(800);
    expect(heard().length - before).toBeGreaterThanOrEqual(6);
    expect(heard().length - before).toBeLessThanOrEqual(9);
  });

  it('the supervisor hangs → no beat; what systemd then does leaves neither agent nor duty', async () => {
    const { folder, socket, heard } = await systemd();
    const box = await supervised({ folder, env: { ...process.env, NOTIFY_SOCKET: socket, WATCHDOG_USEC: '400000' } });
    box.client.start(duty(['sleep', '1000']));
    await box.heard('started');
    box.process.kill('SIGSTOP');
    await sleep(150);
    const before = heard().length;
    await sleep(400);
    expect(heard().length).toBe(before);
    // WatchdogSignal=SIGKILL of the unit.
    box.process.kill('SIGKILL');
    await eventually(() => !isRunning(box.agents[0]!) && marked(box.name).length === 0, { what: 'nothing left' });
  });

  it('no WatchdogSec, or a socket that nobody reads → unprotected', async () => {
    const { folder, socket } = await systemd();
    const unwatched = await supervised({ folder, env: { ...process.env, NOTIFY_SOCKET: socket } });
    expect(unwatched.said[0]).toMatchObject({ protected: false, why: expect.stringContaining('no WatchdogSec') });
    const env = { ...process.env, NOTIFY_SOCKET: `${folder}/nobody`, WATCHDOG_USEC: '400000' };
    expect((await supervised({ env })).said[0]).toMatchObject({ protected: false });
  });

  it('hardware watchdog named → written to; one that cannot be opened protects nobody', async () => {
    const box = await supervised({ watchdogDevice: '/dev/null' });
    expect(box.said[0]).toMatchObject({ protected: true, watchdogMs: 60_000 });
    const other = await supervised({ watchdogDevice: '/dev/no-such-watchdog' });
    expect(other.said[0]).toMatchObject({ protected: false, why: expect.stringContaining('cannot be opened') });
  });
});

describe('one supervisor', () => {
  it('a second one of the same name → refused with the remedy, the first goes on', async () => {
    const box = await supervised();
    box.client.start(duty(['sleep', '1000']));
    const { pid } = await box.heard('started');
    const { program, args, env } = prepareLaunch(['true'], { name: box.name, state: join(box.folder, 'state') });
    const second = spawn(program, args, { env, stdio: ['ignore', 'ignore', 'pipe'] });
    let told = '';
    second.stderr.setEncoding('utf8').on('data', (text: string) => {
      told += text;
    });
    expect(await new Promise((resolve) => second.once('close', resolve))).toBe(2);
    expect(told).toMatch(new RegExp(`process ${box.process.pid} supervises .*Remedy`));
    expect(isRunning(pid)).toBe(true);
  });

  it('killed, without any containment → the next one kills what it left, by its register', async () => {
    const without = ['cgroup', 'namespace'] as const;
    const box = await supervised({ without });
    // Two generations: the first dies with the supervisor, the second is what the register is for.
    box.client.start(duty(['timeout', '--foreground', '1000', 'sleep', '1000']));
    await box.heard('started');
    await eventually(() => marked(box.name).length === 2);
    box.process.kill('SIGKILL');
    await box.exit;
    await eventually(() => marked(box.name).length === 1, { what: 'the orphan stays' });
    await supervised({ without, name: box.name, folder: box.folder });
    await eventually(() => marked(box.name).length === 0, { what: 'the orphan is killed', deadlineMs: 15_000 });
  });

  it('killed before it registered what it had just started → found by the mark of that life, also outside its group', async () => {
    const without = ['cgroup', 'namespace'] as const;
    const box = await supervised({ without });
    box.client.start(duty(['bash', '-c', 'setsid sleep 1000 & sleep 1000 & wait']));
    await box.heard('started');
    await eventually(() => marked(box.name).length === 3);
    box.process.kill('SIGKILL');
    await box.exit;
    await eventually(() => marked(box.name).length === 2, { what: 'the orphans stay' });
    const file = join(box.folder, 'state', 'register.json');
    writeFileSync(file, JSON.stringify({ ...JSON.parse(readFileSync(file, 'utf8')), leaders: [] }));
    await supervised({ without, name: box.name, folder: box.folder });
    await eventually(() => marked(box.name).length === 0, { what: 'the orphans are killed' });
  });

  it('agent ends with a failure → started anew, later each time; falls silent after a beat → killed and started anew', async () => {
    const box = await supervised({ beatTimeoutMs: '1000' });
    let from = box.said.length;
    box.raw('#exit 1');
    await box.heard('hello', from);
    await eventually(() => box.agents.length === 2);
    from = box.said.length;
    box.client.beat();
    await box.heard('hello', from);
    await eventually(() => box.agents.length === 3);
    expect(box.log()).toContain('fallen silent');
  });

  it('agent ends again and again → waits twice as long each time up to the bound; after a long life, as at first', async () => {
    const box = await supervised({ restartMaxMs: '500', restartSettledMs: '1500' });
    const waits = (): number[] => [...box.log().matchAll(/"inMs":(\d+)/g)].map(([, ms]) => Number(ms));
    for (const lives of [2, 3, 4]) {
      box.raw('#exit 1');
      await eventually(() => box.agents.length === lives);
    }
    expect(waits()).toEqual([200, 400, 500]);
    // The life that began last is let run for as long as makes it a good one.
    const begun = performance.now();
    await eventually(() => performance.now() - begun > 1_700, { what: 'a long life' });
    box.raw('#exit 1');
    await eventually(() => box.agents.length === 5);
    expect(waits()).toEqual([200, 400, 500, 200]);
  });

  it('garbage, half lines and too long ones from the agent → counted; what is right in between still counts', async () => {
    const box = await supervised();
    box.raw('no json');
    box.raw('{"do":"extend","duty":7}');
    box.raw('{"do":"start","duty":"press/label","argv":[]}');
    expect(await box.heard('failed')).toMatchObject({
      duty: 'press/label',
      reason: expect.stringContaining('protocol'),
    });
    box.raw(`{"do":"${'x'.repeat(100_000)}"}`);
    box.raw('{"do":"session","cell":"line-1","epoch":1,"targets":[{"host":"example.org","port":1}],"guardMs":0}');
    box.client.session('line-1', 1, [], 0);
    expect(await box.heard('session')).toMatchObject({ cell: 'line-1', epoch: 1 });
    expect(box.said.filter(({ is }) => is !== 'hello')).toHaveLength(2);
    box.raw('#exit 0');
    expect(await box.exit).toBe(0);
    expect(box.log()).toContain('"garbage":5');
  });
});
