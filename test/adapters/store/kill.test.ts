import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { openStore } from '../../../agent/adapters/store/sqlite-journal.ts';
import type { DoubtKind } from '../../../agent/core/remediation/workflow.ts';

const program = join(import.meta.dirname, 'repairing-process.ts');

interface Outcome {
  readonly signal: string | null;
  readonly said: { readonly outcome: string; readonly reason: string } | undefined;
}

function live(dir: string, doubt: DoubtKind, killAt: 'entry' | 'effect' | 'never', n = 0): Outcome {
  const child = spawnSync(process.execPath, [program, dir, doubt, killAt, String(n)], {
    encoding: 'utf8',
    timeout: 20_000,
    killSignal: 'SIGTERM',
  });
  expect(child.stderr, child.stderr).toBe('');
  return { signal: child.signal, said: child.stdout === '' ? undefined : JSON.parse(child.stdout) };
}

const effectsOf = (dir: string): readonly string[] => {
  try {
    return readFileSync(join(dir, 'effects.log'), 'utf8').trim().split('\n');
  } catch {
    return [];
  }
};

const kindsOf = (dir: string): readonly string[] => {
  const store = openStore({ dir, deliver: () => {} });
  const kinds = store
    .restore()
    .journal.filter((entry) => entry.kind !== 'heartbeat')
    .map((entry) => (entry.kind === 'done' ? `done ${entry.step} ${entry.outcome}` : entry.kind));
  store.close();
  return kinds;
};

const unhindered = ['open', 'intent', 'done 0 ok', 'intent', 'done 1 ok', 'verify', 'soak', 'end'];

function inFolder(body: (dir: string) => void): void {
  const dir = mkdtempSync(join(tmpdir(), 'millwright-kill-'));
  try {
    body(dir);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

test('a process that is left alone writes one entry per decision and heals', () => {
  inFolder((dir) => {
    expect(live(dir, 'idempotent', 'never').said).toMatchObject({ outcome: 'HEALED' });
    expect(kindsOf(dir)).toEqual(unhindered);
    expect(effectsOf(dir)).toEqual(['drain', 'fix']);
  });
});

for (const doubt of ['probeable', 'fire-once'] as const) {
  for (let n = 1; n < unhindered.length; n++) {
    test(`SIGKILL right after entry ${n} (${unhindered[n - 1]}) is durable, ${doubt} → the next life resumes or escalates, repeats nothing`, () => {
      inFolder((dir) => {
        expect(live(dir, doubt, 'entry', n).signal).toBe('SIGKILL');
        expect(kindsOf(dir)).toEqual(unhindered.slice(0, n));
        const { said } = live(dir, doubt, 'never');
        const inDoubt = unhindered[n - 1] === 'intent';
        expect(said?.outcome).toBe(doubt === 'fire-once' && inDoubt ? 'ESCALATED' : 'HEALED');
        const effects = effectsOf(dir);
        expect(effects.filter((name) => name === 'drain').length).toBeLessThanOrEqual(1);
        expect(effects.filter((name) => name === 'fix').length).toBeLessThanOrEqual(1);
        if (said?.outcome === 'HEALED') expect(effects).toEqual(['drain', 'fix']);
      });
    }, 30_000);
  }

  test(`SIGKILL between an effect and the knowledge of it, ${doubt} → asked or escalated, never done twice`, () => {
    for (const n of [1, 2]) {
      inFolder((dir) => {
        expect(live(dir, doubt, 'effect', n).signal).toBe('SIGKILL');
        const { said } = live(dir, doubt, 'never');
        expect(said?.outcome).toBe(doubt === 'fire-once' ? 'ESCALATED' : 'HEALED');
        expect(effectsOf(dir)).toEqual(doubt === 'fire-once' ? ['drain', 'fix'].slice(0, n) : ['drain', 'fix']);
      });
    }
  }, 30_000);
}

test('SIGKILL between an idempotent effect and the knowledge of it → done again only then, and healed', () => {
  inFolder((dir) => {
    expect(live(dir, 'idempotent', 'effect', 1).signal).toBe('SIGKILL');
    expect(live(dir, 'idempotent', 'never').said).toMatchObject({ outcome: 'HEALED' });
    expect(effectsOf(dir)).toEqual(['drain', 'drain', 'fix']);
  });
}, 30_000);
