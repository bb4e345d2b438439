import { expect, test } from 'vitest';
import { type FaultKind, runClaims } from '../../simulations/duties/claims-world.ts';
import { claimMutants, runClaimMutants } from '../../simulations/mutants/claims.ts';

test('claims: crashes, partitions, deaf ears and drains → a runner in every component within the bound, one after healing', () => {
  const seen: Record<FaultKind, number> = { crash: 0, part: 0, 'one-way': 0, drain: 0 };
  let gaps = 0;
  for (let seed = 1; seed <= 25; seed++) {
    const run = runClaims(seed);
    expect(run.violations, `runClaims(${seed})`).toEqual([]);
    for (const kind of Object.keys(seen) as FaultKind[]) seen[kind] += run.faults[kind];
    if (run.longestGapMs > 1_000) gaps++;
  }
  // Rare states were reached, else it says nothing.
  for (const count of Object.values(seen)) expect(count).toBeGreaterThan(12);
  expect(gaps).toBeGreaterThan(6);
}, 30_000);

test('claims: a seed → the same run, whatever ran before', () => {
  expect(runClaims(9)).toEqual(runClaims(9));
});

test('claims: both naive rules → found, and the shipped code passes the very same seeds', () => {
  const reports = runClaimMutants({ seeds: 30 });
  expect(reports.map(({ name }) => name)).toEqual([...claimMutants.keys()]);
  expect(reports.map(({ name, found, invariant, shippedFails }) => ({ name, found, invariant, shippedFails }))).toEqual(
    [
      { name: 'bonus in the static order', found: true, invariant: 'one runner after healing', shippedFails: [] },
      {
        name: 'run iff top-ranked',
        found: true,
        invariant: 'an available duty has a runner in every component',
        shippedFails: [],
      },
    ],
  );
}, 30_000);
