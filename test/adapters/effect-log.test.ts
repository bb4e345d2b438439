import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createEffectLog } from '../../agent/adapters/effect-log.ts';
import { eventually } from '../support/eventually.ts';

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'millwright-effect-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const lines = (path: string): unknown[] =>
  readFileSync(path, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));

describe('effect log', () => {
  test('records → one JSON line each, readable by the owner only, kept over a reopening', () => {
    const path = join(folder, 'deep', 'effects.jsonl');
    const first = createEffectLog(path);
    first.append({ n: 1 });
    first.append({ n: 2, text: 'a\nb' });
    first.close();
    const second = createEffectLog(path);
    second.append({ n: 3 });
    second.close();
    expect(lines(path)).toEqual([{ n: 1 }, { n: 2, text: 'a\nb' }, { n: 3 }]);
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  test('more than maxBytes → the older half becomes .1, and both together stay bounded', () => {
    const path = join(folder, 'effects.jsonl');
    const log = createEffectLog(path, { maxBytes: 2_000 });
    for (let n = 0; n < 500; n++) log.append({ n, pad: 'x'.repeat(50) });
    log.close();
    expect(statSync(path).size).toBeLessThanOrEqual(2_000);
    expect(statSync(`${path}.1`).size).toBeLessThanOrEqual(2_000);
    const kept = [...lines(`${path}.1`), ...lines(path)].map((line) => (line as { n: number }).n);
    expect(kept.at(-1)).toBe(499);
    expect(kept).toEqual(kept.map((_n, i) => kept[0]! + i));
  });

  test('a place that cannot be written → counted, not thrown, and tried again', () => {
    const path = join(folder, 'file', 'effects.jsonl');
    writeFileSync(join(folder, 'file'), 'in the way');
    const log = createEffectLog(path);
    log.append({ n: 1 });
    expect(log.refused).toBe(1);
    rmSync(join(folder, 'file'));
    log.append({ n: 2 });
    expect(log.refused).toBe(1);
    expect(lines(path)).toEqual([{ n: 2 }]);
    log.close();
  });

  test('its process is killed with SIGKILL → every line that was appended is there, whole', async () => {
    const path = join(folder, 'effects.jsonl');
    const module = new URL('../../agent/adapters/effect-log.ts', import.meta.url).href;
    const child = spawn(process.execPath, [
      '--input-type=module',
      '-e',
      `const { createEffectLog } = await import(${JSON.stringify(module)});
       const log = createEffectLog(${JSON.stringify(path)});
       for (let n = 0; n < 50; n++) log.append({ n });
       console.log('written');
       setInterval(() => {}, 1000);`,
    ]);
    let said = '';
    child.stdout.on('data', (data) => {
      said += data;
    });
    await eventually(() => said.includes('written'), { what: 'the child', deadlineMs: 10_000 });
    child.kill('SIGKILL');
    await new Promise((resolve) => child.once('exit', resolve));
    expect(existsSync(path)).toBe(true);
    expect(lines(path)).toEqual(Array.from({ length: 50 }, (_unused, n) => ({ n })));
  });
});
