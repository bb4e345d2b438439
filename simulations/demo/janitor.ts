import { rmSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { isAlive, startTicks } from './processes.ts';

/**
 * Cleans up after a starter that could not: it hears of every process and folder of the demo on its standard input,
 * and when that closes without a `done`, it ends those processes and removes the folder. Identity is pid and start
 * time, so a recycled pid is never touched.
 */
const processes = new Map<number, string | undefined>();
const folders = new Set<string>();
let done = false;

process.on('SIGINT', () => {});
process.on('SIGTERM', () => {});

createInterface({ input: process.stdin })
  .on('line', (text) => {
    const line = JSON.parse(text) as { pid?: number; folder?: string; done?: boolean };
    if (line.pid !== undefined) processes.set(line.pid, startTicks(line.pid));
    if (line.folder !== undefined) folders.add(line.folder);
    if (line.done === true) done = true;
  })
  .on('close', async () => {
    if (!done) {
      // First as they would end by themselves, then by force.
      signalAll('SIGTERM');
      for (let i = 0; i < 30 && ours().length > 0; i++) await new Promise((resolve) => setTimeout(resolve, 100));
      signalAll('SIGKILL');
      for (let i = 0; i < 30 && ours().length > 0; i++) await new Promise((resolve) => setTimeout(resolve, 100));
    }
    for (const folder of folders) rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
    process.exit(0);
  });

function ours(): number[] {
  return [...processes].filter(([pid, ticks]) => isAlive(pid) && startTicks(pid) === ticks).map(([pid]) => pid);
}

function signalAll(signal: NodeJS.Signals): void {
  for (const pid of ours()) {
    try {
      process.kill(pid, signal);
    } catch {
      // It ended between the look and the signal.
    }
  }
}
