// The quick gate, in seconds: types (whole tree, then the pure core with nothing of Node in sight), format and lint,
// and the structure test (not with --without-structure, for who runs all tests next). All of them run, at the same time,
// so that one call shows everything.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const bin = (name) => join(root, 'node_modules', '.bin', name);
const consoleProject = join(root, 'coordinator', 'console', 'tsconfig.json');
const steps = [
  ['types', bin('tsc'), ['-p', root]],
  ['types of the core', bin('tsc'), ['-p', join(root, 'agent', 'core')]],
  ...(existsSync(consoleProject) ? [['types of the console', bin('tsc'), ['-p', consoleProject]]] : []),
  ['format and lint', bin('biome'), ['check', '--error-on-warnings', root]],
  ...(process.argv.includes('--without-structure')
    ? []
    : [['structure', bin('vitest'), ['run', 'test/structure.test.ts', '--reporter=dot']]]),
];

/** Runs one step to its end; never rejects. */
function run([name, command, args]) {
  const started = Date.now();
  return new Promise((done) => {
    const child = spawn(command, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text) => {
        output += text;
      });
    }
    child.on('error', (error) => done({ name, ok: false, output: error.message, ms: Date.now() - started }));
    child.on('close', (code) => done({ name, ok: code === 0, output, ms: Date.now() - started }));
  });
}

const results = await Promise.all(steps.map(run));
for (const { name, ok, output, ms } of results) {
  process.stdout.write(`${ok ? 'ok  ' : 'FAIL'} ${name} (${(ms / 1000).toFixed(1)} s)\n`);
  if (!ok) process.stdout.write(`${output}\n`);
}
process.exit(results.every(({ ok }) => ok) ? 0 : 1);
