// The quick gate, in seconds: types (whole tree, then the pure core with nothing of Node in sight), format and lint,
// and the structure test. All of them run, so that one call shows everything.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const bin = (name) => join(root, 'node_modules', '.bin', name);
const steps = [
  ['types', bin('tsc'), ['-p', root]],
  ['types of the core', bin('tsc'), ['-p', join(root, 'agent', 'core')]],
  ['format and lint', bin('biome'), ['check', '--error-on-warnings', root]],
  ['structure', bin('vitest'), ['run', 'test/structure.test.ts', '--reporter=dot']],
];
const consoleProject = join(root, 'coordinator', 'console', 'tsconfig.json');
if (existsSync(consoleProject)) steps.splice(2, 0, ['types of the console', bin('tsc'), ['-p', consoleProject]]);

let failed = 0;
for (const [name, command, args] of steps) {
  const started = Date.now();
  const result = spawnSync(command, args, { cwd: root, encoding: 'utf8' });
  const ok = result.status === 0;
  process.stdout.write(`${ok ? 'ok  ' : 'FAIL'} ${name} (${((Date.now() - started) / 1000).toFixed(1)} s)\n`);
  if (!ok) {
    failed++;
    process.stdout.write(`${result.stdout ?? ''}${result.stderr ?? ''}${result.error?.message ?? ''}\n`);
  }
}
process.exit(failed === 0 ? 0 : 1);
