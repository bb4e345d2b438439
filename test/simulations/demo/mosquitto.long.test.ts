import { execFile, spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { expect, onTestFinished, test } from 'vitest';
import { z } from 'zod';
import { eventually } from '../../support/eventually.ts';
import { freePorts } from '../../support/free-ports.ts';
import { needs } from '../../support/needs.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';
import { evidenceOf, nothingStays, playToEnd } from './play.ts';

const root = resolve(import.meta.dirname, '..', '..', '..');

test('mosquitto: Debian’s broker with the files that site init wrote → the whole story holds on it', {
  timeout: 170_000,
  ...needs('mosquitto'),
}, async () => {
  const folder = await temporaryFolder();
  const keys = join(folder, 'keys');
  const [port = 0] = await freePorts(1);
  const layout = join(folder, 'layout.json');
  writeFileSync(
    layout,
    JSON.stringify({ broker: `mqtt://127.0.0.1:${port}`, coordinator: { broker: `127.0.0.1:${port}` } }),
  );
  await promisify(execFile)(process.execPath, [
    ...[join(root, 'millwright.ts'), 'site', 'init', join(root, 'simulations', 'demo', 'site.yaml')],
    ...['--out', keys, '--layout', layout],
  ]);
  const conf = join(keys, 'broker', 'mosquitto.conf');
  expect(readFileSync(conf, 'utf8')).toContain(`listener ${port} `);
  const broker = spawn('mosquitto', ['-c', conf], {
    cwd: join(keys, 'broker'),
    env: { ...process.env, PATH: `${process.env['PATH']}:/usr/sbin` },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  onTestFinished(() => void broker.kill('SIGKILL'));
  let said = '';
  for (const stream of [broker.stdout, broker.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      said = (said + chunk.toString()).slice(-4_000);
    });
  }
  await eventually(() => answers(port), { deadlineMs: 10_000, everyMs: 100 }).catch(() => {
    throw new Error(`mosquitto does not answer: ${said}`);
  });

  const { play, ended, verdict } = await playToEnd(['--broker', `mqtt://127.0.0.1:${port}`, '--keys', keys]);

  expect(verdict.story.map(({ step, ok, why }) => ({ step, ok, why }))).toEqual(
    ['members', 'repair', 'local-alarm', 'takeover', 'coordinator-lost', 'intruders'].map((step) => ({
      step,
      ok: true,
      why: undefined,
    })),
  );
  expect(ended.code, play.complaints()).toBe(0);
  const { badCredentials } = evidenceOf(
    verdict,
    'intruders',
    z.object({ badCredentials: z.object({ connected: z.boolean(), reason: z.string() }) }),
  );
  expect(badCredentials).toEqual({ connected: false, reason: expect.stringMatching(/not authori[sz]ed|bad user/i) });
  // It is mosquitto that served: it still runs, and all that the demo started is gone.
  expect(broker.exitCode).toBeNull();
  await nothingStays(play, 10_000);
});

const answers = (port: number): Promise<boolean> =>
  new Promise((done) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      done(true);
    });
    socket.once('error', () => done(false));
  });
