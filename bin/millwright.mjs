#!/usr/bin/env node
// Plain JavaScript that any Node understands: it says which Node is needed before anything newer is parsed.
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const [major, minor] = process.versions.node.split('.').map(Number);
if (major < 24 || (major === 24 && minor < 12)) {
  process.stderr.write(
    `millwright needs Node 24.12 or newer; this is Node ${process.versions.node} (${process.execPath}).\n` +
      'Remedy: install Node 24 (https://nodejs.org), or `npm install node@24` beside it and run it through that.\n',
  );
  process.exit(1);
}
const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const built = join(root, 'dist', 'millwright.js');
await import(pathToFileURL(existsSync(join(root, 'millwright.ts')) ? join(root, 'millwright.ts') : built).href);
