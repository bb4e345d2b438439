import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { type Roots, systemRoots } from '../../../agent/adapters/checks/probe.ts';
import { createProber, type Prober } from '../../../agent/adapters/checks/probers.ts';
import type { CheckObservation } from '../../../agent/core/health/check.ts';
import type { Probe } from '../../../agent/driver/bindings.ts';
import { temporaryFolder } from '../duty-runners/doubles.ts';

/** A prober as the check port makes it, asked by hand. */
export function prober(probe: Probe, roots: Partial<Roots> = {}) {
  const made: Prober = createProber(probe, {
    containment: undefined,
    processOf: () => undefined,
    dutyName: (duty) => `duty ${duty}`,
  });
  onTestFinished(() => made.stop?.());
  return (timeoutMs = 5_000): Promise<CheckObservation> =>
    made.observe({ roots: { ...systemRoots, ...roots }, timeoutMs, signal: AbortSignal.timeout(timeoutMs + 5_000) });
}

/** One look. */
export const look = (probe: Probe, roots: Partial<Roots> = {}, timeoutMs = 5_000): Promise<CheckObservation> =>
  prober(probe, roots)(timeoutMs);

/** A made-up /proc or /sys. */
export function tree(files: Readonly<Record<string, string>>): string {
  const root = temporaryFolder();
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(join(root, path, '..'), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  return root;
}

export const script = (text: string): string => {
  const path = join(temporaryFolder(), 'program');
  writeFileSync(path, `#!/bin/bash\n${text}\n`);
  chmodSync(path, 0o755);
  return path;
};

export async function listening(server: {
  listen(port: number, host: string, done: () => void): unknown;
  address(): unknown;
  close(): unknown;
}): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void server.close());
  return (server.address() as AddressInfo).port;
}
