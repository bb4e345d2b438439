import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { resolve } from 'node:path';
import { expect, it } from 'vitest';

const millwright = resolve(import.meta.dirname, '..', '..', 'millwright.ts');

it('reader that has seen enough (`| head -1`) → the command ends without a stack trace', async () => {
  const child = spawn(process.execPath, [millwright, 'site', 'schema'], { stdio: ['ignore', 'pipe', 'pipe'] });
  child.stdout.destroy();
  let complaint = '';
  child.stderr.on('data', (chunk: Buffer) => {
    complaint += chunk.toString();
  });
  const [code] = await once(child, 'close');
  expect({ code, complaint }).toEqual({ code: 0, complaint: '' });
}, 30_000);
