import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, copyFileSync, mkdirSync, utimesSync, writeFileSync } from 'node:fs';
import { createServer as createHttp, type Server as HttpServer } from 'node:http';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { afterEach, describe, expect, onTestFinished, test } from 'vitest';
import { createCheckPort, type ProbingCheckPort } from '../../../agent/adapters/checks/check-port.ts';
import { systemRoots } from '../../../agent/adapters/checks/probe.ts';
import { listProcesses } from '../../../agent/adapters/connections/process-table.ts';
import type { ProcessState } from '../../../agent/adapters/duty-runners/process.ts';
import { entryId } from '../../../agent/base/ids.ts';
import { wallTime } from '../../../agent/base/time.ts';
import type { CheckObservation, CheckSpec } from '../../../agent/core/health/check.ts';
import type { SitePlan } from '../../../agent/core/site-plan.ts';
import type { Probe } from '../../../agent/driver/bindings.ts';
import { eventually } from '../../support/eventually.ts';
import { needs } from '../../support/needs.ts';
import { Inbox, processDuty, silent, temporaryFolder } from '../duty-runners/doubles.ts';

const plugins = '/usr/lib/nagios/plugins';

const specOf = (probe: Probe, index: number, timeoutMs: number): CheckSpec => ({
  index,
  id: entryId(`edge-1/${probe.kind}-${index}`),
  thing: 0,
  runsOn: { on: 'agent', agent: 0 },
  everyMs: 1_000,
  timeoutMs,
  source: { kind: 'probe', probe },
  warn: undefined,
  crit: undefined,
  warnWhen: undefined,
  critWhen: undefined,
  deadband: 0,
  raise: { kind: 'count', n: 1 },
  clear: { kind: 'count', n: 1 },
  onlyIn: [],
  graceMs: 0,
});

const open: ProbingCheckPort[] = [];
afterEach(() => {
  for (const port of open.splice(0)) port.stop();
});

function portWith(
  probes: readonly Probe[],
  options: {
    timeoutMs?: number;
    parallel?: number;
    processOf?: () => ProcessState | undefined;
    roots?: Partial<typeof systemRoots>;
  } = {},
) {
  const inbox = new Inbox();
  const checks = probes.map((probe, index) => specOf(probe, index, options.timeoutMs ?? 5_000));
  const port = createCheckPort({
    site: { plan: { checks, duties: [processDuty(['sleep', '1'])] } as unknown as SitePlan },
    deliver: inbox.deliver,
    processOf: options.processOf ?? (() => undefined),
    roots: { ...systemRoots, ...options.roots },
    parallel: options.parallel ?? 8,
    log: silent,
  });
  open.push(port);
  const observed = (check = 0) => inbox.of('check-observed').filter((input) => input.check === check);
  return { port, inbox, observed };
}

async function answerOf(probe: Probe, options: Parameters<typeof portWith>[1] = {}): Promise<CheckObservation> {
  const { port, observed } = portWith([probe], options);
  port.run(0);
  await eventually(() => observed().length > 0, { deadlineMs: 10_000 });
  expect(observed()).toHaveLength(1);
  return observed()[0]!.observation;
}

