// Renews package-lock.json, under the Node that the project runs on: an older one makes npm pick older versions.
import { spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const [major] = process.versions.node.split('.').map(Number);
if (major !== 24) {
  process.stderr.write(
    `the lock file changes only under Node 24, this is ${process.versions.node}: run it as \`npm run lock\`\n`,
  );
  process.exit(1);
}
const npm = process.env.npm_execpath;
if (npm === undefined) {
  process.stderr.write('run it as `npm run lock`\n');
  process.exit(1);
}
const result = spawnSync(process.execPath, [npm, 'install', '--package-lock-only', ...process.argv.slice(2)], {
  cwd: root,
  env: { ...process.env, ONNXRUNTIME_NODE_INSTALL: 'skip' },
  stdio: 'inherit',
});
process.exit(result.status ?? 1);
