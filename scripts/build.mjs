// Emits JavaScript for the package: Node refuses to strip types below node_modules, so the tarball carries dist/.
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const dist = join(root, 'dist');
rmSync(dist, { recursive: true, force: true });
const result = spawnSync(
  process.execPath,
  [join(root, 'node_modules', 'typescript', 'bin', 'tsc'), '-p', join(root, 'tsconfig.build.json')],
  {
    cwd: root,
    stdio: ['ignore', 2, 2],
  },
);
if (result.status !== 0) process.exit(1);
// What is read at run time and is no code of ours.
for (const path of [
  'coordinator/console/dist',
  'agent/adapters/plc/dist',
  'simulations/demo/site.yaml',
  'package.json',
]) {
  const from = join(root, path);
  if (existsSync(from)) cpSync(from, join(dist, path), { recursive: true });
}
process.stderr.write('millwright: built dist/\n');
