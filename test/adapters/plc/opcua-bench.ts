import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach } from 'vitest';
import type { Connection } from '../../../agent/driver/bindings.ts';
import { type Collected, collect } from './collector.ts';

/** For each test a folder of its own, and an end for all that it started: in reverse order, awaited. */
export function opcuaBench() {
  const undo: (() => Promise<unknown> | unknown)[] = [];
  let folder = '';
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'millwright-opcua-'));
    undo.push(() => rmSync(folder, { recursive: true, force: true }));
  });
  afterEach(async () => {
    for (const step of undo.splice(0).reverse()) await step();
  });
  return {
    /** Full path of something in this test's folder. */
    inFolder: (...names: string[]): string => join(folder, ...names),
    pki: (): string => join(folder, 'pki'),
    onEnd: (step: () => Promise<unknown> | unknown): void => void undo.push(step),
    watch: (...args: Parameters<typeof collect>): Collected => {
      const collected = collect(...args);
      undo.push(() => collected.source.stop());
      return collected;
    },
  };
}

export const to = (endpoint: string, more: Partial<Extract<Connection, { kind: 'opcua' }>> = {}): Connection => ({
  kind: 'opcua',
  endpoint,
  security: 'none',
  user: undefined,
  secret: undefined,
  ...more,
});
