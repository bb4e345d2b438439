import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { type Effect, type ExclusiveSite, makeExclusiveSite, overlaps } from './exclusive-site.ts';
import { run } from './small-site.ts';

let site: ExclusiveSite;
afterEach(() => site.dispose());

const keys = () => join(site.folder, 'keys');

async function roll(version: number, change: (text: string) => string): Promise<void> {
  const file = join(site.folder, 'site.yaml');
  writeFileSync(file, change(readFileSync(file, 'utf8')));
  const bundle = (n: number): string => (n === 1 ? join(keys(), 'site.bundle') : join(site.folder, `v${n}.bundle`));
  const args = ['--key', join(keys(), 'site.key'), '--parent', bundle(version - 1), '--out', bundle(version)];
  const signed = await run(['site', 'sign', file, ...args]);
  expect(signed, signed.stdout + signed.stderr).toMatchObject({ code: 0 });
  const pushed = await run(['site', 'push', bundle(version), '--data', join(site.folder, 'data', 'box-2'), '--json']);
  expect(pushed, pushed.stdout + pushed.stderr).toMatchObject({ code: 0 });
  expect(JSON.parse(pushed.stdout)).toMatchObject({ version, lack: [], away: [] });
}

/** The longest time without any effect, in milliseconds. */
const longestGap = (effects: readonly Effect[]): number => {
  const at = effects.map((effect) => effect.at).sort((a, b) => a - b);
  return Math.max(...at.slice(1).map((time, i) => time - at[i]!));
};

it('grants are to hold longer, and another content after that → each epoch begins on all agents, nobody acts twice, voters take turns', async () => {
  site = await makeExclusiveSite();
  await Promise.all([0, 1, 2].map((index) => site.start(index)));
  await eventually(() => site.writer() !== undefined, { deadlineMs: 15_000, what: 'somebody writes' });

  await roll(2, (text) =>
    text.replace('voters: [box-1, box-2, box-3]', 'voters: [box-1, box-2, box-3], lease: 1500ms'),
  );
  const inEpoch = async (epoch: number): Promise<boolean> => {
    const all = await Promise.all(site.agents.map((agent) => agent.status()));
    return all.every(({ cells }) => cells[0]?.epoch === epoch && cells[0].vote === 'voting' && !cells[0].conflict);
  };
  await eventually(() => inEpoch(2), { deadlineMs: 30_000, everyMs: 200, what: 'epoch 2 everywhere' });
  const second = (effect: Effect): boolean => effect.token.startsWith('0002');
  await eventually(() => site.effects().some(second), { deadlineMs: 15_000, what: 'work goes on in epoch 2' });
  expect(overlaps(site.effects())).toEqual([]);

  // The same voters, times and leases: no new epoch, and the majority stays up while its voters start anew in turn.
  await eventually(() => site.writer() !== undefined, { deadlineMs: 15_000, what: 'somebody writes' });
  const from = site.effects().length;
  await roll(3, (text) => `${text}checks:\n  disk: { disk: /, warn: above 99.9%, every: 1s }\n`);
  await eventually(() => inEpoch(2), { deadlineMs: 30_000, everyMs: 200, what: 'epoch 2 goes on' });
  await eventually(() => site.writer() !== undefined, { deadlineMs: 15_000, what: 'somebody writes' });
  const effects = site.effects();
  expect(overlaps(effects)).toEqual([]);
  expect(effects.slice(from).every(second)).toBe(true);
  const gap = longestGap(effects.slice(from));
  process.stderr.write(`content roll-out: longest gap of the exclusive duty ${Math.round(gap)} ms\n`);
  expect(gap).toBeLessThan(4_000);
}, 180_000);
