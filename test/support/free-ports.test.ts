import { spawn } from 'node:child_process';
import { createServer } from 'node:net';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { freePorts } from './free-ports.ts';

const program = `
import { freePorts } from ${JSON.stringify(fileURLToPath(new URL('free-ports.ts', import.meta.url)))};
for (let n = 0; n < 40; n++) console.log((await freePorts(7)).join());
process.stdin.resume();
`;

/** Another run of tests, beside this one: what it was given, while it lives. */
async function otherRun() {
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], { stdio: ['pipe', 'pipe', 'inherit'] });
  let text = '';
  for await (const chunk of child.stdout) {
    text += String(chunk);
    if (text.split('\n').length > 40) break;
  }
  return { ports: text.trim().split(/[\n,]/).map(Number), child };
}

describe('free ports', () => {
  it('two runs at once, and this one twice → no port is given twice', async () => {
    const [one, other] = await Promise.all([otherRun(), otherRun()]);
    const own = [...(await freePorts(7)), ...(await freePorts(15))];
    const all = [...one.ports, ...other.ports, ...own];
    expect(all).toHaveLength(2 * 280 + 22);
    expect(new Set(all).size).toBe(all.length);
    one.child.kill();
    other.child.kill();
  });

  it('given → free at this moment, for whoever listens there', async () => {
    for (const port of await freePorts(3)) {
      const server = createServer();
      await new Promise<void>((done, failed) => server.once('error', failed).listen(port, '127.0.0.1', done));
      await new Promise((done) => server.close(done));
    }
  });
});
