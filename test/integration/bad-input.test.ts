import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  appendFileSync,
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeSync,
} from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import type { AgentStatus } from '../../agent/wire/status.ts';
import type { Spawned } from '../../simulations/demo/processes.ts';
import { eventually } from '../support/eventually.ts';
import { missing } from '../support/needs.ts';
import { makeSmallSite, run, type SmallSite } from './small-site.ts';

/** The rule of the site that needs neither broker nor PLC nor model: it must be judged in every state below. */
const judgesItsDisk = (status: AgentStatus): boolean =>
  status.checks.some((check) => check.check === 'site/disk' && check.status === 'ok');

const sum = (counters: Readonly<Record<string, number>>, pattern: RegExp): number =>
  Object.entries(counters).reduce((total, [name, value]) => total + (pattern.test(name) ? value : 0), 0);

describe('bad surroundings', { timeout: 150_000 }, () => {
  let site: SmallSite;
  let agent: Spawned;

  beforeAll(async () => {
    site = await makeSmallSite();
    appendFileSync(join(site.folder, 'models', 'pump', 'model', 'model.onnx'), 'x');
    agent = await site.startAgent();
  }, 120_000);
  afterAll(() => site?.dispose(), 30_000);

  test('no broker, no PLC, no peer at start → ready all the same; each is a state that status shows', async () => {
    const status = await eventually(
      async () => {
        const now = await site.status();
        const heard = now.checks.find((check) => check.check === 'pump/heard');
        return judgesItsDisk(now) && heard?.status === 'crit' && now;
      },
      { deadlineMs: 30_000, everyMs: 200, what: 'the rules are judged' },
    );
    expect(status.coordinator).toBe('lost');
    expect(status.members).toMatchObject([
      { agent: 'box-1', state: 'alive' },
      { agent: 'box-2', state: 'unknown', connected: false },
    ]);
    expect(status.checks.find((check) => check.check === 'pump/heard')?.text).toMatch(/never read/);
    // What it has to say waits on the disk.
    expect(status.outbox.pending).toBeGreaterThan(0);
  });

  test('a model whose hash disagrees → refused with the reason in status; rules go on', async () => {
    const status = await site.status();
    const model = status.models.find((entry) => entry.model === 'pump/model');
    expect(model?.state).toMatch(/sha256|hash/i);
    expect(model?.score).toBeUndefined();
    expect(judgesItsDisk(status)).toBe(true);
  });

  test('random bytes on mesh and API port → dropped and counted, the process lives and answers', async () => {
    const before = await site.status();
    await Promise.all(Array.from({ length: 5 }, () => throwBytes(site.ports.mesh)));
    await Promise.all(Array.from({ length: 5 }, () => throwBytes(site.ports.api)));
    // A listener of the mesh learns of a wrong key only after its handshake has timed out.
    const after = await eventually(
      async () => {
        const now = await site.status();
        const counted = (status: AgentStatus) => sum(status.mesh, /^refused\.|handshakesFailed|turnedAway/);
        return counted(now) > counted(before) && (now.api?.refused.malformed ?? 0) >= 5 && now;
      },
      { deadlineMs: 30_000, everyMs: 250, what: 'the garbage is counted' },
    );
    expect(after.pid).toBe(agent.pid);
    expect(agent.running()).toBe(true);
    const response = await fetch(`http://127.0.0.1:${site.ports.api}/v1/status`, {
      headers: { authorization: 'Bearer x' },
    });
    expect(response.status).toBe(401);
    expect((await site.status()).api?.refused.tokens).toBe((after.api?.refused.tokens ?? 0) + 1);
  });

  test('random bytes on the broker port → refused and counted by the coordinator, which still takes reports', async () => {
    const coordinator = await site.startCoordinator();
    // The agent has been without a broker for so long that it may wait a whole minute before it tries again.
    await eventually(async () => (await site.status()).coordinator === 'connected', {
      deadlineMs: 75_000,
      everyMs: 250,
      what: 'the agent finds the broker',
    });
    await Promise.all(Array.from({ length: 5 }, () => throwBytes(site.ports.broker)));
    type State = { broker: { refused: Record<string, number> }; counts: { records: number } };
    // What begins like a packet of 200 MB is too large, all else is no MQTT.
    const state = await eventually(
      async () => {
        const now = await site.coordinator<State>('status');
        return sum(now.broker.refused, /not-mqtt|too-large/) >= 5 && now;
      },
      { deadlineMs: 15_000, everyMs: 250, what: 'the broker counts it' },
    );
    expect(state.counts.records).toBeGreaterThan(0);
    await eventually(async () => (await site.status()).outbox.pending === 0, { deadlineMs: 20_000, everyMs: 250 });
    expect(coordinator.running()).toBe(true);
    expect((await site.status()).coordinator).toBe('connected');
  });
});