/** A made-up /proc or /sys. */
function tree(files: Readonly<Record<string, string>>): string {
  const root = temporaryFolder();
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(join(root, path, '..'), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  return root;
}

const script = (text: string): string => {
  const path = join(temporaryFolder(), 'check_it');
  writeFileSync(path, `#!/bin/bash\n${text}\n`);
  chmodSync(path, 0o755);
  return path;
};

async function listening<S extends Server | HttpServer>(server: S): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    if ('closeAllConnections' in server) server.closeAllConnections();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

describe('host probes', () => {
  test('memory from the kernel’s figures → share that is not available', async () => {
    const proc = tree({ meminfo: 'MemTotal:  4096000 kB\nMemFree:  100000 kB\nMemAvailable:  1024000 kB\n' });
    expect(await answerOf({ kind: 'memory' }, { roots: { proc } })).toMatchObject({
      status: undefined,
      value: 75,
      text: 'memory 75 % used, 1000 of 4000 MiB available',
      perf: [{ label: 'memory', value: 75, unit: '%' }],
    });
  });

  test('memory on an old kernel without MemAvailable → free, buffers and cache count as available', async () => {
    const proc = tree({ meminfo: 'MemTotal: 1000 kB\nMemFree: 100 kB\nBuffers: 100 kB\nCached: 300 kB\n' });
    expect((await answerOf({ kind: 'memory' }, { roots: { proc } })).value).toBe(50);
  });

  test('cpu between two looks → busy share, waiting for the disk is idle', async () => {
    const proc = tree({ stat: 'cpu  100 0 100 800 0 0 0 0 0 0\ncpu0 1 1 1 1\n' });
    const { port, observed } = portWith([{ kind: 'cpu' }], { roots: { proc } });
    port.run(0);
    await eventually(() => observed().length === 1);
    expect(observed()[0]?.observation.value).toBe(0);
    writeFileSync(join(proc, 'stat'), 'cpu  125 0 125 900 50 0 0 0 0 0\n');
    port.run(0);
    await eventually(() => observed().length === 2);
    expect(observed()[1]?.observation).toMatchObject({ value: 25, text: 'cpu 25 % busy' });
  });

  test('cpu, memory, load and disk of this very box → figures in range', async () => {
    for (const probe of [{ kind: 'cpu' }, { kind: 'memory' }, { kind: 'disk', path: '/' }] as const) {
      const { value, status } = await answerOf(probe);
      expect(status).toBeUndefined();
      expect(value).toBeGreaterThanOrEqual(0);
      expect(value).toBeLessThanOrEqual(100);
    }
    expect((await answerOf({ kind: 'load', minutes: 1 })).value).toBeGreaterThanOrEqual(0);
  });

  test('load over 15 minutes → third column', async () => {
    const proc = tree({ loadavg: '0.50 1.25 2.75 1/300 4242\n' });
    expect((await answerOf({ kind: 'load', minutes: 15 }, { roots: { proc } })).value).toBe(2.75);
  });

  test('disk on a missing path → bad, with the path', async () => {
    expect(await answerOf({ kind: 'disk', path: '/no/such/mount' })).toMatchObject({
      status: 'crit',
      text: 'disk /no/such/mount: there is no such path',
    });
  });

  test('temperature without a name → the hottest that is plausible', async () => {
    const sys = tree({
      'class/thermal/thermal_zone0/type': 'acpitz\n',
      'class/thermal/thermal_zone0/temp': '27800\n',
      'class/thermal/thermal_zone1/type': 'absent\n',
      'class/thermal/thermal_zone1/temp': '-274000\n',
      'class/hwmon/hwmon3/name': 'coretemp\n',
      'class/hwmon/hwmon3/temp1_input': '61500\n',
      'class/hwmon/hwmon3/temp1_label': 'Package id 0\n',
    });
    expect(await answerOf({ kind: 'temperature', sensor: undefined }, { roots: { sys } })).toMatchObject({
      value: 61.5,
      text: 'coretemp/Package id 0 61.5 °C',
    });
    expect((await answerOf({ kind: 'temperature', sensor: 'acpitz' }, { roots: { sys } })).value).toBe(27.8);
    const wrong = await answerOf({ kind: 'temperature', sensor: 'gpu' }, { roots: { sys } });
    expect(wrong).toMatchObject({ status: 'unknown' });
    expect(wrong.text).toContain('acpitz, coretemp/Package id 0');
  });

  test('temperature on a box without sensors → unknown, not bad', async () => {
    expect(
      await answerOf({ kind: 'temperature', sensor: undefined }, { roots: { sys: temporaryFolder() } }),
    ).toMatchObject({
      status: 'unknown',
      text: 'temperature: this box has no sensor',
    });
  });

  test('file age → seconds since its change; missing is bad, from the future is unknown', async () => {
    const path = join(temporaryFolder(), 'backup');
    writeFileSync(path, '');
    utimesSync(path, new Date(), new Date(Date.now() - 7_300_000));
    expect(await answerOf({ kind: 'file-age', path })).toMatchObject({ value: 7_300, text: `${path} is 2 h old` });
    utimesSync(path, new Date(), new Date(Date.now() + 600_000));
    expect((await answerOf({ kind: 'file-age', path })).status).toBe('unknown');
    expect((await answerOf({ kind: 'file-age', path: `${path}-no` })).status).toBe('crit');
  });
});

describe('process probes', () => {
  const running: ProcessState = { pid: 42, startedAt: wallTime(0), running: true, generation: 1, exit: undefined };
  const ended: ProcessState = {
    ...running,
    running: false,
    exit: { code: 1, signal: undefined, at: wallTime(1), reason: 'exit code 1: no licence' },
  };

  test.each([
    [running, 'ok', 'labels/service-0 runs as process 42'],
    [ended, 'crit', 'labels/service-0 does not run: exit code 1: no licence'],
    [{ ...running, running: false, generation: 0 }, 'unknown', 'labels/service-0 is being started'],
    [{ ...running, running: false }, 'crit', 'labels/service-0 does not run: it has just ended'],
    [undefined, 'unknown', 'labels/service-0 is not held by this agent'],
  ])('state of a duty’s process %# → its status', async (state, status, text) => {
    expect(await answerOf({ kind: 'process', duty: 0 }, { processOf: () => state })).toMatchObject({ status, text });
  });

  test('process changed → its checks are answered unasked, others are not', () => {
    const { port, inbox } = portWith([{ kind: 'memory' }, { kind: 'process', duty: 0 }], { processOf: () => ended });
    port.processChanged(0);
    expect(inbox.of('check-observed').map((input) => [input.check, input.observation.status])).toEqual([[1, 'crit']]);
  });

  test('process by name → found by its executable, also the second time; killed or missing is bad', async () => {
    const name = 'millwright-test-sleeper';
    const path = join(temporaryFolder(), name);
    copyFileSync('/usr/bin/sleep', path);
    const child = spawn(path, ['627'], { stdio: 'ignore' });
    onTestFinished(() => void child.kill('SIGKILL'));
    const { port, observed } = portWith([{ kind: 'process-name', name }]);
    const ask = async () => {
      const before = observed().length;
      port.run(0);
      await eventually(() => observed().length > before);
      return observed().at(-1)?.observation;
    };
    const running = { status: 'ok', text: `${name} runs as process ${child.pid}` };
    expect(await ask()).toMatchObject(running);
    expect(await ask()).toMatchObject(running);
    child.kill('SIGKILL');
    await once(child, 'exit');
    expect(await ask()).toMatchObject({ status: 'crit', text: `no process ${name}` });
  });
});

describe('network probes', () => {
  test('tcp: open port, then the server is gone → ok, then refused', async () => {
    const server = createServer();
    const port = await listening(server);
    expect((await answerOf({ kind: 'tcp', host: '127.0.0.1', port })).status).toBe('ok');
    await new Promise((resolve) => server.close(resolve));
    expect(await answerOf({ kind: 'tcp', host: '127.0.0.1', port })).toMatchObject({
      status: 'crit',
      text: `connection refused by 127.0.0.1:${port}`,
    });
  });

  test('tcp: a name that nobody has → unknown, since it may be our own resolver', async () => {
    expect((await answerOf({ kind: 'tcp', host: 'no-such-host.invalid', port: 80 })).status).toBe('unknown');
  });

  test('http: status and text are judged', async () => {
    const server = createHttp((request, response) => {
      if (request.url === '/endless') {
        const more = () => {
          while (!response.destroyed && response.write('x'.repeat(65_536)));
        };
        response.on('drain', more);
        more();
        return;
      }
      response.statusCode = request.url === '/sick' ? 503 : 200;
      response.end('all is well');
    });
    const port = await listening(server);
    const url = (path: string) => `http://127.0.0.1:${port}${path}`;
    const ask = (path: string, status?: number, contains?: string) =>
      answerOf({ kind: 'http', url: url(path), status, contains });
    expect((await ask('/health', 200)).status).toBe('ok');
    expect((await ask('/health', undefined, 'well')).status).toBe('ok');
    expect(await ask('/health', 200, 'ill')).toMatchObject({
      status: 'crit',
      text: `${url('/health')} answers 200 without "ill"`,
    });
    expect(await ask('/sick', 200)).toMatchObject({
      status: 'crit',
      text: `${url('/sick')} answers 503 instead of 200`,
    });
    expect((await ask('/sick', 503)).status).toBe('ok');
    expect((await ask('/endless', 200, 'y')).text).toContain('in its first 256 kB');
  });

  test('http: a server that accepts and says nothing → bad within the time-out', async () => {
    const silentServer = createServer((socket) => socket.on('error', () => {}));
    const port = await listening(silentServer);
    const answer = await answerOf(
      { kind: 'http', url: `http://user:hunter2@127.0.0.1:${port}/`, status: 200, contains: undefined },
      { timeoutMs: 400 },
    );
    expect(answer).toMatchObject({ status: 'crit', text: `no answer from http://127.0.0.1:${port}/ in 0.4 s` });
    expect(answer.text).not.toContain('hunter2');
  });

  test('http: something else speaks there → bad, said so', async () => {
    const server = createServer((socket) => {
      socket.on('error', () => {});
      socket.end('SSH-2.0-OpenSSH_9.2\r\n');
    });
    const port = await listening(server);
    const answer = await answerOf({ kind: 'http', url: `http://127.0.0.1:${port}/`, status: 200, contains: undefined });
    expect(answer.status).toBe('crit');
    expect(answer.text).toContain('does not speak HTTP');
  });
});

describe('plugin probe', () => {
  test.each([
    ['0', 'ok'],
    ['1', 'warn'],
    ['2', 'crit'],
    ['3', 'unknown'],
  ])('Debian’s check_dummy with code %s → %s', needs('monitoring-plugins-basic'), async (code, status) => {
    const answer = await answerOf({ kind: 'plugin', argv: [`${plugins}/check_dummy`, code, 'as told'] });
    expect(answer.status).toBe(status);
    expect(answer.text).toContain('as told');
  });

  test(
    'Debian’s check_disk, check_load and check_procs → performance data of every item',
    needs('monitoring-plugins-basic'),
    async () => {
      const disk = await answerOf({
        kind: 'plugin',
        argv: [`${plugins}/check_disk`, '-w', '1%', '-c', '0%', '-p', '/'],
      });
      expect(disk.perf[0]).toMatchObject({ label: '/', unit: expect.stringMatching(/^[KMGT]?i?B$/), min: 0 });
      expect(disk.perf[0]?.value).toBeGreaterThan(0);
      const load = await answerOf({
        kind: 'plugin',
        argv: [`${plugins}/check_load`, '-w', '900,900,900', '-c', '999,999,999'],
      });
      expect(load.status).toBe('ok');
      expect(load.perf.map((item) => item.label)).toEqual(['load1', 'load5', 'load15']);
      expect(load.perf[0]).toMatchObject({ warn: '900.000', crit: '999.000', min: 0 });
      const procs = await answerOf({ kind: 'plugin', argv: [`${plugins}/check_procs`, '-w', '1:'] });
      expect(procs.perf[0]).toMatchObject({ label: 'procs', warn: '1:' });
    },
  );

  test('Debian’s check_tcp against a closed port → crit with its text', needs('monitoring-plugins-basic'), async () => {
    const server = createServer();
    const port = await listening(server);
    await new Promise((resolve) => server.close(resolve));
    const answer = await answerOf({
      kind: 'plugin',
      argv: [`${plugins}/check_tcp`, '-H', '127.0.0.1', '-p', String(port)],
    });
    expect(answer).toMatchObject({ status: 'crit' });
    expect(answer.text).toContain('Connection refused');
  });

  test('exit code above 3 → unknown with code and text', async () => {
    expect(await answerOf({ kind: 'plugin', argv: [script('echo "lost my way | a=1"; exit 42')] })).toMatchObject({
      status: 'unknown',
      text: 'check_it ended with code 42: lost my way',
      perf: [{ label: 'a', value: 1 }],
    });
  });

  test('killed by a signal → unknown', async () => {
    expect(await answerOf({ kind: 'plugin', argv: [script('kill -SEGV $$')] })).toMatchObject({
      status: 'unknown',
      text: 'check_it was killed by SIGSEGV',
    });
  });

  test('plugin missing → unknown with its path', async () => {
    expect(await answerOf({ kind: 'plugin', argv: ['/no/such/check_x'] })).toMatchObject({
      status: 'unknown',
      text: 'there is no program "/no/such/check_x"',
    });
  });

  test('plugin hangs, ignores SIGTERM and has a child → unknown in time, and both are gone', async () => {
    const path = script('trap "" TERM; sleep 615 & sleep 615');
    const begun = performance.now();
    const answer = await answerOf({ kind: 'plugin', argv: [path] }, { timeoutMs: 600 });
    expect(performance.now() - begun).toBeLessThan(4_000);
    expect(answer.status).toBe('unknown');
    expect(answer.text).toContain('timed out after');
    await eventually(async () => {
      const names = (await listProcesses()).filter((row) => row.state !== 'Z').map((row) => row.comm);
      return !names.includes('check_it');
    });
  });

  test('plugin prints 100 MB → cut, its first line and code stand', async () => {
    const answer = await answerOf(
      {
        kind: 'plugin',
        argv: [script('echo "WARNING - much to say | n=1"; head -c 100000000 /dev/zero | tr "\\0" x; exit 1')],
      },
      { timeoutMs: 20_000 },
    );
    expect(answer.status).toBe('warn');
    expect(answer.text).toMatch(/^WARNING - much to say \(output of 1000000\d\d bytes was cut\)$/);
  });

  test('plugin’s environment → no secret of the agent, messages in English', async () => {
    process.env['BROKER_PASSWORD'] = 'hunter2';
    const answer = await answerOf({ kind: 'plugin', argv: [script('echo "[$BROKER_PASSWORD] $LC_ALL"')] });
    expect(answer.text).toBe('[] C');
  });
});

describe('check port', () => {
  test('probe hangs beyond its time-out → one UNKNOWN, and the next call is told of it', async () => {
    // A FIFO without a writer: opening it for reading blocks for ever, like a dead network disk.
    const proc = temporaryFolder();
    const { execFileSync } = await import('node:child_process');
    execFileSync('mkfifo', [join(proc, 'loadavg')]);
    const { port, observed } = portWith([{ kind: 'load', minutes: 1 }], { roots: { proc }, timeoutMs: 100 });
    port.run(0);
    await eventually(() => observed().length === 1);
    expect(observed()[0]?.observation).toMatchObject({ status: 'unknown', text: 'timed out after 0.1 s' });
    port.run(0);
    expect(observed()).toHaveLength(2);
    expect(observed()[1]?.observation.text).toContain('its last probe hangs');
    // A writer comes: the probe ends, its late answer counts for nobody, and the check works again.
    writeFileSync(join(proc, 'loadavg'), '1.00 1.00 1.00 1/1 1\n');
    execFileSync('rm', [join(proc, 'loadavg')]);
    writeFileSync(join(proc, 'loadavg'), '2.00 1.00 1.00 1/1 1\n');
    await eventually(() => {
      port.run(0);
      return observed().some((input) => input.observation.value === 2);
    });
    expect(observed().filter((input) => input.observation.value === 1)).toEqual([]);
  });

  test('the same check twice at once → one probe, two answers', async () => {
    const folder = temporaryFolder();
    const path = script(`echo run >> ${folder}/runs; sleep 0.2; echo fine`);
    const { port, observed } = portWith([{ kind: 'plugin', argv: [path] }]);
    port.run(0);
    port.run(0);
    await eventually(() => observed().length === 2);
    const { readFileSync } = await import('node:fs');
    expect(readFileSync(join(folder, 'runs'), 'utf8')).toBe('run\n');
  });

  test('more checks than places → all are answered, never more at once than allowed', async () => {
    const folder = temporaryFolder();
    const path = script(`touch ${folder}/$$; ls ${folder} | wc -l; sleep 0.1; rm ${folder}/$$`);
    const probes = Array.from({ length: 8 }, (): Probe => ({ kind: 'plugin', argv: [path] }));
    const { port, inbox } = portWith(probes, { parallel: 2 });
    for (const index of probes.keys()) port.run(index);
    await eventually(() => inbox.of('check-observed').length === 8, { deadlineMs: 10_000 });
    const most = Math.max(...inbox.of('check-observed').map((input) => Number(input.observation.text)));
    expect(most).toBe(2);
  });

  test('stopped → nothing is delivered any more', async () => {
    const { port, inbox } = portWith([{ kind: 'plugin', argv: [script('sleep 0.1; echo late')] }]);
    port.run(0);
    port.stop();
    await expect(eventually(() => inbox.inputs.length > 0, { deadlineMs: 300 })).rejects.toThrow('not within');
  });
});
