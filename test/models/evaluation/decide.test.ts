import { expect, it } from 'vitest';
import { decide } from '../../../models/evaluation/decide.ts';
import { trainFromRows } from '../../../models/training/train.ts';
import { pumpColumns, pumpRows } from '../../support/pump-recording.ts';

it('decide: scores above the threshold, gaps and quiet → raised and cleared by the recommended dwell, as an agent does', () => {
  const trained = trainFromRows(pumpRows({ rows: 300, seed: 'decide' }), pumpColumns, {
    name: 'pump',
    kind: 'level-shift',
    everyMs: 1_000,
  });
  if (!trained.ok) throw new Error(trained.error.message);
  const { manifest } = trained.value;
  expect(manifest.recommendedDwell).toEqual({ raise: '3 of 4', clear: '4' });
  const bad = manifest.threshold.value + 1;
  const scores = [0, bad, 0, bad, bad, 0, 0, Number.NaN, 0, 0, 0];
  const decisions = decide(
    manifest,
    scores.map((_score, i) => 1_000 * i),
    scores,
  );
  //                          0      bad    0      bad    bad   0     0     none  0     0      0
  expect(decisions).toEqual([false, false, false, false, true, true, true, true, true, false, false]);
});
