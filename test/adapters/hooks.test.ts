import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { createHookPort } from '../../agent/adapters/hooks.ts';
import { eventually } from '../support/eventually.ts';
import { alive, silent, temporaryFolder } from './duty-runners/doubles.ts';

const ports: { stop(): void }[] = [];
afterEach(() => {
  for (const port of ports.splice(0)) port.stop();
});

/** A stack light that writes its arguments into a file. */
function light(body = '') {
  const folder = temporaryFolder();
  const path = join(folder, 'stacklight');
  const shown = join(folder, 'shown');
  writeFileSync(path, `#!/bin/bash\necho "$@" >> ${shown}\necho $$ > ${folder}/pid\n${body}\n`);
  chmodSync(path, 0o755);
  const lines = () => (existsSync(shown) ? readFileSync(shown, 'utf8').trim().split('\n') : []);
  return { path, folder, lines };
}

function hooksWith(options: { timeoutMs?: number; spacingMs?: number } = {}) {
  const warnings: string[] = [];
  const log = { ...silent, warn: (fields: object) => warnings.push(String((fields as { reason?: string }).reason)) };
  const port = createHookPort({ log, spacingMs: 10, ...options });
  ports.push(port);
  return { port, warnings };
}

describe('local hook', () => {
  test('raised, then cleared → its words, then the transition as last word', async () => {
    const { port } = hooksWith();
    const lamp = light();
    port.run(0, [lamp.path, 'amber', 'two words'], 'raised');
    await eventually(() => lamp.lines().length === 1);
    port.run(0, [lamp.path, 'amber', 'two words'], 'cleared');
    await eventually(() => lamp.lines().length === 2);
    expect(lamp.lines()).toEqual(['amber two words raised', 'amber two words cleared']);
  });

  test('alarm flutters while a slow hook runs → runs do not pile up, and the light ends on what is true', async () => {
    const { port } = hooksWith();
    const lamp = light('sleep 0.2');
    for (let i = 0; i < 50; i++) {
      port.run(0, [lamp.path], 'raised');
      port.run(0, [lamp.path], 'cleared');
    }
    await eventually(() => lamp.lines().at(-1) === 'cleared');
    expect(lamp.lines().length).toBeLessThanOrEqual(2);
  });

  test('transitions faster than the spacing → starts keep their distance', async () => {
    const { port } = hooksWith({ spacingMs: 300 });
    const lamp = light();
    const begun = performance.now();
    port.run(0, [lamp.path], 'raised');
    await eventually(() => lamp.lines().length === 1);
    port.run(0, [lamp.path], 'cleared');
    await eventually(() => lamp.lines().length === 2);
    expect(performance.now() - begun).toBeGreaterThanOrEqual(295);
  });

  test('hook hangs → killed for time, tried again twice, then left; another alarm is not held up', async () => {
    const { port, warnings } = hooksWith({ timeoutMs: 150 });
    const hanging = light('sleep 625');
    const lamp = light();
    port.run(0, [hanging.path], 'raised');
    port.run(1, [lamp.path], 'raised');
    await eventually(() => lamp.lines().length === 1, { deadlineMs: 3_000 });
    await eventually(() => warnings.length === 3, { deadlineMs: 8_000 });
    expect(warnings[0]).toMatch(/^timed out after/);
    const pid = Number(readFileSync(join(hanging.folder, 'pid'), 'utf8'));
    await eventually(() => !alive(pid));
  });

  test('hook is missing → said with its name, no crash', async () => {
    const { port, warnings } = hooksWith();
    port.run(0, ['/no/such/stacklight'], 'raised');
    await eventually(() => warnings.length > 0);
    expect(warnings[0]).toBe('there is no program "/no/such/stacklight"');
  });
});
