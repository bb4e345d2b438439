// All tests: the quick gate, then vitest. Ends with one line `N passed, N failed, N skipped` for machines to read, and
// before it names every skipped test, so that a missing system package is never silent. Arguments go to vitest.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const isLong = process.argv[2] === '--long';
const filters = process.argv.slice(isLong ? 3 : 2);
const quick =
  filters.length > 0 || isLong
    ? { status: 0 }
    : spawnSync(process.execPath, [join(root, 'scripts', 'check.mjs'), '--without-structure'], {
        cwd: root,
        stdio: 'inherit',
      });

const folder = mkdtempSync(join(tmpdir(), 'millwright-test-'));
const report = join(folder, 'report.json');
const vitest = spawnSync(
  process.execPath,
  [
    join(root, 'node_modules', 'vitest', 'vitest.mjs'),
    'run',
    '--reporter=default',
    '--reporter=json',
    `--outputFile.json=${report}`,
    ...filters,
  ],
  {
    cwd: root,
    stdio: 'inherit',
    // The many processes of the demo's tests compile the same files; users' agents trade this for memory and go without.
    env: {
      ...process.env,
      NODE_COMPILE_CACHE: join(root, 'node_modules', '.cache', 'compile'),
      ...(isLong ? { MILLWRIGHT_TESTS: 'long' } : {}),
    },
  },
);

let passed = 0;
let failed = 0;
const skipped = [];
try {
  const result = JSON.parse(readFileSync(report, 'utf8'));
  for (const file of result.testResults) {
    for (const test of file.assertionResults) {
      if (test.status === 'passed') passed++;
      else if (test.status === 'failed') failed++;
      else skipped.push(test.fullName);
    }
    // A file that does not even load holds no assertion, and is a failure all the same.
    if (file.status === 'failed' && file.assertionResults.every((test) => test.status !== 'failed')) failed++;
  }
} catch {
  failed++;
  process.stdout.write('vitest left no report\n');
} finally {
  rmSync(folder, { recursive: true, force: true });
}
if (quick.status !== 0) failed++;
for (const name of skipped) process.stdout.write(`skipped: ${name}\n`);
process.stdout.write(`${passed} passed, ${failed} failed, ${skipped.length} skipped\n`);
process.exit(failed === 0 && passed > 0 && vitest.status === 0 ? 0 : 1);
