import { createSocket } from 'node:dgram';
import { writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { createJumpProbe } from '../../../agent/adapters/checks/clock-offset.ts';
import { look, prober, script, tree } from './probing.ts';

describe('inodes', () => {
  test('of this very box → a share; of a missing path → bad', async () => {
    const { value, status } = await look({ kind: 'inode', path: '/' });
    expect(status).toBeUndefined();
    expect(value).toBeGreaterThanOrEqual(0);
    expect(value).toBeLessThanOrEqual(100);
    expect((await look({ kind: 'inode', path: '/no/such' })).status).toBe('crit');
  });
});

describe('network interface', () => {
  const face = (statistics: Readonly<Record<string, number>>, more: Readonly<Record<string, string>> = {}) => {
    const files: Record<string, string> = { 'class/net/eth0/operstate': 'up\n', ...more };
    for (const name of ['rx_bytes', 'tx_bytes', 'rx_errors', 'tx_errors', 'rx_dropped', 'tx_dropped'])
      files[`class/net/eth0/statistics/${name}`] = `${statistics[name] ?? 0}\n`;
    return tree(files);
  };

  test('link → carrier decides; a missing interface is bad and the others are named', async () => {
    const ask = (sys: string, name = 'eth0') => look({ kind: 'network', interface: name, measure: 'link' }, { sys });
    const up = face({}, { 'class/net/eth0/carrier': '1\n', 'class/net/eth0/speed': '1000\n' });
    expect(await ask(up)).toMatchObject({ status: 'ok', text: 'eth0 has a link, 1000 Mbit/s' });
    expect(await ask(face({}, { 'class/net/eth0/carrier': '0\n' }))).toMatchObject({ status: 'crit' });
    expect(await ask(face({}, { 'class/net/eth0/operstate': 'down\n' }))).toMatchObject({
      status: 'crit',
      text: 'eth0 is down',
    });
    expect(await ask(up, 'eth9')).toMatchObject({ status: 'crit', text: 'there is no interface eth9; there are eth0' });
    expect((await ask('/no/such')).status).toBe('unknown');
  });

  test('link of this very box’s loopback → there is one', async () => {
    expect((await look({ kind: 'network', interface: 'lo', measure: 'link' })).status).toBe('ok');
  });

  test('errors → those since the last look; a counter that fell starts anew', async () => {
    const sys = face({ rx_errors: 1_000 });
    const ask = prober({ kind: 'network', interface: 'eth0', measure: 'errors' }, { sys });
    const set = (count: number) => writeFileSync(join(sys, 'class/net/eth0/statistics/rx_errors'), `${count}\n`);
    expect((await ask()).value).toBe(0);
    set(1_007);
    expect((await ask()).value).toBe(7);
    expect((await ask()).value).toBe(0);
    set(3);
    expect((await ask()).value).toBe(3);
  });

  test('rate → bytes per second of the busier direction', async () => {
    const sys = face({ rx_bytes: 0, tx_bytes: 5_000_000 });
    const ask = prober({ kind: 'network', interface: 'eth0', measure: 'rate' }, { sys });
    expect(await ask()).toMatchObject({ value: 0, perf: [{ unit: 'B/s' }] });
    const begun = performance.now();
    await new Promise((resolve) => setTimeout(resolve, 120));
    writeFileSync(join(sys, 'class/net/eth0/statistics/rx_bytes'), '1000000\n');
    const { value, text } = await ask();
    const most = 1_000_000 / ((performance.now() - begun) / 1_000);
    expect(value).toBeGreaterThan(0.5 * most);
    expect(value).toBeLessThan(1e7);
    expect(text).toContain('MB/s, sends 0 B/s');
  });
});

describe('clock', () => {
  const chrony = (line: string) => ({ programs: { chronyc: [script(`echo '${line}'`)] } });
  const none = { chronyc: ['/no/such/chronyc'], timedatectl: ['/no/such/timedatectl'] };
  const good = 'C0A80001,192.168.0.1,3,1700000000.1,-0.000512,0.0001,0.0002,-1.5,0.001,0.02,0.01,0.002,64.2,Normal';

  test('chrony in step → good, with its source; its offset is the value without sign', async () => {
    expect(await look({ kind: 'clock-synchronised' }, chrony(good))).toMatchObject({
      status: 'ok',
      text: 'chrony: in step with 192.168.0.1, -0.512 ms off',
    });
    expect((await look({ kind: 'clock-offset', against: undefined }, chrony(good))).value).toBe(0.000512);
  });

  test('chrony without a source → bad; its offset is no offset', async () => {
    const lost = chrony('7F7F0101,,10,0,0.000000,0,0,0,0,1,1,0,Not synchronised'.replace(',10,', ',10,0,'));
    expect((await look({ kind: 'clock-synchronised' }, lost)).status).toBe('crit');
    expect((await look({ kind: 'clock-offset', against: undefined }, lost)).status).toBe('unknown');
  });

  test.each([
    ['NTPSynchronized=yes\nNTP=yes', 'ok', 'is synchronised'],
    ['NTPSynchronized=no\nNTP=no', 'crit', 'no time service is switched on'],
    ['something else', 'unknown', 'neither chronyc nor timedatectl'],
  ])('no chrony, systemd says %j → %s', async (said, status, text) => {
    const programs = { ...none, timedatectl: [script(`printf '${said}\\n'`)] };
    const answer = await look({ kind: 'clock-synchronised' }, { programs });
    expect(answer.status).toBe(status);
    expect(answer.text).toContain(text);
  });

  test('nobody to ask → unknown, with the way out', async () => {
    expect((await look({ kind: 'clock-synchronised' }, { programs: none })).status).toBe('unknown');
    expect((await look({ kind: 'clock-offset', against: undefined }, { programs: none })).text).toContain(
      'name a server',
    );
  });

  /** A time server whose clock is `aheadMs` ahead of ours. */
  async function timeServer(aheadMs: number, how: 'well' | 'unsynchronised' | 'garbage' | 'silent' = 'well') {
    const socket = createSocket('udp4');
    onTestFinished(() => void socket.close());
    socket.on('message', (question, from) => {
      if (how === 'silent') return;
      const answer = Buffer.alloc(48);
      answer[0] = how === 'unsynchronised' ? 0xe4 : 0x24;
      answer[1] = 2;
      question.copy(answer, 24, 40, 48);
      const now = Date.now() + aheadMs;
      for (const at of [32, 40]) {
        answer.writeUInt32BE((Math.floor(now / 1_000) + 2_208_988_800) % 2 ** 32, at);
        answer.writeUInt32BE(Math.floor(((now % 1_000) / 1_000) * 2 ** 32), at + 4);
      }
      socket.send(how === 'garbage' ? Buffer.from('what?') : answer, from.port, from.address);
    });
    await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
    return { host: '127.0.0.1', port: (socket.address() as AddressInfo).port };
  }

  test('a time server that is 90 s ahead → 90 s', async () => {
    const { value, text } = await look({ kind: 'clock-offset', against: await timeServer(90_000) });
    expect(value).toBeGreaterThan(89.5);
    expect(value).toBeLessThan(90.5);
    expect(text).toMatch(/^clock 90.* s off by 127/);
  });

  test.each(['unsynchronised', 'garbage', 'silent'] as const)('a time server that is %s → unknown', async (how) => {
    expect((await look({ kind: 'clock-offset', against: await timeServer(0, how) }, {}, 300)).status).toBe('unknown');
  });

  test('jumps: a set clock is told for ten minutes; slewing is none', async () => {
    let wall = 1e12;
    let monotonic = 0;
    const ask = createJumpProbe(() => ({ wall, monotonic }));
    const pass = (ms: number, step = 0) => {
      monotonic += ms;
      wall += ms + step;
      return ask();
    };
    expect((await ask()).value).toBe(0);
    expect((await pass(30_000, 15)).value).toBe(0);
    expect(await pass(30_000, -7_200_000)).toMatchObject({ value: 7_200, text: 'the clock was set by -7200 s' });
    expect((await pass(540_000)).value).toBe(7_200);
    expect((await pass(61_000)).value).toBe(0);
  });
});

describe('service', () => {
  const unit = (said: string) => () => ({ programs: { systemctl: [script(`printf '${said}'`)] } });
  const state = (active: string, sub: string, more = '') =>
    unit(`LoadState=loaded\\nActiveState=${active}\\nSubState=${sub}\\n${more}`);

  test.each([
    [state('active', 'running'), 'ok', 'nginx.service is active (running)'],
    [state('activating', 'start'), 'warn', 'nginx.service is activating (start)'],
    [state('activating', 'auto-restart'), 'crit', 'nginx.service is activating (auto-restart)'],
    [state('failed', 'failed', 'Result=oom-kill\\n'), 'crit', 'nginx.service is failed: oom-kill'],
    [state('inactive', 'dead', 'Result=success\\n'), 'crit', 'nginx.service is inactive (dead)'],
    [unit('LoadState=not-found\\nActiveState=inactive\\n'), 'crit', 'there is no unit nginx.service'],
    [unit('nothing of use\\n'), 'unknown', 'nginx.service: systemctl gave no state'],
  ])('what systemctl says %# → its status', async (roots, status, text) => {
    expect(await look({ kind: 'service', unit: 'nginx.service' }, roots())).toMatchObject({ status, text });
  });

  test('no systemd on the box → unknown, with its reason', async () => {
    const programs = { systemctl: [script('echo "Failed to connect to bus" >&2; exit 1')] };
    expect(await look({ kind: 'service', unit: 'x.service' }, { programs })).toMatchObject({
      status: 'unknown',
      text: 'x.service: systemctl: Failed to connect to bus',
    });
  });

  test('restarted between two looks → active, and told', async () => {
    const count = join(tree({ n: '3' }), 'n');
    const systemctl = script(
      `printf 'LoadState=loaded\\nActiveState=active\\nSubState=running\\nNRestarts=%s\\n' "$(cat ${count})"`,
    );
    const ask = prober({ kind: 'service', unit: 'hmi.service' }, { programs: { systemctl: [systemctl] } });
    expect((await ask()).text).toBe('hmi.service is active (running)');
    writeFileSync(count, '5');
    expect((await ask()).text).toBe('hmi.service is active (running), restarted 2 times since the last look');
  });
});
