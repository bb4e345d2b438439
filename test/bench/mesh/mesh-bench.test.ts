import { describe, expect, it } from 'vitest';
import { median, spread } from './figures.ts';
import { ourselves, serf } from './products.ts';
import { judge, simulatedNames, summarized } from './simulated.ts';
import { figureTable, trialTable } from './table.ts';
import type { Detection, TrialResult } from './trial.ts';

describe('what the products say of their members', () => {
  it.each([
    ['    2026/11/21 18:04:52 [INFO] serf: EventMemberJoin: box-2 10.77.0.2', { member: 'box-2', is: 'alive' }],
    ['    2026/11/21 18:05:01 [INFO] serf: EventMemberFailed: box-2 10.77.0.2', { member: 'box-2', is: 'dead' }],
    ['    2026/11/21 18:05:01 [INFO] serf: EventMemberLeave: box-12 10.77.0.12', { member: 'box-12', is: 'dead' }],
    ['    2026/11/21 18:04:59 [INFO] memberlist: Suspect box-2 has failed, no acks received', undefined],
    ['    2026/11/21 18:05:02 [INFO] agent: Received event: member-failed', undefined],
    ['==> Serf agent running!', undefined],
  ])('serf: %s', (line, word) => {
    expect(serf(false).read(line)).toEqual(word);
  });

  it.each([
    ['{"event":"member-alive","member":"box-2","at":"2026-11-21T18:04:52.000Z"}', { member: 'box-2', is: 'alive' }],
    ['{"event":"member-dead","member":"box-2","at":"2026-11-21T18:04:52.000Z"}', { member: 'box-2', is: 'dead' }],
    ['{"event":"member-left","member":"box-2","at":"2026-11-21T18:04:52.000Z"}', { member: 'box-2', is: 'dead' }],
    ['{"event":"member-suspected","member":"box-2","at":"2026-11-21T18:04:52.000Z"}', undefined],
    ['{"ready":true,"agent":"box-1","boot":1,"pid":1}', undefined],
  ])('ours: %s', (line, word) => {
    expect(ourselves('lan').read(line)).toEqual(word);
  });
});

describe('figures', () => {
  it('spread: the quantile is a value that was measured, the smallest that enough are not above', () => {
    const hundred = Array.from({ length: 100 }, (_, i) => 100 - i);
    expect(spread(hundred)).toEqual({ count: 100, p50: 50, p99: 99, max: 100 });
    expect(spread([7])).toEqual({ count: 1, p50: 7, p99: 7, max: 7 });
    expect(spread([])).toEqual({ count: 0, p50: null, p99: null, max: null });
    expect(median([4, 1, 3, 2])).toBe(2.5);
  });

  it.each([
    [1, 2, 1, 'aim'],
    [2, 2, 1, 'must'],
    [3, 2, 1, 'missed'],
    [0, 0, undefined, 'must'],
    [1, 0, undefined, 'missed'],
    [null, 2, 1, 'missed'],
    [3, undefined, 2, ''],
  ])('%s where at most %s is promised and %s is aimed at → %s', (value, must, aim, verdict) => {
    const promised = { figure: 'x', ...(must === undefined ? {} : { must }), ...(aim === undefined ? {} : { aim }) };
    expect(judge(promised, value).verdict).toBe(verdict);
  });

  it('repetitions: samples are pooled, sums added, of rates the median is taken', () => {
    const found = [
      { samples: { first: [1, 2, 3] }, sums: { falseDeaths: 1 }, rates: { bytes: 10 }, cpuS: 1 },
      { samples: { first: [9] }, sums: { falseDeaths: 2 }, rates: { bytes: 30 }, cpuS: 1 },
      { samples: {}, sums: { falseDeaths: 0 }, rates: { bytes: 11 }, cpuS: 1 },
    ];
    const promised = [{ figure: 'first.p99' }, { figure: 'falseDeaths', must: 0 }, { figure: 'bytes' }];
    const { judged } = summarized({ name: 'detection-10', about: '', promised }, found);
    expect(judged.map(({ value, verdict }) => [value, verdict])).toEqual([
      [9, ''],
      [3, 'missed'],
      [11, ''],
    ]);
  });

  it('every figure has a name of its own', () => {
    expect(new Set(simulatedNames).size).toBe(simulatedNames.length);
  });
});

describe('tables', () => {
  const none = { count: 0, p50: null, p99: null, max: null };
  const kill: Detection = {
    ...{ first: spread([1_234]), all: none, missed: 1, falseDeaths: 2, aliveAgain: spread([500]), helped: 0 },
  };
  const result: TrialResult = {
    ...{ product: 'millwright', version: '1', how: 'somehow', agents: 5, upMs: 2_000, helped: 0, load: 1, kill },
  };

  it('side by side: a story that was not told has no row, what was missed is said', () => {
    const text = trialTable([result, { ...result, product: 'serf', agents: 15 }]);
    expect(text).toContain('millwright, 5');
    expect(text).toContain('serf, 15');
    expect(text).toMatch(/kill -9 → first survivor knows +1\.23 \/ 1\.23 s/);
    expect(text).toMatch(/→ all survivors know +– \(1 missed\)/);
    expect(text).not.toContain('cable');
  });

  it('figures: beside each what is promised and whether it is kept', () => {
    const judged = [judge({ figure: 'first.p50', must: 10, aim: 5 }, 7), judge({ figure: 'all.p50' }, null)];
    const text = figureTable([{ name: 'detection', about: '', repetitions: 1, judged }]);
    expect(text).toMatch(/detection +first\.p50 +7 +≤ 10 \(5\) +must/);
    expect(text).toMatch(/all\.p50 +–/);
  });
});
