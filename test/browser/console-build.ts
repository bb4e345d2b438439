import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = new URL('../../', import.meta.url);
const path = (relative: string): string => fileURLToPath(new URL(relative, root));

/** Builds the console when it was never built or is older than its sources; `npm test` has usually done so before. */
export const buildConsole = (): void => {
  const source = path('coordinator/console/');
  const built = `${source}dist/index.html`;
  const newest = Math.max(
    statSync(path('coordinator/api/schemas.ts')).mtimeMs,
    ...readdirSync(source, { recursive: true, encoding: 'utf8' })
      .filter((file) => !file.startsWith('dist'))
      .map((file) => statSync(source + file))
      .filter((stat) => stat.isFile())
      .map((stat) => stat.mtimeMs),
  );
  if (existsSync(built) && statSync(built).mtimeMs >= newest) return;
  const vite = path('node_modules/vite/bin/vite.js');
  const result = spawnSync(process.execPath, [vite, 'build', '--config', 'vite.config.ts', '--logLevel', 'warn'], {
    cwd: source,
    encoding: 'utf8',
    // Else the test runner's own word makes it a page for developers, larger and slower than the one that ships.
    env: { ...process.env, NODE_ENV: 'production' },
  });
  if (result.status !== 0) throw new Error(`the console did not build: ${result.stdout}${result.stderr}`);
};
