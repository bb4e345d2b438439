import { execFile, execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { driverNames, loadPacked, packedFolder } from '../../../agent/adapters/plc/opcua-driver.ts';

// `npm test` has packed it already; a single test file in a fresh working copy has not.
beforeAll(() => {
  if (existsSync(new URL('packed.json', packedFolder))) return;
  execFileSync(process.execPath, [join(import.meta.dirname, '..', '..', '..', 'scripts', 'pack-opcua.mjs')]);
});

const folder = mkdtempSync(join(tmpdir(), 'millwright-packed-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test('packed driver: as it is packed here → every name that the agent uses, half of the weight, the notices of what is in it', async () => {
  const packed = await loadPacked(packedFolder);
  expect(Object.keys(packed ?? {}).sort()).toEqual([...driverNames, 'OPCUACertificateManager'].sort());
  const files = readdirSync(packedFolder).filter((name) => name.endsWith('.mjs'));
  const texts = files.map((name) => readFileSync(new URL(name, packedFolder), 'latin1'));
  // The whole client has 650 modules of 4 MB; and one character beyond Latin1 would double what V8 keeps of its file.
  expect(texts.reduce((sum, text) => sum + text.length, 0)).toBeLessThan(2_200_000);
  for (const text of texts) expect(text).toMatch(/^[\0-\x7f]*$/);
  const notices = readFileSync(new URL('LICENSES.txt', packedFolder), 'utf8');
  for (const name of ['node-opcua-client', 'node-opcua-types', '@peculiar/x509', 'tslib'])
    expect(notices).toContain(`${name} `);
});

test('packed driver: nobody made one, or it was made from another release → not taken', async () => {
  const place = pathToFileURL(`${join(folder, 'other')}/`);
  expect(await loadPacked(place)).toBeUndefined();
  cpSync(packedFolder, place, { recursive: true });
  const manifest = JSON.parse(readFileSync(new URL('packed.json', place), 'utf8')) as object;
  writeFileSync(new URL('packed.json', place), JSON.stringify({ ...manifest, version: '1.0.0' }));
  expect(await loadPacked(place)).toBeUndefined();
});

test('packed driver: an agent loads it → nothing of the client as npm installed it, and half of its heap', async () => {
  const driver = new URL('../../../agent/adapters/plc/opcua-driver.ts', import.meta.url).href;
  const heapOf = async (load: string): Promise<{ mb: number; modules: number }> => {
    const program = `
      import { registerHooks } from 'node:module';
      let modules = 0;
      registerHooks({ resolve(specifier, context, next) {
        const found = next(specifier, context);
        if (/node_modules.node-opcua.*\\.m?js$/.test(found.url)) modules++;
        return found;
      } });
      // Node's own type stripper comes with the first file of TypeScript, and is no driver.
      const { loadPacked, packedFolder } = await import(${JSON.stringify(driver)});
      gc();
      const before = process.memoryUsage().heapUsed;
      ${load}
      gc();
      console.log(JSON.stringify({ mb: (process.memoryUsage().heapUsed - before) / 1e6, modules }));`;
    const args = ['--expose-gc', '--input-type=module', '-e', program];
    // Kept code of earlier runs is heap, too, and of the whole client there is none: users' agents go without.
    const { NODE_COMPILE_CACHE: _, ...env } = process.env;
    const options = { cwd: import.meta.dirname, timeout: 30_000, env };
    const { stdout } = await promisify(execFile)(process.execPath, args, options);
    return JSON.parse(stdout) as { mb: number; modules: number };
  };
  const packed = await heapOf('await loadPacked(packedFolder);');
  expect(packed.modules).toBe(0);
  // The control: the hook and the heap do see the client when it is loaded as it was installed.
  const whole = await heapOf(`await import('node-opcua-client');`);
  expect(whole.modules).toBeGreaterThan(300);
  expect(packed.mb).toBeLessThan(0.7 * whole.mb);
}, 40_000);
