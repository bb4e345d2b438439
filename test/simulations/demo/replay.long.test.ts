import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { z } from 'zod';
import { temporaryFolder } from '../../support/temporary-folder.ts';
import { evidenceOf, playToEnd } from './play.ts';
import { valveRecording } from './pump-recording.ts';

const rows = 900;
const closed = [520, 780] as const;
/** Rows of time that the two runs may differ by: the coordinator's times are wall time on a busy machine. */
const toleranceRows = 30;

const Replayed = z.object({
  rows: z.number(),
  speed: z.number(),
  labelledRows: z.array(z.tuple([z.number(), z.number().nullable()])),
  risen: z.array(z.object({ at: z.iso.datetime(), row: z.number(), evidence: z.string() })),
  readingsStored: z.number(),
});

test('replay: a valve closes in a recording → the alarm rises in the labelled stretch; without labels at the same row', {
  timeout: 280_000,
}, async () => {
  const folder = await temporaryFolder();
  const play = async (name: string, labels: boolean) => {
    const file = join(folder, name);
    writeFileSync(file, valveRecording({ rows, closed, labels }));
    const played = await playToEnd(['--only', 'replay', '--replay', file, '--speed', '100']);
    return { ...played, evidence: evidenceOf(played.verdict, 'replay', Replayed) };
  };

  const labelled = await play('labelled.csv', true);
  expect(labelled.verdict.story.map(({ step, ok, why }) => ({ step, ok, why }))).toEqual([
    { step: 'members', ok: true, why: undefined },
    { step: 'replay', ok: true, why: undefined },
  ]);
  expect(labelled.ended.code).toBe(0);
  const [from, to] = closed;
  expect(labelled.evidence).toMatchObject({ rows, speed: 100 });
  expect(labelled.evidence.labelledRows).toHaveLength(1);
  // The plant's own log says when the labelled rows were played.
  expect(Math.abs((labelled.evidence.labelledRows[0]?.[0] ?? 0) - from)).toBeLessThan(toleranceRows);
  const rose = labelled.evidence.risen[0];
  expect(rose?.row).toBeGreaterThanOrEqual(from);
  expect(rose?.row).toBeLessThanOrEqual(to);
  expect(rose?.evidence).not.toBe('');

  // The judge has nothing to judge by without labels and says so; the alarm is the same.
  const stripped = await play('stripped.csv', false);
  expect(stripped.verdict.story.at(-1)?.why).toMatch(/no labelled stretch/);
  expect(stripped.ended.code).toBe(1);
  expect(stripped.evidence.labelledRows).toEqual([]);
  // The first rise is compared: whether it falls and rises once more depends on how the rows meet the sampling.
  expect(stripped.evidence.risen.length).toBeGreaterThan(0);
  expect(Math.abs((stripped.evidence.risen[0]?.row ?? 0) - (rose?.row ?? 0))).toBeLessThanOrEqual(toleranceRows);
});
