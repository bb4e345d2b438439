import { execFile } from 'node:child_process';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { Random } from '../../../agent/base/random.ts';
import { type Figure, figuresOf, figureTable, verdictOf } from './eval-figures.ts';
import { thinnedLines } from './thinned.ts';

const evaluation = resolve(import.meta.dirname, 'eval.ts');
const skab = (f1: number) => ({ groups: { ALL: { F1: f1, FAR_pct: 12, cpNAB_standard: 46 } } });

describe('figures of the evaluation', () => {
  it('measured against must and aim, either way round → a verdict; not measured → missed', () => {
    const figure = (measured: number): Figure => ({ name: '', unit: '', better: 'lower', must: 15, aim: 10, measured });
    expect([9, 12, 16, Number.NaN].map((value) => verdictOf(figure(value)))).toEqual([
      'aim met',
      'must met',
      'MISSED',
      'MISSED',
    ]);
    expect(verdictOf({ name: '', unit: '', better: 'higher', aim: 1, measured: 0 })).toBe('aim missed');
  });

  it('reports of the scorer → the loss with rows gone is the difference to the whole', () => {
    const figures = figuresOf({ skab: skab(0.9), thinned: { 10: skab(0.895), 50: skab(0.85) }, plant: {} });
    const verdicts = figures.map((figure) => [figure.name, verdictOf(figure)]);
    expect(verdicts).toEqual([
      ['SKAB, F1', 'aim met'],
      ['SKAB, false alarms', 'must met'],
      ['SKAB, changepoint score', 'aim met'],
      ['SKAB, F1 lost with 10 % of rows gone', 'aim met'],
      ['SKAB, F1 lost with 50 % of rows gone', 'MISSED'],
      ['plant year, faults missed', 'MISSED'],
      ['plant year, lead over the plain threshold', 'MISSED'],
      ['plant year, false alarms per asset-month', 'aim missed'],
    ]);
    expect(figureTable(figures)).toMatch(/SKAB, F1 lost with 50 % of rows gone +≤ 0\.03 +≤ 0\.01 +0\.05 +MISSED/);
    expect(figureTable(figures)).toMatch(/faults missed .*not measured +MISSED/);
  });

  it('rows removed at random → none of the training part, about the share of the others, the same for a seed', () => {
    const lines = Array.from({ length: 1401 }, (_, i) => String(i));
    const left = thinnedLines(lines, 0.3, new Random(1));
    expect(left.slice(0, 401)).toEqual(lines.slice(0, 401));
    expect(Math.abs(left.length - 401 - 700)).toBeLessThan(60);
    expect(thinnedLines(lines, 0.3, new Random(1))).toEqual(left);
  });

  it('folder that is not there, part that is none → all told at once, exit code 2', async () => {
    const run = promisify(execFile)(process.execPath, [
      evaluation,
      '--data',
      join('/not', 'there'),
      '--only',
      'tep,mars',
    ]);
    await expect(run).rejects.toMatchObject({
      code: 2,
      stderr: expect.stringMatching(
        /--only mars: there are.*\/not\/there\/tep is not there.*anomaly_score\.py is not there/s,
      ),
    });
  });
});
