import { describe, expect, it } from 'vitest';
import { runForcedSeed, soakForced, type Word } from '../../../simulations/leases/forced.ts';
import { mutants } from '../../../simulations/leases/mutants.ts';

const failures = (word: Word, soak: ReturnType<typeof soakForced>) =>
  soak.failed.map(({ seed, violations }) => ({ word, seed, violations }));

describe('epochs that are forced, under all faults', () => {
  it('a majority of the voters is truly off → nothing is broken, and the work goes on', () => {
    const soak = soakForced(1, 150, 'true');
    expect(failures('true', soak)).toEqual([]);
    const reached = ['epoch forced', 'forced epoch refused', 'step under a permit', 'held after healing'];
    expect(reached.filter((state) => !soak.counters.has(state))).toEqual([]);
    expect(soak.counters.get('held after healing')).toBeGreaterThan(130);
  });

  it('the word was wrong → two may hold, but no gateway goes back, no epoch does, and all are one after healing', () => {
    const soak = soakForced(1, 150, 'wrong');
    expect(failures('wrong', soak)).toEqual([]);
    const reached = ['epoch forced', 'effect refused at the gate', 'held after healing'];
    expect(reached.filter((state) => !soak.counters.has(state))).toEqual([]);
  });

  it('the checker can fail: new voters that grant at once, and gateways that wait for a token, are found', () => {
    const found = (name: string, word: Word): string | undefined =>
      soakForced(1, 150, word, mutants.get(name)).failed[0]?.violations[0]?.invariant;
    expect(found('activate without wait', 'true')).toBeDefined();
    expect(found('no fencing at the effect', 'wrong')).toBeDefined();
    expect(found('forced, and gateways wait for a token', 'wrong')).toBe(
      'a gateway that knows of a forced epoch lets nothing older pass',
    );
  });

  it('the same seed twice → the same trace', () => {
    expect(runForcedSeed(7, 'true').traceHash).toBe(runForcedSeed(7, 'true').traceHash);
    expect(runForcedSeed(7, 'true').traceHash).not.toBe(runForcedSeed(8, 'true').traceHash);
  });
});
