import { expect, test } from 'vitest';
import { BudgetJudge, spentSoFar } from '../../agent/adapters/budget-watch.ts';

/** Spends so much of a core and so much memory for a while; gives what was judged. */
function spend(judge: BudgetJudge) {
  let atMs = 0;
  let cpuSeconds = 0;
  return (seconds: number, share: number, mebibytes = 50) => {
    const said: { level: number; why: string; atMs: number }[] = [];
    for (let n = 0; n < seconds / 5; n++) {
      atMs += 5_000;
      cpuSeconds += 5 * share;
      const change = judge.judge({ atMs, cpuSeconds, memoryBytes: mebibytes * 2 ** 20 });
      if (change !== undefined) said.push({ ...change, atMs });
    }
    return said;
  };
}

test('cpu over the budget for a minute → one step up a minute, with the figures, and no further than the last', () => {
  const run = spend(new BudgetJudge({ cpuShare: 0.1, memoryBytes: undefined }));
  expect(run(600, 0.05)).toEqual([]);
  const risen = run(600, 0.2);
  expect(risen.map((one) => one.level)).toEqual([1, 2, 3, 4]);
  expect(risen[0]?.why).toMatch(/^over its budget \(1\d(\.\d)? % of a core, 10 % allowed\)$/);
  expect(risen[1]!.atMs - risen[0]!.atMs).toBeGreaterThanOrEqual(60_000);
});

test('a start that takes a whole core for ten seconds → nothing is shed', () => {
  const run = spend(new BudgetJudge({ cpuShare: 0.2, memoryBytes: undefined }));
  expect(run(10, 1)).toEqual([]);
  expect(run(600, 0.05)).toEqual([]);
});

test('well within for five minutes → one step down, and the next after five more', () => {
  const run = spend(new BudgetJudge({ cpuShare: 0.1, memoryBytes: undefined }));
  run(130, 0.3);
  // Just within is not well within: a step down would be taken back at once.
  expect(run(900, 0.09).filter((one) => one.why.startsWith('within'))).toEqual([]);
  const fallen = run(1_500, 0.05);
  expect(fallen.map((one) => one.level)).toEqual([2, 1, 0]);
  expect(fallen[1]!.atMs - fallen[0]!.atMs).toBeGreaterThanOrEqual(300_000);
});

test('memory over the budget → shed as well, said in MiB', () => {
  const run = spend(new BudgetJudge({ cpuShare: undefined, memoryBytes: 128 * 2 ** 20 }));
  expect(run(5, 0, 200)).toMatchObject([{ level: 1, why: 'over its budget (200 MiB of memory, 128 MiB allowed)' }]);
  expect(run(600, 0, 100).map((one) => one.level)).toEqual([0]);
});

test('no limits → nothing is ever shed', () => {
  const run = spend(new BudgetJudge({ cpuShare: undefined, memoryBytes: undefined }));
  expect(run(600, 5, 5_000)).toEqual([]);
});

test('what this very process has cost → rises, children included', () => {
  const before = spentSoFar();
  for (const begun = performance.now(); performance.now() - begun < 60; );
  const now = spentSoFar();
  expect(now.cpuSeconds).toBeGreaterThan(before.cpuSeconds);
  expect(now.memoryBytes).toBeGreaterThan(2 ** 20);
});