describe('a full disk', { timeout: 120_000 }, () => {
  test('fills up while it runs → status says so, rules go on; room again → it writes again', async (context) => {
    const data = await smallDisk(context);
    const site = await makeSmallSite({ data: join(data, 'box-1') });
    onTestFinished(() => site.dispose(), 30_000);
    const agent = await site.startAgent();
    await eventually(async () => judgesItsDisk(await site.status()), { deadlineMs: 30_000, everyMs: 200 });
    expect((await site.status()).store.ok).toBe(true);

    const ballast = fillUp(data);
    // A check that turns to and fro gives it something to write down.
    let old = false;
    const beat = () => {
      old = !old;
      const at = Date.now() / 1_000 - (old ? 3_600 : 0);
      utimesSync(site.beat, at, at);
    };
    const full = await eventually(
      async () => {
        beat();
        return (await site.status()).outbox.trouble;
      },
      { deadlineMs: 60_000, everyMs: 600, what: 'the full disk is shown' },
    );
    expect(full).toMatch(/the disk is full/);
    expect(judgesItsDisk(await site.status())).toBe(true);
    expect(agent.running()).toBe(true);

    rmSync(ballast);
    const { lastSeq } = (await site.status()).outbox;
    await eventually(
      async () => {
        beat();
        const now = await site.status();
        return now.outbox.trouble === undefined && now.outbox.lastSeq > lastSeq;
      },
      { deadlineMs: 40_000, everyMs: 600, what: 'it keeps everything again' },
    );
    expect((await site.status()).store.ok).toBe(true);
  });

  test('is full at the start → a state that is shown, no exit; rules go on', async (context) => {
    const data = await smallDisk(context);
    const site = await makeSmallSite({ data: join(data, 'box-1') });
    onTestFinished(() => site.dispose(), 30_000);
    mkdirSync(join(data, 'box-1'), { mode: 0o700 });
    fillUp(data);
    const agent = await site.startAgent();
    const status = await eventually(() => site.status(), { deadlineMs: 20_000, everyMs: 200 });
    expect(status.store).toMatchObject({ ok: false, text: expect.stringMatching(/full|disk/i) });
    expect(status.outbox.trouble).toMatch(/full|disk/i);
    await eventually(async () => judgesItsDisk(await site.status()), { deadlineMs: 30_000, everyMs: 200 });
    expect(agent.running()).toBe(true);
  });
});

test('a site file full of mistakes → all of them with their lines, nothing is signed, the bundle stays', {
  timeout: 90_000,
}, async () => {
  const site = await makeSmallSite();
  onTestFinished(() => site.dispose(), 30_000);
  site.edit('site.yaml', 'disk: { disk: /,', 'disk: { disc: /,');
  site.edit('site.yaml', 'heard: { stale: flow,', 'heard: { stale: flo,');
  site.edit('site.yaml', 'unit: 1,', 'unit: 1, colour: red,');
  const bundle = join(site.keys, 'site.bundle');
  const before = readFileSync(bundle);
  const { code, stdout, stderr } = await run([
    ...['site', 'sign', join(site.keys, 'site.yaml'), '--key', join(site.keys, 'site.key')],
    ...['--parent', bundle, '--out', bundle],
  ]);
  expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
  expect(readFileSync(bundle).equals(before)).toBe(true);
  expect(stderr).toMatch(/disc/);
  expect(stderr).toMatch(/flo\b.*flow/s);
  expect(stderr).toMatch(/colour/);
});

/** Connects, writes a kilobyte of noise, and waits to be thrown out or for a second. */
/** More than any door waits for before it knows who knocks: no draw can look like a packet that is still coming. */
function throwBytes(port: number): Promise<void> {
  return new Promise((done) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(randomBytes(8_192)));
    const timer = setTimeout(() => socket.destroy(), 1_000);
    socket.on('error', () => {});
    socket.once('close', () => {
      clearTimeout(timer);
      done();
    });
  });
}

/** A file system of eight megabytes; without the right to mount one, the test is skipped by name. */
async function smallDisk(context: { skip(note?: string): never }): Promise<string> {
  if (missing('root').length > 0) context.skip('needs root, to mount a small file system');
  const folder = mkdtempSync(join(tmpdir(), 'millwright-disk-'));
  const mounted = await promisify(execFile)('mount', ['-t', 'tmpfs', '-o', 'size=8m', 'tmpfs', folder]).then(
    () => true,
    () => false,
  );
  onTestFinished(async () => {
    if (mounted) await promisify(execFile)('umount', ['--lazy', folder]);
    rmSync(folder, { recursive: true, force: true });
  });
  if (!mounted) context.skip('this machine lets nobody mount a file system');
  return folder;
}

/** Writes until nothing more goes in; returns the file. */
function fillUp(folder: string): string {
  const file = join(folder, 'ballast');
  const handle = openSync(file, 'w');
  try {
    for (const size of [65_536, 4_096, 512, 1]) {
      try {
        for (;;) writeSync(handle, Buffer.alloc(size));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
      }
    }
  } finally {
    closeSync(handle);
  }
  return file;
}
