import { randomBytes } from 'node:crypto';
import { appendFileSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import type { AgentStatus } from '../../agent/wire/status.ts';
import type { Spawned } from '../../simulations/demo/processes.ts';
import { eventually } from '../support/eventually.ts';
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

/**
 * Writes noise, and waits to be thrown out or for a second. More than any door waits for before it knows who knocks: no draw can look like a packet that is still coming.
 */
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
